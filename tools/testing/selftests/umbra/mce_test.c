// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine checks that userspace reports. Proves that KVM_X86_SETUP_MCE gives the guest
 * its banks and refuses what is not supported, that the registers obey their rules, that
 * KVM_X86_SET_MCE shows a corrected error without a trap and an uncorrected one by #MC,
 * shuts down a guest that cannot take it, and keeps the worse of two errors.
 */
#include "test.h"

#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_MCG_CTL 0x17b
#define MSR_BANK(n, reg) (0x400 + 4 * (n) + (reg))
enum { CTL, STATUS, ADDR, MISC };

#define CAP_CTL BIT(8)
#define CAP_SER BIT(24)
#define BANKS 5

#define MCG_MCIP BIT(2)
#define MCG_RIPV BIT(0)
#define MCI_VAL BIT(63)
#define MCI_OVER BIT(62)
#define MCI_UC BIT(61)

#define X86_TRAP_MC 18
#define CR4_MCE BIT(6)

FIXTURE(mce) {
	struct vm *vm;
	struct vcpu *vcpu;
	shared_u64 *shared;
};

#define SHARED ((shared_u64 *)TEST_MEM)

static int setup_mce(struct vcpu *vcpu, u64 cap)
{
	return ioctl(vcpu->fd, KVM_X86_SETUP_MCE, &cap) ? -errno : 0;
}

static int set_mce(struct vcpu *vcpu, u8 bank, u64 status, u64 mcg_status)
{
	struct kvm_x86_mce mce = { .bank = bank, .status = status, .mcg_status = mcg_status,
				   .addr = 0x123000, .misc = 0x8c };

	return ioctl(vcpu->fd, KVM_X86_SET_MCE, &mce) ? -errno : 0;
}

FIXTURE_SETUP(mce)
{
	struct kvm_sregs sregs;

	if (!node_has(KVM_CAP_MCE))
		TEST_SKIP("no KVM_CAP_MCE");
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->shared = vm_mem(self->vm, PAGE_2M);
	ASSERT_EQ(0, setup_mce(self->vcpu, BANKS | CAP_CTL));
	vcpu_start(self->vcpu, NULL, NULL);
	vcpu_get_sregs(self->vcpu, &sregs);
	sregs.cr4 |= CR4_MCE;
	vcpu_set_sregs(self->vcpu, &sregs);
}

FIXTURE_TEARDOWN(mce)
{
	vm_free(self->vm);
}

TEST_F(mce, what_is_supported)
{
	int node = node_open();
	u64 cap = 0;

	ASSERT_EQ(0, ioctl(node, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap));
	EXPECT_EQ(CAP_CTL, cap & CAP_CTL);
	EXPECT_EQ(0, cap & 0xff);
	EXPECT_EQ(-1, ioctl(node, KVM_X86_GET_MCE_CAP_SUPPORTED, (void *)8));
	EXPECT_EQ(EFAULT, errno);
	close(node);

	EXPECT_EQ(0, setup_mce(self->vcpu, cap | 1));
	EXPECT_EQ(0, setup_mce(self->vcpu, node_has(KVM_CAP_MCE)));
	EXPECT_EQ(-EINVAL, setup_mce(self->vcpu, node_has(KVM_CAP_MCE) + 1));
	EXPECT_EQ(-EINVAL, setup_mce(self->vcpu, 0));
	EXPECT_EQ(-EINVAL, setup_mce(self->vcpu, CAP_CTL));
	EXPECT_EQ(-EINVAL, setup_mce(self->vcpu, BANKS | BIT(40)));
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_X86_SETUP_MCE, (void *)8));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_X86_SET_MCE, (void *)8));
	EXPECT_EQ(EFAULT, errno);
}

static u64 wrmsr_traps(u32 msr, u64 val)
{
	struct guest_trap trap;

	guest_try(trap, "wrmsr", "c" (msr), "a" ((u32)val), "d" ((u32)(val >> 32)));
	return trap.vector;
}

/* guest_try() has no outputs for what RDMSR leaves in EAX and EDX. */
static u64 rdmsr_traps(u32 msr)
{
	struct guest_trap trap;

	guest_try(trap, "rdmsr; mov %%rbx, %%rax; mov %%rbx, %%rdx", "c" (msr), "a" (0UL),
		  "b" (0UL), "d" (0UL));
	return trap.vector;
}

static void guest_registers(void *arg)
{
	int i;

	GUEST_ASSERT_EQ(BANKS | CAP_CTL, guest_rdmsr(MSR_MCG_CAP));
	GUEST_ASSERT_EQ(X86_TRAP_GP, wrmsr_traps(MSR_MCG_CAP, BANKS | CAP_CTL));
	GUEST_ASSERT_EQ(~0UL, guest_rdmsr(MSR_MCG_CTL));
	GUEST_ASSERT_EQ(X86_TRAP_GP, wrmsr_traps(MSR_MCG_CTL, 1));
	guest_wrmsr(MSR_MCG_CTL, 0);
	GUEST_ASSERT_EQ(0, guest_rdmsr(MSR_MCG_CTL));
	for (i = 0; i < BANKS; i++) {
		GUEST_ASSERT_EQ(~0UL, guest_rdmsr(MSR_BANK(i, CTL)));
		GUEST_ASSERT_EQ(X86_TRAP_GP, wrmsr_traps(MSR_BANK(i, CTL), 7));
		guest_wrmsr(MSR_BANK(i, CTL), ~BIT(10));
		GUEST_ASSERT_EQ(~BIT(10), guest_rdmsr(MSR_BANK(i, CTL)));
		guest_wrmsr(MSR_BANK(i, CTL), 0);
		GUEST_ASSERT_EQ(X86_TRAP_GP, wrmsr_traps(MSR_BANK(i, STATUS), MCI_VAL));
		guest_wrmsr(MSR_BANK(i, STATUS), 0);
		guest_wrmsr(MSR_BANK(i, ADDR), i + 100);
		guest_wrmsr(MSR_BANK(i, MISC), i + 200);
	}
	for (i = 0; i < BANKS; i++) {
		GUEST_ASSERT_EQ(i + 100, guest_rdmsr(MSR_BANK(i, ADDR)));
		GUEST_ASSERT_EQ(i + 200, guest_rdmsr(MSR_BANK(i, MISC)));
	}
	GUEST_ASSERT_EQ(X86_TRAP_GP, rdmsr_traps(MSR_BANK(BANKS, CTL)));
	GUEST_ASSERT_EQ(X86_TRAP_GP, wrmsr_traps(MSR_BANK(BANKS, CTL), 0));
	GUEST_ASSERT_EQ(X86_TRAP_GP, rdmsr_traps(MSR_BANK(31, MISC)));
}

TEST_F(mce, registers)
{
	vcpu_call(self->vcpu, guest_registers, NULL);
}

static void guest_no_control(void *arg)
{
	GUEST_ASSERT_EQ(2, guest_rdmsr(MSR_MCG_CAP));
	GUEST_ASSERT_EQ(X86_TRAP_GP, rdmsr_traps(MSR_MCG_CTL));
	GUEST_ASSERT_EQ(X86_TRAP_GP, wrmsr_traps(MSR_MCG_CTL, 0));
}

TEST_F(mce, without_the_global_control)
{
	ASSERT_EQ(0, setup_mce(self->vcpu, 2));
	vcpu_call(self->vcpu, guest_no_control, NULL);
}

static void on_mc(struct guest_frame *f)
{
	SHARED[0]++;
	SHARED[1] = f->rip;
	SHARED[2] = guest_rdmsr(MSR_MCG_STATUS);
}

static void guest_wait(void *arg)
{
	u64 i;

	for (i = 1; i <= (u64)arg; i++)
		GUEST_SYNC(i);
}

static u64 msr(struct vcpu *vcpu, u32 index)
{
	u64 val = 0;

	if (!vcpu_get_msr(vcpu, index, &val))
		die("MSR %#x is refused", index);
	return val;
}

TEST_F(mce, corrected)
{
	vm_set_handler(self->vm, X86_TRAP_MC, on_mc);
	vcpu_start(self->vcpu, guest_wait, (void *)3);
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(-EINVAL, set_mce(self->vcpu, BANKS, MCI_VAL | 1, 0));
	EXPECT_EQ(-EINVAL, set_mce(self->vcpu, 255, MCI_VAL | 1, 0));
	EXPECT_EQ(-EINVAL, set_mce(self->vcpu, 3, 1, 0));
	EXPECT_EQ(0, msr(self->vcpu, MSR_BANK(3, STATUS)));
	ASSERT_EQ(0, set_mce(self->vcpu, 3, MCI_VAL | 1, 0));
	EXPECT_EQ(MCI_VAL | 1, msr(self->vcpu, MSR_BANK(3, STATUS)));
	EXPECT_EQ(0x123000, msr(self->vcpu, MSR_BANK(3, ADDR)));
	EXPECT_EQ(0x8c, msr(self->vcpu, MSR_BANK(3, MISC)));
	EXPECT_EQ(0, msr(self->vcpu, MSR_BANK(2, STATUS)));
	/* The second one takes the place of the first. */
	ASSERT_EQ(0, set_mce(self->vcpu, 3, MCI_VAL | 2, 0));
	EXPECT_EQ(MCI_VAL | MCI_OVER | 2, msr(self->vcpu, MSR_BANK(3, STATUS)));
	vcpu_done(self->vcpu);
	EXPECT_EQ(0, self->shared[0]);
}

static void start_with_mce(struct vcpu *vcpu, u64 n, bool mce)
{
	struct kvm_sregs sregs;

	vcpu_start(vcpu, guest_wait, (void *)n);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr4 = mce ? sregs.cr4 | CR4_MCE : sregs.cr4 & ~CR4_MCE;
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_sync(vcpu, 1);
}

TEST_F(mce, uncorrected)
{
	const u64 status = MCI_VAL | MCI_UC | 5;

	vm_set_handler(self->vm, X86_TRAP_MC, on_mc);
	start_with_mce(self->vcpu, 3, true);
	/* Nobody listens to this bank. */
	ASSERT_TRUE(vcpu_set_msr(self->vcpu, MSR_BANK(1, CTL), 0));
	ASSERT_EQ(0, set_mce(self->vcpu, 1, status, MCG_MCIP | MCG_RIPV));
	EXPECT_EQ(0, msr(self->vcpu, MSR_BANK(1, STATUS)));
	vcpu_sync(self->vcpu, 2);
	EXPECT_EQ(0, self->shared[0]);

	ASSERT_EQ(0, set_mce(self->vcpu, 2, status, MCG_MCIP | MCG_RIPV));
	vcpu_done(self->vcpu);
	EXPECT_EQ(1, self->shared[0]);
	EXPECT_EQ(MCG_MCIP | MCG_RIPV, self->shared[2]);
	EXPECT_EQ(status, msr(self->vcpu, MSR_BANK(2, STATUS)));
	EXPECT_EQ(0x123000, msr(self->vcpu, MSR_BANK(2, ADDR)));
	/* Less does not take its place. */
	ASSERT_EQ(0, set_mce(self->vcpu, 2, MCI_VAL | 9, 0));
	EXPECT_EQ(status | MCI_OVER, msr(self->vcpu, MSR_BANK(2, STATUS)));
}

TEST_F(mce, one_while_another_is_handled)
{
	start_with_mce(self->vcpu, 3, true);
	ASSERT_TRUE(vcpu_set_msr(self->vcpu, MSR_MCG_STATUS, MCG_MCIP));
	ASSERT_EQ(0, set_mce(self->vcpu, 2, MCI_VAL | MCI_UC, MCG_MCIP));
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, self->vcpu->run->exit_reason);
}

TEST_F(mce, a_guest_that_does_not_take_them)
{
	start_with_mce(self->vcpu, 3, false);
	ASSERT_EQ(0, set_mce(self->vcpu, 2, MCI_VAL | MCI_UC, MCG_MCIP));
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, self->vcpu->run->exit_reason);
}

UMBRA_TEST_MAIN
