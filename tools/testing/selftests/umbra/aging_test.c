// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page aging. Reclaim asks the secondary MMU whether a page was used: a page
 * that only the guest touches must be as young as one that the process
 * touches. Proves it by the host's own accounting: of a set of pages that the
 * guest uses again and again and a set that it used once, reclaim takes the
 * second and leaves the first; and what reclaim looked at, the guest keeps.
 *
 * The process itself never touches either set after the setup. If aging told
 * reclaim nothing, both sets would go alike.
 */
#include "test.h"

FIXTURE(aging) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *hot, *cold;
};

#define SET_SIZE (8UL << 20)
#define SET_PAGES (SET_SIZE / PAGE_4K)
/* Reclaimed at a time: less than half of what there is. */
#define STEP BIT(20)
#define MAX_STEPS 40

FIXTURE_SETUP(aging)
{
	if (!swap_on())
		TEST_SKIP("no swap device");
	if (!reclaim_self(PAGE_4K))
		TEST_SKIP("no memory.reclaim in cgroup v2");
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->hot = vm_mem(self->vm, SET_SIZE);
	self->cold = vm_mem(self->vm, SET_SIZE);
	agent_start(self->vcpu);
	/*
	 * The guest is the only one that ever touches them. A first reclaim finds
	 * all of them young, clears that and takes the oldest, which are cold.
	 */
	agent_fill(self->vcpu, self->cold, SET_SIZE, PAGE_4K, 2);
	agent_fill(self->vcpu, self->hot, SET_SIZE, PAGE_4K, 1);
	reclaim_self(STEP);
}

FIXTURE_TEARDOWN(aging)
{
	vm_free(self->vm);
	swap_off();
}

/* Reclaims until half of the cold pages are gone; returns hot ones that went. */
static size_t reclaim_around(struct vcpu *vcpu, u8 *hot, u8 *cold, enum agent_op touch)
{
	size_t lost = 0;
	int step;

	for (step = 0; step < MAX_STEPS; step++) {
		agent_post(vcpu, touch, hot, SET_SIZE, 1, PAGE_4K);
		agent_wait(vcpu);
		reclaim_self(STEP);
		lost += pages_swapped(hot, SET_SIZE);
		if (pages_swapped(cold, SET_SIZE) > SET_PAGES / 2)
			return lost;
	}
	return ~0UL;
}

TEST_F(aging, pages_that_the_guest_reads_are_young)
{
	size_t lost = reclaim_around(self->vcpu, self->hot, self->cold, AGENT_VERIFY);

	EXPECT_GE(SET_PAGES / 4, lost);
	EXPECT_EQ(0, agent_verify(self->vcpu, self->hot, SET_SIZE, PAGE_4K, 1));
	EXPECT_EQ(0, agent_verify(self->vcpu, self->cold, SET_SIZE, PAGE_4K, 2));
}

TEST_F(aging, pages_that_the_guest_writes_are_young)
{
	size_t lost = reclaim_around(self->vcpu, self->hot, self->cold, AGENT_FILL);

	EXPECT_GE(SET_PAGES / 4, lost);
	EXPECT_EQ(0, host_verify(self->hot, SET_SIZE, PAGE_4K, 1));
	EXPECT_EQ(0, host_verify(self->cold, SET_SIZE, PAGE_4K, 2));
}

/* The control: with nobody using it, the first set goes as the second does. */
TEST_F(aging, pages_that_nobody_touches_are_old)
{
	int step;

	for (step = 0; step < MAX_STEPS; step++) {
		reclaim_self(STEP);
		if (pages_swapped(self->hot, SET_SIZE) > SET_PAGES / 2)
			return;
	}
	ASSERT_TRUE(false) TH_LOG("untouched pages stay in memory");
}

UMBRA_TEST_MAIN
