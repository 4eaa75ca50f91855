/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VMCB: its layout comes from the kernel's <asm/svm.h>; here are the clean
 * bits, and the check that the layout is that of APM volume 2, appendix B.
 */
#ifndef _UMBRA_SVM_VMCB_H
#define _UMBRA_SVM_VMCB_H

#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <asm/svm.h>

static_assert(offsetof(struct vmcb, control.iopm_base_pa) == 0x040);
static_assert(offsetof(struct vmcb, control.tsc_offset) == 0x050);
static_assert(offsetof(struct vmcb, control.asid) == 0x058);
static_assert(offsetof(struct vmcb, control.int_ctl) == 0x060);
static_assert(offsetof(struct vmcb, control.int_state) == 0x068);
static_assert(offsetof(struct vmcb, control.exit_code) == 0x070);
static_assert(offsetof(struct vmcb, control.exit_info_1) == 0x078);
static_assert(offsetof(struct vmcb, control.exit_info_2) == 0x080);
static_assert(offsetof(struct vmcb, control.exit_int_info) == 0x088);
static_assert(offsetof(struct vmcb, control.nested_ctl) == 0x090);
static_assert(offsetof(struct vmcb, control.event_inj) == 0x0a8);
static_assert(offsetof(struct vmcb, control.nested_cr3) == 0x0b0);
static_assert(offsetof(struct vmcb, control.clean) == 0x0c0);
static_assert(offsetof(struct vmcb, control.next_rip) == 0x0c8);
static_assert(offsetof(struct vmcb, save.es) == 0x400);
static_assert(offsetof(struct vmcb, save.tr) == 0x490);
static_assert(offsetof(struct vmcb, save.cpl) == 0x4cb);
static_assert(offsetof(struct vmcb, save.efer) == 0x4d0);
static_assert(offsetof(struct vmcb, save.cr4) == 0x548);
static_assert(offsetof(struct vmcb, save.rip) == 0x578);
static_assert(offsetof(struct vmcb, save.rsp) == 0x5d8);
static_assert(offsetof(struct vmcb, save.rax) == 0x5f8);
static_assert(offsetof(struct vmcb, save.cr2) == 0x640);
static_assert(offsetof(struct vmcb, save.g_pat) == 0x668);

/* L in a segment's attributes: bits 55:52 and 47:40 of a descriptor, packed. */
#define UMBRA_SVM_SEG_L		BIT(9)
#define UMBRA_SVM_SEG_DB	BIT(10)

/* Parts of the VMCB that the CPU may keep from run to run (APM 15.15.3). */
enum umbra_vmcb_clean {
	VMCB_CLEAN_INTERCEPTS,	/* intercepts, TSC offset, pause filter */
	VMCB_CLEAN_PERM_MAP,	/* IO and MSR permission maps */
	VMCB_CLEAN_ASID,
	VMCB_CLEAN_INT_CTL,
	VMCB_CLEAN_NPT,		/* nested CR3, PAT */
	VMCB_CLEAN_CR,		/* CR0, CR3, CR4, EFER */
	VMCB_CLEAN_DR,
	VMCB_CLEAN_DT,		/* GDTR, IDTR */
	VMCB_CLEAN_SEG,		/* CS, DS, SS, ES, CPL */
	VMCB_CLEAN_CR2,
	VMCB_CLEAN_NR,
};

#define VMCB_CLEAN_ALL	(BIT(VMCB_CLEAN_NR) - 1)

/* The VMCB was changed: the CPU must read this part again. */
static inline void vmcb_dirty(struct vmcb *vmcb, enum umbra_vmcb_clean part)
{
	vmcb->control.clean &= ~BIT(part);
}

static inline void vmcb_intercept(struct vmcb *vmcb, unsigned int bit, bool on)
{
	u32 *word = &vmcb->control.intercepts[bit / 32];

	if (on)
		*word |= BIT(bit % 32);
	else
		*word &= ~BIT(bit % 32);
	vmcb_dirty(vmcb, VMCB_CLEAN_INTERCEPTS);
}

#endif
