/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * x86's part of a vCPU and of a VM: the registers that the guest sees, what is to
 * be injected, and what userspace still owes an answer for.
 *
 * All of it belongs to who holds vcpu->mutex. What the backend (svm/) keeps in
 * hardware form is behind @backend; general registers, RIP, RFLAGS and control
 * registers are here after each exit, so that shared code never asks for them.
 */
#ifndef _UMBRA_ARCH_VCPU_H
#define _UMBRA_ARCH_VCPU_H

#include <linux/rcuwait.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <uapi/linux/kvm.h>
#include <umbra/types.h>

/*
 * Pages of the vCPU's mapping: struct kvm_run, then KVM_PIO_PAGE_OFFSET's page of
 * port data.
 */
#define UMBRA_VCPU_OWN_PAGES 2

/* What virt/stats.c calls the mappings of each level. */
#define UMBRA_STAT_LEVEL1 "pages_4k"
#define UMBRA_STAT_LEVEL2 "pages_2m"
#define UMBRA_STAT_LEVEL3 "pages_1g"

/* General registers in the order of the instruction encoding. */
enum umbra_x86_reg {
	UMBRA_RAX, UMBRA_RCX, UMBRA_RDX, UMBRA_RBX,
	UMBRA_RSP, UMBRA_RBP, UMBRA_RSI, UMBRA_RDI,
	UMBRA_R8, UMBRA_R9, UMBRA_R10, UMBRA_R11,
	UMBRA_R12, UMBRA_R13, UMBRA_R14, UMBRA_R15,
	UMBRA_NR_REGS,
};

/* What waits to be delivered at the next entry, or was interrupted in delivery. */
enum umbra_x86_event_kind {
	UMBRA_EVENT_NONE,
	UMBRA_EVENT_EXCEPTION,
	UMBRA_EVENT_INTERRUPT,
	UMBRA_EVENT_NMI,
	UMBRA_EVENT_SOFT,	/* INT n at RIP, which executes again when it is dropped */
};

/**
 * struct umbra_x86_event - one event for the guest
 * @kind: enum umbra_x86_event_kind
 * @vector: vector of an exception or interrupt
 * @len: bytes of the instruction INT n
 * @has_error: an exception that pushes @error
 * @error: the error code
 * @pending: an exception that was raised and not yet put into an entry
 * @has_payload: ... whose effect on CR2 or DR6 is @payload, see umbra_queue_payload()
 */
struct umbra_x86_event {
	u8 kind;
	u8 vector;
	u8 len;
	bool has_error;
	bool pending;
	bool has_payload;
	u32 error;
	u64 payload;
};

/* One access to guest-physical space that is not memory; at most 8 bytes. */
struct umbra_x86_mmio {
	gpa_t gpa;
	u8 len;
	u8 data[8];
};

/* Accesses that one instruction, or some iterations of a string, can note. */
#define UMBRA_MMIO_NOTES 16

/* What KVM_RUN does first, with the answer of userspace to the last exit. */
enum umbra_x86_completion {
	UMBRA_COMPLETE_NONE,
	UMBRA_COMPLETE_IN,	/* plain IN: put the data into RAX and go on behind */
	UMBRA_COMPLETE_EMUL,	/* take the answer and start the instruction over */
	UMBRA_COMPLETE_RDMSR,	/* take the value, or #GP, and go on behind */
	UMBRA_COMPLETE_WRMSR,	/* #GP, or go on behind */
};

/* The answer that an emulated instruction waits for. */
enum umbra_x86_wait {
	UMBRA_WAIT_NONE,
	UMBRA_WAIT_MMIO,	/* for reads[nr_reads] */
	UMBRA_WAIT_PIO,		/* for in_count items in pio_data */
};

/**
 * struct umbra_x86_io - an instruction whose accesses userspace answers
 * @completion: enum umbra_x86_completion
 * @waiting: enum umbra_x86_wait
 * @asked: the last exit asked for it
 * @rip: the instruction; an answer for another one is dropped
 * @next_rip: behind a plain IN
 * @nr_reads: MMIO reads that are answered, in program order; @read_pos: next to
 *	be consumed by this run of the instruction
 * @nr_writes: MMIO writes to be shown to userspace, in program order; @write_pos: next
 *	to be shown; @writes_done: how many belong to what is committed
 * @in_count: items of port input in pio_data; @in_pos: next to be consumed;
 *	@in_done: consumed by committed iterations
 * @out_count: items of port output noted in pio_data; @out_done: of committed
 *	iterations; @out_pos: next to be shown
 * @port: port of those items; @size: bytes of one
 * @reads, @writes: the notes
 */
struct umbra_x86_io {
	u8 completion;
	u8 waiting;
	bool asked;
	u64 rip;
	u64 next_rip;
	unsigned int nr_reads, read_pos;
	unsigned int nr_writes, write_pos, writes_done;
	unsigned int in_count, in_pos, in_done;
	unsigned int out_count, out_done, out_pos;
	u16 port;
	u8 size;
	struct umbra_x86_mmio reads[UMBRA_MMIO_NOTES];
	struct umbra_x86_mmio writes[UMBRA_MMIO_NOTES];
};

/* Leaves that KVM_SET_CPUID2 takes at most; as many as KVM takes. */
#define UMBRA_CPUID_MAX		256
/* Leaves 0..31 of the basic, hypervisor and extended ranges are found at once. */
#define UMBRA_CPUID_DIRECT	96

/**
 * struct umbra_x86_cpuid - the guest's CPUID
 * @entries: as userspace set them, with the bits that follow CR4, XCR0 and
 *	the APIC base kept up to date; NULL before
 * @nr: number of entries
 * @first: number + 1 of the first entry of a leaf, or 0
 * @next: number + 1 of the next entry of the same leaf, or 0
 */
struct umbra_x86_cpuid {
	struct kvm_cpuid_entry2 *entries;
	unsigned int nr;
	u16 first[UMBRA_CPUID_DIRECT];
	u16 next[UMBRA_CPUID_MAX];
};

/* MTRRs are stored and not acted upon: nested paging takes the host's types. */
#define UMBRA_MTRR_VARIABLE	8
#define UMBRA_MTRR_FIXED	11

struct umbra_x86_mtrr {
	u64 def_type;
	u64 fixed[UMBRA_MTRR_FIXED];
	u64 variable[2 * UMBRA_MTRR_VARIABLE];
};

/* What the guest's CPUID and MSR state allow; derived, never set alone. */
struct umbra_x86_limits {
	u64 cr4;		/* bits of CR4 that may be set */
	u64 efer;		/* bits of EFER that may be set */
	u64 xcr0;		/* bits of XCR0 that may be set */
	u64 gpa_rsvd;		/* bits of a gpa beyond MAXPHYADDR */
	bool page1g;
	bool intel;
	bool tsc_aux;		/* RDTSCP or RDPID reads TSC_AUX */
	bool spec_ctrl;		/* MSR_IA32_SPEC_CTRL exists */
	bool xsave;		/* XSAVE was offered */
	bool x2apic;
	bool tsc_deadline;
	bool mwait;
	u32 paravirtual;	/* KVM_CPUID_FEATURES, EAX */
};

/* As many banks as KVM gives. */
#define UMBRA_MCE_BANKS		32

/**
 * struct umbra_x86_mce - machine check registers
 * @cap, @status, @ctl: MCG_CAP, MCG_STATUS, MCG_CTL
 * @banks: four registers each; MCG_CAP says how many banks there are
 */
struct umbra_x86_mce {
	u64 cap;
	u64 status;
	u64 ctl;
	u64 banks[UMBRA_MCE_BANKS][4];
};

/**
 * struct umbra_x86_clock - a VM's clock: @ns + (host TSC - @tsc), scaled
 * @lock: guards @ns and @tsc
 * @tsc: host TSC at which the clock showed @ns
 * @ns: nanoseconds
 * @mul: nanoseconds in 2^32 ticks, after these were multiplied by 2^@shift
 * @shift: see @mul
 */
struct umbra_x86_clock {
	spinlock_t lock; /* the line */
	u64 tsc;
	u64 ns;
	u32 mul;
	s8 shift;
};

/**
 * struct umbra_x86_vcpu_clock - what a vCPU's guest asked of the clock
 * @system_time: MSR_KVM_SYSTEM_TIME
 * @stale: guest memory is to be written
 * @wall: ... the wall clock as well
 * @stopped: ... with the mark that the guest was held up
 */
struct umbra_x86_vcpu_clock {
	u64 system_time;
	bool stale;
	bool wall;
	bool stopped;
};

struct umbra_async_pf;
struct umbra_irqchip;
struct umbra_lapic;
struct umbra_msr_filter;
struct umbra_svm_vcpu;
struct umbra_x86_emul;
struct umbra_sp;
struct umbra_rmap_desc;

/* What makes two uses of one guest table different. */
union umbra_sp_role {
	u32 word;
	struct {
		u32 level:3;	/* of the table, 1 to 5 */
		u32 top:3;	/* levels of the guest's tables; 0 without paging */
		u32 direct:1;	/* maps guest memory in order, from the page's gfn on */
		u32 access:3;	/* UMBRA_PERM_* that the levels above allow */
		u32 quadrant:2;	/* of a 32-bit table, which part */
		u32 nx:1;	/* EFER.NX */
		u32 wp:1;	/* CR0.WP */
		u32 smep:1;	/* CR4.SMEP, where WP is clear */
		u32 smap:1;	/* CR4.SMAP or PKE, where WP is clear */
		u32 pse:1;	/* CR4.PSE, for 32-bit tables */
		u32 pkey:4;	/* of the large page that a direct one is part of */
	};
};

/* Shadow pages and descriptors allocated ahead, for a few faults. */
#define UMBRA_SHADOW_SPS	16
#define UMBRA_SHADOW_DESCS	64

/* Roots that a vCPU remembers, the present one included. */
#define UMBRA_SHADOW_ROOTS	8

/**
 * struct umbra_shadow_root - what the hardware's CR3 is for one CR3 of the guest
 * @role: of the top table; level 0 for no root
 * @cr3: the guest's
 * @sp: the shadow pages: one, or with PAE shadow tables up to four
 * @pdpte: the guest's, with PAE
 * @used: number of the vCPU's change of root that it was last the goal of
 */
struct umbra_shadow_root {
	union umbra_sp_role role;
	u64 cr3;
	struct umbra_sp *sp[4];
	u64 pdpte[4];
	u64 used;
};

/**
 * struct umbra_shadow_vcpu - a vCPU's part in shadow paging
 * @roots: those that it remembers
 * @root: of these, the one in use
 * @changes: of root, so far
 * @good: @root fits the vCPU's registers
 * @emulate: the last look at a fault, without sleeping, was that the access to
 *	@emulate_gfn must be emulated
 * @unprotected_rip, @unprotected_gfn, @unprotected_again: see umbra_shadow_unprotect()
 * @pae: the four entries that a PAE shadow root needs below 4 GiB, one page
 * @sps, @nr_sps: shadow pages for faults; @descs, @nr_descs: descriptors
 */
struct umbra_shadow_vcpu {
	struct umbra_shadow_root roots[UMBRA_SHADOW_ROOTS];
	struct umbra_shadow_root *root;
	u64 changes;
	bool good;
	bool emulate;
	gfn_t emulate_gfn;
	u64 unprotected_rip;
	gfn_t unprotected_gfn;
	unsigned int unprotected_again;
	u64 *pae;
	unsigned int nr_sps, nr_descs;
	struct umbra_sp *sps[UMBRA_SHADOW_SPS];
	struct umbra_rmap_desc *descs[UMBRA_SHADOW_DESCS];
};

/* What ends KVM_RUN before the guest is entered again. */
enum umbra_stop {
	UMBRA_STOP_SHUTDOWN = 1,	/* KVM_EXIT_SHUTDOWN: a triple fault */
	UMBRA_STOP_DEBUG = 2,		/* KVM_EXIT_DEBUG: a #DB without hardware */
};

/**
 * struct umbra_x86_debug - KVM_SET_GUEST_DEBUG: userspace debugs the guest
 * @control: KVM_GUESTDBG_*, those that last; 0 when it does not
 * @dr, @dr7: its breakpoints, with KVM_GUESTDBG_USE_HW_BP
 * @dr6: what UMBRA_STOP_DEBUG is to show
 * @step_rip: linear address where it began to step
 */
struct umbra_x86_debug {
	u32 control;
	u64 dr[4];
	u64 dr6;
	u64 dr7;
	u64 step_rip;
};

/**
 * struct umbra_arch_vcpu - x86 state of one vCPU
 * @regs: general registers
 * @rip, @rflags: as the guest sees them
 * @cr0, @cr2, @cr3, @cr4, @cr8, @efer, @xcr0: likewise
 * @dr: DR0 to DR3; @dr6, @dr7
 * @shadow_cr3: what the hardware's CR3 is instead, with shadow paging
 * @apic_base: MSR_IA32_APICBASE, stored
 * @requests: bits of enum umbra_request, set by anybody
 * @lapic: the local APIC in the kernel, or NULL
 * @svm: state of the SVM backend
 * @xstate: the guest's x87 to AVX-512 state while the host's is loaded, in
 *	XSAVE's standard format, 64-byte aligned
 * @pkru: the guest's PKRU; @pkru_host: the thread's, while the guest's is loaded
 * @emul: the emulator's workplace
 * @shadow: its part in shadow paging; NULL with nested paging
 * @event: to be injected before anything else
 * @irq: KVM_INTERRUPT's vector, waiting for the guest to take interrupts; or -1
 * @nmi_pending: number of NMIs that wait, at most 2
 * @nmi_masked: an NMI was delivered and IRET did not follow yet
 * @nmi_queued: NMIs that others have sent
 * @extint: vector of userspace's PIC, waiting for LINT0 to let it in; or -1
 * @mp_state: KVM_MP_STATE_*
 * @wait: the thread, while it waits for an event
 * @halted: HLT was emulated; userspace is to be told
 * @stop: bits of enum umbra_stop
 * @interrupted: an interrupt of the host ended the last run
 * @io: an access that userspace answers
 * @cpuid: leaves; @limits: what follows from them
 * @msr_*: MSRs that are stored
 * @enforce_pv: paravirtual features that CPUID does not show do not work
 * @was_run: KVM_RUN was called: the CPUID can no longer change
 * @mce: machine check registers
 * @tsc_offset: guest TSC minus the host's
 * @clock: the paravirtual clock
 * @async_pf: asynchronous page faults, or NULL without @lapic
 * @debug: how userspace debugs the guest
 */
struct umbra_arch_vcpu {
	u64 regs[UMBRA_NR_REGS];
	u64 rip;
	u64 rflags;
	unsigned long requests;
	struct umbra_lapic *lapic;
	struct umbra_svm_vcpu *svm;
	struct umbra_x86_emul *emul;
	struct umbra_shadow_vcpu *shadow;
	struct umbra_x86_event event;
	int irq;
	u8 nmi_pending;
	bool nmi_masked;
	bool halted;
	u8 stop;
	bool interrupted;
	atomic_t nmi_queued;
	int extint;
	u32 mp_state;
	struct rcuwait wait;

	u64 cr0;
	u64 cr2;
	u64 cr3;
	u64 shadow_cr3;
	u64 cr4;
	u64 cr8;
	u64 efer;
	u64 xcr0;
	u32 pkru;
	u32 pkru_host;
	void *xstate;
	u64 dr[4];
	u64 dr6;
	u64 dr7;

	struct umbra_x86_limits limits;
	struct umbra_x86_cpuid cpuid;
	struct umbra_x86_io io;

	u64 apic_base;
	u64 tsc_offset;
	u64 msr_tsc_aux;
	u64 msr_tsc_adjust;
	u64 msr_misc_enable;
	u64 msr_pat;
	u64 msr_spec_ctrl;
	u64 msr_hwcr;
	u64 msr_patch_level;
	u64 msr_power_ctl;
	u64 msr_platform_info;
	u64 msr_misc_features;
	u64 msr_de_cfg;
	u64 msr_pv_eoi;
	u64 msr_async_pf_en;
	u64 msr_async_pf_int;
	bool enforce_pv;
	bool was_run;
	struct umbra_x86_mtrr mtrr;
	struct umbra_x86_mce mce;
	struct umbra_x86_vcpu_clock clock;
	struct umbra_async_pf *async_pf;
	struct umbra_x86_debug debug;
};

/**
 * struct umbra_arch_vm - x86 state of one VM
 * @tsc_offset: what new vCPUs begin with: the guest's TSC counts from the VM's
 *	creation
 * @tss_addr: KVM_SET_TSS_ADDR; stored
 * @identity_map_addr: KVM_SET_IDENTITY_MAP_ADDR; stored
 * @clock: the paravirtual clock
 * @wall_clock: MSR_KVM_WALL_CLOCK
 * @irqchip: interrupt controllers in the kernel, or NULL; set before the first vCPU
 * @boot_cpu: id of the vCPU that boots
 * @x2apic_ids: KVM_X2APIC_API_USE_32BIT_IDS
 * @x2apic_no_quirk: KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK
 * @quirks_off: KVM_X86_QUIRK_* that userspace does without
 * @user_msr: KVM_MSR_EXIT_REASON_* for which userspace does an MSR
 * @exception_payload: userspace sees exceptions that were not delivered yet as such
 * @triple_fault_event: ... and triple faults
 * @no_platform_info: the guest may not read MSR_PLATFORM_INFO
 * @hlt_passes: HLT does not exit; set before the first vCPU
 * @msr_filter: MSRs that are kept from the guest; read under mmu->srcu; or NULL
 */
struct umbra_arch_vm {
	u64 tsc_offset;
	u64 tss_addr;
	u64 identity_map_addr;
	struct umbra_x86_clock clock;
	u64 wall_clock;
	struct umbra_irqchip *irqchip;
	unsigned long boot_cpu;
	bool x2apic_ids;
	bool x2apic_no_quirk;
	u64 quirks_off;
	u32 user_msr;
	bool exception_payload;
	bool triple_fault_event;
	bool no_platform_info;
	bool hlt_passes;
	struct umbra_msr_filter __rcu *msr_filter;
};

/* May any thread make this ioctl, even beside one in KVM_RUN? */
static inline bool umbra_arch_vcpu_async(unsigned int cmd)
{
	return false;
}

#endif
