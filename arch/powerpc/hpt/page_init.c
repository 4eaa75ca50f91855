// SPDX-License-Identifier: GPL-2.0-only
/*
 * Filling and copying pages for the guest (PAPR 14.5.4.1: H_PAGE_INIT, and H_ENTER's
 * H_ZERO_PAGE), by way of the process's mapping of them.
 */
#include <linux/uaccess.h>
#include <asm/hvcall.h>

#include "hpt.h"

static int clear(void __user *to, void *arg)
{
	const unsigned long *len = arg;

	return __clear_user(to, *len) ? -EFAULT : 0;
}

/**
 * hpt_zero_memory() - fill guest memory with zeroes
 * @vcpu: the vCPU that asked for it; mmu->srcu held
 * @gpa: guest physical address
 * @len: bytes; may cross pages and slots
 *
 * Sleeps. Return: H_SUCCESS; H_PARAMETER where no writable memory is, and what came before
 * it is filled then.
 */
long hpt_zero_memory(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned long len)
{
	while (len) {
		unsigned long n = min(len, PAGE_SIZE - offset_in_page(gpa));
		struct umbra_memslot *slot;

		slot = umbra_memslots_find(umbra_mmu_slots(vcpu->mmu.mmu), gpa >> PAGE_SHIFT);
		if (!slot || umbra_slot_readonly(slot) ||
		    umbra_guest_update(&vcpu->mmu, slot, gpa, n, clear, &n))
			return H_PARAMETER;
		gpa += n;
		len -= n;
	}
	return H_SUCCESS;
}

static long copy_memory(struct umbra_vcpu *vcpu, gpa_t to, gpa_t from)
{
	void *page = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	long ret = H_SUCCESS;

	if (!page)
		return H_RESOURCE;
	if (umbra_guest_read(&vcpu->vm->mmu, from, page, 4096) ||
	    umbra_guest_write(&vcpu->mmu, to, page, 4096))
		ret = H_PARAMETER;
	free_page((unsigned long)page);
	return ret;
}

/**
 * hpt_page_init() - H_PAGE_INIT: flags, destination, source: 4K pages of real memory
 * @vcpu: the vCPU; mmu->srcu held
 * @gpr: R3 onwards
 *
 * Sleeps. Return: H_SUCCESS; H_PARAMETER for an unknown flag, an address that is not one of
 * a page, or no memory there; H_RESOURCE without memory in the host.
 */
long hpt_page_init(struct umbra_vcpu *vcpu, u64 *gpr)
{
	const u64 known = H_ICACHE_INVALIDATE | H_ICACHE_SYNCHRONIZE | H_ZERO_PAGE |
			  H_COPY_PAGE | H_PAGE_SET_LOANED;
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	u64 flags = gpr[1], to = gpr[2], from = gpr[3];

	if ((flags & ~known) || (to & 0xfff) ||
	    !umbra_memslots_find(umbra_mmu_slots(mmu), to >> PAGE_SHIFT))
		return H_PARAMETER;
	if (flags & H_COPY_PAGE)
		return from & 0xfff ? H_PARAMETER : copy_memory(vcpu, to, from);
	if (flags & H_ZERO_PAGE)
		return hpt_zero_memory(vcpu, to, 4096);
	return H_SUCCESS;
}
