// SPDX-License-Identifier: GPL-2.0-only
/*
 * The paravirtual clock. Proves that KVM_GET_CLOCK runs with the host's time and goes on
 * from what KVM_SET_CLOCK set, that a guest reads the same time from its memory, also
 * after its TSC was set and on vCPUs whose TSCs differ, that the wall clock is the real
 * time of its zero, that KVM_KVMCLOCK_CTRL leaves its mark once, that what the clock
 * writes is in the dirty log, and that CPUID, the MSRs and their list agree.
 */
#include <time.h>

#include "test.h"

#define MSR_KVM_WALL_CLOCK 0x11
#define MSR_KVM_SYSTEM_TIME 0x12
#define MSR_KVM_WALL_CLOCK_NEW 0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_TSC 0x10

#define FLAG_STABLE BIT(0)
#define FLAG_STOPPED BIT(1)

#define SEC 1000000000UL

/* As the guest finds it; see Documentation/virt/kvm/x86/msr.rst. */
struct time_info {
	u32 version;
	u32 pad0;
	u64 tsc;
	u64 ns;
	u32 mul;
	signed char shift;
	u8 flags;
	u8 pad[2];
} __packed;

struct wall_info {
	u32 version, sec, nsec;
} __packed;

struct shared {
	__volatile__ struct time_info time[2];
	__volatile__ struct wall_info wall;
	shared_u64 now;
};

FIXTURE(clock) {
	struct vm *vm;
	struct vcpu *vcpu;
	struct shared *shared;
};

FIXTURE_SETUP(clock)
{
	if (!node_has(KVM_CAP_CLOCKSOURCE))
		TEST_SKIP("no KVM_CAP_CLOCKSOURCE");
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->shared = vm_mem(self->vm, PAGE_2M);
}

FIXTURE_TEARDOWN(clock)
{
	vm_free(self->vm);
}

static u64 get_clock(struct vm *vm)
{
	struct kvm_clock_data data;

	memset(&data, 0xff, sizeof(data));
	if (ioctl(vm->fd, KVM_GET_CLOCK, &data))
		die("KVM_GET_CLOCK");
	return data.clock;
}

static int set_clock(struct vm *vm, u64 ns, u32 flags, u64 realtime)
{
	struct kvm_clock_data data = { .clock = ns, .flags = flags, .realtime = realtime };

	return vm_try(vm, KVM_SET_CLOCK, &data);
}

static u64 real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * SEC + ts.tv_nsec;
}

TEST_F(clock, runs_with_the_hosts_time)
{
	struct kvm_clock_data a, b;
	u64 before, after;

	memset(&a, 0xff, sizeof(a));
	ASSERT_EQ(0, ioctl(self->vm->fd, KVM_GET_CLOCK, &a));
	EXPECT_EQ(0, a.pad0);
	EXPECT_EQ(0, a.pad[0] | a.pad[1] | a.pad[2] | a.pad[3]);
	before = real_ns();
	ASSERT_EQ(0, ioctl(self->vm->fd, KVM_GET_CLOCK, &a));
	usleep(200000);
	ASSERT_EQ(0, ioctl(self->vm->fd, KVM_GET_CLOCK, &b));
	after = real_ns();
	EXPECT_LE(200000000, b.clock - a.clock);
	/* Real time is slewed, and this clock is not. */
	EXPECT_GE((after - before) / 1000 * 1001, b.clock - a.clock);
	EXPECT_EQ(0, b.flags & ~node_has(KVM_CAP_ADJUST_CLOCK));
	if (b.flags & KVM_CLOCK_REALTIME) {
		EXPECT_LE(before, b.realtime);
		EXPECT_GE(after, b.realtime);
	}
	if (b.flags & KVM_CLOCK_HOST_TSC)
		EXPECT_LT(a.host_tsc, b.host_tsc);
}

TEST_F(clock, set)
{
	const u64 hour = 3600 * SEC;
	u64 now;

	ASSERT_EQ(0, set_clock(self->vm, hour, 0, 0));
	now = get_clock(self->vm);
	EXPECT_LE(hour, now);
	EXPECT_GT(hour + 100 * SEC, now);
	/* Back as well. */
	ASSERT_EQ(0, set_clock(self->vm, 5, 0, 0));
	EXPECT_GT(100 * SEC, get_clock(self->vm));
	EXPECT_EQ(-EINVAL, set_clock(self->vm, hour, BIT(0), 0));
	EXPECT_EQ(-EINVAL, set_clock(self->vm, hour, BIT(31), 0));
	EXPECT_EQ(-1, ioctl(self->vm->fd, KVM_SET_CLOCK, (void *)8));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(self->vm->fd, KVM_GET_CLOCK, (void *)8));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_GT(200 * SEC, get_clock(self->vm));
}

/* It was this late an hour ago. */
TEST_F(clock, set_with_real_time)
{
	const u64 hour = 3600 * SEC;
	u64 now;

	if (!(node_has(KVM_CAP_ADJUST_CLOCK) & KVM_CLOCK_REALTIME))
		TEST_SKIP("no KVM_CLOCK_REALTIME");
	ASSERT_EQ(0, set_clock(self->vm, SEC, KVM_CLOCK_REALTIME, real_ns() - hour));
	now = get_clock(self->vm);
	EXPECT_LE(hour + SEC, now);
	EXPECT_GT(hour + 100 * SEC, now);
	/* Real time that is yet to come takes nothing away. */
	ASSERT_EQ(0, set_clock(self->vm, 7 * SEC, KVM_CLOCK_REALTIME, real_ns() + hour));
	EXPECT_LE(7 * SEC, get_clock(self->vm));
	EXPECT_GT(100 * SEC, get_clock(self->vm));
}

/* --- in the guest --- */

static u64 read_time(const __volatile__ struct time_info *t)
{
	u32 version;
	u64 ns;

	do {
		u64 delta;

		version = t->version;
		asm volatile("lfence" : : : "memory");
		delta = guest_rdtsc() - t->tsc;
		delta = t->shift < 0 ? delta >> -t->shift : delta << t->shift;
		ns = t->ns + (u64)(((__uint128_t)delta * t->mul) >> 32);
		asm volatile("lfence" : : : "memory");
	} while ((version & 1) || version != t->version);
	return ns;
}

/* Says the time each time it is asked. */
static void guest_time(void *arg)
{
	struct shared *shared = arg;
	u64 i;

	guest_wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (u64)&shared->time[0] | 1);
	for (i = 0; ; i++) {
		shared->now = read_time(&shared->time[0]);
		GUEST_SYNC(i);
	}
}

static void expect_same_time(struct __test_metadata *_metadata, struct vm *vm,
			     struct vcpu *vcpu, struct shared *shared, u64 stage)
{
	u64 before = get_clock(vm);

	vcpu_sync(vcpu, stage);
	EXPECT_LE(before, shared->now);
	EXPECT_GE(get_clock(vm), shared->now);
}

TEST_F(clock, guest_reads_the_same)
{
	u64 hour = 3600 * SEC;
	u32 version;

	vcpu_start(self->vcpu, guest_time, self->shared);
	expect_same_time(_metadata, self->vm, self->vcpu, self->shared, 0);
	EXPECT_NE(0, self->shared->time[0].mul);
	EXPECT_EQ(0, self->shared->time[0].version & 1);
	expect_same_time(_metadata, self->vm, self->vcpu, self->shared, 1);
	/* After it was set, ... */
	version = self->shared->time[0].version;
	ASSERT_EQ(0, set_clock(self->vm, hour, 0, 0));
	expect_same_time(_metadata, self->vm, self->vcpu, self->shared, 2);
	EXPECT_LE(hour, self->shared->now);
	EXPECT_NE(version, self->shared->time[0].version);
	EXPECT_EQ(0, self->shared->time[0].version & 1);
	/* ... and after the TSC was. */
	ASSERT_TRUE(vcpu_set_msr(self->vcpu, MSR_TSC, 1UL << 50));
	expect_same_time(_metadata, self->vm, self->vcpu, self->shared, 3);
	EXPECT_LE(hour, self->shared->now);
}

static void guest_writes_its_tsc(void *arg)
{
	struct shared *shared = arg;
	u64 before;

	guest_wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (u64)&shared->time[0] | 1);
	before = read_time(&shared->time[0]);
	guest_wrmsr(MSR_TSC, 1UL << 52);
	GUEST_ASSERT(guest_rdtsc() >= 1UL << 52);
	shared->now = read_time(&shared->time[0]) - before;
}

TEST_F(clock, guest_sets_its_tsc)
{
	vcpu_call(self->vcpu, guest_writes_its_tsc, self->shared);
	EXPECT_GT(100 * SEC, self->shared->now);
}

static void guest_enable(void *arg)
{
	guest_wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (u64)arg | 1);
	GUEST_SYNC(1);
	GUEST_SYNC(2);
}

/* One vCPU reads the other's time after its own, over and over. */
static void guest_compare(void *arg)
{
	struct shared *shared = arg;
	u64 last = 0, now;
	int i;

	for (i = 0; i < 1000; i++) {
		now = read_time(&shared->time[1]);
		GUEST_ASSERT(now >= last);
		last = now;
	}
}

TEST_F(clock, vcpus_agree)
{
	struct vcpu *other = vcpu_create(self->vm, 1);
	u64 a;

	/* Each tells the line by its own TSC. */
	ASSERT_TRUE(vcpu_set_msr(other, MSR_TSC, 1UL << 51));
	vcpu_start(self->vcpu, guest_enable, (void *)&self->shared->time[0]);
	vcpu_sync(self->vcpu, 1);
	vcpu_start(other, guest_enable, (void *)&self->shared->time[1]);
	vcpu_sync(other, 1);
	EXPECT_EQ(self->shared->time[0].ns, self->shared->time[1].ns);
	EXPECT_EQ(self->shared->time[0].mul, self->shared->time[1].mul);
	a = self->shared->time[1].tsc - self->shared->time[0].tsc;
	EXPECT_LT(1UL << 50, a);
	vcpu_done(other);
	vcpu_call(other, guest_compare, self->shared);
}

TEST_F(clock, off_again)
{
	u32 version;

	vcpu_start(self->vcpu, guest_enable, (void *)&self->shared->time[0]);
	vcpu_sync(self->vcpu, 1);
	version = self->shared->time[0].version;
	ASSERT_TRUE(vcpu_set_msr(self->vcpu, MSR_KVM_SYSTEM_TIME_NEW,
				 (u64)&self->shared->time[0]));
	ASSERT_EQ(0, set_clock(self->vm, SEC, 0, 0));
	vcpu_done(self->vcpu);
	EXPECT_EQ(version, self->shared->time[0].version);
}

static void guest_wall(void *arg)
{
	guest_wrmsr(MSR_KVM_WALL_CLOCK_NEW, (u64)arg);
	GUEST_ASSERT_EQ(arg, guest_rdmsr(MSR_KVM_WALL_CLOCK_NEW));
	GUEST_ASSERT_EQ(arg, guest_rdmsr(MSR_KVM_WALL_CLOCK));
}

TEST_F(clock, wall_clock)
{
	u64 early = real_ns() - get_clock(self->vm), late, wall;

	vcpu_call(self->vcpu, guest_wall, (void *)&self->shared->wall);
	late = real_ns() - get_clock(self->vm);
	wall = self->shared->wall.sec * SEC + self->shared->wall.nsec;
	EXPECT_NE(0, self->shared->wall.version);
	EXPECT_EQ(0, self->shared->wall.version & 1);
	EXPECT_GT(SEC, self->shared->wall.nsec);
	/* Both sides of it run on, between the look at one and at the other. */
	EXPECT_LE(early - SEC, wall);
	EXPECT_GE(late + SEC, wall);
}

TEST_F(clock, mark_of_a_stopped_guest)
{
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_KVMCLOCK_CTRL));
	EXPECT_EQ(EINVAL, errno);
	vcpu_start(self->vcpu, guest_enable, (void *)&self->shared->time[0]);
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(0, self->shared->time[0].flags & FLAG_STOPPED);
	ASSERT_EQ(0, ioctl(self->vcpu->fd, KVM_KVMCLOCK_CTRL));
	vcpu_sync(self->vcpu, 2);
	EXPECT_EQ(FLAG_STOPPED, self->shared->time[0].flags & FLAG_STOPPED);
	/* Another update leaves it, and does not bring it back. */
	ASSERT_EQ(0, set_clock(self->vm, SEC, 0, 0));
	vcpu_done(self->vcpu);
	EXPECT_EQ(FLAG_STOPPED, self->shared->time[0].flags & FLAG_STOPPED);
	self->shared->time[0].flags = 0;
	ASSERT_EQ(0, set_clock(self->vm, SEC, 0, 0));
	vcpu_start(self->vcpu, guest_enable, (void *)&self->shared->time[0]);
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(0, self->shared->time[0].flags & FLAG_STOPPED);
}

/* Addresses that are no memory, or read-only, or end there. */
static void guest_bad_addresses(void *arg)
{
	guest_wrmsr(MSR_KVM_SYSTEM_TIME_NEW, TEST_MMIO | 1);
	guest_wrmsr(MSR_KVM_WALL_CLOCK_NEW, TEST_MMIO);
	guest_wrmsr(MSR_KVM_SYSTEM_TIME, ~0UL);
	guest_wrmsr(MSR_KVM_WALL_CLOCK, ~3UL);
	guest_wrmsr(MSR_KVM_SYSTEM_TIME, (u64)arg | 1);
}

TEST_F(clock, bad_addresses)
{
	u8 *end = (u8 *)self->shared + PAGE_2M - 8;

	vcpu_call(self->vcpu, guest_bad_addresses, end);
	EXPECT_EQ(0, ioctl(self->vcpu->fd, KVM_KVMCLOCK_CTRL));
	vcpu_start(self->vcpu, guest_time, self->shared);
	expect_same_time(_metadata, self->vm, self->vcpu, self->shared, 0);
}

TEST_F(clock, writes_are_logged)
{
	u8 *mem = mmap(NULL, PAGE_2M, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u64 gpa = (u64)vm_reserve(self->vm, PAGE_2M, PAGE_2M);
	u64 bitmap[PAGE_2M / PAGE_4K / 64];
	int slot = vm_add_slot(self->vm, KVM_MEM_LOG_DIRTY_PAGES, gpa, PAGE_2M, mem);

	vcpu_start(self->vcpu, guest_enable, (void *)(gpa + 5 * PAGE_4K));
	vcpu_sync(self->vcpu, 1);
	ASSERT_EQ(0, vm_dirty_log(self->vm, slot, bitmap));
	EXPECT_EQ(BIT(5), bitmap[0]);
	ASSERT_EQ(0, set_clock(self->vm, SEC, 0, 0));
	vcpu_sync(self->vcpu, 2);
	ASSERT_EQ(0, vm_dirty_log(self->vm, slot, bitmap));
	EXPECT_EQ(BIT(5), bitmap[0]);
	vcpu_done(self->vcpu);
}

/* --- how it is announced --- */

static const struct kvm_cpuid_entry2 *leaf(u32 function)
{
	const struct kvm_cpuid2 *cpuid = umbra_cpuid();
	int i;

	for (i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function)
			return &cpuid->entries[i];
	return NULL;
}

TEST_F(clock, cpuid)
{
	const struct kvm_cpuid_entry2 *sig = leaf(0x40000000), *features = leaf(0x40000001);

	ASSERT_NE(NULL, sig);
	ASSERT_NE(NULL, features);
	EXPECT_EQ(0x40000001, sig->eax);
	EXPECT_EQ(0, memcmp(&sig->ebx, "KVMK", 4));
	EXPECT_EQ(0, memcmp(&sig->ecx, "VMKV", 4));
	EXPECT_EQ(0, memcmp(&sig->edx, "M\0\0\0", 4));
	EXPECT_EQ(BIT(0) | BIT(3) | BIT(24), features->eax & (BIT(0) | BIT(3) | BIT(24)));
}

TEST_F(clock, msrs_are_listed)
{
	static const u32 msrs[] = { MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME,
				    MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW };
	struct {
		struct kvm_msr_list head;
		u32 index[512];
	} list = { .head.nmsrs = 512 };
	int node = node_open(), i, j;
	u64 val;

	ASSERT_EQ(0, ioctl(node, KVM_GET_MSR_INDEX_LIST, &list));
	for (i = 0; i < ARRAY_SIZE(msrs); i++) {
		for (j = 0; j < list.head.nmsrs && list.index[j] != msrs[i]; j++)
			;
		EXPECT_LT(j, list.head.nmsrs);
		EXPECT_TRUE(vcpu_get_msr(self->vcpu, msrs[i], &val));
		EXPECT_EQ(0, val);
	}
	close(node);
}

UMBRA_TEST_MAIN
