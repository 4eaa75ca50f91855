// SPDX-License-Identifier: GPL-2.0-only
/*
 * String instructions: MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS, and XLAT.
 *
 * Each iteration is committed on its own, so that a fault, an exit to userspace
 * or a signal in the middle leaves the registers at the iteration that is next,
 * as the architecture wants it (SDM volume 2, REP). When CMPS or SCAS is stopped
 * like this, AMD shows the flags of the last comparison, Intel those before the
 * instruction. A call does at most UMBRA_EMUL_REP_MAX iterations, and one when
 * single-stepping.
 */
#include <linux/kernel.h>

#include "internal.h"

/* What one string instruction is about, and how far it is. */
struct string_state {
	u64 src;	/* rSI, inside the address size */
	u64 dst;	/* rDI */
	u64 left;	/* iterations, this one included */
	int step;	/* plus or minus the item's bytes */
	u16 port;
};

/*
 * Port accesses that will follow at once: those left, as far as memory at
 * @offset goes without crossing a page and the bound of one call allows.
 */
static unsigned int port_ahead(const struct umbra_emul *e, const struct string_state *st,
			       u64 offset)
{
	unsigned int room = st->step > 0 ? 4096 - (offset & 4095) :
					   (offset & 4095) + e->op_bytes;

	if ((e->rflags & FL_TF) || room < e->op_bytes)
		return 1;
	return min_t(u64, min_t(u64, room / e->op_bytes, st->left), UMBRA_EMUL_REP_MAX);
}

static int ins_item(struct umbra_emul *e, struct string_state *st)
{
	u64 linear, val = 0;
	int ret;

	/* A fault must come before the device is read. */
	ret = umbra_linearize(e, UMBRA_SEG_ES, st->dst, e->op_bytes,
			      UMBRA_ACCESS_WRITE, &linear);
	if (ret)
		return ret;
	if (!e->ops->pio_in || !e->ops->probe)
		return UMBRA_EMUL_UNHANDLEABLE;
	ret = e->ops->probe(e, linear, e->op_bytes, UMBRA_ACCESS_WRITE) ?:
	      e->ops->pio_in(e, st->port, &val, e->op_bytes, port_ahead(e, st, linear));
	if (ret)
		return ret;
	return umbra_linear_write(e, linear, val, e->op_bytes, 0);
}

static int outs_item(struct umbra_emul *e, struct string_state *st)
{
	u64 linear, val;
	int ret;

	ret = umbra_linearize(e, e->seg, st->src, e->op_bytes, UMBRA_ACCESS_READ, &linear);
	if (ret)
		return ret;
	if (!e->ops->pio_out)
		return UMBRA_EMUL_UNHANDLEABLE;
	ret = umbra_linear_read(e, linear, &val, e->op_bytes, UMBRA_ACCESS_READ);
	if (ret)
		return ret;
	return e->ops->pio_out(e, st->port, &val, e->op_bytes, port_ahead(e, st, linear));
}

/* One iteration; bits 1 to 3 of the opcode name the instruction. */
static int one_item(struct umbra_emul *e, struct string_state *st)
{
	unsigned int bytes = e->op_bytes;
	u64 a = 0, b = 0;
	int ret = 0;

	switch (e->opcode & ~1) {
	case 0x6c:
		return ins_item(e, st);
	case 0x6e:
		return outs_item(e, st);
	case 0xa4:	/* MOVS */
		ret = umbra_mem_read(e, e->seg, st->src, &a, bytes);
		return ret ?: umbra_mem_write(e, UMBRA_SEG_ES, st->dst, &a, bytes);
	case 0xa6:	/* CMPS; hardware reads rDI first */
		ret = umbra_mem_read(e, UMBRA_SEG_ES, st->dst, &b, bytes) ?:
		      umbra_mem_read(e, e->seg, st->src, &a, bytes);
		if (!ret)
			umbra_flags_sub(e, a, b, bytes);
		return ret;
	case 0xaa:	/* STOS */
		a = umbra_reg_read(e, RAX, bytes);
		return umbra_mem_write(e, UMBRA_SEG_ES, st->dst, &a, bytes);
	case 0xac:	/* LODS */
		ret = umbra_mem_read(e, e->seg, st->src, &a, bytes);
		if (!ret)
			umbra_reg_write(e, RAX, a, bytes);
		return ret;
	default:	/* SCAS */
		a = umbra_reg_read(e, RAX, bytes);
		ret = umbra_mem_read(e, UMBRA_SEG_ES, st->dst, &b, bytes);
		if (!ret)
			umbra_flags_sub(e, a, b, bytes);
		return ret;
	}
}

/* Move the pointers that the instruction has, and put them into the registers. */
static void advance(struct umbra_emul *e, struct string_state *st)
{
	u64 mask = emul_mask(e->ad_bytes);
	unsigned int op = e->opcode & ~1;

	if (op != 0x6c && op != 0xaa && op != 0xae) {
		st->src = (st->src + st->step) & mask;
		umbra_reg_write(e, RSI, st->src, e->ad_bytes);
	}
	if (op != 0x6e && op != 0xac) {
		st->dst = (st->dst + st->step) & mask;
		umbra_reg_write(e, RDI, st->dst, e->ad_bytes);
	}
}

/* REPE and REPNE end CMPS and SCAS by ZF. */
static bool ends_by_flag(const struct umbra_emul *e)
{
	unsigned int op = e->opcode & ~1;

	if (op != 0xa6 && op != 0xae)
		return false;
	return !(e->new_rflags & FL_ZF) == (e->rep == 0xf3);
}

static int repeat(struct umbra_emul *e, struct string_state *st)
{
	unsigned int done = 0, max = e->rflags & FL_TF ? 1 : UMBRA_EMUL_REP_MAX;

	while (st->left) {
		int ret;

		if (done++ == max)
			return UMBRA_EMUL_REPEAT;
		ret = one_item(e, st);
		if (ret)
			return ret;
		advance(e, st);
		umbra_reg_write(e, RCX, --st->left, e->ad_bytes);
		if (!e->intel)
			e->rflags = (e->new_rflags & FL_ARITH) | (e->rflags & ~FL_ARITH);
		if (e->ops->iteration_done)
			e->ops->iteration_done(e);
		if (ends_by_flag(e))
			return 0;
	}
	return 0;
}

UMBRA_EM(string)
{
	struct string_state st = {
		.src = umbra_reg_read(e, RSI, e->ad_bytes),
		.dst = umbra_reg_read(e, RDI, e->ad_bytes),
		.left = umbra_reg_read(e, RCX, e->ad_bytes),
		.port = e->regs[RDX],
	};
	int ret;

	/* Ports have no 64-bit items. */
	if (e->opcode < 0x70) {
		e->op_bytes = min_t(unsigned int, e->op_bytes, 4);
		ret = umbra_io_permitted(e, st.port, e->op_bytes);
		if (ret)
			return ret;
	}
	st.step = e->rflags & FL_DF ? -(int)e->op_bytes : e->op_bytes;
	if (e->rep)
		return repeat(e, &st);
	st.left = 1;
	ret = one_item(e, &st);
	if (!ret)
		advance(e, &st);
	return ret;
}

UMBRA_EM(xlat)
{
	u64 ea = (e->regs[RBX] + (u8)e->regs[RAX]) & emul_mask(e->ad_bytes);
	u64 val = 0;
	int ret;

	ret = umbra_mem_read(e, e->seg, ea, &val, 1);
	if (!ret)
		umbra_reg_write(e, RAX, val, 1);
	return ret;
}
