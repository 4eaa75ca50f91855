/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Boot memory: where the library itself keeps what. Tests use vm.h.
 */
#ifndef _UMBRA_TEST_PAGING_H
#define _UMBRA_TEST_PAGING_H

#include "guest.h"

struct vm;

#define BOOT_TABLES 0x100000UL	/* page tables, upwards */
#define BOOT_TABLES_END 0x300000UL
#define BOOT_GDT 0x300000UL
#define BOOT_IDT 0x301000UL
#define BOOT_HANDLERS 0x302000UL	/* guest_handler_t[256] */
#define BOOT_TSS 0x304000UL	/* one page each vCPU */
#define BOOT_AGENTS 0x30e000UL	/* command blocks of agent.c */
#define BOOT_STACKS 0x310000UL	/* STACK_SIZE each vCPU */
#define BOOT_IMAGE 0x400000UL

#define STACK_SIZE 0x8000UL

/**
 * guest_tables_init() - write page tables, GDT, IDT, and the identity map
 */
void guest_tables_init(struct vm *vm);

/**
 * vcpu_mmap_size() - KVM_GET_VCPU_MMAP_SIZE
 */
size_t vcpu_mmap_size(void);

/* Entry points of the 256 gates, 16 bytes each (entry.S). */
extern const char guest_vectors[];

/* Where a guest function returns to. */
void guest_returned(void);

/* Called by entry.S. */
void guest_dispatch(struct guest_frame *frame);
void guest_say_done(void);

/* Pairs of instruction and continuation, made by guest_try(); maybe none. */
struct guest_extable {
	u64 insn, fixup;
};

extern const struct guest_extable __start_guest_extable[] __weak;
extern const struct guest_extable __stop_guest_extable[] __weak;

#endif
