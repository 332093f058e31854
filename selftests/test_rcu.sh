#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 300
# Deferred frees: a million readers, or three, find the object that they looked up unchanged
# for as long as they look, what is pending stays bounded, and heaps and modules go
# with frees pending.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

full_length && rounds=3000000
rounds=${KMHEAP_RCU_ROUNDS:-${rounds:-1000000}}
nmis=1000
has_nmis || nmis=0
plan $((nmis ? 28 : 26))

figure() {
	answer rcu_client "$1"
}
deferred() {
	answer deferred_client "$1"
}

# nothing_deferred HEAP: all deferred frees are done.
nothing_deferred() {
	is deferred_bytes "$(stat deferred_bytes "$1")" = 0 &&
		is deferred_objects "$(stat deferred_objects "$1")" = 0
}
at_rest() {
	within 30 balanced "$1" && valid
}

# ---- readers and writers
load kmheap
load rcu_client
check "readers and writers start on every CPU" tell rcu_client start "$rounds"
if [ $nmis -gt 0 ]; then
	check "NMIs can be had here" tell rcu_client nmi $nmis
	note "NMIs sent: $(figure sent)"
fi

watch_client rcu_client rcu deferred_bytes
check "ends" tell rcu_client stop
sed 's/^/# /' /sys/module/rcu_client/parameters/run
note "$watch_reads looks at the figures, at most $most bytes deferred; $(stat generations rcu) generations"
check "readers looked $rounds times" is rounds "$(figure rounds)" -ge "$rounds"
check "every reader saw what it found, unchanged" is mismatches "$(figure mismatches)" = 0
check "writers replaced objects meanwhile" is writes "$(figure writes)" -ge $((rounds / 100))
check "most frees were deferred" is "deferred frees" "$(figure deferred_frees)" -ge $(($(figure writes) / 2))
check "hardirqs and softirqs took part" \
	is "the lesser of both" "$(printf '%s\n%s\n' "$(figure hardirq_writes)" "$(figure softirq_writes)" | sort -n | head -n 1)" -ge 1000
check "something was pending" is "deferred bytes" "$most" -gt 0
[ $nmis = 0 ] || check "so did NMIs" is NMIs "$(figure nmi_writes)" -ge 100
held=$(figure held)

check "all deferred frees can be waited for" tell rcu_client barrier
check "then nothing is deferred" nothing_deferred rcu
check "live is what the slots hold" within 30 shows live_objects rcu "$held"
check "the figures add up" at_rest rcu
clear() {
	tell rcu_client clear && within 30 shows live_objects rcu 0 &&
		tell rcu_client barrier && nothing_deferred rcu &&
		shows live_objects rcu 0 && at_rest rcu
}
check "nothing is live when the slots were cleared" clear
check "no free was taken for a misuse" no_misuse
unload rcu_client

# ---- floods: what is taken does not go with what is freed
load deferred_client
bounded() {
	tell deferred_client flood "$1" "$2" || return 1
	note "$1 MiB in objects of $2 bytes:" \
		"$(tr '\n' ' ' </sys/module/deferred_client/parameters/run)" >>/tmp/notes
	# The bound is what is freed in a grace period, whose length depends on the machine.
	is limit_bytes "$(deferred limit_bytes)" -gt 0 &&
		is footprint_bytes "$(deferred footprint_bytes)" -le $((($1 / 8 + 64) << 20))
}
: >/tmp/notes
check "a flood of small objects stays bounded" bounded 400 256
check "a flood of 4 KiB objects stays bounded" bounded 800 4096
check "a flood of large objects stays bounded" bounded 800 65536
cat /tmp/notes
settles() {
	tell deferred_client barrier && nothing_deferred deferred &&
		within 30 shows live_objects deferred 0 && at_rest deferred
}
check "nothing is deferred after a barrier" settles
tell deferred_client barrier
note "a barrier with nothing to wait for: $(deferred microseconds) us"

# Deferred frees end although nobody calls a barrier, allocates or frees.
alone() {
	tell deferred_client pend 1000 && within 60 nothing_deferred deferred
}
check "deferred frees end by themselves" alone

# ---- heaps and modules that go meanwhile
check "heaps are destroyed with frees pending" tell deferred_client destroy 30
note "destroy: $(tr '\n' ' ' </sys/module/deferred_client/parameters/run)"
destroyed() {
	is "readers in the middle of it" "$(deferred seen)" -ge 25 &&
		is "objects that changed" "$(deferred changed)" = 0
}
check "a reader keeps what it reads until then" destroyed
client_goes() {
	tell deferred_client pend 5000 default && tell deferred_client pend 5000 &&
		unload deferred_client && is heaps "$(stat heaps)" = 1 && valid && no_misuse
}
check "the client unloads with frees pending" client_goes
module_goes() {
	load deferred_client && tell deferred_client pend 5000 default &&
		unload deferred_client && unload kmheap
}
check "kmheap unloads with frees pending" module_goes
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no survivors, no kernel report" no_survivors
