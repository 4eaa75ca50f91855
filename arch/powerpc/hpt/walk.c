// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looking an address up in the table: hash, both groups, permissions (Power ISA 2.06 book
 * III-S, 5.7.7 to 5.7.9).
 */
#include <asm/reg.h>

#include "hpt.h"

/**
 * hpt_make_key() - where an address is to be looked for
 * @hpt: the table
 * @ea: effective address
 * @slbv: second doubleword of the SLB entry that translates it
 * @key: filled in
 *
 * Return: false for a segment whose page size is not served.
 */
bool hpt_make_key(const struct umbra_hpt *hpt, u64 ea, u64 slbv, struct hpt_key *key)
{
	bool large = slbv & SLB_VSID_B_1T;
	unsigned int seg_shift = large ? 40 : 28;
	u64 offset = ea & GENMASK_ULL(seg_shift - 1, 0);
	u64 vsid = (slbv & ~SLB_VSID_B) >> (large ? 24 : 12);

	/* B is two bits; 2 and 3 are reserved. */
	if (slbv >> 63)
		return false;
	key->base_shift = slb_base_shift(slbv);
	if (!key->base_shift)
		return false;
	key->hash = vsid ^ (offset >> key->base_shift);
	if (large)
		key->hash ^= vsid << 25;
	key->v = (slbv & ~GENMASK_ULL(seg_shift - 17, 0)) | offset >> 16;
	key->v &= ~GENMASK_ULL(max(key->base_shift, 23U) - 17, 0);
	/* The virtual addresses of ISA 3.0 are shorter than AVPN has room for. */
	if (cpu_has_feature(CPU_FTR_ARCH_300))
		key->v &= HPTE_V_AVPN_3_0 | SLB_VSID_B;
	return true;
}

/**
 * hpte_hash() - the primary hash of the address that an HPTE maps
 * @v: first doubleword
 * @r: second, of the guest's view or the hardware's
 * @index: of the HPTE
 *
 * AVPN leaves out up to 11 bits of the address. They are found by undoing the hash: the low
 * bits of the group's number are those of the VSID and the page's number combined.
 */
u64 hpte_hash(u64 v, u64 r, unsigned long index)
{
	unsigned int base = hpte_base_shift(v, r), known = v & SLB_VSID_B_1T ? 17 : 5;
	u64 avpn = (v & HPTE_V_AVPN & ~SLB_VSID_B) >> HPTE_V_AVPN_SHIFT;
	u64 vsid = avpn >> known, page = avpn & GENMASK_ULL(known - 1, 0);
	u64 low = index / HPTES_PER_GROUP;
	u64 hash = vsid;

	if (v & SLB_VSID_B_1T)
		hash ^= vsid << 25;
	if (base >= 23)
		return hash ^ page >> (base - 23);
	if (v & HPTE_V_SECONDARY)
		low = ~low;
	return hash ^ page << (23 - base) ^ ((low ^ hash) & GENMASK_ULL(22 - base, 0));
}

/* Can this HPTE be the one? A first look, at what stands alike in both forms. */
static inline bool may_match(const struct umbra_hpt *hpt, unsigned long index, u64 v)
{
	u64 there = hpte_load(&hpt->entries[2 * index]);

	return (there & HPTE_V_USED) &&
	       !((there ^ v) & (HPTE_V_AVPN_3_0 | HPTE_V_SECONDARY));
}

static __always_inline bool matches(const struct hpte *h, u64 v, u64 states,
				    unsigned int base_shift)
{
	const u64 mask = SLB_VSID_B | HPTE_V_AVPN | HPTE_V_SECONDARY;

	return (h->v & states) && (h->v & mask) == v && hpte_shift(h->v, h->r) &&
	       hpte_base_shift(h->v, h->r) == base_shift;
}

/**
 * hpt_find() - find an HPTE, and lock it
 * @hpt: the table; mmu->lock held for reading
 * @key: what is looked for
 * @states: HPTE_V_VALID, HPTE_V_ABSENT or both
 * @h: set to the HPTE
 * @guest_r: set to the guest's view of its second doubleword
 *
 * Return: its index, which the caller unlocks; -1 when there is none.
 */
long hpt_find(struct umbra_hpt *hpt, const struct hpt_key *key, u64 states,
	      struct hpte *h, u64 *guest_r)
{
	u64 hash = key->hash, v = key->v;
	unsigned long index, end;

	for (;;) {
		index = (hash & hpt_hash_mask(hpt)) * HPTES_PER_GROUP;
		for (end = index + HPTES_PER_GROUP; index < end; index++) {
			/* Who holds it may be about to make it valid, or absent. */
			if (!may_match(hpt, index, v))
				continue;
			hpte_lock(hpt, index);
			*h = hpte_read(hpt, index);
			if (matches(h, v, states, key->base_shift)) {
				*guest_r = hpt->rev[index].guest_r;
				return index;
			}
			hpte_unlock(hpt, index);
		}
		if (v & HPTE_V_SECONDARY)
			return -1;
		v |= HPTE_V_SECONDARY;
		hash = ~hash;
	}
}

/* The HPTE and what the guest knows of it, of the same moment, when nobody held it. */
static void read_both(struct umbra_hpt *hpt, unsigned long index, struct hpte *h,
		      u64 *guest_r)
{
	unsigned long *word = hpte_lock_word(hpt, index), before;

	do {
		/* Whoever changes one of them holds the lock meanwhile: pairs with its end. */
		while ((before = smp_load_acquire(word)) & BIT(HPTE_LOCK_NR))
			cpu_relax();
		*h = hpte_read(hpt, index);
		*guest_r = READ_ONCE(hpt->rev[index].guest_r);
		/* What was read comes before the second look. */
		smp_rmb();
	} while (READ_ONCE(*word) != before);
}

/**
 * hpt_peek() - find an HPTE, which may be another at once
 * @hpt: the table; mmu->lock held for reading
 * @key: what is looked for
 * @h: set to the HPTE, valid or absent
 * @guest_r: set to the guest's view of its second doubleword
 *
 * Return: its index; -1 when there is none.
 */
long hpt_peek(struct umbra_hpt *hpt, const struct hpt_key *key, struct hpte *h, u64 *guest_r)
{
	u64 hash = key->hash, v = key->v;
	unsigned long index, end;

	for (;;) {
		index = (hash & hpt_hash_mask(hpt)) * HPTES_PER_GROUP;
		for (end = index + HPTES_PER_GROUP; index < end; index++) {
			if (!may_match(hpt, index, v))
				continue;
			read_both(hpt, index, h, guest_r);
			if (matches(h, v, HPTE_V_USED, key->base_shift))
				return index;
		}
		if (v & HPTE_V_SECONDARY)
			return -1;
		v |= HPTE_V_SECONDARY;
		hash = ~hash;
	}
}

static bool may_read(u64 pp, bool key)
{
	return !key || (pp != 0 && pp != (HPTE_R_PP0 | 2));
}

static bool may_write(u64 pp, bool key)
{
	return key ? pp == 2 : pp <= 2;
}

/* The two bits of the authority mask for an HPTE's storage key: no read 1, no write 2. */
static u64 key_denies(u64 amr, u64 r)
{
	unsigned int key = (r & HPTE_R_KEY_HI) >> 57 | (r & HPTE_R_KEY_LO) >> 9;

	return (amr >> (62 - 2 * key)) & 3;
}

/**
 * hpt_denies() - does an HPTE deny an access?
 * @access: the access
 * @r: second doubleword
 *
 * Return: 0 when it is allowed; else why not, as DSISR, or SRR1 of an ISI, has it.
 */
u64 hpt_denies(const struct hpt_access *access, u64 r)
{
	bool key = access->slbv & (access->user ? SLB_VSID_KP : SLB_VSID_KS);
	u64 pp = r & HPTE_R_PPP, skey;

	if (access->fetch) {
		if ((r & (HPTE_R_N | HPTE_R_G)) || (access->slbv & SLB_VSID_N))
			return SRR1_ISI_N_G_OR_CIP;
		return may_read(pp, key) ? 0 : SRR1_ISI_PROT;
	}
	if (!(access->store ? may_write(pp, key) : may_read(pp, key)))
		return DSISR_PROTFAULT;
	skey = key_denies(access->amr, r);
	if (access->store ? skey & 2 : skey & 1)
		return DSISR_KEYFAULT;
	return 0;
}
