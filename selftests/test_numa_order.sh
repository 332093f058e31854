#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# once: yes
# timeout: 300
# nodes: 256 256
# append: numa=fake=4
# kernels: 6.12 6.12-rt
# The kernel makes four nodes of two, so that each node has one near node and two far ones: a caller
# that cannot grow the heap gets memory of the near node.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"
. "$(dirname "$0")/numa.sh"

plan 10

check "nodes 0 to 3 have memory" is nodes "$(cat /sys/devices/system/node/has_memory)" = 0-3
load kmheap scavenge_rate=0 idle_drain_ms=0
# The heap's first arena comes from a node that is far from CPU 1.
taskset 1 insmod "$KMHEAP_MODULES/numa_client.ko"

distance() {
	awk -v to="$2" '{ print $(to + 1) }' "/sys/devices/system/node/node$1/distance"
}
# Sets home, near and far, for CPU 1. The near node must come after a far one, or a search in any
# order would find it first.
order() {
	on 1 here || return 1
	home=$(figure node) near='' far=''
	for node in 0 1 2 3; do
		[ "$node" != "$home" ] || continue
		if [ "$(distance "$home" $node)" -lt 20 ]; then near="$near$node"; else far="$far $node"; fi
	done
	note "node $home, near it $near, not near it$far" >&3
	# shellcheck disable=SC2086
	is near "${#near}" = 1 && set -- $far && is far $# = 2 && is "first node" "$1" -lt "$near"
}
exec 3>&1
# Not in check's subshell: it sets variables.
if order >/tmp/order.log; then
	pass "one node is near and two are not"
else
	fail "one node is near and two are not" "$(cat /tmp/order.log)"
fi

# The heap has free memory on every node but home, on which nobody has allocated so far.
provided() {
	on 1 free && tell numa_client shrink || return 1
	for node in $near $far; do
		on 1 alloc "$node" 2048 kernel || return 1
	done
	on 1 free && is "bytes at home" "$(node_bytes "$home")" = 0 &&
		for node in $near $far; do
			is "bytes on node $node" "$(node_bytes "$node")" -ge 1048576 || return 1
		done
}
check "there is memory on all nodes but one" provided

# An allocation that finds nothing at home wakes the worker, which grows the heap there before the
# next look, or even before the second look of the same allocation. So growth is ruled out: the
# limit is less than the heaps had when they were empty, and giving memory back would not help. A
# caller that can sleep does all that the worker would do.
limit_of_all() {
	echo "$1" >/sys/module/kmheap/parameters/total_limit
}
arenas() {
	grep -c '' "$KMHEAP_DEBUGFS/heaps/numa/arenas"
}
no_growing() {
	limit_of_all 512K && before=$(arenas) && on 1 alloc -1 1 thisnode &&
		is refused "$(figure refused)" = 1 && is "lines of arenas" "$(arenas)" = "$before"
}
check "nobody can make any there" no_growing
nearest() {
	on 1 alloc -1 1 atomic && is refused "$(figure refused)" = 0 &&
		is "pages at home" "$(figure "node$home")" = 0 &&
		is "pages of the near node" "$(figure "node$near")" -ge 1 &&
		for node in $far; do
			is "pages of node $node" "$(figure "node$node")" = 0 || return 1
		done
}
check "who cannot grow gets memory of the nearest one" nearest
# Nothing is left on any node: the allocation is refused.
own() {
	on 1 alloc -1 1 atomic_thisnode && is refused "$(figure refused)" = 1 &&
		for node in 0 1 2 3; do
			is "pages of node $node" "$(figure "node$node")" = 0 || return 1
		done
}
check "who insists on the own node gets none of another" own
nothing_at_home() {
	is "bytes at home" "$(node_bytes "$home")" = 0
}
check "there is still nothing at home" nothing_at_home
limit_of_all 0
check "all of it goes back" gone_home
unload numa_client
check "kmheap is unloaded" unload kmheap
no_survivors() {
	fails said 'destroyed|oom-killer' && quiet
}
check "no survivors, nobody killed, no kernel report" no_survivors
