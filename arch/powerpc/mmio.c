// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads and stores to where no memory is: decoded, and answered by userspace through
 * KVM_EXIT_MMIO. Every load and store of the fixed-point facility of 1 to 8 bytes, with
 * update, algebraic and byte-reversed forms, and the cache-inhibited ones (Power ISA 2.06
 * book I, 3.3.2 to 3.3.5; book III-S, 4.4.1).
 *
 * A store is finished before the exit. A load is finished by the next KVM_RUN, and only
 * then does the guest's NIP move on.
 */
#include <asm/byteorder.h>
#include <asm/reg.h>

#include "hpt/hpt.h"
#include "p9.h"

/* One form of instruction. */
struct form {
	u16 op;		/* primary opcode, or extended opcode below 31, 58 and 62 */
	u8 len;
	bool store;
	bool update;
	bool sign;
	bool reverse;
};

static const struct form primary_forms[] = {
	{ 32, 4 }, { 33, 4, .update = true },
	{ 34, 1 }, { 35, 1, .update = true },
	{ 40, 2 }, { 41, 2, .update = true },
	{ 42, 2, .sign = true }, { 43, 2, .update = true, .sign = true },
	{ 36, 4, .store = true }, { 37, 4, .store = true, .update = true },
	{ 38, 1, .store = true }, { 39, 1, .store = true, .update = true },
	{ 44, 2, .store = true }, { 45, 2, .store = true, .update = true },
};

static const struct form indexed_forms[] = {
	{ 23, 4 }, { 55, 4, .update = true },
	{ 87, 1 }, { 119, 1, .update = true },
	{ 279, 2 }, { 311, 2, .update = true },
	{ 343, 2, .sign = true }, { 375, 2, .update = true, .sign = true },
	{ 341, 4, .sign = true }, { 373, 4, .update = true, .sign = true },
	{ 21, 8 }, { 53, 8, .update = true },
	{ 151, 4, .store = true }, { 183, 4, .store = true, .update = true },
	{ 215, 1, .store = true }, { 247, 1, .store = true, .update = true },
	{ 407, 2, .store = true }, { 439, 2, .store = true, .update = true },
	{ 149, 8, .store = true }, { 181, 8, .store = true, .update = true },
	{ 534, 4, .reverse = true }, { 790, 2, .reverse = true },
	{ 532, 8, .reverse = true },
	{ 662, 4, .store = true, .reverse = true },
	{ 918, 2, .store = true, .reverse = true },
	{ 660, 8, .store = true, .reverse = true },
	{ 789, 4 }, { 821, 2 }, { 853, 1 }, { 885, 8 },
	{ 917, 4, .store = true }, { 949, 2, .store = true },
	{ 981, 1, .store = true }, { 1013, 8, .store = true },
};

static const struct form ds_forms[] = {	/* opcode 58, then 62 */
	{ 0, 8 }, { 1, 8, .update = true }, { 2, 4, .sign = true },
	{ 4, 8, .store = true }, { 5, 8, .store = true, .update = true },
};

static const struct form *find_form(const struct form *forms, unsigned int count, u16 op)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (forms[i].op == op)
			return &forms[i];
	return NULL;
}

static const struct form *decode(u32 insn)
{
	switch (insn >> 26) {
	case 31:
		return find_form(indexed_forms, ARRAY_SIZE(indexed_forms), (insn >> 1) & 0x3ff);
	case 58:
		return find_form(ds_forms, ARRAY_SIZE(ds_forms), insn & 3);
	case 62:
		return find_form(ds_forms, ARRAY_SIZE(ds_forms), (insn & 3) | 4);
	default:
		return find_form(primary_forms, ARRAY_SIZE(primary_forms), insn >> 26);
	}
}

/* Guest physical address of the instruction; false when it went away meanwhile. */
static bool insn_gpa(struct umbra_vcpu *vcpu, gpa_t *gpa)
{
	struct p9_guest *guest = vcpu->arch.guest;
	struct umbra_mmu *mmu = &vcpu->vm->mmu;
	u64 nip = guest->regs->nip, slbe, slbv = vrma_slbv(), guest_r;
	struct hpt_key key;
	struct hpte h;
	unsigned int i, seg;
	long index = -1;

	if (guest->shared->msr & MSR_IR) {
		for (i = 0; i < P9_SLB_MAX; i++) {
			p9_slb_get(guest, i, &slbe, &slbv);
			seg = slbv & SLB_VSID_B_1T ? 40 : 28;
			if ((slbe & SLB_ESID_V) && slbe >> seg == nip >> seg)
				break;
		}
		if (i == P9_SLB_MAX)
			return false;
	}
	read_lock(&mmu->lock);
	if (hpt_make_key(&mmu->arch.hpt, nip, slbv, &key))
		index = hpt_find(&mmu->arch.hpt, &key, HPTE_V_USED, &h, &guest_r);
	if (index >= 0) {
		u64 page = (1UL << hpte_shift(h.v, guest_r)) - 1;

		*gpa = (guest_r & HPTE_R_RPN & ~page) | (nip & page);
		hpte_unlock(&mmu->arch.hpt, index);
	}
	read_unlock(&mmu->lock);
	return index >= 0;
}

static void load_bytes(u8 *to, u64 value, unsigned int len, bool little)
{
	unsigned int i;

	for (i = 0; i < len; i++)
		to[little ? i : len - 1 - i] = value >> (8 * i);
}

static u64 value_of(const u8 *from, unsigned int len, bool little)
{
	u64 value = 0;
	unsigned int i;

	for (i = 0; i < len; i++)
		value |= (u64)from[little ? i : len - 1 - i] << (8 * i);
	return value;
}

static void finish(struct umbra_vcpu *vcpu, const struct umbra_power_mmio *mmio)
{
	struct pt_regs *regs = vcpu->arch.guest->regs;

	if (mmio->update >= 0)
		regs->gpr[mmio->update] = mmio->ea;
	regs->nip += 4;
}

/**
 * power_mmio_complete() - take userspace's answer to a load
 * @vcpu: the vCPU
 */
void power_mmio_complete(struct umbra_vcpu *vcpu)
{
	struct umbra_power_mmio *mmio = &vcpu->arch.mmio;
	u8 data[8];
	u64 value;

	if (!mmio->len)
		return;
	memcpy(data, vcpu->run->mmio.data, sizeof(data));
	value = value_of(data, mmio->len, mmio->little);
	if (mmio->sign)
		value = sign_extend64(value, 8 * mmio->len - 1);
	vcpu->arch.guest->regs->gpr[mmio->reg] = value;
	finish(vcpu, mmio);
	mmio->len = 0;
}

/* What cannot be served: userspace is told, with the instruction. */
static int give_up(struct umbra_vcpu *vcpu, u32 insn)
{
	struct kvm_run *run = vcpu->run;

	vcpu->stat.insn_emulation_fail++;
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->internal.ndata = 1;
	run->internal.data[0] = insn;
	return 0;
}

/**
 * power_mmio() - an access to @gpa, where no memory is
 * @vcpu: the vCPU, whose HDSI it was
 * @gpa: guest physical address
 *
 * Return: 0 with an exit for userspace; 1 to enter the guest again.
 */
int power_mmio(struct umbra_vcpu *vcpu, gpa_t gpa)
{
	struct p9_guest *guest = vcpu->arch.guest;
	bool little = guest->shared->msr & MSR_LE;
	struct umbra_power_mmio mmio = {};
	struct kvm_run *run = vcpu->run;
	const struct form *form;
	gpa_t pc;
	__be32 word;
	u32 insn;

	if (!insn_gpa(vcpu, &pc))
		return 1;
	if (umbra_guest_read(&vcpu->vm->mmu, pc, &word, sizeof(word)))
		return give_up(vcpu, 0);
	insn = little ? le32_to_cpu((__force __le32)word) : be32_to_cpu(word);
	form = decode(insn);
	if (!form)
		return give_up(vcpu, insn);
	vcpu->stat.insn_emulation++;
	vcpu->stat.mmio_exits++;
	mmio.len = form->len;
	mmio.reg = (insn >> 21) & 31;
	mmio.update = form->update ? (s8)((insn >> 16) & 31) : -1;
	mmio.sign = form->sign;
	mmio.little = little ^ form->reverse;
	mmio.ea = guest->dar;
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = gpa;
	run->mmio.len = form->len;
	run->mmio.is_write = form->store;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (form->store) {
		load_bytes(run->mmio.data, guest->regs->gpr[mmio.reg], mmio.len, mmio.little);
		finish(vcpu, &mmio);
		return umbra_bus_write(vcpu->vm, false, gpa, run->mmio.data, mmio.len);
	}
	vcpu->arch.mmio = mmio;
	return 0;
}
