// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moves, two- and one-operand arithmetic, compare-and-exchange, conditions.
 *
 * Flags are computed from operands and result: the carry out of each bit of
 * a + b is (a & b) | ((a | b) & ~r), the borrow of a - b is
 * (~a & b) | ((~a | b) & r). Bit 3 of it is AF, the top bit CF.
 */
#include <linux/bitops.h>
#include <linux/kernel.h>

#include "internal.h"

/* SF, ZF and PF of a result. */
void umbra_flags_szp(struct umbra_emul *e, u64 val, unsigned int bytes)
{
	val &= emul_mask(bytes);
	emul_set_flag(e, FL_SF, val & emul_sign(bytes));
	emul_set_flag(e, FL_ZF, !val);
	emul_set_flag(e, FL_PF, !(hweight8(val) & 1));
}

static void flags_carry(struct umbra_emul *e, u64 carry, u64 overflow, unsigned int bytes)
{
	emul_set_flag(e, FL_CF, carry & emul_sign(bytes));
	emul_set_flag(e, FL_AF, carry & 8);
	emul_set_flag(e, FL_OF, overflow & emul_sign(bytes));
}

/* dst += src + carry */
static int do_add(struct umbra_emul *e, u64 b, u64 carry)
{
	u64 a = e->dst.val, r = a + b + carry;

	flags_carry(e, (a & b) | ((a | b) & ~r), (a ^ r) & (b ^ r), e->dst.bytes);
	umbra_flags_szp(e, r, e->dst.bytes);
	e->dst.val = r & emul_mask(e->dst.bytes);
	return 0;
}

/* Flags of @a - @b - @borrow; returns the difference. */
static u64 flags_sbb(struct umbra_emul *e, u64 a, u64 b, u64 borrow, unsigned int bytes)
{
	u64 r = a - b - borrow;

	flags_carry(e, (~a & b) | ((~a | b) & r), (a ^ b) & (a ^ r), bytes);
	umbra_flags_szp(e, r, bytes);
	return r & emul_mask(bytes);
}

/* Flags of the comparison @a - @b. */
void umbra_flags_sub(struct umbra_emul *e, u64 a, u64 b, unsigned int bytes)
{
	flags_sbb(e, a, b, 0, bytes);
}

/* Flags of AND, OR, XOR, TEST; AF is undefined and cleared. */
static int do_logic(struct umbra_emul *e, u64 r)
{
	flags_carry(e, 0, 0, e->dst.bytes);
	umbra_flags_szp(e, r, e->dst.bytes);
	return 0;
}

UMBRA_EM(nop)
{
	return 0;
}

UMBRA_EM(mov)
{
	e->dst.val = e->src.val;
	return 0;
}

UMBRA_EM(movsx)
{
	e->dst.val = emul_sext(e->src.val, e->src.bytes);
	return 0;
}

UMBRA_EM(add)
{
	return do_add(e, e->src.val, 0);
}

UMBRA_EM(adc)
{
	return do_add(e, e->src.val, e->rflags & FL_CF);
}

UMBRA_EM(sub)
{
	e->dst.val = flags_sbb(e, e->dst.val, e->src.val, 0, e->dst.bytes);
	return 0;
}

UMBRA_EM(sbb)
{
	e->dst.val = flags_sbb(e, e->dst.val, e->src.val, e->rflags & FL_CF,
			       e->dst.bytes);
	return 0;
}

UMBRA_EM(cmp)
{
	umbra_flags_sub(e, e->dst.val, e->src.val, e->dst.bytes);
	return 0;
}

UMBRA_EM(and)
{
	e->dst.val &= e->src.val;
	return do_logic(e, e->dst.val);
}

UMBRA_EM(or)
{
	e->dst.val |= e->src.val;
	return do_logic(e, e->dst.val);
}

UMBRA_EM(xor)
{
	e->dst.val ^= e->src.val;
	return do_logic(e, e->dst.val);
}

UMBRA_EM(test)
{
	return do_logic(e, e->dst.val & e->src.val);
}

UMBRA_EM(inc)
{
	do_add(e, 1, 0);
	emul_set_flag(e, FL_CF, e->rflags & FL_CF);
	return 0;
}

UMBRA_EM(dec)
{
	e->dst.val = flags_sbb(e, e->dst.val, 1, 0, e->dst.bytes);
	emul_set_flag(e, FL_CF, e->rflags & FL_CF);
	return 0;
}

UMBRA_EM(not)
{
	e->dst.val = ~e->dst.val & emul_mask(e->dst.bytes);
	return 0;
}

UMBRA_EM(neg)
{
	e->dst.val = flags_sbb(e, 0, e->dst.val, 0, e->dst.bytes);
	return 0;
}

UMBRA_EM(xchg)
{
	/* 90 is NOP, though XCHG EAX, EAX would clear the upper half of RAX. */
	if (e->opcode == 0x90 && !(e->rex & REX_B)) {
		e->dst.kind = OPND_NONE;
		e->src.kind = OPND_NONE;
		return 0;
	}
	e->dst.val = e->src.orig;
	e->src.val = e->dst.orig;
	return 0;
}

UMBRA_EM(xadd)
{
	e->src.val = e->dst.orig;
	return do_add(e, e->src.orig, 0);
}

/* When the values differ, memory is still written, with what it held. */
UMBRA_EM(cmpxchg)
{
	u64 acc = umbra_reg_read(e, RAX, e->dst.bytes);

	umbra_flags_sub(e, acc, e->dst.orig, e->dst.bytes);
	if (acc == e->dst.orig) {
		e->dst.val = e->src.val;
		e->src.kind = OPND_NONE;
		return 0;
	}
	if (e->dst.kind == OPND_REG)
		e->dst.kind = OPND_NONE;
	e->src.reg = RAX;
	e->src.val = e->dst.orig;
	return 0;
}

/* CMPXCHG8B and, with REX.W, CMPXCHG16B */
UMBRA_EM(cmpxchg8b)
{
	unsigned int half = e->rex & REX_W ? 8 : 4;
	u64 mem[2] = {}, new[2] = {}, ea = umbra_effective_address(e), linear;
	u64 lo = umbra_reg_read(e, RAX, half), hi = umbra_reg_read(e, RDX, half);
	u8 *upper = (u8 *)mem + half;
	u64 mem_hi = 0;
	bool equal;
	int ret;

	ret = umbra_linearize(e, e->seg, ea, 2 * half, UMBRA_ACCESS_WRITE, &linear);
	if (half == 8 && (linear & 15))
		return emul_gp(e, 0);
	if (ret)
		return ret;
	ret = e->ops->read(e, linear, mem, 2 * half, UMBRA_ACCESS_WRITE);
	if (ret)
		return ret;
	memcpy(&mem_hi, upper, half);
	equal = lo == (mem[0] & emul_mask(half)) && hi == mem_hi;
	memcpy(new, mem, sizeof(new));
	if (equal) {
		u64 rbx = umbra_reg_read(e, RBX, half), rcx = umbra_reg_read(e, RCX, half);

		memcpy(new, &rbx, half);
		memcpy((u8 *)new + half, &rcx, half);
	}
	if (!(e->prefixes & P_LOCK))
		ret = e->ops->write(e, linear, new, 2 * half, UMBRA_ACCESS_WRITE);
	else if (e->ops->exchange)
		ret = e->ops->exchange(e, linear, mem, new, 2 * half);
	else
		ret = UMBRA_EMUL_UNHANDLEABLE;
	if (ret)
		return ret;
	emul_set_flag(e, FL_ZF, equal);
	if (!equal) {
		umbra_reg_write(e, RAX, mem[0], half);
		umbra_reg_write(e, RDX, mem_hi, half);
	}
	return 0;
}

UMBRA_EM(lea)
{
	e->dst.val = umbra_effective_address(e);
	return 0;
}

/* CBW, CWDE, CDQE: the lower half of the accumulator, extended over all of it */
UMBRA_EM(cbw)
{
	e->dst.val = emul_sext(e->dst.val, e->dst.bytes / 2);
	return 0;
}

/* CWD, CDQ, CQO: the sign of the accumulator fills rDX */
UMBRA_EM(cwd)
{
	u64 acc = umbra_reg_read(e, RAX, e->op_bytes);

	umbra_reg_write(e, RDX, acc & emul_sign(e->op_bytes) ? ~0ULL : 0, e->op_bytes);
	return 0;
}

UMBRA_EM(setcc)
{
	e->dst.val = umbra_condition(e, e->opcode);
	return 0;
}

/* A false condition still writes the register, which clears its upper half. */
UMBRA_EM(cmovcc)
{
	if (umbra_condition(e, e->opcode))
		e->dst.val = e->src.val;
	return 0;
}
