// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest code: loops of one operation, timed by the guest itself.
 *
 * The loops differ in their one operation only, so that what is around it can be
 * taken off.
 */
#include "bench.h"

#define TIMED_LOOP(name, operation)					\
	void guest_##name##_loop(void *arg)				\
	{								\
		struct loop *loop = arg;				\
		u64 addr = loop->addr, stride = loop->stride;		\
		u64 n = loop->count, start = guest_rdtsc();		\
									\
		for (; n; n--, addr += stride)				\
			operation;					\
		loop->ticks = guest_rdtsc() - start;			\
	}

TIMED_LOOP(empty, asm volatile("" : : "r" (addr)))
TIMED_LOOP(read, GUEST_READ((u64 *)addr))
TIMED_LOOP(write, GUEST_WRITE((u64 *)addr, addr))
TIMED_LOOP(cpuid, asm volatile("xor %%eax, %%eax; cpuid" : : : "eax", "ebx", "ecx", "edx"))
TIMED_LOOP(out, asm volatile("outb %%al, $0x80" : : "a" (0)))
TIMED_LOOP(mmio, GUEST_READ((u32 *)TEST_MMIO))

/* Between two neighbouring pages, and a look at what is there. */
void guest_pte_loop(void *arg)
{
	struct loop *loop = arg;
	u64 *pte = (u64 *)loop->extra, old = *pte;
	u64 n = loop->count, start = guest_rdtsc();

	for (; n; n--) {
		GUEST_WRITE(pte, n & 1 ? old + PAGE_4K : old);
		guest_invlpg((void *)loop->addr);
		GUEST_READ((u64 *)loop->addr);
	}
	loop->ticks = guest_rdtsc() - start;
}

/*
 * The guest is told what its CR3 is: on stock KVM without nested paging the emulated host
 * lets it read the hardware's.
 */
void guest_cr3_loop(void *arg)
{
	struct loop *loop = arg;
	u64 first = loop->addr, second = loop->extra;
	u64 n = loop->count, start = guest_rdtsc();

	for (; n; n--) {
		asm volatile("mov %0, %%cr3" : : "r" (second) : "memory");
		asm volatile("mov %0, %%cr3" : : "r" (first) : "memory");
	}
	loop->ticks = guest_rdtsc() - start;
}
