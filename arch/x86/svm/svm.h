/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SVM backend: what its files share.
 *
 * The shared registers (general ones, RIP, RFLAGS, control registers, DR6) are in
 * vcpu->arch and reach the VMCB by svm_sync_*() or at the entry; what is only in
 * the VMCB (segments, descriptor tables, the MSRs of VMLOAD) is read and written
 * there.
 */
#ifndef _UMBRA_SVM_H
#define _UMBRA_SVM_H

#include <linux/percpu.h>
#include <asm/nospec-branch.h>
#include "../irqchip.h"
#include "switch.h"
#include "vmcb.h"

/**
 * struct umbra_svm_switch - what umbra_svm_switch() needs
 * @vmcb_pa: the guest's VMCB
 * @host_pa: this CPU's page for VMSAVE and VMLOAD of the host's state
 * @guest_spec, @host_spec: MSR_IA32_SPEC_CTRL of both sides
 * @spec_ctrl: they differ and have to be switched by WRMSR
 */
struct umbra_svm_switch {
	u64 vmcb_pa;
	u64 host_pa;
	u64 guest_spec;
	u64 host_spec;
	u8 spec_ctrl;
};

static_assert(offsetof(struct umbra_svm_switch, vmcb_pa) == SWITCH_VMCB);
static_assert(offsetof(struct umbra_svm_switch, host_pa) == SWITCH_HOST);
static_assert(offsetof(struct umbra_svm_switch, guest_spec) == SWITCH_GUEST_SPEC);
static_assert(offsetof(struct umbra_svm_switch, host_spec) == SWITCH_HOST_SPEC);
static_assert(offsetof(struct umbra_svm_switch, spec_ctrl) == SWITCH_SPEC_CTRL);

/**
 * struct umbra_svm_vcpu - SVM's part of a vCPU
 * @sw: for the switch
 * @vmcb: the VMCB, one page
 * @cpu: CPU it last ran on, or -1
 * @asid_gen: generation of its ASID on that CPU; another than the CPU's means that
 *	it has none
 * @injecting: control.event_inj was set for this entry
 * @soft: that was a software interrupt, see soft.c
 * @soft_rip, @soft_next: of the instruction that raises it, and behind it
 * @soft_rf: RFLAGS.RF there
 * @iret: the guest is at the IRET that ends its NMI handler
 * @iret_rip: where that is
 * @step: RFLAGS.TF was set to see the end of that IRET
 */
struct umbra_svm_vcpu {
	struct umbra_svm_switch sw;
	struct vmcb *vmcb;
	int cpu;
	u64 asid_gen;
	bool injecting;
	bool soft;
	bool iret;
	bool step;
	u64 iret_rip;
	u64 soft_rip;
	u64 soft_next;
	u64 soft_rf;
};

/**
 * struct umbra_svm_cpu - SVM's part of a CPU
 * @hsave: page for MSR_VM_HSAVE_PA
 * @host: page for VMSAVE of the host
 * @host_pa: its address
 * @asid_gen: current generation of ASIDs; never 0
 * @next_asid: next to be given out
 * @last: whose branch predictions may be in the CPU; only compared
 * @tsc_aux: the host's TSC_AUX
 */
struct umbra_svm_cpu {
	struct page *hsave;
	struct page *host;
	u64 host_pa;
	u64 asid_gen;
	u32 next_asid;
	struct umbra_svm_vcpu *last;
	u64 tsc_aux;
};

/**
 * struct umbra_svm_caps - what this host's SVM has; the same on all CPUs
 * @min_asid, @max_asid: ASIDs for guests that are not encrypted
 * @nrips: the VMCB holds the RIP behind an intercepted instruction
 * @flush_by_asid: one ASID can be flushed alone
 * @v_spec_ctrl: VMRUN and #VMEXIT switch SPEC_CTRL
 * @decode: decode assists: instruction bytes of a nested page fault
 */
struct umbra_svm_caps {
	u32 min_asid;
	u32 max_asid;
	bool nrips;
	bool flush_by_asid;
	bool v_spec_ctrl;
	bool decode;
};

extern struct umbra_svm_caps umbra_svm_caps;
DECLARE_PER_CPU(struct umbra_svm_cpu, umbra_svm_cpu);

static inline struct vmcb *svm_vmcb(struct umbra_vcpu *vcpu)
{
	return vcpu->arch.svm->vmcb;
}

/* switch.S */
asmlinkage void umbra_svm_switch(u64 *regs, struct umbra_svm_switch *sw);

/* vmcb.c */
int umbra_svm_maps_init(void);
void umbra_svm_maps_exit(void);
void umbra_svm_choose_msrpm(struct umbra_vcpu *vcpu);
void umbra_svm_reset(struct umbra_vcpu *vcpu, bool init);
void umbra_svm_get_segment(struct umbra_vcpu *vcpu, enum umbra_emul_segment seg,
			   struct kvm_segment *val);
void umbra_svm_set_segment(struct umbra_vcpu *vcpu, enum umbra_emul_segment seg,
			   const struct kvm_segment *val);
void umbra_svm_get_dt(struct umbra_vcpu *vcpu, bool idt, struct kvm_dtable *val);
void umbra_svm_set_dt(struct umbra_vcpu *vcpu, bool idt, const struct kvm_dtable *val);
void umbra_svm_sync_cr(struct umbra_vcpu *vcpu);
void umbra_svm_sync_dr(struct umbra_vcpu *vcpu);
void umbra_svm_sync_tsc(struct umbra_vcpu *vcpu);
int umbra_svm_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *val);
int umbra_svm_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val);

/* exit.c */
int umbra_svm_exit_atomic(struct umbra_vcpu *vcpu);
int umbra_svm_exit_slow(struct umbra_vcpu *vcpu);

/* inject.c */
void umbra_svm_inject(struct umbra_vcpu *vcpu);
void umbra_svm_injected(struct umbra_vcpu *vcpu);
void umbra_svm_recover(struct umbra_vcpu *vcpu);
void umbra_svm_set_nmi_mask(struct umbra_vcpu *vcpu, bool on);
void umbra_svm_iret(struct umbra_vcpu *vcpu);
bool umbra_svm_debug(struct umbra_vcpu *vcpu);
void umbra_svm_irq_window(struct umbra_vcpu *vcpu, bool on);

/* soft.c */
int umbra_svm_swint(struct umbra_vcpu *vcpu);
void umbra_svm_soft_inject(struct umbra_vcpu *vcpu, u8 len);
void umbra_svm_soft_injected(struct umbra_vcpu *vcpu);

#endif
