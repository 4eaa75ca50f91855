// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instruction emulator against the processor it runs on.
 *
 * Usage: emulator_test [-n CASES] [-s SEED] [-v]
 *	-n	instructions in each mode, and a quarter as many lengths (default 50000, and
 *		two million with UMBRA_TEST_LONG=1)
 *	-s	another random sequence
 *	-v	print the state of one difference of each form; twice: of two
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest.h"
#include "coverage.h"
#include "forms.h"
#include "generate.h"

static unsigned int verbose;

static void print_state(const char *what, const struct mode *mode, const struct outcome *o)
{
	unsigned int i, n = mode->word == 8 ? 16 : 8;

	ksft_print_msg("  %s: end %u vector %u error %x cr2 %llx rip %llx flags %llx\n", what,
		       o->end, o->vector, o->error, o->address, o->regs.rip, o->regs.flags);
	for (i = 0; i < n; i += 4)
		ksft_print_msg("    r%u: %16llx %16llx %16llx %16llx\n", i, o->regs.gpr[i],
			       o->regs.gpr[i + 1], o->regs.gpr[i + 2], o->regs.gpr[i + 3]);
}

static void report(const struct mode *mode, const struct sample *s, const char *why,
		   const struct outcome *native, const struct outcome *emul)
{
	char hex[64] = "";
	unsigned int i;
	struct outcome in = { .regs = s->in };

	for (i = 0; i < s->insn.len; i++)
		sprintf(hex + 3 * i, "%02x ", s->insn.bytes[i]);
	ksft_print_msg("%s, %s differs: %s at %llx, target %llx\n", sample_name(s), why, hex,
		       s->in.rip, s->target);
	print_state("before", mode, &in);
	print_state("native", mode, native);
	print_state("emulated", mode, emul);
}

/* What differs between both outcomes, or NULL. */
static const char *compare(const struct mode *mode, const struct sample *s,
			   const struct outcome *native, const struct outcome *emul)
{
	u64 flags = FL_COMPARED & ~s->undefined;
	unsigned int i, n = mode->word == 8 ? 16 : 8;

	if (native->end != emul->end)
		return "end";
	if (native->end == END_FAULT && !s->either &&
	    (native->vector != emul->vector || native->error != emul->error))
		return "fault";
	if (native->end == END_FAULT && !s->either && native->address != emul->address)
		return "CR2";
	if (native->regs.rip != emul->regs.rip)
		return "rip";
	for (i = 0; i < n; i++)
		if (native->regs.gpr[i] != emul->regs.gpr[i])
			return "register";
	/* A fault leaves no flag undefined. */
	if (native->end == END_FAULT)
		flags = FL_COMPARED;
	if ((native->regs.flags ^ emul->regs.flags) & flags)
		return "flags";
	if (memcmp(native->regs.vec, emul->regs.vec, sizeof(native->regs.vec)))
		return "vector register";
	if (native->end == END_FAULT && s->torn)
		return NULL;
	if (memcmp(shadow, (void *)DATA_BASE, DATA_SIZE))
		return "memory";
	return NULL;
}

/* A jump into itself would run what no one meant, or for ever. */
static bool jumps_into_itself(const struct sample *s, const struct outcome *emul)
{
	return emul->end == END_OK && emul->regs.rip >= s->in.rip &&
	       emul->regs.rip < s->in.rip + s->insn.len;
}

static const char *run_sample(const struct mode *mode, const struct sample *s,
			      struct outcome *native, struct outcome *emul)
{
	const char *why = NULL;

	native_code(mode, s->in.rip, s->insn.bytes, s->insn.len);
	emulated_run(mode, &s->insn, &s->in, emul, random_u64() & 15);
	if (!jumps_into_itself(s, emul)) {
		native_run(mode, &s->in, native);
		why = compare(mode, s, native, emul);
	}
	native_code(mode, s->in.rip, NULL, s->insn.len);
	memcpy(shadow, (void *)DATA_BASE, DATA_SIZE);
	return why;
}

static void fuzz(const struct mode *mode, unsigned long cases)
{
	static struct outcome native, emul;
	static struct sample s;
	unsigned long done = 0, bad = 0, faults = 0;
	unsigned int *fails = calloc(form_count(), sizeof(*fails));

	coverage_start();
	while (done < cases) {
		unsigned int form = random_u64() % form_count();
		const char *why;

		if (!generate(mode, form, &s))
			continue;
		done++;
		why = run_sample(mode, &s, &native, &emul);
		coverage_note(&s, &native);
		faults += native.end == END_FAULT;
		if (!why)
			continue;
		bad++;
		if (fails[form]++ < verbose)
			report(mode, &s, why, &native, &emul);
	}
	for (unsigned int i = 0; i < form_count(); i++)
		if (fails[i])
			ksft_print_msg("%s (form %u): %u\n", form_name(i), i, fails[i]);
	free(fails);
	ksft_test_result(!bad, "%s: %lu cases, %lu faults, %lu differ\n", mode->name, done,
			 faults, bad);
	ksft_test_result(!coverage_gaps(mode), "%s: every instruction in each of its shapes\n",
			 mode->name);
}

/* Break the outcome in one place. */
static void corrupt(unsigned int kind, struct outcome *o)
{
	switch (kind) {
	case 0:
		o->regs.gpr[RDX] ^= 0x80;
		break;
	case 1:
		o->regs.rip++;
		break;
	case 2:
		o->regs.flags ^= FL_CF;
		break;
	case 3:
		o->regs.vec[5][3] ^= 1;
		break;
	case 4:
		shadow[PAGE + 1000] ^= 0x10;
		break;
	case 5:
		o->end = END_FAULT;
		break;
	}
}

/*
 * Negative control: a wrong result of each kind, and an emulator that executes
 * another instruction than the processor, must be found.
 */
static void find_corruptions(const struct mode *mode)
{
	static struct outcome native, emul;
	static struct sample s, other;
	unsigned int kind, found = 0, wrong = 0, i;

	for (kind = 0; kind < 6; kind++) {
		do
			generate(mode, form_find("mov"), &s);
		while (run_sample(mode, &s, &native, &emul) || native.end != END_OK);
		corrupt(kind, &emul);
		found += !!compare(mode, &s, &native, &emul);
		memcpy(shadow, (void *)DATA_BASE, DATA_SIZE);
	}
	for (i = 0; i < 1000; i++) {
		if (!generate(mode, form_find("sub"), &s))
			continue;
		other = s;
		other.insn.bytes[s.opcode_at] ^= 0x08;	/* mostly, SUB becomes AND */
		emulated_run(mode, &other.insn, &s.in, &emul, 15);
		native_code(mode, s.in.rip, s.insn.bytes, s.insn.len);
		native_run(mode, &s.in, &native);
		native_code(mode, s.in.rip, NULL, s.insn.len);
		wrong += !!compare(mode, &s, &native, &emul);
		memcpy(shadow, (void *)DATA_BASE, DATA_SIZE);
	}
	ksft_test_result(found == 6 && wrong > 100,
			 "%s: negative control, %u of 6 corruptions and %u wrong results found\n",
			 mode->name, found, wrong);
}

/*
 * What must not run natively: it leaves the mode, changes segments or the FPU.
 */
static bool unsafe_to_run(const struct umbra_emul *e)
{
	u8 op = e->opcode;

	if (e->map == 1)
		return op == 0x01 || op == 0x05 || op == 0x07 || op == 0x34 || op == 0x35 ||
		       (op & 0xf0) == 0x80 || (op & 0xf7) == 0xa1 || op == 0xae ||
		       op == 0xb2 || op == 0xb4 || op == 0xb5 || op == 0xc7;
	if (e->map)
		return false;
	return (op & 0xf0) == 0x70 || op == 0x07 || op == 0x17 || op == 0x1f || op == 0x8e ||
	       op == 0x9a || op == 0xc4 || op == 0xc5 || (op >= 0xca && op <= 0xcf) ||
	       (op & 0xf8) == 0xd8 || (op & 0xfc) == 0xe0 || (op & 0xfc) == 0xe8 ||
	       op == 0xf1 || op == 0xff || op == 0xc7 || op == 0xc3 || op == 0xc2;
}

static void random_bytes(const struct mode *mode, u8 *bytes)
{
	static const u8 prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x65, 0x40, 0x48, 0x4d };
	unsigned int n = 0, i, many = random_u64() & 3;

	for (i = 0; i < many; i++)
		bytes[n++] = prefixes[random_u64() % (mode->word == 8 ? 9 : 6)];
	for (i = n; i < 15; i++)
		bytes[i] = random_u64() >> 32;
	switch (random_u64() >> 40 & 7) {
	case 0:
	case 1:
	case 2:
		bytes[n] = 0x0f;
		break;
	case 3:
		bytes[n] = 0x0f;
		bytes[n + 1] = bytes[n + 1] & 1 ? 0x38 : 0x3a;
		break;
	case 4:
		bytes[0] = 0xc4;
		bytes[1] = (bytes[1] & 0xe0) | (1 + (bytes[1] & 1));
		break;
	}
}

/* Does the decoded length, or #UD, agree with how far the processor fetches? */
enum verdict { SAME, DIFFERENT, UNKNOWN };

static enum verdict check_length(const struct mode *mode, struct umbra_emul *e)
{
	int ret = umbra_decode(e);
	enum fetch less, full;

	if (unsafe_to_run(e))
		return UNKNOWN;
	if (ret == UMBRA_EMUL_FAULT && e->fault.vector == 6) {
		/*
		 * What was not looked at (but to tell VEX from LES) may not make it
		 * longer than 15 bytes, which is #GP.
		 */
		if (e->len < 14)
			memset(e->insn + e->len + 1, 0, 14 - e->len);
		return native_fetch(mode, e->insn, 15) == FETCH_UNDEFINED ? SAME : DIFFERENT;
	}
	if (ret)
		return UNKNOWN;
	less = native_fetch(mode, e->insn, e->len - 1);
	full = native_fetch(mode, e->insn, e->len);
	/* An instruction that this processor does not have has no length here. */
	if (less == FETCH_UNDEFINED || full == FETCH_UNDEFINED)
		return UNKNOWN;
	return less == FETCH_MORE && full == FETCH_ENOUGH ? SAME : DIFFERENT;
}

static void compare_lengths(const struct mode *mode, unsigned long cases)
{
	unsigned long done, same = 0, bad = 0;

	for (done = 0; done < cases; done++) {
		struct umbra_emul e = { .mode = mode->emul, .intel = guest_intel,
					.insn_valid = 15 };
		char hex[64] = "";
		enum verdict v;
		unsigned int i;

		random_bytes(mode, e.insn);
		v = check_length(mode, &e);
		same += v == SAME;
		bad += v == DIFFERENT;
		if (v != DIFFERENT || bad > 5 + 20 * verbose)
			continue;
		for (i = 0; i < 15; i++)
			sprintf(hex + 3 * i, "%02x ", e.insn[i]);
		ksft_print_msg("decoded length %u: %s\n", e.len, hex);
	}
	memcpy(shadow, (void *)DATA_BASE, DATA_SIZE);
	ksft_test_result(!bad && same, "%s: %lu random lengths the same, %lu differ\n",
			 mode->name, same, bad);
}

static void test_mode(const struct mode *mode, bool ready, unsigned long cases)
{
	const char *why = NULL;

	/* QEMU's own deviations (fault codes, prefixes, RCL) would count as ours. */
	if (on_tcg)
		why = "QEMU's processor is no reference";
	else if (!ready || !native_mode_works(mode))
		why = "the kernel has no such segments";
	if (why) {
		ksft_test_result_skip("%s: instructions: %s\n", mode->name, why);
		ksft_test_result_skip("%s: coverage: %s\n", mode->name, why);
		ksft_test_result_skip("%s: negative control: %s\n", mode->name, why);
		ksft_test_result_skip("%s: lengths: %s\n", mode->name, why);
		return;
	}
	fuzz(mode, cases);
	find_corruptions(mode);
	compare_lengths(mode, cases / 4);
}

int main(int argc, char **argv)
{
	const char *variant = getenv("UMBRA_TEST_LONG");
	unsigned long cases = 50000;	/* in each mode */
	unsigned int ready;
	u64 seed = 1;
	int opt;

	if (variant && !strcmp(variant, "1"))
		cases = 2000000;
	while ((opt = getopt(argc, argv, "n:s:v")) != -1) {
		switch (opt) {
		case 'n':
			cases = strtoul(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'v':
			verbose++;
			break;
		default:
			ksft_exit_fail_msg("usage: emulator_test [-n CASES] [-s SEED] [-v]\n");
		}
	}
	ksft_print_header();
	if (native_init())
		ksft_exit_fail_msg("cannot map the test's memory\n");
	ksft_set_plan(4 * MODES);
	ready = modes_init();
	random_seed(seed);
	for (unsigned int i = 0; i < DATA_SIZE; i++)
		((u8 *)DATA_BASE)[i] = shadow[i] = random_u64();
	if (mprotect((void *)DATA_BASE, PAGE, PROT_READ))
		ksft_exit_fail_msg("mprotect\n");
	for (unsigned int i = 0; i < MODES; i++)
		test_mode(&modes[i], i < ready, cases);
	ksft_finished();
}
