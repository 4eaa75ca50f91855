// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host takes pages away to use them for something else, or moves them:
 * swap, reclaim of a cgroup, migration between NUMA nodes, compaction. Proves
 * that the contents survive under a guest that has the pages mapped and
 * changes them before, while and after, and that the two page policies do what
 * they say: notified pages leave, pinned ones stay while unmapped ones leave.
 */
#include "test.h"

FIXTURE(swap) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

#define MEM_SIZE (8UL << 20)
#define PAGES (MEM_SIZE / PAGE_4K)

static void need_swap(struct __test_metadata *_metadata)
{
	if (!swap_on())
		TEST_SKIP("no swap device");
}

FIXTURE_SETUP(swap)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, MEM_SIZE);
	agent_start(self->vcpu);
}

FIXTURE_TEARDOWN(swap)
{
	vm_free(self->vm);
	swap_off();
}

TEST_F(swap, swap_out_and_in)
{
	int round;

	need_swap(_metadata);
	if (policy_pinned(self->vm))
		TEST_SKIP("policy pinned keeps mapped pages");
	for (round = 0; round < 2; round++) {
		agent_fill(self->vcpu, self->mem, MEM_SIZE, 512, round);
		page_out(self->mem, MEM_SIZE);
		/* A few may be held by someone for a moment. */
		EXPECT_LT(PAGES * 9 / 10, pages_swapped(self->mem, MEM_SIZE));
		EXPECT_EQ(0, agent_verify(self->vcpu, self->mem, MEM_SIZE, 512, round));
		page_out(self->mem, MEM_SIZE);
		EXPECT_EQ(0, host_verify(self->mem, MEM_SIZE, 512, round));
	}
}

/* A page that was swapped in by a read is written afterwards, and goes again. */
TEST_F(swap, read_then_write)
{
	u64 value = 0;
	int i;

	need_swap(_metadata);
	if (policy_pinned(self->vm))
		TEST_SKIP("policy pinned keeps mapped pages");
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(value, agent_read(self->vcpu, self->mem, 8));
		agent_write(self->vcpu, self->mem, 8, ++value);
		EXPECT_TRUE(page_out(self->mem, PAGE_4K));
		EXPECT_TRUE(page_swapped(self->mem));
	}
	EXPECT_EQ(value, *(shared_u64 *)self->mem);
}

TEST_F(swap, cgroup_reclaim)
{
	size_t swapped;

	need_swap(_metadata);
	if (policy_pinned(self->vm))
		TEST_SKIP("policy pinned keeps mapped pages");
	agent_fill(self->vcpu, self->mem, MEM_SIZE, 512, 7);
	/* Only what a cgroup was charged for can be reclaimed from it. */
	ASSERT_EQ(0, madvise(self->mem, MEM_SIZE, MADV_DONTNEED));
	if (!reclaim_self(PAGE_4K))
		TEST_SKIP("no memory.reclaim in cgroup v2");
	agent_fill(self->vcpu, self->mem, MEM_SIZE, 512, 8);
	reclaim_self(MEM_SIZE);
	swapped = pages_swapped(self->mem, MEM_SIZE);
	EXPECT_LT(PAGES / 4, swapped);
	EXPECT_EQ(0, agent_verify(self->vcpu, self->mem, MEM_SIZE, 512, 8));
	EXPECT_EQ(0, host_verify(self->mem, MEM_SIZE, 512, 8));
}

TEST_F(swap, pinned_pages_stay)
{
	u8 *mapped = self->mem;
	u8 *unmapped = self->mem + MEM_SIZE / 2;

	need_swap(_metadata);
	if (!(node_has(UMBRA_CAP_MMU)))
		TEST_SKIP("no UMBRA_CAP_MMU");
	if (!policy_pinned(self->vm))
		TEST_SKIP("policy notified: run with UMBRA_TEST_POLICY=pinned");
	host_fill(self->mem, MEM_SIZE, 512, 3);
	agent_fill(self->vcpu, mapped, MEM_SIZE / 2, PAGE_4K, 4);
	page_out(self->mem, MEM_SIZE);
	EXPECT_EQ(PAGES / 2, pages_present(mapped, MEM_SIZE / 2));
	EXPECT_LT(PAGES / 2 * 9 / 10, pages_swapped(unmapped, MEM_SIZE / 2));
	EXPECT_EQ(0, host_verify(mapped, MEM_SIZE / 2, PAGE_4K, 4));
	EXPECT_EQ(0, agent_verify(self->vcpu, unmapped, MEM_SIZE / 2, 512, 3));
}

/* What the slot loses, the host can swap again. */
TEST_F(swap, pinned_pages_leave_with_the_slot)
{
	u8 *area = vm_reserve(self->vm, PAGE_2M, PAGE_2M);
	int slot;

	need_swap(_metadata);
	if (!policy_pinned(self->vm))
		TEST_SKIP("policy notified: run with UMBRA_TEST_POLICY=pinned");
	ASSERT_EQ(0, mprotect(area, PAGE_2M, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, madvise(area, PAGE_2M, MADV_NOHUGEPAGE));
	slot = vm_add_slot(self->vm, 0, (u64)area, PAGE_2M, area);
	agent_fill(self->vcpu, area, PAGE_2M, PAGE_4K, 5);
	page_out(area, PAGE_2M);
	EXPECT_EQ(512, pages_present(area, PAGE_2M));
	ASSERT_EQ(0, vm_set_slot(self->vm, slot, 0, (u64)area, 0, area));
	page_out(area, PAGE_2M);
	EXPECT_LT(450, pages_swapped(area, PAGE_2M));
	EXPECT_EQ(0, host_verify(area, PAGE_2M, PAGE_4K, 5));
}

TEST_F(swap, migration_between_nodes)
{
	u8 *page = self->mem;
	int i, node, ret;

	agent_write(self->vcpu, page, 8, 0);
	node = page_node(page);
	if (node < 0 || access("/sys/devices/system/node/node1", F_OK))
		TEST_SKIP("the host has one NUMA node");
	if (policy_pinned(self->vm))
		TEST_SKIP("policy pinned keeps mapped pages");
	for (i = 0; i < 20; i++) {
		u64 pfn = page_pfn(page);

		node = !node;
		ret = move_page_to(page, node);
		ASSERT_EQ(0, ret);
		EXPECT_NE(pfn, page_pfn(page));
		EXPECT_EQ(i, agent_read(self->vcpu, page, 8));
		agent_write(self->vcpu, page, 8, i + 1);
		EXPECT_EQ(i + 1, *(shared_u64 *)page);
	}
}

/* --- while the guest runs --- */

struct writer {
	shared_u64 stop;
	shared_u64 rounds;
	u64 *mem;
	u64 pages;
};

/* Every word of every page holds the round it was last written in. */
static void guest_writer(void *arg)
{
	struct writer *w = arg;
	u64 round, i;

	for (round = 1; !w->stop; round++) {
		for (i = 0; i < w->pages; i++) {
			shared_u64 *word = w->mem + i * 512;

			if (*word != round - 1)
				GUEST_FAIL("a page went back in time", round - 1, *word);
			*word = round;
		}
		w->rounds = round;
	}
}

/* Disturbs the memory @n times while the guest writes it. */
static void under_a_writer(struct __test_metadata *_metadata, FIXTURE_DATA(swap) * self,
			   void (*disturb)(u8 *mem, int i), int n)
{
	struct writer *w = vm_mem(self->vm, PAGE_4K);
	pthread_t thread;
	int i;

	w->mem = (u64 *)self->mem;
	w->pages = 256;
	vcpu_start(self->vcpu, guest_writer, w);
	thread = vcpu_spawn(self->vcpu);
	for (i = 0; i < n; i++) {
		disturb(self->mem, i);
		/* Not before the guest has been over all pages once more. */
		await(&w->rounds, 2);
	}
	w->stop = 1;
	vcpu_join(thread);
	for (i = 0; i < w->pages; i++)
		EXPECT_EQ(w->rounds, *(u64 *)(self->mem + i * PAGE_4K));
}

static void disturb_by_pageout(u8 *mem, int i)
{
	if (madvise(mem, 256 * PAGE_4K, MADV_PAGEOUT))
		die("MADV_PAGEOUT");
}

static void disturb_by_migration(u8 *mem, int i)
{
	int p;

	for (p = 0; p < 16; p++) {
		int ret = move_page_to(mem + (i + p * 16) % 256 * PAGE_4K, i % 2);

		if (ret && ret != -EBUSY && ret != -EAGAIN)
			die("move_pages: %d", ret);
	}
}

static void disturb_by_compaction(u8 *mem, int i)
{
	if (!compact_memory())
		die("compact_memory");
}

TEST_F(swap, pageout_under_a_writer)
{
	need_swap(_metadata);
	under_a_writer(_metadata, self, disturb_by_pageout, test_long() ? 40 : 5);
}

TEST_F(swap, migration_under_a_writer)
{
	if (access("/sys/devices/system/node/node1", F_OK))
		TEST_SKIP("the host has one NUMA node");
	if (policy_pinned(self->vm))
		TEST_SKIP("policy pinned keeps mapped pages");
	under_a_writer(_metadata, self, disturb_by_migration, test_long() ? 25 : 4);
}

TEST_F(swap, compaction_under_a_writer)
{
	if (access("/proc/sys/vm/compact_memory", W_OK))
		TEST_SKIP("no compaction");
	under_a_writer(_metadata, self, disturb_by_compaction, test_long() ? 8 : 2);
}

UMBRA_TEST_MAIN
