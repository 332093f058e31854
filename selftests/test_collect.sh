#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# once: yes
# timeout: 300
# A collected heap: threads, hardirqs and softirqs of every CPU allocate, move, free
# and forget objects while a collector marks and sweeps, and the validators run. Objects
# in the table keep their contents; forgotten ones are collected, every one.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

collections=${KMHEAP_COLLECTIONS:-100}
plan 18

figure() {
	answer collect_client "$1"
}

load kmheap
load collect_client
check "allocates and collects on every CPU" tell collect_client start "$collections"

watch_client collect_client collect footprint_bytes
check "ends" tell collect_client stop
sed 's/^/# /' /sys/module/collect_client/parameters/run
note "$watch_reads looks at the figures, at most $most bytes taken"
note "swept spans $(stat swept_spans collect), generations $(stat generations collect)"
check "did all collections" is collections "$(figure collections)" -ge "$collections"
check "no collection failed" is error "$(figure error)" = 0
check "what was in the table kept its contents" is mismatches "$(figure mismatches)" = 0
check "objects were forgotten, freed and deferred" \
	is "the least of these" "$(printf '%s\n' "$(figure dropped)" "$(figure freed)" "$(figure deferred_frees)" | sort -n | head -n 1)" -ge 1000
check "objects were moved" is moves "$(figure moves)" -ge 1000
check "hardirqs and softirqs took part" \
	is "the lesser of both" "$(printf '%s\n%s\n' "$(figure hardirq_allocs)" "$(figure softirq_allocs)" | sort -n | head -n 1)" -ge 1000

# After a collection in which nobody allocates, the marked objects are the live ones.
held=$(figure held)
check "live is what the table holds" within 30 shows live_objects collect "$held"
check "the figures add up" eval 'valid && balanced collect'
check "all is forgotten and collected" tell collect_client clear
collected() {
	is live_objects "$(stat live_objects collect)" = 0 &&
		is deferred_objects "$(stat deferred_objects collect)" = 0 &&
		is collected_objects "$(stat collected_objects collect)" = "$(figure dropped)" &&
		is marked_objects "$(stat marked_objects collect)" = "$(figure marked)" &&
		is collections "$(stat collections collect)" = $((collections + 2))
}
check "each forgotten object was collected, once" within 30 collected
check "no free was taken for a misuse" no_misuse
check "the figures add up at the end" balanced collect
check "validates at the end" valid

unload collect_client
unload kmheap
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no survivors, no kernel report" no_survivors
