// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine of the oracle: page tables, descriptors, test memory, and runs.
 *
 * The walk to the test's address has tables of its own below the root, so that its
 * entries can be anything. What the guest code itself needs is mapped through
 * the root's first entry.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "oracle.h"

#define CR0_PE BIT(0)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_PG BIT(31)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_PGE BIT(7)
#define CR4_LA57 BIT(12)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define CR4_PKE ORACLE_CR4_PKE
#define EFER_LONG (BIT(8) | BIT(10))
#define EFER_NX BIT(11)
#define RFLAGS_AC BIT(18)

#define SEL_KCODE 0x08
#define SEL_KDATA 0x10
#define SEL_UCODE 0x1b
#define SEL_UDATA 0x23

/* Bytes of a page that one record has: data at DATA, code at 0. */
#define SHARE 64
#define DATA 8
#define AREA_4M 0x400000UL

const struct format formats[] = {
	[FORMAT_32] = { FORMAT_32, "32-bit", 2, false, 2, 257UL << 22 | 7UL << 12 },
	[FORMAT_PAE] = { FORMAT_PAE, "PAE", 3, true, 2, 1UL << 30 | 5UL << 21 | 7UL << 12 },
	[FORMAT_4] = {
		FORMAT_4, "4-level", 4, true, 3,
		2UL << 39 | 1UL << 30 | 5UL << 21 | 7UL << 12,
	},
	[FORMAT_5] = {
		FORMAT_5, "5-level", 5, true, 3,
		3UL << 48 | 2UL << 39 | 1UL << 30 | 5UL << 21 | 7UL << 12,
	},
};

/* The labels of guest.S. */
#define LABELS(bits)							\
	extern const char oracle_run##bits[], oracle_fault##bits[];	\
	extern const char oracle_gate##bits[], oracle_other##bits[];	\
	extern const char oracle_read##bits[], oracle_write##bits[];	\
	extern const char oracle_fetch##bits[], oracle_end##bits[]

LABELS(32);
LABELS(64);

static bool is_long(const struct machine *m)
{
	return m->f->id >= FORMAT_4;
}

/* Offset of a label in the code of the machine's mode. */
#define CODE(m, name) (is_long(m) ? (u64)(oracle_##name##64 - oracle_run64) : \
				    (u64)(oracle_##name##32 - oracle_run32))

u32 oracle_cpuid(u32 leaf, int reg)
{
	const struct kvm_cpuid2 *cpuid = umbra_cpuid();
	u32 i;

	for (i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == leaf && !cpuid->entries[i].index)
			return (&cpuid->entries[i].eax)[reg];
	return 0;
}

static u64 entry_gpa(const struct machine *m, u64 table, int level, u64 gva)
{
	u64 bits = m->f->wide ? 9 : 10;

	return table + (gva >> level_shift(m->f, level) & ((1UL << bits) - 1)) *
	       (m->f->wide ? 8 : 4);
}

static void put_entry(struct machine *m, u64 gpa, u64 entry)
{
	memcpy(boot_hva(m->vm, gpa), &entry, m->f->wide ? 8 : 4);
}

static u64 get_entry(struct machine *m, u64 gpa)
{
	u64 entry = 0;

	memcpy(&entry, boot_hva(m->vm, gpa), m->f->wide ? 8 : 4);
	return entry;
}

static u64 new_table(struct machine *m)
{
	u64 gpa = m->next_table;

	m->next_table += PAGE_4K;
	memset(boot_hva(m->vm, gpa), 0, PAGE_4K);
	return gpa;
}

/* Map one page that the guest's code needs. */
static void map_own(struct machine *m, u64 gva, u64 gpa, u64 flags)
{
	u64 table = m->root;
	int level;

	for (level = m->f->levels; level > 1; level--) {
		u64 at = entry_gpa(m, table, level, gva);
		u64 rights = PTE_P | PTE_W | PTE_U | PTE_A;

		if (m->f->id == FORMAT_PAE && level == 3)
			rights = PTE_P;
		if (!get_entry(m, at))
			put_entry(m, at, new_table(m) | rights);
		table = get_entry(m, at) & ~0xfffUL;
	}
	put_entry(m, entry_gpa(m, table, 1, gva), gpa | PTE_P | PTE_W | PTE_A | PTE_D | flags);
}

static void make_tables(struct machine *m)
{
	/* By the key that is never denied. */
	u64 user_stack = PTE_U | (is_long(m) ? ORACLE_OWN_KEY << KEY_SHIFT : 0);
	int level;
	u64 gva;

	m->next_table = ORACLE_TABLES;
	m->root = new_table(m);
	for (gva = ORACLE; gva < ORACLE + ORACLE_SIZE; gva += PAGE_4K)
		map_own(m, gva, gva, gva == ORACLE_USER_STACK - PAGE_4K ? user_stack : 0);
	map_own(m, ORACLE_USER_CODE, ORACLE_CODE, PTE_U);
	m->table[m->f->levels - 1] = m->root;
	for (level = m->f->levels - 1; level; level--)
		m->table[level - 1] = new_table(m);
}

static void make_gate(struct machine *m, int vector, u64 offset)
{
	u64 entry = ORACLE_CODE + offset;
	u64 low = (entry & 0xffff) | SEL_KCODE << 16 | 0xeeUL << 40 | (entry >> 16) << 48;

	if (is_long(m)) {
		u64 gate[2] = { low, 0 };

		memcpy(boot_hva(m->vm, ORACLE_IDT + vector * 16), gate, 16);
	} else {
		memcpy(boot_hva(m->vm, ORACLE_IDT + vector * 8), &low, 8);
	}
}

static void make_descriptors(struct machine *m)
{
	u64 *gdt = boot_hva(m->vm, ORACLE_GDT);
	u32 *tss = boot_hva(m->vm, ORACLE_TSS);
	u64 code = is_long(m) ? 0x00af9b000000ffffUL : 0x00cf9b000000ffffUL;
	u64 base = ORACLE_TSS;
	int i;

	gdt[SEL_KCODE / 8] = code;
	gdt[SEL_KDATA / 8] = 0x00cf93000000ffffUL;
	gdt[SEL_UCODE / 8] = code | 3UL << 45;
	gdt[SEL_UDATA / 8] = 0x00cff3000000ffffUL;
	gdt[ORACLE_SEL_TSS / 8] = 103 | (base & 0xffffff) << 16 | 0x89UL << 40 | (base >> 24) << 56;
	tss[1] = ORACLE_STACK;
	tss[2] = is_long(m) ? 0 : SEL_KDATA;
	for (i = 0; i < 256; i++)
		make_gate(m, i, CODE(m, other));
	make_gate(m, X86_TRAP_PF, CODE(m, fault));
	make_gate(m, ORACLE_GATE, CODE(m, gate));
}

static u64 leaf_base(struct machine *m, int level, bool high)
{
	u64 beyond = m->f->wide || high ? 1UL << 32 : 0;

	return beyond + 0x80000000UL + (level << 28 & 0x30000000UL);
}

u64 machine_leaf(struct machine *m, int level, bool high)
{
	/* Beyond 1G a leaf is reserved; it may lead anywhere. */
	if (level >= 3)
		return 2UL << 32;
	return leaf_base(m, level, high);
}

/*
 * The page at the test's address, as a leaf of @level maps it. Around it are 4M
 * that can be huge pages of the host, if the guest's is large.
 */
static void make_area(struct machine *m, struct area *area, int level, bool high)
{
	u64 offset = m->f->address & ((1UL << level_shift(m->f, level)) - 1);
	u64 size = level > 1 ? AREA_4M : PAGE_4K;
	u8 *p = vm_reserve(m->vm, AREA_4M, AREA_4M);
	u64 gpa = machine_leaf(m, level, high) + offset;
	u64 start = gpa & ~(size - 1);

	if (mmap(p, AREA_4M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) != p)
		die("test memory");
	madvise(p, AREA_4M, level > 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	vm_add_slot(m->vm, 0, start, size, p);
	area->gpa = gpa & ~(PAGE_4K - 1);
	area->page = p + (area->gpa - start);
}

static bool mode_is_shadow(struct vm *vm)
{
	struct umbra_mmu_config cfg;

	return !ioctl(vm->fd, UMBRA_GET_MMU, &cfg) && cfg.mode == UMBRA_MMU_SHADOW;
}

void machine_init(struct machine *m, const struct format *f)
{
	int level;

	memset(m, 0, sizeof(*m));
	m->f = f;
	m->vm = vm_create();
	m->vcpu = vcpu_create(m->vm, 0);
	m->phys_bits = oracle_cpuid(0x80000008, 0) & 0xff;
	m->strict = mode_is_shadow(m->vm);
	m->env_can = ENV_ALL;
	if (!(oracle_cpuid(7, 1) & BIT(7)))
		m->env_can &= ~ENV_SMEP;
	if (!(oracle_cpuid(7, 1) & BIT(20)))
		m->env_can &= ~ENV_SMAP;
	if (!(oracle_cpuid(7, 2) & BIT(3)))
		m->env_can &= ~ENV_PKE;
	make_tables(m);
	make_descriptors(m);
	if (is_long(m))
		memcpy(boot_hva(m->vm, ORACLE_CODE), oracle_run64, CODE(m, end));
	else
		memcpy(boot_hva(m->vm, ORACLE_CODE), oracle_run32, CODE(m, end));
	for (level = 1; level <= f->top_leaf; level++)
		make_area(m, &m->area[level - 1], level, false);
	if (f->id == FORMAT_32)
		make_area(m, &m->area[level - 1], 2, true);
}

struct record *machine_record(struct machine *m, int i)
{
	return boot_hva(m->vm, ORACLE_RECORDS + i * REC_SIZE);
}

u32 *machine_word(struct machine *m, u64 gpa, int i)
{
	struct area *area;

	for (area = m->area; area->page; area++)
		if (area->gpa == (gpa & ~(PAGE_4K - 1)))
			return (u32 *)(area->page + i * SHARE + DATA);
	return NULL;
}

u32 machine_tag(struct machine *m, u64 gpa, int i)
{
	return ((gpa >> 12) * 0x9e3779b1U ^ i) | 1;
}

/* Data, and a function that returns the same. */
static void fill_share(struct machine *m, struct area *area, int i)
{
	u8 *code = area->page + i * SHARE;
	u32 tag = machine_tag(m, area->gpa, i);

	*code = 0xb8;
	memcpy(code + 1, &tag, 4);
	code[5] = 0xc3;
	memcpy(code + DATA, &tag, 4);
}

static u64 case_cr4(const struct test_case *c)
{
	return (c->env & ENV_PSE ? CR4_PSE : 0) | (c->f->wide ? CR4_PAE : 0) |
	       (c->f->id == FORMAT_5 ? CR4_LA57 : 0) |
	       (c->env & ENV_SMEP ? CR4_SMEP : 0) | (c->env & ENV_SMAP ? CR4_SMAP : 0) |
	       (c->env & ENV_PKE ? CR4_PKE : 0) | (c->env & ENV_PGE ? CR4_PGE : 0);
}

static u64 case_efer(const struct test_case *c)
{
	return (c->f->id >= FORMAT_4 ? EFER_LONG : 0) | (c->env & ENV_NXE ? EFER_NX : 0);
}

static u64 access_code(struct machine *m, enum access access)
{
	return access == READ ? CODE(m, read) : access == WRITE ? CODE(m, write) : CODE(m, fetch);
}

static void set_frame(struct machine *m, struct record *r, const struct test_case *c)
{
	bool user = c->env & ENV_USER;

	r->frame[0] = user ? SEL_UDATA : SEL_KDATA;
	r->frame[1] = user ? ORACLE_USER_STACK : ORACLE_STACK;
	r->frame[2] = X86_RFLAGS_FIXED | (c->env & ENV_AC ? RFLAGS_AC : 0);
	r->frame[3] = user ? SEL_UCODE : SEL_KCODE;
	r->frame[4] = (user ? ORACLE_USER_CODE : ORACLE_CODE) + access_code(m, c->access);
}

void machine_add(struct machine *m, struct test_case *c)
{
	struct record *r = machine_record(m, m->n);
	struct area *area;
	int i;

	_Static_assert(sizeof(*r) == REC_SIZE && offsetof(struct record, after) == REC_AFTER &&
		       offsetof(struct record, where) == REC_WHERE &&
		       offsetof(struct record, pkru) == REC_PKRU, "guest.S");
	memset(r, 0, sizeof(*r));
	c->address = m->f->address + m->n * SHARE;
	/* The top entries of PAE are loaded with CR3. */
	if (m->f->id == FORMAT_PAE && c->entry[2] != m->pdpte && !m->no_load)
		c->reload = true;
	if (c->reload)
		m->pdpte = c->entry[2];
	r->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG | (c->env & ENV_WP ? CR0_WP : 0);
	r->cr3 = m->root;
	r->cr4 = case_cr4(c);
	r->efer = case_efer(c);
	r->reload = c->reload;
	r->address = c->address;
	r->value = 0xa5000000 | m->n;
	r->levels = m->f->levels;
	r->pkru = c->pkru;
	for (i = 0; i < m->f->levels; i++) {
		r->where[i] = entry_gpa(m, m->table[i], i + 1, c->address);
		r->entry[i] = c->entry[i];
	}
	set_frame(m, r, c);
	for (area = m->area; area->page; area++)
		fill_share(m, area, m->n);
	m->n++;
}

static void start(struct machine *m)
{
	struct kvm_segment data = {
		.selector = SEL_UDATA, .limit = ~0U, .type = 3, .present = 1, .dpl = 3,
		.db = 1, .s = 1, .g = 1,
	};
	struct kvm_regs regs = {
		.rip = ORACLE_CODE, .rsp = ORACLE_STACK, .rflags = X86_RFLAGS_FIXED,
	};
	struct record *r = machine_record(m, 0);
	struct kvm_sregs s;

	vcpu_get_sregs(m->vcpu, &s);
	s.ds = data;
	s.es = data;
	s.fs = data;
	s.gs = data;
	data.selector = SEL_KDATA;
	data.dpl = 0;
	s.ss = data;
	data.selector = SEL_KCODE;
	data.type = 11;
	data.db = !is_long(m);
	data.l = is_long(m);
	s.cs = data;
	s.tr = (struct kvm_segment) {
		.selector = ORACLE_SEL_TSS, .base = ORACLE_TSS, .limit = 103, .type = 11,
		.present = 1,
	};
	s.gdt.base = ORACLE_GDT;
	s.gdt.limit = ORACLE_SEL_TSS + (is_long(m) ? 15 : 7);
	s.idt.base = ORACLE_IDT;
	s.idt.limit = 256 * (is_long(m) ? 16 : 8) - 1;
	s.cr0 = r->cr0;
	s.cr3 = r->cr3;
	s.cr4 = r->cr4;
	s.efer = r->efer;
	vcpu_set_sregs(m->vcpu, &s);
	vcpu_set_regs(m->vcpu, &regs);
	m->started = true;
}

void machine_run(struct machine *m)
{
	struct kvm_run *run = m->vcpu->run;

	machine_record(m, m->n - 1)->last = 1;
	if (!m->started)
		start(m);
	if (vcpu_next(m->vcpu) != UCALL_NONE || run->exit_reason != KVM_EXIT_IO ||
	    run->io.port != ORACLE_PORT || *((u8 *)run + run->io.data_offset))
		die("%s: %s", m->f->name, vcpu_exit_name(m->vcpu));
	m->n = 0;
}
