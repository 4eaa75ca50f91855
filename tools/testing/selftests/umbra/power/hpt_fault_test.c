// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults by hand: pages that the host takes and gives back, aging, the dirty log, slots
 * that come and go, and who keeps a page.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "lib/hpt.h"

#define PAGES 64

FIXTURE(fault) {
	struct hpt_vm vm;
	uint64_t slbv;
};

FIXTURE_SETUP(fault)
{
	hpt_vm_open(&self->vm, PAGES, 18);
	self->slbv = 0x77ULL << 12 | (page_size > 4096 ? SLB_64K : 0);
}

FIXTURE_TEARDOWN(fault)
{
	EXPECT_EQ(0, hpt_vm_end(&self->vm));
}

/* The page of the guest that is at the same place in its real memory. */
static uint64_t ea_of(uint64_t page)
{
	return page * page_size;
}

/* The first place of its group. */
static uint64_t index_of(struct _test_data_fault *self, uint64_t page)
{
	return hash_group(&self->vm, ea_of(page), self->slbv, false);
}

static long map_at(struct _test_data_fault *self, uint64_t page, uint64_t gpa, uint64_t r)
{
	bool large = page_size > 4096;

	return h_enter(&self->vm, 0, index_of(self, page),
		       hpte_v(ea_of(page), self->slbv) | (large ? V_LARGE : 0),
		       gpa | r | (large ? 0x1000 : 0), NULL);
}

static long map_page(struct _test_data_fault *self, uint64_t page)
{
	return map_at(self, page, page * page_size, R_M | 2);
}

static int load(struct _test_data_fault *self, uint64_t page, uint64_t *data)
{
	struct umbra_hpt_access a;
	int ret = hpt_load(&self->vm, ea_of(page), self->slbv, &a);

	*data = a.data;
	return ret;
}

static int store(struct _test_data_fault *self, uint64_t page, uint64_t data)
{
	struct umbra_hpt_access a;

	return hpt_store(&self->vm, ea_of(page), self->slbv, data, &a);
}

static uint32_t flags_of(struct _test_data_fault *self, uint64_t page)
{
	struct umbra_gfn_info info;

	hpt_gfn_info(&self->vm, page, &info);
	return info.flags;
}

static uint64_t *word(struct _test_data_fault *self, uint64_t page)
{
	return (uint64_t *)(self->vm.mem + page * page_size);
}

TEST_F(fault, a_page_goes_and_comes)
{
	uint64_t data;
	int i;

	ASSERT_EQ(H_SUCCESS, map_page(self, 1));
	ASSERT_FALSE(flags_of(self, 1) & UMBRA_GFN_PRESENT);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(UMBRA_HPT_DONE, store(self, 1, 42 + i));
		ASSERT_EQ(42 + i, *word(self, 1));
		ASSERT_TRUE(flags_of(self, 1) & UMBRA_GFN_PRESENT);
		ASSERT_EQ(0, madvise(word(self, 1), page_size, MADV_DONTNEED));
		ASSERT_FALSE(flags_of(self, 1) & UMBRA_GFN_PRESENT);
		ASSERT_EQ(UMBRA_HPT_DONE, load(self, 1, &data));
		ASSERT_EQ(0, data);
	}
}

/* What is read first is mapped without writing, and a write gets a page of its own. */
TEST_F(fault, zero_page_then_write)
{
	struct umbra_gfn_info before, after;
	uint64_t data;

	ASSERT_EQ(H_SUCCESS, map_page(self, 2));
	ASSERT_EQ(UMBRA_HPT_DONE, load(self, 2, &data));
	ASSERT_EQ(0, data);
	hpt_gfn_info(&self->vm, 2, &before);
	ASSERT_FALSE(before.flags & UMBRA_GFN_WRITABLE);
	ASSERT_EQ(UMBRA_HPT_DONE, store(self, 2, 7));
	hpt_gfn_info(&self->vm, 2, &after);
	ASSERT_TRUE(after.flags & UMBRA_GFN_WRITABLE);
	ASSERT_NE(before.pfn, after.pfn);
	ASSERT_EQ(7, *word(self, 2));
}

/* A page that the host has is mapped by H_ENTER at once. */
TEST_F(fault, present_pages_need_no_fault)
{
	*word(self, 3) = 99;
	ASSERT_EQ(H_SUCCESS, map_page(self, 3));
	ASSERT_TRUE(flags_of(self, 3) & UMBRA_GFN_PRESENT);
	ASSERT_FALSE(flags_of(self, 3) & (UMBRA_GFN_ACCESSED | UMBRA_GFN_DIRTY));
}

TEST_F(fault, several_of_one_page)
{
	struct umbra_gfn_info info;
	uint64_t i, data;

	for (i = 0; i < 5; i++)
		ASSERT_EQ(H_SUCCESS, map_at(self, 10 + i, 0, R_M | 2));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(UMBRA_HPT_DONE, store(self, 10 + i, i));
		hpt_gfn_info(&self->vm, 0, &info);
		ASSERT_EQ(i + 1, info.sptes);
	}
	ASSERT_EQ(0, hpt_violations(&self->vm));
	madvise(word(self, 0), page_size, MADV_DONTNEED);
	hpt_gfn_info(&self->vm, 0, &info);
	ASSERT_EQ(0, info.sptes);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(UMBRA_HPT_DONE, load(self, 10 + i, &data));
		ASSERT_EQ(0, data);
	}
	/* Out of the middle, the head, the rest. */
	for (i = 0; i < 5; i++) {
		uint64_t page = 10 + (i * 2 + 2) % 5, v, r;

		ASSERT_EQ(H_SUCCESS, h_remove(&self->vm, 0, index_of(self, page), 0, &v, &r));
		ASSERT_EQ(0, hpt_violations(&self->vm));
	}
	hpt_gfn_info(&self->vm, 0, &info);
	ASSERT_EQ(0, info.sptes);
}

TEST_F(fault, r_and_c_survive_in_the_guests_view)
{
	uint64_t v, r, index = index_of(self, 4);

	ASSERT_EQ(H_SUCCESS, map_page(self, 4));
	ASSERT_EQ(UMBRA_HPT_DONE, store(self, 4, 1));
	madvise(word(self, 4), page_size, MADV_DONTNEED);
	h_read(&self->vm, index, &v, &r);
	ASSERT_EQ(R_R | R_C, r & (R_R | R_C));
	ASSERT_TRUE(flags_of(self, 4) & UMBRA_GFN_ACCESSED);
}

/* The second doubleword as it stands in the table: the VM's debugfs knows it. */
static uint64_t in_table(uint64_t index)
{
	FILE *f = popen("cat /sys/kernel/debug/umbra/*/tables", "r");
	unsigned long long at, v, r, found = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%llx %llx %llx", &at, &v, &r) == 3 && at == index)
			found = r;
	if (f)
		pclose(f);
	return found;
}

TEST_F(fault, memory_that_is_none)
{
	struct umbra_hpt_access a;
	uint64_t data;

	/* MMIO, and then a slot comes there; and goes. */
	ASSERT_EQ(H_SUCCESS, map_at(self, 20, PAGES * page_size, R_M | 2));
	ASSERT_EQ(UMBRA_HPT_MMIO, hpt_load(&self->vm, ea_of(20), self->slbv, &a));
	ASSERT_EQ(PAGES * page_size, a.gpa);
	ASSERT_EQ(R_KEY_HI | R_KEY_LO, in_table(index_of(self, 20)) & (R_KEY_HI | R_KEY_LO));
	*word(self, 7) = 5;
	ASSERT_EQ(0, hpt_vm_slot(&self->vm, 1, PAGES * page_size, word(self, 7), 1, 0));
	ASSERT_EQ(UMBRA_HPT_DONE, load(self, 20, &data));
	ASSERT_EQ(5, data);
	ASSERT_EQ(0, in_table(index_of(self, 20)) & (R_KEY_HI | R_KEY_LO));
	ASSERT_EQ(0, hpt_vm_slot(&self->vm, 1, 0, NULL, 0, 0));
	ASSERT_EQ(0, in_table(index_of(self, 20)) & (R_KEY_HI | R_KEY_LO));
	ASSERT_EQ(UMBRA_HPT_MMIO, hpt_load(&self->vm, ea_of(20), self->slbv, &a));
	ASSERT_EQ(R_KEY_HI | R_KEY_LO, in_table(index_of(self, 20)) & (R_KEY_HI | R_KEY_LO));
	/* A slot that may only be read. */
	ASSERT_EQ(0, hpt_vm_slot(&self->vm, 1, PAGES * page_size, word(self, 7), 1,
				 KVM_MEM_READONLY));
	ASSERT_EQ(UMBRA_HPT_DONE, load(self, 20, &data));
	ASSERT_EQ(UMBRA_HPT_MMIO, store(self, 20, 6));
	ASSERT_EQ(5, *word(self, 7));
	/* The process has nothing there. */
	munmap(word(self, 8), page_size);
	ASSERT_EQ(H_SUCCESS, map_page(self, 8));
	ASSERT_EQ(-EFAULT, load(self, 8, &data));
}

TEST_F(fault, dirty_log_by_c)
{
	uint64_t bitmap[1 + PAGES / 64], data;
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };
	int i;

	for (i = 0; i < 8; i++) {
		*word(self, i) = 1;
		ASSERT_EQ(H_SUCCESS, map_page(self, i));
	}
	ASSERT_EQ(UMBRA_HPT_DONE, store(self, 0, 2));
	ASSERT_EQ(0, hpt_vm_slot(&self->vm, 0, 0, self->vm.mem, PAGES, KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(0, ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, &log));
	ASSERT_EQ(0, bitmap[0]);
	ASSERT_EQ(UMBRA_HPT_DONE, store(self, 1, 2));
	ASSERT_EQ(UMBRA_HPT_DONE, load(self, 2, &data));
	ASSERT_EQ(UMBRA_HPT_DONE, store(self, 3, 2));
	/* Gone before the log is read: it is in there all the same. */
	ASSERT_EQ(H_SUCCESS, h_remove(&self->vm, 0, index_of(self, 3), 0, NULL, NULL));
	ASSERT_EQ(UMBRA_HPT_DONE, store(self, 5, 2));
	madvise(word(self, 5), page_size, MADV_DONTNEED);
	ASSERT_EQ(0, ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, &log));
	ASSERT_EQ(1 << 1 | 1 << 3 | 1 << 5, bitmap[0]);
	ASSERT_EQ(0, ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, &log));
	ASSERT_EQ(0, bitmap[0]);
	ASSERT_EQ(UMBRA_HPT_DONE, store(self, 1, 3));
	ASSERT_EQ(0, ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, &log));
	ASSERT_EQ(1 << 1, bitmap[0]);
	ASSERT_EQ(0, hpt_vm_slot(&self->vm, 0, 0, self->vm.mem, PAGES, 0));
}

/* The lab's disk, to swap to. */
static bool swap_on(void)
{
	if (!system("grep -q /dev/vda /proc/swaps"))
		return true;
	return !system("mkswap /dev/vda >/dev/null") && !swapon("/dev/vda", 0);
}

/* Swapped out and in again. */
TEST_F(fault, swap)
{
	uint64_t data;
	int i, tries = 50;

	if (!swap_on())
		SKIP(return, "no disk to swap to");
	for (i = 0; i < 16; i++) {
		ASSERT_EQ(H_SUCCESS, map_page(self, i));
		ASSERT_EQ(UMBRA_HPT_DONE, store(self, i, 1000 + i));
	}
	do {
		madvise(self->vm.mem, 16 * page_size, MADV_PAGEOUT);
	} while (--tries && (flags_of(self, 0) & UMBRA_GFN_PRESENT));
	ASSERT_NE(0, tries);
	for (i = 0; i < 16; i++) {
		ASSERT_EQ(UMBRA_HPT_DONE, load(self, i, &data));
		ASSERT_EQ(1000 + i, data);
	}
}

/* What reclaim asks is answered by R: the module counts the pages that it found young. */
TEST_F(fault, aging)
{
	const char *join = "echo $PPID >/sys/fs/cgroup/hpt/cgroup.procs";
	const char *reclaim = "echo 1M >/sys/fs/cgroup/hpt/memory.reclaim 2>/dev/null";
	const char *aged = "sort -n /sys/kernel/debug/umbra/*/aged | tail -n 1 | grep -qv '^0$'";
	int i, tries;
	uint64_t data;

	if (!swap_on() || system("mkdir -p /sys/fs/cgroup/hpt") || system(join))
		SKIP(return, "no disk to swap to, or no memory cgroup");
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(H_SUCCESS, map_page(self, i));
		ASSERT_EQ(UMBRA_HPT_DONE, store(self, i, i));
	}
	ASSERT_NE(0, system(aged));
	for (tries = 0; tries < 20 && system(aged); tries++) {
		for (i = 0; i < PAGES; i++)
			ASSERT_EQ(UMBRA_HPT_DONE, load(self, i, &data));
		/* That there was less than it was asked for is no matter. */
		if (system(reclaim))
			continue;
	}
	ASSERT_EQ(0, system(aged));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(UMBRA_HPT_DONE, load(self, i, &data));
		ASSERT_EQ(i, data);
	}
}

/* Under policy pinned a page stays where it is. */
TEST_F(fault, pinned)
{
	struct umbra_mmu_config config = { .mode = UMBRA_MMU_HPT, .policy = UMBRA_POLICY_PINNED };
	struct umbra_gfn_info before, after;
	struct umbra_counters c;
	struct hpt_vm vm = { .node = self->vm.node, .pages = 4, .mem = self->vm.mem };
	struct umbra_hpt_access a;

	vm.fd = ioctl(vm.node, KVM_CREATE_VM, 0);
	ASSERT_EQ(0, ioctl(vm.fd, UMBRA_SET_MMU, &config));
	ASSERT_EQ(0, hpt_vm_slot(&vm, 0, 0, vm.mem, 4, 0));
	vm.vcpu = ioctl(vm.fd, KVM_CREATE_VCPU, 0);
	ASSERT_LE(0, vm.vcpu);
	vm.entries = 1 << 20;
	ASSERT_EQ(H_SUCCESS, h_enter(&vm, 0, hash_group(&vm, 0, 0x77ULL << 12, false),
				     hpte_v(0, 0x77ULL << 12), R_M | 2, NULL));
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_store(&vm, 0, 0x77ULL << 12, 1, &a));
	hpt_gfn_info(&vm, 0, &before);
	hpt_counters(&vm, &c);
	ASSERT_EQ(1, c.refs_taken - c.refs_released);
	madvise(vm.mem, page_size, MADV_PAGEOUT);
	hpt_gfn_info(&vm, 0, &after);
	ASSERT_EQ(before.pfn, after.pfn);
	ASSERT_TRUE(after.flags & UMBRA_GFN_PRESENT);
	ASSERT_EQ(0, hpt_violations(&vm));
	close(vm.vcpu);
	close(vm.fd);
	hpt_counters(&self->vm, &c);
	ASSERT_EQ(c.refs_taken, c.refs_released);
}

/* What a hook breaks the audit finds. */
TEST_F(fault, the_audit_finds_what_is_broken)
{
	if (ioctl(self->vm.node, KVM_CHECK_EXTENSION, UMBRA_CAP_TEST_HOOK) < 1)
		SKIP(return, "needs a build with test hooks");
	ASSERT_EQ(H_SUCCESS, map_page(self, 1));
	ASSERT_EQ(UMBRA_HPT_DONE, store(self, 1, 1));
	ASSERT_EQ(0, hpt_hook(&self->vm, UMBRA_HOOK_SPTE_PFN, 1));
	ASSERT_EQ(1, hpt_violations(&self->vm));
	madvise(word(self, 1), page_size, MADV_DONTNEED);
	ASSERT_EQ(0, hpt_violations(&self->vm));
	ASSERT_EQ(UMBRA_HPT_DONE, store(self, 1, 1));
	ASSERT_EQ(0, hpt_hook(&self->vm, UMBRA_HOOK_SPTE_LOST, 1));
	ASSERT_LE(2, hpt_violations(&self->vm));
	madvise(word(self, 1), page_size, MADV_DONTNEED);
	ASSERT_EQ(0, hpt_violations(&self->vm));
	ASSERT_EQ(0, hpt_hook(&self->vm, UMBRA_HOOK_REF_LEAK, 1));
	ASSERT_EQ(1, hpt_violations(&self->vm));
	ASSERT_EQ(0, hpt_hook(&self->vm, UMBRA_HOOK_REPAIR, 0));
	ASSERT_EQ(0, hpt_violations(&self->vm));
}

/* Each allocation may fail; nothing is lost. */
TEST_F(fault, no_memory_for_a_table)
{
	uint32_t order = 18;
	int fd;

	if (ioctl(self->vm.node, KVM_CHECK_EXTENSION, UMBRA_CAP_TEST_HOOK) < 1)
		SKIP(return, "needs a build with test hooks");
	fd = ioctl(self->vm.node, KVM_CREATE_VM, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, hpt_hook(&self->vm, UMBRA_HOOK_ALLOC_FAIL, 1));
	ASSERT_EQ(-1, ioctl(fd, KVM_PPC_ALLOCATE_HTAB, &order));
	ASSERT_EQ(ENOMEM, errno);
	ASSERT_EQ(0, ioctl(fd, KVM_PPC_ALLOCATE_HTAB, &order));
	close(fd);
}

/* A process that is killed with pages mapped leaves nothing. */
TEST_F(fault, killed)
{
	struct umbra_counters c;
	int pipes[2], status;
	char byte = 0;
	pid_t child;

	ASSERT_EQ(0, pipe(pipes));
	child = fork();
	if (!child) {
		FIXTURE_DATA(fault) own = { .slbv = self->slbv };

		hpt_vm_open(&own.vm, 16, 18);
		for (uint64_t i = 0; i < 16; i++) {
			map_page(&own, i);
			store(&own, i, i);
		}
		if (write(pipes[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	ASSERT_EQ(1, read(pipes[0], &byte, 1));
	hpt_counters(&self->vm, &c);
	ASSERT_EQ(2, c.vms);
	ASSERT_EQ(16, c.mappings);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	hpt_counters(&self->vm, &c);
	ASSERT_EQ(1, c.vms);
	ASSERT_EQ(0, c.mappings);
}

struct churn {
	struct _test_data_fault *self;
	volatile bool stop;
};

/* The host takes pages while hypercalls and faults bring them. */
static void *churn(void *arg)
{
	struct churn *c = arg;
	unsigned int i;

	for (i = 0; !c->stop; i++)
		madvise(word(c->self, i % 8), page_size, MADV_DONTNEED);
	return NULL;
}

TEST_F_TIMEOUT(fault, bulk_remove_against_the_host, 120)
{
	uint64_t gpr[9], data;
	struct churn c = { self };
	pthread_t thread;
	int i, round;

	pthread_create(&thread, NULL, churn, &c);
	for (round = 0; round < 500; round++) {
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(H_SUCCESS, map_page(self, i));
			ASSERT_EQ(UMBRA_HPT_DONE, store(self, i, round));
			ASSERT_EQ(UMBRA_HPT_DONE, load(self, i, &data));
			ASSERT_TRUE(data == round || !data);
		}
		gpr[0] = H_BULK_REMOVE;
		for (i = 0; i < 4; i++)
			gpr[1 + 2 * i] = 1ULL << 62 | index_of(self, i);
		ASSERT_EQ(H_SUCCESS, hcall(&self->vm, gpr));
		for (i = 0; i < 4; i++)
			ASSERT_EQ(2ULL << 62 | 3ULL << 58, gpr[1 + 2 * i] & ~0xffffffffffffffULL);
	}
	c.stop = true;
	pthread_join(thread, NULL);
}

/* Another vCPU uses the HPTEs that are taken away together. */
static void *use(void *arg)
{
	struct churn *c = arg;
	struct _test_data_fault own = *c->self;
	unsigned int i;
	int ret = 0;

	own.vm.vcpu = ioctl(own.vm.fd, KVM_CREATE_VCPU, 1);
	for (i = 0; !c->stop && (ret == UMBRA_HPT_DONE || ret == UMBRA_HPT_REFLECT); i++)
		ret = store(&own, i % 4, i);
	close(own.vm.vcpu);
	return (void *)(long)(ret != UMBRA_HPT_DONE && ret != UMBRA_HPT_REFLECT);
}

TEST_F_TIMEOUT(fault, bulk_remove_against_faults, 120)
{
	struct churn c = { self };
	pthread_t thread;
	uint64_t gpr[9];
	int i, round;
	void *bad;

	pthread_create(&thread, NULL, use, &c);
	for (round = 0; round < 500; round++) {
		for (i = 0; i < 4; i++)
			ASSERT_EQ(H_SUCCESS, map_page(self, i));
		if (!(round % 8))
			madvise(word(self, round % 4), page_size, MADV_DONTNEED);
		gpr[0] = H_BULK_REMOVE;
		for (i = 0; i < 4; i++)
			gpr[1 + 2 * i] = 1ULL << 62 | index_of(self, i);
		ASSERT_EQ(H_SUCCESS, hcall(&self->vm, gpr));
		for (i = 0; i < 4; i++)
			ASSERT_EQ(2ULL << 62, gpr[1 + 2 * i] & 0xf3ULL << 56);
	}
	c.stop = true;
	pthread_join(thread, &bad);
	ASSERT_EQ(NULL, bad);
}

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

/* The host moves a page: its HPTE goes, and comes back with the new frame. */
TEST_F(fault, migration)
{
	struct umbra_gfn_info before, after;
	uint64_t data;
	int i;

	ASSERT_EQ(H_SUCCESS, map_page(self, 3));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(UMBRA_HPT_DONE, store(self, 3, 70 + i));
		hpt_gfn_info(&self->vm, 3, &before);
		ASSERT_TRUE(before.flags & UMBRA_GFN_PRESENT);
		if (madvise(word(self, 3), page_size, MADV_SOFT_OFFLINE))
			SKIP(return, "the host cannot move a page: %s", strerror(errno));
		hpt_gfn_info(&self->vm, 3, &after);
		ASSERT_FALSE(after.flags & UMBRA_GFN_PRESENT);
		ASSERT_EQ(UMBRA_HPT_DONE, load(self, 3, &data));
		ASSERT_EQ(70 + i, data);
		hpt_gfn_info(&self->vm, 3, &after);
		ASSERT_NE(before.pfn, after.pfn);
		ASSERT_EQ(0, hpt_violations(&self->vm));
	}
}

/* A slot goes, a stretch at a time, while hypercalls take HPTEs of its last page away. */
#define BIG (8 * 4096)

static void *toggle(void *arg)
{
	struct churn *c = arg;
	uint8_t *mem = mmap(NULL, BIG * page_size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	long bad = mem == MAP_FAILED, i;

	for (i = 0; !bad && i < 100; i++) {
		bad |= hpt_vm_slot(&c->self->vm, 1, PAGES * page_size, mem, BIG, 0);
		usleep(1000);
		bad |= hpt_vm_slot(&c->self->vm, 1, 0, NULL, 0, 0);
	}
	c->stop = true;
	return (void *)bad;
}

TEST_F_TIMEOUT(fault, a_slot_goes_under_hypercalls, 120)
{
	const uint64_t gpa = (PAGES + BIG - 1) * page_size;
	unsigned int done = 0, stored = 0;
	struct churn c = { self };
	uint64_t index = index_of(self, 40), gpr[9];
	pthread_t thread;
	void *bad;

	pthread_create(&thread, NULL, toggle, &c);
	for (; !c.stop; done++) {
		/* With no slot there it is MMIO. */
		ASSERT_EQ(H_SUCCESS, map_at(self, 40, gpa, R_M | 2));
		stored += store(self, 40, done) == UMBRA_HPT_DONE;
		memcpy(gpr, (uint64_t[9]) { H_CLEAR_MOD, 0, index }, sizeof(gpr));
		ASSERT_EQ(H_SUCCESS, hcall(&self->vm, gpr));
		ASSERT_EQ(H_SUCCESS, h_remove(&self->vm, 0, index, 0, NULL, NULL));
	}
	pthread_join(thread, &bad);
	ASSERT_EQ(NULL, bad);
	ASSERT_LT(10, stored);
}

#define M16 (16ULL << 20)

/* 16M pages, in each of the three kinds of segments that may have them. */
TEST_F(fault, pages_of_16m)
{
	static const struct { uint64_t llp, lp; unsigned int base; } kinds[] = {
		{ 0x100, 0, 24 }, { 0x110, 0x8000, 16 }, { 0, 0x38000, 12 },
	};
	uint64_t bitmap[M16 / 4096 / 64], v, r, slbv, ea, index, i, pages = M16 / page_size;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	struct umbra_hpt_access a;
	uint8_t *mem;

	system("echo 2 >/proc/sys/vm/nr_hugepages");
	mem = mmap(NULL, M16, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 24 << 26, -1, 0);
	if (mem == MAP_FAILED)
		SKIP(return, "the host has no pages of 16M");
	*(uint64_t *)(mem + 0x123450) = 99;
	ASSERT_EQ(0, hpt_vm_slot(&self->vm, 1, M16, mem, pages, KVM_MEM_LOG_DIRTY_PAGES));
	for (i = 0; i < 3; i++) {
		slbv = (0x88ULL + i) << 12 | kinds[i].llp;
		ea = M16 * (i + 2);
		v = ((slbv >> 12) << 12) | (ea >> 23) << 7 | V_LARGE;
		v &= ~0x80ULL;
		index = (slbv >> 12 ^ ea >> kinds[i].base) % (self->vm.entries / 8) * 8;
		ASSERT_EQ(H_SUCCESS, h_enter(&self->vm, 0, index, v,
					     M16 | R_M | 2 | kinds[i].lp, NULL));
		/* Of the address, only what is hashed is looked for in a segment of small pages. */
		ASSERT_EQ(UMBRA_HPT_DONE, hpt_load(&self->vm, ea + 0x450, slbv, &a));
		ASSERT_EQ(UMBRA_HPT_DONE, hpt_store(&self->vm, ea + 0x460, slbv, i, &a));
		ASSERT_EQ(i, *(uint64_t *)(mem + 0x460));
		if (!i) {
			ASSERT_EQ(UMBRA_HPT_DONE, hpt_load(&self->vm, ea + 0x123450, slbv, &a));
			ASSERT_EQ(99, a.data);
		}
		ASSERT_EQ(0, hpt_violations(&self->vm));
	}
	/* It has one C for all. */
	memset(bitmap, 0, sizeof(bitmap));
	ASSERT_EQ(0, ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, &log));
	for (i = 0; i < pages / 64; i++)
		ASSERT_EQ(~0ULL, bitmap[i]);
	/* The host takes it, and all three are gone. */
	ASSERT_EQ(0, madvise(mem, M16, MADV_DONTNEED));
	ASSERT_FALSE(flags_of(self, M16 / page_size) & UMBRA_GFN_PRESENT);
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_load(&self->vm, 2 * M16 + 0x123450, 0x88ULL << 12 | 0x100,
					   &a));
	ASSERT_EQ(0, a.data);
	ASSERT_EQ(0, h_read(&self->vm, 0, &v, &r));
	ASSERT_EQ(0, hpt_vm_slot(&self->vm, 1, 0, NULL, 0, 0));
	munmap(mem, M16);
	system("echo 0 >/proc/sys/vm/nr_hugepages");
}

TEST_HARNESS_MAIN
