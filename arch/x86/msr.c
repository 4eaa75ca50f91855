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
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/msr-index.h>
#include <asm/mtrr.h>

#include "irqchip.h"

/* Fixed ranges, write combining, and the number of variable ranges. */
#define MTRRCAP	(0x500 | UMBRA_MTRR_VARIABLE)

#define MSR_MCE_LAST		(MSR_IA32_MC0_CTL + 4 * UMBRA_MCE_BANKS - 1)
#define MSR_MTRR_FIXED_4K_LAST	MSR_MTRRfix4K_F8000
#define CPUID_FAULT		MSR_MISC_FEATURES_ENABLES_CPUID_FAULT
#define HWCR_TSC_FREQ		BIT_ULL(24)
#define HWCR_IGNORED		(BIT_ULL(3) | BIT_ULL(4) | BIT_ULL(6) | BIT_ULL(8))

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

static unsigned int pv_feature(u32 index)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
		return KVM_FEATURE_CLOCKSOURCE;
	case MSR_KVM_PV_EOI_EN:
		return KVM_FEATURE_PV_EOI;
	case MSR_KVM_ASYNC_PF_EN:
		return KVM_FEATURE_ASYNC_PF;
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		return KVM_FEATURE_ASYNC_PF_INT;
	default:
		return KVM_FEATURE_CLOCKSOURCE2;
	}
}

/* Of the paravirtual MSRs, where the guest is held to what its CPUID shows. */
static bool pv_allowed(const struct umbra_vcpu *vcpu, u32 index, bool host)
{
	return host || umbra_pv_has(vcpu, pv_feature(index));
}

static u64 get_pv_msr(struct umbra_vcpu *vcpu, u32 index)
{
	switch (index) {
	case MSR_KVM_PV_EOI_EN:
		return vcpu->arch.msr_pv_eoi;
	case MSR_KVM_ASYNC_PF_EN:
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		return umbra_async_pf_get_msr(vcpu, index);
	default:
		return umbra_clock_get_msr(vcpu, index);
	}
}

static int set_pv_msr(struct umbra_vcpu *vcpu, u32 index, u64 val)
{
	switch (index) {
	case MSR_KVM_PV_EOI_EN:
		return umbra_pv_eoi_set_msr(vcpu, val);
	case MSR_KVM_ASYNC_PF_EN:
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		return umbra_async_pf_set_msr(vcpu, index, val);
	default:
		umbra_clock_set_msr(vcpu, index, val);
		return 0;
	}
}

/* That CPUID can be made to fault is told there, and asked for in the other. */
static int set_platform_info(struct umbra_arch_vcpu *arch, u64 val)
{
	if (!(val & MSR_PLATFORM_INFO_CPUID_FAULT) && (arch->msr_misc_features & CPUID_FAULT))
		return -EINVAL;
	arch->msr_platform_info = val;
	return 0;
}

static int set_misc_features(struct umbra_arch_vcpu *arch, u64 val)
{
	if ((val & ~CPUID_FAULT) ||
	    (val && !(arch->msr_platform_info & MSR_PLATFORM_INFO_CPUID_FAULT)))
		return -EINVAL;
	arch->msr_misc_features = val;
	return 0;
}

/* What it shows is so on this CPU: a guest may write that, and change nothing. */
static int set_de_cfg(struct umbra_arch_vcpu *arch, u64 val, bool host)
{
	u64 all;

	umbra_msr_feature(MSR_AMD64_DE_CFG, &all);
	if ((val & ~all) || (!host && val != all))
		return -EINVAL;
	arch->msr_de_cfg = val;
	return 0;
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
 * Never sleeps. Return: 0; -ENOENT for one that does not exist, -EINVAL for one that the
 * guest may not read.
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
		*val = umbra_tsc_read(vcpu);
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
		return umbra_mce_get_msr(vcpu, index, val, host);
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_WALL_CLOCK_NEW:
	case MSR_KVM_SYSTEM_TIME_NEW:
	case MSR_KVM_PV_EOI_EN:
	case MSR_KVM_ASYNC_PF_EN:
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		*val = get_pv_msr(vcpu, index);
		return pv_allowed(vcpu, index, host) ? 0 : -EINVAL;
	case MSR_PLATFORM_INFO:
		*val = arch->msr_platform_info;
		return host || !READ_ONCE(vcpu->vm->arch.no_platform_info) ? 0 : -EINVAL;
	case MSR_MISC_FEATURES_ENABLES:
		*val = arch->msr_misc_features;
		return 0;
	case MSR_IA32_POWER_CTL:
		*val = arch->msr_power_ctl;
		return 0;
	case MSR_AMD64_DE_CFG:
		*val = arch->msr_de_cfg;
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
	return umbra_backend->get_msr(vcpu, index, val);
}

static int set_backend_msr(struct umbra_vcpu *vcpu, u32 index, u64 val)
{
	if (index == MSR_IA32_CR_PAT && !pat_valid(val))
		return -EINVAL;
	if (needs_canonical(index) && !umbra_canonical(vcpu, val))
		return -EINVAL;
	if (index == MSR_SYSCALL_MASK)
		val = (u32)val;
	return umbra_backend->set_msr(vcpu, index, val);
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
 * Never sleeps. Return: 0; -ENOENT for one that does not exist and -EINVAL for what cannot
 * be written to it: the guest gets #GP.
 */
int umbra_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val, bool host)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	u64 *slot;

	switch (index) {
	case MSR_EFER:
		return umbra_set_efer(vcpu, val, host);
	case MSR_IA32_TSC:
		umbra_tsc_write(vcpu, val, host);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		umbra_tsc_adjust(vcpu, val, host);
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
	case MSR_KVM_PV_EOI_EN:
	case MSR_KVM_ASYNC_PF_EN:
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		return pv_allowed(vcpu, index, host) ? set_pv_msr(vcpu, index, val) : -EINVAL;
	case MSR_PLATFORM_INFO:
		return host ? set_platform_info(arch, val) : -EINVAL;
	case MSR_MISC_FEATURES_ENABLES:
		return set_misc_features(arch, val);
	case MSR_IA32_POWER_CTL:
		arch->msr_power_ctl = val;
		return 0;
	case MSR_AMD64_DE_CFG:
		return set_de_cfg(arch, val, host);
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
		umbra_cpuid_update(vcpu);
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
	arch->msr_power_ctl = 0;
	arch->msr_platform_info = MSR_PLATFORM_INFO_CPUID_FAULT;
	arch->msr_misc_features = 0;
	umbra_msr_feature(MSR_AMD64_DE_CFG, &arch->msr_de_cfg);
	memset(&arch->mtrr, 0, sizeof(arch->mtrr));
	memset(&arch->clock, 0, sizeof(arch->clock));
}
