// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same guest in both MMUs. A program made from a seed reads, writes, edits
 * its page tables and changes between address spaces, in a VM with nested paging
 * and in one with shadow paging. Proves that the guest cannot tell: its registers,
 * its memory, every fault it was given and the A and D bits of its tables are the
 * same at the end.
 *
 * The program never uses what a CPU may still have cached: an entry that changes
 * is followed by INVLPG, or by a write to CR3 where a directory changed. A is set
 * beforehand in entries that lead to tables, because CPUs differ in whether a walk
 * that fails sets it there.
 */
#include "test.h"
#include "tables.h"

#define SPACES 4
#define PTS 6		/* page tables, shared by the directories */
#define PDES 4		/* entries used of each directory */
#define PTES 24		/* and of each table */
#define DATA_PAGES 24
#define MEM_SIZE (2 * PAGE_2M)
#define TABLE_ALIAS (GVA + PAGE_1G)

enum op {
	OP_READ, OP_WRITE, OP_ADD, OP_PTE, OP_PTE_ALIAS, OP_PDE, OP_SPACE, OP_WP, OP_NUM,
};

struct insn {
	u64 op, at, value, size;
};

/* At the start of the memory; tables and data are behind it. */
struct world {
	u64 hash, faults, n;
	u64 root[SPACES];
	u64 *pd[SPACES];
	u64 *pt[PTS];
	u64 data, large;
	struct insn *program;
};

static u64 mix(u64 hash, u64 value)
{
	return ((hash ^ value) << 7 | (hash ^ value) >> 57) * 0x9e3779b97f4a7c15UL;
}

#define TRY_ACCESS(t, insn, val, addr) do {					\
	register u64 __v asm("r9") = GUEST_NO_TRAP;			\
	register u64 __e asm("r10") = 0;				\
	register u64 __c asm("r11") = 0;				\
									\
	asm volatile("1: " insn "\n2:\n"				\
		     ".pushsection guest_extable, \"a\"\n"		\
		     ".quad 1b, 2b\n"					\
		     ".popsection"					\
		     : "+r" (__v), "+r" (__e), "+r" (__c), [v] "+r" (val) \
		     : [p] "r" (addr) : "memory", "cc");		\
	(t).vector = __v;						\
	(t).error = __e;						\
	(t).cr2 = __c;							\
} while (0)

static void guest_access(struct world *w, const struct insn *i)
{
	u64 v = i->op == OP_READ ? 0 : i->value;
	struct guest_trap t;

	if (i->op == OP_READ && i->size == 1)
		TRY_ACCESS(t, "movb (%[p]), %b[v]", v, i->at);
	else if (i->op == OP_READ && i->size == 4)
		TRY_ACCESS(t, "movl (%[p]), %k[v]", v, i->at);
	else if (i->op == OP_READ)
		TRY_ACCESS(t, "movq (%[p]), %[v]", v, i->at);
	else if (i->op == OP_ADD)
		TRY_ACCESS(t, "lock xaddq %[v], (%[p])", v, i->at);
	else if (i->size == 1)
		TRY_ACCESS(t, "movb %b[v], (%[p])", v, i->at);
	else if (i->size == 4)
		TRY_ACCESS(t, "movl %k[v], (%[p])", v, i->at);
	else
		TRY_ACCESS(t, "movq %[v], (%[p])", v, i->at);
	w->hash = mix(w->hash, v);
	if (t.vector == GUEST_NO_TRAP)
		return;
	w->faults++;
	w->hash = mix(mix(mix(w->hash, t.vector), t.error), t.cr2);
}

/* Wherever the table may be in use in this address space. */
static void guest_flush_pte(u64 index)
{
	u64 i;

	for (i = 0; i < PDES; i++)
		guest_invlpg((void *)(GVA + i * PAGE_2M + index * PAGE_4K));
}

static void guest_interpreter(void *arg)
{
	struct world *w = arg;
	const struct insn *i, *end = w->program + w->n;
	u64 cr0;

	guest_write_cr3(w->root[0]);
	for (i = w->program; i < end; i++) {
		switch (i->op) {
		case OP_PTE:
		case OP_PTE_ALIAS:
			pte_write((u64 *)i->at, i->value);
			guest_flush_pte(i->size);
			break;
		case OP_PDE:
			pte_write((u64 *)i->at, i->value);
			guest_write_cr3(guest_read_cr3());
			break;
		case OP_SPACE:
			guest_write_cr3(i->value);
			break;
		case OP_WP:
			asm volatile("mov %%cr0, %0; btcq $16, %0; mov %0, %%cr0"
				     : "=r" (cr0) : : "memory", "cc");
			break;
		default:
			guest_access(w, i);
		}
	}
}

/* --- the host's part --- */

static u64 random_pte(struct world *w, u64 *seed)
{
	u64 flags = random_next(seed);

	if (flags % 8 == 0)
		return 0;
	return (w->data + random_next(seed) % DATA_PAGES * PAGE_4K) | PTE_P |
	       (flags & 0x100 ? PTE_W : 0) | (flags & 0x200 ? PTE_U : 0) |
	       (flags & 0x400 ? PTE_A : 0) | (flags & 0xc00 ? 0 : PTE_D) |
	       (flags & 0x1000 ? PTE_NX : 0) | (flags & 0x2000 ? PTE_A | PTE_D : 0);
}

static u64 random_pde(struct world *w, u64 *seed)
{
	u64 flags = random_next(seed);
	u64 rights = PTE_P | PTE_U | (flags & 0x700 ? PTE_W : 0);

	switch (flags % 8) {
	case 0:
		return 0;
	case 1:
		return w->large | rights | PTE_PS | (flags & 0x1000 ? PTE_A : 0) |
		       (flags & 0x2000 ? PTE_D : 0);
	default:
		return (u64)w->pt[random_next(seed) % PTS] | rights | PTE_A;
	}
}

static u64 random_gva(u64 *seed)
{
	static const u16 offsets[] = { 0, 8, 64, 2040, 4088, 4092 };

	return GVA + random_next(seed) % PDES * PAGE_2M + random_next(seed) % PTES * PAGE_4K +
	       offsets[random_next(seed) % 6];
}

static void random_insn(struct world *w, struct insn *i, u64 *seed)
{
	static const u8 sizes[] = { 1, 4, 8, 8 };
	u64 kind = random_next(seed) % 64, table;

	i->value = random_next(seed);
	if (kind < 42) {
		i->op = kind < 18 ? OP_READ : kind < 38 ? OP_WRITE : OP_ADD;
		i->at = random_gva(seed);
		if (i->op == OP_ADD)
			i->at &= ~63UL;
		i->size = sizes[random_next(seed) % 4];
	} else if (kind < 56) {
		table = random_next(seed) % PTS;
		i->op = kind < 50 ? OP_PTE : OP_PTE_ALIAS;
		i->size = random_next(seed) % PTES;
		i->at = i->op == OP_PTE ? (u64)w->pt[table] : TABLE_ALIAS + table * PAGE_4K;
		i->at += i->size * 8;
		i->value = random_pte(w, seed);
	} else if (kind < 59) {
		i->op = OP_PDE;
		i->at = (u64)&w->pd[random_next(seed) % SPACES][random_next(seed) % PDES];
		i->value = random_pde(w, seed);
	} else if (kind < 63) {
		i->op = OP_SPACE;
		i->value = w->root[random_next(seed) % SPACES];
	} else {
		i->op = OP_WP;
	}
}

/* All of it depends on the seed and the addresses, which are the same each time. */
static void make_world(struct vm *vm, u8 *mem, u64 seed, u64 n, struct insn *program)
{
	struct world *w = (struct world *)mem;
	struct tables t = { (u64)mem + PAGE_4K, (u64)mem + PAGE_2M };
	u64 identity = *(u64 *)boot_hva(vm, vm->cr3), i, k;

	w->n = n;
	w->program = program;
	w->large = (u64)mem + PAGE_2M;
	w->data = w->large + PAGE_2M / 2;
	for (i = 0; i < PTS; i++)
		w->pt[i] = (u64 *)table_new(&t);
	for (i = 0; i < SPACES; i++) {
		w->root[i] = root_new(&t, identity);
		w->pd[i] = table_entry(&t, w->root[i], GVA, 2);
		for (k = 0; k < PDES; k++)
			w->pd[i][k] = random_pde(w, &seed);
		for (k = 0; k < PTS; k++)
			*table_entry(&t, w->root[i], TABLE_ALIAS + k * PAGE_4K, 1) =
				(u64)w->pt[k] | PTE_RW;
	}
	for (i = 0; i < PTS; i++)
		for (k = 0; k < PTES; k++)
			w->pt[i][k] = random_pte(w, &seed);
	for (i = 0; i < PAGE_2M / 8; i++)
		((u64 *)w->large)[i] = i;
	for (i = 0; i < n; i++)
		random_insn(w, &program[i], &seed);
}

struct outcome {
	u8 *mem;
	struct kvm_regs regs;
	u64 faults;
};

/* One run in a VM of its own; false where the node lacks the mode. */
static bool run_one(u32 mode, u64 seed, u64 n, u64 perturb, struct outcome *out)
{
	size_t program_size = (n * sizeof(struct insn) + PAGE_4K - 1) & ~(PAGE_4K - 1);
	struct vm *vm = vm_create_mmu(mode);
	struct insn *program;
	struct vcpu *vcpu;
	u8 *mem;

	if (!vm)
		return false;
	vcpu = vcpu_create(vm, 0);
	mem = vm_mem(vm, MEM_SIZE);
	program = vm_mem(vm, program_size);
	make_world(vm, mem, seed, n, program);
	if (perturb)
		program[perturb].value ^= 1;
	vcpu_call(vcpu, guest_interpreter, mem);
	vcpu_get_regs(vcpu, &out->regs);
	out->faults = ((struct world *)mem)->faults;
	out->mem = malloc(MEM_SIZE);
	memcpy(out->mem, mem, MEM_SIZE);
	vm_free(vm);
	munmap(mem, MEM_SIZE);
	munmap(program, program_size);
	return true;
}

/* How many words differ; the first ones are shown. */
static u64 compare(const struct outcome *a, const struct outcome *b)
{
	const u64 *x = (u64 *)a->mem, *y = (u64 *)b->mem;
	u64 i, bad = 0;

	for (i = 0; i < MEM_SIZE / 8; i++) {
		if (x[i] == y[i])
			continue;
		if (bad++ < 8)
			printf("# at %#lx: %#lx and %#lx\n", i * 8, x[i], y[i]);
	}
	if (memcmp(&a->regs, &b->regs, sizeof(a->regs))) {
		printf("# registers differ: rip %#llx and %#llx, rsp %#llx and %#llx\n",
		       a->regs.rip, b->regs.rip, a->regs.rsp, b->regs.rsp);
		bad++;
	}
	return bad;
}

static u64 differences(struct __test_metadata *_metadata, u64 seed, u64 n, u64 perturb)
{
	struct outcome tdp, shadow;
	u64 bad;

	if (!run_one(UMBRA_MMU_TDP, seed, n, 0, &tdp) ||
	    !run_one(UMBRA_MMU_SHADOW, seed, n, perturb, &shadow))
		TEST_SKIP("the node does not have both MMUs");
	EXPECT_LT(n / 50, tdp.faults);
	EXPECT_GT(n / 2, tdp.faults);
	bad = compare(&tdp, &shadow);
	if (bad && !perturb)
		printf("# seed %lu, %lu instructions\n", seed, n);
	free(tdp.mem);
	free(shadow.mem);
	return bad;
}

TEST(same_in_both)
{
	u64 seed, n = test_long() ? 30000 : 6000;

	for (seed = 1; seed <= (test_long() ? 20 : 4); seed++)
		EXPECT_EQ(0, differences(_metadata, seed * 0x9e3779b97f4a7c15UL, n, 0));
}

/* Many short ones: what is new of tables and spaces counts for more. */
TEST(same_from_the_start)
{
	u64 seed;

	for (seed = 1; seed <= (test_long() ? 200 : 25); seed++)
		EXPECT_EQ(0, differences(_metadata, seed * 0xd1342543de82ef95UL, 150, 0));
}

/* The control: one side writes a value that differs in one bit. */
TEST(control_one_instruction_differs)
{
	u64 seed = 4242, n = 400, i, found = 0;

	/* Not each value is used, or still there at the end. */
	for (i = n - 1; i > n - 60 && !found; i--)
		found = differences(_metadata, seed, n, i);
	EXPECT_LT(0, found);
}

UMBRA_TEST_MAIN
