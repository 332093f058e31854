#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# kernels: 6.12
# source: 6.12
# timeout: 90
# Parts of the kernel's source, built as they are with the drop-in header: lib/test_meminit.c,
# lib/test_vmalloc.c, lib/rhashtable.c with its test, fs/overlayfs, and fs/configfs with its sample.
# They do their work, and nothing of their heaps is left.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 21

# loads MODULE [PARAM=VALUE...]: it has a heap of its own then.
loads() {
	load "$@" && stat allocs "$1" >/dev/null
}

# What the modules want of the kernel: what the build has found that porting.rst does not name.
check "no slab or vmalloc symbol but those of porting.rst" \
	fails grep . "$KMHEAP_MODULES/dropin.strangers"

load kmheap
check "test_meminit.c runs" loads dropin_meminit
unload dropin_meminit
check "constructors, bulk, SLAB_TYPESAFE_BY_RCU" said 'all [0-9]+ tests passed!'
check "left nothing" no_survivors dropin_meminit

# Its init fails when it is done.
check "test_vmalloc.c runs" fails load dropin_vmalloc nr_threads=2 test_loop_count=5
vmalloc_passed() {
	is "passed" "$(log_of_test | grep -c 'Summary: .* passed: 1 failed: 0')" -ge 20 &&
		fails said 'Summary: (fix|full|long|random|kvfree)[^ ]* passed: [0-9]* failed: [1-9]'
}
check "vmalloc() and kvfree_rcu()" vmalloc_passed
check "left nothing" no_survivors dropin_vmalloc

check "test_rhashtable.c runs" \
	loads dropin_rhashtable parm_entries=2000 runs=1 tcount=2
unload dropin_rhashtable
check "a table that grows and shrinks" said 'Started 2 threads, 0 failed, rhltable test returns 0'
# A walk that the table's worker has sent on to a new table may see an entry twice, and says so.
walks_are_whole() {
	log_of_test >/tmp/walks
	is walks "$(grep -c 'Traversal complete' /tmp/walks)" -ge 2 &&
		! grep 'Traversal complete.*table-jumps=0' /tmp/walks | grep -v counted=2000, &&
		! grep 'YES, failed' /tmp/walks
}
check "and none before" walks_are_whole
check "left nothing" no_survivors dropin_rhashtable

load dropin_overlay
mkdir -p /tmp/disk /tmp/merged
mount -t tmpfs none /tmp/disk
mkdir -p /tmp/disk/lower/dir /tmp/disk/upper /tmp/disk/work
for file in 1 2 3 4 5 6 7 8; do
	echo "lower $file" >"/tmp/disk/lower/dir/$file"
done
mount_overlay() {
	mount -t overlay none /tmp/merged \
		-o lowerdir=/tmp/disk/lower,upperdir=/tmp/disk/upper,workdir=/tmp/disk/work
}
check "overlayfs is mounted" mount_overlay
works() {
	echo more >>/tmp/merged/dir/1 && rm /tmp/merged/dir/2 &&
		mv /tmp/merged/dir/3 /tmp/merged/dir/three && ln -s 1 /tmp/merged/dir/link &&
		mkdir /tmp/merged/new && cp /tmp/merged/dir/* /tmp/merged/new &&
		rm -r /tmp/merged/dir && mkdir /tmp/merged/dir &&
		is files "$(find /tmp/merged -type f | wc -l)" = 8 &&
		is text "$(tail -n 1 /tmp/merged/new/1)" = more &&
		is "lower file" "$(cat /tmp/disk/lower/dir/2)" = "lower 2"
}
check "files are read, copied up, renamed and removed" works
has_objects() {
	is live_objects "$(stat live_objects dropin_overlay)" -ge 5
}
check "its heap has objects meanwhile" has_objects
umount /tmp/merged
umount /tmp/disk
unload dropin_overlay
check "left nothing" no_survivors dropin_overlay
# Two modules: the items are the sample's, and what configfs has of them is configfs'.
load dropin_configfs
load dropin_configitems
config=/tmp/config
mkdir -p $config
check "configfs is mounted" mount -t configfs none $config
makes_items() {
	for item in a b c d e f g h; do
		mkdir $config/02-simple-children/$item &&
			echo 17 >$config/02-simple-children/$item/storeme || return 1
	done
	is storeme "$(cat $config/02-simple-children/e/storeme)" = 17 &&
		is "objects of the sample" "$(stat live_objects dropin_configitems)" = 8 &&
		is "objects of configfs" "$(stat live_objects dropin_configfs)" -ge 20
}
check "items have an object in each heap" makes_items
removes_items() {
	rmdir $config/02-simple-children/? && shows live_objects dropin_configitems 0
}
check "and have none when they are removed" removes_items
umount $config
unload dropin_configitems
unload dropin_configfs
check "left nothing" no_survivors dropin_configitems
check "nor here" no_survivors dropin_configfs

unload kmheap
check "the kernel has reported nothing" quiet
