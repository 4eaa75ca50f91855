// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ABI's edges: what is refused, and with which error. Proves that every
 * bad argument gets the errno of KVM's API document, that nothing is half done
 * afterwards, that unknown ioctls and flags are refused, that another process
 * can do nothing with a VM's descriptors, and that each capability which is
 * announced has its ioctl.
 */
#include <signal.h>

#include "test.h"

FIXTURE(abi) {
	int node;
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

#define BAD_PTR ((void *)8)
#define MEM_SIZE PAGE_2M

FIXTURE_SETUP(abi)
{
	self->node = node_open();
	ASSERT_LE(0, self->node);
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Whatever was refused, the VM still works. */
FIXTURE_TEARDOWN(abi)
{
	agent_start(self->vcpu);
	EXPECT_EQ(0, agent_read(self->vcpu, (void *)PAGE_4K, 8));
	vm_free(self->vm);
	close(self->node);
}

static int try_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

/* Stock KVM says EINVAL where its document says ENOTTY. */
static int unknown(int fd, unsigned long request)
{
	int ret = try_ioctl(fd, request, NULL);

	return ret == -EINVAL && !node_has(UMBRA_CAP_MMU) ? -ENOTTY : ret;
}

TEST_F(abi, node)
{
	EXPECT_EQ(KVM_API_VERSION, ioctl(self->node, KVM_GET_API_VERSION, 0UL));
	EXPECT_EQ(-EINVAL, try_ioctl(self->node, KVM_GET_API_VERSION, (void *)1));
	EXPECT_EQ(-EINVAL, try_ioctl(self->node, KVM_CREATE_VM, (void *)0x7777));
	EXPECT_EQ(-EINVAL, try_ioctl(self->node, KVM_GET_VCPU_MMAP_SIZE, (void *)1));
	EXPECT_LE((int)sizeof(struct kvm_run), ioctl(self->node, KVM_GET_VCPU_MMAP_SIZE, 0UL));
	EXPECT_EQ(0, ioctl(self->node, KVM_CHECK_EXTENSION, 0x7eadbeefUL));
	EXPECT_EQ(0, ioctl(self->node, KVM_CHECK_EXTENSION, ~0UL));
}

TEST_F(abi, unknown_ioctls)
{
	EXPECT_EQ(-ENOTTY, unknown(self->node, _IO(KVMIO, 0xfe)));
	EXPECT_EQ(-ENOTTY, unknown(self->node, _IO('z', 1)));
	EXPECT_EQ(-ENOTTY, unknown(self->vm->fd, _IO(KVMIO, 0xfe)));
	EXPECT_EQ(-ENOTTY, unknown(self->vm->fd, _IO('z', 1)));
	EXPECT_EQ(-ENOTTY, unknown(self->vcpu->fd, _IO(KVMIO, 0xfe)));
	EXPECT_EQ(-ENOTTY, unknown(self->vcpu->fd, _IO('z', 1)));
	/* What belongs to another kind of descriptor. */
	EXPECT_EQ(-ENOTTY, unknown(self->node, KVM_CREATE_VCPU));
	EXPECT_EQ(-ENOTTY, unknown(self->vm->fd, KVM_RUN));
	EXPECT_EQ(-ENOTTY, unknown(self->vcpu->fd, KVM_CREATE_VM));
	/* The right number with the wrong size is another ioctl. */
	EXPECT_EQ(-ENOTTY, unknown(self->vm->fd, _IOW(KVMIO, 0x46, u64)));
}

TEST_F(abi, cpuid)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	c->nent = 1;
	EXPECT_EQ(-E2BIG, try_ioctl(self->node, KVM_GET_SUPPORTED_CPUID, c));
	c->nent = 0;
	EXPECT_EQ(-E2BIG, try_ioctl(self->node, KVM_GET_SUPPORTED_CPUID, c));
	EXPECT_EQ(-EFAULT, try_ioctl(self->node, KVM_GET_SUPPORTED_CPUID, BAD_PTR));
	c->nent = 256;
	EXPECT_EQ(0, try_ioctl(self->node, KVM_GET_SUPPORTED_CPUID, c));
	EXPECT_LT(2, c->nent);
	EXPECT_GT(256, c->nent);
	EXPECT_EQ(0, try_ioctl(self->vcpu->fd, KVM_SET_CPUID2, c));
	c->nent = 100000;
	EXPECT_EQ(-E2BIG, try_ioctl(self->vcpu->fd, KVM_SET_CPUID2, c));
	c->nent = ~0U;
	EXPECT_EQ(-E2BIG, try_ioctl(self->vcpu->fd, KVM_SET_CPUID2, c));
	EXPECT_EQ(-EFAULT, try_ioctl(self->vcpu->fd, KVM_SET_CPUID2, BAD_PTR));
}

/* --- memory slots --- */

struct bad_slot {
	const char *what;
	u32 slot, flags;
	u64 gpa, size;
	u64 hva;	/* 0: the test's memory */
};

static const struct bad_slot bad_slots[] = {
	{ "size", 1, 0, TEST_MEM, PAGE_4K + 1, 0 },
	{ "size below a page", 1, 0, TEST_MEM, 1, 0 },
	{ "guest address", 1, 0, TEST_MEM + 8, PAGE_4K, 0 },
	{ "host address", 1, 0, TEST_MEM, PAGE_4K, 0x7f0000000801 },
	{ "kernel address", 1, 0, TEST_MEM, PAGE_4K, 0xffff888000000000 },
	{ "last page", 1, 0, TEST_MEM, PAGE_4K, ~0xfffUL },
	{ "beyond user space", 1, 0, TEST_MEM, PAGE_1G, 0x7ffffffff000 },
	{ "unknown flag", 1, 1U << 31, TEST_MEM, PAGE_4K, 0 },
	{ "all flags", 1, ~0U, TEST_MEM, PAGE_4K, 0 },
	{ "guest address wraps", 1, 0, ~0xfffUL, 2 * PAGE_4K, 0 },
	{ "guest address ends at 2^64", 1, 0, ~0xfffUL, PAGE_4K, 0 },
	{ "all of 2^64", 1, 0, 0, ~0xfffUL, 0 },
	{ "2^63 bytes", 1, 0, TEST_MEM, BIT(63), 0 },
	{ "2^43 bytes", 1, 0, TEST_MEM, BIT(43), 0x1000 },
	{ "beyond any guest", 1, 0, BIT(56), PAGE_4K, 0 },
	{ "slot number", 0xffff, 0, TEST_MEM, PAGE_4K, 0 },
	{ "address space", 7U << 16, 0, TEST_MEM, PAGE_4K, 0 },
	{ "deleted but not there", 1, 0, TEST_MEM, 0, 0 },
};

TEST_F(abi, bad_memory_slots)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(bad_slots); i++) {
		const struct bad_slot *b = &bad_slots[i];

		EXPECT_EQ(-EINVAL, vm_set_slot(self->vm, b->slot, b->flags, b->gpa, b->size,
					       b->hva ? (void *)b->hva : self->mem))
			TH_LOG("bad %s was taken", b->what);
	}
	EXPECT_EQ(-EFAULT, try_ioctl(self->vm->fd, KVM_SET_USER_MEMORY_REGION, BAD_PTR));
	/* None of them is there: their addresses are free. */
	EXPECT_EQ(0, vm_set_slot(self->vm, 1, 0, TEST_MEM, MEM_SIZE, self->mem));
	EXPECT_EQ(-EEXIST, vm_set_slot(self->vm, 2, 0, TEST_MEM, MEM_SIZE, self->mem));
	EXPECT_EQ(-EEXIST, vm_set_slot(self->vm, 2, 0, TEST_MEM - PAGE_4K, 2 * PAGE_4K, self->mem));
	EXPECT_EQ(0, vm_set_slot(self->vm, 2, 0, TEST_MEM - PAGE_4K, PAGE_4K, self->mem));
}

/* Memory need not be there yet, nor ever. */
TEST_F(abi, slot_over_nothing)
{
	EXPECT_EQ(0, vm_set_slot(self->vm, 1, 0, TEST_MEM, PAGE_2M, (void *)0x10000000000));
	agent_start(self->vcpu);
	agent_post(self->vcpu, AGENT_READ, (void *)TEST_MEM, 8, 0, 0);
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
}

/* --- vCPUs --- */

TEST_F(abi, create_vcpu)
{
	int max_id = node_has(KVM_CAP_MAX_VCPU_ID) ?: node_has(KVM_CAP_MAX_VCPUS);
	int fd;

	ASSERT_LT(0, max_id);
	EXPECT_EQ(-EEXIST, try_ioctl(self->vm->fd, KVM_CREATE_VCPU, (void *)0UL));
	EXPECT_EQ(-EINVAL, try_ioctl(self->vm->fd, KVM_CREATE_VCPU, (void *)(long)max_id));
	EXPECT_EQ(-EINVAL, try_ioctl(self->vm->fd, KVM_CREATE_VCPU, (void *)0x80000000UL));
	EXPECT_EQ(-EINVAL, try_ioctl(self->vm->fd, KVM_CREATE_VCPU, (void *)~0UL));
	fd = ioctl(self->vm->fd, KVM_CREATE_VCPU, (long)max_id - 1);
	EXPECT_LE(0, fd);
	close(fd);
	/* Its number stays taken as long as the VM lives. */
	EXPECT_EQ(-EEXIST, try_ioctl(self->vm->fd, KVM_CREATE_VCPU, (void *)(long)max_id - 1));
}

/* As many vCPUs as are promised, if that is a number for a test. */
TEST_F(abi, number_of_vcpus)
{
	int max = node_has(KVM_CAP_MAX_VCPUS), nr = node_has(KVM_CAP_NR_VCPUS);
	int i, n = max > 64 ? 64 : max;
	int fds[64];

	EXPECT_LE(nr, max);
	EXPECT_LT(0, nr);
	for (i = 1; i < n; i++) {
		fds[i] = ioctl(self->vm->fd, KVM_CREATE_VCPU, (long)i);
		ASSERT_LE(0, fds[i]);
	}
	if (n == max)
		EXPECT_EQ(-EINVAL, try_ioctl(self->vm->fd, KVM_CREATE_VCPU, (void *)(long)i));
	for (i = 1; i < n; i++)
		close(fds[i]);
}

TEST_F(abi, vcpu_pointers_and_arguments)
{
	static const unsigned long requests[] = {
		KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_GET_FPU, KVM_SET_FPU,
		KVM_GET_MSRS, KVM_SET_MSRS, KVM_TRANSLATE, KVM_INTERRUPT, KVM_SET_SIGNAL_MASK,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(requests); i++)
		EXPECT_EQ(-EFAULT, try_ioctl(self->vcpu->fd, requests[i], BAD_PTR))
			TH_LOG("request %#lx", requests[i]);
	EXPECT_EQ(-EINVAL, try_ioctl(self->vcpu->fd, KVM_RUN, (void *)1));
}

TEST_F(abi, interrupt_number)
{
	struct kvm_interrupt irq = { .irq = 256 };

	EXPECT_EQ(-EINVAL, try_ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq));
	irq.irq = ~0U;
	EXPECT_EQ(-EINVAL, try_ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq));
}

TEST_F(abi, signal_mask_length)
{
	struct {
		struct kvm_signal_mask head;
		u8 set[16];
	} mask = { .head.len = 4 };

	EXPECT_EQ(-EINVAL, try_ioctl(self->vcpu->fd, KVM_SET_SIGNAL_MASK, &mask));
	mask.head.len = 16;
	EXPECT_EQ(-EINVAL, try_ioctl(self->vcpu->fd, KVM_SET_SIGNAL_MASK, &mask));
	mask.head.len = 8;
	EXPECT_EQ(0, try_ioctl(self->vcpu->fd, KVM_SET_SIGNAL_MASK, &mask));
	EXPECT_EQ(0, try_ioctl(self->vcpu->fd, KVM_SET_SIGNAL_MASK, NULL));
}

TEST_F(abi, msr_lists)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[3];
	} m = { .head.nmsrs = 3 };

	/* EFER, one that nobody has, EFER: the first alone is done. */
	m.e[0].index = 0xc0000080;
	m.e[1].index = 0x12345678;
	m.e[2].index = 0xc0000080;
	EXPECT_EQ(1, ioctl(self->vcpu->fd, KVM_GET_MSRS, &m));
	EXPECT_EQ(1, ioctl(self->vcpu->fd, KVM_SET_MSRS, &m));
	m.head.nmsrs = 0;
	EXPECT_EQ(0, ioctl(self->vcpu->fd, KVM_GET_MSRS, &m));
	m.head.nmsrs = 1000000;
	EXPECT_EQ(-E2BIG, try_ioctl(self->vcpu->fd, KVM_GET_MSRS, &m));
	EXPECT_EQ(-E2BIG, try_ioctl(self->vcpu->fd, KVM_SET_MSRS, &m));
	m.head.nmsrs = ~0U;
	EXPECT_EQ(-E2BIG, try_ioctl(self->vcpu->fd, KVM_SET_MSRS, &m));
}

/* Each of these cannot be a CPU's state; the one before it stays. */
TEST_F(abi, impossible_sregs)
{
	struct kvm_sregs good, s;

	vcpu_start(self->vcpu, (void *)0x1000, NULL);
	vcpu_get_sregs(self->vcpu, &good);
	s = good;
	s.cr4 |= BIT(40);
	EXPECT_EQ(-EINVAL, try_ioctl(self->vcpu->fd, KVM_SET_SREGS, &s));
	s = good;
	s.cr4 &= ~BIT(5);		/* long mode without PAE */
	EXPECT_EQ(-EINVAL, try_ioctl(self->vcpu->fd, KVM_SET_SREGS, &s));
	s = good;
	s.efer &= ~BIT(10);		/* LME and paging without LMA */
	EXPECT_EQ(-EINVAL, try_ioctl(self->vcpu->fd, KVM_SET_SREGS, &s));
	s = good;
	s.cr0 &= ~BIT(31);		/* LMA without paging */
	EXPECT_EQ(-EINVAL, try_ioctl(self->vcpu->fd, KVM_SET_SREGS, &s));
	s = good;
	s.cr3 |= BIT(62);
	EXPECT_EQ(-EINVAL, try_ioctl(self->vcpu->fd, KVM_SET_SREGS, &s));
	vcpu_get_sregs(self->vcpu, &s);
	EXPECT_EQ(good.cr0, s.cr0);
	EXPECT_EQ(good.cr3, s.cr3);
	EXPECT_EQ(good.cr4, s.cr4);
	EXPECT_EQ(good.efer, s.efer);
}

TEST_F(abi, tss_address)
{
	EXPECT_EQ(0, try_ioctl(self->vm->fd, KVM_SET_TSS_ADDR, (void *)0xfffbd000));
	EXPECT_EQ(-EINVAL, try_ioctl(self->vm->fd, KVM_SET_TSS_ADDR, (void *)0xffffffff));
}

/* --- who may --- */

TEST_F(abi, another_process)
{
	struct kvm_regs regs;
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (try_ioctl(self->vcpu->fd, KVM_RUN, NULL) != -EIO)
			_exit(1);
		if (try_ioctl(self->vcpu->fd, KVM_GET_REGS, &regs) != -EIO)
			_exit(2);
		if (vm_set_slot(self->vm, 1, 0, TEST_MEM, MEM_SIZE, self->mem) != -EIO)
			_exit(3);
		if (try_ioctl(self->vm->fd, KVM_CREATE_VCPU, (void *)1) != -EIO)
			_exit(4);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* The VM lives as long as one of its descriptors does. */
TEST_F(abi, vcpu_outlives_the_vm_descriptor)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);

	agent_start(vcpu);
	close(vm->fd);
	vm->fd = -1;
	EXPECT_EQ(0, agent_read(vcpu, (void *)PAGE_4K, 8));
	vm_close(vm);
}

/* --- capabilities --- */

struct cap_check {
	long cap;
	const char *name;
	enum { NODE, VM, VCPU } on;
	unsigned long request;
};

#define CAP(on, cap, request) { KVM_CAP_##cap, #cap, on, KVM_##request }

/* An ioctl that writes into 64 KiB of zeroes, or reads them. */
static const struct cap_check cap_checks[] = {
	CAP(NODE, EXT_CPUID, GET_SUPPORTED_CPUID),
	CAP(NODE, EXT_EMUL_CPUID, GET_EMULATED_CPUID),
	CAP(NODE, GET_MSR_FEATURES, GET_MSR_FEATURE_INDEX_LIST),
	CAP(VM, SET_TSS_ADDR, SET_TSS_ADDR),
	CAP(VM, CHECK_EXTENSION_VM, CHECK_EXTENSION),
	CAP(VM, ADJUST_CLOCK, GET_CLOCK),
	CAP(VCPU, MP_STATE, GET_MP_STATE),
	CAP(NODE, MCE, X86_GET_MCE_CAP_SUPPORTED),
	CAP(VCPU, VCPU_EVENTS, GET_VCPU_EVENTS),
	CAP(VCPU, DEBUGREGS, GET_DEBUGREGS),
	CAP(VCPU, XSAVE, GET_XSAVE),
	CAP(VCPU, XSAVE2, GET_XSAVE2),
	CAP(VCPU, XCRS, GET_XCRS),
	CAP(VCPU, GET_TSC_KHZ, GET_TSC_KHZ),
};

TEST_F(abi, announced_capabilities_work)
{
	int fds[] = { [NODE] = self->node, [VM] = self->vm->fd, [VCPU] = self->vcpu->fd };
	static u8 arg[65536] __aligned(64);
	int i;

	for (i = 0; i < ARRAY_SIZE(cap_checks); i++) {
		const struct cap_check *c = &cap_checks[i];
		int ret;

		if (!node_has(c->cap))
			continue;
		memset(arg, 0, sizeof(arg));
		*(u32 *)arg = c->on == NODE ? 256 : 0;
		ret = try_ioctl(fds[c->on], c->request, arg);
		EXPECT_NE(-ENOTTY, ret) TH_LOG("KVM_CAP_%s has no ioctl", c->name);
		EXPECT_NE(-EINVAL, ret) TH_LOG("KVM_CAP_%s", c->name);
	}
	EXPECT_LT(0, node_has(KVM_CAP_USER_MEMORY));
	EXPECT_LT(0, node_has(KVM_CAP_DESTROY_MEMORY_REGION_WORKS));
	EXPECT_LE(32, node_has(KVM_CAP_NR_MEMSLOTS));
}

/* The slots that are promised exist, and no more. */
TEST_F(abi, highest_slot_number)
{
	int n = node_has(KVM_CAP_NR_MEMSLOTS);

	EXPECT_EQ(0, vm_set_slot(self->vm, n - 1, 0, TEST_MEM, PAGE_4K, self->mem));
	EXPECT_EQ(0, vm_set_slot(self->vm, n - 1, 0, TEST_MEM, 0, NULL));
}

/* --- what umbra adds --- */

TEST_F(abi, umbra_ioctls_are_unknown_to_others)
{
	struct umbra_mmu_config cfg = {};

	if (node_has(UMBRA_CAP_MMU))
		TEST_SKIP("this is umbra");
	EXPECT_EQ(-ENOTTY, unknown(self->vm->fd, UMBRA_GET_MMU));
	EXPECT_EQ(-ENOTTY, try_ioctl(self->vm->fd, UMBRA_SET_MMU, &cfg));
}

TEST_F(abi, choice_of_the_mmu)
{
	struct umbra_mmu_config cfg = {};
	struct vm *vm;
	int caps = node_has(UMBRA_CAP_MMU);
	int mode;

	if (!caps)
		TEST_SKIP("no UMBRA_CAP_MMU");
	/* Too late for this one: it has a slot and a vCPU. */
	EXPECT_EQ(-EBUSY, try_ioctl(self->vm->fd, UMBRA_SET_MMU, &cfg));
	vm = vm_create_bare();
	for (mode = 0; mode <= UMBRA_MMU_HPT; mode++) {
		cfg.mode = mode;
		cfg.policy = UMBRA_POLICY_PINNED;
		EXPECT_EQ(caps & 1 << mode ? 0 : -EOPNOTSUPP,
			  try_ioctl(vm->fd, UMBRA_SET_MMU, &cfg));
		if (!(caps & 1 << mode))
			continue;
		memset(&cfg, 0xff, sizeof(cfg));
		ASSERT_EQ(0, try_ioctl(vm->fd, UMBRA_GET_MMU, &cfg));
		EXPECT_EQ(mode, cfg.mode);
		EXPECT_EQ(UMBRA_POLICY_PINNED, cfg.policy);
		EXPECT_EQ(0, cfg.reserved[0] | cfg.reserved[1]);
	}
	cfg = (struct umbra_mmu_config) { .mode = UMBRA_MMU_HPT + 1 };
	EXPECT_EQ(-EINVAL, try_ioctl(vm->fd, UMBRA_SET_MMU, &cfg));
	cfg = (struct umbra_mmu_config) { .policy = 2 };
	EXPECT_EQ(-EINVAL, try_ioctl(vm->fd, UMBRA_SET_MMU, &cfg));
	cfg = (struct umbra_mmu_config) { .reserved = { 0, 1 } };
	EXPECT_EQ(-EINVAL, try_ioctl(vm->fd, UMBRA_SET_MMU, &cfg));
	EXPECT_EQ(-EFAULT, try_ioctl(vm->fd, UMBRA_SET_MMU, BAD_PTR));
	EXPECT_EQ(-EFAULT, try_ioctl(vm->fd, UMBRA_GET_MMU, BAD_PTR));
	vm_free(vm);
}

TEST_F(abi, gfn_info)
{
	struct umbra_gfn_info info;

	if (!node_has(UMBRA_CAP_AUDIT))
		TEST_SKIP("no UMBRA_CAP_AUDIT");
	ASSERT_EQ(0, vm_set_slot(self->vm, 9, 0, TEST_MEM, PAGE_2M, self->mem));
	madvise(self->mem, PAGE_2M, MADV_NOHUGEPAGE);
	ASSERT_TRUE(vm_gfn_info(self->vm, TEST_MEM, &info));
	EXPECT_EQ(UMBRA_GFN_SLOT, info.flags);
	EXPECT_EQ((u64)self->mem, info.hva);
	EXPECT_EQ(9, info.slot);
	EXPECT_EQ(0, info.level);
	EXPECT_EQ(0, info.sptes);
	agent_start(self->vcpu);
	agent_write(self->vcpu, (void *)TEST_MEM, 8, 1);
	ASSERT_TRUE(vm_gfn_info(self->vm, TEST_MEM, &info));
	EXPECT_EQ(UMBRA_GFN_SLOT | UMBRA_GFN_PRESENT | UMBRA_GFN_WRITABLE,
		  info.flags & ~(UMBRA_GFN_ACCESSED | UMBRA_GFN_DIRTY));
	EXPECT_EQ(1, info.level);
	EXPECT_EQ(1, info.sptes);
	EXPECT_EQ(page_pfn(self->mem), info.pfn);
	EXPECT_NE(0, info.spte);
	ASSERT_TRUE(vm_gfn_info(self->vm, TEST_MMIO, &info));
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(0, info.hva);
	EXPECT_FALSE(vm_gfn_info(self->vm, BIT(62), &info));
	EXPECT_EQ(-EFAULT, try_ioctl(self->vm->fd, UMBRA_GFN_INFO, BAD_PTR));
	EXPECT_EQ(-EFAULT, try_ioctl(self->vm->fd, UMBRA_AUDIT, BAD_PTR));
	EXPECT_EQ(-EFAULT, try_ioctl(self->node, UMBRA_COUNTERS, BAD_PTR));
}

UMBRA_TEST_MAIN
