// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IOAPIC, by Intel's 82093AA data sheet: 24 pins, each with an entry that says what
 * a rise, or a high level, sends.
 *
 * A level that a local APIC took is not sent again before its EOI (remote IRR). An EOI
 * goes to all entries of its vector; a line that is still high then sends once more.
 *
 * Locks: irqchip->pins. @vectors is read without it.
 */
#include <linux/slab.h>

#include "internal.h"

#define PINS		KVM_IOAPIC_NUM_PINS
#define VERSION		(0x11 | (PINS - 1) << 16)
#define REG_ID		0
#define REG_VERSION	1
#define REG_ARB		2
#define REG_TABLE	0x10
#define OFFSET_SELECT	0
#define OFFSET_WINDOW	0x10

/* Bits of an entry. */
#define RTE_STATUS	BIT_ULL(12)
#define RTE_REMOTE_IRR	BIT_ULL(14)
#define RTE_LEVEL	BIT_ULL(15)
#define RTE_MASKED	BIT_ULL(16)
#define RTE_READONLY	(RTE_STATUS | RTE_REMOTE_IRR)

/**
 * struct umbra_ioapic - the device
 * @state: registers; @irr has the level of each line
 * @vectors: those of the entries: their EOIs are of interest
 */
struct umbra_ioapic {
	struct kvm_ioapic_state state;
	DECLARE_BITMAP(vectors, 256);
};

static u64 *entry(struct umbra_ioapic *ioapic, unsigned int pin)
{
	return &ioapic->state.redirtbl[pin].bits;
}

/* The bit of a vector that stays never shows clear to who looks without the lock. */
static void collect_vectors(struct umbra_ioapic *ioapic)
{
	DECLARE_BITMAP(vectors, 256) = {};
	unsigned int i;

	for (i = 0; i < PINS; i++)
		__set_bit(*entry(ioapic, i) & 0xff, vectors);
	for (i = 0; i < ARRAY_SIZE(vectors); i++)
		WRITE_ONCE(ioapic->vectors[i], vectors[i]);
}

int umbra_ioapic_create(struct umbra_irqchip *irqchip)
{
	struct umbra_ioapic *ioapic = kzalloc(sizeof(*ioapic), GFP_KERNEL_ACCOUNT);
	unsigned int pin;

	if (!ioapic)
		return -ENOMEM;
	ioapic->state.base_address = IO_APIC_DEFAULT_PHYS_BASE;
	for (pin = 0; pin < PINS; pin++)
		*entry(ioapic, pin) = RTE_MASKED;
	collect_vectors(ioapic);
	irqchip->ioapic = ioapic;
	return 0;
}

void umbra_ioapic_destroy(struct umbra_irqchip *irqchip)
{
	kfree(irqchip->ioapic);
}

/* Send a pin's message, if it may. Return: as umbra_irq_deliver(). */
static int service(struct umbra_irqchip *irqchip, unsigned int pin)
{
	u64 *rte = entry(irqchip->ioapic, pin);
	struct umbra_irq_msg msg = {
		.dest = *rte >> 56,
		.mode = *rte & APIC_DM_FIXED_MASK,
		.vector = *rte & 0xff,
		.logical = *rte & BIT(11),
		.lowest = (*rte & APIC_DM_FIXED_MASK) == APIC_DM_LOWEST,
		.level = *rte & RTE_LEVEL,
	};
	int r;

	if (*rte & RTE_MASKED)
		return -1;
	if ((*rte & RTE_LEVEL) && (*rte & RTE_REMOTE_IRR))
		return 0;
	r = umbra_irq_deliver(irqchip->vm, NULL, &msg);
	if ((*rte & RTE_LEVEL) && r > 0)
		*rte |= RTE_REMOTE_IRR;
	return r;
}

/**
 * umbra_ioapic_set() - a pin changes
 * @irqchip: the VM's; @pins is held
 * @pin: 0 to 23
 * @level: of the line
 *
 * Return: to how many CPUs it went; 0 when one waits already; -1 when it is masked.
 */
int umbra_ioapic_set(struct umbra_irqchip *irqchip, unsigned int pin, bool level)
{
	struct umbra_ioapic *ioapic = irqchip->ioapic;
	u32 bit = BIT(pin), old = ioapic->state.irr;

	if (!level) {
		ioapic->state.irr &= ~bit;
		return 1;
	}
	ioapic->state.irr |= bit;
	if ((old & bit) && !(*entry(ioapic, pin) & RTE_LEVEL))
		return 0;
	return service(irqchip, pin);
}

/* A level that was masked, or told to somebody else, is sent now. */
static void write_entry(struct umbra_irqchip *irqchip, unsigned int pin, u32 val, bool high)
{
	struct umbra_ioapic *ioapic = irqchip->ioapic;
	u64 *rte = entry(ioapic, pin);

	if (high)
		*rte = (u32)*rte | (u64)(val & 0xff000000) << 32;
	else
		*rte = (*rte & (GENMASK_ULL(63, 32) | RTE_READONLY)) |
		       (val & 0x1ffff & ~(u32)RTE_READONLY);
	if (!(*rte & RTE_LEVEL))
		*rte &= ~RTE_REMOTE_IRR;
	collect_vectors(ioapic);
	if ((*rte & RTE_LEVEL) && (ioapic->state.irr & BIT(pin)))
		service(irqchip, pin);
}

static u32 read_window(struct umbra_ioapic *ioapic)
{
	u32 reg = ioapic->state.ioregsel;

	switch (reg) {
	case REG_VERSION:
		return VERSION;
	case REG_ID:
	case REG_ARB:
		return (ioapic->state.id & 15) << 24;
	case REG_TABLE ... REG_TABLE + 2 * PINS - 1:
		return *entry(ioapic, (reg - REG_TABLE) / 2) >> (reg & 1 ? 32 : 0);
	default:
		return 0;
	}
}

static void write_window(struct umbra_irqchip *irqchip, u32 val)
{
	struct umbra_ioapic *ioapic = irqchip->ioapic;
	u32 reg = ioapic->state.ioregsel;

	if (reg == REG_ID)
		ioapic->state.id = val >> 24 & 15;
	else if (reg >= REG_TABLE && reg < REG_TABLE + 2 * PINS)
		write_entry(irqchip, (reg - REG_TABLE) / 2, val, reg & 1);
}

/**
 * umbra_ioapic_mmio() - the guest reads or writes the IOAPIC's page
 * @irqchip: the VM's
 * @gpa: guest physical address
 * @val: the data
 * @len: bytes
 * @write: direction
 *
 * Both registers are 32 bits wide; a shorter write leaves zeros above.
 *
 * Return: whether the address is the IOAPIC's.
 */
bool umbra_ioapic_mmio(struct umbra_irqchip *irqchip, gpa_t gpa, void *val,
		       unsigned int len, bool write)
{
	struct umbra_ioapic *ioapic = irqchip->ioapic;
	unsigned int offset = gpa & 0xff;
	unsigned long flags;
	u32 word = 0;

	if ((gpa & ~0xffULL) != IO_APIC_DEFAULT_PHYS_BASE)
		return false;
	if (write)
		memcpy(&word, val, min(len, 4U));
	spin_lock_irqsave(&irqchip->pins, flags);
	if (offset == OFFSET_SELECT) {
		if (write)
			ioapic->state.ioregsel = word & 0xff;
		else
			word = ioapic->state.ioregsel;
	} else if (offset == OFFSET_WINDOW) {
		if (write)
			write_window(irqchip, word);
		else
			word = read_window(ioapic);
	}
	spin_unlock_irqrestore(&irqchip->pins, flags);
	if (!write) {
		memset(val, 0, len);
		memcpy(val, &word, min(len, 4U));
	}
	return true;
}

/* Pins whose interrupt this EOI ends. */
static u32 clear_remote_irr(struct umbra_ioapic *ioapic, u8 vector)
{
	unsigned int pin;
	u32 pins = 0;

	for (pin = 0; pin < PINS; pin++) {
		u64 *rte = entry(ioapic, pin);

		if ((*rte & 0xff) != vector || (*rte & RTE_MASKED && !(*rte & RTE_REMOTE_IRR)))
			continue;
		*rte &= ~RTE_REMOTE_IRR;
		pins |= BIT(pin);
	}
	return pins;
}

/* Is it an entry's, so that somebody may wait for its end? */
bool umbra_ioapic_has_vector(const struct umbra_irqchip *irqchip, u8 vector)
{
	return test_bit(vector, irqchip->ioapic->vectors);
}

/**
 * umbra_ioapic_eoi() - a CPU has ended an interrupt
 * @irqchip: the VM's
 * @vector: its vector
 *
 * Never sleeps. Who waits for the end may lower the line, and so comes first.
 */
void umbra_ioapic_eoi(struct umbra_irqchip *irqchip, u8 vector)
{
	struct umbra_ioapic *ioapic = irqchip->ioapic;
	unsigned long flags;
	unsigned int pin;
	u32 pins;

	if (!umbra_ioapic_has_vector(irqchip, vector))
		return;
	spin_lock_irqsave(&irqchip->pins, flags);
	pins = clear_remote_irr(ioapic, vector);
	spin_unlock_irqrestore(&irqchip->pins, flags);
	for (pin = 0; pin < PINS; pin++)
		if (pins & BIT(pin))
			umbra_pin_ended(irqchip, KVM_IRQCHIP_IOAPIC, pin);
	spin_lock_irqsave(&irqchip->pins, flags);
	for (pin = 0; pin < PINS; pin++)
		if ((pins & ioapic->state.irr & BIT(pin)) &&
		    (*entry(ioapic, pin) & RTE_LEVEL))
			service(irqchip, pin);
	spin_unlock_irqrestore(&irqchip->pins, flags);
}

void umbra_ioapic_get(struct umbra_irqchip *irqchip, struct kvm_ioapic_state *state)
{
	spin_lock_irq(&irqchip->pins);
	*state = irqchip->ioapic->state;
	spin_unlock_irq(&irqchip->pins);
}

/* Lines that were high are seen to rise. */
void umbra_ioapic_put(struct umbra_irqchip *irqchip, const struct kvm_ioapic_state *state)
{
	struct umbra_ioapic *ioapic = irqchip->ioapic;
	unsigned int pin;

	spin_lock_irq(&irqchip->pins);
	ioapic->state = *state;
	ioapic->state.base_address = IO_APIC_DEFAULT_PHYS_BASE;
	ioapic->state.ioregsel &= 0xff;
	ioapic->state.id &= 15;
	ioapic->state.irr = 0;
	ioapic->state.pad = 0;
	for (pin = 0; pin < PINS; pin++)
		*entry(ioapic, pin) &= GENMASK_ULL(63, 56) | 0x1ffff;
	collect_vectors(ioapic);
	for (pin = 0; pin < PINS; pin++)
		if (state->irr & BIT(pin))
			umbra_ioapic_set(irqchip, pin, true);
	spin_unlock_irq(&irqchip->pins);
}
