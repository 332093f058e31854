#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# also: uml
# A client that uses each name that the drop-in header maps: its memory is its heap's, what the
# kernel has allocated is freed by the kernel, and the heap is there from before the client's init
# until after its exit.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 17

# What the modules want of the kernel: what the build has found that porting.rst does not name.
check "no slab or vmalloc symbol but those of porting.rst" \
	fails grep . "$KMHEAP_MODULES/dropin.strangers"
load kmheap
load dropin_names
log_of_test | sed -n 's/.*dropin_names: /# /p'
check "every name gives the module's memory" said 'dropin_names: [0-9]{3} checks, 0 wrong$'
check "so do rare names, all forms, and addresses" \
	said 'dropin_names, forms: [0-9]{2,3} checks, 0 wrong$'
at_rest() {
	echo 1 >"$KMHEAP_DEBUGFS/shrink" && shows live_objects dropin_names 0
}
check "all is freed, also after a grace period" within 10 at_rest
unload dropin_names
check "allocates until its exit has returned" said 'dropin_names: 0 wrong at the end$'
check "left nothing" no_survivors dropin_names
check "its init may fail" fails load dropin_names fail=1
check "and leaves nothing" no_survivors dropin_names
load dropin_names leak=1
unload dropin_names
check "a leak is reported" said 'heap dropin_names destroyed with 1 live objects of'
load dropin_compat
log_of_test | sed -n 's/.*dropin_compat: /# /p'
check "names that a kernel does not have may be the module's own" \
	said 'dropin_compat: [0-9]{2} checks, 0 wrong$'
unload dropin_compat
check "left nothing" no_survivors dropin_compat
load dropin_own
check "a heap that the module has made" shows live_objects own 1
check "and that has a limit" said 'dropin_own, 16 MiB of 8: refused$'
unload dropin_own
check "left nothing" no_survivors own
load dropin_linear
log_of_test | sed -n 's/.*dropin_linear: /# /p'
check "a linear heap stands what kmalloc() does" said 'dropin_linear: 2[0-9]{2} checks, 0 wrong$'
unload dropin_linear
check "left nothing" no_survivors dropin_linear
unload kmheap
check "the kernel has reported nothing" quiet
