// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC of one vCPU, as xAPIC and as x2APIC. Proves that its registers keep
 * what they should and nothing else, that vectors come in the order of their priority
 * and wait for TPR, CR8 and EOI, that an illegal vector is an error in ESR, that MSRs
 * raise #GP where the architecture says so, that the modes change as they may, and that
 * the state survives KVM_GET_LAPIC and KVM_SET_LAPIC.
 */
#include "test.h"
#include "apic.h"

FIXTURE(lapic) {
	struct vm *vm;
	struct vcpu *vcpu;
	shared_u64 *shared;
};

FIXTURE_VARIANT(lapic) {
	bool x2;
};

FIXTURE_VARIANT_ADD(lapic, xapic) { .x2 = false };
FIXTURE_VARIANT_ADD(lapic, x2apic) { .x2 = true };

/* [0] x2, [1] number of interrupts, [2...] their vectors in order */
#define SHARED ((shared_u64 *)TEST_MEM)
#define X2 SHARED[0]
#define COUNT SHARED[1]
#define SEEN(i) SHARED[2 + (i)]

FIXTURE_SETUP(lapic)
{
	self->vm = vm_irqchip(false);
	if (!self->vm)
		TEST_SKIP("no local APIC in the kernel");
	self->vcpu = vcpu_create(self->vm, 0);
	self->shared = vm_mem(self->vm, PAGE_2M);
	ASSERT_EQ((u64)SHARED, (u64)self->shared);
	X2 = variant->x2;
}

FIXTURE_TEARDOWN(lapic)
{
	vm_free(self->vm);
}

static void on_irq(struct guest_frame *f)
{
	SEEN(COUNT) = f->vector;
	COUNT = COUNT + 1;
	apic_write(X2, APIC_EOI, 0);
}

static void set_handlers(struct vm *vm, guest_handler_t fn)
{
	int v;

	for (v = 0x20; v < 0x100; v++)
		vm_set_handler(vm, v, fn);
}

/* --- registers --- */

struct reg_case {
	u32 reg, write, want;
};

/* What is written, and what is read back. */
static const struct reg_case reg_cases[] = {
	{ APIC_TPR, 0xffffffff, 0xff },
	{ APIC_TPR, 0, 0 },
	{ APIC_SPIV, 0xffffffff, 0x3ff },
	{ APIC_SPIV, 0x1f0, 0x1f0 },
	{ APIC_LVTTHMR, 0xffffffff, 0x107ff },
	{ APIC_LVTPC, 0xffffffff, 0x107ff },
	{ APIC_LVT0, 0xffffffff, 0x1a7ff },
	{ APIC_LVT1, 0xffffffff, 0x1a7ff },
	{ APIC_LVTERR, 0xffffffff, 0x100ff },
	{ APIC_LVTT, 0xffffffff, 0x300ff },
	{ APIC_LVT0, 0x10000, 0x10000 },
	{ APIC_LVT1, 0x10000, 0x10000 },
	{ APIC_TDCR, 0xffffffff, 0xb },
};

static void guest_registers(void *arg)
{
	const struct reg_case *c;
	int i;

	GUEST_ASSERT_EQ(0x10000, apic_read(false, APIC_LVT1));
	GUEST_ASSERT_EQ(0xff, apic_read(false, APIC_SPIV));
	apic_on(X2);
	GUEST_ASSERT_EQ(0x50014, apic_read(X2, APIC_VERSION));
	GUEST_ASSERT_EQ(0, apic_read(X2, APIC_ID));
	for (i = 0; i < sizeof(reg_cases) / sizeof(*reg_cases); i++) {
		c = &reg_cases[i];
		apic_write(X2, c->reg, c->write);
		if (apic_read(X2, c->reg) != c->want)
			GUEST_FAIL("register", c->reg, apic_read(X2, c->reg));
	}
	/* Off by software: all entries of the LVT are masked, and stay so. */
	apic_write(X2, APIC_LVT1, 0x400);
	GUEST_ASSERT_EQ(0x400, apic_read(X2, APIC_LVT1));
	apic_write(X2, APIC_SPIV, 0xff);
	GUEST_ASSERT_EQ(0x10400, apic_read(X2, APIC_LVT1));
	apic_write(X2, APIC_LVT1, 0x400);
	GUEST_ASSERT_EQ(0x10400, apic_read(X2, APIC_LVT1));
	apic_on(X2);
	if (!X2) {
		apic_write(X2, APIC_DFR, 0);
		GUEST_ASSERT_EQ(0x0fffffff, apic_read(X2, APIC_DFR));
		apic_write(X2, APIC_LDR, 0xffffffff);
		GUEST_ASSERT_EQ(0xff000000, apic_read(X2, APIC_LDR));
		apic_write(X2, APIC_ICR2, 0xffffffff);
		GUEST_ASSERT_EQ(0xff000000, apic_read(X2, APIC_ICR2));
		/* Of a part, and what is no register. */
		GUEST_ASSERT_EQ(5, GUEST_READ((u8 *)(APIC_MMIO + APIC_VERSION + 2)));
		GUEST_ASSERT_EQ(0, GUEST_READ((u32 *)(APIC_MMIO + 0x500)));
		apic_write(false, APIC_VERSION, 77);
		GUEST_ASSERT_EQ(0x50014, apic_read(false, APIC_VERSION));
	} else {
		GUEST_ASSERT_EQ(1, apic_read(X2, APIC_LDR));
		/* The page is gone. */
		GUEST_ASSERT_EQ(0xffffffff, GUEST_READ((u32 *)(APIC_MMIO + APIC_VERSION)));
	}
}

TEST_F(lapic, registers)
{
	vcpu_call(self->vcpu, guest_registers, NULL);
}

static u64 try_rdmsr(u32 msr)
{
	struct guest_trap trap;

	guest_try(trap, "rdmsr", "c" (msr), "a" (0), "d" (0));
	return trap.vector;
}

static u64 try_wrmsr(u32 msr, u64 value)
{
	struct guest_trap trap;

	guest_try(trap, "wrmsr", "c" (msr), "a" ((u32)value), "d" ((u32)(value >> 32)));
	return trap.vector;
}

/* MSRs that can be read: one bit for each from 0x800 on (SDM volume 3, table 10-6). */
#define X2_READ_LO (BIT(0x02) | BIT(0x03) | BIT(0x08) | BIT(0x0a) | BIT(0x0d) | BIT(0x0f) | \
		    0xff0000 | 0xff000000 | 0xff00000000 | BIT(0x28) | BIT(0x30) | \
		    0xfc000000000000 | BIT(0x38) | BIT(0x39) | BIT(0x3e))
/* ... and written with 0. */
#define X2_WRITE_LO (BIT(0x08) | BIT(0x0b) | BIT(0x0f) | BIT(0x28) | BIT(0x30) | \
		     0xfc000000000000 | BIT(0x38) | BIT(0x3e) | BIT(0x3f))

static void guest_msrs(void *arg)
{
	u32 i;
	u64 want;

	for (i = 0; i < 0x100; i++) {
		want = X2 && i < 64 && (X2_READ_LO & BIT(i)) ? GUEST_NO_TRAP : X86_TRAP_GP;
		if (try_rdmsr(0x800 + i) != want)
			GUEST_FAIL("rdmsr", i, want);
		want = X2 && i < 64 && (X2_WRITE_LO & BIT(i)) ? GUEST_NO_TRAP : X86_TRAP_GP;
		if (try_wrmsr(0x800 + i, 0) != want)
			GUEST_FAIL("wrmsr", i, want);
		/* But for ICR, the upper half is reserved. */
		if (i != 0x30 && try_wrmsr(0x800 + i, BIT(32)) != X86_TRAP_GP)
			GUEST_FAIL("wrmsr, reserved bits", i, 0);
	}
	if (!X2)
		return;
	GUEST_ASSERT_EQ(X86_TRAP_GP, try_wrmsr(0x80b, 1));
	GUEST_ASSERT_EQ(X86_TRAP_GP, try_wrmsr(0x828, 1));
	GUEST_ASSERT_EQ(X86_TRAP_GP, try_wrmsr(0x83f, 0x100));
}

TEST_F(lapic, msrs_that_do_not_exist)
{
	vcpu_start(self->vcpu, guest_msrs, NULL);
	if (variant->x2) {
		struct kvm_sregs s;

		vcpu_get_sregs(self->vcpu, &s);
		s.apic_base |= APIC_BASE_X2;
		vcpu_set_sregs(self->vcpu, &s);
	}
	vcpu_done(self->vcpu);
}

static void guest_modes(void *arg)
{
	u64 base = guest_rdmsr(APIC_BASE_MSR);

	GUEST_ASSERT_EQ(APIC_MMIO | APIC_BASE_ON | APIC_BASE_BSP, base);
	/* Reserved bits, and x2APIC without the enable. */
	GUEST_ASSERT_EQ(X86_TRAP_GP, try_wrmsr(APIC_BASE_MSR, base | 1));
	GUEST_ASSERT_EQ(X86_TRAP_GP, try_wrmsr(APIC_BASE_MSR, base | BIT(9)));
	GUEST_ASSERT_EQ(X86_TRAP_GP, try_wrmsr(APIC_BASE_MSR, base | BIT(62)));
	GUEST_ASSERT_EQ(X86_TRAP_GP,
			try_wrmsr(APIC_BASE_MSR, (base & ~APIC_BASE_ON) | APIC_BASE_X2));
	GUEST_ASSERT_EQ(base, guest_rdmsr(APIC_BASE_MSR));
	guest_wrmsr(APIC_BASE_MSR, base | APIC_BASE_X2);
	GUEST_ASSERT_EQ(X86_TRAP_GP, try_wrmsr(APIC_BASE_MSR, base));
	guest_wrmsr(APIC_BASE_MSR, base & ~APIC_BASE_ON);
	GUEST_ASSERT_EQ(X86_TRAP_GP, try_rdmsr(0x802));
	GUEST_ASSERT_EQ(X86_TRAP_GP, try_wrmsr(APIC_BASE_MSR, base | APIC_BASE_X2));
	guest_wrmsr(APIC_BASE_MSR, base);
	GUEST_ASSERT_EQ(0x50014, apic_read(false, APIC_VERSION));
	/* The page can move. */
	guest_wrmsr(APIC_BASE_MSR, (base & 0xfff) | TEST_MMIO);
	GUEST_ASSERT_EQ(0x50014, GUEST_READ((u32 *)(TEST_MMIO + APIC_VERSION)));
	guest_wrmsr(APIC_BASE_MSR, base);
}

TEST_F(lapic, modes)
{
	vcpu_call(self->vcpu, guest_modes, NULL);
}

/* --- order --- */

static void self_ipi(u8 vector)
{
	apic_send(X2, ICR_SELF | vector, 0);
}

static void guest_order(void *arg)
{
	apic_on(X2);
	self_ipi(0x31);
	self_ipi(0x91);
	self_ipi(0x61);
	self_ipi(0x61);
	self_ipi(0xf1);
	GUEST_ASSERT_EQ(0, COUNT);
	GUEST_ASSERT_EQ(BIT(0x11), apic_read(X2, APIC_IRR + 0x10 * (0x31 >> 5)));
	guest_sti();
	guest_cli();
	GUEST_ASSERT_EQ(4, COUNT);
	GUEST_ASSERT_EQ(0, apic_read(X2, APIC_IRR + 0x10));
}

TEST_F(lapic, highest_first)
{
	set_handlers(self->vm, on_irq);
	vcpu_call(self->vcpu, guest_order, NULL);
	EXPECT_EQ(0xf1, SEEN(0));
	EXPECT_EQ(0x91, SEEN(1));
	EXPECT_EQ(0x61, SEEN(2));
	EXPECT_EQ(0x31, SEEN(3));
}

static void guest_tpr(void *arg)
{
	u64 cr8;

	apic_on(X2);
	apic_write(X2, APIC_TPR, 0x60);
	GUEST_ASSERT_EQ(0x60, apic_read(X2, APIC_PPR));
	asm volatile("mov %%cr8, %0" : "=r" (cr8));
	GUEST_ASSERT_EQ(6, cr8);
	self_ipi(0x5f);
	self_ipi(0x6f);
	guest_sti();
	GUEST_ASSERT_EQ(0, COUNT);
	self_ipi(0x70);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, COUNT);
	/* CR8 is the same register. */
	asm volatile("mov %0, %%cr8; nop" : : "r" (5UL) : "memory");
	GUEST_ASSERT_EQ(2, COUNT);
	GUEST_ASSERT_EQ(0x50, apic_read(X2, APIC_TPR));
	apic_write(X2, APIC_TPR, 0x40);
	asm volatile("nop");
	GUEST_ASSERT_EQ(3, COUNT);
	guest_cli();
}

TEST_F(lapic, tpr_and_cr8)
{
	set_handlers(self->vm, on_irq);
	vcpu_call(self->vcpu, guest_tpr, NULL);
	EXPECT_EQ(0x70, SEEN(0));
	EXPECT_EQ(0x6f, SEEN(1));
	EXPECT_EQ(0x5f, SEEN(2));
}

/* Interrupts on in the handler: only a higher class nests. */
static void on_nested(struct guest_frame *f)
{
	SEEN(COUNT) = f->vector;
	COUNT = COUNT + 1;
	if (f->vector == 0x50) {
		GUEST_ASSERT_EQ(0x50, apic_read(X2, APIC_PPR));
		GUEST_ASSERT_EQ(BIT(0x10), apic_read(X2, APIC_ISR + 0x20));
		self_ipi(0x5f);
		self_ipi(0x40);
		guest_sti();
		GUEST_ASSERT_EQ(1, COUNT);
		self_ipi(0x60);
		asm volatile("nop");
		GUEST_ASSERT_EQ(2, COUNT);
		guest_cli();
	}
	apic_write(X2, APIC_EOI, 0);
}

static void guest_nested(void *arg)
{
	apic_on(X2);
	guest_sti();
	self_ipi(0x50);
	asm volatile("nop; nop");
	guest_cli();
	GUEST_ASSERT_EQ(4, COUNT);
	/* An EOI too many is nothing. */
	apic_write(X2, APIC_EOI, 0);
	GUEST_ASSERT_EQ(0, apic_read(X2, APIC_PPR));
}

TEST_F(lapic, nesting_and_eoi)
{
	set_handlers(self->vm, on_nested);
	vcpu_call(self->vcpu, guest_nested, NULL);
	EXPECT_EQ(0x50, SEEN(0));
	EXPECT_EQ(0x60, SEEN(1));
	EXPECT_EQ(0x5f, SEEN(2));
	EXPECT_EQ(0x40, SEEN(3));
}

static void guest_all_vectors(void *arg)
{
	u32 v;

	apic_on(X2);
	guest_sti();
	for (v = 0x20; v < 0x100; v++) {
		if (X2)
			guest_wrmsr(0x83f, v);
		else
			self_ipi(v);
		asm volatile("nop");
		if (COUNT != v - 0x1f || SEEN(COUNT - 1) != v)
			GUEST_FAIL("vector", v, COUNT);
	}
	guest_cli();
	/* Off by software it takes none. */
	apic_write(X2, APIC_SPIV, 0xff);
	self_ipi(0x55);
	GUEST_ASSERT_EQ(0, apic_read(X2, APIC_IRR + 0x20));
}

TEST_F(lapic, every_vector)
{
	set_handlers(self->vm, on_irq);
	vcpu_call(self->vcpu, guest_all_vectors, NULL);
}

/* --- errors --- */

static void guest_errors(void *arg)
{
	apic_on(X2);
	apic_write(X2, APIC_ESR, 0);
	GUEST_ASSERT_EQ(0, apic_read(X2, APIC_ESR));
	apic_write(X2, APIC_LVTERR, 0x77);
	guest_sti();
	self_ipi(5);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, COUNT);
	GUEST_ASSERT_EQ(0x77, SEEN(0));
	GUEST_ASSERT_EQ(0, apic_read(X2, APIC_ESR));
	apic_write(X2, APIC_ESR, 0);
	GUEST_ASSERT_EQ(0x20, apic_read(X2, APIC_ESR));
	if (!X2) {
		GUEST_READ((u32 *)(APIC_MMIO + 0x500));
		GUEST_ASSERT_EQ(2, COUNT);
		apic_write(X2, APIC_ESR, 0);
		GUEST_ASSERT_EQ(0x80, apic_read(X2, APIC_ESR));
	}
	/* The error's own vector is an error: once. */
	apic_write(X2, APIC_LVTERR, 3);
	self_ipi(5);
	apic_write(X2, APIC_ESR, 0);
	GUEST_ASSERT_EQ(0x60, apic_read(X2, APIC_ESR));
	guest_cli();
}

TEST_F(lapic, errors)
{
	set_handlers(self->vm, on_irq);
	vcpu_call(self->vcpu, guest_errors, NULL);
}

/* --- state --- */

static void guest_before(void *arg)
{
	apic_on(X2);
	apic_write(X2, APIC_TPR, 0x20);
	self_ipi(0x41);
	self_ipi(0x52);
	GUEST_SYNC(1);
	guest_sti();
	asm volatile("nop");
	guest_cli();
	GUEST_ASSERT_EQ(2, COUNT);
	GUEST_ASSERT_EQ(0x20, apic_read(X2, APIC_TPR));
}

TEST_F(lapic, state_moves_to_another_vm)
{
	struct kvm_lapic_state state, again;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct vcpu *vcpu;
	struct vm *vm;

	vcpu_start(self->vcpu, guest_before, NULL);
	vcpu_sync(self->vcpu, 1);
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_GET_LAPIC, &state));
	vcpu_get_regs(self->vcpu, &regs);
	vcpu_get_sregs(self->vcpu, &sregs);
	EXPECT_EQ(2, sregs.cr8);
	EXPECT_EQ(!!variant->x2, !!(sregs.apic_base & APIC_BASE_X2));

	vm = vm_irqchip(false);
	memcpy(vm->boot, self->vm->boot, BOOT_SIZE);
	ASSERT_EQ(0, vm_set_slot(vm, 1, 0, TEST_MEM, PAGE_2M, (void *)SHARED));
	vcpu = vcpu_create(vm, 0);
	set_handlers(vm, on_irq);
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
	ASSERT_EQ(0, ioctl(vcpu->fd, KVM_SET_LAPIC, &state));
	ASSERT_EQ(0, ioctl(vcpu->fd, KVM_GET_LAPIC, &again));
	EXPECT_EQ(0, memcmp(&state, &again, sizeof(state)));
	vcpu_done(vcpu);
	EXPECT_EQ(0x52, SEEN(0));
	EXPECT_EQ(0x41, SEEN(1));
	vm_free(vm);
}

/* Whatever userspace puts in: the guest finds registers that keep their rules. */
static void guest_garbage(void *arg)
{
	u32 reg;

	GUEST_ASSERT_EQ(0x50014, apic_read(X2, APIC_VERSION));
	GUEST_ASSERT_EQ(0xff, apic_read(X2, APIC_TPR));
	GUEST_ASSERT_EQ(0xb, apic_read(X2, APIC_TDCR));
	for (reg = APIC_LVTT; reg <= APIC_LVTERR; reg += 16)
		apic_read(X2, reg);
	for (reg = 0; reg < 300; reg++)
		apic_write(X2, APIC_EOI, 0);
}

TEST_F(lapic, state_is_garbage)
{
	struct kvm_lapic_state state;
	struct kvm_sregs s;

	vcpu_start(self->vcpu, guest_garbage, NULL);
	vcpu_get_sregs(self->vcpu, &s);
	if (variant->x2)
		s.apic_base |= APIC_BASE_X2;
	vcpu_set_sregs(self->vcpu, &s);
	memset(&state, 0xff, sizeof(state));
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_LAPIC, &state));
	for (;;) {
		ASSERT_EQ(0, vcpu_run(self->vcpu));
		if (self->vcpu->run->exit_reason != KVM_EXIT_IOAPIC_EOI)
			break;
	}
	EXPECT_EQ(KVM_EXIT_IO, self->vcpu->run->exit_reason);
}

/* The ID in the state is 8 bits wide, unless the VM asked for 32. */
TEST_F(lapic, x2apic_id_formats)
{
	struct kvm_lapic_state state;
	struct vcpu *vcpu;
	struct vm *vm;
	u64 base;
	u32 *id = (u32 *)(state.regs + APIC_ID);

	if (!variant->x2)
		return;
	vm = vm_irqchip(false);
	vcpu = vcpu_create(vm, 3);
	ASSERT_TRUE(vcpu_get_msr(vcpu, APIC_BASE_MSR, &base));
	EXPECT_EQ(3 << 24, vcpu_lapic_reg(vcpu, APIC_ID));
	ASSERT_TRUE(vcpu_set_msr(vcpu, APIC_BASE_MSR, base | APIC_BASE_X2));
	EXPECT_EQ(3 << 24, vcpu_lapic_reg(vcpu, APIC_ID));
	EXPECT_EQ(8, vcpu_lapic_reg(vcpu, APIC_LDR));
	ASSERT_EQ(0, vm_enable_cap(vm, KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS));
	ASSERT_EQ(0, ioctl(vcpu->fd, KVM_GET_LAPIC, &state));
	EXPECT_EQ(3, *id);
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_LAPIC, &state));
	*id = 4;
	EXPECT_EQ(-1, ioctl(vcpu->fd, KVM_SET_LAPIC, &state));
	EXPECT_EQ(EINVAL, errno);
	vm_free(vm);
}

UMBRA_TEST_MAIN
