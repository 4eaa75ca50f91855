// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shifts and rotates.
 *
 * A count of zero changes no flag. Counts are taken modulo 32, or modulo 64 for
 * 64-bit operands. OF is defined for a count of one only; for others it is what
 * the same formula gives. AF is left alone where it is undefined.
 */
#include <linux/kernel.h>

#include "internal.h"

enum { ROL, ROR, RCL, RCR, SHL, SHR, SAL, SAR };

static unsigned int shift_count(const struct umbra_emul *e, u64 count)
{
	return count & (e->dst.bytes == 8 ? 63 : 31);
}

static void do_rotate(struct umbra_emul *e, unsigned int op, unsigned int count)
{
	unsigned int bytes = e->dst.bytes, bits = 8 * bytes;
	u64 a = e->dst.val, r = a, sign = emul_sign(bytes);
	unsigned int n = count % bits;
	bool cf;

	if (op == ROL) {
		if (n)
			r = (a << n | a >> (bits - n)) & emul_mask(bytes);
		cf = r & 1;
		emul_set_flag(e, FL_OF, !!(r & sign) != cf);
	} else {
		if (n)
			r = (a >> n | a << (bits - n)) & emul_mask(bytes);
		cf = r & sign;
		emul_set_flag(e, FL_OF, !!(r & sign) != !!(r & (sign >> 1)));
	}
	emul_set_flag(e, FL_CF, cf);
	e->dst.val = r;
}

/* Rotation through CF, one bit a turn: at most 63 turns. */
static void do_rotate_carry(struct umbra_emul *e, unsigned int op, unsigned int count)
{
	unsigned int bytes = e->dst.bytes;
	u64 r = e->dst.val, sign = emul_sign(bytes);
	bool cf = e->rflags & FL_CF, out;

	for (count %= 8 * bytes + 1; count; count--) {
		if (op == RCL) {
			out = r & sign;
			r = (r << 1 | cf) & emul_mask(bytes);
		} else {
			out = r & 1;
			r = r >> 1 | (cf ? sign : 0);
		}
		cf = out;
	}
	if (op == RCL)
		emul_set_flag(e, FL_OF, !!(r & sign) != cf);
	else
		emul_set_flag(e, FL_OF, !!(r & sign) != !!(r & (sign >> 1)));
	emul_set_flag(e, FL_CF, cf);
	e->dst.val = r;
}

static void do_shift(struct umbra_emul *e, unsigned int op, unsigned int count)
{
	unsigned int bytes = e->dst.bytes, bits = 8 * bytes;
	u64 a = e->dst.val, r, sign = emul_sign(bytes);
	bool cf;

	if (op == SAR) {
		s64 s = emul_sext(a, bytes);

		r = s >> count;
		cf = s >> (count - 1) & 1;
		emul_set_flag(e, FL_OF, false);
	} else if (op == SHR) {
		r = a >> count;
		cf = a >> (count - 1) & 1;
		emul_set_flag(e, FL_OF, a & sign);
	} else {
		r = a << count;
		cf = count <= bits && (a >> (bits - count) & 1);
		emul_set_flag(e, FL_OF, !!(r & sign) != cf);
	}
	emul_set_flag(e, FL_CF, cf);
	umbra_flags_szp(e, r, bytes);
	e->dst.val = r & emul_mask(bytes);
}

UMBRA_EM(shift)
{
	unsigned int op = e->modrm >> 3 & 7, count = shift_count(e, e->src.val);

	if (!count)
		return 0;
	if (op <= ROR)
		do_rotate(e, op, count);
	else if (op <= RCR)
		do_rotate_carry(e, op, count);
	else
		do_shift(e, op, count);
	return 0;
}

/* The bits shifted in come from src; a 16-bit count above 16 is undefined. */
static int do_double_shift(struct umbra_emul *e, bool left)
{
	unsigned int bytes = e->dst.bytes, bits = 8 * bytes;
	unsigned int count = shift_count(e, e->opcode & 1 ? e->regs[RCX] : e->imm);
	u64 a = e->dst.val, b = e->src.val, r;

	if (!count)
		return 0;
	if (count > bits)
		count -= bits;
	if (left) {
		emul_set_flag(e, FL_CF, a >> (bits - count) & 1);
		r = count == bits ? b : a << count | b >> (bits - count);
	} else {
		emul_set_flag(e, FL_CF, a >> (count - 1) & 1);
		r = count == bits ? b : a >> count | b << (bits - count);
	}
	emul_set_flag(e, FL_OF, (a ^ r) & emul_sign(bytes));
	umbra_flags_szp(e, r, bytes);
	e->dst.val = r & emul_mask(bytes);
	return 0;
}

UMBRA_EM(shld)
{
	return do_double_shift(e, true);
}

UMBRA_EM(shrd)
{
	return do_double_shift(e, false);
}
