// SPDX-License-Identifier: GPL-2.0
/*
 * Pins: which call sites hold back memory that is not live.
 *
 * A span goes back to the page heap when none of its objects is live, and an arena to the kernel
 * when none of its pages is in use. So what is not live of a span is held back by its live objects,
 * and each of them is taken to hold an equal share of it; likewise with arenas. Only spans of which
 * less than a quarter is live count, and arenas of which less than an eighth is: the others are
 * well used. The sums are over sampled objects; who reads them divides by the probability with
 * which an object is sampled, as for any figure of a profile.
 */
#include <linux/bsearch.h>
#include <linux/mm.h>
#include <linux/sort.h>

#include "debug/profile.h"
#include "base/backend.h"
#include "heap.h"
#include "insight/record.h"
#include "pages/arena.h"
#include "span/arenamap.h"

/* One n-th of a span, and of an arena, that has to be live for it to be well used. */
#define KMH_PINS_SPAN_SHARE	4
#define KMH_PINS_ARENA_SHARE	8

/* Arenas that come between the count and the look. */
#define KMH_PINS_SPARE		16U

/* What is live of an arena, which may be gone when this is read. */
struct kmh_pins_arena {
	const struct kmh_arena *arena;
	size_t bytes;			/* that the heap has of it */
	size_t live_bytes;
	unsigned long live_objects;
};

struct kmh_pins {
	struct kmheap *heap;
	struct kmh_profile_snapshot *snap;
	unsigned int n, most;
	struct kmh_pins_arena arena[];
};

/* What each of @live objects holds back of @bytes; nothing when these are well used. */
static size_t kmh_pins_share(size_t bytes, size_t live_bytes, unsigned long live,
			     unsigned int share)
{
	if (!live || live_bytes >= bytes / share)
		return 0;
	return (bytes - live_bytes) / live;
}

/* What is live of a span, which may be recycled meanwhile. Preemption off. */
static unsigned long kmh_pins_live(const struct kmh_mspan *s, size_t *bytes)
{
	struct kmh_span_count count;

	kmh_assert_pinned();
	if (READ_ONCE(s->state) == KMH_SPAN_MANUAL || s->spanclass == KMH_SPANCLASS_LARGE) {
		*bytes = (size_t)READ_ONCE(s->npages) << KMH_PAGE_SHIFT;
		return 1;
	}
	kmh_mspan_count(s, &count);
	*bytes = (size_t)count.live * s->elemsize;
	return count.live;
}

static void kmh_pins_add_span(struct kmh_mspan *s, void *ctx)
{
	struct kmh_pins_arena *arena = ctx;
	size_t bytes;

	/* Other arenas may be at the addresses, should a client have freed this one. */
	if (READ_ONCE(s->arena) != arena->arena)
		return;
	arena->live_objects += kmh_pins_live(s, &bytes);
	arena->live_bytes += bytes;
}

static int kmh_pins_by_arena(const void *a, const void *b)
{
	const struct kmh_pins_arena *x = a, *y = b;

	return x->arena < y->arena ? -1 : x->arena > y->arena;
}

/* Look at every arena. Context: process context; sleeps. Return: for kmh_backend_free(); NULL. */
struct kmh_pins *kmh_pins_look(struct kmheap *heap)
{
	unsigned int most = KMH_PINS_SPARE;
	struct kmh_pins_arena *to;
	struct kmh_pins *pins;
	struct kmh_arena *a;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		most++;
	mutex_unlock(&heap->arenas_mutex);
	pins = kmh_backend_zalloc(struct_size(pins, arena, most), GFP_KERNEL, NUMA_NO_NODE);
	if (!pins)
		return NULL;
	pins->heap = heap;
	pins->most = most;
	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list) {
		if (pins->n == most)
			break;
		to = &pins->arena[pins->n++];
		to->arena = a;
		to->bytes = kmh_arena_held_bytes(a);
		kmh_walk_spans(a, kmh_pins_add_span, to);
	}
	mutex_unlock(&heap->arenas_mutex);
	sort(pins->arena, pins->n, sizeof(*to), kmh_pins_by_arena, NULL);
	return pins;
}

/* What was found live of @arena, of which no more than the address is used; NULL for a new one. */
static const struct kmh_pins_arena *kmh_pins_arena_of(const struct kmh_pins *pins,
						      const struct kmh_arena *arena)
{
	const struct kmh_pins_arena key = { .arena = arena };

	return bsearch(&key, pins->arena, pins->n, sizeof(key), kmh_pins_by_arena);
}

/*
 * What an object holds back of its span. Return: the arena that it lies in, which may be gone at
 * return; NULL for an object that is not of @heap any more.
 */
static const struct kmh_arena *kmh_pins_of_span(const struct kmheap *heap, unsigned long addr,
						size_t *share)
{
	const struct kmh_arena *arena = NULL;
	struct kmh_mspan *s;
	unsigned long live;
	size_t bytes;

	preempt_disable();
	s = kmh_span_of(addr);
	if (READ_ONCE(s->state) >= KMH_SPAN_SMALL && READ_ONCE(s->heap) == heap) {
		arena = READ_ONCE(s->arena);
		live = kmh_pins_live(s, &bytes);
		*share = kmh_pins_share((size_t)READ_ONCE(s->npages) << KMH_PAGE_SHIFT, bytes, live,
					KMH_PINS_SPAN_SHARE);
	}
	preempt_enable();
	return arena;
}

static void kmh_pins_add_record(const struct kmh_record *r, void *ctx)
{
	struct kmh_pins *pins = ctx;
	struct kmh_profile_row *row = kmh_row_of(pins->snap->row, pins->snap->n, r->site);
	const struct kmh_pins_arena *arena;
	const struct kmh_arena *of;
	size_t share = 0;

	if (!row)
		return;
	of = kmh_pins_of_span(pins->heap, r->addr, &share);
	row->span_bytes += share;
	arena = of ? kmh_pins_arena_of(pins, of) : NULL;
	if (arena)
		row->arena_bytes += kmh_pins_share(arena->bytes, arena->live_bytes,
						   arena->live_objects, KMH_PINS_ARENA_SHARE);
}

/* Add to the rows of a snapshot, in the order of their numbers, what their objects hold back. */
void kmh_pins_add(struct kmh_pins *pins, struct kmh_profile_snapshot *snap)
{
	pins->snap = snap;
	kmh_records_walk(kmh_pins_add_record, pins);
}
