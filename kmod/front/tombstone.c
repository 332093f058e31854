// SPDX-License-Identifier: GPL-2.0
/*
 * Tombstones: what is left of heaps that have ended, for callers that allocate from one by mistake.
 *
 * The structure of a heap stays for a while after kmheap_destroy(), with an mcache whose flag is
 * always set. So a late allocation finds its mcache busy, as one in an interrupt may, and takes the
 * slow path without touching anything else; there it is reported. The fast path needs no test for
 * that. The structures of the last heaps are kept, and never used again: an allocation from a heap
 * that ended before those cannot be recognized.
 */
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/string.h>

#include "front/front.h"
#include "base/backend.h"
#include "base/budget.h"
#include "heap.h"

/* A structure takes about 3 KiB. */
#define KMH_TOMBSTONES		8U

/* Written under kmh_heaps_mutex; the two figures are read anywhere. */
static struct kmheap *kmh_tombstones[KMH_TOMBSTONES];
static unsigned int kmh_ntombstones;		/* ever */
static u64 kmh_tombstone_bytes;

static DEFINE_PER_CPU(struct kmh_mcache_stub, kmh_tombstone_mcache) = { .head = { 1 } };

static long kmh_tombstone_size(const struct kmheap *heap)
{
	return heap ? sizeof(*heap) + strlen(heap->name) + 1 : 0;
}

/*
 * From here on allocations are told that @heap, which has no users, has ended. Callers that have
 * its mcache may use that for a grace period. Context: process context.
 */
void kmh_tombstone_begin(struct kmheap *heap)
{
	BUILD_BUG_ON(offsetof(struct kmh_mcache, busy));
	WRITE_ONCE(heap->ended, true);
	/* Release: a CPU that sees this mcache sees the flag; it loads them in reverse order. */
	smp_store_release(&heap->mcache, (struct kmh_mcache __percpu *)&kmh_tombstone_mcache);
}

/*
 * Keep the structure of @heap, which has nothing left but its name, or nothing if that is NULL, in
 * place of the oldest that is kept. Context: process context; sleeps.
 */
void kmh_tombstone_keep(struct kmheap *heap)
{
	struct kmheap *oldest;
	long bytes;

	mutex_lock(&kmh_heaps_mutex);
	oldest = kmh_tombstones[kmh_ntombstones % KMH_TOMBSTONES];
	kmh_tombstones[kmh_ntombstones % KMH_TOMBSTONES] = heap;
	WRITE_ONCE(kmh_ntombstones, kmh_ntombstones + 1);
	bytes = kmh_tombstone_size(heap) - kmh_tombstone_size(oldest);
	WRITE_ONCE(kmh_tombstone_bytes, kmh_tombstone_bytes + bytes);
	kmh_shared_account(bytes);
	if (oldest)
		kmh_backend_free(oldest->name);
	kmh_backend_free(oldest);
	mutex_unlock(&kmh_heaps_mutex);
}

/* Free what is kept. Nothing allocates any more. Context: process context; sleeps. */
void kmh_tombstone_exit(void)
{
	unsigned int i;

	for (i = 0; i < KMH_TOMBSTONES; i++)
		kmh_tombstone_keep(NULL);
}

/* How many structures are kept; @bytes is set to their bytes. Context: any. */
unsigned int kmh_tombstone_count(u64 *bytes)
{
	*bytes = READ_ONCE(kmh_tombstone_bytes);
	return min(READ_ONCE(kmh_ntombstones), KMH_TOMBSTONES);
}

/* Report an allocation from a heap that has ended. Context: any. Return: NULL. */
noinline void *kmh_tombstone_alloc(const struct kmheap *heap, unsigned long ip)
{
	struct kmh_report r = {
		.kind = KMH_INVALID_FREE, .what = "allocation after kmheap_destroy()",
		.addr = (unsigned long)heap, .ip = ip, .heap = (struct kmheap *)heap,
		.state = KMH_SPAN_GONE,
	};

	preempt_disable();
	kmh_report_misuse(&r);
	preempt_enable();
	return NULL;
}
