// SPDX-License-Identifier: GPL-2.0-only
/*
 * SSE and AVX moves between vector registers and memory or general registers.
 *
 * No arithmetic and no MMX. The registers live with the caller. VEX forms clear
 * what is above the vector, legacy forms keep it.
 */
#include <linux/kernel.h>

#include "internal.h"

/* The checks of SDM volume 2 tables 2-18 ff. and of 13.1; XCR0 is the callback's. */
static int check_usable(struct umbra_emul *e)
{
	bool vex = e->prefixes & P_VEX;
	u64 cr0, cr4;
	int ret;

	if (!e->ops->get_vec || !e->ops->set_vec || !e->ops->get_cr)
		return UMBRA_EMUL_UNHANDLEABLE;
	ret = e->ops->get_cr(e, 0, &cr0) ?: e->ops->get_cr(e, 4, &cr4);
	if (ret)
		return ret;
	if (vex ? !(cr4 & CR4_OSXSAVE) : (cr0 & CR0_EM) || !(cr4 & CR4_OSFXSR))
		return emul_ud(e);
	return cr0 & CR0_TS ? umbra_emul_fault(e, VEC_NM, false, 0) : 0;
}

/* Moves with a VEX.vvvv that is not used, or half vectors with VEX.L, are #UD. */
static int check_vex(struct umbra_emul *e, bool uses_v, bool only_128)
{
	if (!(e->prefixes & P_VEX))
		return 0;
	if ((!uses_v && e->vex_v) || (only_128 && e->vex_l == 32))
		return emul_ud(e);
	return 0;
}

static unsigned int vec_bytes(const struct umbra_emul *e)
{
	unsigned int bytes = F_VEC_BYTES(e->flags);

	return bytes == 16 && (e->prefixes & P_VEX) ? e->vex_l : bytes;
}

/* Linear address of a vector operand; an aligned form misaligned is #GP(0). */
static int vec_address(struct umbra_emul *e, unsigned int bytes, unsigned int access,
		       u64 *linear)
{
	int ret;

	ret = umbra_linearize(e, e->seg, umbra_effective_address(e), bytes, access, linear);
	/* Before #SS for a stack address that is misaligned as well. */
	if ((e->flags & F_ALIGNED) && (*linear & (bytes - 1)))
		return emul_gp(e, 0);
	return ret;
}

/*
 * Register to register. MOVSS and MOVSD merge into the destination, in VEX form
 * into the register of VEX.vvvv; MOVQ clears the upper half.
 */
static int vec_copy(struct umbra_emul *e, unsigned int dst, unsigned int src,
		    unsigned int bytes)
{
	bool vex = e->prefixes & P_VEX;
	unsigned int width = bytes > 16 ? 32 : 16;
	u8 to[32] = {}, from[32];
	int ret;

	ret = e->ops->get_vec(e, src, from, width);
	if (!ret && bytes < 16 && e->opcode <= 0x11)
		ret = e->ops->get_vec(e, vex ? emul_vex_reg(e) : dst, to, 16);
	if (ret)
		return ret;
	memcpy(to, from, bytes);
	return e->ops->set_vec(e, dst, to, width, vex);
}

static bool merges(const struct umbra_emul *e)
{
	return !emul_modrm_mem(e) && vec_bytes(e) < 16 && e->opcode <= 0x11;
}

UMBRA_EM(vec_load)
{
	unsigned int bytes = vec_bytes(e);
	u8 buf[32] = {};
	u64 linear;
	int ret;

	ret = check_vex(e, merges(e), bytes == 8 && e->opcode == 0x7e) ?: check_usable(e);
	if (ret)
		return ret;
	if (!emul_modrm_mem(e))
		return vec_copy(e, emul_modrm_reg(e), emul_modrm_rm(e), bytes);
	ret = vec_address(e, bytes, UMBRA_ACCESS_READ, &linear) ?:
	      e->ops->read(e, linear, buf, bytes, UMBRA_ACCESS_READ);
	if (ret)
		return ret;
	return e->ops->set_vec(e, emul_modrm_reg(e), buf, bytes > 16 ? 32 : 16,
			       e->prefixes & P_VEX);
}

UMBRA_EM(vec_store)
{
	unsigned int bytes = vec_bytes(e);
	u8 buf[32];
	u64 linear;
	int ret;

	ret = check_vex(e, merges(e), bytes == 8 && e->opcode == 0xd6) ?: check_usable(e);
	if (ret)
		return ret;
	if (!emul_modrm_mem(e))
		return vec_copy(e, emul_modrm_rm(e), emul_modrm_reg(e), bytes);
	ret = vec_address(e, bytes, UMBRA_ACCESS_WRITE, &linear) ?:
	      e->ops->get_vec(e, emul_modrm_reg(e), buf, bytes > 16 ? 32 : 16);
	if (ret)
		return ret;
	return e->ops->write(e, linear, buf, bytes, UMBRA_ACCESS_WRITE);
}

/*
 * MOVLPS, MOVLPD (12), MOVHPS, MOVHPD (16): one half; the other one stays, in VEX
 * form it is that of VEX.vvvv.
 */
UMBRA_EM(vec_half_load)
{
	bool vex = e->prefixes & P_VEX;
	u8 buf[16];
	u64 linear;
	int ret;

	ret = check_vex(e, true, true) ?:
	      check_usable(e) ?:
	      vec_address(e, 8, UMBRA_ACCESS_READ, &linear) ?:
	      e->ops->get_vec(e, vex ? emul_vex_reg(e) : emul_modrm_reg(e), buf, 16) ?:
	      e->ops->read(e, linear, buf + (e->opcode == 0x16 ? 8 : 0), 8,
			   UMBRA_ACCESS_READ);
	return ret ?: e->ops->set_vec(e, emul_modrm_reg(e), buf, 16, vex);
}

UMBRA_EM(vec_half_store)
{
	u8 buf[16];
	u64 linear;
	int ret;

	ret = check_vex(e, false, true) ?:
	      check_usable(e) ?:
	      vec_address(e, 8, UMBRA_ACCESS_WRITE, &linear) ?:
	      e->ops->get_vec(e, emul_modrm_reg(e), buf, 16);
	return ret ?: e->ops->write(e, linear, buf + (e->opcode == 0x17 ? 8 : 0), 8,
				    UMBRA_ACCESS_WRITE);
}

/* MOVD and MOVQ between a vector and a general register or memory: W decides. */
UMBRA_EM(movd_load)
{
	u8 buf[16] = {};
	int ret;

	e->op_bytes = e->rex & REX_W ? 8 : 4;
	ret = check_vex(e, false, true) ?:
	      check_usable(e) ?:
	      umbra_operand_load(e, &e->src, OP_RM, true, false);
	if (ret)
		return ret;
	memcpy(buf, &e->src.val, 8);
	return e->ops->set_vec(e, emul_modrm_reg(e), buf, 16, e->prefixes & P_VEX);
}

UMBRA_EM(movd_store)
{
	u8 buf[16];
	int ret;

	e->op_bytes = e->rex & REX_W ? 8 : 4;
	ret = check_vex(e, false, true) ?:
	      check_usable(e) ?:
	      umbra_operand_load(e, &e->dst, OP_RM, false, true) ?:
	      e->ops->get_vec(e, emul_modrm_reg(e), buf, 16);
	if (ret)
		return ret;
	e->dst.val = 0;
	memcpy(&e->dst.val, buf, e->op_bytes);
	return umbra_operand_store(e, &e->dst, false);
}
