// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous page faults. The test is the disk: guest memory is registered with
 * userfaultfd, and a page is there when the test says so. Proves that the guest runs while
 * it waits, that each token is told once and in turn, that it is told nothing where it did
 * not ask or cannot listen, that one that asks anew is woken, and that a VM can be closed
 * while a page is still awaited.
 */
#include "test.h"
#include "apic.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/syscall.h>

#define EN_MSR 0x4b564d02
#define INT_MSR 0x4b564d06
#define ACK_MSR 0x4b564d07
#define EN_ON BIT(0)
#define EN_ALWAYS BIT(1)
#define EN_INT BIT(3)
#define VECTOR 0x60
#define TOKENS 8
#define SLOW_PAGES 8

struct apf_word {
	u32 flags, token;
};

/* What both see, the guest's word, and memory that is slow to come. */
struct shared {
	u64 told, ready;		/* numbers of tokens */
	u64 token[TOKENS], come[TOKENS];
	u64 flags;
	u64 en;
	u64 hold;			/* the handler of tokens does not acknowledge */
	u64 turns;			/* of a guest that works while it waits */
	struct apf_word word __aligned(64);
};

#define SHARED ((__volatile__ struct shared *)TEST_MEM)
#define WORD_GPA (TEST_MEM + offsetof(struct shared, word))

FIXTURE(async_pf) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *slow;
	int uffd;
};

FIXTURE_SETUP(async_pf)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	self->vm = vm_irqchip(false);
	if (!self->vm)
		TEST_SKIP("no local APIC in the kernel");
	if (policy_pinned(self->vm))
		TEST_SKIP("policy pinned waits for its pages");
	self->vcpu = vcpu_create(self->vm, 0);
	ASSERT_EQ((u64)SHARED, (u64)vm_mem(self->vm, PAGE_2M));
	self->slow = vm_mem(self->vm, SLOW_PAGES * PAGE_4K);
	self->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (self->uffd < 0)
		TEST_SKIP("no userfaultfd");
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_API, &api));
	reg.range.start = (u64)self->slow;
	reg.range.len = SLOW_PAGES * PAGE_4K;
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_REGISTER, &reg));
	SHARED->en = WORD_GPA | EN_ON | EN_INT | EN_ALWAYS;
}

FIXTURE_TEARDOWN(async_pf)
{
	close(self->uffd);
	vm_free(self->vm);
}

/* The host has asked for page @i: it is there now, with its number in the first word. */
static void bring(int uffd, u8 *slow, u64 i)
{
	static u64 data[PAGE_4K / 8];
	struct uffdio_copy copy = {
		.dst = (u64)slow + i * PAGE_4K, .src = (u64)data, .len = PAGE_4K,
	};

	data[0] = 1000 + i;
	if (ioctl(uffd, UFFDIO_COPY, &copy))
		die("UFFDIO_COPY of page %lu", i);
}

/* Wait until the host asks for a page. Returns its number. */
static u64 asked(int uffd, u8 *slow)
{
	struct pollfd fd = { .fd = uffd, .events = POLLIN };
	struct uffd_msg msg;

	while (read(uffd, &msg, sizeof(msg)) != sizeof(msg))
		poll(&fd, 1, -1);
	return (msg.arg.pagefault.address - (u64)slow) / PAGE_4K;
}

/* --- the guest --- */

/*
 * The page is not there: remember the token, and try again as often as it takes; others
 * would run another task.
 */
static void on_fault(struct guest_frame *f)
{
	u32 flags = SHARED->word.flags;

	if (flags != 1)
		GUEST_FAIL("#PF without a reason", guest_read_cr2(), f->error);
	SHARED->word.flags = 0;
	SHARED->token[SHARED->told % TOKENS] = guest_read_cr2();
	SHARED->told++;
	GUEST_ASSERT_EQ(0, f->error);
	GUEST_SYNC(0x100 + SHARED->told);
	guest_sti();
	while (SHARED->ready < SHARED->told && !SHARED->hold) {
		SHARED->turns++;
		guest_pause();
	}
	guest_cli();
}

static void on_ready(struct guest_frame *f)
{
	SHARED->come[SHARED->ready % TOKENS] = SHARED->word.token;
	SHARED->ready++;
	SHARED->word.token = 0;
	apic_write(true, APIC_EOI, 0);
	if (!SHARED->hold)
		guest_wrmsr(ACK_MSR, 1);
}

static void begin(void)
{
	apic_on(true);
	guest_wrmsr(INT_MSR, VECTOR);
	guest_wrmsr(EN_MSR, SHARED->en);
	GUEST_ASSERT_EQ(SHARED->en, guest_rdmsr(EN_MSR));
	GUEST_ASSERT_EQ(VECTOR, guest_rdmsr(INT_MSR));
	/* Who asks anew is told to wake whoever waits. */
	guest_sti();
	guest_cli();
}

static void guest_read_slow(void *slow)
{
	u64 v;

	begin();
	guest_sti();
	v = GUEST_READ((u64 *)slow);
	guest_cli();
	GUEST_ASSERT_EQ(1000, v);
}

static void start(struct vm *vm, struct vcpu *vcpu, void (*fn)(void *arg), void *arg)
{
	vm_set_handler(vm, X86_TRAP_PF, on_fault);
	vm_set_handler(vm, VECTOR, on_ready);
	vcpu_start(vcpu, fn, arg);
}

TEST_F(async_pf, guest_runs_meanwhile)
{
	pthread_t thread;

	start(self->vm, self->vcpu, guest_read_slow, self->slow);
	vcpu_sync(self->vcpu, 0x101);
	/* The one before it was the wake-up of all. */
	EXPECT_EQ(1, SHARED->ready);
	EXPECT_EQ(0xffffffff, SHARED->come[0]);
	SHARED->ready = 0;
	EXPECT_EQ(0, asked(self->uffd, self->slow));
	thread = vcpu_spawn(self->vcpu);
	await(&SHARED->turns, 100);
	EXPECT_EQ(0, SHARED->ready);
	bring(self->uffd, self->slow, 0);
	vcpu_join(thread);
	EXPECT_EQ(1, SHARED->told);
	EXPECT_EQ(1, SHARED->ready);
	EXPECT_EQ(SHARED->token[0], SHARED->come[0]);
	EXPECT_NE(0, SHARED->token[0]);
	EXPECT_EQ(1, vm_stat(self->vm, "async_pf"));
}

/* In HLT the guest is woken. */
static void on_fault_sleep(struct guest_frame *f)
{
	SHARED->word.flags = 0;
	SHARED->told++;
	GUEST_SYNC(0x100 + SHARED->told);
	while (SHARED->ready < SHARED->told)
		guest_halt();
}

TEST_F(async_pf, guest_sleeps_meanwhile)
{
	pthread_t thread;

	start(self->vm, self->vcpu, guest_read_slow, self->slow);
	vm_set_handler(self->vm, X86_TRAP_PF, on_fault_sleep);
	vcpu_sync(self->vcpu, 0x101);
	SHARED->ready = 0;
	thread = vcpu_spawn(self->vcpu);
	EXPECT_EQ(0, asked(self->uffd, self->slow));
	bring(self->uffd, self->slow, 0);
	vcpu_join(thread);
	EXPECT_EQ(1, SHARED->ready);
}

/* --- several --- */

/* Goes on behind the load, whose page is not there. */
static void on_fault_skip(struct guest_frame *f)
{
	SHARED->word.flags = 0;
	SHARED->token[SHARED->told % TOKENS] = guest_read_cr2();
	SHARED->told++;
	f->rip += 3;
}

static void guest_several(void *slow)
{
	u64 i;

	begin();
	SHARED->ready = 0;
	SHARED->hold = 1;
	guest_sti();
	for (i = 0; i < 4; i++)
		asm volatile("mov (%0), %%rax" : : "b" (slow + i * PAGE_4K) : "rax", "memory");
	GUEST_SYNC(1);
	/* Each waits for the one before it to be acknowledged. */
	for (i = 0; i < 4; i++) {
		while (SHARED->ready <= i)
			guest_pause();
		GUEST_SYNC(2 + i);
		GUEST_ASSERT_EQ(i + 1, SHARED->ready);
		guest_wrmsr(ACK_MSR, 1);
	}
	guest_cli();
}

TEST_F(async_pf, tokens_in_turn)
{
	static const int order[] = { 2, 0, 3, 1 };
	int i;

	start(self->vm, self->vcpu, guest_several, self->slow);
	vm_set_handler(self->vm, X86_TRAP_PF, on_fault_skip);
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(4, SHARED->told);
	for (i = 0; i < 4; i++)
		EXPECT_GT(4, asked(self->uffd, self->slow));
	bring(self->uffd, self->slow, order[0]);
	for (i = 0; i < 4; i++) {
		vcpu_sync(self->vcpu, 2 + i);
		if (i == 3)
			break;
		/* The next is there before this one is acknowledged. */
		bring(self->uffd, self->slow, order[i + 1]);
		while (!page_present(self->slow + order[i + 1] * PAGE_4K))
			sched_yield();
		usleep(50000);
	}
	vcpu_done(self->vcpu);
	EXPECT_EQ(4, SHARED->ready);
	for (i = 0; i < 4; i++) {
		int j, n = 0;

		for (j = 0; j < 4; j++)
			n += SHARED->come[j] == SHARED->token[i];
		EXPECT_EQ(1, n) TH_LOG("token %d", i);
	}
}

/* --- who is not told --- */

static void guest_not_told(void *slow)
{
	u64 v;

	begin();
	guest_sti();
	v = GUEST_READ((u64 *)slow);
	guest_cli();
	GUEST_ASSERT_EQ(1000, v);
	GUEST_ASSERT_EQ(0, SHARED->told);
}

/* The vCPU waits in the kernel, as it always did. */
static void not_told(struct __test_metadata *_metadata, struct vcpu *vcpu, int uffd, u8 *slow,
		     void (*fn)(void *arg))
{
	pthread_t thread;

	start(vcpu->vm, vcpu, fn, slow);
	thread = vcpu_spawn(vcpu);
	EXPECT_EQ(0, asked(uffd, slow));
	bring(uffd, slow, 0);
	vcpu_join(thread);
	EXPECT_EQ(0, SHARED->told);
	EXPECT_EQ(0, vm_stat(vcpu->vm, "async_pf"));
}

TEST_F(async_pf, not_in_ring_0)
{
	SHARED->en &= ~EN_ALWAYS;
	not_told(_metadata, self->vcpu, self->uffd, self->slow, guest_not_told);
}

TEST_F(async_pf, not_by_default)
{
	SHARED->en = 0;
	not_told(_metadata, self->vcpu, self->uffd, self->slow, guest_not_told);
}

/* Without interrupts it could not be told the end. */
static void guest_masked(void *slow)
{
	begin();
	GUEST_ASSERT_EQ(1000, GUEST_READ((u64 *)slow));
}

TEST_F(async_pf, not_with_interrupts_off)
{
	not_told(_metadata, self->vcpu, self->uffd, self->slow, guest_masked);
}

/* The guest has not looked at the reason for the last one. */
static void guest_busy(void *slow)
{
	begin();
	SHARED->word.flags = 1;
	guest_sti();
	GUEST_ASSERT_EQ(1000, GUEST_READ((u64 *)slow));
	guest_cli();
}

TEST_F(async_pf, not_while_the_word_is_used)
{
	not_told(_metadata, self->vcpu, self->uffd, self->slow, guest_busy);
}

/* --- the end --- */

static void guest_two(void *slow)
{
	begin();
	SHARED->ready = 0;
	guest_sti();
	asm volatile("mov (%0), %%rax" : : "b" (slow) : "rax", "memory");
	GUEST_SYNC(1);
	/* Asks anew: what was awaited is forgotten, and all are woken. */
	guest_wrmsr(EN_MSR, SHARED->en);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, SHARED->ready);
	GUEST_ASSERT_EQ(0xffffffff, SHARED->come[0]);
	GUEST_SYNC(2);
	guest_cli();
}

TEST_F(async_pf, asked_anew)
{
	start(self->vm, self->vcpu, guest_two, self->slow);
	vm_set_handler(self->vm, X86_TRAP_PF, on_fault_skip);
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(1, SHARED->told);
	vcpu_sync(self->vcpu, 2);
	bring(self->uffd, self->slow, 0);
	vcpu_done(self->vcpu);
	EXPECT_EQ(1, SHARED->ready);
}

/* The VM goes while a page is awaited that never comes; what is left frees itself. */
TEST_F(async_pf, closed_meanwhile)
{
	start(self->vm, self->vcpu, guest_two, self->slow);
	vm_set_handler(self->vm, X86_TRAP_PF, on_fault_skip);
	vcpu_sync(self->vcpu, 1);
	EXPECT_EQ(0, asked(self->uffd, self->slow));
	vm_close(self->vm);
	EXPECT_EQ(NULL, node_leftovers());
	self->vm = vm_irqchip(false);
}

TEST_F(async_pf, reserved_bits)
{
	u64 v;

	EXPECT_FALSE(vcpu_set_msr(self->vcpu, EN_MSR, WORD_GPA | BIT(4)));
	EXPECT_FALSE(vcpu_set_msr(self->vcpu, EN_MSR, WORD_GPA | BIT(5)));
	EXPECT_FALSE(vcpu_set_msr(self->vcpu, INT_MSR, 0x100));
	EXPECT_TRUE(vcpu_set_msr(self->vcpu, INT_MSR, 0x80));
	EXPECT_TRUE(vcpu_get_msr(self->vcpu, INT_MSR, &v));
	EXPECT_EQ(0x80, v);
	EXPECT_TRUE(vcpu_get_msr(self->vcpu, ACK_MSR, &v));
	EXPECT_EQ(0, v);
	/* Not announced: see Documentation/mmu.rst. */
	EXPECT_EQ(0, node_has(KVM_CAP_ASYNC_PF));
	EXPECT_EQ(0, node_has(KVM_CAP_ASYNC_PF_INT));
}

UMBRA_TEST_MAIN
