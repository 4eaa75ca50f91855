// SPDX-License-Identifier: GPL-2.0-only
/*
 * SVM: what the host has, one CPU's and one vCPU's life, and one run of the guest.
 *
 * ASIDs (APM 15.16) are given out by each CPU for itself. A vCPU's ASID is good
 * while it stays on the CPU and the CPU's generation is unchanged; any other case
 * takes a fresh one, which is also how a vCPU's translations are dropped on CPUs
 * that cannot flush one ASID. When a CPU has none left, it begins a new generation
 * and flushes them all once.
 *
 * Interrupts are off from the choice of the ASID to the exit.
 */
#include <linux/cc_platform.h>
#include <linux/context_tracking.h>
#include <linux/ftrace.h>
#include <linux/io.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <umbra/x86_mmu.h>
#include <asm/cpufeature.h>
#include <asm/asm.h>
#include <asm/debugreg.h>
#include <asm/mce.h>
#include <asm/msr.h>

#include "svm.h"
#include "../shadow.h"

struct umbra_svm_caps umbra_svm_caps;
DEFINE_PER_CPU(struct umbra_svm_cpu, umbra_svm_cpu);

/* CPUID 0x8000000A EDX (APM volume 3, E.4.9) */
#define SVM_FEATURE_NP			BIT(0)
#define SVM_FEATURE_NRIPS		BIT(3)
#define SVM_FEATURE_FLUSH_BY_ASID	BIT(6)
#define SVM_FEATURE_DECODE		BIT(7)

static void svm_free_pages(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct umbra_svm_cpu *sc = per_cpu_ptr(&umbra_svm_cpu, cpu);

		if (sc->hsave)
			__free_page(sc->hsave);
		if (sc->host)
			__free_page(sc->host);
		sc->hsave = NULL;
		sc->host = NULL;
	}
}

static int svm_alloc_pages(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct umbra_svm_cpu *sc = per_cpu_ptr(&umbra_svm_cpu, cpu);

		sc->hsave = alloc_page(GFP_KERNEL | __GFP_ZERO);
		sc->host = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!sc->hsave || !sc->host) {
			svm_free_pages();
			return -ENOMEM;
		}
		sc->host_pa = page_to_phys(sc->host);
	}
	return 0;
}

/* Nested tables are as deep as the host's own, whose CR4 rules them (15.25.3). */
static void svm_setup_tdp(void)
{
	struct umbra_tdp_caps caps = {
		.levels = pgtable_l5_enabled() ? 5 : 4,
		.ad = true,
		.max_level = boot_cpu_has(X86_FEATURE_GBPAGES) ? UMBRA_LEVEL_1G :
								 UMBRA_LEVEL_2M,
		.phys_bits = min_t(int, boot_cpu_data.x86_phys_bits,
				   pgtable_l5_enabled() ? 57 : 48),
	};

	umbra_tdp_setup(&caps);
}

static int svm_probe(void)
{
	u32 eax, ebx, ecx, edx;
	u64 vm_cr;
	int err;

	if (!boot_cpu_has(X86_FEATURE_SVM)) {
		pr_err("umbra: this CPU has no SVM; an AMD CPU with SVM is needed\n");
		return -EOPNOTSUPP;
	}
	if (rdmsrl_safe(MSR_VM_CR, &vm_cr) || (vm_cr & SVM_VM_CR_SVM_DIS_MASK)) {
		pr_err("umbra: SVM is disabled by the firmware; enable it in the firmware setup\n");
		return -EOPNOTSUPP;
	}
	if (cc_platform_has(CC_ATTR_HOST_MEM_ENCRYPT)) {
		pr_err("umbra: memory encryption is on, which is not supported; boot with mem_encrypt=off\n");
		return -EOPNOTSUPP;
	}
	cpuid(0x8000000a, &eax, &ebx, &ecx, &edx);
	umbra_svm_caps = (struct umbra_svm_caps) {
		.min_asid = 1,
		.max_asid = ebx - 1,
		.nrips = edx & SVM_FEATURE_NRIPS,
		.flush_by_asid = edx & SVM_FEATURE_FLUSH_BY_ASID,
		.v_spec_ctrl = boot_cpu_has(X86_FEATURE_V_SPEC_CTRL),
		.decode = edx & SVM_FEATURE_DECODE,
	};
	/* The low ASIDs belong to encrypted guests. */
	if (boot_cpu_has(X86_FEATURE_SEV))
		umbra_svm_caps.min_asid = cpuid_ecx(0x8000001f) + 1;
	if (umbra_svm_caps.max_asid < umbra_svm_caps.min_asid) {
		pr_err("umbra: no ASIDs are left for guests that are not encrypted\n");
		return -EOPNOTSUPP;
	}
	err = svm_alloc_pages();
	if (err)
		return err;
	err = umbra_svm_maps_init();
	if (err) {
		svm_free_pages();
		return err;
	}
	if (edx & SVM_FEATURE_NP)
		svm_setup_tdp();
	else
		pr_info("umbra: this CPU has no nested paging (NPT): VMs use shadow paging\n");
	return 0;
}

static void svm_remove(void)
{
	umbra_tdp_setup(NULL);
	umbra_svm_maps_exit();
	svm_free_pages();
}

static int svm_cpu_enable(void)
{
	struct umbra_svm_cpu *sc = this_cpu_ptr(&umbra_svm_cpu);
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_PA, page_to_phys(sc->hsave));
	/* A vCPU may remember an ASID from before this CPU went away. */
	sc->asid_gen++;
	sc->next_asid = umbra_svm_caps.max_asid + 1;
	sc->last = NULL;
	if (boot_cpu_has(X86_FEATURE_RDTSCP))
		rdmsrl(MSR_TSC_AUX, sc->tsc_aux);
	return 0;
}

/* GIF is set whenever umbra_svm_switch() is not running. */
static void svm_cpu_disable(void)
{
	u64 efer;

	wrmsrl(MSR_VM_HSAVE_PA, 0);
	rdmsrl(MSR_EFER, efer);
	wrmsrl(MSR_EFER, efer & ~EFER_SVME);
}

static int svm_vcpu_init(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_vcpu *svm = kzalloc(sizeof(*svm), GFP_KERNEL_ACCOUNT);

	if (!svm)
		return -ENOMEM;
	svm->vmcb = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!svm->vmcb) {
		kfree(svm);
		return -ENOMEM;
	}
	svm->cpu = -1;
	svm->sw.vmcb_pa = __pa(svm->vmcb);
	vcpu->arch.svm = svm;
	return 0;
}

static void svm_vcpu_destroy(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_vcpu *svm = vcpu->arch.svm;
	int cpu;

	/* Another vCPU may get the same address and is not the same to IBPB. */
	for_each_possible_cpu(cpu)
		cmpxchg(&per_cpu_ptr(&umbra_svm_cpu, cpu)->last, svm, NULL);
	free_page((unsigned long)svm->vmcb);
	kfree(svm);
	vcpu->arch.svm = NULL;
}

/* Another guest's predictions end here, unless each exit ends them already. */
static void svm_barrier(struct umbra_svm_cpu *sc, struct umbra_svm_vcpu *svm)
{
	if (likely(sc->last == svm))
		return;
	sc->last = svm;
#ifdef X86_FEATURE_IBPB_ON_VMEXIT
	if (cpu_feature_enabled(X86_FEATURE_IBPB_ON_VMEXIT))
		return;
#endif
	indirect_branch_prediction_barrier();
}

/*
 * SPEC_CTRL is the guest's where it was offered one; another guest runs with what
 * the host has set for this thread.
 */
static void svm_load_spec_ctrl(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_vcpu *svm = vcpu->arch.svm;

	if (!cpu_feature_enabled(X86_FEATURE_MSR_SPEC_CTRL))
		return;
	if (umbra_svm_caps.v_spec_ctrl) {
		svm->vmcb->save.spec_ctrl = vcpu->arch.msr_spec_ctrl;
		return;
	}
	svm->sw.host_spec = this_cpu_read(x86_spec_ctrl_current);
	svm->sw.guest_spec = vcpu->arch.msr_spec_ctrl;
	svm->sw.spec_ctrl = vcpu->arch.limits.spec_ctrl &&
			    svm->sw.guest_spec != svm->sw.host_spec;
}

/* RDTSCP and RDPID cannot be kept from a guest whose CPUID has them not. */
static bool has_tsc_aux(void)
{
	return boot_cpu_has(X86_FEATURE_RDTSCP);
}

static void svm_load(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_cpu *sc = this_cpu_ptr(&umbra_svm_cpu);
	struct umbra_svm_vcpu *svm = vcpu->arch.svm;
	int cpu = smp_processor_id();

	if (unlikely(svm->cpu != cpu)) {
		svm->cpu = cpu;
		svm->asid_gen = 0;
		svm->vmcb->control.clean = 0;
		svm->sw.host_pa = sc->host_pa;
	}
	umbra_svm_choose_msrpm(vcpu);
	svm_barrier(sc, svm);
	svm_load_spec_ctrl(vcpu);
	if (has_tsc_aux() && sc->tsc_aux != vcpu->arch.msr_tsc_aux)
		wrmsrl(MSR_TSC_AUX, vcpu->arch.msr_tsc_aux);
	/* The user's FS and GS bases among others; they stay until svm_put(). */
	/* Where SVM was taken away (reboot), the guest is not entered. */
	asm volatile("1: vmsave %%rax\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "a" (sc->host_pa) : "memory");
	vcpu->stat.host_state_reload++;
}

static void svm_put(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_cpu *sc = this_cpu_ptr(&umbra_svm_cpu);

	if (has_tsc_aux() && sc->tsc_aux != vcpu->arch.msr_tsc_aux)
		wrmsrl(MSR_TSC_AUX, sc->tsc_aux);
#ifdef X86_FEATURE_IBPB_EXIT_TO_USER
	/* The guest's predictions must not reach the VM's own process (VMSCAPE). */
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#endif
}

static void svm_flush(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_vcpu *svm = vcpu->arch.svm;

	if (umbra_svm_caps.flush_by_asid)
		svm->vmcb->control.tlb_ctl = TLB_CONTROL_FLUSH_ASID;
	else
		svm->asid_gen = 0;
}

static void svm_new_asid(struct umbra_svm_vcpu *svm, struct umbra_svm_cpu *sc)
{
	struct vmcb_control_area *control = &svm->vmcb->control;

	if (sc->next_asid > umbra_svm_caps.max_asid) {
		sc->asid_gen++;
		sc->next_asid = umbra_svm_caps.min_asid;
		control->tlb_ctl = TLB_CONTROL_FLUSH_ALL_ASID;
	}
	svm->asid_gen = sc->asid_gen;
	control->asid = sc->next_asid++;
	vmcb_dirty(svm->vmcb, VMCB_CLEAN_ASID);
}

/* Breakpoints of the guest are in the CPU only while it runs. */
static void svm_load_dr(struct umbra_vcpu *vcpu)
{
	const u64 *dr = umbra_debug_dr(vcpu);

	/* The host's own must not trap at the guest's addresses. */
	set_debugreg(UMBRA_DR7_FIXED, 7);
	set_debugreg(dr[0], 0);
	set_debugreg(dr[1], 1);
	set_debugreg(dr[2], 2);
	set_debugreg(dr[3], 3);
}

/*
 * VMRUN loaded DR6 and DR7; #VMEXIT leaves DR6 and disables DR7. The kernel expects
 * DR6 clear, and its own breakpoints armed.
 */
static void svm_put_dr(struct umbra_vcpu *vcpu)
{
	set_debugreg(UMBRA_DR6_FIXED, 6);
	if (hw_breakpoint_active()) {
		hw_breakpoint_restore();
		return;
	}
	set_debugreg(UMBRA_DR7_FIXED, 7);
	set_debugreg(0, 0);
	set_debugreg(0, 1);
	set_debugreg(0, 2);
	set_debugreg(0, 3);
}

/*
 * From here to the exit the CPU is the guest's, for RCU, for lockdep and for the
 * time accounts. Without context tracking RCU learns of a guest only at a
 * quiescent state; one after each host interrupt keeps grace periods short.
 */
static noinstr void svm_run_guest(struct umbra_arch_vcpu *arch)
{
	instrumentation_begin();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();
	if (!context_tracking_guest_enter() && arch->interrupted) {
		instrumentation_begin();
		rcu_note_context_switch(false);
		instrumentation_end();
	}
	lockdep_hardirqs_on(CALLER_ADDR0);

	umbra_svm_switch(arch->regs, &arch->svm->sw);

	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();
	instrumentation_begin();
	trace_hardirqs_off_finish();
	instrumentation_end();
}

/*
 * The intercept held it back from the host, which handles it as one that came in user
 * mode: what is lost is the guest's memory, not the kernel's.
 */
static void host_machine_check(void)
{
	struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

	/* A kernel without the handler takes no machine checks. */
	if (IS_ENABLED(CONFIG_X86_MCE))
		do_machine_check(&regs);
}

static void svm_enter(struct umbra_vcpu *vcpu)
{
	struct umbra_svm_cpu *sc = this_cpu_ptr(&umbra_svm_cpu);
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	struct umbra_svm_vcpu *svm = arch->svm;
	struct vmcb *vmcb = svm->vmcb;
	bool dr = unlikely(vmcb->save.dr7 != UMBRA_DR7_FIXED) || hw_breakpoint_active();

	if (unlikely(svm->asid_gen != sc->asid_gen))
		svm_new_asid(svm, sc);
	vmcb->save.rax = arch->regs[UMBRA_RAX];
	vmcb->save.rsp = arch->regs[UMBRA_RSP];
	vmcb->save.rip = arch->rip;
	vmcb->save.rflags = arch->rflags;
	if (dr)
		svm_load_dr(vcpu);

	svm_run_guest(arch);

	arch->regs[UMBRA_RAX] = vmcb->save.rax;
	arch->regs[UMBRA_RSP] = vmcb->save.rsp;
	arch->rip = vmcb->save.rip;
	arch->rflags = vmcb->save.rflags;
	arch->cr2 = vmcb->save.cr2;
	if (!umbra_shadowed(vcpu))
		arch->cr3 = vmcb->save.cr3;
	if (unlikely(dr || vmcb->save.dr6 != UMBRA_DR6_FIXED))
		svm_put_dr(vcpu);

	vmcb->control.clean = VMCB_CLEAN_ALL;
	vmcb->control.tlb_ctl = TLB_CONTROL_DO_NOTHING;
	if (unlikely(svm->injecting))
		umbra_svm_injected(vcpu);
	arch->interrupted = vmcb->control.exit_code == SVM_EXIT_INTR;
	if (unlikely(vmcb->control.exit_code == SVM_EXIT_EXCP_BASE + 18))
		host_machine_check();
}

static u8 svm_cpl(struct umbra_vcpu *vcpu)
{
	return svm_vmcb(vcpu)->save.cpl;
}

static enum umbra_emul_mode svm_code_mode(struct umbra_vcpu *vcpu)
{
	u16 attrib = svm_vmcb(vcpu)->save.cs.attrib;

	if ((vcpu->arch.efer & EFER_LMA) && (attrib & UMBRA_SVM_SEG_L))
		return UMBRA_EMUL_LONG64;
	return attrib & UMBRA_SVM_SEG_DB ? UMBRA_EMUL_PROT32 : UMBRA_EMUL_PROT16;
}

static u64 svm_linear_rip(struct umbra_vcpu *vcpu)
{
	if (svm_code_mode(vcpu) == UMBRA_EMUL_LONG64)
		return vcpu->arch.rip;
	return (u32)(svm_vmcb(vcpu)->save.cs.base + vcpu->arch.rip);
}

static bool svm_int_shadow(struct umbra_vcpu *vcpu)
{
	return svm_vmcb(vcpu)->control.int_state & SVM_INTERRUPT_SHADOW_MASK;
}

static void svm_set_int_shadow(struct umbra_vcpu *vcpu, bool on)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	if (on)
		vmcb->control.int_state |= SVM_INTERRUPT_SHADOW_MASK;
	else
		vmcb->control.int_state &= ~SVM_INTERRUPT_SHADOW_MASK;
}

const struct umbra_x86_backend umbra_svm_backend = {
	.name = "SVM",
	.probe = svm_probe,
	.remove = svm_remove,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.vcpu_init = svm_vcpu_init,
	.vcpu_destroy = svm_vcpu_destroy,
	.reset = umbra_svm_reset,
	.load = svm_load,
	.put = svm_put,
	.flush = svm_flush,
	.inject = umbra_svm_inject,
	.enter = svm_enter,
	.exit_atomic = umbra_svm_exit_atomic,
	.exit_slow = umbra_svm_exit_slow,
	.get_segment = umbra_svm_get_segment,
	.set_segment = umbra_svm_set_segment,
	.get_dt = umbra_svm_get_dt,
	.set_dt = umbra_svm_set_dt,
	.cpl = svm_cpl,
	.code_mode = svm_code_mode,
	.linear_rip = svm_linear_rip,
	.sync_cr = umbra_svm_sync_cr,
	.sync_dr = umbra_svm_sync_dr,
	.sync_tsc = umbra_svm_sync_tsc,
	.sync_spec_ctrl = svm_load_spec_ctrl,
	.int_shadow = svm_int_shadow,
	.set_int_shadow = svm_set_int_shadow,
	.set_nmi_mask = umbra_svm_set_nmi_mask,
	.get_msr = umbra_svm_get_msr,
	.set_msr = umbra_svm_set_msr,
};
