#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# provokes: warnings
# vfree() of an object, as by kvfree() and kfree_rcu(), frees the arena that the object lies in, and
# kfree() of a linear object the page, where the kernel does not refuse it (7.x). The validators and
# the end of a heap report it, and the heap goes on without the arena.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

kib=1024
plan 15

load kmheap backing=area
load area_client
finds_it() {
	cat "$KMHEAP_DEBUGFS/validate" >/tmp/lost
	grep -q 'freed by somebody else' /tmp/lost && valid &&
		is invalid_frees "$(stat invalid_frees area)" = 1 &&
		said 'an arena with live objects was freed'
}
goes_on() {
	tell area_client go_on && valid && balanced area
}
for bytes in $((64 * kib)) $((3072 * kib)); do
	check "vfree() of $bytes bytes" tell area_client steal "$bytes"
	check "is found" finds_it
	check "and the heap goes on" goes_on
	tell area_client renew
done

finds_page() {
	if [ "$(answer area_client freed)" = 0 ]; then
		note "this kernel refuses it"
		valid
		return
	fi
	cat "$KMHEAP_DEBUGFS/validate" >/tmp/lost
	grep -q 'freed by somebody else' /tmp/lost && valid &&
		is invalid_frees "$(stat invalid_frees area)" = 1 &&
		said 'a page with live objects was freed'
}
for bytes in 4096 $((1024 * kib)); do
	tell area_client renew linear
	check "kfree() of $bytes linear bytes" tell area_client steal "$bytes"
	check "is found" finds_page
	check "and the heap goes on" goes_on
done
tell area_client renew

# No validator looks before the heap ends: the end reports the arena.
found_late() {
	tell area_client renew && valid &&
		is invalid_frees "$(stat invalid_frees)" = $((before + 1))
}
check "vfree() of 64 KiB once more" tell area_client steal $((64 * kib))
before=$(stat invalid_frees)
check "is found when the heap ends" found_late
check "and no area is freed twice" fails said 'vfree\(\)( nonexistent| bad)|nonexistent vm area'
unload area_client
unload kmheap
