// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM whose hashed page table is driven by hand; see hpt.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hpt.h"

size_t page_size;
unsigned int page_shift;

static int must(int ret, const char *what)
{
	if (ret >= 0)
		return ret;
	printf("# %s: %s\n", what, strerror(errno));
	exit(1);
}

void hpt_vm_open(struct hpt_vm *vm, size_t pages, unsigned int order)
{
	uint32_t htab = order;

	page_size = sysconf(_SC_PAGESIZE);
	page_shift = __builtin_ctzl(page_size);
	vm->node = must(open("/dev/umbra", O_RDWR | O_CLOEXEC), "/dev/umbra");
	vm->fd = must(ioctl(vm->node, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	if (order)
		must(ioctl(vm->fd, KVM_PPC_ALLOCATE_HTAB, &htab), "KVM_PPC_ALLOCATE_HTAB");
	else
		htab = 24;
	vm->entries = 1ULL << (htab - 4);
	vm->vcpu = must(ioctl(vm->fd, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	vm->pages = pages;
	vm->mem = mmap(NULL, pages * page_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm->mem == MAP_FAILED)
		must(-1, "mmap");
	must(hpt_vm_slot(vm, 0, 0, vm->mem, pages, 0), "KVM_SET_USER_MEMORY_REGION");
}

void hpt_vm_close(struct hpt_vm *vm)
{
	close(vm->vcpu);
	close(vm->fd);
	close(vm->node);
	munmap(vm->mem, vm->pages * page_size);
}

static int left(const char *what, uint64_t count)
{
	if (count)
		printf("# %llu %s too many\n", (unsigned long long)count, what);
	return !!count;
}

int hpt_vm_end(struct hpt_vm *vm)
{
	int wrong = left("violations", hpt_violations(vm));
	struct umbra_counters c;

	close(vm->vcpu);
	close(vm->fd);
	hpt_counters(vm, &c);
	wrong += left("VMs", c.vms) + left("vCPUs", c.vcpus) + left("tables", c.tables) +
		 left("mappings", c.mappings) +
		 left("references", c.refs_taken - c.refs_released);
	close(vm->node);
	munmap(vm->mem, vm->pages * page_size);
	return wrong;
}

int hpt_vm_slot(struct hpt_vm *vm, unsigned int slot, uint64_t gpa, void *mem, size_t pages,
		unsigned int flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot, .flags = flags, .guest_phys_addr = gpa,
		.memory_size = pages * page_size, .userspace_addr = (uintptr_t)mem,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

long hcall(struct hpt_vm *vm, uint64_t *gpr)
{
	struct umbra_hpt_hcall call;

	memcpy(call.gpr, gpr, sizeof(call.gpr));
	must(ioctl(vm->vcpu, UMBRA_HPT_HCALL, &call), "UMBRA_HPT_HCALL");
	memcpy(gpr, call.gpr, sizeof(call.gpr));
	return gpr[0];
}

long h_enter(struct hpt_vm *vm, uint64_t flags, uint64_t index, uint64_t v, uint64_t r,
	     uint64_t *at)
{
	uint64_t gpr[9] = { H_ENTER, flags, index, v, r };
	long ret = hcall(vm, gpr);

	if (at)
		*at = gpr[1];
	return ret;
}

long h_remove(struct hpt_vm *vm, uint64_t flags, uint64_t index, uint64_t avpn,
	      uint64_t *v, uint64_t *r)
{
	uint64_t gpr[9] = { H_REMOVE, flags, index, avpn };
	long ret = hcall(vm, gpr);

	if (v)
		*v = gpr[1];
	if (r)
		*r = gpr[2];
	return ret;
}

long h_read(struct hpt_vm *vm, uint64_t index, uint64_t *v, uint64_t *r)
{
	uint64_t gpr[9] = { H_READ, 0, index };
	long ret = hcall(vm, gpr);

	*v = gpr[1];
	*r = gpr[2];
	return ret;
}

/* Repeat what was only to be repeated: for long, where the host takes the page each time. */
int hpt_access(struct hpt_vm *vm, struct umbra_hpt_access *a)
{
	int tries = 100000;

	do {
		if (ioctl(vm->vcpu, UMBRA_HPT_ACCESS, a))
			return -errno;
	} while (a->result == UMBRA_HPT_RETRY && --tries);
	return a->result;
}

int hpt_load(struct hpt_vm *vm, uint64_t ea, uint64_t slbv, struct umbra_hpt_access *a)
{
	*a = (struct umbra_hpt_access) { .ea = ea, .slbv = slbv };
	return hpt_access(vm, a);
}

int hpt_store(struct hpt_vm *vm, uint64_t ea, uint64_t slbv, uint64_t data,
	      struct umbra_hpt_access *a)
{
	*a = (struct umbra_hpt_access) {
		.ea = ea, .slbv = slbv, .data = data, .flags = UMBRA_HPT_STORE,
	};
	return hpt_access(vm, a);
}

uint64_t hpt_violations(struct hpt_vm *vm)
{
	struct umbra_audit audit;

	must(ioctl(vm->fd, UMBRA_AUDIT, &audit), "UMBRA_AUDIT");
	return audit.violations;
}

void hpt_gfn_info(struct hpt_vm *vm, uint64_t gfn, struct umbra_gfn_info *info)
{
	memset(info, 0, sizeof(*info));
	info->gfn = gfn;
	must(ioctl(vm->fd, UMBRA_GFN_INFO, info), "UMBRA_GFN_INFO");
}

void hpt_counters(struct hpt_vm *vm, struct umbra_counters *c)
{
	must(ioctl(vm->node, UMBRA_COUNTERS, c), "UMBRA_COUNTERS");
}

int hpt_hook(struct hpt_vm *vm, unsigned int hook, uint64_t arg)
{
	struct umbra_test_hook h = { .hook = hook, .arg = arg };

	return ioctl(vm->fd, UMBRA_TEST_HOOK, &h);
}

static unsigned int seg_shift(uint64_t slbv)
{
	return slbv & SLB_1T ? 40 : 28;
}

uint64_t hash_group(struct hpt_vm *vm, uint64_t ea, uint64_t slbv, bool secondary)
{
	unsigned int base = (slbv & SLB_64K) == SLB_64K ? 16 : 12;
	uint64_t page = (ea & ((1ULL << seg_shift(slbv)) - 1)) >> base;
	uint64_t vsid = (slbv & ~SLB_1T) >> (slbv & SLB_1T ? 24 : 12);
	uint64_t hash = vsid ^ page;

	if (slbv & SLB_1T)
		hash ^= vsid << 25;
	if (secondary)
		hash = ~hash;
	return (hash % (vm->entries / 8)) * 8;
}

uint64_t hpte_v(uint64_t ea, uint64_t slbv)
{
	uint64_t offset = ea & ((1ULL << seg_shift(slbv)) - 1);
	uint64_t vsid = slbv >> (slbv & SLB_1T ? 24 : 12) << (slbv & SLB_1T ? 24 : 12);

	return vsid | ((offset >> 23) << 7);
}
