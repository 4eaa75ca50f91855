// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an entry of a reverse-map chain costs by the length of the chain: pages that the
 * guest maps at N places each, touched at all of them, and then taken by the host.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define ALIASES		0x8000000000UL
#define LONGEST		100000UL

/*
 * As many entries at each length, so that what belongs to the operation and not to an
 * entry counts the same. Neighbours are aliases of different pages, as long as there
 * are several.
 */
static void measure_length(u64 length)
{
	u64 pages = length < PAGES ? PAGES / length : 1, n = pages * length, i;
	double add, remove;
	struct machine m;
	u8 *mem;

	machine_start(&m, PRESENT);
	mem = m.mem;
	for (i = 0; i < n; i++)
		guest_map(m.vm, ALIASES + i * PAGE_4K, (u64)mem + i % pages * PAGE_4K, PAGE_4K,
			  PAGE_4K, PTE_P | PTE_W | PTE_A | PTE_D);
	m.mem = (u8 *)ALIASES;
	add = machine_touch(&m, guest_write_loop, PAGE_4K, n);
	m.mem = mem;
	m.size = pages * PAGE_4K;
	remove = busy_ticks(machine_drop, &m);
	machine_populate(&m, PRESENT);
	remove -= busy_ticks(machine_drop, &m);
	printf("%lu|%.1f|%.1f\n", length, add, remove / n);
}

bool bench_chains(void)
{
	u64 length;
	int status;
	pid_t pid;

	for (length = 1; length; length = length == LONGEST ? 0 : length * 2) {
		if (length > LONGEST)
			length = LONGEST;
		pid = fork();
		if (pid < 0)
			die("fork");
		if (!pid) {
			measure_length(length);
			fflush(stdout);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		if (status)
			return false;
	}
	return true;
}
