/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What mmu/ and virt/ ask of an architecture. One architecture is built, so these
 * are plain functions; where one architecture has several MMUs, struct
 * umbra_mmu_ops chooses.
 */
#ifndef _UMBRA_ARCH_H
#define _UMBRA_ARCH_H

#include <linux/types.h>

struct kvm_enable_cap;
struct umbra_mmu;
struct umbra_mmu_ops;
struct umbra_vcpu;
struct umbra_vm;

/**
 * umbra_arch_init() - at module load
 *
 * Return: 0; -EOPNOTSUPP when the CPU or its firmware lacks what is needed, after
 * one dmesg line that says what and what to do; -ENOMEM.
 */
int umbra_arch_init(void);
void umbra_arch_exit(void);

/**
 * umbra_arch_enable() - claim the virtualisation hardware of all CPUs
 *
 * Called for each VM, may sleep; counted inside, so that the first VM enables and
 * the last umbra_arch_disable() gives the hardware back. CPUs that come and go
 * meanwhile are served by the architecture.
 *
 * Return: 0; -EBUSY when another module has it, after one dmesg line that names
 * the remedy.
 */
int umbra_arch_enable(void);
void umbra_arch_disable(void);

/**
 * umbra_arch_check_extension() - KVM_CHECK_EXTENSION
 * @vm: the VM, or NULL on the node
 * @ext: KVM_CAP_*
 *
 * Return: the capability's value; 0 for one that does not work.
 */
int umbra_arch_check_extension(struct umbra_vm *vm, long ext);

/* ioctls that the shared dispatchers do not know; -ENOTTY if nobody does. */
long umbra_arch_dev_ioctl(unsigned int cmd, unsigned long arg);
long umbra_arch_vm_ioctl(struct umbra_vm *vm, unsigned int cmd, unsigned long arg);

/**
 * umbra_arch_enable_cap() - KVM_ENABLE_CAP on the VM, of what is the architecture's
 * @vm: the VM; no lock held
 * @cap: the capability; its flags are 0
 *
 * Sleeps. Return: 0; -EINVAL for a capability that is not enabled this way and for
 * arguments that make no sense; what enabling it needs may add others.
 */
long umbra_arch_enable_cap(struct umbra_vm *vm, const struct kvm_enable_cap *cap);

/* vcpu->mutex held unless umbra_arch_vcpu_async() says so, the slots' SRCU not. */
long umbra_arch_vcpu_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd,
			   unsigned long arg);

int umbra_arch_vm_init(struct umbra_vm *vm);
/* The VM is going down: what acts on vCPUs from outside ends, before they do. */
void umbra_arch_vm_stop(struct umbra_vm *vm);
void umbra_arch_vm_destroy(struct umbra_vm *vm);
/* The MMU has its root; the vCPU enters the MMU's list afterwards. */
int umbra_arch_vcpu_init(struct umbra_vcpu *vcpu);
void umbra_arch_vcpu_destroy(struct umbra_vcpu *vcpu);

/**
 * umbra_arch_vcpu_run() - run the guest until userspace must act
 * @vcpu: the vCPU; its mutex and the slots' SRCU are held, its signal mask is in
 *	force
 *
 * First finishes what the last exit left to be finished (a port or MMIO read that
 * userspace has answered), and only then looks at vcpu->run->immediate_exit.
 *
 * Return: 0 with vcpu->run->exit_reason set; -EINTR with KVM_EXIT_INTR there for a
 * signal; -EFAULT when guest memory is gone; another errno with nothing run.
 */
int umbra_arch_vcpu_run(struct umbra_vcpu *vcpu);

/**
 * umbra_arch_mmu_ops() - the operations of a kind of MMU
 * @mode: UMBRA_MMU_*
 *
 * Return: NULL when this host or architecture does not have it.
 */
const struct umbra_mmu_ops *umbra_arch_mmu_ops(u32 mode);
/* The mode of VMs that do not choose: UMBRA_MMU_*. */
u32 umbra_arch_default_mode(void);
/* First gfn beyond a guest's physical address space in @mode. */
u64 umbra_arch_max_gfn(u32 mode);

#endif
