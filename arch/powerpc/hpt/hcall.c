// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hypercalls by which a guest changes its table (PAPR 14.5.4.1), in virtual mode.
 *
 * Each function is given R4 onwards in @gpr[1] onwards, and leaves what goes there. An
 * index is checked first; then the HPTE is locked, and what the guest expects of it
 * (AVPN, ANDCOND) is compared with what it is.
 *
 * Locks: vcpu->mutex and mmu->srcu held by the caller; mmu->lock for reading inside, so
 * that the table stays and no page goes meanwhile.
 */
#include <asm/hvcall.h>

#include "hpt.h"

/* Flags of H_PROTECT are the bits of the second doubleword, the high ones moved. */
static u64 protect_bits(u64 flags)
{
	return ((flags << 55) & HPTE_R_PP0) | ((flags << 48) & HPTE_R_KEY_HI) |
	       (flags & (HPTE_R_PP | HPTE_R_N | HPTE_R_KEY_LO));
}

#define PROTECT_MASK (HPTE_R_PP0 | HPTE_R_PP | HPTE_R_N | HPTE_R_KEY)

/* Lock an HPTE that the guest expects to be there. H_BUSY only when it may not @wait. */
static long lock_expected(struct umbra_hpt *hpt, u64 flags, u64 index, u64 avpn, bool wait,
			  struct hpte *h)
{
	if (index >= hpt_count(hpt))
		return H_PARAMETER;
	index = array_index_nospec(index, hpt_count(hpt));
	if (wait)
		hpte_lock(hpt, index);
	else if (!hpte_trylock(hpt, index))
		return H_BUSY;
	*h = hpte_read(hpt, index);
	if ((h->v & HPTE_V_USED) &&
	    !((flags & H_AVPN) && (h->v & ~0x7fUL) != avpn) &&
	    !((flags & H_ANDCOND) && (h->v & avpn)))
		return H_SUCCESS;
	hpte_unlock(hpt, index);
	return H_NOT_FOUND;
}

/*
 * Make a new HPTE valid at once, if the host has the page. The HPTE is locked. A @slot that
 * was replaced since it was looked up is left to the first access.
 */
static bool enter_valid(struct umbra_mmu *mmu, u64 index, struct hpte *h, unsigned int shift,
			const struct umbra_memslot *slot)
{
	gfn_t gfn = hpte_gpa(h->r, shift) >> PAGE_SHIFT;
	unsigned long len = max(1UL << shift, PAGE_SIZE), hva;
	struct umbra_host_page page;
	unsigned long *word;

	if (slot->gone || mmu->policy == UMBRA_POLICY_PINNED)
		return false;
	word = hpt_slot_word(slot, gfn);
	if (!word)
		return false;
	hva = umbra_slot_hva(slot, gfn);
	if (umbra_notifier_covers(&mmu->notifier, hva, len) ||
	    !hpt_host_serves(mmu, hva, shift, &page))
		return false;
	umbra_revmap_lock(word);
	hpt_link(mmu, index, word);
	umbra_revmap_unlock(word);
	h->v |= HPTE_V_VALID;
	h->r = hpt_hw_r(h->r, shift, &page, page.writable && !umbra_slot_readonly(slot));
	return true;
}

/* Lock a free HPTE: that one, or the first of the group. -1 when there is none. */
static long lock_free(struct umbra_hpt *hpt, u64 flags, u64 index)
{
	u64 end = index + 1;

	if (!(flags & H_EXACT)) {
		index &= ~(HPTES_PER_GROUP - 1ULL);
		end = index + HPTES_PER_GROUP;
	}
	for (; index < end; index++) {
		if (hpte_has(hpt, index, HPTE_V_USED))
			continue;
		hpte_lock(hpt, index);
		if (!hpte_has(hpt, index, HPTE_V_USED))
			return index;
		hpte_unlock(hpt, index);
	}
	return -1;
}

/* Ordinary memory is cached. Where no memory is anything goes: it will be emulated. */
static bool wimg_valid(const struct umbra_memslot *slot, u64 r)
{
	u64 wimg = r & HPTE_R_WIMG;

	/* Strong access order, which later CPUs have not. */
	if (wimg == (HPTE_R_W | HPTE_R_I | HPTE_R_M) && !cpu_has_feature(CPU_FTR_ARCH_31))
		return true;
	return !slot || wimg == HPTE_R_M || (wimg & (HPTE_R_W | HPTE_R_I)) == HPTE_R_I;
}

/* Can it be entered, wherever? @slot is set to what holds its page, or to NULL. */
static long check_new(struct umbra_mmu *mmu, const struct hpte *h, struct umbra_memslot **slot)
{
	unsigned int shift = hpte_shift(h->v, h->r);
	gpa_t gpa;

	if (!shift || h->v >> 63)
		return H_PARAMETER;
	gpa = hpte_gpa(h->r, shift);
	*slot = umbra_memslots_find(umbra_mmu_slots(mmu), gpa >> PAGE_SHIFT);
	if (!*slot)
		return H_SUCCESS;
	if (!umbra_slot_holds(*slot, (gpa + (1UL << shift) - 1) >> PAGE_SHIFT) ||
	    !wimg_valid(*slot, h->r))
		return H_PARAMETER;
	return hpt_make_maps(mmu, *slot) ? H_RESOURCE : H_SUCCESS;
}

/* mmu->lock held for reading. Gives the index; -1 without a place. */
static long enter_locked(struct umbra_mmu *mmu, u64 flags, u64 index, struct hpte h,
			 const struct umbra_memslot *slot)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	unsigned int shift = hpte_shift(h.v, h.r);
	long at = lock_free(hpt, flags, index);

	if (at < 0)
		return at;
	hpt->rev[at].guest_r = h.r;
	hpt_note(hpt, at);
	if (shift > PAGE_SHIFT)
		WRITE_ONCE(hpt->large, true);
	if (!slot || !enter_valid(mmu, at, &h, shift, slot))
		h.v |= HPTE_V_ABSENT;
	if (!slot)
		h.r |= HPTE_R_KEY;
	hpte_write(hpt, at, h);
	hpte_unlock(hpt, at);
	return at;
}

static struct hpte cleaned(u64 v, u64 r)
{
	return (struct hpte) { v & ~(HPTE_V_UMBRA_LOCK | HPTE_V_USED), r & ~HPTE_R_PINNED };
}

/**
 * hpt_enter() - have a new HPTE in the table
 * @mmu: the MMU; mmu->srcu held, mmu->lock not
 * @flags: H_EXACT: there, or nowhere; else the first free place of the group
 * @index: where
 * @h: the HPTE as the guest knows it
 * @at: set to where it is; unchanged, or -1 for H_PTEG_FULL, where it is not
 *
 * Sleeps. Return: H_SUCCESS; H_PARAMETER, H_PTEG_FULL; H_RESOURCE without memory.
 */
long hpt_enter(struct umbra_mmu *mmu, u64 flags, u64 index, struct hpte h, long *at)
{
	struct umbra_memslot *slot;
	long ret;

	h = cleaned(h.v, h.r);
	ret = check_new(mmu, &h, &slot);
	if (ret)
		return ret;
	ret = H_PARAMETER;
	read_lock(&mmu->lock);
	if (index < hpt_count(&mmu->arch.hpt)) {
		index = array_index_nospec(index, hpt_count(&mmu->arch.hpt));
		*at = enter_locked(mmu, flags, index, h, slot);
		ret = *at < 0 ? H_PTEG_FULL : H_SUCCESS;
	}
	read_unlock(&mmu->lock);
	return ret;
}

/* The page that is about to be entered. What would be refused is not zeroed. */
static long zero_new(struct umbra_vcpu *vcpu, u64 index, const struct hpte *h)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	struct umbra_memslot *slot;
	unsigned int shift;
	long ret;

	if (index >= hpt_count(&mmu->arch.hpt))
		return H_PARAMETER;
	ret = check_new(mmu, h, &slot);
	if (ret || !slot)
		return ret;
	shift = hpte_shift(h->v, h->r);
	return hpt_zero_memory(vcpu, hpte_gpa(h->r, shift), 1UL << shift);
}

/* H_ENTER: flags, index, the two doublewords. Gives the index. */
static long h_enter(struct umbra_vcpu *vcpu, u64 *gpr)
{
	struct hpte h = cleaned(gpr[3], gpr[4]);
	long ret = H_SUCCESS, at = gpr[1];

	if (gpr[1] & H_ZERO_PAGE)
		ret = zero_new(vcpu, gpr[2], &h);
	if (!ret)
		ret = hpt_enter(&vcpu->vm->mmu, gpr[1], gpr[2], h, &at);
	gpr[1] = at;
	return ret;
}

/* Take the locked HPTE away; @flush is owed if it was valid. Its last R and C are not in yet. */
static void begin_remove(struct umbra_mmu *mmu, u64 index, struct hpte h,
			 struct hpt_flush *flush)
{
	if (!(h.v & HPTE_V_VALID))
		return;
	hpte_write(&mmu->arch.hpt, index,
		   (struct hpte) { (h.v & ~HPTE_V_VALID) | HPTE_V_ABSENT, h.r });
	hpt_flush_add(mmu, flush, h.v, h.r, index);
}

/* The flush is over. Return what the guest had; the HPTE is free and unlocked. */
static struct hpte finish_remove(struct umbra_mmu *mmu, u64 index, struct hpte h)
{
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	struct hpte view;
	unsigned long *word;

	if (h.v & HPTE_V_VALID) {
		word = hpt_word_of(mmu, &h, hpt->rev[index].guest_r);
		h.r = hpte_read(hpt, index).r;
		umbra_revmap_lock(word);
		hpt_unlink(mmu, index, &h, word);
		umbra_revmap_unlock(word);
	}
	view = hpt_guest_view(hpt, index, h);
	hpt->rev[index].guest_r = 0;
	hpt_note(hpt, index);
	hpte_write(hpt, index, (struct hpte) {});
	hpte_unlock(hpt, index);
	return view;
}

/**
 * hpt_remove() - take an HPTE from the table
 * @mmu: the MMU; mmu->srcu held, mmu->lock not
 * @flags: H_AVPN, H_ANDCOND
 * @index: of the HPTE
 * @avpn: what it is expected to be, as @flags say
 * @h: set to what the guest had
 *
 * Return: H_SUCCESS, H_PARAMETER, H_NOT_FOUND.
 */
long hpt_remove(struct umbra_mmu *mmu, u64 flags, u64 index, u64 avpn, struct hpte *h)
{
	long ret;

	read_lock(&mmu->lock);
	ret = lock_expected(&mmu->arch.hpt, flags, index, avpn, true, h);
	if (!ret) {
		if (h->v & HPTE_V_VALID)
			hpt_invalidate(mmu, index, h);
		*h = finish_remove(mmu, index, *h);
	}
	read_unlock(&mmu->lock);
	return ret;
}

/* H_REMOVE: flags, index, AVPN. Gives the HPTE. */
static long h_remove(struct umbra_vcpu *vcpu, u64 *gpr)
{
	struct hpte h;
	long ret = hpt_remove(&vcpu->vm->mmu, gpr[1], gpr[2], gpr[3], &h);

	if (!ret) {
		gpr[1] = h.v;
		gpr[2] = h.r;
	}
	return ret;
}

/* Fields of the first doubleword of a bulk remove's request and answer (PAPR 14.5.4.1.7). */
#define BULK_TYPE	GENMASK_ULL(63, 62)
#define BULK_REQUEST	BIT_ULL(62)
#define BULK_RESPONSE	BIT_ULL(63)
#define BULK_END	GENMASK_ULL(63, 62)
#define BULK_NOT_FOUND	BIT_ULL(60)
#define BULK_PARAMETER	BIT_ULL(61)
#define BULK_RC_SHIFT	51	/* from where R and C stand in an HPTE */
#define BULK_FLAGS	GENMASK_ULL(57, 56)
#define BULK_ANDCOND	BIT_ULL(56)
#define BULK_AVPN	BIT_ULL(57)
#define BULK_INDEX	GENMASK_ULL(55, 0)
#define BULK_PAIRS	4

/* What became of a request that was looked at. */
enum bulk_state {
	BULK_TAKEN,	/* its HPTE is locked and taken from the hardware */
	BULK_DONE,	/* it has its answer */
	BULK_LATER,	/* somebody has its HPTE locked */
	BULK_STOP,	/* the end, or an error: those behind it are not looked at */
};

/*
 * Look at a request. Who holds an HPTE may not wait for another, so only the first of a
 * batch may @wait.
 */
static enum bulk_state bulk_begin(struct umbra_mmu *mmu, u64 *pair, bool wait,
				  struct hpte *h, struct hpt_flush *flush)
{
	u64 index = pair[0] & BULK_INDEX, flags = 0, answer;
	long err = H_PARAMETER;

	if ((pair[0] & BULK_TYPE) == BULK_END)
		return BULK_STOP;
	answer = (pair[0] & (BULK_FLAGS | BULK_INDEX)) | BULK_RESPONSE;
	if ((pair[0] & BULK_TYPE) == BULK_REQUEST && (pair[0] & BULK_FLAGS) != BULK_FLAGS) {
		if (pair[0] & BULK_ANDCOND)
			flags = H_ANDCOND;
		if (pair[0] & BULK_AVPN)
			flags = H_AVPN;
		err = lock_expected(&mmu->arch.hpt, flags, index, pair[1], wait, h);
	}
	if (err == H_BUSY)
		return BULK_LATER;
	if (err == H_NOT_FOUND)
		answer |= BULK_NOT_FOUND;
	else if (err)
		answer |= BULK_PARAMETER;
	else
		begin_remove(mmu, index, *h, flush);
	pair[0] = answer;
	if (!err)
		return BULK_TAKEN;
	return err == H_NOT_FOUND ? BULK_DONE : BULK_STOP;
}

/*
 * H_BULK_REMOVE: pairs of a request and its AVPN; each becomes its answer. As many as can
 * be locked at once are taken from the hardware with one wait for all.
 */
static long h_bulk_remove(struct umbra_vcpu *vcpu, u64 *gpr)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	enum bulk_state state = BULK_DONE;
	struct hpte taken[BULK_PAIRS];
	u64 *pairs[BULK_PAIRS];
	int i = 0;

	read_lock(&mmu->lock);
	while (i < BULK_PAIRS && state != BULK_STOP) {
		struct hpt_flush flush = { 0 };
		int n = 0;

		for (; i < BULK_PAIRS; i++) {
			state = bulk_begin(mmu, &gpr[1 + 2 * i], !n, &taken[n], &flush);
			if (state == BULK_TAKEN)
				pairs[n++] = &gpr[1 + 2 * i];
			else if (state != BULK_DONE)
				break;
		}
		hpt_flush_now(mmu, &flush);
		while (n--) {
			struct hpte h = finish_remove(mmu, *pairs[n] & BULK_INDEX, taken[n]);

			*pairs[n] |= (h.r & (HPTE_R_R | HPTE_R_C)) << BULK_RC_SHIFT;
		}
	}
	read_unlock(&mmu->lock);
	if (state == BULK_STOP && (gpr[1 + 2 * i] & BULK_TYPE) == BULK_RESPONSE)
		return H_PARAMETER;
	return H_SUCCESS;
}

/* H_READ: flags, index. Gives one HPTE, or with H_READ_4 an aligned four. */
static long h_read(struct umbra_vcpu *vcpu, u64 *gpr)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	u64 index = gpr[2], n = 1, i;

	if (gpr[1] & H_READ_4) {
		index &= ~3ULL;
		n = 4;
	}
	read_lock(&mmu->lock);
	if (index >= hpt_count(hpt)) {
		read_unlock(&mmu->lock);
		return H_PARAMETER;
	}
	index = array_index_nospec(index, hpt_count(hpt));
	for (i = 0; i < n; i++) {
		struct hpte h;

		hpte_lock(hpt, index + i);
		h = hpt_guest_view(hpt, index + i, hpte_read(hpt, index + i));
		hpte_unlock(hpt, index + i);
		gpr[1 + 2 * i] = h.v;
		gpr[2 + 2 * i] = h.r;
	}
	read_unlock(&mmu->lock);
	return H_SUCCESS;
}

/*
 * H_PROTECT: flags with the new protection, index, AVPN. What is not writable now may be so
 * for the host's sake: a first write asks.
 */
static long h_protect(struct umbra_vcpu *vcpu, u64 *gpr)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	u64 index = gpr[2], bits = protect_bits(gpr[1]);
	struct hpte h;
	long ret;

	read_lock(&mmu->lock);
	ret = lock_expected(hpt, gpr[1], index, gpr[3], true, &h);
	if (!ret) {
		u64 *guest_r = &hpt->rev[index].guest_r, v = h.v;

		*guest_r = (*guest_r & ~PROTECT_MASK) | bits;
		hpt_note(hpt, index);
		if (v & HPTE_V_VALID) {
			bool writable = hpte_writable(h.r);

			hpt_invalidate(mmu, index, &h);
			h.v = v;
			h.r = (h.r & ~PROTECT_MASK) | bits;
			if (!writable && hpte_writable(h.r))
				h.r = hpte_make_readonly(h.r);
			hpte_write(hpt, index, h);
		}
		hpte_unlock(hpt, index);
	}
	read_unlock(&mmu->lock);
	return ret;
}

/* H_CLEAR_REF and H_CLEAR_MOD: flags, index. Gives the second doubleword as it was. */
static long h_clear(struct umbra_vcpu *vcpu, u64 *gpr, u64 bit)
{
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	u64 index = gpr[2];
	struct hpte h;
	long ret;

	read_lock(&mmu->lock);
	ret = lock_expected(hpt, 0, index, 0, true, &h);
	if (!ret) {
		gpr[1] = hpt_guest_view(hpt, index, h).r;
		/* The host's aging and its log still want to know. */
		if ((h.v & HPTE_V_VALID) && (h.r & bit)) {
			u64 guest_r = hpt->rev[index].guest_r;
			unsigned long *word = hpt_word_of(mmu, &h, guest_r);
			struct hpte last = h;

			hpt_invalidate(mmu, index, &last);
			umbra_revmap_lock(word);
			hpt_collect(mmu, &last, last.r & bit, word);
			umbra_revmap_unlock(word);
			h.r = last.r & ~bit;
			hpte_write(hpt, index, h);
		}
		hpt->rev[index].guest_r &= ~bit;
		hpt_note(hpt, index);
		hpte_unlock(hpt, index);
	}
	read_unlock(&mmu->lock);
	return ret;
}

/**
 * hpt_hcall() - serve a hypercall that is about the table
 * @vcpu: the vCPU; its own thread calls, with mmu->srcu held
 * @gpr: R3 to R11: the number and the arguments; R3 becomes the return code, and the
 *	others what the call gives
 *
 * Sleeps. Return: false for a call that is not served here, with nothing changed.
 */
bool hpt_hcall(struct umbra_vcpu *vcpu, u64 *gpr)
{
	switch (gpr[0]) {
	case H_ENTER:
		gpr[0] = h_enter(vcpu, gpr);
		return true;
	case H_REMOVE:
		gpr[0] = h_remove(vcpu, gpr);
		return true;
	case H_BULK_REMOVE:
		gpr[0] = h_bulk_remove(vcpu, gpr);
		return true;
	case H_READ:
		gpr[0] = h_read(vcpu, gpr);
		return true;
	case H_PROTECT:
		gpr[0] = h_protect(vcpu, gpr);
		return true;
	case H_CLEAR_REF:
		gpr[0] = h_clear(vcpu, gpr, HPTE_R_R);
		return true;
	case H_CLEAR_MOD:
		gpr[0] = h_clear(vcpu, gpr, HPTE_R_C);
		return true;
	case H_PAGE_INIT:
		gpr[0] = hpt_page_init(vcpu, gpr);
		return true;
	default:
		return false;
	}
}
