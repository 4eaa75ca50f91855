// SPDX-License-Identifier: GPL-2.0-only
/*
 * Installing translations: the fault side of the TDP MMU.
 *
 * With mmu->lock held for reading many faults install at once. Each entry is
 * written by compare-and-exchange from "not mapped", or from the very value that
 * was judged; who loses leaves the entry to the winner. What needs more than that
 * (a table in the place of a huge page, a huge page in the place of a table,
 * another frame) is left to tdp_map_exclusive().
 *
 * Fault-around: where the host maps base pages, the neighbours that it has present
 * are installed with the page that faulted, without A, so that aging still tells
 * which ones the guest used. Writable only if the host's entry is and the dirty log
 * is off.
 */
#include <linux/log2.h>
#include <linux/moduleparam.h>
#include "tdp.h"

/* Page-table pages that one fault can need: all levels but the root. */
#define FAULT_TABLES 4

/* Neighbours looked at for one fault, the page itself included. */
#define AROUND_MAX 64

static unsigned int fault_around = 8;

static int set_fault_around(const char *val, const struct kernel_param *kp)
{
	unsigned int pages;
	int err = kstrtouint(val, 0, &pages);

	if (err)
		return err;
	if (pages < 1 || pages > AROUND_MAX || !is_power_of_2(pages))
		return -EINVAL;
	WRITE_ONCE(fault_around, pages);
	return 0;
}

static const struct kernel_param_ops fault_around_ops = {
	.set = set_fault_around,
	.get = param_get_uint,
};
module_param_cb(fault_around, &fault_around_ops, &fault_around, 0644);
MODULE_PARM_DESC(fault_around, "base pages mapped for one fault where the host has them: a power of two up to 64");

/* An spte for @pfn; @used says that the guest is about to access it. */
static u64 make_spte(const struct umbra_memslot *slot, u64 pfn, int level,
		     bool host_w, bool write, bool used)
{
	u64 spte = pfn << PAGE_SHIFT | SPTE_P | SPTE_U;

	if (level > UMBRA_LEVEL_4K)
		spte |= SPTE_LARGE;
	if (used || !tdp_caps.ad)
		spte |= SPTE_A;
	if (host_w && !umbra_slot_readonly(slot)) {
		spte |= SPTE_HOST_W;
		if (write || !umbra_slot_logs(slot))
			spte |= SPTE_W;
		if (write)
			spte |= SPTE_D;
	}
	return spte;
}

/*
 * The entry of @level for @gfn, making the tables on the way. NULL when a huge
 * mapping is in the way, or the cache ran out.
 */
static u64 *descend(struct umbra_mmu_vcpu *mv, gfn_t gfn, int level)
{
	u64 *table = mv->mmu->arch.root;
	int l;

	for (l = mv->mmu->arch.root_level; l > level; l--) {
		u64 *sptep = &table[tdp_index(gfn, l)];
		u64 spte = READ_ONCE(*sptep);

		if (!spte_is_mapped(spte)) {
			u64 new;

			if (!mv->cache.count)
				return NULL;
			table = umbra_cache_take(&mv->cache);
			tdp_set_parent(table, sptep);
			new = __pa(table) | SPTE_TABLE;
			if (try_cmpxchg64(sptep, &spte, new))
				continue;
			umbra_cache_give_back(&mv->cache, table);
		}
		if (spte_is_leaf(spte, l))
			return NULL;
		table = spte_child(spte);
	}
	return &table[tdp_index(gfn, level)];
}

/* The page must be known dirty before the guest can write to it. */
static void log_write(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault, u64 spte)
{
	if (spte & SPTE_W)
		umbra_mark_dirty(mv, fault->slot, fault->gfn);
}

/*
 * Put @spte where the fault is. Beside other faults only an entry that is not
 * mapped, or that maps the same frame, may be changed.
 */
static int install(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault, u64 *sptep,
		   u64 spte, int level)
{
	u64 old = READ_ONCE(*sptep);

	if (spte_is_mapped(old)) {
		if (!spte_is_leaf(old, level) || spte_pfn(old) != spte_pfn(spte) ||
		    (old & SPTE_PINNED))
			return UMBRA_FAULT_SLEEP;
		if (spte_allows(old, fault->write)) {
			mv->stat.pf_spurious++;
			return UMBRA_FAULT_RETRY;
		}
		spte |= old & (SPTE_A | SPTE_D | SPTE_W);
	}
	if (!try_cmpxchg64(sptep, &old, spte))
		return UMBRA_FAULT_RETRY;
	spte_account(mv->mmu, umbra_level_base(fault->gfn, level), level, old, spte);
	if (umbra_slot_logs(fault->slot) && fault->write)
		log_write(mv, fault, spte);
	if (spte & SPTE_PINNED)
		fault->page.counted = false;
	mv->stat.pf_fixed++;
	return UMBRA_FAULT_RETRY;
}

/* The window of neighbours: aligned, inside the slot, in one 2M of guest and host. */
static gfn_t window(const struct umbra_mmu *mmu, const struct umbra_fault *fault,
		    unsigned int *count)
{
	const struct umbra_memslot *slot = fault->slot;
	unsigned int around = READ_ONCE(fault_around);
	unsigned long hva_page = fault->hva >> PAGE_SHIFT;
	unsigned long below, above;
	gfn_t first;

	first = max(fault->gfn & ~(gfn_t)(around - 1), slot->base_gfn);
	below = fault->gfn - first;
	above = min_t(gfn_t, around - (first & (around - 1)),
		      slot->base_gfn + slot->npages - first) - below;
	/* The host's table may begin or end inside the guest's. */
	below = min_t(unsigned long, below, hva_page & (TDP_ENTRIES - 1));
	above = min_t(unsigned long, above, TDP_ENTRIES - (hva_page & (TDP_ENTRIES - 1)));
	*count = below + above;
	/* A neighbour that is on its way out is not touched. */
	if (umbra_notifier_covers(&mmu->notifier,
				  fault->hva - (below << PAGE_SHIFT),
				  (unsigned long)*count << PAGE_SHIFT)) {
		below = 0;
		*count = 1;
	}
	return fault->gfn - below;
}

/* Neighbours lose every race: only entries that are not mapped are filled. */
static void map_around(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault,
		       u64 *sptep)
{
	struct umbra_host_page page[AROUND_MAX];
	unsigned int count, at, i;
	gfn_t first = window(mv->mmu, fault, &count);

	if (count == 1)
		return;
	at = fault->gfn - first;
	if (umbra_hostpt_scan(mv->mmu->mm, fault->hva - ((unsigned long)at << PAGE_SHIFT),
			      page, count) == 0)
		return;
	for (i = 0, sptep -= at; i < count; i++, sptep++) {
		u64 old = 0, spte;

		if (!page[i].present || READ_ONCE(*sptep))
			continue;
		spte = make_spte(fault->slot, page[i].pfn, UMBRA_LEVEL_4K,
				 page[i].writable, false, false) | SPTE_PAGE;
		if (!try_cmpxchg64(sptep, &old, spte))
			continue;
		spte_account(mv->mmu, first + i, UMBRA_LEVEL_4K, 0, spte);
		mv->stat.pf_around++;
	}
}

/*
 * The page is not known: what the host's tables have is mapped, neighbours too.
 */
static int map_from_host(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	struct umbra_host_page page;
	int host_level, level, ret;
	u64 *sptep, spte;

	host_level = umbra_hostpt_scan(mv->mmu->mm, fault->hva, &page, 1);
	if (!host_level || !page.present || (fault->write && !page.writable))
		return UMBRA_FAULT_SLEEP;

	level = spte_goal_level(fault, min(host_level, tdp_caps.max_level));
	sptep = descend(mv, fault->gfn, level);
	if (!sptep)
		return UMBRA_FAULT_SLEEP;
	spte = make_spte(fault->slot, page.pfn & ~(umbra_level_pages(level) - 1), level,
			 page.writable, fault->write, true) | SPTE_PAGE;
	ret = install(mv, fault, sptep, spte, level);
	if (ret == UMBRA_FAULT_RETRY && level == UMBRA_LEVEL_4K)
		map_around(mv, fault, sptep);
	return ret;
}

/* The spte for a page that the fault brought, and its level. */
static u64 spte_for_page(struct umbra_mmu *mmu, struct umbra_fault *fault, int *level)
{
	struct umbra_pfn *pfn = &fault->page;
	struct umbra_host_page page;
	int host_level = UMBRA_LEVEL_4K;
	u64 spte, frame;

	/* Only ordinary pages are mapped huge, and only if the host still does. */
	if (pfn->counted) {
		host_level = umbra_hostpt_scan(mmu->mm, fault->hva, &page, 1);
		if (!host_level || !page.present || page.pfn != pfn->pfn)
			host_level = UMBRA_LEVEL_4K;
	}
	*level = spte_goal_level(fault, min(host_level, tdp_caps.max_level));
	frame = pfn->pfn & ~(umbra_level_pages(*level) - 1);
	spte = make_spte(fault->slot, frame, *level, pfn->writable, fault->write, true);
	if (pfn->counted)
		spte |= SPTE_PAGE;
	if (pfn->counted && mmu->policy == UMBRA_POLICY_PINNED)
		spte |= SPTE_PINNED;
	return spte;
}

/* @prepared and @prepare of struct umbra_mmu_ops */
bool tdp_prepared(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault)
{
	return mv->cache.count >= FAULT_TABLES;
}

int tdp_prepare(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault)
{
	return umbra_cache_topup(mv->mmu, &mv->cache, FAULT_TABLES);
}

/* @map of struct umbra_mmu_ops */
int tdp_map(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	u64 *sptep, spte;
	int level;

	if (umbra_pfn_is_error(fault->page.pfn))
		return map_from_host(mv, fault);

	spte = spte_for_page(mv->mmu, fault, &level);
	sptep = descend(mv, fault->gfn, level);
	if (!sptep)
		return UMBRA_FAULT_SLEEP;
	return install(mv, fault, sptep, spte, level);
}

/*
 * Clear the place of an entry of @level: what is larger, smaller or other goes. True
 * if a flush is owed.
 */
static bool clear_way(struct umbra_mmu_vcpu *mv, gfn_t gfn, int level,
		      struct list_head *doomed)
{
	struct umbra_mmu *mmu = mv->mmu;
	u64 *table = mmu->arch.root, *sptep, spte;
	int l;

	for (l = mmu->arch.root_level; l > level; l--) {
		sptep = &table[tdp_index(gfn, l)];
		spte = READ_ONCE(*sptep);
		if (!spte_is_mapped(spte))
			return false;
		if (spte_is_leaf(spte, l)) {
			tdp_clear_leaf(mmu, sptep, umbra_level_base(gfn, l), l);
			return true;
		}
		table = spte_child(spte);
	}
	sptep = &table[tdp_index(gfn, level)];
	spte = READ_ONCE(*sptep);
	if (!spte_is_mapped(spte))
		return false;
	gfn = umbra_level_base(gfn, level);
	if (spte_is_leaf(spte, level))
		tdp_clear_leaf(mmu, sptep, gfn, level);
	else
		tdp_unlink_table(mmu, sptep, gfn, level, doomed);
	return true;
}

static void make_way(struct umbra_mmu_vcpu *mv, gfn_t gfn, int level)
{
	LIST_HEAD(doomed);

	if (!clear_way(mv, gfn, level, &doomed))
		return;
	umbra_mmu_flush(mv->mmu);
	tdp_free_later(mv->mmu, &doomed);
}

/*
 * @map_exclusive of struct umbra_mmu_ops. What is in the way goes, with a flush
 * before the new translation, which is another one for the same address. The rest
 * of a huge mapping that goes comes back by faults.
 */
int tdp_map_exclusive(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	u64 *sptep, spte;
	int level;

	/* Another fault may have settled it before this one had the lock. */
	sptep = tdp_find(mv->mmu, fault->gfn, &level);
	if (sptep && spte_allows(*sptep, fault->write) &&
	    spte_pfn(*sptep) + (fault->gfn & (umbra_level_pages(level) - 1)) ==
	    fault->page.pfn) {
		mv->stat.pf_spurious++;
		return UMBRA_FAULT_RETRY;
	}

	spte = spte_for_page(mv->mmu, fault, &level);
	make_way(mv, fault->gfn, level);
	sptep = descend(mv, fault->gfn, level);
	if (!sptep)
		return UMBRA_FAULT_RETRY;
	return install(mv, fault, sptep, spte, level);
}

static u64 restored(const struct umbra_fault *fault, u64 spte, int level)
{
	u64 new = spte;

	if (new & SPTE_TRACK)
		new = (new & ~SPTE_TRACK) | SPTE_P | SPTE_A;
	if (fault->write && !(new & SPTE_W) && (new & SPTE_HOST_W)) {
		/* The dirty log counts base pages: a huge one must be split. */
		if (umbra_slot_logs(fault->slot) && level > UMBRA_LEVEL_4K)
			return spte;
		new |= SPTE_W | SPTE_D;
	}
	return new;
}

/*
 * @fast of struct umbra_mmu_ops. The leaf is judged and changed without a lock: the
 * exchange succeeds only on the value that was judged, and a host that takes the
 * page, or write access to it, makes the leaf another value first. The walk is
 * safe by mmu->srcu.
 */
bool tdp_fast(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	u64 *sptep, spte, new;
	int level;

	sptep = tdp_find(mv->mmu, fault->gfn, &level);
	if (!sptep)
		return false;
	spte = READ_ONCE(*sptep);
	if (!spte_is_mapped(spte) || !spte_is_leaf(spte, level))
		return false;
	if (spte_allows(spte, fault->write)) {
		mv->stat.pf_spurious++;
		return true;
	}
	new = restored(fault, spte, level);
	if (!spte_allows(new, fault->write))
		return false;
	if (try_cmpxchg64(sptep, &spte, new)) {
		spte_account(mv->mmu, fault->gfn, level, spte, new);
		if (fault->write)
			log_write(mv, fault, new);
	}
	return true;
}
