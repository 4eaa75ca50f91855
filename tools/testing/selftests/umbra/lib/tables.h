/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page tables that a test keeps in its own memory, for either side to write.
 *
 * Host, guest virtual and guest physical address are the same there, so that a
 * table is an array at the address that the entry above it holds.
 */
#ifndef _UMBRA_TEST_TABLES_H
#define _UMBRA_TEST_TABLES_H

#include "vm.h"

#define PTE_G BIT(8)
#define PTE_ADDR 0x000ffffffffff000UL
#define PTE_RW (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
#define PTE_RO (PTE_P | PTE_U | PTE_A | PTE_D)
#define PTE_TABLE (PTE_P | PTE_W | PTE_U | PTE_A)

/* The error code of #PF. */
#define ERROR_P 1
#define ERROR_W 2
#define ERROR_U 4
#define ERROR_RSVD 8
#define ERROR_I 16

#define CR4_PGE BIT(7)

/* Where tests map things: no part of it is in the identity map. */
#define GVA 0x8000000000UL

/**
 * struct tables - where new tables come from
 * @next: the next free page
 * @end: end of the memory
 */
struct tables {
	u64 next, end;
};

static inline u64 table_new(struct tables *t)
{
	u64 page = t->next;
	int i;

	if (page >= t->end)
		return 0;
	t->next += PAGE_4K;
	for (i = 0; i < 512; i++)
		GUEST_WRITE((u64 *)page + i, 0);
	return page;
}

static inline int table_index(u64 gva, int level)
{
	return gva >> (12 + 9 * (level - 1)) & 511;
}

/**
 * table_entry() - the entry of @level for @gva below @root, with tables made on the way
 */
static inline u64 *table_entry(struct tables *t, u64 root, u64 gva, int level)
{
	u64 *table = (u64 *)root;
	int l;

	for (l = 4; l > level; l--) {
		u64 *entry = &table[table_index(gva, l)];

		if (!(*entry & PTE_P))
			*entry = table_new(t) | PTE_TABLE;
		table = (u64 *)(*entry & PTE_ADDR);
	}
	return &table[table_index(gva, level)];
}

/**
 * root_new() - an address space with the identity map of the library and no more
 * @identity: first entry of the VM's own root table
 */
static inline u64 root_new(struct tables *t, u64 identity)
{
	u64 root = table_new(t);

	*(u64 *)root = identity;
	return root;
}

static inline void guest_write_cr3(u64 cr3)
{
	asm volatile("mov %0, %%cr3" : : "r" (cr3) : "memory");
}

static inline u64 guest_read_cr4(void)
{
	u64 v;

	asm volatile("mov %%cr4, %0" : "=r" (v));
	return v;
}

static inline void guest_write_cr4(u64 v)
{
	asm volatile("mov %0, %%cr4" : : "r" (v) : "memory");
}

/* One PTE, as the CPU will read it. */
static inline void pte_write(u64 *pte, u64 value)
{
	asm volatile("movq %1, %0" : "=m" (*pte) : "r" (value) : "memory");
}

/* And without the translation that may be left of what it was. */
static inline void change(u64 *pte, u64 value, u64 gva)
{
	pte_write(pte, value);
	guest_invlpg((void *)gva);
}

#define READ_AT(gva) GUEST_READ((u64 *)(gva))

static inline u64 random_next(u64 *seed)
{
	u64 x = *seed;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*seed = x;
	return x >> 8;
}

#endif
