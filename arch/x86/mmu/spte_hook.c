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

/* Have the accounts say what there is: leaves by level, and references that they hold. */
int spte_settle(struct umbra_mmu *mmu, const s64 *leaves, s64 held)
{
	int i;

	for (i = 0; i < UMBRA_LEVEL_NUM; i++)
		atomic64_set(&mmu->stat.pages[i], leaves[i]);
	atomic64_set(&mmu->refs.taken, atomic64_read(&mmu->refs.released) + held);
	return 0;
}

/* The hooks that have nothing to do with the kind of MMU. */
int spte_hook(struct umbra_mmu *mmu, const struct umbra_test_hook *hook)
{
	switch (hook->hook) {
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
	default:
		return -EINVAL;
	}
}
