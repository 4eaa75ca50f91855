/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hashed page table of a guest (Power ISA 2.06 book III-S, 5.7; PAPR 14.5.4).
 *
 * In memory an HPTE has the form that the CPU wants: that of ISA 2.06, or from POWER9 on
 * that of ISA 3.0, in which the segment size has moved to the second doubleword. Everywhere
 * else it is a struct hpte, in the form of 2.06, which is the one that PAPR speaks.
 *
 * States of an HPTE
 *	free		neither V nor ABSENT
 *	valid		V: the hardware translates by it. It is in the ring of its gfn
 *	absent		ABSENT: the guest has it, the hardware has not. An access ends in an
 *			HDSI or HISI, and hpt_map() makes it valid again
 * What the guest gave and may read back stands in rev->guest_r; an HPTE that is not valid
 * holds no address of the host's.
 *
 * Locks. With mmu->lock held for writing the table is the holder's. With it held for
 * reading, an HPTE changes only under its own lock, a bit of its first doubleword, and a
 * ring only under its word's. Order: one HPTE, then one word. Who holds a word's lock may
 * try for an HPTE's.
 */
#ifndef _UMBRA_HPT_H
#define _UMBRA_HPT_H

#include <linux/bit_spinlock.h>
#include <umbra/vm.h>
#include <asm/book3s/64/mmu-hash.h>
#include <asm/cputable.h>

/* Bits that the architecture leaves to software. */
#define HPTE_V_UMBRA_LOCK	0x40UL
#define HPTE_V_ABSENT		0x20UL
#define HPTE_V_USED		(HPTE_V_VALID | HPTE_V_ABSENT)
/* In rev->guest_r, where the guest's bit is reserved: the HPTE keeps a page pinned. */
#define HPTE_R_PINNED		HPTE_R_TS

#define HPT_ORDER_MIN		18
#define HPT_ORDER_DEFAULT	24
#define HPT_ORDER_MAX		34
#define HPTES_PER_GROUP		8

struct hpte {
	u64 v;
	u64 r;
};

static inline unsigned long hpt_count(const struct umbra_hpt *hpt)
{
	return 1UL << (hpt->order - 4);
}

static inline unsigned long hpt_hash_mask(const struct umbra_hpt *hpt)
{
	return (1UL << (hpt->order - 7)) - 1;
}

/*
 * The lock bit as a bit of the host's word; and a doubleword read once, or written once,
 * in one instruction: what the compiler makes of READ_ONCE() and a swap is ten.
 */
#ifdef __LITTLE_ENDIAN
#define HPTE_LOCK_NR	(56 + 6)
#define HPTE_LOAD	"ldbrx %0,%y1"
#define HPTE_STORE	"stdbrx %1,%y0"
#else
#define HPTE_LOCK_NR	6
#define HPTE_LOAD	"ldx %0,%y1"
#define HPTE_STORE	"stdx %1,%y0"
#endif

static inline u64 hpte_load(const __be64 *from)
{
	u64 value;

	asm volatile(HPTE_LOAD : "=r" (value) : "Z" (*from));
	return value;
}

static inline void hpte_store(__be64 *to, u64 value)
{
	asm volatile(HPTE_STORE : "=Z" (*to) : "r" (value));
}

static inline unsigned long *hpte_lock_word(struct umbra_hpt *hpt, unsigned long index)
{
	return (__force unsigned long *)&hpt->entries[2 * index];
}

/*
 * An HPTE is often locked by one function and let go by another, which sparse cannot
 * follow: it is not told.
 */
static inline void hpte_lock(struct umbra_hpt *hpt, unsigned long index)
{
	bit_spin_lock(HPTE_LOCK_NR, hpte_lock_word(hpt, index));
	__release(bitlock);
}

static inline bool hpte_trylock(struct umbra_hpt *hpt, unsigned long index)
{
	preempt_disable();
	if (!test_and_set_bit_lock(HPTE_LOCK_NR, hpte_lock_word(hpt, index)))
		return true;
	preempt_enable();
	return false;
}

static inline void hpte_unlock(struct umbra_hpt *hpt, unsigned long index)
{
	__acquire(bitlock);
	bit_spin_unlock(HPTE_LOCK_NR, hpte_lock_word(hpt, index));
}

/* Is one of these bits set in the first doubleword? They stand alike in both forms. */
static inline bool hpte_has(const struct umbra_hpt *hpt, unsigned long index, u64 v)
{
	return READ_ONCE(hpt->entries[2 * index]) & cpu_to_be64(v);
}

/* The HPTE as it is now, without its lock bit. */
static inline struct hpte hpte_read(const struct umbra_hpt *hpt, unsigned long index)
{
	struct hpte h;

	h.v = hpte_load(&hpt->entries[2 * index]) & ~HPTE_V_UMBRA_LOCK;
	h.r = hpte_load(&hpt->entries[2 * index + 1]);
	if (cpu_has_feature(CPU_FTR_ARCH_300)) {
		h.v = hpte_new_to_old_v(h.v, h.r);
		h.r = hpte_new_to_old_r(h.r);
	}
	return h;
}

/* Write the second doubleword of an HPTE that is not valid; the first stays. */
static inline void hpte_write_r(struct umbra_hpt *hpt, unsigned long index, struct hpte h)
{
	if (cpu_has_feature(CPU_FTR_ARCH_300))
		h.r = hpte_old_to_new_r(h.v, h.r);
	hpte_store(&hpt->entries[2 * index + 1], h.r);
}

/* Take a valid HPTE from the table walker. What a CPU has cached of it is still used. */
static inline void hpte_make_absent(struct umbra_hpt *hpt, unsigned long index)
{
	__be64 *p = &hpt->entries[2 * index];

	WRITE_ONCE(p[0], (READ_ONCE(p[0]) & ~cpu_to_be64(HPTE_V_VALID)) |
		   cpu_to_be64(HPTE_V_ABSENT));
}

/*
 * Write an HPTE, which the caller may change; its lock bit stays as it is. The hardware
 * may look at the same time, so V comes last.
 */
static inline void hpte_write(struct umbra_hpt *hpt, unsigned long index, struct hpte h)
{
	__be64 *p = &hpt->entries[2 * index];
	u64 lock = hpte_load(p) & HPTE_V_UMBRA_LOCK;

	if (cpu_has_feature(CPU_FTR_ARCH_300)) {
		h.r = hpte_old_to_new_r(h.v, h.r);
		h.v = hpte_old_to_new_v(h.v);
	}
	hpte_store(&p[1], h.r);
	/* The table walker must not see V with what stood here before. */
	smp_wmb();
	hpte_store(&p[0], h.v | lock);
	if (h.v & HPTE_V_VALID)
		asm volatile("ptesync" : : : "memory");
}

/* The guest's view of an HPTE, which is the caller's to change, is about to be another. */
static inline void hpt_note(struct umbra_hpt *hpt, unsigned long index)
{
	set_bit(index, hpt->changed);
}

/* What the hardware noted becomes part of the guest's view. */
static inline void hpt_note_rc(struct umbra_hpt *hpt, unsigned long index, u64 rc)
{
	if (!(rc & ~hpt->rev[index].guest_r))
		return;
	hpt->rev[index].guest_r |= rc;
	hpt_note(hpt, index);
}

/* What the guest may know of an HPTE that it has. The HPTE is locked. */
static inline struct hpte hpt_guest_view(const struct umbra_hpt *hpt, unsigned long index,
					 struct hpte h)
{
	u64 rc = h.v & HPTE_V_VALID ? h.r & (HPTE_R_R | HPTE_R_C) : 0;

	if (!(h.v & HPTE_V_USED))
		return (struct hpte) {};
	h.v = (h.v & ~HPTE_V_ABSENT) | HPTE_V_VALID;
	h.r = (hpt->rev[index].guest_r | rc) & ~HPTE_R_PINNED;
	return h;
}

/*
 * log2 of the size of the page that an HPTE maps, and of the pages by which its segment
 * is hashed (LP encodings of POWER8 and POWER9). 0 for an encoding that does not exist.
 */
static inline unsigned int hpte_shift(u64 v, u64 r)
{
	if (!(v & HPTE_V_LARGE))
		return 12;
	if ((r & 0xf000) == 0x1000 || (r & 0xf000) == 0x7000)
		return 16;
	if ((r & 0xff000) == 0 || (r & 0xff000) == 0x8000 || (r & 0xff000) == 0x38000)
		return 24;
	return 0;
}

static inline unsigned int hpte_base_shift(u64 v, u64 r)
{
	if (!(v & HPTE_V_LARGE) || (r & 0xf000) == 0x7000 || (r & 0xff000) == 0x38000)
		return 12;
	if ((r & 0xf000) == 0x1000 || (r & 0xff000) == 0x8000)
		return 16;
	return 24;
}

/* The same of a segment; 0 for an encoding that is not served. */
static inline unsigned int slb_base_shift(u64 slbv)
{
	switch (slbv & SLB_VSID_LLP) {
	case SLB_VSID_L:
		return 24;
	case SLB_VSID_L | SLB_VSID_LP_01:
		return 16;
	default:
		return slbv & SLB_VSID_L ? 0 : 12;
	}
}

/* The word of a gfn of a slot; NULL when it has none yet, or none any more. */
static inline unsigned long *hpt_slot_word(const struct umbra_memslot *slot, gfn_t gfn)
{
	unsigned long *maps = READ_ONCE(slot->maps);

	return maps ? &maps[gfn - slot->base_gfn] : NULL;
}

/* Guest physical address of the page that an HPTE maps. */
static inline gpa_t hpte_gpa(u64 r, unsigned int shift)
{
	return r & HPTE_R_RPN & ~((1UL << shift) - 1);
}

/* May the page be written, at least with one of the two storage keys? */
static inline bool hpte_writable(u64 r)
{
	return (r & HPTE_R_PPP) < 3;
}

/* Does a valid HPTE map what has a struct page? See hpt_hw_r(). */
static inline bool hpte_is_memory(u64 r)
{
	return !(r & HPTE_R_I);
}

/* The same access without writing. */
static inline u64 hpte_make_readonly(u64 r)
{
	if (!hpte_writable(r))
		return r;
	return r & HPTE_R_PP ? r | 3 : r | HPTE_R_PP0 | 2;
}

/* An address in a segment: where it hashes to, and what its HPTE must be. */
struct hpt_key {
	unsigned int base_shift;
	u64 hash;
	u64 v;		/* B and AVPN */
};

/**
 * struct hpt_access - one access of the guest that the hardware could not do
 * @ea: effective address
 * @slbv: second doubleword of the SLB entry that translates @ea
 * @amr: the guest's authority mask; 0 in real mode
 * @store, @fetch: kind of access; neither: a load
 * @user: in problem state
 * @missing: the hardware found no HPTE; else it found one that denies the access
 */
struct hpt_access {
	u64 ea;
	u64 slbv;
	u64 amr;
	bool store;
	bool fetch;
	bool user;
	bool missing;
};

/* What it came to; negative numbers are errors for KVM_RUN. */
enum hpt_outcome {
	HPT_RETRY,	/* the guest may repeat the access */
	HPT_REFLECT,	/* the guest gets its DSI or ISI, with @cause */
	HPT_MMIO,	/* no memory there: @gpa is to be emulated */
};

/* Translations that all CPUs shall forget, collected so that they wait only once. */
#define HPT_FLUSH_MAX 16
struct hpt_flush {
	unsigned int count;
	u64 rb[HPT_FLUSH_MAX];
};

/* tlbie.c */
void hpt_flush_add(struct umbra_mmu *mmu, struct hpt_flush *flush, u64 v, u64 r,
		   unsigned long index);
void hpt_flush_now(struct umbra_mmu *mmu, struct hpt_flush *flush);
void hpt_flush_all(struct umbra_mmu *mmu);
void hpt_invalidate(struct umbra_mmu *mmu, unsigned long index, struct hpte *h);

/* table.c */
int hpt_allocate(struct umbra_mmu *mmu, unsigned int *order);
int hpt_resize_prepare(struct umbra_mmu *mmu, unsigned int order);
int hpt_resize_commit(struct umbra_mmu *mmu, unsigned int order);
int hpt_init(struct umbra_mmu *mmu);
void hpt_destroy(struct umbra_mmu *mmu);

/* entry.c */
int hpt_make_maps(struct umbra_mmu *mmu, struct umbra_memslot *slot);
unsigned long *hpt_word(struct umbra_mmu *mmu, gfn_t gfn, struct umbra_memslot **slot);
unsigned long *hpt_word_of(struct umbra_mmu *mmu, const struct hpte *h, u64 guest_r);
u64 hpt_hw_r(u64 guest_r, unsigned int shift, const struct umbra_host_page *host_page,
	     bool writable);
bool hpt_host_is_as_large(const struct umbra_host_page *page, int level, unsigned int shift);
void hpt_collect(struct umbra_mmu *mmu, const struct hpte *h, u64 rc, unsigned long *word);
void hpt_settle(struct umbra_mmu *mmu, unsigned long index, const struct hpte *h,
		unsigned long *word);
void hpt_unlink(struct umbra_mmu *mmu, unsigned long index, const struct hpte *h,
		unsigned long *word);

/**
 * hpt_host_serves() - does the host have memory for a whole guest page, as it is?
 * @mmu: the MMU; mmu->lock held and umbra_notifier_covers() asked
 * @hva: of the guest page's first byte, or of the host page around it
 * @shift: log2 of the guest page's size
 * @page: filled in
 *
 * A guest page larger than the host's pages must lie within one mapping of the host's, or
 * one huge page, so that whatever the host does to it is done to all of it.
 */
static inline bool hpt_host_serves(struct umbra_mmu *mmu, unsigned long hva,
				   unsigned int shift, struct umbra_host_page *page)
{
	int level = umbra_hostpt_scan(mmu->mm, hva & PAGE_MASK, page, 1);

	return level && page->present &&
	       (shift <= PAGE_SHIFT || hpt_host_is_as_large(page, level, shift));
}

/* An HPTE becomes valid; it is in no ring. @word: of its gfn. */
static inline void hpt_link(struct umbra_mmu *mmu, unsigned long index, unsigned long *word)
{
	umbra_revmap_add(mmu->arch.hpt.rev, word, index);
	atomic64_inc(&mmu->stat.pages[0]);
}

/* rehash.c */
int hpt_rehash(const struct umbra_hpt *from, struct umbra_hpt *to);

/* htab_fd.c */
long hpt_htab_fd(struct umbra_vm *vm, const struct kvm_get_htab_fd *request);

/* walk.c */
u64 hpte_hash(u64 v, u64 r, unsigned long index);
bool hpt_make_key(const struct umbra_hpt *hpt, u64 ea, u64 slbv, struct hpt_key *key);
long hpt_find(struct umbra_hpt *hpt, const struct hpt_key *key, u64 states,
	      struct hpte *h, u64 *guest_r);
long hpt_peek(struct umbra_hpt *hpt, const struct hpt_key *key, struct hpte *h, u64 *guest_r);
u64 hpt_denies(const struct hpt_access *access, u64 r);

/* fault.c */
int hpt_fault(struct umbra_vcpu *vcpu, const struct hpt_access *access, u64 *cause,
	      gpa_t *gpa);
bool hpt_prepared(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault);
int hpt_prepare(struct umbra_mmu_vcpu *mv, const struct umbra_fault *fault);
int hpt_map(struct umbra_mmu_vcpu *mv, struct umbra_fault *fault);

/* hcall.c */
long hpt_enter(struct umbra_mmu *mmu, u64 flags, u64 index, struct hpte h, long *at);
long hpt_remove(struct umbra_mmu *mmu, u64 flags, u64 index, u64 avpn, struct hpte *h);
bool hpt_hcall(struct umbra_vcpu *vcpu, u64 *gpr);

/* page_init.c */
long hpt_zero_memory(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned long len);
long hpt_page_init(struct umbra_vcpu *vcpu, u64 *gpr);

/* inject.c */
long hpt_inject_ioctl(struct umbra_vcpu *vcpu, unsigned int cmd, void __user *argp);

/* range.c: as in struct umbra_mmu_ops */
bool hpt_unmap(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);
bool hpt_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);
bool hpt_test_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range);
void hpt_harvest(struct umbra_mmu *mmu, struct umbra_memslot *slot, unsigned long first,
		 unsigned long count);
bool hpt_wrprot(struct umbra_mmu *mmu, struct umbra_memslot *slot, unsigned long offset,
		unsigned long mask);
void hpt_begin_log(struct umbra_mmu *mmu, struct umbra_memslot *slot);
void hpt_end_log(struct umbra_mmu *mmu, struct umbra_memslot *slot);
void hpt_zap_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot);
void hpt_unmap_all(struct umbra_mmu *mmu);
void hpt_zap_all(struct umbra_mmu *mmu);
bool hpt_clear_changed(struct umbra_mmu *mmu, unsigned long index);

/* audit.c */
void hpt_gfn_info(struct umbra_mmu *mmu, struct umbra_gfn_info *info);
void hpt_audit(struct umbra_audit_run *run);
void hpt_dump(struct umbra_mmu *mmu, struct seq_file *m);

/* hook.c */
int hpt_hook(struct umbra_mmu *mmu, const struct umbra_test_hook *hook);

#endif
