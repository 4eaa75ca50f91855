// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes to a table that is never out of sync, and so are emulated. Proves that who has
 * seen the new bytes and flushes finds nothing of the old, that an aligned access is seen
 * whole, and that what is written is mapped without a fault, as long as it is used.
 */
#include "shadow.h"

#define AT 9	/* the entry that is written */
#define AT_GVA (GVA + AT * PAGE_4K)

static void expect_emulated(struct __test_metadata *_metadata, struct vm *vm, long before, u64 n)
{
	if (before >= 0 && shadow_mode(vm))
		EXPECT_LE(before + (long)n, vm_stat(vm, "insn_emulation"));
}

/* --- who sees the bytes has lost the old translation --- */

struct seen {
	struct env *e;
	u64 rounds;
	shared_u64 turn, bad, stop;
};

static void guest_writes(void *arg)
{
	struct seen *s = arg;
	u64 n;

	guest_use_as_root(s->e, s->e->pte);
	for (n = 1; n <= s->rounds; n++) {
		while (s->turn != n)
			guest_pause();
		pte_write(s->e->pte + AT, page(s->e, n % DATA_PAGES) | PTE_RW);
	}
}

static void guest_sees(void *arg)
{
	struct seen *s = arg;
	struct env *e = s->e;
	u64 n;

	guest_write_cr3(e->root);
	for (n = 1; n <= s->rounds; n++) {
		s->bad += READ_AT(AT_GVA) != 100 + (n - 1) % DATA_PAGES;
		s->turn = n;
		while ((GUEST_READ(e->pte + AT) & PTE_ADDR) != page(e, n % DATA_PAGES))
			guest_pause();
		if (n % 4)
			guest_write_cr3(e->root);
		else
			guest_invlpg((void *)AT_GVA);
		s->bad += READ_AT(AT_GVA) != 100 + n % DATA_PAGES;
	}
}

/* So that a vCPU stops in the middle of what it does. */
static void *take_cpu(void *arg)
{
	struct seen *s = arg;
	u64 n;

	while (!s->stop) {
		for (n = 0; n < 300; n++)
			asm volatile("pause");
		usleep(2000);
	}
	return NULL;
}

TEST_F(shadow, seen_by_another)
{
	struct seen *s = vm_mem(self->vm, PAGE_4K);
	long emulated = vm_stat(self->vm, "insn_emulation");
	pthread_t writer, taker;

	s->e = self->env;
	s->rounds = test_long() ? 15000 : 1500;
	*(s->e->pte + AT) = page(s->e, 0) | PTE_RW;
	vcpu_start(self->vcpu, guest_writes, s);
	vcpu_start(self->other, guest_sees, s);
	ASSERT_EQ(0, pthread_create(&taker, NULL, take_cpu, s));
	writer = vcpu_spawn(self->vcpu);
	vcpu_done(self->other);
	vcpu_join(writer);
	s->stop = 1;
	pthread_join(taker, NULL);
	EXPECT_EQ(0, s->bad);
	expect_emulated(_metadata, self->vm, emulated, s->rounds);
}

/* --- an aligned access is a single one --- */

#define BYTES_A 0xaaaaaaaaaaaaaaaaUL
#define BYTES_B 0x5555555555555555UL	/* no A: nobody maps what it names */

enum how { BY_MOV, BY_XCHG, BY_CMPXCHG, HOWS };

struct whole {
	struct env *e;
	u64 size, how, rounds;
	u64 *word;	/* that one vCPU writes and the other reads */
	shared_u64 ready, done, bad, changes;
};

static u64 bytes_of(u64 n, u64 size)
{
	return (n & 1 ? BYTES_B : BYTES_A) >> (64 - 8 * size);
}

#define STORE_AS(type, at, how, new, old) do {					\
	type __old = (old);							\
										\
	if ((how) == BY_MOV)							\
		GUEST_WRITE((type *)(at), (type)(new));				\
	else if ((how) == BY_XCHG)						\
		__atomic_exchange_n((type *)(at), (type)(new), __ATOMIC_SEQ_CST); \
	else									\
		__atomic_compare_exchange_n((type *)(at), &__old, (type)(new), false, \
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
} while (0)

static void store_bytes(const struct whole *w, u64 n)
{
	u64 new = bytes_of(n, w->size), old = bytes_of(n + 1, w->size);

	if (w->size == 2)
		STORE_AS(u16, w->word, w->how, new, old);
	else if (w->size == 4)
		STORE_AS(u32, w->word, w->how, new, old);
	else
		STORE_AS(u64, w->word, w->how, new, old);
}

static u64 load_bytes(const u64 *at, u64 size)
{
	return size == 2 ? GUEST_READ((u16 *)at) :
	       size == 4 ? GUEST_READ((u32 *)at) : GUEST_READ(at);
}

static void check_bytes(struct whole *w, u64 seen, u64 *last)
{
	w->bad += seen != bytes_of(0, w->size) && seen != bytes_of(1, w->size);
	w->changes += seen != *last;
	*last = seen;
}

static void guest_stores(void *arg)
{
	struct whole *w = arg;
	u64 n;

	guest_use_as_root(w->e, w->e->pte);
	READ_AT(AT_GVA);
	while (!w->ready)
		guest_pause();
	for (n = 1; n <= w->rounds || !w->changes; n++)
		store_bytes(w, n);
	w->done = 1;
}

static void guest_loads(void *arg)
{
	struct whole *w = arg;
	u64 last = bytes_of(0, w->size);

	w->ready = 1;
	while (!w->done)
		check_bytes(w, load_bytes(w->word, w->size), &last);
}

/* What the emulator reads, it writes to a table for all to see. */
static void guest_copies(void *arg)
{
	struct whole *w = arg;
	u64 *to = w->e->pte + 2 * AT;
	u64 last = bytes_of(0, w->size), n;

	guest_use_as_root(w->e, w->e->pte);
	READ_AT(AT_GVA);
	w->ready = 1;
	for (n = 0; n < w->rounds || !w->changes; n++) {
		const u64 *source = w->word;
		u64 *target = to;

		if (w->size == 2)
			asm volatile("movsw" : "+S" (source), "+D" (target) : : "memory");
		else if (w->size == 4)
			asm volatile("movsl" : "+S" (source), "+D" (target) : : "memory");
		else
			asm volatile("movsq" : "+S" (source), "+D" (target) : : "memory");
		check_bytes(w, load_bytes(to, w->size), &last);
	}
	w->done = 1;
}

static void guest_stores_natively(void *arg)
{
	struct whole *w = arg;
	u64 n;

	for (n = 1; !w->done; n++)
		store_bytes(w, n);
}

/*
 * One side is emulated, @other is not; @word is what they have in common. It goes on until
 * one has seen the other write.
 */
static void run_whole(struct __test_metadata *_metadata, FIXTURE_DATA(shadow) * self,
		      void (*fn)(void *arg), void (*other)(void *arg), u64 *word,
		      u64 size, enum how how)
{
	struct whole *w = (struct whole *)page(self->env, 1);
	long emulated = vm_stat(self->vm, "insn_emulation");
	pthread_t thread;

	*w = (struct whole){ .e = self->env, .size = size, .how = how, .word = word,
			     .rounds = test_long() ? 30000 : 3000 };
	*word = bytes_of(0, size);
	*(self->env->pte + AT) = page(self->env, 2) | PTE_RW;
	vcpu_start(self->vcpu, fn, w);
	vcpu_start(self->other, other, w);
	thread = vcpu_spawn(self->other);
	vcpu_done(self->vcpu);
	vcpu_join(thread);
	EXPECT_EQ(0, w->bad);
	expect_emulated(_metadata, self->vm, emulated, w->rounds);
}

TEST_F(shadow, stores_are_seen_whole)
{
	u64 size;
	int how;

	for (how = 0; how < HOWS; how++)
		for (size = 2; size <= 8; size *= 2)
			run_whole(_metadata, self, guest_stores, guest_loads,
				  self->env->pte + 2 * AT, size, how);
}

TEST_F(shadow, loads_are_whole)
{
	u64 size;

	for (size = 2; size <= 8; size *= 2)
		run_whole(_metadata, self, guest_copies, guest_stores_natively,
			  (u64 *)page(self->env, 3), size, BY_MOV);
}

/* --- what is written is mapped ahead --- */

#define AHEAD_ROUNDS 60

static void guest_uses_what_it_writes(void *arg)
{
	struct env *e = arg;
	u64 n;

	guest_use_as_root(e, e->pte);
	READ_AT(GVA + PAGE_4K);
	for (n = 0; n < AHEAD_ROUNDS; n++) {
		u64 i = 1 + n % 20;

		pte_write(e->pte + i, page(e, n) | PTE_RW);
		GUEST_SYNC(n);
		GUEST_ASSERT_EQ(100 + n, READ_AT(GVA + i * PAGE_4K));
		GUEST_WRITE((u64 *)(GVA + i * PAGE_4K) + 1, n);
		GUEST_SYNC(n);
	}
}

static bool can_map_ahead(struct vm *vm)
{
	return shadow_mode(vm) && !policy_pinned(vm) && vm_stat(vm, "pf_taken") >= 0;
}

TEST_F(shadow, written_entry_is_used_without_a_fault)
{
	u64 n;

	if (!can_map_ahead(self->vm))
		TEST_SKIP("nothing is mapped ahead here");
	*(self->env->pte + 1) = page(self->env, 0) | PTE_RW;
	vcpu_start(self->vcpu, guest_uses_what_it_writes, self->env);
	for (n = 0; n < AHEAD_ROUNDS; n++) {
		long taken, around = vm_stat(self->vm, "pf_around");

		vcpu_sync(self->vcpu, n);
		taken = vm_stat(self->vm, "pf_taken");
		EXPECT_LT(around, vm_stat(self->vm, "pf_around"));
		vcpu_sync(self->vcpu, n);
		EXPECT_EQ(taken, vm_stat(self->vm, "pf_taken"));
	}
	vcpu_done(self->vcpu);
}

/* The control: what is only written is taken for data, and its shadow page goes. */
static void guest_only_writes(void *arg)
{
	struct env *e = arg;
	int i;

	guest_use_as_root(e, e->pte);
	READ_AT(GVA + PAGE_4K);
	for (i = 20; i < 24; i++)
		pte_write(e->pte + i, page(e, i) | PTE_RW);
	GUEST_SYNC(0);
	READ_AT(GVA + PAGE_4K);
	GUEST_SYNC(1);
}

TEST_F(shadow, table_that_is_only_written_goes)
{
	long taken;

	if (!can_map_ahead(self->vm))
		TEST_SKIP("nothing is mapped ahead here");
	*(self->env->pte + 1) = page(self->env, 0) | PTE_RW;
	vcpu_start(self->vcpu, guest_only_writes, self->env);
	vcpu_sync(self->vcpu, 0);
	taken = vm_stat(self->vm, "pf_taken");
	vcpu_sync(self->vcpu, 1);
	EXPECT_LT(taken, vm_stat(self->vm, "pf_taken"));
	vcpu_done(self->vcpu);
}

UMBRA_TEST_MAIN
