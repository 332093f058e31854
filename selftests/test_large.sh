#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 180
# memory: 3G
# append: init_on_alloc=0
# Objects from 33 KiB to 1 GiB: contents, zeroing, footprint, memory given back,
# limits. init_on_alloc is off, so that nothing but __GFP_ZERO zeroes.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

kib=1024
mib=1048576
gib=1073741824
plan 36

value() {
	answer large_client "$1"
}

# bytes of kmheap's vmalloc areas
area_bytes() {
	awk '$3 ~ /^kmh_/ { sum += $2 } END { print sum + 0 }' /proc/vmallocinfo
}

check "the kernel does not zero here" grep -q init_on_alloc=0 /proc/cmdline
load kmheap
load large_client
areas_at_start=$(area_bytes)
arenas_at_start=$(stat arenas large)

# There and back: zero when asked for, and no dedicated arena outlives its object.
round_trip() {
	tell large_client zalloc "$1" || return 1
	is live_bytes "$(value live_bytes)" = "$1" || return 1
	echo "$1: footprint is $(value percent) % of live, taken in $(value microseconds) us" >>/tmp/trips
	balanced large && is live_objects "$(stat live_objects large)" = 1 && tell large_client free
}
: >/tmp/trips
for bytes in 32769 $((33 * kib)) $((40 * kib + 1)) $((100 * kib)) $((256 * kib)) $((1000 * kib)) \
	$((1 * mib)) $((2 * mib - 8192)) $((2 * mib)) $((2 * mib + 1)) $((21 * mib / 10)) $((3 * mib)) \
	$((4 * mib)) $((5 * mib + 4097)) $((16 * mib)) $((64 * mib)) $((256 * mib)) $gib; do
	check "$bytes bytes" round_trip "$bytes"
done
sed 's/^/# /' /tmp/trips

# A fresh heap holds the object alone, so its footprint is what a 2.1 MiB object costs.
cost() {
	tell large_client heap 0 && tell large_client alloc $((21 * mib / 10)) || return 1
	echo "# a heap with one object of 2.1 MiB: footprint $(value footprint_bytes), live" \
		"$(value live_bytes), $(value percent) %; $(area_bytes) bytes of vmalloc areas" >/tmp/cost
	is "percent of live" "$(value percent)" -le 125
}
check "an object of 2.1 MiB costs a quarter more at most" cost
cat /tmp/cost
check "and goes" tell large_client free

given_back() {
	is arenas "$(stat arenas large)" -le "$arenas_at_start" &&
		is "bytes of areas" "$(area_bytes)" -le "$areas_at_start"
}
tell large_client heap 0
arenas_at_start=$(stat arenas large)
areas_at_start=$(area_bytes)
check "takes 600 MiB" tell large_client alloc $((600 * mib))
free_with=$(free_kib)
check "which are an arena of their own" is arenas "$(stat arenas large)" = $((arenas_at_start + 1))
check "which the arenas file shows" grep -q ' 1 area$' "$KMHEAP_DEBUGFS/heaps/large/arenas"
check "gives them back" tell large_client free
check "soon, and all of them" within 30 given_back
free_again() {
	is "KiB free" "$(free_kib)" -ge $((free_with + 590 * kib))
}
check "to the kernel" within 30 free_again

# Pages that were used are dirty: the object gets them again, and has to be zeroed.
zeroing() {
	tell large_client alloc $((512 * kib)) && tell large_client free || return 1
	tell large_client dirty $((512 * kib)) && dirt=$(value first_byte) && tell large_client free || return 1
	is "first byte of reused memory" "$dirt" = 165 || return 1
	tell large_client zalloc $((512 * kib)) && tell large_client free
}
check "reused pages are zeroed when asked for, and only then" zeroing

grow() {
	tell large_client alloc $((40 * kib)) && tell large_client realloc $((300 * kib)) &&
		tell large_client realloc $((3 * mib)) && tell large_client realloc $((20 * mib)) &&
		tell large_client realloc $((64 * kib)) && tell large_client free
}
check "realloc keeps contents from 40 KiB to 20 MiB" grow

small_atomic() {
	tell large_client atomic $((64 * kib)) && tell large_client free
}
check "64 KiB in atomic context" small_atomic
check "64 MiB in atomic context is refused" fails tell large_client atomic $((64 * mib))

# ---- limits
limited() {
	tell large_client heap $((8 * mib)) || return 1
	tell large_client alloc $((4 * mib)) && tell large_client free || return 1
	refused=$(stat refused_allocs large)
	! tell large_client alloc $((9 * mib)) || return 1
	! tell large_client alloc $gib || return 1
	is refused_allocs "$(stat refused_allocs large)" = $((refused + 2)) &&
		is footprint "$(stat footprint_bytes large)" -le $((8 * mib)) &&
		tell large_client alloc $((4 * mib)) &&
		tell large_client free && balanced large
}
check "a limit of 8 MiB refuses 9 MiB and goes on" limited
too_large() {
	tell large_client heap 0 && fails tell large_client alloc $((8 * gib)) && valid
}
check "more than the machine has is refused" too_large

clean() {
	is live_objects "$(stat live_objects large)" = 0 &&
		is double_frees "$(stat double_frees)" = 0 && is invalid_frees "$(stat invalid_frees)" = 0 &&
		is wrong_size_frees "$(stat wrong_size_frees)" = 0
}
check "nothing is live, validates" eval "within 30 clean && valid"
unload large_client
unload kmheap
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no area is left" is "bytes of areas" "$(area_bytes)" = 0
check "no survivors, no kernel report" no_survivors
