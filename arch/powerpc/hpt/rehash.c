// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPTEs of one table in another of a different size (PAPR 14.5.4.1, H_RESIZE_HPT_COMMIT:
 * an HPTE keeps its place in its group).
 *
 * Locks: mmu->lock is held for writing, and no HPTE is valid.
 */
#include "hpt.h"

/* The place in @to for the HPTE that stands at @index. */
static unsigned long place_of(const struct umbra_hpt *to, const struct hpte *h, u64 guest_r,
			      unsigned long index)
{
	u64 hash = hpte_hash(h->v, guest_r, index);

	if (h->v & HPTE_V_SECONDARY)
		hash = ~hash;
	return (hash & hpt_hash_mask(to)) * HPTES_PER_GROUP + index % HPTES_PER_GROUP;
}

/**
 * hpt_rehash() - fill an empty table with what another has
 * @from: the other, of whose HPTEs none is valid; it stays as it is
 * @to: the table
 *
 * Of two for one place a bolted one wins. Return: 0; -ENOSPC when both are.
 */
int hpt_rehash(const struct umbra_hpt *from, struct umbra_hpt *to)
{
	unsigned long index, place;

	for (index = 0; index < hpt_count(from); index++) {
		struct hpte h = hpte_read(from, index), there;

		if (!(h.v & HPTE_V_USED))
			continue;
		place = place_of(to, &h, from->rev[index].guest_r, index);
		there = hpte_read(to, place);
		if (there.v & h.v & HPTE_V_BOLTED)
			return -ENOSPC;
		if ((there.v & HPTE_V_USED) && !(h.v & HPTE_V_BOLTED))
			continue;
		hpte_write(to, place, h);
		to->rev[place].guest_r = from->rev[index].guest_r;
	}
	to->large = from->large;
	return 0;
}
