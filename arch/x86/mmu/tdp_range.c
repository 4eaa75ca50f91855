// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's changes: unmap, age and test-age of a gfn range.
 *
 * Locks: unmap holds mmu->lock for writing; aging holds it for reading, beside
 * faults, and changes entries by atomic operations only.
 */
#include <linux/sched.h>
#include <umbra/trace.h>
#include "tdp.h"

/* @unmap of struct umbra_mmu_ops. A huge mapping goes whole. */
bool tdp_unmap(struct umbra_mmu *mmu, const struct umbra_gfn_range *range)
{
	struct tdp_iter it;
	u64 count = 0;

	tdp_for_each_leaf(&it, mmu, range->start, range->end) {
		tdp_clear_leaf(mmu, it.sptep, it.gfn, it.level);
		count++;
	}
	atomic64_add(count, &mmu->stat.unmapped);
	return count;
}

/*
 * Forget that the page was accessed. Without A bits in hardware the next access
 * must fault, so P goes; a vCPU that has the translation cached is missed until
 * then, as with a cached A bit.
 */
static bool age_leaf(struct tdp_iter *it)
{
	u64 spte = it->spte;

	if (tdp_caps.ad)
		return test_and_clear_bit(SPTE_A_SHIFT, (unsigned long *)it->sptep);
	if (!(spte & SPTE_P))
		return false;
	/* Losing means that a fault has just used it. */
	try_cmpxchg64(it->sptep, &spte, (spte & ~SPTE_P) | SPTE_TRACK);
	return true;
}

/* @age of struct umbra_mmu_ops */
bool tdp_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range)
{
	struct tdp_iter it;
	bool young = false;

	tdp_for_each_leaf(&it, mmu, range->start, range->end) {
		if (!age_leaf(&it))
			continue;
		young = true;
		atomic64_inc(&mmu->stat.aged);
	}
	trace_umbra_age(mmu->id, range->start, range->end, young);
	pr_debug("age: vm %u gfn %llx-%llx young %d\n", mmu->id, range->start,
		 range->end, young);
	return young;
}

/* @test_age of struct umbra_mmu_ops */
bool tdp_test_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range)
{
	struct tdp_iter it;

	tdp_for_each_leaf(&it, mmu, range->start, range->end)
		if (it.spte & (tdp_caps.ad ? SPTE_A : SPTE_P))
			return true;
	return false;
}

/*
 * @zap_all of struct umbra_mmu_ops: the process's memory goes for good. One stretch
 * at a time, so that others get the lock.
 */
void tdp_zap_all(struct umbra_mmu *mmu)
{
	const u64 stretch = umbra_level_pages(UMBRA_LEVEL_1G);
	gfn_t gfn = 0;
	bool done;

	do {
		struct tdp_iter it;

		write_lock(&mmu->lock);
		/* Where nothing is mapped for long, the walk gets there by itself. */
		tdp_iter_begin(&it, mmu, gfn, mmu->max_gfn);
		done = !it.sptep;
		if (!done) {
			struct umbra_gfn_range range = {
				.start = it.gfn,
				.end = umbra_level_base(it.gfn, UMBRA_LEVEL_1G) + stretch,
			};

			gfn = range.end;
			if (tdp_unmap(mmu, &range))
				umbra_mmu_flush(mmu);
		}
		write_unlock(&mmu->lock);
		cond_resched();
	} while (!done);
}
