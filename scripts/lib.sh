# SPDX-License-Identifier: GPL-2.0
# Sourced by the scripts of this folder: where things live, how they talk.
#
# stdout carries a script's result (a path, KTAP, a table); everything said to
# the person who watches goes to stderr.
# shellcheck shell=bash

set -euo pipefail

# What apt, the compiler and the tools say is read here, in one language.
export LC_ALL=C
unset LANGUAGE

say() {
	printf '%s\n' "$*" >&2
}

die() {
	say "${0##*/}: $*"
	exit 1
}

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Without HOME, bash knows the home folder from the list of users.
: "${HOME:=$(unset HOME && echo ~)}"
export HOME
cache=${KMHEAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kmheap}
jobs=${KMHEAP_JOBS:-$(nproc)}
results=${KMHEAP_RESULTS:-$top/results}
export KMHEAP_CACHE=$cache KMHEAP_RESULTS=$results

case $cache in
*[[:space:]:,]*) die "kernels cannot be built in $cache: please set KMHEAP_CACHE to a folder without spaces, colons and commas in its name" ;;
/*) ;;
*) die "no home folder: please set KMHEAP_CACHE to a folder for kernels and builds" ;;
esac
case $results in
*,*) die "QEMU cannot write to $results: please set KMHEAP_RESULTS to a folder without a comma in its name" ;;
esac
mkdir -p "$cache" 2>/dev/null || die "cannot make the folder $cache: please set KMHEAP_CACHE to another one"

# The outermost script answers Ctrl-C, in one line; the scripts that it has called end
# silently.
if [ "${KMHEAP_OUTERMOST:-$$}" = $$ ]; then
	export KMHEAP_OUTERMOST=$$
	trap 'trap "" INT TERM; say "${0##*/}: interrupted"; exit 130' INT TERM
else
	trap 'exit 130' INT TERM
fi

# room FOLDER MIB: make FOLDER, and give up when there is less than that left in it. For the
# space of what comes next; a disk that is full breaks tools in ways that nobody understands.
room() {
	local left

	mkdir -p "$1" 2>/dev/null || die "cannot make the folder $1"
	left=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
	[ "$left" -ge "$2" ] || die "no space in $1: $left MiB are left, and $2 are needed"
}

# alone NAME: what writes $results/NAME.* holds this lock until it ends, and so do the
# processes that it has started.
alone() {
	local lock=$results/.$1.lock fd

	mkdir -p "$results" 2>/dev/null || die "cannot make the folder $results"
	exec {fd}>"$lock"
	if ! flock -n "$fd"; then
		say "${0##*/}: another one writes $results/$1.*; waiting for its end"
		flock "$fd"
	fi
}

# mirror FOLDER: the sources, to be built there. By content, and stamped now: a file put back from
# elsewhere may be older than its object.
mirror() {
	mkdir -p "$1"
	rsync -rlpc --delete --exclude=.git --exclude-from="$top/.gitignore" "$top/" "$1/"
}

# older_ways FOLDER: what the benchmarks compare kmheap with is patched into their copy of it.
older_ways() {
	patch -d "$1" -p1 -s <"$top/bench/older-ways.patch" || die "bench/older-ways.patch does not apply"
}

# spent WHAT SECONDS: a note for the table that "make check" ends with.
spent() {
	[ -z "${KMHEAP_TIMES:-}" ] || echo "$1 $2" >>"$KMHEAP_TIMES"
}

# judged_by_sparse KERNEL DIR: is sparse asked about modules for that kernel? It miscounts the locks of
# one CPU and of arm64, and takes as long as the compiler: it judges each version once, and on the
# kernel with KASAN what no other has. Trees that are only prepared are for the compiler alone.
judged_by_sparse() {
	case $1 in
	*-rt* | *arm64* | kcsan | up) false ;;
	debug) export KMHEAP_SPARSE_OF='sanitize|quarantine' ;;
	*) [ -e "$2/build/Module.symvers" ] ;;
	esac
}

# compilers ARCH: install a compiler for ARCH if there is none; sets cross, make's arguments for it.
compilers() {
	cross=()
	"$top/scripts/setup" build
	if [ "$1" = arm64 ]; then
		"$top/scripts/setup" arm64
		cross=(CROSS_COMPILE=aarch64-linux-gnu-)
	fi
}

# apt_over FOLDER TOOL ARGUMENT...: apt-get or apt-cache with the sources that stdin names. Its lists
# live in FOLDER, so that the system's own lists and sources stay as they are.
apt_over() {
	local dir=$1 tool=$2 list=$1/sources.list

	shift 2
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	cat >"$list.$$"
	if cmp -s "$list.$$" "$list"; then
		rm -f "$list.$$"
	else
		mv "$list.$$" "$list"
	fi
	exec flock "$dir/lock" "$tool" -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" \
		-o APT::Sandbox::User=root "$@"
}

# Debian's own keys, for sources of apt_over.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# The first twelve digits of the hash of stdin: long enough to name a cache entry.
short_hash() {
	sha256sum | cut -c1-12
}

# progress LABEL LOG: a line every ten seconds for as long as this script runs. It sleeps
# for a second at a time, for meanwhile the locks and pipes of the script are open.
progress() {
	local seconds=0

	trap 'exit' TERM
	while sleep 1 && kill -0 $$ 2>/dev/null; do
		seconds=$((seconds + 1))
		[ $((seconds % 10)) -eq 0 ] || continue
		say "$1: $seconds s, $(grep -cE '^ +(CC|AS|AR|LD|HOSTCC)' "$2" || :) objects"
	done
}

# watched LABEL LOG COMMAND...: run with the output in LOG, with progress, and show
# the end of LOG when the command fails.
watched() {
	local label=$1 log=$2 start=$SECONDS reporter rc=0

	shift 2
	mkdir -p "$(dirname "$log")"
	: >"$log"
	progress "$label" "$log" </dev/null >/dev/null &
	reporter=$!
	"$@" >"$log" 2>&1 </dev/null || rc=$?
	kill "$reporter" 2>/dev/null || :
	wait "$reporter" 2>/dev/null || :
	if [ "$rc" -ne 0 ]; then
		tail -n 30 "$log" >&2
		die "$label failed after $((SECONDS - start)) s; the log is $log"
	fi
}

# keep_busy: with KMHEAP_LOAD=N, N processes that do nothing else, until this script ends.
keep_busy() {
	local i

	for ((i = 0; i < ${KMHEAP_LOAD:-0}; i++)); do
		while kill -0 $$ 2>/dev/null; do
			for ((j = 0; j < 100000; j++)); do :; done
		done </dev/null >/dev/null 2>&1 &
	done
}
