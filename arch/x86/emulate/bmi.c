// SPDX-License-Identifier: GPL-2.0-only
/*
 * BMI1, BMI2, ADX and CRC32: the integer instructions of maps 0F 38 and 0F 3A.
 *
 * Those with VEX take a further register from VEX.vvvv.
 * Flags that the manuals leave undefined (AF, PF, and for BEXTR SF) stay.
 */
#include <linux/kernel.h>

#include "internal.h"

static u64 read_v(const struct umbra_emul *e)
{
	return umbra_reg_read(e, emul_vex_reg(e), e->op_bytes);
}

/* What ANDN, BLSR and their kin have in common; OF is cleared. */
static void set_flags(struct umbra_emul *e, u64 result, bool carry)
{
	emul_set_flag(e, FL_SF, result & emul_sign(e->op_bytes));
	emul_set_flag(e, FL_ZF, !(result & emul_mask(e->op_bytes)));
	emul_set_flag(e, FL_CF, carry);
	emul_set_flag(e, FL_OF, false);
}

UMBRA_EM(andn)
{
	e->dst.val = ~read_v(e) & e->src.val;
	set_flags(e, e->dst.val, false);
	return 0;
}

/* 0F 38 F3: /1 BLSR, /2 BLSMSK, /3 BLSI; the destination is VEX.vvvv */
UMBRA_EM(bls)
{
	u64 a = e->src.val, r;

	switch (e->modrm >> 3 & 7) {
	case 1:
		r = a & (a - 1);
		break;
	case 2:
		r = a ^ (a - 1);
		break;
	default:
		r = a & -a;
		break;
	}
	set_flags(e, r, !a == ((e->modrm >> 3 & 7) != 3));
	umbra_reg_write(e, emul_vex_reg(e), r, e->op_bytes);
	return 0;
}

UMBRA_EM(bzhi)
{
	unsigned int n = read_v(e) & 0xff, bits = 8 * e->op_bytes;

	e->dst.val = e->src.val;
	if (n < bits)
		e->dst.val &= BIT_ULL(n) - 1;
	set_flags(e, e->dst.val, n >= bits);
	return 0;
}

UMBRA_EM(bextr)
{
	u64 control = read_v(e);
	unsigned int start = control & 0xff, len = control >> 8 & 0xff;
	u64 r = start < 64 ? e->src.val >> start : 0;

	if (len < 64)
		r &= BIT_ULL(len) - 1;
	emul_set_flag(e, FL_ZF, !r);
	emul_set_flag(e, FL_CF, false);
	emul_set_flag(e, FL_OF, false);
	e->dst.val = r;
	return 0;
}

/* PDEP spreads the low bits over the mask, PEXT gathers them; 64 turns at most. */
UMBRA_EM(pdep)
{
	u64 mask, val = read_v(e), r = 0;

	for (mask = e->src.val; mask; mask &= mask - 1) {
		if (val & 1)
			r |= mask & -mask;
		val >>= 1;
	}
	e->dst.val = r;
	return 0;
}

UMBRA_EM(pext)
{
	u64 mask, bit = 1, val = read_v(e), r = 0;

	for (mask = e->src.val; mask; mask &= mask - 1) {
		if (val & mask & -mask)
			r |= bit;
		bit <<= 1;
	}
	e->dst.val = r;
	return 0;
}

/* The upper half goes to ModRM.reg, written last, the lower to VEX.vvvv. */
UMBRA_EM(mulx)
{
	__uint128_t r = umbra_reg_read(e, RDX, e->op_bytes);

	r *= e->src.val;
	umbra_reg_write(e, emul_vex_reg(e), (u64)r, e->op_bytes);
	e->dst.val = (u64)(r >> (8 * e->op_bytes));
	return 0;
}

UMBRA_EM(shlx)
{
	e->dst.val = e->src.val << (read_v(e) & (8 * e->op_bytes - 1));
	return 0;
}

UMBRA_EM(shrx)
{
	e->dst.val = e->src.val >> (read_v(e) & (8 * e->op_bytes - 1));
	return 0;
}

UMBRA_EM(sarx)
{
	e->dst.val = emul_sext(e->src.val, e->op_bytes) >>
		     (read_v(e) & (8 * e->op_bytes - 1));
	return 0;
}

UMBRA_EM(rorx)
{
	unsigned int bits = 8 * e->op_bytes, n = e->imm & (bits - 1);

	e->dst.val = e->src.val;
	if (n)
		e->dst.val = e->src.val >> n | e->src.val << (bits - n);
	return 0;
}

/* ADCX adds with CF and changes only CF, ADOX the same with OF. */
static int add_with(struct umbra_emul *e, u64 flag)
{
	u64 a = e->dst.val, b = e->src.val, r = a + b + !!(e->rflags & flag);

	emul_set_flag(e, flag, ((a & b) | ((a | b) & ~r)) & emul_sign(e->op_bytes));
	e->dst.val = r;
	return 0;
}

UMBRA_EM(adcx)
{
	return add_with(e, FL_CF);
}

UMBRA_EM(adox)
{
	return add_with(e, FL_OF);
}

/* CRC-32C of 1, 2, 4 or 8 bytes, bit by bit; the register has 32 or 64 bits. */
UMBRA_EM(crc32)
{
	unsigned int reg = emul_modrm_reg(e), i;
	u32 crc = umbra_reg_read(e, reg, 4);

	for (i = 0; i < 8 * e->src.bytes; i++) {
		bool bit = (crc ^ e->src.val >> i) & 1;

		crc = crc >> 1 ^ (bit ? 0x82f63b78 : 0);
	}
	umbra_reg_write(e, reg, crc, 8);
	return 0;
}
