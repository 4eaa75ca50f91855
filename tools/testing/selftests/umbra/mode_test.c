// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest changes its mode by itself. Proves that a guest gets from real to
 * protected to long mode and back, as a boot loader does, with the state that
 * KVM_GET_SREGS shows right at each stop; that real mode interrupts go through
 * the vector table; and that a change of CR3 and of the guest's page tables
 * changes what it sees.
 */
#include "test.h"

FIXTURE(mode) {
	struct vm *vm;
	struct vcpu *vcpu;
};

FIXTURE_SETUP(mode)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
}

FIXTURE_TEARDOWN(mode)
{
	vm_free(self->vm);
}

/* The trip runs at 0x1000; each stop is a write to port 0x42. */
#define TRIP 0x1000
#define TRIP_CR3 0x2000
#define TRIP_WORD 0x2008
#define STOP_PORT 0x42

asm(".pushsection .rodata\n"
"trip:	.code16\n"
"	cli\n"
"	movb $1, %al\n"
"	outb %al, $0x42\n"
"	lgdtl 2f - trip + 0x1000\n"
"	movl %cr0, %eax\n"
"	orb $1, %al\n"
"	movl %eax, %cr0\n"
"	ljmpl $0x18, $(3f - trip + 0x1000)\n"
"2:	.word 0x3f\n"		/* the GDT of the library */
"	.long 0x300000\n"
"3:	.code32\n"
"	movw $0x10, %ax\n"
"	movw %ax, %ds\n"
"	movw %ax, %es\n"
"	movw %ax, %ss\n"
"	movb $2, %al\n"
"	outb %al, $0x42\n"
"	movl %cr4, %eax\n"
"	orl $0x20, %eax\n"	/* PAE */
"	movl %eax, %cr4\n"
"	movl 0x2000, %eax\n"
"	movl %eax, %cr3\n"
"	movl $0xc0000080, %ecx\n"
"	rdmsr\n"
"	orl $0x100, %eax\n"	/* EFER.LME */
"	wrmsr\n"
"	movl %cr0, %eax\n"
"	orl $0x80000000, %eax\n"
"	movl %eax, %cr0\n"
"	movb $3, %al\n"		/* compatibility mode */
"	outb %al, $0x42\n"
"	ljmpl $0x08, $(4f - trip + 0x1000)\n"
"4:	.code64\n"
"	movb $4, %al\n"
"	outb %al, $0x42\n"
"	movabsq $0x1122334455667788, %rax\n"
"	movq %rax, 0x2008\n"
"	ljmpl *(5f - trip + 0x1000)\n"
"5:	.long 6f - trip + 0x1000\n"
"	.word 0x18\n"
"6:	.code32\n"
"	movl %cr0, %eax\n"
"	andl $0x7fffffff, %eax\n"
"	movl %eax, %cr0\n"
"	movl $0xc0000080, %ecx\n"
"	rdmsr\n"
"	andl $~0x100, %eax\n"
"	wrmsr\n"
"	movb $5, %al\n"		/* protected mode again */
"	outb %al, $0x42\n"
"	ljmpl $0x20, $(7f - trip + 0x1000)\n"
"7:	.code16\n"
"	movw $0x28, %ax\n"
"	movw %ax, %ds\n"
"	movw %ax, %ss\n"
"	movl %cr0, %eax\n"
"	andb $0xfe, %al\n"
"	movl %eax, %cr0\n"
"	ljmpw $0, $(8f - trip + 0x1000)\n"
"8:	xorw %ax, %ax\n"
"	movw %ax, %ds\n"
"	movw %ax, %ss\n"
"	movw $0x8000, %sp\n"
"	movb $6, %al\n"		/* real mode again */
"	outb %al, $0x42\n"
"	int $0x21\n"
"	movb $8, %al\n"
"	outb %al, $0x42\n"
"trip_real_isr:\n"
"	movb $7, %al\n"
"	outb %al, $0x42\n"
"	iretw\n"
"trip_end:\n"
"	.code64\n"
"	.popsection");

/* Runs to the next stop and returns its number. */
static int next_stop(struct vcpu *vcpu, struct kvm_sregs *s)
{
	struct kvm_run *run = vcpu->run;

	if (vcpu_next(vcpu) != UCALL_NONE || run->exit_reason != KVM_EXIT_IO ||
	    run->io.port != STOP_PORT)
		die("%s", vcpu_exit_name(vcpu));
	vcpu_get_sregs(vcpu, s);
	return *((u8 *)run + run->io.data_offset);
}

#define PE 1UL
#define PG BIT(31)
#define LME BIT(8)
#define LMA BIT(10)

TEST_F(mode, real_to_long_and_back)
{
	struct kvm_sregs s;

	memcpy(boot_hva(self->vm, TRIP), (void *)LABEL(trip), LABEL(trip_end) - LABEL(trip));
	*(u64 *)boot_hva(self->vm, TRIP_CR3) = self->vm->cr3;
	/* Vector 0x21 of the real mode table. */
	*(u32 *)boot_hva(self->vm, 4 * 0x21) = LABEL(trip_real_isr) - LABEL(trip) + TRIP;
	vcpu_start_real(self->vcpu, TRIP, 0x8000);

	ASSERT_EQ(1, next_stop(self->vcpu, &s));
	EXPECT_EQ(0, s.cr0 & (PE | PG));
	ASSERT_EQ(2, next_stop(self->vcpu, &s));
	EXPECT_EQ(PE, s.cr0 & (PE | PG));
	EXPECT_EQ(SEL_CODE32, s.cs.selector);
	EXPECT_EQ(1, s.cs.db);
	EXPECT_EQ(0xffffffff, s.ds.limit);
	EXPECT_EQ(0, s.efer & (LME | LMA));
	ASSERT_EQ(3, next_stop(self->vcpu, &s));
	EXPECT_EQ(PE | PG, s.cr0 & (PE | PG));
	EXPECT_EQ(LME | LMA, s.efer & (LME | LMA));
	EXPECT_EQ(0, s.cs.l);
	EXPECT_EQ(self->vm->cr3, s.cr3);
	ASSERT_EQ(4, next_stop(self->vcpu, &s));
	EXPECT_EQ(1, s.cs.l);
	ASSERT_EQ(5, next_stop(self->vcpu, &s));
	EXPECT_EQ(0x1122334455667788, *(u64 *)boot_hva(self->vm, TRIP_WORD));
	EXPECT_EQ(PE, s.cr0 & (PE | PG));
	EXPECT_EQ(0, s.efer & (LME | LMA));
	ASSERT_EQ(6, next_stop(self->vcpu, &s));
	EXPECT_EQ(0, s.cr0 & (PE | PG));
	EXPECT_EQ(0, s.cs.selector);
	ASSERT_EQ(7, next_stop(self->vcpu, &s));
	ASSERT_EQ(8, next_stop(self->vcpu, &s));
}

/* --- the guest's own paging --- */

#define GVA 0x8000000000UL

struct views {
	u64 cr3[2];
	u64 seen[6];
	shared_u64 *pte;
	u64 ptes[2];
};

static void guest_views(void *arg)
{
	struct views *v = arg;
	shared_u64 *p = (u64 *)GVA;
	u64 here = guest_read_cr3();

	v->seen[0] = *p;
	asm volatile("mov %0, %%cr3" : : "r" (v->cr3[1]) : "memory");
	v->seen[1] = *p;
	asm volatile("mov %0, %%cr3" : : "r" (here) : "memory");
	v->seen[2] = *p;
	/* A page-table entry, by INVLPG. */
	*v->pte = v->ptes[1];
	guest_invlpg(p);
	v->seen[3] = *p;
	/* And by the host's hand, while the guest is outside. */
	GUEST_SYNC(1);
	guest_invlpg(p);
	v->seen[4] = *p;
	/* A and D are set by the CPU. */
	*p = 99;
	v->seen[5] = *v->pte;
}

TEST_F(mode, guest_page_tables)
{
	u8 *mem = vm_mem(self->vm, 4 * PAGE_4K);
	struct views *v = vm_mem(self->vm, PAGE_4K);
	u64 *second, *pte;
	int i;

	for (i = 0; i < 4; i++)
		*(u64 *)(mem + i * PAGE_4K) = 100 + i;
	/* Two roots that differ in what is at GVA. */
	guest_map(self->vm, GVA, (u64)mem + PAGE_4K, PAGE_4K, PAGE_4K, PTE_P | PTE_W);
	second = boot_hva(self->vm, self->vm->next_table);
	memcpy(second, boot_hva(self->vm, self->vm->cr3), PAGE_4K);
	v->cr3[0] = self->vm->cr3;
	v->cr3[1] = self->vm->next_table;
	self->vm->next_table += PAGE_4K;
	second[GVA >> 39 & 511] = 0;
	self->vm->cr3 = v->cr3[1];
	guest_map(self->vm, GVA, (u64)mem + 2 * PAGE_4K, PAGE_4K, PAGE_4K, PTE_P | PTE_W);
	self->vm->cr3 = v->cr3[0];

	pte = guest_pte(self->vm, GVA, NULL);
	v->pte = (u64 *)((u8 *)pte - self->vm->boot);
	v->ptes[1] = ((u64)mem + 3 * PAGE_4K) | PTE_P | PTE_W;
	vcpu_start(self->vcpu, guest_views, v);
	vcpu_sync(self->vcpu, 1);
	*pte = (u64)mem | PTE_P | PTE_W;
	vcpu_done(self->vcpu);
	EXPECT_EQ(101, v->seen[0]);
	EXPECT_EQ(102, v->seen[1]);
	EXPECT_EQ(101, v->seen[2]);
	EXPECT_EQ(103, v->seen[3]);
	EXPECT_EQ(100, v->seen[4]);
	EXPECT_EQ(PTE_A | PTE_D, v->seen[5] & (PTE_A | PTE_D));
	EXPECT_EQ(99, *(u64 *)mem);
}

UMBRA_TEST_MAIN
