// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a VM, however it comes. Proves that a process that is killed at
 * any moment, with vCPUs in the guest, faults under way and its memory
 * changing, leaves nothing behind; that descriptors may be closed in any order
 * and inherited by a child; that the VM's memory may go before the VM; and
 * that CPUs may leave and come back under a guest, and the host suspend.
 *
 * What is left is asked of the module by UMBRA_COUNTERS, which waits for what
 * is freed in the background. On a node without it only survival is proved.
 */
#include <signal.h>
#include <sys/sysinfo.h>

#include "test.h"

static void no_leftovers(struct __test_metadata *_metadata)
{
	const char *left = node_leftovers();

	EXPECT_EQ(NULL, left) TH_LOG("left over: %s", left);
}

struct work {
	shared_u64 stop;
	shared_u64 rounds[2];
	u8 *mem;
	u64 size;
};

static void guest_touch(struct work *w, int id)
{
	u64 off;

	while (!w->stop) {
		for (off = 0; off < w->size; off += PAGE_4K)
			GUEST_WRITE((u64 *)(w->mem + off) + id, off);
		w->rounds[id]++;
	}
}

static void guest_touch_0(void *arg)
{
	guest_touch(arg, 0);
}

static void guest_touch_1(void *arg)
{
	guest_touch(arg, 1);
}

/* Never returns: two vCPUs touch memory that is taken away all the time. */
static void busy_process(shared_u64 *alive)
{
	struct vm *vm = vm_create();
	struct vcpu *a = vcpu_create(vm, 0), *b = vcpu_create(vm, 1);
	struct work *w = vm_mem(vm, PAGE_4K);
	int i;

	w->size = PAGE_2M;
	w->mem = vm_mem(vm, w->size);
	vcpu_start(a, guest_touch_0, w);
	vcpu_start(b, guest_touch_1, w);
	vcpu_spawn(a);
	vcpu_spawn(b);
	for (i = 0; ; i++) {
		madvise(w->mem, w->size, i % 2 ? MADV_DONTNEED : MADV_PAGEOUT);
		vm_set_slot(vm, 40, 0, TEST_MMIO - PAGE_2M, i % 2 ? 0 : PAGE_4K, w->mem);
		*alive = w->rounds[0] + i + 1;
	}
}

TEST(killed_at_any_moment)
{
	shared_u64 *alive = mmap(NULL, PAGE_4K, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int rounds = test_long() ? 60 : 10;
	u32 random = 12345;
	int i, status;

	for (i = 0; i < rounds; i++) {
		pid_t pid = fork();
		u64 n;

		if (!pid) {
			busy_process(alive);
			_exit(0);
		}
		/* Half of them while they start, half while they work. */
		random = random * 1103515245 + 12345;
		if (i % 2)
			while (!*alive)
				usleep(100);
		for (n = random >> 16 & 0x3ff; n; n--)
			sched_yield();
		usleep(random >> 8 & 0x3fff);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
		no_leftovers(_metadata);
		*alive = 0;
	}
}

/* VM, vCPU and memory go in every order. */
TEST(closed_in_any_order)
{
	int order;

	for (order = 0; order < 6; order++) {
		static const char orders[6][4] = { "vcm", "vmc", "cvm", "cmv", "mvc", "mcv" };
		struct vm *vm = vm_create();
		struct vcpu *vcpu = vcpu_create(vm, 0);
		u8 *mem = vm_mem(vm, PAGE_2M);
		const char *o;

		agent_start(vcpu);
		agent_fill(vcpu, mem, PAGE_2M, PAGE_4K, 1);
		for (o = orders[order]; *o; o++) {
			if (*o == 'v')
				close(vm->fd);
			else if (*o == 'c')
				close(vcpu->fd);
			else
				munmap(mem, PAGE_2M);
		}
		munmap(vcpu->run, vm->run_size);
		munmap(vm->boot, BOOT_SIZE);
		no_leftovers(_metadata);
	}
}

/* A mapping of kvm_run alone keeps the vCPU. */
TEST(mapping_outlives_the_descriptors)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);

	agent_start(vcpu);
	agent_read(vcpu, (void *)PAGE_4K, 8);
	close(vcpu->fd);
	close(vm->fd);
	vcpu->run->immediate_exit = 1;
	EXPECT_EQ(1, vcpu->run->immediate_exit);
	munmap(vcpu->run, vm->run_size);
	no_leftovers(_metadata);
}

/* The process that made the VM goes; a child has the descriptors. */
TEST(inherited_by_a_child)
{
	int go[2], status, fds[2];
	char c = 0;
	pid_t maker, heir;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(fds));
	maker = fork();
	if (!maker) {
		struct vm *vm = vm_create();
		struct vcpu *vcpu = vcpu_create(vm, 0);
		u8 *mem = vm_mem(vm, PAGE_2M);

		agent_start(vcpu);
		agent_fill(vcpu, mem, PAGE_2M, PAGE_4K, 1);
		heir = fork();
		if (!heir) {
			/* After the maker's end: nothing to do here but close. */
			if (read(go[0], &c, 1) != 1)
				_exit(1);
			c = vcpu_run(vcpu) == -EIO;
			close(vcpu->fd);
			close(vm->fd);
			_exit(write(fds[1], &c, 1) == 1 ? 0 : 1);
		}
		_exit(0);
	}
	ASSERT_EQ(maker, waitpid(maker, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(1, write(go[1], "x", 1));
	ASSERT_EQ(1, read(fds[0], &c, 1));
	EXPECT_EQ(1, c);
}

/* All memory of the process that the VM knows is unmapped under vCPUs that run. */
static void *run_until_efault(void *arg)
{
	struct vcpu *vcpu = arg;
	int ret;

	do
		ret = vcpu_run(vcpu);
	while (!ret || ret == -EINTR);
	return (void *)(long)ret;
}

TEST(memory_goes_first)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);
	struct work *w = vm_mem(vm, PAGE_4K);
	pthread_t thread;
	void *ret;

	w->size = PAGE_2M;
	w->mem = vm_mem(vm, w->size);
	vcpu_start(vcpu, guest_touch_0, w);
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_until_efault, vcpu));
	await(&w->rounds[0], 2);
	ASSERT_EQ(0, munmap(w->mem, w->size));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(-EFAULT, (long)ret);
	vm_free(vm);
}

TEST(many_vms)
{
	struct vm *vms[30];
	int i;

	for (i = 0; i < ARRAY_SIZE(vms); i++) {
		vms[i] = vm_create();
		agent_start(vcpu_create(vms[i], 0));
	}
	for (i = 0; i < ARRAY_SIZE(vms); i++)
		EXPECT_EQ(0, agent_read(vms[i]->vcpu[0], (void *)PAGE_4K, 8));
	for (i = 0; i < ARRAY_SIZE(vms); i++)
		vm_free(vms[i]);
}

/* A CPU leaves under the guest and comes back: the module goes with it. */
TEST(cpu_hotplug)
{
	char online[64];
	struct vm *vm;
	struct vcpu *vcpu;
	struct work *w;
	pthread_t thread;
	int i;

	snprintf(online, sizeof(online), "/sys/devices/system/cpu/cpu%d/online", host_cpu(1));
	if (access(online, W_OK))
		TEST_SKIP("no second CPU that can be taken away");
	vm = vm_create();
	vcpu = vcpu_create(vm, 0);
	w = vm_mem(vm, PAGE_4K);
	w->size = PAGE_2M;
	w->mem = vm_mem(vm, w->size);
	vcpu_start(vcpu, guest_touch_0, w);
	thread = vcpu_spawn(vcpu);
	for (i = 0; i < 3; i++) {
		await(&w->rounds[0], 2);
		ASSERT_EQ(0, host_write(online, "0"));
		await(&w->rounds[0], 2);
		ASSERT_EQ(0, host_write(online, "1"));
	}
	await(&w->rounds[0], 2);
	w->stop = 1;
	vcpu_join(thread);
	vm_free(vm);
}

/*
 * The host suspends under a guest: all CPUs but the first go, then that one loses what
 * the module has set in it. The guest runs on after each.
 */
TEST(suspend)
{
	char online[64];
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);
	struct work *w = vm_mem(vm, PAGE_4K);
	pthread_t thread;
	int ret, cpu;

	ret = vm_hook(vm, UMBRA_HOOK_SUSPEND, 0);
	if (ret == -ENOTTY || ret == -EOPNOTSUPP)
		TEST_SKIP("not a test build, or a host that cannot suspend");
	EXPECT_EQ(-EBUSY, ret);
	w->size = PAGE_2M;
	w->mem = vm_mem(vm, w->size);
	vcpu_start(vcpu, guest_touch_0, w);
	thread = vcpu_spawn(vcpu);
	await(&w->rounds[0], 2);
	for (cpu = 1; cpu < get_nprocs_conf(); cpu++) {
		snprintf(online, sizeof(online), "/sys/devices/system/cpu/cpu%d/online", cpu);
		ASSERT_EQ(0, host_write(online, "0"));
	}
	EXPECT_EQ(0, vm_hook(vm, UMBRA_HOOK_SUSPEND, 0));
	await(&w->rounds[0], 2);
	for (cpu = 1; cpu < get_nprocs_conf(); cpu++) {
		snprintf(online, sizeof(online), "/sys/devices/system/cpu/cpu%d/online", cpu);
		ASSERT_EQ(0, host_write(online, "1"));
	}
	await(&w->rounds[0], 2);
	w->stop = 1;
	vcpu_join(thread);
	vm_free(vm);
}

UMBRA_TEST_MAIN
