// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real mode: segments that are paragraphs, 64 KiB limits, 16-bit stacks, far branches
 * and interrupts, and the way out of it. Each expected value is computed by hand from
 * the manuals.
 */
#include <string.h>

#include "kselftest_harness.h"
#include "fake_guest.h"

/* Real mode: selectors are paragraphs, the hidden limit stays. */
TEST(real_mov_to_segment)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.regs[RAX] = 0x1234;
	guest.seg[UMBRA_SEG_DS].limit = 0xffffffff;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x8e\xd8"));	/* mov ds, ax */
	EXPECT_EQ(0x12340, guest.seg[UMBRA_SEG_DS].base);
	EXPECT_EQ(0x1234, guest.seg[UMBRA_SEG_DS].selector);
	EXPECT_EQ(0xffffffff, guest.seg[UMBRA_SEG_DS].limit);
	EXPECT_EQ(CODE + 2, guest.e.rip);
}

TEST(real_mov_to_cs_is_undefined)
{
	guest_init(UMBRA_EMUL_REAL);
	EXPECT_FAULT(RUN("\x8e\xc8"), UD, 0);
}

TEST(real_far_jump)
{
	guest_init(UMBRA_EMUL_REAL);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xea\x34\x12\x00\xf0"));
	EXPECT_EQ(0x1234, guest.e.rip);
	EXPECT_EQ(0xf0000, guest.seg[UMBRA_SEG_CS].base);
}

TEST(real_far_call_and_return)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.seg[UMBRA_SEG_CS].selector = 0x100;
	guest.seg[UMBRA_SEG_CS].base = 0x1000;
	guest.e.rip = 0x10;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x9a\x20\x00\x00\x02"));	/* 0200:0020 */
	EXPECT_EQ(0x20, guest.e.rip);
	EXPECT_EQ(0x2000, guest.seg[UMBRA_SEG_CS].base);
	EXPECT_EQ(STACK - 4, guest.regs[RSP]);
	EXPECT_EQ(0x100, guest_load(STACK - 2, 2));
	EXPECT_EQ(0x15, guest_load(STACK - 4, 2));
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xca\x04\x00"));		/* retf 4 */
	EXPECT_EQ(0x15, guest.e.rip);
	EXPECT_EQ(0x1000, guest.seg[UMBRA_SEG_CS].base);
	EXPECT_EQ(STACK + 4, guest.regs[RSP]);
}

TEST(real_interrupt_and_iret)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.e.rflags = 0x302 | 1;
	guest_store(0x80 * 4, 0x03000040, 4);			/* 0300:0040 */
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xcd\x80"));
	EXPECT_EQ(0x40, guest.e.rip);
	EXPECT_EQ(0x3000, guest.seg[UMBRA_SEG_CS].base);
	EXPECT_EQ(0x3, guest.e.rflags);				/* IF and TF off, CF kept */
	EXPECT_EQ(0x303, guest_load(STACK - 2, 2));
	EXPECT_EQ(0, guest_load(STACK - 4, 2));
	EXPECT_EQ(CODE + 2, guest_load(STACK - 6, 2));
	guest.e.rflags = 2;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xcf"));
	EXPECT_EQ(CODE + 2, guest.e.rip);
	EXPECT_EQ(0, guest.seg[UMBRA_SEG_CS].base);
	EXPECT_EQ(0x303, guest.e.rflags);
	EXPECT_EQ(STACK, guest.regs[RSP]);
}

TEST(real_interrupt_beyond_table)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.idt.limit = 0x7f;
	EXPECT_FAULT(RUN("\xcd\x20"), GP, 0);
}

TEST(real_limits)
{
	guest_init(UMBRA_EMUL_REAL);
	EXPECT_FAULT(RUN("\xa1\xff\xff"), GP, 0);		/* mov ax, [ffff] */
	guest.regs[RBP] = 0xffff;
	EXPECT_FAULT(RUN("\x8b\x46\x00"), SS, 0);		/* mov ax, [bp] */
	guest.regs[RSP] = 1;
	EXPECT_FAULT(RUN("\x50"), SS, 0);			/* push ax at ffff */
	EXPECT_EQ(1, guest.regs[RSP]);
	EXPECT_EQ(CODE, guest.e.rip);
}

TEST(real_address_wraps_at_64k)
{
	guest_init(UMBRA_EMUL_REAL);
	guest_store(0x10, 0x5a, 1);
	guest.regs[RBX] = 0xfff0;
	guest.regs[RSI] = 0x20;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x8a\x00"));		/* mov al, [bx+si] */
	EXPECT_EQ(0x5a, guest.regs[RAX]);
}

TEST(real_stack_keeps_upper_half)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.regs[RSP] = 0x77770000 | STACK;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x66\x50"));		/* push eax */
	EXPECT_EQ(0x77770000 | (STACK - 4), guest.regs[RSP]);
}

TEST(real_les)
{
	guest_init(UMBRA_EMUL_REAL);
	guest_store(DATA, 0x20001111, 4);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xc4\x1e\x00\x40"));	/* les bx, [4000] */
	EXPECT_EQ(0x1111, guest.regs[RBX]);
	EXPECT_EQ(0x20000, guest.seg[UMBRA_SEG_ES].base);
}

TEST(real_far_through_memory)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.seg[UMBRA_SEG_CS].selector = 0x10;
	guest.seg[UMBRA_SEG_CS].base = 0x100;
	guest_store(DATA, 0x03000040, 4);			/* 0300:0040 */
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xff\x1e\x00\x40"));	/* call far [4000] */
	EXPECT_EQ(0x40, guest.e.rip);
	EXPECT_EQ(0x3000, guest.seg[UMBRA_SEG_CS].base);
	EXPECT_EQ(0x0010 << 16 | (CODE + 4), guest_load(STACK - 4, 4));
	guest_store(DATA, 0x00010000, 4);			/* EIP beyond the limit */
	guest_store(DATA + 4, 0x300, 2);
	EXPECT_FAULT(RUN("\x66\xff\x2e\x00\x40"), GP, 0);	/* jmp far dword [4000] */
	EXPECT_EQ(0x40, guest.e.rip);
	guest_store(DATA, 0x1234, 4);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x66\xff\x2e\x00\x40"));
	EXPECT_EQ(0x1234, guest.e.rip);
}

TEST(real_stack_wraps)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.seg[UMBRA_SEG_SS].base = 0x10000;
	guest.regs[RSP] = 0;
	guest.regs[RAX] = 0x1234;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x50"));			/* push ax */
	EXPECT_EQ(0xfffe, guest.regs[RSP]);
	EXPECT_EQ(0x1234, guest_load(0x1fffe, 2));
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x5b"));			/* pop bx */
	EXPECT_EQ(0, guest.regs[RSP]);
	EXPECT_EQ(0x1234, guest.regs[RBX]);
	guest.regs[RSP] = 6;
	guest.regs[RDI] = 0x5678;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x60"));			/* pusha, across 0 */
	EXPECT_EQ(0xfff6, guest.regs[RSP]);
	EXPECT_EQ(0x5678, guest_load(0x1fff6, 2));
	EXPECT_EQ(6, guest_load(0x1fffc, 2));			/* SP as it was */
	guest.regs[RDI] = 0;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x61"));			/* popa */
	EXPECT_EQ(6, guest.regs[RSP]);
	EXPECT_EQ(0x5678, guest.regs[RDI]);
}

TEST(real_near_call_on_a_16_bit_stack)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.regs[RSP] = 0xabcd0000;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xe8\x10\x00"));
	EXPECT_EQ(0xabcdfffe, guest.regs[RSP]);
	EXPECT_EQ(CODE + 0x13, guest.e.rip);
	EXPECT_EQ(CODE + 3, guest_load(0xfffe, 2));
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xc2\x04\x00"));		/* ret 4 */
	EXPECT_EQ(0xabcd0004, guest.regs[RSP]);
	EXPECT_EQ(CODE + 3, guest.e.rip);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xe9\x00\xf0"));		/* IP wraps at 64 KiB */
	EXPECT_EQ(6, guest.e.rip);
}

TEST(real_enter_leave)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.regs[RBP] = 0xffff1234;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xc8\x10\x00\x00"));	/* enter 10, 0 */
	EXPECT_EQ(0xffff0000 | (STACK - 2), guest.regs[RBP]);
	EXPECT_EQ(STACK - 0x12, guest.regs[RSP]);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xc9"));
	EXPECT_EQ(0xffff1234, guest.regs[RBP]);
	EXPECT_EQ(STACK, guest.regs[RSP]);
}

TEST(real_string_wraps)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.seg[UMBRA_SEG_ES].base = 0x10000;
	guest.regs[RSI] = 0xffff;
	guest.regs[RDI] = 0xffff;
	guest.regs[RCX] = 0x70002;				/* two in CX */
	guest_store(0xffff, 0x11, 1);
	guest_store(0, 0x22, 1);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xf3\xa4"));		/* rep movsb */
	EXPECT_EQ(0x11, guest_load(0x1ffff, 1));
	EXPECT_EQ(0x22, guest_load(0x10000, 1));
	EXPECT_EQ(1, guest.regs[RSI]);
	EXPECT_EQ(0x70000, guest.regs[RCX]);
	guest.regs[RSI] = 0xffff;
	EXPECT_FAULT(RUN("\xad"), GP, 0);			/* lodsw at ffff */
	guest.regs[RSI] = 0x1fff0;
	EXPECT_FAULT(RUN("\x67\xac"), GP, 0);			/* ESI beyond the limit */
}

/* The limits that were loaded in protected mode stay: "unreal" mode. */
TEST(real_with_big_segments)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.seg[UMBRA_SEG_DS].limit = 0xffffffff;
	guest.regs[RBX] = 0x20000;
	guest_store(0x20000, 0x7766, 2);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x67\x8b\x03"));		/* mov ax, [ebx] */
	EXPECT_EQ(0x7766, guest.regs[RAX]);
	guest.regs[RAX] = 0x100;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x8e\xd8"));		/* mov ds, ax */
	guest_store(0x21001, 0x55, 1);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x67\x8a\x4b\x01"));	/* mov cl, [ebx+1] */
	EXPECT_EQ(0x55, guest.regs[RCX]);
}

TEST(real_code_is_writable)
{
	guest_init(UMBRA_EMUL_REAL);
	guest.regs[RAX] = 0x99;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x2e\xa2\x00\x40"));	/* mov cs:[4000], al */
	EXPECT_EQ(0x99, guest_load(DATA, 1));
}

TEST(real_breakpoint_and_overflow)
{
	guest_init(UMBRA_EMUL_REAL);
	guest_store(3 * 4, 0x00000333, 4);
	guest_store(4 * 4, 0x00000444, 4);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xce"));			/* into without OF */
	EXPECT_EQ(CODE + 1, guest.e.rip);
	guest.e.rflags |= 1 << 11;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xce"));
	EXPECT_EQ(0x444, guest.e.rip);
	EXPECT_EQ(CODE + 2, guest_load(STACK - 6, 2));
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xcc"));			/* int3 */
	EXPECT_EQ(0x333, guest.e.rip);
}

TEST(real_wide_iret)
{
	guest_init(UMBRA_EMUL_REAL);
	guest_store(STACK, 0x1234, 4);
	guest_store(STACK + 4, 0xdead0200, 4);
	guest_store(STACK + 8, 0x00240202, 4);			/* AC, ID, IF */
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x66\xcf"));
	EXPECT_EQ(0x1234, guest.e.rip);
	EXPECT_EQ(0x2000, guest.seg[UMBRA_SEG_CS].base);
	EXPECT_EQ(0x240202, guest.e.rflags);
	EXPECT_EQ(STACK + 12, guest.regs[RSP]);
}

TEST(real_to_protected)
{
	guest_init(UMBRA_EMUL_REAL);
	guest_store(DATA, 0x1234, 2);
	guest_store(DATA + 2, 0xaabbccdd, 4);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x01\x16\x00\x40"));	/* lgdt, 24 bits */
	EXPECT_EQ(0xbbccdd, guest.gdt.base);
	guest.regs[RAX] = 1;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x01\xf0"));		/* lmsw ax */
	EXPECT_EQ(0x11, guest.cr[0]);
	guest.regs[RAX] = 0x11;
	guest.cr[0] = 0x10;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x22\xc0"));		/* mov cr0, eax */
	EXPECT_EQ(0x11, guest.cr[0]);
}

TEST(real_undefined)
{
	guest_init(UMBRA_EMUL_REAL);
	EXPECT_FAULT(RUN("\x0f\x00\xc0"), UD, 0);		/* sldt ax */
	EXPECT_FAULT(RUN("\x63\xc0"), UD, 0);			/* arpl */
	EXPECT_FAULT(RUN("\xf0\x8b\x07"), UD, 0);		/* lock mov */
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xf0\xff\x06\x00\x40"));	/* lock inc [4000] */
	EXPECT_EQ(1, guest_load(DATA, 2));
}

TEST_HARNESS_MAIN
