// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decoding: instruction bytes to struct umbra_emul's decoded part.
 *
 * Nothing here knows what an instruction does. The tables say which bytes follow
 * the opcode and in which modes it is legal; this file walks prefixes, opcode,
 * ModRM, SIB, displacement and immediate (SDM volume 2 chapter 2, APM volume 3
 * chapter 1). Every loop ends because each turn takes an instruction byte and
 * there are at most 15.
 */
#include <linux/kernel.h>

#include "internal.h"

/* Get at least one more instruction byte, at most up to the end of the page. */
static int fetch_more(struct umbra_emul *e)
{
	u64 offset = e->rip + e->insn_valid;
	u64 left = UMBRA_EMUL_INSN_MAX - e->insn_valid;
	u64 linear;
	int ret;

	if (!left)
		return emul_gp(e, 0);
	if (!e->ops || !e->ops->fetch)
		return UMBRA_EMUL_UNHANDLEABLE;

	if (emul_long(e)) {
		linear = offset;
		if (!umbra_canonical(e, linear))
			return emul_gp(e, 0);
	} else {
		struct kvm_segment cs;

		e->ops->get_segment(e, UMBRA_SEG_CS, &cs);
		offset = (u32)offset;
		if (offset > cs.limit)
			return emul_gp(e, 0);
		left = min_t(u64, left, cs.limit - offset + 1);
		linear = (u32)(cs.base + offset);
	}
	left = min_t(u64, left, 4096 - (linear & 4095));
	ret = e->ops->fetch(e, linear, e->insn + e->insn_valid, left);
	if (ret)
		return ret;
	e->insn_valid += left;
	return 0;
}

static inline int next_byte(struct umbra_emul *e, u8 *val)
{
	if (unlikely(e->len >= e->insn_valid)) {
		int ret = fetch_more(e);

		if (ret)
			return ret;
	}
	*val = e->insn[e->len++];
	return 0;
}

/* The next @bytes (1, 2, 4 or 8) as a sign-extended little-endian number. */
static int next_number(struct umbra_emul *e, unsigned int bytes, u64 *val)
{
	u64 raw = 0;

	while (unlikely(e->len + bytes > e->insn_valid)) {
		int ret = fetch_more(e);

		if (ret)
			return ret;
	}
	memcpy(&raw, e->insn + e->len, bytes);
	e->len += bytes;
	*val = emul_sext(raw, bytes);
	return 0;
}

/*
 * Legacy prefixes and REX. The last of F2 and F3 counts, the last segment
 * override counts, a REX counts only directly before the opcode. In 64-bit mode
 * overrides other than FS and GS are ignored (SDM 2.1.1, 2.2.1; APM 1.2).
 */
static int decode_prefixes(struct umbra_emul *e, u8 *opcode)
{
	for (;;) {
		int ret = next_byte(e, opcode);
		u8 b = *opcode;

		if (ret)
			return ret;
		switch (b) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			if (!emul_long(e)) {
				e->prefixes |= P_SEG;
				e->seg = b >> 3 & 3;
			}
			break;
		case 0x64:
		case 0x65:
			e->prefixes |= P_SEG;
			e->seg = b == 0x64 ? UMBRA_SEG_FS : UMBRA_SEG_GS;
			break;
		case 0x66:
			e->prefixes |= P_OPSIZE;
			break;
		case 0x67:
			e->prefixes |= P_ADSIZE;
			break;
		case 0xf0:
			e->prefixes |= P_LOCK;
			break;
		case 0xf2:
		case 0xf3:
			e->rep = b;
			break;
		case 0x40 ... 0x4f:
			if (!emul_long(e))
				return 0;
			e->prefixes |= P_REX;
			e->rex = b & 15;
			continue;
		default:
			return 0;
		}
		/* A legacy prefix after REX takes its effect away. */
		e->prefixes &= ~P_REX;
		e->rex = 0;
	}
}

/*
 * The rest of a C4 or C5 VEX or a 62 EVEX prefix and the opcode after it.
 * *prefix is the mandatory prefix: 0 none, 1 66, 2 F3, 3 F2.
 */
static int decode_vex(struct umbra_emul *e, u8 lead, u8 *opcode, unsigned int *prefix)
{
	u8 p0, p1, p2;
	int ret;

	if ((e->prefixes & (P_OPSIZE | P_LOCK | P_REX)) || e->rep)
		return emul_ud(e);
	ret = next_byte(e, &p0);
	if (ret)
		return ret;
	e->prefixes |= P_VEX;
	if (lead == 0xc5) {
		e->rex = ~p0 >> 5 & REX_R;
		e->map = 1;
		p1 = p0 & 0x7f;
	} else {
		ret = next_byte(e, &p1);
		if (ret)
			return ret;
		e->rex = (~p0 >> 5 & 7) | (p1 & 0x80 ? REX_W : 0);
		e->map = p0 & 0x1f;
		if (lead == 0x62) {
			e->prefixes |= P_EVEX;
			e->map &= 7;
			ret = next_byte(e, &p2);
			if (ret)
				return ret;
		}
	}
	if (!emul_long(e))
		e->rex = 0;
	if (e->map < 1 || e->map > 3)
		return UMBRA_EMUL_UNHANDLEABLE;
	e->vex_l = p1 & 4 ? 32 : 16;
	e->vex_v = ~p1 >> 3 & 15;
	*prefix = p1 & 3;
	return next_byte(e, opcode);
}

static const struct umbra_insn_desc *lookup(unsigned int map, u8 opcode)
{
	switch (map) {
	case 0:
		return &umbra_insn_1byte[opcode];
	case 1:
		return &umbra_insn_0f[opcode];
	case 2:
		return umbra_insn_0f38(opcode);
	default:
		return umbra_insn_0f3a(opcode);
	}
}

/* C4, C5 and 62 are LES, LDS and BOUND when a memory operand follows. */
static bool is_vex(struct umbra_emul *e, u8 opcode, int *ret)
{
	if (opcode != 0xc4 && opcode != 0xc5 && opcode != 0x62)
		return false;
	if (emul_8086(e))
		return false;
	if (emul_long(e))
		return true;
	if (e->len >= e->insn_valid) {
		*ret = fetch_more(e);
		if (*ret)
			return false;
	}
	return e->insn[e->len] >= 0xc0;
}

/*
 * The opcode's table entry, not yet the one inside a group. VEX and EVEX forms
 * are known by shape: all have ModRM but VZEROUPPER, and an immediate byte in map
 * 3 and where the legacy opcode has one.
 */
static int decode_opcode(struct umbra_emul *e, u8 opcode, unsigned int *prefix)
{
	int ret = 0;

	e->map = 0;
	*prefix = e->rep == 0xf3 ? 2 : e->rep ? 3 : e->prefixes & P_OPSIZE ? 1 : 0;
	if (opcode == 0x0f) {
		ret = next_byte(e, &opcode);
		if (ret)
			return ret;
		e->map = 1;
		if (opcode == 0x38 || opcode == 0x3a) {
			e->map = opcode == 0x38 ? 2 : 3;
			ret = next_byte(e, &opcode);
			if (ret)
				return ret;
		}
	} else if (is_vex(e, opcode, &ret)) {
		ret = decode_vex(e, opcode, &opcode, prefix);
	}
	if (ret)
		return ret;
	e->opcode = opcode;
	e->desc = lookup(e->map, opcode);
	e->flags = e->desc->flags;
	return 0;
}

/* Go from a group to its entry; at most three groups are nested. */
static int resolve_group(struct umbra_emul *e, unsigned int prefix)
{
	unsigned int kind;

	while ((kind = F_GRP_KIND(e->flags)) != GRP_NONE) {
		unsigned int n;

		switch (kind) {
		case GRP_REG:
			n = e->modrm >> 3 & 7;
			break;
		case GRP_RM:
			n = e->modrm & 7;
			break;
		case GRP_MOD:
			n = e->modrm >= 0xc0;
			break;
		case GRP_PREFIX:
			n = prefix;
			break;
		default:
			n = emul_long(e);
			break;
		}
		e->desc = &e->desc->group[n];
		if (!e->desc->flags)
			return emul_ud(e);
		e->flags = (e->flags & ~F_GRP_MASK) | e->desc->flags;
	}
	return 0;
}

static void decode_sizes(struct umbra_emul *e)
{
	bool small = e->prefixes & P_OPSIZE;

	switch (e->mode) {
	case UMBRA_EMUL_LONG64:
		e->ad_bytes = e->prefixes & P_ADSIZE ? 4 : 8;
		if (e->flags & F_NATIVE)
			e->op_bytes = 8;
		else if (e->flags & F_NEAR)
			e->op_bytes = small && !e->intel && !(e->rex & REX_W) ? 2 : 8;
		else if (e->rex & REX_W)
			e->op_bytes = 8;
		else if (small)
			e->op_bytes = 2;
		else
			e->op_bytes = e->flags & F_D64 ? 8 : 4;
		break;
	case UMBRA_EMUL_PROT32:
		e->ad_bytes = e->prefixes & P_ADSIZE ? 2 : 4;
		e->op_bytes = small ? 2 : 4;
		break;
	default:
		e->ad_bytes = e->prefixes & P_ADSIZE ? 4 : 2;
		e->op_bytes = small ? 4 : 2;
		break;
	}
	if (e->flags & F_BYTE)
		e->op_bytes = 1;
	else if ((e->flags & F_WIDE) && e->op_bytes == 2)
		e->op_bytes = 4;
	else if ((e->flags & F_NATIVE) && !emul_long(e))
		e->op_bytes = 4;
}

/* 16-bit addressing (SDM table 2-1). */
static int decode_mem16(struct umbra_emul *e)
{
	static const u8 bases[8] = { RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX };
	unsigned int mod = e->modrm >> 6, rm = e->modrm & 7;

	e->base = bases[rm];
	if (rm < 4)
		e->index = rm & 1 ? RDI : RSI;
	if (mod == 0) {
		if (rm != 6)
			return 0;
		e->base = REG_NONE;
	}
	return next_number(e, mod == 1 ? 1 : 2, &e->disp);
}

/* 32- and 64-bit addressing with SIB (SDM tables 2-2 and 2-3, section 2.2.1). */
static int decode_mem32(struct umbra_emul *e)
{
	unsigned int mod = e->modrm >> 6, rm = e->modrm & 7;
	unsigned int disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;

	if (rm == 4) {
		int ret;
		u8 sib;

		ret = next_byte(e, &sib);
		if (ret)
			return ret;
		e->index = (sib >> 3 & 7) | (e->rex & REX_X) << 2;
		if (e->index == RSP)
			e->index = REG_NONE;
		e->scale = sib >> 6;
		rm = sib & 7;
		e->base = rm | (e->rex & REX_B) << 3;
		if (rm == RBP && mod == 0) {
			e->base = REG_NONE;
			disp = 4;
		}
	} else {
		e->base = rm | (e->rex & REX_B) << 3;
		if (rm == RBP && mod == 0) {
			e->base = emul_long(e) ? REG_RIP : REG_NONE;
			disp = 4;
		}
	}
	return disp ? next_number(e, disp, &e->disp) : 0;
}

static int decode_memory(struct umbra_emul *e)
{
	int ret;

	e->disp = 0;
	e->base = REG_NONE;
	e->index = REG_NONE;
	e->scale = 0;
	ret = e->ad_bytes == 2 ? decode_mem16(e) : decode_mem32(e);
	if (ret)
		return ret;
	/* R12 and R13 are no stack registers. */
	if (!(e->prefixes & P_SEG) && (e->base == RSP || e->base == RBP))
		e->seg = UMBRA_SEG_SS;
	return 0;
}

static int decode_immediate(struct umbra_emul *e)
{
	u64 val;
	int ret;

	switch (F_IMM_KIND(e->flags)) {
	case IMM_NONE:
		return 0;
	case IMM_S8:
		return next_number(e, 1, &e->imm);
	case IMM_U8:
		ret = next_number(e, 1, &e->imm);
		e->imm &= 0xff;
		return ret;
	case IMM_16:
		ret = next_number(e, 2, &e->imm);
		e->imm &= 0xffff;
		return ret;
	case IMM_Z:
		return next_number(e, e->op_bytes == 2 ? 2 : 4, &e->imm);
	case IMM_V:
		return next_number(e, e->op_bytes, &e->imm);
	case IMM_MOFFS:
		ret = next_number(e, e->ad_bytes, &e->disp);
		e->base = REG_NONE;
		e->index = REG_NONE;
		return ret;
	case IMM_ENTER:
		ret = next_number(e, 2, &e->imm) ?: next_number(e, 1, &val);
		if (ret)
			return ret;
		e->imm &= 0xffff;
		e->imm2 = val & 0xff;
		return 0;
	default:	/* IMM_FAR */
		ret = next_number(e, e->op_bytes == 2 ? 2 : 4, &e->imm) ?:
		      next_number(e, 2, &val);
		if (ret)
			return ret;
		e->imm2 = val;
		return 0;
	}
}

/* CR0, 2, 3, 4, 8 and DR0 to 7. AMD reaches CR8 outside of 64-bit mode as LOCK MOV CR0. */
static bool is_system_register(const struct umbra_emul *e)
{
	unsigned int nr = emul_modrm_reg(e);
	bool lock = e->prefixes & P_LOCK;

	if (e->opcode & 1)
		return nr < 8 && !lock;
	if (lock)
		return !nr && !e->intel;
	return nr == 0 || (nr >= 2 && nr <= 4) || nr == 8;
}

/* What is illegal in this mode or with these prefixes. */
static int check_legal(struct umbra_emul *e)
{
	u64 f = e->flags;

	if ((f & F_NO64) && emul_long(e))
		return emul_ud(e);
	if ((f & F_ONLY64) && !emul_long(e))
		return emul_ud(e);
	if ((f & F_PROT) && emul_8086(e))
		return emul_ud(e);
	if ((f & F_MODRM) && !(f & F_MODREG) && (f & (F_MEM | F_REG)) &&
	    !!(f & F_MEM) != emul_modrm_mem(e))
		return emul_ud(e);
	/* BMI has no long vectors, and RORX, alone in map 3, no third operand. */
	if ((f & F_VEX_ONLY) && (!(e->prefixes & P_VEX) || e->vex_l == 32 ||
				 (e->map == 3 && e->vex_v)))
		return emul_ud(e);
	if (f & F_MODREG)
		return is_system_register(e) ? 0 : emul_ud(e);
	if ((e->prefixes & P_LOCK) && (!(f & F_LOCK) || !emul_modrm_mem(e)))
		return emul_ud(e);
	return 0;
}

int umbra_decode(struct umbra_emul *e)
{
	unsigned int prefix;
	int ret;
	u8 b;

	e->len = 0;
	e->prefixes = 0;
	e->rex = 0;
	e->rep = 0;
	e->modrm = 0;
	e->seg = UMBRA_SEG_DS;

	ret = decode_prefixes(e, &b);
	if (ret)
		return ret;
	ret = decode_opcode(e, b, &prefix);
	if (ret)
		return ret;
	if (!e->flags && !(e->prefixes & P_VEX))
		return emul_ud(e);

	if ((e->flags & F_MODRM) || ((e->prefixes & P_VEX) && e->opcode != 0x77)) {
		ret = next_byte(e, &e->modrm);
		if (ret)
			return ret;
		e->flags |= F_MODRM;
	}
	if (unlikely(e->prefixes & P_VEX)) {
		u64 imm = e->map == 3 ? F_IMM(U8) : e->flags & (15 << 8);
		u64 modrm = e->flags & F_MODRM;

		/* An entry that is not marked for VEX gives only its shape. */
		if (!e->flags || resolve_group(e, prefix) || !(e->flags & F_VEX) ||
		    (e->prefixes & P_EVEX)) {
			e->desc = &umbra_insn_unknown;
			e->flags = F_KNOWN | modrm | imm;
		}
	} else {
		ret = resolve_group(e, prefix);
		if (ret)
			return ret;
	}
	decode_sizes(e);
	if ((e->flags & F_MODRM) && emul_modrm_mem(e) && !(e->flags & F_MODREG)) {
		ret = decode_memory(e);
		if (ret)
			return ret;
	}
	ret = decode_immediate(e);
	if (ret)
		return ret;
	return check_legal(e);
}

/* Segment loads read a descriptor as well; stack instructions and CALL have F_D64, F_NEAR. */
bool umbra_one_access(const struct umbra_emul *e)
{
	unsigned int kinds = BIT(F_SRC_KIND(e->flags)) | BIT(F_DST_KIND(e->flags));

	if (e->flags & (F_D64 | F_NEAR) || e->desc->exec == umbra_em_mov_to_seg)
		return false;
	return kinds & (BIT(OP_RM) | BIT(OP_RM8) | BIT(OP_RM16) | BIT(OP_RM32) | BIT(OP_MOFFS));
}

unsigned int umbra_insn_length(const u8 *insn, unsigned int valid,
			       enum umbra_emul_mode mode)
{
	struct umbra_emul e;

	e.ops = NULL;
	e.mode = mode;
	e.intel = false;
	e.insn_valid = min_t(unsigned int, valid, UMBRA_EMUL_INSN_MAX);
	memcpy(e.insn, insn, e.insn_valid);
	return umbra_decode(&e) ? 0 : e.len;
}
