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
 * @has_error: it pushes @error; real mode never does
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
	event->kind = UMBRA_EVENT_EXCEPTION;
	event->vector = vector;
	event->has_error = has_error && (vcpu->arch.cr0 & X86_CR0_PE);
	event->error = error;
	/* The pushed image of a fault says not to break on the instruction again. */
	if (vector != VECTOR_DB && vector != VECTOR_BP && vector != VECTOR_OF)
		vcpu->arch.rflags |= X86_EFLAGS_RF;
}

/**
 * umbra_queue_page_fault() - raise #PF at the next entry
 * @vcpu: the vCPU
 * @address: faulting linear address
 * @error: the error code
 */
void umbra_queue_page_fault(struct umbra_vcpu *vcpu, u64 address, u32 error)
{
	umbra_queue_exception(vcpu, VECTOR_PF, true, error);
	vcpu->arch.cr2 = address;
	umbra_backend->sync_cr(vcpu);
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

void umbra_get_events(struct umbra_vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;
	const struct umbra_x86_event *event = &arch->event;

	umbra_nmi_pull(vcpu);
	memset(ev, 0, sizeof(*ev));
	if (event->kind == UMBRA_EVENT_EXCEPTION) {
		ev->exception.injected = 1;
		ev->exception.nr = event->vector;
		ev->exception.has_error_code = event->has_error;
		ev->exception.error_code = event->error;
	} else if (event->kind == UMBRA_EVENT_INTERRUPT) {
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
}

/* -EINVAL for flags and events that are not offered or do not exist. */
long umbra_set_events(struct umbra_vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (ev->flags & ~(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
			  KVM_VCPUEVENT_VALID_SIPI_VECTOR))
		return -EINVAL;
	if (ev->exception.injected &&
	    (ev->exception.nr > 31 || ev->exception.nr == 2))
		return -EINVAL;

	umbra_nmi_pull(vcpu);
	if (ev->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR)
		umbra_set_sipi_vector(vcpu, ev->sipi_vector);
	arch->event = (struct umbra_x86_event) {};
	arch->irq = -1;
	if (ev->exception.injected) {
		arch->event.kind = UMBRA_EVENT_EXCEPTION;
		arch->event.vector = ev->exception.nr;
		arch->event.has_error = ev->exception.has_error_code &&
					(VECTORS_ERROR & BIT(ev->exception.nr)) &&
					(arch->cr0 & X86_CR0_PE);
		arch->event.error = ev->exception.error_code;
	} else if (ev->nmi.injected) {
		arch->event.kind = UMBRA_EVENT_NMI;
	}
	if (ev->interrupt.injected)
		arch->irq = ev->interrupt.nr;
	if (ev->flags & KVM_VCPUEVENT_VALID_SHADOW)
		umbra_backend->set_int_shadow(vcpu, ev->interrupt.shadow);
	if (ev->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		arch->nmi_pending = min_t(u8, ev->nmi.pending, 2);
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
