// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory slots: create, move, delete, many of them, and all that while a vCPU
 * runs on the memory. Proves that the guest sees a slot's memory from the
 * moment the ioctl returns and nothing of it once the slot is gone.
 *
 * The oracle of the concurrent tests is a floor: the host gives the slot to
 * memory that holds a higher number each time, and raises the floor after the
 * ioctl has returned. A guest that reads a number below the floor, which it
 * read before, has used a translation that should have been gone.
 */
#include "test.h"

FIXTURE(slot) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *a, *b;	/* memory without a slot */
	u8 *gpa;	/* guest addresses without one */
};

#define MEM_SIZE (4 * PAGE_2M)
#define MMIO_VALUE (~0UL)

FIXTURE_SETUP(slot)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->a = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	self->b = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	self->gpa = vm_reserve(self->vm, 4 * MEM_SIZE, PAGE_2M);
	madvise(self->a, MEM_SIZE, MADV_NOHUGEPAGE);
	madvise(self->b, MEM_SIZE, MADV_NOHUGEPAGE);
	agent_start(self->vcpu);
}

FIXTURE_TEARDOWN(slot)
{
	vm_free(self->vm);
}

#define SLOT 5

static int put(FIXTURE_DATA(slot) * self, u8 *gpa, size_t size, u8 *hva)
{
	return vm_set_slot(self->vm, SLOT, 0, (u64)gpa, size, hva);
}

/* Whether a read of @at leaves the guest as MMIO. */
static bool is_mmio(struct vcpu *vcpu, u8 *at)
{
	bool mmio;

	agent_post(vcpu, AGENT_READ, at, 8, 0, 0);
	if (vcpu_run(vcpu))
		die("KVM_RUN");
	mmio = vcpu->run->exit_reason == KVM_EXIT_MMIO &&
	       vcpu->run->mmio.phys_addr == (u64)at;
	if (mmio)
		agent_wait(vcpu);
	return mmio;
}

TEST_F(slot, create_and_delete)
{
	int i;

	for (i = 0; i < 10; i++) {
		EXPECT_TRUE(is_mmio(self->vcpu, self->gpa));
		ASSERT_EQ(0, put(self, self->gpa, MEM_SIZE, i % 2 ? self->a : self->b));
		agent_write(self->vcpu, self->gpa + 8, 8, i + 1);
		EXPECT_EQ(i + 1, *(u64 *)((i % 2 ? self->a : self->b) + 8));
		EXPECT_FALSE(is_mmio(self->vcpu, self->gpa + MEM_SIZE - 8));
		ASSERT_EQ(0, put(self, self->gpa, 0, NULL));
	}
	EXPECT_EQ(10, *(u64 *)(self->a + 8));
	EXPECT_EQ(9, *(u64 *)(self->b + 8));
}

TEST_F(slot, move)
{
	u8 *to = self->gpa + MEM_SIZE + 3 * PAGE_4K;

	ASSERT_EQ(0, put(self, self->gpa, MEM_SIZE, self->a));
	agent_fill(self->vcpu, self->gpa, MEM_SIZE, PAGE_4K, 1);
	ASSERT_EQ(0, put(self, to, MEM_SIZE, self->a));
	EXPECT_TRUE(is_mmio(self->vcpu, self->gpa));
	EXPECT_TRUE(is_mmio(self->vcpu, to - 8));
	EXPECT_EQ(pattern(self->gpa, 1), agent_read(self->vcpu, to, 8));
	agent_write(self->vcpu, to + MEM_SIZE - 8, 8, 2);
	EXPECT_EQ(2, *(shared_u64 *)(self->a + MEM_SIZE - 8));
	/* By less than its size, onto itself. */
	ASSERT_EQ(0, put(self, to + PAGE_4K, MEM_SIZE, self->a));
	EXPECT_TRUE(is_mmio(self->vcpu, to));
	EXPECT_EQ(pattern(self->gpa, 1), agent_read(self->vcpu, to + PAGE_4K, 8));
}

/* What cannot be changed in place is refused and nothing happens. */
TEST_F(slot, refused_changes)
{
	ASSERT_EQ(0, put(self, self->gpa, MEM_SIZE, self->a));
	agent_write(self->vcpu, self->gpa, 8, 7);
	EXPECT_EQ(-EINVAL, put(self, self->gpa, MEM_SIZE / 2, self->a));
	EXPECT_EQ(-EINVAL, put(self, self->gpa, MEM_SIZE, self->b));
	EXPECT_EQ(-EINVAL, vm_set_slot(self->vm, SLOT, KVM_MEM_READONLY, (u64)self->gpa,
				       MEM_SIZE, self->a));
	/* The same again is no change at all. */
	EXPECT_EQ(0, put(self, self->gpa, MEM_SIZE, self->a));
	EXPECT_EQ(-EEXIST, vm_set_slot(self->vm, SLOT + 1, 0, (u64)self->gpa, PAGE_4K, self->b));
	EXPECT_EQ(-EEXIST, vm_set_slot(self->vm, SLOT + 1, 0,
				       (u64)self->gpa + MEM_SIZE - PAGE_4K, PAGE_2M, self->b));
	/* Neither moves a slot onto another. */
	ASSERT_EQ(0, vm_set_slot(self->vm, SLOT + 1, 0, (u64)self->gpa + MEM_SIZE, PAGE_2M,
				 self->b));
	EXPECT_EQ(-EEXIST, vm_set_slot(self->vm, SLOT + 1, 0,
				       (u64)self->gpa + MEM_SIZE - PAGE_4K, PAGE_2M, self->b));
	EXPECT_EQ(7, agent_read(self->vcpu, self->gpa, 8));
	EXPECT_EQ(-EINVAL, vm_set_slot(self->vm, SLOT + 2, 0, (u64)self->gpa, 0, NULL));
}

TEST_F(slot, many)
{
	int n = node_has(KVM_CAP_NR_MEMSLOTS);
	int i, step;

	ASSERT_LE(32, n);
	/* As many as fit into the memory, with a gap after each. */
	n = n > 900 ? 900 : n - 8;
	for (i = 0; i < n; i++)
		ASSERT_EQ(0, vm_set_slot(self->vm, 2 + i, 0, (u64)self->gpa + 2 * i * PAGE_4K,
					 PAGE_4K, self->a + i * PAGE_4K));
	for (i = 0; i < n; i++)
		*(u64 *)(self->a + i * PAGE_4K) = i;
	step = test_long() ? 1 : 17;
	for (i = 0; i < n; i += step) {
		EXPECT_EQ(i, agent_read(self->vcpu, self->gpa + 2 * i * PAGE_4K, 8));
		EXPECT_TRUE(is_mmio(self->vcpu, self->gpa + (2 * i + 1) * PAGE_4K));
	}
	for (i = 0; i < n; i += 2)
		ASSERT_EQ(0, vm_set_slot(self->vm, 2 + i, 0, 0, 0, NULL));
	for (i = 0; i < n; i += step)
		EXPECT_EQ(i % 2 == 0, is_mmio(self->vcpu, self->gpa + 2 * i * PAGE_4K));
}

/* Only what is in the slot goes: a neighbour keeps its translations. */
TEST_F(slot, neighbours_keep_their_pages)
{
	long before, after;

	ASSERT_EQ(0, put(self, self->gpa, PAGE_2M, self->a));
	ASSERT_EQ(0, vm_set_slot(self->vm, SLOT + 1, 0, (u64)self->gpa + PAGE_2M, PAGE_2M,
				 self->b));
	agent_fill(self->vcpu, self->gpa, 2 * PAGE_2M, PAGE_4K, 3);
	ASSERT_EQ(0, put(self, self->gpa, 0, NULL));
	before = vm_stat(self->vm, "pf_taken");
	EXPECT_EQ(0, agent_verify(self->vcpu, self->gpa + PAGE_2M, PAGE_2M, PAGE_4K, 3));
	after = vm_stat(self->vm, "pf_taken");
	/* Stock KVM zaps everything; umbra promises better. */
	if (node_has(UMBRA_CAP_MMU))
		EXPECT_EQ(before, after);
}

/* --- while a vCPU runs --- */

struct spin {
	shared_u64 floor;
	shared_u64 stop;
	shared_u64 rounds;
	shared_u64 stale;
	shared_u64 stale_value, stale_floor;
	u8 *page;
};

static void guest_spin(void *arg)
{
	struct spin *s = arg;

	while (!s->stop) {
		u64 floor = s->floor;
		u64 v = GUEST_READ((u64 *)s->page);

		/* A floor that changed meanwhile says nothing about this value. */
		if (v < floor && s->floor == floor) {
			s->stale_value = v;
			s->stale_floor = floor;
			s->stale++;
		}
		s->rounds++;
	}
}

/* Runs the guest to its end; reads of MMIO get a value above every floor. */
static void *spin_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct kvm_run *run = vcpu->run;
	int cpu = host_cpu(1);

	if (cpu >= 0)
		host_pin_to(cpu);

	while (vcpu_next(vcpu) != UCALL_DONE) {
		if (run->exit_reason != KVM_EXIT_MMIO || run->mmio.is_write)
			die("%s", vcpu_exit_name(vcpu));
		memset(run->mmio.data, 0xff, 8);
	}
	return NULL;
}

enum how { DELETE, MOVE };

/* Returns how many stale reads the guest has seen. */
static u64 replace_under_guest(FIXTURE_DATA(slot) * self, enum how how, int rounds)
{
	struct spin *s = vm_mem(self->vm, PAGE_4K);
	pthread_t thread;
	int i;

	s->page = self->gpa;
	vcpu_start(self->vcpu, guest_spin, s);
	if (pthread_create(&thread, NULL, spin_thread, self->vcpu))
		die("thread");
	host_pin_to(host_cpu(0));
	for (i = 1; i <= rounds && !s->stale; i++) {
		u8 *mem = i % 2 ? self->a : self->b;

		*(shared_u64 *)mem = i;
		if (put(self, self->gpa, MEM_SIZE, mem))
			die("create slot");
		s->floor = i;
		await(&s->rounds, 20);
		if (how == MOVE && put(self, self->gpa + MEM_SIZE, MEM_SIZE, mem))
			die("move slot");
		if (how == DELETE && put(self, self->gpa, 0, NULL))
			die("delete slot");
		/* From here on the guest must not see the slot: all reads are MMIO. */
		s->floor = MMIO_VALUE;
		await(&s->rounds, 20);
		s->floor = 0;
		if (how == MOVE && put(self, self->gpa, 0, NULL))
			die("delete slot");
	}
	s->stop = 1;
	vcpu_join(thread);
	if (s->stale)
		printf("# %lu stale reads, the last %ld under the floor %ld\n", s->stale,
		       s->stale_value, s->stale_floor);
	return s->stale;
}

TEST_F(slot, delete_under_a_running_vcpu)
{
	EXPECT_EQ(0, replace_under_guest(self, DELETE, test_long() ? 300 : 30));
}

TEST_F(slot, move_under_a_running_vcpu)
{
	EXPECT_EQ(0, replace_under_guest(self, MOVE, test_long() ? 300 : 30));
}

/*
 * The control: without remote flushes the vCPU keeps what its TLB has, until
 * something else makes it exit. So it has a CPU of its own, where the ioctl's
 * thread and the work that it causes are not.
 */
TEST_F(slot, control_without_flush)
{
	if (!node_has(UMBRA_CAP_TEST_HOOK))
		TEST_SKIP("no UMBRA_CAP_TEST_HOOK");
	if (host_cpu(1) < 0)
		TEST_SKIP("needs two CPUs");
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_NO_FLUSH, 1));
	EXPECT_LT(0, replace_under_guest(self, DELETE, 300));
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_NO_FLUSH, 0));
}

UMBRA_TEST_MAIN
