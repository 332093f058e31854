# SPDX-License-Identifier: GPL-2.0
#
# Kbuild says what is built; scripts/ say how it is run.

KDIR ?= /lib/modules/$(shell uname -r)/build

# Where clients find what they are built with, for all kernels; see kmheap.mk.
# What uname -r says there. (Debian's headers of 6.1 have another name in kernel.release.)
KVER ?= $(shell sed -n 's/^.define UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h 2>/dev/null)
SHARE := $(DESTDIR)/usr/share/kmheap
SYMVERS := $(SHARE)/symvers/$(KVER)
MODULE_FOLDER := $(DESTDIR)/lib/modules/$(KVER)/updates
TOOLS := $(DESTDIR)/usr/share/kmheap-tools

.PHONY: all help run check check-quick check-long models docs shell bench clean
.PHONY: install uninstall install-clients uninstall-clients install-symvers uninstall-symvers install-tools
.PHONY: built named

all:
	@case "$(CURDIR)$(KDIR)" in *[[:space:]:]*) \
		echo "The kernel's build takes no folder with a space or a colon in its name; 'make run' does." >&2; \
		exit 1 ;; esac
	@[ -e "$(KDIR)/Makefile" ] || { \
		echo "No kernel to build against in $(KDIR): install its headers or set KDIR=." >&2; \
		echo "'make run' needs neither: it fetches a kernel and boots it." >&2; \
		exit 1; }
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

# Where the kernel's own modules are compressed, so is what DKMS has built before it asks for symbols.
built: named
	@[ -n "$(wildcard kmheap.ko*)" ] && [ -e Module.symvers ] || { echo "Nothing is built yet: make" >&2; exit 1; }

install: built install-clients install-tools
	install -D -m 644 kmheap.ko $(MODULE_FOLDER)/kmheap.ko
	[ ! -e advisor/kmheap_advisor.ko ] || \
		install -D -m 644 advisor/kmheap_advisor.ko $(MODULE_FOLDER)/kmheap_advisor.ko
	[ -n "$(DESTDIR)" ] || depmod $(KVER)

install-clients: install-symvers
	install -D -m 644 -t $(SHARE)/include/linux include/linux/*.h
	install -D -m 644 -t $(SHARE)/include/linux/kmheap_dropin include/linux/kmheap_dropin/*.h
	install -D -m 644 -t $(SHARE) kmheap.mk

# A package may have the rest: see debian/rules.
install-symvers: built
	install -d $(SYMVERS)
	sed -nE 's|\t([^\t]*/)?kmheap\t|\tkmheap\t|p' Module.symvers >$(SYMVERS)/Module.symvers

install-tools:
	install -D -m 755 -t $(TOOLS) tools/kmheap
	install -D -m 644 -t $(TOOLS)/kmheap_insight tools/kmheap_insight/*.py
	install -D -m 644 -t $(TOOLS)/kmheap_insight/verbs tools/kmheap_insight/verbs/*.py
	install -d $(DESTDIR)/usr/sbin
	ln -sfn ../share/kmheap-tools/kmheap $(DESTDIR)/usr/sbin/kmheap
	install -D -m 644 -t $(DESTDIR)/usr/share/man/man8 tools/kmheap.8

named:
	@[ -n "$(KVER)" ] || { echo "No kernel in $(KDIR): set KDIR= or KVER=." >&2; exit 1; }

uninstall: named uninstall-clients
	rm -f $(MODULE_FOLDER)/kmheap.ko $(MODULE_FOLDER)/kmheap_advisor.ko
	[ -e $(SHARE) ] || rm -rf $(TOOLS) $(DESTDIR)/usr/sbin/kmheap $(DESTDIR)/usr/share/man/man8/kmheap.8
	[ -n "$(DESTDIR)" ] || depmod $(KVER)

# The headers, and the command kmheap, go with the last kernel.
uninstall-clients: named
	rm -rf $(SYMVERS)
	rmdir $(SHARE)/symvers 2>/dev/null && rm -rf $(SHARE) || :

uninstall-symvers: named
	rm -rf $(SYMVERS)
	rmdir $(SHARE)/symvers $(SHARE) 2>/dev/null || :

help:
	@echo "make              build kmheap.ko and the samples (KDIR=, ARCH= honoured)"
	@echo "make install      kmheap.ko, what clients need, and the command kmheap (DESTDIR=, KVER=); uninstall"
	@echo "make run          boot a stock 6.12 with kmheap and the sample client, feed it, print the figures, write a report"
	@echo "                  (KERNEL=6.1, 6.12-rt, 6.12-arm64)"
	@echo "make check        all tests: KUnit, kselftests on stock kernels, static checks"
	@echo "make check-quick  KUnit on User-Mode Linux only (seconds when warm)"
	@echo "make check-long   longer runs and further kernels (over an hour)"
	@echo "make models       model checks of the protocols that two CPUs can race on"
	@echo "make docs         Documentation/ as pages in results/docs/"
	@echo "make shell        an interactive guest with the module loaded (KERNEL=6.12)"
	@echo "make bench        all benchmarks, and all their figures in results/benchmarks.md"
	@echo "make clean        remove what was built here (the cache folder stays)"

run:
	@scripts/run $(KERNEL)

check:
	@scripts/check

check-quick:
	@scripts/check kunit-uml

check-long:
	@scripts/check-long

models:
	@scripts/check models

docs:
	@scripts/check docs

shell:
	@scripts/shell $(KERNEL)

bench:
	@scripts/bench
	@scripts/bench-report

clean:
	@scripts/clean
