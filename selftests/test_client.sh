#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The client that README.md shows, built outside the tree (scripts/client).
. "$(dirname "$0")/lib.sh"

plan 6

check "does not load without kmheap" fails load hello
load kmheap
load hello
check "says what it has" said 'hello: "hello" takes [0-9]+ bytes'
check "has one object in a heap of its own" [ "$(stat live_objects hello)" = 1 ]
check "is valid" valid
unload hello
check "its heap is gone" fails test -e "$KMHEAP_DEBUGFS/heaps/hello"
unload kmheap
check "left nothing behind" fails said 'destroyed|WARNING|BUG'
