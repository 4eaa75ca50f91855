// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty log: which pages of a slot the guest wrote since it was last asked.
 *
 * Invariants
 * - While a slot logs, an spte of it is writable only if the page's bit is set, or
 *   will be before the vCPU that made it writable enters the guest.
 * - An MMU whose hardware notes writes leaves the sptes writable and brings what was
 *   noted when the log is read (@harvest); clearing a note ends with a flush.
 * - Reading takes bits and write permission in one hold of mmu->lock, and flushes
 *   before the bits reach userspace: a write after the read faults and is seen by
 *   the next one.
 *
 * Locks: slots_lock keeps the slot; mmu->lock for writing around each stretch.
 */
#include <linux/uaccess.h>
#include <umbra/mmu.h>
#include <umbra/trace.h>

/* Words of the bitmap taken in one hold of the lock; the bound of its length. */
#define STRETCH 64

/* Takes the bits that are set in @words, which keep those that were there. */
static void take_stretch(struct umbra_mmu *mmu, struct umbra_memslot *slot,
			 unsigned long first, unsigned long count,
			 unsigned long *words, bool *flush)
{
	unsigned long i;

	for (i = 0; i < count; i++) {
		atomic_long_t *word = (atomic_long_t *)&slot->dirty_bitmap[first + i];
		unsigned long mask;

		words[i] &= atomic_long_read(word);
		if (!words[i])
			continue;
		words[i] &= atomic_long_fetch_andnot(words[i], word);
		/* The bitmap is little endian on every host. */
		mask = (unsigned long)le64_to_cpu((__force __le64)words[i]);
		*flush |= mmu->ops->wrprot(mmu, slot, (first + i) * BITS_PER_LONG,
					   mask);
		trace_umbra_dirty(mmu->id, slot->id,
				  slot->base_gfn + (first + i) * BITS_PER_LONG, mask);
	}
}

/* Take bits and write permission of @count words from the @first on, then flush. */
static void take_words(struct umbra_mmu *mmu, struct umbra_memslot *slot,
		       unsigned long first, unsigned long count, unsigned long *words)
{
	bool flush = false;
	unsigned long i;

	for (i = 0; i < count; i += STRETCH) {
		write_lock(&mmu->lock);
		take_stretch(mmu, slot, first + i, min_t(unsigned long, STRETCH, count - i),
			     words + i, &flush);
		write_unlock(&mmu->lock);
		cond_resched();
	}
	if (flush)
		umbra_mmu_flush(mmu);
}

/*
 * A failing copy would lose the bits that were already taken: they are put back,
 * and the pages stay write-protected, which is harmless.
 */
static void put_back(struct umbra_memslot *slot, unsigned long count,
		     const unsigned long *words)
{
	unsigned long i, bit;

	for (i = 0; i < count; i++)
		for_each_set_bit(bit, &words[i], BITS_PER_LONG)
			set_bit(i * BITS_PER_LONG + bit, slot->dirty_bitmap);
}

/* What the hardware has noted and nobody has been told of. */
static void harvest(struct umbra_mmu *mmu, struct umbra_memslot *slot)
{
	const unsigned long stretch = STRETCH * BITS_PER_LONG;
	unsigned long first;

	for (first = 0; first < slot->npages; first += stretch) {
		write_lock(&mmu->lock);
		mmu->ops->harvest(mmu, slot, first, min(stretch, slot->npages - first));
		write_unlock(&mmu->lock);
		cond_resched();
	}
}

/**
 * umbra_dirty_log_get() - hand out the dirty bitmap of a slot, and begin anew
 * @mmu: the MMU; slots_lock held
 * @slot: a slot that logs
 * @bitmap: user memory of one bit a page, rounded up to 64 bits
 *
 * Sleeps. Return: 0; -ENOMEM; -EFAULT. On an error no bit is lost: what was not
 * handed out is reported again.
 */
int umbra_dirty_log_get(struct umbra_mmu *mmu, struct umbra_memslot *slot,
			void __user *bitmap)
{
	unsigned long words = BITS_TO_LONGS(slot->npages);
	unsigned long *copy;
	int ret = 0;

	if (mmu->ops->harvest)
		harvest(mmu, slot);
	/* What becomes dirty from here on is the next reading's. */
	if (find_first_bit(slot->dirty_bitmap, words * BITS_PER_LONG) ==
	    words * BITS_PER_LONG)
		return clear_user(bitmap, words * sizeof(*copy)) ? -EFAULT : 0;
	copy = kvmalloc_array(words, sizeof(*copy), GFP_KERNEL_ACCOUNT);
	if (!copy)
		return -ENOMEM;

	memset(copy, 0xff, words * sizeof(*copy));
	take_words(mmu, slot, 0, words, copy);
	if (copy_to_user(bitmap, copy, words * sizeof(*copy))) {
		put_back(slot, words, copy);
		ret = -EFAULT;
	}
	kvfree(copy);
	umbra_audit_after(mmu, "dirty log");
	return ret;
}

/**
 * umbra_dirty_log_peek() - hand out the dirty bitmap of a slot, and leave it
 * @slot: a slot that logs; slots_lock is held
 * @bitmap: as for umbra_dirty_log_get()
 *
 * Sleeps. Return: 0; -EFAULT.
 */
int umbra_dirty_log_peek(struct umbra_memslot *slot, void __user *bitmap)
{
	size_t size = BITS_TO_LONGS(slot->npages) * sizeof(long);

	return copy_to_user(bitmap, slot->dirty_bitmap, size) ? -EFAULT : 0;
}

/**
 * umbra_dirty_log_clear() - begin anew with some pages of a slot
 * @mmu: the MMU; slots_lock held
 * @slot: a slot that logs
 * @first: first page, a multiple of 64
 * @npages: how many
 * @bitmap: user memory of one bit a page, rounded up to 64 bits: which of them
 *
 * Sleeps. Return: 0; -ENOMEM; -EFAULT, with nothing done.
 */
int umbra_dirty_log_clear(struct umbra_mmu *mmu, struct umbra_memslot *slot,
			  unsigned long first, unsigned long npages,
			  const void __user *bitmap)
{
	unsigned long count = BITS_TO_LONGS(npages);
	unsigned long *words = vmemdup_user(bitmap, count * sizeof(*words));

	if (IS_ERR(words))
		return PTR_ERR(words);
	take_words(mmu, slot, first / BITS_PER_LONG, count, words);
	kvfree(words);
	umbra_audit_after(mmu, "clear dirty log");
	return 0;
}
