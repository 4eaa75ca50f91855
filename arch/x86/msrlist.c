// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls around MSRs: which there are, and several at a time.
 *
 * Features are MSRs that tell what the CPU is rather than what a guest has made of it; the
 * node answers for them before there is a vCPU.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/msr-index.h>

#include "x86.h"

/* As many as KVM takes in one call. */
#define MSRS_MAX 256

/* What KVM_GET_MSR_INDEX_LIST shows. */
static const u32 saved[] = {
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE,
	MSR_FS_BASE, MSR_GS_BASE, MSR_EFER, MSR_IA32_TSC, MSR_IA32_TSC_ADJUST,
	MSR_TSC_AUX, MSR_IA32_CR_PAT, MSR_IA32_APICBASE, MSR_IA32_TSC_DEADLINE,
	MSR_IA32_MISC_ENABLE, MSR_IA32_SPEC_CTRL, MSR_IA32_MCG_STATUS, MSR_IA32_MCG_CTL,
	MSR_MTRRcap, MSR_MTRRdefType,
	MSR_MTRRfix64K_00000, MSR_MTRRfix16K_80000, MSR_MTRRfix16K_A0000,
	MSR_MTRRfix4K_C0000, MSR_MTRRfix4K_C8000, MSR_MTRRfix4K_D0000,
	MSR_MTRRfix4K_D8000, MSR_MTRRfix4K_E0000, MSR_MTRRfix4K_E8000,
	MSR_MTRRfix4K_F0000, MSR_MTRRfix4K_F8000,
	MSR_K7_HWCR, MSR_AMD64_PATCH_LEVEL, MSR_AMD64_DE_CFG,
	MSR_PLATFORM_INFO, MSR_MISC_FEATURES_ENABLES, MSR_IA32_POWER_CTL,
	MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, MSR_KVM_WALL_CLOCK_NEW,
	MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_PV_EOI_EN, MSR_KVM_ASYNC_PF_EN, MSR_KVM_ASYNC_PF_INT,
	MSR_KVM_ASYNC_PF_ACK,
};

/* What KVM_GET_MSR_FEATURE_INDEX_LIST shows. */
static const u32 features[] = {
	MSR_AMD64_DE_CFG, MSR_AMD64_PATCH_LEVEL, MSR_IA32_PERF_CAPABILITIES,
};

static bool is_shown(u32 index)
{
	switch (index) {
	case MSR_TSC_AUX:
		return boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
	case MSR_IA32_SPEC_CTRL:
		return boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	default:
		return true;
	}
}

/**
 * umbra_msr_feature() - what this host's CPU is, in the words of an MSR
 * @index: the MSR
 * @val: what a guest can be given there at most
 *
 * Return: 0; -ENOENT for an MSR that is no feature.
 */
int umbra_msr_feature(u32 index, u64 *val)
{
	*val = 0;
	switch (index) {
	case MSR_AMD64_DE_CFG:
		if (boot_cpu_has(X86_FEATURE_LFENCE_RDTSC))
			*val = MSR_AMD64_DE_CFG_LFENCE_SERIALIZE;
		return 0;
	case MSR_AMD64_PATCH_LEVEL:
		rdmsrl_safe(index, val);
		return 0;
	/* There is no PMU. */
	case MSR_IA32_PERF_CAPABILITIES:
		return 0;
	default:
		return -ENOENT;
	}
}

/* -E2BIG with the number needed when the caller's array is too small. */
static long put_list(struct kvm_msr_list __user *list, const u32 *msrs, unsigned int count)
{
	u32 room, n = 0;
	unsigned int i;

	if (get_user(room, &list->nmsrs))
		return -EFAULT;
	for (i = 0; i < count; i++)
		n += is_shown(msrs[i]);
	if (put_user(n, &list->nmsrs))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	for (i = 0, n = 0; i < count; i++)
		if (is_shown(msrs[i]) && put_user(msrs[i], &list->indices[n++]))
			return -EFAULT;
	return 0;
}

/* One entry; an error ends the list. Without a vCPU it is a feature. */
static int do_entry(struct umbra_vcpu *vcpu, bool set, struct kvm_msr_entry *entry)
{
	if (!vcpu)
		return umbra_msr_feature(entry->index, &entry->data);
	if (set)
		return umbra_set_msr(vcpu, entry->index, entry->data, true);
	return umbra_get_msr(vcpu, entry->index, &entry->data, true);
}

/*
 * All go as far as the first MSR that fails, and return how many were done; what was
 * read is copied back.
 */
static long msrs_ioctl(struct umbra_vcpu *vcpu, bool set, struct kvm_msrs __user *argp)
{
	struct kvm_msr_entry *entries;
	struct kvm_msrs head;
	size_t size;
	long done;

	if (copy_from_user(&head, argp, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MSRS_MAX)
		return -E2BIG;
	size = array_size(head.nmsrs, sizeof(*entries));
	entries = memdup_user(argp->entries, size);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (done = 0; done < head.nmsrs; done++)
		if (do_entry(vcpu, set, &entries[done]))
			break;
	if (!set && copy_to_user(argp->entries, entries, size))
		done = -EFAULT;
	kfree(entries);
	return done;
}

/**
 * umbra_msr_dev_ioctl() - KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST, and
 * KVM_GET_MSRS of the node, which knows features alone
 * @cmd: the ioctl
 * @argp: its argument
 *
 * Return: what the ioctl returns; -ENOTTY for another @cmd.
 */
long umbra_msr_dev_ioctl(unsigned int cmd, void __user *argp)
{
	switch (cmd) {
	case KVM_GET_MSR_INDEX_LIST:
		return put_list(argp, saved, ARRAY_SIZE(saved));
	case KVM_GET_MSR_FEATURE_INDEX_LIST:
		return put_list(argp, features, ARRAY_SIZE(features));
	case KVM_GET_MSRS:
		return msrs_ioctl(NULL, false, argp);
	default:
		return -ENOTTY;
	}
}

/* KVM_GET_MSRS, KVM_SET_MSRS of a vCPU; -ENOTTY for another ioctl. */
long umbra_msr_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	switch (cmd) {
	case KVM_GET_MSRS:
		return msrs_ioctl(vcpu, false, argp);
	case KVM_SET_MSRS:
		return msrs_ioctl(vcpu, true, argp);
	default:
		return -ENOTTY;
	}
}
