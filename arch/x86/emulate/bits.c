// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bits and bytes: the BT family, bit scans, BSWAP, MOVBE, single flags.
 */
#include <linux/kernel.h>
#include <linux/bitops.h>

#include "internal.h"

enum { BT, BTS, BTR, BTC };

/*
 * 0F A3, AB, B3, BB with a register, 0F BA with an immediate bit offset. A
 * register offset into memory is signed and reaches beyond the operand.
 */
UMBRA_EM(bt)
{
	bool imm = e->opcode == 0xba;
	unsigned int op = (imm ? e->modrm : e->opcode) >> 3 & 3, bytes = e->op_bytes;
	u64 old_disp = e->disp;
	s64 offset;
	u64 bit;
	int ret;

	if (imm)
		offset = e->imm & (8 * bytes - 1);
	else
		offset = emul_sext(umbra_reg_read(e, emul_modrm_reg(e), bytes), bytes);
	bit = 1ULL << (offset & (8 * bytes - 1));
	if (emul_modrm_mem(e))
		e->disp += offset >> 3 & ~(s64)(bytes - 1);
	ret = umbra_operand_load(e, &e->dst, OP_RM, true, op != BT);
	e->disp = old_disp;
	if (ret)
		return ret;

	emul_set_flag(e, FL_CF, e->dst.val & bit);
	if (op == BT)
		return 0;
	if (op == BTS)
		e->dst.val |= bit;
	else if (op == BTR)
		e->dst.val &= ~bit;
	else
		e->dst.val ^= bit;
	return umbra_operand_store(e, &e->dst, e->prefixes & P_LOCK);
}

/* With a source of zero the destination keeps all of its bits. */
static int bit_scan(struct umbra_emul *e, unsigned int (*scan)(u64 val))
{
	emul_set_flag(e, FL_ZF, !e->src.val);
	if (e->src.val)
		e->dst.val = scan(e->src.val);
	else
		e->dst.kind = OPND_NONE;
	return 0;
}

static unsigned int scan_forward(u64 val)
{
	return __ffs64(val);
}

static unsigned int scan_reverse(u64 val)
{
	return fls64(val) - 1;
}

UMBRA_EM(bsf)
{
	return bit_scan(e, scan_forward);
}

UMBRA_EM(bsr)
{
	return bit_scan(e, scan_reverse);
}

static int bit_count(struct umbra_emul *e, unsigned int count)
{
	emul_set_flag(e, FL_CF, !e->src.val);
	emul_set_flag(e, FL_ZF, !count);
	e->dst.val = count;
	return 0;
}

UMBRA_EM(tzcnt)
{
	return bit_count(e, e->src.val ? __ffs64(e->src.val) : 8 * e->op_bytes);
}

UMBRA_EM(lzcnt)
{
	return bit_count(e, 8 * e->op_bytes - fls64(e->src.val));
}

UMBRA_EM(popcnt)
{
	e->new_rflags &= ~FL_ARITH;
	emul_set_flag(e, FL_ZF, !e->src.val);
	e->dst.val = hweight64(e->src.val);
	return 0;
}

static u64 swap_bytes(u64 val, unsigned int bytes)
{
	return __builtin_bswap64(val) >> (64 - 8 * bytes);
}

/* Of 16 bits it is undefined; processors give zero. */
UMBRA_EM(bswap)
{
	e->dst.val = e->op_bytes == 2 ? 0 : swap_bytes(e->dst.val, e->op_bytes);
	return 0;
}

UMBRA_EM(movbe)
{
	e->dst.val = swap_bytes(e->src.val, e->op_bytes);
	return 0;
}

/* CMC, CLC, STC, CLD, STD */
UMBRA_EM(flag)
{
	switch (e->opcode) {
	case 0xf5:
		e->new_rflags ^= FL_CF;
		break;
	case 0xf8:
	case 0xf9:
		emul_set_flag(e, FL_CF, e->opcode & 1);
		break;
	default:
		emul_set_flag(e, FL_DF, e->opcode & 1);
		break;
	}
	return 0;
}

UMBRA_EM(lahf)
{
	u8 ah = (e->rflags & (FL_ARITH & 0xff)) | FL_FIXED;

	e->regs[RAX] = (e->regs[RAX] & ~0xff00ULL) | ah << 8;
	return 0;
}

UMBRA_EM(sahf)
{
	u64 mask = FL_ARITH & 0xff;

	e->new_rflags = (e->new_rflags & ~mask) | (e->regs[RAX] >> 8 & mask);
	return 0;
}
