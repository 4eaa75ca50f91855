// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random instructions with a random state.
 *
 * Prefixes, registers, addressing and immediates are random; the address is then
 * bent, by way of one register or the displacement, so that most accesses hit the
 * memory window or its edges.
 */
#include <string.h>

#include "forms.h"
#include "generate.h"

static u64 rng;

void random_seed(u64 seed)
{
	rng = seed * 0x9e3779b97f4a7c15ULL + 1;
}

/* xorshift64* */
u64 random_u64(void)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return rng * 0x2545f4914f6cdd1dULL;
}

/* 0 to @n - 1 */
unsigned int random_below(unsigned int n)
{
	return (random_u64() >> 33) % n;
}

static bool one_in(unsigned int n)
{
	return !random_below(n);
}

/* Numbers around the edges where arithmetic goes wrong, and plain ones. */
static u64 interesting(void)
{
	switch (random_below(6)) {
	case 0:
		return random_u64();
	case 1:
		return (u32)random_u64();
	case 2:
		return random_below(256);
	case 3:
		return -(u64)random_below(256);
	case 4:
		return (1ULL << random_below(64)) - 1 + random_below(3);
	default:
		return 0;
	}
}

/* An address for @s's memory operand: mostly inside, often at an edge. */
static u64 pick_target(void)
{
	static const u64 edges[] = {
		DATA_BASE, RW_BASE, RW_BASE + PAGE, DATA_BASE + DATA_SIZE, 0,
	};

	switch (random_below(8)) {
	case 0:
		return edges[random_below(5)] - random_below(40) + random_below(20);
	case 1:
		return DATA_BASE + random_below(PAGE);
	case 2:
		return random_u64();
	case 3:
	case 4:
		return RW_BASE + 64 * (1 + random_below(60));
	default:
		return RW_BASE + 64 + random_below(2 * PAGE - 256);
	}
}

/* The encoding while it grows. */
struct builder {
	const struct mode *mode;
	const struct form *form;
	struct sample *s;
	u8 rex;
	bool opsize, adsize, lock;
	u8 override;			/* segment prefix */
	u8 rep;
	unsigned int op_bytes, ad_bytes;
	int base, index, scale;		/* registers, -1 for none */
	int reg;
	u64 disp;
	int disp_at, disp_bytes;	/* where the displacement lies */
	bool rip_relative;
};

static bool long_mode(const struct builder *b)
{
	return b->mode->emul == UMBRA_EMUL_LONG64;
}

/* Base of the segment that an access takes, when @seg is the default one. */
static u64 segment_base(const struct builder *b, unsigned int seg)
{
	if (b->override >= 0x64)
		seg = b->override - 0x60;
	else if (b->override && !long_mode(b))
		seg = b->override >> 3 & 3;
	return b->mode->seg[seg].base;
}

static void emit(struct builder *b, u64 val, unsigned int bytes)
{
	struct insn *i = &b->s->insn;

	/* Too long: the generator gives up on this one. */
	if (i->len + bytes <= sizeof(i->bytes))
		memcpy(i->bytes + i->len, &val, bytes);
	i->len += bytes;
}

/* Also those that are illegal, or mean nothing, are tried now and then. */
static void choose_prefixes(struct builder *b)
{
	static const u8 overrides[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
	u64 f = b->form->flags;

	b->rex = 0;
	if (long_mode(b) && one_in(2))
		b->rex = 0x40 | random_below(16);
	b->opsize = !(f & (T_NO66 | T_VEX)) && b->form->prefix != 0x66 && one_in(4);
	b->adsize = one_in(8);
	b->lock = one_in(f & T_LOCK ? 3 : 60);
	b->rep = 0;
	/* With LOOPE and LOOPNE it chooses the condition, which no manual says. */
	if (f & T_STR ? !one_in(3) : !b->form->map && !(f & T_BRANCH) && one_in(30))
		b->rep = 0xf2 + random_below(2);
	if (one_in(8))
		b->override = overrides[random_below(6)];
	if (b->mode->emul == UMBRA_EMUL_PROT16) {
		if (f & T_WIDE)
			b->opsize = true;
		b->ad_bytes = b->adsize ? 4 : 2;
		b->op_bytes = b->opsize ? 4 : 2;
	} else {
		b->ad_bytes = long_mode(b) ? 8 : 4;
		if (b->adsize)
			b->ad_bytes /= 2;
		b->op_bytes = b->rex & 8 ? 8 : b->opsize ? 2 : 4;
	}
	if (long_mode(b) && (f & T_STACK) && b->op_bytes == 4)
		b->op_bytes = 8;
	/* AMD takes 66 on a near branch for 16 bits, Intel ignores it. */
	if (long_mode(b) && (f & (T_BRANCH | T_INDIRECT)) &&
	    (guest_intel || b->op_bytes != 2))
		b->op_bytes = 8;
	if (f & T_BYTE)
		b->op_bytes = 1;
}

static void emit_prefixes(struct builder *b)
{
	if (b->override)
		emit(b, b->override, 1);
	if (b->adsize)
		emit(b, 0x67, 1);
	if (b->opsize)
		emit(b, 0x66, 1);
	if (b->lock)
		emit(b, 0xf0, 1);
	if (b->rep)
		emit(b, b->rep, 1);
	/* A REX that is cancelled by a prefix that means nothing after others. */
	if (long_mode(b) && one_in(40)) {
		emit(b, 0x48, 1);
		emit(b, b->override ? b->override : 0x3e, 1);
	}
	if (b->form->prefix && !(b->form->flags & T_VEX))
		emit(b, b->form->prefix, 1);
	if (b->rex && !(b->form->flags & T_VEX))
		emit(b, b->rex, 1);
}

/* VEX in two or three bytes; VEX.L and VEX.vvvv also where they must not be set. */
static void emit_vex(struct builder *b)
{
	const struct form *f = b->form;
	unsigned int pp = f->prefix == 0x66 ? 1 : f->prefix == 0xf3 ? 2 :
			  f->prefix == 0xf2 ? 3 : 0;
	unsigned int l = one_in(f->flags & T_AVX256 ? 2 : 30) ? 4 : 0;
	unsigned int v = f->flags & T_VVVV || one_in(30) ?
			 random_below(long_mode(b) ? 16 : 8) : 0;
	bool w = b->rex & 8;

	if (!long_mode(b)) {
		w = one_in(8);
		b->rex = 0;
	}
	if (f->map == 1 && !w && !(b->rex & 3) && one_in(2)) {
		emit(b, 0xc5, 1);
		emit(b, (~b->rex << 5 & 0x80) | (~v << 3 & 0x78) | l | pp, 1);
		return;
	}
	/* The upper half of the vector registers is no register outside of 64-bit mode. */
	if (!long_mode(b) && one_in(f->flags & T_VVVV ? 4 : 30))
		v |= 8;
	emit(b, 0xc4, 1);
	emit(b, (~b->rex << 5 & 0xe0) | f->map, 1);
	emit(b, w << 7 | (~v << 3 & 0x78) | l | pp, 1);
}

static void emit_opcode(struct builder *b)
{
	const struct form *f = b->form;
	unsigned int op = f->op;

	if (f->flags & T_OPREG)
		op += random_below(8);
	if (f->flags & T_CC)
		op += random_below(16);
	if (f->flags & T_VEX) {
		emit_vex(b);
	} else if (f->map) {
		emit(b, 0x0f, 1);
		if (f->map > 1)
			emit(b, f->map == 2 ? 0x38 : 0x3a, 1);
	}
	b->s->opcode_at = b->s->insn.len;
	emit(b, op, 1);
}

static void emit_modrm32(struct builder *b, unsigned int reg)
{
	unsigned int mod = random_below(3), rm = random_below(8);

	if (!b->form->ext && one_in(2))
		mod = 0;
	b->disp_bytes = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	b->base = rm | (b->rex & 1) << 3;
	emit(b, mod << 6 | reg << 3 | rm, 1);
	if (rm == 4) {
		unsigned int scale = random_below(4), index = random_below(8);
		unsigned int base = random_below(8);

		emit(b, scale << 6 | index << 3 | base, 1);
		b->scale = scale;
		b->index = index | (b->rex & 2) << 2;
		if (b->index == RSP)
			b->index = -1;
		b->base = base | (b->rex & 1) << 3;
		rm = base;
		if (base == 5 && mod == 0) {
			b->base = -1;
			b->disp_bytes = 4;
		}
	} else if (rm == 5 && mod == 0) {
		b->base = -1;
		b->rip_relative = long_mode(b);
		b->disp_bytes = 4;
	}
}

static void emit_modrm16(struct builder *b, unsigned int reg)
{
	static const s8 bases[8] = { RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX };
	static const s8 indexes[8] = { RSI, RDI, RSI, RDI, -1, -1, -1, -1 };
	unsigned int mod = random_below(3), rm = random_below(8);

	b->disp_bytes = mod;
	b->base = bases[rm];
	b->index = indexes[rm];
	b->scale = 0;
	if (mod == 0 && rm == 6) {
		b->base = -1;
		b->disp_bytes = 2;
	}
	emit(b, mod << 6 | reg << 3 | rm, 1);
}

static bool has_memory(const struct builder *b)
{
	return b->s->target;
}

static void emit_modrm(struct builder *b)
{
	u64 f = b->form->flags;
	unsigned int reg = b->form->ext >= 0 ? b->form->ext : (int)random_below(8);

	b->reg = reg | (b->rex & 4) << 1;
	if (!(f & T_MEM) && ((f & T_REG) || one_in(b->lock ? 20 : 3))) {
		emit(b, 0xc0 | reg << 3 | random_below(8), 1);
		return;
	}
	do
		b->s->target = pick_target();
	while (!b->s->target);
	if (b->ad_bytes == 2)
		emit_modrm16(b, reg);
	else
		emit_modrm32(b, reg);
	b->disp = !b->disp_bytes ? 0 : b->disp_bytes == 1 ? (u64)(s8)random_u64() :
		  (u64)(s32)random_u64();
	b->disp_at = b->s->insn.len;
	emit(b, b->disp, b->disp_bytes);
}

static void emit_immediate(struct builder *b)
{
	u64 imm = interesting();

	switch (b->form->imm) {
	case I_8:
		emit(b, b->form->flags & T_BRANCH ? 16 + random_below(100) : imm, 1);
		break;
	case I_16:
		emit(b, random_below(64), 2);
		break;
	case I_ENTER:
		emit(b, random_below(64), 2);
		emit(b, one_in(2) ? 0 : random_below(256), 1);
		break;
	case I_Z:
		if (b->form->flags & T_BRANCH)
			emit(b, one_in(4) ? random_u64() >> 40 : 16 + random_below(1000),
			     b->op_bytes == 2 ? 2 : 4);
		else
			emit(b, imm, b->op_bytes == 2 ? 2 : 4);
		break;
	case I_V:
		emit(b, imm, b->op_bytes);
		break;
	}
	if (b->form->flags & T_MOFFS) {
		b->s->target = pick_target();
		emit(b, b->s->target - segment_base(b, UMBRA_SEG_DS), b->ad_bytes);
	}
}

/* Make the effective address what it should be. */
static void aim(struct builder *b)
{
	struct regs *r = &b->s->in;
	u64 target = b->s->target, rest = b->disp;

	target -= segment_base(b, b->base == RSP || b->base == RBP ? UMBRA_SEG_SS :
							    UMBRA_SEG_DS);
	if (b->rip_relative)
		rest += r->rip + b->s->insn.len;
	if (b->index >= 0) {
		if (one_in(2))
			r->gpr[b->index] = random_below(100);
		rest += r->gpr[b->index] << b->scale;
	}
	if (b->base >= 0 && b->base != b->index) {
		r->gpr[b->base] = target - rest;
		if (b->ad_bytes < 8 && one_in(2))
			r->gpr[b->base] = (u32)r->gpr[b->base];
	} else if (b->disp_bytes == 4) {
		b->disp += target - rest;
		if (b->base >= 0)
			b->disp -= r->gpr[b->base];
		memcpy(b->s->insn.bytes + b->disp_at, &b->disp, 4);
	}
}

static void fill_registers(struct builder *b)
{
	struct regs *r = &b->s->in;
	u64 f = b->form->flags;
	int i;

	for (i = 0; i < 16; i++)
		r->gpr[i] = interesting();
	r->flags = 0x202 | (random_u64() & FL_ARITH);
	if (one_in(f & T_STR ? 3 : 20))
		r->flags |= FL_DF;
	if (one_in(12))
		r->flags |= FL_AC;
	if ((f & T_STACK) && !one_in(12))
		r->gpr[RSP] = pick_target();
	/* POPA may have loaded some registers when it faults. */
	if (b->form->op == 0x61 && !b->form->map)
		r->gpr[RSP] = RW_BASE + random_below(PAGE);
	if ((f & T_BP) && !one_in(12))
		r->gpr[RBP] = RW_BASE + 0x400 + random_below(0x1800);
	if (f & T_STR) {
		r->gpr[RSI] = pick_target() - segment_base(b, UMBRA_SEG_DS);
		r->gpr[RDI] = pick_target() - b->mode->seg[UMBRA_SEG_ES].base;
		r->gpr[RCX] = one_in(12) ? 1000 + random_below(3000) : random_below(40);
		/* With a 32-bit address size the upper halves are cleared when it likes. */
		if (b->adsize && long_mode(b)) {
			r->gpr[RSI] = (u32)r->gpr[RSI];
			r->gpr[RDI] = (u32)r->gpr[RDI];
		}
		/* Comparisons that go on for a while. */
		if (one_in(2))
			r->gpr[RAX] = 0;
	}
	if (f & T_DIV)
		r->gpr[RDX] = one_in(4) ? interesting() : (one_in(3) ? -1ULL : random_below(4));
	if ((f & T_BIT) && !one_in(8))
		r->gpr[b->reg] = random_below(4000) - 2000ULL;
	if (b->form->op == 0xd7 && !b->form->map)
		r->gpr[RBX] = pick_target() - (u8)r->gpr[RAX] -
			      segment_base(b, UMBRA_SEG_DS);
	if (f & T_VEX || b->form->map)
		for (i = 0; i < 64; i++)
			((u64 *)r->vec)[i] = random_u64();
	if (!have_avx)
		for (i = 0; i < 16; i++)
			memset(r->vec[i] + 16, 0, 16);
	if (long_mode(b))
		return;
	for (i = 0; i < 8; i++)
		r->gpr[i] = (u32)r->gpr[i];
	for (i = 8; i < 16; i++)
		r->gpr[i] = 0;
}

/* Both copies of the window get the same bytes where the operands are. */
static void fill_memory(u64 addr, const void *bytes, unsigned int n)
{
	if (addr < RW_BASE || addr > DATA_BASE + DATA_SIZE - n)
		return;
	memcpy((void *)(unsigned long)addr, bytes, n);
	memcpy(shadow + (addr - DATA_BASE), bytes, n);
}

static void prepare_memory(struct builder *b)
{
	struct regs *r = &b->s->in;
	u64 words[8], code = CODE_BASE + PAGE / 4 + random_below(PAGE) -
			      b->mode->seg[UMBRA_SEG_CS].base;
	unsigned int i;

	for (i = 0; i < 8; i++)
		words[i] = interesting();
	/* The quotient that is just too large: the smallest number by -1. */
	if (b->form->flags & T_DIV && one_in(8)) {
		words[0] = -1ULL;
		r->gpr[RAX] = -1ULL << (8 * b->op_bytes - 1);
		r->gpr[RDX] = -1ULL;
	}
	if (b->form->flags & T_INDIRECT && !one_in(8)) {
		words[0] = code;
		if (b->base != RSP && b->form->op != 0xff)
			fill_memory(r->gpr[RSP], words, 8);
	}
	if (b->form->flags & T_STR) {
		if (one_in(2))
			memset(words, 0, sizeof(words));
		fill_memory(r->gpr[RSI] + segment_base(b, UMBRA_SEG_DS), words,
			    sizeof(words));
		fill_memory(r->gpr[RDI] + b->mode->seg[UMBRA_SEG_ES].base, words,
			    sizeof(words) - 8 * random_below(3));
	}
	if (has_memory(b))
		fill_memory(b->s->target, words, 32);
	/* Let every second comparison succeed. */
	if ((b->form->flags & T_CMPXCHG) && has_memory(b) && one_in(2) &&
	    b->base != RAX && b->index != RAX) {
		r->gpr[RAX] = words[0];
		if (b->form->op == 0xc7 && b->base != RDX && b->index != RDX) {
			r->gpr[RDX] = b->rex & 8 ? words[1] : words[0] >> 32;
			if (!(b->rex & 8))
				r->gpr[RAX] = (u32)words[0];
		}
		if (!long_mode(b)) {
			r->gpr[RAX] = (u32)r->gpr[RAX];
			r->gpr[RDX] = (u32)r->gpr[RDX];
		}
	}
}

/* Shifts leave flags undefined by count (SDM SAL/SAR/SHL/SHR, RCL, SHLD). */
static void shift_undefined(struct builder *b)
{
	const struct form *f = b->form;
	unsigned int count, bits = 8 * b->op_bytes;
	struct sample *s = b->s;

	if (f->imm == I_8)
		count = s->insn.bytes[s->insn.len - 1];
	else if (f->op == 0xd0 || f->op == 0xd1)
		count = 1;
	else
		count = s->in.gpr[RCX] & 0xff;
	count &= bits == 64 ? 63 : 31;
	if (!count)
		return;
	if (count != 1)
		s->undefined |= FL_OF;
	if (f->map || f->ext >= 4)
		s->undefined |= FL_AF;
	if (f->map ? count > bits : f->ext >= 4 && f->ext <= 6 && count >= bits)
		s->undefined |= FL_CF;
	/* The result itself is undefined. */
	if (f->map && count > bits)
		s->insn.len = 0;
}

const char *sample_name(const struct sample *s)
{
	return form_name(s->form);
}

/**
 * generate() - make one test case
 * @mode: the mode it will run in
 * @n: which form
 * @s: result
 *
 * Return: false where this form has no such case in this mode.
 */
bool generate(const struct mode *mode, unsigned int n, struct sample *s)
{
	struct form resolved = form_resolve(n);
	const struct form *f = &resolved;
	struct builder b = {
		.mode = mode, .form = f, .s = s, .base = -1, .index = -1,
	};

	if (!form_exists(mode, f))
		return false;
	s->form = n;
	s->insn.len = 0;
	s->target = 0;
	s->undefined = f->undefined;
	s->torn = f->flags & T_TORN;
	s->either = false;
	memset(s->insn.bytes, 0xcc, sizeof(s->insn.bytes));
	choose_prefixes(&b);
	s->op_bytes = b.op_bytes;
	s->lock = b.lock;
	emit_prefixes(&b);
	emit_opcode(&b);
	if (f->flags & T_MODRM)
		emit_modrm(&b);
	emit_immediate(&b);
	if (s->insn.len > sizeof(s->insn.bytes))
		return false;
	s->in.rip = CODE_BASE + PAGE / 2 + random_below(PAGE / 2) -
		    mode->seg[UMBRA_SEG_CS].base;
	fill_registers(&b);
	if (has_memory(&b) && !(f->flags & T_MOFFS))
		aim(&b);
	if (!long_mode(&b)) {
		int i;

		for (i = 0; i < 8; i++)
			s->in.gpr[i] = (u32)s->in.gpr[i];
	}
	prepare_memory(&b);
	if (f->flags & T_SHIFT)
		shift_undefined(&b);
	if (f->op == 0xa6 && b.rep == 0xf3 && !f->map)
		s->either = true;
	return s->insn.len;
}
