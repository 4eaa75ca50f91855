// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paravirtual end of interrupt (MSR_KVM_PV_EOI_EN): a guest that finds a bit set in a word
 * of its memory clears it and need not write EOI, which would be an exit.
 *
 * The bit is set when a vector goes into service whose end nobody waits for: no other is in
 * IRR, it is no level and no pin's of the IOAPIC. What the guest did is learnt when the vCPU
 * has to know what is in service: at the next interrupt, in HLT, and when KVM_RUN ends.
 * The bit is taken back then if it is still set, so none is set while userspace looks.
 *
 * It is written with interrupts off, where no MMU can be told of it: with shadow paging the
 * bit is never set. When the page is away where nothing may sleep, the vCPU leaves the inner
 * section (UMBRA_REQ_PV_EOI); until then ISR as the guest reads it may be old.
 *
 * All is done by the vCPU's thread, with mmu->srcu held.
 */
#include <asm/kvm_para.h>

#include "internal.h"

/**
 * umbra_pv_eoi_set_msr() - WRMSR of MSR_KVM_PV_EOI_EN
 * @vcpu: the vCPU, with or without an APIC in the kernel
 * @val: the word's address, with the bit that enables it
 *
 * Never sleeps. Return: 0, or -EINVAL for an address that is not aligned.
 */
int umbra_pv_eoi_set_msr(struct umbra_vcpu *vcpu, u64 val)
{
	if (!IS_ALIGNED(val & ~(u64)KVM_MSR_ENABLED, 4))
		return -EINVAL;
	/* What was ended was ended in the old word, which is the guest's again. */
	if (vcpu->arch.lapic)
		umbra_pv_eoi_settle(vcpu->arch.lapic);
	vcpu->arch.msr_pv_eoi = val;
	return 0;
}

/**
 * umbra_pv_eoi_offer() - a vector went into service: need the guest write its EOI?
 * @lapic: the APIC
 * @vector: the vector
 */
void umbra_pv_eoi_offer(struct umbra_lapic *lapic, u8 vector)
{
	u64 msr = lapic->vcpu->arch.msr_pv_eoi;

	if (!(msr & KVM_MSR_ENABLED) || umbra_lapic_find(lapic, APIC_IRR) >= 0 ||
	    umbra_lapic_eoi_matters(lapic, vector))
		return;
	msr &= ~(u64)KVM_MSR_ENABLED;
	if (umbra_guest_poke(&lapic->vcpu->mmu, msr, KVM_PV_EOI_ENABLED))
		return;
	lapic->offered = true;
	lapic->offer = msr;
}

/* What the guest has made of the offer, which ends here. -EFAULT: the page is away. */
static int settle(struct umbra_lapic *lapic, bool sleep)
{
	struct umbra_vcpu *vcpu = lapic->vcpu;
	u8 byte;
	int r;

	r = sleep ? umbra_guest_read(&vcpu->vm->mmu, lapic->offer, &byte, 1) :
		    umbra_guest_peek(&vcpu->vm->mmu, lapic->offer, &byte);
	if (r)
		return r;
	if (byte & KVM_PV_EOI_ENABLED) {
		byte = KVM_PV_EOI_DISABLED;
		r = sleep ? umbra_guest_write(&vcpu->mmu, lapic->offer, &byte, 1) :
			    umbra_guest_poke(&vcpu->mmu, lapic->offer, byte);
		if (r)
			return r;
		lapic->offered = false;
	} else {
		lapic->offered = false;
		umbra_lapic_end(lapic);
	}
	return 0;
}

/**
 * umbra_pv_eoi_settle() - bring ISR up to date without sleeping
 * @lapic: the APIC
 *
 * Return: whether it is; if not, umbra_pv_eoi_outside() is called before the next entry.
 */
bool umbra_pv_eoi_settle(struct umbra_lapic *lapic)
{
	if (likely(!lapic->offered) || !settle(lapic, false))
		return true;
	set_bit(UMBRA_REQ_PV_EOI, &lapic->vcpu->arch.requests);
	return false;
}

/**
 * umbra_pv_eoi_outside() - bring ISR up to date; sleeps
 * @vcpu: the vCPU, outside the inner section; mmu->srcu is held
 *
 * What the guest wrote to EOI meanwhile comes after. Without memory behind the word the
 * interrupt is taken for ended: that it never were would be worse.
 */
void umbra_pv_eoi_outside(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *lapic = vcpu->arch.lapic;

	if (!lapic)
		return;
	clear_bit(UMBRA_REQ_PV_EOI, &vcpu->arch.requests);
	if (lapic->offered && settle(lapic, true)) {
		lapic->offered = false;
		umbra_lapic_end(lapic);
	}
	for (; lapic->late_eois; lapic->late_eois--)
		umbra_lapic_end(lapic);
}

/**
 * umbra_pv_eoi_ready() - before an entry: can the vCPU say which interrupt it takes?
 * @vcpu: the vCPU; interrupts are off, mmu->srcu is held
 *
 * It is asked even when no interrupt is known to wait: one may come before umbra_irq_pull().
 */
bool umbra_pv_eoi_ready(struct umbra_vcpu *vcpu)
{
	return !vcpu->arch.lapic || umbra_pv_eoi_settle(vcpu->arch.lapic);
}
