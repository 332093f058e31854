#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# once: yes
# timeout: 120
# Files, formats, equations and refusals of /sys/kernel/debug/kmheap.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

d=$KMHEAP_DEBUGFS
h=$d/heaps/shown
plan 46

load kmheap
load heap_client
load stress_client
tell heap_client create shown
tell heap_client alloc shown 100 1000
tell heap_client alloc shown 5000 20
tell heap_client alloc shown 50000 3
tell heap_client free shown 2

files() {
	for file in stats validate fail_nth shrink heaps/shown/shrink heaps/shown/stats heaps/shown/classes \
		heaps/shown/arenas heaps/shown/spans heaps/default/stats; do
		cat "$d/$file" >/dev/null || return 1
	done
}
check "every file is there and can be read" files

names="footprint_bytes live_bytes free_bytes cached_bytes deferred_bytes waste_bytes metadata_bytes \
live_objects arenas spans allocs frees refused_allocs double_frees invalid_frees wrong_size_frees \
manual_bytes deferred_objects deferred_limit_bytes generations swept_spans collections marked_objects \
collected_objects collected_bytes specials cpu_cache_bytes central_bytes page_heap_bytes \
releasable_bytes"
# The documented names come first and in this order; every line is "name value".
stats_form() {
	awk -v names="$names" '
		BEGIN { n = split(names, want) }
		NF != 2 { print "not \"name value\":", $0; bad = 1 }
		NR <= n && $1 != want[NR] { print "line", NR, "is", $1, "and not", want[NR]; bad = 1 }
		NR <= n && $2 !~ /^[0-9]+$/ { print $1, "is no number:", $2; bad = 1 }
		seen[$1]++ { print $1, "comes twice"; bad = 1 }
		END { exit bad || NR < n }' "$1"
}
check "stats: names, order, numbers" stats_form "$d/stats"
check "a heap's stats: names, order, numbers" stats_form "$h/stats"
own_names() {
	for name in expedited_grace_periods finalized_objects collect_begin_ns collect_end_ns; do
		is $name "$(stat $name shown)" = 0 || return 1
	done
}
check "a heap's own figures begin with 0" own_names
check "stats counts heaps" is heaps "$(stat heaps)" = 3
check "a heap's stats names its owner" is owner "$(stat owner shown)" = heap_client
check "the default heap has no owner" is owner "$(stat owner default)" = none
check "a heap without limit says 0" is limit_bytes "$(stat limit_bytes shown)" = 0
check "footprint is the sum of its parts" balanced
balanced_heaps() {
	balanced shown && balanced default && balanced stress
}
check "the same for each heap" balanced_heaps

# The start of an awk program that reads classes: c[NAME] is the column with that name, and n the
# number of columns.
# shellcheck disable=SC2016
columns='NR == 1 { for (n = 1; n <= NF; n++) c[$n] = n; n = NF; next }'

# The figures of this test's objects: 1000 of 112 bytes, 20 of 5120, and a large one of 50000.
known() {
	is live_objects "$(stat live_objects shown)" = 1021 || return 1
	is allocs "$(stat allocs shown)" = 1023 && is frees "$(stat frees shown)" = 2 || return 1
	large=$(awk '$1 == "large_objects" { print $2 }' "$h/classes")
	is large_objects "$large" = 1 || return 1
	classes=$(awk "$columns"' NF == n { sum += $c["size"] * $c["live"] } END { print sum }' "$h/classes")
	is live_bytes "$(stat live_bytes shown)" = $((classes + 50000))
	is "class of 100" "$(awk "$columns"' $c["live"] == 1000 { print $c["size"] }' "$h/classes")" = 112
}
check "what was allocated is what is shown" known

# The heaps' files are read first. Their sum is less than the module's figure by the metadata that
# all heaps share, which has no file.
sums() {
	cat "$d"/heaps/*/stats | awk -v stats="$d/stats" -v names="$names" '
		{ sum[$1] += $2 }
		END {
			while ((getline line <stats) > 0) {
				split(line, f, " ")
				all[f[1]] = f[2]
			}
			shared = all["metadata_bytes"] - sum["metadata_bytes"]
			if (shared <= 0 || shared > 8 * 1048576) {
				print "shared metadata is", shared
				bad = 1
			}
			sum["metadata_bytes"] += shared
			sum["footprint_bytes"] += shared
			n = split(names, name)
			for (i = 1; i <= n; i++)
				if (sum[name[i]] != all[name[i]]) {
					print name[i], "is", all[name[i]], "heaps and shared", sum[name[i]]
					bad = 1
				}
			exit bad
		}'
}
check "the module's figures are the sum of the heaps' and the shared ones" within 30 sums

classes_form() {
	is "first line" "$(head -n 1 "$h/classes" | tr -s ' ')" = \
		"class size pages spans live free remote deferred allocs frees refills waste" || return 1
	awk "$columns"'
		NF == n {
			if ($1 != rows + 0) { print "row", rows + 0, "is of class", $1; bad = 1 }
			if (rows > 1 && $2 <= bytes) { print "class", $1, "is no larger"; bad = 1 }
			for (i = 1; i <= NF; i++)
				if ($i !~ /^[0-9]+$/) { print "no number:", $0; bad = 1 }
			if ($c["allocs"] - $c["frees"] != $c["live"]) { print "does not add up:", $0; bad = 1 }
			bytes = $2
			rows++
			next
		}
		NF != 2 { print "neither row nor sum:", $0; bad = 1 }
		END {
			if (rows != 68) { print rows, "classes"; bad = 1 }
			exit bad || bytes != 32768
		}' "$h/classes"
}
check "classes: 68 rows that ascend to 32 KiB" classes_form

# An arena's map: all its pages, at most 64 a line.
arenas_form() {
	awk '
		function finish() {
			if (maps && chars != pages) {
				print "an arena of", pages, "pages has a map of", chars; bad = 1
			}
			if (maps && free > pages) { print "more free than pages"; bad = 1 }
		}
		NR == 1 { if ($0 != "base bytes node pages free_pages dedicated backing") bad = 1; next }
		NF == 7 {
			finish(); maps++; n++; bytes += $2; pages = $4; free = $5; chars = 0
			if ($4 * 8192 > $2 || ($6 != 0 && $6 != 1)) { print "odd:", $0; bad = 1 }
			if ($7 != "area" && $7 != "block") { print "odd:", $0; bad = 1 }
			next
		}
		/^  [CsLtMr.]+$/ {
			line = substr($0, 3)
			if (length(line) > 64) { print "long line"; bad = 1 }
			chars += length(line)
			next
		}
		{ print "odd line:", $0; bad = 1 }
		END { finish(); print n, bytes; exit bad }' "$h/arenas" >/tmp/arenas
}
check "arenas: rows and page maps" arenas_form
arenas_count() {
	arenas_form && is arenas "$(cut -d' ' -f1 /tmp/arenas)" = "$(stat arenas shown)"
}
check "arenas: as many as stats says" within 30 arenas_count
arenas_sum() {
	arenas_form && is footprint "$(stat footprint_bytes shown)" = \
		$(($(cut -d' ' -f2 /tmp/arenas) + $(stat metadata_bytes shown)))
}
check "arenas: their bytes and the metadata are the footprint" within 30 arenas_sum

spans_form() {
	awk '
		NR == 1 { if ($0 != "base pages class data slots live remote deferred home") bad = 1; next }
		NF != 9 || $9 !~ /^(cached|partial|full|listed|announced|large|manual)$/ ||
			$6 + $7 + $8 > $5 { print "odd:", $0; bad = 1 }
		{ n++; if ($9 != "manual") live += $6 }
		END { print n, live; exit bad }' "$h/spans" >/tmp/spans
}
check "spans: rows" spans_form
spans_count() {
	spans_form && is spans "$(cut -d' ' -f1 /tmp/spans)" = "$(stat spans shown)"
}
check "spans: as many as stats says" within 30 spans_count
check "spans: their live objects are all" \
	is live "$(cut -d' ' -f2 /tmp/spans)" = "$(stat live_objects shown)"

# ---- runs of pages
# homes HOME [HEAP]: spans of a home, and the sums of their pages, live and deferred slots.
homes() {
	awk -v home="$1" '
		NR > 1 && ($9 == home || home == "any") { n++; pages += $2; live += $6; deferred += $8 }
		END { print n + 0, pages + 0, live + 0, deferred + 0 }' "$d/heaps/${2:-shown}/spans"
}
# column NAME BYTES [HEAP]: of the class of that size.
column() {
	awk "$columns"' NF == n && $c["size"] == '"$2 { print \$c[\"$1\"] }" "$d/heaps/${3:-shown}/classes"
}
page_runs() {
	awk '$1 == "page_runs" { print $2 }' "$h/classes"
}
before=$(stat live_bytes shown)
manual() {
	is manual_bytes "$(stat manual_bytes shown)" = 0 && is page_runs "$(page_runs)" = 0 || return 1
	tell heap_client pages shown 5 && balanced shown || return 1
	is manual_bytes "$(stat manual_bytes shown)" = 40960 || return 1
	is live_bytes "$(stat live_bytes shown)" = $((before + 40960)) || return 1
	is live_objects "$(stat live_objects shown)" = 1021 || return 1
	is allocs "$(stat allocs shown)" = 1023 && is page_runs "$(page_runs)" = 1 || return 1
	is "manual span" "$(homes manual)" = "1 5 1 0" && spans_form || return 1
	is "pages on the map" "$(tr -cd M <"$h/arenas" | wc -c)" = 5
}
check "a run of pages shows as one, in live_bytes and as no object" manual
manual_gone() {
	tell heap_client pages shown 0 && balanced shown || return 1
	is manual_bytes "$(stat manual_bytes shown)" = 0 && is page_runs "$(page_runs)" = 0 || return 1
	is live_bytes "$(stat live_bytes shown)" = "$before" && is "manual span" "$(homes manual)" = "0 0 0 0"
}
check "and is gone when it has been freed" manual_gone

# ---- deferred frees: one large object of 7 pages and 5 of 5120
limit_shown() {
	arenas_form || return 1
	limit=$(($(cut -d' ' -f2 /tmp/arenas) / 8))
	least=$(awk '$1 == "MemTotal:" { print int($2 / 4) * 4 * 1024 / 64 }' /proc/meminfo)
	[ "$least" -lt 33554432 ] || least=33554432
	[ $limit -gt "$least" ] || limit=$least
	is deferred_limit_bytes "$(stat deferred_limit_bytes shown)" = $limit
}
check "deferred_limit_bytes is an eighth of the arenas, at least a 64th of the memory" within 30 limit_shown
generations=$(stat generations shown)
deferred_shown() {
	is deferred_objects "$(stat deferred_objects shown)" = 6 || return 1
	is deferred_bytes "$(stat deferred_bytes shown)" = $((7 * 8192 + 5 * 5120)) || return 1
	is live_objects "$(stat live_objects shown)" = 1015 || return 1
	is frees "$(stat frees shown)" = 8 && balanced shown || return 1
	is "deferred of 5120" "$(column deferred 5120)" = 5 && is live "$(column live 5120)" = 15 || return 1
	is "large span" "$(homes large)" = "1 7 0 1" || return 1
	is "slots of spans" "$(homes any | cut -d' ' -f3,4)" = "1015 6" && spans_form
}
# The files are copied while the reader holds up the grace period, and compared afterwards: the
# reader does not stay for as long as a busy host takes to compare.
seen() {
	tell heap_client reader on && tell heap_client rcu shown 6 && mkdir -p /tmp/seen/heaps/shown &&
		cp "$h/stats" "$h/classes" "$h/spans" /tmp/seen/heaps/shown && tell heap_client reader off
}
check "a reader holds up grace periods" seen
KMHEAP_DEBUGFS=/tmp/seen d=/tmp/seen h=/tmp/seen/heaps/shown
check "deferred frees show as deferred, and nowhere as live" deferred_shown
KMHEAP_DEBUGFS=/sys/kernel/debug/kmheap d=$KMHEAP_DEBUGFS h=$d/heaps/shown
tell heap_client barrier shown
deferred_gone() {
	is deferred_objects "$(stat deferred_objects shown)" = 0 || return 1
	is deferred_bytes "$(stat deferred_bytes shown)" = 0 && balanced shown || return 1
	is "deferred of 5120" "$(column deferred 5120)" = 0 || return 1
	is "slots of spans" "$(homes any | cut -d' ' -f3,4)" = "1015 0"
}
deferred_free() {
	deferred_gone && is live "$(column live 5120)" = 15 || return 1
	is generations "$(stat generations shown)" -gt "$generations" || return 1
	is swept_spans "$(stat swept_spans shown)" -gt 0
}
check "and are gone after the barrier" deferred_free
pressed() {
	is expedited_grace_periods "$(stat expedited_grace_periods shown)" -gt 0
}
# 200 objects of 98304 bytes are more than half of the limit: from there on grace periods are
# expedited.
flooded() {
	is expedited_grace_periods "$(stat expedited_grace_periods shown)" = 0 || return 1
	# The reader holds up the grace period, so that the first objects are still deferred when the
	# last one is freed.
	tell heap_client alloc shown 98304 200 && tell heap_client reader on &&
		tell heap_client rcu shown 200 && tell heap_client reader off || return 1
	within 60 pressed && tell heap_client barrier shown && deferred_gone && within 30 limit_shown &&
		is limit "$limit" -gt 1048576
}
check "past the limit grace periods are expedited" flooded

# ---- finalizers
finalizers() {
	is specials "$(stat specials shown)" = 0 || return 1
	tell heap_client finalize shown 3 || return 1
	is specials "$(stat specials shown)" = 3 || return 1
	is finalized_objects "$(stat finalized_objects shown)" = 0 || return 1
	tell heap_client free shown 2 && tell heap_client barrier shown || return 1
	is specials "$(stat specials shown)" = 1 || return 1
	is finalized_objects "$(stat finalized_objects shown)" = 2 || return 1
	tell heap_client rcu shown 1 && tell heap_client barrier shown || return 1
	is specials "$(stat specials shown)" = 0 && is finalized_objects "$(stat finalized_objects shown)" = 3
}
check "specials and finalized_objects count finalizers" finalizers

# ---- collections: 100 of 2000 objects of 112 stay
collections() {
	tell heap_client collected gathered && tell heap_client alloc gathered 100 2000 || return 1
	is "full and listed" "$(homes listed gathered | cut -d' ' -f1)" -ge 2 || return 1
	tell heap_client collect gathered 100 && tell heap_client barrier gathered || return 1
	is collections "$(stat collections gathered)" = 1 || return 1
	is marked_objects "$(stat marked_objects gathered)" = 100 || return 1
	is collected_objects "$(stat collected_objects gathered)" = 1900 || return 1
	is collected_bytes "$(stat collected_bytes gathered)" = $((1900 * 112)) || return 1
	is live_objects "$(stat live_objects gathered)" = 100 && balanced gathered || return 1
	is "live of 112" "$(column live 112 gathered)" = 100 || return 1
	is collect_begin_ns "$(stat collect_begin_ns gathered)" -gt 0 || return 1
	is collect_end_ns "$(stat collect_end_ns gathered)" -gt 0
}
check "a collection shows what it marked and what it collected" collections
collected_again() {
	tell heap_client collect gathered 0 && tell heap_client barrier gathered || return 1
	is collections "$(stat collections gathered)" = 2 || return 1
	is marked_objects "$(stat marked_objects gathered)" = 100 || return 1
	is collected_objects "$(stat collected_objects gathered)" = 2000 || return 1
	is live_objects "$(stat live_objects gathered)" = 0 && balanced gathered || return 1
	within 30 sums && tell heap_client destroy gathered
}
check "and the next one adds to it" collected_again

cat "$d/validate" >/tmp/validate
printf 'ok\n' >/tmp/ok
check "validate prints ok and nothing else" cmp /tmp/validate /tmp/ok

# ---- refusals
refuses_write() {
	! echo "$2" 2>/dev/null >"$1" || {
		echo "$1 took $2"
		return 1
	}
}
# Root may open a file of mode 0444 for writing; the write itself must fail.
read_only() {
	for file in stats validate heaps/shown/stats heaps/shown/classes heaps/shown/arenas \
		heaps/shown/spans; do
		refuses_write "$d/$file" 1 || return 1
	done
	files
}
check "files that show refuse writes" read_only
for value in text 1x '' 99999999999999999999 -1; do
	check "fail_nth refuses '$value'" refuses_write "$d/fail_nth" "$value"
done
check "fail_nth is still off" is fail_nth "$(cat "$d/fail_nth")" = 0

# The next backend allocation fails, and only that one.
fail_nth_works() {
	echo 1 >"$d/fail_nth" || return 1
	! tell heap_client create failing 2>/dev/null || return 1
	is fail_nth "$(cat "$d/fail_nth")" = 0 || return 1
	tell heap_client create failing && tell heap_client destroy failing && valid
}
check "fail_nth makes one allocation fail" fail_nth_works

# A read that fails for want of memory says so. A worker may meet the injected failure instead of
# the reader: then the test tries again.
fails_without_memory() {
	for try in 1 2 3; do
		echo 1 >"$d/fail_nth" || return 1
		if ! cat "$1" >/tmp/unfilled 2>/tmp/errors; then
			grep -q 'Cannot allocate memory\|Out of memory' /tmp/errors || {
				cat /tmp/errors
				return 1
			}
			is "bytes of $1" "$(wc -c </tmp/unfilled)" = 0 && cat "$1" >/tmp/filled
			return
		fi
	done
	echo "$1 is filled without memory, $try times"
	return 1
}
for file in stats heaps/shown/stats heaps/shown/classes; do
	check "$file says when there is no memory for it" fails_without_memory "$d/$file"
done

no_file() {
	! echo 1 2>/dev/null >"$d/nothing" && ! mkdir "$d/heaps/mine" 2>/dev/null
}
check "nobody makes files there" no_file

# ---- reading while everything changes
read_all() {
	find "$d" -type f ! -name fail_nth -exec cat {} + >/tmp/all 2>/tmp/errors || {
		cat /tmp/errors
		return 1
	}
}
reading() {
	tell stress_client start 1000000 || return 1
	reads=0
	while tell stress_client figures && [ "$(answer stress_client running)" = 1 ]; do
		read_all || return 1
		stats_form "$d/stats" && classes_rows || return 1
		# Heaps come and go under the readers.
		tell heap_client create brief && tell heap_client alloc brief 64 10 || return 1
		cat "$d/heaps/brief/spans" >/dev/null && tell heap_client destroy brief || return 1
		reads=$((reads + 1))
	done
	echo "$reads" >/tmp/reads
	tell stress_client stop && is mismatches "$(answer stress_client mismatches)" = 0
}
classes_rows() {
	is rows "$(awk "$columns"' NF == n' "$d/heaps/stress/classes" | wc -l)" = 68
}
check "all files can be read while the stress runs" reading
note "read all files $(cat /tmp/reads) times meanwhile"
at_rest() {
	balanced && balanced_heaps && within 30 sums
}
check "the figures add up after it" at_rest
# All files as they are now are read by tools/kmheap, outside of the guest (check-selftests).
[ ! -e /tree ] || {
	. /tree
	tree_out
}

unload stress_client
unload heap_client
check "the heaps' files go with them" is heaps "$(ls "$d/heaps")" = default
unload kmheap
check "no kernel report" quiet
