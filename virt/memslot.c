// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory slots: KVM_SET_USER_MEMORY_REGION, KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG.
 *
 * A change is prepared in full (the new slot, its dirty bitmap, the new sorted set)
 * before anything is published, and publishing cannot fail: nothing is half done.
 *
 * Locks: mmu->slots_lock around each; it keeps the published set.
 */
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "virt.h"

/* Of kvm_userspace_memory_region.slot and kvm_dirty_log.slot; the rest: 0. */
static bool slot_id_valid(u32 id)
{
	return id < UMBRA_MEMSLOTS_MAX;
}

/* What can be said of a request without knowing the slots there are. */
static bool region_valid(const struct kvm_userspace_memory_region *region)
{
	u64 hva = region->userspace_addr, size = region->memory_size;

	if (region->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return false;
	if (!slot_id_valid(region->slot))
		return false;
	if (!PAGE_ALIGNED(size) || !PAGE_ALIGNED(hva) ||
	    !PAGE_ALIGNED(region->guest_phys_addr))
		return false;
	if (size >> PAGE_SHIFT > UMBRA_MEMSLOT_MAX_PAGES)
		return false;
	if (region->guest_phys_addr + size < region->guest_phys_addr)
		return false;
	if (hva != (unsigned long)hva || hva != untagged_addr((unsigned long)hva))
		return false;
	return access_ok((void __user *)(unsigned long)hva, size);
}

static struct umbra_memslot *find_id(const struct umbra_memslots *set, u32 id)
{
	unsigned int i;

	for (i = 0; i < set->count; i++)
		if (set->slots[i]->id == id)
			return set->slots[i];
	return NULL;
}

/* Does a slot other than @old hold a gfn of @slot? */
static bool overlaps(const struct umbra_memslots *set, const struct umbra_memslot *slot,
		     const struct umbra_memslot *old)
{
	unsigned int i;

	for (i = 0; i < set->count; i++) {
		const struct umbra_memslot *other = set->slots[i];

		if (other != old &&
		    slot->base_gfn < other->base_gfn + other->npages &&
		    other->base_gfn < slot->base_gfn + slot->npages)
			return true;
	}
	return false;
}

/*
 * May @slot take the place of @old, or come as a new one (@old is NULL)? Only the
 * base and the dirty log of a slot can change. -EEXIST when it overlaps another.
 */
static int check_change(struct umbra_mmu *mmu, const struct umbra_memslot *slot,
			const struct umbra_memslot *old)
{
	if (old && (slot->npages != old->npages ||
		    slot->userspace_addr != old->userspace_addr ||
		    (slot->flags ^ old->flags) & KVM_MEM_READONLY))
		return -EINVAL;
	if (slot->base_gfn + slot->npages > mmu->max_gfn)
		return -EINVAL;
	return overlaps(umbra_mmu_slots(mmu), slot, old) ? -EEXIST : 0;
}

static struct umbra_memslot *alloc_slot(const struct kvm_userspace_memory_region *region)
{
	struct umbra_memslot *slot = kzalloc(sizeof(*slot), GFP_KERNEL_ACCOUNT);

	if (!slot)
		return NULL;
	slot->base_gfn = region->guest_phys_addr >> PAGE_SHIFT;
	slot->npages = region->memory_size >> PAGE_SHIFT;
	slot->userspace_addr = region->userspace_addr;
	slot->flags = region->flags;
	slot->id = region->slot;
	slot->hva_node.start = slot->userspace_addr;
	slot->hva_node.last = slot->userspace_addr + region->memory_size - 1;
	return slot;
}

/* A slot that moves keeps its log: both share the bitmap while both are known. */
static int give_bitmap(struct umbra_vm *vm, struct umbra_memslot *slot,
		       const struct umbra_memslot *old)
{
	unsigned long i;

	if (!(slot->flags & KVM_MEM_LOG_DIRTY_PAGES))
		return 0;
	if (old && umbra_slot_logs(old)) {
		slot->dirty_bitmap = old->dirty_bitmap;
		return 0;
	}
	slot->dirty_bitmap = kvcalloc(BITS_TO_LONGS(slot->npages), sizeof(long),
				      GFP_KERNEL_ACCOUNT);
	if (!slot->dirty_bitmap)
		return -ENOMEM;
	/* A page is put into a ring when its bit is set. */
	if (vm->initially_set && !vm->ring_size)
		for (i = 0; i < slot->npages; i++)
			__set_bit_le(i, slot->dirty_bitmap);
	return 0;
}

/* The published set without @old and with @slot, each of which may be NULL. */
static struct umbra_memslots *make_set(const struct umbra_memslots *now,
				       struct umbra_memslot *old,
				       struct umbra_memslot *slot)
{
	unsigned int count = now->count - !!old + !!slot;
	struct umbra_memslots *set;
	unsigned int i;

	set = kvzalloc(struct_size(set, slots, count), GFP_KERNEL_ACCOUNT);
	if (!set)
		return NULL;
	set->generation = now->generation + 1;
	for (i = 0; i < now->count; i++) {
		struct umbra_memslot *this = now->slots[i];

		if (this == old)
			continue;
		if (slot && slot->base_gfn < this->base_gfn) {
			set->slots[set->count++] = slot;
			slot = NULL;
		}
		set->slots[set->count++] = this;
	}
	if (slot)
		set->slots[set->count++] = slot;
	return set;
}

/* Free a slot that was not published; a shared bitmap stays with @old. */
static void discard_slot(struct umbra_memslot *slot, const struct umbra_memslot *old)
{
	if (old && slot->dirty_bitmap == old->dirty_bitmap)
		slot->dirty_bitmap = NULL;
	umbra_memslot_free(slot);
}

static int delete_slot(struct umbra_mmu *mmu, struct umbra_memslot *old)
{
	struct umbra_memslots *set;

	if (!old)
		return -EINVAL;
	set = make_set(umbra_mmu_slots(mmu), old, NULL);
	if (!set)
		return -ENOMEM;
	umbra_mmu_change_slot(mmu, set, old, NULL);
	return 0;
}

static int replace_slot(struct umbra_vm *vm, struct umbra_memslot *old,
			const struct kvm_userspace_memory_region *region)
{
	struct umbra_mmu *mmu = &vm->mmu;
	struct umbra_memslots *set;
	struct umbra_memslot *slot = alloc_slot(region);
	int err;

	if (!slot)
		return -ENOMEM;
	err = check_change(mmu, slot, old);
	if (err)
		goto discard;
	if (old && old->base_gfn == slot->base_gfn && old->flags == slot->flags)
		goto discard;	/* nothing changes: success */
	err = give_bitmap(vm, slot, old);
	if (err)
		goto discard;
	err = -ENOMEM;
	set = make_set(umbra_mmu_slots(mmu), old, slot);
	if (!set)
		goto discard;
	umbra_mmu_change_slot(mmu, set, old, slot);
	return 0;

discard:
	discard_slot(slot, old);
	return err;
}

/**
 * umbra_set_memory_region() - KVM_SET_USER_MEMORY_REGION
 * @vm: the VM; no lock held
 * @region: the slot as it shall be; a size of 0 deletes it
 *
 * Sleeps. Return: 0; -EINVAL for what is misaligned, wraps, lies outside of the
 * process's or the guest's address space or names an unknown flag or slot number,
 * for deleting a slot that is not there, and for changing an existing slot's size,
 * memory or KVM_MEM_READONLY; -EEXIST when it overlaps another slot; -ENOMEM. On an
 * error nothing has changed.
 */
int umbra_set_memory_region(struct umbra_vm *vm,
			    const struct kvm_userspace_memory_region *region)
{
	struct umbra_mmu *mmu = &vm->mmu;
	struct umbra_memslot *old;
	int ret;

	if (!region_valid(region))
		return -EINVAL;
	mutex_lock(&mmu->slots_lock);
	old = find_id(umbra_mmu_slots(mmu), region->slot);
	if (region->memory_size)
		ret = replace_slot(vm, old, region);
	else
		ret = delete_slot(mmu, old);
	mutex_unlock(&mmu->slots_lock);
	return ret;
}

/**
 * umbra_get_dirty_log() - KVM_GET_DIRTY_LOG
 * @vm: the VM; no lock held
 * @log: slot number, and where the bitmap goes: one bit a page, rounded up to 64
 *
 * Sleeps. Return: 0; -ENXIO when the VM has dirty rings instead; -EINVAL for a slot number
 * beyond the limit; -ENOENT for a slot that is not there or does not log; -EFAULT, -ENOMEM,
 * with no dirty page lost.
 */
int umbra_get_dirty_log(struct umbra_vm *vm, const struct kvm_dirty_log *log)
{
	struct umbra_mmu *mmu = &vm->mmu;
	struct umbra_memslot *slot;
	int ret = -ENOENT;

	if (vm->ring_size)
		return -ENXIO;
	if (!slot_id_valid(log->slot))
		return -EINVAL;
	mutex_lock(&mmu->slots_lock);
	slot = find_id(umbra_mmu_slots(mmu), log->slot);
	if (slot && umbra_slot_logs(slot)) {
		if (vm->manual_dirty_log)
			ret = umbra_dirty_log_peek(slot, log->dirty_bitmap);
		else
			ret = umbra_dirty_log_get(mmu, slot, log->dirty_bitmap);
	}
	mutex_unlock(&mmu->slots_lock);
	return ret;
}

/* 64 pages at a time, or up to the slot's end. */
static bool clear_range_valid(const struct umbra_memslot *slot,
			      const struct kvm_clear_dirty_log *log)
{
	u64 first = log->first_page, n = log->num_pages;

	return !(first % 64) && first <= slot->npages && n <= slot->npages - first &&
	       (!(n % 64) || n == slot->npages - first);
}

/**
 * umbra_clear_dirty_log() - KVM_CLEAR_DIRTY_LOG
 * @vm: the VM; no lock held
 * @log: slot number, pages, and where the bits are that say which of them
 *
 * Sleeps. Return: 0; -ENXIO when the VM has dirty rings instead; -EINVAL for a slot number
 * beyond the limit and for a range that
 * does not begin and end at a multiple of 64 pages, or the slot's end; -ENOENT for a
 * slot that is not there or does not log; -EFAULT, -ENOMEM, with nothing done.
 */
int umbra_clear_dirty_log(struct umbra_vm *vm, const struct kvm_clear_dirty_log *log)
{
	struct umbra_mmu *mmu = &vm->mmu;
	struct umbra_memslot *slot;
	int ret = -ENOENT;

	if (vm->ring_size)
		return -ENXIO;
	if (!slot_id_valid(log->slot))
		return -EINVAL;
	mutex_lock(&mmu->slots_lock);
	slot = find_id(umbra_mmu_slots(mmu), log->slot);
	if (slot && umbra_slot_logs(slot))
		ret = !clear_range_valid(slot, log) ? -EINVAL :
			umbra_dirty_log_clear(mmu, slot, log->first_page, log->num_pages,
					      log->dirty_bitmap);
	mutex_unlock(&mmu->slots_lock);
	return ret;
}

/**
 * umbra_reset_dirty_rings() - KVM_RESET_DIRTY_RINGS
 * @vm: the VM; no lock held
 *
 * Sleeps. Return: the number of pages that are clean again; -EINVAL without dirty rings.
 */
int umbra_reset_dirty_rings(struct umbra_vm *vm)
{
	int ret;

	if (!vm->ring_size)
		return -EINVAL;
	mutex_lock(&vm->mmu.slots_lock);
	ret = umbra_rings_reset(&vm->mmu);
	mutex_unlock(&vm->mmu.slots_lock);
	return ret;
}
