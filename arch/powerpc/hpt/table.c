// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table itself: memory for it, and an empty one in its place.
 *
 * Locks: mmu->slots_lock around each change; mmu->lock for writing around the exchange.
 */
#include <linux/vmalloc.h>
#include <umbra/compat.h>

#include "hpt.h"
#include "../p9.h"

static void free_table(struct umbra_mmu *mmu, struct umbra_hpt *hpt)
{
	if (!hpt->entries)
		return;
	vfree(hpt->rev);
	umbra_table_free(mmu, hpt->entries, get_order(1UL << hpt->order));
	hpt->entries = NULL;
}

/* The hardware wants a table aligned to its size, as the page allocator's blocks are. */
static int alloc_table(struct umbra_mmu *mmu, struct umbra_hpt *hpt, unsigned int order)
{
	if (get_order(1UL << order) > UMBRA_PAGE_ORDER_MAX)
		return -ENOMEM;
	hpt->order = order;
	hpt->entries = umbra_table_alloc(mmu, get_order(1UL << order));
	if (!hpt->entries)
		return -ENOMEM;
	hpt->rev = __vmalloc(sizeof(*hpt->rev) * hpt_count(hpt),
			     GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN);
	if (hpt->rev)
		return 0;
	free_table(mmu, hpt);
	return -ENOMEM;
}

/* Memory for at least the smallest table, from @order downwards. */
static int alloc_fallback(struct umbra_mmu *mmu, struct umbra_hpt *hpt, unsigned int order)
{
	for (; order >= HPT_ORDER_MIN; order--)
		if (!alloc_table(mmu, hpt, order))
			return 0;
	return -ENOMEM;
}

/* Every HPTE free, every ring empty. mmu->lock held for writing. */
static void reset(struct umbra_mmu *mmu)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;

	memset(hpt->entries, 0, 1UL << hpt->order);
	memset(hpt->rev, 0, sizeof(*hpt->rev) * hpt_count(hpt));
	hpt->large = false;
	WRITE_ONCE(mmu->arch.vrma, false);
	hpt_flush_all(mmu);
}

/**
 * hpt_allocate() - KVM_PPC_ALLOCATE_HTAB: an empty table
 * @mmu: the MMU; no lock held
 * @order: in: log2 of the size in bytes that is wanted; out: what there is
 *
 * A VM that has a table keeps it, emptied, whatever its order. Sleeps. Return: 0; -EINVAL
 * for an order that a table cannot have; -ENOMEM when there is no memory even for the
 * smallest.
 */
int hpt_allocate(struct umbra_mmu *mmu, unsigned int *order)
{
	struct umbra_hpt hpt = {};
	int err = 0;

	if (*order < HPT_ORDER_MIN || *order > HPT_ORDER_MAX)
		return -EINVAL;
	mutex_lock(&mmu->slots_lock);
	if (mmu->arch.hpt.entries) {
		/* Most of it while others may have the lock; what comes meanwhile, then. */
		hpt_zap_all(mmu);
		write_lock(&mmu->lock);
		hpt_unmap_all(mmu);
		reset(mmu);
		write_unlock(&mmu->lock);
	} else {
		err = alloc_fallback(mmu, &hpt, *order);
		if (!err) {
			write_lock(&mmu->lock);
			mmu->arch.hpt = hpt;
			write_unlock(&mmu->lock);
		}
	}
	*order = mmu->arch.hpt.order;
	mutex_unlock(&mmu->slots_lock);
	return err;
}

/* @init of struct umbra_mmu_ops; slots_lock held */
int hpt_init(struct umbra_mmu *mmu)
{
	struct umbra_hpt hpt = {};
	int err;

	if (mmu->arch.hpt.entries)
		return 0;
	err = alloc_fallback(mmu, &hpt, HPT_ORDER_DEFAULT);
	if (err)
		return err;
	write_lock(&mmu->lock);
	mmu->arch.hpt = hpt;
	write_unlock(&mmu->lock);
	return 0;
}

/* @destroy of struct umbra_mmu_ops */
void hpt_destroy(struct umbra_mmu *mmu)
{
	p9_partition_clear(umbra_mmu_vm(mmu));
	hpt_flush_all(mmu);
	free_table(mmu, &mmu->arch.hpt);
}
