// SPDX-License-Identifier: GPL-2.0-only
/*
 * IN and OUT, and the permission check that INS and OUTS share.
 */
#include <linux/kernel.h>

#include "internal.h"

/* The I/O permission bitmap at the end of a 32- or 64-bit TSS (SDM volume 1, 19.5.2). */
static int bitmap_permits(struct umbra_emul *e, u16 port, unsigned int bytes)
{
	struct kvm_segment tr;
	u64 start, offset, bits;
	int ret;

	e->ops->get_segment(e, UMBRA_SEG_TR, &tr);
	if (tr.unusable || !(tr.type & 8) || tr.limit < 103)
		return emul_gp(e, 0);
	ret = umbra_linear_read(e, tr.base + 102, &start, 2, UMBRA_ACCESS_SYSTEM);
	if (ret)
		return ret;
	offset = start + port / 8;
	if (offset + 1 > tr.limit)
		return emul_gp(e, 0);
	ret = umbra_linear_read(e, tr.base + offset, &bits, 2, UMBRA_ACCESS_SYSTEM);
	if (ret)
		return ret;
	return bits >> (port & 7) & ((1 << bytes) - 1) ? emul_gp(e, 0) : 0;
}

/**
 * umbra_io_permitted() - may the guest use these ports?
 * @e: context
 * @port: first port
 * @bytes: 1, 2 or 4
 *
 * Return: 0, #GP(0), or what reading the TSS gave.
 */
int umbra_io_permitted(struct umbra_emul *e, u16 port, unsigned int bytes)
{
	if (e->mode == UMBRA_EMUL_REAL)
		return 0;
	if (e->mode != UMBRA_EMUL_VM86 && e->cpl <= (e->rflags & FL_IOPL) >> 12)
		return 0;
	return bitmap_permits(e, port, bytes);
}

/* E4, E5, E6, E7 have the port in the instruction, EC to EF in DX. */
static int port_of(struct umbra_emul *e, u16 *port)
{
	*port = e->opcode & 8 ? e->regs[RDX] : e->imm;
	e->op_bytes = min_t(unsigned int, e->op_bytes, 4);
	return umbra_io_permitted(e, *port, e->op_bytes);
}

UMBRA_EM(in)
{
	u64 val = 0;
	u16 port;
	int ret;

	ret = port_of(e, &port);
	if (ret)
		return ret;
	if (!e->ops->pio_in)
		return UMBRA_EMUL_UNHANDLEABLE;
	ret = e->ops->pio_in(e, port, &val, e->op_bytes, 1);
	if (!ret)
		umbra_reg_write(e, RAX, val, e->op_bytes);
	return ret;
}

UMBRA_EM(out)
{
	u64 val;
	u16 port;
	int ret;

	ret = port_of(e, &port);
	if (ret)
		return ret;
	if (!e->ops->pio_out)
		return UMBRA_EMUL_UNHANDLEABLE;
	val = umbra_reg_read(e, RAX, e->op_bytes);
	return e->ops->pio_out(e, port, &val, e->op_bytes, 1);
}
