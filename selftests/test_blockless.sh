#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 180
# memory: 192M
# Memory that is free in single pages alone, so that no heap gets a block: what each kind of heap does
# then, and what the figures say of it.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

linear=8	# KMHEAP_LINEAR
mib=1048576
plan 16

value() {
	answer supply_client "$1"
}
answered() {
	note "$(tr '\n' ' ' </sys/module/supply_client/parameters/run)"
}

# failures: how often there was no block, of each order.
failures() {
	grep '^order[4-9]_failures ' $KMHEAP_DEBUGFS/stats
}
# more_failures: of order 4, which is the last one tried, and of a longer one there have been more.
more_failures() {
	failures >/tmp/failures.now
	awk 'NR == FNR { before[$1] = $2; next }
		$1 == "order4_failures" { least = $2 - before[$1]; next }
		{ longer += $2 - before[$1] }
		END {
			print "order 4:", least, "longer:", longer
			exit !(least > 0 && longer > 0)
		}' /tmp/failures.before /tmp/failures.now
}

load kmheap
load supply_client

# blockless BACKING FLAGS BYTES N
blockless() {
	echo "$1" >/sys/module/kmheap/parameters/backing
	failures >/tmp/failures.before
	tell supply_client blockless "$2" "$3" "$4"
}

# Half of the memory is in single pages: 16 MiB are there.
check "auto: 16 MiB of objects" blockless auto 0 1024 16384
answered
check "auto: all are had" is got "$(value got)" = 16384
check "auto: and one of 3 MiB" is long "$(value long)" = 1
check "auto: none is refused" is refused "$(value refused)" = 0
check "auto: the blocks that were not there are counted" more_failures

# Of a block that it has from its creation on, a heap of blocks alone serves less than 1 MiB.
short() {
	is got "$(value got)" -gt 0 && is "bytes" $(($(value got) * 1024)) -lt $mib
}
check "block: 16 MiB of objects" blockless block 0 1024 16384
answered
check "block: what the first blocks hold is had" short
check "block: and one of 3 MiB, which has an area in any case" is long "$(value long)" = 1
check "block: the blocks that were not there are counted" more_failures
check "linear: 16 MiB of objects" blockless auto $linear 1024 16384
answered
check "linear: what the first blocks hold is had" short
check "linear: and none of 3 MiB" is long "$(value long)" = 0
check "linear: one object and the one of 3 MiB are refused" is refused "$(value refused)" = 2
check "linear: the blocks that were not there are counted" more_failures

echo auto >/sys/module/kmheap/parameters/backing
check "validates" valid
unload supply_client
unload kmheap
no_reports() {
	quiet && fails said 'page allocation failure|Out of memory|oom-kill'
}
check "nobody has been warned or killed" no_reports
