# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What comes from the Debian archive: tools installed on the machine, and
# packages unpacked in the cache (QEMU 10 and 7.2 with their libraries, kernels, headers,
# busybox, kernel sources).
#
# Packages for the cache are found through an apt configuration of the lab's
# own: the Debian archives that the machine is configured for, plus the backports
# beside them. The machine's own apt configuration and package database stay as
# they are, but for the few tools that need_installed() installs.

SECURITY='|-security'

# apt_for DIR [OPTION...]: from here on in this shell, with lists of its own in DIR.
apt_for()
{
	APT_DIR=$CACHE/$1
	shift
	APT=(-q -q
		-o Dir::State::lists="$APT_DIR/lists"
		-o Dir::Cache="$APT_DIR/cache"
		-o Dir::Etc::SourceList="$APT_DIR/sources.list"
		-o Dir::Etc::SourceParts=/dev/null
		-o APT::Sandbox::User=root "$@")
}

apt_for apt

# foreign ARCH COMMAND...: COMMAND, with the packages of another architecture. The
# machine's own package database does not learn of it. What only runs emulated needs no
# security updates, whose archive is the last to be complete for these architectures.
foreign()
(
	SECURITY=''
	apt_for "apt-$1" -o "APT::Architecture=$1" -o "APT::Architectures=$1" \
		-o Dir::State::status="$CACHE/apt-$1/no-packages"
	shift
	locked apt apt_update && "$@"
)

# Fetching is for root on Debian 12; a full cache serves any other system too.
require_debian()
{
	local id='' version=''

	[ -r /etc/os-release ] && {
		id=$(. /etc/os-release && echo "${ID:-}")
		version=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	}
	[ "$id:$version" = debian:bookworm ] ||
		die "$1 is missing and comes from Debian 12 (bookworm); this is ${id:-unknown} ${version:-}"
	[ "$(id -u)" = 0 ] ||
		die "$1 is missing and apt needs root to get it: run this as root once"
}

# need_installed PACKAGE...: install on the machine what is not there yet.
need_installed()
{
	local p missing=()

	for p in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
			missing+=("$p")
	done
	[ ${#missing[@]} = 0 ] && return
	require_debian "package ${missing[*]}"
	locked apt install_on_machine "${missing[@]}" || exit
}

install_on_machine()
{
	note "installing $* with apt-get"
	quiet "$CACHE/install.log" apt-get -q update &&
		quiet "$CACHE/install.log" env DEBIAN_FRONTEND=noninteractive \
			apt-get -q -y -o DPkg::Lock::Timeout=600 \
			--no-install-recommends install "$@" ||
		die "apt-get could not install $*"
}

# The machine's Debian archives, as sources of the lab's own, and the backports
# from where the main archive is. Refreshed when older than an hour, because the
# archive drops a package as soon as a newer one is there.
apt_update()
{
	local main

	[ -n "$(find "$APT_DIR/stamp" -mmin -60 2>/dev/null)" ] && return
	mkdir -p "$APT_DIR/lists/partial" "$APT_DIR/cache/archives/partial"
	: >"$APT_DIR/no-packages"
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' |
		awk -v suites="^bookworm(-updates$SECURITY)?\$" \
			'$2 ~ suites && $3 == "main" { print "deb", $0 }' |
		sort -u >"$APT_DIR/sources.list"
	main=$(awk '$3 == "bookworm" { print $2; exit }' "$APT_DIR/sources.list")
	[ -n "$main" ] || die "no bookworm main archive among apt's sources (apt-get indextargets)"
	echo "deb $main bookworm-backports main" >>"$APT_DIR/sources.list"
	note "reading the package lists of bookworm and bookworm-backports"
	quiet "$APT_DIR/update.log" apt-get "${APT[@]}" --error-on=any update ||
		die "apt-get update failed"
	touch "$APT_DIR/stamp"
}

# newest_package REGEX: the package with the highest version number in its name.
newest_package()
{
	apt-cache "${APT[@]}" search --names-only "$1" | cut -d' ' -f1 | sort -V | tail -n 1
}

# depended_on PACKAGE REGEX: the first dependency of PACKAGE that matches REGEX.
depended_on()
{
	apt-cache "${APT[@]}" show --no-all-versions "$1" | sed -n 's/^Depends: //p' |
		tr ',|' '\n' | awk '{ print $1 }' | grep -m 1 -xE "$2"
}

# unpack_packages DIR PACKAGE...: download PACKAGEs and unpack them in DIR.
unpack_packages()
{
	local dir=$1 deb debs

	shift
	debs=$(mktemp -d "$CACHE/debs.XXXXXX")
	(cd "$debs" && quiet "$debs/log" apt-get "${APT[@]}" download "$@") ||
		die "could not download $*"
	mkdir -p "$dir"
	for deb in "$debs"/*.deb; do
		dpkg -x "$deb" "$dir" || die "could not unpack $deb"
	done
	rm -rf "$debs"
}

# unpack_closure DIR RELEASE PACKAGE: unpack PACKAGE of RELEASE in DIR together with
# everything that it depends on down to the C library, as though nothing were
# installed, so that it runs whatever the machine has or will have.
unpack_closure()
{
	local dir=$1 release=$2 package=$3 deb debs

	debs=$(mktemp -d "$CACHE/debs.XXXXXX")
	mkdir -p "$debs/partial"
	quiet "$debs/log" apt-get "${APT[@]}" -y --no-install-recommends --download-only \
		-o Dir::State::status="$APT_DIR/no-packages" -o Dir::Cache::archives="$debs" \
		-t "$release" install "$package" ||
		die "could not download $package from $release"
	mkdir -p "$dir"
	for deb in "$debs"/*.deb; do
		dpkg -x "$deb" "$dir" || die "could not unpack $deb"
	done
	rm -rf "$debs"
}

# in_cache ITEM FUNCTION WHAT: make CACHE/ITEM by `FUNCTION TMPDIR` if it is not
# there. WHAT is what the user is told.
in_cache()
{
	[ -e "$CACHE/$1" ] || locked "$1" make_item "$@" || exit
}

make_item()
{
	local item=$1 make=$2 what=$3 tmp=$CACHE/$1.tmp

	[ -e "$CACHE/$item" ] && return
	require_debian "$what"
	locked apt apt_update || exit
	note "making ready: $what"
	rm -rf "$tmp"
	mkdir -p "$tmp"
	"$make" "$tmp" || die "could not prepare $what"
	mv "$tmp" "$CACHE/$item"
}

fetch_qemu()
{
	unpack_closure "$1" bookworm-backports qemu-system-x86
}

fetch_qemu_ppc()
{
	unpack_closure "$1" bookworm-backports qemu-system-ppc
}

# The oldest that is wanted as a client inside the emulated hosts.
fetch_qemu_7_2()
{
	unpack_closure "$1" bookworm qemu-system-x86
}

# To make a disk that boots, on the machine itself.
fetch_grub()
{
	unpack_closure "$1" bookworm grub-pc-bin
}

fetch_busybox()
{
	unpack_packages "$1" busybox-static
}

fetch_busybox_ppc64el()
{
	foreign ppc64el unpack_packages "$1" busybox-static
}

# Guests of 32 bits: kernels with two-level and with PAE tables, and a busybox.
fetch_guest_i386()
{
	local flavour image

	for flavour in 686 686-pae; do
		image=$(foreign i386 newest_package "^linux-image-6\.1\.0-[0-9]+-$flavour\$")
		[ -n "$image" ] || die "the archive has no kernel package for $flavour"
		foreign i386 unpack_packages "$1" "$image" || return
		ln -s "boot/vmlinuz-${image#linux-image-}" "$1/vmlinuz-$flavour"
	done
	foreign i386 unpack_packages "$1" busybox-static
}
