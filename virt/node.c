// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioctls of the device node: what this host offers, and the making of VMs.
 *
 * A capability is announced only when what it stands for works.
 */
#include <linux/cpumask.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/uaccess.h>
#include <umbra/arch.h>
#include <umbra/counters.h>
#include "virt.h"

static long mmu_modes(void)
{
	long modes = 0;
	u32 mode;

	for (mode = UMBRA_MMU_TDP; mode <= UMBRA_MMU_HPT; mode++)
		if (umbra_arch_mmu_ops(mode))
			modes |= 1L << mode;
	return modes;
}

/**
 * umbra_check_extension() - KVM_CHECK_EXTENSION
 * @vm: the VM, or NULL on the node
 * @ext: KVM_CAP_* or UMBRA_CAP_*
 *
 * Return: the capability's value; 0 for one that does not work.
 */
long umbra_check_extension(struct umbra_vm *vm, long ext)
{
	switch (ext) {
	case KVM_CAP_USER_MEMORY:
	case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
	case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
	case KVM_CAP_READONLY_MEM:
	case KVM_CAP_SYNC_MMU:
	case KVM_CAP_CHECK_EXTENSION_VM:
	case KVM_CAP_IMMEDIATE_EXIT:
	case KVM_CAP_ENABLE_CAP_VM:
	case KVM_CAP_IOEVENTFD:
	case KVM_CAP_IOEVENTFD_ANY_LENGTH:
	case KVM_CAP_COALESCED_PIO:
	case KVM_CAP_BINARY_STATS_FD:
	case UMBRA_CAP_AUDIT:
		return 1;
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		/* An architecture without a place for it in the mapping has none. */
		return KVM_DIRTY_LOG_PAGE_OFFSET ?
			UMBRA_RING_MAX * sizeof(struct kvm_dirty_gfn) : 0;
	case KVM_CAP_COALESCED_MMIO:
		return UMBRA_VCPU_OWN_PAGES;
	case KVM_CAP_NR_MEMSLOTS:
		return UMBRA_MEMSLOTS_MAX;
	case KVM_CAP_NR_VCPUS:
		return min_t(long, num_online_cpus(), UMBRA_VCPUS_MAX);
	case KVM_CAP_MAX_VCPUS:
	case KVM_CAP_MAX_VCPU_ID:
		return UMBRA_VCPUS_MAX;
	case UMBRA_CAP_MMU:
		return mmu_modes();
	case UMBRA_CAP_TEST_HOOK:
		return UMBRA_HAS_HOOKS;
	default:
		return umbra_arch_check_extension(vm, ext);
	}
}

static long get_counters(struct umbra_counters __user *user)
{
	struct umbra_counters counters;
	int err = umbra_counters_read(&counters);

	if (err)
		return err;
	return copy_to_user(user, &counters, sizeof(counters)) ? -EFAULT : 0;
}

static long node_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case KVM_GET_API_VERSION:
		return arg ? -EINVAL : KVM_API_VERSION;
	case KVM_CREATE_VM:
		/* The only type of VM is 0. */
		return arg ? -EINVAL : umbra_vm_create();
	case KVM_CHECK_EXTENSION:
		return umbra_check_extension(NULL, arg);
	case KVM_GET_VCPU_MMAP_SIZE:
		return arg ? -EINVAL : UMBRA_VCPU_MMAP_PAGES * PAGE_SIZE;
	case UMBRA_COUNTERS:
		return get_counters((void __user *)arg);
	default:
		return umbra_arch_dev_ioctl(cmd, arg);
	}
}

const struct file_operations umbra_node_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = node_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};
