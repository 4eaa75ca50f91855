// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a change of a memory slot means to the MMU.
 *
 * The order is the whole point:
 *
 *	1. the old slot is marked gone		no fault installs through it any more
 *	2. its mappings and tables go, flush	(delete and move) before a new slot can
 *						have any at the same gfns
 *	3. the new slot enters the hva tree	the host's changes reach it
 *	4. the new set is published		faults begin to find the new slot
 *	5. the old one leaves the hva tree	nothing is left that the host must reach
 *	6. wait for mmu->srcu			nobody knows it, or walks its tables
 *	7. it is freed, and its tables
 *	8. the new slot is write-protected	(dirty log on) lockless faults that
 *						still saw the log off are over;
 *	   or made fit for huge mappings	(dirty log off)
 *
 * Locks: slots_lock held by the caller; mmu->lock inside, for moments.
 */
#include <linux/srcu.h>
#include <umbra/mmu.h>

/* What stays at its gfns keeps its mappings: there both slots change places at once. */
static void publish(struct umbra_mmu *mmu, struct umbra_memslots *set,
		    struct umbra_memslot *old, struct umbra_memslot *slot, bool stays)
{
	write_lock(&mmu->lock);
	if (slot)
		interval_tree_insert(&slot->hva_node, &mmu->hva_tree);
	rcu_assign_pointer(mmu->memslots, set);
	if (stays)
		swap(slot->maps, old->maps);
	if (old) {
		old->gone = true;
		interval_tree_remove(&old->hva_node, &mmu->hva_tree);
	}
	write_unlock(&mmu->lock);
}

static void empty(struct umbra_mmu *mmu, struct umbra_memslot *old)
{
	write_lock(&mmu->lock);
	old->gone = true;
	write_unlock(&mmu->lock);
	mmu->ops->zap_slot(mmu, old);
}

/**
 * umbra_mmu_change_slot() - create, delete, move or reflag one slot
 * @mmu: the MMU; slots_lock held
 * @set: the set that is to be published: the present one with @old taken out and
 *	@slot put in
 * @old: the slot that goes, or NULL
 * @slot: the slot that comes, or NULL. It has @old's gfn range unless the slot is
 *	moved; then it may share @old's dirty bitmap, which it inherits.
 *
 * Takes over @set and @slot, frees the previous set and @old. Sleeps, cannot
 * fail. Memory that the MMU had for a slot that is gone is free on return.
 */
void umbra_mmu_change_slot(struct umbra_mmu *mmu, struct umbra_memslots *set,
			   struct umbra_memslot *old, struct umbra_memslot *slot)
{
	struct umbra_memslots *previous = umbra_mmu_slots(mmu);
	bool stays = old && slot && old->base_gfn == slot->base_gfn;

	if (old && !stays)
		empty(mmu, old);
	publish(mmu, set, old, slot, stays);
	synchronize_srcu_expedited(&mmu->srcu);
	kvfree(previous);
	if (mmu->ops->reap)
		mmu->ops->reap(mmu);
	if (slot && umbra_slot_logs(slot) && !(old && umbra_slot_logs(old)))
		mmu->ops->wrprot_slot(mmu, slot);
	if (stays && umbra_slot_logs(old) && !umbra_slot_logs(slot))
		mmu->ops->merge_slot(mmu, slot);
	if (old) {
		/* A slot that moves keeps its log. */
		if (slot && slot->dirty_bitmap == old->dirty_bitmap)
			old->dirty_bitmap = NULL;
		umbra_memslot_free(old);
	}
	umbra_audit_after(mmu, "slot change");
}
