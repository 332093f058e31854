#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# once: yes
# timeout: 240
# The sample client samples/sysgraph.c with the files and links of this guest's
# sysfs, in which devices, drivers, buses and classes point to each other. What each
# collection must leave is computed here from the same lines, by other means.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

graph=/sys/kernel/debug/sysgraph
plan 24

order() {
	echo "$1" 2>/dev/null >$graph/lines
}
figure() {
	awk -v name="$1" '$1 == name { print $2; found = 1 } END { exit !found }' $graph/figures
}
# feed FILE: write each line of FILE on its own.
feed() {
	while read -r line; do
		echo "$line" || return 1
	done <"$1" >$graph/lines
}
# sysfs: "/directory", "/file" and "/link -> /directory".
sysfs() {
	find /sys -xdev ! -type l | sed -n 's|^/sys/|/|p'
	find /sys -xdev -type l | while read -r link; do
		cd -P "$link" 2>/dev/null && echo "${link#/sys} -> ${PWD#/sys}"
	done
}

# oracle FILE [CUT...]: what the roots of the graph reach without the CUT ones.
#	nodes, edges	reached
#	leaked		nodes that are not, and whose references would never get to 0
#	component	nodes that reach the one with most links and are reached by it
oracle() {
	oracle_file=$1
	shift
	awk -v cuts=" $* " '
	function edge(from, to) {
		out[from, ++outs[from]] = to
		in_[to, ++ins[to]] = from
	}
	function spread(next_of, nexts, seen, node,    stack, n, i, to, found) {
		stack[n = 1] = node
		seen[node] = 1
		while (n) {
			node = stack[n--]
			found++
			for (i = 1; i <= nexts[node]; i++) {
				to = next_of[node, i]
				if (!(to in seen)) {
					seen[to] = 1
					stack[++n] = to
				}
			}
		}
		return found
	}
	function forget(node,    stack, n, i) {
		stack[n = 1] = node
		while (n) {
			node = stack[n--]
			if (--refs[node])
				continue
			for (i = 1; i <= outs[node]; i++)
				stack[++n] = out[node, i]
		}
	}
	{
		from = $0
		sub(/ -> .*/, "", from)
		parent = from
		sub(/\/[^\/]*$/, "", parent)
		to = $0
		if (sub(/.* -> /, "", to))
			links[to]++
		if (links[to] > links[hub])
			hub = to
		if (parent == "" && index(cuts, " " from " "))
			cut[from]
		else
			edge(parent, to)
	}
	END {
		nodes = spread(out, outs, reached, "") - 1
		for (node in reached)
			edges += outs[node]
		for (node in ins)
			refs[node] = ins[node]
		for (node in cut) {
			refs[node]++
			forget(node)
		}
		for (node in refs)
			leaked += refs[node] > 0 && !(node in reached)
		spread(out, outs, forth, hub)
		spread(in_, ins, back, hub)
		for (node in forth)
			component += node in back
		print nodes, edges, leaked + 0, component, hub
	}' "$oracle_file"
}
# expected: print the last oracle's answer, from a file because check runs in a subshell.
expected() {
	read -r nodes edges leaked component hub </tmp/expected
}
# left FILE [CUT...]: collect, and compare with the oracle.
left() {
	order collect || {
		cat $graph/figures
		return 1
	}
	oracle "$@" >/tmp/expected
	expected
	is nodes "$(figure nodes)" = "$nodes" && is edges "$(figure edges)" = "$edges" &&
		is "live objects" "$(figure live_objects)" = $((nodes + 2 * edges)) &&
		is kept "$(figure kept)" = 0 && is lost "$(figure lost)" = 0
}
# collect_often N: collect N times; the client checks each collection.
collect_often() {
	for _ in $(seq "$1"); do
		order collect || {
			cat $graph/figures
			return 1
		}
		made=$((made + $(figure made_meanwhile)))
		shaded=$((shaded + $(figure marked_by_barrier)))
	done
}

check "does not load without kmheap" fails load sysgraph 2>/dev/null
load kmheap
load sysgraph

sysfs >/tmp/graph
check "sysfs is taken, line by line" feed /tmp/graph
check "all of it is reached, and nothing else is live" left /tmp/graph
expected
note "sysfs: $nodes files, $edges edges; $component of them in one strongly connected component," \
	"that of $hub"
check "sysfs has cycles" is "size of a component" "$component" -ge 2

refused() {
	for line in /nowhere/child "/bus/x -> /nowhere" -/nowhere "-/bus/nothing" \
		nonsense "" - "$(printf '/two\n/lines')"; do
		! order "$line" || {
			echo "taken: $line"
			return 1
		}
	done
	! printf /half 2>/dev/null >$graph/lines
}
check "wrong lines are refused" refused
check "and change nothing" left /tmp/graph

# Collections while two threads move links about, and while a second graph is fed.
made=0
shaded=0
check "threads start" order start
check "nothing can be cut then" fails order -/bus
# The collections repeat until the threads have run in between, which takes long on a slow host.
collected=0
rounds=0
while [ $collected = 0 ] && { [ $rounds -lt 8 ] || [ $made -lt 1000 ] || [ $shaded -lt 1 ]; }; do
	collect_often 1 >/tmp/output || collected=1
	rounds=$((rounds + 1))
done
sed 's/^/# /' /tmp/output
check "collections beside two threads lose and keep nothing" is "exit status" $collected = 0
note "$rounds collections: $made objects made and $shaded marked by the write barrier meanwhile"
check "threads made objects while it marked" is objects $made -ge 1000
check "the write barrier was needed" is objects $shaded -ge 1

{
	echo /copy
	sed 's|/|/copy/|; s| -> /| -> /copy/|' /tmp/graph
} >/tmp/copy
feed /tmp/copy &
feeder=$!
rounds=0
collected=0
while kill -0 $feeder 2>/dev/null && [ $collected = 0 ]; do
	collect_often 1 >/tmp/output || collected=1
	rounds=$((rounds + 1))
done
sed 's/^/# /' /tmp/output
wait $feeder
check "a copy is taken meanwhile" is "exit status" $? = 0
check "collections beside the feeder lose and keep nothing" is "exit status" $collected = 0
note "$rounds collections while it was fed"
check "threads stop" order stop
cat /tmp/graph /tmp/copy >/tmp/both
check "both graphs are whole" left /tmp/both

# Cycles go as a whole, and threads can do nothing to keep them.
order -/copy
check "a graph that is cut off is collected, cycles and all" left /tmp/both /copy
expected
note "references would have kept $leaked of the files"
tickets_right() {
	is finalized "$(figure finalized)" -ge 100 &&
		is "wrong tickets" "$(figure wrong_tickets)" = 0
}
check "its finalizers ran, its weak handles are NULL" tickets_right

# cut_off ROOTS [GONE]: cut ROOTS, and compare what is left, again after threads have moved links.
# shellcheck disable=SC2086 # lists of names without spaces
cut_off() {
	for root in $1; do	# small kernels lack some
		! grep -qx "$root" /tmp/graph || order "-$root" || return 1
	done
	left /tmp/graph $1 ${2:-} && order start && collect_often 4 && order stop &&
		left /tmp/graph $1 ${2:-}
}
check "what only links reach stays" cut_off /devices
expected
note "$nodes files are left without /devices"
check "devices, drivers and buses go" cut_off "/bus /class /block /dev /module" /devices
expected
note "$nodes files are left; references would have kept $leaked of the others"
check "references would have kept them" is files "$leaked" -ge "$component"

cut_all() {
	sed -n 's/^\/[^\/]*$/-&/p' /tmp/graph | while read -r line; do
		order "$line" || :
	done
	left /dev/null
}
check "without roots nothing is left" cut_all
check "all of it was collected, nothing freed" \
	is "objects collected" "$(stat collected_objects sysgraph)" = "$(stat allocs sysgraph)"
check "valid, and the heap's figures add up" eval 'valid && balanced sysgraph'

unload sysgraph
unload kmheap
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no survivors, no kernel report" no_survivors
