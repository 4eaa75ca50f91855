// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers in kvm_run, for a client that looks at them at each exit: KVM_CAP_SYNC_REGS.
 *
 * Userspace can write to the page at any time, so each structure is copied before its
 * rules are applied.
 */
#include "x86.h"

/* Not inline: the kernel clears the union, which the usual KVM_RUN does not need. */
static noinline int take(struct umbra_vcpu *vcpu, u64 dirty)
{
	struct kvm_run *run = vcpu->run;
	union {
		struct kvm_regs regs;
		struct kvm_sregs sregs;
		struct kvm_vcpu_events events;
	} u;

	if (dirty & KVM_SYNC_X86_REGS) {
		memcpy(&u.regs, &run->s.regs.regs, sizeof(u.regs));
		umbra_set_regs(vcpu, &u.regs);
	}
	if (dirty & KVM_SYNC_X86_SREGS) {
		memcpy(&u.sregs, &run->s.regs.sregs, sizeof(u.sregs));
		if (umbra_set_sregs(vcpu, &u.sregs))
			return -EINVAL;
	}
	if (dirty & KVM_SYNC_X86_EVENTS) {
		memcpy(&u.events, &run->s.regs.events, sizeof(u.events));
		if (umbra_set_events(vcpu, &u.events))
			return -EINVAL;
	}
	run->kvm_dirty_regs = 0;
	return 0;
}

/**
 * umbra_sync_in() - take the registers that userspace changed in kvm_run
 * @vcpu: the vCPU, at the start of KVM_RUN
 *
 * Return: 0; -EINVAL for bits that do not exist, in what is to be taken as well as in what
 * is to be given, and for registers that no CPU would take.
 */
int umbra_sync_in(struct umbra_vcpu *vcpu)
{
	u64 dirty = READ_ONCE(vcpu->run->kvm_dirty_regs);

	if ((dirty | READ_ONCE(vcpu->run->kvm_valid_regs)) & ~(u64)KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	return unlikely(dirty) ? take(vcpu, dirty) : 0;
}

/**
 * umbra_sync_out() - give the registers that userspace asked for in kvm_run
 * @vcpu: the vCPU, at the end of KVM_RUN
 */
void umbra_sync_out(struct umbra_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 valid = READ_ONCE(run->kvm_valid_regs);

	if (valid & KVM_SYNC_X86_REGS)
		umbra_get_regs(vcpu, &run->s.regs.regs);
	if (valid & KVM_SYNC_X86_SREGS)
		umbra_get_sregs(vcpu, &run->s.regs.sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		umbra_get_events(vcpu, &run->s.regs.events);
}
