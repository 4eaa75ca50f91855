// SPDX-License-Identifier: GPL-2.0-only
/*
 * HPTEs becoming valid and ceasing to be: the one place where rings, counts, page
 * references, R and C are kept in step.
 *
 * Locks: the HPTE and the word of its gfn are the caller's to change.
 */
#include <umbra/trace.h>

#include "hpt.h"

/**
 * hpt_make_maps() - the words of a slot's gfns
 * @mmu: the MMU; mmu->srcu held, mmu->lock not
 * @slot: the slot
 *
 * Sleeps. Return: 0 or -ENOMEM.
 */
int hpt_make_maps(struct umbra_mmu *mmu, struct umbra_memslot *slot)
{
	unsigned long *maps;

	if (READ_ONCE(slot->maps))
		return 0;
	maps = kvcalloc(slot->npages, sizeof(*maps), GFP_KERNEL_ACCOUNT);
	if (!maps)
		return -ENOMEM;
	/* A change of slots hands them over with the lock held. */
	read_lock(&mmu->lock);
	/* Of two who make them, one is too late. */
	if (!cmpxchg(&slot->maps, NULL, maps))
		maps = NULL;
	read_unlock(&mmu->lock);
	kvfree(maps);
	return 0;
}

/**
 * hpt_word() - the word of a gfn
 * @mmu: the MMU; mmu->srcu held, or mmu->slots_lock
 * @gfn: guest frame number
 * @slot: set to its slot, or to NULL
 *
 * Return: NULL where no slot is, or one that has no words yet or is on its way out.
 */
unsigned long *hpt_word(struct umbra_mmu *mmu, gfn_t gfn, struct umbra_memslot **slot)
{
	*slot = umbra_memslots_find(umbra_mmu_slots(mmu), gfn);
	if (!*slot || (*slot)->gone)
		return NULL;
	return hpt_slot_word(*slot, gfn);
}

/**
 * hpt_word_of() - the word of the gfn that a valid HPTE maps, or begins with
 * @mmu: the MMU; mmu->lock held, and mmu->srcu or mmu->slots_lock
 * @h: the HPTE
 * @guest_r: the guest's view of its second doubleword
 *
 * A slot that is on its way out still has the rings of what was not taken from it yet.
 * Return: NULL only where the rules of the audit are broken.
 */
unsigned long *hpt_word_of(struct umbra_mmu *mmu, const struct hpte *h, u64 guest_r)
{
	gfn_t gfn = hpte_gpa(guest_r, hpte_shift(h->v, guest_r)) >> PAGE_SHIFT;
	struct umbra_memslot *slot = umbra_memslots_find(umbra_mmu_slots(mmu), gfn);

	return slot ? hpt_slot_word(slot, gfn) : NULL;
}

/**
 * hpt_hw_r() - second doubleword of a valid HPTE
 * @guest_r: as the guest gave it
 * @shift: log2 of the page's size
 * @host_page: what is behind the first byte of the guest's frame (@shift <= PAGE_SHIFT), or
 *	of the page (@shift > PAGE_SHIFT); not @present: IO memory
 * @writable: the host allows writes, and the slot
 *
 * R and C begin clear, so that they tell of this mapping. Ordinary memory is never mapped
 * without being cached, whatever the guest says, since the host has it mapped so; and
 * nothing else is mapped cached, which is the caller's to see to: hpte_is_memory() lives by it.
 */
u64 hpt_hw_r(u64 guest_r, unsigned int shift, const struct umbra_host_page *host_page,
	     bool writable)
{
	u64 page = ~((1UL << shift) - 1);
	u64 host = host_page->pfn << PAGE_SHIFT;
	u64 r = guest_r & ~(HPTE_R_PINNED | HPTE_R_R | HPTE_R_C);

	if (shift < PAGE_SHIFT)
		host |= hpte_gpa(guest_r, shift) & ~PAGE_MASK;
	r = (r & ~(HPTE_R_RPN & page)) | (host & page);
	if (host_page->present)
		r = (r & ~(HPTE_R_W | HPTE_R_I | HPTE_R_G)) | HPTE_R_M;
	return writable ? r : hpte_make_readonly(r);
}

/*
 * The host may map a huge page by several entries (16M by eight of 2M, since 6.11), but
 * takes and moves it as a whole all the same.
 */
static bool is_one_huge_page(u64 pfn, unsigned int shift)
{
	return pfn_valid(pfn) && PageHuge(pfn_to_page(pfn)) &&
	       page_shift(compound_head(pfn_to_page(pfn))) >= shift;
}

/**
 * hpt_host_is_as_large() - is what the host has at an address one piece that is as large?
 * @page: its first base page, from umbra_hostpt_scan()
 * @level: what that returned
 * @shift: log2 of a guest page's size, larger than the host's pages
 */
bool hpt_host_is_as_large(const struct umbra_host_page *page, int level, unsigned int shift)
{
	unsigned int host_shift = level == UMBRA_LEVEL_1G ? PUD_SHIFT :
				  level == UMBRA_LEVEL_2M ? PMD_SHIFT : PAGE_SHIFT;

	return (host_shift >= shift || is_one_huge_page(page->pfn, shift)) &&
	       IS_ALIGNED(page->pfn << PAGE_SHIFT, 1UL << shift);
}

/* Every gfn of a page was written; those behind the first have words of their own. */
static void note_changed(unsigned long *word, unsigned int shift)
{
	unsigned long i;

	*word |= UMBRA_REVMAP_C;
	for (i = 1; shift > PAGE_SHIFT && i < 1UL << (shift - PAGE_SHIFT); i++) {
		umbra_revmap_lock(&word[i]);
		word[i] |= UMBRA_REVMAP_C;
		umbra_revmap_unlock(&word[i]);
	}
}

/**
 * hpt_collect() - tell the word and the host what the hardware noted of an HPTE
 * @mmu: the MMU
 * @h: the HPTE
 * @rc: of R and C, what was noted and is about to be forgotten
 * @word: of its gfn
 */
void hpt_collect(struct umbra_mmu *mmu, const struct hpte *h, u64 rc, unsigned long *word)
{
	u64 pfn = (h->r & HPTE_R_RPN_3_0) >> PAGE_SHIFT;

	if (rc & HPTE_R_R)
		*word |= UMBRA_REVMAP_R;
	if (rc & HPTE_R_C)
		note_changed(word, hpte_shift(h->v, h->r));
	if (!hpte_is_memory(h->r))
		return;
	if (rc & HPTE_R_C)
		umbra_pfn_set_dirty(pfn);
	if (rc & HPTE_R_R)
		umbra_pfn_set_accessed(pfn);
}

/**
 * hpt_settle() - what an HPTE was, now that the hardware has forgotten it
 * @mmu: the MMU
 * @index: of the HPTE, which has left its ring and is not counted any more
 * @h: as it ended, with R and C
 * @word: of its gfn
 *
 * What the hardware noted is told to the guest's view, to the word and to the host, and
 * the page is given back if it was pinned.
 */
void hpt_settle(struct umbra_mmu *mmu, unsigned long index, const struct hpte *h,
		unsigned long *word)
{
	struct umbra_rev *rev = &mmu->arch.hpt.rev[index];
	u64 rc = h->r & (HPTE_R_R | HPTE_R_C);

	hpt_note_rc(&mmu->arch.hpt, index, rc);
	if (rc)
		hpt_collect(mmu, h, rc, word);
	if (rev->guest_r & HPTE_R_PINNED) {
		rev->guest_r &= ~HPTE_R_PINNED;
		umbra_pfn_unmapped(&mmu->refs, (h->r & HPTE_R_RPN_3_0) >> PAGE_SHIFT);
	}
	if (trace_umbra_zap_enabled())
		trace_umbra_zap(mmu->id,
				hpte_gpa(rev->guest_r, hpte_shift(h->v, h->r)) >> PAGE_SHIFT,
				1, h->r);
}

/**
 * hpt_unlink() - an HPTE is not valid any more
 * @mmu: the MMU
 * @index: of the HPTE, which hpt_invalidate() was called for
 * @h: as it ended, with R and C
 * @word: of its gfn, whose ring it leaves
 */
void hpt_unlink(struct umbra_mmu *mmu, unsigned long index, const struct hpte *h,
		unsigned long *word)
{
	umbra_revmap_remove(mmu->arch.hpt.rev, word, index);
	atomic64_dec(&mmu->stat.pages[0]);
	hpt_settle(mmu, index, h, word);
}
