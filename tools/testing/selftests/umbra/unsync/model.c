// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a CPU may show after entries of page tables were written, and scripts that ask
 * it (SDM volume 3, 4.10; APM volume 2, 5.5). An entry that was present may be cached
 * until it is flushed, one that was not is never; so up to then an access has the
 * outcome of any of these entries. A and D are set in what is in memory by then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

#define AD (PTE_A | PTE_D)
#define SHOWN 8

struct side *side_new(struct machine *m, int nr, int first, int stride)
{
	struct side *s = calloc(1, sizeof(*s));

	s->m = m;
	s->nr = nr;
	s->first = first;
	s->stride = stride;
	s->pages = REGION_PAGES;
	s->seed = 0x9e3779b97f4a7c15UL * (nr + 1);
	s->cr0 = SCRIPT_CR0 | SCRIPT_CR0_WP;
	s->cr4 = machine_cr4(m);
	s->steps = m->steps[nr];
	return s;
}

void script_begin(struct side *s)
{
	s->n = 0;
	s->space = 0;
	s->cr0 = SCRIPT_CR0 | SCRIPT_CR0_WP;
}

static struct want *add(struct side *s, u64 code, u64 at, u64 value)
{
	struct want *w = &s->want[s->n];

	if (s->n == SCRIPT_STEPS)
		die("the script is too long");
	s->steps[s->n++] = (struct step) { .code = code, .at = at, .value = value };
	w->nr = 0;
	return w;
}

void script_step(struct side *s, u64 code, u64 at, u64 value)
{
	add(s, code, at, value);
}

void script_end(struct side *s)
{
	add(s, DO_END, 0, 0);
}

static void may_be(struct want *w, u64 outcome)
{
	int i;

	for (i = 0; i < w->nr; i++)
		if (w->outcome[i] == outcome)
			return;
	w->outcome[w->nr++] = outcome;
}

/* --- entries --- */

static void forget(struct known *k, bool global)
{
	int i, n = 0;

	for (i = 0; i < k->nr_old; i++)
		if (!global && (k->old[i] & PTE_G))
			k->old[n++] = k->old[i];
	k->nr_old = n;
}

static void flush_page(struct side *s, int page)
{
	add(s, DO_INVLPG, machine_gva(s->m, page), 0);
	forget(&s->known[page], true);
}

void script_change(struct side *s, int page, u64 pte)
{
	u64 at = machine_entry(s->m, page, random_next(&s->seed) & 1);
	struct known *k = &s->known[page];

	if (k->nr_old == MAX_OLD)
		flush_page(s, page);
	if (k->now & PTE_P)
		k->old[k->nr_old++] = k->now;
	k->now = pte;
	k->must = 0;
	k->may = 0;
	if (s->lie > 0) {
		s->lie--;
		return;
	}
	add(s, s->m->f->wide ? DO_STORE8 : DO_STORE4, at, pte);
}

u64 script_any_pte(struct side *s, int page)
{
	u64 r = random_next(&s->seed), now = s->known[page].now;
	u64 rights = PTE_P | PTE_W | PTE_U | AD;

	/* One right less, or all of them again. */
	switch ((now & PTE_P) ? r % 12 : 12) {
	case 0:
		return now & ~PTE_W;
	case 1:
		return now & ~PTE_U;
	case 2:
		return s->m->f->wide ? now | PTE_NX : now & ~AD;
	case 3:
		return now & ~PTE_A;
	case 4:
		return now & ~PTE_D;
	case 5:
		return now & ~PTE_P;
	case 6:
		return (now | rights) & ~PTE_NX;
	}
	r = random_next(&s->seed);
	return target_pte(s->m, random_next(&s->seed) % TARGETS,
			  (r % 8 ? PTE_P : 0) | (r & 0x300 ? PTE_W : 0) |
			  (r & 0xc00 ? PTE_U : 0) | (r & 0x1000 ? AD : r & 0x2000 ? PTE_A : 0) |
			  (r & 0x4000 ? PTE_G : 0) | (r & 0x38000 ? 0 : PTE_NX));
}

void script_flush(struct side *s, enum flush how, int page, int n)
{
	int i;

	for (i = 0; i < n && how == FLUSH_INVLPG; i++)
		flush_page(s, side_page(s, page + i));
	if (how == FLUSH_INVLPG)
		return;
	if (how == FLUSH_SPACE)
		s->space ^= 1;
	if (how == FLUSH_PG) {
		add(s, DO_PG, 0, 0);
	} else if (how == FLUSH_PGE) {
		add(s, DO_CR4, 0, s->cr4 & ~CR4_PGE);
		add(s, DO_CR4, 0, s->cr4);
	} else {
		add(s, DO_CR3, 0, s->m->root[s->space]);
	}
	for (i = 0; i < REGION_PAGES; i++)
		forget(&s->known[i], how >= FLUSH_PGE);
}

void script_toggle_wp(struct side *s)
{
	s->cr0 ^= SCRIPT_CR0_WP;
	add(s, DO_CR0, 0, s->cr0);
}

/* --- accesses --- */

static int target_of(struct side *s, u64 pte)
{
	return ((pte & PTE_ADDR) - (u64)s->m->targets) / PAGE_4K;
}

/* The value of a read or a call is the target's number. */
static u64 outcome(struct side *s, u64 pte, u64 code)
{
	bool user = code >= DO_USER, write = code % DO_USER == DO_WRITE;
	bool fetch = code % DO_USER == DO_FETCH;
	u64 error = (write ? ERROR_W : 0) | (user ? ERROR_U : 0) |
		    (fetch && s->m->f->wide ? ERROR_I : 0);

	if (!(pte & PTE_P))
		return OUTCOME_FAULT | error;
	if ((user && !(pte & PTE_U)) || (fetch && (pte & PTE_NX)) ||
	    (write && !(pte & PTE_W) && (user || (s->cr0 & SCRIPT_CR0_WP))))
		return OUTCOME_FAULT | error | ERROR_P;
	return 100 + target_of(s, pte);
}

/* Reads may be of a word that was written: the value is then that. */
static void access_slot(struct side *s, int page, u64 code)
{
	struct known *k = &s->known[page];
	int slot = random_next(&s->seed) % SLOTS, target = target_of(s, k->now);
	u64 at = machine_gva(s->m, page) + TARGET_SLOTS * (s->nr + 1) + slot * 4;
	u64 out = outcome(s, k->now, code);
	struct want *w = add(s, code, at, ++s->counter);

	if (out & OUTCOME_FAULT) {
		may_be(w, out);
		return;
	}
	if (code % DO_USER == DO_WRITE)
		s->slots[target][slot] = s->counter;
	may_be(w, s->slots[target][slot]);
}

static void access_number(struct side *s, int page, u64 code)
{
	struct known *k = &s->known[page];
	u64 at = machine_gva(s->m, page) + (code % DO_USER == DO_FETCH ? TARGET_CODE : 0);
	struct want *w = add(s, code, at, 0);
	int i;

	may_be(w, outcome(s, k->now, code));
	for (i = 0; i < k->nr_old; i++)
		may_be(w, outcome(s, k->old[i], code));
}

/* A and D that the access sets; or may, where it can go by an older entry. */
static void mark(struct side *s, int page, u64 code)
{
	u64 bits = PTE_A | (code % DO_USER == DO_WRITE ? PTE_D : 0);
	struct known *k = &s->known[page];

	if (!(k->now & PTE_P))
		return;
	if (outcome(s, k->now, code) & OUTCOME_FAULT)
		k->may |= PTE_A;
	else if (k->nr_old)
		k->may |= bits;
	else
		k->must |= bits;
}

void script_look_up(struct side *s, int page)
{
	u64 code = random_next(&s->seed) & 1 ? DO_READ : DO_FETCH;

	if (random_next(&s->seed) & 1)
		code += DO_USER;
	access_number(s, page, code);
	mark(s, page, code);
}

/*
 * A right that is new may be missing once: the fault drops the older entry. All of
 * them have to lead to the same target.
 */
static bool is_upgrade(struct side *s, int page)
{
	struct known *k = &s->known[page];
	int i;

	for (i = 0; i < k->nr_old; i++)
		if (((k->old[i] ^ k->now) & PTE_ADDR) || !(k->now & PTE_P))
			return false;
	return true;
}

static void access_twice(struct side *s, int page, u64 code)
{
	struct known *k = &s->known[page];
	u64 at = machine_gva(s->m, page) + TARGET_SLOTS * (s->nr + 1);
	int target = target_of(s, k->now), i;
	struct want *w = add(s, code, at, ++s->counter);

	may_be(w, s->counter);
	for (i = 0; i < k->nr_old; i++)
		if (outcome(s, k->old[i], code) & OUTCOME_FAULT)
			may_be(w, outcome(s, k->old[i], code));
	w = add(s, code, at, ++s->counter);
	may_be(w, s->counter);
	s->slots[target][0] = s->counter;
	mark(s, page, code);
}

void script_any_access(struct side *s, int page)
{
	u64 code = random_next(&s->seed) % DO_STORE4;
	struct known *k = &s->known[page];

	if (code % DO_USER != DO_WRITE) {
		access_number(s, page, code);
		mark(s, page, code);
	} else if (!k->nr_old) {
		/* What is there now, then something else. */
		access_slot(s, page, code - DO_WRITE);
		mark(s, page, code - DO_WRITE);
		access_slot(s, page, code);
		mark(s, page, code);
	} else if (is_upgrade(s, page) && !(outcome(s, k->now, code) & OUTCOME_FAULT)) {
		access_twice(s, page, code);
	}
}

void script_entry(struct side *s, int page)
{
	u64 at = machine_entry(s->m, page, random_next(&s->seed) & 1);
	struct want *w = add(s, DO_READ, at, 0);
	struct known *k = &s->known[page];
	u32 low = k->now | k->must;

	may_be(w, low);
	may_be(w, low | (k->may & PTE_A));
	may_be(w, low | (k->may & PTE_D));
	may_be(w, low | (k->may & AD));
}

/* --- what came of it --- */

static bool flushes(const struct step *step)
{
	return step->code >= DO_INVLPG && step->code <= DO_PG;
}

static void show(struct side *s, int i, u64 seen)
{
	const struct step *step = &s->steps[i];
	const struct want *w = &s->want[i];
	int k, last = i;

	while (last > 0 && !flushes(&s->steps[last]))
		last--;
	printf("# %s, vCPU %d, step %d (%lu at %#lx): %s %#lx, CR2 %#lx; wanted", s->m->f->name,
	       s->nr, i, step->code, step->at, seen & OUTCOME_FAULT ? "#PF" : "value",
	       seen & ~OUTCOME_FAULT, step->cr2);
	for (k = 0; k < w->nr; k++)
		printf(" %s %#lx", w->outcome[k] & OUTCOME_FAULT ? "#PF" : "value",
		       w->outcome[k] & ~OUTCOME_FAULT);
	printf("; step %d, the last flush, is %lu at %#lx\n", last, s->steps[last].code,
	       s->steps[last].at);
}

static bool is_wanted(const struct step *step, const struct want *w, u64 seen)
{
	int i;

	for (i = 0; i < w->nr; i++)
		if (w->outcome[i] == seen)
			return !(seen & OUTCOME_FAULT) || step->cr2 == step->at;
	return !w->nr;
}

u64 side_wrong(struct side *s, bool quiet)
{
	u64 wrong = 0;
	int i;

	for (i = 0; i < s->n; i++) {
		const struct step *step = &s->steps[i];
		u64 seen = step->error == NO_ERROR ? step->seen : OUTCOME_FAULT | step->error;

		if (is_wanted(step, &s->want[i], seen))
			continue;
		if (wrong++ < SHOWN && !quiet)
			show(s, i, seen);
	}
	return wrong;
}

u64 side_wrong_memory(struct side *s)
{
	u64 wrong = 0;
	u32 i, slot;

	for (i = 0; i < TARGETS; i++) {
		u8 *page = s->m->targets + i * PAGE_4K;
		u32 *slots = (u32 *)(page + TARGET_SLOTS * (s->nr + 1));

		wrong += *(u32 *)page != 100 + i;
		wrong += *(u32 *)(page + TARGET_CODE + 1) != 100 + i;
		for (slot = 0; slot < SLOTS; slot++)
			wrong += slots[slot] != s->slots[i][slot];
	}
	return wrong;
}
