/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Scripts: what the files of unsync_test share.
 *
 * A machine is a VM with a region of small pages in one paging format, whose tables
 * the guest can write to. A script is a list of steps, each one instruction, that a
 * vCPU goes through (guest.S) and notes in each what came of it. Who makes a script
 * knows what should come of it: the outcomes that a CPU may show (model.c).
 */
#ifndef _UMBRA_TEST_SCRIPT_H
#define _UMBRA_TEST_SCRIPT_H

/* Offsets, for guest.S: of a step, ... */
#define STEP_CODE 0
#define STEP_AT 8
#define STEP_VALUE 16
#define STEP_SEEN 24
#define STEP_ERROR 28
#define STEP_CR2 32
#define STEP_SIZE 40
/* ... and of what a vCPU has. */
#define SIDE_STACK 0
#define SIDE_STEPS 8
#define SIDE_TSS 16
#define SIDE_UCALL 24

/* What a step does. The first six end with a value, or with #PF. */
#define DO_READ 0		/* 4 bytes at the address, in ring 0 */
#define DO_WRITE 1
#define DO_FETCH 2		/* a call; what it returns is the value */
#define DO_USER 3		/* added to these: in ring 3 */
#define DO_STORE4 6		/* without a look at what comes of it */
#define DO_STORE8 7
#define DO_INVLPG 8
#define DO_CR3 9
#define DO_CR4 10
#define DO_CR0 11
#define DO_PG 12		/* CR0.PG off and on again */
#define DO_WAIT 13		/* until 4 bytes at the address are the value */
#define DO_END 14

#define SCRIPT_KCODE 0x08
#define SCRIPT_KDATA 0x10
#define SCRIPT_UCODE 0x1b
#define SCRIPT_UDATA 0x23
#define SCRIPT_KCODE32 0x28
#define SCRIPT_TSS 0x30		/* 16 bytes for each vCPU */

#define SCRIPT_GATE 0x80	/* the end of an access */
#define SCRIPT_PORT 0x5c	/* UCALL_PORT */

#ifndef __ASSEMBLER__

#include "tables.h"

#define SIDES 2
#define REGION_PAGES 2048
#define TARGETS 64
/* Of a target page: its number, code that returns it, and words to write to. */
#define TARGET_CODE 0x40
#define TARGET_SLOTS 0x100
#define SLOTS 8

struct step {
	u64 code, at, value;
	u32 seen, error;
	u64 cr2;
};

#define NO_ERROR (~0U)

/* --- the machine (machine.c) --- */

struct format {
	const char *name;
	int levels;
	bool wide;		/* entries of 8 bytes, else of 4 */
	u64 region;
};

enum format_id { FORMAT_32, FORMAT_PAE, FORMAT_4, FORMAT_5 };

extern const struct format formats[];

struct machine {
	const struct format *f;
	struct vm *vm;
	struct vcpu *vcpu[SIDES];
	struct step *steps[SIDES];
	u64 next_table;
	u64 root[2];		/* two address spaces with the same tables of the region */
	u8 *tables;		/* of the region, of both hands */
	size_t tables_size;
	int tables_slot;
	u64 window;		/* the tables once more, by small pages */
	u8 *targets;
};

#define SCRIPT_STEPS 65536

/**
 * machine_init() - a machine, with nothing in the region
 *
 * Tables and targets are shared memory: they keep their bytes when the host drops
 * them.
 */
void machine_init(struct machine *m, enum format_id id);

/* Whether the CPU has the format. */
bool machine_can(enum format_id id);

/* Address of a page of the region, and of its entry; @window: by small pages. */
u64 machine_gva(struct machine *m, int page);
u64 machine_entry(struct machine *m, int page, bool window);

/* The entry of the last directory for the table of @page, in address space @space. */
u64 machine_pde(struct machine *m, int space, int page);

/* The entry as it is now. */
u64 machine_pte(struct machine *m, int page);

/* CR4 as it is at the start; the region's global pages count. */
u64 machine_cr4(struct machine *m);

#define SCRIPT_CR0 0x80010031UL		/* PG, WP, NE, ET, PE */
#define SCRIPT_CR0_WP BIT(16)

/**
 * machine_start() - let the vCPU's next run go through its steps
 * @side: which vCPU
 * @space: the address space that it begins in
 */
void machine_start(struct machine *m, int side, int space);

/* --- the model (model.c) --- */

#define MAX_OLD 4
#define MAX_OUTCOMES 6

/* What a CPU may know of a page of the region. */
struct known {
	u64 now;		/* the entry, as it was written */
	u64 old[MAX_OLD];	/* entries before it that may still be cached */
	int nr_old;
	u64 must, may;		/* A and D, set since then */
};

/* A step's result: a value, or OUTCOME_FAULT and the error code. */
#define OUTCOME_FAULT BIT(32)

struct want {
	u64 outcome[MAX_OUTCOMES];
	int nr;			/* 0: the step has no result */
};

/**
 * struct side - a vCPU's script while it is made, and what it will have done
 * @first: the first page that it uses, and
 * @stride: how far it is to the next one
 * @pages: how many it uses
 * @lie: how many changes are left out of the script
 */
struct side {
	struct machine *m;
	int nr, first, stride, pages;
	u64 seed, cr0, cr4;
	int space;
	struct known known[REGION_PAGES];
	struct want want[SCRIPT_STEPS];
	struct step *steps;
	u32 slots[TARGETS][SLOTS];
	u32 counter;
	int n;
	int lie;
};

enum flush { FLUSH_INVLPG, FLUSH_CR3, FLUSH_SPACE, FLUSH_PGE, FLUSH_PG, FLUSHES };

struct side *side_new(struct machine *m, int nr, int first, int stride);

/* A new script; what is known of the region stays. */
void script_begin(struct side *s);
void script_end(struct side *s);

/* A step whose result nobody looks at. */
void script_step(struct side *s, u64 code, u64 at, u64 value);

/* Let the entry of @page be @pte. */
void script_change(struct side *s, int page, u64 pte);

/* Any entry; it has often to do with the one before. */
u64 script_any_pte(struct side *s, int page);

/* Any access to @page whose outcome can be told; and one that does not write. */
void script_any_access(struct side *s, int page);
void script_look_up(struct side *s, int page);

/* Compare the entry with its A and D. */
void script_entry(struct side *s, int page);

/* Drop what is cached; FLUSH_INVLPG is for @n pages of the side from @page on. */
void script_flush(struct side *s, enum flush how, int page, int n);

/* CR0.WP, the other way. */
void script_toggle_wp(struct side *s);

/* Which entry leads to target @i. */
u64 target_pte(struct machine *m, int i, u64 flags);

/**
 * side_wrong() - how many results of the script are none that a CPU may show
 * @quiet: do not print them
 */
u64 side_wrong(struct side *s, bool quiet);

/* How many words of the targets are not what the side has written. */
u64 side_wrong_memory(struct side *s);

static inline int side_page(const struct side *s, int i)
{
	return (s->first + i * s->stride) % REGION_PAGES;
}

#endif
#endif
