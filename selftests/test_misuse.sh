#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# provokes: warnings
# timeout: 120
# Every misuse is reported once per site with the stack, counted each time, and
# otherwise ignored.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

times=100
plan 50

load kmheap
load misuse_client

# since_mark: the log since the last mark.
mark() {
	echo "kmheap test $$ mark" >/dev/kmsg
}
since_mark() {
	dmesg | awk -v mark="kmheap test $$ mark" '
		index($0, mark) { n = 0; next }
		{ line[n++] = $0 }
		END { for (i = 0; i < n; i++) print line[i] }'
}

# reported N PATTERN: exactly N reports since the mark, all of them matching, each
# with a stack.
reported() {
	since_mark >/tmp/mark.log
	is "number of reports" "$(grep -c 'cut here' /tmp/mark.log)" = "$1" || return 1
	[ "$1" -gt 0 ] || return 0
	is "reports like '$2'" "$(grep -cE "$2" /tmp/mark.log)" = "$1" || {
		grep 'kmheap:' /tmp/mark.log
		return 1
	}
	is "stacks" "$(grep -c 'Call Trace' /tmp/mark.log)" = "$1"
}

# counted COUNTER HEAP BEFORE N
counted() {
	is "$1 of ${2:-all}" "$(stat "$1" "$2")" = $(($3 + $4))
}

# misuse COMMAND COUNTER PATTERN HEAP: one report of a hundred, a hundred in the
# counters of the heap (all heaps, if it belongs to none) and of the module.
misuse() {
	mark
	heap_before=$(stat "$2" "$4")
	all_before=$(stat "$2")
	live_before=$(stat live_objects misuse)
	tell misuse_client misuse "$1" $times || return 1
	reported 1 "$3" || return 1
	counted "$2" "$4" "$heap_before" $times && counted "$2" "" "$all_before" $times &&
		is live_objects "$(stat live_objects misuse)" = "$live_before" &&
		valid && balanced misuse
}

# The tracepoint has every misuse, also those that the log has no report of.
tracing=/sys/kernel/tracing
[ -e $tracing/events ] || mount -t tracefs tracefs $tracing
traced() {
	echo 1 >$tracing/events/kmheap/misuse/enable && tell misuse_client misuse double 7 &&
		echo 0 >$tracing/events/kmheap/misuse/enable || return 1
	is "events" "$(grep -cE ': misuse: call_site=misuse_[a-z_]+\+.* heap=misuse ptr=[0-9a-f]+ kind=double free$' \
		$tracing/trace)" = 7 && is "all events" "$(grep -c ': misuse: ' $tracing/trace)" = 7
}

in_heap='heap misuse'
check "double free" misuse double double_frees \
	"kmheap: double free of [0-9a-f]{16}: .*; $in_heap, small object, object [0-9a-f]{16} of 64 bytes, freed from misuse_" misuse
check "double free of a tiny object" misuse double_tiny double_frees \
	"kmheap: double free of .*$in_heap, tiny object" misuse
check "double free of a large object" misuse double_large double_frees \
	"kmheap: double free of .*$in_heap, free pages" misuse
check "free of an interior pointer" misuse interior invalid_frees \
	"kmheap: invalid free of .*inside an object; $in_heap, small object, object .* of 256 bytes" misuse
check "free of an interior pointer of a large object" misuse interior_large invalid_frees \
	"kmheap: invalid free of .*inside an object; $in_heap, large object" misuse
check "free in pages never used" misuse unused invalid_frees \
	"kmheap: invalid free of .*; heap fresh, unused pages" ""
check "free of wild pointers" misuse wild invalid_frees \
	"kmheap: invalid free of .*not an address of kmheap; heap \(none\)" ""
check "free with a wrong size" misuse wrong_size wrong_size_frees \
	"kmheap: wrong-size free of .*$in_heap, small object, object .* of 64 bytes" misuse
check "free after destroy" misuse after_destroy invalid_frees \
	"kmheap: invalid free of .*its heap or arena is gone; heap \(none\), pages given back" ""
check "realloc of what was freed" misuse realloc invalid_frees \
	"kmheap: invalid free of .*kmheap_realloc\(\)" misuse
check "deferred free twice" misuse double_rcu double_frees \
	"kmheap: double free of .*$in_heap, small object, object [0-9a-f]{16} of 64 bytes, freed from misuse_" misuse
check "deferred free of a tiny object twice" misuse double_rcu_tiny double_frees \
	"kmheap: double free of .*$in_heap, tiny object" misuse
check "deferred free of a large object twice" misuse double_rcu_large double_frees \
	"kmheap: double free of .*$in_heap, (large object|free pages)" misuse
check "free of what is deferred" misuse free_deferred double_frees \
	"kmheap: double free of .*$in_heap, small object, object .* of 64 bytes" misuse
check "deferred free of what is free" misuse defer_freed double_frees \
	"kmheap: double free of .*$in_heap, small object, object .* of 64 bytes" misuse
check "deferred free of an interior pointer" misuse interior_rcu invalid_frees \
	"kmheap: invalid free of .*inside an object; $in_heap, small object, object .* of 256 bytes" misuse
check "deferred free of a wild pointer" misuse wild_rcu invalid_frees \
	"kmheap: invalid free of .*not an address of kmheap; heap \(none\)" ""

# The stack names the site, and the second time at a site there is no report.
check "the stack names the culprit" eval 'log_of_test | grep -q "misuse_double_of\|misuse_free_times"'
again() {
	mark
	before=$(stat double_frees misuse)
	suppressed=$(stat suppressed_reports)
	tell misuse_client misuse double $times && reported 0 &&
		counted double_frees misuse "$before" $times &&
		is suppressed_reports "$(stat suppressed_reports)" = $((suppressed + times))
}
check "a known site reports no more, and is counted" again

# All CPUs at once: one free counts, all others are double, whoever finds them.
race() {
	mark
	before=$(stat double_frees misuse)
	tell misuse_client misuse "$1" 200 || return 1
	extra=$(answer misuse_client extra)
	is extra "$extra" -ge 200 && counted double_frees misuse "$before" "$extra" &&
		within 30 shows live_objects misuse 0 && valid && balanced misuse
}
check "200 objects freed by all CPUs at the same time" race race
check "such races are reported" eval 'since_mark | grep -q "kmheap: double free of"'
check "the same, by half of them after a grace period" race race_rcu

# heap_misuse COMMAND PATTERN: reported once (WARN_ONCE or one call), nothing happens.
heap_misuse() {
	mark
	tell misuse_client misuse "$1" "${3:-1}" && reported 1 "$2" && valid
}
check "destroying a heap twice" heap_misuse destroy_twice 'is not a heap; destroyed twice'
wild_heaps() {
	mark
	tell misuse_client misuse destroy_wild 1 && reported 2 'is not a heap; destroyed twice' && valid
}
check "destroying what was never a heap" wild_heaps
check "destroying the default heap" heap_misuse destroy_default 'the default heap cannot be destroyed'
check "the default heap is still there" is heap "$(stat live_objects default)" -ge 0
check "__GFP_NOFAIL" heap_misuse nofail '__GFP_NOFAIL is not kept' $times
refused=$(stat refused_allocs misuse)
check "DMA zones" heap_misuse dma 'no DMA zones here' $times
check "each way to ask for them is counted as refused" \
	counted refused_allocs misuse "$refused" $((7 * times))
check "bad alignment" heap_misuse align 'alignment [0-9]*: a power of two up to 4194304' $times
check "an empty ticket" heap_misuse ticket 'more is taken of a ticket than was reserved' $times
check "bad node" heap_misuse node 'no node -?[0-9]*' $times
refused=$(stat refused_allocs misuse)
check "absurd sizes" heap_misuse absurd 'bytes asked for, more than this machine has' $times
check "absurd sizes are counted as refused" counted refused_allocs misuse "$refused" $times
silent() {
	mark
	tell misuse_client misuse "$1" $times && reported 0
}
check "absurd sizes with __GFP_NOWARN are silent" silent absurd_nowarn
check "array sizes that overflow give NULL" silent overflow

bad_heaps() {
	mark
	tell misuse_client misuse create 1 && reported 0 &&
		is heaps "$(stat heaps)" = 2
}
check "names and attributes that make no sense are refused" bad_heaps
for text in 'heap name "a/b": 1 to 63 characters' 'heap name "\(null\)"' \
	'heap name "a\\nkmheap: heap forged"' 'flags 0x80000000, only' \
	'limit of 4096 bytes, at least 524288'; do
	check "with a message: $text" said "$text"
done

check "the tracepoint has every misuse, with its caller" traced

# ---- after all that
nothing() {
	mark
	frees=$(stat double_frees) invalid=$(stat invalid_frees) sizes=$(stat wrong_size_frees)
	tell misuse_client misuse nothing 20 && reported 0 &&
		counted double_frees "" "$frees" 0 && counted invalid_frees "" "$invalid" 0 &&
		counted wrong_size_frees "" "$sizes" 0
}
check "right use is no misuse" nothing
check "nothing is live" within 30 shows live_objects misuse 0
check "the figures add up" eval 'balanced && balanced misuse'
check "validates" valid
doubles=$(stat double_frees)
check "the client unloads" unload misuse_client
check "what the heap counted stays in the module's figures" counted double_frees "" "$doubles" 0
unload kmheap
# Every report came from where kmheap reports misuse, none from elsewhere.
ours='kmh_report_misuse|kmheap_destroy|kmh_heap_destroy|kmh_gfp_ok|kmheap_alloc_aligned_noprof|kmheap_alloc_node_noprof|kmh_alloc_node_aligned|kmheap_take|kmh_large_'
only_expected() {
	log_of_test >/tmp/all.log
	is "number of reports" "$(grep -c 'WARNING: CPU' /tmp/all.log)" -ge 19 || return 1
	! grep 'WARNING: CPU' /tmp/all.log | grep -vE "kmod/[a-z_/]*\.c:[0-9]+ ($ours)" || return 1
	! grep -E 'BUG:|Oops|KASAN:|INFO: (possible|task|rcu|trying)|general protection' /tmp/all.log
}
check "no other kernel report" only_expected
