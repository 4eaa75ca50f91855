# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A guest under stock QEMU, for the tests that run in the emulated host: starting it,
# waiting for its end, and test points in KTAP.
#
# A guest has a NAME and a directory of its own, $RUN/NAME:
#	console		what its serial line says
#	pid, log	of QEMU

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=$(dirname "$HERE")
RUN=$(mktemp -d /tmp/qemu.XXXXXX)
POINT=0

# Whoever is slow here is an emulated CPU on a busy machine.
PATIENCE=${PATIENCE:-240}

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
	local dir=$CACHE/qemu-$1 lib

	lib=$dir/lib/x86_64-linux-gnu:$dir/usr/lib/x86_64-linux-gnu
	export QEMU_MODULE_DIR=$dir/usr/lib/x86_64-linux-gnu/qemu
	QEMU=("$dir/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$lib"
		"$dir/usr/bin/qemu-system-x86_64" -L "$dir/usr/share/qemu"
		-L "$dir/usr/share/seabios" -L "$dir/usr/lib/ipxe/qemu")
}

# guest_start NAME ARG...: QEMU of version $VERSION, without any device but what ARGs say
guest_start()
{
	local dir=$RUN/$1

	shift
	mkdir -p "$dir"
	qemu_of "$VERSION"
	"${QEMU[@]}" -nodefaults -no-user-config -display none -serial "file:$dir/console" "$@" \
		>"$dir/log" 2>&1 </dev/null &
	echo $! >"$dir/pid"
}

guest_kill()
{
	kill -9 "$(cat "$RUN/$1/pid")" 2>/dev/null
	until ended "$1"; do
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

# says NAME REGEX: has the console such a line?
says()
{
	grep -aqsE "$2" "$RUN/$1/console"
}

# ended NAME: has QEMU ended?
ended()
{
	local pid

	pid=$(cat "$RUN/$1/pid")
	! kill -0 "$pid" 2>/dev/null || grep -qs '^State:.*Z' "/proc/$pid/status"
}

# works NAME CPUS: the guest boots, checks its memory and powers off
works()
{
	await "the end of QEMU" ended "$1"
	tr -d '\r' <"$RUN/$1/console" | grep -a 'guest: init' | sed 's/^/# /'
	says "$1" "guest: init of .* on $2 CPUs" || fail "the guest's init has said nothing"
	says "$1" "guest: memcheck ended with 0" || fail "the memory checker has found something"
	unhurt "$1"
}

# unhurt NAME: the guest's kernel and its memory checker have not complained
unhurt()
{
	! says "$1" 'BUG|Oops|Call Trace|panic|WRONG' || fail "the guest complained"
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
