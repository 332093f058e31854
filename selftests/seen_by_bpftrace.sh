#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 300
# Tracepoints as bpftrace sees them, against what a client has done. The program is not in every
# guest: scripts/check-bpftrace puts it there.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

heaps=$KMHEAP_DEBUGFS/heaps
plan 8

load kmheap
load trace_client
tell trace_client begin traced

# seen PROGRAM COMMAND...: what bpftrace has to say while the client is given commands, a word with
# "," for blanks each. All of it is in /tmp/seen.
seen() {
	seen_program=$1
	shift
	: >/tmp/work
	for seen_command in "$@"; do
		echo "echo $seen_command >/sys/module/trace_client/parameters/run" | tr , ' ' >>/tmp/work
	done
	bpftrace -q -e "$seen_program" -c "/bin/sh /tmp/work" >/tmp/seen 2>&1 || {
		cat /tmp/seen
		return 1
	}
}
# has LINE...: these lines are in /tmp/seen.
has() {
	for has_line in "$@"; do
		grep -qxF "$has_line" /tmp/seen || {
			echo "there is no line '$has_line' in:"
			cat /tmp/seen
			return 1
		}
	done
}

listed() {
	bpftrace -l 'tracepoint:kmheap:*' | sort >/tmp/seen
	has tracepoint:kmheap:alloc tracepoint:kmheap:free tracepoint:kmheap:free_rcu tracepoint:kmheap:grow \
		tracepoint:kmheap:hit tracepoint:kmheap:misuse tracepoint:kmheap:refuse tracepoint:kmheap:release \
		tracepoint:kmheap:sweep
}
check "it knows the events" listed

# The program of Documentation/tracing.rst.
by_site() {
	seen 'tracepoint:kmheap:alloc { @[str(args->heap), ksym(args->call_site)] = count(); }' run,40 &&
		has '@[traced, trace_alloc_task]: 40' '@[traced, trace_alloc_softirq]: 40' \
			'@[traced, trace_alloc_bulk]: 40' '@[traced, trace_alloc_large]: 80' \
			'@[traced, trace_alloc_packed]: 40' '@[traced, trace_alloc_element]: 80' \
			'@[traced, trace_ticket]: 40' &&
		is allocations "$(awk '{ n += $NF } END { print n }' /tmp/seen)" = $((16 * 40))
}
check "alloc: how often, by heap and call site" by_site
while read -r line; do
	note "$line"
done </tmp/seen
by_bytes() {
	seen 'tracepoint:kmheap:alloc { @[ksym(args->call_site)] = sum(args->bytes); }' run,10 &&
		has '@[trace_alloc_task]: 640' '@[trace_alloc_large]: 1146880' '@[trace_alloc_pages]: 245760'
}
check "alloc: bytes by call site" by_bytes
filtered() {
	seen 'tracepoint:kmheap:alloc /str(args->heap) == "another"/ { @a = count(); }
		tracepoint:kmheap:alloc /str(args->heap) == "traced" && args->context == 1/ { @b = count(); }' run,30 &&
		has '@b: 30' && fails grep -q '^@a: [1-9]' /tmp/seen
}
check "alloc: a filter by heap and context" filtered
frees() {
	seen 'tracepoint:kmheap:free { @[ksym(args->call_site)] = count(); }
		tracepoint:kmheap:free_rcu { @rcu[ksym(args->call_site)] = count(); }' run,40 &&
		has '@[trace_free_elsewhere]: 20' '@[trace_free_interrupt]: 20' '@[trace_free_bulk]: 40' \
			'@rcu[trace_free_waiting]: 80'
}
check "free and free_rcu, by call site" frees

# Allocations less frees are what is live more than before.
difference() {
	difference_before=$(stat live_objects traced)
	seen 'tracepoint:kmheap:alloc { @allocs = count(); } tracepoint:kmheap:free { @frees = count(); }
		tracepoint:kmheap:free_rcu { @frees = count(); }' run,20 hold,300 || return 1
	within 5 is live_objects "$(($(stat live_objects traced) - difference_before))" = 300 || return 1
	is "allocations less frees" "$(awk '$1 == "@allocs:" { n += $2 } $1 == "@frees:" { n -= $2 }
		END { print n }' /tmp/seen)" = 300 && tell trace_client drop
}
check "allocations less frees are what is live" difference

stacks() {
	echo 1 >"$heaps/traced/profile_period_bytes" &&
		seen 'tracepoint:kmheap:hit { @[kstack] = count(); }' run,10 || return 1
	echo 0 >"$heaps/traced/profile_period_bytes"
	is "hits below trace_alloc_large()" "$(awk '/trace_alloc_large\+/ { here = 1 }
		/^\]/ { if (here) n += $2; here = 0 } END { print n }' /tmp/seen)" = 20
}
check "hit: the stacks of a profile" stacks
check "validators are content, and nothing is in the log" eval 'valid && quiet && no_misuse'
tell trace_client end
unload trace_client
unload kmheap
