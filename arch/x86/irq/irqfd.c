// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_IRQFD: an eventfd that drives a GSI.
 *
 * The eventfd calls irqfd_wakes() for each signal, with its own lock held and interrupts
 * off, and the interrupt is delivered right there. When the eventfd's file goes, the
 * irqfd leaves the wait queue and is dead; the next KVM_IRQFD, or the end of the VM,
 * frees it.
 *
 * One that resamples holds its line high from its signal on; when the guest ends the
 * interrupt, the line goes low and another eventfd says so.
 *
 * irqchip->lock guards the lists; that of those that resample is read under
 * irqchip->srcu.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <umbra/compat.h>

#include "internal.h"

/**
 * struct umbra_irqfd - one eventfd that is bound to a GSI
 * @irqchip: the VM's
 * @event: the eventfd
 * @resample: that of the end of the interrupt, or NULL
 * @wait: in its queue
 * @poll: for the way there
 * @gsi: the GSI
 * @dead: the eventfd's file is gone
 * @node: in irqchip->irqfds
 * @resamplers: in irqchip->resamplers
 */
struct umbra_irqfd {
	struct umbra_irqchip *irqchip;
	struct eventfd_ctx *event;
	struct eventfd_ctx *resample;
	wait_queue_entry_t wait;
	poll_table poll;
	u32 gsi;
	bool dead;
	struct list_head node;
	struct list_head resamplers;
};

static void fire(struct umbra_irqfd *irqfd)
{
	if (irqfd->resample) {
		umbra_gsi_set(irqfd->irqchip, UMBRA_SOURCE_IRQFD, irqfd->gsi, true);
		return;
	}
	umbra_gsi_set(irqfd->irqchip, UMBRA_SOURCE_USER, irqfd->gsi, true);
	umbra_gsi_set(irqfd->irqchip, UMBRA_SOURCE_USER, irqfd->gsi, false);
}

static int irqfd_wakes(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct umbra_irqfd *irqfd = container_of(wait, struct umbra_irqfd, wait);
	__poll_t flags = key_to_poll(key);
	u64 count;

	if (flags & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->event, &count);
		fire(irqfd);
	}
	if (flags & EPOLLHUP) {
		/* The queue's lock is held by who calls. */
		list_del_init(&wait->entry);
		WRITE_ONCE(irqfd->dead, true);
	}
	return 0;
}

static void irqfd_enqueue(struct file *file, wait_queue_head_t *queue, poll_table *poll)
{
	struct umbra_irqfd *irqfd = container_of(poll, struct umbra_irqfd, poll);

	add_wait_queue_priority(queue, &irqfd->wait);
}

/* irqchip->lock is held. */
static void release(struct umbra_irqfd *irqfd)
{
	u64 count;

	list_del(&irqfd->node);
	if (irqfd->resample) {
		list_del_rcu(&irqfd->resamplers);
		synchronize_srcu_expedited(&irqfd->irqchip->srcu);
	}
	/* Also of one that is dead: it waits for who is about to wake it. */
	eventfd_ctx_remove_wait_queue(irqfd->event, &irqfd->wait, &count);
	if (irqfd->resample) {
		umbra_gsi_set(irqfd->irqchip, UMBRA_SOURCE_IRQFD, irqfd->gsi, false);
		eventfd_ctx_put(irqfd->resample);
	}
	eventfd_ctx_put(irqfd->event);
	kfree(irqfd);
}

static void sweep(struct umbra_irqchip *irqchip)
{
	struct umbra_irqfd *irqfd, *next;

	list_for_each_entry_safe(irqfd, next, &irqchip->irqfds, node)
		if (READ_ONCE(irqfd->dead))
			release(irqfd);
}

static bool taken(const struct umbra_irqchip *irqchip, const struct eventfd_ctx *event)
{
	const struct umbra_irqfd *irqfd;

	list_for_each_entry(irqfd, &irqchip->irqfds, node)
		if (irqfd->event == event)
			return true;
	return false;
}

/* irqchip->lock is held. A signal that is already there counts. */
static int bind_event(struct umbra_irqfd *irqfd, struct file *file)
{
	struct umbra_irqchip *irqchip = irqfd->irqchip;

	sweep(irqchip);
	if (taken(irqchip, irqfd->event))
		return -EBUSY;
	list_add_tail(&irqfd->node, &irqchip->irqfds);
	if (irqfd->resample)
		list_add_tail_rcu(&irqfd->resamplers, &irqchip->resamplers);
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wakes);
	init_poll_funcptr(&irqfd->poll, irqfd_enqueue);
	if (vfs_poll(file, &irqfd->poll) & EPOLLIN)
		fire(irqfd);
	return 0;
}

static int assign_file(struct umbra_irqchip *irqchip, const struct kvm_irqfd *args,
		       struct file *file)
{
	struct umbra_irqfd *irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	int err;

	if (!irqfd)
		return -ENOMEM;
	irqfd->irqchip = irqchip;
	irqfd->gsi = args->gsi;
	irqfd->event = eventfd_ctx_fileget(file);
	err = PTR_ERR_OR_ZERO(irqfd->event);
	if (err)
		goto free;
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE)
		irqfd->resample = eventfd_ctx_fdget(args->resamplefd);
	err = PTR_ERR_OR_ZERO(irqfd->resample);
	if (err)
		goto put_event;
	mutex_lock(&irqchip->lock);
	err = bind_event(irqfd, file);
	mutex_unlock(&irqchip->lock);
	if (!err)
		return 0;
	if (irqfd->resample)
		eventfd_ctx_put(irqfd->resample);
put_event:
	eventfd_ctx_put(irqfd->event);
free:
	kfree(irqfd);
	return err;
}

static int assign(struct umbra_irqchip *irqchip, const struct kvm_irqfd *args)
{
	struct file *file = fget(args->fd);
	int err;

	if (!file)
		return -EBADF;
	err = assign_file(irqchip, args, file);
	fput(file);
	return err;
}

/* Nothing is injected for it any more when this returns. */
static int deassign(struct umbra_irqchip *irqchip, const struct kvm_irqfd *args)
{
	struct eventfd_ctx *event = eventfd_ctx_fdget(args->fd);
	struct umbra_irqfd *irqfd, *next;

	if (IS_ERR(event))
		return PTR_ERR(event);
	mutex_lock(&irqchip->lock);
	list_for_each_entry_safe(irqfd, next, &irqchip->irqfds, node)
		if (irqfd->event == event && irqfd->gsi == args->gsi)
			release(irqfd);
	mutex_unlock(&irqchip->lock);
	eventfd_ctx_put(event);
	return 0;
}

/**
 * umbra_irqfds_ended() - the guest has ended a GSI's interrupt
 * @irqchip: the VM's; its srcu is held
 * @gsi: the GSI
 *
 * Never sleeps.
 */
void umbra_irqfds_ended(struct umbra_irqchip *irqchip, u32 gsi)
{
	struct umbra_irqfd *irqfd;

	list_for_each_entry_srcu(irqfd, &irqchip->resamplers, resamplers,
				 srcu_read_lock_held(&irqchip->srcu)) {
		if (irqfd->gsi != gsi)
			continue;
		umbra_gsi_set(irqchip, UMBRA_SOURCE_IRQFD, gsi, false);
		umbra_eventfd_signal(irqfd->resample);
	}
}

/**
 * umbra_irqfd_ioctl() - KVM_IRQFD
 * @irqchip: the VM's
 * @argp: struct kvm_irqfd
 *
 * Return: 0; -EINVAL for flags that do not exist, a GSI beyond the table, a descriptor
 * that is no eventfd, or resampling without pins in the kernel; -EBADF; -EBUSY for an
 * eventfd that is bound already; -ENOMEM.
 */
long umbra_irqfd_ioctl(struct umbra_irqchip *irqchip, void __user *argp)
{
	struct kvm_irqfd args;

	if (copy_from_user(&args, argp, sizeof(args)))
		return -EFAULT;
	if ((args.flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)) ||
	    args.gsi >= UMBRA_GSI_MAX)
		return -EINVAL;
	if ((args.flags & KVM_IRQFD_FLAG_RESAMPLE) && !irqchip->full)
		return -EINVAL;
	if (args.flags & KVM_IRQFD_FLAG_DEASSIGN)
		return deassign(irqchip, &args);
	return assign(irqchip, &args);
}

/* All of them, at the end of the VM. */
void umbra_irqfds_release(struct umbra_irqchip *irqchip)
{
	struct umbra_irqfd *irqfd, *next;

	mutex_lock(&irqchip->lock);
	list_for_each_entry_safe(irqfd, next, &irqchip->irqfds, node)
		release(irqfd);
	mutex_unlock(&irqchip->lock);
}
