/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * arch/x86/irq: what its files share.
 *
 * A local APIC's registers belong to the vCPU's thread, but for three arrays of bits:
 * IRR and TMR are changed by whoever delivers, with atomic operations and without a
 * lock, and so from any context; ISR is the thread's. What others read of the rest (ID,
 * LDR, DFR, SPIV, LVT0, the APIC base) is one word each, as of a moment before or after.
 *
 * Locks, outermost first; delivery to a local APIC takes none:
 *	irqchip->lock		mutex: changes of routes and irqfds; creation of devices
 *	  eventfd's own		an irqfd is called with it, interrupts off
 *	    pit.lock		interrupts off
 *	      irqchip->pins	interrupts off: PIC, IOAPIC, level of each line
 * irqchip->srcu (read) covers the use of the routing table and of the list of who waits
 * for the end of interrupts, in any context.
 */
#ifndef _UMBRA_X86_IRQ_INTERNAL_H
#define _UMBRA_X86_IRQ_INTERNAL_H

#include <linux/hrtimer.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <asm/apicdef.h>
#include <asm/msr-index.h>

#include "../irqchip.h"

#define UMBRA_GSI_MAX	4096	/* KVM_CAP_IRQ_ROUTING */
#define UMBRA_PIC_PINS	16
#define UMBRA_X2APIC_BROADCAST	0xffffffff
#define UMBRA_XAPIC_BROADCAST	0xff

/* Bits of umbra_lapic.pending. */
#define UMBRA_MP_INIT	0
#define UMBRA_MP_SIPI	1

/**
 * struct umbra_lapic - a vCPU's local APIC
 * @vcpu: whose
 * @regs: registers, in the layout of the architecture and of KVM_GET_LAPIC
 * @isr_top: highest vector in service, or -1
 * @errors: what ESR shows after the guest's next write to it
 * @pending: UMBRA_MP_*; @sipi_vector: of the last SIPI
 * @eoi_vector: for KVM_EXIT_IOAPIC_EOI
 * @timer: fires in any context
 * @period: of the timer counter, in ns; 0 when it is stopped
 * @expires: when the counter reaches 0
 * @deadline: MSR_IA32_TSC_DEADLINE
 * @offered: the guest may end the interrupt in service by the byte at @offer (pveoi.c)
 * @offer: guest physical address
 * @late_eois: EOIs that the guest wrote while it was not known what it had ended by @offer
 */
struct umbra_lapic {
	struct umbra_vcpu *vcpu;
	u8 regs[KVM_APIC_REG_SIZE] __aligned(16);
	int isr_top;
	atomic_t errors;
	unsigned long pending;
	u8 sipi_vector;
	u8 eoi_vector;
	struct hrtimer timer;
	u64 period;
	ktime_t expires;
	u64 deadline;
	bool offered;
	gpa_t offer;
	unsigned int late_eois;
};

static inline u32 lapic_get(const struct umbra_lapic *lapic, unsigned int reg)
{
	return READ_ONCE(*(const u32 *)(lapic->regs + reg));
}

static inline void lapic_set(struct umbra_lapic *lapic, unsigned int reg, u32 val)
{
	WRITE_ONCE(*(u32 *)(lapic->regs + reg), val);
}

static inline bool lapic_hw_enabled(const struct umbra_lapic *lapic)
{
	return READ_ONCE(lapic->vcpu->arch.apic_base) & MSR_IA32_APICBASE_ENABLE;
}

static inline bool lapic_x2apic(const struct umbra_lapic *lapic)
{
	return READ_ONCE(lapic->vcpu->arch.apic_base) & X2APIC_ENABLE;
}

static inline bool lapic_enabled(const struct umbra_lapic *lapic)
{
	return lapic_hw_enabled(lapic) &&
	       (lapic_get(lapic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED);
}

/**
 * struct umbra_irq_msg - an interrupt on its way to local APICs
 * @dest: destination; 8 bits but in x2APIC mode
 * @mode: APIC_DM_*
 * @shorthand: APIC_DEST_SELF, ALLINC or ALLBUT, or 0
 * @vector: vector
 * @logical: @dest is a logical destination
 * @lowest: for one of the destinations
 * @level: level-triggered
 * @deassert: the end of a level
 */
struct umbra_irq_msg {
	u32 dest;
	u16 mode;
	u32 shorthand;
	u8 vector;
	bool logical;
	bool lowest;
	bool level;
	bool deassert;
};

/**
 * struct umbra_route - where one GSI leads
 * @gsi: the GSI
 * @next: number + 1 of the GSI's next route, or 0
 * @msi: a message; else a pin
 * @chip: KVM_IRQCHIP_*
 * @pin: 0 to 15 for both PICs together, or of the IOAPIC
 * @address_lo, @address_hi, @data: the message
 */
struct umbra_route {
	u32 gsi;
	u16 next;
	bool msi;
	u8 chip;
	u8 pin;
	u32 address_lo, address_hi, data;
};

/**
 * struct umbra_routes - a routing table; never changes once it is published
 * @nr_gsis: GSIs that may have routes
 * @first: number + 1 of a GSI's first route, or 0
 * @nr: number of @routes
 * @routes: the routes
 */
struct umbra_routes {
	unsigned int nr_gsis;
	u16 *first;
	unsigned int nr;
	struct umbra_route routes[];
};

/* Who drives a line; it is high while one of them does. IRQFD: those that resample. */
enum umbra_irq_source {
	UMBRA_SOURCE_USER,
	UMBRA_SOURCE_IRQFD,
	UMBRA_SOURCE_PIT,
};

struct umbra_pic;
struct umbra_ioapic;
struct umbra_pit;

/**
 * struct umbra_irqchip - a VM's interrupt controllers
 * @vm: the VM
 * @full: PIC and IOAPIC are here too
 * @lock: see the head of this file
 * @srcu: for @routes and @resamplers
 * @routes: the routing table
 * @irqfds: struct umbra_irqfd
 * @resamplers: those of them that wait for the end of an interrupt
 * @pins: see the head of this file
 * @level: enum umbra_irq_source that drive a GSI's line, one bit each
 * @pic, @ioapic, @pit: the devices, or NULL
 */
struct umbra_irqchip {
	struct umbra_vm *vm;
	bool full;
	struct mutex lock;	/* configuration */
	struct srcu_struct srcu;
	struct umbra_routes __rcu *routes;
	struct list_head irqfds;
	struct list_head resamplers;
	spinlock_t pins;	/* PIC, IOAPIC, level */
	u8 level[UMBRA_GSI_MAX];
	struct umbra_pic *pic;
	struct umbra_ioapic *ioapic;
	struct umbra_pit *pit;
};

static inline struct umbra_irqchip *irqchip_of(const struct umbra_lapic *lapic)
{
	return lapic->vcpu->vm->arch.irqchip;
}

/* A request that the vCPU shall see soon, from any context. */
static inline void umbra_vcpu_request(struct umbra_vcpu *vcpu, enum umbra_request req)
{
	set_bit(req, &vcpu->arch.requests);
	umbra_vcpu_kick(vcpu);
}

/* lapic.c */
void umbra_lapic_mmio(struct umbra_vcpu *vcpu, unsigned int offset, void *val,
		      unsigned int len, bool write);
long umbra_lapic_ioctl(struct umbra_vcpu *vcpu, bool set, void __user *argp);

/* mp.c */
long umbra_mp_ioctl(struct umbra_vcpu *vcpu, bool set, void __user *argp);

/* deliver.c */
int umbra_lapic_find(const struct umbra_lapic *lapic, unsigned int array);
bool umbra_lapic_accepts_extint(const struct umbra_lapic *lapic);
void umbra_lapic_update_ppr(struct umbra_lapic *lapic);
void umbra_lapic_error(struct umbra_lapic *lapic, u32 error);
bool umbra_lapic_local(struct umbra_lapic *lapic, unsigned int lvt);
int umbra_lapic_accept(struct umbra_lapic *lapic, const struct umbra_irq_msg *msg);
bool umbra_lapic_eoi_matters(struct umbra_lapic *lapic, u8 vector);
void umbra_lapic_eoi(struct umbra_lapic *lapic);
void umbra_lapic_end(struct umbra_lapic *lapic);

/* pveoi.c */
void umbra_pv_eoi_offer(struct umbra_lapic *lapic, u8 vector);
bool umbra_pv_eoi_settle(struct umbra_lapic *lapic);

/* message.c */
int umbra_irq_deliver(struct umbra_vm *vm, const struct umbra_lapic *source,
		      const struct umbra_irq_msg *msg);
void umbra_lapic_send(struct umbra_lapic *lapic, u32 icr, u32 dest);
int umbra_msi_deliver(struct umbra_irqchip *irqchip, u32 address_lo, u32 address_hi,
		      u32 data);
bool umbra_msi_valid(const struct umbra_vm *vm, u32 address_hi);

/* pic.c */
int umbra_pic_create(struct umbra_irqchip *irqchip);
void umbra_pic_destroy(struct umbra_irqchip *irqchip);
int umbra_pic_set(struct umbra_irqchip *irqchip, unsigned int pin, bool level);
bool umbra_pic_output(const struct umbra_irqchip *irqchip);
u8 umbra_pic_take(struct umbra_irqchip *irqchip);
bool umbra_pic_port(struct umbra_irqchip *irqchip, u16 port, u8 *val, bool in);
void umbra_pic_get(struct umbra_irqchip *irqchip, unsigned int n,
		   struct kvm_pic_state *state);
void umbra_pic_put(struct umbra_irqchip *irqchip, unsigned int n,
		   const struct kvm_pic_state *state);

/* ioapic.c */
int umbra_ioapic_create(struct umbra_irqchip *irqchip);
void umbra_ioapic_destroy(struct umbra_irqchip *irqchip);
int umbra_ioapic_set(struct umbra_irqchip *irqchip, unsigned int pin, bool level);
bool umbra_ioapic_mmio(struct umbra_irqchip *irqchip, gpa_t gpa, void *val,
		       unsigned int len, bool write);
bool umbra_ioapic_has_vector(const struct umbra_irqchip *irqchip, u8 vector);
void umbra_ioapic_eoi(struct umbra_irqchip *irqchip, u8 vector);
void umbra_ioapic_get(struct umbra_irqchip *irqchip, struct kvm_ioapic_state *state);
void umbra_ioapic_put(struct umbra_irqchip *irqchip, const struct kvm_ioapic_state *state);

/* pit.c */
void umbra_pit_ended(struct umbra_irqchip *irqchip, u32 gsi);
bool umbra_pit_port(struct umbra_irqchip *irqchip, u16 port, u8 *val, bool in);
void umbra_pit_stop(struct umbra_irqchip *irqchip);
void umbra_pit_destroy(struct umbra_irqchip *irqchip);
long umbra_pit_ioctl(struct umbra_irqchip *irqchip, unsigned int cmd, void __user *argp);

/* timer.c */
void umbra_lapic_timer_init(struct umbra_lapic *lapic);
void umbra_lapic_timer_stop(struct umbra_lapic *lapic);
void umbra_lapic_timer_start(struct umbra_lapic *lapic, u32 count);
void umbra_lapic_timer_divide(struct umbra_lapic *lapic, u32 tdcr);
u32 umbra_lapic_timer_count(const struct umbra_lapic *lapic);
void umbra_lapic_timer_restore(struct umbra_lapic *lapic);

/* route.c */
int umbra_gsi_set(struct umbra_irqchip *irqchip, enum umbra_irq_source source, u32 gsi,
		  bool level);
int umbra_routes_set(struct umbra_irqchip *irqchip,
		     const struct kvm_irq_routing_entry *entries, unsigned int nr);
int umbra_routes_set_default(struct umbra_irqchip *irqchip);
void umbra_pin_ended(struct umbra_irqchip *irqchip, u8 chip, unsigned int pin);
long umbra_route_ioctl(struct umbra_irqchip *irqchip, unsigned int cmd,
		       void __user *argp);
void umbra_routes_destroy(struct umbra_irqchip *irqchip);

/* irqfd.c */
long umbra_irqfd_ioctl(struct umbra_irqchip *irqchip, void __user *argp);
void umbra_irqfds_release(struct umbra_irqchip *irqchip);
void umbra_irqfds_ended(struct umbra_irqchip *irqchip, u32 gsi);

#endif
