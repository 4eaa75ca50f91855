// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/umbra: a file with the module's counters, and a directory
 * PID-FD for each VM, as KVM names it, with one file for each statistic, and
 *
 *	audit	reading runs the audit and shows its verdict
 *	tables	the page tables
 *
 * Removing a directory waits for the readers of its files, so that a reader never
 * outlives the VM. That debugfs is missing or fails is no error.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <umbra/counters.h>
#include "virt.h"

static struct dentry *root;

static int counters_show(struct seq_file *m, void *unused)
{
	struct umbra_counters c;
	int err = umbra_counters_read(&c);

	if (err)
		return err;
	seq_printf(m, "vms %llu\nvcpus %llu\ntables %llu\nrefs_taken %llu\n"
		   "refs_released %llu\nmappings %llu\n", c.vms, c.vcpus, c.tables,
		   c.refs_taken, c.refs_released, c.mappings);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

/* Every statistic's file has the VM for its data, and is told by its name. */
static const struct umbra_stat *stat_of(struct file *file)
{
	const char *name = file->f_path.dentry->d_name.name;
	unsigned int i;

	for (i = 0; i < umbra_stats_count; i++)
		if (!strcmp(umbra_stats[i].name, name))
			return &umbra_stats[i];
	return NULL;
}

static ssize_t stat_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	const struct umbra_stat *stat = stat_of(file);
	char text[24];
	int len;

	if (!stat)
		return -ENOENT;
	len = scnprintf(text, sizeof(text), "%llu\n",
			umbra_stat_value(file_inode(file)->i_private, stat));
	return simple_read_from_buffer(buf, size, pos, text, len);
}

static const struct file_operations stat_fops = {
	.owner = THIS_MODULE,
	.read = stat_read,
	.llseek = default_llseek,
};

static int audit_show(struct seq_file *m, void *unused)
{
	struct umbra_vm *vm = m->private;
	struct umbra_audit a = {};
	int err = umbra_audit(&vm->mmu, &a);

	if (err)
		return err;
	seq_printf(m, "violations %llu\ntables %llu\nsptes %llu\nrefs_taken %llu\n"
		   "refs_released %llu\nrefs_held %llu\nskipped %llu\n", a.violations,
		   a.tables, a.sptes, a.refs_taken, a.refs_released, a.refs_held,
		   a.skipped);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(audit);

static int tables_show(struct seq_file *m, void *unused)
{
	struct umbra_vm *vm = m->private;
	struct umbra_mmu *mmu = &vm->mmu;

	read_lock(&mmu->lock);
	seq_printf(m, "%s\n", mmu->ops->name);
	mmu->ops->dump(mmu, m);
	read_unlock(&mmu->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(tables);

/**
 * umbra_debugfs_add() - a VM's directory
 * @vm: the VM
 * @fd: its descriptor, still to be installed
 *
 * The name is taken when a VM's descriptor was closed while its vCPUs live on, and
 * the number is used again: the new VM's directory then ends in its own number.
 */
void umbra_debugfs_add(struct umbra_vm *vm, int fd)
{
	struct dentry *taken;
	unsigned int i;
	char name[40];
	int len;

	len = scnprintf(name, sizeof(name), "%d-%d", task_pid_nr(current), fd);
	taken = debugfs_lookup(name, root);
	if (taken) {
		dput(taken);
		scnprintf(name + len, sizeof(name) - len, "-%u", vm->id);
	}
	vm->debugfs = debugfs_create_dir(name, root);
	for (i = 0; i < umbra_stats_count; i++)
		debugfs_create_file(umbra_stats[i].name, 0444, vm->debugfs, vm, &stat_fops);
	debugfs_create_file("audit", 0400, vm->debugfs, vm, &audit_fops);
	debugfs_create_file("tables", 0400, vm->debugfs, vm, &tables_fops);
}

void umbra_debugfs_init(void)
{
	root = debugfs_create_dir(UMBRA_NAME, NULL);
	debugfs_create_file("counters", 0444, root, NULL, &counters_fops);
}

void umbra_debugfs_exit(void)
{
	debugfs_remove_recursive(root);
}
