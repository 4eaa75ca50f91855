// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory that a guest's tables are in: swapped out, dropped and restored by the
 * host, read-only, or taken away with its slot. Proves that translations are those of
 * the tables all the same, and that a guest without them does not go on.
 */
#include "ring3.h"
#include "shadow.h"

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
	for (i = 0; i < (test_long() ? 300 : 30); i++) {
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

/* --- tables that no memory is behind --- */

static void guest_read_first(void *arg)
{
	struct env *e = arg;

	guest_write_cr3(e->root);
	GUEST_ASSERT_EQ(100, READ_AT(GVA));
}

static void guest_tables_nowhere(void *arg)
{
	struct env *e = arg;

	guest_write_cr3(e->root);
	GUEST_ASSERT_EQ(100, READ_AT(GVA));
	pte_write(table_entry(&e->t, e->root, GVA, e->arg[0]), TEST_MMIO | PTE_TABLE);
	guest_write_cr3(e->root);
	READ_AT(GVA);
	GUEST_SYNC(e->arg[0]);
}

/* Nobody can walk them: the vCPU ends there, and not in a loop; others go on. */
TEST_F(shadow, tables_where_no_slot_is)
{
	struct env *e = self->env;
	u64 *entry, old;

	if (!node_has(UMBRA_CAP_MMU))
		TEST_SKIP("stock KVM may go on with exits that lead nowhere");
	*e->pte = page(e, 0) | PTE_RW;
	for (e->arg[0] = 2; e->arg[0] <= 4; e->arg[0]++) {
		u32 reason;

		entry = table_entry(&e->t, e->root, GVA, e->arg[0]);
		old = *entry;
		vcpu_start(self->vcpu, guest_tables_nowhere, e);
		EXPECT_EQ(0, vcpu_run(self->vcpu));
		reason = self->vcpu->run->exit_reason;
		EXPECT_TRUE(reason == KVM_EXIT_INTERNAL_ERROR ||
			    (reason == KVM_EXIT_MMIO && !shadow_mode(self->vm)))
			TH_LOG("%s", vcpu_exit_name(self->vcpu));
		EXPECT_EQ(TEST_MMIO | PTE_TABLE, *entry);
		EXPECT_EQ(0, vm_audit(self->vm));
		*entry = old;
		vcpu_call(self->other, guest_read_first, e);
	}
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
