// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls (Documentation/virt/kvm/x86/hypercalls.rst), and the instruction for them: a
 * guest that came from Intel's processors may have VMCALL where this one wants VMMCALL.
 *
 * Locks: mmu->srcu held; outside the inner section.
 */
#include <linux/sched.h>
#include <uapi/linux/kvm_para.h>

#include "walk.h"
#include "x86.h"

/* VMCALL is 0F 01 C1; VMMCALL differs in its last byte. */
#define VMCALL		0xc1010f
#define VMMCALL_LAST	0xd9

/*
 * The guest waits for a vCPU that has been preempted: whoever wants this CPU has it now,
 * that vCPU's thread among them.
 */
static long sched_yield(struct umbra_vcpu *vcpu)
	__must_hold(&vcpu->vm->mmu.srcu)
{
	umbra_vcpu_srcu_unlock(vcpu);
	schedule();
	umbra_vcpu_srcu_lock(vcpu);
	return 0;
}

/**
 * umbra_hypercall() - the guest executed its hypercall instruction
 * @vcpu: the vCPU, at that instruction. Sleeps
 *
 * Return: enum umbra_verdict, or a negative errno for KVM_RUN.
 */
int umbra_hypercall(struct umbra_vcpu *vcpu)
{
	bool wide = umbra_cpu_mode(vcpu) == UMBRA_EMUL_LONG64;
	u64 *regs = vcpu->arch.regs;
	u64 nr = wide ? regs[UMBRA_RAX] : (u32)regs[UMBRA_RAX];
	long ret = -KVM_ENOSYS;
	int r = umbra_skip_insn(vcpu, false);

	if (r)
		return r;
	if (umbra_backend->cpl(vcpu))
		ret = -KVM_EPERM;
	else if (nr == KVM_HC_SCHED_YIELD && umbra_pv_has(vcpu, KVM_FEATURE_PV_SCHED_YIELD))
		ret = sched_yield(vcpu);
	regs[UMBRA_RAX] = wide ? ret : (u32)ret;
	return UMBRA_RUN_AGAIN;
}

/* Read the instruction, which may cross into another page. */
static enum umbra_walk_result fetch(struct umbra_vcpu *vcpu, u32 *insn, unsigned int len)
{
	struct umbra_walk walk;
	unsigned int i;

	*insn = 0;
	for (i = 0; i < len; i++) {
		enum umbra_walk_result r;
		u8 byte;

		r = umbra_walk(vcpu, umbra_linear_rip(vcpu) + i,
			       umbra_walk_flags(vcpu) | UMBRA_ACCESS_FETCH, &walk);
		if (r)
			return r;
		if (umbra_guest_read(&vcpu->vm->mmu, walk.gpa, &byte, 1))
			return UMBRA_WALK_NOMEM;
		*insn |= (u32)byte << 8 * i;
	}
	return UMBRA_WALK_OK;
}

/**
 * umbra_fix_hypercall() - the guest's instruction does not exist: is it VMCALL?
 * @vcpu: the vCPU, at the instruction that raised #UD. Sleeps
 *
 * Then VMMCALL takes its place, as far as the guest may write there, and is executed.
 *
 * Return: UMBRA_RUN_AGAIN; #UD is queued for any other instruction.
 */
int umbra_fix_hypercall(struct umbra_vcpu *vcpu)
{
	const u8 last = VMMCALL_LAST;
	struct umbra_walk walk;
	u32 insn;

	if (umbra_has_quirk(vcpu, KVM_X86_QUIRK_FIX_HYPERCALL_INSN) &&
	    !fetch(vcpu, &insn, 3) && insn == VMCALL &&
	    !umbra_walk(vcpu, umbra_linear_rip(vcpu) + 2,
			umbra_walk_flags(vcpu) | UMBRA_ACCESS_WRITE, &walk) &&
	    !umbra_guest_write(&vcpu->mmu, walk.gpa, &last, 1))
		return UMBRA_RUN_AGAIN;
	umbra_queue_ud(vcpu);
	return UMBRA_RUN_AGAIN;
}
