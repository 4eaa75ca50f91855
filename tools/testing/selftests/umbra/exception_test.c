// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions inside the guest. Proves that what an instruction raises arrives
 * at the guest's handler with vector, error code, CR2 and RIP as on hardware,
 * that single-stepping and breakpoints work, and that an exception whose own
 * delivery runs into a nested page fault (IDT, stack or handler not mapped
 * yet) is delivered once and with the same data.
 */
#include "test.h"

FIXTURE(exc) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

FIXTURE_SETUP(exc)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, PAGE_2M);
}

FIXTURE_TEARDOWN(exc)
{
	vm_free(self->vm);
}

static void guest_raise(void *arg)
{
	struct guest_trap t;

	guest_try(t, "ud2");
	GUEST_ASSERT_EQ(X86_TRAP_UD, t.vector);
	/* A selector beyond the GDT: its number is the error code. */
	guest_try(t, "mov %w[sel], %%fs", [sel] "r" (0x7f0));
	GUEST_ASSERT_EQ(X86_TRAP_GP, t.vector);
	GUEST_ASSERT_EQ(0x7f0, t.error);
	/* A non-canonical address. */
	guest_try(t, "cmpb $0, (%[p])", [p] "r" BIT(62));
	GUEST_ASSERT_EQ(X86_TRAP_GP, t.vector);
	GUEST_ASSERT_EQ(0, t.error);
	guest_try(t, "div %[z]", [z] "r" (0UL), "a" (1UL), "d" (0UL));
	GUEST_ASSERT_EQ(X86_TRAP_DE, t.vector);
	guest_try(t, "rdmsr", "c" (0x12345678));
	GUEST_ASSERT_EQ(X86_TRAP_GP, t.vector);
	guest_try(t, "wrmsr", "c" (0x12345678), "a" (0), "d" (0));
	GUEST_ASSERT_EQ(X86_TRAP_GP, t.vector);
	/* Nothing is raised by what is fine. */
	guest_try(t, "nop");
	GUEST_ASSERT_EQ(GUEST_NO_TRAP, t.vector);
}

TEST_F(exc, faults)
{
	vcpu_call(self->vcpu, guest_raise, self->mem);
}

/* What is the hypervisor's is not the guest's: EFER.SVME reads as 0. */
static void guest_svm(void *arg)
{
	struct guest_trap t;

	guest_try(t, "vmrun", "a" (arg));
	GUEST_ASSERT_EQ(X86_TRAP_UD, t.vector);
	guest_try(t, "vmload", "a" (arg));
	GUEST_ASSERT_EQ(X86_TRAP_UD, t.vector);
	guest_try(t, "vmsave", "a" (arg));
	GUEST_ASSERT_EQ(X86_TRAP_UD, t.vector);
	guest_try(t, "stgi");
	GUEST_ASSERT_EQ(X86_TRAP_UD, t.vector);
	guest_try(t, "clgi");
	GUEST_ASSERT_EQ(X86_TRAP_UD, t.vector);
	guest_try(t, "invlpga", "a" (arg), "c" (0));
	GUEST_ASSERT_EQ(X86_TRAP_UD, t.vector);
}

TEST_F(exc, no_svm_in_the_guest)
{
	if (!node_has(UMBRA_CAP_MMU))
		TEST_SKIP("stock KVM offers nested SVM");
	vcpu_call(self->vcpu, guest_svm, self->mem);
}

static void guest_page_faults(void *arg)
{
	u64 gva = (u64)arg;
	struct guest_trap t;

	/* Not present: read, write, fetch. */
	guest_try(t, "cmpb $0, (%[p])", [p] "r" (gva));
	GUEST_ASSERT_EQ(X86_TRAP_PF, t.vector);
	GUEST_ASSERT_EQ(0, t.error);
	GUEST_ASSERT_EQ(gva, t.cr2);
	guest_try(t, "mov %[p], 8(%[p])", [p] "r" (gva));
	GUEST_ASSERT_EQ(2, t.error);
	GUEST_ASSERT_EQ(gva + 8, t.cr2);
	/* Present and read-only. */
	gva += PAGE_4K;
	guest_try(t, "cmpb $0, (%[p])", [p] "r" (gva));
	GUEST_ASSERT_EQ(GUEST_NO_TRAP, t.vector);
	guest_try(t, "mov %[p], (%[p])", [p] "r" (gva));
	GUEST_ASSERT_EQ(X86_TRAP_PF, t.vector);
	GUEST_ASSERT_EQ(3, t.error);
	GUEST_ASSERT_EQ(gva, t.cr2);
	/* A reserved bit. */
	gva += PAGE_4K;
	guest_try(t, "cmpb $0, (%[p])", [p] "r" (gva));
	GUEST_ASSERT_EQ(X86_TRAP_PF, t.vector);
	/* QEMU's CPU does not set P here, hardware does. */
	GUEST_ASSERT_EQ(8, t.error & ~1UL);
	/* Across two pages, the second is not present: CR2 says where. */
	gva += PAGE_4K;
	guest_try(t, "cmpq $0, (%[p])", [p] "r" (gva + PAGE_4K - 4));
	GUEST_ASSERT_EQ(X86_TRAP_PF, t.vector);
	GUEST_ASSERT_EQ(gva + PAGE_4K, t.cr2);
}

#define GVA 0x8000000000UL

/* The guest's own page tables, at an address above the identity map. */
TEST_F(exc, guest_page_faults)
{
	u64 gpa = (u64)self->mem;

	guest_map(self->vm, GVA, 0, PAGE_4K, PAGE_4K, 0);
	guest_map(self->vm, GVA + PAGE_4K, gpa, PAGE_4K, PAGE_4K, PTE_P);
	guest_map(self->vm, GVA + 2 * PAGE_4K, gpa, PAGE_4K, PAGE_4K, PTE_P | PTE_W | BIT(51));
	guest_map(self->vm, GVA + 3 * PAGE_4K, gpa, PAGE_4K, PAGE_4K, PTE_P | PTE_W);
	vcpu_call(self->vcpu, guest_page_faults, (void *)GVA);
}

/* #PF on a fetch through NX, by a handler because RIP itself faults. */
struct fetch_log {
	u64 count, error, cr2, rip;
};

#define FETCH_LOG ((__volatile__ struct fetch_log *)TEST_MEM)

static void on_fetch_fault(struct guest_frame *f)
{
	FETCH_LOG->count++;
	FETCH_LOG->error = f->error;
	FETCH_LOG->cr2 = guest_read_cr2();
	FETCH_LOG->rip = f->rip;
	/* Return from the call. */
	f->rip = *(u64 *)f->rsp;
	f->rsp += 8;
}

static void guest_fetch(void *arg)
{
	guest_set_handler(X86_TRAP_PF, on_fetch_fault);
	((void (*)(void))arg)();
}

TEST_F(exc, no_execute)
{
	ASSERT_EQ(TEST_MEM, (u64)self->mem);
	emit_return(self->mem + PAGE_4K, 1);
	guest_map(self->vm, GVA, (u64)self->mem + PAGE_4K, PAGE_4K, PAGE_4K, PTE_P | PTE_NX);
	vcpu_call(self->vcpu, guest_fetch, (void *)GVA);
	EXPECT_EQ(1, FETCH_LOG->count);
	EXPECT_EQ(0x11, FETCH_LOG->error);
	EXPECT_EQ(GVA, FETCH_LOG->cr2);
	EXPECT_EQ(GVA, FETCH_LOG->rip);
}

/* --- traps: they come after the instruction --- */

struct trap_log {
	u64 count;
	u64 rip[16];
	u64 dr6[16];
	u64 vector[16];
};

#define TRAP_LOG ((__volatile__ struct trap_log *)TEST_MEM)

static void on_trap(struct guest_frame *f)
{
	u64 n = TRAP_LOG->count;
	u64 dr6;

	asm volatile("mov %%dr6, %0" : "=r" (dr6));
	asm volatile("mov %0, %%dr6" : : "r" (0xffff0ff0UL));
	if (n < 16) {
		TRAP_LOG->rip[n] = f->rip;
		TRAP_LOG->dr6[n] = dr6;
		TRAP_LOG->vector[n] = f->vector;
	}
	TRAP_LOG->count = n + 1;
	if (f->rflags & X86_RFLAGS_TF && n >= 4)
		f->rflags &= ~X86_RFLAGS_TF;
	/* An execution breakpoint would hit the same instruction again. */
	f->rflags |= X86_RFLAGS_RF;
}

static void guest_traps(void *arg)
{
	guest_set_handler(X86_TRAP_DB, on_trap);
	guest_set_handler(X86_TRAP_BP, on_trap);
	((void (*)(void))arg)();
}

/* int3; nop; ret */
TEST_F(exc, breakpoint_instruction)
{
	u8 *code = self->mem + PAGE_4K;

	memcpy(code, "\xcc\x90\xc3", 3);
	vcpu_call(self->vcpu, guest_traps, code);
	EXPECT_EQ(1, TRAP_LOG->count);
	EXPECT_EQ(X86_TRAP_BP, TRAP_LOG->vector[0]);
	EXPECT_EQ((u64)code + 1, TRAP_LOG->rip[0]);
}

/* pushf; orl $0x100, (%rsp); popf; nop; cpuid; out %al, $0x80; nop; ... ret */
TEST_F(exc, single_step)
{
	static const u8 code[] = {
		0x53, 0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d,	/* push %rbx; ... */
		0x90,				/* nop: no trap after popf itself */
		0x0f, 0xa2,			/* cpuid, which exits */
		0x90, 0x90, 0x90, 0x90, 0x90, 0x5b, 0xc3,
	};
	u8 *at = self->mem + PAGE_4K;
	int i;

	memcpy(at, code, sizeof(code));
	vcpu_call(self->vcpu, guest_traps, at);
	ASSERT_EQ(5, TRAP_LOG->count);
	/* After nop, after cpuid, and then each nop: nothing is stepped over. */
	EXPECT_EQ((u64)at + 11, TRAP_LOG->rip[0]);
	EXPECT_EQ((u64)at + 13, TRAP_LOG->rip[1]);
	EXPECT_EQ((u64)at + 14, TRAP_LOG->rip[2]);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(X86_TRAP_DB, TRAP_LOG->vector[i]);
		EXPECT_EQ(1UL << 14, TRAP_LOG->dr6[i] & 0xe00f);
	}
}

static void guest_debug_registers(void *arg)
{
	shared_u64 *data = (u64 *)(TEST_MEM + 2 * PAGE_4K);
	u64 v;

	guest_set_handler(X86_TRAP_DB, on_trap);
	/* DR0: writes of 8 bytes to *data. DR1: execution of @arg. */
	asm volatile("mov %0, %%dr0" : : "r" (data));
	asm volatile("mov %0, %%dr1" : : "r" (arg));
	asm volatile("mov %0, %%dr7" : : "r" (0x400UL | 2 << 0 | 2 << 2 | 9 << 16));
	asm volatile("mov %%dr0, %0" : "=r" (v));
	GUEST_ASSERT_EQ(data, v);
	GUEST_SYNC(1);
	*data = 1;
	GUEST_ASSERT_EQ(1, TRAP_LOG->count);
	GUEST_ASSERT_EQ(1, TRAP_LOG->dr6[0] & 0xf);
	((void (*)(void))arg)();
	GUEST_ASSERT_EQ(2, TRAP_LOG->count);
	GUEST_ASSERT_EQ(2, TRAP_LOG->dr6[1] & 0xf);
	GUEST_ASSERT_EQ(arg, TRAP_LOG->rip[1]);
	asm volatile("mov %0, %%dr7" : : "r" (0x400UL));
	*data = 2;
	GUEST_ASSERT_EQ(2, TRAP_LOG->count);
}

TEST_F(exc, debug_registers)
{
	u8 *code = self->mem + PAGE_4K;

	emit_return(code, 1);
	vcpu_call(self->vcpu, guest_debug_registers, code);
}

/* --- delivery that faults itself --- */

struct delivery {
	u8 *stack;	/* top of a stack that nobody has touched */
	u64 error, cr2, vector, count;
};

#define DELIVERY ((__volatile__ struct delivery *)TEST_MEM)

static void on_delivery(struct guest_frame *f)
{
	DELIVERY->vector = f->vector;
	DELIVERY->error = f->error;
	DELIVERY->cr2 = guest_read_cr2();
	DELIVERY->count++;
	f->rip += 3;	/* mov (%rdi), %rax */
}

/* Raises #PF with RSP on the untouched stack. */
static void guest_fault_on_new_stack(void *arg)
{
	guest_set_handler(X86_TRAP_PF, on_delivery);
	asm volatile("mov %%rsp, %%r12\n\t"
		     "mov %[stack], %%rsp\n\t"
		     ".byte 0x48, 0x8b, 0x07\n\t"	/* mov (%rdi), %rax */
		     "mov %%r12, %%rsp"
		     : : [stack] "r" (DELIVERY->stack), "D" (GVA)
		     : "rax", "r12", "memory");
}

static void check_delivery(struct __test_metadata *_metadata)
{
	EXPECT_EQ(1, DELIVERY->count);
	EXPECT_EQ(X86_TRAP_PF, DELIVERY->vector);
	EXPECT_EQ(0, DELIVERY->error);
	EXPECT_EQ(GVA, DELIVERY->cr2);
}

TEST_F(exc, stack_not_mapped)
{
	u8 *stack = vm_mem(self->vm, 4 * PAGE_4K);

	DELIVERY->stack = stack + 2 * PAGE_4K;
	vcpu_call(self->vcpu, guest_fault_on_new_stack, NULL);
	check_delivery(_metadata);
	EXPECT_TRUE(page_present(stack + PAGE_4K));
}

/* The frame crosses a page border, so delivery faults twice. */
TEST_F(exc, stack_across_two_pages)
{
	u8 *stack = vm_mem(self->vm, 4 * PAGE_4K);

	DELIVERY->stack = stack + 2 * PAGE_4K + 16;
	vcpu_call(self->vcpu, guest_fault_on_new_stack, NULL);
	check_delivery(_metadata);
}

/* The IDT and the TSS vanish from the nested tables: the page was dropped. */
TEST_F(exc, idt_not_mapped)
{
	u8 *idt = vm_mem(self->vm, PAGE_4K);
	u8 *stack = vm_mem(self->vm, 4 * PAGE_4K);
	struct kvm_sregs s;

	DELIVERY->stack = stack + 2 * PAGE_4K;
	vcpu_start(self->vcpu, guest_fault_on_new_stack, NULL);
	vcpu_get_sregs(self->vcpu, &s);
	memcpy(idt, boot_hva(self->vm, s.idt.base), PAGE_4K);
	s.idt.base = (u64)idt;
	vcpu_set_sregs(self->vcpu, &s);
	vcpu_done(self->vcpu);
	check_delivery(_metadata);
}

/* The stack of the delivery is gone for good, then it is back. */
TEST_F(exc, stack_is_gone_and_comes_back)
{
	u8 *stack = vm_mem(self->vm, 4 * PAGE_4K);

	DELIVERY->stack = stack + 2 * PAGE_4K;
	ASSERT_EQ(0, mprotect(stack, 4 * PAGE_4K, PROT_NONE));
	vcpu_start(self->vcpu, guest_fault_on_new_stack, NULL);
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	EXPECT_EQ(0, DELIVERY->count);
	ASSERT_EQ(0, mprotect(stack, 4 * PAGE_4K, PROT_READ | PROT_WRITE));
	vcpu_done(self->vcpu);
	check_delivery(_metadata);
}

/* INT n: the software interrupt is re-executed, with RIP behind it. */
static void on_int(struct guest_frame *f)
{
	DELIVERY->count++;
	DELIVERY->vector = f->vector;
	DELIVERY->cr2 = f->rip;
}

static void guest_int_on_new_stack(void *arg)
{
	guest_set_handler(0x80, on_int);
	asm volatile("mov %%rsp, %%r12\n\t"
		     "mov %[stack], %%rsp\n\t"
		     "lea 1f(%%rip), %%r13\n\t"
		     "int $0x80\n"
		     "1:\tmov %%r12, %%rsp\n\t"
		     "mov %%r13, %[rip]"
		     : [rip] "=m" (*(u64 *)(TEST_MEM + 512))
		     : [stack] "r" (DELIVERY->stack)
		     : "rax", "r12", "r13", "memory");
}

TEST_F(exc, software_interrupt_on_unmapped_stack)
{
	u8 *stack = vm_mem(self->vm, 4 * PAGE_4K);

	DELIVERY->stack = stack + 2 * PAGE_4K;
	vcpu_call(self->vcpu, guest_int_on_new_stack, NULL);
	EXPECT_EQ(1, DELIVERY->count);
	EXPECT_EQ(0x80, DELIVERY->vector);
	EXPECT_EQ(*(u64 *)(self->mem + 512), DELIVERY->cr2);
}

UMBRA_TEST_MAIN
