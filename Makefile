# SPDX-License-Identifier: GPL-2.0-only
#
# umbra.ko and its tests. `make help` lists the targets; Kbuild lists the objects.

KDIR ?= /lib/modules/$(shell uname -r)/build

kbuild = +$(MAKE) -C $(KDIR) M=$(CURDIR)
release = $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h)
# Signing fails noisily where the kernel's own key is not, which is everywhere else.
signing = $(if $(wildcard $(KDIR)/certs/signing_key.pem),,CONFIG_MODULE_SIG_ALL=)

.DEFAULT_GOAL := modules
.PHONY: modules clean install headercheck check check-long check-peer demo bench help need-headers

modules: need-headers
	$(kbuild) modules

# One object or the like: make virt/vm.o
Makefile: ;
%.o %.i %.s %.lst: need-headers
	$(kbuild) $@

# Kbuild looks for what it built in the whole tree; the lab's kernels are no part of it.
clean: need-headers
	$(kbuild) clean RCS_FIND_IGNORE='\( -name .git -o -name .cache \) -prune -o'

install: need-headers
	$(kbuild) modules_install $(signing)
	depmod $(if $(INSTALL_MOD_PATH),-b $(INSTALL_MOD_PATH)) $(release)
	@scripts/signing-hint $(KDIR)

headercheck: need-headers
	scripts/headercheck $(KDIR)

check:
	tools/testing/lab/check

check-long:
	tools/testing/lab/check --long

demo:
	tools/testing/demo/run

check-peer:
	tools/testing/peer/run

bench:
	@missed=0; for rows in run 'run --mmu shadow' boot; do \
		tools/testing/bench/$$rows || missed=1; \
	done; exit $$missed

need-headers:
	@test -e $(KDIR)/Makefile || { scripts/no-headers $(KDIR); exit 1; }

help:
	@echo 'Targets:'
	@echo '  modules      umbra.ko for KDIR (default)'
	@echo '  install      install umbra.ko where modprobe finds it'
	@echo '  headercheck  each header compiles alone, and no include goes up a layer'
	@echo '  check        all tests, in emulated hosts; needs none of this kernel'"'"'s headers'
	@echo '  check-long   the long tests as well, and all of them on a debug kernel'
	@echo '  check-peer   Linux'"'"'s own KVM selftests on umbra and on stock KVM, side by side'
	@echo '  demo         stock QEMU boots Debian'"'"'s kernel in an emulated host, which takes its memory'
	@echo '  bench        cost of each operation beside stock KVM'"'"'s, in instructions'
	@echo '  clean        remove what was built'
	@echo '  FILE.o, FILE.i, FILE.s, FILE.lst'
	@echo
	@echo 'Variables:'
	@echo '  KDIR=DIR       build for the kernel whose headers are in DIR ($(KDIR))'
	@echo '  UMBRA_TEST=1   with the hooks that tests use to put faults in'
	@echo '  C=1, W=1, V=1  sparse, more warnings, commands: as in the kernel'
	@echo '  INSTALL_MOD_PATH=DIR  root for install'
