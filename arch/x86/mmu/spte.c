// SPDX-License-Identifier: GPL-2.0-only
/*
 * The accounts of translations, whichever MMU they are of.
 *
 * spte_account() is the one funnel for changes of a leaf: whoever installs, changes
 * or clears one reports the old and the new value there, and counters, the host's
 * page flags and the references of policy pinned follow from the two values.
 *
 * Locks: mmu->lock held, in either way.
 */
#include <umbra/mmu.h>
#include <umbra/trace.h>
#include <umbra/x86_mmu.h>
#include "spte.h"

/*
 * Without A and D bits in hardware, that the guest could use a page counts as that
 * it did.
 */
static void tell_host(struct umbra_mmu *mmu, u64 spte)
{
	bool ad = umbra_mmu_has_ad(mmu);
	u64 pfn = spte_pfn(spte);

	if (!(spte & SPTE_PAGE))
		return;
	if (spte & (ad ? SPTE_D : SPTE_W))
		umbra_pfn_set_dirty(pfn);
	if (spte & (ad ? SPTE_A : SPTE_P))
		umbra_pfn_set_accessed(pfn);
}

/**
 * spte_account() - a leaf was changed
 * @mmu: the MMU; mmu->lock held
 * @gfn: first gfn of the leaf; any number for one that is cleared
 * @level: its level
 * @old: what the entry was: a leaf, or not mapped
 * @spte: what it is now: a leaf, or not mapped
 *
 * Who clears a leaf says spte_trace_zap() besides.
 */
void spte_account(struct umbra_mmu *mmu, gfn_t gfn, int level, u64 old, u64 spte)
{
	bool was = spte_is_mapped(old), is = spte_is_mapped(spte);

	if (was && (!is || spte_pfn(old) != spte_pfn(spte))) {
		tell_host(mmu, old);
		if (old & SPTE_PINNED)
			umbra_pfn_unmapped(&mmu->refs, spte_pfn(old));
	}
	if (is && !was) {
		atomic64_inc(&mmu->stat.pages[level - 1]);
		trace_umbra_map(mmu->id, gfn, level, spte, spte & SPTE_W);
		pr_debug("map: vm %u gfn %llx level %d spte %llx\n", mmu->id, gfn,
			 level, spte);
	} else if (was && !is) {
		atomic64_dec(&mmu->stat.pages[level - 1]);
	}
}

/**
 * spte_wrprot() - take W from a leaf
 * @sptep: the entry; mmu->lock is held for writing
 *
 * Without the lock a fault may be restoring W, and the hardware setting A or D: the old
 * value decides. Return: true when there was W, and a flush is owed.
 */
bool spte_wrprot(u64 *sptep)
{
	u64 spte = READ_ONCE(*sptep);

	do {
		if (!(spte & SPTE_W))
			return false;
	} while (!try_cmpxchg64(sptep, &spte, spte & ~SPTE_W));
	return true;
}

/**
 * spte_goal_level() - the largest mapping that host and slot allow around a fault
 * @fault: with slot and hva
 * @max: of the host's mapping, and of what the caller can do
 *
 * The whole of it is in the slot, and lies at the same offset in guest and host. A slot
 * that logs dirty pages is mapped by base pages.
 */
int spte_goal_level(const struct umbra_fault *fault, int max)
{
	const struct umbra_memslot *slot = fault->slot;
	int level = max;

	if (umbra_slot_logs(slot))
		return UMBRA_LEVEL_4K;
	for (; level > UMBRA_LEVEL_4K; level--) {
		u64 pages = umbra_level_pages(level);
		gfn_t base = umbra_level_base(fault->gfn, level);

		if (((fault->hva >> PAGE_SHIFT) ^ fault->gfn) & (pages - 1))
			continue;
		if (umbra_slot_holds(slot, base) &&
		    umbra_slot_holds(slot, base + pages - 1))
			break;
	}
	return max(level, UMBRA_LEVEL_4K);
}

/**
 * spte_host_is_huge() - could the 2M at a gfn be mapped at once?
 * @mmu: the MMU; its process's address space is current's
 * @slot: the slot
 * @gfn: first gfn, aligned to 2M; may lie outside of the slot
 */
bool spte_host_is_huge(struct umbra_mmu *mmu, const struct umbra_memslot *slot, gfn_t gfn)
{
	const u64 pages = umbra_level_pages(UMBRA_LEVEL_2M);
	unsigned long hva = umbra_slot_hva(slot, gfn);
	struct umbra_host_page page;

	return umbra_slot_holds(slot, gfn) && umbra_slot_holds(slot, gfn + pages - 1) &&
	       !((hva >> PAGE_SHIFT) & (pages - 1)) &&
	       !umbra_notifier_covers(&mmu->notifier, hva, pages << PAGE_SHIFT) &&
	       umbra_hostpt_scan(mmu->mm, hva, &page, 1) > UMBRA_LEVEL_4K;
}
