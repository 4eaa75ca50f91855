/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rmap/: which sptes map this? One chain for each thing mapped (a gfn at a level,
 * or a shadow page and its parents).
 *
 * A chain is one word:
 *
 *	0			empty
 *	address of an spte	one
 *	descriptor | MANY	several: a list of descriptors, each holding some
 *
 * Invariants
 * - An spte is in at most one chain, and once. Its *link*, a word at the same place
 *   of the page behind its table's page, says where: the head | SINGLE, or the
 *   descriptor. So a table that takes part is two pages, and removal searches one
 *   descriptor, whatever the length of the chain.
 * - Each descriptor of a chain but the first is full, and the first is not empty. A
 *   chain with MANY has at least two entries.
 * - Nothing here allocates or fails: who adds brings a descriptor along.
 *
 * Locks: the caller's; one writer of a chain at a time, and no reader beside it.
 */
#ifndef _UMBRA_RMAP_H
#define _UMBRA_RMAP_H

#include <linux/types.h>
#include <asm/page.h>

struct umbra_rmap_head {
	unsigned long val;
};

/* Two cache lines. */
#define UMBRA_RMAP_DESC_SPTES 13

struct umbra_rmap_desc {
	struct umbra_rmap_head *head;
	struct umbra_rmap_desc *next;
	unsigned long count;
	u64 *sptes[UMBRA_RMAP_DESC_SPTES];
};

/**
 * struct umbra_rmap_iter - a walk over a chain that does not change meanwhile
 * @desc: where it stands; NULL in a chain of one
 * @pos: the entry in @desc
 */
struct umbra_rmap_iter {
	struct umbra_rmap_desc *desc;
	unsigned long pos;
};

/* The word that says where an spte's entry is. */
static inline unsigned long *umbra_rmap_link(u64 *sptep)
{
	return (unsigned long *)((char *)sptep + PAGE_SIZE);
}

bool umbra_rmap_add(struct umbra_rmap_head *head, u64 *sptep,
		    struct umbra_rmap_desc *spare);
struct umbra_rmap_desc *umbra_rmap_remove(u64 *sptep);
struct umbra_rmap_head *umbra_rmap_head_of(u64 *sptep);
bool umbra_rmap_listed(u64 *sptep);
u64 *umbra_rmap_first(const struct umbra_rmap_head *head, struct umbra_rmap_iter *iter);
u64 *umbra_rmap_next(struct umbra_rmap_iter *iter);
unsigned long umbra_rmap_count(const struct umbra_rmap_head *head);

/* The chain must not change in the body. */
#define umbra_rmap_for_each(head, iter, sptep)				\
	for ((sptep) = umbra_rmap_first(head, iter); sptep;		\
	     (sptep) = umbra_rmap_next(iter))

#endif
