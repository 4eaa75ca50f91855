// SPDX-License-Identifier: GPL-2.0-only
/*
 * The CPUID of a vCPU: what userspace chose, how the guest sees it, and what follows from
 * that.
 *
 * Userspace may set anything, not only what cpuidlist.c offers; what the guest may really
 * do is limited by both (arch.limits). Some bits follow the vCPU's state.
 *
 * Locks: the entries belong to who holds vcpu->mutex.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/fpu/types.h>
#include <asm/kvm_para.h>
#include <asm/msr-index.h>
#include <asm/processor.h>

#include "cpuid.h"

#define OSXSAVE		BIT(27)	/* leaf 1 ECX */
#define OSPKE		BIT(4)	/* leaf 7 ECX */
#define LEAF1_MWAIT	BIT(3)	/* leaf 1 ECX */
#define LEAF1_APIC	BIT(9)	/* leaf 1 EDX */
#define TSC_DEADLINE	F(TSC_DEADLINE_TIMER) /* leaf 1 ECX; a capability tells it */

/* Position of a leaf in cpuid.first, or -1 for one that is searched. */
static int direct_slot(u32 function)
{
	u32 range = function >> 30;	/* 0, 1 (hypervisor), 2 (extended) */

	if ((function & 0x3fffffff) >= 32 || range > 2)
		return -1;
	return array_index_nospec(range * 32 + (function & 31), UMBRA_CPUID_DIRECT);
}

static struct kvm_cpuid_entry2 *find_leaf(struct umbra_x86_cpuid *cpuid, u32 function,
					  u32 index)
{
	int slot = direct_slot(function);
	unsigned int n = 0;

	if (likely(slot >= 0)) {
		n = cpuid->first[slot];
	} else {
		while (n < cpuid->nr && cpuid->entries[n].function != function)
			n++;
		n = n < cpuid->nr ? n + 1 : 0;
	}
	for (; n; n = cpuid->next[n - 1]) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[n - 1];

		if (!(e->flags & INDEXED) || e->index == index)
			return e;
	}
	return NULL;
}

/* AMD answers zero beyond the last leaf, Intel as for the last basic one. */
static struct kvm_cpuid_entry2 *beyond(struct umbra_vcpu *vcpu, u32 function, u32 index)
{
	struct umbra_x86_cpuid *cpuid = &vcpu->arch.cpuid;
	struct kvm_cpuid_entry2 *top;

	if (!vcpu->arch.limits.intel)
		return NULL;
	top = find_leaf(cpuid, function & 0x80000000, 0);
	if (top && function <= top->eax)
		return NULL;
	top = find_leaf(cpuid, 0, 0);
	return top ? find_leaf(cpuid, top->eax, index) : NULL;
}

/**
 * umbra_cpuid() - execute CPUID for the guest
 * @vcpu: the vCPU
 * @eax: in: leaf
 * @ebx: out
 * @ecx: in: subleaf
 * @edx: out
 *
 * Never sleeps.
 */
void umbra_cpuid(struct umbra_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	const struct kvm_cpuid_entry2 *e = find_leaf(&vcpu->arch.cpuid, *eax, *ecx);

	if (unlikely(!e))
		e = beyond(vcpu, *eax, *ecx);
	if (unlikely(!e)) {
		*eax = 0;
		*ebx = 0;
		*ecx = 0;
		*edx = 0;
		return;
	}
	*eax = e->eax;
	*ebx = e->ebx;
	*ecx = e->ecx;
	*edx = e->edx;
}

static void set_bit_if(u32 *word, u32 bit, bool on)
{
	*word = on ? *word | bit : *word & ~bit;
}

/**
 * umbra_cpuid_update() - CR4, XCR0, the APIC base or MISC_ENABLE was changed
 * @vcpu: the vCPU
 */
void umbra_cpuid_update(struct umbra_vcpu *vcpu)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	struct kvm_cpuid_entry2 *e;

	e = find_leaf(&arch->cpuid, 1, 0);
	if (e) {
		set_bit_if(&e->ecx, OSXSAVE, arch->cr4 & X86_CR4_OSXSAVE);
		set_bit_if(&e->edx, LEAF1_APIC, arch->apic_base & MSR_IA32_APICBASE_ENABLE);
		if (!umbra_has_quirk(vcpu, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
			set_bit_if(&e->ecx, LEAF1_MWAIT,
				   arch->msr_misc_enable & MSR_IA32_MISC_ENABLE_MWAIT);
		arch->limits.mwait = e->ecx & LEAF1_MWAIT;
	}
	e = find_leaf(&arch->cpuid, 7, 0);
	if (e)
		set_bit_if(&e->ecx, OSPKE, arch->cr4 & X86_CR4_PKE);
	e = find_leaf(&arch->cpuid, 0xd, 0);
	if (e && (e->flags & INDEXED))
		e->ebx = umbra_xstate_size(arch->xcr0, false);
	e = find_leaf(&arch->cpuid, 0xd, 1);
	if (e && (e->flags & INDEXED))
		e->ebx = umbra_xstate_size(arch->xcr0, true);
}

/* Does the guest's CPUID show a bit? Without any CPUID every bit counts as shown. */
static bool guest_has(struct umbra_vcpu *vcpu, u32 function, int reg, u32 bit)
{
	const struct kvm_cpuid_entry2 *e;

	if (!vcpu->arch.cpuid.nr)
		return true;
	e = find_leaf(&vcpu->arch.cpuid, function, 0);
	return e && ((&e->eax)[reg] & bit);
}

enum { EAX, EBX, ECX, EDX };

/* A feature that the host has and the guest's CPUID shows. */
#define BOTH(vcpu, function, reg, feature) \
	(boot_cpu_has(X86_FEATURE_##feature) && \
	 guest_has(vcpu, function, reg, F(feature)))

static u64 cr4_limit(struct umbra_vcpu *vcpu)
{
	u64 cr4 = X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE |
		  X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR |
		  X86_CR4_OSXMMEXCPT;

	if (vcpu->arch.limits.xsave)
		cr4 |= X86_CR4_OSXSAVE;
	if (BOTH(vcpu, 7, EBX, SMEP))
		cr4 |= X86_CR4_SMEP;
	if (BOTH(vcpu, 7, EBX, SMAP))
		cr4 |= X86_CR4_SMAP;
	if (BOTH(vcpu, 7, EBX, FSGSBASE))
		cr4 |= X86_CR4_FSGSBASE;
	if (BOTH(vcpu, 7, ECX, UMIP))
		cr4 |= X86_CR4_UMIP;
	if (BOTH(vcpu, 7, ECX, PKU) && boot_cpu_has(X86_FEATURE_OSPKE))
		cr4 |= X86_CR4_PKE;
	if (BOTH(vcpu, 7, ECX, LA57) && pgtable_l5_enabled())
		cr4 |= X86_CR4_LA57;
	return cr4;
}

static u64 efer_limit(struct umbra_vcpu *vcpu)
{
	u64 efer = EFER_SCE;

	if (guest_has(vcpu, 0x80000001, EDX, F(LM)))
		efer |= EFER_LME;
	if (BOTH(vcpu, 0x80000001, EDX, NX))
		efer |= EFER_NX;
	if (BOTH(vcpu, 0x80000001, EDX, FXSR_OPT))
		efer |= EFER_FFXSR;
	return efer;
}

static u64 xcr0_limit(struct umbra_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = find_leaf(&vcpu->arch.cpuid, 0xd, 0);
	u64 xcr0 = umbra_fpu_supported_xcr0();

	if (!vcpu->arch.cpuid.nr)
		return xcr0;
	return e ? xcr0 & (e->eax | (u64)e->edx << 32) : 0;
}

static bool vendor_is_intel(struct umbra_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = find_leaf(&vcpu->arch.cpuid, 0, 0);

	return e && e->ebx == 0x756e6547 && e->edx == 0x49656e69 && e->ecx == 0x6c65746e;
}

static unsigned int guest_phys_bits(struct umbra_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = find_leaf(&vcpu->arch.cpuid, 0x80000008, 0);

	if (!vcpu->arch.cpuid.nr)
		return umbra_host_phys_bits();
	return e && (e->eax & 0xff) ? clamp_t(unsigned int, e->eax & 0xff, 32, 52) : 36;
}

/* The leaf behind the one with KVM's signature, which may stand behind another's. */
static u32 paravirtual_features(struct umbra_x86_cpuid *cpuid)
{
	const struct kvm_cpuid_entry2 *e;
	unsigned int i;
	u32 name[3];

	memcpy(name, KVM_SIGNATURE, sizeof(name));
	for (i = 0; i < cpuid->nr; i++) {
		e = &cpuid->entries[i];
		if ((e->function & ~0xff00) != KVM_CPUID_SIGNATURE || e->ebx != name[0] ||
		    e->ecx != name[1] || e->edx != name[2])
			continue;
		e = find_leaf(cpuid, e->function | (KVM_CPUID_FEATURES & 0xff), 0);
		return e ? e->eax : 0;
	}
	return 0;
}

/**
 * umbra_cpuid_limits() - derive what the guest may do
 * @vcpu: the vCPU; its CPUID is new
 */
void umbra_cpuid_limits(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_limits *limits = &vcpu->arch.limits;

	limits->intel = vendor_is_intel(vcpu);
	limits->xsave = boot_cpu_has(X86_FEATURE_OSXSAVE) &&
			guest_has(vcpu, 1, ECX, F(XSAVE));
	limits->cr4 = cr4_limit(vcpu);
	limits->efer = efer_limit(vcpu);
	limits->xcr0 = limits->xsave ? xcr0_limit(vcpu) : 0;
	limits->gpa_rsvd = GENMASK_ULL(63, guest_phys_bits(vcpu));
	limits->mwait = false;	/* umbra_cpuid_update() knows */
	limits->paravirtual = paravirtual_features(&vcpu->arch.cpuid);
	limits->x2apic = guest_has(vcpu, 1, ECX, X2APIC);
	limits->tsc_deadline = guest_has(vcpu, 1, ECX, TSC_DEADLINE);
	limits->page1g = BOTH(vcpu, 0x80000001, EDX, GBPAGES);
	limits->tsc_aux = BOTH(vcpu, 0x80000001, EDX, RDTSCP) ||
			  BOTH(vcpu, 7, ECX, RDPID);
	limits->spec_ctrl = vcpu->arch.cpuid.nr &&
			    boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL) &&
			    (guest_has(vcpu, 0x80000008, EBX, F(AMD_IBRS) |
				       F(AMD_STIBP) | F(AMD_SSBD)));
}

void umbra_cpuid_free(struct umbra_vcpu *vcpu)
{
	kvfree(vcpu->arch.cpuid.entries);
	vcpu->arch.cpuid.entries = NULL;
	vcpu->arch.cpuid.nr = 0;
}

static void index_leaves(struct umbra_x86_cpuid *cpuid)
{
	unsigned int i, j;

	memset(cpuid->first, 0, sizeof(cpuid->first));
	memset(cpuid->next, 0, sizeof(cpuid->next));
	for (i = 0; i < cpuid->nr; i++) {
		int slot = direct_slot(cpuid->entries[i].function);

		if (slot >= 0 && !cpuid->first[slot])
			cpuid->first[slot] = i + 1;
		for (j = i + 1; j < cpuid->nr; j++) {
			if (cpuid->entries[j].function == cpuid->entries[i].function) {
				cpuid->next[i] = j + 1;
				break;
			}
		}
	}
}

/*
 * Is it the CPUID that the vCPU has, but for the bits that follow its state? While only
 * those are to differ the leaves are where the old ones were.
 */
static bool same_cpuid(struct umbra_vcpu *vcpu, struct kvm_cpuid_entry2 *entries,
		       unsigned int nr)
{
	struct umbra_x86_cpuid *cpuid = &vcpu->arch.cpuid;
	struct kvm_cpuid_entry2 *old = cpuid->entries;

	if (nr != cpuid->nr)
		return false;
	cpuid->entries = entries;
	umbra_cpuid_update(vcpu);
	cpuid->entries = old;
	umbra_cpuid_update(vcpu);
	return !nr || !memcmp(entries, old, nr * sizeof(*old));
}

/* Takes @entries over. -EINVAL when the guest has run already, and had others. */
static long install(struct umbra_vcpu *vcpu, struct kvm_cpuid_entry2 *entries,
		    unsigned int nr)
{
	struct umbra_x86_cpuid *cpuid = &vcpu->arch.cpuid;
	unsigned int i;

	for (i = 0; i < nr; i++)
		memset(entries[i].padding, 0, sizeof(entries[i].padding));
	if (vcpu->arch.was_run) {
		bool same = same_cpuid(vcpu, entries, nr);

		kvfree(entries);
		return same ? 0 : -EINVAL;
	}
	umbra_cpuid_free(vcpu);
	cpuid->entries = entries;
	cpuid->nr = nr;
	index_leaves(cpuid);
	umbra_cpuid_limits(vcpu);
	umbra_cpuid_update(vcpu);
	return 0;
}

static long set_cpuid2(struct umbra_vcpu *vcpu, struct kvm_cpuid2 __user *argp)
{
	struct kvm_cpuid_entry2 *entries = NULL;
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, argp, sizeof(head)))
		return -EFAULT;
	if (head.nent > UMBRA_CPUID_MAX)
		return -E2BIG;
	if (head.nent) {
		entries = vmemdup_user(argp->entries,
				       array_size(sizeof(*entries), head.nent));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	return install(vcpu, entries, head.nent);
}

/* KVM_SET_CPUID: leaves without subleaves. */
static long set_cpuid(struct umbra_vcpu *vcpu, struct kvm_cpuid __user *argp)
{
	struct kvm_cpuid_entry2 *entries;
	struct kvm_cpuid_entry *old;
	struct kvm_cpuid head;
	unsigned int i;

	if (copy_from_user(&head, argp, sizeof(head)))
		return -EFAULT;
	if (head.nent > UMBRA_CPUID_MAX)
		return -E2BIG;
	old = vmemdup_user(argp->entries, array_size(sizeof(*old), head.nent));
	if (IS_ERR(old))
		return PTR_ERR(old);
	entries = kvcalloc(max(head.nent, 1U), sizeof(*entries), GFP_KERNEL_ACCOUNT);
	if (!entries) {
		kvfree(old);
		return -ENOMEM;
	}
	for (i = 0; i < head.nent; i++) {
		entries[i].function = old[i].function;
		entries[i].eax = old[i].eax;
		entries[i].ebx = old[i].ebx;
		entries[i].ecx = old[i].ecx;
		entries[i].edx = old[i].edx;
	}
	kvfree(old);
	return install(vcpu, entries, head.nent);
}

/* KVM_SET_CPUID, KVM_SET_CPUID2, KVM_GET_CPUID2; -ENOTTY for another ioctl. */
long umbra_cpuid_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	struct kvm_cpuid2 __user *cpuid2 = argp;
	u32 room;

	switch (cmd) {
	case KVM_SET_CPUID:
		return set_cpuid(vcpu, argp);
	case KVM_SET_CPUID2:
		return set_cpuid2(vcpu, argp);
	case KVM_GET_CPUID2:
		if (get_user(room, &cpuid2->nent))
			return -EFAULT;
		return umbra_cpuid_put(cpuid2, vcpu->arch.cpuid.entries, vcpu->arch.cpuid.nr,
				   room);
	default:
		return -ENOTTY;
	}
}
