/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bits of an spte.
 *
 * Hardware bits are those of a long-mode page-table entry, which is what AMD's
 * nested page tables use (APM vol. 2, 15.25.5: U must be set at every level). The
 * bits that hardware ignores (9 to 11, 52 to 58) say what umbra knows besides.
 *
 * An spte is "mapped" when it is a translation, whether or not the hardware may
 * use it at the moment: without A bits in hardware, aging takes P away and sets
 * SPTE_TRACK instead, and the next access puts it back.
 */
#ifndef _UMBRA_SPTE_H
#define _UMBRA_SPTE_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <umbra/trace.h>
#include <umbra/types.h>

struct umbra_audit_run;
struct umbra_fault;
struct umbra_memslot;
struct umbra_mmu;
struct umbra_test_hook;

#define SPTE_P		BIT_ULL(0)	/* present */
#define SPTE_W		BIT_ULL(1)	/* writable */
#define SPTE_U		BIT_ULL(2)	/* user: always set */
#define SPTE_A_SHIFT	5
#define SPTE_A		BIT_ULL(SPTE_A_SHIFT)	/* accessed */
#define SPTE_D		BIT_ULL(6)	/* dirty */
#define SPTE_LARGE	BIT_ULL(7)	/* above level 1: a translation, not a table */

/* The host lets the process write: W may be given back without asking. */
#define SPTE_HOST_W	BIT_ULL(9)
/* The frame has a struct page, which is told of A and D. */
#define SPTE_PAGE	BIT_ULL(10)
/* The spte keeps a reference on that page (policy pinned). */
#define SPTE_PINNED	BIT_ULL(11)
/* P was taken away to see the next access. */
#define SPTE_TRACK	BIT_ULL(52)

#define SPTE_NX		BIT_ULL(63)	/* no fetches */
#define SPTE_PKEY	GENMASK_ULL(62, 59)	/* protection key */

#define SPTE_PFN_MASK	GENMASK_ULL(51, PAGE_SHIFT)

#define SPTE_HW_BITS	(SPTE_P | SPTE_W | SPTE_U | SPTE_A | SPTE_D | SPTE_LARGE | \
			 SPTE_NX | SPTE_PKEY)
#define SPTE_SW_BITS	(SPTE_HOST_W | SPTE_PAGE | SPTE_PINNED | SPTE_TRACK)

static_assert(!(SPTE_HW_BITS & SPTE_SW_BITS));
static_assert(!((SPTE_HW_BITS | SPTE_SW_BITS) & SPTE_PFN_MASK));

/* An entry that leads to a table; what it allows, the leaf decides. */
#define SPTE_TABLE	(SPTE_P | SPTE_W | SPTE_U | SPTE_A)

static inline bool spte_is_mapped(u64 spte)
{
	return spte & (SPTE_P | SPTE_TRACK);
}

/* Of a mapped spte: a translation rather than a table? */
static inline bool spte_is_leaf(u64 spte, int level)
{
	return level == UMBRA_LEVEL_4K || (spte & SPTE_LARGE);
}

static inline bool spte_is_table(u64 spte, int level)
{
	return spte_is_mapped(spte) && !spte_is_leaf(spte, level);
}

static inline u64 spte_pfn(u64 spte)
{
	return (spte & SPTE_PFN_MASK) >> PAGE_SHIFT;
}

static inline u64 *spte_child(u64 spte)
{
	return __va(spte & SPTE_PFN_MASK);
}

/*
 * Say that a leaf goes. @gfn is evaluated only while somebody listens: shadow paging has
 * to look for it.
 */
#define spte_trace_zap(mmu, gfn, level, spte) do {			\
	if (trace_umbra_zap_enabled())					\
		trace_umbra_zap((mmu)->id, gfn, level, spte);		\
	pr_debug("unmap: vm %u gfn %llx level %d spte %llx\n",		\
		 (mmu)->id, gfn, level, spte);				\
} while (0)

/* spte.c */
void spte_account(struct umbra_mmu *mmu, gfn_t gfn, int level, u64 old, u64 spte);
bool spte_wrprot(u64 *sptep);
int spte_goal_level(const struct umbra_fault *fault, int max);
bool spte_host_is_huge(struct umbra_mmu *mmu, const struct umbra_memslot *slot, gfn_t gfn);

/* spte_audit.c */
void spte_audit_leaf(struct umbra_audit_run *run, gfn_t gfn, int level, u64 spte);

#ifdef UMBRA_TEST
/* spte_hook.c */
u64 spte_spoiled(struct umbra_mmu *mmu, u32 hook, u64 spte);
#endif

/* Would the hardware let this access through? */
static inline bool spte_allows(u64 spte, bool write)
{
	return (spte & SPTE_P) && (!write || (spte & SPTE_W));
}

#endif
