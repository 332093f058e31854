#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# long: only
# long-timeout: 1800
# memory: 6G
# kernels: 6.12
# test_supply.sh's checks in a large guest, where a small part of the memory is many MiB.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

little=150
spans=24000
percent=4	# of the memory that is free in single pages
plan 19

. "$(dirname "$0")/supply.sh"
