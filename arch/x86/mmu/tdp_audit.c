// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is true of the TDP tables whenever mmu->lock can be taken, and the check of
 * it; besides, what the tables say of one gfn, and all of them as text.
 *
 * Rules
 *  1. A table's page names the entry that leads to it.
 *  2. Each leaf keeps the rules of spte_audit.c.
 *  3. The counts of leaves by level are true.
 */
#include <linux/seq_file.h>
#include "tdp.h"

static void check_table(struct umbra_audit_run *run, u64 *table, int level, gfn_t base,
			u64 *leaves)
{
	int i;

	run->out->tables++;
	for (i = 0; i < TDP_ENTRIES; i++) {
		u64 spte = READ_ONCE(table[i]);
		gfn_t gfn = base + i * umbra_level_pages(level);

		if (!spte_is_mapped(spte))
			continue;
		if (spte_is_leaf(spte, level)) {
			leaves[level - 1]++;
			spte_audit_leaf(run, gfn, level, spte);
			continue;
		}
		if (tdp_parent(spte_child(spte)) != &table[i])
			umbra_audit_violation(run, gfn, level, spte,
					      "its table names another parent");
		check_table(run, spte_child(spte), level - 1, gfn, leaves);
	}
}

/* @audit of struct umbra_mmu_ops */
void tdp_audit(struct umbra_audit_run *run)
{
	struct umbra_mmu *mmu = run->mmu;
	u64 leaves[TDP_LEVELS_MAX] = { 0 };
	int i;

	if (!mmu->arch.root)
		return;
	check_table(run, mmu->arch.root, mmu->arch.root_level, 0, leaves);
	for (i = 0; i < UMBRA_LEVEL_NUM; i++) {
		u64 counted = atomic64_read(&mmu->stat.pages[i]);

		if (counted != leaves[i])
			umbra_audit_violation(run, 0, i + 1, 0,
					      "%llu leaves counted, %llu there",
					      counted, leaves[i]);
	}
}

/* @gfn_info of struct umbra_mmu_ops */
void tdp_gfn_info(struct umbra_mmu *mmu, struct umbra_gfn_info *info)
{
	int level;
	u64 *sptep = tdp_find(mmu, info->gfn, &level);
	u64 spte = sptep ? READ_ONCE(*sptep) : 0;

	if (!spte_is_mapped(spte))
		return;
	info->spte = spte;
	info->pfn = spte_pfn(spte) + (info->gfn & (umbra_level_pages(level) - 1));
	info->level = level;
	info->sptes = 1;
	info->flags |= UMBRA_GFN_PRESENT;
	if (spte & SPTE_W)
		info->flags |= UMBRA_GFN_WRITABLE;
	if (spte & SPTE_A)
		info->flags |= UMBRA_GFN_ACCESSED;
	if (spte & SPTE_D)
		info->flags |= UMBRA_GFN_DIRTY;
}

/* Leaves that follow each other in guest and host, as one line. */
struct stretch {
	gfn_t gfn;
	u64 spte;
	int level;
	u64 count;
};

static void say(struct seq_file *m, const struct stretch *s)
{
	u64 spte = s->spte;

	if (!s->count)
		return;
	seq_printf(m, "%10llx %10llx level %d x %-6llu %c%c%c%c %s%s%s\n",
		   s->gfn, spte_pfn(spte), s->level, s->count,
		   spte & SPTE_P ? 'p' : '-', spte & SPTE_W ? 'w' : '-',
		   spte & SPTE_A ? 'a' : '-', spte & SPTE_D ? 'd' : '-',
		   spte & SPTE_HOST_W ? "host-w " : "",
		   spte & SPTE_PAGE ? "page " : "io ",
		   spte & SPTE_PINNED ? "pinned" : "");
}

/* @dump of struct umbra_mmu_ops */
void tdp_dump(struct umbra_mmu *mmu, struct seq_file *m)
{
	struct stretch s = { 0 };
	struct tdp_iter it;

	seq_puts(m, "       gfn        pfn\n");
	tdp_for_each_leaf(&it, mmu, 0, mmu->max_gfn) {
		u64 step = umbra_level_pages(it.level);

		if (s.count && it.level == s.level && it.gfn == s.gfn + s.count * step &&
		    it.spte == s.spte + ((s.count * step) << PAGE_SHIFT)) {
			s.count++;
			continue;
		}
		say(m, &s);
		s = (struct stretch) { it.gfn, it.spte, it.level, 1 };
	}
	say(m, &s);
}
