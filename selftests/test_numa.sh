#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 600
# nodes: 224 224 0
# Memory comes from the caller's node, from the one that is named, from the nearest one when that is
# full, and from no other one with __GFP_THISNODE. Node 2 has a CPU and no memory.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"
. "$(dirname "$0")/numa.sh"

plan 20

is_on() {
	on "$1" here && is "node of CPU $1" "$(figure node)" = "$2"
}

check "nodes 0 and 1 have memory" is nodes "$(cat /sys/devices/system/node/has_memory)" = 0-1
rate=/sys/module/kmheap/parameters/scavenge_rate
load kmheap
load numa_client
check "there are CPUs on nodes 0, 1 and 2" eval 'is_on 0 0 && is_on 1 1 && is_on 2 2'

here() {
	on 0 alloc -1 4096 kernel && all_on 0 && on 1 alloc -1 4096 kernel && all_on 1
}
check "memory is of the caller's node" here
shown() {
	is "bytes on node 0" "$(node_bytes 0)" -ge 4194304 &&
		is "bytes on node 1" "$(node_bytes 1)" -ge 4194304
}
check "debugfs shows the nodes of the arenas" shown
check "remote frees go home" gone_home

check "memory is of the node that is named" there kernel
check "what is freed elsewhere" freed
# What a CPU keeps is out of reach of a caller on another one that cannot sleep, until the CPU has
# been idle for long enough. The memory stays in the heap meanwhile.
again() {
	echo 0 >$rate
	within 30 shows cpu_cache_bytes numa 0 &&
		on 0 alloc 1 1024 atomic_thisnode && all_on 1 &&
		on 1 alloc 0 1024 atomic_thisnode && all_on 0
}
check "is had again on its node, without growing" again
echo 256M >$rate
check "all of it goes back" gone_home

# CPU 0 frees objects of node 1, and its magazines keep none of them. Node 0 has room: growth
# would empty all magazines.
not_kept() {
	on 0 alloc 0 4096 kernel && all_on 0 && on 0 again 1 4096 kernel && all_on 1 &&
		on 0 again 0 2048 thisnode && all_on 0
}
check "who frees memory of another node does not get it" not_kept
check "__GFP_THISNODE takes memory of that node" there thisnode
check "all of that goes back too" gone_home

without_memory() {
	on 2 alloc -1 2048 kernel && all_on 0 && on 1 alloc 2 2048 thisnode && all_on 0
}
check "a node without memory stands for the first one" without_memory

# A caller that cannot sleep gets memory of another node: node 1 may have none at all.
no_growing() {
	gone_home && on 0 alloc 0 2048 kernel && on 1 alloc -1 16 atomic &&
		is refused "$(figure refused)" = 0
}
check "who cannot sleep is served by another node" no_growing

exec 3>&1
check "__GFP_THISNODE refuses when the node is full" full
check "others get memory of the next node" next
check "which __GFP_THISNODE still does not" insists
check "all of it goes back at the end" gone_home

# The scavenger gives both nodes' memory back.
scavenged() {
	is "bytes on node 0" "$(node_bytes 0)" -le 12582912 &&
		is "bytes on node 1" "$(node_bytes 1)" -le 12582912
}
scavenges() {
	on 0 alloc -1 24576 kernel && on 1 alloc -1 24576 kernel && fails scavenged >/dev/null &&
		freed && within 120 scavenged
}
check "the scavenger empties both nodes" scavenges
unload numa_client
unload kmheap
no_survivors() {
	fails said 'destroyed' && fails said 'oom-killer' && quiet
}
check "no survivors, nobody killed, no kernel report" no_survivors
