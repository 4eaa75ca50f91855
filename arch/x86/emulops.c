// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports, registers and events of a vCPU, as the emulator reaches them, and the table of all
 * its callbacks.
 *
 * Locks: mmu->srcu held; current->mm is the VM's.
 */
#include "emul.h"
#include "shadow.h"

static int em_pio_in(struct umbra_emul *e, u16 port, void *val, unsigned int bytes,
		     unsigned int ahead)
{
	return umbra_io_pio_in(vcpu_of(e), port, val, bytes, ahead);
}

static int em_pio_out(struct umbra_emul *e, u16 port, const void *val,
		      unsigned int bytes, unsigned int ahead)
{
	return umbra_io_pio_out(vcpu_of(e), port, val, bytes);
}

static void em_iteration_done(struct umbra_emul *e)
{
	umbra_io_commit(vcpu_of(e));
}

static void em_get_segment(struct umbra_emul *e, enum umbra_emul_segment seg,
			   struct kvm_segment *val)
{
	umbra_backend->get_segment(vcpu_of(e), seg, val);
}

static void em_set_segment(struct umbra_emul *e, enum umbra_emul_segment seg,
			   const struct kvm_segment *val)
{
	umbra_backend->set_segment(vcpu_of(e), seg, val);
}

static void em_get_dt(struct umbra_emul *e, bool idt, struct kvm_dtable *val)
{
	umbra_backend->get_dt(vcpu_of(e), idt, val);
}

static void em_set_dt(struct umbra_emul *e, bool idt, const struct kvm_dtable *val)
{
	umbra_backend->set_dt(vcpu_of(e), idt, val);
}

static int gp_if(struct umbra_emul *e, int err)
{
	return err ? umbra_emul_fault(e, 13, true, 0) : UMBRA_EMUL_OK;
}

static int em_get_cr(struct umbra_emul *e, unsigned int nr, u64 *val)
{
	return umbra_get_cr(vcpu_of(e), nr, val) ? umbra_emul_fault(e, 6, false, 0) :
						   UMBRA_EMUL_OK;
}

static int em_set_cr(struct umbra_emul *e, unsigned int nr, u64 val)
{
	return gp_if(e, umbra_set_cr(vcpu_of(e), nr, val));
}

/* DR4 and DR5 do not exist with CR4.DE; DR7.GD guards them all. */
static int dr_access(struct umbra_emul *e, unsigned int *nr)
{
	struct umbra_arch_vcpu *arch = &vcpu_of(e)->arch;

	if (*nr == 4 || *nr == 5) {
		if (arch->cr4 & X86_CR4_DE)
			return umbra_emul_fault(e, 6, false, 0);
		*nr += 2;
	}
	if (umbra_debug_dr7(vcpu_of(e)) & UMBRA_DR7_GD)
		return umbra_emul_fault(e, 1, false, 0);
	return UMBRA_EMUL_OK;
}

static int em_get_dr(struct umbra_emul *e, unsigned int nr, u64 *val)
{
	int r = dr_access(e, &nr);

	return r ?: umbra_get_dr(vcpu_of(e), nr, val);
}

static int em_set_dr(struct umbra_emul *e, unsigned int nr, u64 val)
{
	int r = dr_access(e, &nr);

	return r ?: gp_if(e, umbra_set_dr(vcpu_of(e), nr, val));
}

static int em_get_msr(struct umbra_emul *e, u32 index, u64 *val)
{
	/* The processor is the one to see that the filter refuses it. */
	if (umbra_msr_denied(vcpu_of(e), index, false))
		return UMBRA_EMUL_RETRY;
	return gp_if(e, umbra_get_msr(vcpu_of(e), index, val, false));
}

static int em_set_msr(struct umbra_emul *e, u32 index, u64 val)
{
	if (umbra_msr_denied(vcpu_of(e), index, true))
		return UMBRA_EMUL_RETRY;
	return gp_if(e, umbra_set_msr(vcpu_of(e), index, val, false));
}

static int em_set_xcr(struct umbra_emul *e, u32 index, u64 val)
{
	return gp_if(e, index ? -EINVAL : umbra_set_xcr0(vcpu_of(e), val));
}

static int em_cpuid(struct umbra_emul *e, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	if (umbra_cpuid_faults(vcpu_of(e)))
		return umbra_emul_fault(e, 13, true, 0);
	umbra_cpuid(vcpu_of(e), eax, ebx, ecx, edx);
	return UMBRA_EMUL_OK;
}

static int em_halt(struct umbra_emul *e)
{
	vcpu_of(e)->arch.halted = true;
	return UMBRA_EMUL_OK;
}

static int em_invlpg(struct umbra_emul *e, u64 gva)
{
	if (umbra_shadowed(vcpu_of(e)))
		umbra_shadow_invlpg(vcpu_of(e), gva);
	else
		umbra_backend->flush(vcpu_of(e));
	return UMBRA_EMUL_OK;
}

static int em_get_vec(struct umbra_emul *e, unsigned int reg, void *val,
		      unsigned int bytes)
{
	umbra_fpu_get_vec(vcpu_of(e), reg, val, bytes);
	return UMBRA_EMUL_OK;
}

static int em_set_vec(struct umbra_emul *e, unsigned int reg, const void *val,
		      unsigned int bytes, bool zero_upper)
{
	umbra_fpu_set_vec(vcpu_of(e), reg, val, bytes, zero_upper);
	return UMBRA_EMUL_OK;
}

const struct umbra_emul_ops umbra_x86_emul_ops = {
	.fetch = umbra_emul_fetch,
	.read = umbra_emul_read,
	.write = umbra_emul_write,
	.probe = umbra_emul_probe,
	.exchange = umbra_emul_exchange,
	.pio_in = em_pio_in,
	.pio_out = em_pio_out,
	.iteration_done = em_iteration_done,
	.get_segment = em_get_segment,
	.set_segment = em_set_segment,
	.get_dt = em_get_dt,
	.set_dt = em_set_dt,
	.get_cr = em_get_cr,
	.set_cr = em_set_cr,
	.get_dr = em_get_dr,
	.set_dr = em_set_dr,
	.get_msr = em_get_msr,
	.set_msr = em_set_msr,
	.set_xcr = em_set_xcr,
	.cpuid = em_cpuid,
	.halt = em_halt,
	.invlpg = em_invlpg,
	.get_vec = em_get_vec,
	.set_vec = em_set_vec,
};
