// SPDX-License-Identifier: GPL-2.0-only
/*
 * Damage to an spte, put in by hand; see mmu/hook.c.
 *
 * Locks: mmu->lock held for writing.
 */
#include <linux/mm.h>
#include <umbra/mmu.h>
#include "spte.h"

/* A leaf as a hook of UMBRA_HOOK_SPTE_* leaves it. */
u64 spte_spoiled(struct umbra_mmu *mmu, u32 hook, u64 spte)
{
	if (hook == UMBRA_HOOK_SPTE_WRITE)
		return spte | SPTE_W;
	/* A pinned page would be lost with it. */
	if (spte & SPTE_PINNED)
		umbra_pfn_unmapped(&mmu->refs, spte_pfn(spte));
	if (hook == UMBRA_HOOK_SPTE_LOST)
		return 0;
	/* A frame that is always there and belongs to nobody. */
	return (spte & ~(SPTE_PFN_MASK | SPTE_W | SPTE_D | SPTE_PINNED)) |
	       (u64)page_to_pfn(ZERO_PAGE(0)) << PAGE_SHIFT;
}
