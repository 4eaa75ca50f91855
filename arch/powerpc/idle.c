// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs that wait: H_CEDE, H_PROD and H_CONFER (PAPR 14.11.3).
 *
 * A vCPU that ceded has MSR[EE] set. It sleeps until its decrementer has run out, another
 * one prods it, userspace gives it an interrupt, or a signal ends KVM_RUN; then it is still
 * ceded, and the next KVM_RUN goes on waiting. A prod that comes before is remembered.
 *
 * Locks: vcpu->mutex for all but @prodded and @external, which any thread sets.
 */
#include <linux/hrtimer.h>
#include <linux/wait.h>
#include <asm/hvcall.h>
#include <asm/reg.h>
#include <asm/time.h>

#include "hpt/hpt.h"
#include "p9.h"

static bool is_awake(const struct umbra_arch_vcpu *arch)
{
	return READ_ONCE(arch->prodded) || READ_ONCE(arch->external);
}

static long h_cede(struct umbra_vcpu *vcpu)
{
	vcpu->arch.guest->shared->msr |= MSR_EE;
	vcpu->arch.ceded = true;
	vcpu->stat.halt_exits++;
	return H_SUCCESS;
}

static long h_prod(struct umbra_vm *vm, u64 id)
{
	struct umbra_vcpu *target = id < UMBRA_VCPUS_MAX ? xa_load(&vm->vcpus, id) : NULL;

	if (!target)
		return H_PARAMETER;
	/* Before the waker looks for a sleeper; pairs with the one in prepare_to_wait(). */
	smp_store_mb(target->arch.prodded, true);
	wake_up_interruptible(&target->arch.wait);
	return H_SUCCESS;
}

/**
 * power_idle_hcall() - serve a hypercall about waiting
 * @vcpu: the vCPU
 * @nr: R3
 * @arg: R4
 * @ret: set to the return code
 *
 * Return: false for a call that is not served here.
 */
bool power_idle_hcall(struct umbra_vcpu *vcpu, u64 nr, u64 arg, long *ret)
{
	switch (nr) {
	case H_CEDE:
		*ret = h_cede(vcpu);
		return true;
	case H_PROD:
		*ret = h_prod(vcpu->vm, arg);
		return true;
	case H_CONFER:
		/* To whom is the scheduler's to say, which is asked at each exit. */
		*ret = H_SUCCESS;
		return true;
	default:
		return false;
	}
}

/**
 * power_wait() - sleep as the vCPU has ceded
 * @vcpu: the vCPU, which has; mmu->srcu not held
 *
 * Return: 0 when it may run; -EINTR for a signal.
 */
int power_wait(struct umbra_vcpu *vcpu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	s64 ticks = p9_dec_left(arch->guest);
	long ret = 0;

	if (ticks > 0)
		ret = wait_event_interruptible_hrtimeout(arch->wait, is_awake(arch),
							 ns_to_ktime(tb_to_ns(ticks)));
	if (ret == -ERESTARTSYS)
		return -EINTR;
	WRITE_ONCE(arch->prodded, false);
	arch->ceded = false;
	return 0;
}
