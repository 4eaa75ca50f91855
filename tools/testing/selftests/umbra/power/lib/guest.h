/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that runs on a VM of hpt.h: little-endian, one segment at effective address 0,
 * its code at CODE by real and by effective address.
 *
 * Interrupts are taken in big-endian order, since LPCR[ILE] is clear: their handlers are
 * written so. Those of storage, external interrupts and the decrementer say SAY_FAULT with
 * DAR, DSISR, SRR0 and SRR1.
 */
#ifndef GUEST_H
#define GUEST_H

#include "hpt.h"

/* Hypercalls that nobody serves: what the guest has to say. */
#define SAY_DONE	0x7000
#define SAY_FAULT	0x7001
#define SAY_WRONG	0x7002

#define MSR_REAL	(1ULL << 63 | 1)		/* SF, LE */
#define MSR_VIRTUAL	(MSR_REAL | 0x30)		/* IR, DR */
#define MSR_EE		(1ULL << 15)

#define PAGES		64
#define SLB		(0x5a5aULL << 12)
#define CODE		0x10000ULL	/* in the guest, by real and by effective address */
#define DATA		0x200000ULL	/* effective address of the pages that tests move */

/**
 * struct hpt_guest - a VM and the vCPU of it that runs
 * @runner: its descriptor; vm.vcpu, by which the table is driven, may be another
 * @run: its shared page
 * @regs: what guest_start() begins with
 */
struct hpt_guest {
	struct hpt_vm vm;
	int runner;
	struct kvm_run *run;
	struct kvm_regs regs;
};

/* lib/guest.S */
extern const uint32_t guest_sum[], guest_sum_end[], guest_watch[], guest_watch_end[],
	guest_cede[], guest_cede_end[], guest_prod[], guest_prod_end[];

/* False where no guest can run: vm is open all the same. */
bool guest_open(struct hpt_guest *g, unsigned int order);
/* Give a vCPU the segment; ends the program when that fails. */
void guest_segment(int vcpu);
/* As hpt_vm_end(). */
int guest_end(struct hpt_guest *g);

/* An HPTE for a host page, in the first place of its group. */
uint64_t page_index(struct hpt_guest *g, uint64_t ea);
long enter_page(struct hpt_guest *g, uint64_t ea, uint64_t gpa, uint64_t r);
void put_code(struct hpt_guest *g, const uint32_t *code, size_t len);
/* The exit's reason, or a negative errno; signals are passed over. */
int guest_run(struct hpt_guest *g);
int guest_start(struct hpt_guest *g, uint64_t msr);
/* H_CEDE with @ticks in the decrementer; what the guest said then, or -1. */
int guest_cedes(struct hpt_guest *g, uint64_t ticks);
uint64_t now_ms(void);
void on_cpu(int cpu);

#endif
