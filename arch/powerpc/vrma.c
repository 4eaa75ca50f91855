// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real mode of a guest: the hardware translates it as though it were one segment of 1T,
 * the virtual real mode area (Power ISA 2.06 book III-S, 5.7.3.4), by HPTEs that the host
 * enters into the guest's table, bolted, in the last places of their groups.
 */
#include <umbra/mmu.h>
#include <asm/hvcall.h>

#include "hpt/hpt.h"
#include "p9.h"

/* No guest's own segment has this number (PAPR). */
#define VRMA_VSID_UMBRA 0x1ffffffUL
/* As much of it as is ever needed before the guest has its own translations. */
#define VRMA_MAX (256UL << 20)

/* The segment, as the second doubleword of an SLB entry. */
u64 vrma_slbv(void)
{
	u64 size = PAGE_SHIFT == 16 ? SLB_VSID_L | SLB_VSID_LP_01 : 0;

	return SLB_VSID_B_1T | VRMA_VSID_UMBRA << SLB_VSID_SHIFT_1T | size;
}

static int enter_one(struct umbra_vcpu *vcpu, u64 addr)
{
	struct umbra_hpt *hpt = &vcpu->vm->mmu.arch.hpt;
	u64 large = PAGE_SHIFT == 16 ? HPTE_V_LARGE : 0;
	struct hpt_key key;
	struct hpte h;
	u64 index;
	long ret, at;

	if (!hpt_make_key(hpt, addr, vrma_slbv(), &key))
		return -EINVAL;
	index = (key.hash & hpt_hash_mask(hpt)) * HPTES_PER_GROUP + HPTES_PER_GROUP - 1;
	h.v = key.v | HPTE_V_BOLTED | large;
	h.r = addr | (large ? 0x1000 : 0) | HPTE_R_M | HPTE_R_R | HPTE_R_C;
	ret = hpt_enter(&vcpu->vm->mmu, H_EXACT, index, h, &at);
	/* Full: it is the guest's, or its own from before. Else: the table has shrunk since. */
	return ret == H_SUCCESS || ret == H_PTEG_FULL || ret == H_PARAMETER ? 0 : -ENOMEM;
}

static int enter_all(struct umbra_vcpu *vcpu)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	struct umbra_memslot *slot = umbra_memslots_find(umbra_mmu_slots(mmu), 0);
	u64 addr, size;
	int err = 0;

	if (!slot)
		return -EINVAL;
	/* One place of each group, at most. */
	size = min3((u64)slot->npages << PAGE_SHIFT, (u64)VRMA_MAX,
		    (u64)(hpt_hash_mask(&mmu->arch.hpt) + 1) << PAGE_SHIFT);
	for (addr = 0; addr < size && !err; addr += PAGE_SIZE)
		err = enter_one(vcpu, addr);
	return err;
}

/**
 * vrma_setup() - make a guest's real mode work, and tell the hardware of its table
 * @vcpu: the vCPU that is about to run; mmu->srcu held
 *
 * Once for each table; later it does nothing. Sleeps. Return: 0; -ENOMEM; -EINVAL without
 * memory at guest address 0.
 */
int vrma_setup(struct umbra_vcpu *vcpu)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	unsigned long gen;
	int err;

	while (!READ_ONCE(mmu->arch.vrma)) {
		gen = READ_ONCE(mmu->arch.hpt_gen);
		err = enter_all(vcpu);
		if (err)
			return err;
		write_lock(&mmu->lock);
		/* Another table may have come meanwhile, which has none of them. */
		if (!mmu->arch.vrma && mmu->arch.hpt_gen == gen) {
			p9_partition_set_table(vcpu->vm, vrma_slbv());
			hpt_flush_all(mmu);
			WRITE_ONCE(mmu->arch.vrma, true);
		}
		write_unlock(&mmu->lock);
	}
	return 0;
}
