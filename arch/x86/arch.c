// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86's entry points: what virt/ and mmu/ call, handed to the files that know.
 *
 * Locks: vcpu->mutex is held in every call for a vCPU; vm->lock guards the few fields
 * of struct umbra_arch_vm that ioctls change.
 */
#include <linux/uaccess.h>
#include <umbra/arch.h>
#include <asm/msr.h>

#include "irqchip.h"
#include "shadow.h"

const struct umbra_x86_backend *umbra_backend;

int umbra_arch_init(void)
{
	int err;

	umbra_backend = &umbra_svm_backend;
	err = umbra_fpu_init();
	if (err)
		return err;
	err = umbra_shadow_init();
	if (err)
		return err;
	err = umbra_async_pf_init();
	if (err)
		goto shadow_exit;
	err = umbra_backend->probe();
	if (err)
		goto async_pf_exit;
	umbra_hardware_init();
	return 0;

async_pf_exit:
	umbra_async_pf_exit();
shadow_exit:
	umbra_shadow_exit();
	return err;
}

void umbra_arch_exit(void)
{
	umbra_hardware_exit();
	umbra_backend->remove();
	umbra_async_pf_exit();
	umbra_shadow_exit();
}

int umbra_arch_check_extension(struct umbra_vm *vm, long ext)
{
	int r;

	switch (ext) {
	case KVM_CAP_USER_NMI:
	case KVM_CAP_EXT_CPUID:
	case KVM_CAP_SET_TSS_ADDR:
	case KVM_CAP_SET_IDENTITY_MAP_ADDR:
	case KVM_CAP_NOP_IO_DELAY:
	case KVM_CAP_VCPU_EVENTS:
	case KVM_CAP_DEBUGREGS:
	case KVM_CAP_XSAVE:
	case KVM_CAP_GET_TSC_KHZ:
	case KVM_CAP_MMU_SHADOW_CACHE_CONTROL:
	case KVM_CAP_VCPU_ATTRIBUTES:
	case KVM_CAP_GET_MSR_FEATURES:
	case KVM_CAP_INTERNAL_ERROR_DATA:
	case KVM_CAP_SET_GUEST_DEBUG:
	case KVM_CAP_X86_ROBUST_SINGLESTEP:
		return 1;
	case KVM_CAP_SET_GUEST_DEBUG2:
		return UMBRA_GUESTDBG_VALID;
	case KVM_CAP_SYNC_REGS:
		return KVM_SYNC_X86_VALID_FIELDS;
	case KVM_CAP_XSAVE2:
		return sizeof(struct kvm_xsave);
	case KVM_CAP_MCE:
		return UMBRA_MCE_BANKS;
	case KVM_CAP_ADJUST_CLOCK:
		return KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	case KVM_CAP_CLOCKSOURCE:
	case KVM_CAP_KVMCLOCK_CTRL:
		return umbra_clock_stable();
	case KVM_CAP_XCRS:
		return boot_cpu_has(X86_FEATURE_OSXSAVE);
	default:
		r = umbra_irqchip_check_extension(ext);
		return r ?: umbra_caps_check_extension(ext);
	}
}

long umbra_arch_dev_ioctl(unsigned int cmd, unsigned long arg)
{
	void __user *argp = (void __user *)arg;
	long r;

	r = umbra_cpuid_dev_ioctl(cmd, argp);
	if (r == -ENOTTY)
		r = umbra_msr_dev_ioctl(cmd, argp);
	if (r == -ENOTTY)
		r = umbra_mce_dev_ioctl(cmd, argp);
	return r;
}

/*
 * Real mode runs on nested paging as it is: both pages that userspace sets aside for
 * other hardware stay unused. An address that cannot be one is refused all the same.
 */
static long set_addr(struct umbra_vm *vm, u64 *slot, u64 addr, u64 limit)
{
	if (addr > limit)
		return -EINVAL;
	mutex_lock(&vm->lock);
	*slot = addr;
	mutex_unlock(&vm->lock);
	return 0;
}

long umbra_arch_enable_cap(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	long r = umbra_irqchip_enable_cap(vm, cap);

	if (r == -ENOTTY)
		r = umbra_caps_enable(vm, cap);
	return r == -ENOTTY ? -EINVAL : r;
}

long umbra_arch_vm_ioctl(struct umbra_vm *vm, unsigned int cmd, unsigned long arg)
{
	long r;
	u64 addr;

	switch (cmd) {
	case KVM_SET_TSS_ADDR:
		/* Three pages below 4 GiB. */
		return set_addr(vm, &vm->arch.tss_addr, arg, SZ_4G - 3 * PAGE_SIZE);
	case KVM_SET_IDENTITY_MAP_ADDR:
		if (copy_from_user(&addr, (void __user *)arg, sizeof(addr)))
			return -EFAULT;
		if (vm->nr_vcpus)
			return -EINVAL;
		return set_addr(vm, &vm->arch.identity_map_addr, addr, SZ_4G - PAGE_SIZE);
	case KVM_SET_NR_MMU_PAGES:
		if (arg < UMBRA_SHADOW_MIN)
			return -EINVAL;
		WRITE_ONCE(vm->mmu.arch.max_shadow, arg);
		return 0;
	default:
		r = umbra_clock_vm_ioctl(vm, cmd, (void __user *)arg);
		if (r == -ENOTTY)
			r = umbra_msr_filter_ioctl(vm, cmd, (void __user *)arg);
		return r == -ENOTTY ? umbra_irqchip_vm_ioctl(vm, cmd, arg) : r;
	}
}

long umbra_arch_vcpu_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd,
			   unsigned long arg)
{
	static long (*const handlers[])(struct umbra_vcpu *vcpu, unsigned int cmd,
					void __user *argp) = {
		umbra_regs_ioctl, umbra_fpu_ioctl, umbra_msr_ioctl, umbra_cpuid_ioctl,
		umbra_event_ioctl, umbra_mce_ioctl, umbra_debug_ioctl, umbra_irqchip_vcpu_ioctl,
		umbra_tsc_ioctl, umbra_caps_vcpu_ioctl,
	};
	unsigned int i;

	if (cmd == KVM_KVMCLOCK_CTRL)
		return umbra_clock_stopped(vcpu);
	for (i = 0; i < ARRAY_SIZE(handlers); i++) {
		long r = handlers[i](vcpu, cmd, (void __user *)arg);

		if (r != -ENOTTY)
			return r;
	}
	return -ENOTTY;
}

int umbra_arch_vm_init(struct umbra_vm *vm)
{
	vm->arch.tsc_offset = -rdtsc();
	umbra_clock_init(vm);
	return 0;
}

void umbra_arch_vm_stop(struct umbra_vm *vm)
{
	umbra_irqchip_stop(vm);
}

void umbra_arch_vm_destroy(struct umbra_vm *vm)
{
	umbra_irqchip_destroy(vm);
	umbra_msr_filter_destroy(vm);
}

/* A segment as #INIT leaves it (APM volume 2, table 14-1). */
static void reset_segment(struct umbra_vcpu *vcpu, enum umbra_emul_segment seg,
			  u16 selector, u64 base, u8 type, bool system)
{
	const struct kvm_segment val = {
		.base = base, .limit = 0xffff, .selector = selector, .type = type,
		.present = 1, .s = !system,
	};

	umbra_backend->set_segment(vcpu, seg, &val);
}

static void reset_segments(struct umbra_vcpu *vcpu)
{
	const struct kvm_dtable dt = { .limit = 0xffff };

	reset_segment(vcpu, UMBRA_SEG_CS, 0xf000, 0xffff0000, 11, false);
	reset_segment(vcpu, UMBRA_SEG_DS, 0, 0, 3, false);
	reset_segment(vcpu, UMBRA_SEG_ES, 0, 0, 3, false);
	reset_segment(vcpu, UMBRA_SEG_FS, 0, 0, 3, false);
	reset_segment(vcpu, UMBRA_SEG_GS, 0, 0, 3, false);
	reset_segment(vcpu, UMBRA_SEG_SS, 0, 0, 3, false);
	reset_segment(vcpu, UMBRA_SEG_TR, 0, 0, 11, true);
	reset_segment(vcpu, UMBRA_SEG_LDTR, 0, 0, 2, true);
	umbra_backend->set_dt(vcpu, false, &dt);
	umbra_backend->set_dt(vcpu, true, &dt);
}

/* Family, model and stepping, which a CPU leaves in RDX. */
static u32 reset_rdx(struct umbra_vcpu *vcpu)
{
	u32 eax = 1, ebx, ecx = 0, edx;

	umbra_cpuid(vcpu, &eax, &ebx, &ecx, &edx);
	return eax ?: 0x600;
}

/**
 * umbra_x86_reset() - the state after RESET, or after #INIT (APM volume 2, table 14-1)
 * @vcpu: the vCPU
 * @init: INIT, which leaves caching, the FPU and most MSRs as they are
 */
void umbra_x86_reset(struct umbra_vcpu *vcpu, bool init)
{
	const u64 caching = X86_CR0_CD | X86_CR0_NW;
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	memset(arch->regs, 0, sizeof(arch->regs));
	arch->regs[UMBRA_RDX] = reset_rdx(vcpu);
	arch->rip = 0xfff0;
	arch->rflags = X86_EFLAGS_FIXED;
	arch->cr0 = X86_CR0_ET | (init ? arch->cr0 & caching : caching);
	arch->cr2 = 0;
	arch->cr3 = 0;
	arch->cr4 = 0;
	arch->cr8 = 0;
	arch->efer = 0;
	memset(arch->dr, 0, sizeof(arch->dr));
	arch->dr6 = UMBRA_DR6_FIXED;
	arch->dr7 = UMBRA_DR7_FIXED;
	arch->event = (struct umbra_x86_event) {};
	arch->irq = -1;
	arch->nmi_pending = 0;
	arch->nmi_masked = false;
	arch->halted = false;
	arch->stop = 0;
	memset(&arch->io, 0, sizeof(arch->io));
	umbra_shadow_changed(vcpu);
	if (!init) {
		umbra_fpu_reset(vcpu);
		umbra_msr_reset(vcpu);
	}
	arch->msr_pv_eoi = 0;
	umbra_async_pf_reset(vcpu);
	umbra_backend->reset(vcpu, init);
	reset_segments(vcpu);
	umbra_cpuid_update(vcpu);
	if (umbra_has_lapic(vcpu))
		umbra_lapic_reset(vcpu, init);
}

int umbra_arch_vcpu_init(struct umbra_vcpu *vcpu)
{
	int err;

	err = umbra_fpu_vcpu_init(vcpu);
	if (err)
		return err;
	err = umbra_emul_vcpu_init(vcpu);
	if (err)
		goto free_fpu;
	err = umbra_shadow_vcpu_init(vcpu);
	if (err)
		goto free_emul;
	err = umbra_backend->vcpu_init(vcpu);
	if (err)
		goto free_shadow;
	if (vcpu->vm->arch.irqchip) {
		err = umbra_lapic_create(vcpu) ?: umbra_async_pf_create(vcpu);
		if (err)
			goto free_lapic;
	}
	rcuwait_init(&vcpu->arch.wait);
	vcpu->arch.extint = -1;
	vcpu->arch.mp_state = umbra_has_lapic(vcpu) && vcpu->id != vcpu->vm->arch.boot_cpu ?
		KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE;
	vcpu->arch.tsc_offset = vcpu->vm->arch.tsc_offset;
	umbra_cpuid_limits(vcpu);
	umbra_x86_reset(vcpu, false);
	return 0;

free_lapic:
	umbra_lapic_destroy(vcpu);
	umbra_backend->vcpu_destroy(vcpu);
free_shadow:
	umbra_shadow_vcpu_destroy(vcpu);
free_emul:
	umbra_emul_vcpu_destroy(vcpu);
free_fpu:
	umbra_fpu_vcpu_destroy(vcpu);
	return err;
}

void umbra_arch_vcpu_destroy(struct umbra_vcpu *vcpu)
{
	umbra_async_pf_destroy(vcpu);
	umbra_lapic_destroy(vcpu);
	umbra_backend->vcpu_destroy(vcpu);
	umbra_shadow_vcpu_destroy(vcpu);
	umbra_emul_vcpu_destroy(vcpu);
	umbra_fpu_vcpu_destroy(vcpu);
	umbra_cpuid_free(vcpu);
}
