// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's own accesses to guest memory, through the process's mapping of it.
 *
 * They go by the host virtual address, so the host's protections hold and a page
 * that is away is brought back. A write is seen by the dirty log.
 *
 * Locks: mmu->srcu held; current->mm is mmu->mm.
 */
#include <linux/uaccess.h>
#include <umbra/mmu.h>

/* Where @gpa is, and in @len how much of it lies in the same page. */
static void __user *locate(struct umbra_mmu *mmu, gpa_t gpa, size_t *len,
			   struct umbra_memslot **slot)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;

	*slot = umbra_memslots_find(umbra_mmu_slots(mmu), gfn);
	if (!*slot)
		return NULL;
	*len = min_t(size_t, *len, PAGE_SIZE - offset_in_page(gpa));
	return (void __user *)(umbra_slot_hva(*slot, gfn) + offset_in_page(gpa));
}

/**
 * umbra_guest_read() - read guest memory
 * @mmu: the MMU
 * @gpa: guest physical address
 * @data: filled in
 * @len: bytes; may cross pages and slots
 *
 * Sleeps. Return: 0; -EFAULT where no slot is or the host has no memory; @data is
 * filled in part then.
 */
int umbra_guest_read(struct umbra_mmu *mmu, gpa_t gpa, void *data, size_t len)
{
	while (len) {
		struct umbra_memslot *slot;
		size_t n = len;
		void __user *from = locate(mmu, gpa, &n, &slot);

		if (!from || __copy_from_user(data, from, n))
			return -EFAULT;
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}

/**
 * umbra_guest_written() - what follows from a write to guest memory by its hva
 * @mmu: the MMU
 * @slot: the slot that holds @gpa
 * @gpa: guest physical address
 * @len: bytes, within one page
 */
void umbra_guest_written(struct umbra_mmu *mmu, struct umbra_memslot *slot, gpa_t gpa,
			 size_t len)
{
	umbra_slot_mark_dirty(slot, gpa >> PAGE_SHIFT);
	if (mmu->ops->written)
		mmu->ops->written(mmu, gpa, len);
}

/**
 * umbra_guest_write() - write guest memory
 * @mmu: the MMU
 * @gpa: guest physical address
 * @data: what to write
 * @len: bytes; may cross pages and slots
 *
 * Sleeps. Return: 0; -EFAULT where no writable slot is or the host has no memory.
 */
int umbra_guest_write(struct umbra_mmu *mmu, gpa_t gpa, const void *data,
		      size_t len)
{
	while (len) {
		struct umbra_memslot *slot;
		size_t n = len;
		void __user *to = locate(mmu, gpa, &n, &slot);

		if (!to || umbra_slot_readonly(slot) || __copy_to_user(to, data, n))
			return -EFAULT;
		umbra_guest_written(mmu, slot, gpa, n);
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}
