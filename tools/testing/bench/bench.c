// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bench client: runs the scenarios on one node and prints a line for each
 * row, for tools/testing/bench/run to compare:
 *
 *	NAME|UNIT|TARGET|MEDIAN|LEAST|MOST|WHAT
 *
 * With "chains" it prints the table of chains.c instead.
 *
 * The node is the library's: UMBRA_NODE, UMBRA_TEST_MMU, UMBRA_TEST_POLICY.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "host.h"

#define MAX_ROUNDS 9

/*
 * @target: how much of stock's figure is allowed. Nothing may cost more than
 * there; what is below 1 is a promise.
 */
static const struct {
	void (*scenario)(void);
	double target;
	const char *name, *unit, *what;
	enum { TDP, SHADOW } of;
} rows[NR_ROWS] = {
	[ROW_CPUID] = { bench_exits, 0.6, "cpuid", "exit", "exit that the kernel serves" },
	[ROW_IO] = { bench_exits, 1, "io", "exit", "OUT served by the process, and back" },
	[ROW_MMIO] = { bench_exits, 1, "mmio", "exit", "MMIO read served by the process" },
	[ROW_TIMER] = { bench_timer, 1, "timer", "tick", "tick of the local APIC's timer" },
	[ROW_TIMER_PV] = { bench_timer_pv, 1, "timer-pv", "tick",
			   "the same with paravirtual EOI" },
	[ROW_IPI] = { bench_ipi, 1, "ipi", "IPI", "IPI to a vCPU that sleeps, taken" },
	[ROW_READ] = { bench_touch_read, 0.35, "read", "4K page", "first read, host has it" },
	[ROW_WRITE] = { bench_touch_write, 0.35, "write", "4K page", "first write, host has it" },
	[ROW_SPARSE] = { bench_touch_sparse, 1, "sparse", "4K page",
			 "first write of every 64th page" },
	[ROW_ABSENT_WRITE] = { bench_absent_write, 0.8, "absent-write", "4K page",
			       "first write, host has it not" },
	[ROW_ABSENT_READ] = { bench_absent_read, 0.8, "absent-read", "4K page",
			      "first read, host has it not" },
	[ROW_WARM] = { bench_touch_write, 1, "warm", "access", "later writes, loop included" },
	[ROW_LOG_ON] = { bench_dirty_log, 0.8, "log-on", "4K page", "dirty log switched on" },
	[ROW_LOG_FAULT] = { bench_dirty_log, 0.6, "log-write", "4K page",
			    "first write under the dirty log" },
	[ROW_LOG_FULL] = { bench_dirty_log, 0.8, "log-full", "4K page",
			   "dirty log read, all dirty" },
	[ROW_LOG_CLEAN] = { bench_dirty_log, 0.8, "log-clean", "slot",
			    "dirty log read, none dirty" },
	[ROW_DONTNEED] = { bench_dontneed, 0.8, "dontneed", "4K page",
			   "MADV_DONTNEED, mapped less unmapped" },
	[ROW_DELETE] = { bench_delete, 0.8, "delete", "4K page", "deletion of a mapped slot" },
	[ROW_CLOSE] = { bench_close, 0.8, "close", "4K page", "close of a mapped VM" },
	[ROW_HUGE_WRITE] = { bench_huge, 1, "huge-write", "2M page", "first write, host has it" },
	[ROW_HUGE_LOG_ON] = { bench_huge, 1, "huge-log-on", "4K page",
			      "dirty log switched on over 2M pages" },
	[ROW_HUGE_LOG_FAULT] = { bench_huge, 1, "huge-log-write", "4K page",
				 "first write under it" },
	[ROW_CREATE] = { bench_create, 1, "create", "VM", "VM with a vCPU made and closed" },
	[ROW_TABLES] = { bench_memory, 1, "tables", "bytes/4K", "hardware page tables" },
	[ROW_METADATA] = { bench_memory, 0.8, "metadata", "bytes/4K",
			   "kernel memory beside the page tables" },
	[ROW_PAGED_TOUCH] = { bench_paged_touch, 0.5, "paged-write", "4K page",
			      "first write through 4-level tables", SHADOW },
	[ROW_PAGED_UPGRADE] = { bench_paged_upgrade, 0.5, "paged-dirty", "4K page",
				"first write after a read, D clear", SHADOW },
	[ROW_PTE_CHANGE] = { bench_pte_change, 0.5, "pte-change", "change",
			     "entry written, INVLPG, touch", SHADOW },
	[ROW_CR3] = { bench_cr3, 0.4, "cr3", "pair", "two loads of CR3", SHADOW },
	[ROW_UNPAGED] = { bench_unpaged, 0.8, "unpaged-write", "4K page",
			  "first write without paging", SHADOW },
};

struct result {
	enum row row;
	double value;
};

static int result_fd;
static double values[NR_ROWS][MAX_ROUNDS];
static int rounds_of[NR_ROWS];

void report(enum row row, double value)
{
	struct result r = { row, value };

	if (write(result_fd, &r, sizeof(r)) != sizeof(r))
		die("pipe");
}

/* Runs a scenario in a process of its own, and takes its results. */
static bool run_scenario(void (*scenario)(void))
{
	struct result r;
	int fds[2], status;
	pid_t pid;

	if (pipe(fds))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		result_fd = fds[1];
		scenario();
		_exit(0);
	}
	close(fds[1]);
	while (read(fds[0], &r, sizeof(r)) == sizeof(r))
		values[r.row][rounds_of[r.row]++] = r.value;
	close(fds[0]);
	waitpid(pid, &status, 0);
	return !status;
}

/* Without names, those of the MMU that is measured. */
static bool wanted(enum row row, char **names)
{
	const char *mmu = getenv("BENCH_MMU");

	if (!*names)
		return rows[row].of == (mmu && !strcmp(mmu, "shadow") ? SHADOW : TDP);
	for (; *names; names++)
		if (!strcmp(*names, rows[row].name))
			return true;
	return false;
}

/* Whether @row is the first wanted one of its scenario. */
static bool leads(enum row row, char **names)
{
	enum row r;

	for (r = 0; r < row; r++)
		if (rows[r].scenario == rows[row].scenario && wanted(r, names))
			return false;
	return wanted(row, names);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_row(enum row row)
{
	double *v = values[row];
	int n = rounds_of[row];

	if (!n) {
		printf("%s|%s|%g||||%s\n", rows[row].name, rows[row].unit, rows[row].target,
		       rows[row].what);
		return;
	}
	qsort(v, n, sizeof(*v), compare);
	printf("%s|%s|%g|%.3f|%.3f|%.3f|%s\n", rows[row].name, rows[row].unit, rows[row].target,
	       v[n / 2], v[0], v[n - 1], rows[row].what);
}

static void check_names(char **names)
{
	enum row row;
	char *one[2] = {};

	for (; *names; names++) {
		one[0] = *names;
		for (row = 0; row < NR_ROWS && !wanted(row, one); row++)
			;
		if (row < NR_ROWS)
			continue;
		fprintf(stderr, "there is no row '%s'; there are", *names);
		for (row = 0; row < NR_ROWS; row++)
			fprintf(stderr, " %s", rows[row].name);
		fprintf(stderr, "\n");
		exit(2);
	}
}

/* bench ROUNDS [ROW...] | chains */
int main(int argc, char **argv)
{
	bool chains = argc == 2 && !strcmp(argv[1], "chains");
	int rounds = argc > 1 ? atoi(argv[1]) : 0;
	const char *why = node_unfit();
	bool ok = true;
	enum row row;
	int i;

	if (!chains && (rounds < 1 || rounds > MAX_ROUNDS)) {
		fprintf(stderr, "usage: bench ROUNDS [ROW...] | chains, at most %d rounds\n",
			MAX_ROUNDS);
		return 2;
	}
	if (!chains)
		check_names(argv + 2);
	if (why) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	/* It would unmap what is measured. Without NUMA there is none. */
	host_write("/proc/sys/kernel/numa_balancing", "0");
	if (chains)
		return !bench_chains();
	for (row = 0; row < NR_ROWS; row++) {
		if (!leads(row, argv + 2))
			continue;
		for (i = 0; i < rounds && ok; i++)
			ok = run_scenario(rows[row].scenario);
		if (!ok)
			fprintf(stderr, "the scenario of row %s failed\n", rows[row].name);
		ok = true;
	}
	for (row = 0; row < NR_ROWS; row++) {
		if (!wanted(row, argv + 2))
			continue;
		ok &= rounds_of[row] == rounds;
		print_row(row);
	}
	return !ok;
}
