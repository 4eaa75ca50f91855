// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events for the guest: injection, what was interrupted in delivery, windows.
 *
 * One event goes into an entry (APM 15.20). What waits longer opens a window: for
 * an interrupt a virtual interrupt that is intercepted when the guest could take
 * it (15.21.4), for an NMI the end of the handler that runs, which is its IRET.
 *
 * An exit during delivery leaves the event in EXITINTINFO (15.7.2); it is injected
 * again. A software interrupt, #BP or #OF of the guest's own is not: RIP is still
 * on the instruction, which the guest executes again.
 */
#include "svm.h"

#define VECTOR_BP	3
#define VECTOR_OF	4

/**
 * umbra_svm_irq_window() - have the guest exit when it can take an interrupt
 * @vcpu: the vCPU
 * @on: open or close
 */
void umbra_svm_irq_window(struct umbra_vcpu *vcpu, bool on)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	vmcb->control.int_ctl &= ~(V_IRQ_MASK | V_INTR_PRIO_MASK | V_IGN_TPR_MASK);
	if (on)
		vmcb->control.int_ctl |= V_IRQ_MASK | V_INTR_PRIO_MASK | V_IGN_TPR_MASK;
	vmcb->control.int_vector = 0;
	vmcb_dirty(vmcb, VMCB_CLEAN_INT_CTL);
	vmcb_intercept(vmcb, INTERCEPT_VINTR, on);
}

static void event_inject(struct umbra_vcpu *vcpu, u32 info, u32 error)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	vmcb->control.event_inj = info | SVM_EVTINJ_VALID;
	vmcb->control.event_inj_err = error;
	vcpu->arch.svm->injecting = true;
}

/* One byte long, INT3 and INTO. */
static bool is_soft(u8 vector)
{
	return vector == VECTOR_BP || vector == VECTOR_OF;
}

static void inject_event(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_event *event = &vcpu->arch.event;
	u32 info;

	switch (event->kind) {
	case UMBRA_EVENT_EXCEPTION:
		umbra_event_payload(vcpu);
		event->has_error &= !!(vcpu->arch.cr0 & X86_CR0_PE);
		info = event->vector | SVM_EVTINJ_TYPE_EXEPT |
		       (event->has_error ? SVM_EVTINJ_VALID_ERR : 0);
		break;
	case UMBRA_EVENT_NMI:
		info = SVM_EVTINJ_TYPE_NMI | 2;
		break;
	case UMBRA_EVENT_SOFT:
		info = event->vector | SVM_EVTINJ_TYPE_SOFT;
		umbra_svm_soft_inject(vcpu, event->len);
		break;
	default:
		info = event->vector | SVM_EVTINJ_TYPE_INTR;
		break;
	}
	event_inject(vcpu, info, event->has_error ? event->error : 0);
	if (event->kind == UMBRA_EVENT_EXCEPTION && is_soft(event->vector))
		umbra_svm_soft_inject(vcpu, 1);
	event->kind = UMBRA_EVENT_NONE;
}

/* Run the IRET that was intercepted, and stop behind it. */
static void nmi_window(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_vcpu *svm = vcpu->arch.svm;

	if (!svm->iret || svm->step)
		return;
	svm->step = true;
	vcpu->arch.rflags |= X86_EFLAGS_TF | X86_EFLAGS_RF;
}

/* NMIs are blocked until the guest's next IRET, or are not. */
void umbra_svm_set_nmi_mask(struct umbra_vcpu *vcpu, bool on)
{
	vcpu->arch.nmi_masked = on;
	vcpu->arch.svm->iret = false;
	vmcb_intercept(svm_vmcb(vcpu), INTERCEPT_IRET, on);
}

static bool inject_nmi(struct umbra_vcpu *vcpu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (arch->nmi_masked || umbra_backend->int_shadow(vcpu))
		return false;
	arch->nmi_pending--;
	vcpu->stat.nmi_injections++;
	event_inject(vcpu, SVM_EVTINJ_TYPE_NMI | 2, 0);
	umbra_svm_set_nmi_mask(vcpu, true);
	return true;
}

/* Userspace waits for the guest to take interrupts, and its own could be taken. */
static bool window_wanted(struct umbra_vcpu *vcpu)
{
	return READ_ONCE(vcpu->run->request_interrupt_window) &&
	       (!umbra_has_lapic(vcpu) || umbra_irq_userspace_extint(vcpu));
}

/**
 * umbra_svm_inject() - put what waits into the next entry, open windows for the rest
 * @vcpu: the vCPU; interrupts are off and the entry follows
 */
void umbra_svm_inject(struct umbra_vcpu *vcpu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	bool full = false, waits = false, open;

	if (arch->event.kind != UMBRA_EVENT_NONE) {
		inject_event(vcpu);
		full = true;
	}
	if (arch->debug.control & KVM_GUESTDBG_BLOCKIRQ)
		return;
	if (arch->nmi_pending && !full)
		full = inject_nmi(vcpu);
	open = !full && (arch->rflags & X86_EFLAGS_IF) && !umbra_backend->int_shadow(vcpu);
	if (arch->lapic && arch->irq < 0)
		waits = umbra_irq_pull(vcpu, open);
	if (arch->irq >= 0 && open) {
		event_inject(vcpu, SVM_EVTINJ_TYPE_INTR | arch->irq, 0);
		arch->irq = -1;
		vcpu->stat.irq_injections++;
	}
	if (arch->nmi_pending)
		nmi_window(vcpu);
	if (waits || arch->irq >= 0 || window_wanted(vcpu))
		umbra_svm_irq_window(vcpu, true);
}

/**
 * umbra_svm_injected() - the entry that something was put into is over
 * @vcpu: the vCPU; interrupts are off
 */
void umbra_svm_injected(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_vcpu *svm = vcpu->arch.svm;

	svm->injecting = false;
	svm->vmcb->control.event_inj = 0;
	if (svm->soft)
		umbra_svm_soft_injected(vcpu);
}

/**
 * umbra_svm_recover() - keep the event whose delivery the exit interrupted
 * @vcpu: the vCPU; EXITINTINFO is valid
 */
void umbra_svm_recover(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_vcpu *svm = vcpu->arch.svm;
	const struct vmcb_control_area *control = &svm->vmcb->control;
	struct umbra_x86_event *event = &vcpu->arch.event;
	u32 info = control->exit_int_info;
	u8 vector = info & SVM_EXITINTINFO_VEC_MASK;

	*event = (struct umbra_x86_event) { .vector = vector };
	switch (info & SVM_EXITINTINFO_TYPE_MASK) {
	case SVM_EXITINTINFO_TYPE_NMI:
		event->kind = UMBRA_EVENT_NMI;
		break;
	case SVM_EXITINTINFO_TYPE_INTR:
		event->kind = UMBRA_EVENT_INTERRUPT;
		break;
	case SVM_EXITINTINFO_TYPE_EXEPT:
		if (is_soft(vector) && !svm->soft)
			break;
		event->kind = UMBRA_EVENT_EXCEPTION;
		event->has_error = info & SVM_EXITINTINFO_VALID_ERR;
		event->error = event->has_error ? control->exit_int_info_err : 0;
		break;
	default:
		break;
	}
	svm->soft = false;
}

/**
 * umbra_svm_iret() - the guest is about to leave its NMI handler
 * @vcpu: the vCPU; the IRET was intercepted and is executed next
 *
 * NMIs stay masked until it is over.
 */
void umbra_svm_iret(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_vcpu *svm = vcpu->arch.svm;

	vmcb_intercept(svm->vmcb, INTERCEPT_IRET, false);
	svm->iret = true;
	svm->iret_rip = vcpu->arch.rip;
}

/**
 * umbra_svm_debug() - was this #DB only to see the end of an IRET?
 * @vcpu: the vCPU; #DB was intercepted
 *
 * Return: true when the guest is not to see it.
 */
bool umbra_svm_debug(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_vcpu *svm = vcpu->arch.svm;

	if (!svm->step)
		return false;
	svm->step = false;
	return true;
}
