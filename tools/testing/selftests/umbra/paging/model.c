// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the manuals say that an access through page tables does (APM volume 2,
 * 5.2 to 5.6 and 8.4.2; SDM volume 3, chapter 4). It is written as the rules are
 * stated there, one after the other, and not as a walker would be.
 */
#include <string.h>

#include "oracle.h"

#define BITS(high, low) ((~0UL >> (63 - (high))) & (~0UL << (low)))

static bool is_pdpte(const struct format *f, int level)
{
	return f->id == FORMAT_PAE && level == 3;
}

/* Does the walk end at this entry? */
static bool is_leaf(const struct test_case *c, int level, u64 entry)
{
	if (level == 1)
		return true;
	if (!(entry & PTE_PS) || level > c->f->top_leaf)
		return false;
	/* PAE and long mode do not look at CR4.PSE. */
	return c->f->id != FORMAT_32 || (c->env & ENV_PSE);
}

u64 model_reserved(const struct test_case *c, int phys_bits, int level, u64 entry)
{
	u64 rsvd = 0;

	if (c->f->id == FORMAT_32)
		return level == 2 && is_leaf(c, level, entry) ? BIT(21) : 0;
	if (phys_bits < 52)
		rsvd = BITS(51, phys_bits);
	if (c->f->id == FORMAT_PAE)
		rsvd |= BITS(62, 52);
	if (is_pdpte(c->f, level))
		return rsvd | PTE_NX | BITS(8, 5) | BITS(2, 1);
	if (!(c->env & ENV_NXE))
		rsvd |= PTE_NX;
	if (level > 3)
		rsvd |= PTE_PS;
	if (level > 1 && is_leaf(c, level, entry))
		rsvd |= BITS(level_shift(c->f, level) - 1, 13);
	return rsvd;
}

static u64 error_code(const struct test_case *c, enum model_lie lie, u64 why)
{
	u64 error = why;

	if (c->access == WRITE)
		error |= PF_W;
	if (c->env & ENV_USER)
		error |= PF_U;
	/* The I bit: with SMEP, or where NX exists and is enabled. */
	if (c->access == FETCH && lie != MODEL_NO_FETCH_ERROR &&
	    ((c->env & ENV_SMEP) || ((c->env & ENV_NXE) && c->f->wide)))
		error |= PF_I;
	return error;
}

/* Rights of the whole walk: writable and user if all say so, NX if one does. */
struct rights {
	bool w, u, x;
};

static bool user_may(const struct test_case *c, struct rights r)
{
	if (!r.u)
		return false;
	if (c->access == WRITE)
		return r.w;
	return c->access == READ || r.x;
}

static bool supervisor_may(const struct test_case *c, struct rights r, enum model_lie lie)
{
	if (c->access == FETCH)
		return r.x && !(r.u && (c->env & ENV_SMEP) && lie != MODEL_NO_SMEP);
	if (r.u && (c->env & ENV_SMAP) && lie != MODEL_NO_SMAP &&
	    !((c->env & ENV_AC) && lie != MODEL_NO_AC))
		return false;
	return c->access == READ || r.w || !(c->env & ENV_WP) || lie == MODEL_NO_WP;
}

/* Keys are of user pages, in long mode, and for data; the supervisor's WD needs WP. */
static bool key_denies(const struct test_case *c, struct rights r, u64 leaf, enum model_lie lie)
{
	u64 key = leaf >> KEY_SHIFT & (KEYS - 1), deny = c->pkru >> 2 * key;

	if (!(c->env & ENV_PKE) || c->f->levels < 4 || !r.u || lie == MODEL_NO_KEY ||
	    (c->access == FETCH && lie != MODEL_KEY_OF_FETCH))
		return false;
	if (deny & PKRU_AD)
		return true;
	return (deny & PKRU_WD) && c->access == WRITE &&
	       (c->env & (ENV_USER | ENV_WP) || lie == MODEL_KEY_WITHOUT_WP);
}

static u64 leaf_address(const struct test_case *c, int level, u64 entry)
{
	u64 offset = BITS(level_shift(c->f, level) - 1, 0);
	u64 base = entry & BITS(51, 12);

	if (c->f->id == FORMAT_32 && level == 2)
		base = (entry & BITS(31, 22)) | (entry & BITS(20, 13)) << 19;
	return (base & ~offset) | (c->address & offset);
}

struct outcome model(const struct test_case *c, int phys_bits, enum model_lie lie)
{
	struct rights r = { true, true, true };
	struct outcome o = { .fault = true };
	int level;
	u64 e = 0;

	for (level = c->f->levels; level; level--) {
		e = c->entry[level - 1];
		o.reached = level;
		if (!(e & PTE_P)) {
			o.error = error_code(c, lie, 0);
			return o;
		}
		/* Even for an access that is refused in the end. */
		if (!is_pdpte(c->f, level))
			o.may[level - 1] = PTE_A;
		if ((e & model_reserved(c, phys_bits, level, e)) && lie != MODEL_NO_RSVD) {
			o.error = error_code(c, lie, PF_P | PF_RSVD);
			return o;
		}
		if (lie == MODEL_LEAF_ONLY && is_leaf(c, level, e))
			r = (struct rights) { true, true, true };
		if (!is_pdpte(c->f, level)) {
			r.w &= !!(e & PTE_W);
			r.u &= !!(e & PTE_U);
			r.x &= !(c->f->wide && (e & PTE_NX));
		}
		if (is_leaf(c, level, e))
			break;
	}
	/* The error code names the key, whatever else is against the access. */
	if (key_denies(c, r, e, lie)) {
		o.error = error_code(c, lie, PF_P | PF_PK);
		return o;
	}
	if (!(c->env & ENV_USER ? user_may(c, r) : supervisor_may(c, r, lie))) {
		o.error = error_code(c, lie, PF_P);
		return o;
	}
	o.fault = false;
	o.gpa = leaf_address(c, level, e);
	memcpy(o.set, o.may, sizeof(o.set));
	if (c->access == WRITE && lie != MODEL_NO_DIRTY)
		o.set[level - 1] |= PTE_D;
	return o;
}
