// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's changes to a process's memory, translated to gfn ranges.
 *
 * Invariants
 * - Between the start and the end of an invalidation, @in_progress is not zero and
 *   [@start, @end) covers it, so that no fault installs what is being removed. While
 *   several are in progress the range is their union; it begins anew when the
 *   last one ends.
 * - They are counted whether or not a slot overlaps them: a slot may be created
 *   between start and end, over memory that is on its way out.
 * - When the start callback returns, no mapping of the range is left and no vCPU
 *   has one cached. One flush is made for each stretch that the lock is held.
 * - @seq grows once for each invalidation that ended, under the lock.
 *
 * Locks: mm's own (mmap_lock, or the rmap locks of reclaim) -> *n->lock.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <umbra/compat.h>
#include <umbra/memslot.h>
#include <umbra/notifier.h>

/*
 * A stretch of address space handled with the lock held. What is larger gives way
 * between stretches when the caller may sleep.
 */
#define STRETCH BIT(30)

static struct umbra_notifier *to_umbra(struct mmu_notifier *mn)
{
	return container_of(mn, struct umbra_notifier, mn);
}

typedef bool (*range_op)(struct umbra_notifier *n, const struct umbra_gfn_range *r);

/* The hva ranges of slots may overlap: each alias is visited. */
static bool visit_slots(struct umbra_notifier *n, unsigned long start,
			unsigned long end, range_op op)
{
	struct interval_tree_node *node;
	bool ret = false;

	for (node = interval_tree_iter_first(n->slots, start, end - 1); node;
	     node = interval_tree_iter_next(node, start, end - 1)) {
		struct umbra_memslot *slot;
		struct umbra_gfn_range range;

		slot = container_of(node, struct umbra_memslot, hva_node);
		range.slot = slot;
		range.start = umbra_slot_gfn(slot, max(start, node->start));
		/* A range that ends inside a page covers that page. */
		range.end = umbra_slot_gfn(slot, min(end - 1, node->last)) + 1;
		ret |= op(n, &range);
	}
	return ret;
}

static void begin_invalidate(struct umbra_notifier *n, unsigned long start,
			     unsigned long end)
{
	if (n->in_progress++) {
		n->start = min(n->start, start);
		n->end = max(n->end, end);
	} else {
		n->start = start;
		n->end = end;
	}
}

static int invalidate_range_start(struct mmu_notifier *mn,
				  const struct mmu_notifier_range *range)
{
	struct umbra_notifier *n = to_umbra(mn);
	unsigned long pos = range->start;
	struct interval_tree_node *node;

	write_lock(n->lock);
	begin_invalidate(n, range->start, range->end);
	for (;;) {
		unsigned long end;

		node = interval_tree_iter_first(n->slots, pos, range->end - 1);
		if (!node)
			break;
		pos = max(pos, node->start);
		end = range->end - pos > STRETCH ? pos + STRETCH : range->end;
		if (visit_slots(n, pos, end, n->ops->unmap))
			n->ops->flush(n);
		pos = end;
		if (pos >= range->end)
			break;
		write_unlock(n->lock);
		if (mmu_notifier_range_blockable(range))
			cond_resched();
		write_lock(n->lock);
	}
	write_unlock(n->lock);
	return 0;
}

static void invalidate_range_end(struct mmu_notifier *mn,
				 const struct mmu_notifier_range *range)
{
	struct umbra_notifier *n = to_umbra(mn);

	write_lock(n->lock);
	n->seq++;
	n->in_progress--;
	write_unlock(n->lock);
}

static bool age_range(struct umbra_notifier *n, unsigned long start,
		      unsigned long end, range_op op)
{
	bool young;

	read_lock(n->lock);
	young = visit_slots(n, start, end, op);
	read_unlock(n->lock);
	return young;
}

/*
 * No flush follows, as the core's own x86 ptep_clear_flush_young() has none: a
 * cached A bit delays the next sign of life, it does not lose data.
 */
static int clear_flush_young(struct mmu_notifier *mn, struct mm_struct *mm,
			     unsigned long start, unsigned long end)
{
	struct umbra_notifier *n = to_umbra(mn);

	return age_range(n, start, end, n->ops->age);
}

static int clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
		       unsigned long start, unsigned long end)
{
	struct umbra_notifier *n = to_umbra(mn);

	return age_range(n, start, end, n->ops->age);
}

static int test_young(struct mmu_notifier *mn, struct mm_struct *mm,
		      unsigned long address)
{
	struct umbra_notifier *n = to_umbra(mn);

	return age_range(n, address, address + 1, n->ops->test_age);
}

static void release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct umbra_notifier *n = to_umbra(mn);

	n->ops->release(n);
}

static const struct mmu_notifier_ops notifier_ops = {
	.invalidate_range_start	= invalidate_range_start,
	.invalidate_range_end	= invalidate_range_end,
	.clear_flush_young	= clear_flush_young,
	.clear_young		= clear_young,
	.test_young		= test_young,
	.release		= release,
};

/**
 * umbra_notifier_register() - begin to watch a process's memory
 * @n: the notifier; @ops, @lock and @slots are set
 * @mm: the memory, which is current->mm
 *
 * Return: 0, -ENOMEM, or -EINTR for a fatal signal.
 */
int umbra_notifier_register(struct umbra_notifier *n, struct mm_struct *mm)
{
	n->mn.ops = &notifier_ops;
	return mmu_notifier_register(&n->mn, mm);
}

/**
 * umbra_notifier_unregister() - stop watching
 * @n: a registered notifier; no lock held
 *
 * When it returns no callback is running and none will.
 */
void umbra_notifier_unregister(struct umbra_notifier *n)
{
	mmu_notifier_unregister(&n->mn, n->mn.mm);
}
