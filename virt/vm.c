// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VM: birth, references, death, and the ioctls on its descriptor.
 *
 * Invariants
 * - The VM's own descriptor and each vCPU's hold one reference. What a VM holds goes
 *   when the last one is given back, in the context of that close, and is freed
 *   when it returns: debugfs first, which waits for its readers; what sends
 *   interrupts; the vCPUs' parts, the MMU, the vCPUs themselves (a flush may look at
 *   them until the MMU has left the notifier), the architecture, the hardware.
 * - The ioctls work only for the process whose memory the VM maps (-EIO).
 */
#include <linux/anon_inodes.h>
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/idr.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/syscore_ops.h>
#include <linux/uaccess.h>
#include <umbra/arch.h>
#include <umbra/counters.h>
#include "virt.h"

static DEFINE_IDA(vm_ids);

static void vm_destroy(struct kref *users)
{
	struct umbra_vm *vm = container_of(users, struct umbra_vm, users);
	struct umbra_vcpu *vcpu;
	unsigned long i;

	umbra_counters_vm_dying();
	debugfs_remove_recursive(vm->debugfs);
	umbra_arch_vm_stop(vm);
	xa_for_each(&vm->vcpus, i, vcpu)
		umbra_vcpu_stop(vcpu);
	umbra_mmu_destroy(&vm->mmu);
	xa_for_each(&vm->vcpus, i, vcpu)
		umbra_vcpu_free(vcpu);
	xa_destroy(&vm->vcpus);
	umbra_bus_destroy(&vm->bus);
	umbra_arch_vm_destroy(vm);
	umbra_arch_disable();
	ida_free(&vm_ids, vm->id);
	umbra_counters_vm_dead(vm);
	kfree(vm);
}

void umbra_vm_get(struct umbra_vm *vm)
{
	kref_get(&vm->users);
}

/* The last one sleeps until all that the VM held is freed. */
void umbra_vm_put(struct umbra_vm *vm)
{
	kref_put(&vm->users, vm_destroy);
}

static int vm_release(struct inode *inode, struct file *file)
{
	umbra_vm_put(file->private_data);
	return 0;
}

static long set_mmu(struct umbra_vm *vm, const struct umbra_mmu_config __user *user)
{
	struct umbra_mmu_config config;

	if (copy_from_user(&config, user, sizeof(config)))
		return -EFAULT;
	if (config.reserved[0] || config.reserved[1])
		return -EINVAL;
	return umbra_mmu_configure(&vm->mmu, config.mode, config.policy);
}

static long get_mmu(struct umbra_vm *vm, struct umbra_mmu_config __user *user)
{
	struct umbra_mmu_config config = {};

	mutex_lock(&vm->mmu.slots_lock);
	config.mode = vm->mmu.mode;
	config.policy = vm->mmu.policy;
	mutex_unlock(&vm->mmu.slots_lock);
	return copy_to_user(user, &config, sizeof(config)) ? -EFAULT : 0;
}

static long audit(struct umbra_vm *vm, struct umbra_audit __user *user)
{
	struct umbra_audit verdict = {};
	int err;

	/* It holds mmu->lock as long as it takes, and the host waits for that lock. */
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	err = umbra_audit(&vm->mmu, &verdict);

	if (err)
		return err;
	return copy_to_user(user, &verdict, sizeof(verdict)) ? -EFAULT : 0;
}

static void describe_slot(const struct umbra_memslot *slot, gfn_t gfn,
			  struct umbra_gfn_info *info)
{
	info->flags = UMBRA_GFN_SLOT;
	if (umbra_slot_readonly(slot))
		info->flags |= UMBRA_GFN_READONLY;
	if (umbra_slot_logs(slot))
		info->flags |= UMBRA_GFN_LOGGED;
	info->slot = slot->id;
	info->hva = umbra_slot_hva(slot, gfn);
}

static long gfn_info(struct umbra_vm *vm, struct umbra_gfn_info __user *user)
{
	struct umbra_mmu *mmu = &vm->mmu;
	struct umbra_gfn_info info = {};
	struct umbra_memslot *slot;
	int idx;

	if (get_user(info.gfn, &user->gfn))
		return -EFAULT;
	idx = srcu_read_lock(&mmu->srcu);
	if (info.gfn >= READ_ONCE(mmu->max_gfn)) {
		srcu_read_unlock(&mmu->srcu, idx);
		return -EINVAL;
	}
	slot = umbra_memslots_find(umbra_mmu_slots(mmu), info.gfn);
	if (slot)
		describe_slot(slot, info.gfn, &info);
	read_lock(&mmu->lock);
	mmu->ops->gfn_info(mmu, &info);
	read_unlock(&mmu->lock);
	srcu_read_unlock(&mmu->srcu, idx);

	/* Where memory lies in the host is the host's affair. */
	if (!capable(CAP_SYS_ADMIN)) {
		info.pfn = 0;
		info.spte = 0;
	}
	return copy_to_user(user, &info, sizeof(info)) ? -EFAULT : 0;
}

#ifdef UMBRA_TEST
#ifdef CONFIG_PM_SLEEP
/* What suspend to memory does when tasks, devices and the other CPUs are asleep. */
static int suspend_once(void)
{
	unsigned long flags;
	int ret = -EBUSY;

	local_irq_save(flags);
	if (num_online_cpus() == 1)
		ret = syscore_suspend();
	if (!ret)
		syscore_resume();
	local_irq_restore(flags);
	return ret;
}
#else
static int suspend_once(void)
{
	return -EOPNOTSUPP;
}
#endif

static long test_hook(struct umbra_vm *vm, const struct umbra_test_hook __user *user)
{
	struct umbra_mmu *mmu = &vm->mmu;
	struct umbra_test_hook hook;
	int ret;

	if (copy_from_user(&hook, user, sizeof(hook)))
		return -EFAULT;
	if (hook.pad)
		return -EINVAL;
	if (hook.hook == UMBRA_HOOK_SUSPEND)
		return suspend_once();
	write_lock(&mmu->lock);
	ret = mmu->ops->hook(mmu, &hook);
	write_unlock(&mmu->lock);
	return ret;
}
#else
static long test_hook(struct umbra_vm *vm, const struct umbra_test_hook __user *user)
{
	return -ENOTTY;
}
#endif

static long set_memory_region(struct umbra_vm *vm,
			      const struct kvm_userspace_memory_region __user *user)
{
	struct kvm_userspace_memory_region region;

	if (copy_from_user(&region, user, sizeof(region)))
		return -EFAULT;
	return umbra_set_memory_region(vm, &region);
}

static long get_dirty_log(struct umbra_vm *vm, const struct kvm_dirty_log __user *user)
{
	struct kvm_dirty_log log;

	if (copy_from_user(&log, user, sizeof(log)))
		return -EFAULT;
	return umbra_get_dirty_log(vm, &log);
}

static long clear_dirty_log(struct umbra_vm *vm,
			    const struct kvm_clear_dirty_log __user *user)
{
	struct kvm_clear_dirty_log log;

	if (copy_from_user(&log, user, sizeof(log)))
		return -EFAULT;
	return umbra_clear_dirty_log(vm, &log);
}

/* The second flag goes with the first. */
static long enable_manual_log(struct umbra_vm *vm, u64 flags)
{
	u64 all = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		all |= KVM_DIRTY_LOG_INITIALLY_SET;
	if (flags & ~all)
		return -EINVAL;
	mutex_lock(&vm->mmu.slots_lock);
	vm->manual_dirty_log = flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	vm->initially_set = flags & KVM_DIRTY_LOG_INITIALLY_SET;
	mutex_unlock(&vm->mmu.slots_lock);
	return 0;
}

/* @size: bytes of each ring. Once, and before the first vCPU. */
static long enable_rings(struct umbra_vm *vm, u64 size)
{
	long r = -EINVAL;

	if (!KVM_DIRTY_LOG_PAGE_OFFSET || !is_power_of_2(size) || size < PAGE_SIZE)
		return -EINVAL;
	if (size > UMBRA_RING_MAX * sizeof(struct kvm_dirty_gfn))
		return -E2BIG;
	mutex_lock(&vm->lock);
	if (!vm->nr_vcpus && !vm->ring_size) {
		vm->ring_size = size / sizeof(struct kvm_dirty_gfn);
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

/* What is the architecture's to enable is left to it. */
static long enable_cap(struct umbra_vm *vm, const struct kvm_enable_cap __user *user)
{
	struct kvm_enable_cap cap;

	if (copy_from_user(&cap, user, sizeof(cap)))
		return -EFAULT;
	if (cap.flags)
		return -EINVAL;
	switch (cap.cap) {
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return enable_manual_log(vm, cap.args[0]);
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		return enable_rings(vm, cap.args[0]);
	default:
		return umbra_arch_enable_cap(vm, &cap);
	}
}

static long ioeventfd(struct umbra_vm *vm, const struct kvm_ioeventfd __user *user)
{
	struct kvm_ioeventfd event;

	if (copy_from_user(&event, user, sizeof(event)))
		return -EFAULT;
	return umbra_ioeventfd(vm, &event);
}

static long coalesce(struct umbra_vm *vm, const struct kvm_coalesced_mmio_zone __user *user,
		     bool on)
{
	struct kvm_coalesced_mmio_zone zone;

	if (copy_from_user(&zone, user, sizeof(zone)))
		return -EFAULT;
	return umbra_coalesce(vm, &zone, on);
}

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct umbra_vm *vm = file->private_data;
	void __user *user = (void __user *)arg;

	if (vm->mmu.mm != current->mm)
		return -EIO;
	switch (cmd) {
	case KVM_CREATE_VCPU:
		return umbra_vcpu_create(vm, arg);
	case KVM_CHECK_EXTENSION:
		return umbra_check_extension(vm, arg);
	case KVM_SET_USER_MEMORY_REGION:
		return set_memory_region(vm, user);
	case KVM_GET_DIRTY_LOG:
		return get_dirty_log(vm, user);
	case KVM_CLEAR_DIRTY_LOG:
		return clear_dirty_log(vm, user);
	case KVM_RESET_DIRTY_RINGS:
		return arg ? -EINVAL : umbra_reset_dirty_rings(vm);
	case KVM_ENABLE_CAP:
		return enable_cap(vm, user);
	case KVM_IOEVENTFD:
		return ioeventfd(vm, user);
	case KVM_REGISTER_COALESCED_MMIO:
	case KVM_UNREGISTER_COALESCED_MMIO:
		return coalesce(vm, user, cmd == KVM_REGISTER_COALESCED_MMIO);
	case KVM_GET_STATS_FD:
		return umbra_stats_fd(vm, NULL);
	case UMBRA_SET_MMU:
		return set_mmu(vm, user);
	case UMBRA_GET_MMU:
		return get_mmu(vm, user);
	case UMBRA_AUDIT:
		return audit(vm, user);
	case UMBRA_GFN_INFO:
		return gfn_info(vm, user);
	case UMBRA_TEST_HOOK:
		return test_hook(vm, user);
	default:
		return umbra_arch_vm_ioctl(vm, cmd, arg);
	}
}

#ifdef CONFIG_COMPAT
/* A 32-bit process writes only the low half of the pointer's union. */
static long compat_get_dirty_log(struct umbra_vm *vm,
				 const struct kvm_dirty_log __user *user)
{
	struct kvm_dirty_log log;

	if (copy_from_user(&log, user, sizeof(log)))
		return -EFAULT;
	log.dirty_bitmap = compat_ptr((u32)log.padding2);
	return umbra_get_dirty_log(vm, &log);
}

static long compat_clear_dirty_log(struct umbra_vm *vm,
				   const struct kvm_clear_dirty_log __user *user)
{
	struct kvm_clear_dirty_log log;

	if (copy_from_user(&log, user, sizeof(log)))
		return -EFAULT;
	log.dirty_bitmap = compat_ptr((u32)log.padding2);
	return umbra_clear_dirty_log(vm, &log);
}

static long vm_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct umbra_vm *vm = file->private_data;

	if (cmd != KVM_GET_DIRTY_LOG && cmd != KVM_CLEAR_DIRTY_LOG)
		return vm_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
	if (vm->mmu.mm != current->mm)
		return -EIO;
	if (cmd == KVM_CLEAR_DIRTY_LOG)
		return compat_clear_dirty_log(vm, compat_ptr(arg));
	return compat_get_dirty_log(vm, compat_ptr(arg));
}
#endif

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = vm_compat_ioctl,
#endif
	.llseek = noop_llseek,
};

static struct umbra_vm *vm_alloc(void)
{
	struct umbra_vm *vm;
	int err;

	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	err = ida_alloc(&vm_ids, GFP_KERNEL);
	if (err < 0)
		goto free_vm;
	vm->id = err;
	kref_init(&vm->users);
	mutex_init(&vm->lock);
	xa_init(&vm->vcpus);
	err = umbra_bus_init(&vm->bus);
	if (err)
		goto free_id;
	err = umbra_arch_enable();
	if (err)
		goto destroy_bus;
	err = umbra_mmu_create(&vm->mmu, vm->id);
	if (err)
		goto disable;
	err = umbra_arch_vm_init(vm);
	if (err)
		goto destroy_mmu;
	umbra_counters_vm_born(vm);
	return vm;

destroy_mmu:
	umbra_mmu_destroy(&vm->mmu);
disable:
	umbra_arch_disable();
destroy_bus:
	umbra_bus_destroy(&vm->bus);
free_id:
	ida_free(&vm_ids, vm->id);
free_vm:
	kfree(vm);
	return ERR_PTR(err);
}

/**
 * umbra_vm_create() - KVM_CREATE_VM: a VM over the caller's memory
 *
 * Return: its descriptor; -EBUSY when the virtualisation hardware belongs to
 * another module; -ENOMEM, -EMFILE, -ENFILE, -EINTR.
 */
int umbra_vm_create(void)
{
	struct umbra_vm *vm;
	struct file *file;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	vm = vm_alloc();
	if (IS_ERR(vm)) {
		put_unused_fd(fd);
		return PTR_ERR(vm);
	}
	file = anon_inode_getfile("umbra-vm", &vm_fops, vm, O_RDWR);
	if (IS_ERR(file)) {
		umbra_vm_put(vm);
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	umbra_debugfs_add(vm, fd);
	fd_install(fd, file);
	return fd;
}
