// SPDX-License-Identifier: GPL-2.0-only
/*
 * The modes that a process can be in, and their segments.
 *
 * Beside the flat ones there are two with segments of the process's own (LDT): DS
 * ends after the memory window's second page, ES grows down to its second page,
 * so that accesses end at a limit as often as at a page, and GS is read-only. FS is
 * null outside of 64-bit mode, and where it is flat GS is, too. 16-bit code has a CS of
 * three pages, the last one not mapped. SS is always flat: a 16-bit stack would lose
 * the upper half of ESP on each return from the kernel.
 */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <asm/ldt.h>

#include "machine.h"

#define LDT_SELECTOR(n)	((n) << 3 | 7)
#define USER_CS32	0x23
#define USER_CS64	0x33
#define USER_DS		0x2b

struct mode modes[MODES] = {
	{ "64-bit mode", UMBRA_EMUL_LONG64, 8, {} },
	{ "32-bit mode", UMBRA_EMUL_PROT32, 4, {} },
	{ "32-bit mode with segments", UMBRA_EMUL_PROT32, 4, {} },
	{ "16-bit mode with segments", UMBRA_EMUL_PROT16, 4, {} },
};

static void flat(struct mode *mode, unsigned int cs)
{
	unsigned int i;

	for (i = UMBRA_SEG_ES; i <= UMBRA_SEG_TR; i++) {
		struct kvm_segment *s = &mode->seg[i];

		s->selector = USER_DS;
		s->limit = 0xffffffff;
		s->type = 3;
		s->present = 1;
		s->s = 1;
		s->dpl = 3;
		s->db = 1;
		s->g = 1;
	}
	mode->seg[UMBRA_SEG_CS].selector = cs;
	mode->seg[UMBRA_SEG_CS].type = 11;
	mode->seg[UMBRA_SEG_CS].l = cs == USER_CS64;
	for (i = UMBRA_SEG_FS; i <= UMBRA_SEG_GS; i++) {
		mode->seg[i].selector = 0;
		mode->seg[i].unusable = 1;
	}
	mode->seg[UMBRA_SEG_TR].limit = 102;	/* no I/O permission bitmap */
}

/* LDT entry @n for the segment @s of a mode; 16-bit, limit in bytes. */
static int own_segment(struct kvm_segment *s, unsigned int n, u32 base, u32 limit, u8 type)
{
	struct user_desc desc = {
		.entry_number = n,
		.base_addr = base,
		.limit = limit,
		.contents = type >> 2,
		.read_exec_only = !(type & 2),
	};

	s->selector = LDT_SELECTOR(n);
	s->base = base;
	s->limit = limit;
	s->type = type;
	s->unusable = 0;
	s->db = 0;
	s->g = 0;
	return syscall(SYS_modify_ldt, 1, &desc, sizeof(desc));
}

/**
 * modes_init() - fill in the modes and set up their segments
 *
 * Return: how many modes there are; those with own segments are last, and missing
 * where the kernel has no modify_ldt().
 */
unsigned int modes_init(void)
{
	unsigned int i;

	flat(&modes[0], USER_CS64);
	modes[0].seg[UMBRA_SEG_FS].base = FS_BASE;
	modes[0].seg[UMBRA_SEG_GS].base = GS_BASE;
	for (i = 1; i < MODES; i++)
		flat(&modes[i], USER_CS32);
	for (i = 2; i < MODES; i++) {
		struct kvm_segment *seg = modes[i].seg;

		if (own_segment(&seg[UMBRA_SEG_DS], 1, DATA_BASE - PAGE, 3 * PAGE - 1, 3) ||
		    own_segment(&seg[UMBRA_SEG_ES], 2, DATA_BASE, PAGE - 1, 7) ||
		    own_segment(&seg[UMBRA_SEG_GS], 3, DATA_BASE, DATA_SIZE - 1, 1))
			return 2;
	}
	if (own_segment(&modes[3].seg[UMBRA_SEG_CS], 0, CODE_BASE,
			CODE_SIZE + PAGE - 1, 11))
		return 3;
	return MODES;
}
