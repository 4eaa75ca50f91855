/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two-dimensional paging: what the files of the TDP MMU share.
 *
 * Invariants of the tables
 * - Each table but the root is led to by exactly one entry, whose address stands in
 *   the table's page->private.
 * - Under mmu->lock held for reading an entry only goes from not mapped to mapped,
 *   or gains bits of the same translation, by compare-and-exchange. Under the lock
 *   held for writing anything may happen to it. Without the lock, under mmu->srcu,
 *   a mapped leaf may gain P, W, A and D by compare-and-exchange.
 * - A table that is unlinked stays readable until mmu->srcu's readers have left.
 * - Each change of a leaf goes through spte_account().
 */
#ifndef _UMBRA_TDP_H
#define _UMBRA_TDP_H

#include <linux/mm.h>
#include <umbra/mmu.h>
#include <umbra/x86_mmu.h>
#include "spte.h"

#define TDP_LEVELS_MAX	5
#define TDP_ENTRIES	BIT(UMBRA_LEVEL_BITS)

extern struct umbra_tdp_caps tdp_caps;

static inline unsigned int tdp_index(gfn_t gfn, int level)
{
	return (gfn >> ((level - 1) * UMBRA_LEVEL_BITS)) & (TDP_ENTRIES - 1);
}

static inline void tdp_set_parent(u64 *table, u64 *sptep)
{
	set_page_private(virt_to_page(table), (unsigned long)sptep);
}

static inline u64 *tdp_parent(u64 *table)
{
	return (u64 *)page_private(virt_to_page(table));
}

/**
 * struct tdp_iter - a walk over the mapped leaves of a gfn range, in order
 * @gfn: first gfn of the leaf that the walk stands on
 * @end: first gfn behind the range
 * @sptep: the leaf
 * @spte: what it was when the walk came to it
 * @level: its level
 * @tables: the tables on the way to it, by level
 * @root_level: where the walk began
 *
 * A leaf that overlaps the range is visited even if it begins before it; @gfn is
 * its own first gfn then. The caller may change or clear the leaf, and may turn it
 * into a table if it calls tdp_iter_again().
 */
struct tdp_iter {
	gfn_t gfn;
	gfn_t end;
	u64 *sptep;
	u64 spte;
	int level;
	u64 *tables[TDP_LEVELS_MAX + 1];
	int root_level;
};

void tdp_iter_begin(struct tdp_iter *it, struct umbra_mmu *mmu, gfn_t start,
		    gfn_t end);
void tdp_iter_next(struct tdp_iter *it);
void tdp_iter_again(struct tdp_iter *it);

/* mmu->lock is held, and not dropped inside. */
#define tdp_for_each_leaf(it, mmu, start, end)				\
	for (tdp_iter_begin(it, mmu, start, end); (it)->sptep;		\
	     tdp_iter_next(it))

/* tdp.c */
u64 *tdp_find(struct umbra_mmu *mmu, gfn_t gfn, int *level);
void tdp_clear_leaf(struct umbra_mmu *mmu, u64 *sptep, gfn_t gfn, int level);
void tdp_free_later(struct umbra_mmu *mmu, struct list_head *doomed);

/* tdp_map.c */
bool tdp_fast(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault);
bool tdp_prepared(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault);
int tdp_prepare(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault);
int tdp_map(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault);
int tdp_map_exclusive(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault);

/* tdp_range.c */
bool tdp_unmap(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);
bool tdp_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);
bool tdp_test_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);

/* tdp_slot.c */
bool tdp_wrprot(struct umbra_mmu *mmu, struct umbra_memslot *slot,
		unsigned long offset, unsigned long mask);
void tdp_wrprot_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot);
void tdp_zap_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot);
void tdp_reap(struct umbra_mmu *mmu);
void tdp_zap_all(struct umbra_mmu *mmu);
void tdp_merge_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot);
void tdp_unlink_table(struct umbra_mmu *mmu, u64 *sptep, gfn_t gfn, int level,
		      struct list_head *doomed);

/* tdp_audit.c */
void tdp_audit(struct umbra_audit_run *run);
void tdp_gfn_info(struct umbra_mmu *mmu, struct umbra_gfn_info *info);
void tdp_dump(struct umbra_mmu *mmu, struct seq_file *m);

#ifdef UMBRA_TEST
/* tdp_hook.c */
int tdp_hook(struct umbra_mmu *mmu, const struct umbra_test_hook *hook);
#endif

#endif
