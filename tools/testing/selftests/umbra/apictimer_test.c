// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's timer in its three modes. Proves that one shot is one interrupt, that
 * a periodic timer goes on and keeps its pace, that a TSC deadline fires when it is due
 * and at once when it is past, that none of thousands of ticks is lost, that masking,
 * stopping and a change of the mode do what they should, that the count goes down at the
 * divider's pace, and that the timer goes on in another VM.
 */
#include "test.h"
#include "apic.h"

FIXTURE(timer) {
	struct vm *vm;
	struct vcpu *vcpu;
	shared_u64 *shared;
};

FIXTURE_VARIANT(timer) {
	bool x2;
};

FIXTURE_VARIANT_ADD(timer, xapic) { .x2 = false };
FIXTURE_VARIANT_ADD(timer, x2apic) { .x2 = true };

#define SHARED ((shared_u64 *)TEST_MEM)
#define X2 SHARED[0]
#define TICKS SHARED[1]
#define STEP SHARED[2]
#define LAST SHARED[3]
#define EARLY SHARED[4]
#define VECTOR 0x40

FIXTURE_SETUP(timer)
{
	self->vm = vm_irqchip(false);
	if (!self->vm)
		TEST_SKIP("no local APIC in the kernel");
	self->vcpu = vcpu_create(self->vm, 0);
	vcpu_cpuid_deadline(self->vcpu);
	self->shared = vm_mem(self->vm, PAGE_2M);
	ASSERT_EQ((u64)SHARED, (u64)self->shared);
	X2 = variant->x2;
}

FIXTURE_TEARDOWN(timer)
{
	vm_free(self->vm);
}

static void on_tick(struct guest_frame *f)
{
	TICKS = TICKS + 1;
	apic_write(X2, APIC_EOI, 0);
}

static void timer_on(u32 mode)
{
	apic_on(X2);
	apic_write(X2, APIC_TDCR, TDCR_1);
	apic_write(X2, APIC_LVTT, mode | VECTOR);
}

static void guest_oneshot(void *arg)
{
	u64 n = (u64)arg, i;

	timer_on(TIMER_ONESHOT);
	for (i = 0; i < n; i++) {
		apic_write(X2, APIC_TMICT, 20000);
		guest_halt();
		GUEST_ASSERT_EQ(i + 1, TICKS);
		GUEST_ASSERT_EQ(0, apic_read(X2, APIC_TMCCT));
	}
	/* And no more. */
	apic_write(X2, APIC_TMICT, 1000);
	guest_halt();
	guest_sti();
	for (i = 0; i < 200000; i++)
		guest_pause();
	guest_cli();
	GUEST_ASSERT_EQ(n + 1, TICKS);
}

TEST_F(timer, oneshot)
{
	vm_set_handler(self->vm, VECTOR, on_tick);
	vcpu_start(self->vcpu, guest_oneshot, (void *)(test_long() ? 20000UL : 2000UL));
	vcpu_done(self->vcpu);
}

static void guest_periodic(void *arg)
{
	u64 n = (u64)arg, from;

	timer_on(TIMER_PERIODIC);
	apic_write(X2, APIC_TMICT, 500000);
	from = guest_rdtsc();
	while (TICKS < n)
		guest_halt();
	LAST = guest_rdtsc() - from;
	/* Masked, the counter goes on. */
	apic_write(X2, APIC_LVTT, TIMER_PERIODIC | LVT_MASKED | VECTOR);
	n = TICKS;
	guest_sti();
	GUEST_ASSERT_EQ(true, apic_read(X2, APIC_TMCCT) <= 500000);
	for (from = 0; from < 300000; from++)
		guest_pause();
	GUEST_ASSERT_EQ(true, TICKS <= n + 1);
	guest_cli();
	/* 0 stops it. */
	apic_write(X2, APIC_LVTT, TIMER_PERIODIC | VECTOR);
	apic_write(X2, APIC_TMICT, 0);
	guest_sti();
	asm volatile("nop");
	n = TICKS;
	GUEST_ASSERT_EQ(0, apic_read(X2, APIC_TMCCT));
	for (from = 0; from < 300000; from++)
		guest_pause();
	GUEST_ASSERT_EQ(n, TICKS);
	guest_cli();
}

TEST_F(timer, periodic)
{
	const u64 n = test_long() ? 10000 : 2000;
	long khz = ioctl(self->vcpu->fd, KVM_GET_TSC_KHZ, 0);
	u64 us;

	vm_set_handler(self->vm, VECTOR, on_tick);
	vcpu_start(self->vcpu, guest_periodic, (void *)n);
	vcpu_done(self->vcpu);
	ASSERT_GT(khz, 0);
	us = LAST * 1000 / khz;
	/* Never ahead of time; behind it when the host is busy. */
	EXPECT_GE(us, (n - 1) * 500);
}

static void on_deadline(struct guest_frame *f)
{
	u64 now = guest_rdtsc();

	TICKS = TICKS + 1;
	if (now < LAST)
		EARLY = EARLY + 1;
	apic_write(X2, APIC_EOI, 0);
}

static void guest_deadline(void *arg)
{
	u64 n = (u64)arg, i;

	/* Not in that mode: without effect. */
	timer_on(TIMER_ONESHOT);
	guest_wrmsr(TSC_DEADLINE_MSR, 1);
	GUEST_ASSERT_EQ(0, guest_rdmsr(TSC_DEADLINE_MSR));
	timer_on(TIMER_DEADLINE);
	apic_write(X2, APIC_TMICT, 1000);
	GUEST_ASSERT_EQ(0, apic_read(X2, APIC_TMICT));
	for (i = 0; i < n; i++) {
		LAST = guest_rdtsc() + STEP;
		guest_wrmsr(TSC_DEADLINE_MSR, LAST);
		guest_halt();
		GUEST_ASSERT_EQ(i + 1, TICKS);
		GUEST_ASSERT_EQ(0, guest_rdmsr(TSC_DEADLINE_MSR));
	}
	/* In the past: now. */
	guest_wrmsr(TSC_DEADLINE_MSR, 1);
	guest_halt();
	GUEST_ASSERT_EQ(n + 1, TICKS);
	/* Far away, and taken back. */
	guest_wrmsr(TSC_DEADLINE_MSR, ~0UL);
	GUEST_ASSERT_EQ(~0UL, guest_rdmsr(TSC_DEADLINE_MSR));
	guest_wrmsr(TSC_DEADLINE_MSR, 0);
	GUEST_ASSERT_EQ(0, guest_rdmsr(TSC_DEADLINE_MSR));
	/* Another mode forgets it. */
	guest_wrmsr(TSC_DEADLINE_MSR, guest_rdtsc() + (1UL << 40));
	apic_write(X2, APIC_LVTT, TIMER_ONESHOT | VECTOR);
	GUEST_ASSERT_EQ(0, guest_rdmsr(TSC_DEADLINE_MSR));
	/* The TSC jumps over it. */
	apic_write(X2, APIC_LVTT, TIMER_DEADLINE | VECTOR);
	LAST = guest_rdtsc() + (1UL << 50);
	guest_wrmsr(TSC_DEADLINE_MSR, LAST);
	guest_wrmsr(0x10, LAST + 1);
	guest_halt();
	GUEST_ASSERT_EQ(n + 2, TICKS);
}

TEST_F(timer, tsc_deadline)
{
	const u64 n = test_long() ? 20000 : 2000;
	long khz = ioctl(self->vcpu->fd, KVM_GET_TSC_KHZ, 0);

	if (!node_has(KVM_CAP_TSC_DEADLINE_TIMER))
		TEST_SKIP("no deadline mode");
	STEP = khz / 20;
	vm_set_handler(self->vm, VECTOR, on_deadline);
	vcpu_start(self->vcpu, guest_deadline, (void *)n);
	vcpu_done(self->vcpu);
	EXPECT_GE(n / 10, EARLY);
}

/* Ticks while the guest works: it is interrupted, and its registers are as before. */
static void guest_busy(void *arg)
{
	u64 n = (u64)arg, a = 1, b = 2;

	timer_on(TIMER_PERIODIC);
	apic_write(X2, APIC_TMICT, 300000);
	guest_sti();
	while (TICKS < n) {
		a = a * 6364136223846793005UL + 1442695040888963407UL;
		b = b * 6364136223846793005UL + 1442695040888963407UL;
		GUEST_ASSERT_EQ(true, a != b);
	}
	guest_cli();
}

TEST_F(timer, interrupts_a_busy_guest)
{
	vm_set_handler(self->vm, VECTOR, on_tick);
	vcpu_start(self->vcpu, guest_busy, (void *)1000);
	vcpu_done(self->vcpu);
}

static void guest_divider(void *arg)
{
	u64 t, a, b, i;

	apic_on(X2);
	apic_write(X2, APIC_LVTT, LVT_MASKED | VECTOR);
	for (i = 0; i < 8; i++) {
		/* 1, 2, 4, ... 128 */
		apic_write(X2, APIC_TDCR, i ? ((i - 1) & 3) | ((i - 1) & 4) << 1 : TDCR_1);
		apic_write(X2, APIC_TMICT, 0xffffffff);
		t = guest_rdtsc();
		a = apic_read(X2, APIC_TMCCT);
		while (guest_rdtsc() - t < STEP)
			;
		b = apic_read(X2, APIC_TMCCT);
		SHARED[16 + i] = (a - b) << i;
	}
}

TEST_F(timer, divider)
{
	long khz = ioctl(self->vcpu->fd, KVM_GET_TSC_KHZ, 0);
	int i;

	/* 10 ms, which is 10 million counts of 1 ns; the host may stop the guest in it. */
	STEP = khz * 10;
	vcpu_call(self->vcpu, guest_divider, NULL);
	for (i = 0; i < 8; i++) {
		EXPECT_LE(9900000, SHARED[16 + i]);
		EXPECT_GE(100000000, SHARED[16 + i]);
	}
}

static void guest_moves(void *arg)
{
	timer_on(TIMER_PERIODIC);
	apic_write(X2, APIC_TMICT, 1000000);
	GUEST_SYNC(1);
	while (TICKS < 50)
		guest_halt();
}

TEST_F(timer, goes_on_after_a_restore)
{
	struct kvm_lapic_state state;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct vcpu *vcpu;
	struct vm *vm;

	vcpu_start(self->vcpu, guest_moves, NULL);
	vcpu_sync(self->vcpu, 1);
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_GET_LAPIC, &state));
	EXPECT_EQ(1000000, *(u32 *)(state.regs + APIC_TMICT));
	EXPECT_GE(1000000, *(u32 *)(state.regs + APIC_TMCCT));
	vcpu_get_regs(self->vcpu, &regs);
	vcpu_get_sregs(self->vcpu, &sregs);
	vm = vm_irqchip(false);
	memcpy(vm->boot, self->vm->boot, BOOT_SIZE);
	ASSERT_EQ(0, vm_set_slot(vm, 1, 0, TEST_MEM, PAGE_2M, (void *)SHARED));
	vcpu = vcpu_create(vm, 0);
	vm_set_handler(vm, VECTOR, on_tick);
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
	ASSERT_EQ(0, ioctl(vcpu->fd, KVM_SET_LAPIC, &state));
	vcpu_done(vcpu);
	vm_free(vm);
}

UMBRA_TEST_MAIN
