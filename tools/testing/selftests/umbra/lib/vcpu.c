// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs: creation, the three modes they start in, and runs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "paging.h"
#include "vm.h"

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_PG BIT(31)
#define CR4_PAE BIT(5)
#define CR4_OSFXSR BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NX BIT(11)

size_t vcpu_mmap_size(void)
{
	static int size;
	int node;

	if (size)
		return size;
	node = node_open();
	size = ioctl(node, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		die("KVM_GET_VCPU_MMAP_SIZE: %d", size);
	close(node);
	return size;
}

const struct kvm_cpuid2 *umbra_cpuid(void)
{
	static struct kvm_cpuid2 *cpuid;
	const int n = 256;
	int node;

	if (cpuid)
		return cpuid;
	cpuid = calloc(1, sizeof(*cpuid) + n * sizeof(cpuid->entries[0]));
	cpuid->nent = n;
	node = node_open();
	if (ioctl(node, KVM_GET_SUPPORTED_CPUID, cpuid))
		die("KVM_GET_SUPPORTED_CPUID");
	close(node);
	return cpuid;
}

struct vcpu *vcpu_create(struct vm *vm, int id)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (vcpu->fd < 0)
		die("KVM_CREATE_VCPU %d", id);
	vcpu->run = mmap(NULL, vcpu_mmap_size(), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die("mmap of the vCPU");
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, umbra_cpuid()))
		die("KVM_SET_CPUID2");
	vm->vcpu[id] = vcpu;
	return vcpu;
}

static struct kvm_segment segment(u16 selector, u8 type, u32 limit)
{
	return (struct kvm_segment) {
		.selector = selector,
		.limit = limit,
		.type = type,
		.present = 1,
		.s = 1,
		.g = limit > 0xfffff,
	};
}

static void set_data_segments(struct kvm_sregs *s, struct kvm_segment data)
{
	s->ds = data;
	s->es = data;
	s->fs = data;
	s->gs = data;
	s->ss = data;
}

static void set_descriptor_tables(struct kvm_sregs *s, int id)
{
	s->gdt.base = BOOT_GDT;
	s->gdt.limit = SEL_TSS(MAX_VCPUS) - 1;
	s->idt.base = BOOT_IDT;
	s->idt.limit = 256 * 16 - 1;
	s->tr = segment(SEL_TSS(id), 11, 103);
	s->tr.s = 0;
	s->tr.base = BOOT_TSS + id * PAGE_4K;
	s->ldt = segment(0, 2, 0);
	s->ldt.s = 0;
	s->ldt.present = 0;
	s->ldt.unusable = 1;
}

static u64 stack_top(int id)
{
	return BOOT_STACKS + (id + 1) * STACK_SIZE;
}

void vcpu_start(struct vcpu *vcpu, void (*fn)(void *arg), void *arg)
{
	u64 rsp = stack_top(vcpu->id) - 8;
	struct kvm_regs regs = {
		.rip = (u64)fn,
		.rdi = (u64)arg,
		.rsp = rsp,
		.rflags = X86_RFLAGS_FIXED,
	};
	struct kvm_segment data = segment(SEL_DATA, 3, ~0U);
	struct kvm_sregs s;

	vcpu_get_sregs(vcpu, &s);
	s.cs = segment(SEL_CODE64, 11, ~0U);
	s.cs.l = 1;
	data.db = 1;
	set_data_segments(&s, data);
	set_descriptor_tables(&s, vcpu->id);
	s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s.cr3 = vcpu->vm->cr3;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	s.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX;
	vcpu_set_sregs(vcpu, &s);
	*(u64 *)boot_hva(vcpu->vm, rsp) = (u64)guest_returned;
	vcpu_set_regs(vcpu, &regs);
}

void vcpu_start_protected(struct vcpu *vcpu, u32 eip, u32 esp)
{
	struct kvm_regs regs = { .rip = eip, .rsp = esp, .rflags = X86_RFLAGS_FIXED };
	struct kvm_segment data = segment(SEL_DATA, 3, ~0U);
	struct kvm_sregs s;

	vcpu_get_sregs(vcpu, &s);
	s.cs = segment(SEL_CODE32, 11, ~0U);
	s.cs.db = 1;
	data.db = 1;
	set_data_segments(&s, data);
	set_descriptor_tables(&s, vcpu->id);
	s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE;
	s.cr4 = 0;
	s.efer = 0;
	vcpu_set_sregs(vcpu, &s);
	vcpu_set_regs(vcpu, &regs);
}

void vcpu_start_real(struct vcpu *vcpu, u16 ip, u16 sp)
{
	struct kvm_regs regs = { .rip = ip, .rsp = sp, .rflags = X86_RFLAGS_FIXED };
	struct kvm_sregs s;

	vcpu_get_sregs(vcpu, &s);
	s.cs = segment(0, 11, 0xffff);
	set_data_segments(&s, segment(0, 3, 0xffff));
	s.cr0 = CR0_ET;
	s.cr4 = 0;
	s.efer = 0;
	s.idt.base = 0;
	s.idt.limit = 0x3ff;
	vcpu_set_sregs(vcpu, &s);
	vcpu_set_regs(vcpu, &regs);
}

int vcpu_run(struct vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, NULL) ? -errno : 0;
}

/* Takes the message out of the port write; false when this exit is none. */
static bool fetch_ucall(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u32 gpa;

	if (run->exit_reason != KVM_EXIT_IO || run->io.port != UCALL_PORT ||
	    run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 4)
		return false;
	memcpy(&gpa, (u8 *)run + run->io.data_offset, sizeof(gpa));
	memcpy(&vcpu->uc, boot_hva(vcpu->vm, gpa), sizeof(vcpu->uc));
	return true;
}

u64 vcpu_next(struct vcpu *vcpu)
{
	int ret;

	do
		ret = vcpu_run(vcpu);
	while (ret == -EINTR || ret == -EAGAIN);
	vcpu->uc.cmd = UCALL_NONE;
	if (ret)
		die("KVM_RUN of vCPU %d: %d", vcpu->id, ret);
	if (!fetch_ucall(vcpu))
		return UCALL_NONE;
	if (vcpu->uc.cmd == UCALL_ABORT)
		die("guest: %s (line %lu: %#lx %#lx %#lx %#lx)", (char *)vcpu->uc.arg[0],
		    vcpu->uc.arg[1], vcpu->uc.arg[2], vcpu->uc.arg[3],
		    vcpu->uc.arg[4], vcpu->uc.arg[5]);
	return vcpu->uc.cmd;
}

void vcpu_sync(struct vcpu *vcpu, u64 stage)
{
	u64 cmd = vcpu_next(vcpu);

	if (cmd != UCALL_SYNC || vcpu->uc.arg[0] != stage)
		die("wanted stage %lu of vCPU %d, got %s, ucall %lu, %lu", stage, vcpu->id,
		    vcpu_exit_name(vcpu), cmd, vcpu->uc.arg[0]);
}

void vcpu_done(struct vcpu *vcpu)
{
	u64 cmd;

	do
		cmd = vcpu_next(vcpu);
	while (cmd == UCALL_SYNC);
	if (cmd != UCALL_DONE)
		die("wanted the end of vCPU %d, got %s", vcpu->id, vcpu_exit_name(vcpu));
}

void vcpu_call(struct vcpu *vcpu, void (*fn)(void *arg), void *arg)
{
	vcpu_start(vcpu, fn, arg);
	vcpu_done(vcpu);
}

static void *spawned(void *vcpu)
{
	vcpu_done(vcpu);
	return NULL;
}

pthread_t vcpu_spawn(struct vcpu *vcpu)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, spawned, vcpu);
	if (errno)
		die("thread of vCPU %d", vcpu->id);
	return thread;
}

void vcpu_join(pthread_t thread)
{
	pthread_join(thread, NULL);
}

void await(const shared_u64 *counter, u64 n)
{
	u64 from = *counter;

	while (*counter - from < n)
		usleep(10);
}

const char *vcpu_exit_name(struct vcpu *vcpu)
{
	static __thread char text[160];
	struct kvm_run *run = vcpu->run;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		snprintf(text, sizeof(text), "IO %s port %#x, %d bytes, %d times",
			 run->io.direction == KVM_EXIT_IO_OUT ? "out" : "in",
			 run->io.port, run->io.size, run->io.count);
		break;
	case KVM_EXIT_MMIO:
		snprintf(text, sizeof(text), "MMIO %s %#llx, %d bytes",
			 run->mmio.is_write ? "write" : "read", run->mmio.phys_addr,
			 run->mmio.len);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(text, sizeof(text), "FAIL_ENTRY %#llx",
			 run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(text, sizeof(text), "INTERNAL_ERROR %d, %d values, %#llx %#llx",
			 run->internal.suberror, run->internal.ndata,
			 run->internal.data[0], run->internal.data[1]);
		break;
	case KVM_EXIT_SHUTDOWN:
		vcpu_get_regs(vcpu, &regs);
		vcpu_get_sregs(vcpu, &sregs);
		snprintf(text, sizeof(text), "SHUTDOWN at %#llx, rsp %#llx, cr2 %#llx, cr3 %#llx",
			 regs.rip, regs.rsp, sregs.cr2, sregs.cr3);
		break;
	default:
		snprintf(text, sizeof(text), "exit %d", run->exit_reason);
	}
	return text;
}

static void vcpu_ioctl(struct vcpu *vcpu, unsigned long request, const char *name, void *arg)
{
	if (ioctl(vcpu->fd, request, arg))
		die("%s of vCPU %d", name, vcpu->id);
}

void vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs)
{
	vcpu_ioctl(vcpu, KVM_GET_REGS, "KVM_GET_REGS", regs);
}

void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	vcpu_ioctl(vcpu, KVM_SET_REGS, "KVM_SET_REGS", (void *)regs);
}

void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs)
{
	vcpu_ioctl(vcpu, KVM_GET_SREGS, "KVM_GET_SREGS", sregs);
}

void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs)
{
	vcpu_ioctl(vcpu, KVM_SET_SREGS, "KVM_SET_SREGS", (void *)sregs);
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

bool vcpu_get_msr(struct vcpu *vcpu, u32 msr, u64 *value)
{
	struct one_msr m = { .head.nmsrs = 1, .entry.index = msr };

	if (ioctl(vcpu->fd, KVM_GET_MSRS, &m) != 1)
		return false;
	*value = m.entry.data;
	return true;
}

bool vcpu_set_msr(struct vcpu *vcpu, u32 msr, u64 value)
{
	struct one_msr m = { .head.nmsrs = 1, .entry.index = msr, .entry.data = value };

	return ioctl(vcpu->fd, KVM_SET_MSRS, &m) == 1;
}
