// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of a guest-physical address space, and its side of the notifier.
 *
 * Order of birth: lock, SRCU, an empty set of slots, then the notifier, which may
 * call at once. The root comes with the first vCPU, so that the kind of MMU can
 * be chosen until then. Order of death: every mapping goes while the notifier
 * still watches (its removal says so to @release), then the notifier, the tables,
 * the slots, and last the SRCU callbacks that were waiting.
 */
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <umbra/arch.h>
#include <umbra/mmu.h>

static u32 default_policy = UMBRA_POLICY_NOTIFIED;

static const char * const policies[] = {
	[UMBRA_POLICY_NOTIFIED] = "notified",
	[UMBRA_POLICY_PINNED] = "pinned",
};

static int set_policy(const char *val, const struct kernel_param *kp)
{
	int policy = sysfs_match_string(policies, val);

	if (policy < 0)
		return policy;
	WRITE_ONCE(default_policy, policy);
	return 0;
}

static int get_policy(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%s\n", policies[READ_ONCE(default_policy)]);
}

static const struct kernel_param_ops policy_ops = {
	.set = set_policy,
	.get = get_policy,
};
module_param_cb(policy, &policy_ops, NULL, 0644);
MODULE_PARM_DESC(policy, "who keeps mapped pages of VMs that do not choose: notified (the host takes them as it likes; default) or pinned (the mapping does)");

static struct umbra_mmu *to_mmu(struct umbra_notifier *n)
{
	return container_of(n, struct umbra_mmu, notifier);
}

static bool notifier_unmap(struct umbra_notifier *n,
			   const struct umbra_gfn_range *range)
{
	struct umbra_mmu *mmu = to_mmu(n);

	return mmu->ops->unmap(mmu, range);
}

static bool notifier_age(struct umbra_notifier *n,
			 const struct umbra_gfn_range *range)
{
	struct umbra_mmu *mmu = to_mmu(n);

	return mmu->ops->age(mmu, range);
}

static bool notifier_test_age(struct umbra_notifier *n,
			      const struct umbra_gfn_range *range)
{
	struct umbra_mmu *mmu = to_mmu(n);

	return mmu->ops->test_age(mmu, range);
}

static void notifier_flush(struct umbra_notifier *n)
{
	umbra_mmu_flush(to_mmu(n));
}

static void notifier_release(struct umbra_notifier *n)
{
	struct umbra_mmu *mmu = to_mmu(n);

	mmu->ops->zap_all(mmu);
}

static const struct umbra_notifier_ops notifier_ops = {
	.unmap		= notifier_unmap,
	.age		= notifier_age,
	.test_age	= notifier_test_age,
	.flush		= notifier_flush,
	.release	= notifier_release,
};

/**
 * umbra_mmu_create() - an empty address space over current's memory
 * @mmu: zeroed
 * @id: number of the VM
 *
 * Return: 0; -EOPNOTSUPP when the default mode is not to be had; -ENOMEM; -EINTR.
 */
int umbra_mmu_create(struct umbra_mmu *mmu, unsigned int id)
{
	struct umbra_memslots *set;
	int err;

	mmu->id = id;
	mmu->mode = umbra_arch_default_mode();
	mmu->ops = umbra_arch_mmu_ops(mmu->mode);
	if (!mmu->ops)
		return -EOPNOTSUPP;
	mmu->max_gfn = umbra_arch_max_gfn(mmu->mode);
	mmu->policy = READ_ONCE(default_policy);
	rwlock_init(&mmu->lock);
	mutex_init(&mmu->slots_lock);
	INIT_LIST_HEAD(&mmu->vcpus);
	mmu->hva_tree = RB_ROOT_CACHED;

	set = kvzalloc(sizeof(*set), GFP_KERNEL_ACCOUNT);
	if (!set)
		return -ENOMEM;
	RCU_INIT_POINTER(mmu->memslots, set);
	err = init_srcu_struct(&mmu->srcu);
	if (err)
		goto free_set;

	mmu->mm = current->mm;
	mmgrab(mmu->mm);
	mmu->refs.mm = mmu->mm;
	mmu->notifier.ops = &notifier_ops;
	mmu->notifier.lock = &mmu->lock;
	mmu->notifier.slots = &mmu->hva_tree;
	err = umbra_notifier_register(&mmu->notifier, mmu->mm);
	if (err)
		goto drop_mm;
	return 0;

drop_mm:
	mmdrop(mmu->mm);
	cleanup_srcu_struct(&mmu->srcu);
free_set:
	kvfree(set);
	return err;
}

/**
 * umbra_mmu_configure() - choose the kind of MMU and the page policy
 * @mmu: the MMU
 * @mode: UMBRA_MMU_*
 * @policy: UMBRA_POLICY_*
 *
 * Return: 0; -EINVAL for a number that does not exist; -EOPNOTSUPP for a mode
 * that this host lacks; -EBUSY once there is a vCPU or a slot.
 */
int umbra_mmu_configure(struct umbra_mmu *mmu, u32 mode, u32 policy)
{
	const struct umbra_mmu_ops *ops;
	int err = 0;

	if (mode > UMBRA_MMU_HPT || policy > UMBRA_POLICY_PINNED)
		return -EINVAL;
	ops = umbra_arch_mmu_ops(mode);
	if (!ops)
		return -EOPNOTSUPP;

	mutex_lock(&mmu->slots_lock);
	if (mmu->has_root || umbra_mmu_slots(mmu)->count) {
		err = -EBUSY;
	} else {
		write_lock(&mmu->lock);
		mmu->ops = ops;
		mmu->mode = mode;
		mmu->policy = policy;
		mmu->max_gfn = umbra_arch_max_gfn(mode);
		write_unlock(&mmu->lock);
	}
	mutex_unlock(&mmu->slots_lock);
	return err;
}

/**
 * umbra_mmu_make_root() - fix the kind of MMU, and make its root
 * @mmu: the MMU
 *
 * Before the first vCPU; later it does nothing. Return: 0 or -ENOMEM.
 */
int umbra_mmu_make_root(struct umbra_mmu *mmu)
{
	int err = 0;

	mutex_lock(&mmu->slots_lock);
	if (!mmu->has_root)
		err = mmu->ops->init(mmu);
	if (!err)
		mmu->has_root = true;
	mutex_unlock(&mmu->slots_lock);
	return err;
}

/**
 * umbra_mmu_add_vcpu() - give a vCPU its part
 * @mmu: the MMU; it has a root
 * @mv: zeroed; lives until umbra_mmu_destroy()
 */
void umbra_mmu_add_vcpu(struct umbra_mmu *mmu, struct umbra_mmu_vcpu *mv)
{
	mv->mmu = mmu;
	mv->mode = UMBRA_OUTSIDE_GUEST;
	mutex_lock(&mmu->slots_lock);
	list_add_tail_rcu(&mv->node, &mmu->vcpus);
	mutex_unlock(&mmu->slots_lock);
}

/**
 * umbra_mmu_free_vcpu() - free what a vCPU's part holds
 * @mv: a part that was added; the VM is going down, nobody else can see it
 */
void umbra_mmu_free_vcpu(struct umbra_mmu_vcpu *mv)
{
	umbra_cache_empty(mv->mmu, &mv->cache);
}

/**
 * umbra_mmu_destroy() - the end
 * @mmu: created; every vCPU's part was freed and no descriptor is left
 *
 * Sleeps. On return all memory is freed and every reference given back.
 */
void umbra_mmu_destroy(struct umbra_mmu *mmu)
{
	struct umbra_memslots *set = rcu_dereference_protected(mmu->memslots, true);
	unsigned int i;

	/* Calls notifier_release() unless the process's memory went before. */
	umbra_notifier_unregister(&mmu->notifier);
	srcu_barrier(&mmu->srcu);
	mmu->ops->destroy(mmu);
	umbra_cache_empty(mmu, &mmu->split_cache);
	for (i = 0; i < set->count; i++)
		umbra_memslot_free(set->slots[i]);
	kvfree(set);
	cleanup_srcu_struct(&mmu->srcu);
	mmdrop(mmu->mm);
}
