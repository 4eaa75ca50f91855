// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator at work on a vCPU: its callbacks, and what becomes of its results.
 *
 * It is asked when the hardware could not finish an instruction (MMIO, string IO,
 * control and debug registers), and for the length of one that was intercepted.
 *
 * Locks: mmu->srcu held; current->mm is the VM's.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/msr-index.h>

#include "emul.h"
#include "irqchip.h"
#include "shadow.h"

static struct umbra_x86_emul *ctx_of(struct umbra_emul *e)
{
	return e->priv;
}

static struct umbra_vcpu *vcpu_of(struct umbra_emul *e)
{
	return ctx_of(e)->vcpu;
}

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

static int em_fetch(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes)
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

static int em_read(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes,
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

static int em_write(struct umbra_emul *e, u64 gva, const void *val, unsigned int bytes,
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

static int em_probe(struct umbra_emul *e, u64 gva, unsigned int bytes,
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
static int em_exchange(struct umbra_emul *e, u64 gva, const void *old, const void *new,
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
		return em_write(e, gva, new, bytes, UMBRA_ACCESS_WRITE);
	r = umbra_guest_update(&vcpu->mmu, slot, gpa[0], bytes, cmpxchg_hva, &exchange);
	if (r == -EFAULT)
		return host_gone(e);
	if (r < 0)
		return UMBRA_EMUL_UNHANDLEABLE;
	return r ? UMBRA_EMUL_RETRY : UMBRA_EMUL_OK;
}

static int em_pio_in(struct umbra_emul *e, u16 port, void *val, unsigned int bytes,
		     unsigned int ahead)
{
	return umbra_io_pio_in(vcpu_of(e), port, val, bytes, ahead);
}

static int em_pio_out(struct umbra_emul *e, u16 port, const void *val,
		      unsigned int bytes, unsigned int ahead)
{
	return umbra_io_pio_out(vcpu_of(e), port, val, bytes);
}

static void em_iteration_done(struct umbra_emul *e)
{
	umbra_io_commit(vcpu_of(e));
}

static void em_get_segment(struct umbra_emul *e, enum umbra_emul_segment seg,
			   struct kvm_segment *val)
{
	umbra_backend->get_segment(vcpu_of(e), seg, val);
}

static void em_set_segment(struct umbra_emul *e, enum umbra_emul_segment seg,
			   const struct kvm_segment *val)
{
	umbra_backend->set_segment(vcpu_of(e), seg, val);
}

static void em_get_dt(struct umbra_emul *e, bool idt, struct kvm_dtable *val)
{
	umbra_backend->get_dt(vcpu_of(e), idt, val);
}

static void em_set_dt(struct umbra_emul *e, bool idt, const struct kvm_dtable *val)
{
	umbra_backend->set_dt(vcpu_of(e), idt, val);
}

static int gp_if(struct umbra_emul *e, int err)
{
	return err ? umbra_emul_fault(e, 13, true, 0) : UMBRA_EMUL_OK;
}

static int em_get_cr(struct umbra_emul *e, unsigned int nr, u64 *val)
{
	return umbra_get_cr(vcpu_of(e), nr, val) ? umbra_emul_fault(e, 6, false, 0) :
						   UMBRA_EMUL_OK;
}

static int em_set_cr(struct umbra_emul *e, unsigned int nr, u64 val)
{
	return gp_if(e, umbra_set_cr(vcpu_of(e), nr, val));
}

/* DR4 and DR5 do not exist with CR4.DE; DR7.GD guards them all. */
static int dr_access(struct umbra_emul *e, unsigned int *nr)
{
	struct umbra_arch_vcpu *arch = &vcpu_of(e)->arch;

	if (*nr == 4 || *nr == 5) {
		if (arch->cr4 & X86_CR4_DE)
			return umbra_emul_fault(e, 6, false, 0);
		*nr += 2;
	}
	if (umbra_debug_dr7(vcpu_of(e)) & UMBRA_DR7_GD)
		return umbra_emul_fault(e, 1, false, 0);
	return UMBRA_EMUL_OK;
}

static int em_get_dr(struct umbra_emul *e, unsigned int nr, u64 *val)
{
	int r = dr_access(e, &nr);

	return r ?: umbra_get_dr(vcpu_of(e), nr, val);
}

static int em_set_dr(struct umbra_emul *e, unsigned int nr, u64 val)
{
	int r = dr_access(e, &nr);

	return r ?: gp_if(e, umbra_set_dr(vcpu_of(e), nr, val));
}

static int em_get_msr(struct umbra_emul *e, u32 index, u64 *val)
{
	/* The processor is the one to see that the filter refuses it. */
	if (umbra_msr_denied(vcpu_of(e), index, false))
		return UMBRA_EMUL_RETRY;
	return gp_if(e, umbra_get_msr(vcpu_of(e), index, val, false));
}

static int em_set_msr(struct umbra_emul *e, u32 index, u64 val)
{
	if (umbra_msr_denied(vcpu_of(e), index, true))
		return UMBRA_EMUL_RETRY;
	return gp_if(e, umbra_set_msr(vcpu_of(e), index, val, false));
}

static int em_set_xcr(struct umbra_emul *e, u32 index, u64 val)
{
	return gp_if(e, index ? -EINVAL : umbra_set_xcr0(vcpu_of(e), val));
}

static int em_cpuid(struct umbra_emul *e, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	if (umbra_cpuid_faults(vcpu_of(e)))
		return umbra_emul_fault(e, 13, true, 0);
	umbra_cpuid(vcpu_of(e), eax, ebx, ecx, edx);
	return UMBRA_EMUL_OK;
}

static int em_halt(struct umbra_emul *e)
{
	vcpu_of(e)->arch.halted = true;
	return UMBRA_EMUL_OK;
}

static int em_invlpg(struct umbra_emul *e, u64 gva)
{
	if (umbra_shadowed(vcpu_of(e)))
		umbra_shadow_invlpg(vcpu_of(e), gva);
	else
		umbra_backend->flush(vcpu_of(e));
	return UMBRA_EMUL_OK;
}

static int em_get_vec(struct umbra_emul *e, unsigned int reg, void *val,
		      unsigned int bytes)
{
	umbra_fpu_get_vec(vcpu_of(e), reg, val, bytes);
	return UMBRA_EMUL_OK;
}

static int em_set_vec(struct umbra_emul *e, unsigned int reg, const void *val,
		      unsigned int bytes, bool zero_upper)
{
	umbra_fpu_set_vec(vcpu_of(e), reg, val, bytes, zero_upper);
	return UMBRA_EMUL_OK;
}

static const struct umbra_emul_ops emul_ops = {
	.fetch = em_fetch,
	.read = em_read,
	.write = em_write,
	.probe = em_probe,
	.exchange = em_exchange,
	.pio_in = em_pio_in,
	.pio_out = em_pio_out,
	.iteration_done = em_iteration_done,
	.get_segment = em_get_segment,
	.set_segment = em_set_segment,
	.get_dt = em_get_dt,
	.set_dt = em_set_dt,
	.get_cr = em_get_cr,
	.set_cr = em_set_cr,
	.get_dr = em_get_dr,
	.set_dr = em_set_dr,
	.get_msr = em_get_msr,
	.set_msr = em_set_msr,
	.set_xcr = em_set_xcr,
	.cpuid = em_cpuid,
	.halt = em_halt,
	.invlpg = em_invlpg,
	.get_vec = em_get_vec,
	.set_vec = em_set_vec,
};

static struct umbra_x86_emul *emul_begin(struct umbra_vcpu *vcpu, bool atomic)
{
	struct umbra_x86_emul *ctx = vcpu->arch.emul;
	struct umbra_emul *e = &ctx->e;

	e->rip = vcpu->arch.rip;
	e->rflags = vcpu->arch.rflags;
	e->mode = umbra_cpu_mode(vcpu);
	e->cpl = umbra_backend->cpl(vcpu);
	e->intel = vcpu->arch.limits.intel;
	e->insn_valid = 0;
	ctx->decoded = false;
	ctx->atomic = atomic;
	ctx->sleep = false;
	ctx->err = 0;
	ctx->nr_pages = 0;
	return ctx;
}

/**
 * umbra_emul_vcpu_init() - make the vCPU's workplace
 * @vcpu: the vCPU
 *
 * Return: 0 or -ENOMEM.
 */
int umbra_emul_vcpu_init(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_emul *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);

	if (!ctx)
		return -ENOMEM;
	ctx->vcpu = vcpu;
	ctx->e.ops = &emul_ops;
	ctx->e.priv = ctx;
	ctx->e.regs = vcpu->arch.regs;
	vcpu->arch.emul = ctx;
	return 0;
}

void umbra_emul_vcpu_destroy(struct umbra_vcpu *vcpu)
{
	kfree(vcpu->arch.emul);
	vcpu->arch.emul = NULL;
}

/* An ioctl changed registers: what was decoded may be another instruction. */
void umbra_emul_forget(struct umbra_vcpu *vcpu)
{
	vcpu->arch.emul->decoded = false;
}

/* KVM_EXIT_INTERNAL_ERROR with up to 15 instruction bytes. */
int umbra_report_emulation(struct umbra_vcpu *vcpu, const u8 *insn, unsigned int len)
{
	struct kvm_run *run = vcpu->run;

	vcpu->stat.insn_emulation_fail++;
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 1;
	if (len) {
		run->emulation_failure.ndata = 3;
		run->emulation_failure.flags =
			KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = len;
		memcpy(run->emulation_failure.insn_bytes, insn, len);
	}
	return UMBRA_RUN_USER;
}

/* KVM_EXIT_INTERNAL_ERROR with numbers of the hardware's. */
int umbra_report_internal(struct umbra_vcpu *vcpu, u32 suberror, unsigned int n,
			  const u64 *data)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = suberror;
	run->internal.ndata = n;
	memcpy(run->internal.data, data, n * sizeof(*data));
	return UMBRA_RUN_USER;
}

/**
 * umbra_advance() - an instruction was done for the guest
 * @vcpu: the vCPU
 * @rip: behind it
 */
void umbra_advance(struct umbra_vcpu *vcpu, u64 rip)
{
	vcpu->arch.rip = rip;
	vcpu->arch.rflags &= ~X86_EFLAGS_RF;
	umbra_backend->set_int_shadow(vcpu, false);
	if (unlikely(vcpu->arch.rflags & X86_EFLAGS_TF))
		umbra_debug_trap(vcpu, UMBRA_DR6_BS);
}

static int emul_failed(struct umbra_x86_emul *ctx, int result)
{
	const struct umbra_emul_fault *fault = &ctx->e.fault;
	struct umbra_vcpu *vcpu = ctx->vcpu;

	switch (result) {
	case UMBRA_EMUL_FAULT:
		if (fault->vector == 14)
			umbra_queue_page_fault(vcpu, fault->address, fault->error);
		else if (fault->vector == 1)
			umbra_debug_trap(vcpu, UMBRA_DR6_BD);
		else
			umbra_queue_exception(vcpu, fault->vector, fault->has_error,
					      fault->error);
		return UMBRA_RUN_RAISED;
	case UMBRA_EMUL_UNHANDLEABLE:
		if (ctx->sleep)
			return UMBRA_RUN_SLOW;
		if (ctx->err)
			return ctx->err;
		return umbra_report_emulation(vcpu, ctx->e.insn, ctx->e.insn_valid);
	default:
		return UMBRA_RUN_AGAIN;
	}
}

/**
 * umbra_skip_insn() - go behind the current instruction, by its length
 * @vcpu: the vCPU
 * @atomic: do not sleep
 *
 * Return: UMBRA_RUN_AGAIN when RIP is behind it; UMBRA_RUN_SLOW to be asked again
 * without @atomic; UMBRA_RUN_RAISED when its bytes could not be fetched in the guest;
 * UMBRA_RUN_USER; -EFAULT.
 */
int umbra_skip_insn(struct umbra_vcpu *vcpu, bool atomic)
{
	struct umbra_x86_emul *ctx = emul_begin(vcpu, atomic);
	int r = umbra_decode(&ctx->e);
	u64 rip;

	if (r == UMBRA_EMUL_RETRY)
		return UMBRA_RUN_RAISED;
	if (r)
		return emul_failed(ctx, r);
	rip = ctx->e.rip + ctx->e.len;
	umbra_advance(vcpu, ctx->e.mode == UMBRA_EMUL_LONG64 ? rip : (u32)rip);
	return UMBRA_RUN_AGAIN;
}

/* Effects of an instruction that the emulator finished. */
static int emul_done(struct umbra_x86_emul *ctx)
{
	struct umbra_vcpu *vcpu = ctx->vcpu;
	int r;

	umbra_backend->set_int_shadow(vcpu, ctx->e.int_shadow);
	if (ctx->e.trap)
		umbra_debug_trap(vcpu, UMBRA_DR6_BS);
	r = umbra_io_end(vcpu, UMBRA_EMUL_OK);
	if (r || !vcpu->arch.halted)
		return r;
	vcpu->arch.halted = false;
	return umbra_halt(vcpu);
}

/* Decode and execute once; what was decoded before an exit is still good. */
static int emul_once(struct umbra_x86_emul *ctx)
{
	struct umbra_vcpu *vcpu = ctx->vcpu;
	int result = UMBRA_EMUL_OK;

	if (!ctx->decoded) {
		emul_begin(vcpu, false);
		result = umbra_decode(&ctx->e);
		if (result || !umbra_one_access(&ctx->e))
			ctx->exit_access = UMBRA_EMUL_NO_ACCESS;
	}
	umbra_io_begin(vcpu);
	if (!result)
		result = umbra_emulate(&ctx->e);
	ctx->decoded = result == UMBRA_EMUL_IO_NEEDED;
	/* Iterations of a string are committed whatever the result. */
	vcpu->arch.rip = ctx->e.rip;
	vcpu->arch.rflags = ctx->e.rflags;
	return result;
}

static int emulate(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_emul *ctx = vcpu->arch.emul;
	int result, r;

	do {
		result = emul_once(ctx);
		if (result == UMBRA_EMUL_OK)
			return emul_done(ctx);
	} while (result == UMBRA_EMUL_REPEAT && !ctx->e.trap && umbra_io_has_input(vcpu));

	if (result == UMBRA_EMUL_UNHANDLEABLE)
		return emul_failed(ctx, result);
	if (result == UMBRA_EMUL_REPEAT && ctx->e.trap)
		umbra_debug_trap(vcpu, UMBRA_DR6_BS);
	/* What finished iterations have written is shown before a fault is taken. */
	r = emul_failed(ctx, result);
	return umbra_io_end(vcpu, result) ?: r;
}

/**
 * umbra_emulate_insn() - emulate the instruction at RIP
 * @vcpu: the vCPU, outside the inner section; may sleep
 *
 * Return: enum umbra_verdict but UMBRA_RUN_SLOW; -EFAULT when the host has no memory
 * behind the guest's.
 */
int umbra_emulate_insn(struct umbra_vcpu *vcpu)
{
	vcpu->stat.insn_emulation++;
	umbra_emul_forget(vcpu);
	vcpu->arch.emul->exit_access = UMBRA_EMUL_NO_ACCESS;
	return emulate(vcpu);
}

/**
 * umbra_emulate_access() - emulate the instruction at RIP, stopped at an access
 * @vcpu: the vCPU, outside the inner section; may sleep
 * @gpa: where the processor wanted to go with data
 * @write: what for
 *
 * Return: as umbra_emulate_insn().
 */
int umbra_emulate_access(struct umbra_vcpu *vcpu, gpa_t gpa, bool write)
{
	struct umbra_x86_emul *ctx = vcpu->arch.emul;

	vcpu->stat.insn_emulation++;
	umbra_emul_forget(vcpu);
	ctx->exit_gpa = gpa;
	ctx->exit_access = write ? UMBRA_ACCESS_WRITE : UMBRA_ACCESS_READ;
	return emulate(vcpu);
}

/**
 * umbra_emulate_again() - go on with an instruction that waited for userspace
 * @vcpu: the vCPU; the answer is noted
 *
 * Return: as umbra_emulate_insn().
 */
int umbra_emulate_again(struct umbra_vcpu *vcpu)
{
	return emulate(vcpu);
}
