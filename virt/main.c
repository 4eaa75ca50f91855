// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module: its device node, and the order in which its parts come and go.
 *
 * The node is last to come and first to go. A VM or a vCPU holds the module by the
 * owner of its file operations, so nothing of them is left when exit runs.
 */
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <umbra/arch.h>
#include <umbra/mmu.h>
#include "virt.h"

static char *node = UMBRA_NAME;
module_param(node, charp, 0444);
MODULE_PARM_DESC(node, "name of the device node below /dev (default " UMBRA_NAME ")");

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.fops = &umbra_node_fops,
};

static int register_node(void)
{
	int err;

	if (!*node || strlen(node) > 32 || strchr(node, '/')) {
		pr_err(UMBRA_NAME ": node=%s: not a file name of 1 to 32 characters below /dev\n",
		       node);
		return -EINVAL;
	}
	device.name = node;
	err = misc_register(&device);
	if (err)
		pr_err(UMBRA_NAME ": /dev/%s cannot be made (%d): choose another name with node=\n",
		       node, err);
	return err;
}

static int __init umbra_init(void)
{
	int err;

	err = umbra_flush_init();
	if (err)
		return err;
	err = umbra_arch_init();
	if (err)
		goto flush_exit;
	umbra_debugfs_init();
	err = register_node();
	if (err)
		goto arch_exit;
	return 0;

arch_exit:
	umbra_debugfs_exit();
	umbra_arch_exit();
flush_exit:
	umbra_flush_exit();
	return err;
}
module_init(umbra_init);

static void __exit umbra_exit(void)
{
	misc_deregister(&device);
	umbra_debugfs_exit();
	umbra_arch_exit();
	umbra_flush_exit();
}
module_exit(umbra_exit);

MODULE_DESCRIPTION("Guest memory and guests that run on it, with KVM's ABI");
MODULE_LICENSE("GPL");
