// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that runs; see guest.h.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

/* mfsrr0 r6, mfsrr1 r7, mfdar r4, mfdsisr r5, li r3 SAY_FAULT, sc 1; big-endian. */
static const uint32_t handler[] = {
	0x7cda02a6, 0x7cfb02a6, 0x7c9302a6, 0x7cb202a6, 0x38607001, 0x44000022,
};

void guest_segment(int vcpu)
{
	struct kvm_sregs sregs = {};

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs))
		exit(1);
	sregs.u.s.ppc64.slb[0].slbe = 1 << 27;
	sregs.u.s.ppc64.slb[0].slbv = SLB | (page_size > 4096 ? SLB_64K : 0);
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs))
		exit(1);
}

bool guest_open(struct hpt_guest *g, unsigned int order)
{
	static const uint64_t vectors[] = { 0x300, 0x400, 0x500, 0x900 };
	unsigned int v, i;

	hpt_vm_open(&g->vm, PAGES * 65536 / sysconf(_SC_PAGESIZE), order);
	if (!ioctl(g->vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_PPC_PAPR))
		return false;
	g->runner = g->vm.vcpu;
	g->run = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vm.vcpu, 0);
	if (g->run == MAP_FAILED)
		exit(1);
	guest_segment(g->vm.vcpu);
	for (v = 0; v < sizeof(vectors) / sizeof(*vectors); v++)
		for (i = 0; i < sizeof(handler) / sizeof(*handler); i++)
			((uint32_t *)(g->vm.mem + vectors[v]))[i] = __builtin_bswap32(handler[i]);
	return true;
}

int guest_end(struct hpt_guest *g)
{
	if (g->run)
		munmap(g->run, page_size);
	if (g->runner && g->runner != g->vm.vcpu)
		close(g->runner);
	return hpt_vm_end(&g->vm);
}

uint64_t page_index(struct hpt_guest *g, uint64_t ea)
{
	return hash_group(&g->vm, ea, SLB | (page_size > 4096 ? SLB_64K : 0), false);
}

long enter_page(struct hpt_guest *g, uint64_t ea, uint64_t gpa, uint64_t r)
{
	return h_enter(&g->vm, 0, page_index(g, ea),
		       hpte_v(ea, SLB) | (page_size > 4096 ? V_LARGE : 0),
		       gpa | r | (page_size > 4096 ? 0x1000 : 0), NULL);
}

void put_code(struct hpt_guest *g, const uint32_t *code, size_t len)
{
	memcpy(g->vm.mem + CODE, code, len);
	__builtin___clear_cache((char *)g->vm.mem + CODE, (char *)g->vm.mem + CODE + len);
}

int guest_run(struct hpt_guest *g)
{
	int ret;

	do {
		ret = ioctl(g->runner, KVM_RUN, 0);
	} while (ret && errno == EINTR);
	return ret ? -errno : (int)g->run->exit_reason;
}

int guest_start(struct hpt_guest *g, uint64_t msr)
{
	g->regs.pc = CODE;
	g->regs.msr = msr;
	if (ioctl(g->runner, KVM_SET_REGS, &g->regs))
		return -errno;
	return guest_run(g);
}

int guest_cedes(struct hpt_guest *g, uint64_t ticks)
{
	put_code(g, guest_cede, (char *)guest_cede_end - (char *)guest_cede);
	g->regs.gpr[5] = ticks;
	if (guest_start(g, MSR_REAL) != KVM_EXIT_PAPR_HCALL)
		return -1;
	return g->run->papr_hcall.nr;
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}
