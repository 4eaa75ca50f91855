// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest access that had no translation: the path that all MMUs share.
 *
 *	locate		slot and hva; outside memory it is MMIO
 *	fast		the translation is there and lacks only what aging or write
 *			protection took: restored without a lock
 *	map		with mmu->lock held for reading, from the host's own page tables,
 *			neighbours included
 *	bring, map	the host is asked to fault the page in, then as before
 *	get, map	the page is faulted in and a reference taken, with no lock held;
 *			it is installed only if no invalidation that covers it began
 *			or ended since
 *
 * The first three never sleep and are umbra_mmu_fault_atomic(); the others are
 * umbra_mmu_fault(). Memory that is not ordinary pages (IO memory) is only served by
 * the last, and so is policy pinned, under which each mapping needs a reference.
 *
 * Invariants
 * - umbra_fault_stale() is the one place that says whether a fault may install.
 *   It is asked with mmu->lock held, after the lookup and before the install.
 * - A reference taken here is given back here, unless the mapping keeps it.
 * - No loop: a fault that lost a race returns to the guest, which repeats the
 *   access, so that signals and requests are served in between.
 */
#include <linux/moduleparam.h>
#include <umbra/mmu.h>
#include <umbra/trace.h>

/*
 * A vCPU that comes from one page that the host had not to the next is going through
 * fresh memory: the host is asked for the rest of this many aligned pages at once.
 */
static unsigned int fault_ahead = 16;
module_param(fault_ahead, uint, 0644);
MODULE_PARM_DESC(fault_ahead, "pages that the host is asked for when a guest goes through memory that it has not: 1 for no more than the one");

static int locate(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	fault->slot = umbra_memslots_find(umbra_mmu_slots(mv->mmu), fault->gfn);
	if (!fault->slot ||
	    (fault->write && umbra_slot_readonly(fault->slot))) {
		mv->stat.pf_mmio++;
		return UMBRA_FAULT_EMULATE;
	}
	fault->hva = umbra_slot_hva(fault->slot, fault->gfn);
	fault->page = (struct umbra_pfn) { .pfn = UMBRA_PFN_ERR };
	return UMBRA_FAULT_RETRY;
}

/**
 * umbra_fault_stale() - has what the fault found changed under it?
 * @mmu: the MMU; mmu->lock held
 * @fault: with slot and hva, and seq if the page was looked up outside the lock
 *
 * A fault that has no page yet reads the host's tables under the lock, and only
 * needs that nothing is being removed. One that brought a page also needs that
 * no removal ended since it sampled the sequence.
 */
bool umbra_fault_stale(struct umbra_mmu *mmu, const struct umbra_fault *fault)
{
	if (fault->slot->gone)
		return true;
#ifdef UMBRA_TEST
	if (READ_ONCE(mmu->hook_no_retry))
		return false;
#endif
	if (umbra_pfn_is_error(fault->page.pfn))
		return umbra_notifier_covers(&mmu->notifier, fault->hva, PAGE_SIZE);
	return umbra_notifier_retry(&mmu->notifier, fault->seq, fault->hva,
				    PAGE_SIZE);
}

/* Beside other faults, where the kind of MMU can do that. */
static int map_shared(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	struct umbra_mmu *mmu = mv->mmu;
	bool alone = mmu->ops->alone;
	int ret = UMBRA_FAULT_SLEEP;

	if (alone)
		write_lock(&mmu->lock);
	else
		read_lock(&mmu->lock);
	if (!umbra_fault_stale(mmu, fault))
		ret = mmu->ops->map(mv, fault);
	if (alone)
		write_unlock(&mmu->lock);
	else
		read_unlock(&mmu->lock);
	return ret;
}

/* What could not be done beside other faults is done alone. */
static int map_exclusive(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	struct umbra_mmu *mmu = mv->mmu;
	int ret = UMBRA_FAULT_RETRY;

	write_lock(&mmu->lock);
	if (umbra_fault_stale(mmu, fault)) {
		mv->stat.pf_retry++;
		trace_umbra_retry(mmu->id, fault->gfn, fault->seq);
		pr_debug("retry: vm %u gfn %llx seq %lu\n", mmu->id, fault->gfn,
			 fault->seq);
	} else {
		ret = mmu->ops->map_exclusive(mv, fault);
	}
	write_unlock(&mmu->lock);
	return ret;
}

/**
 * umbra_mmu_fault_atomic() - settle a fault without sleeping, if that can be
 * @mv: the vCPU; its own thread calls, with mmu->srcu held and interrupts on.
 *	Preemption may be off.
 * @fault: the caller's six fields are set
 *
 * Return: UMBRA_FAULT_RETRY when the guest can repeat the access,
 * UMBRA_FAULT_EMULATE when it is MMIO, UMBRA_FAULT_SLEEP when umbra_mmu_fault()
 * must be called.
 */
int umbra_mmu_fault_atomic(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	struct umbra_mmu *mmu = mv->mmu;
	int ret;

	mv->stat.pf_taken++;
	trace_umbra_fault(mmu->id, fault->gpa, fault->write, fault->exec,
			  fault->present);
	ret = locate(mv, fault);
	if (ret != UMBRA_FAULT_RETRY)
		return ret;
	if (mmu->ops->fast && mmu->ops->fast(mv, fault)) {
		mv->stat.pf_fast++;
		return UMBRA_FAULT_RETRY;
	}
	if (mmu->policy == UMBRA_POLICY_PINNED || !mmu->ops->prepared(mv, fault))
		return UMBRA_FAULT_SLEEP;
	ret = map_shared(mv, fault);
	umbra_audit_after(mmu, "map");
	return ret;
}

/*
 * Have the host bring the page, and in a sequential run those behind it. -EAGAIN when the
 * guest need not wait for what is to be read.
 */
static int bring(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault)
{
	const struct umbra_memslot *slot = fault->slot;
	unsigned int ahead = clamp(READ_ONCE(fault_ahead), 1U, 512U);
	gfn_t end = fault->gfn + 1;

	if (fault->gfn == mv->next_gfn)
		end = min_t(gfn_t, roundup(end, ahead), slot->base_gfn + slot->npages);
	if (fault->nowait && !umbra_pfn_ready(fault->hva, fault->write))
		return -EAGAIN;
	mv->next_gfn = end;
	return umbra_pfn_populate(mv->mmu->mm, fault->hva, end - fault->gfn,
				  fault->write);
}

/* The page by a reference, whatever memory it is. */
static int get_and_map(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	struct umbra_mmu *mmu = mv->mmu;
	unsigned int flags = 0;
	int ret;

	if (fault->write)
		flags |= UMBRA_PFN_WRITE;
	if (mmu->policy == UMBRA_POLICY_PINNED)
		flags |= UMBRA_PFN_PIN;
	fault->seq = umbra_notifier_sample(&mmu->notifier);
	umbra_pfn_get(&mmu->refs, mmu->mm, fault->hva, flags, &fault->page);
	if (umbra_pfn_is_error(fault->page.pfn))
		return umbra_pfn_errno(fault->page.pfn);

	ret = map_shared(mv, fault);
	if (ret == UMBRA_FAULT_SLEEP)
		ret = map_exclusive(mv, fault);
	umbra_pfn_put(&mmu->refs, &fault->page, flags);
	return ret;
}

/**
 * umbra_mmu_fault() - settle a fault, faulting the page in
 * @mv: the vCPU; its own thread calls, with mmu->srcu held
 * @fault: as for umbra_mmu_fault_atomic(), which was called before
 *
 * Sleeps. Return: UMBRA_FAULT_RETRY when the guest can repeat the access: it may
 * have been settled, or the host changed meanwhile; UMBRA_FAULT_EMULATE when a
 * change of slots made it MMIO; UMBRA_FAULT_WAIT only with @fault->nowait, under policy
 * notified; -EFAULT when the host has no such memory or does
 * not allow the access; -EHWPOISON when the memory is bad; -ENOMEM; -EINTR.
 */
int umbra_mmu_fault(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	struct umbra_mmu *mmu = mv->mmu;
	int ret;

	ret = locate(mv, fault);
	if (ret != UMBRA_FAULT_RETRY)
		return ret;
	ret = mmu->ops->prepare(mv, fault);
	if (ret)
		return ret;

	ret = UMBRA_FAULT_SLEEP;
	if (mmu->policy == UMBRA_POLICY_NOTIFIED) {
		switch (bring(mv, fault)) {
		case 0:
			ret = map_shared(mv, fault);
			break;
		case -EAGAIN:
			return UMBRA_FAULT_WAIT;
		}
	}
	if (ret == UMBRA_FAULT_SLEEP)
		ret = get_and_map(mv, fault);
	umbra_audit_after(mmu, "fault");
	return ret;
}
