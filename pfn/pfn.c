// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host virtual address to page frame, by asking the host to fault it in.
 *
 * Invariants
 * - Each reference taken here is counted in umbra_refs.taken, and each one given
 *   back in .released, whatever path it goes.
 * - A reference is on a struct page only. IO memory and what else VM_PFNMAP maps
 *   has none that is counted: it is kept true by the notifier alone, under both
 *   policies.
 *
 * Locks: none held by the caller. mmap_lock is taken inside; the mm is current's, but for
 * umbra_pfn_populate().
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/userfaultfd_k.h>
#include <umbra/compat.h>
#include <umbra/pfn.h>

/*
 * What is pinned for long is only to be had from pin_user_pages_fast(), which does
 * not tell a poisoned page from one that is not there: that is asked afterwards.
 */
static long gup_one(unsigned long hva, unsigned int gup, unsigned int flags,
		    struct page **page)
{
	long got;

	if (!(flags & UMBRA_PFN_PIN))
		return get_user_pages_unlocked(hva, 1, page, gup | FOLL_HWPOISON);
	got = pin_user_pages_fast(hva, 1, gup | FOLL_LONGTERM, page);
	if (got == -EFAULT &&
	    get_user_pages_unlocked(hva, 1, NULL, gup | FOLL_HWPOISON) == -EHWPOISON)
		return -EHWPOISON;
	return got;
}

/* What a pin keeps in memory: the whole folio, which is not split while it is pinned. */
static long pinned_pages(struct page *page)
{
	return folio_nr_pages(page_folio(page));
}

/*
 * As for all who pin for long: RLIMIT_MEMLOCK bounds what is pinned, unless the process
 * may lock what it likes. A folio that is pinned twice counts twice.
 */
static bool may_pin(struct umbra_refs *refs, struct page *page)
{
	s64 now = atomic64_add_return(pinned_pages(page), &refs->mm->pinned_vm);

	if (now <= rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT || capable(CAP_IPC_LOCK))
		return true;
	atomic64_sub(pinned_pages(page), &refs->mm->pinned_vm);
	return false;
}

static void unpin(struct umbra_refs *refs, struct page *page)
{
	atomic64_sub(pinned_pages(page), &refs->mm->pinned_vm);
	unpin_user_page(page);
}

/*
 * A page that was only asked for reading may be writable all the same, and then
 * the guest's first write need not fault again. Only what the host would allow
 * without any work counts, so that reading never breaks a copy-on-write share.
 * (There is no such question for pinned pages: their next write asks again.)
 */
static struct page *upgrade_to_write(struct page *page, unsigned long hva,
				     unsigned int flags, bool *writable)
{
	struct page *again;

	if ((flags & UMBRA_PFN_PIN) ||
	    get_user_pages_fast_only(hva, 1, FOLL_WRITE, &again) != 1)
		return page;
	*writable = true;
	put_page(page);
	return again;
}

static u64 gup_cause(long err)
{
	switch (err) {
	case -EHWPOISON:
		return UMBRA_PFN_ERR_HWPOISON;
	case -EINTR:
	case -ERESTARTSYS:
	case -EAGAIN:
		return UMBRA_PFN_ERR_INTR;
	case -ENOMEM:
		return UMBRA_PFN_ERR_NOMEM;
	default:
		return UMBRA_PFN_ERR_FAULT;
	}
}

/*
 * A mapping of frames rather than pages: its host entry is read, after one fault
 * if it is not there or not writable yet.
 */
static u64 pfnmap_get(struct mm_struct *mm, unsigned long hva, bool write,
		      bool *writable)
{
	u64 pfn = UMBRA_PFN_ERR_FAULT;
	struct vm_area_struct *vma;
	bool faulted = false;
	int err;

	mmap_read_lock(mm);
	for (;;) {
		bool unlocked = false;

		vma = vma_lookup(mm, hva);
		if (!vma || !(vma->vm_flags & (VM_IO | VM_PFNMAP)) ||
		    !(vma->vm_flags & (write ? VM_WRITE : VM_READ)))
			break;
		err = umbra_follow_pfnmap(vma, hva, &pfn, writable);
		if (!err && (*writable || !write))
			break;
		pfn = UMBRA_PFN_ERR_FAULT;
		if (faulted)
			break;
		faulted = true;
		err = fixup_user_fault(mm, hva, write ? FAULT_FLAG_WRITE : 0,
				       &unlocked);
		if (err) {
			pfn = gup_cause(err);
			break;
		}
	}
	mmap_read_unlock(mm);
	return pfn;
}

/* Pages behind the first are only asked for where that has no further effect. */
static unsigned long populate_end(struct mm_struct *mm, unsigned long hva,
				  unsigned long end)
{
	struct vm_area_struct *vma = vma_lookup(mm, hva);

	if (!vma || !vma_is_anonymous(vma) || userfaultfd_armed(vma))
		return hva + PAGE_SIZE;
	return min(end, vma->vm_end);
}

/**
 * umbra_pfn_ready() - have the host bring a page, unless it must wait for it
 * @hva: host virtual address of current->mm, page aligned
 * @write: make it writable
 *
 * Sleeps, but not for I/O, which is begun. Return: false when the page is being read; true
 * otherwise, whether it is there now or cannot be had.
 */
bool umbra_pfn_ready(unsigned long hva, bool write)
{
	return get_user_pages_unlocked(hva, 1, NULL,
				       FOLL_NOWAIT | (write ? FOLL_WRITE : 0)) != 0;
}

/**
 * umbra_pfn_populate() - have the host bring pages, without looking at them
 * @mm: the process's memory: current->mm, or one whose users the caller is one of
 * @hva: first host virtual address, page aligned
 * @count: pages; those behind the first are brought if they are anonymous memory,
 *	and their failures are ignored
 * @write: make them writable
 *
 * Sleeps, takes mmap_lock. Return: 0 when the first page was there on return, a
 * negative errno of fixup_user_fault() when it cannot be had this way.
 */
int umbra_pfn_populate(struct mm_struct *mm, unsigned long hva, unsigned int count,
		       bool write)
{
	unsigned int flags = write ? FAULT_FLAG_WRITE : 0;
	unsigned long end = hva + ((unsigned long)count << PAGE_SHIFT);
	bool unlocked = false;
	int err;

	mmap_read_lock(mm);
	err = fixup_user_fault(mm, hva, flags, &unlocked);
	if (!err && count > 1) {
		end = populate_end(mm, hva, end);
		/* The lock may have been dropped inside: each call looks anew. */
		for (hva += PAGE_SIZE; hva < end; hva += PAGE_SIZE)
			if (fixup_user_fault(mm, hva, flags, &unlocked))
				break;
	}
	mmap_read_unlock(mm);
	return err;
}

/**
 * umbra_pfn_get() - fault a page in and find its frame
 * @refs: where the reference is counted
 * @mm: the process's memory; must be current->mm
 * @hva: host virtual address, any byte of the page
 * @flags: UMBRA_PFN_WRITE, UMBRA_PFN_PIN
 * @pfn: filled in
 *
 * Sleeps. On success the caller owes umbra_pfn_put(), or umbra_pfn_unmapped()
 * where a mapping keeps a pinned page. On failure @pfn->pfn is the cause and
 * nothing is owed.
 */
void umbra_pfn_get(struct umbra_refs *refs, struct mm_struct *mm,
		   unsigned long hva, unsigned int flags, struct umbra_pfn *pfn)
{
	unsigned int gup = 0;
	struct page *page;
	long got;

	hva &= PAGE_MASK;
	pfn->writable = false;
	pfn->counted = false;
	if (flags & UMBRA_PFN_WRITE)
		gup |= FOLL_WRITE;

	got = gup_one(hva, gup, flags, &page);
	if (got == 1 && (flags & UMBRA_PFN_PIN) && !may_pin(refs, page)) {
		unpin_user_page(page);
		got = -ENOMEM;
	}
	if (got == 1) {
		if (flags & UMBRA_PFN_WRITE)
			pfn->writable = true;
		else
			page = upgrade_to_write(page, hva, flags, &pfn->writable);
		pfn->pfn = page_to_pfn(page);
		pfn->counted = true;
		atomic64_inc(&refs->taken);
		return;
	}
	pfn->pfn = gup_cause(got);
	if (pfn->pfn == UMBRA_PFN_ERR_FAULT)
		pfn->pfn = pfnmap_get(mm, hva, flags & UMBRA_PFN_WRITE,
				      &pfn->writable);
}

/**
 * umbra_pfn_put() - give back what umbra_pfn_get() took
 * @refs: where it was counted
 * @pfn: as umbra_pfn_get() filled it in; an error needs nothing
 * @flags: as given to umbra_pfn_get()
 */
void umbra_pfn_put(struct umbra_refs *refs, const struct umbra_pfn *pfn,
		   unsigned int flags)
{
	if (!pfn->counted)
		return;
	if (flags & UMBRA_PFN_PIN)
		unpin(refs, pfn_to_page(pfn->pfn));
	else
		put_page(pfn_to_page(pfn->pfn));
	atomic64_inc(&refs->released);
}

/**
 * umbra_pfn_unmapped() - give back the pinned page of a mapping that went
 * @refs: where it was counted
 * @pfn: frame of a page that was counted
 */
void umbra_pfn_unmapped(struct umbra_refs *refs, u64 pfn)
{
	unpin(refs, pfn_to_page(pfn));
	atomic64_inc(&refs->released);
}

/**
 * umbra_pfn_set_dirty() - the guest wrote to a page
 * @pfn: frame of a page that has a struct page; any context
 *
 * Called before the mapping's removal is reported to the host, which still knows
 * the page then.
 */
void umbra_pfn_set_dirty(u64 pfn)
{
	struct page *page = pfn_to_page(pfn);
	struct folio *folio = page_folio(page);

	if (!PageReserved(page) && !folio_test_dirty(folio))
		folio_set_dirty(folio);
}

/**
 * umbra_pfn_set_accessed() - the guest used a page
 * @pfn: frame of a page that has a struct page; any context
 */
void umbra_pfn_set_accessed(u64 pfn)
{
	struct page *page = pfn_to_page(pfn);
	struct folio *folio = page_folio(page);

	/* As the host does when it unmaps: only a file's page may be activated. */
	if (folio_test_anon(folio)) {
		if (!folio_test_referenced(folio))
			folio_set_referenced(folio);
	} else if (!PageReserved(page)) {
		mark_page_accessed(page);
	}
}

/**
 * umbra_pfn_errno() - what KVM_RUN returns for a page that cannot be had
 * @pfn: an UMBRA_PFN_ERR_* cause
 */
int umbra_pfn_errno(u64 pfn)
{
	switch (pfn) {
	case UMBRA_PFN_ERR_HWPOISON:
		return -EHWPOISON;
	case UMBRA_PFN_ERR_INTR:
		return -EINTR;
	case UMBRA_PFN_ERR_NOMEM:
		return -ENOMEM;
	default:
		return -EFAULT;
	}
}
