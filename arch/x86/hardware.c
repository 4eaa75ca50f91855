// SPDX-License-Identifier: GPL-2.0-only
/*
 * Claiming the virtualisation hardware: on every CPU while a VM lives.
 *
 * Invariant: umbra_cpu_on says of each CPU whether the backend owns it. It changes on
 * that CPU only, and with interrupts off where a vCPU could be about to enter; who
 * enters looks at it with interrupts off.
 *
 * CPUs that come and go are served by a CPU hotplug state, which is registered from
 * the first VM to the last. Suspend and reboot take the hardware away from the one CPU
 * that is left, or from all; a vCPU that runs then is told -EBUSY.
 *
 * Locks: enable_lock guards the count.
 */
#include <linux/cpuhotplug.h>
#include <linux/mutex.h>
#include <linux/smp.h>
#include <umbra/arch.h>
#include <umbra/compat.h>

#include "x86.h"

DEFINE_PER_CPU(bool, umbra_cpu_on);
static DEFINE_MUTEX(enable_lock);
static unsigned int users;
static int hotplug_state;

static int cpu_on(void)
{
	int err = 0;

	if (!__this_cpu_read(umbra_cpu_on)) {
		err = umbra_backend->cpu_enable();
		__this_cpu_write(umbra_cpu_on, !err);
	}
	return err;
}

static void cpu_off(void *unused)
{
	if (__this_cpu_read(umbra_cpu_on)) {
		__this_cpu_write(umbra_cpu_on, false);
		umbra_backend->cpu_disable();
	}
}

static int hardware_online(unsigned int cpu)
{
	unsigned long flags;
	int err;

	local_irq_save(flags);
	err = cpu_on();
	local_irq_restore(flags);
	return err;
}

static int hardware_offline(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	cpu_off(NULL);
	local_irq_restore(flags);
	return 0;
}

/**
 * umbra_arch_enable() - claim the hardware of all CPUs; see <umbra/arch.h>
 */
int umbra_arch_enable(void)
{
	int err = 0;

	mutex_lock(&enable_lock);
	if (!users) {
		err = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "x86/umbra:online",
					hardware_online, hardware_offline);
		if (err >= 0) {
			hotplug_state = err;
			err = 0;
		} else if (err == -EBUSY) {
			pr_err_ratelimited("umbra: another hypervisor uses %s; unload it first (rmmod kvm_amd)\n",
					   umbra_backend->name);
		}
	}
	if (!err)
		users++;
	mutex_unlock(&enable_lock);
	return err;
}

void umbra_arch_disable(void)
{
	mutex_lock(&enable_lock);
	if (!--users)
		cpuhp_remove_state(hotplug_state);
	mutex_unlock(&enable_lock);
}

/* One CPU is left and interrupts are off. */
static int hardware_suspend(UMBRA_SYSCORE_ARG)
{
	cpu_off(NULL);
	return 0;
}

static void hardware_resume(UMBRA_SYSCORE_ARG)
{
	if (READ_ONCE(users) && cpu_on())
		pr_err("umbra: %s was taken by another after resume; close all VMs\n",
		       umbra_backend->name);
}

/* A CPU that reboots, or starts another kernel, must have SVM off. */
static void hardware_shutdown(UMBRA_SYSCORE_ARG)
{
	on_each_cpu(cpu_off, NULL, 1);
}

UMBRA_SYSCORE(hardware_syscore, .suspend = hardware_suspend, .resume = hardware_resume,
	      .shutdown = hardware_shutdown);

/* At module load, when the backend is known. */
void umbra_hardware_init(void)
{
	umbra_register_syscore(&hardware_syscore);
}

void umbra_hardware_exit(void)
{
	umbra_unregister_syscore(&hardware_syscore);
}
