// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is true of a leaf, whichever MMU it is of, and the check of it.
 *
 * Rules
 *  1. Each leaf lies in a slot that is not gone, the whole of it.
 *  2. A leaf is writable only where the host lets the process write, and never in a
 *     read-only slot.
 *  3. In a slot that logs dirty pages, a writable leaf is a base page whose dirty
 *     bit is set.
 *  4. A leaf of an ordinary page maps the frame that the host's tables have there,
 *     and is not larger than the host's mapping.
 *  5. Under policy pinned each leaf of a counted page holds one reference, and
 *     under policy notified none does; the references held make up the difference
 *     of those taken and released.
 *
 * Locks: mmu->lock held for writing.
 */
#include <umbra/mmu.h>
#include "spte.h"

static void check_host(struct umbra_audit_run *run, const struct umbra_memslot *slot,
		       gfn_t gfn, int level, u64 spte)
{
	struct umbra_mmu *mmu = run->mmu;
	unsigned long hva = umbra_slot_hva(slot, gfn);
	struct umbra_host_page page;
	int host_level;

	if (!(spte & SPTE_PAGE))
		return;
	if (!run->host || umbra_notifier_covers(&mmu->notifier, hva,
						umbra_level_pages(level) << PAGE_SHIFT)) {
		run->out->skipped++;
		return;
	}
	host_level = umbra_hostpt_scan(mmu->mm, hva, &page, 1);
	if (!host_level || !page.present)
		umbra_audit_violation(run, gfn, level, spte,
				      "the host has no page there");
	else if (page.pfn != spte_pfn(spte))
		umbra_audit_violation(run, gfn, level, spte,
				      "the host has frame %llx there", page.pfn);
	else if (host_level < level)
		umbra_audit_violation(run, gfn, level, spte,
				      "the host maps level %d there", host_level);
	else if ((spte & SPTE_HOST_W) && !page.writable)
		umbra_audit_violation(run, gfn, level, spte,
				      "the host's page is read-only");
}

static void check_write(struct umbra_audit_run *run, const struct umbra_memslot *slot,
			gfn_t gfn, int level, u64 spte)
{
	if (!(spte & SPTE_W))
		return;
	if (!(spte & SPTE_HOST_W))
		umbra_audit_violation(run, gfn, level, spte,
				      "writable, but the host did not allow it");
	if (umbra_slot_readonly(slot))
		umbra_audit_violation(run, gfn, level, spte,
				      "writable in a read-only slot");
	if (umbra_slot_logs(slot) &&
	    (level > UMBRA_LEVEL_4K ||
	     !test_bit_le(gfn - slot->base_gfn, slot->dirty_bitmap)))
		umbra_audit_racy(run, gfn, level, spte,
				 "writable, but not in the dirty log");
}

/**
 * spte_audit_leaf() - the rules that hold for a leaf of any MMU
 * @run: the run
 * @gfn: first gfn of the leaf
 * @level: its level
 * @spte: the leaf
 */
void spte_audit_leaf(struct umbra_audit_run *run, gfn_t gfn, int level, u64 spte)
{
	struct umbra_mmu *mmu = run->mmu;
	bool pins = mmu->policy == UMBRA_POLICY_PINNED;
	struct umbra_memslot *slot;

	run->out->sptes++;
	slot = umbra_memslots_find(rcu_dereference_protected(mmu->memslots, true), gfn);
	if (!slot || !umbra_slot_holds(slot, gfn + umbra_level_pages(level) - 1)) {
		umbra_audit_violation(run, gfn, level, spte, "no slot is there");
		return;
	}
	check_write(run, slot, gfn, level, spte);
	check_host(run, slot, gfn, level, spte);
	if (spte & SPTE_PINNED)
		run->out->refs_held++;
	if ((spte & SPTE_PAGE) && !!(spte & SPTE_PINNED) != pins)
		umbra_audit_violation(run, gfn, level, spte,
				      "a reference against the page policy");
}
