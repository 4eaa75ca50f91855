// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_RUN: the inner section, and what has to happen between two of them.
 *
 * In the inner section preemption is off and the guest's FPU state, XCR0 and the like
 * are in the CPU. It is left for whatever sleeps or must not wait: userspace, a signal,
 * the scheduler, pending softirqs, a handler that faults pages in.
 *
 * Order of one entry, all with interrupts off:
 *	umbra_vcpu_enter_guest()	flushes from now on interrupt this CPU
 *	look for a kick, work, signals	what came before is seen here
 *	inject, enter			what comes now ends the guest's run
 *	umbra_vcpu_left_guest()
 *
 * mmu->srcu is held while exits are served and not while the guest runs.
 */
#include <linux/interrupt.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/task_work.h>
#include <linux/vtime.h>
#include <umbra/arch.h>
#include <umbra/compat.h>
#include <asm/fpu/api.h>

#include "irqchip.h"
#include "shadow.h"

/*
 * Does the thread have something to do that the guest must wait for? Notifications
 * that userspace's next instruction would see (rseq) can wait until it returns there.
 */
static __always_inline bool thread_has_work(void)
{
	return unlikely(__xfer_to_guest_mode_work_pending()) &&
	       (need_resched() || signal_pending(current) || task_work_pending(current));
}

static __always_inline bool event_waiting(struct umbra_vcpu *vcpu)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;

	return READ_ONCE(arch->requests) | arch->event.kind | arch->nmi_pending |
	       (arch->irq >= 0) | READ_ONCE(vcpu->run->request_interrupt_window);
}

/* Inject what waits; false when something is to be served outside before. */
static noinline bool deliver(struct umbra_vcpu *vcpu)
{
	bool ready;

	if (umbra_irq_holds(vcpu) ||
	    test_and_clear_bit(UMBRA_REQ_LEAVE, &vcpu->arch.requests))
		return false;
	/* The local APIC has a word in the guest's memory. */
	umbra_vcpu_srcu_lock(vcpu);
	ready = umbra_pv_eoi_ready(vcpu);
	if (ready) {
		umbra_nmi_pull(vcpu);
		umbra_backend->inject(vcpu);
	}
	umbra_vcpu_srcu_unlock(vcpu);
	return ready;
}

/* Userspace asked for the moment at which the guest takes interrupts, and it is now. */
static bool window_open(struct umbra_vcpu *vcpu)
{
	return unlikely(READ_ONCE(vcpu->run->request_interrupt_window)) &&
	       umbra_irq_window(vcpu);
}

/*
 * Run the guest once. An interrupt that ended the run is taken here, while the time
 * still counts as the guest's. False when it was not entered.
 */
static __always_inline bool enter_once(struct umbra_vcpu *vcpu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	local_irq_disable();
	if (umbra_vcpu_enter_guest(&vcpu->mmu))
		umbra_backend->flush(vcpu);
	if (unlikely(thread_has_work() || local_softirq_pending() ||
		     umbra_vcpu_kicked(&vcpu->mmu) || !__this_cpu_read(umbra_cpu_on) ||
		     (umbra_shadowed(vcpu) && !umbra_shadow_root_good(vcpu)))) {
		umbra_vcpu_left_guest(&vcpu->mmu);
		local_irq_enable();
		return false;
	}
	if (unlikely(event_waiting(vcpu)) && !deliver(vcpu)) {
		umbra_vcpu_left_guest(&vcpu->mmu);
		local_irq_enable();
		return false;
	}

	vtime_account_guest_enter();
	umbra_pkru_load(vcpu);
	umbra_backend->enter(vcpu);
	umbra_pkru_put(vcpu);
	umbra_vcpu_left_guest(&vcpu->mmu);

	if (unlikely(arch->interrupted)) {
		local_irq_enable();
		/* STI holds interrupts off for one instruction more. */
		vcpu->stat.irq_exits++;
		local_irq_disable();
	}
	vtime_account_guest_exit();
	local_irq_enable();
	vcpu->stat.exits++;
	return true;
}

/* The inner section. Returns UMBRA_RUN_AGAIN when there is work for the thread. */
static int run_inner(struct umbra_vcpu *vcpu)
	__must_hold(&vcpu->vm->mmu.srcu)
{
	int r;

	umbra_fpu_load(vcpu);
	umbra_backend->load(vcpu);
	for (;;) {
		bool entered;

		umbra_vcpu_srcu_unlock(vcpu);
		entered = enter_once(vcpu);
		umbra_vcpu_srcu_lock(vcpu);
		if (unlikely(!entered)) {
			r = UMBRA_RUN_AGAIN;
			break;
		}
		r = umbra_backend->exit_atomic(vcpu);
		if (r != UMBRA_RUN_AGAIN)
			break;
		if (unlikely(vcpu->arch.stop || READ_ONCE(vcpu->arch.clock.stale)) ||
		    umbra_ring_full(&vcpu->mmu) ||
		    window_open(vcpu))
			break;
	}
	umbra_backend->put(vcpu);
	umbra_fpu_put(vcpu);
	return r;
}

static int interrupted_by_signal(struct umbra_vcpu *vcpu)
{
	vcpu->stat.signal_exits++;
	vcpu->run->exit_reason = KVM_EXIT_INTR;
	return -EINTR;
}

/*
 * Reschedule, or go back to userspace. Task work (NUMA balancing, for one) is run only
 * on the way there: what would run it for a guest hands a struct kvm_vcpu to the
 * signal path in older kernels, and umbra has none. TIF_NOTIFY_SIGNAL has the kernel
 * run it and then restart the ioctl, of which userspace sees nothing.
 */
static int do_work(struct umbra_vcpu *vcpu)
	__must_hold(&vcpu->vm->mmu.srcu)
{
	umbra_vcpu_srcu_unlock(vcpu);
	if (need_resched())
		schedule();
	umbra_vcpu_srcu_lock(vcpu);
	if (signal_pending(current))
		return interrupted_by_signal(vcpu);
	if (task_work_pending(current)) {
		set_thread_flag(TIF_NOTIFY_SIGNAL);
		return -ERESTARTNOINTR;
	}
	return this_cpu_read(umbra_cpu_on) ? UMBRA_RUN_AGAIN : -EBUSY;
}

/* A guest whose CR3 leads out of memory can fetch nothing, not even a handler. */
static int find_root(struct umbra_vcpu *vcpu)
{
	int r;

	if (signal_pending(current))
		return interrupted_by_signal(vcpu);
	cond_resched();
	r = umbra_shadow_load_root(vcpu);
	if (r != -EFAULT)
		return r;
	vcpu->arch.stop |= UMBRA_STOP_SHUTDOWN;
	return 0;
}

static void stopped(struct umbra_vcpu *vcpu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	u8 stop = arch->stop;

	arch->stop = 0;
	if (stop & UMBRA_STOP_SHUTDOWN) {
		arch->event.kind = UMBRA_EVENT_NONE;
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	} else {
		umbra_debug_exit(vcpu, 1, arch->debug.dr6);
	}
}

static int run_loop(struct umbra_vcpu *vcpu)
{
	for (;;) {
		int r;

		if (unlikely(vcpu->arch.stop)) {
			stopped(vcpu);
			return 0;
		}
		if (umbra_ring_full(&vcpu->mmu)) {
			vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
			return 0;
		}
		if (window_open(vcpu)) {
			vcpu->stat.request_irq_exits++;
			vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
			return 0;
		}
		if (unlikely(umbra_irq_holds(vcpu))) {
			r = umbra_irq_outside(vcpu);
		} else if (umbra_shadowed(vcpu) && !umbra_shadow_root_good(vcpu)) {
			r = find_root(vcpu);
			if (r < 0)
				return r;
			continue;
		} else {
			if (unlikely(READ_ONCE(vcpu->arch.clock.stale)))
				umbra_clock_update(vcpu);
			r = run_inner(vcpu);
			if (r == UMBRA_RUN_SLOW)
				r = umbra_backend->exit_slow(vcpu);
		}
		if (r == UMBRA_RUN_USER)
			return 0;
		if (r == -EINTR)
			return interrupted_by_signal(vcpu);
		if (r < 0)
			return r;
		if (thread_has_work() || !this_cpu_read(umbra_cpu_on)) {
			r = do_work(vcpu);
			if (r < 0)
				return r;
		}
	}
}

/* What userspace finds in kvm_run besides the exit itself. */
static void publish(struct umbra_vcpu *vcpu)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;
	struct kvm_run *run = vcpu->run;

	umbra_pv_eoi_outside(vcpu);
	run->if_flag = !!(arch->rflags & X86_EFLAGS_IF);
	run->cr8 = umbra_get_cr8(vcpu);
	run->apic_base = arch->apic_base;
	run->ready_for_interrupt_injection = umbra_irqchip_full(vcpu->vm) ||
					     umbra_irq_window(vcpu);
	run->flags = 0;
	umbra_sync_out(vcpu);
}

/**
 * umbra_arch_vcpu_run() - KVM_RUN; see <umbra/arch.h>
 * @vcpu: the vCPU; its mutex and mmu->srcu are held
 *
 * With run->immediate_exit set, what userspace answered is completed and the guest
 * is not entered; the exit that was before stands in run as it did, for who looks twice.
 *
 * Return: 0 with run->exit_reason set; -EINTR; -ERESTARTNOINTR, which the way back to
 * userspace turns into another KVM_RUN; -EFAULT where the host has no memory
 * behind the guest's, which can run on when it has; -EINVAL for a run->cr8 beyond 15 and for
 * registers in kvm_run that umbra_sync_in() refuses;
 * -EBUSY when SVM was taken away (reboot, resume).
 */
int umbra_arch_vcpu_run(struct umbra_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	int r;

	if (!umbra_has_lapic(vcpu)) {
		u64 cr8 = READ_ONCE(run->cr8);

		if (cr8 > 15)
			return -EINVAL;
		vcpu->arch.cr8 = cr8;
	}
	r = umbra_sync_in(vcpu);
	if (r)
		return r;
	r = umbra_io_complete(vcpu);
	if (r == UMBRA_RUN_AGAIN) {
		if (umbra_immediate_exit(run)) {
			vcpu->stat.signal_exits++;
			r = -EINTR;
		} else {
			run->exit_reason = KVM_EXIT_UNKNOWN;
			vcpu->arch.was_run = true;
			r = run_loop(vcpu);
			if (vcpu->arch.event.kind == UMBRA_EVENT_SOFT)
				vcpu->arch.event.kind = UMBRA_EVENT_NONE;
		}
	}
	publish(vcpu);
	return r < 0 ? r : 0;
}
