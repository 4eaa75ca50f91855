/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * arch/x86/mmu: what the world switch needs to know of the page tables.
 */
#ifndef _UMBRA_X86_MMU_H
#define _UMBRA_X86_MMU_H

#include <linux/types.h>
#include <umbra/mmu.h>

/**
 * struct umbra_tdp_caps - nested paging as this host has it
 * @levels: levels of the nested tables (4 or 5)
 * @ad: the hardware sets A and D
 * @max_level: largest mapping, UMBRA_LEVEL_*
 * @phys_bits: bits of a guest-physical address that the tables resolve
 *
 * Set once by the backend before the first VM.
 */
struct umbra_tdp_caps {
	int levels;
	bool ad;
	int max_level;
	int phys_bits;
};

/**
 * umbra_tdp_setup() - tell the TDP MMU what the hardware has
 * @caps: copied; NULL when there is no nested paging
 */
void umbra_tdp_setup(const struct umbra_tdp_caps *caps);

extern const struct umbra_mmu_ops umbra_shadow_ops;

/* Does the hardware that walks this MMU's tables set A and D? */
bool umbra_mmu_has_ad(const struct umbra_mmu *mmu);

/* Physical address of the root table, for nCR3. */
static inline u64 umbra_tdp_root(const struct umbra_mmu *mmu)
{
	return __pa(mmu->arch.root);
}

#endif
