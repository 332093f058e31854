# SPDX-License-Identifier: GPL-2.0
# Sourced after lib.sh by tests that have a client module; see client.h.
# shellcheck shell=sh

# tell CLIENT COMMAND [ARGS]: give CLIENT a command; fails when the command does.
tell() {
	tell_client=$1
	shift
	echo "$*" >"/sys/module/$tell_client/parameters/run"
}

# answer CLIENT NAME: one value of the answer to the last command.
answer() {
	awk -v name="$2" '$1 == name { print $2; found = 1 } END { exit !found }' \
		"/sys/module/$1/parameters/run"
}

# is WHAT VALUE OPERATOR EXPECTED: a comparison that says what it compared.
is() {
	test "$2" "$3" "$4" || {
		echo "$1 is $2, expected $3 $4"
		return 1
	}
}

# The kernel log since this test began.
log_of_test() {
	dmesg | sed "1,/kmheap test $$ begins/d"
}

# quiet: the kernel has reported nothing since this test began.
quiet() {
	log_of_test >/tmp/quiet.log
	! grep -A 20 -E 'BUG:|WARNING:|Oops|UBSAN:|KASAN:|INFO: (possible|task|rcu|trying)|general protection|Call Trace' \
		/tmp/quiet.log
}

# balanced [HEAP]: footprint = live + free + cached + deferred + waste + metadata.
balanced() {
	awk '{ v[$1] = $2 } END {
		sum = v["live_bytes"] + v["free_bytes"] + v["cached_bytes"] +
			v["deferred_bytes"] + v["waste_bytes"] + v["metadata_bytes"]
		if (v["footprint_bytes"] == sum)
			exit 0
		printf "footprint %.0f, the parts add up to %.0f\n", v["footprint_bytes"], sum
		exit 1
	}' "$KMHEAP_DEBUGFS${1:+/heaps/$1}/stats"
}

# no_misuse: no free was taken for a misuse.
no_misuse() {
	for misuse_name in double_frees invalid_frees wrong_size_frees; do
		is $misuse_name "$(stat $misuse_name)" = 0 || return 1
	done
}

# no_survivors HEAP: it is gone, was empty, and nobody freed anything wrongly.
no_survivors() {
	! [ -e "$KMHEAP_DEBUGFS/heaps/$1" ] || {
		echo "$1 is still there"
		return 1
	}
	fails said "heap $1 (destroyed|outlives)" && no_misuse && valid
}

# watch_client CLIENT HEAP FIGURE: until CLIENT's threads have ended, run the validators and read the
# figures again and again. Two checks; leaves the most that FIGURE of HEAP has been in $most.
watch_client() {
	watch_reads=0
	watch_findings=
	most=0
	while tell "$1" figures && [ "$(answer "$1" running)" = 1 ]; do
		watch_findings=$(valid) || break
		cat "$KMHEAP_DEBUGFS/stats" "$KMHEAP_DEBUGFS/heaps/$2/classes" >/dev/null
		watch_bytes=$(stat "$3" "$2")
		[ "$watch_bytes" -le "$most" ] || most=$watch_bytes
		watch_reads=$((watch_reads + 1))
		[ $watch_reads -lt 3 ] || sleep 0.2	# three have to come before a fast host is done
	done
	check "the validators are content at every moment" is findings "$watch_findings" = ""
	check "the validators ran meanwhile" is "number of runs" "$watch_reads" -ge 3
}

# within SECONDS COMMAND...: COMMAND succeeds in one of ten tries for each of SECONDS. So are compared
# figures of several reads, and what is live when nobody uses a heap any more: a worker may be
# between two of them, and slots that it is folding just then count as live. "valid" looks often
# enough by itself, and says some things only once: never within().
within() {
	within_tries=$(($1 * 10))
	shift
	until "$@" >/tmp/within.log 2>&1; do
		within_tries=$((within_tries - 1))
		[ "$within_tries" -gt 0 ] || {
			cat /tmp/within.log
			return 1
		}
		sleep 0.1
	done
}

# shows NAME HEAP VALUE: a figure of stats, read now.
shows() {
	is "$1 of $2" "$(stat "$1" "$2")" = "$3"
}

# nobody_grows CLIENT COMMAND...: from here on no heap grows, and no heap gives back anything so
# that another can: the limit is less than what the heaps had when they were empty. COMMAND needs
# more memory than its heap has, and is refused, but not before the heap's worker, which may have
# been growing the heap, is done.
nobody_grows() {
	echo 512K >/sys/module/kmheap/parameters/total_limit
	! tell "$@" || {
		echo "not refused: $*"
		return 1
	}
}
growth_again() {
	echo 0 >/sys/module/kmheap/parameters/total_limit
}

# kib NAME: a figure of /proc/meminfo, in KiB.
kib() {
	awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo
}

# Free memory in KiB. The kernel's lists of free pages of each CPU count: at times they hold tens
# of MiB.
free_kib() {
	free_page=$(awk '$1 == "KernelPageSize:" { print $2; exit }' /proc/self/smaps)
	echo 1 >/proc/sys/vm/stat_refresh
	awk -v free="$(kib MemFree)" -v page="${free_page:-4}" \
		'$1 == "count:" { free += page * $2 } END { print free }' /proc/zoneinfo
}

# Free memory in KiB after kmheap and the page cache have given back all that they can.
settled_kib() {
	[ ! -e "$KMHEAP_DEBUGFS/shrink" ] || echo 1 >"$KMHEAP_DEBUGFS/shrink"
	echo 3 >/proc/sys/vm/drop_caches
	free_kib
}

# memory_back BEFORE KIB: settled_kib has fallen by KIB at most since it was BEFORE.
memory_back() {
	is "KiB missing" $(($1 - $(settled_kib))) -le "$2"
}

# Milliseconds since boot, in steps of ten.
now_ms() {
	awk '{ printf "%d\n", $1 * 1000 }' /proc/uptime
}

note() {
	echo "# $*"
}
