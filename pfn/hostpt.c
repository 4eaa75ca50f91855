// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's page tables, read in place.
 *
 * Nothing is taken: no lock of the host's, no page reference. Two things make that
 * safe, and both are the caller's or this file's to keep:
 * - The tables themselves do not go away while interrupts are off on a CPU that
 *   runs the mm, the rule that get_user_pages_fast() lives by.
 * - What an entry says stays true while the caller holds mmu->lock and no
 *   invalidation that covers the address is in progress: the host announces each
 *   change of a present entry before it makes it, and that needs the lock.
 *
 * Only ordinary pages are reported as present. Special, device and poisoned
 * entries are left to umbra_pfn_get(), as are those the process itself could not
 * use at the moment (NUMA hinting, protection keys).
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <umbra/compat.h>
#include <umbra/pfn.h>

static void read_ptes(pte_t *ptep, struct umbra_host_page *page, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		pte_t pte = ptep_get(ptep + i);

		page[i].present = pte_present(pte) && pte_access_permitted(pte, false) &&
				  !pte_devmap(pte) &&
				  (!pte_special(pte) || is_zero_pfn(pte_pfn(pte)));
		if (!page[i].present)
			continue;
		page[i].pfn = pte_pfn(pte);
		page[i].writable = pte_access_permitted(pte, true);
	}
}

static void fill_from_leaf(struct umbra_host_page *page, unsigned int count,
			   bool present, u64 pfn, bool writable)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		page[i].present = present;
		page[i].pfn = pfn + i;
		page[i].writable = writable;
	}
}

static int scan_from_pmd(pmd_t *pmdp, unsigned long hva,
			 struct umbra_host_page *page, unsigned int count)
{
	pmd_t pmd = READ_ONCE(*pmdp);

	if (pmd_none(pmd) || !pmd_present(pmd))
		return 0;
	if (pmd_leaf(pmd)) {
		fill_from_leaf(page, count,
			       pmd_access_permitted(pmd, false) &&
			       !pmd_devmap(pmd) && !pmd_special(pmd),
			       pmd_pfn(pmd) + ((hva & ~PMD_MASK) >> PAGE_SHIFT),
			       pmd_access_permitted(pmd, true));
		return UMBRA_LEVEL_2M;
	}
	if (pmd_bad(pmd))
		return 0;
	read_ptes(pte_offset_kernel(&pmd, hva), page, count);
	return UMBRA_LEVEL_4K;
}

static int scan_from_pgd(struct mm_struct *mm, unsigned long hva,
			 struct umbra_host_page *page, unsigned int count)
{
	pgd_t pgd = READ_ONCE(*pgd_offset(mm, hva));
	p4d_t p4d;
	pud_t pud;

	if (pgd_none(pgd) || pgd_bad(pgd))
		return 0;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || p4d_bad(p4d))
		return 0;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		return 0;
	if (pud_leaf(pud)) {
		fill_from_leaf(page, count,
			       pud_access_permitted(pud, false) &&
			       !pud_devmap(pud) && !pud_special(pud),
			       pud_pfn(pud) + ((hva & ~PUD_MASK) >> PAGE_SHIFT),
			       pud_access_permitted(pud, true));
		return UMBRA_LEVEL_1G;
	}
	if (pud_bad(pud))
		return 0;
	return scan_from_pmd(pmd_offset(&pud, hva), hva, page, count);
}

/**
 * umbra_hostpt_scan() - what the host has at some neighbouring addresses
 * @mm: the process's memory, which is current->mm or whose mmap_lock is held for
 *	writing; the caller also holds mmu->lock and has asked
 *	umbra_notifier_covers() for the range
 * @hva: first host virtual address, page aligned
 * @page: filled in for each page; ->present false where the host has nothing that
 *	can be mapped without asking it
 * @count: pages; the range must not cross a 2M boundary of @hva
 *
 * Return: level of the host's mapping of @hva; 0 when there is none, and @page is
 * then not filled in.
 */
int umbra_hostpt_scan(struct mm_struct *mm, unsigned long hva,
		      struct umbra_host_page *page, unsigned int count)
{
	unsigned long flags;
	int level;

	local_irq_save(flags);
	level = scan_from_pgd(mm, hva, page, count);
	local_irq_restore(flags);
	return level;
}
