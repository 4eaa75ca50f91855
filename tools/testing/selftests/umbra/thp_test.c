// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages. Proves that the guest's bytes are right while the host joins
 * small pages into a huge one and splits it again, that the mapping follows
 * the host's size (pages_2m, pages_1g and UMBRA_GFN_INFO), and that hugetlbfs
 * memory of 2M and 1G is mapped and taken away.
 */
#include <linux/falloc.h>
#include <fcntl.h>

#include "test.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

FIXTURE(thp) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

#define MEM_SIZE (3 * PAGE_2M)
#define STRIDE 1024

FIXTURE_SETUP(thp)
{
	/* Pages are joined when a test asks for it, and not again behind its back. */
	host_write("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs",
		   "3600000");
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, MEM_SIZE);
	agent_start(self->vcpu);
}

FIXTURE_TEARDOWN(thp)
{
	vm_free(self->vm);
}

/* Size of the mapping at @p: 1, 2, 3; 0 when it cannot be told. */
static int level_of(struct vm *vm, const void *p)
{
	struct umbra_gfn_info info;

	return vm_gfn_info(vm, (u64)p, &info) ? info.level : 0;
}

/* Where the level can be told, it must be this one. */
#define EXPECT_LEVEL(want, p) do {				\
	int __level = level_of(self->vm, p);			\
								\
	if (__level || node_has(UMBRA_CAP_AUDIT))		\
		EXPECT_EQ(want, __level);			\
} while (0)

TEST_F(thp, huge_from_the_start)
{
	u8 *huge = self->mem + PAGE_2M;
	long before = vm_stat(self->vm, "pages_2m");

	ASSERT_EQ(0, madvise(huge, PAGE_2M, MADV_HUGEPAGE));
	*(shared_u8 *)huge = 1;
	if (smaps_kb(huge, "AnonHugePages") < 2048)
		TEST_SKIP("the host gives no huge page");
	host_fill(huge, PAGE_2M, STRIDE, 1);
	EXPECT_EQ(0, agent_verify(self->vcpu, huge, PAGE_2M, STRIDE, 1));
	agent_fill(self->vcpu, huge, PAGE_2M, STRIDE, 2);
	EXPECT_EQ(0, host_verify(huge, PAGE_2M, STRIDE, 2));
	EXPECT_LEVEL(2, huge + 123 * PAGE_4K);
	if (before >= 0)
		EXPECT_EQ(before + 1, vm_stat(self->vm, "pages_2m"));
}

TEST_F(thp, one_fault_maps_all_of_it)
{
	u8 *huge = self->mem + PAGE_2M;
	long before, after;

	ASSERT_EQ(0, madvise(huge, PAGE_2M, MADV_HUGEPAGE));
	*(shared_u8 *)huge = 1;
	if (smaps_kb(huge, "AnonHugePages") < 2048)
		TEST_SKIP("the host gives no huge page");
	agent_fill(self->vcpu, self->mem, PAGE_4K, PAGE_4K, 1);
	before = vm_stat(self->vm, "pf_taken");
	if (before < 0)
		TEST_SKIP("no pf_taken in debugfs");
	agent_fill(self->vcpu, huge, PAGE_2M, PAGE_4K, 1);
	after = vm_stat(self->vm, "pf_taken");
	EXPECT_EQ(before + 1, after);
}

TEST_F(thp, collapse_under_the_guest)
{
	u8 *huge = self->mem + PAGE_2M;

	agent_fill(self->vcpu, self->mem, MEM_SIZE, STRIDE, 3);
	ASSERT_EQ(0, smaps_kb(huge, "AnonHugePages"));
	EXPECT_LEVEL(1, huge);
	if (!thp_collapse(huge))
		TEST_SKIP("the host collapses no pages");
	EXPECT_EQ(0, agent_verify(self->vcpu, self->mem, MEM_SIZE, STRIDE, 3));
	agent_fill(self->vcpu, huge, PAGE_2M, STRIDE, 4);
	EXPECT_EQ(0, host_verify(huge, PAGE_2M, STRIDE, 4));
	EXPECT_LEVEL(2, huge);
}

TEST_F(thp, split_by_dontneed)
{
	u8 *huge = self->mem + PAGE_2M;
	u8 *hole = huge + 37 * PAGE_4K;

	ASSERT_EQ(0, madvise(huge, PAGE_2M, MADV_HUGEPAGE));
	agent_fill(self->vcpu, huge, PAGE_2M, STRIDE, 5);
	if (smaps_kb(huge, "AnonHugePages") < 2048)
		TEST_SKIP("the host gives no huge page");
	ASSERT_EQ(0, madvise(hole, PAGE_4K, MADV_DONTNEED));
	EXPECT_EQ(0, agent_read(self->vcpu, hole, 8));
	EXPECT_EQ(0, agent_verify(self->vcpu, huge, hole - huge, STRIDE, 5));
	EXPECT_EQ(0, agent_verify(self->vcpu, hole + PAGE_4K, huge + PAGE_2M - hole - PAGE_4K,
				  STRIDE, 5));
	EXPECT_LEVEL(1, huge);
	/* New bytes on both sides of the hole arrive in the host. */
	agent_fill(self->vcpu, huge, PAGE_2M, STRIDE, 6);
	EXPECT_EQ(0, host_verify(huge, PAGE_2M, STRIDE, 6));
}

TEST_F(thp, split_by_mprotect)
{
	u8 *huge = self->mem + PAGE_2M;
	u8 *page = huge + 100 * PAGE_4K;

	ASSERT_EQ(0, madvise(huge, PAGE_2M, MADV_HUGEPAGE));
	agent_fill(self->vcpu, huge, PAGE_2M, STRIDE, 5);
	ASSERT_EQ(0, mprotect(page, PAGE_4K, PROT_READ));
	agent_post(self->vcpu, AGENT_WRITE, page, 8, 1, 0);
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	ASSERT_EQ(0, mprotect(page, PAGE_4K, PROT_READ | PROT_WRITE));
	agent_wait(self->vcpu);
	EXPECT_EQ(1, *(shared_u64 *)page);
	*(shared_u64 *)page = pattern(page, 5);
	EXPECT_EQ(0, agent_verify(self->vcpu, huge, PAGE_2M, STRIDE, 5));
}

/* A slot whose guest address is not aligned as its memory is: no huge mapping. */
TEST_F(thp, misaligned_slot)
{
	u8 *area = mmap(NULL, 2 * MEM_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 *hva = (u8 *)(((u64)area + PAGE_2M - 1) & ~(PAGE_2M - 1));
	u8 *gpa = vm_reserve(self->vm, MEM_SIZE, PAGE_2M);
	u64 i;

	ASSERT_EQ(0, madvise(hva, MEM_SIZE, MADV_HUGEPAGE));
	vm_add_slot(self->vm, 0, (u64)gpa, MEM_SIZE - PAGE_4K, hva + PAGE_4K);
	for (i = 0; i < MEM_SIZE / PAGE_4K; i++)
		*(u64 *)(hva + i * PAGE_4K) = i;
	for (i = 1; i < MEM_SIZE / PAGE_4K; i++)
		ASSERT_EQ(i, agent_read(self->vcpu, gpa + (i - 1) * PAGE_4K, 8));
	EXPECT_LEVEL(1, gpa + PAGE_2M);
}

/* A slot that ends inside of a huge page must not show what is behind it. */
TEST_F(thp, slot_ends_inside_a_huge_page)
{
	u8 *area = vm_reserve(self->vm, 2 * PAGE_2M, PAGE_2M);

	ASSERT_EQ(0, mprotect(area, 2 * PAGE_2M, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, madvise(area, 2 * PAGE_2M, MADV_HUGEPAGE));
	host_fill(area, 2 * PAGE_2M, STRIDE, 7);
	vm_add_slot(self->vm, 0, (u64)area, PAGE_2M + 16 * PAGE_4K, area);
	EXPECT_EQ(0, agent_verify(self->vcpu, area, PAGE_2M + 16 * PAGE_4K, STRIDE, 7));
	EXPECT_LEVEL(1, area + PAGE_2M);
	agent_post(self->vcpu, AGENT_READ, area + PAGE_2M + 16 * PAGE_4K, 8, 0, 0);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(KVM_EXIT_MMIO, self->vcpu->run->exit_reason);
	agent_wait(self->vcpu);
}

/* --- hugetlbfs --- */

static void hugetlb(struct __test_metadata *_metadata, FIXTURE_DATA(thp) * self, size_t size,
		    int shift, int level)
{
	u8 *gpa = vm_reserve(self->vm, size, size);
	u8 *mem;
	int fd;

	if (!hugetlb_reserve(size, 1))
		TEST_SKIP("no huge page of %zu MiB", size >> 20);
	fd = memfd_create("huge", MFD_HUGETLB | shift << MFD_HUGE_SHIFT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, size));
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	vm_add_slot(self->vm, 0, (u64)gpa, size, mem);
	agent_write(self->vcpu, gpa + size - 8, 8, 321);
	EXPECT_EQ(321, *(shared_u64 *)(mem + size - 8));
	*(shared_u64 *)(mem + size / 2) = 654;
	EXPECT_EQ(654, agent_read(self->vcpu, gpa + size / 2, 8));
	EXPECT_LEVEL(level, gpa + size / 2);
	/* A hole as large as the page takes it away; the next touch is zero. */
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size));
	EXPECT_EQ(0, agent_read(self->vcpu, gpa + size / 2, 8));
	agent_write(self->vcpu, gpa, 8, 987);
	EXPECT_EQ(987, *(shared_u64 *)mem);
	close(fd);
}

TEST_F(thp, hugetlb_2m)
{
	hugetlb(_metadata, self, PAGE_2M, 21, 2);
}

TEST_F(thp, hugetlb_1g)
{
	hugetlb(_metadata, self, PAGE_1G, 30, 3);
}

UMBRA_TEST_MAIN
