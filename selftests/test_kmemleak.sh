#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# kernel: debug
# append: kmemleak=on
# timeout: 180
# kmemleak finds the objects that a client has lost, and no others.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 7

leaks=/sys/kernel/debug/kmemleak

load kmheap
load sanitize_client

check "kmemleak is there" test -e $leaks
# Leaks from before this test do not count.
echo clear >$leaks

# lost BYTES: how many objects of that size, allocated by the client, are reported.
lost() {
	grep -A 40 "^unreferenced object .*(size $1):" $leaks | awk -v bytes="$1" '
		/^unreferenced object/ { mine = index($0, "(size " bytes ")") > 0; counted = 0 }
		mine && !counted && /\[sanitize_client\]/ { n++; counted = 1 }
		END { print n + 0 }'
}

# kmemleak reports an object that is at least 5 s old, in the second scan in which its contents are
# unchanged. A pointer that is left on some stack hides an object, rarely more than a few.
found() {
	echo scan >$leaks
	is "lost objects" "$(lost 128)" -ge 12 && is "hidden objects" "$(lost 320)" -eq 1
}

all_reports() {
	grep -c '^unreferenced object' $leaks || :
}

work() {
	tell sanitize_client hold && tell sanitize_client churn &&
		tell sanitize_client drop && tell sanitize_client hide && tell sanitize_client wipe
}
check "objects are held, lost, and hidden in data" work
check "those that are lost are found" within 60 found
# The 16 held objects are at least as old as the lost ones.
none_else() {
	is "lost objects" "$(lost 128)" -le 16 && is "all reports" "$(all_reports)" -le 17 && return
	cat $leaks
	return 1
}
check "those that are held are not" none_else

# Freed objects are forgotten, those that were lost when their heap goes.
check "what is held is freed" tell sanitize_client free
unload sanitize_client
forgotten() {
	echo scan >$leaks
	is "reports" "$(all_reports)" -eq 0 || {
		cat $leaks
		return 1
	}
}
check "with the heap its objects are forgotten" within 60 forgotten
unload kmheap
switched_off() {
	dmesg | grep -iE 'kmemleak: .*(disabled|Cannot)|Kernel memory leak detector disabled'
}
check "kmemleak has not switched itself off" fails switched_off
