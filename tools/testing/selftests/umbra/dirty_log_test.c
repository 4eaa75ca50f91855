// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty log. Proves that no page that the guest changed is ever missing from
 * the log, while it is read and cleared under a vCPU that writes all the time;
 * that a clean slot has an empty log; that the log tells 4K pages apart where
 * memory is mapped huge; that switching it off and on begins anew; and that with
 * KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 exactly what KVM_CLEAR_DIRTY_LOG names begins anew.
 *
 * The oracle is that of a live migration: after each reading, the pages in the
 * log are copied. When the guest has stopped and the last log was read, the
 * copy must be the memory. A write through a translation that was not write
 * protected in time, or through a stale TLB entry, makes a difference there.
 */
#include "test.h"

FIXTURE(dirty) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
	int slot;
	u64 *log;
};

#define MEM_SIZE (2 * PAGE_2M)
#define PAGES (MEM_SIZE / PAGE_4K)

FIXTURE_SETUP(dirty)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, MEM_SIZE);
	self->slot = self->vm->next_slot - 1;
	self->log = calloc(1, PAGES / 8);
	agent_start(self->vcpu);
}

FIXTURE_TEARDOWN(dirty)
{
	vm_free(self->vm);
}

static void set_log(FIXTURE_DATA(dirty) * self, bool on)
{
	int ret = vm_set_slot(self->vm, self->slot, on ? KVM_MEM_LOG_DIRTY_PAGES : 0,
			      (u64)self->mem, MEM_SIZE, self->mem);

	if (ret)
		die("dirty log %d: %d", on, ret);
}

/* Reads the log; returns how many pages are in it. */
static int read_log(FIXTURE_DATA(dirty) * self)
{
	int i, n = 0;
	int ret;

	memset(self->log, 0xff, PAGES / 8);
	ret = vm_dirty_log(self->vm, self->slot, self->log);
	if (ret)
		die("KVM_GET_DIRTY_LOG: %d", ret);
	for (i = 0; i < PAGES / 64; i++)
		n += __builtin_popcountl(self->log[i]);
	return n;
}

static bool in_log(FIXTURE_DATA(dirty) * self, int page)
{
	return self->log[page / 64] >> page % 64 & 1;
}

TEST_F(dirty, clean_slot)
{
	set_log(self, true);
	EXPECT_EQ(0, read_log(self));
	agent_verify(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 0);
	EXPECT_EQ(0, read_log(self));
}

TEST_F(dirty, exactly_the_written_pages)
{
	int round, i;

	agent_fill(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 1);
	set_log(self, true);
	for (round = 0; round < 3; round++) {
		for (i = round; i < PAGES; i += 37)
			agent_write(self->vcpu, self->mem + i * PAGE_4K, 8, i);
		EXPECT_EQ((PAGES - round + 36) / 37, read_log(self));
		for (i = round; i < PAGES; i += 37)
			EXPECT_TRUE(in_log(self, i));
		EXPECT_EQ(0, read_log(self));
	}
}

TEST_F(dirty, write_across_two_pages)
{
	set_log(self, true);
	agent_write(self->vcpu, self->mem + 6 * PAGE_4K - 4, 8, ~0UL);
	EXPECT_EQ(2, read_log(self));
	EXPECT_TRUE(in_log(self, 5));
	EXPECT_TRUE(in_log(self, 6));
}

TEST_F(dirty, off_and_on_again)
{
	set_log(self, true);
	agent_fill(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 1);
	set_log(self, false);
	EXPECT_EQ(-ENOENT, vm_dirty_log(self->vm, self->slot, self->log));
	agent_fill(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 2);
	set_log(self, true);
	EXPECT_EQ(0, read_log(self));
	agent_write(self->vcpu, self->mem, 8, 3);
	EXPECT_EQ(1, read_log(self));
	EXPECT_TRUE(in_log(self, 0));
}

/* Memory that is mapped huge is logged by 4K, and its bytes stay right. */
TEST_F(dirty, huge_pages)
{
	u8 *huge = self->mem + PAGE_2M;

	ASSERT_EQ(0, madvise(self->mem, MEM_SIZE, MADV_HUGEPAGE));
	agent_fill(self->vcpu, self->mem, MEM_SIZE, 512, 1);
	if (smaps_kb(huge, "AnonHugePages") < 2048)
		TEST_SKIP("the host gives no huge page");
	set_log(self, true);
	EXPECT_EQ(0, read_log(self));
	agent_write(self->vcpu, huge + 9 * PAGE_4K, 8, pattern(huge + 9 * PAGE_4K, 1));
	EXPECT_EQ(1, read_log(self));
	EXPECT_TRUE(in_log(self, 512 + 9));
	EXPECT_EQ(0, agent_verify(self->vcpu, self->mem, MEM_SIZE, 512, 1));
	agent_fill(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 2);
	EXPECT_EQ(PAGES, read_log(self));
	set_log(self, false);
	EXPECT_EQ(0, agent_verify(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 2));
}

/* What the module writes for the guest: the bytes of a port, an MMIO copy. */
static void guest_ins(void *arg)
{
	u64 n = 16;
	u8 *p = arg;

	asm volatile("rep insb" : "+c" (n), "+D" (p) : "d" (0x3f8) : "memory");
}

TEST_F(dirty, writes_by_string_io)
{
	struct kvm_run *run = self->vcpu->run;
	u8 *at = self->mem + 20 * PAGE_4K;

	agent_fill(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 1);
	set_log(self, true);
	vcpu_start(self->vcpu, guest_ins, at);
	while (vcpu_next(self->vcpu) == UCALL_NONE) {
		ASSERT_EQ(KVM_EXIT_IO, run->exit_reason);
		memset((u8 *)run + run->io.data_offset, 0x5a, run->io.size * run->io.count);
	}
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, *(shared_u64 *)at);
	EXPECT_EQ(1, read_log(self));
	EXPECT_TRUE(in_log(self, 20));
}

TEST_F(dirty, bad_arguments)
{
	EXPECT_EQ(-ENOENT, vm_dirty_log(self->vm, self->slot, self->log));
	EXPECT_EQ(-ENOENT, vm_dirty_log(self->vm, self->slot + 1, self->log));
	EXPECT_EQ(-EINVAL, vm_dirty_log(self->vm, 0x7fff, self->log));
	set_log(self, true);
	EXPECT_EQ(-EFAULT, vm_dirty_log(self->vm, self->slot, (void *)8));
	EXPECT_EQ(0, read_log(self));
}

/* --- the migration oracle --- */

struct writer {
	shared_u64 stop;
	shared_u64 rounds;
	u8 *mem;
	u64 pages;
};

/* Writes all the time, on the same few pages often, and never leaves. */
static void guest_writer(void *arg)
{
	struct writer *w = arg;
	u64 i, n = 0;

	while (!w->stop) {
		for (i = 0; i < w->pages; i++)
			GUEST_WRITE((u64 *)(w->mem + i * PAGE_4K), ++n);
		for (i = 0; i < 500; i++)
			GUEST_WRITE((u64 *)(w->mem + i % 4 * PAGE_4K), ++n);
		w->rounds++;
	}
}

static void copy_dirty(FIXTURE_DATA(dirty) * self, u8 *copy)
{
	int i;

	for (i = 0; i < PAGES; i++)
		if (in_log(self, i))
			memcpy(copy + i * PAGE_4K, self->mem + i * PAGE_4K, PAGE_4K);
}

/* --- KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 --- */

static int set_manual(struct vm *vm, u64 arg)
{
	return vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, arg);
}

/* Clears what @bits have, of @n pages from @first on. */
static int clear_log(FIXTURE_DATA(dirty) * self, u32 slot, u64 first, u32 n, u64 *bits)
{
	struct kvm_clear_dirty_log c = {
		.slot = slot, .first_page = first, .num_pages = n, .dirty_bitmap = bits,
	};

	return vm_try(self->vm, KVM_CLEAR_DIRTY_LOG, &c);
}

TEST_F(dirty, cleared_by_hand)
{
	u64 bits = BIT(1) | BIT(2) | BIT(40);
	int i;

	if (!node_has(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
		TEST_SKIP("no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	ASSERT_EQ(0, set_manual(self->vm, 1));
	set_log(self, true);
	for (i = 0; i < 130; i++)
		agent_write(self->vcpu, self->mem + i * PAGE_4K, 8, i);
	EXPECT_EQ(130, read_log(self));
	/* Reading takes nothing away. */
	EXPECT_EQ(130, read_log(self));
	ASSERT_EQ(0, clear_log(self, self->slot, 64, 64, &bits));
	EXPECT_EQ(127, read_log(self));
	EXPECT_FALSE(in_log(self, 65) || in_log(self, 66) || in_log(self, 104));
	/* A bit that is not set is not cleared, and none is made. */
	bits = ~0UL;
	ASSERT_EQ(0, clear_log(self, self->slot, 128, 64, &bits));
	EXPECT_EQ(125, read_log(self));
	/* Only what was cleared is watched again, and comes back. */
	agent_write(self->vcpu, self->mem + 65 * PAGE_4K, 8, 1);
	agent_write(self->vcpu, self->mem + 129 * PAGE_4K, 8, 1);
	EXPECT_EQ(127, read_log(self));
	EXPECT_TRUE(in_log(self, 65) && in_log(self, 129));
	/* As it was. */
	ASSERT_EQ(0, set_manual(self->vm, 0));
	EXPECT_EQ(127, read_log(self));
	EXPECT_EQ(0, read_log(self));
}

TEST_F(dirty, arguments_of_clear)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .flags = 1 };

	if (!node_has(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
		TEST_SKIP("no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	EXPECT_EQ(-ENOENT, clear_log(self, self->slot, 0, 64, self->log));
	set_log(self, true);
	EXPECT_EQ(0, clear_log(self, self->slot, 0, 0, self->log));
	EXPECT_EQ(0, clear_log(self, self->slot, PAGES, 0, self->log));
	EXPECT_EQ(0, clear_log(self, self->slot, PAGES - 64, 64, self->log));
	EXPECT_EQ(-EINVAL, clear_log(self, self->slot, 1, 64, self->log));
	EXPECT_EQ(-EINVAL, clear_log(self, self->slot, 0, 63, self->log));
	EXPECT_EQ(-EINVAL, clear_log(self, self->slot, PAGES, 64, self->log));
	EXPECT_EQ(-EINVAL, clear_log(self, self->slot, PAGES + 64, 0, self->log));
	EXPECT_EQ(-EINVAL, clear_log(self, self->slot, ~63UL, 128, self->log));
	EXPECT_EQ(-EINVAL, clear_log(self, 0x7fff, 0, 64, self->log));
	EXPECT_EQ(-ENOENT, clear_log(self, self->slot + 1, 0, 64, self->log));
	EXPECT_EQ(-EFAULT, clear_log(self, self->slot, 0, 64, (void *)8));
	EXPECT_EQ(-EINVAL, set_manual(self->vm, 4));
	EXPECT_EQ(-1, ioctl(self->vm->fd, KVM_ENABLE_CAP, &cap));
	EXPECT_EQ(EINVAL, errno);
	cap = (struct kvm_enable_cap) { .cap = KVM_CAP_USER_MEMORY };
	EXPECT_EQ(-1, ioctl(self->vm->fd, KVM_ENABLE_CAP, &cap));
	EXPECT_EQ(EINVAL, errno);
}

/* Returns how many pages the log has missed. */
static int migrate(FIXTURE_DATA(dirty) * self, int rounds, u64 pages, bool toggle, bool manual)
{
	u8 *copy = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct writer *w = vm_mem(self->vm, PAGE_4K);
	pthread_t thread;
	int i, missed = 0;

	w->mem = self->mem;
	w->pages = pages;
	vcpu_start(self->vcpu, guest_writer, w);
	thread = vcpu_spawn(self->vcpu);
	await(&w->rounds, 2);
	set_log(self, true);
	memcpy(copy, self->mem, MEM_SIZE);
	for (i = 0; i < rounds; i++) {
		if (toggle && i == rounds / 2) {
			set_log(self, false);
			await(&w->rounds, 1);
			set_log(self, true);
			memcpy(copy, self->mem, MEM_SIZE);
		}
		read_log(self);
		if (manual && clear_log(self, self->slot, 0, PAGES, self->log))
			die("KVM_CLEAR_DIRTY_LOG");
		copy_dirty(self, copy);
		if (i % 8 == 0)
			await(&w->rounds, 1);
	}
	w->stop = 1;
	vcpu_join(thread);
	read_log(self);
	copy_dirty(self, copy);
	for (i = 0; i < PAGES; i++)
		missed += !!memcmp(copy + i * PAGE_4K, self->mem + i * PAGE_4K, PAGE_4K);
	return missed;
}

TEST_F(dirty, none_is_missed)
{
	EXPECT_EQ(0, migrate(self, test_long() ? 3000 : 60, 256, false, false));
}

TEST_F(dirty, none_is_missed_on_huge_pages)
{
	ASSERT_EQ(0, madvise(self->mem, MEM_SIZE, MADV_HUGEPAGE));
	EXPECT_EQ(0, migrate(self, test_long() ? 3000 : 40, PAGES, true, false));
}

TEST_F(dirty, none_is_missed_cleared_by_hand)
{
	if (!node_has(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
		TEST_SKIP("no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	ASSERT_EQ(0, madvise(self->mem, MEM_SIZE, MADV_HUGEPAGE));
	ASSERT_EQ(0, set_manual(self->vm, 1));
	EXPECT_EQ(0, migrate(self, test_long() ? 3000 : 60, 256, false, true));
}

/*
 * The control: without remote flushes the vCPU goes on writing through entries
 * of its TLB that are no longer in the tables, and the oracle must say so.
 * The emulated CPU drops its TLB at every exit, so the vCPU must not exit: it
 * needs a CPU of its own, and only the last moments before the end count.
 */
TEST_F(dirty, control_without_flush)
{
	int tries, missed = 0;

	if (!node_has(UMBRA_CAP_TEST_HOOK))
		TEST_SKIP("no UMBRA_CAP_TEST_HOOK");
	if (host_cpu(1) < 0)
		TEST_SKIP("needs two CPUs");
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_NO_FLUSH, 1));
	for (tries = 0; tries < 20 && !missed; tries++) {
		missed = migrate(self, 20, 4, false, false);
		set_log(self, false);
	}
	EXPECT_LT(0, missed);
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_NO_FLUSH, 0));
}

UMBRA_TEST_MAIN
