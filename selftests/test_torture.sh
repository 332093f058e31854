#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 600
# long-timeout: 1500
# kernels: 6.12 6.12-rt
# source: 6.12
# The kernel's torture library takes CPUs away and brings them back as fast as it can while all
# of them allocate and free in every context: no failure, nothing stranded. The long form goes on
# for ten minutes.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

seconds=${KMHEAP_LONG:+600}
seconds=${seconds:-20}
plan 13

figure() {
	answer stress_client "$1"
}

load kmheap
load stress_client
all=$(cat /sys/devices/system/cpu/online)
check "the stress starts" tell stress_client start 1000000000000 loose
check "the torture starts" load torture_client interval_ms=50

# How often a CPU has gone offline.
gone() {
	log_of_test | grep -c 'CPU [0-9]* is now offline'
}

# The validators run and the stress goes on until the time is up and some CPUs have gone.
end=$(($(now_ms) + seconds * 1000))
reads=0
ops=0
goes_on() {
	tell stress_client figures && is operations "$(figure ops)" -gt "$ops"
}
watch() {
	while [ "$(now_ms)" -lt "$end" ] || [ "$(gone)" -lt 8 ]; do
		valid && within 60 goes_on || return 1
		ops=$(figure ops)
		reads=$((reads + 1))
		sleep 0.5
	done
	note "$reads reads" >&3
}
exec 3>&1
check "$seconds seconds: valid, and the stress goes on" watch
check "the torture ends" unload torture_client

# onoff: ON/ATTEMPTS:OFF/ATTEMPTS ...
statistics() {
	log_of_test | sed -n 's|.*onoff: \([0-9]*\)/\([0-9]*\):\([0-9]*\)/\([0-9]*\) .*|\1 \2 \3 \4|p'
}
# shellcheck disable=SC2046
set -- $(statistics)
note "online $1 of $2 attempts, offline $3 of $4"
check "CPUs went" is "times offline" "${3:-none}" -ge 6
check "and came" is "times online" "${1:-none}" -ge 6
no_failures() {
	is "times online" "$1" = "$2" && is "times offline" "$3" = "$4" && said 'failures 0$'
}
check "no change failed" no_failures "$@"
check "all CPUs are back" is online "$(cat /sys/devices/system/cpu/online)" = "$all"
check "the stress ends" tell stress_client stop
sed 's/^/# /' /sys/module/stress_client/parameters/run
check "contents were right at every free" is mismatches "$(figure mismatches)" = 0
at_rest() {
	is live_objects "$(stat live_objects stress)" = 0 &&
		is double_frees "$(stat double_frees)" = 0 &&
		is invalid_frees "$(stat invalid_frees)" = 0 && balanced stress
}
rests() {
	tell stress_client barrier && within 30 at_rest && valid
}
check "nothing is live, no misuse, the figures add up" rests
nothing_stranded() {
	tell stress_client shrink && is spans "$(stat spans stress)" = 0 &&
		is cached_bytes "$(stat cached_bytes stress)" = 0
}
check "nothing is stranded" nothing_stranded
unload stress_client
unload kmheap
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no survivors, no kernel report" no_survivors
