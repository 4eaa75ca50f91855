// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults put into the shadow tables by hand; see spte_hook.c.
 *
 * Locks: mmu->lock held for writing.
 */
#include "shadow.h"

static u64 *first_leaf(struct umbra_mmu *mmu, gfn_t gfn, int *level)
{
	struct umbra_memslot *slot;
	struct umbra_rmap_iter iter;

	slot = shadow_find_slot(mmu, gfn);
	if (!slot || !slot->maps)
		return NULL;
	for (*level = UMBRA_LEVEL_4K; *level <= UMBRA_LEVEL_1G; ++*level) {
		u64 *sptep = umbra_rmap_first(shadow_rmap(slot, gfn, *level), &iter);

		if (sptep)
			return sptep;
	}
	return NULL;
}

static int spoil_leaf(struct umbra_mmu *mmu, u32 hook, gfn_t gfn)
{
	int level;
	u64 *sptep = first_leaf(mmu, gfn, &level);

	if (!sptep)
		return -ENOENT;
	/* A chain may not lead to a table that is freed. */
	if (hook == UMBRA_HOOK_SPTE_LOST)
		shadow_rmap_remove(sptep);
	WRITE_ONCE(*sptep, spte_spoiled(mmu, hook, *sptep));
	umbra_mmu_flush(mmu);
	return 0;
}

/* The entry that leads to the gfn's table is cleared, and its place in the chain stays. */
static int spoil_parent(struct umbra_mmu *mmu, gfn_t gfn)
{
	struct umbra_rmap_iter iter;
	int level;
	u64 *sptep = first_leaf(mmu, gfn, &level), *parent;

	parent = sptep ? umbra_rmap_first(&sptep_sp(sptep)->parents, &iter) : NULL;
	if (!parent)
		return -ENOENT;
	WRITE_ONCE(*parent, 0);
	umbra_mmu_flush(mmu);
	return 0;
}

/* What was lost is not to be held against the VM any more. */
static int repair(struct umbra_mmu *mmu)
{
	s64 held = 0, leaves[UMBRA_LEVEL_NUM] = { 0 };
	struct umbra_sp *sp;
	int i;

	list_for_each_entry(sp, &mmu->arch.shadow->pages, lru) {
		for (i = 0; i < SHADOW_ENTRIES; i++) {
			u64 spte = sp->spt[i];

			if (!spte_is_mapped(spte) || !spte_is_leaf(spte, sp->role.level)) {
				/* Of a parent that lost its entry the chain says so. */
				if (!spte && umbra_rmap_head_of(&sp->spt[i]))
					shadow_rmap_remove(&sp->spt[i]);
				continue;
			}
			leaves[sp->role.level - 1]++;
			held += !!(spte & SPTE_PINNED);
		}
	}
	return spte_settle(mmu, leaves, held);
}

/* @hook of struct umbra_mmu_ops */
int shadow_hook(struct umbra_mmu *mmu, const struct umbra_test_hook *hook)
{
	switch (hook->hook) {
	case UMBRA_HOOK_SPTE_PFN:
	case UMBRA_HOOK_SPTE_WRITE:
	case UMBRA_HOOK_SPTE_LOST:
		return spoil_leaf(mmu, hook->hook, hook->arg);
	case UMBRA_HOOK_TABLE_PARENT:
		return spoil_parent(mmu, hook->arg);
	case UMBRA_HOOK_REPAIR:
		return repair(mmu);
	default:
		return spte_hook(mmu, hook);
	}
}
