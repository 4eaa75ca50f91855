/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the POWER tests share: a VM whose hashed page table is driven by hand.
 */
#ifndef HPT_H
#define HPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvm.h>
#include <umbra.h>

/* PAPR: numbers, return codes and flags of the hypercalls. */
#define H_SUCCESS		0
#define H_BUSY			1
#define H_PARAMETER		-4
#define H_PTEG_FULL		-6
#define H_NOT_FOUND		-7

#define H_REMOVE		0x04
#define H_ENTER			0x08
#define H_READ			0x0c
#define H_CLEAR_MOD		0x10
#define H_CLEAR_REF		0x14
#define H_PROTECT		0x18
#define H_PAGE_INIT		0x2c
#define H_BULK_REMOVE		0x124

/* Bit 0 is the highest. */
#define PPC_BIT(n)		(1ULL << (63 - (n)))
#define H_EXACT			PPC_BIT(24)
#define H_READ_4		PPC_BIT(26)
#define H_AVPN			PPC_BIT(32)
#define H_ANDCOND		PPC_BIT(33)
#define H_ZERO_PAGE		PPC_BIT(48)
#define H_COPY_PAGE		PPC_BIT(49)

/* Power ISA 2.06: an HPTE. */
#define V_1T			(1ULL << 62)
#define V_LARGE			4ULL
#define V_SECONDARY		2ULL
#define V_VALID			1ULL
#define R_PP0			(1ULL << 63)
#define R_PP			3ULL
#define R_N			4ULL
#define R_G			8ULL
#define R_M			0x10ULL
#define R_I			0x20ULL
#define R_W			0x40ULL
#define R_C			0x80ULL
#define R_R			0x100ULL
#define R_KEY_LO		0xe00ULL
#define R_KEY_HI		(3ULL << 60)

/* The second doubleword of an SLB entry. */
#define SLB_1T			(1ULL << 62)
#define SLB_KS			0x800ULL
#define SLB_KP			0x400ULL
#define SLB_N			0x200ULL
#define SLB_64K			0x110ULL

#define DSISR_NOHPTE		0x40000000
#define DSISR_PROTFAULT		0x08000000
#define DSISR_KEYFAULT		0x00200000
#define ISI_NOPT		0x40000000
#define ISI_N_G			0x10000000

/**
 * struct hpt_vm - a VM with one vCPU and a slot at guest address 0
 * @mem: the slot's memory
 * @pages: its size in host pages
 * @entries: HPTEs of its table
 */
struct hpt_vm {
	int node, fd, vcpu;
	uint8_t *mem;
	size_t pages;
	uint64_t entries;
};

extern size_t page_size;
extern unsigned int page_shift;

/* Each of these ends the program where what cannot fail does. */
void hpt_vm_open(struct hpt_vm *vm, size_t pages, unsigned int order);
void hpt_vm_close(struct hpt_vm *vm);
/* Audit it, close it, and see that nothing is left of it, nor of another: how much is wrong. */
int hpt_vm_end(struct hpt_vm *vm);
int hpt_vm_slot(struct hpt_vm *vm, unsigned int slot, uint64_t gpa, void *mem, size_t pages,
		unsigned int flags);

long hcall(struct hpt_vm *vm, uint64_t *gpr);
long h_enter(struct hpt_vm *vm, uint64_t flags, uint64_t index, uint64_t v, uint64_t r,
	     uint64_t *at);
long h_remove(struct hpt_vm *vm, uint64_t flags, uint64_t index, uint64_t avpn,
	      uint64_t *v, uint64_t *r);
long h_read(struct hpt_vm *vm, uint64_t index, uint64_t *v, uint64_t *r);

int hpt_access(struct hpt_vm *vm, struct umbra_hpt_access *a);
int hpt_load(struct hpt_vm *vm, uint64_t ea, uint64_t slbv, struct umbra_hpt_access *a);
int hpt_store(struct hpt_vm *vm, uint64_t ea, uint64_t slbv, uint64_t data,
	      struct umbra_hpt_access *a);

uint64_t hpt_violations(struct hpt_vm *vm);
void hpt_gfn_info(struct hpt_vm *vm, uint64_t gfn, struct umbra_gfn_info *info);
void hpt_counters(struct hpt_vm *vm, struct umbra_counters *c);
int hpt_hook(struct hpt_vm *vm, unsigned int hook, uint64_t arg);

/* Where an address is looked for: the first index of its group, and its doubleword. */
uint64_t hash_group(struct hpt_vm *vm, uint64_t ea, uint64_t slbv, bool secondary);
uint64_t hpte_v(uint64_t ea, uint64_t slbv);

#endif
