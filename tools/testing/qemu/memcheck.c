// SPDX-License-Identifier: GPL-2.0-only
/*
 * memcheck MIB SECONDS PROCESSES: a load on a guest's memory that notices each wrong
 * byte. Runs in the guest, from its initramfs.
 *
 * Each process fills its share with words that tell where they are and in which round
 * they were written, then goes over the pages in an order of its own: checks one, and
 * writes it for the next round. Now and then it forks a child that checks all of it
 * (copy on write), and moves part of it to other pages (mremap).
 *
 * Exit status 0 and a line with the number of pages checked, or 1 and what was wrong.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define WORDS (PAGE / sizeof(unsigned int))

struct area {
	unsigned int *mem;
	unsigned int pages;
	unsigned int *round;	/* of each page */
	unsigned int seed;
};

static unsigned int word(const struct area *a, unsigned int page, unsigned int i)
{
	return (page * 2654435761u) ^ (i * 40503u) ^ (a->round[page] << 16) ^ a->seed;
}

static void fill(struct area *a, unsigned int page)
{
	unsigned int *p = a->mem + page * WORDS;
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		p[i] = word(a, page, i);
}

static void check(const struct area *a, unsigned int page)
{
	const unsigned int *p = a->mem + page * WORDS;
	unsigned int i;

	for (i = 0; i < WORDS; i++) {
		if (p[i] == word(a, page, i))
			continue;
		printf("memcheck: WRONG at page %u word %u: %08x, not %08x\n", page, i, p[i],
		       word(a, page, i));
		exit(1);
	}
}

static unsigned int next(unsigned int *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void check_in_child(const struct area *a)
{
	unsigned int page;
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return;
	if (!pid) {
		for (page = 0; page < a->pages; page++)
			check(a, page);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status) {
		printf("memcheck: WRONG in a child, status %#x\n", status);
		exit(1);
	}
}

/* Other addresses for the same pages, and back. */
static void move(struct area *a)
{
	size_t size = (size_t)a->pages * PAGE;
	void *to = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (to == MAP_FAILED)
		return;
	to = mremap(a->mem, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (to != MAP_FAILED)
		a->mem = to;
}

static int work(unsigned int mib, unsigned int seconds, unsigned int seed)
{
	time_t end = time(NULL) + seconds;
	struct area a = { .pages = mib * 256, .seed = seed * 0x01010101u };
	unsigned int state = seed, page, n = 0;

	a.mem = mmap(NULL, (size_t)a.pages * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	a.round = calloc(a.pages, sizeof(*a.round));
	if (a.mem == MAP_FAILED || !a.round) {
		puts("memcheck: no memory");
		return 1;
	}
	for (page = 0; page < a.pages; page++)
		fill(&a, page);
	do {
		for (page = 0; page < 512; page++, n++) {
			unsigned int this = next(&state) % a.pages;

			check(&a, this);
			a.round[this]++;
			fill(&a, this);
		}
		if (next(&state) % 16 == 0)
			check_in_child(&a);
		if (next(&state) % 8 == 0)
			move(&a);
	} while (time(NULL) < end);
	for (page = 0; page < a.pages; page++, n++)
		check(&a, page);
	printf("memcheck: %u pages right\n", n);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int i, processes;
	int status, bad = 0;

	if (argc != 4) {
		puts("usage: memcheck MIB SECONDS PROCESSES");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	processes = atoi(argv[3]);
	for (i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (!pid)
			exit(work(atoi(argv[1]) / processes, atoi(argv[2]), i + 1));
	}
	for (i = 0; i < processes; i++)
		if (wait(&status) < 0 || status)
			bad = 1;
	return bad;
}
