// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that runs: real mode, its own translations, its own faults, hypercalls, MMIO, and
 * pages that go under it.
 *
 * Guest code is little-endian and position independent. Interrupts are taken in big-endian
 * order, since LPCR[ILE] is clear: their handlers are written so.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "lib/hpt.h"

/* Hypercalls that nobody serves: what the guest has to say. */
#define SAY_DONE	0x7000
#define SAY_FAULT	0x7001
#define SAY_WRONG	0x7002

#define MSR_REAL	(1ULL << 63 | 1)		/* SF, LE */
#define MSR_VIRTUAL	(MSR_REAL | 0x30)		/* IR, DR */

#define PAGES		64
#define SLB		(0x5a5aULL << 12)
#define CODE		0x10000ULL	/* in the guest, by real and by effective address */
#define DATA		0x200000ULL	/* effective address of the pages that tests move */
#define MMIO		0x300000ULL	/* effective; guest physical: */
#define MMIO_GPA	(1ULL << 40)

/* lib/guest.S */
extern const uint32_t guest_sum[], guest_sum_end[], guest_watch[], guest_watch_end[];

/* mfsrr0 r6, mfsrr1 r7, mfdar r4, mfdsisr r5, li r3 SAY_FAULT, sc 1; big-endian. */
static const uint32_t handler[] = {
	0x7cda02a6, 0x7cfb02a6, 0x7c9302a6, 0x7cb202a6, 0x38607001, 0x44000022,
};

FIXTURE(guest) {
	struct hpt_vm vm;
	int runner;		/* the vCPU that runs */
	struct kvm_run *run;
	struct kvm_regs regs;
};

/* An HPTE for a host page, in the first place of its group. */
static uint64_t page_index(struct _test_data_guest *self, uint64_t ea)
{
	return hash_group(&self->vm, ea, SLB | (page_size > 4096 ? SLB_64K : 0), false);
}

static long enter_page(struct _test_data_guest *self, uint64_t ea, uint64_t gpa, uint64_t r)
{
	return h_enter(&self->vm, 0, page_index(self, ea),
		       hpte_v(ea, SLB) | (page_size > 4096 ? V_LARGE : 0),
		       gpa | r | (page_size > 4096 ? 0x1000 : 0), NULL);
}

static void put_code(struct _test_data_guest *self, const uint32_t *code, size_t len)
{
	memcpy(self->vm.mem + CODE, code, len);
	__builtin___clear_cache((char *)self->vm.mem + CODE, (char *)self->vm.mem + CODE + len);
}

static int run(struct _test_data_guest *self)
{
	int ret;

	do {
		ret = ioctl(self->runner, KVM_RUN, 0);
	} while (ret && errno == EINTR);
	return ret ? -errno : (int)self->run->exit_reason;
}

static int start(struct _test_data_guest *self, uint64_t msr)
{
	self->regs.pc = CODE;
	self->regs.msr = msr;
	if (ioctl(self->runner, KVM_SET_REGS, &self->regs))
		return -errno;
	return run(self);
}

FIXTURE_SETUP(guest)
{
	struct kvm_sregs sregs = {};
	unsigned int i;

	hpt_vm_open(&self->vm, PAGES * 65536 / sysconf(_SC_PAGESIZE), 20);
	if (!ioctl(self->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_PPC_PAPR))
		SKIP(return, "no guest can run here");
	self->runner = self->vm.vcpu;
	self->run = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, self->vm.vcpu, 0);
	ASSERT_NE(MAP_FAILED, self->run);
	ASSERT_EQ(0, ioctl(self->vm.vcpu, KVM_GET_SREGS, &sregs));
	sregs.u.s.ppc64.slb[0].slbe = 1 << 27;
	sregs.u.s.ppc64.slb[0].slbv = SLB | (page_size > 4096 ? SLB_64K : 0);
	ASSERT_EQ(0, ioctl(self->vm.vcpu, KVM_SET_SREGS, &sregs));
	for (i = 0; i < sizeof(handler) / 4; i++) {
		((uint32_t *)(self->vm.mem + 0x300))[i] = __builtin_bswap32(handler[i]);
		((uint32_t *)(self->vm.mem + 0x400))[i] = __builtin_bswap32(handler[i]);
	}
}

FIXTURE_TEARDOWN(guest)
{
	struct umbra_counters c;

	EXPECT_EQ(0, hpt_violations(&self->vm));
	munmap(self->run, page_size);
	close(self->runner);
	if (self->runner != self->vm.vcpu)
		close(self->vm.vcpu);
	close(self->vm.fd);
	hpt_counters(&self->vm, &c);
	EXPECT_EQ(0, c.tables);
	EXPECT_EQ(0, c.mappings);
	EXPECT_EQ(c.refs_taken, c.refs_released);
	hpt_vm_close(&self->vm);
}

TEST_F(guest, real_mode)
{
	const uint64_t at = 0x100000;
	unsigned int i;

	put_code(self, guest_sum, (char *)guest_sum_end - (char *)guest_sum);
	for (i = 0; i < 8; i++)
		*(uint64_t *)(self->vm.mem + at + i * 65536) = i;
	self->regs.gpr[5] = 8;
	self->regs.gpr[6] = at;
	self->regs.gpr[7] = 65536;
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, start(self, MSR_REAL));
	ASSERT_EQ(SAY_DONE, self->run->papr_hcall.nr);
	ASSERT_EQ(8 * 7 / 2 + 8, self->run->papr_hcall.args[0]);
	for (i = 0; i < 8; i++)
		ASSERT_EQ(i + 1, *(uint64_t *)(self->vm.mem + at + i * 65536));
}

/* Map the code, and some pages from DATA on. */
static void map_guest(struct __test_metadata *_metadata, struct _test_data_guest *self, int pages)
{
	int i;

	ASSERT_EQ(H_SUCCESS, enter_page(self, CODE, CODE, R_M | 2));
	for (i = 0; i < pages; i++)
		ASSERT_EQ(H_SUCCESS, enter_page(self, DATA + i * page_size,
						0x100000 + i * page_size, R_M | 2));
}

TEST_F(guest, pages_go_under_it_and_come_back)
{
	const int pages = 8, rounds = 20;
	struct umbra_gfn_info info;
	uint64_t sum;
	int i, round;

	put_code(self, guest_sum, (char *)guest_sum_end - (char *)guest_sum);
	map_guest(_metadata, self, pages);
	for (round = 0; round < rounds; round++) {
		self->regs.gpr[5] = pages;
		self->regs.gpr[6] = DATA;
		self->regs.gpr[7] = page_size;
		sum = 0;
		for (i = 0; i < pages; i++)
			sum += ++*(uint64_t *)(self->vm.mem + 0x100000 + i * page_size);
		ASSERT_EQ(KVM_EXIT_PAPR_HCALL, start(self, MSR_VIRTUAL));
		ASSERT_EQ(SAY_DONE, self->run->papr_hcall.nr);
		ASSERT_EQ(sum + pages, self->run->papr_hcall.args[0]);
		hpt_gfn_info(&self->vm, 0x100000 / page_size, &info);
		ASSERT_TRUE(info.flags & UMBRA_GFN_PRESENT);
		ASSERT_TRUE(info.flags & UMBRA_GFN_DIRTY);
		/* The host takes one page for good, and looks elsewhere for another. */
		i = round % pages;
		madvise(self->vm.mem + 0x100000 + i * page_size, page_size, MADV_DONTNEED);
		hpt_gfn_info(&self->vm, 0x100000 / page_size + i, &info);
		ASSERT_FALSE(info.flags & UMBRA_GFN_PRESENT);
		mprotect(self->vm.mem + 0x100000, page_size, PROT_READ);
		mprotect(self->vm.mem + 0x100000, page_size, PROT_READ | PROT_WRITE);
		/* The code as well: it comes back by an HISI. */
		if (round == 3)
			mprotect(self->vm.mem + CODE, page_size, PROT_READ);
		if (round == 3)
			mprotect(self->vm.mem + CODE, page_size, PROT_READ | PROT_WRITE);
	}
}

TEST_F(guest, its_own_faults)
{
	put_code(self, guest_sum, (char *)guest_sum_end - (char *)guest_sum);
	map_guest(_metadata, self, 0);
	self->regs.gpr[5] = 1;
	self->regs.gpr[6] = DATA;
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, start(self, MSR_VIRTUAL));
	ASSERT_EQ(SAY_FAULT, self->run->papr_hcall.nr);
	ASSERT_EQ(DATA, self->run->papr_hcall.args[0]);
	ASSERT_EQ(DSISR_NOHPTE, self->run->papr_hcall.args[1]);
	ASSERT_EQ(CODE + 8, self->run->papr_hcall.args[2]);
	/* It may be read only. */
	ASSERT_EQ(H_SUCCESS, enter_page(self, DATA, 0x100000, R_M | 3));
	self->regs.gpr[6] = DATA;
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, start(self, MSR_VIRTUAL));
	ASSERT_EQ(SAY_FAULT, self->run->papr_hcall.nr);
	ASSERT_EQ(DATA, self->run->papr_hcall.args[0]);
	ASSERT_EQ(DSISR_PROTFAULT | 0x02000000, self->run->papr_hcall.args[1]);
	ASSERT_EQ(CODE + 16, self->run->papr_hcall.args[2]);
}

TEST_F(guest, nothing_to_fetch)
{
	map_guest(_metadata, self, 0);
	self->regs.pc = DATA;
	self->regs.msr = MSR_VIRTUAL;
	ASSERT_EQ(0, ioctl(self->runner, KVM_SET_REGS, &self->regs));
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, run(self));
	ASSERT_EQ(SAY_FAULT, self->run->papr_hcall.nr);
	ASSERT_EQ(DATA, self->run->papr_hcall.args[2]);
	ASSERT_EQ(ISI_NOPT, self->run->papr_hcall.args[3] & 0x58000000);
}

/* A hypercall of the guest's, and what came of it: sc 1, mr r11 r3, li r3 SAY_DONE, sc 1. */
TEST_F(guest, hypercalls)
{
	static const uint32_t code[] = { 0x44000022, 0x7c6b1b78, 0x38607000, 0x44000022 };
	uint64_t v, r, at = hash_group(&self->vm, DATA, SLB, false) + 2;

	put_code(self, code, sizeof(code));
	self->regs.gpr[3] = H_ENTER;
	self->regs.gpr[4] = H_EXACT;
	self->regs.gpr[5] = at;
	self->regs.gpr[6] = hpte_v(DATA, SLB);
	self->regs.gpr[7] = R_M | 2 | 0x2000;
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, start(self, MSR_REAL));
	ASSERT_EQ(SAY_DONE, self->run->papr_hcall.nr);
	/* R4 has the index, R11 what R3 was. */
	ASSERT_EQ(at, self->run->papr_hcall.args[0]);
	ASSERT_EQ(H_SUCCESS, (int64_t)self->run->papr_hcall.args[7]);
	ASSERT_EQ(H_SUCCESS, h_read(&self->vm, at, &v, &r));
	ASSERT_EQ(hpte_v(DATA, SLB) | V_VALID, v);
	ASSERT_EQ(0, ioctl(self->vm.vcpu, KVM_GET_REGS, &self->regs));
	ASSERT_EQ(CODE + sizeof(code), self->regs.pc);
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
	ASSERT_EQ(H_SUCCESS, enter_page(self, MMIO, MMIO_GPA, R_I | R_G | 2));
	for (i = 0; i < 2 * ARRAY_SIZE(mmio_forms); i++) {
		const struct mmio_form *f = &mmio_forms[i / 2];
		bool little = !(i & 1) ^ f->reverse;
		uint32_t code[2] = { f->insn, 0x44000022 };
		uint64_t want = 0;

		big = i & 1;
		if (big)
			for (n = 0; n < 2; n++)
				code[n] = __builtin_bswap32(code[n]);
		put_code(self, code, sizeof(code));
		self->regs.gpr[3] = value;
		self->regs.gpr[4] = MMIO;
		self->regs.gpr[5] = 0x40;
		ASSERT_EQ(KVM_EXIT_MMIO, start(self, MSR_VIRTUAL & ~(uint64_t)big)) {
			TH_LOG("form %u", i / 2);
		}
		ASSERT_EQ(MMIO_GPA + 0x40, self->run->mmio.phys_addr);
		ASSERT_EQ(f->len, self->run->mmio.len);
		ASSERT_EQ(f->store, self->run->mmio.is_write);
		for (n = 0; n < f->len; n++) {
			unsigned int at = little ? n : f->len - 1 - n;

			if (!f->store)
				self->run->mmio.data[at] = value >> (8 * n);
			ASSERT_EQ((uint8_t)(value >> (8 * n)), self->run->mmio.data[at]);
		}
		ASSERT_EQ(KVM_EXIT_PAPR_HCALL, run(self));
		if (!f->store) {
			want = f->len == 8 ? value : value & ((1ULL << (8 * f->len)) - 1);
			if (f->sign)
				want |= ~0ULL << (8 * f->len - 1);
			ASSERT_EQ(want, self->run->papr_hcall.nr) {
				TH_LOG("form %u", i / 2);
			}
		}
		ASSERT_EQ(f->update ? MMIO + 0x40 : MMIO, self->run->papr_hcall.args[0]);
	}
}

struct watcher {
	struct _test_data_guest *self;
	int reason;
};

static void on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *watch(void *arg)
{
	struct watcher *w = arg;

	on_cpu(1);
	w->reason = start(w->self, MSR_VIRTUAL);
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
	*(uint32_t *)(self->vm.mem + 0x300) = __builtin_bswap32(0x4c000024);
	put_code(self, guest_watch, (char *)guest_watch_end - (char *)guest_watch);
	map_guest(_metadata, self, 1);
	ASSERT_EQ(H_SUCCESS, enter_page(self, DATA + 0x80000, 0x180000, R_M | 2));
	self->regs.gpr[6] = DATA;
	self->regs.gpr[8] = DATA + 0x80000;
	self->regs.gpr[9] = GOOD;
	self->regs.gpr[10] = 0;
	on_cpu(0);
	pthread_create(thread, NULL, watch, w);
	usleep(100000);
}

/* What the guest had to say: SAY_DONE, and how often it read; or SAY_WRONG, and what. */
static uint64_t end_storm(struct __test_metadata *_metadata, struct _test_data_guest *self,
			  pthread_t thread, struct watcher *w, uint64_t *reads)
{
	*(volatile uint64_t *)(self->vm.mem + 0x180000) = 1;
	pthread_join(thread, NULL);
	EXPECT_EQ(KVM_EXIT_PAPR_HCALL, w->reason);
	*reads = self->run->papr_hcall.args[0];
	return self->run->papr_hcall.nr;
}

/* The host gives the address another page. */
TEST_F_TIMEOUT(guest, storm_of_invalidations, 300)
{
	uint8_t *place = self->vm.mem + 0x100000;
	struct watcher w = { self };
	int fd = memfd_create("storm", 0), i;
	volatile uint64_t *both;
	pthread_t thread;
	uint64_t reads;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "needs two CPUs");
	ASSERT_EQ(0, ftruncate(fd, 2 * page_size));
	both = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, both);
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
	ASSERT_EQ(SAY_DONE, end_storm(_metadata, self, thread, &w, &reads));
	ASSERT_GT(reads, 300);
	munmap((void *)both, 2 * page_size);
	close(fd);
}

/*
 * The guest's own table gives it another page. The host changes nothing of its own, so that
 * no TLB is flushed but by the hypercalls.
 */
static uint64_t hypercall_storm(struct __test_metadata *_metadata, struct _test_data_guest *self,
				uint64_t *reads)
{
	uint64_t gpa[2] = { 0x100000, 0x140000 }, index = page_index(self, DATA);
	struct watcher w = { self };
	volatile uint64_t *at[2];
	pthread_t thread;
	int i;

	/* The runner's mutex is held as long as it runs. */
	self->vm.vcpu = ioctl(self->vm.fd, KVM_CREATE_VCPU, 1);
	EXPECT_LE(0, self->vm.vcpu);
	for (i = 0; i < 2; i++) {
		at[i] = (uint64_t *)(self->vm.mem + gpa[i]);
		*at[i] = GOOD;
	}
	begin_storm(_metadata, self, &thread, &w);
	for (i = 0; i < 300; i++) {
		int next = !(i & 1);

		*at[next] = GOOD;
		EXPECT_EQ(H_SUCCESS, h_remove(&self->vm, 0, index, 0, NULL, NULL));
		EXPECT_EQ(H_SUCCESS, enter_page(self, DATA, gpa[next], R_M | 2));
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
	    ioctl(self->vm.node, KVM_CHECK_EXTENSION, UMBRA_CAP_TEST_HOOK) < 1)
		SKIP(return, "needs two CPUs and a build with test hooks");
	ASSERT_EQ(0, hpt_hook(&self->vm, UMBRA_HOOK_NO_FLUSH, 1));
	ASSERT_EQ(SAY_WRONG, hypercall_storm(_metadata, self, &reads));
	ASSERT_EQ(BAD, reads);
	ASSERT_EQ(0, hpt_hook(&self->vm, UMBRA_HOOK_NO_FLUSH, 0));
}

TEST_HARNESS_MAIN
