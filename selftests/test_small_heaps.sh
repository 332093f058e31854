#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# once: yes
# timeout: 180
# Small heaps stay small: an empty one within 32 KiB, a thousand of ten objects in 54 MiB, with all that
# the kernel has for them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

kib=1024
heaps=1000
plan 18

value() {
	answer heap_client "$1"
}
footprint() {
	tell heap_client stats "$1" && value footprint_bytes
}

check "has 4 CPUs" is CPUs "$(nproc)" = 4
load kmheap small_heaps=1
load heap_client

# one BYTES KIB: a heap with one such object, which is one in all and not one from each CPU's cache.
one() {
	tell heap_client create one && empty=$(footprint one) &&
		tell heap_client alloc one "$1" 1 && with=$(footprint one) || return 1
	echo "an empty heap takes $empty bytes, with one object of $1 bytes $with" >>/tmp/small
	tell heap_client destroy one &&
		is footprint "$with" -le $(($2 * kib)) &&
		is "empty footprint" "$empty" -le $((32 * kib))
}
: >/tmp/small
for bytes in 8 64 4096; do
	check "a heap with one object of $bytes bytes" one $bytes 144
done
for bytes in 32768 100000; do
	check "a heap with one object of $bytes bytes" one $bytes 512
done
sed 's/^/# /' /tmp/small

# Every class once: still less than the 4 MiB of one full arena.
every() {
	tell heap_client create every || return 1
	for bytes in 8 16 24 32 48 64 80 96 112 128 256 512 1024 2048 4096 8192; do
		tell heap_client alloc every $bytes 1 || return 1
	done
	bytes=$(footprint every)
	note "a heap with one object of each of 16 sizes from 8 B to 8 KiB takes $bytes bytes"
	tell heap_client destroy every && is footprint "$bytes" -le $((1024 * kib))
}
check "a heap with one object each of 16 classes" every

# The kernel's own caches for debugfs and vmalloc have grown once before it counts.
tell heap_client many 50 10 100
start=$(now_ms)
tell heap_client none
note "50 heaps destroyed in $(($(now_ms) - start)) ms"
before=$(settled_kib)
start=$(now_ms)
check "$heaps heaps of 10 objects" tell heap_client many $heaps 10 100
made=$(now_ms)
check "all of them" is heaps "$(stat heaps)" = $((heaps + 1))
echo 3 >/proc/sys/vm/drop_caches
during=$(free_kib)
note "$heaps heaps in $((made - start)) ms: footprint $(($(stat footprint_bytes) / kib)) KiB," \
	"live $(($(stat live_bytes) / kib)) KiB, free from $before to $during KiB"
check "their objects are all" is live_objects "$(stat live_objects)" = $((heaps * 10))
check "at most 34 KiB each" is footprint "$(stat footprint_bytes)" -le $((heaps * 34 * kib))
# With the files in debugfs, and what the kernel rounds up.
check "what the kernel misses is 54 KiB each at most" \
	is "KiB taken" $((before - during)) -le $((heaps * 54))
check "the figures add up" balanced
check "a heap's files are there" balanced many$((heaps - 1))
check "validates" valid
start=$(now_ms)
check "checks, frees and destroys all" tell heap_client none
note "$heaps heaps destroyed in $(($(now_ms) - start)) ms"
unload heap_client
unload kmheap
check "memory is back" within 30 memory_back "$before" 8192
note "free: $before KiB before, $(settled_kib) KiB after all is unloaded"
no_survivors() {
	log_of_test | grep 'destroyed with' >/tmp/survivors
	# The heaps of one() and every() went with their objects.
	is "heaps with survivors" "$(grep -c . /tmp/survivors)" = 6 && quiet
}
check "no other survivors, no kernel report" no_survivors
