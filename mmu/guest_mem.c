// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's own accesses to guest memory, through the process's mapping of it.
 *
 * They go by the host virtual address, so the host's protections hold and a page
 * that is away is brought back. A write is seen by the dirty log, and by the MMU: with
 * mmu->lock held it first takes away what was made from the old bytes, so that nobody who
 * has seen the new ones can still use it.
 *
 * An aligned access of 1, 2, 4 or 8 bytes is a single one, as the guest's CPU makes it.
 *
 * Locks: mmu->srcu held; current->mm is mmu->mm; mmu->lock taken inside.
 */
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <umbra/mmu.h>

/*
 * How often a page may go between the fault that brings it and the write. There is memory
 * that a fault always settles and that no write of the kernel's is ever let into, such as
 * a shadow stack.
 */
#define UPDATE_TRIES	100

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

static bool is_single(const void __user *at, size_t len)
{
	return len <= 8 && is_power_of_2(len) && IS_ALIGNED((unsigned long)at, len);
}

#define LOAD(type, data, from)	__get_user(*(type *)(data), (const type __user *)(from))
#define STORE(type, to, data)	__put_user(*(const type *)(data), (type __user *)(to))

static int load(void *data, const void __user *from, size_t len)
{
	if (!is_single(from, len))
		return __copy_from_user(data, from, len) ? -EFAULT : 0;
	switch (len) {
	case 1:
		return LOAD(u8, data, from);
	case 2:
		return LOAD(u16, data, from);
	case 4:
		return LOAD(u32, data, from);
	default:
		return LOAD(u64, data, from);
	}
}

static int store(void __user *to, const void *data, size_t len)
{
	if (!is_single(to, len))
		return __copy_to_user_inatomic(to, data, len) ? -EFAULT : 0;
	switch (len) {
	case 1:
		return STORE(u8, to, data);
	case 2:
		return STORE(u16, to, data);
	case 4:
		return STORE(u32, to, data);
	default:
		return STORE(u64, to, data);
	}
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

		if (!from || load(data, from, n))
			return -EFAULT;
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}

/* One try, which does not sleep. */
static int update_once(struct umbra_mmu_vcpu *mv, struct umbra_memslot *slot, gpa_t gpa,
		       size_t len, int (*update)(void __user *to, void *arg), void *arg)
{
	void __user *to = (void __user *)(umbra_slot_hva(slot, gpa >> PAGE_SHIFT) +
					  offset_in_page(gpa));
	struct umbra_mmu *mmu = mv->mmu;
	bool tracked = mmu->ops->writing;
	int r;

	if (tracked) {
		write_lock(&mmu->lock);
		mmu->ops->writing(mmu, gpa, len);
		pagefault_disable();
		r = update(to, arg);
		pagefault_enable();
		if (!r)
			mmu->ops->written(mv, gpa, len);
		write_unlock(&mmu->lock);
	} else {
		pagefault_disable();
		r = update(to, arg);
		pagefault_enable();
	}
	if (!r)
		umbra_mark_dirty(mv, slot, gpa >> PAGE_SHIFT);
	if (r != -EFAULT)
		return r;
	if (fatal_signal_pending(current) || fault_in_safe_writeable(to, len))
		return -EFAULT;
	return -EAGAIN;
}

/**
 * umbra_guest_update() - change guest memory in place
 * @mv: the vCPU that does it
 * @slot: the slot that holds @gpa, not read-only
 * @gpa: guest physical address
 * @len: bytes, within one page
 * @update: makes the change at @to and does not sleep: 0 when it is made, -EFAULT when the
 *	page is away, then it is called again; what else it returns ends it
 * @arg: for @update
 *
 * Sleeps. Return: what @update returned; -EFAULT where the host has no memory, or none
 * that can be written to.
 */
int umbra_guest_update(struct umbra_mmu_vcpu *mv, struct umbra_memslot *slot, gpa_t gpa,
		       size_t len, int (*update)(void __user *to, void *arg), void *arg)
{
	int r = -EAGAIN, tries;

	for (tries = 0; r == -EAGAIN && tries < UPDATE_TRIES; tries++)
		r = update_once(mv, slot, gpa, len, update, arg);
	return r == -EAGAIN ? -EFAULT : r;
}

/* The byte at @gpa, for an access that does not sleep. */
static u8 __user *byte_at(struct umbra_mmu *mmu, gpa_t gpa, struct umbra_memslot **slot)
{
	size_t len = 1;

	return locate(mmu, gpa, &len, slot);
}

/**
 * umbra_guest_peek() - read a byte of guest memory without sleeping
 * @mmu: the MMU
 * @gpa: guest physical address
 * @byte: filled in
 *
 * Interrupts may be off. Return: 0; -EFAULT where no slot is or the page is away.
 */
int umbra_guest_peek(struct umbra_mmu *mmu, gpa_t gpa, u8 *byte)
{
	struct umbra_memslot *slot;
	u8 __user *from = byte_at(mmu, gpa, &slot);
	int r;

	if (!from)
		return -EFAULT;
	pagefault_disable();
	r = __get_user(*byte, from);
	pagefault_enable();
	return r;
}

/**
 * umbra_guest_poke() - write a byte of guest memory without sleeping
 * @mv: the vCPU that does it
 * @gpa: guest physical address
 * @byte: what to write
 *
 * Interrupts may be off, and mmu->lock is not taken. Return: 0; -EFAULT where no writable
 * slot is or the page is away; -EOPNOTSUPP with an MMU that
 * has to know of writes.
 */
int umbra_guest_poke(struct umbra_mmu_vcpu *mv, gpa_t gpa, u8 byte)
{
	struct umbra_memslot *slot;
	u8 __user *to = byte_at(mv->mmu, gpa, &slot);
	int r;

	if (mv->mmu->ops->writing)
		return -EOPNOTSUPP;
	if (!to || umbra_slot_readonly(slot))
		return -EFAULT;
	pagefault_disable();
	r = __put_user(byte, to);
	pagefault_enable();
	if (!r)
		umbra_mark_dirty(mv, slot, gpa >> PAGE_SHIFT);
	return r;
}

struct piece {
	const void *data;
	size_t len;
};

static int store_piece(void __user *to, void *arg)
{
	const struct piece *piece = arg;

	return store(to, piece->data, piece->len);
}

/**
 * umbra_guest_write() - write guest memory
 * @mv: the vCPU that does it
 * @gpa: guest physical address
 * @data: what to write
 * @len: bytes; may cross pages and slots
 *
 * Sleeps. Return: 0; -EFAULT where no writable slot is or the host has no memory.
 */
int umbra_guest_write(struct umbra_mmu_vcpu *mv, gpa_t gpa, const void *data, size_t len)
{
	while (len) {
		struct piece piece = { data, len };
		struct umbra_memslot *slot;

		if (!locate(mv->mmu, gpa, &piece.len, &slot) || umbra_slot_readonly(slot) ||
		    umbra_guest_update(mv, slot, gpa, piece.len, store_piece, &piece))
			return -EFAULT;
		gpa += piece.len;
		data += piece.len;
		len -= piece.len;
	}
	return 0;
}
