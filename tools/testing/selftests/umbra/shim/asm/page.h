/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests that compile pure parts of the module in userspace. */
#ifndef SHIM_ASM_PAGE_H
#define SHIM_ASM_PAGE_H

#define PAGE_SIZE 4096UL

#endif
