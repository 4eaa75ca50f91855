// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages in many places: mapped by many address spaces that come and go, shared by two
 * of them and copied when written to, or seen through many aliases in one. Proves that
 * each place has the page that its own tables say, whichever of them is in use.
 */
#include "shadow.h"

/* --- address spaces --- */

#define SPACES 40

struct space {
	u64 root, frame;
	u64 *pte;
};

/* More than are remembered, in any order, and changed while another one is in use. */
static void guest_spaces(void *arg)
{
	struct env *e = arg;
	struct space *s = (struct space *)page(e, DATA_PAGES - 1);
	u64 seed = 12345, rounds = e->arg[0], i, n;

	for (i = 0; i < SPACES; i++) {
		s[i].root = root_new(&e->t, e->identity);
		s[i].pte = table_entry(&e->t, s[i].root, GVA, 1);
		s[i].frame = i;
		pte_write(s[i].pte, page(e, i) | PTE_RW);
		pte_write(s[i].pte + 1, page(e, SPACES) | PTE_RW);
	}
	for (n = 0; n < rounds; n++) {
		u64 k, free;

		i = random_next(&seed) % SPACES;
		guest_write_cr3(s[i].root);
		GUEST_ASSERT_EQ(100 + s[i].frame, READ_AT(GVA));
		/* What all of them share. */
		GUEST_WRITE((u64 *)(GVA + PAGE_4K), READ_AT(GVA + PAGE_4K) + 1);
		/* Two that are not in use change places, or one loses its page. */
		k = random_next(&seed) % SPACES;
		free = s[k].frame;
		if (n % 5 == 0) {
			pte_write(s[k].pte, 0);
			guest_write_cr3(s[k].root);
			guest_expect(GVA, false, 0);
			pte_write(s[k].pte, page(e, free) | PTE_RW);
			GUEST_ASSERT_EQ(100 + free, READ_AT(GVA));
		} else {
			pte_write(s[i].pte, page(e, free) | PTE_RW);
			pte_write(s[k].pte, page(e, s[i].frame) | PTE_RW);
			s[k].frame = s[i].frame;
			s[i].frame = free;
			guest_write_cr3(s[k].root);
			GUEST_ASSERT_EQ(100 + s[k].frame, READ_AT(GVA));
		}
	}
	guest_write_cr3(s[0].root);
	GUEST_ASSERT_EQ(100 + SPACES + rounds, READ_AT(GVA + PAGE_4K));
}

TEST_F(shadow, many_address_spaces)
{
	self->env->arg[0] = test_long() ? 100000 : 1500;
	vcpu_call(self->vcpu, guest_spaces, self->env);
}

/* The least that can be asked for; the spaces need three times as many. */
#define FEW_SHADOW_PAGES 64

static u64 tables_held(void)
{
	struct umbra_counters c;

	return node_counters(&c) ? c.tables : 0;
}

TEST_F(shadow, address_spaces_with_few_shadow_pages)
{
	struct env *e = self->env;
	u64 few;

	e->arg[0] = test_long() ? 20000 : 500;
	ASSERT_EQ(0, ioctl(self->vm->fd, KVM_SET_NR_MMU_PAGES, FEW_SHADOW_PAGES));
	vcpu_call(self->vcpu, guest_spaces, e);
	few = tables_held();
	/* The control: with room for all of them, all are there in the end. */
	ASSERT_EQ(0, ioctl(self->vm->fd, KVM_SET_NR_MMU_PAGES, 100 * FEW_SHADOW_PAGES));
	*(u64 *)page(e, SPACES) = 100 + SPACES;
	vcpu_call(self->vcpu, guest_spaces, e);
	if (shadow_mode(self->vm) && node_has(UMBRA_CAP_AUDIT))
		EXPECT_LT(few + SPACES, tables_held());
}

/* Two vCPUs, each with tables and data of its own, take each other's shadow pages away. */
static void spaces_on_both(FIXTURE_DATA(shadow) * self, struct env *second)
{
	pthread_t thread;

	*(u64 *)page(self->env, SPACES) = 100 + SPACES;
	*(u64 *)page(second, SPACES) = 100 + SPACES;
	second->arg[0] = self->env->arg[0];
	vcpu_start(self->vcpu, guest_spaces, self->env);
	vcpu_start(self->other, guest_spaces, second);
	thread = vcpu_spawn(self->other);
	vcpu_done(self->vcpu);
	vcpu_join(thread);
}

TEST_F(shadow, two_vcpus_with_few_shadow_pages)
{
	struct env *second = env_new(self->vm);
	u64 few;

	self->env->arg[0] = test_long() ? 20000 : 250;
	ASSERT_EQ(0, ioctl(self->vm->fd, KVM_SET_NR_MMU_PAGES, FEW_SHADOW_PAGES));
	spaces_on_both(self, second);
	few = tables_held();
	EXPECT_EQ(0, vm_audit(self->vm));
	/* The control, as above. */
	ASSERT_EQ(0, ioctl(self->vm->fd, KVM_SET_NR_MMU_PAGES, 100 * FEW_SHADOW_PAGES));
	spaces_on_both(self, second);
	if (shadow_mode(self->vm) && node_has(UMBRA_CAP_AUDIT))
		EXPECT_LT(few + 2 * SPACES, tables_held());
}

/* --- fork and copy on write --- */

#define COW_PAGES 32
#define COW_WORDS 8
#define COW_WORD(page, w) ((u64 *)((page) + (w) * 512 + 8))

/* One of two address spaces, each with a vCPU of its own. */
struct cow_side {
	u64 root, number;
	u64 *pte[COW_PAGES];
	u64 frame[COW_PAGES][2];	/* used by turns for the pages of its own */
	u64 turn[COW_PAGES];
	u64 oracle[COW_PAGES][COW_WORDS];
	shared_u64 bad, copies, done;
};

struct cow {
	struct cow_side side[2];
	u64 rounds, without_copy;
	/*
	 * The first side asks the other one to share page @ask - 1 with it again. Who waits
	 * leaves the guest each time, as for an IPI that userspace delivers.
	 */
	shared_u64 ask, parked, shot;
};

static struct cow *guest_cow;	/* the guest's copy of the variable */

static u64 cow_gva(u64 k)
{
	return GVA + k * PAGE_4K;
}

/* The guest's #PF handler: a page of its own for who writes to a shared one. */
__attribute__((target("general-regs-only")))
static void guest_cow_fault(struct guest_frame *f)
{
	struct cow_side *s = &guest_cow->side[guest_read_cr3() != guest_cow->side[0].root];
	u64 cr2 = guest_read_cr2(), k = (cr2 - GVA) / PAGE_4K, n = 512, from, to, frame;

	if (cr2 < GVA || k >= COW_PAGES || f->error != (ERROR_P | ERROR_W))
		GUEST_FAIL("copy on write: cr2, error code", cr2, f->error);
	frame = s->frame[k][s->turn[k]++ & 1];
	from = cow_gva(k);
	to = frame;
	if (guest_cow->without_copy)
		frame = *s->pte[k] & PTE_ADDR;
	else
		asm volatile("rep movsq" : "+S" (from), "+D" (to), "+c" (n) : : "memory");
	change(s->pte[k], frame | PTE_RW, cr2);
	s->copies++;
}

static void cow_check(struct cow_side *s, u64 k)
{
	int w;

	for (w = 0; w < COW_WORDS; w++)
		s->bad += GUEST_READ(COW_WORD(cow_gva(k), w)) != s->oracle[k][w];
}

/*
 * The other side has asked: its page is from now on this one's, too. The entry is
 * changed by the other side; the translation is for this one to drop.
 */
static void cow_answer(struct cow *c, struct cow_side *s)
{
	u64 ask = c->ask, k = ask - 1;
	int w;

	if (!ask)
		return;
	c->shot = 0;
	c->parked = 1;
	while (!c->shot)
		GUEST_SYNC(0);
	for (w = 0; w < COW_WORDS; w++)
		s->oracle[k][w] = c->side[0].oracle[k][w];
	guest_invlpg((void *)cow_gva(k));
	c->ask = 0;
}

/* fork() of one page: read-only on both sides, and nobody writes before both know. */
static void cow_share(struct cow *c, u64 k)
{
	u64 frame = *c->side[0].pte[k] & PTE_ADDR;

	change(c->side[0].pte[k], frame | PTE_RO, cow_gva(k));
	c->parked = 0;
	c->ask = k + 1;
	while (!c->parked)
		GUEST_SYNC(0);
	pte_write(c->side[1].pte[k], frame | PTE_RO);
	c->shot = 1;
	while (c->ask)
		GUEST_SYNC(0);
}

static void guest_cow_main(void *arg)
{
	struct cow_side *s = arg;
	struct cow *c = guest_cow;
	u64 seed = 77 + s->number, n, k;
	int w;

	guest_write_cr3(s->root);
	for (n = 0; s->number ? !c->side[0].done : n < c->rounds; n++) {
		if (s->number)
			cow_answer(c, s);
		k = random_next(&seed) % COW_PAGES;
		w = random_next(&seed) % COW_WORDS;
		switch (random_next(&seed) % 4) {
		case 0:
			if (!s->number)
				cow_share(c, k);
			break;
		case 1:
			cow_check(s, k);
			break;
		default:
			GUEST_WRITE(COW_WORD(cow_gva(k), w), seed);
			s->oracle[k][w] = seed;
		}
	}
	for (k = 0; k < COW_PAGES; k++)
		cow_check(s, k);
	s->done = 1;
}

static struct cow *cow_setup(FIXTURE_DATA(shadow) * self)
{
	struct cow *c = vm_mem(self->vm, 4 * PAGE_4K);
	u64 frames = (u64)vm_mem(self->vm, 5 * COW_PAGES * PAGE_4K);
	struct env *e = self->env;
	int i, k, f;

	for (i = 0; i < 2; i++) {
		struct cow_side *s = &c->side[i];

		s->number = i;
		s->root = root_new(&e->t, e->identity);
		for (k = 0; k < COW_PAGES; k++) {
			s->pte[k] = table_entry(&e->t, s->root, cow_gva(k), 1);
			*s->pte[k] = (frames + k * PAGE_4K) | PTE_RO;
			for (f = 0; f < 2; f++)
				s->frame[k][f] = frames + ((1 + 2 * i + f) * COW_PAGES + k) *
						 PAGE_4K;
		}
	}
	*(struct cow **)boot_hva(self->vm, (u64)&guest_cow) = c;
	vm_set_handler(self->vm, X86_TRAP_PF, guest_cow_fault);
	vcpu_start(self->vcpu, guest_cow_main, &c->side[0]);
	vcpu_start(self->other, guest_cow_main, &c->side[1]);
	return c;
}

static void cow_run(FIXTURE_DATA(shadow) * self)
{
	pthread_t a = vcpu_spawn(self->vcpu), b = vcpu_spawn(self->other);

	vcpu_join(a);
	vcpu_join(b);
}

TEST_F(shadow, copy_on_write_storm)
{
	struct cow *c = cow_setup(self);

	c->rounds = test_long() ? 100000 : 1000;
	cow_run(self);
	EXPECT_EQ(0, c->side[0].bad);
	EXPECT_EQ(0, c->side[1].bad);
	EXPECT_LT(COW_PAGES, c->side[0].copies);
	EXPECT_LT(COW_PAGES, c->side[1].copies);
}

/* The control: the handler lets both write to one page, and the oracle sees it. */
TEST_F(shadow, control_write_without_copy)
{
	struct cow *c = cow_setup(self);

	c->rounds = 1000;
	c->without_copy = 1;
	cow_run(self);
	EXPECT_LT(0, c->side[0].bad + c->side[1].bad);
}

/* --- one page in many places --- */

#define ALIAS_BASE (GVA + (1UL << 39))

static void guest_read_aliases(void *arg)
{
	struct env *e = arg;
	u64 i;

	guest_write_cr3(e->root);
	e->bad = 0;
	for (i = 0; i < e->arg[0]; i++)
		e->bad += READ_AT(ALIAS_BASE + i * PAGE_4K) != e->arg[1];
}

static void guest_write_aliases(void *arg)
{
	struct env *e = arg;
	u64 i;

	guest_write_cr3(e->root);
	for (i = 0; i < e->arg[0]; i++)
		GUEST_WRITE((u64 *)(ALIAS_BASE + i * PAGE_4K) + 1 + i % 500, i);
}

/* The table of the first 512 goes, with an entry of a level that is always in sync. */
static void guest_drops_aliases(void *arg)
{
	struct env *e = arg;

	guest_write_cr3(e->root);
	pte_write(table_entry(&e->t, e->root, ALIAS_BASE, 2), 0);
	guest_write_cr3(e->root);
	guest_expect(ALIAS_BASE, false, 0);
	guest_expect(ALIAS_BASE + PAGE_2M, false, NO_FAULT);
}

static u32 sptes(struct vm *vm, const void *p)
{
	struct umbra_gfn_info info;

	return vm_gfn_info(vm, (u64)p, &info) ? info.sptes : 0;
}

static u64 aliases_seen(FIXTURE_DATA(shadow) * self, u64 value)
{
	self->env->arg[1] = value;
	vcpu_call(self->vcpu, guest_read_aliases, self->env);
	return self->env->arg[0] - self->env->bad;
}

TEST_F(shadow, many_aliases_of_one_page)
{
	u64 n = test_long() ? 200000 : 20000, i;
	/* Shadow pages are limited to a share of the guest's memory. */
	u8 *wide = vm_mem(self->vm, 128UL << 20);
	shared_u64 *target = vm_mem(self->vm, PAGE_4K);
	struct env *e = self->env;

	e->t.next = (u64)wide;
	e->t.end = (u64)wide + (16UL << 20);
	e->arg[0] = n;
	for (i = 0; i < n; i++)
		*table_entry(&e->t, e->root, ALIAS_BASE + i * PAGE_4K, 1) =
			(u64)target | PTE_RW;
	*target = 1;
	EXPECT_EQ(n, aliases_seen(self, 1));
	if (shadow_mode(self->vm) && node_has(UMBRA_CAP_AUDIT))
		EXPECT_EQ(n, sptes(self->vm, (void *)target));
	ASSERT_EQ(0, madvise((void *)target, PAGE_4K, MADV_DONTNEED));
	if (!policy_pinned(self->vm))
		EXPECT_EQ(0, sptes(self->vm, (void *)target));
	EXPECT_EQ(n, aliases_seen(self, 0));
	*target = 2;
	EXPECT_EQ(n, aliases_seen(self, 2));
	vcpu_call(self->vcpu, guest_write_aliases, e);
	for (i = n - 500; i < n; i++)
		ASSERT_EQ(i, target[1 + i % 500]);
	ASSERT_EQ(target, mmap((void *)target, PAGE_4K, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*target = 3;
	EXPECT_EQ(n, aliases_seen(self, 3));
	/* The control: nothing was replaced, and each alias says so. */
	EXPECT_EQ(0, aliases_seen(self, 4));
	vcpu_call(self->vcpu, guest_drops_aliases, e);
}

UMBRA_TEST_MAIN
