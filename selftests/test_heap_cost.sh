#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# count: yes
# once: yes
# timeout: 120
# What it takes to create and to destroy an empty heap, in instructions: the time of a CPU on which each
# takes a nanosecond. Nobody's waiting counts.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

heaps=40
plan 5

# The time that this shell has run, and that all tasks have that there are.
own_ns() {
	read -r own _ </proc/$$/schedstat
}
all_ns() {
	all=$(cat /proc/[0-9]*/schedstat 2>/dev/null | awk '{ sum += $1 } END { printf "%.0f", sum }')
}

# spent COMMAND...: leaves in $caller and $everybody what a heap takes of the one who calls, and of it
# and all workers together until a second later.
spent() {
	all_ns
	own_ns
	before=$own
	everybody=$all
	tell heap_client "$@" || return 1
	own_ns
	caller=$(((own - before) / heaps))
	sleep 1
	all_ns
	everybody=$(((all - everybody) / heaps))
}

load kmheap small_heaps=1
load heap_client
# The kernel's own caches have grown once before it counts.
tell heap_client many $heaps 0 8
tell heap_client none
sleep 1

spent many $heaps 0 8
note "to create a heap: $caller instructions, $everybody with those of all workers"
check "to create a heap takes few instructions" is instructions "$caller" -le 200000
check "all of them" is heaps "$(stat heaps)" = $((heaps + 1))
spent none
note "to destroy a heap: $caller instructions, $everybody with those of all workers"
check "to destroy a heap takes few instructions" is instructions "$caller" -le 100000
check "with those of the workers, too" is instructions "$everybody" -le 400000
unload heap_client
unload kmheap
check "no kernel report" quiet
