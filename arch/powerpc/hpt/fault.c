// SPDX-License-Identifier: GPL-2.0-only
/*
 * An access that the hardware could not do: the guest's own fault, memory that is to be
 * brought, or MMIO. HDSI, HISI and the injection of faults all come here.
 *
 * The HPTE is looked up first and let go; hpt_map() installs only if it is still what it
 * was. What the host says goes by the shared fault path and its retry rule.
 */
#include <linux/srcu.h>
#include <umbra/trace.h>
#include <asm/reg.h>

#include "hpt.h"

/* Host page by page: what a fault found, or what the host's tables say. */
static int choose_page(struct umbra_mmu *mmu, struct umbra_fault *fault, gfn_t first,
		       unsigned int shift, struct umbra_host_page *page)
{
	unsigned long hva = first == fault->gfn ? fault->hva : umbra_slot_hva(fault->slot, first);
	bool known = !umbra_pfn_is_error(fault->page.pfn);

	if (shift > PAGE_SHIFT &&
	    umbra_notifier_covers(&mmu->notifier, hva, 1UL << shift))
		return known ? UMBRA_FAULT_RETRY : UMBRA_FAULT_SLEEP;
	if (known && shift <= PAGE_SHIFT) {
		page->pfn = fault->page.pfn;
		page->present = pfn_valid(page->pfn);
		page->writable = fault->page.writable;
	} else if (!hpt_host_serves(mmu, hva, shift, page) ||
		   (fault->write && !page->writable)) {
		/* The host was asked for the page, and has none that is large enough. */
		return known ? -EFAULT : UMBRA_FAULT_SLEEP;
	}
	return 0;
}

/* Lock the HPTE that the fault saw; false when there is a smaller table now. */
static __always_inline bool lock_seen(struct umbra_hpt *hpt,
				      const struct umbra_hpt_expect *expect, struct hpte *h)
{
	if (expect->index >= hpt_count(hpt))
		return false;
	hpte_lock(hpt, expect->index);
	*h = hpte_read(hpt, expect->index);
	return true;
}

/* Is the HPTE still what the fault saw, and does it still lack what the guest needs? */
static bool still_wanted(struct umbra_hpt *hpt, const struct umbra_hpt_expect *expect,
			 const struct hpte *h)
{
	u64 changed = expect->guest_r ^ hpt->rev[expect->index].guest_r;

	if (((h->v ^ expect->v) & ~HPTE_V_USED) || !(h->v & HPTE_V_USED) ||
	    (changed & ~(HPTE_R_PINNED | HPTE_R_R | HPTE_R_C)))
		return false;
	return !(h->v & HPTE_V_VALID) || hpt_denies(expect->access, h->r);
}

static void install(struct umbra_mmu *mmu, struct umbra_fault *fault, unsigned long index,
		    struct hpte *h, unsigned long *word, u64 hw_r)
{
	if (h->v & HPTE_V_VALID) {
		hpt_invalidate(mmu, index, h);
		umbra_revmap_lock(word);
		hpt_unlink(mmu, index, h, word);
		umbra_revmap_unlock(word);
	}
	if (mmu->policy == UMBRA_POLICY_PINNED && fault->page.counted) {
		mmu->arch.hpt.rev[index].guest_r |= HPTE_R_PINNED;
		fault->page.counted = false;
	}
	umbra_revmap_lock(word);
	hpt_link(mmu, index, word);
	umbra_revmap_unlock(word);
	h->v = (h->v & ~HPTE_V_ABSENT) | HPTE_V_VALID;
	h->r = hw_r;
	hpte_write(&mmu->arch.hpt, index, *h);
	trace_umbra_map(mmu->id, fault->gfn, 1, hw_r, fault->write);
}

/* @prepared and @prepare of struct umbra_mmu_ops */
bool hpt_prepared(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault)
{
	return READ_ONCE(fault->slot->maps);
}

int hpt_prepare(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault)
{
	return hpt_make_maps(mv->mmu, fault->slot);
}

/* @map and @map_exclusive of struct umbra_mmu_ops */
int hpt_map(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	struct umbra_vcpu *vcpu = container_of(mv, struct umbra_vcpu, mmu);
	const struct umbra_hpt_expect *expect = &vcpu->arch.expect;
	struct umbra_mmu *mmu = mv->mmu;
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	unsigned int shift = expect->shift;
	gfn_t first = hpte_gpa(expect->guest_r, shift) >> PAGE_SHIFT;
	struct umbra_memslot *slot = fault->slot;
	struct umbra_host_page page;
	unsigned long *word;
	struct hpte h;
	int ret;

	/* A guest page may begin below the slot that it ends in. */
	if (shift > PAGE_SHIFT &&
	    (!umbra_slot_holds(slot, first) ||
	     !umbra_slot_holds(slot, first + (1UL << (shift - PAGE_SHIFT)) - 1)))
		return -EFAULT;
	word = hpt_slot_word(slot, first);
	if (!word)
		return UMBRA_FAULT_RETRY;
	ret = choose_page(mmu, fault, first, shift, &page);
	if (ret)
		return ret;
	if (!page.present && !(expect->guest_r & HPTE_R_I))
		return -EFAULT;

	if (!lock_seen(hpt, expect, &h))
		return UMBRA_FAULT_RETRY;
	if (still_wanted(hpt, expect, &h)) {
		install(mmu, fault, expect->index, &h, word,
			hpt_hw_r(hpt->rev[expect->index].guest_r, shift, &page,
				 page.writable && !umbra_slot_readonly(slot)));
		mv->stat.pf_fixed++;
	} else {
		mv->stat.pf_spurious++;
	}
	hpte_unlock(hpt, expect->index);
	return UMBRA_FAULT_RETRY;
}

/* Storage key 31 in an absent HPTE: what it maps is no memory. */
static void mark_mmio(struct umbra_mmu *mmu, const struct umbra_hpt_expect *expect)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	struct hpte h;

	read_lock(&mmu->lock);
	if (lock_seen(hpt, expect, &h)) {
		if (h.v == expect->v && (h.v & HPTE_V_ABSENT)) {
			h.r |= HPTE_R_KEY;
			hpte_write(hpt, expect->index, h);
		}
		hpte_unlock(hpt, expect->index);
	}
	read_unlock(&mmu->lock);
}

/*
 * The HPTE of an access, as it is now. HPT_REFLECT with @cause when the guest has none or
 * it denies the access; HPT_RETRY when the hardware would do it now; else negative.
 */
static __always_inline int look_up(struct umbra_vcpu *vcpu,
				   const struct hpt_access *access, u64 *cause)
{
	struct umbra_hpt_expect *expect = &vcpu->arch.expect;
	struct umbra_hpt *hpt = &vcpu->vm->mmu.arch.hpt;
	struct hpt_key key;
	struct hpte h;
	long index = -1;

	*cause = access->fetch ? SRR1_ISI_NOPT : DSISR_NOHPTE;
	read_lock(&vcpu->vm->mmu.lock);
	if (hpt_make_key(hpt, access->ea, access->slbv, &key))
		index = hpt_peek(hpt, &key, &h, &expect->guest_r);
	read_unlock(&vcpu->vm->mmu.lock);
	if (index < 0)
		return access->missing ? HPT_REFLECT : HPT_RETRY;
	*cause = hpt_denies(access, expect->guest_r);
	if (*cause)
		return HPT_REFLECT;
	if ((h.v & HPTE_V_VALID) && !hpt_denies(access, h.r))
		return HPT_RETRY;
	expect->index = index;
	expect->v = h.v;
	expect->shift = hpte_shift(h.v, expect->guest_r);
	expect->access = access;
	return -EAGAIN;
}

/**
 * hpt_fault() - settle an access that the hardware could not do
 * @vcpu: the vCPU; its own thread calls, with mmu->srcu held
 * @access: the access
 * @cause: for HPT_REFLECT: the bits of DSISR, or of SRR1 for a fetch; that of a store,
 *	DSISR_ISSTORE, is left to the caller
 * @gpa: set unless it is HPT_REFLECT or HPT_RETRY without a lookup
 *
 * Sleeps. Return: one of enum hpt_outcome; what umbra_mmu_fault() returns; -EFAULT also
 * when a guest page is larger than what the host maps, or is IO memory that the guest
 * wants cached.
 */
int hpt_fault(struct umbra_vcpu *vcpu, const struct hpt_access *access, u64 *cause,
	      gpa_t *gpa)
{
	struct umbra_hpt_expect *expect = &vcpu->arch.expect;
	struct umbra_fault *fault = &vcpu->arch.fault;
	int ret = look_up(vcpu, access, cause);

	if (ret != -EAGAIN)
		return ret;
	*gpa = hpte_gpa(expect->guest_r, expect->shift) |
	       (access->ea & ((1UL << expect->shift) - 1));
	fault->gpa = *gpa;
	fault->gfn = *gpa >> PAGE_SHIFT;
	fault->write = access->store;
	fault->exec = access->fetch;
	fault->present = expect->v & HPTE_V_VALID;
	ret = umbra_mmu_fault_atomic(&vcpu->mmu, fault);
	if (ret == UMBRA_FAULT_SLEEP)
		ret = umbra_mmu_fault(&vcpu->mmu, fault);
	if (ret != UMBRA_FAULT_EMULATE)
		return ret == UMBRA_FAULT_RETRY ? HPT_RETRY : ret;
	if (!fault->slot)
		mark_mmio(&vcpu->vm->mmu, expect);
	return HPT_MMIO;
}
