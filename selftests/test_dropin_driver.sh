#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A driver whose heap the drop-in header makes: its limit and its reserve, an init that fails, and
# a heap that cannot be made. And a module that asks for the kernel's memory, with kernel_kmalloc()
# and its like.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 15

load kmheap
load dropin_kernel
log_of_test | sed -n 's/.*dropin_kernel: /# /p'
check "what the kernel is asked for is the kernel's" said 'dropin_kernel: 38 checks, 0 wrong$'
check "and no allocation of the heap" shows allocs dropin_kernel 0
unload dropin_kernel
check "left nothing" no_survivors dropin_kernel

load dropin_driver
log_of_test | sed -n 's/.*dropin_driver: /# /p'
# 512 KiB are 128 pieces in spans; the default, 64 KiB, would be 16.
check "the reserve is there before anybody asks for it" \
	said 'cannot sleep: (1[2-9][0-9]|[23][0-9]{2}) of 1024, 0 of them the kernel'
check "the limit holds, and nothing beyond it is the kernel's" \
	said 'can sleep: [2-5][0-9]{2} of 1024, 0 of them the kernel'
check "nor for a caller that cannot sleep, when the reserve is used up" \
	said 'cannot sleep, at the limit: [0-9]{1,3} of 1024, 0 of them the kernel'
has_limit() {
	is limit_bytes "$(cat "$KMHEAP_DEBUGFS/heaps/dropin_driver/limit_bytes")" = 2097152 &&
		is footprint_bytes "$(stat footprint_bytes dropin_driver)" -le 2097152
}
check "the heap has that limit" has_limit
check "the driver is there" test -d /sys/bus/platform/drivers/dropin_driver
unload dropin_driver
check "both functions get the further argument" said 'unregistered with a word$'
check "left nothing" no_survivors dropin_driver
fails_well() {
	fails load dropin_driver fail=1 2>/tmp/said && no_survivors dropin_driver &&
		fails loaded dropin_driver && fails test -e /sys/bus/platform/drivers/dropin_driver
}
check "its init may fail" fails_well
leaves_one() {
	fails load dropin_driver fail=1 leak=1 2>/tmp/said &&
		said 'heap dropin_driver destroyed with 1 live objects of' && valid
}
check "and what it leaves behind is reported" leaves_one
unload kmheap

# inits MODULE: what its init has said so far.
inits() {
	log_of_test | grep -cE " $1: .*( of 1024,| checks,)"
}
# not_made MODULE WHY: its heap cannot be made, and nothing of the module runs.
not_made() {
	before=$(inits "$1")
	fails load "$1" 2>/tmp/said && said "heap $1: $2" && fails loaded "$1" &&
		is "lines of its init" "$(inits "$1")" = "$before"
}
load kmheap total_limit=512K
check "no init without a heap: all heaps have too little" \
	not_made dropin_driver 'no (reserve|first arena)'
unload kmheap
load kmheap default_limit=512K
check "no init without a heap: the reserve is more than half of the limit" \
	not_made dropin_kernel 'reserve of 524288 bytes'
unload kmheap
check "the kernel has reported nothing" quiet
