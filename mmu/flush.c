// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making every vCPU forget translations that were taken away.
 *
 * Invariant: when umbra_mmu_flush() returns, no vCPU uses a translation that had
 * been removed from the tables before the call. A vCPU that is in the guest is
 * interrupted and waited for; one that is not compares mmu->tlb_gen before it
 * enters.
 *
 *	flush				vCPU entry (interrupts off)
 *	-----				---------------------------
 *	tables changed			mode = IN_GUEST
 *	tlb_gen++			full barrier
 *	full barrier			read tlb_gen: flush if it grew
 *	read mode: interrupt if		run the guest
 *	  not OUTSIDE, and wait		mode = OUTSIDE
 *
 * One of the two sees the other, whatever the order.
 *
 * Locks: mmu->lock may be held. Preemption is off then, interrupts are on: who
 * waits for mmu->lock with interrupts off would deadlock against the wait here,
 * and nobody does.
 */
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <linux/smp.h>
#include <trace/events/ipi.h>
#include <umbra/mmu.h>

static DEFINE_PER_CPU(cpumask_var_t, kick_mask);

/* Taking the interrupt has made the CPU leave the guest; nothing is left to do. */
static void left_guest(void *unused)
{
}

static void kick_and_wait(struct umbra_mmu *mmu)
{
	int cpu = get_cpu();
	struct cpumask *mask = per_cpu(kick_mask, cpu);
	struct umbra_mmu_vcpu *mv;
	bool any = false;

	list_for_each_entry_rcu(mv, &mmu->vcpus, node, true) {
		if (READ_ONCE(mv->mode) == UMBRA_OUTSIDE_GUEST)
			continue;
		if (!any)
			cpumask_clear(mask);
		any = true;
		/* It must notice even if it has not executed VMRUN yet. */
		cmpxchg(&mv->mode, UMBRA_IN_GUEST, UMBRA_EXITING_GUEST);
		cpumask_set_cpu(READ_ONCE(mv->cpu), mask);
	}
	if (any)
		smp_call_function_many(mask, left_guest, NULL, true);
	put_cpu();
}

/**
 * umbra_mmu_flush() - end the use of every translation removed so far
 * @mmu: whose; mmu->lock may be held, interrupts are on
 */
void umbra_mmu_flush(struct umbra_mmu *mmu)
{
#ifdef UMBRA_TEST
	if (READ_ONCE(mmu->hook_no_flush))
		return;
#endif
	atomic64_inc(&mmu->stat.tlb_flush);
	atomic64_inc(&mmu->tlb_gen);
	/* Orders tlb_gen before the modes; see the drawing above. */
	smp_mb__after_atomic();
	kick_and_wait(mmu);
}

/**
 * umbra_vcpu_expel() - have a vCPU leave the guest, if it is there
 * @mv: the vCPU; a full barrier is behind what it shall see then
 *
 * From any context. One that is on its way in does not go there (umbra_vcpu_kicked()).
 */
void umbra_vcpu_expel(struct umbra_mmu_vcpu *mv)
{
	/* The CPU cannot go offline meanwhile. */
	preempt_disable();
	if (cmpxchg(&mv->mode, UMBRA_IN_GUEST, UMBRA_EXITING_GUEST) == UMBRA_IN_GUEST)
		smp_send_reschedule(READ_ONCE(mv->cpu));
	preempt_enable();
}

void umbra_flush_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		free_cpumask_var(per_cpu(kick_mask, cpu));
}

/**
 * umbra_flush_init() - at module load
 *
 * Return: 0 or -ENOMEM.
 */
int umbra_flush_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		if (!zalloc_cpumask_var_node(&per_cpu(kick_mask, cpu), GFP_KERNEL,
					     cpu_to_node(cpu))) {
			umbra_flush_exit();
			return -ENOMEM;
		}
	}
	return 0;
}
