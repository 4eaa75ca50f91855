/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's side of the oracle, for 32 and for 64 bits. It is copied to
 * ORACLE_CODE and so has relative jumps only.
 *
 * EBP is the record throughout. Every access is entered by IRET, at CPL 0 as
 * at 3, and ends with the gate or with #PF; the stack that these leave behind is
 * forgotten.
 */
#include "oracle.h"

#define EFER 0xc0000080

	.macro oracle bits, ax, bx, cx, dx, di, bp, sp, iret
	.pushsection .rodata
	.balign 16
	.code\bits
	.globl oracle_run\bits
oracle_run\bits:
	/* QEMU's CPU ends at a busy 32-bit TSS that comes with VMRUN. */
	mov $ORACLE_SEL_TSS, %eax
	ltr %ax
0:	mov $ORACLE_RECORDS, \bp
1:	mov REC_CR0(\bp), \ax
	mov \ax, %cr0
	mov REC_CR4(\bp), \ax
	mov \ax, %cr4
	mov $EFER, %ecx
	rdmsr
	mov REC_EFER(\bp), %edi
	cmp %eax, %edi
	je 2f
	mov %edi, %eax
	wrmsr
2:	xor %ecx, %ecx
	testl $ORACLE_CR4_PKE, REC_CR4(\bp)
	jz 3f
	mov REC_PKRU(\bp), %eax
	xor %edx, %edx
	wrpkru
	/* Nothing uses these entries before they are complete. */
3:	mov REC_WHERE(\bp, \cx, 8), \di
	mov REC_ENTRY(\bp, \cx, 8), \ax
	.if \bits == 32
	mov REC_ENTRY + 4(\bp, \cx, 8), \dx
	mov \dx, 4(\di)
	.endif
	mov \ax, (\di)
	inc %ecx
	cmp REC_LEVELS(\bp), %ecx
	jb 3b
	mov REC_ADDRESS(\bp), \bx
	cmpl $0, REC_RELOAD(\bp)
	jne 4f
	invlpg (\bx)
	jmp 5f
4:	mov REC_CR3(\bp), \ax
	mov \ax, %cr3
5:	push REC_FRAME(\bp)
	push REC_FRAME + 8(\bp)
	push REC_FRAME + 16(\bp)
	push REC_FRAME + 24(\bp)
	push REC_FRAME + 32(\bp)
	mov REC_VALUE(\bp), \ax
	\iret

	.globl oracle_fault\bits
oracle_fault\bits:
	pop \bx
	mov \bx, REC_ERROR(\bp)
	mov %cr2, \bx
	mov \bx, REC_CR2(\bp)
	movl $14, REC_VECTOR(\bp)
	jmp 6f
	.globl oracle_gate\bits
oracle_gate\bits:
	movl $ORACLE_GATE, REC_VECTOR(\bp)
6:	mov \ax, REC_VALUE(\bp)
	mov $ORACLE_STACK, \sp
	push $2
	popf
	xor %ecx, %ecx
7:	mov REC_WHERE(\bp, \cx, 8), \di
	mov (\di), \ax
	mov \ax, REC_AFTER(\bp, \cx, 8)
	.if \bits == 32
	mov 4(\di), \ax
	mov \ax, REC_AFTER + 4(\bp, \cx, 8)
	.endif
	inc %ecx
	cmp REC_LEVELS(\bp), %ecx
	jb 7b
	cmpl $0, REC_LAST(\bp)
	lea REC_SIZE(\bp), \bp
	je 1b
	xor %eax, %eax
	out %al, $ORACLE_PORT
	jmp 0b

	.globl oracle_other\bits
oracle_other\bits:
	mov $1, %al
	out %al, $ORACLE_PORT

	/* The accesses: EBX is the address, EAX the value. */
	.globl oracle_read\bits
oracle_read\bits:
	mov 8(\bx), %eax
	int $ORACLE_GATE
	.globl oracle_write\bits
oracle_write\bits:
	mov %eax, 8(\bx)
	int $ORACLE_GATE
	.globl oracle_fetch\bits
oracle_fetch\bits:
	call *\bx
	int $ORACLE_GATE
	.globl oracle_end\bits
oracle_end\bits:
	.code64
	.popsection
	.endm

	oracle 32, %eax, %ebx, %ecx, %edx, %edi, %ebp, %esp, iretl
	oracle 64, %rax, %rbx, %rcx, %rdx, %rdi, %rbp, %rsp, iretq

	.section .note.GNU-stack, "", @progbits
