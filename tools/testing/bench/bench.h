/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bench client: what its parts share.
 *
 * A row is one figure of the table; a scenario sets a VM up and reports one or
 * more rows. Documentation/bench.rst says what each row means.
 */
#ifndef _UMBRA_BENCH_H
#define _UMBRA_BENCH_H

#include "vm.h"

enum row {
	ROW_CPUID,
	ROW_IO,
	ROW_MMIO,
	ROW_TIMER,
	ROW_TIMER_PV,
	ROW_IPI,
	ROW_READ,
	ROW_WRITE,
	ROW_SPARSE,
	ROW_ABSENT_WRITE,
	ROW_ABSENT_READ,
	ROW_WARM,
	ROW_LOG_ON,
	ROW_LOG_FAULT,
	ROW_LOG_FULL,
	ROW_LOG_CLEAN,
	ROW_DONTNEED,
	ROW_DELETE,
	ROW_CLOSE,
	ROW_HUGE_WRITE,
	ROW_HUGE_LOG_ON,
	ROW_HUGE_LOG_FAULT,
	ROW_CREATE,
	ROW_TABLES,
	ROW_METADATA,
	ROW_PAGED_TOUCH,
	ROW_PAGED_UPGRADE,
	ROW_PTE_CHANGE,
	ROW_CR3,
	ROW_UNPAGED,
	NR_ROWS,
};

/**
 * report() - hand in the value of a row, once per scenario run
 */
void report(enum row row, double value);

/* Scenarios. Each runs in a process of its own. */
void bench_exits(void);
void bench_timer(void);
void bench_timer_pv(void);
void bench_ipi(void);
void bench_touch_read(void);
void bench_touch_write(void);
void bench_touch_sparse(void);
void bench_absent_write(void);
void bench_absent_read(void);
void bench_dirty_log(void);
void bench_dontneed(void);
void bench_delete(void);
void bench_close(void);
void bench_huge(void);
void bench_create(void);
void bench_memory(void);
void bench_paged_touch(void);
void bench_paged_upgrade(void);
void bench_pte_change(void);
void bench_cr3(void);
void bench_unpaged(void);

/**
 * bench_chains() - print LENGTH|ADD|REMOVE for chains of 1 to 100,000 entries
 *
 * The figures are ticks for each entry. Returns false when a length has none.
 */
bool bench_chains(void);

/* --- the VM under test (machine.c) --- */

/* What the host has of the memory before the guest comes. */
enum backing {
	ABSENT,		/* nothing */
	PRESENT,	/* every page, written, in base pages */
	PRESENT_HUGE,	/* every page, written, in huge pages */
};

/* What guest and host exchange about a loop. */
struct loop {
	u64 addr;
	u64 stride;
	u64 count;
	u64 extra;	/* as the loop says */
	u64 ticks;	/* out */
};

struct machine {
	struct vm *vm;
	struct vcpu *vcpu;
	struct loop *loop;
	u8 *mem;
	size_t size;
	int slot;
	u64 loop_extra;
};

/* Pages of guest memory in most scenarios, and their bytes. */
#define PAGES 16384UL
#define MEM_SIZE (PAGES * PAGE_4K)

/**
 * machine_start() - a VM with one vCPU and a slot of MEM_SIZE
 *
 * Nothing of the slot is mapped into the guest yet.
 */
void machine_start(struct machine *m, enum backing backing);

/**
 * machine_populate() - let the host have all of the memory
 */
void machine_populate(struct machine *m, enum backing backing);

/**
 * machine_drop() - take all of the memory away, for busy_ticks()
 */
void machine_drop(void *machine);

/**
 * machine_loop() - run a guest loop
 * @fn: one of guest_*_loop()
 * @stride: bytes from one access to the next, from the start of the memory on
 * @count: of iterations
 *
 * Exits to userspace on the way are passed by. Returns ticks, as the guest
 * counted them.
 */
u64 machine_loop(struct machine *m, void (*fn)(void *loop), u64 stride, u64 count);

/**
 * machine_touch() - what the first accesses cost above second ones
 *
 * Returns ticks for each access.
 */
double machine_touch(struct machine *m, void (*fn)(void *loop), u64 stride, u64 count);

/**
 * machine_log() - switch the dirty log of the slot on or off
 */
void machine_log(struct machine *m, bool on);

/* Guest code (loops.c). Each takes a struct loop. */
void guest_empty_loop(void *loop);
void guest_read_loop(void *loop);
void guest_write_loop(void *loop);
void guest_cpuid_loop(void *loop);
void guest_out_loop(void *loop);
void guest_mmio_loop(void *loop);
void guest_pte_loop(void *loop);	/* @extra: the entry of @addr */
void guest_cr3_loop(void *loop);	/* @addr and @extra: two roots */

/* --- the host's work (measure.c) --- */

/**
 * busy_ticks() - what an operation costs the host until it is over
 *
 * Counts what is left for later (RCU, work queues) as well: the clock stops
 * only after a while of sleep. Idle time and what the host does in such a while
 * anyway are taken off.
 */
u64 busy_ticks(void (*op)(void *arg), void *arg);

/**
 * kernel_bytes() - memory that the kernel holds in objects, vmalloc and per CPU
 *
 * To the object: what the allocators keep in reserve is not counted.
 */
u64 kernel_bytes(void);

/**
 * table_bytes() - hardware page tables of all VMs
 */
u64 table_bytes(void);

#endif
