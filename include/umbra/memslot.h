/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory slots as the MMU sees them: which gfn is which host virtual address.
 *
 * Invariants
 * - A slot's gfn range, hva and id never change while it is published; a change
 *   publishes another slot in its place.
 * - Published sets are immutable. Readers hold mmu->srcu; the writer holds
 *   mmu->slots_lock, replaces mmu->memslots and waits for the readers.
 * - @hva_node stands in mmu->hva_tree from before a slot is published until it is
 *   marked gone. Both happen with mmu->lock held for writing, which is why a
 *   notifier that holds mmu->lock sees each slot that can still gain mappings.
 * - @maps is the MMU's, made when it first needs it; a slot that takes another's place
 *   at the same gfns takes its maps over.
 * - @gone is set once, with mmu->lock held for writing. No spte is installed for
 *   a slot that is gone.
 */
#ifndef _UMBRA_MEMSLOT_H
#define _UMBRA_MEMSLOT_H

#include <linux/bitops.h>
#include <linux/interval_tree.h>
#include <linux/slab.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <uapi/linux/kvm.h>
#include <umbra/types.h>

/* Slots a VM can have; as many as KVM has on x86. */
#define UMBRA_MEMSLOTS_MAX	32764
/* Pages a slot can have: what a dirty bitmap with int indices can count. */
#define UMBRA_MEMSLOT_MAX_PAGES	((1UL << 31) - 1)

struct umbra_memslot {
	gfn_t base_gfn;
	unsigned long npages;
	unsigned long userspace_addr;
	unsigned long *dirty_bitmap;	/* little endian, one bit a page; or NULL */
	u32 flags;			/* KVM_MEM_* */
	u32 id;
	bool gone;
	void *maps;			/* kvfree()d with the slot; or NULL */
	struct interval_tree_node hva_node;
};

/**
 * struct umbra_memslots - one published set
 * @generation: grows with each set
 * @count: slots in @slots
 * @slots: sorted by base_gfn, not overlapping
 */
struct umbra_memslots {
	u64 generation;
	unsigned int count;
	struct umbra_memslot *slots[];
};

static inline bool umbra_slot_holds(const struct umbra_memslot *slot, gfn_t gfn)
{
	return gfn - slot->base_gfn < slot->npages;
}

static inline unsigned long umbra_slot_hva(const struct umbra_memslot *slot,
					   gfn_t gfn)
{
	/* The gfn is the guest's choice, and whether the slot holds it is predicted. */
	unsigned long page = array_index_nospec(gfn - slot->base_gfn, slot->npages);

	return slot->userspace_addr + (page << PAGE_SHIFT);
}

static inline gfn_t umbra_slot_gfn(const struct umbra_memslot *slot,
				   unsigned long hva)
{
	return slot->base_gfn + ((hva - slot->userspace_addr) >> PAGE_SHIFT);
}

static inline void umbra_memslot_free(struct umbra_memslot *slot)
{
	kvfree(slot->dirty_bitmap);
	kvfree(slot->maps);
	kfree(slot);
}

/* Do writes through this slot have to be seen by the dirty log? */
static inline bool umbra_slot_logs(const struct umbra_memslot *slot)
{
	return slot->dirty_bitmap;
}

static inline bool umbra_slot_readonly(const struct umbra_memslot *slot)
{
	return slot->flags & KVM_MEM_READONLY;
}

/*
 * The dirty log's rule: make the spte writable first, set the bit second. The
 * other order loses a write when the log is read between the two.
 *
 * Return: whether the bit was clear. A vCPU calls umbra_mark_dirty() instead.
 */
static inline bool umbra_slot_mark_dirty(struct umbra_memslot *slot, gfn_t gfn)
{
	unsigned long bit = gfn - slot->base_gfn;

	return slot->dirty_bitmap && !test_bit_le(bit, slot->dirty_bitmap) &&
	       !test_and_set_bit_le(bit, slot->dirty_bitmap);
}

/**
 * umbra_memslots_find() - the slot that holds a gfn
 * @slots: a published set; the caller holds mmu->srcu or mmu->slots_lock
 * @gfn: guest frame number
 *
 * Return: the slot, or NULL where the guest has MMIO.
 */
static inline struct umbra_memslot *
umbra_memslots_find(const struct umbra_memslots *slots, gfn_t gfn)
{
	unsigned int lo = 0, hi = slots->count;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		struct umbra_memslot *slot = slots->slots[mid];

		if (umbra_slot_holds(slot, gfn))
			return slot;
		if (gfn < slot->base_gfn)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

#endif
