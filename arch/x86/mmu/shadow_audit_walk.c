// SPDX-License-Identifier: GPL-2.0-only
/*
 * The audit's fresh walk: an entry of a shadow page that is in sync, against what the
 * guest's table says now.
 *
 * Rules
 *  1. An entry that leads to a shadow page leads to that of the guest's next table, or to a
 *     direct one for the guest's large page, with just the rights and the role that the
 *     guest's entry and those above it give.
 *  2. A leaf is in the chain of the gfn that the guest's entry names, and its U, NX and key
 *     are those of the entries on the way.
 *  3. W is no more than these allow: it needs D, and may be taken away for other reasons.
 *     With CR0.WP clear a leaf may allow writes to the supervisor alone instead, and then
 *     lacks U; with SMEP it cannot be executed then.
 *
 * It decodes entries by itself, so that a mistake of the walker's (walk.c) shows.
 *
 * Locks: mmu->lock held for writing.
 */
#include "shadow.h"

#define GPTE_P	BIT_ULL(0)
#define GPTE_W	BIT_ULL(1)
#define GPTE_U	BIT_ULL(2)
#define GPTE_D	BIT_ULL(6)
#define GPTE_PS	BIT_ULL(7)
#define GPTE_NX	BIT_ULL(63)

/* What an entry of a shadow page is to be. */
struct meant {
	gfn_t gfn;		/* of the leaf, or of what the child stands for */
	unsigned int access;	/* UMBRA_PERM_*, as the entry and those above allow */
	u8 pkey;
	bool translates;	/* it is a leaf, of whatever size */
};

/* The guest's entry that an entry of @sp was made from; false if it is not at hand. */
static bool read_gpte(struct umbra_audit_run *run, const struct umbra_sp *sp, int i, u64 *gpte)
{
	unsigned int at = i + sp->role.quadrant * SHADOW_ENTRIES, bytes = 8;
	struct umbra_memslot *slot;
	struct umbra_host_page page;
	unsigned long hva;
	void *entry;

	if (sp->role.top == 2) {
		bytes = 4;
		if (sp->role.level == 2)
			at /= 2;
	}
	slot = shadow_find_slot(run->mmu, sp->gfn);
	if (!run->host || !slot)
		return false;
	hva = umbra_slot_hva(slot, sp->gfn);
	if (umbra_notifier_covers(&run->mmu->notifier, hva, PAGE_SIZE) ||
	    !umbra_hostpt_scan(run->mmu->mm, hva, &page, 1) || !page.present)
		return false;
	entry = __va(page.pfn << PAGE_SHIFT) + at * bytes;
	*gpte = bytes == 8 ? READ_ONCE(*(u64 *)entry) : READ_ONCE(*(u32 *)entry);
	/* Nothing sets D in read-only memory. */
	if (umbra_slot_readonly(slot))
		*gpte |= GPTE_D;
	return true;
}

static bool is_large(const struct umbra_sp *sp, u64 gpte)
{
	if (sp->role.level == 1 || !(gpte & GPTE_PS))
		return false;
	return sp->role.top == 2 ? sp->role.pse : sp->role.level <= UMBRA_LEVEL_1G;
}

/* 4M of the 32-bit format, of which an entry of the shadow's maps a half. */
static gfn_t large_gfn_32(u64 gpte, int i)
{
	u64 base = (gpte & GENMASK_ULL(31, 22)) | (gpte & GENMASK_ULL(20, 13)) << 19;

	return (base >> PAGE_SHIFT) + (i & 1) * umbra_level_pages(UMBRA_LEVEL_2M);
}

static struct meant decode(const struct umbra_sp *sp, int i, u64 gpte)
{
	bool wide = sp->role.top > 2, large = is_large(sp, gpte);
	struct meant m = {
		.gfn = (gpte & SPTE_PFN_MASK) >> PAGE_SHIFT,
		.access = sp->role.access,
		.pkey = wide ? (gpte & SPTE_PKEY) >> 59 : 0,
		.translates = large || sp->role.level == 1,
	};

	if (large)
		m.gfn = wide ? umbra_level_base(m.gfn, sp->role.level) : large_gfn_32(gpte, i);
	if (!(gpte & GPTE_W) || (m.translates && !(gpte & GPTE_D)))
		m.access &= ~UMBRA_PERM_WRITE;
	if (!(gpte & GPTE_U))
		m.access &= ~UMBRA_PERM_USER;
	if (wide && (gpte & GPTE_NX))
		m.access &= ~UMBRA_PERM_EXEC;
	return m;
}

/* What a direct page says of its entry: its own rights, and its frames in order. */
static struct meant direct(const struct umbra_sp *sp, int i)
{
	return (struct meant) {
		.gfn = sp->gfn + i * umbra_level_pages(sp->role.level),
		.access = sp->role.access, .pkey = sp->role.pkey, .translates = true,
	};
}

/* Rule 2 and 3 */
static void check_rights(struct umbra_audit_run *run, const struct umbra_sp *sp, gfn_t gfn,
			 u64 spte, const struct meant *m)
{
	unsigned int access = m->access;

	if (!sp->role.wp && (spte & SPTE_W) && !(spte & SPTE_U)) {
		if ((access & UMBRA_PERM_USER) && sp->role.smep)
			access &= ~UMBRA_PERM_EXEC;
		access = (access | UMBRA_PERM_WRITE) & ~UMBRA_PERM_USER;
	}
	if (((spte & SPTE_W) && !(access & UMBRA_PERM_WRITE)) ||
	    !(spte & SPTE_U) != !(access & UMBRA_PERM_USER) ||
	    !(spte & SPTE_NX) != !!(access & UMBRA_PERM_EXEC) ||
	    (spte & SPTE_PKEY) >> 59 != m->pkey)
		umbra_audit_racy(run, gfn, sp->role.level, spte,
				 "a fresh walk allows %c%c%c with key %u",
				 access & UMBRA_PERM_WRITE ? 'w' : '-',
				 access & UMBRA_PERM_USER ? 'u' : '-',
				 access & UMBRA_PERM_EXEC ? 'x' : '-', m->pkey);
}

/* Rule 1: the role that the child is to have; D may have come since, by another use. */
static void check_role(struct umbra_audit_run *run, const struct umbra_sp *sp, int i,
		       const struct meant *m)
{
	const struct umbra_sp *child = spte_sp(sp->spt[i]);
	union umbra_sp_role role = sp->role;

	role.level--;
	role.quadrant = 0;
	role.access = m->access;
	if (m->translates) {
		role.direct = 1;
		role.pkey = m->pkey;
		role.access &= child->role.access | ~UMBRA_PERM_WRITE;
	} else if (role.top == 2) {
		role.quadrant = i & 1;
	}
	if (child->role.word != role.word)
		umbra_audit_racy(run, child->gfn, sp->role.level, sp->spt[i],
				 "leads to a page of role %x, a fresh walk to one of %x",
				 child->role.word, role.word);
}

/**
 * shadow_audit_walk() - one entry against a fresh walk
 * @run: the run
 * @sp: the shadow page
 * @i: which entry; it is mapped, and its child is of the level below
 * @gfn: of the leaf by its chain, or what the child stands for
 */
void shadow_audit_walk(struct umbra_audit_run *run, const struct umbra_sp *sp, int i, gfn_t gfn)
{
	u64 spte = READ_ONCE(sp->spt[i]), gpte = 0;
	struct meant m;

	if (sp->role.direct) {
		m = direct(sp, i);
	} else {
		if (sp->unsync || !read_gpte(run, sp, i, &gpte))
			return;
		if (!(gpte & GPTE_P)) {
			umbra_audit_racy(run, gfn, sp->role.level, spte,
					 "the guest's entry is not present");
			return;
		}
		m = decode(sp, i, gpte);
	}
	if (gfn != m.gfn)
		umbra_audit_racy(run, gfn, sp->role.level, spte,
				 "a fresh walk leads to gfn %llx", m.gfn);
	else if (spte_is_leaf(spte, sp->role.level))
		check_rights(run, sp, gfn, spte, &m);
	else
		check_role(run, sp, i, &m);
}
