# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What is taken from Debian's linux-source package: kselftest's build files, headers
# and runner, checkpatch, and the whole of it for the debug kernel.

# kselftest_ready: sets KSFT_DIR, a kernel's tools/testing/selftests, with the files
# around it that its lib.mk includes; and CHECKPATCH.
kselftest_ready()
{
	in_cache kselftest fetch_kselftest "kselftest and checkpatch from linux-source-6.1 (140 MB)"
	KSFT_DIR=$CACHE/kselftest/tools/testing/selftests
	CHECKPATCH=$CACHE/kselftest/scripts/checkpatch.pl
}

fetch_kselftest()
{
	unpack_source "$1" tools/testing/selftests/{lib.mk,Makefile} \
		tools/testing/selftests/{kselftest.h,kselftest_harness.h,run_kselftest.sh} \
		tools/testing/selftests/{kselftest,kselftest_deps.sh} \
		scripts/{subarch.include,checkpatch.pl,spelling.txt,const_structs.checkpatch}
}

# unpack_source DIR [PATH...]: unpack these PATHs of the kernel source, or all, in DIR.
unpack_source()
{
	local dir=$1 deb=$1.deb archive=usr/src/linux-source-6.1.tar.xz

	shift
	need_installed xz-utils
	unpack_packages "$deb" linux-source-6.1
	mkdir -p "$dir"
	xz -dc "$deb/$archive" |
		tar -x -C "$dir" --strip-components=1 "${@/#/linux-source-6.1/}" || return
	rm -rf "$deb"
}
