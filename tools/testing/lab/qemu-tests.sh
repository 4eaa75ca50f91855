# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The tests with stock QEMU as umbra's client: what they run and the guests that they boot.

QEMU_TESTS=$TOP/tools/testing/qemu

# Drivers that a guest loads when it is told to.
GUEST_MODULES=(virtio_pci virtio_blk virtio_net virtio_balloon 9pnet_virtio 9p)

# gcc-multilib would be nearer, but Debian does not install it beside a cross compiler.
qemu_tests_ready()
{
	need_installed gcc-12-i686-linux-gnu libc6-dev-i386-cross
	in_cache busybox fetch_busybox "busybox"
	in_cache qemu fetch_qemu "QEMU 10 with its libraries"
	in_cache qemu-7.2 fetch_qemu_7_2 "QEMU 7.2 with its libraries"
	in_cache guest-i386 fetch_guest_i386 "guests: Debian's kernels for i386"
	in_cache grub fetch_grub "GRUB"
	kernel_ready 6.1
	guest_modules
	kernel_ready 6.12
	guest_modules
}

# For the kernel that kernel_ready chose.
guest_modules()
{
	local dir=$PROGRAMS/guest-modules/$KREL

	[ ! -e "$dir/order" ] || return 0
	mkdir -p "$dir"
	boot_modules "$dir" "${GUEST_MODULES[@]}" ||
		die "the kernel $KREL lacks one of ${GUEST_MODULES[*]}"
}

# guest_ready DIR: QEMU 10, and in DIR the guest and guest.sh; for who wants no tests.
guest_ready()
{
	need_installed gcc-12 make libc6-dev
	in_cache qemu fetch_qemu "QEMU 10 with its libraries"
	in_cache busybox fetch_busybox "busybox"
	kernel_ready 6.1
	mkdir -p "$1"
	locked guest quiet "$1/log" make -C "$QEMU_TESTS" CC=gcc-12 OUTPUT="$1" \
		BUSYBOX="$CACHE/busybox/bin/busybox" "$1"/guest.{cpio,sh} ||
		die "the guest does not build"
}

build_qemu_tests()
{
	make -s --no-print-directory -C "$QEMU_TESTS" OUTPUT="$PROGRAMS" \
		BUSYBOX="$CACHE/busybox/bin/busybox" \
		BUSYBOX_I386="$CACHE/guest-i386/bin/busybox" \
		GRUB="$CACHE/grub" KERNEL="$KROOT/boot/vmlinuz-$KREL"
}
