/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CPUID, as the list of what is offered (cpuidlist.c) and a vCPU's own (cpuid.c) share it.
 */
#ifndef _UMBRA_X86_CPUID_H
#define _UMBRA_X86_CPUID_H

#include "x86.h"

/* A feature's bit in its word. */
#define F(feature)	BIT(X86_FEATURE_##feature & 31)

#define X2APIC		F(X2APIC)	/* leaf 1 ECX; emulated */

#define INDEXED		KVM_CPUID_FLAG_SIGNIFCANT_INDEX

/* cpuidlist.c */
unsigned int umbra_host_phys_bits(void);
long umbra_cpuid_put(struct kvm_cpuid2 __user *argp,
		     const struct kvm_cpuid_entry2 *entries, u32 nr, u32 room);

#endif
