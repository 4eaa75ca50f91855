// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host does and holds, measured from a process.
 *
 * In the lab under --icount the time-stamp counter counts instructions while
 * the CPU works, and jumps to the next timer while it is idle. So work is the
 * counter less the idle time that the kernel accounts.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* How long the host gets to finish what it put off. */
#define SETTLE_NS 60000000L

/* Time that the CPUs were idle, in ns. */
static u64 idle_ns(void)
{
	FILE *f = fopen("/proc/timer_list", "re");
	char line[256];
	u64 ns, sum = 0;
	int cpus = 0;

	if (!f)
		die("/proc/timer_list");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " .idle_sleeptime : %" SCNu64, &ns) == 1) {
			sum += ns;
			cpus++;
		}
	}
	fclose(f);
	if (cpus != 1)
		die("one CPU is wanted, %d found", cpus);
	return sum;
}

static u64 clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

static void settle(void)
{
	struct timespec t = { .tv_nsec = SETTLE_NS };

	nanosleep(&t, NULL);
}

static double ticks_per_ns(void)
{
	static double rate;

	if (!rate) {
		u64 ns = clock_ns(), ticks = guest_rdtsc();

		settle();
		rate = (double)(guest_rdtsc() - ticks) / (clock_ns() - ns);
	}
	return rate;
}

static double ticks_and_settle(void (*op)(void *arg), void *arg)
{
	double rate = ticks_per_ns();
	u64 idle = idle_ns();
	u64 start = guest_rdtsc(), end;

	op(arg);
	settle();
	end = guest_rdtsc();
	return end - start - rate * (idle_ns() - idle);
}

static void nothing(void *arg)
{
}

u64 busy_ticks(void (*op)(void *arg), void *arg)
{
	double rest, ticks;

	settle();
	rest = ticks_and_settle(nothing, NULL);
	ticks = ticks_and_settle(op, arg);
	return ticks > rest ? ticks - rest : 0;
}

/* The number in the first line of @path that @format matches; 0 when none does. */
static u64 number_in(const char *path, const char *format)
{
	FILE *f = fopen(path, "re");
	char line[256];
	u64 n = 0;

	if (!f)
		die("%s", path);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, format, &n) == 1)
			break;
	fclose(f);
	return n;
}

/* Reading this file folds the per-CPU parts of the kernel's counts into the totals. */
static void fold_counts(void)
{
	number_in("/proc/sys/vm/stat_refresh", "%" SCNu64);
}

/* Gives the slabs that CPUs hold back, and so makes the counts of objects exact. */
static void shrink_slabs(void)
{
	DIR *dir = opendir("/sys/kernel/slab");
	struct dirent *cache;
	char path[512];
	FILE *f;

	if (!dir)
		die("/sys/kernel/slab");
	while ((cache = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", cache->d_name);
		f = fopen(path, "we");
		if (!f)
			continue;
		fputs("1", f);
		fclose(f);
	}
	closedir(dir);
}

static u64 slab_bytes(void)
{
	FILE *f = fopen("/proc/slabinfo", "re");
	u64 objects, size, sum = 0;
	char line[512];

	if (!f)
		die("/proc/slabinfo");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %" SCNu64 " %*u %" SCNu64, &objects, &size) == 2)
			sum += objects * size;
	fclose(f);
	return sum;
}

u64 kernel_bytes(void)
{
	settle();
	shrink_slabs();
	fold_counts();
	return slab_bytes() +
	       (number_in("/proc/meminfo", "VmallocUsed: %" SCNu64) +
		number_in("/proc/meminfo", "Percpu: %" SCNu64)) * 1024;
}

/* umbra counts its own; stock KVM's are in /proc/meminfo. */
u64 table_bytes(void)
{
	struct umbra_counters c;

	if (node_counters(&c))
		return c.tables * PAGE_4K;
	fold_counts();
	return number_in("/proc/meminfo", "SecPageTables: %" SCNu64) * 1024;
}
