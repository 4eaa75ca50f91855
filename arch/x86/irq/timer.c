// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's timer: one-shot, periodic (APM volume 2, 16.4.1) and TSC deadline
 * (SDM volume 3, 10.5.4.1), on one hrtimer.
 *
 * The counter runs at 1 GHz before the divider. The hrtimer's function sets the bit in
 * IRR itself and kicks the vCPU; nothing is left for the thread to do. All else here is
 * the thread's, which stops the hrtimer before it changes what the function looks at.
 *
 * A periodic timer costs the host an interrupt each time, whether the guest runs or not:
 * UMBRA_TIMER_MIN_NS is the shortest period that one can have.
 */
#include <umbra/compat.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "internal.h"

#define UMBRA_TIMER_MIN_NS	(200 * NSEC_PER_USEC)
#define TIMER_MODE		(APIC_LVT_TIMER_PERIODIC | APIC_LVT_TIMER_TSCDEADLINE)

static u32 timer_mode(const struct umbra_lapic *lapic)
{
	return lapic_get(lapic, APIC_LVTT) & TIMER_MODE;
}

/* Bits 0, 1 and 3 are the divider: 2, 4, ... 128, 1. */
static unsigned int divide_shift(const struct umbra_lapic *lapic)
{
	u32 tdcr = lapic_get(lapic, APIC_TDCR);

	return (((tdcr & 3) | (tdcr & 8) >> 1) + 1) & 7;
}

static enum hrtimer_restart timer_fires(struct hrtimer *timer)
{
	struct umbra_lapic *lapic = container_of(timer, struct umbra_lapic, timer);

	umbra_lapic_local(lapic, APIC_LVTT);
	if (timer_mode(lapic) == APIC_LVT_TIMER_PERIODIC) {
		hrtimer_forward_now(timer, ns_to_ktime(lapic->period));
		WRITE_ONCE(lapic->expires, hrtimer_get_expires(timer));
		return HRTIMER_RESTART;
	}
	WRITE_ONCE(lapic->deadline, 0);
	return HRTIMER_NORESTART;
}

void umbra_lapic_timer_init(struct umbra_lapic *lapic)
{
	umbra_hrtimer_setup(&lapic->timer, timer_fires, CLOCK_MONOTONIC,
			    HRTIMER_MODE_ABS_HARD);
}

/* The timer does not fire any more. */
void umbra_lapic_timer_stop(struct umbra_lapic *lapic)
{
	hrtimer_cancel(&lapic->timer);
	lapic->period = 0;
	lapic->deadline = 0;
}

/* @first: what the counter has to go now; then, if periodic, the initial count */
static void start(struct umbra_lapic *lapic, u32 first)
{
	u64 period = (u64)lapic_get(lapic, APIC_TMICT) << divide_shift(lapic);
	u64 ns = (u64)first << divide_shift(lapic);

	umbra_lapic_timer_stop(lapic);
	if (!period)
		return;
	if (timer_mode(lapic) == APIC_LVT_TIMER_PERIODIC) {
		period = max_t(u64, period, UMBRA_TIMER_MIN_NS);
		ns = ns ?: period;
	}
	lapic->period = period;
	lapic->expires = ktime_add_ns(ktime_get(), ns);
	if (ns)
		hrtimer_start(&lapic->timer, lapic->expires, HRTIMER_MODE_ABS_HARD);
}

/**
 * umbra_lapic_timer_start() - the guest wrote the initial count
 * @lapic: the APIC
 * @count: 0 stops the timer
 */
void umbra_lapic_timer_start(struct umbra_lapic *lapic, u32 count)
{
	if (timer_mode(lapic) == APIC_LVT_TIMER_TSCDEADLINE)
		return;
	lapic_set(lapic, APIC_TMICT, count);
	start(lapic, count);
}

/* The guest wrote the divider: what is left to count stays the same number. */
void umbra_lapic_timer_divide(struct umbra_lapic *lapic, u32 tdcr)
{
	u32 left = umbra_lapic_timer_count(lapic);

	lapic_set(lapic, APIC_TDCR, tdcr & 0xb);
	if (left)
		start(lapic, left);
}

/**
 * umbra_lapic_timer_count() - the current count register
 * @lapic: the APIC
 */
u32 umbra_lapic_timer_count(const struct umbra_lapic *lapic)
{
	s64 left;

	if (!lapic->period || timer_mode(lapic) == APIC_LVT_TIMER_TSCDEADLINE)
		return 0;
	left = ktime_to_ns(ktime_sub(READ_ONCE(lapic->expires), ktime_get()));
	if (left <= 0)
		return 0;
	return min_t(u64, left >> divide_shift(lapic), lapic_get(lapic, APIC_TMICT));
}

/* The registers are new: go on from the count that is in them. */
void umbra_lapic_timer_restore(struct umbra_lapic *lapic)
{
	u64 deadline = lapic->deadline;

	if (timer_mode(lapic) == APIC_LVT_TIMER_TSCDEADLINE) {
		umbra_lapic_timer_stop(lapic);
		umbra_lapic_set_deadline(lapic->vcpu, deadline);
		return;
	}
	start(lapic, min(lapic_get(lapic, APIC_TMCCT), lapic_get(lapic, APIC_TMICT)));
}

/* @cycles of the guest's TSC in ns, exact as long as it can be, and never too short. */
static u64 cycles_to_ns(u64 cycles)
{
	if (cycles < U64_MAX / USEC_PER_SEC)
		return div_u64(cycles * USEC_PER_SEC, tsc_khz) + 1;
	return min_t(u64, div_u64(cycles, tsc_khz), KTIME_SEC_MAX) * USEC_PER_SEC;
}

/**
 * umbra_lapic_get_deadline() - RDMSR of MSR_IA32_TSC_DEADLINE
 * @vcpu: the vCPU
 *
 * Return: 0 when the timer has fired, or counts otherwise.
 */
u64 umbra_lapic_get_deadline(const struct umbra_vcpu *vcpu)
{
	return vcpu->arch.lapic ? READ_ONCE(vcpu->arch.lapic->deadline) : 0;
}

/**
 * umbra_lapic_set_deadline() - WRMSR of MSR_IA32_TSC_DEADLINE
 * @vcpu: the vCPU
 * @deadline: the guest's TSC; 0 disarms, one that is past fires at once
 *
 * Without effect unless the timer is in that mode.
 */
void umbra_lapic_set_deadline(struct umbra_vcpu *vcpu, u64 deadline)
{
	struct umbra_lapic *lapic = vcpu->arch.lapic;
	u64 now, ns;

	if (!lapic || timer_mode(lapic) != APIC_LVT_TIMER_TSCDEADLINE)
		return;
	hrtimer_cancel(&lapic->timer);
	lapic->deadline = deadline;
	if (!deadline)
		return;
	now = rdtsc() + vcpu->arch.tsc_offset;
	ns = deadline > now ? cycles_to_ns(deadline - now) : 0;
	hrtimer_start(&lapic->timer, ktime_add_safe(ktime_get(), ns_to_ktime(ns)),
		      HRTIMER_MODE_ABS_HARD);
}

/* The guest's TSC jumped, and the deadline is one of its values. */
void umbra_lapic_tsc_changed(struct umbra_vcpu *vcpu)
{
	u64 deadline = umbra_lapic_get_deadline(vcpu);

	if (deadline)
		umbra_lapic_set_deadline(vcpu, deadline);
}
