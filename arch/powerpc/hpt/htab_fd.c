// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_PPC_GET_HTAB_FD: the guest's view of the table as a stream, for migration
 * (Documentation/virt/kvm/api.rst of the kernel, 4.78). A stream is runs: a header, then as
 * many HPTEs as it says are valid, 16 bytes each and big-endian; behind these it says how
 * many have nothing.
 *
 * The first pass gives the whole table, each later one what changed since it was last read;
 * a read never goes beyond the end of a pass. A table that was emptied or replaced begins
 * anew.
 *
 * Locks: file->lock around each read; mmu->lock for reading in stretches, and the HPTE's
 * own, under which its view is taken and its bit in hpt->changed is cleared.
 */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/hvcall.h>

#include "hpt.h"

/* HPTEs that are looked at in one hold of mmu->lock. */
#define STRETCH 4096
#define HPTE_SIZE 16
#define RUN_MIN (sizeof(struct kvm_get_htab_header) + HPTE_SIZE)

/**
 * struct htab_file - one descriptor
 * @vm: the VM; a reference is held
 * @bolted_only: HPTEs that are not bolted are as though they were not there
 * @lock: guards the rest
 * @index: where the next read begins
 * @gen: the table that @index is about, as mmu->arch.hpt_gen
 * @first: all of it is wanted
 */
struct htab_file {
	struct umbra_vm *vm;
	bool bolted_only;
	struct mutex lock; /* one read at a time */
	unsigned long index;
	unsigned long gen;
	bool first;
};

/* Where the runs of a stretch go: @at within @size bytes of @buf. */
struct htab_out {
	u8 *buf;
	size_t size;
	size_t at;
	struct kvm_get_htab_header *run;
};

/* Nothing since its view was last taken. Most are free, and cost no more than this. */
static bool unchanged(const struct umbra_hpt *hpt, unsigned long index)
{
	struct hpte h;

	if (test_bit(index, hpt->changed))
		return false;
	if (!hpte_has(hpt, index, HPTE_V_VALID))
		return true;
	h = hpte_read(hpt, index);
	return !(h.r & ~hpt->rev[index].guest_r & (HPTE_R_R | HPTE_R_C));
}

/*
 * Free, and it always was: there is no view to be taken under its lock. Who enters one now
 * sets its bit, for the next pass.
 */
static bool untouched(const struct umbra_hpt *hpt, unsigned long index)
{
	return !hpte_has(hpt, index, HPTE_V_USED) && !test_bit(index, hpt->changed);
}

/* The guest's view, which is known to the reader from now on. */
static struct hpte take(struct umbra_hpt *hpt, unsigned long index)
{
	struct hpte h;

	hpte_lock(hpt, index);
	h = hpte_read(hpt, index);
	if (h.v & HPTE_V_VALID)
		hpt_note_rc(hpt, index, h.r & (HPTE_R_R | HPTE_R_C));
	clear_bit(index, hpt->changed);
	h = hpt_guest_view(hpt, index, h);
	hpte_unlock(hpt, index);
	return h;
}

static void begin_run(struct htab_out *out, unsigned long index)
{
	out->run = (struct kvm_get_htab_header *)(out->buf + out->at);
	*out->run = (struct kvm_get_htab_header) { .index = index };
	out->at += sizeof(*out->run);
}

/* @count from @index on have nothing; at most STRETCH. */
static void put_free(struct htab_out *out, unsigned long index, unsigned long count)
{
	if (!out->run || out->run->n_invalid + count > U16_MAX)
		begin_run(out, index);
	out->run->n_invalid += count;
}

static void put_hpte(struct htab_out *out, unsigned long index, struct hpte h)
{
	__be64 *to;

	if (!out->run || out->run->n_invalid || out->run->n_valid == U16_MAX)
		begin_run(out, index);
	out->run->n_valid++;
	to = (__be64 *)(out->buf + out->at);
	to[0] = cpu_to_be64(h.v);
	to[1] = cpu_to_be64(h.r);
	out->at += HPTE_SIZE;
}

/* Give what stands at @index, or say of all the free ones from there on that they are. */
static unsigned long read_some(struct htab_file *file, struct htab_out *out,
			       unsigned long index, unsigned long end)
{
	struct umbra_hpt *hpt = &file->vm->mmu.arch.hpt;
	unsigned long next = index;
	struct hpte h;

	while (file->first && next < end && untouched(hpt, next))
		next++;
	if (next > index) {
		put_free(out, index, next - index);
		return next;
	}
	h = take(hpt, index);
	if (!(h.v & HPTE_V_VALID) || (file->bolted_only && !(h.v & HPTE_V_BOLTED)))
		put_free(out, index, 1);
	else
		put_hpte(out, index, h);
	return index + 1;
}

/* Look at a stretch of the table. mmu->lock held for reading. True at the end of the pass. */
static bool read_stretch(struct htab_file *file, struct htab_out *out)
{
	struct umbra_mmu *mmu = &file->vm->mmu;
	struct umbra_hpt *hpt = &mmu->arch.hpt;
	unsigned long index, end;

	if (file->gen != mmu->arch.hpt_gen) {
		file->gen = mmu->arch.hpt_gen;
		file->index = 0;
		file->first = true;
	}
	index = file->index;
	end = min(index + STRETCH, hpt_count(hpt));
	while (index < end && out->size - out->at >= RUN_MIN) {
		if (file->first || !unchanged(hpt, index)) {
			index = read_some(file, out, index, end);
			continue;
		}
		out->run = NULL;
		index++;
	}
	file->index = index;
	if (index < hpt_count(hpt))
		return false;
	file->index = 0;
	file->first = false;
	return true;
}

/* Bytes given; -EFAULT when there is no place for them, and all of it is read again then. */
static ssize_t read_runs(struct htab_file *file, void *page, char __user *user, size_t size,
			 bool *end)
{
	struct htab_out out = { .buf = page, .size = min_t(size_t, size, PAGE_SIZE) };

	read_lock(&file->vm->mmu.lock);
	*end = read_stretch(file, &out);
	read_unlock(&file->vm->mmu.lock);
	if (!copy_to_user(user, out.buf, out.at))
		return out.at;
	file->index = 0;
	file->first = true;
	return -EFAULT;
}

static ssize_t htab_read(struct file *f, char __user *user, size_t size, loff_t *pos)
{
	struct htab_file *file = f->private_data;
	ssize_t done = 0, n = 0;
	bool end = false;
	void *page;

	if (file->vm->mmu.mm != current->mm)
		return -EIO;
	if (size < RUN_MIN)
		return -EINVAL;
	page = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!page)
		return -ENOMEM;
	if (mutex_lock_killable(&file->lock)) {
		free_page((unsigned long)page);
		return -EINTR;
	}
	while (!end && n >= 0 && size - done >= RUN_MIN) {
		n = signal_pending(current) ? -EINTR :
		    read_runs(file, page, user + done, size - done, &end);
		if (n > 0)
			done += n;
		cond_resched();
	}
	mutex_unlock(&file->lock);
	free_page((unsigned long)page);
	return done || n >= 0 ? done : n;
}

/* What stands at @index, if anything, makes way. */
static long set_free(struct umbra_mmu *mmu, unsigned long index)
{
	struct hpte old;
	long ret = hpt_remove(mmu, 0, index, 0, &old);

	return ret == H_PARAMETER ? -EINVAL : 0;
}

static long set_hpte(struct umbra_mmu *mmu, unsigned long index, const __be64 *from)
{
	struct hpte h = { be64_to_cpu(from[0]), be64_to_cpu(from[1]) };
	long err, at;

	if (!(h.v & HPTE_V_VALID))
		return -EINVAL;
	err = set_free(mmu, index);
	if (err)
		return err;
	switch (hpt_enter(mmu, H_EXACT, index, h, &at)) {
	case H_SUCCESS:
		return 0;
	case H_PTEG_FULL:	/* the guest runs, and was faster */
		return -EBUSY;
	case H_RESOURCE:
		return -ENOMEM;
	default:
		return -EINVAL;
	}
}

/* One run; bytes taken, or an error. mmu->srcu held. */
static ssize_t write_run(struct umbra_mmu *mmu, const char __user *user, size_t size)
{
	struct kvm_get_htab_header run;
	unsigned long index;
	__be64 hpte[2];
	long err = 0;
	unsigned int i;

	if (copy_from_user(&run, user, sizeof(run)))
		return -EFAULT;
	if (size - sizeof(run) < run.n_valid * HPTE_SIZE)
		return -EINVAL;
	user += sizeof(run);
	index = run.index;
	for (i = 0; i < run.n_valid && !err; i++) {
		if (copy_from_user(hpte, user + i * HPTE_SIZE, HPTE_SIZE))
			return -EFAULT;
		err = set_hpte(mmu, index++, hpte);
		cond_resched();
	}
	for (i = 0; i < run.n_invalid && !err; i++) {
		err = set_free(mmu, index++);
		cond_resched();
	}
	return err ? err : sizeof(run) + run.n_valid * HPTE_SIZE;
}

static ssize_t htab_write(struct file *f, const char __user *user, size_t size, loff_t *pos)
{
	struct htab_file *file = f->private_data;
	struct umbra_mmu *mmu = &file->vm->mmu;
	ssize_t done = 0, n = 0;
	int idx;

	if (mmu->mm != current->mm)
		return -EIO;
	idx = srcu_read_lock(&mmu->srcu);
	while (n >= 0 && size - done >= sizeof(struct kvm_get_htab_header)) {
		n = fatal_signal_pending(current) ? -EINTR :
		    write_run(mmu, user + done, size - done);
		if (n > 0)
			done += n;
	}
	srcu_read_unlock(&mmu->srcu, idx);
	umbra_audit_after(mmu, "htab");
	return done || n >= 0 ? done : n;
}

static int htab_release(struct inode *inode, struct file *f)
{
	struct htab_file *file = f->private_data;

	umbra_vm_put(file->vm);
	kfree(file);
	return 0;
}

static const struct file_operations htab_fops = {
	.owner = THIS_MODULE,
	.read = htab_read,
	.write = htab_write,
	.release = htab_release,
	.llseek = noop_llseek,
};

/* Where a read is to begin; the VM has a table. */
static bool start_valid(struct umbra_mmu *mmu, const struct kvm_get_htab_fd *request,
			struct htab_file *file)
{
	bool valid;

	read_lock(&mmu->lock);
	valid = request->start_index < hpt_count(&mmu->arch.hpt);
	file->gen = mmu->arch.hpt_gen;
	read_unlock(&mmu->lock);
	file->index = request->start_index;
	return valid;
}

/**
 * hpt_htab_fd() - KVM_PPC_GET_HTAB_FD: a descriptor of the table
 * @vm: the VM, which gets a table if it has none
 * @request: KVM_GET_HTAB_WRITE: for writing; KVM_GET_HTAB_BOLTED_ONLY; where the first pass
 *	begins
 *
 * Sleeps. Return: the descriptor; -EINVAL for an unknown flag or a place that the table has
 * not; -ENOMEM, -EMFILE, -ENFILE.
 */
long hpt_htab_fd(struct umbra_vm *vm, const struct kvm_get_htab_fd *request)
{
	bool write = request->flags & KVM_GET_HTAB_WRITE;
	struct htab_file *file;
	long ret;

	if ((request->flags & ~(KVM_GET_HTAB_WRITE | KVM_GET_HTAB_BOLTED_ONLY)) ||
	    request->reserved[0] || request->reserved[1])
		return -EINVAL;
	ret = umbra_mmu_make_root(&vm->mmu);
	if (ret)
		return ret;
	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return -ENOMEM;
	mutex_init(&file->lock);
	file->vm = vm;
	file->first = true;
	file->bolted_only = request->flags & KVM_GET_HTAB_BOLTED_ONLY;
	if (!start_valid(&vm->mmu, request, file)) {
		kfree(file);
		return -EINVAL;
	}
	umbra_vm_get(vm);
	ret = anon_inode_getfd("umbra-htab", &htab_fops, file,
			       O_CLOEXEC | (write ? O_WRONLY : O_RDONLY));
	if (ret < 0) {
		umbra_vm_put(vm);
		kfree(file);
	}
	return ret;
}
