// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_ONE_REG and KVM_SET_ONE_REG: the registers that the world switch gives a guest and
 * takes from it, where they lie in the kernel's objects; see p9.c. What the switch leaves
 * alone (performance monitor, transactions, watchpoints) is no register here.
 *
 * Locks: vcpu->mutex is held.
 */
#include <linux/kvm_host.h>
#include <linux/uaccess.h>
#include <asm/kvm_book3s.h>
#include <asm/kvm_ppc.h>

#include "p9.h"

/* What a guest may have in its LPCR: byte order and place of interrupts, prefetch. */
#define LPCR_GUEST (LPCR_ILE | LPCR_AIL | LPCR_DPFD | LPCR_TC)

/* Vector and floating point registers; the first halves of VSR0 to VSR31 are FPR0 to FPR31. */
static void *vector_place(struct kvm_vcpu *kv, u64 id)
{
	unsigned int n = id & 0x1f;

	switch (id & ~0x1fULL) {
	case KVM_REG_PPC_FPR0:
		return &kv->arch.fp.fpr[n][TS_FPROFFSET];
	case KVM_REG_PPC_VSR0:
		return &kv->arch.fp.fpr[n][0];
	case KVM_REG_PPC_VR0:
		return &kv->arch.vr.vr[n];
	default:
		return NULL;
	}
}

/* Where a register is, as large as its number says; NULL for one that there is not. */
static void *place(struct p9_guest *guest, u64 id)
{
	struct kvm_vcpu *kv = guest->kernel;

	switch (id) {
	case KVM_REG_PPC_AMR:
		return &guest->amr;
	case KVM_REG_PPC_PID:
		return &guest->pid;
	case KVM_REG_PPC_DAR:
		return &guest->shared->dar;
	case KVM_REG_PPC_DSISR:
		return &guest->shared->dsisr;
	case KVM_REG_PPC_DSCR:
		return &kv->arch.dscr;
	case KVM_REG_PPC_UAMOR:
		return &kv->arch.uamor;
	case KVM_REG_PPC_IAMR:
		return &kv->arch.iamr;
	case KVM_REG_PPC_FSCR:
		return &kv->arch.fscr;
	case KVM_REG_PPC_TAR:
		return &kv->arch.tar;
	case KVM_REG_PPC_PPR:
		return &kv->arch.ppr;
	case KVM_REG_PPC_PSPB:
		return &kv->arch.pspb;
	case KVM_REG_PPC_PSSCR:
		return &kv->arch.psscr;
	case KVM_REG_PPC_PURR:
		return &kv->arch.purr;
	case KVM_REG_PPC_SPURR:
		return &kv->arch.spurr;
	case KVM_REG_PPC_VTB:
		return &kv->arch.vcore->vtb;
	case KVM_REG_PPC_TB_OFFSET:
		return &kv->arch.vcore->tb_offset;
	case KVM_REG_PPC_LPCR:
	case KVM_REG_PPC_LPCR_64:
		return &kv->arch.vcore->lpcr;
	case KVM_REG_PPC_DEC_EXPIRY:
		return &kv->arch.dec_expires;
	case KVM_REG_PPC_ARCH_COMPAT:
		return &kv->arch.vcore->arch_compat;
	case KVM_REG_PPC_VRSAVE:
		return &kv->arch.vrsave;
	case KVM_REG_PPC_VSCR:
		return &kv->arch.vr.vscr.u[3];
	case KVM_REG_PPC_FPSCR:
		return &kv->arch.fp.fpscr;
	default:
		return vector_place(kv, id);
	}
}

static unsigned int size_of(u64 id)
{
	return 1U << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

/* The low half of LPCR has a number of its own. */
static long get_lpcr(struct p9_guest *guest, void __user *user)
{
	u32 lpcr = guest->kernel->arch.vcore->lpcr;

	return copy_to_user(user, &lpcr, sizeof(lpcr)) ? -EFAULT : 0;
}

static long get(struct p9_guest *guest, const struct kvm_one_reg *reg)
{
	void __user *user = (void __user *)reg->addr;
	void *from = place(guest, reg->id);

	if (!from)
		return -EINVAL;
	if (reg->id == KVM_REG_PPC_LPCR)
		return get_lpcr(guest, user);
	return copy_to_user(user, from, size_of(reg->id)) ? -EFAULT : 0;
}

/* PCR has a bit for each level of the architecture but the newest. This one is not set. */
#define PCR_NEWEST (PCR_ARCH_300 << 1)

/*
 * The bit of PCR that takes away what came after a level, which is named by its logical
 * PVR; 0 for one that there is not, or that is above the host's.
 */
static unsigned long pcr_bit(u32 pvr)
{
	switch (pvr) {
	case PVR_ARCH_205:
		return PCR_ARCH_205;
	case PVR_ARCH_206:
	case PVR_ARCH_206p:
		return PCR_ARCH_206;
	case PVR_ARCH_207:
		return PCR_ARCH_207;
	case PVR_ARCH_300:
		return PCR_ARCH_300;
	case PVR_ARCH_31:
		return cpu_has_feature(CPU_FTR_ARCH_31) ? PCR_NEWEST : 0;
	default:
		return 0;
	}
}

/* The bits from that level's on to the one below the host's, and those that are reserved. */
static long set_compat(struct kvmppc_vcore *vc, u32 pvr)
{
	unsigned long host = cpu_has_feature(CPU_FTR_ARCH_31) ? PCR_NEWEST : PCR_ARCH_300;
	unsigned long level = pvr ? pcr_bit(pvr) : host;

	if (!level)
		return -EINVAL;
	vc->arch_compat = pvr;
	vc->pcr = (host - level) | PCR_MASK;
	return 0;
}

static long set(struct p9_guest *guest, const struct kvm_one_reg *reg)
{
	void *to = place(guest, reg->id);
	u64 value[2] = { 0 };

	if (!to)
		return -EINVAL;
	if (copy_from_user(value, (void __user *)reg->addr, size_of(reg->id)))
		return -EFAULT;
	switch (reg->id) {
	case KVM_REG_PPC_LPCR:
		/* In its low half, whatever the byte order. */
		value[0] = *(u32 *)value;
		fallthrough;
	case KVM_REG_PPC_LPCR_64:
		*(unsigned long *)to = value[0] & LPCR_GUEST;
		return 0;
	case KVM_REG_PPC_ARCH_COMPAT:
		return set_compat(guest->kernel->arch.vcore, *(u32 *)value);
	case KVM_REG_PPC_PSSCR:
		value[0] &= PSSCR_GUEST_VIS;
		break;
	case KVM_REG_PPC_PID:
		value[0] = (u32)value[0];
		break;
	case KVM_REG_PPC_TB_OFFSET:
		/* The low 24 bits of the time base cannot be written. */
		value[0] = ALIGN(value[0], 1UL << 24);
		break;
	}
	memcpy(to, value, size_of(reg->id));
	return 0;
}

/**
 * p9_one_reg() - KVM_GET_ONE_REG and KVM_SET_ONE_REG
 * @guest: the vCPU's registers
 * @reg: which, and where from or to
 * @write: set it
 *
 * Return: 0; -EINVAL for a register that there is not, and for a level of the architecture
 * that this CPU has not; -EFAULT.
 */
long p9_one_reg(struct p9_guest *guest, const struct kvm_one_reg *reg, bool write)
{
	return write ? set(guest, reg) : get(guest, reg);
}
