#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 300
# long-timeout: 7200
# memory: 512M
# kernels: 6.12
# The amount of live memory stays the same while object sizes drift, CPUs come and go, and memory
# gets short and is free again: the footprint does not grow. Twenty seconds, ten minutes in the long
# form, or KMHEAP_SOAK_MINUTES from the kernel's command line; at least eight periods of the drift.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

seconds=${KMHEAP_LONG:+600}
seconds=${seconds:-20}
noise=${KMHEAP_LONG:+10}
noise=${noise:-100}
[ -z "${KMHEAP_SOAK_MINUTES:-}" ] || seconds=$((KMHEAP_SOAK_MINUTES * 60))
plan 11

figure() {
	answer soak_client "$1"
}

# All CPUs but the first go offline, one at a time.
hotplug() {
	last=$(($(nproc) - 1))
	while [ ! -e /tmp/soak.stop ]; do
		target=$((1 + (target + 1) % last))
		echo 0 >/sys/devices/system/cpu/cpu$target/online && echo >>/tmp/soak.offline
		sleep 0.5
		echo 1 >/sys/devices/system/cpu/cpu$target/online
		sleep 0.5
	done
}

# A tmpfs takes three fifths of the free memory for a while, and reclaim has to find the rest.
pressure() {
	while [ ! -e /tmp/soak.stop ]; do
		dd if=/dev/zero of=/tmp/soak.hog bs=1M count=$(($(kib MemFree) * 3 / 5 / 1024)) 2>/dev/null
		echo 2 >/proc/sys/vm/drop_caches
		sleep 1
		rm /tmp/soak.hog
		echo >>/tmp/soak.pressure
		sleep 1
	done
}

# count_of pressure, count_of offline: how often memory was short, or a CPU went offline.
count_of() {
	wc -l <"/tmp/soak.$1"
}

# A sample is period, milliseconds, footprint; every minute the log gets the time of allocations.
watch() {
	end=$(($(now_ms) + seconds * 1000))
	minute=$(($(now_ms) + 60000))
	period=0
	while [ "$(now_ms)" -lt $end ] || [ "$period" -lt 9 ] || [ "$(count_of pressure)" -lt 3 ] ||
		[ "$(count_of offline)" -lt 3 ]; do
		valid && tell soak_client figures || return 1
		period=$(figure periods)
		echo "$period $(now_ms) $(stat footprint_bytes soak)" >>/tmp/soak.samples
		if [ "$(now_ms)" -ge $minute ]; then
			minute=$((minute + 60000))
			say_times
		fi
		sleep 0.2
	done
	say_times
}
say_times() {
	tell soak_client times && note "$(now_ms) ms: $(figure timed) allocations, median" \
		"$(figure p500_ns) ns, p99.9 $(figure p999_ns) ns, footprint" \
		"$(stat footprint_bytes soak)" >&3
}
exec 3>&1

# A straight line is fitted to the means of the whole periods of the second half: its rise from
# beginning to end, in percent of the mean, has to be within the noise. In the first minute or so
# the heap fills with fragments that the drifting sizes leave; the short form is over before that,
# and only sees that the footprint does not double.
slope() {
	awk -v noise="$noise" '
		{ sum[$1] += $3; n[$1]++; ms[$1] += $2; if ($1 > last) last = $1 }
		END {
			for (p = int(last / 2); p < last; p++)
				if (n[p]) {
					x = ms[p] / n[p] / 60000; y = sum[p] / n[p]
					k++; sx += x; sy += y; sxx += x * x; sxy += x * y
					if (!first) first = x
					end = x
					if (!low || y < low) low = y
					if (y > high) high = y
				}
			if (k < 3) {
				print "only", k, "periods"
				exit 1
			}
			slope = (k * sxy - sx * sy) / (k * sxx - sx * sx)
			mean = sy / k
			printf "# %d periods in %.2f minutes, mean footprint %.0f, of periods %.0f to %.0f\n",
				k, end - first, mean, low, high
			printf "# slope %.0f bytes a minute, %.2f %% of the mean in all\n", slope,
				slope * (end - first) * 100 / mean
			exit slope * (end - first) > mean * noise / 100
		}' /tmp/soak.samples >/tmp/soak.slope
	slope_status=$?
	cat /tmp/soak.slope >&3
	cat /tmp/soak.slope
	return $slope_status
}

rm -f /tmp/soak.*
touch /tmp/soak.offline /tmp/soak.pressure
target=0
load kmheap
load soak_client
all=$(cat /sys/devices/system/cpu/online)
check "the load starts" tell soak_client start
hotplug &
hotplug=$!
pressure &
pressure=$!
check "valid all the time" watch
touch /tmp/soak.stop
wait $hotplug $pressure
check "the footprint did not grow" slope
check "CPUs went and came" is "times offline" "$(count_of offline)" -ge 3
check "all CPUs are back" is online "$(cat /sys/devices/system/cpu/online)" = "$all"
check "memory was short" is "times" "$(count_of pressure)" -ge 3
check "the load ends" tell soak_client stop
sed 's/^/# /' /sys/module/soak_client/parameters/run
check "contents were right at every free" is mismatches "$(figure mismatches)" = 0
at_rest() {
	tell soak_client shrink && is live_objects "$(stat live_objects soak)" = 0 &&
		is double_frees "$(stat double_frees)" = 0 && balanced soak && valid
}
check "nothing is live, the figures add up" within 30 at_rest
nothing_left() {
	tell soak_client shrink && is spans "$(stat spans soak)" = 0
}
check "no span is left" within 30 nothing_left
rm -f /tmp/soak.*
unload soak_client
unload kmheap
no_survivors() {
	fails said 'destroyed|oom-killer' && quiet
}
check "no survivors, nobody killed, no kernel report" no_survivors
