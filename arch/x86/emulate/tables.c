// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decode tables: for each opcode its shape, operands, legality and handler.
 *
 * Source: SDM volume 2 appendix A, APM volume 3 appendix A. An entry that is
 * all zero is undefined (#UD). X() entries have a length, but no handler.
 */
#include <linux/kernel.h>

#include "internal.h"

#define I(f, fn)	{ .flags = (f) | F_KNOWN, .exec = umbra_em_##fn }
#define X(f)		{ .flags = (f) | F_KNOWN }
#define G(f, kind, tbl)	{ .flags = (f) | F_GRP(kind), .group = tbl }

#define RM_REG		(F_MODRM | F_DST(RM) | F_SRC(REG))
#define REG_RM		(F_MODRM | F_DST(REG) | F_SRC(RM))
#define RM_IMM		(F_MODRM | F_DST(RM) | F_SRC(IMM))
#define ACC_IMM		(F_DST(ACC) | F_SRC(IMM))
#define RW		(F_READ | F_WRITE)
#define RWL		(F_READ | F_WRITE | F_LOCK)
#define LOAD		(F_MODRM | F_SRC(RM))	/* reads ModRM.rm only */

/* The six classic forms of a two-operand instruction. */
#define ALU(op, fn, acc, lock)						\
	[(op) + 0] = I(F_BYTE | RM_REG | (acc) | (lock), fn),		\
	[(op) + 1] = I(RM_REG | (acc) | (lock), fn),			\
	[(op) + 2] = I(F_BYTE | REG_RM | (acc), fn),			\
	[(op) + 3] = I(REG_RM | (acc), fn),				\
	[(op) + 4] = I(F_BYTE | ACC_IMM | F_IMM(S8) | (acc), fn),	\
	[(op) + 5] = I(ACC_IMM | F_IMM(Z) | (acc), fn)

/* 80, 81, 83 */
static const struct umbra_insn_desc group1[8] = {
	I(RWL, add), I(RWL, or), I(RWL, adc), I(RWL, sbb),
	I(RWL, and), I(RWL, sub), I(RWL, xor), I(F_READ, cmp),
};

/* 8F; XOP is not decoded */
static const struct umbra_insn_desc group1a[8] = { I(F_D64, pop) };

/* C0, C1, D0 ... D3; /6 is /4 */
static const struct umbra_insn_desc group2[8] = {
	I(RW, shift), I(RW, shift), I(RW, shift), I(RW, shift),
	I(RW, shift), I(RW, shift), I(RW, shift), I(RW, shift),
};

/* F6 */
static const struct umbra_insn_desc group3_byte[8] = {
	I(F_DST(RM) | F_SRC(IMM) | F_READ | F_IMM(S8), test),
	I(F_DST(RM) | F_SRC(IMM) | F_READ | F_IMM(S8), test),
	I(F_DST(RM) | RWL, not), I(F_DST(RM) | RWL, neg),
	I(F_SRC(RM), mul), I(F_SRC(RM), imul1), I(F_SRC(RM), div), I(F_SRC(RM), idiv),
};

/* F7 */
static const struct umbra_insn_desc group3[8] = {
	I(F_DST(RM) | F_SRC(IMM) | F_READ | F_IMM(Z), test),
	I(F_DST(RM) | F_SRC(IMM) | F_READ | F_IMM(Z), test),
	I(F_DST(RM) | RWL, not), I(F_DST(RM) | RWL, neg),
	I(F_SRC(RM), mul), I(F_SRC(RM), imul1), I(F_SRC(RM), div), I(F_SRC(RM), idiv),
};

/* FE */
static const struct umbra_insn_desc group4[8] = {
	I(F_DST(RM) | RWL, inc), I(F_DST(RM) | RWL, dec),
};

/* FF */
static const struct umbra_insn_desc group5[8] = {
	I(F_DST(RM) | RWL, inc), I(F_DST(RM) | RWL, dec),
	I(F_SRC(RM) | F_NEAR, call_abs), I(F_MEM, call_far),
	I(F_SRC(RM) | F_NEAR, jmp_abs), I(F_MEM, jmp_far),
	I(F_SRC(RM) | F_D64, push),
};

/* 0F 00 */
static const struct umbra_insn_desc group6[8] = {
	I(F_PROT, store_sel), I(F_PROT, store_sel),
	X(F_PROT | F_PRIV), X(F_PROT | F_PRIV), X(F_PROT), X(F_PROT),
};

/* 0F 01 with a register, by ModRM.reg and ModRM.rm */
static const struct umbra_insn_desc group7_reg0[8] = {
	X(0), X(0), X(0), X(0), X(0), X(0), X(0), X(0),
};

static const struct umbra_insn_desc group7_reg1[8] = {
	X(0), X(0), X(0), X(0), X(0), X(0), X(0), X(0),
};

static const struct umbra_insn_desc group7_reg2[8] = {
	X(0), I(F_PRIV, xsetbv), X(0), X(0), X(0), X(0), X(0), X(0),
};

static const struct umbra_insn_desc group7_reg3[8] = {
	X(0), X(0), X(0), X(0), X(0), X(0), X(0), X(0),
};

static const struct umbra_insn_desc group7_reg5[8] = {
	X(0), X(0), X(0), X(0), X(0), X(0), X(0), X(0),
};

static const struct umbra_insn_desc group7_reg7[8] = {
	I(F_ONLY64 | F_PRIV, swapgs), I(0, rdtscp), X(0), X(0), X(0), X(0), X(0), X(0),
};

static const struct umbra_insn_desc group7_sgdt[2] = {
	I(F_NATIVE, store_dt), G(0, RM, group7_reg0),
};

static const struct umbra_insn_desc group7_sidt[2] = {
	I(F_NATIVE, store_dt), G(0, RM, group7_reg1),
};

static const struct umbra_insn_desc group7_lgdt[2] = {
	I(F_PRIV, load_dt), G(0, RM, group7_reg2),
};

static const struct umbra_insn_desc group7_lidt[2] = {
	I(F_PRIV, load_dt), G(0, RM, group7_reg3),
};

static const struct umbra_insn_desc group7_cet[2] = {
	X(0), G(0, RM, group7_reg5),
};

static const struct umbra_insn_desc group7_invlpg[2] = {
	I(F_PRIV, invlpg), G(0, RM, group7_reg7),
};

/* 0F 01 */
static const struct umbra_insn_desc group7[8] = {
	G(0, MOD, group7_sgdt), G(0, MOD, group7_sidt),
	G(0, MOD, group7_lgdt), G(0, MOD, group7_lidt),
	I(0, smsw), G(0, MOD, group7_cet),
	I(F_SRC(RM16) | F_PRIV, lmsw), G(0, MOD, group7_invlpg),
};

/* 0F BA */
static const struct umbra_insn_desc group8[8] = {
	[4] = I(0, bt), I(F_LOCK, bt), I(F_LOCK, bt), I(F_LOCK, bt),
};

/* 0F C7 */
static const struct umbra_insn_desc group9[8] = {
	[1] = I(F_MEM | F_LOCK, cmpxchg8b),
	[3] = X(F_MEM), X(F_MEM), X(F_MEM), X(0), X(0),
};

/* C6 and C7; /7 is XABORT and XBEGIN with a register */
static const struct umbra_insn_desc group11_byte[8] = {
	I(RM_IMM | F_IMM(S8) | F_WRITE, mov), [7] = X(F_REG | F_IMM(S8)),
};

static const struct umbra_insn_desc group11[8] = {
	I(RM_IMM | F_IMM(Z) | F_WRITE, mov), [7] = X(F_REG | F_IMM(Z)),
};

/* 0F AE: with memory XSAVE and its family and CLFLUSH, with a register fences */
static const struct umbra_insn_desc group15_mem[8] = {
	X(0), X(0), X(0), X(0), X(0), X(0), X(0), I(0, flush_line),
};

static const struct umbra_insn_desc group15_reg[8] = {
	[5] = I(0, nop), I(0, nop), I(0, nop),
};

static const struct umbra_insn_desc group15_mod[2] = {
	G(0, REG, group15_mem), G(0, REG, group15_reg),
};

/* CLWB and CLFLUSHOPT */
static const struct umbra_insn_desc group15_66_mem[8] = {
	[6] = I(0, flush_line), I(0, flush_line),
};

static const struct umbra_insn_desc group15_66_mod[2] = {
	G(0, REG, group15_66_mem), X(0),
};

static const struct umbra_insn_desc group15[4] = {
	G(0, MOD, group15_mod), G(0, MOD, group15_66_mod), X(0), X(0),
};

/* Vector moves, by mandatory prefix: none, 66, F3, F2 */
#define VLOAD(n, f)	I(F_MODRM | F_VEX | F_VEC(n) | (f), vec_load)
#define VSTORE(n, f)	I(F_MODRM | F_VEX | F_VEC(n) | (f), vec_store)
#define SSE		(F_MODRM | F_KNOWN)

static const struct umbra_insn_desc sse_10[4] = {
	VLOAD(16, 0), VLOAD(16, 0), VLOAD(4, 0), VLOAD(8, 0),
};

static const struct umbra_insn_desc sse_11[4] = {
	VSTORE(16, 0), VSTORE(16, 0), VSTORE(4, 0), VSTORE(8, 0),
};

/* MOVLPS/MOVLPD and MOVHPS/MOVHPD; with a register they are something else. */
static const struct umbra_insn_desc sse_half_load[2] = {
	I(F_VEX, vec_half_load), X(0),
};

static const struct umbra_insn_desc sse_half_store[2] = {
	I(F_VEX, vec_half_store), X(0),
};

static const struct umbra_insn_desc sse_12[4] = {
	G(0, MOD, sse_half_load), G(0, MOD, sse_half_load), X(0), X(0),
};

static const struct umbra_insn_desc sse_13[4] = {
	I(F_MEM | F_VEX, vec_half_store), I(F_MEM | F_VEX, vec_half_store),
};

static const struct umbra_insn_desc sse_16[4] = {
	G(0, MOD, sse_half_load), G(0, MOD, sse_half_load), X(0),
};

static const struct umbra_insn_desc sse_17[4] = {
	G(0, MOD, sse_half_store), G(0, MOD, sse_half_store),
};

static const struct umbra_insn_desc sse_28[4] = {
	VLOAD(16, F_ALIGNED), VLOAD(16, F_ALIGNED),
};

static const struct umbra_insn_desc sse_29[4] = {
	VSTORE(16, F_ALIGNED), VSTORE(16, F_ALIGNED),
};

/* AMD has MOVNTSS and MOVNTSD. */
static const struct umbra_insn_desc sse_2b[4] = {
	VSTORE(16, F_ALIGNED | F_MEM), VSTORE(16, F_ALIGNED | F_MEM),
	VSTORE(4, F_MEM), VSTORE(8, F_MEM),
};

static const struct umbra_insn_desc sse_6e[4] = {
	X(0), I(F_VEX, movd_load),
};

static const struct umbra_insn_desc sse_6f[4] = {
	X(0), VLOAD(16, F_ALIGNED), VLOAD(16, 0),
};

static const struct umbra_insn_desc sse_7e[4] = {
	X(0), I(F_VEX, movd_store), VLOAD(8, 0),
};

static const struct umbra_insn_desc sse_7f[4] = {
	X(0), VSTORE(16, F_ALIGNED), VSTORE(16, 0),
};

static const struct umbra_insn_desc sse_d6[4] = {
	[1] = VSTORE(8, 0), X(0), X(0),
};

static const struct umbra_insn_desc sse_e7[4] = {
	X(F_MEM), VSTORE(16, F_ALIGNED | F_MEM),
};

static const struct umbra_insn_desc sse_f0[4] = {
	[3] = VLOAD(16, F_MEM),
};

static const struct umbra_insn_desc sse_38_2a[4] = {
	[1] = VLOAD(16, F_ALIGNED | F_MEM),
};

/* EXTRQ and INSERTQ with two immediate bytes; without prefix VMREAD, of no use here */
static const struct umbra_insn_desc sse_78[4] = {
	[1] = X(0), [3] = X(0),
};

/* F3 turns BSF and BSR into TZCNT and LZCNT; POPCNT needs it. */
static const struct umbra_insn_desc op_b8[4] = {
	[2] = I(REG_RM | F_WRITE, popcnt),
};

static const struct umbra_insn_desc op_bc[4] = {
	I(REG_RM | F_READ | F_WRITE, bsf), I(REG_RM | F_READ | F_WRITE, bsf),
	I(REG_RM | F_WRITE, tzcnt), I(REG_RM | F_READ | F_WRITE, bsf),
};

static const struct umbra_insn_desc op_bd[4] = {
	I(REG_RM | F_READ | F_WRITE, bsr), I(REG_RM | F_READ | F_WRITE, bsr),
	I(REG_RM | F_WRITE, lzcnt), I(REG_RM | F_READ | F_WRITE, bsr),
};

/* MOVNTI */
static const struct umbra_insn_desc op_c3[4] = {
	I(RM_REG | F_WRITE | F_MEM | F_WIDE, mov),
};

/* ARPL, in 64-bit mode MOVSXD */
static const struct umbra_insn_desc op_63[2] = {
	X(F_PROT), I(F_DST(REG) | F_SRC(RM32) | F_WRITE, movsx),
};

#define STRING(f)	I(f, string)
#define JCC(imm)	I(F_IMM(imm) | F_NEAR, jcc)

const struct umbra_insn_desc umbra_insn_1byte[256] = {
	ALU(0x00, add, RW, F_LOCK),
	[0x06] = I(F_NO64, push_seg), I(F_NO64, pop_seg),
	ALU(0x08, or, RW, F_LOCK),
	[0x0e] = I(F_NO64, push_seg),
	ALU(0x10, adc, RW, F_LOCK),
	[0x16] = I(F_NO64, push_seg), I(F_NO64, pop_seg),
	ALU(0x18, sbb, RW, F_LOCK),
	[0x1e] = I(F_NO64, push_seg), I(F_NO64, pop_seg),
	ALU(0x20, and, RW, F_LOCK),
	[0x27] = I(F_NO64, daa),
	ALU(0x28, sub, RW, F_LOCK),
	[0x2f] = I(F_NO64, das),
	ALU(0x30, xor, RW, F_LOCK),
	[0x37] = I(F_NO64, aaa),
	ALU(0x38, cmp, F_READ, 0),
	[0x3f] = I(F_NO64, aas),
	[0x40 ... 0x47] = I(F_DST(OPREG) | RW, inc),
	[0x48 ... 0x4f] = I(F_DST(OPREG) | RW, dec),
	[0x50 ... 0x57] = I(F_SRC(OPREG) | F_D64, push),
	[0x58 ... 0x5f] = I(F_DST(OPREG) | F_D64, pop),
	[0x60] = I(F_NO64, pusha), I(F_NO64, popa),
	[0x62] = X(F_MODRM | F_NO64 | F_MEM),
	[0x63] = G(F_MODRM, MODE, op_63),
	[0x68] = I(F_SRC(IMM) | F_IMM(Z) | F_D64, push),
	[0x69] = I(REG_RM | F_IMM(Z) | F_WRITE, imul3),
	[0x6a] = I(F_SRC(IMM) | F_IMM(S8) | F_D64, push),
	[0x6b] = I(REG_RM | F_IMM(S8) | F_WRITE, imul3),
	[0x6c] = STRING(F_BYTE), STRING(0), STRING(F_BYTE), STRING(0),
	[0x70 ... 0x7f] = JCC(S8),
	[0x80] = G(F_BYTE | RM_IMM | F_IMM(S8), REG, group1),
	[0x81] = G(RM_IMM | F_IMM(Z), REG, group1),
	[0x82] = G(F_BYTE | RM_IMM | F_IMM(S8) | F_NO64, REG, group1),
	[0x83] = G(RM_IMM | F_IMM(S8), REG, group1),
	[0x84] = I(F_BYTE | RM_REG | F_READ, test),
	[0x85] = I(RM_REG | F_READ, test),
	[0x86] = I(F_BYTE | RM_REG | RWL | F_SRCWRITE | F_LOCKED, xchg),
	[0x87] = I(RM_REG | RWL | F_SRCWRITE | F_LOCKED, xchg),
	[0x88] = I(F_BYTE | RM_REG | F_WRITE, mov), I(RM_REG | F_WRITE, mov),
	[0x8a] = I(F_BYTE | REG_RM | F_WRITE, mov), I(REG_RM | F_WRITE, mov),
	[0x8c] = I(F_MODRM, mov_from_seg),
	[0x8d] = I(F_MODRM | F_DST(REG) | F_WRITE | F_MEM, lea),
	[0x8e] = I(F_MODRM | F_SRC(RM16), mov_to_seg),
	[0x8f] = G(F_MODRM, REG, group1a),
	[0x90 ... 0x97] = I(F_DST(ACC) | F_SRC(OPREG) | RW | F_SRCWRITE, xchg),
	[0x98] = I(F_DST(ACC) | RW, cbw), I(0, cwd),
	[0x9a] = I(F_IMM(FAR) | F_NO64, call_far),
	[0x9b] = X(0),
	[0x9c] = I(F_D64, pushf), I(F_D64, popf),
	[0x9e] = I(0, sahf), I(0, lahf),
	[0xa0] = I(F_BYTE | F_IMM(MOFFS) | F_DST(ACC) | F_SRC(MOFFS) | F_WRITE, mov),
	[0xa1] = I(F_IMM(MOFFS) | F_DST(ACC) | F_SRC(MOFFS) | F_WRITE, mov),
	[0xa2] = I(F_BYTE | F_IMM(MOFFS) | F_DST(MOFFS) | F_SRC(ACC) | F_WRITE, mov),
	[0xa3] = I(F_IMM(MOFFS) | F_DST(MOFFS) | F_SRC(ACC) | F_WRITE, mov),
	[0xa4] = STRING(F_BYTE), STRING(0), STRING(F_BYTE), STRING(0),
	[0xa8] = I(F_BYTE | ACC_IMM | F_IMM(S8) | F_READ, test),
	[0xa9] = I(ACC_IMM | F_IMM(Z) | F_READ, test),
	[0xaa] = STRING(F_BYTE), STRING(0), STRING(F_BYTE), STRING(0),
	[0xae] = STRING(F_BYTE), STRING(0),
	[0xb0 ... 0xb7] = I(F_BYTE | F_IMM(S8) | F_DST(OPREG) | F_SRC(IMM) | F_WRITE, mov),
	[0xb8 ... 0xbf] = I(F_IMM(V) | F_DST(OPREG) | F_SRC(IMM) | F_WRITE, mov),
	[0xc0] = G(F_BYTE | RM_IMM | F_IMM(U8), REG, group2),
	[0xc1] = G(RM_IMM | F_IMM(U8), REG, group2),
	[0xc2] = I(F_IMM(16) | F_NEAR, ret), I(F_NEAR, ret),
	[0xc4] = I(F_MODRM | F_NO64 | F_MEM, load_far),
	[0xc5] = I(F_MODRM | F_NO64 | F_MEM, load_far),
	[0xc6] = G(F_MODRM | F_BYTE, REG, group11_byte),
	[0xc7] = G(F_MODRM, REG, group11),
	[0xc8] = I(F_IMM(ENTER) | F_D64, enter), I(F_D64, leave),
	[0xca] = I(F_IMM(16), ret_far), I(0, ret_far),
	[0xcc] = I(0, int), I(F_IMM(U8), int), I(F_NO64, int), I(0, iret),
	[0xd0] = G(F_BYTE | F_MODRM | F_DST(RM) | F_SRC(ONE), REG, group2),
	[0xd1] = G(F_MODRM | F_DST(RM) | F_SRC(ONE), REG, group2),
	[0xd2] = G(F_BYTE | F_MODRM | F_DST(RM) | F_SRC(CL), REG, group2),
	[0xd3] = G(F_MODRM | F_DST(RM) | F_SRC(CL), REG, group2),
	[0xd4] = I(F_IMM(U8) | F_NO64, aam), I(F_IMM(U8) | F_NO64, aad),
	[0xd6] = X(F_NO64),
	[0xd7] = I(F_BYTE, xlat),
	[0xd8 ... 0xdf] = X(F_MODRM),
	[0xe0] = I(F_IMM(S8) | F_NEAR, loop), I(F_IMM(S8) | F_NEAR, loop),
	[0xe2] = I(F_IMM(S8) | F_NEAR, loop), I(F_IMM(S8) | F_NEAR, loop),
	[0xe4] = I(F_BYTE | F_IMM(U8), in), I(F_IMM(U8), in),
	[0xe6] = I(F_BYTE | F_IMM(U8), out), I(F_IMM(U8), out),
	[0xe8] = I(F_IMM(Z) | F_NEAR, call), I(F_IMM(Z) | F_NEAR, jmp),
	[0xea] = I(F_IMM(FAR) | F_NO64, jmp_far), I(F_IMM(S8) | F_NEAR, jmp),
	[0xec] = I(F_BYTE, in), I(0, in), I(F_BYTE, out), I(0, out),
	[0xf1] = X(0),
	[0xf4] = I(F_PRIV, hlt), I(0, flag),
	[0xf6] = G(F_MODRM | F_BYTE, REG, group3_byte),
	[0xf7] = G(F_MODRM, REG, group3),
	[0xf8] = I(0, flag), I(0, flag), I(0, cli), I(0, sti), I(0, flag), I(0, flag),
	[0xfe] = G(F_MODRM | F_BYTE, REG, group4),
	[0xff] = G(F_MODRM, REG, group5),
};

const struct umbra_insn_desc umbra_insn_0f[256] = {
	[0x00] = G(F_MODRM, REG, group6), G(F_MODRM, REG, group7),
	[0x02] = X(F_MODRM | F_PROT), X(F_MODRM | F_PROT),
	[0x05] = X(0), I(F_PRIV, clts), X(0), I(F_PRIV, nop), I(F_PRIV, nop),
	[0x0d] = I(F_MODRM, nop), X(0), X(F_MODRM | F_IMM(U8)),
	[0x10] = G(F_MODRM, PREFIX, sse_10), G(F_MODRM, PREFIX, sse_11),
	[0x12] = G(F_MODRM, PREFIX, sse_12), G(F_MODRM, PREFIX, sse_13),
	[0x14] = X(SSE), X(SSE),
	[0x16] = G(F_MODRM, PREFIX, sse_16), G(F_MODRM, PREFIX, sse_17),
	[0x18 ... 0x1f] = I(F_MODRM, nop),
	[0x20] = I(F_MODRM | F_MODREG | F_NATIVE | F_PRIV, mov_from_cr),
	[0x21] = I(F_MODRM | F_MODREG | F_NATIVE | F_PRIV, mov_from_dr),
	[0x22] = I(F_MODRM | F_MODREG | F_NATIVE | F_PRIV, mov_to_cr),
	[0x23] = I(F_MODRM | F_MODREG | F_NATIVE | F_PRIV, mov_to_dr),
	[0x28] = G(F_MODRM, PREFIX, sse_28), G(F_MODRM, PREFIX, sse_29),
	[0x2a] = X(SSE), G(F_MODRM, PREFIX, sse_2b), X(SSE), X(SSE), X(SSE), X(SSE),
	[0x30] = I(F_PRIV, wrmsr), I(0, rdtsc), I(F_PRIV, rdmsr), X(0), X(0), X(0),
	[0x37] = X(0),
	[0x40 ... 0x4f] = I(REG_RM | RW, cmovcc),
	[0x50 ... 0x5f] = X(SSE),
	[0x60 ... 0x67] = X(SSE),
	[0x68] = X(SSE), X(SSE), X(SSE), X(SSE), X(SSE), X(SSE),
	[0x6e] = G(F_MODRM, PREFIX, sse_6e), G(F_MODRM, PREFIX, sse_6f),
	[0x70] = X(SSE | F_IMM(U8)), X(SSE | F_IMM(U8)),
	[0x72] = X(SSE | F_IMM(U8)), X(SSE | F_IMM(U8)),
	[0x74] = X(SSE), X(SSE), X(SSE), X(0),
	[0x78] = G(F_MODRM | F_IMM(16), PREFIX, sse_78), G(F_MODRM, PREFIX, sse_78),
	[0x7c] = X(SSE), X(SSE),
	[0x7e] = G(F_MODRM, PREFIX, sse_7e), G(F_MODRM, PREFIX, sse_7f),
	[0x80 ... 0x8f] = JCC(Z),
	[0x90 ... 0x9f] = I(F_BYTE | F_MODRM | F_DST(RM) | F_WRITE, setcc),
	[0xa0] = I(F_D64, push_seg), I(F_D64, pop_seg), I(0, cpuid),
	[0xa3] = I(F_MODRM, bt),
	[0xa4] = I(RM_REG | F_IMM(U8) | RW, shld), I(RM_REG | RW, shld),
	[0xa8] = I(F_D64, push_seg), I(F_D64, pop_seg), X(0),
	[0xab] = I(F_MODRM | F_LOCK, bt),
	[0xac] = I(RM_REG | F_IMM(U8) | RW, shrd), I(RM_REG | RW, shrd),
	[0xae] = G(F_MODRM, PREFIX, group15),
	[0xaf] = I(REG_RM | RW, imul2),
	[0xb0] = I(F_BYTE | RM_REG | RWL | F_SRCWRITE, cmpxchg),
	[0xb1] = I(RM_REG | RWL | F_SRCWRITE, cmpxchg),
	[0xb2] = I(F_MODRM | F_MEM, load_far),
	[0xb3] = I(F_MODRM | F_LOCK, bt),
	[0xb4] = I(F_MODRM | F_MEM, load_far), I(F_MODRM | F_MEM, load_far),
	[0xb6] = I(F_MODRM | F_DST(REG) | F_SRC(RM8) | F_WRITE, mov),
	[0xb7] = I(F_MODRM | F_DST(REG) | F_SRC(RM16) | F_WRITE, mov),
	[0xb8] = G(F_MODRM, PREFIX, op_b8), X(F_MODRM),
	[0xba] = G(F_MODRM | F_IMM(U8), REG, group8),
	[0xbb] = I(F_MODRM | F_LOCK, bt),
	[0xbc] = G(F_MODRM, PREFIX, op_bc), G(F_MODRM, PREFIX, op_bd),
	[0xbe] = I(F_MODRM | F_DST(REG) | F_SRC(RM8) | F_WRITE, movsx),
	[0xbf] = I(F_MODRM | F_DST(REG) | F_SRC(RM16) | F_WRITE, movsx),
	[0xc0] = I(F_BYTE | RM_REG | RWL | F_SRCWRITE, xadd),
	[0xc1] = I(RM_REG | RWL | F_SRCWRITE, xadd),
	[0xc2] = X(SSE | F_IMM(U8)),
	[0xc3] = G(F_MODRM, PREFIX, op_c3),
	[0xc4] = X(SSE | F_IMM(U8)), X(SSE | F_IMM(U8)), X(SSE | F_IMM(U8)),
	[0xc7] = G(F_MODRM, REG, group9),
	[0xc8 ... 0xcf] = I(F_DST(OPREG) | RW, bswap),
	[0xd0] = X(SSE), X(SSE), X(SSE), X(SSE), X(SSE), X(SSE),
	[0xd6] = G(F_MODRM, PREFIX, sse_d6), X(SSE),
	[0xd8] = X(SSE), X(SSE), X(SSE), X(SSE), X(SSE), X(SSE), X(SSE), X(SSE),
	[0xe0] = X(SSE), X(SSE), X(SSE), X(SSE), X(SSE), X(SSE), X(SSE),
	[0xe7] = G(F_MODRM, PREFIX, sse_e7),
	[0xe8 ... 0xef] = X(SSE),
	[0xf0] = G(F_MODRM, PREFIX, sse_f0), X(SSE), X(SSE), X(SSE),
	[0xf4] = X(SSE), X(SSE), X(SSE), X(SSE),
	[0xf8] = X(SSE), X(SSE), X(SSE), X(SSE), X(SSE), X(SSE), X(SSE),
};

/* F0 and F1: MOVBE, with F2 CRC32 */
static const struct umbra_insn_desc op_38_f0[4] = {
	I(F_MEM | F_DST(REG) | F_SRC(RM) | F_WRITE, movbe),
	I(F_MEM | F_DST(REG) | F_SRC(RM) | F_WRITE, movbe),
	X(0), I(F_SRC(RM8), crc32),
};

static const struct umbra_insn_desc op_38_f1[4] = {
	I(F_MEM | F_DST(RM) | F_SRC(REG) | F_WRITE, movbe),
	I(F_MEM | F_DST(RM) | F_SRC(REG) | F_WRITE, movbe),
	X(0), I(F_SRC(RM), crc32),
};

/* BMI and ADX have no 16-bit forms */
#define VEX_REG_RM	(REG_RM | F_WRITE | F_WIDE | F_VEX | F_VEX_ONLY)

static const struct umbra_insn_desc op_38_f2[4] = { I(VEX_REG_RM, andn) };

static const struct umbra_insn_desc group17[8] = {
	X(F_VEX_ONLY), I(F_VEX, bls), I(F_VEX, bls), I(F_VEX, bls),
	X(F_VEX_ONLY), X(F_VEX_ONLY), X(F_VEX_ONLY), X(F_VEX_ONLY),
};

static const struct umbra_insn_desc op_38_f3[4] = {
	G(LOAD | F_WIDE | F_VEX_ONLY, REG, group17),
};

static const struct umbra_insn_desc op_38_f5[4] = {
	I(VEX_REG_RM, bzhi), X(F_MODRM), I(VEX_REG_RM, pext), I(VEX_REG_RM, pdep),
};

static const struct umbra_insn_desc op_38_f6[4] = {
	X(F_MODRM), I(REG_RM | RW | F_WIDE, adcx), I(REG_RM | RW | F_WIDE, adox),
	I(VEX_REG_RM, mulx),
};

static const struct umbra_insn_desc op_38_f7[4] = {
	I(VEX_REG_RM, bextr), I(VEX_REG_RM, shlx),
	I(VEX_REG_RM, sarx), I(VEX_REG_RM, shrx),
};

static const struct umbra_insn_desc map_38_f0[8] = {
	G(F_MODRM, PREFIX, op_38_f0), G(F_MODRM, PREFIX, op_38_f1),
	G(F_MODRM, PREFIX, op_38_f2), G(F_MODRM, PREFIX, op_38_f3),
	X(F_MODRM), G(F_MODRM, PREFIX, op_38_f5),
	G(F_MODRM, PREFIX, op_38_f6), G(F_MODRM, PREFIX, op_38_f7),
};

static const struct umbra_insn_desc op_3a_f0[4] = {
	X(0), X(0), X(0), I(VEX_REG_RM, rorx),
};

/* All of map 0F 38 has ModRM, all of map 0F 3A ModRM and an immediate byte. */
const struct umbra_insn_desc *umbra_insn_0f38(u8 opcode)
{
	static const struct umbra_insn_desc movntdqa = G(F_MODRM, PREFIX, sse_38_2a);
	static const struct umbra_insn_desc other = X(F_MODRM);

	if (opcode >= 0xf0 && opcode <= 0xf7)
		return &map_38_f0[opcode - 0xf0];
	return opcode == 0x2a ? &movntdqa : &other;
}

const struct umbra_insn_desc umbra_insn_unknown = X(F_MODRM | F_IMM(U8));

const struct umbra_insn_desc *umbra_insn_0f3a(u8 opcode)
{
	static const struct umbra_insn_desc rorx = G(F_MODRM | F_IMM(U8), PREFIX, op_3a_f0);

	return opcode == 0xf0 ? &rorx : &umbra_insn_unknown;
}
