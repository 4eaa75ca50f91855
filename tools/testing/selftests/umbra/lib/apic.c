// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMs with interrupt controllers in the kernel.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "apic.h"

struct vm *vm_irqchip(bool full)
{
	struct vm *vm;
	int ret;

	if (!node_has(full ? KVM_CAP_IRQCHIP : KVM_CAP_SPLIT_IRQCHIP))
		return NULL;
	vm = vm_create();
	if (full)
		ret = vm_try(vm, KVM_CREATE_IRQCHIP, NULL);
	else
		ret = vm_enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24);
	if (ret)
		die("irqchip: %d", ret);
	return vm;
}

int vm_msi(struct vm *vm, u32 dest, u32 data)
{
	struct kvm_msi msi = { .address_lo = APIC_MMIO | dest << 12, .data = data };
	int ret = ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);

	return ret < 0 ? -errno : ret;
}

int vm_irq_line(struct vm *vm, u32 gsi, u32 level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	return ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &line) ? -errno : line.status;
}

int vm_route(struct vm *vm, const struct kvm_irq_routing_entry *entries, u32 nr)
{
	struct kvm_irq_routing *table;
	int ret;

	table = calloc(1, sizeof(*table) + nr * sizeof(*entries));
	table->nr = nr;
	memcpy(table->entries, entries, nr * sizeof(*entries));
	ret = vm_try(vm, KVM_SET_GSI_ROUTING, table);
	free(table);
	return ret;
}

u32 vcpu_lapic_reg(struct vcpu *vcpu, u32 reg)
{
	struct kvm_lapic_state state;

	if (ioctl(vcpu->fd, KVM_GET_LAPIC, &state))
		die("KVM_GET_LAPIC of vCPU %d", vcpu->id);
	return *(u32 *)(state.regs + reg);
}

void vcpu_set_mp(struct vcpu *vcpu, u32 state)
{
	struct kvm_mp_state mp = { .mp_state = state };

	if (ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp))
		die("KVM_SET_MP_STATE %u of vCPU %d", state, vcpu->id);
}

u32 vcpu_mp(struct vcpu *vcpu)
{
	struct kvm_mp_state mp;

	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp))
		die("KVM_GET_MP_STATE of vCPU %d", vcpu->id);
	return mp.mp_state;
}

void vcpu_cpuid_deadline(struct vcpu *vcpu)
{
	const struct kvm_cpuid2 *offer = umbra_cpuid();
	size_t size = sizeof(*offer) + offer->nent * sizeof(offer->entries[0]);
	struct kvm_cpuid2 *cpuid = malloc(size);
	u32 i;

	memcpy(cpuid, offer, size);
	for (i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 1)
			cpuid->entries[i].ecx |= BIT(24);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid))
		die("KVM_SET_CPUID2");
	free(cpuid);
}
