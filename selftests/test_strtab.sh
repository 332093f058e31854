#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The sample client samples/strtab.c with input that a person would not think of.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

lines=/sys/kernel/debug/strtab/lines
plan 30

count() {
	awk -v name="$1" '$1 == name { print $2; found = 1 } END { exit !found }' $lines
}
# holds STRINGS REFERENCES: the table has that many.
holds() {
	is strings "$(count strings)" = "$1" && is references "$(count references)" = "$2"
}
# characters N: a line of N characters, without its newline
characters() {
	head -c "$1" /dev/zero | tr '\0' "${2:-x}"
}
# write_fails TEXT: the write is refused
write_fails() {
	! printf '%s\n' "$1" 2>/dev/null >$lines
}

check "does not load without kmheap" fails load strtab 2>/dev/null
load kmheap
load strtab
check "is empty" holds 0 0

echo hello >$lines
check "one line" holds 1 1
node=$(($(count requested_bytes) - 6))
echo hello >$lines
check "the same again is one string" holds 1 2
printf 'hello\nworld\nhello\n' >$lines
check "three lines in one write" holds 2 5
check "bytes asked for" is requested_bytes "$(count requested_bytes)" = $((2 * node + 6 + 6))
printf '\n\n\nworld\n\n' >$lines
check "empty lines say nothing" holds 2 6
: >$lines
check "nothing says nothing" holds 2 6

# The builtins write at once: one open file, many writes.
{
	printf 'par'
	printf 'ti'
	printf 'al\nnext'
	printf ' one\n'
} >$lines
check "a line in several writes" holds 4 8
printf 'no newline' >$lines
check "a last line without newline" holds 5 9
printf -- '-no newline\n-partial\n-next one' >$lines
check "deleted again" holds 2 6

check "deleting what is not there fails" write_fails -nobody
check "and changes nothing" holds 2 6
printf 'before\n-nobody\nafter\n' 2>/dev/null >$lines
check "the lines before a wrong one count" is "references of 'before'" "$(count references)" -ge 7
printf -- '-before\n' >$lines
count references >/tmp/references
[ "$(cat /tmp/references)" = 6 ] || printf -- '-after\n' >$lines
check "back to where it was" holds 2 6

# Lines over the chunk of 1024 bytes, around it, and over the limit.
long_lines() {
	for n in 1023 1024 1025 2048 5000 65535 65536; do
		{ characters $n && echo; } >$lines || return 1
	done
	holds 9 13
}
check "long lines, up to 65536 characters" long_lines
{ characters 65537; echo; } >/tmp/longer
# give FILE: write FILE to the table
give() {
	cat "$1" 2>/dev/null >$lines
}
check "a longer one is refused" fails give /tmp/longer
check "and leaves nothing" holds 9 13
long_gone() {
	for n in 1023 1024 1025 2048 5000 65535; do
		{ printf -- -; characters $n; echo; } >$lines || return 1
	done
	holds 3 7
}
check "long lines go again" long_gone
# "-" and the text together are over the limit of a line: only the whole heap ends it.
{ printf -- -; characters 65536; echo; } >/tmp/longer
check "a line of the full length cannot be named with a '-'" \
	fails give /tmp/longer

# "--dash" deletes "-dash", which is not there: the write stops before it.
printf 'tab\there\n \n\001\002\377\n--dash\nnever\n' >/tmp/odd
odd_text() {
	! cat /tmp/odd 2>/dev/null >$lines || return 1
	holds 6 10
}
check "odd bytes are text like any other" odd_text
yes same | head -n 20000 >/tmp/same
sed 's/^/-/' /tmp/same >/tmp/not_same
check "20000 equal lines are taken" give /tmp/same
check "and are one string" holds 7 20010
check "they go again" give /tmp/not_same
check "one by one" holds 6 10
check "one more is an error" write_fails -same
check "valid, and the heap's figures add up" eval 'valid && balanced strtab'
check "live bytes are at least what was asked for" \
	is live_bytes "$(count heap_live_bytes)" -ge "$(count requested_bytes)"

# Unloading with strings in the table gives everything back.
unload strtab
check "its heap is gone" fails test -e "$KMHEAP_DEBUGFS/heaps/strtab"
unload kmheap
no_survivors() {
	fails said 'destroyed' && quiet
}
check "no survivors, no kernel report" no_survivors
