// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walking the mapped leaves of a gfn range. See struct tdp_iter.
 *
 * Locks: mmu->lock held, in either way, for the whole walk.
 */
#include "tdp.h"

/*
 * From entry to entry, down into tables and up out of them, until a mapped leaf
 * or the end. it->gfn is aligned to it->level.
 */
static void settle(struct tdp_iter *it)
{
	while (it->gfn < it->end) {
		u64 *sptep = it->tables[it->level] + tdp_index(it->gfn, it->level);
		u64 spte = READ_ONCE(*sptep);

		if (spte_is_mapped(spte)) {
			if (spte_is_leaf(spte, it->level)) {
				it->sptep = sptep;
				it->spte = spte;
				return;
			}
			it->level--;
			it->tables[it->level] = spte_child(spte);
			continue;
		}
		it->gfn += umbra_level_pages(it->level);
		while (it->level < it->root_level &&
		       !tdp_index(it->gfn, it->level))
			it->level++;
	}
	it->sptep = NULL;
}

/* Down to the entry that holds the first gfn; there the walk is in step. */
void tdp_iter_begin(struct tdp_iter *it, struct umbra_mmu *mmu, gfn_t start,
		    gfn_t end)
{
	u64 *table = mmu->arch.root;
	int level = mmu->arch.root_level;

	it->sptep = NULL;
	if (!table)
		return;
	it->root_level = level;
	it->end = end;
	for (;;) {
		u64 spte = READ_ONCE(table[tdp_index(start, level)]);

		it->tables[level] = table;
		if (!spte_is_table(spte, level))
			break;
		table = spte_child(spte);
		level--;
	}
	it->level = level;
	it->gfn = umbra_level_base(start, level);
	settle(it);
}

/* Look at the same place again: what stood there has changed. */
void tdp_iter_again(struct tdp_iter *it)
{
	settle(it);
}

void tdp_iter_next(struct tdp_iter *it)
{
	/* The common step: the neighbour in the same table, and mapped. */
	it->gfn += umbra_level_pages(it->level);
	if (it->level == UMBRA_LEVEL_4K && it->gfn < it->end &&
	    tdp_index(it->gfn, UMBRA_LEVEL_4K)) {
		it->spte = READ_ONCE(*++it->sptep);
		if (spte_is_mapped(it->spte))
			return;
	}
	while (it->level < it->root_level && !tdp_index(it->gfn, it->level))
		it->level++;
	settle(it);
}
