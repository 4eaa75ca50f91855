/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * POWER's part of a vCPU and of a VM.
 *
 * All of it belongs to who holds vcpu->mutex, but what is said to be otherwise.
 */
#ifndef _UMBRA_ARCH_VCPU_H
#define _UMBRA_ARCH_VCPU_H

#include <linux/types.h>
#include <linux/wait.h>
#include <uapi/linux/kvm.h>
#include <umbra/mmu.h>
#include <umbra/types.h>

struct hpt_access;

/* Pages of the vCPU's mapping: struct kvm_run. */
#define UMBRA_VCPU_OWN_PAGES 1

/* What virt/stats.c calls the mappings, which are not told apart by level. */
#define UMBRA_STAT_LEVEL1 "hptes"

/**
 * struct umbra_hpt_expect - the HPTE that a fault is about
 * @index: its index
 * @v: first doubleword when it was looked up
 * @guest_r: the guest's view of the second
 * @shift: log2 of the page's size
 * @access: the access
 */
struct umbra_hpt_expect {
	unsigned long index;
	u64 v;
	u64 guest_r;
	unsigned int shift;
	const struct hpt_access *access;
};

/**
 * struct umbra_power_mmio - a load or store of the guest that userspace answers
 * @len: bytes; 0 when none is under way
 * @reg: the register that a load goes to
 * @update: the register that is set to @ea, or -1
 * @sign: the value is sign-extended
 * @little: its bytes are in little-endian order
 * @ea: the effective address
 */
struct umbra_power_mmio {
	u8 len;
	u8 reg;
	s8 update;
	bool sign;
	bool little;
	u64 ea;
};

struct p9_guest;
struct p9_partition;

/**
 * struct umbra_arch_vcpu - POWER state of one vCPU
 * @guest: its registers, as the world switch has them; NULL where no guest can run
 * @fault: that is being settled
 * @expect: the HPTE that it is about
 * @mmio: the access that userspace was asked to make
 * @hcall: userspace was asked to serve a hypercall
 * @ceded: the guest waits for an interrupt or a prod
 * @prodded: somebody ended that, or will have; set by any thread
 * @external: the external interrupt that userspace gave: KVM_INTERRUPT_SET or
 *	KVM_INTERRUPT_SET_LEVEL, else 0; set by any thread
 * @wait: where it sleeps
 */
struct umbra_arch_vcpu {
	struct p9_guest *guest;
	struct umbra_fault fault;
	struct umbra_hpt_expect expect;
	struct umbra_power_mmio mmio;
	bool hcall;
	bool ceded;
	bool prodded;
	u32 external;
	wait_queue_head_t wait;
};

/**
 * struct umbra_arch_vm - POWER state of one VM
 * @partition: what the world switch knows of it; NULL where no guest can run
 */
struct umbra_arch_vm {
	struct p9_partition *partition;
};

/* May any thread make this ioctl, even beside one in KVM_RUN? */
static inline bool umbra_arch_vcpu_async(unsigned int cmd)
{
	return cmd == KVM_INTERRUPT;
}

#endif
