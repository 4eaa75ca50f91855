// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_RUN: what userspace answered is taken, then the guest runs until userspace must act.
 *
 * mmu->srcu is held while exits are served and not while the guest runs.
 */
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <umbra/arch.h>
#include <umbra/compat.h>

#include "hpt/hpt.h"
#include "p9.h"

static int interrupted(struct umbra_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_INTR;
	vcpu->stat.signal_exits++;
	return -EINTR;
}

/* The host has no hypervisor mode, or a CPU that guests are not entered on. */
static int cannot_run(struct umbra_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu->run->fail_entry.hardware_entry_failure_reason = UMBRA_ENTRY_NO_HV;
	vcpu->run->fail_entry.cpu = raw_smp_processor_id();
	return 0;
}

int umbra_arch_vcpu_run(struct umbra_vcpu *vcpu)
{
	int ret;

	if (!vcpu->arch.guest)
		return cannot_run(vcpu);
	power_complete(vcpu);
	if (umbra_immediate_exit(vcpu->run)) {
		vcpu->stat.signal_exits++;
		return -EINTR;
	}
	p9_save_thread();
	do {
		int trap;

		if (signal_pending(current))
			return interrupted(vcpu);
		if (need_resched())
			cond_resched();
		/* A new table, or one that was emptied, lacks them. */
		ret = READ_ONCE(vcpu->vm->mmu.arch.vrma) ? 0 : vrma_setup(vcpu);
		if (ret)
			return ret;
		umbra_vcpu_srcu_unlock(vcpu);
		trap = vcpu->arch.ceded && power_wait(vcpu) ? 0 : p9_enter(vcpu);
		umbra_vcpu_srcu_lock(vcpu);
		ret = power_handle_exit(vcpu, trap);
	} while (ret > 0);
	return ret;
}
