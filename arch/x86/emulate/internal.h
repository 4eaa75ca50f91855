/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The emulator's inside: what a decode table entry says, and the helpers that
 * the instruction handlers share. Only files of this folder include it.
 *
 * A handler gets src.val and, where the table says so, dst.val loaded, computes
 * dst.val and new_rflags, and returns. umbra_emulate() writes the operands back
 * and commits. A handler that does more than one thing itself must do what can
 * fail first and touch regs[] last.
 */
#ifndef UMBRA_EMULATE_INTERNAL_H
#define UMBRA_EMULATE_INTERNAL_H

#include <linux/bits.h>
#include <linux/types.h>
#include <linux/string.h>
#include <linux/kvm.h>

#include <umbra/emulate.h>

/*
 * One entry of a decode table. An entry that is all zero is an undefined opcode.
 * One with F_KNOWN and no handler has a known shape, but is not executed.
 */
struct umbra_insn_desc {
	u64 flags;
	union {
		int (*exec)(struct umbra_emul *e);
		const struct umbra_insn_desc *group;
	};
};

/* Where an operand comes from. */
enum {
	OP_NONE,
	OP_RM,		/* ModRM.rm: register or memory */
	OP_RM8,		/* the same, of a fixed size */
	OP_RM16,
	OP_RM32,
	OP_REG,		/* ModRM.reg */
	OP_OPREG,	/* low three bits of the opcode */
	OP_ACC,		/* AL, AX, EAX, RAX */
	OP_CL,
	OP_ONE,
	OP_IMM,
	OP_MOFFS,	/* memory at an absolute offset */
};

/* How the immediate is encoded. */
enum {
	IMM_NONE,
	IMM_S8,		/* one byte, sign extended */
	IMM_U8,		/* one byte, zero extended */
	IMM_16,
	IMM_Z,		/* 2 or 4 bytes by operand size, sign extended */
	IMM_V,		/* 2, 4 or 8 bytes by operand size */
	IMM_ENTER,	/* 16 bits, then 8 bits into imm2 */
	IMM_FAR,	/* offset by operand size, then selector into imm2 */
	IMM_MOFFS,	/* offset by address size */
};

/* How a group chooses among its entries. */
enum {
	GRP_NONE,
	GRP_REG,	/* ModRM.reg: 8 entries */
	GRP_RM,		/* ModRM.rm: 8 entries */
	GRP_MOD,	/* memory, register: 2 entries */
	GRP_PREFIX,	/* none, 66, F3, F2: 4 entries */
	GRP_MODE,	/* not 64-bit mode, 64-bit mode: 2 entries */
};

#define F_DST(x)	((u64)OP_##x)
#define F_SRC(x)	((u64)OP_##x << 4)
#define F_IMM(x)	((u64)IMM_##x << 8)
#define F_GRP(x)	((u64)GRP_##x << 12)
#define F_DST_KIND(f)	((unsigned int)(f) & 15)
#define F_SRC_KIND(f)	((unsigned int)((f) >> 4) & 15)
#define F_IMM_KIND(f)	((unsigned int)((f) >> 8) & 15)
#define F_GRP_KIND(f)	((unsigned int)((f) >> 12) & 7)
#define F_GRP_MASK	(7ULL << 12)

#define F_MODRM		BIT_ULL(16)
#define F_BYTE		BIT_ULL(17)	/* operand size is one byte */
#define F_READ		BIT_ULL(18)	/* dst is loaded */
#define F_WRITE		BIT_ULL(19)	/* dst is written back */
#define F_SRCWRITE	BIT_ULL(20)	/* src is written back after dst */
#define F_LOCK		BIT_ULL(21)	/* LOCK is legal with a memory dst */
#define F_LOCKED	BIT_ULL(22)	/* locked on memory without the prefix */
#define F_D64		BIT_ULL(23)	/* operand size is 64 bits by default */
#define F_NEAR		BIT_ULL(24)	/* near branch: 64 bits in 64-bit mode */
#define F_NATIVE	BIT_ULL(25)	/* 64 bits in 64-bit mode, else 32 */
#define F_NO64		BIT_ULL(26)	/* #UD in 64-bit mode */
#define F_ONLY64	BIT_ULL(27)	/* #UD outside of 64-bit mode */
#define F_PROT		BIT_ULL(28)	/* #UD in real and virtual 8086 mode */
#define F_PRIV		BIT_ULL(29)	/* #GP unless CPL is 0 */
#define F_MEM		BIT_ULL(30)	/* #UD with a register in ModRM.rm */
#define F_KNOWN		BIT_ULL(31)	/* defined, though without handler */
#define F_VEX		BIT_ULL(32)	/* the handler does the VEX form as well */
#define F_VEX_ONLY	BIT_ULL(33)	/* #UD without VEX */
#define F_ALIGNED	BIT_ULL(34)	/* #GP when a vector is misaligned */
#define F_MODREG	BIT_ULL(35)	/* ModRM.mod is ignored, rm is a register */
#define F_WIDE		BIT_ULL(37)	/* 32 bits instead of 16 */
#define F_REG		BIT_ULL(36)	/* #UD with memory in ModRM.rm */
#define F_VEC(n)	((u64)(n) << 40) /* bytes of a vector move, 16 for all */
#define F_VEC_BYTES(f)	((unsigned int)((f) >> 40) & 31)

/* struct umbra_emul.prefixes */
#define P_OPSIZE	0x01
#define P_ADSIZE	0x02
#define P_LOCK		0x04
#define P_SEG		0x08
#define P_REX		0x10
#define P_VEX		0x20
#define P_EVEX		0x40

#define REX_B		1
#define REX_X		2
#define REX_R		4
#define REX_W		8

/* struct umbra_emul.base, index: what is no general register */
#define REG_RIP		16
#define REG_NONE	17

/* struct umbra_operand.kind */
enum { OPND_NONE, OPND_REG, OPND_MEM, OPND_IMM };

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

#define FL_CF		BIT(0)
#define FL_FIXED	BIT(1)
#define FL_PF		BIT(2)
#define FL_AF		BIT(4)
#define FL_ZF		BIT(6)
#define FL_SF		BIT(7)
#define FL_TF		BIT(8)
#define FL_IF		BIT(9)
#define FL_DF		BIT(10)
#define FL_OF		BIT(11)
#define FL_IOPL		(3UL << 12)
#define FL_NT		BIT(14)
#define FL_RF		BIT(16)
#define FL_VM		BIT(17)
#define FL_AC		BIT(18)
#define FL_ID		BIT(21)
#define FL_ARITH	(FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

enum {
	VEC_DE = 0,
	VEC_BP = 3,
	VEC_OF = 4,
	VEC_UD = 6,
	VEC_NM = 7,
	VEC_NP = 11,
	VEC_SS = 12,
	VEC_GP = 13,
	VEC_AC = 17,
};

#define CR0_PE		BIT(0)
#define CR0_EM		BIT(2)
#define CR0_TS		BIT(3)
#define CR0_AM		BIT(18)
#define CR4_TSD		BIT(2)
#define CR4_OSFXSR	BIT(9)
#define CR4_UMIP	BIT(11)
#define CR4_LA57	BIT(12)
#define CR4_OSXSAVE	BIT(18)

static inline int emul_ud(struct umbra_emul *e)
{
	return umbra_emul_fault(e, VEC_UD, false, 0);
}

static inline int emul_gp(struct umbra_emul *e, u32 error)
{
	return umbra_emul_fault(e, VEC_GP, true, error);
}

static inline bool emul_long(const struct umbra_emul *e)
{
	return e->mode == UMBRA_EMUL_LONG64;
}

/* Real mode and virtual 8086 mode: selectors are paragraphs. */
static inline bool emul_8086(const struct umbra_emul *e)
{
	return e->mode <= UMBRA_EMUL_VM86;
}

static inline bool emul_modrm_mem(const struct umbra_emul *e)
{
	return e->modrm < 0xc0;
}

static inline unsigned int emul_modrm_reg(const struct umbra_emul *e)
{
	return (e->modrm >> 3 & 7) | (e->rex & REX_R) << 1;
}

static inline unsigned int emul_modrm_rm(const struct umbra_emul *e)
{
	return (e->modrm & 7) | (e->rex & REX_B) << 3;
}

/* The register in VEX.vvvv; there are eight outside of 64-bit mode. */
static inline unsigned int emul_vex_reg(const struct umbra_emul *e)
{
	return e->vex_v & (emul_long(e) ? 15 : 7);
}

/* All ones in the low @bytes (1 to 8) bytes. */
static inline u64 emul_mask(unsigned int bytes)
{
	return ~0ULL >> (64 - 8 * bytes);
}

static inline u64 emul_sign(unsigned int bytes)
{
	return 1ULL << (8 * bytes - 1);
}

static inline s64 emul_sext(u64 val, unsigned int bytes)
{
	unsigned int shift = 64 - 8 * bytes;

	return (s64)(val << shift) >> shift;
}

static inline void emul_set_flag(struct umbra_emul *e, u64 flag, bool on)
{
	e->new_rflags = on ? e->new_rflags | flag : e->new_rflags & ~flag;
}

/* tables.c */
extern const struct umbra_insn_desc umbra_insn_1byte[256];
extern const struct umbra_insn_desc umbra_insn_0f[256];
extern const struct umbra_insn_desc umbra_insn_unknown;
const struct umbra_insn_desc *umbra_insn_0f38(u8 opcode);
const struct umbra_insn_desc *umbra_insn_0f3a(u8 opcode);

/* operand.c */
u64 umbra_reg_read(const struct umbra_emul *e, unsigned int reg, unsigned int bytes);
void umbra_reg_write(struct umbra_emul *e, unsigned int reg, u64 val, unsigned int bytes);
u64 umbra_effective_address(const struct umbra_emul *e);
bool umbra_canonical57(struct umbra_emul *e, u64 va);
int umbra_linearize(struct umbra_emul *e, unsigned int seg, u64 offset,
		    unsigned int bytes, unsigned int access, u64 *linear);
int umbra_mem_read(struct umbra_emul *e, unsigned int seg, u64 offset, void *val,
		   unsigned int bytes);
int umbra_mem_write(struct umbra_emul *e, unsigned int seg, u64 offset,
		    const void *val, unsigned int bytes);
int umbra_linear_read(struct umbra_emul *e, u64 linear, u64 *val,
		      unsigned int bytes, unsigned int access);
int umbra_linear_write(struct umbra_emul *e, u64 linear, u64 val,
		       unsigned int bytes, unsigned int access);
int umbra_operand_load(struct umbra_emul *e, struct umbra_operand *op,
		       unsigned int kind, bool load, bool write);
int umbra_operand_store(struct umbra_emul *e, struct umbra_operand *op, bool locked);

/* CR4.LA57 is looked at only for addresses where it matters. */
static inline bool umbra_canonical(struct umbra_emul *e, u64 va)
{
	return likely(emul_sext(va, 6) == (s64)va) || umbra_canonical57(e, va);
}

/* segment.c */
int umbra_load_segment(struct umbra_emul *e, unsigned int seg, u16 selector);

/* stack.c */
struct umbra_stack {
	u64 sp;		/* working value, inside mask */
	u64 mask;	/* by the stack's address size */
};

void umbra_stack_begin(struct umbra_emul *e, struct umbra_stack *st);
int umbra_push(struct umbra_emul *e, struct umbra_stack *st, u64 val, unsigned int bytes);
int umbra_push_probe(struct umbra_emul *e, const struct umbra_stack *st,
		     unsigned int bytes);
int umbra_pop(struct umbra_emul *e, struct umbra_stack *st, u64 *val, unsigned int bytes);
void umbra_stack_commit(struct umbra_emul *e, const struct umbra_stack *st);

/* flow.c */
bool umbra_condition(const struct umbra_emul *e, unsigned int code);
int umbra_check_rip(struct umbra_emul *e, u64 target);

/* io.c */
int umbra_io_permitted(struct umbra_emul *e, u16 port, unsigned int bytes);

/* alu.c */
void umbra_flags_sub(struct umbra_emul *e, u64 a, u64 b, unsigned int bytes);
void umbra_flags_szp(struct umbra_emul *e, u64 val, unsigned int bytes);

/* The handlers: umbra_em_NAME() executes NAME. */
#define UMBRA_EM(name)	int umbra_em_##name(struct umbra_emul *e)

/* alu.c */
UMBRA_EM(nop); UMBRA_EM(mov); UMBRA_EM(movsx);
UMBRA_EM(add); UMBRA_EM(or); UMBRA_EM(adc); UMBRA_EM(sbb);
UMBRA_EM(and); UMBRA_EM(sub); UMBRA_EM(xor); UMBRA_EM(cmp); UMBRA_EM(test);
UMBRA_EM(inc); UMBRA_EM(dec); UMBRA_EM(not); UMBRA_EM(neg);
UMBRA_EM(xchg); UMBRA_EM(xadd); UMBRA_EM(cmpxchg); UMBRA_EM(cmpxchg8b);
UMBRA_EM(lea); UMBRA_EM(cbw); UMBRA_EM(cwd); UMBRA_EM(setcc); UMBRA_EM(cmovcc);

/* shift.c */
UMBRA_EM(shift); UMBRA_EM(shld); UMBRA_EM(shrd);

/* muldiv.c */
UMBRA_EM(mul); UMBRA_EM(imul1); UMBRA_EM(imul2); UMBRA_EM(imul3);
UMBRA_EM(div); UMBRA_EM(idiv);
UMBRA_EM(daa); UMBRA_EM(das); UMBRA_EM(aaa); UMBRA_EM(aas); UMBRA_EM(aam); UMBRA_EM(aad);

/* bits.c */
UMBRA_EM(bt); UMBRA_EM(bsf); UMBRA_EM(bsr); UMBRA_EM(tzcnt); UMBRA_EM(lzcnt);
UMBRA_EM(popcnt); UMBRA_EM(bswap); UMBRA_EM(movbe); UMBRA_EM(flag); UMBRA_EM(lahf);
UMBRA_EM(sahf);

/* bmi.c */
UMBRA_EM(andn); UMBRA_EM(bls); UMBRA_EM(bzhi); UMBRA_EM(bextr); UMBRA_EM(pdep);
UMBRA_EM(pext); UMBRA_EM(mulx); UMBRA_EM(shlx); UMBRA_EM(shrx); UMBRA_EM(sarx);
UMBRA_EM(rorx); UMBRA_EM(adcx); UMBRA_EM(adox); UMBRA_EM(crc32);

/* string.c */
UMBRA_EM(string); UMBRA_EM(xlat);

/* stack.c */
UMBRA_EM(push); UMBRA_EM(pop); UMBRA_EM(push_seg); UMBRA_EM(pop_seg);
UMBRA_EM(pusha); UMBRA_EM(popa); UMBRA_EM(pushf); UMBRA_EM(popf);
UMBRA_EM(enter); UMBRA_EM(leave);

/* flow.c */
UMBRA_EM(jmp); UMBRA_EM(jmp_abs); UMBRA_EM(call); UMBRA_EM(call_abs);
UMBRA_EM(ret); UMBRA_EM(jcc); UMBRA_EM(loop);

/* far.c */
UMBRA_EM(jmp_far); UMBRA_EM(call_far); UMBRA_EM(ret_far); UMBRA_EM(int);
UMBRA_EM(iret);

/* segment.c */
UMBRA_EM(mov_from_seg); UMBRA_EM(mov_to_seg); UMBRA_EM(load_far);

/* io.c */
UMBRA_EM(in); UMBRA_EM(out);

/* system.c */
UMBRA_EM(mov_from_cr); UMBRA_EM(mov_to_cr); UMBRA_EM(mov_from_dr);
UMBRA_EM(mov_to_dr); UMBRA_EM(clts); UMBRA_EM(lmsw); UMBRA_EM(smsw);
UMBRA_EM(load_dt); UMBRA_EM(store_dt); UMBRA_EM(invlpg); UMBRA_EM(flush_line);
UMBRA_EM(hlt); UMBRA_EM(cpuid); UMBRA_EM(rdmsr); UMBRA_EM(wrmsr); UMBRA_EM(rdtsc);
UMBRA_EM(rdtscp); UMBRA_EM(xsetbv); UMBRA_EM(swapgs); UMBRA_EM(cli);
UMBRA_EM(sti); UMBRA_EM(store_sel);

/* sse.c */
UMBRA_EM(vec_load); UMBRA_EM(vec_store); UMBRA_EM(vec_half_load);
UMBRA_EM(vec_half_store); UMBRA_EM(movd_load); UMBRA_EM(movd_store);

#endif /* UMBRA_EMULATE_INTERNAL_H */
