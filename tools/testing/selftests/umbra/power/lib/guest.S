/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest code: little-endian, position independent.
 *
 * guest_sum: R5 doublewords, R7 bytes apart, from R6 on: add 1 to each, say their sum.
 * guest_watch: read from R6 until the doubleword at R8 is not 0; each must be R9.
 * guest_cede: with R5 in the decrementer; guest_prod: of vCPU R4; they say what came of it.
 */
	.section .rodata
	.balign 4
	.globl guest_sum, guest_sum_end, guest_watch, guest_watch_end
	.globl guest_cede, guest_cede_end, guest_prod, guest_prod_end
guest_sum:
	li 4, 0
	mtctr 5
1:	ld 10, 0(6)
	addi 10, 10, 1
	std 10, 0(6)
	add 4, 4, 10
	add 6, 6, 7
	bdnz 1b
	li 3, 0x7000
	sc 1
guest_sum_end:
guest_watch:
1:	ld 4, 0(6)
	cmpd 4, 9
	bne 2f
	addi 10, 10, 1
	ld 7, 0(8)
	cmpdi 7, 0
	beq 1b
	mr 4, 10
	li 3, 0x7000
	sc 1
2:	li 3, 0x7002
	sc 1
guest_watch_end:
guest_cede:
	mtdec 5
	li 3, 0xe0
	sc 1
	mr 4, 3
	li 3, 0x7000
	sc 1
guest_cede_end:
guest_prod:
	li 3, 0xe8
	sc 1
	mr 4, 3
	li 3, 0x7000
	sc 1
guest_prod_end:
	.section .note.GNU-stack, "", @progbits
