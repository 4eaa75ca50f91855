// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two 8259A of a PC, by Intel's data sheet: the slave's output is the master's
 * input 2. Their state is kept in the form in which KVM_GET_IRQCHIP gives it.
 *
 * Locks: irqchip->pins. What ended under it is told to who waits for it afterwards.
 */
#include <linux/slab.h>

#include "internal.h"

#define CASCADE		2
#define SPURIOUS	7

/* Inputs that can be level-triggered: not the timer, keyboard, cascade, RTC and FPU. */
#define ELCR_MASTER	0xf8
#define ELCR_SLAVE	0xde

/**
 * struct umbra_pic - the pair
 * @chip: master and slave
 * @output: the master's, which leads to the CPUs' LINT0
 * @ended: inputs whose service has ended, until somebody is told
 */
struct umbra_pic {
	struct kvm_pic_state chip[2];
	bool output;
	u16 ended;
};

int umbra_pic_create(struct umbra_irqchip *irqchip)
{
	struct umbra_pic *pic = kzalloc(sizeof(*pic), GFP_KERNEL_ACCOUNT);

	if (!pic)
		return -ENOMEM;
	pic->chip[0].elcr_mask = ELCR_MASTER;
	pic->chip[1].elcr_mask = ELCR_SLAVE;
	irqchip->pic = pic;
	return 0;
}

void umbra_pic_destroy(struct umbra_irqchip *irqchip)
{
	kfree(irqchip->pic);
}

/* How far the highest of @lines is from the top of the rotation; 8 for none. */
static unsigned int priority(const struct kvm_pic_state *chip, u8 lines)
{
	unsigned int p;

	for (p = 0; p < 8; p++)
		if (lines & BIT((p + chip->priority_add) & 7))
			break;
	return p;
}

/* The input that the chip asks service for, or -1. */
static int requested(const struct umbra_pic *pic, unsigned int n)
{
	const struct kvm_pic_state *chip = &pic->chip[n];
	unsigned int p = priority(chip, chip->irr & ~chip->imr);
	u8 serving = chip->isr;

	if (chip->special_mask)
		serving &= ~chip->imr;
	/* The slave may ask again while it is served. */
	if (n == 0 && chip->special_fully_nested_mode)
		serving &= ~BIT(CASCADE);
	return p < priority(chip, serving) ? (p + chip->priority_add) & 7 : -1;
}

/* Return: 0 when the input waits already, else 1. */
static int set_input(struct kvm_pic_state *chip, unsigned int input, bool level)
{
	u8 bit = BIT(input);
	int r = 1;

	if (!level) {
		if (chip->elcr & bit)
			chip->irr &= ~bit;
		chip->last_irr &= ~bit;
		return r;
	}
	if ((chip->elcr & bit) || !(chip->last_irr & bit)) {
		r = !(chip->irr & bit);
		chip->irr |= bit;
	}
	chip->last_irr |= bit;
	return r;
}

/* LINT0 of every CPU that takes it. */
static void tell_cpus(struct umbra_irqchip *irqchip)
{
	struct umbra_vcpu *vcpu;
	unsigned long i;

	xa_for_each(&irqchip->vm->vcpus, i, vcpu)
		if (umbra_lapic_accepts_extint(vcpu->arch.lapic))
			umbra_vcpu_request(vcpu, UMBRA_REQ_IRQ);
}

static void update(struct umbra_irqchip *irqchip)
{
	struct umbra_pic *pic = irqchip->pic;
	bool output;

	if (requested(pic, 1) >= 0) {
		set_input(&pic->chip[0], CASCADE, true);
		set_input(&pic->chip[0], CASCADE, false);
	}
	output = requested(pic, 0) >= 0;
	if (output && !pic->output) {
		WRITE_ONCE(pic->output, true);
		tell_cpus(irqchip);
	}
	WRITE_ONCE(pic->output, output);
}

/**
 * umbra_pic_set() - an input changes
 * @irqchip: the VM's; @pins is held
 * @pin: 0 to 15
 * @level: of the line
 *
 * Return: 1; 0 when it waits already; -1 when it is masked.
 */
int umbra_pic_set(struct umbra_irqchip *irqchip, unsigned int pin, bool level)
{
	struct kvm_pic_state *chip = &irqchip->pic->chip[pin >> 3];
	int r = set_input(chip, pin & 7, level);

	update(irqchip);
	return chip->imr & BIT(pin & 7) ? -1 : r;
}

/* Does the output ask for service? From any context. */
bool umbra_pic_output(const struct umbra_irqchip *irqchip)
{
	return READ_ONCE(irqchip->pic->output);
}

static void end(struct umbra_pic *pic, unsigned int n, unsigned int input)
{
	pic->chip[n].isr &= ~BIT(input);
	pic->ended |= BIT(n * 8 + input);
}

/* The CPU's acknowledge cycle, at one chip. */
static void acknowledge(struct umbra_pic *pic, unsigned int n, unsigned int input)
{
	struct kvm_pic_state *chip = &pic->chip[n];

	chip->isr |= BIT(input);
	if (!(chip->elcr & BIT(input)))
		chip->irr &= ~BIT(input);
	if (!chip->auto_eoi)
		return;
	if (chip->rotate_on_auto_eoi)
		chip->priority_add = (input + 1) & 7;
	end(pic, n, input);
}

static u8 take_vector(struct umbra_pic *pic)
{
	int input = requested(pic, 0);

	if (input < 0)
		return pic->chip[0].irq_base + SPURIOUS;
	acknowledge(pic, 0, input);
	if (input != CASCADE)
		return pic->chip[0].irq_base + input;
	input = requested(pic, 1);
	if (input < 0)
		return pic->chip[1].irq_base + SPURIOUS;
	acknowledge(pic, 1, input);
	return pic->chip[1].irq_base + input;
}

static void tell_ended(struct umbra_irqchip *irqchip, u16 ended)
{
	unsigned int pin;

	for (pin = 0; ended; pin++, ended >>= 1)
		if (ended & 1)
			umbra_pin_ended(irqchip, pin < 8 ? KVM_IRQCHIP_PIC_MASTER :
					KVM_IRQCHIP_PIC_SLAVE, pin);
}

static u16 take_ended(struct umbra_pic *pic)
{
	u16 ended = pic->ended;

	pic->ended = 0;
	return ended;
}

/**
 * umbra_pic_take() - a CPU takes the PIC's interrupt
 * @irqchip: the VM's
 *
 * From any context. Return: the vector; a spurious one when the request is gone.
 */
u8 umbra_pic_take(struct umbra_irqchip *irqchip)
{
	unsigned long flags;
	u16 ended;
	u8 vector;

	spin_lock_irqsave(&irqchip->pins, flags);
	vector = take_vector(irqchip->pic);
	update(irqchip);
	ended = take_ended(irqchip->pic);
	spin_unlock_irqrestore(&irqchip->pins, flags);
	tell_ended(irqchip, ended);
	return vector;
}

/* Initialisation begins: what waits on an edge is forgotten. */
static void write_icw1(struct kvm_pic_state *chip, u8 val)
{
	chip->init4 = val & 1;
	chip->last_irr = 0;
	chip->irr &= chip->elcr;
	chip->imr = 0;
	chip->isr = 0;
	chip->priority_add = 0;
	chip->special_mask = 0;
	chip->read_reg_select = 0;
	chip->poll = 0;
	if (!chip->init4) {
		chip->special_fully_nested_mode = 0;
		chip->auto_eoi = 0;
	}
	chip->init_state = 1;
}

static void write_ocw3(struct kvm_pic_state *chip, u8 val)
{
	if (val & 4)
		chip->poll = 1;
	if (val & 2)
		chip->read_reg_select = val & 1;
	if (val & 0x40)
		chip->special_mask = val >> 5 & 1;
}

/* Bits 7:5 are rotate, specific, end of interrupt. */
static void write_ocw2(struct umbra_pic *pic, unsigned int n, u8 val)
{
	struct kvm_pic_state *chip = &pic->chip[n];
	bool rotate = val & 0x80, specific = val & 0x40, eoi = val & 0x20;
	unsigned int input = val & 7, p;

	if (!eoi && !specific) {
		chip->rotate_on_auto_eoi = rotate;
		return;
	}
	if (eoi && !specific) {
		p = priority(chip, chip->isr);
		if (p == 8)
			return;
		input = (p + chip->priority_add) & 7;
	}
	if (eoi)
		end(pic, n, input);
	if (rotate)
		chip->priority_add = (input + 1) & 7;
}

static void write_data(struct kvm_pic_state *chip, u8 val)
{
	switch (chip->init_state) {
	case 1:
		chip->irq_base = val & 0xf8;
		chip->init_state = 2;
		break;
	case 2:
		chip->init_state = chip->init4 ? 3 : 0;
		break;
	case 3:
		chip->special_fully_nested_mode = val >> 4 & 1;
		chip->auto_eoi = val >> 1 & 1;
		chip->init_state = 0;
		break;
	default:
		chip->imr = val;
		break;
	}
}

static void pic_write(struct umbra_pic *pic, unsigned int n, bool data, u8 val)
{
	if (data)
		write_data(&pic->chip[n], val);
	else if (val & 0x10)
		write_icw1(&pic->chip[n], val);
	else if (val & 8)
		write_ocw3(&pic->chip[n], val);
	else
		write_ocw2(pic, n, val);
}

/* A poll is an acknowledge cycle by software. */
static u8 pic_read(struct umbra_pic *pic, unsigned int n, bool data)
{
	struct kvm_pic_state *chip = &pic->chip[n];
	int input;

	if (chip->poll) {
		chip->poll = 0;
		input = requested(pic, n);
		if (input < 0)
			return 0;
		acknowledge(pic, n, input);
		return 0x80 | input;
	}
	if (data)
		return chip->imr;
	return chip->read_reg_select ? chip->isr : chip->irr;
}

static void pic_access(struct umbra_pic *pic, u16 port, u8 *val, bool in)
{
	struct kvm_pic_state *chip;

	if (port == 0x4d0 || port == 0x4d1) {
		chip = &pic->chip[port & 1];
		if (in)
			*val = chip->elcr;
		else
			chip->elcr = *val & chip->elcr_mask;
	} else if (in) {
		*val = pic_read(pic, port >> 7 & 1, port & 1);
	} else {
		pic_write(pic, port >> 7 & 1, port & 1, *val);
	}
}

/**
 * umbra_pic_port() - IN or OUT of one byte
 * @irqchip: the VM's
 * @port: the port
 * @val: the byte
 * @in: direction
 *
 * Return: whether the port is one of the chips'.
 */
bool umbra_pic_port(struct umbra_irqchip *irqchip, u16 port, u8 *val, bool in)
{
	unsigned long flags;
	u16 ended;

	if ((port & ~0x81) != 0x20 && (port & ~1) != 0x4d0)
		return false;
	spin_lock_irqsave(&irqchip->pins, flags);
	pic_access(irqchip->pic, port, val, in);
	update(irqchip);
	ended = take_ended(irqchip->pic);
	spin_unlock_irqrestore(&irqchip->pins, flags);
	tell_ended(irqchip, ended);
	return true;
}

void umbra_pic_get(struct umbra_irqchip *irqchip, unsigned int n, struct kvm_pic_state *state)
{
	spin_lock_irq(&irqchip->pins);
	*state = irqchip->pic->chip[n];
	spin_unlock_irq(&irqchip->pins);
}

/* Fields are made what the chip could have. */
void umbra_pic_put(struct umbra_irqchip *irqchip, unsigned int n,
		   const struct kvm_pic_state *state)
{
	struct kvm_pic_state *chip = &irqchip->pic->chip[n];

	spin_lock_irq(&irqchip->pins);
	*chip = *state;
	chip->priority_add &= 7;
	chip->irq_base &= 0xf8;
	chip->init_state &= 3;
	chip->elcr_mask = n ? ELCR_SLAVE : ELCR_MASTER;
	chip->elcr &= chip->elcr_mask;
	update(irqchip);
	spin_unlock_irq(&irqchip->pins);
}
