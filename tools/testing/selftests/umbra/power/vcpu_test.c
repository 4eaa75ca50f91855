// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is a vCPU's own: registers by KVM_GET_ONE_REG and KVM_SET_ONE_REG, which the guest
 * has in its hands; the decrementer; waiting and being woken; several vCPUs at once.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "kselftest_harness.h"
#include "lib/guest.h"

#define MSR_FP		(1ULL << 13)
#define MSR_VSX		(1ULL << 23)
#define MSR_VEC		(1ULL << 25)
#define LPCR_ILE	(1ULL << 25)
#define LPCR_AIL_3	(3ULL << 23)
#define HIGH		0xc000000000000000ULL

#define MFSPR(spr)	(31u << 26 | 4 << 21 | ((spr) & 31) << 16 | (spr) >> 5 << 11 | 339 << 1)
#define MTSPR(spr)	(31u << 26 | 5 << 21 | ((spr) & 31) << 16 | (spr) >> 5 << 11 | 467 << 1)
/* R4 from a vector-scalar register, and one from R5. */
#define MFVSRD(n)	(31u << 26 | ((n) & 31) << 21 | 4 << 16 | 51 << 1 | (n) >> 5)
#define MTVSRD(n)	(31u << 26 | ((n) & 31) << 21 | 5 << 16 | 179 << 1 | (n) >> 5)
#define LI_R3(n)	(0x38600000 | (n))
#define SC_1		0x44000022

FIXTURE(vcpu) {
	struct hpt_guest g;
};

FIXTURE_SETUP(vcpu)
{
	if (!guest_open(&self->g, 20))
		SKIP(return, "no guest can run here");
}

FIXTURE_TEARDOWN(vcpu)
{
	EXPECT_EQ(0, guest_end(&self->g));
}

static int get_reg(int vcpu, uint64_t id, void *value)
{
	struct kvm_one_reg reg = { id, (uintptr_t)value };

	return ioctl(vcpu, KVM_GET_ONE_REG, &reg) ? -errno : 0;
}

static int set_reg(int vcpu, uint64_t id, const void *value)
{
	struct kvm_one_reg reg = { id, (uintptr_t)value };

	return ioctl(vcpu, KVM_SET_ONE_REG, &reg) ? -errno : 0;
}

/* Run what reads a register into R4 and sets it from R5. */
static int exchange(struct hpt_guest *g, uint32_t read, uint32_t write, uint64_t value,
		    uint64_t *was)
{
	uint32_t code[] = { read, write, LI_R3(SAY_DONE), SC_1 };

	put_code(g, code, sizeof(code));
	g->regs.gpr[4] = 0;
	g->regs.gpr[5] = value;
	if (guest_start(g, MSR_REAL | MSR_FP | MSR_VEC | MSR_VSX) != KVM_EXIT_PAPR_HCALL ||
	    g->run->papr_hcall.nr != SAY_DONE)
		return -1;
	*was = g->run->papr_hcall.args[0];
	return 0;
}

TEST_F(vcpu, the_guest_has_what_was_set_and_what_it_sets_is_got)
{
	static const struct { uint64_t id; unsigned int spr; uint64_t first, second; } regs[] = {
		{ KVM_REG_PPC_DSCR, 17, 0x25, 0x1a },
		{ KVM_REG_PPC_DSISR, 18, 0x42000000, 0x12345678 },
		{ KVM_REG_PPC_DAR, 19, 0x123456789abcdef0, ~0ULL },
		{ KVM_REG_PPC_AMR, 29, 0x4000000000000000, 0x0c00000000000003 },
		{ KVM_REG_PPC_PID, 48, 0x777, 0x1234 },
		{ KVM_REG_PPC_IAMR, 61, 0x1000000000000000, 0x0400000000000000 },
		{ KVM_REG_PPC_UAMOR, 157, 0xff00000000000000, 0x00f0000000000000 },
		{ KVM_REG_PPC_PSPB, 159, 0x1234, 0x77 },
		{ KVM_REG_PPC_VRSAVE, 256, 0xdeadbeef, 0x01020304 },
		{ KVM_REG_PPC_TAR, 815, 0x13579bdf02468ac0, 0x1000 },
	};
	uint64_t was, now;
	int i;

	ASSERT_EQ(1, ioctl(self->g.vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_ONE_REG));
	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		ASSERT_EQ(0, set_reg(self->g.runner, regs[i].id, &regs[i].first));
		self->g.regs.pid = regs[i].first;
		ASSERT_EQ(0, exchange(&self->g, MFSPR(regs[i].spr), MTSPR(regs[i].spr),
				      regs[i].second, &was));
		ASSERT_EQ(regs[i].first, was) {
			TH_LOG("register %d", i);
		}
		now = 0;
		ASSERT_EQ(0, get_reg(self->g.runner, regs[i].id, &now));
		ASSERT_EQ(regs[i].second, now) {
			TH_LOG("register %d", i);
		}
		now = 0;
		ASSERT_EQ(0, set_reg(self->g.runner, regs[i].id, &now));
	}
}

TEST_F(vcpu, vector_and_floating_point_registers)
{
	uint64_t was, value[2], fpr;
	int n;

	for (n = 0; n < 32; n++) {
		value[0] = 0x1111111111111111ULL * (n & 15) + n;
		value[1] = ~value[0];
		/* On a little-endian host the second is the one that is also FPR n. */
		ASSERT_EQ(0, set_reg(self->g.runner, KVM_REG_PPC_VSR(n), value));
		ASSERT_EQ(0, get_reg(self->g.runner, KVM_REG_PPC_FPR(n), &fpr));
		ASSERT_EQ(value[1], fpr);
		ASSERT_EQ(0, exchange(&self->g, MFVSRD(n), MTVSRD(n), 0x77 + n, &was));
		ASSERT_EQ(fpr, was);
		ASSERT_EQ(0, get_reg(self->g.runner, KVM_REG_PPC_FPR(n), &fpr));
		ASSERT_EQ(0x77 + n, fpr);
		fpr = 0x4000000000000000ULL + n;
		ASSERT_EQ(0, set_reg(self->g.runner, KVM_REG_PPC_FPR(n), &fpr));
		ASSERT_EQ(0, exchange(&self->g, MFVSRD(n), MTVSRD(n), 0, &was));
		ASSERT_EQ(fpr, was);

		ASSERT_EQ(0, set_reg(self->g.runner, KVM_REG_PPC_VR(n), value));
		ASSERT_EQ(0, exchange(&self->g, MFVSRD(n + 32), MTVSRD(n + 32), 0x99 + n, &was));
		ASSERT_EQ(value[1], was);
		ASSERT_EQ(0, get_reg(self->g.runner, KVM_REG_PPC_VR(n), value));
		ASSERT_EQ(0x99 + n, value[1]);
	}
}

TEST_F(vcpu, registers_that_there_are_not)
{
	uint64_t value = 0;
	uint32_t low;

	ASSERT_EQ(-EINVAL, get_reg(self->g.runner, KVM_REG_PPC_MMCR0, &value));
	ASSERT_EQ(-EINVAL, set_reg(self->g.runner, KVM_REG_PPC_MMCR0, &value));
	ASSERT_EQ(-EINVAL, get_reg(self->g.runner, KVM_REG_PPC_TM_GPR0, &value));
	ASSERT_EQ(-EINVAL, get_reg(self->g.runner, KVM_REG_PPC_DPDES, &value));
	ASSERT_EQ(-EINVAL, get_reg(self->g.runner, ~0ULL, &value));
	ASSERT_EQ(-EFAULT, get_reg(self->g.runner, KVM_REG_PPC_DSCR, NULL));
	ASSERT_EQ(-EFAULT, set_reg(self->g.runner, KVM_REG_PPC_DSCR, NULL));
	/* What is not the guest's to choose is dropped. */
	value = ~0ULL;
	ASSERT_EQ(0, set_reg(self->g.runner, KVM_REG_PPC_LPCR_64, &value));
	ASSERT_EQ(0, get_reg(self->g.runner, KVM_REG_PPC_LPCR_64, &value));
	ASSERT_EQ(7ULL << 52 | LPCR_AIL_3 | LPCR_ILE | 1 << 9, value);
	ASSERT_EQ(0, get_reg(self->g.runner, KVM_REG_PPC_LPCR, &low));
	ASSERT_EQ((uint32_t)value, low);
	low = 0;
	ASSERT_EQ(0, set_reg(self->g.runner, KVM_REG_PPC_LPCR, &low));
	ASSERT_EQ(0, get_reg(self->g.runner, KVM_REG_PPC_LPCR_64, &value));
	ASSERT_EQ(0, value);
	value = ~0ULL;
	ASSERT_EQ(0, set_reg(self->g.runner, KVM_REG_PPC_PSSCR, &value));
	ASSERT_EQ(0, get_reg(self->g.runner, KVM_REG_PPC_PSSCR, &value));
	ASSERT_EQ(0xf0000000000003ffULL, value);
	value = 0;
	ASSERT_EQ(0, set_reg(self->g.runner, KVM_REG_PPC_PSSCR, &value));
}

/* Its time base is the host's and an offset. */
TEST_F(vcpu, time_base)
{
	const uint64_t offset = 1ULL << 50 | 1;
	uint64_t got, was, before, after;

	ASSERT_EQ(0, set_reg(self->g.runner, KVM_REG_PPC_TB_OFFSET, &offset));
	ASSERT_EQ(0, get_reg(self->g.runner, KVM_REG_PPC_TB_OFFSET, &got));
	ASSERT_EQ((1ULL << 50) + (1 << 24), got);
	before = __builtin_ppc_get_timebase();
	ASSERT_EQ(0, exchange(&self->g, MFSPR(268), 0x60000000, 0, &was));
	after = __builtin_ppc_get_timebase();
	ASSERT_LE(before + got, was);
	ASSERT_GE(after + got, was);
	ASSERT_LT(after, 1ULL << 50);
}

/* A data storage interrupt, by a load from nowhere, in the order and at the place wanted. */
static int fault_at(struct hpt_guest *g, uint64_t lpcr)
{
	static const uint32_t load[] = { 0xe8860000 };	/* ld r4, 0(r6) */

	put_code(g, load, sizeof(load));
	g->regs.gpr[6] = DATA;
	if (set_reg(g->runner, KVM_REG_PPC_LPCR_64, &lpcr) ||
	    guest_start(g, MSR_VIRTUAL) != KVM_EXIT_PAPR_HCALL)
		return -1;
	return g->run->papr_hcall.nr;
}

TEST_F(vcpu, order_and_place_of_interrupts)
{
	static const uint32_t handler[] = { LI_R3(SAY_DONE), SC_1 };
	struct kvm_sregs sregs = {};
	int i;

	ASSERT_EQ(H_SUCCESS, enter_page(&self->g, CODE, CODE, R_M | 2));
	ASSERT_EQ(SAY_FAULT, fault_at(&self->g, 0));
	memcpy(self->g.vm.mem + 0x300, handler, sizeof(handler));
	ASSERT_EQ(SAY_DONE, fault_at(&self->g, LPCR_ILE));
	/* Above, and translated: the page there is at guest address 0. */
	ASSERT_EQ(0, ioctl(self->g.runner, KVM_GET_SREGS, &sregs));
	memset(sregs.u.s.ppc64.slb, 0, sizeof(sregs.u.s.ppc64.slb));
	for (i = 0; i < 2; i++) {
		sregs.u.s.ppc64.slb[i].slbe = (i ? HIGH : 0) | 1 << 27;
		sregs.u.s.ppc64.slb[i].slbv = SLB | (page_size > 4096 ? SLB_64K : 0);
	}
	ASSERT_EQ(0, ioctl(self->g.runner, KVM_SET_SREGS, &sregs));
	ASSERT_EQ(H_SUCCESS, enter_page(&self->g, 0x4000 & ~(page_size - 1),
					0x4000 & ~(page_size - 1), R_M | 2));
	memset(self->g.vm.mem + 0x300, 0, sizeof(handler));
	memcpy(self->g.vm.mem + 0x4300, handler, sizeof(handler));
	ASSERT_EQ(SAY_DONE, fault_at(&self->g, LPCR_ILE | LPCR_AIL_3));
	ASSERT_EQ(0, ioctl(self->g.runner, KVM_GET_REGS, &self->g.regs));
	ASSERT_EQ(HIGH + 0x4308, self->g.regs.pc);
	ASSERT_EQ(MSR_VIRTUAL, self->g.regs.msr & MSR_VIRTUAL);
}

/* 512 MHz. Behind the hypercall the interrupt is taken, since it has switched EE on. */
TEST_F(vcpu, decrementer_ends_h_cede)
{
	uint64_t begin = now_ms(), expiry;

	ASSERT_EQ(SAY_FAULT, guest_cedes(&self->g, 512000 * 200));
	ASSERT_EQ(CODE + 12, self->g.run->papr_hcall.args[2]);
	ASSERT_LE(200, now_ms() - begin + 1);
	ASSERT_GT(5000, now_ms() - begin);
	ASSERT_EQ(0, get_reg(self->g.runner, KVM_REG_PPC_DEC_EXPIRY, &expiry));
	ASSERT_LT(expiry, __builtin_ppc_get_timebase());
	ASSERT_LT(__builtin_ppc_get_timebase() - expiry, 512000000ULL * 10);
}

/* KVM_RUN with a register that is also an FPR, and one that is also a VR; what they are then. */
static long run_with(int vcpu, uint64_t *fpr, uint64_t *vr)
{
	register long nr asm("r0") = SYS_ioctl;
	register long ret asm("r3") = vcpu;
	register long cmd asm("r4") = KVM_RUN;
	register long arg asm("r5") = 0;
	register uint64_t *first asm("r14") = fpr;
	register uint64_t *second asm("r15") = vr;

	asm volatile("lxvd2x 31, 0, 14; lxvd2x 63, 0, 15; sc; stxvd2x 31, 0, 14; stxvd2x 63, 0, 15"
		     : "+r" (nr), "+r" (ret), "+r" (cmd), "+r" (arg)
		     : "r" (first), "r" (second)
		     : "r6", "r7", "r8", "r9", "r10", "r11", "r12", "fr31", "v31", "cr0", "ctr",
		       "lr", "memory");
	return ret;
}

/* Within KVM_RUN the thread sleeps, and is given its registers when it wakes. */
TEST_F(vcpu, floating_point_of_the_process)
{
	uint64_t fpr[2] = { 0x1122334455667788, 0x99aabbccddeeff00 };
	uint64_t vr[2] = { 0x0123456789abcdef, 0xfedcba9876543210 };

	put_code(&self->g, guest_cede, (char *)guest_cede_end - (char *)guest_cede);
	self->g.regs.gpr[5] = 512000 * 100;
	self->g.regs.pc = CODE;
	self->g.regs.msr = MSR_REAL;
	ASSERT_EQ(0, ioctl(self->g.runner, KVM_SET_REGS, &self->g.regs));
	ASSERT_EQ(0, run_with(self->g.runner, fpr, vr));
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, self->g.run->exit_reason);
	ASSERT_EQ(SAY_FAULT, self->g.run->papr_hcall.nr);
	EXPECT_EQ(0x1122334455667788, fpr[0]);
	EXPECT_EQ(0x99aabbccddeeff00, fpr[1]);
	EXPECT_EQ(0x0123456789abcdef, vr[0]);
	EXPECT_EQ(0xfedcba9876543210, vr[1]);
}

static void on_alarm(int sig)
{
}

/* A signal ends KVM_RUN and not the wait. */
TEST_F(vcpu, a_signal_does_not_end_h_cede)
{
	struct itimerval timer = { .it_value.tv_usec = 50000 };
	uint64_t begin = now_ms();

	signal(SIGALRM, on_alarm);
	put_code(&self->g, guest_cede, (char *)guest_cede_end - (char *)guest_cede);
	self->g.regs.gpr[5] = 512000 * 400;
	self->g.regs.pc = CODE;
	self->g.regs.msr = MSR_REAL;
	ASSERT_EQ(0, ioctl(self->g.runner, KVM_SET_REGS, &self->g.regs));
	setitimer(ITIMER_REAL, &timer, NULL);
	ASSERT_EQ(-1, ioctl(self->g.runner, KVM_RUN, 0));
	ASSERT_EQ(EINTR, errno);
	ASSERT_GT(400, now_ms() - begin);
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, guest_run(&self->g));
	ASSERT_EQ(SAY_FAULT, self->g.run->papr_hcall.nr);
	ASSERT_LE(400, now_ms() - begin + 1);
}

/* Another vCPU of the same VM, which begins where @pc says. */
static void second_vcpu(struct __test_metadata *_metadata, struct hpt_guest *g,
			struct hpt_guest *other, int id)
{
	*other = *g;
	other->runner = ioctl(g->vm.fd, KVM_CREATE_VCPU, id);
	ASSERT_LE(0, other->runner);
	other->run = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, other->runner, 0);
	ASSERT_NE(MAP_FAILED, other->run);
	guest_segment(other->runner);
	memset(&other->regs, 0, sizeof(other->regs));
}

static void close_vcpu(struct hpt_guest *other)
{
	munmap(other->run, page_size);
	close(other->runner);
}

#define PROD_AT (CODE + 0x1000)

static long prod(struct hpt_guest *g, uint64_t id)
{
	memcpy(g->vm.mem + PROD_AT, guest_prod, (char *)guest_prod_end - (char *)guest_prod);
	g->regs.pc = PROD_AT;
	g->regs.msr = MSR_REAL;
	g->regs.gpr[4] = id;
	if (ioctl(g->runner, KVM_SET_REGS, &g->regs) || guest_run(g) != KVM_EXIT_PAPR_HCALL)
		return -1000;
	return g->run->papr_hcall.args[0];
}

struct sleeper {
	struct hpt_guest *g;
	int said;
};

static void *sleep_long(void *arg)
{
	struct sleeper *s = arg;

	s->said = guest_cedes(s->g, 0x7fffffff);
	return NULL;
}

TEST_F(vcpu, h_prod_ends_h_cede)
{
	struct sleeper s = { &self->g };
	struct hpt_guest other;
	uint64_t begin = now_ms();
	pthread_t thread;

	second_vcpu(_metadata, &self->g, &other, 5);
	ASSERT_EQ(H_PARAMETER, prod(&other, 77));
	ASSERT_EQ(H_PARAMETER, prod(&other, ~0ULL));
	pthread_create(&thread, NULL, sleep_long, &s);
	usleep(300000);
	ASSERT_EQ(H_SUCCESS, prod(&other, 0));
	pthread_join(thread, NULL);
	ASSERT_EQ(SAY_DONE, s.said);
	ASSERT_EQ(H_SUCCESS, self->g.run->papr_hcall.args[0]);
	/* One that comes before counts, once. */
	ASSERT_EQ(H_SUCCESS, prod(&other, 0));
	ASSERT_EQ(SAY_DONE, guest_cedes(&self->g, 0x7fffffff));
	ASSERT_GT(4000, now_ms() - begin);
	ASSERT_EQ(SAY_FAULT, guest_cedes(&self->g, 512000 * 50));
	close_vcpu(&other);
}

/* Each with pages of its own, and one that all read; the host takes pages under them. */
#define VCPUS 4
struct worker {
	struct hpt_guest g;
	int number, turns, bad;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	int turn;

	for (turn = 1; turn <= w->turns && !w->bad; turn++) {
		w->g.regs.gpr[5] = 4;
		w->g.regs.gpr[6] = DATA + w->number * 4 * page_size;
		w->g.regs.gpr[7] = page_size;
		if (guest_start(&w->g, MSR_VIRTUAL) != KVM_EXIT_PAPR_HCALL ||
		    w->g.run->papr_hcall.nr != SAY_DONE ||
		    w->g.run->papr_hcall.args[0] != 4 * turn)
			w->bad = turn;
	}
	return NULL;
}

/* The same page anew: the host takes it away, and nobody ever finds none. */
static void map_again(struct hpt_guest *g, int fd, int page)
{
	mmap(g->vm.mem + 0x100000 + page * page_size, page_size, PROT_READ | PROT_WRITE,
	     MAP_SHARED | MAP_FIXED, fd, page * page_size);
}

TEST_F_TIMEOUT(vcpu, several_at_once, 120)
{
	int i, round, fd = memfd_create("pages", 0);
	struct worker w[VCPUS];
	pthread_t threads[VCPUS];

	ASSERT_EQ(0, ftruncate(fd, 4 * VCPUS * page_size));
	put_code(&self->g, guest_sum, (char *)guest_sum_end - (char *)guest_sum);
	ASSERT_EQ(H_SUCCESS, enter_page(&self->g, CODE, CODE, R_M | 2));
	for (i = 0; i < 4 * VCPUS; i++) {
		ASSERT_EQ(H_SUCCESS, enter_page(&self->g, DATA + i * page_size,
						0x100000 + i * page_size, R_M | 2));
		map_again(&self->g, fd, i);
	}
	for (i = 0; i < VCPUS; i++) {
		memset(&w[i], 0, sizeof(w[i]));
		second_vcpu(_metadata, &self->g, &w[i].g, i + 1);
		w[i].number = i;
		w[i].turns = 300;
		pthread_create(&threads[i], NULL, work, &w[i]);
	}
	for (round = 0; round < 100; round++) {
		map_again(&self->g, fd, round % (4 * VCPUS));
		usleep(500);
	}
	for (i = 0; i < VCPUS; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(0, w[i].bad);
		close_vcpu(&w[i].g);
	}
	EXPECT_EQ(0, hpt_violations(&self->g.vm));
	close(fd);
}

TEST_HARNESS_MAIN
