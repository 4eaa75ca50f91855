// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated writes to memory that the host has taken away: swapped out, dropped, or shared
 * copy-on-write with a child. Proves that they land, and in the dirty log; and that
 * without any memory KVM_RUN fails with -EFAULT and goes on when there is some again.
 *
 * The page that is written is a table in two uses (guest_use_as_root()). A write to it
 * faults, and the fault brings the page. One of what userspace answers does not: MOVS
 * from MMIO writes right after KVM_RUN, and the page is taken before.
 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shadow.h"

#define AT 9	/* the entry that is written */
#define AT_GVA (GVA + AT * PAGE_4K)

enum how { BY_MOV, BY_XCHG, BY_CMPXCHG, HOWS };

struct away {
	struct env *e;
	u64 *table;
	u64 how;
	shared_u64 passes, stop, bad;
};

static struct away *away_new(FIXTURE_DATA(shadow) * self, int flags)
{
	struct away *a = vm_mem(self->vm, PAGE_4K);
	struct env *e = self->env;

	a->e = e;
	a->table = vm_reserve(self->vm, PAGE_4K, PAGE_2M);
	if (mmap(a->table, PAGE_4K, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) != a->table)
		die("memory of a table");
	vm_add_slot(self->vm, KVM_MEM_LOG_DIRTY_PAGES, (u64)a->table, PAGE_4K, a->table);
	*table_entry(&e->t, e->root, GVA, 2) = (u64)a->table | PTE_TABLE;
	a->table[AT] = page(e, 0) | PTE_RW;
	return a;
}

static u64 table_log(struct vm *vm)
{
	u64 log = 0;

	if (vm_dirty_log(vm, vm->next_slot - 1, &log))
		die("dirty log");
	return log;
}

/* --- how it goes --- */

static pid_t child;

static void swap_out(void *mem)
{
	if (!page_out(mem, PAGE_4K))
		die("the page does not leave");
}

static void drop(void *mem)
{
	madvise(mem, PAGE_4K, MADV_DONTNEED);
}

static void share_with_child(void *mem)
{
	child = fork();
	if (child)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pause();
	_exit(0);
}

static void end_child(void)
{
	if (!child)
		return;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	child = 0;
}

/* --- a write that brings no page --- */

static void guest_moves(void *arg)
{
	struct away *a = arg;
	u64 n;

	guest_use_as_root(a->e, a->table);
	for (n = 1; n < 20; n++) {
		const u64 *from = (u64 *)TEST_MMIO;
		u64 *to = a->table + AT;

		GUEST_ASSERT_EQ(100 + n - 1, READ_AT(AT_GVA));
		asm volatile("movsq" : "+S" (from), "+D" (to) : : "memory");
		guest_invlpg((void *)AT_GVA);
		GUEST_ASSERT_EQ(100 + n, READ_AT(AT_GVA));
		GUEST_SYNC(n);
	}
}

static void answer(struct __test_metadata *_metadata, struct vcpu *vcpu, u64 value)
{
	ASSERT_EQ(UCALL_NONE, vcpu_next(vcpu));
	ASSERT_EQ(KVM_EXIT_MMIO, vcpu->run->exit_reason);
	ASSERT_EQ(8, vcpu->run->mmio.len);
	memcpy(vcpu->run->mmio.data, &value, sizeof(value));
}

static void moves_while_away(struct __test_metadata *_metadata, FIXTURE_DATA(shadow) * self,
			     int flags, void (*take)(void *mem))
{
	struct away *a = away_new(self, flags);
	u64 n;

	vcpu_start(self->vcpu, guest_moves, a);
	for (n = 1; n < 20; n++) {
		answer(_metadata, self->vcpu, page(self->env, n) | PTE_RW);
		table_log(self->vm);
		take(a->table);
		vcpu_sync(self->vcpu, n);
		end_child();
		EXPECT_EQ(1, table_log(self->vm));
		EXPECT_EQ(0, table_log(self->vm));
		EXPECT_EQ(page(self->env, n) | PTE_RW, a->table[AT]);
	}
	vcpu_done(self->vcpu);
}

TEST_F(shadow, moved_into_swapped_memory)
{
	if (!swap_on())
		TEST_SKIP("no swap device");
	moves_while_away(_metadata, self, MAP_PRIVATE, swap_out);
	swap_off();
}

TEST_F(shadow, moved_into_dropped_memory)
{
	moves_while_away(_metadata, self, MAP_SHARED, drop);
}

TEST_F(shadow, moved_into_memory_shared_with_a_child)
{
	moves_while_away(_metadata, self, MAP_PRIVATE, share_with_child);
}

/* Nothing to write to; then something, and the same instruction goes on. */
TEST_F(shadow, moved_into_no_memory)
{
	struct away *a = away_new(self, MAP_SHARED);
	u64 n, value;

	vcpu_start(self->vcpu, guest_moves, a);
	for (n = 1; n < 20; n++) {
		value = page(self->env, n) | PTE_RW;
		answer(_metadata, self->vcpu, value);
		ASSERT_EQ(0, mprotect(a->table, PAGE_4K, n & 1 ? PROT_NONE : PROT_READ));
		EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
		EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
		ASSERT_EQ(0, mprotect(a->table, PAGE_4K, PROT_READ | PROT_WRITE));
		vcpu_sync(self->vcpu, n);
		EXPECT_EQ(value, a->table[AT]);
	}
	vcpu_done(self->vcpu);
}

/* --- writes of all kinds --- */

static void change_by(u64 *entry, u64 value, u64 how)
{
	u64 old = GUEST_READ(entry);

	if (how == BY_MOV)
		pte_write(entry, value);
	else if (how == BY_XCHG)
		__atomic_exchange_n(entry, value, __ATOMIC_SEQ_CST);
	else
		GUEST_ASSERT(__atomic_compare_exchange_n(entry, &old, value, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}

static void guest_writes_on(void *arg)
{
	struct away *a = arg;
	u64 n;

	guest_use_as_root(a->e, a->table);
	for (n = 0; !a->stop; n++) {
		u64 k = n % DATA_PAGES, value = page(a->e, k) | PTE_RW;

		change_by(a->table + AT, value, n % HOWS);
		a->bad += GUEST_READ(a->table + AT) != value;
		guest_invlpg((void *)AT_GVA);
		a->bad += READ_AT(AT_GVA) != 100 + k;
		a->passes++;
	}
}

static void writes_while_it_goes(struct __test_metadata *_metadata,
				 FIXTURE_DATA(shadow) * self, int flags,
				 void (*take)(void *mem), int times)
{
	struct away *a = away_new(self, flags);
	pthread_t thread;
	int i;

	vcpu_start(self->vcpu, guest_writes_on, a);
	thread = vcpu_spawn(self->vcpu);
	await(&a->passes, 3);
	for (i = 0; i < (test_long() ? 100 : 1) * times; i++) {
		take(a->table);
		end_child();
		if (i % 16 == 0)
			await(&a->passes, 1);
	}
	table_log(self->vm);
	await(&a->passes, 2);
	EXPECT_EQ(1, table_log(self->vm));
	a->stop = 1;
	vcpu_join(thread);
	EXPECT_EQ(0, a->bad);
}

static void try_to_swap_out(void *mem)
{
	madvise(mem, PAGE_4K, MADV_PAGEOUT);
}

TEST_F(shadow, written_while_swapped)
{
	if (!swap_on())
		TEST_SKIP("no swap device");
	writes_while_it_goes(_metadata, self, MAP_PRIVATE, try_to_swap_out, 200);
	swap_off();
}

TEST_F(shadow, written_while_dropped)
{
	writes_while_it_goes(_metadata, self, MAP_SHARED, drop, 2000);
}

TEST_F(shadow, written_while_shared_with_children)
{
	writes_while_it_goes(_metadata, self, MAP_PRIVATE, share_with_child, 50);
}

static void guest_writes_once(void *arg)
{
	struct away *a = arg;
	u64 value = page(a->e, 5) | PTE_RW;

	guest_use_as_root(a->e, a->table);
	READ_AT(AT_GVA);
	GUEST_SYNC(1);
	change_by(a->table + AT, value, a->how);
	guest_invlpg((void *)AT_GVA);
	GUEST_ASSERT_EQ(105, READ_AT(AT_GVA));
}

TEST_F(shadow, written_without_memory)
{
	struct away *a = away_new(self, MAP_SHARED);

	for (a->how = 0; a->how < HOWS; a->how++) {
		a->table[AT] = page(self->env, 0) | PTE_RW;
		vcpu_start(self->vcpu, guest_writes_once, a);
		vcpu_sync(self->vcpu, 1);
		ASSERT_EQ(0, mprotect(a->table, PAGE_4K, PROT_READ));
		EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
		ASSERT_EQ(0, mprotect(a->table, PAGE_4K, PROT_NONE));
		EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
		ASSERT_EQ(0, mprotect(a->table, PAGE_4K, PROT_READ | PROT_WRITE));
		vcpu_done(self->vcpu);
		EXPECT_EQ(page(self->env, 5) | PTE_RW, a->table[AT]);
	}
}

UMBRA_TEST_MAIN
