// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paravirtual end of interrupt. Proves that the bit is set when nobody waits for the end and
 * only then, that what the guest ends by it is over (order, nesting and the APIC's
 * registers are as with EOI), that userspace finds neither the bit nor what is over, and that
 * no interrupt is lost between vCPUs while the page of the word is swapped out.
 */
#include "test.h"
#include "apic.h"

#define PV_EOI_MSR 0x4b564d04

FIXTURE(pv_eoi) {
	struct vm *vm;
	struct vcpu *vcpu;
	shared_u64 *shared;
	bool offers;
};

FIXTURE_VARIANT(pv_eoi) {
	bool x2;
};

FIXTURE_VARIANT_ADD(pv_eoi, xapic) { .x2 = false };
FIXTURE_VARIANT_ADD(pv_eoi, x2apic) { .x2 = true };

/* Each vCPU has its word in a page of its own, behind the first. */
#define SHARED ((shared_u64 *)TEST_MEM)
#define X2 SHARED[0]
#define COUNT SHARED[1]
#define BY_WORD SHARED[2]	/* interrupts that were ended by the word */
#define ROUNDS SHARED[3]
#define STARTED SHARED[4]
#define SEEN(i) SHARED[8 + (i)]
#define GOT(i) SHARED[64 + (i) * 8]
#define WORD_GPA(i) (TEST_MEM + PAGE_4K * (1 + (i)))
#define WORD(i) (*(shared_u64 *)WORD_GPA(i))

FIXTURE_SETUP(pv_eoi)
{
	struct umbra_mmu_config cfg = {};

	self->vm = vm_irqchip(false);
	if (!self->vm)
		TEST_SKIP("no local APIC in the kernel");
	self->vcpu = vcpu_create(self->vm, 0);
	self->shared = vm_mem(self->vm, PAGE_2M);
	ASSERT_EQ((u64)SHARED, (u64)self->shared);
	X2 = variant->x2;
	/* With shadow paging the host never offers it. */
	self->offers = ioctl(self->vm->fd, UMBRA_GET_MMU, &cfg) || cfg.mode == UMBRA_MMU_TDP;
}

FIXTURE_TEARDOWN(pv_eoi)
{
	vm_free(self->vm);
}

/* As a guest does it: EOI unless the bit was there to be cleared. */
static bool end_interrupt(int id)
{
	bool was;

	asm volatile("btrq $0, %0; setc %1" : "+m" (WORD(id)), "=q" (was) : : "cc", "memory");
	if (!was)
		apic_write(X2, APIC_EOI, 0);
	return was;
}

static void on_irq(struct guest_frame *f)
{
	SEEN(COUNT) = f->vector;
	COUNT = COUNT + 1;
	BY_WORD = BY_WORD + end_interrupt(0);
}

static void set_handlers(struct vm *vm, guest_handler_t fn)
{
	int v;

	for (v = 0x20; v < 0x100; v++)
		vm_set_handler(vm, v, fn);
}

/* A signal or the like in the handler has the host take its offer back. */
static void few_are_taken_back(struct __test_metadata *_metadata, bool offers_any, u64 offers)
{
	if (!offers_any)
		offers = 0;
	EXPECT_LE(BY_WORD, offers);
	EXPECT_LE(offers, BY_WORD + 3);
}

static void begin(int id)
{
	apic_on(X2);
	/* A page that is away is no reason to wait: there is no offer then. */
	WORD(id) = 0;
	guest_wrmsr(PV_EOI_MSR, WORD_GPA(id) | 1);
	GUEST_ASSERT_EQ(WORD_GPA(id) | 1, guest_rdmsr(PV_EOI_MSR));
}

static void self_ipi(u32 vector)
{
	apic_send(X2, ICR_SELF | vector, 0);
}

static void guest_each(void *arg)
{
	u32 v;

	begin(0);
	guest_sti();
	for (v = 0x20; v < 0x100; v++) {
		self_ipi(v);
		asm volatile("nop");
		if (COUNT != v - 0x1f || SEEN((COUNT - 1)) != v)
			GUEST_FAIL("vector", v, COUNT);
	}
	guest_cli();
}

TEST_F(pv_eoi, every_vector)
{
	set_handlers(self->vm, on_irq);
	vcpu_call(self->vcpu, guest_each, NULL);
	few_are_taken_back(_metadata, self->offers, 0xe0);
}

/* Switched off again, the word is left alone. */
static void guest_off(void *arg)
{
	begin(0);
	guest_wrmsr(PV_EOI_MSR, 0);
	guest_sti();
	self_ipi(0x50);
	asm volatile("nop");
	guest_cli();
	GUEST_ASSERT_EQ(1, COUNT);
	GUEST_ASSERT_EQ(0, BY_WORD);
	GUEST_ASSERT_EQ(0, WORD(0));
}

TEST_F(pv_eoi, off)
{
	set_handlers(self->vm, on_irq);
	vcpu_call(self->vcpu, guest_off, NULL);
	EXPECT_FALSE(vcpu_set_msr(self->vcpu, PV_EOI_MSR, WORD_GPA(0) | 2));
	EXPECT_TRUE(vcpu_set_msr(self->vcpu, PV_EOI_MSR, WORD_GPA(0) + 4));
}

/* Others wait behind the first, and must be given when it is over. */
static void guest_order(void *arg)
{
	begin(0);
	self_ipi(0x31);
	self_ipi(0x91);
	self_ipi(0x61);
	guest_sti();
	guest_cli();
	GUEST_ASSERT_EQ(3, COUNT);
	GUEST_ASSERT_EQ(0, apic_read(X2, APIC_PPR));
}

TEST_F(pv_eoi, only_the_last_of_several)
{
	set_handlers(self->vm, on_irq);
	vcpu_call(self->vcpu, guest_order, NULL);
	EXPECT_EQ(0x91, SEEN(0));
	EXPECT_EQ(0x61, SEEN(1));
	EXPECT_EQ(0x31, SEEN(2));
	few_are_taken_back(_metadata, self->offers, 1);
}

/* The one that nests is ended by the word, the one below by EOI, and what waited comes. */
static void on_nested(struct guest_frame *f)
{
	SEEN(COUNT) = f->vector;
	COUNT = COUNT + 1;
	if (f->vector == 0x50) {
		GUEST_ASSERT_EQ(0x50, apic_read(X2, APIC_PPR));
		guest_sti();
		self_ipi(0x60);
		asm volatile("nop");
		GUEST_ASSERT_EQ(2, COUNT);
		guest_cli();
		GUEST_ASSERT_EQ(0x50, apic_read(X2, APIC_PPR));
		GUEST_ASSERT_EQ(BIT(0x10), apic_read(X2, APIC_ISR + 0x20));
		self_ipi(0x40);
	}
	BY_WORD = BY_WORD + end_interrupt(0);
}

static void guest_nested(void *arg)
{
	begin(0);
	guest_sti();
	self_ipi(0x50);
	asm volatile("nop; nop");
	guest_cli();
	GUEST_ASSERT_EQ(3, COUNT);
	GUEST_ASSERT_EQ(0, apic_read(X2, APIC_ISR + 0x20));
	GUEST_ASSERT_EQ(0, apic_read(X2, APIC_PPR));
	/* An EOI too many is nothing. */
	apic_write(X2, APIC_EOI, 0);
	self_ipi(0x20);
	guest_sti();
	guest_cli();
	GUEST_ASSERT_EQ(4, COUNT);
}

TEST_F(pv_eoi, nesting)
{
	set_handlers(self->vm, on_nested);
	vcpu_call(self->vcpu, guest_nested, NULL);
	EXPECT_EQ(0x50, SEEN(0));
	EXPECT_EQ(0x60, SEEN(1));
	EXPECT_EQ(0x40, SEEN(2));
	few_are_taken_back(_metadata, self->offers, 3);
}

/* Somebody waits for the end of a level: it is told, and the guest had to say so. */
static void guest_level(void *arg)
{
	begin(0);
	GUEST_SYNC(1);
	guest_sti();
	guest_cli();
}

TEST_F(pv_eoi, levels_are_ended_by_eoi)
{
	set_handlers(self->vm, on_irq);
	vcpu_start(self->vcpu, guest_level, NULL);
	vcpu_sync(self->vcpu, 1);
	ASSERT_EQ(1, vm_msi(self->vm, 0, BIT(15) | BIT(14) | 0x70));
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_IOAPIC_EOI, self->vcpu->run->exit_reason);
	EXPECT_EQ(0x70, self->vcpu->run->eoi.vector);
	vcpu_done(self->vcpu);
	EXPECT_EQ(1, COUNT);
	EXPECT_EQ(0, BY_WORD);
}

/* --- what userspace sees --- */

static void on_told(struct guest_frame *f)
{
	COUNT = COUNT + 1;
	GUEST_SYNC(2);
	BY_WORD = BY_WORD + end_interrupt(0);
}

static void on_quiet(struct guest_frame *f)
{
	COUNT = COUNT + 1;
	BY_WORD = BY_WORD + end_interrupt(0);
}

static void guest_told(void *arg)
{
	begin(0);
	guest_sti();
	self_ipi(0x50);
	asm volatile("nop");
	GUEST_SYNC(3);
	self_ipi(0x51);
	asm volatile("nop");
	GUEST_SYNC(4);
	guest_cli();
}

TEST_F(pv_eoi, userspace_sees_the_truth)
{
	vm_set_handler(self->vm, 0x50, on_told);
	vm_set_handler(self->vm, 0x51, on_quiet);
	vcpu_start(self->vcpu, guest_told, NULL);
	/* In the handler: in service, and no offer is open. */
	vcpu_sync(self->vcpu, 2);
	EXPECT_EQ(0, WORD(0) & 1);
	EXPECT_EQ(BIT(0x10), vcpu_lapic_reg(self->vcpu, APIC_ISR + 0x20));
	/* Behind it: by EOI, since the offer was taken back. */
	vcpu_sync(self->vcpu, 3);
	EXPECT_EQ(0, BY_WORD);
	EXPECT_EQ(0, vcpu_lapic_reg(self->vcpu, APIC_ISR + 0x20));
	/* And one that was ended by the word since the last look. */
	vcpu_sync(self->vcpu, 4);
	few_are_taken_back(_metadata, self->offers, 1);
	EXPECT_EQ(0, vcpu_lapic_reg(self->vcpu, APIC_ISR + 0x20));
	EXPECT_EQ(0, vcpu_lapic_reg(self->vcpu, APIC_PPR));
	vcpu_done(self->vcpu);
	EXPECT_EQ(2, COUNT);
}

/* --- the page goes while an offer is open --- */

static void on_ping(struct guest_frame *f)
{
	u32 id = apic_read(X2, APIC_ID);

	if (!X2)
		id >>= 24;
	GOT(id) = GOT(id) + 1;
	if (end_interrupt(id))
		__sync_fetch_and_add(&BY_WORD, 1);
}

static void guest_pingpong(void *arg)
{
	u64 id = (u64)arg, i;

	begin(id);
	__sync_fetch_and_add(&STARTED, 1);
	while (STARTED < 2)
		guest_pause();
	for (i = 0; i < ROUNDS; i++) {
		if (id == 0)
			apic_send(X2, 0x40, 1);
		while (GOT(id) <= i)
			guest_halt();
		if (id == 1)
			apic_send(X2, 0x40, 0);
	}
}

/* The page of the word is away when the vCPU has to know what the guest did. */
static void on_wait(struct guest_frame *f)
{
	COUNT = COUNT + 1;
	BY_WORD = BY_WORD + end_interrupt(0);
	if (f->vector != 0x50)
		return;
	guest_sti();
	STARTED = 1;
	while (COUNT < 2)
		guest_pause();
	guest_cli();
}

static void guest_one(void *arg)
{
	begin(0);
	guest_sti();
	self_ipi(0x50);
	asm volatile("nop");
	guest_cli();
}

TEST_F(pv_eoi, page_is_away)
{
	pthread_t thread;

	if (!swap_on())
		TEST_SKIP("no swap device");
	set_handlers(self->vm, on_wait);
	vcpu_start(self->vcpu, guest_one, NULL);
	thread = vcpu_spawn(self->vcpu);
	await(&STARTED, 1);
	page_out((void *)WORD_GPA(0), PAGE_4K);
	if (!policy_pinned(self->vm))
		EXPECT_TRUE(page_swapped((void *)WORD_GPA(0)));
	/* Of a lower class: it comes if the first is over. */
	EXPECT_EQ(1, vm_msi(self->vm, 0, 0x40));
	vcpu_join(thread);
	EXPECT_EQ(2, COUNT);
	EXPECT_EQ(0, vcpu_lapic_reg(self->vcpu, APIC_ISR + 0x20));
	swap_off();
}

TEST_F(pv_eoi, pages_go_and_come)
{
	struct vcpu *vcpu[2] = { self->vcpu, vcpu_create(self->vm, 1) };
	pthread_t thread[2];
	u64 i, gone = 0;

	if (!swap_on())
		TEST_SKIP("no swap device");
	ROUNDS = test_long() ? 20000 : 2000;
	set_handlers(self->vm, on_ping);
	for (i = 0; i < 2; i++) {
		vcpu_start(vcpu[i], guest_pingpong, (void *)i);
		vcpu_set_mp(vcpu[i], KVM_MP_STATE_RUNNABLE);
	}
	for (i = 0; i < 2; i++)
		thread[i] = vcpu_spawn(vcpu[i]);
	while (GOT(1) < ROUNDS) {
		page_out((void *)WORD_GPA(0), 2 * PAGE_4K);
		gone += pages_swapped((void *)WORD_GPA(0), 2 * PAGE_4K);
	}
	for (i = 0; i < 2; i++)
		vcpu_join(thread[i]);
	EXPECT_EQ(ROUNDS, GOT(0));
	EXPECT_EQ(ROUNDS, GOT(1));
	if (self->offers)
		EXPECT_LT(0, BY_WORD);
	if (!policy_pinned(self->vm))
		EXPECT_LT(0, gone);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, WORD(i));
		EXPECT_EQ(0, vcpu_lapic_reg(vcpu[i], APIC_ISR + 0x20));
	}
	swap_off();
}

UMBRA_TEST_MAIN
