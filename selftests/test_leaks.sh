#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What heaps leave behind when they end: reports with every site, kept when the client has gone.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

reports=$KMHEAP_DEBUGFS/reports
leak_bytes=/sys/module/kmheap/parameters/leak_bytes
plan 15

load kmheap profile_period_bytes=1
check "there is no report at first" is reports "$(ls $reports)" = ""
load leak_client
tell leak_client all
sleep 1
tell leak_client all
unload leak_client
r=$reports/leaks.1
check "the log says where it is" said 'heap leaks: all of it is in kmheap/reports/leaks.1 in debugfs'

# site FUNCTION: objects, bytes, and the sites whose innermost frame that is; of names, not addresses.
site() {
	awk -v fn="$1" '$1 == "site" { objects = $3; bytes = $4; first = 1; next }
		/^\t/ && first { first = 0; split($2, f, /[+.]/); if (f[1] == fn) { n += objects; b += bytes; s++ } }
		END { printf "%d %d %d\n", n, b, s }' $r
}
# Each function, its objects and their bytes: those of size classes, for large ones pages.
planted="leak_list 24 1152
leak_table 22 67584
leak_text 18 144
leak_large 4 1212416
leak_atomic 16 3328
leak_bulk 14 1792
leak_node 12 12288
leak_cached 10 640
leak_moved 8 4096
leak_interrupt 20 1600
leak_copy 6 288
leak_from_init 1 96"
every_site() {
	echo "$planted" | while read -r fn objects bytes; do
		# shellcheck disable=SC2046
		set -- $(site "$fn")
		is "objects of $fn" "$1" = "$objects" && is "bytes of $fn" "$2" = "$bytes" || exit 1
	done
}
check "each of twelve functions has the objects that it left" every_site
nothing_else() {
	is "objects of all sites" "$(awk '$1 == "site" { n += $3 } END { print n }' $r)" = 155 &&
		is left_objects "$(awk '$1 == "left_objects" { print $2 }' $r)" = 155 &&
		is "sites of what was freed" "$(site leak_not)" = "0 0 0"
}
check "and nobody else has any" nothing_else
check "names of the client are there when it is not" fails grep -q '^	[0-9a-f]* 0x' $r
form() {
	is first "$(head -n 1 $r)" = "kmheap profile 1" && is kind "$(awk '$1 == "kind" { print $2 }' $r)" = leaks &&
		is owner "$(awk '$1 == "owner" { print $2 }' $r)" = leak_client || return 1
	is columns "$(grep ^columns $r)" = \
		"columns site live_objects live_bytes allocs alloc_bytes youngest_ms oldest_ms"
}
check "it has its documented form" form
# A second went by between the two times that all of them left some.
ages() {
	awk '$1 == "site" && $3 > 1 && $8 - $7 < 990 { print "ages of", $0; bad = 1 } END { exit bad }' $r
}
check "ages are those of the first and of the last one" ages
# hex TEXT: as it is in a report.
hex() {
	printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'
}
content() {
	for text in "of a list" "text" "large" "atomic" "bulk" "node" "cached" "moved" "interrupt" "init" \
		"a name that is too long"; do
		grep -qE "^object [0-9]+ [0-9a-f]{16} [0-9]+ [0-9]+ $(hex "$text")" $r || {
			echo "no object begins with '$text':"
			grep ^object $r
			return 1
		}
	done
	is "objects of a site" "$(awk '$1 == "object" { n[$2]++ } END { for (s in n) if (n[s] > most) most = n[s]; print most }' $r)" = 3
}
check "the first bytes of three of each" content
check "only root may read it" is mode "$(ls -l $r | cut -c1-10)" = -r--------

# again NAME: another heap of that name, which leaves an object.
again() {
	load leak_client name="$1" && unload leak_client
}
echo 0 >$leak_bytes
without() {
	again none && fails grep ^object $reports/none.2 && is left_objects "$(grep left_objects $reports/none.2)" = "left_objects 1"
}
check "no bytes where none are wanted" without
echo 4 >$leak_bytes
four() {
	again four && grep -qE "^object [0-9]+ [0-9a-f]{16} 96 [0-9]+ $(hex init)\$" $reports/four.3
}
check "as many as are wanted" four
# more OLDEST GONE: after fifteen more reports there are sixteen, OLDEST among them, GONE not.
more() {
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
		again x || return 1
	done
	is reports "$(ls $reports | wc -l)" = 16 && test -e "$reports/$1" && fails test -e "$reports/$2"
}
check "the last sixteen are kept" more four.3 none.2
# Who reads one that goes holds up the next report, and not for long.
while ! test -e /tmp/enough; do cat $reports/*; done >/dev/null 2>&1 &
check "while somebody reads them" more x.18 x.17
: >/tmp/enough
wait
unprofiled() {
	unload kmheap && load kmheap && again plain && grep -qx 'left_size 96 1' $reports/plain.1 &&
		is sites "$(grep -c ^site $reports/plain.1)" = 0
}
check "a heap that was not profiled has sizes" unprofiled
unload kmheap
check "nothing else is in the log" quiet
