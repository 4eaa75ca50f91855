/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The world switch of POWER9 and later, which the kernel exports. Only p9.c knows the
 * kernel's own objects for it; everyone else has the pointers below.
 */
#ifndef _UMBRA_P9_H
#define _UMBRA_P9_H

#include <linux/kvm_para.h>
#include <linux/ptrace.h>
#include <umbra/vm.h>

struct kvm_vcpu;

/* SLB entries of a CPU. */
#define P9_SLB_MAX 32

/**
 * struct p9_guest - registers of one vCPU
 * @kernel: the kernel's object, of which the following are parts
 * @regs: general registers, NIP, CTR, LR, XER, CR
 * @shared: MSR, SRR0, SRR1, DAR, DSISR, SPRG0 to SPRG3
 * @pid: process identity
 * @amr: authority mask
 * @dar: of an HDSI; @dsisr: its cause; @segment: the SLB entry's second doubleword
 *
 * The last four are copied after each exit; @pid and @amr are taken from here at entry.
 */
struct p9_guest {
	struct kvm_vcpu *kernel;
	struct pt_regs *regs;
	struct kvm_vcpu_arch_shared *shared;
	u64 pid;
	u64 amr;
	u64 dar;
	u64 dsisr;
	u64 segment;
};

bool p9_available(void);
int p9_claim(void);
int p9_partition_create(struct umbra_vm *vm);
void p9_partition_destroy(struct umbra_vm *vm);
void p9_partition_clear(struct umbra_vm *vm);
void p9_partition_set_table(struct umbra_vm *vm, u64 vrma_slbv);
int p9_guest_create(struct umbra_vcpu *vcpu);
void p9_guest_destroy(struct umbra_vcpu *vcpu);
int p9_enter(struct umbra_vcpu *vcpu);
void p9_save_thread(void);
s64 p9_dec_left(const struct p9_guest *guest);
void p9_interrupt_mode(const struct p9_guest *guest, bool *little, bool *translated);
void p9_slb_get(const struct p9_guest *guest, unsigned int i, u64 *slbe, u64 *slbv);
void p9_slb_clear(struct p9_guest *guest);
void p9_slb_set(struct p9_guest *guest, unsigned int entry, u64 slbe, u64 slbv);

/* p9_onereg.c */
long p9_one_reg(struct p9_guest *guest, const struct kvm_one_reg *reg, bool write);

/* external.c */
long power_external_ioctl(struct umbra_vcpu *vcpu, const struct kvm_interrupt __user *user);
u64 power_external_deliver(struct umbra_vcpu *vcpu);

/* idle.c */
bool power_idle_hcall(struct umbra_vcpu *vcpu, u64 nr, u64 arg, long *ret);
int power_wait(struct umbra_vcpu *vcpu);

/* vm.c */
long power_vm_ioctl(struct umbra_vm *vm, unsigned int cmd, void __user *argp);

/* regs.c */
long power_regs_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp);

/* exit.c */
void power_interrupt(struct p9_guest *guest, u64 vector, u64 cause);
int power_handle_exit(struct umbra_vcpu *vcpu, int trap);
void power_complete(struct umbra_vcpu *vcpu);

/* mmio.c */
int power_mmio(struct umbra_vcpu *vcpu, gpa_t gpa);
void power_mmio_complete(struct umbra_vcpu *vcpu);

/* vrma.c */
u64 vrma_slbv(void);
int vrma_setup(struct umbra_vcpu *vcpu);

#endif
