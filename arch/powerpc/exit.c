// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why the guest was left, and what is done about it.
 */
#include <umbra/trace.h>
#include <asm/kvm_asm.h>
#include <asm/reg.h>

#include "hpt/hpt.h"
#include "p9.h"

/* Bits of SRR1 that tell of an interrupt and are none of the MSR. */
#define SRR1_CAUSE 0x783f0000ULL

/* Where interrupts are that leave translation on. */
#define AIL_OFFSET 0xc000000000004000ULL

/**
 * power_interrupt() - give the guest an interrupt, as the hardware would
 * @guest: the vCPU's registers
 * @vector: BOOK3S_INTERRUPT_*
 * @cause: for SRR1
 *
 * Power ISA 2.06 book III-S, 6.4.3.
 */
void power_interrupt(struct p9_guest *guest, u64 vector, u64 cause)
{
	struct kvm_vcpu_arch_shared *s = guest->shared;

	const u64 translation = MSR_IR | MSR_DR;
	bool little, translated;

	p9_interrupt_mode(guest, &little, &translated);
	s->srr0 = guest->regs->nip;
	s->srr1 = (s->msr & ~SRR1_CAUSE) | cause;
	guest->regs->nip = vector;
	/* Not from real mode, and not a machine check (LPCR[AIL]). */
	translated &= (s->msr & translation) == translation &&
		      vector != BOOK3S_INTERRUPT_MACHINE_CHECK;
	s->msr = MSR_SF | MSR_ME | (little ? MSR_LE : 0) | (translated ? translation : 0);
	if (translated)
		guest->regs->nip |= AIL_OFFSET;
}

static void data_storage(struct p9_guest *guest, u64 cause, bool store)
{
	guest->shared->dar = guest->dar;
	guest->shared->dsisr = cause | (store ? DSISR_ISSTORE : 0);
	power_interrupt(guest, BOOK3S_INTERRUPT_DATA_STORAGE, 0);
}

static int settle(struct umbra_vcpu *vcpu, const struct hpt_access *access)
{
	struct p9_guest *guest = vcpu->arch.guest;
	u64 cause = 0;
	gpa_t gpa = 0;
	int ret = hpt_fault(vcpu, access, &cause, &gpa);

	switch (ret) {
	case HPT_RETRY:
		return 1;
	case HPT_REFLECT:
		if (access->fetch)
			power_interrupt(guest, BOOK3S_INTERRUPT_INST_STORAGE, cause);
		else
			data_storage(guest, cause, access->store);
		return 1;
	case HPT_MMIO:
		if (!access->fetch)
			return power_mmio(vcpu, gpa);
		/* Nothing can be fetched from where no memory is. */
		power_interrupt(guest, BOOK3S_INTERRUPT_INST_STORAGE, SRR1_ISI_N_G_OR_CIP);
		return 1;
	default:
		return ret;
	}
}

static int handle_hdsi(struct umbra_vcpu *vcpu)
{
	struct p9_guest *guest = vcpu->arch.guest;
	u64 msr = guest->shared->msr;
	struct hpt_access access = {
		.ea = guest->dar,
		.slbv = msr & MSR_DR ? guest->segment : vrma_slbv(),
		.amr = msr & MSR_DR ? guest->amr : 0,
		.store = guest->dsisr & DSISR_ISSTORE,
		.user = msr & MSR_PR,
		.missing = guest->dsisr & DSISR_NOHPTE,
	};

	/* Neither a missing nor a denying HPTE: it is the guest's own affair. */
	if (!(guest->dsisr & (DSISR_NOHPTE | DSISR_PROTFAULT))) {
		data_storage(guest, guest->dsisr, false);
		return 1;
	}
	return settle(vcpu, &access);
}

static int handle_hisi(struct umbra_vcpu *vcpu)
{
	struct p9_guest *guest = vcpu->arch.guest;
	u64 msr = guest->shared->msr;
	struct hpt_access access = {
		.ea = guest->regs->nip,
		.slbv = msr & MSR_IR ? guest->segment : vrma_slbv(),
		.fetch = true,
		.user = msr & MSR_PR,
		.missing = msr & SRR1_ISI_NOPT,
	};

	if (!access.missing) {
		power_interrupt(guest, BOOK3S_INTERRUPT_INST_STORAGE,
				msr & (SRR1_ISI_N_G_OR_CIP | SRR1_ISI_PROT));
		return 1;
	}
	/* HSRR1 has the cause where MSR has nothing. */
	guest->shared->msr &= ~SRR1_CAUSE;
	return settle(vcpu, &access);
}

static int handle_hypercall(struct umbra_vcpu *vcpu)
{
	struct p9_guest *guest = vcpu->arch.guest;
	struct kvm_run *run = vcpu->run;
	u64 *gpr = (u64 *)&guest->regs->gpr[3];
	long ret;
	int i;

	if (guest->shared->msr & MSR_PR) {
		power_interrupt(guest, BOOK3S_INTERRUPT_SYSCALL, 0);
		return 1;
	}
	if (hpt_hcall(vcpu, gpr))
		return 1;
	if (power_idle_hcall(vcpu, gpr[0], gpr[1], &ret)) {
		gpr[0] = ret;
		return 1;
	}
	run->exit_reason = KVM_EXIT_PAPR_HCALL;
	run->papr_hcall.nr = gpr[0];
	run->papr_hcall.ret = 0;
	for (i = 0; i < ARRAY_SIZE(run->papr_hcall.args); i++)
		run->papr_hcall.args[i] = gpr[1 + i];
	vcpu->arch.hcall = true;
	return 0;
}

/**
 * power_complete() - take what userspace answered to the last exit
 * @vcpu: the vCPU
 */
void power_complete(struct umbra_vcpu *vcpu)
{
	struct pt_regs *regs = vcpu->arch.guest->regs;
	struct kvm_run *run = vcpu->run;
	int i;

	power_mmio_complete(vcpu);
	if (!vcpu->arch.hcall)
		return;
	vcpu->arch.hcall = false;
	regs->gpr[3] = READ_ONCE(run->papr_hcall.ret);
	for (i = 0; i < ARRAY_SIZE(run->papr_hcall.args); i++)
		regs->gpr[4 + i] = READ_ONCE(run->papr_hcall.args[i]);
}

/**
 * power_handle_exit() - act on an exit
 * @vcpu: the vCPU; mmu->srcu held
 * @trap: what p9_enter() returned
 *
 * Return: 1 to enter the guest again; 0 with an exit for userspace; a negative errno.
 */
int power_handle_exit(struct umbra_vcpu *vcpu, int trap)
{
	struct p9_guest *guest = vcpu->arch.guest;

	vcpu->stat.exits++;
	trace_umbra_exit(vcpu->id, trap, guest->regs->nip, guest->dar, guest->dsisr);
	switch (trap) {
	case 0:
		return 1;
	case BOOK3S_INTERRUPT_HV_DECREMENTER:
	case BOOK3S_INTERRUPT_EXTERNAL:
	case BOOK3S_INTERRUPT_H_DOORBELL:
	case BOOK3S_INTERRUPT_H_VIRT:
	case BOOK3S_INTERRUPT_HMI:
	case BOOK3S_INTERRUPT_PERFMON:
	case BOOK3S_INTERRUPT_SYSTEM_RESET:
		vcpu->stat.irq_exits++;
		return 1;
	case BOOK3S_INTERRUPT_H_DATA_STORAGE:
		return handle_hdsi(vcpu);
	case BOOK3S_INTERRUPT_H_INST_STORAGE:
		return handle_hisi(vcpu);
	case BOOK3S_INTERRUPT_SYSCALL:
		return handle_hypercall(vcpu);
	case BOOK3S_INTERRUPT_MACHINE_CHECK:
		power_interrupt(guest, BOOK3S_INTERRUPT_MACHINE_CHECK, 0);
		return 1;
	case BOOK3S_INTERRUPT_PROGRAM:
		power_interrupt(guest, BOOK3S_INTERRUPT_PROGRAM, guest->shared->msr & 0x1f0000);
		return 1;
	case BOOK3S_INTERRUPT_H_EMUL_ASSIST:
	case BOOK3S_INTERRUPT_H_FAC_UNAVAIL:
		power_interrupt(guest, BOOK3S_INTERRUPT_PROGRAM, SRR1_PROGILL);
		return 1;
	default:
		vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
		vcpu->run->hw.hardware_exit_reason = trap;
		return 0;
	}
}
