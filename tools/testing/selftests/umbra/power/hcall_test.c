// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each hypercall about the table with each of its flags, matching and not, and what it
 * leaves in the registers.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "lib/hpt.h"

#define SLB (0x1234ULL << 12 | SLB_KP)
#define EA 0x7000ULL
#define R_MEM (R_M | 2)

FIXTURE(hcall) {
	struct hpt_vm vm;
	uint64_t group, v;
};

FIXTURE_SETUP(hcall)
{
	hpt_vm_open(&self->vm, 16, 18);
	self->group = hash_group(&self->vm, EA, SLB, false);
	self->v = hpte_v(EA, SLB);
}

/* Enter an HPTE for EA. */
static long enter(struct _test_data_hcall *self, uint64_t flags, uint64_t index, uint64_t r,
		  uint64_t *at)
{
	return h_enter(&self->vm, flags, index, self->v, r, at);
}

FIXTURE_TEARDOWN(hcall)
{
	EXPECT_EQ(0, hpt_vm_end(&self->vm));
}

TEST_F(hcall, enter_fills_a_group_and_says_when_it_is_full)
{
	uint64_t at, v, r, i;

	for (i = 0; i < 8; i++) {
		ASSERT_EQ(H_SUCCESS, enter(self, 0, self->group + 5, R_MEM | i << 12, &at));
		ASSERT_EQ(self->group + i, at);
	}
	ASSERT_EQ(H_PTEG_FULL, enter(self, 0, self->group, R_MEM, &at));
	ASSERT_EQ(H_PTEG_FULL, enter(self, H_EXACT, self->group + 3, R_MEM, &at));
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(H_SUCCESS, h_read(&self->vm, self->group + i, &v, &r));
		ASSERT_EQ(self->v | V_VALID, v);
		ASSERT_EQ(R_MEM | i << 12, r);
	}
	ASSERT_EQ(H_SUCCESS, h_remove(&self->vm, 0, self->group + 3, 0, &v, &r));
	ASSERT_EQ(H_SUCCESS, enter(self, 0, self->group, R_MEM, &at));
	ASSERT_EQ(self->group + 3, at);
}

TEST_F(hcall, enter_exactly)
{
	uint64_t at;

	ASSERT_EQ(H_SUCCESS, enter(self, H_EXACT, self->group + 6, R_MEM, &at));
	ASSERT_EQ(self->group + 6, at);
	ASSERT_EQ(H_PTEG_FULL, enter(self, H_EXACT, self->group + 6, R_MEM, &at));
	ASSERT_EQ(H_SUCCESS, enter(self, H_EXACT, self->vm.entries - 1, R_MEM, &at));
	ASSERT_EQ(H_PARAMETER, enter(self, H_EXACT, self->vm.entries, R_MEM, &at));
	ASSERT_EQ(H_PARAMETER, enter(self, 0, ~0ULL, R_MEM, &at));
}

TEST_F(hcall, enter_refuses_what_is_none)
{
	uint64_t at;

	/* A page size that does not exist, a reserved segment size, wrong cache modes. */
	self->v |= V_LARGE;
	ASSERT_EQ(H_PARAMETER, enter(self, 0, self->group, R_MEM | 0x5000, &at));
	self->v ^= V_LARGE | 1ULL << 63;
	ASSERT_EQ(H_PARAMETER, enter(self, 0, self->group, R_MEM, &at));
	self->v &= ~(1ULL << 63);
	ASSERT_EQ(H_PARAMETER, enter(self, 0, self->group, R_W | 2, &at));
	ASSERT_EQ(H_PARAMETER, enter(self, 0, self->group, 2, &at));
	/* A page that begins in the slot and ends behind it: 16M. */
	self->v |= V_LARGE;
	ASSERT_EQ(H_PARAMETER, enter(self, 0, self->group, R_MEM, &at));
	self->v &= ~V_LARGE;
	/* Where no memory is, all cache modes are good. */
	ASSERT_EQ(H_SUCCESS, enter(self, 0, self->group, R_I | R_G | 1ULL << 40, &at));
}

TEST_F(hcall, enter_zeroes_the_page)
{
	uint64_t at;

	memset(self->vm.mem, 0xaa, 2 * page_size);
	ASSERT_EQ(H_SUCCESS, enter(self, H_ZERO_PAGE, self->group, R_MEM | 0x2000, &at));
	ASSERT_EQ(0xaa, self->vm.mem[0x1fff]);
	ASSERT_EQ(0, self->vm.mem[0x2000]);
	ASSERT_EQ(0, self->vm.mem[0x2fff]);
	if (page_size > 4096)
		ASSERT_EQ(0xaa, self->vm.mem[0x3000]);
}

TEST_F(hcall, remove_only_what_is_meant)
{
	uint64_t at, v, r;

	ASSERT_EQ(H_NOT_FOUND, h_remove(&self->vm, 0, self->group, 0, NULL, NULL));
	ASSERT_EQ(H_PARAMETER, h_remove(&self->vm, 0, self->vm.entries, 0, NULL, NULL));
	ASSERT_EQ(H_SUCCESS, enter(self, 0, self->group, R_MEM | 0x3000, &at));
	ASSERT_EQ(H_NOT_FOUND, h_remove(&self->vm, H_AVPN, at, self->v + 0x80, NULL, NULL));
	ASSERT_EQ(H_NOT_FOUND, h_remove(&self->vm, H_ANDCOND, at, self->v, NULL, NULL));
	ASSERT_EQ(H_SUCCESS, h_remove(&self->vm, H_AVPN, at, self->v, &v, &r));
	ASSERT_EQ(self->v | V_VALID, v);
	ASSERT_EQ(R_MEM | 0x3000, r);
	ASSERT_EQ(H_SUCCESS, enter(self, 0, self->group, R_MEM, &at));
	ASSERT_EQ(H_SUCCESS, h_remove(&self->vm, H_ANDCOND, at, 0x80, &v, &r));
	ASSERT_EQ(H_SUCCESS, h_read(&self->vm, at, &v, &r));
	ASSERT_EQ(0, v);
	ASSERT_EQ(0, r);
}

TEST_F(hcall, bulk_remove_answers_each)
{
	uint64_t at[3], gpr[9] = { H_BULK_REMOVE }, i;
	struct umbra_hpt_access a;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(H_SUCCESS, enter(self, 0, self->group, R_MEM | i << page_shift, &at[i]));
	/* The first of the three is what the address finds. */
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_store(&self->vm, EA, SLB, 1, &a));
	gpr[1] = 1ULL << 62 | at[0];
	gpr[3] = 1ULL << 62 | 2ULL << 56 | at[1];
	gpr[4] = self->v + 0x80;
	gpr[5] = 1ULL << 62 | 1ULL << 56 | at[2];
	gpr[6] = 0x80;
	gpr[7] = 3ULL << 62;
	ASSERT_EQ(H_SUCCESS, hcall(&self->vm, gpr));
	/* Done, with R and C; not found; done; untouched. */
	ASSERT_EQ(2ULL << 62 | 3ULL << 58 | at[0], gpr[1]);
	ASSERT_EQ(2ULL << 62 | 1ULL << 60 | 2ULL << 56 | at[1], gpr[3]);
	ASSERT_EQ(2ULL << 62 | 1ULL << 56 | at[2], gpr[5]);
	ASSERT_EQ(3ULL << 62, gpr[7]);

	/* The same one twice: the second finds nothing. What is wrong ends it. */
	memset(gpr, 0, sizeof(gpr));
	gpr[0] = H_BULK_REMOVE;
	gpr[1] = 1ULL << 62 | at[1];
	gpr[3] = 1ULL << 62 | at[1];
	gpr[5] = 1ULL << 62 | self->vm.entries;
	gpr[7] = 1ULL << 62 | at[1];
	ASSERT_EQ(H_PARAMETER, hcall(&self->vm, gpr));
	ASSERT_EQ(2ULL << 62 | at[1], gpr[1]);
	ASSERT_EQ(2ULL << 62 | 1ULL << 60 | at[1], gpr[3]);
	ASSERT_EQ(2ULL << 62 | 2ULL << 60 | self->vm.entries, gpr[5]);
	ASSERT_EQ(1ULL << 62 | at[1], gpr[7]);
}

TEST_F(hcall, read_four)
{
	uint64_t gpr[9] = { H_READ, H_READ_4, self->group + 6 }, at;

	ASSERT_EQ(H_SUCCESS, enter(self, H_EXACT, self->group + 5, R_MEM, &at));
	ASSERT_EQ(H_SUCCESS, hcall(&self->vm, gpr));
	ASSERT_EQ(0, gpr[1]);
	ASSERT_EQ(self->v | V_VALID, gpr[3]);
	ASSERT_EQ(R_MEM, gpr[4]);
	ASSERT_EQ(0, gpr[5]);
	ASSERT_EQ(0, gpr[7]);
	gpr[0] = H_READ;
	gpr[1] = H_READ_4;
	gpr[2] = self->vm.entries + 1;
	ASSERT_EQ(H_PARAMETER, hcall(&self->vm, gpr));
}

TEST_F(hcall, protect_changes_what_the_hardware_allows)
{
	uint64_t at, v, r, gpr[9];
	struct umbra_hpt_access a;

	ASSERT_EQ(H_SUCCESS, enter(self, 0, self->group, R_MEM, &at));
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_store(&self->vm, EA, SLB, 1, &a));
	/* pp 3, no execution, key 0xd. */
	memcpy(gpr, (uint64_t[9]) {
		H_PROTECT, H_AVPN | 3 | 4 | 0x1000 | 0xa00, at, self->v }, sizeof(gpr));
	ASSERT_EQ(H_SUCCESS, hcall(&self->vm, gpr));
	ASSERT_EQ(UMBRA_HPT_REFLECT, hpt_store(&self->vm, EA, SLB, 2, &a));
	ASSERT_EQ(DSISR_PROTFAULT, a.cause);
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_load(&self->vm, EA, SLB, &a));
	ASSERT_EQ(1, a.data);
	a = (struct umbra_hpt_access) { .ea = EA, .slbv = SLB, .flags = UMBRA_HPT_FETCH };
	ASSERT_EQ(UMBRA_HPT_REFLECT, hpt_access(&self->vm, &a));
	ASSERT_EQ(ISI_N_G, a.cause);
	ASSERT_EQ(H_SUCCESS, h_read(&self->vm, at, &v, &r));
	ASSERT_EQ(R_M | 3 | R_N | 1ULL << 60 | 0xa00 | R_R | R_C, r);
	/* And back: a store works again. */
	memcpy(gpr, (uint64_t[9]) { H_PROTECT, 2, at, 0 }, sizeof(gpr));
	ASSERT_EQ(H_SUCCESS, hcall(&self->vm, gpr));
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_store(&self->vm, EA, SLB, 3, &a));
	memcpy(gpr, (uint64_t[9]) { H_PROTECT, H_AVPN, at, self->v + 0x80 }, sizeof(gpr));
	ASSERT_EQ(H_NOT_FOUND, hcall(&self->vm, gpr));
	memcpy(gpr, (uint64_t[9]) { H_PROTECT, 0, self->vm.entries, 0 }, sizeof(gpr));
	ASSERT_EQ(H_PARAMETER, hcall(&self->vm, gpr));
}

TEST_F(hcall, clear_ref_and_mod)
{
	uint64_t at, v, r, gpr[9];
	struct umbra_hpt_access a;

	ASSERT_EQ(H_SUCCESS, enter(self, 0, self->group, R_MEM, &at));
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_store(&self->vm, EA, SLB, 1, &a));
	memcpy(gpr, (uint64_t[9]) { H_CLEAR_REF, 0, at }, sizeof(gpr));
	ASSERT_EQ(H_SUCCESS, hcall(&self->vm, gpr));
	ASSERT_EQ(R_MEM | R_R | R_C, gpr[1]);
	h_read(&self->vm, at, &v, &r);
	ASSERT_EQ(R_MEM | R_C, r);
	memcpy(gpr, (uint64_t[9]) { H_CLEAR_MOD, 0, at }, sizeof(gpr));
	ASSERT_EQ(H_SUCCESS, hcall(&self->vm, gpr));
	ASSERT_EQ(R_MEM | R_C, gpr[1]);
	h_read(&self->vm, at, &v, &r);
	ASSERT_EQ(R_MEM, r);
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_load(&self->vm, EA, SLB, &a));
	h_read(&self->vm, at, &v, &r);
	ASSERT_EQ(R_MEM | R_R, r);
	memcpy(gpr, (uint64_t[9]) { H_CLEAR_MOD, 0, at + 1 }, sizeof(gpr));
	ASSERT_EQ(H_NOT_FOUND, hcall(&self->vm, gpr));
	memcpy(gpr, (uint64_t[9]) { H_CLEAR_REF, 0, self->vm.entries }, sizeof(gpr));
	ASSERT_EQ(H_PARAMETER, hcall(&self->vm, gpr));
}

TEST_F(hcall, page_init)
{
	uint64_t gpr[9] = { H_PAGE_INIT, H_COPY_PAGE, 0x3000, 0x1000 };
	const uint64_t end = self->vm.pages * page_size;

	memset(self->vm.mem, 0x11, 0x5000);
	memset(self->vm.mem + 0x1000, 0x22, 0x1000);
	ASSERT_EQ(H_SUCCESS, hcall(&self->vm, gpr));
	ASSERT_EQ(0x22, self->vm.mem[0x3000]);
	ASSERT_EQ(0x22, self->vm.mem[0x3fff]);
	ASSERT_EQ(0x11, self->vm.mem[0x4000]);
	memcpy(gpr, (uint64_t[9]) { H_PAGE_INIT, H_ZERO_PAGE, 0x3000, 0 }, sizeof(gpr));
	ASSERT_EQ(H_SUCCESS, hcall(&self->vm, gpr));
	ASSERT_EQ(0, self->vm.mem[0x3fff]);
	ASSERT_EQ(0x11, self->vm.mem[0x2fff]);
	ASSERT_EQ(0x11, self->vm.mem[0x4000]);
	memcpy(gpr, (uint64_t[9]) { H_PAGE_INIT, H_ZERO_PAGE, end, 0 }, sizeof(gpr));
	ASSERT_EQ(H_PARAMETER, hcall(&self->vm, gpr));
	memcpy(gpr, (uint64_t[9]) { H_PAGE_INIT, H_COPY_PAGE, 0, end }, sizeof(gpr));
	ASSERT_EQ(H_PARAMETER, hcall(&self->vm, gpr));
	memcpy(gpr, (uint64_t[9]) { H_PAGE_INIT, H_ZERO_PAGE, 0x800, 0 }, sizeof(gpr));
	ASSERT_EQ(H_PARAMETER, hcall(&self->vm, gpr));
	memcpy(gpr, (uint64_t[9]) { H_PAGE_INIT, 1, 0, 0 }, sizeof(gpr));
	ASSERT_EQ(H_PARAMETER, hcall(&self->vm, gpr));
}

TEST_F(hcall, others_and_nonsense_are_refused)
{
	struct umbra_hpt_hcall call = { .gpr = { 0xe0 } };
	struct umbra_hpt_access a = { .ea = 4 };

	ASSERT_EQ(-1, ioctl(self->vm.vcpu, UMBRA_HPT_HCALL, &call));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(-1, ioctl(self->vm.vcpu, UMBRA_HPT_ACCESS, &a));
	ASSERT_EQ(EINVAL, errno);
	a = (struct umbra_hpt_access) { .flags = 8 };
	ASSERT_EQ(-1, ioctl(self->vm.vcpu, UMBRA_HPT_ACCESS, &a));
	ASSERT_EQ(EINVAL, errno);
	a = (struct umbra_hpt_access) { .flags = UMBRA_HPT_STORE | UMBRA_HPT_FETCH };
	ASSERT_EQ(-1, ioctl(self->vm.vcpu, UMBRA_HPT_ACCESS, &a));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(-1, ioctl(self->vm.vcpu, UMBRA_HPT_HCALL, NULL));
	ASSERT_EQ(EFAULT, errno);
}

/* Where no guest can run, KVM_RUN says so. */
TEST_F(hcall, a_run_that_cannot_be)
{
	struct kvm_run *run = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED,
				   self->vm.vcpu, 0);

	ASSERT_NE(MAP_FAILED, run);
	if (!ioctl(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_PPC_PAPR)) {
		ASSERT_EQ(0, ioctl(self->vm.vcpu, KVM_RUN, 0));
		ASSERT_EQ(KVM_EXIT_FAIL_ENTRY, run->exit_reason);
		ASSERT_EQ(UMBRA_ENTRY_NO_HV, run->fail_entry.hardware_entry_failure_reason);
	}
	munmap(run, page_size);
}

TEST_F(hcall, a_table_is_reset_and_of_the_order_there_is)
{
	uint32_t order = 17;
	uint64_t at, v, r;
	struct umbra_hpt_access a;

	ASSERT_EQ(-1, ioctl(self->vm.fd, KVM_PPC_ALLOCATE_HTAB, &order));
	ASSERT_EQ(EINVAL, errno);
	order = 60;
	ASSERT_EQ(-1, ioctl(self->vm.fd, KVM_PPC_ALLOCATE_HTAB, &order));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(H_SUCCESS, enter(self, 0, self->group, R_MEM, &at));
	ASSERT_EQ(UMBRA_HPT_DONE, hpt_store(&self->vm, EA, SLB, 1, &a));
	order = 18;
	ASSERT_EQ(0, ioctl(self->vm.fd, KVM_PPC_ALLOCATE_HTAB, &order));
	ASSERT_EQ(18, order);
	h_read(&self->vm, at, &v, &r);
	ASSERT_EQ(0, v);
	ASSERT_EQ(UMBRA_HPT_REFLECT, hpt_load(&self->vm, EA, SLB, &a));
	ASSERT_EQ(DSISR_NOHPTE, a.cause);
	ASSERT_EQ(H_SUCCESS, enter(self, 0, self->group, R_MEM, &at));
	order = 20;
	ASSERT_EQ(0, ioctl(self->vm.fd, KVM_PPC_ALLOCATE_HTAB, &order));
	ASSERT_EQ(20, order);
	h_read(&self->vm, at, &v, &r);
	ASSERT_EQ(0, v);
	ASSERT_EQ(H_SUCCESS, h_read(&self->vm, (1 << 16) - 1, &v, &r));
	ASSERT_EQ(H_PARAMETER, h_read(&self->vm, 1 << 16, &v, &r));
}

/* More than there is memory for: a smaller one is made. */
TEST(a_table_too_large_falls_back)
{
	struct hpt_vm vm;
	uint64_t v, r;

	hpt_vm_open(&vm, 1, 34);
	ASSERT_LT(vm.entries, 1ULL << 30);
	ASSERT_GE(vm.entries, 1ULL << 14);
	ASSERT_EQ(H_SUCCESS, h_read(&vm, vm.entries - 1, &v, &r));
	ASSERT_EQ(H_PARAMETER, h_read(&vm, vm.entries, &v, &r));
	hpt_vm_close(&vm);
}

TEST_HARNESS_MAIN
