/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's side of a test: what code that runs inside the VM may call.
 *
 * Guest code is C of the test program itself. The program is linked static and
 * not position independent, vm_create() copies its image into the VM's boot
 * memory at the same addresses, and vcpu_start() enters a function of it with
 * one pointer argument in 64-bit mode. So a string literal or a function has
 * the same address on both sides. Variables do not: the guest has a copy of
 * them. What both sides shall see lives in memory from vm_mem(), which has the
 * same address in the host and in the guest.
 *
 * Guest code calls nothing of libc. It talks to the host with ucall(): a port
 * write whose operand is the address of a struct ucall on the guest's stack.
 */
#ifndef _UMBRA_TEST_GUEST_H
#define _UMBRA_TEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/*
 * What host and guest change under each other's eyes: each access is made as it
 * is written. The other spelling is the one of types, as in asm().
 */
typedef __volatile__ u8 shared_u8;
typedef __volatile__ u64 shared_u64;
#define shared_void __volatile__ void

#define BIT(n) (1UL << (n))
#define __weak __attribute((__weak__))
#define __packed __attribute((__packed__))
#define __noreturn __attribute((__noreturn__))
#define __aligned(n) __attribute((__aligned__(n)))
#define __printf(a, b) __attribute((__format__(printf, a, b)))

/* The port of ucall(); nothing else in the tests uses it. */
#define UCALL_PORT 0x5c

enum ucall_cmd {
	UCALL_NONE,
	UCALL_SYNC,	/* arg[0]: stage */
	UCALL_ABORT,	/* arg[0]: text, arg[1]: line, arg[2..5]: values */
	UCALL_DONE,	/* the guest function returned */
};

struct ucall {
	u64 cmd;
	u64 arg[6];
};

/* What an exception leaves on the stack for a handler. */
struct guest_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rbp, rdi, rsi, rdx, rcx, rbx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

typedef void (*guest_handler_t)(struct guest_frame *frame);

#define X86_TRAP_DE 0
#define X86_TRAP_DB 1
#define X86_TRAP_NMI 2
#define X86_TRAP_BP 3
#define X86_TRAP_UD 6
#define X86_TRAP_NM 7
#define X86_TRAP_DF 8
#define X86_TRAP_GP 13
#define X86_TRAP_PF 14

#define X86_RFLAGS_FIXED BIT(1)
#define X86_RFLAGS_TF BIT(8)
#define X86_RFLAGS_IF BIT(9)
#define X86_RFLAGS_RF BIT(16)

/**
 * guest_ucall() - leave the guest with a message
 * @cmd: one of UCALL_*
 * @a0: first of the values that go with it, and so on
 *
 * Returns when the host enters the vCPU again.
 */
void guest_ucall(u64 cmd, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5);

/**
 * guest_set_handler() - call @fn for exception or interrupt @vector
 * @vector: 0 to 255
 * @fn: returns to the interrupted code through the frame it was given; NULL
 *	for the default, which ends the test with a message
 *
 * For all vCPUs of the VM. Guest side; vm_set_handler() is the host's.
 */
void guest_set_handler(unsigned int vector, guest_handler_t fn);

#define GUEST_SYNC(stage) guest_ucall(UCALL_SYNC, (u64)(stage), 0, 0, 0, 0, 0)

#define GUEST_FAIL(text, a, b)						\
	guest_ucall(UCALL_ABORT, (u64)(text), __LINE__, (u64)(a), (u64)(b), 0, 0)

#define GUEST_ASSERT(cond) do {						\
	if (!(cond))							\
		GUEST_FAIL(__FILE__ ": " #cond, 0, 0);			\
} while (0)

#define GUEST_ASSERT_EQ(want, seen) do {				\
	u64 __want = (u64)(want), __seen = (u64)(seen);			\
									\
	if (__want != __seen)						\
		GUEST_FAIL(__FILE__ ": " #want " == " #seen, __want, __seen); \
} while (0)

/*
 * guest_try() - run one instruction that may fault
 * @trap: struct guest_trap; vector is GUEST_NO_TRAP when nothing was raised
 * @insn: the instruction as a string, with inputs named as in asm()
 *
 * R9, R10 and R11 carry the verdict and must not be operands.
 */
#define GUEST_NO_TRAP (~0UL)

struct guest_trap {
	u64 vector, error, cr2;
};

#define guest_try(trap, insn, inputs...) do {				\
	register u64 __v asm("r9") = GUEST_NO_TRAP;			\
	register u64 __e asm("r10") = 0;				\
	register u64 __c asm("r11") = 0;				\
									\
	asm volatile("1: " insn "\n2:\n"				\
		     ".pushsection guest_extable, \"a\"\n"		\
		     ".quad 1b, 2b\n"					\
		     ".popsection"					\
		     : "+r" (__v), "+r" (__e), "+r" (__c)		\
		     : inputs : "memory", "cc");			\
	(trap).vector = __v;						\
	(trap).error = __e;						\
	(trap).cr2 = __c;						\
} while (0)

/* The address of a label in assembly. */
#define LABEL(name) ({							\
	u64 __address;							\
									\
	asm("mov $" #name ", %0" : "=r" (__address));			\
	__address;							\
})

static inline u64 guest_rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a" (lo), "=d" (hi) : "c" (msr));
	return (u64)hi << 32 | lo;
}

static inline void guest_wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" : : "c" (msr), "a" ((u32)value), "d" ((u32)(value >> 32)) : "memory");
}

static inline u64 guest_rdtsc(void)
{
	u32 lo, hi;

	asm volatile("lfence; rdtsc" : "=a" (lo), "=d" (hi));
	return (u64)hi << 32 | lo;
}

static inline u64 guest_read_cr2(void)
{
	u64 v;

	asm volatile("mov %%cr2, %0" : "=r" (v));
	return v;
}

static inline u64 guest_read_cr3(void)
{
	u64 v;

	asm volatile("mov %%cr3, %0" : "=r" (v));
	return v;
}

static inline void guest_invlpg(const shared_void *addr)
{
	asm volatile("invlpg (%0)" : : "r" (addr) : "memory");
}

static inline void guest_pause(void)
{
	asm volatile("pause" : : : "memory");
}

/* Accesses that the compiler neither drops, merges nor splits. */
#define GUEST_READ(p) (*(const __volatile__ typeof(*(p)) *)(p))
#define GUEST_WRITE(p, v) (*(__volatile__ typeof(*(p)) *)(p) = (v))

#endif
