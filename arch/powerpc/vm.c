// SPDX-License-Identifier: GPL-2.0-only
/*
 * What KVM's ABI has for a VM on POWER: its table, and what this CPU can do for one.
 */
#include <linux/uaccess.h>
#include <umbra/arch.h>

#include "hpt/hpt.h"
#include "p9.h"

/* What hpte_shift() and slb_base_shift() know. */
static const struct kvm_ppc_one_seg_page_size segments[] = {
	{ .page_shift = 12, .enc = { { 12, 0 }, { 16, 7 }, { 24, 0x38 } } },
	{ .page_shift = 16, .slb_enc = SLB_VSID_L | SLB_VSID_LP_01,
	  .enc = { { 16, 1 }, { 24, 8 } } },
	{ .page_shift = 24, .slb_enc = SLB_VSID_L, .enc = { { 24, 0 } } },
};

static long allocate_htab(struct umbra_vm *vm, u32 __user *user)
{
	u32 order;
	int err;

	if (get_user(order, user))
		return -EFAULT;
	err = hpt_allocate(&vm->mmu, &order);
	if (err)
		return err;
	return put_user(order, user);
}

static long get_htab_fd(struct umbra_vm *vm, const struct kvm_get_htab_fd __user *user)
{
	struct kvm_get_htab_fd request;

	if (copy_from_user(&request, user, sizeof(request)))
		return -EFAULT;
	return hpt_htab_fd(vm, &request);
}

static long resize_hpt(struct umbra_vm *vm, const struct kvm_ppc_resize_hpt __user *user,
		       int (*step)(struct umbra_mmu *mmu, unsigned int order))
{
	struct kvm_ppc_resize_hpt request;

	if (copy_from_user(&request, user, sizeof(request)))
		return -EFAULT;
	if (request.flags || request.pad)
		return -EINVAL;
	return step(&vm->mmu, request.shift);
}

/* A guest page is mapped only where the host has as large a one (hpt_host_serves()). */
static long get_smmu_info(struct kvm_ppc_smmu_info __user *user)
{
	struct kvm_ppc_smmu_info info = {
		.flags = KVM_PPC_PAGE_SIZES_REAL | KVM_PPC_1T_SEGMENTS,
		.slb_size = P9_SLB_MAX,
		.data_keys = 32,
		.instr_keys = p9_available() ? 32 : 0,
	};

	BUILD_BUG_ON(sizeof(segments) > sizeof(info.sps));
	memcpy(info.sps, segments, sizeof(segments));
	return copy_to_user(user, &info, sizeof(info)) ? -EFAULT : 0;
}

/**
 * power_vm_ioctl() - ioctls of a VM that only POWER has
 * @vm: the VM
 * @cmd: the ioctl
 * @argp: its argument
 *
 * Sleeps. Return: as Documentation/api.rst says; -ENOTTY for another.
 */
long power_vm_ioctl(struct umbra_vm *vm, unsigned int cmd, void __user *argp)
{
	switch (cmd) {
	case KVM_PPC_ALLOCATE_HTAB:
		return allocate_htab(vm, argp);
	case KVM_PPC_GET_HTAB_FD:
		return get_htab_fd(vm, argp);
	case KVM_PPC_RESIZE_HPT_PREPARE:
		return resize_hpt(vm, argp, hpt_resize_prepare);
	case KVM_PPC_RESIZE_HPT_COMMIT:
		return resize_hpt(vm, argp, hpt_resize_commit);
	case KVM_PPC_GET_SMMU_INFO:
		return get_smmu_info(argp);
	default:
		return -ENOTTY;
	}
}
