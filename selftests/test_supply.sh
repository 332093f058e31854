#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# timeout: 300
# memory: 192M
# Where memory is short a heap gets as many objects as kmalloc(), from no more memory.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

little=13	# MiB available: less than a 32nd of the memory and 8 MiB
spans=3000
percent=100	# of the memory that is free in single pages
plan 19

. "$(dirname "$0")/supply.sh"
