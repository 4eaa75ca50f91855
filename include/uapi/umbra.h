/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What umbra has and KVM's ABI has not.
 *
 * Everything else that /dev/umbra speaks is <linux/kvm.h>, API version 12. The
 * numbers here never collide with KVM's: the ioctl type and the base of the
 * capability numbers are umbra's own, so a client may try them on any node and
 * take -ENOTTY, or 0 from KVM_CHECK_EXTENSION, for "not umbra".
 *
 * Unless stated otherwise a reserved or padding field must be zero (-EINVAL),
 * and each structure is wholly written on success.
 */
#ifndef _UAPI_UMBRA_H
#define _UAPI_UMBRA_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define UMBRAIO 0xDC

/* Numbers for KVM_CHECK_EXTENSION, on the node and on a VM. */
#define UMBRA_CAP_BASE		0x756d0000
/* UMBRA_SET_MMU, UMBRA_GET_MMU; the value is a mask of 1 << UMBRA_MMU_*. */
#define UMBRA_CAP_MMU		(UMBRA_CAP_BASE + 0)
/* UMBRA_AUDIT, UMBRA_GFN_INFO, UMBRA_COUNTERS. */
#define UMBRA_CAP_AUDIT		(UMBRA_CAP_BASE + 1)
/* UMBRA_TEST_HOOK; 0 but in test builds. */
#define UMBRA_CAP_TEST_HOOK	(UMBRA_CAP_BASE + 2)

/* How guest memory is mapped. */
#define UMBRA_MMU_TDP		0
#define UMBRA_MMU_SHADOW	1

/*
 * Who keeps a mapped page in memory. NOTIFIED: nobody; the host takes the page
 * and the mapping goes with it. PINNED: the mapping does; reclaim passes it by.
 */
#define UMBRA_POLICY_NOTIFIED	0
#define UMBRA_POLICY_PINNED	1

/**
 * struct umbra_mmu_config - the MMU of a VM
 * @mode: one of UMBRA_MMU_*
 * @policy: one of UMBRA_POLICY_*
 * @reserved: zero
 *
 * UMBRA_SET_MMU: -EBUSY once the VM has a vCPU or a memory slot, -EINVAL for
 * a number that does not exist, -EOPNOTSUPP for a mode that this host lacks.
 */
struct umbra_mmu_config {
	__u32 mode;
	__u32 policy;
	__u64 reserved[2];
};

/**
 * struct umbra_audit - verdict of one run of the audit over a VM
 * @violations: rules found broken; each has a line in dmesg
 * @tables: page-table pages visited
 * @sptes: present leaf entries visited
 * @refs_taken: page references taken by this VM since it was created
 * @refs_released: page references given back since then
 * @refs_held: of them, those that present sptes account for (policy PINNED)
 * @skipped: entries not compared with the host because a change of the host's
 *	own page tables was under way
 * @reserved: zero
 *
 * UMBRA_AUDIT: 0 whatever the verdict, -EPERM with module parameter audit=0 and
 * without CAP_SYS_ADMIN.
 */
struct umbra_audit {
	__u64 violations;
	__u64 tables;
	__u64 sptes;
	__u64 refs_taken;
	__u64 refs_released;
	__u64 refs_held;
	__u64 skipped;
	__u64 reserved[1];
};

/* Bits of struct umbra_gfn_info.flags. */
#define UMBRA_GFN_SLOT		0x01 /* a memory slot holds the gfn */
#define UMBRA_GFN_READONLY	0x02 /* the slot is read-only */
#define UMBRA_GFN_LOGGED	0x04 /* the slot logs dirty pages */
#define UMBRA_GFN_PRESENT	0x08 /* a translation is installed */
#define UMBRA_GFN_WRITABLE	0x10 /* the translation allows writes */
#define UMBRA_GFN_ACCESSED	0x20 /* A is set in it */
#define UMBRA_GFN_DIRTY		0x40 /* D is set in it */

/**
 * struct umbra_gfn_info - what one guest frame maps to right now
 * @gfn: in: guest frame number
 * @hva: host virtual address of the frame; 0 without UMBRA_GFN_SLOT
 * @pfn: host frame number; 0 without UMBRA_GFN_PRESENT
 * @spte: the raw translation; 0 without UMBRA_GFN_PRESENT
 * @level: size of the mapping: 1 is 4K, 2 is 2M, 3 is 1G; 0 if not present
 * @flags: UMBRA_GFN_*
 * @slot: number of the slot, as given to KVM_SET_USER_MEMORY_REGION
 * @sptes: how many translations of the frame are installed
 *
 * UMBRA_GFN_INFO: @pfn and @spte are 0 without CAP_SYS_ADMIN; -EINVAL for a
 * gfn beyond the guest's physical address space.
 */
struct umbra_gfn_info {
	__u64 gfn;
	__u64 hva;
	__u64 pfn;
	__u64 spte;
	__u32 level;
	__u32 flags;
	__u32 slot;
	__u32 sptes;
};

/**
 * struct umbra_counters - what the whole module holds
 * @vms: VMs alive
 * @vcpus: vCPUs alive
 * @tables: page-table pages allocated and not yet freed
 * @refs_taken: page references taken since the module was loaded
 * @refs_released: page references given back since then
 * @mappings: present leaf sptes
 * @reserved: zero
 *
 * UMBRA_COUNTERS waits for what is being freed in the background, so that after
 * the last VM is gone all but @refs_taken and @refs_released are 0, and those
 * two are equal.
 */
struct umbra_counters {
	__u64 vms;
	__u64 vcpus;
	__u64 tables;
	__u64 refs_taken;
	__u64 refs_released;
	__u64 mappings;
	__u64 reserved[2];
};

/* Faults that a test build can put in, to show that they are found. */
#define UMBRA_HOOK_NO_FLUSH	1 /* arg 1: omit remote TLB flushes; arg 0: stop */
#define UMBRA_HOOK_SPTE_PFN	2 /* arg gfn: let its spte name another page */
#define UMBRA_HOOK_SPTE_WRITE	3 /* arg gfn: make its spte writable */
#define UMBRA_HOOK_SPTE_LOST	4 /* arg gfn: clear its spte behind the accounts */
#define UMBRA_HOOK_REF_LEAK	5 /* arg n: count n references as taken */
#define UMBRA_HOOK_TABLE_PARENT	6 /* arg gfn: corrupt the back link of its table */
#define UMBRA_HOOK_NO_RETRY	7 /* arg 1: ignore the invalidation sequence; 0: stop */
#define UMBRA_HOOK_ALLOC_FAIL	8 /* arg n: fail the n-th allocation from now on */
#define UMBRA_HOOK_REPAIR	9 /* make the accounts agree again after 4 or 5 */
#define UMBRA_HOOK_SUSPEND	21 /* suspend and resume the last CPU online; else -EBUSY */

/**
 * struct umbra_test_hook - put one fault into a VM (test builds only)
 * @hook: one of UMBRA_HOOK_*
 * @pad: zero
 * @arg: as the hook says
 *
 * UMBRA_TEST_HOOK: -ENOTTY in a build without UMBRA_TEST=1, -ENOENT when the
 * gfn of @arg has no spte, -EINVAL for an unknown hook.
 */
struct umbra_test_hook {
	__u32 hook;
	__u32 pad;
	__u64 arg;
};

/* On a VM. */
#define UMBRA_SET_MMU	_IOW(UMBRAIO, 0x01, struct umbra_mmu_config)
#define UMBRA_GET_MMU	_IOR(UMBRAIO, 0x02, struct umbra_mmu_config)
#define UMBRA_AUDIT	_IOR(UMBRAIO, 0x03, struct umbra_audit)
#define UMBRA_GFN_INFO	_IOWR(UMBRAIO, 0x04, struct umbra_gfn_info)
#define UMBRA_TEST_HOOK	_IOW(UMBRAIO, 0x05, struct umbra_test_hook)
/* On the node. */
#define UMBRA_COUNTERS	_IOR(UMBRAIO, 0x10, struct umbra_counters)

#endif
