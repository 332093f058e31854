# SPDX-License-Identifier: GPL-2.0
# Sourced by the tests of this folder, which are plain sh (busybox in the guest).
#
#	#!/bin/sh
#	. "$(dirname "$0")/lib.sh"
#	plan 2
#	load kmheap
#	check "validates when empty" valid
#	check "refuses nonsense" fails insmod "$KMHEAP_MODULES/kmheap.ko" arena_size=3
#	unload kmheap
#
# The runner starts each test with kmheap not loaded, and takes it as a failure
# when a module is still loaded afterwards, or when the plan is not kept.
# A test that provokes kernel warnings on purpose holds a line
# "# provokes: warnings"; it runs in a boot of its own without panic_on_warn.
# "# timeout: SECONDS", on a host with nothing else to do, replaces the default of 60; a test is
# ended after four times that. Numbers of CPUs: nproc.
# shellcheck shell=sh

KMHEAP_MODULES=${KMHEAP_MODULES:-/modules}
KMHEAP_DEBUGFS=/sys/kernel/debug/kmheap
test_number=0
test_failures=0

echo "TAP version 13"

plan() {
	test_planned=$1
	echo "1..$1"
}

# pass NAME, fail NAME [WHY], skip NAME WHY: one result line.
pass() {
	test_number=$((test_number + 1))
	echo "ok $test_number $1"
}

fail() {
	test_number=$((test_number + 1))
	test_failures=$((test_failures + 1))
	echo "not ok $test_number $1"
	[ -z "${2:-}" ] || echo "# $2"
}

skip() {
	test_number=$((test_number + 1))
	echo "ok $test_number $1 # SKIP $2"
}

# check NAME COMMAND...: passes when the command succeeds; its output is shown
# when it does not.
check() {
	check_name=$1
	shift
	if check_output=$("$@" 2>&1); then
		pass "$check_name"
	else
		fail "$check_name" "failed: $*"
		[ -z "$check_output" ] || echo "$check_output" | sed 's/^/# /'
	fi
}

fails() {
	! "$@"
}

# A module can send NMIs here. arm64 has none, or pseudo ones that are not for modules.
has_nmis() {
	[ "$(uname -m)" = x86_64 ]
}

# load MODULE [PARAM=VALUE...], unload MODULE.
load() {
	load_module=$1
	shift
	# With the KUnit suites linked in, heaps are not shown to KASAN and kmemleak by default.
	[ "$load_module" != kmheap ] || [ ! -e /sys/kernel/debug/kunit ] || set -- sanitize=Y "$@"
	insmod "$KMHEAP_MODULES/$load_module.ko" "$@"
}

unload() {
	rmmod "$1"
}

loaded() {
	grep -q "^$1 " /proc/modules
}

# full_length: on one kernel tests that take long do all they can, on the others they do less.
full_length() {
	case $(uname -r) in
	*-rt-*) false ;;
	6.12.*) true ;;
	*) false ;;
	esac
}

# stat NAME [HEAP]: one figure of stats, of the module or of one heap.
stat() {
	awk -v name="$1" '$1 == name { print $2; found = 1 } END { exit !found }' \
		"$KMHEAP_DEBUGFS${2:+/heaps/$2}/stats"
}

# valid: every validator of kmheap is content.
valid() {
	valid_output=$(cat "$KMHEAP_DEBUGFS/validate")
	[ "$valid_output" = ok ] || {
		echo "$valid_output"
		return 1
	}
}

# said PATTERN: the kernel log since this test began has a line that matches.
said() {
	dmesg | sed "1,/kmheap test $$ begins/d" | grep -qE "$1"
}

# A test that ends early, or with another number of results than planned, fails.
test_end() {
	test_status=$?
	trap - EXIT
	if [ "$test_number" -ne "${test_planned:-0}" ]; then
		echo "# planned ${test_planned:-no} results, gave $test_number"
		exit 1
	fi
	[ "$test_failures" -eq 0 ] || exit 1
	exit "$test_status"
}
trap test_end EXIT

echo "kmheap test $$ begins" >/dev/kmsg
