/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's own page tables, walked by software as the CPU would.
 *
 * One walker serves no paging, 32-bit, PAE, 4-level and 5-level tables; a small
 * table of formats holds what differs. It tells where each entry stands and what it
 * holds, so that shadow paging can watch them.
 */
#ifndef _UMBRA_X86_WALK_H
#define _UMBRA_X86_WALK_H

#include "x86.h"

/* What to walk for: UMBRA_ACCESS_* of <umbra/emulate.h>, and: */
#define UMBRA_WALK_USER		BIT(4)	/* the access is made at CPL 3 */
#define UMBRA_WALK_ATOMIC	BIT(5)	/* do not sleep */
#define UMBRA_WALK_PEEK		BIT(6)	/* leave the guest's A and D bits alone */

#define UMBRA_WALK_LEVELS	5

/* Bits of a #PF error code (APM volume 2, 8.4.2). */
#define UMBRA_PF_P		BIT(0)
#define UMBRA_PF_W		BIT(1)
#define UMBRA_PF_U		BIT(2)
#define UMBRA_PF_RSVD		BIT(3)
#define UMBRA_PF_I		BIT(4)
#define UMBRA_PF_PK		BIT(5)

/* umbra_walk.access */
#define UMBRA_PERM_WRITE	BIT(0)
#define UMBRA_PERM_USER		BIT(1)
#define UMBRA_PERM_EXEC		BIT(2)

/**
 * struct umbra_walk_entry - one guest page-table entry that was used
 * @gpa: where it stands
 * @gpte: its value, with the A and D bits that the walk has set
 */
struct umbra_walk_entry {
	gpa_t gpa;
	u64 gpte;
};

/**
 * struct umbra_walk - one walk
 * @gpa: out: what the address translates to
 * @level: out: level of the leaf entry, 1 to 3; 0 without paging
 * @top: out: level of the root table; entry[level - 1] to entry[top - 1] are valid
 * @access: out: UMBRA_PERM_* that all levels together allow
 * @pkey: out: protection key of the leaf
 * @error: out: #PF error code, with UMBRA_WALK_FAULT
 * @entry: out: the entries, by level - 1
 */
struct umbra_walk {
	gpa_t gpa;
	u8 level;
	u8 top;
	u8 access;
	u8 pkey;
	u32 error;
	struct umbra_walk_entry entry[UMBRA_WALK_LEVELS];
};

/**
 * struct umbra_gpte_leaf - what an entry of the last level means
 * @gfn: the frame
 * @access: UMBRA_PERM_*; without writes where they would have to set D
 * @pkey: protection key
 */
struct umbra_gpte_leaf {
	gfn_t gfn;
	u8 access;
	u8 pkey;
};

/* What a walk came to. */
enum umbra_walk_result {
	UMBRA_WALK_OK = 0,
	UMBRA_WALK_FAULT,	/* the guest gets #PF with @error, and CR2 the address */
	UMBRA_WALK_SLEEP,	/* atomic: try again without UMBRA_WALK_ATOMIC */
	UMBRA_WALK_RACE,	/* the guest changed an entry meanwhile: begin again */
	UMBRA_WALK_NOMEM,	/* a table is outside memory: nobody can walk it */
	UMBRA_WALK_GONE,	/* the host has no memory behind a table: -EFAULT */
};

enum umbra_walk_result umbra_walk(struct umbra_vcpu *vcpu, u64 gva,
				  unsigned int flags, struct umbra_walk *walk);
gpa_t umbra_cr3_table(const struct umbra_vcpu *vcpu);
unsigned int umbra_gpte_access(const struct umbra_vcpu *vcpu, u64 gpte);
bool umbra_gpte_leaf(const struct umbra_vcpu *vcpu, union umbra_sp_role role, u64 gpte,
		     struct umbra_gpte_leaf *leaf);
int umbra_read_gptes(struct umbra_vcpu *vcpu, bool wide, gpa_t gpa, unsigned int count,
		     u64 *gptes);
bool umbra_walk_changed(struct umbra_vcpu *vcpu, const struct umbra_walk *walk, int top);
int umbra_peek_insn(struct umbra_vcpu *vcpu, u32 *bytes);
unsigned int umbra_walk_flags(struct umbra_vcpu *vcpu);

#endif
