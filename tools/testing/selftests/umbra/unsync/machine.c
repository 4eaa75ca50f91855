// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine of a script: address spaces in one paging format, descriptors, vCPUs.
 *
 * What the guest's code needs is mapped by large pages, one to one and for every ring,
 * and so are the tables of the region.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "script.h"

#define MACHINE 0xc00000UL	/* in boot memory */
#define MACHINE_GDT MACHINE
#define MACHINE_IDT (MACHINE + 0x1000)
#define MACHINE_TSS (MACHINE + 0x2000)	/* a page for each vCPU, and so the others */
#define MACHINE_STACK (MACHINE + 0x5000)	/* their ends */
#define MACHINE_SIDE (MACHINE + 0x7000)
#define MACHINE_TABLES (MACHINE + 0x10000)

#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_LA57 BIT(12)
#define EFER_LONG (BIT(8) | BIT(10))
#define EFER_NX BIT(11)

/* What a vCPU has, by the offsets of script.h. */
struct guest_side {
	u64 stack, steps, tss, ucall;
	struct ucall done;
};

const struct format formats[] = {
	[FORMAT_32] = { "32-bit", 2, false, 0xd0000000UL },
	[FORMAT_PAE] = { "PAE", 3, true, 0xd0000000UL },
	[FORMAT_4] = { "4-level", 4, true, GVA },
	[FORMAT_5] = { "5-level", 5, true, 3UL << 48 | GVA },
};

/* The labels of guest.S. */
extern const char script_run32[], script_fault32[], script_gate32[], script_other32[];
extern const char script_run64[], script_fault64[], script_gate64[], script_other64[];

static bool is_long(const struct machine *m)
{
	return m->f->levels > 3;
}

#define CODE(m, name) ((u64)(is_long(m) ? script_##name##64 : script_##name##32))

bool machine_can(enum format_id id)
{
	const struct kvm_cpuid2 *cpuid = umbra_cpuid();
	u32 i;

	if (id != FORMAT_5)
		return true;
	for (i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 7 && !cpuid->entries[i].index)
			return cpuid->entries[i].ecx >> 16 & 1;
	return false;
}

/* --- tables --- */

static int entry_size(const struct machine *m)
{
	return m->f->wide ? 8 : 4;
}

static int per_table(const struct machine *m)
{
	return PAGE_4K / entry_size(m);
}

static u64 entry_gpa(const struct machine *m, u64 table, int level, u64 gva)
{
	u64 index = gva >> 12;

	for (; level > 1; level--)
		index /= per_table(m);
	return table + index % per_table(m) * entry_size(m);
}

static u64 get_entry(struct machine *m, u64 gpa)
{
	u64 entry = 0;

	memcpy(&entry, boot_hva(m->vm, gpa), entry_size(m));
	return entry;
}

static u64 new_table(struct machine *m)
{
	u64 gpa = m->next_table;

	m->next_table += PAGE_4K;
	memset(boot_hva(m->vm, gpa), 0, PAGE_4K);
	return gpa;
}

/* The address of an entry of @level, with tables made on the way. */
static u64 entry_at(struct machine *m, u64 table, u64 gva, int to)
{
	int level;

	for (level = m->f->levels; level > to; level--) {
		u64 at = entry_gpa(m, table, level, gva), entry = get_entry(m, at);

		if (!entry) {
			entry = new_table(m) | (m->f->levels == 3 && level == 3 ?
						PTE_P : PTE_TABLE);
			memcpy(boot_hva(m->vm, at), &entry, entry_size(m));
		}
		table = entry & PTE_ADDR;
	}
	return entry_gpa(m, table, to, gva);
}

static void map(struct machine *m, u64 root, u64 gva, int level, u64 entry)
{
	memcpy(boot_hva(m->vm, entry_at(m, root, gva, level)), &entry, entry_size(m));
}

static u64 table_of(struct machine *m, int page)
{
	return (u64)m->tables + page / per_table(m) * PAGE_4K;
}

static u64 make_space(struct machine *m)
{
	u64 root = new_table(m), large = PAGE_4K * per_table(m), at;
	int i;

	for (at = 0; at < TEST_MMIO; at += large)
		map(m, root, at, 2, at | PTE_RW | PTE_PS);
	for (i = 0; i < REGION_PAGES; i += per_table(m)) {
		map(m, root, machine_gva(m, i), 2, table_of(m, i) | PTE_TABLE);
		map(m, root, m->window + i / per_table(m) * PAGE_4K, 1, table_of(m, i) | PTE_RW);
	}
	return root;
}

u64 machine_gva(struct machine *m, int page)
{
	return m->f->region + page * PAGE_4K;
}

u64 machine_entry(struct machine *m, int page, bool window)
{
	return (window ? m->window : (u64)m->tables) + page * entry_size(m);
}

u64 machine_pde(struct machine *m, int space, int page)
{
	return entry_at(m, m->root[space], machine_gva(m, page), 2);
}

u64 machine_pte(struct machine *m, int page)
{
	u64 entry = 0;

	memcpy(&entry, m->tables + page * entry_size(m), entry_size(m));
	return entry;
}

u64 machine_cr4(struct machine *m)
{
	return CR4_PGE | (m->f->wide ? CR4_PAE : CR4_PSE) |
	       (m->f->levels == 5 ? CR4_LA57 : 0);
}

u64 target_pte(struct machine *m, int i, u64 flags)
{
	return (u64)(m->targets + i * PAGE_4K) | (flags & (m->f->wide ? ~0UL : ~PTE_NX));
}

/* --- descriptors --- */

static void make_gate(struct machine *m, int vector, u64 entry)
{
	u64 low = (entry & 0xffff) | SCRIPT_KCODE << 16 | 0xeeUL << 40 | (entry >> 16) << 48;
	u64 *idt = boot_hva(m->vm, MACHINE_IDT);

	if (is_long(m)) {
		idt[vector * 2] = low;
		idt[vector * 2 + 1] = 0;
	} else {
		idt[vector] = low;
	}
}

static void make_descriptors(struct machine *m)
{
	u64 *gdt = boot_hva(m->vm, MACHINE_GDT);
	u64 code32 = 0x00cf9b000000ffffUL;
	u64 code = is_long(m) ? 0x00af9b000000ffffUL : code32;
	int i;

	gdt[SCRIPT_KCODE / 8] = code;
	gdt[SCRIPT_KDATA / 8] = 0x00cf93000000ffffUL;
	gdt[SCRIPT_UCODE / 8] = code | 3UL << 45;
	gdt[SCRIPT_UDATA / 8] = 0x00cff3000000ffffUL;
	gdt[SCRIPT_KCODE32 / 8] = code32;
	for (i = 0; i < SIDES; i++) {
		u64 base = MACHINE_TSS + i * PAGE_4K;
		u32 *tss = boot_hva(m->vm, base);

		gdt[SCRIPT_TSS / 8 + i * 2] = 103 | (base & 0xffffff) << 16 | 0x89UL << 40 |
					      (base >> 24) << 56;
		tss[1] = MACHINE_STACK + i * PAGE_4K;
		tss[2] = is_long(m) ? 0 : SCRIPT_KDATA;
	}
	for (i = 0; i < 256; i++)
		make_gate(m, i, CODE(m, other));
	make_gate(m, X86_TRAP_PF, CODE(m, fault));
	make_gate(m, SCRIPT_GATE, CODE(m, gate));
}

/* --- memory --- */

static void *shared_mem(struct machine *m, size_t size)
{
	void *p = vm_reserve(m->vm, size, PAGE_2M);
	int fd = memfd_create("unsync", 0);

	if (fd < 0 || ftruncate(fd, size) ||
	    mmap(p, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != p)
		die("shared memory");
	close(fd);
	vm_add_slot(m->vm, 0, (u64)p, size, p);
	return p;
}

static void fill_targets(struct machine *m)
{
	u32 i;

	for (i = 0; i < TARGETS; i++) {
		u8 *page = m->targets + i * PAGE_4K, *code = page + TARGET_CODE;
		u32 number = i + 100;

		memcpy(page, &number, 4);
		*code = 0xb8;
		memcpy(code + 1, &number, 4);
		code[5] = 0xc3;
	}
}

void machine_init(struct machine *m, enum format_id id)
{
	int i;

	memset(m, 0, sizeof(*m));
	m->f = &formats[id];
	m->vm = vm_create();
	m->tables_size = REGION_PAGES * entry_size(m);
	m->tables = shared_mem(m, m->tables_size);
	m->tables_slot = m->vm->next_slot - 1;
	m->targets = shared_mem(m, TARGETS * PAGE_4K);
	fill_targets(m);
	m->next_table = MACHINE_TABLES;
	m->window = m->f->region + 2 * REGION_PAGES * PAGE_4K;
	make_descriptors(m);
	for (i = 0; i < 2; i++)
		m->root[i] = make_space(m);
	for (i = 0; i < SIDES; i++) {
		m->vcpu[i] = vcpu_create(m->vm, i);
		m->steps[i] = vm_mem(m->vm, SCRIPT_STEPS * sizeof(struct step));
	}
}

/* --- vCPUs --- */

static struct kvm_segment flat_segment(u16 selector, u8 type, u8 dpl)
{
	return (struct kvm_segment) {
		.selector = selector, .limit = ~0U, .type = type, .present = 1, .dpl = dpl,
		.db = 1, .s = 1, .g = 1,
	};
}

static void start_segments(struct machine *m, struct kvm_sregs *s, int side)
{
	s->ds = flat_segment(SCRIPT_UDATA, 3, 3);
	s->es = s->ds;
	s->fs = s->ds;
	s->gs = s->ds;
	s->ss = flat_segment(SCRIPT_KDATA, 3, 0);
	s->cs = flat_segment(SCRIPT_KCODE, 11, 0);
	s->cs.db = !is_long(m);
	s->cs.l = is_long(m);
	s->tr = (struct kvm_segment) {
		.selector = SCRIPT_TSS + side * 16, .base = MACHINE_TSS + side * PAGE_4K,
		.limit = 103, .type = 11, .present = 1,
	};
	s->gdt.base = MACHINE_GDT;
	s->gdt.limit = SCRIPT_TSS + SIDES * 16 - 1;
	s->idt.base = MACHINE_IDT;
	s->idt.limit = 256 * (is_long(m) ? 16 : 8) - 1;
}

/* LTR has made the descriptor a busy one. */
static void free_tss(struct machine *m, int side)
{
	u64 *gdt = boot_hva(m->vm, MACHINE_GDT);

	gdt[SCRIPT_TSS / 8 + side * 2] &= ~BIT(41);
}

void machine_start(struct machine *m, int side, int space)
{
	u64 at = MACHINE_SIDE + side * PAGE_4K;
	struct guest_side *g = boot_hva(m->vm, at);
	struct kvm_regs regs = {
		.rip = CODE(m, run), .rsp = MACHINE_STACK + side * PAGE_4K, .rbp = at,
		.rflags = X86_RFLAGS_FIXED,
	};
	struct kvm_sregs s;

	_Static_assert(sizeof(struct step) == STEP_SIZE &&
		       offsetof(struct step, cr2) == STEP_CR2 &&
		       offsetof(struct guest_side, ucall) == SIDE_UCALL, "guest.S");
	*g = (struct guest_side) {
		.stack = regs.rsp, .steps = (u64)m->steps[side],
		.tss = SCRIPT_TSS + side * 16, .ucall = at + offsetof(struct guest_side, done),
		.done.cmd = UCALL_DONE,
	};
	free_tss(m, side);
	vcpu_get_sregs(m->vcpu[side], &s);
	start_segments(m, &s, side);
	s.cr0 = SCRIPT_CR0 | SCRIPT_CR0_WP;
	s.cr3 = m->root[space];
	s.cr4 = machine_cr4(m);
	s.efer = (m->f->wide ? EFER_NX : 0) | (is_long(m) ? EFER_LONG : 0);
	vcpu_set_sregs(m->vcpu[side], &s);
	vcpu_set_regs(m->vcpu[side], &regs);
}
