/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupt controllers in the kernel, as the rest of arch/x86 sees them.
 *
 * A VM has none, or local APICs alone (split: userspace has IOAPIC and PIC), or all of
 * them (full). vcpu->arch.lapic and vm->arch.irqchip are NULL where there is none, and
 * never change once there is a vCPU.
 *
 * Whoever has something for a vCPU sets a bit of arch.requests and kicks it. The vCPU
 * looks at them at each entry, with interrupts off, after it has announced that it will
 * run the guest: see umbra_vcpu_kick().
 */
#ifndef _UMBRA_X86_IRQCHIP_H
#define _UMBRA_X86_IRQCHIP_H

#include "x86.h"

/* Bits of arch.requests. */
enum umbra_request {
	UMBRA_REQ_IRQ,	/* an interrupt may have become deliverable */
	UMBRA_REQ_NMI,	/* arch.nmi_queued is not 0 */
	UMBRA_REQ_MP,	/* INIT or SIPI came; served outside the inner section */
	UMBRA_REQ_EOI,	/* userspace is to be told of an EOI; likewise */
	UMBRA_REQ_LEAVE, /* what backend->load reads has changed */
	UMBRA_REQ_PV_EOI, /* umbra_pv_eoi_outside() */
	UMBRA_REQ_PAGE_READY, /* umbra_async_pf_outside() */
};

#define UMBRA_REQS_OUTSIDE	(BIT(UMBRA_REQ_MP) | BIT(UMBRA_REQ_EOI) | BIT(UMBRA_REQ_PV_EOI) | \
				 BIT(UMBRA_REQ_PAGE_READY))

/* The guest's APIC can be reached by MSR 0x800 to 0x8ff. */
#define UMBRA_X2APIC_MSR	0x800
#define UMBRA_X2APIC_MSR_LAST	0x8ff

static inline bool umbra_has_lapic(const struct umbra_vcpu *vcpu)
{
	return vcpu->arch.lapic;
}

/* irqchip.c */
int umbra_irqchip_check_extension(long ext);
long umbra_irqchip_enable_cap(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
long umbra_irqchip_vm_ioctl(struct umbra_vm *vm, unsigned int cmd, unsigned long arg);
long umbra_irqchip_vcpu_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd,
			      void __user *argp);
void umbra_irqchip_stop(struct umbra_vm *vm);
void umbra_irqchip_destroy(struct umbra_vm *vm);
bool umbra_irqchip_full(const struct umbra_vm *vm);
bool umbra_irqchip_mmio(struct umbra_vcpu *vcpu, gpa_t gpa, void *val, unsigned int len,
			bool write);
bool umbra_irqchip_pio(struct umbra_vcpu *vcpu, u16 port, void *val, unsigned int size,
		       bool in);

/* lapic.c */
int umbra_lapic_create(struct umbra_vcpu *vcpu);
void umbra_lapic_destroy(struct umbra_vcpu *vcpu);
void umbra_lapic_reset(struct umbra_vcpu *vcpu, bool init);
int umbra_lapic_set_base(struct umbra_vcpu *vcpu, u64 base, bool host);
int umbra_x2apic_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *val);
int umbra_x2apic_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val);
u64 umbra_lapic_cr8(const struct umbra_vcpu *vcpu);
void umbra_lapic_set_cr8(struct umbra_vcpu *vcpu, u64 cr8);

/* timer.c */
u64 umbra_lapic_get_deadline(const struct umbra_vcpu *vcpu);
void umbra_lapic_set_deadline(struct umbra_vcpu *vcpu, u64 deadline);
void umbra_lapic_tsc_changed(struct umbra_vcpu *vcpu);

/* deliver.c */
bool umbra_lapic_interrupt(struct umbra_vcpu *vcpu, u8 vector);
bool umbra_irq_waits(struct umbra_vcpu *vcpu);
int umbra_irq_ack(struct umbra_vcpu *vcpu);
bool umbra_irq_pull(struct umbra_vcpu *vcpu, bool can_take);
bool umbra_irq_userspace_extint(struct umbra_vcpu *vcpu);

/* asyncpf.c */
int umbra_async_pf_init(void);
void umbra_async_pf_exit(void);
int umbra_async_pf_create(struct umbra_vcpu *vcpu);
void umbra_async_pf_destroy(struct umbra_vcpu *vcpu);
void umbra_async_pf_reset(struct umbra_vcpu *vcpu);
u64 umbra_async_pf_get_msr(const struct umbra_vcpu *vcpu, u32 index);
int umbra_async_pf_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val);
int umbra_async_pf_fault(struct umbra_vcpu *vcpu, struct umbra_fault *fault);
void umbra_async_pf_outside(struct umbra_vcpu *vcpu);

/* pveoi.c */
int umbra_pv_eoi_set_msr(struct umbra_vcpu *vcpu, u64 val);
bool umbra_pv_eoi_ready(struct umbra_vcpu *vcpu);
void umbra_pv_eoi_outside(struct umbra_vcpu *vcpu);

/* mp.c */
void umbra_vcpu_kick(struct umbra_vcpu *vcpu);
int umbra_halt(struct umbra_vcpu *vcpu);
int umbra_irq_outside(struct umbra_vcpu *vcpu);
void umbra_nmi_pull(struct umbra_vcpu *vcpu);
void umbra_set_sipi_vector(struct umbra_vcpu *vcpu, u8 vector);

/* Is there something to be served before the guest can be entered? */
static inline bool umbra_irq_holds(struct umbra_vcpu *vcpu)
{
	return (READ_ONCE(vcpu->arch.requests) & UMBRA_REQS_OUTSIDE) ||
	       vcpu->arch.mp_state != KVM_MP_STATE_RUNNABLE;
}

#endif
