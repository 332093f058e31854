#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# once: yes
# timeout: 900
# long-timeout: 7200
# kmheap and a client are loaded and unloaded while every CPU allocates, with deferred frees
# and work items pending, heaps coming and going, and debugfs being read. Every other time the
# client leaves its objects behind: the report counts them to the byte. The long form is a
# thousand cycles.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

cycles=${KMHEAP_LONG:+1000}
cycles=${cycles:-4}
plan 8

# alone COMMAND...: no other command is called so meanwhile.
alone() {
	until mkdir /tmp/unload.lock 2>/dev/null; do
		usleep 1000
	done
	alone_status=0
	"$@" || alone_status=$?
	rmdir /tmp/unload.lock
	return $alone_status
}

read_all() {
	cat "$KMHEAP_DEBUGFS"/heaps/*/* "$KMHEAP_DEBUGFS/stats" >/dev/null 2>&1
	cat "$KMHEAP_DEBUGFS/validate" 2>/dev/null | grep -vx ok >>/tmp/unload.findings
	echo >>/tmp/unload.reads
}

# Reads every file until it is stopped. A read may fail, because a heap and its files may go.
reader() {
	while [ ! -e /tmp/unload.stop ]; do
		alone read_all
		usleep 1000
	done
}

# The client goes while files are read, kmheap does not: delete_module() takes the last reference
# before it says that the module is going, and who opens a file of debugfs in between is told that
# its "owner did not clean up at exit" (full_proxy_open() of all kernels, whatever the module).
cycle() {
	load kmheap && load fire_client leave=$(($1 % 2)) && unload fire_client &&
		alone within 60 unload kmheap
}

cycles() {
	i=0
	while [ $i -lt "$1" ]; do
		cycle $i || {
			echo "in cycle $i"
			return 1
		}
		i=$((i + 1))
	done
}

# The client's message about the objects that it leaves has the same figures as kmheap's report.
leaks() {
	log_of_test | awk '
		function count(name) {	# the number before "live objects" or "objects", and the bytes
			match($0, /[0-9]+ (live )?objects of [0-9]+ bytes/)
			name = substr($0, RSTART, RLENGTH)
			sub(/live /, "", name)
			return name
		}
		/fire_client: / { n++; left = count(); open = /leaves/ }
		/heap fire destroyed with/ {
			if (!open || count() != left) {
				print "left:", left, "reported:", $0
				bad = 1
			}
			open = 0
			reported++
		}
		/heap passing.* destroyed with/ { print; bad = 1 }
		END {
			print n, "cycles,", reported, "reports"
			exit bad || n != '"$1"' || reported != '"$(($1 / 2))"'
		}'
}

areas() {
	awk '$3 ~ /\[kmheap\]|^kmh_|^0x/ { print; n++ } END { exit n > 0 }' /proc/vmallocinfo
}

rm -rf /tmp/unload.*
reader &
reader=$!
check "a few cycles, for what the kernel allocates once" cycles 2
free=$(settled_kib)
slab=$(kib SUnreclaim)
start=$(now_ms)
check "$cycles cycles of load and unload under fire" cycles "$cycles"
note "$cycles cycles in $(($(now_ms) - start)) ms"
touch /tmp/unload.stop
wait $reader
check "debugfs was read meanwhile" is reads "$(wc -l </tmp/unload.reads)" -ge 1
check "the validators were content" is findings "$(cat /tmp/unload.findings)" = ""
check "every leak was reported, to the byte, and nothing else" leaks $((cycles + 2))
check "no area of kmheap is left" areas
no_leak() {
	memory_back "$free" 4096 && is "growth of SUnreclaim" $(($(kib SUnreclaim) - slab)) -le 4096
}
check "no memory is missing" within 30 no_leak
note "free $free KiB before, $(settled_kib) after; SUnreclaim $slab before, $(kib SUnreclaim) after"
check "no kernel report" quiet
