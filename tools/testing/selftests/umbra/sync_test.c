// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers in kvm_run. Proves that at each exit the classes that userspace asked for are
 * what the ioctls give, and the others are left alone, that what userspace changed there is
 * what the guest goes on with, also behind a port read, and that bits that do not exist and
 * registers that no CPU takes are refused with the guest as it was. Also that KVM_GET_XSAVE2
 * is KVM_GET_XSAVE.
 */
#include "test.h"

#define ALL (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

FIXTURE(sync) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

FIXTURE_SETUP(sync)
{
	if ((node_has(KVM_CAP_SYNC_REGS) & ALL) != ALL)
		TEST_SKIP("no KVM_CAP_SYNC_REGS");
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, PAGE_2M);
}

FIXTURE_TEARDOWN(sync)
{
	vm_free(self->vm);
}

/* Halts with RBX counting up. */
static void guest_count(void *arg)
{
	asm volatile("xor %%ebx, %%ebx; 1: hlt; inc %%rbx; jmp 1b" : : : "rbx");
}

TEST_F(sync, what_is_asked_for)
{
	struct kvm_run *run = self->vcpu->run;
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_start(self->vcpu, guest_count, NULL);
	memset(&run->s, 0x55, sizeof(run->s));
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(0x5555555555555555, run->s.regs.regs.rbx);
	run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(1, run->s.regs.regs.rbx);
	EXPECT_EQ(0x5555555555555555, run->s.regs.sregs.cr3);
	run->kvm_valid_regs = ALL;
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	vcpu_get_regs(self->vcpu, &regs);
	vcpu_get_sregs(self->vcpu, &sregs);
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(2, regs.rbx);
	EXPECT_EQ(0, memcmp(&regs, &run->s.regs.regs, sizeof(regs)));
	EXPECT_EQ(0, memcmp(&sregs, &run->s.regs.sregs, sizeof(sregs)));
	EXPECT_EQ(0, memcmp(&events, &run->s.regs.events, sizeof(events)));
}

TEST_F(sync, what_is_changed)
{
	struct kvm_run *run = self->vcpu->run;
	struct kvm_sregs sregs;

	vcpu_start(self->vcpu, guest_count, NULL);
	run->kvm_valid_regs = ALL;
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	/* Not said to be changed. */
	run->s.regs.regs.rbx = 1000;
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(1, run->s.regs.regs.rbx);
	run->s.regs.regs.rbx = 1000;
	run->s.regs.sregs.cr2 = 0x1234;
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(1001, run->s.regs.regs.rbx);
	EXPECT_EQ(0, run->kvm_dirty_regs);
	vcpu_get_sregs(self->vcpu, &sregs);
	EXPECT_EQ(0x1234, sregs.cr2);
}

static void on_nmi(struct guest_frame *f)
{
	GUEST_SYNC(7);
}

TEST_F(sync, events)
{
	struct kvm_run *run = self->vcpu->run;

	vm_set_handler(self->vm, X86_TRAP_NMI, on_nmi);
	vcpu_start(self->vcpu, guest_count, NULL);
	run->kvm_valid_regs = ALL;
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	run->s.regs.events.nmi.pending = 1;
	run->s.regs.events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	run->kvm_dirty_regs = KVM_SYNC_X86_EVENTS;
	vcpu_sync(self->vcpu, 7);
	EXPECT_EQ(0, run->s.regs.events.nmi.pending);
	EXPECT_EQ(1, run->s.regs.events.nmi.masked);
}

static void guest_in(void *arg)
{
	u64 seen;

	asm volatile("mov $5, %%eax; in $0x77, %%al; add %%rbx, %%rax"
		     : "=a" (seen) : "b" (0UL));
	GUEST_SYNC(seen);
}

/* The answer of the port and a register that was changed meet. */
TEST_F(sync, behind_a_port_read)
{
	struct kvm_run *run = self->vcpu->run;

	run->kvm_valid_regs = ALL;
	vcpu_start(self->vcpu, guest_in, NULL);
	ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
	ASSERT_EQ(KVM_EXIT_IO, run->exit_reason);
	*((u8 *)run + run->io.data_offset) = 0x21;
	run->s.regs.regs.rbx = 0x1000;
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	vcpu_sync(self->vcpu, 0x1021);
}

TEST_F(sync, refused)
{
	struct kvm_run *run = self->vcpu->run;
	struct kvm_regs regs;

	vcpu_start(self->vcpu, guest_count, NULL);
	run->kvm_valid_regs = BIT(3);
	EXPECT_EQ(-EINVAL, vcpu_run(self->vcpu));
	run->kvm_valid_regs = ALL;
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	run->kvm_dirty_regs = BIT(63);
	EXPECT_EQ(-EINVAL, vcpu_run(self->vcpu));
	run->s.regs.sregs.cr0 ^= BIT(0);
	run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	EXPECT_EQ(-EINVAL, vcpu_run(self->vcpu));
	run->s.regs.events.exception.injected = 1;
	run->s.regs.events.exception.nr = 200;
	run->kvm_dirty_regs = KVM_SYNC_X86_EVENTS;
	EXPECT_EQ(-EINVAL, vcpu_run(self->vcpu));
	run->kvm_dirty_regs = 0;
	vcpu_get_regs(self->vcpu, &regs);
	EXPECT_EQ(0, regs.rbx);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(1, run->s.regs.regs.rbx);
}

TEST_F(sync, xsave2)
{
	static struct { u8 bytes[8192]; } a, b;
	int i;

	if (!node_has(KVM_CAP_XSAVE2))
		TEST_SKIP("no KVM_CAP_XSAVE2");
	ASSERT_EQ(4096, node_has(KVM_CAP_XSAVE2));
	memset(&b, 0x33, sizeof(b));
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_GET_XSAVE, &a));
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_GET_XSAVE2, &b));
	EXPECT_EQ(0, memcmp(&a, &b, 4096));
	for (i = 4096; i < 8192; i++)
		ASSERT_EQ(0x33, b.bytes[i]);
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_GET_XSAVE2, (void *)8));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(sync, tsc_frequency)
{
	long khz = ioctl(self->vcpu->fd, KVM_GET_TSC_KHZ);

	ASSERT_LT(0, khz);
	EXPECT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_TSC_KHZ, khz));
	EXPECT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_TSC_KHZ, khz + khz / 5000));
	EXPECT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_TSC_KHZ, 0UL));
	if (node_has(KVM_CAP_TSC_CONTROL))
		TEST_SKIP("this node scales");
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_SET_TSC_KHZ, khz / 2));
	EXPECT_EQ(EINVAL, errno);
}

UMBRA_TEST_MAIN
