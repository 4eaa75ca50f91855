// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMCB of a vCPU: what is intercepted, and the state that lives only there.
 *
 * Intercepted is what the guest may not do itself (it would see or change the
 * host), what needs the shared registers kept true (CR0, CR4, CR8, EFER, DR), and
 * what could hold the CPU for ever (#AC and #DB that fault in their own
 * delivery). CR3 and INVLPG are the guest's own with nested paging; with shadow
 * paging they and #PF are umbra's.
 *
 * The permission maps are the same for all vCPUs: ports are all intercepted, and
 * of the MSRs only those pass that VMLOAD and VMSAVE switch (APM 15.5.2).
 */
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <umbra/x86_mmu.h>
#include <asm/msr-index.h>
#include <asm/special_insns.h>

#include "svm.h"
#include "../shadow.h"

#define IOPM_ORDER	2	/* 12 KiB and one page to spare (APM 15.10.1) */
#define MSRPM_ORDER	1	/* 8 KiB (APM 15.11) */

/* @msrpm_closed lets no MSR pass: for a VM that filters them. */
static struct page *iopm, *msrpm, *msrpm_closed;

static const u32 passed_msrs[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/*
 * Two bits for each MSR, read and write; three ranges of 0x2000 MSRs, each in 2 KiB
 * (APM 15.11). Only what is in passed_msrs comes here.
 */
static void pass_msr(u8 *map, u32 msr)
{
	u32 range = msr >= 0xc0010000 ? 2 : msr >= 0xc0000000 ? 1 : 0;
	u32 bit = range * 0x4000 + (msr & 0x1fff) * 2;

	map[bit / 8] &= ~(3 << (bit % 8));
}

/**
 * umbra_svm_maps_init() - allocate the permission maps
 *
 * Return: 0 or -ENOMEM.
 */
int umbra_svm_maps_init(void)
{
	unsigned int i;

	iopm = alloc_pages(GFP_KERNEL, IOPM_ORDER);
	msrpm = alloc_pages(GFP_KERNEL, MSRPM_ORDER);
	msrpm_closed = alloc_pages(GFP_KERNEL, MSRPM_ORDER);
	if (!iopm || !msrpm || !msrpm_closed) {
		umbra_svm_maps_exit();
		return -ENOMEM;
	}
	memset(page_address(iopm), 0xff, PAGE_SIZE << IOPM_ORDER);
	memset(page_address(msrpm), 0xff, PAGE_SIZE << MSRPM_ORDER);
	memset(page_address(msrpm_closed), 0xff, PAGE_SIZE << MSRPM_ORDER);
	for (i = 0; i < ARRAY_SIZE(passed_msrs); i++)
		pass_msr(page_address(msrpm), passed_msrs[i]);
	return 0;
}

void umbra_svm_maps_exit(void)
{
	if (iopm)
		__free_pages(iopm, IOPM_ORDER);
	if (msrpm)
		__free_pages(msrpm, MSRPM_ORDER);
	if (msrpm_closed)
		__free_pages(msrpm_closed, MSRPM_ORDER);
	iopm = NULL;
	msrpm = NULL;
	msrpm_closed = NULL;
}

/**
 * umbra_svm_choose_msrpm() - which MSRs pass without an exit?
 * @vcpu: the vCPU, at the start of the inner section
 */
void umbra_svm_choose_msrpm(struct umbra_vcpu *vcpu)
{
	bool filtered = rcu_access_pointer(vcpu->vm->arch.msr_filter);
	struct vmcb *vmcb = svm_vmcb(vcpu);
	u64 pa = page_to_phys(filtered ? msrpm_closed : msrpm);

	if (likely(vmcb->control.msrpm_base_pa == pa))
		return;
	vmcb->control.msrpm_base_pa = pa;
	vmcb_dirty(vmcb, VMCB_CLEAN_PERM_MAP);
}

static const u8 intercepts[] = {
	INTERCEPT_CR0_READ, INTERCEPT_CR4_READ, INTERCEPT_CR8_READ,
	INTERCEPT_CR0_WRITE, INTERCEPT_CR4_WRITE, INTERCEPT_CR8_WRITE,
	INTERCEPT_EXCEPTION_OFFSET + 1,		/* #DB */
	INTERCEPT_EXCEPTION_OFFSET + 6,		/* #UD */
	INTERCEPT_EXCEPTION_OFFSET + 17,	/* #AC */
	INTERCEPT_EXCEPTION_OFFSET + 18,	/* #MC */
	INTERCEPT_INTR, INTERCEPT_NMI, INTERCEPT_SMI, INTERCEPT_INIT,
	INTERCEPT_RDPMC, INTERCEPT_CPUID, INTERCEPT_RSM, INTERCEPT_INVD,
	INTERCEPT_HLT, INTERCEPT_INVLPGA, INTERCEPT_IOIO_PROT, INTERCEPT_MSR_PROT,
	INTERCEPT_TASK_SWITCH, INTERCEPT_SHUTDOWN,
	INTERCEPT_VMRUN, INTERCEPT_VMMCALL, INTERCEPT_VMLOAD, INTERCEPT_VMSAVE,
	INTERCEPT_STGI, INTERCEPT_CLGI, INTERCEPT_SKINIT, INTERCEPT_WBINVD,
	INTERCEPT_MONITOR, INTERCEPT_MWAIT, INTERCEPT_XSETBV, INTERCEPT_RDPRU,
};

static const u8 shadow_intercepts[] = {
	INTERCEPT_CR3_READ, INTERCEPT_CR3_WRITE, INTERCEPT_INVLPG,
	INTERCEPT_EXCEPTION_OFFSET + 14,	/* #PF */
};

static void set_intercepts(struct vmcb *vmcb, bool shadow)
{
	unsigned int i;

	for (i = 0; shadow && i < ARRAY_SIZE(shadow_intercepts); i++)
		vmcb_intercept(vmcb, shadow_intercepts[i], true);
	for (i = 0; i < ARRAY_SIZE(intercepts); i++)
		vmcb_intercept(vmcb, intercepts[i], true);
	vmcb->control.intercepts[INTERCEPT_DR] = 0xffffffff;
}

static struct vmcb_seg *vmcb_seg(struct vmcb *vmcb, enum umbra_emul_segment seg)
{
	switch (seg) {
	case UMBRA_SEG_ES:
		return &vmcb->save.es;
	case UMBRA_SEG_CS:
		return &vmcb->save.cs;
	case UMBRA_SEG_SS:
		return &vmcb->save.ss;
	case UMBRA_SEG_DS:
		return &vmcb->save.ds;
	case UMBRA_SEG_FS:
		return &vmcb->save.fs;
	case UMBRA_SEG_GS:
		return &vmcb->save.gs;
	case UMBRA_SEG_TR:
		return &vmcb->save.tr;
	default:
		return &vmcb->save.ldtr;
	}
}

/* Attributes in a VMCB: bits 55:52 and 47:40 of a descriptor, packed. */
#define SEG_TYPE(a)	((a) & 15)
#define SEG_S		BIT(4)
#define SEG_DPL_SHIFT	5
#define SEG_P		BIT(7)
#define SEG_AVL		BIT(8)
#define SEG_L		UMBRA_SVM_SEG_L
#define SEG_DB		UMBRA_SVM_SEG_DB
#define SEG_G		BIT(11)

/*
 * The hardware ignores some attributes and may lose them; the guest's descriptor
 * said otherwise, or the segment could not have been loaded.
 */
void umbra_svm_get_segment(struct umbra_vcpu *vcpu, enum umbra_emul_segment seg,
			   struct kvm_segment *val)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	const struct vmcb_seg *s = vmcb_seg(vmcb, seg);

	*val = (struct kvm_segment) {
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = SEG_TYPE(s->attrib),
		.s = !!(s->attrib & SEG_S),
		.dpl = s->attrib >> SEG_DPL_SHIFT & 3,
		.present = !!(s->attrib & SEG_P),
		.avl = !!(s->attrib & SEG_AVL),
		.l = !!(s->attrib & SEG_L),
		.db = !!(s->attrib & SEG_DB),
		.g = !!(s->attrib & SEG_G),
		.unusable = !(s->attrib & SEG_P),
	};
	switch (seg) {
	case UMBRA_SEG_CS:
		val->g = s->limit > 0xfffff;
		break;
	case UMBRA_SEG_TR:
		val->type |= 2;	/* busy */
		break;
	case UMBRA_SEG_SS:
		val->dpl = vmcb->save.cpl;
		if (val->unusable)
			val->db = 0;
		else
			val->type |= 1;
		break;
	case UMBRA_SEG_LDTR:
		break;
	default:
		if (!val->unusable)
			val->type |= 1;	/* accessed */
		break;
	}
}

void umbra_svm_set_segment(struct umbra_vcpu *vcpu, enum umbra_emul_segment seg,
			   const struct kvm_segment *val)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	struct vmcb_seg *s = vmcb_seg(vmcb, seg);

	s->base = val->base;
	s->limit = val->limit;
	s->selector = val->selector;
	s->attrib = (val->type & 15) | (val->s ? SEG_S : 0) |
		    (val->dpl & 3) << SEG_DPL_SHIFT |
		    (val->present && !val->unusable ? SEG_P : 0) |
		    (val->avl ? SEG_AVL : 0) | (val->l ? SEG_L : 0) |
		    (val->db ? SEG_DB : 0) | (val->g ? SEG_G : 0);
	/* SVM takes the CPL from its own field; SS.DPL is where others keep it. */
	if (seg == UMBRA_SEG_SS)
		vmcb->save.cpl = val->dpl & 3;
	vmcb_dirty(vmcb, VMCB_CLEAN_SEG);
}

void umbra_svm_get_dt(struct umbra_vcpu *vcpu, bool idt, struct kvm_dtable *val)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	const struct vmcb_seg *s = idt ? &vmcb->save.idtr : &vmcb->save.gdtr;

	*val = (struct kvm_dtable) { .base = s->base, .limit = s->limit };
}

void umbra_svm_set_dt(struct umbra_vcpu *vcpu, bool idt, const struct kvm_dtable *val)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	struct vmcb_seg *s = idt ? &vmcb->save.idtr : &vmcb->save.gdtr;

	s->base = val->base;
	s->limit = val->limit;
	vmcb_dirty(vmcb, VMCB_CLEAN_DT);
}

/*
 * The shadow tables are PAE's, or those of long mode, with NX and with WP set. Paging is
 * always on; a guest without it must not meet what only its paging would ask for.
 */
static void shadow_cr(const struct umbra_arch_vcpu *arch, struct vmcb_save_area *save)
{
	save->cr0 |= X86_CR0_PG | X86_CR0_WP;
	save->cr3 = arch->shadow_cr3;
	save->cr4 |= X86_CR4_PAE;
	if (!(arch->cr0 & X86_CR0_PG))
		save->cr4 &= ~(u64)(X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE);
	save->efer |= EFER_NX;
	if (!(arch->efer & EFER_LMA))
		save->efer &= ~(u64)EFER_LME;
}

/*
 * Caches are never turned off by a guest. A machine check with CR4.MCE clear would
 * be a shutdown of the host, so the bit is always set; the guest's reads of both
 * registers are intercepted and show what it wrote.
 */
void umbra_svm_sync_cr(struct umbra_vcpu *vcpu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	struct vmcb *vmcb = svm_vmcb(vcpu);

	vmcb->save.cr0 = arch->cr0 & ~(u64)(X86_CR0_CD | X86_CR0_NW);
	vmcb->save.cr2 = arch->cr2;
	vmcb->save.cr3 = arch->cr3;
	vmcb->save.cr4 = arch->cr4;
	if (boot_cpu_has(X86_FEATURE_MCE))
		vmcb->save.cr4 |= X86_CR4_MCE;
	vmcb->save.efer = arch->efer | EFER_SVME;
	if (umbra_shadowed(vcpu))
		shadow_cr(arch, &vmcb->save);
	vmcb_dirty(vmcb, VMCB_CLEAN_CR);
	vmcb_dirty(vmcb, VMCB_CLEAN_CR2);
}

void umbra_svm_sync_dr(struct umbra_vcpu *vcpu)
{
	bool bp = vcpu->arch.debug.control & KVM_GUESTDBG_USE_SW_BP;
	struct vmcb *vmcb = svm_vmcb(vcpu);

	vmcb->save.dr6 = umbra_debug_takes_db(vcpu) ? UMBRA_DR6_FIXED : vcpu->arch.dr6;
	vmcb->save.dr7 = umbra_debug_dr7(vcpu);
	vmcb_intercept(vmcb, INTERCEPT_EXCEPTION_OFFSET + 3, bp);
	vmcb_intercept(vmcb, INTERCEPT_INTn, bp);
	vmcb_dirty(vmcb, VMCB_CLEAN_DR);
}

void umbra_svm_sync_tsc(struct umbra_vcpu *vcpu)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	vmcb->control.tsc_offset = vcpu->arch.tsc_offset;
	vmcb_dirty(vmcb, VMCB_CLEAN_INTERCEPTS);
}

#define SAVE_MSR(msr, field)	{ msr, offsetof(struct vmcb, save.field) }

/* MSRs that are fields of the VMCB. */
static const struct {
	u32 index;
	u32 offset;
} save_msrs[] = {
	SAVE_MSR(MSR_FS_BASE, fs.base), SAVE_MSR(MSR_GS_BASE, gs.base),
	SAVE_MSR(MSR_KERNEL_GS_BASE, kernel_gs_base),
	SAVE_MSR(MSR_STAR, star), SAVE_MSR(MSR_LSTAR, lstar),
	SAVE_MSR(MSR_CSTAR, cstar), SAVE_MSR(MSR_SYSCALL_MASK, sfmask),
	SAVE_MSR(MSR_IA32_SYSENTER_CS, sysenter_cs),
	SAVE_MSR(MSR_IA32_SYSENTER_ESP, sysenter_esp),
	SAVE_MSR(MSR_IA32_SYSENTER_EIP, sysenter_eip),
	SAVE_MSR(MSR_IA32_CR_PAT, g_pat),
};

static u64 *vmcb_msr(struct vmcb *vmcb, u32 index)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(save_msrs); i++)
		if (save_msrs[i].index == index)
			return (void *)vmcb + save_msrs[i].offset;
	return NULL;
}

/**
 * umbra_svm_reset() - the VMCB as after RESET
 * @vcpu: the vCPU; its shared registers are reset already
 * @init: after #INIT, which leaves the MSRs that are kept here
 *
 * Also after a shutdown, which leaves the VMCB undefined (APM 15.14.3).
 */
void umbra_svm_reset(struct umbra_vcpu *vcpu, bool init)
{
	struct umbra_svm_vcpu *svm = vcpu->arch.svm;
	struct vmcb *vmcb = svm->vmcb;
	struct vmcb_control_area *control = &vmcb->control;
	u64 msrs[ARRAY_SIZE(save_msrs)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(save_msrs); i++)
		msrs[i] = *vmcb_msr(vmcb, save_msrs[i].index);
	memset(vmcb, 0, sizeof(*vmcb));
	vmcb->save.g_pat = vcpu->arch.msr_pat;
	for (i = 0; init && i < ARRAY_SIZE(save_msrs); i++)
		*vmcb_msr(vmcb, save_msrs[i].index) = msrs[i];
	set_intercepts(vmcb, umbra_shadowed(vcpu));
	if (vcpu->vm->arch.hlt_passes)
		vmcb_intercept(vmcb, INTERCEPT_HLT, false);
	control->iopm_base_pa = page_to_phys(iopm);
	umbra_svm_choose_msrpm(vcpu);
	control->int_ctl = V_INTR_MASKING_MASK;
	if (!umbra_shadowed(vcpu)) {
		control->nested_ctl = SVM_NESTED_CTL_NP_ENABLE;
		control->nested_cr3 = umbra_tdp_root(&vcpu->vm->mmu);
	}
	svm->asid_gen = 0;
	svm->injecting = false;
	svm->soft = false;
	svm->iret = false;
	svm->step = false;
	umbra_svm_sync_cr(vcpu);
	umbra_svm_sync_dr(vcpu);
	umbra_svm_sync_tsc(vcpu);
}

int umbra_svm_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *val)
{
	u64 *msr = vmcb_msr(svm_vmcb(vcpu), index);

	if (!msr)
		return -ENOENT;
	*val = *msr;
	return 0;
}

/* The value was checked. */
int umbra_svm_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	u64 *msr = vmcb_msr(vmcb, index);

	if (!msr)
		return -ENOENT;
	*msr = val;
	vmcb_dirty(vmcb, VMCB_CLEAN_NPT);
	return 0;
}
