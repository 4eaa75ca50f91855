/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of virt/ ask of one another.
 */
#ifndef _UMBRA_VIRT_H
#define _UMBRA_VIRT_H

#include <linux/fs.h>
#include <umbra/vm.h>

/* Was the module built with UMBRA_TEST=1? */
#ifdef UMBRA_TEST
#define UMBRA_HAS_HOOKS 1
#else
#define UMBRA_HAS_HOOKS 0
#endif

/* node.c */
extern const struct file_operations umbra_node_fops;
long umbra_check_extension(struct umbra_vm *vm, long ext);

/* bus.c */
int umbra_bus_init(struct umbra_bus *bus);
void umbra_bus_destroy(struct umbra_bus *bus);
long umbra_ioeventfd(struct umbra_vm *vm, const struct kvm_ioeventfd *event);
long umbra_coalesce(struct umbra_vm *vm, const struct kvm_coalesced_mmio_zone *zone, bool on);

/* vm.c */
int umbra_vm_create(void);

/* vcpu.c */
int umbra_vcpu_create(struct umbra_vm *vm, unsigned long id);
void umbra_vcpu_stop(struct umbra_vcpu *vcpu);
void umbra_vcpu_free(struct umbra_vcpu *vcpu);

/**
 * struct umbra_stat - one statistic
 * @name: of its file in debugfs
 * @per_vcpu: a u64 in each struct umbra_vcpu; else an atomic64_t in struct umbra_vm
 * @instant: how many there are; else how many there were so far
 * @offset: there
 */
struct umbra_stat {
	const char *name;
	bool per_vcpu;
	bool instant;
	size_t offset;
};

/* stats.c */
extern const struct umbra_stat umbra_stats[];
extern const unsigned int umbra_stats_count;
u64 umbra_stat_value(struct umbra_vm *vm, const struct umbra_stat *stat);

/* statsfd.c */
long umbra_stats_fd(struct umbra_vm *vm, struct umbra_vcpu *vcpu);

/* debugfs.c */
void umbra_debugfs_init(void);
void umbra_debugfs_exit(void);
void umbra_debugfs_add(struct umbra_vm *vm, int fd);

#endif
