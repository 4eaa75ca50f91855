// SPDX-License-Identifier: GPL-2.0-only
/*
 * What debugfs shows of a VM. Proves that the statistics count what happened,
 * under the names that KVM's users know, and that the VM's directory goes with
 * the VM.
 */
#include <dirent.h>

#include "test.h"

FIXTURE(stats) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
};

FIXTURE_SETUP(stats)
{
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, PAGE_2M);
	agent_start(self->vcpu);
	/* Whatever else these need is mapped from here on. */
	agent_fill(self->vcpu, self->mem + PAGE_2M - PAGE_4K, PAGE_4K, PAGE_4K, 0);
	agent_read(self->vcpu, (void *)PAGE_4K, 8);
	if (vm_stat(self->vm, "exits") < 0)
		TEST_SKIP("no statistics in debugfs");
}

FIXTURE_TEARDOWN(stats)
{
	vm_free(self->vm);
}

TEST_F(stats, exits)
{
	long exits = vm_stat(self->vm, "exits");
	long io = vm_stat(self->vm, "io_exits");
	long mmio = vm_stat(self->vm, "mmio_exits");
	int i;

	/* Each command of the agent ends in one port write. */
	for (i = 0; i < 10; i++)
		agent_read(self->vcpu, (void *)PAGE_4K, 8);
	EXPECT_EQ(io + 10, vm_stat(self->vm, "io_exits"));
	EXPECT_LE(exits + 10, vm_stat(self->vm, "exits"));
	EXPECT_EQ(mmio, vm_stat(self->vm, "mmio_exits"));
	agent_post(self->vcpu, AGENT_WRITE, (void *)TEST_MMIO, 4, 1, 0);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_MMIO, self->vcpu->run->exit_reason);
	agent_wait(self->vcpu);
	EXPECT_EQ(mmio + 1, vm_stat(self->vm, "mmio_exits"));
	EXPECT_EQ(io + 11, vm_stat(self->vm, "io_exits"));
}

TEST_F(stats, faults_and_pages)
{
	long taken = vm_stat(self->vm, "pf_taken");
	long fixed = vm_stat(self->vm, "pf_fixed");
	long pages = vm_stat(self->vm, "pages_4k");

	agent_fill(self->vcpu, self->mem, 64 * PAGE_4K, PAGE_4K, 1);
	EXPECT_LT(taken, vm_stat(self->vm, "pf_taken"));
	EXPECT_LT(fixed, vm_stat(self->vm, "pf_fixed"));
	EXPECT_EQ(pages + 64, vm_stat(self->vm, "pages_4k"));
	ASSERT_EQ(0, madvise(self->mem, 32 * PAGE_4K, MADV_DONTNEED));
	EXPECT_EQ(pages + 32, vm_stat(self->vm, "pages_4k"));
}

TEST_F(stats, halts)
{
	long before = vm_stat(self->vm, "halt_exits");

	*(u8 *)self->mem = 0xf4;
	vcpu_start(self->vcpu, (void *)self->mem, NULL);
	ASSERT_EQ(0, vcpu_run(self->vcpu));
	ASSERT_EQ(KVM_EXIT_HLT, self->vcpu->run->exit_reason);
	EXPECT_EQ(before + 1, vm_stat(self->vm, "halt_exits"));
}

TEST_F(stats, names)
{
	static const char * const names[] = {
		"exits", "io_exits", "mmio_exits", "signal_exits", "irq_exits", "halt_exits",
		"irq_injections", "insn_emulation", "pf_taken", "pf_fixed", "tlb_flush",
		"pages_4k", "pages_2m", "pages_1g",
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		EXPECT_LE(0, vm_stat(self->vm, names[i])) TH_LOG("no %s", names[i] ?: "");
}

/* The dump of the tables and the audit are files too. */
TEST_F(stats, tables_and_audit)
{
	char path[128], text[4096];
	FILE *f;
	int n;

	if (!node_has(UMBRA_CAP_AUDIT))
		TEST_SKIP("no UMBRA_CAP_AUDIT");
	snprintf(path, sizeof(path), "/sys/kernel/debug/umbra/%d-%d/audit", getpid(), self->vm->fd);
	f = fopen(path, "re");
	ASSERT_NE(NULL, f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	ASSERT_LT(0, n);
	text[n] = 0;
	EXPECT_EQ(0, strncmp(text, "violations 0\n", 13)) TH_LOG("%s", text);
	snprintf(path, sizeof(path), "/sys/kernel/debug/umbra/%d-%d/tables", getpid(),
		 self->vm->fd);
	f = fopen(path, "re");
	ASSERT_NE(NULL, f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	EXPECT_LT(20, n);
}

TEST_F(stats, directory_goes_with_the_vm)
{
	struct vm *vm = vm_create();
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%d-%d", strrchr(node_path(), '/') + 1,
		 getpid(), vm->fd);
	EXPECT_EQ(0, access(path, F_OK));
	vm_close(vm);
	EXPECT_EQ(-1, access(path, F_OK));
}

UMBRA_TEST_MAIN
