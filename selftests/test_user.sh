#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Buffers that user space maps: a mapping keeps its contents when the buffer is freed, and shows
# nothing of who allocates next.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/client.sh"

plan 9

value() {
	answer user_client "$1"
}

load kmheap
load user_client

mapped() {
	tell user_client map "$1" || return 1
	pages=$(value pages)
	is "pages that were zero" "$(value zeroed)" = "$pages" &&
		is "pages with the kernel's bytes" "$(value written)" = "$pages" &&
		is "the user's byte, read by the kernel" "$(value read)" = 1 &&
		is "mappings past the end" "$(value past_end)" = 0 &&
		is "pages that keep their contents" "$(value kept)" = "$pages" &&
		is "pages that show a secret" "$(value secrets)" = 0 &&
		is "pages that keep their contents later" "$(value kept_later)" = "$pages" &&
		is "pages that show a secret later" "$(value secrets_later)" = 0 &&
		is "live objects" "$(value live_objects)" = 0
}
for bytes in 4096 12288 65536 1048576 3145728; do
	check "a mapping of $bytes bytes outlives its buffer" mapped $bytes
done
check "validates" valid
check "nobody has reported anything" quiet
check "an object is left behind" tell user_client leave 100000
unload user_client
survivor() {
	log_of_test | grep -q 'heap user destroyed with 1 live objects'
}
check "it is reported" survivor
unload kmheap
