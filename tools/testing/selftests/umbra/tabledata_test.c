// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables that are data as well. Proves that a translation is the one that the tables
 * say, whatever way they were written: through any alias, by any instruction, as a
 * page that was data a moment ago, or that is a table of several levels at once.
 */
#include "shadow.h"

/* --- a table that maps the tables --- */

#define SELF 510UL

/* Where the entry of @level for @gva is seen through the recursive mapping. */
static u64 *self_entry(u64 gva, int level)
{
	u64 at = 0xffff000000000000UL;
	int l;

	for (l = 4; l > 4 - level; l--)
		at |= SELF << (12 + 9 * (l - 1));
	/* What is left of the address after @level levels of SELF. */
	return (u64 *)(at | ((gva & 0xffffffffffffUL) >> (9 * level) & ~7UL &
			     (BIT(48 - 9 * level) - 1)));
}

static void guest_recursive(void *arg)
{
	struct env *e = arg;
	u64 gva = GVA + 5 * PAGE_1G + 7 * PAGE_2M + 9 * PAGE_4K;
	u64 *pml4 = (u64 *)e->root;
	int i, level;

	pte_write(&pml4[SELF], e->root | PTE_P | PTE_W);
	guest_write_cr3(e->root);
	GUEST_ASSERT_EQ(e->root, READ_AT(self_entry(0, 4) + SELF) & PTE_ADDR);
	for (i = 0; i < 20; i++) {
		/* From the top: each entry makes the place of the next one visible. */
		for (level = 4; level > 1; level--) {
			u64 *entry = self_entry(gva, level);

			if (level == 4)
				continue;
			pte_write(entry, table_new(&e->t) | PTE_TABLE);
		}
		pte_write(self_entry(gva, 1), page(e, i) | PTE_RW);
		GUEST_ASSERT_EQ(100 + i, READ_AT(gva));
		pte_write(self_entry(gva, 1), page(e, i + 1) | PTE_RW);
		guest_invlpg((void *)gva);
		GUEST_ASSERT_EQ(101 + i, READ_AT(gva));
		pte_write(self_entry(gva, 1), page(e, i + 2) | PTE_RO);
		guest_invlpg((void *)gva);
		GUEST_ASSERT_EQ(102 + i, READ_AT(gva));
		guest_expect(gva, true, ERROR_P | ERROR_W);
		/* Off again, at a level that changes, by way of the mapping itself. */
		pte_write(self_entry(gva, 1 + i % 3), 0);
		guest_write_cr3(e->root);
		guest_expect(gva, false, 0);
	}
	/* The mapping takes itself away. */
	pte_write(self_entry(0, 4) + SELF, 0);
	guest_write_cr3(e->root);
	guest_expect((u64)self_entry(0, 4), false, 0);
}

TEST_F(shadow, recursive_mapping)
{
	vcpu_call(self->vcpu, guest_recursive, self->env);
}

/* --- tables that are data as well --- */

#define ALIASES 6

static void store(u64 at, u64 value, int how)
{
	switch (how) {
	case 0:
		asm volatile("movq %1, (%0)" : : "r" (at), "r" (value) : "memory");
		break;
	case 1:
		asm volatile("movl %k1, (%0); shrq $32, %1; movl %k1, 4(%0)"
			     : "+r" (at), "+r" (value) : : "memory");
		break;
	case 2:
		asm volatile("xchgq %1, (%0)" : "+r" (at), "+r" (value) : : "memory");
		break;
	case 3:
		asm volatile("movq $0, (%0); lock orq %1, (%0)" : : "r" (at), "r" (value)
			     : "memory");
		break;
	case 4:
		asm volatile("stosq" : "+D" (at) : "a" (value) : "memory");
		break;
	case 5:
		asm volatile("movw %w1, (%0); rorq $16, %1; movw %w1, 2(%0); rorq $16, %1;"
			     "movw %w1, 4(%0); rorq $16, %1; movw %w1, 6(%0)"
			     : "+r" (at), "+r" (value) : : "memory");
		break;
	case 6: {
		u64 old = READ_AT(at);

		asm volatile("lock cmpxchgq %2, (%0)" : "+r" (at), "+a" (old) : "r" (value)
			     : "memory");
		break;
	}
	default: {
		u64 from = value, source = (u64)&from, n = 1;

		asm volatile("rep movsq" : "+S" (source), "+D" (at), "+c" (n) : : "memory");
	}
	}
}

#define STORES 8

static void guest_writes_through_aliases(void *arg)
{
	struct env *e = arg;
	u64 table = (u64)e->pte, alias[ALIASES];
	int i, how, n;

	alias[0] = table;
	for (i = 1; i < ALIASES; i++) {
		alias[i] = GVA + PAGE_1G * i + PAGE_4K * i;
		pte_write(table_entry(&e->t, e->root, alias[i], 1), table | PTE_RW);
	}
	guest_write_cr3(e->root);
	for (n = 0; n < 3; n++)
		for (i = 0; i < ALIASES; i++)
			for (how = 0; how < STORES; how++) {
				int k = (n * 17 + i * STORES + how) % DATA_PAGES;

				store(alias[i], page(e, k) | PTE_RW, how);
				guest_invlpg((void *)GVA);
				GUEST_ASSERT_EQ(100 + k, READ_AT(GVA));
				GUEST_ASSERT_EQ(page(e, k) | PTE_RW,
						READ_AT(alias[(i + 1) % ALIASES]));
			}
}

TEST_F(shadow, tables_written_through_aliases)
{
	vcpu_call(self->vcpu, guest_writes_through_aliases, self->env);
}

/* A page is a table, data, a table: what is written as data is a walk's a moment later. */
static void guest_table_and_data(void *arg)
{
	struct env *e = arg;
	u64 *pde = table_entry(&e->t, e->root, GVA, 2), *word = (u64 *)table_new(&e->t);
	u64 *alias = (u64 *)(GVA + PAGE_1G);
	u64 rounds = e->arg[0], seed = 1, i, k, n;

	pte_write(table_entry(&e->t, e->root, (u64)alias, 1), (u64)word | PTE_RW);
	guest_write_cr3(e->root);
	for (n = 0; n < rounds; n++) {
		u64 *at = n & 1 ? alias : word;

		for (i = 0; i < 512; i++)
			pte_write(&at[i], page(e, (i + n) % DATA_PAGES) | PTE_RW);
		pte_write(pde, (u64)word | PTE_TABLE);
		for (k = 0; k < 16; k++) {
			i = random_next(&seed) % 512;
			GUEST_ASSERT_EQ(100 + (i + n) % DATA_PAGES,
					READ_AT(GVA + i * PAGE_4K));
			/* Written while it is a table, too. */
			pte_write(&at[i], page(e, k) | PTE_RW);
			guest_invlpg((void *)(GVA + i * PAGE_4K));
			GUEST_ASSERT_EQ(100 + k, READ_AT(GVA + i * PAGE_4K));
			pte_write(&at[i], page(e, (i + n) % DATA_PAGES) | PTE_RW);
			guest_invlpg((void *)(GVA + i * PAGE_4K));
		}
		pte_write(pde, 0);
		guest_write_cr3(e->root);
		for (i = 0; i < 512; i++)
			GUEST_WRITE(&at[i], n * 1000 + i);
		for (i = 0; i < 512; i++)
			GUEST_ASSERT_EQ(n * 1000 + i, GUEST_READ(&word[i]));
		guest_expect(GVA, false, 0);
	}
}

TEST_F(shadow, table_becomes_data_and_back)
{
	self->env->arg[0] = test_long() ? 400 : 40;
	vcpu_call(self->vcpu, guest_table_and_data, self->env);
}

/* One page is a page directory, and in another place the table below one. */
static void guest_two_levels(void *arg)
{
	struct env *e = arg;
	u64 pd = table_new(&e->t), pt = table_new(&e->t), large = e->data & ~(PAGE_2M - 1);
	u64 as_pd = GVA + PAGE_1G, as_pt = GVA + 2 * PAGE_1G, i;

	pte_write((u64 *)pd, pt | PTE_RW);
	pte_write((u64 *)pd + 1, large | PTE_RW | PTE_PS);
	pte_write(table_entry(&e->t, e->root, as_pd, 3), pd | PTE_TABLE);
	pte_write(table_entry(&e->t, e->root, as_pt, 2), pd | PTE_TABLE);
	guest_write_cr3(e->root);
	/* A large page below the directory is a small one below the table. */
	GUEST_ASSERT_EQ(100, READ_AT(as_pd + PAGE_2M + e->data - large));
	GUEST_ASSERT_EQ(READ_AT(large), READ_AT(as_pt + PAGE_4K));
	for (i = 0; i < 20; i++) {
		u64 *entry = (u64 *)as_pt + i;

		/* The table of the first place is the data of the second. */
		pte_write(entry, page(e, i) | PTE_RW);
		GUEST_ASSERT_EQ(100 + i, READ_AT(as_pd + i * PAGE_4K));
		change(entry, page(e, i + 1) | PTE_RO, as_pd + i * PAGE_4K);
		GUEST_ASSERT_EQ(101 + i, READ_AT(as_pd + i * PAGE_4K));
		guest_expect(as_pd + i * PAGE_4K, true, ERROR_P | ERROR_W);
		/* One write to the page changes both uses of it. */
		pte_write((u64 *)pd, page(e, 60) | PTE_RO);
		guest_invlpg((void *)as_pt);
		guest_invlpg((void *)(as_pd + i * PAGE_4K));
		GUEST_ASSERT_EQ(160, READ_AT(as_pt));
		guest_expect(as_pt, true, ERROR_P | ERROR_W);
		/* As a table, that page has 160 in its first entry: not present. */
		if (i)
			guest_expect(as_pd + i * PAGE_4K, false, 0);
		pte_write((u64 *)pd, pt | PTE_RW);
		guest_write_cr3(e->root);
		GUEST_ASSERT_EQ(101 + i, READ_AT(as_pd + i * PAGE_4K));
	}
}

TEST_F(shadow, one_page_at_two_levels)
{
	vcpu_call(self->vcpu, guest_two_levels, self->env);
}

/* A root that is also its own directory, table and data, at all levels at once. */
static void guest_all_levels(void *arg)
{
	struct env *e = arg;
	u64 all = table_new(&e->t), gva = GVA, i;
	u64 *entry = (u64 *)all;

	/* Whatever entry 1 is reached by, it leads here again: GVA maps the page. */
	gva = 1UL << 39 | 1UL << 30 | 1UL << 21 | 1UL << 12;
	pte_write(entry, e->identity);
	pte_write(entry + 1, all | PTE_RW);
	guest_write_cr3(all);
	for (i = 2; i < 40; i++) {
		GUEST_WRITE((u64 *)gva + i, page(e, i) | PTE_RW);
		GUEST_ASSERT_EQ(page(e, i) | PTE_RW, GUEST_READ(entry + i));
		/* As the last level after three times entry 1. */
		GUEST_ASSERT_EQ(100 + i, READ_AT((gva & ~0x1ff000UL) | i << 12));
		change(entry + i, page(e, i + 1) | PTE_RO, (gva & ~0x1ff000UL) | i << 12);
		GUEST_ASSERT_EQ(101 + i, READ_AT((gva & ~0x1ff000UL) | i << 12));
		guest_expect((gva & ~0x1ff000UL) | i << 12, true, ERROR_P | ERROR_W);
	}
	pte_write((u64 *)gva + 1, 0);
	guest_write_cr3(all);
	guest_expect(gva, false, 0);
	guest_write_cr3(e->root);
}

TEST_F(shadow, one_page_at_all_levels)
{
	vcpu_call(self->vcpu, guest_all_levels, self->env);
}

/* The same table below several directories' entries, with different rights above. */
static void guest_shared_table(void *arg)
{
	struct env *e = arg;
	u64 pt = (u64)e->pte, rw = GVA, ro = GVA + PAGE_2M, ro_above = GVA + PAGE_1G;
	u64 second = root_new(&e->t, e->identity), i;

	pte_write(table_entry(&e->t, e->root, ro, 2), pt | PTE_RO);
	pte_write(table_entry(&e->t, e->root, ro_above, 2), pt | PTE_TABLE);
	pte_write(table_entry(&e->t, e->root, ro_above, 3),
		  READ_AT(table_entry(&e->t, e->root, ro_above, 3)) & ~PTE_W);
	pte_write(table_entry(&e->t, second, GVA, 2), pt | PTE_TABLE);
	for (i = 0; i < 40; i++) {
		u64 at = i * PAGE_4K;

		guest_write_cr3(i & 1 ? second : e->root);
		pte_write(e->pte + i, page(e, i) | PTE_RW);
		GUEST_ASSERT_EQ(100 + i, READ_AT(rw + at));
		guest_expect(rw + at, true, NO_FAULT);
		guest_write_cr3(e->root);
		GUEST_ASSERT_EQ(77, READ_AT(ro + at));
		guest_expect(ro + at, true, ERROR_P | ERROR_W);
		GUEST_ASSERT_EQ(77, READ_AT(ro_above + at));
		guest_expect(ro_above + at, true, ERROR_P | ERROR_W);
		guest_expect(rw + at, true, NO_FAULT);
		/* One change is seen through all of them. */
		pte_write(e->pte + i, page(e, i + 1) | PTE_RW);
		guest_write_cr3(e->root);
		GUEST_ASSERT_EQ(101 + i, READ_AT(rw + at));
		GUEST_ASSERT_EQ(101 + i, READ_AT(ro + at));
		GUEST_ASSERT_EQ(101 + i, READ_AT(ro_above + at));
		guest_write_cr3(second);
		GUEST_ASSERT_EQ(101 + i, READ_AT(rw + at));
		guest_expect(rw + at, true, NO_FAULT);
		GUEST_WRITE((u64 *)(rw + at), 101 + i);
	}
}

TEST_F(shadow, one_table_below_several)
{
	vcpu_call(self->vcpu, guest_shared_table, self->env);
}

/* --- stores of other kinds --- */

static void store_wide(u64 at, u64 a, u64 b, int how)
{
	u64 pair[2] __aligned(16) = { a, b };
	u8 area[512] __aligned(16);

	switch (how) {
	case 0:
		asm volatile("movups (%1), %%xmm0; movups %%xmm0, (%0)"
			     : : "r" (at), "r" (pair) : "memory", "xmm0");
		break;
	case 1:
		asm volatile("movaps (%1), %%xmm1; movaps %%xmm1, (%0)"
			     : : "r" (at), "r" (pair) : "memory", "xmm1");
		break;
	case 2:
		asm volatile("movdqu (%1), %%xmm2; movdqu %%xmm2, (%0)"
			     : : "r" (at), "r" (pair) : "memory", "xmm2");
		break;
	case 3:
		asm volatile("movdqa (%1), %%xmm9; movntdq %%xmm9, (%0)"
			     : : "r" (at), "r" (pair) : "memory", "xmm9");
		break;
	case 4:
		asm volatile("movaps (%1), %%xmm3; movntps %%xmm3, (%0)"
			     : : "r" (at), "r" (pair) : "memory", "xmm3");
		break;
	case 5:
		asm volatile("movdqa (%1), %%xmm4; movq %%xmm4, (%0); movhps %%xmm4, 8(%0)"
			     : : "r" (at), "r" (pair) : "memory", "xmm4");
		break;
	case 6:
		asm volatile("movnti %1, (%0); movnti %2, 8(%0)"
			     : : "r" (at), "r" (a), "r" (b) : "memory");
		break;
	case 7: {
		u64 lo = READ_AT(at), hi = READ_AT(at + 8);

		asm volatile("lock cmpxchg16b (%0)" : : "r" (at), "a" (lo), "d" (hi),
			     "b" (a), "c" (b) : "memory", "cc");
		break;
	}
	case 8:
		/* XMM0 of what FXSAVE writes is at byte 160. */
		asm volatile("movdqa (%1), %%xmm0; fxsave64 (%2)" : : "r" (at), "r" (pair),
			     "r" (at - 160) : "memory", "xmm0");
		break;
	case 9:
		asm volatile("fildll (%1); fistpll (%0); fildll 8(%1); fistpll 8(%0)"
			     : : "r" (at), "r" (pair) : "memory");
		break;
	default:
		asm volatile("fxsave64 (%0)" : : "r" (area) : "memory");
		asm volatile("movdqa (%1), %%xmm5; pcmpeqb %%xmm6, %%xmm6; mov %0, %%rdi;"
			     "maskmovdqu %%xmm6, %%xmm5"
			     : : "r" (at), "r" (pair) : "memory", "rdi", "xmm5", "xmm6");
	}
}

#define WIDE_STORES 11
#define WIDE_AT 20	/* the first of two entries */

/* Again and again from one place, and each is followed by walks that use the table. */
static void guest_wide_stores(void *arg)
{
	struct env *e = arg;
	u64 at = (u64)(e->pte + WIDE_AT), gva = GVA + WIDE_AT * PAGE_4K;
	int i, how;

	guest_write_cr3(e->root);
	for (how = 0; how < WIDE_STORES; how++) {
		for (i = 0; i < 12; i++) {
			store_wide(at, page(e, how + i) | PTE_RW, page(e, i) | PTE_RO, how);
			guest_invlpg((void *)gva);
			guest_invlpg((void *)(gva + PAGE_4K));
			GUEST_ASSERT_EQ(page(e, i) | PTE_RO, READ_AT(at + 8));
			GUEST_ASSERT_EQ(100 + how + i, READ_AT(gva));
			GUEST_ASSERT_EQ(100 + i, READ_AT(gva + PAGE_4K));
			guest_expect(gva + PAGE_4K, true, ERROR_P | ERROR_W);
		}
	}
}

TEST_F(shadow, wide_stores_into_tables)
{
	vcpu_call(self->vcpu, guest_wide_stores, self->env);
}

/* It writes to the entry that it is translated by, and nobody can do that for it. */
static void guest_needs_what_it_writes(void *arg)
{
	struct env *e = arg;

	pte_write((u64 *)e->root + SELF, e->root | PTE_P | PTE_W);
	guest_write_cr3(e->root);
	store_wide((u64)(self_entry(0, 4) + SELF), e->root | PTE_RW, 0, 7);
}

TEST_F(shadow, wide_store_into_its_own_table)
{
	u64 cmd;

	vcpu_start(self->vcpu, guest_needs_what_it_writes, self->env);
	cmd = vcpu_next(self->vcpu);
	if (cmd != UCALL_DONE)
		EXPECT_EQ(KVM_EXIT_INTERNAL_ERROR, self->vcpu->run->exit_reason);
	if (!shadow_mode(self->vm))
		EXPECT_EQ(UCALL_DONE, cmd);
}

UMBRA_TEST_MAIN
