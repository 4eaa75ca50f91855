// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module-wide counters.
 *
 * Invariants
 * - A VM is in the list from before its descriptor exists until everything of it is
 *   freed. Leaving the list, it adds its last values to those of the dead.
 * - Who takes a VM down holds @teardown for reading to the end, so that a reader of
 *   the counters, who takes it for writing, waits for the VMs that are going and is
 *   not kept waiting by those that go later.
 *
 * Locks: teardown -> vms_lock.
 */
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <umbra/counters.h>
#include <umbra/vm.h>

static DECLARE_RWSEM(teardown);
static DEFINE_MUTEX(vms_lock);
static LIST_HEAD(vms);
static struct umbra_counters dead;	/* guarded by vms_lock */
static atomic64_t vcpus;

static void add_vm(struct umbra_counters *sum, struct umbra_mmu *mmu)
{
	int i;

	sum->tables += atomic64_read(&mmu->stat.tables);
	sum->refs_released += atomic64_read(&mmu->refs.released);
	/* Released first: it never seems to be more than what was taken. */
	smp_rmb();
	sum->refs_taken += atomic64_read(&mmu->refs.taken);
	for (i = 0; i < UMBRA_LEVEL_NUM; i++)
		sum->mappings += atomic64_read(&mmu->stat.pages[i]);
}

/* A VM was created. */
void umbra_counters_vm_born(struct umbra_vm *vm)
{
	mutex_lock(&vms_lock);
	list_add_tail(&vm->node, &vms);
	mutex_unlock(&vms_lock);
}

/* A VM's last descriptor is closed; umbra_counters_vm_dead() follows. */
void umbra_counters_vm_dying(void)
{
	down_read(&teardown);
}

/* All that the VM held is freed, but for @vm itself. */
void umbra_counters_vm_dead(struct umbra_vm *vm)
{
	mutex_lock(&vms_lock);
	list_del(&vm->node);
	add_vm(&dead, &vm->mmu);
	mutex_unlock(&vms_lock);
	up_read(&teardown);
}

void umbra_counters_vcpu_born(void)
{
	atomic64_inc(&vcpus);
}

void umbra_counters_vcpu_dead(void)
{
	atomic64_dec(&vcpus);
}

/**
 * umbra_counters_read() - what the module holds now
 * @out: filled in
 *
 * Waits for VMs that are being taken down. Return: 0, or -EINTR.
 */
int umbra_counters_read(struct umbra_counters *out)
{
	struct umbra_vm *vm;

	if (down_write_killable(&teardown))
		return -EINTR;
	mutex_lock(&vms_lock);
	*out = dead;
	out->vcpus = atomic64_read(&vcpus);
	list_for_each_entry(vm, &vms, node) {
		out->vms++;
		add_vm(out, &vm->mmu);
	}
	mutex_unlock(&vms_lock);
	up_write(&teardown);
	return 0;
}
