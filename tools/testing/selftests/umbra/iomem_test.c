// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is no memory of the kernel: the BAR of a PCI device, mapped into
 * the process through sysfs and from there into the guest. It has no struct
 * page. Proves that guest and host see the same bytes of the device, that the
 * mapping goes when the process unmaps it, and that no page reference was
 * taken for it (the audit and the counters at the end balance).
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "test.h"

/* QEMU's inter-VM shared memory: its BAR 2 is plain memory. */
#define IVSHMEM_VENDOR 0x1af4
#define IVSHMEM_DEVICE 0x1110

FIXTURE(iomem) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *bar;	/* the host's view */
	u8 *gpa;
	size_t size;
	int fd;
};

/* Opens BAR 2 of the first such device; -1 when there is none. */
static int open_bar(size_t *size)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	struct dirent *d;
	char path[512];
	struct stat st;
	int fd = -1;

	while (dir && fd < 0 && (d = readdir(dir))) {
		long vendor, device;

		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", d->d_name);
		vendor = host_read(path);
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/device", d->d_name);
		device = host_read(path);
		if (vendor != IVSHMEM_VENDOR || device != IVSHMEM_DEVICE)
			continue;
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/enable", d->d_name);
		host_write(path, "1");
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource2", d->d_name);
		fd = open(path, O_RDWR);
		if (fd >= 0 && !fstat(fd, &st))
			*size = st.st_size;
	}
	if (dir)
		closedir(dir);
	return fd;
}

FIXTURE_SETUP(iomem)
{
	self->fd = open_bar(&self->size);
	if (self->fd < 0)
		TEST_SKIP("no PCI device %04x:%04x", IVSHMEM_VENDOR, IVSHMEM_DEVICE);
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->gpa = vm_reserve(self->vm, self->size, PAGE_2M);
	self->bar = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->bar);
	vm_add_slot(self->vm, 0, (u64)self->gpa, self->size, self->bar);
	agent_start(self->vcpu);
}

FIXTURE_TEARDOWN(iomem)
{
	vm_free(self->vm);
	close(self->fd);
}

TEST_F(iomem, same_bytes_on_both_sides)
{
	u8 *last = self->bar + self->size - 8;

	*(shared_u64 *)self->bar = 0x1122334455667788;
	EXPECT_EQ(0x1122334455667788, agent_read(self->vcpu, self->gpa, 8));
	agent_write(self->vcpu, self->gpa + self->size - 8, 8, 99);
	EXPECT_EQ(99, *(shared_u64 *)last);
	agent_fill(self->vcpu, self->gpa, self->size, PAGE_4K, 1);
	EXPECT_EQ(0, agent_verify(self->vcpu, self->gpa, self->size, PAGE_4K, 1));
	EXPECT_EQ(pattern(self->gpa + PAGE_4K, 1), *(shared_u64 *)(self->bar + PAGE_4K));
}

TEST_F(iomem, no_reference_is_taken)
{
	struct umbra_audit before, after;

	if (!node_has(UMBRA_CAP_AUDIT))
		TEST_SKIP("no UMBRA_CAP_AUDIT");
	/* Boot memory that the agent needs for it is mapped from here on. */
	agent_fill(self->vcpu, self->gpa, PAGE_4K, PAGE_4K, 1);
	ASSERT_EQ(0, ioctl(self->vm->fd, UMBRA_AUDIT, &before));
	agent_fill(self->vcpu, self->gpa, self->size, PAGE_4K, 1);
	ASSERT_EQ(0, ioctl(self->vm->fd, UMBRA_AUDIT, &after));
	EXPECT_EQ(before.refs_taken, after.refs_taken);
	EXPECT_EQ(before.refs_held, after.refs_held);
	EXPECT_LT(before.sptes, after.sptes);
}

TEST_F(iomem, goes_with_the_mapping)
{
	agent_write(self->vcpu, self->gpa, 8, 5);
	ASSERT_EQ(0, munmap(self->bar, PAGE_4K));
	agent_post(self->vcpu, AGENT_WRITE, self->gpa, 8, 6, 0);
	EXPECT_EQ(-EFAULT, vcpu_run(self->vcpu));
	ASSERT_EQ(self->bar, mmap(self->bar, PAGE_4K, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, self->fd, 0));
	EXPECT_EQ(5, *(shared_u64 *)self->bar);
	agent_wait(self->vcpu);
	EXPECT_EQ(6, *(shared_u64 *)self->bar);
}

/* The process gives the address to ordinary memory, and back to the device. */
TEST_F(iomem, replaced_by_memory)
{
	agent_write(self->vcpu, self->gpa, 8, 5);
	ASSERT_EQ(self->bar, mmap(self->bar, PAGE_4K, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(0, agent_read(self->vcpu, self->gpa, 8));
	agent_write(self->vcpu, self->gpa, 8, 7);
	EXPECT_EQ(7, *(shared_u64 *)self->bar);
	ASSERT_EQ(self->bar, mmap(self->bar, PAGE_4K, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, self->fd, 0));
	EXPECT_EQ(5, agent_read(self->vcpu, self->gpa, 8));
}

UMBRA_TEST_MAIN
