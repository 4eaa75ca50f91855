// SPDX-License-Identifier: GPL-2.0-only
/*
 * Segment registers: MOV, POP, LDS and the like.
 *
 * In real and virtual 8086 mode a selector is a paragraph number, and the hidden
 * limit and attributes stay. In protected mode the descriptor is read and
 * checked (SDM volume 3 section 5.5 to 5.7, MOV and LDS in volume 2).
 */
#include <linux/kernel.h>

#include "internal.h"

static int load_paragraph(struct umbra_emul *e, unsigned int seg, u16 selector)
{
	struct kvm_segment s;

	e->ops->get_segment(e, seg, &s);
	s.selector = selector;
	s.base = (u32)selector << 4;
	e->ops->set_segment(e, seg, &s);
	return 0;
}

/* Only DS, ES, FS, GS may be null, and SS in 64-bit mode outside of CPL 3. */
static int load_null(struct umbra_emul *e, unsigned int seg, u16 selector)
{
	struct kvm_segment s;

	if (seg == UMBRA_SEG_SS &&
	    (!emul_long(e) || e->cpl == 3 || (selector & 3) != e->cpl))
		return emul_gp(e, 0);
	e->ops->get_segment(e, seg, &s);
	s.selector = selector;
	s.base = 0;
	s.unusable = 1;
	s.dpl = seg == UMBRA_SEG_SS ? e->cpl : 0;
	e->ops->set_segment(e, seg, &s);
	return 0;
}

/* Linear address of a selector's descriptor in the GDT or LDT. */
static int descriptor_address(struct umbra_emul *e, u16 selector, u64 *addr)
{
	unsigned int offset = selector & ~7;
	u64 base, limit;

	if (selector & 4) {
		struct kvm_segment ldt;

		e->ops->get_segment(e, UMBRA_SEG_LDTR, &ldt);
		base = ldt.base;
		limit = ldt.unusable ? 0 : ldt.limit;
	} else {
		struct kvm_dtable gdt;

		e->ops->get_dt(e, false, &gdt);
		base = gdt.base;
		limit = gdt.limit;
	}
	if (offset + 7 > limit)
		return emul_gp(e, selector & ~3);
	*addr = base + offset;
	if (!emul_long(e))
		*addr = (u32)*addr;
	return 0;
}

static void unpack_descriptor(u64 desc, u16 selector, struct kvm_segment *s)
{
	memset(s, 0, sizeof(*s));
	s->selector = selector;
	s->base = (desc >> 16 & 0xffffff) | (desc >> 56 & 0xff) << 24;
	s->limit = (desc & 0xffff) | (desc >> 32 & 0xf0000);
	s->type = desc >> 40 & 15;
	s->s = desc >> 44 & 1;
	s->dpl = desc >> 45 & 3;
	s->present = desc >> 47 & 1;
	s->avl = desc >> 52 & 1;
	s->l = desc >> 53 & 1;
	s->db = desc >> 54 & 1;
	s->g = desc >> 55 & 1;
	if (s->g)
		s->limit = s->limit << 12 | 0xfff;
}

/* May this descriptor go into @seg at the current privilege? */
static int check_descriptor(struct umbra_emul *e, unsigned int seg,
			    const struct kvm_segment *s)
{
	unsigned int rpl = s->selector & 3;
	u32 error = s->selector & ~3;
	bool code = s->type & 8;

	if (seg == UMBRA_SEG_SS) {
		if (!s->s || code || !(s->type & 2) || rpl != e->cpl || s->dpl != e->cpl)
			return emul_gp(e, error);
		return s->present ? 0 : umbra_emul_fault(e, VEC_SS, true, error);
	}
	if (!s->s || (code && !(s->type & 2)))
		return emul_gp(e, error);
	/* All but conforming code is checked for privilege. */
	if ((s->type & 12) != 12 && (rpl > s->dpl || e->cpl > s->dpl))
		return emul_gp(e, error);
	return s->present ? 0 : umbra_emul_fault(e, VEC_NP, true, error);
}

/**
 * umbra_load_segment() - load a segment register as MOV does
 * @e: context
 * @seg: enum umbra_emul_segment; UMBRA_SEG_CS only in real and vm86 mode
 * @selector: new selector
 *
 * The register is loaded when 0 is returned, so this comes last among what can
 * fail. Return: enum umbra_emul_result.
 */
int umbra_load_segment(struct umbra_emul *e, unsigned int seg, u16 selector)
{
	struct kvm_segment s;
	u64 addr, desc;
	int ret;

	if (!e->ops->set_segment)
		return UMBRA_EMUL_UNHANDLEABLE;
	if (emul_8086(e))
		return load_paragraph(e, seg, selector);
	if (!(selector & ~3))
		return load_null(e, seg, selector);
	if (!e->ops->get_dt)
		return UMBRA_EMUL_UNHANDLEABLE;
	ret = descriptor_address(e, selector, &addr) ?:
	      umbra_linear_read(e, addr, &desc, 8, UMBRA_ACCESS_SYSTEM);
	if (ret)
		return ret;
	unpack_descriptor(desc, selector, &s);
	ret = check_descriptor(e, seg, &s);
	if (ret)
		return ret;
	if (!(s.type & 1)) {
		s.type |= 1;
		ret = umbra_linear_write(e, addr + 5, (desc >> 40 & 0xff) | 1, 1,
					 UMBRA_ACCESS_SYSTEM);
		if (ret)
			return ret;
	}
	e->ops->set_segment(e, seg, &s);
	return 0;
}

UMBRA_EM(mov_from_seg)
{
	unsigned int seg = e->modrm >> 3 & 7;
	struct kvm_segment s;

	if (seg > UMBRA_SEG_GS)
		return emul_ud(e);
	e->ops->get_segment(e, seg, &s);
	if (emul_modrm_mem(e))
		return umbra_mem_write(e, e->seg, umbra_effective_address(e),
				       &s.selector, 2);
	umbra_reg_write(e, emul_modrm_rm(e), s.selector, e->op_bytes);
	return 0;
}

UMBRA_EM(mov_to_seg)
{
	unsigned int seg = e->modrm >> 3 & 7;
	int ret;

	if (seg > UMBRA_SEG_GS || seg == UMBRA_SEG_CS)
		return emul_ud(e);
	ret = umbra_load_segment(e, seg, e->src.val);
	if (!ret)
		e->int_shadow = seg == UMBRA_SEG_SS;
	return ret;
}

/* C4 LES, C5 LDS, 0F B2 LSS, 0F B4 LFS, 0F B5 LGS; no 64-bit offset on AMD */
UMBRA_EM(load_far)
{
	unsigned int bytes = e->op_bytes == 8 && !e->intel ? 4 : e->op_bytes;
	u64 ea = umbra_effective_address(e), offset = 0;
	unsigned int seg;
	u16 selector;
	int ret;

	seg = e->map ? e->opcode & 7 : e->opcode == 0xc4 ? UMBRA_SEG_ES : UMBRA_SEG_DS;
	ret = umbra_mem_read(e, e->seg, ea, &offset, bytes);
	ea = (ea + bytes) & emul_mask(e->ad_bytes);
	ret = ret ?: umbra_mem_read(e, e->seg, ea, &selector, 2);
	ret = ret ?: umbra_load_segment(e, seg, selector);
	if (!ret)
		umbra_reg_write(e, emul_modrm_reg(e), offset, bytes);
	return ret;
}
