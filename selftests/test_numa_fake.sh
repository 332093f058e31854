#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 600
# memory: 512M
# append: numa=fake=2
# kernels: 6.12 6.12-rt
# The kernel makes two nodes of one. It deals out CPUs and memory as it likes, so the test reads
# which node a CPU is on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"
. "$(dirname "$0")/numa.sh"

plan 12

check "nodes 0 and 1 have memory" is nodes "$(cat /sys/devices/system/node/has_memory)" = 0-1
load kmheap
load numa_client

here() {
	cpu=0
	while [ $cpu -lt "$(nproc)" ]; do
		on $cpu here
		node=$(figure node)
		on $cpu alloc -1 4096 kernel && all_on "$node" || return 1
		cpu=$((cpu + 1))
	done
}
check "memory is of the caller's node" here
check "remote frees go home" gone_home
check "memory is of the node that is named" there kernel
check "all of that goes back" gone_home
check "__GFP_THISNODE takes memory of that node" there thisnode
check "all of that goes back too" gone_home
exec 3>&1
check "__GFP_THISNODE refuses when the node is full" full
check "others get memory of the next node" next
check "which __GFP_THISNODE still does not" insists
check "all of it goes back at the end" gone_home
unload numa_client
unload kmheap
no_survivors() {
	fails said 'destroyed|oom-killer' && quiet
}
check "no survivors, nobody killed, no kernel report" no_survivors
