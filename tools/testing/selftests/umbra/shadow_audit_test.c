// SPDX-License-Identifier: GPL-2.0-only
/*
 * The audit of shadow paging. Each test breaks one of its rules, by a test hook or by
 * writing to a guest table behind umbra's back, and proves that the audit names the rule,
 * the frame, the level and what was expected; that it is content again when that is
 * mended; and that the guest finds its pages afterwards.
 */
#include "env.h"
#include "kmsg.h"
#include "test.h"

/* What the guest's table of GVA maps: the pages, one of them three times more, itself. */
#define PLAIN 1
#define SMALL_PAGES 16
#define SHARED 20
#define SHARES 3
#define OWN_TABLE 30
/* Below another directory entry: a large page. */
#define LARGE_GVA (GVA + PAGE_2M)
#define ROUNDS 20

FIXTURE(shadow_audit) {
	struct vm *vm;
	struct vcpu *vcpu;
	struct env *env;
	u64 *pde, *large;
	int kmsg, data_slot;
};

static void guest_touch(void *arg)
{
	struct env *e = arg;
	int i;

	guest_write_cr3(e->root);
	for (i = 0; i < SMALL_PAGES; i++) {
		GUEST_ASSERT_EQ(100 + i, READ_AT(GVA + i * PAGE_4K));
		GUEST_WRITE((u64 *)(GVA + i * PAGE_4K) + 1, i);
	}
	for (i = 0; i < SHARES; i++)
		GUEST_ASSERT_EQ(100 + SHARED, READ_AT(GVA + (SHARED + i) * PAGE_4K));
	READ_AT(GVA + OWN_TABLE * PAGE_4K);
	READ_AT(LARGE_GVA);
}

FIXTURE_SETUP(shadow_audit)
{
	struct env *e;
	int i;

	if (!node_has(UMBRA_CAP_TEST_HOOK))
		TEST_SKIP("no UMBRA_CAP_TEST_HOOK: not a test build");
	self->vm = vm_create_mmu(UMBRA_MMU_SHADOW);
	if (!self->vm)
		TEST_SKIP("no shadow paging");
	self->vcpu = vcpu_create(self->vm, 0);
	e = env_new(self->vm);
	self->env = e;
	self->data_slot = self->vm->next_slot - 1;
	for (i = 0; i < SMALL_PAGES; i++)
		e->pte[i] = page(e, i) | PTE_RW;
	for (i = 0; i < SHARES; i++)
		e->pte[SHARED + i] = page(e, SHARED) | PTE_RW;
	e->pte[OWN_TABLE] = (u64)e->pte | PTE_RW;
	self->pde = table_entry(&e->t, e->root, GVA, 2);
	self->large = table_entry(&e->t, e->root, LARGE_GVA, 2);
	*self->large = (u64)vm_mem(self->vm, PAGE_2M) | PTE_RW | PTE_PS;
	vcpu_call(self->vcpu, guest_touch, e);
	ASSERT_EQ(0, vm_audit(self->vm));
	self->kmsg = kmsg_open();
}

FIXTURE_TEARDOWN(shadow_audit)
{
	close(self->kmsg);
	vm_free(self->vm);
}

static u64 plain_gfn(FIXTURE_DATA(shadow_audit) * self)
{
	return page(self->env, PLAIN) / PAGE_4K;
}

static u64 table_gfn(FIXTURE_DATA(shadow_audit) * self)
{
	return (u64)self->env->pte / PAGE_4K;
}

/* The audit finds it, and says @text of the entry of @level for @gfn. */
static void expect_named(struct __test_metadata *_metadata, FIXTURE_DATA(shadow_audit) * self,
			 u64 gfn, int level, const char *text)
{
	const char *said;
	char where[64];

	EXPECT_LT(0, vm_audit(self->vm));
	said = kmsg_text(self->kmsg);
	snprintf(where, sizeof(where), "gfn %lx level %d spte ", gfn, level);
	EXPECT_TRUE(line_has(said, "umbra: audit: vm ", where, text))
		TH_LOG("no '%s' and '%s' in:\n%s", where, text, said);
}

/* Nothing is wrong any more, and the guest goes on. */
static void expect_mended(struct __test_metadata *_metadata, FIXTURE_DATA(shadow_audit) * self)
{
	EXPECT_EQ(0, vm_audit(self->vm)) TH_LOG("%s", kmsg_text(self->kmsg));
	vcpu_call(self->vcpu, guest_touch, self->env);
	EXPECT_EQ(0, vm_audit(self->vm)) TH_LOG("%s", kmsg_text(self->kmsg));
}

static void break_by_hook(struct __test_metadata *_metadata, FIXTURE_DATA(shadow_audit) * self,
			  u32 hook, u64 arg, u64 gfn, int level, const char *text)
{
	ASSERT_EQ(0, vm_hook(self->vm, hook, arg));
	EXPECT_EQ(-EBUSY, vm_hook(self->vm, UMBRA_HOOK_UNSYNC_SUM, 0));
	expect_named(_metadata, self, gfn, level, text);
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_REPAIR, 0));
	expect_mended(_metadata, self);
}

/* --- rmaps --- */

TEST_F(shadow_audit, spte_in_no_chain)
{
	break_by_hook(_metadata, self, UMBRA_HOOK_RMAP_GONE, plain_gfn(self), table_gfn(self), 1,
		      "in no chain of its level");
}

TEST_F(shadow_audit, one_of_several_in_no_chain)
{
	break_by_hook(_metadata, self, UMBRA_HOOK_RMAP_GONE, page(self->env, SHARED) / PAGE_4K,
		      table_gfn(self), 1, "in no chain of its level");
}

TEST_F(shadow_audit, entry_of_nothing)
{
	break_by_hook(_metadata, self, UMBRA_HOOK_RMAP_STRAY, plain_gfn(self), plain_gfn(self), 1,
		      "in a chain, but no leaf of its level");
}

TEST_F(shadow_audit, twice_in_a_chain)
{
	u64 gfn = page(self->env, SHARED) / PAGE_4K;

	EXPECT_EQ(-ENOENT, vm_hook(self->vm, UMBRA_HOOK_RMAP_TWICE, plain_gfn(self)));
	break_by_hook(_metadata, self, UMBRA_HOOK_RMAP_TWICE, gfn, gfn, 1, "not once in its chain");
}

TEST_F(shadow_audit, in_the_chain_of_another)
{
	u64 gfn = page(self->env, SMALL_PAGES - 1) / PAGE_4K;
	char text[64];

	snprintf(text, sizeof(text), "a fresh walk leads to gfn %lx", gfn);
	break_by_hook(_metadata, self, UMBRA_HOOK_RMAP_OTHER, gfn, gfn + 1, 1, text);
}

/* --- permission to write --- */

TEST_F(shadow_audit, table_writable)
{
	break_by_hook(_metadata, self, UMBRA_HOOK_SPTE_WRITE, table_gfn(self), table_gfn(self), 1,
		      "writable, but a guest table that is shadowed");
}

TEST_F(shadow_audit, writable_under_the_dirty_log)
{
	ASSERT_EQ(0, vm_set_slot(self->vm, self->data_slot, KVM_MEM_LOG_DIRTY_PAGES,
				 self->env->data, DATA_PAGES * PAGE_4K, (void *)self->env->data));
	ASSERT_EQ(0, vm_audit(self->vm));
	break_by_hook(_metadata, self, UMBRA_HOOK_SPTE_WRITE, plain_gfn(self), plain_gfn(self), 1,
		      "writable, but not in the dirty log");
}

/* --- what a fresh walk gives --- */

TEST_F(shadow_audit, rights_of_a_leaf)
{
	u64 gfn = plain_gfn(self);

	break_by_hook(_metadata, self, UMBRA_HOOK_SPTE_USER, gfn, gfn, 1,
		      "a fresh walk allows wux with key 0");
	break_by_hook(_metadata, self, UMBRA_HOOK_SPTE_EXEC, gfn, gfn, 1,
		      "a fresh walk allows wux with key 0");
}

TEST_F(shadow_audit, wrong_frame)
{
	break_by_hook(_metadata, self, UMBRA_HOOK_SPTE_PFN, plain_gfn(self), plain_gfn(self), 1,
		      "the host has frame ");
}

/* The guest's entry becomes another one; nobody has told umbra. */
static void break_entry(struct __test_metadata *_metadata, FIXTURE_DATA(shadow_audit) * self,
			u64 *entry, u64 value, u64 gfn, int level, const char *text)
{
	u64 old = *entry;

	*entry = value;
	expect_named(_metadata, self, gfn, level, text);
	*entry = old;
	expect_mended(_metadata, self);
}

TEST_F(shadow_audit, each_bit_of_a_small_page)
{
	u64 *pte = &self->env->pte[PLAIN], gfn = plain_gfn(self), bit;
	char text[64];

	break_entry(_metadata, self, pte, *pte & ~PTE_P, gfn, 1, "entry is not present");
	break_entry(_metadata, self, pte, *pte & ~PTE_W, gfn, 1, "allows -ux with key 0");
	break_entry(_metadata, self, pte, *pte & ~PTE_D, gfn, 1, "allows -ux with key 0");
	break_entry(_metadata, self, pte, *pte & ~PTE_U, gfn, 1, "allows w-x with key 0");
	break_entry(_metadata, self, pte, *pte | PTE_NX, gfn, 1, "allows wu- with key 0");
	for (bit = 12; bit < 52; bit++) {
		snprintf(text, sizeof(text), "leads to gfn %lx ", gfn ^ BIT(bit - 12));
		break_entry(_metadata, self, pte, *pte ^ BIT(bit), gfn, 1, text);
	}
	for (bit = 0; bit < 4; bit++) {
		snprintf(text, sizeof(text), "allows wux with key %lu", BIT(bit));
		break_entry(_metadata, self, pte, *pte | BIT(59 + bit), gfn, 1, text);
	}
}

TEST_F(shadow_audit, each_bit_of_a_large_page)
{
	u64 *pde = self->large, gfn = (*pde & PTE_ADDR) / PAGE_4K, next = *self->pde & PTE_ADDR;

	break_entry(_metadata, self, pde, *pde & ~PTE_P, gfn, 2, "entry is not present");
	break_entry(_metadata, self, pde, *pde & ~PTE_W, gfn, 2, "a fresh walk");
	break_entry(_metadata, self, pde, *pde & ~PTE_D, gfn, 2, "a fresh walk");
	break_entry(_metadata, self, pde, *pde & ~PTE_U, gfn, 2, "a fresh walk");
	break_entry(_metadata, self, pde, *pde | PTE_NX, gfn, 2, "a fresh walk");
	break_entry(_metadata, self, pde, *pde | BIT(60), gfn, 2, "a fresh walk");
	break_entry(_metadata, self, pde, *pde ^ PAGE_2M, gfn, 2, "a fresh walk leads to gfn");
	break_entry(_metadata, self, pde, next | PTE_TABLE, gfn, 2, "a fresh walk leads to gfn");
}

TEST_F(shadow_audit, each_bit_of_a_directory_entry)
{
	u64 *pde = self->pde, gfn = table_gfn(self);

	break_entry(_metadata, self, pde, *pde & ~PTE_P, gfn, 2, "entry is not present");
	break_entry(_metadata, self, pde, *pde & ~PTE_W, gfn, 2, "leads to a page of role");
	break_entry(_metadata, self, pde, *pde & ~PTE_U, gfn, 2, "leads to a page of role");
	break_entry(_metadata, self, pde, *pde | PTE_NX, gfn, 2, "leads to a page of role");
	break_entry(_metadata, self, pde, *pde ^ PAGE_4K, gfn, 2, "a fresh walk leads to gfn");
	break_entry(_metadata, self, pde, *self->large, gfn, 2, "a fresh walk leads to gfn");
}

/* --- parents --- */

TEST_F(shadow_audit, parent_that_leads_nowhere)
{
	break_by_hook(_metadata, self, UMBRA_HOOK_TABLE_PARENT, plain_gfn(self), table_gfn(self), 1,
		      "a parent that does not lead to the table");
}

TEST_F(shadow_audit, parent_that_is_forgotten)
{
	u64 directory = (u64)self->pde / PAGE_4K;

	break_by_hook(_metadata, self, UMBRA_HOOK_TABLE_CHILD, plain_gfn(self), directory, 2,
		      "not once among the parents of its table");
}

/* --- out of sync --- */

/* Writes to the table by its identity mapping, and flushes nothing. */
static void guest_unsync(void *arg)
{
	struct env *e = arg;

	guest_touch(arg);
	pte_write(e->pte + OWN_TABLE + 1, page(e, 1) | PTE_RO);
}

static void break_unsync(struct __test_metadata *_metadata, FIXTURE_DATA(shadow_audit) * self,
			 u32 hook, u64 gfn, int level, const char *text)
{
	EXPECT_EQ(-ENOENT, vm_hook(self->vm, UMBRA_HOOK_UNSYNC_BIT, table_gfn(self)));
	vcpu_call(self->vcpu, guest_unsync, self->env);
	EXPECT_EQ(0, vm_audit(self->vm));
	break_by_hook(_metadata, self, hook, table_gfn(self), gfn, level, text);
}

TEST_F(shadow_audit, parent_that_does_not_know)
{
	break_unsync(_metadata, self, UMBRA_HOOK_UNSYNC_BIT, table_gfn(self), 1,
		     "out of sync, and its parent does not know");
}

TEST_F(shadow_audit, entries_out_of_sync_miscounted)
{
	break_unsync(_metadata, self, UMBRA_HOOK_UNSYNC_COUNT, (u64)self->pde / PAGE_4K, 2,
		     "0 entries out of sync counted, 1 there");
}

TEST_F(shadow_audit, pages_out_of_sync_miscounted)
{
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_UNSYNC_SUM, 0));
	expect_named(_metadata, self, 0, 0, "1 pages out of sync counted, 0 there");
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_REPAIR, 0));
	expect_mended(_metadata, self);
}

/* --- roots --- */

static void guest_spin(void *arg)
{
	struct env *e = arg;

	guest_write_cr3(e->root);
	e->arg[1] = 0;
	while (!GUEST_READ(&e->arg[0]))
		GUEST_WRITE(&e->arg[1], READ_AT(GVA));
}

TEST_F(shadow_audit, root_of_an_old_generation)
{
	struct env *e = self->env;
	const char *said = "";
	pthread_t thread;
	char where[64];
	int i;

	vcpu_start(self->vcpu, guest_spin, e);
	thread = vcpu_spawn(self->vcpu);
	while (!GUEST_READ(&e->arg[1]))
		usleep(1000);
	for (i = 0; i < ROUNDS; i++)
		ASSERT_EQ(0, vm_audit(self->vm));
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_OLD_ROOT, 0));
	/* Only a vCPU that is in the guest at the time counts. */
	for (i = 0; i < 100 * ROUNDS && !vm_audit(self->vm); i++)
		;
	EXPECT_GT(100 * ROUNDS, i);
	said = kmsg_text(self->kmsg);
	snprintf(where, sizeof(where), "gfn %lx level 4 spte ", e->root / PAGE_4K);
	EXPECT_TRUE(line_has(said, where, "which is of an old generation", NULL))
		TH_LOG("%s", said);
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_REPAIR, 0));
	for (i = 0; i < ROUNDS; i++)
		EXPECT_EQ(0, vm_audit(self->vm));
	e->arg[0] = 1;
	vcpu_join(thread);
	expect_mended(_metadata, self);
}

UMBRA_TEST_MAIN
