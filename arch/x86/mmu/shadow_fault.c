// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the guest does that the shadow pages must follow at once: its faults, and its writes
 * to tables that are in sync.
 *
 * A write to a table is emulated, in one hold of mmu->lock for writing: what was made from
 * the old bytes is dropped and flushed, then the bytes are written. A fault that has read
 * the old ones either held the lock before, and its entry goes, or reads the new ones
 * under it; and who sees the new ones finds nothing of the old.
 *
 * Locks: mmu->lock is taken inside, but for what the comments say.
 */
#include "../irqchip.h"
#include "shadow.h"

/* A table that is written this often between two uses has become something else. */
#define FLOOD	3

/* How often an instruction may have the page that it writes to protected by itself. */
#define UNPROTECT_TRIES	4

static unsigned int walk_flags(struct umbra_vcpu *vcpu, u32 error, bool atomic)
{
	unsigned int flags = atomic ? UMBRA_WALK_ATOMIC : 0;

	if (error & UMBRA_PF_W)
		flags |= UMBRA_ACCESS_WRITE;
	if (error & UMBRA_PF_I)
		flags |= UMBRA_ACCESS_FETCH;
	if (error & UMBRA_PF_U)
		flags |= UMBRA_WALK_USER;
	else if (umbra_backend->cpl(vcpu) == 3)
		flags |= UMBRA_ACCESS_SYSTEM;
	return flags;
}

/**
 * umbra_shadow_page_fault() - the hardware found no translation, or not enough rights
 * @vcpu: the vCPU; mmu->srcu held
 * @gva: linear address
 * @error: #PF error code
 * @atomic: do not sleep
 * @gfn: out: what the address translates to, with UMBRA_RUN_RAISED
 *
 * Return: UMBRA_RUN_AGAIN when the guest can go on, with an exception of its own
 * perhaps; UMBRA_RUN_SLOW when it must be asked again without @atomic;
 * UMBRA_RUN_RAISED when the instruction must be emulated; a negative errno for KVM_RUN.
 */
int umbra_shadow_page_fault(struct umbra_vcpu *vcpu, u64 gva, u32 error, bool atomic,
			    gfn_t *gfn)
{
	struct umbra_shadow_fault sf = { .gva = gva };
	int r;

	/* What the first look has settled: the emulator makes its own walk. */
	if (!atomic && vcpu->arch.shadow->emulate) {
		vcpu->arch.shadow->emulate = false;
		*gfn = vcpu->arch.shadow->emulate_gfn;
		return UMBRA_RUN_RAISED;
	}
	vcpu->arch.shadow->emulate = false;

	switch (umbra_walk(vcpu, gva, walk_flags(vcpu, error, atomic), &sf.walk)) {
	case UMBRA_WALK_OK:
		break;
	case UMBRA_WALK_FAULT:
		umbra_queue_page_fault(vcpu, gva, sf.walk.error);
		return UMBRA_RUN_AGAIN;
	case UMBRA_WALK_RACE:
		return UMBRA_RUN_AGAIN;
	case UMBRA_WALK_SLEEP:
		return UMBRA_RUN_SLOW;
	case UMBRA_WALK_GONE:
		return -EFAULT;
	default:
		return umbra_report_emulation(vcpu, NULL, 0);
	}
	*gfn = sf.walk.gpa >> PAGE_SHIFT;
	sf.f.gpa = sf.walk.gpa;
	sf.f.gfn = sf.walk.gpa >> PAGE_SHIFT;
	sf.f.write = error & UMBRA_PF_W;
	sf.f.exec = error & UMBRA_PF_I;
	sf.f.present = error & UMBRA_PF_P;
	if (atomic) {
		r = umbra_mmu_fault_atomic(&vcpu->mmu, &sf.f);
		if (likely(r == UMBRA_FAULT_RETRY))
			return UMBRA_RUN_AGAIN;
		vcpu->arch.shadow->emulate = r == UMBRA_FAULT_EMULATE;
		vcpu->arch.shadow->emulate_gfn = sf.f.gfn;
		return UMBRA_RUN_SLOW;
	}
	r = umbra_async_pf_fault(vcpu, &sf.f);
	return r == UMBRA_FAULT_EMULATE ? UMBRA_RUN_RAISED : r;
}

/* Drop what was made from the entries of @sp's table that lie in a write. */
static bool drop_written(struct umbra_mmu *mmu, struct umbra_sp *sp, unsigned int from,
			 unsigned int to)
{
	unsigned int shift = sp->role.top == 2 ? 2 : 3;
	unsigned int i, each = 1, part = SHADOW_ENTRIES;
	bool flush = false;

	/* A 32-bit directory entry covers two of the shadow's. */
	if (sp->role.top == 2 && sp->role.level == 2) {
		each = 2;
		part = SHADOW_ENTRIES / 2;
	}
	for (i = from >> shift; i <= (to - 1) >> shift; i++) {
		unsigned int at = i % part * each;

		if (sp->role.top == 2 && i / part != sp->role.quadrant)
			continue;
		flush |= shadow_drop(mmu, &sp->spt[at], sp->role.level);
		if (each == 2)
			flush |= shadow_drop(mmu, &sp->spt[at + 1], sp->role.level);
	}
	return flush;
}

/*
 * Is the table taken for something else now? What a write has mapped ahead is used without
 * a fault, but leaves A.
 */
static bool is_flooded(struct umbra_sp *sp)
{
	if (sp->written && (READ_ONCE(sp->spt[sp->written - 1]) & SPTE_A))
		sp->writes = 0;
	sp->written = 0;
	return ++sp->writes >= FLOOD && !sp->roots;
}

/* @writing of struct umbra_mmu_ops */
void shadow_writing(struct umbra_mmu *mmu, gpa_t gpa, size_t len)
{
	struct hlist_node *next;
	struct umbra_sp *sp;
	bool flush = false;
	LIST_HEAD(doomed);

	hlist_for_each_entry_safe(sp, next, shadow_chain(mmu, gpa >> PAGE_SHIFT), hash) {
		if (sp->gfn != gpa >> PAGE_SHIFT || sp->role.direct)
			continue;
		if (is_flooded(sp))
			shadow_zap_page(mmu, sp, &doomed);
		else
			flush |= drop_written(mmu, sp, offset_in_page(gpa),
					      offset_in_page(gpa) + len);
	}
	if (!list_empty(&doomed))
		shadow_free_pages(mmu, &doomed);
	else if (flush)
		umbra_mmu_flush(mmu);
}

/* @written of struct umbra_mmu_ops: an entry of the last level is mapped ahead. */
void shadow_written(struct umbra_mmu_vcpu *mv, gpa_t gpa, size_t len)
{
	struct umbra_sp *sp;

	shadow_for_each_page(mv->mmu, gpa >> PAGE_SHIFT, sp) {
		unsigned int size = sp->role.top == 2 ? 4 : 8;
		unsigned int i = offset_in_page(gpa) / size;

		if (sp->role.level != UMBRA_LEVEL_4K || len != size || gpa % size ||
		    i / SHADOW_ENTRIES != sp->role.quadrant)
			continue;
		shadow_map_entry(mv_vcpu(mv), sp, i % SHADOW_ENTRIES);
		sp->written = i % SHADOW_ENTRIES + 1;
	}
}

/**
 * umbra_shadow_unprotect() - let the guest write to a page that is shadowed as a table
 * @vcpu: the vCPU
 * @gfn: the page
 *
 * For a write that cannot be emulated. An instruction that needs the very table that it
 * writes to has its page protected again by its own faults, and would come back for
 * ever: those are counted, see shadow_get_page().
 *
 * Return: whether the guest may try again.
 */
bool umbra_shadow_unprotect(struct umbra_vcpu *vcpu, gfn_t gfn)
{
	struct umbra_shadow_vcpu *sv = vcpu->arch.shadow;
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	struct hlist_node *next;
	struct umbra_sp *sp;
	LIST_HEAD(doomed);
	bool found = false;

	if (sv->unprotected_rip != vcpu->arch.rip)
		sv->unprotected_again = 0;
	else if (sv->unprotected_again >= UNPROTECT_TRIES)
		return false;
	sv->unprotected_rip = vcpu->arch.rip;
	sv->unprotected_gfn = gfn;
	write_lock(&mmu->lock);
	hlist_for_each_entry_safe(sp, next, shadow_chain(mmu, gfn), hash) {
		if (sp->gfn != gfn || sp->role.direct)
			continue;
		shadow_zap_page(mmu, sp, &doomed);
		found = true;
	}
	if (found)
		shadow_free_pages(mmu, &doomed);
	write_unlock(&mmu->lock);
	return found;
}
