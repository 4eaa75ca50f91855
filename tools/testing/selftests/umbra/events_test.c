// SPDX-License-Identifier: GPL-2.0-only
/*
 * What waits to be delivered to a vCPU. Proves that an exception that was raised, and was
 * not delivered when userspace looks, is shown by KVM_GET_VCPU_EVENTS and taken over by
 * another vCPU, with its error code and what it does to CR2 or DR6, whether those show it
 * already or wait for the delivery (KVM_CAP_EXCEPTION_PAYLOAD); that an interrupt beside it
 * is not lost; and that a triple fault is shown and moves (KVM_CAP_X86_TRIPLE_FAULT_EVENT).
 */
#include "test.h"

#define GVA 0x8000000000UL
#define MMIO 0x40000000UL
#define VECTOR 0x55
#define DR6 0xffff0ff0UL
#define DR6_BS BIT(14)
#define PAYLOAD KVM_VCPUEVENT_VALID_PAYLOAD
#define TRIPLE KVM_VCPUEVENT_VALID_TRIPLE_FAULT

FIXTURE(events) {
	struct vm *vm;
	struct vcpu *vcpu;
	struct vcpu *other;
	u8 *mem;
};

FIXTURE_SETUP(events)
{
	if (!node_has(KVM_CAP_EXCEPTION_PAYLOAD) || !node_has(KVM_CAP_X86_TRIPLE_FAULT_EVENT))
		TEST_SKIP("no KVM_CAP_EXCEPTION_PAYLOAD or KVM_CAP_X86_TRIPLE_FAULT_EVENT");
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->other = vcpu_create(self->vm, 1);
	self->mem = vm_mem(self->vm, PAGE_2M);
	guest_map(self->vm, GVA, 0, PAGE_4K, PAGE_4K, 0);
}

FIXTURE_TEARDOWN(events)
{
	vm_free(self->vm);
}

static struct kvm_vcpu_events get_events(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events))
		die("KVM_GET_VCPU_EVENTS");
	return events;
}

static int set_events(struct vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	return ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, events) ? -errno : 0;
}

static u64 dr6_of(struct vcpu *vcpu)
{
	struct kvm_debugregs regs;

	if (ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &regs))
		die("KVM_GET_DEBUGREGS");
	return regs.dr6;
}

static u64 cr2_of(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	return sregs.cr2;
}

/* All of @from becomes @to's; events last, because KVM_SET_REGS drops an exception. */
static void move(struct vcpu *from, struct vcpu *to)
{
	struct kvm_vcpu_events events = get_events(from);
	struct kvm_debugregs debug;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_get_sregs(from, &sregs);
	vcpu_get_regs(from, &regs);
	memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));
	if (events.interrupt.injected)
		sregs.interrupt_bitmap[events.interrupt.nr / 64] = BIT(events.interrupt.nr % 64);
	vcpu_set_sregs(to, &sregs);
	vcpu_set_regs(to, &regs);
	if (ioctl(from->fd, KVM_GET_DEBUGREGS, &debug) ||
	    ioctl(to->fd, KVM_SET_DEBUGREGS, &debug) || set_events(to, &events))
		die("KVM_SET_DEBUGREGS or KVM_SET_VCPU_EVENTS");
}

/* What the guest's handlers have seen; [0] of exceptions, [1] of interrupts. */
struct seen {
	u64 count, vector, error, rip, cr2, dr6;
};

#define SEEN ((__volatile__ struct seen *)TEST_MEM)

static void on_trap(struct guest_frame *f)
{
	__volatile__ struct seen *seen = SEEN + (f->vector == VECTOR);
	u64 dr6;

	asm volatile("mov %%dr6, %0" : "=r" (dr6));
	seen->count++;
	seen->vector = f->vector;
	seen->error = f->error;
	seen->rip = f->rip;
	seen->cr2 = guest_read_cr2();
	seen->dr6 = dr6;
	f->rflags &= ~X86_RFLAGS_TF;
	/* Behind the MOVSB. */
	if (f->vector == X86_TRAP_PF)
		f->rip++;
}

static void set_handlers(struct vm *vm)
{
	vm_set_handler(vm, X86_TRAP_PF, on_trap);
	vm_set_handler(vm, X86_TRAP_DB, on_trap);
	vm_set_handler(vm, VECTOR, on_trap);
}

/* An emulated instruction that reads from userspace and then faults. */
static void guest_faults(void *arg)
{
	asm volatile("sti\n"
		     "events_movsb: movsb\n"
		     "cli" : : "S" (MMIO), "D" (GVA) : "memory");
}

/* At the MOVSB, whose #PF was raised and not delivered. */
static void raise_page_fault(struct __test_metadata *_metadata, FIXTURE_DATA(events) * self,
			     bool interrupt)
{
	struct kvm_interrupt irq = { .irq = VECTOR };
	struct kvm_run *run = self->vcpu->run;

	set_handlers(self->vm);
	vcpu_start(self->vcpu, guest_faults, NULL);
	ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
	ASSERT_EQ(KVM_EXIT_MMIO, run->exit_reason);
	if (interrupt)
		ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq));
	run->immediate_exit = 1;
	EXPECT_EQ(-EINTR, vcpu_run(self->vcpu));
	run->immediate_exit = 0;
}

#define EXPECT_PF_SEEN() do {							\
	EXPECT_EQ(1, SEEN->count);						\
	EXPECT_EQ(X86_TRAP_PF, SEEN->vector);					\
	EXPECT_EQ(2, SEEN->error);						\
	EXPECT_EQ(LABEL(events_movsb), SEEN->rip);				\
	EXPECT_EQ(GVA, SEEN->cr2);						\
} while (0)

TEST_F(events, page_fault)
{
	struct kvm_vcpu_events events;

	raise_page_fault(_metadata, self, false);
	events = get_events(self->vcpu);
	EXPECT_EQ(0, events.flags & (PAYLOAD | TRIPLE));
	EXPECT_EQ(1, events.exception.injected);
	EXPECT_EQ(0, events.exception.pending);
	EXPECT_EQ(0, events.exception_has_payload);
	EXPECT_EQ(GVA, cr2_of(self->vcpu));
	move(self->vcpu, self->other);
	vcpu_done(self->other);
	EXPECT_PF_SEEN();
}

TEST_F(events, page_fault_with_payload)
{
	struct kvm_vcpu_events events;

	ASSERT_EQ(0, vm_enable_cap(self->vm, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	raise_page_fault(_metadata, self, false);
	events = get_events(self->vcpu);
	EXPECT_EQ(PAYLOAD, events.flags & (PAYLOAD | TRIPLE));
	EXPECT_EQ(0, events.exception.injected);
	EXPECT_EQ(1, events.exception.pending);
	EXPECT_EQ(X86_TRAP_PF, events.exception.nr);
	EXPECT_EQ(1, events.exception.has_error_code);
	EXPECT_EQ(2, events.exception.error_code);
	EXPECT_EQ(1, events.exception_has_payload);
	EXPECT_EQ(GVA, events.exception_payload);
	EXPECT_EQ(0, cr2_of(self->vcpu));
	move(self->vcpu, self->other);
	EXPECT_EQ(0, cr2_of(self->other));
	vcpu_done(self->other);
	EXPECT_PF_SEEN();
	EXPECT_EQ(GVA, cr2_of(self->other));
	EXPECT_EQ(0, get_events(self->other).exception.pending);
}

/* Without the capability again, the effect is no longer held back. */
TEST_F(events, payload_is_switched_off)
{
	struct kvm_vcpu_events events;

	ASSERT_EQ(0, vm_enable_cap(self->vm, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	raise_page_fault(_metadata, self, false);
	ASSERT_EQ(0, vm_enable_cap(self->vm, KVM_CAP_EXCEPTION_PAYLOAD, 0));
	events = get_events(self->vcpu);
	EXPECT_EQ(1, events.exception.injected);
	EXPECT_EQ(0, events.exception_has_payload);
	EXPECT_EQ(GVA, cr2_of(self->vcpu));
	move(self->vcpu, self->other);
	vcpu_done(self->other);
	EXPECT_PF_SEEN();
}

TEST_F(events, interrupt_beside_an_exception)
{
	struct kvm_vcpu_events events;

	ASSERT_EQ(0, vm_enable_cap(self->vm, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	raise_page_fault(_metadata, self, true);
	events = get_events(self->vcpu);
	EXPECT_EQ(1, events.exception.pending);
	EXPECT_EQ(1, events.interrupt.injected);
	EXPECT_EQ(VECTOR, events.interrupt.nr);
	move(self->vcpu, self->other);
	vcpu_done(self->other);
	EXPECT_PF_SEEN();
	EXPECT_EQ(1, SEEN[1].count);
}

/* A port write with TF set: its #DB waits while userspace does it. */
static void guest_steps(void *arg)
{
	asm volatile("pushf\n"
		     "orl $0x100, (%%rsp)\n"
		     "popf\n"
		     "outb %%al, $0x80\n"
		     "events_stepped: nop" : : : "memory", "cc");
}

TEST_F(events, debug_trap_with_payload)
{
	struct kvm_vcpu_events events;
	struct kvm_run *run = self->vcpu->run;

	ASSERT_EQ(0, vm_enable_cap(self->vm, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	set_handlers(self->vm);
	vcpu_start(self->vcpu, guest_steps, NULL);
	ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
	ASSERT_EQ(KVM_EXIT_IO, run->exit_reason);
	run->immediate_exit = 1;
	EXPECT_EQ(-EINTR, vcpu_run(self->vcpu));
	events = get_events(self->vcpu);
	EXPECT_EQ(1, events.exception.pending);
	EXPECT_EQ(X86_TRAP_DB, events.exception.nr);
	EXPECT_EQ(1, events.exception_has_payload);
	EXPECT_EQ(DR6_BS, events.exception_payload);
	EXPECT_EQ(DR6, dr6_of(self->vcpu));
	move(self->vcpu, self->other);
	EXPECT_EQ(DR6, dr6_of(self->other));
	vcpu_done(self->other);
	EXPECT_EQ(1, SEEN->count);
	EXPECT_EQ(X86_TRAP_DB, SEEN->vector);
	EXPECT_EQ(LABEL(events_stepped), SEEN->rip);
	EXPECT_EQ(DR6 | DR6_BS, SEEN->dr6);
}

static void guest_waits(void *arg)
{
	GUEST_SYNC(1);
	asm volatile("events_waited: nop");
}

/* What was delivered to CR2 already has no payload; bits that DR6 has not do not get there. */
TEST_F(events, userspace_injects)
{
	struct kvm_vcpu_events events;

	ASSERT_EQ(0, vm_enable_cap(self->vm, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	set_handlers(self->vm);
	vcpu_start(self->vcpu, guest_waits, NULL);
	vcpu_sync(self->vcpu, 1);
	events = get_events(self->vcpu);
	events.exception.injected = 1;
	events.exception.nr = X86_TRAP_DB;
	events.exception_has_payload = 1;
	events.exception_payload = DR6_BS;
	ASSERT_EQ(0, set_events(self->vcpu, &events));
	events = get_events(self->vcpu);
	EXPECT_EQ(1, events.exception.injected);
	EXPECT_EQ(0, events.exception_has_payload);
	events.exception.pending = 1;
	events.exception_has_payload = 1;
	events.exception_payload = ~0UL;
	ASSERT_EQ(0, set_events(self->vcpu, &events));
	EXPECT_EQ(0, get_events(self->vcpu).exception.injected);
	vcpu_done(self->vcpu);
	EXPECT_EQ(1, SEEN->count);
	EXPECT_EQ(DR6 | 0xe00f, SEEN->dr6);
}

TEST_F(events, triple_fault)
{
	struct kvm_vcpu_events events;
	struct vcpu *vcpu = self->vcpu;

	ASSERT_EQ(0, vm_enable_cap(self->vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1));
	vcpu_start(vcpu, guest_waits, NULL);
	vcpu_sync(vcpu, 1);
	events = get_events(vcpu);
	EXPECT_EQ(TRIPLE, events.flags & (PAYLOAD | TRIPLE));
	EXPECT_EQ(0, events.triple_fault.pending);
	events.triple_fault.pending = 1;
	ASSERT_EQ(0, set_events(vcpu, &events));
	EXPECT_EQ(1, get_events(vcpu).triple_fault.pending);
	/* It moves, and can be taken back. */
	move(vcpu, self->other);
	events.triple_fault.pending = 0;
	ASSERT_EQ(0, set_events(vcpu, &events));
	vcpu_done(vcpu);
	ASSERT_EQ(0, vcpu_run(self->other));
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, self->other->run->exit_reason);
	EXPECT_EQ(0, get_events(self->other).triple_fault.pending);
}

/* A machine check that the guest cannot take. */
TEST_F(events, triple_fault_is_shown)
{
	struct kvm_x86_mce mce = { .status = BIT(63) | BIT(61) };
	u64 banks = 1;

	ASSERT_EQ(0, vm_enable_cap(self->vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1));
	vcpu_start(self->vcpu, guest_waits, NULL);
	vcpu_sync(self->vcpu, 1);
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_X86_SETUP_MCE, &banks));
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_X86_SET_MCE, &mce));
	EXPECT_EQ(1, get_events(self->vcpu).triple_fault.pending);
	ASSERT_EQ(0, vm_enable_cap(self->vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 0));
	EXPECT_EQ(0, get_events(self->vcpu).triple_fault.pending);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, self->vcpu->run->exit_reason);
}

TEST_F(events, refusals)
{
	struct kvm_vcpu_events events = get_events(self->vcpu), bad;

	EXPECT_EQ(0, events.flags & (PAYLOAD | TRIPLE));
	bad = events;
	bad.flags |= PAYLOAD;
	EXPECT_EQ(-EINVAL, set_events(self->vcpu, &bad));
	bad.flags = events.flags | TRIPLE;
	EXPECT_EQ(-EINVAL, set_events(self->vcpu, &bad));
	/* Nobody looks at these without the flag. */
	bad.flags = events.flags;
	bad.exception.pending = 1;
	bad.exception.nr = 32;
	EXPECT_EQ(0, set_events(self->vcpu, &bad));
	ASSERT_EQ(0, vm_enable_cap(self->vm, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	bad.flags |= PAYLOAD;
	EXPECT_EQ(-EINVAL, set_events(self->vcpu, &bad));
	bad.exception.nr = X86_TRAP_NMI;
	EXPECT_EQ(-EINVAL, set_events(self->vcpu, &bad));
}

UMBRA_TEST_MAIN
