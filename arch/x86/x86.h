/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * arch/x86: what its files share, and the seam to a backend (SVM today).
 *
 * How a vCPU runs (run.c):
 *
 *	KVM_RUN -> complete what userspace answered
 *	  +-> inner section: preemption off, guest FPU loaded
 *	  |     load -> [ inject -> enter -> exit_atomic ]* -> put
 *	  |   outside: exit_slow, signals, scheduling
 *	  +-- again
 *
 * An atomic handler never sleeps and says with its verdict what comes next. No
 * state of the guest is in the CPU outside the inner section, so the scheduler
 * needs no notifier.
 */
#ifndef _UMBRA_X86_H
#define _UMBRA_X86_H

#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/fpu/types.h>
#include <asm/processor-flags.h>
#include <asm/special_insns.h>
#include <umbra/emulate.h>
#include <umbra/vm.h>

/* DR6 and DR7 with nothing set. */
#define UMBRA_DR6_FIXED	0xffff0ff0
#define UMBRA_DR7_FIXED	0x400
#define UMBRA_DR7_BITS	0xffff2bffULL	/* that can be set besides */

#define UMBRA_DR6_BD	BIT(13)
#define UMBRA_DR6_BS	BIT(14)
#define UMBRA_DR7_GD	BIT(13)

/* What follows an exit. Negative numbers are errors for KVM_RUN. */
enum umbra_verdict {
	UMBRA_RUN_AGAIN = 0,	/* enter the guest */
	UMBRA_RUN_SLOW,		/* the same exit needs the handler that may sleep */
	UMBRA_RUN_USER,		/* KVM_RUN returns; run->exit_reason is set */
	UMBRA_RUN_RAISED,	/* an exception was queued instead: enter the guest */
	UMBRA_RUN_LEAVE,	/* leave the inner section; something holds the vCPU back */
};

/**
 * struct umbra_x86_backend - one kind of virtualisation hardware
 * @name: for dmesg
 * @probe: is the hardware there, what has it? Tells the TDP MMU. -EOPNOTSUPP after
 *	one dmesg line
 * @remove: undo @probe
 * @cpu_enable: claim this CPU, cannot migrate; -EBUSY when another owns it
 * @cpu_disable: give this CPU back; may be called with interrupts off
 * @vcpu_init: allocate, in reset state; 0 or -ENOMEM
 * @vcpu_destroy: free
 * @reset: hardware state as after RESET; with @init as after #INIT, which leaves MSRs
 *	alone. The shared registers are set already
 * @load: first thing in the inner section
 * @put: last thing in the inner section
 * @flush: drop the vCPU's translations at the next entry; interrupts are off
 * @inject: put what waits into the next entry; interrupts are off
 * @enter: run the guest until the next exit; interrupts are off
 * @exit_atomic: serve the exit without sleeping; enum umbra_verdict
 * @exit_slow: serve the exit; may sleep; not in the inner section
 * @get_segment, @set_segment, @get_dt, @set_dt: hidden parts included
 * @cpl: current privilege level
 * @code_mode: one of the modes that are left to CS.L and CS.D in protected mode
 * @linear_rip: linear address of the current instruction
 * @sync_cr: arch.cr0, cr2, cr3, cr4 or efer was changed
 * @sync_dr: arch.dr6, dr7 or debug was changed, or the hardware's DR6 is to be as before
 * @sync_tsc: arch.tsc_offset or msr_tsc_aux was changed
 * @sync_spec_ctrl: arch.msr_spec_ctrl was changed; may be in the inner section
 * @int_shadow: does the next instruction run with interrupts held off?
 * @set_int_shadow: set or clear that
 * @set_nmi_mask: NMIs are blocked until IRET, or are not
 * @get_msr, @set_msr: an MSR that the hardware keeps; -ENOENT if it does not
 */
struct umbra_x86_backend {
	const char *name;
	int (*probe)(void);
	void (*remove)(void);
	int (*cpu_enable)(void);
	void (*cpu_disable)(void);
	int (*vcpu_init)(struct umbra_vcpu *vcpu);
	void (*vcpu_destroy)(struct umbra_vcpu *vcpu);
	void (*reset)(struct umbra_vcpu *vcpu, bool init);
	void (*load)(struct umbra_vcpu *vcpu);
	void (*put)(struct umbra_vcpu *vcpu);
	void (*flush)(struct umbra_vcpu *vcpu);
	void (*inject)(struct umbra_vcpu *vcpu);
	void (*enter)(struct umbra_vcpu *vcpu);
	int (*exit_atomic)(struct umbra_vcpu *vcpu);
	int (*exit_slow)(struct umbra_vcpu *vcpu);
	void (*get_segment)(struct umbra_vcpu *vcpu, enum umbra_emul_segment seg,
			    struct kvm_segment *val);
	void (*set_segment)(struct umbra_vcpu *vcpu, enum umbra_emul_segment seg,
			    const struct kvm_segment *val);
	void (*get_dt)(struct umbra_vcpu *vcpu, bool idt, struct kvm_dtable *val);
	void (*set_dt)(struct umbra_vcpu *vcpu, bool idt, const struct kvm_dtable *val);
	u8 (*cpl)(struct umbra_vcpu *vcpu);
	enum umbra_emul_mode (*code_mode)(struct umbra_vcpu *vcpu);
	u64 (*linear_rip)(struct umbra_vcpu *vcpu);
	void (*sync_cr)(struct umbra_vcpu *vcpu);
	void (*sync_dr)(struct umbra_vcpu *vcpu);
	void (*sync_tsc)(struct umbra_vcpu *vcpu);
	void (*sync_spec_ctrl)(struct umbra_vcpu *vcpu);
	bool (*int_shadow)(struct umbra_vcpu *vcpu);
	void (*set_int_shadow)(struct umbra_vcpu *vcpu, bool on);
	void (*set_nmi_mask)(struct umbra_vcpu *vcpu, bool on);
	int (*get_msr)(struct umbra_vcpu *vcpu, u32 index, u64 *val);
	int (*set_msr)(struct umbra_vcpu *vcpu, u32 index, u64 val);
};

extern const struct umbra_x86_backend umbra_svm_backend;

/* arch.c: the backend of this host; valid between init and exit */
extern const struct umbra_x86_backend *umbra_backend;
void umbra_x86_reset(struct umbra_vcpu *vcpu, bool init);

/* hardware.c */
DECLARE_PER_CPU(bool, umbra_cpu_on);
void umbra_hardware_init(void);
void umbra_hardware_exit(void);

/* regs.c */
long umbra_regs_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp);
int umbra_set_cr(struct umbra_vcpu *vcpu, unsigned int nr, u64 val);
int umbra_get_cr(struct umbra_vcpu *vcpu, unsigned int nr, u64 *val);
u64 umbra_get_cr8(const struct umbra_vcpu *vcpu);
int umbra_get_dr(struct umbra_vcpu *vcpu, unsigned int nr, u64 *val);
int umbra_set_dr(struct umbra_vcpu *vcpu, unsigned int nr, u64 val);
int umbra_set_efer(struct umbra_vcpu *vcpu, u64 efer, bool host);
int umbra_set_xcr0(struct umbra_vcpu *vcpu, u64 xcr0);
enum umbra_emul_mode umbra_cpu_mode(struct umbra_vcpu *vcpu);
void umbra_get_regs(struct umbra_vcpu *vcpu, struct kvm_regs *r);
void umbra_set_regs(struct umbra_vcpu *vcpu, const struct kvm_regs *r);
void umbra_get_sregs(struct umbra_vcpu *vcpu, struct kvm_sregs *s);
long umbra_set_sregs(struct umbra_vcpu *vcpu, const struct kvm_sregs *s);

/* sync.c */
int umbra_sync_in(struct umbra_vcpu *vcpu);
void umbra_sync_out(struct umbra_vcpu *vcpu);

/* fpu.c */
#define UMBRA_FX_MXCSR		24	/* offsets in an FXSAVE image */
#define UMBRA_FX_MXCSR_MASK	28
#define UMBRA_FX_XMM		160
#define UMBRA_XSAVE_HEADER	512
#define UMBRA_XSAVE_YMM		576
int umbra_fpu_init(void);
u64 umbra_fpu_supported_xcr0(void);
u32 umbra_xstate_size(u64 xcr0, bool compacted);
int umbra_fpu_vcpu_init(struct umbra_vcpu *vcpu);
void umbra_fpu_vcpu_destroy(struct umbra_vcpu *vcpu);
void umbra_fpu_reset(struct umbra_vcpu *vcpu);
void umbra_fpu_load(struct umbra_vcpu *vcpu);
void umbra_fpu_put(struct umbra_vcpu *vcpu);
void umbra_fpu_get_vec(struct umbra_vcpu *vcpu, unsigned int reg, void *val,
		       unsigned int bytes);
void umbra_fpu_set_vec(struct umbra_vcpu *vcpu, unsigned int reg, const void *val,
		       unsigned int bytes, bool zero_upper);
long umbra_fpu_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp);

/* msr.c */
int umbra_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *val, bool host);
int umbra_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val, bool host);
void umbra_msr_reset(struct umbra_vcpu *vcpu);

/* msrlist.c */
int umbra_msr_feature(u32 index, u64 *val);
long umbra_msr_dev_ioctl(unsigned int cmd, void __user *argp);
long umbra_msr_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp);

/* msrfilter.c */
long umbra_msr_filter_ioctl(struct umbra_vm *vm, unsigned int cmd, void __user *argp);
void umbra_msr_filter_destroy(struct umbra_vm *vm);
bool umbra_msr_denied(struct umbra_vcpu *vcpu, u32 index, bool write);
int umbra_msr_refused(struct umbra_vcpu *vcpu, bool write, u64 val, int err);
int umbra_msr_answered(struct umbra_vcpu *vcpu, bool write);

/* tsc.c */
u64 umbra_tsc_read(const struct umbra_vcpu *vcpu);
void umbra_tsc_write(struct umbra_vcpu *vcpu, u64 val, bool host);
void umbra_tsc_adjust(struct umbra_vcpu *vcpu, u64 val, bool host);
long umbra_tsc_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp);

/* caps.c */
int umbra_caps_check_extension(long ext);
long umbra_caps_enable(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
long umbra_caps_vcpu_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp);

/* hypercall.c */
int umbra_hypercall(struct umbra_vcpu *vcpu);
int umbra_fix_hypercall(struct umbra_vcpu *vcpu);

/* mce.c */
int umbra_mce_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *val, bool host);
int umbra_mce_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val, bool host);
long umbra_mce_dev_ioctl(unsigned int cmd, void __user *argp);
long umbra_mce_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp);

/* cpuid.c */
void umbra_cpuid(struct umbra_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
void umbra_cpuid_update(struct umbra_vcpu *vcpu);
void umbra_cpuid_free(struct umbra_vcpu *vcpu);
void umbra_cpuid_limits(struct umbra_vcpu *vcpu);
long umbra_cpuid_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp);

/* cpuidlist.c */
long umbra_cpuid_dev_ioctl(unsigned int cmd, void __user *argp);

/* clock.c */
bool umbra_clock_stable(void);
void umbra_clock_init(struct umbra_vm *vm);
void umbra_clock_update(struct umbra_vcpu *vcpu);
u64 umbra_clock_get_msr(const struct umbra_vcpu *vcpu, u32 index);
void umbra_clock_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val);
long umbra_clock_stopped(struct umbra_vcpu *vcpu);
long umbra_clock_vm_ioctl(struct umbra_vm *vm, unsigned int cmd, void __user *argp);

/* What the guest's memory shows of the clock is no longer true. */
static inline void umbra_clock_changed(struct umbra_vcpu *vcpu)
{
	WRITE_ONCE(vcpu->arch.clock.stale, true);
}

/* event.c */
void umbra_queue_exception(struct umbra_vcpu *vcpu, u8 vector, bool has_error,
			   u32 error);
void umbra_queue_payload(struct umbra_vcpu *vcpu, u8 vector, u32 error, u64 payload);
void umbra_event_payload(struct umbra_vcpu *vcpu);
void umbra_queue_page_fault(struct umbra_vcpu *vcpu, u64 address, u32 error);
bool umbra_irq_window(struct umbra_vcpu *vcpu);
void umbra_get_events(struct umbra_vcpu *vcpu, struct kvm_vcpu_events *ev);
long umbra_set_events(struct umbra_vcpu *vcpu, const struct kvm_vcpu_events *ev);
long umbra_event_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp);

/* debug.c */
#define UMBRA_GUESTDBG_VALID	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | \
				 KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP | \
				 KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP | \
				 KVM_GUESTDBG_BLOCKIRQ)
u64 umbra_debug_rflags(const struct umbra_vcpu *vcpu);
void umbra_debug_step(struct umbra_vcpu *vcpu);
int umbra_debug_exit(struct umbra_vcpu *vcpu, u8 vector, u64 dr6);
void umbra_debug_trap(struct umbra_vcpu *vcpu, u64 why);
long umbra_debug_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp);

/* Is a #DB userspace's? */
static inline bool umbra_debug_takes_db(const struct umbra_vcpu *vcpu)
{
	return vcpu->arch.debug.control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP);
}

/* The DR7 that counts while the guest runs, and the addresses with it. */
static inline u64 umbra_debug_dr7(const struct umbra_vcpu *vcpu)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;

	return arch->debug.control & KVM_GUESTDBG_USE_HW_BP ? arch->debug.dr7 : arch->dr7;
}

static inline const u64 *umbra_debug_dr(const struct umbra_vcpu *vcpu)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;

	return arch->debug.control & KVM_GUESTDBG_USE_HW_BP ? arch->debug.dr : arch->dr;
}

static inline void umbra_queue_ud(struct umbra_vcpu *vcpu)
{
	umbra_queue_exception(vcpu, 6, false, 0);
}

static inline void umbra_queue_gp(struct umbra_vcpu *vcpu)
{
	umbra_queue_exception(vcpu, 13, true, 0);
}

/* io.c */
int umbra_io_complete(struct umbra_vcpu *vcpu);
int umbra_io_port(struct umbra_vcpu *vcpu, u16 port, u8 size, bool in, u64 next_rip);
void umbra_io_begin(struct umbra_vcpu *vcpu);
int umbra_io_end(struct umbra_vcpu *vcpu, int result);
bool umbra_io_has_input(struct umbra_vcpu *vcpu);
void umbra_io_commit(struct umbra_vcpu *vcpu);
int umbra_io_mmio_read(struct umbra_vcpu *vcpu, gpa_t gpa, void *val, unsigned int len);
int umbra_io_mmio_write(struct umbra_vcpu *vcpu, gpa_t gpa, const void *val,
			unsigned int len);
int umbra_io_pio_in(struct umbra_vcpu *vcpu, u16 port, void *val, unsigned int size,
		    unsigned int ahead);
int umbra_io_pio_out(struct umbra_vcpu *vcpu, u16 port, const void *val,
		     unsigned int size);

/* emul.c */
void umbra_advance(struct umbra_vcpu *vcpu, u64 rip);
int umbra_emul_vcpu_init(struct umbra_vcpu *vcpu);
void umbra_emul_vcpu_destroy(struct umbra_vcpu *vcpu);
void umbra_emul_forget(struct umbra_vcpu *vcpu);
int umbra_emulate_insn(struct umbra_vcpu *vcpu);
int umbra_emulate_access(struct umbra_vcpu *vcpu, gpa_t gpa, bool write);
int umbra_emulate_again(struct umbra_vcpu *vcpu);
int umbra_decode_insn(struct umbra_vcpu *vcpu, bool atomic);
int umbra_skip_insn(struct umbra_vcpu *vcpu, bool atomic);
int umbra_report_emulation(struct umbra_vcpu *vcpu, const u8 *insn, unsigned int len);
int umbra_report_internal(struct umbra_vcpu *vcpu, u32 suberror, unsigned int n,
			  const u64 *data);

/* Of an emulation that ended in userspace: was it because nobody can do it? */
static inline bool umbra_emulation_failed(const struct umbra_vcpu *vcpu)
{
	return READ_ONCE(vcpu->run->exit_reason) == KVM_EXIT_INTERNAL_ERROR;
}

/* Does the guest reach PKRU, by WRPKRU or XRSTOR? */
static __always_inline bool umbra_pkru_used(const struct umbra_vcpu *vcpu)
{
	return cpu_feature_enabled(X86_FEATURE_OSPKE) &&
	       ((vcpu->arch.cr4 & X86_CR4_PKE) ||
		(vcpu->arch.xcr0 & XFEATURE_MASK_PKRU));
}

/* PKRU of the thread is in pkru_host between the two; interrupts are off. */
static __always_inline void umbra_pkru_load(struct umbra_vcpu *vcpu)
{
	if (!umbra_pkru_used(vcpu))
		return;
	vcpu->arch.pkru_host = rdpkru();
	if (vcpu->arch.pkru != vcpu->arch.pkru_host)
		wrpkru(vcpu->arch.pkru);
}

static __always_inline void umbra_pkru_put(struct umbra_vcpu *vcpu)
{
	if (!umbra_pkru_used(vcpu))
		return;
	vcpu->arch.pkru = rdpkru();
	if (vcpu->arch.pkru != vcpu->arch.pkru_host)
		wrpkru(vcpu->arch.pkru_host);
}

/* Does userspace want one of KVM_X86_QUIRK_*? Each is on until it is disabled. */
static inline bool umbra_has_quirk(const struct umbra_vcpu *vcpu, u64 quirk)
{
	return !(READ_ONCE(vcpu->vm->arch.quirks_off) & quirk);
}

/* Does CPUID raise #GP for the guest now? */
static inline bool umbra_cpuid_faults(struct umbra_vcpu *vcpu)
{
	return unlikely(vcpu->arch.msr_misc_features) && umbra_backend->cpl(vcpu);
}

/* May the guest use a paravirtual feature, KVM_FEATURE_*? */
static inline bool umbra_pv_has(const struct umbra_vcpu *vcpu, unsigned int feature)
{
	return !vcpu->arch.enforce_pv || (vcpu->arch.limits.paravirtual & BIT(feature));
}

static inline bool umbra_long_mode(const struct umbra_vcpu *vcpu)
{
	return vcpu->arch.efer & EFER_LMA;
}

static inline bool umbra_pae_paging(const struct umbra_vcpu *vcpu)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;

	return (arch->cr0 & X86_CR0_PG) && (arch->cr4 & X86_CR4_PAE) &&
	       !(arch->efer & EFER_LMA);
}

/* Linear address of the current instruction. */
static inline u64 umbra_linear_rip(struct umbra_vcpu *vcpu)
{
	return umbra_backend->linear_rip(vcpu);
}

/* Is a linear address canonical for the guest's paging? */
static inline bool umbra_canonical(const struct umbra_vcpu *vcpu, u64 gva)
{
	unsigned int shift = vcpu->arch.cr4 & X86_CR4_LA57 ? 7 : 16;

	return (u64)((s64)(gva << shift) >> shift) == gva;
}

#endif
