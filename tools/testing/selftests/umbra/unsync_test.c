// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that writes to its page tables, and flushes later or never. Proves for each
 * paging format that after INVLPG, a load of CR3, a change of CR4.PGE or of CR0.PG an
 * access goes where the entry says by then, with its rights, and sets A and D; that
 * before, it goes where a CPU could have cached that it goes; and that a new right is
 * missing at most once. With one vCPU and with two, which write to the same tables,
 * and while the host takes the memory of the tables and of the data.
 */
#include "test.h"
#include "env.h"
#include "unsync/script.h"

FIXTURE(unsync) {
	struct machine m;
};

FIXTURE_VARIANT(unsync) {
	enum format_id format;
};

FIXTURE_VARIANT_ADD(unsync, two_level) { .format = FORMAT_32 };
FIXTURE_VARIANT_ADD(unsync, pae) { .format = FORMAT_PAE };
FIXTURE_VARIANT_ADD(unsync, four_level) { .format = FORMAT_4 };
FIXTURE_VARIANT_ADD(unsync, five_level) { .format = FORMAT_5 };

FIXTURE_SETUP(unsync)
{
	if (!machine_can(variant->format))
		TEST_SKIP("no 5-level paging");
	/* KVM refuses tables in which the CPU has set A in the top entries. */
	if (variant->format == FORMAT_PAE && !node_has(UMBRA_CAP_MMU))
		TEST_SKIP("stock KVM and QEMU's CPU disagree about PAE");
	machine_init(&self->m, variant->format);
}

FIXTURE_TEARDOWN(unsync)
{
	vm_free(self->m.vm);
}

static int times(int some, int many)
{
	return test_long() ? many : some;
}

/* --- storms --- */

static int some_page(const struct side *s, int i)
{
	return side_page(s, i % s->pages);
}

/* Entries change in a row; some are used before the flush, all of them behind it. */
static void make_round(struct side *s)
{
	enum flush how = random_next(&s->seed) % FLUSHES;
	int from = random_next(&s->seed) % s->pages;
	int n = 1 + random_next(&s->seed) % 150, i;

	for (i = 0; i < n; i++) {
		int page = some_page(s, from + i);

		script_change(s, page, script_any_pte(s, page));
		if (random_next(&s->seed) % 4 == 0)
			script_any_access(s, some_page(s, from + random_next(&s->seed) % n));
	}
	script_flush(s, how, from, n);
	for (i = 0; i < n; i++) {
		script_any_access(s, some_page(s, from + i));
		if (random_next(&s->seed) % 2)
			script_entry(s, some_page(s, from + i));
	}
	if (random_next(&s->seed) % 4 == 0)
		script_toggle_wp(s);
}

#define ROUNDS 25

static void make_storm(struct side *s)
{
	int i;

	script_begin(s);
	for (i = 0; i < ROUNDS; i++)
		make_round(s);
	script_end(s);
}

static void run_alone(struct machine *m, struct side *s)
{
	machine_start(m, s->nr, 0);
	vcpu_done(m->vcpu[s->nr]);
}

TEST_F(unsync, storm)
{
	struct side *s = side_new(&self->m, 0, 0, 1);
	int i;

	for (i = 0; i < times(3, 200); i++) {
		make_storm(s);
		run_alone(&self->m, s);
		EXPECT_EQ(0, side_wrong(s, false));
		EXPECT_EQ(0, side_wrong_memory(s));
	}
}

/*
 * The first table is a root as well, and so it is never out of sync: each write to it is
 * emulated. Its entries that lead to the code and the steps are left alone; the others
 * are of both halves, in tables of 32 bits.
 */
static void make_root_too(struct side *s)
{
	struct machine *m = s->m;

	s->first = m->f->wide ? 16 : 448;
	s->pages = PAGE_4K / (m->f->wide ? 8 : 4) - s->first;
	if (m->f->wide) {
		memcpy(m->tables, boot_hva(m->vm, m->root[0]), 16 * 8);
	} else {
		memcpy(m->tables, boot_hva(m->vm, m->root[0]), 16 * 4);
		memcpy(m->tables + 384 * 4, boot_hva(m->vm, m->root[0] + 384 * 4), 64 * 4);
	}
	script_begin(s);
	script_step(s, DO_CR3, 0, (u64)m->tables);
	script_step(s, DO_CR3, 0, m->root[0]);
	script_end(s);
	run_alone(m, s);
}

TEST_F(unsync, storm_in_a_table_that_is_a_root)
{
	struct side *s = side_new(&self->m, 0, 0, 1);
	int i;

	/* The highest table of PAE has no shadow page. */
	if (variant->format == FORMAT_PAE)
		TEST_SKIP("no table can be that");
	make_root_too(s);
	for (i = 0; i < times(3, 200); i++) {
		long emulated = vm_stat(self->m.vm, "insn_emulation");

		make_storm(s);
		run_alone(&self->m, s);
		EXPECT_EQ(0, side_wrong(s, false));
		EXPECT_EQ(0, side_wrong_memory(s));
		if (emulated >= 0 && shadow_mode(self->m.vm))
			EXPECT_LT(emulated + 10 * ROUNDS, vm_stat(self->m.vm, "insn_emulation"));
	}
}

/* The control: some changes of entries are not made. */
TEST_F(unsync, control_changes_left_out)
{
	struct side *s = side_new(&self->m, 0, 0, 1);

	make_storm(s);
	run_alone(&self->m, s);
	EXPECT_EQ(0, side_wrong(s, false));
	s->lie = 20;
	make_storm(s);
	run_alone(&self->m, s);
	EXPECT_LT(0, side_wrong(s, true));
}

/* What the host does while two vCPUs run; they have every other page of all tables. */
static void run_both(struct __test_metadata *_metadata, struct machine *m, void (*host)(void *m))
{
	struct side *s[SIDES] = { side_new(m, 0, 0, 2), side_new(m, 1, 1, 2) };
	pthread_t thread[SIDES];
	int i, k;

	for (i = 0; i < times(2, 100); i++) {
		for (k = 0; k < SIDES; k++) {
			make_storm(s[k]);
			machine_start(m, k, 0);
		}
		for (k = 0; k < SIDES; k++)
			thread[k] = vcpu_spawn(m->vcpu[k]);
		for (k = 0; k < SIDES; k++) {
			while (host && pthread_tryjoin_np(thread[k], NULL))
				host(m);
			if (!host)
				vcpu_join(thread[k]);
		}
		for (k = 0; k < SIDES; k++) {
			EXPECT_EQ(0, side_wrong(s[k], false));
			EXPECT_EQ(0, side_wrong_memory(s[k]));
		}
	}
}

TEST_F(unsync, storm_of_two)
{
	run_both(_metadata, &self->m, NULL);
}

static void drop_some(void *arg)
{
	static u64 seed = 4711;
	struct machine *m = arg;
	u64 r = random_next(&seed);
	int advice = r & 1 ? MADV_DONTNEED : MADV_PAGEOUT;

	/* What is dropped is shared memory, and comes back with its bytes. */
	if (r & 6)
		madvise(m->tables + (r >> 8) % (m->tables_size / PAGE_4K) * PAGE_4K, PAGE_4K,
			advice);
	else
		madvise(m->targets + (r >> 8) % TARGETS * PAGE_4K, 8 * PAGE_4K, advice);
	usleep(200);
}

TEST_F(unsync, storm_while_the_host_takes_memory)
{
	if (!swap_on())
		TEST_SKIP("no swap device");
	run_both(_metadata, &self->m, drop_some);
	swap_off();
}

/* --- from one vCPU to the other --- */

static void change_all(struct side *s)
{
	int i;

	for (i = 0; i < REGION_PAGES; i++)
		script_change(s, i, script_any_pte(s, i));
}

/* Beside what @a knows, @b may have cached what was there before, and use it yet. */
static void tell(struct side *a, struct side *b)
{
	int i;

	for (i = 0; i < REGION_PAGES; i++) {
		b->known[i].old[0] = b->known[i].now;
		b->known[i].nr_old = 1;
		b->known[i].now = a->known[i].now;
		b->known[i].must = 0;
		b->known[i].may = 0;
		a->known[i].nr_old = 0;
	}
}

/* The second side flushes in its way, or (FLUSHES) has never seen the tables before. */
static void hand_over(struct side *a, struct side *b, enum flush how)
{
	u64 flag = (u64)a->steps + (SCRIPT_STEPS - 1) * sizeof(struct step);
	int i;

	*(u32 *)flag = 0;
	script_begin(a);
	script_begin(b);
	for (i = 0; i < REGION_PAGES && how < FLUSHES; i++)
		script_look_up(b, i);
	script_step(b, DO_STORE4, flag, 1);
	script_step(a, DO_WAIT, flag, 1);
	change_all(a);
	script_step(a, DO_STORE4, flag, 2);
	script_end(a);
	tell(a, b);
	for (i = 0; i < REGION_PAGES / 4 && how < FLUSHES; i++)
		script_look_up(b, random_next(&b->seed) % REGION_PAGES);
	script_step(b, DO_WAIT, flag, 2);
	script_flush(b, how < FLUSHES ? how : FLUSH_SPACE, 0, REGION_PAGES);
	for (i = 0; i < REGION_PAGES; i++) {
		script_any_access(b, i);
		script_entry(b, i);
	}
	script_end(b);
}

TEST_F(unsync, handed_over)
{
	struct side *a = side_new(&self->m, 0, 0, 1), *b = side_new(&self->m, 1, 0, 1);
	pthread_t thread;
	int i;

	for (i = 0; i < times(FLUSHES + 1, 30); i++) {
		/* The first time is the one without a look before. */
		hand_over(a, b, FLUSHES - i % (FLUSHES + 1));
		machine_start(&self->m, 0, 0);
		machine_start(&self->m, 1, 0);
		thread = vcpu_spawn(self->m.vcpu[0]);
		vcpu_done(self->m.vcpu[1]);
		vcpu_join(thread);
		EXPECT_EQ(0, side_wrong(b, false));
		EXPECT_EQ(0, side_wrong_memory(b));
	}
}

/* --- tables that nothing leads to --- */

static void set_pde(struct side *s, int page, u64 entry)
{
	script_step(s, s->m->f->wide ? DO_STORE8 : DO_STORE4,
		    machine_pde(s->m, s->space, page), entry);
}

static u64 pde_of(struct side *s, int page)
{
	return machine_entry(s->m, page, false) | PTE_TABLE;
}

/* Written while no walk can come by; used at once when one can. */
static void make_unlinked(struct side *s, int page, int n)
{
	int i, k;

	for (i = 0; i < n; i++) {
		script_change(s, page + i, script_any_pte(s, page + i));
		script_any_access(s, page + i);
	}
	set_pde(s, page, 0);
	script_flush(s, FLUSH_PGE, 0, 0);
	for (k = 0; k < 2; k++) {
		for (i = 0; i < n; i++) {
			script_change(s, page + i, script_any_pte(s, page + i));
			s->known[page + i].nr_old = 0;
		}
	}
	set_pde(s, page, pde_of(s, page));
	for (i = 0; i < n; i++) {
		script_any_access(s, page + i);
		script_entry(s, page + i);
	}
}

/* Each of two tables in the other's place; the entries are those of the place. */
static void make_swapped(struct side *s, int page, int other, int n)
{
	int i;

	script_flush(s, FLUSH_PGE, 0, 0);
	set_pde(s, page, pde_of(s, other));
	script_flush(s, FLUSH_PGE, 0, 0);
	for (i = 0; i < n; i++) {
		struct known mine = s->known[page + i];

		s->known[page + i] = s->known[other + i];
		script_look_up(s, page + i);
		/* By the table's own place, A and D are still to be found. */
		s->known[other + i].must |= s->known[page + i].must;
		s->known[other + i].may |= s->known[page + i].may;
		s->known[page + i] = mine;
	}
	set_pde(s, page, pde_of(s, page));
	script_flush(s, FLUSH_PGE, 0, 0);
	for (i = 0; i < n; i++) {
		script_any_access(s, page + i);
		script_entry(s, page + i);
		script_any_access(s, other + i);
		script_entry(s, other + i);
	}
}

TEST_F(unsync, tables_linked_and_not)
{
	int n = PAGE_4K / (self->m.f->wide ? 8 : 4), i, k;
	struct side *s = side_new(&self->m, 0, 0, 1);

	for (k = 0; k < times(1, 50); k++) {
		script_begin(s);
		for (i = 0; i < REGION_PAGES; i += n)
			make_unlinked(s, i, n);
		for (i = n; i < REGION_PAGES; i += n)
			make_swapped(s, 0, i, n);
		script_end(s);
		run_alone(&self->m, s);
		EXPECT_EQ(0, side_wrong(s, false));
		EXPECT_EQ(0, side_wrong_memory(s));
	}
}

/* --- the dirty log of the tables --- */

static u64 tables_log(struct machine *m)
{
	u64 log = 0;

	if (vm_dirty_log(m->vm, m->tables_slot, &log))
		die("dirty log");
	return log;
}

static void run_changes(struct machine *m, struct side *s, u64 mask, bool used)
{
	int per = PAGE_4K / (m->f->wide ? 8 : 4), i, k;

	script_begin(s);
	for (i = 0; i < REGION_PAGES; i += per) {
		for (k = 0; k < 20 && (mask >> i / per & 1); k++)
			script_change(s, i + k, target_pte(m, k, PTE_P | PTE_W | PTE_U));
		if (!used)
			continue;
		script_flush(s, FLUSH_CR3, 0, 0);
		for (k = 0; k < 20; k++)
			script_look_up(s, i + k);
	}
	script_end(s);
	run_alone(m, s);
}

TEST_F(unsync, dirty_log_of_tables)
{
	int tables = self->m.tables_size / PAGE_4K, i;
	struct side *s = side_new(&self->m, 0, 0, 1);
	struct machine *m = &self->m;
	u64 all = (1UL << tables) - 1;

	run_changes(m, s, all, true);
	ASSERT_EQ(0, vm_set_slot(m->vm, m->tables_slot, KVM_MEM_LOG_DIRTY_PAGES, (u64)m->tables,
				 m->tables_size, m->tables));
	run_changes(m, s, all, true);
	EXPECT_EQ(all, tables_log(m));
	for (i = 0; i < 2 * tables; i++) {
		/* Twice without a use, and then with walks that set A. */
		run_changes(m, s, BIT(i % tables), false);
		EXPECT_EQ(BIT(i % tables), tables_log(m));
		run_changes(m, s, BIT(i % tables), false);
		EXPECT_EQ(BIT(i % tables), tables_log(m));
		run_changes(m, s, all, true);
		EXPECT_EQ(all, tables_log(m));
		EXPECT_EQ(0, side_wrong(s, false));
	}
	/* The control: without a write there is nothing in it. */
	run_changes(m, s, 0, false);
	EXPECT_EQ(0, tables_log(m));
}

UMBRA_TEST_MAIN
