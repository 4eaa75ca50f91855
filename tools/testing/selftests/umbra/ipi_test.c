// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two and more vCPUs: IPIs with each kind of destination, tens of thousands of them
 * between two that wait for each other, awake and in HLT; NMIs; the start by INIT and
 * SIPI; the multiprocessing state; and HLT that a signal ends.
 */
#include "test.h"
#include "apic.h"
#include <signal.h>

#define N 4

FIXTURE(ipi) {
	struct vm *vm;
	struct vcpu *vcpu[N];
	shared_u64 *shared;
};

FIXTURE_VARIANT(ipi) {
	bool x2;
};

FIXTURE_VARIANT_ADD(ipi, xapic) { .x2 = false };
FIXTURE_VARIANT_ADD(ipi, x2apic) { .x2 = true };

#define SHARED ((shared_u64 *)TEST_MEM)
#define X2 SHARED[0]
#define ROUNDS SHARED[1]
#define STARTED SHARED[2]
#define STOP SHARED[3]
/* By the vCPU's number, a cache line each. */
#define GOT(i) SHARED[64 + (i) * 8]
#define NMIS(i) SHARED[128 + (i) * 8]
#define VECTOR 0x40

FIXTURE_SETUP(ipi)
{
	int i;

	self->vm = vm_irqchip(false);
	if (!self->vm)
		TEST_SKIP("no local APIC in the kernel");
	for (i = 0; i < N; i++)
		self->vcpu[i] = vcpu_create(self->vm, i);
	self->shared = vm_mem(self->vm, PAGE_2M);
	ASSERT_EQ((u64)SHARED, (u64)self->shared);
	X2 = variant->x2;
}

FIXTURE_TEARDOWN(ipi)
{
	vm_free(self->vm);
}

static u32 my_id(void)
{
	u32 id = apic_read(X2, APIC_ID);

	return X2 ? id : id >> 24;
}

static void on_ipi(struct guest_frame *f)
{
	u32 id = my_id();

	GOT(id) = GOT(id) + 1;
	apic_write(X2, APIC_EOI, 0);
}

static void on_nmi(struct guest_frame *f)
{
	u32 id = my_id();

	NMIS(id) = NMIS(id) + 1;
}

static void start(struct vcpu *vcpu, void (*fn)(void *arg), void *arg)
{
	vcpu_start(vcpu, fn, arg);
	vcpu_set_mp(vcpu, KVM_MP_STATE_RUNNABLE);
}

/* --- each destination --- */

static void guest_waits(void *arg)
{
	apic_on(X2);
	if (!X2)
		apic_write(X2, APIC_LDR, 1 << (24 + my_id()));
	__sync_fetch_and_add(&STARTED, 1);
	while (!STOP)
		guest_halt();
}

struct dest_case {
	u32 icr, xdest, x2dest;
	u32 want;	/* one bit for each vCPU */
};

static const struct dest_case dest_cases[] = {
	{ ICR_FIXED, 1, 1, 2 },
	{ ICR_FIXED, 3, 3, 8 },
	{ ICR_FIXED, 0xff, 0xffffffff, 15 },
	{ ICR_FIXED, 9, 9, 0 },
	{ ICR_FIXED, 9, 0xff, 0 },
	{ ICR_FIXED | ICR_LOGICAL, 6, 6, 6 },
	{ ICR_FIXED | ICR_LOGICAL, 0xff, 0xffff, 15 },
	{ ICR_FIXED | ICR_LOGICAL, 0x30, 0x10001, 0 },
	{ ICR_SELF, 2, 2, 1 },
	{ ICR_ALL, 2, 2, 15 },
	{ ICR_OTHERS, 2, 2, 14 },
	{ ICR_LOWEST, 2, 2, 4 },
	/* Level 0 is no interrupt. */
	{ ICR_LEVEL, 1, 1, 0 },
};

static void guest_destinations(void *arg)
{
	const struct dest_case *c;
	int i, v;
	u64 sum;

	apic_on(X2);
	if (!X2)
		apic_write(X2, APIC_LDR, 1 << 24);
	while (STARTED < N - 1)
		guest_pause();
	guest_sti();
	for (i = 0; i < sizeof(dest_cases) / sizeof(*dest_cases); i++) {
		c = &dest_cases[i];
		for (v = 0; v < N; v++)
			GOT(v) = 0;
		apic_send(X2, c->icr | VECTOR, X2 ? c->x2dest : c->xdest);
		for (v = 0; v < N; v++)
			while (GOT(v) < (c->want >> v & 1))
				guest_pause();
		for (v = 0; v < 1000; v++)
			guest_pause();
		for (v = 0; v < N; v++)
			if (GOT(v) != (c->want >> v & 1))
				GUEST_FAIL("destination", i, v);
	}
	/* Lowest priority: one of them, for each vector. */
	for (v = 0; v < N; v++)
		GOT(v) = 0;
	for (i = 0; i < 16; i++) {
		apic_send(X2, ICR_LOWEST | ICR_LOGICAL | (VECTOR + i), X2 ? 15 : 15);
		do {
			for (sum = 0, v = 0; v < N; v++)
				sum += GOT(v);
		} while (sum < i + 1);
		GUEST_ASSERT_EQ(i + 1, sum);
	}
	guest_cli();
	STOP = 1;
	apic_send(X2, ICR_OTHERS | VECTOR, 0);
}

TEST_F(ipi, destinations)
{
	pthread_t threads[N];
	int i;

	for (i = VECTOR; i < VECTOR + 16; i++)
		vm_set_handler(self->vm, i, on_ipi);
	for (i = 1; i < N; i++)
		start(self->vcpu[i], guest_waits, NULL);
	start(self->vcpu[0], guest_destinations, NULL);
	for (i = 0; i < N; i++)
		threads[i] = vcpu_spawn(self->vcpu[i]);
	for (i = 0; i < N; i++)
		vcpu_join(threads[i]);
}

static void guest_clusters(void *arg)
{
	apic_on(false);
	apic_write(false, APIC_DFR, 0x0fffffff);
	apic_write(false, APIC_LDR, 0x21000000);
	apic_send(false, ICR_LOGICAL | VECTOR, 0x21);
	apic_send(false, ICR_LOGICAL | (VECTOR + 1), 0x11);
	apic_send(false, ICR_LOGICAL | (VECTOR + 2), 0x22);
	apic_send(false, ICR_LOGICAL | (VECTOR + 3), 0xff);
	GUEST_ASSERT_EQ(BIT(0) | BIT(3), apic_read(false, APIC_IRR + 0x20));
	/* An ID of one's own. */
	apic_write(false, APIC_ID, 0x55000000);
	apic_send(false, VECTOR + 5, 0x55);
	apic_send(false, VECTOR + 6, 0);
	GUEST_ASSERT_EQ(BIT(0) | BIT(3) | BIT(5), apic_read(false, APIC_IRR + 0x20));
}

TEST_F(ipi, clusters_and_ids)
{
	if (variant->x2)
		return;
	start(self->vcpu[0], guest_clusters, NULL);
	vcpu_done(self->vcpu[0]);
}

/* --- to and fro --- */

static void guest_pingpong(void *arg)
{
	u64 id = (u64)arg, i;
	bool halts = STOP;

	apic_on(X2);
	__sync_fetch_and_add(&STARTED, 1);
	while (STARTED < 2)
		guest_pause();
	for (i = 0; i < ROUNDS; i++) {
		if (id == 0)
			apic_send(X2, VECTOR, 1);
		while (GOT(id) <= i) {
			if (halts) {
				guest_halt();
				continue;
			}
			guest_sti();
			guest_pause();
			guest_cli();
		}
		GUEST_ASSERT_EQ(i + 1, GOT(id));
		if (id == 1)
			apic_send(X2, VECTOR, 0);
	}
}

static void pingpong(struct vm *vm, struct vcpu **vcpu, bool halts, u64 rounds)
{
	pthread_t a, b;

	STOP = halts;
	ROUNDS = rounds;
	vm_set_handler(vm, VECTOR, on_ipi);
	start(vcpu[0], guest_pingpong, (void *)0);
	start(vcpu[1], guest_pingpong, (void *)1);
	a = vcpu_spawn(vcpu[0]);
	b = vcpu_spawn(vcpu[1]);
	vcpu_join(a);
	vcpu_join(b);
}

TEST_F(ipi, to_and_fro_awake)
{
	pingpong(self->vm, self->vcpu, false, test_long() ? 50000 : 200);
}

TEST_F(ipi, to_and_fro_in_hlt)
{
	pingpong(self->vm, self->vcpu, true, test_long() ? 50000 : 200);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp(self->vcpu[0]));
}

static void guest_nmi_sender(void *arg)
{
	u64 i;

	apic_on(X2);
	while (!STARTED)
		guest_pause();
	for (i = 0; i < ROUNDS; i++) {
		apic_send(X2, ICR_NMI, 1);
		while (NMIS(1) <= i)
			guest_pause();
		GUEST_ASSERT_EQ(i + 1, NMIS(1));
	}
	STOP = 1;
	apic_send(X2, ICR_NMI, 1);
}

/* With interrupts off, in HLT and not. */
static void guest_nmi_receiver(void *arg)
{
	apic_on(X2);
	STARTED = 1;
	while (!STOP) {
		asm volatile("hlt");
		if (NMIS(1) & 64)
			for (u64 n = NMIS(1); NMIS(1) == n && !STOP;)
				guest_pause();
	}
}

TEST_F(ipi, nmi)
{
	pthread_t a, b;

	ROUNDS = test_long() ? 10000 : 100;
	vm_set_handler(self->vm, X86_TRAP_NMI, on_nmi);
	start(self->vcpu[0], guest_nmi_sender, NULL);
	start(self->vcpu[1], guest_nmi_receiver, NULL);
	a = vcpu_spawn(self->vcpu[0]);
	b = vcpu_spawn(self->vcpu[1]);
	vcpu_join(a);
	vcpu_join(b);
}

/* --- start --- */

#define AP_PAGE 0x8000

/* incw %cs:0x100; cli; 1: hlt; jmp 1b */
static const u8 ap_code[] = {
	0x2e, 0xff, 0x06, 0x00, 0x01, 0xfa, 0xf4, 0xeb, 0xfd,
};

static void guest_starts_ap(void *arg)
{
	shared_u64 *started = (void *)(AP_PAGE + 0x100);
	u64 i;

	apic_on(X2);
	/* A SIPI without an INIT is nothing. */
	apic_send(X2, ICR_SIPI | AP_PAGE >> 12, 1);
	for (i = 0; i < 10000; i++)
		guest_pause();
	GUEST_ASSERT_EQ(0, *started);
	for (i = 0; i < ROUNDS; i++) {
		apic_send(X2, ICR_INIT | ICR_ASSERT | ICR_LEVEL, 1);
		apic_send(X2, ICR_INIT | ICR_LEVEL, 1);
		apic_send(X2, ICR_SIPI | AP_PAGE >> 12, 1);
		while (*started == i)
			guest_pause();
		/* One that runs takes no second. */
		apic_send(X2, ICR_SIPI | AP_PAGE >> 12, 1);
		GUEST_ASSERT_EQ(i + 1, *started);
	}
}

static void *run_until_kicked(void *arg)
{
	struct vcpu *vcpu = arg;

	while (!STOP)
		if (vcpu_run(vcpu) == 0)
			die("vCPU %d: %s", vcpu->id, vcpu_exit_name(vcpu));
	return NULL;
}

static void nothing(int sig)
{
}

static void stop_thread(struct vcpu *vcpu, pthread_t thread)
{
	STOP = 1;
	vcpu->run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	vcpu->run->immediate_exit = 0;
}

TEST_F(ipi, init_and_sipi)
{
	struct sigaction sa = { .sa_handler = nothing };
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	pthread_t ap;

	sigaction(SIGUSR1, &sa, NULL);
	memcpy(boot_hva(self->vm, AP_PAGE), ap_code, sizeof(ap_code));
	ROUNDS = 20;
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp(self->vcpu[0]));
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, vcpu_mp(self->vcpu[1]));
	pthread_create(&ap, NULL, run_until_kicked, self->vcpu[1]);
	start(self->vcpu[0], guest_starts_ap, NULL);
	vcpu_done(self->vcpu[0]);
	/* It sleeps in its HLT. */
	usleep(20000);
	stop_thread(self->vcpu[1], ap);
	EXPECT_EQ(KVM_MP_STATE_HALTED, vcpu_mp(self->vcpu[1]));
	vcpu_get_sregs(self->vcpu[1], &sregs);
	vcpu_get_regs(self->vcpu[1], &regs);
	EXPECT_EQ(AP_PAGE >> 4, sregs.cs.selector);
	EXPECT_EQ(AP_PAGE, sregs.cs.base);
	EXPECT_EQ(7, regs.rip);
	EXPECT_EQ(20, *(u16 *)boot_hva(self->vm, AP_PAGE + 0x100));
}

TEST_F(ipi, mp_states)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_STOPPED };
	static const u32 keep[] = {
		KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_HALTED,
		KVM_MP_STATE_RUNNABLE,
	};
	struct kvm_vcpu_events events = {
		.flags = KVM_VCPUEVENT_VALID_SIPI_VECTOR, .sipi_vector = 0x12,
	};
	struct kvm_sregs sregs;
	int i;

	for (i = 0; i < 4; i++) {
		vcpu_set_mp(self->vcpu[1], keep[i]);
		EXPECT_EQ(keep[i], vcpu_mp(self->vcpu[1]));
	}
	/* A SIPI that is on its way starts the vCPU at its vector. */
	ASSERT_EQ(0, ioctl(self->vcpu[1]->fd, KVM_SET_VCPU_EVENTS, &events));
	vcpu_set_mp(self->vcpu[1], KVM_MP_STATE_SIPI_RECEIVED);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp(self->vcpu[1]));
	vcpu_get_sregs(self->vcpu[1], &sregs);
	EXPECT_EQ(0x12000, sregs.cs.base);
	EXPECT_EQ(-1, ioctl(self->vcpu[1]->fd, KVM_SET_MP_STATE, &mp));
	EXPECT_EQ(EINVAL, errno);
}

/* What INIT leaves, and what it does not. */
TEST_F(ipi, init_keeps_msrs)
{
	struct vcpu *vcpu = self->vcpu[1];
	struct kvm_sregs sregs;
	u64 val;

	start(vcpu, guest_waits, NULL);
	ASSERT_TRUE(vcpu_set_msr(vcpu, 0xc0000082, 0x12345000));
	ASSERT_TRUE(vcpu_set_msr(vcpu, 0x277, 0x0606060606060606));
	ASSERT_EQ(1, vm_msi(self->vm, 1, ICR_INIT));
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, vcpu_mp(vcpu));
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(0, sregs.efer);
	EXPECT_EQ(0x10, sregs.cr0 & ~0x60000000);
	EXPECT_EQ(0xffff0000, sregs.cs.base);
	ASSERT_TRUE(vcpu_get_msr(vcpu, 0xc0000082, &val));
	EXPECT_EQ(0x12345000, val);
	ASSERT_TRUE(vcpu_get_msr(vcpu, 0x277, &val));
	EXPECT_EQ(0x0606060606060606, val);
}

/* --- HLT and userspace --- */

static void guest_halts(void *arg)
{
	apic_on(X2);
	STARTED = 1;
	guest_halt();
}

TEST_F(ipi, signal_ends_hlt)
{
	struct sigaction sa = { .sa_handler = nothing };
	pthread_t thread;

	sigaction(SIGUSR1, &sa, NULL);
	vm_set_handler(self->vm, VECTOR, on_ipi);
	start(self->vcpu[0], guest_halts, NULL);
	pthread_create(&thread, NULL, run_until_kicked, self->vcpu[0]);
	while (!STARTED)
		usleep(100);
	usleep(20000);
	stop_thread(self->vcpu[0], thread);
	EXPECT_EQ(KVM_EXIT_INTR, self->vcpu[0]->run->exit_reason);
	EXPECT_EQ(KVM_MP_STATE_HALTED, vcpu_mp(self->vcpu[0]));
	/* It waits on, and an interrupt from outside wakes it. */
	EXPECT_EQ(1, vm_msi(self->vm, 0, VECTOR));
	vcpu_done(self->vcpu[0]);
	EXPECT_EQ(1, GOT(0));
}

/* A thread that only kicks a running vCPU: interrupts reach it on its CPU. */
static void guest_spins(void *arg)
{
	apic_on(X2);
	STARTED = 1;
	guest_sti();
	while (GOT(0) < ROUNDS)
		guest_pause();
	guest_cli();
}

TEST_F(ipi, from_outside_into_a_running_guest)
{
	pthread_t thread;
	u64 i;

	ROUNDS = test_long() ? 20000 : 200;
	vm_set_handler(self->vm, VECTOR, on_ipi);
	start(self->vcpu[0], guest_spins, NULL);
	thread = vcpu_spawn(self->vcpu[0]);
	while (!STARTED)
		usleep(100);
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(1, vm_msi(self->vm, 0, VECTOR));
		while (GOT(0) <= i)
			usleep(50);
		ASSERT_EQ(i + 1, GOT(0));
	}
	vcpu_join(thread);
}

UMBRA_TEST_MAIN
