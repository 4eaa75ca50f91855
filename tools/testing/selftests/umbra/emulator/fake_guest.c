// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "fake_guest.h"

struct guest guest;

static int check_page(struct umbra_emul *e, u64 gva, unsigned int bytes, unsigned int access)
{
	u64 last = gva + bytes - 1;
	u32 error = (access & UMBRA_ACCESS_WRITE ? 2 : 0) | (access & UMBRA_ACCESS_FETCH ? 16 : 0);

	if (e->cpl == 3 && !(access & UMBRA_ACCESS_SYSTEM))
		error |= 4;
	if (gva >> 12 == HOLE >> 12)
		return umbra_emul_page_fault(e, gva, error);
	if (last >> 12 == HOLE >> 12)
		return umbra_emul_page_fault(e, HOLE, error);
	return 0;
}

static bool is_mmio(u64 gva)
{
	return gva >> 12 == MMIO >> 12;
}

/* Userspace's answer to the next read, or note what is wanted. */
static int answer(u64 where, void *val, unsigned int bytes, unsigned int ahead)
{
	if (guest.asked < guest.answers) {
		memcpy(val, &guest.answered[guest.asked++], bytes);
		return 0;
	}
	guest.wanted = where;
	guest.wanted_ahead = ahead;
	return UMBRA_EMUL_IO_NEEDED;
}

static int note(u64 where, const void *val, unsigned int bytes, unsigned int ahead)
{
	if (guest.outs == guest.out_room)
		return UMBRA_EMUL_IO_NEEDED;
	guest.out_addr[guest.outs] = where;
	guest.out_val[guest.outs] = 0;
	memcpy(&guest.out_val[guest.outs++], val, bytes);
	guest.out_ahead = ahead;
	return 0;
}

static int op_read(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes,
		   unsigned int access)
{
	int ret = check_page(e, gva, bytes, access);

	if (ret)
		return ret;
	if (is_mmio(gva))
		return answer(gva, val, bytes, 1);
	if (gva > MEM_SIZE - bytes)
		return UMBRA_EMUL_UNHANDLEABLE;
	memcpy(val, guest.mem + gva, bytes);
	return 0;
}

static int op_write(struct umbra_emul *e, u64 gva, const void *val, unsigned int bytes,
		    unsigned int access)
{
	int ret = check_page(e, gva, bytes, access);

	if (ret)
		return ret;
	if (is_mmio(gva))
		return note(gva, val, bytes, 1);
	if (gva > MEM_SIZE - bytes)
		return UMBRA_EMUL_UNHANDLEABLE;
	memcpy(guest.mem + gva, val, bytes);
	return 0;
}

static int op_probe(struct umbra_emul *e, u64 gva, unsigned int bytes, unsigned int access)
{
	return check_page(e, gva, bytes, access);
}

static int op_exchange(struct umbra_emul *e, u64 gva, const void *old, const void *new,
		       unsigned int bytes)
{
	bool memory = gva <= MEM_SIZE - bytes;

	if (guest.lose_race || (memory && memcmp(guest.mem + gva, old, bytes)))
		return UMBRA_EMUL_RETRY;
	return op_write(e, gva, new, bytes, UMBRA_ACCESS_WRITE);
}

static int op_fetch(struct umbra_emul *e, u64 gva, void *val, unsigned int bytes)
{
	return op_read(e, gva, val, bytes, UMBRA_ACCESS_FETCH);
}

static int op_pio_in(struct umbra_emul *e, u16 port, void *val, unsigned int bytes,
		     unsigned int ahead)
{
	return answer(port, val, bytes, ahead);
}

static int op_pio_out(struct umbra_emul *e, u16 port, const void *val, unsigned int bytes,
		      unsigned int ahead)
{
	return note(port, val, bytes, ahead);
}

static void op_iteration_done(struct umbra_emul *e)
{
	guest.iterations++;
}

static void op_get_segment(struct umbra_emul *e, enum umbra_emul_segment seg,
			   struct kvm_segment *val)
{
	*val = guest.seg[seg];
}

static void op_set_segment(struct umbra_emul *e, enum umbra_emul_segment seg,
			   const struct kvm_segment *val)
{
	guest.seg[seg] = *val;
}

static void op_get_dt(struct umbra_emul *e, bool idt, struct kvm_dtable *val)
{
	*val = idt ? guest.idt : guest.gdt;
}

static void op_set_dt(struct umbra_emul *e, bool idt, const struct kvm_dtable *val)
{
	*(idt ? &guest.idt : &guest.gdt) = *val;
}

static int op_get_cr(struct umbra_emul *e, unsigned int nr, u64 *val)
{
	*val = guest.cr[nr];
	return 0;
}

static int op_set_cr(struct umbra_emul *e, unsigned int nr, u64 val)
{
	if (nr == 0 && val >> 32)
		return umbra_emul_fault(e, 13, true, 0);
	guest.cr[nr] = val;
	return 0;
}

static int op_get_dr(struct umbra_emul *e, unsigned int nr, u64 *val)
{
	*val = guest.dr[nr];
	return 0;
}

static int op_set_dr(struct umbra_emul *e, unsigned int nr, u64 val)
{
	guest.dr[nr] = val;
	return 0;
}

static int op_get_msr(struct umbra_emul *e, u32 index, u64 *val)
{
	guest.msr_index = index;
	*val = guest.msr_val;
	return 0;
}

static int op_set_msr(struct umbra_emul *e, u32 index, u64 val)
{
	guest.msr_index = index;
	guest.msr_val = val;
	return 0;
}

static int op_set_xcr(struct umbra_emul *e, u32 index, u64 val)
{
	guest.xcr0 = val;
	return 0;
}

static int op_cpuid(struct umbra_emul *e, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	*ebx = *eax + 1;
	*edx = *ecx + 1;
	return 0;
}

static int op_halt(struct umbra_emul *e)
{
	guest.halts++;
	return 0;
}

static int op_invlpg(struct umbra_emul *e, u64 gva)
{
	guest.invlpg = gva;
	return 0;
}

static int op_get_vec(struct umbra_emul *e, unsigned int reg, void *val, unsigned int bytes)
{
	memcpy(val, guest.vec[reg], bytes);
	return 0;
}

static int op_set_vec(struct umbra_emul *e, unsigned int reg, const void *val,
		      unsigned int bytes, bool zero_upper)
{
	memcpy(guest.vec[reg], val, bytes);
	if (zero_upper)
		memset(guest.vec[reg] + bytes, 0, 32 - bytes);
	return 0;
}

static const struct umbra_emul_ops ops = {
	.fetch = op_fetch,
	.read = op_read,
	.write = op_write,
	.probe = op_probe,
	.exchange = op_exchange,
	.pio_in = op_pio_in,
	.pio_out = op_pio_out,
	.iteration_done = op_iteration_done,
	.get_segment = op_get_segment,
	.set_segment = op_set_segment,
	.get_dt = op_get_dt,
	.set_dt = op_set_dt,
	.get_cr = op_get_cr,
	.set_cr = op_set_cr,
	.get_dr = op_get_dr,
	.set_dr = op_set_dr,
	.get_msr = op_get_msr,
	.set_msr = op_set_msr,
	.set_xcr = op_set_xcr,
	.cpuid = op_cpuid,
	.halt = op_halt,
	.invlpg = op_invlpg,
	.get_vec = op_get_vec,
	.set_vec = op_set_vec,
};

void guest_init(enum umbra_emul_mode mode)
{
	unsigned int i;

	memset(&guest, 0, sizeof(guest));
	for (i = 0; i < 8; i++) {
		struct kvm_segment *s = &guest.seg[i];

		s->present = 1;
		s->s = 1;
		s->type = i == UMBRA_SEG_CS ? 11 : 3;
		s->limit = 0xffff;
		if (mode >= UMBRA_EMUL_PROT32) {
			s->limit = 0xffffffff;
			s->db = 1;
			s->g = 1;
		}
	}
	guest.seg[UMBRA_SEG_CS].l = mode == UMBRA_EMUL_LONG64;
	guest.gdt.base = GDT;
	guest.gdt.limit = 0x7f;
	guest.idt.limit = 0x3ff;
	guest.cr[0] = mode == UMBRA_EMUL_REAL ? 0x10 : 0x80000011;
	guest.cr[4] = 1 << 9 | 1 << 18;
	guest.regs[RSP] = STACK;
	guest.out_room = 16;
	guest.e.ops = &ops;
	guest.e.regs = guest.regs;
	guest.e.rflags = 2;
	guest.e.mode = mode;
	guest.e.cpl = mode == UMBRA_EMUL_VM86 ? 3 : 0;
	guest.e.rip = CODE;
}

int guest_run(const char *bytes, unsigned int len)
{
	struct umbra_emul *e = &guest.e;
	int ret;

	memcpy(guest.mem + (u32)(guest.seg[UMBRA_SEG_CS].base + e->rip), bytes, len);
	guest.asked = 0;
	e->insn_valid = 0;
	ret = umbra_decode(e);
	return ret ? ret : umbra_emulate(e);
}

u64 guest_load(u64 addr, unsigned int bytes)
{
	u64 val = 0;

	memcpy(&val, guest.mem + addr, bytes);
	return val;
}

void guest_store(u64 addr, u64 val, unsigned int bytes)
{
	memcpy(guest.mem + addr, &val, bytes);
}
