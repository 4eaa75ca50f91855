// SPDX-License-Identifier: GPL-2.0-only
/*
 * The roots of a vCPU, and the shadow MMU's operations.
 *
 * A root stands for one value of CR3 in one mode. Legacy modes run on PAE shadow tables,
 * whose four top entries are in a page of the vCPU's own; long mode on tables as deep as
 * the guest's. The vCPU remembers its last roots, so that coming back to one costs
 * a look. A root whose shadow pages were zapped, or are of an old generation, is
 * not entered: who zaps flushes, and after a flush each vCPU looks.
 *
 * Locks: roots are their vCPU's; shadow pages mmu->lock's.
 */
#include <linux/slab.h>
#include <umbra/x86_mmu.h>
#include "shadow.h"

/* Shadow pages that the hardware's CR3 leads to: one, or four with PAE's tables. */
static int root_parts(const struct umbra_shadow_root *root)
{
	return root->role.level > 2 ? 1 : 4;
}

static void put_root(struct umbra_mmu *mmu, struct umbra_shadow_root *root)
{
	int i;

	for (i = 0; i < 4; i++)
		if (root->sp[i])
			shadow_put_root(mmu, root->sp[i]);
	memset(root, 0, sizeof(*root));
}

static bool root_alive(const struct umbra_mmu *mmu, const struct umbra_shadow_root *root)
{
	unsigned long gen = READ_ONCE(mmu->arch.shadow->gen);
	int i, parts = root_parts(root);

	if (shadow_uses_old_roots(mmu))
		return root->role.level;
	for (i = 0; i < parts; i++)
		if (root->sp[i] && (READ_ONCE(root->sp[i]->zapped) || root->sp[i]->gen != gen))
			return false;
	return root->role.level;
}

/**
 * umbra_shadow_root_good() - may the vCPU run on its root?
 * @vcpu: the vCPU; its own thread calls
 */
bool umbra_shadow_root_good(struct umbra_vcpu *vcpu)
{
	const struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;

	return sv->good && root_alive(&vcpu->vm->mmu, sv->root);
}

/* The role of the top shadow table in the vCPU's mode. */
static union umbra_sp_role root_role(const struct umbra_vcpu *vcpu)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;
	bool wp = arch->cr0 & X86_CR0_WP;
	union umbra_sp_role role = { .word = 0 };

	role.level = 2;
	role.access = UMBRA_PERM_WRITE | UMBRA_PERM_USER | UMBRA_PERM_EXEC;
	if (!(arch->cr0 & X86_CR0_PG)) {
		role.direct = 1;
		return role;
	}
	role.nx = !!(arch->efer & EFER_NX);
	role.wp = wp;
	role.smep = !wp && (arch->cr4 & X86_CR4_SMEP);
	role.smap = !wp && (arch->cr4 & (X86_CR4_SMAP | X86_CR4_PKE));
	if (arch->efer & EFER_LMA) {
		role.top = arch->cr4 & X86_CR4_LA57 ? 5 : 4;
		role.level = role.top;
	} else {
		role.top = arch->cr4 & X86_CR4_PAE ? 3 : 2;
	}
	role.pse = role.top == 2 && (arch->cr4 & X86_CR4_PSE);
	return role;
}

/* What the root is to be. 0, or -EFAULT when the guest's table is not there. */
static int wanted_root(struct umbra_vcpu *vcpu, struct umbra_shadow_root *root)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;
	gpa_t table;
	int i;

	memset(root, 0, sizeof(*root));
	root->role = root_role(vcpu);
	if (root->role.direct)
		return 0;
	root->cr3 = umbra_cr3_table(vcpu);
	if (root->role.top != 3)
		return 0;
	/* One load for each: another vCPU may be writing them. */
	table = arch->cr3 & GENMASK_ULL(31, 5);
	for (i = 0; i < ARRAY_SIZE(root->pdpte); i++)
		if (umbra_guest_read(&vcpu->vm->mmu, table + i * sizeof(u64),
				     &root->pdpte[i], sizeof(u64)))
			return -EFAULT;
	return 0;
}

static bool same_root(const struct umbra_shadow_root *a, const struct umbra_shadow_root *b)
{
	return a->role.word == b->role.word && a->cr3 == b->cr3 &&
	       (a->role.top != 3 || !memcmp(a->pdpte, b->pdpte, sizeof(a->pdpte)));
}

/* gfn of the guest's table for part @i of the root; false where there is none. */
static bool part_gfn(const struct umbra_shadow_root *root, int i, gfn_t *gfn)
{
	if (root->role.direct) {
		*gfn = (gfn_t)i << (30 - PAGE_SHIFT);
	} else if (root->role.top == 3) {
		if (!(root->pdpte[i] & SPTE_P))
			return false;
		*gfn = (root->pdpte[i] & SPTE_PFN_MASK) >> PAGE_SHIFT;
	} else {
		*gfn = root->cr3 >> PAGE_SHIFT;
	}
	return true;
}

/* The slots of the guest's tables get their maps; sleeps. */
static int prepare_root(struct umbra_vcpu *vcpu, const struct umbra_shadow_root *root)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	int i, err, parts = root_parts(root);

	shadow_reclaim(mmu);
	err = shadow_cache_fill(vcpu);
	for (i = 0; !err && i < parts; i++) {
		struct umbra_memslot *slot;
		gfn_t gfn;

		if (root->role.direct || !part_gfn(root, i, &gfn))
			continue;
		slot = umbra_memslots_find(umbra_mmu_slots(mmu), gfn);
		if (slot)
			err = shadow_make_maps(slot);
		else if (root->role.top != 3)
			err = -EFAULT;
		/* One of PAE's four may be illegal, and lead anywhere: who uses it faults. */
	}
	return err;
}

static void make_root(struct umbra_vcpu *vcpu, struct umbra_shadow_root *root)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	int i, parts = root_parts(root);
	bool flush = false;

	write_lock(&mmu->lock);
	for (i = 0; i < parts; i++) {
		union umbra_sp_role role = root->role;
		struct umbra_memslot *slot = NULL;
		gfn_t gfn;

		if (!part_gfn(root, i, &gfn))
			continue;
		if (!role.direct) {
			slot = shadow_table_slot(mmu, gfn);
			/* No memory, or the slot has changed since: see root_part(). */
			if (!slot)
				continue;
		}
		role.quadrant = role.top == 2 ? i : 0;
		root->sp[i] = shadow_get_page(vcpu, slot, gfn, role, &flush);
		root->sp[i]->roots++;
	}
	if (flush)
		umbra_mmu_flush(mmu);
	write_unlock(&mmu->lock);
}

/* What the hardware's CR3 is for the vCPU's root. */
static u64 hardware_root(struct umbra_shadow_vcpu *sv)
{
	const struct umbra_shadow_root *root = sv->root;
	int i;

	if (root->role.level > 2)
		return __pa(root->sp[0]->spt);
	/* Top entries of PAE have no rights, only P. */
	for (i = 0; i < 4; i++)
		sv->pae[i] = root->sp[i] ? __pa(root->sp[i]->spt) | SPTE_P : 0;
	return __pa(sv->pae);
}

/* The remembered root that was used least recently, forgotten. */
static struct umbra_shadow_root *forget_root(struct umbra_mmu *mmu,
					     struct umbra_shadow_vcpu *sv)
{
	struct umbra_shadow_root *root = &sv->roots[0];
	int i;

	for (i = 1; i < UMBRA_SHADOW_ROOTS; i++)
		if (sv->roots[i].used < root->used)
			root = &sv->roots[i];
	write_lock(&mmu->lock);
	put_root(mmu, root);
	write_unlock(&mmu->lock);
	return root;
}

/* The remembered root that is wanted, or NULL. */
static struct umbra_shadow_root *find_root(struct umbra_vcpu *vcpu,
					   const struct umbra_shadow_root *wanted)
{
	struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;
	int i;

	for (i = 0; i < UMBRA_SHADOW_ROOTS; i++)
		if (same_root(&sv->roots[i], wanted) &&
		    root_alive(&vcpu->vm->mmu, &sv->roots[i]))
			return &sv->roots[i];
	return NULL;
}

/* Have the hardware use a remembered root, with what is below it in sync. */
static void use_root(struct umbra_vcpu *vcpu, struct umbra_shadow_root *root)
{
	struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;
	int i, parts = root_parts(root);
	bool changed;
	u64 cr3;

	root->used = ++sv->changes;
	changed = root != sv->root;
	sv->root = root;
	cr3 = hardware_root(sv);
	if (changed || cr3 != vcpu->arch.shadow_cr3)
		umbra_backend->flush(vcpu);
	vcpu->arch.shadow_cr3 = cr3;
	umbra_backend->sync_cr(vcpu);
	for (i = 0; i < parts; i++)
		if (root->sp[i] && shadow_maybe_unsync(&vcpu->vm->mmu, root->sp[i]))
			shadow_sync_root(vcpu, root->sp[i]);
	sv->good = true;
}

/**
 * umbra_shadow_find_root() - go on with a remembered root, if there is one
 * @vcpu: the vCPU, with a new CR3; does not sleep
 *
 * Otherwise umbra_shadow_load_root() follows before the guest is entered. A PDPT would
 * have to be read, which may sleep.
 */
void umbra_shadow_find_root(struct umbra_vcpu *vcpu)
{
	struct umbra_shadow_root wanted, *root;

	wanted.role = root_role(vcpu);
	if (wanted.role.top == 3)
		return;
	wanted.cr3 = wanted.role.direct ? 0 : umbra_cr3_table(vcpu);
	root = find_root(vcpu, &wanted);
	if (root)
		use_root(vcpu, root);
}

/**
 * umbra_shadow_load_root() - find or make the root for the vCPU's registers
 * @vcpu: the vCPU, outside the inner section; mmu->srcu held; sleeps
 *
 * Return: 0; -EFAULT when CR3 names no memory; -ENOMEM.
 */
int umbra_shadow_load_root(struct umbra_vcpu *vcpu)
{
	struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	struct umbra_shadow_root wanted, *root;
	int err;

	err = wanted_root(vcpu, &wanted);
	if (err)
		return err;
	root = find_root(vcpu, &wanted);
	if (!root) {
		err = prepare_root(vcpu, &wanted);
		if (err)
			return err;
		root = forget_root(mmu, sv);
		make_root(vcpu, &wanted);
		*root = wanted;
		if (root->role.level > 2 && !root->sp[0]) {
			put_root(mmu, root);
			return 0;
		}
	}
	use_root(vcpu, root);
	return 0;
}

int umbra_shadow_vcpu_init(struct umbra_vcpu *vcpu)
{
	struct umbra_shadow_vcpu *sv;

	if (!umbra_shadowed(vcpu))
		return 0;
	sv = kzalloc(sizeof(*sv), GFP_KERNEL_ACCOUNT);
	if (!sv)
		return -ENOMEM;
	/* CR3 has 32 bits in PAE mode. */
	sv->pae = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT | GFP_DMA32);
	if (!sv->pae) {
		kfree(sv);
		return -ENOMEM;
	}
	sv->root = &sv->roots[0];
	vcpu->arch.shadow = sv;
	return 0;
}

void umbra_shadow_vcpu_destroy(struct umbra_vcpu *vcpu)
{
	struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	int i;

	if (!sv)
		return;
	write_lock(&mmu->lock);
	for (i = 0; i < UMBRA_SHADOW_ROOTS; i++)
		put_root(mmu, &sv->roots[i]);
	write_unlock(&mmu->lock);
	shadow_cache_empty(vcpu);
	free_page((unsigned long)sv->pae);
	kfree(sv);
	vcpu->arch.shadow = NULL;
}

static int shadow_init(struct umbra_mmu *mmu)
{
	struct umbra_shadow *shadow = kvzalloc(sizeof(*shadow), GFP_KERNEL_ACCOUNT);

	if (!shadow)
		return -ENOMEM;
	INIT_LIST_HEAD(&shadow->pages);
	write_lock(&mmu->lock);
	mmu->arch.shadow = shadow;
	write_unlock(&mmu->lock);
	return 0;
}

static void shadow_destroy(struct umbra_mmu *mmu)
{
	shadow_zap_all(mmu);
	kvfree(mmu->arch.shadow);
	mmu->arch.shadow = NULL;
}

const struct umbra_mmu_ops umbra_shadow_ops = {
	.name		= "shadow",
	.init		= shadow_init,
	.destroy	= shadow_destroy,
	.alone		= true,
	.prepared	= shadow_prepared,
	.prepare	= shadow_prepare,
	.map		= shadow_map,
	.map_exclusive	= shadow_map,
	.unmap		= shadow_unmap,
	.age		= shadow_age,
	.test_age	= shadow_test_age,
	.wrprot		= shadow_wrprot,
	.wrprot_slot	= shadow_wrprot_slot,
	.merge_slot	= shadow_merge_slot,
	.zap_slot	= shadow_zap_slot,
	.zap_all	= shadow_zap_all,
	.writing	= shadow_writing,
	.written	= shadow_written,
	.gfn_info	= shadow_gfn_info,
	.audit		= shadow_audit,
	.dump		= shadow_dump,
#ifdef UMBRA_TEST
	.hook		= shadow_hook,
#endif
};
