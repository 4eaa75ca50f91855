// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated execution of one instruction: the callbacks are a small user-mode
 * guest (CPL 3) with the mode's segments and the memory window's copy.
 */
#include <string.h>

#include "machine.h"

u8 shadow[DATA_SIZE];

static const struct mode *run_mode;
static struct regs *cur;

/* The page fault that a user access to [gva, gva + bytes) gives, if any. */
static int access_fault(struct umbra_emul *e, u64 gva, unsigned int bytes, bool write)
{
	u64 p = gva;

	for (;;) {
		bool mapped = (p >= DATA_BASE && p < DATA_BASE + DATA_SIZE) ||
			      (p >= CODE_BASE && p < CODE_BASE + CODE_SIZE);

		if (!mapped || (write && p < RW_BASE))
			return umbra_emul_page_fault(e, p, 4 | write << 1 | mapped);
		if ((p & ~(PAGE - 1)) == ((gva + bytes - 1) & ~(PAGE - 1)))
			return 0;
		p = (p & ~(PAGE - 1)) + PAGE;
	}
}

static u8 *memory(u64 gva)
{
	return gva >= DATA_BASE ? shadow + (gva - DATA_BASE) : (u8 *)gva;
}

static int op_read(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes,
		   unsigned int access)
{
	int ret = access_fault(e, gva, bytes, access & UMBRA_ACCESS_WRITE);

	if (!ret)
		memcpy(val, memory(gva), bytes);
	return ret;
}

static int op_write(struct umbra_emul *e, u64 gva, const void *val, unsigned int bytes,
		    unsigned int access)
{
	int ret = access_fault(e, gva, bytes, true);

	if (!ret)
		memcpy(memory(gva), val, bytes);
	return ret;
}

static int op_probe(struct umbra_emul *e, u64 gva, unsigned int bytes, unsigned int access)
{
	return access_fault(e, gva, bytes, access & UMBRA_ACCESS_WRITE);
}

static int op_exchange(struct umbra_emul *e, u64 gva, const void *old, const void *new,
		       unsigned int bytes)
{
	int ret = access_fault(e, gva, bytes, true);

	if (ret)
		return ret;
	if (memcmp(memory(gva), old, bytes))
		return UMBRA_EMUL_RETRY;
	memcpy(memory(gva), new, bytes);
	return 0;
}

static int op_fetch(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes)
{
	if (gva < CODE_BASE || gva + bytes > CODE_BASE + CODE_SIZE)
		return umbra_emul_page_fault(e, gva, 4 | 16);
	memcpy(val, (void *)(unsigned long)gva, bytes);
	return 0;
}

static void op_get_segment(struct umbra_emul *e, enum umbra_emul_segment seg,
			   struct kvm_segment *s)
{
	*s = run_mode->seg[seg];
}

static int op_get_cr(struct umbra_emul *e, unsigned int nr, u64 *val)
{
	*val = nr == 4 ? 1 << 9 | 1 << 18 : 0x80040033;
	return 0;
}

static int op_get_vec(struct umbra_emul *e, unsigned int reg, void *val, unsigned int bytes)
{
	memcpy(val, cur->vec[reg], bytes);
	return 0;
}

static int op_set_vec(struct umbra_emul *e, unsigned int reg, const void *val,
		      unsigned int bytes, bool zero_upper)
{
	memcpy(cur->vec[reg], val, bytes);
	if (zero_upper)
		memset(cur->vec[reg] + bytes, 0, 32 - bytes);
	return 0;
}

static const struct umbra_emul_ops ops = {
	.fetch = op_fetch,
	.read = op_read,
	.write = op_write,
	.probe = op_probe,
	.exchange = op_exchange,
	.get_segment = op_get_segment,
	.get_cr = op_get_cr,
	.get_vec = op_get_vec,
	.set_vec = op_set_vec,
};

/* @given: how many instruction bytes the emulator need not fetch */
void emulated_run(const struct mode *mode, const struct insn *insn,
		  const struct regs *in, struct outcome *out, unsigned int given)
{
	struct umbra_emul e;
	int ret;

	memset(&e, 0xa5, sizeof(e));	/* nothing may be read before it is set */
	out->regs = *in;
	run_mode = mode;
	cur = &out->regs;
	e.ops = &ops;
	e.regs = cur->gpr;
	e.rip = in->rip;
	e.rflags = in->flags;
	e.mode = mode->emul;
	e.cpl = 3;
	e.intel = guest_intel;
	do {
		e.insn_valid = given < insn->len ? given : insn->len;
		memcpy(e.insn, insn->bytes, e.insn_valid);
		ret = umbra_decode(&e);
		if (!ret)
			ret = umbra_emulate(&e);
	} while (ret == UMBRA_EMUL_REPEAT);
	cur->rip = e.rip;
	cur->flags = e.rflags;
	out->vector = 0;
	out->error = 0;
	out->address = 0;
	switch (ret) {
	case UMBRA_EMUL_OK:
		out->end = END_OK;
		break;
	case UMBRA_EMUL_FAULT:
		out->end = END_FAULT;
		out->vector = e.fault.vector;
		out->error = e.fault.has_error ? e.fault.error : 0;
		out->address = e.fault.address;
		break;
	default:
		out->end = END_UNHANDLEABLE;
		break;
	}
}
