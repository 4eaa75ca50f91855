// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults put in by hand, to show that the audit and the tests find them: what is the same
 * for every kind of MMU. Only in builds with UMBRA_TEST=1; such a module is not for use.
 *
 * Each hook that damages an entry leaves the accounts so that taking the VM down
 * is safe: what is broken is what the audit is to find, not the host.
 *
 * Locks: mmu->lock held for writing.
 */
#include <umbra/mmu.h>

/**
 * umbra_mmu_settle() - have the accounts say what there is
 * @mmu: the MMU
 * @leaves: present leaves by level
 * @held: references that they hold
 *
 * What was lost or leaked by a hook is not held against the VM any more.
 */
void umbra_mmu_settle(struct umbra_mmu *mmu, const s64 *leaves, s64 held)
{
	int i;

	for (i = 0; i < UMBRA_LEVEL_NUM; i++)
		atomic64_set(&mmu->stat.pages[i], leaves[i]);
	atomic64_set(&mmu->refs.taken, atomic64_read(&mmu->refs.released) + held);
}

/**
 * umbra_mmu_hook() - the hooks that have nothing to do with the kind of MMU
 * @mmu: the MMU
 * @hook: the hook
 *
 * Return: 0; -EINVAL for another hook.
 */
int umbra_mmu_hook(struct umbra_mmu *mmu, const struct umbra_test_hook *hook)
{
	switch (hook->hook) {
	case UMBRA_HOOK_NO_FLUSH:
		mmu->hook_no_flush = hook->arg;
		return 0;
	case UMBRA_HOOK_NO_RETRY:
		mmu->hook_no_retry = hook->arg;
		return 0;
	case UMBRA_HOOK_REF_LEAK:
		atomic64_add(hook->arg, &mmu->refs.taken);
		return 0;
	case UMBRA_HOOK_ALLOC_FAIL:
		umbra_cache_fail_in(hook->arg);
		return 0;
	default:
		return -EINVAL;
	}
}
