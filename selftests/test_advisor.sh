#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 120
# patches: code
# The advisor, against what a module that does not use kmheap knows of itself. kmheap.ko is not
# loaded until the end.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

a=/sys/kernel/debug/kmheap_advisor/victim_client
plan 30

refused() {
	for value in '' ' ' nf_tables,nf_tables kmheap_advisor a,b,c,d,e,f,g,h,i ../x printk; do
		! insmod "$KMHEAP_MODULES/kmheap_advisor.ko" "module=$value" || return 1
	done 2>/dev/null
	! insmod "$KMHEAP_MODULES/kmheap_advisor.ko" || return 1
	! insmod "$KMHEAP_MODULES/kmheap_advisor.ko" module=x profile_sites=1000 || return 1
} 2>/dev/null
check "names that are none, twice, too many, or of the kernel itself are refused" refused
check "and the log says why" said 'kmheap_advisor: module=: nf_tables is named twice'

load kmheap_advisor module=victim-client

# figure NAME: of stats.
figure() {
	awk -v name="$1" '$1 == name { print $2; found = 1 } END { exit !found }' "$a/stats"
}
figure_is() {
	is "$1" "$(figure "$1")" = "$2"
}
# sites FILE FUNCTION COLUMN...: the sums of columns over the sites that have FUNCTION on their stack.
sites() {
	sites_file=$1 sites_fn=$2
	shift 2
	awk -v fn="$sites_fn" -v want="$*" '
		function add() { if (hit) for (i = 1; i <= n; i++) sum[i] += value[i] }
		BEGIN { n = split(want, name, " ") }
		$1 == "columns" { for (i = 2; i <= NF; i++) at[$i] = i; next }
		$1 == "site" { add(); hit = 0; for (i = 1; i <= n; i++) value[i] = $(at[name[i]]); next }
		/^\t/ { split($2, f, "+"); if (f[1] == fn) hit = 1 }
		END { add(); for (i = 1; i <= n; i++) printf "%s%.0f", (i > 1 ? " " : ""), sum[i]; print "" }' \
		"$a/$sites_file"
}
site_is() {
	is "$1" "$(sites profile "$1" live_objects asked_bytes live_bytes allocs)" = "$2"
}

check "a module that is not there yet has no allocations" figure_is kmalloc_allocs 0
load victim_client
kept() {
	site_is victim_from_init "1 50 64 1" && figure_is state live && figure_is late 0 && figure_is loads 1
}
check "what an init function allocated has its name when its text is gone" kept

small() {
	tell victim_client alloc leaf 1000 && tell victim_client free leaf 400 &&
		site_is victim_leaf "600 24000 38400 1000" &&
		tell victim_client alloc table 10 && site_is victim_table "10 31720 40960 10"
}
leaf_begun=$(now_ms)
check "kmalloc: objects, bytes asked and given" small
leaf_ended=$(now_ms)
through() {
	tell victim_client alloc text 30 && site_is victim_text "30 2100 2880 30"
}
check "what the kernel allocates for the module is the module's" through
slab() {
	tell victim_client alloc slab 100 && tell victim_client free slab 20 &&
		site_is victim_slab "80 41600 41600 100"
}
check "kmem_cache" slab
contexts() {
	tell victim_client alloc interrupt 50 && site_is victim_interrupt_fn "50 4500 4800 50" || return 1
	tell victim_client alloc softirq 60 && site_is victim_soft_fn "60 5760 5760 60"
}
check "in interrupts and softirqs" contexts

bulk() {
	tell victim_client bulk 30 && site_is victim_slab "50 26000 26000 100" || return 1
	figure_is frees_bulk 30 || return 1
	tell victim_client alloc bulk 40 && tell victim_client free bulk 25 || return 1
	figure_is frees_bulk 55
}
check "what is freed in bulk is seen" bulk
rcu() {
	tell victim_client free table 10
	tell victim_client alloc rcu 200 && tell victim_client free rcu 150 &&
		site_is victim_table "50 6500 9600 210" && figure_is frees_rcu 150
}
check "what is given to kfree_rcu() is freed" rcu
# Of these the kernel keeps pages for pointers, which are no leaks at the end.
headless() {
	tell victim_client alloc headless 200 && tell victim_client free headless 200 && figure_is frees_rcu 350
}
check "also without a head" headless
pages() {
	tell victim_client alloc pages 5 && tell victim_client free pages 2 &&
		site_is victim_pages "3 98304 98304 5" && figure_is pages_live_objects 3 &&
		figure_is pages_asked_bytes 98304
}
check "pages" pages
area() {
	tell victim_client alloc area 6 && tell victim_client free area 2 || return 1
	if grep -q '^unseen.* alloc_vmap_area' "$a/stats"; then
		figure_is vmalloc_allocs 0
	else
		figure_is vmalloc_allocs 6 && figure_is vmalloc_asked_bytes 409600
	fi
}
check "vmalloc, where the kernel tells of it" area
percpu() {
	tell victim_client alloc percpu 12 && tell victim_client free percpu 5 &&
		site_is victim_percpu "7 $((7 * 24 * $(nproc))) $((7 * 24 * $(nproc))) 12"
}
check "per-CPU memory" percpu
percpu_failed() {
	figure_is percpu_failed 0 && fails tell victim_client alloc percpu_now 4000 2>/dev/null &&
		figure_is percpu_failed 1 && tell victim_client free percpu_now 4000 &&
		is failed "$(sites profile victim_percpu_now failed live_objects)" = "1 0"
}
check "and where there is none" percpu_failed

# order N: its row without the first two columns.
order() {
	awk -v n="$1" '$1 == "order" && $2 == n { print $4, $5, $6, $7, $8, $9 }' "$a/orders"
}
orders() {
	tell victim_client alloc big 4 && tell victim_client free big 1 || return 1
	is "order 7" "$(order 7)" = "4 0 3 0 0 0" && is "order 3" "$(order 3)" = "0 0 0 5 0 3"
}
check "orders" orders
# class BYTES: its row of savings.
class() {
	awk -v size="$1" '$1 == "class" && $3 == size { print $4, $5, $6, $7 }' "$a/savings"
}
savings() {
	is "80 bytes" "$(class 80)" = "30 2100 2880 2400" && is "576 bytes" "$(class 576)" = "50 26000 26000 28800"
}
check "savings: what kmheap would take" savings
form() {
	is first "$(head -n 1 "$a/profile")" = "kmheap profile 1" || return 1
	is kind "$(awk '$1 == "kind" { print $2; exit }' "$a/profile")" = advice || return 1
	for name in lost missed nested; do
		figure_is $name 0 || return 1
	done
}
check "nothing was lost" form
check "nothing is left of a module that is there" is sites "$(grep -c ^site "$a/leaks")" = 0
note "$(grep unseen "$a/stats")"
note "$(figure inside_live_objects) objects are of allocators, $(figure frees_unseen) frees were not seen"

for kind in table text rcu bulk big area percpu interrupt softirq; do
	tell victim_client free $kind 5000
done
tell victim_client free leaf 588
tell victim_client free pages 2
unload victim_client
leaks() {
	figure_is state gone && is "leaf" "$(sites leaks victim_leaf live_objects asked_bytes)" = "12 480" &&
		is "pages" "$(sites leaks victim_pages live_objects asked_bytes)" = "1 32768" || return 1
	is "sites" "$(grep -c ^site "$a/leaks")" = 2 || {
		cat "$a/leaks"
		return 1
	}
}
check "when it is unloaded, exactly what it left behind is a leak" leaks
# Of the leaves those are left that were allocated first. Both clocks have their steps.
ages() {
	ages_before=$(now_ms)
	youngest=$(sites leaks victim_leaf youngest_ms)
	oldest=$(sites leaks victim_leaf oldest_ms)
	is "oldest leaf" "$oldest" -le $(($(now_ms) - leaf_begun + 20)) && is "and the youngest" "$youngest" -le "$oldest" &&
		is "youngest leaf" "$youngest" -ge $((ages_before - leaf_ended - 20))
}
check "and since when" ages
check "names are there when the module is not" said 'kmheap_advisor: victim_client is unloaded: 13 objects, 33248 bytes are left'

load victim_client
again() {
	figure_is loads 2 && figure_is unloads 1 && site_is victim_leaf "0 0 0 0" &&
		tell victim_client alloc leaf 7 && site_is victim_leaf "7 280 448 7"
}
check "a module that is loaded again begins anew" again
unload kmheap_advisor
load kmheap
load kmheap_advisor module=absent,victim_client
late() {
	figure_is late 1 && tell victim_client free leaf 5 && site_is victim_leaf "0 0 0 0" &&
		tell victim_client alloc leaf 9 && site_is victim_leaf "9 360 576 9"
}
check "a module that was there before, beside kmheap.ko" late
tell victim_client end
ended() {
	tell victim_client live && is "live leaves" "$(answer victim_client leaf)" = 0 || return 1
	site_is victim_leaf "0 0 0 9" || return 1
}
check "what it has freed is not live" ended

# Without kprobes what is freed in bulk seems to be live, until its address is another object's: frees
# of the site that are seen tell the one from the other.
unload kmheap_advisor
load kmheap_advisor module=victim_client kprobes=0
unload victim_client
load victim_client
# died FILE FUNCTION: its objects that are live or died unseen, and those of which a free was seen.
died() {
	# shellcheck disable=SC2046
	set -- $(sites "$1" "$2" live_objects allocs frees_unseen)
	echo "$(($1 + $3)) $(($2 - $1 - $3))"
}
unseen() {
	grep -q '^unseen.* kvfree_call_rcu kmem_cache_free_bulk$' "$a/stats" || return 1
	tell victim_client alloc bulk 40 && tell victim_client free bulk 40 || return 1
	tell victim_client alloc table 10 && tell victim_client free table 4 || return 1
	figure_is frees_bulk 0 && is "bulk" "$(died profile victim_leaf)" = "40 0" &&
		is "table" "$(died profile victim_table)" = "6 4"
}
check "without kprobes a free in bulk is not seen" unseen
unload victim_client
unseen_leaks() {
	is "bulk" "$(died leaks victim_leaf)" = "40 0" && is "table" "$(died leaks victim_table)" = "6 4"
}
check "sites of leaks say of which a free was seen" unseen_leaks
load victim_client

# The advisor comes and goes while all CPUs allocate.
comes_and_goes() {
	for _ in 1 2 3 4 5; do
		unload kmheap_advisor && load kmheap_advisor module=victim_client profile_records=64 || return 1
		tell victim_client alloc leaf 200 && tell victim_client free leaf 200 || return 1
	done
	is "objects for which there was no room" "$(figure missed)" -gt 0 &&
		is "objects" "$(figure kmalloc_live_objects)" -le 64
}
(while [ ! -e /tmp/stop ]; do cat /proc/self/maps /proc/modules >/dev/null; done) &
check "it is loaded and unloaded under load, and a full table is counted" comes_and_goes
: >/tmp/stop
wait
unload victim_client
unload kmheap_advisor
check "kmheap's validators are content" valid
unload kmheap
check "nothing else is in the log" quiet
