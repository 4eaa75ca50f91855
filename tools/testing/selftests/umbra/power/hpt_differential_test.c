// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random hypercalls, accesses and changes of the host's, into a small table and into a
 * model of it that knows only PAPR and the architecture. Every answer is compared, and in
 * the end every HPTE.
 *
 * The sequence depends on the seed alone, which a failure shows.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "lib/hpt.h"

#define ORDER 18
#define ENTRIES (1 << (ORDER - 4))
#define PAGES 32
#define STEPS 6000

struct model {
	struct hpt_vm vm;
	uint64_t v[ENTRIES], r[ENTRIES];	/* v is 0 where an HPTE is free */
	uint64_t data[PAGES * 65536 / 4096];	/* first doubleword of each 4K */
	uint64_t seed;
};

static struct model m;
static char last[200];	/* what an access was about */

static uint64_t rnd(uint64_t below)
{
	m.seed = m.seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (m.seed >> 33) % below;
}

/* A segment of few, so that addresses come again; two groups of hashes in each. */
static uint64_t any_slbv(void)
{
	uint64_t vsid = 0x100 + rnd(2) * (ENTRIES / 8), slbv;

	slbv = rnd(2) ? SLB_1T | vsid << 24 : vsid << 12;
	if (page_size >= 65536 && rnd(3) == 0)
		slbv |= SLB_64K;
	return slbv | (rnd(2) ? SLB_KP : SLB_KS);
}

static uint64_t any_ea(uint64_t slbv)
{
	unsigned int shift = (slbv & SLB_64K) == SLB_64K ? 16 : 12;

	return rnd(3) << shift | rnd(2) << 24;
}

static bool is_64k(uint64_t v, uint64_t r)
{
	return v & V_LARGE;
}

static uint64_t size_of(uint64_t v, uint64_t r)
{
	return is_64k(v, r) ? 65536 : 4096;
}

static unsigned int base_of(uint64_t v, uint64_t r)
{
	return is_64k(v, r) && (r & 0xf000) == 0x1000 ? 16 : 12;
}

/* What the architecture finds: the index, or -1. */
static long find(uint64_t ea, uint64_t slbv)
{
	unsigned int base = (slbv & SLB_64K) == SLB_64K ? 16 : 12, i, second;

	for (second = 0; second < 2; second++) {
		uint64_t group = hash_group(&m.vm, ea, slbv, second);

		for (i = group; i < group + 8; i++) {
			if (!(m.v[i] & V_VALID) || base_of(m.v[i], m.r[i]) != base)
				continue;
			if ((m.v[i] & ~(0x7dULL)) == (hpte_v(ea, slbv) | second * V_SECONDARY))
				return i;
		}
	}
	return -1;
}

/* Power ISA 2.06 book III-S, 5.7.9: may this be done? */
static bool pp_allows(uint64_t r, bool key, bool store)
{
	switch ((r >> 63) << 2 | (r & 3)) {
	case 0:
		return !key;
	case 1:
		return !key || !store;
	case 2:
		return true;
	case 3:
		return !store;
	case 6:
		return !key && !store;
	default:
		return !store;
	}
}

static uint64_t cause_of(uint64_t r, uint64_t slbv, uint64_t amr, uint32_t flags)
{
	bool key = slbv & (flags & UMBRA_HPT_USER ? SLB_KP : SLB_KS);
	unsigned int skey = (r >> 57 & 0x18) | (r >> 9 & 7);

	if (flags & UMBRA_HPT_FETCH) {
		if (r & (R_N | R_G))
			return ISI_N_G;
		return pp_allows(r, key, false) ? 0 : DSISR_PROTFAULT;
	}
	if (!pp_allows(r, key, flags & UMBRA_HPT_STORE))
		return DSISR_PROTFAULT;
	if (amr >> (62 - 2 * skey) & (flags & UMBRA_HPT_STORE ? 2 : 1))
		return DSISR_KEYFAULT;
	return 0;
}

static uint64_t any_r(void)
{
	static const uint64_t pps[] = { 0, 1, 2, 2, 2, 3, R_PP0 | 2 };
	uint64_t r = pps[rnd(7)] | (rnd(8) ? 0 : R_N) | rnd(2) * R_R | rnd(2) * R_C;

	if (!rnd(4))
		r |= rnd(8) << 9 | rnd(4) << 60;
	return r;
}

static bool step_enter(void)
{
	uint64_t slbv = any_slbv(), ea = any_ea(slbv), second = rnd(4) == 0;
	uint64_t index = hash_group(&m.vm, ea, slbv, second) + rnd(8);
	uint64_t v = hpte_v(ea, slbv) | second * V_SECONDARY, r = any_r(), at, i;
	uint64_t flags = rnd(3) ? 0 : H_EXACT, end, gpa;
	long want = H_PTEG_FULL, got;

	/* An address with two HPTEs is the guest's mistake: either may be found. */
	if (find(ea, slbv) >= 0)
		return true;
	/* Segments of 4K pages may have 64K pages mixed in. */
	if ((slbv & SLB_64K) == SLB_64K || (page_size >= 65536 && !rnd(4))) {
		v |= V_LARGE;
		r |= (slbv & SLB_64K) == SLB_64K ? 0x1000 : 0x7000;
	}
	gpa = rnd(PAGES * page_size / size_of(v, r)) * size_of(v, r);
	if (!rnd(8)) {
		gpa |= 1ULL << 40;
		r |= R_I | R_G;
	} else {
		r |= R_M;
	}
	r |= gpa;
	i = flags & H_EXACT ? index : index & ~7;
	end = flags & H_EXACT ? index + 1 : i + 8;
	for (; i < end && m.v[i]; i++)
		;
	if (i < end) {
		want = H_SUCCESS;
		m.v[i] = v | V_VALID;
		m.r[i] = r;
	}
	got = h_enter(&m.vm, flags, index, v, r, &at);
	return got == want && (want || at == i);
}

static uint64_t any_index(void)
{
	uint64_t slbv = any_slbv();

	return hash_group(&m.vm, any_ea(slbv), slbv, rnd(4) == 0) + rnd(8);
}

/* Flags and AVPN of a hypercall, and whether the HPTE is what they say. */
static long any_condition(uint64_t index, uint64_t *flags, uint64_t *avpn)
{
	uint64_t v = m.v[index];

	*flags = rnd(3) ? 0 : rnd(2) ? H_AVPN : H_ANDCOND;
	*avpn = *flags == H_ANDCOND ? 0x80ULL << rnd(20) : v & ~0x7fULL;
	if (*flags == H_AVPN && !rnd(3))
		*avpn ^= 0x80;
	if (!v || (*flags == H_AVPN && (v & ~0x7fULL) != *avpn) ||
	    (*flags == H_ANDCOND && (v & *avpn)))
		return H_NOT_FOUND;
	return H_SUCCESS;
}

static bool step_remove(void)
{
	uint64_t index = any_index(), flags, avpn, v, r;
	long want = any_condition(index, &flags, &avpn);

	if (h_remove(&m.vm, flags, index, avpn, &v, &r) != want)
		return false;
	if (want)
		return true;
	if (v != m.v[index] || r != m.r[index])
		return false;
	m.v[index] = 0;
	m.r[index] = 0;
	return true;
}

static bool step_bulk(void)
{
	uint64_t gpr[9] = { H_BULK_REMOVE }, want[9], flags, avpn;
	int i, n = rnd(4) + 1;

	for (i = 0; i < 4; i++) {
		uint64_t index = any_index();

		if (i >= n) {
			gpr[1 + 2 * i] = 3ULL << 62;
			want[1 + 2 * i] = 3ULL << 62;
			continue;
		}
		want[1 + 2 * i] = 2ULL << 62 | index;
		if (any_condition(index, &flags, &avpn))
			want[1 + 2 * i] |= 1ULL << 60;
		else
			want[1 + 2 * i] |= (m.r[index] & (R_R | R_C)) << 51;
		if (!(want[1 + 2 * i] >> 60 & 3)) {
			m.v[index] = 0;
			m.r[index] = 0;
		}
		flags = flags == H_AVPN ? 2ULL << 56 : flags ? 1ULL << 56 : 0;
		want[1 + 2 * i] |= flags;
		gpr[1 + 2 * i] = 1ULL << 62 | flags | index;
		gpr[2 + 2 * i] = avpn;
	}
	if (hcall(&m.vm, gpr) != H_SUCCESS)
		return false;
	for (i = 0; i < 4; i++)
		if (gpr[1 + 2 * i] != want[1 + 2 * i])
			return false;
	return true;
}

static bool step_protect(void)
{
	const uint64_t mask = R_PP0 | R_PP | R_N | R_KEY_HI | R_KEY_LO;
	uint64_t index = any_index(), flags, avpn, gpr[9];
	long want = any_condition(index, &flags, &avpn);
	uint64_t r = any_r() & mask;

	memcpy(gpr, (uint64_t[9]) {
		H_PROTECT, flags | (r & (R_PP | R_N | R_KEY_LO)) | (r & R_PP0) >> 55 |
		(r & R_KEY_HI) >> 48, index, avpn }, sizeof(gpr));
	if (hcall(&m.vm, gpr) != want)
		return false;
	if (!want)
		m.r[index] = (m.r[index] & ~mask) | r;
	return true;
}

static bool step_clear(void)
{
	uint64_t index = any_index(), bit = rnd(2) ? R_R : R_C;
	uint64_t gpr[9] = { bit == R_R ? H_CLEAR_REF : H_CLEAR_MOD, 0, index };

	if (hcall(&m.vm, gpr) != (m.v[index] ? H_SUCCESS : H_NOT_FOUND))
		return false;
	if (m.v[index] && gpr[1] != m.r[index])
		return false;
	m.r[index] &= ~bit;
	return true;
}

static void describe(const struct umbra_hpt_access *a, long index, int got)
{
	snprintf(last, sizeof(last),
		 "ea %lx slbv %lx flags %x: index %ld v %lx r %lx: %d cause %lx gpa %lx",
		 a->ea, a->slbv, a->flags, index,
		 index < 0 ? 0UL : m.v[index],
		 index < 0 ? 0UL : m.r[index], got, a->cause, a->gpa);
}

static bool step_access(void)
{
	uint64_t slbv = any_slbv(), ea = any_ea(slbv), gpa, cause;
	struct umbra_hpt_access a = {
		.ea = ea, .slbv = slbv, .data = rnd(1ULL << 31),
		.amr = rnd(3) ? 0 : rnd(1ULL << 31) * rnd(1ULL << 31) << 3,
		.flags = (rnd(3) ? rnd(2) * UMBRA_HPT_STORE : UMBRA_HPT_FETCH) |
			 rnd(2) * UMBRA_HPT_USER,
	};
	uint64_t data = a.data;
	long index = find(ea, slbv);
	int got = hpt_access(&m.vm, &a);

	describe(&a, index, got);
	if (index < 0)
		return got == UMBRA_HPT_REFLECT && a.cause == DSISR_NOHPTE;
	cause = cause_of(m.r[index], slbv, a.amr, a.flags);
	if (cause)
		return got == UMBRA_HPT_REFLECT && a.cause == cause;
	gpa = (m.r[index] & 0x0ffffffffffff000ULL & ~(size_of(m.v[index], m.r[index]) - 1)) |
	      (ea & (size_of(m.v[index], m.r[index]) - 1));
	if (a.gpa != gpa)
		return false;
	if (gpa >> 40)
		return got == UMBRA_HPT_MMIO;
	if (got != UMBRA_HPT_DONE)
		return false;
	m.r[index] |= R_R;
	if (a.flags & UMBRA_HPT_STORE) {
		m.r[index] |= R_C;
		m.data[gpa >> 12] = data;
		return *(uint64_t *)(m.vm.mem + gpa) == data;
	}
	return a.data == m.data[gpa >> 12];
}

/* The host takes pages, and what was in them; or only write access. */
static bool step_host(void)
{
	uint64_t page = rnd(PAGES), i;
	uint8_t *mem = m.vm.mem + page * page_size;

	if (rnd(2)) {
		mprotect(mem, page_size, PROT_READ);
		mprotect(mem, page_size, PROT_READ | PROT_WRITE);
		return true;
	}
	madvise(mem, page_size, MADV_DONTNEED);
	for (i = 0; i < page_size / 4096; i++)
		m.data[page * (page_size / 4096) + i] = 0;
	return true;
}

static bool (*const steps[])(void) = {
	step_enter, step_enter, step_enter, step_remove, step_bulk, step_protect,
	step_clear, step_access, step_access, step_access, step_access, step_host,
};

static const char * const names[] = {
	"enter", "enter", "enter", "remove", "bulk", "protect", "clear", "access", "access",
	"access", "access", "host",
};

TEST(random_calls_against_a_model)
{
	uint64_t seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 0) : 1;
	uint64_t v, r;
	unsigned int i, step;

	hpt_vm_open(&m.vm, PAGES, ORDER);
	ASSERT_EQ(ENTRIES, m.vm.entries);
	m.seed = seed;
	for (i = 0; i < STEPS; i++) {
		step = rnd(ARRAY_SIZE(steps));
		ASSERT_TRUE(steps[step]()) {
			TH_LOG("step %u (%s) of seed %lu; last access %s", i, names[step],
			       seed, last);
		}
		if (i % 500 == 0)
			ASSERT_EQ(0, hpt_violations(&m.vm));
	}
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(H_SUCCESS, h_read(&m.vm, i, &v, &r));
		ASSERT_EQ(m.v[i], v);
		ASSERT_EQ(m.r[i], r);
	}
	ASSERT_EQ(0, hpt_violations(&m.vm));
	hpt_vm_close(&m.vm);
}

TEST_HARNESS_MAIN
