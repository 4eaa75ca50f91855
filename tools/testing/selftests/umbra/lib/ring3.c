// SPDX-License-Identifier: GPL-2.0-only
/*
 * A visit to ring 3, for one access.
 */
#include <string.h>

#include "env.h"
#include "paging.h"
#include "ring3.h"

#define SEL_USER_CODE 0x33
#define SEL_USER_DATA 0x3b

asm(".pushsection .text\n"
"guest_user_access:\n"		/* RDI: address, RSI: write */
"	mov %rsp, %rax\n"
"	pushq $0x3b\n"
"	pushq %rax\n"
"	pushq $2\n"
"	pushq $0x33\n"
"	test %rsi, %rsi\n"
"	jnz 1f\n"
"	pushq $2f\n"
"	iretq\n"
"1:	pushq $3f\n"
"	iretq\n"
"2:	cmpb $0, (%rdi)\n"
"	hlt\n"
"3:	movq $77, (%rdi)\n"
"	hlt\n"
"guest_user_back:\n"
"	ret\n"
".popsection");

static u64 user_vector, user_error;

__attribute__((target("general-regs-only")))
static void guest_leave_user(struct guest_frame *f)
{
	if (!(f->cs & 3))
		GUEST_FAIL("not from ring 3: vector, rip", f->vector, f->rip);
	GUEST_WRITE(&user_vector, f->vector);
	GUEST_WRITE(&user_error, f->error);
	f->rip = LABEL(guest_user_back);
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
}

/* HLT behind the access ends the visit by #GP. */
void guest_expect_user(u64 gva, u64 write, u64 want)
{
	guest_set_handler(X86_TRAP_PF, guest_leave_user);
	guest_set_handler(X86_TRAP_GP, guest_leave_user);
	asm volatile("call guest_user_access" : "+D" (gva), "+S" (write)
		     : : "rax", "memory", "cc");
	guest_set_handler(X86_TRAP_PF, NULL);
	guest_set_handler(X86_TRAP_GP, NULL);
	if (want == NO_FAULT) {
		GUEST_ASSERT_EQ(X86_TRAP_GP, GUEST_READ(&user_vector));
		return;
	}
	GUEST_ASSERT_EQ(X86_TRAP_PF, GUEST_READ(&user_vector));
	GUEST_ASSERT_EQ(want, GUEST_READ(&user_error));
}

void user_setup(struct vm *vm)
{
	u64 *gdt = boot_hva(vm, BOOT_GDT);
	u64 rsp0 = BOOT_STACKS + MAX_VCPUS * STACK_SIZE;

	gdt[SEL_USER_CODE / 8] = 0x00affb000000ffffUL;
	gdt[SEL_USER_DATA / 8] = 0x00cff3000000ffffUL;
	memcpy(boot_hva(vm, BOOT_TSS + 4), &rsp0, sizeof(rsp0));
}
