// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts and NMIs from outside. Proves that KVM_INTERRUPT reaches the
 * guest's handler exactly once for each call, that the interrupt window opens
 * when the guest lets interrupts in and not in the shadow of STI, that an
 * interrupt whose delivery runs into a nested page fault is neither lost nor
 * doubled, and that an NMI waits for the end of the one before.
 */
#include "test.h"

FIXTURE(inject) {
	struct vm *vm;
	struct vcpu *vcpu;
	shared_u64 *shared;	/* [0] count, [1] rip, [2] depth, [3] deepest */
};

#define VECTOR 0x41
#define SHARED ((shared_u64 *)TEST_MEM)

FIXTURE_SETUP(inject)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->shared = vm_mem(self->vm, PAGE_2M);
	ASSERT_EQ((u64)SHARED, (u64)self->shared);
}

FIXTURE_TEARDOWN(inject)
{
	vm_free(self->vm);
}

static int interrupt(struct vcpu *vcpu, u32 vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	return ioctl(vcpu->fd, KVM_INTERRUPT, &irq) ? -errno : 0;
}

static void on_interrupt(struct guest_frame *f)
{
	SHARED[0]++;
	SHARED[1] = f->rip;
}

static void guest_open(void *arg)
{
	u64 i;

	asm volatile("sti; nop");
	for (i = 0; i < (u64)arg; i++)
		GUEST_SYNC(i);
	asm volatile("cli");
}

TEST_F(inject, once_for_each_call)
{
	const u64 n = 100;
	u64 i;

	vm_set_handler(self->vm, VECTOR, on_interrupt);
	vcpu_start(self->vcpu, guest_open, (void *)n);
	for (i = 0; i < n; i++) {
		vcpu_sync(self->vcpu, i);
		EXPECT_EQ(i, self->shared[0]);
		EXPECT_EQ(1, self->vcpu->run->ready_for_interrupt_injection);
		ASSERT_EQ(0, interrupt(self->vcpu, VECTOR));
	}
	vcpu_done(self->vcpu);
	EXPECT_EQ(n, self->shared[0]);
}

static void guest_window(void *arg)
{
	GUEST_SYNC(1);
	asm volatile("sti\n"
		     "nop\n"
		     "window_after: nop; nop; nop; nop\n"
		     "window_end: cli");
	GUEST_SYNC(2);
}

TEST_F(inject, window)
{
	struct kvm_run *run = self->vcpu->run;
	struct kvm_regs regs;

	vm_set_handler(self->vm, VECTOR, on_interrupt);
	vcpu_start(self->vcpu, guest_window, NULL);
	run->request_interrupt_window = 1;
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(0, run->ready_for_interrupt_injection);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, run->exit_reason);
	EXPECT_EQ(1, run->ready_for_interrupt_injection);
	EXPECT_EQ(1, run->if_flag);
	/* The instruction after STI was still in its shadow. */
	vcpu_get_regs(self->vcpu, &regs);
	EXPECT_LE(LABEL(window_after), regs.rip);
	EXPECT_GE(LABEL(window_end), regs.rip);
	run->request_interrupt_window = 0;
	ASSERT_EQ(0, interrupt(self->vcpu, VECTOR));
	vcpu_sync(self->vcpu, 2);
	EXPECT_EQ(1, self->shared[0]);
	EXPECT_EQ(regs.rip, self->shared[1]);
	vcpu_done(self->vcpu);
}

TEST_F(inject, no_window_while_closed)
{
	struct kvm_run *run = self->vcpu->run;

	agent_start(self->vcpu);
	run->request_interrupt_window = 1;
	agent_write(self->vcpu, SHARED + 10, 8, 1);
	EXPECT_EQ(0, run->ready_for_interrupt_injection);
	EXPECT_EQ(0, run->if_flag);
}

/* HLT with interrupts on: the interrupt ends it. */
static void guest_halt(void *arg)
{
	asm volatile("sti; hlt; cli");
	GUEST_ASSERT_EQ(1, SHARED[0]);
}

TEST_F(inject, ends_hlt)
{
	vm_set_handler(self->vm, VECTOR, on_interrupt);
	vcpu_start(self->vcpu, guest_halt, NULL);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_HLT, self->vcpu->run->exit_reason);
	EXPECT_EQ(1, self->vcpu->run->ready_for_interrupt_injection);
	ASSERT_EQ(0, interrupt(self->vcpu, VECTOR));
	vcpu_done(self->vcpu);
}

/* --- delivery onto a stack that is not mapped --- */

static void guest_on_new_stacks(void *arg)
{
	u8 *stack = arg;
	int i;

	asm volatile("mov %%rsp, %%r12" : : : "r12");
	for (i = 0; i < 64; i++) {
		u8 *top = stack + (i + 1) * PAGE_4K;

		/* The port write must not need the stack that is under test. */
		asm volatile("mov %%rsp, %%r13\n\t"
			     "mov %[top], %%rsp\n\t"
			     "sti\n\t"
			     "nop\n\t"
			     "outb %%al, $0x42\n\t"
			     "nop\n\t"
			     "cli\n\t"
			     "mov %%r13, %%rsp"
			     : : [top] "r" (top), "a" (i) : "r13", "memory");
	}
}

TEST_F(inject, stack_not_mapped)
{
	struct kvm_run *run = self->vcpu->run;
	u8 *stack = vm_mem(self->vm, 64 * PAGE_4K);
	int i;

	vm_set_handler(self->vm, VECTOR, on_interrupt);
	vcpu_start(self->vcpu, guest_on_new_stacks, stack);
	for (i = 0; i < 64; i++) {
		ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
		ASSERT_EQ(KVM_EXIT_IO, run->exit_reason);
		ASSERT_EQ(0x42, run->io.port);
		EXPECT_EQ(i, self->shared[0]);
		ASSERT_EQ(0, interrupt(self->vcpu, VECTOR));
	}
	vcpu_done(self->vcpu);
	EXPECT_EQ(64, self->shared[0]);
	EXPECT_EQ(64, pages_present(stack, 64 * PAGE_4K));
}

/* The memory for it is gone: the interrupt waits until the host has it again. */
TEST_F(inject, stack_is_gone_and_comes_back)
{
	struct kvm_run *run = self->vcpu->run;
	struct kvm_sregs sregs;
	u8 *stack = vm_mem(self->vm, 64 * PAGE_4K);

	vm_set_handler(self->vm, VECTOR, on_interrupt);
	vcpu_start(self->vcpu, guest_on_new_stacks, stack);
	ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
	ASSERT_EQ(0x42, run->io.port);
	ASSERT_EQ(0, mprotect(stack, PAGE_4K, PROT_NONE));
	ASSERT_EQ(0, interrupt(self->vcpu, VECTOR));
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	EXPECT_EQ(0, self->shared[0]);
	/* It is in the bitmap, and once. */
	vcpu_get_sregs(self->vcpu, &sregs);
	EXPECT_EQ(BIT(VECTOR % 64), sregs.interrupt_bitmap[VECTOR / 64]);
	vcpu_set_sregs(self->vcpu, &sregs);
	ASSERT_EQ(0, mprotect(stack, PAGE_4K, PROT_READ | PROT_WRITE));
	ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
	ASSERT_EQ(0x42, run->io.port);
	EXPECT_EQ(1, self->shared[0]);
}

/* --- NMI --- */

static void on_nmi(struct guest_frame *f)
{
	SHARED[2]++;
	if (SHARED[2] > SHARED[3])
		SHARED[3] = SHARED[2];
	SHARED[0]++;
	if (SHARED[0] == 1)
		GUEST_SYNC(100);
	SHARED[2]--;
}

static void guest_nmi(void *arg)
{
	u64 i;

	/* NMIs come with interrupts off. */
	for (i = 0; i < 5; i++)
		GUEST_SYNC(i);
}

TEST_F(inject, nmi)
{
	if (!node_has(KVM_CAP_USER_NMI))
		TEST_SKIP("no KVM_CAP_USER_NMI");
	vm_set_handler(self->vm, X86_TRAP_NMI, on_nmi);
	vcpu_start(self->vcpu, guest_nmi, NULL);
	vcpu_sync(self->vcpu, 0);
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_NMI, 0));
	vcpu_sync(self->vcpu, 100);
	/* In the handler: the next one waits for its IRET. */
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_NMI, 0));
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(2, self->shared[0]);
	EXPECT_EQ(1, self->shared[3]);
	vcpu_done(self->vcpu);
	EXPECT_EQ(2, self->shared[0]);
}

UMBRA_TEST_MAIN
