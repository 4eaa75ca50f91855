/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that does one memory access after the other, as the host tells it.
 *
 * Most tests of guest memory are a conversation: the host changes something,
 * the guest looks, the host compares. The agent is the guest's half. Its
 * command block is in boot memory, which no test changes.
 */
#ifndef _UMBRA_TEST_AGENT_H
#define _UMBRA_TEST_AGENT_H

#include "vm.h"

/* What guest and host agree to find at an address, given a seed. */
static inline u64 pattern(const void *addr, u64 seed)
{
	return ((u64)addr ^ seed) * 0x9e3779b97f4a7c15UL;
}

/* The host's half of agent_fill() and agent_verify(). */
void host_fill(void *addr, size_t size, size_t stride, u64 seed);
u64 host_verify(const void *addr, size_t size, size_t stride, u64 seed);

/**
 * agent_start() - make @vcpu an agent
 */
void agent_start(struct vcpu *vcpu);

enum agent_op {
	AGENT_READ,
	AGENT_WRITE,
	AGENT_CALL,
	AGENT_FILL,
	AGENT_VERIFY,
	AGENT_XCHG_ADD,
};

/**
 * agent_post() - give the agent a command, without running it
 * @op: one of AGENT_*
 * @addr: guest virtual address
 * @size: of the access (1, 2, 4, 8) or of the range
 * @value: to write, to add, or the seed
 * @stride: bytes from one u64 of a range to the next
 */
void agent_post(struct vcpu *vcpu, enum agent_op op, const shared_void *addr, u64 size,
		u64 value, u64 stride);

/**
 * agent_wait() - run until the agent is through, and return its result
 */
u64 agent_wait(struct vcpu *vcpu);

/**
 * agent_result() - the result of the command that the agent has done last
 *
 * For a test that runs the vCPU itself.
 */
u64 agent_result(struct vcpu *vcpu);

/* Read, write or call; the result of a call is what the function returned. */
u64 agent_read(struct vcpu *vcpu, const shared_void *addr, int size);
void agent_write(struct vcpu *vcpu, shared_void *addr, int size, u64 value);
u64 agent_call(struct vcpu *vcpu, const void *code);

/**
 * agent_fill() - write pattern() into every @stride-th u64 of a range
 */
void agent_fill(struct vcpu *vcpu, void *addr, size_t size, size_t stride, u64 seed);

/**
 * agent_verify() - compare a range with pattern()
 *
 * Returns how many u64 differ.
 */
u64 agent_verify(struct vcpu *vcpu, const void *addr, size_t size, size_t stride, u64 seed);

/**
 * emit_return() - machine code: a function that returns @value
 * @at: where to write its 6 bytes
 */
void emit_return(void *at, u32 value);

#endif
