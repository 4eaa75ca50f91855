# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A guest under stock QEMU, for what runs in the emulated host: starting it, speaking to
# its init and to QEMU's monitor, troubling its memory, and test points in KTAP.
#
# A guest has a NAME, a cgroup and a directory of its own, $RUN/NAME:
#	console		what its first serial line says
#	agent.in, .out	its second serial line, on which init takes commands; agent: what it said
#	mon.in, .out	QEMU's monitor; mon: what it said
#	pid, log	of QEMU
#	audits, unmapped, before.KIND	what trouble() has seen, and host_figure() before

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=$(dirname "$HERE")
RUN=$(mktemp -d /tmp/qemu.XXXXXX)
POINT=0

# Whoever is slow here is an emulated CPU on a busy machine.
PATIENCE=${PATIENCE:-240}

# In each round of work, its seconds, and how often those sleep who count timer ticks.
ROUND=${ROUND:-1}
TICKS=${TICKS:-300}

# What every guest's kernel is told. A CPU that stands still on such a machine is no lockup.
LINUX="console=ttyS0 quiet panic=-1 watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120"

# plan N: how many test points follow
plan()
{
	echo "TAP version 13"
	echo "1..$1"
}

# point STATUS NAME: one test point
point()
{
	local word=ok

	[ "$1" = 0 ] || word="not ok"
	POINT=$((POINT + 1))
	echo "$word $POINT $2"
}

# test_point NAME FUNCTION [ARG...]: FUNCTION with a fresh start, and all it started ended.
test_point()
{
	local name=$1 status guest

	shift
	("$@")
	status=$?
	for guest in "$RUN"/*/; do
		[ -d "$guest" ] || continue
		[ "$status" = 0 ] || show "$(basename "$guest")"
		guest_kill "$(basename "$guest")"
	done
	rm -rf "${RUN:?}"/*
	point "$status" "$name"
}

# show NAME: what a guest left, as comments
show()
{
	local file

	for file in log console; do
		tail -n 25 "$RUN/$1/$file" 2>/dev/null | tr -d '\r' | sed "s/^/# $1 $file: /"
	done
}

# qemu_of VERSION: sets QEMU to the command that runs that QEMU from the cache.
qemu_of()
{
	local dir=$CACHE/qemu lib

	[ "$1" = 10.0 ] || dir=$CACHE/qemu-$1
	lib=$dir/lib/x86_64-linux-gnu:$dir/usr/lib/x86_64-linux-gnu
	export QEMU_MODULE_DIR=$dir/usr/lib/x86_64-linux-gnu/qemu
	QEMU=("$dir/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$lib"
		"$dir/usr/bin/qemu-system-x86_64" -L "$dir/usr/share/qemu"
		-L "$dir/usr/share/seabios" -L "$dir/usr/lib/ipxe/qemu")
}

# guest_start NAME ARG...: QEMU of version $VERSION, without any device but what ARGs say
guest_start()
{
	local dir=$RUN/$1 fifo

	shift
	mkdir -p "$dir" "$(cgroup_of "$dir")"
	for fifo in agent.in agent.out mon.in mon.out; do
		mkfifo "$dir/$fifo"
	done
	qemu_of "$VERSION"
	# Nobody waits for the other end of a pipe, and none of it is lost.
	cat <>"$dir/agent.out" >"$dir/agent" &
	echo $! >"$dir/readers"
	cat <>"$dir/mon.out" >"$dir/mon" &
	echo $! >>"$dir/readers"
	(
		echo $BASHPID >"$(cgroup_of "$dir")/cgroup.procs"
		exec "${QEMU[@]}" -nodefaults -no-user-config -display none "$@" \
			-serial "file:$dir/console" -serial "pipe:$dir/agent" \
			-chardev "pipe,id=mon,path=$dir/mon" -mon "chardev=mon,mode=readline"
	) >"$dir/log" 2>&1 </dev/null &
	echo $! >"$dir/pid"
	# No word about its end.
	disown
}

# The cgroup of the guest with directory DIR.
cgroup_of()
{
	echo "/sys/fs/cgroup/guest-$(basename "$1")"
}

guest_kill()
{
	local cgroup

	kill -9 "$(cat "$RUN/$1/pid")" 2>/dev/null
	until ended "$1"; do
		sleep 0.1
	done
	xargs kill <"$RUN/$1/readers" 2>/dev/null
	cgroup=$(cgroup_of "$1")
	until rmdir "$cgroup" 2>/dev/null || [ ! -d "$cgroup" ]; do
		sleep 0.1
	done
}

# fail TEXT: end the test point
fail()
{
	echo "# $*"
	exit 1
}

# await WHAT COMMAND...: until COMMAND succeeds
await()
{
	local what=$1 end=$((SECONDS + PATIENCE))

	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || fail "$what did not come in $PATIENCE s"
		sleep 0.2
	done
}

# says NAME REGEX [N]: has the console (at least N) such lines?
says()
{
	local n

	n=$(grep -acsE "$2" "$RUN/$1/console")
	[ "${n:-0}" -ge "${3:-1}" ]
}

# await_console NAME REGEX [N]: that the console has them; a QEMU that ends is a failure
await_console()
{
	await "'$2' on the console of $1" says_or_ended "$@"
}

says_or_ended()
{
	says "$@" && return
	! ended "$1" || { says "$@" && return; fail "QEMU of $1 has ended"; }
	return 1
}

# tell NAME COMMAND: have init run COMMAND, without waiting for its end
tell()
{
	echo "$2" >"$RUN/$1/agent.in"
}

# answered NAME N: has init done N commands?
answered()
{
	[ "$(grep -ac '^@@ ' "$RUN/$1/agent")" -ge "$2" ] && return
	! ended "$1" || fail "QEMU of $1 has ended"
	return 1
}

# ask NAME COMMAND: have init run COMMAND; its output is printed, its status returned
ask()
{
	local agent=$RUN/$1/agent lines done

	lines=$(wc -l <"$agent")
	done=$(grep -ac '^@@ ' "$agent")
	tell "$1" "$2"
	await "an answer to '$2'" answered "$1" $((done + 1))
	tail -n +$((lines + 1)) "$agent" | grep -av '^@@ ' | tr -d '\r' | sed 's/^/# /'
	return "$(grep -a '^@@ ' "$agent" | tail -n 1 | tr -d '\r' | cut -d' ' -f2)"
}

# monitor NAME COMMAND: of QEMU's monitor
monitor()
{
	echo "$2" >"$RUN/$1/mon.in"
}

# monitor_says NAME COMMAND REGEX: does COMMAND say so?
monitor_says()
{
	local lines

	lines=$(wc -l <"$RUN/$1/mon")
	monitor "$1" "$2"
	sleep 0.3
	tail -n +$((lines + 1)) "$RUN/$1/mon" | tr -d '\r' | grep -aqE "$3"
}

# machine NAME ARG...: a guest of Debian's 6.1 kernel that takes commands
machine()
{
	guest_start "$@" -m 192 -cpu host -kernel "$(kernel_image 6.1)" -initrd "$HERE/guest.cpio" \
		-append "$LINUX agent"
}

# powers_off NAME CPUS: it has booted, and ends
powers_off()
{
	await "the end of QEMU" ended "$1"
	tr -d '\r' <"$RUN/$1/console" | grep -a 'guest: init' | sed 's/^/# /'
	says "$1" "guest: init of .* on $2 CPUs" || fail "the guest's init has said nothing"
	complaints "$1"
}

# works NAME CPUS: it boots, checks its memory and powers off
works()
{
	powers_off "$@"
	says "$1" "guest: memcheck ended with 0" || fail "the memory checker has found something"
}

# complaints NAME: a failure when the guest's kernel or memcheck complained
complaints()
{
	! says "$1" 'BUG|Oops|Call Trace|panic|WRONG' || fail "the guest complained"
}

# host_figure KIND: the number that grows when the host does this to somebody's memory
host_figure()
{
	case $1 in
	reclaim) vmstat pswpout ;;
	migrate) vmstat pgmigrate_success ;;
	compact) vmstat compact_isolated ;;
	split) vmstat thp_split_page ;;
	collapse) cat /sys/kernel/mm/transparent_hugepage/khugepaged/pages_collapsed ;;
	# Pages that were one with another when somebody wrote to them.
	merge) vmstat cow_ksm ;;
	esac
}

vmstat()
{
	awk -v name="$1" '$1 == name { print $2 }' /proc/vmstat
}

# host_did NAME KIND: how often, since trouble() began
host_did()
{
	echo $(($(host_figure "$2") - $(cat "$RUN/$1/before.$2")))
}

# swap_ready: swap space on the host's own disk
swap_ready()
{
	grep -q ^/dev/vda /proc/swaps && return
	mkswap /dev/vda >/dev/null && swapon /dev/vda
}

# trouble NAME KIND...: whatever a host does to memory, done to the guest's without pause,
# until QEMU ends or trouble_over(). Kinds: those of host_figure().
trouble()
{
	local dir=$RUN/$1 kind

	swap_ready || fail "no swap space"
	rm -f "$dir/trouble_ends"
	for kind in "${@:2}"; do
		host_figure "$kind" >"$dir/before.$kind"
	done
	(
		cgroup=$(cgroup_of "$dir")
		shift
		while [ ! -e "$dir/trouble_ends" ] && ! ended "$(basename "$dir")"; do
			for kind; do
				trouble_once "$kind" "$cgroup"
				cat /sys/kernel/debug/umbra/*-*/audit >>"$dir/audits"
				cat /sys/kernel/debug/umbra/*-*/unmapped >>"$dir/unmapped"
			done
			sleep 0.3
		done
	) >/dev/null 2>&1 &
	echo $! >"$dir/troubler"
}

trouble_once()
{
	case $1 in
	reclaim) echo 16M >"$2/memory.reclaim" ;;
	migrate)
		echo $((RANDOM % 2)) >"$2/cpuset.mems"
		;;
	compact) echo 1 >/proc/sys/vm/compact_memory ;;
	split) echo 1 >/sys/kernel/debug/split_huge_pages ;;
	collapse)
		echo 20 >/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs
		echo 20 >/sys/kernel/mm/transparent_hugepage/khugepaged/alloc_sleep_millisecs
		;;
	merge)
		echo 2000 >/sys/kernel/mm/ksm/pages_to_scan
		echo 1 >/sys/kernel/mm/ksm/run
		;;
	esac
}

# works_in_trouble NAME KIND...: all loads work in the guest until the host has done each of
# these, and has taken something back, however slow it is
works_in_trouble()
{
	local dir=$RUN/$1 name=$1 end=$((SECONDS + PATIENCE))

	trouble "$@"
	shift
	until host_has_done "$name" "$@"; do
		ask "$name" "work $ROUND $TICKS" || fail "the guest has found something"
		[ $SECONDS -lt $end ] || fail "the host has not done its part in $PATIENCE s"
	done
	trouble_over "$name" "$@"
	complaints "$name"
}

# host_has_done NAME KIND...: has the host done each, and taken something back?
host_has_done()
{
	local kind

	for kind in "${@:2}"; do
		[ "$(host_did "$1" "$kind")" -gt 0 ] || return
	done
	grep -qs '^[1-9]' "$RUN/$1/unmapped"
}

# trouble_over NAME KIND...: ... has ended; a failure when it has taken nothing, or an audit
# has found something
trouble_over()
{
	local dir=$RUN/$1 kind

	touch "$dir/trouble_ends"
	while kill -0 "$(cat "$dir/troubler")" 2>/dev/null; do
		sleep 0.1
	done
	echo "# $(grep -c ^violations "$dir/audits") audits, $(sort -n "$dir/unmapped" | tail -n 1) mappings" \
		"taken back; the host:$(for kind in "${@:2}"; do echo -n " $kind $(host_did "$1" "$kind")"; done)"
	grep -q '^violations' "$dir/audits" || fail "there was no audit"
	! grep '^violations [^0]' "$dir/audits" || fail "the audit has found something"
	grep -q '^[1-9]' "$dir/unmapped" || fail "the host has taken nothing back"
}

# killed NAME SECONDS: QEMU is, a second from now or within SECONDS more, while the guest works
# and the host takes its memory; nothing of it may stay in the module.
killed()
{
	local after=$((RANDOM % $2 + 1)).$((RANDOM % 10))

	trouble "$1" migrate reclaim split
	tell "$1" "work 600 100000"
	sleep "$after"
	ended "$1" && fail "QEMU of $1 has ended"
	echo "# killed after $after s"
	guest_kill "$1"
	nothing_stays
}

# nothing_stays: of any guest, in the module. The process may still be busy with its end.
nothing_stays()
{
	await "an empty module" nothing_counted
}

nothing_counted()
{
	[ "$(cat /sys/module/umbra/refcnt)" = 0 ] &&
		awk '/^refs_taken/ { refs += $2; next } /^refs_released/ { refs -= $2; next }
			$2 { bad = 1 } END { exit bad || refs || !NR }' /sys/kernel/debug/umbra/counters
}

# ended NAME: has QEMU ended?
ended()
{
	local pid

	pid=$(cat "$RUN/$1/pid")
	! kill -0 "$pid" 2>/dev/null || grep -qs '^State:.*Z' "/proc/$pid/status"
}

# Where umbra's node is /dev/umbra, QEMU 7.2 finds it under the only name that it knows.
node_for_7_2()
{
	[ -e /dev/kvm ] || ln -s umbra /dev/kvm
}

kernel_image()
{
	echo "$CACHE/kernel-$1/boot/vmlinuz-$(cat "$CACHE/kernel-$1/release")"
}
