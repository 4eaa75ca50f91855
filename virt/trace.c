// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints of <umbra/trace.h>, defined once.
 */
#include <linux/module.h>

#define CREATE_TRACE_POINTS
#include <umbra/trace.h>
