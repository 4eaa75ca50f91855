// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library itself, and with it the least that everything else needs: a
 * guest starts in each mode, says something, takes an exception and ends.
 */
#include "test.h"

static void guest_hello(void *arg)
{
	u64 *shared = arg;
	struct guest_trap trap;

	GUEST_SYNC(1);
	shared[1] = shared[0] + 1;
	guest_try(trap, "ud2");
	GUEST_ASSERT_EQ(X86_TRAP_UD, trap.vector);
	guest_try(trap, "mov %[v], (%[p])", [v] "r" (1UL), [p] "r" BIT(40));
	GUEST_ASSERT_EQ(X86_TRAP_PF, trap.vector);
	GUEST_ASSERT_EQ(2, trap.error);
	GUEST_ASSERT_EQ(1UL << 40, trap.cr2);
	GUEST_SYNC(2);
}

TEST(long_mode)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);
	u64 *shared = vm_mem(vm, PAGE_4K);

	shared[0] = 41;
	vcpu_start(vcpu, guest_hello, shared);
	vcpu_sync(vcpu, 1);
	EXPECT_EQ(0, shared[1]);
	vcpu_sync(vcpu, 2);
	EXPECT_EQ(42, shared[1]);
	vcpu_done(vcpu);
	vm_free(vm);
}

/* mov $0x1234, %ax; hlt */
TEST(real_mode)
{
	static const u8 code[] = { 0xb8, 0x34, 0x12, 0xf4 };
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);
	struct kvm_regs regs;

	memcpy(boot_hva(vm, 0x1000), code, sizeof(code));
	vcpu_start_real(vcpu, 0x1000, 0xf000);
	ASSERT_EQ(0, vcpu_run(vcpu));
	EXPECT_EQ(KVM_EXIT_HLT, vcpu->run->exit_reason);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(0x1234, regs.rax);
	vm_free(vm);
}

/* mov $0x12345678, %eax; hlt */
TEST(protected_mode)
{
	static const u8 code[] = { 0xb8, 0x78, 0x56, 0x34, 0x12, 0xf4 };
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);
	struct kvm_regs regs;

	memcpy(boot_hva(vm, 0x1000), code, sizeof(code));
	vcpu_start_protected(vcpu, 0x1000, 0xf000);
	ASSERT_EQ(0, vcpu_run(vcpu));
	EXPECT_EQ(KVM_EXIT_HLT, vcpu->run->exit_reason);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(0x12345678, regs.rax);
	vm_free(vm);
}

UMBRA_TEST_MAIN
