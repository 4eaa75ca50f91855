# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The tests for POWER hosts, which are cross-built: a folder of programs with a settings.lab
# of its own, run as the others are.

# power_tests: those that are wanted, on every kernel that there is for POWER.
power_tests()
{
	local TESTS=$TESTS/power PROGRAMS=$CACHE/selftests-power PLAN=$RESULTS/plan.power kernel

	power_wanted || return 0
	if ! build_power_programs; then
		tally_point "selftests for POWER build" 1 "$PROGRAMS.log"
		return
	fi
	plan >"$PLAN" || exit
	for kernel in "${KERNELS[@]}"; do
		[ "$kernel" = debug ] || run_kernel "$kernel"
	done
}

power_wanted()
{
	local source

	for source in "$TESTS"/*_test.c; do
		! wanted "$(basename "$source" .c)" || return 0
	done
	return 1
}

build_power_programs()
{
	need_installed gcc-12-powerpc64le-linux-gnu libc6-dev-ppc64el-cross
	mkdir -p "$PROGRAMS"
	make -s --no-print-directory -C "$TESTS" -j"$(nproc)" KSFT_DIR="$KSFT_DIR" \
		OUTPUT="$PROGRAMS" >"$PROGRAMS.log" 2>&1 </dev/null
}
