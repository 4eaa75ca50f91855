// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bench client for POWER: what hashed page tables cost on one node, a line for each row
 * as tools/testing/bench/bench.c prints them. The node is UMBRA_NODE.
 *
 * The guest makes its hypercalls in real mode and its accesses in virtual mode, and times
 * them itself; the process times what the host does.
 *
 * No floating point until all was measured: a stock KVM_RUN in which the thread slept gives
 * the process the guest's registers.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MSR_REAL	(1ULL << 63 | 1)	/* SF, LE */
#define MSR_VIRTUAL	(MSR_REAL | 0x30)
#define SAY_DONE	0x7000
#define CODE		0x10000ULL
#define ARGS		0x80000ULL	/* of the hypercalls */
#define DATA		0x1000000ULL	/* real and effective address of the pages */
#define PAGES		1024
#define ORDER		22
#define VSID		0x5a5aULL
#define MAX_ROUNDS	9
#define TICKS_PER_NS	0.512	/* of the time base */

extern const uint32_t loop_enter[], loop_remove[], loop_bulk[], loop_touch[], loop_end[];

enum row { ENTER, REMOVE, BULK, HDSI, PAGEOUT, DUMP, NR_ROWS };

static const struct {
	const char *name, *unit, *what;
	double target;
	unsigned int count;	/* of units in what is timed */
} rows[NR_ROWS] = {
	[ENTER] = { "h-enter", "HPTE", "H_ENTER of a page that the host has", 1, PAGES },
	[REMOVE] = { "h-remove", "HPTE", "H_REMOVE of a valid HPTE", 1, PAGES },
	[BULK] = { "h-bulk-remove", "HPTE", "H_BULK_REMOVE, four at a time", 1, PAGES },
	[HDSI] = { "hdsi", "fault", "HDSI, host has the page", 0.8, PAGES },
	[PAGEOUT] = { "page-out", "page", "MADV_DONTNEED, mapped less unmapped", 1, PAGES },
	[DUMP] = { "htab-read", "HPTE", "KVM_PPC_GET_HTAB_FD read to its end", 1,
		   1 << (ORDER - 4) },
};

struct machine {
	int vm, vcpu;
	uint8_t *mem;
	size_t size;
	struct kvm_run *run;
};

static size_t page_size;

static int must(int ret, const char *what)
{
	if (ret >= 0)
		return ret;
	perror(what);
	exit(1);
}

static void open_machine(struct machine *m)
{
	const char *node = getenv("UMBRA_NODE");
	int fd = must(open(node ? node : "/dev/umbra", O_RDWR), "node");
	struct kvm_userspace_memory_region region = {};
	struct kvm_enable_cap papr = { .cap = KVM_CAP_PPC_PAPR };
	struct kvm_ppc_mmuv3_cfg hash = {};
	struct kvm_sregs sregs;
	uint32_t order = ORDER;

	page_size = sysconf(_SC_PAGESIZE);
	m->size = DATA + PAGES * page_size;
	m->mem = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(m->mem, m->size, MADV_NOHUGEPAGE);
	m->vm = must(ioctl(fd, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	/* umbra has no other mode. */
	ioctl(m->vm, KVM_PPC_CONFIGURE_V3_MMU, &hash);
	must(ioctl(m->vm, KVM_PPC_ALLOCATE_HTAB, &order), "KVM_PPC_ALLOCATE_HTAB");
	region.memory_size = m->size;
	region.userspace_addr = (uintptr_t)m->mem;
	must(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region), "memory");
	m->vcpu = must(ioctl(m->vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	m->run = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	must(ioctl(m->vcpu, KVM_ENABLE_CAP, &papr), "KVM_ENABLE_CAP");
	must(ioctl(m->vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	memset(sregs.u.s.ppc64.slb, 0, sizeof(sregs.u.s.ppc64.slb));
	sregs.u.s.ppc64.slb[0].slbe = 1 << 27;
	sregs.u.s.ppc64.slb[0].slbv = VSID << 12 | (page_size > 4096 ? 0x110 : 0);
	must(ioctl(m->vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	memcpy(m->mem + CODE, loop_enter, (char *)loop_end - (char *)loop_enter);
	__builtin___clear_cache((char *)m->mem + CODE, (char *)m->mem + CODE + 4096);
	close(fd);
}

static void close_machine(struct machine *m)
{
	munmap(m->run, page_size);
	close(m->vcpu);
	close(m->vm);
	munmap(m->mem, m->size);
}

/* Run a loop; the ticks that it took. */
static int64_t loop(struct machine *m, const uint32_t *code, uint64_t msr, uint64_t count,
		    uint64_t arg)
{
	struct kvm_regs regs = {
		.pc = CODE + ((char *)code - (char *)loop_enter), .msr = msr,
		.gpr = { [14] = count, [15] = arg, [16] = page_size },
	};

	must(ioctl(m->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	must(ioctl(m->vcpu, KVM_RUN, 0), "KVM_RUN");
	if (m->run->exit_reason == KVM_EXIT_PAPR_HCALL && m->run->papr_hcall.nr == SAY_DONE)
		return m->run->papr_hcall.args[0];
	fprintf(stderr, "exit %u, %llx %lld\n", m->run->exit_reason,
		(unsigned long long)m->run->papr_hcall.nr,
		(long long)m->run->papr_hcall.args[0]);
	exit(1);
}

static uint64_t place(uint64_t ea)
{
	uint64_t hash = VSID ^ ea / page_size;

	return hash % (1 << (ORDER - 7)) * 8;
}

/* The arguments of H_ENTER for @count pages from @ea on, each where it is in real memory. */
static void enter_args(struct machine *m, uint64_t ea, unsigned int count)
{
	uint64_t *arg = (uint64_t *)(m->mem + ARGS);
	bool large = page_size > 4096;

	for (; count--; ea += page_size) {
		*arg++ = place(ea);
		*arg++ = VSID << 12 | ea >> 23 << 7 | (large ? 4 : 0) | 1;
		*arg++ = ea | (large ? 0x1000 : 0) | 0x12;
	}
}

static void bulk_args(struct machine *m)
{
	uint64_t *arg = (uint64_t *)(m->mem + ARGS);
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		*arg++ = 1ULL << 62 | place(DATA + i * page_size);
		*arg++ = 0;
	}
}

static int64_t enter_all(struct machine *m)
{
	enter_args(m, DATA, PAGES);
	return loop(m, loop_enter, MSR_REAL, PAGES, ARGS);
}

static int64_t remove_all(struct machine *m)
{
	enter_args(m, DATA, PAGES);
	return loop(m, loop_remove, MSR_REAL, PAGES, ARGS);
}

static int64_t drop_pages(struct machine *m)
{
	uint64_t begin = __builtin_ppc_get_timebase();

	madvise(m->mem + DATA, PAGES * page_size, MADV_DONTNEED);
	return __builtin_ppc_get_timebase() - begin;
}

static int64_t read_table(struct machine *m)
{
	static uint8_t buf[65536];
	struct kvm_get_htab_fd request = {};
	int fd = must(ioctl(m->vm, KVM_PPC_GET_HTAB_FD, &request), "KVM_PPC_GET_HTAB_FD");
	uint64_t begin = __builtin_ppc_get_timebase(), end;

	while (must(read(fd, buf, sizeof(buf)), "read"))
		;
	end = __builtin_ppc_get_timebase();
	close(fd);
	return end - begin;
}

static void measure(int64_t *value)
{
	struct machine m;
	int64_t without;

	open_machine(&m);
	enter_args(&m, CODE, 1);
	loop(&m, loop_enter, MSR_REAL, 1, ARGS);
	memset(m.mem + DATA, 1, PAGES * page_size);
	value[ENTER] = enter_all(&m);
	value[DUMP] = read_table(&m);
	value[REMOVE] = remove_all(&m);
	enter_all(&m);
	bulk_args(&m);
	value[BULK] = loop(&m, loop_bulk, MSR_REAL, PAGES / 4, ARGS);
	without = drop_pages(&m);
	/* The host has none when they are entered, and all when they are used. */
	enter_all(&m);
	memset(m.mem + DATA, 1, PAGES * page_size);
	value[HDSI] = loop(&m, loop_touch, MSR_VIRTUAL, PAGES, DATA);
	value[PAGEOUT] = drop_pages(&m) - without;
	close_machine(&m);
}

static int by_value(const void *a, const void *b)
{
	int64_t d = *(const int64_t *)a - *(const int64_t *)b;

	return d < 0 ? -1 : d > 0;
}

static double per_unit(enum row row, int64_t ticks)
{
	return ticks / TICKS_PER_NS / rows[row].count;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 3, round, row;
	int64_t values[NR_ROWS][MAX_ROUNDS], one[NR_ROWS];

	if (rounds < 1 || rounds > MAX_ROUNDS)
		return 2;
	for (round = 0; round < rounds; round++) {
		measure(one);
		for (row = 0; row < NR_ROWS; row++)
			values[row][round] = one[row];
	}
	for (row = 0; row < NR_ROWS; row++) {
		int64_t *value = values[row];

		qsort(value, rounds, sizeof(*value), by_value);
		printf("%s|%s|%g|%.3f|%.3f|%.3f|%s\n", rows[row].name, rows[row].unit,
		       rows[row].target, per_unit(row, value[rounds / 2]),
		       per_unit(row, value[0]), per_unit(row, value[rounds - 1]),
		       rows[row].what);
	}
	return 0;
}
