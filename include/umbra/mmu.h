/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mmu/: what the MMUs of all architectures share. A struct umbra_mmu is one
 * guest-physical address space; struct umbra_mmu_vcpu is one vCPU's part in it.
 *
 * Locks, outermost first:
 *   vcpu mutex -> mmu->slots_lock -> mmu->srcu (read) -> mmap_lock (inside pfn/)
 *   -> mmu->lock -> an architecture's own small locks.
 * Nothing is allocated under mmu->lock. Interrupts stay on under it, because who
 * holds it may wait for other CPUs to leave the guest.
 */
#ifndef _UMBRA_MMU_H
#define _UMBRA_MMU_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <umbra/memslot.h>
#include <umbra/notifier.h>
#include <umbra/pfn.h>
#include <umbra/types.h>
#include <umbra/arch_types.h>
#include <uapi/umbra.h>

struct seq_file;
struct umbra_mmu;
struct umbra_mmu_vcpu;

/* Where a vCPU's thread is; see umbra_vcpu_enter_guest(). */
enum umbra_vcpu_mode {
	UMBRA_OUTSIDE_GUEST,
	UMBRA_IN_GUEST,
	UMBRA_EXITING_GUEST,
};

/**
 * struct umbra_cache - objects allocated before a lock is taken
 * @count: objects in @objects
 * @objects: zeroed pages
 *
 * Owned by one vCPU's thread, or by who holds mmu->slots_lock.
 */
#define UMBRA_CACHE_MAX 16
struct umbra_cache {
	unsigned int count;
	void *objects[UMBRA_CACHE_MAX];
};

int umbra_cache_topup(struct umbra_mmu *mmu, struct umbra_cache *cache,
		      unsigned int min);
void *umbra_cache_take(struct umbra_cache *cache);
void umbra_cache_give_back(struct umbra_cache *cache, void *table);
void umbra_cache_empty(struct umbra_mmu *mmu, struct umbra_cache *cache);
void *umbra_table_alloc(struct umbra_mmu *mmu, unsigned int order);
void umbra_table_free(struct umbra_mmu *mmu, void *table, unsigned int order);
#ifdef UMBRA_TEST
void umbra_cache_fail_in(u64 n);
#endif

/**
 * struct umbra_fault - one guest access that had no translation
 * @gpa: guest physical address
 * @gfn: its frame
 * @write: the access writes
 * @exec: the access fetches an instruction
 * @present: the hardware found a translation that did not allow the access
 * @nowait: the guest can do something else while the host brings the page
 * @slot: the slot that holds @gfn; valid while mmu->srcu is held
 * @hva: host virtual address of the frame
 * @seq: notifier sequence at the start of the lookup
 * @page: the frame
 * @level: size to map, when it is known
 *
 * The first six are the caller's and never change afterwards.
 */
struct umbra_fault {
	gpa_t gpa;
	gfn_t gfn;
	bool write;
	bool exec;
	bool present;
	bool nowait;

	struct umbra_memslot *slot;
	unsigned long hva;
	unsigned long seq;
	struct umbra_pfn page;
	int level;
};

/* What a fault came to; negative numbers are errors for KVM_RUN. */
enum umbra_fault_result {
	UMBRA_FAULT_RETRY = 0,	/* the guest may repeat the access */
	UMBRA_FAULT_EMULATE,	/* no memory there, or read-only: it is MMIO */
	UMBRA_FAULT_SLEEP,	/* umbra_mmu_fault() must be called, which may sleep */
	UMBRA_FAULT_WAIT,	/* with @nowait: the host has begun to read the page */
};

/**
 * struct umbra_audit_run - one run of the audit
 * @mmu: what is audited
 * @out: the counts for the caller
 * @where: who asked, for the dmesg lines
 * @host: the host's page tables may be read
 * @final: a violation that a lockless fault may cause for an instant is reported;
 *	before the last pass it is only remembered in @suspects
 * @suspects: such violations seen in this pass
 */
struct umbra_audit_run {
	struct umbra_mmu *mmu;
	struct umbra_audit *out;
	const char *where;
	bool host;
	bool final;
	unsigned int suspects;
};

/**
 * struct umbra_mmu_ops - one kind of MMU (TDP, shadow, HPT)
 * @name: for dmesg and debugfs
 * @init: make the empty root, before the first vCPU; may sleep; 0 or -ENOMEM
 * @destroy: free all that is left; nobody else can see the MMU; may sleep
 * @fast: may be NULL; without mmu->lock, restore what aging or write protection took away
 *	from a translation that is there; mmu->srcu held. True when the access can
 *	be repeated.
 * @alone: @map needs mmu->lock for writing
 * @prepared: is there all that @map may need besides the page?
 * @prepare: see to it; no lock held, may sleep; 0 or -ENOMEM
 * @map: install the faulting page, and neighbours that the host has. mmu->lock is
 *	held for reading and umbra_fault_stale() was asked. A fault whose page is
 *	known (fault->page.pfn is a frame) maps that; otherwise the host's page
 *	tables are read. UMBRA_FAULT_RETRY when the access can be repeated;
 *	UMBRA_FAULT_SLEEP when the page, a cache object or the exclusive lock is
 *	missing. Clears fault->page.counted when the mapping keeps the reference.
 * @map_exclusive: as @map, for a known page, with the lock held for writing
 * @unmap, @age, @test_age: as in struct umbra_notifier_ops
 * @harvest: may be NULL; mark in the slot's bitmap which gfns of [@first, @first +
 *	@count), counted from the slot's base, the hardware has noted as written since the
 *	last call; ends with the flush; mmu->lock held for writing
 * @wrprot: take write permission from each gfn of slot base + @offset whose bit
 *	is set in @mask; mmu->lock held for writing; true if a flush is owed
 * @wrprot_slot: write-protect a whole slot for the dirty log, splitting huge
 *	mappings while memory lasts and protecting them whole where it does not;
 *	slots_lock held; sleeps; ends with the flush
 * @merge_slot: the dirty log of a slot ended: make way for huge mappings where the
 *	host has them; slots_lock held, current->mm is mmu->mm; sleeps; ends with
 *	the flush
 * @zap_slot: remove each mapping of a slot that is gone, flush, and unlink its
 *	page tables; slots_lock held; sleeps
 * @reap: free what was unlinked, after all walkers of it have left; may be NULL
 * @zap_all: remove every mapping and flush; sleeps
 * @writing: this module is about to write to guest memory, within one page; what was made
 *	from those bytes is gone when it returns. mmu->lock held for writing; may be NULL,
 *	and @written is then
 * @written: it was written, in the same hold of the lock
 * @gfn_info: fill level, flags, pfn, spte and count; mmu->lock held for reading
 * @audit: check every entry; mmu->lock held for writing
 * @dump: print the tables; mmu->lock held for reading
 * @hook: put in a fault for a test; mmu->lock held for writing; test builds only
 *
 * Before the first vCPU there is no root, and the range operations find nothing.
 */
struct umbra_mmu_ops {
	const char *name;
	int (*init)(struct umbra_mmu *mmu);
	void (*destroy)(struct umbra_mmu *mmu);
	bool (*fast)(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault);
	bool alone;
	bool (*prepared)(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault);
	int (*prepare)(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault);
	int (*map)(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault);
	int (*map_exclusive)(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault);
	bool (*unmap)(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);
	bool (*age)(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);
	bool (*test_age)(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);
	void (*harvest)(struct umbra_mmu *mmu, struct umbra_memslot *slot,
			unsigned long first, unsigned long count);
	bool (*wrprot)(struct umbra_mmu *mmu, struct umbra_memslot *slot,
		       unsigned long offset, unsigned long mask);
	void (*wrprot_slot)(struct umbra_mmu *mmu, struct umbra_memslot *slot);
	void (*merge_slot)(struct umbra_mmu *mmu, struct umbra_memslot *slot);
	void (*zap_slot)(struct umbra_mmu *mmu, struct umbra_memslot *slot);
	void (*reap)(struct umbra_mmu *mmu);
	void (*zap_all)(struct umbra_mmu *mmu);
	void (*writing)(struct umbra_mmu *mmu, gpa_t gpa, size_t len);
	void (*written)(struct umbra_mmu_vcpu *mv, gpa_t gpa, size_t len);
	void (*gfn_info)(struct umbra_mmu *mmu, struct umbra_gfn_info *info);
	void (*audit)(struct umbra_audit_run *run);
	void (*dump)(struct umbra_mmu *mmu, struct seq_file *m);
#ifdef UMBRA_TEST
	int (*hook)(struct umbra_mmu *mmu, const struct umbra_test_hook *hook);
#endif
};

/**
 * struct umbra_mmu_stat - events and sizes of one VM's MMU
 *
 * Those that are counted per vCPU are in struct umbra_mmu_vcpu_stat.
 */
struct umbra_mmu_stat {
	atomic64_t pages[UMBRA_LEVEL_NUM];	/* present leaf sptes by level */
	atomic64_t tables;			/* page-table pages */
	atomic64_t tlb_flush;			/* remote flushes */
	atomic64_t unmapped;			/* sptes taken by the host */
	atomic64_t aged;			/* sptes found accessed */
	atomic64_t splits;			/* huge mappings split */
};

struct umbra_mmu_vcpu_stat {
	u64 pf_taken;		/* faults that entered umbra_mmu_fault*() */
	u64 pf_fixed;		/* ... that installed a translation */
	u64 pf_fast;		/* ... that @fast settled */
	u64 pf_spurious;	/* ... that found nothing to do */
	u64 pf_retry;		/* ... that had to look again: the host changed */
	u64 pf_mmio;		/* ... outside memory */
	u64 pf_around;		/* neighbours mapped besides */
	u64 mmu_unsync;		/* guest tables that went out of sync */
	u64 mmu_sync;		/* shadow pages brought in sync */
};

/**
 * struct umbra_mmu - one guest-physical address space over one process's memory
 * @mm: the process's memory; a reference (mmgrab) is held
 * @lock: guards the notifier state and the page tables' structure: faults install
 *	with it held for reading, by compare-and-exchange; who removes holds it for
 *	writing
 * @notifier: the host's changes
 * @srcu: readers of @memslots and walkers of page tables without @lock
 * @memslots: the published slots
 * @hva_tree: the slots by hva; guarded by @lock
 * @slots_lock: one writer of slots at a time
 * @ops: the kind of MMU
 * @mode: UMBRA_MMU_*, @policy: UMBRA_POLICY_*
 * @has_root: @ops made the root, @mode and @policy are fixed; guarded by
 *	@slots_lock
 * @max_gfn: first gfn beyond the guest's physical address space
 * @refs: page references
 * @vcpus: struct umbra_mmu_vcpu, added and never removed while the MMU lives
 * @tlb_gen: grows when a translation that a vCPU may have cached was taken away
 * @split_cache: page-table pages for splits; guarded by @slots_lock
 * @stat: counters
 * @arch: root and what else the architecture keeps
 * @id: number of the VM, for dmesg and debugfs
 */
struct umbra_mmu {
	struct mm_struct *mm;
	rwlock_t lock;
	struct umbra_notifier notifier;
	struct srcu_struct srcu;
	struct umbra_memslots __rcu *memslots;
	struct rb_root_cached hva_tree;
	struct mutex slots_lock; /* one writer of @memslots */
	const struct umbra_mmu_ops *ops;
	u32 mode;
	u32 policy;
	bool has_root;
	gfn_t max_gfn;
	struct umbra_refs refs;
	struct list_head vcpus;
	atomic64_t tlb_gen;
	struct umbra_cache split_cache;
	struct umbra_mmu_stat stat;
	struct umbra_arch_mmu arch;
	unsigned int id;
#ifdef UMBRA_TEST
	bool hook_no_flush;
	bool hook_no_retry;
#endif
};

/**
 * struct umbra_ring - pages that a vCPU made dirty (mmu/ring.c)
 * @entries: shared with userspace; NULL without a ring
 * @size: how many entries, a power of two; 0 without a ring
 * @dirty_index: entries written so far; its own thread's
 * @reset_index: of these, entries that userspace has done with; guarded by slots_lock
 */
struct umbra_ring {
	struct kvm_dirty_gfn *entries;
	u32 size;
	u32 dirty_index;
	u32 reset_index;
};

/**
 * struct umbra_mmu_vcpu - one vCPU's part
 * @mmu: the address space
 * @node: in mmu->vcpus
 * @mode: enum umbra_vcpu_mode
 * @cpu: the CPU it last entered the guest on; valid while @mode is not OUTSIDE
 * @tlb_gen: the mmu->tlb_gen that its cached translations are as new as
 * @next_gfn: behind the last page that the host was asked for; its own thread's
 * @cache: page-table pages for its faults
 * @ring: its dirty ring
 * @stat: counters; written by its own thread only
 */
struct umbra_mmu_vcpu {
	struct umbra_mmu *mmu;
	struct list_head node;
	int mode;
	int cpu;
	u64 tlb_gen;
	gfn_t next_gfn;
	struct umbra_cache cache;
	struct umbra_ring ring;
	struct umbra_mmu_vcpu_stat stat;
};

/* mmu/mmu.c: life */
int umbra_mmu_create(struct umbra_mmu *mmu, unsigned int id);
int umbra_mmu_configure(struct umbra_mmu *mmu, u32 mode, u32 policy);
void umbra_mmu_destroy(struct umbra_mmu *mmu);
int umbra_mmu_make_root(struct umbra_mmu *mmu);
void umbra_mmu_add_vcpu(struct umbra_mmu *mmu, struct umbra_mmu_vcpu *mv);
void umbra_mmu_free_vcpu(struct umbra_mmu_vcpu *mv);

/* mmu/fault.c */
int umbra_mmu_fault_atomic(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault);
int umbra_mmu_fault(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault);
bool umbra_fault_stale(struct umbra_mmu *mmu, const struct umbra_fault *fault);

/* mmu/flush.c */
int umbra_flush_init(void);
void umbra_flush_exit(void);
void umbra_mmu_flush(struct umbra_mmu *mmu);
void umbra_vcpu_expel(struct umbra_mmu_vcpu *mv);

/* mmu/slots.c */
void umbra_mmu_change_slot(struct umbra_mmu *mmu, struct umbra_memslots *set,
			   struct umbra_memslot *old, struct umbra_memslot *slot);

/* mmu/dirty.c */
int umbra_dirty_log_get(struct umbra_mmu *mmu, struct umbra_memslot *slot,
			void __user *bitmap);
int umbra_dirty_log_peek(struct umbra_memslot *slot, void __user *bitmap);
int umbra_dirty_log_clear(struct umbra_mmu *mmu, struct umbra_memslot *slot,
			  unsigned long first, unsigned long npages,
			  const void __user *bitmap);

/* mmu/ring.c */
int umbra_ring_create(struct umbra_mmu_vcpu *mv, u32 size);
void umbra_ring_destroy(struct umbra_mmu_vcpu *mv);
struct page *umbra_ring_page(struct umbra_mmu_vcpu *mv, unsigned long index);
bool umbra_ring_full(const struct umbra_mmu_vcpu *mv);
void umbra_mark_dirty(struct umbra_mmu_vcpu *mv, struct umbra_memslot *slot, gfn_t gfn);
int umbra_rings_reset(struct umbra_mmu *mmu);

static inline unsigned long umbra_ring_pages(u32 size)
{
	return PAGE_ALIGN(size * sizeof(struct kvm_dirty_gfn)) >> PAGE_SHIFT;
}

/* mmu/guest_mem.c; mmu->srcu held, may sleep; mm is current->mm */
int umbra_guest_read(struct umbra_mmu *mmu, gpa_t gpa, void *data, size_t len);
int umbra_guest_peek(struct umbra_mmu *mmu, gpa_t gpa, u8 *byte);
int umbra_guest_poke(struct umbra_mmu_vcpu *mv, gpa_t gpa, u8 byte);
int umbra_guest_write(struct umbra_mmu_vcpu *mv, gpa_t gpa, const void *data, size_t len);
int umbra_guest_update(struct umbra_mmu_vcpu *mv, struct umbra_memslot *slot, gpa_t gpa,
		       size_t len, int (*update)(void __user *to, void *arg), void *arg);

#ifdef UMBRA_TEST
/* mmu/hook.c */
void umbra_mmu_settle(struct umbra_mmu *mmu, const s64 *leaves, s64 held);
int umbra_mmu_hook(struct umbra_mmu *mmu, const struct umbra_test_hook *hook);
#endif

/* mmu/audit.c */
int umbra_audit(struct umbra_mmu *mmu, struct umbra_audit *out);
void umbra_audit_now(struct umbra_mmu *mmu, const char *where);
void umbra_audit_violation(struct umbra_audit_run *run, gfn_t gfn, int level,
			   u64 spte, const char *fmt, ...) __printf(5, 6);
void umbra_audit_racy(struct umbra_audit_run *run, gfn_t gfn, int level, u64 spte,
		      const char *fmt, ...) __printf(5, 6);

/* Module parameter audit=: never, on request, after every operation as well. */
extern int umbra_audit_mode;

/* As umbra_audit_now(), if audit=2. */
static inline void umbra_audit_after(struct umbra_mmu *mmu, const char *where)
{
	if (unlikely(umbra_audit_mode >= 2))
		umbra_audit_now(mmu, where);
}

/**
 * umbra_mmu_slots() - the published slots
 * @mmu: the MMU; the caller holds mmu->srcu or mmu->slots_lock
 */
static inline struct umbra_memslots *umbra_mmu_slots(struct umbra_mmu *mmu)
{
	return srcu_dereference_check(mmu->memslots, &mmu->srcu,
				      lockdep_is_held(&mmu->slots_lock));
}

/**
 * umbra_vcpu_enter_guest() - announce that this CPU will run the guest
 * @mv: the vCPU; interrupts are off
 *
 * From here to umbra_vcpu_left_guest() a flush or a kick interrupts this CPU. A
 * flush that came earlier is seen by comparing tlb_gen after this call: the
 * barrier orders the store of @mode before that load, as umbra_mmu_flush() orders
 * its store of tlb_gen before its load of @mode.
 *
 * Return: whether the vCPU's cached translations must be dropped first.
 */
static inline bool umbra_vcpu_enter_guest(struct umbra_mmu_vcpu *mv)
{
	u64 gen;

	mv->cpu = raw_smp_processor_id();
	/* Full barrier: see mmu/flush.c for what it is paired with. */
	smp_store_mb(mv->mode, UMBRA_IN_GUEST);
	gen = atomic64_read(&mv->mmu->tlb_gen);
	if (likely(gen == mv->tlb_gen))
		return false;
	mv->tlb_gen = gen;
	return true;
}

/* The guest is left, or was not entered after all; interrupts are still off. */
static inline void umbra_vcpu_left_guest(struct umbra_mmu_vcpu *mv)
{
	/* Whoever sees it knows that this CPU uses no translation any more. */
	smp_store_release(&mv->mode, UMBRA_OUTSIDE_GUEST);
}

/* Was the vCPU kicked since umbra_vcpu_enter_guest()? Interrupts are off. */
static inline bool umbra_vcpu_kicked(const struct umbra_mmu_vcpu *mv)
{
	return READ_ONCE(mv->mode) == UMBRA_EXITING_GUEST;
}

#endif
