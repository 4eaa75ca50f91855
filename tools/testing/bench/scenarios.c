// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is measured on base pages, and what has to do with no page.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define EXITS 20000UL
#define SPARSE_STRIDE (64 * PAGE_4K)
#define WARM_ROUNDS 16
#define CLEAN_READS 256

static double per_exit(struct machine *m, void (*fn)(void *loop))
{
	double ticks = machine_loop(m, fn, 0, EXITS);

	return (ticks - machine_loop(m, guest_empty_loop, 0, EXITS)) / EXITS;
}

void bench_exits(void)
{
	struct machine m;

	machine_start(&m, ABSENT);
	report(ROW_CPUID, per_exit(&m, guest_cpuid_loop));
	report(ROW_IO, per_exit(&m, guest_out_loop));
	report(ROW_MMIO, per_exit(&m, guest_mmio_loop));
}

void bench_touch_read(void)
{
	struct machine m;

	machine_start(&m, PRESENT);
	report(ROW_READ, machine_touch(&m, guest_read_loop, PAGE_4K, PAGES));
}

void bench_touch_write(void)
{
	u64 ticks, least = ~0UL;
	struct machine m;
	int i;

	machine_start(&m, PRESENT);
	report(ROW_WRITE, machine_touch(&m, guest_write_loop, PAGE_4K, PAGES));
	/* A tick of the host's timer that falls into a round is none of the access's. */
	for (i = 0; i < WARM_ROUNDS; i++) {
		ticks = machine_loop(&m, guest_write_loop, PAGE_4K, PAGES);
		least = ticks < least ? ticks : least;
	}
	report(ROW_WARM, (double)least / PAGES);
}

void bench_touch_sparse(void)
{
	struct machine m;

	machine_start(&m, PRESENT);
	report(ROW_SPARSE, machine_touch(&m, guest_write_loop, SPARSE_STRIDE,
					 MEM_SIZE / SPARSE_STRIDE));
}

void bench_absent_write(void)
{
	struct machine m;

	machine_start(&m, ABSENT);
	report(ROW_ABSENT_WRITE, machine_touch(&m, guest_write_loop, PAGE_4K, PAGES));
}

void bench_absent_read(void)
{
	struct machine m;

	machine_start(&m, ABSENT);
	report(ROW_ABSENT_READ, machine_touch(&m, guest_read_loop, PAGE_4K, PAGES));
}

static void log_on(void *m)
{
	machine_log(m, true);
}

struct log_read {
	struct machine *m;
	int times;
	u64 bitmap[PAGES / 64];
};

static void log_read(void *arg)
{
	struct log_read *r = arg;
	int i, ret;

	for (i = 0; i < r->times; i++) {
		ret = vm_dirty_log(r->m->vm, r->m->slot, r->bitmap);
		if (ret)
			die("KVM_GET_DIRTY_LOG: %d", ret);
	}
}

/* Ticks of one reading of the log, of which the last must find @dirty pages. */
static double ticks_to_read(struct log_read *r, int times, u64 dirty)
{
	u64 ticks, i, n = 0;

	r->times = times;
	ticks = busy_ticks(log_read, r);
	for (i = 0; i < PAGES / 64; i++)
		n += __builtin_popcountl(r->bitmap[i]);
	if (n != dirty)
		die("%lu pages are dirty in the log, %lu should be", n, dirty);
	return (double)ticks / times;
}

void bench_dirty_log(void)
{
	struct machine m;
	struct log_read r = { .m = &m };

	machine_start(&m, PRESENT);
	machine_loop(&m, guest_write_loop, PAGE_4K, PAGES);
	report(ROW_LOG_ON, (double)busy_ticks(log_on, &m) / PAGES);
	report(ROW_LOG_FAULT, machine_touch(&m, guest_write_loop, PAGE_4K, PAGES));
	report(ROW_LOG_FULL, ticks_to_read(&r, 1, PAGES) / PAGES);
	report(ROW_LOG_CLEAN, ticks_to_read(&r, CLEAN_READS, 0));
}

void bench_dontneed(void)
{
	struct machine m;
	double mapped;

	machine_start(&m, PRESENT);
	machine_loop(&m, guest_write_loop, PAGE_4K, PAGES);
	mapped = busy_ticks(machine_drop, &m);
	machine_populate(&m, PRESENT);
	report(ROW_DONTNEED, (mapped - busy_ticks(machine_drop, &m)) / PAGES);
}

static void delete_slot(void *arg)
{
	struct machine *m = arg;
	int ret = vm_set_slot(m->vm, m->slot, 0, (u64)m->mem, 0, m->mem);

	if (ret)
		die("deleting the slot: %d", ret);
}

void bench_delete(void)
{
	struct machine m;

	machine_start(&m, PRESENT);
	machine_loop(&m, guest_write_loop, PAGE_4K, PAGES);
	report(ROW_DELETE, (double)busy_ticks(delete_slot, &m) / PAGES);
}

static void close_vm(void *arg)
{
	vm_close(((struct machine *)arg)->vm);
}

void bench_close(void)
{
	struct machine m;

	machine_start(&m, PRESENT);
	machine_loop(&m, guest_write_loop, PAGE_4K, PAGES);
	report(ROW_CLOSE, (double)busy_ticks(close_vm, &m) / PAGES);
}

void bench_huge(void)
{
	struct machine m;

	machine_start(&m, PRESENT_HUGE);
	report(ROW_HUGE_WRITE, machine_touch(&m, guest_write_loop, PAGE_2M, MEM_SIZE / PAGE_2M));
	report(ROW_HUGE_LOG_ON, (double)busy_ticks(log_on, &m) / PAGES);
	report(ROW_HUGE_LOG_FAULT, machine_touch(&m, guest_write_loop, PAGE_4K, PAGES));
}

#define CREATIONS 16

static void create_and_close(void *arg)
{
	int node = *(int *)arg;
	int i;

	for (i = 0; i < CREATIONS; i++) {
		int vm = ioctl(node, KVM_CREATE_VM, 0UL);
		int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0UL);

		if (vm < 0 || vcpu < 0)
			die("KVM_CREATE_VM, KVM_CREATE_VCPU");
		close(vcpu);
		close(vm);
	}
}

void bench_create(void)
{
	int node = node_open();

	/* Once before, for what is made at the first VM only. */
	create_and_close(&node);
	report(ROW_CREATE, (double)busy_ticks(create_and_close, &node) / CREATIONS);
}

/*
 * A guest of 1 GiB, all of it the same 64 MiB of the host, so that its own page
 * tables are there before. One access in each 2 MiB brings all that a guest with
 * every page mapped has: the entries of base pages have their place in the tables.
 */
#define WINDOWS 16

void bench_memory(void)
{
	struct machine m;
	u64 kernel, tables;
	int i;

	machine_start(&m, PRESENT);
	kernel = kernel_bytes();
	tables = table_bytes();
	for (i = 1; i <= WINDOWS; i++)
		vm_add_slot(m.vm, 0, (u64)m.mem + i * MEM_SIZE, MEM_SIZE, m.mem);
	m.mem += MEM_SIZE;
	machine_loop(&m, guest_write_loop, PAGE_2M, WINDOWS * MEM_SIZE / PAGE_2M);
	report(ROW_TABLES, (double)(table_bytes() - tables) / (WINDOWS * PAGES));
	report(ROW_METADATA, (double)(kernel_bytes() - kernel) / (WINDOWS * PAGES));
}
