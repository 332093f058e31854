#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# append: init_on_free=1
# timeout: 120
# With init_on_free nothing is left of a freed object, whichever function freed it.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 6

wipes() {
	dmesg | grep -q 'mem auto-init:.*heap free:on'
}
check "the kernel wipes what is freed" wipes
load kmheap
load wiped_client
check "every object leaves by every way" tell wiped_client walk
none_left() {
	is "objects that were not wiped" "$(answer wiped_client bad)" = 0 || {
		cat /sys/module/wiped_client/parameters/run
		return 1
	}
}
check "nothing is left of any" none_left
check "all ways were gone" is objects "$(answer wiped_client objects)" = \
	"$(answer wiped_client all)"
check "validates" valid
unload wiped_client
unload kmheap
check "no kernel report" quiet
