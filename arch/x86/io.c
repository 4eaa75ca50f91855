// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port IO and MMIO: the guest's accesses that userspace answers, by KVM's protocol.
 *
 * A plain IN or OUT needs no emulator: OUT is done when it exits, IN is completed at
 * the next KVM_RUN. Everything else goes by the emulator's restart rule: what it needs
 * to read is asked for in an exit and noted, and the instruction starts over; what
 * it writes is noted and shown in exits of its own when the instruction, or some
 * iterations of a string, are committed. Outputs are always shown before the next
 * input is asked for, so userspace sees program order.
 *
 * Invariants
 * - Notes of reads live until their instruction or iteration is committed.
 * - While outputs wait to be shown, everything behind them waits too.
 * - An answer belongs to the instruction at io->rip. When userspace has moved the
 *   guest elsewhere, the answer is dropped.
 *
 * What userspace writes into kvm_run is data only: all sizes and counts are kept in
 * struct umbra_x86_io.
 */
#include <linux/string.h>

#include "irqchip.h"

/* An exit for @count items in pio_data, from the @pos-th on. */
static int exit_pio(struct umbra_vcpu *vcpu, bool in, unsigned int pos, unsigned int count)
{
	const struct umbra_x86_io *io = &vcpu->arch.io;
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = io->size;
	run->io.port = io->port;
	run->io.count = count;
	run->io.data_offset = KVM_PIO_PAGE_OFFSET * PAGE_SIZE + pos * io->size;
	vcpu->stat.io_exits++;
	return UMBRA_RUN_USER;
}

static int exit_mmio(struct umbra_vcpu *vcpu, const struct umbra_x86_mmio *note,
		     bool write)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = note->gpa;
	run->mmio.len = note->len;
	run->mmio.is_write = write;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (write)
		memcpy(run->mmio.data, note->data, note->len);
	vcpu->stat.mmio_exits++;
	return UMBRA_RUN_USER;
}

/* Writing 4 bytes clears the upper half of RAX; fewer leave the rest alone. */
static void set_rax(struct umbra_vcpu *vcpu, const void *val, u8 size)
{
	u64 *rax = &vcpu->arch.regs[UMBRA_RAX];

	if (size == 4)
		*rax = 0;
	memcpy(rax, val, size);
}

/* Is it a port of a device in the kernel? Then it is done. */
static bool kernel_port(struct umbra_vcpu *vcpu, u16 port, u8 size, bool in)
{
	u32 val = vcpu->arch.regs[UMBRA_RAX];

	if (!umbra_irqchip_pio(vcpu, port, &val, size, in))
		return false;
	if (in)
		set_rax(vcpu, &val, size);
	return true;
}

/**
 * umbra_io_port() - IN or OUT of one item
 * @vcpu: the vCPU; may be in the inner section
 * @port: the port
 * @size: 1, 2 or 4 bytes
 * @in: direction
 * @next_rip: behind the instruction
 *
 * Return: UMBRA_RUN_USER; UMBRA_RUN_AGAIN when the kernel has answered, or taken it.
 */
int umbra_io_port(struct umbra_vcpu *vcpu, u16 port, u8 size, bool in, u64 next_rip)
{
	struct umbra_arch_vcpu *arch = &vcpu->arch;
	struct umbra_x86_io *io = &arch->io;

	if (unlikely(umbra_irqchip_full(vcpu->vm)) && kernel_port(vcpu, port, size, in)) {
		umbra_advance(vcpu, next_rip);
		return UMBRA_RUN_AGAIN;
	}
	io->port = port;
	io->size = size;
	if (in) {
		io->completion = UMBRA_COMPLETE_IN;
		io->rip = arch->rip;
		io->next_rip = next_rip;
		memset(vcpu->pio_data, 0, size);
	} else {
		memcpy(vcpu->pio_data, &arch->regs[UMBRA_RAX], size);
		umbra_advance(vcpu, next_rip);
		if (umbra_bus_write(vcpu->vm, true, port, &arch->regs[UMBRA_RAX], size))
			return UMBRA_RUN_AGAIN;
	}
	return exit_pio(vcpu, in, 0, 1);
}

static void complete_in(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_io *io = &vcpu->arch.io;

	if (vcpu->arch.rip != io->rip)
		return;
	set_rax(vcpu, vcpu->pio_data, io->size);
	umbra_advance(vcpu, io->next_rip);
}

/* Port output, in one exit; item by item where the kernel may take some of it. */
static int show_pio(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_io *io = &vcpu->arch.io;
	bool split = umbra_bus_has(vcpu->vm, true, io->port);

	while (io->out_pos < io->out_count) {
		unsigned int pos = io->out_pos;
		u64 item = 0;

		if (!split) {
			io->out_pos = io->out_count;
			return exit_pio(vcpu, false, pos, io->out_count - pos);
		}
		io->out_pos++;
		memcpy(&item, vcpu->pio_data + pos * io->size, io->size);
		if (!umbra_bus_write(vcpu->vm, true, io->port, &item, io->size))
			return exit_pio(vcpu, false, pos, 1);
	}
	io->out_count = 0;
	io->out_done = 0;
	io->out_pos = 0;
	return UMBRA_RUN_AGAIN;
}

/* Show the next output that is committed; UMBRA_RUN_AGAIN when there is none. */
static int show_output(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_io *io = &vcpu->arch.io;

	while (io->write_pos < io->nr_writes) {
		const struct umbra_x86_mmio *note = &io->writes[io->write_pos++];

		if (!umbra_bus_write(vcpu->vm, false, note->gpa, note->data, note->len))
			return exit_mmio(vcpu, note, true);
	}
	io->nr_writes = 0;
	io->write_pos = 0;
	io->writes_done = 0;
	return show_pio(vcpu);
}

/* Ask for the input that the instruction stopped at. */
static int ask_input(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_io *io = &vcpu->arch.io;

	if (io->waiting == UMBRA_WAIT_MMIO)
		return exit_mmio(vcpu, &io->reads[io->nr_reads], false);
	memset(vcpu->pio_data, 0, io->in_count * io->size);
	return exit_pio(vcpu, true, 0, io->in_count);
}

static void take_input(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_io *io = &vcpu->arch.io;

	if (io->waiting == UMBRA_WAIT_MMIO)
		memcpy(io->reads[io->nr_reads++].data, vcpu->run->mmio.data, 8);
	io->waiting = UMBRA_WAIT_NONE;
}

static void forget(struct umbra_x86_io *io)
{
	io->waiting = UMBRA_WAIT_NONE;
	io->asked = false;
	io->nr_reads = 0;
	io->read_pos = 0;
	io->in_count = 0;
	io->in_pos = 0;
	io->in_done = 0;
}

/**
 * umbra_io_complete() - go on with what the last exit asked of userspace
 * @vcpu: the vCPU, at the start of KVM_RUN
 *
 * Return: UMBRA_RUN_AGAIN when nothing is left to do, UMBRA_RUN_USER for another exit,
 * or a negative errno.
 */
int umbra_io_complete(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_io *io = &vcpu->arch.io;
	int r;

	switch (io->completion) {
	case UMBRA_COMPLETE_NONE:
		return UMBRA_RUN_AGAIN;
	case UMBRA_COMPLETE_IN:
		io->completion = UMBRA_COMPLETE_NONE;
		complete_in(vcpu);
		return UMBRA_RUN_AGAIN;
	case UMBRA_COMPLETE_RDMSR:
	case UMBRA_COMPLETE_WRMSR:
		r = io->completion == UMBRA_COMPLETE_WRMSR;
		io->completion = UMBRA_COMPLETE_NONE;
		return umbra_msr_answered(vcpu, r);
	default:
		break;
	}
	r = show_output(vcpu);
	if (r)
		return r;
	io->completion = UMBRA_COMPLETE_NONE;
	if (!io->waiting)
		return UMBRA_RUN_AGAIN;
	if (vcpu->arch.rip != io->rip) {
		forget(io);
		return UMBRA_RUN_AGAIN;
	}
	if (!io->asked) {
		io->asked = true;
		io->completion = UMBRA_COMPLETE_EMUL;
		return ask_input(vcpu);
	}
	take_input(vcpu);
	io->asked = false;
	r = umbra_emulate_again(vcpu);
	return r == UMBRA_RUN_RAISED ? UMBRA_RUN_AGAIN : r;
}

/**
 * umbra_io_begin() - the emulator is about to run the instruction at RIP
 * @vcpu: the vCPU
 */
void umbra_io_begin(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_io *io = &vcpu->arch.io;

	if (io->rip != vcpu->arch.rip)
		forget(io);
	io->rip = vcpu->arch.rip;
	io->read_pos = 0;
	io->in_pos = io->in_done;
}

/* An iteration of a string is committed, or the whole instruction. */
void umbra_io_commit(struct umbra_vcpu *vcpu)
{
	struct umbra_x86_io *io = &vcpu->arch.io;

	io->nr_reads = 0;
	io->read_pos = 0;
	io->in_done = io->in_pos;
	io->writes_done = io->nr_writes;
	io->out_done = io->out_count;
}

/**
 * umbra_io_end() - the emulator stopped
 * @vcpu: the vCPU
 * @result: enum umbra_emul_result
 *
 * Output of what was not committed is dropped. Input is kept for an instruction that
 * starts over; port input also for a string that faulted in the middle, because the
 * port's side has given it away.
 *
 * Return: UMBRA_RUN_USER when something has to be shown or asked, else
 * UMBRA_RUN_AGAIN.
 */
int umbra_io_end(struct umbra_vcpu *vcpu, int result)
{
	struct umbra_x86_io *io = &vcpu->arch.io;
	int r;

	if (result == UMBRA_EMUL_OK) {
		umbra_io_commit(vcpu);
		forget(io);
	} else if (result == UMBRA_EMUL_FAULT || result == UMBRA_EMUL_UNHANDLEABLE) {
		io->nr_reads = 0;
	}
	io->nr_writes = io->writes_done;
	io->out_count = io->out_done;
	r = show_output(vcpu);
	if (!r && io->waiting) {
		io->asked = true;
		r = ask_input(vcpu);
	}
	if (r)
		io->completion = UMBRA_COMPLETE_EMUL;
	return r;
}

/* Does a string that stopped for a breath have port input left to store? */
bool umbra_io_has_input(struct umbra_vcpu *vcpu)
{
	return vcpu->arch.io.in_done < vcpu->arch.io.in_count;
}

/**
 * umbra_io_mmio_read() - the emulator reads what is not memory
 * @vcpu: the vCPU
 * @gpa: guest physical address
 * @val: result
 * @len: 1 to 8 bytes
 *
 * Return: UMBRA_EMUL_OK when userspace has answered, UMBRA_EMUL_IO_NEEDED when it
 * is to be asked, UMBRA_EMUL_UNHANDLEABLE when one instruction reads too much.
 */
int umbra_io_mmio_read(struct umbra_vcpu *vcpu, gpa_t gpa, void *val, unsigned int len)
{
	struct umbra_x86_io *io = &vcpu->arch.io;
	struct umbra_x86_mmio *note = &io->reads[io->read_pos];

	if (umbra_has_lapic(vcpu) && umbra_irqchip_mmio(vcpu, gpa, val, len, false))
		return UMBRA_EMUL_OK;
	if (io->read_pos < io->nr_reads && note->gpa == gpa && note->len == len) {
		memcpy(val, note->data, len);
		io->read_pos++;
		return UMBRA_EMUL_OK;
	}
	if (io->read_pos >= UMBRA_MMIO_NOTES)
		return UMBRA_EMUL_UNHANDLEABLE;
	/* What was noted from here on is for other accesses: the guest changed them. */
	io->nr_reads = io->read_pos;
	note->gpa = gpa;
	note->len = len;
	io->waiting = UMBRA_WAIT_MMIO;
	return UMBRA_EMUL_IO_NEEDED;
}

/**
 * umbra_io_mmio_write() - the emulator writes what is not memory
 * @vcpu: the vCPU
 * @gpa: guest physical address
 * @val: the bytes
 * @len: 1 to 8
 *
 * Return: UMBRA_EMUL_OK when noted; UMBRA_EMUL_IO_NEEDED when there is no room, or
 * port output has to be shown before.
 */
int umbra_io_mmio_write(struct umbra_vcpu *vcpu, gpa_t gpa, const void *val,
			unsigned int len)
{
	struct umbra_x86_io *io = &vcpu->arch.io;
	struct umbra_x86_mmio *note;

	if (umbra_has_lapic(vcpu) && umbra_irqchip_mmio(vcpu, gpa, (void *)val, len, true))
		return UMBRA_EMUL_OK;
	if (io->nr_writes >= UMBRA_MMIO_NOTES || io->out_count)
		return io->writes_done || io->out_done ? UMBRA_EMUL_IO_NEEDED :
							 UMBRA_EMUL_UNHANDLEABLE;
	note = &io->writes[io->nr_writes++];
	note->gpa = gpa;
	note->len = len;
	memcpy(note->data, val, len);
	return UMBRA_EMUL_OK;
}

/**
 * umbra_io_pio_in() - the emulator reads a port
 * @vcpu: the vCPU
 * @port: the port
 * @val: result
 * @size: 1, 2 or 4 bytes
 * @ahead: how many items the instruction will read, this one included
 *
 * Return: UMBRA_EMUL_OK, or UMBRA_EMUL_IO_NEEDED when userspace is to be asked.
 */
int umbra_io_pio_in(struct umbra_vcpu *vcpu, u16 port, void *val, unsigned int size,
		    unsigned int ahead)
{
	struct umbra_x86_io *io = &vcpu->arch.io;

	if (umbra_irqchip_full(vcpu->vm) && umbra_irqchip_pio(vcpu, port, val, size, true))
		return UMBRA_EMUL_OK;
	if (io->in_pos < io->in_count && io->port == port && io->size == size) {
		memcpy(val, vcpu->pio_data + io->in_pos * size, size);
		io->in_pos++;
		return UMBRA_EMUL_OK;
	}
	/* Output waits in the same page: show it first. */
	if (io->out_count)
		return UMBRA_EMUL_IO_NEEDED;
	io->port = port;
	io->size = size;
	io->in_count = min_t(unsigned int, ahead, PAGE_SIZE / size);
	io->in_pos = 0;
	io->in_done = 0;
	io->waiting = UMBRA_WAIT_PIO;
	return UMBRA_EMUL_IO_NEEDED;
}

/**
 * umbra_io_pio_out() - the emulator writes a port
 * @vcpu: the vCPU
 * @port: the port
 * @val: the item
 * @size: 1, 2 or 4 bytes
 *
 * Return: UMBRA_EMUL_OK when noted; UMBRA_EMUL_IO_NEEDED when what was noted has to
 * be shown first.
 */
int umbra_io_pio_out(struct umbra_vcpu *vcpu, u16 port, const void *val,
		     unsigned int size)
{
	struct umbra_x86_io *io = &vcpu->arch.io;

	if (umbra_irqchip_full(vcpu->vm) &&
	    umbra_irqchip_pio(vcpu, port, (void *)val, size, false))
		return UMBRA_EMUL_OK;
	if (io->out_count && (io->port != port || io->size != size ||
			      io->out_count >= PAGE_SIZE / size))
		return UMBRA_EMUL_IO_NEEDED;
	if (io->nr_writes)
		return UMBRA_EMUL_IO_NEEDED;
	io->port = port;
	io->size = size;
	memcpy(vcpu->pio_data + io->out_count * size, val, size);
	io->out_count++;
	return UMBRA_EMUL_OK;
}
