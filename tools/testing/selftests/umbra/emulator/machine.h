/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One instruction, run twice from the same state: by the processor and by the
 * emulator. Both leave a struct outcome; compare() says where they differ.
 *
 * Memory is a window at a fixed address: one read-only page, two writable pages,
 * and nothing mapped on either side. The emulator works on a copy of it.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <linux/kernel.h>
#include <linux/kvm.h>
#include <linux/types.h>

#include <umbra/emulate.h>

#define PAGE		4096UL
#define CODE_BASE	0x10000000UL	/* two pages, filled with INT3 */
#define CODE_SIZE	(2 * PAGE)
#define DATA_BASE	0x20000000UL
#define DATA_SIZE	(3 * PAGE)
#define RW_BASE		(DATA_BASE + PAGE)

/* FS and GS in 64-bit mode */
#define FS_BASE		(RW_BASE + 0x800)
#define GS_BASE		RW_BASE

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

#define FL_CF	0x001UL
#define FL_PF	0x004UL
#define FL_AF	0x010UL
#define FL_ZF	0x040UL
#define FL_SF	0x080UL
#define FL_DF	0x400UL
#define FL_OF	0x800UL
#define FL_NT	0x4000UL
#define FL_AC	0x40000UL
#define FL_ID	0x200000UL
#define FL_COMPARED (FL_ARITH | FL_DF | FL_NT | FL_AC | FL_ID)
#define FL_ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

struct regs {
	u64 gpr[16];
	u64 rip;
	u64 flags;
	u8 vec[16][32];
};

struct insn {
	u8 bytes[15];
	u8 len;
};

enum end { END_OK, END_FAULT, END_UNHANDLEABLE, END_STUCK };

struct outcome {
	enum end end;
	u8 vector;
	u32 error;
	u64 address;	/* CR2, for #PF */
	struct regs regs;
};

enum fetch { FETCH_ENOUGH, FETCH_MORE, FETCH_UNDEFINED };

struct mode {
	const char *name;
	enum umbra_emul_mode emul;
	unsigned int word;	/* bytes of the widest register */
	struct kvm_segment seg[8];
};

#define MODES	4

extern struct mode modes[MODES];

extern u8 shadow[DATA_SIZE];
extern bool have_avx, have_bmi, have_sse4a, guest_intel;
extern bool on_tcg;	/* the processor is QEMU's: no reference */

/* modes.c */
unsigned int modes_init(void);

/* native.c */
int native_init(void);
void native_code(const struct mode *mode, u64 rip, const u8 *bytes, unsigned int len);
bool native_mode_works(const struct mode *mode);
void native_run(const struct mode *mode, const struct regs *in, struct outcome *out);
enum fetch native_fetch(const struct mode *mode, const u8 *bytes, unsigned int len);

/* emulated.c */
void emulated_run(const struct mode *mode, const struct insn *insn,
		  const struct regs *in, struct outcome *out, unsigned int given);

#endif
