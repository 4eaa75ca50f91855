// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine checks of the guest: the banks, and what userspace reports in them
 * (APM volume 2, chapter 9; SDM volume 3, chapter 16).
 *
 * A vCPU has no banks until KVM_X86_SETUP_MCE gives it some. The host's own machine
 * checks are the host's: nothing here is ever set by the hardware.
 *
 * Locks: vcpu->mutex.
 */
#include <linux/nospec.h>
#include <linux/uaccess.h>
#include <asm/mce.h>
#include <asm/msr-index.h>

#include "x86.h"

/* What a guest's MCG_CAP may have besides the number of banks. */
#define CAP_SUPPORTED	(MCG_CTL_P | MCG_SER_P)

#define VECTOR_MC	18

/* HWCR[McStatusWrEn]: the guest may write any status. */
#define HWCR_STATUS_WRITE	BIT_ULL(18)

/* Registers of a bank, in the order of their MSRs. */
enum { CTL, STATUS, ADDR, MISC };

static unsigned int nr_banks(const struct umbra_x86_mce *mce)
{
	return mce->cap & MCG_BANKCNT_MASK;
}

static u64 *bank_register(struct umbra_x86_mce *mce, u32 index)
{
	u32 n = index - MSR_IA32_MC0_CTL;

	if (n >= 4 * nr_banks(mce))
		return NULL;
	return &mce->banks[0][0] + array_index_nospec(n, 4 * UMBRA_MCE_BANKS);
}

/**
 * umbra_mce_get_msr() - RDMSR of MCG_CAP, MCG_CTL, MCG_STATUS or a bank's
 * @vcpu: the vCPU
 * @index: the MSR
 * @val: its value
 * @host: for an ioctl
 *
 * Return: 0; -EINVAL when the guest has no such register.
 */
int umbra_mce_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *val, bool host)
{
	struct umbra_x86_mce *mce = &vcpu->arch.mce;
	const u64 *reg;

	switch (index) {
	case MSR_IA32_MCG_CAP:
		*val = mce->cap;
		return 0;
	case MSR_IA32_MCG_STATUS:
		*val = mce->status;
		return 0;
	case MSR_IA32_MCG_CTL:
		*val = mce->ctl;
		return host || (mce->cap & MCG_CTL_P) ? 0 : -EINVAL;
	default:
		reg = bank_register(mce, index);
		if (!reg)
			return -EINVAL;
		*val = *reg;
		return 0;
	}
}

/*
 * Controls are all ones or all zeroes; some guests leave bit 0 or 10 of a bank's clear,
 * for errors that hardware of old reported by mistake.
 */
static bool bank_value_valid(const struct umbra_vcpu *vcpu, u32 index, u64 val, bool host)
{
	switch (index & 3) {
	case CTL:
		return !val || (val | BIT(10) | BIT(0)) == ~0ULL;
	case STATUS:
		return host || !val || (vcpu->arch.msr_hwcr & HWCR_STATUS_WRITE);
	default:
		return true;
	}
}

/**
 * umbra_mce_set_msr() - WRMSR of MCG_CTL, MCG_STATUS or a bank's
 * @vcpu: the vCPU
 * @index: the MSR
 * @val: value
 * @host: by an ioctl
 *
 * Return: 0; -EINVAL when the guest has no such register, or it does not take @val.
 */
int umbra_mce_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val, bool host)
{
	struct umbra_x86_mce *mce = &vcpu->arch.mce;
	u64 *reg;

	switch (index) {
	case MSR_IA32_MCG_STATUS:
		mce->status = val;
		return 0;
	case MSR_IA32_MCG_CTL:
		if (!(mce->cap & MCG_CTL_P) && (val || !host))
			return -EINVAL;
		if (val && val != ~0ULL)
			return -EINVAL;
		mce->ctl = val;
		return 0;
	default:
		reg = bank_register(mce, index);
		if (!reg || !bank_value_valid(vcpu, index, val, host))
			return -EINVAL;
		*reg = val;
		return 0;
	}
}

static long setup(struct umbra_vcpu *vcpu, u64 cap)
{
	struct umbra_x86_mce *mce = &vcpu->arch.mce;
	unsigned int i, banks = cap & MCG_BANKCNT_MASK;

	if (!banks || banks > UMBRA_MCE_BANKS)
		return -EINVAL;
	if (cap & ~(u64)(CAP_SUPPORTED | MCG_BANKCNT_MASK | MCG_EXT_CNT_MASK))
		return -EINVAL;
	mce->cap = cap;
	mce->ctl = cap & MCG_CTL_P ? ~0ULL : 0;
	for (i = 0; i < banks; i++)
		mce->banks[i][CTL] = ~0ULL;
	return 0;
}

static void record(u64 *bank, const struct kvm_x86_mce *error)
{
	u64 overflow = bank[STATUS] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0;

	bank[STATUS] = error->status | overflow;
	bank[ADDR] = error->addr;
	bank[MISC] = error->misc;
}

/* The guest takes #MC, or, when it cannot, is shut down. */
static void report_uncorrected(struct umbra_vcpu *vcpu, u64 *bank,
			       const struct kvm_x86_mce *error)
{
	struct umbra_x86_mce *mce = &vcpu->arch.mce;

	if ((mce->status & MCG_STATUS_MCIP) || !(vcpu->arch.cr4 & X86_CR4_MCE)) {
		vcpu->arch.stop |= UMBRA_STOP_SHUTDOWN;
		return;
	}
	record(bank, error);
	mce->status = error->mcg_status;
	umbra_queue_exception(vcpu, VECTOR_MC, false, 0);
}

/* What the guest turned off is dropped; what it has not read yet is not overwritten by less. */
static long report(struct umbra_vcpu *vcpu, const struct kvm_x86_mce *error)
{
	struct umbra_x86_mce *mce = &vcpu->arch.mce;
	u64 *bank;

	if (error->bank >= nr_banks(mce) || !(error->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = mce->banks[array_index_nospec(error->bank, UMBRA_MCE_BANKS)];
	if (error->status & MCI_STATUS_UC) {
		if (((mce->cap & MCG_CTL_P) && mce->ctl != ~0ULL) || bank[CTL] != ~0ULL)
			return 0;
		report_uncorrected(vcpu, bank, error);
	} else if ((bank[STATUS] & MCI_STATUS_VAL) && (bank[STATUS] & MCI_STATUS_UC)) {
		bank[STATUS] |= MCI_STATUS_OVER;
	} else {
		record(bank, error);
	}
	return 0;
}

/* KVM_X86_GET_MCE_CAP_SUPPORTED; -ENOTTY for another ioctl. */
long umbra_mce_dev_ioctl(unsigned int cmd, void __user *argp)
{
	const u64 cap = CAP_SUPPORTED;

	if (cmd != KVM_X86_GET_MCE_CAP_SUPPORTED)
		return -ENOTTY;
	return copy_to_user(argp, &cap, sizeof(cap)) ? -EFAULT : 0;
}

/* KVM_X86_SETUP_MCE, KVM_X86_SET_MCE; -ENOTTY for another ioctl. */
long umbra_mce_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	struct kvm_x86_mce error;
	u64 cap;

	switch (cmd) {
	case KVM_X86_SETUP_MCE:
		if (copy_from_user(&cap, argp, sizeof(cap)))
			return -EFAULT;
		return setup(vcpu, cap);
	case KVM_X86_SET_MCE:
		if (copy_from_user(&error, argp, sizeof(error)))
			return -EFAULT;
		return report(vcpu, &error);
	default:
		return -ENOTTY;
	}
}
