#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# append: page_poison=1
# timeout: 180
# With page_poison the kernel fills pages that are free and looks, when it hands them out, whether
# somebody has written to them meanwhile. So pages that a heap gave back are not its own any more, and
# pages that it gets are not zero, whatever init_on_alloc says.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 16

poisons() {
	dmesg | grep -q 'PAGE_POISONING is on, will take precedence'
}
figure() {
	answer stress_client "$1"
}
# But for what a new heap begins with, or of areas one.
all_back() {
	echo 1 >$KMHEAP_DEBUGFS/shrink &&
		is releasable_bytes "$(stat releasable_bytes stress)" -le $((4 * 1048576))
}

check "the kernel poisons free pages" poisons
load kmheap
for backing in block area; do
	echo $backing >/sys/module/kmheap/parameters/backing
	load stress_client
	check "$backing: all kinds of objects" tell stress_client start 1000000
	watch_client stress_client stress footprint_bytes
	check "$backing: they end" tell stress_client stop
	check "$backing: contents were right, and zero where that was asked for" \
		is mismatches "$(figure mismatches)" = 0
	check "$backing: all goes back" within 30 all_back
	unload stress_client
	# What was given back goes through other hands, and is looked at there.
	check "$backing: the kernel's pages are as it left them" fails said 'pagealloc:'
done
unload kmheap
check "no kernel report" quiet
