// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module under load: who has a guest running keeps it, who is killed leaves nothing, and
 * kvm-hv and it do not have the machine's partitions at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "lib/guest.h"

static int remove_module(void)
{
	return syscall(SYS_delete_module, "umbra", O_NONBLOCK) ? -errno : 0;
}

static int load_module(void)
{
	int fd = open("/run/lab/umbra.ko", O_RDONLY | O_CLOEXEC);
	int ret = syscall(SYS_finit_module, fd, "audit=1", 0) ? -errno : 0;

	close(fd);
	return ret;
}

/* A process with a guest that never ends, and pages that come and go under it. */
static pid_t busy_process(int *ready)
{
	struct hpt_guest g = {};
	int pipes[2], i;
	char byte = 0;
	pid_t child;

	if (pipe(pipes))
		return -1;
	child = fork();
	if (child) {
		*ready = pipes[0];
		return child;
	}
	if (!guest_open(&g, 20))
		_exit(1);
	put_code(&g, guest_watch, (char *)guest_watch_end - (char *)guest_watch);
	enter_page(&g, CODE, CODE, R_M | 2);
	for (i = 0; i < 16; i++)
		enter_page(&g, DATA + i * page_size, 0x100000 + i * page_size, R_M | 2);
	g.regs.gpr[6] = DATA;
	g.regs.gpr[8] = DATA + page_size;
	g.regs.gpr[9] = 0;
	if (write(pipes[1], &byte, 1) != 1)
		_exit(1);
	guest_start(&g, MSR_VIRTUAL);
	_exit(1);
}

static bool runs_here(void)
{
	int node = open("/dev/umbra", O_RDWR);
	int fd = ioctl(node, KVM_CREATE_VM, 0);
	int can = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_PPC_PAPR);

	close(fd);
	close(node);
	return can;
}

static bool nothing_left(void)
{
	struct umbra_counters c;
	int node = open("/dev/umbra", O_RDWR);
	int ret = ioctl(node, UMBRA_COUNTERS, &c);

	close(node);
	return !ret && !c.vms && !c.vcpus && !c.tables && !c.mappings &&
	       c.refs_taken == c.refs_released;
}

TEST(killed_with_a_guest_that_runs)
{
	int round, ready, status;
	char byte;
	pid_t child;

	if (!runs_here())
		SKIP(return, "no guest can run here");
	for (round = 0; round < 3; round++) {
		child = busy_process(&ready);
		ASSERT_EQ(1, read(ready, &byte, 1));
		usleep(100000 * round);
		ASSERT_EQ(-EWOULDBLOCK, remove_module());
		ASSERT_FALSE(nothing_left());
		kill(child, SIGKILL);
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		ASSERT_TRUE(nothing_left());
		/* And away with it, at once. */
		ASSERT_EQ(0, remove_module());
		ASSERT_EQ(0, load_module());
		close(ready);
	}
}

TEST(kvm_hv_and_umbra_by_turns)
{
	int node = open("/dev/umbra", O_RDWR), fd;

	if (!runs_here() || system("modprobe kvm-hv 2>/dev/null"))
		SKIP(return, "no kvm-hv here");
	fd = ioctl(node, KVM_CREATE_VM, 0);
	EXPECT_EQ(-1, fd);
	EXPECT_EQ(EBUSY, errno);
	ASSERT_EQ(0, system("rmmod kvm-hv"));
	fd = ioctl(node, KVM_CREATE_VM, 0);
	ASSERT_LE(0, fd);
	close(fd);
	close(node);
	ASSERT_TRUE(nothing_left());
}

TEST_HARNESS_MAIN
