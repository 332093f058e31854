#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# once: yes
# timeout: 120
# A client's callback of CPU hotplug allocates while a task waits in kmheap_rcu_barrier().
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

cycles=5
plan 9

figure() {
	answer hotplug_client "$1"
}
load kmheap
load hotplug_client

# A callback that waits for ever cannot be ended: others look whether the CPU comes and goes.
for _ in $(seq $cycles); do
	for state in 0 1; do
		echo $state >/sys/devices/system/cpu/cpu1/online || echo $state >>/tmp/failed
		echo $state >>/tmp/cycles
	done
done &
all_cycles() {
	is "times that cpu1 went or came" "$(wc -l </tmp/cycles)" = $((2 * cycles))
}
check "a CPU goes and comes $cycles times" within 120 all_cycles
check "and was let each time" fails cat /tmp/failed
check "figures" tell hotplug_client figures
note "$(tr '\n' ' ' </sys/module/hotplug_client/parameters/run)"
check "the callback allocated each time" is calls "$(figure calls)" = $((2 * cycles))
check "while a barrier was waiting" is waited "$(figure waited)" = $((2 * cycles))
check "and was refused nothing" is refused "$(figure refused)" = 0
goes_on() {
	tell hotplug_client figures && is barriers "$(figure barriers)" -gt "$before"
}
before=$(figure barriers)
check "barriers return again" within 60 goes_on
check "validates" valid
unload hotplug_client
unload kmheap
check "no kernel report" quiet
