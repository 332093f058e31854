/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites of several tiers share: a heap for each case, misuse reports as data, and
 * the books of the whole module before and after a case.
 */
#ifndef _KMHEAP_KUNIT_UTIL_H
#define _KMHEAP_KUNIT_UTIL_H

#include <kunit/test.h>
#include <linux/shrinker.h>
#include <linux/spinlock.h>

#include "all.h"

/* Where KASAN or KCSAN looks at every access, long cases do a fraction of their rounds. */
#define KMH_KUNIT_SLOW	(IS_ENABLED(CONFIG_KASAN) || IS_ENABLED(CONFIG_KCSAN))

/* What the module holds. These are the same before and after a case, or something leaks. */
struct kmh_kunit_books {
	unsigned int nheaps;
	long narenas;		/* taken from the kernel, and on no heap's list */
	long nblock_pages;	/* likewise, of blocks */
	long ntables;
	u64 map_bytes;
	u64 pool_bytes;		/* of descriptors, free or in a heap */
};

/* test->priv of every suite that uses kmh_kunit_init(). */
struct kmh_kunit {
	struct kunit *test;
	struct kmheap *heap;		/* made for the case; NULL once the case has destroyed it */
	struct kmh_kunit_books before;
	unsigned int backing;		/* the parameter before the case */
	raw_spinlock_t lock;		/* protects what follows */
	unsigned int nreports[KMH_NR_MISUSES];
	struct kmh_report last;
};

/*
 * .init and .exit of a suite. The heap made for a case has no scavenger; a heap that the case
 * makes has one. Exit destroys the heap, runs the validators and compares the books.
 */
int kmh_kunit_init(struct kunit *test);
void kmh_kunit_exit(struct kunit *test);

/* From here on to the end of the case CPUs give objects to their spans alone, and to no depot. */
void kmh_kunit_shut_depots(struct kunit *test);

/* As kmh_kunit_init(), for a suite about vmalloc areas: its heaps are made of these. */
int kmh_kunit_init_areas(struct kunit *test);

/* The case is about vmalloc areas. Return: its heap, which is made anew if it is of blocks. */
struct kmheap *kmh_kunit_of_areas(struct kunit *test);

static inline struct kmh_kunit *kmh_kunit(struct kunit *test)
{
	return test->priv;
}

static inline struct kmheap *kmh_kunit_heap(struct kunit *test)
{
	return kmh_kunit(test)->heap;
}

/*
 * Make a heap, allocate and free one object, and destroy the heap. Return: the heap, of which
 * only a tombstone is left.
 */
struct kmheap *kmh_kunit_ended_heap(struct kunit *test, const char *name, unsigned int flags);

/* Every arena of @heap without a page in use goes. Returns the bytes. */
static inline size_t kmh_kunit_give_back(struct kmheap *heap)
{
	const struct kmh_leavers all = { .bytes = SIZE_MAX, .leaving = true };

	return kmh_arenas_give_back(heap, &all, NULL);
}

/* Everything goes that no object needs, also what kmheap_shrink() leaves. Returns the bytes. */
size_t kmh_kunit_shrink(struct kmheap *heap);

/* What the heap's shrinker counts on node @nid. */
static inline unsigned long kmh_kunit_shrink_count(struct kmheap *heap, int nid)
{
	struct shrink_control sc = { .gfp_mask = GFP_KERNEL, .nid = nid };

	return heap->shrink.shrinker->count_objects(heap->shrink.shrinker, &sc);
}

/*
 * Expect that since the last call exactly @n reports came, all of @kind. A report that no
 * case expects fails the case at its end. Return: the latest report.
 */
struct kmh_report kmh_kunit_reports(struct kunit *test, enum kmh_misuse kind, unsigned int n);
void kmh_kunit_no_reports(struct kunit *test);

/* What validators call: the first fails the case @ctx, the second counts in the unsigned @ctx. */
__printf(2, 3) void kmh_kunit_finding(void *ctx, const char *fmt, ...);
__printf(2, 3) void kmh_kunit_count_finding(void *ctx, const char *fmt, ...);

/* All validators over all heaps; each finding fails the case. */
void kmh_kunit_validate(struct kunit *test);

/* Once nothing runs in @heap: read its figures, and expect that they add up exactly. */
void kmh_kunit_stats(struct kmheap *heap, struct kmheap_stats *st);
void kmh_kunit_balanced(struct kunit *test, struct kmheap *heap, struct kmheap_stats *st);

/* What the heap's arenas have of the kernel, by their own books. */
size_t kmh_kunit_held_bytes(struct kmheap *heap);

/* A whole collection of @heap that @kept alone survives; its sweep is over then. */
void kmh_kunit_collect_but(struct kunit *test, struct kmheap *heap, const void *kept,
			   struct kmheap_stats *st);

void kmh_kunit_books(struct kunit *test, struct kmh_kunit_books *b);
void kmh_kunit_same_books(struct kunit *test, const struct kmh_kunit_books *before);

/* Live slots of a span. @nremote, if not NULL: slots freed from elsewhere and not yet folded. */
static inline unsigned int kmh_kunit_live(const struct kmh_mspan *s, unsigned int *nremote)
{
	struct kmh_span_count n;

	kmh_mspan_count(s, &n);
	if (nremote)
		*nremote = n.remote;
	return n.live;
}

/* Free a slot of a span as a caller does who cannot enter the section. Preemption off. */
static inline enum kmh_free_result kmh_kunit_free_remote(struct kmh_mspan *s, unsigned int slot)
{
	return kmh_mspan_free_remote(s, slot, kmh_mspan_slot_addr(s, slot));
}

/* Keep the worker of @heap from growing it ahead, and from giving back, until the case ends. */
void kmh_kunit_sweep_claimed(struct kmh_mspan *s);
void kmh_kunit_no_worker(struct kmheap *heap);

/*
 * Fill all usable bytes of a live object with a pattern of its own; are all bytes still that
 * pattern?
 */
void kmh_kunit_fill(void *p);
bool kmh_kunit_filled(const void *p);

/*
 * Bytes of the smallest class that holds @bytes, found by search; of large objects in whole
 * pages.
 */
size_t kmh_kunit_class_bytes(size_t bytes);

/* Run @fn on another CPU than this one and wait. */
void kmh_kunit_elsewhere(struct kunit *test, void (*fn)(void *arg), void *arg);

/* Run @fn in a thread with preemption on, on CPU @cpu, and wait. */
void kmh_kunit_on_cpu(struct kunit *test, unsigned int cpu, void (*fn)(void *arg), void *arg);

/*
 * Run @fn(@arg, 0) to @fn(@arg, @n - 1) in threads of their own, which are spread over the
 * CPUs and start at the same moment. Waits until each call has returned.
 */
#define KMH_KUNIT_THREADS	8U
void kmh_kunit_threads(struct kunit *test, unsigned int n,
		       void (*fn)(void *arg, unsigned int i), void *arg);

/*
 * Call @step(@heap, 0), @step(@heap, 1) and so on in one thread, while threads on all CPUs
 * allocate objects from @heap and free each other's; by turns they fill the heap and empty it.
 * They go on for a while, and longer if no step has returned true by then. The case fails if
 * none ever does, or if an object's contents have changed.
 */
void kmh_kunit_under_fire(struct kunit *test, struct kmheap *heap,
			  bool (*step)(struct kmheap *heap, unsigned int n));

/* Has the generation of a cached span advanced since it was cached? */
static inline bool stale(const struct kmh_mspan *s)
{
	return (unsigned int)atomic_read(&s->sweepgen) ==
	       kmh_mcentral_gen(kmh_mspan_mcentral(s)) + 1;
}

/* The case stays on the CPU it is on, to its end. */
void kmh_kunit_stay(struct kunit *test);
void kmh_kunit_look_again(struct kmheap *heap);
void kmh_kunit_no_magazines(struct kmheap *heap);
void kmh_kunit_take_slot(struct kmh_mspan *s, unsigned int slot);
struct kmh_mspan *kmh_kunit_cache_span(struct kmh_node *node, unsigned int spanclass);

/*
 * The first time that the calling task, in any context of its CPU, passes
 * kmh_test_point(@place), call @fn(@arg) there. @fn does what another party would do at that
 * moment, itself or by waiting for a thread on another CPU, in the context of that place.
 * Four places at a time; all are disarmed when the case ends. The case has to expect
 * kmh_kunit_passed(), which tells whether @fn was called: otherwise it shows nothing.
 */
void kmh_kunit_at(struct kunit *test, const char *place, void (*fn)(void *arg), void *arg);

/* As kmh_kunit_at(), for whichever task passes first. */
void kmh_kunit_at_any(struct kunit *test, const char *place, void (*fn)(void *arg), void *arg);
bool kmh_kunit_passed(const char *place);

/* Wait until the workers have done all that they were kicked for. */
void kmh_kunit_settle(struct kmheap *heap);

struct kmh_kunit_wait {
	unsigned long end;		/* jiffies */
	unsigned int looks;
};

struct kmh_kunit_wait kmh_kunit_wait_begin(void);
bool kmh_kunit_wait_more(struct kmh_kunit_wait *w);

/* As kmh_kunit_wait_more(), where the caller cannot sleep. */
bool kmh_kunit_spin_more(struct kmh_kunit_wait *w);

/*
 * Wait until @condition holds, which a worker or another CPU will bring about. The host may
 * be as slow as it likes: the case fails, and names the condition, only after a minute and a
 * thousand looks. Sleeps between looks. Return: true when the condition holds.
 */
#define kmh_kunit_wait_for(test, condition)				\
({									\
	struct kmh_kunit_wait __wait = kmh_kunit_wait_begin();		\
	bool __holds;							\
									\
	while (!(__holds = (condition)) && kmh_kunit_wait_more(&__wait))	\
		;							\
	KUNIT_EXPECT_TRUE_MSG(test, __holds, "waited in vain for: " #condition);	\
	__holds;							\
})

#endif /* _KMHEAP_KUNIT_UTIL_H */
