#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# append: kmheap_locked_down
# A kernel that is locked down for integrity, as with Secure Boot, and then for confidentiality: what
# can still be read. It has a guest of its own (the parameter above says nothing to anybody), which
# loads no module from then on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

lockdown=/sys/kernel/security/lockdown
h=$KMHEAP_DEBUGFS/heaps/leaks
mount -t securityfs none /sys/kernel/security 2>/dev/null
if [ ! -e $lockdown ]; then
	plan 1
	skip "what can be read" "this kernel cannot be locked down"
	exit 0
fi
plan 9

load kmheap profile_period_bytes=1
load leak_client
tell leak_client all
load profile_client
tell profile_client begin
echo 1 >$KMHEAP_DEBUGFS/heaps/profiled/profile_period_bytes
tell profile_client alloc list 50
tell profile_client end
echo integrity >$lockdown
check "it is locked down" grep -q '\[integrity\]' $lockdown
check "files that are written are closed" fails cat "$h/profile_period_bytes" 2>/dev/null

# Those that nobody can write, all of them, and how many they are.
readable() {
	readable_n=0
	for file in $(find $KMHEAP_DEBUGFS -type f ! -perm -200); do
		cat "$file" >/dev/null || return 1
		readable_n=$((readable_n + 1))
	done
	is "files" $readable_n -ge 25
}
check "all others can be read" readable
filled() {
	is "objects of the profile" "$(awk '$1 == "site" { n += $3 } END { print n }' "$h/profile")" = 78 &&
		grep -q '^object ' $KMHEAP_DEBUGFS/reports/profiled.1
}
check "and have what they should, first bytes too" filled
tracing() {
	[ -e /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing 2>/dev/null
	note "tracefs: $(cat /sys/kernel/tracing/events/kmheap/alloc/format 2>&1 | head -n 1)"
}
tracing

cp $KMHEAP_DEBUGFS/reports/profiled.1 /tmp/profiled.1
echo confidentiality >$lockdown
check "it is locked down further" grep -q '\[confidentiality\]' $lockdown
# A read may begin and end anywhere.
no_bytes() {
	fails grep -q '^object ' $KMHEAP_DEBUGFS/reports/profiled.1 &&
		is "the report" "$(dd bs=7 if=$KMHEAP_DEBUGFS/reports/profiled.1 2>/dev/null | md5sum)" = \
			"$(grep -v '^object ' /tmp/profiled.1 | md5sum)"
}
check "reports from before show no bytes of objects any more, and the rest" no_bytes
unload leak_client
confidential() {
	is "objects that are left" "$(awk '$1 == "left_objects" { print $2 }' $KMHEAP_DEBUGFS/reports/leaks.2)" = 78 &&
		fails grep -q '^object ' $KMHEAP_DEBUGFS/reports/leaks.2
}
check "reports from then on have no bytes of objects" confidential
check "validators are content" valid
unload profile_client
unload kmheap
check "nothing is in the log" quiet
