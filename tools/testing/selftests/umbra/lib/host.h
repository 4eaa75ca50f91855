/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the host's kernel does to a process's memory, and how to ask for it:
 * swap, reclaim, migration, compaction, KSM, huge pages.
 *
 * A function that returns bool returns false where the host does not have the
 * facility; the test is skipped then.
 */
#ifndef _UMBRA_TEST_HOST_H
#define _UMBRA_TEST_HOST_H

#include "guest.h"

/* madvise() advice and clone-era constants that libc's headers may lack. */
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/**
 * host_cpu() - the @nth CPU that this thread may run on, from 0
 *
 * Returns its number, or -1 when there are fewer.
 */
int host_cpu(int nth);

/* Run the calling thread on the CPU @cpu alone. */
void host_pin_to(int cpu);

/**
 * host_write() - write @text to a file of procfs, sysfs or cgroupfs
 *
 * Returns 0 or -errno.
 */
int host_write(const char *path, const char *text);

/**
 * host_read() - the first number in a file, or -1
 */
long host_read(const char *path);

/**
 * pagemap() - /proc/self/pagemap of one address
 *
 * Returns the entry: bit 63 present, 62 swapped, 0..54 pfn.
 */
u64 pagemap(const void *addr);

bool page_present(const void *addr);
bool page_swapped(const void *addr);
u64 page_pfn(const void *addr);

/**
 * pages_present() - how many 4K pages of a range the process has mapped
 */
size_t pages_present(const void *addr, size_t size);

/**
 * pages_swapped() - how many 4K pages of a range are in swap
 */
size_t pages_swapped(const void *addr, size_t size);

/**
 * smaps_kb() - a field of /proc/self/smaps of the mapping that holds @addr
 * @field: as "AnonHugePages"
 *
 * Returns KiB, or -1 when there is no such mapping or field.
 */
long smaps_kb(const void *addr, const char *field);

/**
 * swap_on() - make sure that there is swap space
 *
 * Takes what is on, else the lab's disk /dev/vda, else a zram device.
 */
bool swap_on(void);

/**
 * swap_off() - take away what swap_on() added; all pages come back into memory
 */
void swap_off(void);

/**
 * page_out() - swap out a range of private memory
 *
 * Returns false when the kernel kept some of it: see pages_swapped().
 */
bool page_out(void *addr, size_t size);

/**
 * reclaim_self() - put the process into a cgroup of its own and reclaim from it
 * @bytes: how much to ask for
 */
bool reclaim_self(size_t bytes);

/**
 * move_page_to() - migrate one page
 *
 * Returns 0, or -errno: of the call, or of the page.
 */
int move_page_to(void *addr, int node);

/**
 * page_node() - the NUMA node of a page, or -errno
 */
int page_node(void *addr);

/**
 * compact_memory() - compact all zones
 */
bool compact_memory(void);

/**
 * ksm_merge() - let KSM merge two pages that are equal
 *
 * Returns once both have the same pfn, or false.
 */
bool ksm_merge(void *a, void *b);

/**
 * ksm_stop() - stop KSM and unmerge everything
 */
void ksm_stop(void);

/**
 * thp_collapse() - make 2M of memory one huge page
 *
 * By MADV_COLLAPSE, or by khugepaged where that is missing.
 */
bool thp_collapse(void *addr);

/**
 * hugetlb_reserve() - have @n huge pages of @size bytes in the pool
 */
bool hugetlb_reserve(size_t size, int n);

#endif
