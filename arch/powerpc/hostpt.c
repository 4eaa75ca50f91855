// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's page tables, read in place: umbra_hostpt_scan() of <umbra/pfn.h>, for hosts
 * with radix and with hashed translation, whose trees are told apart by the kernel. What
 * makes it safe is said in pfn/hostpt.c.
 */
#include <linux/mm.h>
#include <umbra/compat.h>
#include <umbra/pfn.h>
#include <asm/pte-walk.h>

#define PTE_PKEYS (H_PTE_PKEY_BIT4 | H_PTE_PKEY_BIT3 | H_PTE_PKEY_BIT2 | \
		   H_PTE_PKEY_BIT1 | H_PTE_PKEY_BIT0)

static bool may_map(pte_t pte)
{
	/* What a protection key guards is left to who knows the process's keys. */
	return pte_present(pte) && pte_read(pte) && !pte_devmap(pte) &&
	       !(pte_val(pte) & PTE_PKEYS) &&
	       (!pte_special(pte) || is_zero_pfn(pte_pfn(pte)));
}

static int level_of(unsigned int shift)
{
	if (!shift || shift == PAGE_SHIFT)
		return UMBRA_LEVEL_4K;
	if (shift >= PUD_SHIFT)
		return UMBRA_LEVEL_1G;
	return shift >= PMD_SHIFT ? UMBRA_LEVEL_2M : UMBRA_LEVEL_4K;
}

static __always_inline int scan_one(struct mm_struct *mm, unsigned long hva,
				    struct umbra_host_page *page)
{
	unsigned int shift = 0;
	pte_t *ptep = __find_linux_pte(mm->pgd, hva, NULL, &shift);
	pte_t pte;

	page->present = false;
	if (!ptep)
		return 0;
	pte = READ_ONCE(*ptep);
	page->present = may_map(pte);
	if (!page->present)
		return level_of(shift);
	page->pfn = pte_pfn(pte);
	if (shift > PAGE_SHIFT)
		page->pfn += (hva & ((1UL << shift) - 1)) >> PAGE_SHIFT;
	page->writable = pte_write(pte);
	return level_of(shift);
}

/* Apart, for the sake of those who ask for one page, as nearly all do. */
static noinline void scan_rest(struct mm_struct *mm, unsigned long hva,
			       struct umbra_host_page *page, unsigned int count)
{
	unsigned int i;

	for (i = 1; i < count; i++)
		scan_one(mm, hva + ((unsigned long)i << PAGE_SHIFT), &page[i]);
}

int umbra_hostpt_scan(struct mm_struct *mm, unsigned long hva,
		      struct umbra_host_page *page, unsigned int count)
{
	unsigned long flags;
	int level;

	local_irq_save(flags);
	level = scan_one(mm, hva, page);
	if (unlikely(count > 1))
		scan_rest(mm, hva, page, count);
	local_irq_restore(flags);
	return level;
}
