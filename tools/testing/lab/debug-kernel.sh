# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The debug kernel: Debian's 6.1 source with debug.config, which has the drivers of the
# lab built in and every checker that a module can be checked with.

# make_debug_kernel ROOT: as kernel.sh wants it.
make_debug_kernel()
{
	local root=$1 source=$1/headers log=$CACHE/debug-kernel.log krel

	need_installed gcc gcc-12 make flex bison bc libelf-dev
	unpack_source "$source" || return
	quiet "$log" kernel_make "$source" KCONFIG_ALLCONFIG="$LAB/debug.config" allnoconfig || return
	config_kept "$source/.config" || return
	quiet "$log" kernel_make "$source" vmlinux modules bzImage || return
	krel=$(kernel_make "$source" kernelrelease)
	quiet "$log" kernel_make "$source" INSTALL_MOD_PATH="$root" modules_install || return
	mkdir -p "$root/boot"
	cp "$source/arch/x86/boot/bzImage" "$root/boot/vmlinuz-$krel"
	rm -f "$root/lib/modules/$krel/"{build,source}
	echo "$krel" >"$root/release"
}

kernel_make()
{
	local source=$1

	shift
	nice make -s -C "$source" -j"$(nproc)" CC=gcc-12 HOSTCC=gcc-12 KBUILD_BUILD_USER=lab "$@"
}

# Kconfig drops in silence what it cannot satisfy.
config_kept()
{
	local line lost=0

	while read -r line; do
		grep -qxF "$line" "$1" && continue
		note "the debug kernel's configuration lost $line"
		lost=1
	done < <(grep '^CONFIG_' "$LAB/debug.config")
	return $lost
}
