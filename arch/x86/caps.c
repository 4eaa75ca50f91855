// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86's capabilities that are switched on, for a VM or a vCPU, and need no more than a word
 * to remember it.
 *
 * Locks: vm->lock for a VM's; its vCPUs read without. A vCPU's mutex for its own.
 */
#include <linux/uaccess.h>

#include "x86.h"

/* Quirks of KVM's that umbra has as well, and can do without. */
#define QUIRKS	(KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN | \
		 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)

/* PAUSE never exits, and C-states are no business of AMD's guests. */
#define NO_EXITS	(KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE)

#define MSR_REASONS	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | \
			 KVM_MSR_EXIT_REASON_FILTER)

/* The value of a capability that this file enables; 0 for another. */
int umbra_caps_check_extension(long ext)
{
	switch (ext) {
	case KVM_CAP_DISABLE_QUIRKS2:
		return QUIRKS;
	case KVM_CAP_X86_DISABLE_EXITS:
		return NO_EXITS;
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE:
	case KVM_CAP_X86_USER_SPACE_MSR:
	case KVM_CAP_X86_MSR_FILTER:
	case KVM_CAP_MSR_PLATFORM_INFO:
	case KVM_CAP_EXCEPTION_PAYLOAD:
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
	case KVM_CAP_ENFORCE_PV_FEATURE_CPUID:
	case KVM_CAP_ENABLE_CAP:
		return 1;
	default:
		return 0;
	}
}

/* -EINVAL beyond the limit of all VMs, once it is set to another, and when there is a vCPU. */
static long set_max_vcpu_id(struct umbra_vm *vm, u64 max)
{
	if (!max || max > UMBRA_VCPUS_MAX || vm->nr_vcpus)
		return -EINVAL;
	if (vm->max_vcpu_id && vm->max_vcpu_id != max)
		return -EINVAL;
	vm->max_vcpu_id = max;
	return 0;
}

static long set_word(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	u64 val = cap->args[0];

	switch (cap->cap) {
	case KVM_CAP_DISABLE_QUIRKS2:
		if (val & ~(u64)QUIRKS)
			return -EINVAL;
		WRITE_ONCE(vm->arch.quirks_off, val);
		return 0;
	case KVM_CAP_X86_DISABLE_EXITS:
		if ((val & ~(u64)NO_EXITS) || vm->nr_vcpus)
			return -EINVAL;
		vm->arch.hlt_passes = val & KVM_X86_DISABLE_EXITS_HLT;
		return 0;
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE:
		/* Every failure is an exit already. */
		return val > 1 ? -EINVAL : 0;
	case KVM_CAP_X86_USER_SPACE_MSR:
		if (val & ~(u64)MSR_REASONS)
			return -EINVAL;
		WRITE_ONCE(vm->arch.user_msr, val);
		return 0;
	case KVM_CAP_MSR_PLATFORM_INFO:
		WRITE_ONCE(vm->arch.no_platform_info, !val);
		return 0;
	case KVM_CAP_EXCEPTION_PAYLOAD:
		WRITE_ONCE(vm->arch.exception_payload, val);
		return 0;
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
		WRITE_ONCE(vm->arch.triple_fault_event, val);
		return 0;
	case KVM_CAP_MAX_VCPU_ID:
		return set_max_vcpu_id(vm, val);
	default:
		return -ENOTTY;
	}
}

/**
 * umbra_caps_enable() - KVM_ENABLE_CAP on a VM
 * @vm: the VM; no lock held
 * @cap: the capability, without flags
 *
 * Return: 0; -EINVAL for an argument that makes no sense; -ENOTTY for a capability that is
 * not enabled here.
 */
long umbra_caps_enable(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	long r;

	mutex_lock(&vm->lock);
	r = set_word(vm, cap);
	mutex_unlock(&vm->lock);
	return r;
}

/* KVM_ENABLE_CAP on a vCPU; -ENOTTY for another ioctl. */
long umbra_caps_vcpu_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	struct kvm_enable_cap cap;

	if (cmd != KVM_ENABLE_CAP)
		return -ENOTTY;
	if (copy_from_user(&cap, argp, sizeof(cap)))
		return -EFAULT;
	if (cap.flags || cap.cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID)
		return -EINVAL;
	vcpu->arch.enforce_pv = cap.args[0];
	return 0;
}
