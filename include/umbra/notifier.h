/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * notifier/: the host's changes to a process's memory, as gfn ranges.
 *
 * The layer knows no MMU. It translates a host virtual range into the gfn ranges
 * of the slots it touches, calls the operation it was given, and keeps the
 * sequence by which a fault knows that what it looked up may be stale.
 *
 * Locks: everything here is guarded by *@lock, an rwlock that the owner shares.
 * Invalidations hold it for writing, aging holds it for reading.
 */
#ifndef _UMBRA_NOTIFIER_H
#define _UMBRA_NOTIFIER_H

#include <linux/interval_tree.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <umbra/types.h>

struct umbra_memslot;
struct umbra_notifier;

/**
 * struct umbra_gfn_range - part of one slot
 * @slot: the slot
 * @start: first gfn
 * @end: first gfn behind
 */
struct umbra_gfn_range {
	struct umbra_memslot *slot;
	gfn_t start;
	gfn_t end;
};

/**
 * struct umbra_notifier_ops - what an MMU does to a range
 * @unmap: remove each mapping of the range; *@lock held for writing. Returns
 *	whether a TLB flush is owed.
 * @age: report whether a page of the range was accessed, and forget it;
 *	*@lock held for reading
 * @test_age: report whether a page of the range was accessed; *@lock held for
 *	reading
 * @flush: make every vCPU forget what it has cached; *@lock held for writing
 * @release: the process's memory is going for good: remove all mappings; no lock
 *	held, may sleep
 */
struct umbra_notifier_ops {
	bool (*unmap)(struct umbra_notifier *n, const struct umbra_gfn_range *range);
	bool (*age)(struct umbra_notifier *n, const struct umbra_gfn_range *range);
	bool (*test_age)(struct umbra_notifier *n, const struct umbra_gfn_range *range);
	void (*flush)(struct umbra_notifier *n);
	void (*release)(struct umbra_notifier *n);
};

/**
 * struct umbra_notifier - one process's memory, watched
 * @mn: registration with the mm
 * @ops: what to do
 * @lock: the owner's lock
 * @slots: hva interval tree of the owner's slots (umbra_memslot.hva_node)
 * @seq: grows when an invalidation ends
 * @in_progress: invalidations begun and not ended
 * @start: lowest hva of those, while @in_progress is not zero
 * @end: first hva behind the highest
 */
struct umbra_notifier {
	struct mmu_notifier mn;
	const struct umbra_notifier_ops *ops;
	rwlock_t *lock;
	struct rb_root_cached *slots;
	unsigned long seq;
	unsigned long in_progress;
	unsigned long start;
	unsigned long end;
};

int umbra_notifier_register(struct umbra_notifier *n, struct mm_struct *mm);
void umbra_notifier_unregister(struct umbra_notifier *n);

/**
 * umbra_notifier_covers() - may the host's entries for a range change now?
 * @n: the notifier; *@n->lock held
 * @hva: first host virtual address
 * @len: bytes
 */
static inline bool umbra_notifier_covers(const struct umbra_notifier *n,
					 unsigned long hva, unsigned long len)
{
	return unlikely(n->in_progress) && hva < n->end && hva + len > n->start;
}

/**
 * umbra_notifier_sample() - begin a lookup outside the lock
 * @n: the notifier
 *
 * Return: the number to give to umbra_notifier_retry() afterwards.
 */
static inline unsigned long umbra_notifier_sample(const struct umbra_notifier *n)
{
	/* Pairs with the lock that the end of an invalidation holds. */
	return smp_load_acquire(&n->seq);
}

/**
 * umbra_notifier_retry() - is what was looked up since the sample unsafe to use?
 * @n: the notifier; *@n->lock held
 * @seq: from umbra_notifier_sample(), before the lookup
 * @hva: first host virtual address looked up
 * @len: bytes
 *
 * An invalidation that is in progress and covers the range may already have
 * passed it in the MMU, so that an install now would never be undone. One that
 * ended since the sample may have been in progress during the lookup.
 */
static inline bool umbra_notifier_retry(const struct umbra_notifier *n,
					unsigned long seq, unsigned long hva,
					unsigned long len)
{
	return umbra_notifier_covers(n, hva, len) || n->seq != seq;
}

#endif
