// SPDX-License-Identifier: GPL-2.0-only
/*
 * First touch. Proves that guest memory appears on the first read, write or
 * fetch with the bytes that the host has, that bytes written by the guest are
 * the host's at once, that a second touch costs no exit, that a read does not
 * break the host's copy-on-write, and that KVM_RUN on memory that is gone says
 * -EFAULT and the guest goes on where it was when the memory is back.
 *
 * Faults are counted by the VM's own statistics (pf_taken) and exits by the
 * runs that come back.
 */
#include "test.h"

FIXTURE(fault) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

#define MEM_SIZE (4UL << 20)

FIXTURE_SETUP(fault)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, MEM_SIZE);
	agent_start(self->vcpu);
	/* Boot memory is mapped from here on; what follows is the test's. */
	agent_read(self->vcpu, (void *)PAGE_4K, 8);
}

FIXTURE_TEARDOWN(fault)
{
	vm_free(self->vm);
}

TEST_F(fault, read_sees_the_hosts_bytes)
{
	host_fill(self->mem, MEM_SIZE, 64, 1);
	EXPECT_EQ(0, agent_verify(self->vcpu, self->mem, MEM_SIZE, 64, 1));
	/* The control: the comparison can fail. */
	EXPECT_EQ(MEM_SIZE / 64, agent_verify(self->vcpu, self->mem, MEM_SIZE, 64, 2));
}

TEST_F(fault, read_of_untouched_memory_is_zero)
{
	ASSERT_EQ(0, pages_present(self->mem, MEM_SIZE));
	EXPECT_EQ(0, agent_read(self->vcpu, self->mem + 8 * PAGE_4K, 8));
	EXPECT_EQ(0, agent_read(self->vcpu, self->mem + 9 * PAGE_4K + 1, 1));
}

TEST_F(fault, write_reaches_the_host)
{
	agent_fill(self->vcpu, self->mem, MEM_SIZE, 256, 3);
	EXPECT_EQ(0, host_verify(self->mem, MEM_SIZE, 256, 3));
}

TEST_F(fault, host_write_after_guest_read)
{
	/* The zero page first, a page of its own afterwards. */
	EXPECT_EQ(0, agent_read(self->vcpu, self->mem, 8));
	*(shared_u64 *)self->mem = 77;
	EXPECT_EQ(77, agent_read(self->vcpu, self->mem, 8));
	agent_write(self->vcpu, self->mem, 8, 78);
	EXPECT_EQ(78, *(shared_u64 *)self->mem);
}

TEST_F(fault, fetch)
{
	u8 *code = self->mem + 3 * PAGE_4K;

	emit_return(code, 0x1234);
	EXPECT_EQ(0x1234, agent_call(self->vcpu, code));
	/* Code that begins on one page and ends on the next. */
	code = self->mem + 6 * PAGE_4K - 3;
	emit_return(code, 0x567890ab);
	EXPECT_EQ(0x567890ab, agent_call(self->vcpu, code));
	/* The host changes code that the guest has run. */
	emit_return(code, 0x11111111);
	EXPECT_EQ(0x11111111, agent_call(self->vcpu, code));
}

TEST_F(fault, second_touch_does_not_exit)
{
	long before, after;

	agent_fill(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 4);
	before = vm_stat(self->vm, "pf_taken");
	if (before < 0)
		TEST_SKIP("no pf_taken in debugfs");
	EXPECT_GT(before, 0);
	agent_fill(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 5);
	EXPECT_EQ(0, agent_verify(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 5));
	after = vm_stat(self->vm, "pf_taken");
	EXPECT_EQ(before, after);
}

TEST_F(fault, memory_written_through_every_alignment)
{
	u64 off, want = 0x1122334455667788;

	/* Across the border of two pages, neither touched before. */
	for (off = 1; off < 8; off++) {
		u8 *at = self->mem + 2 * off * PAGE_4K - off;
		u64 seen;

		agent_write(self->vcpu, at, 8, want + off);
		memcpy(&seen, at, sizeof(seen));
		EXPECT_EQ(want + off, seen);
		EXPECT_EQ(want + off, agent_read(self->vcpu, at, 8));
	}
}

/* A page that process and page cache share: a read maps it, no copy is made. */
TEST_F(fault, read_keeps_the_private_mapping_shared)
{
	int fd = memfd_create("shared", 0);
	u64 value = 42;
	u8 *p;

	/* A long-term pin breaks the share at once (Linux 6.2 and later). */
	if (policy_pinned(self->vm))
		TEST_SKIP("policy pinned gives the process its own copy");
	ASSERT_EQ(0, ftruncate(fd, PAGE_4K));
	ASSERT_EQ(8, pwrite(fd, &value, 8, 0));
	p = mmap(self->mem, PAGE_4K, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0);
	ASSERT_EQ(self->mem, p);
	EXPECT_EQ(42, agent_read(self->vcpu, p, 8));
	value = 43;
	ASSERT_EQ(8, pwrite(fd, &value, 8, 0));
	EXPECT_EQ(43, agent_read(self->vcpu, p, 8));
	/* The guest's write makes the copy; the file keeps its bytes. */
	agent_write(self->vcpu, p, 8, 44);
	EXPECT_EQ(44, *(shared_u64 *)p);
	ASSERT_EQ(8, pread(fd, &value, 8, 0));
	EXPECT_EQ(43, value);
	close(fd);
}

TEST_F(fault, gone_memory_is_efault_and_comes_back)
{
	int i;

	agent_write(self->vcpu, self->mem, 8, 5);
	ASSERT_EQ(0, munmap(self->mem, PAGE_4K));
	agent_post(self->vcpu, AGENT_READ, self->mem, 8, 0, 0);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	ASSERT_EQ(self->mem, mmap(self->mem, PAGE_4K, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*(u64 *)self->mem = 6;
	EXPECT_EQ(6, agent_wait(self->vcpu));
	/* The same for a fetch. */
	ASSERT_EQ(0, mprotect(self->mem + PAGE_4K, PAGE_4K, PROT_NONE));
	agent_post(self->vcpu, AGENT_CALL, self->mem + PAGE_4K, 0, 0, 0);
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	ASSERT_EQ(0, mprotect(self->mem + PAGE_4K, PAGE_4K, PROT_READ | PROT_WRITE));
	emit_return(self->mem + PAGE_4K, 99);
	EXPECT_EQ(99, agent_wait(self->vcpu));
}

/* A file that is shorter than its mapping: the host's SIGBUS is -EFAULT here. */
TEST_F(fault, beyond_the_end_of_a_file)
{
	int fd = memfd_create("short", 0);

	ASSERT_EQ(0, ftruncate(fd, PAGE_4K));
	ASSERT_EQ(self->mem, mmap(self->mem, 2 * PAGE_4K, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, fd, 0));
	agent_write(self->vcpu, self->mem, 8, 1);
	agent_post(self->vcpu, AGENT_WRITE, self->mem + PAGE_4K, 8, 2, 0);
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	ASSERT_EQ(0, ftruncate(fd, 2 * PAGE_4K));
	agent_wait(self->vcpu);
	EXPECT_EQ(2, *(shared_u64 *)(self->mem + PAGE_4K));
	close(fd);
}

/* Two slots that map the same host memory: one page, two guest addresses. */
TEST_F(fault, one_page_at_two_guest_addresses)
{
	u8 *alias = vm_reserve(self->vm, MEM_SIZE, PAGE_2M);

	vm_add_slot(self->vm, 0, (u64)alias, MEM_SIZE, self->mem);
	agent_write(self->vcpu, alias + 16, 8, 123);
	EXPECT_EQ(123, agent_read(self->vcpu, self->mem + 16, 8));
	agent_write(self->vcpu, self->mem + 16, 8, 124);
	EXPECT_EQ(124, agent_read(self->vcpu, alias + 16, 8));
	/* What the host takes away goes from both. */
	ASSERT_EQ(0, madvise(self->mem, PAGE_4K, MADV_DONTNEED));
	EXPECT_EQ(0, agent_read(self->vcpu, alias + 16, 8));
	EXPECT_EQ(0, agent_read(self->vcpu, self->mem + 16, 8));
}

UMBRA_TEST_MAIN
