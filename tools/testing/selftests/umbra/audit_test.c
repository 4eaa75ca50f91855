// SPDX-License-Identifier: GPL-2.0-only
/*
 * The audit finds what is broken. Each test breaks one rule by a test hook and
 * proves that UMBRA_AUDIT counts a violation and names the VM's frame in
 * dmesg; and that it said nothing before. Without the hooks the audit might as
 * well be blind.
 *
 * The VMs are closed without the audit that ends other tests.
 */
#include "kmsg.h"
#include "test.h"

FIXTURE(audit) {
	struct vm *vm;
	struct vcpu *vcpu;
	u8 *mem;
	int kmsg;
};

#define MEM_SIZE (16 * PAGE_4K)

FIXTURE_SETUP(audit)
{
	if (!node_has(UMBRA_CAP_AUDIT))
		TEST_SKIP("no UMBRA_CAP_AUDIT");
	if (!node_has(UMBRA_CAP_TEST_HOOK))
		TEST_SKIP("no UMBRA_CAP_TEST_HOOK: not a test build");
	self->vm = vm_create();
	self->vcpu = vcpu_create(self->vm, 0);
	self->mem = vm_mem(self->vm, MEM_SIZE);
	agent_start(self->vcpu);
	agent_fill(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 1);
	ASSERT_EQ(0, vm_audit(self->vm));
	self->kmsg = kmsg_open();
}

FIXTURE_TEARDOWN(audit)
{
	close(self->kmsg);
	/* What was lost stays lost, but not on the accounts of later tests. */
	EXPECT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_REPAIR, 0));
	vm_close(self->vm);
}

static bool dmesg_has(int kmsg, const char *a, const char *b)
{
	return line_has(kmsg_text(kmsg), "umbra: audit:", a, b);
}

static u64 gfn_of(const void *p)
{
	return (u64)p / PAGE_4K;
}

static void expect_found(struct __test_metadata *_metadata, FIXTURE_DATA(audit) * self, u8 *page)
{
	char gfn[32];

	EXPECT_LT(0, vm_audit(self->vm));
	snprintf(gfn, sizeof(gfn), "gfn %lx", gfn_of(page));
	EXPECT_TRUE(dmesg_has(self->kmsg, gfn, "spte"));
}

TEST_F(audit, wrong_frame)
{
	u8 *page = self->mem + 3 * PAGE_4K;

	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_SPTE_PFN, gfn_of(page)));
	expect_found(_metadata, self, page);
}

/* A page that the dirty log protects, by a translation that allows writes. */
TEST_F(audit, writable_under_the_dirty_log)
{
	u8 *page = self->mem + 3 * PAGE_4K;

	ASSERT_EQ(0, vm_set_slot(self->vm, self->vm->next_slot - 1, KVM_MEM_LOG_DIRTY_PAGES,
				 (u64)self->mem, MEM_SIZE, self->mem));
	ASSERT_EQ(0, agent_verify(self->vcpu, self->mem, MEM_SIZE, PAGE_4K, 1));
	ASSERT_EQ(0, vm_audit(self->vm));
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_SPTE_WRITE, gfn_of(page)));
	expect_found(_metadata, self, page);
}

/* A page that the process itself may not write. */
TEST_F(audit, writable_beyond_the_host)
{
	u8 *page = self->mem + 3 * PAGE_4K;

	ASSERT_EQ(0, mprotect(page, PAGE_4K, PROT_READ));
	EXPECT_EQ(pattern(page, 1), agent_read(self->vcpu, page, 8));
	ASSERT_EQ(0, vm_audit(self->vm));
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_SPTE_WRITE, gfn_of(page)));
	expect_found(_metadata, self, page);
}

TEST_F(audit, lost_entry)
{
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_SPTE_LOST, gfn_of(self->mem)));
	EXPECT_LT(0, vm_audit(self->vm));
	EXPECT_TRUE(dmesg_has(self->kmsg, "gfn", "level"));
}

TEST_F(audit, leaked_reference)
{
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_REF_LEAK, 3));
	EXPECT_LT(0, vm_audit(self->vm));
	EXPECT_TRUE(dmesg_has(self->kmsg, "reference", "vm"));
}

TEST_F(audit, wrong_parent)
{
	ASSERT_EQ(0, vm_hook(self->vm, UMBRA_HOOK_TABLE_PARENT, gfn_of(self->mem)));
	EXPECT_LT(0, vm_audit(self->vm));
	EXPECT_TRUE(dmesg_has(self->kmsg, "gfn", "level"));
}

TEST_F(audit, hooks_that_cannot_be)
{
	struct umbra_test_hook h = { .hook = UMBRA_HOOK_SPTE_PFN, .pad = 1 };

	EXPECT_EQ(-ENOENT, vm_hook(self->vm, UMBRA_HOOK_SPTE_PFN, TEST_MMIO / PAGE_4K));
	EXPECT_EQ(-EINVAL, vm_hook(self->vm, 0, 0));
	EXPECT_EQ(-EINVAL, vm_hook(self->vm, 999, 0));
	EXPECT_EQ(-1, ioctl(self->vm->fd, UMBRA_TEST_HOOK, &h));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, vm_audit(self->vm));
}

/* One audit after the other while a vCPU faults and the host takes pages away. */
struct churn {
	shared_u64 stop, rounds;
	u8 *mem;
};

static void guest_churn(void *arg)
{
	struct churn *c = arg;
	u64 off;

	while (!c->stop) {
		for (off = 0; off < MEM_SIZE; off += PAGE_4K)
			GUEST_WRITE((u64 *)(c->mem + off), off);
		c->rounds++;
	}
}

TEST_F(audit, nothing_to_say_about_a_running_vm)
{
	struct churn *c = vm_mem(self->vm, PAGE_4K);
	pthread_t thread;
	int i;

	c->mem = self->mem;
	vcpu_start(self->vcpu, guest_churn, c);
	thread = vcpu_spawn(self->vcpu);
	for (i = 0; i < (test_long() ? 500 : 50); i++) {
		ASSERT_EQ(0, madvise(self->mem, MEM_SIZE, MADV_DONTNEED));
		await(&c->rounds, 1);
		ASSERT_EQ(0, vm_audit(self->vm));
	}
	c->stop = 1;
	vcpu_join(thread);
}

UMBRA_TEST_MAIN
