// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be switched on to watch. Proves of shadow paging that dmesg has, with dynamic
 * debug, a line when a chain of the reverse map gets its first entry, becomes one of
 * many, of one again, and empty, when a page is unmapped and when it is aged; that there
 * is none without; and that the tracepoint of an unmapped page names its frame.
 */
#include "env.h"
#include "kmsg.h"
#include "test.h"

#define CONTROL "/sys/kernel/debug/dynamic_debug/control"
#define ZAP "/sys/kernel/tracing/events/umbra/umbra_zap/enable"
#define TRACE "/sys/kernel/tracing/trace"

#define ALIASES 3
/* Much more than what is reclaimed of it. */
#define AGED_SIZE (8UL << 20)

FIXTURE(trace) {
	struct vm *vm;
	struct vcpu *vcpu;
	struct env *env;
	int kmsg;
};

FIXTURE_SETUP(trace)
{
	self->vm = vm_create_mmu(UMBRA_MMU_SHADOW);
	if (!self->vm)
		TEST_SKIP("no shadow paging");
	if (access(CONTROL, W_OK) || access(ZAP, W_OK))
		TEST_SKIP("no dynamic debug, or no tracepoints");
	self->vcpu = vcpu_create(self->vm, 0);
	self->env = env_new(self->vm);
	self->kmsg = kmsg_open();
}

FIXTURE_TEARDOWN(trace)
{
	host_write(CONTROL, "module umbra -p");
	host_write(ZAP, "0");
	close(self->kmsg);
	vm_free(self->vm);
}

/* arg[0]: which alias; arg[1]: use it, or take it away. */
static void guest_alias(void *arg)
{
	struct env *e = arg;
	u64 i = e->arg[0];

	guest_write_cr3(e->root);
	if (e->arg[1])
		GUEST_ASSERT_EQ(102, READ_AT(GVA + i * PAGE_4K));
	else
		change(&e->pte[i], 0, GVA + i * PAGE_4K);
}

static const char *said(FIXTURE_DATA(trace) * self, int alias, bool use)
{
	self->env->arg[0] = alias;
	self->env->arg[1] = use;
	if (use)
		self->env->pte[alias] = page(self->env, 2) | PTE_RW;
	vcpu_call(self->vcpu, guest_alias, self->env);
	return kmsg_text(self->kmsg);
}

/* The line of a page, and of its chain, which stands beside it. */
static bool has_pair(const char *text, const char *first, const char *second)
{
	const char *line = text, *end, *next;

	for (; (end = strchr(line, '\n')); line = end + 1) {
		next = strchr(end + 1, '\n');
		if (next && memmem(line, end - line, first, strlen(first)) &&
		    memmem(end, next - end, second, strlen(second)))
			return true;
	}
	return false;
}

static int growth_lines(const char *text, const char *page)
{
	return has_pair(text, " 0->1", page) + has_pair(text, " 1->many", page) +
	       has_pair(text, page, " many->1") + has_pair(text, page, " 1->0");
}

TEST_F(trace, growth_of_a_chain)
{
	char map[64], unmap[64];
	const char *text;

	snprintf(map, sizeof(map), " gfn %lx level 1 spte ", page(self->env, 2) / PAGE_4K);
	snprintf(unmap, sizeof(unmap), "unmap: vm ");
	ASSERT_EQ(0, host_write(CONTROL, "module umbra +p"));
	text = said(self, 0, true);
	EXPECT_TRUE(has_pair(text, " 0->1", map)) TH_LOG("%s", text);
	text = said(self, 1, true);
	EXPECT_TRUE(has_pair(text, " 1->many", map)) TH_LOG("%s", text);
	text = said(self, 2, true);
	EXPECT_TRUE(line_has(text, "map: vm ", map, NULL)) TH_LOG("%s", text);
	EXPECT_EQ(0, growth_lines(text, map)) TH_LOG("%s", text);
	text = said(self, 2, false);
	EXPECT_TRUE(line_has(text, unmap, map, NULL)) TH_LOG("%s", text);
	EXPECT_EQ(0, growth_lines(text, map)) TH_LOG("%s", text);
	text = said(self, 0, false);
	EXPECT_TRUE(line_has(text, unmap, map, NULL)) TH_LOG("%s", text);
	EXPECT_TRUE(has_pair(text, map, " many->1")) TH_LOG("%s", text);
	text = said(self, 1, false);
	EXPECT_TRUE(line_has(text, unmap, map, NULL)) TH_LOG("%s", text);
	EXPECT_TRUE(has_pair(text, map, " 1->0")) TH_LOG("%s", text);
}

TEST_F(trace, nothing_unless_asked)
{
	const char *text = said(self, 0, true);

	EXPECT_EQ(0, lines_with(text, "umbra")) TH_LOG("%s", text);
	EXPECT_EQ(0, lines_with(text, "rmap: ")) TH_LOG("%s", text);
	EXPECT_EQ(0, lines_with(text, "map: vm ")) TH_LOG("%s", text);
}

TEST_F(trace, unmapped_by_the_host)
{
	u64 gfn = page(self->env, 2) / PAGE_4K;
	const char *text;
	char map[64];
	int i;

	snprintf(map, sizeof(map), " gfn %lx level 1 spte ", gfn);
	for (i = 0; i < ALIASES; i++)
		said(self, i, true);
	ASSERT_EQ(0, host_write(CONTROL, "module umbra +p"));
	ASSERT_EQ(0, madvise((void *)page(self->env, 2), PAGE_4K, MADV_DONTNEED));
	text = kmsg_text(self->kmsg);
	if (policy_pinned(self->vm))
		return;
	EXPECT_TRUE(has_pair(text, map, " many->1")) TH_LOG("%s", text);
	EXPECT_TRUE(has_pair(text, map, " 1->0")) TH_LOG("%s", text);
	/* The frame of each entry: no line has another one. */
	EXPECT_EQ(ALIASES, lines_with(text, "unmap: vm ")) TH_LOG("%s", text);
	EXPECT_EQ(ALIASES, lines_with(text, map)) TH_LOG("%s", text);
}

TEST_F(trace, tracepoint_of_a_zap_names_the_frame)
{
	char want[64], *text = malloc(1 << 20);
	size_t n;
	FILE *f;

	if (policy_pinned(self->vm))
		TEST_SKIP("a page that is mapped stays");
	said(self, 0, true);
	ASSERT_EQ(0, host_write(TRACE, ""));
	ASSERT_EQ(0, host_write(ZAP, "1"));
	ASSERT_EQ(0, madvise((void *)page(self->env, 2), PAGE_4K, MADV_DONTNEED));
	ASSERT_EQ(0, host_write(ZAP, "0"));
	f = fopen(TRACE, "re");
	ASSERT_NE(NULL, f);
	n = fread(text, 1, (1 << 20) - 1, f);
	fclose(f);
	text[n] = 0;
	snprintf(want, sizeof(want), " gfn %lx level 1 spte ", page(self->env, 2) / PAGE_4K);
	EXPECT_TRUE(line_has(text, "umbra_zap: vm ", want, NULL)) TH_LOG("%s", text);
	free(text);
}

/* Lines that say that a page of the range was young. */
static u64 young_lines(const char *text, u64 first_gfn, u64 pages)
{
	u64 gfn, count = 0;
	int young;

	for (; (text = strstr(text, "age: vm ")); text++)
		if (sscanf(text, "age: vm %*u gfn %lx-%*x young %d", &gfn, &young) == 2)
			count += young && gfn - first_gfn < pages;
	return count;
}

TEST_F(trace, aged_by_the_host)
{
	u8 *mem = vm_mem(self->vm, AGED_SIZE);
	const char *text;

	if (!swap_on())
		TEST_SKIP("no swap device");
	if (!reclaim_self(PAGE_4K))
		TEST_SKIP("no memory.reclaim in cgroup v2");
	agent_start(self->vcpu);
	agent_fill(self->vcpu, mem, AGED_SIZE, PAGE_4K, 1);
	ASSERT_EQ(0, host_write(CONTROL, "module umbra func shadow_age +p"));
	reclaim_self(AGED_SIZE / 8);
	text = kmsg_text(self->kmsg);
	EXPECT_LT(0, young_lines(text, (u64)mem / PAGE_4K, AGED_SIZE / PAGE_4K))
		TH_LOG("%lu bytes said", strlen(text));
	swap_off();
}

UMBRA_TEST_MAIN
