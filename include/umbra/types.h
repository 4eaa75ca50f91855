/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The words that every layer uses: address types, page counts, sizes by level.
 *
 * A level names the size of a mapping, in the architecture's own page-table
 * steps: level 1 is a base page.
 */
#ifndef _UMBRA_TYPES_H
#define _UMBRA_TYPES_H

#include <linux/types.h>
#include <linux/kvm_types.h>
#include <asm/page.h>

#define UMBRA_NAME "umbra"

/* Each level of a page table resolves this many address bits. */
#define UMBRA_LEVEL_BITS	9
#define UMBRA_LEVEL_4K		1
#define UMBRA_LEVEL_2M		2
#define UMBRA_LEVEL_1G		3
#define UMBRA_LEVEL_NUM		3

/* Base pages in one mapping of @level. */
static inline u64 umbra_level_pages(int level)
{
	return 1ULL << ((level - 1) * UMBRA_LEVEL_BITS);
}

/* First gfn of the mapping of @level that holds @gfn. */
static inline gfn_t umbra_level_base(gfn_t gfn, int level)
{
	return gfn & ~(umbra_level_pages(level) - 1);
}

#endif
