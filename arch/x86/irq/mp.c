// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a vCPU does as one of several: waiting for an interrupt or for its start, INIT
 * and SIPI, and being interrupted in what it does (kick).
 *
 * A request reaches a vCPU wherever it is:
 *
 *	who has something		the vCPU
 *	-----------------		--------
 *	set the request			mode = IN_GUEST, or: task = me, sleeping
 *	full barrier			full barrier
 *	read mode, task			look at the requests
 *	  IN_GUEST: interrupt		  none: run the guest, or sleep
 *	  task: wake it
 *
 * One of the two sees the other's store. arch.mp_state belongs to the vCPU's thread.
 */
#include <linux/rcuwait.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "internal.h"

/**
 * umbra_vcpu_kick() - have a vCPU look at its requests
 * @vcpu: the vCPU, whose request is set already
 *
 * From any context. It leaves the guest, or wakes up; if it does neither, nothing
 * happens, because it looks before the next entry.
 */
void umbra_vcpu_kick(struct umbra_vcpu *vcpu)
{
	/* Orders the request before the look at who sleeps and at the mode. */
	smp_mb__after_atomic();
	if (!rcuwait_wake_up(&vcpu->arch.wait))
		umbra_vcpu_expel(&vcpu->mmu);
}

/**
 * umbra_halt() - the guest executed HLT
 * @vcpu: the vCPU; RIP is behind it
 *
 * Return: UMBRA_RUN_LEAVE when the vCPU waits in the kernel, UMBRA_RUN_USER when userspace
 * has its interrupt controller.
 */
int umbra_halt(struct umbra_vcpu *vcpu)
{
	vcpu->stat.halt_exits++;
	if (umbra_has_lapic(vcpu)) {
		vcpu->arch.mp_state = KVM_MP_STATE_HALTED;
		return UMBRA_RUN_LEAVE;
	}
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	return UMBRA_RUN_USER;
}

/* Move NMIs from who sent them to the vCPU's own count; two are kept. */
void umbra_nmi_pull(struct umbra_vcpu *vcpu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	int queued;

	if (!test_bit(UMBRA_REQ_NMI, &arch->requests))
		return;
	clear_bit(UMBRA_REQ_NMI, &arch->requests);
	/* An NMI that is counted from here on sets the request again. */
	smp_mb__after_atomic();
	queued = atomic_xchg(&arch->nmi_queued, 0);
	arch->nmi_pending = min(2, arch->nmi_pending + queued);
}

/* Would a vCPU in HLT go on? */
static bool has_event(struct umbra_vcpu *vcpu)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (arch->event.kind != UMBRA_EVENT_NONE || arch->stop)
		return true;
	if (test_bit(UMBRA_REQ_NMI, &arch->requests) ||
	    (arch->nmi_pending && !arch->nmi_masked))
		return true;
	return (arch->rflags & X86_EFLAGS_IF) && !umbra_backend->int_shadow(vcpu) &&
	       (arch->irq >= 0 || umbra_irq_waits(vcpu));
}

static bool wakes_up(struct umbra_vcpu *vcpu)
{
	if (READ_ONCE(vcpu->arch.requests) & UMBRA_REQS_OUTSIDE)
		return true;
	return (vcpu->arch.mp_state == KVM_MP_STATE_HALTED ||
		vcpu->arch.mp_state == KVM_MP_STATE_AP_RESET_HOLD) && has_event(vcpu);
}

/* Sleep until there is something to do. Return: false for a signal. */
static bool block(struct umbra_vcpu *vcpu)
	__must_hold(&vcpu->vm->mmu.srcu)
{
	bool awake;

	umbra_vcpu_srcu_unlock(vcpu);
	prepare_to_rcuwait(&vcpu->arch.wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		awake = wakes_up(vcpu);
		if (awake || signal_pending(current))
			break;
		schedule();
	}
	finish_rcuwait(&vcpu->arch.wait);
	umbra_vcpu_srcu_lock(vcpu);
	return awake;
}

/* Real mode at the page that the SIPI names (APM volume 2, 14.1.5). */
static void start_at(struct umbra_vcpu *vcpu, u8 vector)
{
	struct kvm_segment cs;

	umbra_backend->get_segment(vcpu, UMBRA_SEG_CS, &cs);
	cs.selector = vector << 8;
	cs.base = vector << 12;
	umbra_backend->set_segment(vcpu, UMBRA_SEG_CS, &cs);
	vcpu->arch.rip = 0;
}

/* A SIPI counts only after an INIT. */
static void accept_mp(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *lapic = vcpu->arch.lapic;
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	clear_bit(UMBRA_REQ_MP, &arch->requests);
	/* What comes from here on sets the request again. */
	smp_mb__after_atomic();
	if (test_and_clear_bit(UMBRA_MP_INIT, &lapic->pending)) {
		umbra_x86_reset(vcpu, true);
		arch->mp_state = arch->apic_base & MSR_IA32_APICBASE_BSP ?
			KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED;
	}
	if (test_and_clear_bit(UMBRA_MP_SIPI, &lapic->pending) &&
	    arch->mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		/* Pairs with the sender's. */
		smp_rmb();
		start_at(vcpu, READ_ONCE(lapic->sipi_vector));
		arch->mp_state = KVM_MP_STATE_RUNNABLE;
	}
}

static int report_eoi(struct umbra_vcpu *vcpu)
{
	clear_bit(UMBRA_REQ_EOI, &vcpu->arch.requests);
	vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
	vcpu->run->eoi.vector = vcpu->arch.lapic->eoi_vector;
	return UMBRA_RUN_USER;
}

/**
 * umbra_irq_outside() - serve what holds the vCPU back from the guest
 * @vcpu: the vCPU, outside the inner section; umbra_irq_holds(). Sleeps
 *
 * Return: UMBRA_RUN_AGAIN, UMBRA_RUN_USER, or -EINTR for a signal.
 */
int umbra_irq_outside(struct umbra_vcpu *vcpu)
	__must_hold(&vcpu->vm->mmu.srcu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (test_bit(UMBRA_REQ_EOI, &arch->requests))
		return report_eoi(vcpu);
	if (test_bit(UMBRA_REQ_MP, &arch->requests))
		accept_mp(vcpu);
	/* Who waits must know what else could wake it. */
	umbra_pv_eoi_outside(vcpu);
	if (test_bit(UMBRA_REQ_PAGE_READY, &arch->requests))
		umbra_async_pf_outside(vcpu);
	if (arch->mp_state == KVM_MP_STATE_RUNNABLE)
		return UMBRA_RUN_AGAIN;
	if (!block(vcpu))
		return -EINTR;
	if (!(READ_ONCE(arch->requests) & UMBRA_REQS_OUTSIDE))
		arch->mp_state = KVM_MP_STATE_RUNNABLE;
	return UMBRA_RUN_AGAIN;
}

static long get_mp_state(struct umbra_vcpu *vcpu, struct kvm_mp_state __user *argp)
{
	if (vcpu->arch.lapic && test_bit(UMBRA_REQ_MP, &vcpu->arch.requests))
		accept_mp(vcpu);
	return put_user(vcpu->arch.mp_state, &argp->mp_state);
}

/* Without an APIC in the kernel the state is userspace's, and always RUNNABLE here. */
static long set_mp_state(struct umbra_vcpu *vcpu, const struct kvm_mp_state __user *argp)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	u32 state;

	if (get_user(state, &argp->mp_state))
		return -EFAULT;
	if (!arch->lapic && state != KVM_MP_STATE_RUNNABLE)
		return -EINVAL;
	switch (state) {
	case KVM_MP_STATE_RUNNABLE:
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_AP_RESET_HOLD:
		arch->mp_state = state;
		return 0;
	case KVM_MP_STATE_SIPI_RECEIVED:
		/* It is what a SIPI makes of INIT_RECEIVED. */
		arch->mp_state = KVM_MP_STATE_INIT_RECEIVED;
		set_bit(UMBRA_MP_SIPI, &arch->lapic->pending);
		set_bit(UMBRA_REQ_MP, &arch->requests);
		return 0;
	default:
		return -EINVAL;
	}
}

/* KVM_SET_VCPU_EVENTS: for a SIPI that is on its way. */
void umbra_set_sipi_vector(struct umbra_vcpu *vcpu, u8 vector)
{
	if (vcpu->arch.lapic)
		WRITE_ONCE(vcpu->arch.lapic->sipi_vector, vector);
}

/* KVM_GET_MP_STATE, KVM_SET_MP_STATE. */
long umbra_mp_ioctl(struct umbra_vcpu *vcpu, bool set, void __user *argp)
{
	return set ? set_mp_state(vcpu, argp) : get_mp_state(vcpu, argp);
}
