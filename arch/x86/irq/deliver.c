// SPDX-License-Identifier: GPL-2.0-only
/*
 * One local APIC: what it accepts, what it gives to its CPU, and the end of it.
 *
 * A vector goes IRR -> ISR -> EOI (APM volume 2, 16.6). Anybody sets bits in IRR; only
 * the vCPU's thread takes them out. UMBRA_REQ_IRQ is set whenever something may have
 * become deliverable: by who sets IRR, and by the thread itself when TPR, ISR or LVT0
 * change. So a vCPU without that bit need not look.
 */
#include "internal.h"

static unsigned long *bits_of(struct umbra_lapic *lapic, unsigned int array, u8 vector)
{
	return (unsigned long *)(lapic->regs + array + (vector >> 5) * 0x10);
}

/**
 * umbra_lapic_find() - the highest vector in one of the arrays
 * @lapic: the APIC
 * @array: APIC_IRR, APIC_ISR or APIC_TMR
 *
 * Return: the vector, or -1.
 */
int umbra_lapic_find(const struct umbra_lapic *lapic, unsigned int array)
{
	int i;

	for (i = 7; i >= 0; i--) {
		u32 word = lapic_get(lapic, array + i * 0x10);

		if (word)
			return i * 32 + __fls(word);
	}
	return -1;
}

static u8 ppr(const struct umbra_lapic *lapic)
{
	u8 tpr = lapic_get(lapic, APIC_TASKPRI);
	u8 isr = lapic->isr_top < 0 ? 0 : lapic->isr_top & 0xf0;

	return (tpr & 0xf0) >= isr ? tpr : isr;
}

/* Only for who reads the register; priorities are computed from TPR and ISR. */
void umbra_lapic_update_ppr(struct umbra_lapic *lapic)
{
	lapic_set(lapic, APIC_PROCPRI, ppr(lapic));
}

/* The vector that the CPU would be given now, or -1. */
static int deliverable(const struct umbra_lapic *lapic)
{
	int vector;

	if (!lapic_enabled(lapic))
		return -1;
	vector = umbra_lapic_find(lapic, APIC_IRR);
	return vector >= 0 && (vector & 0xf0) > (ppr(lapic) & 0xf0) ? vector : -1;
}

/**
 * umbra_lapic_accepts_extint() - does LINT0 lead from the PIC to this CPU?
 * @lapic: the APIC; may be another vCPU's
 */
bool umbra_lapic_accepts_extint(const struct umbra_lapic *lapic)
{
	u32 lvt0 = lapic_get(lapic, APIC_LVT0);

	return !lapic_hw_enabled(lapic) ||
	       (!(lvt0 & APIC_LVT_MASKED) &&
		GET_APIC_DELIVERY_MODE(lvt0) == APIC_MODE_EXTINT);
}

static bool extint_waits(const struct umbra_lapic *lapic)
{
	const struct umbra_irqchip *irqchip = irqchip_of(lapic);

	if (irqchip->full ? !umbra_pic_output(irqchip) : lapic->vcpu->arch.extint < 0)
		return false;
	return umbra_lapic_accepts_extint(lapic);
}

/**
 * umbra_irq_waits() - is there an interrupt that the CPU would be given?
 * @vcpu: the vCPU, which has a local APIC
 *
 * RFLAGS.IF is the caller's affair. Never sleeps.
 */
bool umbra_irq_waits(struct umbra_vcpu *vcpu)
{
	const struct umbra_lapic *lapic = vcpu->arch.lapic;

	return extint_waits(lapic) || deliverable(lapic) >= 0;
}

/* Take the interrupt that umbra_irq_waits() has found. */
static int take(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *lapic = vcpu->arch.lapic;
	int vector;

	if (extint_waits(lapic)) {
		if (irqchip_of(lapic)->full)
			return umbra_pic_take(irqchip_of(lapic));
		vector = vcpu->arch.extint;
		vcpu->arch.extint = -1;
		return vector;
	}
	vector = deliverable(lapic);
	if (vector < 0)
		return -1;
	clear_bit(vector & 31, bits_of(lapic, APIC_IRR, vector));
	__set_bit(vector & 31, bits_of(lapic, APIC_ISR, vector));
	lapic->isr_top = vector;
	umbra_pv_eoi_offer(lapic, vector);
	return vector;
}

/**
 * umbra_irq_pull() - move an interrupt from the APIC to arch.irq, before an entry
 * @vcpu: the vCPU; its arch.irq is free
 * @can_take: the guest takes interrupts, and nothing else is injected
 *
 * Return: whether an interrupt is left that the guest could not take yet.
 */
bool umbra_irq_pull(struct umbra_vcpu *vcpu, bool can_take)
{
	unsigned long *requests = &vcpu->arch.requests;

	if (!test_bit(UMBRA_REQ_IRQ, requests))
		return false;
	clear_bit(UMBRA_REQ_IRQ, requests);
	/* Who sets IRR from here on sets the request again. */
	smp_mb__after_atomic();
	if (can_take)
		vcpu->arch.irq = take(vcpu);
	if (!umbra_irq_waits(vcpu))
		return false;
	set_bit(UMBRA_REQ_IRQ, requests);
	return true;
}

/**
 * umbra_irq_userspace_extint() - could userspace's PIC give an interrupt now?
 * @vcpu: the vCPU
 */
bool umbra_irq_userspace_extint(struct umbra_vcpu *vcpu)
{
	return !umbra_irqchip_full(vcpu->vm) && vcpu->arch.extint < 0 &&
	       umbra_lapic_accepts_extint(vcpu->arch.lapic);
}

/**
 * umbra_lapic_error() - note an error for ESR, and raise its interrupt
 * @lapic: the APIC
 * @error: APIC_ESR_*
 *
 * An error that is noted already raises nothing: the interrupt's own vector may be one.
 */
void umbra_lapic_error(struct umbra_lapic *lapic, u32 error)
{
	if (!(atomic_fetch_or(error, &lapic->errors) & error))
		umbra_lapic_local(lapic, APIC_LVTERR);
}

/* Vectors below 16 are the CPU's own. */
static int accept_fixed(struct umbra_lapic *lapic, u8 vector, bool level)
{
	if (!lapic_enabled(lapic))
		return 0;
	if (vector < 16) {
		umbra_lapic_error(lapic, APIC_ESR_RECVILL);
		return 0;
	}
	if (level)
		set_bit(vector & 31, bits_of(lapic, APIC_TMR, vector));
	else if (test_bit(vector & 31, bits_of(lapic, APIC_TMR, vector)))
		clear_bit(vector & 31, bits_of(lapic, APIC_TMR, vector));
	set_bit(vector & 31, bits_of(lapic, APIC_IRR, vector));
	umbra_vcpu_request(lapic->vcpu, UMBRA_REQ_IRQ);
	return 1;
}

static void accept_nmi(struct umbra_vcpu *vcpu)
{
	atomic_inc(&vcpu->arch.nmi_queued);
	umbra_vcpu_request(vcpu, UMBRA_REQ_NMI);
}

/* What came before an INIT is forgotten with the rest. */
static void accept_init(struct umbra_lapic *lapic)
{
	clear_bit(UMBRA_MP_SIPI, &lapic->pending);
	set_bit(UMBRA_MP_INIT, &lapic->pending);
	umbra_vcpu_request(lapic->vcpu, UMBRA_REQ_MP);
}

static void accept_sipi(struct umbra_lapic *lapic, u8 vector)
{
	WRITE_ONCE(lapic->sipi_vector, vector);
	/* The vector is there when the bit is. */
	smp_wmb();
	set_bit(UMBRA_MP_SIPI, &lapic->pending);
	umbra_vcpu_request(lapic->vcpu, UMBRA_REQ_MP);
}

/**
 * umbra_lapic_accept() - an interrupt arrives at one of its destinations
 * @lapic: the APIC
 * @msg: the interrupt
 *
 * From any context. Return: 1, or 0 when the APIC ignores it.
 */
int umbra_lapic_accept(struct umbra_lapic *lapic, const struct umbra_irq_msg *msg)
{
	if (!lapic_hw_enabled(lapic))
		return 0;
	switch (msg->mode) {
	case APIC_DM_FIXED:
	case APIC_DM_LOWEST:
		return msg->deassert ? 0 : accept_fixed(lapic, msg->vector, msg->level);
	case APIC_DM_NMI:
		accept_nmi(lapic->vcpu);
		return 1;
	case APIC_DM_INIT:
		if (msg->deassert)
			return 0;
		accept_init(lapic);
		return 1;
	case APIC_DM_STARTUP:
		accept_sipi(lapic, msg->vector);
		return 1;
	default:
		return 0;
	}
}

/**
 * umbra_lapic_local() - an interrupt of the APIC's own
 * @lapic: the APIC
 * @lvt: its entry in the local vector table
 *
 * From any context. Return: whether it was delivered.
 */
bool umbra_lapic_local(struct umbra_lapic *lapic, unsigned int lvt)
{
	u32 entry = lapic_get(lapic, lvt);
	struct umbra_irq_msg msg = {
		.mode = entry & APIC_MODE_MASK,
		.vector = entry & APIC_VECTOR_MASK,
		.level = entry & APIC_LVT_LEVEL_TRIGGER,
	};

	if (entry & APIC_LVT_MASKED)
		return false;
	return umbra_lapic_accept(lapic, &msg);
}

/**
 * umbra_lapic_interrupt() - an interrupt that comes from the kernel itself
 * @vcpu: the vCPU, which has a local APIC
 * @vector: its vector
 *
 * Return: false when the APIC is off.
 */
bool umbra_lapic_interrupt(struct umbra_vcpu *vcpu, u8 vector)
{
	const struct umbra_irq_msg msg = { .mode = APIC_DM_FIXED, .vector = vector };

	return umbra_lapic_accept(vcpu->arch.lapic, &msg);
}

/*
 * The IOAPIC wants to know. Userspace's is told of levels only; the one in the kernel
 * has an ear for all of its vectors.
 */
static void tell_ioapic(struct umbra_lapic *lapic, u8 vector)
{
	if (irqchip_of(lapic)->full) {
		umbra_ioapic_eoi(irqchip_of(lapic), vector);
	} else if (test_bit(vector & 31, bits_of(lapic, APIC_TMR, vector))) {
		lapic->eoi_vector = vector;
		set_bit(UMBRA_REQ_EOI, &lapic->vcpu->arch.requests);
	}
}

/**
 * umbra_lapic_eoi_matters() - does anybody wait for the end of an interrupt?
 * @lapic: the APIC
 * @vector: its vector
 */
bool umbra_lapic_eoi_matters(struct umbra_lapic *lapic, u8 vector)
{
	return test_bit(vector & 31, bits_of(lapic, APIC_TMR, vector)) ||
	       (irqchip_of(lapic)->full &&
		umbra_ioapic_has_vector(irqchip_of(lapic), vector));
}

/**
 * umbra_lapic_eoi() - the guest wrote EOI
 * @lapic: the APIC, by its own thread
 */
void umbra_lapic_eoi(struct umbra_lapic *lapic)
{
	if (umbra_pv_eoi_settle(lapic))
		umbra_lapic_end(lapic);
	else
		lapic->late_eois++;
}

/**
 * umbra_lapic_end() - the highest interrupt in service is over
 * @lapic: the APIC, by its own thread; umbra_pv_eoi_settle() was asked
 */
void umbra_lapic_end(struct umbra_lapic *lapic)
{
	int vector = lapic->isr_top;

	if (vector < 0)
		return;
	__clear_bit(vector & 31, bits_of(lapic, APIC_ISR, vector));
	lapic->isr_top = umbra_lapic_find(lapic, APIC_ISR);
	tell_ioapic(lapic, vector);
	if (umbra_lapic_find(lapic, APIC_IRR) >= 0)
		set_bit(UMBRA_REQ_IRQ, &lapic->vcpu->arch.requests);
}
