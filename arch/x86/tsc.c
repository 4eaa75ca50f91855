// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's time-stamp counter: the host's plus an offset of the vCPU's own.
 *
 * There is one frequency, the host's.
 *
 * Locks: vcpu->mutex.
 */
#include <linux/uaccess.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "irqchip.h"

u64 umbra_tsc_read(const struct umbra_vcpu *vcpu)
{
	return rdtsc() + vcpu->arch.tsc_offset;
}

static void set_offset(struct umbra_vcpu *vcpu, u64 offset)
{
	vcpu->arch.tsc_offset = offset;
	umbra_backend->sync_tsc(vcpu);
	umbra_clock_changed(vcpu);
	umbra_lapic_tsc_changed(vcpu);
}

/**
 * umbra_tsc_write() - MSR_IA32_TSC is written
 * @vcpu: the vCPU; may be in the inner section
 * @val: what the counter shows from now on
 * @host: by an ioctl
 *
 * TSC_ADJUST follows each write of the guest's (SDM volume 3, 18.17.3).
 */
void umbra_tsc_write(struct umbra_vcpu *vcpu, u64 val, bool host)
{
	u64 delta = val - umbra_tsc_read(vcpu);

	if (!host)
		vcpu->arch.msr_tsc_adjust += delta;
	set_offset(vcpu, vcpu->arch.tsc_offset + delta);
}

/**
 * umbra_tsc_adjust() - MSR_IA32_TSC_ADJUST is written
 * @vcpu: the vCPU; may be in the inner section
 * @val: its new value
 * @host: by an ioctl, which restores the value and leaves the counter alone
 */
void umbra_tsc_adjust(struct umbra_vcpu *vcpu, u64 val, bool host)
{
	if (!host)
		set_offset(vcpu, vcpu->arch.tsc_offset + val - vcpu->arch.msr_tsc_adjust);
	vcpu->arch.msr_tsc_adjust = val;
}

/* Another frequency is taken for the host's when it is as near as two measurements are. */
static long set_khz(unsigned long khz)
{
	unsigned long slack = tsc_khz / 4000;

	return !khz || (khz >= tsc_khz - slack && khz <= tsc_khz + slack) ? 0 : -EINVAL;
}

/* The only attribute of a vCPU: its offset. */
static long attr_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd,
		       const struct kvm_device_attr __user *argp)
{
	struct kvm_device_attr attr;
	u64 __user *user;
	u64 offset;

	if (copy_from_user(&attr, argp, sizeof(attr)))
		return -EFAULT;
	if (attr.group != KVM_VCPU_TSC_CTRL || attr.attr != KVM_VCPU_TSC_OFFSET)
		return -ENXIO;
	user = (u64 __user *)(unsigned long)attr.addr;
	switch (cmd) {
	case KVM_HAS_DEVICE_ATTR:
		return 0;
	case KVM_GET_DEVICE_ATTR:
		return put_user(vcpu->arch.tsc_offset, user);
	default:
		if (get_user(offset, user))
			return -EFAULT;
		set_offset(vcpu, offset);
		return 0;
	}
}

/**
 * umbra_tsc_ioctl() - KVM_GET/SET_TSC_KHZ, KVM_HAS/GET/SET_DEVICE_ATTR
 * @vcpu: the vCPU; its mutex is held
 * @cmd: the ioctl
 * @argp: its argument
 *
 * Return: what the ioctl returns; -EINVAL for a frequency that is not the host's, -ENXIO for
 * an attribute that does not exist; -ENOTTY for another @cmd.
 */
long umbra_tsc_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	switch (cmd) {
	case KVM_GET_TSC_KHZ:
		return tsc_khz;
	case KVM_SET_TSC_KHZ:
		return set_khz((unsigned long)argp);
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		return attr_ioctl(vcpu, cmd, argp);
	default:
		return -ENOTTY;
	}
}
