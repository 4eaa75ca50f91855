# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The AMD host: QEMU TCG, which emulates SVM with nested paging. Its vCPU has no
# nrip-save, no decode assists and no flush-by-ASID.
#
# A host file provides
#	PLATFORM		x86 or power: whose kernels, programs and module it runs
#	HOST_PATH		where the command finds programs; /bin alone for busybox's
#	STOCK_MODULE		Debian's module for this host's virtualisation
#	host_ready		make the emulator ready, in the cache
#	host_cpus		set CPUS, how many there are, and CPU_MASK, those of the command
#	host_start RUN		run the emulator, guarded, on the run directory RUN
# and reads the options SMP, MEM, ICOUNT, LA57, SHARE, APPEND, GDB and what kernel_ready
# and initramfs_ready set.

PLATFORM=x86
HOST_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STOCK_MODULE=kvm-amd

host_ready()
{
	in_cache qemu fetch_qemu "QEMU 10 with its libraries"
}

# CPU 0 is one more than was asked for and runs no guest where CPUs run in parallel.
# There, each XRSTOR and FXRSTOR on any CPU rewrites the hidden flags of QEMU's first CPU
# (cpu_clear_ignne(): IGNNE) without care for what that CPU does meanwhile. In the middle
# of VMRUN or #VMEXIT it would go on with nested paging or GIF of the other side.
host_cpus()
{
	local spare=0

	[ "$SMP" -eq 1 ] || [ -n "$ICOUNT" ] || spare=1
	CPUS=$((SMP + spare))
	CPU_MASK=$(printf '%x' $((((1 << SMP) - 1) << spare)))
}

# The memory in two NUMA nodes, so that pages can be made to move between them. All
# vCPUs are in the first.
amd_memory()
{
	local half=$((MEM / 2))

	QEMU_ARGS+=(-m "${MEM}M"
		-object "memory-backend-ram,id=ram0,size=$((MEM - half))M"
		-object "memory-backend-ram,id=ram1,size=${half}M"
		-numa "node,nodeid=0,memdev=ram0,cpus=0-$((CPUS - 1))"
		-numa "node,nodeid=1,memdev=ram1")
}

amd_accel()
{
	if [ -n "$ICOUNT" ]; then
		QEMU_ARGS+=(-accel "tcg,thread=single" -icount "shift=0,sleep=off")
	else
		QEMU_ARGS+=(-accel "tcg,thread=multi")
	fi
}

# The devices that tests need: a disk to swap to (/dev/vda), and a PCI device whose
# BAR 2 is plain memory that a process can map through sysfs (1af4:1110).
amd_devices()
{
	local run=${1//,/,,}

	QEMU_ARGS+=(-drive "if=none,id=swap,format=raw,cache=unsafe,discard=unmap,file=$run/swap"
		-device "virtio-blk-pci,drive=swap"
		-object "memory-backend-memfd,id=bar,size=4M"
		-device "ivshmem-plain,memdev=bar"
		-device "virtio-serial-pci"
		-chardev "file,id=output,path=$run/output"
		-device "virtserialport,chardev=output,name=output"
		-serial "file:$run/console"
		-virtfs "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"
		-virtfs "local,path=$run,mount_tag=lab,security_model=none")
	[ -z "$SHARE" ] ||
		QEMU_ARGS+=(-virtfs "local,path=${SHARE//,/,,},mount_tag=share,security_model=none,multidevs=remap")
}

# The kernel starts at its PVH entry, 6 s sooner than by way of its decompressor. But
# only the decompressor turns 5-level paging on (and KASLR). An emulated CPU that stands
# still because the machine is busy is no lockup, so lockups are given a minute or two.
# The debug kernel has no boot/vmlinux: KASAN does not survive the PVH entry.
amd_kernel()
{
	local kernel=$KROOT/boot/vmlinux args

	[ -z "$LA57" ] && [ -e "$kernel" ] || kernel=$KROOT/boot/vmlinuz-$KREL
	args="console=ttyS0,115200 quiet loglevel=5 panic=-1 net.ifnames=0"
	args+=" nmi_watchdog=0 watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120"
	args+=" tsc=reliable no_timer_check"
	[ -n "$LA57" ] || args+=" no5lvl"
	QEMU_ARGS+=(-kernel "$kernel" -initrd "$INITRAMFS" -append "$args $APPEND")
}

host_start()
{
	local run=$1 qemu=$CACHE/qemu lib
	local QEMU_ARGS=(-nodefaults -no-user-config -display none -no-reboot
		-M "pc,usb=off" -cpu max -smp "$CPUS")

	truncate -s 2G "$run/swap"
	amd_memory
	amd_accel
	amd_kernel
	amd_devices "$run"
	[ -z "$GDB" ] || QEMU_ARGS+=(-gdb "tcp:127.0.0.1:$GDB")
	lib=$qemu/lib/x86_64-linux-gnu:$qemu/usr/lib/x86_64-linux-gnu
	export QEMU_MODULE_DIR=$qemu/usr/lib/x86_64-linux-gnu/qemu
	guarded "$qemu/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$lib" \
		"$qemu/usr/bin/qemu-system-x86_64" "${QEMU_ARGS[@]}" \
		-L "$qemu/usr/share/qemu" -L "$qemu/usr/share/seabios" \
		-L "$qemu/usr/lib/ipxe/qemu"
}
