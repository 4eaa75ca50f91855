// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults put into the TDP tables by hand; see mmu/hook.c.
 *
 * Locks: mmu->lock held for writing.
 */
#include "tdp.h"

static int spoil_leaf(struct umbra_mmu *mmu, u32 hook, gfn_t gfn)
{
	int level;
	u64 *sptep = tdp_find(mmu, gfn, &level);

	if (!sptep)
		return -ENOENT;
	WRITE_ONCE(*sptep, spte_spoiled(mmu, hook, *sptep));
	umbra_mmu_flush(mmu);
	return 0;
}

static int spoil_parent(struct umbra_mmu *mmu, gfn_t gfn)
{
	int level;
	u64 *sptep = tdp_find(mmu, gfn, &level);

	if (!sptep)
		return -ENOENT;
	tdp_set_parent((u64 *)((unsigned long)sptep & PAGE_MASK), sptep);
	return 0;
}

/* What was lost is not to be held against the VM any more. */
static int repair(struct umbra_mmu *mmu)
{
	s64 held = 0, leaves[UMBRA_LEVEL_NUM] = { 0 };
	struct tdp_iter it;

	tdp_for_each_leaf(&it, mmu, 0, mmu->max_gfn) {
		leaves[it.level - 1]++;
		held += !!(it.spte & SPTE_PINNED);
	}
	umbra_mmu_settle(mmu, leaves, held);
	return 0;
}

/* @hook of struct umbra_mmu_ops */
int tdp_hook(struct umbra_mmu *mmu, const struct umbra_test_hook *hook)
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
		return umbra_mmu_hook(mmu, hook);
	}
}
