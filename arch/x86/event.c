// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions, interrupts and NMIs on their way to the guest, before the backend
 * injects them.
 *
 * An exception that is raised while another event could not be delivered merges with
 * it (APM volume 2, 8.2.9): contributory ones and page faults become #DF, one during
 * #DF shuts the guest down. An interrupt or NMI whose delivery raised an exception is
 * lost in hardware too, so the exception takes its place.
 */
#include <linux/uaccess.h>

#include "irqchip.h"

/* Bits of DR6 that a #DB clears when it does not set them. */
#define DR6_TRAPS	0xfULL

#define VECTOR_DE	0
#define VECTOR_DB	1
#define VECTOR_BP	3
#define VECTOR_OF	4
#define VECTOR_DF	8
#define VECTOR_TS	10
#define VECTOR_NP	11
#define VECTOR_SS	12
#define VECTOR_GP	13
#define VECTOR_PF	14

/* Vectors that push an error code (APM volume 2, table 8-1). */
#define VECTORS_ERROR	(BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | \
			 BIT(17) | BIT(21) | BIT(29) | BIT(30))

static bool contributory(u8 vector)
{
	return vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP);
}

static bool merges(u8 first, u8 second)
{
	return (contributory(first) && contributory(second)) ||
	       (first == VECTOR_PF && (second == VECTOR_PF || contributory(second)));
}

/**
 * umbra_queue_exception() - raise an exception at the next entry
 * @vcpu: the vCPU
 * @vector: its vector
 * @has_error: it pushes @error, but for real mode
 * @error: the error code
 */
void umbra_queue_exception(struct umbra_vcpu *vcpu, u8 vector, bool has_error,
			   u32 error)
{
	struct umbra_x86_event *event = &vcpu->arch.event;

	if (event->kind == UMBRA_EVENT_EXCEPTION) {
		if (event->vector == VECTOR_DF) {
			vcpu->arch.stop |= UMBRA_STOP_SHUTDOWN;
			return;
		}
		if (merges(event->vector, vector)) {
			vector = VECTOR_DF;
			has_error = true;
			error = 0;
		}
	}
	*event = (struct umbra_x86_event) {
		.kind = UMBRA_EVENT_EXCEPTION,
		.vector = vector,
		.has_error = has_error,
		.error = error,
		.pending = true,
	};
	/* The pushed image of a fault says not to break on the instruction again. */
	if (vector != VECTOR_DB && vector != VECTOR_BP && vector != VECTOR_OF)
		vcpu->arch.rflags |= X86_EFLAGS_RF;
}

/* A #DB ends the watch over the debug registers, too. */
static void write_payload(struct umbra_vcpu *vcpu, u8 vector, u64 payload)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (vector == VECTOR_PF) {
		arch->cr2 = payload;
		umbra_backend->sync_cr(vcpu);
	} else if (vector == VECTOR_DB) {
		umbra_set_dr(vcpu, 6, (arch->dr6 & ~DR6_TRAPS) | (u32)payload);
		arch->dr7 &= ~(u64)UMBRA_DR7_GD;
		umbra_backend->sync_dr(vcpu);
	}
}

/**
 * umbra_event_payload() - the exception that waits has its effect on CR2 or DR6 now
 * @vcpu: the vCPU; may be in the inner section
 */
void umbra_event_payload(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_event *event = &vcpu->arch.event;

	if (!event->has_payload)
		return;
	event->has_payload = false;
	write_payload(vcpu, event->vector, event->payload);
}

/**
 * umbra_queue_payload() - raise #PF or #DB at the next entry
 * @vcpu: the vCPU
 * @vector: which
 * @error: the error code of a #PF
 * @payload: what CR2 is, or the bits that are set in DR6
 *
 * The registers change at delivery where userspace has asked for it, and now elsewhere.
 */
void umbra_queue_payload(struct umbra_vcpu *vcpu, u8 vector, u32 error, u64 payload)
{
	struct umbra_x86_event *event = &vcpu->arch.event;

	umbra_queue_exception(vcpu, vector, vector == VECTOR_PF, error);
	if (event->vector != vector || !READ_ONCE(vcpu->vm->arch.exception_payload)) {
		write_payload(vcpu, vector, payload);
		return;
	}
	event->has_payload = true;
	event->payload = payload;
}

/**
 * umbra_queue_page_fault() - raise #PF at the next entry
 * @vcpu: the vCPU
 * @address: faulting linear address
 * @error: the error code
 */
void umbra_queue_page_fault(struct umbra_vcpu *vcpu, u64 address, u32 error)
{
	umbra_queue_payload(vcpu, VECTOR_PF, error, address);
}

/**
 * umbra_irq_window() - would the guest take an interrupt of userspace's now?
 * @vcpu: the vCPU
 */
bool umbra_irq_window(struct umbra_vcpu *vcpu)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (arch->lapic && !umbra_irq_userspace_extint(vcpu))
		return false;
	return arch->irq < 0 && arch->event.kind == UMBRA_EVENT_NONE &&
	       (arch->rflags & X86_EFLAGS_IF) && !umbra_backend->int_shadow(vcpu);
}

/*
 * -EINVAL for a vector that does not exist, -EEXIST while one waits, -ENXIO where the PIC
 * is in the kernel. With a local APIC in the kernel it goes by LINT0.
 */
static long interrupt(struct umbra_vcpu *vcpu, u32 irq)
{
	int *slot = vcpu->arch.lapic ? &vcpu->arch.extint : &vcpu->arch.irq;

	if (irq > 255)
		return -EINVAL;
	if (umbra_irqchip_full(vcpu->vm))
		return -ENXIO;
	if (*slot >= 0)
		return -EEXIST;
	*slot = irq;
	if (vcpu->arch.lapic)
		set_bit(UMBRA_REQ_IRQ, &vcpu->arch.requests);
	return 0;
}

/* Without exception_payload all that waits is as if it had been injected. */
static void get_exception(struct umbra_vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	bool payload = READ_ONCE(vcpu->vm->arch.exception_payload);
	const struct umbra_x86_event *event = &vcpu->arch.event;

	if (!payload)
		umbra_event_payload(vcpu);
	ev->exception.pending = payload && event->pending;
	ev->exception.injected = !ev->exception.pending;
	ev->exception.nr = event->vector;
	ev->exception.has_error_code = event->has_error;
	ev->exception.error_code = event->error;
	ev->exception_has_payload = event->has_payload;
	ev->exception_payload = event->has_payload ? event->payload : 0;
}

void umbra_get_events(struct umbra_vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;
	const struct umbra_x86_event *event = &arch->event;

	umbra_nmi_pull(vcpu);
	memset(ev, 0, sizeof(*ev));
	if (event->kind == UMBRA_EVENT_EXCEPTION)
		get_exception(vcpu, ev);
	if (event->kind == UMBRA_EVENT_INTERRUPT) {
		ev->interrupt.injected = 1;
		ev->interrupt.nr = event->vector;
	} else if (arch->irq >= 0) {
		ev->interrupt.injected = 1;
		ev->interrupt.nr = arch->irq;
	}
	ev->interrupt.shadow = umbra_backend->int_shadow(vcpu) ?
		KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI : 0;
	ev->nmi.injected = event->kind == UMBRA_EVENT_NMI;
	ev->nmi.pending = arch->nmi_pending;
	ev->nmi.masked = arch->nmi_masked;
	ev->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (READ_ONCE(vcpu->vm->arch.exception_payload))
		ev->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (READ_ONCE(vcpu->vm->arch.triple_fault_event)) {
		ev->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
		ev->triple_fault.pending = !!(arch->stop & UMBRA_STOP_SHUTDOWN);
	}
}

static bool events_valid(const struct umbra_vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	const struct umbra_arch_vm *vm = &vcpu->vm->arch;
	u32 valid = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
		    KVM_VCPUEVENT_VALID_SIPI_VECTOR;

	if (READ_ONCE(vm->exception_payload))
		valid |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (READ_ONCE(vm->triple_fault_event))
		valid |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	if (ev->flags & ~valid)
		return false;
	if (!ev->exception.injected &&
	    !(ev->exception.pending && (ev->flags & KVM_VCPUEVENT_VALID_PAYLOAD)))
		return true;
	return ev->exception.nr <= 31 && ev->exception.nr != 2;
}

/* Of one that is both injected and pending, the latter counts. False when there is none. */
static bool set_exception(struct umbra_x86_event *event, const struct kvm_vcpu_events *ev)
{
	bool pending = (ev->flags & KVM_VCPUEVENT_VALID_PAYLOAD) && ev->exception.pending;

	if (!pending && !ev->exception.injected)
		return false;
	*event = (struct umbra_x86_event) {
		.kind = UMBRA_EVENT_EXCEPTION,
		.vector = ev->exception.nr,
		.has_error = ev->exception.has_error_code &&
			     (VECTORS_ERROR & BIT(ev->exception.nr)),
		.error = ev->exception.error_code,
		.pending = pending,
		.has_payload = pending && ev->exception_has_payload,
		.payload = ev->exception_payload,
	};
	return true;
}

/* -EINVAL for flags and events that are not offered or do not exist. */
long umbra_set_events(struct umbra_vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (!events_valid(vcpu, ev))
		return -EINVAL;

	umbra_nmi_pull(vcpu);
	if (ev->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR)
		umbra_set_sipi_vector(vcpu, ev->sipi_vector);
	arch->event = (struct umbra_x86_event) {};
	arch->irq = -1;
	if (!set_exception(&arch->event, ev) && ev->nmi.injected)
		arch->event.kind = UMBRA_EVENT_NMI;
	if (ev->interrupt.injected)
		arch->irq = ev->interrupt.nr;
	if (ev->flags & KVM_VCPUEVENT_VALID_SHADOW)
		umbra_backend->set_int_shadow(vcpu, ev->interrupt.shadow);
	if (ev->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		arch->nmi_pending = min_t(u8, ev->nmi.pending, 2);
	if (ev->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
		arch->stop &= ~UMBRA_STOP_SHUTDOWN;
		if (ev->triple_fault.pending)
			arch->stop |= UMBRA_STOP_SHUTDOWN;
	}
	umbra_backend->set_nmi_mask(vcpu, ev->nmi.masked);
	return 0;
}

/**
 * umbra_event_ioctl() - KVM_INTERRUPT, KVM_NMI, KVM_GET/SET_VCPU_EVENTS
 * @vcpu: the vCPU; its mutex is held
 * @cmd: the ioctl
 * @argp: its argument
 *
 * Return: what the ioctl returns; -ENOTTY for another @cmd.
 */
long umbra_event_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	struct kvm_vcpu_events ev;
	struct kvm_interrupt irq;

	switch (cmd) {
	case KVM_INTERRUPT:
		if (copy_from_user(&irq, argp, sizeof(irq)))
			return -EFAULT;
		return interrupt(vcpu, irq.irq);
	case KVM_NMI:
		if (vcpu->arch.nmi_pending < 2)
			vcpu->arch.nmi_pending++;
		return 0;
	case KVM_GET_VCPU_EVENTS:
		umbra_get_events(vcpu, &ev);
		return copy_to_user(argp, &ev, sizeof(ev)) ? -EFAULT : 0;
	case KVM_SET_VCPU_EVENTS:
		if (copy_from_user(&ev, argp, sizeof(ev)))
			return -EFAULT;
		return umbra_set_events(vcpu, &ev);
	default:
		return -ENOTTY;
	}
}
