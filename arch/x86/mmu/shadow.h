/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging: what the files of the shadow MMU share.
 *
 * The hardware walks shadow pages, which are made lazily from the guest's own page
 * tables. One shadow page stands for one use of one guest table, or of a stretch of
 * guest memory that a large guest page, or no paging, maps directly.
 *
 * Invariants
 * - A shadow page that is not direct and not out of sync (shadow_sync.c) write-protects
 *   its guest table: no spte of any shadow page maps that gfn writable, and a write to it
 *   goes through shadow_writing(), which drops the sptes that were made from it.
 * - So a present spte of such a page translates as the guest's entry does, with no more
 *   permissions: A was set in it by the walk, and W is only there if D was.
 * - A present leaf is in the chain of its gfn and level, once; a present table entry
 *   in the chain of parents of the shadow page that it leads to.
 * - A shadow page is in the hash unless it is zapped. A zapped one has no children and
 *   no parents, and lives on only while a vCPU has it as a root.
 * - All shadow pages have the generation of the MMU but those that umbra_shadow_zap_all()
 *   has not come to yet; none of these is a root that a vCPU may enter.
 *
 * Locks: mmu->lock held for writing for everything here but the caches of a vCPU and
 * its roots, which belong to its thread.
 */
#ifndef _UMBRA_SHADOW_H
#define _UMBRA_SHADOW_H

#include <linux/list.h>
#include <linux/mm.h>
#include <umbra/mmu.h>
#include <umbra/rmap.h>
#include "../walk.h"
#include "../shadow.h"
#include "spte.h"

#define SHADOW_ENTRIES	512

/**
 * struct umbra_sp - one shadow page
 * @hash: in mmu->arch.shadow->hash, by gfn
 * @lru: in mmu->arch.shadow->pages, see shadow_reclaim(); when it is zapped, in a list of
 *	those to be freed
 * @used: in a fault, since shadow_reclaim() came by
 * @spt: the table; the page behind it holds the links of its sptes
 * @gfn: of the guest's table, or the first that a direct page maps
 * @role: what else makes it different
 * @parents: the sptes that lead to it
 * @gen: generation of the MMU that it was made in
 * @roots: vCPUs' roots that it is
 * @writes: to its guest table since it was last used in a fault
 * @zapped: it is not in the hash any more
 * @unsync: its guest table is written to without exits
 * @sync: while it is brought in sync, in a list of those
 * @nr_unsync: bits in @unsync_bits
 * @unsync_bits: entries that may lead to a page that is out of sync
 */
struct umbra_sp {
	struct hlist_node hash;
	struct list_head lru;
	u64 *spt;
	gfn_t gfn;
	union umbra_sp_role role;
	struct umbra_rmap_head parents;
	unsigned long gen;
	unsigned int roots;
	u8 writes;
	bool used;
	bool zapped;
	bool unsync;
	struct list_head sync;
	unsigned int nr_unsync;
	DECLARE_BITMAP(unsync_bits, SHADOW_ENTRIES);
};

/* Number of chains is 1 << this. */
#define SHADOW_HASH_BITS 12

/**
 * struct umbra_shadow - the shadow pages of a VM
 * @hash: by gfn
 * @pages: all that are not zapped
 * @count: how many there are
 * @gen: see above
 * @unsync: how many are out of sync
 * @syncing: pages are brought in sync, and their marks are gone already
 */
struct umbra_shadow {
	struct hlist_head hash[1 << SHADOW_HASH_BITS];
	struct list_head pages;
	unsigned long count;
	unsigned long gen;
	unsigned long unsync;
	bool syncing;
};

/* A guest access with the walk that translated it. */
struct umbra_shadow_fault {
	struct umbra_fault f;
	struct umbra_walk walk;
	u64 gva;
};

static inline struct umbra_shadow_fault *to_shadow_fault(struct umbra_fault *fault)
{
	return container_of(fault, struct umbra_shadow_fault, f);
}

static inline struct umbra_vcpu *mv_vcpu(struct umbra_mmu_vcpu *mv)
{
	return container_of(mv, struct umbra_vcpu, mmu);
}

static inline struct umbra_sp *spt_sp(const u64 *spt)
{
	return (struct umbra_sp *)page_private(virt_to_page(spt));
}

/* The shadow pages of a guest table, of the present generation. */
#define shadow_for_each_page(mmu, gfn, sp)				\
	for ((sp) = shadow_next_page(mmu, gfn, NULL); (sp);		\
	     (sp) = shadow_next_page(mmu, gfn, sp))

/* The shadow page that an spte lies in. */
static inline struct umbra_sp *sptep_sp(const u64 *sptep)
{
	return spt_sp((const u64 *)((unsigned long)sptep & PAGE_MASK));
}

static inline struct umbra_sp *spte_sp(u64 spte)
{
	return spt_sp(spte_child(spte));
}

/*
 * May something below @sp be out of sync? Without mmu->lock: who takes the marks away does
 * so after it has set @syncing, and clears that when all vCPUs are flushed.
 */
static inline bool shadow_maybe_unsync(struct umbra_mmu *mmu, const struct umbra_sp *sp)
{
	if (READ_ONCE(sp->nr_unsync))
		return true;
	/* Pairs with the barriers in shadow_sync_below(). */
	smp_rmb();
	return READ_ONCE(mmu->arch.shadow->syncing);
}

/* For shadow_reclaim(), and that its guest table still is one. */
static inline void shadow_use(struct umbra_sp *sp)
{
	sp->writes = 0;
	sp->used = true;
}

/* Is @sp the shadow page for this use of the guest table? Then it is used now. */
static inline bool shadow_is_page(struct umbra_mmu *mmu, struct umbra_sp *sp, gfn_t gfn,
				  union umbra_sp_role role)
{
	if (sp->gfn != gfn || sp->role.word != role.word || sp->gen != mmu->arch.shadow->gen)
		return false;
	shadow_use(sp);
	return true;
}

static inline unsigned int shadow_sptep_index(const u64 *sptep)
{
	return offset_in_page(sptep) / sizeof(*sptep);
}

/* Which of the root's shadow pages translates @gva. */
static inline unsigned int shadow_root_index(const struct umbra_shadow_root *root, u64 gva)
{
	return root->role.level > 2 ? 0 : gva >> 30 & 3;
}

/* The published slot of a gfn; mmu->lock is held. */
static inline struct umbra_memslot *shadow_find_slot(struct umbra_mmu *mmu, gfn_t gfn)
{
	return umbra_memslots_find(rcu_dereference_protected(mmu->memslots, true), gfn);
}

static inline unsigned int shadow_index(u64 gva, int level)
{
	return gva >> (PAGE_SHIFT + (level - 1) * UMBRA_LEVEL_BITS) & (SHADOW_ENTRIES - 1);
}

/* shadow_page.c */
int shadow_cache_fill(struct umbra_vcpu *vcpu);
bool shadow_cache_full(const struct umbra_vcpu *vcpu);
void shadow_cache_empty(struct umbra_vcpu *vcpu);
void shadow_rmap_add(struct umbra_vcpu *vcpu, struct umbra_rmap_head *head, u64 *sptep);
void shadow_rmap_remove(u64 *sptep);
struct hlist_head *shadow_chain(struct umbra_mmu *mmu, gfn_t gfn);
struct umbra_sp *shadow_next_page(struct umbra_mmu *mmu, gfn_t gfn, struct umbra_sp *sp);
struct umbra_memslot *shadow_table_slot(struct umbra_mmu *mmu, gfn_t gfn);
struct umbra_sp *shadow_get_page(struct umbra_vcpu *vcpu, struct umbra_memslot *slot,
				 gfn_t gfn, union umbra_sp_role role, bool *flush);
void shadow_link(struct umbra_vcpu *vcpu, u64 *sptep, struct umbra_sp *child);
void shadow_zap_page(struct umbra_mmu *mmu, struct umbra_sp *sp, struct list_head *doomed);
void shadow_free_pages(struct umbra_mmu *mmu, struct list_head *doomed);
void shadow_put_root(struct umbra_mmu *mmu, struct umbra_sp *sp);
void shadow_zap_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot);
void shadow_zap_all(struct umbra_mmu *mmu);
void shadow_reclaim(struct umbra_mmu *mmu);

/* shadow_spte.c */
int shadow_make_maps(struct umbra_memslot *slot);
void shadow_forget_tracked(struct umbra_memslot *slot);
unsigned long *shadow_tracked(const struct umbra_memslot *slot, gfn_t gfn, int level);
struct umbra_rmap_head *shadow_rmap(const struct umbra_memslot *slot, gfn_t gfn, int level);
void shadow_set_leaf(struct umbra_vcpu *vcpu, struct umbra_memslot *slot, gfn_t gfn,
		     int level, u64 *sptep, u64 spte);
bool shadow_change_leaf(struct umbra_mmu *mmu, gfn_t gfn, int level, u64 *sptep, u64 spte,
			u64 keep);
void shadow_drop_leaf(struct umbra_mmu *mmu, u64 *sptep, int level);
void shadow_drop_table(u64 *sptep);
bool shadow_drop(struct umbra_mmu *mmu, u64 *sptep, int level);

/* shadow_range.c */
bool shadow_wrprot_gfn(struct umbra_mmu *mmu, struct umbra_memslot *slot, gfn_t gfn);
bool shadow_unmap(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);
bool shadow_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);
bool shadow_test_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);
bool shadow_wrprot(struct umbra_mmu *mmu, struct umbra_memslot *slot,
		   unsigned long offset, unsigned long mask);
void shadow_wrprot_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot);
void shadow_merge_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot);

/* shadow_sync.c */
bool shadow_protects(struct umbra_mmu *mmu, gfn_t gfn);
bool shadow_unsync(struct umbra_mmu *mmu, gfn_t gfn);
bool shadow_sync_below(struct umbra_vcpu *vcpu, struct umbra_sp *sp);
bool shadow_sync_gfn(struct umbra_vcpu *vcpu, gfn_t gfn);
void shadow_sync_root(struct umbra_vcpu *vcpu, struct umbra_sp *sp);
void shadow_map_entry(struct umbra_vcpu *vcpu, struct umbra_sp *sp, unsigned int i);

/* shadow_fault.c */
void shadow_writing(struct umbra_mmu *mmu, gpa_t gpa, size_t len);
void shadow_written(struct umbra_mmu_vcpu *mv, gpa_t gpa, size_t len);

/* shadow_map.c */
bool shadow_prepared(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault);
int shadow_prepare(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault);
int shadow_map(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault);
u64 shadow_make_leaf(struct umbra_mmu *mmu, const struct umbra_memslot *slot, gfn_t gfn,
		     u64 pfn, int level, unsigned int access, u8 pkey, bool host_w,
		     bool write);
void shadow_map_ahead(struct umbra_vcpu *vcpu, struct umbra_memslot *slot, u64 *sptep,
		      gfn_t gfn, unsigned int access, u8 pkey);

/* shadow_audit.c */
void shadow_audit(struct umbra_audit_run *run);
void shadow_gfn_info(struct umbra_mmu *mmu, struct umbra_gfn_info *info);
void shadow_dump(struct umbra_mmu *mmu, struct seq_file *m);

#ifdef UMBRA_TEST
/* shadow_hook.c */
int shadow_hook(struct umbra_mmu *mmu, const struct umbra_test_hook *hook);
#endif

#endif
