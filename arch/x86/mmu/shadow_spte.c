// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leaves of shadow pages: the chains that they are in, and the accounts that follow
 * from a change. shadow_set_leaf() and shadow_drop_leaf() are the only places where a
 * leaf begins and ends; in between only permissions change, by shadow_change_leaf() and by
 * write protection, and A and D.
 *
 * The maps of a slot are one allocation: the heads of the chains of its 4K, 2M and 1G
 * frames, then for each 2M and 1G how many guest tables in it are shadowed.
 *
 * Locks: mmu->lock held for writing.
 */
#include <linux/slab.h>
#include "shadow.h"

/* Frames of @level that the slot touches. */
static unsigned long frames(const struct umbra_memslot *slot, int level)
{
	int shift = (level - 1) * UMBRA_LEVEL_BITS;

	return ((slot->base_gfn + slot->npages - 1) >> shift) - (slot->base_gfn >> shift) + 1;
}

static unsigned long frame(const struct umbra_memslot *slot, gfn_t gfn, int level)
{
	int shift = (level - 1) * UMBRA_LEVEL_BITS;

	return (gfn >> shift) - (slot->base_gfn >> shift);
}

/* Words before the heads (@level 1 to 3) or the counts (4 and 5) of a level. */
static unsigned long map_offset(const struct umbra_memslot *slot, int map)
{
	unsigned long words = 0;
	int i;

	for (i = 1; i < map; i++)
		words += frames(slot, i <= UMBRA_LEVEL_1G ? i : i - 2);
	return words;
}

/* Sleeps; 0 or -ENOMEM. Several may try at once. */
int shadow_make_maps(struct umbra_memslot *slot)
{
	void *maps;

	if (READ_ONCE(slot->maps))
		return 0;
	maps = kvcalloc(map_offset(slot, 6), sizeof(unsigned long), GFP_KERNEL_ACCOUNT);
	if (!maps)
		return -ENOMEM;
	if (cmpxchg(&slot->maps, NULL, maps))
		kvfree(maps);
	return 0;
}

/* The chain of the frame of @level that holds @gfn; the slot has maps. */
struct umbra_rmap_head *shadow_rmap(const struct umbra_memslot *slot, gfn_t gfn, int level)
{
	struct umbra_rmap_head *heads = slot->maps;

	return heads + map_offset(slot, level) + frame(slot, gfn, level);
}

/**
 * shadow_leaf_gfn() - first gfn of a leaf, by the chain that it is in
 * @mmu: the MMU
 * @sptep: the leaf
 * @level: its level
 *
 * It looks through all slots. Return: the gfn; SHADOW_NO_GFN if the leaf is in no chain of
 * its level.
 */
gfn_t shadow_leaf_gfn(struct umbra_mmu *mmu, u64 *sptep, int level)
{
	struct umbra_memslots *set = rcu_dereference_protected(mmu->memslots, true);
	struct umbra_rmap_head *head = umbra_rmap_head_of(sptep);
	unsigned int i;

	for (i = 0; head && i < set->count; i++) {
		struct umbra_memslot *slot = set->slots[i];
		struct umbra_rmap_head *first;

		if (!slot->maps)
			continue;
		first = shadow_rmap(slot, slot->base_gfn, level);
		if (head >= first && head < first + frames(slot, level))
			return umbra_level_base(slot->base_gfn, level) +
			       (head - first) * umbra_level_pages(level);
	}
	return SHADOW_NO_GFN;
}

/* How many shadowed guest tables lie in the frame of @level, 2 or 3, of @gfn. */
unsigned long *shadow_tracked(const struct umbra_memslot *slot, gfn_t gfn, int level)
{
	unsigned long *counts = slot->maps;

	return counts + map_offset(slot, level + 2) + frame(slot, gfn, level);
}

void shadow_forget_tracked(struct umbra_memslot *slot)
{
	unsigned long *counts = slot->maps;

	if (counts)
		memset(counts + map_offset(slot, 4), 0,
		       (map_offset(slot, 6) - map_offset(slot, 4)) * sizeof(*counts));
}

/**
 * shadow_set_leaf() - put a translation where none is
 * @vcpu: the vCPU, whose cache has a descriptor
 * @slot: the slot, with maps
 * @gfn: first gfn of the leaf
 * @level: its level
 * @sptep: the entry, clear
 * @spte: what it becomes
 */
void shadow_set_leaf(struct umbra_vcpu *vcpu, struct umbra_memslot *slot, gfn_t gfn,
		     int level, u64 *sptep, u64 spte)
{
	shadow_rmap_add(vcpu, shadow_rmap(slot, gfn, level), sptep);
	WRITE_ONCE(*sptep, spte);
	spte_account(&vcpu->vm->mmu, gfn, level, 0, spte);
}

/**
 * shadow_change_leaf() - other rights for the same frame
 * @mmu: the MMU
 * @gfn: first gfn of the leaf
 * @level: its level
 * @sptep: the entry, a leaf
 * @spte: what it becomes
 * @keep: bits that it keeps besides; the hardware may be setting A and D
 *
 * Return: whether a flush is owed, because the hardware could still use what is gone.
 */
bool shadow_change_leaf(struct umbra_mmu *mmu, gfn_t gfn, int level, u64 *sptep, u64 spte,
			u64 keep)
{
	u64 old = READ_ONCE(*sptep), new;

	do {
		new = spte | (old & keep);
	} while (!try_cmpxchg64(sptep, &old, new));
	spte_account(mmu, gfn, level, old, new);
	return (old & ~new & (SPTE_W | SPTE_U)) || (new & ~old & SPTE_NX) ||
	       ((old ^ new) & SPTE_PKEY);
}

void shadow_drop_leaf(struct umbra_mmu *mmu, u64 *sptep, int level)
{
	/* The hardware may be setting A or D right now. */
	u64 old = xchg(sptep, 0);

	/* While its chain says where it is. */
	spte_trace_zap(mmu, shadow_leaf_gfn(mmu, sptep, level), level, old);
	shadow_rmap_remove(sptep);
	spte_account(mmu, 0, level, old, 0);
}
