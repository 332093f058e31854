#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 200
# append: nohz_full=2
# kernels: 6.12
# The drain of idle CPUs does not interrupt a CPU that runs without a tick: its cache is drained on
# request alone.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 8

# on CPU COMMAND...: give heap_client commands on CPU.
on() {
	cpu=$1
	shift
	for command in "$@"; do
		taskset $((1 << cpu)) sh -c \
			"echo $command >/sys/module/heap_client/parameters/run" || return 1
	done
}

# use CPU: after this CPU's cache holds 640 KiB or more.
use() {
	on "$1" "alloc held 200 500" "alloc held 65536 10" "free held 510"
}

check "CPU 2 runs without a tick" is nohz_full "$(cat /sys/devices/system/cpu/nohz_full)" = 2
load kmheap idle_drain_ms=0 scavenge_rate=0
load heap_client
tell heap_client create held
# Both CPUs allocate before either frees: growth would drain the cache of the other CPU.
both() {
	on 1 "alloc held 200 500" "alloc held 65536 10" &&
		on 2 "alloc held 200 500" "alloc held 65536 10" "free held 510" &&
		on 1 "free held 510" && is cpu_cache_bytes "$(stat cpu_cache_bytes held)" -ge $((2 * 655360))
}
check "two CPUs keep something" both
echo 300 >/sys/module/kmheap/parameters/idle_drain_ms
check "the one with a tick asks to be looked at" use 1
one_drained() {
	is idle_drains "$(stat idle_drains held)" -ge 1 &&
		is cpu_cache_bytes "$(stat cpu_cache_bytes held)" -lt $((2 * 655360))
}
check "the one with a tick is drained" within 60 one_drained
sleep 3		# ten times what it takes
other_keeps() {
	is cpu_cache_bytes "$(stat cpu_cache_bytes held)" -ge 655360
}
check "the other one is not" other_keeps
shrunk() {
	echo 1 >"$KMHEAP_DEBUGFS/heaps/held/shrink" &&
		is cpu_cache_bytes "$(stat cpu_cache_bytes held)" = 0
}
check "a request drains it" shrunk
check "validates, adds up" eval 'within 30 balanced held && valid'
unload heap_client
unload kmheap
check "no kernel report" quiet
