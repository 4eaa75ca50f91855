// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device node under test: which one, what it offers, what it still holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vm.h"

void die(const char *fmt, ...)
{
	int saved = errno;
	va_list args;

	fflush(stdout);
	fprintf(stderr, "# ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, " (errno %d: %s)\n", saved, strerror(saved));
	_exit(1);
}

const char *node_path(void)
{
	return getenv("UMBRA_NODE") ?: "/dev/umbra";
}

int node_open(void)
{
	int fd = open(node_path(), O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int node_ioctl(unsigned long request, void *arg)
{
	int fd = node_open();
	int ret;

	if (fd < 0)
		return fd;
	ret = ioctl(fd, request, arg);
	if (ret < 0)
		ret = -errno;
	close(fd);
	return ret;
}

int node_has(long cap)
{
	int ret = node_ioctl(KVM_CHECK_EXTENSION, (void *)cap);

	return ret < 0 ? 0 : ret;
}

const char *node_unfit(void)
{
	static char why[128];
	const char *mmu = getenv("UMBRA_TEST_MMU");
	const char *policy = getenv("UMBRA_TEST_POLICY");
	int ret = node_ioctl(KVM_GET_API_VERSION, NULL);

	if (ret < 0) {
		snprintf(why, sizeof(why), "%s: %s", node_path(), strerror(-ret));
		return why;
	}
	if (ret != KVM_API_VERSION) {
		snprintf(why, sizeof(why), "%s has API version %d", node_path(), ret);
		return why;
	}
	ret = node_has(UMBRA_CAP_MMU);
	if ((mmu || policy) && !ret)
		return "no UMBRA_CAP_MMU: the MMU cannot be chosen";
	if (mmu && !strcmp(mmu, "shadow") && !(ret & 1 << UMBRA_MMU_SHADOW))
		return "UMBRA_CAP_MMU does not offer shadow paging";
	if (mmu && !strcmp(mmu, "tdp") && !(ret & 1 << UMBRA_MMU_TDP))
		return "UMBRA_CAP_MMU does not offer TDP";
	return NULL;
}

bool node_counters(struct umbra_counters *c)
{
	return node_has(UMBRA_CAP_AUDIT) && node_ioctl(UMBRA_COUNTERS, c) == 0;
}

const char *node_leftovers(void)
{
	static char text[160];
	struct umbra_counters c;

	if (!node_counters(&c))
		return NULL;
	if (!c.vms && !c.vcpus && !c.tables && !c.mappings && c.refs_taken == c.refs_released)
		return NULL;
	snprintf(text, sizeof(text),
		 "%llu VMs, %llu vCPUs, %llu tables, %llu mappings, %lld references",
		 c.vms, c.vcpus, c.tables, c.mappings, (long long)(c.refs_taken - c.refs_released));
	return text;
}
