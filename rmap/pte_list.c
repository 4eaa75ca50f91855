// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chains of sptes. include/umbra/rmap.h has the picture and the invariants.
 *
 * Adding goes to the first descriptor; removing fills the hole with the last entry of
 * the first descriptor. Both touch at most two descriptors at any length.
 */
#include <linux/kernel.h>
#include <umbra/rmap.h>

/* In a head: several. */
#define MANY	1UL
/* In a link: the rest is the head of a chain of one. */
#define SINGLE	1UL

static struct umbra_rmap_desc *first_desc(const struct umbra_rmap_head *head)
{
	return head->val & MANY ? (struct umbra_rmap_desc *)(head->val & ~MANY) : NULL;
}

static void put_in(struct umbra_rmap_desc *desc, u64 *sptep)
{
	desc->sptes[desc->count++] = sptep;
	*umbra_rmap_link(sptep) = (unsigned long)desc;
}

/**
 * umbra_rmap_add() - add an spte to a chain
 * @head: the chain
 * @sptep: an spte that is in no chain
 * @spare: a descriptor, in any state
 *
 * Return: true if @spare was taken; it is the chain's until umbra_rmap_remove()
 * returns it.
 */
bool umbra_rmap_add(struct umbra_rmap_head *head, u64 *sptep,
		    struct umbra_rmap_desc *spare)
{
	struct umbra_rmap_desc *desc = first_desc(head);

	if (!head->val) {
		head->val = (unsigned long)sptep;
		*umbra_rmap_link(sptep) = (unsigned long)head | SINGLE;
		pr_debug("rmap: chain %p 0->1\n", head);
		return false;
	}
	if (desc && desc->count < UMBRA_RMAP_DESC_SPTES) {
		put_in(desc, sptep);
		return false;
	}
	spare->head = head;
	spare->next = desc;
	spare->count = 0;
	if (!desc) {
		put_in(spare, (u64 *)head->val);
		pr_debug("rmap: chain %p 1->many\n", head);
	}
	put_in(spare, sptep);
	head->val = (unsigned long)spare | MANY;
	return true;
}

/* Drop the last entry of the first descriptor. Return: it, if the chain can spare it. */
static struct umbra_rmap_desc *shrink(struct umbra_rmap_head *head)
{
	struct umbra_rmap_desc *desc = first_desc(head);

	desc->count--;
	if (desc->next && !desc->count) {
		head->val = (unsigned long)desc->next | MANY;
		return desc;
	}
	if (!desc->next && desc->count == 1) {
		head->val = (unsigned long)desc->sptes[0];
		*umbra_rmap_link(desc->sptes[0]) = (unsigned long)head | SINGLE;
		pr_debug("rmap: chain %p many->1\n", head);
		return desc;
	}
	return NULL;
}

/**
 * umbra_rmap_remove() - take an spte out of its chain
 * @sptep: an spte that is in a chain
 *
 * Return: a descriptor that the chain does not need any more, or NULL.
 */
struct umbra_rmap_desc *umbra_rmap_remove(u64 *sptep)
{
	unsigned long link = *umbra_rmap_link(sptep);
	struct umbra_rmap_desc *desc, *first;
	u64 *last;
	int i;

	*umbra_rmap_link(sptep) = 0;
	if (link & SINGLE) {
		((struct umbra_rmap_head *)(link & ~SINGLE))->val = 0;
		pr_debug("rmap: chain %p 1->0\n", (void *)(link & ~SINGLE));
		return NULL;
	}
	desc = (struct umbra_rmap_desc *)link;
	for (i = 0; i < UMBRA_RMAP_DESC_SPTES - 1 && desc->sptes[i] != sptep; i++)
		;
	first = first_desc(desc->head);
	last = first->sptes[first->count - 1];
	desc->sptes[i] = last;
	if (last != sptep)
		*umbra_rmap_link(last) = (unsigned long)desc;
	return shrink(desc->head);
}

/**
 * umbra_rmap_head_of() - the chain that an spte is in
 * @sptep: an spte of a table that takes part
 *
 * Return: NULL when it is in none.
 */
struct umbra_rmap_head *umbra_rmap_head_of(u64 *sptep)
{
	unsigned long link = *umbra_rmap_link(sptep);

	if (link & SINGLE)
		return (struct umbra_rmap_head *)(link & ~SINGLE);
	return link ? ((struct umbra_rmap_desc *)link)->head : NULL;
}

/**
 * umbra_rmap_listed() - is an spte once where its link says that it is?
 * @sptep: an spte that has a link
 *
 * With as many entries in all chains as sptes that this is true of, each is in its chain
 * and none is in another, or twice.
 */
bool umbra_rmap_listed(u64 *sptep)
{
	unsigned long link = *umbra_rmap_link(sptep);
	const struct umbra_rmap_desc *desc = (struct umbra_rmap_desc *)link;
	unsigned long i, found = 0;

	if (link & SINGLE)
		return ((struct umbra_rmap_head *)(link & ~SINGLE))->val == (unsigned long)sptep;
	for (i = 0; i < desc->count; i++)
		found += desc->sptes[i] == sptep;
	return found == 1;
}

/**
 * umbra_rmap_first() - begin a walk
 * @head: the chain
 * @iter: the walk
 *
 * Return: the first spte, or NULL when the chain is empty.
 */
u64 *umbra_rmap_first(const struct umbra_rmap_head *head, struct umbra_rmap_iter *iter)
{
	iter->desc = first_desc(head);
	iter->pos = 0;
	return iter->desc ? iter->desc->sptes[0] : (u64 *)head->val;
}

/**
 * umbra_rmap_next() - go on with a walk
 * @iter: the walk
 *
 * Return: the next spte, or NULL when there is none.
 */
u64 *umbra_rmap_next(struct umbra_rmap_iter *iter)
{
	if (!iter->desc)
		return NULL;
	if (++iter->pos == iter->desc->count) {
		iter->desc = iter->desc->next;
		iter->pos = 0;
	}
	return iter->desc ? iter->desc->sptes[iter->pos] : NULL;
}

/**
 * umbra_rmap_count() - how many sptes a chain has
 * @head: the chain
 */
unsigned long umbra_rmap_count(const struct umbra_rmap_head *head)
{
	const struct umbra_rmap_desc *desc = first_desc(head);
	unsigned long count = 0;

	if (!desc)
		return !!head->val;
	for (; desc; desc = desc->next)
		count += desc->count;
	return count;
}
