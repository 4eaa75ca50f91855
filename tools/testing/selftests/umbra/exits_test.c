// SPDX-License-Identifier: GPL-2.0-only
/*
 * How KVM_RUN ends. Proves that signals, signal masks and immediate_exit bring
 * a vCPU back with -EINTR and lose nothing, that HLT exits unless it was told not to, that
 * HLT, a triple fault, a guest
 * state that the CPU refuses and an instruction that cannot be emulated have
 * the exit of the API document with its data, that kvm_run's own fields are
 * right, and that the vCPU can be used again after each of them.
 */
#include <errno.h>
#include <signal.h>

#include "test.h"

FIXTURE(exits) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

static void no_op(int sig)
{
}

FIXTURE_SETUP(exits)
{
	struct sigaction sa = { .sa_handler = no_op };

	sigaction(SIGUSR1, &sa, NULL);
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, PAGE_2M);
}

FIXTURE_TEARDOWN(exits)
{
	vm_free(self->vm);
}

static void guest_count(void *arg)
{
	shared_u64 *shared = arg;

	while (!shared[1])
		shared[0]++;
}

struct kicker {
	pthread_t target;
	shared_u64 *counter;
};

/* Signals the vCPU's thread when the guest has been seen running. */
static void *kick(void *arg)
{
	struct kicker *k = arg;

	await(k->counter, 1);
	pthread_kill(k->target, SIGUSR1);
	return NULL;
}

TEST_F(exits, signal)
{
	shared_u64 *shared = (u64 *)self->mem;
	struct kicker k = { pthread_self(), shared };
	pthread_t thread;
	int i;

	vcpu_start(self->vcpu, guest_count, self->mem);
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, pthread_create(&thread, NULL, kick, &k));
		EXPECT_EQ(-EINTR, vcpu_run(self->vcpu));
		EXPECT_EQ(KVM_EXIT_INTR, self->vcpu->run->exit_reason);
		pthread_join(thread, NULL);
	}
	shared[1] = 1;
	vcpu_done(self->vcpu);
}

TEST_F(exits, pending_signal_stops_before_the_guest_runs)
{
	shared_u64 *shared = (u64 *)self->mem;
	struct {
		struct kvm_signal_mask head;
		u64 set;
	} __packed mask = { .head.len = 8, .set = 0 };
	sigset_t set, pending;

	vcpu_start(self->vcpu, guest_count, self->mem);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	raise(SIGUSR1);
	/* Blocked outside, open inside of KVM_RUN. */
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_SIGNAL_MASK, &mask));
	EXPECT_EQ(-EINTR, vcpu_run(self->vcpu));
	EXPECT_EQ(0, shared[0]);
	EXPECT_EQ(KVM_EXIT_INTR, self->vcpu->run->exit_reason);
	/* The mask is back and the signal is still there. */
	ASSERT_EQ(0, sigpending(&pending));
	EXPECT_EQ(1, sigismember(&pending, SIGUSR1));
	/* Blocked inside as well: the guest runs to its end. */
	mask.set = 1UL << (SIGUSR1 - 1);
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_SIGNAL_MASK, &mask));
	shared[1] = 1;
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(KVM_EXIT_IO, self->vcpu->run->exit_reason);
	/* No mask of its own: the thread's. */
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_SIGNAL_MASK, NULL));
	shared[1] = 1;
	vcpu_start(self->vcpu, guest_count, self->mem);
	EXPECT_EQ(0, vcpu_run(self->vcpu));
}

TEST_F(exits, immediate_exit)
{
	struct kvm_run *run = self->vcpu->run;
	int i;

	if (!node_has(KVM_CAP_IMMEDIATE_EXIT))
		TEST_SKIP("no KVM_CAP_IMMEDIATE_EXIT");
	vcpu_start(self->vcpu, guest_count, self->mem);
	run->immediate_exit = 1;
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-EINTR, vcpu_run(self->vcpu));
	EXPECT_EQ(0, *(u64 *)self->mem);
	run->immediate_exit = 0;
	*((u64 *)self->mem + 1) = 1;
	vcpu_done(self->vcpu);
	/* It completes what is open, an MMIO read here, and goes no further. */
	agent_start(self->vcpu);
	agent_post(self->vcpu, AGENT_READ, (void *)TEST_MMIO, 4, 0, 0);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_MMIO, run->exit_reason);
	memcpy(run->mmio.data, "\x78\x56\x34\x12", 4);
	run->immediate_exit = 1;
	EXPECT_EQ(-EINTR, vcpu_run(self->vcpu));
	/* Who looks again finds the exit that was. */
	EXPECT_EQ(KVM_EXIT_MMIO, run->exit_reason);
	memset(run->mmio.data, 0xff, 8);
	run->immediate_exit = 0;
	EXPECT_EQ(0x12345678, agent_wait(self->vcpu));
}

/* hlt; mov $7, %eax; hlt */
TEST_F(exits, hlt)
{
	static const u8 code[] = { 0xf4, 0xb8, 7, 0, 0, 0, 0xf4 };
	struct kvm_regs regs;

	memcpy(self->mem, code, sizeof(code));
	vcpu_start(self->vcpu, (void *)self->mem, NULL);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(KVM_EXIT_HLT, self->vcpu->run->exit_reason);
	vcpu_get_regs(self->vcpu, &regs);
	EXPECT_EQ((u64)self->mem + 1, regs.rip);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(KVM_EXIT_HLT, self->vcpu->run->exit_reason);
	vcpu_get_regs(self->vcpu, &regs);
	EXPECT_EQ(7, regs.rax);
	EXPECT_EQ((u64)self->mem + sizeof(code), regs.rip);
}

/* #UD without an IDT is a triple fault. */
static int disable_exits(struct vm *vm, u64 what)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS, .args = { what } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap) ? -errno : 0;
}

/* Counts what an interrupt of the host wakes it to. */
static void guest_count_halts(void *arg)
{
	shared_u64 *shared = arg;

	while (!shared[1]) {
		shared[0]++;
		asm volatile("hlt");
	}
}

TEST_F(exits, hlt_that_passes)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu;
	shared_u64 *shared;
	struct kicker k;
	pthread_t thread;

	EXPECT_EQ(-EINVAL, disable_exits(self->vm, KVM_X86_DISABLE_EXITS_HLT));
	EXPECT_EQ(-EINVAL, disable_exits(vm, 1 << 4));
	ASSERT_EQ(0, disable_exits(vm, KVM_X86_DISABLE_EXITS_HLT));
	vcpu = vcpu_create(vm, 0);
	shared = boot_hva(vm, 0x9000);
	k = (struct kicker) { pthread_self(), shared };
	vcpu_start(vcpu, guest_count_halts, (void *)0x9000);
	ASSERT_EQ(0, pthread_create(&thread, NULL, kick, &k));
	EXPECT_EQ(-EINTR, vcpu_run(vcpu));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, vm_stat(vm, "halt_exits"));
	shared[1] = 1;
	vcpu_done(vcpu);
	vm_free(vm);
}

TEST_F(exits, shutdown)
{
	struct kvm_sregs s;

	memcpy(self->mem, "\x0f\x0b", 2);
	vcpu_start(self->vcpu, (void *)self->mem, NULL);
	vcpu_get_sregs(self->vcpu, &s);
	s.idt.limit = 0;
	vcpu_set_sregs(self->vcpu, &s);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, self->vcpu->run->exit_reason);
	agent_start(self->vcpu);
	EXPECT_EQ(0, agent_read(self->vcpu, self->mem + 8, 8));
}

/*
 * States that VMRUN refuses, APM volume 2, 15.5.1: CS.L with CS.D, and CR0.NW
 * without CR0.CD. Either KVM_SET_SREGS says so or the entry fails.
 */
TEST_F(exits, impossible_states)
{
	struct kvm_run *run = self->vcpu->run;
	int i;

	for (i = 0; i < 2; i++) {
		struct kvm_sregs s;

		vcpu_start(self->vcpu, guest_count, self->mem);
		vcpu_get_sregs(self->vcpu, &s);
		if (i)
			s.cr0 |= BIT(29);
		else
			s.cs.db = 1;
		if (ioctl(self->vcpu->fd, KVM_SET_SREGS, &s)) {
			EXPECT_EQ(EINVAL, errno);
			continue;
		}
		ASSERT_EQ(0, vcpu_run(self->vcpu));
		EXPECT_EQ(KVM_EXIT_FAIL_ENTRY, run->exit_reason);
		/* VMEXIT_INVALID, APM volume 2, appendix C. */
		EXPECT_EQ(0xffffffff, run->fail_entry.hardware_entry_failure_reason & 0xffffffff);
	}
	agent_start(self->vcpu);
	EXPECT_EQ(0, agent_read(self->vcpu, self->mem + 8, 8));
}

/* The guest jumps to where there is nothing to fetch. */
TEST_F(exits, internal_error)
{
	struct kvm_run *run = self->vcpu->run;

	vcpu_start(self->vcpu, (void *)TEST_MMIO, NULL);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(KVM_EXIT_INTERNAL_ERROR, run->exit_reason);
	EXPECT_EQ(KVM_INTERNAL_ERROR_EMULATION, run->internal.suberror);
	EXPECT_GE(16, run->internal.ndata);
	if (node_has(UMBRA_CAP_MMU))
		EXPECT_LT(0, run->internal.ndata);
	agent_start(self->vcpu);
	EXPECT_EQ(0, agent_read(self->vcpu, self->mem + 8, 8));
}

/* It reads MMIO with an instruction that is not emulated. */
static void guest_x87(void *arg)
{
	asm volatile("fldl (%%rax)" : : "a" (arg));
}

TEST_F(exits, emulation_failure)
{
	struct kvm_run *run = self->vcpu->run;

	if (!node_has(UMBRA_CAP_MMU))
		SKIP(return, "stock KVM has its own set of instructions");
	vcpu_start(self->vcpu, guest_x87, (void *)TEST_MMIO);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, run->exit_reason);
	EXPECT_EQ(KVM_INTERNAL_ERROR_EMULATION, run->emulation_failure.suberror);
	EXPECT_EQ(3, run->emulation_failure.ndata);
	EXPECT_EQ(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
		  run->emulation_failure.flags);
	EXPECT_LE(2, run->emulation_failure.insn_size);
	EXPECT_EQ(0, memcmp("\xdd\x00", run->emulation_failure.insn_bytes, 2));
}

static void guest_flags(void *arg)
{
	GUEST_SYNC(1);
	asm volatile("sti; nop");
	GUEST_SYNC(2);
	asm volatile("cli");
	GUEST_SYNC(3);
	asm volatile("mov %0, %%cr8" : : "r" (5UL));
	GUEST_SYNC(4);
}

TEST_F(exits, fields_of_the_run_page)
{
	struct kvm_run *run = self->vcpu->run;

	vcpu_start(self->vcpu, guest_flags, NULL);
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(0, run->if_flag);
	EXPECT_EQ(0, run->cr8);
	vcpu_sync(self->vcpu, 2);
	EXPECT_EQ(1, run->if_flag);
	vcpu_sync(self->vcpu, 3);
	EXPECT_EQ(0, run->if_flag);
	vcpu_sync(self->vcpu, 4);
	EXPECT_EQ(5, run->cr8);
	vcpu_done(self->vcpu);
}

/* The page beyond kvm_run, and what is beyond the mapping. */
TEST_F(exits, mapping_of_the_run_page)
{
	size_t size = self->vm->run_size;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, self->vcpu->fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, memcmp(p, self->vcpu->run, PAGE_4K));
	/* The same page, not a copy. */
	self->vcpu->run->immediate_exit = 1;
	EXPECT_EQ(1, ((struct kvm_run *)p)->immediate_exit);
	self->vcpu->run->immediate_exit = 0;
	munmap(p, size);
}

TEST_F_SIGNAL(exits, beyond_the_run_page, SIGBUS)
{
	u8 *p = mmap(NULL, 64 * PAGE_4K, PROT_READ, MAP_SHARED, self->vcpu->fd, 0);

	if (p == MAP_FAILED)
		raise(SIGBUS);
	GUEST_READ(p + 63 * PAGE_4K);
}

/* --- hypercalls --- */

static void guest_hypercall(void *arg)
{
	u64 ret;

	asm volatile("vmmcall" : "=a" (ret) : "a" (0xffff0001UL), "b" (1UL) : "memory");
	GUEST_ASSERT_EQ(-1000L, ret);
}

TEST_F(exits, hypercalls_do_not_exist)
{
	vcpu_call(self->vcpu, guest_hypercall, NULL);
}

UMBRA_TEST_MAIN
