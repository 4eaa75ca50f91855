// SPDX-License-Identifier: GPL-2.0-only
/*
 * Far control flow in real mode: JMP, CALL, RET, INT n, IRET.
 *
 * In virtual 8086 mode the far branches are the same, but INT n and IRET belong
 * to the guest's monitor. In protected mode a far transfer can mean a gate, a
 * privilege change or a task switch: those are unhandleable.
 */
#include <linux/kernel.h>

#include "internal.h"

/* Go to @cs:@ip, with ip checked against the limit that stays in real mode. */
static int far_jump(struct umbra_emul *e, u16 cs, u64 ip)
{
	int ret;

	ret = umbra_check_rip(e, ip) ?: umbra_load_segment(e, UMBRA_SEG_CS, cs);
	if (!ret)
		e->next_rip = ip;
	return ret;
}

/* The far pointer: in the instruction (EA, 9A) or in memory (FF). */
static int far_pointer(struct umbra_emul *e, u16 *cs, u64 *ip)
{
	u64 ea;
	int ret;

	if (e->opcode != 0xff) {
		*ip = e->imm & emul_mask(e->op_bytes);
		*cs = e->imm2;
		return 0;
	}
	ea = umbra_effective_address(e);
	*ip = 0;
	ret = umbra_mem_read(e, e->seg, ea, ip, e->op_bytes);
	ea = (ea + e->op_bytes) & emul_mask(e->ad_bytes);
	return ret ?: umbra_mem_read(e, e->seg, ea, cs, 2);
}

UMBRA_EM(jmp_far)
{
	u64 ip;
	u16 cs;

	if (!emul_8086(e))
		return UMBRA_EMUL_UNHANDLEABLE;
	return far_pointer(e, &cs, &ip) ?: far_jump(e, cs, ip);
}

UMBRA_EM(call_far)
{
	struct kvm_segment old;
	struct umbra_stack st;
	u64 ip, back = e->next_rip;
	u16 cs;
	int ret;

	if (!emul_8086(e))
		return UMBRA_EMUL_UNHANDLEABLE;
	e->ops->get_segment(e, UMBRA_SEG_CS, &old);
	umbra_stack_begin(e, &st);
	ret = far_pointer(e, &cs, &ip) ?:
	      umbra_check_rip(e, ip) ?:
	      umbra_push(e, &st, old.selector, e->op_bytes) ?:
	      umbra_push(e, &st, back, e->op_bytes) ?:
	      far_jump(e, cs, ip);
	if (!ret)
		umbra_stack_commit(e, &st);
	return ret;
}

UMBRA_EM(ret_far)
{
	struct umbra_stack st;
	u64 ip, cs;
	int ret;

	if (!emul_8086(e))
		return UMBRA_EMUL_UNHANDLEABLE;
	umbra_stack_begin(e, &st);
	ret = umbra_pop(e, &st, &ip, e->op_bytes) ?:
	      umbra_pop(e, &st, &cs, e->op_bytes) ?:
	      far_jump(e, cs, ip);
	if (ret)
		return ret;
	if (e->opcode == 0xca)
		st.sp = (st.sp + e->imm) & st.mask;
	umbra_stack_commit(e, &st);
	return 0;
}

/* CC INT3, CD INT n, CE INTO, through the real-mode interrupt vector table */
UMBRA_EM(int)
{
	unsigned int vector = e->opcode == 0xcc ? VEC_BP : e->opcode == 0xce ? VEC_OF : e->imm;
	u64 back = e->next_rip, entry;
	struct kvm_segment cs;
	struct kvm_dtable idt;
	struct umbra_stack st;
	int ret;

	if (e->opcode == 0xce && !(e->rflags & FL_OF))
		return 0;
	if (e->mode != UMBRA_EMUL_REAL || !e->ops->get_dt)
		return UMBRA_EMUL_UNHANDLEABLE;
	e->ops->get_dt(e, true, &idt);
	if (4 * vector + 3 > idt.limit)
		return emul_gp(e, 0);
	e->ops->get_segment(e, UMBRA_SEG_CS, &cs);
	umbra_stack_begin(e, &st);
	ret = umbra_linear_read(e, (u32)(idt.base + 4 * vector), &entry, 4,
				UMBRA_ACCESS_SYSTEM) ?:
	      umbra_push(e, &st, e->rflags & ~FL_RF, 2) ?:
	      umbra_push(e, &st, cs.selector, 2) ?:
	      umbra_push(e, &st, back, 2) ?:
	      far_jump(e, entry >> 16, entry & 0xffff);
	if (ret)
		return ret;
	umbra_stack_commit(e, &st);
	e->new_rflags &= ~(FL_IF | FL_TF | FL_AC);
	return 0;
}

UMBRA_EM(iret)
{
	u64 change = FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT;
	struct umbra_stack st;
	u64 ip, cs, flags;
	int ret;

	if (e->mode != UMBRA_EMUL_REAL)
		return UMBRA_EMUL_UNHANDLEABLE;
	umbra_stack_begin(e, &st);
	ret = umbra_pop(e, &st, &ip, e->op_bytes) ?:
	      umbra_pop(e, &st, &cs, e->op_bytes) ?:
	      umbra_pop(e, &st, &flags, e->op_bytes) ?:
	      far_jump(e, cs, ip);
	if (ret)
		return ret;
	if (e->op_bytes == 4)
		change |= FL_RF | FL_AC | FL_ID;
	e->new_rflags = (e->new_rflags & ~change) | (flags & change);
	umbra_stack_commit(e, &st);
	return 0;
}
