// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults put into the shadow tables by hand; see mmu/hook.c. Each breaks one rule of
 * the audit, and UMBRA_HOOK_REPAIR makes it true again: an entry that was damaged goes,
 * and a fault brings it back.
 *
 * Chains that lead to what is not there, and entries that are in none, are a danger to
 * whoever drops them; so what is broken is mended before all shadow pages go.
 *
 * Locks: mmu->lock held for writing.
 */
#include "shadow.h"

/* The first spte of a gfn, at its level; NULL if it has none. */
static u64 *first_leaf(struct umbra_mmu *mmu, gfn_t gfn, int *level)
{
	struct umbra_memslot *slot;
	struct umbra_rmap_iter iter;

	slot = shadow_find_slot(mmu, gfn);
	if (!slot || !slot->maps)
		return NULL;
	for (*level = UMBRA_LEVEL_4K; *level <= UMBRA_LEVEL_1G; ++*level) {
		u64 *sptep = umbra_rmap_first(shadow_rmap(slot, gfn, *level), &iter);

		if (sptep)
			return sptep;
	}
	return NULL;
}

static int spoil_leaf(struct umbra_mmu *mmu, u32 hook, gfn_t gfn)
{
	struct umbra_shadow *shadow = mmu->arch.shadow;
	int level;
	u64 *sptep = first_leaf(mmu, gfn, &level), spte;

	if (!sptep)
		return -ENOENT;
	spte = *sptep;
	if (hook == UMBRA_HOOK_SPTE_USER) {
		spte ^= SPTE_U;
	} else if (hook == UMBRA_HOOK_SPTE_EXEC) {
		spte ^= SPTE_NX;
	} else {
		/* A chain may not lead to a table that is freed. */
		if (hook == UMBRA_HOOK_SPTE_LOST)
			shadow_rmap_remove(sptep);
		spte = spte_spoiled(mmu, hook, spte);
	}
	WRITE_ONCE(*sptep, spte);
	umbra_mmu_flush(mmu);
	shadow->broken_sptep = sptep;
	return 0;
}

/* A leaf and its chain disagree. Descriptors are not to be had: see the numbers it takes. */
static int spoil_chain(struct umbra_mmu *mmu, u32 hook, gfn_t gfn)
{
	struct umbra_shadow *shadow = mmu->arch.shadow;
	struct umbra_memslot *slot = shadow_find_slot(mmu, gfn);
	struct umbra_rmap_head *head, *next;
	int level;
	u64 *sptep = first_leaf(mmu, gfn, &level);
	unsigned long count;

	if (!sptep)
		return -ENOENT;
	head = umbra_rmap_head_of(sptep);
	next = shadow_rmap(slot, gfn, level) + 1;
	count = umbra_rmap_count(head);
	shadow->broken_sptep = sptep;
	shadow->broken_link = *umbra_rmap_link(sptep);
	switch (hook) {
	case UMBRA_HOOK_RMAP_STRAY:
		WRITE_ONCE(*sptep, 0);
		break;
	case UMBRA_HOOK_RMAP_TWICE:
		if (count < 2 || count >= UMBRA_RMAP_DESC_SPTES)
			return -ENOENT;
		umbra_rmap_add(head, sptep, NULL);
		break;
	case UMBRA_HOOK_RMAP_OTHER:
		if (next->val || !umbra_slot_holds(slot, gfn + umbra_level_pages(level)))
			return -ENOENT;
		shadow_rmap_remove(sptep);
		umbra_rmap_add(next, sptep, NULL);
		break;
	default:
		shadow_rmap_remove(sptep);
	}
	umbra_mmu_flush(mmu);
	return 0;
}

/* The entry that leads to the gfn's table, or its place in the chain of parents, goes. */
static int spoil_parent(struct umbra_mmu *mmu, u32 hook, gfn_t gfn)
{
	struct umbra_rmap_iter iter;
	int level;
	u64 *sptep = first_leaf(mmu, gfn, &level), *parent;

	parent = sptep ? umbra_rmap_first(&sptep_sp(sptep)->parents, &iter) : NULL;
	if (!parent)
		return -ENOENT;
	if (hook == UMBRA_HOOK_TABLE_CHILD)
		shadow_rmap_remove(parent);
	else
		WRITE_ONCE(*parent, 0);
	umbra_mmu_flush(mmu);
	return 0;
}

static int spoil_marks(struct umbra_mmu *mmu, u32 hook, gfn_t gfn)
{
	struct umbra_shadow *shadow = mmu->arch.shadow;
	struct umbra_sp *sp = shadow_next_page(mmu, gfn, NULL);
	struct umbra_rmap_iter iter;
	u64 *parent;

	parent = sp && sp->unsync ? umbra_rmap_first(&sp->parents, &iter) : NULL;
	if (!parent)
		return -ENOENT;
	shadow->broken_sptep = parent;
	sptep_sp(parent)->nr_unsync--;
	if (hook == UMBRA_HOOK_UNSYNC_BIT)
		__clear_bit(shadow_sptep_index(parent), sptep_sp(parent)->unsync_bits);
	return 0;
}

/*
 * All roots at once are of an old generation, or of this one again. What is old does not
 * count as tracked.
 */
static void shift_roots(struct umbra_mmu *mmu, bool old)
{
	unsigned long gen = mmu->arch.shadow->gen;
	struct umbra_sp *sp;

	list_for_each_entry(sp, &mmu->arch.shadow->pages, lru) {
		bool alone;

		if (!sp->roots || sp->gen != gen - !old)
			continue;
		sp->gen = gen - 1;
		alone = !sp->role.direct && !shadow_next_page(mmu, sp->gfn, NULL);
		sp->gen = gen - old;
		if (alone)
			shadow_count_tracked(mmu, sp->gfn, old ? -1 : 1);
	}
}

/* Those hooks that must be undone one by one; the rest is found by a look at all. */
static void undo(struct umbra_mmu *mmu)
{
	struct umbra_shadow *shadow = mmu->arch.shadow;
	u64 *sptep = shadow->broken_sptep;

	switch (shadow->broken) {
	case UMBRA_HOOK_SPTE_PFN:
	case UMBRA_HOOK_SPTE_WRITE:
	case UMBRA_HOOK_SPTE_USER:
	case UMBRA_HOOK_SPTE_EXEC:
	case UMBRA_HOOK_RMAP_OTHER:
		shadow_drop(mmu, sptep, sptep_sp(sptep)->role.level);
		break;
	case UMBRA_HOOK_RMAP_TWICE:
		umbra_rmap_remove(sptep);
		*umbra_rmap_link(sptep) = shadow->broken_link;
		break;
	case UMBRA_HOOK_UNSYNC_BIT:
		__set_bit(shadow_sptep_index(sptep), sptep_sp(sptep)->unsync_bits);
		break;
	case UMBRA_HOOK_OLD_ROOT:
		shift_roots(mmu, false);
		break;
	}
	shadow->broken = 0;
}

/* An entry without a chain, and a chain without its entry, are none any more. */
static void mend_entry(u64 *sptep)
{
	bool linked = umbra_rmap_head_of(sptep);

	if (spte_is_mapped(*sptep) && !linked)
		WRITE_ONCE(*sptep, 0);
	else if (!spte_is_mapped(*sptep) && linked)
		shadow_rmap_remove(sptep);
}

/* What was lost is not to be held against the VM any more. */
static int repair(struct umbra_mmu *mmu)
{
	struct umbra_shadow *shadow = mmu->arch.shadow;
	s64 held = 0, leaves[UMBRA_LEVEL_NUM] = { 0 };
	struct umbra_sp *sp;
	int i;

	undo(mmu);
	shadow->unsync = 0;
	list_for_each_entry(sp, &shadow->pages, lru) {
		shadow->unsync += sp->unsync;
		sp->nr_unsync = bitmap_weight(sp->unsync_bits, SHADOW_ENTRIES);
		for (i = 0; i < SHADOW_ENTRIES; i++) {
			u64 *sptep = &sp->spt[i];

			mend_entry(sptep);
			if (!spte_is_mapped(*sptep) || !spte_is_leaf(*sptep, sp->role.level))
				continue;
			leaves[sp->role.level - 1]++;
			held += !!(*sptep & SPTE_PINNED);
		}
	}
	umbra_mmu_flush(mmu);
	umbra_mmu_settle(mmu, leaves, held);
	return 0;
}

/* Before all shadow pages go, with a hook that nobody has repaired. */
void shadow_mend(struct umbra_mmu *mmu)
{
	if (mmu->arch.shadow->broken)
		repair(mmu);
}

bool shadow_uses_old_roots(const struct umbra_mmu *mmu)
{
	return READ_ONCE(mmu->arch.shadow->broken) == UMBRA_HOOK_OLD_ROOT;
}

static int spoil(struct umbra_mmu *mmu, u32 hook, u64 arg)
{
	switch (hook) {
	case UMBRA_HOOK_SPTE_PFN:
	case UMBRA_HOOK_SPTE_WRITE:
	case UMBRA_HOOK_SPTE_LOST:
	case UMBRA_HOOK_SPTE_USER:
	case UMBRA_HOOK_SPTE_EXEC:
		return spoil_leaf(mmu, hook, arg);
	case UMBRA_HOOK_RMAP_GONE:
	case UMBRA_HOOK_RMAP_STRAY:
	case UMBRA_HOOK_RMAP_TWICE:
	case UMBRA_HOOK_RMAP_OTHER:
		return spoil_chain(mmu, hook, arg);
	case UMBRA_HOOK_TABLE_PARENT:
	case UMBRA_HOOK_TABLE_CHILD:
		return spoil_parent(mmu, hook, arg);
	case UMBRA_HOOK_UNSYNC_BIT:
	case UMBRA_HOOK_UNSYNC_COUNT:
		return spoil_marks(mmu, hook, arg);
	case UMBRA_HOOK_UNSYNC_SUM:
		mmu->arch.shadow->unsync++;
		return 0;
	case UMBRA_HOOK_OLD_ROOT:
		shift_roots(mmu, true);
		return 0;
	default:
		return -EINVAL;
	}
}

/* @hook of struct umbra_mmu_ops */
int shadow_hook(struct umbra_mmu *mmu, const struct umbra_test_hook *hook)
{
	struct umbra_shadow *shadow = mmu->arch.shadow;
	int err;

	if (!shadow)
		return umbra_mmu_hook(mmu, hook);
	if (hook->hook == UMBRA_HOOK_REPAIR)
		return repair(mmu);
	if (shadow->broken)
		return -EBUSY;
	err = spoil(mmu, hook->hook, hook->arg);
	if (err == -EINVAL)
		return umbra_mmu_hook(mmu, hook);
	if (!err)
		shadow->broken = hook->hook;
	return err;
}
