#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Allocations of a client that are made to fail: each one of its init, and some of its later ones.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

h=$KMHEAP_DEBUGFS/heaps/fails
param=/sys/module/kmheap/parameters/heap_fail_nth
param_gfp=/sys/module/kmheap/parameters/heap_fail_gfp
allocs=13	# of fail_client's init

plan 16

load kmheap

# Of the runs that every_init has made: a line for each one whose init has failed, with the function
# that the log has named behind the heap's line, and "leak" when an object was left. (insmod may run
# an init function twice.)
runs() {
	log_of_test | awk '
		/test_fail: run/ { if (name) print name leak; name = leak = "" }
		/heap fails: an allocation of .* gets nothing/ {
			getline; sub(/.*heap fails: +/, ""); sub(/\+.*/, ""); name = $0
		}
		/heap fails destroyed with/ { leak = " leak" }'
}

# every_init [PARAM]: load the client with the first, the second, ... allocation failing, until it
# loads. Sets n to the number that was not reached.
every_init() {
	n=1
	while [ "$n" -le 100 ]; do
		echo "test_fail: run $n" >/dev/kmsg
		echo "$n" >"$param"
		if load fail_client "$@" 2>/tmp/insmod.err; then
			return 0
		fi
		grep -q 'Cannot allocate memory\|Out of memory' /tmp/insmod.err || {
			cat /tmp/insmod.err
			return 1
		}
		n=$((n + 1))
	done
	echo "it never loads"
	return 1
}

init_loads() {
	every_init || return 1
	is "allocations of init" "$n" = $((allocs + 1)) && is "what is left" "$(cat "$h/fail_nth")" = 1
}
check "the client loads when no allocation of its init fails, and not before" init_loads
want="fail_make_list
fail_make_tables
fail_make_tables
fail_make_tables
fail_make_tables
fail_make_tables
fail_make_text
fail_make_buffer
fail_make_all
fail_make_all
fail_make_all
fail_make_all
fail_make_all"
check "each call site is named in the order of the calls, and nothing is left" \
	is runs "$(runs)" = "$want"
check "no other thing is in the log" quiet

# The loaded client: one allocation, then every third, then none.
echo 0 >"$param"
takes() {
	got=
	for _ in 1 2 3 4 5 6 7 8; do
		if tell fail_client take 2>/dev/null; then got=${got}y; else got=${got}n; fi
	done
	echo "$got"
}
echo 3 >"$h/fail_nth"
check "the third one fails, once" is takes "$(takes)" = yynyyyyy
echo 3 >"$h/fail_interval"
echo 2 >"$h/fail_nth"
check "the second one fails, and every third after it" is takes "$(takes)" = ynyynyyn
sites() {
	awk -v fn="$1" '$1 == "site" { n = $3; first = 1; next }
		/^\t/ && first { first = 0; split($2, name, "+"); if (name[1] == fn) sum += n }
		END { printf "%d\n", sum }' "$h/failed"
}
# One was named in the log, three were not.
check "the file failed counts them by site" is failed "$(sites fail_take) $(grep -c ^site "$h/failed")" = "4 1"
echo 0 >"$h/fail_nth"
check "none fails when it is off" is takes "$(takes)" = yyyyyyyy

# Of one kind of callers alone. Calls are s (may sleep) or a (may not); the answers y or n.
takes_of() {
	got=
	for call in "$@"; do
		case $call in
		s) tell fail_client take ;;
		a) tell fail_client take_atomic ;;
		esac 2>/dev/null && got=${got}y || got=${got}n
	done
	echo "$got"
}
# only KIND ANSWERS: the second one of KIND fails, and no other.
only() {
	echo "$1" >"$h/fail_gfp" && is fail_gfp "$(cat "$h/fail_gfp")" = "$1" || return 1
	echo 0 >"$h/fail_interval"
	echo 2 >"$h/fail_nth"
	is takes "$(takes_of s a s s a a s)" = "$2"
}
check "only what cannot sleep counts where that is wanted" only atomic yyyynyy
check "only what may sleep" only sleeping yynyyyy
check "and everything" only any ynyyyyy
echo 0 >"$h/fail_nth"
refused() {
	for value in x "" "atomic sleeping" sleepingsleepingsleeping; do
		! echo "$value" >"$h/fail_gfp" || return 1
	done 2>/dev/null
	for value in x -1 99999999999999999999; do
		! echo "$value" >"$h/fail_nth" || return 1
	done 2>/dev/null
	is "refused allocations" "$(awk '$1 == "refused_allocs" { print $2 }' "$h/stats")" = 7
}
check "what is no number is refused, and stats has what failed" refused
check "validators are content" valid
unload fail_client

leaks() {
	every_init leaky=1 || return 1
	echo 0 >"$param"
	unload fail_client || return 1
	is leaks "$(runs | grep leak)" = "fail_make_text leak"
}
check "a path of errors that forgets an object is found" leaks

# All of the client's init may sleep.
init_sleeps() {
	echo sleeping >"$param_gfp" && every_init && is "allocations of init" "$n" = $((allocs + 1)) &&
		is fail_gfp "$(cat "$h/fail_gfp")" = sleeping && unload fail_client
}
check "of an init all allocations may sleep" init_sleeps
init_is_not_atomic() {
	echo atomic >"$param_gfp" && every_init && is "allocations of init" "$n" = 1 &&
		is takes "$(takes_of s a s)" = yny
}
check "and none of them counts where only what cannot sleep does" init_is_not_atomic
echo 0 >"$param"
echo any >"$param_gfp"
unload fail_client
unload kmheap
check "nothing is left" is modules "$(lsmod | grep -c ^kmheap)" = 0
