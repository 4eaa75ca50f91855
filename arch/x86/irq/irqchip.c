// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupt controllers of a VM: creation, ioctls, and the guest's accesses.
 *
 * A VM gets them before its first vCPU, under vm->lock, and keeps them.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

#define X2APIC_API_FLAGS	(KVM_X2APIC_API_USE_32BIT_IDS | \
				 KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

/* KVM_CHECK_EXTENSION; 0 for what is none of these. */
int umbra_irqchip_check_extension(long ext)
{
	switch (ext) {
	case KVM_CAP_HLT:
	case KVM_CAP_MP_STATE:
	case KVM_CAP_IRQFD:
	case KVM_CAP_SIGNAL_MSI:
	case KVM_CAP_SPLIT_IRQCHIP:
	case KVM_CAP_TSC_DEADLINE_TIMER:
	case KVM_CAP_SET_BOOT_CPU_ID:
	case KVM_CAP_IRQCHIP:
	case KVM_CAP_IRQ_INJECT_STATUS:
	case KVM_CAP_IRQFD_RESAMPLE:
	case KVM_CAP_IOAPIC_POLARITY_IGNORED:
	case KVM_CAP_PIT:
	case KVM_CAP_PIT2:
	case KVM_CAP_PIT_STATE2:
	case KVM_CAP_REINJECT_CONTROL:
		return 1;
	case KVM_CAP_IRQ_ROUTING:
		return UMBRA_GSI_MAX;
	case KVM_CAP_X2APIC_API:
		return X2APIC_API_FLAGS;
	default:
		return 0;
	}
}

/* Are PIC and IOAPIC in the kernel as well? */
bool umbra_irqchip_full(const struct umbra_vm *vm)
{
	return vm->arch.irqchip && vm->arch.irqchip->full;
}

static void free_irqchip(struct umbra_irqchip *irqchip)
{
	umbra_pit_destroy(irqchip);
	umbra_ioapic_destroy(irqchip);
	umbra_pic_destroy(irqchip);
	umbra_routes_destroy(irqchip);
	cleanup_srcu_struct(&irqchip->srcu);
	kvfree(irqchip);
}

static struct umbra_irqchip *make_irqchip(struct umbra_vm *vm)
{
	struct umbra_irqchip *irqchip = kvzalloc(sizeof(*irqchip), GFP_KERNEL_ACCOUNT);
	int err;

	if (!irqchip)
		return ERR_PTR(-ENOMEM);
	err = init_srcu_struct(&irqchip->srcu);
	if (err) {
		kvfree(irqchip);
		return ERR_PTR(err);
	}
	irqchip->vm = vm;
	mutex_init(&irqchip->lock);
	spin_lock_init(&irqchip->pins);
	INIT_LIST_HEAD(&irqchip->irqfds);
	INIT_LIST_HEAD(&irqchip->resamplers);
	return irqchip;
}

static int make_devices(struct umbra_irqchip *irqchip)
{
	int err = umbra_pic_create(irqchip) ?: umbra_ioapic_create(irqchip);

	if (err)
		return err;
	irqchip->full = true;
	mutex_lock(&irqchip->lock);
	err = umbra_routes_set_default(irqchip);
	mutex_unlock(&irqchip->lock);
	return err;
}

static int no_routes(struct umbra_irqchip *irqchip)
{
	int err;

	mutex_lock(&irqchip->lock);
	err = umbra_routes_set(irqchip, NULL, 0);
	mutex_unlock(&irqchip->lock);
	return err;
}

/* vm->lock is held. */
static int create(struct umbra_vm *vm, bool full)
{
	struct umbra_irqchip *irqchip;
	int err;

	if (vm->arch.irqchip)
		return -EEXIST;
	if (vm->nr_vcpus)
		return full ? -EINVAL : -EEXIST;
	irqchip = make_irqchip(vm);
	if (IS_ERR(irqchip))
		return PTR_ERR(irqchip);
	err = full ? make_devices(irqchip) : no_routes(irqchip);
	if (err) {
		free_irqchip(irqchip);
		return err;
	}
	/* ioctls that come in between see it whole. */
	smp_store_release(&vm->arch.irqchip, irqchip);
	return 0;
}

static long create_ioctl(struct umbra_vm *vm, bool full)
{
	long r;

	mutex_lock(&vm->lock);
	r = create(vm, full);
	mutex_unlock(&vm->lock);
	return r;
}

static long x2apic_api(struct umbra_vm *vm, u64 flags)
{
	if (flags & ~(u64)X2APIC_API_FLAGS)
		return -EINVAL;
	if (flags & KVM_X2APIC_API_USE_32BIT_IDS)
		vm->arch.x2apic_ids = true;
	if (flags & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		vm->arch.x2apic_no_quirk = true;
	return 0;
}

/**
 * umbra_irqchip_enable_cap() - KVM_ENABLE_CAP on the VM
 * @vm: the VM
 * @cap: its flags are 0
 *
 * Return: 0; -EINVAL for arguments that make no sense; -EEXIST when there is an
 * interrupt controller or a vCPU already; -ENOMEM; -ENOTTY for another capability.
 */
long umbra_irqchip_enable_cap(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	long r;

	switch (cap->cap) {
	case KVM_CAP_SPLIT_IRQCHIP:
		/* How many routes are IOAPIC pins: an EOI is reported for every level. */
		if (cap->args[0] > UMBRA_GSI_MAX)
			return -EINVAL;
		return create_ioctl(vm, false);
	case KVM_CAP_X2APIC_API:
		mutex_lock(&vm->lock);
		r = x2apic_api(vm, cap->args[0]);
		mutex_unlock(&vm->lock);
		return r;
	default:
		return -ENOTTY;
	}
}

/* KVM_GET_IRQCHIP, KVM_SET_IRQCHIP. */
static long chip_ioctl(struct umbra_irqchip *irqchip, bool set, void __user *argp)
{
	struct kvm_irqchip *chip = memdup_user(argp, sizeof(*chip));
	long r = 0;

	if (IS_ERR(chip))
		return PTR_ERR(chip);
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		if (set)
			umbra_pic_put(irqchip, chip->chip_id & 1, &chip->chip.pic);
		else
			umbra_pic_get(irqchip, chip->chip_id & 1, &chip->chip.pic);
		break;
	case KVM_IRQCHIP_IOAPIC:
		if (set)
			umbra_ioapic_put(irqchip, &chip->chip.ioapic);
		else
			umbra_ioapic_get(irqchip, &chip->chip.ioapic);
		break;
	default:
		r = -EINVAL;
		break;
	}
	if (!r && !set && copy_to_user(argp, chip, sizeof(*chip)))
		r = -EFAULT;
	kfree(chip);
	return r;
}

/* What there is in the full mode alone: -ENXIO, or for the PIT's creation -ENOENT. */
static long full_ioctl(struct umbra_irqchip *irqchip, unsigned int cmd, void __user *argp)
{
	if (!irqchip || !irqchip->full)
		return cmd == KVM_CREATE_PIT || cmd == KVM_CREATE_PIT2 ? -ENOENT : -ENXIO;
	if (cmd == KVM_GET_IRQCHIP || cmd == KVM_SET_IRQCHIP)
		return chip_ioctl(irqchip, cmd == KVM_SET_IRQCHIP, argp);
	return umbra_pit_ioctl(irqchip, cmd, argp);
}

static long set_boot_cpu(struct umbra_vm *vm, unsigned long id)
{
	long r = -EBUSY;

	mutex_lock(&vm->lock);
	if (!vm->nr_vcpus) {
		vm->arch.boot_cpu = id;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

/**
 * umbra_irqchip_vm_ioctl() - ioctls of a VM's interrupt controllers
 * @vm: the VM
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Return: what the ioctl returns; -ENXIO or -EINVAL, as KVM has it, where the VM lacks
 * the controller; -ENOTTY for another @cmd.
 */
long umbra_irqchip_vm_ioctl(struct umbra_vm *vm, unsigned int cmd, unsigned long arg)
{
	/* Pairs with the release in create(). */
	struct umbra_irqchip *irqchip = smp_load_acquire(&vm->arch.irqchip);
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case KVM_CREATE_IRQCHIP:
		return create_ioctl(vm, true);
	case KVM_GET_IRQCHIP:
	case KVM_SET_IRQCHIP:
	case KVM_CREATE_PIT:
	case KVM_CREATE_PIT2:
	case KVM_GET_PIT:
	case KVM_SET_PIT:
	case KVM_GET_PIT2:
	case KVM_SET_PIT2:
	case KVM_REINJECT_CONTROL:
		return full_ioctl(irqchip, cmd, argp);
	case KVM_SET_BOOT_CPU_ID:
		return set_boot_cpu(vm, arg);
	case KVM_IRQ_LINE:
	case KVM_IRQ_LINE_STATUS:
		return irqchip ? umbra_route_ioctl(irqchip, cmd, argp) : -ENXIO;
	case KVM_SET_GSI_ROUTING:
	case KVM_SIGNAL_MSI:
		return irqchip ? umbra_route_ioctl(irqchip, cmd, argp) : -EINVAL;
	case KVM_IRQFD:
		return irqchip ? umbra_irqfd_ioctl(irqchip, argp) : -EINVAL;
	default:
		return -ENOTTY;
	}
}

/* The page by which 32-bit Windows reads TPR is not offered, but can be taken away. */
static long set_vapic_addr(struct umbra_vcpu *vcpu, const struct kvm_vapic_addr __user *argp)
{
	struct kvm_vapic_addr addr;

	if (!vcpu->arch.lapic)
		return -EINVAL;
	if (copy_from_user(&addr, argp, sizeof(addr)))
		return -EFAULT;
	return addr.vapic_addr ? -EINVAL : 0;
}

/**
 * umbra_irqchip_vcpu_ioctl() - ioctls of a vCPU's local APIC and state
 * @vcpu: the vCPU; its mutex is held
 * @cmd: the ioctl
 * @argp: its argument
 *
 * Return: what the ioctl returns; -ENOTTY for another @cmd.
 */
long umbra_irqchip_vcpu_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	switch (cmd) {
	case KVM_GET_LAPIC:
	case KVM_SET_LAPIC:
		return umbra_lapic_ioctl(vcpu, cmd == KVM_SET_LAPIC, argp);
	case KVM_GET_MP_STATE:
	case KVM_SET_MP_STATE:
		return umbra_mp_ioctl(vcpu, cmd == KVM_SET_MP_STATE, argp);
	case KVM_SET_VAPIC_ADDR:
		return set_vapic_addr(vcpu, argp);
	default:
		return -ENOTTY;
	}
}

/**
 * umbra_irqchip_stop() - nothing sends interrupts from outside any more
 * @vm: it is going down; its vCPUs are still there
 */
void umbra_irqchip_stop(struct umbra_vm *vm)
{
	if (!vm->arch.irqchip)
		return;
	umbra_pit_stop(vm->arch.irqchip);
	umbra_irqfds_release(vm->arch.irqchip);
}

/* The vCPUs are gone. */
void umbra_irqchip_destroy(struct umbra_vm *vm)
{
	if (vm->arch.irqchip)
		free_irqchip(vm->arch.irqchip);
}

/**
 * umbra_irqchip_mmio() - the guest accesses what is not memory
 * @vcpu: the vCPU
 * @gpa: guest physical address
 * @val: the data
 * @len: 1 to 8 bytes
 * @write: direction
 *
 * A slot at the same address is memory: the access does not come here.
 *
 * Return: whether it was for a controller, and is done.
 */
bool umbra_irqchip_mmio(struct umbra_vcpu *vcpu, gpa_t gpa, void *val, unsigned int len,
			bool write)
{
	u64 base = vcpu->arch.apic_base;

	if (!vcpu->arch.lapic)
		return false;
	if ((base & MSR_IA32_APICBASE_ENABLE) && (base ^ gpa) >> PAGE_SHIFT == 0) {
		umbra_lapic_mmio(vcpu, offset_in_page(gpa), val, len, write);
		return true;
	}
	return umbra_irqchip_full(vcpu->vm) &&
	       umbra_ioapic_mmio(vcpu->vm->arch.irqchip, gpa, val, len, write);
}

/**
 * umbra_irqchip_pio() - the guest accesses a port
 * @vcpu: the vCPU; may be in the inner section
 * @port: the port
 * @val: the data
 * @size: 1, 2 or 4 bytes; the devices know bytes, and leave zeros above
 * @in: direction
 *
 * Return: whether it was for a device here, and is done.
 */
bool umbra_irqchip_pio(struct umbra_vcpu *vcpu, u16 port, void *val, unsigned int size,
		       bool in)
{
	struct umbra_irqchip *irqchip = vcpu->vm->arch.irqchip;
	u8 byte = in ? 0 : *(u8 *)val;

	if (!umbra_irqchip_full(vcpu->vm) ||
	    (!umbra_pic_port(irqchip, port, &byte, in) &&
	     !umbra_pit_port(irqchip, port, &byte, in)))
		return false;
	if (in) {
		memset(val, 0, size);
		*(u8 *)val = byte;
	}
	return true;
}
