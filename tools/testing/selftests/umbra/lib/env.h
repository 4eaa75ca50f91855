/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a test of paging starts from: an address space, memory for tables and some
 * pages of data.
 *
 * Tables, data and what both sides talk through have the same address in the
 * host, the guest and its physical memory. The identity map of the library stays
 * in each address space; what is tested lies at GVA.
 */
#ifndef _UMBRA_TEST_ENV_H
#define _UMBRA_TEST_ENV_H

#include "tables.h"

#define TABLES_SIZE (2UL << 20)
#define DATA_PAGES 64

struct env {
	struct tables t;
	u64 root;
	u64 identity;
	u64 *pte;	/* of GVA */
	u64 data;	/* DATA_PAGES pages; the first word of each is its number + 100 */
	u64 arg[8];
	shared_u64 trap, trap_error;
	shared_u64 bad;
};

/**
 * env_new() - memory of @vm with all of that, and the table that @pte is in
 */
struct env *env_new(struct vm *vm);

static inline u64 page(const struct env *e, int i)
{
	return e->data + i * PAGE_4K;
}

/**
 * guest_use_as_root() - have a table be one of the highest level as well
 * @table: of the last level; its first entry becomes the identity map's
 *
 * Such a table is never out of sync: from now on writes to it are emulated. The vCPU goes
 * on in the space of @e.
 */
void guest_use_as_root(const struct env *e, u64 *table);

/* Nothing is raised. */
#define NO_FAULT (~0UL)

/**
 * guest_expect() - one access in ring 0, which leaves 77 when it writes
 * @gva: where
 * @write: write or read
 * @want: the error code of its #PF, or NO_FAULT
 */
void guest_expect(u64 gva, bool write, u64 want);

/**
 * shadow_mode() - is @vm run with shadow paging, as far as the node can tell
 */
bool shadow_mode(struct vm *vm);

#endif
