#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 240
# CPUs go offline and come back while every one of them allocates and frees.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

cycles=20
plan 18

cpu() {
	echo "$2" >"/sys/devices/system/cpu/cpu$1/online"
}
online() {
	cat /sys/devices/system/cpu/online
}
figure() {
	answer stress_client "$1"
}

last=$(($(nproc) - 1))
check "has CPUs to take away" is "last CPU" "$last" -ge 1
load kmheap
load stress_client
check "the stress starts" tell stress_client start 1000000000000 loose

one_cycle() {
	target=$((1 + $1 % last))
	cpu $target 0 || return 1
	tell stress_client figures && running=$(figure ops) || return 1
	valid || return 1
	cpu $target 1 || return 1
	within 60 goes_on
}
goes_on() {
	tell stress_client figures && is "operations done meanwhile" "$(figure ops)" -gt "$running"
}
all_cycles() {
	i=0
	while [ $i -lt $cycles ]; do
		one_cycle $i || {
			echo "in cycle $i"
			return 1
		}
		i=$((i + 1))
	done
}
start=$(now_ms)
check "$cycles times off and on under stress, valid each time" all_cycles
note "$cycles cycles in $(($(now_ms) - start)) ms"

# With all CPUs but one offline, that one does everything.
alone() {
	i=$last
	while [ $i -gt 0 ]; do
		cpu $i 0 || return 1
		i=$((i - 1))
	done
	is online "$(online)" = 0 && valid
}
check "all CPUs but one go under stress" alone
worked() {
	tell stress_client figures && is operations "$(figure ops)" -ge 500000
}
check "it is some work" within 300 worked
check "the stress ends" tell stress_client stop
sed 's/^/# /' /sys/module/stress_client/parameters/run
check "contents were right at every free" is mismatches "$(figure mismatches)" = 0
check "nothing is live" within 30 shows live_objects stress 0
check "validates with CPUs offline" valid
check "the figures add up" within 30 balanced stress

# Whatever a dead CPU's cache still held would keep its span or its pages. The worker
# that grows ahead may bring a new arena after shrinking: nothing in it is in use.
all_free() {
	awk 'NR > 1 && NF == 7 && $4 != $5 { print $4 - $5, "pages are in use in", $0; bad = 1 }
		END { exit bad }' "$KMHEAP_DEBUGFS/heaps/stress/arenas"
}
nothing_stranded() {
	footprint=$(stat footprint_bytes stress)
	tell stress_client shrink || return 1
	# The scavenger gives back as well.
	is "bytes left" "$(stat footprint_bytes stress)" -le $((footprint / 2 + 4194304)) &&
		is spans "$(stat spans stress)" = 0 &&
		is cached_bytes "$(stat cached_bytes stress)" = 0 && all_free
}
check "nothing is stranded on the dead CPUs" nothing_stranded

back() {
	i=1
	while [ $i -le $last ]; do
		cpu $i 1 || return 1
		i=$((i + 1))
	done
	is online "$(online)" = "0-$last"
}
check "the CPUs come back" back
check "and are used again" tell stress_client start 500000 loose
ended() {
	tell stress_client figures && is running "$(figure running)" = 0
}
check "the stress reaches its end" within 100 ended
tell stress_client stop
check "contents were right again" is mismatches "$(figure mismatches)" = 0
at_rest() {
	balanced stress && is live_objects "$(stat live_objects stress)" = 0 &&
		is double_frees "$(stat double_frees)" = 0 && is invalid_frees "$(stat invalid_frees)" = 0 &&
		is wrong_size_frees "$(stat wrong_size_frees)" = 0
}
check "nothing is live, no misuse, validates" eval "within 30 at_rest && valid"

# Unloading takes the callback away: a CPU may go afterwards.
unload stress_client
unload kmheap
check "CPUs go and come without kmheap" eval 'cpu 1 0 && cpu 1 1'
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no survivors, no kernel report" no_survivors
