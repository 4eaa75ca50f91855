/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each test program includes: the harness, the host's and the guest's
 * side of the library, and a main() that skips where the node is unfit.
 *
 * The harness runs every test in a process of its own. A program ends with
 * UMBRA_TEST_MAIN.
 */
#ifndef _UMBRA_TEST_TEST_H
#define _UMBRA_TEST_TEST_H

#include "kselftest_harness.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "agent.h"
#include "host.h"
#include "vm.h"

/* Who runs the programs ends one that hangs, and knows how busy the machine is. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 3600

/* Ends a test, or its setup, at once: the harness goes on into the test else. */
#define TEST_SKIP(fmt, ...) SKIP(_exit(255), fmt, ##__VA_ARGS__)

/* Longer and wider variants of what a test does. */
static inline bool test_long(void)
{
	const char *env = getenv("UMBRA_TEST_LONG");

	return env && *env == '1';
}

/* With policy pinned a page that the guest has mapped does not leave. */
static inline bool policy_pinned(struct vm *vm)
{
	struct umbra_mmu_config cfg;

	return !ioctl(vm->fd, UMBRA_GET_MMU, &cfg) && cfg.policy == UMBRA_POLICY_PINNED;
}

#define UMBRA_TEST_MAIN							\
	static void __attribute__((constructor)) skip_if_unfit(void)	\
	{								\
		const char *why = node_unfit();				\
									\
		setvbuf(stdout, NULL, _IOLBF, 0);			\
		/* It takes pages away for a look, and tests count faults. */ \
		host_write("/proc/sys/kernel/numa_balancing", "0");	\
		if (why)						\
			ksft_exit_skip("%s\n", why);			\
	}								\
	TEST_HARNESS_MAIN

#endif
