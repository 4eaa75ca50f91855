// SPDX-License-Identifier: GPL-2.0-only
/*
 * A form that the generator never brings to its end has not been tested, whatever
 * the number of cases: each must end without a fault with each operand size, with
 * a register and with memory, and with LOCK, as far as it has them.
 */
#include <stdlib.h>
#include <string.h>

#include "kselftest.h"
#include "coverage.h"
#include "forms.h"

static struct {
	unsigned long seen, ended;
	unsigned int sizes;	/* operand sizes in bytes, ORed */
	bool reg, mem, locked;
} *reached;

/* Forget what was reached. */
void coverage_start(void)
{
	free(reached);
	reached = calloc(form_count(), sizeof(*reached));
	if (!reached)
		ksft_exit_fail_msg("no memory\n");
}

void coverage_note(const struct sample *s, const struct outcome *native)
{
	reached[s->form].seen++;
	if (native->end != END_OK)
		return;
	reached[s->form].ended++;
	reached[s->form].sizes |= s->op_bytes;
	reached[s->form].reg |= !s->target;
	reached[s->form].mem |= s->target;
	reached[s->form].locked |= s->lock;
}

/* The operand sizes that a form has; those of vectors do not count. */
static unsigned int wanted_sizes(const struct mode *mode, const struct form *f)
{
	bool native_only = f->flags & (T_STACK | T_BRANCH | T_INDIRECT);
	unsigned int sizes = mode->word;

	if (f->flags & (T_BYTE | T_NO66 | T_VEX | T_EITHER))
		return 0;
	if (f->flags & (T_PAIR | T_ALU | T_ROT))
		sizes |= 1;
	if (mode->word == 4 || !native_only)
		sizes |= 4;
	/* In 64-bit mode Intel has no 16-bit near branches. */
	if (mode->word == 4 || !guest_intel || !(f->flags & (T_BRANCH | T_INDIRECT)))
		sizes |= 2;
	return sizes;
}

static const char *gap(const struct mode *mode, unsigned int n)
{
	struct form f = form_get(n);
	unsigned int sizes = wanted_sizes(mode, &f);

	if (!form_exists(mode, &f))
		return NULL;
	if (!reached[n].seen)
		return "never tried";
	if (f.flags & T_FAULTS)
		return NULL;
	if (!reached[n].ended)
		return "never ends";
	if ((reached[n].sizes & sizes) != sizes)
		return "not with each operand size";
	if ((f.flags & T_LOCK) && !reached[n].locked)
		return "not with LOCK";
	if (!(f.flags & (T_MODRM | T_ALU | T_ROT | T_BITS | T_EITHER)))
		return NULL;
	if (!(f.flags & T_MEM) && !reached[n].reg)
		return "not with a register";
	if (!(f.flags & T_REG) && !reached[n].mem)
		return "not with memory";
	return NULL;
}

/* Say what was not reached; returns how many forms. */
unsigned int coverage_gaps(const struct mode *mode)
{
	unsigned int n, gaps = 0;

	for (n = 0; n < form_count(); n++) {
		const char *why = gap(mode, n);

		if (!why)
			continue;
		gaps++;
		ksft_print_msg("%s (form %u): %s\n", form_name(n), n, why);
	}
	return gaps;
}
