// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is true of the shadow pages whenever mmu->lock can be taken, and the check of
 * it; besides, what they say of one gfn, and all of them as text.
 *
 * Rules
 *  1. Each present leaf is in the chain of a gfn of its own level, once, and each entry of
 *     a chain is a present leaf of that level. It keeps the rules of spte_audit.c.
 *  2. Each entry that leads to a shadow page is in the chain of that page's parents, once,
 *     and each of those leads to it.
 *  3. No leaf allows writes to a gfn that is a shadowed guest table, unless that is out of
 *     sync.
 *  4. Each entry of a page in sync is what a fresh walk gives: shadow_audit_walk.c.
 *  5. The counts are true: leaves by level, shadow pages, those out of sync, shadowed
 *     tables in a 2M or 1G.
 *  6. What is out of sync is of level 1 and so are all pages of its gfn, and each entry that
 *     leads to it, from the root down, has its bit.
 *  7. The root of a vCPU that is in the guest is neither zapped nor of an old generation.
 *
 * Locks: mmu->lock held for writing.
 */
#include <linux/seq_file.h>
#include "shadow.h"

static struct umbra_memslots *slots_of(struct umbra_mmu *mmu)
{
	return rcu_dereference_protected(mmu->memslots, true);
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
	u64 *sptep = &sp->spt[i], spte = READ_ONCE(*sptep);
	gfn_t gfn = shadow_leaf_gfn(run->mmu, sptep, level);

	if (gfn == SHADOW_NO_GFN) {
		umbra_audit_violation(run, sp->gfn, level, spte, "in no chain of its level");
		return;
	}
	if (!umbra_rmap_listed(sptep))
		umbra_audit_violation(run, gfn, level, spte, "not once in its chain");
	spte_audit_leaf(run, gfn, level, spte);
	if ((spte & SPTE_W) && covers_table(run->mmu, gfn, level))
		umbra_audit_violation(run, gfn, level, spte,
				      "writable, but a guest table that is shadowed");
	shadow_audit_walk(run, sp, i, gfn);
}

static void check_child(struct umbra_audit_run *run, struct umbra_sp *sp, int i)
{
	u64 spte = READ_ONCE(sp->spt[i]);
	struct umbra_sp *child = spte_sp(spte);

	if (umbra_rmap_head_of(&sp->spt[i]) != &child->parents ||
	    !umbra_rmap_listed(&sp->spt[i]))
		umbra_audit_violation(run, sp->gfn, sp->role.level, spte,
				      "not once among the parents of its table");
	else if (child->zapped || child->role.level != sp->role.level - 1)
		umbra_audit_violation(run, sp->gfn, sp->role.level, spte,
				      "leads to a table of level %d%s", child->role.level,
				      child->zapped ? " that is gone" : "");
	else
		shadow_audit_walk(run, sp, i, child->gfn);
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
	gfn_t gfn = umbra_level_base(slot->base_gfn, level);
	struct umbra_rmap_head *last;
	struct umbra_rmap_iter iter;
	u64 *sptep;

	last = shadow_rmap(slot, slot->base_gfn + slot->npages - 1, level);
	for (; head <= last; head++, gfn += umbra_level_pages(level)) {
		umbra_rmap_for_each(head, &iter, sptep) {
			entries[level - 1]++;
			if (!spte_is_mapped(*sptep) || sptep_sp(sptep)->role.level != level)
				umbra_audit_violation(run, gfn, level, *sptep,
						      "in a chain, but no leaf of its level");
		}
	}
}

/* What there is, to be held against what is counted. */
struct found {
	u64 leaves[UMBRA_LEVEL_NUM];
	u64 pages;
	u64 unsync;
	u64 tables;	/* guest tables that are shadowed, in whatever uses */
};

static void check_count(struct umbra_audit_run *run, const char *what, u64 counted, u64 there)
{
	if (counted != there)
		umbra_audit_violation(run, 0, 0, 0, "%llu %s counted, %llu there", counted, what,
				      there);
}

static void check_leaves(struct umbra_audit_run *run, const struct found *found)
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
		u64 there = found->leaves[level - 1];

		if (counted != there || entries[level - 1] != there)
			umbra_audit_violation(run, 0, level, 0,
					      "%llu leaves counted, %llu there, %llu in chains",
					      counted, there, entries[level - 1]);
	}
}

/* How many shadowed tables the slots know of that are here to stay, by frames of @level. */
static u64 tracked(struct umbra_audit_run *run, int level)
{
	struct umbra_memslots *set = slots_of(run->mmu);
	unsigned long *count, *last;
	unsigned int i;
	u64 sum = 0;

	for (i = 0; i < set->count; i++) {
		struct umbra_memslot *slot = set->slots[i];

		if (!slot->maps || slot->gone)
			continue;
		last = shadow_tracked(slot, slot->base_gfn + slot->npages - 1, level);
		for (count = shadow_tracked(slot, slot->base_gfn, level); count <= last; count++)
			sum += *count;
	}
	return sum;
}

static void check_counts(struct umbra_audit_run *run, const struct found *found)
{
	const struct umbra_shadow *shadow = run->mmu->arch.shadow;

	check_leaves(run, found);
	check_count(run, "shadow pages", shadow->count, found->pages);
	check_count(run, "pages out of sync", shadow->unsync, found->unsync);
	check_count(run, "tables by 2M", tracked(run, UMBRA_LEVEL_2M), found->tables);
	check_count(run, "tables by 1G", tracked(run, UMBRA_LEVEL_1G), found->tables);
}

/* Rule 7. Who is about to look for another root may have an old one for an instant. */
static void check_roots(struct umbra_audit_run *run)
{
	unsigned long gen = run->mmu->arch.shadow->gen;
	struct umbra_mmu_vcpu *mv;

	list_for_each_entry_rcu(mv, &run->mmu->vcpus, node, true) {
		const struct umbra_shadow_root *root = mv_vcpu(mv)->arch.shadow->root;
		int i;

		for (i = 0; i < ARRAY_SIZE(root->sp); i++) {
			/* It is freed by who holds the lock and takes it out of here before. */
			struct umbra_sp *sp = READ_ONCE(root->sp[i]);

			if (READ_ONCE(mv->mode) == UMBRA_IN_GUEST && sp &&
			    (sp->zapped || sp->gen != gen))
				umbra_audit_racy(run, sp->gfn, sp->role.level, 0,
						 "a vCPU is in the guest with this root, which is %s",
						 sp->zapped ? "zapped" : "of an old generation");
		}
	}
}

static void check_page(struct umbra_audit_run *run, struct umbra_sp *sp, struct found *found)
{
	int i, level = sp->role.level;

	found->pages++;
	found->unsync += sp->unsync;
	if (shadow_next_page(run->mmu, sp->gfn, NULL) == sp)
		found->tables += !!shadow_table_slot(run->mmu, sp->gfn);
	check_parents(run, sp);
	check_unsync(run, sp);
	for (i = 0; i < SHADOW_ENTRIES; i++) {
		u64 spte = READ_ONCE(sp->spt[i]);

		if (spte_is_table(spte, level)) {
			check_child(run, sp, i);
		} else if (spte_is_mapped(spte)) {
			found->leaves[level - 1]++;
			check_leaf(run, sp, i);
		}
	}
}

/* @audit of struct umbra_mmu_ops */
void shadow_audit(struct umbra_audit_run *run)
{
	struct umbra_shadow *shadow = run->mmu->arch.shadow;
	struct found found = { .pages = 0 };
	struct umbra_sp *sp;

	if (!shadow)
		return;
	list_for_each_entry(sp, &shadow->pages, lru)
		check_page(run, sp, &found);
	run->out->tables = found.pages;
	check_counts(run, &found);
	check_roots(run);
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
