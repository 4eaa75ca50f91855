// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's registers: by MMIO (xAPIC), by MSR (x2APIC) and by ioctl.
 *
 * One function reads and one writes a register; both accesses go by them. What is
 * refused there is #GP for an MSR (SDM volume 3, 10.12.1.2), and for MMIO an error in ESR
 * where the register does not exist, and nothing otherwise.
 *
 * All is done by the vCPU's thread, with vcpu->mutex.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

#define LVT_ENTRIES	6
#define LVR		(0x14 | (LVT_ENTRIES - 1) << 16)
#define SPIV_BITS	(APIC_VECTOR_MASK | APIC_SPIV_APIC_ENABLED | APIC_SPIV_FOCUS_DISABLED)
#define LVT_BITS	(APIC_VECTOR_MASK | APIC_LVT_MASKED)
#define LVT_MODE_BITS	(LVT_BITS | APIC_MODE_MASK)
#define LINT_BITS	(LVT_MODE_BITS | APIC_INPUT_POLARITY | APIC_LVT_LEVEL_TRIGGER)

#define REG(reg)	BIT_ULL((reg) >> 4)
#define REGS(reg, n)	GENMASK_ULL(((reg) >> 4) + (n) - 1, (reg) >> 4)

/* Registers that can be read. */
#define READABLE	(REG(APIC_ID) | REG(APIC_LVR) | REG(APIC_TASKPRI) | REG(APIC_PROCPRI) | \
			 REG(APIC_LDR) | REG(APIC_SPIV) | REGS(APIC_ISR, 8) | \
			 REGS(APIC_TMR, 8) | REGS(APIC_IRR, 8) | REG(APIC_ESR) | \
			 REG(APIC_ICR) | REG(APIC_LVTT) | REG(APIC_LVTTHMR) | \
			 REG(APIC_LVTPC) | REG(APIC_LVT0) | REG(APIC_LVT1) | \
			 REG(APIC_LVTERR) | REG(APIC_TMICT) | REG(APIC_TMCCT) | REG(APIC_TDCR))
/* ... and these not in x2APIC mode. */
#define READABLE_XAPIC	(REG(APIC_ARBPRI) | REG(APIC_DFR) | REG(APIC_ICR2))

static u32 x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | BIT(id & 15);
}

/* The vCPU's own next look at what it could be given. */
static void look_again(struct umbra_lapic *lapic)
{
	set_bit(UMBRA_REQ_IRQ, &lapic->vcpu->arch.requests);
}

static int lapic_read(struct umbra_lapic *lapic, unsigned int reg, u32 *val)
{
	u64 readable = READABLE | (lapic_x2apic(lapic) ? 0 : READABLE_XAPIC);

	*val = 0;
	if (!(readable & REG(reg)))
		return -EINVAL;
	if (reg == APIC_PROCPRI || (reg & ~0x70U) == APIC_ISR)
		umbra_pv_eoi_settle(lapic);
	if (reg == APIC_TMCCT)
		lapic_set(lapic, APIC_TMCCT, umbra_lapic_timer_count(lapic));
	else if (reg == APIC_PROCPRI)
		umbra_lapic_update_ppr(lapic);
	*val = lapic_get(lapic, reg);
	return 0;
}

static const u16 lvts[LVT_ENTRIES] = {
	APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0, APIC_LVT1, APIC_LVTERR,
};

static u32 lvt_bits(const struct umbra_lapic *lapic, unsigned int reg)
{
	switch (reg) {
	case APIC_LVTT:
		return LVT_BITS | APIC_LVT_TIMER_PERIODIC |
		       (lapic->vcpu->arch.limits.tsc_deadline ?
			APIC_LVT_TIMER_TSCDEADLINE : 0);
	case APIC_LVTTHMR:
	case APIC_LVTPC:
		return LVT_MODE_BITS;
	case APIC_LVTERR:
		return LVT_BITS;
	default:
		return LINT_BITS;
	}
}

/* Going to the TSC's deadline, or from it, stops what counted. */
static void write_lvt(struct umbra_lapic *lapic, unsigned int reg, u32 val)
{
	u32 old = lapic_get(lapic, reg);

	val &= lvt_bits(lapic, reg);
	if (!(lapic_get(lapic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
		val |= APIC_LVT_MASKED;
	if (reg == APIC_LVTT && ((old ^ val) & APIC_LVT_TIMER_TSCDEADLINE)) {
		umbra_lapic_timer_stop(lapic);
		lapic_set(lapic, APIC_TMICT, 0);
	}
	lapic_set(lapic, reg, val);
	if (reg == APIC_LVT0)
		look_again(lapic);
}

static void write_spiv(struct umbra_lapic *lapic, u32 val)
{
	unsigned int i;

	lapic_set(lapic, APIC_SPIV, val & SPIV_BITS);
	if (val & APIC_SPIV_APIC_ENABLED) {
		look_again(lapic);
		return;
	}
	for (i = 0; i < LVT_ENTRIES; i++)
		lapic_set(lapic, lvts[i], lapic_get(lapic, lvts[i]) | APIC_LVT_MASKED);
}

/* The rest of the registers: those that exist in one mode only. */
static int write_by_mode(struct umbra_lapic *lapic, unsigned int reg, u32 val)
{
	bool x2apic = lapic_x2apic(lapic);

	if (reg == APIC_SELF_IPI) {
		if (!x2apic || val & ~APIC_VECTOR_MASK)
			return -EINVAL;
		umbra_lapic_send(lapic, APIC_DEST_SELF | val, 0);
		return 0;
	}
	if (x2apic)
		return -EINVAL;
	switch (reg) {
	case APIC_ID:
	case APIC_LDR:
	case APIC_ICR2:
		lapic_set(lapic, reg, val & 0xff000000);
		return 0;
	case APIC_DFR:
		lapic_set(lapic, reg, val | 0x0fffffff);
		return 0;
	default:
		return -EINVAL;
	}
}

static void write_icr(struct umbra_lapic *lapic, u32 icr, u32 dest)
{
	icr &= ~APIC_ICR_BUSY;
	lapic_set(lapic, APIC_ICR, icr);
	umbra_lapic_send(lapic, icr, dest);
}

static int lapic_write(struct umbra_lapic *lapic, unsigned int reg, u32 val)
{
	switch (reg) {
	case APIC_TASKPRI:
		lapic_set(lapic, reg, val & APIC_TPRI_MASK);
		look_again(lapic);
		return 0;
	case APIC_EOI:
		if (val && lapic_x2apic(lapic))
			return -EINVAL;
		umbra_lapic_eoi(lapic);
		return 0;
	case APIC_SPIV:
		write_spiv(lapic, val);
		return 0;
	case APIC_ESR:
		if (val && lapic_x2apic(lapic))
			return -EINVAL;
		lapic_set(lapic, reg, atomic_xchg(&lapic->errors, 0));
		return 0;
	case APIC_ICR:
		write_icr(lapic, val, lapic_get(lapic, APIC_ICR2) >> 24);
		return 0;
	case APIC_LVTT:
	case APIC_LVTTHMR:
	case APIC_LVTPC:
	case APIC_LVT0:
	case APIC_LVT1:
	case APIC_LVTERR:
		write_lvt(lapic, reg, val);
		return 0;
	case APIC_TMICT:
		umbra_lapic_timer_start(lapic, val);
		return 0;
	case APIC_TDCR:
		umbra_lapic_timer_divide(lapic, val);
		return 0;
	default:
		return write_by_mode(lapic, reg, val);
	}
}

/**
 * umbra_lapic_mmio() - the guest reads or writes its APIC's page
 * @vcpu: the vCPU
 * @offset: in the page
 * @val: the data
 * @len: 1 to 8 bytes
 * @write: direction
 *
 * Registers are 32 bits wide and 16 bytes apart; a read may be of a part, a write is of
 * a whole one. Where there is no page, in x2APIC mode, reads give ones.
 */
void umbra_lapic_mmio(struct umbra_vcpu *vcpu, unsigned int offset, void *val,
		      unsigned int len, bool write)
{
	struct umbra_lapic *lapic = vcpu->arch.lapic;
	unsigned int reg = offset & ~0xfU, part = offset & 0xf;
	int err = -EINVAL;
	u32 word;

	if (!write)
		memset(val, lapic_x2apic(lapic) ? 0xff : 0, len);
	if (lapic_x2apic(lapic))
		return;
	if (write && (len != 4 || part))
		return;
	if (reg < KVM_APIC_REG_SIZE) {
		if (write)
			err = lapic_write(lapic, reg, *(u32 *)val);
		else
			err = lapic_read(lapic, reg, &word);
	}
	if (!write && !err && part + len <= 4)
		memcpy(val, (void *)&word + part, len);
	if (err && (reg >= KVM_APIC_REG_SIZE ||
		    !((READABLE | READABLE_XAPIC | REG(APIC_EOI)) & REG(reg))))
		umbra_lapic_error(lapic, APIC_ESR_ILLREGA);
}

/**
 * umbra_x2apic_get_msr() - RDMSR of 0x800 to 0x8ff
 * @vcpu: the vCPU
 * @index: the MSR
 * @val: its value
 *
 * Never sleeps. Return: 0, or -EINVAL where the guest gets #GP.
 */
int umbra_x2apic_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *val)
{
	struct umbra_lapic *lapic = vcpu->arch.lapic;
	unsigned int reg = (index - UMBRA_X2APIC_MSR) << 4;
	u32 word;
	int err;

	if (!lapic || !lapic_x2apic(lapic) || reg >= KVM_APIC_REG_SIZE)
		return -EINVAL;
	err = lapic_read(lapic, reg, &word);
	*val = word;
	if (!err && reg == APIC_ICR)
		*val |= (u64)lapic_get(lapic, APIC_ICR2) << 32;
	return err;
}

/**
 * umbra_x2apic_set_msr() - WRMSR of 0x800 to 0x8ff
 * @vcpu: the vCPU; may be in the inner section
 * @index: the MSR
 * @val: its value
 *
 * Never sleeps. Return: 0, or -EINVAL where the guest gets #GP.
 */
int umbra_x2apic_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val)
{
	struct umbra_lapic *lapic = vcpu->arch.lapic;
	unsigned int reg = (index - UMBRA_X2APIC_MSR) << 4;

	if (!lapic || !lapic_x2apic(lapic) || reg >= KVM_APIC_REG_SIZE)
		return -EINVAL;
	if (reg == APIC_ICR) {
		lapic_set(lapic, APIC_ICR2, val >> 32);
		write_icr(lapic, val, val >> 32);
		return 0;
	}
	return val >> 32 ? -EINVAL : lapic_write(lapic, reg, val);
}

/* CR8 is the upper half of the task priority. */
u64 umbra_lapic_cr8(const struct umbra_vcpu *vcpu)
{
	return lapic_get(vcpu->arch.lapic, APIC_TASKPRI) >> 4;
}

void umbra_lapic_set_cr8(struct umbra_vcpu *vcpu, u64 cr8)
{
	lapic_write(vcpu->arch.lapic, APIC_TASKPRI, cr8 << 4);
}

static void set_id(struct umbra_lapic *lapic, bool x2apic)
{
	u32 id = lapic->vcpu->id;

	lapic_set(lapic, APIC_ID, x2apic ? id : id << 24);
	lapic_set(lapic, APIC_LDR, x2apic ? x2apic_ldr(id) : 0);
}

/**
 * umbra_lapic_set_base() - write MSR_IA32_APICBASE
 * @vcpu: the vCPU, with or without an APIC in the kernel
 * @base: its value
 * @host: for an ioctl, which may go from any mode to any other
 *
 * Return: 0, or -EINVAL for reserved bits, modes that do not exist, and changes of the
 * mode that a CPU refuses (SDM volume 3, 10.12.5).
 */
int umbra_lapic_set_base(struct umbra_vcpu *vcpu, u64 base, bool host)
{
	const u64 mode = MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE;
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	u64 old = arch->apic_base & mode, new = base & mode;

	if (base & (arch->limits.gpa_rsvd | 0x2ff | (arch->limits.x2apic ? 0 : X2APIC_ENABLE)))
		return -EINVAL;
	if (new == X2APIC_ENABLE)
		return -EINVAL;
	if (!host && ((old == mode && new == MSR_IA32_APICBASE_ENABLE) || (!old && new == mode)))
		return -EINVAL;
	WRITE_ONCE(arch->apic_base, base);
	umbra_cpuid_update(vcpu);
	if (arch->lapic && old != new) {
		if (new)
			set_id(arch->lapic, new == mode);
		look_again(arch->lapic);
	}
	return 0;
}

/**
 * umbra_lapic_reset() - the APIC after RESET, or after INIT
 * @vcpu: the vCPU; MSR_IA32_APICBASE is set already
 * @init: INIT, which leaves the ID as it is (APM volume 2, 16.3.2)
 *
 * LINT0 of the CPU that boots leads from the PIC, as firmware would set it.
 */
void umbra_lapic_reset(struct umbra_vcpu *vcpu, bool init)
{
	struct umbra_lapic *lapic = vcpu->arch.lapic;
	u32 id = lapic_get(lapic, APIC_ID), ldr = lapic_get(lapic, APIC_LDR);
	unsigned int i;

	umbra_lapic_timer_stop(lapic);
	memset(lapic->regs, 0, sizeof(lapic->regs));
	atomic_set(&lapic->errors, 0);
	lapic->isr_top = -1;
	lapic->offered = false;
	lapic->late_eois = 0;
	if (!init) {
		set_id(lapic, lapic_x2apic(lapic));
	} else {
		lapic_set(lapic, APIC_ID, id);
		lapic_set(lapic, APIC_LDR, lapic_x2apic(lapic) ? ldr : 0);
	}
	lapic_set(lapic, APIC_LVR, LVR);
	lapic_set(lapic, APIC_DFR, APIC_DFR_FLAT);
	lapic_set(lapic, APIC_SPIV, 0xff);
	for (i = 0; i < LVT_ENTRIES; i++)
		lapic_set(lapic, lvts[i], APIC_LVT_MASKED);
	if (vcpu->arch.apic_base & MSR_IA32_APICBASE_BSP)
		lapic_set(lapic, APIC_LVT0, APIC_DM_EXTINT);
	vcpu->arch.extint = -1;
}

/**
 * umbra_lapic_create() - give a new vCPU an APIC
 * @vcpu: the vCPU
 *
 * Return: 0 or -ENOMEM.
 */
int umbra_lapic_create(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *lapic = kzalloc(sizeof(*lapic), GFP_KERNEL_ACCOUNT);

	if (!lapic)
		return -ENOMEM;
	lapic->vcpu = vcpu;
	lapic->isr_top = -1;
	umbra_lapic_timer_init(lapic);
	vcpu->arch.lapic = lapic;
	return 0;
}

/* Nobody sends it anything any more. */
void umbra_lapic_destroy(struct umbra_vcpu *vcpu)
{
	if (!vcpu->arch.lapic)
		return;
	umbra_lapic_timer_stop(vcpu->arch.lapic);
	kfree(vcpu->arch.lapic);
	vcpu->arch.lapic = NULL;
}

/* In x2APIC mode the ID is 32 bits wide, in the state's older format 8 bits at the top. */
static u32 *state_id(struct umbra_lapic *lapic, struct kvm_lapic_state *state)
{
	return lapic_x2apic(lapic) && !lapic->vcpu->vm->arch.x2apic_ids ?
	       (u32 *)(state->regs + APIC_ID) : NULL;
}

static long get_state(struct umbra_lapic *lapic, struct kvm_lapic_state __user *argp)
{
	struct kvm_lapic_state state;
	u32 *id, word;

	lapic_read(lapic, APIC_TMCCT, &word);
	lapic_read(lapic, APIC_PROCPRI, &word);
	memcpy(state.regs, lapic->regs, sizeof(state.regs));
	id = state_id(lapic, &state);
	if (id)
		*id <<= 24;
	return copy_to_user(argp, &state, sizeof(state)) ? -EFAULT : 0;
}

/* What the guest could not have written is made what it could have. */
static void sanitize(struct umbra_lapic *lapic)
{
	unsigned int i;

	lapic_set(lapic, APIC_LVR, LVR);
	lapic_set(lapic, APIC_SPIV, lapic_get(lapic, APIC_SPIV) & SPIV_BITS);
	for (i = 0; i < LVT_ENTRIES; i++)
		lapic_set(lapic, lvts[i],
			  lapic_get(lapic, lvts[i]) & lvt_bits(lapic, lvts[i]));
	lapic_set(lapic, APIC_TASKPRI, lapic_get(lapic, APIC_TASKPRI) & APIC_TPRI_MASK);
	lapic_set(lapic, APIC_TDCR, lapic_get(lapic, APIC_TDCR) & 0xb);
}

/* -EINVAL for an ID that is not the vCPU's, in x2APIC mode. */
static long set_state(struct umbra_lapic *lapic, const struct kvm_lapic_state __user *argp)
{
	struct kvm_lapic_state state;
	u32 *id;

	if (copy_from_user(&state, argp, sizeof(state)))
		return -EFAULT;
	id = state_id(lapic, &state);
	if (id)
		*id >>= 24;
	if (lapic_x2apic(lapic)) {
		if (lapic->vcpu->vm->arch.x2apic_ids &&
		    *(u32 *)(state.regs + APIC_ID) != lapic->vcpu->id)
			return -EINVAL;
		*(u32 *)(state.regs + APIC_LDR) = x2apic_ldr(*(u32 *)(state.regs + APIC_ID));
	}
	hrtimer_cancel(&lapic->timer);
	memcpy(lapic->regs, state.regs, sizeof(state.regs));
	sanitize(lapic);
	lapic->isr_top = umbra_lapic_find(lapic, APIC_ISR);
	umbra_lapic_timer_restore(lapic);
	look_again(lapic);
	return 0;
}

/* KVM_GET_LAPIC, KVM_SET_LAPIC; -EINVAL without an APIC in the kernel. */
long umbra_lapic_ioctl(struct umbra_vcpu *vcpu, bool set, void __user *argp)
{
	if (!vcpu->arch.lapic)
		return -EINVAL;
	return set ? set_state(vcpu->arch.lapic, argp) : get_state(vcpu->arch.lapic, argp);
}
