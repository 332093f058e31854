#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# append: swiotlb=force
# Objects of a heap with KMHEAP_LINEAR where the kernel wants to know the page behind an address: on
# a list_lru, in place under a cipher, and mapped for a device. With swiotlb=force each mapping has a
# bounce buffer, so the kernel itself copies from the object's pages and to them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 8

value() {
	answer linear_client "$1"
}

load kmheap
load linear_client
# 2,000 of 3,000 are left for the walks.
on_lru() {
	tell linear_client lru && is "items walked" "$(value walked)" = 2000 &&
		is "objects left" "$(value left)" = 0
}
check "objects on a list_lru" on_lru
check "and once more, in memory that was used" on_lru
in_cipher() {
	tell linear_client crypt && is sizes "$(value sizes)" = 6 && is "objects left" "$(value left)" = 0
}
check "objects under cbc(aes)" in_cipher
mapped() {
	tell linear_client dma && is sizes "$(value sizes)" = 6 && is "objects left" "$(value left)" = 0
}
check "objects mapped with dma_map_single()" mapped
bounced() {
	is "bounced" "$(grep -c '^bounced' /sys/module/linear_client/parameters/run)" = 6
}
check "by way of bounce buffers" bounced
check "no misuse" no_misuse
check "validates" valid
unload linear_client
unload kmheap
check "no kernel report" quiet
