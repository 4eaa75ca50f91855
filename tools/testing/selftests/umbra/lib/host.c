// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading what the host's kernel says about this process's memory, and files.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "vm.h"

#define PAGEMAP "/proc/self/pagemap"

int host_cpu(int nth)
{
	cpu_set_t set;
	int cpu;

	if (sched_getaffinity(0, sizeof(set), &set))
		die("sched_getaffinity: %m");
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && !nth--)
			return cpu;
	return -1;
}

void host_pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot run on CPU %d", cpu);
}

int host_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

long host_read(const char *path)
{
	char text[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = 0;
	return strtol(text, NULL, 0);
}

u64 pagemap(const void *addr)
{
	int fd = open(PAGEMAP, O_RDONLY | O_CLOEXEC);
	u64 entry = 0;

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry), (u64)addr / 4096 * sizeof(entry)) !=
	    sizeof(entry))
		entry = 0;
	close(fd);
	return entry;
}

bool page_present(const void *addr)
{
	return pagemap(addr) >> 63;
}

bool page_swapped(const void *addr)
{
	return pagemap(addr) >> 62 & 1;
}

u64 page_pfn(const void *addr)
{
	return pagemap(addr) & (BIT(55) - 1);
}

size_t pages_present(const void *addr, size_t size)
{
	size_t off, n = 0;

	for (off = 0; off < size; off += 4096)
		n += page_present((const char *)addr + off);
	return n;
}

size_t pages_swapped(const void *addr, size_t size)
{
	size_t off, n = 0;

	for (off = 0; off < size; off += 4096)
		n += page_swapped((const char *)addr + off);
	return n;
}

long smaps_kb(const void *addr, const char *field)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end;
	size_t len = strlen(field);
	bool inside = false;
	char line[256];
	long kb = -1;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (u64)addr >= start && (u64)addr < end;
		else if (inside && !strncmp(line, field, len) && line[len] == ':')
			kb = strtol(line + len + 1, NULL, 10);
	}
	fclose(f);
	return kb;
}
