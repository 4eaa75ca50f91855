// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's own tables: page tables, GDT, IDT, TSSs. All of them are in boot
 * memory and are written by the host only.
 */
#include <string.h>

#include "paging.h"
#include "vm.h"

#define PTE_ADDR 0x000ffffffffff000UL

void *boot_hva(struct vm *vm, u64 gpa)
{
	if (gpa >= BOOT_SIZE)
		die("%#lx is not in boot memory", gpa);
	return vm->boot + gpa;
}

static u64 table_alloc(struct vm *vm)
{
	u64 gpa = vm->next_table;

	if (gpa >= BOOT_TABLES_END)
		die("no room for guest page tables");
	vm->next_table += PAGE_4K;
	memset(boot_hva(vm, gpa), 0, PAGE_4K);
	return gpa;
}

/* Bytes that an entry of @level covers. */
static u64 level_size(int level)
{
	return PAGE_4K << 9 * (level - 1);
}

/* The table that @pte points to; made, or split from a larger page, if need be. */
static u64 *table_below(struct vm *vm, u64 *pte, int level)
{
	u64 old = *pte;
	u64 *table;
	int i;

	if ((old & PTE_P) && !(old & PTE_PS))
		return boot_hva(vm, old & PTE_ADDR);
	*pte = table_alloc(vm) | PTE_P | PTE_W | PTE_U;
	table = boot_hva(vm, *pte & PTE_ADDR);
	if (!(old & PTE_P))
		return table;
	for (i = 0; i < 512; i++) {
		table[i] = old + i * level_size(level - 1);
		if (level == 2)
			table[i] &= ~PTE_PS;
	}
	return table;
}

static void map_one(struct vm *vm, u64 gva, u64 gpa, int to, u64 flags)
{
	u64 *table = boot_hva(vm, vm->cr3);
	int level;

	for (level = 4; level > to; level--)
		table = table_below(vm, &table[gva / level_size(level) % 512], level);
	if (to > 1)
		flags |= PTE_PS;
	table[gva / level_size(to) % 512] = flags & PTE_P ? gpa | flags : 0;
}

void guest_map(struct vm *vm, u64 gva, u64 gpa, u64 size, u64 page, u64 flags)
{
	int level = page == PAGE_1G ? 3 : page == PAGE_2M ? 2 : 1;
	u64 off;

	for (off = 0; off < size; off += page)
		map_one(vm, gva + off, gpa + off, level, flags);
}

u64 *guest_pte(struct vm *vm, u64 gva, int *level)
{
	u64 *table = boot_hva(vm, vm->cr3);
	int l;

	for (l = 4; ; l--) {
		u64 *pte = &table[gva / level_size(l) % 512];

		if (l == 1 || (*pte & (PTE_PS | PTE_P)) != PTE_P) {
			if (level)
				*level = l;
			return pte;
		}
		table = boot_hva(vm, *pte & PTE_ADDR);
	}
}

static void gdt_init(struct vm *vm)
{
	u64 *gdt = boot_hva(vm, BOOT_GDT);
	int id;

	gdt[SEL_CODE64 / 8] = 0x00af9b000000ffffUL;
	gdt[SEL_DATA / 8] = 0x00cf93000000ffffUL;
	gdt[SEL_CODE32 / 8] = 0x00cf9b000000ffffUL;
	gdt[SEL_CODE16 / 8] = 0x00009b000000ffffUL;
	gdt[SEL_DATA16 / 8] = 0x000093000000ffffUL;
	for (id = 0; id < MAX_VCPUS; id++) {
		u64 base = BOOT_TSS + id * PAGE_4K;
		u64 *d = &gdt[SEL_TSS(id) / 8];

		/* A 64-bit TSS of 104 bytes, busy. */
		d[0] = 103 | (base & 0xffffff) << 16 | 0x8bUL << 40 | (base >> 24 & 0xff) << 56;
		d[1] = base >> 32;
	}
}

static void idt_init(struct vm *vm)
{
	u64 *idt = boot_hva(vm, BOOT_IDT);
	int i;

	for (i = 0; i < 256; i++) {
		u64 entry = (u64)guest_vectors + 16 * i;

		/* A 64-bit interrupt gate of ring 0, no IST. */
		idt[2 * i] = (entry & 0xffff) | (u64)SEL_CODE64 << 16 | 0x8eUL << 40 |
			     (entry >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = entry >> 32;
	}
}

void guest_tables_init(struct vm *vm)
{
	vm->next_table = BOOT_TABLES;
	vm->cr3 = table_alloc(vm);
	guest_map(vm, 0, 0, 4 * PAGE_1G, PAGE_2M, PTE_P | PTE_W | PTE_U | PTE_A | PTE_D);
	gdt_init(vm);
	idt_init(vm);
}

void vm_set_handler(struct vm *vm, unsigned int vector, guest_handler_t fn)
{
	((guest_handler_t *)boot_hva(vm, BOOT_HANDLERS))[vector] = fn;
}
