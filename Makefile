# SPDX-License-Identifier: GPL-2.0
#
# Kbuild says what is built; scripts/ say how it is run.

KDIR ?= /lib/modules/$(shell uname -r)/build

.PHONY: all help run check check-quick check-long models docs shell bench clean

all:
	@case "$(CURDIR)$(KDIR)" in *[[:space:]:]*) \
		echo "The kernel's build takes no folder with a space or a colon in its name; 'make run' does." >&2; \
		exit 1 ;; esac
	@[ -e "$(KDIR)/Makefile" ] || { \
		echo "No kernel to build against in $(KDIR): install its headers or set KDIR=." >&2; \
		echo "'make run' needs neither: it fetches a kernel and boots it." >&2; \
		exit 1; }
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

help:
	@echo "make              build kmheap.ko and the samples (KDIR=, ARCH= honoured)"
	@echo "make run          boot a stock 6.12 with kmheap and the sample client, feed it, print the figures, write a report"
	@echo "make check        all tests: KUnit, kselftests on stock kernels, static checks"
	@echo "make check-quick  KUnit on User-Mode Linux only (seconds when warm)"
	@echo "make check-long   longer runs and further kernels (over an hour)"
	@echo "make models       model checks of the protocols that two CPUs can race on"
	@echo "make docs         Documentation/ as pages in results/docs/"
	@echo "make shell        an interactive guest with the module loaded (KERNEL=6.12)"
	@echo "make bench        all benchmarks, and all their figures in results/benchmarks.md"
	@echo "make clean        remove what was built here (the cache folder stays)"

run:
	@scripts/run

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
