// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a user program cannot try on the processor: descriptors, privilege, system
 * instructions, ports, restart after an exit to userspace, what the other vendor does.
 * Each expected value is computed by hand from the manuals.
 */
#include <string.h>

#include "kselftest_harness.h"
#include "fake_guest.h"

/* Descriptor of a segment with 4 GiB limit; @access is byte 5. */
static u64 flat_descriptor(u8 access)
{
	return 0x00cf00000000ffffULL | (u64)access << 40;
}

TEST(vm86_needs_iopl)
{
	guest_init(UMBRA_EMUL_VM86);
	guest.e.rflags |= 1 << 17;
	EXPECT_FAULT(RUN("\x9c"), GP, 0);			/* pushf */
	EXPECT_FAULT(RUN("\xfa"), GP, 0);			/* cli */
	EXPECT_EQ(UMBRA_EMUL_UNHANDLEABLE, RUN("\xcd\x10"));
	guest.e.rflags |= 3 << 12;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x9c"));
	EXPECT_EQ(0x3002, guest_load(STACK - 2, 2));
}

/* Protected mode: types and limits. */
TEST(segment_types)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest.seg[UMBRA_SEG_DS].unusable = 1;
	EXPECT_FAULT(RUN("\xa1\x00\x40\x00\x00"), GP, 0);	/* null DS */
	guest.seg[UMBRA_SEG_DS].unusable = 0;
	guest.seg[UMBRA_SEG_DS].type = 1;			/* read-only */
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xa1\x00\x40\x00\x00"));
	EXPECT_FAULT(RUN("\xa3\x00\x40\x00\x00"), GP, 0);
	EXPECT_FAULT(RUN("\x2e\xa3\x00\x40\x00\x00"), GP, 0);	/* into code */
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x2e\xa1\x00\x40\x00\x00"));
	guest.seg[UMBRA_SEG_CS].type = 9;			/* execute only */
	EXPECT_FAULT(RUN("\x2e\xa1\x00\x40\x00\x00"), GP, 0);
}

TEST(segment_limits)
{
	struct kvm_segment *ds = &guest.seg[UMBRA_SEG_DS];

	guest_init(UMBRA_EMUL_PROT32);
	ds->limit = 0x4002;
	EXPECT_FAULT(RUN("\xa1\x00\x40\x00\x00"), GP, 0);
	ds->limit = 0x4003;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xa1\x00\x40\x00\x00"));
	ds->type = 7;						/* expand down */
	EXPECT_FAULT(RUN("\xa1\x00\x40\x00\x00"), GP, 0);
	ds->limit = 0x3fff;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xa1\x00\x40\x00\x00"));
	ds->db = 0;						/* ends at 64 KiB */
	EXPECT_FAULT(RUN("\xa1\xfd\xff\x00\x00"), GP, 0);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xa1\xfc\xff\x00\x00"));
}

TEST(segment_base)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest_store(0x4567, 0x1122, 2);
	guest.seg[UMBRA_SEG_FS].base = 0x567;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x64\x66\xa1\x00\x40\x00\x00"));
	EXPECT_EQ(0x1122, guest.regs[RAX]);
}

/* Protected mode: loading a segment register. */
TEST(load_segment)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest_store(GDT + 8, flat_descriptor(0x92), 8);
	guest.regs[RAX] = 8;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x8e\xc0"));		/* mov es, eax */
	EXPECT_EQ(0xffffffff, guest.seg[UMBRA_SEG_ES].limit);
	EXPECT_EQ(3, guest.seg[UMBRA_SEG_ES].type);
	EXPECT_EQ(0x93, guest.mem[GDT + 8 + 5]);		/* accessed */
	guest.regs[RAX] = 8;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x8e\xe8"));		/* mov gs, eax */
	EXPECT_EQ(8, guest.seg[UMBRA_SEG_GS].selector);
	EXPECT_FAULT(RUN("\x8e\xf0"), UD, 0);			/* no seventh one */
	guest.regs[RAX] = 3;					/* null */
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x8e\xc0"));
	EXPECT_EQ(1, guest.seg[UMBRA_SEG_ES].unusable);
	EXPECT_FAULT(RUN("\x8e\xd0"), GP, 0);			/* SS must not be null */
}

TEST(load_segment_faults)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest_store(GDT + 8, flat_descriptor(0x92), 8);
	guest_store(GDT + 16, flat_descriptor(0x12), 8);	/* not present */
	guest_store(GDT + 24, flat_descriptor(0x98), 8);	/* execute only */
	guest.regs[RAX] = 0x80;
	EXPECT_FAULT(RUN("\x8e\xc0"), GP, 0x80);		/* beyond the limit */
	guest.regs[RAX] = 16;
	EXPECT_FAULT(RUN("\x8e\xc0"), NP, 16);
	EXPECT_FAULT(RUN("\x8e\xd0"), SS, 16);
	guest.regs[RAX] = 24;
	EXPECT_FAULT(RUN("\x8e\xc0"), GP, 24);
	guest.e.cpl = 3;
	guest.regs[RAX] = 8 | 3;
	EXPECT_FAULT(RUN("\x8e\xc0"), GP, 8);			/* DPL 0 at CPL 3 */
	guest.seg[UMBRA_SEG_LDTR].unusable = 1;
	guest.regs[RAX] = 8 | 4;
	EXPECT_FAULT(RUN("\x8e\xc0"), GP, 12);			/* no LDT */
	EXPECT_EQ(CODE, guest.e.rip);
}

TEST(load_far_pointer_with_64_bit_offset)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RBX] = DATA;
	guest_store(DATA, 0x0000000087654321, 8);		/* selector 0 for AMD */
	guest_store(DATA + 8, 0, 2);
	guest.regs[RAX] = -1ULL;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x48\x0f\xb4\x03"));	/* lfs rax, [rbx] */
	EXPECT_EQ(0x87654321, guest.regs[RAX]);
	guest.e.intel = true;
	guest_store(DATA, 0x1234567887654321, 8);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x48\x0f\xb4\x03"));
	EXPECT_EQ(0x1234567887654321, guest.regs[RAX]);
	guest.e.intel = false;					/* selector 5678 for AMD */
	EXPECT_FAULT(RUN("\x48\x0f\xb4\x03"), GP, 0x5678);
}

TEST(pop_segment_shadows_interrupts)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest_store(GDT + 8, flat_descriptor(0x93), 8);
	guest_store(STACK, 8, 4);
	guest.e.rflags |= 1 << 8;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x17"));			/* pop ss */
	EXPECT_EQ(STACK + 4, guest.regs[RSP]);
	EXPECT_TRUE(guest.e.int_shadow);
	EXPECT_FALSE(guest.e.trap);
}

/* Canonical addresses, with and without LA57. */
TEST(canonical)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RBX] = 1ULL << 50;
	EXPECT_FAULT(RUN("\x8b\x03"), GP, 0);			/* mov eax, [rbx] */
	guest.regs[RBP] = 1ULL << 50;
	EXPECT_FAULT(RUN("\x8b\x45\x00"), SS, 0);
	guest.cr[4] |= 1 << 12;
	EXPECT_EQ(UMBRA_EMUL_UNHANDLEABLE, RUN("\x8b\x03"));	/* no such memory here */
	guest.regs[RBX] = 1ULL << 56;
	EXPECT_FAULT(RUN("\x8b\x03"), GP, 0);
}

/* What Intel's processors do in another way than AMD's, with which the test compares. */
TEST(vendors)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RAX] = 1ULL << 62;
	EXPECT_FAULT(RUN("\xff\xd0"), GP, 0);			/* call rax */
	EXPECT_EQ(0, guest_load(STACK - 8, 8));
	guest.e.intel = true;
	EXPECT_FAULT(RUN("\xff\xd0"), GP, 0);
	EXPECT_EQ(CODE + 2, guest_load(STACK - 8, 8));
	EXPECT_EQ(STACK, guest.regs[RSP]);

	guest_init(UMBRA_EMUL_PROT32);
	guest.seg[UMBRA_SEG_DS].base = DATA + 2;
	EXPECT_FAULT(RUN("\xa1\xfe\xff\xff\xff"), GP, 0);	/* mov eax, [fffffffe] */
	guest.e.intel = true;
	guest_store(DATA, 0x11223344, 4);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xa1\xfe\xff\xff\xff"));
	EXPECT_EQ(0x11223344, guest.regs[RAX]);

	guest_init(UMBRA_EMUL_PROT32);
	guest.regs[RCX] = 4;
	guest.regs[RDI] = HOLE - 1;
	EXPECT_FAULT(RUN("\xf3\xae"), PF, 0);			/* repe scasb */
	EXPECT_EQ(0x46, guest.e.rflags);
	EXPECT_EQ(3, guest.regs[RCX]);
	guest.e.rflags = 2;
	guest.e.intel = true;
	guest.regs[RDI] = HOLE - 1;
	EXPECT_FAULT(RUN("\xf3\xae"), PF, 0);
	EXPECT_EQ(2, guest.e.rflags);
}

TEST(alignment_checks)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.e.rflags |= 1 << 18;
	guest.cr[0] |= 1 << 18;
	guest.regs[RBX] = DATA + 2;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x8b\x03"));		/* not at CPL 0 */
	guest.e.cpl = 3;
	EXPECT_FAULT(RUN("\x8b\x03"), AC, 0);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x66\x8b\x03"));
	guest.regs[RBX] = HOLE + 2;
	EXPECT_FAULT(RUN("\x8b\x03"), AC, 0);
	guest.e.intel = true;
	EXPECT_FAULT(RUN("\x8b\x03"), PF, 4);
	guest.regs[RBX] = DATA + 2;
	EXPECT_FAULT(RUN("\x8b\x03"), AC, 0);
	guest.cr[0] &= ~(1 << 18);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x8b\x03"));
}

TEST(cache_line_flushes)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RBX] = HOLE;
	EXPECT_FAULT(RUN("\x0f\xae\x3b"), PF, 0);		/* clflush [rbx] */
	EXPECT_FAULT(RUN("\x66\x0f\xae\x33"), PF, 0);		/* clwb */
	guest.regs[RBX] = MMIO + 4;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x66\x0f\xae\x3b"));	/* clflushopt */
	EXPECT_EQ(0, guest.asked);
	EXPECT_EQ(UMBRA_EMUL_UNHANDLEABLE, RUN("\x0f\xae\x33"));	/* xsaveopt */
}

/* One access to data, for a caller that knows its address. */
TEST(one_access)
{
	static const struct {
		const char *bytes;
		bool one;
	} insns[] = {
		{ "\x8b\x03", true }, { "\x01\x03", true }, { "\xa1", true },
		{ "\x0f\xb6\x03", true }, { "\xff\x03", true },
		{ "\xff\x33", false },				/* push [rbx] */
		{ "\x8f\x03", false }, { "\xff\x13", false },	/* pop, call */
		{ "\xff\x1b", false }, { "\x8e\x1b", false },	/* far call, mov ds */
		{ "\xa4", false }, { "\xa6", false }, { "\x50", false },
		{ "\x0f\xb4\x03", false },			/* lfs */
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(insns); i++) {
		guest_init(UMBRA_EMUL_LONG64);
		guest.regs[RBX] = DATA;
		guest_run(insns[i].bytes, strlen(insns[i].bytes));
		EXPECT_EQ(insns[i].one, umbra_one_access(&guest.e)) {
			TH_LOG("instruction %u", i);
		}
	}
}

/* System instructions. */
TEST(control_registers)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RAX] = 0x12345000;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x22\xd8"));		/* mov cr3, rax */
	EXPECT_EQ(0x12345000, guest.cr[3]);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x44\x0f\x22\xc0"));	/* mov cr8, rax */
	EXPECT_EQ(0x12345000, guest.cr[8]);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x20\xd9"));		/* mov rcx, cr3 */
	EXPECT_EQ(0x12345000, guest.regs[RCX]);
	EXPECT_FAULT(RUN("\x0f\x22\xc8"), UD, 0);		/* no CR1 */
	guest.regs[RAX] = 1ULL << 40;
	EXPECT_FAULT(RUN("\x0f\x22\xc0"), GP, 0);		/* the callback's word */
	guest.e.cpl = 3;
	EXPECT_FAULT(RUN("\x0f\x20\xd9"), GP, 0);
}

TEST(cr8_by_lock_on_amd)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest.cr[8] = 7;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xf0\x0f\x20\xc0"));	/* lock mov eax, cr0 */
	EXPECT_EQ(7, guest.regs[RAX]);
	guest.e.intel = true;
	EXPECT_FAULT(RUN("\xf0\x0f\x20\xc0"), UD, 0);
}

TEST(debug_registers)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RBX] = 0x401;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x23\xfb"));		/* mov dr7, rbx */
	EXPECT_EQ(0x401, guest.dr[7]);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x21\xf9"));		/* mov rcx, dr7 */
	EXPECT_EQ(0x401, guest.regs[RCX]);
	EXPECT_FAULT(RUN("\x44\x0f\x23\xc0"), UD, 0);		/* no DR8 */
}

TEST(machine_status_word)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest.cr[0] = 0x80000011 | 8;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x06"));		/* clts */
	EXPECT_EQ(0x80000011, guest.cr[0]);
	guest.regs[RAX] = 0xfffe;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x01\xf0"));		/* lmsw ax */
	EXPECT_EQ(0x8000001f, guest.cr[0]);			/* PE stays set */
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x01\xe1"));		/* smsw ecx */
	EXPECT_EQ(0x8000001f, guest.regs[RCX]);
}

TEST(descriptor_tables)
{
	guest_init(UMBRA_EMUL_PROT16);
	guest_store(DATA, 0x1234, 2);
	guest_store(DATA + 2, 0xaabbccdd, 4);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x01\x16\x00\x40"));	/* lgdt [4000] */
	EXPECT_EQ(0x1234, guest.gdt.limit);
	EXPECT_EQ(0xbbccdd, guest.gdt.base);			/* 24 bits */
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x66\x0f\x01\x1e\x00\x40"));
	EXPECT_EQ(0xaabbccdd, guest.idt.base);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x01\x0e\x00\x50"));	/* sidt [5000] */
	EXPECT_EQ(0x1234, guest_load(0x5000, 2));
	EXPECT_EQ(0xaabbccdd, guest_load(0x5002, 8));
	guest_init(UMBRA_EMUL_LONG64);
	guest_store(DATA, 0x7f, 2);
	guest_store(DATA + 2, 1ULL << 50, 8);
	guest.regs[RBX] = DATA;
	EXPECT_FAULT(RUN("\x0f\x01\x13"), GP, 0);		/* base not canonical */
	EXPECT_EQ(GDT, guest.gdt.base);
}

TEST(user_mode_information_prevention)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RBX] = DATA;
	guest.e.cpl = 3;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x01\x03"));		/* sgdt */
	guest.cr[4] |= 1 << 11;
	EXPECT_FAULT(RUN("\x0f\x01\x03"), GP, 0);
	EXPECT_FAULT(RUN("\x0f\x00\xc8"), GP, 0);		/* str */
}

TEST(cpuid_msr_tsc)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RAX] = 0xffffffff00000001;
	guest.regs[RCX] = 7;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\xa2"));
	EXPECT_EQ(1, guest.regs[RAX]);
	EXPECT_EQ(2, guest.regs[RBX]);
	EXPECT_EQ(8, guest.regs[RDX]);
	guest.regs[RAX] = 0x11111111;
	guest.regs[RDX] = 0x22222222;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x30"));		/* wrmsr */
	EXPECT_EQ(7, guest.msr_index);
	EXPECT_EQ(0x2222222211111111, guest.msr_val);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x31"));		/* rdtsc */
	EXPECT_EQ(0x10, guest.msr_index);
	EXPECT_EQ(0x22222222, guest.regs[RDX]);
	guest.e.cpl = 3;
	guest.cr[4] |= 4;
	EXPECT_FAULT(RUN("\x0f\x31"), GP, 0);			/* CR4.TSD */
	EXPECT_FAULT(RUN("\x0f\x32"), GP, 0);			/* rdmsr at CPL 3 */
}

TEST(xsetbv)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RAX] = 7;
	guest.regs[RDX] = 1;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x01\xd1"));
	EXPECT_EQ(0x100000007, guest.xcr0);
	guest.e.cpl = 3;
	EXPECT_FAULT(RUN("\x0f\x01\xd1"), GP, 0);
}

TEST(halt_and_invlpg)
{
	guest_init(UMBRA_EMUL_LONG64);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xf4"));
	EXPECT_EQ(1, guest.halts);
	guest.regs[RBX] = 0xffff800000001234;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x01\x3b"));
	EXPECT_EQ(0xffff800000001234, guest.invlpg);
}

TEST(sti_shadows_once)
{
	guest_init(UMBRA_EMUL_PROT32);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xfb"));
	EXPECT_EQ(0x202, guest.e.rflags);
	EXPECT_TRUE(guest.e.int_shadow);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xfb"));
	EXPECT_FALSE(guest.e.int_shadow);
	guest.e.cpl = 3;
	EXPECT_FAULT(RUN("\xfa"), GP, 0);
}

TEST(vector_state_disabled)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RBX] = DATA;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x0f\x10\x03"));		/* movups xmm0, [rbx] */
	guest.cr[0] |= 8;
	EXPECT_FAULT(RUN("\x0f\x10\x03"), NM, 0);
	guest.cr[0] |= 4;
	EXPECT_FAULT(RUN("\x0f\x10\x03"), UD, 0);
	guest.cr[4] &= ~(1 << 18);
	EXPECT_FAULT(RUN("\xc5\xf8\x10\x03"), UD, 0);		/* vmovups */
}

/* Ports. */
TEST(port_in_restarts)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest.regs[RAX] = 0x11223344;
	guest.regs[RDX] = 0x3f8;
	EXPECT_EQ(UMBRA_EMUL_IO_NEEDED, RUN("\x66\xed"));	/* in ax, dx */
	EXPECT_EQ(0x3f8, guest.wanted);
	EXPECT_EQ(CODE, guest.e.rip);
	EXPECT_EQ(0x11223344, guest.regs[RAX]);
	guest.answered[0] = 0xbeef;
	guest.answers = 1;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x66\xed"));
	EXPECT_EQ(0x1122beef, guest.regs[RAX]);
}

TEST(port_permission)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest.e.cpl = 3;
	guest.seg[UMBRA_SEG_TR].type = 11;
	guest.seg[UMBRA_SEG_TR].base = DATA;
	guest.seg[UMBRA_SEG_TR].limit = 0x100;
	guest_store(DATA + 102, 104, 2);
	memset(guest.mem + DATA + 104, 0xff, 0x40);
	guest_store(DATA + 104 + 0x60 / 8, 0xfe, 1);		/* port 60 only */
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xe6\x60"));
	EXPECT_FAULT(RUN("\xe6\x61"), GP, 0);
	EXPECT_FAULT(RUN("\x66\xe7\x60"), GP, 0);		/* two ports */
	guest.regs[RDX] = 0xffff;
	EXPECT_FAULT(RUN("\xee"), GP, 0);			/* beyond the TSS */
	guest.e.rflags |= 3 << 12;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xe6\x61"));
	EXPECT_EQ(2, guest.outs);
}

TEST(port_items_have_32_bits_at_most)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RAX] = 0x1122334455667788;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x48\xe7\x60"));	/* out with REX.W */
	EXPECT_EQ(0x55667788, guest.out_val[0]);
	EXPECT_EQ(1, guest.out_ahead);
	guest.answers = 1;
	guest.answered[0] = 0x99aabbccddeeff00;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x48\xe5\x60"));
	EXPECT_EQ(0xddeeff00, guest.regs[RAX]);
}

TEST(string_out)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest.regs[RDX] = 0xe9;
	guest.regs[RSI] = 0x4ff0;
	guest.regs[RCX] = 20;
	guest.out_room = 3;
	guest_store(0x4ff0, 0x64636261, 4);
	EXPECT_EQ(UMBRA_EMUL_IO_NEEDED, RUN("\xf3\x6e"));	/* room for three only */
	EXPECT_EQ(3, guest.outs);
	EXPECT_EQ('c', guest.out_val[2]);
	EXPECT_EQ(14, guest.out_ahead);				/* to the end of the page */
	EXPECT_EQ(17, guest.regs[RCX]);
	EXPECT_EQ(0x4ff3, guest.regs[RSI]);
	EXPECT_EQ(CODE, guest.e.rip);
	EXPECT_EQ(3, guest.iterations);
}

TEST(string_in)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest.regs[RDX] = 0x1f0;
	guest.regs[RDI] = DATA;
	guest.regs[RCX] = 3;
	EXPECT_EQ(UMBRA_EMUL_IO_NEEDED, RUN("\xf3\x66\x6d"));	/* rep insw */
	EXPECT_EQ(3, guest.wanted_ahead);
	guest.answered[0] = 0x1111;
	guest.answered[1] = 0x2222;
	guest.answers = 2;
	EXPECT_EQ(UMBRA_EMUL_IO_NEEDED, RUN("\xf3\x66\x6d"));
	EXPECT_EQ(1, guest.regs[RCX]);
	EXPECT_EQ(1, guest.wanted_ahead);
	EXPECT_EQ(0x22221111, guest_load(DATA, 4));
	guest.answered[0] = 0x3333;
	guest.answers = 1;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xf3\x66\x6d"));
	EXPECT_EQ(0x3333, guest_load(DATA + 4, 2));
	EXPECT_EQ(CODE + 3, guest.e.rip);
}

TEST(string_in_faults_before_the_device_is_read)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest.regs[RDI] = HOLE;
	guest.regs[RCX] = 1;
	guest.answers = 1;
	EXPECT_FAULT(RUN("\xf3\x6c"), PF, 2);
	EXPECT_EQ(0, guest.asked);
}

/* MMIO. */
TEST(mmio_read_restarts)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RBX] = MMIO;
	guest.regs[RAX] = 5;
	EXPECT_EQ(UMBRA_EMUL_IO_NEEDED, RUN("\x03\x43\x10"));	/* add eax, [rbx+10] */
	EXPECT_EQ(MMIO + 0x10, guest.wanted);
	EXPECT_EQ(5, guest.regs[RAX]);
	EXPECT_EQ(2, guest.e.rflags);
	guest.answered[0] = 0xfffffffb;
	guest.answers = 1;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x03\x43\x10"));
	EXPECT_EQ(0, guest.regs[RAX]);
	EXPECT_EQ(0x57, guest.e.rflags);			/* ZF, PF, AF, CF */
}

/* What was decoded may be executed again. */
TEST(restart_without_decoding)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest.regs[RBX] = MMIO;
	guest.regs[RCX] = 33;
	EXPECT_EQ(UMBRA_EMUL_IO_NEEDED, RUN("\x0f\xab\x0b"));	/* bts [ebx], ecx */
	EXPECT_EQ(MMIO + 4, guest.wanted);
	guest.answered[0] = 0x10;
	guest.answers = 1;
	EXPECT_EQ(UMBRA_EMUL_OK, umbra_emulate(&guest.e));
	EXPECT_EQ(MMIO + 4, guest.out_addr[0]);
	EXPECT_EQ(0x12, guest.out_val[0]);
	EXPECT_EQ(CODE + 3, guest.e.rip);

	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RDI] = DATA;
	guest.regs[RCX] = 2;
	EXPECT_EQ(UMBRA_EMUL_IO_NEEDED, RUN("\xf3\x48\x6d"));	/* rep ins, 32 bits */
	guest.answered[0] = 0x11111111;
	guest.answered[1] = 0x22222222;
	guest.answers = 2;
	EXPECT_EQ(UMBRA_EMUL_OK, umbra_emulate(&guest.e));
	EXPECT_EQ(0x2222222211111111, guest_load(DATA, 8));
	EXPECT_EQ(DATA + 8, guest.regs[RDI]);
}

TEST(mmio_read_modify_write)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RBX] = MMIO;
	EXPECT_EQ(UMBRA_EMUL_IO_NEEDED, RUN("\xfe\x03"));	/* inc byte [rbx] */
	EXPECT_EQ(0, guest.outs);
	guest.answered[0] = 0x7f;
	guest.answers = 1;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xfe\x03"));
	EXPECT_EQ(1, guest.outs);
	EXPECT_EQ(0x80, guest.out_val[0]);
}

TEST(mmio_string_commits_each_iteration)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RSI] = MMIO;
	guest.regs[RDI] = DATA;
	guest.regs[RCX] = 2;
	guest.answered[0] = 0x1111;
	guest.answers = 1;
	EXPECT_EQ(UMBRA_EMUL_IO_NEEDED, RUN("\xf3\xa5"));	/* rep movsd */
	EXPECT_EQ(MMIO + 4, guest.wanted);
	EXPECT_EQ(1, guest.regs[RCX]);
	EXPECT_EQ(1, guest.iterations);
	guest.answered[0] = 0x2222;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xf3\xa5"));
	EXPECT_EQ(0x222200001111, guest_load(DATA, 8));
	EXPECT_EQ(0, guest.regs[RCX]);
}

TEST(string_is_bounded)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RDI] = 0x10000;
	guest.regs[RCX] = UMBRA_EMUL_REP_MAX + 5;
	guest.regs[RAX] = 0xcc;
	EXPECT_EQ(UMBRA_EMUL_REPEAT, RUN("\xf3\xaa"));
	EXPECT_EQ(5, guest.regs[RCX]);
	EXPECT_EQ(CODE, guest.e.rip);
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xf3\xaa"));
	EXPECT_EQ(CODE + 2, guest.e.rip);
	EXPECT_EQ(0xcc, guest.mem[0x10000 + UMBRA_EMUL_REP_MAX + 4]);
	EXPECT_EQ(0, guest.mem[0x10000 + UMBRA_EMUL_REP_MAX + 5]);
}

TEST(locked_access_lost)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.regs[RBX] = DATA;
	guest.lose_race = true;
	EXPECT_EQ(UMBRA_EMUL_RETRY, RUN("\xf0\xff\x03"));	/* lock inc dword [rbx] */
	EXPECT_EQ(CODE, guest.e.rip);
	EXPECT_EQ(2, guest.e.rflags);
	EXPECT_EQ(UMBRA_EMUL_RETRY, RUN("\x87\x03"));		/* xchg is always locked */
	EXPECT_EQ(UMBRA_EMUL_RETRY, RUN("\xf0\x0f\xab\x03"));	/* lock bts [rbx], eax */
	EXPECT_EQ(UMBRA_EMUL_RETRY, RUN("\xf0\x48\x0f\xc7\x0b"));	/* cmpxchg16b */
	guest.lose_race = false;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xf0\xff\x03"));
	EXPECT_EQ(1, guest_load(DATA, 4));
}

/* Traps. */
TEST(single_step)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.e.rflags = 0x10102;				/* RF, TF */
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x90"));
	EXPECT_TRUE(guest.e.trap);
	EXPECT_EQ(0x102, guest.e.rflags);
	guest.regs[RDI] = DATA;
	guest.regs[RCX] = 3;
	EXPECT_EQ(UMBRA_EMUL_REPEAT, RUN("\xf3\xaa"));
	EXPECT_TRUE(guest.e.trap);
	EXPECT_EQ(2, guest.regs[RCX]);
	guest.regs[RBX] = HOLE;
	EXPECT_FAULT(RUN("\x8b\x03"), PF, 0);
	EXPECT_FALSE(guest.e.trap);
}

static u64 next_random(u64 *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 20;
}

/* Random bytes in random states: whatever is not done leaves nothing behind. */
TEST(unfinished_changes_nothing)
{
	static const u64 values[] = {
		DATA, STACK, HOLE - 3, HOLE, MMIO, MMIO + 0xffe, 0, 1, 0xffff, 8, 1ULL << 50, -1ULL,
	};
	u64 state = 1, regs[16], rflags;
	unsigned int i, k, results[8] = {};

	for (i = 0; i < 200000; i++) {
		unsigned int given = next_random(&state) % 4;
		u8 bytes[15];
		int ret;

		if (i % 1000 == 0)
			guest_init(i / 1000 % 5);
		for (k = 0; k < 15; k++)
			bytes[k] = next_random(&state);
		if (given)
			bytes[0] = 0x0f;
		for (k = 0; k < 16; k++)
			guest.regs[k] = values[next_random(&state) % ARRAY_SIZE(values)];
		guest.e.rip = CODE;
		guest.e.cpl = guest.e.mode == UMBRA_EMUL_VM86 ? 3 : next_random(&state) % 4 & 3;
		guest.e.rflags = 2 | (next_random(&state) & 0x37dd5);
		guest.seg[UMBRA_SEG_CS].base = 0;
		guest.answers = next_random(&state) % 3;
		guest.outs = 0;
		memcpy(regs, guest.regs, sizeof(regs));
		rflags = guest.e.rflags;
		ret = guest_run((const char *)bytes, 15);
		ASSERT_LE(0, ret);
		ASSERT_GE(UMBRA_EMUL_UNHANDLEABLE, ret);
		results[ret & 7]++;
		if (ret == UMBRA_EMUL_OK)
			continue;
		ASSERT_EQ(CODE, guest.e.rip);
		ASSERT_EQ(rflags, guest.e.rflags);
		if (!guest.e.rep)
			ASSERT_EQ(0, memcmp(regs, guest.regs, sizeof(regs)));
	}
	/* All kinds of ends were seen, but the race that only a test hook loses. */
	for (k = 0; k <= UMBRA_EMUL_UNHANDLEABLE; k++)
		EXPECT_NE(k != UMBRA_EMUL_RETRY, !results[k]);
}

/* Decoding. */
TEST(too_long)
{
	guest_init(UMBRA_EMUL_LONG64);
	EXPECT_EQ(UMBRA_EMUL_OK,
		  RUN("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90"));
	EXPECT_EQ(15, guest.e.len);
	EXPECT_FAULT(RUN("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90"),
		     GP, 0);
}

TEST(illegal_lock)
{
	guest_init(UMBRA_EMUL_LONG64);
	EXPECT_FAULT(RUN("\xf0\x8b\x03"), UD, 0);		/* mov */
	EXPECT_FAULT(RUN("\xf0\x39\x03"), UD, 0);		/* cmp */
	EXPECT_FAULT(RUN("\xf0\x01\xc3"), UD, 0);		/* add to a register */
	EXPECT_FAULT(RUN("\xf0\x03\x03"), UD, 0);		/* add from memory */
	EXPECT_FAULT(RUN("\xf0\x90"), UD, 0);
}

TEST(small_near_branch_in_64_bit_mode)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.e.rip = 0x21000;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x66\xe9\x10\x00\x00\x00"));
	EXPECT_EQ(4, guest.e.len);
	EXPECT_EQ(0x1014, guest.e.rip);				/* 16 bits on AMD */
	guest.e.intel = true;
	guest.e.rip = 0x21000;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x66\xe9\x10\x00\x00\x00"));
	EXPECT_EQ(6, guest.e.len);
	EXPECT_EQ(0x21016, guest.e.rip);
}

TEST(illegal_in_64_bit_mode)
{
	static const char *const bytes[] = {
		"\x06", "\x27", "\x37", "\x60", "\x82\xc0\x01", "\x9a", "\xce", "\xd4\x0a", "\xea",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		guest_init(UMBRA_EMUL_LONG64);
		EXPECT_FAULT(guest_run(bytes[i], strlen(bytes[i])), UD, 0);
	}
}

TEST(fetch_across_pages)
{
	guest_init(UMBRA_EMUL_LONG64);
	guest.e.rip = HOLE - 2;
	guest_store(HOLE - 2, 0x0005, 2);			/* add eax, imm32 cut off */
	EXPECT_FAULT(RUN("\x05\x00"), PF, 16);
	EXPECT_EQ(HOLE, guest.e.fault.address);
	guest.e.rip = HOLE - 1;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\x90"));			/* needs no second page */
}

TEST(fetch_beyond_cs_limit)
{
	guest_init(UMBRA_EMUL_PROT32);
	guest.seg[UMBRA_SEG_CS].limit = CODE + 1;
	EXPECT_EQ(UMBRA_EMUL_OK, RUN("\xb0\x01"));
	guest.e.rip = CODE;
	EXPECT_FAULT(RUN("\x05\x00\x00\x00\x00"), GP, 0);
}

TEST(unhandleable_has_length)
{
	guest_init(UMBRA_EMUL_LONG64);
	EXPECT_EQ(UMBRA_EMUL_UNHANDLEABLE, RUN("\x0f\x58\xc1"));	/* addps */
	EXPECT_EQ(3, guest.e.len);
	EXPECT_EQ(CODE, guest.e.rip);
}

/* Lengths of what is intercepted, for processors that do not save the next RIP. */
TEST(lengths)
{
	static const struct {
		const char *bytes;
		unsigned int len;
	} insns[] = {
		{ "\x0f\xa2\xcc", 2 },			/* cpuid */
		{ "\x48\x0f\xa2\xcc", 3 },
		{ "\x0f\x30\xcc", 2 }, { "\x0f\x32\xcc", 2 }, { "\x0f\x31\xcc", 2 },
		{ "\x0f\x33\xcc", 2 }, { "\xf4\xcc", 1 }, { "\xf3\x90\xcc", 2 },
		{ "\x0f\x01\xf9\xcc", 3 },		/* rdtscp */
		{ "\x0f\x01\xd9\xcc", 3 }, { "\x0f\x01\xc1\xcc", 3 },	/* vmmcall, vmcall */
		{ "\x0f\x01\xd1\xcc", 3 }, { "\x0f\x01\xd0\xcc", 3 },	/* xsetbv, xgetbv */
		{ "\x0f\x01\xc8\xcc", 3 }, { "\x0f\x01\xc9\xcc", 3 },	/* monitor, mwait */
		{ "\x0f\x01\xd8\xcc", 3 }, { "\x0f\x01\xdf\xcc", 3 },	/* vmrun, invlpga */
		{ "\x0f\x01\x38\xcc", 3 },		/* invlpg [rax] */
		{ "\x65\x0f\x01\x7c\x24\x08\xcc", 6 },
		{ "\x0f\x20\xc0\xcc", 3 }, { "\x44\x0f\x22\xc0\xcc", 4 },
		{ "\x0f\x23\xf8\xcc", 3 }, { "\x0f\x08\xcc", 2 }, { "\x0f\x09\xcc", 2 },
		{ "\xf3\x0f\x09\xcc", 3 }, { "\xe4\x60\xcc", 2 }, { "\x66\xed\xcc", 2 },
		{ "\xf3\x6c\xcc", 2 }, { "\xcd\x80\xcc", 2 }, { "\x0f\x06\xcc", 2 },
		{ "\x0f\xaa\xcc", 2 }, { "\x0f\x00\xd8\xcc", 3 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(insns); i++) {
		const u8 *b = (const u8 *)insns[i].bytes;

		EXPECT_EQ(insns[i].len, umbra_insn_length(b, insns[i].len + 1,
							  UMBRA_EMUL_LONG64)) {
			TH_LOG("instruction %u", i);
		}
		EXPECT_EQ(0, umbra_insn_length(b, insns[i].len - 1, UMBRA_EMUL_LONG64));
	}
	EXPECT_EQ(4, umbra_insn_length((const u8 *)"\x0f\x01\x7c\x24", 4, UMBRA_EMUL_REAL));
}

TEST_HARNESS_MAIN
