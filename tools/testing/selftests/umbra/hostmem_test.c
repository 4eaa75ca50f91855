// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process changes its address space under a guest that has the memory
 * mapped: MADV_DONTNEED, munmap and mmap, mprotect, mremap, fork and
 * copy-on-write, hole punching in a memfd, KSM. Proves that the guest sees
 * what the process would see, from the moment the system call returns, and
 * that what the guest writes goes where the process would have written.
 *
 * Every test lets the guest map the memory first, by reading and writing it.
 */
#include <fcntl.h>
#include <linux/falloc.h>

#include "test.h"

FIXTURE(hostmem) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

#define PAGES 64
#define MEM_SIZE (PAGES * PAGE_4K)

FIXTURE_SETUP(hostmem)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, MEM_SIZE);
	agent_start(self->vcpu);
	agent_fill(self->vcpu, self->mem, MEM_SIZE, 512, 1);
	ASSERT_EQ(0, host_verify(self->mem, MEM_SIZE, 512, 1));
}

FIXTURE_TEARDOWN(hostmem)
{
	vm_free(self->vm);
}

/* Puts @fd's memory where the test's memory is. */
static void map_file(u8 *mem, int fd, int flags)
{
	if (mmap(mem, MEM_SIZE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) != mem)
		die("mmap of a file");
}

TEST_F(hostmem, dontneed)
{
	int i;

	ASSERT_EQ(0, madvise(self->mem + 4 * PAGE_4K, 8 * PAGE_4K, MADV_DONTNEED));
	for (i = 0; i < PAGES; i++) {
		bool gone = i >= 4 && i < 12;
		u8 *page = self->mem + i * PAGE_4K;

		EXPECT_EQ(gone ? 0 : pattern(page, 1), agent_read(self->vcpu, page, 8));
	}
	/* Pages that the guest read as zero are still replaced. */
	host_fill(self->mem, MEM_SIZE, 512, 2);
	EXPECT_EQ(0, agent_verify(self->vcpu, self->mem, MEM_SIZE, 512, 2));
}

TEST_F(hostmem, dontneed_again_and_again)
{
	int i;

	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, madvise(self->mem, MEM_SIZE, MADV_DONTNEED));
		EXPECT_EQ(0, agent_read(self->vcpu, self->mem + i % PAGES * PAGE_4K, 8));
		agent_fill(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, i);
		ASSERT_EQ(0, host_verify(self->mem, MEM_SIZE, PAGE_4K, i));
	}
}

TEST_F(hostmem, munmap_and_remap)
{
	ASSERT_EQ(0, munmap(self->mem, MEM_SIZE));
	agent_post(self->vcpu, AGENT_READ, self->mem, 8, 0, 0);
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	ASSERT_EQ(self->mem, mmap(self->mem, MEM_SIZE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(0, agent_wait(self->vcpu));
	agent_fill(self->vcpu, self->mem, MEM_SIZE, 512, 3);
	EXPECT_EQ(0, host_verify(self->mem, MEM_SIZE, 512, 3));
}

/* New memory over the old, without a gap in between. */
TEST_F(hostmem, mmap_over)
{
	int fd = memfd_create("over", 0);

	ASSERT_EQ(0, ftruncate(fd, MEM_SIZE));
	map_file(self->mem, fd, MAP_SHARED);
	EXPECT_EQ(0, agent_read(self->vcpu, self->mem, 8));
	agent_fill(self->vcpu, self->mem, MEM_SIZE, 512, 4);
	EXPECT_EQ(0, host_verify(self->mem, MEM_SIZE, 512, 4));
	close(fd);
}

TEST_F(hostmem, mprotect_readonly)
{
	u8 *page = self->mem + 5 * PAGE_4K;
	int i;

	ASSERT_EQ(0, mprotect(page, PAGE_4K, PROT_READ));
	EXPECT_EQ(pattern(page, 1), agent_read(self->vcpu, page, 8));
	agent_post(self->vcpu, AGENT_WRITE, page, 8, 55, 0);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	EXPECT_EQ(pattern(page, 1), *(shared_u64 *)page);
	ASSERT_EQ(0, mprotect(page, PAGE_4K, PROT_READ | PROT_WRITE));
	agent_wait(self->vcpu);
	EXPECT_EQ(55, *(shared_u64 *)page);
}

TEST_F(hostmem, mprotect_none)
{
	u8 *page = self->mem + 5 * PAGE_4K;

	ASSERT_EQ(0, mprotect(page, PAGE_4K, PROT_NONE));
	agent_post(self->vcpu, AGENT_READ, page, 8, 0, 0);
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	ASSERT_EQ(0, mprotect(page, PAGE_4K, PROT_READ));
	EXPECT_EQ(pattern(page, 1), agent_wait(self->vcpu));
	/* The neighbours never noticed. */
	EXPECT_EQ(pattern(page - PAGE_4K, 1), agent_read(self->vcpu, page - PAGE_4K, 8));
}

/* Pages move to the slot's address from somewhere else, and away from it. */
TEST_F(hostmem, mremap)
{
	u8 *from = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 *away = mmap(NULL, MEM_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u64 off;

	for (off = 0; off < MEM_SIZE; off += PAGE_4K)
		*(u64 *)(from + off) = off + 9;
	ASSERT_EQ(away, mremap(self->mem, MEM_SIZE, MEM_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, away));
	agent_post(self->vcpu, AGENT_WRITE, self->mem, 8, 1, 0);
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	ASSERT_EQ(self->mem, mremap(from, MEM_SIZE, MEM_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
				    self->mem));
	agent_wait(self->vcpu);
	EXPECT_EQ(1, *(shared_u64 *)self->mem);
	for (off = PAGE_4K; off < MEM_SIZE; off += PAGE_4K)
		EXPECT_EQ(off + 9, agent_read(self->vcpu, self->mem + off, 8));
	/* What moved away is as the guest left it. */
	EXPECT_EQ(pattern(self->mem, 1), *(shared_u64 *)away);
}

static pid_t fork_writer(u8 *mem, u64 value, int go[2])
{
	pid_t pid = fork();
	char c;

	if (pid)
		return pid;
	if (read(go[0], &c, 1) != 1)
		_exit(2);
	GUEST_WRITE((u64 *)mem, value);
	GUEST_WRITE((u64 *)(mem + PAGE_4K), value);
	_exit(GUEST_READ((u64 *)(mem + 2 * PAGE_4K)) == pattern(mem + 2 * PAGE_4K, 1) ? 0 : 1);
}

/* Parent and child write; the guest belongs to the parent. */
TEST_F(hostmem, fork_and_copy_on_write)
{
	int go[2], status;
	pid_t pid;

	ASSERT_EQ(0, pipe(go));
	pid = fork_writer(self->mem, 4711, go);
	/* All pages are write-protected now. The parent breaks one of them, */
	*(shared_u64 *)self->mem = 1;
	EXPECT_EQ(1, agent_read(self->vcpu, self->mem, 8));
	/* the guest another, which the child must not see, */
	agent_write(self->vcpu, self->mem + 2 * PAGE_4K, 8, 3);
	EXPECT_EQ(3, *(shared_u64 *)(self->mem + 2 * PAGE_4K));
	/* and the child the first and one that nobody has written. */
	ASSERT_EQ(1, write(go[1], "x", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(1, agent_read(self->vcpu, self->mem, 8));
	EXPECT_EQ(pattern(self->mem + PAGE_4K, 1),
		  agent_read(self->vcpu, self->mem + PAGE_4K, 8));
	agent_fill(self->vcpu, self->mem, MEM_SIZE, 512, 6);
	EXPECT_EQ(0, host_verify(self->mem, MEM_SIZE, 512, 6));
}

TEST_F(hostmem, hole_in_a_memfd)
{
	int fd = memfd_create("holes", 0);
	u8 *second;

	ASSERT_EQ(0, ftruncate(fd, MEM_SIZE));
	map_file(self->mem, fd, MAP_SHARED);
	second = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	agent_fill(self->vcpu, self->mem, MEM_SIZE, 512, 7);
	EXPECT_EQ(pattern(self->mem, 7), *(shared_u64 *)second);
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       8 * PAGE_4K, 4 * PAGE_4K));
	EXPECT_EQ(pattern(self->mem + 7 * PAGE_4K, 7),
		  agent_read(self->vcpu, self->mem + 7 * PAGE_4K, 8));
	EXPECT_EQ(0, agent_read(self->vcpu, self->mem + 8 * PAGE_4K, 8));
	agent_write(self->vcpu, self->mem + 9 * PAGE_4K, 8, 12);
	EXPECT_EQ(12, *(shared_u64 *)(second + 9 * PAGE_4K));
	/* Another process's view of the file is the guest's view. */
	*(shared_u64 *)(second + 10 * PAGE_4K) = 13;
	EXPECT_EQ(13, agent_read(self->vcpu, self->mem + 10 * PAGE_4K, 8));
	close(fd);
}

TEST_F(hostmem, truncate_and_grow_a_memfd)
{
	int fd = memfd_create("short", 0);

	ASSERT_EQ(0, ftruncate(fd, MEM_SIZE));
	map_file(self->mem, fd, MAP_SHARED);
	agent_fill(self->vcpu, self->mem, MEM_SIZE, 512, 8);
	ASSERT_EQ(0, ftruncate(fd, PAGE_4K));
	agent_post(self->vcpu, AGENT_READ, self->mem + PAGE_4K, 8, 0, 0);
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	ASSERT_EQ(0, ftruncate(fd, MEM_SIZE));
	EXPECT_EQ(0, agent_wait(self->vcpu));
	EXPECT_EQ(pattern(self->mem, 8), agent_read(self->vcpu, self->mem, 8));
	close(fd);
}

TEST_F(hostmem, ksm_merge_and_unmerge)
{
	u8 *a = self->mem, *b = self->mem + 9 * PAGE_4K;

	memset(a, 0x5a, PAGE_4K);
	memset(b, 0x5a, PAGE_4K);
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, agent_read(self->vcpu, a, 8));
	if (!ksm_merge(a, b))
		TEST_SKIP("KSM did not merge");
	/* Still the same bytes; a guest's write unmerges its page only. */
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, agent_read(self->vcpu, a, 8));
	agent_write(self->vcpu, a, 8, 21);
	EXPECT_EQ(21, *(shared_u64 *)a);
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, *(shared_u64 *)b);
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, agent_read(self->vcpu, b, 8));
	EXPECT_NE(page_pfn(a), page_pfn(b));
	/* Merged again, and unmerged by the host. */
	memset(a, 0x5a, PAGE_4K);
	ASSERT_TRUE(ksm_merge(a, b));
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, agent_read(self->vcpu, b, 8));
	ksm_stop();
	EXPECT_NE(page_pfn(a), page_pfn(b));
	agent_write(self->vcpu, b, 8, 22);
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, agent_read(self->vcpu, a, 8));
	EXPECT_EQ(22, *(shared_u64 *)b);
}

UMBRA_TEST_MAIN
