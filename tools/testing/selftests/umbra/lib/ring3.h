/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accesses that guest code makes in ring 3.
 */
#ifndef _UMBRA_TEST_RING3_H
#define _UMBRA_TEST_RING3_H

#include "vm.h"

/**
 * user_setup() - give @vm the segments and the stack that visits to ring 3 need
 */
void user_setup(struct vm *vm);

/**
 * guest_expect_user() - one access in ring 3, made by vCPU 0
 * @gva: where
 * @write: 0 to read
 * @want: the error code of its #PF, or NO_FAULT
 */
void guest_expect_user(u64 gva, u64 write, u64 want);

#endif
