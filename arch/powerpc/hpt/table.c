// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table itself: memory for it, and another one in its place.
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
	kvfree(hpt->changed);
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
	hpt->changed = kvcalloc(BITS_TO_LONGS(hpt_count(hpt)), sizeof(long),
				GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (hpt->rev && hpt->changed)
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
	bitmap_zero(hpt->changed, hpt_count(hpt));
	hpt->large = false;
	mmu->arch.hpt_gen++;
	WRITE_ONCE(mmu->arch.vrma, false);
	hpt_flush_all(mmu);
}

/*
 * Have @hpt be the table, and @hpt what was it. Nothing is valid in either. The hardware is
 * told whether or not the guest has its segment for real mode: a vCPU that was on its way in,
 * or asleep in H_CEDE, enters with the table that the hardware has.
 */
static void exchange(struct umbra_mmu *mmu, struct umbra_hpt *hpt)
{
	struct umbra_vm *vm = umbra_mmu_vm(mmu);

	swap(mmu->arch.hpt, *hpt);
	mmu->arch.hpt_gen++;
	if (vm->arch.partition)
		p9_partition_set_table(vm, vrma_slbv());
	hpt_flush_all(mmu);
}

/**
 * hpt_allocate() - KVM_PPC_ALLOCATE_HTAB: an empty table
 * @mmu: the MMU; no lock held
 * @order: in: log2 of the size in bytes that is wanted; out: what there is
 *
 * A VM that has a table of that order keeps it, emptied. Sleeps. Return: 0; -EINVAL for an
 * order that a table cannot have; -ENOMEM when there is no memory even for the smallest, and
 * nothing has changed then.
 */
int hpt_allocate(struct umbra_mmu *mmu, unsigned int *order)
{
	struct umbra_hpt hpt = {};
	int err = 0;

	if (*order < HPT_ORDER_MIN || *order > HPT_ORDER_MAX)
		return -EINVAL;
	mutex_lock(&mmu->slots_lock);
	if (mmu->arch.hpt.entries && mmu->arch.hpt.order == *order) {
		/* Most of it while others may have the lock; what comes meanwhile, then. */
		hpt_zap_all(mmu);
		write_lock(&mmu->lock);
		hpt_unmap_all(mmu);
		reset(mmu);
		write_unlock(&mmu->lock);
	} else {
		err = alloc_fallback(mmu, &hpt, *order);
		if (!err) {
			hpt_zap_all(mmu);
			write_lock(&mmu->lock);
			hpt_unmap_all(mmu);
			exchange(mmu, &hpt);
			WRITE_ONCE(mmu->arch.vrma, false);
			write_unlock(&mmu->lock);
			free_table(mmu, &hpt);
		}
	}
	*order = mmu->arch.hpt.order;
	mutex_unlock(&mmu->slots_lock);
	return err;
}

/**
 * hpt_resize_prepare() - KVM_PPC_RESIZE_HPT_PREPARE: memory for a table of another size
 * @mmu: the MMU; no lock held
 * @order: log2 of the size in bytes; 0: what was prepared before is not wanted
 *
 * Sleeps. Return: 0; -EINVAL for an order that a table cannot have; -ENOMEM.
 */
int hpt_resize_prepare(struct umbra_mmu *mmu, unsigned int order)
{
	struct umbra_hpt *next = &mmu->arch.next;
	int err = 0;

	if (order && (order < HPT_ORDER_MIN || order > HPT_ORDER_MAX))
		return -EINVAL;
	mutex_lock(&mmu->slots_lock);
	if (next->entries && next->order != order)
		free_table(mmu, next);
	if (order && !next->entries)
		err = alloc_table(mmu, next, order);
	mutex_unlock(&mmu->slots_lock);
	return err;
}

/**
 * hpt_resize_commit() - KVM_PPC_RESIZE_HPT_COMMIT: the prepared table becomes the table
 * @mmu: the MMU; no lock held. vCPUs may run: they wait in their faults meanwhile
 * @order: as it was prepared
 *
 * Each HPTE goes to where the guest will look for it, at the same place of its group. Where
 * two want one place of a smaller table a bolted one has it, and the other is gone.
 * Sleeps. Return: 0; -ENXIO when no such table was prepared; -ENOSPC when two bolted ones
 * want one place: nothing has changed then, but that nothing is prepared.
 */
int hpt_resize_commit(struct umbra_mmu *mmu, unsigned int order)
{
	struct umbra_hpt *next = &mmu->arch.next;
	int err = -ENXIO;

	mutex_lock(&mmu->slots_lock);
	if (next->entries && next->order == order && mmu->arch.hpt.entries) {
		hpt_zap_all(mmu);
		write_lock(&mmu->lock);
		hpt_unmap_all(mmu);
		err = hpt_rehash(&mmu->arch.hpt, next);
		if (!err)
			exchange(mmu, next);
		write_unlock(&mmu->lock);
		free_table(mmu, next);
	}
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
	free_table(mmu, &mmu->arch.next);
}
