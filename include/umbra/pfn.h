/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pfn/: from a host virtual address to the host page frame behind it.
 *
 * There are two ways, and each says what keeps the frame from going away:
 *
 * 1. umbra_pfn_get() asks the host to fault the page in, and takes a reference
 *    on it when it has a struct page that is counted. The caller gives the
 *    reference back exactly once, on every path, by umbra_pfn_put() or, when a
 *    mapping keeps it (policy pinned), later by umbra_pfn_unmapped().
 * 2. umbra_hostpt_scan() reads the host's own page tables in place and takes
 *    nothing. What it returns stays true only while mmu->lock is held and no
 *    invalidation that covers the address is in progress: any change of the
 *    host's entry begins with a notifier that needs mmu->lock for writing.
 *
 * IO memory and reserved pages have no counted struct page: they are mapped and
 * never touched by the functions below.
 */
#ifndef _UMBRA_PFN_H
#define _UMBRA_PFN_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <umbra/types.h>

struct mm_struct;

/* Frame numbers with one of the top bits set are not frames but causes. */
#define UMBRA_PFN_ERR		BIT_ULL(62)
#define UMBRA_PFN_ERR_FAULT	(UMBRA_PFN_ERR | 1) /* no mapping, or not allowed */
#define UMBRA_PFN_ERR_HWPOISON	(UMBRA_PFN_ERR | 2) /* the page's memory is bad */
#define UMBRA_PFN_ERR_INTR	(UMBRA_PFN_ERR | 3) /* a signal ended the wait */
#define UMBRA_PFN_ERR_NOMEM	(UMBRA_PFN_ERR | 4) /* the host is out of memory */

static inline bool umbra_pfn_is_error(u64 pfn)
{
	return pfn & UMBRA_PFN_ERR;
}

/**
 * struct umbra_refs - references that a VM has taken and given back
 * @taken: references taken
 * @released: references given back
 * @mm: the process's memory, whose count of pinned pages they are part of
 *
 * Their difference is what sptes hold: zero under policy notified whenever no
 * fault is under way, and zero under any policy once the VM is gone.
 */
struct umbra_refs {
	atomic64_t taken;
	atomic64_t released;
	struct mm_struct *mm;
};

/**
 * struct umbra_pfn - one host frame, looked up
 * @pfn: the frame, or an UMBRA_PFN_ERR_* cause
 * @writable: the host lets this process write to it at once
 * @counted: it has a struct page on which a reference is held
 */
struct umbra_pfn {
	u64 pfn;
	bool writable;
	bool counted;
};

/* umbra_pfn_get() */
#define UMBRA_PFN_WRITE	BIT(0) /* the access is a write */
#define UMBRA_PFN_PIN	BIT(1) /* a mapping will keep it: pin against reclaim */

bool umbra_pfn_ready(unsigned long hva, bool write);
int umbra_pfn_populate(struct mm_struct *mm, unsigned long hva, unsigned int count,
		       bool write);
void umbra_pfn_get(struct umbra_refs *refs, struct mm_struct *mm,
		   unsigned long hva, unsigned int flags, struct umbra_pfn *pfn);
void umbra_pfn_put(struct umbra_refs *refs, const struct umbra_pfn *pfn,
		   unsigned int flags);
void umbra_pfn_unmapped(struct umbra_refs *refs, u64 pfn);
void umbra_pfn_set_dirty(u64 pfn);
void umbra_pfn_set_accessed(u64 pfn);
int umbra_pfn_errno(u64 pfn);

/**
 * struct umbra_host_page - what the host's page tables say of one base page
 * @pfn: the frame of the base page
 * @writable: the host's entry allows writes
 * @present: the host has it, and as memory that has a struct page
 */
struct umbra_host_page {
	u64 pfn;
	bool writable;
	bool present;
};

int umbra_hostpt_scan(struct mm_struct *mm, unsigned long hva,
		      struct umbra_host_page *page, unsigned int count);

#endif
