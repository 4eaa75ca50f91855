// SPDX-License-Identifier: GPL-2.0-only
/*
 * Statistics as a file (KVM_GET_STATS_FD): a header, the name of whose they are, a
 * descriptor of each number, the numbers (Documentation/virt/kvm/api.rst, 4.133).
 *
 * A VM's file has what is counted for the VM as a whole, a vCPU's what is counted there.
 * All but the numbers is made once. The file holds a reference on the VM.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "virt.h"

/* Bytes of a name, as in KVM's own files. */
#define NAME_SIZE	48
#define DESC_SIZE	(sizeof(struct kvm_stats_desc) + NAME_SIZE)
#define IMAGE_SIZE(n)	(sizeof(struct kvm_stats_header) + NAME_SIZE + \
			 (n) * (DESC_SIZE + sizeof(u64)))

/**
 * struct stats_file - one open file
 * @vm: the VM
 * @vcpu: the vCPU, or NULL for the VM's
 * @image: the contents, with numbers that are not filled in
 */
struct stats_file {
	struct umbra_vm *vm;
	struct umbra_vcpu *vcpu;
	struct kvm_stats_header image[];
};

static unsigned int count(const struct umbra_vcpu *vcpu)
{
	unsigned int i, n = 0;

	for (i = 0; i < umbra_stats_count; i++)
		n += umbra_stats[i].per_vcpu == !!vcpu;
	return n;
}

static void describe(const struct umbra_stat *stat, unsigned int n,
		     struct kvm_stats_desc *desc)
{
	desc->flags = KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10 |
		      (stat->instant ? KVM_STATS_TYPE_INSTANT : KVM_STATS_TYPE_CUMULATIVE);
	desc->size = 1;
	desc->offset = n * sizeof(u64);
	strscpy(desc->name, stat->name, NAME_SIZE);
}

static void make_image(const struct umbra_vcpu *vcpu, struct kvm_stats_header *head)
{
	void *desc = (void *)(head + 1) + NAME_SIZE;
	unsigned int i, n = 0;
	int len;

	len = scnprintf((void *)(head + 1), NAME_SIZE, "kvm-%d", task_pid_nr(current));
	if (vcpu)
		scnprintf((void *)(head + 1) + len, NAME_SIZE - len, "/vcpu-%u", vcpu->id);
	for (i = 0; i < umbra_stats_count; i++)
		if (umbra_stats[i].per_vcpu == !!vcpu) {
			describe(&umbra_stats[i], n, desc + n * DESC_SIZE);
			n++;
		}
	head->name_size = NAME_SIZE;
	head->num_desc = n;
	head->id_offset = sizeof(*head);
	head->desc_offset = head->id_offset + NAME_SIZE;
	head->data_offset = head->desc_offset + n * DESC_SIZE;
}

static void fill(const struct stats_file *f, u64 *numbers)
{
	unsigned int i;

	for (i = 0; i < umbra_stats_count; i++)
		if (umbra_stats[i].per_vcpu == !!f->vcpu)
			*numbers++ = f->vcpu ?
				READ_ONCE(*(u64 *)((void *)f->vcpu + umbra_stats[i].offset)) :
				umbra_stat_value(f->vm, &umbra_stats[i]);
}

static ssize_t stats_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	const struct stats_file *f = file->private_data;
	size_t total = IMAGE_SIZE(f->image->num_desc);
	void *copy = kmemdup(f->image, total, GFP_KERNEL);
	ssize_t r;

	if (!copy)
		return -ENOMEM;
	fill(f, copy + f->image->data_offset);
	r = simple_read_from_buffer(buf, size, pos, copy, total);
	kfree(copy);
	return r;
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct stats_file *f = file->private_data;

	umbra_vm_put(f->vm);
	kfree(f);
	return 0;
}

static const struct file_operations stats_fops = {
	.owner = THIS_MODULE,
	.read = stats_read,
	.release = stats_release,
	.llseek = noop_llseek,
};

/**
 * umbra_stats_fd() - KVM_GET_STATS_FD
 * @vm: the VM
 * @vcpu: the vCPU that was asked, or NULL when the VM was
 *
 * Return: a descriptor to read from; -ENOMEM, -EMFILE, -ENFILE.
 */
long umbra_stats_fd(struct umbra_vm *vm, struct umbra_vcpu *vcpu)
{
	struct stats_file *f;
	struct file *file;
	int fd;

	f = kzalloc(sizeof(*f) + IMAGE_SIZE(count(vcpu)), GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->vm = vm;
	f->vcpu = vcpu;
	make_image(vcpu, f->image);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto free;
	file = anon_inode_getfile(vcpu ? "umbra-vcpu-stats" : "umbra-vm-stats", &stats_fops,
				  f, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto free;
	}
	umbra_vm_get(vm);
	file->f_mode |= FMODE_PREAD;
	fd_install(fd, file);
	return fd;

free:
	kfree(f);
	return fd;
}
