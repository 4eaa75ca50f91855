/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * x86's part of the objects that the shared layers define.
 */
#ifndef _UMBRA_ARCH_TYPES_H
#define _UMBRA_ARCH_TYPES_H

#include <umbra/types.h>

struct umbra_shadow;

/* Each level of a page table resolves this many address bits. */
#define UMBRA_LEVEL_BITS	9

/* Base pages in one mapping of @level. */
static inline u64 umbra_level_pages(int level)
{
	return 1ULL << ((level - 1) * UMBRA_LEVEL_BITS);
}

/* First gfn of the mapping of @level that holds @gfn. */
static inline gfn_t umbra_level_base(gfn_t gfn, int level)
{
	return gfn & ~(umbra_level_pages(level) - 1);
}

/**
 * struct umbra_arch_mmu - the page tables of a guest-physical address space
 * @root: the root table, kernel address
 * @root_level: levels of the tables: 4 or 5 with TDP
 * @shadow: the shadow pages, in that mode; NULL before the first vCPU
 * @max_shadow: shadow pages that are kept at most (KVM_SET_NR_MMU_PAGES); 0 for a
 *	share of the guest's memory
 * @doomed: tables that are unlinked and wait for umbra_mmu_sync(); guarded by
 *	mmu->lock for writing
 */
struct umbra_arch_mmu {
	u64 *root;
	int root_level;
	struct list_head doomed;
	struct umbra_shadow *shadow;
	unsigned long max_shadow;
};

#endif
