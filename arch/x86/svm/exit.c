// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exits of an SVM guest (APM volume 2, appendix C), in two tiers.
 *
 * umbra_svm_exit_atomic() serves what needs no sleep, with preemption off and the
 * guest's FPU state in the CPU: the exits that a guest makes often. Everything else
 * is umbra_svm_exit_slow()'s, which sees the same exit again; so an atomic handler
 * that returns UMBRA_RUN_SLOW has changed nothing.
 *
 * mmu->srcu is held in both.
 */
#include <umbra/trace.h>
#include <asm/msr-index.h>

#include "svm.h"
#include "../irqchip.h"
#include "../shadow.h"
#include "../walk.h"

/* EXITINFO1 of a nested page fault (APM 15.25.6). */
#define NPF_PRESENT	BIT_ULL(0)
#define NPF_WRITE	BIT_ULL(1)
#define NPF_EXEC	BIT_ULL(4)
#define NPF_FINAL	BIT_ULL(32)	/* of the address itself, not of a guest's table */

/* EXITINFO1 of an IO intercept (APM 15.10.2). */
#define IOIO_IN		BIT(0)
#define IOIO_STRING	BIT(2)
#define IOIO_REP	BIT(3)
#define IOIO_SIZE(info)	((info) >> 4 & 7)
#define IOIO_PORT(info)	((info) >> 16 & 0xffff)

/*
 * Go behind the intercepted instruction. Without NRIPS its length is known only from
 * its bytes: @opcode is what they are when there is no prefix.
 */
static __always_inline int svm_skip(struct umbra_vcpu *vcpu, u16 opcode, bool atomic)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	struct vmcb *vmcb = arch->svm->vmcb;
	u32 bytes;

	if (unlikely(arch->rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF)))
		return umbra_skip_insn(vcpu, atomic);
	if (umbra_svm_caps.nrips && vmcb->control.next_rip)
		arch->rip = vmcb->control.next_rip;
	else if (!umbra_peek_insn(vcpu, &bytes) && (u16)bytes == opcode)
		arch->rip += 2;
	else
		return umbra_skip_insn(vcpu, atomic);
	vmcb->control.int_state &= ~SVM_INTERRUPT_SHADOW_MASK;
	return UMBRA_RUN_AGAIN;
}

static int exit_cpuid(struct umbra_vcpu *vcpu, bool atomic)
{
	u64 *regs = vcpu->arch.regs;
	u32 eax = regs[UMBRA_RAX], ecx = regs[UMBRA_RCX], ebx, edx;
	int r;

	if (umbra_cpuid_faults(vcpu)) {
		umbra_queue_gp(vcpu);
		return UMBRA_RUN_AGAIN;
	}
	r = svm_skip(vcpu, 0xa20f, atomic);
	if (unlikely(r))
		return r;
	umbra_cpuid(vcpu, &eax, &ebx, &ecx, &edx);
	regs[UMBRA_RAX] = eax;
	regs[UMBRA_RBX] = ebx;
	regs[UMBRA_RCX] = ecx;
	regs[UMBRA_RDX] = edx;
	return UMBRA_RUN_AGAIN;
}

static int exit_rdmsr(struct umbra_vcpu *vcpu, bool atomic)
{
	u64 *regs = vcpu->arch.regs, val;
	int r = -EPERM;

	if (!umbra_msr_denied(vcpu, regs[UMBRA_RCX], false))
		r = umbra_get_msr(vcpu, regs[UMBRA_RCX], &val, false);
	if (r)
		return umbra_msr_refused(vcpu, false, 0, r);
	r = svm_skip(vcpu, 0x320f, atomic);
	if (r)
		return r;
	regs[UMBRA_RAX] = (u32)val;
	regs[UMBRA_RDX] = val >> 32;
	return UMBRA_RUN_AGAIN;
}

/* A write may have effects, so it comes last; an old RIP is put back before #GP. */
static int exit_wrmsr(struct umbra_vcpu *vcpu, bool atomic)
{
	u64 *regs = vcpu->arch.regs;
	u64 rip = vcpu->arch.rip;
	u64 val = (u32)regs[UMBRA_RAX] | regs[UMBRA_RDX] << 32;
	int r;

	if (umbra_msr_denied(vcpu, regs[UMBRA_RCX], true))
		return umbra_msr_refused(vcpu, true, val, -EPERM);
	r = svm_skip(vcpu, 0x300f, atomic);
	if (r)
		return r;
	r = umbra_set_msr(vcpu, regs[UMBRA_RCX], val, false);
	if (!r)
		return UMBRA_RUN_AGAIN;
	vcpu->arch.rip = rip;
	return umbra_msr_refused(vcpu, true, val, r);
}

static bool in_64bit_mode(struct umbra_vcpu *vcpu)
{
	return (vcpu->arch.efer & EFER_LMA) &&
	       (svm_vmcb(vcpu)->save.cs.attrib & UMBRA_SVM_SEG_L);
}

/*
 * Is the current instruction 0F @opcode with this ModRM, but for the register in its rm
 * field, and nothing before it but perhaps REX? Return: that register, or -1; *@len is
 * the instruction's length.
 */
static int peek_rm(struct umbra_vcpu *vcpu, u8 opcode, u8 modrm, unsigned int *len)
{
	u32 insn;
	u8 rex = 0;

	if (vcpu->arch.rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF) ||
	    umbra_peek_insn(vcpu, &insn))
		return -1;
	*len = 3;
	if ((insn & 0xf0) == 0x40 && in_64bit_mode(vcpu)) {
		rex = insn;
		insn >>= 8;
		*len = 4;
	}
	if ((insn & 0xf8ffff) != (0x0f | opcode << 8 | modrm << 16))
		return -1;
	return (insn >> 16 & 7) | (rex & 1 ? 8 : 0);
}

static void advance(struct umbra_vcpu *vcpu, unsigned int len)
{
	vcpu->arch.rip += len;
	if (!in_64bit_mode(vcpu))
		vcpu->arch.rip = (u32)vcpu->arch.rip;
	svm_vmcb(vcpu)->control.int_state &= ~SVM_INTERRUPT_SHADOW_MASK;
}

/*
 * MOV to CR3, plain and with REX, which is what switches address spaces; any other form,
 * and a value that the guest gets #GP for, is the emulator's.
 */
static int exit_cr3_write(struct umbra_vcpu *vcpu)
{
	unsigned int len;
	int reg = peek_rm(vcpu, 0x22, 0xd8, &len);
	u64 val;

	if (reg < 0)
		return UMBRA_RUN_SLOW;
	val = vcpu->arch.regs[reg];
	if (umbra_set_cr(vcpu, 3, in_64bit_mode(vcpu) ? val : (u32)val))
		return UMBRA_RUN_SLOW;
	advance(vcpu, len);
	umbra_shadow_find_root(vcpu);
	return UMBRA_RUN_AGAIN;
}

/*
 * INVLPG of a plain register in 64-bit mode, where segments do not count: what kernels
 * use. The rest is the emulator's.
 */
static int exit_invlpg(struct umbra_vcpu *vcpu)
{
	unsigned int len;
	int reg;

	if (!in_64bit_mode(vcpu))
		return UMBRA_RUN_SLOW;
	reg = peek_rm(vcpu, 0x01, 0x38, &len);
	/* An rm of 4 or 5 means a SIB byte or RIP. */
	if (reg < 0 || (reg & 6) == 4)
		return UMBRA_RUN_SLOW;
	advance(vcpu, len);
	umbra_shadow_invlpg(vcpu, vcpu->arch.regs[reg]);
	return UMBRA_RUN_AGAIN;
}

static int exit_msr(struct umbra_vcpu *vcpu, bool atomic)
{
	if (svm_vmcb(vcpu)->control.exit_info_1)
		return exit_wrmsr(vcpu, atomic);
	return exit_rdmsr(vcpu, atomic);
}

static int exit_hlt(struct umbra_vcpu *vcpu, bool atomic)
{
	int r = umbra_skip_insn(vcpu, atomic);

	if (r)
		return r;
	return umbra_halt(vcpu);
}

/* They do nothing; whether they are there at all, CPUID tells, or is not asked. */
static int exit_mwait(struct umbra_vcpu *vcpu)
{
	int r;

	if (!umbra_has_quirk(vcpu, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS) &&
	    !vcpu->arch.limits.mwait) {
		umbra_queue_ud(vcpu);
		return UMBRA_RUN_AGAIN;
	}
	r = umbra_skip_insn(vcpu, false);
	return r == UMBRA_RUN_RAISED ? UMBRA_RUN_AGAIN : r;
}

/* EXITINFO2 is the next RIP, also without NRIPS. Strings are the emulator's. */
static int exit_io(struct umbra_vcpu *vcpu)
{
	const struct vmcb_control_area *control = &svm_vmcb(vcpu)->control;
	u32 info = control->exit_info_1;

	if (info & (IOIO_STRING | IOIO_REP))
		return UMBRA_RUN_SLOW;
	return umbra_io_port(vcpu, IOIO_PORT(info), IOIO_SIZE(info), info & IOIO_IN,
			     control->exit_info_2);
}

static __always_inline struct umbra_fault npf_fault(struct umbra_vcpu *vcpu)
{
	const struct vmcb_control_area *control = &svm_vmcb(vcpu)->control;

	return (struct umbra_fault) {
		.gpa = control->exit_info_2,
		.gfn = control->exit_info_2 >> PAGE_SHIFT,
		.write = control->exit_info_1 & NPF_WRITE,
		.exec = control->exit_info_1 & NPF_EXEC,
		.present = control->exit_info_1 & NPF_PRESENT,
	};
}

static int exit_npf_atomic(struct umbra_vcpu *vcpu)
{
	struct umbra_fault fault = npf_fault(vcpu);
	int r;

	r = umbra_mmu_fault_atomic(&vcpu->mmu, &fault);
	return likely(r == UMBRA_FAULT_RETRY) ? UMBRA_RUN_AGAIN : UMBRA_RUN_SLOW;
}

/*
 * MMIO. An event whose delivery touched it (a descriptor table or a stack outside
 * memory) cannot be delivered by anybody.
 */
static int emulate_access(struct umbra_vcpu *vcpu)
{
	const struct vmcb_control_area *control = &svm_vmcb(vcpu)->control;
	u64 info = control->exit_info_1;

	if (vcpu->arch.event.kind != UMBRA_EVENT_NONE) {
		u64 data[] = { control->exit_int_info, control->exit_code, info,
			       control->exit_info_2 };

		return umbra_report_internal(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV,
					     ARRAY_SIZE(data), data);
	}
	if (control->exit_code == SVM_EXIT_NPF && (info & (NPF_FINAL | NPF_EXEC)) == NPF_FINAL)
		return umbra_emulate_access(vcpu, control->exit_info_2, info & NPF_WRITE);
	return umbra_emulate_insn(vcpu);
}

static int exit_npf_slow(struct umbra_vcpu *vcpu)
{
	struct umbra_fault fault = npf_fault(vcpu);
	int r = umbra_async_pf_fault(vcpu, &fault);

	return r == UMBRA_FAULT_EMULATE ? emulate_access(vcpu) : r;
}

/* The event whose delivery faulted stays queued; see emulate_access() for MMIO in it. */
static int exit_page_fault(struct umbra_vcpu *vcpu, bool atomic)
{
	const struct vmcb_control_area *control = &svm_vmcb(vcpu)->control;
	gfn_t gfn;
	int r;

	r = umbra_shadow_page_fault(vcpu, control->exit_info_2, control->exit_info_1,
				    atomic, &gfn);
	if (r != UMBRA_RUN_RAISED)
		return r;
	r = emulate_access(vcpu);
	if (r == UMBRA_RUN_USER && umbra_emulation_failed(vcpu) &&
	    umbra_shadow_unprotect(vcpu, gfn))
		return UMBRA_RUN_AGAIN;
	return r;
}

/*
 * #DB: to see the end of an IRET, or for userspace, or for the guest, for which the
 * hardware changed DR6.
 */
static int exit_debug(struct umbra_vcpu *vcpu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	u64 dr6 = svm_vmcb(vcpu)->save.dr6;
	bool iret = umbra_svm_debug(vcpu) && !(arch->debug.control & KVM_GUESTDBG_SINGLESTEP);
	bool user = umbra_debug_takes_db(vcpu);

	umbra_svm_sync_dr(vcpu);
	if (iret)
		return UMBRA_RUN_AGAIN;
	if (user)
		return umbra_debug_exit(vcpu, 1, dr6);
	umbra_queue_payload(vcpu, 1, 0, dr6 ^ UMBRA_DR6_FIXED);
	return UMBRA_RUN_AGAIN;
}

static int exit_exception(struct umbra_vcpu *vcpu, u8 vector)
{
	const struct vmcb_control_area *control = &svm_vmcb(vcpu)->control;

	switch (vector) {
	case 1:
		return exit_debug(vcpu);
	case 3:
		return umbra_debug_exit(vcpu, 3, UMBRA_DR6_FIXED);
	case 10 ... 13:
		umbra_queue_exception(vcpu, vector, true, control->exit_info_1);
		return UMBRA_RUN_AGAIN;
	case 14:
		if (umbra_shadowed(vcpu))
			return exit_page_fault(vcpu, true);
		umbra_queue_page_fault(vcpu, control->exit_info_2, control->exit_info_1);
		return UMBRA_RUN_AGAIN;
	case 17:
		umbra_queue_exception(vcpu, 17, true, control->exit_info_1);
		return UMBRA_RUN_AGAIN;
	case 18:
		/* svm_enter() has let the host handle it. */
		return UMBRA_RUN_AGAIN;
	default:
		return UMBRA_RUN_SLOW;
	}
}

static int fail_entry(struct umbra_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	/* A flush that this entry was to make has not happened. */
	vcpu->arch.svm->asid_gen = 0;
	run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	run->fail_entry.hardware_entry_failure_reason = svm_vmcb(vcpu)->control.exit_code;
	run->fail_entry.cpu = vcpu->arch.svm->cpu;
	return UMBRA_RUN_USER;
}

static int exit_shutdown(struct umbra_vcpu *vcpu)
{
	umbra_x86_reset(vcpu, false);
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return UMBRA_RUN_USER;
}

/* What happens to every exit before its own handler sees it. */
static __always_inline void exit_prologue(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_vcpu *svm = vcpu->arch.svm;
	const struct vmcb_control_area *control = &svm->vmcb->control;

	trace_umbra_exit(vcpu->id, control->exit_code, vcpu->arch.rip,
			 control->exit_info_1, control->exit_info_2);
	if (unlikely(control->exit_int_info & SVM_EXITINTINFO_VALID))
		umbra_svm_recover(vcpu);
	if (unlikely(svm->iret) && vcpu->arch.rip != svm->iret_rip) {
		svm->iret = false;
		vcpu->arch.nmi_masked = false;
	}
}

/**
 * umbra_svm_exit_atomic() - serve an exit without sleeping
 * @vcpu: the vCPU, in the inner section; interrupts are on
 *
 * Return: enum umbra_verdict.
 */
int umbra_svm_exit_atomic(struct umbra_vcpu *vcpu)
{
	u32 code = svm_vmcb(vcpu)->control.exit_code;

	exit_prologue(vcpu);
	switch (code) {
	case SVM_EXIT_NPF:
		return exit_npf_atomic(vcpu);
	case SVM_EXIT_CPUID:
		return exit_cpuid(vcpu, true);
	case SVM_EXIT_WRITE_CR3:
		return exit_cr3_write(vcpu);
	case SVM_EXIT_INVLPG:
		return exit_invlpg(vcpu);
	case SVM_EXIT_INTR:
	case SVM_EXIT_NMI:
	case SVM_EXIT_SMI:
	case SVM_EXIT_INIT:
		return UMBRA_RUN_AGAIN;
	case SVM_EXIT_MSR:
		return exit_msr(vcpu, true);
	case SVM_EXIT_IOIO:
		return exit_io(vcpu);
	case SVM_EXIT_HLT:
		return exit_hlt(vcpu, true);
	case SVM_EXIT_VINTR:
		umbra_svm_irq_window(vcpu, false);
		return UMBRA_RUN_AGAIN;
	case SVM_EXIT_IRET:
		umbra_svm_iret(vcpu);
		return UMBRA_RUN_AGAIN;
	case SVM_EXIT_EXCP_BASE ... SVM_EXIT_LAST_EXCP:
		return exit_exception(vcpu, code - SVM_EXIT_EXCP_BASE);
	default:
		return UMBRA_RUN_SLOW;
	}
}

/**
 * umbra_svm_exit_slow() - serve an exit that umbra_svm_exit_atomic() did not
 * @vcpu: the vCPU, outside the inner section
 *
 * Return: enum umbra_verdict but UMBRA_RUN_SLOW, or a negative errno for KVM_RUN.
 */
int umbra_svm_exit_slow(struct umbra_vcpu *vcpu)
{
	u32 code = svm_vmcb(vcpu)->control.exit_code;

	switch (code) {
	case SVM_EXIT_NPF:
		return exit_npf_slow(vcpu);
	case SVM_EXIT_EXCP_BASE + 14:
		return exit_page_fault(vcpu, false);
	case SVM_EXIT_CPUID:
		return exit_cpuid(vcpu, false);
	case SVM_EXIT_MSR:
		return exit_msr(vcpu, false);
	case SVM_EXIT_HLT:
		return exit_hlt(vcpu, false);
	case SVM_EXIT_SHUTDOWN:
		return exit_shutdown(vcpu);
	case (u32)SVM_EXIT_ERR:
		return fail_entry(vcpu);
	case SVM_EXIT_IOIO:
	case SVM_EXIT_READ_CR0 ... SVM_EXIT_READ_CR8:
	case SVM_EXIT_WRITE_CR0 ... SVM_EXIT_WRITE_CR8:
	case SVM_EXIT_READ_DR0 ... SVM_EXIT_READ_DR7:
	case SVM_EXIT_WRITE_DR0 ... SVM_EXIT_WRITE_DR7:
	case SVM_EXIT_INVLPG:
	case SVM_EXIT_WBINVD:
	case SVM_EXIT_INVD:
	case SVM_EXIT_XSETBV:
		return umbra_emulate_insn(vcpu);
	case SVM_EXIT_RDPMC:
		umbra_queue_gp(vcpu);
		return UMBRA_RUN_AGAIN;
	case SVM_EXIT_SWINT:
		return umbra_svm_swint(vcpu);
	case SVM_EXIT_VMMCALL:
		return umbra_hypercall(vcpu);
	case SVM_EXIT_EXCP_BASE + 6:
		return umbra_fix_hypercall(vcpu);
	case SVM_EXIT_MONITOR:
	case SVM_EXIT_MWAIT:
		return exit_mwait(vcpu);
	case SVM_EXIT_RSM:
	case SVM_EXIT_INVLPGA:
	case SVM_EXIT_VMRUN:
	case SVM_EXIT_VMLOAD ... SVM_EXIT_SKINIT:
	case SVM_EXIT_RDPRU:
		umbra_queue_ud(vcpu);
		return UMBRA_RUN_AGAIN;
	case SVM_EXIT_TASK_SWITCH:
		return umbra_report_emulation(vcpu, NULL, 0);
	default:
		vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
		vcpu->run->hw.hardware_exit_reason = code;
		return UMBRA_RUN_USER;
	}
}
