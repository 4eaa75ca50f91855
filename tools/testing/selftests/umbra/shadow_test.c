// SPDX-License-Identifier: GPL-2.0-only
/*
 * What guests do with their page tables. Proves that a translation is the one
 * that the guest's tables say, whatever way they were written: through any
 * alias, by any instruction, as a page that was data a moment ago, while not in
 * use, or while the host takes the memory that they are in.
 *
 * Every test runs in every mode and on stock KVM. What a guest may see is what
 * a CPU would show: after a change that takes something away, only once the
 * translation was flushed; after one that adds something, at once. The audit at
 * the end of each VM compares what shadow paging has left with the tables.
 *
 * Tables, data and what both sides talk through have the same address in the
 * host, the guest and its physical memory. The identity map of the library stays
 * in each address space; what is tested lies at GVA.
 */
#include "test.h"
#include "paging.h"
#include "tables.h"

#define TABLES_SIZE (2UL << 20)
#define DATA_PAGES 64

struct env {
	struct tables t;
	u64 root;
	u64 identity;
	u64 *pte;	/* of GVA */
	u64 data;	/* DATA_PAGES pages; the first word of each is its number + 100 */
	u64 arg[8];
	shared_u64 trap, trap_error;
	shared_u64 bad;
};

FIXTURE(shadow) {
	struct vm *vm;
	struct vcpu *vcpu, *other;
	struct env *env;
};

FIXTURE_SETUP(shadow)
{
	struct env *e;
	u64 i;

	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->other = vcpu_create(self->vm, 1);
	e = vm_mem(self->vm, PAGE_4K);
	self->env = e;
	e->t.next = (u64)vm_mem(self->vm, TABLES_SIZE);
	e->t.end = e->t.next + TABLES_SIZE;
	e->data = (u64)vm_mem(self->vm, DATA_PAGES * PAGE_4K);
	for (i = 0; i < DATA_PAGES; i++)
		*(u64 *)(e->data + i * PAGE_4K) = 100 + i;
	e->identity = *(u64 *)boot_hva(self->vm, self->vm->cr3);
	e->root = root_new(&e->t, e->identity);
	e->pte = table_entry(&e->t, e->root, GVA, 1);
}

FIXTURE_TEARDOWN(shadow)
{
	vm_free(self->vm);
}

static u64 page(const struct env *e, int i)
{
	return e->data + i * PAGE_4K;
}

static void change(u64 *pte, u64 value, u64 gva)
{
	pte_write(pte, value);
	guest_invlpg((void *)gva);
}

#define READ_AT(gva) GUEST_READ((u64 *)(gva))
#define ERROR_P 1
#define ERROR_W 2
#define ERROR_U 4
#define ERROR_RSVD 8
#define ERROR_I 16

/* One access in ring 0 whose #PF error code is @want, or that raises nothing. */
#define NO_FAULT (~0UL)

static void guest_expect(u64 gva, bool write, u64 want)
{
	struct guest_trap t;

	if (write)
		guest_try(t, "movq $77, (%[p])", [p] "r" (gva));
	else
		guest_try(t, "cmpb $0, (%[p])", [p] "r" (gva));
	if (want == NO_FAULT) {
		GUEST_ASSERT_EQ(GUEST_NO_TRAP, t.vector);
		return;
	}
	GUEST_ASSERT_EQ(X86_TRAP_PF, t.vector);
	GUEST_ASSERT_EQ(want, t.error);
	GUEST_ASSERT_EQ(gva, t.cr2);
}

/* --- entries that change --- */

static void guest_edits(void *arg)
{
	struct env *e = arg;
	int i;

	guest_write_cr3(e->root);
	guest_expect(GVA, false, 0);
	for (i = 0; i < 20; i++) {
		/* Nothing is cached of what was not there: no INVLPG. */
		pte_write(e->pte, page(e, 1) | PTE_RW);
		GUEST_ASSERT_EQ(101, READ_AT(GVA));
		change(e->pte, page(e, 2) | PTE_RW, GVA);
		GUEST_ASSERT_EQ(102, READ_AT(GVA));
		change(e->pte, page(e, 3) | PTE_RO, GVA);
		GUEST_ASSERT_EQ(103, READ_AT(GVA));
		guest_expect(GVA, true, ERROR_P | ERROR_W);
		/* A right more is seen no later than by the walk after a fault. */
		change(e->pte, page(e, 4) | PTE_RW, GVA);
		guest_expect(GVA, true, NO_FAULT);
		GUEST_ASSERT_EQ(77, READ_AT(page(e, 4)));
		GUEST_WRITE((u64 *)page(e, 4), 104);
		change(e->pte, 0, GVA);
		guest_expect(GVA, false, 0);
		guest_expect(GVA, true, ERROR_W);
	}
}

TEST_F(shadow, entry_changes)
{
	vcpu_call(self->vcpu, guest_edits, self->env);
	EXPECT_EQ(0, *self->env->pte);
}

static void guest_accessed_dirty(void *arg)
{
	const u64 bits = PTE_P | PTE_W;
	struct env *e = arg;
	int i;

	guest_write_cr3(e->root);
	for (i = 0; i < 10; i++) {
		change(e->pte, page(e, 1) | bits, GVA);
		READ_AT(GVA);
		GUEST_ASSERT_EQ(page(e, 1) | bits | PTE_A, GUEST_READ(e->pte));
		GUEST_WRITE((u64 *)GVA, 101);
		GUEST_ASSERT_EQ(page(e, 1) | bits | PTE_A | PTE_D, GUEST_READ(e->pte));
		/* Cleared by the guest: they come again after INVLPG. */
		change(e->pte, page(e, 1) | bits | PTE_A, GVA);
		GUEST_WRITE((u64 *)GVA, 101);
		GUEST_ASSERT_EQ(page(e, 1) | bits | PTE_A | PTE_D, GUEST_READ(e->pte));
	}
}

TEST_F(shadow, accessed_and_dirty)
{
	vcpu_call(self->vcpu, guest_accessed_dirty, self->env);
}

static void guest_changes_above(void *arg)
{
	struct env *e = arg;
	u64 *pde = table_entry(&e->t, e->root, GVA, 2);
	u64 *pdpte = table_entry(&e->t, e->root, GVA, 3);
	u64 *pml4e = table_entry(&e->t, e->root, GVA, 4);
	u64 old_pde = *pde, old_pdpte = *pdpte, old_pml4e = *pml4e;
	u64 second = table_new(&e->t);
	int i;

	pte_write(e->pte, page(e, 1) | PTE_RW);
	pte_write((u64 *)second, page(e, 2) | PTE_RW);
	guest_write_cr3(e->root);
	for (i = 0; i < 20; i++) {
		GUEST_ASSERT_EQ(101, READ_AT(GVA));
		change(pde, second | PTE_TABLE, GVA);
		GUEST_ASSERT_EQ(102, READ_AT(GVA));
		/* A right taken above counts for all below. */
		change(pde, second | PTE_RO, GVA);
		guest_expect(GVA, true, ERROR_P | ERROR_W);
		change(pde, 0, GVA);
		guest_expect(GVA, true, ERROR_W);
		pte_write(pde, old_pde);
		GUEST_ASSERT_EQ(101, READ_AT(GVA));
		change(pdpte, old_pdpte & ~PTE_W, GVA);
		guest_expect(GVA, true, ERROR_P | ERROR_W);
		change(pdpte, 0, GVA);
		guest_expect(GVA, false, 0);
		pte_write(pdpte, old_pdpte);
		GUEST_ASSERT_EQ(101, READ_AT(GVA));
		pte_write(pml4e, 0);
		guest_write_cr3(e->root);
		guest_expect(GVA, false, 0);
		pte_write(pml4e, old_pml4e);
		guest_expect(GVA, false, NO_FAULT);
	}
}

TEST_F(shadow, entries_above_change)
{
	vcpu_call(self->vcpu, guest_changes_above, self->env);
}

#define CR4_PGE BIT(7)
#define CR4_SMEP BIT(20)
#define CR0_WP BIT(16)
#define EFER_NX BIT(11)
#define MSR_EFER 0xc0000080

static u64 guest_read_cr4(void)
{
	u64 v;

	asm volatile("mov %%cr4, %0" : "=r" (v));
	return v;
}

static void guest_write_cr4(u64 v)
{
	asm volatile("mov %0, %%cr4" : : "r" (v) : "memory");
}

static u64 guest_read_cr0(void)
{
	u64 v;

	asm volatile("mov %%cr0, %0" : "=r" (v));
	return v;
}

static void guest_write_cr0(u64 v)
{
	asm volatile("mov %0, %%cr0" : : "r" (v) : "memory");
}

static void guest_global(void *arg)
{
	struct env *e = arg;
	u64 second = GVA + PAGE_4K, cr4 = guest_read_cr4() | CR4_PGE, seen;
	int i;

	guest_write_cr3(e->root);
	guest_write_cr4(cr4);
	for (i = 0; i < 10; i++) {
		pte_write(e->pte, page(e, 1) | PTE_RW | PTE_G);
		pte_write(e->pte + 1, page(e, 2) | PTE_RW);
		GUEST_ASSERT_EQ(101, READ_AT(GVA));
		GUEST_ASSERT_EQ(102, READ_AT(second));
		/* CR3 drops what is not global; the rest may stay or go. */
		pte_write(e->pte, page(e, 3) | PTE_RW | PTE_G);
		pte_write(e->pte + 1, page(e, 4) | PTE_RW);
		guest_write_cr3(e->root);
		seen = READ_AT(GVA);
		GUEST_ASSERT(seen == 101 || seen == 103);
		GUEST_ASSERT_EQ(104, READ_AT(second));
		guest_invlpg((void *)GVA);
		GUEST_ASSERT_EQ(103, READ_AT(GVA));
		/* Another space with nothing there but what is global. */
		pte_write(e->pte, page(e, 5) | PTE_RW | PTE_G);
		guest_write_cr4(cr4 & ~CR4_PGE);
		GUEST_ASSERT_EQ(105, READ_AT(GVA));
		guest_write_cr4(cr4);
		change(e->pte, 0, GVA);
		change(e->pte + 1, 0, second);
		guest_expect(GVA, false, 0);
		guest_expect(second, false, 0);
	}
}

TEST_F(shadow, global_pages)
{
	vcpu_call(self->vcpu, guest_global, self->env);
}

/* The control: a step left out is noticed by the check that the others rest on. */
static void guest_forgets_to_edit(void *arg)
{
	struct env *e = arg;

	guest_write_cr3(e->root);
	pte_write(e->pte, page(e, 1) | PTE_RW);
	e->bad += READ_AT(GVA) != 101;
	guest_invlpg((void *)GVA);
	e->bad += READ_AT(GVA) != 102;
	change(e->pte, page(e, 2) | PTE_RW, GVA);
	e->bad += READ_AT(GVA) != 102;
}

TEST_F(shadow, control_entry_not_changed)
{
	vcpu_call(self->vcpu, guest_forgets_to_edit, self->env);
	EXPECT_EQ(1, self->env->bad);
}

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
	self->env->arg[0] = test_long() ? 2000 : 40;
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
	/* The first side asks the other one to share page @ask - 1 with it again. */
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
		guest_pause();
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
		guest_pause();
	pte_write(c->side[1].pte[k], frame | PTE_RO);
	c->shot = 1;
	while (c->ask)
		guest_pause();
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

static bool shadow_mode(struct vm *vm)
{
	struct umbra_mmu_config cfg;

	return !ioctl(vm->fd, UMBRA_GET_MMU, &cfg) && cfg.mode == UMBRA_MMU_SHADOW;
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
	/* The guest takes the table of the first 512 away. */
	*table_entry(&e->t, e->root, ALIAS_BASE, 2) = 0;
}

/* --- large pages of the guest's --- */

#define LARGE (GVA + (2UL << 39))

struct large {
	struct env *e;
	u64 mem;	/* 4M; its tables are inside */
	u64 gva;	/* where all of it is mapped as data */
};

/* The first touch ever of a branch is of the page that its own tables lie in. */
static void guest_large(void *arg)
{
	struct large *l = arg;
	struct env *e = l->e;
	u64 pt = l->gva + 3 * PAGE_4K, pd = l->gva + 2 * PAGE_4K, i;
	u64 below = LARGE + 2 * PAGE_2M;

	guest_write_cr3(e->root);
	GUEST_WRITE((u64 *)(l->gva + 16 * PAGE_4K), 4711);
	/* An entry beside the one that maps the directory as data. */
	GUEST_WRITE((u64 *)(LARGE + PAGE_2M), 4712);
	GUEST_WRITE((u64 *)pd + 1, (e->data & ~(PAGE_2M - 1)) | PTE_RW | PTE_PS);
	guest_write_cr3(e->root);
	GUEST_ASSERT_EQ(100, READ_AT(LARGE + PAGE_2M + e->data % PAGE_2M));
	GUEST_WRITE((u64 *)pd + 1, (l->mem + PAGE_2M) | PTE_RW | PTE_PS);
	guest_write_cr3(e->root);
	GUEST_ASSERT_EQ(4712, READ_AT(LARGE + PAGE_2M));
	for (i = 0; i < 512; i++) {
		int k = i % 60;
		u64 at = below + i * PAGE_4K;

		GUEST_WRITE((u64 *)pt + i, page(e, k) | PTE_RW);
		GUEST_ASSERT_EQ(100 + k, READ_AT(at));
		GUEST_WRITE((u64 *)pt + i, page(e, k + 1) | PTE_RO);
		guest_invlpg((void *)at);
		GUEST_ASSERT_EQ(101 + k, READ_AT(at));
		guest_expect(at, true, ERROR_P | ERROR_W);
		/* Data beside the tables, by both ways. */
		GUEST_WRITE((u64 *)(l->gva + PAGE_2M + i * PAGE_4K), i);
		GUEST_ASSERT_EQ(i, READ_AT(l->mem + PAGE_2M + i * PAGE_4K));
	}
	GUEST_ASSERT_EQ(4711, READ_AT(l->mem + 16 * PAGE_4K));
	for (i = 0; i < 20; i++) {
		/* Another table in the place of the first, and none. */
		GUEST_WRITE((u64 *)(l->gva + 4 * PAGE_4K), page(e, i) | PTE_RW);
		GUEST_WRITE((u64 *)pd + 2, (l->mem + 4 * PAGE_4K) | PTE_TABLE);
		guest_invlpg((void *)below);
		GUEST_ASSERT_EQ(100 + i, READ_AT(below));
		GUEST_WRITE((u64 *)pd + 2, 0);
		guest_write_cr3(e->root);
		guest_expect(below, false, 0);
		GUEST_WRITE((u64 *)pd + 2, (l->mem + 3 * PAGE_4K) | PTE_TABLE);
		GUEST_ASSERT_EQ(101, READ_AT(below));
	}
}

/* PDPT, PD and two PTs in the first pages of @mem, which is mapped large below them. */
static void large_setup(struct env *e, u64 mem, u64 page_size, struct large *l)
{
	u64 *pdpt = (u64 *)(mem + PAGE_4K), *pd = (u64 *)(mem + 2 * PAGE_4K);

	((u64 *)e->root)[table_index(LARGE, 4)] = (u64)pdpt | PTE_TABLE;
	pdpt[0] = (u64)pd | PTE_TABLE;
	pdpt[1] = (mem & ~(PAGE_1G - 1)) | PTE_RW | PTE_PS;
	pd[0] = mem | PTE_RW | PTE_PS;
	pd[1] = (mem + PAGE_2M) | PTE_RW | PTE_PS;
	pd[2] = (mem + 3 * PAGE_4K) | PTE_TABLE;
	l->e = e;
	l->mem = mem;
	l->gva = page_size == PAGE_1G ? LARGE + PAGE_1G + mem % PAGE_1G : LARGE;
}

static bool cpuid_has_1g(void)
{
	const struct kvm_cpuid2 *c = umbra_cpuid();
	u32 i;

	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0x80000001)
			return c->entries[i].edx >> 26 & 1;
	return false;
}

static bool make_huge(u8 *mem, size_t size)
{
	u64 i;

	if (madvise(mem, size, MADV_HUGEPAGE))
		return false;
	for (i = 0; i < size; i += PAGE_2M)
		*(shared_u8 *)(mem + i) = 0;
	return smaps_kb(mem, "AnonHugePages") >= (long)(size >> 10);
}

static void large(struct __test_metadata *_metadata, FIXTURE_DATA(shadow) * self,
		  u64 page_size, bool huge)
{
	u8 *mem = vm_mem(self->vm, 2 * PAGE_2M);
	struct large *l = vm_mem(self->vm, PAGE_4K);

	if (page_size == PAGE_1G && !cpuid_has_1g())
		TEST_SKIP("no 1G pages");
	if (huge && !make_huge(mem, 2 * PAGE_2M))
		TEST_SKIP("the host gives no huge page");
	large_setup(self->env, (u64)mem, page_size, l);
	vcpu_call(self->vcpu, guest_large, l);
	/* Once more with everything known, and after the host has split its pages. */
	vcpu_call(self->vcpu, guest_large, l);
	ASSERT_EQ(0, madvise(mem + PAGE_2M + PAGE_4K, PAGE_4K, MADV_DONTNEED));
	vcpu_call(self->vcpu, guest_large, l);
}

TEST_F(shadow, large_pages_over_small)
{
	large(_metadata, self, PAGE_2M, false);
}

TEST_F(shadow, large_pages_over_huge)
{
	large(_metadata, self, PAGE_2M, true);
}

TEST_F(shadow, gigantic_pages_over_small)
{
	large(_metadata, self, PAGE_1G, false);
}

TEST_F(shadow, gigantic_pages_over_huge)
{
	large(_metadata, self, PAGE_1G, true);
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

/* --- ring 3 --- */

#define SEL_USER_CODE 0x33
#define SEL_USER_DATA 0x3b

asm(".pushsection .text\n"
"guest_user_access:\n"		/* RDI: address, RSI: write */
"	mov %rsp, %rax\n"
"	pushq $0x3b\n"
"	pushq %rax\n"
"	pushq $2\n"
"	pushq $0x33\n"
"	test %rsi, %rsi\n"
"	jnz 1f\n"
"	pushq $2f\n"
"	iretq\n"
"1:	pushq $3f\n"
"	iretq\n"
"2:	cmpb $0, (%rdi)\n"
"	hlt\n"
"3:	movq $77, (%rdi)\n"
"	hlt\n"
"guest_user_back:\n"
"	ret\n"
".popsection");

static u64 user_vector, user_error;

__attribute__((target("general-regs-only")))
static void guest_leave_user(struct guest_frame *f)
{
	if (!(f->cs & 3))
		GUEST_FAIL("not from ring 3: vector, rip", f->vector, f->rip);
	GUEST_WRITE(&user_vector, f->vector);
	GUEST_WRITE(&user_error, f->error);
	f->rip = LABEL(guest_user_back);
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
}

/* The access is made in ring 3; HLT behind it ends the visit by #GP. */
static void guest_expect_user(u64 gva, u64 write, u64 want)
{
	guest_set_handler(X86_TRAP_PF, guest_leave_user);
	guest_set_handler(X86_TRAP_GP, guest_leave_user);
	asm volatile("call guest_user_access" : "+D" (gva), "+S" (write)
		     : : "rax", "memory", "cc");
	guest_set_handler(X86_TRAP_PF, NULL);
	guest_set_handler(X86_TRAP_GP, NULL);
	if (want == NO_FAULT) {
		GUEST_ASSERT_EQ(X86_TRAP_GP, GUEST_READ(&user_vector));
		return;
	}
	GUEST_ASSERT_EQ(X86_TRAP_PF, GUEST_READ(&user_vector));
	GUEST_ASSERT_EQ(want, GUEST_READ(&user_error));
}

static void user_setup(struct vm *vm)
{
	u64 *gdt = boot_hva(vm, BOOT_GDT);
	u64 rsp0 = BOOT_STACKS + MAX_VCPUS * STACK_SIZE;

	gdt[SEL_USER_CODE / 8] = 0x00affb000000ffffUL;
	gdt[SEL_USER_DATA / 8] = 0x00cff3000000ffffUL;
	memcpy(boot_hva(vm, BOOT_TSS + 4), &rsp0, sizeof(rsp0));
}

/* The emulated CPU leaves P out of the error code, which real ones set. */
static void guest_expect_reserved(u64 gva)
{
	struct guest_trap t;

	guest_try(t, "cmpb $0, (%[p])", [p] "r" (gva));
	GUEST_ASSERT_EQ(X86_TRAP_PF, t.vector);
	GUEST_ASSERT_EQ(ERROR_RSVD, t.error & ~ERROR_P);
}

static void guest_rights(void *arg)
{
	struct env *e = arg;
	u64 cr0 = guest_read_cr0(), efer = guest_rdmsr(MSR_EFER);
	u64 *pde = table_entry(&e->t, e->root, GVA, 2), old = *pde;
	int i;

	guest_write_cr3(e->root);
	for (i = 0; i < 20; i++) {
		change(e->pte, page(e, 1) | PTE_RW, GVA);
		guest_expect_user(GVA, true, NO_FAULT);
		change(e->pte, page(e, 1) | PTE_RO, GVA);
		guest_expect_user(GVA, false, NO_FAULT);
		guest_expect_user(GVA, true, ERROR_P | ERROR_W | ERROR_U);
		guest_expect(GVA, true, ERROR_P | ERROR_W);
		/* WP: the supervisor may, the user may not, and both look by turns. */
		guest_write_cr0(cr0 & ~CR0_WP);
		guest_expect(GVA, true, NO_FAULT);
		guest_expect_user(GVA, false, NO_FAULT);
		guest_expect_user(GVA, true, ERROR_P | ERROR_W | ERROR_U);
		guest_expect(GVA, true, NO_FAULT);
		guest_write_cr0(cr0);
		guest_expect(GVA, true, ERROR_P | ERROR_W);
		/* NX is reserved without EFER.NX. */
		change(e->pte, page(e, 1) | PTE_RW | PTE_NX, GVA);
		guest_expect(GVA, true, NO_FAULT);
		guest_wrmsr(MSR_EFER, efer & ~EFER_NX);
		guest_expect_reserved(GVA);
		guest_wrmsr(MSR_EFER, efer);
		guest_expect(GVA, false, NO_FAULT);
		/* Not for the user: here, and above. */
		change(e->pte, page(e, 1) | (PTE_RW & ~PTE_U), GVA);
		guest_expect_user(GVA, false, ERROR_P | ERROR_U);
		guest_expect(GVA, true, NO_FAULT);
		change(e->pte, page(e, 1) | PTE_RW, GVA);
		change(pde, old & ~PTE_U, GVA);
		guest_expect_user(GVA, true, ERROR_P | ERROR_U | ERROR_W);
		guest_expect(GVA, true, NO_FAULT);
		change(pde, old, GVA);
		guest_expect_user(GVA, true, NO_FAULT);
	}
}

TEST_F(shadow, rights_while_modes_change)
{
	user_setup(self->vm);
	vcpu_call(self->vcpu, guest_rights, self->env);
}

/* --- modes of the CPU --- */

/* EAX: a word that was read, and raised by one, with paging off; EDI: its address. */
asm(".pushsection .text\n"
"guest_flat_trip:\n"
"	push %rbx\n"
"	push %rbp\n"
"	push %r12\n"
"	push %r13\n"
"	push %r14\n"
"	push %r15\n"
"	ljmpl *4f\n"
"	.code32\n"
"1:	mov %cr0, %eax\n"
"	and $0x7fffffff, %eax\n"
"	mov %eax, %cr0\n"
"	mov (%edi), %ecx\n"
"	incl (%edi)\n"
"	mov %cr0, %eax\n"
"	or $0x80000000, %eax\n"
"	mov %eax, %cr0\n"
"	ljmpl $0x08, $2f\n"
"	.code64\n"
"2:	mov %esp, %esp\n"
"	mov %ecx, %eax\n"
"	pop %r15\n"
"	pop %r14\n"
"	pop %r13\n"
"	pop %r12\n"
"	pop %rbp\n"
"	pop %rbx\n"
"	ret\n"
"	.balign 8\n"
"4:	.long 1b\n"
"	.word 0x18\n"
".popsection");

u32 guest_flat_trip(u64 address);

/* A vCPU that counts, with 32-bit paging and without by turns; EBX: struct flat. */
asm(".pushsection .text\n"
"	.code32\n"
"guest_flat_loop:\n"
"	mov $0x10, %eax\n"		/* PSE */
"	mov %eax, %cr4\n"
"	mov (%ebx), %eax\n"
"	mov %eax, %cr3\n"
"1:	mov 4(%ebx), %ecx\n"
"	lock incl (%ecx)\n"
"	incl 16(%ebx)\n"
"	mov %cr0, %eax\n"
"	xor $0x80000000, %eax\n"
"	mov %eax, %cr0\n"
"	mov 8(%ebx), %ecx\n"
"	cmpl $0, (%ecx)\n"
"	je 1b\n"
"	mov 12(%ebx), %eax\n"
"	outl %eax, $0x5c\n"
/* PAE: an entry of the top table is made after CR3 was loaded; EBX: struct pae. */
"guest_pae:\n"
"	mov $0x20, %eax\n"
"	mov %eax, %cr4\n"
"	mov (%ebx), %eax\n"
"	mov %eax, %cr3\n"
"	mov %cr0, %edx\n"
"	or $0x80000000, %edx\n"
"	mov %edx, %cr0\n"
"	mov 4(%ebx), %ecx\n"
"	mov 8(%ebx), %edx\n"
"	mov %edx, (%ecx)\n"
"	cmpl $0, 12(%ebx)\n"
"	je 1f\n"
"	mov %eax, %cr3\n"
"1:	mov 0xc0000000, %eax\n"
"	mov %eax, 20(%ebx)\n"
"	mov 16(%ebx), %eax\n"
"	outl %eax, $0x5c\n"
"	.code64\n"
".popsection");

struct flat {
	u32 cr3, counter, stop, ucall, rounds;
};

struct pae {
	u32 cr3, entry, value, reload, ucall;
	u32 seen;
};

/* Where 32-bit code says that it is done: a struct ucall in boot memory. */
static u32 ucall_done(struct vm *vm)
{
	((struct ucall *)boot_hva(vm, 0x3000))->cmd = UCALL_DONE;
	return 0x3000;
}

static void start_flat(struct vcpu *vcpu, u64 code, void *arg)
{
	struct kvm_regs regs;

	vcpu_start_protected(vcpu, code, BOOT_STACKS + 2 * STACK_SIZE);
	vcpu_get_regs(vcpu, &regs);
	regs.rbx = (u64)arg;
	vcpu_set_regs(vcpu, &regs);
}

__attribute__((target("general-regs-only")))
static void guest_fetch_fault(struct guest_frame *f)
{
	GUEST_WRITE(&user_vector, f->vector);
	GUEST_WRITE(&user_error, f->error);
	f->rip = *(u64 *)f->rsp;
	f->rsp += 8;
}

static void guest_expect_fetch(u64 gva, u64 want)
{
	GUEST_WRITE(&user_vector, GUEST_NO_TRAP);
	guest_set_handler(X86_TRAP_PF, guest_fetch_fault);
	asm volatile("call *%0" : : "r" (gva) : "memory");
	guest_set_handler(X86_TRAP_PF, NULL);
	if (want == NO_FAULT) {
		GUEST_ASSERT_EQ(GUEST_NO_TRAP, GUEST_READ(&user_vector));
		return;
	}
	GUEST_ASSERT_EQ(X86_TRAP_PF, GUEST_READ(&user_vector));
	GUEST_ASSERT_EQ(want, GUEST_READ(&user_error));
}

/* arg[0]: CR4.SMEP or 0; arg[1]: rounds; arg[2], out: how often the word was raised. */
static void guest_modes(void *arg)
{
	struct env *e = arg;
	u64 cr4 = guest_read_cr4(), word = GVA + 512, count = 0, i;

	guest_write_cr3(e->root);
	GUEST_WRITE((u8 *)page(e, 2), 0xc3);
	for (i = 0; i < e->arg[1]; i++) {
		change(e->pte, page(e, 1) | PTE_RW, GVA);
		GUEST_WRITE((u32 *)word, GUEST_READ((u32 *)word) + 1);
		count++;
		GUEST_ASSERT_EQ(count, guest_flat_trip(page(e, 1) + 512));
		count++;
		GUEST_ASSERT_EQ(count, GUEST_READ((u32 *)word));
		guest_write_cr4(cr4 | (i & 1 ? CR4_PGE : 0));
		GUEST_ASSERT_EQ(101, READ_AT(GVA));
		change(e->pte, page(e, 2) | PTE_RW, GVA);
		guest_expect_fetch(GVA, NO_FAULT);
		guest_write_cr4(guest_read_cr4() | e->arg[0]);
		if (e->arg[0])
			guest_expect_fetch(GVA, ERROR_P | ERROR_I);
		change(e->pte, page(e, 2) | (PTE_RW & ~PTE_U), GVA);
		guest_expect_fetch(GVA, NO_FAULT);
		guest_write_cr4(cr4);
		change(e->pte, page(e, 2) | PTE_RW | PTE_NX, GVA);
		guest_expect_fetch(GVA, ERROR_P | ERROR_I);
		/* With paging off nothing of this counts; then another entry does. */
		guest_flat_trip(page(e, 3) + 512);
		change(e->pte, page(e, 3) | PTE_RW, GVA);
		GUEST_ASSERT_EQ(i + 1, GUEST_READ((u32 *)word));
	}
	e->arg[2] = count;
}

static bool cpuid_has_smep(void)
{
	const struct kvm_cpuid2 *c = umbra_cpuid();
	u32 i;

	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 7 && !c->entries[i].index)
			return c->entries[i].ebx >> 7 & 1;
	return false;
}

TEST_F(shadow, modes_on_two_vcpus)
{
	struct env *e = self->env;
	struct flat *flat = vm_mem(self->vm, PAGE_4K);
	u32 *pd = (u32 *)table_new(&e->t);
	shared_u64 *stop = (u64 *)(flat + 1);
	pthread_t thread;
	u32 i;

	/* Code of ring 0 must not be the user's with SMEP. */
	*(u64 *)e->root = e->identity & ~PTE_U;
	for (i = 0; i < 1024; i++)
		pd[i] = i << 22 | PTE_RW | PTE_PS;
	*flat = (struct flat) {
		.cr3 = (u64)pd, .counter = page(e, 1) + 1024, .stop = (u64)stop,
		.ucall = ucall_done(self->vm),
	};
	e->arg[0] = cpuid_has_smep() ? CR4_SMEP : 0;
	e->arg[1] = test_long() ? 20000 : 100;
	start_flat(self->other, LABEL(guest_flat_loop), flat);
	vcpu_start(self->vcpu, guest_modes, e);
	thread = vcpu_spawn(self->other);
	vcpu_done(self->vcpu);
	*stop = 1;
	vcpu_join(thread);
	EXPECT_EQ(2 * e->arg[1], e->arg[2]);
	EXPECT_EQ(e->arg[2], *(u32 *)(page(e, 1) + 512));
	EXPECT_LT(0, flat->rounds);
	EXPECT_EQ(flat->rounds, *(u32 *)(page(e, 1) + 1024));
}

/*
 * The top table of PAE is read with CR3, or whenever it is needed, as the CPU likes. An
 * entry that leads nowhere is nobody's business until it is used.
 */
static u64 pae_entry_made_late(FIXTURE_DATA(shadow) * self, bool reload, u64 unused)
{
	struct env *e = self->env;
	u64 *pdpt = (u64 *)table_new(&e->t), i, cmd;
	u64 *pd[3] = { (u64 *)table_new(&e->t), (u64 *)table_new(&e->t),
		       (u64 *)table_new(&e->t) };
	struct pae *pae = vm_mem(self->vm, PAGE_4K);

	for (i = 0; i < 1024; i++)
		pd[i / 512][i % 512] = i << 21 | PTE_RW | PTE_PS;
	pd[2][0] = (e->data & ~(PAGE_2M - 1)) | PTE_RW | PTE_PS;
	pdpt[0] = (u64)pd[0] | PTE_P;
	pdpt[1] = (u64)pd[1] | PTE_P;
	pdpt[2] = unused;
	*pae = (struct pae) {
		.cr3 = (u64)pdpt, .entry = (u64)(pdpt + 3), .value = (u64)pd[2] | PTE_P,
		.reload = reload, .ucall = ucall_done(self->vm),
	};
	start_flat(self->vcpu, LABEL(guest_pae), pae);
	cmd = vcpu_next(self->vcpu);
	return cmd == UCALL_DONE ? GUEST_READ(&pae->seen) : 0;
}

TEST_F(shadow, pae_entry_made_before_cr3)
{
	EXPECT_EQ(100, pae_entry_made_late(self, true, 0));
}

TEST_F(shadow, pae_entry_made_after_cr3)
{
	u64 seen = pae_entry_made_late(self, false, 0);

	if (seen != 100)
		EXPECT_EQ(KVM_EXIT_SHUTDOWN, self->vcpu->run->exit_reason);
}

TEST_F(shadow, pae_entry_that_leads_nowhere)
{
	EXPECT_EQ(100, pae_entry_made_late(self, true, 0xe0000000UL | PTE_P));
}

/* --- the host and the memory that the tables are in --- */

#define HOST_GVA (GVA + (3UL << 39))
#define HOST_PAGES 4096	/* of which the tables take eight */

struct host_tables {
	struct env *e;
	u64 *pte[HOST_PAGES / 512];
	shared_u64 passes, stop, bad;
};

static void host_tables_pass(struct host_tables *h, u64 seed)
{
	u64 n;

	for (n = 0; n < 200; n++) {
		u64 i = random_next(&seed) % HOST_PAGES, at = HOST_GVA + i * PAGE_4K;
		u64 *pte = h->pte[i / 512] + i % 512;
		u64 k = random_next(&seed) % DATA_PAGES;

		h->bad += READ_AT(at) != 100 + (GUEST_READ(pte) - h->e->data) / PAGE_4K;
		change(pte, page(h->e, k) | PTE_RW, at);
		h->bad += READ_AT(at) != 100 + k;
	}
}

static void guest_host_tables(void *arg)
{
	struct host_tables *h = arg;

	guest_write_cr3(h->e->root);
	while (!h->stop) {
		host_tables_pass(h, h->passes + 1);
		h->passes++;
	}
}

static void guest_host_tables_once(void *arg)
{
	struct host_tables *h = arg;

	guest_write_cr3(h->e->root);
	host_tables_pass(h, ++h->passes);
}

/* Tables in memory of their own, from @mem on. */
static struct host_tables *host_tables(FIXTURE_DATA(shadow) * self, u8 *mem, u64 size)
{
	struct host_tables *h = vm_mem(self->vm, PAGE_4K);
	struct env *e = self->env;
	int i;

	h->e = e;
	e->t.next = (u64)mem;
	e->t.end = (u64)mem + size;
	for (i = 0; i < HOST_PAGES; i++) {
		u64 *pte = table_entry(&e->t, e->root, HOST_GVA + i * PAGE_4K, 1);

		*pte = page(e, i % DATA_PAGES) | PTE_RW;
		if (i % 512 == 0)
			h->pte[i / 512] = pte;
	}
	return h;
}

#define HOST_TABLES_SIZE (16 * PAGE_4K)

TEST_F(shadow, tables_swapped_out)
{
	u8 *mem = vm_mem(self->vm, HOST_TABLES_SIZE);
	struct host_tables *h = host_tables(self, mem, HOST_TABLES_SIZE);
	pthread_t thread;
	int i;

	if (!swap_on())
		TEST_SKIP("no swap device");
	for (i = 0; i < 20; i++) {
		madvise(mem, HOST_TABLES_SIZE, MADV_PAGEOUT);
		vcpu_call(self->vcpu, guest_host_tables_once, h);
	}
	vcpu_start(self->vcpu, guest_host_tables, h);
	thread = vcpu_spawn(self->vcpu);
	for (i = 0; i < (test_long() ? 2000 : 30); i++) {
		madvise(mem, HOST_TABLES_SIZE, MADV_PAGEOUT);
		await(&h->passes, 1);
	}
	h->stop = 1;
	vcpu_join(thread);
	EXPECT_EQ(0, h->bad);
	swap_off();
}

/* Their memory goes, and comes back with the same bytes in other pages. */
TEST_F(shadow, tables_dropped_and_restored)
{
	u8 *mem = vm_mem(self->vm, HOST_TABLES_SIZE), *copy = malloc(HOST_TABLES_SIZE);
	struct host_tables *h = host_tables(self, mem, HOST_TABLES_SIZE);
	int i;

	for (i = 0; i < 20; i++) {
		vcpu_call(self->vcpu, guest_host_tables_once, h);
		memcpy(copy, mem, HOST_TABLES_SIZE);
		ASSERT_EQ(0, madvise(mem, HOST_TABLES_SIZE, MADV_DONTNEED));
		memcpy(mem, copy, HOST_TABLES_SIZE);
	}
	EXPECT_EQ(0, h->bad);
}

/* Nothing is lost that is read through them, and nothing is set in them. */
static void guest_tables_in_rom(void *arg)
{
	struct host_tables *h = arg;
	struct env *e = h->e;
	u64 n, ad = e->arg[0], second = HOST_GVA + 512 * PAGE_4K;

	guest_write_cr3(e->root);
	for (n = 0; n < 3 * DATA_PAGES; n++) {
		u64 at = HOST_GVA + n * PAGE_4K, k = n % DATA_PAGES;

		GUEST_ASSERT_EQ(100 + k, READ_AT(at));
		GUEST_WRITE((u64 *)at + 1, n);
		GUEST_ASSERT_EQ(n, READ_AT(page(e, k) + 8));
		GUEST_WRITE((u64 *)(second + n * PAGE_4K) + 1, n + 1);
		GUEST_ASSERT_EQ(n + 1, READ_AT(page(e, k) + 8));
		GUEST_ASSERT_EQ(ad, GUEST_READ(h->pte[0] + n) & (PTE_A | PTE_D));
		GUEST_ASSERT_EQ(ad, GUEST_READ(h->pte[1] + n) & (PTE_A | PTE_D));
	}
	/* What the supervisor has not touched before, by the user. */
	for (n = 300; n < 310; n++) {
		guest_expect_user(HOST_GVA + n * PAGE_4K + 16, false, NO_FAULT);
		guest_expect_user(HOST_GVA + n * PAGE_4K + 16, true, NO_FAULT);
		guest_expect_user(second + n * PAGE_4K + 16, true, NO_FAULT);
		GUEST_ASSERT_EQ(77, READ_AT(page(e, n % DATA_PAGES) + 16));
	}
}

static void tables_in_rom(struct __test_metadata *_metadata, FIXTURE_DATA(shadow) * self,
			  u64 ad)
{
	u8 *mem = vm_reserve(self->vm, HOST_TABLES_SIZE, PAGE_2M);
	struct host_tables *h;
	u64 *at;

	if (!node_has(KVM_CAP_READONLY_MEM))
		TEST_SKIP("no read-only slots");
	if (!node_has(UMBRA_CAP_MMU))
		TEST_SKIP("stock KVM on AMD walks no tables in read-only memory");
	ASSERT_EQ(0, mprotect(mem, HOST_TABLES_SIZE, PROT_READ | PROT_WRITE));
	user_setup(self->vm);
	h = host_tables(self, mem, HOST_TABLES_SIZE);
	self->env->arg[0] = ad;
	/* The first tables are those of the levels above. */
	for (at = (u64 *)mem; at < (u64 *)self->env->t.next; at++)
		if (*at)
			*at = (*at & ~(PTE_A | PTE_D)) | ad;
	vm_add_slot(self->vm, KVM_MEM_READONLY, (u64)mem, HOST_TABLES_SIZE, mem);
	vcpu_call(self->vcpu, guest_tables_in_rom, h);
}

TEST_F(shadow, tables_in_rom)
{
	tables_in_rom(_metadata, self, PTE_A | PTE_D);
}

TEST_F(shadow, tables_in_rom_without_accessed_and_dirty)
{
	tables_in_rom(_metadata, self, 0);
}

/* --- a slot goes with the tables in it --- */

static void guest_loses_tables(void *arg)
{
	struct host_tables *h = arg;
	u64 i;

	guest_write_cr3(h->e->root);
	for (;;) {
		for (i = 0; i < HOST_PAGES; i += 64) {
			READ_AT(HOST_GVA + i * PAGE_4K);
			GUEST_WRITE((u64 *)(HOST_GVA + i * PAGE_4K) + 1, i);
		}
		h->passes++;
	}
}

static void *run_to_its_end(void *arg)
{
	struct vcpu *vcpu = arg;
	long ret;

	do
		ret = vcpu_run(vcpu);
	while (ret == -EINTR || ret == -EAGAIN);
	return (void *)ret;
}

/* Which tables go: those of the last level, or the root as well. */
static void slot_of_tables_goes(struct __test_metadata *_metadata,
				FIXTURE_DATA(shadow) * self, bool root)
{
	u8 *mem = vm_mem(self->vm, HOST_TABLES_SIZE);
	int slot = self->vm->next_slot - 1, i;
	struct env *e = self->env;
	struct host_tables *h;
	pthread_t thread;

	if (!node_has(UMBRA_CAP_MMU))
		TEST_SKIP("stock KVM may go on with exits that lead nowhere");
	if (root) {
		e->t.next = (u64)mem;
		e->t.end = (u64)mem + PAGE_4K;
		e->root = root_new(&e->t, e->identity);
	}
	h = host_tables(self, mem + root * PAGE_4K, HOST_TABLES_SIZE - root * PAGE_4K);
	for (i = 0; i < 5; i++) {
		u32 reason;

		vcpu_start(self->vcpu, guest_loses_tables, h);
		ASSERT_EQ(0, pthread_create(&thread, NULL, run_to_its_end, self->vcpu));
		await(&h->passes, 2 + i);
		ASSERT_EQ(0, vm_set_slot(self->vm, slot, 0, (u64)mem, 0, mem));
		pthread_join(thread, NULL);
		reason = self->vcpu->run->exit_reason;
		EXPECT_TRUE(reason == KVM_EXIT_SHUTDOWN || reason == KVM_EXIT_MMIO ||
			    reason == KVM_EXIT_INTERNAL_ERROR);
		ASSERT_EQ(0, vm_set_slot(self->vm, slot, 0, (u64)mem, HOST_TABLES_SIZE, mem));
		vcpu_call(self->vcpu, guest_host_tables_once, h);
		EXPECT_EQ(0, h->bad);
	}
	/* Once more, and the VM ends without them. */
	ASSERT_EQ(0, vm_set_slot(self->vm, slot, 0, (u64)mem, 0, mem));
}

TEST_F(shadow, slot_of_last_tables_deleted)
{
	slot_of_tables_goes(_metadata, self, false);
}

TEST_F(shadow, slot_of_all_tables_deleted)
{
	slot_of_tables_goes(_metadata, self, true);
}

UMBRA_TEST_MAIN
