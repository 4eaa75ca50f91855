// SPDX-License-Identifier: GPL-2.0-only
/*
 * External interrupts by KVM_INTERRUPT: an edge comes once, a level until it is taken back,
 * neither before MSR[EE] lets it; they end H_CEDE and reach a vCPU that is running. And the
 * levels of the architecture that a guest may be given.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "lib/guest.h"

#define MTDEC_R5	0x7cb603a6
#define MTCTR_R6	0x7cc903a6
#define BDNZ_HERE	0x42000000
#define MTMSRD_R7	0x7ce10164	/* EE and RI only */
#define BRANCH_HERE	0x48000000
#define LI_R3(n)	(0x38600000 | (n))
#define SC_1		0x44000022
#define LONG_TICKS	0x7fffffff	/* 4 s */

FIXTURE(external) {
	struct hpt_guest g;
};

FIXTURE_SETUP(external)
{
	if (!guest_open(&self->g, 20))
		SKIP(return, "no guest can run here");
}

FIXTURE_TEARDOWN(external)
{
	EXPECT_EQ(0, guest_end(&self->g));
}

static int give(struct hpt_guest *g, uint32_t what)
{
	struct kvm_interrupt interrupt = { what };

	return ioctl(g->runner, KVM_INTERRUPT, &interrupt) ? -errno : 0;
}

/* With EE as @msr says from the begin, busy for a while; then the hypercall SAY_DONE. */
static int busy(struct hpt_guest *g, uint64_t msr)
{
	static const uint32_t code[] = { MTDEC_R5, MTCTR_R6, BDNZ_HERE, LI_R3(SAY_DONE), SC_1 };

	put_code(g, code, sizeof(code));
	g->regs.gpr[5] = LONG_TICKS;
	g->regs.gpr[6] = 1000000;
	if (guest_start(g, MSR_REAL | msr) != KVM_EXIT_PAPR_HCALL)
		return -1;
	return g->run->papr_hcall.nr;
}

TEST_F(external, what_there_is_and_what_is_refused)
{
	int vm = self->g.vm.fd;

	ASSERT_EQ(1, ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_PPC_UNSET_IRQ));
	ASSERT_EQ(1, ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_PPC_IRQ_LEVEL));
	ASSERT_EQ(-EINVAL, give(&self->g, 0));
	ASSERT_EQ(-EINVAL, give(&self->g, 0x500));
	ASSERT_EQ(-EINVAL, give(&self->g, KVM_INTERRUPT_SET_LEVEL - 1));
	ASSERT_EQ(-1, ioctl(self->g.runner, KVM_INTERRUPT, 8));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(SAY_DONE, busy(&self->g, MSR_EE));
}

TEST_F(external, an_edge_comes_once)
{
	ASSERT_EQ(0, give(&self->g, KVM_INTERRUPT_SET));
	ASSERT_EQ(0, give(&self->g, KVM_INTERRUPT_SET));
	ASSERT_EQ(SAY_FAULT, busy(&self->g, MSR_EE));
	/* Before the first instruction; SRR1 has the MSR, and the handler runs without EE. */
	ASSERT_EQ(CODE, self->g.run->papr_hcall.args[2]);
	ASSERT_EQ(MSR_REAL | MSR_EE, self->g.run->papr_hcall.args[3] & (MSR_VIRTUAL | MSR_EE));
	ASSERT_EQ(0, ioctl(self->g.runner, KVM_GET_REGS, &self->g.regs));
	ASSERT_EQ(0, self->g.regs.msr & (MSR_EE | 1));
	ASSERT_EQ(0x518, self->g.regs.pc);
	ASSERT_EQ(SAY_DONE, busy(&self->g, MSR_EE));
}

TEST_F(external, a_level_stays_until_it_is_taken_back)
{
	ASSERT_EQ(0, give(&self->g, KVM_INTERRUPT_SET_LEVEL));
	ASSERT_EQ(SAY_FAULT, busy(&self->g, MSR_EE));
	ASSERT_EQ(SAY_FAULT, busy(&self->g, MSR_EE));
	ASSERT_EQ(0, give(&self->g, KVM_INTERRUPT_UNSET));
	ASSERT_EQ(SAY_DONE, busy(&self->g, MSR_EE));
	ASSERT_EQ(0, give(&self->g, KVM_INTERRUPT_SET));
	ASSERT_EQ(0, give(&self->g, KVM_INTERRUPT_UNSET));
	ASSERT_EQ(SAY_DONE, busy(&self->g, MSR_EE));
}

/* Without EE it waits; the guest says how long, and by which instruction it ends. */
TEST_F(external, it_waits_for_the_guest)
{
	static const uint32_t code[] = { MTDEC_R5, MTMSRD_R7, BRANCH_HERE };

	ASSERT_EQ(0, give(&self->g, KVM_INTERRUPT_SET));
	ASSERT_EQ(SAY_DONE, busy(&self->g, 0));
	put_code(&self->g, code, sizeof(code));
	self->g.regs.gpr[5] = LONG_TICKS;
	self->g.regs.gpr[7] = MSR_EE;
	ASSERT_EQ(KVM_EXIT_PAPR_HCALL, guest_start(&self->g, MSR_REAL));
	ASSERT_EQ(SAY_FAULT, self->g.run->papr_hcall.nr);
	ASSERT_EQ(CODE + 8, self->g.run->papr_hcall.args[2]);
	ASSERT_EQ(0x518, (ioctl(self->g.runner, KVM_GET_REGS, &self->g.regs), self->g.regs.pc));
	ASSERT_EQ(SAY_DONE, busy(&self->g, MSR_EE));
}

struct thread {
	struct hpt_guest *g;
	int said;
};

static void *sleeps(void *arg)
{
	struct thread *t = arg;

	t->said = guest_cedes(t->g, LONG_TICKS);
	return NULL;
}

TEST_F(external, it_ends_h_cede)
{
	uint32_t kinds[] = { KVM_INTERRUPT_SET, KVM_INTERRUPT_SET_LEVEL };
	struct thread t = { &self->g };
	uint64_t begin;
	pthread_t thread;
	int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		begin = now_ms();
		pthread_create(&thread, NULL, sleeps, &t);
		usleep(200000);
		/* The other thread has the vCPU meanwhile. */
		ASSERT_EQ(0, give(&self->g, kinds[i]));
		pthread_join(thread, NULL);
		ASSERT_GT(3000, now_ms() - begin);
		ASSERT_EQ(SAY_FAULT, t.said);
		ASSERT_EQ(CODE + 12, self->g.run->papr_hcall.args[2]);
		ASSERT_EQ(0x518, (ioctl(self->g.runner, KVM_GET_REGS, &self->g.regs),
				  self->g.regs.pc));
	}
	/* A level that is still there is no rest at all. */
	ASSERT_EQ(SAY_FAULT, guest_cedes(&self->g, LONG_TICKS));
	ASSERT_GT(3000, now_ms() - begin);
	ASSERT_EQ(0, give(&self->g, KVM_INTERRUPT_UNSET));
	ASSERT_EQ(SAY_FAULT, guest_cedes(&self->g, 512000 * 50));
	ASSERT_EQ(0x918, (ioctl(self->g.runner, KVM_GET_REGS, &self->g.regs), self->g.regs.pc));
}

static void *spins(void *arg)
{
	static const uint32_t code[] = { MTDEC_R5, BRANCH_HERE };
	struct thread *t = arg;

	put_code(t->g, code, sizeof(code));
	t->g->regs.gpr[5] = LONG_TICKS;
	t->said = -1;
	if (guest_start(t->g, MSR_REAL | MSR_EE) == KVM_EXIT_PAPR_HCALL)
		t->said = t->g->run->papr_hcall.nr;
	return NULL;
}

TEST_F(external, it_reaches_a_vcpu_that_runs)
{
	struct thread t = { &self->g };
	pthread_t thread;
	int turn;

	for (turn = 0; turn < 20; turn++) {
		pthread_create(&thread, NULL, spins, &t);
		usleep(turn * 1000);
		ASSERT_EQ(0, give(&self->g, KVM_INTERRUPT_SET));
		pthread_join(thread, NULL);
		ASSERT_EQ(SAY_FAULT, t.said);
		ASSERT_EQ(0x518, (ioctl(self->g.runner, KVM_GET_REGS, &self->g.regs),
				  self->g.regs.pc)) {
			TH_LOG("turn %d", turn);
		}
	}
}

static int compat(struct hpt_guest *g, unsigned int cmd, uint32_t *pvr)
{
	struct kvm_one_reg reg = { KVM_REG_PPC_ARCH_COMPAT, (uintptr_t)pvr };

	return ioctl(g->runner, cmd, &reg) ? -errno : 0;
}

/* Logical PVRs: 2.05, 2.06, 2.06+, 2.07, 3.00, and 3.1 where the host has it. */
TEST_F(external, levels_of_the_architecture)
{
	static const uint32_t levels[] = {
		0x0f000002, 0x0f000003, 0x0f100003, 0x0f000004, 0x0f000005, 0x0f000006,
	};
	struct kvm_sregs sregs = {};
	uint32_t pvr = 1, bad[] = { 1, 0x0f000001, 0x0f000007, 0x004e1200 };
	bool power10;
	int i;

	ASSERT_EQ(0, ioctl(self->g.runner, KVM_GET_SREGS, &sregs));
	power10 = sregs.pvr >> 16 == 0x80;
	ASSERT_EQ(0, compat(&self->g, KVM_GET_ONE_REG, &pvr));
	ASSERT_EQ(0, pvr);
	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		bool has = power10 || i < 5;

		pvr = levels[i];
		ASSERT_EQ(has ? 0 : -EINVAL, compat(&self->g, KVM_SET_ONE_REG, &pvr)) {
			TH_LOG("level %d", i);
		}
		pvr = 1;
		ASSERT_EQ(0, compat(&self->g, KVM_GET_ONE_REG, &pvr));
		ASSERT_EQ(levels[has ? i : 4], pvr);
		ASSERT_EQ(SAY_DONE, busy(&self->g, 0));
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		ASSERT_EQ(-EINVAL, compat(&self->g, KVM_SET_ONE_REG, &bad[i]));
	pvr = 0;
	ASSERT_EQ(0, compat(&self->g, KVM_SET_ONE_REG, &pvr));
	ASSERT_EQ(SAY_DONE, busy(&self->g, 0));
}

TEST_HARNESS_MAIN
