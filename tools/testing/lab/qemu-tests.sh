# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The tests with stock QEMU as umbra's client: what they run and the guests that they boot.

QEMU_TESTS=$TOP/tools/testing/qemu

# What a guest of the 6.12 kernel gets drivers for, beside the devices of every PC.
GUEST_MODULES=(virtio_pci virtio_blk virtio_net virtio_balloon 9pnet_virtio 9p)

qemu_tests_ready()
{
	in_cache busybox fetch_busybox "busybox"
	in_cache qemu-7.2 fetch_qemu_7_2 "QEMU 7.2 with its libraries"
	in_cache guest-i386 fetch_guest_i386 "guests: Debian's kernels for i386"
	in_cache grub fetch_grub "GRUB"
	kernel_ready 6.1
	kernel_ready 6.12
	rm -rf "$PROGRAMS/guest-modules"
	mkdir -p "$PROGRAMS/guest-modules/modules"
	unpack_modules "$PROGRAMS/guest-modules/modules" "${GUEST_MODULES[@]}" ||
		die "the kernel $KREL lacks one of ${GUEST_MODULES[*]}"
}

build_qemu_tests()
{
	make -s --no-print-directory -C "$QEMU_TESTS" OUTPUT="$PROGRAMS" \
		BUSYBOX="$CACHE/busybox/bin/busybox" \
		BUSYBOX_I386="$CACHE/guest-i386/bin/busybox" \
		GRUB="$CACHE/grub" KERNEL="$KROOT/boot/vmlinuz-$KREL"
}
