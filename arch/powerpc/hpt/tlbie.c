// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making all CPUs forget translations of a guest (Power ISA 3.0B book III, 5.9.3.3 tlbie,
 * 5.10.1.2 the order in which a page table is changed).
 *
 * Invariant: when hpt_flush_now() returns, no CPU uses a translation of the HPTEs that
 * were collected, which were made invalid before, and what a CPU had to note of them (R,
 * C) stands in memory.
 *
 * A partition that has no number was never entered: nothing is cached of it.
 */
#include <asm/reg.h>

#include "hpt.h"

/* log2 of a page size as tlbie's AP field has it, for segments of 4K pages. */
static u64 tlbie_ap(unsigned int shift)
{
	switch (shift) {
	case 16:
		return 5;
	case 24:
		return 4;
	default:
		return 0;
	}
}

/*
 * RB of tlbie for an HPTE. What the AVPN leaves out of the address, 11 bits of it, is
 * found by undoing the hash: the low bits of the group's number are those of the VSID and
 * the page number combined.
 */
static __always_inline u64 tlbie_rb(u64 v, u64 r, unsigned long index)
{
	unsigned int shift = hpte_shift(v, r), base = hpte_base_shift(v, r);
	u64 low = index / HPTES_PER_GROUP;
	u64 va = (v & HPTE_V_AVPN) << (23 - HPTE_V_AVPN_SHIFT);
	u64 b = v >> HPTE_V_SSIZE_SHIFT;

	if (v & HPTE_V_SECONDARY)
		low = ~low;
	low ^= v >> (b ? 24 : 12);
	if (base < 23)
		va |= (low << base) & GENMASK_ULL(22, base);

	if (base == 12)
		return (va & ~GENMASK_ULL(11, 0)) | b << 8 | tlbie_ap(shift) << 5;
	/* Address bits that the LP field displaces are given once more, low (AVAL). */
	return (va & ~GENMASK_ULL(shift - 1, 0)) | (r & GENMASK_ULL(19, 12) &
	       GENMASK_ULL(shift - 1, 12)) | b << 8 | ((va >> 12) & 0xfe) | 1;
}

static bool may_flush(struct umbra_mmu *mmu)
{
#ifdef UMBRA_TEST
	if (READ_ONCE(mmu->hook_no_flush))
		return false;
#endif
	return mmu->arch.lpid;
}

static void invalidate_one(u64 rb, u64 rs)
{
	/* RIC = PRS = R = 0: with these POWER8 has it too. */
	asm volatile(".machine push; .machine power9; tlbie %0, %1, 0, 0, 0; .machine pop"
		     : : "r" (rb), "r" (rs) : "memory");
}

/* Interrupts stay on: who holds the lock waits for nobody. */
static void broadcast(struct umbra_mmu *mmu, const u64 *rb, unsigned int count)
{
	unsigned int i;

	spin_lock(&mmu->arch.tlbie_lock);
	asm volatile("ptesync" : : : "memory");
	for (i = 0; i < count; i++)
		invalidate_one(rb[i], mmu->arch.lpid);
	/*
	 * Errata of POWER9: the addresses that a thread keeps may outlive a tlbie while its
	 * partition or process number changes, unless one for radix tables follows, which
	 * matches nothing (R = 1); and stores may pass a tlbie unless it is given twice.
	 */
	if (count && cpu_has_feature(CPU_FTR_P9_TLBIE_ERAT_BUG))
		asm volatile("ptesync\n"
			     ".machine push; .machine power9; tlbie %0, %1, 0, 0, 1; .machine pop"
			     : : "r" (PPC_BIT(52)), "r" (0UL) : "memory");
	if (count && cpu_has_feature(CPU_FTR_P9_TLBIE_STQ_BUG)) {
		asm volatile("ptesync" : : : "memory");
		invalidate_one(rb[count - 1], mmu->arch.lpid);
	}
	asm volatile("eieio; tlbsync; ptesync" : : : "memory");
	spin_unlock(&mmu->arch.tlbie_lock);
}

static void flush_rbs(struct umbra_mmu *mmu, const u64 *rb, unsigned int count)
{
	if (!count || !may_flush(mmu))
		return;
	atomic64_inc(&mmu->stat.tlb_flush);
	broadcast(mmu, rb, count);
}

/**
 * hpt_flush_add() - collect an HPTE whose translation is to be forgotten
 * @mmu: the MMU
 * @flush: where to; flushed when it is full
 * @v: first doubleword
 * @r: second, as the hardware had it
 * @index: of the HPTE, which is not valid any more
 */
void hpt_flush_add(struct umbra_mmu *mmu, struct hpt_flush *flush, u64 v, u64 r,
		   unsigned long index)
{
	flush->rb[flush->count++] = tlbie_rb(v, r, index);
	if (flush->count == HPT_FLUSH_MAX)
		hpt_flush_now(mmu, flush);
}

/**
 * hpt_flush_now() - have what was collected forgotten
 * @mmu: the MMU; mmu->lock is held
 * @flush: empty afterwards
 */
void hpt_flush_now(struct umbra_mmu *mmu, struct hpt_flush *flush)
{
	flush_rbs(mmu, flush->rb, flush->count);
	flush->count = 0;
}

/**
 * hpt_flush_all() - have every translation of the partition forgotten
 * @mmu: the MMU
 */
void hpt_flush_all(struct umbra_mmu *mmu)
{
	/* IS = 2: all entries of the partition in RS. */
	u64 rb = PPC_BIT(52);

	flush_rbs(mmu, &rb, 1);
}

/**
 * hpt_invalidate() - take a valid HPTE from the hardware
 * @mmu: the MMU; the HPTE is the caller's to change
 * @index: of the HPTE, which becomes absent and stays in its ring
 * @h: in: as it was read; out: with the R and C that it ends with
 */
void hpt_invalidate(struct umbra_mmu *mmu, unsigned long index, struct hpte *h)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	u64 rb = tlbie_rb(h->v, h->r, index);

	hpte_make_absent(hpt, index);
	flush_rbs(mmu, &rb, 1);
	h->r = hpte_read(hpt, index).r;
}
