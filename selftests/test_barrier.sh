#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 240
# kmheap_rcu_barrier() returns although every CPU allocates and frees as fast as it can.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 13

deferred() {
	answer deferred_client "$1"
}
: >/tmp/notes
# returns BYTES: five barriers within 30 s, while the CPUs allocate objects of BYTES.
returns() {
	tell deferred_client hammer "$1" && tell deferred_client barriers 5 30 || return 1
	echo "$1 bytes: $(tr '\n' ' ' </sys/module/deferred_client/parameters/run)" >>/tmp/notes
	is "barriers that returned" "$(deferred barriers)" -ge 5
}
rests() {
	tell deferred_client rest && tell deferred_client barrier && within 30 at_rest && valid
}
at_rest() {
	balanced deferred && is live_objects "$(stat live_objects deferred)" = 0
}

load kmheap
load deferred_client
# Two small sizes, a large one, one that is too large for a CPU to keep, one with its own arena.
for bytes in 64 32768 100000 1572864 5000000; do
	check "barriers return while all CPUs allocate $bytes bytes" returns "$bytes"
	check "nothing is live afterwards, and all adds up" rests
done
while read -r line; do
	note "$line"
done </tmp/notes
check "no free was taken for a misuse" no_misuse
unload deferred_client
unload kmheap
check "nothing is loaded" fails loaded kmheap
check "no kernel report" quiet
