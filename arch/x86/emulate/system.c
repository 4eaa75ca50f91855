// SPDX-License-Identifier: GPL-2.0-only
/*
 * System instructions: control and debug registers, descriptor tables, MSRs,
 * CPUID, HLT, time stamp counter, interrupt flag.
 *
 * What a value may be is checked by the callback, which knows the guest's CPUID;
 * what the instruction itself demands is checked here.
 */
#include <linux/kernel.h>

#include "internal.h"

#define MSR_TSC			0x10
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103

static int get_cr(struct umbra_emul *e, unsigned int nr, u64 *val)
{
	return e->ops->get_cr ? e->ops->get_cr(e, nr, val) : UMBRA_EMUL_UNHANDLEABLE;
}

static int set_cr(struct umbra_emul *e, unsigned int nr, u64 val)
{
	return e->ops->set_cr ? e->ops->set_cr(e, nr, val) : UMBRA_EMUL_UNHANDLEABLE;
}

static int get_msr(struct umbra_emul *e, u32 index, u64 *val)
{
	return e->ops->get_msr ? e->ops->get_msr(e, index, val) : UMBRA_EMUL_UNHANDLEABLE;
}

/* Register number of MOV CR; LOCK reaches CR8 on AMD. */
static unsigned int cr_number(const struct umbra_emul *e)
{
	return e->prefixes & P_LOCK ? 8 : emul_modrm_reg(e);
}

UMBRA_EM(mov_from_cr)
{
	u64 val;
	int ret;

	ret = get_cr(e, cr_number(e), &val);
	if (!ret)
		umbra_reg_write(e, emul_modrm_rm(e), val, e->op_bytes);
	return ret;
}

UMBRA_EM(mov_to_cr)
{
	return set_cr(e, cr_number(e), umbra_reg_read(e, emul_modrm_rm(e), e->op_bytes));
}

UMBRA_EM(mov_from_dr)
{
	u64 val;
	int ret;

	if (!e->ops->get_dr)
		return UMBRA_EMUL_UNHANDLEABLE;
	ret = e->ops->get_dr(e, emul_modrm_reg(e), &val);
	if (!ret)
		umbra_reg_write(e, emul_modrm_rm(e), val, e->op_bytes);
	return ret;
}

UMBRA_EM(mov_to_dr)
{
	if (!e->ops->set_dr)
		return UMBRA_EMUL_UNHANDLEABLE;
	return e->ops->set_dr(e, emul_modrm_reg(e),
			      umbra_reg_read(e, emul_modrm_rm(e), e->op_bytes));
}

UMBRA_EM(clts)
{
	u64 cr0;

	return get_cr(e, 0, &cr0) ?: set_cr(e, 0, cr0 & ~CR0_TS);
}

/* Loads PE, MP, EM and TS; PE can be set, but not cleared. */
UMBRA_EM(lmsw)
{
	u64 cr0;

	return get_cr(e, 0, &cr0) ?:
	       set_cr(e, 0, (cr0 & ~(15ULL & ~CR0_PE)) | (e->src.val & 15));
}

/* CR4.UMIP keeps SGDT, SIDT, SLDT, SMSW and STR from user mode. */
static int check_umip(struct umbra_emul *e)
{
	u64 cr4;
	int ret;

	if (!e->cpl)
		return 0;
	ret = get_cr(e, 4, &cr4);
	if (ret)
		return ret;
	return cr4 & CR4_UMIP ? emul_gp(e, 0) : 0;
}

/* To memory always 16 bits, to a register the operand size */
static int store_word(struct umbra_emul *e, u64 val)
{
	if (emul_modrm_mem(e))
		return umbra_mem_write(e, e->seg, umbra_effective_address(e), &val, 2);
	umbra_reg_write(e, emul_modrm_rm(e), val, e->op_bytes);
	return 0;
}

UMBRA_EM(smsw)
{
	u64 cr0;

	return check_umip(e) ?: get_cr(e, 0, &cr0) ?: store_word(e, cr0);
}

/* SLDT and STR */
UMBRA_EM(store_sel)
{
	struct kvm_segment s;

	e->ops->get_segment(e, e->modrm & 8 ? UMBRA_SEG_TR : UMBRA_SEG_LDTR, &s);
	return check_umip(e) ?: store_word(e, s.selector);
}

/* LGDT, LIDT: 16 bits of limit, then 24, 32 or 64 bits of base */
UMBRA_EM(load_dt)
{
	u64 ea = umbra_effective_address(e);
	struct kvm_dtable dt = {};
	int ret;

	if (!e->ops->set_dt)
		return UMBRA_EMUL_UNHANDLEABLE;
	ret = umbra_mem_read(e, e->seg, ea, &dt.limit, 2);
	ea = (ea + 2) & emul_mask(e->ad_bytes);
	ret = ret ?: umbra_mem_read(e, e->seg, ea, &dt.base, emul_long(e) ? 8 : 4);
	if (ret)
		return ret;
	if (!emul_long(e) && e->op_bytes == 2)
		dt.base &= 0xffffff;
	if (!umbra_canonical(e, dt.base))
		return emul_gp(e, 0);
	e->ops->set_dt(e, e->modrm & 8, &dt);
	return 0;
}

UMBRA_EM(store_dt)
{
	u64 ea = umbra_effective_address(e);
	struct kvm_dtable dt;
	u8 image[10];
	int ret;

	if (!e->ops->get_dt)
		return UMBRA_EMUL_UNHANDLEABLE;
	ret = check_umip(e);
	if (ret)
		return ret;
	e->ops->get_dt(e, e->modrm & 8, &dt);
	memcpy(image, &dt.limit, 2);
	memcpy(image + 2, &dt.base, 8);
	return umbra_mem_write(e, e->seg, ea, image, emul_long(e) ? 10 : 6);
}

/* A non-canonical address is no fault; there is nothing to drop. */
UMBRA_EM(invlpg)
{
	u64 ea = umbra_effective_address(e);
	struct kvm_segment s;

	if (!e->ops->invlpg)
		return UMBRA_EMUL_UNHANDLEABLE;
	if (!emul_long(e) || e->seg >= UMBRA_SEG_FS) {
		e->ops->get_segment(e, e->seg, &s);
		ea += s.base;
	}
	return e->ops->invlpg(e, emul_long(e) ? ea : (u32)ea);
}

/* CLFLUSH, CLFLUSHOPT, CLWB: nothing to do, but they fault as a load of a byte does. */
UMBRA_EM(flush_line)
{
	u64 linear;
	int ret;

	if (!e->ops->probe)
		return UMBRA_EMUL_UNHANDLEABLE;
	ret = umbra_linearize(e, e->seg, umbra_effective_address(e), 1,
			      UMBRA_ACCESS_READ, &linear);
	return ret ?: e->ops->probe(e, linear, 1, UMBRA_ACCESS_READ);
}

UMBRA_EM(hlt)
{
	return e->ops->halt ? e->ops->halt(e) : UMBRA_EMUL_UNHANDLEABLE;
}

UMBRA_EM(cpuid)
{
	u32 eax = e->regs[RAX], ebx, ecx = e->regs[RCX], edx;
	int ret;

	if (!e->ops->cpuid)
		return UMBRA_EMUL_UNHANDLEABLE;
	ret = e->ops->cpuid(e, &eax, &ebx, &ecx, &edx);
	if (ret)
		return ret;
	e->regs[RAX] = eax;
	e->regs[RBX] = ebx;
	e->regs[RCX] = ecx;
	e->regs[RDX] = edx;
	return 0;
}

static void write_edx_eax(struct umbra_emul *e, u64 val)
{
	e->regs[RAX] = (u32)val;
	e->regs[RDX] = val >> 32;
}

static u64 read_edx_eax(const struct umbra_emul *e)
{
	return (u32)e->regs[RAX] | e->regs[RDX] << 32;
}

UMBRA_EM(rdmsr)
{
	u64 val;
	int ret;

	ret = get_msr(e, e->regs[RCX], &val);
	if (!ret)
		write_edx_eax(e, val);
	return ret;
}

UMBRA_EM(wrmsr)
{
	if (!e->ops->set_msr)
		return UMBRA_EMUL_UNHANDLEABLE;
	return e->ops->set_msr(e, e->regs[RCX], read_edx_eax(e));
}

UMBRA_EM(xsetbv)
{
	if (!e->ops->set_xcr)
		return UMBRA_EMUL_UNHANDLEABLE;
	return e->ops->set_xcr(e, e->regs[RCX], read_edx_eax(e));
}

static int read_tsc(struct umbra_emul *e, u64 *tsc)
{
	u64 cr4;
	int ret;

	if (e->cpl) {
		ret = get_cr(e, 4, &cr4);
		if (ret)
			return ret;
		if (cr4 & CR4_TSD)
			return emul_gp(e, 0);
	}
	return get_msr(e, MSR_TSC, tsc);
}

UMBRA_EM(rdtsc)
{
	u64 tsc;
	int ret;

	ret = read_tsc(e, &tsc);
	if (!ret)
		write_edx_eax(e, tsc);
	return ret;
}

UMBRA_EM(rdtscp)
{
	u64 tsc, aux;
	int ret;

	ret = read_tsc(e, &tsc) ?: get_msr(e, MSR_TSC_AUX, &aux);
	if (ret)
		return ret;
	write_edx_eax(e, tsc);
	e->regs[RCX] = (u32)aux;
	return 0;
}

UMBRA_EM(swapgs)
{
	u64 gs, kernel;

	if (!e->ops->set_msr)
		return UMBRA_EMUL_UNHANDLEABLE;
	return get_msr(e, MSR_GS_BASE, &gs) ?:
	       get_msr(e, MSR_KERNEL_GS_BASE, &kernel) ?:
	       e->ops->set_msr(e, MSR_GS_BASE, kernel) ?:
	       e->ops->set_msr(e, MSR_KERNEL_GS_BASE, gs);
}

/* CLI and STI need CPL or virtual 8086 mode within IOPL; VME and PVI are not offered. */
static bool if_denied(const struct umbra_emul *e)
{
	unsigned int cpl = e->mode == UMBRA_EMUL_VM86 ? 3 : e->cpl;

	return e->mode != UMBRA_EMUL_REAL && cpl > (e->rflags & FL_IOPL) >> 12;
}

UMBRA_EM(cli)
{
	if (if_denied(e))
		return emul_gp(e, 0);
	e->new_rflags &= ~FL_IF;
	return 0;
}

/* Interrupts are held back for one instruction only if they were off. */
UMBRA_EM(sti)
{
	if (if_denied(e))
		return emul_gp(e, 0);
	e->int_shadow = !(e->rflags & FL_IF);
	e->new_rflags |= FL_IF;
	return 0;
}
