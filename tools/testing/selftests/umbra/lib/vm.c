// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMs and their memory slots.
 *
 * Boot memory is anonymous and without huge pages, so that it costs the same
 * in every run. The image of the program is copied into it by its own program
 * headers; what the kernel does to the text and data of the process itself
 * never matters to the guest.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "paging.h"
#include "vm.h"

static int vms_alive;

/* What vm_create_mmu() asks for; else the environment does. */
static const char *mmu_wanted;

static void vm_choose_mmu(struct vm *vm)
{
	const char *mmu = mmu_wanted ?: getenv("UMBRA_TEST_MMU");
	const char *policy = getenv("UMBRA_TEST_POLICY");
	struct umbra_mmu_config cfg = {};

	if (!mmu && !policy)
		return;
	if (ioctl(vm->fd, UMBRA_GET_MMU, &cfg))
		die("UMBRA_GET_MMU");
	if (mmu)
		cfg.mode = strcmp(mmu, "shadow") ? UMBRA_MMU_TDP : UMBRA_MMU_SHADOW;
	if (policy)
		cfg.policy = strcmp(policy, "pinned") ? UMBRA_POLICY_NOTIFIED : UMBRA_POLICY_PINNED;
	if (ioctl(vm->fd, UMBRA_SET_MMU, &cfg))
		die("UMBRA_SET_MMU %s %s", mmu ?: "-", policy ?: "-");
}

struct vm *vm_create_bare(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int node = node_open();

	if (!vm || node < 0)
		die("%s: %d", node_path(), node);
	vm->fd = ioctl(node, KVM_CREATE_VM, 0UL);
	if (vm->fd < 0)
		die("KVM_CREATE_VM");
	close(node);
	vm->mem_end = TEST_MEM;
	vm->next_slot = BOOT_SLOT + 1;
	vm->run_size = vcpu_mmap_size();
	vms_alive++;
	vm_choose_mmu(vm);
	return vm;
}

static void load_image(struct vm *vm)
{
	const Elf64_Phdr *ph = (void *)getauxval(AT_PHDR);
	unsigned long n = getauxval(AT_PHNUM);

	for (; n--; ph++) {
		if (ph->p_type != PT_LOAD)
			continue;
		if (ph->p_vaddr < BOOT_IMAGE || ph->p_vaddr + ph->p_memsz > BOOT_SIZE)
			die("image at %#lx does not fit into boot memory", ph->p_vaddr);
		memcpy(vm->boot + ph->p_vaddr, (void *)ph->p_vaddr, ph->p_filesz);
	}
}

struct vm *vm_create(void)
{
	struct vm *vm = vm_create_bare();
	int ret;

	vm->boot = mmap(NULL, BOOT_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm->boot == MAP_FAILED)
		die("boot memory");
	madvise(vm->boot, BOOT_SIZE, MADV_NOHUGEPAGE);
	ret = vm_set_slot(vm, BOOT_SLOT, 0, 0, BOOT_SIZE, vm->boot);
	if (ret)
		die("boot slot: %d", ret);
	load_image(vm);
	guest_tables_init(vm);
	return vm;
}

struct vm *vm_create_mmu(u32 mode)
{
	struct vm *vm;

	if (!(node_has(UMBRA_CAP_MMU) & (1 << mode)))
		return NULL;
	mmu_wanted = mode == UMBRA_MMU_SHADOW ? "shadow" : "tdp";
	vm = vm_create();
	mmu_wanted = NULL;
	return vm;
}

void vm_close(struct vm *vm)
{
	int i;

	for (i = 0; i < MAX_VCPUS; i++) {
		if (!vm->vcpu[i])
			continue;
		munmap(vm->vcpu[i]->run, vm->run_size);
		close(vm->vcpu[i]->fd);
		free(vm->vcpu[i]);
	}
	close(vm->fd);
	if (vm->boot)
		munmap(vm->boot, BOOT_SIZE);
	free(vm);
	vms_alive--;
}

u64 vm_audit(struct vm *vm)
{
	struct umbra_audit audit;

	if (!node_has(UMBRA_CAP_AUDIT))
		return 0;
	if (ioctl(vm->fd, UMBRA_AUDIT, &audit))
		die("UMBRA_AUDIT");
	return audit.violations;
}

void vm_free(struct vm *vm)
{
	const char *left;
	u64 violations = vm_audit(vm);

	if (violations)
		die("the audit found %lu violations, see dmesg", violations);
	vm_close(vm);
	left = vms_alive ? NULL : node_leftovers();
	if (left)
		die("left over after the last VM: %s", left);
}

int vm_try(struct vm *vm, unsigned long request, const void *arg)
{
	return ioctl(vm->fd, request, arg) < 0 ? -errno : 0;
}

int vm_enable_cap(struct vm *vm, u32 cap, u64 arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	return vm_try(vm, KVM_ENABLE_CAP, &enable);
}

int vm_set_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, const void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (u64)hva,
	};

	return vm_try(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

int vm_add_slot(struct vm *vm, u32 flags, u64 gpa, u64 size, const void *hva)
{
	int slot = vm->next_slot++;
	int ret = vm_set_slot(vm, slot, flags, gpa, size, hva);

	if (ret)
		die("slot %d at %#lx, %#lx bytes: %d", slot, gpa, size, ret);
	return slot;
}

void *vm_reserve(struct vm *vm, size_t size, size_t align)
{
	u64 addr = (vm->mem_end + align - 1) & ~(align - 1);
	void *p = mmap((void *)addr, size, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)addr)
		die("address %#lx is taken", addr);
	if (addr + size > TEST_MMIO)
		die("test memory runs into MMIO");
	/* A gap of 2M, so that no two areas share a huge mapping or a VMA. */
	vm->mem_end = ((addr + size + PAGE_2M - 1) & ~(PAGE_2M - 1)) + PAGE_2M;
	return p;
}

void *vm_mem(struct vm *vm, size_t size)
{
	void *p = vm_reserve(vm, size, PAGE_2M);

	if (mmap(p, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) != p)
		die("%zu bytes of memory", size);
	madvise(p, size, MADV_NOHUGEPAGE);
	vm_add_slot(vm, 0, (u64)p, size, p);
	return p;
}

/* Each VM has a directory named after the process and the VM's descriptor. */
long vm_stat(struct vm *vm, const char *name)
{
	const char *module = strrchr(node_path(), '/') + 1;
	char path[256], text[32];
	ssize_t n;
	int fd;

	if (!strcmp(module, "kvm"))
		snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%d-%d/%s",
			 getpid(), vm->fd, name);
	else
		snprintf(path, sizeof(path), "/sys/kernel/debug/umbra/%d-%d/%s",
			 getpid(), vm->fd, name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = 0;
	return strtol(text, NULL, 0);
}

bool vm_gfn_info(struct vm *vm, u64 gpa, struct umbra_gfn_info *info)
{
	memset(info, 0, sizeof(*info));
	info->gfn = gpa / PAGE_4K;
	return node_has(UMBRA_CAP_AUDIT) && ioctl(vm->fd, UMBRA_GFN_INFO, info) == 0;
}

int vm_hook(struct vm *vm, u32 hook, u64 arg)
{
	struct umbra_test_hook h = { .hook = hook, .arg = arg };

	return vm_try(vm, UMBRA_TEST_HOOK, &h);
}

int vm_dirty_log(struct vm *vm, u32 slot, u64 *bitmap)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	return vm_try(vm, KVM_GET_DIRTY_LOG, &log);
}
