# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The emulator's tests. They need neither the module nor a host of their own, and one
# of them compares with the processor it runs on: a real one, not the lab's.

# native_tests: those that are wanted, here.
native_tests()
{
	local program begin seconds=$((${LONG:-0} ? 3600 : 300)) dir=$RESULTS/native

	mkdir -p "$dir"
	for program in emulator_test real_mode_test rules_test; do
		wanted "$program" || continue
		begin=$(date +%s)
		UMBRA_TEST_LONG=${LONG:-0} timeout -k 5 "$seconds" "$PROGRAMS/emulator/$program" \
			>"$dir/$program.tap" 2>&1 </dev/null
		echo "$? $(($(date +%s) - begin))" >"$dir/$program.status"
		tally_program native "$program" "$dir"
	done
}
