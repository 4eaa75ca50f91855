// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes that need not wake userspace. Proves that an ioeventfd is signalled by exactly
 * the writes that it was made for, by port and by MMIO, and once for each; that the other
 * writes, also of the same string instruction, reach userspace in order; that a coalesced
 * zone's writes are in the ring in order and nowhere else, that a full ring and one with
 * nonsense in it lose nothing and harm nobody; and that each wrong argument has its errno.
 */
#include <sys/eventfd.h>

#include "test.h"

#define PORT 0x230
#define MMIO (TEST_MMIO + 0x100)

FIXTURE(bus) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
	int fd;
};

FIXTURE_SETUP(bus)
{
	if (!node_has(KVM_CAP_IOEVENTFD) || !node_has(KVM_CAP_COALESCED_MMIO))
		TEST_SKIP("no KVM_CAP_IOEVENTFD or no KVM_CAP_COALESCED_MMIO");
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, PAGE_2M);
	self->fd = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(bus)
{
	close(self->fd);
	vm_free(self->vm);
}

static int set_event(struct vm *vm, u64 addr, u32 len, int fd, u32 flags, u64 match)
{
	struct kvm_ioeventfd e = {
		.addr = addr, .len = len, .fd = fd, .flags = flags, .datamatch = match,
	};

	return vm_try(vm, KVM_IOEVENTFD, &e);
}

static int set_zone(struct vm *vm, bool on, u64 addr, u32 size, u32 pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size, .pio = pio };

	return vm_try(vm, on ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO, &z);
}

/* How often it was signalled since the last look. */
static u64 signals(int fd)
{
	u64 n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

#define EVENTFD_PIO KVM_IOEVENTFD_FLAG_PIO
#define EVENTFD_MATCH KVM_IOEVENTFD_FLAG_DATAMATCH
#define EVENTFD_OFF KVM_IOEVENTFD_FLAG_DEASSIGN

static void guest_ports(void *arg)
{
	asm volatile("outw %w0, %w1" : : "a" (0x1111), "Nd" (PORT));
	asm volatile("outw %w0, %w1" : : "a" (0x2222), "Nd" (PORT));
	asm volatile("outb %b0, %w1" : : "a" (0x11), "Nd" (PORT));
	asm volatile("outw %w0, %w1" : : "a" (0x1111), "Nd" (PORT + 2));
	asm volatile("outw %w0, %w1" : : "a" (0x1111), "Nd" (PORT));
}

/* The next write that reaches userspace. */
static void expect_port(struct __test_metadata *_metadata, struct vcpu *vcpu, u16 port,
			u8 size, u32 val)
{
	struct kvm_run *run = vcpu->run;
	u32 seen = 0;

	ASSERT_EQ(UCALL_NONE, vcpu_next(vcpu));
	ASSERT_EQ(KVM_EXIT_IO, run->exit_reason);
	EXPECT_EQ(port, run->io.port);
	EXPECT_EQ(size, run->io.size);
	EXPECT_EQ(1, run->io.count);
	memcpy(&seen, (u8 *)run + run->io.data_offset, size);
	EXPECT_EQ(val, seen);
}

TEST_F(bus, port_with_a_value)
{
	ASSERT_EQ(0, set_event(self->vm, PORT, 2, self->fd, EVENTFD_PIO | EVENTFD_MATCH, 0x1111));
	vcpu_start(self->vcpu, guest_ports, NULL);
	expect_port(_metadata, self->vcpu, PORT, 2, 0x2222);
	EXPECT_EQ(1, signals(self->fd));
	expect_port(_metadata, self->vcpu, PORT, 1, 0x11);
	expect_port(_metadata, self->vcpu, PORT + 2, 2, 0x1111);
	EXPECT_EQ(0, signals(self->fd));
	vcpu_done(self->vcpu);
	EXPECT_EQ(1, signals(self->fd));
}

TEST_F(bus, port_with_any_length)
{
	ASSERT_EQ(0, set_event(self->vm, PORT, 0, self->fd, EVENTFD_PIO, 0));
	vcpu_start(self->vcpu, guest_ports, NULL);
	expect_port(_metadata, self->vcpu, PORT + 2, 2, 0x1111);
	EXPECT_EQ(3, signals(self->fd));
	vcpu_done(self->vcpu);
	EXPECT_EQ(1, signals(self->fd));
	/* Taken back, all of them are userspace's again. */
	ASSERT_EQ(0, set_event(self->vm, PORT, 0, self->fd, EVENTFD_PIO | EVENTFD_OFF, 0));
	vcpu_start(self->vcpu, guest_ports, NULL);
	expect_port(_metadata, self->vcpu, PORT, 2, 0x1111);
	expect_port(_metadata, self->vcpu, PORT, 2, 0x2222);
	EXPECT_EQ(0, signals(self->fd));
}

/* The first and the last but one are signals. */
static void guest_string(void *arg)
{
	asm volatile("rep outsw" : "+S" (arg) : "c" (5UL), "d" (PORT) : "memory");
}

TEST_F(bus, string_of_ports)
{
	u16 *items = (u16 *)self->mem;
	int i;

	for (i = 0; i < 5; i++)
		items[i] = i == 0 || i == 3 ? 0x1111 : i;
	ASSERT_EQ(0, set_event(self->vm, PORT, 2, self->fd, EVENTFD_PIO | EVENTFD_MATCH, 0x1111));
	vcpu_start(self->vcpu, guest_string, items);
	expect_port(_metadata, self->vcpu, PORT, 2, 1);
	EXPECT_EQ(1, signals(self->fd));
	expect_port(_metadata, self->vcpu, PORT, 2, 2);
	EXPECT_EQ(0, signals(self->fd));
	expect_port(_metadata, self->vcpu, PORT, 2, 4);
	EXPECT_EQ(1, signals(self->fd));
	vcpu_done(self->vcpu);
}

static void guest_mmio(void *arg)
{
	GUEST_WRITE((u32 *)MMIO, 5);
	GUEST_WRITE((u32 *)MMIO, 6);
	GUEST_WRITE((u32 *)(MMIO + 4), 5);
	GUEST_WRITE((u64 *)MMIO, 5);
	GUEST_WRITE((u8 *)MMIO, 5);
	GUEST_ASSERT_EQ(0x77, GUEST_READ((u32 *)MMIO));
}

static void expect_mmio(struct __test_metadata *_metadata, struct vcpu *vcpu, u64 addr,
			u32 len, u64 val)
{
	struct kvm_run *run = vcpu->run;
	u64 seen = 0;

	ASSERT_EQ(UCALL_NONE, vcpu_next(vcpu));
	ASSERT_EQ(KVM_EXIT_MMIO, run->exit_reason);
	EXPECT_EQ(addr, run->mmio.phys_addr);
	EXPECT_EQ(len, run->mmio.len);
	EXPECT_EQ(1, run->mmio.is_write);
	memcpy(&seen, run->mmio.data, 8);
	EXPECT_EQ(val, seen);
}

static void answer_mmio(struct __test_metadata *_metadata, struct vcpu *vcpu, u32 val)
{
	ASSERT_EQ(UCALL_NONE, vcpu_next(vcpu));
	ASSERT_EQ(KVM_EXIT_MMIO, vcpu->run->exit_reason);
	ASSERT_EQ(0, vcpu->run->mmio.is_write);
	memcpy(vcpu->run->mmio.data, &val, 4);
	vcpu_done(vcpu);
}

TEST_F(bus, mmio)
{
	int any = eventfd(0, EFD_NONBLOCK);

	ASSERT_EQ(0, set_event(self->vm, MMIO, 4, self->fd, EVENTFD_MATCH, 5));
	ASSERT_EQ(0, set_event(self->vm, MMIO, 8, any, 0, 0));
	vcpu_start(self->vcpu, guest_mmio, NULL);
	expect_mmio(_metadata, self->vcpu, MMIO, 4, 6);
	EXPECT_EQ(1, signals(self->fd));
	expect_mmio(_metadata, self->vcpu, MMIO + 4, 4, 5);
	EXPECT_EQ(0, signals(any));
	expect_mmio(_metadata, self->vcpu, MMIO, 1, 5);
	EXPECT_EQ(1, signals(any));
	EXPECT_EQ(0, signals(self->fd));
	/* Reads are never signals. */
	answer_mmio(_metadata, self->vcpu, 0x77);
	EXPECT_EQ(0, signals(self->fd) + signals(any));
	close(any);
}

TEST_F(bus, arguments_of_ioeventfd)
{
	int other = eventfd(0, EFD_NONBLOCK), i;
	struct vm *vm = self->vm;

	EXPECT_EQ(-EINVAL, set_event(vm, PORT, 3, self->fd, EVENTFD_PIO, 0));
	EXPECT_EQ(-EINVAL, set_event(vm, PORT, 16, self->fd, EVENTFD_PIO, 0));
	EXPECT_EQ(-EINVAL, set_event(vm, PORT, 2, self->fd, BIT(10), 0));
	EXPECT_EQ(-EINVAL, set_event(vm, PORT, 0, self->fd, EVENTFD_MATCH, 0));
	EXPECT_EQ(-EINVAL, set_event(vm, ~0UL, 8, self->fd, 0, 0));
	EXPECT_EQ(-EBADF, set_event(vm, PORT, 2, -1, EVENTFD_PIO, 0));
	EXPECT_EQ(-EINVAL, set_event(vm, PORT, 2, self->vm->fd, EVENTFD_PIO, 0));
	EXPECT_EQ(-1, ioctl(vm->fd, KVM_IOEVENTFD, (void *)8));
	EXPECT_EQ(EFAULT, errno);

	ASSERT_EQ(0, set_event(vm, PORT, 2, self->fd, EVENTFD_PIO | EVENTFD_MATCH, 1));
	EXPECT_EQ(-EEXIST, set_event(vm, PORT, 2, other, EVENTFD_PIO | EVENTFD_MATCH, 1));
	EXPECT_EQ(-EEXIST, set_event(vm, PORT, 2, other, EVENTFD_PIO, 0));
	EXPECT_EQ(-EEXIST, set_event(vm, PORT, 0, other, EVENTFD_PIO, 0));
	EXPECT_EQ(0, set_event(vm, PORT, 2, other, EVENTFD_PIO | EVENTFD_MATCH, 2));
	EXPECT_EQ(0, set_event(vm, PORT, 4, other, EVENTFD_PIO, 0));
	EXPECT_EQ(0, set_event(vm, PORT, 2, other, 0, 0));
	/* Only what was assigned can be taken back. */
	EXPECT_EQ(-ENOENT, set_event(vm, PORT, 2, other,
				     EVENTFD_PIO | EVENTFD_MATCH | EVENTFD_OFF, 1));
	EXPECT_EQ(-ENOENT, set_event(vm, PORT, 2, self->fd,
				     EVENTFD_PIO | EVENTFD_MATCH | EVENTFD_OFF, 3));
	EXPECT_EQ(0, set_event(vm, PORT, 2, self->fd,
			       EVENTFD_PIO | EVENTFD_MATCH | EVENTFD_OFF, 1));
	EXPECT_EQ(-ENOENT, set_event(vm, PORT, 2, self->fd,
				     EVENTFD_PIO | EVENTFD_MATCH | EVENTFD_OFF, 1));
	for (i = 0; i < 2000 && !set_event(vm, 0x1000 + i * 8, 8, other, 0, 0); i++)
		;
	EXPECT_LT(100, i);
	EXPECT_EQ(-ENOSPC, set_event(vm, 0x100000, 8, other, 0, 0));
	close(other);
}

/* --- coalesced --- */

static struct kvm_coalesced_mmio_ring *ring(struct vcpu *vcpu)
{
	return (void *)((u8 *)vcpu->run + node_has(KVM_CAP_COALESCED_MMIO) * PAGE_4K);
}

#define RING_MAX ((PAGE_4K - sizeof(struct kvm_coalesced_mmio_ring)) / \
		  sizeof(struct kvm_coalesced_mmio))

TEST_F(bus, ring)
{
	struct kvm_coalesced_mmio_ring *r = ring(self->vcpu);

	ASSERT_EQ(0, set_zone(self->vm, true, MMIO, 8, 0));
	vcpu_start(self->vcpu, guest_mmio, NULL);
	answer_mmio(_metadata, self->vcpu, 0x77);
	EXPECT_EQ(0, r->first);
	ASSERT_EQ(5, r->last);
	EXPECT_EQ(MMIO, r->coalesced_mmio[1].phys_addr);
	EXPECT_EQ(4, r->coalesced_mmio[1].len);
	EXPECT_EQ(6, r->coalesced_mmio[1].data[0]);
	EXPECT_EQ(0, r->coalesced_mmio[1].pio);
	EXPECT_EQ(MMIO + 4, r->coalesced_mmio[2].phys_addr);
	EXPECT_EQ(8, r->coalesced_mmio[3].len);
	EXPECT_EQ(1, r->coalesced_mmio[4].len);
	/* A zone that the write does not fit in. */
	r->first = r->last;
	ASSERT_EQ(0, set_zone(self->vm, false, MMIO, 8, 0));
	ASSERT_EQ(0, set_zone(self->vm, true, MMIO, 4, 0));
	vcpu_start(self->vcpu, guest_mmio, NULL);
	expect_mmio(_metadata, self->vcpu, MMIO + 4, 4, 5);
	expect_mmio(_metadata, self->vcpu, MMIO, 8, 5);
	EXPECT_EQ(7, r->last);
	answer_mmio(_metadata, self->vcpu, 0x77);
	EXPECT_EQ(8, r->last);
}

TEST_F(bus, ring_of_ports)
{
	struct kvm_coalesced_mmio_ring *r = ring(self->vcpu);

	if (!node_has(KVM_CAP_COALESCED_PIO))
		TEST_SKIP("no KVM_CAP_COALESCED_PIO");
	ASSERT_EQ(0, set_zone(self->vm, true, PORT, 2, 1));
	/* A signal is no matter of the ring, although it came later. */
	ASSERT_EQ(0, set_event(self->vm, PORT, 1, self->fd, EVENTFD_PIO, 0));
	vcpu_start(self->vcpu, guest_ports, NULL);
	expect_port(_metadata, self->vcpu, PORT + 2, 2, 0x1111);
	EXPECT_EQ(1, signals(self->fd));
	ASSERT_EQ(2, r->last);
	EXPECT_EQ(1, r->coalesced_mmio[1].pio);
	EXPECT_EQ(PORT, r->coalesced_mmio[1].phys_addr);
	EXPECT_EQ(2, r->coalesced_mmio[1].len);
	EXPECT_EQ(0x22, r->coalesced_mmio[1].data[1]);
	vcpu_done(self->vcpu);
	EXPECT_EQ(3, r->last);
}

static void guest_many(void *arg)
{
	u64 i;

	for (i = 0; i < (u64)arg; i++)
		GUEST_WRITE((u32 *)MMIO, i);
}

TEST_F(bus, full_ring)
{
	struct kvm_coalesced_mmio_ring *r = ring(self->vcpu);

	ASSERT_EQ(0, set_zone(self->vm, true, MMIO, 8, 0));
	vcpu_start(self->vcpu, guest_many, (void *)(RING_MAX + 2));
	/* One place stays empty, so that full and empty differ. */
	expect_mmio(_metadata, self->vcpu, MMIO, 4, RING_MAX - 1);
	EXPECT_EQ(RING_MAX - 1, r->last);
	EXPECT_EQ(0, r->coalesced_mmio[0].data[0]);
	r->first = 1;
	expect_mmio(_metadata, self->vcpu, MMIO, 4, RING_MAX + 1);
	EXPECT_EQ(0, r->last);
	EXPECT_EQ((u8)RING_MAX, r->coalesced_mmio[RING_MAX - 1].data[0]);
	vcpu_done(self->vcpu);
}

TEST_F(bus, nonsense_in_the_ring)
{
	static const u32 nonsense[] = { RING_MAX, RING_MAX + 1, 0x80000000, 0xffffffff };
	struct kvm_coalesced_mmio_ring *r = ring(self->vcpu);
	int i;

	ASSERT_EQ(0, set_zone(self->vm, true, MMIO, 8, 0));
	for (i = 0; i < ARRAY_SIZE(nonsense); i++) {
		r->last = nonsense[i];
		vcpu_start(self->vcpu, guest_many, (void *)1);
		expect_mmio(_metadata, self->vcpu, MMIO, 4, 0);
		EXPECT_EQ(nonsense[i], r->last);
		r->last = 3;
		r->first = nonsense[i];
		vcpu_call(self->vcpu, guest_many, (void *)1);
		EXPECT_EQ(4, r->last);
	}
}

TEST_F(bus, arguments_of_zones)
{
	struct kvm_coalesced_mmio_ring *r = ring(self->vcpu);
	int i;

	EXPECT_EQ(-EINVAL, set_zone(self->vm, true, MMIO, 8, 2));
	EXPECT_EQ(-EINVAL, set_zone(self->vm, false, MMIO, 8, 2));
	EXPECT_EQ(-1, ioctl(self->vm->fd, KVM_REGISTER_COALESCED_MMIO, (void *)8));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, set_zone(self->vm, false, MMIO, 8, 0));
	ASSERT_EQ(0, set_zone(self->vm, true, MMIO, 8, 0));
	/* Neither the other bus's, nor one that is larger. */
	EXPECT_EQ(0, set_zone(self->vm, false, MMIO, 8, 1));
	EXPECT_EQ(0, set_zone(self->vm, false, MMIO, 16, 0));
	vcpu_call(self->vcpu, guest_many, (void *)1);
	EXPECT_EQ(1, r->last);
	EXPECT_EQ(0, set_zone(self->vm, false, MMIO, 8, 0));
	vcpu_start(self->vcpu, guest_many, (void *)1);
	expect_mmio(_metadata, self->vcpu, MMIO, 4, 0);
	/* One that wraps holds what it says, and the end of the address space ends it. */
	ASSERT_EQ(0, set_zone(self->vm, true, ~0UL - 3, 100, 0));
	for (i = 0; i < 2000 && !set_zone(self->vm, true, i * 8UL, 8, 0); i++)
		;
	EXPECT_LT(100, i);
	EXPECT_EQ(-ENOSPC, set_zone(self->vm, true, MMIO, 8, 0));
}

UMBRA_TEST_MAIN
