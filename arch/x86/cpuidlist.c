// SPDX-License-Identifier: GPL-2.0-only
/*
 * What CPUID is offered: KVM_GET_SUPPORTED_CPUID.
 *
 * It shows what a guest can use: features that the kernel uses itself (its own view of
 * CPUID, so nothing that was turned off) and that need nothing of umbra, and those that
 * umbra emulates.
 *
 * Locks: none; a list belongs to who makes it.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <umbra/arch.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/processor.h>

#include "cpuid.h"

/* Words of CPUID in the kernel's order (<asm/cpufeatures.h>), by one of their bits. */
#define WORD(feature)	(X86_FEATURE_##feature / 32)

/* Bits of each word that a guest can be offered. */
#define OFFER_1_EDX	(F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) | \
			 F(MCE) | F(CX8) | F(APIC) | F(SEP) | F(MTRR) | F(PGE) | F(MCA) | \
			 F(CMOV) | F(PAT) | F(PSE36) | F(CLFLUSH) | F(MMX) | F(FXSR) | \
			 F(XMM) | F(XMM2))
#define OFFER_1_ECX	(F(XMM3) | F(PCLMULQDQ) | F(SSSE3) | F(FMA) | F(CX16) | F(XMM4_1) | \
			 F(XMM4_2) | F(MOVBE) | F(POPCNT) | F(AES) | F(XSAVE) | F(AVX) | \
			 F(F16C) | F(RDRAND))
#define OFFER_7_EBX	(F(FSGSBASE) | F(BMI1) | F(AVX2) | F(SMEP) | F(BMI2) | F(ERMS) | \
			 F(RDSEED) | F(ADX) | F(SMAP) | F(CLFLUSHOPT) | F(CLWB) | \
			 F(SHA_NI) | F(AVX512F) | F(AVX512DQ) | F(AVX512IFMA) | \
			 F(AVX512CD) | F(AVX512BW) | F(AVX512VL))
#define OFFER_7_ECX	(F(AVX512VBMI) | F(UMIP) | F(PKU) | F(AVX512_VBMI2) | F(GFNI) | \
			 F(VAES) | F(VPCLMULQDQ) | F(AVX512_VNNI) | F(AVX512_BITALG) | \
			 F(AVX512_VPOPCNTDQ) | F(LA57) | F(RDPID))
#define OFFER_7_EDX	F(FSRM)
#define OFFER_E1_EDX	(F(SYSCALL) | F(NX) | F(MMXEXT) | F(FXSR_OPT) | F(GBPAGES) | \
			 F(RDTSCP) | F(LM) | F(3DNOWEXT) | F(3DNOW))
#define OFFER_E1_ECX	(F(LAHF_LM) | F(CMP_LEGACY) | F(CR8_LEGACY) | F(ABM) | F(SSE4A) | \
			 F(MISALIGNSSE) | F(3DNOWPREFETCH))
#define OFFER_E8_EBX	(F(CLZERO) | F(XSAVEERPTR) | F(WBNOINVD) | F(AMD_IBPB) | \
			 F(AMD_IBRS) | F(AMD_STIBP) | F(AMD_SSBD))
#define OFFER_D1_EAX	(F(XSAVEOPT) | F(XSAVEC) | F(XGETBV1))
/* The bits of leaf 1 EDX that AMD repeats in 0x80000001 EDX. */
#define SHARED_E1_EDX	0x0183f3ff
#define TSC_ADJUST	BIT(1)	/* leaf 7 EBX; emulated */

/* What the kernel uses of one word of CPUID. */
static u32 host_word(unsigned int word)
{
	return boot_cpu_data.x86_capability[word];
}

/**
 * struct cpuid_out - a list of leaves being made
 * @entries: where to
 * @nr: how many are there
 * @room: how many can be
 */
struct cpuid_out {
	struct kvm_cpuid_entry2 *entries;
	unsigned int nr;
	unsigned int room;
};

/**
 * umbra_host_phys_bits() - how wide a guest-physical address can be
 *
 * Return: the number of its bits that nested tables resolve.
 */
unsigned int umbra_host_phys_bits(void)
{
	return fls64(umbra_arch_max_gfn(UMBRA_MMU_TDP) - 1) + PAGE_SHIFT;
}

/* The host's leaf, to be cut down; NULL when there is no room. */
static struct kvm_cpuid_entry2 *add_leaf(struct cpuid_out *out, u32 function, u32 index,
					 u32 flags)
{
	struct kvm_cpuid_entry2 *e;

	if (out->nr >= out->room)
		return NULL;
	e = &out->entries[out->nr++];
	memset(e, 0, sizeof(*e));
	e->function = function;
	e->index = index;
	e->flags = flags;
	cpuid_count(function, index, &e->eax, &e->ebx, &e->ecx, &e->edx);
	return e;
}

static int add_leaf7(struct cpuid_out *out)
{
	struct kvm_cpuid_entry2 *e = add_leaf(out, 7, 0, INDEXED);

	if (!e)
		return -E2BIG;
	e->eax = 0;
	e->ebx = (host_word(WORD(FSGSBASE)) & OFFER_7_EBX) | TSC_ADJUST;
	e->ecx = host_word(WORD(PKU)) & OFFER_7_ECX;
	e->edx = host_word(WORD(FSRM)) & OFFER_7_EDX;
	if (!boot_cpu_has(X86_FEATURE_OSPKE))
		e->ecx &= ~F(PKU);
	if (!pgtable_l5_enabled())
		e->ecx &= ~F(LA57);
	return 0;
}

/* One subleaf for each component that can be enabled in XCR0. */
static int add_leaf_d(struct cpuid_out *out)
{
	u64 xcr0 = umbra_fpu_supported_xcr0();
	struct kvm_cpuid_entry2 *e;
	unsigned int i;

	e = add_leaf(out, 0xd, 0, INDEXED);
	if (!e)
		return -E2BIG;
	e->eax = xcr0;
	e->edx = xcr0 >> 32;
	e->ebx = umbra_xstate_size(xcr0, false);
	e->ecx = e->ebx;
	e = add_leaf(out, 0xd, 1, INDEXED);
	if (!e)
		return -E2BIG;
	e->eax = host_word(WORD(XSAVEOPT)) & OFFER_D1_EAX;
	e->ebx = umbra_xstate_size(xcr0, true);
	e->ecx = 0;
	e->edx = 0;
	for (i = 2; i < 63; i++) {
		if (!(xcr0 & BIT_ULL(i)))
			continue;
		e = add_leaf(out, 0xd, i, INDEXED);
		if (!e)
			return -E2BIG;
		e->edx = 0;
	}
	return 0;
}

static int add_basic(struct cpuid_out *out)
{
	struct kvm_cpuid_entry2 *e = add_leaf(out, 0, 0, 0);
	u32 last;

	if (!e)
		return -E2BIG;
	e->eax = min(e->eax, 0xdU);
	last = e->eax;
	e = add_leaf(out, 1, 0, 0);
	if (!e)
		return -E2BIG;
	/* APIC id, count of logical CPUs: userspace's to say. */
	e->ebx &= 0xff00;
	e->ecx = (host_word(WORD(XMM3)) & OFFER_1_ECX) | X2APIC;
	e->edx = host_word(WORD(FPU)) & OFFER_1_EDX;
	if (!boot_cpu_has(X86_FEATURE_OSXSAVE))
		e->ecx &= ~(F(XSAVE) | F(AVX) | F(FMA) | F(F16C));
	if (last >= 7 && add_leaf7(out))
		return -E2BIG;
	if (last >= 0xd && boot_cpu_has(X86_FEATURE_OSXSAVE) && add_leaf_d(out))
		return -E2BIG;
	return 0;
}

static int add_extended(struct cpuid_out *out)
{
	struct kvm_cpuid_entry2 *e = add_leaf(out, 0x80000000, 0, 0);
	u32 last, i;

	if (!e)
		return -E2BIG;
	e->eax = min(e->eax, 0x80000008U);
	last = e->eax;
	for (i = 0x80000001; i <= last; i++) {
		e = add_leaf(out, i, 0, 0);
		if (!e)
			return -E2BIG;
		switch (i) {
		case 0x80000001:
			e->ebx = 0;
			e->ecx = host_word(WORD(LAHF_LM)) & OFFER_E1_ECX;
			e->edx = (host_word(WORD(SYSCALL)) & OFFER_E1_EDX) |
				 (host_word(WORD(FPU)) & OFFER_1_EDX & SHARED_E1_EDX);
			break;
		case 0x80000007:
			e->eax = 0;
			e->ebx = 0;
			e->ecx = 0;
			e->edx &= boot_cpu_has(X86_FEATURE_CONSTANT_TSC) ? BIT(8) : 0;
			break;
		case 0x80000008:
			e->eax = (e->eax & 0xff00) |
				 umbra_host_phys_bits();
			e->ebx = host_word(WORD(CLZERO)) & OFFER_E8_EBX;
			if (!boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL))
				e->ebx &= ~(F(AMD_IBPB) | F(AMD_IBRS) | F(AMD_STIBP) |
					    F(AMD_SSBD));
			e->ecx = 0;
			e->edx = 0;
			break;
		}
	}
	return 0;
}

/* What the interface between guest and hypervisor has (asm/kvm_para.h). */
static int add_paravirtual(struct cpuid_out *out)
{
	struct kvm_cpuid_entry2 *e = add_leaf(out, KVM_CPUID_SIGNATURE, 0, 0);
	u32 name[3];

	if (!e)
		return -E2BIG;
	e->eax = KVM_CPUID_FEATURES;
	memcpy(name, KVM_SIGNATURE, sizeof(name));
	e->ebx = name[0];
	e->ecx = name[1];
	e->edx = name[2];
	e = add_leaf(out, KVM_CPUID_FEATURES, 0, 0);
	if (!e)
		return -E2BIG;
	e->eax = BIT(KVM_FEATURE_NOP_IO_DELAY) | BIT(KVM_FEATURE_PV_EOI);
	if (umbra_clock_stable())
		e->eax |= BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_CLOCKSOURCE2) |
			  BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT);
	e->ebx = 0;
	e->ecx = 0;
	e->edx = 0;
	return 0;
}

static int make_supported(struct cpuid_out *out)
{
	return add_basic(out) ?: add_paravirtual(out) ?: add_extended(out);
}

/**
 * umbra_cpuid_put() - copy a list out
 * @argp: to userspace
 * @entries: the list
 * @nr: how many entries it has
 * @room: for how many the caller has room
 *
 * Return: 0; -E2BIG when that is not enough, @argp->nent being the number needed;
 * -EFAULT.
 */
long umbra_cpuid_put(struct kvm_cpuid2 __user *argp,
		     const struct kvm_cpuid_entry2 *entries, u32 nr, u32 room)
{
	if (put_user(nr, &argp->nent))
		return -EFAULT;
	if (room < nr)
		return -E2BIG;
	return copy_to_user(argp->entries, entries, nr * sizeof(*entries)) ? -EFAULT : 0;
}

static long get_supported(struct kvm_cpuid2 __user *argp)
{
	struct cpuid_out out = { .room = UMBRA_CPUID_MAX };
	struct kvm_cpuid2 head;
	long r;

	if (copy_from_user(&head, argp, sizeof(head)))
		return -EFAULT;
	if (!head.nent)
		return -E2BIG;
	out.entries = kvcalloc(out.room, sizeof(*out.entries), GFP_KERNEL_ACCOUNT);
	if (!out.entries)
		return -ENOMEM;
	r = make_supported(&out) ?: umbra_cpuid_put(argp, out.entries, out.nr, head.nent);
	kvfree(out.entries);
	return r;
}

/* KVM_GET_SUPPORTED_CPUID; -ENOTTY for another ioctl. */
long umbra_cpuid_dev_ioctl(unsigned int cmd, void __user *argp)
{
	return cmd == KVM_GET_SUPPORTED_CPUID ? get_supported(argp) : -ENOTTY;
}
