#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 240
# patches: code
# The handler of a tracer allocates and frees where kmheap holds one of its own locks.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 10

figure() {
	answer tracer_client "$1"
}
: >/tmp/notes
# traced SYMBOL: a second of work, with a tracer at SYMBOL that allocates and frees.
traced() {
	tell tracer_client trace "$1" 1000 || return 1
	echo "$1: $(tr '\n' ' ' </sys/module/tracer_client/parameters/run)" >>/tmp/notes
	is hits "$(figure hits)" -ge 1 && within 30 at_rest && valid
}
at_rest() {
	balanced tracer && is live_objects "$(stat live_objects tracer)" = 0
}

load kmheap
load tracer_client
# The traced functions are called in an mcache's section, without a lock, under a class's lock and
# under a page heap's.
for symbol in kmh_mcache_refill kmh_mheap_alloc_span kmh_inbox_pop_announced_locked \
	kmh_mcentral_claim_locked kmh_pa_alloc kmh_pa_free kmh_fixalloc_get; do
	check "allocates and frees in $symbol()" traced "$symbol"
done
while read -r line; do
	note "$line"
done </tmp/notes
check "no free was taken for a misuse" no_misuse
unload tracer_client
unload kmheap
check "nothing is loaded" fails loaded kmheap
check "no kernel report" quiet
