#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 180
# memory: 256M
# A small guest runs out of memory: unused memory of the heaps goes back, and the OOM killer stays
# away.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

mib=1048576
taken=80		# MiB
plan 17

hog=/tmp/hog
mkdir -p $hog
check "memory that cannot be reclaimed" mount -t ramfs ramfs $hog

load kmheap scavenge_rate=0 idle_drain_ms=0
load heap_client
tell heap_client create held
tell heap_client create busy
check "a heap that is in use" tell heap_client alloc busy 1000 2000

# Half of the memory is in small objects, half in large ones; all are freed again.
fill() {
	tell heap_client alloc held 16000 $((taken / 2 * 64)) &&
		tell heap_client alloc held 65536 $((taken / 2 * 16)) && tell heap_client free held 100000
}
killed() {
	log_of_test | grep -E 'Out of memory|oom-kill|Killed process'
}
check "a heap takes $taken MiB" fill
holds() {
	is footprint_bytes "$(stat footprint_bytes held)" -ge $((taken * mib))
}
check "and holds them" holds

note "$(kib MemFree) KiB free, $(kib MemAvailable) available, of $(kib MemTotal)"
demand=$(($(kib MemAvailable) / 1024 + taken * 6 / 10))
demand_it() {
	dd if=/dev/zero of=$hog/pages bs=1M count=$demand 2>&1 &&
		is "MiB written" $(($(wc -c <$hog/pages) / mib)) = $demand
}
check "somebody else takes $demand MiB, more than there is" demand_it
given() {
	is reclaimed_bytes "$(stat reclaimed_bytes held)" -ge $((taken * mib / 2)) && balanced held
}
check "the heap has given back at least half" given
check "nobody was killed" fails killed
check "the heap in use is as it was" tell heap_client free busy 1000
check "all is valid under pressure" valid
check "an object can be had" tell heap_client alloc held 100 10
note "$(kib MemFree) KiB free, $(stat reclaimed_bytes held) bytes reclaimed, $(stat oom_bytes) by the OOM notifier"
rm $hog/pages

# ---- the last resort, as if there were no other
echo 1 >"$KMHEAP_DEBUGFS/shrink"
check "the heap takes them again" fill
before=$(stat oom_bytes)
sleep 1000 &
victim=$!
echo 1000 >/proc/$victim/oom_score_adj
last_resort() {
	is oom_bytes "$(stat oom_bytes)" -ge $((before + taken * mib - 4 * mib)) &&
		is leaving_bytes "$(stat leaving_bytes held)" = 0
}
echo f >/proc/sysrq-trigger
check "out of memory, everything unused goes" within 60 last_resort
nothing_kept() {
	is cpu_cache_bytes "$(stat cpu_cache_bytes held)" -le 65536 &&
		is releasable_bytes "$(stat releasable_bytes held)" -le 266240
}
check "from all levels" nothing_kept
kill $victim 2>/dev/null
check "valid after that" valid
check "and it can be used" fill
checked() {
	tell heap_client none && valid && is double_frees "$(stat double_frees)" = 0
}
check "contents were right, no misuse" checked
umount $hog
unload heap_client
unload kmheap
no_reports() {
	! log_of_test | grep -E 'BUG:|WARNING:|Oops|INFO: (possible|task|rcu|trying)|general protection'
}
check "no kernel report" no_reports
