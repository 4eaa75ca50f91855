/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * virt/: the objects behind the file descriptors. The node creates VMs, a VM owns
 * slots and vCPUs, a vCPU is run by one thread at a time.
 *
 * Each descriptor holds a reference on its VM (@users); the last one to close
 * takes the VM down, so a vCPU never outlives its VM.
 */
#ifndef _UMBRA_VM_H
#define _UMBRA_VM_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/signal.h>
#include <linux/xarray.h>
#include <uapi/linux/kvm.h>
#include <umbra/mmu.h>
#include <umbra/arch_vcpu.h>

/* Entries of a dirty ring at most, as many as KVM's. */
#define UMBRA_RING_MAX	65536

/* vCPU ids are below this, as KVM_CAP_MAX_VCPU_ID says; so is their number. */
#define UMBRA_VCPUS_MAX 1024

/*
 * Pages of the vCPU's mapping: its own, as many as the architecture says, then the VM's ring
 * of coalesced writes.
 */
#define UMBRA_VCPU_MMAP_PAGES	(UMBRA_VCPU_OWN_PAGES + 1)

/**
 * struct umbra_vcpu_stat - events of one vCPU
 *
 * Written by the vCPU's own thread. debugfs shows the sums over a VM's vCPUs under
 * these names; they are the ones that KVM's users know.
 */
struct umbra_vcpu_stat {
	u64 exits;
	u64 io_exits;
	u64 mmio_exits;
	u64 signal_exits;
	u64 irq_exits;
	u64 halt_exits;
	u64 async_pf;
	u64 request_irq_exits;
	u64 irq_injections;
	u64 nmi_injections;
	u64 insn_emulation;
	u64 insn_emulation_fail;
	u64 fpu_reload;
	u64 host_state_reload;
};

/**
 * struct umbra_vcpu - one virtual CPU
 * @vm: its VM; a reference is held through the descriptor
 * @mmu: its part in the guest-physical address space
 * @mutex: held for the whole of each ioctl on the vCPU
 * @pages: what userspace maps of its own; @run: the first of them; @pio_data: the last
 * @id: as given to KVM_CREATE_VCPU
 * @srcu_idx: cookie of vm->mmu.srcu, which KVM_RUN holds
 * @sigset_active: KVM_SET_SIGNAL_MASK gave @sigset
 * @stat: counters
 * @arch: registers and what else the architecture keeps
 */
struct umbra_vcpu {
	struct umbra_vm *vm;
	struct umbra_mmu_vcpu mmu;
	struct mutex mutex;	/* one ioctl at a time */
	void *pages[UMBRA_VCPU_OWN_PAGES];
	struct kvm_run *run;
	void *pio_data;
	unsigned int id;
	int srcu_idx;
	bool sigset_active;
	sigset_t sigset;
	struct umbra_vcpu_stat stat;
	struct umbra_arch_vcpu arch;
};

/**
 * struct umbra_bus - writes that need not wake userspace at once (virt/bus.c)
 * @lock: one change of @entries at a time; inside of nothing
 * @entries: struct umbra_bus_entry, read under the slots' SRCU
 * @nr: how many there are
 * @ring_lock: one writer of @ring at a time
 * @ring: a page, which userspace maps
 */
struct umbra_bus {
	struct mutex lock; /* changes of @entries */
	struct list_head entries;
	unsigned int nr;
	spinlock_t ring_lock; /* writes to @ring */
	struct kvm_coalesced_mmio_ring *ring;
};

/**
 * struct umbra_vm - one virtual machine
 * @mmu: its memory
 * @users: open descriptors and who else needs the VM
 * @lock: guards @vcpus against creation of a second with the same id; outside of
 *	mmu->slots_lock
 * @vcpus: struct umbra_vcpu by id
 * @nr_vcpus: how many there are; set under @lock
 * @bus: writes that need not wake userspace at once
 * @manual_dirty_log: KVM_GET_DIRTY_LOG leaves the log to KVM_CLEAR_DIRTY_LOG; guarded
 *	by mmu->slots_lock
 * @ring_size: entries of each vCPU's dirty ring, or 0; guarded by @lock
 * @initially_set: a slot whose log is switched on is dirty as a whole; guarded by
 *	mmu->slots_lock
 * @max_vcpu_id: ids of vCPUs are below it; 0 for UMBRA_VCPUS_MAX; guarded by @lock
 * @id: number for dmesg and traces
 * @node: in the list of living VMs (virt/counters.c)
 * @debugfs: its directory
 * @arch: what else the architecture keeps
 */
struct umbra_vm {
	struct umbra_mmu mmu;
	struct kref users;
	struct mutex lock;	/* creation of vCPUs */
	struct xarray vcpus;
	unsigned int nr_vcpus;
	struct umbra_bus bus;
	bool manual_dirty_log;
	bool initially_set;
	u32 ring_size;
	unsigned int max_vcpu_id;
	unsigned int id;
	struct list_head node;
	struct dentry *debugfs;
	struct umbra_arch_vm arch;
};

static inline struct umbra_vm *umbra_mmu_vm(struct umbra_mmu *mmu)
{
	return container_of(mmu, struct umbra_vm, mmu);
}

/*
 * KVM_RUN holds the slots' SRCU but while the guest runs and while it sleeps for
 * userspace's sake, so that a change of slots never waits for a guest.
 */
static inline void umbra_vcpu_srcu_lock(struct umbra_vcpu *vcpu)
{
	vcpu->srcu_idx = srcu_read_lock(&vcpu->vm->mmu.srcu);
}

static inline void umbra_vcpu_srcu_unlock(struct umbra_vcpu *vcpu)
{
	srcu_read_unlock(&vcpu->vm->mmu.srcu, vcpu->srcu_idx);
}

/* virt/memslot.c */
int umbra_set_memory_region(struct umbra_vm *vm,
			    const struct kvm_userspace_memory_region *region);
int umbra_get_dirty_log(struct umbra_vm *vm, const struct kvm_dirty_log *log);
int umbra_clear_dirty_log(struct umbra_vm *vm, const struct kvm_clear_dirty_log *log);
int umbra_reset_dirty_rings(struct umbra_vm *vm);

/* virt/bus.c */
bool umbra_bus_has(struct umbra_vm *vm, bool pio, u64 addr);
bool umbra_bus_write(struct umbra_vm *vm, bool pio, u64 addr, const void *val,
		     unsigned int len);

/* virt/vm.c */
void umbra_vm_get(struct umbra_vm *vm);
void umbra_vm_put(struct umbra_vm *vm);

#endif
