/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the random instructions of one mode have reached.
 */
#ifndef COVERAGE_H
#define COVERAGE_H

#include "generate.h"

void coverage_start(void);
void coverage_note(const struct sample *s, const struct outcome *native);
unsigned int coverage_gaps(const struct mode *mode);

#endif
