# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The POWER host: QEMU TCG. The powernv machines are bare metal with hypervisor mode, in
# which QEMU emulates hash guests: partition scope, VRMA, HDSI, HISI, R and C. On pseries
# there is no hypervisor mode, as on a cloud's machine.
#
# The tree outside is this machine's, whose programs are no programs here: busybox stands
# over it at /bin, and what is tested is cross-built and static.
#
# What a host file provides stands in hosts/amd.sh. This one also reads MACHINE and
# HASH_HOST.

PLATFORM=power
HOST_PATH=/bin
STOCK_MODULE=kvm-hv

host_ready()
{
	case $MACHINE in
	powernv8) CPU=power8 ;;
	powernv9) CPU=power9 ;;
	powernv10) CPU=power10 ;;
	pseries) CPU=power9 ;;
	*) usage_error "no machine '$MACHINE'; there are powernv8, powernv9, powernv10 and pseries" ;;
	esac
	[ -z "$LA57" ] || usage_error "--la57 is not for --host power"
	in_cache qemu-ppc fetch_qemu_ppc "QEMU 10 for POWER with its libraries"
}

host_cpus()
{
	CPUS=$SMP
	CPU_MASK=$(printf '%x' $(((1 << SMP) - 1)))
}

# power_device OPTIONS: the next on the bus.
power_device()
{
	PCI_SLOT=$((PCI_SLOT + 1))
	QEMU_ARGS+=(-device "$1,bus=$PCI_BUS,addr=$PCI_SLOT")
}

power_share()
{
	QEMU_ARGS+=(-fsdev "local,id=$1,path=${2//,/,,},security_model=none$3")
	power_device "virtio-9p-pci,fsdev=$1,mount_tag=$1"
}

# A root port of a bare-metal machine takes one device: a bridge to a bus for all.
power_devices()
{
	local run=$1 PCI_BUS=pci.0 PCI_SLOT=0

	if [ "$MACHINE" != pseries ]; then
		PCI_BUS=bridge
		QEMU_ARGS+=(-device "pcie-pci-bridge,id=$PCI_BUS,bus=pcie.0")
	fi
	QEMU_ARGS+=(-drive "if=none,id=swap,format=raw,cache=unsafe,discard=unmap,file=${run//,/,,}/swap"
		-chardev "file,id=output,path=${run//,/,,}/output")
	power_device virtio-blk-pci,drive=swap
	power_device virtio-serial-pci,id=serial
	QEMU_ARGS+=(-device "virtserialport,chardev=output,name=output,bus=serial.0")
	power_share root / ",readonly=on,multidevs=remap"
	power_share lab "$run" ""
	[ -z "$SHARE" ] || power_share share "$SHARE" ",multidevs=remap"
}

power_machine()
{
	case $MACHINE in
	pseries)
		QEMU_ARGS+=(-M "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"
			-smp "$CPUS")
		;;
	*) QEMU_ARGS+=(-M "$MACHINE" -smp "$CPUS,sockets=1,cores=$CPUS,threads=1") ;;
	esac
	QEMU_ARGS+=(-cpu "$CPU" -m "${MEM}M")
	if [ -n "$ICOUNT" ]; then
		QEMU_ARGS+=(-accel "tcg,thread=single" -icount "shift=0,sleep=off")
	else
		QEMU_ARGS+=(-accel "tcg,thread=multi")
	fi
}

host_start()
{
	local run=$1 qemu=$CACHE/qemu-ppc lib args
	local QEMU_ARGS=(-display none -no-reboot -vga none -nic none)

	truncate -s 2G "$run/swap"
	power_machine
	power_devices "$run"
	args="console=hvc0 quiet loglevel=5 panic=-1 watchdog_thresh=60"
	args+=" rcupdate.rcu_cpu_stall_timeout=120${HASH_HOST:+ disable_radix}"
	QEMU_ARGS+=(-kernel "$KROOT/boot/vmlinux" -initrd "$INITRAMFS" -append "$args $APPEND"
		-serial "file:$run/console")
	[ -z "$GDB" ] || QEMU_ARGS+=(-gdb "tcp:127.0.0.1:$GDB")
	lib=$qemu/lib/x86_64-linux-gnu:$qemu/usr/lib/x86_64-linux-gnu
	export QEMU_MODULE_DIR=$qemu/usr/lib/x86_64-linux-gnu/qemu
	guarded "$qemu/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$lib" \
		"$qemu/usr/bin/qemu-system-ppc64" "${QEMU_ARGS[@]}" -L "$qemu/usr/share/qemu"
}
