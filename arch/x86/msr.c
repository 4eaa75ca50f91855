// SPDX-License-Identifier: GPL-2.0-only
/*
 * Model-specific registers.
 *
 * The backend keeps those that its hardware switches; the rest is here, each with its
 * rule. An MSR that is not listed does not exist: #GP in the guest, and the ioctls stop
 * at it, as KVM's do.
 *
 * A guest's write obeys the guest's CPUID; an ioctl's may set what a migration brings.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/msr-index.h>
#include <asm/mtrr.h>
#include <asm/tsc.h>

#include "irqchip.h"

/* Fixed ranges, write combining, and the number of variable ranges. */
#define MTRRCAP	(0x500 | UMBRA_MTRR_VARIABLE)

/* As many as KVM takes in one call. */
#define MSRS_MAX 256

#define MSR_MCE_LAST		(MSR_IA32_MC0_CTL + 4 * UMBRA_MCE_BANKS - 1)
#define MSR_MTRR_FIXED_4K_LAST	MSR_MTRRfix4K_F8000
#define HWCR_TSC_FREQ		BIT_ULL(24)
#define HWCR_IGNORED		(BIT_ULL(3) | BIT_ULL(4) | BIT_ULL(6) | BIT_ULL(8))

/* What KVM_GET_MSR_INDEX_LIST shows. */
static const u32 msr_list[] = {
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
	MSR_K7_HWCR, MSR_AMD64_PATCH_LEVEL,
	MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, MSR_KVM_WALL_CLOCK_NEW,
	MSR_KVM_SYSTEM_TIME_NEW,
};

static u64 *mtrr_slot(struct umbra_x86_mtrr *mtrr, u32 index)
{
	switch (index) {
	case MSR_MTRRdefType:
		return &mtrr->def_type;
	case MSR_MTRRfix64K_00000:
		return &mtrr->fixed[0];
	case MSR_MTRRfix16K_80000:
	case MSR_MTRRfix16K_A0000:
		return &mtrr->fixed[1 + index - MSR_MTRRfix16K_80000];
	case MSR_MTRRfix4K_C0000 ... MSR_MTRR_FIXED_4K_LAST:
		index = array_index_nospec(index - MSR_MTRRfix4K_C0000, 8);
		return &mtrr->fixed[3 + index];
	case MTRRphysBase_MSR(0) ... MTRRphysMask_MSR(UMBRA_MTRR_VARIABLE - 1):
		index = array_index_nospec(index - MTRRphysBase_MSR(0),
					   2 * UMBRA_MTRR_VARIABLE);
		return &mtrr->variable[index];
	default:
		return NULL;
	}
}

/* Memory types: uncached, write-combining, -through, -protected, -back. */
static bool mtrr_type_valid(u8 type)
{
	return type < 8 && (BIT(type) & 0x73);
}

static bool mtrr_valid(const struct umbra_vcpu *vcpu, u32 index, u64 val)
{
	unsigned int i;

	if (index == MSR_MTRRdefType)
		return !(val & ~0xcffULL) && mtrr_type_valid(val & 0xff);
	if (index >= MSR_MTRRfix64K_00000) {
		for (i = 0; i < 8; i++)
			if (!mtrr_type_valid(val >> (i * 8)))
				return false;
		return true;
	}
	if (val & vcpu->arch.limits.gpa_rsvd)
		return false;
	if (index & 1)
		return !(val & 0x7ff);
	return !(val & 0xf00) && mtrr_type_valid(val & 0xff);
}

/* Each byte is a memory type: UC, WC, WT, WP, WB or UC-. */
static bool pat_valid(u64 pat)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		u8 type = pat >> (i * 8);

		if (type > 7 || !(BIT(type) & 0xf3))
			return false;
	}
	return true;
}

static u64 guest_tsc(const struct umbra_vcpu *vcpu)
{
	return rdtsc() + vcpu->arch.tsc_offset;
}

/* TSC_ADJUST follows each write of the guest's to the TSC (SDM volume 3, 18.17.3). */
static void set_tsc(struct umbra_vcpu *vcpu, u64 val, bool host)
{
	u64 delta = val - guest_tsc(vcpu);

	if (!host)
		vcpu->arch.msr_tsc_adjust += delta;
	vcpu->arch.tsc_offset += delta;
	umbra_backend->sync_tsc(vcpu);
	umbra_clock_changed(vcpu);
	umbra_lapic_tsc_changed(vcpu);
}

static void set_tsc_adjust(struct umbra_vcpu *vcpu, u64 val, bool host)
{
	if (!host) {
		vcpu->arch.tsc_offset += val - vcpu->arch.msr_tsc_adjust;
		umbra_backend->sync_tsc(vcpu);
		umbra_clock_changed(vcpu);
		umbra_lapic_tsc_changed(vcpu);
	}
	vcpu->arch.msr_tsc_adjust = val;
}

static bool needs_canonical(u32 index)
{
	switch (index) {
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_IA32_SYSENTER_ESP:
	case MSR_IA32_SYSENTER_EIP:
		return true;
	default:
		return false;
	}
}

/**
 * umbra_get_msr() - RDMSR
 * @vcpu: the vCPU
 * @index: the MSR
 * @val: its value
 * @host: for an ioctl
 *
 * Never sleeps. Return: 0, or -EINVAL for one that does not exist.
 */
int umbra_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *val, bool host)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	u64 *slot;

	*val = 0;
	switch (index) {
	case MSR_EFER:
		*val = arch->efer;
		return 0;
	case MSR_IA32_TSC:
		*val = guest_tsc(vcpu);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		*val = arch->msr_tsc_adjust;
		return 0;
	case MSR_TSC_AUX:
		*val = arch->msr_tsc_aux;
		return host || arch->limits.tsc_aux ? 0 : -EINVAL;
	case MSR_IA32_APICBASE:
		*val = arch->apic_base;
		return 0;
	case UMBRA_X2APIC_MSR ... UMBRA_X2APIC_MSR_LAST:
		return umbra_x2apic_get_msr(vcpu, index, val);
	case MSR_IA32_TSC_DEADLINE:
		*val = umbra_lapic_get_deadline(vcpu);
		return 0;
	case MSR_IA32_MISC_ENABLE:
		*val = arch->msr_misc_enable;
		return 0;
	case MSR_IA32_SPEC_CTRL:
		*val = arch->msr_spec_ctrl;
		return host || arch->limits.spec_ctrl ? 0 : -EINVAL;
	case MSR_IA32_MCG_CAP ... MSR_IA32_MCG_CTL:
	case MSR_IA32_MC0_CTL ... MSR_MCE_LAST:
		return umbra_mce_get_msr(vcpu, index, val);
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_WALL_CLOCK_NEW:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*val = umbra_clock_get_msr(vcpu, index);
		return 0;
	case MSR_MTRRcap:
		*val = MTRRCAP;
		return 0;
	case MSR_K7_HWCR:
		*val = arch->msr_hwcr;
		return 0;
	case MSR_AMD64_PATCH_LEVEL:
		*val = arch->msr_patch_level;
		return 0;
	/* Registers of the platform that read as zero where nothing is behind them. */
	case MSR_IA32_PLATFORM_ID:
	case MSR_AMD64_SYSCFG:
	case MSR_AMD64_NB_CFG:
	case MSR_AMD64_LS_CFG:
	case MSR_K8_TSEG_ADDR:
	case MSR_K8_TSEG_MASK:
	case MSR_VM_CR:
	case MSR_VM_HSAVE_PA:
	case MSR_FAM10H_MMIO_CONF_BASE:
	case MSR_AMD64_BU_CFG2:
	case MSR_AMD64_DC_CFG:
	case MSR_AMD64_TW_CFG:
		return 0;
	default:
		break;
	}
	slot = mtrr_slot(&arch->mtrr, index);
	if (slot) {
		*val = *slot;
		return 0;
	}
	return umbra_backend->get_msr(vcpu, index, val) ? -EINVAL : 0;
}

static int set_backend_msr(struct umbra_vcpu *vcpu, u32 index, u64 val)
{
	if (index == MSR_IA32_CR_PAT && !pat_valid(val))
		return -EINVAL;
	if (needs_canonical(index) && !umbra_canonical(vcpu, val))
		return -EINVAL;
	if (index == MSR_SYSCALL_MASK)
		val = (u32)val;
	return umbra_backend->set_msr(vcpu, index, val) ? -EINVAL : 0;
}

static int set_pred_cmd(struct umbra_vcpu *vcpu, u64 val)
{
	if (!vcpu->arch.limits.spec_ctrl || (val & ~(u64)PRED_CMD_IBPB))
		return -EINVAL;
	if (val)
		indirect_branch_prediction_barrier();
	return 0;
}

/* What the CPU does not know is #GP in the world switch, where nobody could take it. */
static u64 spec_ctrl_bits(void)
{
	return (boot_cpu_has(X86_FEATURE_AMD_IBRS) ? SPEC_CTRL_IBRS : 0) |
	       (boot_cpu_has(X86_FEATURE_AMD_STIBP) ? SPEC_CTRL_STIBP : 0) |
	       (boot_cpu_has(X86_FEATURE_AMD_SSBD) ? SPEC_CTRL_SSBD : 0);
}

static int set_spec_ctrl(struct umbra_vcpu *vcpu, u64 val, bool host)
{
	if (!host && !vcpu->arch.limits.spec_ctrl)
		return -EINVAL;
	if (val & ~spec_ctrl_bits())
		return -EINVAL;
	if (val && !cpu_feature_enabled(X86_FEATURE_MSR_SPEC_CTRL))
		return -EINVAL;
	vcpu->arch.msr_spec_ctrl = val;
	umbra_backend->sync_spec_ctrl(vcpu);
	return 0;
}

/**
 * umbra_set_msr() - WRMSR
 * @vcpu: the vCPU; may be in the inner section
 * @index: the MSR
 * @val: its value
 * @host: for an ioctl
 *
 * Never sleeps. Return: 0, or -EINVAL where the guest gets #GP.
 */
int umbra_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val, bool host)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	u64 *slot;

	switch (index) {
	case MSR_EFER:
		return umbra_set_efer(vcpu, val, host);
	case MSR_IA32_TSC:
		set_tsc(vcpu, val, host);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		set_tsc_adjust(vcpu, val, host);
		return 0;
	case MSR_TSC_AUX:
		if ((!host && !arch->limits.tsc_aux) || val >> 32)
			return -EINVAL;
		arch->msr_tsc_aux = val;
		umbra_backend->sync_tsc(vcpu);
		return 0;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_WALL_CLOCK_NEW:
	case MSR_KVM_SYSTEM_TIME_NEW:
		umbra_clock_set_msr(vcpu, index, val);
		return 0;
	case MSR_MTRRcap:
		/* Read-only, but part of what a restore gives back. */
		return host && val == MTRRCAP ? 0 : -EINVAL;
	case MSR_IA32_APICBASE:
		return umbra_lapic_set_base(vcpu, val, host);
	case UMBRA_X2APIC_MSR ... UMBRA_X2APIC_MSR_LAST:
		return umbra_x2apic_set_msr(vcpu, index, val);
	case MSR_IA32_TSC_DEADLINE:
		umbra_lapic_set_deadline(vcpu, val);
		return 0;
	case MSR_IA32_MISC_ENABLE:
		arch->msr_misc_enable = val;
		return 0;
	case MSR_IA32_SPEC_CTRL:
		return set_spec_ctrl(vcpu, val, host);
	case MSR_IA32_PRED_CMD:
		return set_pred_cmd(vcpu, val);
	case MSR_IA32_MCG_STATUS:
	case MSR_IA32_MCG_CTL:
	case MSR_IA32_MC0_CTL ... MSR_MCE_LAST:
		return umbra_mce_set_msr(vcpu, index, val, host);
	case MSR_K7_HWCR:
		val &= ~HWCR_IGNORED;
		if (val & ~HWCR_TSC_FREQ)
			return -EINVAL;
		arch->msr_hwcr = val;
		return 0;
	case MSR_AMD64_PATCH_LEVEL:
		if (host)
			arch->msr_patch_level = val;
		return host ? 0 : -EINVAL;
	/* A write of what they read as; loading microcode does nothing. */
	case MSR_AMD64_PATCH_LOADER:
	case MSR_IA32_UCODE_WRITE:
	case MSR_AMD64_NB_CFG:
	case MSR_AMD64_LS_CFG:
	case MSR_AMD64_BU_CFG2:
	case MSR_AMD64_DC_CFG:
	case MSR_VM_HSAVE_PA:
	case MSR_FAM10H_MMIO_CONF_BASE:
		return 0;
	default:
		break;
	}
	slot = mtrr_slot(&arch->mtrr, index);
	if (slot) {
		if (!mtrr_valid(vcpu, index, val))
			return -EINVAL;
		*slot = val;
		return 0;
	}
	return set_backend_msr(vcpu, index, val);
}

/* Values after power-up; the backend's own are reset with its state. */
void umbra_msr_reset(struct umbra_vcpu *vcpu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	arch->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			  (vcpu->id == vcpu->vm->arch.boot_cpu ? MSR_IA32_APICBASE_BSP : 0);
	arch->msr_pat = 0x0007040600070406ULL;
	arch->msr_misc_enable = MSR_IA32_MISC_ENABLE_FAST_STRING;
	arch->msr_patch_level = 0x01000065;
	arch->msr_tsc_aux = 0;
	arch->msr_tsc_adjust = 0;
	arch->msr_spec_ctrl = 0;
	arch->msr_hwcr = 0;
	memset(&arch->mtrr, 0, sizeof(arch->mtrr));
	memset(&arch->clock, 0, sizeof(arch->clock));
}

static bool msr_shown(u32 index)
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

/* -E2BIG with the number needed when the caller's array is too small. */
static long get_index_list(struct kvm_msr_list __user *list)
{
	u32 room, n = 0;
	unsigned int i;

	if (get_user(room, &list->nmsrs))
		return -EFAULT;
	for (i = 0; i < ARRAY_SIZE(msr_list); i++)
		n += msr_shown(msr_list[i]);
	if (put_user(n, &list->nmsrs))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	for (i = 0, n = 0; i < ARRAY_SIZE(msr_list); i++)
		if (msr_shown(msr_list[i]) && put_user(msr_list[i], &list->indices[n++]))
			return -EFAULT;
	return 0;
}

/* KVM_GET_MSR_INDEX_LIST, and KVM_GET_MSR_FEATURE_INDEX_LIST without any. */
long umbra_msr_dev_ioctl(unsigned int cmd, void __user *argp)
{
	if (cmd == KVM_GET_MSR_INDEX_LIST)
		return get_index_list(argp);
	return -ENOTTY;
}

/*
 * Both go as far as the first MSR that fails, and return how many were done; what was
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
	for (done = 0; done < head.nmsrs; done++) {
		struct kvm_msr_entry *entry = &entries[done];
		int err;

		if (set)
			err = umbra_set_msr(vcpu, entry->index, entry->data, true);
		else
			err = umbra_get_msr(vcpu, entry->index, &entry->data, true);
		if (err)
			break;
	}
	if (!set && copy_to_user(argp->entries, entries, size))
		done = -EFAULT;
	kfree(entries);
	return done;
}

/* KVM_GET_MSRS, KVM_SET_MSRS; -ENOTTY for another ioctl. */
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
