/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest code in assembly: the exception vectors and the end of a guest
 * function. Each vector pushes an error code if the CPU did not, then its
 * number, and goes on at the common part, which makes a struct guest_frame.
 */
	.text
	.balign 16
	.globl guest_vectors
guest_vectors:
	vector = 0
	.rept 256
	.balign 16
	/* #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX push an error code. */
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || \
	      vector == 21 || vector == 29 || vector == 30)
	pushq $0
	.endif
	pushq $vector
	jmp guest_vector_common
	vector = vector + 1
	.endr

	.balign 16
guest_vector_common:
	push %rax
	push %rbx
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %rbp
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	mov %rsp, %rdi
	mov %rsp, %rbp
	and $-16, %rsp
	call guest_dispatch
	mov %rbp, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rbp
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	add $16, %rsp
	iretq

	.globl guest_returned
guest_returned:
	and $-16, %rsp
	call guest_say_done
	jmp guest_returned

	.section .note.GNU-stack, "", @progbits
