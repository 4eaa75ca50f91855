// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vCPU: its descriptor, the pages that userspace maps, and KVM_RUN.
 *
 * Invariants
 * - vcpu->mutex is held for the whole of each ioctl but those of umbra_arch_vcpu_async():
 *   one thread at a time.
 * - A vCPU stays in vm->vcpus, and in the MMU's list, until its VM goes; closing
 *   its descriptor only gives back the reference on the VM.
 * - vcpu->run is shared with userspace, which may write to it at any time: what is
 *   read from it is read once and checked.
 */
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <umbra/arch.h>
#include <umbra/counters.h>
#include "virt.h"

static vm_fault_t vcpu_mmap_fault(struct vm_fault *vmf)
{
	struct umbra_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;

	if (vmf->pgoff < UMBRA_VCPU_OWN_PAGES)
		page = virt_to_page(vcpu->pages[vmf->pgoff]);
	else if (vmf->pgoff == UMBRA_VCPU_OWN_PAGES)
		page = virt_to_page(vcpu->vm->bus.ring);
	else
		page = umbra_ring_page(&vcpu->mmu, vmf->pgoff - KVM_DIRTY_LOG_PAGE_OFFSET);
	if (!page)
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = {
	.fault = vcpu_mmap_fault,
};

/* The dirty ring is for both sides to write to, or it is none. */
static bool is_ring(const struct umbra_vcpu *vcpu, struct vm_area_struct *vma)
{
	unsigned long pages = umbra_ring_pages(vcpu->mmu.ring.size);

	return vma->vm_pgoff >= KVM_DIRTY_LOG_PAGE_OFFSET &&
	       vma->vm_pgoff - KVM_DIRTY_LOG_PAGE_OFFSET + vma_pages(vma) <= pages &&
	       (vma->vm_flags & VM_SHARED) && !(vma->vm_flags & VM_EXEC);
}

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (vma_pages(vma) + vma->vm_pgoff > UMBRA_VCPU_MMAP_PAGES &&
	    !is_ring(file->private_data, vma))
		return -EINVAL;
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct umbra_vcpu *vcpu = file->private_data;

	umbra_vm_put(vcpu->vm);
	return 0;
}

/*
 * real_blocked tells the signal code that the thread's own mask, and not only the
 * vCPU's, decides whether a blocked signal may be thrown away.
 */
static int run_masked(struct umbra_vcpu *vcpu)
{
	int ret;

	sigprocmask(SIG_SETMASK, &vcpu->sigset, &current->real_blocked);
	ret = umbra_arch_vcpu_run(vcpu);
	sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
	sigemptyset(&current->real_blocked);
	return ret;
}

static void set_sigmask(struct umbra_vcpu *vcpu, const sigset_t *set)
{
	vcpu->sigset_active = set;
	if (!set)
		return;
	vcpu->sigset = *set;
	sigdelsetmask(&vcpu->sigset, sigmask(SIGKILL) | sigmask(SIGSTOP));
}

/* @size: of a signal set, as the caller's ABI has it. */
static long copy_sigmask_len(const struct kvm_signal_mask __user *user, size_t size)
{
	u32 len;

	if (get_user(len, &user->len))
		return -EFAULT;
	return len == size ? 0 : -EINVAL;
}

static long set_signal_mask(struct umbra_vcpu *vcpu,
			    const struct kvm_signal_mask __user *user)
{
	sigset_t set;
	long err;

	if (!user) {
		set_sigmask(vcpu, NULL);
		return 0;
	}
	err = copy_sigmask_len(user, sizeof(set));
	if (err)
		return err;
	if (copy_from_user(&set, user->sigset, sizeof(set)))
		return -EFAULT;
	set_sigmask(vcpu, &set);
	return 0;
}

/* vcpu->mutex is held. */
static long run(struct umbra_vcpu *vcpu)
{
	long ret;

	umbra_vcpu_srcu_lock(vcpu);
	if (unlikely(vcpu->sigset_active))
		ret = run_masked(vcpu);
	else
		ret = umbra_arch_vcpu_run(vcpu);
	umbra_vcpu_srcu_unlock(vcpu);
	return ret;
}

/* vcpu->mutex is held. */
static long vcpu_ioctl_locked(struct umbra_vcpu *vcpu, unsigned int cmd,
			      unsigned long arg)
{
	if (likely(cmd == KVM_RUN))
		return unlikely(arg) ? -EINVAL : run(vcpu);
	if (cmd == KVM_SET_SIGNAL_MASK)
		return set_signal_mask(vcpu, (void __user *)arg);
	if (cmd == KVM_GET_STATS_FD)
		return umbra_stats_fd(vcpu->vm, vcpu);
	return umbra_arch_vcpu_ioctl(vcpu, cmd, arg);
}

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct umbra_vcpu *vcpu = file->private_data;
	long ret;

	if (unlikely(vcpu->vm->mmu.mm != current->mm))
		return -EIO;
	if (umbra_arch_vcpu_async(cmd))
		return umbra_arch_vcpu_ioctl(vcpu, cmd, arg);
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	ret = vcpu_ioctl_locked(vcpu, cmd, arg);
	mutex_unlock(&vcpu->mutex);
	return ret;
}

#ifdef CONFIG_COMPAT
static long compat_set_signal_mask(struct umbra_vcpu *vcpu,
				   const struct kvm_signal_mask __user *user)
{
	sigset_t set;
	long err;

	if (user) {
		err = copy_sigmask_len(user, sizeof(compat_sigset_t));
		if (err)
			return err;
		if (get_compat_sigset(&set, (const void __user *)user->sigset))
			return -EFAULT;
	}
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	set_sigmask(vcpu, user ? &set : NULL);
	mutex_unlock(&vcpu->mutex);
	return 0;
}

static long vcpu_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct umbra_vcpu *vcpu = file->private_data;

	if (cmd != KVM_SET_SIGNAL_MASK)
		return vcpu_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
	if (vcpu->vm->mmu.mm != current->mm)
		return -EIO;
	return compat_set_signal_mask(vcpu, compat_ptr(arg));
}
#endif

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = vcpu_compat_ioctl,
#endif
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

/**
 * umbra_vcpu_stop() - give back what a vCPU took from others
 * @vcpu: its VM is going down; the MMU may still look at it
 */
void umbra_vcpu_stop(struct umbra_vcpu *vcpu)
{
	umbra_mmu_free_vcpu(&vcpu->mmu);
	umbra_arch_vcpu_destroy(vcpu);
}

/**
 * umbra_vcpu_free() - free a vCPU
 * @vcpu: stopped, or never started; nobody else can see it
 */
void umbra_vcpu_free(struct umbra_vcpu *vcpu)
{
	int i;

	for (i = 0; i < UMBRA_VCPU_OWN_PAGES; i++)
		free_page((unsigned long)vcpu->pages[i]);
	umbra_ring_destroy(&vcpu->mmu);
	kfree(vcpu);
	umbra_counters_vcpu_dead();
}

/* What was made before a failure goes with the vCPU. */
static int alloc_pages_shared(struct umbra_vcpu *vcpu)
{
	int i;

	for (i = 0; i < UMBRA_VCPU_OWN_PAGES; i++) {
		vcpu->pages[i] = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
		if (!vcpu->pages[i])
			return -ENOMEM;
	}
	vcpu->run = vcpu->pages[0];
	vcpu->pio_data = vcpu->pages[UMBRA_VCPU_OWN_PAGES - 1];
	return 0;
}

static struct umbra_vcpu *vcpu_alloc(struct umbra_vm *vm, unsigned int id)
{
	struct umbra_vcpu *vcpu;
	int err;

	vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	umbra_counters_vcpu_born();
	vcpu->vm = vm;
	vcpu->mmu.mmu = &vm->mmu;
	vcpu->id = id;
	mutex_init(&vcpu->mutex);
	err = alloc_pages_shared(vcpu);
	if (!err)
		err = umbra_ring_create(&vcpu->mmu, vm->ring_size);
	if (!err)
		err = umbra_arch_vcpu_init(vcpu);
	if (err) {
		umbra_vcpu_free(vcpu);
		return ERR_PTR(err);
	}
	return vcpu;
}

/*
 * What can fail comes first: nobody leaves the MMU's list while the VM lives.
 * vm->lock is held.
 */
static int vcpu_make(struct umbra_vm *vm, unsigned int id, struct file **file)
{
	struct umbra_vcpu *vcpu;
	int err;

	if (vm->max_vcpu_id && id >= vm->max_vcpu_id)
		return -EINVAL;
	err = umbra_mmu_make_root(&vm->mmu);
	if (err)
		return err;
	err = xa_insert(&vm->vcpus, id, NULL, GFP_KERNEL_ACCOUNT);
	if (err)
		return err == -EBUSY ? -EEXIST : err;
	vcpu = vcpu_alloc(vm, id);
	if (IS_ERR(vcpu)) {
		err = PTR_ERR(vcpu);
		goto release;
	}
	*file = anon_inode_getfile("umbra-vcpu", &vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(*file)) {
		err = PTR_ERR(*file);
		goto destroy;
	}
	umbra_vm_get(vm);
	umbra_mmu_add_vcpu(&vm->mmu, &vcpu->mmu);
	/* The place is reserved: this cannot fail. */
	xa_store(&vm->vcpus, id, vcpu, GFP_KERNEL_ACCOUNT);
	vm->nr_vcpus++;
	return 0;

destroy:
	umbra_arch_vcpu_destroy(vcpu);
	umbra_vcpu_free(vcpu);
release:
	xa_release(&vm->vcpus, id);
	return err;
}

/**
 * umbra_vcpu_create() - KVM_CREATE_VCPU
 * @vm: its VM
 * @id: the vCPU's number
 *
 * Return: its descriptor; -EINVAL for an id beyond the limit, -EEXIST for one that
 * is taken; -ENOMEM, -EMFILE, -ENFILE.
 */
int umbra_vcpu_create(struct umbra_vm *vm, unsigned long id)
{
	struct file *file;
	int fd, err;

	if (id >= UMBRA_VCPUS_MAX)
		return -EINVAL;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	mutex_lock(&vm->lock);
	err = vcpu_make(vm, id, &file);
	mutex_unlock(&vm->lock);
	if (err) {
		put_unused_fd(fd);
		return err;
	}
	fd_install(fd, file);
	return fd;
}
