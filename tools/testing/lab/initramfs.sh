# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The initramfs of an emulated host: busybox, the lab's init, and the kernel
# modules without which it cannot reach the outside file tree.

# What init loads, in this order, before it has a root to load from; dependencies are
# resolved. The disk's driver is among them because no udev is there to load it.
BOOT_MODULES=(virtio_pci 9pnet_virtio 9p overlay virtio_console virtio_blk)

# initramfs_ready: sets INITRAMFS for the kernel that kernel_ready chose.
initramfs_ready()
{
	in_cache busybox fetch_busybox "busybox"
	[ "$PLATFORM" != power ] ||
		in_cache busybox-ppc64el fetch_busybox_ppc64el "busybox for ppc64el"
	INITRAMFS=$CACHE/initramfs-$KREL
	initramfs_fresh || locked initramfs make_initramfs
}

initramfs_fresh()
{
	[ "$INITRAMFS" -nt "$LAB/init" ] && [ "$INITRAMFS" -nt "$LAB/initramfs.sh" ] &&
		[ "$INITRAMFS" -nt "$KROOT/release" ]
}

make_initramfs()
{
	local busybox=$CACHE/busybox/bin/busybox target=$CACHE/busybox/bin/busybox tree

	initramfs_fresh && return
	[ "$PLATFORM" != power ] || target=$CACHE/busybox-ppc64el/bin/busybox
	tree=$(mktemp -d "$CACHE/tree.XXXXXX")
	mkdir -p "$tree"/{bin,modules,dev,proc,sys,lab,outside,root,skeleton}
	cp "$busybox" "$tree/bin/busybox"
	"$busybox" --install -s "$tree/bin"
	find "$tree/bin" -type l -exec ln -sfn busybox {} \;
	cp "$target" "$tree/bin/busybox"
	install -m 755 "$LAB/init" "$tree/init"
	boot_modules "$tree/modules" "${BOOT_MODULES[@]}" || die "the kernel $KREL lacks one of ${BOOT_MODULES[*]}"
	(cd "$tree" && find . | "$busybox" cpio -o -H newc) >"$INITRAMFS.tmp" 2>/dev/null ||
		die "could not pack the initramfs"
	rm -rf "$tree"
	mv "$INITRAMFS.tmp" "$INITRAMFS"
}

# boot_modules DIR NAME...: copy modules of the kernel that kernel_ready chose, unpacked,
# and list them in loading order in DIR/order.
boot_modules()
{
	local dir=$1 name how file ko

	shift
	: >"$dir/order"
	for name; do
		modprobe -d "$KROOT" -S "$KREL" --show-depends "$name" || return
	done | while read -r how file _; do
		[ "$how" = insmod ] || continue
		ko=$(basename "${file%.xz}")
		[ -e "$dir/$ko" ] && continue
		case $file in
		*.xz) xz -dc "$file" >"$dir/$ko" ;;
		*) cp "$file" "$dir/$ko" ;;
		esac
		echo "$ko" >>"$dir/order"
	done
}
