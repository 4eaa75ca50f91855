// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vCPU's state by ioctl. Proves that what is set is what the guest runs
 * with and what is read back, for general registers, segments, control
 * registers, FPU and MSRs, both ways; that CPUID shows the guest what was set;
 * that KVM_TRANSLATE walks the guest's page tables; and that the TSC never
 * goes back.
 */
#include "test.h"

FIXTURE(state) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

FIXTURE_SETUP(state)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, PAGE_2M);
}

FIXTURE_TEARDOWN(state)
{
	vm_free(self->vm);
}

/* Stores all registers into the array at 0(%rip)'s page, then halts. */
static const u8 store_regs[] = {
	0x50,				/* push %rax and so on, in encoding order */
	0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57,
	0x41, 0x50, 0x41, 0x51, 0x41, 0x52, 0x41, 0x53,
	0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57,
	0x9c,				/* pushf */
	0xf4,				/* hlt */
};

TEST_F(state, general_registers)
{
	u64 top = (u64)self->mem + PAGE_4K;
	u64 *pushed = (u64 *)top;
	struct kvm_regs in, out;
	u64 *r = (u64 *)&in;
	int i;

	memcpy(self->mem, store_regs, sizeof(store_regs));
	vcpu_start(self->vcpu, (void *)self->mem, NULL);
	for (i = 0; i < 16; i++)
		r[i] = 0x0101010101010101UL * (i + 1);
	in.rsp = top;
	in.rip = (u64)self->mem;
	in.rflags = 0x8d7;	/* OF SF ZF AF PF CF and bit 1 */
	vcpu_set_regs(self->vcpu, &in);
	vcpu_get_regs(self->vcpu, &out);
	EXPECT_EQ(0, memcmp(&in, &out, sizeof(in)));
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_HLT, self->vcpu->run->exit_reason);
	EXPECT_EQ(in.rax, pushed[-1]);
	EXPECT_EQ(in.rcx, pushed[-2]);
	EXPECT_EQ(in.rdx, pushed[-3]);
	EXPECT_EQ(in.rbx, pushed[-4]);
	EXPECT_EQ(top - 32, pushed[-5]);
	EXPECT_EQ(in.rbp, pushed[-6]);
	EXPECT_EQ(in.rsi, pushed[-7]);
	EXPECT_EQ(in.rdi, pushed[-8]);
	for (i = 8; i < 16; i++)
		EXPECT_EQ((&in.r8)[i - 8], pushed[-1 - i]);
	EXPECT_EQ(in.rflags, pushed[-17]);
	vcpu_get_regs(self->vcpu, &out);
	in.rsp -= 17 * 8;
	in.rip += sizeof(store_regs);
	EXPECT_EQ(0, memcmp(&in, &out, sizeof(in)));
}

static void guest_change_regs(void *arg)
{
	asm volatile("mov $0x1111, %%rbx; mov $0x2222, %%r15; mov $0x3333, %%rsi\n\t"
		     "mov %%cr0, %%rax; or $(1 << 18), %%rax; mov %%rax, %%cr0\n\t"
		     "mov $0x4444, %%rax; mov %%rax, %%cr2\n\t"
		     "mov $3, %%rax; mov %%rax, %%cr8\n\t"
		     "mov $0, %%eax; mov %%eax, %%fs\n\t"
		     "hlt" : : : "rax", "rbx", "rsi", "r15");
}

TEST_F(state, changes_of_the_guest)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	vcpu_start(self->vcpu, guest_change_regs, NULL);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_HLT, self->vcpu->run->exit_reason);
	vcpu_get_regs(self->vcpu, &r);
	vcpu_get_sregs(self->vcpu, &s);
	EXPECT_EQ(0x1111, r.rbx);
	EXPECT_EQ(0x2222, r.r15);
	EXPECT_EQ(0x3333, r.rsi);
	EXPECT_EQ(1UL << 18, s.cr0 & BIT(18));
	EXPECT_EQ(0x4444, s.cr2);
	EXPECT_EQ(3, s.cr8);
	EXPECT_EQ(0, s.fs.selector);
	EXPECT_EQ(SEL_CODE64, s.cs.selector);
	EXPECT_EQ(1, s.cs.l);
}

static void expect_segment(struct __test_metadata *_metadata, const struct kvm_segment *a,
			   const struct kvm_segment *b)
{
	EXPECT_EQ(a->base, b->base);
	EXPECT_EQ(a->limit, b->limit);
	EXPECT_EQ(a->selector, b->selector);
	EXPECT_EQ(a->type, b->type);
	EXPECT_EQ(a->present, b->present);
	EXPECT_EQ(a->dpl, b->dpl);
	EXPECT_EQ(a->db, b->db);
	EXPECT_EQ(a->s, b->s);
	EXPECT_EQ(a->l, b->l);
	EXPECT_EQ(a->g, b->g);
	EXPECT_EQ(a->avl, b->avl);
	EXPECT_EQ(a->unusable, b->unusable);
}

TEST_F(state, special_registers)
{
	struct kvm_sregs in, out;

	vcpu_start(self->vcpu, guest_change_regs, NULL);
	vcpu_get_sregs(self->vcpu, &in);
	in.fs.base = 0x123456789000;
	in.gs.base = 0xffff888000000000;
	in.cr2 = 0xdeadbeef000;
	in.cr8 = 7;
	in.gdt.limit = 0x123;
	in.idt.base = 0x5000;
	vcpu_set_sregs(self->vcpu, &in);
	vcpu_get_sregs(self->vcpu, &out);
	expect_segment(_metadata, &in.cs, &out.cs);
	expect_segment(_metadata, &in.ds, &out.ds);
	expect_segment(_metadata, &in.es, &out.es);
	expect_segment(_metadata, &in.fs, &out.fs);
	expect_segment(_metadata, &in.gs, &out.gs);
	expect_segment(_metadata, &in.ss, &out.ss);
	expect_segment(_metadata, &in.tr, &out.tr);
	EXPECT_EQ(in.gdt.base, out.gdt.base);
	EXPECT_EQ(in.gdt.limit, out.gdt.limit);
	EXPECT_EQ(in.idt.base, out.idt.base);
	EXPECT_EQ(in.idt.limit, out.idt.limit);
	EXPECT_EQ(in.cr0, out.cr0);
	EXPECT_EQ(in.cr2, out.cr2);
	EXPECT_EQ(in.cr3, out.cr3);
	EXPECT_EQ(in.cr4, out.cr4);
	EXPECT_EQ(in.cr8, out.cr8);
	EXPECT_EQ(in.efer, out.efer);
	EXPECT_EQ(in.apic_base, out.apic_base);
}

/* A new vCPU is as after RESET, APM volume 2, 14.1.3. */
TEST_F(state, reset)
{
	struct vcpu *fresh = vcpu_create(self->vm, 1);
	struct kvm_sregs s;
	struct kvm_regs r;

	vcpu_get_sregs(fresh, &s);
	vcpu_get_regs(fresh, &r);
	EXPECT_EQ(0xfff0, r.rip);
	EXPECT_EQ(2, r.rflags);
	EXPECT_EQ(0xf000, s.cs.selector);
	EXPECT_EQ(0xffff0000, s.cs.base);
	EXPECT_EQ(0x60000010, s.cr0);
	EXPECT_EQ(0, s.cr3);
	EXPECT_EQ(0, s.cr4);
	EXPECT_EQ(0, s.efer);
	EXPECT_EQ(0xffff, s.ds.limit);
	EXPECT_EQ(0, s.ds.base);
	EXPECT_EQ(0xffff, s.gdt.limit);
	EXPECT_EQ(0xffff, s.idt.limit);
}

/* --- FPU --- */

struct fxsave {
	u16 fcw, fsw;
	u8 ftw, rsvd;
	u16 fop;
	u64 rip, rdp;
	u32 mxcsr, mxcsr_mask;
	u8 st[8][16];
	u8 xmm[16][16];
	u8 pad[96];
} __aligned(16);

static void guest_fxsave(void *arg)
{
	struct fxsave *f = arg;

	asm volatile("fxrstor64 (%0)" : : "r" (f) : "memory");
	GUEST_SYNC(1);
	asm volatile("fxsave64 (%0)" : : "r" (f + 1) : "memory");
	GUEST_SYNC(2);
}

TEST_F(state, fpu)
{
	struct fxsave *f = (void *)self->mem;
	struct kvm_fpu in, out;
	int i;

	f[0].fcw = 0x37f;
	f[0].mxcsr = 0x1f80;
	memset(f[0].xmm, 0xa5, sizeof(f[0].xmm));
	vcpu_start(self->vcpu, guest_fxsave, f);
	vcpu_sync(self->vcpu, 1);
	/* What the guest has loaded is what the host reads. */
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_GET_FPU, &in));
	EXPECT_EQ(0x37f, in.fcw);
	EXPECT_EQ(0, memcmp(f[0].xmm, in.xmm, sizeof(in.xmm)));
	/* What the host sets is what it reads and what the guest stores. */
	in.fcw = 0x27f;
	in.mxcsr = 0x1fa0;
	in.ftwx = 0x80;
	for (i = 0; i < 16; i++)
		memset(in.xmm[i], i + 1, 16);
	memcpy(in.fpr[0], "\x12\x34\x56\x78\x9a\xbc\xde\x8f\x00\x40", 10);
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_FPU, &in));
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_GET_FPU, &out));
	EXPECT_EQ(0, memcmp(in.xmm, out.xmm, sizeof(in.xmm)));
	EXPECT_EQ(0, memcmp(in.fpr, out.fpr, sizeof(in.fpr)));
	EXPECT_EQ(in.fcw, out.fcw);
	EXPECT_EQ(in.ftwx, out.ftwx);
	vcpu_sync(self->vcpu, 2);
	EXPECT_EQ(in.fcw, f[1].fcw);
	EXPECT_EQ(in.ftwx, f[1].ftw);
	EXPECT_EQ(0, memcmp(in.xmm, f[1].xmm, sizeof(in.xmm)));
	/* Stock KVM leaves MXCSR out, both ways. */
	if (node_has(UMBRA_CAP_MMU)) {
		EXPECT_EQ(in.mxcsr, out.mxcsr);
		EXPECT_EQ(in.mxcsr, f[1].mxcsr);
	}
}

/* --- MSRs --- */

struct msr_case {
	u32 index;
	const char *name;
	u64 a, b;	/* values to set from outside and from inside */
};

#define CANONICAL 0xffff800000001000UL

static const struct msr_case msr_cases[] = {
	{ 0xc0000081, "STAR", 0x0023001000000000, 0x001b000800000000 },
	{ 0xc0000082, "LSTAR", CANONICAL, 0x401000 },
	{ 0xc0000083, "CSTAR", CANONICAL + 8, 0x402000 },
	{ 0xc0000084, "SFMASK", 0x47700, 0x200 },
	{ 0xc0000100, "FS_BASE", 0x7f1234567000, CANONICAL },
	{ 0xc0000101, "GS_BASE", 0x7f7654321000, CANONICAL },
	{ 0xc0000102, "KERNEL_GS_BASE", CANONICAL, 0x1234 },
	{ 0x174, "SYSENTER_CS", 0x10, 0x20 },
	{ 0x175, "SYSENTER_ESP", 0x5678, 0x9abc },
	{ 0x176, "SYSENTER_EIP", 0x1234, 0x5678 },
	{ 0x277, "PAT", 0x0007010600070106, 0x0007040600070406 },
};

struct msr_args {
	u64 index, read, write;
};

static void guest_msr(void *arg)
{
	struct msr_args *m = arg;

	m->read = guest_rdmsr(m->index);
	guest_wrmsr(m->index, m->write);
}

TEST_F(state, msrs)
{
	struct msr_args *m = (void *)self->mem;
	u64 value;
	int i;

	for (i = 0; i < ARRAY_SIZE(msr_cases); i++) {
		const struct msr_case *c = &msr_cases[i];

		vcpu_start(self->vcpu, guest_msr, m);
		m->index = c->index;
		m->write = c->b;
		EXPECT_TRUE(vcpu_set_msr(self->vcpu, c->index, c->a)) TH_LOG("%s", c->name);
		EXPECT_TRUE(vcpu_get_msr(self->vcpu, c->index, &value)) TH_LOG("%s", c->name);
		EXPECT_EQ(c->a, value) TH_LOG("%s", c->name);
		vcpu_done(self->vcpu);
		EXPECT_EQ(c->a, m->read) TH_LOG("%s", c->name);
		EXPECT_TRUE(vcpu_get_msr(self->vcpu, c->index, &value)) TH_LOG("%s", c->name);
		EXPECT_EQ(c->b, value) TH_LOG("%s", c->name);
	}
}

#define MSR_EFER 0xc0000080

static void guest_efer(void *arg)
{
	struct guest_trap t;

	/* Without SVME, whatever the host runs with. */
	GUEST_ASSERT_EQ(0xd01, guest_rdmsr(MSR_EFER));
	guest_wrmsr(MSR_EFER, 0xd00);
	GUEST_ASSERT_EQ(0xd00, guest_rdmsr(MSR_EFER));
	/* A reserved bit, and LME while paging is on. */
	guest_try(t, "wrmsr", "c" (MSR_EFER), "a" (0xd00), "d" (1U << 31));
	GUEST_ASSERT_EQ(X86_TRAP_GP, t.vector);
	guest_try(t, "wrmsr", "c" (MSR_EFER), "a" (0x800), "d" (0));
	GUEST_ASSERT_EQ(X86_TRAP_GP, t.vector);
	GUEST_ASSERT_EQ(0xd00, guest_rdmsr(MSR_EFER));
}

TEST_F(state, efer)
{
	u64 value;

	vcpu_call(self->vcpu, guest_efer, NULL);
	ASSERT_TRUE(vcpu_get_msr(self->vcpu, MSR_EFER, &value));
	EXPECT_EQ(0xd00, value);
}

static void guest_bad_pat(void *arg)
{
	struct guest_trap t;

	/* Memory type 2 does not exist. */
	guest_try(t, "wrmsr", "c" (0x277), "a" (2), "d" (0));
	GUEST_ASSERT_EQ(X86_TRAP_GP, t.vector);
}

TEST_F(state, msr_values_that_cannot_be)
{
	static const u32 bases[] = { 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102 };
	u64 value;
	int i;

	EXPECT_FALSE(vcpu_set_msr(self->vcpu, 0x277, 2));
	for (i = 0; i < ARRAY_SIZE(bases); i++) {
		EXPECT_TRUE(vcpu_set_msr(self->vcpu, bases[i], CANONICAL));
		EXPECT_FALSE(vcpu_set_msr(self->vcpu, bases[i], 0x0090000000000000));
		EXPECT_TRUE(vcpu_get_msr(self->vcpu, bases[i], &value));
		EXPECT_EQ(CANONICAL, value);
	}
	vcpu_call(self->vcpu, guest_bad_pat, NULL);
}

/* SWAPGS, which no hypervisor sees, works on the same registers. */
static void guest_swapgs(void *arg)
{
	guest_wrmsr(0xc0000101, 0x1000);
	guest_wrmsr(0xc0000102, 0x2000);
	asm volatile("swapgs");
	GUEST_ASSERT_EQ(0x2000, guest_rdmsr(0xc0000101));
	GUEST_ASSERT_EQ(0x1000, guest_rdmsr(0xc0000102));
	GUEST_SYNC(1);
	asm volatile("swapgs");
	GUEST_ASSERT_EQ(0x1000, guest_rdmsr(0xc0000101));
	GUEST_ASSERT_EQ(0x2000, guest_rdmsr(0xc0000102));
}

TEST_F(state, swapgs)
{
	u64 value;

	vcpu_start(self->vcpu, guest_swapgs, NULL);
	vcpu_sync(self->vcpu, 1);
	ASSERT_TRUE(vcpu_get_msr(self->vcpu, 0xc0000102, &value));
	EXPECT_EQ(0x1000, value);
	vcpu_done(self->vcpu);
}

/* --- TSC --- */

static void guest_tsc(void *arg)
{
	u64 last = guest_rdtsc();
	int i;

	for (i = 0; i < 200; i++) {
		u64 now = guest_rdtsc();

		GUEST_ASSERT(now >= last);
		last = now;
		if (i % 4 == 0)
			GUEST_SYNC(i);
	}
}

TEST_F(state, tsc_never_goes_back)
{
	vcpu_call(self->vcpu, guest_tsc, NULL);
}

static void guest_read_tsc(void *arg)
{
	shared_u64 *out = arg;

	out[0] = guest_rdtsc();
	out[1] = guest_rdmsr(0x10);
	out[2] = guest_rdtsc();
}

TEST_F(state, tsc_is_what_was_set)
{
	const u64 start = BIT(50);
	u64 *out = (u64 *)self->mem;
	u64 value;

	ASSERT_TRUE(vcpu_set_msr(self->vcpu, 0x10, start));
	vcpu_call(self->vcpu, guest_read_tsc, out);
	EXPECT_LE(start, out[0]);
	EXPECT_GT(start + BIT(42), out[0]);
	EXPECT_LE(out[0], out[1]);
	EXPECT_LE(out[1], out[2]);
	ASSERT_TRUE(vcpu_get_msr(self->vcpu, 0x10, &value));
	EXPECT_LE(out[2], value);
}

/* --- CPUID --- */

struct cpuid_args {
	u32 leaf, index, eax, ebx, ecx, edx;
};

static void guest_cpuid(void *arg)
{
	struct cpuid_args *c = arg;

	asm volatile("cpuid" : "=a" (c->eax), "=b" (c->ebx), "=c" (c->ecx), "=d" (c->edx)
		     : "a" (c->leaf), "c" (c->index));
}

TEST_F(state, cpuid)
{
	const struct kvm_cpuid2 *table = umbra_cpuid();
	struct cpuid_args *c = (void *)self->mem;
	int i;

	for (i = 0; i < table->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &table->entries[i];

		/* Leaves that follow the state: APIC id, OSXSAVE, enabled XSAVE area. */
		if (e->function == 1 || e->function == 7 || e->function == 0xb ||
		    e->function == 0xd || e->function == 0x12)
			continue;
		*c = (struct cpuid_args) { .leaf = e->function, .index = e->index };
		vcpu_call(self->vcpu, guest_cpuid, c);
		EXPECT_EQ(e->eax, c->eax) TH_LOG("leaf %x.%x", e->function, e->index);
		EXPECT_EQ(e->ebx, c->ebx) TH_LOG("leaf %x.%x", e->function, e->index);
		EXPECT_EQ(e->ecx, c->ecx) TH_LOG("leaf %x.%x", e->function, e->index);
		EXPECT_EQ(e->edx, c->edx) TH_LOG("leaf %x.%x", e->function, e->index);
	}
}

TEST_F(state, cpuid_of_the_client)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[3];
	} table = { .head.nent = 3 };
	struct vcpu *vcpu = vcpu_create(self->vm, 1);
	struct cpuid_args *c = (void *)self->mem;

	table.e[0] = (struct kvm_cpuid_entry2) { .function = 0, .eax = 1, .ebx = 0x6272756d };
	table.e[1] = (struct kvm_cpuid_entry2) { .function = 0x80000000, .eax = 0x80000001 };
	/* Long mode and NX, which the guest is about to use. */
	table.e[2] = (struct kvm_cpuid_entry2) { .function = 0x80000001,
						 .edx = 1 << 29 | 1 << 20 | 1 << 11 };
	ASSERT_EQ(0, ioctl(vcpu->fd, KVM_SET_CPUID2, &table));
	*c = (struct cpuid_args) { .leaf = 0 };
	vcpu_call(vcpu, guest_cpuid, c);
	EXPECT_EQ(1, c->eax);
	EXPECT_EQ(0x6272756d, c->ebx);
	EXPECT_EQ(0, c->ecx);
	/* A leaf that was not given. */
	*c = (struct cpuid_args) { .leaf = 0x40000000, .eax = 7 };
	vcpu_call(vcpu, guest_cpuid, c);
	EXPECT_EQ(0, c->eax);
	EXPECT_EQ(0, c->ebx);
}

/* OSXSAVE in leaf 1 is CR4's bit. */
static void guest_osxsave(void *arg)
{
	struct cpuid_args c = { .leaf = 1 };
	u64 cr4;

	guest_cpuid(&c);
	GUEST_ASSERT_EQ(0, c.ecx & 1 << 27);
	if (!(c.ecx & 1 << 26))
		return;
	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	asm volatile("mov %0, %%cr4" : : "r" (cr4 | 1 << 18));
	guest_cpuid(&c);
	GUEST_ASSERT_EQ(1 << 27, c.ecx & 1 << 27);
}

TEST_F(state, cpuid_follows_cr4)
{
	vcpu_call(self->vcpu, guest_osxsave, NULL);
}

/* --- KVM_TRANSLATE --- */

static struct kvm_translation translate(struct vcpu *vcpu, u64 gva)
{
	struct kvm_translation t = { .linear_address = gva };

	if (ioctl(vcpu->fd, KVM_TRANSLATE, &t))
		die("KVM_TRANSLATE");
	return t;
}

TEST_F(state, translate)
{
	const u64 gva = 0x8000000000;
	struct kvm_translation t;

	vcpu_start(self->vcpu, guest_tsc, NULL);
	guest_map(self->vm, gva, (u64)self->mem + PAGE_4K, PAGE_4K, PAGE_4K, PTE_P);
	guest_map(self->vm, gva + PAGE_2M, (u64)self->mem, PAGE_2M, PAGE_2M, PTE_P | PTE_W);
	t = translate(self->vcpu, gva + 0x123);
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ((u64)self->mem + PAGE_4K + 0x123, t.physical_address);
	t = translate(self->vcpu, gva + PAGE_2M + 0x12345);
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ((u64)self->mem + 0x12345, t.physical_address);
	t = translate(self->vcpu, TEST_MMIO);
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ(TEST_MMIO, t.physical_address);
	t = translate(self->vcpu, gva + PAGE_4K);
	EXPECT_EQ(0, t.valid);
	/* Without paging an address is what it is. */
	vcpu_start_protected(self->vcpu, 0x1000, 0x2000);
	t = translate(self->vcpu, 0x12345678);
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ(0x12345678, t.physical_address);
}

TEST_F(state, mp_state)
{
	struct kvm_mp_state state = { .mp_state = 77 };

	if (!node_has(KVM_CAP_MP_STATE))
		TEST_SKIP("no KVM_CAP_MP_STATE");
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_GET_MP_STATE, &state));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, state.mp_state);
	EXPECT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_MP_STATE, &state));
	/* Without a local APIC in the kernel there is no other. */
	state.mp_state = KVM_MP_STATE_HALTED;
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_SET_MP_STATE, &state));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_GET_MP_STATE, (void *)8));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_SET_MP_STATE, (void *)8));
	EXPECT_EQ(EFAULT, errno);
}

UMBRA_TEST_MAIN
