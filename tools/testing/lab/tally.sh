# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Counting test points and saying what failed. Every result adds a line
# "PASSED FAILED SKIPPED" to the tally file, so that subshells can add theirs; the
# sum is taken once, at the end.

# tally_start FILE
tally_start()
{
	TALLY=$1
	: >"$TALLY"
}

# tally_end: print the sum; the status says whether all is well. Nothing run is not.
tally_end()
{
	awk '{ p += $1; f += $2; s += $3 }
		END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' \
		"$TALLY"
}

# tally_point NAME STATUS LOG: one point that is not a program's; LOG is shown if it failed.
tally_point()
{
	if [ "$2" = 0 ]; then
		echo "1 0 0" >>"$TALLY"
		printf 'ok    %s\n' "$1"
	else
		echo "0 1 0" >>"$TALLY"
		printf 'FAIL  %s\n' "$1"
		details "$3"
	fi
}

details()
{
	head -n 60 "$1" | sed 's/^/      | /'
}

# tally_program KERNEL PROGRAM DIR: the test points in DIR/PROGRAM.tap (KTAP, top level).
# A program that says less than it planned, or ends badly without a failed point, has
# failed one more; one that skips everything (status 4) has skipped at least one.
tally_program()
{
	local tap=$3/$2.tap status seconds planned passed failed skipped

	read -r status seconds <"$3/$2.status"
	planned=$(sed -n 's/^1\.\.\([0-9]\+\).*/\1/p' "$tap" | head -n 1)
	skipped=$(grep -cE '^ok .*# *SKIP' "$tap")
	passed=$(($(grep -c '^ok ' "$tap") - skipped))
	failed=$(grep -c '^not ok ' "$tap")
	if [ "$status" = 4 ]; then
		[ "$skipped" -gt 0 ] || skipped=1
	elif [ $((passed + failed + skipped)) -lt "${planned:-1}" ] ||
	     { [ "$status" != 0 ] && [ "$failed" = 0 ]; }; then
		echo "ended with status $status after $((passed + failed + skipped)) of ${planned:-?} test points" >>"$tap"
		failed=$((failed + 1))
	fi
	echo "$passed $failed $skipped" >>"$TALLY"
	report "$1 $2" "$passed" "$failed" "$skipped" "$seconds s"
	grep -E '^(ok|1\.\.0).*# *SKIP' "$tap" | sort | uniq -c | sed 's/^ */      skipped: /' | head -n 10
	[ "$failed" = 0 ] ||
		grep -vE '^ok |^#  +OK |^# RUN |^(# )?TAP version|^#? *$' "$tap" >"$tap.failed"
	[ "$failed" = 0 ] || details "$tap.failed"
}

# report NAME PASSED FAILED SKIPPED NOTE: a line in one write, since kernels may share
# the terminal.
report()
{
	local word=ok

	[ "$3" = 0 ] || word=FAIL
	[ "$2$3" != 00 ] || word=skip
	printf '%-5s %-32s %3d passed, %d failed, %d skipped (%s)\n' "$word" "$1" "$2" "$3" "$4" "$5"
}

# tally_lost KERNEL PROGRAM DIR: the host ended before the program did, or before it began.
tally_lost()
{
	local tap=$3/$2.tap

	echo "0 1 0" >>"$TALLY"
	if [ -e "$tap" ]; then
		report "$1 $2" 0 1 0 "the host ended under it"
		tail -n 20 "$tap" >"$tap.failed"
		details "$tap.failed"
	else
		report "$1 $2" 0 1 0 "the host ended before it"
	fi
}

# tally_host KERNEL SETTINGS STATUS DIR: the host itself is a test point: its kernel must
# not have complained, and umbra must have unloaded.
tally_host()
{
	tally_point "$1 host with $2" "$3" "$4/lab"
}
