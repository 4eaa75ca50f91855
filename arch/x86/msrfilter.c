// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's RDMSR and WRMSR, before and after the kernel's own answer: a filter of
 * userspace's may keep an MSR from the guest (KVM_X86_SET_MSR_FILTER), and what was refused
 * may go to userspace in place of #GP (KVM_CAP_X86_USER_SPACE_MSR).
 *
 * Invariants
 * - A filter is immutable once it is published. Readers hold mmu->srcu.
 * - While there is one, each RDMSR and WRMSR exits (backend->load).
 * - MSRs of the x2APIC are not filtered. ioctls never are.
 *
 * Locks: vm->lock for who replaces the filter.
 */
#include <linux/compat.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "irqchip.h"

#define RANGE_FLAGS	(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)

/**
 * struct umbra_msr_filter - what a guest may do to which MSRs
 * @deny: MSRs outside of all ranges are kept from the guest
 * @count: of @ranges
 * @ranges: the first that has the MSR, and speaks of the kind of access, decides; a bit
 *	of its bitmap for each MSR says that it is allowed
 */
struct umbra_msr_filter {
	bool deny;
	unsigned int count;
	struct {
		u32 flags;
		u32 base;
		u32 nmsrs;
		unsigned long *bitmap;
	} ranges[KVM_MSR_FILTER_MAX_RANGES];
};

/* As a 32-bit process has it. */
struct compat_filter {
	__u32 flags;
	struct {
		__u32 flags;
		__u32 nmsrs;
		__u32 base;
		__u32 bitmap;
	} ranges[KVM_MSR_FILTER_MAX_RANGES];
};

static void free_filter(struct umbra_msr_filter *filter)
{
	unsigned int i;

	for (i = 0; filter && i < filter->count; i++)
		kfree(filter->ranges[i].bitmap);
	kfree(filter);
}

/* -EINVAL for a range without or with unknown flags, or with more MSRs than a bitmap has. */
static int copy_range(struct umbra_msr_filter *filter,
		      const struct kvm_msr_filter_range *range)
{
	size_t size = BITS_TO_LONGS((u64)range->nmsrs) * sizeof(long);
	unsigned long *bitmap;

	if (!range->nmsrs)
		return 0;
	if (!range->flags || (range->flags & ~RANGE_FLAGS) ||
	    size > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	bitmap = memdup_user((const void __user *)range->bitmap, size);
	if (IS_ERR(bitmap))
		return PTR_ERR(bitmap);
	filter->ranges[filter->count].flags = range->flags;
	filter->ranges[filter->count].base = range->base;
	filter->ranges[filter->count].nmsrs = range->nmsrs;
	filter->ranges[filter->count].bitmap = bitmap;
	filter->count++;
	return 0;
}

static struct umbra_msr_filter *make_filter(const struct kvm_msr_filter *from)
{
	struct umbra_msr_filter *filter;
	unsigned int i;
	int err = -EINVAL;

	if (from->flags & ~(u32)KVM_MSR_FILTER_DEFAULT_DENY)
		return ERR_PTR(err);
	filter = kzalloc(sizeof(*filter), GFP_KERNEL_ACCOUNT);
	if (!filter)
		return ERR_PTR(-ENOMEM);
	filter->deny = from->flags & KVM_MSR_FILTER_DEFAULT_DENY;
	for (i = 0; i < ARRAY_SIZE(from->ranges); i++) {
		err = copy_range(filter, &from->ranges[i]);
		if (err)
			goto fail;
	}
	/* A guest that is denied everything cannot even boot: a mistake. */
	err = -EINVAL;
	if (filter->deny && !filter->count)
		goto fail;
	return filter;

fail:
	free_filter(filter);
	return ERR_PTR(err);
}

/* A vCPU that is in the guest leaves it, and has the new filter when it enters again. */
static void publish(struct umbra_vm *vm, struct umbra_msr_filter *filter)
{
	struct umbra_msr_filter *old;
	struct umbra_vcpu *vcpu;
	unsigned long i;

	mutex_lock(&vm->lock);
	old = rcu_replace_pointer(vm->arch.msr_filter, filter, lockdep_is_held(&vm->lock));
	xa_for_each(&vm->vcpus, i, vcpu) {
		set_bit(UMBRA_REQ_LEAVE, &vcpu->arch.requests);
		umbra_vcpu_kick(vcpu);
	}
	mutex_unlock(&vm->lock);
	synchronize_srcu(&vm->mmu.srcu);
	free_filter(old);
}

static long set_filter(struct umbra_vm *vm, const struct kvm_msr_filter *from)
{
	struct umbra_msr_filter *filter = make_filter(from);

	if (IS_ERR(filter))
		return PTR_ERR(filter);
	/* One that lets everything through need not be asked. */
	if (!filter->count) {
		free_filter(filter);
		filter = NULL;
	}
	publish(vm, filter);
	return 0;
}

static long set_native(struct umbra_vm *vm, const void __user *argp)
{
	struct kvm_msr_filter *from = memdup_user(argp, sizeof(*from));
	long r;

	if (IS_ERR(from))
		return PTR_ERR(from);
	r = set_filter(vm, from);
	kfree(from);
	return r;
}

static long set_compat(struct umbra_vm *vm, const void __user *argp)
{
	struct compat_filter *from = memdup_user(argp, sizeof(*from));
	struct kvm_msr_filter *filter;
	unsigned int i;
	long r = -ENOMEM;

	if (IS_ERR(from))
		return PTR_ERR(from);
	filter = kzalloc(sizeof(*filter), GFP_KERNEL_ACCOUNT);
	if (!filter)
		goto out;
	filter->flags = from->flags;
	for (i = 0; i < ARRAY_SIZE(from->ranges); i++) {
		filter->ranges[i].flags = from->ranges[i].flags;
		filter->ranges[i].nmsrs = from->ranges[i].nmsrs;
		filter->ranges[i].base = from->ranges[i].base;
		filter->ranges[i].bitmap = (__force __u8 *)compat_ptr(from->ranges[i].bitmap);
	}
	r = set_filter(vm, filter);
	kfree(filter);
out:
	kfree(from);
	return r;
}

/**
 * umbra_msr_filter_ioctl() - KVM_X86_SET_MSR_FILTER
 * @vm: the VM
 * @cmd: the ioctl; a 32-bit process's has a number of its own
 * @argp: its argument
 *
 * Return: 0; -EINVAL for unknown flags, a range without any or of too many MSRs, and for a
 * filter that denies everything; -EFAULT, -ENOMEM; -ENOTTY for another @cmd.
 */
long umbra_msr_filter_ioctl(struct umbra_vm *vm, unsigned int cmd, void __user *argp)
{
	switch (cmd) {
	case KVM_X86_SET_MSR_FILTER:
		return set_native(vm, argp);
	case _IOW(KVMIO, _IOC_NR(KVM_X86_SET_MSR_FILTER), struct compat_filter):
		return set_compat(vm, argp);
	default:
		return -ENOTTY;
	}
}

/* The VM is going down; its vCPUs are gone. */
void umbra_msr_filter_destroy(struct umbra_vm *vm)
{
	free_filter(rcu_dereference_protected(vm->arch.msr_filter, true));
}

static bool is_denied(const struct umbra_msr_filter *filter, u32 index, u32 access)
{
	unsigned int i;

	if (index >= UMBRA_X2APIC_MSR && index <= UMBRA_X2APIC_MSR_LAST)
		return false;
	for (i = 0; i < filter->count; i++) {
		u32 n = index - filter->ranges[i].base;

		if (n < filter->ranges[i].nmsrs && (filter->ranges[i].flags & access))
			return !test_bit(array_index_nospec(n, filter->ranges[i].nmsrs),
					 filter->ranges[i].bitmap);
	}
	return filter->deny;
}

/**
 * umbra_msr_denied() - does the filter keep an MSR from the guest?
 * @vcpu: the vCPU; mmu->srcu is held
 * @index: the MSR
 * @write: WRMSR, and not RDMSR
 */
bool umbra_msr_denied(struct umbra_vcpu *vcpu, u32 index, bool write)
{
	const struct umbra_msr_filter *filter;

	filter = srcu_dereference(vcpu->vm->arch.msr_filter, &vcpu->vm->mmu.srcu);
	return unlikely(filter) &&
	       is_denied(filter, index, write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ);
}

/* Why it was refused, as userspace may ask to be told. */
static u32 exit_reason(int err)
{
	switch (err) {
	case -EPERM:
		return KVM_MSR_EXIT_REASON_FILTER;
	case -ENOENT:
		return KVM_MSR_EXIT_REASON_UNKNOWN;
	default:
		return KVM_MSR_EXIT_REASON_INVAL;
	}
}

/**
 * umbra_msr_refused() - the guest's RDMSR or WRMSR cannot be done here
 * @vcpu: the vCPU, at that instruction
 * @write: WRMSR, and not RDMSR
 * @val: what it would write
 * @err: -EPERM for the filter, -ENOENT for an MSR that does not exist, -EINVAL
 *
 * Return: UMBRA_RUN_USER where userspace wants to do it, else UMBRA_RUN_AGAIN with #GP.
 */
int umbra_msr_refused(struct umbra_vcpu *vcpu, bool write, u64 val, int err)
{
	struct kvm_run *run = vcpu->run;
	struct umbra_x86_io *io = &vcpu->arch.io;
	u32 reason = exit_reason(err);

	if (!(READ_ONCE(vcpu->vm->arch.user_msr) & reason)) {
		umbra_queue_gp(vcpu);
		return UMBRA_RUN_AGAIN;
	}
	run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	memset(&run->msr, 0, sizeof(run->msr));
	run->msr.reason = reason;
	run->msr.index = vcpu->arch.regs[UMBRA_RCX];
	run->msr.data = val;
	io->completion = write ? UMBRA_COMPLETE_WRMSR : UMBRA_COMPLETE_RDMSR;
	io->rip = vcpu->arch.rip;
	return UMBRA_RUN_USER;
}

/**
 * umbra_msr_answered() - userspace has done the RDMSR or WRMSR, or refused it
 * @vcpu: the vCPU, at the start of KVM_RUN
 * @write: WRMSR, and not RDMSR
 *
 * Return: enum umbra_verdict, or a negative errno for KVM_RUN.
 */
int umbra_msr_answered(struct umbra_vcpu *vcpu, bool write)
{
	u64 data = READ_ONCE(vcpu->run->msr.data);
	int r;

	if (vcpu->arch.rip != vcpu->arch.io.rip)
		return UMBRA_RUN_AGAIN;
	if (READ_ONCE(vcpu->run->msr.error)) {
		umbra_queue_gp(vcpu);
		return UMBRA_RUN_AGAIN;
	}
	r = umbra_skip_insn(vcpu, false);
	if (r)
		return r == UMBRA_RUN_RAISED ? UMBRA_RUN_AGAIN : r;
	if (!write) {
		vcpu->arch.regs[UMBRA_RAX] = (u32)data;
		vcpu->arch.regs[UMBRA_RDX] = data >> 32;
	}
	return UMBRA_RUN_AGAIN;
}
