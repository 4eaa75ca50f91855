/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel says meanwhile.
 */
#ifndef _UMBRA_TEST_KMSG_H
#define _UMBRA_TEST_KMSG_H

#include <stdbool.h>

/**
 * kmsg_open() - listen from now on
 *
 * Returns a file descriptor.
 */
int kmsg_open(void);

/**
 * kmsg_text() - all lines since the last call
 *
 * Returns memory that stays valid until the next call.
 */
const char *kmsg_text(int fd);

/**
 * line_has() - whether one line of a text has all of these, in any order
 * @b: may be NULL, as may @c
 */
bool line_has(const char *text, const char *a, const char *b, const char *c);

/**
 * lines_with() - how many lines of a text have @a
 */
int lines_with(const char *text, const char *a);

#endif
