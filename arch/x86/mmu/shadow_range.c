// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is done to all translations of some guest frames: the host takes them or ages
 * them, the dirty log or a new shadow page write-protects them.
 *
 * A leaf of 2M or 1G stands in the chain of its own size; whoever takes part of it takes
 * it whole.
 *
 * Locks: mmu->lock held for writing; aging holds it for reading, and changes A only.
 */
#include <linux/sched.h>
#include <umbra/trace.h>
#include "shadow.h"

/* Chains looked at in one hold of the lock. */
#define STRETCH 4096

/* What is done to a chain; true where the caller wants to know of it. */
typedef bool (*chain_fn)(struct umbra_mmu *mmu, struct umbra_rmap_head *head, int level);

/* Each chain of the range, at each size. */
static bool for_range(struct umbra_mmu *mmu, const struct umbra_gfn_range *range,
		      chain_fn fn)
{
	bool ret = false;
	int level;

	if (!range->slot->maps)
		return false;
	for (level = UMBRA_LEVEL_4K; level <= UMBRA_LEVEL_1G; level++) {
		struct umbra_rmap_head *head = shadow_rmap(range->slot, range->start, level);
		struct umbra_rmap_head *last = shadow_rmap(range->slot, range->end - 1, level);

		for (; head <= last; head++)
			if (head->val)
				ret |= fn(mmu, head, level);
	}
	return ret;
}

static bool drop_chain(struct umbra_mmu *mmu, struct umbra_rmap_head *head, int level)
{
	struct umbra_rmap_iter iter;
	u64 count = 0;
	u64 *sptep;

	while ((sptep = umbra_rmap_first(head, &iter))) {
		shadow_drop_leaf(mmu, sptep, level);
		count++;
	}
	atomic64_add(count, &mmu->stat.unmapped);
	return count;
}

/* @unmap of struct umbra_mmu_ops */
bool shadow_unmap(struct umbra_mmu *mmu, const struct umbra_gfn_range *range)
{
	return for_range(mmu, range, drop_chain);
}

static bool age_chain(struct umbra_mmu *mmu, struct umbra_rmap_head *head, int level)
{
	struct umbra_rmap_iter iter;
	bool young = false;
	u64 *sptep;

	umbra_rmap_for_each(head, &iter, sptep) {
		if (!test_and_clear_bit(SPTE_A_SHIFT, (unsigned long *)sptep))
			continue;
		atomic64_inc(&mmu->stat.aged);
		young = true;
	}
	return young;
}

/* @age of struct umbra_mmu_ops */
bool shadow_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range)
{
	bool young = for_range(mmu, range, age_chain);

	trace_umbra_age(mmu->id, range->start, range->end, young);
	pr_debug("age: vm %u gfn %llx-%llx young %d\n", mmu->id, range->start,
		 range->end, young);
	return young;
}

static bool test_chain(struct umbra_mmu *mmu, struct umbra_rmap_head *head, int level)
{
	struct umbra_rmap_iter iter;
	u64 *sptep;

	umbra_rmap_for_each(head, &iter, sptep)
		if (READ_ONCE(*sptep) & SPTE_A)
			return true;
	return false;
}

/* @test_age of struct umbra_mmu_ops */
bool shadow_test_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range)
{
	return for_range(mmu, range, test_chain);
}

/*
 * Write-protect one gfn in every translation; a large leaf goes: it would be split
 * anyhow. True if a flush is owed.
 */
bool shadow_wrprot_gfn(struct umbra_mmu *mmu, struct umbra_memslot *slot, gfn_t gfn)
{
	struct umbra_rmap_iter iter;
	bool flush = false;
	u64 *sptep;
	int level;

	umbra_rmap_for_each(shadow_rmap(slot, gfn, UMBRA_LEVEL_4K), &iter, sptep)
		flush |= spte_wrprot(sptep);
	for (level = UMBRA_LEVEL_2M; level <= UMBRA_LEVEL_1G; level++)
		flush |= drop_chain(mmu, shadow_rmap(slot, gfn, level), level);
	return flush;
}

/* @wrprot of struct umbra_mmu_ops */
bool shadow_wrprot(struct umbra_mmu *mmu, struct umbra_memslot *slot,
		   unsigned long offset, unsigned long mask)
{
	bool flush = false;

	for (; slot->maps && mask; mask &= mask - 1)
		flush |= shadow_wrprot_gfn(mmu, slot, slot->base_gfn + offset + __ffs(mask));
	return flush;
}

/* @wrprot_slot of struct umbra_mmu_ops. Large leaves come back small, by faults. */
void shadow_wrprot_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot)
{
	gfn_t gfn = slot->base_gfn, end = slot->base_gfn + slot->npages;
	bool flush = false;

	while (slot->maps && gfn < end) {
		gfn_t stop = min(gfn + STRETCH, end);

		write_lock(&mmu->lock);
		for (; gfn < stop; gfn++)
			flush |= shadow_wrprot_gfn(mmu, slot, gfn);
		if (flush)
			umbra_mmu_flush(mmu);
		flush = false;
		write_unlock(&mmu->lock);
		cond_resched();
	}
}

/* @merge_slot of struct umbra_mmu_ops: what is small where it could be large goes. */
void shadow_merge_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot)
{
	const u64 pages = umbra_level_pages(UMBRA_LEVEL_2M);
	gfn_t gfn = umbra_level_base(slot->base_gfn, UMBRA_LEVEL_2M);
	gfn_t end = slot->base_gfn + slot->npages;

	for (; slot->maps && gfn < end; gfn += pages) {
		struct umbra_gfn_range range = { slot, gfn, gfn + pages };

		write_lock(&mmu->lock);
		if (spte_host_is_huge(mmu, slot, gfn) && shadow_unmap(mmu, &range))
			umbra_mmu_flush(mmu);
		write_unlock(&mmu->lock);
		cond_resched();
	}
}
