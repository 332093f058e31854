#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# once: yes
# timeout: 900
# Storms from hardirq, softirq and NMI on all CPUs: at a rate that the refill can keep up with
# nothing is refused, above it every refusal is counted, and afterwards nothing is again.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

allocs=400000
served="softirq hardirq"
has_nmis && served="$served nmi"
plan 14

value() {
	answer reserve_client "$1"
}

load kmheap
load reserve_client

run=/sys/module/reserve_client/parameters/run
# counted: the heap counts as many refusals as the client, context by context.
counted() {
	for context in softirq hardirq nmi; do
		is "reserve_refused_$context" "$(stat reserve_refused_$context storm)" = \
			"$(value ${context}_refused)" || return 1
	done
	is refused_allocs "$(stat refused_allocs storm)" = $(($(value softirq_refused) +
		$(value hardirq_refused) + $(value nmi_refused)))
}
right() {
	is wrong "$(value wrong)" = 0 && within 30 balanced storm && valid &&
		within 30 shows live_objects storm 0
}

check "a storm that can be kept up with" tell reserve_client storm "$allocs"
note "storm: $(tr '\n' ' ' <$run)"
check "so many have been asked for" is allocs "$(value allocs)" -ge "$allocs"
check "none is refused" is refused "$(value refused)" = 0
check "what was refused before is counted" counted
check "contents and heap are right" right
all_served() {
	for context in $served; do
		is $context "$(stat reserve_served_$context storm)" -gt 0 || return 1
	done
	is reserve_bytes "$(stat reserve_bytes storm)" -gt 0 &&
		is "their peak" "$(stat reserve_peak_bytes storm)" -le 8388608
}
check "each context was served, from a bounded reserve" all_served
note "reserve: $(grep ^reserve "$KMHEAP_DEBUGFS/heaps/storm/stats" | tr '\n' ' ')"

check "a flood that cannot be kept up with" tell reserve_client flood 40
note "flood: $(tr '\n' ' ' <$run)"
refused_some() {
	is refusals "$(stat refused_allocs storm)" -gt 0
}
check "some of it is refused" refused_some
check "every refusal is counted" counted
check "contents and heap are right after it" right

check "the storm again" tell reserve_client storm $((allocs / 10))
note "storm: $(tr '\n' ' ' <$run)"
again() {
	is refused "$(value refused)" = 0 && counted && right
}
check "nothing is refused again" again

comes_back() {
	tell reserve_client shrink &&
		is footprint_bytes "$(stat footprint_bytes storm)" -le 4194304
}
check "the footprint comes back" within 60 comes_back

unload reserve_client
unload kmheap
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no survivors, no kernel report" no_survivors
