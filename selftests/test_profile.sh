#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Heap profiles: the kernel's real stacks, against what a client knows of itself.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

h=$KMHEAP_DEBUGFS/heaps/profiled
plan 31

check "profile_sites that is no power of two is refused" \
	fails insmod "$KMHEAP_MODULES/kmheap.ko" profile_sites=1000
load kmheap
load profile_client
tell profile_client begin

# site FILE FUNCTION: the sums of live objects and live bytes over the sites whose innermost frame is
# FUNCTION.
site() {
	awk -v fn="$2" '
		$1 == "site" { objects = $3; bytes = $4; first = 1; next }
		/^\t/ && first { first = 0; split($2, name, "+"); if (name[1] == fn) { o += objects; b += bytes } }
		END { printf "%.0f %.0f\n", o, b }' "$h/$1"
}

# exact FILE SITE...: the profile has what the client has, to the object and to the byte.
exact() {
	exact_file=$1
	shift
	tell profile_client truth || return 1
	for exact_site in "$@"; do
		is "$exact_site" "$(site "$exact_file" "profile_from_$exact_site")" = \
			"$(answer profile_client "${exact_site}_objects") $(answer profile_client "${exact_site}_bytes")" ||
			return 1
	done
}

head_is() {
	is "the $1" "$(awk -v name="$1" '$1 == name { $1 = ""; print substr($0, 2); exit }' "$h/$3")" = "$2"
}

check "a heap is not profiled at first" is period "$(cat "$h/profile_period_bytes")" = 0
check "its profile has no site" is sites "$(grep -c ^site "$h/profile")" = 0
refused() {
	for value in x -1 '' 1e9 99999999999999999999; do
		! echo "$value" >"$h/profile_period_bytes" || return 1
	done 2>/dev/null
	! echo 2 >"$h/mark" 2>/dev/null || return 1
}
check "periods that are no numbers, and marks but 1, are refused" refused

tell profile_client alloc list 100
echo 1 >"$h/profile_period_bytes"
every_site() {
	for name in list table text buffer interrupt; do
		tell profile_client alloc $name 500 || return 1
	done
	for name in table text interrupt; do
		tell profile_client churn $name 2000 || return 1
		tell profile_client free $name 100 || return 1
	done
}
check "allocate at five sites, in tasks and interrupts" every_site
check "each site's objects and bytes are the client's" exact profile table text buffer
# A stack that was walked before is taken from its words: two ways to one call site stay two.
ways() {
	awk 'function add() { if (leaf) n[churn] += allocs }
		$1 == "site" { add(); allocs = $5; leaf = churn = 0; first = 1; next }
		/^\t/ && first { first = 0; leaf = $2 ~ /^profile_from_table\+/ }
		/^\t/ && $2 ~ /^run_churn\+/ { churn = 1 }
		END { add(); printf "%d %d\n", n[0], n[1] }' "$h/profile"
}
check "each way to a call site has its own allocations" is ways "$(ways)" = "500 2000"
# Four stacks of one depth, whose only differences are the caller of the call site and that one's.
twins() {
	tell profile_client twins 50 || return 1
	awk 'function add() { if (leaf) n[outer inner] += allocs }
		$1 == "site" { add(); allocs = $5; leaf = 0; inner = outer = ""; first = 1; next }
		/^\t/ && first { first = 0; leaf = $2 ~ /^profile_from_twin\+/ }
		/^\t/ && $2 ~ /^twin_outer_/ { outer = substr($2, 12, 1); next }
		/^\t/ && $2 ~ /^twin_/ { inner = substr($2, 6, 1) }
		END { add(); printf "%d %d %d %d\n", n["ll"], n["lr"], n["rl"], n["rr"] }' "$h/profile"
	tell profile_client free twin 500
}
check "stacks that differ in one return address are two" is twins "$(twins)" = "50 100 150 200"
before() {
	is list "$(site profile profile_from_list)" = "500 32000" && head_is before_objects 100 profile
}
check "objects from before are not in it" before
interrupt() {
	# Those that replaced others came from the churning task.
	tell profile_client free interrupt 4000 && tell profile_client alloc interrupt 300 &&
		exact profile interrupt
}
check "so are those of an interrupt" interrupt
# An interrupt comes in the middle of the task that asks for it, whose functions are not in its stack.
irq_stack() {
	awk 'function add() { if (irq) n[task]++ }
		$1 == "site" { add(); irq = task = 0; next }
		/^\t/ && $2 ~ /^irq_work_/ { irq = 1 }
		/^\t/ && $2 ~ /^(take_in_interrupt|run_alloc|client_param_set)\+/ { task = 1 }
		END { add(); printf "%d %d\n", (n[0] > 0), n[1] }' "$h/profile"
}
check "the stack of an interrupt ends where it interrupts" is stacks "$(irq_stack)" = "1 0"
form() {
	head_is kind inuse profile && head_is heap profiled profile &&
		head_is owner profile_client profile && head_is period_bytes 1 profile &&
		head_is lost 0 profile && head_is missed 0 profile &&
		head_is columns "site live_objects live_bytes allocs alloc_bytes" profile || return 1
	is first "$(head -n 1 "$h/profile")" = "kmheap profile 1" || return 1
	# Frames are address, name; addresses are there for who may see them.
	! awk '/^\t/ && ($1 !~ /^[0-9a-f]+$/ || $1 ~ /^0+$/ || NF < 2) { print; bad = 1 }
		END { exit !bad }' "$h/profile"
}
check "the profile has its documented form" form
whole_stacks() {
	# From the call site through the client and the parameter file to the system call.
	awk '/^\t/ { all = all " " $2; next }
		{ if (all ~ /profile_from_table\+.*client_param_set\+.*vfs_write\+/) found = 1; all = "" }
		END { exit !found }' "$h/profile"
}
check "stacks lead from the call site to the system call" whole_stacks

since() {
	sleep 1
	echo 1 >"$h/mark" && tell profile_client alloc list 50 &&
		tell profile_client churn buffer 10 || return 1
	is list "$(site profile_since profile_from_list)" = "50 3200" || return 1
	is buffer "$(site profile_since profile_from_buffer)" = "10 573440" || return 1
	is table "$(site profile_since profile_from_table)" = "0 0"
}
check "since a mark: what was allocated since, and lives" since
lives() {
	# 2000 objects of "table" have been replaced, and 100 freed, and none has lived for long.
	awk '$1 == "site" { n = 0; for (i = 3; i <= NF; i++) n += $i; long = $NF + $(NF - 1); first = 1; next }
		/^\t/ && first { first = 0; if ($2 ~ /^profile_from_table\+/) { sum += n; old += long } }
		END { printf "%d deaths, %d of them over an hour old\n", sum, old; exit sum != 2100 || old }' \
		"$h/lifetimes"
}
check "lifetimes: every death is counted" lives

# With a period of 64 KiB, an object of s bytes is sampled with the probability 1 - exp(-s / 65536):
# 4000 objects of 1024 bytes give 62 samples, 300 of 57344 give 175; here within five sigma.
estimate() {
	echo 64K >"$h/profile_period_bytes" || return 1
	tell profile_client free table 5000 && tell profile_client alloc table 4000 || return 1
	tell profile_client free buffer 5000 && tell profile_client alloc buffer 300 || return 1
	# shellcheck disable=SC2046
	set -- $(site profile profile_from_table) $(site profile profile_from_buffer)
	is "samples of 4000 tables" "$1" -ge 23 && is "samples of 4000 tables" "$1" -le 101 &&
		is "samples of 300 buffers" "$3" -ge 132 && is "samples of 300 buffers" "$3" -le 218 &&
		fails grep ^before_objects "$h/profile"
}
check "a sampled profile is as near as it should be" estimate
stays() {
	echo 0 >"$h/profile_period_bytes" || return 1
	is table "$(site profile profile_from_table)" != "0 0" || return 1
	head_is period_bytes 65536 profile
}
check "what was sampled can be read when it is over" stays

echo 1 >"$h/profile_period_bytes"
tell profile_client free list 5000
tell profile_client alloc list 4
sleep 1
tell profile_client alloc list 3
tell profile_client free buffer 5000
tell profile_client alloc buffer 3
check "validators are content" valid
tell profile_client end
leaks() {
	said 'heap profiled: 7 objects, 448 bytes, [0-9]+ to [0-9]+ ms old, from' &&
		said 'heap profiled:   profile_from_list\+0x.*\[profile_client\]' &&
		said 'heap profiled: 4700 objects that the profile .a sample every 1 bytes. has not' &&
		said 'heap profiled: 3 objects, 172032 bytes, [0-9]+ to [0-9]+ ms old, from' &&
		said 'heap profiled:   profile_from_buffer\+0x.*\[profile_client\]'
}
check "a heap that is destroyed with live objects says whence they are" leaks
# A second went by between the first and the last of the seven.
ages() {
	# shellcheck disable=SC2046
	set -- $(log_of_test | sed -n 's/.*: 7 objects, 448 bytes, \([0-9]*\) to \([0-9]*\) ms old.*/\1 \2/p')
	is "ms between the two ages" $(($2 - $1)) -ge 990
}
check "and how old they are" ages
check "nothing else is in the log" quiet
unload profile_client
unload kmheap

# Samples are scaled in the log: of 300 buffers five sigma of the estimate are 74.
load kmheap
load profile_client
tell profile_client begin
echo 64K >"$h/profile_period_bytes"
tell profile_client alloc buffer 300
tell profile_client end
scaled() {
	# shellcheck disable=SC2046
	set -- $(log_of_test | sed -nE 's/.*heap profiled: ~([0-9]+) objects, ~([0-9]+) bytes, .* ms old, from/\1 \2/p')
	is "lines of estimates" $# = 2 && is "estimate of 300 buffers" "$1" -ge 226 &&
		is "estimate of 300 buffers" "$1" -le 374 && is "bytes of each" $(($2 / $1)) -ge 57344 && is "bytes of each" $(($2 / $1)) -le 57600 &&
		said 'heap profiled: of 300 objects [0-9]+ are samples, one every 65536 bytes: ~ is what'
}
check "of a sampled profile the log has estimates, and says so" scaled
unload profile_client

# The tables of the first profile are metadata of the module, and a limit may forbid them.
tables() {
	before_bytes=$(stat metadata_bytes)
	tell profile_client begin && echo 1 >"$h/profile_period_bytes" || return 1
	is "metadata" "$(($(stat metadata_bytes) - before_bytes))" -ge $((4096 * 328 + 65536 * 24)) && balanced &&
		balanced profiled
}
limited() {
	tell profile_client begin && echo $(($(stat footprint_bytes) + (2 << 20))) >$KMHEAP_DEBUGFS/limit_bytes || return 1
	limited_why=$(echo 1 2>&1 >"$h/profile_period_bytes") && return 1
	is period "$(cat "$h/profile_period_bytes")" = 0 || return 1
	tell profile_client alloc list 10 && tell profile_client free list 10 || return 1
	echo 0 >$KMHEAP_DEBUGFS/limit_bytes && echo 1 >"$h/profile_period_bytes" && tell profile_client end
}
unload kmheap
load kmheap
load profile_client
check "a limit forbids a profile its tables, and the heap is not profiled" limited
unload profile_client
unload kmheap
load kmheap profile_records=64
load profile_client
tell profile_client begin
echo 1 >"$h/profile_period_bytes"
missed() {
	tell profile_client alloc list 200 || return 1
	set -- "$(awk '$1 == "missed" { print $2 }' "$h/profile")" "$(site profile profile_from_list)"
	is "objects without room" "$1" -ge 136 && is "objects in all" $((${2% *} + $1)) = 200
}
check "samples for which there is no room are counted" missed
# In a user namespace root has the file and not the capability.
namespace() {
	unshare -U -r cat "$h/stats" >/dev/null && fails unshare -U -r cat "$h/profile" >/tmp/profile 2>&1 &&
		grep -q 'Operation not permitted' /tmp/profile && test -n "$(cat "$h/profile")"
}
check "without CAP_SYSLOG root cannot read it" namespace
tell profile_client end
unload profile_client
unload kmheap
load kmheap
load profile_client
check "tables are in metadata_bytes" tables
tell profile_client end
unload profile_client
unload kmheap

load kmheap profile_period_bytes=1
load profile_client
h=$KMHEAP_DEBUGFS/heaps/from-init
check "a heap may be profiled from its creation on" head_is period_bytes 1 profile
check "what an init function allocated has its name when its text is gone" \
	is objects "$(site profile profile_from_init)" = "5 560"
tell profile_client leave 7
unload profile_client
check "so it has when the heap leaks" said 'heap from-init:   profile_from_init\+0x.*\[profile_client\]'
h=$KMHEAP_DEBUGFS/heaps/default
check "what a module leaves in another heap has its name when the module is gone" \
	is objects "$(site profile profile_from_leave)" = "7 448"
unload kmheap

load kmheap
echo 1 >/sys/module/kmheap/parameters/profile_period_bytes
load profile_client
from_now_on() {
	is "period of an older heap" "$(cat "$h/profile_period_bytes")" = 0 || return 1
	h=$KMHEAP_DEBUGFS/heaps/from-init
	head_is period_bytes 1 profile && is objects "$(site profile profile_from_init)" = "5 560"
}
check "or those heaps that are made from now on" from_now_on
unload profile_client
unload kmheap
