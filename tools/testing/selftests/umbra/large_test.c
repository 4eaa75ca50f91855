// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large pages of the guest's, over small and over huge pages of the host's. Proves that
 * they hold what they should where the guest's own tables lie inside of them.
 */
#include "shadow.h"

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
		guest_invlpg((void *)at);
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

UMBRA_TEST_MAIN
