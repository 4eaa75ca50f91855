// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest page-table walker (APM volume 2, 5.2 to 5.6; SDM volume 3, chapter 4).
 *
 * Invariants
 * - Permissions are judged on the entries as they were read; A and D are set by
 *   compare-and-exchange against the same values, so a walk that succeeds used one
 *   consistent entry at each level.
 * - A fault leaves the guest's memory as it was.
 * - A table in a read-only slot is walked and its A and D bits stay as they are.
 *
 * Locks: mmu->srcu held; current->mm is the VM's.
 */
#include <linux/uaccess.h>

#include "emul.h"
#include "shadow.h"

#define PTE_P		BIT_ULL(0)
#define PTE_W		BIT_ULL(1)
#define PTE_U		BIT_ULL(2)
#define PTE_A		BIT_ULL(5)
#define PTE_D		BIT_ULL(6)
#define PTE_PS		BIT_ULL(7)
#define PTE_NX		BIT_ULL(63)
#define PTE_PKEY_SHIFT	59

/**
 * struct walk_format - one kind of page table
 * @levels: levels, the root's being the highest
 * @wide: entries have 8 bytes and a level resolves 9 bits, else 4 and 10
 * @pdpt: the highest level is PAE's table of four, which has neither permissions nor
 *	an accessed bit
 * @leaf_levels: levels that may have leaf entries, a mask of 1 << level
 * @cr3_mask: the bits of CR3 that name the root table
 */
struct walk_format {
	u8 levels;
	bool wide;
	bool pdpt;
	u8 leaf_levels;
	u64 cr3_mask;
};

#define ADDR_MASK	GENMASK_ULL(51, 12)

static const struct walk_format format_32 = {
	.levels = 2, .leaf_levels = BIT(1), .cr3_mask = GENMASK_ULL(31, 12),
};

static const struct walk_format format_32_pse = {
	.levels = 2, .leaf_levels = BIT(1) | BIT(2),
	.cr3_mask = GENMASK_ULL(31, 12),
};

static const struct walk_format format_pae = {
	.levels = 3, .wide = true, .pdpt = true,
	.leaf_levels = BIT(1) | BIT(2), .cr3_mask = GENMASK_ULL(31, 5),
};

static const struct walk_format format_4 = {
	.levels = 4, .wide = true, .leaf_levels = BIT(1) | BIT(2) | BIT(3),
	.cr3_mask = ADDR_MASK,
};

static const struct walk_format format_5 = {
	.levels = 5, .wide = true, .leaf_levels = BIT(1) | BIT(2) | BIT(3),
	.cr3_mask = ADDR_MASK,
};

static const struct walk_format *walk_format(const struct umbra_arch_vcpu *arch)
{
	if (arch->efer & EFER_LMA)
		return arch->cr4 & X86_CR4_LA57 ? &format_5 : &format_4;
	if (arch->cr4 & X86_CR4_PAE)
		return &format_pae;
	return arch->cr4 & X86_CR4_PSE ? &format_32_pse : &format_32;
}

/*
 * User address of a gpte; NULL where there is no memory. *@slot is a slot to try first:
 * the tables of a guest are seldom spread over many.
 */
static __always_inline void __user *
gpte_hva(struct umbra_vcpu *vcpu, gpa_t gpa, struct umbra_memslot **slot)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;

	if (!*slot || !umbra_slot_holds(*slot, gfn))
		*slot = umbra_memslots_find(umbra_mmu_slots(&vcpu->vm->mmu), gfn);
	if (unlikely(!*slot))
		return NULL;
	return (void __user *)(umbra_slot_hva(*slot, gfn) + offset_in_page(gpa));
}

static __always_inline int read_gpte(struct umbra_vcpu *vcpu, bool wide, gpa_t gpa,
				     struct umbra_memslot **slot, unsigned int flags,
				     u64 *gpte)
{
	void __user *hva = gpte_hva(vcpu, gpa, slot);
	u32 narrow;
	int err;

	if (unlikely(!hva))
		return UMBRA_WALK_NOMEM;
	if (likely(wide)) {
		err = __get_user(*gpte, (u64 __user *)hva);
	} else {
		err = __get_user(narrow, (u32 __user *)hva);
		*gpte = narrow;
	}
	if (likely(!err))
		return UMBRA_WALK_OK;
	return flags & UMBRA_WALK_ATOMIC ? UMBRA_WALK_SLEEP : UMBRA_WALK_GONE;
}

/* Bits that must be zero in every present entry but a PDPTE of PAE's. */
static __always_inline u64 reserved_always(const struct umbra_arch_vcpu *arch,
					   const struct walk_format *f, bool wide)
{
	u64 rsvd;

	if (!wide)
		return 0;
	rsvd = arch->limits.gpa_rsvd & ADDR_MASK;
	if (!(arch->efer & EFER_NX))
		rsvd |= PTE_NX;
	if (unlikely(f->pdpt))
		rsvd |= GENMASK_ULL(62, 52);
	return rsvd;
}

/* Bits that must be zero besides where PS is set above level 1. */
static u64 reserved_large(const struct umbra_arch_vcpu *arch,
			  const struct walk_format *f, int level)
{
	/* PSE-36: bits 20:13 are address bits 39:32, bit 21 is zero. */
	if (!f->wide)
		return f->leaf_levels & BIT(2) ?
		       BIT_ULL(21) | (arch->limits.gpa_rsvd >> 19 &
				      GENMASK_ULL(20, 13)) : 0;
	if (level > 3 || (level == 3 && !arch->limits.page1g))
		return PTE_PS;
	return GENMASK_ULL(12 + 9 * (level - 1) - 1, 13);
}

#define PDPTE_RSVD	(GENMASK_ULL(63, 52) | GENMASK_ULL(8, 5) | GENMASK_ULL(2, 1))

/* Is the leaf's protection key against it? (SDM volume 3, 4.6.2) */
static bool pkey_denies(const struct umbra_arch_vcpu *arch, const struct umbra_walk *w,
			unsigned int flags)
{
	u32 key;

	if (!(arch->cr4 & X86_CR4_PKE) || !(arch->efer & EFER_LMA) ||
	    !(w->access & UMBRA_PERM_USER) || (flags & UMBRA_ACCESS_FETCH))
		return false;
	key = arch->pkru >> (w->pkey * 2) & 3;
	if (key & 1)
		return true;
	return (key & 2) && (flags & UMBRA_ACCESS_WRITE) &&
	       ((flags & UMBRA_WALK_USER) || (arch->cr0 & X86_CR0_WP));
}

/* Does the leaf deny the access? Error bits beside P, W, U and I are in *error. */
static bool denied(const struct umbra_arch_vcpu *arch, const struct umbra_walk *w,
		   unsigned int flags, u32 *error)
{
	bool user = (flags & UMBRA_WALK_USER) && !(flags & UMBRA_ACCESS_SYSTEM);

	if (pkey_denies(arch, w, flags)) {
		*error |= UMBRA_PF_PK;
		return true;
	}
	if (user && !(w->access & UMBRA_PERM_USER))
		return true;
	if (flags & UMBRA_ACCESS_FETCH) {
		if (!(w->access & UMBRA_PERM_EXEC))
			return true;
		return !user && (arch->cr4 & X86_CR4_SMEP) &&
		       (w->access & UMBRA_PERM_USER);
	}
	if ((flags & UMBRA_ACCESS_WRITE) && !(w->access & UMBRA_PERM_WRITE) &&
	    (user || (arch->cr0 & X86_CR0_WP)))
		return true;
	return !user && (arch->cr4 & X86_CR4_SMAP) && (w->access & UMBRA_PERM_USER) &&
	       ((flags & UMBRA_ACCESS_SYSTEM) || !(arch->rflags & X86_EFLAGS_AC));
}

static int walk_fault(const struct umbra_arch_vcpu *arch, struct umbra_walk *w,
		      unsigned int flags, u32 error)
{
	if (flags & UMBRA_ACCESS_WRITE)
		error |= UMBRA_PF_W;
	if ((flags & UMBRA_WALK_USER) && !(flags & UMBRA_ACCESS_SYSTEM))
		error |= UMBRA_PF_U;
	/* NX exists in entries of 8 bytes only, whatever EFER says. */
	if ((flags & UMBRA_ACCESS_FETCH) &&
	    (((arch->efer & EFER_NX) && (arch->cr4 & X86_CR4_PAE)) ||
	     (arch->cr4 & X86_CR4_SMEP)))
		error |= UMBRA_PF_I;
	w->error = error;
	return UMBRA_WALK_FAULT;
}

/* Set bits in one gpte, if it is still what was read; @slot as for gpte_hva(). */
static int update_gpte(struct umbra_vcpu *vcpu, bool wide, struct umbra_memslot *slot,
		       struct umbra_walk_entry *entry, u64 bits)
{
	void __user *hva = gpte_hva(vcpu, entry->gpa, &slot);
	u64 new = entry->gpte | bits;
	int r;

	if (!hva)
		return UMBRA_WALK_NOMEM;
	if (umbra_slot_readonly(slot))
		return UMBRA_WALK_OK;
	if (wide) {
		u64 old = entry->gpte;

		r = __try_cmpxchg_user((u64 __user *)hva, &old, new, fault64);
	} else {
		u32 old = entry->gpte;

		r = __try_cmpxchg_user((u32 __user *)hva, &old, (u32)new, fault32);
	}
	if (r)
		return r < 0 ? UMBRA_WALK_GONE : UMBRA_WALK_RACE;
	umbra_mark_dirty(&vcpu->mmu, slot, entry->gpa >> PAGE_SHIFT);
	entry->gpte = new;
	return UMBRA_WALK_OK;
}

/* The A bit of every level and the D bit of a leaf that is written. */
static int set_accessed(struct umbra_vcpu *vcpu, const struct walk_format *f,
			struct umbra_memslot *slot, struct umbra_walk *w,
			unsigned int flags)
{
	int level;

	for (level = w->top; level >= w->level; level--) {
		struct umbra_walk_entry *entry = &w->entry[level - 1];
		u64 bits = PTE_A;
		int r;

		if (f->pdpt && level == 3)
			continue;
		if (level == w->level && (flags & UMBRA_ACCESS_WRITE))
			bits |= PTE_D;
		if (likely((entry->gpte & bits) == bits))
			continue;
		r = update_gpte(vcpu, f->wide, slot, entry, bits);
		if (unlikely(r))
			return r == UMBRA_WALK_GONE && (flags & UMBRA_WALK_ATOMIC) ?
			       UMBRA_WALK_SLEEP : r;
	}
	return UMBRA_WALK_OK;
}

static gpa_t leaf_gpa(const struct walk_format *f, int level, u64 gpte, u64 gva)
{
	u64 offset = GENMASK_ULL(12 + (f->wide ? 9 : 10) * (level - 1) - 1, 0);
	gpa_t base = f->wide ? gpte & ADDR_MASK : gpte & GENMASK_ULL(31, 12);

	if (!f->wide && level == 2)
		base = (gpte & GENMASK_ULL(31, 22)) | (gpte & GENMASK_ULL(20, 13)) << 19;
	return (base & ~offset) | (gva & offset);
}

/* Judge the leaf that was reached. */
static __always_inline int walk_leaf(struct umbra_vcpu *vcpu,
				     const struct walk_format *f, bool wide, u64 gva,
				     unsigned int flags, u64 all, u64 any,
				     struct umbra_memslot *slot, struct umbra_walk *w)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;
	u64 gpte = w->entry[w->level - 1].gpte;
	u32 error = UMBRA_PF_P;

	w->access = (all & PTE_W ? UMBRA_PERM_WRITE : 0) |
		    (all & PTE_U ? UMBRA_PERM_USER : 0) |
		    (wide && (any & PTE_NX) ? 0 : UMBRA_PERM_EXEC);
	w->pkey = wide ? gpte >> PTE_PKEY_SHIFT & 15 : 0;
	if (unlikely(denied(arch, w, flags, &error)))
		return walk_fault(arch, w, flags, error);
	w->gpa = leaf_gpa(f, w->level, gpte, gva);
	return flags & UMBRA_WALK_PEEK ? UMBRA_WALK_OK : set_accessed(vcpu, f, slot, w, flags);
}

/* @wide is a constant: the loop is compiled for both sizes of entries. */
static __always_inline int walk_tables(struct umbra_vcpu *vcpu,
				       const struct walk_format *f, bool wide, u64 gva,
				       unsigned int flags, struct umbra_walk *w)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;
	const unsigned int bits = wide ? 9 : 10;
	const u64 addr_mask = wide ? ADDR_MASK : GENMASK_ULL(31, 12);
	const u64 always = reserved_always(arch, f, wide);
	gpa_t table = arch->cr3 & f->cr3_mask;
	unsigned int shift = 12 + bits * (f->levels - 1);
	struct umbra_memslot *slot = NULL;
	u64 all = ~0ULL, any = 0;
	int level;

	w->top = f->levels;
	for (level = f->levels;; level--, shift -= bits) {
		gpa_t gpa = table + ((gva >> shift & (BIT(bits) - 1)) << (wide ? 3 : 2));
		u64 gpte, rsvd = always;
		int r;

		w->level = level;
		r = read_gpte(vcpu, wide, gpa, &slot, flags, &gpte);
		if (unlikely(r))
			return r;
		w->entry[level - 1].gpa = gpa;
		w->entry[level - 1].gpte = gpte;
		if (unlikely(!(gpte & PTE_P)))
			return walk_fault(arch, w, flags, 0);
		if (unlikely(f->pdpt && level == 3)) {
			rsvd = (always & ADDR_MASK) | PDPTE_RSVD;
			/* QEMU's CPU sets A where it walks these tables itself. */
			if (!umbra_shadowed(vcpu))
				rsvd &= ~PTE_A;
		} else {
			all &= gpte;
			any |= gpte;
			if (level > 1 && (gpte & PTE_PS))
				rsvd |= reserved_large(arch, f, level);
		}
		if (unlikely(gpte & rsvd))
			return walk_fault(arch, w, flags, UMBRA_PF_P | UMBRA_PF_RSVD);
		if (level == 1 || ((gpte & PTE_PS) && (f->leaf_levels & BIT(level))))
			break;
		table = gpte & addr_mask;
	}
	return walk_leaf(vcpu, f, wide, gva, flags, all, any, slot, w);
}

static int walk_format_tables(struct umbra_vcpu *vcpu, u64 gva, unsigned int flags,
			      struct umbra_walk *w)
{
	const struct walk_format *f = walk_format(&vcpu->arch);

	if (likely(f->wide))
		return walk_tables(vcpu, f, true, gva, flags, w);
	return walk_tables(vcpu, f, false, gva, flags, w);
}

/**
 * umbra_walk() - translate a linear address as the guest's CPU would
 * @vcpu: the vCPU; mmu->srcu held
 * @gva: linear address, canonical; outside long mode its low 32 bits count
 * @flags: UMBRA_ACCESS_* and UMBRA_WALK_*
 * @walk: result
 *
 * Sleeps but with UMBRA_WALK_ATOMIC. Return: enum umbra_walk_result; *@walk is valid
 * as far as its comment says for UMBRA_WALK_OK, and the entries read so far for
 * UMBRA_WALK_FAULT.
 */
enum umbra_walk_result umbra_walk(struct umbra_vcpu *vcpu, u64 gva,
				  unsigned int flags, struct umbra_walk *walk)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;
	int r;

	if (!(arch->efer & EFER_LMA))
		gva = (u32)gva;
	if (unlikely(!(arch->cr0 & X86_CR0_PG))) {
		walk->gpa = gva;
		walk->level = 0;
		walk->top = 0;
		walk->access = UMBRA_PERM_WRITE | UMBRA_PERM_USER | UMBRA_PERM_EXEC;
		walk->pkey = 0;
		return UMBRA_WALK_OK;
	}
	if (flags & UMBRA_WALK_ATOMIC)
		pagefault_disable();
	r = walk_format_tables(vcpu, gva, flags, walk);
	if (flags & UMBRA_WALK_ATOMIC)
		pagefault_enable();
	return r;
}

/* Where the root table is, by CR3. */
gpa_t umbra_cr3_table(const struct umbra_vcpu *vcpu)
{
	return vcpu->arch.cr3 & walk_format(&vcpu->arch)->cr3_mask;
}

/* UMBRA_PERM_* of one entry. */
unsigned int umbra_gpte_access(const struct umbra_vcpu *vcpu, u64 gpte)
{
	return (gpte & PTE_W ? UMBRA_PERM_WRITE : 0) |
	       (gpte & PTE_U ? UMBRA_PERM_USER : 0) |
	       (walk_format(&vcpu->arch)->wide && (gpte & PTE_NX) ? 0 : UMBRA_PERM_EXEC);
}

/**
 * umbra_gpte_leaf() - what an entry of the last level means
 * @vcpu: a vCPU of the VM, in whatever mode
 * @role: of the shadow page that stands for the table; says what its format is
 * @gpte: the entry
 * @leaf: result
 *
 * Return: false when a walk could not use it, or would have to set A in it.
 */
bool umbra_gpte_leaf(const struct umbra_vcpu *vcpu, union umbra_sp_role role, u64 gpte,
		     struct umbra_gpte_leaf *leaf)
{
	bool wide = role.top > 2;
	u64 rsvd = 0;

	if (wide)
		rsvd = (vcpu->arch.limits.gpa_rsvd & ADDR_MASK) | (role.nx ? 0 : PTE_NX) |
		       (role.top == 3 ? GENMASK_ULL(62, 52) : 0);
	if ((gpte & (PTE_P | PTE_A | rsvd)) != (PTE_P | PTE_A))
		return false;
	leaf->gfn = (gpte & ADDR_MASK) >> PAGE_SHIFT;
	leaf->access = (gpte & PTE_W && gpte & PTE_D ? UMBRA_PERM_WRITE : 0) |
		       (gpte & PTE_U ? UMBRA_PERM_USER : 0) |
		       (gpte & PTE_NX ? 0 : UMBRA_PERM_EXEC);
	leaf->pkey = gpte >> PTE_PKEY_SHIFT & 15;
	return true;
}

/**
 * umbra_read_gptes() - entries that are neighbours in a guest's table
 * @vcpu: the vCPU; mmu->srcu held; does not sleep
 * @wide: they have 8 bytes
 * @gpa: of the first; all are in one page
 * @count: how many
 * @gptes: result
 *
 * Return: 0, or -EFAULT when they are not at hand.
 */
int umbra_read_gptes(struct umbra_vcpu *vcpu, bool wide, gpa_t gpa, unsigned int count,
		     u64 *gptes)
{
	struct umbra_memslot *slot = NULL;
	unsigned int i;
	int err = 0;

	pagefault_disable();
	for (i = 0; i < count && !err; i++, gpa += wide ? 8 : 4)
		err = read_gpte(vcpu, wide, gpa, &slot, UMBRA_WALK_ATOMIC, &gptes[i]);
	pagefault_enable();
	return err ? -EFAULT : 0;
}

/**
 * umbra_walk_changed() - has the guest changed an entry since the walk?
 * @vcpu: the vCPU; mmu->srcu held; does not sleep
 * @walk: the walk
 * @top: the highest level that is looked at
 *
 * Also true when an entry cannot be read without sleeping.
 */
bool umbra_walk_changed(struct umbra_vcpu *vcpu, const struct umbra_walk *walk, int top)
{
	bool wide = walk_format(&vcpu->arch)->wide, changed = false;
	struct umbra_memslot *slot = NULL;
	int level;
	u64 gpte;

	pagefault_disable();
	for (level = top; level && level >= walk->level && !changed; level--)
		changed = read_gpte(vcpu, wide, walk->entry[level - 1].gpa, &slot,
				    UMBRA_WALK_ATOMIC, &gpte) ||
			  gpte != walk->entry[level - 1].gpte;
	pagefault_enable();
	return changed;
}

/* UMBRA_WALK_USER if the guest is at CPL 3. */
unsigned int umbra_walk_flags(struct umbra_vcpu *vcpu)
{
	return umbra_backend->cpl(vcpu) == 3 ? UMBRA_WALK_USER : 0;
}

/**
 * umbra_peek_insn() - the first bytes of the current instruction
 * @vcpu: the vCPU; mmu->srcu held
 * @bytes: result: the first four
 *
 * Never sleeps, changes nothing. Return: 0, or -EAGAIN when the long way
 * (the emulator's decoder) must be taken.
 */
int umbra_peek_insn(struct umbra_vcpu *vcpu, u32 *bytes)
{
	struct umbra_walk *walk = &vcpu->arch.emul->walk;
	u64 gva = umbra_linear_rip(vcpu);
	struct umbra_memslot *slot = NULL;
	void __user *hva;
	int err;

	if (unlikely(offset_in_page(gva) > PAGE_SIZE - sizeof(*bytes)))
		return -EAGAIN;
	if (umbra_walk(vcpu, gva, umbra_walk_flags(vcpu) | UMBRA_ACCESS_FETCH |
		       UMBRA_WALK_ATOMIC | UMBRA_WALK_PEEK, walk))
		return -EAGAIN;
	hva = gpte_hva(vcpu, walk->gpa, &slot);
	if (!hva)
		return -EAGAIN;
	pagefault_disable();
	err = __get_user(*bytes, (u32 __user *)hva);
	pagefault_enable();
	return err ? -EAGAIN : 0;
}
