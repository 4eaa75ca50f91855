// SPDX-License-Identifier: GPL-2.0-only
/*
 * The agent, both halves. See agent.h.
 */
#include <string.h>

#include "agent.h"
#include "paging.h"

#define AGENT_STAGE 0xa9e7

struct agent_cmd {
	u64 op, addr, size, value, stride, result;
};

static u64 access_read(u64 addr, u64 size)
{
	u64 v = 0;

	switch (size) {
	case 1:
		asm volatile("movb (%1), %b0" : "+r" (v) : "r" (addr) : "memory");
		break;
	case 2:
		asm volatile("movw (%1), %w0" : "+r" (v) : "r" (addr) : "memory");
		break;
	case 4:
		asm volatile("movl (%1), %k0" : "+r" (v) : "r" (addr) : "memory");
		break;
	default:
		asm volatile("movq (%1), %0" : "+r" (v) : "r" (addr) : "memory");
	}
	return v;
}

static void access_write(u64 addr, u64 size, u64 v)
{
	switch (size) {
	case 1:
		asm volatile("movb %b0, (%1)" : : "r" (v), "r" (addr) : "memory");
		break;
	case 2:
		asm volatile("movw %w0, (%1)" : : "r" (v), "r" (addr) : "memory");
		break;
	case 4:
		asm volatile("movl %k0, (%1)" : : "r" (v), "r" (addr) : "memory");
		break;
	default:
		asm volatile("movq %0, (%1)" : : "r" (v), "r" (addr) : "memory");
	}
}

static u64 agent_do(const struct agent_cmd *c)
{
	switch (c->op) {
	case AGENT_READ:
		return access_read(c->addr, c->size);
	case AGENT_WRITE:
		access_write(c->addr, c->size, c->value);
		return 0;
	case AGENT_CALL:
		return ((u64 (*)(void))c->addr)();
	case AGENT_FILL:
		host_fill((void *)c->addr, c->size, c->stride, c->value);
		return 0;
	case AGENT_VERIFY:
		return host_verify((void *)c->addr, c->size, c->stride, c->value);
	case AGENT_XCHG_ADD:
		return __atomic_fetch_add((u64 *)c->addr, c->value, __ATOMIC_SEQ_CST);
	}
	return ~0UL;
}

static void agent_main(void *arg)
{
	__volatile__ struct agent_cmd *c = arg;

	for (;;) {
		struct agent_cmd now = *c;

		c->result = agent_do(&now);
		GUEST_SYNC(AGENT_STAGE);
	}
}

/* These two run on either side. */
void host_fill(void *addr, size_t size, size_t stride, u64 seed)
{
	u8 *p;

	for (p = addr; p < (u8 *)addr + size; p += stride)
		GUEST_WRITE((u64 *)p, pattern(p, seed));
}

u64 host_verify(const void *addr, size_t size, size_t stride, u64 seed)
{
	const u8 *p;
	u64 bad = 0;

	for (p = addr; p < (const u8 *)addr + size; p += stride)
		bad += GUEST_READ((u64 *)p) != pattern(p, seed);
	return bad;
}

static u64 cmd_gpa(struct vcpu *vcpu)
{
	return BOOT_AGENTS + vcpu->id * sizeof(struct agent_cmd);
}

void agent_start(struct vcpu *vcpu)
{
	vcpu_start(vcpu, agent_main, (void *)cmd_gpa(vcpu));
}

void agent_post(struct vcpu *vcpu, enum agent_op op, const shared_void *addr, u64 size,
		u64 value, u64 stride)
{
	*(struct agent_cmd *)boot_hva(vcpu->vm, cmd_gpa(vcpu)) = (struct agent_cmd) {
		.op = op, .addr = (u64)addr, .size = size, .value = value, .stride = stride,
	};
}

u64 agent_wait(struct vcpu *vcpu)
{
	vcpu_sync(vcpu, AGENT_STAGE);
	return agent_result(vcpu);
}

u64 agent_result(struct vcpu *vcpu)
{
	return ((struct agent_cmd *)boot_hva(vcpu->vm, cmd_gpa(vcpu)))->result;
}

u64 agent_read(struct vcpu *vcpu, const shared_void *addr, int size)
{
	agent_post(vcpu, AGENT_READ, addr, size, 0, 0);
	return agent_wait(vcpu);
}

void agent_write(struct vcpu *vcpu, shared_void *addr, int size, u64 value)
{
	agent_post(vcpu, AGENT_WRITE, addr, size, value, 0);
	agent_wait(vcpu);
}

u64 agent_call(struct vcpu *vcpu, const void *code)
{
	agent_post(vcpu, AGENT_CALL, code, 0, 0, 0);
	return agent_wait(vcpu);
}

void agent_fill(struct vcpu *vcpu, void *addr, size_t size, size_t stride, u64 seed)
{
	agent_post(vcpu, AGENT_FILL, addr, size, seed, stride);
	agent_wait(vcpu);
}

u64 agent_verify(struct vcpu *vcpu, const void *addr, size_t size, size_t stride, u64 seed)
{
	agent_post(vcpu, AGENT_VERIFY, addr, size, seed, stride);
	return agent_wait(vcpu);
}

/* mov $value, %eax; ret */
void emit_return(void *at, u32 value)
{
	u8 *code = at;

	code[0] = 0xb8;
	memcpy(code + 1, &value, sizeof(value));
	code[5] = 0xc3;
}
