// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rings of HPTEs that map the same guest page; see include/umbra/revmap.h.
 */
#include <umbra/revmap.h>

/**
 * umbra_revmap_add() - put an HPTE into a gfn's ring
 * @rev: the array beside the table
 * @word: of the gfn; locked, or mmu->lock held for writing
 * @index: of the HPTE, which is in no ring
 */
void umbra_revmap_add(struct umbra_rev *rev, unsigned long *word, u32 index)
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
void umbra_revmap_remove(struct umbra_rev *rev, unsigned long *word, u32 index)
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
