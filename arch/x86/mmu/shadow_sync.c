// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow pages that are out of sync: the guest writes to its table without an exit, and
 * the sptes that were made from it follow when the architecture says that they must,
 * as a TLB does (APM volume 2, 5.5.2; SDM volume 3, 4.10.4).
 *
 * Invariants
 *  1. Only pages of level 1 that are not direct are out of sync, and those of one gfn all
 *     are or none is. A table that is also used at a higher level is never.
 *  2. A gfn is write-protected in all translations unless its pages are out of sync.
 *  3. Each spte of a page that is out of sync is what the guest's entry gave at some time
 *     since the page was last in sync. It is in its chain: what the host takes goes.
 *  4. Each entry that leads to a page that is out of sync, or to one above such a page, has
 *     its bit in @unsync_bits of the page it is in. A bit that is set needs not lead to one
 *     any more, nor to a page at all: an entry that goes leaves it, so that who looks at it
 *     without the lock waits for the flush. @nr_unsync is the number of bits.
 *  5. Nothing below the root of a vCPU that has just loaded CR3, or changed its mode, is out
 *     of sync, nor is what a new entry leads to: nobody has had a TLB entry from there.
 *  6. After INVLPG the leaf of that address is what the guest's entry gives.
 *
 * To bring a page in sync, its gfn is write-protected, the vCPUs are flushed, and then the
 * guest's entries are read: one that changes later is a write that traps.
 *
 * Locks: mmu->lock held for writing, but for shadow_maybe_unsync() of one's own root. What
 * another vCPU has written before it told this one, by whatever way, it had marked before.
 */
#include "shadow.h"

/* Entries that are read at once; those of one byte of the bitmap. */
#define SYNC_BATCH	8
/* Pages out of sync at a time, which one load of CR3 may have to bring in sync. */
#define UNSYNC_MAX	1024

/**
 * shadow_protects() - do all writes to this gfn have to trap?
 * @mmu: the MMU
 * @gfn: the gfn
 */
bool shadow_protects(struct umbra_mmu *mmu, gfn_t gfn)
{
	struct umbra_sp *sp = shadow_next_page(mmu, gfn, NULL);

	return sp && !sp->unsync;
}

/* Invariant 4, upwards from @sp; a bit that is set has all above it set. */
static void mark_parents(struct umbra_sp *sp)
{
	struct umbra_rmap_iter iter;
	u64 *sptep;

	umbra_rmap_for_each(&sp->parents, &iter, sptep) {
		struct umbra_sp *parent = sptep_sp(sptep);

		if (__test_and_set_bit(shadow_sptep_index(sptep), parent->unsync_bits))
			continue;
		WRITE_ONCE(parent->nr_unsync, parent->nr_unsync + 1);
		mark_parents(parent);
	}
}

/**
 * shadow_unsync() - let the guest write to a table without exits, if that can be
 * @mmu: the MMU
 * @gfn: of the table
 *
 * Return: false when writes to it must go on to trap.
 */
bool shadow_unsync(struct umbra_mmu *mmu, gfn_t gfn)
{
	struct umbra_sp *sp;

	if (mmu->arch.shadow->unsync >= UNSYNC_MAX)
		return false;
	shadow_for_each_page(mmu, gfn, sp)
		if (sp->role.level > 1)
			return false;
	shadow_for_each_page(mmu, gfn, sp) {
		mmu->arch.shadow->unsync += !sp->unsync;
		sp->unsync = true;
		mark_parents(sp);
	}
	return true;
}

/* Is the leaf one of this frame? */
static bool maps_gfn(struct umbra_mmu *mmu, u64 *sptep, gfn_t gfn,
		     struct umbra_memslot **slot)
{
	*slot = shadow_table_slot(mmu, gfn);
	return *slot && umbra_rmap_head_of(sptep) == shadow_rmap(*slot, gfn, UMBRA_LEVEL_4K);
}

/*
 * Have a leaf follow the guest's entry: other rights for the same frame are put in place,
 * for another frame it goes. True if a flush is owed.
 */
static bool sync_leaf(struct umbra_vcpu *vcpu, struct umbra_sp *sp, u64 *sptep, u64 gpte)
{
	const u64 keep = SPTE_A | SPTE_D | SPTE_PAGE | SPTE_PINNED;
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	u64 old = READ_ONCE(*sptep), spte;
	struct umbra_memslot *slot;
	struct umbra_gpte_leaf leaf;

	if (!umbra_gpte_leaf(vcpu, sp->role, gpte, &leaf) ||
	    !maps_gfn(mmu, sptep, leaf.gfn, &slot)) {
		shadow_drop_leaf(mmu, sptep, UMBRA_LEVEL_4K);
		return true;
	}
	spte = shadow_make_leaf(mmu, slot, leaf.gfn, spte_pfn(old), UMBRA_LEVEL_4K,
				leaf.access & sp->role.access, leaf.pkey, old & SPTE_HOST_W,
				old & SPTE_W);
	return shadow_change_leaf(mmu, leaf.gfn, UMBRA_LEVEL_4K, sptep, (spte & ~keep), keep);
}

/* Guest address of the entry that entry @i of @sp, of level 1, is made from. */
static gpa_t gpte_gpa(const struct umbra_sp *sp, unsigned int i)
{
	unsigned int at = i + sp->role.quadrant * SHADOW_ENTRIES;

	return (sp->gfn << PAGE_SHIFT) + at * (sp->role.top == 2 ? 4 : 8);
}

static bool any_mapped(const u64 *spt)
{
	u64 all = 0;
	int i;

	for (i = 0; i < SYNC_BATCH; i++)
		all |= READ_ONCE(spt[i]);
	return all;
}

/* All leaves of a page; without its table at hand they go. True if a flush is owed. */
static bool sync_page(struct umbra_vcpu *vcpu, struct umbra_sp *sp)
{
	u64 gptes[SYNC_BATCH];
	bool flush = false;
	int i, j;

	for (i = 0; i < SHADOW_ENTRIES; i += SYNC_BATCH) {
		if (!any_mapped(&sp->spt[i]))
			continue;
		if (umbra_read_gptes(vcpu, sp->role.top > 2, gpte_gpa(sp, i), SYNC_BATCH,
				     gptes))
			memset(gptes, 0, sizeof(gptes));
		for (j = 0; j < SYNC_BATCH; j++)
			if (spte_is_mapped(READ_ONCE(sp->spt[i + j])))
				flush |= sync_leaf(vcpu, sp, &sp->spt[i + j], gptes[j]);
	}
	return flush;
}

/* From now on what is in @todo is in sync, as soon as it was read. */
static void take(struct umbra_mmu *mmu, struct umbra_sp *sp, struct list_head *todo)
{
	sp->unsync = false;
	mmu->arch.shadow->unsync--;
	list_add_tail(&sp->sync, todo);
}

/* The pages below @sp that are out of sync; depth is that of the tables. */
static void collect(struct umbra_mmu *mmu, struct umbra_sp *sp, struct list_head *todo)
{
	unsigned int i;

	for_each_set_bit(i, sp->unsync_bits, SHADOW_ENTRIES) {
		struct umbra_sp *child = NULL;

		if (spte_is_table(sp->spt[i], sp->role.level))
			child = spte_sp(sp->spt[i]);
		if (child && child->unsync)
			take(mmu, child, todo);
		else if (child)
			collect(mmu, child, todo);
		__clear_bit(i, sp->unsync_bits);
		WRITE_ONCE(sp->nr_unsync, sp->nr_unsync - 1);
	}
}

/* Bring pages in sync, and with each the others of its gfn. */
static void sync_pages(struct umbra_vcpu *vcpu, struct list_head *todo)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	struct umbra_sp *sp, *other, *next;
	bool flush = false;

	list_for_each_entry(sp, todo, sync) {
		struct umbra_memslot *slot;

		shadow_for_each_page(mmu, sp->gfn, other)
			if (other->unsync)
				take(mmu, other, todo);
		/* Also in a slot that is about to go. */
		slot = shadow_find_slot(mmu, sp->gfn);
		if (slot && slot->maps)
			shadow_wrprot_gfn(mmu, slot, sp->gfn);
	}
	/* Whether or not W was there: the dirty log takes it away before it flushes. */
	umbra_mmu_flush(mmu);
	list_for_each_entry_safe(sp, next, todo, sync) {
		list_del(&sp->sync);
		vcpu->mmu.stat.mmu_sync++;
		pr_debug("shadow: vm %u gfn %llx in sync again\n", mmu->id, sp->gfn);
		flush |= sync_page(vcpu, sp);
	}
	if (flush)
		umbra_mmu_flush(mmu);
}

/**
 * shadow_sync_below() - bring a page and all below it in sync
 * @vcpu: the vCPU that is to use it
 * @sp: the page
 *
 * Return: whether there was something to do; then a walk that was made before it may be
 * of the past.
 */
bool shadow_sync_below(struct umbra_vcpu *vcpu, struct umbra_sp *sp)
{
	struct umbra_shadow *shadow = vcpu->vm->mmu.arch.shadow;
	LIST_HEAD(todo);

	if (!sp->unsync && !sp->nr_unsync)
		return false;
	WRITE_ONCE(shadow->syncing, true);
	/* Pairs with shadow_maybe_unsync(): before the marks go. */
	smp_wmb();
	if (sp->unsync)
		take(&vcpu->vm->mmu, sp, &todo);
	else
		collect(&vcpu->vm->mmu, sp, &todo);
	sync_pages(vcpu, &todo);
	/* The other side of shadow_maybe_unsync(): after the flush. */
	smp_wmb();
	WRITE_ONCE(shadow->syncing, false);
	return true;
}

/**
 * shadow_sync_gfn() - a table that is out of sync gets another use
 * @vcpu: the vCPU
 * @gfn: of the table
 *
 * Return: as shadow_sync_below().
 */
bool shadow_sync_gfn(struct umbra_vcpu *vcpu, gfn_t gfn)
{
	struct umbra_sp *sp = shadow_next_page(&vcpu->vm->mmu, gfn, NULL);

	return sp && shadow_sync_below(vcpu, sp);
}

/**
 * shadow_sync_root() - invariant 5, for a page of the root that the vCPU goes on with
 * @vcpu: the vCPU; mmu->lock is taken
 * @sp: the page
 */
void shadow_sync_root(struct umbra_vcpu *vcpu, struct umbra_sp *sp)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;

	write_lock(&mmu->lock);
	shadow_sync_below(vcpu, sp);
	write_unlock(&mmu->lock);
}

/* What the entry is made from; 0 when its table is not at hand. */
static u64 gpte_of(struct umbra_vcpu *vcpu, const struct umbra_sp *sp, unsigned int i)
{
	u64 gpte;

	return umbra_read_gptes(vcpu, sp->role.top > 2, gpte_gpa(sp, i), 1, &gpte) ? 0 : gpte;
}

/* Map ahead what the guest's entry says, if nothing is mapped there. */
static void map_entry(struct umbra_vcpu *vcpu, struct umbra_sp *sp, unsigned int i, u64 gpte)
{
	struct umbra_gpte_leaf leaf;
	struct umbra_memslot *slot;

	if (spte_is_mapped(READ_ONCE(sp->spt[i])) ||
	    !umbra_gpte_leaf(vcpu, sp->role, gpte, &leaf))
		return;
	slot = shadow_table_slot(&vcpu->vm->mmu, leaf.gfn);
	if (slot)
		shadow_map_ahead(vcpu, slot, &sp->spt[i], leaf.gfn,
				 leaf.access & sp->role.access, leaf.pkey);
}

/**
 * shadow_map_entry() - map ahead what one entry of the guest's table says
 * @vcpu: the vCPU
 * @sp: of level 1, not direct
 * @i: the entry; nothing happens unless it is clear
 */
void shadow_map_entry(struct umbra_vcpu *vcpu, struct umbra_sp *sp, unsigned int i)
{
	map_entry(vcpu, sp, i, gpte_of(vcpu, sp, i));
}

/* Invariant 6 for one leaf of the guest's table; what it is now is mapped ahead. */
static void invalidate_leaf(struct umbra_vcpu *vcpu, struct umbra_sp *sp, unsigned int i)
{
	u64 gpte = gpte_of(vcpu, sp, i);

	if (sync_leaf(vcpu, sp, &sp->spt[i], gpte))
		umbra_mmu_flush(&vcpu->vm->mmu);
	map_entry(vcpu, sp, i, gpte);
}

/**
 * umbra_shadow_invlpg() - the guest has changed an entry, by whatever way
 * @vcpu: the vCPU; mmu->srcu held; does not sleep
 * @gva: linear address
 *
 * A write of the guest's own to a table in sync has dropped the leaf already; one by its
 * devices, which are userspace's, has not.
 */
void umbra_shadow_invlpg(struct umbra_vcpu *vcpu, u64 gva)
{
	struct umbra_shadow_root *root = vcpu->arch.shadow->root;
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	struct umbra_sp *sp;
	int level;

	write_lock(&mmu->lock);
	sp = root->sp[shadow_root_index(root, gva)];
	for (level = root->role.level; sp && level; level--) {
		u64 *sptep = &sp->spt[shadow_index(gva, level)];
		u64 spte = READ_ONCE(*sptep);

		if (!spte_is_mapped(spte))
			break;
		if (spte_is_table(spte, level)) {
			sp = spte_sp(spte);
			continue;
		}
		if (level == UMBRA_LEVEL_4K && !sp->role.direct) {
			invalidate_leaf(vcpu, sp, shadow_sptep_index(sptep));
		} else {
			shadow_drop_leaf(mmu, sptep, level);
			umbra_mmu_flush(mmu);
		}
		break;
	}
	write_unlock(&mmu->lock);
}
