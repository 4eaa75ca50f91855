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
 * @slot: the slot; mmu->srcu held, mmu->lock not
 *
 * Sleeps. Return: 0 or -ENOMEM.
 */
int hpt_make_maps(struct umbra_memslot *slot)
{
	unsigned long *maps;

	if (READ_ONCE(slot->maps))
		return 0;
	maps = kvcalloc(slot->npages, sizeof(*maps), GFP_KERNEL_ACCOUNT);
	if (!maps)
		return -ENOMEM;
	/* Of two who make them, one is too late. */
	if (cmpxchg(&slot->maps, NULL, maps))
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
 * @pfn: host frame behind the first byte of the guest's frame (@shift <= PAGE_SHIFT), or
 *	of the page (@shift > PAGE_SHIFT)
 * @writable: the host allows writes
 *
 * R and C begin clear, so that they tell of this mapping. Ordinary memory is never mapped
 * without being cached, whatever the guest says, since the host has it mapped so.
 */
u64 hpt_hw_r(u64 guest_r, unsigned int shift, u64 pfn, bool writable)
{
	u64 page = ~((1UL << shift) - 1);
	u64 host = pfn << PAGE_SHIFT;
	u64 r = guest_r & ~(HPTE_R_PINNED | HPTE_R_R | HPTE_R_C);

	if (shift < PAGE_SHIFT)
		host |= hpte_gpa(guest_r, shift) & ~PAGE_MASK;
	r = (r & ~(HPTE_R_RPN & page)) | (host & page);
	if (pfn_valid(pfn))
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
 * hpt_host_serves() - does the host have memory for a whole guest page, as it is?
 * @mmu: the MMU; mmu->lock held and umbra_notifier_covers() asked
 * @hva: of the guest page's first byte, or of the host page around it
 * @shift: log2 of the guest page's size
 * @page: filled in
 *
 * A guest page larger than the host's pages must lie within one mapping of the host's, or
 * one huge page, so that whatever the host does to it is done to all of it.
 */
bool hpt_host_serves(struct umbra_mmu *mmu, unsigned long hva, unsigned int shift,
		     struct umbra_host_page *page)
{
	int level = umbra_hostpt_scan(mmu->mm, hva & PAGE_MASK, page, 1);
	unsigned int host_shift;

	if (!level || !page->present)
		return false;
	host_shift = level == UMBRA_LEVEL_1G ? PUD_SHIFT :
		     level == UMBRA_LEVEL_2M ? PMD_SHIFT : PAGE_SHIFT;
	if (shift <= PAGE_SHIFT)
		return true;
	return (host_shift >= shift || is_one_huge_page(page->pfn, shift)) &&
	       IS_ALIGNED(page->pfn << PAGE_SHIFT, 1UL << shift);
}

/**
 * hpt_link() - an HPTE becomes valid
 * @mmu: the MMU
 * @index: of the HPTE, which is in no ring
 * @word: of its gfn
 */
void hpt_link(struct umbra_mmu *mmu, unsigned long index, unsigned long *word)
{
	umbra_revmap_add(mmu->arch.hpt.rev, word, index);
	atomic64_inc(&mmu->stat.pages[0]);
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
	if (!pfn_valid(pfn))
		return;
	if (rc & HPTE_R_C)
		umbra_pfn_set_dirty(pfn);
	if (rc & HPTE_R_R)
		umbra_pfn_set_accessed(pfn);
}

/**
 * hpt_unlink() - an HPTE is not valid any more
 * @mmu: the MMU
 * @index: of the HPTE, which hpt_invalidate() was called for
 * @h: as it ended, with R and C
 * @word: of its gfn, whose ring it leaves
 *
 * What the hardware noted is told to the guest's view, to the word and to the host, and
 * the page is given back if it was pinned.
 */
void hpt_unlink(struct umbra_mmu *mmu, unsigned long index, const struct hpte *h,
		unsigned long *word)
{
	struct umbra_rev *rev = &mmu->arch.hpt.rev[index];
	u64 pfn = (h->r & HPTE_R_RPN_3_0) >> PAGE_SHIFT;
	u64 rc = h->r & (HPTE_R_R | HPTE_R_C);

	umbra_revmap_remove(mmu->arch.hpt.rev, word, index);
	atomic64_dec(&mmu->stat.pages[0]);
	hpt_note_rc(&mmu->arch.hpt, index, rc);
	hpt_collect(mmu, h, rc, word);
	if (rev->guest_r & HPTE_R_PINNED) {
		rev->guest_r &= ~HPTE_R_PINNED;
		umbra_pfn_unmapped(&mmu->refs, pfn);
	}
	trace_umbra_zap(mmu->id, hpte_gpa(rev->guest_r, hpte_shift(h->v, h->r)) >> PAGE_SHIFT,
			1, h->r);
}
