// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host's changes, aging, the dirty log and the end of a slot mean to the table.
 *
 * The dirty log goes by C: HPTEs stay writable, and what the hardware noted is collected
 * when the log is read.
 *
 * Locks: mmu->lock as each function says.
 */
#include <linux/sched.h>

#include "hpt.h"

/* gfns handled in one hold of the lock. */
#define STRETCH 4096UL

/* The largest page that an HPTE maps. */
#define LARGEST_SHIFT 24

static unsigned long *words(const struct umbra_memslot *slot)
{
	return READ_ONCE(slot->maps);
}

/*
 * HPTEs that are absent already, and of which CPUs may still use what they have cached:
 * so their last R and C are not in.
 */
struct taken {
	struct hpt_flush flush;
	unsigned int count;
	struct hpte h[HPT_FLUSH_MAX];
	u32 index[HPT_FLUSH_MAX];
	unsigned long *word[HPT_FLUSH_MAX];
};

/* The CPUs forget them all; then they hold nothing of the host's any more. */
static void finish_taken(struct umbra_mmu *mmu, struct taken *taken)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	unsigned int i;

	hpt_flush_now(mmu, &taken->flush);
	for (i = 0; i < taken->count; i++) {
		unsigned long index = taken->index[i];
		struct hpte *h = &taken->h[i];

		/* They stand alike in both forms. */
		h->r |= hpte_load(&hpt->entries[2 * index + 1]) & (HPTE_R_R | HPTE_R_C);
		hpt_settle(mmu, index, h, taken->word[i]);
		h->r = hpt->rev[index].guest_r;
		hpte_write_r(hpt, index, *h);
	}
	atomic64_sub(taken->count, &mmu->stat.pages[0]);
	taken->count = 0;
}

static void take(struct umbra_mmu *mmu, struct taken *taken, unsigned long *word)
{
	unsigned long index = *word & UMBRA_REVMAP_INDEX;
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	struct hpte h = hpte_read(hpt, index);

	hpte_make_absent(hpt, index);
	taken->h[taken->count] = h;
	umbra_revmap_remove(hpt->rev, word, index);
	taken->index[taken->count] = index;
	taken->word[taken->count++] = word;
	hpt_flush_add(mmu, &taken->flush, h.v, h.r, index);
	if (taken->count == HPT_FLUSH_MAX)
		finish_taken(mmu, taken);
}

/*
 * Make every HPTE of these gfns absent. mmu->lock held for writing. Returns how many of the
 * gfns had one.
 */
static unsigned long unmap_words(struct umbra_mmu *mmu, unsigned long *word,
				 unsigned long count)
{
	unsigned long *end = word + count, any = 0;
	struct taken taken;

	taken.flush.count = 0;
	taken.count = 0;
	for (; word < end; word++) {
		any += !!(*word & UMBRA_REVMAP_PRESENT);
		while (*word & UMBRA_REVMAP_PRESENT)
			take(mmu, &taken, word);
	}
	finish_taken(mmu, &taken);
	return any;
}

/*
 * @unmap of struct umbra_mmu_ops; no flush is owed. An HPTE larger than a host page is in
 * the ring of its first gfn, which may be below the range.
 */
bool hpt_unmap(struct umbra_mmu *mmu, const struct umbra_gfn_range *range)
{
	unsigned long *maps = words(range->slot);
	gfn_t gfn = range->start;

	if (!maps)
		return false;
	if (mmu->arch.hpt.large)
		gfn = max(gfn & ~((1ULL << (LARGEST_SHIFT - PAGE_SHIFT)) - 1),
			  range->slot->base_gfn);
	atomic64_add(unmap_words(mmu, &maps[gfn - range->slot->base_gfn], range->end - gfn),
		     &mmu->stat.unmapped);
	return false;
}

/*
 * Forget R of one HPTE, whose word is locked. Only a byte is written, since the hardware
 * may be setting C in the one beside it. Who holds the HPTE is using it: it stays young.
 */
static bool age_hpte(struct umbra_mmu *mmu, unsigned long index)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	u8 *byte = (u8 *)&hpt->entries[2 * index + 1] + 6;

	if (!(hpte_read(hpt, index).r & HPTE_R_R))
		return false;
	if (!hpte_trylock(hpt, index))
		return true;
	WRITE_ONCE(*byte, READ_ONCE(*byte) & ~(HPTE_R_R >> 8));
	hpt_note_rc(hpt, index, HPTE_R_R);
	hpte_unlock(hpt, index);
	return true;
}

static bool age_word(struct umbra_mmu *mmu, unsigned long *word, bool forget)
{
	struct umbra_rev *rev = mmu->arch.hpt.rev;
	bool young;
	u32 first, index;

	if (!(READ_ONCE(*word) & (UMBRA_REVMAP_PRESENT | UMBRA_REVMAP_R)))
		return false;
	umbra_revmap_lock(word);
	young = *word & UMBRA_REVMAP_R;
	if (forget)
		*word &= ~UMBRA_REVMAP_R;
	if (*word & UMBRA_REVMAP_PRESENT) {
		first = *word & UMBRA_REVMAP_INDEX;
		index = first;
		do {
			if (forget)
				young |= age_hpte(mmu, index);
			else
				young |= hpte_read(&mmu->arch.hpt, index).r & HPTE_R_R;
			index = rev[index].next;
		} while (index != first);
	}
	umbra_revmap_unlock(word);
	return young;
}

static bool age_range(struct umbra_mmu *mmu, const struct umbra_gfn_range *range,
		      bool forget)
{
	unsigned long *maps = words(range->slot);
	bool young = false;
	gfn_t gfn;

	if (!maps)
		return false;
	for (gfn = range->start; gfn < range->end; gfn++) {
		if (!age_word(mmu, &maps[gfn - range->slot->base_gfn], forget))
			continue;
		young = true;
		if (forget)
			atomic64_inc(&mmu->stat.aged);
	}
	return young;
}

/* @age of struct umbra_mmu_ops; mmu->lock held for reading */
bool hpt_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range)
{
	return age_range(mmu, range, true);
}

/* @test_age of struct umbra_mmu_ops; mmu->lock held for reading */
bool hpt_test_age(struct umbra_mmu *mmu, const struct umbra_gfn_range *range)
{
	return age_range(mmu, range, false);
}

/**
 * hpt_clear_changed() - clear C of a valid HPTE
 * @mmu: the MMU
 * @index: of the HPTE, which is the caller's to change
 *
 * The hardware notes a change only where it has C clear in mind: the HPTE is taken from it
 * for a moment. Return: whether C was set; the guest's view and the host know then.
 */
bool hpt_clear_changed(struct umbra_mmu *mmu, unsigned long index)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	struct hpte h = hpte_read(hpt, index);
	u64 pfn = (h.r & HPTE_R_RPN_3_0) >> PAGE_SHIFT, v = h.v;
	bool changed;

	if (!(h.r & HPTE_R_C))
		return false;
	hpt_invalidate(mmu, index, &h);
	changed = h.r & HPTE_R_C;
	hpt_note_rc(hpt, index, h.r & HPTE_R_C);
	if (changed && hpte_is_memory(h.r))
		umbra_pfn_set_dirty(pfn);
	h.v = v;
	h.r &= ~HPTE_R_C;
	hpte_write(hpt, index, h);
	return changed;
}

/* Was the gfn written since the last call? mmu->lock held for writing. */
static bool clear_changed_word(struct umbra_mmu *mmu, unsigned long *word, u64 *pages)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	bool changed = *word & UMBRA_REVMAP_C;
	u32 first, index;

	*pages = 1;
	*word &= ~UMBRA_REVMAP_C;
	if (!(*word & UMBRA_REVMAP_PRESENT))
		return changed;
	first = *word & UMBRA_REVMAP_INDEX;
	index = first;
	do {
		struct hpte h = hpte_read(hpt, index);
		unsigned int shift = hpte_shift(h.v, h.r);

		if (hpt_clear_changed(mmu, index)) {
			changed = true;
			if (shift > PAGE_SHIFT)
				*pages = max(*pages, 1ULL << (shift - PAGE_SHIFT));
		}
		index = hpt->rev[index].next;
	} while (index != first);
	return changed;
}

/* @harvest of struct umbra_mmu_ops; mmu->lock held for writing */
void hpt_harvest(struct umbra_mmu *mmu, struct umbra_memslot *slot, unsigned long first,
		 unsigned long count)
{
	unsigned long *maps = words(slot), i;
	u64 pages;

	for (i = first; maps && i < first + count; i++) {
		if (!clear_changed_word(mmu, &maps[i], &pages))
			continue;
		/* A page larger than the host's has one C for all. */
		while (pages--)
			umbra_slot_mark_dirty(slot, slot->base_gfn + i + pages);
	}
}

/* @wrprot of struct umbra_mmu_ops: what was written was found by hpt_harvest(). */
bool hpt_wrprot(struct umbra_mmu *mmu, struct umbra_memslot *slot, unsigned long offset,
		unsigned long mask)
{
	return false;
}

/* Do @op to the slot's words, a stretch at a time. */
static void for_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot,
		     void (*op)(struct umbra_mmu *mmu, unsigned long *word,
				unsigned long count))
{
	unsigned long *maps = words(slot), i;

	for (i = 0; maps && i < slot->npages; i += STRETCH) {
		write_lock(&mmu->lock);
		op(mmu, &maps[i], min(slot->npages - i, STRETCH));
		write_unlock(&mmu->lock);
		cond_resched();
	}
}

static void forget_changed(struct umbra_mmu *mmu, unsigned long *word, unsigned long count)
{
	u64 pages;

	while (count--)
		clear_changed_word(mmu, word++, &pages);
}

static void unmap(struct umbra_mmu *mmu, unsigned long *word, unsigned long count)
{
	unmap_words(mmu, word, count);
}

/* @wrprot_slot of struct umbra_mmu_ops: what was written before is not the log's. */
void hpt_begin_log(struct umbra_mmu *mmu, struct umbra_memslot *slot)
{
	for_slot(mmu, slot, forget_changed);
}

/* @merge_slot of struct umbra_mmu_ops: the log changed nothing. */
void hpt_end_log(struct umbra_mmu *mmu, struct umbra_memslot *slot)
{
}

/* @zap_slot of struct umbra_mmu_ops */
void hpt_zap_slot(struct umbra_mmu *mmu, struct umbra_memslot *slot)
{
	for_slot(mmu, slot, unmap);
}

/**
 * hpt_unmap_all() - make every HPTE absent, at once
 * @mmu: the MMU; slots_lock held, and mmu->lock for writing
 */
void hpt_unmap_all(struct umbra_mmu *mmu)
{
	struct umbra_memslots *set = umbra_mmu_slots(mmu);
	unsigned int i;

	for (i = 0; i < set->count; i++) {
		unsigned long *maps = words(set->slots[i]);

		if (maps)
			unmap_words(mmu, maps, set->slots[i]->npages);
	}
}

/* @zap_all of struct umbra_mmu_ops. The last descriptor closes with no slots_lock. */
void hpt_zap_all(struct umbra_mmu *mmu)
{
	struct umbra_memslots *set;
	unsigned int i;
	int idx;

	idx = srcu_read_lock(&mmu->srcu);
	set = umbra_mmu_slots(mmu);
	for (i = 0; i < set->count; i++)
		for_slot(mmu, set->slots[i], unmap);
	srcu_read_unlock(&mmu->srcu, idx);
}
