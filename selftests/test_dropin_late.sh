#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# provokes: warnings
# The drop-in header where things have gone: an address of a heap that has ended, in each function
# that takes one; and the limit that an operator has set.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 7

load kmheap default_limit=1M
check "loads" load dropin_late
log_of_test | sed -n 's/.*dropin_late: /# /p'
check "the kernel's functions get no address of a heap that has gone" \
	said 'dropin_late: an address of none: 0$'
each_is_reported() {
	is invalid_frees "$(stat invalid_frees)" = 7 && said 'invalid free of .*: its heap or arena is gone'
}
check "and each is reported" each_is_reported
check "a limit does not hold callers that cannot sleep" \
	said 'of 512 that cannot sleep 0 are refused and [1-9][0-9]* the kernel'
check "it does hold the others" said 'of 512 that can ([0-9]|[0-9][0-9]|[1-4][0-9][0-9]) get some'
footprint() {
	is footprint_bytes "$(stat footprint_bytes dropin_late)" -le 1048576
}
check "and the heap" footprint
unload dropin_late
nothing_left() {
	fails said 'heap dropin_late (destroyed|outlives)' && valid
}
check "left nothing" nothing_left
unload kmheap
