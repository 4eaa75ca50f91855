// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults put in by hand, to show that the audit and the tests find them. Only in
 * builds with UMBRA_TEST=1; such a module is not for use.
 *
 * Each hook that damages an entry leaves the accounts so that taking the VM down
 * is safe: what is broken is what the audit is to find, not the host.
 *
 * Locks: mmu->lock held for writing.
 */
#include "tdp.h"

static int spoil_leaf(struct umbra_mmu *mmu, u32 hook, gfn_t gfn)
{
	int level;
	u64 *sptep = tdp_find(mmu, gfn, &level);
	u64 spte;

	if (!sptep)
		return -ENOENT;
	spte = *sptep;
	switch (hook) {
	case UMBRA_HOOK_SPTE_PFN:
		/* A frame that is always there and belongs to nobody. */
		spte = (spte & ~(SPTE_PFN_MASK | SPTE_W | SPTE_D | SPTE_PINNED)) |
		       (u64)page_to_pfn(ZERO_PAGE(0)) << PAGE_SHIFT;
		if (*sptep & SPTE_PINNED)
			umbra_pfn_unmapped(&mmu->refs, spte_pfn(*sptep));
		break;
	case UMBRA_HOOK_SPTE_WRITE:
		spte |= SPTE_W;
		break;
	case UMBRA_HOOK_SPTE_LOST:
		/* A pinned page would be lost with it. */
		if (spte & SPTE_PINNED)
			umbra_pfn_unmapped(&mmu->refs, spte_pfn(spte));
		spte = 0;
		break;
	}
	WRITE_ONCE(*sptep, spte);
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
	int i;

	tdp_for_each_leaf(&it, mmu, 0, mmu->max_gfn) {
		leaves[it.level - 1]++;
		held += !!(it.spte & SPTE_PINNED);
	}
	for (i = 0; i < UMBRA_LEVEL_NUM; i++)
		atomic64_set(&mmu->stat.pages[i], leaves[i]);
	atomic64_set(&mmu->refs.taken, atomic64_read(&mmu->refs.released) + held);
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
	case UMBRA_HOOK_NO_FLUSH:
		mmu->hook_no_flush = hook->arg;
		return 0;
	case UMBRA_HOOK_NO_RETRY:
		mmu->hook_no_retry = hook->arg;
		return 0;
	case UMBRA_HOOK_REF_LEAK:
		atomic64_add(hook->arg, &mmu->refs.taken);
		return 0;
	case UMBRA_HOOK_ALLOC_FAIL:
		umbra_cache_fail_in(hook->arg);
		return 0;
	case UMBRA_HOOK_REPAIR:
		return repair(mmu);
	default:
		return -EINVAL;
	}
}
