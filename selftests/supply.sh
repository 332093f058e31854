# SPDX-License-Identifier: GPL-2.0
# What test_supply.sh and test_supply_6g.sh have in common.
# shellcheck shell=sh

load kmheap
load supply_client

of_client() {
	answer supply_client "$1"
}
killed() {
	log_of_test | grep -E 'Out of memory|oom-kill|Killed process'
}

answered() {
	note "$(tr '\n' ' ' </sys/module/supply_client/parameters/run)"
}

# ---- memory in single pages
check "objects from memory that is free in single pages" tell supply_client \
	fragmented "$percent" 64 try
answered
# A 16th less is descriptors and the map of addresses. The kernel refuses the two at different
# times: it left 5 to 9 MiB of 53 to kmalloc(), 5 to 7 to the heap.
as_kmalloc() {
	is kmheap_taken_kib "$(of_client kmheap_taken_kib)" -ge \
		$(($(of_client kmalloc_taken_kib) * 7 / 8))
}
check "as many as kmalloc() gets" as_kmalloc
check "and with an ordinary gfp" tell supply_client \
	fragmented $((percent / 2)) 512 kernel
answered
check "half of it" is kmheap_taken_kib "$(of_client kmheap_taken_kib)" -ge \
	$(($(of_client kmheap_free_kib) * (percent / 2) / 100 - 1))
check "and nobody is killed for it" fails killed

# ---- what only reclaim gets
check "one object in reclaim" tell supply_client memalloc 1 4096
answered
check "takes no more than it needs" is kmheap_took_kib "$(of_client kmheap_took_kib)" -le 256
check "300 objects in reclaim" tell supply_client memalloc 300 4096
answered
check "are had where kmalloc() has them" is kmheap_got "$(of_client kmheap_got)" -ge \
	"$(of_client kmalloc_got)"
check "and take no more than twice as much" is kmheap_took_kib "$(of_client kmheap_took_kib)" -le \
	$((2 * $(of_client kmalloc_took_kib) + 256))

# ---- callers that cannot sleep
served_as_kmalloc() {
	answered
	is kmheap_refused "$(of_client kmheap_refused)" -le "$(of_client kmalloc_refused)"
}
check "a burst of 1 MiB into a cold heap without a reserve" tell supply_client cold 256 4096 0
answered
check "a burst of 1 MiB into a cold heap with one" tell supply_client cold 256 4096 2097152
check "is served as kmalloc() serves it" served_as_kmalloc
check "a reserve of 1 MiB" tell supply_client reserve 1048576
# The burst takes half of the memory above the kernel's watermarks: the worker stops at them, where
# kmalloc() goes on.
echo 3 >/proc/sys/vm/drop_caches
check "little memory is left" tell supply_client hog "$little"
answered
objects=$(awk '$1 == "pages" && $2 == "free" { free += $3 } $1 == "high" { high += $2 }
	END { above = int((free - high) / 2); print above < 2000 ? above : 2000 }' /proc/zoneinfo)
note "$objects objects"
check "more than the reserve in bursts, each after a refill" eval 'is objects "$objects" -ge 400 &&
	tell supply_client atomic "$objects" 4096 100'
check "are served as kmalloc() serves them" served_as_kmalloc
tell supply_client reserve 0
tell supply_client release

# ---- growth beside spans that are in use
check "allocations beside $spans partial spans" tell supply_client beside "$spans"
answered

unload supply_client
unload kmheap
no_reports() {
	! log_of_test | grep -E 'BUG:|WARNING:|Oops|INFO: (possible|task|rcu|trying)|general protection'
}
check "no kernel report" no_reports
