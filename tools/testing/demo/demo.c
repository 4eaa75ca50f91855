// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that fills and verifies its memory, while its memory is swapped out
 * underneath it.
 *
 * One thread runs the guest, another asks the kernel to page out the guest's
 * memory, piece by piece, without a pause. Every round the guest writes new
 * contents to all of it; all of it is paged out at once; the guest reads it again and
 * makes a checksum, of which the host knows what it must be. Exit status 0: every
 * checksum was right, the audit found nothing, and nothing was left behind.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent.h"
#include "host.h"
#include "vm.h"

#define MEM_SIZE (8UL << 20)
#define ROUNDS 4

enum stage {
	FILLED,
	VERIFIED,
};

/* Written by the guest, but for @mem and @size. */
struct shared {
	u64 *mem;
	u64 size;
	u64 sum;
	u64 wrong;
};

/* Runs on either side. */
static u64 add_to_sum(u64 sum, u64 value)
{
	return (sum << 7 | sum >> 57) * 3 + value;
}

static void guest_main(void *arg)
{
	struct shared *shared = arg;
	u64 *p, *end = shared->mem + shared->size / sizeof(u64);
	u64 round, sum;

	for (round = 1; round <= ROUNDS; round++) {
		for (p = shared->mem; p < end; p++)
			GUEST_WRITE(p, pattern(p, round));
		GUEST_SYNC(FILLED);
		sum = 0;
		for (p = shared->mem; p < end; p++) {
			u64 seen = GUEST_READ(p);

			sum = add_to_sum(sum, seen);
			shared->wrong += seen != pattern(p, round);
		}
		shared->sum = sum;
		GUEST_SYNC(VERIFIED);
	}
}

static u64 expected_sum(const struct shared *shared, u64 round)
{
	u64 *p, *end = shared->mem + shared->size / sizeof(u64);
	u64 sum = 0;

	for (p = shared->mem; p < end; p++)
		sum = add_to_sum(sum, pattern(p, round));
	return sum;
}

static bool swapper_ends;

static void *swapper(void *mem)
{
	size_t off;

	for (off = 0; !__atomic_load_n(&swapper_ends, __ATOMIC_RELAXED); off += PAGE_2M)
		madvise(mem + off % MEM_SIZE, PAGE_2M, MADV_PAGEOUT);
	return NULL;
}

static long host_stat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "re");
	char key[64];
	long value, found = 0;

	while (f && fscanf(f, "%63s %ld", key, &value) == 2)
		if (!strcmp(key, name))
			found = value;
	if (f)
		fclose(f);
	return found;
}

/* Lets the guest do all rounds. Returns how many checksums were wrong. */
static int run_guest(struct vm *vm, struct vcpu *vcpu, struct shared *shared)
{
	int round, bad = 0;

	printf("round  guest's checksum             faults    pages mapped  taken back   swapped\n"
	       "                                             4K        2M  by the host      out\n");
	for (round = 1; round <= ROUNDS; round++) {
		long small, huge;
		bool right;

		vcpu_sync(vcpu, FILLED);
		small = vm_stat(vm, "pages_4k");
		huge = vm_stat(vm, "pages_2m");
		madvise(shared->mem, MEM_SIZE, MADV_PAGEOUT);
		vcpu_sync(vcpu, VERIFIED);
		right = shared->sum == expected_sum(shared, round) && !shared->wrong;
		bad += !right;
		printf("%5d  %016lx %-7s %10ld %5ld %9ld %12ld %8ld\n", round, shared->sum,
		       right ? "right" : "WRONG", vm_stat(vm, "pf_taken"), small, huge,
		       vm_stat(vm, "unmapped"), host_stat("pswpout"));
	}
	vcpu_done(vcpu);
	return bad;
}

int main(void)
{
	const char *left;
	struct shared *shared;
	struct vm *vm;
	struct vcpu *vcpu;
	pthread_t thread;
	u64 violations;
	int bad;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (node_unfit())
		die("%s", node_unfit());
	if (!swap_on())
		die("no swap space");
	vm = vm_create();
	vcpu = vcpu_create(vm, 0);
	shared = vm_mem(vm, PAGE_4K);
	shared->size = MEM_SIZE;
	shared->mem = vm_mem(vm, MEM_SIZE);
	madvise(shared->mem, MEM_SIZE, MADV_HUGEPAGE);
	vcpu_start(vcpu, guest_main, shared);
	if (pthread_create(&thread, NULL, swapper, shared->mem))
		die("thread");
	bad = run_guest(vm, vcpu, shared);
	__atomic_store_n(&swapper_ends, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	violations = vm_audit(vm);
	vm_close(vm);
	left = node_leftovers();
	printf("\n%d rounds over %lu MiB, which the host swapped out all the while: %s\n", ROUNDS,
	       MEM_SIZE >> 20, bad ? "THE GUEST'S MEMORY IS WRONG" : "every checksum is right");
	printf("after the VM is closed: %s\n",
	       left ?: "no mapping, no table, no reference is left");
	swap_off();
	return bad || violations || left;
}
