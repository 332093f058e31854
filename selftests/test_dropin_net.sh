#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# kernels: 6.12
# source: 6.12
# timeout: 150
# Ethernet bridging of the kernel's source, built as it is with the drop-in header: net/bridge, with
# net/llc, net/802/stp.c and drivers/net/veth.c. Two network namespaces talk through a bridge, which
# learns addresses and multicast groups from the packets: it allocates in softirqs, and frees there.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

tracing=/sys/kernel/tracing
[ -e $tracing/events ] || mount -t tracefs none $tracing
events=$tracing/events/kmheap
heap=$KMHEAP_DEBUGFS/heaps/dropin_bridge
bridge=/sys/class/net/bridge0
plan 19

check "no slab or vmalloc symbol but those of porting.rst" \
	fails grep . "$KMHEAP_MODULES/dropin.strangers"
load kmheap
for module in llc stp bridge veth; do
	load dropin_$module
done
echo 1 >"$heap/profile_period_bytes"
for event in alloc free; do
	echo 'heap == "dropin_bridge"' >$events/$event/filter
	echo 1 >$events/$event/enable
done

# Two namespaces, which end with the processes that are in them; each has one end of a port of the
# bridge, with an address of 10.77.0.0/24.
unshare -n sleep 1000 >/dev/null 2>&1 &
one=$!
unshare -n sleep 1000 >/dev/null 2>&1 &
two=$!
elsewhere() {
	fails cmp -s /proc/self/ns/net "/proc/$1/ns/net"
}
# add_port PROCESS NAME ADDRESS
add_port() {
	within 10 elsewhere "$1" && ip link add "$2" type veth && ip link set veth0 netns "$1" &&
		brctl addif bridge0 "$2" && ip link set "$2" up &&
		nsenter -t "$1" -n ip addr add "10.77.0.$3/24" dev veth0 &&
		nsenter -t "$1" -n ip link set veth0 up
}
has_bridge() {
	brctl addbr bridge0 && ip link set bridge0 up && add_port "$one" port1 1 &&
		add_port "$two" port2 2 && is ports "$(ls $bridge/brif | wc -l)" = 2
}
check "a bridge has two ports" has_bridge

pings() {
	nsenter -t "$one" -n ping -c 5 -i 0.2 -s 1400 10.77.0.2
}
check "packets go through it" pings
# send_from ADDRESS: a packet with that address comes to the first port.
send_from() {
	nsenter -t "$one" -n ip link set veth0 address "$1" &&
		nsenter -t "$one" -n arping -q -U -c 1 -w 1 -I veth0 10.77.0.1
}
learns_addresses() {
	for last in 10 11 12 13 14 15 16 17 18 19; do
		send_from 02:00:00:00:77:$last
	done
	# Its entries have 16 bytes: address, port, whether it is the bridge's own, ...
	xxd -p -c 16 $bridge/brforward >/tmp/learnt
	is addresses "$(grep -c '^02000000771[0-9]..00' /tmp/learnt)" = 10
}
check "it learns an address from each sender" learns_addresses
# cached: the live objects of its cache.
cached() {
	awk '$NF == "net_bridge_fdb_entry" { print $4 }' "$heap/caches"
}
has_entries() {
	is "entries of the cache" "$(cached)" -ge 16 &&
		fails grep '^net_bridge_fdb_entry ' /proc/slabinfo
}
check "and has an object for it in the heap's cache" has_entries

# traced PATTERN N: the trace has so many lines, at least, that match.
traced() {
	is "number of '$1'" "$(grep -cE "$1" $tracing/trace)" -ge "$2" || {
		grep -v '^#' $tracing/trace | tail -n 20
		return 1
	}
}
check "which was allocated in a softirq" \
	traced ': alloc: call_site=fdb_create\+.* gfp=GFP_ATOMIC.* context=softirq$' 10
check "as ways to multicast groups were" \
	traced ': alloc: call_site=br_multicast_new_.* gfp=GFP_ATOMIC.* context=softirq$' 2
# The stack of each site with a live object is from the call to the softirq.
stacks() {
	awk '$1 == "site" { live = $3; create = 0 }
		$2 ~ /^fdb_create\+/ { create = 1 }
		create && $2 ~ /^__netif_receive_skb/ { receive = 1 }
		create && receive && $2 ~ /^handle_softirqs\+/ { n += live; create = receive = 0 }
		END { print n + 0 }' "$heap/profile"
}
profiled() {
	is "live objects below handle_softirqs()" "$(stacks)" -ge 10
}
check "the profile has the way from the softirq to them" profiled
check "every validator is content meanwhile" valid
others() {
	is "objects of llc" "$(stat live_objects dropin_llc)" -ge 1 &&
		is "objects of veth" "$(stat live_objects dropin_veth)" -ge 4
}
check "the other heaps have objects, too" others

forgets() {
	echo 1 >$bridge/bridge/flush && within 10 is_forgotten
}
is_forgotten() {
	is "entries of the cache" "$(cached)" -le 12
}
check "addresses are forgotten" forgets
# Its last call is the free: the caller is RCU then.
check "and freed in a softirq, after a grace period" \
	traced '\] [^ ][^ ]s[^ ]* .*: free: call_site=(fdb_rcu_free|rcu_do_batch)\+' 10
check "packets go through it still" pings
echo 0 >$events/enable
for event in alloc free; do
	echo 0 >$events/$event/filter
done

kill "$one" "$two"
no_ports() {
	is ports "$(ls /sys/class/net | grep -c port)" = 0
}
check "the ports go with their namespaces" within 20 no_ports
ip link set bridge0 down
brctl delbr bridge0
for module in veth bridge stp llc; do
	unload dropin_$module
	check "left nothing: $module" no_survivors dropin_$module
done

unload kmheap
check "the kernel has reported nothing" quiet
