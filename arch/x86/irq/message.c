// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupt messages: which local APICs one is for. IPIs, MSIs and the IOAPIC send them.
 *
 * Destinations are matched by the mode of each target (APM volume 2, 16.6.1 and 16.14):
 * an xAPIC by its 8-bit ID or by LDR and DFR, an x2APIC by its 32-bit ID or the logical
 * ID that follows from it. vCPUs are never freed before their VM, so their list can be
 * walked in any context.
 */
#include "internal.h"

static bool is_broadcast(const struct umbra_lapic *lapic, const struct umbra_lapic *source,
			 u32 dest)
{
	if (!lapic_x2apic(lapic))
		return dest == UMBRA_XAPIC_BROADCAST;
	/* Devices have 8 bits only, so their 0xff is for x2APICs as well. */
	if (!source && dest == UMBRA_XAPIC_BROADCAST &&
	    !lapic->vcpu->vm->arch.x2apic_no_quirk)
		return true;
	return dest == UMBRA_X2APIC_BROADCAST;
}

/* An ID that no xAPIC can have is taken for the vCPU's number even before x2APIC mode. */
static bool matches_physical(const struct umbra_lapic *lapic, u32 dest)
{
	if (lapic_x2apic(lapic) || dest > 0xff)
		return dest == lapic->vcpu->id;
	return dest == lapic_get(lapic, APIC_ID) >> 24;
}

static bool matches_logical(const struct umbra_lapic *lapic, u32 dest)
{
	u32 ldr = lapic_get(lapic, APIC_LDR);

	if (lapic_x2apic(lapic))
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	if (dest > 0xff)
		return false;
	ldr >>= 24;
	if (lapic_get(lapic, APIC_DFR) == APIC_DFR_FLAT)
		return ldr & dest;
	return ldr >> 4 == dest >> 4 && (ldr & dest & 15);
}

static bool matches(const struct umbra_lapic *lapic, const struct umbra_lapic *source,
		    const struct umbra_irq_msg *msg)
{
	switch (msg->shorthand) {
	case APIC_DEST_SELF:
		return lapic == source;
	case APIC_DEST_ALLINC:
		return true;
	case APIC_DEST_ALLBUT:
		return lapic != source;
	default:
		break;
	}
	if (!lapic_hw_enabled(lapic))
		return false;
	if (is_broadcast(lapic, source, msg->dest))
		return true;
	return msg->logical ? matches_logical(lapic, msg->dest) :
			      matches_physical(lapic, msg->dest);
}

/* Of those that match, each vector has one that it always goes to. */
static struct umbra_lapic *lowest(struct umbra_vm *vm, const struct umbra_lapic *source,
				  const struct umbra_irq_msg *msg)
{
	struct umbra_lapic *last = NULL;
	struct umbra_vcpu *vcpu;
	unsigned int n = 0;
	unsigned long i;

	xa_for_each(&vm->vcpus, i, vcpu)
		n += lapic_enabled(vcpu->arch.lapic) &&
		     matches(vcpu->arch.lapic, source, msg);
	if (!n)
		return NULL;
	n = msg->vector % n;
	xa_for_each(&vm->vcpus, i, vcpu) {
		if (!lapic_enabled(vcpu->arch.lapic) ||
		    !matches(vcpu->arch.lapic, source, msg))
			continue;
		last = vcpu->arch.lapic;
		if (!n--)
			break;
	}
	return last;
}

/* The one target of most messages, where APIC IDs are the vCPUs' numbers. */
static struct umbra_lapic *unicast(struct umbra_vm *vm, const struct umbra_irq_msg *msg)
{
	struct umbra_vcpu *vcpu;

	if (msg->shorthand || msg->logical || msg->dest >= UMBRA_XAPIC_BROADCAST)
		return NULL;
	vcpu = xa_load(&vm->vcpus, msg->dest);
	if (!vcpu || !lapic_hw_enabled(vcpu->arch.lapic) ||
	    !matches_physical(vcpu->arch.lapic, msg->dest))
		return NULL;
	return vcpu->arch.lapic;
}

/**
 * umbra_irq_deliver() - give an interrupt message to its destinations
 * @vm: the VM
 * @source: the APIC that sends it; NULL for a device
 * @msg: the message
 *
 * From any context. Return: how many APICs took it; -1 when it is for none.
 */
int umbra_irq_deliver(struct umbra_vm *vm, const struct umbra_lapic *source,
		      const struct umbra_irq_msg *msg)
{
	struct umbra_lapic *lapic = unicast(vm, msg);
	struct umbra_vcpu *vcpu;
	unsigned long i;
	int r = -1;

	if (!lapic && msg->lowest)
		lapic = lowest(vm, source, msg);
	if (lapic)
		return umbra_lapic_accept(lapic, msg);
	if (msg->lowest)
		return -1;
	xa_for_each(&vm->vcpus, i, vcpu)
		if (matches(vcpu->arch.lapic, source, msg))
			r = max(r, 0) + umbra_lapic_accept(vcpu->arch.lapic, msg);
	return r;
}

/**
 * umbra_lapic_send() - the guest wrote ICR
 * @lapic: whose
 * @icr: low half
 * @dest: the destination, of as many bits as its mode has
 */
void umbra_lapic_send(struct umbra_lapic *lapic, u32 icr, u32 dest)
{
	struct umbra_irq_msg msg = {
		.dest = dest,
		.mode = icr & APIC_DM_FIXED_MASK,
		.shorthand = icr & APIC_DEST_ALLBUT,
		.vector = icr & APIC_VECTOR_MASK,
		.logical = icr & APIC_DEST_LOGICAL,
		.lowest = (icr & APIC_DM_FIXED_MASK) == APIC_DM_LOWEST,
		.level = icr & APIC_INT_LEVELTRIG,
		.deassert = (icr & APIC_INT_LEVELTRIG) && !(icr & APIC_INT_ASSERT),
	};

	if (msg.mode <= APIC_DM_LOWEST && msg.vector < 16) {
		umbra_lapic_error(lapic, APIC_ESR_SENDILL);
		return;
	}
	umbra_irq_deliver(lapic->vcpu->vm, lapic, &msg);
}

/* Bits 7:0 of the upper address mean nothing, and are refused where 31:8 do. */
bool umbra_msi_valid(const struct umbra_vm *vm, u32 address_hi)
{
	return !vm->arch.x2apic_ids || !(address_hi & 0xff);
}

/**
 * umbra_msi_deliver() - a device's message
 * @irqchip: the VM's
 * @address_lo: where the device wrote
 * @address_hi: likewise; bits 31:8 of the destination with 32-bit IDs, else ignored
 * @data: what it wrote
 *
 * From any context. Return: as umbra_irq_deliver().
 */
int umbra_msi_deliver(struct umbra_irqchip *irqchip, u32 address_lo, u32 address_hi,
		      u32 data)
{
	struct umbra_irq_msg msg = {
		.dest = (address_lo >> 12 & 0xff) |
			(irqchip->vm->arch.x2apic_ids ? address_hi & ~0xffU : 0),
		.mode = data & APIC_DM_FIXED_MASK,
		.vector = data & APIC_VECTOR_MASK,
		.logical = address_lo & BIT(2),
		.level = data & APIC_INT_LEVELTRIG,
	};

	/* The redirection hint: one of the logical destinations. */
	msg.lowest = msg.mode == APIC_DM_LOWEST || (msg.logical && (address_lo & BIT(3)));
	return umbra_irq_deliver(irqchip->vm, NULL, &msg);
}
