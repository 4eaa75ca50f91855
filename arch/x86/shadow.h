/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging as the rest of arch/x86 sees it: a vCPU's roots, the faults, and what
 * makes translations stale.
 */
#ifndef _UMBRA_X86_SHADOW_H
#define _UMBRA_X86_SHADOW_H

#include "x86.h"

/* The least that a VM may keep, as in KVM_SET_NR_MMU_PAGES. */
#define UMBRA_SHADOW_MIN 64UL

int umbra_shadow_init(void);
void umbra_shadow_exit(void);

static inline bool umbra_shadowed(const struct umbra_vcpu *vcpu)
{
	return vcpu->vm->mmu.mode == UMBRA_MMU_SHADOW;
}

int umbra_shadow_vcpu_init(struct umbra_vcpu *vcpu);
void umbra_shadow_vcpu_destroy(struct umbra_vcpu *vcpu);

int umbra_shadow_load_root(struct umbra_vcpu *vcpu);
void umbra_shadow_find_root(struct umbra_vcpu *vcpu);
bool umbra_shadow_root_good(struct umbra_vcpu *vcpu);
int umbra_shadow_page_fault(struct umbra_vcpu *vcpu, u64 gva, u32 error, bool atomic,
			    gfn_t *gfn);
void umbra_shadow_invlpg(struct umbra_vcpu *vcpu, u64 gva);
bool umbra_shadow_unprotect(struct umbra_vcpu *vcpu, gfn_t gfn);

/* A control register was changed: is the root still the right one? */
static inline void umbra_shadow_changed(struct umbra_vcpu *vcpu)
{
	if (vcpu->arch.shadow)
		vcpu->arch.shadow->good = false;
}

#endif
