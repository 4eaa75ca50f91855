// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is measured through the guest's own page tables: base pages behind 4-level
 * tables, changes of their entries, changes of CR3, and no paging at all.
 */
#include <string.h>

#include "bench.h"
#include "paging.h"

/* Where the guest maps the memory once more, by base pages. */
#define ALIAS	0x8000000000UL
#define CHANGES	512UL
#define SWITCHES 512UL

/* The memory by base pages, each with what @flags say besides P, W and A. */
static void map_alias(struct machine *m, u64 flags)
{
	machine_start(m, PRESENT);
	guest_map(m->vm, ALIAS, (u64)m->mem, m->size, PAGE_4K, PTE_P | PTE_W | PTE_A | flags);
}

static u64 alias_loop(struct machine *m, void (*fn)(void *loop))
{
	u8 *mem = m->mem;
	u64 ticks;

	m->mem = (u8 *)ALIAS;
	ticks = machine_loop(m, fn, PAGE_4K, PAGES);
	m->mem = mem;
	return ticks;
}

void bench_paged_touch(void)
{
	struct machine m;
	double first;

	map_alias(&m, PTE_D);
	first = alias_loop(&m, guest_write_loop);
	report(ROW_PAGED_TOUCH, (first - alias_loop(&m, guest_write_loop)) / PAGES);
}

void bench_paged_upgrade(void)
{
	struct machine m;
	double first;

	map_alias(&m, 0);
	alias_loop(&m, guest_read_loop);
	first = alias_loop(&m, guest_write_loop);
	report(ROW_PAGED_UPGRADE, (first - alias_loop(&m, guest_write_loop)) / PAGES);
}

void bench_pte_change(void)
{
	struct machine m;
	u64 *pte;

	map_alias(&m, PTE_D);
	alias_loop(&m, guest_write_loop);
	pte = guest_pte(m.vm, ALIAS, NULL);
	m.loop_extra = (u64)pte - (u64)m.vm->boot;
	m.mem = (u8 *)ALIAS;
	report(ROW_PTE_CHANGE, (double)machine_loop(&m, guest_pte_loop, 0, CHANGES) / CHANGES);
}

void bench_cr3(void)
{
	struct machine m;
	u64 second;

	machine_start(&m, PRESENT);
	second = m.vm->next_table;
	m.vm->next_table += PAGE_4K;
	memcpy(boot_hva(m.vm, second), boot_hva(m.vm, m.vm->cr3), PAGE_4K);
	m.loop_extra = second;
	m.mem = (u8 *)m.vm->cr3;
	report(ROW_CR3, (double)machine_loop(&m, guest_cr3_loop, 0, SWITCHES) / SWITCHES);
}

/*
 * 32-bit code without paging: EDI is the address, ECX the count. The time is left in
 * EAX, low word of the difference, when the port is written to.
 */
static const u8 unpaged_loop[] = {
	0x0f, 0x31,			/* rdtsc */
	0x89, 0xc3,			/* mov %eax, %ebx */
	0x89, 0x3f,			/* 1: mov %edi, (%edi) */
	0x81, 0xc7, 0, 0x10, 0, 0,	/* add $0x1000, %edi */
	0x49,				/* dec %ecx */
	0x75, 0xf5,			/* jnz 1b */
	0x0f, 0x31,			/* rdtsc */
	0x29, 0xd8,			/* sub %ebx, %eax */
	0xe7, 0x42,			/* out %eax, $0x42 */
};

#define UNPAGED_CODE 0x8000

static u32 run_unpaged(struct machine *m)
{
	struct kvm_regs regs;

	vcpu_start_protected(m->vcpu, UNPAGED_CODE, 0xf000);
	vcpu_get_regs(m->vcpu, &regs);
	regs.rdi = (u64)m->mem;
	regs.rcx = PAGES;
	vcpu_set_regs(m->vcpu, &regs);
	if (vcpu_run(m->vcpu) || m->vcpu->run->exit_reason != KVM_EXIT_IO)
		die("unpaged: %s", vcpu_exit_name(m->vcpu));
	return *(u32 *)((u8 *)m->vcpu->run + m->vcpu->run->io.data_offset);
}

void bench_unpaged(void)
{
	struct machine m;
	double first;

	machine_start(&m, PRESENT);
	memcpy(boot_hva(m.vm, UNPAGED_CODE), unpaged_loop, sizeof(unpaged_loop));
	first = run_unpaged(&m);
	report(ROW_UNPAGED, (first - run_unpaged(&m)) / PAGES);
}
