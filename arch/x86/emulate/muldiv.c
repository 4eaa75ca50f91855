// SPDX-License-Identifier: GPL-2.0-only
/*
 * Multiplication, division and decimal adjustment.
 *
 * MUL and IMUL define CF and OF only, DIV and IDIV no flag; the others are left
 * as they were. Division works on magnitudes, so that no quotient can trap the
 * host: one that does not fit raises #DE in the guest.
 */
#include <linux/kernel.h>

#include "internal.h"

/* rDX:rAX, or AX for bytes, from a double-width number. */
static void write_pair(struct umbra_emul *e, u64 lo, u64 hi)
{
	if (e->op_bytes == 1) {
		umbra_reg_write(e, RAX, (hi & 0xff) << 8 | (lo & 0xff), 2);
	} else {
		umbra_reg_write(e, RAX, lo, e->op_bytes);
		umbra_reg_write(e, RDX, hi, e->op_bytes);
	}
}

static void read_pair(const struct umbra_emul *e, u64 *lo, u64 *hi)
{
	*lo = umbra_reg_read(e, RAX, e->op_bytes);
	*hi = e->op_bytes == 1 ? e->regs[RAX] >> 8 & 0xff :
				 umbra_reg_read(e, RDX, e->op_bytes);
}

static void flags_mul(struct umbra_emul *e, bool overflow)
{
	emul_set_flag(e, FL_CF, overflow);
	emul_set_flag(e, FL_OF, overflow);
}

UMBRA_EM(mul)
{
	unsigned int bits = 8 * e->op_bytes;
	__uint128_t r = umbra_reg_read(e, RAX, e->op_bytes);
	u64 hi;

	r *= e->src.val;
	hi = (u64)(r >> bits);
	flags_mul(e, hi);
	write_pair(e, (u64)r, hi);
	return 0;
}

/* Signed product of two operands of @bytes; returns whether it overflows. */
static bool signed_product(u64 a, u64 b, unsigned int bytes, u64 *lo, u64 *hi)
{
	__int128_t r = (__int128_t)emul_sext(a, bytes) * emul_sext(b, bytes);

	*lo = (u64)r & emul_mask(bytes);
	*hi = (u64)(r >> (8 * bytes)) & emul_mask(bytes);
	return r != emul_sext(*lo, bytes);
}

UMBRA_EM(imul1)
{
	u64 lo, hi;

	flags_mul(e, signed_product(umbra_reg_read(e, RAX, e->op_bytes), e->src.val,
				    e->op_bytes, &lo, &hi));
	write_pair(e, lo, hi);
	return 0;
}

UMBRA_EM(imul2)
{
	u64 hi;

	flags_mul(e, signed_product(e->dst.val, e->src.val, e->op_bytes, &e->dst.val, &hi));
	return 0;
}

UMBRA_EM(imul3)
{
	u64 hi;

	flags_mul(e, signed_product(e->src.val, e->imm, e->op_bytes, &e->dst.val, &hi));
	return 0;
}

/* @hi:@lo of @bytes each by @div; false where the quotient has more than @bytes. */
static bool divide(u64 hi, u64 lo, u64 div, unsigned int bytes, u64 *quot, u64 *rem)
{
	if (hi >= div)
		return false;
	if (bytes == 8) {
		asm("divq %[div]" : "=a" (*quot), "=d" (*rem)
		    : "0" (lo), "1" (hi), [div] "rm" (div) : "cc");
	} else {
		u64 num = hi << (8 * bytes) | lo;

		*quot = num / div;
		*rem = num % div;
	}
	return true;
}

UMBRA_EM(div)
{
	u64 lo, hi, quot, rem;

	read_pair(e, &lo, &hi);
	if (!divide(hi, lo, e->src.val, e->op_bytes, &quot, &rem))
		return umbra_emul_fault(e, VEC_DE, false, 0);
	write_pair(e, quot, rem);
	return 0;
}

UMBRA_EM(idiv)
{
	unsigned int bytes = e->op_bytes;
	u64 sign = emul_sign(bytes), mask = emul_mask(bytes);
	u64 lo, hi, quot, rem, div = e->src.val;
	bool neg, neg_div = div & sign;

	read_pair(e, &lo, &hi);
	neg = hi & sign;
	if (neg) {
		lo = -lo & mask;
		hi = (~hi + !lo) & mask;
	}
	if (neg_div)
		div = -div & mask;
	/* One more fits below zero than above. */
	if (!divide(hi, lo, div, bytes, &quot, &rem) ||
	    quot > (neg == neg_div ? sign - 1 : sign))
		return umbra_emul_fault(e, VEC_DE, false, 0);
	if (neg != neg_div)
		quot = -quot & mask;
	write_pair(e, quot, neg ? -rem & mask : rem);
	return 0;
}

/* DAA and DAS; OF is undefined and kept */
static int decimal_adjust(struct umbra_emul *e, int sign)
{
	u8 old = e->regs[RAX], al = old;
	bool af = (al & 15) > 9 || (e->rflags & FL_AF);
	bool cf = old > 0x99 || (e->rflags & FL_CF);
	bool borrow = false;

	if (af) {
		borrow = sign < 0 ? al < 6 : al > 0xff - 6;
		al += sign * 6;
	}
	if (cf)
		al += sign * 0x60;
	umbra_flags_szp(e, al, 1);
	emul_set_flag(e, FL_AF, af);
	emul_set_flag(e, FL_CF, cf || borrow);
	e->regs[RAX] = (e->regs[RAX] & ~0xffULL) | al;
	return 0;
}

UMBRA_EM(daa)
{
	return decimal_adjust(e, 1);
}

UMBRA_EM(das)
{
	return decimal_adjust(e, -1);
}

/* AAA and AAS; OF, SF, ZF and PF are undefined and kept */
static int ascii_adjust(struct umbra_emul *e, int sign)
{
	bool adjust = (e->regs[RAX] & 15) > 9 || (e->rflags & FL_AF);
	u16 ax = e->regs[RAX];

	if (adjust)
		ax += sign * 0x106;
	emul_set_flag(e, FL_AF, adjust);
	emul_set_flag(e, FL_CF, adjust);
	umbra_reg_write(e, RAX, ax & 0xff0f, 2);
	return 0;
}

UMBRA_EM(aaa)
{
	return ascii_adjust(e, 1);
}

UMBRA_EM(aas)
{
	return ascii_adjust(e, -1);
}

UMBRA_EM(aam)
{
	u8 al = e->regs[RAX], base = e->imm;

	if (!base)
		return umbra_emul_fault(e, VEC_DE, false, 0);
	umbra_reg_write(e, RAX, (al / base) << 8 | al % base, 2);
	umbra_flags_szp(e, al % base, 1);
	return 0;
}

UMBRA_EM(aad)
{
	u8 al = e->regs[RAX], ah = e->regs[RAX] >> 8;

	al += ah * (u8)e->imm;
	umbra_reg_write(e, RAX, al, 2);
	umbra_flags_szp(e, al, 1);
	return 0;
}
