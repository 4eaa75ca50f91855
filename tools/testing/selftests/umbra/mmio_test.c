// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMIO and port IO. Proves that an access outside every slot leaves the guest
 * with address, size, direction and value, that the answer arrives in the
 * register it was meant for and nowhere else, for plain and string
 * instructions, across page borders and between a slot and MMIO, in 64-bit,
 * protected and real mode; and that writes to a read-only slot are MMIO while
 * reads of it are memory.
 */
#include "test.h"

FIXTURE(mmio) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

#define MEM_SIZE (16 * PAGE_4K)
#define MMIO ((u8 *)TEST_MMIO)

FIXTURE_SETUP(mmio)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, MEM_SIZE);
	agent_start(self->vcpu);
}

FIXTURE_TEARDOWN(mmio)
{
	vm_free(self->vm);
}

/* What a device saw: one byte array each for reads and writes, by address. */
struct device {
	u8 bytes[2 * PAGE_4K];
	u64 base;
	int reads, writes;
	int max_len;
};

/* Serves MMIO exits from @dev until something else happens. */
static u64 serve(struct vcpu *vcpu, struct device *dev)
{
	struct kvm_run *run = vcpu->run;
	u64 cmd;

	while ((cmd = vcpu_next(vcpu)) == UCALL_NONE && run->exit_reason == KVM_EXIT_MMIO) {
		u64 off = run->mmio.phys_addr - dev->base;

		if (off + run->mmio.len > sizeof(dev->bytes) || !run->mmio.len || run->mmio.len > 8)
			die("stray %s", vcpu_exit_name(vcpu));
		if (run->mmio.len > dev->max_len)
			dev->max_len = run->mmio.len;
		if (run->mmio.is_write) {
			memcpy(dev->bytes + off, run->mmio.data, run->mmio.len);
			dev->writes++;
		} else {
			memcpy(run->mmio.data, dev->bytes + off, run->mmio.len);
			dev->reads++;
		}
	}
	return cmd;
}

static u64 low_bytes(u64 v, int size)
{
	return size == 8 ? v : v & ((1UL << 8 * size) - 1);
}

TEST_F(mmio, sizes_both_ways)
{
	struct kvm_run *run = self->vcpu->run;
	const u64 value = 0x8877665544332211;
	int size;

	for (size = 1; size <= 8; size *= 2) {
		u8 *at = MMIO + 0x100 * size;
		u64 seen = 0;

		agent_post(self->vcpu, AGENT_WRITE, at, size, value, 0);
		ASSERT_EQ(0, vcpu_run(self->vcpu));
		ASSERT_EQ(KVM_EXIT_MMIO, run->exit_reason);
		EXPECT_EQ((u64)at, run->mmio.phys_addr);
		EXPECT_EQ(size, run->mmio.len);
		EXPECT_EQ(1, run->mmio.is_write);
		memcpy(&seen, run->mmio.data, size);
		EXPECT_EQ(low_bytes(value, size), seen);
		agent_wait(self->vcpu);

		agent_post(self->vcpu, AGENT_READ, at, size, 0, 0);
		ASSERT_EQ(0, vcpu_run(self->vcpu));
		ASSERT_EQ(KVM_EXIT_MMIO, run->exit_reason);
		EXPECT_EQ((u64)at, run->mmio.phys_addr);
		EXPECT_EQ(size, run->mmio.len);
		EXPECT_EQ(0, run->mmio.is_write);
		memcpy(run->mmio.data, &value, 8);
		EXPECT_EQ(low_bytes(value, size), agent_wait(self->vcpu));
	}
}

/* A read sets only the part of the register that the instruction names. */
static void guest_partial(void *arg)
{
	const u8 *p = arg;
	u64 v = ~0UL;

	asm volatile("movb (%1), %b0" : "+q" (v) : "r" (p));
	GUEST_ASSERT_EQ(0xffffffffffffff11, v);
	v = ~0UL;
	asm volatile("movb (%1), %%ah" : "+a" (v) : "r" (p));
	GUEST_ASSERT_EQ(0xffffffffffff11ff, v);
	v = ~0UL;
	asm volatile("movw (%1), %w0" : "+r" (v) : "r" (p));
	GUEST_ASSERT_EQ(0xffffffffffff2211, v);
	v = ~0UL;
	asm volatile("movl (%1), %k0" : "+r" (v) : "r" (p));
	GUEST_ASSERT_EQ(0x44332211, v);
	asm volatile("movzbl 7(%1), %k0" : "=r" (v) : "r" (p));
	GUEST_ASSERT_EQ(0x88, v);
	asm volatile("movsbq 7(%1), %0" : "=r" (v) : "r" (p));
	GUEST_ASSERT_EQ(0xffffffffffffff88, v);
	asm volatile("movswl 6(%1), %k0" : "=r" (v) : "r" (p));
	GUEST_ASSERT_EQ(0xffff8877, v);
	asm volatile("movslq 4(%1), %0" : "=r" (v) : "r" (p));
	GUEST_ASSERT_EQ(0xffffffff88776655, v);
}

TEST_F(mmio, partial_registers)
{
	struct device dev = {
		.base = TEST_MMIO,
		.bytes = { 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88 },
	};

	vcpu_start(self->vcpu, guest_partial, MMIO);
	EXPECT_EQ(UCALL_DONE, serve(self->vcpu, &dev));
	EXPECT_EQ(8, dev.reads);
	EXPECT_EQ(0, dev.writes);
}

/* Instructions that read, compute and write back, and their flags. */
static void guest_arithmetic(void *arg)
{
	u8 *p = arg;
	u8 carry;

	asm volatile("addl %2, (%1); setc %0" : "=q" (carry)
		     : "r" (p), "r" (0xffffffff) : "memory");
	GUEST_ASSERT_EQ(1, carry);
	asm volatile("orb $0x80, (%0)" : : "r" (p + 16) : "memory");
	asm volatile("andw $0x0ff0, (%0)" : : "r" (p + 18) : "memory");
	asm volatile("incq (%0)" : : "r" (p + 24) : "memory");
	asm volatile("cmpb $5, (%1); sete %0" : "=q" (carry) : "r" (p + 32) : "memory");
	GUEST_ASSERT_EQ(1, carry);
	asm volatile("movl $0x12345678, (%0)" : : "r" (p + 40) : "memory");
	asm volatile("movq $-2, (%0)" : : "r" (p + 48) : "memory");
	asm volatile("btsl $3, (%0)" : : "r" (p + 56) : "memory");
}

TEST_F(mmio, read_modify_write)
{
	struct device dev = { .base = TEST_MMIO };
	u64 *q = (u64 *)dev.bytes;
	u16 w;

	dev.bytes[0] = 3;
	dev.bytes[16] = 1;
	dev.bytes[18] = 0xff;
	dev.bytes[19] = 0xff;
	q[3] = 0xffffffff;
	dev.bytes[32] = 5;
	vcpu_start(self->vcpu, guest_arithmetic, MMIO);
	EXPECT_EQ(UCALL_DONE, serve(self->vcpu, &dev));
	EXPECT_EQ(2, q[0]);
	EXPECT_EQ(0x81, dev.bytes[16]);
	memcpy(&w, dev.bytes + 18, 2);
	EXPECT_EQ(0x0ff0, w);
	EXPECT_EQ(0x100000000, q[3]);
	EXPECT_EQ(0x12345678, q[5]);
	EXPECT_EQ(-2UL, q[6]);
	EXPECT_EQ(8, q[7]);
}

TEST_F(mmio, across_two_pages)
{
	struct device dev = { .base = TEST_MMIO };
	u8 *at = MMIO + PAGE_4K - 3;
	u64 seen;

	agent_post(self->vcpu, AGENT_WRITE, at, 8, 0x0102030405060708, 0);
	serve(self->vcpu, &dev);
	memcpy(&seen, dev.bytes + PAGE_4K - 3, 8);
	EXPECT_EQ(0x0102030405060708, seen);
	agent_post(self->vcpu, AGENT_READ, at, 8, 0, 0);
	EXPECT_EQ(UCALL_SYNC, serve(self->vcpu, &dev));
	EXPECT_EQ(0x0102030405060708, agent_result(self->vcpu));
	EXPECT_GE(dev.reads, 2);
	EXPECT_GE(dev.writes, 2);
}

/* The first half is memory, the second has no slot. */
TEST_F(mmio, from_a_slot_into_mmio)
{
	struct device dev = { .base = (u64)self->mem + MEM_SIZE };
	u8 *at = self->mem + MEM_SIZE - 4;
	u32 low;

	agent_post(self->vcpu, AGENT_WRITE, at, 8, 0x1122334455667788, 0);
	EXPECT_EQ(UCALL_SYNC, serve(self->vcpu, &dev));
	memcpy(&low, at, 4);
	EXPECT_EQ(0x55667788, low);
	memcpy(&low, dev.bytes, 4);
	EXPECT_EQ(0x11223344, low);
	EXPECT_EQ(4, dev.max_len);
}

struct two_places {
	u8 *mem, *mmio;
};

#define MMIO_VALUE 0x1020304050607080
#define MEM_VALUE 0x0807060504030201

/* Two operands at the same offset in their pages, one in memory and one MMIO. */
static void guest_two_places(void *arg)
{
	const struct two_places *a = arg;
	u8 *from = a->mem + 0x140, *to = a->mmio + 0x140;

	*(u64 *)from = MEM_VALUE;
	*(u64 *)(a->mem + 0x240) = MEM_VALUE;
	asm volatile("movsq" : "+S" (from), "+D" (to) : : "memory");
	from = a->mmio + 0x180;
	to = a->mem + 0x180;
	asm volatile("movsq" : "+S" (from), "+D" (to) : : "memory");
	GUEST_ASSERT_EQ(MMIO_VALUE, *(u64 *)(a->mem + 0x180));
	asm volatile("mov %%rsp, %%r12; mov %0, %%rsp; pushq (%1); mov %%r12, %%rsp"
		     : : "r" (a->mem + 0x208), "r" (a->mmio + 0x200) : "r12", "memory");
	GUEST_ASSERT_EQ(MMIO_VALUE, *(u64 *)(a->mem + 0x200));
	asm volatile("mov %%rsp, %%r12; mov %0, %%rsp; popq (%1); mov %%r12, %%rsp"
		     : : "r" (a->mem + 0x240), "r" (a->mmio + 0x240) : "r12", "memory");
}

TEST_F(mmio, two_places_of_one_offset)
{
	struct two_places *a = (void *)self->mem;
	struct device dev = { .base = TEST_MMIO };
	u64 *q = (u64 *)dev.bytes;

	*a = (struct two_places) { self->mem + PAGE_4K, MMIO };
	q[0x180 / 8] = MMIO_VALUE;
	q[0x200 / 8] = MMIO_VALUE;
	vcpu_start(self->vcpu, guest_two_places, a);
	EXPECT_EQ(UCALL_DONE, serve(self->vcpu, &dev));
	EXPECT_EQ(MEM_VALUE, q[0x140 / 8]);
	EXPECT_EQ(MEM_VALUE, q[0x240 / 8]);
	EXPECT_EQ(2, dev.reads);
	EXPECT_EQ(2, dev.writes);
}

struct string_args {
	u8 *from, *to;
	u64 count;
	u64 left;
};

static void guest_rep_movs(void *arg)
{
	struct string_args *a = arg;
	u64 n = a->count;
	u8 *from = a->from, *to = a->to;

	asm volatile("rep movsb" : "+c" (n), "+S" (from), "+D" (to) : : "memory");
	GUEST_ASSERT_EQ(a->from + a->count, from);
	GUEST_ASSERT_EQ(a->to + a->count, to);
	a->left = n;
}

TEST_F(mmio, rep_movs)
{
	struct string_args *a = (void *)self->mem;
	struct device dev = { .base = TEST_MMIO };
	u8 *buf = self->mem + PAGE_4K;
	int i;

	for (i = 0; i < 300; i++)
		buf[i] = i * 7;
	/* Memory to device, over a page border of the device. */
	*a = (struct string_args) { buf, MMIO + PAGE_4K - 100, 300, 1 };
	vcpu_start(self->vcpu, guest_rep_movs, a);
	EXPECT_EQ(UCALL_DONE, serve(self->vcpu, &dev));
	EXPECT_EQ(0, memcmp(buf, dev.bytes + PAGE_4K - 100, 300));
	EXPECT_EQ(0, a->left);
	/* And back. */
	*a = (struct string_args) { MMIO + PAGE_4K - 100, buf + PAGE_4K, 300, 1 };
	vcpu_start(self->vcpu, guest_rep_movs, a);
	EXPECT_EQ(UCALL_DONE, serve(self->vcpu, &dev));
	EXPECT_EQ(0, memcmp(buf, buf + PAGE_4K, 300));
	/* No iteration at all: no exit. */
	*a = (struct string_args) { MMIO, buf, 0, 1 };
	dev.reads = 0;
	vcpu_start(self->vcpu, guest_rep_movs, a);
	EXPECT_EQ(UCALL_DONE, serve(self->vcpu, &dev));
	EXPECT_EQ(0, dev.reads);
}

static void guest_rep_stos_down(void *arg)
{
	struct string_args *a = arg;
	u64 n = a->count;
	u8 *to = a->to;

	asm volatile("std; rep stosl; cld" : "+c" (n), "+D" (to) : "a" (0xcafe1234) : "memory");
	GUEST_ASSERT_EQ(a->to - 4 * a->count, to);
	a->left = n;
}

TEST_F(mmio, rep_stos_downwards)
{
	struct string_args *a = (void *)self->mem;
	struct device dev = { .base = TEST_MMIO };
	u32 *words = (u32 *)dev.bytes;
	int i;

	*a = (struct string_args) { NULL, MMIO + 40, 10, 1 };
	vcpu_start(self->vcpu, guest_rep_stos_down, a);
	EXPECT_EQ(UCALL_DONE, serve(self->vcpu, &dev));
	EXPECT_EQ(0, words[0]);
	for (i = 1; i <= 10; i++)
		EXPECT_EQ(0xcafe1234, words[i]);
	EXPECT_EQ(0, words[11]);
	EXPECT_EQ(10, dev.writes);
}

/* --- read-only slots --- */

TEST_F(mmio, readonly_slot)
{
	struct device dev = {};
	u8 *rom = vm_reserve(self->vm, PAGE_2M, PAGE_2M);

	if (!node_has(KVM_CAP_READONLY_MEM))
		TEST_SKIP("no KVM_CAP_READONLY_MEM");
	ASSERT_EQ(0, mprotect(rom, PAGE_2M, PROT_READ | PROT_WRITE));
	host_fill(rom, PAGE_2M, 512, 9);
	vm_add_slot(self->vm, KVM_MEM_READONLY, (u64)rom, PAGE_2M, rom);
	EXPECT_EQ(0, agent_verify(self->vcpu, rom, PAGE_2M, 512, 9));
	dev.base = (u64)rom;
	agent_post(self->vcpu, AGENT_WRITE, rom + 64, 4, 0xabcdef01, 0);
	EXPECT_EQ(UCALL_SYNC, serve(self->vcpu, &dev));
	EXPECT_EQ(1, dev.writes);
	EXPECT_EQ(0, memcmp(dev.bytes + 64, "\x01\xef\xcd\xab", 4));
	/* A page that was never read behaves the same, and nothing was changed. */
	agent_post(self->vcpu, AGENT_WRITE, rom + PAGE_4K, 8, 1, 0);
	EXPECT_EQ(UCALL_SYNC, serve(self->vcpu, &dev));
	EXPECT_EQ(2, dev.writes);
	EXPECT_EQ(0, host_verify(rom, PAGE_2M, 512, 9));
	/* The host may write; the guest sees it. */
	host_fill(rom, PAGE_2M, 512, 10);
	EXPECT_EQ(0, agent_verify(self->vcpu, rom, PAGE_2M, 512, 10));
	/* Code runs from it. */
	emit_return(rom + 0x1008, 0x77);
	EXPECT_EQ(0x77, agent_call(self->vcpu, rom + 0x1008));
}

/* A read-only slot over memory that the process itself cannot write. */
TEST_F(mmio, readonly_slot_over_readonly_memory)
{
	struct device dev = {};
	int fd = memfd_create("rom", 0);
	u8 *rom = vm_reserve(self->vm, PAGE_4K, PAGE_2M);

	if (!node_has(KVM_CAP_READONLY_MEM))
		TEST_SKIP("no KVM_CAP_READONLY_MEM");
	ASSERT_EQ(4, pwrite(fd, "umbr", 4, 0));
	ASSERT_EQ(0, ftruncate(fd, PAGE_4K));
	ASSERT_EQ(rom, mmap(rom, PAGE_4K, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0));
	vm_add_slot(self->vm, KVM_MEM_READONLY, (u64)rom, PAGE_4K, rom);
	EXPECT_EQ(0x72626d75, agent_read(self->vcpu, rom, 4));
	dev.base = (u64)rom;
	agent_post(self->vcpu, AGENT_WRITE, rom, 4, 1, 0);
	EXPECT_EQ(UCALL_SYNC, serve(self->vcpu, &dev));
	EXPECT_EQ(1, dev.writes);
	EXPECT_EQ(0x72626d75, agent_read(self->vcpu, rom, 4));
	close(fd);
}

UMBRA_TEST_MAIN
