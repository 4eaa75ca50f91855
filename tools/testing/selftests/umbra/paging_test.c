// SPDX-License-Identifier: GPL-2.0-only
/*
 * A permission oracle for guest paging. Proves for each paging format that an access
 * faults when the manuals say so, with their error code and CR2; that it reads,
 * writes or executes the memory that the tables name; and that it leaves the A and D
 * bits behind that it should, for any entries, CR0.WP, CR4.SMEP, CR4.SMAP, RFLAGS.AC,
 * CR4.PKE, PKRU, EFER.NX and CPL. What should happen comes from a model of its own.
 *
 * With CR4.PGE a translation by a global entry may be used on after a load of CR3, as it
 * was or as it is: either is right then. After INVLPG, and after a change of CR4.PGE, only
 * the entries as they are count.
 *
 * Not asked are: accesses of the CPU's own at CPL 3, bit 8 of upper entries (AMD reserves
 * it, QEMU's CPU does not look). Where the CPU itself walks the guest's tables, and not
 * the module: A after a fault, which CPUs may set; and what QEMU's gets wrong, which is P
 * in the error code of a reserved bit (clear), A in PAE's top entries (set) and their low
 * reserved bits (taken).
 */
#include "test.h"
#include "paging/oracle.h"

#define PTE_G BIT(8)

#define SAMPLE 3000
#define SHOWN 5

/* Loads of CR3 that global entries may outlive, before they are flushed. */
#define MAX_GLOBALS 8

struct oracle {
	struct machine m;
	u64 seed;
	u64 pge;		/* ENV_PGE or 0, for the cases to come */
	int loads;		/* since the last flush of global entries */
	/* What the CPU may have cached of global entries, and CR4.PGE, in the comparison. */
	struct test_case global[MAX_GLOBALS + 1];
	int nr_globals;
	u64 seen_pge;
	struct test_case stale;	/* one that it may not have any more; no format: none */
	/* The batch as it was asked for. */
	struct test_case batch[ORACLE_BATCH];
	u64 cases, faults, wrong;
	u64 lies_found[MODEL_LIES];
};

FIXTURE(paging) {
	struct oracle oracle;
};

FIXTURE_SETUP(paging)
{
	self->oracle.seed = 0x243f6a8885a308d3UL;
}

FIXTURE_TEARDOWN(paging)
{
	if (self->oracle.m.vm)
		vm_free(self->oracle.m.vm);
}

/* --- the comparison --- */

static bool is_pdpte(const struct format *f, int level)
{
	return f->id == FORMAT_PAE && level == 3;
}

/* What is wrong with a result, or NULL. */
static const char *compare_data(struct machine *m, int i, const struct test_case *c,
				const struct outcome *o)
{
	const struct record *r = machine_record(m, i);
	u32 written = 0xa5000000 | i;
	struct area *area;

	for (area = m->area; area->page; area++) {
		u32 want = machine_tag(m, area->gpa, i);

		if (!o->fault && c->access == WRITE && (o->gpa & ~(PAGE_4K - 1)) == area->gpa)
			want = written;
		if (*machine_word(m, area->gpa, i) != want)
			return "memory";
	}
	if (!o->fault && !machine_word(m, o->gpa, i))
		die("the model is lost: %#lx", o->gpa);
	if (!o->fault && c->access != WRITE &&
	    (u32)r->value != machine_tag(m, o->gpa & ~(PAGE_4K - 1), i))
		return "value";
	return NULL;
}

static const char *compare_fault(struct machine *m, const struct record *r,
				 const struct test_case *c, const struct outcome *o)
{
	u64 ignore = o->error & PF_RSVD && !m->strict ? PF_P : 0;

	if (!o->fault)
		return r->vector == ORACLE_GATE ? NULL : "fault";
	if (r->vector != X86_TRAP_PF)
		return "no fault";
	if ((r->error ^ o->error) & ~ignore)
		return "error code";
	return r->cr2 == c->address + (c->access == FETCH ? 0 : 8) ? NULL : "CR2";
}

static const char *compare_entries(struct machine *m, const struct record *r,
				   const struct test_case *c, const struct outcome *o)
{
	int i;

	for (i = 0; i < m->f->levels; i++) {
		u64 changed = r->after[i] ^ c->entry[i];
		u64 may = o->fault && m->strict ? 0 : o->may[i];

		/* QEMU's CPU sets A in the top entries of PAE. */
		if (is_pdpte(m->f, i + 1) && !m->strict)
			changed &= ~PTE_A;
		if (changed & ~(o->set[i] | may))
			return "entry changed";
		if (o->set[i] & ~r->after[i])
			return "A or D not set";
	}
	return NULL;
}

static const char *compare_outcome(struct machine *m, int i, const struct test_case *c,
				   const struct outcome *o)
{
	const struct record *r = machine_record(m, i);

	return compare_fault(m, r, c, o) ?: compare_entries(m, r, c, o) ?:
	       compare_data(m, i, c, o);
}

static const char *compare(struct machine *m, int i, const struct test_case *c,
			   enum model_lie lie, struct outcome *o)
{
	*o = model(c, m->phys_bits, lie);
	/* A wrong model may follow an entry to where there is no memory. */
	if (lie && !o->fault && !machine_word(m, o->gpa, i))
		return "address";
	return compare_outcome(m, i, c, o);
}

/* --- global entries --- */

/* The case with entries that were cached before: they decide, and need not be there. */
static const char *compare_cached(struct machine *m, int i, const struct test_case *c,
				  const struct test_case *old, struct outcome fresh)
{
	const u64 format = ENV_NXE | ENV_PSE;
	struct test_case cached = *c;
	struct outcome o;
	int level;

	memcpy(cached.entry, old->entry, sizeof(cached.entry));
	cached.env = (c->env & ~format) | (old->env & format);
	o = model(&cached, m->phys_bits, MODEL_TRUE);
	for (level = 0; level < MAX_LEVELS; level++) {
		o.may[level] = fresh.may[level] | fresh.set[level];
		o.set[level] = 0;
	}
	return compare_outcome(m, i, c, &o);
}

/* Would a CPU keep the translation over a load of CR3? */
static bool is_global(struct machine *m, const struct test_case *c)
{
	struct test_case look = *c;
	struct outcome o;

	look.env &= ENV_NXE | ENV_PSE;
	look.access = READ;
	o = model(&look, m->phys_bits, MODEL_TRUE);
	return (c->env & ENV_PGE) && !o.fault && (c->entry[o.reached - 1] & PTE_G);
}

/* What the CPU may have forgotten before this case it has, if that was asked for. */
static void forget_globals(struct oracle *or, const struct test_case *c)
{
	bool flushed = !c->reload || ((c->env ^ or->seen_pge) & ENV_PGE);

	or->stale.f = NULL;
	if (flushed && or->nr_globals)
		or->stale = or->global[or->nr_globals - 1];
	if (flushed)
		or->nr_globals = 0;
	or->seen_pge = c->env & ENV_PGE;
}

static void remember_global(struct oracle *or, const struct test_case *c)
{
	if (!is_global(&or->m, c))
		return;
	if (or->nr_globals > MAX_GLOBALS)
		die("global entries are not flushed");
	or->global[or->nr_globals++] = *c;
}

static const char *compare_any(struct oracle *or, int i, const struct test_case *c,
			       struct outcome *o)
{
	const char *what = compare(&or->m, i, c, MODEL_TRUE, o);
	int k;

	for (k = 0; what && k < or->nr_globals; k++)
		if (!compare_cached(&or->m, i, c, &or->global[k], *o))
			return NULL;
	return what;
}

static void show(struct machine *m, int i, const struct test_case *c, const struct outcome *o,
		 const char *what)
{
	static const char *const access[] = { "read", "write", "fetch" };
	const struct record *r = machine_record(m, i);
	int level;

	printf("# %s: wrong %s: %s at %#lx by CPL %d\n", m->f->name, what, access[c->access],
	       c->address, c->env & ENV_USER ? 3 : 0);
	printf("#   WP %d SMEP %d SMAP %d AC %d NXE %d PSE %d PKE %d, PKRU %#x, %s\n",
	       !!(c->env & ENV_WP), !!(c->env & ENV_SMEP), !!(c->env & ENV_SMAP),
	       !!(c->env & ENV_AC), !!(c->env & ENV_NXE), !!(c->env & ENV_PSE),
	       !!(c->env & ENV_PKE), c->pkru,
	       c->reload ? "MOV CR3" : "INVLPG");
	for (level = m->f->levels; level; level--) {
		u64 e = c->entry[level - 1];

		printf("#   level %d: %016lx %s%s%s%s%s%s%s, then %016lx%s\n", level, e,
		       e & PTE_P ? "P" : "-", e & PTE_W ? "W" : "-", e & PTE_U ? "U" : "-",
		       e & PTE_A ? "A" : "-", e & PTE_D ? "D" : "-", e & PTE_PS ? "S" : "-",
		       e & PTE_NX ? "N" : "-", r->after[level - 1],
		       level == o->reached ? " (the model's last)" : "");
	}
	printf("#   seen: vector %#lx, error %#lx, CR2 %#lx, value %#lx\n", r->vector, r->error,
	       r->cr2, r->value);
	if (o->fault)
		printf("#   model: #PF, error %#lx\n", o->error);
	else
		printf("#   model: no fault, gpa %#lx, value %#x\n", o->gpa,
		       machine_tag(m, o->gpa & ~(PAGE_4K - 1), i));
}

static void check_batch(struct oracle *or, int n)
{
	struct outcome o;
	int i, lie;

	for (i = 0; i < n; i++) {
		const struct test_case *c = &or->batch[i];
		const char *what;

		forget_globals(or, c);
		what = compare_any(or, i, c, &o);
		or->cases++;
		or->faults += o.fault;
		if (what && or->wrong++ < SHOWN && !or->m.no_load)
			show(&or->m, i, c, &o, what);
		if (or->stale.f && compare_cached(&or->m, i, c, &or->stale, o))
			or->lies_found[MODEL_GLOBAL_STAYS]++;
		remember_global(or, c);
		for (lie = MODEL_TRUE + 1; lie < MODEL_GLOBAL_STAYS; lie++)
			or->lies_found[lie] += !!compare(&or->m, i, c, lie, &o);
	}
}

static void flush_batch(struct oracle *or)
{
	int n = or->m.n;

	if (!n)
		return;
	machine_run(&or->m);
	check_batch(or, n);
}

static u64 any(struct oracle *or)
{
	or->seed ^= or->seed << 13;
	or->seed ^= or->seed >> 7;
	or->seed ^= or->seed << 17;
	return or->seed * 0x2545f4914f6cdd1dUL >> 16;
}

/* CR4.PGE stays as it is for some cases, but not for more than the comparison keeps. */
static void set_pge(struct oracle *or, struct test_case *c)
{
	/* In PAE a case may load CR3 for another reason. */
	if (!c->reload && c->f->id != FORMAT_PAE)
		or->loads = 0;
	if (or->loads++ == MAX_GLOBALS || any(or) % 16 == 0) {
		or->pge ^= ENV_PGE;
		or->loads = 0;
	}
	c->env |= or->pge;
}

static void try_case(struct oracle *or, struct test_case *c)
{
	set_pge(or, c);
	machine_add(&or->m, c);
	or->batch[or->m.n - 1] = *c;
	if (or->m.n == ORACLE_BATCH)
		flush_batch(or);
}

/* --- the cases --- */

/* What is special about one entry of the walk. */
enum oddity { NOTHING, IGNORED, ABSENT, RESERVED, ODDITIES };

/* A right that an entry refuses: three bits for each level in a mask of these. */
#define DENY_W 1
#define DENY_U 2
#define DENY_X 4
#define DENY_BITS 3

/* One of the bits in @mask, or 0. */
static u64 any_bit(struct oracle *or, u64 mask)
{
	int n = any(or) % (__builtin_popcountl(mask) + !mask);

	while (n--)
		mask &= mask - 1;
	return mask & -mask;
}

/* Bits of the entry that mean nothing where they are. */
static u64 ignored_bits(const struct format *f, int level, bool leaf)
{
	u64 bits = 7UL << 9;

	if (f->id >= FORMAT_4)
		bits |= 0x7ffUL << 52;
	if (is_pdpte(f, level))
		return bits;
	if (leaf)
		/* G; PAT, whose entries 0 and 4 are the same. */
		return bits | BIT(8) | (level > 1 ? BIT(12) : PTE_PS);
	return bits | PTE_D | (level < 3 ? BIT(8) : 0);
}

/* Bits that can be set to make the entry illegal. */
static u64 reserved_bits(struct oracle *or, const struct test_case *c, int level, u64 entry)
{
	u64 bits = model_reserved(c, or->m.phys_bits, level, entry);

	if (is_pdpte(c->f, level) && !or->m.strict)
		bits &= ~0xfffUL;
	return bits & ~entry;
}

static u64 leaf_entry(struct oracle *or, int level)
{
	const struct format *f = or->m.f;

	if (f->id == FORMAT_32 && level == 2) {
		u64 gpa = machine_leaf(&or->m, level, any(or) & 1);

		return (gpa & ~0U) | gpa >> 32 << 13 | PTE_PS;
	}
	return machine_leaf(&or->m, level, false) | (level > 1 ? PTE_PS : 0);
}

static u64 make_entry(struct oracle *or, struct test_case *c, int level, int leaf, u64 deny)
{
	const struct format *f = c->f;
	u64 e = PTE_P;

	if (level == leaf)
		e |= leaf_entry(or, level);
	else
		e |= or->m.table[level - 2];
	if (is_pdpte(f, level))
		return e;
	if (!(deny & DENY_W))
		e |= PTE_W;
	if (!(deny & DENY_U))
		e |= PTE_U;
	if ((deny & DENY_X) && f->wide)
		e |= PTE_NX;
	return e | (any(or) & (level == leaf ? PTE_A | PTE_D | PTE_G : PTE_A));
}

/* Any PKRU that denies something, but for the key that the guest's code needs. */
static u32 any_pkru(struct oracle *or)
{
	return any(or) & any(or) & ((1UL << 2 * ORACLE_OWN_KEY) - 1);
}

/*
 * A case from its numbers. @deny has three bits a level; @odd is what the entry of
 * @odd_level has. The rest is left to chance.
 */
static struct test_case make_case(struct oracle *or, int leaf, u64 env, enum access access,
				  u64 deny, enum oddity odd, int odd_level)
{
	const struct format *f = or->m.f;
	struct test_case c = { .f = f, .env = env & or->m.env_can, .access = access };
	u64 *e = &c.entry[odd_level - 1];
	int level;

	/* PS without CR4.PSE means nothing: the entry leads to a table. */
	if (f->id == FORMAT_32 && leaf == 2 && !(c.env & ENV_PSE))
		leaf = 1;
	if (c.env & ENV_PKE)
		c.pkru = any_pkru(or);
	c.reload = any(or) & 1;
	for (level = f->levels; level >= leaf; level--)
		c.entry[level - 1] = make_entry(or, &c, level, leaf,
						deny >> DENY_BITS * (level - 1));
	/* Nobody shall look at what is below a leaf. */
	for (; level; level--)
		c.entry[level - 1] = any(or) & ~BIT(7) & (f->wide ? ~0UL : ~0U);
	if (f->id == FORMAT_32 && leaf == 1 && !(c.env & ENV_PSE))
		c.entry[1] |= any(or) & PTE_PS;
	if (f->levels > 3)
		c.entry[leaf - 1] |= any(or) % KEYS << KEY_SHIFT;
	if (odd_level < leaf)
		return c;
	if (odd == IGNORED)
		*e |= any(or) & ignored_bits(f, odd_level, odd_level == leaf);
	else if (odd == RESERVED)
		*e |= any_bit(or, reserved_bits(or, &c, odd_level, *e));
	else if (odd == ABSENT)
		*e = (f->wide ? any(or) << 16 ^ any(or) : any(or) & ~0U) & ~PTE_P;
	return c;
}

/* Few upper entries refuse anything, or nearly all accesses would fault. */
static u64 sample_deny(struct oracle *or, int leaf)
{
	u64 at_leaf = 7UL << DENY_BITS * (leaf - 1);
	u64 rare = any(or) & any(or) & any(or);

	return (any(or) & at_leaf) | (rare & ~at_leaf);
}

static void sample(struct oracle *or, int count)
{
	const struct format *f = or->m.f;

	while (count--) {
		int leaf = 1 + any(or) % f->top_leaf;
		enum oddity odd = any(or) & 3 ? NOTHING : any(or) % ODDITIES;
		struct test_case c = make_case(or, leaf, any(or) & ENV_ALL, any(or) % 3,
					       sample_deny(or, leaf), odd,
					       1 + any(or) % f->levels);

		try_case(or, &c);
	}
}

/* Every environment and access with entries that refuse @deny. */
static void all_accesses(struct oracle *or, int leaf, u64 deny, enum oddity odd, int odd_level)
{
	u64 env;
	int access;

	for (env = 0; env <= ENV_ALL; env++) {
		/* Only the 32-bit format knows PSE, only long mode PKE. */
		if (env & ~or->m.env_can || ((env & ENV_PSE) && or->m.f->wide) ||
		    ((env & ENV_PKE) && or->m.f->levels < 4))
			continue;
		for (access = READ; access <= FETCH; access++) {
			struct test_case c = make_case(or, leaf, env, access, deny, odd,
						       odd_level);

			try_case(or, &c);
		}
	}
}

/* Do the bits of @deny differ from others in what the format shows of them? */
static bool deny_counts(const struct format *f, int leaf, u64 deny)
{
	int level, upper = 0;

	if (deny & ((1UL << DENY_BITS * (leaf - 1)) - 1))
		return false;
	for (level = 1; level <= f->levels; level++) {
		u64 d = deny >> DENY_BITS * (level - 1) & 7;

		if ((d & DENY_X) && !f->wide)
			return false;
		if (d && is_pdpte(f, level))
			return false;
		if (level > 2)
			upper += __builtin_popcountl(d);
	}
	/* Above 2M one refusal at a time: these levels are alike, and would take hours. */
	return upper < 2;
}

static void all(struct oracle *or)
{
	const struct format *f = or->m.f;
	int leaf, level, odd, i;
	u64 deny;

	for (leaf = 1; leaf <= f->top_leaf; leaf++) {
		for (deny = 0; deny < 1UL << DENY_BITS * f->levels; deny++)
			if (deny_counts(f, leaf, deny))
				all_accesses(or, leaf, deny, NOTHING, f->levels);
		for (level = leaf; level <= f->levels; level++)
			for (odd = IGNORED; odd < ODDITIES; odd++)
				for (i = 0; i < 16; i++)
					all_accesses(or, leaf, sample_deny(or, leaf), odd,
						     level);
	}
}

static void run_format(struct oracle *or, enum format_id id)
{
	const char *env = getenv("PAGING_TEST_SEED");

	if (env)
		or->seed = strtoul(env, NULL, 0) | 1;
	machine_init(&or->m, &formats[id]);
	if (test_long())
		all(or);
	else
		sample(or, SAMPLE);
	flush_batch(or);
	printf("# %s: %lu cases, %lu of them faults, %lu wrong\n", formats[id].name, or->cases,
	       or->faults, or->wrong);
}

TEST_F(paging, two_level)
{
	run_format(&self->oracle, FORMAT_32);
	EXPECT_EQ(0, self->oracle.wrong);
}

/* KVM refuses tables in which the CPU has set A in the top entries, as QEMU's does. */
static bool pae_works(void)
{
	return node_has(UMBRA_CAP_MMU);
}

TEST_F(paging, pae)
{
	if (!pae_works())
		TEST_SKIP("stock KVM and QEMU's CPU disagree about PAE");
	run_format(&self->oracle, FORMAT_PAE);
	EXPECT_EQ(0, self->oracle.wrong);
}

/*
 * Top entries that change without a load of CR3: some CPUs see it at once, some do not.
 * The guest goes on in either case, and after a load all is as it should be.
 */
TEST_F(paging, pae_top_entries_without_a_load)
{
	struct oracle *or = &self->oracle;

	if (!pae_works())
		TEST_SKIP("stock KVM and QEMU's CPU disagree about PAE");
	machine_init(&or->m, &formats[FORMAT_PAE]);
	or->m.no_load = true;
	sample(or, SAMPLE / 4);
	flush_batch(or);
	EXPECT_LT(0, or->cases);
	EXPECT_EQ(0, vm_audit(or->m.vm));
	or->m.no_load = false;
	or->wrong = 0;
	sample(or, SAMPLE / 4);
	flush_batch(or);
	EXPECT_EQ(0, or->wrong);
}

TEST_F(paging, four_level)
{
	run_format(&self->oracle, FORMAT_4);
	EXPECT_EQ(0, self->oracle.wrong);
}

TEST_F(paging, five_level)
{
	if (!(oracle_cpuid(7, 2) & BIT(16)))
		TEST_SKIP("no 5-level paging");
	run_format(&self->oracle, FORMAT_5);
	EXPECT_EQ(0, self->oracle.wrong);
}

/* The same results against models that are wrong: each must be found out. */
TEST_F(paging, wrong_models_are_noticed)
{
	struct oracle *or = &self->oracle;
	int lie;

	machine_init(&or->m, &formats[FORMAT_4]);
	sample(or, SAMPLE);
	flush_batch(or);
	for (lie = MODEL_TRUE + 1; lie < MODEL_LIES; lie++) {
		if ((lie == MODEL_NO_SMEP && !(or->m.env_can & ENV_SMEP)) ||
		    ((lie == MODEL_NO_SMAP || lie == MODEL_NO_AC) &&
		     !(or->m.env_can & ENV_SMAP)) ||
		    (lie >= MODEL_NO_KEY && lie <= MODEL_KEY_WITHOUT_WP &&
		     !(or->m.env_can & ENV_PKE)))
			continue;
		EXPECT_LT(0, or->lies_found[lie])
			TH_LOG("wrong model %d passed", lie);
	}
}

UMBRA_TEST_MAIN
