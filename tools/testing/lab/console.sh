# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The verdict on a run: what the kernel said on its console counts for more than
# what the command said.

# The lines by which a kernel says that something is wrong with it.
COMPLAINTS='Kernel panic|\bOops\b|\bBUG\b|WARNING:|general protection fault|soft lockup|hard LOCKUP'
COMPLAINTS+='|rcu.*(detected stalls|self-detected stall)|INFO: task .* blocked for more'
COMPLAINTS+='|KASAN:|UBSAN:|ODEBUG:|Bad page|bad page|Bad rss-counter|refcount_t:|list_(add|del) corruption'
COMPLAINTS+='|possible (circular|recursive|irq) lock|inconsistent lock state|suspicious RCU usage'
COMPLAINTS+='|INVALID wait context|unsafe lock order|kmemleak: [1-9][0-9]* new suspected'
COMPLAINTS+='|Objects remaining in|still has objects|unchecked MSR access'

# complaints FILE: those lines, with the backtrace that follows each.
complaints()
{
	grep -aE -m 5 -A 40 "$COMPLAINTS" "$1"
}

keep_console()
{
	CONSOLE=${CONSOLE:-$CACHE/console.failed}
	tr -d '\r' <"$RUN/console" >"$CONSOLE"
	note "the console is in $CONSOLE"
}

# judge: end with the status of the run that HOST_STATUS and RUN describe.
judge()
{
	local status=''

	[ -z "$CONSOLE" ] || tr -d '\r' <"$RUN/console" >"$CONSOLE"
	[ ! -s "$RUN/status" ] || status=$(cat "$RUN/status")
	if complaints "$RUN/console" >"$RUN/complaints"; then
		tr -d '\r' <"$RUN/complaints" >&2
		keep_console
		note "the kernel complained (above); the command's status was ${status:-none}"
		exit 99
	fi
	if [ "$HOST_STATUS" = 124 ]; then
		tail -n 20 "$RUN/console" | tr -d '\r' >&2
		keep_console
		note "gave up after $TIMEOUT seconds; the console ends as above"
		exit 124
	fi
	[ -n "$status" ] && exit "$status"
	tail -n 20 "$RUN/console" "$RUN/emulator" | tr -d '\r' >&2
	keep_console
	note "the host ended before the command did (emulator status $HOST_STATUS)"
	exit 125
}
