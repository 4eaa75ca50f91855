/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rmap/: which HPTEs map this guest page? One ring for each gfn, of indices into the
 * array that stands beside the hashed page table.
 *
 * A gfn has one word:
 *
 *	bit 63		lock
 *	bit 34		C: the page was written through an HPTE that is gone
 *	bit 33		R: likewise, used
 *	bit 32		present: there is a ring, and
 *	bits 31..0	one of its entries
 *
 * Invariants
 * - An HPTE is in at most one ring, that of the gfn its page begins with, and it is there
 *   exactly while it is valid.
 * - Nothing here allocates or fails.
 *
 * Locks: a ring changes with its word's lock held, or with mmu->lock held for writing,
 * when nobody holds one. Who locks a word may hold the lock of one HPTE already.
 */
#ifndef _UMBRA_REVMAP_H
#define _UMBRA_REVMAP_H

#include <linux/processor.h>
#include <linux/bit_spinlock.h>
#include <linux/bits.h>
#include <linux/types.h>

#define UMBRA_REVMAP_LOCK_BIT	63
#define UMBRA_REVMAP_C		BIT_ULL(34)
#define UMBRA_REVMAP_R		BIT_ULL(33)
#define UMBRA_REVMAP_PRESENT	BIT_ULL(32)
#define UMBRA_REVMAP_INDEX	GENMASK_ULL(31, 0)

/**
 * struct umbra_rev - what stands beside an HPTE
 * @guest_r: its second doubleword as the guest gave it, R and C as they were collected
 * @next, @prev: neighbours in the ring
 */
struct umbra_rev {
	u64 guest_r;
	u32 next;
	u32 prev;
};

static inline void umbra_revmap_lock(unsigned long *word)
{
	bit_spin_lock(UMBRA_REVMAP_LOCK_BIT, word);
}

static inline void umbra_revmap_unlock(unsigned long *word)
{
	__bit_spin_unlock(UMBRA_REVMAP_LOCK_BIT, word);
}

/**
 * umbra_revmap_add() - put an HPTE into a gfn's ring
 * @rev: the array beside the table
 * @word: of the gfn; locked, or mmu->lock held for writing
 * @index: of the HPTE, which is in no ring
 */
static inline void umbra_revmap_add(struct umbra_rev *rev, unsigned long *word, u32 index)
{
	u32 head = *word & UMBRA_REVMAP_INDEX;

	if (!(*word & UMBRA_REVMAP_PRESENT)) {
		rev[index].next = index;
		rev[index].prev = index;
		*word = (*word & ~UMBRA_REVMAP_INDEX) | UMBRA_REVMAP_PRESENT | index;
		return;
	}
	rev[index].next = head;
	rev[index].prev = rev[head].prev;
	rev[rev[head].prev].next = index;
	rev[head].prev = index;
}

/**
 * umbra_revmap_remove() - take an HPTE out of its ring
 * @rev: the array beside the table
 * @word: of the gfn in whose ring it is; locked, or mmu->lock held for writing
 * @index: of the HPTE
 */
static inline void umbra_revmap_remove(struct umbra_rev *rev, unsigned long *word, u32 index)
{
	u32 next = rev[index].next;

	rev[rev[index].prev].next = next;
	rev[next].prev = rev[index].prev;
	if ((*word & UMBRA_REVMAP_INDEX) != index)
		return;
	*word &= ~UMBRA_REVMAP_INDEX;
	if (next == index)
		*word &= ~UMBRA_REVMAP_PRESENT;
	else
		*word |= next;
}

#endif
