/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * x86 instruction emulator: decode one guest instruction, execute one.
 *
 * The emulator owns no guest state. The caller lends it the general registers,
 * gives it mode, CPL, RIP and RFLAGS by value, and answers everything else
 * (memory, ports, segments, control registers, vector registers) through
 * struct umbra_emul_ops. It allocates nothing, takes no lock, may be called
 * wherever the callbacks may be called, and one context serves one vCPU thread.
 *
 * Commit rule
 *	An instruction changes regs[], rip and rflags only in the end, when
 *	nothing can fail any more. With any result but UMBRA_EMUL_OK they are as
 *	before. A REP string instruction is the exception that the architecture
 *	makes: each finished iteration is committed on its own, whatever the
 *	result, and rip stays on the instruction until the last one is done.
 *
 * Restart rule
 *	KVM's ABI answers an MMIO or port read only after an exit to userspace.
 *	A callback that has no answer yet notes what it needs and returns
 *	UMBRA_EMUL_IO_NEEDED, which becomes the result. After userspace answered,
 *	the caller starts over, with umbra_decode() or, while the vCPU's state is
 *	as it was left, with umbra_emulate() on the same context; the same
 *	callbacks are called again in the same order with the same arguments, and
 *	those that were answered must be answered from what was noted. But for
 *	what was decoded, nothing is remembered between the two runs.
 *
 *	A write or OUT callback notes the data and returns UMBRA_EMUL_OK; the
 *	caller makes the exit when the instruction is done. When it has no room to
 *	note more, it returns UMBRA_EMUL_IO_NEEDED without noting: a REP string
 *	stops there with what it has committed. ops->iteration_done() tells that a
 *	string iteration was committed, so that answers noted for it are of no use
 *	any more.
 *
 * Traps
 *	RFLAGS.RF is cleared by an instruction that finished. When RFLAGS.TF was
 *	set at the start and the instruction, or one iteration of a REP string,
 *	finished, then trap is set and the caller injects #DB (DR6.BS). Data and
 *	I/O breakpoints are not looked at. int_shadow tells that the next
 *	instruction runs with interrupts blocked (STI, MOV SS, POP SS).
 */
#ifndef UMBRA_EMULATE_H
#define UMBRA_EMULATE_H

#include <linux/types.h>

struct kvm_segment;
struct kvm_dtable;
struct umbra_emul;
struct umbra_insn_desc;

#define UMBRA_EMUL_INSN_MAX	15	/* bytes; a longer instruction is #GP */

/* A REP string commits at most this many iterations in one call. */
#define UMBRA_EMUL_REP_MAX	1024

/**
 * enum umbra_emul_result - how decode, execution or a callback ended
 * @UMBRA_EMUL_OK:		done
 * @UMBRA_EMUL_FAULT:		struct umbra_emul.fault is to be injected
 * @UMBRA_EMUL_IO_NEEDED:	userspace must be asked first, then start over
 * @UMBRA_EMUL_RETRY:		a locked access lost a race: enter the guest
 *				again at the same instruction
 * @UMBRA_EMUL_REPEAT:		a REP string has iterations left: serve signals
 *				and interrupts, then enter the guest or start over
 * @UMBRA_EMUL_UNHANDLEABLE:	not an instruction for the emulator: report
 *				KVM_EXIT_INTERNAL_ERROR with insn[0..insn_valid)
 *
 * A callback returns one of the first four or UMBRA_EMUL_UNHANDLEABLE, and
 * UMBRA_EMUL_FAULT only after umbra_emul_fault() or umbra_emul_page_fault().
 */
enum umbra_emul_result {
	UMBRA_EMUL_OK,
	UMBRA_EMUL_FAULT,
	UMBRA_EMUL_IO_NEEDED,
	UMBRA_EMUL_RETRY,
	UMBRA_EMUL_REPEAT,
	UMBRA_EMUL_UNHANDLEABLE,
};

/**
 * enum umbra_emul_mode - what decides default sizes and legal instructions
 * @UMBRA_EMUL_REAL:	CR0.PE clear
 * @UMBRA_EMUL_VM86:	RFLAGS.VM set
 * @UMBRA_EMUL_PROT16:	CR0.PE set, CS.D clear (also in compatibility mode)
 * @UMBRA_EMUL_PROT32:	CR0.PE set, CS.D set (also in compatibility mode)
 * @UMBRA_EMUL_LONG64:	EFER.LMA and CS.L set
 */
enum umbra_emul_mode {
	UMBRA_EMUL_REAL,
	UMBRA_EMUL_VM86,
	UMBRA_EMUL_PROT16,
	UMBRA_EMUL_PROT32,
	UMBRA_EMUL_LONG64,
};

/* Segment registers in the order of the instruction encoding. */
enum umbra_emul_segment {
	UMBRA_SEG_ES,
	UMBRA_SEG_CS,
	UMBRA_SEG_SS,
	UMBRA_SEG_DS,
	UMBRA_SEG_FS,
	UMBRA_SEG_GS,
	UMBRA_SEG_TR,
	UMBRA_SEG_LDTR,
};

/* Access kind of ops->read(), write() and probe(): what to translate for. */
#define UMBRA_ACCESS_READ	0
#define UMBRA_ACCESS_WRITE	1	/* read(): the first half of a read-modify-write */
#define UMBRA_ACCESS_FETCH	2
#define UMBRA_ACCESS_SYSTEM	4	/* supervisor at any CPL: GDT, LDT, IDT, TSS */

/**
 * struct umbra_emul_ops - the guest, as the emulator sees it
 *
 * Addresses are linear, already segmented, checked for limits and canonical
 * form (outside of 64-bit mode they wrap at 4 GiB), and may cross a page: then
 * both pages are translated before a byte is written, and the lower page's fault
 * has priority. User or supervisor is the context's CPL (unless
 * UMBRA_ACCESS_SYSTEM). Functions that return int return
 * enum umbra_emul_result. A member that is NULL makes the instructions that
 * need it unhandleable, except @iteration_done, which is then not called.
 *
 * @fetch:	read 1 to 15 instruction bytes, within one page
 * @read:	read 1 to 32 bytes of guest memory
 * @write:	write 1 to 32 bytes of guest memory
 * @probe:	would @read or @write of this range fault? MMIO is no fault
 * @exchange:	compare and exchange 1, 2, 4, 8 or 16 bytes as one locked access;
 *		UMBRA_EMUL_RETRY where memory was not *old. MMIO may be written
 *		plainly. @old and @new are little endian, @bytes long
 * @pio_in:	read one item of 1, 2 or 4 bytes. @ahead (at least 1) is how many
 *		reads of this port follow if nothing faults, this one included:
 *		userspace may be asked for all of them in one exit
 * @pio_out:	write one item; @ahead as above
 * @iteration_done: one iteration of a REP string is committed
 * @get_segment: the hidden part included; @unusable for a null selector
 * @set_segment: called by segment loads and far branches at commit
 * @get_dt:	GDT (@idt false) or IDT (@idt true)
 * @set_dt:	the same
 * @get_cr:	CR0, CR2, CR3, CR4, CR8
 * @set_cr:	checks the value itself and faults with #GP
 * @get_dr:	checks CR4.DE and DR7.GD itself
 * @set_dr:	the same
 * @get_msr:	also answers RDTSC and RDTSCP (MSR_IA32_TSC, MSR_TSC_AUX)
 * @set_msr:	faults with #GP
 * @set_xcr:	XSETBV
 * @cpuid:	leaf in *eax, subleaf in *ecx; all four are set
 * @halt:	HLT was executed
 * @invlpg:	drop the translation of one linear address
 * @get_vec:	copy the low @bytes (8, 16 or 32) of a vector register
 * @set_vec:	write the low @bytes (16 or 32) of a vector register; @zero_upper
 *		clears all above them (VEX forms), else they are kept
 */
struct umbra_emul_ops {
	int (*fetch)(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes);
	int (*read)(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes,
		    unsigned int access);
	int (*write)(struct umbra_emul *e, u64 gva, const void *val,
		     unsigned int bytes, unsigned int access);
	int (*probe)(struct umbra_emul *e, u64 gva, unsigned int bytes,
		     unsigned int access);
	int (*exchange)(struct umbra_emul *e, u64 gva, const void *old,
			const void *new, unsigned int bytes);
	int (*pio_in)(struct umbra_emul *e, u16 port, void *val,
		      unsigned int bytes, unsigned int ahead);
	int (*pio_out)(struct umbra_emul *e, u16 port, const void *val,
		       unsigned int bytes, unsigned int ahead);
	void (*iteration_done)(struct umbra_emul *e);

	void (*get_segment)(struct umbra_emul *e, enum umbra_emul_segment seg,
			    struct kvm_segment *val);
	void (*set_segment)(struct umbra_emul *e, enum umbra_emul_segment seg,
			    const struct kvm_segment *val);
	void (*get_dt)(struct umbra_emul *e, bool idt, struct kvm_dtable *val);
	void (*set_dt)(struct umbra_emul *e, bool idt, const struct kvm_dtable *val);

	int (*get_cr)(struct umbra_emul *e, unsigned int nr, u64 *val);
	int (*set_cr)(struct umbra_emul *e, unsigned int nr, u64 val);
	int (*get_dr)(struct umbra_emul *e, unsigned int nr, u64 *val);
	int (*set_dr)(struct umbra_emul *e, unsigned int nr, u64 val);
	int (*get_msr)(struct umbra_emul *e, u32 index, u64 *val);
	int (*set_msr)(struct umbra_emul *e, u32 index, u64 val);
	int (*set_xcr)(struct umbra_emul *e, u32 index, u64 val);
	int (*cpuid)(struct umbra_emul *e, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
	int (*halt)(struct umbra_emul *e);
	int (*invlpg)(struct umbra_emul *e, u64 gva);

	int (*get_vec)(struct umbra_emul *e, unsigned int reg, void *val,
		       unsigned int bytes);
	int (*set_vec)(struct umbra_emul *e, unsigned int reg, const void *val,
		       unsigned int bytes, bool zero_upper);
};

/* An exception to inject; address is CR2 where vector is #PF (14). */
struct umbra_emul_fault {
	u8 vector;
	bool has_error;
	u32 error;
	u64 address;
};

/* One operand of the instruction being executed; private to the emulator. */
struct umbra_operand {
	u8 kind;
	u8 reg;
	u8 bytes;
	u64 addr;	/* linear, where kind is memory */
	u64 val;
	u64 orig;	/* value before execution */
};

/**
 * struct umbra_emul - one instruction
 *
 * The caller sets the first part before umbra_decode() and need not clear the
 * rest. It may live on the stack (some 220 bytes).
 *
 * @ops:	may be NULL for umbra_decode() alone
 * @priv:	the caller's, for its callbacks
 * @regs:	16 registers in encoding order (RAX, RCX, RDX, RBX, RSP, RBP, RSI,
 *		RDI, R8 ... R15); may be NULL for umbra_decode() alone
 * @rip:	offset of the instruction, without the base of CS
 * @rflags:	guest RFLAGS
 * @mode:	enum umbra_emul_mode
 * @cpl:	0 to 3; 0 in real mode, 3 in virtual 8086 mode
 * @intel:	the guest CPU is Intel's: an operand size prefix on a near branch
 *		in 64-bit mode is ignored
 * @insn:	the instruction's bytes
 * @insn_valid:	how many of them are there (0 to 15); more are fetched when needed
 * @len:	result of umbra_decode(): instruction length in bytes
 * @fault:	valid with UMBRA_EMUL_FAULT
 * @trap:	valid with OK and REPEAT: single-step trap is due
 * @int_shadow:	valid with OK
 */
struct umbra_emul {
	const struct umbra_emul_ops *ops;
	void *priv;
	u64 *regs;
	u64 rip;
	u64 rflags;
	u8 mode;
	u8 cpl;
	bool intel;
	u8 insn_valid;
	u8 insn[UMBRA_EMUL_INSN_MAX];

	u8 len;
	bool trap;
	bool int_shadow;
	struct umbra_emul_fault fault;

	/* Set by umbra_decode(); private, though opcode and map may be looked at. */
	u8 map;		/* 0 one byte, 1 0F, 2 0F 38, 3 0F 3A */
	u8 opcode;
	u8 modrm;
	u8 rex;		/* REX bits, also those of VEX: W 8, R 4, X 2, B 1 */
	u8 rep;		/* 0, F2 or F3 */
	u8 vex_l;	/* vector length of VEX in bytes: 16 or 32 */
	u8 vex_v;	/* VEX.vvvv, already inverted */
	u8 seg;		/* segment of the memory operand */
	u8 base;	/* register numbers; more than 15 are no register */
	u8 index;
	u8 scale;
	u8 op_bytes;
	u8 ad_bytes;
	u16 prefixes;
	u16 imm2;	/* selector of a far pointer, level of ENTER */
	u64 disp;
	u64 imm;
	u64 next_rip;
	u64 flags;	/* of the decode table, groups resolved */
	const struct umbra_insn_desc *desc;

	/* Set by umbra_emulate(). */
	u64 new_rflags;
	struct umbra_operand src;
	struct umbra_operand dst;
};

/**
 * umbra_decode() - take one instruction apart
 * @e: context; the first part is set
 *
 * Accesses no guest memory but instruction bytes, through ops->fetch() and only
 * when insn[0..insn_valid) does not hold the whole instruction. Reads no
 * register. An instruction that is illegal in any state of this mode faults here.
 *
 * Return: UMBRA_EMUL_OK with len set, also for instructions that
 * umbra_emulate() will not execute; UMBRA_EMUL_FAULT (#UD; #GP when longer than
 * 15 bytes or beyond the limit of CS; what ops->fetch() raised);
 * UMBRA_EMUL_UNHANDLEABLE when bytes are missing and ops or ops->fetch is NULL.
 */
int umbra_decode(struct umbra_emul *e);

/**
 * umbra_one_access() - does it access memory with data at one address only?
 * @e: context, decoded
 *
 * Return: true for those that read, write or change one plain operand; false also for
 * some that do no more than that.
 */
bool umbra_one_access(const struct umbra_emul *e);

/**
 * umbra_emulate() - execute the instruction that umbra_decode() took apart
 * @e: context, decoded with UMBRA_EMUL_OK and unchanged since; may be executed
 *     again until the result is UMBRA_EMUL_OK
 *
 * Return: enum umbra_emul_result. With UMBRA_EMUL_OK rip is that of the next
 * instruction.
 */
int umbra_emulate(struct umbra_emul *e);

/**
 * umbra_insn_length() - length of the instruction at the start of a buffer
 * @insn: instruction bytes
 * @valid: how many are there, 1 to 15
 * @mode: enum umbra_emul_mode
 *
 * For intercepts on CPUs that do not save the next RIP (no NRIPS).
 *
 * Return: bytes, or 0 where the bytes are no whole legal instruction.
 */
unsigned int umbra_insn_length(const u8 *insn, unsigned int valid,
			       enum umbra_emul_mode mode);

/**
 * umbra_emul_fault() - raise an exception
 * @e: context
 * @vector: exception vector
 * @has_error: whether it pushes an error code
 * @error: the error code
 *
 * Return: UMBRA_EMUL_FAULT, so that a callback can return this call.
 */
static inline int umbra_emul_fault(struct umbra_emul *e, u8 vector,
				   bool has_error, u32 error)
{
	e->fault.vector = vector;
	e->fault.has_error = has_error;
	e->fault.error = error;
	e->fault.address = 0;
	return UMBRA_EMUL_FAULT;
}

/**
 * umbra_emul_page_fault() - raise #PF
 * @e: context
 * @address: faulting linear address, CR2
 * @error: the error code
 *
 * Return: UMBRA_EMUL_FAULT.
 */
static inline int umbra_emul_page_fault(struct umbra_emul *e, u64 address, u32 error)
{
	umbra_emul_fault(e, 14, true, error);
	e->fault.address = address;
	return UMBRA_EMUL_FAULT;
}

#endif /* UMBRA_EMULATE_H */
