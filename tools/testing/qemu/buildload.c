// SPDX-License-Identifier: GPL-2.0-only
/*
 * buildload DIR SECONDS JOBS: a load like the build of a kernel, which notices each wrong
 * byte. Runs in the guest, from its initramfs.
 *
 * A process that plays make writes sources, which are numbers anybody can tell again, and
 * starts by fork and exec this program anew for each of them, JOBS at a time: one that
 * plays the compiler maps the source, works in memory of its own, and writes the object,
 * half of it by write and half through a shared mapping. At the end one that plays the
 * linker maps all objects into one file, and make reads that and tells whether it is right.
 * Files are made anew in each round, so that the page cache gets and gives pages all the
 * time.
 *
 * Exit status 0 and a line with the number of programs run, or 1 and what was wrong.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNITS 12
#define SIZE (12 * 4096)

static char **self;		/* the arguments: program, DIR, ... */

static void wrong(const char *what, unsigned int where)
{
	printf("buildload: WRONG: %s %u\n", what, where);
	exit(1);
}

static char *path(const char *kind, unsigned int unit)
{
	static char buf[2][256];
	static unsigned int i;

	i = !i;
	snprintf(buf[i], sizeof(buf[i]), "%s/%s%u", self[1], kind, unit);
	return buf[i];
}

/* What a source holds, and what the compiler makes of it. */
static void source(unsigned char *to, unsigned int round, unsigned int unit)
{
	unsigned int state = round * 7919 + unit + 1, i;

	for (i = 0; i < SIZE; i++) {
		state = state * 1664525 + 1013904223;
		to[i] = state >> 24;
	}
}

static void compile(unsigned char *to, const unsigned char *from)
{
	unsigned char last = 0x5a;
	unsigned int i;

	for (i = 0; i < SIZE; i++) {
		last = (last << 1 | last >> 7) ^ from[i];
		to[i] = last + i;
	}
}

static void *map(const char *name, size_t size, bool write)
{
	int fd = open(name, write ? O_RDWR | O_CREAT : O_RDONLY, 0600);
	void *mem;

	if (fd < 0 || (write && ftruncate(fd, size)))
		return NULL;
	mem = write ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) :
		mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return mem == MAP_FAILED ? NULL : mem;
}

static void put(const char *name, const void *from, size_t size)
{
	int fd = open(name, O_WRONLY | O_CREAT, 0600);

	if (fd < 0 || write(fd, from, size) != (ssize_t)size)
		wrong("no room for a file", size);
	close(fd);
}

static int compiler(unsigned int unit)
{
	unsigned char *from = map(path("source", unit), SIZE, false), *object = malloc(SIZE);
	char *name = path("object", unit);
	unsigned char *to = map(name, SIZE, true);

	if (!from || !to || !object)
		wrong("no memory for unit", unit);
	compile(object, from);
	memcpy(to + SIZE / 2, object + SIZE / 2, SIZE / 2);
	put(name, object, SIZE / 2);
	return 0;
}

static int linker(void)
{
	unsigned char *to = map(path("linked", 0), UNITS * SIZE, true), *from;
	unsigned int unit;

	for (unit = 0; unit < UNITS; unit++) {
		from = map(path("object", unit), SIZE, false);
		if (!from || !to)
			wrong("no object", unit);
		memcpy(to + unit * SIZE, from, SIZE);
		munmap(from, SIZE);
		unlink(path("object", unit));
		unlink(path("source", unit));
	}
	return 0;
}

static void start(const char *what, unsigned int unit)
{
	char number[16];
	pid_t pid = fork();

	if (pid < 0)
		wrong("no process", unit);
	if (pid)
		return;
	snprintf(number, sizeof(number), "%u", unit);
	execl("/proc/self/exe", self[0], self[1], what, number, "-", NULL);
	wrong("no exec", unit);
}

static void finish(void)
{
	int status;

	if (wait(&status) < 0 || status)
		wrong("a program ended with", status);
}

static void check(unsigned int round)
{
	static unsigned char is[SIZE], from[SIZE], should_be[SIZE];
	int fd = open(path("linked", 0), O_RDONLY);
	unsigned int unit;

	for (unit = 0; unit < UNITS; unit++) {
		source(from, round, unit);
		compile(should_be, from);
		if (read(fd, is, SIZE) != SIZE || memcmp(is, should_be, SIZE))
			wrong("the result, in unit", unit);
	}
	close(fd);
	unlink(path("linked", 0));
}

static void build(unsigned int round, unsigned int jobs)
{
	static unsigned char text[SIZE];
	unsigned int unit;

	for (unit = 0; unit < UNITS; unit++) {
		source(text, round, unit);
		put(path("source", unit), text, SIZE);
		if (unit >= jobs)
			finish();
		start("compile", unit);
	}
	while (jobs--)
		finish();
	start("link", 0);
	finish();
	check(round);
}

int main(int argc, char **argv)
{
	unsigned int round = 0, jobs;
	time_t end;

	self = argv;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 5)
		return strcmp(argv[2], "link") ? compiler(atoi(argv[3])) : linker();
	jobs = argc == 4 ? atoi(argv[3]) : 0;
	if (!jobs || jobs > UNITS || (mkdir(argv[1], 0700) && access(argv[1], W_OK))) {
		puts("usage: buildload DIR SECONDS JOBS");
		return 2;
	}
	end = time(NULL) + atoi(argv[2]);
	do
		build(round++, jobs);
	while (time(NULL) < end);
	printf("buildload: %u programs run, their results right\n", round * (UNITS + 1));
	return 0;
}
