// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stack instructions: PUSH, POP and their kin, PUSHF, POPF, ENTER, LEAVE.
 *
 * A working stack pointer goes through umbra_push() and umbra_pop(); rSP itself
 * changes in umbra_stack_commit(), after the last access.
 */
#include <linux/kernel.h>

#include "internal.h"

/**
 * umbra_stack_begin() - take the stack pointer
 * @e: context
 * @st: working stack pointer; the stack's size is that of SS, not the address size
 */
void umbra_stack_begin(struct umbra_emul *e, struct umbra_stack *st)
{
	struct kvm_segment ss;

	st->mask = ~0ULL;
	if (!emul_long(e)) {
		e->ops->get_segment(e, UMBRA_SEG_SS, &ss);
		st->mask = ss.db ? 0xffffffff : 0xffff;
	}
	st->sp = e->regs[RSP] & st->mask;
}

/* Put the working stack pointer into rSP; what a 16-bit stack has not stays. */
void umbra_stack_commit(struct umbra_emul *e, const struct umbra_stack *st)
{
	u64 keep = st->mask == 0xffff ? e->regs[RSP] & ~st->mask : 0;

	e->regs[RSP] = keep | st->sp;
}

/* Push @bytes (2, 4, 8); the working pointer moves only when the write worked. */
int umbra_push(struct umbra_emul *e, struct umbra_stack *st, u64 val, unsigned int bytes)
{
	u64 sp = (st->sp - bytes) & st->mask;
	int ret;

	ret = umbra_mem_write(e, UMBRA_SEG_SS, sp, &val, bytes);
	if (!ret)
		st->sp = sp;
	return ret;
}

/* Would umbra_push() of @bytes fault? */
int umbra_push_probe(struct umbra_emul *e, const struct umbra_stack *st, unsigned int bytes)
{
	u64 linear;
	int ret;

	ret = umbra_linearize(e, UMBRA_SEG_SS, (st->sp - bytes) & st->mask, bytes,
			      UMBRA_ACCESS_WRITE, &linear);
	if (ret || !e->ops->probe)
		return ret;
	return e->ops->probe(e, linear, bytes, UMBRA_ACCESS_WRITE);
}

/* Pop @bytes (2, 4, 8), zero extended. */
int umbra_pop(struct umbra_emul *e, struct umbra_stack *st, u64 *val, unsigned int bytes)
{
	int ret;

	*val = 0;
	ret = umbra_mem_read(e, UMBRA_SEG_SS, st->sp, val, bytes);
	if (!ret)
		st->sp = (st->sp + bytes) & st->mask;
	return ret;
}

static int push_one(struct umbra_emul *e, u64 val)
{
	struct umbra_stack st;
	int ret;

	umbra_stack_begin(e, &st);
	ret = umbra_push(e, &st, val, e->op_bytes);
	if (!ret)
		umbra_stack_commit(e, &st);
	return ret;
}

UMBRA_EM(push)
{
	return push_one(e, e->src.val);
}

/* POP to memory computes its address with the stack pointer already moved. */
static int pop_mem(struct umbra_emul *e, const struct umbra_stack *st, u64 val)
{
	u64 sp = e->regs[RSP], ea;

	umbra_stack_commit(e, st);
	ea = umbra_effective_address(e);
	e->regs[RSP] = sp;
	return umbra_mem_write(e, e->seg, ea, &val, e->op_bytes);
}

UMBRA_EM(pop)
{
	struct umbra_stack st;
	u64 val;
	int ret;

	umbra_stack_begin(e, &st);
	ret = umbra_pop(e, &st, &val, e->op_bytes);
	if (ret)
		return ret;
	if (e->opcode == 0x8f && emul_modrm_mem(e)) {
		ret = pop_mem(e, &st, val);
		if (!ret)
			umbra_stack_commit(e, &st);
		return ret;
	}
	umbra_stack_commit(e, &st);
	if (e->opcode == 0x8f)
		umbra_reg_write(e, emul_modrm_rm(e), val, e->op_bytes);
	else
		umbra_reg_write(e, e->dst.reg, val, e->op_bytes);
	return 0;
}

/* 06, 0E, 16, 1E and 0F A0, 0F A8: bits 3 to 5 of the opcode */
UMBRA_EM(push_seg)
{
	struct kvm_segment s;

	e->ops->get_segment(e, e->opcode >> 3 & 7, &s);
	return push_one(e, s.selector);
}

UMBRA_EM(pop_seg)
{
	unsigned int seg = e->opcode >> 3 & 7;
	struct umbra_stack st;
	u64 val;
	int ret;

	umbra_stack_begin(e, &st);
	ret = umbra_pop(e, &st, &val, e->op_bytes) ?: umbra_load_segment(e, seg, val);
	if (ret)
		return ret;
	umbra_stack_commit(e, &st);
	e->int_shadow = seg == UMBRA_SEG_SS;
	return 0;
}

UMBRA_EM(pusha)
{
	struct umbra_stack st;
	unsigned int reg;

	umbra_stack_begin(e, &st);
	for (reg = RAX; reg <= RDI; reg++) {
		int ret = umbra_push(e, &st, e->regs[reg], e->op_bytes);

		if (ret)
			return ret;
	}
	umbra_stack_commit(e, &st);
	return 0;
}

UMBRA_EM(popa)
{
	struct umbra_stack st;
	u64 val[8];
	int reg;

	umbra_stack_begin(e, &st);
	for (reg = RDI; reg >= RAX; reg--) {
		int ret = umbra_pop(e, &st, &val[reg], e->op_bytes);

		if (ret)
			return ret;
	}
	for (reg = RAX; reg <= RDI; reg++)
		if (reg != RSP)
			umbra_reg_write(e, reg, val[reg], e->op_bytes);
	umbra_stack_commit(e, &st);
	return 0;
}

/* PUSHF, POPF in virtual 8086 mode need IOPL 3; VME is not offered. */
static bool vm86_denied(const struct umbra_emul *e)
{
	return e->mode == UMBRA_EMUL_VM86 && (e->rflags & FL_IOPL) != FL_IOPL;
}

UMBRA_EM(pushf)
{
	if (vm86_denied(e))
		return emul_gp(e, 0);
	return push_one(e, e->rflags & ~(FL_VM | FL_RF));
}

UMBRA_EM(popf)
{
	u64 change = FL_ARITH | FL_TF | FL_DF | FL_NT;
	struct umbra_stack st;
	u64 val;
	int ret;

	if (vm86_denied(e))
		return emul_gp(e, 0);
	umbra_stack_begin(e, &st);
	ret = umbra_pop(e, &st, &val, e->op_bytes);
	if (ret)
		return ret;
	if (e->cpl <= (e->rflags & FL_IOPL) >> 12)
		change |= FL_IF;
	if (!e->cpl)
		change |= FL_IOPL;
	if (e->op_bytes > 2)
		change |= FL_AC | FL_ID;
	e->new_rflags = (e->new_rflags & ~change) | (val & change);
	umbra_stack_commit(e, &st);
	return 0;
}

UMBRA_EM(enter)
{
	unsigned int level = e->imm2 & 31, bytes = e->op_bytes, i;
	struct umbra_stack st;
	u64 frame, rbp, val = 0;
	int ret;

	umbra_stack_begin(e, &st);
	rbp = e->regs[RBP] & st.mask;
	ret = umbra_push(e, &st, e->regs[RBP], bytes);
	if (ret)
		return ret;
	frame = st.sp;
	for (i = 1; i < level; i++) {
		rbp = (rbp - bytes) & st.mask;
		ret = umbra_mem_read(e, UMBRA_SEG_SS, rbp, &val, bytes) ?:
		      umbra_push(e, &st, val, bytes);
		if (ret)
			return ret;
	}
	if (level) {
		ret = umbra_push(e, &st, frame, bytes);
		if (ret)
			return ret;
	}
	/* The new top of stack must be writable. */
	st.sp = (st.sp - e->imm + bytes) & st.mask;
	ret = umbra_push_probe(e, &st, bytes);
	if (ret)
		return ret;
	st.sp = (st.sp - bytes) & st.mask;
	umbra_reg_write(e, RBP, frame, bytes);
	umbra_stack_commit(e, &st);
	return 0;
}

UMBRA_EM(leave)
{
	struct umbra_stack st;
	u64 val;
	int ret;

	umbra_stack_begin(e, &st);
	st.sp = e->regs[RBP] & st.mask;
	ret = umbra_pop(e, &st, &val, e->op_bytes);
	if (ret)
		return ret;
	umbra_stack_commit(e, &st);
	umbra_reg_write(e, RBP, val, e->op_bytes);
	return 0;
}
