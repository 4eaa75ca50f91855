# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A big-endian kernel for POWER that the whole of umbra is built for and that is never
# run: Debian's 6.1 source, configured for ppc64 with guests in hypervisor mode, as far as
# a module's build needs it.

# make_big_endian_kernel ROOT: headers and release, as a kernel of the cache has them.
make_big_endian_kernel()
{
	local root=$1 source=$1/headers log=$CACHE/big-endian.log option

	need_installed gcc gcc-12 make flex bison bc libelf-dev \
		gcc-12-powerpc64-linux-gnu binutils-powerpc64-linux-gnu
	unpack_source "$source" || return
	# What is built with these headers is built so, whoever asks.
	printf 'override %s\n' ARCH=powerpc CROSS_COMPILE=powerpc64-linux-gnu- \
		CC=powerpc64-linux-gnu-gcc-12 HOSTCC=gcc-12 >"$source/GNUmakefile"
	printf 'export ARCH CROSS_COMPILE CC HOSTCC\ninclude Makefile\n' >>"$source/GNUmakefile"
	quiet "$log" nice make -s -C "$source" ppc64_defconfig || return
	for option in CPU_BIG_ENDIAN=y KVM_BOOK3S_64_HV=m; do
		grep -qx "CONFIG_$option" "$source/.config" && continue
		note "the big-endian kernel's configuration has no $option"
		return 1
	done
	quiet "$log" nice make -s -C "$source" -j"$(nproc)" modules_prepare || return
	# What no module's build looks at.
	rm -rf "$source"/{Documentation,block,crypto,drivers,fs,mm,net,samples,security,sound}
	echo "$(cat "$source/include/config/kernel.release")-ppc64" >"$root/release"
}

# big_endian_ready: sets KREL, KROOT and KDIR as kernel_ready does.
big_endian_ready()
{
	local item=kernel-power-6.1-big-endian

	in_cache "$item" make_big_endian_kernel \
		"headers of a big-endian kernel for POWER, from linux-source-6.1 (ten minutes)"
	KROOT=$(readlink -f "$CACHE/$item")
	KREL=$(cat "$KROOT/release")
	KDIR=$KROOT/headers
}
