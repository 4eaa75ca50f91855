/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernels' differences, and the only place for them. Kernels are asked what
 * they have by scripts/Kbuild.probes; nothing here compares a version.
 */
#ifndef _UMBRA_COMPAT_H
#define _UMBRA_COMPAT_H

#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/syscore_ops.h>
#include <linux/types.h>
#include <uapi/linux/kvm.h>

#ifdef UMBRA_HAVE_ENTRY_VIRT
#include <linux/entry-virt.h>
#else
#include <linux/entry-kvm.h>
#endif

#ifndef UMBRA_HAVE_PTE_DEVMAP
#define pte_devmap(pte) ((void)(pte), false)
#define pmd_devmap(pmd) ((void)(pmd), false)
#define pud_devmap(pud) ((void)(pud), false)
#endif

/* Kernels without the mark make no huge mappings of what has no struct page. */
#ifndef UMBRA_HAVE_PMD_SPECIAL
#define pmd_special(pmd) ((void)(pmd), false)
#define pud_special(pud) ((void)(pud), false)
#endif

/**
 * umbra_follow_pfnmap() - the frame behind an address in a VM_IO or VM_PFNMAP vma
 * @vma: the vma; mmap_lock is held
 * @hva: host virtual address in it
 * @pfn: the frame
 * @writable: the host's entry allows writes
 *
 * Return: 0, or -EINVAL when the host has no entry for it now.
 */
static inline int umbra_follow_pfnmap(struct vm_area_struct *vma, unsigned long hva,
				      u64 *pfn, bool *writable)
{
#ifdef UMBRA_HAVE_FOLLOW_PFNMAP
	struct follow_pfnmap_args args = { .vma = vma, .address = hva };

	if (follow_pfnmap_start(&args))
		return -EINVAL;
	*pfn = args.pfn;
	*writable = args.writable;
	follow_pfnmap_end(&args);
#else
	spinlock_t *ptl;	/* of the host's page table */
	pte_t *ptep;
	int err;

#ifdef UMBRA_HAVE_FOLLOW_PTE_VMA
	err = follow_pte(vma, hva, &ptep, &ptl);
#else
	err = follow_pte(vma->vm_mm, hva, &ptep, &ptl);
#endif
	if (err)
		return -EINVAL;
	__acquire(ptl);	/* follow_pte() does not say that it locks */
	*pfn = pte_pfn(*ptep);
	*writable = pte_write(*ptep);
	pte_unmap_unlock(ptep, ptl);
#endif
	return 0;
}

/*
 * UMBRA_SYSCORE() defines callbacks of suspend and reboot, each of which takes
 * UMBRA_SYSCORE_ARG and looks at nothing in it.
 */
#ifdef UMBRA_HAVE_SYSCORE
#define UMBRA_SYSCORE_ARG void *unused
#define UMBRA_SYSCORE(name, ...)						\
	static const struct syscore_ops name##_ops = { __VA_ARGS__ };		\
	static struct syscore name = { .ops = &name##_ops }
#define umbra_register_syscore register_syscore
#define umbra_unregister_syscore unregister_syscore
#else
#define UMBRA_SYSCORE_ARG void
#define UMBRA_SYSCORE(name, ...) static struct syscore_ops name = { __VA_ARGS__ }
#define umbra_register_syscore register_syscore_ops
#define umbra_unregister_syscore unregister_syscore_ops
#endif

/* Signal an eventfd once. */
static inline void umbra_eventfd_signal(struct eventfd_ctx *event)
{
#ifdef UMBRA_HAVE_EVENTFD_SIGNAL_COUNT
	eventfd_signal(event, 1);
#else
	eventfd_signal(event);
#endif
}

/* Make a timer that is not running. */
static inline void umbra_hrtimer_setup(struct hrtimer *timer,
				       enum hrtimer_restart (*function)(struct hrtimer *),
				       clockid_t clock, enum hrtimer_mode mode)
{
#ifdef UMBRA_HAVE_HRTIMER_SETUP
	hrtimer_setup(timer, function, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = function;
#endif
}

/* kvm_run.immediate_exit, which newer headers rename as long as the kernel looks. */
static inline bool umbra_immediate_exit(const struct kvm_run *run)
{
#ifdef HINT_UNSAFE_IN_KVM
	return READ_ONCE(run->HINT_UNSAFE_IN_KVM(immediate_exit));
#else
	return READ_ONCE(run->immediate_exit);
#endif
}

#endif
