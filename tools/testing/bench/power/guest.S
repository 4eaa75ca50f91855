/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest of the bench: little-endian, at one real address. Each loop is done R14 times
 * and says how many ticks of the time base it took, or what a hypercall returned.
 *
 * loop_enter, loop_remove, loop_bulk: hypercalls, with arguments from R15 on
 * loop_touch: a load each R16 bytes from R15 on
 */
	.section .rodata
	.balign 4
	.globl loop_enter, loop_remove, loop_bulk, loop_touch, loop_end
loop_enter:
	mftb 21
1:	li 3, 0x08
	li 4, 1
	sldi 4, 4, 39
	ld 5, 0(15)
	ld 6, 8(15)
	ld 7, 16(15)
	sc 1
	cmpdi 3, 0
	bne failed
	addi 15, 15, 24
	addic. 14, 14, -1
	bne 1b
	b done
loop_remove:
	mftb 21
1:	li 3, 0x04
	li 4, 0
	ld 5, 0(15)
	sc 1
	cmpdi 3, 0
	bne failed
	addi 15, 15, 24
	addic. 14, 14, -1
	bne 1b
	b done
loop_bulk:
	mftb 21
1:	li 3, 0x124
	ld 4, 0(15)
	ld 5, 8(15)
	ld 6, 16(15)
	ld 7, 24(15)
	ld 8, 32(15)
	ld 9, 40(15)
	ld 10, 48(15)
	ld 11, 56(15)
	sc 1
	cmpdi 3, 0
	bne failed
	addi 15, 15, 64
	addic. 14, 14, -1
	bne 1b
	b done
loop_touch:
	mftb 21
1:	ld 4, 0(15)
	add 15, 15, 16
	addic. 14, 14, -1
	bne 1b
done:
	mftb 4
	subf 4, 21, 4
	li 3, 0x7000
	sc 1
failed:
	mr 4, 3
	li 3, 0x7002
	sc 1
loop_end:
	.section .note.GNU-stack, "", @progbits
