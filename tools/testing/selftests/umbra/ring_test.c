// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty rings. Proves that a vCPU's ring names each page that it made dirty once, in the
 * order of the first writes, and again after KVM_RESET_DIRTY_RINGS and not before; that a
 * full ring stops the vCPU until it is reset, with no page missing; that what userspace
 * writes into a ring harms nobody; and what is refused.
 *
 * Of the pages collected under a vCPU that writes all the time a copy is made, as in a
 * live migration: in the end it must be the memory.
 */
#include <errno.h>

#include "test.h"

#define MEM_SIZE PAGE_2M
#define PAGES (MEM_SIZE / PAGE_4K)
#define RING_BYTES PAGE_4K
#define ENTRIES (RING_BYTES / sizeof(struct kvm_dirty_gfn))
#define RING_AT (KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_4K)

FIXTURE(ring) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
	int slot;
	struct kvm_dirty_gfn *ring;
	u32 next;
};

static int enable_rings(struct vm *vm, u64 bytes)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { bytes } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap) ? -errno : 0;
}

FIXTURE_SETUP(ring)
{
	self->vm = vm_create();
	ASSERT_EQ(0, enable_rings(self->vm, RING_BYTES));
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, MEM_SIZE);
	self->slot = self->vm->next_slot - 1;
	ASSERT_EQ(0, vm_set_slot(self->vm, self->slot, KVM_MEM_LOG_DIRTY_PAGES, (u64)self->mem,
				 MEM_SIZE, self->mem));
	self->ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->vcpu->fd,
			  RING_AT);
	ASSERT_NE(MAP_FAILED, self->ring);
}

FIXTURE_TEARDOWN(ring)
{
	munmap(self->ring, RING_BYTES);
	vm_free(self->vm);
}

/* The next page in the ring, marked as done with; or -1. */
static long collect(FIXTURE_DATA(ring) * self)
{
	struct kvm_dirty_gfn *entry = &self->ring[self->next % ENTRIES];

	if (__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
		return -1;
	if ((int)entry->slot != self->slot || entry->offset >= PAGES)
		die("ring: slot %u, page %llu", entry->slot, entry->offset);
	__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	self->next++;
	return entry->offset;
}

static int reset(FIXTURE_DATA(ring) * self)
{
	int ret = ioctl(self->vm->fd, KVM_RESET_DIRTY_RINGS, 0);

	return ret < 0 ? -errno : ret;
}

struct writes {
	u8 *mem;
	u64 first, step, count;
	u64 value;
};

static void guest_write(void *arg)
{
	struct writes *w = arg;
	u64 i;

	for (i = 0; i < w->count; i++)
		GUEST_WRITE((u64 *)(w->mem + (w->first + i * w->step) % PAGES * PAGE_4K),
			    w->value + i);
}

static void write_pages(FIXTURE_DATA(ring) * self, u64 first, u64 step, u64 count)
{
	struct writes w = { self->mem, first, step, count, 1 };
	struct writes *there = boot_hva(self->vm, 0x9000);

	*there = w;
	vcpu_call(self->vcpu, guest_write, (void *)0x9000);
}

TEST_F(ring, names_pages_in_order_and_once)
{
	write_pages(self, 7, 5, 4);
	write_pages(self, 7, 5, 4);
	EXPECT_EQ(7, collect(self));
	EXPECT_EQ(12, collect(self));
	EXPECT_EQ(17, collect(self));
	EXPECT_EQ(22, collect(self));
	EXPECT_EQ(-1, collect(self));
}

TEST_F(ring, again_after_reset_only)
{
	write_pages(self, 1, 1, 3);
	EXPECT_EQ(0, reset(self));
	EXPECT_EQ(1, collect(self));
	EXPECT_EQ(2, collect(self));
	write_pages(self, 1, 1, 3);
	EXPECT_EQ(2, reset(self));
	EXPECT_EQ(3, collect(self));
	EXPECT_EQ(-1, collect(self));
	write_pages(self, 1, 1, 3);
	EXPECT_EQ(1, collect(self));
	EXPECT_EQ(2, collect(self));
	EXPECT_EQ(-1, collect(self));
	EXPECT_EQ(3, reset(self));
	EXPECT_EQ(0, reset(self));
}

/*
 * All that is in the ring, in order. The page that filled it may come again: it was reset
 * before the guest wrote to it.
 */
static long collect_all(FIXTURE_DATA(ring) * self, long last)
{
	bool first = true;
	long page;

	for (; (page = collect(self)) >= 0; first = false) {
		if (page != last + 1 && !(first && page == last))
			die("page %ld after %ld", page, last);
		last = page;
	}
	return last;
}

TEST_F(ring, full_ring_stops_the_vcpu)
{
	struct writes w = { self->mem, 0, 1, PAGES, 1 };
	struct writes *there = boot_hva(self->vm, 0x9000);
	unsigned int stops = 0;
	long last = -1;

	*there = w;
	vcpu_start(self->vcpu, guest_write, (void *)0x9000);
	while (vcpu_next(self->vcpu) != UCALL_DONE) {
		ASSERT_EQ(KVM_EXIT_DIRTY_RING_FULL, self->vcpu->run->exit_reason);
		/* As long as nobody collects. */
		ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
		ASSERT_EQ(KVM_EXIT_DIRTY_RING_FULL, self->vcpu->run->exit_reason);
		last = collect_all(self, last);
		EXPECT_LT(0, reset(self));
		stops++;
	}
	EXPECT_LT(1, stops);
	EXPECT_EQ((long)PAGES - 1, collect_all(self, last));
}

static void *run_to_the_end(void *arg)
{
	struct vcpu *vcpu = arg;

	while (vcpu_next(vcpu) != UCALL_DONE)
		if (vcpu->run->exit_reason != KVM_EXIT_DIRTY_RING_FULL)
			die("%s", vcpu_exit_name(vcpu));
		else
			sched_yield();
	return NULL;
}

/* What is collected is reset first and copied then: a later write is noted again. */
static unsigned int copy_dirty(FIXTURE_DATA(ring) * self, u8 *copy)
{
	long pages[ENTRIES];
	unsigned int i, n = 0;

	while (n < ENTRIES && (pages[n] = collect(self)) >= 0)
		n++;
	if (n && reset(self) < 0)
		die("KVM_RESET_DIRTY_RINGS");
	for (i = 0; i < n; i++)
		memcpy(copy + pages[i] * PAGE_4K, self->mem + pages[i] * PAGE_4K, PAGE_4K);
	return n;
}

TEST_F(ring, nothing_is_lost_under_fire)
{
	struct writes w = { self->mem, 0, 37, test_long() ? 200000 : 20000, 1 };
	struct writes *there = boot_hva(self->vm, 0x9000);
	u8 *copy = calloc(1, MEM_SIZE);
	unsigned int rounds = 0;
	pthread_t thread;

	*there = w;
	vcpu_start(self->vcpu, guest_write, (void *)0x9000);
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_to_the_end, self->vcpu));
	while (pthread_tryjoin_np(thread, NULL)) {
		rounds += !!copy_dirty(self, copy);
		sched_yield();
	}
	while (copy_dirty(self, copy))
		rounds++;
	EXPECT_LT(2, rounds);
	EXPECT_EQ(0, memcmp(copy, self->mem, MEM_SIZE));
	free(copy);
}

TEST_F(ring, what_userspace_writes_is_checked)
{
	unsigned int i;

	write_pages(self, 0, 1, 100);
	for (i = 0; i < ENTRIES; i++) {
		self->ring[i].slot = i % 3 ? ~0U : self->slot;
		self->ring[i].offset = i % 2 ? ~0ULL : PAGES + i;
		self->ring[i].flags = KVM_DIRTY_GFN_F_RESET;
	}
	/* No more than there were. */
	EXPECT_EQ(100, reset(self));
	EXPECT_EQ(0, reset(self));
	EXPECT_EQ(0, vm_audit(self->vm));
}

TEST_F(ring, refused)
{
	struct vm *vm = vm_create_bare();
	u64 log[PAGES / 64];

	EXPECT_EQ(-ENXIO, vm_dirty_log(self->vm, self->slot, log));
	EXPECT_EQ(-EINVAL, enable_rings(self->vm, RING_BYTES));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 2 * RING_BYTES, PROT_READ, MAP_SHARED, self->vcpu->fd,
				   RING_AT));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, RING_BYTES, PROT_READ, MAP_PRIVATE, self->vcpu->fd,
				   RING_AT));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, RING_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED,
				   self->vcpu->fd, RING_AT));

	EXPECT_EQ(-1, ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-EINVAL, enable_rings(vm, 0));
	EXPECT_EQ(-EINVAL, enable_rings(vm, PAGE_4K / 2));
	EXPECT_EQ(-EINVAL, enable_rings(vm, 3 * PAGE_4K));
	EXPECT_EQ(-E2BIG, enable_rings(vm, 2UL * node_has(KVM_CAP_DIRTY_LOG_RING)));
	EXPECT_EQ(0, enable_rings(vm, node_has(KVM_CAP_DIRTY_LOG_RING_ACQ_REL)));
	EXPECT_EQ(-EINVAL, enable_rings(vm, PAGE_4K));
	vm_close(vm);
}

UMBRA_TEST_MAIN
