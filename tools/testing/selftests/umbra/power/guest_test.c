// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that runs: real mode, its own translations, its own faults, hypercalls, MMIO, and
 * pages that go under it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "lib/guest.h"

#define MMIO		0x300000ULL	/* effective; guest physical: */
#define MMIO_GPA	(1ULL << 40)

FIXTURE(guest) {
	struct hpt_guest g;
};

FIXTURE_SETUP(guest)
{
	if (!guest_open(&self->g, 20))
		SKIP(return, "no guest can run here");
}

FIXTURE_TEARDOWN(guest)
{
	EXPECT_EQ(0, guest_end(&self->g));
}

TEST_F(guest, real_mode)
{
	const uint64_t at = 0x100000;
	unsigned int i;

	put_code(&self->g, guest_sum, (char *)guest_sum_end - (char *)guest_sum);
	for (i = 0; i < 8; i++)
		*(uint64_t *)(self->g.vm.mem + at + i * 65536) = i;
	self->g.regs.gpr[5] = 8;
	self->g.regs.gpr[6] = at;
	self->g.regs.gpr[7] = 65536;
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, guest_start(&self->g, MSR_REAL));
	ASSERT_EQ(SAY_DONE, self->g.run->papr_hcall.nr);
	ASSERT_EQ(8 * 7 / 2 + 8, self->g.run->papr_hcall.args[0]);
	for (i = 0; i < 8; i++)
		ASSERT_EQ(i + 1, *(uint64_t *)(self->g.vm.mem + at + i * 65536));
}

/* Map the code, and some pages from DATA on. */
static void map_guest(struct __test_metadata *_metadata, struct _test_data_guest *self, int pages)
{
	int i;

	ASSERT_EQ(H_SUCCESS, enter_page(&self->g, CODE, CODE, R_M | 2));
	for (i = 0; i < pages; i++)
		ASSERT_EQ(H_SUCCESS, enter_page(&self->g, DATA + i * page_size,
						0x100000 + i * page_size, R_M | 2));
}

TEST_F(guest, pages_go_under_it_and_come_back)
{
	const int pages = 8, rounds = 20;
	struct umbra_gfn_info info;
	uint64_t sum;
	int i, round;

	put_code(&self->g, guest_sum, (char *)guest_sum_end - (char *)guest_sum);
	map_guest(_metadata, self, pages);
	for (round = 0; round < rounds; round++) {
		self->g.regs.gpr[5] = pages;
		self->g.regs.gpr[6] = DATA;
		self->g.regs.gpr[7] = page_size;
		sum = 0;
		for (i = 0; i < pages; i++)
			sum += ++*(uint64_t *)(self->g.vm.mem + 0x100000 + i * page_size);
		ASSERT_EQ(KVM_EXIT_PAPR_HCALL, guest_start(&self->g, MSR_VIRTUAL));
		ASSERT_EQ(SAY_DONE, self->g.run->papr_hcall.nr);
		ASSERT_EQ(sum + pages, self->g.run->papr_hcall.args[0]);
		hpt_gfn_info(&self->g.vm, 0x100000 / page_size, &info);
		ASSERT_TRUE(info.flags & UMBRA_GFN_PRESENT);
		ASSERT_TRUE(info.flags & UMBRA_GFN_DIRTY);
		/* The host takes one page for good, and looks elsewhere for another. */
		i = round % pages;
		madvise(self->g.vm.mem + 0x100000 + i * page_size, page_size, MADV_DONTNEED);
		hpt_gfn_info(&self->g.vm, 0x100000 / page_size + i, &info);
		ASSERT_FALSE(info.flags & UMBRA_GFN_PRESENT);
		mprotect(self->g.vm.mem + 0x100000, page_size, PROT_READ);
		mprotect(self->g.vm.mem + 0x100000, page_size, PROT_READ | PROT_WRITE);
		/* The code as well: it comes back by an HISI. */
		if (round == 3)
			mprotect(self->g.vm.mem + CODE, page_size, PROT_READ);
		if (round == 3)
			mprotect(self->g.vm.mem + CODE, page_size, PROT_READ | PROT_WRITE);
	}
}

TEST_F(guest, its_own_faults)
{
	put_code(&self->g, guest_sum, (char *)guest_sum_end - (char *)guest_sum);
	map_guest(_metadata, self, 0);
	self->g.regs.gpr[5] = 1;
	self->g.regs.gpr[6] = DATA;
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, guest_start(&self->g, MSR_VIRTUAL));
	ASSERT_EQ(SAY_FAULT, self->g.run->papr_hcall.nr);
	ASSERT_EQ(DATA, self->g.run->papr_hcall.args[0]);
	ASSERT_EQ(DSISR_NOHPTE, self->g.run->papr_hcall.args[1]);
	ASSERT_EQ(CODE + 8, self->g.run->papr_hcall.args[2]);
	/* It may be read only. */
	ASSERT_EQ(H_SUCCESS, enter_page(&self->g, DATA, 0x100000, R_M | 3));
	self->g.regs.gpr[6] = DATA;
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, guest_start(&self->g, MSR_VIRTUAL));
	ASSERT_EQ(SAY_FAULT, self->g.run->papr_hcall.nr);
	ASSERT_EQ(DATA, self->g.run->papr_hcall.args[0]);
	ASSERT_EQ(DSISR_PROTFAULT | 0x02000000, self->g.run->papr_hcall.args[1]);
	ASSERT_EQ(CODE + 16, self->g.run->papr_hcall.args[2]);
}

TEST_F(guest, nothing_to_fetch)
{
	map_guest(_metadata, self, 0);
	self->g.regs.pc = DATA;
	self->g.regs.msr = MSR_VIRTUAL;
	ASSERT_EQ(0, ioctl(self->g.runner, KVM_SET_REGS, &self->g.regs));
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, guest_run(&self->g));
	ASSERT_EQ(SAY_FAULT, self->g.run->papr_hcall.nr);
	ASSERT_EQ(DATA, self->g.run->papr_hcall.args[2]);
	ASSERT_EQ(ISI_NOPT, self->g.run->papr_hcall.args[3] & 0x58000000);
}

/* A hypercall of the guest's, and what came of it: sc 1, mr r11 r3, li r3 SAY_DONE, sc 1. */
TEST_F(guest, hypercalls)
{
	static const uint32_t code[] = { 0x44000022, 0x7c6b1b78, 0x38607000, 0x44000022 };
	uint64_t v, r, at = hash_group(&self->g.vm, DATA, SLB, false) + 2;

	put_code(&self->g, code, sizeof(code));
	self->g.regs.gpr[3] = H_ENTER;
	self->g.regs.gpr[4] = H_EXACT;
	self->g.regs.gpr[5] = at;
	self->g.regs.gpr[6] = hpte_v(DATA, SLB);
	self->g.regs.gpr[7] = R_M | 2 | 0x2000;
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, guest_start(&self->g, MSR_REAL));
	ASSERT_EQ(SAY_DONE, self->g.run->papr_hcall.nr);
	/* R4 has the index, R11 what R3 was. */
	ASSERT_EQ(at, self->g.run->papr_hcall.args[0]);
	ASSERT_EQ(H_SUCCESS, (int64_t)self->g.run->papr_hcall.args[7]);
	ASSERT_EQ(H_SUCCESS, h_read(&self->g.vm, at, &v, &r));
	ASSERT_EQ(hpte_v(DATA, SLB) | V_VALID, v);
	ASSERT_EQ(0, ioctl(self->g.vm.vcpu, KVM_GET_REGS, &self->g.regs));
	ASSERT_EQ(CODE + sizeof(code), self->g.regs.pc);
}

/* Every load and store, in both byte orders; R3 is the register, R4 + 0x40 the address. */
static const struct mmio_form {
	uint32_t insn;
	uint8_t len;
	bool store, update, sign, reverse;
} mmio_forms[] = {
#define D(op) ((op) << 26 | 3 << 21 | 4 << 16 | 0x40)
#define X(op) (31u << 26 | 3 << 21 | 4 << 16 | 5 << 11 | (op) << 1)
	{ D(32u), 4 }, { D(33u), 4, .update = 1 }, { D(34u), 1 }, { D(35u), 1, .update = 1 },
	{ D(40u), 2 }, { D(41u), 2, .update = 1 }, { D(42u), 2, .sign = 1 },
	{ D(43u), 2, .sign = 1, .update = 1 },
	{ D(58u), 8 }, { D(58u) | 1, 8, .update = 1 }, { D(58u) | 2, 4, .sign = 1 },
	{ D(36u), 4, 1 }, { D(37u), 4, 1, 1 }, { D(38u), 1, 1 }, { D(39u), 1, 1, 1 },
	{ D(44u), 2, 1 }, { D(45u), 2, 1, 1 }, { D(62u), 8, 1 }, { D(62u) | 1, 8, 1, 1 },
	{ X(23), 4 }, { X(55), 4, .update = 1 }, { X(87), 1 }, { X(119), 1, .update = 1 },
	{ X(279), 2 }, { X(311), 2, .update = 1 }, { X(343), 2, .sign = 1 },
	{ X(375), 2, .sign = 1, .update = 1 }, { X(341), 4, .sign = 1 },
	{ X(373), 4, .sign = 1, .update = 1 }, { X(21), 8 }, { X(53), 8, .update = 1 },
	{ X(151), 4, 1 }, { X(183), 4, 1, 1 }, { X(215), 1, 1 }, { X(247), 1, 1, 1 },
	{ X(407), 2, 1 }, { X(439), 2, 1, 1 }, { X(149), 8, 1 }, { X(181), 8, 1, 1 },
	{ X(534), 4, .reverse = 1 }, { X(790), 2, .reverse = 1 }, { X(532), 8, .reverse = 1 },
	{ X(662), 4, 1, .reverse = 1 }, { X(918), 2, 1, .reverse = 1 },
	{ X(660), 8, 1, .reverse = 1 },
};

TEST_F(guest, mmio)
{
	const uint64_t value = 0x8192a3b4c5d6e7f8ULL;
	unsigned int i, big, n;

	map_guest(_metadata, self, 0);
	ASSERT_EQ(H_SUCCESS, enter_page(&self->g, MMIO, MMIO_GPA, R_I | R_G | 2));
	for (i = 0; i < 2 * ARRAY_SIZE(mmio_forms); i++) {
		const struct mmio_form *f = &mmio_forms[i / 2];
		bool little = !(i & 1) ^ f->reverse;
		uint32_t code[2] = { f->insn, 0x44000022 };
		uint64_t want = 0;

		big = i & 1;
		if (big)
			for (n = 0; n < 2; n++)
				code[n] = __builtin_bswap32(code[n]);
		put_code(&self->g, code, sizeof(code));
		self->g.regs.gpr[3] = value;
		self->g.regs.gpr[4] = MMIO;
		self->g.regs.gpr[5] = 0x40;
		ASSERT_EQ(KVM_EXIT_MMIO, guest_start(&self->g, MSR_VIRTUAL & ~(uint64_t)big)) {
			TH_LOG("form %u", i / 2);
		}
		ASSERT_EQ(MMIO_GPA + 0x40, self->g.run->mmio.phys_addr);
		ASSERT_EQ(f->len, self->g.run->mmio.len);
		ASSERT_EQ(f->store, self->g.run->mmio.is_write);
		for (n = 0; n < f->len; n++) {
			unsigned int at = little ? n : f->len - 1 - n;

			if (!f->store)
				self->g.run->mmio.data[at] = value >> (8 * n);
			ASSERT_EQ((uint8_t)(value >> (8 * n)), self->g.run->mmio.data[at]);
		}
		ASSERT_EQ(KVM_EXIT_PAPR_HCALL, guest_run(&self->g));
		if (!f->store) {
			want = f->len == 8 ? value : value & ((1ULL << (8 * f->len)) - 1);
			if (f->sign)
				want |= ~0ULL << (8 * f->len - 1);
			ASSERT_EQ(want, self->g.run->papr_hcall.nr) {
				TH_LOG("form %u", i / 2);
			}
		}
		ASSERT_EQ(f->update ? MMIO + 0x40 : MMIO, self->g.run->papr_hcall.args[0]);
	}
}

struct watcher {
	struct hpt_guest *g;
	int reason;
};

static void *watch(void *arg)
{
	struct watcher *w = arg;

	on_cpu(1);
	w->reason = guest_start(w->g, MSR_VIRTUAL);
	return NULL;
}

#define GOOD 0x600d600d600d600dULL
#define BAD 0xbadbadbadbadbad0ULL

/*
 * A storm: a guest reads a page on another CPU, while the page is moved and the place where
 * it was is spoiled, again and again.
 */
static void begin_storm(struct __test_metadata *_metadata, struct _test_data_guest *self,
			pthread_t *thread, struct watcher *w)
{
	/* An access between two places faults: rfid, until it does not. */
	*(uint32_t *)(self->g.vm.mem + 0x300) = __builtin_bswap32(0x4c000024);
	put_code(&self->g, guest_watch, (char *)guest_watch_end - (char *)guest_watch);
	map_guest(_metadata, self, 1);
	ASSERT_EQ(H_SUCCESS, enter_page(&self->g, DATA + 0x80000, 0x180000, R_M | 2));
	self->g.regs.gpr[6] = DATA;
	self->g.regs.gpr[8] = DATA + 0x80000;
	self->g.regs.gpr[9] = GOOD;
	self->g.regs.gpr[10] = 0;
	on_cpu(0);
	pthread_create(thread, NULL, watch, w);
	usleep(100000);
}

/* What the guest had to say: SAY_DONE, and how often it read; or SAY_WRONG, and what. */
static uint64_t end_storm(struct __test_metadata *_metadata, struct _test_data_guest *self,
			  pthread_t thread, struct watcher *w, uint64_t *reads)
{
	*(volatile uint64_t *)(self->g.vm.mem + 0x180000) = 1;
	pthread_join(thread, NULL);
	EXPECT_EQ(KVM_EXIT_PAPR_HCALL, w->reason);
	*reads = self->g.run->papr_hcall.args[0];
	return self->g.run->papr_hcall.nr;
}

/* The host gives the address another page. What the guest has to say in the end. */
static uint64_t host_storm(struct __test_metadata *_metadata, struct _test_data_guest *self,
			   uint64_t *reads)
{
	uint8_t *place = self->g.vm.mem + 0x100000;
	struct watcher w = { &self->g };
	int fd = memfd_create("storm", 0), i;
	volatile uint64_t *both;
	pthread_t thread;
	uint64_t said;

	EXPECT_EQ(0, ftruncate(fd, 2 * page_size));
	both = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT_NE(MAP_FAILED, both);
	both[0] = GOOD;
	mmap(place, page_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	begin_storm(_metadata, self, &thread, &w);
	for (i = 0; i < 300; i++) {
		int next = !(i & 1);

		both[next * page_size / 8] = GOOD;
		mmap(place, page_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		     next * page_size);
		both[!next * page_size / 8] = BAD;
		usleep(1000);
	}
	said = end_storm(_metadata, self, thread, &w, reads);
	munmap((void *)both, 2 * page_size);
	close(fd);
	return said;
}

TEST_F_TIMEOUT(guest, storm_of_invalidations, 300)
{
	uint64_t reads;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "needs two CPUs");
	ASSERT_EQ(SAY_DONE, host_storm(_metadata, self, &reads));
	ASSERT_GT(reads, 300);
}

/*
 * Without tlbie it is seen, where the host's own flush does not do it besides: in QEMU that of
 * a host with radix translation forgets all that a CPU knows.
 */
TEST_F_TIMEOUT(guest, storm_of_invalidations_without_tlbie, 300)
{
	uint64_t reads;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || system("grep -q 'MMU.*Hash' /proc/cpuinfo") ||
	    ioctl(self->g.vm.node, KVM_CHECK_EXTENSION, UMBRA_CAP_TEST_HOOK) < 1)
		SKIP(return, "needs two CPUs, hashed translation and a build with test hooks");
	ASSERT_EQ(0, hpt_hook(&self->g.vm, UMBRA_HOOK_NO_FLUSH, 1));
	ASSERT_EQ(SAY_WRONG, host_storm(_metadata, self, &reads));
	ASSERT_EQ(BAD, reads);
	ASSERT_EQ(0, hpt_hook(&self->g.vm, UMBRA_HOOK_NO_FLUSH, 0));
}

/*
 * The guest's own table gives it another page. The host changes nothing of its own, so that
 * no TLB is flushed but by the hypercalls.
 */
static uint64_t hypercall_storm(struct __test_metadata *_metadata, struct _test_data_guest *self,
				uint64_t *reads)
{
	uint64_t gpa[2] = { 0x100000, 0x140000 }, index = page_index(&self->g, DATA);
	struct watcher w = { &self->g };
	volatile uint64_t *at[2];
	pthread_t thread;
	int i;

	/* The runner's mutex is held as long as it runs. */
	self->g.vm.vcpu = ioctl(self->g.vm.fd, KVM_CREATE_VCPU, 1);
	EXPECT_LE(0, self->g.vm.vcpu);
	for (i = 0; i < 2; i++) {
		at[i] = (uint64_t *)(self->g.vm.mem + gpa[i]);
		*at[i] = GOOD;
	}
	begin_storm(_metadata, self, &thread, &w);
	for (i = 0; i < 300; i++) {
		int next = !(i & 1);

		*at[next] = GOOD;
		EXPECT_EQ(H_SUCCESS, h_remove(&self->g.vm, 0, index, 0, NULL, NULL));
		EXPECT_EQ(H_SUCCESS, enter_page(&self->g, DATA, gpa[next], R_M | 2));
		*at[!next] = BAD;
		usleep(1000);
	}
	return end_storm(_metadata, self, thread, &w, reads);
}

TEST_F_TIMEOUT(guest, storm_of_hypercalls, 300)
{
	uint64_t reads;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "needs two CPUs");
	ASSERT_EQ(SAY_DONE, hypercall_storm(_metadata, self, &reads));
	ASSERT_GT(reads, 300);
}

/* Without tlbie it is seen: the storm would have shown a flush that is missing. */
TEST_F_TIMEOUT(guest, storm_without_tlbie, 300)
{
	uint64_t reads;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2 ||
	    ioctl(self->g.vm.node, KVM_CHECK_EXTENSION, UMBRA_CAP_TEST_HOOK) < 1)
		SKIP(return, "needs two CPUs and a build with test hooks");
	ASSERT_EQ(0, hpt_hook(&self->g.vm, UMBRA_HOOK_NO_FLUSH, 1));
	ASSERT_EQ(SAY_WRONG, hypercall_storm(_metadata, self, &reads));
	ASSERT_EQ(BAD, reads);
	ASSERT_EQ(0, hpt_hook(&self->g.vm, UMBRA_HOOK_NO_FLUSH, 0));
}

/* The page that it reads is moved, again and again. */
TEST_F_TIMEOUT(guest, pages_migrate_under_it, 120)
{
	uint64_t *place = (uint64_t *)(self->g.vm.mem + 0x100000), reads;
	struct watcher w = { &self->g };
	pthread_t thread;
	int i, moved = 0;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "needs two CPUs");
	*place = GOOD;
	begin_storm(_metadata, self, &thread, &w);
	for (i = 0; i < 30; i++) {
		moved += !madvise(place, page_size, 101 /* MADV_SOFT_OFFLINE */);
		usleep(2000);
	}
	ASSERT_EQ(SAY_DONE, end_storm(_metadata, self, thread, &w, &reads));
	ASSERT_GT(reads, 30);
	ASSERT_LT(20, moved);
}

TEST_HARNESS_MAIN
