// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entering a guest with hashed page tables on POWER9 and later, by the kernel's exported
 * kvmhv_vcpu_entry_p9(). It takes the objects of <linux/kvm_host.h>, which are made here
 * zeroed and filled in as far as it looks at them; no other file but p9_onereg.c includes
 * that header, and nothing of kvm.ko is called.
 *
 * Invariants
 * - The objects lie in the linear map, since parts of the switch run in real mode.
 * - A partition's number is unique on the machine: this module has them all, or kvm-hv has.
 * - From enter to leave preemption and interrupts are off. An interrupt of the host's ends
 *   the guest's run, and is taken when they are on again.
 */
#include <linux/idr.h>
#include <linux/kvm_host.h>
#include <linux/slab.h>
#include <asm/ftrace.h>
#include <asm/interrupt.h>
#include <asm/kvm_book3s.h>
#include <asm/kvm_ppc.h>
#include <asm/mmu.h>
#include <asm/switch_to.h>
#include <asm/time.h>

#include "p9.h"

/* Partition 0 is the host. The partition table has room for so many. */
#define LPIDS 4096

static DEFINE_IDA(lpids);

struct p9_partition {
	struct kvm kvm;
	unsigned long lpcr;
};

/* Can a guest run on this host? */
bool p9_available(void)
{
	return cpu_has_feature(CPU_FTR_HVMODE) && cpu_has_feature(CPU_FTR_ARCH_300);
}

/**
 * p9_claim() - may partitions be made?
 *
 * Return: 0; -EBUSY while kvm-hv has them, after one dmesg line.
 */
int p9_claim(void)
{
	struct kvmppc_ops **ops = symbol_get(kvmppc_hv_ops);
	bool taken;

	if (!ops)
		return 0;
	taken = READ_ONCE(*ops);
	symbol_put(kvmppc_hv_ops);
	if (!taken)
		return 0;
	pr_err_ratelimited(UMBRA_NAME ": kvm-hv has the machine's partitions: modprobe -r kvm-hv, or run guests by /dev/kvm\n");
	return -EBUSY;
}

int p9_partition_create(struct umbra_vm *vm)
{
	struct p9_partition *p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	unsigned long host = mfspr(SPRN_LPCR);
	int lpid;

	if (!p)
		return -ENOMEM;
	lpid = ida_alloc_range(&lpids, 1, LPIDS - 1, GFP_KERNEL);
	if (lpid < 0) {
		kfree(p);
		return lpid == -ENOSPC ? -EBUSY : lpid;
	}
	p->kvm.arch.lpid = lpid;
	p->kvm.arch.host_lpid = 0;
	p->kvm.arch.host_lpcr = host;
	p->lpcr = (host & LPCR_PECE) | LPCR_HDICE | LPCR_VPM1 | LPCR_HVICE | LPCR_HEIC |
		  LPCR_ONL;
	vm->arch.partition = p;
	vm->mmu.arch.lpid = lpid;
	return 0;
}

/*
 * The table is about to go, and no vCPU runs any more. The caller owes a flush of translations;
 * that of what CPUs hold of the partition's entry is made here.
 */
void p9_partition_clear(struct umbra_vm *vm)
{
	struct p9_partition *p = vm->arch.partition;

	if (p)
		mmu_partition_table_set_entry(p->kvm.arch.lpid, 0, 0, true);
}

void p9_partition_destroy(struct umbra_vm *vm)
{
	struct p9_partition *p = vm->arch.partition;

	if (!p)
		return;
	ida_free(&lpids, p->kvm.arch.lpid);
	kfree(p);
	vm->arch.partition = NULL;
}

/**
 * p9_partition_set_table() - tell the hardware of the guest's table
 * @vm: the VM; mmu->lock held for writing
 * @vrma_slbv: the segment by which real mode is translated
 *
 * The caller owes a flush of translations; that of what CPUs hold of the partition's entry
 * is made here.
 */
void p9_partition_set_table(struct umbra_vm *vm, u64 vrma_slbv)
{
	struct p9_partition *p = vm->arch.partition;
	struct umbra_hpt *hpt = &vm->mmu.arch.hpt;
	u64 ps = vrma_slbv & SLB_VSID_LLP;

	p->lpcr = (p->lpcr & ~LPCR_VRMASD) | ps << (LPCR_VRMASD_SH - 4);
	p->kvm.arch.vrma_slb_v = vrma_slbv;
	mmu_partition_table_set_entry(p->kvm.arch.lpid,
				      (ps & SLB_VSID_L) >> 1 | (ps & SLB_VSID_LP) << 1 |
				      __pa(hpt->entries) | (hpt->order - 18),
				      0, true);
}

int p9_guest_create(struct umbra_vcpu *vcpu)
{
	struct p9_guest *guest = kzalloc(sizeof(*guest), GFP_KERNEL_ACCOUNT);
	struct kvmppc_vcore *vc = kzalloc(sizeof(*vc), GFP_KERNEL_ACCOUNT);
	struct kvm_vcpu *kv = kzalloc(sizeof(*kv), GFP_KERNEL_ACCOUNT);

	if (!guest || !vc || !kv) {
		kfree(kv);
		kfree(vc);
		kfree(guest);
		return -ENOMEM;
	}
	vc->kvm = &vcpu->vm->arch.partition->kvm;
	vc->lpcr = 4UL << LPCR_DPFD_SH;
	kv->kvm = vc->kvm;
	kv->cpu = -1;
	kv->arch.vcore = vc;
	kv->arch.shared = &kv->arch.shregs;
	kv->arch.shregs.msr = MSR_SF | MSR_ME;
	kv->arch.mmcr[0] = MMCR0_FC;
	if (cpu_has_feature(CPU_FTR_ARCH_31)) {
		kv->arch.mmcr[0] |= MMCR0_PMCCEXT;
		kv->arch.mmcra = MMCRA_BHRB_DISABLE;
	}
	kv->arch.ctrl = CTRL_RUNLATCH;
	/* Facilities that the switch saves and restores at each entry. */
	kv->arch.hfscr = mfspr(SPRN_HFSCR) & (HFSCR_TAR | HFSCR_DSCR | HFSCR_VECVSX | HFSCR_FP);
	kv->arch.slb_nr = P9_SLB_MAX;
	kv->arch.dec_expires = get_tb() + tb_ticks_per_sec;
	guest->kernel = kv;
	guest->regs = &kv->arch.regs;
	guest->shared = &kv->arch.shregs;
	vcpu->arch.guest = guest;
	return 0;
}

void p9_guest_destroy(struct umbra_vcpu *vcpu)
{
	struct p9_guest *guest = vcpu->arch.guest;

	if (!guest)
		return;
	kfree(guest->kernel->arch.vcore);
	kfree(guest->kernel);
	kfree(guest);
	vcpu->arch.guest = NULL;
}

/* An interrupt that ended the run is taken as though it had come when they are on again. */
static void take_later(int trap)
{
	if (trap == BOOK3S_INTERRUPT_EXTERNAL)
		local_paca->irq_happened |= PACA_IRQ_EE;
	else if (trap == BOOK3S_INTERRUPT_H_DOORBELL)
		local_paca->irq_happened |= PACA_IRQ_DBELL;
	else if (trap == BOOK3S_INTERRUPT_HMI)
		local_paca->irq_happened |= PACA_IRQ_HMI;
}

/* Interrupts are off. 0 when it was not entered after all. */
static int run_guest(struct umbra_vcpu *vcpu)
{
	struct p9_guest *guest = vcpu->arch.guest;
	struct kvm_vcpu *kv = guest->kernel;
	u64 tb = mftb(), limit = timer_get_next_tb(), lpcr;
	int trap;

	if (tb >= limit)
		return BOOK3S_INTERRUPT_HV_DECREMENTER;
	lpcr = vcpu->vm->arch.partition->lpcr | kv->arch.vcore->lpcr;
	if (unlikely(READ_ONCE(vcpu->arch.external)))
		lpcr |= power_external_deliver(vcpu);
	kv->cpu = smp_processor_id();
	kv->arch.thread_cpu = kv->cpu;
	kv->arch.vcore->pcpu = kv->cpu;
	kv->arch.pid = guest->pid;
	kv->arch.amr = guest->amr;
	local_paca->kvm_hstate.kvm_vcpu = kv;
	local_paca->kvm_hstate.ptid = 0;
	local_paca->kvm_hstate.fake_suspend = 0;

	guest_timing_enter_irqoff();
	guest_state_enter_irqoff();
	this_cpu_disable_ftrace();
	trap = kvmhv_vcpu_entry_p9(kv, limit, lpcr, &tb);
	this_cpu_enable_ftrace();
	guest_state_exit_irqoff();
	take_later(trap);
	guest_timing_exit_irqoff();

	kv->cpu = -1;
	kv->arch.thread_cpu = -1;
	guest->pid = kv->arch.pid;
	guest->amr = kv->arch.amr;
	guest->dar = kv->arch.fault_dar;
	guest->dsisr = kv->arch.fault_dsisr;
	guest->segment = kv->arch.fault_gpa;
	/* An early POWER9 may give no cause at all: the guest repeats the access. */
	if (trap == BOOK3S_INTERRUPT_H_DATA_STORAGE && guest->dsisr == HDSISR_CANARY)
		return 0;
	return trap;
}

/*
 * The process's floating point goes where it is safe. The scheduler puts it back into the
 * registers whenever the thread is given a CPU, so it is looked for at each entry, when no
 * more can come between. Preemption is off.
 */
static void save_math(void)
{
	unsigned long msr = MSR_FP;

	if (likely(!(current->thread.regs->msr & (MSR_FP | MSR_VEC | MSR_TM))))
		return;
	if (cpu_has_feature(CPU_FTR_ALTIVEC))
		msr |= MSR_VEC;
	if (cpu_has_feature(CPU_FTR_VSX))
		msr |= MSR_VSX;
	msr_check_and_set(msr);
	kvmppc_save_user_regs();
}

/**
 * p9_enter() - run the guest until something needs the host
 * @vcpu: the vCPU; its own thread calls, after p9_save_thread(), with no lock held
 *
 * Return: the interrupt vector that ended the run; 0 when the thread has something else to
 * do first, and the guest was not entered.
 */
int p9_enter(struct umbra_vcpu *vcpu)
{
	unsigned long flags;
	int trap = 0;

	preempt_disable();
	save_math();
	powerpc_local_irq_pmu_save(flags);
	umbra_vcpu_enter_guest(&vcpu->mmu);
	/* Without the segment for real mode the table is another one than the guest knows. */
	if (!signal_pending(current) && !need_resched() && !umbra_vcpu_kicked(&vcpu->mmu) &&
	    READ_ONCE(vcpu->vm->mmu.arch.vrma))
		trap = run_guest(vcpu);
	umbra_vcpu_left_guest(&vcpu->mmu);
	powerpc_local_irq_pmu_restore(flags);
	preempt_enable();
	return trap;
}

/**
 * p9_save_thread() - put the thread's own SPRs where they are safe
 *
 * Once for each KVM_RUN.
 */
void p9_save_thread(void)
{
	kvmppc_save_current_sprs();
	srr_regs_clobbered();
}

/* Ticks until the guest's decrementer has run out; negative afterwards. */
s64 p9_dec_left(const struct p9_guest *guest)
{
	const struct kvm_vcpu *kv = guest->kernel;

	return kv->arch.dec_expires - kv->arch.vcore->tb_offset - mftb();
}

/* How the guest wants its interrupts: LPCR[ILE], and AIL where it applies. */
void p9_interrupt_mode(const struct p9_guest *guest, bool *little, bool *translated)
{
	unsigned long lpcr = guest->kernel->arch.vcore->lpcr;

	*little = lpcr & LPCR_ILE;
	*translated = (lpcr & LPCR_AIL) == LPCR_AIL_3;
}

void p9_slb_get(const struct p9_guest *guest, unsigned int i, u64 *slbe, u64 *slbv)
{
	const struct kvm_vcpu *kv = guest->kernel;

	*slbe = i < kv->arch.slb_max ? kv->arch.slb[i].orige : 0;
	*slbv = i < kv->arch.slb_max ? kv->arch.slb[i].origv : 0;
}

void p9_slb_clear(struct p9_guest *guest)
{
	guest->kernel->arch.slb_max = 0;
}

/* @slbe without its index; at most P9_SLB_MAX after a p9_slb_clear() */
void p9_slb_set(struct p9_guest *guest, unsigned int entry, u64 slbe, u64 slbv)
{
	struct kvm_vcpu *kv = guest->kernel;

	kv->arch.slb[kv->arch.slb_max].orige = slbe | entry;
	kv->arch.slb[kv->arch.slb_max].origv = slbv;
	kv->arch.slb_max++;
}
