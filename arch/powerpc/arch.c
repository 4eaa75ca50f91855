// SPDX-License-Identifier: GPL-2.0-only
/*
 * POWER's entry points: what virt/ and mmu/ call, handed to the files that know.
 *
 * Locks: vcpu->mutex is held in every call for a vCPU but that with KVM_INTERRUPT.
 */
#include <umbra/arch.h>
#include <umbra/compat.h>

#include "hpt/hpt.h"
#include "p9.h"

static const struct umbra_mmu_ops hpt_ops = {
	.name		= "hpt",
	.init		= hpt_init,
	.destroy	= hpt_destroy,
	.prepared	= hpt_prepared,
	.prepare	= hpt_prepare,
	.map		= hpt_map,
	.map_exclusive	= hpt_map,
	.unmap		= hpt_unmap,
	.age		= hpt_age,
	.test_age	= hpt_test_age,
	.harvest	= hpt_harvest,
	.wrprot		= hpt_wrprot,
	.wrprot_slot	= hpt_begin_log,
	.merge_slot	= hpt_end_log,
	.zap_slot	= hpt_zap_slot,
	.zap_all	= hpt_zap_all,
	.gfn_info	= hpt_gfn_info,
	.audit		= hpt_audit,
	.dump		= hpt_dump,
#ifdef UMBRA_TEST
	.hook		= hpt_hook,
#endif
};

int umbra_arch_init(void)
{
	if (!p9_available())
		pr_info(UMBRA_NAME ": no guest can run: that needs a POWER9 or later in hypervisor mode; page tables can be driven by hand\n");
	return 0;
}

void umbra_arch_exit(void)
{
}

/* Where no guest can run nothing is claimed. */
int umbra_arch_enable(void)
{
	return p9_available() ? p9_claim() : 0;
}

void umbra_arch_disable(void)
{
}

int umbra_arch_check_extension(struct umbra_vm *vm, long ext)
{
	switch (ext) {
	case KVM_CAP_PPC_ALLOC_HTAB:
	case KVM_CAP_PPC_HTAB_FD:
	case KVM_CAP_SPAPR_RESIZE_HPT:
	case KVM_CAP_PPC_GET_SMMU_INFO:
	case UMBRA_CAP_HPT:
		return 1;
	case KVM_CAP_PPC_PAPR:
	case KVM_CAP_PPC_SEGSTATE:
	case KVM_CAP_ONE_REG:
	case KVM_CAP_PPC_UNSET_IRQ:
	case KVM_CAP_PPC_IRQ_LEVEL:
		return p9_available();
	default:
		return 0;
	}
}

long umbra_arch_dev_ioctl(unsigned int cmd, unsigned long arg)
{
	return -ENOTTY;
}

long umbra_arch_vm_ioctl(struct umbra_vm *vm, unsigned int cmd, unsigned long arg)
{
	return power_vm_ioctl(vm, cmd, (void __user *)arg);
}

long umbra_arch_enable_cap(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	return -EINVAL;
}

long umbra_arch_vcpu_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, unsigned long arg)
{
	void __user *argp = (void __user *)arg;
	long ret = hpt_inject_ioctl(vcpu, cmd, argp);

	if (ret != -ENOTTY || !vcpu->arch.guest)
		return ret;
	if (cmd == KVM_INTERRUPT)
		return power_external_ioctl(vcpu, argp);
	return power_regs_ioctl(vcpu, cmd, argp);
}

int umbra_arch_vm_init(struct umbra_vm *vm)
{
	spin_lock_init(&vm->mmu.arch.tlbie_lock);
	return p9_available() ? p9_partition_create(vm) : 0;
}

/* Nobody acts on a vCPU from outside. */
void umbra_arch_vm_stop(struct umbra_vm *vm)
{
}

void umbra_arch_vm_destroy(struct umbra_vm *vm)
{
	p9_partition_destroy(vm);
}

int umbra_arch_vcpu_init(struct umbra_vcpu *vcpu)
{
	init_waitqueue_head(&vcpu->arch.wait);
	return p9_available() ? p9_guest_create(vcpu) : 0;
}

void umbra_arch_vcpu_destroy(struct umbra_vcpu *vcpu)
{
	p9_guest_destroy(vcpu);
}

const struct umbra_mmu_ops *umbra_arch_mmu_ops(u32 mode)
{
	return mode == UMBRA_MMU_HPT ? &hpt_ops : NULL;
}

u32 umbra_arch_default_mode(void)
{
	return UMBRA_MMU_HPT;
}

u64 umbra_arch_max_gfn(u32 mode)
{
	/* What the frame number of an HPTE has room for (ISA 3.0). */
	return 1ULL << (57 - PAGE_SHIFT);
}
