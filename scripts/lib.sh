# SPDX-License-Identifier: GPL-2.0
# Sourced by the scripts of this folder: where things live, how they talk.
#
# stdout carries a script's result (a path, KTAP, a table); everything said to
# the person who watches goes to stderr.
# shellcheck shell=bash

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${KMHEAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kmheap}
jobs=${KMHEAP_JOBS:-$(nproc)}
results=${KMHEAP_RESULTS:-$top/results}
export KMHEAP_CACHE=$cache KMHEAP_RESULTS=$results

mkdir -p "$cache"

say() {
	printf '%s\n' "$*" >&2
}

die() {
	say "${0##*/}: $*"
	exit 1
}

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

# progress LABEL LOG: a line every ten seconds for as long as this script runs. Its
# sleep ends with it, for it would keep the locks and pipes of the script open.
progress() {
	local seconds=0 nap=

	trap '[ -z "$nap" ] || kill "$nap" 2>/dev/null; exit' TERM
	while kill -0 $$ 2>/dev/null; do
		sleep 10 &
		nap=$!
		wait "$nap"
		seconds=$((seconds + 10))
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
