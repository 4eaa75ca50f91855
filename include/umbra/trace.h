/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints umbra:*. vm is the number of the VM as dmesg and debugfs show it.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM umbra

#if !defined(_UMBRA_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _UMBRA_TRACE_H

#include <linux/tracepoint.h>
#include <umbra/types.h>

/* A guest access without a translation reached the shared fault path. */
TRACE_EVENT(umbra_fault,
	    TP_PROTO(unsigned int vm, gpa_t gpa, bool write, bool exec, bool present),
	    TP_ARGS(vm, gpa, write, exec, present),
	    TP_STRUCT__entry(__field(u64, gpa)
			     __field(unsigned int, vm)
			     __field(bool, write)
			     __field(bool, exec)
			     __field(bool, present)),
	    TP_fast_assign(__entry->gpa = gpa;
			   __entry->vm = vm;
			   __entry->write = write;
			   __entry->exec = exec;
			   __entry->present = present;),
	    TP_printk("vm %u gpa %llx %s %s", __entry->vm, __entry->gpa,
		      __entry->exec ? "fetch" : __entry->write ? "write" : "read",
		      __entry->present ? "denied" : "absent")
);

/* A leaf spte was installed or changed. */
TRACE_EVENT(umbra_map,
	    TP_PROTO(unsigned int vm, gfn_t gfn, int level, u64 spte, bool write),
	    TP_ARGS(vm, gfn, level, spte, write),
	    TP_STRUCT__entry(__field(u64, gfn)
			     __field(u64, spte)
			     __field(unsigned int, vm)
			     __field(int, level)
			     __field(bool, write)),
	    TP_fast_assign(__entry->gfn = gfn;
			   __entry->spte = spte;
			   __entry->vm = vm;
			   __entry->level = level;
			   __entry->write = write;),
	    TP_printk("vm %u gfn %llx level %d spte %llx %s", __entry->vm, __entry->gfn,
		      __entry->level, __entry->spte, __entry->write ? "rw" : "ro")
);

/* A leaf spte was removed; spte is what stood there. */
TRACE_EVENT(umbra_zap,
	    TP_PROTO(unsigned int vm, gfn_t gfn, int level, u64 spte),
	    TP_ARGS(vm, gfn, level, spte),
	    TP_STRUCT__entry(__field(u64, gfn)
			     __field(u64, spte)
			     __field(unsigned int, vm)
			     __field(int, level)),
	    TP_fast_assign(__entry->gfn = gfn;
			   __entry->spte = spte;
			   __entry->vm = vm;
			   __entry->level = level;),
	    TP_printk("vm %u gfn %llx level %d spte %llx", __entry->vm, __entry->gfn,
		      __entry->level, __entry->spte)
);

/* The host asked whether [start, end) was accessed. */
TRACE_EVENT(umbra_age,
	    TP_PROTO(unsigned int vm, gfn_t start, gfn_t end, bool young),
	    TP_ARGS(vm, start, end, young),
	    TP_STRUCT__entry(__field(u64, start)
			     __field(u64, end)
			     __field(unsigned int, vm)
			     __field(bool, young)),
	    TP_fast_assign(__entry->start = start;
			   __entry->end = end;
			   __entry->vm = vm;
			   __entry->young = young;),
	    TP_printk("vm %u gfn [%llx, %llx) %s", __entry->vm, __entry->start,
		      __entry->end, __entry->young ? "young" : "old")
);

/* What a fault had looked up was stale: it looks again. */
TRACE_EVENT(umbra_retry,
	    TP_PROTO(unsigned int vm, gfn_t gfn, unsigned long seq),
	    TP_ARGS(vm, gfn, seq),
	    TP_STRUCT__entry(__field(u64, gfn)
			     __field(unsigned long, seq)
			     __field(unsigned int, vm)),
	    TP_fast_assign(__entry->gfn = gfn;
			   __entry->seq = seq;
			   __entry->vm = vm;),
	    TP_printk("vm %u gfn %llx seq %lu", __entry->vm, __entry->gfn, __entry->seq)
);

/* The guest was left; reason and info1, info2 are the hardware's own. */
TRACE_EVENT(umbra_exit,
	    TP_PROTO(unsigned int vcpu, u64 reason, u64 rip, u64 info1, u64 info2),
	    TP_ARGS(vcpu, reason, rip, info1, info2),
	    TP_STRUCT__entry(__field(u64, reason)
			     __field(u64, rip)
			     __field(u64, info1)
			     __field(u64, info2)
			     __field(unsigned int, vcpu)),
	    TP_fast_assign(__entry->reason = reason;
			   __entry->rip = rip;
			   __entry->info1 = info1;
			   __entry->info2 = info2;
			   __entry->vcpu = vcpu;),
	    TP_printk("vcpu %u reason %llx rip %llx info1 %llx info2 %llx", __entry->vcpu,
		      __entry->reason, __entry->rip, __entry->info1, __entry->info2)
);

/* The dirty log handed out the pages of mask, bit 0 being gfn. */
TRACE_EVENT(umbra_dirty,
	    TP_PROTO(unsigned int vm, unsigned int slot, gfn_t gfn, unsigned long mask),
	    TP_ARGS(vm, slot, gfn, mask),
	    TP_STRUCT__entry(__field(u64, gfn)
			     __field(unsigned long, mask)
			     __field(unsigned int, vm)
			     __field(unsigned int, slot)),
	    TP_fast_assign(__entry->gfn = gfn;
			   __entry->mask = mask;
			   __entry->vm = vm;
			   __entry->slot = slot;),
	    TP_printk("vm %u slot %u gfn %llx mask %lx", __entry->vm, __entry->slot,
		      __entry->gfn, __entry->mask)
);

/* A run of the audit is over. */
TRACE_EVENT(umbra_audit,
	    TP_PROTO(unsigned int vm, u64 violations),
	    TP_ARGS(vm, violations),
	    TP_STRUCT__entry(__field(u64, violations)
			     __field(unsigned int, vm)),
	    TP_fast_assign(__entry->violations = violations;
			   __entry->vm = vm;),
	    TP_printk("vm %u violations %llu", __entry->vm, __entry->violations)
);

#endif

/* Found by the module's own -I, not beside the kernel's trace headers. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH umbra
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
