// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous page faults (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_ASYNC_PF_EN): a
 * guest whose page the host has to read from a disk is told so by a #PF with a token in
 * CR2, and can run another task; when the page is there, an interrupt tells the token.
 *
 *	exit	the page needs I/O: a work waits for it, the guest gets the #PF
 *	work	has the host bring the page; on to @done, kick
 *	outside	the guest's word for tokens is free: write one, raise the interrupt
 *	ACK	the guest has read it: the next
 *
 * Invariants
 * - Nothing waits for a work: it may need what the process does next (userfaultfd), or
 *   its end. A work that nobody wants any more is on no list and frees itself. It holds
 *   the mm, the module and struct umbra_async_pf.
 * - A token is told at most once; when they are forgotten, all that wait are woken (~0).
 * - No work waits for another VM's: there are no more than the queue runs at a time, and who
 *   would have to be the next waits for its page itself.
 *
 * Locks: apf->lock guards lists, @nr and works' links; the rest is the vCPU's thread's.
 */
#include <linux/kref.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <asm/kvm_para.h>
#include <umbra/pfn.h>

#include "irqchip.h"

/* Pages that are brought for one vCPU at most, those that it has forgotten included. */
#define WORKS_MAX	64

#define EN_RESERVED	GENMASK_ULL(5, 4)
#define EN_FLAGS	GENMASK_ULL(5, 0)
#define EN_WANTED	(KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_DELIVERY_AS_INT)

/* What the guest's word holds: struct kvm_vcpu_pv_apf_data, its first two members. */
#define WORD_FLAGS	0
#define WORD_TOKEN	4
#define WAKE_ALL	(~0U)

/**
 * struct umbra_async_pf - a vCPU's asynchronous page faults
 * @ref: the vCPU's, and one for each work
 * @lock: see the head of this file
 * @vcpu: valid while a work is on a list
 * @works: under way
 * @done: whose pages are there
 * @nr: on both
 * @id: of the last token
 * @told: the guest has a token and did not acknowledge it yet
 * @wake_all: tokens were forgotten
 */
struct umbra_async_pf {
	struct kref ref;
	spinlock_t lock; /* lists */
	struct umbra_vcpu *vcpu;
	struct list_head works;
	struct list_head done;
	unsigned int nr;
	u32 id;
	bool told;
	bool wake_all;
};

struct async_pf_work {
	struct work_struct work;
	struct list_head link;
	struct umbra_async_pf *apf;
	struct mm_struct *mm;
	unsigned long hva;
	bool write;
	u32 token;
};

static struct workqueue_struct *works;
static atomic_t under_way = ATOMIC_INIT(0);

int umbra_async_pf_init(void)
{
	works = alloc_workqueue("umbra", WQ_UNBOUND, WQ_MAX_ACTIVE);
	return works ? 0 : -ENOMEM;
}

void umbra_async_pf_exit(void)
{
	destroy_workqueue(works);
}

static void apf_free(struct kref *ref)
{
	kfree(container_of(ref, struct umbra_async_pf, ref));
}

/**
 * umbra_async_pf_create() - for a new vCPU
 * @vcpu: the vCPU
 *
 * Return: 0 or -ENOMEM.
 */
int umbra_async_pf_create(struct umbra_vcpu *vcpu)
{
	struct umbra_async_pf *apf = kzalloc(sizeof(*apf), GFP_KERNEL_ACCOUNT);

	if (!apf)
		return -ENOMEM;
	kref_init(&apf->ref);
	spin_lock_init(&apf->lock);
	INIT_LIST_HEAD(&apf->works);
	INIT_LIST_HEAD(&apf->done);
	apf->vcpu = vcpu;
	vcpu->arch.async_pf = apf;
	return 0;
}

/* Forget all pages; what is under way frees itself. */
static void forget(struct umbra_async_pf *apf)
{
	struct async_pf_work *w, *next;

	spin_lock(&apf->lock);
	list_for_each_entry_safe(w, next, &apf->works, link)
		list_del_init(&w->link);
	list_for_each_entry_safe(w, next, &apf->done, link) {
		list_del(&w->link);
		kfree(w);
	}
	apf->nr = 0;
	spin_unlock(&apf->lock);
	apf->told = false;
	apf->wake_all = false;
}

void umbra_async_pf_destroy(struct umbra_vcpu *vcpu)
{
	if (!vcpu->arch.async_pf)
		return;
	forget(vcpu->arch.async_pf);
	kref_put(&vcpu->arch.async_pf->ref, apf_free);
	vcpu->arch.async_pf = NULL;
}

/* After RESET and INIT the guest wants nothing. */
void umbra_async_pf_reset(struct umbra_vcpu *vcpu)
{
	vcpu->arch.msr_async_pf_en = 0;
	vcpu->arch.msr_async_pf_int = 0;
	if (vcpu->arch.async_pf)
		forget(vcpu->arch.async_pf);
}

static bool enabled(const struct umbra_vcpu *vcpu)
{
	return vcpu->arch.async_pf && (vcpu->arch.msr_async_pf_en & EN_WANTED) == EN_WANTED;
}

static gpa_t word(const struct umbra_vcpu *vcpu, unsigned int offset)
{
	return (vcpu->arch.msr_async_pf_en & ~EN_FLAGS) + offset;
}

static void look_again(struct umbra_vcpu *vcpu)
{
	set_bit(UMBRA_REQ_PAGE_READY, &vcpu->arch.requests);
}

/* A vCPU that asks anew, as one that has migrated does, does not know what it waits for. */
static int set_enable(struct umbra_vcpu *vcpu, u64 val)
{
	if (val & EN_RESERVED)
		return -EINVAL;
	if ((val & KVM_ASYNC_PF_DELIVERY_AS_PF_VMEXIT) &&
	    !umbra_pv_has(vcpu, KVM_FEATURE_ASYNC_PF_VMEXIT))
		return -EINVAL;
	if ((val & KVM_ASYNC_PF_DELIVERY_AS_INT) && !umbra_pv_has(vcpu, KVM_FEATURE_ASYNC_PF_INT))
		return -EINVAL;
	vcpu->arch.msr_async_pf_en = val;
	if (!vcpu->arch.async_pf)
		return 0;
	forget(vcpu->arch.async_pf);
	if (enabled(vcpu)) {
		vcpu->arch.async_pf->wake_all = true;
		look_again(vcpu);
	}
	return 0;
}

/**
 * umbra_async_pf_get_msr() - RDMSR of MSR_KVM_ASYNC_PF_EN, _INT and _ACK
 * @vcpu: the vCPU
 * @index: the MSR
 */
u64 umbra_async_pf_get_msr(const struct umbra_vcpu *vcpu, u32 index)
{
	switch (index) {
	case MSR_KVM_ASYNC_PF_EN:
		return vcpu->arch.msr_async_pf_en;
	case MSR_KVM_ASYNC_PF_INT:
		return vcpu->arch.msr_async_pf_int;
	default:
		return 0;
	}
}

/**
 * umbra_async_pf_set_msr() - WRMSR of one of those
 * @vcpu: the vCPU; without a local APIC in the kernel it is never told of anything
 * @index: the MSR
 * @val: its value
 *
 * Never sleeps. Return: 0, or -EINVAL for reserved bits and for what CPUID does not show.
 */
int umbra_async_pf_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val)
{
	switch (index) {
	case MSR_KVM_ASYNC_PF_EN:
		return set_enable(vcpu, val);
	case MSR_KVM_ASYNC_PF_INT:
		if (val & ~(u64)KVM_ASYNC_PF_VEC_MASK)
			return -EINVAL;
		vcpu->arch.msr_async_pf_int = val;
		return 0;
	default:
		if ((val & 1) && vcpu->arch.async_pf) {
			vcpu->arch.async_pf->told = false;
			look_again(vcpu);
		}
		return 0;
	}
}

static void bring(struct work_struct *work)
{
	struct async_pf_work *w = container_of(work, struct async_pf_work, work);
	struct umbra_async_pf *apf = w->apf;
	bool wanted;

	if (mmget_not_zero(w->mm)) {
		/* What cannot be had now, the guest's next access will find out. */
		umbra_pfn_populate(w->mm, w->hva, 1, w->write);
		mmput(w->mm);
	}
	mmdrop(w->mm);

	spin_lock(&apf->lock);
	wanted = !list_empty(&w->link);
	if (wanted) {
		list_move_tail(&w->link, &apf->done);
		look_again(apf->vcpu);
		umbra_vcpu_kick(apf->vcpu);
	}
	spin_unlock(&apf->lock);
	if (!wanted)
		kfree(w);
	kref_put(&apf->ref, apf_free);
	atomic_dec(&under_way);
	/* umbra_async_pf_exit() waits for the rest. */
	module_put(THIS_MODULE);
}

/* Would the guest take a #PF for another reason than its own now? */
static bool can_tell(struct umbra_vcpu *vcpu)
{
	const struct umbra_arch_vcpu *arch = &vcpu->arch;

	if (!enabled(vcpu) || arch->debug.control || arch->event.kind != UMBRA_EVENT_NONE)
		return false;
	if (!(arch->rflags & X86_EFLAGS_IF) || umbra_backend->int_shadow(vcpu))
		return false;
	return (arch->msr_async_pf_en & KVM_ASYNC_PF_SEND_ALWAYS) ||
	       umbra_backend->cpl(vcpu) == 3;
}

/* Put a work on the list: false when there are too many, or one for that page. */
static bool add_work(struct umbra_async_pf *apf, struct async_pf_work *w)
{
	struct async_pf_work *other;
	bool ok;

	spin_lock(&apf->lock);
	/* One of the references is the vCPU's. */
	ok = apf->nr < WORKS_MAX && kref_read(&apf->ref) <= WORKS_MAX;
	list_for_each_entry(other, &apf->works, link)
		ok &= other->hva != w->hva;
	ok = ok && atomic_add_unless(&under_way, 1, WQ_MAX_ACTIVE);
	if (ok) {
		list_add_tail(&w->link, &apf->works);
		apf->nr++;
	}
	spin_unlock(&apf->lock);
	return ok;
}

static u32 new_token(struct umbra_vcpu *vcpu)
{
	struct umbra_async_pf *apf = vcpu->arch.async_pf;

	/* 0 is no token, and ~0 has its own meaning. */
	apf->id = apf->id % ((WAKE_ALL >> 12) - 1) + 1;
	return apf->id << 12 | (vcpu->id & 0xfff);
}

/* Have somebody else wait for the page, and tell the guest. */
static bool start(struct umbra_vcpu *vcpu, const struct umbra_fault *fault)
{
	const u32 reason = KVM_PV_REASON_PAGE_NOT_PRESENT;
	struct umbra_async_pf *apf = vcpu->arch.async_pf;
	struct async_pf_work *w;
	u32 busy;

	if (umbra_guest_read(&vcpu->vm->mmu, word(vcpu, WORD_FLAGS), &busy, sizeof(busy)) || busy)
		return false;
	w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	if (!w)
		return false;
	INIT_WORK(&w->work, bring);
	w->apf = apf;
	w->mm = vcpu->vm->mmu.mm;
	w->hva = fault->hva;
	w->write = fault->write;
	w->token = new_token(vcpu);
	if (!add_work(apf, w)) {
		kfree(w);
		return false;
	}
	kref_get(&apf->ref);
	mmgrab(w->mm);
	__module_get(THIS_MODULE);
	if (umbra_guest_write(&vcpu->mmu, word(vcpu, WORD_FLAGS), &reason, sizeof(reason))) {
		/* Nobody was told: the page is brought all the same, and forgotten. */
		spin_lock(&apf->lock);
		list_del_init(&w->link);
		apf->nr--;
		spin_unlock(&apf->lock);
		queue_work(works, &w->work);
		return false;
	}
	umbra_queue_page_fault(vcpu, w->token, 0);
	queue_work(works, &w->work);
	vcpu->stat.async_pf++;
	return true;
}

/**
 * umbra_async_pf_fault() - umbra_mmu_fault(), but the guest need not wait for a disk
 * @vcpu: the vCPU; mmu->srcu held
 * @fault: as for umbra_mmu_fault()
 *
 * Sleeps. Return: as umbra_mmu_fault(); UMBRA_FAULT_RETRY also when the guest was told.
 */
int umbra_async_pf_fault(struct umbra_vcpu *vcpu, struct umbra_fault *fault)
{
	int r;

	fault->nowait = can_tell(vcpu);
	r = umbra_mmu_fault(&vcpu->mmu, fault);
	if (r != UMBRA_FAULT_WAIT)
		return r;
	if (start(vcpu, fault))
		return UMBRA_FAULT_RETRY;
	fault->nowait = false;
	return umbra_mmu_fault(&vcpu->mmu, fault);
}

/* The next token that the guest is to be told; 0 for none. */
static u32 next_token(struct umbra_async_pf *apf)
{
	struct async_pf_work *w;
	u32 token = 0;

	if (apf->wake_all)
		return WAKE_ALL;
	spin_lock(&apf->lock);
	w = list_first_entry_or_null(&apf->done, struct async_pf_work, link);
	if (w)
		token = w->token;
	spin_unlock(&apf->lock);
	return token;
}

static void drop_token(struct umbra_async_pf *apf, u32 token)
{
	struct async_pf_work *w;

	if (token == WAKE_ALL) {
		apf->wake_all = false;
		return;
	}
	spin_lock(&apf->lock);
	w = list_first_entry(&apf->done, struct async_pf_work, link);
	list_del(&w->link);
	apf->nr--;
	spin_unlock(&apf->lock);
	kfree(w);
}

/**
 * umbra_async_pf_outside() - tell the guest of a page that is there
 * @vcpu: the vCPU, outside the inner section; mmu->srcu is held. Sleeps
 *
 * One at a time: the next follows when the guest acknowledges. A guest whose word is not
 * memory, or holds another token, is told when it acknowledges that.
 */
void umbra_async_pf_outside(struct umbra_vcpu *vcpu)
{
	struct umbra_async_pf *apf = vcpu->arch.async_pf;
	u32 token, busy;

	clear_bit(UMBRA_REQ_PAGE_READY, &vcpu->arch.requests);
	/* What is done from here on sets the request again. */
	smp_mb__after_atomic();
	if (!enabled(vcpu) || apf->told)
		return;
	token = next_token(apf);
	if (!token ||
	    umbra_guest_read(&vcpu->vm->mmu, word(vcpu, WORD_TOKEN), &busy, sizeof(busy)) ||
	    busy ||
	    umbra_guest_write(&vcpu->mmu, word(vcpu, WORD_TOKEN), &token, sizeof(token)))
		return;
	/* An APIC that is off takes nothing: the guest's word is left as it was. */
	if (!umbra_lapic_interrupt(vcpu, vcpu->arch.msr_async_pf_int)) {
		umbra_guest_write(&vcpu->mmu, word(vcpu, WORD_TOKEN), &busy, sizeof(busy));
		return;
	}
	apf->told = true;
	drop_token(apf, token);
}
