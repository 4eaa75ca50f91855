// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty ring: each vCPU names the pages that it made dirty, in the order of time
 * (Documentation/virt/kvm/api.rst, 8.29).
 *
 * Invariants
 * - It comes on top of the dirty log (dirty.c): who sets a page's bit puts the page into
 *   its ring, so a page is in one ring at most until it is reset, which clears the bit.
 * - A vCPU does not enter the guest while fewer than RESERVE entries are left, and one run
 *   of the guest, or one instruction that is emulated, needs fewer.
 * - Userspace can write to all of a ring. What it says is checked, and can do no more than
 *   harm to its own log.
 *
 * Locks: @dirty_index is the vCPU's thread's; @reset_index is guarded by slots_lock.
 */
#include <linux/mm.h>
#include <linux/vmalloc.h>
#include <umbra/mmu.h>

#define RESERVE	64

/* Entries reset in one hold of the lock. */
#define STRETCH	64

/**
 * umbra_ring_create() - give a vCPU its ring
 * @mv: the vCPU's part, which nobody else can see yet
 * @size: entries, a power of two; 0 for no ring
 *
 * Return: 0 or -ENOMEM.
 */
int umbra_ring_create(struct umbra_mmu_vcpu *mv, u32 size)
{
	struct umbra_ring *ring = &mv->ring;

	if (!size)
		return 0;
	ring->entries = __vmalloc(array_size(size, sizeof(*ring->entries)),
				  GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!ring->entries)
		return -ENOMEM;
	ring->size = size;
	return 0;
}

void umbra_ring_destroy(struct umbra_mmu_vcpu *mv)
{
	vfree(mv->ring.entries);
	mv->ring.entries = NULL;
}

/**
 * umbra_ring_page() - a page of the ring, for userspace to map
 * @mv: the vCPU's part
 * @index: which page
 *
 * Return: NULL behind the end.
 */
struct page *umbra_ring_page(struct umbra_mmu_vcpu *mv, unsigned long index)
{
	struct umbra_ring *ring = &mv->ring;

	if (index >= umbra_ring_pages(ring->size))
		return NULL;
	return vmalloc_to_page((void *)ring->entries + index * PAGE_SIZE);
}

/**
 * umbra_ring_full() - must userspace look at the ring before the guest goes on?
 * @mv: the vCPU's part; its own thread calls
 */
bool umbra_ring_full(const struct umbra_mmu_vcpu *mv)
{
	const struct umbra_ring *ring = &mv->ring;

	return unlikely(ring->size) &&
	       ring->dirty_index - READ_ONCE(ring->reset_index) >= ring->size - RESERVE;
}

/* The vCPU's own thread has set the page's bit. */
static void push(struct umbra_ring *ring, const struct umbra_memslot *slot, gfn_t gfn)
{
	struct kvm_dirty_gfn *entry = &ring->entries[ring->dirty_index & (ring->size - 1)];

	entry->slot = slot->id;
	entry->offset = gfn - slot->base_gfn;
	/* Pairs with userspace's: who sees the flag sees the rest. */
	smp_store_release(&entry->flags, KVM_DIRTY_GFN_F_DIRTY);
	WRITE_ONCE(ring->dirty_index, ring->dirty_index + 1);
}

/**
 * umbra_mark_dirty() - a vCPU makes a page dirty
 * @mv: the vCPU's part; its own thread calls
 * @slot: the slot that holds @gfn
 * @gfn: guest frame number
 *
 * Never sleeps. The rule of umbra_slot_mark_dirty() holds: the spte is writable before.
 */
void umbra_mark_dirty(struct umbra_mmu_vcpu *mv, struct umbra_memslot *slot, gfn_t gfn)
{
	if (umbra_slot_mark_dirty(slot, gfn) && mv->ring.size)
		push(&mv->ring, slot, gfn);
}

/**
 * struct reset - one KVM_RESET_DIRTY_RINGS
 * @mmu: the MMU
 * @slot: of the last entry; the next is often in the same one
 * @flush: a flush is owed
 */
struct reset {
	struct umbra_mmu *mmu;
	struct umbra_memslot *slot;
	bool flush;
};

static struct umbra_memslot *find_slot(struct reset *reset, u32 id)
{
	struct umbra_memslots *set = umbra_mmu_slots(reset->mmu);
	unsigned int i;

	if (reset->slot && reset->slot->id == id)
		return reset->slot;
	for (i = 0; i < set->count; i++)
		if (set->slots[i]->id == id)
			reset->slot = set->slots[i];
	return reset->slot && reset->slot->id == id ? reset->slot : NULL;
}

/* The slot may have gone, or changed, since the page was noted. mmu->lock is held. */
static void reset_page(struct reset *reset, u32 id, u64 offset)
{
	struct umbra_memslot *slot = find_slot(reset, id);

	if (!slot || !umbra_slot_logs(slot) || offset >= slot->npages)
		return;
	if (test_and_clear_bit_le(offset, slot->dirty_bitmap))
		reset->flush |= reset->mmu->ops->wrprot(reset->mmu, slot,
							round_down(offset, BITS_PER_LONG),
							BIT(offset % BITS_PER_LONG));
}

/* Return: how many entries userspace has done with, up to STRETCH; slots_lock is held. */
static unsigned int reset_stretch(struct reset *reset, struct umbra_ring *ring)
{
	unsigned int n;

	write_lock(&reset->mmu->lock);
	for (n = 0; n < STRETCH; n++) {
		struct kvm_dirty_gfn *entry;

		if (ring->reset_index == READ_ONCE(ring->dirty_index))
			break;
		entry = &ring->entries[ring->reset_index & (ring->size - 1)];
		/* Pairs with userspace's: it has read the entry. */
		if (!(smp_load_acquire(&entry->flags) & KVM_DIRTY_GFN_F_RESET))
			break;
		reset_page(reset, READ_ONCE(entry->slot), READ_ONCE(entry->offset));
		WRITE_ONCE(entry->flags, 0);
		/* The vCPU may write to the entry from here on. */
		smp_store_release(&ring->reset_index, ring->reset_index + 1);
	}
	write_unlock(&reset->mmu->lock);
	return n;
}

/**
 * umbra_rings_reset() - KVM_RESET_DIRTY_RINGS: what userspace has collected is clean
 * @mmu: the MMU; slots_lock held
 *
 * When it returns, a write to one of these pages is noted again. Sleeps. Return: the
 * number of pages.
 */
int umbra_rings_reset(struct umbra_mmu *mmu)
{
	struct reset reset = { .mmu = mmu };
	struct umbra_mmu_vcpu *mv;
	int count = 0;

	list_for_each_entry(mv, &mmu->vcpus, node) {
		unsigned int left = mv->ring.size, n;

		/* A vCPU may fill it again meanwhile. */
		while (left) {
			n = reset_stretch(&reset, &mv->ring);
			count += n;
			if (n < STRETCH)
				break;
			left -= min(left, n);
			cond_resched();
		}
	}
	if (reset.flush)
		umbra_mmu_flush(mmu);
	umbra_audit_after(mmu, "dirty rings");
	return count;
}
