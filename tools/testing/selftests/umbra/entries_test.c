// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entries of page tables that a guest changes. Proves that a translation is the one
 * that the entry says, at each level, and that its A and D bits are set.
 *
 * What a guest may see is what a CPU would show: after a change that takes something
 * away, only once the translation was flushed; after one that adds something, at
 * once.
 */
#include "shadow.h"

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

UMBRA_TEST_MAIN
