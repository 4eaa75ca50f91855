# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A kernel for the emulated host, in the cache: its image, its modules and the
# headers to build against. kernel_ready sets
#
#	KREL	the kernel release, as uname -r says it
#	KROOT	where it is unpacked: boot/vmlinuz-KREL, boot/vmlinux, lib/modules/KREL
#	KDIR	what `make KDIR=` takes
#
# for the host's PLATFORM, which is x86 or power; there KROOT has boot/vmlinux only.
#
# A kernel is fetched once and then kept, although the archive moves on: remove its
# folder from the cache to have the newest.

# kernel_ready 6.1|6.12|debug
kernel_ready()
{
	local item=kernel-$1

	need_installed kmod xz-utils zstd
	case ${PLATFORM:-x86}-$1 in
	x86-6.1) in_cache "$item" fetch_kernel_6_1 "Debian's 6.1 kernel and headers" ;;
	x86-6.12) in_cache "$item" fetch_kernel_6_12 "Debian's 6.12 kernel and headers" ;;
	x86-debug) in_cache "$item" make_debug_kernel "a debug kernel, built from linux-source-6.1 (half an hour)" ;;
	power-6.1 | power-6.12)
		item=kernel-power-$1
		in_cache "$item" "fetch_power_kernel_${1/./_}" "Debian's $1 kernel and headers for ppc64el"
		;;
	*) usage_error "no kernel '$1' for this host; there are 6.1, 6.12 and, on amd, debug" ;;
	esac
	KROOT=$(readlink -f "$CACHE/$item")
	KREL=$(cat "$KROOT/release")
	KDIR=$KROOT/headers
}

fetch_kernel_6_1()
{
	fetch_kernel "$1" '^linux-image-6\.1\.0-[0-9]+-amd64$'
}

fetch_kernel_6_12()
{
	fetch_kernel "$1" '^linux-image-6\.12\.[0-9]+[+]deb12-amd64$'
}

# 64K pages, and 4K pages.
fetch_power_kernel_6_1()
{
	fetch_power_kernel "$1" '^linux-image-6\.1\.0-[0-9]+-powerpc64le$'
}

fetch_power_kernel_6_12()
{
	fetch_power_kernel "$1" '^linux-image-6\.12\.[0-9]+[+]deb12-powerpc64le$'
}

# The kernel whose package name matches, with the headers of the same release. Two
# things that Debian's headers take for granted do not hold in the cache: that they
# are in /usr/src, which the Makefile names absolutely, and that pahole is there
# to make BTF from the vmlinux beside them.
fetch_kernel()
{
	local root=$1 image headers common kbuild krel

	image=$(newest_package "$2")
	[ -n "$image" ] || die "the archive has no kernel package $2"
	krel=${image#linux-image-}
	headers=linux-headers-$krel
	common=$(depended_on "$headers" 'linux-headers-.*-common')
	kbuild=$(depended_on "$headers" 'linux-kbuild-.*')
	unpack_packages "$root" "$image" "$headers" "$common" "$kbuild"
	echo 'include $(dir $(lastword $(MAKEFILE_LIST)))../'"$common/Makefile" \
		>"$root/usr/src/$headers/Makefile"
	ln -s "usr/src/$headers" "$root/headers"
	rm -f "$root/usr/src/$headers/vmlinux" "$root/lib/modules/$krel/"{build,source}
	depmod -b "$root" "$krel" || return
	extract_vmlinux "$root/boot/vmlinuz-$krel" >"$root/boot/vmlinux" || return
	echo "$krel" >"$root/release"
}

# The same for POWER, where Debian's image is a plain ELF file. It is cross-built, by
# the programs of this machine's linux-kbuild.
fetch_power_kernel()
{
	local root=$1 image headers common kbuild krel

	image=$(foreign ppc64el newest_package "$2")
	[ -n "$image" ] || die "the archive has no kernel package $2 for ppc64el"
	krel=${image#linux-image-}
	headers=linux-headers-$krel
	common=$(foreign ppc64el depended_on "$headers" 'linux-headers-.*-common')
	kbuild=$(foreign ppc64el depended_on "$headers" 'linux-kbuild-.*')
	foreign ppc64el unpack_packages "$root" "$image" "$headers" "$common" || return
	unpack_packages "$root" "$kbuild"
	echo 'include $(dir $(lastword $(MAKEFILE_LIST)))../'"$common/Makefile" \
		>"$root/usr/src/$headers/Makefile"
	ln -s "usr/src/$headers" "$root/headers"
	# The older of them asks dpkg what it builds for.
	echo 'override CROSS_COMPILE = powerpc64le-linux-gnu-' >>"$root/usr/src/$headers/.kernelvariables"
	ln -s "vmlinux-$krel" "$root/boot/vmlinux"
	rm -f "$root/usr/src/$headers/vmlinux" "$root/lib/modules/$krel/"{build,source}
	depmod -b "$root" "$krel" || return
	echo "$krel" >"$root/release"
}

# extract_vmlinux BZIMAGE: the ELF kernel in it, on standard output. Its place is in the
# setup header (Documentation/arch/x86/boot.rst: setup_sects, payload_offset,
# payload_length). The last four bytes of the payload are the unpacked size.
extract_vmlinux()
{
	local image=$1 start size

	start=$((($(le_number 1 0x1f1 "$image") + 1) * 512 + $(le_number 4 0x248 "$image")))
	size=$(($(le_number 4 0x24c "$image") - 4))
	case $(od -An -tx1 -j "$start" -N 4 "$image") in
	' fd 37 7a 58') payload "$image" "$start" "$size" | xz -dc ;;
	' 28 b5 2f fd') payload "$image" "$start" "$size" | zstd -dc ;;
	*) return 1 ;;
	esac
}

# le_number BYTES OFFSET FILE: a little-endian number in FILE
le_number()
{
	od -An -tu"$1" -j "$(($2))" -N "$1" "$3" | tr -d ' '
}

payload()
{
	tail -c +"$(($2 + 1))" "$1" | head -c "$3"
}
