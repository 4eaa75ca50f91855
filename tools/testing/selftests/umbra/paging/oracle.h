/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest paging, one access at a time: what the files of paging_test share.
 *
 * A machine is a vCPU in one paging format, with page tables of its own. It is
 * given records, each with the entries of the walk to one address, the control
 * registers and the access; guest code goes through them (guest.S) and notes in
 * each what came of it. The model (model.c) says what should have come of it.
 */
#ifndef _UMBRA_TEST_ORACLE_H
#define _UMBRA_TEST_ORACLE_H

/* Guest physical addresses; guest virtual ones are the same. 4 MiB from ORACLE. */
#define ORACLE 0xc00000
#define ORACLE_CODE ORACLE
#define ORACLE_USER_CODE (ORACLE + 0x1000)	/* ORACLE_CODE, for the user */
#define ORACLE_USER_STACK (ORACLE + 0x3000)	/* its end */
#define ORACLE_STACK (ORACLE + 0x4000)		/* its end */
#define ORACLE_GDT (ORACLE + 0x4000)
#define ORACLE_TSS (ORACLE + 0x5000)
#define ORACLE_IDT (ORACLE + 0x6000)
#define ORACLE_RECORDS (ORACLE + 0x8000)
#define ORACLE_TABLES (ORACLE + 0x20000)
#define ORACLE_SIZE 0x400000

/* Offsets in a record, for guest.S. */
#define REC_CR0 0
#define REC_CR3 8
#define REC_CR4 16
#define REC_EFER 24
#define REC_RELOAD 32
#define REC_ADDRESS 40
#define REC_VALUE 48
#define REC_FRAME 56
#define REC_LEVELS 96
#define REC_PKRU 100
#define REC_WHERE 104
#define REC_ENTRY 144
#define REC_VECTOR 184
#define REC_ERROR 192
#define REC_CR2 200
#define REC_AFTER 208
#define REC_LAST 248
#define REC_SIZE 256

#define ORACLE_SEL_TSS 0x28

#define ORACLE_PORT 0x43	/* 0: all records are done; 1: unforeseen exception */
#define ORACLE_GATE 0x80	/* the end of an access */
#define ORACLE_CR4_PKE (1 << 22)

#ifndef __ASSEMBLER__

#include "vm.h"

#define ORACLE_BATCH 64
#define MAX_LEVELS 5

struct record {
	u64 cr0, cr3, cr4, efer;
	u64 reload;		/* CR3, instead of INVLPG */
	u64 address;
	u64 value;		/* to write; then what was read or returned */
	u64 frame[5];		/* SS, SP, flags, CS, IP as IRET takes them */
	u32 levels, pkru;
	u64 where[MAX_LEVELS];	/* of the entries; level 1 is the first */
	u64 entry[MAX_LEVELS];
	u64 vector, error, cr2;
	u64 after[MAX_LEVELS];
	u64 last;
};

enum access { READ, WRITE, FETCH };

enum format_id { FORMAT_32, FORMAT_PAE, FORMAT_4, FORMAT_5 };

struct format {
	enum format_id id;
	const char *name;
	int levels;
	bool wide;		/* entries of 8 bytes, else of 4 */
	int top_leaf;		/* the highest level that may have PS */
	u64 address;		/* that all cases use */
};

extern const struct format formats[];

static inline int level_shift(const struct format *f, int level)
{
	return 12 + (f->wide ? 9 : 10) * (level - 1);
}

/* What decides beside the entries; as bits, so that they can be counted through. */
#define ENV_WP BIT(0)
#define ENV_SMEP BIT(1)
#define ENV_SMAP BIT(2)
#define ENV_AC BIT(3)
#define ENV_NXE BIT(4)
#define ENV_USER BIT(5)
#define ENV_PSE BIT(6)
#define ENV_PKE BIT(7)
#define ENV_ALL 255
#define ENV_PGE BIT(8)		/* it decides nothing at once, and is not counted through */

struct test_case {
	const struct format *f;
	u64 entry[MAX_LEVELS];	/* level 1 is the first */
	u64 env;
	u32 pkru;		/* with ENV_PKE */
	enum access access;
	u64 address;
	bool reload;
};

/* --- the model (model.c) --- */

/* Rules that a deliberately wrong model has not got, or has wrong. */
enum model_lie {
	MODEL_TRUE,
	MODEL_NO_WP,
	MODEL_NO_SMEP,
	MODEL_NO_SMAP,
	MODEL_NO_AC,
	MODEL_LEAF_ONLY,
	MODEL_NO_RSVD,
	MODEL_NO_FETCH_ERROR,
	MODEL_NO_DIRTY,
	MODEL_NO_KEY,
	MODEL_KEY_OF_FETCH,
	MODEL_KEY_WITHOUT_WP,
	MODEL_GLOBAL_STAYS,	/* whatever is flushed; see paging_test.c */
	MODEL_LIES,
};

#define PF_P BIT(0)
#define PF_W BIT(1)
#define PF_U BIT(2)
#define PF_RSVD BIT(3)
#define PF_I BIT(4)
#define PF_PK BIT(5)

/* Protection keys: where a leaf has its own, and the bits that each has in PKRU. */
#define KEY_SHIFT 59
#define KEYS 16
#define ORACLE_OWN_KEY 15UL	/* of what the code needs */
#define PKRU_AD 1
#define PKRU_WD 2

struct outcome {
	bool fault;
	u64 error;
	u64 gpa;		/* where the access goes to, without a fault */
	int reached;		/* the last level whose entry was looked at */
	u64 set[MAX_LEVELS];	/* bits that it sets in each entry */
	u64 may[MAX_LEVELS];	/* bits that it may set besides */
};

/**
 * model() - what an access does
 * @phys_bits: MAXPHYADDR of the guest
 * @lie: MODEL_TRUE, or what to get wrong
 */
struct outcome model(const struct test_case *c, int phys_bits, enum model_lie lie);

/**
 * model_reserved() - bits that must be zero in the entry of @level
 * @entry: the entry, which decides by PS
 */
u64 model_reserved(const struct test_case *c, int phys_bits, int level, u64 entry);

/* --- the machine (machine.c) --- */

struct machine {
	const struct format *f;
	struct vm *vm;
	struct vcpu *vcpu;
	int phys_bits;
	u64 env_can;		/* ENV_* that the CPU has */
	bool strict;		/* no emulated CPU between the walk and the guest */
	u64 next_table;
	u64 root;
	u64 table[MAX_LEVELS];	/* of the test's address; level 1 is the first */
	struct area {
		u64 gpa;	/* of the page that the test's address is in */
		u8 *page;
	} area[MAX_LEVELS + 1];
	int n;			/* records in the batch */
	u64 pdpte;		/* of the last load of CR3 */
	bool no_load;		/* do not load CR3, but by chance */
	bool started;
};

/* Where a leaf of @level leads to; @high: beyond 4 GiB by PSE-36. */
u64 machine_leaf(struct machine *m, int level, bool high);

void machine_init(struct machine *m, const struct format *f);

/* CPUID of the node: the register @reg (0 is EAX) of @leaf. */
u32 oracle_cpuid(u32 leaf, int reg);

/**
 * machine_add() - put a case into the batch
 *
 * Sets the case's address, which is another for each record of a batch.
 */
void machine_add(struct machine *m, struct test_case *c);

/**
 * machine_run() - let the guest go through the batch, and begin a new one
 *
 * Results are in machine_record() until the next machine_add().
 */
void machine_run(struct machine *m);

struct record *machine_record(struct machine *m, int i);

/* What the page at @gpa holds for record @i; NULL where there is no test memory. */
u32 *machine_word(struct machine *m, u64 gpa, int i);

/* What it held before the access, for data and as what its code returns. */
u32 machine_tag(struct machine *m, u64 gpa, int i);

#endif
#endif
