# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The test points that are about the sources: they build without a warning for every
# kernel, sparse and checkpatch find nothing, headers stand alone.

# build_tests: all of them.
build_tests()
{
	local kernel PLATFORM log=$RESULTS/build.log

	need_installed gcc gcc-12 make libelf1 sparse perl \
		gcc-12-powerpc64le-linux-gnu binutils-powerpc64le-linux-gnu
	kselftest_ready
	for kernel in "${KERNELS[@]}"; do
		[ "$kernel" != debug ] || continue
		for PLATFORM in x86 power; do
			build_test "$kernel" "$kernel for $PLATFORM" "$log"
		done
	done
	[ -z "$LONG" ] || big_endian_test "$log"
	checkpatch_check "$log"
	tally_point "checkpatch --strict" $? "$log"
}

# build_test KERNEL NAME LOG: of one kernel, for PLATFORM.
build_test()
{
	kernel_ready "$1"
	warnings_build "$3"
	tally_point "$2 builds at W=1 without a warning" $? "$3"
	sparse_check "$3"
	tally_point "$2 sparse" $? "$3"
	make_quietly "$TOP" KDIR="$KDIR" headercheck >"$3" 2>&1 </dev/null
	tally_point "$2 headercheck" $? "$3"
}

# big_endian_test LOG: every object for a big-endian host. There is no such kernel to link
# a module against.
big_endian_test()
{
	local TARGET=umbra.o

	big_endian_ready
	warnings_build "$1"
	tally_point "big-endian POWER builds at W=1 without a warning" $? "$1"
	sparse_check "$1"
	tally_point "big-endian POWER sparse" $? "$1"
}

# A build from nothing of TARGET, if that is set, with the test hooks, which are sources too.
warnings_build()
{
	local build=$CACHE/build/$KREL-w1

	rm -rf "$build"
	mkdir -p "$build"
	copy_sources "$build"
	make_quietly "$build" KDIR="$KDIR" UMBRA_TEST=1 W=1 ${TARGET:-} >"$1" 2>&1 </dev/null || return
	! grep -iE 'warning:' "$1" >"$1.warnings" || { cp "$1.warnings" "$1"; return 1; }
}

# In what warnings_build left: C=2 checks what need not be compiled. What the kernel's own
# headers are blamed for is not umbra's.
sparse_check()
{
	make_quietly "$CACHE/build/$KREL-w1" KDIR="$KDIR" UMBRA_TEST=1 C=2 ${TARGET:-} \
		>"$1" 2>&1 </dev/null || return
	! grep -E '(warning|error):' "$1" | grep -v -e "$KROOT/" -e '^\./' >"$1.warnings" || { cp "$1.warnings" "$1"; return 1; }
}

# What is not asked of this tree, and why, is in .checkpatch.conf at its top. The test
# programs are no kernel code: they have no __packed, BIT() or READ_ONCE(), share
# variables with a guest, and name some of those like constants.
checkpatch_check()
{
	{
		c_files | grep -v '^tools/' | checkpatch
		c_files | grep '^tools/' | checkpatch \
			--ignore VOLATILE,PREFER_DEFINED_ATTRIBUTE_MACRO,AVOID_EXTERNS,BIT_MACRO,CONSTANT_COMPARISON
	} >"$1" 2>&1
	[ ! -s "$1" ]
}

c_files()
{
	find "$TOP" -path "$TOP/.cache" -prune -o -name '*.[ch]' ! -name '*.mod.c' -printf '%P\n' | sort
}

# checkpatch [OPTION...]: on the files named on standard input
checkpatch()
{
	(cd "$TOP" && xargs -r perl "$CHECKPATCH" --strict --no-summary --terse --show-types "$@" -f)
}
