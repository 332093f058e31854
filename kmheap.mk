# SPDX-License-Identifier: GPL-2.0
#
# For the Kbuild file or Makefile of a client, from the folder where kmheap was built or installed:
#	include $(KMHEAP)/kmheap.mk
# It sets the path to the headers, also for the folders below, and tells modpost of the symbols of the
# kmheap that was built for the same kernel. KMHEAP_DROPIN_FLAGS are for ccflags-y, or
# subdir-ccflags-y, of a module whose source stays as it is, see Documentation/porting.rst.
KMHEAP_FOLDER := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
KMHEAP_DROPIN_FLAGS := -include linux/kmheap_dropin.h

subdir-ccflags-y += -I$(KMHEAP_FOLDER)/include

# Kbuild has KERNELRELEASE.
KBUILD_EXTRA_SYMBOLS += $(firstword $(wildcard $(KMHEAP_FOLDER)/Module.symvers \
	$(KMHEAP_FOLDER)/symvers/$(KERNELRELEASE)/Module.symvers))
