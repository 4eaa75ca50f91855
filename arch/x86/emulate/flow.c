// SPDX-License-Identifier: GPL-2.0-only
/*
 * Near control flow: JMP, CALL, RET, Jcc, LOOP, and the condition codes.
 */
#include <linux/kernel.h>

#include "internal.h"

/**
 * umbra_condition() - is a condition met?
 * @e: context
 * @code: its low four bits are the condition code of the opcode
 */
bool umbra_condition(const struct umbra_emul *e, unsigned int code)
{
	u64 f = e->rflags;
	bool less = !(f & FL_SF) != !(f & FL_OF), met;

	switch (code >> 1 & 7) {
	case 0:
		met = f & FL_OF;
		break;
	case 1:
		met = f & FL_CF;
		break;
	case 2:
		met = f & FL_ZF;
		break;
	case 3:
		met = f & (FL_CF | FL_ZF);
		break;
	case 4:
		met = f & FL_SF;
		break;
	case 5:
		met = f & FL_PF;
		break;
	case 6:
		met = less;
		break;
	default:
		met = less || (f & FL_ZF);
		break;
	}
	return met != (code & 1);
}

/**
 * umbra_check_rip() - may a near branch go there?
 * @e: context
 * @target: new rip, truncated to the operand size
 *
 * Return: 0, or #GP(0) outside the limit of CS or not canonical.
 */
int umbra_check_rip(struct umbra_emul *e, u64 target)
{
	struct kvm_segment cs;

	if (emul_long(e))
		return umbra_canonical(e, target) ? 0 : emul_gp(e, 0);
	e->ops->get_segment(e, UMBRA_SEG_CS, &cs);
	return target <= cs.limit ? 0 : emul_gp(e, 0);
}

static int jump(struct umbra_emul *e, u64 target)
{
	int ret;

	target &= emul_mask(e->op_bytes);
	ret = umbra_check_rip(e, target);
	if (!ret)
		e->next_rip = target;
	return ret;
}

static int call(struct umbra_emul *e, u64 target)
{
	u64 back = e->next_rip;
	struct umbra_stack st;
	int ret;

	/* With a bad target Intel has written the stack already, AMD only looked at it. */
	umbra_stack_begin(e, &st);
	if (e->intel)
		ret = umbra_push(e, &st, back, e->op_bytes) ?: jump(e, target);
	else
		ret = umbra_push_probe(e, &st, e->op_bytes) ?: jump(e, target) ?:
		      umbra_push(e, &st, back, e->op_bytes);
	if (!ret)
		umbra_stack_commit(e, &st);
	return ret;
}

UMBRA_EM(jmp)
{
	return jump(e, e->next_rip + e->imm);
}

UMBRA_EM(jmp_abs)
{
	return jump(e, e->src.val);
}

UMBRA_EM(call)
{
	return call(e, e->next_rip + e->imm);
}

UMBRA_EM(call_abs)
{
	return call(e, e->src.val);
}

UMBRA_EM(ret)
{
	struct umbra_stack st;
	u64 target;
	int ret;

	umbra_stack_begin(e, &st);
	ret = umbra_pop(e, &st, &target, e->op_bytes) ?: jump(e, target);
	if (ret)
		return ret;
	if (e->opcode == 0xc2)
		st.sp = (st.sp + e->imm) & st.mask;
	umbra_stack_commit(e, &st);
	return 0;
}

UMBRA_EM(jcc)
{
	return umbra_condition(e, e->opcode) ? jump(e, e->next_rip + e->imm) : 0;
}

/* E0 LOOPNE, E1 LOOPE, E2 LOOP, E3 JCXZ: the counter has the address size */
UMBRA_EM(loop)
{
	u64 count = umbra_reg_read(e, RCX, e->ad_bytes);
	bool taken;
	int ret = 0;

	if (e->opcode == 0xe3)
		return count ? 0 : jump(e, e->next_rip + e->imm);
	count = (count - 1) & emul_mask(e->ad_bytes);
	taken = count;
	if (e->opcode != 0xe2)
		taken = taken && !(e->rflags & FL_ZF) == !(e->opcode & 1);
	if (taken)
		ret = jump(e, e->next_rip + e->imm);
	if (!ret)
		umbra_reg_write(e, RCX, count, e->ad_bytes);
	return ret;
}
