// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts from outside with local APICs in the kernel and the rest in userspace:
 * KVM_SIGNAL_MSI, GSI routes, irqfds, the EOI that userspace's IOAPIC is told of, and
 * its PIC by KVM_INTERRUPT. And what the ioctls refuse, with which error.
 */
#include "test.h"
#include "apic.h"
#include <sys/eventfd.h>

FIXTURE(route) {
	struct vm *vm;
	struct vcpu *vcpu;
	shared_u64 *shared;
};

#define SHARED ((shared_u64 *)TEST_MEM)
#define COUNT SHARED[0]
#define LAST SHARED[1]
#define READY SHARED[2]
#define WANT SHARED[3]
#define VECTOR 0x40
#define MSI_LEVEL 0x8000

FIXTURE_SETUP(route)
{
	self->vm = vm_irqchip(false);
	if (!self->vm)
		TEST_SKIP("no local APIC in the kernel");
	self->vcpu = vcpu_create(self->vm, 0);
	self->shared = vm_mem(self->vm, PAGE_2M);
	ASSERT_EQ((u64)SHARED, (u64)self->shared);
}

FIXTURE_TEARDOWN(route)
{
	vm_free(self->vm);
}

static void on_irq(struct guest_frame *f)
{
	COUNT = COUNT + 1;
	LAST = f->vector;
	apic_write(false, APIC_EOI, 0);
}

/* Userspace speaks between stages; interrupts come in them. */
static void guest_stages(void *arg)
{
	u64 i;

	apic_on(false);
	guest_sti();
	for (i = 0; i < (u64)arg; i++)
		GUEST_SYNC(i);
	guest_cli();
}

static void guest_counts(void *arg)
{
	apic_on(false);
	READY = 1;
	while (COUNT < WANT)
		guest_halt();
}

/* --- MSI and routes --- */

TEST_F(route, msi)
{
	vm_set_handler(self->vm, VECTOR, on_irq);
	vm_set_handler(self->vm, VECTOR + 1, on_irq);
	vcpu_start(self->vcpu, guest_stages, (void *)4);
	/* Off by software: the message finds its target, which does not take it. */
	EXPECT_EQ(0, vm_msi(self->vm, 0, VECTOR));
	vcpu_sync(self->vcpu, 0);
	EXPECT_EQ(1, vm_msi(self->vm, 0, VECTOR));
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(1, COUNT);
	/* Broadcast; nobody; a vector that cannot be. */
	EXPECT_EQ(1, vm_msi(self->vm, 0xff, VECTOR + 1));
	EXPECT_EQ(-EPERM, vm_msi(self->vm, 7, VECTOR));
	EXPECT_EQ(0, vm_msi(self->vm, 0, 3));
	vcpu_sync(self->vcpu, 2);
	EXPECT_EQ(2, COUNT);
	EXPECT_EQ(VECTOR + 1, LAST);
	vcpu_done(self->vcpu);
}

TEST_F(route, routes)
{
	struct kvm_irq_routing_entry routes[] = {
		msi_route(5, 0, VECTOR), msi_route(4095, 0, VECTOR + 1),
	};

	vm_set_handler(self->vm, VECTOR, on_irq);
	vm_set_handler(self->vm, VECTOR + 1, on_irq);
	vm_set_handler(self->vm, VECTOR + 2, on_irq);
	vcpu_start(self->vcpu, guest_stages, (void *)4);
	vcpu_sync(self->vcpu, 0);
	EXPECT_EQ(-1, vm_irq_line(self->vm, 5, 1));
	ASSERT_EQ(0, vm_route(self->vm, routes, 2));
	EXPECT_EQ(1, vm_irq_line(self->vm, 5, 1));
	EXPECT_EQ(-1, vm_irq_line(self->vm, 5, 0));
	EXPECT_EQ(-1, vm_irq_line(self->vm, 6, 1));
	EXPECT_EQ(-1, vm_irq_line(self->vm, 4096, 1));
	EXPECT_EQ(-1, vm_irq_line(self->vm, 0xffffffff, 1));
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(VECTOR, LAST);
	EXPECT_EQ(1, vm_irq_line(self->vm, 4095, 1));
	vcpu_sync(self->vcpu, 2);
	EXPECT_EQ(VECTOR + 1, LAST);
	/* The new table replaces the old. */
	routes[0] = msi_route(7, 0, VECTOR + 2);
	ASSERT_EQ(0, vm_route(self->vm, routes, 1));
	EXPECT_EQ(-1, vm_irq_line(self->vm, 5, 1));
	EXPECT_EQ(1, vm_irq_line(self->vm, 7, 1));
	vcpu_sync(self->vcpu, 3);
	EXPECT_EQ(VECTOR + 2, LAST);
	EXPECT_EQ(3, COUNT);
	ASSERT_EQ(0, vm_route(self->vm, routes, 0));
	EXPECT_EQ(-1, vm_irq_line(self->vm, 7, 1));
}

TEST_F(route, routes_refused)
{
	struct kvm_irq_routing head = { .nr = 4097 };
	struct kvm_irq_routing_entry r[2] = { msi_route(5, 0, VECTOR), msi_route(5, 0, VECTOR) };

	EXPECT_EQ(-EINVAL, vm_try(self->vm, KVM_SET_GSI_ROUTING, &head));
	head = (struct kvm_irq_routing) { .flags = 1 };
	EXPECT_EQ(-EINVAL, vm_try(self->vm, KVM_SET_GSI_ROUTING, &head));
	EXPECT_EQ(-EFAULT, vm_try(self->vm, KVM_SET_GSI_ROUTING, NULL));
	/* One GSI, two messages. */
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 2));
	r[0].gsi = 4096;
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 1));
	r[0].gsi = 0xffffffff;
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 1));
	r[0] = msi_route(5, 0, VECTOR);
	r[0].flags = 2;
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 1));
	/* Pins and kinds that this VM has not. */
	r[0] = (struct kvm_irq_routing_entry) {
		.gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { KVM_IRQCHIP_IOAPIC, 1 },
	};
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 1));
	r[0].type = KVM_IRQ_ROUTING_HV_SINT;
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 1));
	r[0].type = 0;
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 1));
}

static struct kvm_irq_routing_entry far_route(u32 gsi, u32 high)
{
	struct kvm_irq_routing_entry r = msi_route(gsi, 0, VECTOR);

	r.u.msi.address_hi = high;
	return r;
}

TEST_F(route, wide_destinations)
{
	struct kvm_irq_routing_entry r = far_route(5, 0xffff00ff);
	struct kvm_msi msi = { .address_lo = APIC_MMIO, .address_hi = 0x100, .data = VECTOR };

	vcpu_start(self->vcpu, guest_stages, (void *)1);
	vcpu_sync(self->vcpu, 0);
	vm_set_handler(self->vm, VECTOR, on_irq);
	/* Not read until the VM asks for 32 bits. */
	EXPECT_EQ(0, vm_route(self->vm, &r, 1));
	EXPECT_EQ(1, ioctl(self->vm->fd, KVM_SIGNAL_MSI, &msi));
	EXPECT_EQ(-EINVAL, vm_enable_cap(self->vm, KVM_CAP_X2APIC_API, 4));
	ASSERT_EQ(0, vm_enable_cap(self->vm, KVM_CAP_X2APIC_API,
				   KVM_X2APIC_API_USE_32BIT_IDS |
				   KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK));
	EXPECT_EQ(-EINVAL, vm_route(self->vm, &r, 1));
	EXPECT_EQ(-1, ioctl(self->vm->fd, KVM_SIGNAL_MSI, &msi));
	msi.address_hi = 1;
	EXPECT_EQ(-EINVAL, vm_try(self->vm, KVM_SIGNAL_MSI, &msi));
	msi.address_hi = 0;
	msi.flags = 2;
	EXPECT_EQ(-EINVAL, vm_try(self->vm, KVM_SIGNAL_MSI, &msi));
}

/* --- EOI --- */

TEST_F(route, eoi_of_a_level)
{
	struct kvm_run *run = self->vcpu->run;
	struct kvm_irq_routing_entry routes[] = {
		msi_route(3, 0, VECTOR | MSI_LEVEL), msi_route(4, 0, VECTOR + 1),
	};
	int i;

	vm_set_handler(self->vm, VECTOR, on_irq);
	vm_set_handler(self->vm, VECTOR + 1, on_irq);
	ASSERT_EQ(0, vm_route(self->vm, routes, 2));
	vcpu_start(self->vcpu, guest_stages, (void *)10);
	vcpu_sync(self->vcpu, 0);
	for (i = 1; i < 5; i++) {
		EXPECT_EQ(1, vm_irq_line(self->vm, 3, 1));
		EXPECT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
		ASSERT_EQ(KVM_EXIT_IOAPIC_EOI, run->exit_reason);
		EXPECT_EQ(VECTOR, run->eoi.vector);
		/* The register was written: what comes now is another interrupt. */
		EXPECT_EQ(0, vcpu_lapic_reg(self->vcpu, APIC_ISR + 0x20));
		vcpu_sync(self->vcpu, i);
		EXPECT_EQ(i, COUNT);
	}
	/* An edge ends without a word. */
	EXPECT_EQ(1, vm_irq_line(self->vm, 4, 1));
	vcpu_sync(self->vcpu, i);
	EXPECT_EQ(VECTOR + 1, LAST);
	EXPECT_EQ(0, vcpu_lapic_reg(self->vcpu, APIC_TMR + 0x20) & 2);
}

/* --- userspace's PIC --- */

static void on_extint(struct guest_frame *f)
{
	COUNT = COUNT + 1;
	LAST = f->vector;
}

TEST_F(route, extint)
{
	struct kvm_run *run = self->vcpu->run;
	struct kvm_interrupt irq = { .irq = 0x33 };
	int i;

	vm_set_handler(self->vm, 0x33, on_extint);
	vcpu_start(self->vcpu, guest_stages, (void *)10);
	/* LINT0 of the vCPU that boots takes it; IF is clear. */
	EXPECT_EQ(0x700, vcpu_lapic_reg(self->vcpu, APIC_LVT0));
	run->request_interrupt_window = 1;
	EXPECT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, run->exit_reason);
	EXPECT_EQ(1, run->ready_for_interrupt_injection);
	EXPECT_EQ(1, run->if_flag);
	run->request_interrupt_window = 0;
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq));
		EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq));
		EXPECT_EQ(EEXIST, errno);
		vcpu_sync(self->vcpu, i);
		EXPECT_EQ(i + 1, COUNT);
		EXPECT_EQ(0x33, LAST);
	}
	irq.irq = 256;
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq));
	EXPECT_EQ(EINVAL, errno);
}

static void guest_masks_lint0(void *arg)
{
	apic_on(false);
	apic_write(false, APIC_LVT0, LVT_MASKED | LVT_EXTINT);
	guest_sti();
	GUEST_SYNC(0);
	GUEST_SYNC(1);
	apic_write(false, APIC_LVT0, LVT_EXTINT);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, COUNT);
	guest_cli();
}

TEST_F(route, extint_waits_for_lint0)
{
	struct kvm_run *run = self->vcpu->run;
	struct kvm_interrupt irq = { .irq = 0x33 };

	vm_set_handler(self->vm, 0x33, on_extint);
	vcpu_start(self->vcpu, guest_masks_lint0, NULL);
	vcpu_sync(self->vcpu, 0);
	EXPECT_EQ(0, run->ready_for_interrupt_injection);
	run->request_interrupt_window = 1;
	EXPECT_EQ(0, ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq));
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(0, COUNT);
	run->request_interrupt_window = 0;
	vcpu_done(self->vcpu);
}

/* --- irqfd --- */

static int irqfd(struct vm *vm, int fd, u32 gsi, u32 flags)
{
	struct kvm_irqfd args = { .fd = fd, .gsi = gsi, .flags = flags };

	return vm_try(vm, KVM_IRQFD, &args);
}

static void signal_fd(int fd)
{
	u64 one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		die("eventfd");
}

TEST_F(route, irqfd_into_hlt)
{
	struct kvm_irq_routing_entry route = msi_route(9, 0, VECTOR);
	int fd = eventfd(0, 0);
	pthread_t thread;
	u64 i;

	WANT = test_long() ? 20000 : 500;
	vm_set_handler(self->vm, VECTOR, on_irq);
	ASSERT_EQ(0, vm_route(self->vm, &route, 1));
	ASSERT_EQ(0, irqfd(self->vm, fd, 9, 0));
	vcpu_start(self->vcpu, guest_counts, NULL);
	thread = vcpu_spawn(self->vcpu);
	while (!READY)
		usleep(100);
	for (i = 0; i < WANT; i++) {
		signal_fd(fd);
		while (COUNT <= i)
			usleep(50);
		ASSERT_EQ(i + 1, COUNT);
	}
	vcpu_join(thread);
	close(fd);
}

TEST_F(route, irqfd_binding)
{
	struct kvm_irq_routing_entry route = msi_route(9, 0, VECTOR);
	int fd = eventfd(0, EFD_NONBLOCK), other = eventfd(5, 0), i;
	u64 count;

	vm_set_handler(self->vm, VECTOR, on_irq);
	ASSERT_EQ(0, vm_route(self->vm, &route, 1));
	vcpu_start(self->vcpu, guest_stages, (void *)10);
	vcpu_sync(self->vcpu, 0);
	EXPECT_EQ(-EINVAL, irqfd(self->vm, fd, 9, 4));
	EXPECT_EQ(-EINVAL, irqfd(self->vm, fd, 4096, 0));
	EXPECT_EQ(-EBADF, irqfd(self->vm, -1, 9, 0));
	EXPECT_EQ(-EINVAL, irqfd(self->vm, self->vm->fd, 9, 0));
	/* No resampling without pins. */
	EXPECT_EQ(-EINVAL, irqfd(self->vm, fd, 9, KVM_IRQFD_FLAG_RESAMPLE));
	ASSERT_EQ(0, irqfd(self->vm, fd, 9, 0));
	EXPECT_EQ(-EBUSY, irqfd(self->vm, fd, 9, 0));
	EXPECT_EQ(-EBUSY, irqfd(self->vm, fd, 8, 0));
	signal_fd(fd);
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(1, COUNT);
	/* The signal was consumed. */
	EXPECT_EQ(-1, read(fd, &count, sizeof(count)));
	/* Another GSI's is not taken away; then it is. */
	EXPECT_EQ(0, irqfd(self->vm, fd, 8, KVM_IRQFD_FLAG_DEASSIGN));
	signal_fd(fd);
	vcpu_sync(self->vcpu, 2);
	EXPECT_EQ(2, COUNT);
	EXPECT_EQ(0, irqfd(self->vm, fd, 9, KVM_IRQFD_FLAG_DEASSIGN));
	signal_fd(fd);
	vcpu_sync(self->vcpu, 3);
	EXPECT_EQ(2, COUNT);
	EXPECT_EQ(8, read(fd, &count, sizeof(count)));
	/* One that was signalled before counts at once. */
	EXPECT_EQ(0, irqfd(self->vm, other, 9, 0));
	vcpu_sync(self->vcpu, 4);
	EXPECT_EQ(3, COUNT);
	/* The file goes: the binding goes with it. */
	for (i = 0; i < 1000; i++) {
		close(other);
		other = eventfd(0, 0);
		ASSERT_EQ(0, irqfd(self->vm, other, 9, 0));
	}
	signal_fd(other);
	vcpu_sync(self->vcpu, 5);
	EXPECT_EQ(4, COUNT);
	close(fd);
	/* @other outlives the VM. */
}

/* --- creation --- */

TEST_F(route, created_once_and_first)
{
	struct kvm_lapic_state state;
	struct kvm_irq_level line = {};
	struct kvm_irq_routing head = {};
	struct kvm_msi msi = {};
	struct vcpu *vcpu;
	struct vm *vm;

	EXPECT_EQ(-EEXIST, vm_enable_cap(self->vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	EXPECT_EQ(-EBUSY, vm_try(self->vm, KVM_SET_BOOT_CPU_ID, NULL));
	vm = vm_create();
	EXPECT_EQ(-EINVAL, vm_enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 4097));
	EXPECT_EQ(-EINVAL, vm_enable_cap(vm, 0x7eadbeef, 0));
	EXPECT_EQ(-ENXIO, vm_try(vm, KVM_IRQ_LINE, &line));
	EXPECT_EQ(-EINVAL, vm_try(vm, KVM_SET_GSI_ROUTING, &head));
	EXPECT_EQ(-EINVAL, vm_try(vm, KVM_SIGNAL_MSI, &msi));
	EXPECT_EQ(-EINVAL, irqfd(vm, 0, 0, 0));
	vcpu = vcpu_create(vm, 0);
	EXPECT_EQ(-EEXIST, vm_enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	EXPECT_EQ(-1, ioctl(vcpu->fd, KVM_GET_LAPIC, &state));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(vcpu->fd, KVM_SET_LAPIC, &state));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp(vcpu));
	vm_free(vm);
}

TEST_F(route, boot_cpu)
{
	struct vm *vm = vm_irqchip(false);
	struct vcpu *a, *b;
	u64 base;

	ASSERT_EQ(0, ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 1UL));
	a = vcpu_create(vm, 0);
	b = vcpu_create(vm, 1);
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, vcpu_mp(a));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp(b));
	ASSERT_TRUE(vcpu_get_msr(a, APIC_BASE_MSR, &base));
	EXPECT_EQ(0, base & APIC_BASE_BSP);
	ASSERT_TRUE(vcpu_get_msr(b, APIC_BASE_MSR, &base));
	EXPECT_EQ(APIC_BASE_BSP, base & APIC_BASE_BSP);
	vm_free(vm);
}

/* --- memory at the APIC's address is memory --- */

static void guest_no_apic_page(void *arg)
{
	GUEST_ASSERT_EQ(0x77777777, apic_read(false, APIC_VERSION));
	apic_write(false, APIC_TPR, 0x55);
	GUEST_ASSERT_EQ(0x55, apic_read(false, APIC_TPR));
}

TEST_F(route, slot_over_the_page)
{
	u32 *page = mmap(NULL, PAGE_4K, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i;

	for (i = 0; i < 1024; i++)
		page[i] = 0x77777777;
	vm_add_slot(self->vm, 0, APIC_MMIO, PAGE_4K, page);
	vcpu_call(self->vcpu, guest_no_apic_page, NULL);
	EXPECT_EQ(0x55, page[APIC_TPR / 4]);
	EXPECT_EQ(0, vcpu_lapic_reg(self->vcpu, APIC_TPR));
}

UMBRA_TEST_MAIN
