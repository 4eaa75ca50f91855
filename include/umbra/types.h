/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The words that every layer uses: address types, page counts, sizes by level.
 *
 * A level names the size of a mapping, in the architecture's own page-table
 * steps: level 1 is a base page. The names are the sizes that x86 has.
 */
#ifndef _UMBRA_TYPES_H
#define _UMBRA_TYPES_H

#include <linux/types.h>
#include <linux/kvm_types.h>
#include <asm/page.h>

#define UMBRA_NAME "umbra"

#define UMBRA_LEVEL_4K		1
#define UMBRA_LEVEL_2M		2
#define UMBRA_LEVEL_1G		3
#define UMBRA_LEVEL_NUM		3

#endif
