// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's external interrupt, which userspace gives and takes by KVM_INTERRUPT.
 *
 * One wish at a time: an edge is gone when it was delivered, a level when userspace takes
 * it back. It waits for MSR[EE]. Meanwhile LPCR[MER] has the CPU interrupt the host when
 * the guest sets that (Power ISA 3.0B book III, 6.5.8); without it the next exit does, which
 * is the host's next tick at the latest.
 *
 * Locks: none. @external is written by any thread, and is looked at after the vCPU's mode
 * was set, so that either the writer sees it in the guest or it sees what was written.
 */
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <asm/kvm_asm.h>
#include <asm/reg.h>

#include "hpt/hpt.h"
#include "p9.h"

/**
 * power_external_ioctl() - KVM_INTERRUPT
 * @vcpu: the vCPU; any thread calls, with no lock held
 * @user: the argument
 *
 * Return: 0; -EFAULT; -EINVAL for what is none of KVM_INTERRUPT_SET, _SET_LEVEL and _UNSET.
 */
long power_external_ioctl(struct umbra_vcpu *vcpu, const struct kvm_interrupt __user *user)
{
	struct kvm_interrupt wish;

	if (copy_from_user(&wish, user, sizeof(wish)))
		return -EFAULT;
	switch (wish.irq) {
	case KVM_INTERRUPT_UNSET:
		WRITE_ONCE(vcpu->arch.external, 0);
		return 0;
	case KVM_INTERRUPT_SET:
	case KVM_INTERRUPT_SET_LEVEL:
		/* Before the look for a sleeper, and at the mode. */
		smp_store_mb(vcpu->arch.external, wish.irq);
		wake_up_interruptible(&vcpu->arch.wait);
		umbra_vcpu_expel(&vcpu->mmu);
		return 0;
	default:
		return -EINVAL;
	}
}

/**
 * power_external_deliver() - give the guest its interrupt, or see to it that it comes
 * @vcpu: the vCPU that is about to be entered, after umbra_vcpu_enter_guest()
 *
 * Return: bits of LPCR to enter with.
 */
u64 power_external_deliver(struct umbra_vcpu *vcpu)
{
	u32 external = READ_ONCE(vcpu->arch.external);

	if (!external)
		return 0;
	if (!(vcpu->arch.guest->shared->msr & MSR_EE))
		return LPCR_MER;
	power_interrupt(vcpu->arch.guest, BOOK3S_INTERRUPT_EXTERNAL, 0);
	if (external == KVM_INTERRUPT_SET_LEVEL)
		return LPCR_MER;
	/* Unless it has become a level meanwhile. */
	cmpxchg(&vcpu->arch.external, external, 0);
	return 0;
}
