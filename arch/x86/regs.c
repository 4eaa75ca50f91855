// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's registers: control and debug registers with their rules, and the ioctls
 * that read and write them all.
 *
 * A value that hardware would refuse never gets into the vCPU: MOV to a control
 * register is #GP, an ioctl -EINVAL. What only the combination with segments makes
 * illegal is left to VMRUN, whose refusal is KVM_EXIT_FAIL_ENTRY.
 */
#include <linux/nospec.h>
#include <linux/uaccess.h>
#include <asm/fpu/types.h>

#include "irqchip.h"
#include "shadow.h"
#include "walk.h"

#define CR0_BITS	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
			 X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | \
			 X86_CR0_PG)

/* Bits of DR6 and DR7 that software can set (APM volume 2, 13.1.1). */
#define DR6_BITS	0xe00fULL

static bool cr0_valid(u64 cr0)
{
	return !(cr0 >> 32) && !((cr0 & X86_CR0_PG) && !(cr0 & X86_CR0_PE)) &&
	       !((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD));
}

static bool code_is_64(struct umbra_vcpu *vcpu)
{
	struct kvm_segment cs;

	umbra_backend->get_segment(vcpu, UMBRA_SEG_CS, &cs);
	return cs.l;
}

/* Mode changes follow APM volume 2, 14.6. */
static int set_cr0(struct umbra_vcpu *vcpu, u64 cr0)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	u64 changed;

	if (!cr0_valid(cr0))
		return -EINVAL;
	cr0 = (cr0 & CR0_BITS) | X86_CR0_ET;
	changed = arch->cr0 ^ cr0;
	if ((changed & X86_CR0_PG) && (arch->efer & EFER_LME)) {
		if (code_is_64(vcpu))
			return -EINVAL;
		if (!(cr0 & X86_CR0_PG))
			arch->efer &= ~(u64)EFER_LMA;
		else if (arch->cr4 & X86_CR4_PAE)
			arch->efer |= EFER_LMA;
		else
			return -EINVAL;
	}
	arch->cr0 = cr0;
	return 0;
}

static int set_cr3(struct umbra_vcpu *vcpu, u64 cr3)
{
	if (!umbra_long_mode(vcpu))
		cr3 = (u32)cr3;
	else if (cr3 & (vcpu->arch.limits.gpa_rsvd | GENMASK_ULL(63, 52)))
		return -EINVAL;
	vcpu->arch.cr3 = cr3;
	return 0;
}

static int set_cr4(struct umbra_vcpu *vcpu, u64 cr4)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (cr4 & ~arch->limits.cr4)
		return -EINVAL;
	if (umbra_long_mode(vcpu) &&
	    (!(cr4 & X86_CR4_PAE) || ((cr4 ^ arch->cr4) & X86_CR4_LA57)))
		return -EINVAL;
	arch->cr4 = cr4;
	umbra_cpuid_update(vcpu);
	return 0;
}

/* The task priority is the local APIC's, where the kernel has it. */
u64 umbra_get_cr8(const struct umbra_vcpu *vcpu)
{
	return umbra_has_lapic(vcpu) ? umbra_lapic_cr8(vcpu) : vcpu->arch.cr8;
}

static void set_cr8(struct umbra_vcpu *vcpu, u64 cr8)
{
	if (umbra_has_lapic(vcpu))
		umbra_lapic_set_cr8(vcpu, cr8);
	else
		vcpu->arch.cr8 = cr8;
}

/**
 * umbra_set_cr() - MOV to a control register
 * @vcpu: the vCPU
 * @nr: 0, 2, 3, 4 or 8
 * @val: value
 *
 * What the guest has cached of its translations is dropped: the hardware would have
 * done so where it had executed the instruction.
 *
 * Return: 0, or -EINVAL for #GP.
 */
int umbra_set_cr(struct umbra_vcpu *vcpu, unsigned int nr, u64 val)
{
	int err = 0;

	switch (nr) {
	case 0:
		err = set_cr0(vcpu, val);
		break;
	case 2:
		vcpu->arch.cr2 = val;
		break;
	case 3:
		err = set_cr3(vcpu, val);
		break;
	case 4:
		err = set_cr4(vcpu, val);
		break;
	case 8:
		if (val > 15)
			return -EINVAL;
		set_cr8(vcpu, val);
		return 0;
	default:
		return -EINVAL;
	}
	if (err)
		return err;
	if (nr != 2)
		umbra_shadow_changed(vcpu);
	/* The hardware's CR3 is the root's, which is found before the guest is entered. */
	if (nr == 3 && umbra_shadowed(vcpu))
		return 0;
	umbra_backend->sync_cr(vcpu);
	if (!umbra_shadowed(vcpu))
		umbra_backend->flush(vcpu);
	return 0;
}

/* MOV from a control register; -EINVAL for one that does not exist. */
int umbra_get_cr(struct umbra_vcpu *vcpu, unsigned int nr, u64 *val)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;

	switch (nr) {
	case 0:
		*val = arch->cr0;
		return 0;
	case 2:
		*val = arch->cr2;
		return 0;
	case 3:
		*val = arch->cr3;
		return 0;
	case 4:
		*val = arch->cr4;
		return 0;
	case 8:
		*val = umbra_get_cr8(vcpu);
		return 0;
	default:
		return -EINVAL;
	}
}

/* MOV from DR0 to DR3, DR6 or DR7. */
int umbra_get_dr(struct umbra_vcpu *vcpu, unsigned int nr, u64 *val)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (nr < 4)
		*val = arch->dr[array_index_nospec(nr, 4)];
	else
		*val = nr == 6 ? arch->dr6 : arch->dr7;
	return 0;
}

/* MOV to DR0 to DR3, DR6 or DR7; -EINVAL for #GP. */
int umbra_set_dr(struct umbra_vcpu *vcpu, unsigned int nr, u64 val)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (nr < 4) {
		arch->dr[array_index_nospec(nr, 4)] = val;
		return 0;
	}
	if (val >> 32)
		return -EINVAL;
	if (nr == 6)
		arch->dr6 = (val & DR6_BITS) | UMBRA_DR6_FIXED;
	else
		arch->dr7 = (val & UMBRA_DR7_BITS) | UMBRA_DR7_FIXED;
	umbra_backend->sync_dr(vcpu);
	return 0;
}

/**
 * umbra_set_efer() - write EFER
 * @vcpu: the vCPU
 * @efer: value; LMA is kept as it is
 * @host: by an ioctl, which may change LME while paging is on
 *
 * Return: 0, or -EINVAL for #GP.
 */
int umbra_set_efer(struct umbra_vcpu *vcpu, u64 efer, bool host)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (efer & ~(arch->limits.efer | EFER_LMA))
		return -EINVAL;
	if (!host && (arch->cr0 & X86_CR0_PG) && ((efer ^ arch->efer) & EFER_LME))
		return -EINVAL;
	arch->efer = (efer & ~(u64)EFER_LMA) | (arch->efer & EFER_LMA);
	umbra_shadow_changed(vcpu);
	umbra_backend->sync_cr(vcpu);
	umbra_backend->flush(vcpu);
	return 0;
}

/**
 * umbra_set_xcr0() - XSETBV of XCR0
 * @vcpu: the vCPU, outside the inner section
 * @xcr0: value
 *
 * Return: 0, or -EINVAL for #GP (SDM volume 1, 13.3).
 */
int umbra_set_xcr0(struct umbra_vcpu *vcpu, u64 xcr0)
{
	u64 avx512 = xcr0 & XFEATURE_MASK_AVX512;

	if ((xcr0 & ~vcpu->arch.limits.xcr0) || !(xcr0 & XFEATURE_MASK_FP))
		return -EINVAL;
	if ((xcr0 & XFEATURE_MASK_YMM) && !(xcr0 & XFEATURE_MASK_SSE))
		return -EINVAL;
	if (avx512 && (avx512 != XFEATURE_MASK_AVX512 || !(xcr0 & XFEATURE_MASK_YMM)))
		return -EINVAL;
	vcpu->arch.xcr0 = xcr0;
	umbra_cpuid_update(vcpu);
	return 0;
}

enum umbra_emul_mode umbra_cpu_mode(struct umbra_vcpu *vcpu)
{
	if (!(vcpu->arch.cr0 & X86_CR0_PE))
		return UMBRA_EMUL_REAL;
	if (vcpu->arch.rflags & X86_EFLAGS_VM)
		return UMBRA_EMUL_VM86;
	return umbra_backend->code_mode(vcpu);
}

void umbra_get_regs(struct umbra_vcpu *vcpu, struct kvm_regs *r)
{
	const u64 *regs = vcpu->arch.regs;

	*r = (struct kvm_regs) {
		.rax = regs[UMBRA_RAX], .rbx = regs[UMBRA_RBX],
		.rcx = regs[UMBRA_RCX], .rdx = regs[UMBRA_RDX],
		.rsi = regs[UMBRA_RSI], .rdi = regs[UMBRA_RDI],
		.rsp = regs[UMBRA_RSP], .rbp = regs[UMBRA_RBP],
		.r8 = regs[UMBRA_R8], .r9 = regs[UMBRA_R9],
		.r10 = regs[UMBRA_R10], .r11 = regs[UMBRA_R11],
		.r12 = regs[UMBRA_R12], .r13 = regs[UMBRA_R13],
		.r14 = regs[UMBRA_R14], .r15 = regs[UMBRA_R15],
		.rip = vcpu->arch.rip, .rflags = umbra_debug_rflags(vcpu),
	};
}

/* An exception that waits was raised by the state that is replaced here. */
void umbra_set_regs(struct umbra_vcpu *vcpu, const struct kvm_regs *r)
{
	u64 *regs = vcpu->arch.regs;

	regs[UMBRA_RAX] = r->rax;
	regs[UMBRA_RBX] = r->rbx;
	regs[UMBRA_RCX] = r->rcx;
	regs[UMBRA_RDX] = r->rdx;
	regs[UMBRA_RSI] = r->rsi;
	regs[UMBRA_RDI] = r->rdi;
	regs[UMBRA_RSP] = r->rsp;
	regs[UMBRA_RBP] = r->rbp;
	regs[UMBRA_R8] = r->r8;
	regs[UMBRA_R9] = r->r9;
	regs[UMBRA_R10] = r->r10;
	regs[UMBRA_R11] = r->r11;
	regs[UMBRA_R12] = r->r12;
	regs[UMBRA_R13] = r->r13;
	regs[UMBRA_R14] = r->r14;
	regs[UMBRA_R15] = r->r15;
	vcpu->arch.rip = r->rip;
	vcpu->arch.rflags = r->rflags | X86_EFLAGS_FIXED;
	umbra_debug_step(vcpu);
	if (vcpu->arch.event.kind == UMBRA_EVENT_EXCEPTION)
		vcpu->arch.event.kind = UMBRA_EVENT_NONE;
	umbra_emul_forget(vcpu);
}

void umbra_get_sregs(struct umbra_vcpu *vcpu, struct kvm_sregs *s)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;
	const struct umbra_x86_backend *b = umbra_backend;

	memset(s, 0, sizeof(*s));
	b->get_segment(vcpu, UMBRA_SEG_CS, &s->cs);
	b->get_segment(vcpu, UMBRA_SEG_DS, &s->ds);
	b->get_segment(vcpu, UMBRA_SEG_ES, &s->es);
	b->get_segment(vcpu, UMBRA_SEG_FS, &s->fs);
	b->get_segment(vcpu, UMBRA_SEG_GS, &s->gs);
	b->get_segment(vcpu, UMBRA_SEG_SS, &s->ss);
	b->get_segment(vcpu, UMBRA_SEG_TR, &s->tr);
	b->get_segment(vcpu, UMBRA_SEG_LDTR, &s->ldt);
	b->get_dt(vcpu, false, &s->gdt);
	b->get_dt(vcpu, true, &s->idt);
	s->cr0 = arch->cr0;
	s->cr2 = arch->cr2;
	s->cr3 = arch->cr3;
	s->cr4 = arch->cr4;
	s->cr8 = umbra_get_cr8(vcpu);
	s->efer = arch->efer;
	s->apic_base = arch->apic_base;
	if (arch->event.kind == UMBRA_EVENT_INTERRUPT)
		s->interrupt_bitmap[arch->event.vector / 64] |=
			BIT_ULL(arch->event.vector % 64);
	else if (arch->irq >= 0)
		s->interrupt_bitmap[arch->irq / 64] |= BIT_ULL(arch->irq % 64);
}

static bool sregs_valid(const struct umbra_vcpu *vcpu, const struct kvm_sregs *s)
{
	const struct umbra_x86_limits *limits = &vcpu->arch.limits;

	if (!cr0_valid(s->cr0) || (s->cr4 & ~limits->cr4) || s->cr8 > 15 ||
	    (s->efer & ~(limits->efer | EFER_LMA)))
		return false;
	if ((s->efer & EFER_LME) && (s->cr0 & X86_CR0_PG))
		return (s->cr4 & X86_CR4_PAE) && (s->efer & EFER_LMA) &&
		       !(s->cr3 & limits->gpa_rsvd) && !(s->cs.l && s->cs.db);
	return !(s->efer & EFER_LMA) && !s->cs.l;
}

/* -EINVAL, with nothing changed, for what cannot be a CPU's state. */
long umbra_set_sregs(struct umbra_vcpu *vcpu, const struct kvm_sregs *s)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	const struct umbra_x86_backend *b = umbra_backend;
	unsigned int irq;

	if (!sregs_valid(vcpu, s) || umbra_lapic_set_base(vcpu, s->apic_base, true))
		return -EINVAL;
	arch->cr0 = (s->cr0 & CR0_BITS) | X86_CR0_ET;
	arch->cr2 = s->cr2;
	arch->cr3 = s->cr3;
	arch->cr4 = s->cr4;
	set_cr8(vcpu, s->cr8);
	vcpu->run->cr8 = s->cr8;
	arch->efer = s->efer;
	umbra_shadow_changed(vcpu);
	b->sync_cr(vcpu);
	b->flush(vcpu);
	b->set_segment(vcpu, UMBRA_SEG_CS, &s->cs);
	b->set_segment(vcpu, UMBRA_SEG_DS, &s->ds);
	b->set_segment(vcpu, UMBRA_SEG_ES, &s->es);
	b->set_segment(vcpu, UMBRA_SEG_FS, &s->fs);
	b->set_segment(vcpu, UMBRA_SEG_GS, &s->gs);
	b->set_segment(vcpu, UMBRA_SEG_SS, &s->ss);
	b->set_segment(vcpu, UMBRA_SEG_TR, &s->tr);
	b->set_segment(vcpu, UMBRA_SEG_LDTR, &s->ldt);
	b->set_dt(vcpu, false, &s->gdt);
	b->set_dt(vcpu, true, &s->idt);
	irq = find_first_bit((const unsigned long *)s->interrupt_bitmap, 256);
	/* The bitmap showed one that was interrupted in its delivery, too. */
	if (arch->event.kind == UMBRA_EVENT_INTERRUPT)
		arch->event.kind = UMBRA_EVENT_NONE;
	arch->irq = irq < 256 ? irq : -1;
	umbra_cpuid_update(vcpu);
	umbra_emul_forget(vcpu);
	return 0;
}

static void get_debugregs(struct umbra_vcpu *vcpu, struct kvm_debugregs *d)
{
	memset(d, 0, sizeof(*d));
	memcpy(d->db, vcpu->arch.dr, sizeof(d->db));
	d->dr6 = vcpu->arch.dr6;
	d->dr7 = vcpu->arch.dr7;
}

static long set_debugregs(struct umbra_vcpu *vcpu, const struct kvm_debugregs *d)
{
	if (d->flags || d->dr6 >> 32 || d->dr7 >> 32)
		return -EINVAL;
	memcpy(vcpu->arch.dr, d->db, sizeof(d->db));
	umbra_set_dr(vcpu, 6, d->dr6);
	umbra_set_dr(vcpu, 7, d->dr7);
	return 0;
}

/* KVM_TRANSLATE: for a supervisor's read, and without a trace in the guest. */
static void do_translate(struct umbra_vcpu *vcpu, struct kvm_translation *t)
{
	struct umbra_walk walk;
	bool ok = false;

	umbra_vcpu_srcu_lock(vcpu);
	if (!umbra_long_mode(vcpu) || umbra_canonical(vcpu, t->linear_address))
		ok = umbra_walk(vcpu, t->linear_address, UMBRA_WALK_PEEK,
				&walk) == UMBRA_WALK_OK;
	umbra_vcpu_srcu_unlock(vcpu);
	t->physical_address = ok ? walk.gpa : ~0ULL;
	t->valid = ok;
	t->writeable = ok && (walk.access & UMBRA_PERM_WRITE);
	t->usermode = ok && (walk.access & UMBRA_PERM_USER);
	memset(t->pad, 0, sizeof(t->pad));
}

/**
 * umbra_regs_ioctl() - KVM_GET/SET_REGS, SREGS, DEBUGREGS; KVM_TRANSLATE
 * @vcpu: the vCPU; its mutex is held
 * @cmd: the ioctl
 * @argp: its argument
 *
 * Return: what the ioctl returns; -EINVAL for values that no CPU would take; -ENOTTY
 * for another @cmd.
 */
long umbra_regs_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	union {
		struct kvm_regs regs;
		struct kvm_sregs sregs;
		struct kvm_debugregs debugregs;
		struct kvm_translation translation;
	} u;
	size_t size = _IOC_SIZE(cmd);

	switch (cmd) {
	case KVM_GET_REGS:
		umbra_get_regs(vcpu, &u.regs);
		break;
	case KVM_GET_SREGS:
		umbra_get_sregs(vcpu, &u.sregs);
		break;
	case KVM_GET_DEBUGREGS:
		get_debugregs(vcpu, &u.debugregs);
		break;
	case KVM_SET_REGS:
	case KVM_SET_SREGS:
	case KVM_SET_DEBUGREGS:
	case KVM_TRANSLATE:
		if (copy_from_user(&u, argp, size))
			return -EFAULT;
		break;
	default:
		return -ENOTTY;
	}
	switch (cmd) {
	case KVM_SET_REGS:
		umbra_set_regs(vcpu, &u.regs);
		return 0;
	case KVM_SET_SREGS:
		return umbra_set_sregs(vcpu, &u.sregs);
	case KVM_SET_DEBUGREGS:
		return set_debugregs(vcpu, &u.debugregs);
	case KVM_TRANSLATE:
		do_translate(vcpu, &u.translation);
		break;
	}
	return copy_to_user(argp, &u, size) ? -EFAULT : 0;
}
