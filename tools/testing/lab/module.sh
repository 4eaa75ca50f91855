# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# umbra.ko for the emulated host's kernel, built in a copy of the tree in the
# cache, one for each kernel and one more for each with the test hooks. The copy
# keeps times, and only what changed is copied, so make does only what is needed.

# module_ready: makes RUN/umbra.ko, for the kernel that kernel_ready chose and HOOKS. It
# is a copy, because another lab may build the next one at any time.
module_ready()
{
	local build=$CACHE/build/$KREL${HOOKS:+-test}

	need_installed gcc gcc-12 make libelf1
	[ "$PLATFORM" != power ] ||
		need_installed gcc-12-powerpc64le-linux-gnu binutils-powerpc64le-linux-gnu
	mkdir -p "$build"
	locked "build-$KREL${HOOKS:+-test}" build_module "$build" || exit
}

build_module()
{
	local build=$1

	copy_sources "$build"
	quiet "$build.log" make_quietly "$build" KDIR="$KDIR" ${HOOKS:+UMBRA_TEST=1} ||
		die "umbra does not build for $KREL; all of it is in $build.log"
	cp "$build/umbra.ko" "$RUN/" || die "make made no umbra.ko for $KREL; see $build.log"
}

# make_quietly DIR ARG...: make that speaks only of what is wrong.
make_quietly()
{
	local dir=$1

	shift
	make -s --no-print-directory -C "$dir" -j"$(nproc)" "$@"
}

# source_files: the files below the top that a build can need.
source_files()
{
	(cd "$TOP" && find . \( -path ./.git -o -path ./.cache -o -path ./tools \
		-o -path ./Documentation -o -path ./packaging \) -prune -o -type f \
		! -name '*.o' ! -name '*.ko' ! -name '*.mod' ! -name '*.mod.c' ! -name '.*.cmd' \
		! -name Module.symvers ! -name modules.order -print)
}

# copy_sources DIR: make DIR's sources those of the tree; what it built stays.
copy_sources()
{
	local build=$1 file

	source_files | sort >"$build/.sources.new"
	[ ! -e "$build/.sources" ] ||
		comm -23 "$build/.sources" "$build/.sources.new" | (cd "$build" && xargs -r rm -f --)
	while read -r file; do
		[ ! "$TOP/$file" -nt "$build/$file" ] && [ ! "$TOP/$file" -ot "$build/$file" ] ||
			(cd "$TOP" && cp -p --parents "$file" "$build")
	done <"$build/.sources.new"
	mv "$build/.sources.new" "$build/.sources"
}
