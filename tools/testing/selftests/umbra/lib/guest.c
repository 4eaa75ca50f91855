// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest code of the library, in C. It runs on the general registers only, so
 * that an exception handler leaves the FPU as it was.
 */
#include "guest.h"
#include "paging.h"

void guest_ucall(u64 cmd, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5)
{
	struct ucall uc;

	uc.cmd = cmd;
	uc.arg[0] = a0;
	uc.arg[1] = a1;
	uc.arg[2] = a2;
	uc.arg[3] = a3;
	uc.arg[4] = a4;
	uc.arg[5] = a5;
	asm volatile("outl %%eax, %%dx" : : "a" ((u32)(u64)&uc), "d" (UCALL_PORT) : "memory");
}

void guest_say_done(void)
{
	guest_ucall(UCALL_DONE, 0, 0, 0, 0, 0, 0);
}

void guest_set_handler(unsigned int vector, guest_handler_t fn)
{
	((__volatile__ guest_handler_t *)BOOT_HANDLERS)[vector] = fn;
}

void guest_dispatch(struct guest_frame *f)
{
	guest_handler_t fn = ((__volatile__ guest_handler_t *)BOOT_HANDLERS)[f->vector];
	const struct guest_extable *e;

	if (fn) {
		fn(f);
		return;
	}
	for (e = __start_guest_extable; e < __stop_guest_extable; e++) {
		if (e->insn != f->rip)
			continue;
		f->rip = e->fixup;
		f->r9 = f->vector;
		f->r10 = f->error;
		f->r11 = guest_read_cr2();
		return;
	}
	guest_ucall(UCALL_ABORT, (u64)"unexpected exception: vector, error code, rip, cr2", 0,
		    f->vector, f->error, f->rip, guest_read_cr2());
}
