#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# provokes: warnings
# An object that is freed by RCU when its heap is gone: the report has it, and the free is a misuse.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 3

load kmheap profile_period_bytes=1
load leak_client late=1
unload leak_client
# Beside what the init function has left. What kmheap itself freed a grace period later is not there.
report=$KMHEAP_DEBUGFS/reports/leaks.1
left() {
	is left_objects "$(awk '$1 == "left_objects" { print $2 }' "$report")" = 2 &&
		is leak_late "$(grep -c 'leak_late[+.].*\[leak_client' "$report")" = 1
}
check "what is freed too late is in the report, by its function" left
check "its first bytes are there" grep -q '^object [0-9]* [0-9a-f]* 48 [0-9]* 6c617465' "$report"
misuse() {
	is invalid_frees "$(stat invalid_frees)" = 1 && said 'invalid free of .*: its heap or arena is gone'
}
check "the free is told as one in no heap" misuse
unload kmheap
