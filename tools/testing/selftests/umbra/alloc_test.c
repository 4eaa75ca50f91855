// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocations that fail. Lets the n-th allocation fail, for n from 1 until none
 * is left to fail, and proves that each failure is a clean -ENOMEM, that the
 * same call succeeds afterwards, that the guest's bytes are right, and that
 * nothing is left behind.
 *
 * Two ways: by test hook the page-table pages, through slots, vCPUs, faults and
 * the dirty log of a VM; and by the kernel's own fault injection, where it is
 * built in, every allocation of each single call.
 */
#include "test.h"

#define MEM_SIZE (2 * PAGE_2M)

static int failures;

/* Does @call until it works; it may fail for want of memory only. */
#define RETRY(call) ({							\
	int __ret;							\
									\
	while ((__ret = (call)) == -ENOMEM)				\
		failures++;						\
	__ret;								\
})

static int create_vcpu(struct vm *vm, long id)
{
	int fd = ioctl(vm->fd, KVM_CREATE_VCPU, id);

	return fd < 0 ? -errno : fd;
}

/* The agent by hand: KVM_RUN may fail on the way. */
static void touch(struct __test_metadata *_metadata, struct vcpu *vcpu, enum agent_op op,
		  u8 *mem, u64 seed)
{
	agent_post(vcpu, op, mem, MEM_SIZE, seed, PAGE_4K);
	ASSERT_EQ(0, RETRY(vcpu_run(vcpu)));
	ASSERT_EQ(KVM_EXIT_IO, vcpu->run->exit_reason);
	if (op == AGENT_VERIFY)
		EXPECT_EQ(0, agent_result(vcpu));
}

/* The life of a VM with the @n-th allocation failing; returns failures seen. */
static int life(struct __test_metadata *_metadata, u64 n)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu;
	u8 *mem = vm_reserve(vm, MEM_SIZE, PAGE_2M);
	u64 log[MEM_SIZE / PAGE_4K / 64];
	int slot = 3, fd;

	failures = 0;
	ASSERT_EQ(0, mprotect(mem, MEM_SIZE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, vm_hook(vm, UMBRA_HOOK_ALLOC_FAIL, n));
	ASSERT_EQ(0, RETRY(vm_set_slot(vm, slot, 0, (u64)mem, MEM_SIZE, mem)));
	/* The library dies of errors, so the first vCPU is made by hand. */
	fd = RETRY(create_vcpu(vm, 1));
	ASSERT_LE(0, fd);
	vcpu = vcpu_create(vm, 0);
	agent_start(vcpu);
	touch(_metadata, vcpu, AGENT_FILL, mem, 1);
	ASSERT_EQ(0, host_verify(mem, MEM_SIZE, PAGE_4K, 1));
	ASSERT_EQ(0, RETRY(vm_set_slot(vm, slot, KVM_MEM_LOG_DIRTY_PAGES, (u64)mem, MEM_SIZE,
				       mem)));
	touch(_metadata, vcpu, AGENT_FILL, mem, 2);
	ASSERT_EQ(0, RETRY(vm_dirty_log(vm, slot, log)));
	EXPECT_EQ(~0UL, log[0] & log[1] & log[2] & log[3]);
	ASSERT_EQ(0, madvise(mem, MEM_SIZE, MADV_DONTNEED));
	host_fill(mem, MEM_SIZE, PAGE_4K, 3);
	touch(_metadata, vcpu, AGENT_VERIFY, mem, 3);
	ASSERT_EQ(0, RETRY(vm_set_slot(vm, slot, 0, (u64)mem - PAGE_2M, MEM_SIZE, mem)));
	ASSERT_EQ(0, RETRY(vm_set_slot(vm, slot, 0, 0, 0, NULL)));
	ASSERT_EQ(0, vm_hook(vm, UMBRA_HOOK_ALLOC_FAIL, 0));
	close(fd);
	munmap(mem, MEM_SIZE);
	vm_free(vm);
	return failures;
}

TEST(every_allocation)
{
	int quiet = 0;
	int total = 0;
	u64 n;

	if (!node_has(UMBRA_CAP_TEST_HOOK))
		TEST_SKIP("no UMBRA_CAP_TEST_HOOK: not a test build");
	/* Past the last allocation nothing fails any more. */
	for (n = 1; n < 500 && quiet < 4; n++) {
		int failed = life(_metadata, n);

		total += failed;
		quiet = failed ? 0 : quiet + 1;
	}
	printf("# %d of the first %lu allocations failed\n", total, n - 1);
	EXPECT_LT(0, total);
}

/* --- by the kernel's fault injection --- */

#define FAIL_NTH "/proc/thread-self/fail-nth"
#define FAILSLAB "/sys/kernel/debug/failslab/"
#define FAIL_PAGE "/sys/kernel/debug/fail_page_alloc/"

/* One call, with a VM of which it may use anything; 0 or more is success. */
struct victim {
	const char *name;
	int (*call)(struct vm *vm);
	void (*undo)(struct vm *vm, int ret);
};

static int call_create_vm(struct vm *vm)
{
	int node = node_open();
	int ret = node < 0 ? node : ioctl(node, KVM_CREATE_VM, 0UL);

	ret = ret < 0 && node >= 0 ? -errno : ret;
	close(node);
	return ret;
}

static int call_create_vcpu(struct vm *vm)
{
	static long id = 1;
	int ret = create_vcpu(vm, id);

	if (ret >= 0)
		id++;
	return ret;
}

static void undo_close(struct vm *vm, int ret)
{
	close(ret);
}

static int call_set_slot(struct vm *vm)
{
	return vm_set_slot(vm, 9, KVM_MEM_LOG_DIRTY_PAGES, TEST_MMIO - PAGE_2M, PAGE_2M, vm->boot);
}

static void undo_set_slot(struct vm *vm, int ret)
{
	vm_set_slot(vm, 9, 0, 0, 0, NULL);
}

static int call_set_cpuid(struct vm *vm)
{
	return ioctl(vm->vcpu[0]->fd, KVM_SET_CPUID2, umbra_cpuid()) ? -errno : 0;
}

static int call_get_cpuid(struct vm *vm)
{
	static u8 table[65536];
	int node = node_open(), ret;

	if (node < 0)
		return node;
	*(u32 *)table = 256;
	ret = ioctl(node, KVM_GET_SUPPORTED_CPUID, table) ? -errno : 0;
	close(node);
	return ret;
}

static int call_run(struct vm *vm)
{
	int ret;

	agent_post(vm->vcpu[0], AGENT_FILL, (void *)TEST_MEM, MEM_SIZE, 7, PAGE_4K);
	ret = vcpu_run(vm->vcpu[0]);
	/* Memory of the process that could not be had is -EFAULT. */
	return ret == -EFAULT ? -ENOMEM : ret;
}

static void undo_run(struct vm *vm, int ret)
{
	u64 bad = host_verify((void *)TEST_MEM, MEM_SIZE, PAGE_4K, 7);

	if (bad)
		die("%lu pages of the guest are wrong", bad);
	madvise((void *)TEST_MEM, MEM_SIZE, MADV_DONTNEED);
}

static const struct victim victims[] = {
	{ "KVM_CREATE_VM", call_create_vm, undo_close },
	{ "KVM_CREATE_VCPU", call_create_vcpu, undo_close },
	{ "KVM_SET_USER_MEMORY_REGION", call_set_slot, undo_set_slot },
	{ "KVM_SET_CPUID2", call_set_cpuid, NULL },
	{ "KVM_GET_SUPPORTED_CPUID", call_get_cpuid, NULL },
	{ "KVM_RUN", call_run, undo_run },
};

/* Returns how many allocations of the call were made to fail. */
static int fail_each(struct __test_metadata *_metadata, struct vm *vm, const struct victim *v)
{
	char text[16];
	int n, ret;

	for (n = 1; ; n++) {
		snprintf(text, sizeof(text), "%d", n);
		ASSERT_EQ(0, host_write(FAIL_NTH, text));
		ret = v->call(vm);
		/* What is left of the count: 0 when it has struck. */
		if (host_read(FAIL_NTH) > 0) {
			host_write(FAIL_NTH, "0");
			ASSERT_LE(0, ret) TH_LOG("%s: %d without a failure", v->name, ret);
			if (v->undo)
				v->undo(vm, ret);
			return n - 1;
		}
		if (ret >= 0 && v->undo)
			v->undo(vm, ret);
		EXPECT_TRUE(ret >= 0 || ret == -ENOMEM)
			TH_LOG("%s, allocation %d: %d", v->name, n, ret);
	}
}

TEST(every_allocation_of_each_call)
{
	struct vm *vm;
	int i, n;

	if (access(FAIL_NTH, W_OK) || host_write(FAILSLAB "ignore-gfp-wait", "N"))
		TEST_SKIP("a kernel without fault injection");
	host_write(FAIL_PAGE "ignore-gfp-wait", "N");
	host_write(FAIL_PAGE "min-order", "0");
	host_write(FAILSLAB "verbose", "0");
	host_write(FAIL_PAGE "verbose", "0");
	vm = vm_create();
	agent_start(vcpu_create(vm, 0));
	ASSERT_EQ(TEST_MEM, (u64)vm_mem(vm, MEM_SIZE));
	for (i = 0; i < ARRAY_SIZE(victims); i++) {
		n = fail_each(_metadata, vm, &victims[i]);
		printf("# %s: %d allocations failed\n", victims[i].name, n);
		EXPECT_LT(0, n);
	}
	vm_free(vm);
}

UMBRA_TEST_MAIN
