// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread of the process takes memory away as fast as it can while two vCPUs
 * fault on it. Proves the notifier layer's promise: once the system call that
 * replaced a page has returned, no vCPU reads or writes the old page again,
 * whatever faults were under way when it began.
 *
 * The oracle. The host writes a generation number, higher each time, into a
 * fresh page, puts that page in place of the old one, and raises a floor once
 * the system call has returned. A vCPU reads the floor, then the page, then the
 * floor again: a generation under an unchanged floor was read from a page that
 * is gone. The other vCPU writes a counter into the page. A counter that still
 * changes in a page that was replaced before was written through a stale
 * translation. Where the old page must be looked at afterwards, it belongs to
 * a file of which the host keeps a mapping of its own, so it is never freed.
 *
 * Replacing takes a range of many pages with the one in question at its end:
 * the window between the notifier's call and the host's page table being
 * cleared is as wide as that range. A missing retry shows there; the control
 * proves that it does. A missing flush cannot show here on the emulated host:
 * the process's own TLB shootdown interrupts the vCPU anyhow. The controls for
 * it are in slot_test and dirty_log_test, where the host's tables do not change.
 */
#include <fcntl.h>

#include "test.h"

#define PAGES 1024
#define RANGE (PAGES * PAGE_4K)
#define LAST ((PAGES - 1) * PAGE_4K)

struct spin {
	shared_u64 floor;
	shared_u64 stop;
	shared_u64 reads;
	shared_u64 writes;
	shared_u64 stale, stale_value, stale_floor;
	u8 *page;
};

FIXTURE(invalidate) {
	struct vm *vm;
	struct vcpu *reader, *writer;
	struct spin *spin;
	u8 *mem;	/* the range, in a slot */
	u8 *alias;	/* both halves of the file, one after the other */
	int fd;
	pthread_t threads[2];
};

static void guest_reader(void *arg)
{
	struct spin *s = arg;

	while (!s->stop) {
		u64 floor = s->floor;
		u64 v = GUEST_READ((u64 *)s->page);

		if (v < floor && s->floor == floor) {
			s->stale_value = v;
			s->stale_floor = floor;
			s->stale++;
		}
		s->reads++;
	}
}

static void guest_writer(void *arg)
{
	struct spin *s = arg;
	u64 n = 0;

	while (!s->stop) {
		GUEST_WRITE((u64 *)s->page + 1, ++n);
		s->writes = n;
	}
}

FIXTURE_SETUP(invalidate)
{
	self->vm = vm_create();
	self->reader = vcpu_create(self->vm, 0);
	self->writer = vcpu_create(self->vm, 1);
	self->spin = vm_mem(self->vm, PAGE_4K);
	self->mem = vm_mem(self->vm, RANGE);
	self->fd = memfd_create("pages", 0);
	ASSERT_EQ(0, ftruncate(self->fd, 2 * RANGE));
	self->alias = mmap(NULL, 2 * RANGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->alias);
	self->spin->page = self->mem + LAST;
	vcpu_start(self->reader, guest_reader, self->spin);
	vcpu_start(self->writer, guest_writer, self->spin);
}

FIXTURE_TEARDOWN(invalidate)
{
	vm_free(self->vm);
}

static void start(FIXTURE_DATA(invalidate) * self, bool with_writer)
{
	self->threads[0] = vcpu_spawn(self->reader);
	if (with_writer)
		self->threads[1] = vcpu_spawn(self->writer);
}

static u64 stop(FIXTURE_DATA(invalidate) * self, bool with_writer)
{
	struct spin *s = self->spin;

	s->stop = 1;
	vcpu_join(self->threads[0]);
	if (with_writer)
		vcpu_join(self->threads[1]);
	if (s->stale)
		printf("# %lu stale reads, the last %ld under the floor %ld\n", s->stale,
		       s->stale_value, s->stale_floor);
	return s->stale;
}

/* The vCPUs have looked at the page that is there now. */
static void settle(struct spin *s, bool with_writer)
{
	await(&s->reads, 3);
	if (with_writer)
		await(&s->writes, 3);
}

static int rounds(void)
{
	return test_long() ? 300 : 40;
}

/* Puts half @half of the file in place of the range; one system call. */
static void map_half(u8 *mem, int fd, int half)
{
	if (mmap(mem, RANGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
		 fd, half * RANGE) != mem)
		die("mmap of the file");
}

/* Replaces the range by turns; returns how many old pages were written to. */
static int replace_by_mmap(FIXTURE_DATA(invalidate) * self, int n, bool with_writer)
{
	struct spin *s = self->spin;
	u64 i, first = s->floor + 1;
	int written = 0;

	for (i = first; i < first + n; i++) {
		shared_u64 *fresh = (u64 *)(self->alias + i % 2 * RANGE + LAST);
		shared_u64 *old = (u64 *)(self->alias + !(i % 2) * RANGE + LAST);
		u64 counter;

		fresh[0] = i;
		map_half(self->mem, self->fd, i % 2);
		s->floor = i;
		counter = old[1];
		settle(s, with_writer);
		written += old[1] != counter;
	}
	return written;
}

TEST_F(invalidate, replaced_by_mmap)
{
	int written;

	start(self, true);
	written = replace_by_mmap(self, rounds(), true);
	EXPECT_EQ(0, stop(self, true));
	EXPECT_EQ(0, written);
}

TEST_F(invalidate, dropped_by_madvise)
{
	shared_u64 *page = (u64 *)(self->mem + LAST);
	struct spin *s = self->spin;
	int i;

	start(self, true);
	for (i = 1; i <= rounds(); i++) {
		memset(self->mem, 1, RANGE - PAGE_4K);
		s->floor = 0;
		ASSERT_EQ(0, madvise(self->mem, RANGE, MADV_DONTNEED));
		page[0] = i;
		s->floor = i;
		settle(s, true);
	}
	EXPECT_EQ(0, stop(self, true));
	EXPECT_EQ(rounds(), page[0]);
}

/* Small ranges, as fast as it goes: no waiting for the vCPUs. */
TEST_F(invalidate, as_fast_as_it_goes)
{
	shared_u64 *page = (u64 *)(self->mem + LAST);
	struct spin *s = self->spin;
	int i;

	start(self, true);
	for (i = 1; i <= 10 * rounds(); i++) {
		s->floor = 0;
		ASSERT_EQ(0, madvise((void *)page, PAGE_4K, MADV_DONTNEED));
		page[0] = i;
		s->floor = i;
	}
	settle(s, true);
	EXPECT_EQ(0, stop(self, true));
	EXPECT_EQ(10 * rounds(), page[0]);
}

/* Parent and child share the page until the parent writes, which moves it. */
TEST_F(invalidate, copied_on_write_after_fork)
{
	shared_u64 *page = (u64 *)(self->mem + LAST);
	struct spin *s = self->spin;
	int i, hold[2], status;
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(hold));
	start(self, true);
	for (i = 1; i <= rounds() / 10; i++) {
		pid = fork();
		if (!pid) {
			u64 counter = page[1];

			/* The child keeps the old page until the parent has the new. */
			if (read(hold[0], &c, 1) != 1)
				_exit(2);
			_exit(page[0] == i - 1 && page[1] == counter ? 0 : 1);
		}
		page[0] = i;
		s->floor = i;
		settle(s, true);
		ASSERT_EQ(1, write(hold[1], "x", 1));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
	}
	EXPECT_EQ(0, stop(self, true));
}

/* Reclaim and refault: the value that the host wrote last must not get lost. */
TEST_F(invalidate, swapped_out)
{
	shared_u64 *page = (u64 *)(self->mem + LAST);
	struct spin *s = self->spin;
	int i;

	if (!swap_on())
		TEST_SKIP("no swap device");
	start(self, true);
	for (i = 1; i <= rounds(); i++) {
		madvise((void *)page, PAGE_4K, MADV_PAGEOUT);
		page[0] = i;
		s->floor = i;
		settle(s, true);
	}
	EXPECT_EQ(0, stop(self, true));
	swap_off();
}

/* Faults on memory that comes and goes: -EFAULT and on again, nothing else. */
static void *run_through_faults(void *arg)
{
	struct vcpu *vcpu = arg;
	int ret;

	do
		ret = vcpu_run(vcpu);
	while (ret == -EFAULT || ret == -EINTR);
	if (ret || vcpu->run->exit_reason != KVM_EXIT_IO)
		die("%d, %s", ret, vcpu_exit_name(vcpu));
	return NULL;
}

TEST_F(invalidate, protected_and_unprotected)
{
	shared_u64 *page = (u64 *)(self->mem + LAST);
	struct spin *s = self->spin;
	int i;

	page[0] = 1;
	ASSERT_EQ(0, pthread_create(&self->threads[0], NULL, run_through_faults, self->reader));
	ASSERT_EQ(0, pthread_create(&self->threads[1], NULL, run_through_faults, self->writer));
	for (i = 1; i <= rounds(); i++) {
		u64 counter;

		ASSERT_EQ(0, mprotect((void *)page, PAGE_4K, PROT_READ));
		counter = page[1];
		/* Nobody can write now; reads go on. */
		await(&s->reads, 3);
		EXPECT_EQ(counter, page[1]);
		ASSERT_EQ(0, mprotect((void *)page, PAGE_4K, PROT_READ | PROT_WRITE));
		settle(s, true);
	}
	EXPECT_EQ(0, stop(self, true));
}

/*
 * The control: with the sequence count ignored, a fault that looked the page up
 * while the host was clearing its tables installs what is gone. Readers only,
 * and file pages only: nothing of the host is read or written after its end.
 */
TEST_F(invalidate, control_without_retry)
{
	u64 stale;
	int tries;

	if (!node_has(UMBRA_CAP_TEST_HOOK))
		TEST_SKIP("no UMBRA_CAP_TEST_HOOK");
	if (host_cpu(1) < 0)
		TEST_SKIP("needs two CPUs");
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_NO_RETRY, 1));
	map_half(self->mem, self->fd, 0);
	start(self, false);
	await(&self->spin->reads, 3);
	for (tries = 0; tries < 50 && !self->spin->stale; tries++)
		replace_by_mmap(self, 10, false);
	stale = stop(self, false);
	EXPECT_LT(0, stale);
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_NO_RETRY, 0));
	/* What the hook has let in goes with the mapping. */
	ASSERT_EQ(0, munmap(self->mem, RANGE));
}

UMBRA_TEST_MAIN
