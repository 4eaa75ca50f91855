// SPDX-License-Identifier: GPL-2.0-only
/*
 * Execution of one decoded instruction: load operands, call the handler, write
 * back, commit.
 *
 * This is the one place that changes rip and rflags. The order is what makes an
 * instruction restartable: memory is written before any register, and a register
 * only after the last thing that can fail.
 */
#include <linux/kernel.h>

#include "internal.h"

static int write_back(struct umbra_emul *e)
{
	bool locked = (e->prefixes & P_LOCK) || (e->flags & F_LOCKED);
	int ret = 0;

	/* XADD with one register twice: the sum stays. */
	if ((e->flags & F_SRCWRITE) && e->dst.kind == OPND_REG)
		umbra_operand_store(e, &e->src, false);
	if (e->flags & F_WRITE)
		ret = umbra_operand_store(e, &e->dst, locked);
	if (!ret && (e->flags & F_SRCWRITE) && e->dst.kind != OPND_REG)
		umbra_operand_store(e, &e->src, false);
	return ret;
}

int umbra_emulate(struct umbra_emul *e)
{
	bool step = e->rflags & FL_TF;
	int ret;

	e->trap = false;
	e->int_shadow = false;
	if (!e->desc->exec)
		return UMBRA_EMUL_UNHANDLEABLE;
	if ((e->flags & F_PRIV) && e->cpl)
		return emul_gp(e, 0);

	e->next_rip = e->rip + e->len;
	if (!emul_long(e))
		e->next_rip = (u32)e->next_rip;
	e->new_rflags = e->rflags & ~FL_RF;

	ret = umbra_operand_load(e, &e->src, F_SRC_KIND(e->flags), true, false);
	if (ret)
		return ret;
	ret = umbra_operand_load(e, &e->dst, F_DST_KIND(e->flags), e->flags & F_READ,
				 e->flags & F_WRITE);
	if (ret)
		return ret;
	ret = e->desc->exec(e);
	if (ret == UMBRA_EMUL_REPEAT)
		e->trap = step;
	if (ret)
		return ret;
	ret = write_back(e);
	if (ret)
		return ret;

	e->rip = e->next_rip;
	e->rflags = e->new_rflags | FL_FIXED;
	/* MOV SS and POP SS hold back the trap as well. */
	e->trap = step && !e->int_shadow;
	return UMBRA_EMUL_OK;
}
