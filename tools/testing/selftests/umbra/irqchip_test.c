// SPDX-License-Identifier: GPL-2.0-only
/*
 * PIC, IOAPIC and PIT in the kernel, from guest code. Proves initialisation, masks,
 * priority, rotation and EOI of the PIC, edges and levels of the IOAPIC with the end of a
 * level, resampling irqfds, all modes of reading the PIT and its ticks, that the state
 * moves to another VM, and what the ioctls refuse.
 */
#include "test.h"
#include "apic.h"
#include <sys/eventfd.h>

FIXTURE(chip) {
	struct vm *vm;
	struct vcpu *vcpu;
	shared_u64 *shared;
};

#define SHARED ((shared_u64 *)TEST_MEM)
#define COUNT SHARED[0]
#define LAST SHARED[1]
#define LEVEL SHARED[2]
#define SEEN(i) SHARED[16 + (i)]
#define PIC_BASE 0x20
#define VECTOR 0x50
#define IOAPIC 0xfec00000UL
#define RTE_LEVEL BIT(15)
#define RTE_MASKED BIT(16)

FIXTURE_SETUP(chip)
{
	self->vm = vm_irqchip(true);
	if (!self->vm)
		TEST_SKIP("no PIC and IOAPIC in the kernel");
	self->vcpu = vcpu_create(self->vm, 0);
	self->shared = vm_mem(self->vm, PAGE_2M);
	ASSERT_EQ((u64)SHARED, (u64)self->shared);
}

FIXTURE_TEARDOWN(chip)
{
	vm_free(self->vm);
}

static void out8(u16 port, u8 v)
{
	asm volatile("outb %0, %1" : : "a" (v), "Nd" (port) : "memory");
}

static u8 in8(u16 port)
{
	u8 v;

	asm volatile("inb %1, %0" : "=a" (v) : "Nd" (port) : "memory");
	return v;
}

static void set_handlers(struct vm *vm, guest_handler_t fn)
{
	int v;

	for (v = 0x20; v < 0x100; v++)
		vm_set_handler(vm, v, fn);
}

/* --- PIC --- */

static void pic_init(u8 mask_master, u8 mask_slave)
{
	out8(0x20, 0x11);
	out8(0x21, PIC_BASE);
	out8(0x21, 4);
	out8(0x21, 1);
	out8(0xa0, 0x11);
	out8(0xa1, PIC_BASE + 8);
	out8(0xa1, 2);
	out8(0xa1, 1);
	out8(0x21, mask_master);
	out8(0xa1, mask_slave);
}

static void on_pic(struct guest_frame *f)
{
	SEEN(COUNT) = f->vector;
	COUNT = COUNT + 1;
	if (f->vector >= PIC_BASE + 8)
		out8(0xa0, 0x20);
	out8(0x20, 0x20);
}

static void guest_pic(void *arg)
{
	pic_init(0, 0);
	GUEST_ASSERT_EQ(0, in8(0x21));
	out8(0x21, 0x08);
	GUEST_ASSERT_EQ(0x08, in8(0x21));
	GUEST_SYNC(1);
	/* The host has raised 3 (masked), 5, 1, 12 and 8. */
	out8(0x20, 0x0a);
	GUEST_ASSERT_EQ(0x2e, in8(0x20));
	out8(0xa0, 0x0a);
	GUEST_ASSERT_EQ(0x11, in8(0xa0));
	guest_sti();
	asm volatile("nop");
	guest_cli();
	GUEST_ASSERT_EQ(4, COUNT);
	out8(0x20, 0x0b);
	GUEST_ASSERT_EQ(0, in8(0x20));
	out8(0x21, 0);
	guest_sti();
	asm volatile("nop");
	guest_cli();
	GUEST_ASSERT_EQ(5, COUNT);
}

TEST_F(chip, pic_priority)
{
	static const u8 raise[] = { 3, 5, 1, 12, 8 };
	int i;

	set_handlers(self->vm, on_pic);
	vcpu_start(self->vcpu, guest_pic, NULL);
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(1, self->vcpu->run->ready_for_interrupt_injection);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(i ? 1 : -1, vm_irq_line(self->vm, raise[i], 1));
		vm_irq_line(self->vm, raise[i], 0);
	}
	/* It waits already. */
	EXPECT_EQ(0, vm_irq_line(self->vm, 5, 1));
	vm_irq_line(self->vm, 5, 0);
	vcpu_done(self->vcpu);
	EXPECT_EQ(PIC_BASE + 1, SEEN(0));
	EXPECT_EQ(PIC_BASE + 8, SEEN(1));
	EXPECT_EQ(PIC_BASE + 12, SEEN(2));
	EXPECT_EQ(PIC_BASE + 5, SEEN(3));
	EXPECT_EQ(PIC_BASE + 3, SEEN(4));
}

/* Polls instead of interrupts, rotation, and specific EOI. */
static void guest_pic_poll(void *arg)
{
	pic_init(0, 0);
	GUEST_SYNC(1);
	/* 1, 4 and 6 are high. */
	out8(0x20, 0x0c);
	GUEST_ASSERT_EQ(0x81, in8(0x20));
	out8(0x20, 0x0c);
	GUEST_ASSERT_EQ(0, in8(0x20));
	out8(0x20, 0x0b);
	GUEST_ASSERT_EQ(0x02, in8(0x20));
	/* EOI and rotate: 1, which is raised again, is the lowest now. */
	out8(0x20, 0xa0);
	GUEST_ASSERT_EQ(0, in8(0x20));
	GUEST_SYNC(2);
	out8(0x20, 0x0c);
	GUEST_ASSERT_EQ(0x84, in8(0x20));
	out8(0x20, 0x64);
	GUEST_ASSERT_EQ(0, in8(0x20));
	/* 6 is the lowest: 1 comes before it. */
	out8(0x20, 0xc6);
	out8(0x20, 0x0c);
	GUEST_ASSERT_EQ(0x81, in8(0x20));
	out8(0x20, 0x20);
	out8(0x20, 0x0c);
	GUEST_ASSERT_EQ(0x86, in8(0x20));
	out8(0x20, 0xe6);
	GUEST_ASSERT_EQ(0, in8(0x20));
	/* Which inputs can be levels. */
	out8(0x4d0, 0xff);
	out8(0x4d1, 0xff);
	GUEST_ASSERT_EQ(0xf8, in8(0x4d0));
	GUEST_ASSERT_EQ(0xde, in8(0x4d1));
}

TEST_F(chip, pic_poll_and_rotation)
{
	vcpu_start(self->vcpu, guest_pic_poll, NULL);
	vcpu_sync(self->vcpu, 1);
	vm_irq_line(self->vm, 1, 1);
	vm_irq_line(self->vm, 4, 1);
	vm_irq_line(self->vm, 6, 1);
	vcpu_sync(self->vcpu, 2);
	vm_irq_line(self->vm, 1, 0);
	vm_irq_line(self->vm, 1, 1);
	vcpu_done(self->vcpu);
}

/* Auto EOI, level inputs and one that is gone when it is taken. */
static void on_level(struct guest_frame *f)
{
	SEEN(COUNT) = f->vector;
	COUNT = COUNT + 1;
	if (COUNT < 3)
		out8(0x20, 0x20);
}

static void guest_pic_level(void *arg)
{
	pic_init(0, 0);
	out8(0x4d0, 0x20);
	GUEST_SYNC(1);
	/* As long as it is high, it comes again; the third is not ended. */
	guest_sti();
	asm volatile("nop; nop");
	guest_cli();
	GUEST_ASSERT_EQ(3, COUNT);
	out8(0x20, 0x20);
	GUEST_SYNC(2);
	guest_sti();
	asm volatile("nop");
	guest_cli();
	GUEST_ASSERT_EQ(3, COUNT);
}

TEST_F(chip, pic_level)
{
	set_handlers(self->vm, on_level);
	vcpu_start(self->vcpu, guest_pic_level, NULL);
	vcpu_sync(self->vcpu, 1);
	vm_irq_line(self->vm, 5, 1);
	vcpu_sync(self->vcpu, 2);
	vm_irq_line(self->vm, 5, 0);
	vcpu_done(self->vcpu);
}

static void guest_halts(void *arg)
{
	pic_init(0xfe, 0xff);
	GUEST_SYNC(1);
	guest_halt();
	GUEST_ASSERT_EQ(1, COUNT);
}

TEST_F(chip, pic_wakes_from_hlt)
{
	pthread_t thread;

	set_handlers(self->vm, on_pic);
	vcpu_start(self->vcpu, guest_halts, NULL);
	vcpu_sync(self->vcpu, 1);
	thread = vcpu_spawn(self->vcpu);
	usleep(30000);
	vm_irq_line(self->vm, 0, 1);
	vcpu_join(thread);
}

/* --- IOAPIC --- */

static u32 io_read(u32 reg)
{
	GUEST_WRITE((u32 *)IOAPIC, reg);
	return GUEST_READ((u32 *)(IOAPIC + 0x10));
}

static void io_write(u32 reg, u32 value)
{
	GUEST_WRITE((u32 *)IOAPIC, reg);
	GUEST_WRITE((u32 *)(IOAPIC + 0x10), value);
}

static void set_rte(int pin, u32 low, u32 dest)
{
	io_write(0x11 + 2 * pin, dest << 24);
	io_write(0x10 + 2 * pin, low);
}

static void on_io(struct guest_frame *f)
{
	COUNT = COUNT + 1;
	LAST = f->vector;
	apic_write(false, APIC_EOI, 0);
}

static void guest_ioapic(void *arg)
{
	u64 i;

	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	apic_on(false);
	GUEST_ASSERT_EQ(0x170011, io_read(1));
	io_write(0, 0xffffffff);
	GUEST_ASSERT_EQ(0x0f000000, io_read(0));
	GUEST_ASSERT_EQ(0x0f000000, io_read(2));
	GUEST_ASSERT_EQ(0x10000, io_read(0x10 + 2 * 23));
	GUEST_ASSERT_EQ(0, io_read(0x40));
	GUEST_ASSERT_EQ(0, io_read(0xff));
	io_write(0xff, ~0);
	/* Status and remote IRR are not the guest's. */
	io_write(0x10 + 2 * 22, 0xffffffff);
	GUEST_ASSERT_EQ(0x1afff, io_read(0x10 + 2 * 22));
	io_write(0x11 + 2 * 22, 0xffffffff);
	GUEST_ASSERT_EQ(0xff000000, io_read(0x11 + 2 * 22));
	set_rte(22, RTE_MASKED, 0);
	set_rte(9, VECTOR, 0);
	set_rte(10, (VECTOR + 1) | RTE_LEVEL, 0);
	set_rte(11, (VECTOR + 2) | RTE_MASKED, 0);
	guest_sti();
	for (i = 0; i < (u64)arg; i++)
		GUEST_SYNC(i);
	guest_cli();
}

TEST_F(chip, ioapic_edges)
{
	int i;

	set_handlers(self->vm, on_io);
	vcpu_start(self->vcpu, guest_ioapic, (void *)20);
	vcpu_sync(self->vcpu, 0);
	for (i = 1; i < 10; i++) {
		EXPECT_EQ(1, vm_irq_line(self->vm, 9, 1));
		EXPECT_EQ(0, vm_irq_line(self->vm, 9, 1));
		vm_irq_line(self->vm, 9, 0);
		vcpu_sync(self->vcpu, i);
		ASSERT_EQ(i, COUNT);
		ASSERT_EQ(VECTOR, LAST);
	}
	EXPECT_EQ(-1, vm_irq_line(self->vm, 11, 1));
	EXPECT_EQ(-1, vm_irq_line(self->vm, 24, 1));
	vcpu_sync(self->vcpu, i);
	EXPECT_EQ(i - 1, COUNT);
}

static void on_io_level(struct guest_frame *f)
{
	COUNT = COUNT + 1;
	LEVEL = io_read(0x10 + 2 * 10);
	if (COUNT == 5)
		GUEST_SYNC(100);
	apic_write(false, APIC_EOI, 0);
}

TEST_F(chip, ioapic_level)
{
	set_handlers(self->vm, on_io_level);
	vcpu_start(self->vcpu, guest_ioapic, (void *)20);
	vcpu_sync(self->vcpu, 0);
	EXPECT_EQ(1, vm_irq_line(self->vm, 10, 1));
	EXPECT_EQ(0, vm_irq_line(self->vm, 10, 1));
	/* Each EOI brings another, until the line is low. */
	vcpu_sync(self->vcpu, 100);
	EXPECT_EQ(5, COUNT);
	EXPECT_EQ(BIT(14), LEVEL & BIT(14));
	vm_irq_line(self->vm, 10, 0);
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(5, COUNT);
}

static void on_resample(struct guest_frame *f)
{
	COUNT = COUNT + 1;
	apic_write(false, APIC_EOI, 0);
}

TEST_F(chip, irqfd_resamples)
{
	int fd = eventfd(0, 0), back = eventfd(0, EFD_NONBLOCK), i;
	struct kvm_irqfd args = {
		.fd = fd, .resamplefd = back, .gsi = 10, .flags = KVM_IRQFD_FLAG_RESAMPLE,
	};
	u64 one = 1, n;

	set_handlers(self->vm, on_resample);
	vcpu_start(self->vcpu, guest_ioapic, (void *)100);
	vcpu_sync(self->vcpu, 0);
	ASSERT_EQ(0, vm_try(self->vm, KVM_IRQFD, &args));
	for (i = 1; i < 50; i++) {
		ASSERT_EQ(8, write(fd, &one, 8));
		EXPECT_EQ(-1, read(back, &n, 8));
		vcpu_sync(self->vcpu, i);
		/* Once: the EOI lowered the line, and told us. */
		ASSERT_EQ(i, COUNT);
		ASSERT_EQ(8, read(back, &n, 8));
		EXPECT_EQ(1, n);
	}
	args.flags = KVM_IRQFD_FLAG_DEASSIGN;
	ASSERT_EQ(0, vm_try(self->vm, KVM_IRQFD, &args));
	close(fd);
	close(back);
}

TEST_F(chip, routes_to_pins)
{
	struct kvm_irq_routing_entry r[2] = {
		{
			.gsi = 40, .type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { KVM_IRQCHIP_IOAPIC, 9 },
		},
		msi_route(40, 0, VECTOR + 7),
	};

	set_handlers(self->vm, on_io);
	vcpu_start(self->vcpu, guest_ioapic, (void *)20);
	vcpu_sync(self->vcpu, 0);
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 2));
	r[1].gsi = 41;
	ASSERT_EQ(0, vm_route(self->vm, r, 2));
	EXPECT_EQ(-1, vm_irq_line(self->vm, 9, 1));
	EXPECT_EQ(1, vm_irq_line(self->vm, 40, 1));
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(VECTOR, LAST);
	EXPECT_EQ(1, vm_irq_line(self->vm, 41, 1));
	vcpu_sync(self->vcpu, 2);
	EXPECT_EQ(VECTOR + 7, LAST);
	r[1] = r[0];
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 2));
	r[0].u.irqchip.pin = 24;
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 1));
	r[0].u.irqchip.irqchip = 3;
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 1));
	r[0].u.irqchip = (struct kvm_irq_routing_irqchip) { KVM_IRQCHIP_PIC_MASTER, 8 };
	EXPECT_EQ(-EINVAL, vm_route(self->vm, r, 1));
}

/* --- PIT, which ticks on GSI 0 from its creation on --- */

static void create_pit(struct vm *vm)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (ioctl(vm->fd, KVM_CREATE_PIT2, &config))
		die("KVM_CREATE_PIT2");
}

static void pit_load(int channel, int mode, u16 count)
{
	out8(0x43, channel << 6 | 3 << 4 | mode << 1);
	out8(0x40 + channel, count);
	out8(0x40 + channel, count >> 8);
}

static u16 pit_latch(int channel)
{
	u16 low;

	out8(0x43, channel << 6);
	low = in8(0x40 + channel);
	return low | in8(0x40 + channel) << 8;
}

/* It wraps each 55 ms, and the host may stop the guest for longer. */
static bool goes_down(void)
{
	u16 a, b;
	int i;

	for (i = 0; i < 20; i++) {
		a = pit_latch(2);
		/* A latch holds until it is read, and a second one is nothing. */
		out8(0x43, 2 << 6);
		out8(0x43, 2 << 6);
		b = in8(0x42);
		b |= in8(0x42) << 8;
		if (b < a && a - b < 0x8000)
			return true;
	}
	return false;
}

static void guest_pit_ports(void *arg)
{
	pit_load(2, 0, 0xffff);
	GUEST_ASSERT(goes_down());
	/* Status and count together: mode 0, low and high byte. */
	out8(0x43, 0xc8);
	GUEST_ASSERT_EQ(0x30, in8(0x42) & 0x7f);
	in8(0x42);
	in8(0x42);
	/* One byte only. */
	out8(0x43, 2 << 6 | 1 << 4 | 2 << 1);
	out8(0x42, 100);
	GUEST_ASSERT_EQ(true, in8(0x42) <= 100);
	out8(0x43, 0xe8);
	GUEST_ASSERT_EQ(0x14, in8(0x42) & 0x3f);
	/* Gate and data of the speaker; the output goes high at the end of mode 0. */
	out8(0x61, 3);
	GUEST_ASSERT_EQ(3, in8(0x61) & 0xf);
	pit_load(2, 0, 1000);
	while (!(in8(0x61) & 0x20))
		;
	out8(0x61, 0);
	GUEST_ASSERT_EQ(0, in8(0x61) & 0xf);
	GUEST_ASSERT_EQ(0, in8(0x43));
}

TEST_F(chip, pit_ports)
{
	create_pit(self->vm);
	vcpu_call(self->vcpu, guest_pit_ports, NULL);
}

static void on_pit(struct guest_frame *f)
{
	COUNT = COUNT + 1;
	out8(0x20, 0x20);
}

static void guest_pit_ticks(void *arg)
{
	u64 n = (u64)arg, from;

	pic_init(0xfe, 0xff);
	/* 1000 Hz */
	pit_load(0, 2, 1193);
	from = guest_rdtsc();
	while (COUNT < n)
		guest_halt();
	LAST = guest_rdtsc() - from;
	/* One shot. */
	pit_load(0, 0, 1193);
	guest_sti();
	asm volatile("nop");
	guest_cli();
	n = COUNT;
	guest_halt();
	GUEST_ASSERT_EQ(n + 1, COUNT);
}

TEST_F(chip, pit_ticks)
{
	const u64 n = test_long() ? 10000 : 300;
	struct kvm_reinject_control control = {};
	long khz = ioctl(self->vcpu->fd, KVM_GET_TSC_KHZ, 0);
	int i;

	create_pit(self->vm);
	set_handlers(self->vm, on_pit);
	for (i = 0; i < 2; i++) {
		COUNT = 0;
		vcpu_start(self->vcpu, guest_pit_ticks, (void *)n);
		vcpu_done(self->vcpu);
		/* In time, or late; with reinjection the late ones were made up for. */
		EXPECT_LE((n - 1) * 999 / 1000 * khz, LAST);
		ASSERT_EQ(0, vm_try(self->vm, KVM_REINJECT_CONTROL, &control));
	}
}

/* The same by the IOAPIC. */
static void guest_pit_ioapic(void *arg)
{
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	apic_on(false);
	apic_write(false, APIC_LVT0, LVT_MASKED);
	set_rte(0, VECTOR, 0);
	pit_load(0, 3, 1193);
	while (COUNT < 100)
		guest_halt();
}

TEST_F(chip, pit_by_the_ioapic)
{
	create_pit(self->vm);
	set_handlers(self->vm, on_io);
	vcpu_call(self->vcpu, guest_pit_ioapic, NULL);
}

/* --- state --- */

TEST_F(chip, state_moves)
{
	struct kvm_irqchip chip[3], again;
	struct kvm_pit_state2 pit, pit_again;
	struct vm *vm = vm_irqchip(true);
	int i;

	create_pit(self->vm);
	create_pit(vm);
	set_handlers(self->vm, on_io);
	vcpu_start(self->vcpu, guest_ioapic, (void *)2);
	vcpu_sync(self->vcpu, 0);
	vm_irq_line(self->vm, 10, 1);
	memset(chip, 0, sizeof(chip));
	for (i = 0; i < 3; i++) {
		chip[i].chip_id = i;
		memset(&again, 0, sizeof(again));
		again.chip_id = i;
		ASSERT_EQ(0, ioctl(self->vm->fd, KVM_GET_IRQCHIP, &chip[i]));
		ASSERT_EQ(0, ioctl(vm->fd, KVM_SET_IRQCHIP, &chip[i]));
		ASSERT_EQ(0, ioctl(vm->fd, KVM_GET_IRQCHIP, &again));
		EXPECT_EQ(0, memcmp(&chip[i], &again, sizeof(again)));
	}
	EXPECT_EQ(1 << 10, chip[2].chip.ioapic.irr);
	EXPECT_EQ(BIT(14), chip[2].chip.ioapic.redirtbl[10].bits & BIT(14));
	EXPECT_EQ(0xff, chip[0].chip.pic.imr);
	ASSERT_EQ(0, ioctl(self->vm->fd, KVM_GET_PIT2, &pit));
	ASSERT_EQ(0, ioctl(vm->fd, KVM_SET_PIT2, &pit));
	ASSERT_EQ(0, ioctl(vm->fd, KVM_GET_PIT2, &pit_again));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(pit.channels[i].count, pit_again.channels[i].count);
		EXPECT_EQ(pit.channels[i].mode, pit_again.channels[i].mode);
		EXPECT_EQ(pit.channels[i].gate, pit_again.channels[i].gate);
	}
	vm_free(vm);
}

static void guest_uses_all(void *arg)
{
	int i;

	for (i = 0x20; i < 0x22; i++) {
		in8(i);
		out8(i, 0x20);
	}
	for (i = 0; i < 100; i++)
		io_read(i);
	for (i = 0; i < 4; i++) {
		in8(0x40 + i);
		in8(0x40 + i);
		out8(0x43, 0xfe);
	}
	in8(0x61);
	pic_init(0, 0);
}

TEST_F(chip, state_is_garbage)
{
	struct kvm_pit_state2 pit;
	struct kvm_irqchip chip;
	int fill, i;

	create_pit(self->vm);
	for (fill = 0; fill < 256; fill += 85) {
		for (i = 0; i < 3; i++) {
			memset(&chip, fill, sizeof(chip));
			chip.chip_id = i;
			EXPECT_EQ(0, ioctl(self->vm->fd, KVM_SET_IRQCHIP, &chip));
		}
		memset(&pit, fill, sizeof(pit));
		EXPECT_EQ(0, ioctl(self->vm->fd, KVM_SET_PIT2, &pit));
		EXPECT_EQ(0, ioctl(self->vm->fd, KVM_SET_PIT, &pit));
		vcpu_call(self->vcpu, guest_uses_all, NULL);
	}
}

TEST_F(chip, refused)
{
	struct kvm_pit_config pit = {};
	struct kvm_irqchip chip = { .chip_id = 3 };
	struct kvm_interrupt irq = { .irq = 0x30 };
	struct kvm_pit_state2 state;
	struct vm *vm;

	create_pit(self->vm);
	EXPECT_EQ(-EEXIST, vm_try(self->vm, KVM_CREATE_IRQCHIP, NULL));
	EXPECT_EQ(-EEXIST, vm_enable_cap(self->vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	EXPECT_EQ(-EEXIST, vm_try(self->vm, KVM_CREATE_PIT2, &pit));
	EXPECT_EQ(-EINVAL, vm_try(self->vm, KVM_GET_IRQCHIP, &chip));
	EXPECT_EQ(-EINVAL, vm_try(self->vm, KVM_SET_IRQCHIP, &chip));
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq));
	EXPECT_EQ(ENXIO, errno);

	vm = vm_create();
	EXPECT_EQ(-ENOENT, vm_try(vm, KVM_CREATE_PIT2, &pit));
	chip.chip_id = 0;
	EXPECT_EQ(-ENXIO, vm_try(vm, KVM_GET_IRQCHIP, &chip));
	EXPECT_EQ(-ENXIO, vm_try(vm, KVM_SET_IRQCHIP, &chip));
	EXPECT_EQ(-ENXIO, vm_try(vm, KVM_GET_PIT2, &state));
	vcpu_create(vm, 0);
	EXPECT_EQ(-EINVAL, vm_try(vm, KVM_CREATE_IRQCHIP, NULL));
	vm_free(vm);

	vm = vm_irqchip(true);
	EXPECT_EQ(-ENXIO, vm_try(vm, KVM_GET_PIT2, &state));
	EXPECT_EQ(-ENXIO, vm_try(vm, KVM_REINJECT_CONTROL, &state));
	pit.flags = 2;
	EXPECT_EQ(-EINVAL, vm_try(vm, KVM_CREATE_PIT2, &pit));
	vm_free(vm);
}

UMBRA_TEST_MAIN
