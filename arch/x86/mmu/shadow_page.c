// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow pages: where they come from, how they are found, and how they go.
 *
 * A page is zapped when what it stands for is gone, or when it is in the way: its own
 * entries and those that lead to it are cleared at once, and its memory is freed after
 * the flush. Its children stay for others to find, until they are the least recently
 * used.
 *
 * Locks: mmu->lock held for writing, but for the caches, which are their vCPU's.
 */
#include <linux/hash.h>
#include <linux/slab.h>
#include "shadow.h"

/* The share of its memory that a VM may keep as shadow pages: one page in that many. */
#define SHADOW_SHARE	50
/* What one fault can use: a page a level; a descriptor a level and a leaf. */
#define FAULT_SPS	5
#define FAULT_DESCS	16
/* Pages zapped in one hold of the lock. */
#define SHADOW_STRETCH	64
/* Pages looked at to find some that can go; the next look begins where this one ended. */
#define SHADOW_LOOKS	1024

static struct kmem_cache *sp_cache;
static struct kmem_cache *desc_cache;

int umbra_shadow_init(void)
{
	sp_cache = KMEM_CACHE(umbra_sp, SLAB_ACCOUNT);
	desc_cache = KMEM_CACHE(umbra_rmap_desc, SLAB_ACCOUNT);
	if (sp_cache && desc_cache)
		return 0;
	umbra_shadow_exit();
	return -ENOMEM;
}

void umbra_shadow_exit(void)
{
	kmem_cache_destroy(sp_cache);
	kmem_cache_destroy(desc_cache);
	sp_cache = NULL;
	desc_cache = NULL;
}

static void free_sp(struct umbra_mmu *mmu, struct umbra_sp *sp)
{
	umbra_table_free(mmu, sp->spt, 1);
	kmem_cache_free(sp_cache, sp);
}

static struct umbra_sp *alloc_sp(struct umbra_mmu *mmu)
{
	struct umbra_sp *sp = kmem_cache_zalloc(sp_cache, GFP_KERNEL);

	if (!sp)
		return NULL;
	sp->spt = umbra_table_alloc(mmu, 1);
	if (!sp->spt) {
		kmem_cache_free(sp_cache, sp);
		return NULL;
	}
	set_page_private(virt_to_page(sp->spt), (unsigned long)sp);
	return sp;
}

bool shadow_cache_full(const struct umbra_vcpu *vcpu)
{
	const struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;

	return sv->nr_sps >= FAULT_SPS && sv->nr_descs >= FAULT_DESCS;
}

/* All that one fault can need; sleeps. 0 or -ENOMEM, with what was there still there. */
int shadow_cache_fill(struct umbra_vcpu *vcpu)
{
	struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;

	if (shadow_cache_full(vcpu))
		return 0;
	while (sv->nr_descs < UMBRA_SHADOW_DESCS) {
		sv->descs[sv->nr_descs] = kmem_cache_alloc(desc_cache, GFP_KERNEL);
		if (!sv->descs[sv->nr_descs])
			return -ENOMEM;
		sv->nr_descs++;
	}
	while (sv->nr_sps < UMBRA_SHADOW_SPS) {
		sv->sps[sv->nr_sps] = alloc_sp(&vcpu->vm->mmu);
		if (!sv->sps[sv->nr_sps])
			return -ENOMEM;
		sv->nr_sps++;
	}
	return 0;
}

void shadow_cache_empty(struct umbra_vcpu *vcpu)
{
	struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;

	while (sv->nr_descs)
		kmem_cache_free(desc_cache, sv->descs[--sv->nr_descs]);
	while (sv->nr_sps)
		free_sp(&vcpu->vm->mmu, sv->sps[--sv->nr_sps]);
}

/*
 * The descriptor that umbra_rmap_add() may take. A fault uses one for each level and
 * for each page it maps, of which there are fewer than the cache holds.
 */
void shadow_rmap_add(struct umbra_vcpu *vcpu, struct umbra_rmap_head *head, u64 *sptep)
{
	struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;

	if (umbra_rmap_add(head, sptep, sv->descs[sv->nr_descs - 1]))
		sv->nr_descs--;
}

void shadow_rmap_remove(u64 *sptep)
{
	struct umbra_rmap_desc *desc = umbra_rmap_remove(sptep);

	if (desc)
		kmem_cache_free(desc_cache, desc);
}

/* Where the shadow pages of a gfn are, among others. */
struct hlist_head *shadow_chain(struct umbra_mmu *mmu, gfn_t gfn)
{
	return &mmu->arch.shadow->hash[hash_64(gfn, SHADOW_HASH_BITS)];
}

/* The shadow page of the guest table at @gfn that comes after @sp; the first after NULL. */
struct umbra_sp *shadow_next_page(struct umbra_mmu *mmu, gfn_t gfn, struct umbra_sp *sp)
{
	struct hlist_node *node = sp ? sp->hash.next : shadow_chain(mmu, gfn)->first;

	for (; node; node = node->next) {
		sp = hlist_entry(node, struct umbra_sp, hash);
		if (sp->gfn == gfn && !sp->role.direct && sp->gen == mmu->arch.shadow->gen)
			return sp;
	}
	return NULL;
}

/* A guest table begins or ceases to be shadowed; larger mappings may not cover it. */
void shadow_count_tracked(struct umbra_mmu *mmu, gfn_t gfn, int by)
{
	struct umbra_memslot *slot = shadow_find_slot(mmu, gfn);
	int level;

	if (!slot || !slot->maps)
		return;
	for (level = UMBRA_LEVEL_2M; level <= UMBRA_LEVEL_1G; level++)
		*shadow_tracked(slot, gfn, level) += by;
}

/*
 * The slot of a guest table that may be shadowed: it has maps, and is not on its way out,
 * where nobody would zap what is made now. NULL if there is none.
 */
struct umbra_memslot *shadow_table_slot(struct umbra_mmu *mmu, gfn_t gfn)
{
	struct umbra_memslot *slot = shadow_find_slot(mmu, gfn);

	return slot && slot->maps && !slot->gone ? slot : NULL;
}

/* A guest table gets one more shadow page: writes to it trap. True if a flush is owed. */
static bool track(struct umbra_vcpu *vcpu, struct umbra_memslot *slot, gfn_t gfn)
{
	struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;
	struct umbra_mmu *mmu = &vcpu->vm->mmu;

	if (shadow_next_page(mmu, gfn, NULL))
		return shadow_sync_gfn(vcpu, gfn);
	shadow_count_tracked(mmu, gfn, 1);
	sv->unprotected_again += gfn == sv->unprotected_gfn &&
				 vcpu->arch.rip == sv->unprotected_rip;
	shadow_wrprot_gfn(mmu, slot, gfn);
	/* Whether or not W was there: the dirty log takes it away before it flushes. */
	return true;
}

/**
 * shadow_get_page() - the shadow page for one use of a guest table
 * @vcpu: the vCPU; its cache was filled
 * @slot: the slot of @gfn, with maps; unused for a direct page
 * @gfn: of the guest's table, or the first of a direct page
 * @role: what else makes it different
 * @flush: set if a flush is owed before it is used
 */
struct umbra_sp *shadow_get_page(struct umbra_vcpu *vcpu, struct umbra_memslot *slot,
				 gfn_t gfn, union umbra_sp_role role, bool *flush)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	struct umbra_shadow *shadow = mmu->arch.shadow;
	struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;
	struct umbra_sp *sp;

	hlist_for_each_entry(sp, shadow_chain(mmu, gfn), hash)
		if (shadow_is_page(mmu, sp, gfn, role))
			return sp;
	if (!role.direct)
		*flush |= track(vcpu, slot, gfn);
	sp = sv->sps[--sv->nr_sps];
	sp->gfn = gfn;
	sp->role = role;
	sp->gen = shadow->gen;
	sp->used = true;
	hlist_add_head(&sp->hash, shadow_chain(mmu, gfn));
	list_add(&sp->lru, &shadow->pages);
	shadow->count++;
	pr_debug("shadow: vm %u gfn %llx role %x\n", mmu->id, gfn, role.word);
	return sp;
}

/* Lead @sptep, which is clear, to @child. What the leaf allows is what counts. */
void shadow_link(struct umbra_vcpu *vcpu, u64 *sptep, struct umbra_sp *child)
{
	shadow_rmap_add(vcpu, &child->parents, sptep);
	WRITE_ONCE(*sptep, __pa(child->spt) | SPTE_TABLE);
}

void shadow_drop_table(u64 *sptep)
{
	WRITE_ONCE(*sptep, 0);
	shadow_rmap_remove(sptep);
}

/* Clear an entry, whatever it is. True if a flush is owed. */
bool shadow_drop(struct umbra_mmu *mmu, u64 *sptep, int level)
{
	u64 spte = READ_ONCE(*sptep);

	if (!spte_is_mapped(spte))
		return false;
	if (spte_is_leaf(spte, level))
		shadow_drop_leaf(mmu, sptep, level);
	else
		shadow_drop_table(sptep);
	return true;
}

/**
 * shadow_zap_page() - take a shadow page out of use
 * @mmu: the MMU
 * @sp: in the hash
 * @doomed: where it goes if no vCPU has it as a root; for shadow_free_pages()
 */
void shadow_zap_page(struct umbra_mmu *mmu, struct umbra_sp *sp, struct list_head *doomed)
{
	struct umbra_shadow *shadow = mmu->arch.shadow;
	struct umbra_rmap_iter iter;
	u64 *parent;
	int i;

	while ((parent = umbra_rmap_first(&sp->parents, &iter)))
		shadow_drop_table(parent);
	for (i = 0; i < SHADOW_ENTRIES; i++)
		shadow_drop(mmu, &sp->spt[i], sp->role.level);
	hlist_del(&sp->hash);
	if (!sp->role.direct && sp->gen == shadow->gen && !shadow_next_page(mmu, sp->gfn, NULL))
		shadow_count_tracked(mmu, sp->gfn, -1);
	shadow->count--;
	sp->zapped = true;
	shadow->unsync -= sp->unsync;
	sp->unsync = false;
	list_del_init(&sp->lru);
	if (!sp->roots)
		list_add(&sp->lru, doomed);
}

/**
 * shadow_free_pages() - flush, and free what was zapped
 * @mmu: the MMU
 * @doomed: from shadow_zap_page(); empty is fine, and no flush then
 *
 * vCPUs whose root was zapped leave the guest for it, and look for another.
 */
void shadow_free_pages(struct umbra_mmu *mmu, struct list_head *doomed)
{
	struct umbra_sp *sp, *next;

	umbra_mmu_flush(mmu);
	list_for_each_entry_safe(sp, next, doomed, lru)
		free_sp(mmu, sp);
}

/* A vCPU gives up a root; it is not in the guest. */
void shadow_put_root(struct umbra_mmu *mmu, struct umbra_sp *sp)
{
	if (!--sp->roots && sp->zapped)
		free_sp(mmu, sp);
}

/* What is of an old generation counts for nothing any more. */
static void new_generation(struct umbra_mmu *mmu)
{
	struct umbra_memslots *slots = rcu_dereference_protected(mmu->memslots, true);
	unsigned int i;

	mmu->arch.shadow->gen++;
	for (i = 0; i < slots->count; i++)
		shadow_forget_tracked(slots->slots[i]);
}

/*
 * Every shadow page there is now goes, a stretch at a time. New ones that are made
 * meanwhile are of the new generation and stay.
 */
void shadow_zap_all(struct umbra_mmu *mmu)
{
	struct umbra_shadow *shadow = mmu->arch.shadow;
	bool done = false, first = true;

	if (!shadow)
		return;
	while (!done) {
		LIST_HEAD(doomed);
		int i;

		write_lock(&mmu->lock);
		if (first) {
			shadow_mend(mmu);
			new_generation(mmu);
		}
		first = false;
		for (i = 0; i < SHADOW_STRETCH && !done; i++) {
			struct umbra_sp *sp;

			sp = list_last_entry(&shadow->pages, struct umbra_sp, lru);
			done = list_empty(&shadow->pages) || sp->gen == shadow->gen;
			if (!done)
				shadow_zap_page(mmu, sp, &doomed);
		}
		shadow_free_pages(mmu, &doomed);
		write_unlock(&mmu->lock);
		cond_resched();
	}
}

/* Of the tables in a slot, the next stretch. True when there are no more. */
static bool zap_tables(struct umbra_mmu *mmu, const struct umbra_memslot *slot)
{
	struct umbra_sp *sp, *next;
	LIST_HEAD(doomed);
	int count = 0;

	list_for_each_entry_safe(sp, next, &mmu->arch.shadow->pages, lru) {
		if (sp->role.direct || !umbra_slot_holds(slot, sp->gfn))
			continue;
		if (count++ == SHADOW_STRETCH)
			break;
		/* It was counted in the slot that goes, and not in one that comes. */
		sp->gen--;
		shadow_zap_page(mmu, sp, &doomed);
	}
	if (count)
		shadow_free_pages(mmu, &doomed);
	return count <= SHADOW_STRETCH;
}

/* @zap_slot of struct umbra_mmu_ops: its leaves, and the guest tables that lie in it. */
void shadow_zap_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot)
{
	gfn_t gfn = slot->base_gfn, end = slot->base_gfn + slot->npages;
	bool done = !mmu->arch.shadow;

	while (!done) {
		write_lock(&mmu->lock);
		done = zap_tables(mmu, slot);
		write_unlock(&mmu->lock);
		cond_resched();
	}
	while (slot->maps && gfn < end) {
		struct umbra_gfn_range range = {
			slot, gfn, min(gfn + umbra_level_pages(UMBRA_LEVEL_1G), end),
		};

		write_lock(&mmu->lock);
		if (shadow_unmap(mmu, &range))
			umbra_mmu_flush(mmu);
		write_unlock(&mmu->lock);
		cond_resched();
		gfn = range.end;
	}
}

static unsigned long limit(struct umbra_mmu *mmu)
{
	const struct umbra_memslots *slots = umbra_mmu_slots(mmu);
	unsigned long pages = 0;
	unsigned int i;

	if (READ_ONCE(mmu->arch.max_shadow))
		return mmu->arch.max_shadow;
	for (i = 0; i < slots->count; i++)
		pages += slots->slots[i]->npages;
	return max(pages / SHADOW_SHARE, UMBRA_SHADOW_MIN);
}

/**
 * shadow_reclaim() - make room for what a fault may need
 * @mmu: the MMU; no lock held, mmu->srcu is
 *
 * Those go that no fault has used since they were last looked at here, the oldest first,
 * and no roots; more than one fault needs at a time, so that the next ones find room.
 */
void shadow_reclaim(struct umbra_mmu *mmu)
{
	struct umbra_shadow *shadow = mmu->arch.shadow;
	unsigned long max = limit(mmu);
	int want = SHADOW_STRETCH / 4, looks = SHADOW_LOOKS;
	struct umbra_sp *sp;
	LIST_HEAD(doomed);

	if (READ_ONCE(shadow->count) < max)
		return;
	write_lock(&mmu->lock);
	if (shadow->count < max)
		want = 0;
	for (; looks && want && !list_empty(&shadow->pages); looks--) {
		sp = list_last_entry(&shadow->pages, struct umbra_sp, lru);
		if (!sp->roots && !sp->used) {
			shadow_zap_page(mmu, sp, &doomed);
			want--;
			continue;
		}
		sp->used = false;
		list_move(&sp->lru, &shadow->pages);
	}
	if (!list_empty(&doomed))
		shadow_free_pages(mmu, &doomed);
	write_unlock(&mmu->lock);
}
