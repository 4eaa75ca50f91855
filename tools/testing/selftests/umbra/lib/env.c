// SPDX-License-Identifier: GPL-2.0-only
/*
 * An address space with tables and data for a test of paging.
 */
#include <sys/ioctl.h>

#include "env.h"

struct env *env_new(struct vm *vm)
{
	struct env *e = vm_mem(vm, PAGE_4K);
	u64 i;

	e->t.next = (u64)vm_mem(vm, TABLES_SIZE);
	e->t.end = e->t.next + TABLES_SIZE;
	e->data = (u64)vm_mem(vm, DATA_PAGES * PAGE_4K);
	for (i = 0; i < DATA_PAGES; i++)
		*(u64 *)(e->data + i * PAGE_4K) = 100 + i;
	e->identity = *(u64 *)boot_hva(vm, vm->cr3);
	e->root = root_new(&e->t, e->identity);
	e->pte = table_entry(&e->t, e->root, GVA, 1);
	return e;
}

void guest_use_as_root(const struct env *e, u64 *table)
{
	pte_write(table, e->identity);
	guest_write_cr3((u64)table);
	guest_write_cr3(e->root);
}

void guest_expect(u64 gva, bool write, u64 want)
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

bool shadow_mode(struct vm *vm)
{
	struct umbra_mmu_config cfg;

	return !ioctl(vm->fd, UMBRA_GET_MMU, &cfg) && cfg.mode == UMBRA_MMU_SHADOW;
}
