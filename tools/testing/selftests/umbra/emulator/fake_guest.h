/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that exists only in this test: flat memory, segments, control registers,
 * ports and an MMIO window, with a log of what the emulator asked for.
 */
#ifndef FAKE_GUEST_H
#define FAKE_GUEST_H

#include <linux/kernel.h>
#include <linux/kvm.h>

#include <umbra/emulate.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

#define MEM_SIZE	0x40000
#define HOLE		0x30000		/* one page that is not mapped */
#define MMIO		0x80000		/* one page that userspace answers */
#define CODE		0x1000		/* linear address of the instruction */
#define STACK		0x8000
#define DATA		0x4000
#define GDT		0x2000

struct guest {
	struct umbra_emul e;
	u64 regs[16];
	u8 mem[MEM_SIZE];
	struct kvm_segment seg[8];
	struct kvm_dtable gdt, idt;
	u64 cr[9];
	u64 dr[8];
	u64 xcr0;
	u64 msr_val;
	u32 msr_index;
	u8 vec[16][32];
	unsigned int halts, iterations;
	u64 invlpg;

	/* MMIO and port reads: answered[0 .. answers) is what userspace said. */
	u64 answered[8];
	unsigned int answers, asked;
	u64 wanted;		/* address or port of the one that has no answer */
	unsigned int wanted_ahead;
	/* MMIO and port writes, refused when out_room are noted. */
	u64 out_addr[16], out_val[16];
	unsigned int outs, out_room, out_ahead;

	bool lose_race;		/* the next locked access fails */
};

extern struct guest guest;

/* A guest in @mode with flat segments (real mode: all zero), everything else 0. */
void guest_init(enum umbra_emul_mode mode);

/* Decode and execute @len bytes at CODE, starting from the state that is there. */
int guest_run(const char *bytes, unsigned int len);

#define RUN(s)	guest_run(s, sizeof(s) - 1)

/* A run ended with this exception. */
#define EXPECT_FAULT(ret, vec, err) do {			\
	EXPECT_EQ(UMBRA_EMUL_FAULT, ret);			\
	EXPECT_EQ(vec, guest.e.fault.vector);			\
	EXPECT_EQ(err, guest.e.fault.error);			\
} while (0)

enum { DE = 0, UD = 6, NM = 7, NP = 11, SS = 12, GP = 13, PF = 14, AC = 17 };

u64 guest_load(u64 addr, unsigned int bytes);
void guest_store(u64 addr, u64 val, unsigned int bytes);

#endif
