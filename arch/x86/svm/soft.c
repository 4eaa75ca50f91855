// SPDX-License-Identifier: GPL-2.0-only
/*
 * Software interrupts: INT n, and #BP and #OF that userspace hands to the guest.
 *
 * Userspace's breakpoints are INT3, which the intercept of #BP stops (APM 15.12). QEMU's
 * emulated CPU takes INT3 for an INT n instead, so both are intercepted while there are
 * breakpoints, and an INT n is injected after all.
 *
 * What is injected pushes the RIP behind the instruction: the VMCB's next RIP, or with a
 * CPU that has none (NRIPS) RIP itself, which is moved for the entry (15.20). An exit
 * during the delivery finds RIP on the instruction again: INT n is then executed again,
 * and the rest, which has no instruction that would raise it, injected again. A CPU
 * without NRIPS would also push the wrong RIP for a fault of the delivery, so those
 * are intercepted for the entry and injected with the right one.
 */
#include "svm.h"
#include "../emul.h"
#include "../shadow.h"

/* #TS, #NP, #SS, #GP, #PF: the faults of a delivery; #AC is always intercepted. */
static void intercept_faults(struct umbra_vcpu *vcpu, bool on)
{
	unsigned int vector;

	for (vector = 10; vector <= 14; vector++)
		if (vector != 14 || !umbra_shadowed(vcpu))
			vmcb_intercept(svm_vmcb(vcpu), INTERCEPT_EXCEPTION_OFFSET + vector, on);
}

/**
 * umbra_svm_soft_inject() - a software interrupt goes into the next entry
 * @vcpu: the vCPU; interrupts are off
 * @len: bytes of the instruction that raises it
 */
void umbra_svm_soft_inject(struct umbra_vcpu *vcpu, u8 len)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	struct umbra_svm_vcpu *svm = arch->svm;

	svm->soft = true;
	svm->soft_rip = arch->rip;
	svm->soft_next = arch->rip + len;
	if (umbra_cpu_mode(vcpu) != UMBRA_EMUL_LONG64)
		svm->soft_next = (u32)svm->soft_next;
	svm->soft_rf = arch->rflags & X86_EFLAGS_RF;
	arch->rflags &= ~(u64)X86_EFLAGS_RF;
	if (umbra_svm_caps.nrips) {
		svm->vmcb->control.next_rip = svm->soft_next;
		return;
	}
	arch->rip = svm->soft_next;
	intercept_faults(vcpu, true);
}

/**
 * umbra_svm_soft_injected() - that entry is over
 * @vcpu: the vCPU; interrupts are off
 *
 * svm->soft stays when it was not delivered, for umbra_svm_recover(). What EXITINTINFO
 * shows may also be an event of the handler's, which ran then; RIP tells.
 */
void umbra_svm_soft_injected(struct umbra_vcpu *vcpu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	struct umbra_svm_vcpu *svm = arch->svm;

	if (!umbra_svm_caps.nrips)
		intercept_faults(vcpu, false);
	svm->soft = (svm->vmcb->control.exit_int_info & SVM_EXITINTINFO_VALID) &&
		    (arch->rip == svm->soft_rip || arch->rip == svm->soft_next);
	if (!svm->soft)
		return;
	arch->rip = svm->soft_rip;
	arch->rflags |= svm->soft_rf;
}

/**
 * umbra_svm_swint() - INT3, INT n or, in QEMU's CPU, INTO was intercepted
 * @vcpu: the vCPU, outside the inner section
 *
 * The bytes may be others by now. Then they are executed, as what is there.
 *
 * Return: enum umbra_verdict but UMBRA_RUN_SLOW; -EFAULT.
 */
int umbra_svm_swint(struct umbra_vcpu *vcpu)
{
	const struct umbra_emul *e = &vcpu->arch.emul->e;
	struct umbra_x86_event *event = &vcpu->arch.event;
	int r = umbra_decode_insn(vcpu, false);

	if (r || e->map || e->opcode < 0xcc || e->opcode > 0xce)
		return r;
	if (e->opcode == 0xcc)
		return umbra_debug_exit(vcpu, 3, UMBRA_DR6_FIXED);
	/*
	 * #GP or a handler of the 8086 task's own (VME): for a real CPU to find out, which
	 * does not need the intercept to stop at INT3.
	 */
	if (e->mode == UMBRA_EMUL_VM86 &&
	    (vcpu->arch.rflags & X86_EFLAGS_IOPL) != X86_EFLAGS_IOPL) {
		vmcb_intercept(svm_vmcb(vcpu), INTERCEPT_INTn, false);
		return UMBRA_RUN_AGAIN;
	}
	*event = (struct umbra_x86_event) {
		.kind = UMBRA_EVENT_SOFT,
		.vector = e->opcode == 0xce ? 4 : e->imm,
		.len = e->len,
	};
	return UMBRA_RUN_AGAIN;
}
