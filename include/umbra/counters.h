/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the whole module holds: the sum over the living VMs, plus what the dead
 * ones left. The latter is zero but for the references taken and released, and
 * those are equal, unless something leaked; it stays visible until the module goes.
 */
#ifndef _UMBRA_COUNTERS_H
#define _UMBRA_COUNTERS_H

#include <uapi/umbra.h>

struct umbra_vm;

void umbra_counters_vm_born(struct umbra_vm *vm);
void umbra_counters_vm_dying(void);
void umbra_counters_vm_dead(struct umbra_vm *vm);
void umbra_counters_vcpu_born(void);
void umbra_counters_vcpu_dead(void);
int umbra_counters_read(struct umbra_counters *out);

#endif
