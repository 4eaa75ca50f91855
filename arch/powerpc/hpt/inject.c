// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls and accesses by hand, for hosts on which no guest can run and for tests: a
 * CPU in software, which knows nothing of the table but what the architecture says (Power
 * ISA 2.06 book III-S, 5.7.7).
 *
 * Locks: mmu->lock is held for reading around walk and access, so that the page stays.
 */
#include <linux/uaccess.h>
#include <asm/reg.h>

#include "hpt.h"

/* A CPU sets R and C with a store to each one's byte. */
static void note(struct umbra_hpt *hpt, unsigned long index, bool store)
{
	u8 *r = (u8 *)&hpt->entries[2 * index + 1];

	WRITE_ONCE(r[6], READ_ONCE(r[6]) | HPTE_R_R >> 8);
	if (store)
		WRITE_ONCE(r[7], READ_ONCE(r[7]) | HPTE_R_C);
}

static int make_access(struct umbra_hpt *hpt, unsigned long index, u64 host,
		       struct umbra_hpt_access *a)
{
	if (!pfn_valid(host >> PAGE_SHIFT))
		return -EFAULT;
	note(hpt, index, a->flags & UMBRA_HPT_STORE);
	if (a->flags & UMBRA_HPT_STORE)
		WRITE_ONCE(*(u64 *)__va(host), a->data);
	else
		a->data = READ_ONCE(*(u64 *)__va(host));
	a->result = UMBRA_HPT_DONE;
	return 0;
}

/*
 * As the hardware does it: 0 when the access was made; -EAGAIN with @access->missing set
 * or not when it interrupts.
 */
static int hardware(struct umbra_mmu *mmu, struct umbra_hpt_access *a,
		    struct hpt_access *access)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	struct hpt_key key;
	struct hpte h;
	u64 guest_r, page;
	int ret = -EAGAIN;
	long index;

	access->missing = true;
	if (!hpt_make_key(hpt, a->ea, a->slbv, &key))
		return ret;
	read_lock(&mmu->lock);
	index = hpt_find(hpt, &key, HPTE_V_VALID, &h, &guest_r);
	if (index >= 0) {
		access->missing = false;
		page = (1UL << hpte_shift(h.v, h.r)) - 1;
		if (!hpt_denies(access, h.r)) {
			a->gpa = (guest_r & HPTE_R_RPN & ~page) | (a->ea & page);
			ret = make_access(hpt, index, (h.r & HPTE_R_RPN_3_0 & ~page) |
					  (a->ea & page), a);
		}
		hpte_unlock(hpt, index);
	}
	read_unlock(&mmu->lock);
	return ret;
}

static long access_once(struct umbra_vcpu *vcpu, struct umbra_hpt_access *a)
{
	struct hpt_access access = {
		.ea = a->ea, .slbv = a->slbv, .amr = a->amr,
		.store = a->flags & UMBRA_HPT_STORE,
		.fetch = a->flags & UMBRA_HPT_FETCH,
		.user = a->flags & UMBRA_HPT_USER,
	};
	int ret;

	a->gpa = 0;
	a->cause = 0;
	ret = hardware(&vcpu->vm->mmu, a, &access);
	if (ret != -EAGAIN)
		return ret;
	ret = hpt_fault(vcpu, &access, &a->cause, &a->gpa);
	if (ret < 0)
		return ret;
	a->result = ret == HPT_MMIO ? UMBRA_HPT_MMIO :
		    ret == HPT_REFLECT ? UMBRA_HPT_REFLECT : UMBRA_HPT_RETRY;
	if (ret != HPT_REFLECT)
		a->cause = 0;
	return 0;
}

static long inject_access(struct umbra_vcpu *vcpu, struct umbra_hpt_access __user *user)
{
	const u32 known = UMBRA_HPT_STORE | UMBRA_HPT_FETCH | UMBRA_HPT_USER;
	struct umbra_hpt_access a;
	long ret;

	if (copy_from_user(&a, user, sizeof(a)))
		return -EFAULT;
	if ((a.flags & ~known) || (a.ea & 7) ||
	    ((a.flags & UMBRA_HPT_STORE) && (a.flags & UMBRA_HPT_FETCH)))
		return -EINVAL;
	umbra_vcpu_srcu_lock(vcpu);
	ret = access_once(vcpu, &a);
	umbra_vcpu_srcu_unlock(vcpu);
	if (ret)
		return ret;
	return copy_to_user(user, &a, sizeof(a)) ? -EFAULT : 0;
}

static long inject_hcall(struct umbra_vcpu *vcpu, struct umbra_hpt_hcall __user *user)
{
	struct umbra_hpt_hcall call;
	bool served;

	if (copy_from_user(&call, user, sizeof(call)))
		return -EFAULT;
	umbra_vcpu_srcu_lock(vcpu);
	served = hpt_hcall(vcpu, call.gpr);
	umbra_vcpu_srcu_unlock(vcpu);
	if (!served)
		return -EINVAL;
	umbra_audit_after(&vcpu->vm->mmu, "hypercall");
	return copy_to_user(user, &call, sizeof(call)) ? -EFAULT : 0;
}

/**
 * hpt_inject_ioctl() - UMBRA_HPT_HCALL and UMBRA_HPT_ACCESS
 * @vcpu: the vCPU; its mutex is held
 * @cmd: the ioctl
 * @argp: its argument
 *
 * Sleeps. Return: as include/uapi/umbra.h says; -ENOTTY for another ioctl.
 */
long hpt_inject_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	switch (cmd) {
	case UMBRA_HPT_HCALL:
		return inject_hcall(vcpu, argp);
	case UMBRA_HPT_ACCESS:
		return inject_access(vcpu, argp);
	default:
		return -ENOTTY;
	}
}
