// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module comes and goes. Proves that it cannot be removed while a VM
 * lives, that it can at once when the last one is gone, and that it loads again
 * and works. Its file is UMBRA_KO, its parameters are those it was loaded with;
 * without UMBRA_KO nothing is removed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "test.h"

#define MODULE "umbra"
#define PARAMETERS "/sys/module/" MODULE "/parameters"

static int remove_module(void)
{
	return syscall(SYS_delete_module, MODULE, O_NONBLOCK) ? -errno : 0;
}

static int load_module(const char *file, const char *parameters)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return ret;
}

/* "a=1 b=c", as the module has them now. */
static void read_parameters(char *text, size_t size)
{
	DIR *dir = opendir(PARAMETERS);
	struct dirent *d;
	size_t len = 0;

	*text = 0;
	while (dir && (d = readdir(dir))) {
		char path[512], value[64];
		FILE *f;

		snprintf(path, sizeof(path), PARAMETERS "/%s", d->d_name);
		f = *d->d_name == '.' ? NULL : fopen(path, "re");
		if (f && fgets(value, sizeof(value), f)) {
			value[strcspn(value, "\n")] = 0;
			len += snprintf(text + len, size - len, "%s=%s ", d->d_name, value);
		}
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
}

TEST(stays_while_a_vm_lives)
{
	struct vm *vm;
	struct vcpu *vcpu;

	if (access("/sys/module/" MODULE, F_OK))
		TEST_SKIP("the module is not " MODULE);
	vm = vm_create();
	EXPECT_EQ(-EWOULDBLOCK, remove_module());
	vcpu = vcpu_create(vm, 0);
	agent_start(vcpu);
	agent_read(vcpu, (void *)PAGE_4K, 8);
	EXPECT_EQ(-EWOULDBLOCK, remove_module());
	/* A vCPU's descriptor alone holds it, too. */
	close(vm->fd);
	vm->fd = -1;
	EXPECT_EQ(-EWOULDBLOCK, remove_module());
	EXPECT_EQ(0, agent_read(vcpu, (void *)PAGE_4K, 8));
	vm_close(vm);
	EXPECT_EQ(NULL, node_leftovers());
}

TEST(stays_while_the_node_is_open)
{
	int fd;

	if (access("/sys/module/" MODULE, F_OK))
		TEST_SKIP("the module is not " MODULE);
	fd = node_open();
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EWOULDBLOCK, remove_module());
	close(fd);
}

TEST(goes_and_comes_back)
{
	const char *file = getenv("UMBRA_KO");
	char parameters[1024];
	struct vm *vm;
	int i;

	if (access("/sys/module/" MODULE, F_OK))
		TEST_SKIP("the module is not " MODULE);
	if (!file)
		TEST_SKIP("UMBRA_KO does not say where the module is");
	read_parameters(parameters, sizeof(parameters));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, remove_module());
		EXPECT_EQ(-ENOENT, node_open());
		ASSERT_EQ(0, load_module(file, parameters));
		vm = vm_create();
		agent_start(vcpu_create(vm, 0));
		EXPECT_EQ(0, agent_read(vm->vcpu[0], (void *)PAGE_4K, 8));
		vm_free(vm);
	}
}

UMBRA_TEST_MAIN
