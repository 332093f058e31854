#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 180
# Memory goes back: level by level, on request, to the kernel's shrinkers, from idle and from
# offline CPUs. The scavenger is off, so nothing goes by itself.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

mib=1048576
begun=262144		# what a new heap begins with, and a shrunk one keeps
d=$KMHEAP_DEBUGFS
h=$d/heaps/held
plan 35

load kmheap scavenge_rate=0 idle_drain_ms=0
load heap_client
tell heap_client create held
# Another one that has something to give.
tell heap_client create other && tell heap_client alloc other 3000 2000 &&
	tell heap_client free other 100000

# on CPU COMMAND...: give heap_client a command on CPU, where its writer runs.
on() {
	on_cpu=$1
	shift
	taskset -c "$on_cpu" sh -c "echo '$*' >/sys/module/heap_client/parameters/run"
}
drained() {
	is cpu_cache_bytes "$(stat cpu_cache_bytes held)" = 0 &&
		is central_bytes "$(stat central_bytes held)" = 0 &&
		is releasable_bytes "$(stat releasable_bytes held)" -le $begun
}
# load_all: 48 MiB of objects, small and large.
load_all() {
	tell heap_client alloc held 3000 6000 && tell heap_client alloc held 16000 1200 &&
		tell heap_client alloc held 65536 200
}
unload_all() {
	tell heap_client free held 100000 && within 30 shows live_objects held 0
}

# ---- on request
check "objects of all sizes" load_all
# The worker, which is late on a busy host, would grow the heap again after memory is given back.
check "nobody grows the heap for now" nobody_grows heap_client alloc held 100000000 1
check "all but some are freed" tell heap_client free held 7000
levels() {
	is cpu_cache_bytes "$(stat cpu_cache_bytes held)" -gt 0 &&
		is page_heap_bytes "$(stat page_heap_bytes held)" -gt $mib && balanced held
}
check "levels have something" levels
for value in 0 2 text 1x '' -1 1.0; do
	check "shrink refuses '$value'" fails eval "echo '$value' 2>/dev/null >$h/shrink"
done
refused() {
	message=$({ echo 2 >"$h/shrink"; } 2>&1)
	is "bytes shrunk" "$(cat "$h/shrink")" = 0 && is "bytes shrunk of all" "$(cat "$d/shrink")" = 0 &&
		echo "$message" | grep -q 'Invalid argument' && levels
}
check "with EINVAL, and nothing has gone" refused
one_write() {
	footprint=$(stat footprint_bytes held) && metadata=$(stat metadata_bytes held)
	echo 1 >"$h/shrink" && drained && valid && balanced held || return 1
	gone=$((footprint - metadata - $(stat footprint_bytes held) + $(stat metadata_bytes held)))
	is "bytes shrunk" "$(cat "$h/shrink")" = "$gone" && is gone "$gone" -gt $((4 * mib)) &&
		is shrunk_bytes "$(stat shrunk_bytes held)" = "$gone"
}
check "one write drains all levels and says how much" one_write
check "the rest is as it was" unload_all
all_heaps() {
	echo 1 >"$d/shrink" && drained && is page_heap_bytes "$(stat page_heap_bytes held)" = $begun &&
		is page_heap_bytes "$(stat page_heap_bytes default)" -le $begun &&
		is "bytes shrunk of all" "$(cat "$d/shrink")" -gt "$(cat "$h/shrink")"
}
check "one write for all heaps" all_heaps
growth_again
check "and they can be used again" load_all
check "and be emptied" unload_all

# ---- the kernel's shrinkers: all of them, once
free_before=$(free_kib)
drop() {
	echo 2 >/proc/sys/vm/drop_caches
	is reclaimed_bytes "$(stat reclaimed_bytes held)" -ge $((40 * mib))
}
left() {
	is leaving_bytes "$(stat leaving_bytes held)" = 0 && balanced held
}
freed() {
	is "KiB free" "$(free_kib)" -ge $((free_before + 38 * 1024))
}
check "drop_caches takes what is unused" within 30 drop	# or finds a worker there
check "after a grace period it has left" within 30 left
check "and is the kernel's" within 30 freed
atomic_rest() {
	is page_heap_bytes "$(stat page_heap_bytes held)" -gt 0 && valid
}
check "something is left for those who cannot sleep" atomic_rest
again() {
	load_all && echo 2 >/proc/sys/vm/drop_caches && unload_all && valid
}
check "objects that live are not touched" again
echo 1 >"$d/shrink"

# ---- CPUs
use() {
	on 1 alloc held 200 500 && on 1 alloc held 65536 10 && on 1 free held 510 &&
		is cpu_cache_bytes "$(stat cpu_cache_bytes held)" -ge 655360
}
# An offline CPU keeps nothing.
cpu_goes() {
	echo 0 >/sys/devices/system/cpu/cpu1/online && is cpu_cache_bytes "$(stat cpu_cache_bytes held)" = 0 &&
		valid
}
check "a CPU keeps something" use
check "an offline one nothing" cpu_goes
check "it comes back" eval "echo 1 >/sys/devices/system/cpu/cpu1/online"
check "and keeps something again" use
sleep 1
kept() {
	is idle_drains "$(stat idle_drains held)" = 0 && is cpu_cache_bytes "$(stat cpu_cache_bytes held)" -gt 0
}
check "as long as it is not looked for" kept
idle_drained() {
	is cpu_cache_bytes "$(stat cpu_cache_bytes held)" = 0 && is idle_drains "$(stat idle_drains held)" -ge 1
}
idle_ms=/sys/module/kmheap/parameters/idle_drain_ms
echo 300 >$idle_ms
check "it is used once more" on 1 alloc held 3000 1
check "and drained when it is idle" within 60 idle_drained

# A new idle_drain_ms applies at once, also to a wait that has begun.
echo 600000 >$idle_ms
check "it is used again, with ten minutes to go" use
sleep 1
keeps() {
	is cpu_cache_bytes "$(stat cpu_cache_bytes held)" -gt 0
}
check "and keeps what it has" keeps
echo 300 >$idle_ms
emptied() {
	is cpu_cache_bytes "$(stat cpu_cache_bytes held)" = 0
}
check "with a shorter time it is drained within that" within 60 emptied
# A look is due, and comes after looks have been forbidden. On a busy host the look may be first:
# then once more.
forbidden_in_time() {
	echo 1000 >$idle_ms && use && echo 0 >$idle_ms && keeps
}
never() {
	within 60 forbidden_in_time && sleep 3 && keeps
}
check "and not at all with none" never

at_rest() {
	unload_all && valid && balanced && is double_frees "$(stat double_frees)" = 0
}
check "validates, adds up" at_rest
unload heap_client
unload kmheap
check "no kernel report" quiet
