/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * POWER's part of the objects that the shared layers define.
 */
#ifndef _UMBRA_ARCH_TYPES_H
#define _UMBRA_ARCH_TYPES_H

#include <linux/spinlock.h>
#include <umbra/revmap.h>
#include <umbra/types.h>

/**
 * struct umbra_hpt - a guest's hashed page table
 * @entries: two doublewords for each HPTE, big endian, as the CPU wants them; NULL
 *	before it is made
 * @rev: for each HPTE, what the guest knows of it, and its place in a ring
 * @changed: a bit for each HPTE whose guest's view was changed since it was last read for
 *	migration; R and C that the hardware notes are not in it
 * @order: log2 of its size in bytes
 * @large: an HPTE of more than one host page was entered
 */
struct umbra_hpt {
	__be64 *entries;
	struct umbra_rev *rev;
	unsigned long *changed;
	unsigned int order;
	bool large;
};

/**
 * struct umbra_arch_mmu - the translations of a guest-physical address space
 * @hpt: its table; replaced with mmu->slots_lock held and mmu->lock held for writing
 * @hpt_gen: grows when the table is emptied or replaced; as @hpt
 * @next: a table that KVM_PPC_RESIZE_HPT_PREPARE made; guarded by mmu->slots_lock
 * @lpid: the partition's number for the hardware; 0 where there is no hypervisor mode
 * @vrma: the table has the HPTEs of the guest's real mode, and the hardware the table;
 *	written under mmu->lock held for writing
 * @tlbie_lock: one invalidation by the whole machine at a time
 */
struct umbra_arch_mmu {
	struct umbra_hpt hpt;
	unsigned long hpt_gen;
	struct umbra_hpt next;
	u32 lpid;
	bool vrma;
	spinlock_t tlbie_lock;	/* around tlbie ... tlbsync */
};

#endif
