#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 180
# also: debug
# patches: code
# Profiles, events and allocations that are made to fail, of a client whose NMIs allocate and free
# while a thread of the same CPU does.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

tracing=/sys/kernel/tracing
events=$tracing/events/kmheap
h=$KMHEAP_DEBUGFS/heaps/contexts
[ -e $tracing/events ] || mount -t tracefs none $tracing
if ! has_nmis; then
	plan 1
	skip "profiles and events in NMIs" "no module gets NMIs here"
	exit 0
fi
plan 10
# kmemleak cannot be told of anything in an NMI: where it is, heaps that it is told of serve none.
unless_kmemleak=
[ ! -e /sys/kernel/debug/kmemleak ] || unless_kmemleak=sanitize=N
# shellcheck disable=SC2086 # empty or a word
load kmheap $unless_kmemleak
load contexts_client

value() {
	answer contexts_client "$1"
}
# nmis COUNT: a run with so many at most; all that were sent came, and their objects were right.
nmis() {
	tell contexts_client nmi "$1" && is "NMIs sent" "$(value sent)" -ge 100 &&
		is "NMIs taken" "$(value taken)" = "$(value sent)" && is "wrong objects" "$(value wrong)" = 0
}
# hits FILE [KEY]: those of a histogram, or of one of its rows.
hits() {
	awk -v key="$2" '$1 == "{" && (key == "" || index($0, key " ")) { n += $(NF) }
		END { printf "%.0f\n", n }' "$1"
}
# column FILE FUNCTION NAME: the sum of a column over the sites with FUNCTION on their stack.
column() {
	awk -v fn="$2" -v want="$3" '
		function add() { if (hit || fn == "") sum += value }
		$1 == "columns" { for (i = 2; i <= NF; i++) if ($i == want) at = i; next }
		$1 == "site" { add(); hit = 0; value = $at; next }
		/^\t/ { split($2, f, "+"); if (f[1] == fn) hit = 1 }
		END { add(); printf "%.0f\n", sum }' "$h/$1"
}
head_of() {
	awk -v name="$1" '$1 == name { print $2; exit }' "$h/profile"
}

# counted NAME COMMAND...: a check of what was counted by histograms, where the kernel has them.
counted() {
	if [ -e $events/alloc/hist ]; then
		check "$@"
	else
		skip "$1" "no histograms of events here"
	fi
}

# ---- an exact profile, with all events
echo 1 >"$h/profile_period_bytes"
if [ ! -e $events/alloc/hist ]; then
	echo 1 >$events/alloc/enable
	echo 1 >$events/free/enable
fi
echo 'hist:keys=context:sort=context' >$events/alloc/trigger 2>/dev/null
echo 'hist:keys=heap' >$events/free/trigger 2>/dev/null
check "every object of a profile and every event, while NMIs allocate" nmis 500
in_nmi=$(hits $events/alloc/hist 'context:          3' 2>/dev/null)
allocs=$(hits $events/alloc/hist 2>/dev/null)
note "events: $allocs allocations, $in_nmi in $(value taken) NMIs, of which $(value refused) were refused some"
in_nmis() {
	is "events of NMIs" "$in_nmi" -ge $((10 * ($(value taken) - $(value refused)))) &&
		is "events of NMIs" "$in_nmi" -le $((10 * $(value taken)))
}
counted "each NMI's allocations have their events" in_nmis
counted "as many frees as allocations" is frees "$(hits $events/free/hist)" = "$allocs"
# The client asks for 10 sizes in two places: what an NMI has interrupted makes no site of its own.
sites=$(grep -c ^site "$h/profile")
note "$sites sites"
profiled() {
	is lost "$(head_of lost)" = 0 && is missed "$(head_of missed)" = 0 &&
		is samples "$(head_of samples)" = "$allocs" && is sites "$sites" -le 60 && is "live objects" "$(column profile "" live_objects)" = 0
}
counted "the profile has all of them, and none is live" profiled
counted "those of NMIs by their stacks" is "allocations below the handler" "$(column profile ctx_nmi allocs)" = "$in_nmi"
echo '!hist:keys=context:sort=context' >$events/alloc/trigger 2>/dev/null
echo '!hist:keys=heap' >$events/free/trigger 2>/dev/null
echo 0 >$events/alloc/enable
echo 0 >$events/free/enable
echo 0 >"$h/profile_period_bytes"

# ---- what is made to fail
echo atomic >"$h/fail_gfp"
echo 10 >"$h/fail_interval"
echo 1 >"$h/fail_nth"
check "every tenth allocation of NMIs fails" nmis 200
fails_in_nmis() {
	is "failed in NMIs" "$(column failed ctx_nmi failed)" -ge "$(($(value taken) - 10))" &&
		is "failed elsewhere" "$(column failed "" failed)" = "$(column failed ctx_nmi failed)"
}
check "and of nobody else" fails_in_nmis
echo 0 >"$h/fail_nth"
echo any >"$h/fail_gfp"

# ---- all of it comes and goes meanwhile
switches() {
	while [ ! -e /tmp/nmis_over ]; do
		echo 1 >$events/alloc/enable
		echo 1 >"$h/profile_period_bytes"
		echo 1 >$events/free/enable
		echo 4096 >"$h/profile_period_bytes"
		echo 0 >$events/alloc/enable
		echo 0 >"$h/profile_period_bytes"
		echo 0 >$events/free/enable
		echo switched >>/tmp/nmis_switches
	done
}
: >/tmp/nmis_switches
switches &
check "switches while NMIs allocate" nmis 2000
: >/tmp/nmis_over
wait
note "$(wc -l </tmp/nmis_switches) times on and off"
at_rest() {
	balanced contexts && is live_objects "$(stat live_objects contexts)" = 0
}
check "nothing is live, and validators are content" eval 'within 10 at_rest && valid && no_misuse'
check "nothing is in the log" quiet
unload contexts_client
unload kmheap
