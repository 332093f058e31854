#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 300
# kernels: 6.12-rt 6.1-rt
# count: yes
# How long kmheap delays a timer's interrupt and the thread of the highest priority, in instructions
# (a nanosecond each); to compare, with no load and with the kernel's own allocators.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 6

figure() {
	answer rt_client "$1"
}

# Each time the timer came the thread ran, so there is a delay to read.
measure() {
	tell rt_client measure "$1" "$2" && is "times" "$(figure times)" -ge 300 &&
		is thread_ns "$(figure thread_ns)" -ge 1 || return 1
	note "$1: interrupt at most $(figure irq_ns) instructions late, thread $(figure thread_ns)," \
		"in $(figure times) times, $(figure steps) steps" >&3
}
exec 3>&1

load kmheap
load rt_client
check "with nothing to do" measure nothing 100
check "the kernel's allocators" measure kernel 300
check "kmheap" measure kmheap 600
# An interrupt allocates, too: a lock that sleeps on that path would be a bug.
check "kmheap, with an interrupt that allocates" measure interrupts 600
at_rest() {
	balanced rt && is live_objects "$(stat live_objects rt)" = 0
}
check "nothing is live, validates, adds up" eval "within 30 at_rest && valid"
unload rt_client
unload kmheap
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no survivors, no kernel report" no_survivors
