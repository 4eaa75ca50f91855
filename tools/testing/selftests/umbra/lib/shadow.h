/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fixture of the programs about what guests do with their page tables.
 *
 * Every test runs in every mode and on stock KVM. The audit at the end of each VM
 * compares what shadow paging has left with the tables.
 */
#ifndef _UMBRA_TEST_SHADOW_H
#define _UMBRA_TEST_SHADOW_H

#include "test.h"
#include "env.h"

FIXTURE(shadow) {
	struct vm *vm;
	struct vcpu *vcpu, *other;
	struct env *env;
};

FIXTURE_SETUP(shadow)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->other = vcpu_create(self->vm, 1);
	self->env = env_new(self->vm);
}

FIXTURE_TEARDOWN(shadow)
{
	vm_free(self->vm);
}

#endif
