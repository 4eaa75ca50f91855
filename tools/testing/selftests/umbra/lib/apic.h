/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC from both sides: registers as guest code reaches them, by MMIO or by
 * MSR, and VMs that have one in the kernel.
 */
#ifndef _UMBRA_TEST_APIC_H
#define _UMBRA_TEST_APIC_H

#include "vm.h"

#define APIC_MMIO 0xfee00000UL
#define APIC_BASE_MSR 0x1b
#define APIC_BASE_BSP BIT(8)
#define APIC_BASE_X2 BIT(10)
#define APIC_BASE_ON BIT(11)
#define TSC_DEADLINE_MSR 0x6e0

#define APIC_ID 0x20
#define APIC_VERSION 0x30
#define APIC_TPR 0x80
#define APIC_PPR 0xa0
#define APIC_EOI 0xb0
#define APIC_LDR 0xd0
#define APIC_DFR 0xe0
#define APIC_SPIV 0xf0
#define APIC_ISR 0x100
#define APIC_TMR 0x180
#define APIC_IRR 0x200
#define APIC_ESR 0x280
#define APIC_ICR 0x300
#define APIC_ICR2 0x310
#define APIC_LVTT 0x320
#define APIC_LVTTHMR 0x330
#define APIC_LVTPC 0x340
#define APIC_LVT0 0x350
#define APIC_LVT1 0x360
#define APIC_LVTERR 0x370
#define APIC_TMICT 0x380
#define APIC_TMCCT 0x390
#define APIC_TDCR 0x3e0
#define APIC_SELF 0x3f0

#define APIC_SPIV_ON BIT(8)
#define LVT_MASKED BIT(16)
#define LVT_EXTINT 0x700
#define LVT_NMI 0x400
#define TIMER_ONESHOT 0
#define TIMER_PERIODIC BIT(17)
#define TIMER_DEADLINE BIT(18)
#define TDCR_1 0xb

#define ICR_FIXED 0
#define ICR_LOWEST 0x100
#define ICR_NMI 0x400
#define ICR_INIT 0x500
#define ICR_SIPI 0x600
#define ICR_LOGICAL 0x800
#define ICR_ASSERT 0x4000
#define ICR_LEVEL 0x8000
#define ICR_SELF 0x40000
#define ICR_ALL 0x80000
#define ICR_OTHERS 0xc0000

static inline u32 apic_read(bool x2, u32 reg)
{
	if (x2)
		return guest_rdmsr(0x800 + (reg >> 4));
	return GUEST_READ((u32 *)(APIC_MMIO + reg));
}

static inline void apic_write(bool x2, u32 reg, u32 value)
{
	if (x2)
		guest_wrmsr(0x800 + (reg >> 4), value);
	else
		GUEST_WRITE((u32 *)(APIC_MMIO + reg), value);
}

static inline void apic_send(bool x2, u32 icr, u32 dest)
{
	if (x2) {
		guest_wrmsr(0x830, icr | (u64)dest << 32);
		return;
	}
	apic_write(false, APIC_ICR2, dest << 24);
	apic_write(false, APIC_ICR, icr);
}

/* Into the mode that is wanted, and software-enabled. */
static inline void apic_on(bool x2)
{
	u64 base = guest_rdmsr(APIC_BASE_MSR);

	if (x2)
		guest_wrmsr(APIC_BASE_MSR, base | APIC_BASE_X2);
	apic_write(x2, APIC_SPIV, APIC_SPIV_ON | 0xff);
}

static inline void guest_sti(void)
{
	asm volatile("sti; nop" : : : "memory");
}

static inline void guest_cli(void)
{
	asm volatile("cli" : : : "memory");
}

/* Sleep until an interrupt has been taken; interrupts are off before and after. */
static inline void guest_halt(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

/**
 * vm_irqchip() - a VM with interrupt controllers in the kernel, and no vCPU
 * @full: PIC and IOAPIC too, not only local APICs
 *
 * Returns NULL where the node does not have them.
 */
struct vm *vm_irqchip(bool full);

/**
 * vm_msi() - KVM_SIGNAL_MSI to a physical destination
 * @data: vector and delivery mode
 *
 * Returns what the ioctl returns, or -errno.
 */
int vm_msi(struct vm *vm, u32 dest, u32 data);

/**
 * vm_irq_line() - KVM_IRQ_LINE_STATUS
 *
 * Returns the status, or -errno below -1.
 */
int vm_irq_line(struct vm *vm, u32 gsi, u32 level);

/**
 * vm_route() - KVM_SET_GSI_ROUTING
 *
 * Returns 0 or -errno.
 */
int vm_route(struct vm *vm, const struct kvm_irq_routing_entry *entries, u32 nr);

static inline struct kvm_irq_routing_entry msi_route(u32 gsi, u32 dest, u32 data)
{
	return (struct kvm_irq_routing_entry) {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = APIC_MMIO | dest << 12, .data = data },
	};
}

u32 vcpu_lapic_reg(struct vcpu *vcpu, u32 reg);
void vcpu_set_mp(struct vcpu *vcpu, u32 state);
u32 vcpu_mp(struct vcpu *vcpu);

/**
 * vcpu_cpuid_deadline() - show the vCPU the timer mode that the list leaves out
 */
void vcpu_cpuid_deadline(struct vcpu *vcpu);

#endif
