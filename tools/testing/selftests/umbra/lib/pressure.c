// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making the host's kernel take pages away, move, merge or join them.
 *
 * Nothing here waits for a time: what has to happen in the background is asked
 * for and then looked at until it has happened, with a bound on the looks.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

#define KSM "/sys/kernel/mm/ksm/"
#define KHUGEPAGED "/sys/kernel/mm/transparent_hugepage/khugepaged/"
#define COMPACT "/proc/sys/vm/compact_memory"
#define CGROUP "/sys/fs/cgroup"

static char swap_device[64];

static bool have_swap(void)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[256];
	int lines = 0;

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		lines++;
	fclose(f);
	return lines > 1;
}

static bool shell(const char *fmt, const char *arg)
{
	char cmd[256];
	int status;

	snprintf(cmd, sizeof(cmd), fmt, arg);
	status = system(cmd);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool swap_on_device(const char *device)
{
	if (access(device, W_OK) || !shell("mkswap %s >/dev/null 2>&1", device))
		return false;
	if (swapon(device, 0))
		return false;
	snprintf(swap_device, sizeof(swap_device), "%s", device);
	return true;
}

bool swap_on(void)
{
	if (have_swap() || swap_on_device("/dev/vda"))
		return true;
	if (!shell("modprobe zram num_devices=%s 2>/dev/null", "1"))
		return false;
	if (host_write("/sys/block/zram0/disksize", "512M"))
		return false;
	return swap_on_device("/dev/zram0");
}

void swap_off(void)
{
	if (swap_device[0])
		swapoff(swap_device);
	swap_device[0] = 0;
}

/*
 * A page that some CPU still has in its LRU batch is passed by. To move pages between
 * nodes, also from one to itself, empties the batches of all CPUs.
 */
static void drain_lru_batches(void)
{
	unsigned long node0 = 1;

	syscall(SYS_migrate_pages, 0, 8 * sizeof(node0), &node0, &node0);
}

bool page_out(void *addr, size_t size)
{
	int tries = 50;

	for (; tries; tries--) {
		drain_lru_batches();
		if (madvise(addr, size, MADV_PAGEOUT))
			return false;
		if (!pages_present(addr, size))
			return true;
		usleep(1000);
	}
	return false;
}

bool reclaim_self(size_t bytes)
{
	char path[128], amount[32];
	int tries;

	/* By active and inactive lists on all kernels. */
	host_write("/sys/kernel/mm/lru_gen/enabled", "n");
	host_write(CGROUP "/cgroup.subtree_control", "+memory");
	snprintf(path, sizeof(path), CGROUP "/umbra-%d", getpid());
	if (mkdir(path, 0755) && errno != EEXIST)
		return false;
	snprintf(path, sizeof(path), CGROUP "/umbra-%d/cgroup.procs", getpid());
	if (host_write(path, "0"))
		return false;
	snprintf(path, sizeof(path), CGROUP "/umbra-%d/memory.reclaim", getpid());
	snprintf(amount, sizeof(amount), "%zu", bytes);
	/* -EAGAIN: less than that was reclaimed. The caller looks at its pages. */
	for (tries = 0; tries < 3; tries++) {
		int ret = host_write(path, amount);

		if (!ret)
			return true;
		if (ret != -EAGAIN)
			return false;
	}
	return true;
}

static int move_pages(void *addr, const int *node, int *status)
{
	return syscall(SYS_move_pages, 0, 1UL, &addr, node, status, 2 /* MPOL_MF_MOVE */);
}

int move_page_to(void *addr, int node)
{
	int status = -ENOENT;
	int tries, ret;

	for (tries = 0; tries < 50; tries++) {
		ret = move_pages(addr, &node, &status);
		if (ret < 0)
			return -errno;
		if (page_node(addr) == node)
			return 0;
		usleep(1000);
	}
	return status ?: -EBUSY;
}

int page_node(void *addr)
{
	int status = -ENOENT;

	return move_pages(addr, NULL, &status) < 0 ? -errno : status;
}

bool compact_memory(void)
{
	return !host_write(COMPACT, "1");
}

bool ksm_merge(void *a, void *b)
{
	long scans;
	int tries;

	if (madvise(a, 4096, MADV_MERGEABLE) || madvise(b, 4096, MADV_MERGEABLE))
		return false;
	host_write(KSM "sleep_millisecs", "0");
	host_write(KSM "pages_to_scan", "10000");
	/* Newer kernels pass by what they could not merge once. */
	host_write(KSM "smart_scan", "0");
	scans = host_read(KSM "full_scans");
	if (scans < 0 || host_write(KSM "run", "1"))
		return false;
	for (tries = 0; tries < 10000; tries++) {
		if (page_pfn(a) && page_pfn(a) == page_pfn(b))
			return true;
		if (host_read(KSM "full_scans") > scans + 100)
			return false;
		usleep(1000);
	}
	return false;
}

void ksm_stop(void)
{
	host_write(KSM "run", "2");
	host_write(KSM "run", "0");
}

bool thp_collapse(void *addr)
{
	const size_t size = 2UL << 20;
	int tries;

	if (madvise(addr, size, MADV_HUGEPAGE))
		return false;
	if (!madvise(addr, size, MADV_COLLAPSE))
		return smaps_kb(addr, "AnonHugePages") > 0;
	/* Pages that are held cannot be joined; khugepaged would try for ever. */
	if (errno != EINVAL)
		return false;
	host_write(KHUGEPAGED "scan_sleep_millisecs", "0");
	host_write(KHUGEPAGED "alloc_sleep_millisecs", "0");
	for (tries = 0; tries < 10000; tries++) {
		if (smaps_kb(addr, "AnonHugePages") > 0)
			return true;
		usleep(1000);
	}
	return false;
}

bool hugetlb_reserve(size_t size, int n)
{
	char path[128], text[16];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/nr_hugepages",
		 size / 1024);
	snprintf(text, sizeof(text), "%d", n);
	return !host_write(path, text) && host_read(path) >= n;
}
