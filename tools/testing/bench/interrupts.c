// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts by a local APIC in the kernel: ticks of its timer in a guest that works, and
 * IPIs between two vCPUs that sleep until one comes. x2APIC mode, where each access is
 * an MSR.
 */
#include <asm/kvm_para.h>

#include "apic.h"
#include "bench.h"

#define VECTOR 0x40
#define TICKS 200UL
#define TICK_NS 500000	/* longer than the least period that KVM grants */
#define WORK 25000000UL	/* iterations of 4 instructions: as long as the ticks take */
#define IPIS 2000UL

/* In a page that both vCPUs and the program see. */
struct talk {
	u64 started;
	u64 got[2];	/* interrupts, by vCPU */
	u64 ticks;
	u64 pv_eoi;	/* bit 0: the end need not be written */
};

#define TALK ((volatile struct talk *)TEST_MEM)

static struct vm *talking_vm(void (*handler)(struct guest_frame *f))
{
	struct vm *vm = vm_irqchip(false);

	if (!vm)
		die("no local APIC in the kernel");
	if (vm_mem(vm, PAGE_4K) != (void *)TALK)
		die("the page is not where it is expected");
	vm_set_handler(vm, VECTOR, handler);
	return vm;
}

static void on_interrupt(struct guest_frame *f)
{
	u32 id = apic_read(true, APIC_ID);

	TALK->got[id]++;
	apic_write(true, APIC_EOI, 0);
}

static void on_tick(struct guest_frame *f)
{
	TALK->got[0]++;
	apic_write(true, APIC_EOI, 0);
}

static void on_tick_pv(struct guest_frame *f)
{
	bool ended;

	TALK->got[0]++;
	asm volatile("btrq $0, %0; setc %1" : "+m" (TALK->pv_eoi), "=q" (ended) : : "cc");
	if (!ended)
		apic_write(true, APIC_EOI, 0);
}

static u64 work(void)
{
	u64 n = WORK, start = guest_rdtsc();

	asm volatile("1: nop; nop; dec %0; jnz 1b" : "+r" (n));
	return guest_rdtsc() - start;
}

static void guest_ticks(void *pv_eoi)
{
	u64 alone;

	apic_on(true);
	if (pv_eoi)
		guest_wrmsr(MSR_KVM_PV_EOI_EN, (u64)pv_eoi | KVM_MSR_ENABLED);
	alone = work();
	apic_write(true, APIC_TDCR, TDCR_1);
	apic_write(true, APIC_LVTT, TIMER_PERIODIC | VECTOR);
	apic_write(true, APIC_TMICT, TICK_NS);
	guest_sti();
	TALK->ticks = work();
	guest_cli();
	TALK->ticks -= alone;
}

static void count_ticks(enum row row, void (*handler)(struct guest_frame *f), void *pv_eoi)
{
	struct vm *vm = talking_vm(handler);
	struct vcpu *vcpu = vcpu_create(vm, 0);

	vcpu_start(vcpu, guest_ticks, pv_eoi);
	vcpu_done(vcpu);
	if (TALK->got[0] < TICKS / 2)
		die("%lu ticks came", TALK->got[0]);
	report(row, (double)TALK->ticks / TALK->got[0]);
}

void bench_timer(void)
{
	count_ticks(ROW_TIMER, on_tick, NULL);
}

void bench_timer_pv(void)
{
	count_ticks(ROW_TIMER_PV, on_tick_pv, (void *)&TALK->pv_eoi);
}

static void guest_pingpong(void *arg)
{
	u64 id = (u64)arg, start, i;

	apic_on(true);
	__sync_fetch_and_add(&TALK->started, 1);
	while (TALK->started < 2)
		guest_pause();
	start = guest_rdtsc();
	for (i = 0; i < IPIS; i++) {
		if (id == 0)
			apic_send(true, VECTOR, 1);
		while (TALK->got[id] <= i)
			guest_halt();
		if (id == 1)
			apic_send(true, VECTOR, 0);
	}
	if (id == 0)
		TALK->ticks = guest_rdtsc() - start;
}

void bench_ipi(void)
{
	struct vm *vm = talking_vm(on_interrupt);
	struct vcpu *vcpu[2];
	pthread_t thread[2];
	u64 i;

	for (i = 0; i < 2; i++)
		vcpu[i] = vcpu_create(vm, i);
	for (i = 0; i < 2; i++) {
		vcpu_start(vcpu[i], guest_pingpong, (void *)i);
		vcpu_set_mp(vcpu[i], KVM_MP_STATE_RUNNABLE);
	}
	for (i = 0; i < 2; i++)
		thread[i] = vcpu_spawn(vcpu[i]);
	for (i = 0; i < 2; i++)
		vcpu_join(thread[i]);
	report(ROW_IPI, (double)TALK->ticks / (2 * IPIS));
}
