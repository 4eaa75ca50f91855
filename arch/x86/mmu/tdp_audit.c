// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is true of the TDP tables whenever mmu->lock can be taken, and the check of
 * it; besides, what the tables say of one gfn, and all of them as text.
 *
 * Rules
 *  1. A table's page names the entry that leads to it.
 *  2. Each leaf lies in a slot that is not gone, the whole of it.
 *  3. A leaf is writable only where the host lets the process write, and never in a
 *     read-only slot.
 *  4. In a slot that logs dirty pages, a writable leaf is a base page whose dirty
 *     bit is set.
 *  5. A leaf of an ordinary page maps the frame that the host's tables have there,
 *     and is not larger than the host's mapping.
 *  6. Under policy pinned each leaf of a counted page holds one reference, and
 *     under policy notified none does; the references held make up the difference
 *     of those taken and released.
 *  7. The counts of leaves by level are true.
 */
#include <linux/seq_file.h>
#include "tdp.h"

static void check_host(struct umbra_audit_run *run, const struct umbra_memslot *slot,
		       gfn_t gfn, int level, u64 spte)
{
	struct umbra_mmu *mmu = run->mmu;
	unsigned long hva = umbra_slot_hva(slot, gfn);
	struct umbra_host_page page;
	int host_level;

	if (!(spte & SPTE_PAGE))
		return;
	if (!run->host || umbra_notifier_covers(&mmu->notifier, hva,
						umbra_level_pages(level) << PAGE_SHIFT)) {
		run->out->skipped++;
		return;
	}
	host_level = umbra_hostpt_scan(mmu->mm, hva, &page, 1);
	if (!host_level || !page.present)
		umbra_audit_violation(run, gfn, level, spte,
				      "the host has no page there");
	else if (page.pfn != spte_pfn(spte))
		umbra_audit_violation(run, gfn, level, spte,
				      "the host has frame %llx there", page.pfn);
	else if (host_level < level)
		umbra_audit_violation(run, gfn, level, spte,
				      "the host maps level %d there", host_level);
	else if ((spte & SPTE_HOST_W) && !page.writable)
		umbra_audit_violation(run, gfn, level, spte,
				      "the host's page is read-only");
}

static void check_write(struct umbra_audit_run *run, const struct umbra_memslot *slot,
			gfn_t gfn, int level, u64 spte)
{
	if (!(spte & SPTE_W))
		return;
	if (!(spte & SPTE_HOST_W))
		umbra_audit_violation(run, gfn, level, spte,
				      "writable, but the host did not allow it");
	if (umbra_slot_readonly(slot))
		umbra_audit_violation(run, gfn, level, spte,
				      "writable in a read-only slot");
	if (umbra_slot_logs(slot) &&
	    (level > UMBRA_LEVEL_4K ||
	     !test_bit_le(gfn - slot->base_gfn, slot->dirty_bitmap)))
		umbra_audit_racy(run, gfn, level, spte,
				 "writable, but not in the dirty log");
}

static void check_leaf(struct umbra_audit_run *run, gfn_t gfn, int level, u64 spte)
{
	struct umbra_mmu *mmu = run->mmu;
	bool pins = mmu->policy == UMBRA_POLICY_PINNED;
	struct umbra_memslot *slot;

	run->out->sptes++;
	slot = umbra_memslots_find(rcu_dereference_protected(mmu->memslots, true), gfn);
	if (!slot || !umbra_slot_holds(slot, gfn + umbra_level_pages(level) - 1)) {
		umbra_audit_violation(run, gfn, level, spte, "no slot is there");
		return;
	}
	check_write(run, slot, gfn, level, spte);
	check_host(run, slot, gfn, level, spte);
	if (spte & SPTE_PINNED)
		run->out->refs_held++;
	if ((spte & SPTE_PAGE) && !!(spte & SPTE_PINNED) != pins)
		umbra_audit_violation(run, gfn, level, spte,
				      "a reference against the page policy");
}

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
			check_leaf(run, gfn, level, spte);
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
