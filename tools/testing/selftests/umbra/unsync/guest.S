/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's side of a script, for 32 and for 64 bits.
 *
 * EBP is the vCPU's struct, ESI the step. An access is entered by IRET, at CPL 0 as at
 * 3, and ends with the gate or with #PF; the stack that these leave behind is
 * forgotten.
 */
#include "script.h"

	.macro script bits, ax, bx, cx, si, bp, sp, iret, word, size
	.text
	.balign 16
	.code\bits
	.globl script_run\bits
script_run\bits:
	/* QEMU's CPU ends at a busy 32-bit TSS that comes with VMRUN. */
	mov SIDE_TSS(\bp), %eax
	ltr %ax
0:	mov SIDE_STEPS(\bp), \si
1:	mov STEP_CODE(\si), %eax
	mov STEP_AT(\si), \bx
	mov STEP_VALUE(\si), \cx
	jmp *2f(, \ax, \size)
	.balign 8
2:	\word 3f, 3f, 3f, 4f, 4f, 4f
	\word 10f, 11f, 12f, 13f, 14f, 15f, 16f, 17f, 18f
	/* Ring 0 */
3:	push $SCRIPT_KDATA
	push SIDE_STACK(\bp)
	push $2
	push $SCRIPT_KCODE
	jmp 5f
	/* Ring 3 */
4:	push $SCRIPT_UDATA
	push SIDE_STACK(\bp)
	push $2
	push $SCRIPT_UCODE
5:	push 6f(, \ax, \size)
	\iret
	.balign 8
6:	\word 7f, 8f, 9f, 7f, 8f, 9f
7:	mov (\bx), %eax
	int $SCRIPT_GATE
8:	mov %ecx, (\bx)
	mov %ecx, %eax
	int $SCRIPT_GATE
9:	call *\bx
	int $SCRIPT_GATE

	.globl script_fault\bits
script_fault\bits:
	pop \bx
	mov %ebx, STEP_ERROR(\si)
	mov %cr2, \bx
	mov \bx, STEP_CR2(\si)
	jmp 19f
	.globl script_gate\bits
script_gate\bits:
	mov %eax, STEP_SEEN(\si)
	movl $-1, STEP_ERROR(\si)
19:	mov SIDE_STACK(\bp), \sp
20:	add $STEP_SIZE, \si
	jmp 1b

10:	mov %ecx, (\bx)
	jmp 20b
11:
	.if \bits == 32
	mov STEP_VALUE + 4(\si), %eax
	mov %eax, 4(\bx)
	.endif
	mov \cx, (\bx)
	jmp 20b
12:	invlpg (\bx)
	jmp 20b
13:	mov \cx, %cr3
	jmp 20b
14:	mov \cx, %cr4
	jmp 20b
15:	mov \cx, %cr0
	jmp 20b
	/* Long mode is left and entered with paging, from 32-bit code. */
16:
	.if \bits == 64
	ljmpl *21f
	.balign 8
21:	.long 22f
	.word SCRIPT_KCODE32
	.code32
22:
	.endif
	mov %cr0, %eax
	and $0x7fffffff, %eax
	mov %eax, %cr0
	or $0x80000000, %eax
	mov %eax, %cr0
	.if \bits == 64
	ljmpl $SCRIPT_KCODE, $23f
	.code64
23:	mov %esi, %esi
	mov %ebp, %ebp
	mov %esp, %esp
	.endif
	jmp 20b
17:	pause
	cmp %ecx, (\bx)
	jne 17b
	jmp 20b
18:	mov SIDE_UCALL(\bp), %eax
	mov $SCRIPT_PORT, %edx
	out %eax, %dx
	jmp 0b

	/* What no step is meant to raise: the run ends here. */
	.globl script_other\bits
script_other\bits:
	mov $0x44, %al
	out %al, $0x44
	hlt
	.code64
	.endm

	script 32, %eax, %ebx, %ecx, %esi, %ebp, %esp, iretl, .long, 4
	script 64, %rax, %rbx, %rcx, %rsi, %rbp, %rsp, iretq, .quad, 8

	.section .note.GNU-stack, "", @progbits
