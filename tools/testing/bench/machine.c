// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VM under test: one vCPU, boot memory, a page to talk through, and one
 * slot whose memory the scenario is about.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "bench.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

void machine_populate(struct machine *m, enum backing backing)
{
	if (madvise(m->mem, m->size, backing == PRESENT_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		die("huge pages");
	if (backing != ABSENT && madvise(m->mem, m->size, MADV_POPULATE_WRITE))
		die("MADV_POPULATE_WRITE");
}

void machine_drop(void *arg)
{
	struct machine *m = arg;

	if (madvise(m->mem, m->size, MADV_DONTNEED))
		die("MADV_DONTNEED");
}

void machine_start(struct machine *m, enum backing backing)
{
	m->vm = vm_create();
	m->vcpu = vcpu_create(m->vm, 0);
	m->loop = vm_mem(m->vm, PAGE_4K);
	m->size = MEM_SIZE;
	m->mem = vm_reserve(m->vm, m->size, PAGE_2M);
	if (mmap(m->mem, m->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != m->mem)
		die("guest memory");
	machine_populate(m, backing);
	m->slot = vm_add_slot(m->vm, 0, (u64)m->mem, m->size, m->mem);
	/* What the loops need of boot memory gets mapped. */
	machine_loop(m, guest_empty_loop, 0, 0);
}

u64 machine_loop(struct machine *m, void (*fn)(void *loop), u64 stride, u64 count)
{
	*m->loop = (struct loop) {
		.addr = (u64)m->mem, .stride = stride, .count = count, .extra = m->loop_extra,
	};
	vcpu_start(m->vcpu, fn, m->loop);
	while (!ioctl(m->vcpu->fd, KVM_RUN, NULL)) {
		if (m->loop->ticks)
			return m->loop->ticks;
		if (m->vcpu->run->exit_reason != KVM_EXIT_IO &&
		    m->vcpu->run->exit_reason != KVM_EXIT_MMIO)
			break;
	}
	die("KVM_RUN: %s", vcpu_exit_name(m->vcpu));
}

double machine_touch(struct machine *m, void (*fn)(void *loop), u64 stride, u64 count)
{
	double first = machine_loop(m, fn, stride, count);

	return (first - machine_loop(m, fn, stride, count)) / count;
}

void machine_log(struct machine *m, bool on)
{
	int ret = vm_set_slot(m->vm, m->slot, on ? KVM_MEM_LOG_DIRTY_PAGES : 0,
			      (u64)m->mem, m->size, m->mem);

	if (ret)
		die("dirty log: %d", ret);
}
