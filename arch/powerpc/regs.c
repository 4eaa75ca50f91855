// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers for userspace: KVM_GET_REGS, KVM_SET_REGS, the SLB in KVM_GET_SREGS and
 * KVM_SET_SREGS, and KVM_ENABLE_CAP for PAPR.
 *
 * Locks: vcpu->mutex is held.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/reg.h>

#include "hpt/hpt.h"
#include "p9.h"

/* What a guest may have in its MSR; ME always is, HV never. */
#define MSR_GUEST (MSR_SF | MSR_VEC | MSR_VSX | MSR_EE | MSR_PR | MSR_FP | MSR_SE | MSR_BE | \
		   MSR_IR | MSR_DR | MSR_RI | MSR_LE)

static long get_regs(struct umbra_vcpu *vcpu, struct kvm_regs __user *user)
{
	struct p9_guest *guest = vcpu->arch.guest;
	struct kvm_regs regs = {
		.pc = guest->regs->nip, .cr = guest->regs->ccr, .ctr = guest->regs->ctr,
		.lr = guest->regs->link, .xer = guest->regs->xer, .msr = guest->shared->msr,
		.srr0 = guest->shared->srr0, .srr1 = guest->shared->srr1, .pid = guest->pid,
		.sprg0 = guest->shared->sprg0, .sprg1 = guest->shared->sprg1,
		.sprg2 = guest->shared->sprg2, .sprg3 = guest->shared->sprg3,
	};

	BUILD_BUG_ON(sizeof(regs.gpr) != sizeof(guest->regs->gpr));
	memcpy(regs.gpr, guest->regs->gpr, sizeof(regs.gpr));
	return copy_to_user(user, &regs, sizeof(regs)) ? -EFAULT : 0;
}

static long set_regs(struct umbra_vcpu *vcpu, const struct kvm_regs __user *user)
{
	struct p9_guest *guest = vcpu->arch.guest;
	struct kvm_regs regs;

	if (copy_from_user(&regs, user, sizeof(regs)))
		return -EFAULT;
	guest->regs->nip = regs.pc;
	guest->regs->ccr = regs.cr;
	guest->regs->ctr = regs.ctr;
	guest->regs->link = regs.lr;
	guest->regs->xer = regs.xer;
	guest->shared->msr = (regs.msr & MSR_GUEST) | MSR_ME;
	guest->shared->srr0 = regs.srr0;
	guest->shared->srr1 = regs.srr1;
	guest->shared->sprg0 = regs.sprg0;
	guest->shared->sprg1 = regs.sprg1;
	guest->shared->sprg2 = regs.sprg2;
	guest->shared->sprg3 = regs.sprg3;
	guest->pid = (u32)regs.pid;
	memcpy(guest->regs->gpr, regs.gpr, sizeof(regs.gpr));
	/* What was asked of userspace before is not answered into these. */
	vcpu->arch.mmio.len = 0;
	vcpu->arch.hcall = false;
	vcpu->arch.ceded = false;
	return 0;
}

static long get_sregs(struct umbra_vcpu *vcpu, struct kvm_sregs __user *user)
{
	struct kvm_sregs *sregs = kzalloc(sizeof(*sregs), GFP_KERNEL_ACCOUNT);
	unsigned int i;
	long ret;

	if (!sregs)
		return -ENOMEM;
	sregs->pvr = mfspr(SPRN_PVR);
	for (i = 0; i < P9_SLB_MAX; i++) {
		u64 slbe, slbv;

		p9_slb_get(vcpu->arch.guest, i, &slbe, &slbv);
		sregs->u.s.ppc64.slb[i].slbe = slbe;
		sregs->u.s.ppc64.slb[i].slbv = slbv;
	}
	ret = copy_to_user(user, sregs, sizeof(*sregs)) ? -EFAULT : 0;
	kfree(sregs);
	return ret;
}

/* The guest has the host's CPU: another PVR is refused. */
static long set_sregs(struct umbra_vcpu *vcpu, const struct kvm_sregs __user *user)
{
	struct kvm_sregs *sregs = memdup_user(user, sizeof(*sregs));
	unsigned int i;
	long ret = 0;

	if (IS_ERR(sregs))
		return PTR_ERR(sregs);
	if (sregs->pvr != mfspr(SPRN_PVR)) {
		ret = -EINVAL;
		goto free;
	}
	p9_slb_clear(vcpu->arch.guest);
	for (i = 0; i < P9_SLB_MAX; i++) {
		u64 slbe = sregs->u.s.ppc64.slb[i].slbe;

		if (slbe & SLB_ESID_V)
			p9_slb_set(vcpu->arch.guest, i, slbe & (ESID_MASK | SLB_ESID_V),
				   sregs->u.s.ppc64.slb[i].slbv);
	}
free:
	kfree(sregs);
	return ret;
}

static long one_reg(struct umbra_vcpu *vcpu, const struct kvm_one_reg __user *user, bool write)
{
	struct kvm_one_reg reg;

	if (copy_from_user(&reg, user, sizeof(reg)))
		return -EFAULT;
	return p9_one_reg(vcpu->arch.guest, &reg, write);
}

/* Hypercalls are PAPR's; that is said once, and changes nothing. */
static long enable_cap(const struct kvm_enable_cap __user *user)
{
	struct kvm_enable_cap cap;

	if (copy_from_user(&cap, user, sizeof(cap)))
		return -EFAULT;
	return cap.flags || cap.cap != KVM_CAP_PPC_PAPR ? -EINVAL : 0;
}

/**
 * power_regs_ioctl() - ioctls about registers
 * @vcpu: the vCPU, which has a guest; its mutex is held
 * @cmd: the ioctl
 * @argp: its argument
 *
 * Return: 0; -EFAULT; -ENOMEM; -EINVAL for a PVR that is not the host's, another
 * capability, or a register that there is not; -ENOTTY for another ioctl.
 */
long power_regs_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	switch (cmd) {
	case KVM_GET_REGS:
		return get_regs(vcpu, argp);
	case KVM_SET_REGS:
		return set_regs(vcpu, argp);
	case KVM_GET_SREGS:
		return get_sregs(vcpu, argp);
	case KVM_SET_SREGS:
		return set_sregs(vcpu, argp);
	case KVM_GET_ONE_REG:
	case KVM_SET_ONE_REG:
		return one_reg(vcpu, argp, cmd == KVM_SET_ONE_REG);
	case KVM_ENABLE_CAP:
		return enable_cap(argp);
	default:
		return -ENOTTY;
	}
}
