// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a slot's change, and its dirty log, mean to the tables: write protection,
 * splitting, removal.
 *
 * Unlinked tables. A table that is unlinked may still be read by lockless faults
 * and, until the flush, by hardware. tdp_zap_slot() collects its tables, and
 * tdp_reap() frees them after the caller has waited for mmu->srcu; where nobody waits,
 * each does so by itself (tdp_free_later()).
 *
 * Locks: mmu->lock is held for writing by each function that has it in its
 * comment; the others take it for a stretch at a time. slots_lock keeps other
 * changes of slots away.
 */
#include <linux/sched.h>
#include "tdp.h"

/* Leaves handled in one hold of the lock. */
#define STRETCH 4096

/*
 * @wrprot of struct umbra_mmu_ops; mmu->lock held for writing. A slot that logs is
 * mapped by base pages, and by huge ones that are write-protected whole already.
 * The walk is down to the last table once, for up to 64 neighbours.
 */
bool tdp_wrprot(struct umbra_mmu *mmu, struct umbra_memslot *slot,
		unsigned long offset, unsigned long mask)
{
	u64 *table = NULL;
	gfn_t base = 0;
	bool flush = false;

	for (; mask; mask &= mask - 1) {
		gfn_t gfn = slot->base_gfn + offset + __ffs(mask);

		if (!table || base != umbra_level_base(gfn, UMBRA_LEVEL_2M)) {
			int level;
			u64 *sptep = tdp_find(mmu, gfn, &level);

			if (!sptep || level > UMBRA_LEVEL_4K)
				continue;
			base = umbra_level_base(gfn, UMBRA_LEVEL_2M);
			table = sptep - tdp_index(gfn, UMBRA_LEVEL_4K);
		}
		flush |= spte_wrprot(&table[tdp_index(gfn, UMBRA_LEVEL_4K)]);
	}
	return flush;
}

/*
 * Put a table in the place of a huge mapping: the same translation in smaller
 * pieces. mmu->lock held for writing; the caller owes a flush. @sptep is not
 * SPTE_PINNED, since one reference cannot serve 512 pieces.
 */
static void split(struct umbra_mmu *mmu, u64 *sptep, int level, u64 *table)
{
	u64 step = umbra_level_pages(level - 1) << PAGE_SHIFT;
	u64 old = READ_ONCE(*sptep);
	int i;

	tdp_set_parent(table, sptep);
	/* The hardware may set A or D in the old one until it is replaced. */
	do {
		u64 piece = old;

		if (level - 1 == UMBRA_LEVEL_4K)
			piece &= ~SPTE_LARGE;
		for (i = 0; i < TDP_ENTRIES; i++)
			table[i] = piece + i * step;
	} while (!try_cmpxchg64(sptep, &old, __pa(table) | SPTE_TABLE));

	atomic64_dec(&mmu->stat.pages[level - 1]);
	atomic64_add(TDP_ENTRIES, &mmu->stat.pages[level - 2]);
	atomic64_inc(&mmu->stat.splits);
}

/*
 * Write-protect from @gfn on, until the end, the end of a stretch, or a huge
 * mapping that no table is at hand for. Return: the first gfn not done.
 * mmu->lock held for writing.
 */
static gfn_t wrprot_stretch(struct umbra_mmu *mmu, gfn_t gfn, gfn_t end,
			    bool may_split, bool *flush)
{
	struct tdp_iter it;
	int count = 0;

	tdp_iter_begin(&it, mmu, gfn, end);
	while (it.sptep) {
		if (count++ == STRETCH)
			return it.gfn;
		if (it.level == UMBRA_LEVEL_4K || (!may_split && !(it.spte & SPTE_PINNED))) {
			*flush |= spte_wrprot(it.sptep);
			tdp_iter_next(&it);
			continue;
		}
		*flush = true;
		if (it.spte & SPTE_PINNED) {
			tdp_clear_leaf(mmu, it.sptep, it.gfn, it.level);
		} else if (mmu->split_cache.count) {
			split(mmu, it.sptep, it.level,
			      umbra_cache_take(&mmu->split_cache));
		} else {
			return it.gfn;
		}
		tdp_iter_again(&it);
	}
	return end;
}

/* @wrprot_slot of struct umbra_mmu_ops */
void tdp_wrprot_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot)
{
	gfn_t gfn = slot->base_gfn, end = slot->base_gfn + slot->npages;

	while (gfn < end) {
		bool may_split = !umbra_cache_topup(mmu, &mmu->split_cache, 1);
		bool flush = false;

		write_lock(&mmu->lock);
		gfn = wrprot_stretch(mmu, gfn, end, may_split, &flush);
		/* A leaf that was cleared is none to the notifier: its page may go. */
		if (flush)
			umbra_mmu_flush(mmu);
		write_unlock(&mmu->lock);
		cond_resched();
	}
}

/*
 * Unlink the table that @sptep leads to, and all below. mmu->lock held for
 * writing; the caller owes a flush, and may free what is on @doomed after it.
 */
void tdp_unlink_table(struct umbra_mmu *mmu, u64 *sptep, gfn_t gfn, int level,
		      struct list_head *doomed)
{
	u64 *table = spte_child(*sptep);
	int i;

	for (i = 0; i < TDP_ENTRIES; i++) {
		u64 spte = READ_ONCE(table[i]);
		gfn_t at = gfn + i * umbra_level_pages(level - 1);

		if (!spte_is_mapped(spte))
			continue;
		if (spte_is_leaf(spte, level - 1))
			tdp_clear_leaf(mmu, &table[i], at, level - 1);
		else
			tdp_unlink_table(mmu, &table[i], at, level - 1, doomed);
	}
	WRITE_ONCE(*sptep, 0);
	list_add(&virt_to_page(table)->lru, doomed);
}

/*
 * Let others have the lock. A page whose spte is gone may not be freed before the
 * flush, and only the lock keeps the host from freeing it.
 */
static void give_way(struct umbra_mmu *mmu, bool *flush)
{
	if (!need_resched() && !rwlock_needbreak(&mmu->lock))
		return;
	if (*flush)
		umbra_mmu_flush(mmu);
	*flush = false;
	write_unlock(&mmu->lock);
	cond_resched();
	write_lock(&mmu->lock);
}

/*
 * Remove what the slot has below one table. The tables above stay while the lock
 * is dropped: only a huge mapping could replace them, and one that large is not
 * in a slot that lies in them only in part.
 */
static void zap_below(struct umbra_mmu *mmu, const struct umbra_memslot *slot,
		      u64 *table, int level, gfn_t base, bool *flush)
{
	gfn_t start = max(slot->base_gfn, base);
	gfn_t last = min(slot->base_gfn + slot->npages,
			 base + (umbra_level_pages(level) << UMBRA_LEVEL_BITS)) - 1;
	int i;

	for (i = tdp_index(start, level); i <= tdp_index(last, level); i++) {
		gfn_t gfn = base + i * umbra_level_pages(level);
		u64 spte = READ_ONCE(table[i]);

		if (!spte_is_mapped(spte))
			continue;
		if (spte_is_leaf(spte, level)) {
			tdp_clear_leaf(mmu, &table[i], gfn, level);
			*flush = true;
			continue;
		}
		if (level > UMBRA_LEVEL_2M)
			zap_below(mmu, slot, spte_child(spte), level - 1, gfn, flush);
		/* The lock may have been dropped inside. */
		if (!spte_is_table(READ_ONCE(table[i]), level))
			continue;
		if (umbra_slot_holds(slot, gfn) &&
		    umbra_slot_holds(slot, gfn + umbra_level_pages(level) - 1)) {
			tdp_unlink_table(mmu, &table[i], gfn, level, &mmu->arch.doomed);
			*flush = true;
		} else if (level == UMBRA_LEVEL_2M) {
			zap_below(mmu, slot, spte_child(spte), level - 1, gfn, flush);
		}
		give_way(mmu, flush);
	}
}

/* @zap_slot of struct umbra_mmu_ops */
void tdp_zap_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot)
{
	bool flush = false;

	write_lock(&mmu->lock);
	if (mmu->arch.root)
		zap_below(mmu, slot, mmu->arch.root, mmu->arch.root_level, 0, &flush);
	if (flush)
		umbra_mmu_flush(mmu);
	write_unlock(&mmu->lock);
}

/* @reap of struct umbra_mmu_ops */
void tdp_reap(struct umbra_mmu *mmu)
{
	struct page *page, *next;
	LIST_HEAD(doomed);

	if (!mmu->arch.root)
		return;
	write_lock(&mmu->lock);
	list_splice_init(&mmu->arch.doomed, &doomed);
	write_unlock(&mmu->lock);
	list_for_each_entry_safe(page, next, &doomed, lru)
		umbra_table_free(mmu, page_address(page), 0);
}

/* @merge_slot of struct umbra_mmu_ops */
void tdp_merge_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot)
{
	gfn_t gfn = slot->base_gfn, end = slot->base_gfn + slot->npages;

	while (gfn < end) {
		struct tdp_iter it;
		LIST_HEAD(doomed);

		write_lock(&mmu->lock);
		tdp_iter_begin(&it, mmu, gfn, end);
		gfn = it.sptep ? umbra_level_base(it.gfn, UMBRA_LEVEL_2M) +
				 umbra_level_pages(UMBRA_LEVEL_2M) : end;
		if (it.sptep && it.level == UMBRA_LEVEL_4K) {
			gfn_t base = umbra_level_base(it.gfn, UMBRA_LEVEL_2M);

			if (spte_host_is_huge(mmu, slot, base)) {
				tdp_unlink_table(mmu, tdp_parent(it.tables[1]), base,
						 UMBRA_LEVEL_2M, &doomed);
				umbra_mmu_flush(mmu);
				tdp_free_later(mmu, &doomed);
			}
		}
		write_unlock(&mmu->lock);
		cond_resched();
	}
}
