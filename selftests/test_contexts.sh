#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 300
# Allocation and free in every context, gfp flags and scopes, and the worker that
# grows the heap for callers that cannot sleep.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

nmis=2000
has_nmis || nmis=0
plan $((nmis ? 26 : 20))

value() {
	answer contexts_client "$1"
}

load kmheap
load contexts_client

# Several times: the first use of a class in a context takes the slow path.
often() {
	often_left=50
	while [ $often_left -gt 0 ]; do
		tell contexts_client "$1" || return 1
		often_left=$((often_left - 1))
	done
}
for context in task preempt_off irqs_off spinlock raw_spinlock bh_off softirq hardirq ipi; do
	check "allocates and frees: $context" often $context
done

# The client sends an NMI with what is exported: register_nmi_handler(), apic->send_IPI().
if [ $nmis -gt 0 ]; then
	check "NMIs can be had here" tell contexts_client nmi $nmis
	note "NMI: $(tr '\n' ' ' </sys/module/contexts_client/parameters/run)"
	check "some hundred were sent" is NMIs "$(value sent)" -ge 100
	check "every one came" is NMIs "$(value taken)" = "$(value sent)"
	check "allocates and frees in NMI, contents right" is "wrong ones" "$(value wrong)" = 0
	check "refuses little in NMI" is "refused ones" "$(value refused)" -le $(($(value sent) / 2))
	check "frees the objects of others in NMI" is "objects freed" "$(value gifts)" -ge 1
fi

for scope in growing noio nofs noio_flag; do
	check "grows: $scope" eval "tell contexts_client $scope &&
		is arenas \$(value arenas_after) -gt \$(value arenas_before)"
done

check "GFP_NOWAIT gets what is there" tell contexts_client nowait
nowait_figures() {
	is got "$(value got)" -ge 10 && is refused "$(value refused)" -ge 1 &&
		is "voluntary switches" "$(value sleeps)" = 0
}
check "GFP_NOWAIT never sleeps" nowait_figures

check "an atomic burst ends" tell contexts_client burst
burst_figures() {
	is got "$(value got)" -ge 10 && is refused "$(value refused)" = 8 &&
		is refused_allocs "$(value counted)" = 8
}
check "what the burst was refused is counted" burst_figures
note "burst: $(tr '\n' ' ' </sys/module/contexts_client/parameters/run)"
note "the worker refilled the heap after $(value milliseconds) ms"
check "the worker provides pages after it" is refilled "$(value refilled)" = 1

at_rest() {
	balanced contexts && is live_objects "$(stat live_objects contexts)" = 0 &&
		is double_frees "$(stat double_frees)" = 0 && is invalid_frees "$(stat invalid_frees)" = 0
}
check "nothing is live, validates" eval "within 30 at_rest && valid"

unload contexts_client
unload kmheap
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no survivors, no kernel report" no_survivors
