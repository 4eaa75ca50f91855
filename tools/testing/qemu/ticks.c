// SPDX-License-Identifier: GPL-2.0-only
/*
 * ticks N: does each timer interrupt come, and each wake-up? Runs in the guest, from its
 * initramfs.
 *
 * On each CPU a process sleeps N times for a millisecond, and two more wake each other N
 * times, on the first and the last CPU. Nothing may take LATE seconds, which is far
 * beyond what a busy machine needs; and the CPUs must have had a timer interrupt for
 * each sleep of at least one of the sleepers.
 *
 * Exit status 0 and a line that tells what was counted, or 1 and what was wrong.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LATE 60

/* The sum of the local APICs' timer interrupts. */
static unsigned long timer_interrupts(void)
{
	FILE *f = fopen("/proc/interrupts", "r");
	unsigned long sum = 0;
	char line[1024], *p, *end;

	while (f && fgets(line, sizeof(line), f)) {
		p = strstr(line, "LOC:");
		for (p = p ? p + 4 : NULL; p; p = end) {
			sum += strtoul(p, &end, 10);
			if (end == p)
				break;
		}
	}
	if (f)
		fclose(f);
	return sum;
}

static void run_on(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		_exit(2);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int sleeper(unsigned int n)
{
	struct timespec ms = { .tv_nsec = 1000000 };
	double before, longest = 0;

	while (n--) {
		before = now();
		nanosleep(&ms, NULL);
		if (now() - before > longest)
			longest = now() - before;
	}
	if (longest < LATE && longest >= 0.001)
		return 0;
	printf("ticks: WRONG: a sleep of 0.001 s took %.3f\n", longest);
	return 1;
}

static int waker(unsigned int n, int in, int out, int begins)
{
	struct pollfd wait = { .fd = in, .events = POLLIN };
	char c = 0;

	if (begins && write(out, &c, 1) != 1)
		return 1;
	while (n--) {
		if (poll(&wait, 1, LATE * 1000) != 1 || read(in, &c, 1) != 1) {
			printf("ticks: WRONG: nobody woke, %u are left\n", n);
			return 1;
		}
		/* The last has nobody to wake. */
		if ((n || !begins) && write(out, &c, 1) != 1)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int n = argc == 2 ? atoi(argv[1]) : 0, cpus = sysconf(_SC_NPROCESSORS_ONLN), i;
	unsigned long before = timer_interrupts(), came;
	int there[2], back[2], status, bad = 0;
	double begin = now();

	if (!n || pipe(there) || pipe(back)) {
		puts("usage: ticks N");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < cpus + 2; i++) {
		if (fork())
			continue;
		run_on(i < cpus ? i : (i - cpus) * (cpus - 1));
		if (i < cpus)
			return sleeper(n);
		return i == cpus ? waker(n, back[0], there[1], 1) : waker(n, there[0], back[1], 0);
	}
	for (i = 0; i < cpus + 2; i++)
		if (wait(&status) < 0 || status)
			bad = 1;
	came = timer_interrupts() - before;
	if (came < n) {
		printf("ticks: WRONG: %lu timer interrupts for %u sleeps\n", came, n);
		bad = 1;
	}
	printf("ticks: %u sleeps on %u CPUs, %u wake-ups there and back, %lu interrupts, %.1f s\n",
	       n, cpus, n, came, now() - begin);
	return bad;
}
