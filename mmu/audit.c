// SPDX-License-Identifier: GPL-2.0-only
/*
 * The audit: every entry of an MMU against everything else that is known.
 *
 * This file drives it and says what was found; what is checked stands with each
 * kind of MMU (@audit in struct umbra_mmu_ops). One dmesg line a violation, with a
 * limit, and one summary line.
 *
 * The structure stands still: mmu->lock is held for writing. Two things go on all
 * the same: a lockless fault that has made an spte writable and is about to set
 * the dirty bit, and a fault that holds a page reference and waits for the lock.
 * What looks like a violation only because of them is looked at again after those
 * that were under way are over, and reported if it is still there.
 *
 * Locks: none held, or only a vCPU's; on request it sleeps, after an operation
 * (audit=2) it does not.
 */
#include <linux/moduleparam.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/srcu.h>
#include <umbra/mmu.h>
#include <umbra/trace.h>

/* Lines said of one run; the summary has the full count. */
#define LINES_MAX 20
/* Passes before a suspicion is a violation. */
#define PASSES 4

int umbra_audit_mode = 1;
module_param_named(audit, umbra_audit_mode, int, 0644);
MODULE_PARM_DESC(audit, "check all mappings: 0 never, 1 on request, 2 after every MMU operation as well");

static void report(struct umbra_audit_run *run, gfn_t gfn, int level, u64 spte,
		   struct va_format *vaf)
{
	/* Room for what a few runs say, each up to its limit. */
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL, 10 * LINES_MAX);

	if (run->out->violations++ >= LINES_MAX || !__ratelimit(&limit))
		return;
	pr_err(UMBRA_NAME ": audit: vm %u gfn %llx level %d spte %llx: %pV (%s)\n",
	       run->mmu->id, gfn, level, spte, vaf, run->where);
}

/**
 * umbra_audit_violation() - say that a rule is broken
 * @run: the run
 * @gfn: guest frame; 0 for what concerns the whole VM
 * @level: level of the entry; 0 for what concerns the whole VM
 * @spte: the entry
 * @fmt: what was expected
 */
void umbra_audit_violation(struct umbra_audit_run *run, gfn_t gfn, int level,
			   u64 spte, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	report(run, gfn, level, spte, &vaf);
	va_end(args);
}

/**
 * umbra_audit_racy() - say that a rule is broken which a fault under way may break
 * @run: the run
 * @gfn: guest frame; 0 for what concerns the whole VM
 * @level: level of the entry; 0 for what concerns the whole VM
 * @spte: the entry
 * @fmt: what was expected
 */
void umbra_audit_racy(struct umbra_audit_run *run, gfn_t gfn, int level, u64 spte,
		      const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	run->suspects++;
	if (!run->final)
		return;
	va_start(args, fmt);
	vaf.va = &args;
	report(run, gfn, level, spte, &vaf);
	va_end(args);
}

static void one_pass(struct umbra_audit_run *run)
{
	struct umbra_mmu *mmu = run->mmu;

	memset(run->out, 0, sizeof(*run->out));
	run->suspects = 0;
	write_lock(&mmu->lock);
	mmu->ops->audit(run);
	run->out->refs_taken = atomic64_read(&mmu->refs.taken);
	run->out->refs_released = atomic64_read(&mmu->refs.released);
	if (run->out->refs_taken - run->out->refs_released != run->out->refs_held)
		umbra_audit_racy(run, 0, 0, 0,
				 "%llu references taken, %llu released, %llu held by mappings",
				 run->out->refs_taken, run->out->refs_released,
				 run->out->refs_held);
	write_unlock(&mmu->lock);
}

/*
 * The host's tables can be read by the process itself, and by others while the
 * address space stands still as a whole.
 */
static bool hold_host(struct umbra_mmu *mmu, bool *locked)
{
	*locked = false;
	if (current->mm == mmu->mm)
		return true;
	if (!mmget_not_zero(mmu->mm))
		return false;
	mmap_write_lock(mmu->mm);
	*locked = true;
	return true;
}

static void release_host(struct umbra_mmu *mmu, bool locked)
{
	if (!locked)
		return;
	mmap_write_unlock(mmu->mm);
	mmput(mmu->mm);
}

/**
 * umbra_audit() - check a whole MMU
 * @mmu: the MMU; no lock held, sleeps
 * @out: the verdict
 *
 * Return: 0 whatever the verdict; -EPERM with module parameter audit=0.
 */
int umbra_audit(struct umbra_mmu *mmu, struct umbra_audit *out)
{
	struct umbra_audit_run run = {
		.mmu = mmu, .out = out, .where = "on request",
	};
	bool locked;
	int pass;

	if (!umbra_audit_mode)
		return -EPERM;
	for (pass = 1; pass <= PASSES; pass++) {
		run.final = pass == PASSES;
		run.host = hold_host(mmu, &locked);
		one_pass(&run);
		release_host(mmu, locked);
		if (!run.suspects)
			break;
		/* Readers fault pages in: mmap_lock may not be held. */
		synchronize_srcu(&mmu->srcu);
	}

	trace_umbra_audit(mmu->id, out->violations);
	/* A process can ask as often as it likes. */
	pr_info_ratelimited(UMBRA_NAME ": audit: vm %u: %llu violations, %llu sptes in %llu tables, references %llu taken %llu released %llu held, %llu skipped\n",
			    mmu->id, out->violations, out->sptes, out->tables,
			    out->refs_taken, out->refs_released, out->refs_held,
			    out->skipped);
	return 0;
}

/**
 * umbra_audit_now() - check a whole MMU after an operation
 * @mmu: the MMU; mmu->lock not held; does not sleep
 * @where: the operation
 *
 * Only violations are said. What a fault under way may break is not judged.
 */
void umbra_audit_now(struct umbra_mmu *mmu, const char *where)
{
	struct umbra_audit out;
	struct umbra_audit_run run = {
		.mmu = mmu, .out = &out, .where = where,
		.host = current->mm == mmu->mm,
	};

	one_pass(&run);
	if (out.violations)
		pr_err(UMBRA_NAME ": audit: vm %u: %llu violations after %s\n",
		       mmu->id, out.violations, where);
}
