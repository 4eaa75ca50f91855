// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port IO. Proves that IN and OUT of every size leave the guest with port,
 * size, direction and value, that string IO with REP hands over every element
 * once and in order whatever the split into exits, that direction and address
 * size are honoured, and that all of it works in real mode as well.
 */
#include "test.h"

FIXTURE(pio) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

#define PORT 0x3f8

FIXTURE_SETUP(pio)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, 8 * PAGE_4K);
}

FIXTURE_TEARDOWN(pio)
{
	vm_free(self->vm);
}

/* What went through the port, both ways, as a stream of bytes. */
struct port {
	u8 out[8192], in[8192];
	size_t n_out, n_in;
	int exits;
};

/* Serves exits on PORT until another exit, which it returns. */
static u32 serve(struct vcpu *vcpu, struct port *port)
{
	struct kvm_run *run = vcpu->run;

	for (;;) {
		u8 *data = (u8 *)run + run->io.data_offset;
		size_t n;

		if (vcpu_run(vcpu))
			die("KVM_RUN");
		if (run->exit_reason != KVM_EXIT_IO || run->io.port != PORT)
			return run->exit_reason;
		data = (u8 *)run + run->io.data_offset;
		n = (size_t)run->io.size * run->io.count;
		if (!n || run->io.data_offset + n > vcpu->vm->run_size)
			die("%s: data outside of the vCPU's mapping", vcpu_exit_name(vcpu));
		port->exits++;
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(port->out + port->n_out, data, n);
			port->n_out += n;
		} else {
			memcpy(data, port->in + port->n_in, n);
			port->n_in += n;
		}
	}
}

static void guest_plain(void *arg)
{
	u64 v = 0xffffffff44332211;

	asm volatile("outb %%al, %%dx" : : "a" (v), "d" (PORT));
	asm volatile("outw %%ax, %%dx" : : "a" (v), "d" (PORT));
	asm volatile("outl %%eax, %%dx" : : "a" (v), "d" (PORT));
	v = ~0UL;
	asm volatile("inb %%dx, %%al" : "+a" (v) : "d" (PORT));
	GUEST_ASSERT_EQ(0xffffffffffffff01, v);
	v = ~0UL;
	asm volatile("inw %%dx, %%ax" : "+a" (v) : "d" (PORT));
	GUEST_ASSERT_EQ(0xffffffffffff0302, v);
	v = ~0UL;
	/* A 32-bit result clears the upper half of the register. */
	asm volatile("inl %%dx, %%eax" : "+a" (v) : "d" (PORT));
	GUEST_ASSERT_EQ(0x07060504, v);
	/* With the port in the instruction. */
	asm volatile("outb %%al, $0x42" : : "a" (v));
}

TEST_F(pio, sizes_both_ways)
{
	static const u8 want[] = { 0x11, 0x11, 0x22, 0x11, 0x22, 0x33, 0x44 };
	struct kvm_run *run = self->vcpu->run;
	struct port port = { .in = { 1, 2, 3, 4, 5, 6, 7 } };

	vcpu_start(self->vcpu, guest_plain, NULL);
	EXPECT_EQ(KVM_EXIT_IO, serve(self->vcpu, &port));
	EXPECT_EQ(0x42, run->io.port);
	EXPECT_EQ(1, run->io.size);
	EXPECT_EQ(1, run->io.count);
	EXPECT_EQ(KVM_EXIT_IO_OUT, run->io.direction);
	EXPECT_EQ(4, *((u8 *)run + run->io.data_offset));
	EXPECT_EQ(sizeof(want), port.n_out);
	EXPECT_EQ(0, memcmp(want, port.out, sizeof(want)));
	EXPECT_EQ(6, port.exits);
	vcpu_done(self->vcpu);
}

struct string_args {
	u8 *buf;
	u64 count;
};

static void guest_outs(void *arg)
{
	struct string_args *a = arg;
	u64 n = a->count;
	u8 *p = a->buf;

	asm volatile("rep outsb" : "+c" (n), "+S" (p) : "d" (PORT) : "memory");
	GUEST_ASSERT_EQ(0, n);
	GUEST_ASSERT_EQ(a->buf + a->count, p);
	n = a->count / 4;
	p = a->buf;
	asm volatile("rep outsl" : "+c" (n), "+S" (p) : "d" (PORT) : "memory");
	GUEST_ASSERT_EQ(0, n);
	GUEST_ASSERT_EQ(a->buf + a->count, p);
	/* Once, without REP. */
	n = 77;
	p = a->buf;
	asm volatile("outsw" : "+S" (p) : "d" (PORT), "c" (n) : "memory");
	GUEST_ASSERT_EQ(a->buf + 2, p);
}

TEST_F(pio, rep_outs)
{
	struct string_args *a = (void *)self->mem;
	struct port port = {};
	int i;

	/* From an unaligned address over the border of two pages. */
	a->buf = self->mem + 2 * PAGE_4K - 1001;
	a->count = 2000;
	for (i = 0; i < 2000; i++)
		a->buf[i] = i * 13;
	vcpu_start(self->vcpu, guest_outs, a);
	EXPECT_EQ(KVM_EXIT_IO, serve(self->vcpu, &port));
	EXPECT_EQ(UCALL_PORT, self->vcpu->run->io.port);
	ASSERT_EQ(4002, port.n_out);
	EXPECT_EQ(0, memcmp(a->buf, port.out, 2000));
	EXPECT_EQ(0, memcmp(a->buf, port.out + 2000, 2000));
	EXPECT_EQ(0, memcmp(a->buf, port.out + 4000, 2));
}

static void guest_ins(void *arg)
{
	struct string_args *a = arg;
	u64 n = a->count;
	u8 *p = a->buf;

	asm volatile("rep insb" : "+c" (n), "+D" (p) : "d" (PORT) : "memory");
	GUEST_ASSERT_EQ(0, n);
	GUEST_ASSERT_EQ(a->buf + a->count, p);
	n = 10;
	p = a->buf + a->count + 18;
	asm volatile("std; rep insw; cld" : "+c" (n), "+D" (p) : "d" (PORT) : "memory");
	GUEST_ASSERT_EQ(0, n);
	GUEST_ASSERT_EQ(a->buf + a->count - 2, p);
	n = 0;
	asm volatile("rep insb" : "+c" (n), "+D" (p) : "d" (PORT) : "memory");
	GUEST_ASSERT_EQ(a->buf + a->count - 2, p);
}

TEST_F(pio, rep_ins)
{
	struct string_args *a = (void *)self->mem;
	struct port port = {};
	int i;

	for (i = 0; i < sizeof(port.in); i++)
		port.in[i] = i * 11 + 1;
	/* Into pages that nobody has touched. */
	a->buf = self->mem + 3 * PAGE_4K - 501;
	a->count = 1500;
	vcpu_start(self->vcpu, guest_ins, a);
	EXPECT_EQ(KVM_EXIT_IO, serve(self->vcpu, &port));
	EXPECT_EQ(UCALL_PORT, self->vcpu->run->io.port);
	ASSERT_EQ(1520, port.n_in);
	EXPECT_EQ(0, memcmp(a->buf, port.in, 1500));
	/* The words arrived downwards. */
	for (i = 0; i < 10; i++)
		EXPECT_EQ(0, memcmp(a->buf + 1500 + 18 - 2 * i, port.in + 1500 + 2 * i, 2));
}

/*
 * Real mode, with addresses that need a segment:
 *	mov $0x200, %ax; mov %ax, %ds; mov %ax, %es
 *	xor %si, %si; mov $0x100, %di; mov $8, %cx; mov $0x3f8, %dx
 *	rep outsb; mov $8, %cx; rep insb; outb %al, $0x42
 */
static const u8 real_code[] = {
	0xb8, 0x00, 0x02, 0x8e, 0xd8, 0x8e, 0xc0,
	0x31, 0xf6, 0xbf, 0x00, 0x01, 0xb9, 0x08, 0x00, 0xba, 0xf8, 0x03,
	0xf3, 0x6e, 0xb9, 0x08, 0x00, 0xf3, 0x6c, 0xe6, 0x42,
};

TEST_F(pio, real_mode)
{
	struct port port = { .in = "inwards!" };

	memcpy(boot_hva(self->vm, 0x1000), real_code, sizeof(real_code));
	memcpy(boot_hva(self->vm, 0x2000), "outwards", 8);
	vcpu_start_real(self->vcpu, 0x1000, 0xf000);
	EXPECT_EQ(KVM_EXIT_IO, serve(self->vcpu, &port));
	EXPECT_EQ(0x42, self->vcpu->run->io.port);
	EXPECT_EQ(8, port.n_out);
	EXPECT_EQ(0, memcmp(port.out, "outwards", 8));
	EXPECT_EQ(8, port.n_in);
	EXPECT_EQ(0, memcmp(boot_hva(self->vm, 0x2100), "inwards!", 8));
}

/*
 * Real mode MMIO: mov $0xa000, %ax; mov %ax, %ds; movb $0x5a, (0x10);
 * mov (0x20), %bx; outb %al, $0x42. The hole is made by a second VM layout.
 */
static const u8 real_mmio[] = {
	0xb8, 0x00, 0xa0, 0x8e, 0xd8, 0xc6, 0x06, 0x10, 0x00, 0x5a,
	0x8b, 0x1e, 0x20, 0x00, 0xe6, 0x42,
};

TEST_F(pio, real_mode_mmio)
{
	struct kvm_run *run = self->vcpu->run;
	struct kvm_regs regs;

	/* Boot memory shrinks to 640K, as it is in a PC. */
	ASSERT_EQ(0, vm_set_slot(self->vm, BOOT_SLOT, 0, 0, 0, self->vm->boot));
	ASSERT_EQ(0, vm_set_slot(self->vm, BOOT_SLOT, 0, 0, 0xa0000, self->vm->boot));
	memcpy(boot_hva(self->vm, 0x1000), real_mmio, sizeof(real_mmio));
	vcpu_start_real(self->vcpu, 0x1000, 0xf000);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_MMIO, run->exit_reason);
	EXPECT_EQ(0xa0010, run->mmio.phys_addr);
	EXPECT_EQ(1, run->mmio.len);
	EXPECT_EQ(1, run->mmio.is_write);
	EXPECT_EQ(0x5a, run->mmio.data[0]);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_MMIO, run->exit_reason);
	EXPECT_EQ(0xa0020, run->mmio.phys_addr);
	EXPECT_EQ(2, run->mmio.len);
	EXPECT_EQ(0, run->mmio.is_write);
	memcpy(run->mmio.data, "\x34\x12", 2);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_IO, run->exit_reason);
	vcpu_get_regs(self->vcpu, &regs);
	EXPECT_EQ(0x1234, regs.rbx);
}

UMBRA_TEST_MAIN
