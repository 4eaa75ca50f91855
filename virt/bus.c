// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes of the guest, to ports and to what is not memory, that userspace need not be
 * woken for at once: an ioeventfd takes a write for a signal, a coalesced zone puts it
 * into a ring that userspace reads when it looks next.
 *
 * Invariants
 * - Entries with an eventfd come before zones, so that a zone takes no signal away.
 * - Userspace can write to the ring at any time: what is read from it is read once,
 *   and an index is checked before it is used.
 *
 * Locks: bus->lock for changes; vm->mmu.srcu for readers, which are vCPUs in KVM_RUN and may
 * be in the inner section; bus->ring_lock around one entry of the ring.
 */
#include <linux/eventfd.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <umbra/compat.h>
#include "virt.h"

/* As many as KVM takes on one bus. */
#define ENTRIES_MAX 1000

/**
 * struct umbra_bus_entry - who takes writes
 * @node: in bus->entries
 * @addr: address of a port or in guest-physical space
 * @size: of an ioeventfd, the length of the write, or 0 for any; of a zone, its length
 * @pio: a port
 * @has_match: only writes of @match are signals
 * @match: see @has_match
 * @eventfd: NULL for a zone
 */
struct umbra_bus_entry {
	struct list_head node;
	u64 addr;
	u64 size;
	bool pio;
	bool has_match;
	u64 match;
	struct eventfd_ctx *eventfd;
};

/**
 * umbra_bus_init() - at the birth of a VM
 * @bus: its bus
 *
 * Return: 0 or -ENOMEM.
 */
int umbra_bus_init(struct umbra_bus *bus)
{
	mutex_init(&bus->lock);
	spin_lock_init(&bus->ring_lock);
	INIT_LIST_HEAD(&bus->entries);
	bus->ring = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return bus->ring ? 0 : -ENOMEM;
}

static void free_entry(struct umbra_bus_entry *entry)
{
	if (entry->eventfd)
		eventfd_ctx_put(entry->eventfd);
	kfree(entry);
}

/**
 * umbra_bus_destroy() - at the end of a VM
 * @bus: its bus; nobody else can see it
 */
void umbra_bus_destroy(struct umbra_bus *bus)
{
	struct umbra_bus_entry *entry, *next;

	list_for_each_entry_safe(entry, next, &bus->entries, node)
		free_entry(entry);
	free_page((unsigned long)bus->ring);
}

static bool is_signal(const struct umbra_bus_entry *entry, u64 addr, const void *val,
		      unsigned int len)
{
	u64 written = 0;

	if (entry->addr != addr || (entry->size && entry->size != len))
		return false;
	if (!entry->has_match)
		return true;
	memcpy(&written, val, len);
	return written == entry->match;
}

static bool in_zone(const struct umbra_bus_entry *entry, u64 addr, unsigned int len)
{
	return addr >= entry->addr && addr - entry->addr < entry->size &&
	       entry->size - (addr - entry->addr) >= len;
}

/* False when the ring is full, or its indices are nonsense: then userspace is woken. */
static bool put_in_ring(struct umbra_bus *bus, bool pio, u64 addr, const void *val,
			unsigned int len)
{
	struct kvm_coalesced_mmio_ring *ring = bus->ring;
	struct kvm_coalesced_mmio *slot;
	u32 last, next;
	bool room;

	spin_lock(&bus->ring_lock);
	last = READ_ONCE(ring->last);
	next = (last + 1) % KVM_COALESCED_MMIO_MAX;
	room = last < KVM_COALESCED_MMIO_MAX && next != READ_ONCE(ring->first);
	if (room) {
		slot = &ring->coalesced_mmio[array_index_nospec(last, KVM_COALESCED_MMIO_MAX)];
		slot->phys_addr = addr;
		slot->len = len;
		slot->pio = pio;
		memcpy(slot->data, val, len);
		/* Who sees the index sees the entry. */
		smp_store_release(&ring->last, next);
	}
	spin_unlock(&bus->ring_lock);
	return room;
}

/**
 * umbra_bus_write() - a write of the guest that is not to memory
 * @vm: the VM; mmu.srcu is held; does not sleep
 * @pio: to a port
 * @addr: the port, or the guest physical address
 * @val: what is written
 * @len: bytes, 1 to 8
 *
 * Return: true when it is done; false when it is userspace's.
 */
bool umbra_bus_write(struct umbra_vm *vm, bool pio, u64 addr, const void *val,
		     unsigned int len)
{
	struct umbra_bus *bus = &vm->bus;
	struct umbra_bus_entry *entry;

	list_for_each_entry_srcu(entry, &bus->entries, node,
				 srcu_read_lock_held(&vm->mmu.srcu)) {
		if (entry->pio != pio)
			continue;
		if (!entry->eventfd) {
			if (in_zone(entry, addr, len))
				return put_in_ring(bus, pio, addr, val, len);
		} else if (is_signal(entry, addr, val, len)) {
			umbra_eventfd_signal(entry->eventfd);
			return true;
		}
	}
	return false;
}

/**
 * umbra_bus_has() - may umbra_bus_write() take some write to an address?
 * @vm: the VM; mmu.srcu is held; does not sleep
 * @pio: it is a port
 * @addr: the address
 */
bool umbra_bus_has(struct umbra_vm *vm, bool pio, u64 addr)
{
	struct umbra_bus_entry *entry;

	list_for_each_entry_srcu(entry, &vm->bus.entries, node,
				 srcu_read_lock_held(&vm->mmu.srcu))
		if (entry->pio == pio &&
		    (entry->addr == addr || (!entry->eventfd && in_zone(entry, addr, 1))))
			return true;
	return false;
}

/* bus->lock is held. */
static long add_entry(struct umbra_bus *bus, const struct umbra_bus_entry *model)
{
	struct umbra_bus_entry *entry;

	if (bus->nr >= ENTRIES_MAX)
		return -ENOSPC;
	entry = kmemdup(model, sizeof(*model), GFP_KERNEL_ACCOUNT);
	if (!entry)
		return -ENOMEM;
	if (entry->eventfd)
		list_add_rcu(&entry->node, &bus->entries);
	else
		list_add_tail_rcu(&entry->node, &bus->entries);
	bus->nr++;
	return 0;
}

/* bus->lock is held. Sleeps until no vCPU uses the entry. */
static void remove_entry(struct umbra_vm *vm, struct umbra_bus_entry *entry)
{
	list_del_rcu(&entry->node);
	vm->bus.nr--;
	synchronize_srcu(&vm->mmu.srcu);
	free_entry(entry);
}

static bool event_valid(const struct kvm_ioeventfd *event)
{
	if (event->flags & ~(u32)(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO |
				  KVM_IOEVENTFD_FLAG_DEASSIGN))
		return false;
	switch (event->len) {
	case 0:
		return !(event->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
	case 1:
	case 2:
	case 4:
	case 8:
		return event->addr + event->len >= event->addr;
	default:
		return false;
	}
}

/* Would one write be a signal for both? */
static bool collide(const struct umbra_bus_entry *a, const struct umbra_bus_entry *b)
{
	return a->eventfd && a->pio == b->pio && a->addr == b->addr &&
	       (!a->size || !b->size || a->size == b->size) &&
	       (!a->has_match || !b->has_match || a->match == b->match);
}

static long assign_event(struct umbra_bus *bus, const struct umbra_bus_entry *model)
{
	struct umbra_bus_entry *entry;
	long r = 0;

	mutex_lock(&bus->lock);
	list_for_each_entry(entry, &bus->entries, node)
		if (collide(entry, model))
			r = -EEXIST;
	if (!r)
		r = add_entry(bus, model);
	mutex_unlock(&bus->lock);
	return r;
}

static long deassign_event(struct umbra_vm *vm, const struct umbra_bus_entry *model)
{
	struct umbra_bus_entry *entry;
	long r = -ENOENT;

	mutex_lock(&vm->bus.lock);
	list_for_each_entry(entry, &vm->bus.entries, node) {
		if (entry->eventfd != model->eventfd || entry->pio != model->pio ||
		    entry->addr != model->addr || entry->size != model->size ||
		    entry->has_match != model->has_match || entry->match != model->match)
			continue;
		remove_entry(vm, entry);
		r = 0;
		break;
	}
	mutex_unlock(&vm->bus.lock);
	return r;
}

/**
 * umbra_ioeventfd() - KVM_IOEVENTFD
 * @vm: the VM; no lock held
 * @event: which writes signal which eventfd, or do so no more
 *
 * Sleeps. Return: 0; -EINVAL for an unknown flag, a length that no access has, a
 * value to match without a length, an address that wraps, and a descriptor that is no
 * eventfd; -EBADF; -EEXIST when such a write is a signal already; -ENOENT when there is
 * nothing to take back; -ENOSPC beyond 1000 entries; -ENOMEM.
 */
long umbra_ioeventfd(struct umbra_vm *vm, const struct kvm_ioeventfd *event)
{
	struct umbra_bus_entry model = {
		.addr = event->addr,
		.size = event->len,
		.pio = event->flags & KVM_IOEVENTFD_FLAG_PIO,
		.has_match = event->flags & KVM_IOEVENTFD_FLAG_DATAMATCH,
	};
	long r;

	if (!event_valid(event))
		return -EINVAL;
	if (model.has_match)
		model.match = event->datamatch;
	model.eventfd = eventfd_ctx_fdget(event->fd);
	if (IS_ERR(model.eventfd))
		return PTR_ERR(model.eventfd);
	if (event->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		r = deassign_event(vm, &model);
	else
		r = assign_event(&vm->bus, &model);
	if (r || (event->flags & KVM_IOEVENTFD_FLAG_DEASSIGN))
		eventfd_ctx_put(model.eventfd);
	return r;
}

/**
 * umbra_coalesce() - KVM_REGISTER_COALESCED_MMIO, KVM_UNREGISTER_COALESCED_MMIO
 * @vm: the VM; no lock held
 * @zone: a range; unregistering takes away the zones that contain it
 * @on: register
 *
 * Sleeps. Return: 0; -EINVAL for a kind of range that does not exist; -ENOSPC beyond
 * 1000 entries; -ENOMEM.
 */
long umbra_coalesce(struct umbra_vm *vm, const struct kvm_coalesced_mmio_zone *zone, bool on)
{
	struct umbra_bus_entry model = {
		.addr = zone->addr, .size = zone->size, .pio = zone->pio,
	};
	struct umbra_bus_entry *entry, *next;
	long r = 0;

	if (zone->pio > 1)
		return -EINVAL;
	mutex_lock(&vm->bus.lock);
	if (on)
		r = add_entry(&vm->bus, &model);
	else
		list_for_each_entry_safe(entry, next, &vm->bus.entries, node)
			if (!entry->eventfd && entry->pio == zone->pio &&
			    in_zone(entry, zone->addr, zone->size))
				remove_entry(vm, entry);
	mutex_unlock(&vm->bus.lock);
	return r;
}
