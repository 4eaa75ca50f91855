// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator at work on a vCPU, and what becomes of its results.
 *
 * It is asked when the hardware could not finish an instruction (MMIO, string IO,
 * control and debug registers), and for the length of one that was intercepted. Its
 * callbacks are in emulmem.c and emulops.c.
 *
 * Locks: mmu->srcu held; current->mm is the VM's.
 */
#include <linux/slab.h>

#include "emul.h"
#include "irqchip.h"

static struct umbra_x86_emul *emul_begin(struct umbra_vcpu *vcpu, bool atomic)
{
	struct umbra_x86_emul *ctx = vcpu->arch.emul;
	struct umbra_emul *e = &ctx->e;

	e->rip = vcpu->arch.rip;
	e->rflags = vcpu->arch.rflags;
	e->mode = umbra_cpu_mode(vcpu);
	e->cpl = umbra_backend->cpl(vcpu);
	e->intel = vcpu->arch.limits.intel;
	e->insn_valid = 0;
	ctx->decoded = false;
	ctx->atomic = atomic;
	ctx->sleep = false;
	ctx->err = 0;
	ctx->nr_pages = 0;
	return ctx;
}

/**
 * umbra_emul_vcpu_init() - make the vCPU's workplace
 * @vcpu: the vCPU
 *
 * Return: 0 or -ENOMEM.
 */
int umbra_emul_vcpu_init(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_emul *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);

	if (!ctx)
		return -ENOMEM;
	ctx->vcpu = vcpu;
	ctx->e.ops = &umbra_x86_emul_ops;
	ctx->e.priv = ctx;
	ctx->e.regs = vcpu->arch.regs;
	vcpu->arch.emul = ctx;
	return 0;
}

void umbra_emul_vcpu_destroy(struct umbra_vcpu *vcpu)
{
	kfree(vcpu->arch.emul);
	vcpu->arch.emul = NULL;
}

/* An ioctl changed registers: what was decoded may be another instruction. */
void umbra_emul_forget(struct umbra_vcpu *vcpu)
{
	vcpu->arch.emul->decoded = false;
}

/* KVM_EXIT_INTERNAL_ERROR with up to 15 instruction bytes. */
int umbra_report_emulation(struct umbra_vcpu *vcpu, const u8 *insn, unsigned int len)
{
	struct kvm_run *run = vcpu->run;

	vcpu->stat.insn_emulation_fail++;
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 1;
	if (len) {
		run->emulation_failure.ndata = 3;
		run->emulation_failure.flags =
			KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = len;
		memcpy(run->emulation_failure.insn_bytes, insn, len);
	}
	return UMBRA_RUN_USER;
}

/* KVM_EXIT_INTERNAL_ERROR with numbers of the hardware's. */
int umbra_report_internal(struct umbra_vcpu *vcpu, u32 suberror, unsigned int n,
			  const u64 *data)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = suberror;
	run->internal.ndata = n;
	memcpy(run->internal.data, data, n * sizeof(*data));
	return UMBRA_RUN_USER;
}

/**
 * umbra_advance() - an instruction was done for the guest
 * @vcpu: the vCPU
 * @rip: behind it
 */
void umbra_advance(struct umbra_vcpu *vcpu, u64 rip)
{
	vcpu->arch.rip = rip;
	vcpu->arch.rflags &= ~X86_EFLAGS_RF;
	umbra_backend->set_int_shadow(vcpu, false);
	if (unlikely(vcpu->arch.rflags & X86_EFLAGS_TF))
		umbra_debug_trap(vcpu, UMBRA_DR6_BS);
}

static int emul_failed(struct umbra_x86_emul *ctx, int result)
{
	const struct umbra_emul_fault *fault = &ctx->e.fault;
	struct umbra_vcpu *vcpu = ctx->vcpu;

	switch (result) {
	case UMBRA_EMUL_FAULT:
		if (fault->vector == 14)
			umbra_queue_page_fault(vcpu, fault->address, fault->error);
		else if (fault->vector == 1)
			umbra_debug_trap(vcpu, UMBRA_DR6_BD);
		else
			umbra_queue_exception(vcpu, fault->vector, fault->has_error,
					      fault->error);
		return UMBRA_RUN_RAISED;
	case UMBRA_EMUL_UNHANDLEABLE:
		if (ctx->sleep)
			return UMBRA_RUN_SLOW;
		if (ctx->err)
			return ctx->err;
		return umbra_report_emulation(vcpu, ctx->e.insn, ctx->e.insn_valid);
	default:
		return UMBRA_RUN_AGAIN;
	}
}

/**
 * umbra_decode_insn() - take the current instruction apart, into arch.emul
 * @vcpu: the vCPU
 * @atomic: do not sleep
 *
 * Return: UMBRA_RUN_AGAIN when that is done; UMBRA_RUN_SLOW to be asked again
 * without @atomic; UMBRA_RUN_RAISED when its bytes could not be fetched in the guest;
 * UMBRA_RUN_USER; -EFAULT.
 */
int umbra_decode_insn(struct umbra_vcpu *vcpu, bool atomic)
{
	struct umbra_x86_emul *ctx = emul_begin(vcpu, atomic);
	int r = umbra_decode(&ctx->e);

	if (r == UMBRA_EMUL_RETRY)
		return UMBRA_RUN_RAISED;
	return r ? emul_failed(ctx, r) : UMBRA_RUN_AGAIN;
}

/**
 * umbra_skip_insn() - go behind the current instruction, by its length
 * @vcpu: the vCPU
 * @atomic: do not sleep
 *
 * Return: UMBRA_RUN_AGAIN when RIP is behind it; else as umbra_decode_insn().
 */
int umbra_skip_insn(struct umbra_vcpu *vcpu, bool atomic)
{
	const struct umbra_emul *e = &vcpu->arch.emul->e;
	int r = umbra_decode_insn(vcpu, atomic);
	u64 rip;

	if (r)
		return r;
	rip = e->rip + e->len;
	umbra_advance(vcpu, e->mode == UMBRA_EMUL_LONG64 ? rip : (u32)rip);
	return UMBRA_RUN_AGAIN;
}

/* Effects of an instruction that the emulator finished. */
static int emul_done(struct umbra_x86_emul *ctx)
{
	struct umbra_vcpu *vcpu = ctx->vcpu;
	int r;

	umbra_backend->set_int_shadow(vcpu, ctx->e.int_shadow);
	if (ctx->e.trap)
		umbra_debug_trap(vcpu, UMBRA_DR6_BS);
	r = umbra_io_end(vcpu, UMBRA_EMUL_OK);
	if (r || !vcpu->arch.halted)
		return r;
	vcpu->arch.halted = false;
	return umbra_halt(vcpu);
}

/* Decode and execute once; what was decoded before an exit is still good. */
static int emul_once(struct umbra_x86_emul *ctx)
{
	struct umbra_vcpu *vcpu = ctx->vcpu;
	int result = UMBRA_EMUL_OK;

	if (!ctx->decoded) {
		emul_begin(vcpu, false);
		result = umbra_decode(&ctx->e);
		if (result || !umbra_one_access(&ctx->e))
			ctx->exit_access = UMBRA_EMUL_NO_ACCESS;
	}
	umbra_io_begin(vcpu);
	if (!result)
		result = umbra_emulate(&ctx->e);
	ctx->decoded = result == UMBRA_EMUL_IO_NEEDED;
	/* Iterations of a string are committed whatever the result. */
	vcpu->arch.rip = ctx->e.rip;
	vcpu->arch.rflags = ctx->e.rflags;
	return result;
}

static int emulate(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_emul *ctx = vcpu->arch.emul;
	int result, r;

	do {
		result = emul_once(ctx);
		if (result == UMBRA_EMUL_OK)
			return emul_done(ctx);
	} while (result == UMBRA_EMUL_REPEAT && !ctx->e.trap && umbra_io_has_input(vcpu));

	if (result == UMBRA_EMUL_UNHANDLEABLE)
		return emul_failed(ctx, result);
	if (result == UMBRA_EMUL_REPEAT && ctx->e.trap)
		umbra_debug_trap(vcpu, UMBRA_DR6_BS);
	/* What finished iterations have written is shown before a fault is taken. */
	r = emul_failed(ctx, result);
	return umbra_io_end(vcpu, result) ?: r;
}

/**
 * umbra_emulate_insn() - emulate the instruction at RIP
 * @vcpu: the vCPU, outside the inner section; may sleep
 *
 * Return: enum umbra_verdict but UMBRA_RUN_SLOW; -EFAULT when the host has no memory
 * behind the guest's.
 */
int umbra_emulate_insn(struct umbra_vcpu *vcpu)
{
	vcpu->stat.insn_emulation++;
	umbra_emul_forget(vcpu);
	vcpu->arch.emul->exit_access = UMBRA_EMUL_NO_ACCESS;
	return emulate(vcpu);
}

/**
 * umbra_emulate_access() - emulate the instruction at RIP, stopped at an access
 * @vcpu: the vCPU, outside the inner section; may sleep
 * @gpa: where the processor wanted to go with data
 * @write: what for
 *
 * Return: as umbra_emulate_insn().
 */
int umbra_emulate_access(struct umbra_vcpu *vcpu, gpa_t gpa, bool write)
{
	struct umbra_x86_emul *ctx = vcpu->arch.emul;

	vcpu->stat.insn_emulation++;
	umbra_emul_forget(vcpu);
	ctx->exit_gpa = gpa;
	ctx->exit_access = write ? UMBRA_ACCESS_WRITE : UMBRA_ACCESS_READ;
	return emulate(vcpu);
}

/**
 * umbra_emulate_again() - go on with an instruction that waited for userspace
 * @vcpu: the vCPU; the answer is noted
 *
 * Return: as umbra_emulate_insn().
 */
int umbra_emulate_again(struct umbra_vcpu *vcpu)
{
	return emulate(vcpu);
}
