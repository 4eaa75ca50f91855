/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The world switch: from the host's registers to the guest's and back.
 *
 * void umbra_svm_switch(u64 *regs, struct umbra_svm_switch *sw)
 *
 * regs are the guest's general registers in encoding order; RAX and RSP are in
 * the VMCB. Called with interrupts off; returns with interrupts off and GIF set.
 *
 * The order is that of APM volume 2, 15.5 and 15.17: with GIF clear interrupts may
 * be enabled, so that a physical one ends the guest's run instead of waiting for
 * it. VMRUN keeps the host's basic state, VMSAVE/VMLOAD the rest; between the
 * VMLOAD of the guest's and that of the host's, GS is the guest's and nothing per
 * CPU can be reached.
 *
 * After the exit no register holds a value of the guest, and no return is
 * predicted from what the guest trained, before the first RET here.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>

#include "switch.h"

/* Kernels before 6.2 have one macro for entry and for VM exit. */
#ifndef UNTRAIN_RET_VM
#define UNTRAIN_RET_VM UNTRAIN_RET
#endif

#define REG(n) ((n) * 8)

/* VERW clears the CPU's buffers where the kernel found that it must. */
.macro CLEAR_BUFFERS
#if defined(X86_FEATURE_CLEAR_CPU_BUF_VM)
	ALTERNATIVE "jmp .Lclear_done_\@", "", X86_FEATURE_CLEAR_CPU_BUF_VM
	verw	umbra_verw_selector(%rip)
#elif defined(X86_FEATURE_CLEAR_CPU_BUF)
	ALTERNATIVE "jmp .Lclear_done_\@", "", X86_FEATURE_CLEAR_CPU_BUF
	verw	umbra_verw_selector(%rip)
#endif
.Lclear_done_\@:
.endm

.section .rodata
.balign 2
SYM_DATA_LOCAL(umbra_verw_selector, .word __KERNEL_DS)

.section .noinstr.text, "ax"

SYM_FUNC_START(umbra_svm_switch)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi
	push	%rsi

	clgi

	/* SPEC_CTRL last of all that speculates; only without V_SPEC_CTRL. */
	cmpb	$0, SWITCH_SPEC_CTRL(%rsi)
	je	.Lguest_spec_done
	mov	SWITCH_GUEST_SPEC(%rsi), %eax
	mov	SWITCH_GUEST_SPEC + 4(%rsi), %edx
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	wrmsr
.Lguest_spec_done:

	mov	SWITCH_VMCB(%rsi), %rax
	mov	REG(1)(%rdi), %rcx
	mov	REG(2)(%rdi), %rdx
	mov	REG(3)(%rdi), %rbx
	mov	REG(5)(%rdi), %rbp
	mov	REG(6)(%rdi), %rsi
	mov	REG(8)(%rdi), %r8
	mov	REG(9)(%rdi), %r9
	mov	REG(10)(%rdi), %r10
	mov	REG(11)(%rdi), %r11
	mov	REG(12)(%rdi), %r12
	mov	REG(13)(%rdi), %r13
	mov	REG(14)(%rdi), %r14
	mov	REG(15)(%rdi), %r15
	mov	REG(7)(%rdi), %rdi

	CLEAR_BUFFERS

	sti
	vmload	%rax
	vmrun	%rax
	vmsave	%rax
	cli

	/* The host's FS, GS, TR and MSRs; then per-CPU data is back. */
	mov	(%rsp), %rax
	mov	SWITCH_HOST(%rax), %rax
	vmload	%rax

	mov	8(%rsp), %rax
	mov	%rcx, REG(1)(%rax)
	mov	%rdx, REG(2)(%rax)
	mov	%rbx, REG(3)(%rax)
	mov	%rbp, REG(5)(%rax)
	mov	%rsi, REG(6)(%rax)
	mov	%rdi, REG(7)(%rax)
	mov	%r8, REG(8)(%rax)
	mov	%r9, REG(9)(%rax)
	mov	%r10, REG(10)(%rax)
	mov	%r11, REG(11)(%rax)
	mov	%r12, REG(12)(%rax)
	mov	%r13, REG(13)(%rax)
	mov	%r14, REG(14)(%rax)
	mov	%r15, REG(15)(%rax)

	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

	/* IMPORTANT: no RET, CALL or indirect branch may come before these. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT

	mov	(%rsp), %rsi
	cmpb	$0, SWITCH_SPEC_CTRL(%rsi)
	je	.Lhost_spec_done
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	mov	SWITCH_HOST_SPEC(%rsi), %eax
	mov	SWITCH_HOST_SPEC + 4(%rsi), %edx
	wrmsr
.Lhost_spec_done:
	/* A branch around the restore may not be predicted by the guest. */
	ALTERNATIVE "", "lfence", X86_FEATURE_MSR_SPEC_CTRL

	UNTRAIN_RET_VM

	stgi

	pop	%rsi
	pop	%rdi
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET
SYM_FUNC_END(umbra_svm_switch)
