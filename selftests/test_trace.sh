#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Tracepoints, against what clients have done and what the heaps' figures say. (The one of misuse is
# in test_misuse.sh.)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

tracing=/sys/kernel/tracing
events=$tracing/events/kmheap
heaps=$KMHEAP_DEBUGFS/heaps
[ -e $tracing/events ] || mount -t tracefs tracefs $tracing
plan 19

load kmheap
load profile_client
load heap_client

# traced PATTERN N: the trace has N lines that match.
traced() {
	is "number of '$1'" "$(grep -cE "$1" $tracing/trace)" = "$2" || {
		grep -v '^#' $tracing/trace | tail -n 5
		return 1
	}
}
# sum EVENT HEAP BACKING: events, and their bytes.
sum() {
	grep -E ": $1: heap=$2 bytes=[0-9]+ node=[0-9]+ backing=$3 who=[a-z]+\$" $tracing/trace |
		awk '{ sub(/.* bytes=/, ""); n++; bytes += $1 } END { printf "%.0f %.0f\n", n, bytes }'
}
# clear_trace: forget the events so far.
clear_trace() {
	: >$tracing/trace
}

all_there() {
	for event in hit refuse grow release sweep misuse; do
		is "$event" "$(cat $events/$event/enable)" = 0 || return 1
	done
}
check "the events are there, and off" all_there

# ---- hit
tell profile_client begin
echo 1 >"$heaps/profiled/profile_period_bytes"
silent() {
	clear_trace
	tell profile_client alloc list 100 && traced ': hit: ' 0
}
check "an event that is off is silent" silent
echo 1 >$events/hit/enable
hits() {
	tell profile_client alloc list 500 && tell profile_client alloc table 300 &&
		tell profile_client alloc text 20 && tell profile_client alloc buffer 40 &&
		tell profile_client alloc interrupt 200 || return 1
	traced ': hit: call_site=profile_from_list\+.* heap=profiled ptr=[0-9a-f]+ bytes=64$' 500 &&
		traced ': hit: call_site=profile_from_table\+.* heap=profiled .* bytes=1024$' 300 &&
		traced ': hit: call_site=profile_from_text\+.* heap=profiled .* bytes=8$' 20 &&
		traced ': hit: call_site=profile_from_buffer\+.* heap=profiled .* bytes=57344$' 40 &&
		traced ': hit: call_site=profile_from_interrupt\+.* heap=profiled .* bytes=[0-9]+$' 200 &&
		traced ': hit: ' 1060
}
check "hit: every object of a profile with period 1" hits
in_interrupt() {
	# The third of the flags is the context: a hard interrupt, in a task or alone.
	traced '\] [^ ][^ ][hH].*: hit: call_site=profile_from_interrupt\+' 200
}
check "hit: an interrupt's are an interrupt's" in_interrupt
filtered() {
	echo 'heap == "profiled" && bytes > 500' >$events/hit/filter || return 1
	clear_trace
	tell profile_client alloc list 30 && tell profile_client alloc table 70 && traced ': hit: ' 70 || return 1
	echo 'heap == "another"' >$events/hit/filter || return 1
	clear_trace
	tell profile_client alloc table 70 && traced ': hit: ' 0
}
check "hit: a filter by heap and bytes" filtered
echo 0 >$events/hit/filter
unsampled() {
	echo 0 >"$heaps/profiled/profile_period_bytes" || return 1
	clear_trace
	tell profile_client alloc list 30 && traced ': hit: ' 0
}
check "hit: none of a heap that is not profiled" unsampled
echo 0 >$events/hit/enable

# ---- grow, release
clear_trace
echo 'hist:keys=heap:values=bytes' >$events/grow/trigger
echo 1 >$events/grow/enable
echo 1 >$events/release/enable
# agrees BACKING: a heap of that name has as many arenas as came less those that went. Its worker may
# take one between the reads.
agrees() {
	# shellcheck disable=SC2046
	set -- $(sum grow "$1" "$1") $(sum release "$1" "$1") $(stat arenas "$1")
	is "number of arenas" $(($1 - $3)) = "$5"
}
grows() {
	tell heap_client create "$1" && tell heap_client alloc "$1" 1000 8000 && within 2 agrees "$1" || return 1
	# shellcheck disable=SC2046
	set -- $(sum grow "$1" "$1")
	is "growths" "$1" -ge 3 && is "bytes that came" "$2" -ge 8000000
}
histogram() {
	is "the histogram's growths and bytes" \
		"$(awk -v name="$1" '$1 == "{" && $3 == name { sub(/.*hitcount: */, ""); print $1, $NF }' \
			$events/grow/hist)" = "$(sum grow "$1" "$1")"
}
releases() {
	tell heap_client free "$1" 6000 && tell heap_client shrink "$1" && within 2 agrees "$1" || return 1
	# shellcheck disable=SC2046
	set -- "$1" $(sum release "$1" "$1") $(sum release "$1" pages)
	is "releases" "$2" -ge 1 || return 1
	# Where it can, the arena in which the last of the objects are gives single pages back.
	case $1 in
	area) is "releases of pages" "$4" = 0 ;;
	block) is "releases of pages" "$4" -ge 1 ;;
	esac
}
all_back() {
	# shellcheck disable=SC2046
	set -- $(sum grow "$1" "$1") $(sum release "$1" "$1") $(sum release "$1" pages)
	is "arenas that went" "$3" = "$1" && is "bytes that went" $(($4 + $6)) = "$2"
}
default_backing=$(cat /sys/module/kmheap/parameters/backing)
for backing in area block; do
	echo $backing >/sys/module/kmheap/parameters/backing
	check "grow: as many ${backing}s as the heap has" grows $backing
	check "grow: a histogram by heap" within 2 histogram $backing
	check "release: as many ${backing}s as the heap has lost" releases $backing
	tell heap_client destroy $backing
	check "release: in the end all bytes that came" within 2 all_back $backing
done
echo "$default_backing" >/sys/module/kmheap/parameters/backing
echo '!hist:keys=heap:values=bytes' >$events/grow/trigger
echo 0 >$events/enable

# ---- refuse
clear_trace
echo 1 >$events/refuse/enable
tell heap_client create b 1048576
tell heap_client create c
none() {
	tell heap_client alloc c 3000000 1 && tell heap_client alloc b 100 10 && traced ': refuse: ' 0
}
check "refuse: none where there is memory" none
refuses() {
	! tell heap_client alloc b 3000000 1 2>/dev/null || return 1
	traced ': refuse: call_site=heap_hold.* heap=b bytes=3000000 gfp=GFP_KERNEL why=limit$' 1 && traced ': refuse: ' 1 &&
		is refused_allocs "$(stat refused_allocs b)" = 1
}
check "refuse: what a limit forbids" refuses
small() {
	! tell heap_client alloc b 1024 2000 2>/dev/null || return 1
	traced ': refuse: call_site=heap_hold.* heap=b bytes=1024 gfp=GFP_KERNEL why=limit$' 1 && is refused_allocs "$(stat refused_allocs b)" = 2
}
check "refuse: an object of a class" small

# ---- the end
check "validators are content, and nothing is in the log" eval 'valid && quiet'
unload heap_client
echo 1 >$events/enable		# a module goes with its events
unload profile_client
gone() {
	unload kmheap && fails test -e $events
}
check "events that are on do not keep the module" gone
