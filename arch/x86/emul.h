/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The emulator's workplace in a vCPU. It outlives an exit to userspace, so that an
 * instruction that starts over is neither fetched, decoded nor translated again. And the
 * callbacks that work on it.
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

static inline struct umbra_x86_emul *ctx_of(struct umbra_emul *e)
{
	return e->priv;
}

static inline struct umbra_vcpu *vcpu_of(struct umbra_emul *e)
{
	return ctx_of(e)->vcpu;
}

/* emulmem.c: as struct umbra_emul_ops has them */
int umbra_emul_fetch(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes);
int umbra_emul_read(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes,
		    unsigned int access);
int umbra_emul_write(struct umbra_emul *e, u64 gva, const void *val, unsigned int bytes,
		     unsigned int access);
int umbra_emul_probe(struct umbra_emul *e, u64 gva, unsigned int bytes,
		     unsigned int access);
int umbra_emul_exchange(struct umbra_emul *e, u64 gva, const void *old, const void *new,
			unsigned int bytes);

/* emulops.c: of every vCPU; umbra_emul.priv is the struct umbra_x86_emul */
extern const struct umbra_emul_ops umbra_x86_emul_ops;

#endif
