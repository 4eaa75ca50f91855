// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is true of the shadow pages whenever mmu->lock can be taken, and the check of
 * it; besides, what they say of one gfn, and all of them as text.
 *
 * Rules
 *  1. Each present leaf is in the chain of a gfn of its own level, and each entry of a
 *     chain is a present leaf of that level. It keeps the rules of spte_audit.c.
 *  2. Each entry that leads to a shadow page is in the chain of that page's parents, and
 *     each of those leads to it.
 *  3. No leaf allows writes to a gfn that is a shadowed guest table, unless that is out of
 *     sync.
 *  4. A leaf of a page that is neither direct nor out of sync translates as the guest's
 *     entry does and allows no more; one of a direct page maps that page's frames in order.
 *  5. The counts are true: leaves by level, shadow pages, shadowed tables in a 2M or 1G.
 *  6. What is out of sync is of level 1 and so are all pages of its gfn, and each entry that
 *     leads to it, from the root down, has its bit.
 *
 * Locks: mmu->lock held for writing.
 */
#include <linux/seq_file.h>
#include "shadow.h"

static struct umbra_memslots *slots_of(struct umbra_mmu *mmu)
{
	return rcu_dereference_protected(mmu->memslots, true);
}

/* The gfn whose chain the leaf is in; false if it is in none of its level's. */
static bool gfn_of(struct umbra_mmu *mmu, u64 *sptep, int level, gfn_t *gfn)
{
	struct umbra_rmap_head *head = umbra_rmap_head_of(sptep);
	struct umbra_memslots *set = slots_of(mmu);
	unsigned int i;

	for (i = 0; head && i < set->count; i++) {
		struct umbra_memslot *slot = set->slots[i];
		struct umbra_rmap_head *first, *last;

		if (!slot->maps)
			continue;
		first = shadow_rmap(slot, slot->base_gfn, level);
		last = shadow_rmap(slot, slot->base_gfn + slot->npages - 1, level);
		if (head < first || head > last)
			continue;
		*gfn = umbra_level_base(slot->base_gfn, level) +
		       (head - first) * umbra_level_pages(level);
		return true;
	}
	return false;
}

/* The guest's entry that an entry of @sp was made from; false if it is not at hand. */
static bool read_gpte(struct umbra_audit_run *run, struct umbra_sp *sp, int i, u64 *gpte)
{
	unsigned int at = i + sp->role.quadrant * SHADOW_ENTRIES, bytes = 8;
	struct umbra_memslot *slot;
	struct umbra_host_page page;
	unsigned long hva;
	void *entry;

	if (sp->role.top == 2) {
		bytes = 4;
		if (sp->role.level == 2)
			at /= 2;
	}
	slot = shadow_find_slot(run->mmu, sp->gfn);
	if (!run->host || !slot)
		return false;
	hva = umbra_slot_hva(slot, sp->gfn);
	if (umbra_notifier_covers(&run->mmu->notifier, hva, PAGE_SIZE) ||
	    !umbra_hostpt_scan(run->mmu->mm, hva, &page, 1) || !page.present)
		return false;
	entry = __va(page.pfn << PAGE_SHIFT) + at * bytes;
	*gpte = bytes == 8 ? READ_ONCE(*(u64 *)entry) : READ_ONCE(*(u32 *)entry);
	return true;
}

/* Rule 4; @gpte is of the last level, the rest is the levels' above. */
static void check_gpte(struct umbra_audit_run *run, struct umbra_sp *sp, u64 gpte,
		       gfn_t gfn, u64 spte)
{
	u64 mask = sp->role.top == 2 ? GENMASK_ULL(31, PAGE_SHIFT) : SPTE_PFN_MASK;
	struct umbra_memslot *slot = shadow_find_slot(run->mmu, sp->gfn);

	/* Nothing sets D in read-only memory. */
	if (slot && umbra_slot_readonly(slot))
		gpte |= SPTE_D;

	if (!(gpte & SPTE_P))
		umbra_audit_racy(run, gfn, sp->role.level, spte,
				 "the guest's entry is not present");
	else if (sp->role.level == UMBRA_LEVEL_4K && (gpte & mask) >> PAGE_SHIFT != gfn)
		umbra_audit_racy(run, gfn, sp->role.level, spte,
				 "the guest's entry %llx is for another frame", gpte);
	else if ((spte & SPTE_W) && (!(gpte & SPTE_D) || (sp->role.wp && !(gpte & SPTE_W))))
		umbra_audit_racy(run, gfn, sp->role.level, spte,
				 "writable, but the guest's entry is %llx", gpte);
	else if ((spte & SPTE_U) && !(gpte & SPTE_U))
		umbra_audit_racy(run, gfn, sp->role.level, spte,
				 "for the user, but the guest's entry is %llx", gpte);
	else if (sp->role.top > 2 && (gpte & SPTE_NX) && !(spte & SPTE_NX))
		umbra_audit_racy(run, gfn, sp->role.level, spte,
				 "executable, but the guest's entry is %llx", gpte);
}

/* Rule 3; of a large leaf each frame counts. */
static bool covers_table(struct umbra_mmu *mmu, gfn_t gfn, int level)
{
	struct umbra_memslot *slot;

	if (level == UMBRA_LEVEL_4K)
		return shadow_protects(mmu, gfn);
	slot = shadow_find_slot(mmu, gfn);
	return slot && slot->maps && *shadow_tracked(slot, gfn, level);
}

static void check_leaf(struct umbra_audit_run *run, struct umbra_sp *sp, int i)
{
	int level = sp->role.level;
	u64 *sptep = &sp->spt[i], spte = READ_ONCE(*sptep), gpte;
	gfn_t gfn;

	if (!gfn_of(run->mmu, sptep, level, &gfn)) {
		umbra_audit_violation(run, sp->gfn, level, spte, "in no chain of its level");
		return;
	}
	spte_audit_leaf(run, gfn, level, spte);
	if ((spte & SPTE_W) && covers_table(run->mmu, gfn, level))
		umbra_audit_violation(run, gfn, level, spte,
				      "writable, but a guest table that is shadowed");
	if (sp->role.direct) {
		if (gfn != sp->gfn + i * umbra_level_pages(level))
			umbra_audit_violation(run, gfn, level, spte,
					      "not the direct page's frame");
	} else if (!sp->unsync && read_gpte(run, sp, i, &gpte)) {
		check_gpte(run, sp, gpte, gfn, spte);
	}
}

static void check_child(struct umbra_audit_run *run, struct umbra_sp *sp, int i)
{
	u64 spte = READ_ONCE(sp->spt[i]);
	struct umbra_sp *child = spte_sp(spte);

	if (umbra_rmap_head_of(&sp->spt[i]) != &child->parents)
		umbra_audit_violation(run, sp->gfn, sp->role.level, spte,
				      "not among the parents of its table");
	else if (child->zapped || child->role.level != sp->role.level - 1)
		umbra_audit_violation(run, sp->gfn, sp->role.level, spte,
				      "leads to a table of level %d%s", child->role.level,
				      child->zapped ? " that is gone" : "");
}

/* Rule 6 */
static void check_unsync(struct umbra_audit_run *run, struct umbra_sp *sp)
{
	unsigned int bits = bitmap_weight(sp->unsync_bits, SHADOW_ENTRIES);
	struct umbra_rmap_iter iter;
	struct umbra_sp *other;
	u64 *parent;

	if (bits != sp->nr_unsync)
		umbra_audit_violation(run, sp->gfn, sp->role.level, 0,
				      "%u entries out of sync counted, %u there",
				      sp->nr_unsync, bits);
	if (!sp->unsync && !bits)
		return;
	umbra_rmap_for_each(&sp->parents, &iter, parent)
		if (!test_bit(shadow_sptep_index(parent), sptep_sp(parent)->unsync_bits))
			umbra_audit_violation(run, sp->gfn, sp->role.level, *parent,
					      "out of sync, and its parent does not know");
	if (!sp->unsync)
		return;
	shadow_for_each_page(run->mmu, sp->gfn, other)
		if (!other->unsync || other->role.level > 1 || other->role.direct)
			umbra_audit_violation(run, sp->gfn, other->role.level, 0,
					      "out of sync at one level, but not at all");
}

static void check_parents(struct umbra_audit_run *run, struct umbra_sp *sp)
{
	struct umbra_rmap_iter iter;
	u64 *parent;

	umbra_rmap_for_each(&sp->parents, &iter, parent)
		if (!spte_is_mapped(*parent) || spte_sp(*parent) != sp)
			umbra_audit_violation(run, sp->gfn, sp->role.level, *parent,
					      "a parent that does not lead to the table");
}

static void check_chains(struct umbra_audit_run *run, struct umbra_memslot *slot, int level,
			 u64 *entries)
{
	struct umbra_rmap_head *head = shadow_rmap(slot, slot->base_gfn, level);
	struct umbra_rmap_head *last;
	struct umbra_rmap_iter iter;
	u64 *sptep;

	last = shadow_rmap(slot, slot->base_gfn + slot->npages - 1, level);
	for (; head <= last; head++) {
		umbra_rmap_for_each(head, &iter, sptep) {
			entries[level - 1]++;
			if (!spte_is_mapped(*sptep) || sptep_sp(sptep)->role.level != level)
				umbra_audit_violation(run, 0, level, *sptep,
						      "in a chain, but no leaf of its level");
		}
	}
}

static void check_counts(struct umbra_audit_run *run, const u64 *leaves, u64 pages)
{
	struct umbra_memslots *set = slots_of(run->mmu);
	u64 entries[UMBRA_LEVEL_NUM] = { 0 };
	unsigned int i;
	int level;

	for (i = 0; i < set->count; i++)
		for (level = 1; set->slots[i]->maps && level <= UMBRA_LEVEL_NUM; level++)
			check_chains(run, set->slots[i], level, entries);
	for (level = 1; level <= UMBRA_LEVEL_NUM; level++) {
		u64 counted = atomic64_read(&run->mmu->stat.pages[level - 1]);

		if (counted != leaves[level - 1] || entries[level - 1] != leaves[level - 1])
			umbra_audit_violation(run, 0, level, 0,
					      "%llu leaves counted, %llu there, %llu in chains",
					      counted, leaves[level - 1], entries[level - 1]);
	}
	if (pages != run->mmu->arch.shadow->count)
		umbra_audit_violation(run, 0, 0, 0, "%lu shadow pages counted, %llu there",
				      run->mmu->arch.shadow->count, pages);
}

/* @audit of struct umbra_mmu_ops */
void shadow_audit(struct umbra_audit_run *run)
{
	struct umbra_shadow *shadow = run->mmu->arch.shadow;
	u64 leaves[UMBRA_LEVEL_NUM] = { 0 };
	struct umbra_sp *sp;
	int i;

	if (!shadow)
		return;
	list_for_each_entry(sp, &shadow->pages, lru) {
		int level = sp->role.level;

		run->out->tables++;
		check_parents(run, sp);
		check_unsync(run, sp);
		for (i = 0; i < SHADOW_ENTRIES; i++) {
			u64 spte = READ_ONCE(sp->spt[i]);

			if (!spte_is_mapped(spte))
				continue;
			if (!spte_is_leaf(spte, level)) {
				check_child(run, sp, i);
				continue;
			}
			leaves[level - 1]++;
			check_leaf(run, sp, i);
		}
	}
	check_counts(run, leaves, run->out->tables);
}

/* @gfn_info of struct umbra_mmu_ops */
void shadow_gfn_info(struct umbra_mmu *mmu, struct umbra_gfn_info *info)
{
	struct umbra_memslot *slot = shadow_find_slot(mmu, info->gfn);
	struct umbra_rmap_iter iter;
	u64 *sptep;
	int level;

	if (!slot || !slot->maps)
		return;
	for (level = UMBRA_LEVEL_1G; level >= UMBRA_LEVEL_4K; level--) {
		umbra_rmap_for_each(shadow_rmap(slot, info->gfn, level), &iter, sptep) {
			u64 spte = READ_ONCE(*sptep);

			info->spte = spte;
			info->pfn = spte_pfn(spte) +
				    (info->gfn & (umbra_level_pages(level) - 1));
			info->level = level;
			info->sptes++;
			info->flags |= UMBRA_GFN_PRESENT |
				       (spte & SPTE_W ? UMBRA_GFN_WRITABLE : 0) |
				       (spte & SPTE_A ? UMBRA_GFN_ACCESSED : 0) |
				       (spte & SPTE_D ? UMBRA_GFN_DIRTY : 0);
		}
	}
}

/* @dump of struct umbra_mmu_ops */
void shadow_dump(struct umbra_mmu *mmu, struct seq_file *m)
{
	struct umbra_sp *sp;
	int i;

	if (!mmu->arch.shadow)
		return;
	seq_puts(m, "       gfn level top access kind     entries parents roots\n");
	list_for_each_entry(sp, &mmu->arch.shadow->pages, lru) {
		unsigned int used = 0;

		for (i = 0; i < SHADOW_ENTRIES; i++)
			used += spte_is_mapped(READ_ONCE(sp->spt[i]));
		seq_printf(m, "%10llx %5u %3u    %c%c%c %s %7u %7lu %5u\n", sp->gfn,
			   sp->role.level, sp->role.top,
			   sp->role.access & UMBRA_PERM_WRITE ? 'w' : '-',
			   sp->role.access & UMBRA_PERM_USER ? 'u' : '-',
			   sp->role.access & UMBRA_PERM_EXEC ? 'x' : '-',
			   sp->role.direct ? "direct  " : "shadowed", used,
			   umbra_rmap_count(&sp->parents), sp->roots);
	}
}
