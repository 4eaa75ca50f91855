// SPDX-License-Identifier: GPL-2.0-only
/*
 * A CPU that changes its mode: WP, NX, SMEP, PGE, paging on and off, 32-bit paging and
 * PAE. Proves that an access has the rights and the translation of the mode that it is
 * made in, though the tables stay the same ones.
 */
#include "paging.h"
#include "ring3.h"
#include "shadow.h"

#define CR4_SMEP BIT(20)
#define CR0_WP BIT(16)
#define EFER_NX BIT(11)
#define MSR_EFER 0xc0000080

static u64 guest_read_cr0(void)
{
	u64 v;

	asm volatile("mov %%cr0, %0" : "=r" (v));
	return v;
}

static void guest_write_cr0(u64 v)
{
	asm volatile("mov %0, %%cr0" : : "r" (v) : "memory");
}

/* --- rights --- */

/* The emulated CPU leaves P out of the error code, which real ones set. */
static void guest_expect_reserved(u64 gva)
{
	struct guest_trap t;

	guest_try(t, "cmpb $0, (%[p])", [p] "r" (gva));
	GUEST_ASSERT_EQ(X86_TRAP_PF, t.vector);
	GUEST_ASSERT_EQ(ERROR_RSVD, t.error & ~ERROR_P);
}

static void guest_rights(void *arg)
{
	struct env *e = arg;
	u64 cr0 = guest_read_cr0(), efer = guest_rdmsr(MSR_EFER);
	u64 *pde = table_entry(&e->t, e->root, GVA, 2), old = *pde;
	int i;

	guest_write_cr3(e->root);
	for (i = 0; i < 20; i++) {
		change(e->pte, page(e, 1) | PTE_RW, GVA);
		guest_expect_user(GVA, true, NO_FAULT);
		change(e->pte, page(e, 1) | PTE_RO, GVA);
		guest_expect_user(GVA, false, NO_FAULT);
		guest_expect_user(GVA, true, ERROR_P | ERROR_W | ERROR_U);
		guest_expect(GVA, true, ERROR_P | ERROR_W);
		/* WP: the supervisor may, the user may not, and both look by turns. */
		guest_write_cr0(cr0 & ~CR0_WP);
		guest_expect(GVA, true, NO_FAULT);
		guest_expect_user(GVA, false, NO_FAULT);
		guest_expect_user(GVA, true, ERROR_P | ERROR_W | ERROR_U);
		guest_expect(GVA, true, NO_FAULT);
		guest_write_cr0(cr0);
		guest_expect(GVA, true, ERROR_P | ERROR_W);
		/* NX is reserved without EFER.NX. */
		change(e->pte, page(e, 1) | PTE_RW | PTE_NX, GVA);
		guest_expect(GVA, true, NO_FAULT);
		guest_wrmsr(MSR_EFER, efer & ~EFER_NX);
		guest_expect_reserved(GVA);
		guest_wrmsr(MSR_EFER, efer);
		guest_expect(GVA, false, NO_FAULT);
		/* Not for the user: here, and above. */
		change(e->pte, page(e, 1) | (PTE_RW & ~PTE_U), GVA);
		guest_expect_user(GVA, false, ERROR_P | ERROR_U);
		guest_expect(GVA, true, NO_FAULT);
		change(e->pte, page(e, 1) | PTE_RW, GVA);
		change(pde, old & ~PTE_U, GVA);
		guest_expect_user(GVA, true, ERROR_P | ERROR_U | ERROR_W);
		guest_expect(GVA, true, NO_FAULT);
		change(pde, old, GVA);
		guest_expect_user(GVA, true, NO_FAULT);
	}
}

TEST_F(shadow, rights_while_modes_change)
{
	user_setup(self->vm);
	vcpu_call(self->vcpu, guest_rights, self->env);
}

/* --- modes of the CPU --- */

/* EAX: a word that was read, and raised by one, with paging off; EDI: its address. */
asm(".pushsection .text\n"
"guest_flat_trip:\n"
"	push %rbx\n"
"	push %rbp\n"
"	push %r12\n"
"	push %r13\n"
"	push %r14\n"
"	push %r15\n"
"	ljmpl *4f\n"
"	.code32\n"
"1:	mov %cr0, %eax\n"
"	and $0x7fffffff, %eax\n"
"	mov %eax, %cr0\n"
"	mov (%edi), %ecx\n"
"	incl (%edi)\n"
"	mov %cr0, %eax\n"
"	or $0x80000000, %eax\n"
"	mov %eax, %cr0\n"
"	ljmpl $0x08, $2f\n"
"	.code64\n"
"2:	mov %esp, %esp\n"
"	mov %ecx, %eax\n"
"	pop %r15\n"
"	pop %r14\n"
"	pop %r13\n"
"	pop %r12\n"
"	pop %rbp\n"
"	pop %rbx\n"
"	ret\n"
"	.balign 8\n"
"4:	.long 1b\n"
"	.word 0x18\n"
".popsection");

u32 guest_flat_trip(u64 address);

/* A vCPU that counts, with 32-bit paging and without by turns; EBX: struct flat. */
asm(".pushsection .text\n"
"	.code32\n"
"guest_flat_loop:\n"
"	mov $0x10, %eax\n"		/* PSE */
"	mov %eax, %cr4\n"
"	mov (%ebx), %eax\n"
"	mov %eax, %cr3\n"
"1:	mov 4(%ebx), %ecx\n"
"	lock incl (%ecx)\n"
"	incl 16(%ebx)\n"
"	mov %cr0, %eax\n"
"	xor $0x80000000, %eax\n"
"	mov %eax, %cr0\n"
"	mov 8(%ebx), %ecx\n"
"	cmpl $0, (%ecx)\n"
"	je 1b\n"
"	mov 12(%ebx), %eax\n"
"	outl %eax, $0x5c\n"
/* PAE: an entry of the top table is made after CR3 was loaded; EBX: struct pae. */
"guest_pae:\n"
"	mov $0x20, %eax\n"
"	mov %eax, %cr4\n"
"	mov (%ebx), %eax\n"
"	mov %eax, %cr3\n"
"	mov %cr0, %edx\n"
"	or $0x80000000, %edx\n"
"	mov %edx, %cr0\n"
"	mov 4(%ebx), %ecx\n"
"	mov 8(%ebx), %edx\n"
"	mov %edx, (%ecx)\n"
"	cmpl $0, 12(%ebx)\n"
"	je 1f\n"
"	mov %eax, %cr3\n"
"1:	mov 0xc0000000, %eax\n"
"	mov %eax, 20(%ebx)\n"
"	mov 16(%ebx), %eax\n"
"	outl %eax, $0x5c\n"
"	.code64\n"
".popsection");

struct flat {
	u32 cr3, counter, stop, ucall, rounds;
};

struct pae {
	u32 cr3, entry, value, reload, ucall;
	u32 seen;
};

/* Where 32-bit code says that it is done: a struct ucall in boot memory. */
static u32 ucall_done(struct vm *vm)
{
	((struct ucall *)boot_hva(vm, 0x3000))->cmd = UCALL_DONE;
	return 0x3000;
}

static void start_flat(struct vcpu *vcpu, u64 code, void *arg)
{
	struct kvm_regs regs;

	vcpu_start_protected(vcpu, code, BOOT_STACKS + 2 * STACK_SIZE);
	vcpu_get_regs(vcpu, &regs);
	regs.rbx = (u64)arg;
	vcpu_set_regs(vcpu, &regs);
}

static u64 fetch_vector, fetch_error;

__attribute__((target("general-regs-only")))
static void guest_fetch_fault(struct guest_frame *f)
{
	GUEST_WRITE(&fetch_vector, f->vector);
	GUEST_WRITE(&fetch_error, f->error);
	f->rip = *(u64 *)f->rsp;
	f->rsp += 8;
}

static void guest_expect_fetch(u64 gva, u64 want)
{
	GUEST_WRITE(&fetch_vector, GUEST_NO_TRAP);
	guest_set_handler(X86_TRAP_PF, guest_fetch_fault);
	asm volatile("call *%0" : : "r" (gva) : "memory");
	guest_set_handler(X86_TRAP_PF, NULL);
	if (want == NO_FAULT) {
		GUEST_ASSERT_EQ(GUEST_NO_TRAP, GUEST_READ(&fetch_vector));
		return;
	}
	GUEST_ASSERT_EQ(X86_TRAP_PF, GUEST_READ(&fetch_vector));
	GUEST_ASSERT_EQ(want, GUEST_READ(&fetch_error));
}

/* arg[0]: CR4.SMEP or 0; arg[1]: rounds; arg[2], out: how often the word was raised. */
static void guest_modes(void *arg)
{
	struct env *e = arg;
	u64 cr4 = guest_read_cr4(), word = GVA + 512, count = 0, i;

	guest_write_cr3(e->root);
	GUEST_WRITE((u8 *)page(e, 2), 0xc3);
	for (i = 0; i < e->arg[1]; i++) {
		change(e->pte, page(e, 1) | PTE_RW, GVA);
		GUEST_WRITE((u32 *)word, GUEST_READ((u32 *)word) + 1);
		count++;
		GUEST_ASSERT_EQ(count, guest_flat_trip(page(e, 1) + 512));
		count++;
		GUEST_ASSERT_EQ(count, GUEST_READ((u32 *)word));
		guest_write_cr4(cr4 | (i & 1 ? CR4_PGE : 0));
		GUEST_ASSERT_EQ(101, READ_AT(GVA));
		change(e->pte, page(e, 2) | PTE_RW, GVA);
		guest_expect_fetch(GVA, NO_FAULT);
		guest_write_cr4(guest_read_cr4() | e->arg[0]);
		if (e->arg[0])
			guest_expect_fetch(GVA, ERROR_P | ERROR_I);
		change(e->pte, page(e, 2) | (PTE_RW & ~PTE_U), GVA);
		guest_expect_fetch(GVA, NO_FAULT);
		guest_write_cr4(cr4);
		change(e->pte, page(e, 2) | PTE_RW | PTE_NX, GVA);
		guest_expect_fetch(GVA, ERROR_P | ERROR_I);
		/* With paging off nothing of this counts; then another entry does. */
		guest_flat_trip(page(e, 3) + 512);
		change(e->pte, page(e, 3) | PTE_RW, GVA);
		GUEST_ASSERT_EQ(i + 1, GUEST_READ((u32 *)word));
	}
	e->arg[2] = count;
}

static bool cpuid_has_smep(void)
{
	const struct kvm_cpuid2 *c = umbra_cpuid();
	u32 i;

	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 7 && !c->entries[i].index)
			return c->entries[i].ebx >> 7 & 1;
	return false;
}

/* What the host does to memory that keeps its bytes, until @stop. */
struct taker {
	u8 *mem;
	size_t size;
	shared_u64 stop, taken;
};

static void *take_memory(void *arg)
{
	struct taker *t = arg;
	u64 seed = 99;

	while (!t->stop) {
		u64 offset = random_next(&seed) % (t->size / PAGE_4K) * PAGE_4K;

		t->taken += !madvise(t->mem + offset, PAGE_4K, MADV_DONTNEED);
		usleep(200);
	}
	return NULL;
}

/* What is dropped of shared memory comes back. */
static void share_memory(void *mem, size_t size)
{
	int fd = memfd_create("shared", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, size) || pwrite(fd, mem, size, 0) != size ||
	    mmap(mem, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != mem)
		die("memfd");
	close(fd);
}

static void modes_on_two(struct __test_metadata *_metadata, FIXTURE_DATA(shadow) * self)
{
	struct env *e = self->env;
	struct flat *flat = vm_mem(self->vm, PAGE_4K);
	u32 *pd = (u32 *)table_new(&e->t);
	shared_u64 *stop = (u64 *)(flat + 1);
	pthread_t thread;
	u32 i;

	/* Code of ring 0 must not be the user's with SMEP. */
	*(u64 *)e->root = e->identity & ~PTE_U;
	for (i = 0; i < 1024; i++)
		pd[i] = i << 22 | PTE_RW | PTE_PS;
	*flat = (struct flat) {
		.cr3 = (u64)pd, .counter = page(e, 1) + 1024, .stop = (u64)stop,
		.ucall = ucall_done(self->vm),
	};
	e->arg[0] = cpuid_has_smep() ? CR4_SMEP : 0;
	e->arg[1] = test_long() ? 1000 : 100;
	start_flat(self->other, LABEL(guest_flat_loop), flat);
	vcpu_start(self->vcpu, guest_modes, e);
	thread = vcpu_spawn(self->other);
	vcpu_done(self->vcpu);
	*stop = 1;
	vcpu_join(thread);
	EXPECT_EQ(2 * e->arg[1], e->arg[2]);
	EXPECT_EQ(e->arg[2], *(u32 *)(page(e, 1) + 512));
	EXPECT_LT(0, flat->rounds);
	EXPECT_EQ(flat->rounds, *(u32 *)(page(e, 1) + 1024));
}

TEST_F(shadow, modes_on_two_vcpus)
{
	modes_on_two(_metadata, self);
}

/* The same, and each translation may be gone at any time: of data, and of tables. */
TEST_F(shadow, modes_while_the_host_takes_memory)
{
	struct env *e = self->env;
	struct taker data = { .mem = (u8 *)e->data, .size = DATA_PAGES * PAGE_4K };
	struct taker tables = { .mem = (u8 *)e->root, .size = 8 * PAGE_4K };
	pthread_t thread[2];

	share_memory((void *)e->data, DATA_PAGES * PAGE_4K);
	share_memory((void *)(e->t.end - TABLES_SIZE), TABLES_SIZE);
	ASSERT_EQ(0, pthread_create(&thread[0], NULL, take_memory, &data));
	ASSERT_EQ(0, pthread_create(&thread[1], NULL, take_memory, &tables));
	modes_on_two(_metadata, self);
	data.stop = 1;
	tables.stop = 1;
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	EXPECT_LT(0, data.taken);
	EXPECT_LT(0, tables.taken);
}

/*
 * The top table of PAE is read with CR3, or whenever it is needed, as the CPU likes. An
 * entry that leads nowhere is nobody's business until it is used.
 */
static u64 pae_entry_made_late(FIXTURE_DATA(shadow) * self, bool reload, u64 unused)
{
	struct env *e = self->env;
	u64 *pdpt = (u64 *)table_new(&e->t), i, cmd;
	u64 *pd[3] = { (u64 *)table_new(&e->t), (u64 *)table_new(&e->t),
		       (u64 *)table_new(&e->t) };
	struct pae *pae = vm_mem(self->vm, PAGE_4K);

	for (i = 0; i < 1024; i++)
		pd[i / 512][i % 512] = i << 21 | PTE_RW | PTE_PS;
	pd[2][0] = (e->data & ~(PAGE_2M - 1)) | PTE_RW | PTE_PS;
	pdpt[0] = (u64)pd[0] | PTE_P;
	pdpt[1] = (u64)pd[1] | PTE_P;
	pdpt[2] = unused;
	*pae = (struct pae) {
		.cr3 = (u64)pdpt, .entry = (u64)(pdpt + 3), .value = (u64)pd[2] | PTE_P,
		.reload = reload, .ucall = ucall_done(self->vm),
	};
	start_flat(self->vcpu, LABEL(guest_pae), pae);
	cmd = vcpu_next(self->vcpu);
	return cmd == UCALL_DONE ? GUEST_READ(&pae->seen) : 0;
}

TEST_F(shadow, pae_entry_made_before_cr3)
{
	EXPECT_EQ(100, pae_entry_made_late(self, true, 0));
}

TEST_F(shadow, pae_entry_made_after_cr3)
{
	u64 seen = pae_entry_made_late(self, false, 0);

	if (seen != 100)
		EXPECT_EQ(KVM_EXIT_SHUTDOWN, self->vcpu->run->exit_reason);
}

TEST_F(shadow, pae_entry_that_leads_nowhere)
{
	EXPECT_EQ(100, pae_entry_made_late(self, true, 0xe0000000UL | PTE_P));
}

UMBRA_TEST_MAIN
