// SPDX-License-Identifier: GPL-2.0-only
/*
 * Userspace debugs the guest. Proves that with KVM_SET_GUEST_DEBUG a step is one
 * instruction, whoever executes it, that breakpoints of all kinds end KVM_RUN at the right
 * place with the right DR6, that what is the guest's can be handed back to it, that
 * interrupts can be held back, and that the guest finds its own debug registers and flags
 * as it left them.
 */
#include "paging.h"
#include "test.h"

#define DR6 0xffff0ff0UL
#define DR6_BD BIT(13)
#define DR6_BS BIT(14)
#define DR7 0x400UL
#define DR7_GD BIT(13)
#define VECTOR 0x55
#define SYSCALL 0x80	/* INT $0x80 */
#define TRAP_NP 11

FIXTURE(debug) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

FIXTURE_SETUP(debug)
{
	if (!node_has(KVM_CAP_SET_GUEST_DEBUG))
		TEST_SKIP("no KVM_CAP_SET_GUEST_DEBUG");
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, PAGE_2M);
}

FIXTURE_TEARDOWN(debug)
{
	vm_free(self->vm);
}

static int set_debug(struct vcpu *vcpu, u32 control, const struct kvm_guest_debug *with)
{
	struct kvm_guest_debug dbg = {};

	if (with)
		dbg = *with;
	dbg.control = control;
	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &dbg) ? -errno : 0;
}

#define STEP (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP)
#define SW (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP)
#define HW (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP)

static u64 rip_of(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	return regs.rip;
}

/* Run on; ports and MMIO on the way are ignored, but for what the guest says. */
static u32 next_exit(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	do {
		if (vcpu_run(vcpu))
			die("KVM_RUN");
	} while (run->exit_reason == KVM_EXIT_MMIO ||
		 (run->exit_reason == KVM_EXIT_IO && run->io.port != UCALL_PORT));
	return run->exit_reason;
}

#define EXPECT_DEBUG(vcpu, vector, at, status) do {				\
	const struct kvm_run *_run = (vcpu)->run;				\
										\
	next_exit(vcpu);							\
	ASSERT_EQ(KVM_EXIT_DEBUG, _run->exit_reason);				\
	EXPECT_EQ(vector, _run->debug.arch.exception);				\
	EXPECT_EQ((u64)(at), _run->debug.arch.pc);				\
	EXPECT_EQ((u64)(at), rip_of(vcpu));					\
	if ((vector) == X86_TRAP_DB)						\
		EXPECT_EQ((u64)(status), _run->debug.arch.dr6);			\
} while (0)

/* What the guest's own handler has seen. */
struct seen {
	u64 count, vector, error, rip, rflags, dr6;
};

#define SEEN ((__volatile__ struct seen *)TEST_MEM)

static void on_trap(struct guest_frame *f)
{
	u64 dr6;

	asm volatile("mov %%dr6, %0" : "=r" (dr6));
	SEEN->vector = f->vector;
	SEEN->error = f->error;
	SEEN->rip = f->rip;
	SEEN->rflags = f->rflags;
	SEEN->dr6 = dr6;
	SEEN->count++;
}

static void guest_calls(void *arg)
{
	guest_set_handler(X86_TRAP_DB, on_trap);
	guest_set_handler(X86_TRAP_BP, on_trap);
	guest_set_handler(VECTOR, on_trap);
	guest_set_handler(SYSCALL, on_trap);
	GUEST_SYNC(1);
	((void (*)(void))arg)();
}

/* The guest at @code, before its first instruction. */
static void at_code(struct __test_metadata *_metadata, FIXTURE_DATA(debug) * self, const u8 *code)
{
	struct kvm_guest_debug dbg = { .arch.debugreg = { [0] = (u64)code, [7] = DR7 | 2 } };

	vcpu_start(self->vcpu, guest_calls, (void *)code);
	vcpu_sync(self->vcpu, 1);
	ASSERT_EQ(0, set_debug(self->vcpu, HW, &dbg));
	EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, code, DR6 | 1);
}

/*
 * push %rbx; cpuid; mov $0x10, %ecx; rdmsr; out %al, $0x80; in $0x80, %al; mov %cr0, %rax;
 * mov 0x40000000, %eax (MMIO); mov %dr0, %rax; pop %rbx; nop; ret
 */
TEST_F(debug, step)
{
	static const u8 code[] =
		"\x53\x0f\xa2\xb9\x10\0\0\0\x0f\x32\xe6\x80\xe4\x80\x0f\x20\xc0"
		"\x8b\x04\x25\x00\x00\x00\x40\x0f\x21\xc0\x5b\x90\xc3";
	static const u8 length[] = { 1, 2, 5, 2, 2, 2, 3, 7, 3, 1, 1 };
	u8 *at = self->mem + PAGE_4K;
	struct kvm_regs regs;
	unsigned int i;

	memcpy(at, code, sizeof(code));
	at_code(_metadata, self, at);
	for (i = 0; i < sizeof(length); i++) {
		ASSERT_EQ(0, set_debug(self->vcpu, STEP, NULL));
		/* Between the two, userspace may write the registers that it has read. */
		vcpu_get_regs(self->vcpu, &regs);
		EXPECT_EQ(0, regs.rflags & X86_RFLAGS_TF);
		vcpu_set_regs(self->vcpu, &regs);
		at += length[i];
		EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, at, DR6 | DR6_BS);
	}
	ASSERT_EQ(0, set_debug(self->vcpu, 0, NULL));
	vcpu_get_regs(self->vcpu, &regs);
	EXPECT_EQ(0, regs.rflags & X86_RFLAGS_TF);
	vcpu_done(self->vcpu);
	EXPECT_EQ(0, SEEN->count);
}

/* nop; nop; mov %rax, DATA; nop; ret */
TEST_F(debug, breakpoints_in_registers)
{
	u8 *code = self->mem + PAGE_4K, *data = self->mem + 2 * PAGE_4K;
	struct kvm_guest_debug dbg;
	struct kvm_regs regs;
	int i;

	memcpy(code, "\x90\x90\x48\xa3", 4);
	memcpy(code + 4, &data, 8);
	memcpy(code + 12, "\x90\xc3", 2);
	at_code(_metadata, self, code);
	for (i = 0; i < 4; i++) {
		dbg = (struct kvm_guest_debug) { .arch.debugreg[7] = DR7 | 2 << (2 * i) };
		dbg.arch.debugreg[i] = (u64)code + 1;
		ASSERT_EQ(0, set_debug(self->vcpu, HW, &dbg));
		EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, code + 1, DR6 | 1 << i);
		EXPECT_EQ(dbg.arch.debugreg[7], self->vcpu->run->debug.arch.dr7);
	}
	for (i = 0; i < 4; i++) {
		/* A write of 8 bytes. */
		dbg = (struct kvm_guest_debug) {
			.arch.debugreg[7] = DR7 | 2 << (2 * i) | 9UL << (16 + 4 * i),
		};
		dbg.arch.debugreg[i] = (u64)data;
		ASSERT_EQ(0, set_debug(self->vcpu, HW, &dbg));
		EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, code + 12, DR6 | 1 << i);
		vcpu_get_regs(self->vcpu, &regs);
		regs.rip = (u64)code + 1;
		vcpu_set_regs(self->vcpu, &regs);
	}
	ASSERT_EQ(0, set_debug(self->vcpu, 0, NULL));
	vcpu_done(self->vcpu);
	EXPECT_EQ(0, SEEN->count);
}

static void guest_uses_its_own(void *arg)
{
	u64 v;

	asm volatile("mov %0, %%dr1" : : "r" (0x1234UL));
	asm volatile("mov %0, %%dr7" : : "r" (DR7 | 8 | 9UL << 20));
	asm volatile("mov %0, %%dr6" : : "r" (DR6 | 8));
	GUEST_SYNC(1);
	((void (*)(void))arg)();
	asm volatile("mov %%dr1, %0" : "=r" (v));
	GUEST_ASSERT_EQ(0x1234, v);
	asm volatile("mov %%dr7, %0" : "=r" (v));
	GUEST_ASSERT_EQ(DR7 | 8 | 9UL << 20, v);
	asm volatile("mov %%dr6, %0" : "=r" (v));
	GUEST_ASSERT_EQ(DR6 | 8, v);
	asm volatile("mov %0, %%dr7" : : "r" (DR7));
}

TEST_F(debug, registers_of_the_guest)
{
	u8 *code = self->mem + PAGE_4K;
	struct kvm_guest_debug dbg = { .arch.debugreg = { [0] = (u64)code + 1, [7] = DR7 | 2 } };

	memcpy(code, "\x90\x90\x90\xc3", 4);
	vcpu_start(self->vcpu, guest_uses_its_own, code);
	vcpu_sync(self->vcpu, 1);
	ASSERT_EQ(0, set_debug(self->vcpu, HW, &dbg));
	EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, code + 1, DR6 | 1);
	ASSERT_EQ(0, set_debug(self->vcpu, STEP, NULL));
	EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, code + 2, DR6 | DR6_BS);
	ASSERT_EQ(0, set_debug(self->vcpu, 0, NULL));
	vcpu_done(self->vcpu);
}

/* mov %dr0, %rax; ret */
TEST_F(debug, access_to_debug_registers)
{
	u8 *code = self->mem + PAGE_4K;
	struct kvm_guest_debug dbg = { .arch.debugreg[7] = DR7 | DR7_GD };

	memcpy(code, "\x0f\x21\xc0\xc3", 4);
	at_code(_metadata, self, code);
	ASSERT_EQ(0, set_debug(self->vcpu, HW, &dbg));
	EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, code, DR6 | DR6_BD);
	ASSERT_EQ(0, set_debug(self->vcpu, 0, NULL));
	vcpu_done(self->vcpu);
	EXPECT_EQ(0, SEEN->count);
}

/* From now on INT3 is userspace's. */
#define BREAK_FROM(fn, code) do {						\
	if (!node_has(UMBRA_CAP_MMU))						\
		TEST_SKIP("stock KVM does not see INT3 on QEMU's CPU");		\
	vcpu_start(self->vcpu, fn, code);					\
	vcpu_sync(self->vcpu, 1);						\
	ASSERT_EQ(0, set_debug(self->vcpu, SW, NULL));				\
} while (0)

/* int3; nop; ret: first for userspace, then for the guest. */
TEST_F(debug, int3)
{
	u8 *code = self->mem + PAGE_4K;

	memcpy(code, "\xcc\x90\xc3", 3);
	BREAK_FROM(guest_calls, code);
	EXPECT_DEBUG(self->vcpu, X86_TRAP_BP, code, 0);
	EXPECT_DEBUG(self->vcpu, X86_TRAP_BP, code, 0);
	EXPECT_EQ(0, SEEN->count);
	ASSERT_EQ(0, set_debug(self->vcpu, 0, NULL));
	vcpu_done(self->vcpu);
	EXPECT_EQ(1, SEEN->count);
	EXPECT_EQ(X86_TRAP_BP, SEEN->vector);
	EXPECT_EQ((u64)code + 1, SEEN->rip);
}

/* mov $3, %ecx; 1: nop; dec %ecx; jnz 1b; ret, with the breakpoint in the loop */
TEST_F(debug, breakpoint_in_code)
{
	u8 *code = self->mem + PAGE_4K, *at = code + 5;
	int i;

	memcpy(code, "\xb9\x03\0\0\0\xcc\xff\xc9\x75\xfb\xc3", 11);
	BREAK_FROM(guest_calls, code);
	for (i = 0; i < 3; i++) {
		EXPECT_DEBUG(self->vcpu, X86_TRAP_BP, at, 0);
		*at = 0x90;
		ASSERT_EQ(0, set_debug(self->vcpu, SW | STEP, NULL));
		EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, at + 1, DR6 | DR6_BS);
		*at = 0xcc;
		ASSERT_EQ(0, set_debug(self->vcpu, SW, NULL));
	}
	vcpu_done(self->vcpu);
	EXPECT_EQ(0, SEEN->count);
}

static void jump(struct vcpu *vcpu, const void *to)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	regs.rip = (u64)to;
	vcpu_set_regs(vcpu, &regs);
}

#define EXPECT_SEEN(n, trap, at, flags) do {					\
	EXPECT_EQ(n, SEEN->count);						\
	EXPECT_EQ(trap, SEEN->vector);						\
	EXPECT_EQ((u64)(at), SEEN->rip);					\
	EXPECT_EQ(flags, SEEN->rflags & (X86_RFLAGS_RF | X86_RFLAGS_TF));	\
} while (0)

/* int $0x80; int3 (the guest's); int3; int1; int3; ret */
TEST_F(debug, interrupts_in_code)
{
	struct kvm_vcpu_events events;
	u8 *code = self->mem + PAGE_4K;

	memcpy(code, "\xcd\x80\xcc\xcc\xf1\xcc\xc3", 7);
	BREAK_FROM(guest_calls, code);
	EXPECT_DEBUG(self->vcpu, X86_TRAP_BP, code + 2, 0);
	EXPECT_SEEN(1, SYSCALL, code + 2, 0);
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(0, events.exception.injected);
	events.exception.injected = 1;
	events.exception.nr = X86_TRAP_BP;
	events.exception.has_error_code = 0;
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &events));
	EXPECT_DEBUG(self->vcpu, X86_TRAP_BP, code + 3, 0);
	EXPECT_SEEN(2, X86_TRAP_BP, code + 3, 0);
	jump(self->vcpu, code + 4);
	EXPECT_DEBUG(self->vcpu, X86_TRAP_BP, code + 5, 0);
	EXPECT_SEEN(3, X86_TRAP_DB, code + 5, 0);
	jump(self->vcpu, code + 6);
	vcpu_done(self->vcpu);
	EXPECT_EQ(3, SEEN->count);
}

/* mov %rsp, %rdx; mov $STACK, %rsp; int $0x80; mov %rdx, %rsp; ret: nobody has mapped it */
TEST_F(debug, interrupt_on_an_absent_stack)
{
	u8 *code = self->mem + PAGE_4K;
	u64 stack = (u64)self->mem + 256 * PAGE_4K;

	memcpy(code, "\x48\x89\xe2\x48\xbc", 5);
	memcpy(code + 5, &stack, 8);
	memcpy(code + 13, "\xcd\x80\x48\x89\xd4\xc3", 6);
	BREAK_FROM(guest_calls, code);
	vcpu_done(self->vcpu);
	EXPECT_SEEN(1, SYSCALL, code + 15, 0);
}

static void on_fault(struct guest_frame *f)
{
	on_trap(f);
	if (f->vector == X86_TRAP_PF)
		SEEN->dr6 = guest_read_cr2();
	/* Go on behind the INT. */
	f->rip += 2;
}

/* The gate is not present: then RIP is that of the INT, and the error code tells its vector. */
TEST_F(debug, interrupt_without_a_gate)
{
	u8 *code = self->mem + PAGE_4K;

	memcpy(code, "\xcd\x81\x90\xc3", 4);
	vm_set_handler(self->vm, TRAP_NP, on_fault);
	((u8 *)boot_hva(self->vm, BOOT_IDT))[0x81 * 16 + 5] &= 0x7f;
	BREAK_FROM(guest_calls, code);
	vcpu_done(self->vcpu);
	EXPECT_SEEN(1, TRAP_NP, code, X86_RFLAGS_RF);
	EXPECT_EQ(0x81 * 8 + 2, SEEN->error);
}

#define GVA 0x8000000000UL
#define GATES 0x200UL	/* bytes of the gates of exceptions */

struct __packed dtr {
	u16 limit;
	u64 base;
};

/* With an IDT of which only the gates of exceptions are mapped. */
static void guest_half_idt(void *arg)
{
	struct dtr whole, half = { .limit = 0xfff, .base = GVA + PAGE_4K - GATES };

	guest_set_handler(X86_TRAP_PF, on_fault);
	asm volatile("sidt %0" : "=m" (whole));
	asm volatile("rep movsb" : : "S" (whole.base), "D" (half.base), "c" (GATES) : "memory");
	asm volatile("lidt %0" : : "m" (half));
	GUEST_SYNC(1);
	((void (*)(void))arg)();
	asm volatile("lidt %0" : : "m" (whole));
}

TEST_F(debug, interrupt_that_faults)
{
	u8 *code = self->mem + PAGE_4K;

	memcpy(code, "\xcd\x80\x90\xc3", 4);
	guest_map(self->vm, GVA, (u64)self->mem + 2 * PAGE_4K, PAGE_4K, PAGE_4K, PTE_P | PTE_W);
	guest_map(self->vm, GVA + PAGE_4K, 0, PAGE_4K, PAGE_4K, 0);
	BREAK_FROM(guest_half_idt, code);
	vcpu_done(self->vcpu);
	EXPECT_SEEN(1, X86_TRAP_PF, code, X86_RFLAGS_RF);
	EXPECT_EQ(0, SEEN->error);
	EXPECT_EQ(GVA + PAGE_4K - GATES + 16 * SYSCALL, SEEN->dr6);
}

/* int $0x21; int3, and the handler: mov $7, %al; iret */
TEST_F(debug, real_mode)
{
	struct kvm_regs regs;

	if (!node_has(UMBRA_CAP_MMU))
		TEST_SKIP("stock KVM does not see INT3 on QEMU's CPU");
	memcpy(boot_hva(self->vm, 0x1000), "\xcd\x21\xcc", 3);
	memcpy(boot_hva(self->vm, 0x1100), "\xb0\x07\xcf", 3);
	*(u32 *)boot_hva(self->vm, 4 * 0x21) = 0x1100;
	vcpu_start_real(self->vcpu, 0x1000, 0x8000);
	ASSERT_EQ(0, set_debug(self->vcpu, SW, NULL));
	EXPECT_DEBUG(self->vcpu, X86_TRAP_BP, 0x1002, 0);
	vcpu_get_regs(self->vcpu, &regs);
	EXPECT_EQ(7, regs.rax & 0xff);
	EXPECT_EQ(0x8000, regs.rsp);
}

/*
 * nop; int3 or nop; nop; ret: a #BP that is handed back finds the address behind the
 * instruction; a breakpoint in a register is where it would be.
 */
TEST_F(debug, bp_handed_back)
{
	struct kvm_vcpu_events events;
	u8 *code = self->mem + PAGE_4K;

	memcpy(code, "\x90\x90\x90\xc3", 4);
	at_code(_metadata, self, code);
	ASSERT_EQ(0, set_debug(self->vcpu, STEP, NULL));
	EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, code + 1, DR6 | DR6_BS);
	ASSERT_EQ(0, set_debug(self->vcpu, KVM_GUESTDBG_INJECT_BP, NULL));
	EXPECT_EQ(-EBUSY, set_debug(self->vcpu, KVM_GUESTDBG_INJECT_BP, NULL));
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(1, events.exception.injected);
	EXPECT_EQ(X86_TRAP_BP, events.exception.nr);
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &events));
	vcpu_done(self->vcpu);
	EXPECT_EQ(1, SEEN->count);
	EXPECT_EQ(X86_TRAP_BP, SEEN->vector);
	EXPECT_EQ((u64)code + 2, SEEN->rip);
}

/* mov $STACK, %rsp; nop; mov %rdx, %rsp; ret, on a stack that nobody has mapped */
TEST_F(debug, bp_handed_back_in_a_fault)
{
	u8 *code = self->mem + PAGE_4K;
	u64 stack = (u64)self->mem + 256 * PAGE_4K;

	memcpy(code, "\x48\x89\xe2\x48\xbc", 5);
	memcpy(code + 5, &stack, 8);
	memcpy(code + 13, "\x90\x48\x89\xd4\xc3", 5);
	at_code(_metadata, self, code);
	ASSERT_EQ(0, set_debug(self->vcpu, STEP, NULL));
	EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, code + 3, DR6 | DR6_BS);
	EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, code + 13, DR6 | DR6_BS);
	ASSERT_EQ(0, set_debug(self->vcpu, KVM_GUESTDBG_INJECT_BP, NULL));
	vcpu_done(self->vcpu);
	EXPECT_EQ(1, SEEN->count);
	EXPECT_EQ((u64)code + 14, SEEN->rip);
}

TEST_F(debug, db_handed_back)
{
	u8 *code = self->mem + PAGE_4K;

	memcpy(code, "\x90\xc3", 2);
	at_code(_metadata, self, code);
	ASSERT_EQ(0, set_debug(self->vcpu, KVM_GUESTDBG_INJECT_DB, NULL));
	vcpu_done(self->vcpu);
	EXPECT_EQ(1, SEEN->count);
	EXPECT_EQ(X86_TRAP_DB, SEEN->vector);
	EXPECT_EQ((u64)code, SEEN->rip);
	EXPECT_EQ(DR6, SEEN->dr6);
	EXPECT_EQ(0, SEEN->rflags & X86_RFLAGS_TF);
}

/* sti; nop; nop; nop; cli; ret, with an interrupt that waits */
TEST_F(debug, interrupts)
{
	struct kvm_interrupt irq = { VECTOR };
	u8 *code = self->mem + PAGE_4K;
	int i;

	memcpy(code, "\xfb\x90\x90\x90\xfa\xc3", 6);
	at_code(_metadata, self, code);
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq));
	for (i = 1; i <= 2; i++) {
		ASSERT_EQ(0, set_debug(self->vcpu, STEP | KVM_GUESTDBG_BLOCKIRQ, NULL));
		EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, code + i, DR6 | DR6_BS);
		EXPECT_EQ(0, SEEN->count);
	}
	/* Taken in this step, which ends behind its handler. */
	ASSERT_EQ(0, set_debug(self->vcpu, STEP, NULL));
	EXPECT_DEBUG(self->vcpu, X86_TRAP_DB, code + 3, DR6 | DR6_BS);
	EXPECT_EQ(1, SEEN->count);
	EXPECT_EQ(VECTOR, SEEN->vector);
	EXPECT_EQ((u64)code + 2, SEEN->rip);
	ASSERT_EQ(0, set_debug(self->vcpu, 0, NULL));
	vcpu_done(self->vcpu);
	EXPECT_EQ(1, SEEN->count);
}

TEST_F(debug, refusals)
{
	const u32 all = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP |
		KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |
		KVM_GUESTDBG_BLOCKIRQ;
	struct kvm_guest_debug dbg = { .arch.debugreg[7] = BIT(32) };

	EXPECT_EQ(1, node_has(KVM_CAP_X86_ROBUST_SINGLESTEP));
	EXPECT_EQ(all, node_has(KVM_CAP_SET_GUEST_DEBUG2));
	if (!node_has(UMBRA_CAP_MMU))
		TEST_SKIP("stock KVM takes what does not exist");
	EXPECT_EQ(-EINVAL, set_debug(self->vcpu, KVM_GUESTDBG_ENABLE | 4, NULL));
	EXPECT_EQ(-EINVAL, set_debug(self->vcpu, HW, &dbg));
	/* What is in the registers does not matter where nobody uses them. */
	EXPECT_EQ(0, set_debug(self->vcpu, STEP, &dbg));
	EXPECT_EQ(0, set_debug(self->vcpu, 0, &dbg));
	errno = 0;
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_SET_GUEST_DEBUG, (void *)1));
	EXPECT_EQ(EFAULT, errno);
}

UMBRA_TEST_MAIN
