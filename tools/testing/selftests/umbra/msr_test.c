// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs and who answers for them. Proves that the node tells what the CPU is and which MSRs
 * a vCPU has, each of which can be read; that a filter keeps an MSR from the guest, also one
 * that passes without an exit, from the next instruction on and until it is taken back; that
 * userspace gets what it asked to do itself, with the reason, and that its answer counts;
 * and that the CPUID of a vCPU that has run stays.
 */
#include <errno.h>

#include "test.h"

#define MSR_LSTAR 0xc0000082
#define MSR_EFER 0xc0000080
#define MSR_NOBODYS 0x474f4f00
#define LISTED 200

FIXTURE(msr) {
	struct vm *vm;
	struct vcpu *vcpu;
};

FIXTURE_SETUP(msr)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
}

FIXTURE_TEARDOWN(msr)
{
	vm_free(self->vm);
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

struct list {
	u32 nmsrs;
	u32 indices[LISTED];
};

static int get_list(unsigned long cmd, struct list *list)
{
	int node = node_open(), ret;

	list->nmsrs = LISTED;
	ret = ioctl(node, cmd, list);
	close(node);
	return ret;
}

static int get_feature(u32 index)
{
	struct one_msr msr = { .head.nmsrs = 1, .entry.index = index };
	int node = node_open(), ret;

	ret = ioctl(node, KVM_GET_MSRS, &msr);
	close(node);
	return ret;
}

TEST_F(msr, lists)
{
	struct list list;
	u64 val;
	u32 i;

	ASSERT_EQ(1, node_has(KVM_CAP_GET_MSR_FEATURES));
	ASSERT_EQ(0, get_list(KVM_GET_MSR_FEATURE_INDEX_LIST, &list));
	EXPECT_LT(0, list.nmsrs);
	for (i = 0; i < list.nmsrs; i++)
		EXPECT_EQ(1, get_feature(list.indices[i]));
	EXPECT_EQ(0, get_feature(MSR_LSTAR));
	ASSERT_EQ(0, get_list(KVM_GET_MSR_INDEX_LIST, &list));
	for (i = 0; i < list.nmsrs; i++) {
		EXPECT_TRUE(vcpu_get_msr(self->vcpu, list.indices[i], &val))
			TH_LOG("MSR %#x", list.indices[i]);
	}
}

static u8 none[8];

/* Of @msr, the kinds of access in @flags are denied. */
static int set_filter(struct vm *vm, u32 msr, u32 flags)
{
	struct kvm_msr_filter filter = {
		.ranges[0] = { .flags = flags, .base = msr, .nmsrs = 1, .bitmap = none },
	};

	return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter) ? -errno : 0;
}

static int no_filter(struct vm *vm)
{
	struct kvm_msr_filter filter = {};

	return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter) ? -errno : 0;
}

static int enable_cap(int fd, u32 nr, u64 arg)
{
	struct kvm_enable_cap cap = { .cap = nr, .args = { arg } };

	return ioctl(fd, KVM_ENABLE_CAP, &cap) ? -errno : 0;
}

/* WRMSR of 5 and RDMSR, over and over; bits of the stage tell which of them were #GP. */
static void guest_try_msr(void *arg)
{
	u32 msr = (u64)arg;

	for (;;) {
		struct guest_trap rd, wr;

		guest_try(wr, "wrmsr", "c" (msr), "a" (5), "d" (0));
		/* RAX and RDX are as before, which the macro promises. */
		guest_try(rd, "rdmsr; mov %%rbx, %%rax; mov %%rbx, %%rdx", "c" (msr),
			  "a" (0UL), "b" (0UL), "d" (0UL));
		GUEST_SYNC((wr.vector == X86_TRAP_GP) | (rd.vector == X86_TRAP_GP) << 1);
	}
}

TEST_F(msr, filter_without_userspace_is_gp)
{
	u64 val;

	/* LSTAR passes without an exit. */
	vcpu_start(self->vcpu, guest_try_msr, (void *)MSR_LSTAR);
	vcpu_sync(self->vcpu, 0);
	ASSERT_EQ(0, set_filter(self->vm, MSR_LSTAR, KVM_MSR_FILTER_WRITE));
	vcpu_sync(self->vcpu, 1);
	ASSERT_EQ(0, set_filter(self->vm, MSR_LSTAR, KVM_MSR_FILTER_READ));
	vcpu_sync(self->vcpu, 2);
	/* An ioctl is not the guest. */
	EXPECT_TRUE(vcpu_get_msr(self->vcpu, MSR_LSTAR, &val));
	EXPECT_EQ(5, val);
	ASSERT_EQ(0, no_filter(self->vm));
	vcpu_sync(self->vcpu, 0);
}

/* Writes 5 and gives what it reads back. */
static void guest_use_msr(void *arg)
{
	guest_wrmsr((u64)arg, 5);
	GUEST_SYNC(guest_rdmsr((u64)arg));
}

static void expect_exit(struct __test_metadata *_metadata, struct vcpu *vcpu, u32 exit, u32 msr,
			u32 reason)
{
	ASSERT_EQ(UCALL_NONE, vcpu_next(vcpu));
	ASSERT_EQ(exit, vcpu->run->exit_reason);
	EXPECT_EQ(msr, vcpu->run->msr.index);
	EXPECT_EQ(reason, vcpu->run->msr.reason);
	EXPECT_EQ(0, vcpu->run->msr.error);
}

static void userspace_does(struct __test_metadata *_metadata, struct vcpu *vcpu, u32 msr,
			   u32 reason)
{
	vcpu_start(vcpu, guest_use_msr, (void *)(u64)msr);
	expect_exit(_metadata, vcpu, KVM_EXIT_X86_WRMSR, msr, reason);
	EXPECT_EQ(5, vcpu->run->msr.data);
	expect_exit(_metadata, vcpu, KVM_EXIT_X86_RDMSR, msr, reason);
	vcpu->run->msr.data = 0x1122334455667788UL;
	vcpu_sync(vcpu, 0x1122334455667788UL);
}

TEST_F(msr, userspace_does_it)
{
	u64 before, after;

	ASSERT_EQ(-EINVAL, enable_cap(self->vm->fd, KVM_CAP_X86_USER_SPACE_MSR, 8));
	ASSERT_EQ(0, enable_cap(self->vm->fd, KVM_CAP_X86_USER_SPACE_MSR,
				KVM_MSR_EXIT_REASON_FILTER | KVM_MSR_EXIT_REASON_UNKNOWN));
	ASSERT_EQ(0, set_filter(self->vm, MSR_LSTAR,
				KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE));
	EXPECT_TRUE(vcpu_get_msr(self->vcpu, MSR_LSTAR, &before));
	userspace_does(_metadata, self->vcpu, MSR_LSTAR, KVM_MSR_EXIT_REASON_FILTER);
	EXPECT_TRUE(vcpu_get_msr(self->vcpu, MSR_LSTAR, &after));
	EXPECT_EQ(before, after);
	userspace_does(_metadata, self->vcpu, MSR_NOBODYS, KVM_MSR_EXIT_REASON_UNKNOWN);
}

TEST_F(msr, userspace_refuses_it)
{
	ASSERT_EQ(0, enable_cap(self->vm->fd, KVM_CAP_X86_USER_SPACE_MSR,
				KVM_MSR_EXIT_REASON_UNKNOWN));
	vcpu_start(self->vcpu, guest_try_msr, (void *)MSR_NOBODYS);
	expect_exit(_metadata, self->vcpu, KVM_EXIT_X86_WRMSR, MSR_NOBODYS,
		    KVM_MSR_EXIT_REASON_UNKNOWN);
	self->vcpu->run->msr.error = 1;
	expect_exit(_metadata, self->vcpu, KVM_EXIT_X86_RDMSR, MSR_NOBODYS,
		    KVM_MSR_EXIT_REASON_UNKNOWN);
	self->vcpu->run->msr.error = 1;
	vcpu_sync(self->vcpu, 3);
}

static void guest_bad_efer(void *arg)
{
	guest_wrmsr(MSR_EFER, ~0UL);
}

TEST_F(msr, a_value_that_is_refused_has_its_own_reason)
{
	ASSERT_EQ(0, enable_cap(self->vm->fd, KVM_CAP_X86_USER_SPACE_MSR,
				KVM_MSR_EXIT_REASON_INVAL));
	vcpu_start(self->vcpu, guest_bad_efer, NULL);
	expect_exit(_metadata, self->vcpu, KVM_EXIT_X86_WRMSR, MSR_EFER,
		    KVM_MSR_EXIT_REASON_INVAL);
	EXPECT_EQ(~0UL, self->vcpu->run->msr.data);
	vcpu_done(self->vcpu);
}

TEST_F(msr, filters_that_make_no_sense)
{
	struct kvm_msr_filter filter = { .flags = 2 };

	EXPECT_EQ(-1, ioctl(self->vm->fd, KVM_X86_SET_MSR_FILTER, &filter));
	EXPECT_EQ(EINVAL, errno);
	/* Everything denied. */
	filter.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	EXPECT_EQ(-1, ioctl(self->vm->fd, KVM_X86_SET_MSR_FILTER, &filter));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-EINVAL, set_filter(self->vm, MSR_LSTAR, 0));
	EXPECT_EQ(-EINVAL, set_filter(self->vm, MSR_LSTAR, 4));
	filter.ranges[0].flags = KVM_MSR_FILTER_READ;
	filter.ranges[0].nmsrs = KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8 + 1;
	filter.ranges[0].bitmap = none;
	EXPECT_EQ(-1, ioctl(self->vm->fd, KVM_X86_SET_MSR_FILTER, &filter));
	EXPECT_EQ(EINVAL, errno);
	filter.ranges[0].nmsrs = 1;
	filter.ranges[0].bitmap = NULL;
	EXPECT_EQ(-1, ioctl(self->vm->fd, KVM_X86_SET_MSR_FILTER, &filter));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(msr, cpuid_of_a_vcpu_that_has_run)
{
	const struct kvm_cpuid2 *cpuid = umbra_cpuid();
	size_t size = sizeof(*cpuid) + cpuid->nent * sizeof(cpuid->entries[0]);
	struct kvm_cpuid2 *other = malloc(size);

	memcpy(other, cpuid, size);
	other->entries[1].ebx ^= 1 << 31;
	vcpu_start(self->vcpu, guest_use_msr, (void *)MSR_LSTAR);
	EXPECT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_CPUID2, other));
	EXPECT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_CPUID2, cpuid));
	vcpu_sync(self->vcpu, 5);
	EXPECT_EQ(0, ioctl(self->vcpu->fd, KVM_SET_CPUID2, cpuid));
	EXPECT_EQ(-1, ioctl(self->vcpu->fd, KVM_SET_CPUID2, other));
	EXPECT_EQ(EINVAL, errno);
	free(other);
}

UMBRA_TEST_MAIN
