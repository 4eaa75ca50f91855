/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instructions that are tested: how they are encoded and what they leave
 * undefined.
 */
#ifndef FORMS_H
#define FORMS_H

#include "machine.h"

#define T_MODRM		0x0001
#define T_BYTE		0x0002	/* byte operands: 66 and REX.W mean nothing */
#define T_LOCK		0x0004	/* LOCK allowed with memory */
#define T_MEM		0x0008	/* memory only */
#define T_REG		0x0010	/* register only */
#define T_STR		0x0020	/* string: rSI, rDI, rCX */
#define T_STACK		0x0040	/* uses rSP */
#define T_OPREG		0x0080	/* register in the opcode */
#define T_CC		0x0100	/* condition in the opcode */
#define T_BRANCH	0x0200	/* immediate is a displacement */
#define T_MOFFS		0x0400
#define T_NO64		0x0800
#define T_ONLY64	0x1000
#define T_VEX		0x2000	/* VEX form */
#define T_INDIRECT	0x4000	/* operand is an address to jump to */
#define T_AVX256	0x8000	/* VEX.L may be set */
#define T_NO66		0x10000	/* 66 would make it something else */
#define T_SHIFT		0x20000	/* undefined flags depend on the count */
#define T_DIV		0x40000	/* rDX such that some quotients fit */
#define T_BIT		0x80000	/* register bit offset into memory */
#define T_BP		0x100000 /* uses rBP as a stack pointer */
#define T_CMPXCHG	0x200000 /* compares with rAX */
#define T_VVVV		0x400000 /* VEX.vvvv is used */
#define T_WIDE		0x800000 /* has no 16-bit form */
#define T_TORN		0x1000000 /* its store is done in parts */
#define T_BMI		0x2000000 /* BMI1, BMI2, ADX, AVX2 */
#define T_FAULTS	0x4000000 /* always faults at CPL 3 */

/* A form that stands for several, see form_resolve() */
#define T_ALU		0x08000000 /* the ten encodings of ADD and its kin */
#define T_ROT		0x10000000 /* the six of a shift or rotate */
#define T_PAIR		0x20000000 /* low bit of the opcode: byte or word */
#define T_BITS		0x40000000 /* bit offset in a register or immediate */
#define T_EITHER	0x80000000 /* SSE or VEX */

#define T_AMD		0x100000000 /* AMD alone has it, or defines all of it */
#define T_SSE4A		0x200000000

enum { I_NONE, I_8, I_16, I_Z, I_V, I_ENTER };

struct form {
	const char *name;
	u8 map;		/* 0, 1 (0F), 2 (0F 38), 3 (0F 3A) */
	u8 op;
	s8 ext;		/* ModRM.reg, -1 for a register */
	u8 prefix;	/* mandatory: 0, 66, F2, F3 */
	u8 imm;
	u64 flags;
	u32 undefined;
};

unsigned int form_count(void);
const char *form_name(unsigned int n);
unsigned int form_find(const char *name);
struct form form_get(unsigned int n);
bool form_exists(const struct mode *mode, const struct form *f);
struct form form_resolve(unsigned int n);

#endif
