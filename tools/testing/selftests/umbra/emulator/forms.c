// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of tested instructions. It is written from the manuals and shares
 * nothing with the emulator's tables, so that a wrong entry there shows.
 */
#include <string.h>

#include "forms.h"
#include "generate.h"

#define LOGIC	FL_AF
#define MULF	(FL_SF | FL_ZF | FL_AF | FL_PF)
#define SCANF	(FL_CF | FL_OF | FL_SF | FL_AF | FL_PF)
#define COUNTF	(FL_OF | FL_SF | FL_AF | FL_PF)
#define BTF	(FL_OF | FL_SF | FL_AF | FL_PF)

/* BMI: a VEX instruction on general registers */
#define VEXOP(n, map, op, ext, prefix, imm, undef)				\
	{ n, map, op, ext, prefix, imm, T_MODRM | T_VEX | T_BMI | (map == 2 ? T_VVVV : 0), undef }

static const struct form forms[] = {
	{ "add", 0, 0x00, 0, 0, I_NONE, T_ALU | T_LOCK, 0 },
	{ "or", 0, 0x08, 1, 0, I_NONE, T_ALU | T_LOCK, LOGIC },
	{ "adc", 0, 0x10, 2, 0, I_NONE, T_ALU | T_LOCK, 0 },
	{ "sbb", 0, 0x18, 3, 0, I_NONE, T_ALU | T_LOCK, 0 },
	{ "and", 0, 0x20, 4, 0, I_NONE, T_ALU | T_LOCK, LOGIC },
	{ "sub", 0, 0x28, 5, 0, I_NONE, T_ALU | T_LOCK, 0 },
	{ "xor", 0, 0x30, 6, 0, I_NONE, T_ALU | T_LOCK, LOGIC },
	{ "cmp", 0, 0x38, 7, 0, I_NONE, T_ALU, 0 },
	{ "test", 0, 0x84, -1, 0, I_NONE, T_PAIR | T_MODRM, LOGIC },
	{ "test", 0, 0xa8, -1, 0, I_Z, T_PAIR, LOGIC },
	{ "test", 0, 0xf6, 0, 0, I_Z, T_PAIR | T_MODRM, LOGIC },
	{ "test", 0, 0xf7, 1, 0, I_Z, T_MODRM, LOGIC },
	{ "not", 0, 0xf6, 2, 0, I_NONE, T_PAIR | T_MODRM | T_LOCK, 0 },
	{ "neg", 0, 0xf6, 3, 0, I_NONE, T_PAIR | T_MODRM | T_LOCK, 0 },
	{ "mul", 0, 0xf6, 4, 0, I_NONE, T_PAIR | T_MODRM, MULF },
	{ "imul", 0, 0xf6, 5, 0, I_NONE, T_PAIR | T_MODRM, MULF },
	{ "div", 0, 0xf6, 6, 0, I_NONE, T_PAIR | T_MODRM | T_DIV, FL_ARITH },
	{ "idiv", 0, 0xf6, 7, 0, I_NONE, T_PAIR | T_MODRM | T_DIV, FL_ARITH },
	{ "imul", 1, 0xaf, -1, 0, I_NONE, T_MODRM, MULF },
	{ "imul", 0, 0x69, -1, 0, I_Z, T_MODRM, MULF },
	{ "imul", 0, 0x6b, -1, 0, I_8, T_MODRM, MULF },
	{ "inc", 0, 0xfe, 0, 0, I_NONE, T_PAIR | T_MODRM | T_LOCK, 0 },
	{ "dec", 0, 0xfe, 1, 0, I_NONE, T_PAIR | T_MODRM | T_LOCK, 0 },
	{ "inc", 0, 0x40, -1, 0, I_NONE, T_OPREG | T_NO64, 0 },
	{ "dec", 0, 0x48, -1, 0, I_NONE, T_OPREG | T_NO64, 0 },
	{ "rol", 0, 0xc0, 0, 0, I_NONE, T_ROT, 0 },
	{ "ror", 0, 0xc0, 1, 0, I_NONE, T_ROT, 0 },
	{ "rcl", 0, 0xc0, 2, 0, I_NONE, T_ROT, 0 },
	{ "rcr", 0, 0xc0, 3, 0, I_NONE, T_ROT, 0 },
	{ "shl", 0, 0xc0, 4, 0, I_NONE, T_ROT, 0 },
	{ "shr", 0, 0xc0, 5, 0, I_NONE, T_ROT, 0 },
	{ "sal", 0, 0xc0, 6, 0, I_NONE, T_ROT, 0 },
	{ "sar", 0, 0xc0, 7, 0, I_NONE, T_ROT, 0 },
	{ "shld", 1, 0xa4, -1, 0, I_8, T_MODRM | T_SHIFT, 0 },
	{ "shld", 1, 0xa5, -1, 0, I_NONE, T_MODRM | T_SHIFT, 0 },
	{ "shrd", 1, 0xac, -1, 0, I_8, T_MODRM | T_SHIFT, 0 },
	{ "shrd", 1, 0xad, -1, 0, I_NONE, T_MODRM | T_SHIFT, 0 },
	{ "mov", 0, 0x88, -1, 0, I_NONE, T_PAIR | T_MODRM, 0 },
	{ "mov", 0, 0x8a, -1, 0, I_NONE, T_PAIR | T_MODRM, 0 },
	{ "mov", 0, 0xc6, 0, 0, I_Z, T_PAIR | T_MODRM, 0 },
	{ "mov", 0, 0xb0, -1, 0, I_8, T_OPREG | T_BYTE, 0 },
	{ "mov", 0, 0xb8, -1, 0, I_V, T_OPREG, 0 },
	{ "mov", 0, 0xa0, -1, 0, I_NONE, T_PAIR | T_MOFFS, 0 },
	{ "mov", 0, 0xa2, -1, 0, I_NONE, T_PAIR | T_MOFFS, 0 },
	{ "mov", 0, 0x8c, -1, 0, I_NONE, T_MODRM, 0 },
	{ "movnti", 1, 0xc3, -1, 0, I_NONE, T_MODRM | T_MEM | T_NO66, 0 },
	{ "movbe", 2, 0xf0, -1, 0, I_NONE, T_MODRM | T_MEM, 0 },
	{ "movbe", 2, 0xf1, -1, 0, I_NONE, T_MODRM | T_MEM | T_TORN, 0 },
	{ "movzx", 1, 0xb6, -1, 0, I_NONE, T_MODRM, 0 },
	{ "movzx", 1, 0xb7, -1, 0, I_NONE, T_MODRM, 0 },
	{ "movsx", 1, 0xbe, -1, 0, I_NONE, T_MODRM, 0 },
	{ "movsx", 1, 0xbf, -1, 0, I_NONE, T_MODRM, 0 },
	{ "movsxd", 0, 0x63, -1, 0, I_NONE, T_MODRM | T_ONLY64, 0 },
	{ "lea", 0, 0x8d, -1, 0, I_NONE, T_MODRM | T_MEM, 0 },
	{ "cbw", 0, 0x98, -1, 0, I_NONE, 0, 0 },
	{ "cwd", 0, 0x99, -1, 0, I_NONE, 0, 0 },
	{ "xchg", 0, 0x86, -1, 0, I_NONE, T_PAIR | T_MODRM | T_LOCK, 0 },
	{ "xchg", 0, 0x90, -1, 0, I_NONE, T_OPREG, 0 },
	{ "xadd", 1, 0xc0, -1, 0, I_NONE, T_PAIR | T_MODRM | T_LOCK, 0 },
	{ "cmpxchg", 1, 0xb0, -1, 0, I_NONE, T_PAIR | T_MODRM | T_LOCK | T_CMPXCHG, 0 },
	{ "cmpxchg8b", 1, 0xc7, 1, 0, I_NONE, T_MODRM | T_MEM | T_LOCK | T_CMPXCHG, 0 },
	{ "setcc", 1, 0x90, -1, 0, I_NONE, T_MODRM | T_BYTE | T_CC, 0 },
	{ "cmovcc", 1, 0x40, -1, 0, I_NONE, T_MODRM | T_CC, 0 },
	{ "bt", 1, 0xa3, 4, 0, I_NONE, T_BITS, BTF },
	{ "bts", 1, 0xab, 5, 0, I_NONE, T_BITS | T_LOCK, BTF },
	{ "btr", 1, 0xb3, 6, 0, I_NONE, T_BITS | T_LOCK, BTF },
	{ "btc", 1, 0xbb, 7, 0, I_NONE, T_BITS | T_LOCK, BTF },
	{ "bsf", 1, 0xbc, -1, 0, I_NONE, T_MODRM, SCANF },
	{ "bsr", 1, 0xbd, -1, 0, I_NONE, T_MODRM, SCANF },
	{ "tzcnt", 1, 0xbc, -1, 0xf3, I_NONE, T_MODRM, COUNTF },
	{ "lzcnt", 1, 0xbd, -1, 0xf3, I_NONE, T_MODRM, COUNTF },
	{ "popcnt", 1, 0xb8, -1, 0xf3, I_NONE, T_MODRM, 0 },
	{ "bswap", 1, 0xc8, -1, 0, I_NONE, T_OPREG | T_NO66 | T_WIDE, 0 },
	{ "nop", 0, 0x90, -1, 0, I_NONE, 0, 0 },
	{ "nop", 1, 0x1f, -1, 0, I_NONE, T_MODRM, 0 },
	{ "prefetch", 1, 0x18, -1, 0, I_NONE, T_MODRM | T_MEM, 0 },
	{ "prefetchw", 1, 0x0d, 1, 0, I_NONE, T_MODRM | T_MEM, 0 },
	{ "clflush", 1, 0xae, 7, 0, I_NONE, T_MODRM | T_MEM | T_NO66, 0 },
	{ "lfence", 1, 0xae, 5, 0, I_NONE, T_MODRM | T_REG | T_NO66, 0 },
	{ "mfence", 1, 0xae, 6, 0, I_NONE, T_MODRM | T_REG | T_NO66, 0 },
	{ "sfence", 1, 0xae, 7, 0, I_NONE, T_MODRM | T_REG | T_NO66, 0 },
	{ "cmc", 0, 0xf5, -1, 0, I_NONE, 0, 0 },
	{ "clc", 0, 0xf8, -1, 0, I_NONE, 0, 0 },
	{ "stc", 0, 0xf9, -1, 0, I_NONE, 0, 0 },
	{ "cld", 0, 0xfc, -1, 0, I_NONE, 0, 0 },
	{ "std", 0, 0xfd, -1, 0, I_NONE, 0, 0 },
	{ "lahf", 0, 0x9f, -1, 0, I_NONE, 0, 0 },
	{ "sahf", 0, 0x9e, -1, 0, I_NONE, 0, 0 },
	{ "daa", 0, 0x27, -1, 0, I_NONE, T_NO64, FL_OF },
	{ "das", 0, 0x2f, -1, 0, I_NONE, T_NO64, FL_OF },
	{ "aaa", 0, 0x37, -1, 0, I_NONE, T_NO64, FL_ARITH & ~(FL_AF | FL_CF) },
	{ "aas", 0, 0x3f, -1, 0, I_NONE, T_NO64, FL_ARITH & ~(FL_AF | FL_CF) },
	{ "aam", 0, 0xd4, -1, 0, I_8, T_NO64, FL_OF | FL_AF | FL_CF },
	{ "aad", 0, 0xd5, -1, 0, I_8, T_NO64, FL_OF | FL_AF | FL_CF },
	{ "movs", 0, 0xa4, -1, 0, I_NONE, T_PAIR | T_STR, 0 },
	{ "cmps", 0, 0xa6, -1, 0, I_NONE, T_PAIR | T_STR, 0 },
	{ "stos", 0, 0xaa, -1, 0, I_NONE, T_PAIR | T_STR, 0 },
	{ "lods", 0, 0xac, -1, 0, I_NONE, T_PAIR | T_STR, 0 },
	{ "scas", 0, 0xae, -1, 0, I_NONE, T_PAIR | T_STR, 0 },
	{ "ins", 0, 0x6c, -1, 0, I_NONE, T_PAIR | T_STR | T_FAULTS, 0 },
	{ "outs", 0, 0x6e, -1, 0, I_NONE, T_PAIR | T_STR | T_FAULTS, 0 },
	{ "xlat", 0, 0xd7, -1, 0, I_NONE, T_BYTE, 0 },
	{ "in", 0, 0xec, -1, 0, I_NONE, T_PAIR | T_FAULTS, 0 },
	{ "out", 0, 0xee, -1, 0, I_NONE, T_PAIR | T_FAULTS, 0 },
	{ "out", 0, 0xe6, -1, 0, I_8, T_PAIR | T_FAULTS, 0 },
	{ "in", 0, 0xe4, -1, 0, I_8, T_PAIR | T_FAULTS, 0 },
	{ "cli", 0, 0xfa, -1, 0, I_NONE, T_FAULTS, 0 },
	{ "sti", 0, 0xfb, -1, 0, I_NONE, T_FAULTS, 0 },
	{ "hlt", 0, 0xf4, -1, 0, I_NONE, T_FAULTS, 0 },
	{ "clts", 1, 0x06, -1, 0, I_NONE, T_FAULTS, 0 },
	{ "wrmsr", 1, 0x30, -1, 0, I_NONE, T_FAULTS, 0 },
	{ "rdmsr", 1, 0x32, -1, 0, I_NONE, T_FAULTS, 0 },
	{ "invlpg", 1, 0x01, 7, 0, I_NONE, T_MODRM | T_MEM | T_FAULTS, 0 },
	{ "lgdt", 1, 0x01, 2, 0, I_NONE, T_MODRM | T_MEM | T_FAULTS, 0 },
	{ "lidt", 1, 0x01, 3, 0, I_NONE, T_MODRM | T_MEM | T_FAULTS, 0 },
	{ "lmsw", 1, 0x01, 6, 0, I_NONE, T_MODRM | T_FAULTS, 0 },
	{ "wbinvd", 1, 0x09, -1, 0, I_NONE, T_FAULTS, 0 },
	{ "mov dr", 1, 0x21, 0, 0, I_NONE, T_MODRM | T_REG | T_FAULTS, 0 },
	{ "mov dr", 1, 0x23, 0, 0, I_NONE, T_MODRM | T_REG | T_FAULTS, 0 },
	{ "mov cr", 1, 0x20, 0, 0, I_NONE, T_MODRM | T_REG | T_FAULTS, 0 },
	{ "mov cr", 1, 0x22, 0, 0, I_NONE, T_MODRM | T_REG | T_FAULTS, 0 },
	{ "push", 0, 0x50, -1, 0, I_NONE, T_OPREG | T_STACK, 0 },
	{ "pop", 0, 0x58, -1, 0, I_NONE, T_OPREG | T_STACK, 0 },
	{ "push", 0, 0x68, -1, 0, I_Z, T_STACK, 0 },
	{ "push", 0, 0x6a, -1, 0, I_8, T_STACK, 0 },
	{ "push", 0, 0xff, 6, 0, I_NONE, T_MODRM | T_STACK, 0 },
	{ "pop", 0, 0x8f, 0, 0, I_NONE, T_MODRM | T_STACK, 0 },
	{ "push es", 0, 0x06, -1, 0, I_NONE, T_STACK | T_NO64 | T_AMD, 0 },
	{ "push cs", 0, 0x0e, -1, 0, I_NONE, T_STACK | T_NO64 | T_AMD, 0 },
	{ "push ss", 0, 0x16, -1, 0, I_NONE, T_STACK | T_NO64 | T_AMD, 0 },
	{ "push ds", 0, 0x1e, -1, 0, I_NONE, T_STACK | T_NO64 | T_AMD, 0 },
	{ "push fs", 1, 0xa0, -1, 0, I_NONE, T_STACK | T_AMD, 0 },
	{ "push gs", 1, 0xa8, -1, 0, I_NONE, T_STACK | T_AMD, 0 },
	{ "pushf", 0, 0x9c, -1, 0, I_NONE, T_STACK, 0 },
	{ "popf", 0, 0x9d, -1, 0, I_NONE, T_STACK, 0 },
	{ "pusha", 0, 0x60, -1, 0, I_NONE, T_STACK | T_NO64, 0 },
	{ "popa", 0, 0x61, -1, 0, I_NONE, T_STACK | T_NO64, 0 },
	{ "enter", 0, 0xc8, -1, 0, I_ENTER, T_STACK | T_BP, 0 },
	{ "leave", 0, 0xc9, -1, 0, I_NONE, T_STACK | T_BP, 0 },
	{ "call", 0, 0xe8, -1, 0, I_Z, T_STACK | T_BRANCH, 0 },
	{ "call", 0, 0xff, 2, 0, I_NONE, T_MODRM | T_STACK | T_INDIRECT, 0 },
	{ "ret", 0, 0xc3, -1, 0, I_NONE, T_STACK | T_INDIRECT, 0 },
	{ "ret", 0, 0xc2, -1, 0, I_16, T_STACK | T_INDIRECT, 0 },
	{ "jmp", 0, 0xe9, -1, 0, I_Z, T_BRANCH, 0 },
	{ "jmp", 0, 0xeb, -1, 0, I_8, T_BRANCH, 0 },
	{ "jmp", 0, 0xff, 4, 0, I_NONE, T_MODRM | T_INDIRECT, 0 },
	{ "jcc", 0, 0x70, -1, 0, I_8, T_CC | T_BRANCH, 0 },
	{ "jcc", 1, 0x80, -1, 0, I_Z, T_CC | T_BRANCH, 0 },
	{ "loopne", 0, 0xe0, -1, 0, I_8, T_BRANCH, 0 },
	{ "loope", 0, 0xe1, -1, 0, I_8, T_BRANCH, 0 },
	{ "loop", 0, 0xe2, -1, 0, I_8, T_BRANCH, 0 },
	{ "jcxz", 0, 0xe3, -1, 0, I_8, T_BRANCH, 0 },
	{ "ud2", 1, 0x0b, -1, 0, I_NONE, T_FAULTS, 0 },
	{ "movups", 1, 0x10, -1, 0, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movupd", 1, 0x10, -1, 0x66, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movups", 1, 0x11, -1, 0, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movupd", 1, 0x11, -1, 0x66, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movss", 1, 0x10, -1, 0xf3, I_NONE, T_EITHER | T_VVVV, 0 },
	{ "movsd", 1, 0x10, -1, 0xf2, I_NONE, T_EITHER | T_VVVV, 0 },
	{ "movss", 1, 0x11, -1, 0xf3, I_NONE, T_EITHER | T_VVVV, 0 },
	{ "movsd", 1, 0x11, -1, 0xf2, I_NONE, T_EITHER | T_VVVV, 0 },
	{ "movaps", 1, 0x28, -1, 0, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movapd", 1, 0x28, -1, 0x66, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movaps", 1, 0x29, -1, 0, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movapd", 1, 0x29, -1, 0x66, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movntps", 1, 0x2b, -1, 0, I_NONE, T_EITHER | T_AVX256 | T_MEM, 0 },
	{ "movntpd", 1, 0x2b, -1, 0x66, I_NONE, T_EITHER | T_AVX256 | T_MEM, 0 },
	{ "movdqa", 1, 0x6f, -1, 0x66, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movdqu", 1, 0x6f, -1, 0xf3, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movdqa", 1, 0x7f, -1, 0x66, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movdqu", 1, 0x7f, -1, 0xf3, I_NONE, T_EITHER | T_AVX256, 0 },
	{ "movntdq", 1, 0xe7, -1, 0x66, I_NONE, T_EITHER | T_AVX256 | T_MEM, 0 },
	{ "lddqu", 1, 0xf0, -1, 0xf2, I_NONE, T_EITHER | T_AVX256 | T_MEM, 0 },
	{ "movd", 1, 0x6e, -1, 0x66, I_NONE, T_EITHER, 0 },
	{ "movd", 1, 0x7e, -1, 0x66, I_NONE, T_EITHER, 0 },
	{ "movq", 1, 0x7e, -1, 0xf3, I_NONE, T_EITHER, 0 },
	{ "movq", 1, 0xd6, -1, 0x66, I_NONE, T_EITHER, 0 },
	{ "movlps", 1, 0x13, -1, 0, I_NONE, T_EITHER | T_MEM, 0 },
	{ "movlpd", 1, 0x13, -1, 0x66, I_NONE, T_EITHER | T_MEM, 0 },
	{ "movhps", 1, 0x17, -1, 0, I_NONE, T_EITHER | T_MEM, 0 },
	{ "movhpd", 1, 0x17, -1, 0x66, I_NONE, T_EITHER | T_MEM, 0 },
	{ "movlps", 1, 0x12, -1, 0, I_NONE, T_EITHER | T_MEM | T_VVVV, 0 },
	{ "movlpd", 1, 0x12, -1, 0x66, I_NONE, T_EITHER | T_MEM | T_VVVV, 0 },
	{ "movhps", 1, 0x16, -1, 0, I_NONE, T_EITHER | T_MEM | T_VVVV, 0 },
	{ "movhpd", 1, 0x16, -1, 0x66, I_NONE, T_EITHER | T_MEM | T_VVVV, 0 },
	VEXOP("andn", 2, 0xf2, -1, 0, I_NONE, FL_AF | FL_PF),
	VEXOP("blsr", 2, 0xf3, 1, 0, I_NONE, FL_AF | FL_PF),
	VEXOP("blsmsk", 2, 0xf3, 2, 0, I_NONE, FL_AF | FL_PF),
	VEXOP("blsi", 2, 0xf3, 3, 0, I_NONE, FL_AF | FL_PF),
	VEXOP("bzhi", 2, 0xf5, -1, 0, I_NONE, FL_AF | FL_PF),
	VEXOP("pext", 2, 0xf5, -1, 0xf3, I_NONE, 0),
	VEXOP("pdep", 2, 0xf5, -1, 0xf2, I_NONE, 0),
	VEXOP("mulx", 2, 0xf6, -1, 0xf2, I_NONE, 0),
	VEXOP("bextr", 2, 0xf7, -1, 0, I_NONE, FL_AF | FL_PF | FL_SF),
	VEXOP("shlx", 2, 0xf7, -1, 0x66, I_NONE, 0),
	VEXOP("sarx", 2, 0xf7, -1, 0xf3, I_NONE, 0),
	VEXOP("shrx", 2, 0xf7, -1, 0xf2, I_NONE, 0),
	VEXOP("rorx", 3, 0xf0, -1, 0xf2, I_8, 0),
	{ "adcx", 2, 0xf6, -1, 0x66, I_NONE, T_MODRM | T_NO66 | T_BMI, 0 },
	{ "adox", 2, 0xf6, -1, 0xf3, I_NONE, T_MODRM | T_BMI, 0 },
	{ "crc32", 2, 0xf0, -1, 0xf2, I_NONE, T_MODRM, 0 },
	{ "crc32", 2, 0xf1, -1, 0xf2, I_NONE, T_MODRM, 0 },
	{ "movntdqa", 2, 0x2a, -1, 0x66, I_NONE, T_EITHER | T_AVX256 | T_MEM | T_BMI, 0 },
	{ "movntss", 1, 0x2b, -1, 0xf3, I_NONE, T_MODRM | T_MEM | T_NO66 | T_SSE4A, 0 },
	{ "movntsd", 1, 0x2b, -1, 0xf2, I_NONE, T_MODRM | T_MEM | T_NO66 | T_SSE4A, 0 },
};

unsigned int form_count(void)
{
	return ARRAY_SIZE(forms);
}

const char *form_name(unsigned int n)
{
	return forms[n].name;
}

struct form form_get(unsigned int n)
{
	return forms[n];
}

/* Does the mode have it, and this processor? */
bool form_exists(const struct mode *mode, const struct form *f)
{
	if (f->flags & (mode->word == 8 ? T_NO64 : T_ONLY64))
		return false;
	if ((f->flags & T_VEX) && !have_avx)
		return false;
	if ((f->flags & T_BMI) && !have_bmi)
		return false;
	if ((f->flags & T_SSE4A) && !have_sse4a)
		return false;
	return !(f->flags & T_AMD) || !guest_intel;
}

/* The first form of that name; the table has it. */
unsigned int form_find(const char *name)
{
	unsigned int n = 0;

	while (strcmp(forms[n].name, name))
		n++;
	return n;
}

/* One of the ten encodings of ADD, OR, ADC, SBB, AND, SUB, XOR and CMP. */
static void resolve_alu(struct form *f)
{
	unsigned int which = random_below(6);

	if (which < 3) {
		f->op += 2 * which;
		f->ext = -1;
		f->flags |= T_PAIR;
		if (which == 2)
			f->imm = I_Z;
		else
			f->flags |= T_MODRM;
		if (which)
			f->flags &= ~T_LOCK;
		return;
	}
	f->flags |= T_MODRM;
	f->op = which == 3 ? 0x80 : which == 4 ? 0x82 : 0x83;
	f->imm = which == 3 ? I_Z : I_8;
	if (which == 3)
		f->flags |= T_PAIR;
	if (which == 4)
		f->flags |= T_BYTE | T_NO64;
}

/**
 * form_resolve() - choose one encoding of a form
 * @n: which form
 */
struct form form_resolve(unsigned int n)
{
	struct form f = forms[n];

	if (f.flags & T_ALU)
		resolve_alu(&f);
	if (f.flags & T_ROT) {
		unsigned int which = random_below(3);

		f.op = which ? 0xce + 2 * which : 0xc0;
		f.imm = which ? I_NONE : I_8;
		f.flags |= T_PAIR | T_MODRM | T_SHIFT;
	}
	if (f.flags & T_BITS) {
		f.flags |= T_MODRM;
		if (random_below(2)) {
			f.op = 0xba;
			f.imm = I_8;
		} else {
			f.ext = -1;
			f.flags |= T_BIT;
		}
	}
	if (f.flags & T_EITHER) {
		f.flags |= T_MODRM;
		if (random_below(2))
			f.flags |= T_VEX;
		else
			f.flags = (f.flags & ~(T_VVVV | T_AVX256)) | T_NO66;
	}
	if (f.flags & T_PAIR) {
		if (random_below(2)) {
			f.flags |= T_BYTE;
			if (f.imm == I_Z)
				f.imm = I_8;
		} else {
			f.op |= 1;
		}
	}
	return f;
}
