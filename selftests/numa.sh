# SPDX-License-Identifier: GPL-2.0
# Sourced after client.sh by the tests that have more than one node and numa_client.
# shellcheck shell=sh

# When movable and other pages mix in a zone's blocks, the kernel raises the zone's watermarks until
# kswapd has run: meanwhile memory would come from another node although this one has some.
echo 0 >/proc/sys/vm/watermark_boost_factor

figure() {
	answer numa_client "$1"
}

# on CPU COMMAND...: give numa_client a command on CPU.
on() {
	on_cpu=$1
	shift
	taskset $((1 << on_cpu)) sh -c "echo $* >/sys/module/numa_client/parameters/run"
}

# all_on NODE: all pages of the last allocation are on NODE.
all_on() {
	is refused "$(figure refused)" = 0 && is "pages on node $1" "$(figure "node$1")" -ge 1 &&
		is "pages on node $((1 - $1))" "$(figure node$((1 - $1)))" = 0
}

# node_bytes NODE: bytes of arenas on NODE.
node_bytes() {
	awk -v nid="$1" 'NF == 7 && NR > 1 && $3 == nid { sum += $2 } END { print sum + 0 }' \
		"$KMHEAP_DEBUGFS/heaps/numa/arenas"
}

at_rest() {
	is live_objects "$(stat live_objects numa)" = 0 && balanced numa
}
# CPU 0 frees every object, of any node.
freed() {
	on 0 free && within 30 at_rest && valid
}
# Free memory is in the page heap of its node: no span is in use.
gone_home() {
	freed && tell numa_client shrink && is spans "$(stat spans numa)" = 0 &&
		is cached_bytes "$(stat cached_bytes numa)" = 0
}

# there KIND: CPUs 0 and 1 allocate 4 MiB each and name the other's node, and get memory of it.
there() {
	on 0 alloc 1 4096 "$1" && all_on 1 && on 1 alloc 0 4096 "$1" && all_on 0
}

# full: a caller with __GFP_THISNODE uses up node 1. next, insists: then CPU 1 allocates on it,
# without and with that flag.
full() {
	gone_home && on 0 alloc 1 1000000 thisnode || return 1
	note "node 1 is full after $(figure kib) KiB" >&3
	is refused "$(figure refused)" = 1 && is "KiB of node 1" "$(figure kib)" -ge 65536 &&
		is "pages of node 0" "$(figure node0)" = 0
}
next() {
	on 1 alloc 1 16384 kernel && is refused "$(figure refused)" = 0 &&
		is "pages of node 0" "$(figure node0)" -ge 1000
}
insists() {
	on 1 alloc 1 16384 thisnode
	is refused "$(figure refused)" = 1 && is "pages of node 0" "$(figure node0)" = 0
}
