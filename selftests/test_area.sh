#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 400
# memory: 1G
# The memory that a heap takes for buffers of vmalloc()'s sizes, the memory that it keeps when they
# are freed, and freed pages to which somebody else still has a reference.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

kib=1024
mib=1048576
plan 23

value() {
	answer area_client "$1"
}

load kmheap
load area_client

# 64 MiB of buffers of each size, and 16 buffers at least. The footprint has descriptors, tables and
# the memory that the worker grows ahead in it. The worker's blocks have room for smaller objects
# behind the last buffer, which goes back on request.
packs() {
	tell area_client pack "$1" || return 1
	echo "$1 bytes: $(value permille), then $(value shrunk_permille) per mille of what was asked for" >>/tmp/packs
	is "per mille" "$(value permille)" -le 1080 &&
		is "per mille, shrunk" "$(value shrunk_permille)" -le 1060
}
: >/tmp/packs
for bytes in $((32 * kib)) $((40 * kib)) $((64 * kib)) $((100 * kib)) $((128 * kib)) \
	$((256 * kib)) $((512 * kib)) 520192 $mib $((2 * mib)) $((1920 * 1080 * 2)) $((4 * mib)) $((8 * mib)) \
	$((16 * mib)); do
	check "$bytes bytes take at most 8 % more, and 6 % after a shrink" packs "$bytes"
done
sed 's/^/# /' /tmp/packs

# The scavenger gives the memory back without a request, in some four seconds; the limit is for a
# busy host.
check "loads of all kinds that vmalloc() is tested with" tell area_client load
peak=$(value peak_bytes)
note "footprint: $peak bytes at most, $(value footprint_bytes) when all is freed"
a_tenth() {
	is "footprint" "$(stat footprint_bytes area)" -le $((peak / 10))
}
freed=$(now_ms)
check "a tenth of it at most is left soon" within 20 a_tenth
note "$(stat footprint_bytes area) bytes after $(($(now_ms) - freed)) ms"
check "validates" valid

# A freed page to which somebody else has a reference is not handed out, and goes back to the kernel
# when that reference is put.
held() {
	tell area_client held "$1" || return 1
	is references "$(value references | head -n 1)" = 2 &&
		is "pages handed out" "$(value handed_out)" = 0 &&
		is "pages handed out" "$(value handed_out_later)" = 0 &&
		is "bytes left" "$(value left_bytes)" -le "$(value empty_bytes)"
}
for bytes in $((64 * kib)) $mib $((2 * mib)) $((4 * mib)); do
	check "$bytes bytes freed with pages that somebody else has" held "$bytes"
done

check "a scatterlist over objects of a linear heap" tell area_client sg
check "nobody has reported anything" quiet

unload area_client
unload kmheap
