#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 300
# long-timeout: 1800
# Ten million allocations and frees (three elsewhere than on 6.12) from threads, hardirqs and
# softirqs of every CPU, most frees on another CPU than the allocation, one in four deferred, while the
# validators run. The long form is a hundred million.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

ops=${KMHEAP_LONG:+100000000}
full_length && ops=${ops:-10000000}
ops=${ops:-3000000}
plan 16

figure() {
	answer stress_client "$1"
}

# Every class but 0 (the tiny one's row counts blocks) has been allocated from.
every_class() {
	awk '
		NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; columns = NF; next }
		NF == columns { rows++; if (!$c["allocs"]) { print "unused:", $0; bad = 1 } }
		END { exit bad || rows != 68 }' "$KMHEAP_DEBUGFS/heaps/stress/classes"
}

load kmheap
load stress_client
check "starts on every CPU" tell stress_client start "$ops"

watch_client stress_client stress footprint_bytes
check "every size class was used" every_class
check "ends" tell stress_client stop
sed 's/^/# /' /sys/module/stress_client/parameters/run
note "validators read $watch_reads times; $(($(figure ops) * 1000 / $(figure milliseconds))) operations a second"
check "did all operations" is operations "$(figure ops)" -ge "$ops"
check "contents were right at every free" is mismatches "$(figure mismatches)" = 0
check "half of the frees were remote" \
	is "remote frees" "$(figure remote_frees)" -ge $(($(figure frees) / 2))
check "a share of the frees was deferred" \
	is "deferred frees" "$(figure deferred_frees)" -ge $(($(figure frees) / 8))
check "hardirqs and softirqs took part" \
	is "the lesser of both" "$(printf '%s\n%s\n' "$(figure hardirq_ops)" "$(figure softirq_ops)" | sort -n | head -n 1)" -ge $((ops / 1000))
check "they were in their contexts" is "wrong contexts" "$(figure wrong_context)" = 0

deferrals_end() {
	tell stress_client barrier &&
		is deferred_bytes "$(stat deferred_bytes stress)" = 0 &&
		is deferred_objects "$(stat deferred_objects stress)" = 0
}
check "no deferred free is left after a barrier" deferrals_end
misuses() {
	for name in double_frees invalid_frees wrong_size_frees live_objects; do
		is "$name" "$(stat $name stress)" = 0 || return 1
	done
	is allocs "$(stat allocs stress)" = "$(stat frees stress)"
	is "double frees of no heap" "$(stat double_frees)" = 0
}
check "nothing is live, no free was taken for a misuse" within 30 misuses
check "the figures add up" balanced stress
check "validates at the end" valid

unload stress_client
unload kmheap
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no survivors, no kernel report" no_survivors
