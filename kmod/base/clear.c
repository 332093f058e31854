// SPDX-License-Identifier: GPL-2.0
/* Memory that is cleared in pieces. */
#include <linux/minmax.h>
#include <linux/sched.h>

#include "base/clear.h"

/* Bytes cleared in one go: about 25 us at 10 GB/s, the length that Go settled on. */
#define KMH_CLEAR_BYTES		(256UL << 10)

/* memset() to 0 of any length; others may run in between if @may_sleep. */
void kmh_clear_chunked(void *p, size_t bytes, bool may_sleep)
{
	size_t here;

	for (; bytes; bytes -= here, p += here) {
		here = min(bytes, KMH_CLEAR_BYTES);
		kmh_clear(p, here);
		if (may_sleep)
			cond_resched();
	}
}
