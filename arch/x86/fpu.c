// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's x87, SSE, AVX and AVX-512 state.
 *
 * While the inner section runs the state is in the CPU, and kernel_fpu_begin_mask()
 * has put the thread's own away; otherwise it is in arch.xstate, in XSAVE's standard
 * format (SDM volume 1, 13.4), or in FXSAVE's on a host without XSAVE. It is never in
 * both and the host's registers are never lost.
 *
 * PKRU is not part of it: the kernel's copies from and to userspace obey it, so the
 * guest's is in the CPU only while the guest runs.
 *
 * A CPU without XSAVES intercept lets the guest name any component that XSS enables,
 * so XSS is zero in the inner section.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/asm.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/xstate.h>
#include <asm/msr.h>

#include "x86.h"

/* What a guest may be offered; AMX is not, PKRU is kept apart. */
#define XCR0_OFFERED	(XFEATURE_MASK_FP | XFEATURE_MASK_SSE | XFEATURE_MASK_YMM | \
			 XFEATURE_MASK_AVX512 | XFEATURE_MASK_PKRU)

/* CPUID 0xD, ECX of a component's subleaf: aligned in compacted format */
#define XSAVE_ALIGN64	BIT(1)

#define MXCSR_INIT	0x1f80
#define FCW_INIT	0x37f

static bool has_xsave;
static u64 host_xcr0;
static u64 host_xss;
static u64 guest_mask;	/* components in arch.xstate */
static u32 xstate_bytes;
static u32 mxcsr_mask;	/* bits of MXCSR that exist */

/**
 * umbra_xstate_size() - bytes of XSAVE's area for some components
 * @xcr0: the components
 * @compacted: in the format of XSAVEC (SDM volume 1, 13.4.3), else in standard format
 */
u32 umbra_xstate_size(u64 xcr0, bool compacted)
{
	u32 size = UMBRA_XSAVE_HEADER + 64;
	unsigned int i;

	for (i = 2; i < 63; i++) {
		u32 eax, ebx, ecx, edx;

		if (!(xcr0 & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx);
		if (!compacted)
			size = max(size, eax + ebx);
		else
			size = (ecx & XSAVE_ALIGN64 ? ALIGN(size, 64) : size) + eax;
	}
	return size;
}

u64 umbra_fpu_supported_xcr0(void)
{
	return host_xcr0 & XCR0_OFFERED;
}

/* SDM volume 1, 11.6.6: a mask of zero stands for the first CPUs'. */
static int find_mxcsr_mask(void)
{
	struct fxregs_state *fx = kzalloc(sizeof(*fx), GFP_KERNEL);

	if (!fx)
		return -ENOMEM;
	kernel_fpu_begin();
	asm volatile("fxsave64 %0" : "+m" (*fx));
	kernel_fpu_end();
	mxcsr_mask = fx->mxcsr_mask ?: 0xffbf;
	kfree(fx);
	return 0;
}

/**
 * umbra_fpu_init() - at module load
 *
 * Return: 0; -ENOMEM; -EOPNOTSUPP when the host's state is larger than the page kept for it.
 */
int umbra_fpu_init(void)
{
	int err = find_mxcsr_mask();

	if (err)
		return err;
	has_xsave = boot_cpu_has(X86_FEATURE_OSXSAVE);
	if (!has_xsave) {
		xstate_bytes = 512;
		return 0;
	}
	host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, host_xss);
	guest_mask = host_xcr0 & XCR0_OFFERED & ~(u64)XFEATURE_MASK_PKRU;
	xstate_bytes = umbra_xstate_size(host_xcr0 & XCR0_OFFERED, false);
	if (xstate_bytes > PAGE_SIZE) {
		pr_err("umbra: the FPU state of this CPU needs %u bytes, more than a page\n",
		       xstate_bytes);
		return -EOPNOTSUPP;
	}
	return 0;
}

int umbra_fpu_vcpu_init(struct umbra_vcpu *vcpu)
{
	vcpu->arch.xstate = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return vcpu->arch.xstate ? 0 : -ENOMEM;
}

void umbra_fpu_vcpu_destroy(struct umbra_vcpu *vcpu)
{
	free_page((unsigned long)vcpu->arch.xstate);
	vcpu->arch.xstate = NULL;
}

static struct fxregs_state *fxregs(struct umbra_vcpu *vcpu)
{
	return vcpu->arch.xstate;
}

/* XSTATE_BV: which components are not in their initial state. */
static u64 *xstate_bv(struct umbra_vcpu *vcpu)
{
	return vcpu->arch.xstate + UMBRA_XSAVE_HEADER;
}

/* The state that a CPU has after power-up. */
void umbra_fpu_reset(struct umbra_vcpu *vcpu)
{
	memset(vcpu->arch.xstate, 0, PAGE_SIZE);
	fxregs(vcpu)->cwd = FCW_INIT;
	fxregs(vcpu)->mxcsr = MXCSR_INIT;
	if (has_xsave)
		*xstate_bv(vcpu) = XFEATURE_MASK_FPSSE;
	vcpu->arch.xcr0 = XFEATURE_MASK_FP;
	vcpu->arch.pkru = 0;
}

static void xrstor(const void *xstate, u64 mask)
{
	/* What came from userspace was checked; a fault loads nothing. */
	asm volatile("1: xrstor64 %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "m" (*(const u8 (*)[PAGE_SIZE])xstate), "a" ((u32)mask),
			 "d" ((u32)(mask >> 32)) : "memory");
}

static void xsave(void *xstate, u64 mask)
{
	asm volatile("xsave64 %0"
		     : "+m" (*(u8 (*)[PAGE_SIZE])xstate)
		     : "a" ((u32)mask), "d" ((u32)(mask >> 32)) : "memory");
}

/**
 * umbra_fpu_load() - begin the inner section
 * @vcpu: the vCPU; preemption is off until umbra_fpu_put()
 */
void umbra_fpu_load(struct umbra_vcpu *vcpu)
{
	kernel_fpu_begin_mask(0);
	if (unlikely(!has_xsave)) {
		asm volatile("1: fxrstor64 %0\n2:\n" _ASM_EXTABLE(1b, 2b)
			     : : "m" (*fxregs(vcpu)));
		return;
	}
	xrstor(vcpu->arch.xstate, guest_mask);
	if (vcpu->arch.xcr0 != host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->arch.xcr0);
	if (host_xss)
		wrmsrl(MSR_IA32_XSS, 0);
	vcpu->stat.fpu_reload++;
}

void umbra_fpu_put(struct umbra_vcpu *vcpu)
{
	if (likely(has_xsave)) {
		if (host_xss)
			wrmsrl(MSR_IA32_XSS, host_xss);
		if (vcpu->arch.xcr0 != host_xcr0)
			xsetbv(XCR_XFEATURE_ENABLED_MASK, host_xcr0);
		xsave(vcpu->arch.xstate, guest_mask);
	} else {
		asm volatile("fxsave64 %0" : "=m" (*fxregs(vcpu)));
	}
	kernel_fpu_end();
}

/* Where a vector register's upper half is, and the bit that says it is not zero. */
static u8 *ymm_high(struct umbra_vcpu *vcpu, unsigned int reg)
{
	return vcpu->arch.xstate + UMBRA_XSAVE_YMM + 16 * reg;
}

static u8 *xmm(struct umbra_vcpu *vcpu, unsigned int reg)
{
	return vcpu->arch.xstate + UMBRA_FX_XMM + 16 * reg;
}

/**
 * umbra_fpu_get_vec() - read a vector register, for the emulator
 * @vcpu: the vCPU, outside the inner section
 * @reg: 0 to 15
 * @val: result
 * @bytes: 8, 16 or 32; what the guest has not is zero
 */
void umbra_fpu_get_vec(struct umbra_vcpu *vcpu, unsigned int reg, void *val,
		       unsigned int bytes)
{
	u64 bv = has_xsave ? *xstate_bv(vcpu) : XFEATURE_MASK_FPSSE;

	memset(val, 0, bytes);
	if (bv & XFEATURE_MASK_SSE)
		memcpy(val, xmm(vcpu, reg), min(bytes, 16U));
	if (bytes == 32 && (bv & XFEATURE_MASK_YMM))
		memcpy(val + 16, ymm_high(vcpu, reg), 16);
}

/* A component that leaves its initial state must be whole in the buffer. */
static void make_present(struct umbra_vcpu *vcpu, u64 component, void *start, size_t len)
{
	if (!has_xsave || (*xstate_bv(vcpu) & component))
		return;
	memset(start, 0, len);
	*xstate_bv(vcpu) |= component;
}

/**
 * umbra_fpu_set_vec() - write a vector register, for the emulator
 * @vcpu: the vCPU, outside the inner section
 * @reg: 0 to 15
 * @val: value
 * @bytes: 16 or 32
 * @zero_upper: clear the bits above
 */
void umbra_fpu_set_vec(struct umbra_vcpu *vcpu, unsigned int reg, const void *val,
		       unsigned int bytes, bool zero_upper)
{
	bool ymm = guest_mask & XFEATURE_MASK_YMM;

	make_present(vcpu, XFEATURE_MASK_SSE, xmm(vcpu, 0), 256);
	memcpy(xmm(vcpu, reg), val, 16);
	if (!ymm || (bytes == 16 && !zero_upper))
		return;
	make_present(vcpu, XFEATURE_MASK_YMM, ymm_high(vcpu, 0), 256);
	if (bytes == 32)
		memcpy(ymm_high(vcpu, reg), val + 16, 16);
	else
		memset(ymm_high(vcpu, reg), 0, 16);
}

/* Abridged tag word of FXSAVE: kvm_fpu has the same. */
static void get_fpu(struct umbra_vcpu *vcpu, struct kvm_fpu *fpu)
{
	const struct fxregs_state *fx = fxregs(vcpu);
	u64 bv = has_xsave ? *xstate_bv(vcpu) : XFEATURE_MASK_FPSSE;

	memset(fpu, 0, sizeof(*fpu));
	fpu->mxcsr = fx->mxcsr;
	if (bv & XFEATURE_MASK_FP) {
		memcpy(fpu->fpr, fx->st_space, sizeof(fpu->fpr));
		fpu->fcw = fx->cwd;
		fpu->fsw = fx->swd;
		fpu->ftwx = fx->twd;
		fpu->last_opcode = fx->fop;
		fpu->last_ip = fx->rip;
		fpu->last_dp = fx->rdp;
	} else {
		fpu->fcw = FCW_INIT;
	}
	if (bv & XFEATURE_MASK_SSE)
		memcpy(fpu->xmm, fx->xmm_space, sizeof(fpu->xmm));
}

static int set_fpu(struct umbra_vcpu *vcpu, const struct kvm_fpu *fpu)
{
	struct fxregs_state *fx = fxregs(vcpu);

	if (fpu->mxcsr & ~mxcsr_mask)
		return -EINVAL;
	memcpy(fx->st_space, fpu->fpr, sizeof(fpu->fpr));
	fx->cwd = fpu->fcw;
	fx->swd = fpu->fsw;
	fx->twd = fpu->ftwx;
	fx->fop = fpu->last_opcode;
	fx->rip = fpu->last_ip;
	fx->rdp = fpu->last_dp;
	memcpy(fx->xmm_space, fpu->xmm, sizeof(fpu->xmm));
	fx->mxcsr = fpu->mxcsr;
	if (has_xsave)
		*xstate_bv(vcpu) |= XFEATURE_MASK_FPSSE;
	return 0;
}

static u32 pkru_offset(void)
{
	u32 eax, ebx, ecx, edx;

	cpuid_count(0xd, XFEATURE_PKRU, &eax, &ebx, &ecx, &edx);
	return ebx;
}

/* The guest's state as XSAVE would store it, PKRU put in. */
static void get_xsave(struct umbra_vcpu *vcpu, struct kvm_xsave *xsave)
{
	void *out = xsave->region;

	memset(xsave, 0, sizeof(*xsave));
	memcpy(out, vcpu->arch.xstate, xstate_bytes);
	if (!has_xsave)
		*(u64 *)(out + UMBRA_XSAVE_HEADER) = XFEATURE_MASK_FPSSE;
	if ((host_xcr0 & XFEATURE_MASK_PKRU) && vcpu->arch.pkru) {
		memcpy(out + pkru_offset(), &vcpu->arch.pkru, sizeof(u32));
		*(u64 *)(out + UMBRA_XSAVE_HEADER) |= XFEATURE_MASK_PKRU;
	}
}

/* -EINVAL for components that the guest cannot have, and for MXCSR's reserved bits. */
static int set_xsave(struct umbra_vcpu *vcpu, const struct kvm_xsave *xsave)
{
	const void *in = xsave->region;
	const u64 *header = in + UMBRA_XSAVE_HEADER;
	u64 bv = header[0];
	unsigned int i;

	if (bv & ~(has_xsave ? umbra_fpu_supported_xcr0() : XFEATURE_MASK_FPSSE))
		return -EINVAL;
	for (i = 1; i < 8; i++)
		if (header[i])
			return -EINVAL;
	if (((const struct fxregs_state *)in)->mxcsr & ~mxcsr_mask)
		return -EINVAL;
	memcpy(vcpu->arch.xstate, in, xstate_bytes);
	if (!has_xsave)
		return 0;
	*xstate_bv(vcpu) = bv & guest_mask;
	vcpu->arch.pkru = 0;
	if (bv & XFEATURE_MASK_PKRU)
		memcpy(&vcpu->arch.pkru, in + pkru_offset(), sizeof(u32));
	return 0;
}

static void get_xcrs(struct umbra_vcpu *vcpu, struct kvm_xcrs *xcrs)
{
	memset(xcrs, 0, sizeof(*xcrs));
	if (!has_xsave)
		return;
	xcrs->nr_xcrs = 1;
	xcrs->xcrs[0].value = vcpu->arch.xcr0;
}

static long set_xcrs(struct umbra_vcpu *vcpu, const struct kvm_xcrs *xcrs)
{
	unsigned int i;

	if (xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (i = 0; i < xcrs->nr_xcrs; i++)
		if (!xcrs->xcrs[i].xcr)
			return umbra_set_xcr0(vcpu, xcrs->xcrs[i].value);
	return 0;
}

static long xsave_ioctl(struct umbra_vcpu *vcpu, bool set, void __user *argp)
{
	struct kvm_xsave *xsave = kmalloc(sizeof(*xsave), GFP_KERNEL_ACCOUNT);
	long r = 0;

	if (!xsave)
		return -ENOMEM;
	if (!set) {
		get_xsave(vcpu, xsave);
		if (copy_to_user(argp, xsave, sizeof(*xsave)))
			r = -EFAULT;
	} else if (copy_from_user(xsave, argp, sizeof(*xsave))) {
		r = -EFAULT;
	} else {
		r = set_xsave(vcpu, xsave);
	}
	kfree(xsave);
	return r;
}

/**
 * umbra_fpu_ioctl() - KVM_GET/SET_FPU, XSAVE, XCRS
 * @vcpu: the vCPU; its mutex is held
 * @cmd: the ioctl
 * @argp: its argument
 *
 * Return: what the ioctl returns; -ENOTTY for another @cmd.
 */
long umbra_fpu_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	struct kvm_fpu fpu;
	struct kvm_xcrs xcrs;

	switch (cmd) {
	case KVM_GET_FPU:
		get_fpu(vcpu, &fpu);
		return copy_to_user(argp, &fpu, sizeof(fpu)) ? -EFAULT : 0;
	case KVM_SET_FPU:
		if (copy_from_user(&fpu, argp, sizeof(fpu)))
			return -EFAULT;
		return set_fpu(vcpu, &fpu);
	case KVM_GET_XSAVE:
	case KVM_GET_XSAVE2:	/* nothing is offered that would need more */
		return xsave_ioctl(vcpu, false, argp);
	case KVM_SET_XSAVE:
		return xsave_ioctl(vcpu, true, argp);
	case KVM_GET_XCRS:
		get_xcrs(vcpu, &xcrs);
		return copy_to_user(argp, &xcrs, sizeof(xcrs)) ? -EFAULT : 0;
	case KVM_SET_XCRS:
		if (copy_from_user(&xcrs, argp, sizeof(xcrs)))
			return -EFAULT;
		return set_xcrs(vcpu, &xcrs);
	default:
		return -ENOTTY;
	}
}
