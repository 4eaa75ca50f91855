/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random instructions with a random state around them.
 */
#ifndef GENERATE_H
#define GENERATE_H

#include "machine.h"

/* One test case. */
struct sample {
	unsigned int form;
	struct insn insn;
	struct regs in;
	u8 opcode_at;	/* offset of the last opcode byte */
	u8 op_bytes;	/* operand size */
	bool lock;
	u64 target;	/* where the memory operand lies, 0 for none */
	bool torn;	/* when the store faults, a part of it may be done */
	bool either;	/* which of two operands faults first is the processor's choice */
	u64 undefined;	/* flags that the architecture leaves undefined */
};

u64 random_u64(void);
void random_seed(u64 seed);
unsigned int random_below(unsigned int n);
bool generate(const struct mode *mode, unsigned int form, struct sample *s);
const char *sample_name(const struct sample *s);

#endif
