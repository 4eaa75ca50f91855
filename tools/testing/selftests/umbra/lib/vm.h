/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's side of a test: VMs, memory slots, vCPUs, runs and their exits.
 *
 * Which node, MMU and page policy a VM gets is chosen by the environment, so
 * that every program runs in every mode, and on stock KVM as well:
 *
 *	UMBRA_NODE=/dev/kvm		default /dev/umbra
 *	UMBRA_TEST_MMU=tdp|shadow	default: the module's
 *	UMBRA_TEST_POLICY=notified|pinned
 *
 * Functions without an error in their description do not fail: they print what
 * went wrong and end the process with status 1, which the harness reports.
 *
 * Layout of guest physical memory:
 *
 *	0		boot memory of 16 MiB: first page for real mode code
 *	1 MiB		page tables, GDT, IDT, TSSs and stacks
 *	4 MiB		copy of the test program
 *	1.5 GiB		what a test adds; host, guest virtual and guest physical
 *			address are the same there (vm_mem()). The host puts a
 *			static program's heap anywhere in the first GiB.
 *	3 GiB		never in a slot: MMIO
 */
#ifndef _UMBRA_TEST_VM_H
#define _UMBRA_TEST_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <sys/types.h>

#include "guest.h"
#include "umbra.h"

#define PAGE_4K 0x1000UL
#define PAGE_2M 0x200000UL
#define PAGE_1G 0x40000000UL

#define BOOT_SLOT 0
#define BOOT_SIZE (16UL << 20)
#define TEST_MEM 0x60000000UL
#define TEST_MMIO 0xc0000000UL
#define MAX_VCPUS 8

/* Segment selectors in the GDT of every VM. */
#define SEL_CODE64 0x08
#define SEL_DATA 0x10
#define SEL_CODE32 0x18
#define SEL_CODE16 0x20
#define SEL_DATA16 0x28
#define SEL_TSS(id) (0x40 + (id) * 16)

/* Bits of a guest page-table entry, for guest_map(). */
#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_PS BIT(7)
#define PTE_NX BIT(63)

struct vcpu {
	struct vm *vm;
	int id;
	int fd;
	struct kvm_run *run;
	struct ucall uc;	/* the last one, see vcpu_next() */
};

struct vm {
	int fd;
	u8 *boot;		/* hva of gpa 0 */
	u64 next_table;		/* gpa of the next free page-table page */
	u64 cr3;
	u64 mem_end;		/* where vm_mem() goes on */
	int next_slot;
	size_t run_size;	/* bytes mapped at vcpu->run */
	struct vcpu *vcpu[MAX_VCPUS];
};

/* --- the node (node.c) --- */

/**
 * node_path() - the device node under test
 */
const char *node_path(void);

/**
 * node_open() - open the node
 *
 * Returns a file descriptor, or -errno.
 */
int node_open(void);

/**
 * node_has() - KVM_CHECK_EXTENSION on the node
 */
int node_has(long cap);

/**
 * node_unfit() - why the tests cannot run here
 *
 * Returns NULL when the node can be opened, speaks version 12 and offers what
 * UMBRA_TEST_MMU and UMBRA_TEST_POLICY ask for; else the reason.
 */
const char *node_unfit(void);

/**
 * node_counters() - UMBRA_COUNTERS
 *
 * Returns false when the node has none (UMBRA_CAP_AUDIT is 0).
 */
bool node_counters(struct umbra_counters *c);

/**
 * node_leftovers() - what should be gone and is not
 *
 * Returns NULL when no VM, vCPU, page-table page or mapping is left and every
 * page reference was given back, or when the node has no counters; else a text
 * that says what is left.
 */
const char *node_leftovers(void);

/* --- VMs and memory (vm.c) --- */

/**
 * vm_create_bare() - a VM without memory or vCPU
 */
struct vm *vm_create_bare(void);

/**
 * vm_create() - a VM with boot memory that holds the program and page tables
 *
 * Guest virtual addresses below 4 GiB map to the same physical ones, by 2M
 * pages, readable, writable and executable in ring 0.
 */
struct vm *vm_create(void);

/**
 * vm_create_mmu() - vm_create() with the MMU that is asked for
 * @mode: UMBRA_MMU_TDP or UMBRA_MMU_SHADOW, whatever the environment says
 *
 * Returns NULL when the node does not have it.
 */
struct vm *vm_create_mmu(u32 mode);

/**
 * vm_close() - close the VM and its vCPUs without a look at it
 */
void vm_close(struct vm *vm);

/**
 * vm_free() - end a test: audit the VM, close it, look for what it left
 *
 * The process fails when the audit finds a violation. Leftovers are looked for
 * only when this was the process's last VM.
 */
void vm_free(struct vm *vm);

/**
 * vm_audit() - run the audit
 *
 * Returns the number of violations, 0 where there is no audit.
 */
u64 vm_audit(struct vm *vm);

/**
 * vm_set_slot() - KVM_SET_USER_MEMORY_REGION
 *
 * Returns 0 or -errno.
 */
int vm_set_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, const void *hva);

/**
 * vm_add_slot() - a slot over memory the test has mapped
 *
 * Returns the slot's number.
 */
int vm_add_slot(struct vm *vm, u32 flags, u64 gpa, u64 size, const void *hva);

/**
 * vm_mem() - anonymous memory and a slot over it
 * @size: bytes, a multiple of 4K
 *
 * Returns its address, which is the same in host and guest: at or above
 * TEST_MEM, 2M aligned. Not populated and without huge pages.
 */
void *vm_mem(struct vm *vm, size_t size);

/**
 * vm_reserve() - as vm_mem(), but without memory or slot
 * @size: bytes
 * @align: of the address, a power of two, 2M or more
 *
 * Returns an address that is free in the host, for mmap() with MAP_FIXED.
 */
void *vm_reserve(struct vm *vm, size_t size, size_t align);

/**
 * vm_stat() - one statistic of the VM from debugfs
 *
 * Returns its value, or -1 when it does not exist or debugfs is not mounted.
 */
long vm_stat(struct vm *vm, const char *name);

/**
 * vm_gfn_info() - UMBRA_GFN_INFO
 *
 * Returns false where there is none.
 */
bool vm_gfn_info(struct vm *vm, u64 gpa, struct umbra_gfn_info *info);

/**
 * vm_try() - an ioctl on the VM
 *
 * Returns 0 or -errno.
 */
int vm_try(struct vm *vm, unsigned long request, const void *arg);

/**
 * vm_enable_cap() - KVM_ENABLE_CAP on the VM
 *
 * Returns 0 or -errno.
 */
int vm_enable_cap(struct vm *vm, u32 cap, u64 arg);

/**
 * vm_hook() - UMBRA_TEST_HOOK
 *
 * Returns 0 or -errno.
 */
int vm_hook(struct vm *vm, u32 hook, u64 arg);

/**
 * vm_dirty_log() - KVM_GET_DIRTY_LOG
 * @bitmap: one bit for each 4K page, in units of 64
 *
 * Returns 0 or -errno.
 */
int vm_dirty_log(struct vm *vm, u32 slot, u64 *bitmap);

/* --- the guest's address space (paging.c) --- */

/**
 * guest_map() - map guest virtual to guest physical memory
 * @gva: aligned to @page
 * @gpa: aligned to @page
 * @size: bytes, a multiple of @page
 * @page: PAGE_4K, PAGE_2M or PAGE_1G
 * @flags: PTE_*; without PTE_P the range is unmapped
 *
 * A larger page in the way is split first. The guest's TLB is the caller's
 * affair.
 */
void guest_map(struct vm *vm, u64 gva, u64 gpa, u64 size, u64 page, u64 flags);

/**
 * guest_pte() - where the guest's page tables translate @gva
 * @level: out: 1 for 4K, 2 for 2M, 3 for 1G; may be NULL
 *
 * Returns the host's pointer to the leaf entry.
 */
u64 *guest_pte(struct vm *vm, u64 gva, int *level);

/**
 * boot_hva() - the host's view of boot memory at @gpa
 */
void *boot_hva(struct vm *vm, u64 gpa);

/**
 * vm_set_handler() - guest_set_handler() from outside
 */
void vm_set_handler(struct vm *vm, unsigned int vector, guest_handler_t fn);

/* --- vCPUs (vcpu.c) --- */

/**
 * vcpu_create() - a vCPU with the CPUID that the node supports
 * @id: below MAX_VCPUS
 */
struct vcpu *vcpu_create(struct vm *vm, int id);

/**
 * vcpu_start() - let the next run begin at @fn(@arg) in 64-bit mode
 *
 * When @fn returns, the guest says UCALL_DONE.
 */
void vcpu_start(struct vcpu *vcpu, void (*fn)(void *arg), void *arg);

/**
 * vcpu_start_protected() - begin at @eip in 32-bit protected mode, no paging
 */
void vcpu_start_protected(struct vcpu *vcpu, u32 eip, u32 esp);

/**
 * vcpu_start_real() - begin at @ip, segment 0, in real mode
 */
void vcpu_start_real(struct vcpu *vcpu, u16 ip, u16 sp);

/**
 * vcpu_run() - KVM_RUN once
 *
 * Returns 0 or -errno. The exit is in vcpu->run.
 */
int vcpu_run(struct vcpu *vcpu);

/**
 * vcpu_next() - run until the guest says something
 *
 * Runs again after exits by signals. A guest assertion that failed is printed
 * and ends the process. Returns the ucall's command, which is in vcpu->uc, or
 * UCALL_NONE for any other exit, which is in vcpu->run.
 */
u64 vcpu_next(struct vcpu *vcpu);

/**
 * vcpu_sync() - run until the guest reaches @stage
 */
void vcpu_sync(struct vcpu *vcpu, u64 stage);

/**
 * vcpu_done() - run until the guest function returns
 *
 * Stages on the way are passed by.
 */
void vcpu_done(struct vcpu *vcpu);

/**
 * vcpu_call() - vcpu_start() and vcpu_done()
 */
void vcpu_call(struct vcpu *vcpu, void (*fn)(void *arg), void *arg);

/**
 * vcpu_spawn() - vcpu_done() in a thread of its own
 */
pthread_t vcpu_spawn(struct vcpu *vcpu);

/**
 * vcpu_join() - wait for the thread of vcpu_spawn()
 */
void vcpu_join(pthread_t thread);

/**
 * await() - give way until *@counter has advanced by @n
 *
 * For "the guest has been over all of it since": no time is assumed, the
 * harness ends a test in which the guest hangs.
 */
void await(const shared_u64 *counter, u64 n);

/**
 * vcpu_exit_name() - a text for the exit in vcpu->run
 */
const char *vcpu_exit_name(struct vcpu *vcpu);

void vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs);
void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs);
void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs);

/**
 * vcpu_get_msr() - one MSR by KVM_GET_MSRS
 *
 * Returns false when the node refuses it.
 */
bool vcpu_get_msr(struct vcpu *vcpu, u32 msr, u64 *value);
bool vcpu_set_msr(struct vcpu *vcpu, u32 msr, u64 value);

/**
 * umbra_cpuid() - KVM_GET_SUPPORTED_CPUID
 *
 * Returns it in memory that stays valid.
 */
const struct kvm_cpuid2 *umbra_cpuid(void);

/* --- ending a test --- */

/**
 * die() - print why, with errno, and end the process with status 1
 */
void __noreturn __printf(1, 2) die(const char *fmt, ...);

#endif
