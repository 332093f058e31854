#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# once: yes
# timeout: 400
# Loading, parameters, references, and that unloading gives everything back.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 41

# refused "MESSAGE" PARAM=VALUE...: insmod fails, says why, and leaves nothing.
refused() {
	refused_why=$1
	shift
	! load kmheap "$@" 2>/dev/null || {
		unload kmheap
		echo "loaded with $*"
		return 1
	}
	said "$refused_why" || {
		echo "no message like: $refused_why"
		log_of_test | tail -n 5
		return 1
	}
	fails loaded kmheap
}

# accepted NAME VALUE: loads with it, shows it, unloads.
accepted() {
	load kmheap "$1=$2" || return 1
	is "$1" "$(cat "/sys/module/kmheap/parameters/$1")" = "$2" && valid && unload kmheap
}

references() {
	awk '$1 == "kmheap" { print $3 }' /proc/modules
}

# vmalloc areas of kmheap, or of code that has no name any more.
areas() {
	awk '$3 ~ /\[kmheap\]|^kmh_|^0x/ { n++ } END { print n + 0 }' /proc/vmallocinfo
}

# What the first arena of the default heap is made of.
first_backing() {
	awk 'NR == 2 { print $NF }' "$KMHEAP_DEBUGFS/heaps/default/arenas"
}

cycle() {
	load kmheap && valid && unload kmheap && fails loaded kmheap
}

cycles() {
	i=0
	while [ $i -lt "$1" ]; do
		cycle || return 1
		i=$((i + 1))
	done
}

clean_before=$(areas)
check "no area of kmheap before the first load" is areas "$clean_before" = 0
check "loads" load kmheap
check "has the default heap" is heaps "$(ls "$KMHEAP_DEBUGFS/heaps")" = default
check "validates" valid
check "begins with a block" is backing "$(first_backing)" = block
check "default arena_size is 4 MiB" \
	is arena_size "$(cat /sys/module/kmheap/parameters/arena_size)" = 4194304
check "default_limit is none" \
	is default_limit "$(cat /sys/module/kmheap/parameters/default_limit)" = 0
check "nobody refers to it" is references "$(references)" = 0
check "loading twice is refused" fails load kmheap
check "unloads" unload kmheap
check "its debugfs is gone" fails test -e "$KMHEAP_DEBUGFS"
load kmheap backing=area
check "takes vmalloc areas where it is told to" is areas "$(areas)" -ge 1
unload kmheap
check "its areas are gone" is areas "$(areas)" = 0

# ---- parameters
allowed='must be a power of two from 2097152 to 1073741824'
for value in 0 12345678 1048576 2147483648 18446744073709551615; do
	check "arena_size=$value is refused" refused "arena_size=$value: $allowed" "arena_size=$value"
done
malformed() {
	for value in text 4MM "" 99999999999999999999; do
		refused "kmheap: .$value. invalid for parameter .arena_size." \
			"arena_size=$value" || return 1
	done
}
check "arena_size that is no number is refused" malformed
for value in 1 524287; do
	check "default_limit=$value is refused" \
		refused "default_limit=$value: must be 0 \(none\) or at least 524288" "default_limit=$value"
done
check "arena_size=2097152 is accepted" accepted arena_size 2097152
check "arena_size=16777216 is accepted" accepted arena_size 16777216
check "default_limit=524288 is accepted" accepted default_limit 524288

# in_words NAME TEXT VALUE: a size may be written with K, M, G or T.
in_words() {
	load kmheap "$1=$2" || return 1
	is "$1" "$(cat "/sys/module/kmheap/parameters/$1")" = "$3" && unload kmheap
}
check "arena_size=4M is accepted" in_words arena_size 4M 4194304
check "default_limit=64M is accepted" in_words default_limit 64M 67108864
check "total_limit=1g is accepted" in_words total_limit 1g 1073741824
check "reserve_max_kib=64M is accepted" in_words reserve_max_kib 64M 65536
check "reserve_max_kib=64 is KiB" in_words reserve_max_kib 64 64

# Every parameter refuses what it cannot be with EINVAL, and the log says so.
parameters="arena_size default_limit small_heaps profile_period_bytes heap_fail_nth heap_fail_gfp
	leak_bytes profile_sites profile_records backing scavenge_rate idle_drain_ms total_limit reserve_max_kib sanitize
	kasan_quarantine_kib"
junk_of() {
	case $1 in
	small_heaps | sanitize) echo "maybe 2 -1" ;;
	backing) echo "linear 1" ;;
	profile_period_bytes) echo "288230376151711744 18446744073709551616 -1 8M1" ;;
	heap_fail_gfp) echo "GFP_KERNEL sleepin 0" ;;
	heap_fail_nth) echo "9223372036854775808 18446744073709551616 -1 1x" ;;
	leak_bytes) echo "65 -1 8K x" ;;
	idle_drain_ms) echo "4294967296 18446744073709551616 -1 2s" ;;
	kasan_quarantine_kib) echo "4294967296 -1 x" ;;
	*) echo "99999999999999999999 -1 1x text" ;;
	esac
}
# explained NAME VALUE ERROR: it was EINVAL, and there is a line in the log.
explained() {
	case $3 in
	*[Ii]"nvalid "[Aa]rgument* | *"invalid parameter"*) ;;
	*)
		echo "$1=$2: $3"
		return 1
		;;
	esac
	said "kmheap: $1=$2: must be " || {
		echo "$1=$2: nothing in the log"
		return 1
	}
}
junk_is_not_loaded() {
	for name in $parameters; do
		[ -e "/tmp/known/$name" ] || continue
		value=$(junk_of "$name")
		value=${value%% *}
		! why=$(load kmheap "$name=$value" 2>&1) || {
			unload kmheap
			echo "loaded with $name=$value"
			return 1
		}
		explained "$name" "$value" "$why" || return 1
	done
}
junk_is_not_written() {
	load kmheap || return 1
	for name in $parameters; do
		file=/sys/module/kmheap/parameters/$name
		# To root all files look as if they could be written.
		ls -l "$file" 2>/dev/null | grep -q '^-rw' || continue
		was=$(cat "$file")
		for value in $(junk_of "$name") ''; do
			! why=$({ echo "$value" >"$file"; } 2>&1) || {
				echo "$name takes '$value'"
				return 1
			}
			explained "$name" "$value" "$why" && is "$name" "$(cat "$file")" = "$was" ||
				return 1
		done
		written="$written$name "
	done
	unload kmheap
	case $written in
	*heap_fail_nth*idle_drain_ms*reserve_max_kib*) ;;
	*)
		echo "only these were written: $written"
		return 1
		;;
	esac
}
mkdir -p /tmp/known
load kmheap
for name in $parameters; do
	[ ! -e "/sys/module/kmheap/parameters/$name" ] || : >"/tmp/known/$name"
done
unload kmheap
check "no parameter is loaded with junk" junk_is_not_loaded
check "no parameter takes junk at run time" junk_is_not_written

default_limited() {
	load kmheap default_limit=8388608 && is limit_bytes "$(stat limit_bytes default)" = 8388608 &&
		unload kmheap
}
check "default_limit is that of heaps without their own" default_limited

# ---- references
held() {
	load kmheap && load heap_client && tell heap_client create held || return 1
	# One for the module that uses its symbols, one for the heap.
	is references "$(references)" = 2
	fails rmmod kmheap 2>/dev/null || return 1
	loaded kmheap || return 1
	fails rmmod kmheap 2>/dev/null && tell heap_client alloc held 100 10 && valid &&
		tell heap_client destroy held && is references "$(references)" = 1 &&
		said 'heap held destroyed with 10 live objects'
}
check "a heap keeps kmheap loaded" held
stale() {
	fails load stale_client 2>/dev/null && fails loaded stale_client &&
		said 'stale_client: Unknown symbol kmheap_built_for_size_classes_00000000'
}
check "a client that was built for other size classes does not load" stale
check "its client goes first, then kmheap" eval 'unload heap_client && unload kmheap'

forgotten() {
	load kmheap && load heap_client && tell heap_client create orphan &&
		tell heap_client alloc orphan 1000 50 && tell heap_client create orphan2 &&
		tell heap_client forget && unload heap_client || return 1
	said 'heap orphan outlives its owner heap_client; destroyed' || return 1
	said 'heap orphan2 outlives its owner heap_client; destroyed' || return 1
	said 'heap orphan destroyed with 50 live objects of 51200 bytes' || return 1
	is heaps "$(ls "$KMHEAP_DEBUGFS/heaps")" = default && is references "$(references)" = 0 && valid
}
check "heaps without their owner are reported and destroyed" forgotten
check "kmheap unloads after that" unload kmheap

# ---- memory
cycles 2	# what the kernel allocates once is allocated
before=$(settled_kib)
check "loads and unloads 8 times" cycles 8
check "memory is back" within 30 memory_back "$before" 4096
note "free: $before KiB before 8 cycles, $(settled_kib) KiB after"
check "no area is left" is areas "$(areas)" = 0
check "no kernel report" quiet
