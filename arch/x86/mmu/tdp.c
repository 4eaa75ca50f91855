// SPDX-License-Identifier: GPL-2.0-only
/*
 * The TDP MMU: its tables, the accounts of its leaves, and its operations.
 *
 * tdp_account() is the one funnel for changes of a leaf: whoever installs, changes
 * or clears one reports the old and the new value there, and counters, the host's
 * page flags and the references of policy pinned follow from the two values.
 *
 * Locks: as tdp.h says of the tables.
 */
#include <linux/moduleparam.h>
#include <linux/srcu.h>
#include <umbra/arch.h>
#include <umbra/trace.h>
#include "tdp.h"

static bool tdp = true;
module_param(tdp, bool, 0444);
MODULE_PARM_DESC(tdp, "nested paging for VMs that do not choose; default on");

static bool ad = true;
module_param(ad, bool, 0444);
MODULE_PARM_DESC(ad, "use the hardware's A and D bits in nested tables; default on");

struct umbra_tdp_caps tdp_caps;

void umbra_tdp_setup(const struct umbra_tdp_caps *caps)
{
	memset(&tdp_caps, 0, sizeof(tdp_caps));
	if (!caps)
		return;
	tdp_caps = *caps;
	tdp_caps.ad &= ad;
}

/* The mapped leaf that translates @gfn, or NULL. mmu->lock or mmu->srcu held. */
u64 *tdp_find(struct umbra_mmu *mmu, gfn_t gfn, int *level)
{
	u64 *table = mmu->arch.root;
	int l = mmu->arch.root_level;

	while (table) {
		u64 *sptep = &table[tdp_index(gfn, l)];
		u64 spte = READ_ONCE(*sptep);

		if (!spte_is_mapped(spte))
			break;
		if (spte_is_leaf(spte, l)) {
			*level = l;
			return sptep;
		}
		table = spte_child(spte);
		l--;
	}
	return NULL;
}

/*
 * Without A and D bits in hardware, that the guest could use a page counts as that
 * it did.
 */
static void tell_host(u64 spte)
{
	u64 pfn = spte_pfn(spte);

	if (!(spte & SPTE_PAGE))
		return;
	if (spte & (tdp_caps.ad ? SPTE_D : SPTE_W))
		umbra_pfn_set_dirty(pfn);
	if (spte & (tdp_caps.ad ? SPTE_A : SPTE_P))
		umbra_pfn_set_accessed(pfn);
}

/**
 * tdp_account() - a leaf was changed
 * @mmu: the MMU; mmu->lock held
 * @gfn: first gfn of the leaf
 * @level: its level
 * @old: what the entry was: a leaf, or not mapped
 * @spte: what it is now: a leaf, or not mapped
 */
void tdp_account(struct umbra_mmu *mmu, gfn_t gfn, int level, u64 old, u64 spte)
{
	bool was = spte_is_mapped(old), is = spte_is_mapped(spte);

	if (was && (!is || spte_pfn(old) != spte_pfn(spte))) {
		tell_host(old);
		if (old & SPTE_PINNED)
			umbra_pfn_unmapped(&mmu->refs, spte_pfn(old));
	}
	if (is && !was) {
		atomic64_inc(&mmu->stat.pages[level - 1]);
		trace_umbra_map(mmu->id, gfn, level, spte, spte & SPTE_W);
		pr_debug("map: vm %u gfn %llx level %d spte %llx\n", mmu->id, gfn,
			 level, spte);
	} else if (was && !is) {
		atomic64_dec(&mmu->stat.pages[level - 1]);
		trace_umbra_zap(mmu->id, gfn, level, old);
		pr_debug("unmap: vm %u gfn %llx level %d spte %llx\n", mmu->id, gfn,
			 level, old);
	}
}

/* Clear a mapped leaf; mmu->lock held for writing. The caller owes a flush. */
void tdp_clear_leaf(struct umbra_mmu *mmu, u64 *sptep, gfn_t gfn, int level)
{
	/* The hardware, and lockless faults, may be setting bits right now. */
	u64 old = xchg(sptep, 0);

	tdp_account(mmu, gfn, level, old, 0);
}

static void free_table_rcu(struct rcu_head *rcu)
{
	struct page *page = container_of(rcu, struct page, rcu_head);

	umbra_table_free((struct umbra_mmu *)page_private(page),
			 page_address(page));
}

/*
 * Free unlinked tables when their walkers have left. The flush came before: SRCU waits
 * for lockless faults, but not for a CPU that walks the tables for the guest.
 */
void tdp_free_later(struct umbra_mmu *mmu, struct list_head *doomed)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, doomed, lru) {
		/* It has no parent any more, so the link can say whose it was. */
		set_page_private(page, (unsigned long)mmu);
		call_srcu(&mmu->srcu, &page->rcu_head, free_table_rcu);
	}
}

static int tdp_init(struct umbra_mmu *mmu)
{
	u64 *root = umbra_table_alloc(mmu);

	if (!root)
		return -ENOMEM;
	INIT_LIST_HEAD(&mmu->arch.doomed);
	write_lock(&mmu->lock);
	mmu->arch.root_level = tdp_caps.levels;
	mmu->arch.root = root;
	write_unlock(&mmu->lock);
	return 0;
}

/* Every leaf was cleared before, or nothing watches the host any more. */
static void free_tables(struct umbra_mmu *mmu, u64 *table, int level)
{
	int i;

	for (i = 0; level > UMBRA_LEVEL_4K && i < TDP_ENTRIES; i++)
		if (spte_is_table(table[i], level))
			free_tables(mmu, spte_child(table[i]), level - 1);
	umbra_table_free(mmu, table);
}

static void tdp_destroy(struct umbra_mmu *mmu)
{
	if (!mmu->arch.root)
		return;
	tdp_reap(mmu);
	free_tables(mmu, mmu->arch.root, mmu->arch.root_level);
	mmu->arch.root = NULL;
}

static const struct umbra_mmu_ops umbra_tdp_ops = {
	.name		= "tdp",
	.init		= tdp_init,
	.destroy	= tdp_destroy,
	.fast		= tdp_fast,
	.map		= tdp_map,
	.map_exclusive	= tdp_map_exclusive,
	.unmap		= tdp_unmap,
	.age		= tdp_age,
	.test_age	= tdp_test_age,
	.wrprot		= tdp_wrprot,
	.wrprot_slot	= tdp_wrprot_slot,
	.merge_slot	= tdp_merge_slot,
	.zap_slot	= tdp_zap_slot,
	.reap		= tdp_reap,
	.zap_all	= tdp_zap_all,
	.gfn_info	= tdp_gfn_info,
	.audit		= tdp_audit,
	.dump		= tdp_dump,
#ifdef UMBRA_TEST
	.hook		= tdp_hook,
#endif
};

const struct umbra_mmu_ops *umbra_arch_mmu_ops(u32 mode)
{
	return mode == UMBRA_MMU_TDP && tdp_caps.levels ? &umbra_tdp_ops : NULL;
}

u32 umbra_arch_default_mode(void)
{
	return tdp ? UMBRA_MMU_TDP : UMBRA_MMU_SHADOW;
}

u64 umbra_arch_max_gfn(u32 mode)
{
	return 1ULL << (tdp_caps.phys_bits - PAGE_SHIFT);
}
