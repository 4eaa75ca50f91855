// SPDX-License-Identifier: GPL-2.0-only
/*
 * The TDP MMU: its tables, and its operations. Each change of a leaf is reported to
 * spte_account().
 *
 * Locks: as tdp.h says of the tables.
 */
#include <linux/moduleparam.h>
#include <linux/srcu.h>
#include <umbra/arch.h>
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

bool umbra_mmu_has_ad(const struct umbra_mmu *mmu)
{
	return mmu->mode == UMBRA_MMU_SHADOW || tdp_caps.ad;
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

/* Clear a mapped leaf; mmu->lock held for writing. The caller owes a flush. */
void tdp_clear_leaf(struct umbra_mmu *mmu, u64 *sptep, gfn_t gfn, int level)
{
	/* The hardware, and lockless faults, may be setting bits right now. */
	u64 old = xchg(sptep, 0);

	spte_trace_zap(mmu, gfn, level, old);
	spte_account(mmu, gfn, level, old, 0);
}

static void free_table_rcu(struct rcu_head *rcu)
{
	struct page *page = container_of(rcu, struct page, rcu_head);

	umbra_table_free((struct umbra_mmu *)page_private(page),
			 page_address(page), 0);
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
	u64 *root = umbra_table_alloc(mmu, 0);

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
	umbra_table_free(mmu, table, 0);
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
	.prepared	= tdp_prepared,
	.prepare	= tdp_prepare,
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
	if (mode == UMBRA_MMU_SHADOW)
		return &umbra_shadow_ops;
	return mode == UMBRA_MMU_TDP && tdp_caps.levels ? &umbra_tdp_ops : NULL;
}

u32 umbra_arch_default_mode(void)
{
	return tdp && tdp_caps.levels ? UMBRA_MMU_TDP : UMBRA_MMU_SHADOW;
}

u64 umbra_arch_max_gfn(u32 mode)
{
	int bits = mode == UMBRA_MMU_TDP ? tdp_caps.phys_bits : boot_cpu_data.x86_phys_bits;

	return 1ULL << (bits - PAGE_SHIFT);
}
