// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is true of the table whenever mmu->lock can be taken for writing, and the check of
 * it; besides, what the table says of one gfn, and all of it as text.
 *
 * Rules
 *  1. No HPTE is locked.
 *  2. Each valid HPTE maps a gfn of a slot, which has a ring. Each entry of a ring is a valid
 *     HPTE of that gfn, and its neighbours agree. There are as many entries as valid HPTEs:
 *     so each of these is in one ring, and nobody walks a ring for each of its entries.
 *  3. It maps the page that the host has there, writable only if the host lets it, and
 *     allows nothing that the guest's view does not.
 *  4. An HPTE that is not valid holds no frame but the guest's.
 *  5. The count of valid HPTEs is true, and that of the pages that they hold (the caller
 *     compares it).
 */
#include <linux/seq_file.h>

#include "hpt.h"

/* Bits that the guest's view and the hardware's have in common. */
#define SAME_R (HPTE_R_KEY | HPTE_R_N)

static void check_host(struct umbra_audit_run *run, struct umbra_memslot *slot, gfn_t gfn,
		       unsigned int shift, const struct hpte *h)
{
	u64 pfn = (h->r & HPTE_R_RPN_3_0 & ~((1UL << shift) - 1)) >> PAGE_SHIFT;
	unsigned long hva = umbra_slot_hva(slot, gfn);
	struct umbra_host_page page;

	if (!run->host || umbra_notifier_covers(&run->mmu->notifier, hva, PAGE_SIZE)) {
		run->out->skipped++;
		return;
	}
	/* IO memory is none of the pages that can be read in place. */
	if (!umbra_hostpt_scan(run->mmu->mm, hva, &page, 1) || !page.present) {
		if (pfn_valid(pfn))
			umbra_audit_violation(run, gfn, 1, h->r, "the host has no page there");
		return;
	}
	if (page.pfn != pfn)
		umbra_audit_violation(run, gfn, 1, h->r, "the host has pfn %llx", page.pfn);
	else if (hpte_writable(h->r) && (!page.writable || umbra_slot_readonly(slot)))
		umbra_audit_violation(run, gfn, 1, h->r, "writable, and the host's is not");
}

static void check_valid(struct umbra_audit_run *run, unsigned long index, const struct hpte *h)
{
	struct umbra_hpt *hpt = &run->mmu->arch.hpt;
	u64 guest_r = hpt->rev[index].guest_r;
	unsigned int shift = hpte_shift(h->v, guest_r);
	gfn_t gfn = hpte_gpa(guest_r, shift) >> PAGE_SHIFT;
	unsigned long *word = hpt_word_of(run->mmu, h, guest_r);

	run->out->sptes++;
	if (guest_r & HPTE_R_PINNED)
		run->out->refs_held++;
	if (!word) {
		umbra_audit_violation(run, gfn, 1, h->r, "valid where no slot is");
		return;
	}
	if (!(*word & UMBRA_REVMAP_PRESENT))
		umbra_audit_violation(run, gfn, 1, h->r, "HPTE %lx: its gfn has no ring", index);
	if (((h->r ^ guest_r) & SAME_R) || (hpte_writable(h->r) && !hpte_writable(guest_r)))
		umbra_audit_violation(run, gfn, 1, h->r, "the guest's view is %llx", guest_r);
	check_host(run, umbra_memslots_find(umbra_mmu_slots(run->mmu), gfn), gfn, shift, h);
}

static void check_ring(struct umbra_audit_run *run, gfn_t gfn, unsigned long word, u64 *linked)
{
	struct umbra_hpt *hpt = &run->mmu->arch.hpt;
	unsigned long left = hpt_count(hpt);
	u32 first = word & UMBRA_REVMAP_INDEX, index = first, next;

	if (word >> UMBRA_REVMAP_LOCK_BIT)
		umbra_audit_violation(run, gfn, 1, word, "its word is locked");
	if (!(word & UMBRA_REVMAP_PRESENT))
		return;
	do {
		struct hpte h;
		u64 guest_r;

		if (index >= hpt_count(hpt) || !left--) {
			umbra_audit_violation(run, gfn, 1, word, "its ring has no end");
			return;
		}
		h = hpte_read(hpt, index);
		guest_r = hpt->rev[index].guest_r;
		if (!(h.v & HPTE_V_VALID) ||
		    hpte_gpa(guest_r, hpte_shift(h.v, guest_r)) >> PAGE_SHIFT != gfn)
			umbra_audit_violation(run, gfn, 1, h.v,
					      "HPTE %x of its ring is not its own", index);
		(*linked)++;
		next = hpt->rev[index].next;
		if (next >= hpt_count(hpt) || hpt->rev[next].prev != index) {
			umbra_audit_violation(run, gfn, 1, word,
					      "HPTEs %x and %x of its ring disagree", index, next);
			return;
		}
		index = next;
	} while (index != first);
}

static void check_rings(struct umbra_audit_run *run, u64 *linked)
{
	struct umbra_memslots *set = umbra_mmu_slots(run->mmu);
	unsigned int i;
	unsigned long page;

	for (i = 0; i < set->count; i++) {
		struct umbra_memslot *slot = set->slots[i];
		unsigned long *maps = slot->maps;

		for (page = 0; maps && page < slot->npages; page++)
			check_ring(run, slot->base_gfn + page, maps[page], linked);
	}
}

/* @audit of struct umbra_mmu_ops */
void hpt_audit(struct umbra_audit_run *run)
{
	struct umbra_hpt *hpt = &run->mmu->arch.hpt;
	u64 valid = 0, linked = 0, counted;
	unsigned long index;
	int idx;

	if (!hpt->entries)
		return;
	run->out->tables = 1;
	idx = srcu_read_lock(&run->mmu->srcu);
	for (index = 0; index < hpt_count(hpt); index++) {
		struct hpte h;

		if (!hpt->entries[2 * index] && !hpt->entries[2 * index + 1])
			continue;
		h = hpte_read(hpt, index);
		if (test_bit(HPTE_LOCK_NR, hpte_lock_word(hpt, index)))
			umbra_audit_violation(run, 0, 1, h.v, "HPTE %lx is locked", index);
		if (h.v & HPTE_V_VALID) {
			valid++;
			check_valid(run, index, &h);
		} else if ((h.r ^ hpt->rev[index].guest_r) & HPTE_R_RPN_3_0) {
			umbra_audit_violation(run, 0, 1, h.r, "HPTE %lx is not valid", index);
		}
	}
	check_rings(run, &linked);
	srcu_read_unlock(&run->mmu->srcu, idx);
	counted = atomic64_read(&run->mmu->stat.pages[0]);
	if (counted != valid || linked != valid)
		umbra_audit_violation(run, 0, 1, 0, "%llu HPTEs counted, %llu valid, %llu in rings",
				      counted, valid, linked);
}

/* @gfn_info of struct umbra_mmu_ops */
void hpt_gfn_info(struct umbra_mmu *mmu, struct umbra_gfn_info *info)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	struct umbra_memslot *slot;
	unsigned long *word = hpt_word(mmu, info->gfn, &slot);
	u32 first, index;

	if (!word)
		return;
	umbra_revmap_lock(word);
	if (*word & UMBRA_REVMAP_R)
		info->flags |= UMBRA_GFN_ACCESSED;
	if (*word & UMBRA_REVMAP_C)
		info->flags |= UMBRA_GFN_DIRTY;
	if (*word & UMBRA_REVMAP_PRESENT) {
		first = *word & UMBRA_REVMAP_INDEX;
		index = first;
		info->flags |= UMBRA_GFN_PRESENT;
		info->level = 1;
		do {
			struct hpte h = hpte_read(hpt, index);

			info->spte = h.r;
			info->pfn = (h.r & HPTE_R_RPN_3_0) >> PAGE_SHIFT;
			if (hpte_writable(h.r))
				info->flags |= UMBRA_GFN_WRITABLE;
			if (h.r & HPTE_R_R)
				info->flags |= UMBRA_GFN_ACCESSED;
			if (h.r & HPTE_R_C)
				info->flags |= UMBRA_GFN_DIRTY;
			info->sptes++;
			index = hpt->rev[index].next;
		} while (index != first);
	}
	umbra_revmap_unlock(word);
}

/* @dump of struct umbra_mmu_ops */
void hpt_dump(struct umbra_mmu *mmu, struct seq_file *m)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	unsigned long index;

	seq_puts(m, "   index                v                r          guest r\n");
	if (!hpt->entries)
		return;
	for (index = 0; index < hpt_count(hpt); index++) {
		struct hpte h = hpte_read(hpt, index);

		if (h.v & HPTE_V_USED)
			seq_printf(m, "%8lx %16llx %16llx %16llx %s\n", index, h.v, h.r,
				   hpt->rev[index].guest_r,
				   h.v & HPTE_V_VALID ? "valid" : "absent");
	}
}
