// SPDX-License-Identifier: GPL-2.0-only
/*
 * Statistics of a VM by name. Each is one number, kept where it is counted: in the
 * MMU, or in each vCPU, whose numbers are added up. A vCPU's number may be read
 * while its thread writes to it; it is then as of a moment before or after.
 */
#include <linux/kernel.h>
#include <linux/stddef.h>
#include "virt.h"

#define VCPU(name) { #name, true, false, offsetof(struct umbra_vcpu, stat.name) }
#define FAULT(name) { #name, true, false, offsetof(struct umbra_vcpu, mmu.stat.name) }
#define MMU(name) { #name, false, false, offsetof(struct umbra_vm, mmu.stat.name) }
#define VM(name, member) { name, false, false, offsetof(struct umbra_vm, member) }
#define SIZE(name, member) { name, false, true, offsetof(struct umbra_vm, member) }

const struct umbra_stat umbra_stats[] = {
	VCPU(exits),
	VCPU(io_exits),
	VCPU(mmio_exits),
	VCPU(signal_exits),
	VCPU(irq_exits),
	VCPU(halt_exits),
	VCPU(async_pf),
	VCPU(request_irq_exits),
	VCPU(irq_injections),
	VCPU(nmi_injections),
	VCPU(insn_emulation),
	VCPU(insn_emulation_fail),
	VCPU(fpu_reload),
	VCPU(host_state_reload),
	FAULT(pf_taken),
	FAULT(pf_fixed),
	FAULT(pf_fast),
	FAULT(pf_spurious),
	FAULT(pf_retry),
	FAULT(pf_mmio),
	FAULT(pf_around),
	FAULT(mmu_unsync),
	FAULT(mmu_sync),
	SIZE("table_pages", mmu.stat.tables),
	MMU(tlb_flush),
	MMU(unmapped),
	MMU(aged),
	MMU(splits),
	SIZE(UMBRA_STAT_LEVEL1, mmu.stat.pages[UMBRA_LEVEL_4K - 1]),
#ifdef UMBRA_STAT_LEVEL2
	SIZE(UMBRA_STAT_LEVEL2, mmu.stat.pages[UMBRA_LEVEL_2M - 1]),
	SIZE(UMBRA_STAT_LEVEL3, mmu.stat.pages[UMBRA_LEVEL_1G - 1]),
#endif
	VM("refs_taken", mmu.refs.taken),
	VM("refs_released", mmu.refs.released),
};

const unsigned int umbra_stats_count = ARRAY_SIZE(umbra_stats);

/**
 * umbra_stat_value() - one statistic of a VM
 * @vm: the VM
 * @stat: one of umbra_stats[]
 */
u64 umbra_stat_value(struct umbra_vm *vm, const struct umbra_stat *stat)
{
	struct umbra_vcpu *vcpu;
	unsigned long i;
	u64 sum = 0;

	if (!stat->per_vcpu)
		return atomic64_read((void *)vm + stat->offset);
	xa_for_each(&vm->vcpus, i, vcpu)
		sum += READ_ONCE(*(u64 *)((void *)vcpu + stat->offset));
	return sum;
}
