// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's memory, as the emulator reaches it: its callbacks that fetch, read and write.
 *
 * Invariants
 * - A translation for data serves the whole instruction; a string keeps its newest.
 * - Both pages of an access that crosses are translated before a byte of it moves.
 * - What is no memory is MMIO.
 *
 * Locks: mmu->srcu held; current->mm is the VM's. May sleep, but for ctx->atomic.
 */
#include <linux/uaccess.h>

#include "emul.h"

/* Does the page at @gpa take this access as memory? */
static bool is_memory(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int access)
{
	struct umbra_memslot *slot;

	slot = umbra_memslots_find(umbra_mmu_slots(&vcpu->vm->mmu), gpa >> PAGE_SHIFT);
	return slot && !((access & UMBRA_ACCESS_WRITE) && umbra_slot_readonly(slot));
}

static int walk_page(struct umbra_emul *e, u64 gva, unsigned int access, gpa_t *gpa)
{
	struct umbra_x86_emul *ctx = ctx_of(e);
	unsigned int flags = access;

	if (e->cpl == 3)
		flags |= UMBRA_WALK_USER;
	if (ctx->atomic)
		flags |= UMBRA_WALK_ATOMIC | UMBRA_WALK_PEEK;
	switch (umbra_walk(ctx->vcpu, gva, flags, &ctx->walk)) {
	case UMBRA_WALK_OK:
		*gpa = ctx->walk.gpa;
		return UMBRA_EMUL_OK;
	case UMBRA_WALK_FAULT:
		return umbra_emul_page_fault(e, gva, ctx->walk.error);
	case UMBRA_WALK_RACE:
		return UMBRA_EMUL_RETRY;
	case UMBRA_WALK_GONE:
		ctx->err = -EFAULT;
		return UMBRA_EMUL_UNHANDLEABLE;
	case UMBRA_WALK_SLEEP:
		ctx->sleep = true;
		return UMBRA_EMUL_UNHANDLEABLE;
	default:
		return UMBRA_EMUL_UNHANDLEABLE;
	}
}

/*
 * The processor has translated the access that it could not make; of the first access
 * of an instruction that has one, this is the translation.
 */
static bool is_exits(struct umbra_x86_emul *ctx, u64 gva, unsigned int access, gpa_t *gpa)
{
	bool same = ctx->exit_access == access &&
		    offset_in_page(ctx->exit_gpa) == offset_in_page(gva);

	ctx->exit_access = UMBRA_EMUL_NO_ACCESS;
	*gpa = ctx->exit_gpa;
	return same;
}

/* A string goes through many pages: the newest translations stay. */
static int translate(struct umbra_emul *e, u64 gva, unsigned int access, gpa_t *gpa)
{
	struct umbra_x86_emul *ctx = ctx_of(e);
	struct umbra_emul_page *page;
	unsigned int i;
	int r;

	for (i = 0; i < min_t(unsigned int, ctx->nr_pages, UMBRA_EMUL_PAGES); i++) {
		page = &ctx->pages[i];
		if (page->page == (gva & PAGE_MASK) && page->access == access) {
			*gpa = page->gpa | offset_in_page(gva);
			return UMBRA_EMUL_OK;
		}
	}
	r = is_exits(ctx, gva, access, gpa) ? UMBRA_EMUL_OK : walk_page(e, gva, access, gpa);
	if (!r) {
		page = &ctx->pages[ctx->nr_pages++ % UMBRA_EMUL_PAGES];
		page->page = gva & PAGE_MASK;
		page->access = access;
		page->gpa = *gpa & PAGE_MASK;
	}
	return r;
}

/* Translate an access that may cross into a second page; the lower faults first. */
static int translate_range(struct umbra_emul *e, u64 gva, unsigned int bytes,
			   unsigned int access, gpa_t gpa[2], unsigned int *first)
{
	int r = translate(e, gva, access, &gpa[0]);

	*first = min_t(unsigned int, bytes, PAGE_SIZE - offset_in_page(gva));
	if (r || *first == bytes)
		return r;
	return translate(e, gva + *first, access, &gpa[1]);
}

static int host_gone(struct umbra_emul *e)
{
	ctx_of(e)->err = -EFAULT;
	return UMBRA_EMUL_UNHANDLEABLE;
}

/* What is not memory, in the pieces of 8 bytes that an exit can show. */
static int mmio_pieces(struct umbra_vcpu *vcpu, gpa_t gpa, void *val,
		       unsigned int bytes, bool write)
{
	while (bytes) {
		unsigned int n = min(bytes, 8U);
		int r = write ? umbra_io_mmio_write(vcpu, gpa, val, n) :
				umbra_io_mmio_read(vcpu, gpa, val, n);

		if (r)
			return r;
		gpa += n;
		val += n;
		bytes -= n;
	}
	return UMBRA_EMUL_OK;
}

/* Within one page. */
static int read_phys(struct umbra_emul *e, gpa_t gpa, void *val, unsigned int bytes)
{
	struct umbra_vcpu *vcpu = vcpu_of(e);

	if (is_memory(vcpu, gpa, UMBRA_ACCESS_READ))
		return umbra_guest_read(&vcpu->vm->mmu, gpa, val, bytes) ?
		       host_gone(e) : UMBRA_EMUL_OK;
	return mmio_pieces(vcpu, gpa, val, bytes, false);
}

static int write_phys(struct umbra_emul *e, gpa_t gpa, const void *val,
		      unsigned int bytes)
{
	struct umbra_vcpu *vcpu = vcpu_of(e);

	if (is_memory(vcpu, gpa, UMBRA_ACCESS_WRITE))
		return umbra_guest_write(&vcpu->mmu, gpa, val, bytes) ?
		       host_gone(e) : UMBRA_EMUL_OK;
	return mmio_pieces(vcpu, gpa, (void *)val, bytes, true);
}

/*
 * Instruction bytes inside a page. A copy of unknown size has its checks and its loop;
 * most often 16 bytes are there for the 15 that are wanted.
 */
static __always_inline int copy_insn(void *val, void __user *hva, unsigned int bytes)
{
	u64 __user *from = hva;
	u64 words[2];

	if (unlikely(bytes != UMBRA_EMUL_INSN_MAX ||
		     offset_in_page(hva) > PAGE_SIZE - sizeof(words)))
		return __copy_from_user_inatomic(val, hva, bytes) ? -EFAULT : 0;
	if (__get_user(words[0], from) || __get_user(words[1], from + 1))
		return -EFAULT;
	memcpy(val, words, UMBRA_EMUL_INSN_MAX);
	return 0;
}

int umbra_emul_fetch(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes)
{
	struct umbra_x86_emul *ctx = ctx_of(e);
	struct umbra_memslot *slot;
	gpa_t gpa;
	void __user *hva;
	int r = walk_page(e, gva, UMBRA_ACCESS_FETCH, &gpa);

	if (r)
		return r;
	slot = umbra_memslots_find(umbra_mmu_slots(&ctx->vcpu->vm->mmu), gpa >> PAGE_SHIFT);
	if (!slot)
		return UMBRA_EMUL_UNHANDLEABLE;
	hva = (void __user *)umbra_slot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa);
	if (!ctx->atomic)
		return copy_insn(val, hva, bytes) ? host_gone(e) : UMBRA_EMUL_OK;
	pagefault_disable();
	ctx->sleep = copy_insn(val, hva, bytes);
	pagefault_enable();
	return ctx->sleep ? UMBRA_EMUL_UNHANDLEABLE : UMBRA_EMUL_OK;
}

int umbra_emul_read(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes,
		    unsigned int access)
{
	unsigned int first;
	gpa_t gpa[2];
	int r = translate_range(e, gva, bytes, access, gpa, &first);

	r = r ?: read_phys(e, gpa[0], val, first);
	if (r || first == bytes)
		return r;
	return read_phys(e, gpa[1], val + first, bytes - first);
}

int umbra_emul_write(struct umbra_emul *e, u64 gva, const void *val, unsigned int bytes,
		     unsigned int access)
{
	unsigned int first;
	gpa_t gpa[2];
	int r = translate_range(e, gva, bytes, access | UMBRA_ACCESS_WRITE, gpa, &first);

	r = r ?: write_phys(e, gpa[0], val, first);
	if (r || first == bytes)
		return r;
	return write_phys(e, gpa[1], val + first, bytes - first);
}

int umbra_emul_probe(struct umbra_emul *e, u64 gva, unsigned int bytes,
		     unsigned int access)
{
	unsigned int first;
	gpa_t gpa[2];

	return translate_range(e, gva, bytes, access, gpa, &first);
}

#define CMPXCHG_USER(type, hva, old, new) ({				\
	__label__ fault;						\
	type cmpxchg_old, cmpxchg_new;					\
									\
	memcpy(&cmpxchg_old, old, sizeof(type));			\
	memcpy(&cmpxchg_new, new, sizeof(type));			\
	__try_cmpxchg_user((type __user *)(hva), &cmpxchg_old, cmpxchg_new, fault); \
})

/* The kernel has this for 8 bytes at most. */
static int cmpxchg16_hva(void __user *hva, const u64 *old, const u64 *new)
{
	u64 low = old[0], high = old[1];
	int err = -EFAULT;
	bool equal;

	if (!user_access_begin(hva, 16))
		return err;
	asm volatile("1: lock cmpxchg16b (%[hva])\n"
		     "   movl $0, %[err]\n"
		     "2:\n"
		     _ASM_EXTABLE_UA(1b, 2b)
		     : "=@ccz" (equal), "+a" (low), "+d" (high), [err] "+r" (err)
		     : [hva] "r" (hva), "b" (new[0]), "c" (new[1])
		     : "memory");
	user_access_end();
	return err ?: !equal;
}

struct exchange {
	const void *old, *new;
	unsigned int bytes;
};

static int cmpxchg_hva(void __user *hva, void *arg)
{
	const struct exchange *x = arg;
	const void *old = x->old, *new = x->new;

	switch (x->bytes) {
	case 1:
		return CMPXCHG_USER(u8, hva, old, new);
	case 2:
		return CMPXCHG_USER(u16, hva, old, new);
	case 4:
		return CMPXCHG_USER(u32, hva, old, new);
	case 8:
		return CMPXCHG_USER(u64, hva, old, new);
	case 16:
		return cmpxchg16_hva(hva, old, new);
	default:
		return -EOPNOTSUPP;
	}
}

/* What is not memory, or crosses a page, has no locked access to offer. */
int umbra_emul_exchange(struct umbra_emul *e, u64 gva, const void *old, const void *new,
			unsigned int bytes)
{
	struct exchange exchange = { old, new, bytes };
	struct umbra_vcpu *vcpu = vcpu_of(e);
	struct umbra_memslot *slot;
	unsigned int first;
	gpa_t gpa[2];
	int r = translate_range(e, gva, bytes, UMBRA_ACCESS_WRITE, gpa, &first);

	if (r)
		return r;
	slot = umbra_memslots_find(umbra_mmu_slots(&vcpu->vm->mmu), gpa[0] >> PAGE_SHIFT);
	if (first != bytes || !slot || umbra_slot_readonly(slot))
		return umbra_emul_write(e, gva, new, bytes, UMBRA_ACCESS_WRITE);
	r = umbra_guest_update(&vcpu->mmu, slot, gpa[0], bytes, cmpxchg_hva, &exchange);
	if (r == -EFAULT)
		return host_gone(e);
	if (r < 0)
		return UMBRA_EMUL_UNHANDLEABLE;
	return r ? UMBRA_EMUL_RETRY : UMBRA_EMUL_OK;
}
