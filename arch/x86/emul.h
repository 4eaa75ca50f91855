/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The emulator's workplace in a vCPU. It outlives an exit to userspace, so that an
 * instruction that starts over is neither fetched, decoded nor translated again.
 */
#ifndef _UMBRA_X86_EMUL_H
#define _UMBRA_X86_EMUL_H

#include "walk.h"

/* struct umbra_x86_emul.exit_access: not known, or used up */
#define UMBRA_EMUL_NO_ACCESS	~0U

/* Pages that one instruction can touch with data, two for each operand. */
#define UMBRA_EMUL_PAGES 4

/**
 * struct umbra_emul_page - one translation that the instruction has made
 * @page: linear address of the page
 * @access: UMBRA_ACCESS_* it was made for
 * @gpa: guest physical address of the page
 */
struct umbra_emul_page {
	u64 page;
	unsigned int access;
	gpa_t gpa;
};

/**
 * struct umbra_x86_emul - emulation in progress
 * @vcpu: whose
 * @e: the emulator's context
 * @decoded: @e holds the instruction at arch.rip, which waits for an answer of
 *	userspace; cleared when an ioctl changes registers
 * @atomic: do not sleep; only decoding, then
 * @sleep: @atomic was in the way
 * @err: errno for KVM_RUN: the host has no memory behind the guest's
 * @exit_access: UMBRA_ACCESS_* of the access that the processor stopped at, or
 *	UMBRA_EMUL_NO_ACCESS
 * @exit_gpa: where it went
 * @walk: result of the last walk
 * @nr_pages: translations in @pages: as in a TLB, one instruction makes them once
 * @pages: the translations
 */
struct umbra_x86_emul {
	struct umbra_vcpu *vcpu;
	struct umbra_emul e;
	bool decoded;
	bool atomic;
	bool sleep;
	int err;
	unsigned int exit_access;
	gpa_t exit_gpa;
	struct umbra_walk walk;
	unsigned int nr_pages;
	struct umbra_emul_page pages[UMBRA_EMUL_PAGES];
};

#endif
