# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What every part of the lab shares: where things are, how it speaks, and the
# lock that lets several labs prepare the same cache.
#
# The cache is a folder that git ignores. An item in it is either absent or
# complete: it is made under a temporary name and renamed into place, so an
# interrupted run leaves nothing that a later one would trust.

LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$LAB/../../.." && pwd)
CACHE=${UMBRA_CACHE:-$TOP/.cache}

mkdir -p "$CACHE"
CACHE=$(cd "$CACHE" && pwd)

# note TEXT: one line on what the lab is doing, apart from the command's output.
note()
{
	printf 'lab: %s\n' "$*" >&2
}

# die TEXT: the lab itself cannot go on; status 125 is none of the command's.
die()
{
	printf 'lab: %s\n' "$*" >&2
	exit 125
}

# usage_error TEXT: the caller asked for something that there is not.
usage_error()
{
	printf 'lab: %s\n' "$*" >&2
	exit 2
}

# locked NAME FUNCTION [ARG...]: run FUNCTION alone among all labs on this cache.
locked()
{
	local name=$1

	shift
	(
		flock 9 || die "cannot lock $CACHE/lock.$name"
		"$@" 9>&-
	) 9>"$CACHE/lock.$name"
}

# quiet LOG COMMAND...: run COMMAND with its output in LOG; show it only if it fails.
quiet()
{
	local log=$1

	shift
	"$@" >"$log" 2>&1 </dev/null && return 0
	tail -n 60 "$log" >&2
	return 1
}

# own_dir KIND: a new folder of this process's own in CACHE/KIND, printed. Those whose
# process is gone, because it was killed or left something to look at, are removed.
own_dir()
{
	local old

	mkdir -p "$CACHE/$1"
	for old in "$CACHE/$1/"*.*; do
		[ -d "$old" ] && ! kill -0 "$(basename "${old%.*}")" 2>/dev/null && rm -rf "$old"
	done
	mktemp -d "$CACHE/$1/$$.XXXXXX"
}
