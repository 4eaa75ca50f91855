// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operands: general registers, effective and linear addresses, memory access.
 *
 * Everything that reaches guest memory goes through umbra_linearize(), the one
 * place for segment limits, segment types and canonical form (SDM volume 3
 * chapter 5, APM volume 2 chapter 4).
 */
#include <linux/kernel.h>

#include "internal.h"

/* AH, CH, DH, BH: byte registers 4 to 7 of an instruction without REX. */
static bool is_high_byte(const struct umbra_emul *e, unsigned int reg, unsigned int bytes)
{
	return bytes == 1 && reg - 4 < 4 && !(e->prefixes & P_REX);
}

/* Read @bytes (1, 2, 4, 8) of a general register, zero extended. */
u64 umbra_reg_read(const struct umbra_emul *e, unsigned int reg, unsigned int bytes)
{
	if (is_high_byte(e, reg, bytes))
		return e->regs[reg & 3] >> 8 & 0xff;
	return e->regs[reg] & emul_mask(bytes);
}

/* Write one: 1 and 2 bytes keep the rest of the register, 4 clear the upper half. */
void umbra_reg_write(struct umbra_emul *e, unsigned int reg, u64 val, unsigned int bytes)
{
	u64 keep = bytes >= 4 ? 0 : ~emul_mask(bytes);

	val &= emul_mask(bytes);
	if (is_high_byte(e, reg, bytes)) {
		reg &= 3;
		keep = ~0xff00ULL;
		val <<= 8;
	}
	e->regs[reg] = (e->regs[reg] & keep) | val;
}

/* Offset of the ModRM or moffs memory operand inside its segment. */
u64 umbra_effective_address(const struct umbra_emul *e)
{
	u64 ea = e->disp;

	if (e->base < 16)
		ea += e->regs[e->base];
	else if (e->base == REG_RIP)
		ea += e->next_rip;
	if (e->index < 16)
		ea += e->regs[e->index] << e->scale;
	return ea & emul_mask(e->ad_bytes);
}

/* Is an address canonical with 57 bits, and are there so many? */
bool umbra_canonical57(struct umbra_emul *e, u64 va)
{
	u64 cr4;

	if ((s64)(va << 7) >> 7 != (s64)va || !e->ops->get_cr)
		return false;
	return !e->ops->get_cr(e, 4, &cr4) && (cr4 & CR4_LA57);
}

/* Does the type of @s allow the access in protected mode? */
static bool segment_allows(const struct kvm_segment *s, unsigned int access)
{
	if (s->unusable || !s->present)
		return false;
	if (s->type & 8)
		return !(access & UMBRA_ACCESS_WRITE) && (s->type & 2);
	return !(access & UMBRA_ACCESS_WRITE) || (s->type & 2);
}

static bool inside_limit(const struct umbra_emul *e, const struct kvm_segment *s,
			 u64 offset, unsigned int bytes)
{
	u64 last = offset + bytes - 1;

	if (s->s && (s->type & 12) == 4)	/* data, expands down */
		return offset > s->limit && last <= (s->db ? 0xffffffffULL : 0xffff);
	/* A segment of 4 GiB has no end for Intel: the address wraps. */
	return last <= s->limit || (e->intel && s->limit == 0xffffffff);
}

/*
 * User mode may have alignment checked, of 32 bytes to 16. Intel does that after #PF,
 * AMD before.
 */
static int check_alignment(struct umbra_emul *e, u64 linear, unsigned int bytes,
			   unsigned int access)
{
	u64 cr0;
	int ret;

	if (likely(!(e->rflags & FL_AC) || e->cpl != 3) ||
	    !(linear & (min_t(unsigned int, bytes, 16) - 1)))
		return 0;
	if (!e->ops->get_cr || !e->ops->probe)
		return UMBRA_EMUL_UNHANDLEABLE;
	ret = e->ops->get_cr(e, 0, &cr0);
	if (ret || !(cr0 & CR0_AM))
		return ret;
	ret = e->intel ? e->ops->probe(e, linear, bytes, access) : 0;
	return ret ?: umbra_emul_fault(e, VEC_AC, true, 0);
}

/**
 * umbra_linearize() - logical to linear address
 * @e: context
 * @seg: enum umbra_emul_segment
 * @offset: inside the segment, truncated to the address size
 * @bytes: 1 or more
 * @access: UMBRA_ACCESS_READ or UMBRA_ACCESS_WRITE
 * @linear: result, also with a fault
 *
 * Return: 0, or UMBRA_EMUL_FAULT: #SS(0) for the stack segment, else #GP(0); #AC(0).
 */
int umbra_linearize(struct umbra_emul *e, unsigned int seg, u64 offset,
		    unsigned int bytes, unsigned int access, u64 *linear)
{
	struct kvm_segment s;

	if (emul_long(e)) {
		if (seg >= UMBRA_SEG_FS) {
			e->ops->get_segment(e, seg, &s);
			offset += s.base;
		}
		*linear = offset;
		if (umbra_canonical(e, offset) &&
		    umbra_canonical(e, offset + bytes - 1))
			return check_alignment(e, offset, bytes, access);
	} else {
		e->ops->get_segment(e, seg, &s);
		*linear = (u32)(s.base + offset);
		if ((emul_8086(e) || segment_allows(&s, access)) &&
		    inside_limit(e, &s, offset, bytes))
			return check_alignment(e, *linear, bytes, access);
	}
	return umbra_emul_fault(e, seg == UMBRA_SEG_SS ? VEC_SS : VEC_GP, true, 0);
}

/* Read @bytes (1, 2, 4, 8) at a linear address as a number. */
int umbra_linear_read(struct umbra_emul *e, u64 linear, u64 *val,
		      unsigned int bytes, unsigned int access)
{
	*val = 0;
	return e->ops->read(e, linear, val, bytes, access);
}

/* Write @bytes (1, 2, 4, 8) of a number to a linear address. */
int umbra_linear_write(struct umbra_emul *e, u64 linear, u64 val,
		       unsigned int bytes, unsigned int access)
{
	return e->ops->write(e, linear, &val, bytes, access | UMBRA_ACCESS_WRITE);
}

/* Read up to 32 bytes at a logical address. */
int umbra_mem_read(struct umbra_emul *e, unsigned int seg, u64 offset, void *val,
		   unsigned int bytes)
{
	u64 linear;
	int ret;

	ret = umbra_linearize(e, seg, offset, bytes, UMBRA_ACCESS_READ, &linear);
	if (ret)
		return ret;
	return e->ops->read(e, linear, val, bytes, UMBRA_ACCESS_READ);
}

/* Write up to 32 bytes at a logical address. */
int umbra_mem_write(struct umbra_emul *e, unsigned int seg, u64 offset,
		    const void *val, unsigned int bytes)
{
	u64 linear;
	int ret;

	ret = umbra_linearize(e, seg, offset, bytes, UMBRA_ACCESS_WRITE, &linear);
	if (ret)
		return ret;
	return e->ops->write(e, linear, val, bytes, UMBRA_ACCESS_WRITE);
}

static void load_reg(struct umbra_emul *e, struct umbra_operand *op, unsigned int reg)
{
	op->kind = OPND_REG;
	op->reg = reg;
	op->val = umbra_reg_read(e, reg, op->bytes);
}

static int load_mem(struct umbra_emul *e, struct umbra_operand *op, bool load, bool write)
{
	unsigned int access = write ? UMBRA_ACCESS_WRITE : UMBRA_ACCESS_READ;
	int ret;

	op->kind = OPND_MEM;
	ret = umbra_linearize(e, e->seg, umbra_effective_address(e), op->bytes,
			      access, &op->addr);
	if (ret || !load)
		return ret;
	return umbra_linear_read(e, op->addr, &op->val, op->bytes, access);
}

/**
 * umbra_operand_load() - find an operand and read it
 * @e: context
 * @op: result; val and orig hold the value, zero extended
 * @kind: OP_*, from the table
 * @load: read memory; else only its address is checked
 * @write: memory will be written afterwards
 *
 * Return: enum umbra_emul_result.
 */
int umbra_operand_load(struct umbra_emul *e, struct umbra_operand *op,
		       unsigned int kind, bool load, bool write)
{
	int ret = 0;

	op->kind = OPND_NONE;
	op->bytes = e->op_bytes;
	op->val = 0;
	switch (kind) {
	case OP_NONE:
		break;
	case OP_RM8:
	case OP_RM16:
	case OP_RM32:
		op->bytes = kind == OP_RM8 ? 1 : kind == OP_RM16 ? 2 : 4;
		fallthrough;
	case OP_RM:
		if (emul_modrm_mem(e))
			ret = load_mem(e, op, load, write);
		else
			load_reg(e, op, emul_modrm_rm(e));
		break;
	case OP_MOFFS:
		ret = load_mem(e, op, load, write);
		break;
	case OP_REG:
		load_reg(e, op, emul_modrm_reg(e));
		break;
	case OP_OPREG:
		load_reg(e, op, (e->opcode & 7) | (e->rex & REX_B) << 3);
		break;
	case OP_ACC:
		load_reg(e, op, RAX);
		break;
	case OP_CL:
		op->val = e->regs[RCX] & 0xff;
		break;
	case OP_ONE:
		op->val = 1;
		break;
	default:	/* OP_IMM */
		op->kind = OPND_IMM;
		op->val = e->imm & emul_mask(op->bytes);
		break;
	}
	op->orig = op->val;
	return ret;
}

/**
 * umbra_operand_store() - write an operand back
 * @e: context
 * @op: where and what
 * @locked: memory is changed by compare and exchange against op->orig
 *
 * Return: enum umbra_emul_result; a register never fails.
 */
int umbra_operand_store(struct umbra_emul *e, struct umbra_operand *op, bool locked)
{
	if (op->kind == OPND_REG)
		umbra_reg_write(e, op->reg, op->val, op->bytes);
	if (op->kind != OPND_MEM)
		return 0;
	if (!locked)
		return umbra_linear_write(e, op->addr, op->val, op->bytes, 0);
	if (!e->ops->exchange)
		return UMBRA_EMUL_UNHANDLEABLE;
	return e->ops->exchange(e, op->addr, &op->orig, &op->val, op->bytes);
}
