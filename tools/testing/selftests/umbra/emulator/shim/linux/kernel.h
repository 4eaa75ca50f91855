/* SPDX-License-Identifier: GPL-2.0-only */
/* The few macros of the kernel's <linux/kernel.h> that the emulator uses. */
#ifndef SHIM_LINUX_KERNEL_H
#define SHIM_LINUX_KERNEL_H

#include_next <linux/kernel.h>
#include <linux/types.h>

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define pr_debug(fmt, ...)	do { } while (0)
#define fallthrough	__attribute__((__fallthrough__))
#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif
#define min_t(type, a, b) \
	({ type min_a = (a), min_b = (b); min_a < min_b ? min_a : min_b; })

#endif
