#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 120
# patches: code
# The events of every allocation and every free, against a client that counts: each way in and out,
# on heaps from before and after they were switched on; and what is left when they are off.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

tracing=/sys/kernel/tracing
events=$tracing/events/kmheap
heaps=$KMHEAP_DEBUGFS/heaps
[ -e $tracing/events ] || mount -t tracefs none $tracing
echo counter >$tracing/trace_clock	# the clocks of two CPUs may differ by more than an event takes
plan 17

load kmheap
load trace_client

# switch 0|1 EVENT...: all of them.
switch() {
	switch_to=$1
	shift
	for switch_event in "$@"; do
		echo "$switch_to" >"$events/$switch_event/enable" || return 1
	done
}

# What is in the trace: a line for each kind of event with their number, and another one if the
# events of an address are not an allocation and a free in turn, the free being the last.
counted() {
	awk '/^#/ { next }
		{
			event = substr($5, 1, length($5) - 1)
			if (event == "hit") { n[event]++; next }
			split(substr($6, 11), name, "+")	# call_site=NAME+OFFSET
			rest = ""
			for (i = 10; i <= NF; i++) rest = rest " " $i
			n[event " " name[1] " " $8 rest]++
			is_alloc = event == "alloc"
			if (is_alloc) nallocs++; else nfrees++
			if ($9 in live && live[$9] == is_alloc) wrong++
			live[$9] = is_alloc
		}
		END {
			for (kind in n) print n[kind], kind
			if (!nallocs || !nfrees) exit
			for (ptr in live) wrong += live[ptr]
			if (wrong) print wrong, "out of turn"
		}' $tracing/trace | sort
}

# want EVENT FUNCTION REST N: a line of that.
want() {
	echo "$4 $1 trace_$2 heap=$heap $3"
}
want_alloc() {
	want alloc "$1" "bytes=$2 gfp=${4:-GFP_KERNEL} node=0 context=${5:-task}" "$3"
}
want_free() {
	want free "$1" "bytes=$2" "$3"
}
# allocs N, frees N, rcu N: what a run with N objects of each way does.
allocs() {
	want_alloc alloc_task 64 "$1"
	want_alloc alloc_softirq 208 "$1" GFP_ATOMIC softirq
	want_alloc alloc_bulk 128 "$1"
	want_alloc alloc_waiting 256 "$1" 'GFP_KERNEL|__GFP_ZERO'
	want_alloc alloc_large 57344 $((2 * $1))
	want_alloc alloc_packed 8 "$1"
	want_alloc alloc_pages 24576 "$1"
	want_alloc alloc_cache 112 "$1"
	want_alloc alloc_cache_bulk 112 "$1"
	want_alloc alloc_element 112 $((2 * $1))
	want_alloc alloc_node 1024 "$1"
	want_alloc alloc_moving 32 "$1"
	want_alloc move 512 "$1"
	want_alloc ticket 48 "$1"
}
frees() {
	want_free free_elsewhere 64 $(($1 / 2))
	want_free free_interrupt 64 $(($1 / 2))
	want_free free_sized 208 "$1"
	want_free free_bulk 128 "$1"
	want_free free_task 57344 "$1"
	want_free free_task 8 "$1"
	want_free free_pages 24576 "$1"
	want_free free_cache 112 "$1"
	want_free free_cache_bulk 112 "$1"
	want_free free_element 112 "$1"
	want_free free_element_sized 112 "$1"
	want_free free_sensitive 1024 "$1"
	want_free move 32 "$1"
	want_free free_task 512 "$1"
	want_free ticket 48 "$1"
}
rcu() {
	want free_rcu free_waiting bytes=256 "$1"
	want free_rcu free_waiting bytes=57344 "$1"
}

# run N WHAT...: what the client does of these, and nothing else, is in the trace.
run() {
	: >$tracing/trace
	tell trace_client run "$1" || return 1
	run_n=$1
	shift
	run_want=$(for what in "$@"; do "$what" "$run_n"; done | sort)
	run_got=$(counted)
	[ "$run_got" = "$run_want" ] || {
		echo "got:"
		echo "$run_got"
		echo "want:"
		echo "$run_want"
		return 1
	}
}

heap=before
tell trace_client begin before
check "events that are off are silent" run 20
only() {
	switch 1 "$1" && run 40 "$2" && switch 0 "$1"
}
check "alloc: every allocation, whichever way in, with who asked and how" only alloc allocs
check "free: every free, whichever way out and from whichever CPU" only free frees
check "free_rcu: every free that waits" only free_rcu rcu
switch 1 alloc free free_rcu
check "all three, of each address in turn" run 200 allocs frees rcu
held() {
	: >$tracing/trace
	held_before=$(stat live_objects $heap)
	tell trace_client hold 300 && switch 0 alloc && tell trace_client drop &&
		is events "$(counted)" = "$({
			want_alloc alloc_task 64 300
			want_free free_task 64 300
		} | sort)" && within 5 shows live_objects $heap "$held_before"
}
check "an object that was there when an event went off" held

tell trace_client end
heap=after
tell trace_client begin after
switch 1 alloc
check "a heap that is made while events are on" run 40 allocs frees rcu
filtered() {
	echo 'heap == "another"' >$events/alloc/filter && run 10 frees rcu
	filtered_status=$?
	echo 0 >$events/alloc/filter
	return $filtered_status
}
check "a filter by heap" filtered
histogram() {
	echo 'hist:keys=bytes' >$events/alloc/trigger && run 10 allocs frees rcu || return 1
	histogram_hits=$(awk '$2 == "bytes:" && $3 == 57344 { print $NF }' $events/alloc/hist)
	echo '!hist:keys=bytes' >$events/alloc/trigger
	is "hits of 57344 bytes" "$histogram_hits" = 20
}
check "a histogram by size" histogram

# ---- beside a profile, and allocations that fail
hits() {
	echo "$((16 * $1)) hit"
}
beside_profile() {
	echo 1 >"$heaps/after/profile_period_bytes" && switch 1 hit &&
		run 40 allocs frees rcu hits && switch 0 hit &&
		echo 0 >"$heaps/after/profile_period_bytes"
}
check "beside an exact profile" beside_profile
check "and when the profile ends" run 40 allocs frees rcu
beside_failure() {
	echo 1000000 >"$heaps/after/fail_nth" && run 40 allocs frees rcu &&
		is fail_nth "$(cat "$heaps/after/fail_nth")" = $((1000000 - 16 * 40)) &&
		echo 0 >"$heaps/after/fail_nth" && run 40 allocs frees rcu
}
check "beside an allocation that is to fail, and after it" beside_failure

# ---- off
off() {
	switch 0 alloc free free_rcu && run 40
}
check "off again: silent" off
again() {
	for _ in 1 2 3 4 5; do
		switch 1 alloc free free_rcu && run 10 allocs frees rcu &&
			switch 0 alloc free free_rcu || return 1
	done
}
check "and on and off again" again
check "validators are content, and nothing is in the log" eval 'valid && quiet && no_misuse'
tell trace_client end
unload trace_client
switch 1 alloc free free_rcu
gone() {
	unload kmheap && fails test -e $events
}
check "events that are on do not keep the module" gone
load kmheap
reload() {
	load trace_client && tell trace_client begin after && switch 1 alloc free free_rcu &&
		run 10 allocs frees rcu && switch 0 alloc free free_rcu
}
check "and are there when it comes back" reload
tell trace_client end
unload trace_client
unload kmheap
