#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 300
# memory: 192M
# The client allocates until it is refused, twenty times: the OOM killer stays away, and all memory
# comes back. Then it does so while its own shrinker uses the heap.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 15
exec 3>&1	# for notes: check keeps what its command says

figure() {
	answer overcommit_client "$1"
}

# While memory has run out the kernel may want one more worker, and kill a task for its stack: that
# allocation is kthreadd's, and not a client's. Three processes stand by for it, and its report does
# not count.
for _ in 1 2 3; do
	sh -c 'echo 1000 >/proc/self/oom_score_adj; exec sleep 3000' &
	victims="${victims:-} $!"
done
log_of_test() {
	dmesg | sed -e "1,/kmheap test $$ begins/d" \
		-e '/kthreadd invoked oom-killer/,/Out of memory: Killed process/d' \
		-e '/oom_reaper: reaped process [0-9]* (sleep)/d'
}

# one_round KIND [SCOPE]: the client got most of the free memory, and its contents were right.
least=0
one_round() {
	tell overcommit_client round "$@" || return 1
	round_bytes=$(figure bytes)
	note "$*: $(figure objects) objects, $((round_bytes >> 10)) KiB" >&3
	is "KiB allocated ($*)" $((round_bytes >> 10)) -ge "$least" && is bad "$(figure bad)" = 0 &&
		valid
}

rounds() {
	for kind in "$@"; do
		one_round "$kind" || return 1
	done
}

# The kernel's own slabs and page tables grow when memory runs out, and stay.
recursion() {
	rounds noretry mayfail nofs && echo 2 >/proc/sys/vm/drop_caches
}
loaded_once() {
	load kmheap && load overcommit_client && rounds noretry mayfail nofs nowait atomic &&
		tell overcommit_client recurse on && recursion &&
		tell overcommit_client recurse off &&
		unload overcommit_client && unload kmheap
}
check "once, for what the kernel allocates once" loaded_once
unloaded=$(settled_kib)
least=$((unloaded / 2))

# missing PERCENT KIB: at most PERCENT of the KIB that were free are missing now.
missing() {
	missing_kib=$(($2 - $(settled_kib)))
	echo "$missing_kib" >/tmp/missing
	is "KiB missing of $2" "$missing_kib" -le $(($2 * $1 / 100))
}

# kmheap allocates tables and descriptors in the first round, and has them until it is unloaded.
load kmheap
load overcommit_client
check "and once more, for what kmheap allocates once" rounds noretry nowait
start=$(settled_kib)
note "free before loading: $unloaded KiB; loaded, at the start: $start KiB"
for kind in noretry mayfail nofs; do
	check "five times $kind" rounds $kind $kind $kind $kind $kind
done
check "three times nowait" rounds nowait nowait nowait
check "twice atomic" rounds atomic atomic
check "under a scope" eval 'one_round noretry nofs && one_round noretry noio'
at_rest() {
	is live_objects "$(stat live_objects overcommit)" = 0 && balanced overcommit
}
check "nothing is live, the figures add up" within 30 at_rest
check "the memory is back but for 1 %" within 30 missing 1 "$start"
note "missing: $(cat /tmp/missing) KiB"

check "a shrinker that uses the heap" tell overcommit_client recurse on
check "allocates and frees while memory runs out" recursion
recursed() {
	tell overcommit_client recurse off || return 1
	sed 's/^/# /' /sys/module/overcommit_client/parameters/run >&3
	is "scans inside an allocation" "$(figure reclaim_scans)" -ge 1 &&
		is allocs "$(figure allocs)" -ge 8 && is bad "$(figure bad)" = 0 && valid &&
		within 30 shows live_objects overcommit 0
}
check "it was called from reclaim, and was served" recursed

unload overcommit_client
unload kmheap
check "nothing is missing after unloading" within 30 missing 2 "$unloaded"
note "missing: $(cat /tmp/missing) KiB"
nobody_died() {
	! log_of_test | grep -E 'oom-killer|Out of memory|oom_reaper|destroyed with' && quiet
}
check "nobody was killed, no kernel report" nobody_died
# shellcheck disable=SC2086
kill $victims 2>/dev/null || :	# the kernel may have had them
