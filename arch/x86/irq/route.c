// SPDX-License-Identifier: GPL-2.0-only
/*
 * GSIs: a table says where each one leads, to pins of the chips or to a message.
 *
 * The table is replaced as a whole, under irqchip->lock, and read under irqchip->srcu;
 * when KVM_SET_GSI_ROUTING returns, nobody uses the old one.
 *
 * A line has a level, which is high while one of its sources holds it; a message is sent
 * by each rise that a source gives. Chips see the level, and see it in the order in which
 * it changed (irqchip->pins).
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

static struct umbra_routes *routes_of(struct umbra_irqchip *irqchip)
{
	return srcu_dereference(irqchip->routes, &irqchip->srcu);
}

/* The first route of a GSI, or the one behind @route; NULL at the end. */
static const struct umbra_route *next_route(const struct umbra_routes *routes, u32 gsi,
					    const struct umbra_route *route)
{
	unsigned int n;

	if (route)
		n = route->next;
	else
		n = gsi < routes->nr_gsis ?
		    routes->first[array_index_nospec(gsi, routes->nr_gsis)] : 0;
	return n ? &routes->routes[n - 1] : NULL;
}

/* irqchip->pins is held: chips see the changes of a line in their order. */
static int set_pins(struct umbra_irqchip *irqchip, const struct umbra_routes *routes,
		    enum umbra_irq_source source, u32 gsi, bool level)
{
	const struct umbra_route *route = NULL;
	u8 *sources = &irqchip->level[gsi];
	int r = -1;

	*sources = level ? *sources | BIT(source) : *sources & ~BIT(source);
	while ((route = next_route(routes, gsi, route))) {
		int one = route->chip == KVM_IRQCHIP_IOAPIC ?
			umbra_ioapic_set(irqchip, route->pin, *sources) :
			umbra_pic_set(irqchip, route->pin, *sources);

		if (one >= 0)
			r = max(r, 0) + one;
	}
	return r;
}

static int set_gsi(struct umbra_irqchip *irqchip, const struct umbra_routes *routes,
		   enum umbra_irq_source source, u32 gsi, bool level)
{
	const struct umbra_route *route = next_route(routes, gsi, NULL);
	unsigned long flags;
	int r;

	if (!route)
		return -1;
	if (route->msi)
		return level ? umbra_msi_deliver(irqchip, route->address_lo,
						 route->address_hi, route->data) : -1;
	spin_lock_irqsave(&irqchip->pins, flags);
	r = set_pins(irqchip, routes, source, gsi, level);
	spin_unlock_irqrestore(&irqchip->pins, flags);
	return r;
}

/**
 * umbra_gsi_set() - a source drives a GSI's line
 * @irqchip: the VM's
 * @source: who
 * @gsi: the GSI; one without a route is no error
 * @level: what it does
 *
 * From any context. Return: to how many CPUs it went; 0 when it merged with one that
 * waits; -1 when it was ignored.
 */
int umbra_gsi_set(struct umbra_irqchip *irqchip, enum umbra_irq_source source, u32 gsi,
		  bool level)
{
	int idx = srcu_read_lock(&irqchip->srcu);
	int r = set_gsi(irqchip, routes_of(irqchip), source, gsi, level);

	srcu_read_unlock(&irqchip->srcu, idx);
	return r;
}

/**
 * umbra_pin_ended() - the guest has ended a pin's interrupt
 * @irqchip: the VM's
 * @chip: KVM_IRQCHIP_*
 * @pin: as in struct umbra_route
 *
 * Never sleeps, and irqchip->pins is not held: who waits may change lines.
 */
void umbra_pin_ended(struct umbra_irqchip *irqchip, u8 chip, unsigned int pin)
{
	int idx = srcu_read_lock(&irqchip->srcu);
	const struct umbra_routes *routes = routes_of(irqchip);
	unsigned int i;

	for (i = 0; i < routes->nr; i++) {
		const struct umbra_route *route = &routes->routes[i];

		if (route->msi || route->chip != chip || route->pin != pin)
			continue;
		umbra_irqfds_ended(irqchip, route->gsi);
		umbra_pit_ended(irqchip, route->gsi);
	}
	srcu_read_unlock(&irqchip->srcu, idx);
}

/* The two PICs' pins are numbered through. */
static int make_pin(const struct umbra_irqchip *irqchip, struct umbra_route *route,
		    const struct kvm_irq_routing_irqchip *pin)
{
	bool ioapic = pin->irqchip == KVM_IRQCHIP_IOAPIC;

	if (!irqchip->full || pin->irqchip > KVM_IRQCHIP_IOAPIC ||
	    pin->pin >= (ioapic ? KVM_IOAPIC_NUM_PINS : 8))
		return -EINVAL;
	route->chip = pin->irqchip;
	route->pin = pin->pin + (pin->irqchip == KVM_IRQCHIP_PIC_SLAVE ? 8 : 0);
	return 0;
}

/* -EINVAL for what this VM does not have. */
static int make_route(const struct umbra_irqchip *irqchip, struct umbra_route *route,
		      const struct kvm_irq_routing_entry *entry)
{
	route->gsi = entry->gsi;
	switch (entry->type) {
	case KVM_IRQ_ROUTING_MSI:
		if ((entry->flags & ~KVM_MSI_VALID_DEVID) ||
		    !umbra_msi_valid(irqchip->vm, entry->u.msi.address_hi))
			return -EINVAL;
		route->msi = true;
		route->address_lo = entry->u.msi.address_lo;
		route->address_hi = entry->u.msi.address_hi;
		route->data = entry->u.msi.data;
		return 0;
	case KVM_IRQ_ROUTING_IRQCHIP:
		return make_pin(irqchip, route, &entry->u.irqchip);
	default:
		return -EINVAL;
	}
}

/* A GSI is one message, or one pin of each chip. */
static bool conflicts(const struct umbra_routes *routes, const struct umbra_route *new)
{
	const struct umbra_route *route = NULL;

	while ((route = next_route(routes, new->gsi, route)))
		if (route->msi || new->msi || route->chip == new->chip)
			return true;
	return false;
}

static void free_routes(struct umbra_routes *routes)
{
	if (!routes)
		return;
	kvfree(routes->first);
	kvfree(routes);
}

static struct umbra_routes *alloc_routes(const struct kvm_irq_routing_entry *entries,
					 unsigned int nr)
{
	struct umbra_routes *routes;
	unsigned int i;

	routes = kvzalloc(struct_size(routes, routes, nr), GFP_KERNEL_ACCOUNT);
	if (!routes)
		return NULL;
	routes->nr_gsis = 1;
	for (i = 0; i < nr; i++)
		routes->nr_gsis = max(routes->nr_gsis, entries[i].gsi + 1);
	routes->first = kvcalloc(routes->nr_gsis, sizeof(*routes->first), GFP_KERNEL_ACCOUNT);
	if (routes->first)
		return routes;
	free_routes(routes);
	return NULL;
}

static int fill_routes(const struct umbra_irqchip *irqchip, struct umbra_routes *routes,
		       const struct kvm_irq_routing_entry *entries, unsigned int nr)
{
	for (routes->nr = 0; routes->nr < nr; routes->nr++) {
		struct umbra_route *route = &routes->routes[routes->nr];
		int err = make_route(irqchip, route, &entries[routes->nr]);

		if (err)
			return err;
		if (conflicts(routes, route))
			return -EINVAL;
		route->next = routes->first[route->gsi];
		routes->first[route->gsi] = routes->nr + 1;
	}
	return 0;
}

/**
 * umbra_routes_set() - publish another routing table
 * @irqchip: the VM's; its lock is held
 * @entries: the routes; their GSIs are below UMBRA_GSI_MAX
 * @nr: how many
 *
 * Return: 0; -EINVAL for a route that cannot be; -ENOMEM. Then nothing has changed.
 */
int umbra_routes_set(struct umbra_irqchip *irqchip,
		     const struct kvm_irq_routing_entry *entries, unsigned int nr)
{
	struct umbra_routes *routes = alloc_routes(entries, nr), *old;
	int err;

	if (!routes)
		return -ENOMEM;
	err = fill_routes(irqchip, routes, entries, nr);
	if (err) {
		free_routes(routes);
		return err;
	}
	old = rcu_replace_pointer(irqchip->routes, routes, lockdep_is_held(&irqchip->lock));
	if (old)
		synchronize_srcu_expedited(&irqchip->srcu);
	free_routes(old);
	return 0;
}

/**
 * umbra_routes_set_default() - GSI n is the IOAPIC's pin n, and the PICs'
 * @irqchip: the VM's, with both; its lock is held
 *
 * Return: as umbra_routes_set().
 */
int umbra_routes_set_default(struct umbra_irqchip *irqchip)
{
	struct kvm_irq_routing_entry entries[KVM_IOAPIC_NUM_PINS + UMBRA_PIC_PINS] = {};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(entries); i++) {
		unsigned int gsi = i < KVM_IOAPIC_NUM_PINS ? i : i - KVM_IOAPIC_NUM_PINS;

		entries[i].gsi = gsi;
		entries[i].type = KVM_IRQ_ROUTING_IRQCHIP;
		entries[i].u.irqchip.irqchip = i < KVM_IOAPIC_NUM_PINS ? KVM_IRQCHIP_IOAPIC :
			gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
		entries[i].u.irqchip.pin = i < KVM_IOAPIC_NUM_PINS ? gsi : gsi & 7;
	}
	return umbra_routes_set(irqchip, entries, ARRAY_SIZE(entries));
}

/* Nobody uses it any more. */
void umbra_routes_destroy(struct umbra_irqchip *irqchip)
{
	free_routes(rcu_dereference_protected(irqchip->routes, true));
}

/* KVM_SET_GSI_ROUTING. */
static long set_routing(struct umbra_irqchip *irqchip, const struct kvm_irq_routing __user *argp)
{
	struct kvm_irq_routing_entry *entries;
	struct kvm_irq_routing head;
	unsigned int i;
	long r = 0;

	if (copy_from_user(&head, argp, sizeof(head)))
		return -EFAULT;
	if (head.nr > UMBRA_GSI_MAX || head.flags)
		return -EINVAL;
	entries = vmemdup_user(argp->entries, array_size(head.nr, sizeof(*entries)));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (i = 0; i < head.nr; i++)
		if (entries[i].gsi >= UMBRA_GSI_MAX ||
		    (entries[i].type != KVM_IRQ_ROUTING_MSI && entries[i].flags))
			r = -EINVAL;
	if (!r) {
		mutex_lock(&irqchip->lock);
		r = umbra_routes_set(irqchip, entries, head.nr);
		mutex_unlock(&irqchip->lock);
	}
	kvfree(entries);
	return r;
}

static long signal_msi(struct umbra_irqchip *irqchip, const struct kvm_msi __user *argp)
{
	struct kvm_msi msi;

	if (copy_from_user(&msi, argp, sizeof(msi)))
		return -EFAULT;
	if ((msi.flags & ~KVM_MSI_VALID_DEVID) || !umbra_msi_valid(irqchip->vm, msi.address_hi))
		return -EINVAL;
	return umbra_msi_deliver(irqchip, msi.address_lo, msi.address_hi, msi.data);
}

static long irq_line(struct umbra_irqchip *irqchip, struct kvm_irq_level __user *argp,
		     bool status)
{
	struct kvm_irq_level line;

	if (copy_from_user(&line, argp, sizeof(line)))
		return -EFAULT;
	line.status = umbra_gsi_set(irqchip, UMBRA_SOURCE_USER, line.irq, line.level);
	return status && copy_to_user(argp, &line, sizeof(line)) ? -EFAULT : 0;
}

/* KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, KVM_IRQ_LINE(_STATUS). */
long umbra_route_ioctl(struct umbra_irqchip *irqchip, unsigned int cmd, void __user *argp)
{
	switch (cmd) {
	case KVM_SET_GSI_ROUTING:
		return set_routing(irqchip, argp);
	case KVM_SIGNAL_MSI:
		return signal_msi(irqchip, argp);
	default:
		return irq_line(irqchip, argp, cmd == KVM_IRQ_LINE_STATUS);
	}
}
