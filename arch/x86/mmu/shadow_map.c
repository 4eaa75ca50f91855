// SPDX-License-Identifier: GPL-2.0-only
/*
 * Installing translations: the fault side of the shadow MMU.
 *
 * A fault brings the walk that translated its address. From the root down, each
 * level of the walk becomes an entry that leads to the shadow page of the guest's next
 * table; below a large guest page, and without paging, to direct pages; and at the end
 * stands the leaf. The walk was made without the lock, so the guest's entries are read
 * again under it: whoever writes to one takes the lock afterwards and drops what was
 * made from it. An entry of an upper level needs not be read again where the link that
 * was made from it stands and leads where the walk went.
 *
 * With CR0.WP clear the guest's supervisor may write where the entry does not allow it,
 * and the hardware runs with WP set: such a page is mapped writable for the supervisor
 * alone, and comes back for the user when the user asks.
 *
 * Locks: mmu->lock held for writing.
 */
#include "shadow.h"

/* Neighbours looked at for one fault, the page itself included. */
#define SHADOW_AROUND	8

/* @prepared of struct umbra_mmu_ops */
bool shadow_prepared(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault)
{
	return fault->slot->maps && shadow_cache_full(mv_vcpu(mv));
}

/* @prepare of struct umbra_mmu_ops */
int shadow_prepare(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault)
{
	const struct umbra_walk *w = &to_shadow_fault((struct umbra_fault *)fault)->walk;
	struct umbra_memslot *slot;
	int level, err;

	shadow_reclaim(mv->mmu);
	err = shadow_make_maps(fault->slot);
	for (level = w->top; !err && level >= max_t(int, w->level, 1); level--) {
		gfn_t gfn = w->entry[level - 1].gpa >> PAGE_SHIFT;

		slot = umbra_memslots_find(umbra_mmu_slots(mv->mmu), gfn);
		if (slot)
			err = shadow_make_maps(slot);
	}
	return err ?: shadow_cache_fill(mv_vcpu(mv));
}

/*
 * What a leaf may allow: writes only if the guest's entry says that it is dirty. In
 * read-only memory nothing will ever say so.
 */
static unsigned int leaf_access(struct umbra_mmu *mmu, const struct umbra_walk *w)
{
	const struct umbra_walk_entry *leaf;
	struct umbra_memslot *slot;

	/* Without paging there is no entry. */
	if (!w->top)
		return w->access;
	leaf = &w->entry[w->level - 1];
	if (leaf->gpte & SPTE_D)
		return w->access;
	slot = shadow_find_slot(mmu, leaf->gpa >> PAGE_SHIFT);
	if (slot && umbra_slot_readonly(slot))
		return w->access;
	return w->access & ~UMBRA_PERM_WRITE;
}

/* One fault on its way down. */
struct descent {
	struct umbra_vcpu *vcpu;
	struct umbra_mmu *mmu;
	struct umbra_fault *fault;
	const struct umbra_walk *walk;
	u64 gva;
	bool flush;
	bool checked;
};

/* Has the guest changed an entry since the walk? All are read again, once. */
static bool walk_changed(struct descent *d)
{
	if (!d->checked && umbra_walk_changed(d->vcpu, d->walk, d->walk->top))
		return true;
	d->checked = true;
	return false;
}

/*
 * The shadow page that the entry @sptep of @sp at @level is to lead to, which most often
 * it does already; NULL if its table is not memory, or the guest has changed an entry.
 */
static struct umbra_sp *child_page(struct descent *d, const struct umbra_sp *sp, int level,
				   const u64 *sptep)
{
	const struct umbra_walk *w = d->walk;
	union umbra_sp_role role = sp->role;
	struct umbra_memslot *slot = NULL;
	u64 spte = READ_ONCE(*sptep);
	gfn_t gfn;

	role.level = level - 1;
	role.quadrant = 0;
	if (!w->top || level <= w->level) {
		role.direct = 1;
		role.access = leaf_access(d->mmu, w);
		role.pkey = w->pkey;
		gfn = umbra_level_base(d->fault->gfn, level);
	} else {
		role.access &= umbra_gpte_access(d->vcpu, w->entry[level - 1].gpte);
		if (w->top == 2)
			role.quadrant = d->gva >> (PAGE_SHIFT + 9) & 1;
		gfn = w->entry[level - 2].gpa >> PAGE_SHIFT;
	}
	if (spte_is_table(spte, level) && shadow_is_page(d->mmu, spte_sp(spte), gfn, role))
		return spte_sp(spte);
	if (walk_changed(d))
		return NULL;
	if (!role.direct) {
		slot = shadow_table_slot(d->mmu, gfn);
		if (!slot)
			return NULL;
	}
	return shadow_get_page(d->vcpu, slot, gfn, role, &d->flush);
}

/*
 * A table that was write-protected just now may have been written to until the flush:
 * no entry of it counts that was read before. True if the walk has to be made again.
 */
static bool newly_protected(struct descent *d)
{
	if (!d->flush)
		return false;
	umbra_mmu_flush(d->mmu);
	d->flush = false;
	d->checked = false;
	return walk_changed(d);
}

/*
 * The shadow page at the top of the walk. NULL if the root was made when its table was
 * no memory, or from other top entries of PAE than the walk's: then it is made anew.
 */
static struct umbra_sp *root_part(struct descent *d)
{
	struct umbra_shadow_root *root = d->vcpu->arch.shadow->root;
	int i = shadow_root_index(root, d->gva);

	if (root->sp[i] &&
	    (d->walk->top != 3 || d->walk->entry[2].gpte == root->pdpte[i]))
		return root->sp[i];
	root->role.level = 0;
	return NULL;
}

/*
 * The entry of @goal for the fault's address, with the tables on the way made. NULL
 * when a table of the guest is not memory any more, or the walk has to be made again.
 */
static u64 *descend(struct descent *d, int goal)
{
	struct umbra_sp *sp = root_part(d);
	int level;

	if (!sp)
		return NULL;
	for (level = sp->role.level; level > goal; level--) {
		u64 *sptep = &sp->spt[shadow_index(d->gva, level)];
		struct umbra_sp *child = child_page(d, sp, level, sptep);
		u64 spte = READ_ONCE(*sptep);

		if (!child || newly_protected(d))
			return NULL;
		if (spte_is_table(spte, level) && spte_sp(spte) == child) {
			sp = child;
			continue;
		}
		d->flush |= shadow_drop(d->mmu, sptep, level);
		d->flush |= shadow_sync_below(d->vcpu, child);
		if (newly_protected(d))
			return NULL;
		shadow_link(d->vcpu, sptep, child);
		sp = child;
	}
	return &sp->spt[shadow_index(d->gva, goal)];
}

/* The largest mapping that guest, host, slot and shadowed tables allow. */
static int goal_level(const struct descent *d, int host_level)
{
	const struct umbra_fault *fault = d->fault;
	int level = d->walk->top ? d->walk->level : UMBRA_LEVEL_2M;

	if (level > UMBRA_LEVEL_2M && !boot_cpu_has(X86_FEATURE_GBPAGES))
		level = UMBRA_LEVEL_2M;
	if (d->walk->top < 4)
		level = min(level, UMBRA_LEVEL_2M);
	level = spte_goal_level(fault, min(level, host_level));
	while (level > UMBRA_LEVEL_4K && *shadow_tracked(fault->slot, fault->gfn, level))
		level--;
	return level;
}

/* An spte for @pfn as the guest allows it; A is the caller's. */
u64 shadow_make_leaf(struct umbra_mmu *mmu, const struct umbra_memslot *slot, gfn_t gfn,
		     u64 pfn, int level, unsigned int access, u8 pkey, bool host_w,
		     bool write)
{
	u64 spte = pfn << PAGE_SHIFT | SPTE_P | (u64)pkey << 59;

	if (level > UMBRA_LEVEL_4K)
		spte |= SPTE_LARGE;
	if (access & UMBRA_PERM_USER)
		spte |= SPTE_U;
	if (!(access & UMBRA_PERM_EXEC))
		spte |= SPTE_NX;
	if (!host_w || umbra_slot_readonly(slot))
		return spte;
	spte |= SPTE_HOST_W;
	if ((access & UMBRA_PERM_WRITE) && (write || !umbra_slot_logs(slot)) &&
	    !(level == UMBRA_LEVEL_4K && shadow_protects(mmu, gfn)))
		spte |= SPTE_W | (write ? SPTE_D : 0);
	return spte;
}

/* Put the leaf where the fault is; what stands there may be anything. */
static int install(struct descent *d, u64 *sptep, int level, u64 spte)
{
	struct umbra_fault *fault = d->fault;
	gfn_t gfn = umbra_level_base(fault->gfn, level);
	u64 old = READ_ONCE(*sptep);

	if (spte_is_mapped(old) &&
	    (!spte_is_leaf(old, level) || spte_pfn(old) != spte_pfn(spte))) {
		shadow_drop(d->mmu, sptep, level);
		d->flush = true;
		old = 0;
	}
	if (!old) {
		shadow_set_leaf(d->vcpu, fault->slot, gfn, level, sptep, spte);
		if (spte & SPTE_PINNED)
			fault->page.counted = false;
	} else {
		/* The same page, other rights; a reference is kept once. */
		d->flush |= shadow_change_leaf(d->mmu, gfn, level, sptep, spte,
					       SPTE_D | SPTE_PINNED);
	}
	if (umbra_slot_logs(fault->slot) && (spte & SPTE_W))
		umbra_mark_dirty(&d->vcpu->mmu, fault->slot, fault->gfn);
	return fault->write && !(spte & SPTE_W) ? UMBRA_FAULT_EMULATE : UMBRA_FAULT_RETRY;
}

/**
 * shadow_map_ahead() - map what the host has present, before the guest asks for it
 * @vcpu: the vCPU
 * @slot: a slot, with maps
 * @sptep: the entry of level 1; nothing happens unless it is clear
 * @gfn: what it is to map; nothing happens where the slot has it not
 * @access: as the guest's entry allows
 * @pkey: its key
 *
 * Without A, so that aging still tells what the guest used; and not under policy pinned,
 * where each mapping takes a reference.
 */
void shadow_map_ahead(struct umbra_vcpu *vcpu, struct umbra_memslot *slot, u64 *sptep,
		      gfn_t gfn, unsigned int access, u8 pkey)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	struct umbra_host_page page;
	unsigned long hva;

	if (!umbra_slot_holds(slot, gfn) || READ_ONCE(*sptep) ||
	    !vcpu->arch.shadow->nr_descs || mmu->policy == UMBRA_POLICY_PINNED)
		return;
	hva = umbra_slot_hva(slot, gfn);
	if (umbra_notifier_covers(&mmu->notifier, hva, PAGE_SIZE) ||
	    !umbra_hostpt_scan(mmu->mm, hva, &page, 1) || !page.present)
		return;
	shadow_set_leaf(vcpu, slot, gfn, UMBRA_LEVEL_4K, sptep,
			shadow_make_leaf(mmu, slot, gfn, page.pfn, UMBRA_LEVEL_4K, access,
					 pkey, page.writable, false) | SPTE_PAGE);
	vcpu->mmu.stat.pf_around++;
}

/*
 * Neighbours in the same table, without A, so that aging still tells which ones the
 * guest used. In the guest's table only entries count that the guest has used before:
 * A may not be set for it.
 */
static void map_around(struct descent *d, u64 *sptep)
{
	const struct umbra_walk *w = d->walk;
	struct umbra_sp *sp = sptep_sp(sptep);
	unsigned int at = shadow_index(d->gva, UMBRA_LEVEL_4K) % SHADOW_AROUND;
	u64 gptes[SHADOW_AROUND];
	int i;

	sptep -= at;
	if (!sp->role.direct &&
	    umbra_read_gptes(d->vcpu, w->top > 2,
			     w->entry[0].gpa - at * (w->top > 2 ? 8 : 4), SHADOW_AROUND, gptes))
		return;
	for (i = 0; i < SHADOW_AROUND; i++) {
		struct umbra_gpte_leaf leaf = {
			d->fault->gfn + i - at, sp->role.access, w->pkey,
		};

		if (i == at ||
		    (!sp->role.direct && !umbra_gpte_leaf(d->vcpu, sp->role, gptes[i], &leaf)))
			continue;
		shadow_map_ahead(d->vcpu, d->fault->slot, sptep + i, leaf.gfn,
				 leaf.access & sp->role.access, leaf.pkey);
	}
}

/*
 * The entry of level 1 for the fault's address where nothing has to be made on the way.
 * Tables above level 1 are in sync, so a link says what the guest's entry says now; and
 * where the links end tells that the walk has read the same.
 */
static u64 *standing_leaf(struct descent *d)
{
	const struct umbra_walk *w = d->walk;
	struct umbra_sp *sp = w->level == 1 ? root_part(d) : NULL;
	u64 all = ~SPTE_NX, any = 0, spte;
	union umbra_sp_role role;
	int level;

	if (!sp)
		return NULL;
	role = sp->role;
	for (level = role.level; level > UMBRA_LEVEL_4K; level--) {
		spte = READ_ONCE(sp->spt[shadow_index(d->gva, level)]);
		if (!spte_is_table(spte, level))
			return NULL;
		shadow_use(sp);
		sp = spte_sp(spte);
		all &= w->entry[level - 1].gpte;
		any |= w->entry[level - 1].gpte;
	}
	role.level = UMBRA_LEVEL_4K;
	role.quadrant = w->top == 2 ? d->gva >> (PAGE_SHIFT + 9) & 1 : 0;
	role.access &= umbra_gpte_access(d->vcpu, all | (any & SPTE_NX));
	if (!shadow_is_page(d->mmu, sp, w->entry[0].gpa >> PAGE_SHIFT, role))
		return NULL;
	return &sp->spt[shadow_index(d->gva, UMBRA_LEVEL_4K)];
}

/*
 * What the hardware found and refused: a leaf for the fault's frame that the host lets be
 * written knows as much as the host's tables.
 */
static bool mapped_page(const struct descent *d, u64 *sptep,
			struct umbra_host_page *page)
{
	u64 spte = sptep ? READ_ONCE(*sptep) : 0;

	if ((~spte & (SPTE_P | SPTE_HOST_W | SPTE_PAGE)) ||
	    umbra_rmap_head_of(sptep) != shadow_rmap(d->fault->slot, d->fault->gfn,
						     UMBRA_LEVEL_4K))
		return false;
	page->pfn = spte_pfn(spte);
	page->writable = true;
	return true;
}

/*
 * The frame, from the fault, from @sptep or from the host's tables. Return: the host's
 * level, or 0.
 */
static int host_page(const struct descent *d, u64 *sptep, struct umbra_host_page *page)
{
	const struct umbra_fault *fault = d->fault;
	const struct umbra_pfn *pfn = &fault->page;
	int level;

	if (umbra_pfn_is_error(pfn->pfn) && mapped_page(d, sptep, page))
		return UMBRA_LEVEL_4K;
	level = umbra_hostpt_scan(d->mmu->mm, fault->hva, page, 1);
	if (umbra_pfn_is_error(pfn->pfn))
		return level && page->present && (page->writable || !fault->write) ? level : 0;
	if (!pfn->counted || !level || !page->present || page->pfn != pfn->pfn)
		level = UMBRA_LEVEL_4K;
	page->pfn = pfn->pfn;
	page->writable = pfn->writable;
	return level;
}

/* Does the key deny a write, which the walk has allowed, to hardware that has WP set? */
static bool key_denies(const struct descent *d, unsigned int access)
{
	const struct umbra_arch_vcpu *arch = &d->vcpu->arch;

	return (access & UMBRA_PERM_USER) && (arch->cr4 & X86_CR4_PKE) && d->walk->top > 3 &&
	       (arch->pkru >> (d->walk->pkey * 2) & 2);
}

/*
 * What the leaf is to allow. A write that the walk has allowed to the supervisor and the
 * entry does not: see the head of this file. False when it has to be emulated.
 */
static bool widen_access(const struct descent *d, unsigned int *access)
{
	unsigned long cr4 = d->vcpu->arch.cr4;

	if (!d->fault->write ||
	    ((*access & UMBRA_PERM_WRITE) && !key_denies(d, *access)))
		return true;
	if (*access & UMBRA_PERM_USER) {
		/* AC and PKRU decide about each access: not for a mapping to do. */
		if (cr4 & (X86_CR4_SMAP | X86_CR4_PKE))
			return false;
		if (cr4 & X86_CR4_SMEP)
			*access &= ~UMBRA_PERM_EXEC;
	}
	*access = (*access | UMBRA_PERM_WRITE) & ~UMBRA_PERM_USER;
	return true;
}

/*
 * The entry to be made a leaf, and its level; NULL when the walk has to be made again,
 * or a slot's maps.
 */
static u64 *place(struct descent *d, int host_level, int *level)
{
	u64 *sptep;

	*level = goal_level(d, host_level);
	sptep = descend(d, *level);
	/* A table that is shadowed from now on may lie in the very frame to be mapped. */
	if (sptep && *level > UMBRA_LEVEL_4K && goal_level(d, host_level) < *level) {
		*level = goal_level(d, host_level);
		sptep = descend(d, *level);
	}
	return sptep;
}

/* The leaf for the fault. */
static u64 make_leaf(struct descent *d, const struct umbra_host_page *page, int level,
		     unsigned int access)
{
	const struct umbra_fault *fault = d->fault;
	bool known = !umbra_pfn_is_error(fault->page.pfn);
	u64 spte;

	if (fault->write && (access & UMBRA_PERM_WRITE) && page->writable &&
	    level == UMBRA_LEVEL_4K && shadow_protects(d->mmu, fault->gfn) &&
	    shadow_unsync(d->mmu, fault->gfn))
		d->vcpu->mmu.stat.mmu_unsync++;
	spte = shadow_make_leaf(d->mmu, fault->slot, fault->gfn,
				page->pfn & ~(umbra_level_pages(level) - 1), level, access,
				d->walk->pkey, page->writable, fault->write) | SPTE_A;
	if (!known || fault->page.counted)
		spte |= SPTE_PAGE;
	if (known && fault->page.counted && d->mmu->policy == UMBRA_POLICY_PINNED)
		spte |= SPTE_PINNED;
	return spte;
}

/* @map and @map_exclusive of struct umbra_mmu_ops */
int shadow_map(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault)
{
	const struct umbra_walk *w = &to_shadow_fault(fault)->walk;
	struct descent d = {
		.vcpu = mv_vcpu(mv), .mmu = mv->mmu, .fault = fault, .walk = w,
		.gva = to_shadow_fault(fault)->gva,
	};
	int host_level, level = UMBRA_LEVEL_4K, ret;
	unsigned int access = leaf_access(d.mmu, w);
	bool known = !umbra_pfn_is_error(fault->page.pfn), around;
	struct umbra_host_page page;
	u64 *sptep;

	if (!shadow_cache_full(d.vcpu) || !fault->slot->maps)
		return known ? UMBRA_FAULT_RETRY : UMBRA_FAULT_SLEEP;
	if (!umbra_shadow_root_good(d.vcpu) || umbra_walk_changed(d.vcpu, w, w->level))
		return UMBRA_FAULT_RETRY;
	sptep = standing_leaf(&d);
	host_level = host_page(&d, sptep, &page);
	if (!host_level)
		return UMBRA_FAULT_SLEEP;
	if (!widen_access(&d, &access))
		return UMBRA_FAULT_EMULATE;
	if (!sptep)
		sptep = place(&d, host_level, &level);
	if (sptep) {
		/* Where the page is mapped and lacks a right, so are its neighbours. */
		around = level == UMBRA_LEVEL_4K && !known &&
			 !spte_is_mapped(READ_ONCE(*sptep));
		ret = install(&d, sptep, level, make_leaf(&d, &page, level, access));
		mv->stat.pf_fixed++;
		if (around)
			map_around(&d, sptep);
	} else {
		/* The slot of a table may lack its maps: a new one has none. */
		ret = known ? UMBRA_FAULT_RETRY : UMBRA_FAULT_SLEEP;
	}
	if (d.flush)
		umbra_mmu_flush(d.mmu);
	return ret;
}
