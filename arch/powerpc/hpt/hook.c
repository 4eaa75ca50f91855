// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults put into the table by hand; see mmu/hook.c.
 *
 * Locks: mmu->lock held for writing.
 */
#include <linux/mm.h>

#include "hpt.h"

/* What is broken is for the audit to find: it does no harm, but to the guest. */
static struct hpte spoiled(u32 hook, struct hpte h)
{
	if (hook == UMBRA_HOOK_SPTE_WRITE)
		h.r = (h.r & ~HPTE_R_PPP) | 2;
	else if (hook == UMBRA_HOOK_SPTE_LOST)
		h.v = 0;
	else	/* a frame that is always there and belongs to nobody */
		h.r = (h.r & ~(HPTE_R_RPN_3_0 & PAGE_MASK)) | __pa(empty_zero_page);
	return h;
}

static int spoil(struct umbra_mmu *mmu, u32 hook, gfn_t gfn)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	struct umbra_memslot *slot;
	unsigned long *word, index;
	int idx, ret = -ENOENT;

	idx = srcu_read_lock(&mmu->srcu);
	word = hpt_word(mmu, gfn, &slot);
	if (word && (*word & UMBRA_REVMAP_PRESENT)) {
		index = *word & UMBRA_REVMAP_INDEX;
		hpte_write(hpt, index, spoiled(hook, hpte_read(hpt, index)));
		hpt_flush_all(mmu);
		ret = 0;
	}
	srcu_read_unlock(&mmu->srcu, idx);
	return ret;
}

/* What was lost or leaked is not to be held against the VM any more. */
static int repair(struct umbra_mmu *mmu)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	s64 held = 0, leaves[UMBRA_LEVEL_NUM] = { 0 };
	unsigned long index;

	for (index = 0; index < hpt_count(hpt); index++) {
		leaves[0] += !!(hpte_read(hpt, index).v & HPTE_V_VALID);
		held += !!(hpt->rev[index].guest_r & HPTE_R_PINNED);
	}
	umbra_mmu_settle(mmu, leaves, held);
	return 0;
}

/* @hook of struct umbra_mmu_ops; there is a table */
int hpt_hook(struct umbra_mmu *mmu, const struct umbra_test_hook *hook)
{
	switch (hook->hook) {
	case UMBRA_HOOK_SPTE_PFN:
	case UMBRA_HOOK_SPTE_WRITE:
	case UMBRA_HOOK_SPTE_LOST:
		return spoil(mmu, hook->hook, hook->arg);
	case UMBRA_HOOK_REPAIR:
		return repair(mmu);
	default:
		return umbra_mmu_hook(mmu, hook);
	}
}
