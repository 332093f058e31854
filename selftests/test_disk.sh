#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# kernels: 6.12 6.12-rt
# source: 6.12
# disk: 8M
# A virtio disk reads and writes objects of a heap with KMHEAP_LINEAR, through the DMA API. What it has
# then is read from user space as well.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 7

# Objects of 512 bytes to 2 MiB, one behind the other from sector 8 on.
bytes=$((512 + 4096 + 5120 + 12288 + 65536 + 307200 + 1048576 + 2097152))

value() {
	answer disk_client "$1"
}

load kmheap
load virtio_disk
disk=/dev/vda
has_disk() {
	is sectors "$(cat /sys/block/vda/size)" = 16384
}
check "there is a disk, of 8 MiB" within 10 has_disk
blank() {
	is "bytes that are not zero" "$(tr -d '\0' <$disk | wc -c)" = 0
}
check "it is blank" blank
echo 3 >/proc/sys/vm/drop_caches
load disk_client
trips() {
	tell disk_client trips $disk && is sizes "$(value sizes)" = 8 &&
		is "end" "$(value end)" = $((8 + bytes / 512))
}
check "objects are written and read" trips
written() {
	is "bytes that are text" "$(tr -cd 'a-z' <$disk | wc -c)" = $bytes &&
		is "bytes that are neither" "$(tr -d 'a-z\0' <$disk | wc -c)" = 0 &&
		is "the first ones" "$(dd if=$disk bs=512 skip=8 count=1 2>/dev/null | head -c 4)" = efgh
}
check "user space reads them from the disk" written
check "validates" valid
unload disk_client
unload virtio_disk
check "left nothing" no_survivors disk
unload kmheap
check "no kernel report" quiet
