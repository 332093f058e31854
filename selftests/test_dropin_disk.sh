#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# kernels: 6.12
# source: 6.12
# A file system and a block device of the kernel's source, built as they are with the drop-in header:
# fs/minix, whose inodes are on a list_lru and in a linear heap, on drivers/block/brd.c. Files are
# written, and read back after another mount; nothing of the two heaps is left.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 12

check "no slab or vmalloc symbol but those of porting.rst" \
	fails grep . "$KMHEAP_MODULES/dropin.strangers"
load kmheap
load dropin_brd rd_nr=2 rd_size=8192
load dropin_minix
disk=/tmp/minix
mkdir -p $disk
mounts_minix() {
	mount -t minix /dev/ram1 $disk
}
cat "$KMHEAP_MODULES/dropin.minix" >/dev/ram1
check "minix is mounted" mounts_minix
writes_files() {
	mkdir -p $disk/dir/sub && dd if=/dev/urandom of=$disk/dir/large bs=64k count=40 2>/tmp/said &&
		for file in 0 1 2 3 4 5 6 7 8 9; do
			dd if=/dev/urandom of=$disk/dir/sub/$file bs=1777 count=$((file + 1)) 2>/tmp/said ||
				return 1
		done &&
		mv $disk/dir/sub/0 $disk/zero && ln -s zero $disk/link && ln $disk/zero $disk/hard &&
		rm $disk/dir/sub/1 &&
		(cd $disk && find . -type f | sort | xargs sha256sum) >/tmp/sums
}
check "files are written" writes_files
has_mount() {
	is "objects of minix" "$(stat live_objects dropin_minix)" -ge 2 &&
		is "objects of brd" "$(stat live_objects dropin_brd)" -ge 2
}
check "both heaps have objects" has_mount
check "no inode is the kernel's" fails grep '^minix_inode_cache ' /proc/slabinfo
has_inodes() {
	is inodes "$(awk '$NF == "minix_inode_cache" { print $4 }' \
		"$KMHEAP_DEBUGFS/heaps/dropin_minix/caches")" -ge 10
}
check "but the heap's" has_inodes
reads_back() {
	umount $disk && echo 3 >/proc/sys/vm/drop_caches && mounts_minix &&
		is files "$(wc -l </tmp/sums)" = 11 && (cd $disk && sha256sum -c /tmp/sums) &&
		is link "$(readlink $disk/link)" = zero && cmp $disk/zero $disk/hard
}
check "and read back after another mount" reads_back
check "every validator is content" valid
umount $disk
unload dropin_minix
check "left nothing" no_survivors dropin_minix
forgets() {
	fails dd if=/dev/ram1 of=/tmp/said bs=1k count=1
}
unload dropin_brd
check "nor did the block device" no_survivors dropin_brd
check "which has gone" forgets

unload kmheap
check "the kernel has reported nothing" quiet
