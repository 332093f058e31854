#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# once: yes
# timeout: 600
# A CPU that goes online or offline fails at one of the hotplug states, and the kernel rolls back,
# while every CPU allocates and frees: nothing is stranded on that CPU, and no caller notices.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 14

last=$(($(nproc) - 1))
dir=/sys/devices/system/cpu/cpu$last
all=$(cat /sys/devices/system/cpu/online)

figure() {
	answer stress_client "$1"
}
cpu_is() {
	is "online of CPU $last" "$(cat $dir/online)" = "$1"
}

# The numbers of the states after kmheap's that can fail. kmheap's has a callback for the way down
# alone, which the rollback runs when a later state fails on the way up.
states() {
	sed -n 's/^ *\([0-9]*\): .*/\1/p' /sys/devices/system/cpu/hotplug/states |
		while read -r state; do
			[ "$state" -gt "$own" ] || continue
			echo "$state" 2>/dev/null >$dir/hotplug/fail && echo "$state"
		done
	echo -1 >$dir/hotplug/fail
}

# At most COUNT states: the first ones, the last one, and some in between.
some() {
	awk -v count="$1" '{ state[NR] = $1 }
		END {
			for (i = 1; i <= NR; i++)
				if (i <= count / 2 || i == NR || i % int(NR / (count / 2) + 1) == 0)
					print state[i]
		}'
}

# fail_at STATE WHERE: try to set the CPU's online file to WHERE, and fail at STATE. A state without
# a callback in that direction lets the CPU pass: then the CPU is brought back.
fail_at() {
	echo "$1" >$dir/hotplug/fail || return 1
	if echo "$2" 2>/dev/null >$dir/online; then
		is "state that did not fail" "$(cat $dir/hotplug/fail)" = "$1" || return 1
		echo -1 >$dir/hotplug/fail
		echo $((1 - $2)) >$dir/online || return 1
	else
		is "what is left to fail" "$(cat $dir/hotplug/fail)" = -1 || return 1
		failed="$failed $1"
	fi
	cpu_is $((1 - $2)) && valid
}

# fail_all WHERE: fail_at each state, with a CPU whose online file is not WHERE.
fail_all() {
	failed=
	for state in $(states | some 6); do
		fail_at "$state" "$1" || {
			echo "at state $state"
			return 1
		}
	done
	echo "# to $1 it failed at:$failed" >&3
	is "number of failures to $1" "$(echo "$failed" | wc -w)" -ge 3
}
exec 3>&1

check "has CPUs to take away" is "last CPU" "$last" -ge 1
load kmheap
own=$(sed -n 's/^ *\([0-9]*\): kmheap:dead$/\1/p' /sys/devices/system/cpu/hotplug/states)
check "kmheap has a state" is state "${own:-none}" -ge 1
load stress_client
check "the stress starts" tell stress_client start 1000000000000 loose
check "going fails, and is rolled back" fail_all 0
check "the CPU goes" eval 'echo 0 >$dir/online && cpu_is 0'
check "coming fails, and is rolled back" fail_all 1
check "the CPU comes" eval 'echo 1 >$dir/online && cpu_is 1'
check "going fails again" fail_all 0
tell stress_client figures
before=$(figure ops)
goes_on() {
	tell stress_client figures && is operations "$(figure ops)" -gt "$before"
}
check "the stress goes on" within 60 goes_on
check "the stress ends" tell stress_client stop
check "contents were right at every free" is mismatches "$(figure mismatches)" = 0

# The CPU goes offline a last time: nothing is left of what its cache holds now.
nothing_stranded() {
	echo 0 >$dir/online || return 1
	fail_all 1 || return 1
	tell stress_client shrink || return 1
	is spans "$(stat spans stress)" = 0 && is cached_bytes "$(stat cached_bytes stress)" = 0 &&
		within 30 shows live_objects stress 0 && balanced stress && valid
}
check "nothing is stranded on a CPU that came half way" nothing_stranded
check "all CPUs are back" eval 'echo 1 >$dir/online && is online "$(cat /sys/devices/system/cpu/online)" = "$all"'
unload stress_client
unload kmheap
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no survivors, no kernel report" no_survivors
