// SPDX-License-Identifier: GPL-2.0-only
/*
 * The paravirtual clock (Documentation/virt/kvm/x86/msr.rst), and KVM_GET/SET_CLOCK.
 *
 * A VM has one clock, nanoseconds as a line over the host's TSC. Each vCPU that asked
 * for it has the line in its guest's memory, told by its own TSC. The line changes only
 * by KVM_SET_CLOCK, so no two vCPUs ever disagree: that is what PVCLOCK_TSC_STABLE_BIT
 * promises. It takes a host whose TSCs agree; on another the guest is not told of the clock.
 *
 * A write of the MSRs only notes what is to be done: guest memory is written before
 * the next entry, where sleeping is allowed (umbra_clock_update()).
 *
 * Locks: clock->lock guards the line; what is a vCPU's is guarded by its mutex, but
 * for @stale, which anyone may set.
 */
#include <linux/math64.h>
#include <linux/ktime.h>
#include <linux/uaccess.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>

#include "x86.h"

/* Bit 0 of MSR_KVM_SYSTEM_TIME */
#define SYSTEM_TIME_ENABLE	BIT_ULL(0)

/**
 * umbra_clock_stable() - do the TSCs of all CPUs agree, so that guests can be given the clock?
 */
bool umbra_clock_stable(void)
{
	return !check_tsc_unstable();
}

/* ns = ticks * 2^shift * mul / 2^32, with mul of 32 bits as large as possible. */
static void set_scale(struct umbra_x86_clock *clock, u32 khz)
{
	u64 ticks = khz;
	int shift = 0;

	while (ticks <= NSEC_PER_MSEC) {
		ticks <<= 1;
		shift++;
	}
	while (ticks >> -min(shift, 0) > 2 * NSEC_PER_MSEC)
		shift--;
	clock->shift = shift;
	clock->mul = div64_u64((u64)NSEC_PER_MSEC << (32 - min(shift, 0)), ticks);
}

/**
 * umbra_clock_init() - the clock of a new VM, which begins at 0
 * @vm: the VM
 */
void umbra_clock_init(struct umbra_vm *vm)
{
	struct umbra_x86_clock *clock = &vm->arch.clock;

	spin_lock_init(&clock->lock);
	set_scale(clock, tsc_khz);
	clock->tsc = rdtsc_ordered();
}

static u64 clock_at(const struct umbra_x86_clock *clock, u64 tsc)
{
	return clock->ns + pvclock_scale_delta(tsc - clock->tsc, clock->mul, clock->shift);
}

static u64 clock_now(struct umbra_vm *vm)
{
	struct umbra_x86_clock *clock = &vm->arch.clock;
	u64 ns;

	spin_lock(&clock->lock);
	ns = clock_at(clock, rdtsc_ordered());
	spin_unlock(&clock->lock);
	return ns;
}

static void get_clock(struct umbra_vm *vm, struct kvm_clock_data *data)
{
	struct umbra_x86_clock *clock = &vm->arch.clock;

	memset(data, 0, sizeof(*data));
	data->flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	if (umbra_clock_stable())
		data->flags |= KVM_CLOCK_TSC_STABLE;
	spin_lock(&clock->lock);
	data->host_tsc = rdtsc_ordered();
	data->realtime = ktime_get_real_ns();
	data->clock = clock_at(clock, data->host_tsc);
	spin_unlock(&clock->lock);
}

/*
 * With KVM_CLOCK_REALTIME the clock went on while nobody ran it, as long as the real
 * time has.
 */
static long set_clock(struct umbra_vm *vm, const struct kvm_clock_data *data)
{
	struct umbra_x86_clock *clock = &vm->arch.clock;
	struct umbra_vcpu *vcpu;
	unsigned long i;
	u64 now;

	if (data->flags & ~(u32)(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME |
				 KVM_CLOCK_HOST_TSC))
		return -EINVAL;
	spin_lock(&clock->lock);
	clock->ns = data->clock;
	clock->tsc = rdtsc_ordered();
	now = ktime_get_real_ns();
	if ((data->flags & KVM_CLOCK_REALTIME) && now > data->realtime)
		clock->ns += now - data->realtime;
	spin_unlock(&clock->lock);

	/* A vCPU in the guest sees it at its next exit. */
	mutex_lock(&vm->lock);
	xa_for_each(&vm->vcpus, i, vcpu)
		umbra_clock_changed(vcpu);
	mutex_unlock(&vm->lock);
	return 0;
}

/* The first moment of the clock, in real time: three words behind a version. */
static void write_wall_clock(struct umbra_vcpu *vcpu)
{
	gpa_t gpa = READ_ONCE(vcpu->vm->arch.wall_clock);
	struct pvclock_wall_clock wall = {};
	struct timespec64 start;

	if (!gpa ||
	    umbra_guest_read(&vcpu->vm->mmu, gpa, &wall.version, sizeof(wall.version)))
		return;
	wall.version |= 1;
	if (umbra_guest_write(&vcpu->mmu, gpa, &wall.version, sizeof(wall.version)))
		return;
	start = ns_to_timespec64(ktime_get_real_ns() - clock_now(vcpu->vm));
	wall.sec = start.tv_sec;
	wall.nsec = start.tv_nsec;
	smp_wmb();	/* a reader that sees new words sees the odd version */
	umbra_guest_write(&vcpu->mmu, gpa, &wall, sizeof(wall));
	smp_wmb();	/* ... and all of them with the even one */
	wall.version++;
	umbra_guest_write(&vcpu->mmu, gpa, &wall.version, sizeof(wall.version));
}

static void fill_time(struct umbra_vcpu *vcpu, struct pvclock_vcpu_time_info *time)
{
	struct umbra_x86_clock *clock = &vcpu->vm->arch.clock;

	spin_lock(&clock->lock);
	time->tsc_timestamp = clock->tsc + vcpu->arch.tsc_offset;
	time->system_time = clock->ns;
	time->tsc_to_system_mul = clock->mul;
	time->tsc_shift = clock->shift;
	spin_unlock(&clock->lock);
	/* The guest takes this one back itself. */
	time->flags &= PVCLOCK_GUEST_STOPPED;
	if (umbra_clock_stable())
		time->flags |= PVCLOCK_TSC_STABLE_BIT;
	if (vcpu->arch.clock.stopped)
		time->flags |= PVCLOCK_GUEST_STOPPED;
	vcpu->arch.clock.stopped = false;
}

/* Other vCPUs may be reading, so the version is odd meanwhile. */
static void write_time(struct umbra_vcpu *vcpu)
{
	gpa_t gpa = vcpu->arch.clock.system_time & ~SYSTEM_TIME_ENABLE;
	struct pvclock_vcpu_time_info time;

	if (!(vcpu->arch.clock.system_time & SYSTEM_TIME_ENABLE))
		return;
	if (umbra_guest_read(&vcpu->vm->mmu, gpa, &time, sizeof(time)))
		return;
	time.version |= 1;
	if (umbra_guest_write(&vcpu->mmu, gpa, &time.version, sizeof(time.version)))
		return;
	fill_time(vcpu, &time);
	smp_wmb();	/* as in write_wall_clock() */
	umbra_guest_write(&vcpu->mmu, gpa, &time, sizeof(time));
	smp_wmb();	/* as in write_wall_clock() */
	time.version++;
	umbra_guest_write(&vcpu->mmu, gpa, &time.version, sizeof(time.version));
}

/**
 * umbra_clock_update() - write what the guest's memory shows of the clock
 * @vcpu: its clock is stale; mmu->srcu is held; sleeps
 *
 * An address that is not memory is the guest's own mistake, and ignored.
 */
void umbra_clock_update(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_vcpu_clock *clock = &vcpu->arch.clock;

	/* Whoever makes it stale from here on is seen in the next round. */
	smp_store_mb(clock->stale, false);
	if (clock->wall) {
		clock->wall = false;
		write_wall_clock(vcpu);
	}
	write_time(vcpu);
}

/**
 * umbra_clock_get_msr() - RDMSR of MSR_KVM_WALL_CLOCK or MSR_KVM_SYSTEM_TIME, old or new
 * @vcpu: the vCPU
 * @index: the MSR
 *
 * Return: what was written last.
 */
u64 umbra_clock_get_msr(const struct umbra_vcpu *vcpu, u32 index)
{
	if (index == MSR_KVM_WALL_CLOCK || index == MSR_KVM_WALL_CLOCK_NEW)
		return READ_ONCE(vcpu->vm->arch.wall_clock);
	return vcpu->arch.clock.system_time;
}

/**
 * umbra_clock_set_msr() - WRMSR of one of those
 * @vcpu: the vCPU
 * @index: the MSR
 * @val: guest physical address; of the system time, with the bit that enables it
 */
void umbra_clock_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 val)
{
	struct umbra_x86_vcpu_clock *clock = &vcpu->arch.clock;

	if (index == MSR_KVM_WALL_CLOCK || index == MSR_KVM_WALL_CLOCK_NEW) {
		WRITE_ONCE(vcpu->vm->arch.wall_clock, val);
		clock->wall = true;
	} else {
		clock->system_time = val;
	}
	umbra_clock_changed(vcpu);
}

/* KVM_KVMCLOCK_CTRL: the guest's watchdogs are to forgive the time it did not run. */
long umbra_clock_stopped(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_vcpu_clock *clock = &vcpu->arch.clock;

	if (!(clock->system_time & SYSTEM_TIME_ENABLE))
		return -EINVAL;
	clock->stopped = true;
	umbra_clock_changed(vcpu);
	return 0;
}

/* KVM_GET_CLOCK, KVM_SET_CLOCK; -ENOTTY for another ioctl. */
long umbra_clock_vm_ioctl(struct umbra_vm *vm, unsigned int cmd, void __user *argp)
{
	struct kvm_clock_data data;

	switch (cmd) {
	case KVM_GET_CLOCK:
		get_clock(vm, &data);
		return copy_to_user(argp, &data, sizeof(data)) ? -EFAULT : 0;
	case KVM_SET_CLOCK:
		if (copy_from_user(&data, argp, sizeof(data)))
			return -EFAULT;
		return set_clock(vm, &data);
	default:
		return -ENOTTY;
	}
}
