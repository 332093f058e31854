#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# kernel: debug
# provokes: warnings
# append: kasan_multi_shot
# timeout: 120
# KASAN reports a client's bad accesses to objects of kmheap as it does for kmalloc()'s.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 26

load kmheap
load sanitize_client

# reports SIZE DEED KIND ACCESS: exactly one report, of that kind and access, in the client.
reports() {
	dmesg -c >/dev/null
	tell sanitize_client kasan "$1" "$2" || return 1
	dmesg >/tmp/kasan.log
	is "number of reports" "$(grep -c 'BUG: KASAN' /tmp/kasan.log)" = 1 &&
		grep -qE "BUG: KASAN: $3 in (peek|poke|kasan_cmd)" /tmp/kasan.log &&
		grep -qE "^.*$4 of size 1 at addr" /tmp/kasan.log &&
		grep -q 'kasan_cmd' /tmp/kasan.log && return
	cat /tmp/kasan.log
	return 1
}

for size in small power large; do
	check "$size object: one byte behind it" reports $size over slab-out-of-bounds Read
	check "$size object: 16 bytes behind it" reports $size over16 slab-out-of-bounds Read
	check "$size object: written behind it" reports $size write slab-out-of-bounds Write
done
for size in small large; do
	check "$size object: made smaller, behind it" reports $size shrunk slab-out-of-bounds Read
	check "$size object: larger again, behind it" reports $size regrown slab-out-of-bounds Read
done

# Out of bounds by one, and then freed: the redzone is not the next object's.
check "small object: read when it is free" reports small free slab-use-after-free Read
check "large object: written when it is free" reports large freewrite slab-use-after-free Write

# kmheap reports a misuse, and so does KASAN, whose line is the one that people look for.
misuse() {
	before=$(stat "$3")
	dmesg -c >/dev/null
	tell sanitize_client kasan "$1" "$2" || return 1
	dmesg >/tmp/kasan.log
	is "$3" "$(stat "$3")" = $((before + 1)) &&
		is "reports of kmheap" "$(grep -c 'cut here' /tmp/kasan.log)" = 1 &&
		is "reports of KASAN" "$(grep -c "BUG: KASAN: $4" /tmp/kasan.log)" = 1 && valid
}
for size in small large; do
	unload sanitize_client		# reports are given once a site, and both have the same
	unload kmheap
	load kmheap
	load sanitize_client
	check "$size object: freed twice" misuse $size twice double_frees slab-use-after-free
	check "$size object: freed from within" misuse $size inside invalid_frees out-of-bounds
	check "$size object: wiped and freed twice" misuse $size wiped double_frees slab-use-after-free
	check "$size object: reallocated when it is free" misuse $size reallocated invalid_frees \
		slab-use-after-free
done

# A client without a misuse gets no report.
innocent() {
	dmesg -c >/dev/null
	tell sanitize_client churn && valid && ! dmesg | grep -A 20 -E 'BUG:|WARNING:|cut here'
}
check "no misuse, no report" innocent

# What is lost is reported with the bytes that it was asked to have, without those for KASAN.
lost() {
	dmesg -c >/dev/null
	tell sanitize_client lose "$1" && unload sanitize_client || return 1
	shift
	dmesg >/tmp/lost.log
	for line; do
		grep -q "heap sanitize$line" /tmp/lost.log || {
			cat /tmp/lost.log
			return 1
		}
	done
}
check "a lost object of 64 bytes is said to have these" lost 64 \
	' destroyed with 1 live objects of 64 bytes' ': 1 of 64 bytes$'
load sanitize_client
check "so are some of one class, and a large one" lost "50 60 50000" \
	' destroyed with 3 live objects of 50110 bytes' ': 2 of 50 to 60 bytes$' \
	': 1 large ones$'
unload kmheap
