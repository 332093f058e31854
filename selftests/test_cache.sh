#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# provokes: warnings
# Typed caches: their rows in debugfs, what is refused, what is left, and what a cache costs.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 20

load kmheap
load cache_client

# row NAME LIVE FLAGS: the cache has that row.
row() {
	awk -v name="$1" -v live="$2" -v flags="$3" '
		{ n = $6; for (i = 7; i <= NF; i++) n = n " " $i }
		n == name { found = 1; ok = $1 == 104 && $4 == live && $5 == flags; print }
		END { exit !(found && ok) }' "$KMHEAP_DEBUGFS/heaps/caches/caches"
}

check "a cache that nobody has used" row plain 0 h
check "one with a constructor" row built 0 c
check "one that keeps its type" row "typed one" 0 t
has_pools() {
	tell cache_client pools && row plain 10 h && shows live_objects caches 20
}
check "mempools keep objects of a cache, and of the heap" has_pools
check "and give them back" tell cache_client no_pools
check "objects of each" tell cache_client fill
check "are live" row plain 100 h
check "are live there as well" row "typed one" 100 t
sed 's/^/# /' "$KMHEAP_DEBUGFS/heaps/caches/caches"
check "zeroed objects are not constructed" tell cache_client zalloc
check "with a warning" said 'cache built has a constructor'
tell cache_client wrong
check "an object of another cache is reported" \
	said 'invalid free of .*: not an object of the cache built; heap caches'
check "and stays" row plain 100 h
check "they go back" tell cache_client empty
check "all but three" row plain 3 h
tell cache_client end
check "which the end of the cache reports" \
	said 'heap caches: cache plain destroyed with 3 live objects of 104 bytes'
tell cache_client late
late() {
	said 'cache plain: used after its end' && said 'cache plain: destroyed twice' &&
		said 'the cache has been destroyed plain; heap caches' && valid && balanced caches
}
check "what comes too late" late
many() {
	tell cache_client too_many && is more "$(answer cache_client more)" = 23 &&
		is error "$(answer cache_client error)" = -28 &&
		said 'cache more: a heap has at most 25 caches'
}
check "25 caches, and no more" many
cost() {
	tell cache_client cost && cat /sys/module/cache_client/parameters/run &&
		is cache_bytes "$(answer cache_client cache_bytes)" -le 128
}
check "what a cache costs" cost
sed 's/^/# /' /sys/module/cache_client/parameters/run
unload cache_client
check "a cache that is left" \
	said 'heap caches destroyed before its cache built, which has 0 live objects of 104 bytes'
unload kmheap
check "no object is left" fails said 'heap caches destroyed with'
