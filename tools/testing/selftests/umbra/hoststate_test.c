// SPDX-License-Identifier: GPL-2.0-only
/*
 * What crosses the world switch and what must not. Proves that a vCPU keeps
 * its FPU, SSE and AVX registers over exits while the host and another vCPU
 * use theirs; that the host's thread finds every register as it left it:
 * general registers, x87 control word, MXCSR, XMM, YMM, XCR0, PKRU, FS and GS
 * base, debug registers; and that a new vCPU finds nothing of the host's.
 */
#include <asm/prctl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>

#include "test.h"

FIXTURE(host) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

FIXTURE_SETUP(host)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, PAGE_2M);
}

FIXTURE_TEARDOWN(host)
{
	vm_free(self->vm);
}

/* All of the YMM registers, stored or loaded; XMM is the low half of each. */
struct ymm {
	u8 r[16][32];
};

#define EACH(insn)							\
	".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"	\
	insn "\n\t.endr"

/* Always inline: no C that might use these registers comes in between. */
static __always_inline void load_vectors(const struct ymm *y, bool avx)
{
	if (avx)
		asm volatile(EACH("vmovdqu 32*\\n(%[y]), %%ymm\\n") : : [y] "r" (y) : "memory",
			     "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			     "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
	else
		asm volatile(EACH("movdqu 32*\\n(%[y]), %%xmm\\n") : : [y] "r" (y) : "memory",
			     "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			     "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static __always_inline void store_vectors(struct ymm *y, bool avx)
{
	if (avx)
		asm volatile(EACH("vmovdqu %%ymm\\n, 32*\\n(%[y])") : : [y] "r" (y) : "memory");
	else
		asm volatile(EACH("movdqu %%xmm\\n, 32*\\n(%[y])") : : [y] "r" (y) : "memory");
}

static bool host_has(const char *flag)
{
	bool found = false;
	char line[8192], *word;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "flags", 5))
			continue;
		for (word = strtok(line, " \t\n"); word; word = strtok(NULL, " \t\n"))
			found |= !strcmp(word, flag);
	}
	if (f)
		fclose(f);
	return found;
}

/* --- the guest keeps what is its own --- */

struct keep {
	struct ymm want, seen;
	u64 avx;
	u64 rounds;
	u64 id;
};

static void guest_enable_avx(void)
{
	u64 cr4;

	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	asm volatile("mov %0, %%cr4" : : "r" (cr4 | 1 << 18));
	asm volatile("xsetbv" : : "c" (0), "a" (7), "d" (0));
}

/* Loads its pattern once and looks at it after every exit. */
static void guest_keep(void *arg)
{
	struct keep *k = arg;
	u64 i, j;

	if (k->avx)
		guest_enable_avx();
	load_vectors(&k->want, k->avx);
	for (i = 0; i < k->rounds; i++) {
		/* No C that might use these registers until they are stored. */
		asm volatile("outb %%al, $0x42" : : "a" (0) : "memory");
		store_vectors(&k->seen, k->avx);
		for (j = 0; j < sizeof(struct ymm) / 8; j++) {
			u64 want = ((shared_u64 *)&k->want)[j];
			u64 seen = ((shared_u64 *)&k->seen)[j];

			if (!k->avx && j % 4 >= 2)
				continue;
			if (want != seen)
				GUEST_FAIL("a vector register has changed", want, seen);
		}
		load_vectors(&k->want, k->avx);
	}
}

static void fill(struct ymm *y, u64 seed)
{
	u64 i;

	for (i = 0; i < sizeof(*y) / 8; i++)
		((u64 *)y)[i] = pattern((void *)i, seed);
}

static void host_clobber(bool avx, u64 seed)
{
	struct ymm y;

	fill(&y, seed);
	load_vectors(&y, avx);
}

static void two_vcpus_and_the_host(struct __test_metadata *_metadata,
				   FIXTURE_DATA(host) * self, bool avx)
{
	struct vcpu *vcpus[] = { self->vcpu, vcpu_create(self->vm, 1) };
	struct keep *k = (void *)self->mem;
	int i, id;

	for (id = 0; id < 2; id++) {
		fill(&k[id].want, id + 1);
		k[id].avx = avx;
		k[id].rounds = 50;
		k[id].id = id;
		vcpu_start(vcpus[id], guest_keep, &k[id]);
	}
	for (i = 0; i < 50; i++) {
		for (id = 0; id < 2; id++) {
			host_clobber(avx, 100 + i);
			ASSERT_EQ(UCALL_NONE, vcpu_next(vcpus[id]));
			ASSERT_EQ(KVM_EXIT_IO, vcpus[id]->run->exit_reason);
		}
	}
	for (id = 0; id < 2; id++)
		vcpu_done(vcpus[id]);
}

TEST_F(host, sse_of_two_vcpus)
{
	two_vcpus_and_the_host(_metadata, self, false);
}

static bool guest_has_avx(void)
{
	const struct kvm_cpuid2 *c = umbra_cpuid();
	int i;

	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1)
			return c->entries[i].ecx >> 26 & c->entries[i].ecx >> 28 & 1;
	return false;
}

TEST_F(host, avx_of_two_vcpus)
{
	if (!host_has("avx") || !guest_has_avx())
		TEST_SKIP("no XSAVE and AVX in KVM_GET_SUPPORTED_CPUID");
	two_vcpus_and_the_host(_metadata, self, true);
}

/* --- nothing of the host in a new vCPU --- */

static void guest_first_look(void *arg)
{
	struct ymm *y = arg;

	store_vectors(y, false);
}

TEST_F(host, new_vcpu_is_clean)
{
	struct ymm *y = (void *)self->mem;
	int i, j;

	memset(y, 0xff, sizeof(*y));
	vcpu_start(self->vcpu, guest_first_look, y);
	host_clobber(host_has("avx"), 5);
	vcpu_done(self->vcpu);
	for (i = 0; i < 16; i++)
		for (j = 0; j < 16; j++)
			EXPECT_EQ(0, y->r[i][j]);
}

/* --- nothing of the guest in the host --- */

static void guest_dirty_everything(void *arg)
{
	struct keep *k = arg;
	u32 mxcsr = 0x5f80;
	u16 fcw = 0x7f;
	u64 i;

	if (k->avx)
		guest_enable_avx();
	load_vectors(&k->want, k->avx);
	asm volatile("ldmxcsr %0" : : "m" (mxcsr));
	asm volatile("fldcw %0; fldpi" : : "m" (fcw));
	guest_wrmsr(0xc0000100, 0x1234000);
	guest_wrmsr(0xc0000101, 0x5678000);
	guest_wrmsr(0xc0000102, 0x9abc000);
	asm volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r" (k->id), "r" (0x400UL | 0xd0002));
	for (;;)
		asm volatile("mov $-1, %%rax; mov %%rax, %%rbx; mov %%rax, %%rcx\n\t"
			     "mov %%rax, %%rdx; mov %%rax, %%rsi; mov %%rax, %%rdi\n\t"
			     "mov %%rax, %%r8; mov %%rax, %%r9; mov %%rax, %%r10\n\t"
			     "mov %%rax, %%r11; mov %%rax, %%r12; mov %%rax, %%r13\n\t"
			     "mov %%rax, %%r14; mov %%rax, %%r15\n\t"
			     "outb %%al, $0x42"
			     : "=a" (i) : : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10",
			       "r11", "r12", "r13", "r14", "r15", "memory");
}

struct host_regs {
	u64 rbx, rbp, rdx, rdi, rsi, r8, r9, r10, r12, r13, r14, r15;
};

/* KVM_RUN by hand, between known general registers. */
static long run_with_known_registers(int fd, struct host_regs *out)
{
	long ret;

	asm volatile("push %%rbp\n\t"
		     "push %[out]\n\t"
		     "mov $0xb0b, %%ebx; mov $0xb9, %%ebp; mov $8, %%r8d; mov $9, %%r9d\n\t"
		     "mov $10, %%r10d; mov $12, %%r12d; mov $13, %%r13d\n\t"
		     "mov $14, %%r14d; mov $15, %%r15d\n\t"
		     "syscall\n\t"
		     "mov (%%rsp), %%rcx\n\t"
		     "mov %%rbx, 0(%%rcx); mov %%rbp, 8(%%rcx); mov %%rdx, 16(%%rcx)\n\t"
		     "mov %%rdi, 24(%%rcx); mov %%rsi, 32(%%rcx); mov %%r8, 40(%%rcx)\n\t"
		     "mov %%r9, 48(%%rcx); mov %%r10, 56(%%rcx); mov %%r12, 64(%%rcx)\n\t"
		     "mov %%r13, 72(%%rcx); mov %%r14, 80(%%rcx); mov %%r15, 88(%%rcx)\n\t"
		     "pop %%rcx\n\t"
		     "pop %%rbp"
		     : "=a" (ret)
		     : "a" (SYS_ioctl), "D" ((long)fd), "S" ((long)KVM_RUN), "d" (0L),
		       [out] "c" (out)
		     : "rbx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
	return ret;
}

TEST_F(host, general_registers_are_unchanged)
{
	struct keep *k = (void *)self->mem;
	struct host_regs r;
	int i;

	vcpu_start(self->vcpu, guest_dirty_everything, k);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, run_with_known_registers(self->vcpu->fd, &r));
		EXPECT_EQ(0xb0b, r.rbx);
		EXPECT_EQ(0xb9, r.rbp);
		EXPECT_EQ(0, r.rdx);
		EXPECT_EQ(self->vcpu->fd, r.rdi);
		EXPECT_EQ(KVM_RUN, r.rsi);
		EXPECT_EQ(8, r.r8);
		EXPECT_EQ(9, r.r9);
		EXPECT_EQ(10, r.r10);
		EXPECT_EQ(12, r.r12);
		EXPECT_EQ(13, r.r13);
		EXPECT_EQ(14, r.r14);
		EXPECT_EQ(15, r.r15);
	}
}

static u32 read_pkru(void)
{
	u32 eax, edx;

	asm volatile(".byte 0x0f, 0x01, 0xee" : "=a" (eax), "=d" (edx) : "c" (0));
	return eax;
}

static void write_pkru(u32 v)
{
	asm volatile(".byte 0x0f, 0x01, 0xef" : : "a" (v), "c" (0), "d" (0));
}

static u64 read_xcr0(void)
{
	u32 eax, edx;

	asm volatile("xgetbv" : "=a" (eax), "=d" (edx) : "c" (0));
	return (u64)edx << 32 | eax;
}

/* KVM_RUN between known vector registers. */
static long run_with_known_vectors(int fd, const struct ymm *in, struct ymm *out, bool avx)
{
	long ret;

	load_vectors(in, avx);
	asm volatile("syscall" : "=a" (ret)
		     : "a" (SYS_ioctl), "D" ((long)fd), "S" ((long)KVM_RUN), "d" (0L)
		     : "rcx", "r11", "memory");
	store_vectors(out, avx);
	return ret;
}

TEST_F(host, vector_registers_are_unchanged)
{
	bool avx = host_has("avx") && guest_has_avx();
	struct keep *k = (void *)self->mem;
	struct ymm in = {}, out = {};
	u64 xcr0 = avx ? read_xcr0() : 0;
	u32 mxcsr = 0x3f80, seen;
	u16 fcw = 0x17f, fcw_seen;
	int i;

	k->avx = avx;
	fill(&k->want, 9);
	vcpu_start(self->vcpu, guest_dirty_everything, k);
	asm volatile("ldmxcsr %0; fldcw %1" : : "m" (mxcsr), "m" (fcw));
	for (i = 0; i < 10; i++) {
		fill(&in, 1000 + i);
		if (!avx)
			memcpy(&out, &in, sizeof(out));
		ASSERT_EQ(0, run_with_known_vectors(self->vcpu->fd, &in, &out, avx));
		EXPECT_EQ(0, memcmp(&in, &out, sizeof(in)));
		asm volatile("stmxcsr %0; fnstcw %1" : "=m" (seen), "=m" (fcw_seen));
		EXPECT_EQ(mxcsr, seen);
		EXPECT_EQ(fcw, fcw_seen);
		if (avx)
			EXPECT_EQ(xcr0, read_xcr0());
	}
}

TEST_F(host, pkru_is_unchanged)
{
	struct keep *k = (void *)self->mem;

	if (!host_has("ospke"))
		TEST_SKIP("no protection keys");
	vcpu_start(self->vcpu, guest_dirty_everything, k);
	write_pkru(0xc0000000);
	ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
	EXPECT_EQ(0xc0000000, read_pkru());
	ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
	EXPECT_EQ(0xc0000000, read_pkru());
}

TEST_F(host, segment_bases_are_unchanged)
{
	struct keep *k = (void *)self->mem;
	unsigned long fs, gs, seen;
	int i;

	vcpu_start(self->vcpu, guest_dirty_everything, k);
	ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
	ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_SET_GS, 0x7f0012345000));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
		/* By the instruction where it is allowed, which asks the CPU itself. */
		ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_GET_FS, &seen));
		EXPECT_EQ(fs, seen);
		ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
		EXPECT_EQ(0x7f0012345000, gs);
		if (host_has("fsgsbase")) {
			asm volatile("rdgsbase %0" : "=r" (gs));
			EXPECT_EQ(0x7f0012345000, gs);
			asm volatile("rdfsbase %0" : "=r" (seen));
			EXPECT_EQ(fs, seen);
		}
	}
}

/* --- debug registers --- */

static shared_u64 watched;

static int watch(shared_u64 *addr)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_W,
		.bp_addr = (u64)addr,
		.bp_len = HW_BREAKPOINT_LEN_8,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static u64 hits(int fd)
{
	u64 count = ~0UL;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		die("read of the breakpoint");
	return count;
}

/* The guest's breakpoint is on an address that the host then writes. */
TEST_F(host, guest_breakpoints_do_not_hit_the_host)
{
	struct keep *k = (void *)self->mem;
	int i;

	k->id = (u64)&watched;
	vcpu_start(self->vcpu, guest_dirty_everything, k);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
		/* A #DB here would be a SIGTRAP. */
		watched = i;
	}
}

TEST_F(host, host_breakpoints_survive)
{
	struct keep *k = (void *)self->mem;
	int fd = watch(&watched);
	int i;

	if (fd < 0)
		TEST_SKIP("no hardware breakpoints by perf");
	watched = 0;
	ASSERT_EQ(1, hits(fd));
	k->id = (u64)self->mem;
	vcpu_start(self->vcpu, guest_dirty_everything, k);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(UCALL_NONE, vcpu_next(self->vcpu));
		watched = i;
		EXPECT_EQ(i + 2, hits(fd));
	}
	close(fd);
}

static void guest_write_watched(void *arg)
{
	shared_u64 *p = arg;
	u64 dr7;

	*p = 1;
	asm volatile("mov %%dr7, %0" : "=r" (dr7));
	GUEST_ASSERT_EQ(0x400, dr7);
	*p = 2;
}

/* The host's breakpoint is on an address that the guest writes. */
TEST_F(host, host_breakpoints_do_not_hit_the_guest)
{
	int fd = watch((u64 *)self->mem);

	if (fd < 0)
		TEST_SKIP("no hardware breakpoints by perf");
	vcpu_call(self->vcpu, guest_write_watched, self->mem);
	EXPECT_EQ(0, hits(fd));
	*(shared_u64 *)self->mem = 3;
	EXPECT_EQ(1, hits(fd));
	close(fd);
}

UMBRA_TEST_MAIN
