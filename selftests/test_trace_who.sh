#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# memory: 2G
# timeout: 120
# On whose account heaps grow and give back, why an allocation gets nothing, and what a sweep has
# freed, as the tracepoints tell it: each value is provoked.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

tracing=/sys/kernel/tracing
events=$tracing/events/kmheap
heaps=$KMHEAP_DEBUGFS/heaps
mib=1048576
[ -e $tracing/events ] || mount -t tracefs none $tracing
plan 21

load kmheap
load heap_client
: >/tmp/samples

clear_trace() {
	: >$tracing/trace
}
# traced PATTERN: the trace has lines that match. One of them is shown at the end.
traced() {
	grep -m 1 -E "$1" $tracing/trace >>/tmp/samples || {
		echo "nothing like '$1' in:"
		grep -v '^#' $tracing/trace | tail -n 5
		return 1
	}
}
# sum HEAP WHAT FIELD: of the sweeps of a heap.
sum() {
	grep -m 1 ": sweep: heap=$1 " $tracing/trace >>/tmp/samples
	sed -n "s/.*: sweep: heap=$1 .* $3=\([0-9]*\) .*what=$2\$/\1/p" $tracing/trace | awk '{ n += $1 } END { print n + 0 }'
}
off_and_there() {
	for event in grow release refuse sweep; do
		is "$event" "$(cat $events/$event/enable)" = 0 || return 1
	done
}
check "the events are there, and off" off_and_there
echo 1 >$events/grow/enable
echo 1 >$events/release/enable

# ---- grow
tell heap_client create g
caller() {
	tell heap_client alloc g 20000000 1 && traced ': grow: heap=g bytes=[0-9]{8} node=0 backing=area who=caller$'
}
check "grow: an allocation that has to wait for an arena" caller
# One page after the other: the worker grows the heap before the last of them is gone.
ahead() {
	clear_trace
	for _ in $(seq 400); do
		tell heap_client alloc g 8192 1 || return 1
		! grep -q ': grow: heap=g .* who=worker$' $tracing/trace || break
	done
	traced ': grow: heap=g bytes=[0-9]+ node=0 backing=[a-z]+ who=worker$'
}
check "grow: the worker, ahead of allocations" ahead

# ---- release
shrink() {
	tell heap_client alloc g 8192 2000 && tell heap_client free g 3000 && clear_trace &&
		tell heap_client shrink g && traced ': release: heap=g bytes=[0-9]+ node=0 backing=[a-z]+ who=shrink$'
}
check "release: kmheap_shrink()" shrink
# The heap may have 8 MiB: what is empty has to make room for an object that has an arena of its own.
room() {
	tell heap_client create l $((8 * mib)) && tell heap_client alloc l 8192 700 &&
		tell heap_client free l 700 && clear_trace && tell heap_client alloc l $((6 * mib)) 1 &&
		traced ': release: heap=l bytes=[0-9]+ node=0 backing=[a-z]+ who=caller$'
}
check "release: an allocation that a limit is in the way of" room
reclaim() {
	tell heap_client alloc g 8192 4000 && tell heap_client free g 4000 || return 1
	clear_trace
	echo 2 >/proc/sys/vm/drop_caches
	within 10 traced ': release: heap=g bytes=[0-9]+ node=0 backing=[a-z]+ who=shrinker$'
}
check "release: the kernel's reclaim" within 30 reclaim
sleep 1000 &
victim=$!
echo 1000 >/proc/$victim/oom_score_adj
oom() {
	tell heap_client alloc g 8192 4000 && tell heap_client free g 4000 || return 1
	clear_trace
	echo f >/proc/sysrq-trigger
	within 30 traced ': release: heap=g bytes=[0-9]+ node=0 backing=[a-z]+ who=oom$'
}
check "release: the kernel is out of memory" oom
kill $victim 2>/dev/null
worker() {
	tell heap_client create d && tell heap_client alloc d $((24 * mib)) 1 && clear_trace &&
		tell heap_client free d 1 && within 60 traced ': release: heap=d bytes=[0-9]+ node=0 backing=area who=worker$'
}
check "release: the worker, an arena that was made for one object" worker
scavenged() {
	tell heap_client create s && tell heap_client alloc s 8192 8000 && clear_trace &&
		tell heap_client free s 8000 && within 120 traced ': release: heap=s bytes=[0-9]+ node=0 backing=[a-z]+ who=scavenger$'
}
check "release: the scavenger, what has not been used for a while" scavenged
ends() {
	clear_trace
	tell heap_client destroy s
	within 10 traced ': release: heap=s bytes=[0-9]+ node=0 backing=[a-z]+ who=end$'
}
check "release: the end of the heap" ends
# As for "room", whose event comes before the allocation does.
by_who() {
	echo 'who == "shrink"' >$events/release/filter || return 1
	clear_trace
	tell heap_client alloc g 8192 3000 && tell heap_client free g 3000 && tell heap_client shrink g &&
		tell heap_client create m $((8 * mib)) && tell heap_client alloc m 8192 700 &&
		tell heap_client free m 700 && tell heap_client alloc m $((6 * mib)) 1 || return 1
	echo 0 >$events/release/filter
	traced 'who=shrink$' &&
		is "others" "$(grep ': release: ' $tracing/trace | grep -vc 'who=shrink$')" = 0
}
check "release: a filter by who" by_who
echo 0 >$events/grow/enable
echo 0 >$events/release/enable

# ---- refuse
echo 1 >$events/refuse/enable
# refused PATTERN COMMAND...: it gets nothing, and is told of once, with its caller and why.
refused() {
	refused_pattern=$1
	shift
	clear_trace
	! tell heap_client "$@" 2>/dev/null || return 1
	traced ": refuse: call_site=heap_[a-z_]+\\+[^ ]+ \\[heap_client\\] $refused_pattern\$" &&
		is refusals "$(grep -c ': refuse: ' $tracing/trace)" = 1
}
check "refuse: a limit" refused "heap=l bytes=$((6 * mib)) gfp=GFP_KERNEL why=limit" alloc l $((6 * mib)) 1
small() {
	refused "heap=l bytes=1024 gfp=GFP_KERNEL why=limit" alloc l 1024 8000
}
check "refuse: a limit, an object of a class" small
check "refuse: no memory at hand for a caller that cannot sleep" refused \
	"heap=g bytes=$((6 * mib)) gfp=GFP_ATOMIC why=memory" urgent g $((6 * mib))
echo 1 >"$heaps/g/fail_nth"
check "refuse: an allocation that is to fail" refused "heap=g bytes=2048 gfp=GFP_KERNEL why=inject" alloc g 2048 1
moves() {
	tell heap_client alloc g 100 1 && tell heap_client finalize g 1 &&
		refused "heap=g bytes=5000 gfp=GFP_KERNEL why=request" move g 5000
}
check "refuse: an object that cannot move" moves
echo 0 >$events/refuse/enable

# ---- sweep
echo 1 >$events/sweep/enable
deferred() {
	tell heap_client create r && tell heap_client alloc r 64 1000 && tell heap_client alloc r 100000 3 &&
		tell heap_client barrier r || return 1
	clear_trace
	tell heap_client rcu r 1003 && tell heap_client barrier r || return 1
	is objects "$(sum r deferred objects)" = 1003 &&
		is bytes "$(sum r deferred bytes)" = $((64000 + 3 * 106496)) && is spans "$(sum r deferred spans)" -ge 8
}
check "sweep: frees that have waited" deferred
in_order() {
	for _ in 1 2 3; do
		tell heap_client alloc r 64 100 && tell heap_client rcu r 100 && tell heap_client barrier r || return 1
	done
	sed -n 's/.*: sweep: heap=r generation=\([0-9]*\) .*/\1/p' $tracing/trace >/tmp/generations
	is generations "$(sort -u /tmp/generations | wc -l)" -ge 3 && is "not in order" "$(sort -nc /tmp/generations 2>&1)" = ""
}
check "sweep: one generation after the other" in_order
garbage() {
	tell heap_client collected c && tell heap_client alloc c 200000 2 && tell heap_client alloc c 256 700 &&
		clear_trace && tell heap_client collect c 300 && tell heap_client barrier c || return 1
	is objects "$(sum c garbage objects)" = 402 &&
		is bytes "$(sum c garbage bytes)" = $((400 * 256 + 2 * 204800)) &&
		is collected "$(stat collected_objects c)" = 402
}
check "sweep: the garbage of a collection" garbage
silent() {
	echo 0 >$events/sweep/enable
	clear_trace
	tell heap_client rcu r 0 && tell heap_client alloc r 64 100 && tell heap_client rcu r 100 &&
		tell heap_client barrier r && is sweeps "$(grep -c ': sweep: ' $tracing/trace)" = 0
}
check "sweep: silent when it is off" silent

check "validators are content, and there was no misuse" eval 'valid && no_misuse'
sort -u /tmp/samples | while read -r line; do
	note "${line#*: }"
done
tell heap_client none
unload heap_client
unload kmheap
