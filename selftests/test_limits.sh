#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# once: yes
# timeout: 120
# Limits as an operator and an owner see them: files and parameters that are written at run time,
# what is refused and what is given back first, the callback of a soft limit, the module's limit.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

mib=1048576
heaps=$KMHEAP_DEBUGFS/heaps
parameters=/sys/module/kmheap/parameters
plan 21

footprint() {
	stat footprint_bytes "$1"
}

# wrote FILE TEXT VALUE: FILE accepts TEXT, and reads as VALUE bytes then.
wrote() {
	printf '%s' "$2" >"$1" && is "$1" "$(cat "$1")" = "$3"
}

# refuses FILE TEXT: the write of TEXT fails with EINVAL, and FILE reads as before.
refuses() {
	refuses_before=$(cat "$1")
	! (echo "$2" >"$1") 2>/tmp/refuses.log || {
		echo "$1 takes '$2'"
		return 1
	}
	grep -q 'Invalid argument' /tmp/refuses.log || {
		echo "'$2': $(cat /tmp/refuses.log)"
		return 1
	}
	is "$1" "$(cat "$1")" = "$refuses_before"
}

nonsense() {
	for text in text -1 +1 1 4096 524287 8M8 '8 M' '8MB' 8.5M M 18446744073709551616 \
		99999999999999999999 16777216T 12345678901234567890123456789012345678901234; do
		refuses "$1" "$text" || return 1
	done
}

# ---- files
check "loads" load kmheap
load heap_client
tell heap_client create a $((64 * mib))
tell heap_client create b
shown() {
	is limit_bytes "$(cat "$heaps/a/limit_bytes")" = $((64 * mib)) &&
		is limit_bytes "$(cat "$heaps/b/limit_bytes")" = 0 &&
		is soft_limit_bytes "$(cat "$heaps/a/soft_limit_bytes")" = 0 &&
		is "the module's" "$(cat "$KMHEAP_DEBUGFS/limit_bytes")" = 0
}
check "the files say what the heap was made with" shown
written() {
	wrote "$1" 8M $((8 * mib)) && wrote "$1" 16384k $((16 * mib)) && wrote "$1" 1g $((1024 * mib)) &&
		wrote "$1" 524288 524288 && wrote "$1" "$(printf '0x4000000\n')" $((64 * mib))
}
check "a heap's limit is written" written "$heaps/a/limit_bytes"
check "stats say so" is limit_bytes "$(stat limit_bytes a)" = $((64 * mib))
check "a heap's soft limit is written" written "$heaps/a/soft_limit_bytes"
check "stats say so, too" is soft_limit_bytes "$(stat soft_limit_bytes a)" = $((64 * mib))
check "the module's limit is written" written "$KMHEAP_DEBUGFS/limit_bytes"
check "the parameter is the same" is total_limit "$(cat $parameters/total_limit)" = $((64 * mib))
check "a heap's limit takes no nonsense" nonsense "$heaps/a/limit_bytes"
check "a heap's soft limit takes no nonsense" nonsense "$heaps/a/soft_limit_bytes"
check "the module's limit takes no nonsense" nonsense "$KMHEAP_DEBUGFS/limit_bytes"
parameters_refuse() {
	nonsense $parameters/total_limit && said 'total_limit=524287: must be 0 \(none\) or at least 524288' &&
		for text in text -1 1 65535 1099511627777 2T 64MB; do
			refuses $parameters/scavenge_rate "$text" || return 1
		done && wrote $parameters/scavenge_rate 128M $((128 * mib)) &&
		wrote $parameters/scavenge_rate 0 0 && wrote $parameters/scavenge_rate 64M $((64 * mib)) &&
		for text in text -1 1048577 2G 8MB; do
			refuses $parameters/reserve_max_kib "$text" || return 1
		done && wrote $parameters/reserve_max_kib 1048576 1048576 &&
		wrote $parameters/reserve_max_kib 4M 4096 &&
		wrote $parameters/reserve_max_kib 8192 8192
}
check "nor do the parameters" parameters_refuse
none() {
	wrote "$KMHEAP_DEBUGFS/limit_bytes" 0 0 && wrote "$heaps/a/limit_bytes" 0 0 &&
		wrote "$heaps/a/soft_limit_bytes" 0 0 && is "limits crossed" "$(stat soft_limit_events a)" = 0
}
check "0 is none" none

# ---- hard
hard() {
	tell heap_client alloc a 1000 4000 && wrote "$heaps/a/limit_bytes" 1M $mib || return 1
	# Memory that the heap has stays, and can be used: a lower limit takes nothing away.
	is footprint "$(footprint a)" -ge $((4 * mib)) || return 1
	! tell heap_client alloc a 3000000 1 || return 1
	is refused_allocs "$(stat refused_allocs a)" = 1 && is limit_refusals "$(stat limit_refusals a)" -ge 1 ||
		return 1
	wrote "$heaps/a/limit_bytes" 16M $((16 * mib)) && tell heap_client alloc a 3000000 1
}
check "a limit that is set at run time refuses, and no more when it is lifted" hard
# 4000 objects of 1000 bytes and one of 3000000 are freed; then one of 11 MiB is allocated. Arenas
# get four fifths of a limit.
instead() {
	refused=$(stat refused_allocs a)
	tell heap_client free a 100000 && tell heap_client alloc a $((11 * mib)) 1 &&
		is refused_allocs "$(stat refused_allocs a)" = "$refused" &&
		is footprint "$(footprint a)" -le $((16 * mib)) && tell heap_client free a 1 &&
		tell heap_client alloc a 1000 8000 && tell heap_client free a 100000 &&
		tell heap_client alloc a $((12 * mib)) 1 && tell heap_client free a 1 &&
		is refused_allocs "$(stat refused_allocs a)" = "$refused"
}
check "what is empty is given back before anything is refused" instead

# ---- soft
trimmed() {
	tell heap_client trims b && is trims "$(answer heap_client trims)" = "$1" &&
		is "bytes over" "$(answer heap_client over_bytes)" -gt 0 &&
		is footprint "$(footprint b)" -le $((8 * mib))
}
soft() {
	tell heap_client soft b $((8 * mib)) && tell heap_client spare b 1000 3500 &&
		is soft_limit_events "$(stat soft_limit_events b)" = 0 || return 1
	# Just past the limit and no further: the callback can only free the objects there are by then.
	while [ "$(stat soft_limit_events b)" = 0 ]; do
		tell heap_client spare b 1000 100 || return 1
	done
	within 30 trimmed 1 && is refused_allocs "$(stat refused_allocs b)" = 0 &&
		is soft_limit_events "$(stat soft_limit_events b)" = 1 &&
		is scavenged_bytes "$(stat scavenged_bytes b)" -gt 0
}
check "the owner is told once, and the heap is small again" soft
unset_soft() {
	tell heap_client soft b 0 && tell heap_client spare b 1000 12000 && tell heap_client trims b &&
		is trims "$(answer heap_client trims)" = 1 && is soft_limit_bytes "$(stat soft_limit_bytes b)" = 0
}
check "and not when the limit is gone" unset_soft
again() {
	tell heap_client soft b $((8 * mib)) && within 30 trimmed 2
}
check "and at once when it comes back" again

# ---- the module
total() {
	was=$(stat limit_refusals)
	limit=$(($(stat footprint_bytes) + 16 * mib))
	echo $limit >"$KMHEAP_DEBUGFS/limit_bytes"
	tell heap_client alloc a 1000 8000 || return 1
	! tell heap_client alloc b 30000 1000 || return 1
	is refused_allocs "$(stat refused_allocs b)" -ge 1 && is limit_refusals "$(stat limit_refusals)" -gt "$was" &&
		is footprint "$(stat footprint_bytes)" -le $limit || return 1
	# Memory that heap b has freed heap a gets at once.
	tell heap_client free b 100000 || return 1
	tell heap_client alloc a 30000 100 || {
		echo "heap a got $(answer heap_client allocated) of 100 objects"
		return 1
	}
	is footprint "$(stat footprint_bytes)" -le $limit && echo 0 >"$KMHEAP_DEBUGFS/limit_bytes" &&
		tell heap_client alloc b 30000 1000
}
check "all heaps together keep the module's limit" total
no_room() {
	echo 512K >"$KMHEAP_DEBUGFS/limit_bytes" && ! tell heap_client create c &&
		said 'heap c: no first arena; total_limit is 524288 bytes' &&
		echo 0 >"$KMHEAP_DEBUGFS/limit_bytes" && tell heap_client create c && tell heap_client destroy c
}
check "no heap comes when there is no room for it" no_room
clean() {
	tell heap_client none && valid && within 30 balanced && unload heap_client && unload kmheap && quiet
}
check "validates, adds up, unloads" clean
