// SPDX-License-Identifier: GPL-2.0-only
/*
 * Debugging of the guest by userspace: KVM_SET_GUEST_DEBUG.
 *
 * Userspace's breakpoints are in the debug registers in the place of the guest's, which
 * keep their values and do nothing meanwhile. It steps by RFLAGS.TF, which is in
 * arch.rflags, so that the emulator and the hardware step alike, and which
 * umbra_debug_rflags() hides.
 *
 * While userspace steps or has breakpoints every #DB is its own, also one that the guest
 * has brought about; it can hand one back by KVM_GUESTDBG_INJECT_DB or
 * KVM_SET_VCPU_EVENTS. The guest's DR6 does not change then.
 *
 * Interrupts that come in a step are delivered in it and pushed with TF set: the step
 * ends behind their handler. KVM_GUESTDBG_BLOCKIRQ keeps them, and NMIs, waiting.
 *
 * Locks: vcpu->mutex is held.
 */
#include <linux/uaccess.h>

#include "x86.h"

#define VECTOR_DB	1
#define VECTOR_BP	3

static bool steps(const struct umbra_vcpu *vcpu)
{
	return vcpu->arch.debug.control & KVM_GUESTDBG_SINGLESTEP;
}

/* RFLAGS without the TF that is not the guest's. */
u64 umbra_debug_rflags(const struct umbra_vcpu *vcpu)
{
	u64 rflags = vcpu->arch.rflags;

	return steps(vcpu) ? rflags & ~(u64)X86_EFLAGS_TF : rflags;
}

/* RFLAGS were written: where a step was to begin, it still is. */
void umbra_debug_step(struct umbra_vcpu *vcpu)
{
	if (steps(vcpu) && umbra_linear_rip(vcpu) == vcpu->arch.debug.step_rip)
		vcpu->arch.rflags |= X86_EFLAGS_TF;
}

/**
 * umbra_debug_exit() - KVM_EXIT_DEBUG
 * @vcpu: the vCPU; may be in the inner section
 * @vector: #DB or #BP
 * @dr6: what happened
 *
 * Return: UMBRA_RUN_USER.
 */
int umbra_debug_exit(struct umbra_vcpu *vcpu, u8 vector, u64 dr6)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_DEBUG;
	run->debug.arch = (struct kvm_debug_exit_arch) {
		.exception = vector,
		.pc = umbra_linear_rip(vcpu),
		.dr6 = dr6,
		.dr7 = umbra_debug_dr7(vcpu),
	};
	return UMBRA_RUN_USER;
}

/**
 * umbra_debug_trap() - #DB of an instruction that was executed for the guest
 * @vcpu: the vCPU
 * @why: UMBRA_DR6_BS or UMBRA_DR6_BD
 */
void umbra_debug_trap(struct umbra_vcpu *vcpu, u64 why)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (umbra_debug_takes_db(vcpu)) {
		arch->debug.dr6 = UMBRA_DR6_FIXED | why;
		arch->stop |= UMBRA_STOP_DEBUG;
		return;
	}
	umbra_queue_payload(vcpu, VECTOR_DB, 0, why);
}

/* QEMU leaves the registers as they are where it has no breakpoints in them. */
static bool is_valid(const struct kvm_guest_debug *dbg)
{
	return !(dbg->control & ~UMBRA_GUESTDBG_VALID) &&
	       !(dbg->control & KVM_GUESTDBG_USE_HW_BP && dbg->arch.debugreg[7] >> 32);
}

/* -EINVAL for flags and bits that do not exist, -EBUSY when an event waits. */
static long set_guest_debug(struct umbra_vcpu *vcpu, const struct kvm_guest_debug *dbg)
{
	const u32 inject = KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP;
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	struct umbra_x86_debug *debug = &arch->debug;

	if (!is_valid(dbg))
		return -EINVAL;
	if (dbg->control & inject) {
		if (arch->event.kind != UMBRA_EVENT_NONE)
			return -EBUSY;
		umbra_queue_exception(vcpu, dbg->control & KVM_GUESTDBG_INJECT_DB ?
				      VECTOR_DB : VECTOR_BP, false, 0);
	}
	arch->rflags = umbra_debug_rflags(vcpu);
	debug->control = dbg->control & KVM_GUESTDBG_ENABLE ? dbg->control & ~inject : 0;
	memcpy(debug->dr, dbg->arch.debugreg, sizeof(debug->dr));
	debug->dr7 = (dbg->arch.debugreg[7] & UMBRA_DR7_BITS) | UMBRA_DR7_FIXED;
	debug->step_rip = umbra_linear_rip(vcpu);
	umbra_debug_step(vcpu);
	if (!umbra_debug_takes_db(vcpu))
		arch->stop &= ~UMBRA_STOP_DEBUG;
	umbra_backend->sync_dr(vcpu);
	return 0;
}

/**
 * umbra_debug_ioctl() - KVM_SET_GUEST_DEBUG
 * @vcpu: the vCPU; its mutex is held
 * @cmd: the ioctl
 * @argp: its argument
 *
 * Return: what the ioctl returns; -ENOTTY for another @cmd.
 */
long umbra_debug_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	struct kvm_guest_debug dbg;

	if (cmd != KVM_SET_GUEST_DEBUG)
		return -ENOTTY;
	if (copy_from_user(&dbg, argp, sizeof(dbg)))
		return -EFAULT;
	return set_guest_debug(vcpu, &dbg);
}
