// SPDX-License-Identifier: GPL-2.0-only
/*
 * Native execution of one instruction by way of signals.
 *
 * INT3 in host code raises SIGTRAP. The handler keeps the host's registers,
 * puts the wanted state into the signal frame and returns into the instruction.
 * INT3 after it, or its fault, raises the next signal, whose frame is the result
 * and from which the handler returns to the host. Every register, the stack
 * pointer included, can so have any value.
 */
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>
#include <asm/prctl.h>

#include "machine.h"

#define TASK_SIZE_MAX	0x7ffffffff000UL

#define XSTATE_BV	512
#define XSTATE_SSE_AVX	6
#define YMM_UPPER	576

static const int greg_of[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static enum { IDLE, ENTER, RUNNING } phase;
static gregset_t host;
static const struct regs *run_in;
static struct outcome *run_out;
static const struct mode *run_mode;
static u8 *code_alias;

static u64 host_fs;

bool have_avx, have_bmi, have_sse4a, guest_intel, on_tcg;

static void load_guest(ucontext_t *uc)
{
	greg_t *g = uc->uc_mcontext.gregs;
	u8 *fp = (u8 *)uc->uc_mcontext.fpregs;
	u64 bv;
	int i;

	for (i = 0; i < 16; i++)
		g[greg_of[i]] = run_in->gpr[i];
	g[REG_RIP] = run_in->rip;
	g[REG_EFL] = run_in->flags;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffULL) |
			run_mode->seg[UMBRA_SEG_CS].selector;
	for (i = 0; i < 16; i++) {
		memcpy(&uc->uc_mcontext.fpregs->_xmm[i], run_in->vec[i], 16);
		if (have_avx)
			memcpy(fp + YMM_UPPER + 16 * i, run_in->vec[i] + 16, 16);
	}
	if (have_avx) {
		memcpy(&bv, fp + XSTATE_BV, 8);
		bv |= XSTATE_SSE_AVX;
		memcpy(fp + XSTATE_BV, &bv, 8);
	}
}

static void save_guest(ucontext_t *uc)
{
	greg_t *g = uc->uc_mcontext.gregs;
	u8 *fp = (u8 *)uc->uc_mcontext.fpregs;
	struct regs *r = &run_out->regs;
	u64 bv = 0;
	int i;

	for (i = 0; i < 16; i++)
		r->gpr[i] = g[greg_of[i]];
	r->rip = g[REG_RIP];
	r->flags = g[REG_EFL];
	if (have_avx)
		memcpy(&bv, fp + XSTATE_BV, 8);
	for (i = 0; i < 16; i++) {
		memcpy(r->vec[i], &uc->uc_mcontext.fpregs->_xmm[i], 16);
		memset(r->vec[i] + 16, 0, 16);
		if (bv & 4)
			memcpy(r->vec[i] + 16, fp + YMM_UPPER + 16 * i, 16);
	}
}

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	greg_t *g = uc->uc_mcontext.gregs;

	/* The kernel leaves RFLAGS.AC, which POPF may have set, as it was. */
	asm volatile("pushfq; andq %0, (%%rsp); popfq" : : "r" (~FL_AC) : "memory", "cc");
	if (phase == ENTER) {
		memcpy(host, g, sizeof(host));
		load_guest(uc);
		phase = RUNNING;
		/* The C library's thread data are out of reach from here on. */
		if (run_mode->word == 8)
			syscall(SYS_arch_prctl, ARCH_SET_FS, FS_BASE);
		return;
	}
	if (run_mode->word == 8)
		syscall(SYS_arch_prctl, ARCH_SET_FS, host_fs);
	if (phase != RUNNING) {
		/* Not from a tested instruction: nothing can be trusted any more. */
		dprintf(1, "Bail out! signal %d, trap %lld at %llx in the test itself\n",
			sig, g[REG_TRAPNO], g[REG_RIP]);
		_exit(1);
	}
	save_guest(uc);
	if (sig == SIGALRM) {
		run_out->end = END_STUCK;
	} else if (sig == SIGTRAP && g[REG_TRAPNO] == 3) {
		run_out->end = END_OK;
		run_out->regs.rip--;
	} else if (g[REG_TRAPNO] == 14 && (g[REG_ERR] & 16) &&
		   (u64)g[REG_RIP] != run_in->rip) {
		/* It jumped where nothing is. */
		run_out->end = END_OK;
	} else {
		run_out->end = END_FAULT;
		run_out->vector = g[REG_TRAPNO];
		run_out->error = g[REG_ERR];
		run_out->address = g[REG_TRAPNO] == 14 ? g[REG_CR2] : 0;
		/* Linux hides which of its own addresses are mapped: P is always set. */
		if (run_out->address >= TASK_SIZE_MAX)
			run_out->error &= ~1;
	}
	memcpy(g, host, sizeof(host));
	phase = IDLE;
}

/* Code is written through an alias: the tested instruction cannot write it. */
static int map_code(void)
{
	int fd = memfd_create("code", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, CODE_SIZE))
		return -1;
	if (mmap((void *)CODE_BASE, CODE_SIZE, PROT_READ | PROT_EXEC,
		 MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == MAP_FAILED)
		return -1;
	code_alias = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (code_alias == MAP_FAILED)
		return -1;
	memset(code_alias, 0xcc, CODE_SIZE);
	return close(fd);
}

/* Put @len bytes at an offset in the mode's CS; INT3 again for NULL. */
void native_code(const struct mode *mode, u64 rip, const u8 *bytes, unsigned int len)
{
	u8 *code = code_alias + (rip + mode->seg[UMBRA_SEG_CS].base - CODE_BASE);

	if (bytes)
		memcpy(code, bytes, len);
	else
		memset(code, 0xcc, len);
}

int native_init(void)
{
	static const int signals[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGALRM };
	struct sigaction sa = { .sa_sigaction = on_signal };
	stack_t ss = { .ss_size = 64 * 1024 };
	unsigned int eax, ebx, ecx, edx, i;

	__cpuid(0, eax, ebx, ecx, edx);
	guest_intel = ebx == signature_INTEL_ebx;
	__cpuid(1, eax, ebx, ecx, edx);
	have_avx = (ecx & bit_OSXSAVE) && (ecx & bit_AVX);
	if (ecx >> 31) {
		__cpuid(0x40000000, eax, ebx, ecx, edx);
		on_tcg = ebx == 0x54474354;	/* "TCGT" */
	}
	if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
		have_bmi = (ebx & bit_BMI) && (ebx & bit_BMI2) && (ebx & bit_ADX);
	if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx))
		have_sse4a = ecx & bit_SSE4a;
	ss.ss_sp = malloc(ss.ss_size);
	if (!ss.ss_sp || sigaltstack(&ss, NULL))
		return -1;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigfillset(&sa.sa_mask);
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], &sa, NULL))
			return -1;
	if (map_code())
		return -1;
	if (mmap((void *)DATA_BASE, DATA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
		return -1;
	return syscall(SYS_arch_prctl, ARCH_GET_FS, &host_fs);
}

/* 64-bit mode does not look at DS and ES, the others need them; GS comes with a base. */
static int enter_mode(const struct mode *mode)
{
	run_mode = mode;
	asm volatile("movl %0, %%ds; movl %1, %%es; movl %2, %%gs"
		     : : "r" ((u32)mode->seg[UMBRA_SEG_DS].selector),
			 "r" ((u32)mode->seg[UMBRA_SEG_ES].selector),
			 "r" ((u32)mode->seg[UMBRA_SEG_GS].selector));
	return mode->word == 8 ? syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE) : 0;
}

void native_run(const struct mode *mode, const struct regs *in, struct outcome *out)
{
	run_in = in;
	run_out = out;
	if (run_mode != mode && enter_mode(mode))
		abort();
	phase = ENTER;
	asm volatile("int3"
		     : : : "memory", "cc",
		     "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
		     "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
	/* NT and ID, which POPF may have set, survive a signal's return. */
	if (out->regs.flags & (FL_NT | FL_ID))
		asm volatile("pushfq; andq %0, (%%rsp); popfq"
			     : : "r" (~(FL_NT | FL_ID)) : "memory", "cc");
}

/**
 * native_fetch() - how far does the processor fetch an instruction?
 * @mode: mode to run it in; all registers are zero
 * @bytes: the instruction
 * @len: how many of them are there, before a page that is not mapped
 *
 * Return: whether it wanted more, or that the bytes are undefined (#UD).
 */
enum fetch native_fetch(const struct mode *mode, const u8 *bytes, unsigned int len)
{
	static struct outcome out;
	static struct regs in;
	bool more;

	in.rip = CODE_BASE + CODE_SIZE - len - mode->seg[UMBRA_SEG_CS].base;
	in.flags = 2;
	native_code(mode, in.rip, bytes, len);
	native_run(mode, &in, &out);
	native_code(mode, in.rip, NULL, len);
	/* MMX instructions take the x87 registers. */
	asm volatile("emms");
	more = out.end == END_FAULT && out.vector == 14 && (out.error & 16) &&
	       out.regs.rip == in.rip && out.address == CODE_BASE + CODE_SIZE;
	if (more)
		return FETCH_MORE;
	return out.end == END_FAULT && out.vector == 6 ? FETCH_UNDEFINED : FETCH_ENOUGH;
}

/* Does a NOP run in this mode? A kernel may lack 32-bit code segments. */
bool native_mode_works(const struct mode *mode)
{
	static struct outcome out;
	static struct regs in;

	in.rip = CODE_BASE - mode->seg[UMBRA_SEG_CS].base;
	in.flags = 2;
	native_code(mode, in.rip, (const u8 *)"\x90", 1);
	native_run(mode, &in, &out);
	native_code(mode, in.rip, NULL, 1);
	return out.end == END_OK && out.regs.rip == in.rip + 1;
}
