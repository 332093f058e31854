// SPDX-License-Identifier: GPL-2.0
/* KUnit: limits: what is given back before an allocation is refused, and when owners are told. */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/llist.h>
#include <linux/sizes.h>

#include "mheap_kunit.h"

#define BYTES	1024U

static size_t total_before;

static int limit_init(struct kunit *test)
{
	total_before = kmh_total_limit;
	return mheap_init(test);
}

static void limit_exit(struct kunit *test)
{
	WRITE_ONCE(kmh_total_limit, total_before);
	kmh_kunit_exit(test);
}

/* Allocate @bytes in objects chained through their first words, in front of @head. */
static void *fill(struct kunit *test, struct kmheap *heap, void *head, size_t bytes)
{
	size_t done;

	for (done = 0; done < bytes; done += BYTES) {
		void **p = kmheap_alloc(heap, BYTES, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, p);
		*p = head;
		head = p;
	}
	return head;
}

static void drain(void *head)
{
	while (head) {
		void *p = head;

		head = *(void **)p;
		kmheap_free(p);
	}
}

static size_t footprint(struct kmheap *heap)
{
	return atomic_long_read(&heap->arena_bytes) + atomic_long_read(&heap->metadata_bytes);
}

static long refused(struct kmheap *heap)
{
	return atomic_long_read(&heap->refused);
}

static long events(struct kmheap *heap)
{
	return atomic_long_read(&heap->limit.soft_events);
}

/* ---- numbers */

static void parse_takes_numbers_and_nothing_else(struct kunit *test)
{
	static const struct {
		const char *text;
		size_t bytes;
	} good[] = {
		{ "0", 0 }, { "0\n", 0 }, { "524288", SZ_512K }, { "512k", SZ_512K },
		{ "512K\n", SZ_512K }, { "8M", SZ_8M }, { "3g\n", 3UL << 30 }, { "1T", 1UL << 40 },
		{ "0x80000", SZ_512K }, { "18446744073709551615", SIZE_MAX },
		{ "16777215T", 16777215UL << 40 },
	};
	static const char * const bad[] = {
		"", "\n", " ", "text", "-1", "+1", " 8M", "8M ", "8 M", "8MB", "8MM", "M", "8.5M",
		"8M\n\n", "8\n9", "0x", "18446744073709551616", "16777216T", "8P", "0x8z",
		"00000000000000000000000000000000000008",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		size_t bytes = 12345;

		KUNIT_EXPECT_EQ_MSG(test, kmh_bytes_parse(good[i].text, &bytes), 0, "\"%s\"",
				    good[i].text);
		KUNIT_EXPECT_EQ_MSG(test, bytes, good[i].bytes, "\"%s\"", good[i].text);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		size_t bytes = 12345;

		KUNIT_EXPECT_EQ_MSG(test, kmh_bytes_parse(bad[i], &bytes), -EINVAL, "\"%s\"",
				    bad[i]);
		KUNIT_EXPECT_EQ_MSG(test, bytes, 12345UL, "\"%s\"", bad[i]);
	}
}

static void kib_in_words(struct kunit *test)
{
	static const struct {
		const char *text;
		unsigned int kib;
	} good[] = {
		{ "0", 0 }, { "8192\n", 8192 }, { "8M", 8192 }, { "64k\n", 64 }, { "1G", SZ_1M },
		{ "0x1f", 31 }, { "1048576", SZ_1M },
	};
	static const char * const bad[] = { "", "-1", "text", "8M ", "1048577", "2G", "1T", "M" };
	unsigned int i, kib;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		kib = 12345;
		KUNIT_EXPECT_EQ_MSG(test, kmh_kib_parse(good[i].text, SZ_1M, &kib), 0, "\"%s\"",
				    good[i].text);
		KUNIT_EXPECT_EQ_MSG(test, kib, good[i].kib, "\"%s\"", good[i].text);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		kib = 12345;
		KUNIT_EXPECT_EQ_MSG(test, kmh_kib_parse(bad[i], SZ_1M, &kib), -EINVAL, "\"%s\"",
				    bad[i]);
		KUNIT_EXPECT_EQ_MSG(test, kib, 12345U, "\"%s\"", bad[i]);
	}
}

static void too_small_a_limit_is_refused(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	static const size_t bad[] = { 1, 4096, KMH_LIMIT_MIN_BYTES - 1 };
	unsigned int i;

	KUNIT_EXPECT_EQ(test, kmheap_set_limit(heap, SZ_64M), 0);
	KUNIT_EXPECT_EQ(test, kmheap_set_soft_limit(heap, SZ_32M, NULL, NULL), 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		KUNIT_EXPECT_EQ(test, kmheap_set_limit(heap, bad[i]), -EINVAL);
		KUNIT_EXPECT_EQ(test, kmheap_set_soft_limit(heap, bad[i], NULL, NULL), -EINVAL);
		KUNIT_EXPECT_EQ(test, kmh_limit_set_soft(heap, bad[i]), -EINVAL);
		KUNIT_EXPECT_EQ(test, kmh_limit_set_total(bad[i]), -EINVAL);
	}
	KUNIT_EXPECT_EQ(test, heap->limit_bytes, (size_t)SZ_64M);
	KUNIT_EXPECT_EQ(test, heap->limit.soft_bytes, (size_t)SZ_32M);
	KUNIT_EXPECT_EQ(test, kmh_total_limit, total_before);
	KUNIT_EXPECT_EQ(test, kmheap_set_limit(heap, 0), 0);
	KUNIT_EXPECT_EQ(test, heap->limit_bytes, 0UL);
}

/* ---- hard limits */

/* A limit below what the heap has takes nothing from the heap; only growth is refused. */
static void limit_at_run_time(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p, *head = fill(test, heap, NULL, SZ_4M);
	size_t before;

	kmh_kunit_no_worker(heap);
	before = footprint(heap);
	KUNIT_EXPECT_EQ(test, kmheap_set_limit(heap, SZ_1M), 0);
	KUNIT_EXPECT_EQ(test, footprint(heap), before);
	p = kmheap_alloc(heap, 3 * SZ_1M, GFP_KERNEL);
	KUNIT_EXPECT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, refused(heap), 1L);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.refusals), 1L);
	KUNIT_EXPECT_EQ(test, kmheap_set_limit(heap, 0), 0);
	p = kmheap_alloc(heap, 3 * SZ_1M, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	kmheap_free(p);
	drain(head);
}

/* Many small arenas are empty and one large one is wanted: they go, and nothing is refused. */
static void limit_gives_empty_arenas_back_first(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "kunit-limited", SZ_8M);
	void *p;

	kmh_kick_stop(&heap->scavenge.kick);
	drain(fill(test, heap, NULL, SZ_4M));
	KUNIT_EXPECT_GT(test, footprint(heap), (size_t)SZ_4M);
	p = kmheap_alloc(heap, 6 * SZ_1M, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, refused(heap), 0L);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.refusals), 0L);
	KUNIT_EXPECT_LE(test, footprint(heap), (size_t)SZ_8M);
	kmheap_free(p);
	/* The other way round: the large arena has not gone yet, and small ones are wanted. */
	drain(fill(test, heap, NULL, SZ_4M));
	KUNIT_EXPECT_EQ(test, refused(heap), 0L);
	kmheap_destroy(heap);
}

/* An allocation at the limit waits for an arena in its grace period. */
static void limit_waits_for_arenas_that_leave(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "kunit-limited", SZ_8M);
	unsigned int i;

	for (i = 0; i < 20; i++) {
		void *p = kmheap_alloc(heap, SZ_4M + i * SZ_64K, GFP_KERNEL);

		KUNIT_EXPECT_NOT_NULL_MSG(test, p, "round %u", i);
		kmheap_free(p);
	}
	KUNIT_EXPECT_EQ(test, refused(heap), 0L);
	KUNIT_EXPECT_LE(test, footprint(heap), (size_t)SZ_8M);
	kmheap_destroy(heap);
}

/* Two arenas that are on their way out, as far as limit.c knows. */
struct departures {
	struct kmh_arena early, late;
	struct kmheap *heap;
	struct completion ended;
	bool again;
};

/* The waiting thread has seen only the early arena when this is called; the late one follows. */
static void late_one_follows(void *arg)
{
	struct departures *d = arg;

	kmh_arena_begin_leave(&d->late);
	kmh_arena_end_leave(&d->early);
}

static int wait_for_departures(void *arg)
{
	struct departures *d = arg;

	d->again = kmh_limit_give_back(d->heap, SZ_4M, 0, GFP_KERNEL);
	complete(&d->ended);
	return 0;
}

/* An allocation at the limit waits for the arenas leaving then, not for those that leave after. */
static void limit_waits_for_those_of_a_moment(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "kunit-limited", SZ_8M);
	struct departures *d = kunit_kzalloc(test, sizeof(*d), GFP_KERNEL);
	void *head = fill(test, heap, NULL, SZ_4M);
	bool ended;

	KUNIT_ASSERT_NOT_NULL(test, d);
	kmh_kunit_no_worker(heap);
	d->heap = heap;
	d->early.heap = heap;
	d->late.heap = heap;
	init_completion(&d->ended);
	kmh_arena_begin_leave(&d->early);
	kmh_kunit_at_any(test, "limit: arenas leave", late_one_follows, d);
	KUNIT_ASSERT_FALSE(test, IS_ERR(kthread_run(wait_for_departures, d, "kmheap_kunit")));
	ended = kmh_kunit_wait_for(test, completion_done(&d->ended));
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("limit: arenas leave"));
	KUNIT_EXPECT_FALSE(test, d->again);
	kmh_arena_end_leave(&d->late);
	if (!ended)
		wait_for_completion(&d->ended);
	drain(head);
	kmheap_destroy(heap);
}

static void free_chain_here(void *head)
{
	drain(head);
}

/* Slots that other CPUs cache are fetched before an allocation is refused. */
static void limit_drains_other_cpus_first(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "kunit-limited", SZ_4M + SZ_1M);
	struct kmheap_stats st;
	void *head = NULL, **p;

	while ((p = kmheap_alloc(heap, BYTES, GFP_KERNEL))) {
		*p = head;
		head = p;
	}
	KUNIT_EXPECT_EQ(test, refused(heap), 1L);
	KUNIT_EXPECT_GT(test, atomic_long_read(&heap->limit.refusals), 0L);
	kmh_kunit_elsewhere(test, free_chain_here, head);
	head = fill(test, heap, NULL, SZ_2M);
	drain(head);
	p = kmheap_alloc(heap, 3 * SZ_1M, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	kmheap_free(p);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, 1ULL);
	kmheap_destroy(heap);
}

static bool nothing_leaves(struct kmheap *heap)
{
	return !atomic_read(&heap->limit.nleaving);
}

/* While nothing leaves, the module's books are the sum of the heaps' bases and arenas. */
static bool total_is_sum(void)
{
	unsigned long arenas = 0, base = 0;
	struct kmheap *heap;
	bool settled = true;

	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(heap, &kmh_heaps, list) {
		settled &= nothing_leaves(heap);
		arenas += atomic_long_read(&heap->arena_bytes);
		base += heap->base_metadata_bytes + atomic_long_read(&heap->limit.side_bytes);
	}
	mutex_unlock(&kmh_heaps_mutex);
	return settled && (unsigned long)atomic_long_read(&kmh_total_bytes) == arenas &&
	       (unsigned long)atomic_long_read(&kmh_total_base) == base;
}

/* The sum is right soon: the default heap has workers of its own. */
static void total_adds_up(struct kunit *test)
{
	kmh_kunit_wait_for(test, total_is_sum());
}

static u64 total_footprint(struct kunit *test)
{
	struct kmheap_stats st;
	unsigned int n;

	KUNIT_ASSERT_EQ(test, kmh_global_stats(&st, &n), 0);
	return st.footprint_bytes;
}

/* Two heaps without limits of their own share the module's limit. */
static void total_limit_holds_for_all_heaps(struct kunit *test)
{
	struct kmheap *a = kmh_kunit_heap(test), *b = heap_new(test, "kunit-b", 0);
	long before = atomic_long_read(&kmh_total_refusals);
	void *head_a, *head_b = NULL, **p;
	size_t limit;

	total_adds_up(test);
	limit = total_footprint(test) + 12 * SZ_1M;
	KUNIT_EXPECT_EQ(test, kmh_limit_set_total(limit), 0);
	head_a = fill(test, a, NULL, SZ_2M);
	while ((p = kmheap_alloc(b, BYTES, GFP_KERNEL))) {
		*p = head_b;
		head_b = p;
	}
	kmh_kunit_settle(b);
	KUNIT_EXPECT_LE(test, total_footprint(test), (u64)limit);
	KUNIT_EXPECT_EQ(test, refused(b), 1L);
	/* The worker tries as well, so there may be more refusals. */
	KUNIT_EXPECT_GT(test, atomic_long_read(&kmh_total_refusals), before);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&b->limit.refusals), 0L);
	KUNIT_EXPECT_GT(test, footprint(b), (size_t)SZ_4M);
	/* What one heap has freed, though it keeps it, is there for the other. */
	drain(head_b);
	p = kmheap_alloc(a, SZ_4M, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, refused(a), 0L);
	KUNIT_EXPECT_LE(test, total_footprint(test), (u64)limit);
	kmheap_free(p);
	drain(head_a);
	kmheap_destroy(b);
	total_adds_up(test);
}

/* A heap without a limit was refused what the module's limit had no room for: tables, for one. */
static void refusals_are_counted_where_they_belong(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	long total = atomic_long_read(&kmh_total_refusals);

	KUNIT_EXPECT_EQ(test, kmh_limit_set_total(total_footprint(test) + SZ_64M), 0);
	kmh_limit_refuse(heap, SZ_64K);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_total_refusals), total + 1);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.refusals), 0L);
	/* What exceeds both is the heap's. */
	KUNIT_EXPECT_EQ(test, kmheap_set_limit(heap, KMH_LIMIT_MIN_BYTES), 0);
	kmh_limit_refuse(heap, SZ_128M);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_total_refusals), total + 1);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.refusals), 1L);
	/* Without the module's limit every refusal is. */
	KUNIT_EXPECT_EQ(test, kmh_limit_set_total(0), 0);
	kmh_limit_refuse(heap, 1);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.refusals), 2L);
	KUNIT_EXPECT_EQ(test, kmheap_set_limit(heap, 0), 0);
}

static void total_limit_refuses_a_heap(struct kunit *test)
{
	struct kmheap *heap;

	KUNIT_EXPECT_EQ(test, kmh_limit_set_total(KMH_LIMIT_MIN_BYTES), 0);
	heap = kmheap_create("kunit-late", NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(heap), -ENOMEM);
	KUNIT_EXPECT_EQ(test, kmh_limit_set_total(0), 0);
	heap = kmheap_create("kunit-late", NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(heap), 0);
	kmheap_destroy(heap);
	total_adds_up(test);
}

/*
 * Threads in two heaps at the module's limit: the limit holds at every moment, and nothing is
 * lost.
 */
struct crowd {
	struct kmheap *heap[2];
	unsigned long limit;
	atomic_t nover, ngot;
};

static void crowd_thread(void *arg, unsigned int i)
{
	struct crowd *c = arg;
	unsigned int n;

	for (n = 0; n < 40; n++) {
		void *p = kmheap_alloc(c->heap[i % 2], (1 + (n + i) % 3) * SZ_1M + SZ_64K,
				       GFP_KERNEL);

		if (atomic_long_read(&kmh_total_bytes) + atomic_long_read(&kmh_total_base) >
		    c->limit + 3 * SZ_4M)	/* booked by others, and given up again */
			atomic_inc(&c->nover);
		if (p)
			atomic_inc(&c->ngot);
		kmheap_free(p);
		cond_resched();
	}
}

static void total_limit_in_a_crowd(struct kunit *test)
{
	struct crowd c = { .heap = { kmh_kunit_heap(test), heap_new(test, "kunit-b", 0) } };

	c.limit = total_footprint(test) + 6 * SZ_1M;
	KUNIT_EXPECT_EQ(test, kmh_limit_set_total(c.limit), 0);
	kmh_kunit_threads(test, 4, crowd_thread, &c);
	KUNIT_EXPECT_EQ(test, atomic_read(&c.nover), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&c.ngot), 40);
	kmh_kunit_settle(c.heap[1]);
	KUNIT_EXPECT_LE(test, total_footprint(test), (u64)c.limit);
	kmheap_destroy(c.heap[1]);
	total_adds_up(test);
}

/* ---- the soft limit */

struct owner {
	struct llist_head spare;	/* objects that the owner can do without */
	size_t over;
	unsigned int ncalls;
	bool in_task;
	struct completion called, go;	/* @go only if the callback is to wait */
	void (*also)(struct kmheap *heap, struct owner *o);
};

static struct owner *owner_new(struct kunit *test)
{
	struct owner *o = kunit_kzalloc(test, sizeof(*o), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, o);
	init_completion(&o->called);
	init_completion(&o->go);
	return o;
}

/* Free what the owner can do without. Any thread; objects are chained as those of fill() are. */
static void trim_spare(struct owner *o)
{
	drain(llist_del_all(&o->spare));
}

static void trim(struct kmheap *heap, size_t over_bytes, void *data)
{
	struct owner *o = data;

	o->ncalls++;
	o->over = over_bytes;
	o->in_task = in_task() && !irqs_disabled();
	trim_spare(o);
	if (o->also)
		o->also(heap, o);
	complete(&o->called);
}

static bool called(struct owner *o)
{
	return wait_for_completion_timeout(&o->called, 60 * HZ);
}

static void settle(struct kmheap *heap)
{
	flush_delayed_work(&heap->limit.work);
	kmh_kunit_settle(heap);
}

static void soft_limit_tells_the_owner_once(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct owner *o = owner_new(test);
	size_t done;
	void *p;
	long i;

	KUNIT_EXPECT_EQ(test, kmheap_set_soft_limit(heap, SZ_8M, trim, o), 0);
	drain(fill(test, heap, NULL, SZ_4M));
	settle(heap);
	KUNIT_EXPECT_EQ(test, o->ncalls, 0U);
	for (i = 1; i <= 3; i++) {
		for (done = 0; events(heap) < i && done < SZ_16M; done += BYTES) {
			p = kmheap_alloc(heap, BYTES, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p);
			llist_add(p, &o->spare);
		}
		KUNIT_EXPECT_GT(test, done, (size_t)SZ_4M);
		KUNIT_EXPECT_TRUE(test, called(o));
		settle(heap);
		KUNIT_EXPECT_EQ(test, (long)o->ncalls, i);
		KUNIT_EXPECT_EQ(test, events(heap), i);
		KUNIT_EXPECT_TRUE(test, o->in_task);
		KUNIT_EXPECT_GT(test, o->over, 0UL);
		KUNIT_EXPECT_LE(test, o->over, (size_t)SZ_8M);
		/* The owner has trimmed, and arenas that became empty by that have gone. */
		KUNIT_EXPECT_LE(test, footprint(heap), (size_t)SZ_8M);
		trim_spare(o);
		kmh_kunit_shrink(heap);
	}
	KUNIT_EXPECT_GT(test, atomic_long_read(&heap->scavenge.bytes), 0L);
	KUNIT_EXPECT_EQ(test, refused(heap), 0L);
}

/* An owner that frees nothing is not called for every arena. */
static void soft_limit_does_not_nag(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct owner *o = owner_new(test);
	void *head;

	KUNIT_EXPECT_EQ(test, kmheap_set_soft_limit(heap, SZ_2M, trim, o), 0);
	head = fill(test, heap, NULL, 12 * SZ_1M);
	KUNIT_EXPECT_TRUE(test, called(o));
	settle(heap);
	KUNIT_EXPECT_EQ(test, o->ncalls, 1U);
	/* The soft limit is set anew, and exceeded at once. */
	KUNIT_EXPECT_EQ(test, kmheap_set_soft_limit(heap, footprint(heap) - SZ_64K, trim, o), 0);
	KUNIT_EXPECT_TRUE(test, called(o));
	settle(heap);
	KUNIT_EXPECT_EQ(test, o->ncalls, 2U);
	head = fill(test, heap, head, SZ_4M);
	settle(heap);
	KUNIT_EXPECT_EQ(test, o->ncalls, 2U);
	KUNIT_EXPECT_EQ(test, events(heap), 2L);
	KUNIT_EXPECT_EQ(test, refused(heap), 0L);
	drain(head);
}

/* Without a callback, what is empty goes as soon as the heap grows again. */
static void raise_soft_limit(void *heap)
{
	kmh_limit_set_soft(heap, SZ_16M);
}

/* The soft limit that has been crossed is another one by then: the owner is told of that one. */
static void soft_limit_that_has_gone_hides_none(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct owner *o = owner_new(test);
	size_t done;
	void *p;

	KUNIT_EXPECT_EQ(test, kmheap_set_soft_limit(heap, SZ_4M, trim, o), 0);
	kmh_kunit_at_any(test, "soft limit: exceeded, before the lock", raise_soft_limit, heap);
	drain(fill(test, heap, NULL, SZ_8M));
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("soft limit: exceeded, before the lock"));
	settle(heap);
	KUNIT_EXPECT_EQ(test, o->ncalls, 0U);
	for (done = 0; !o->ncalls && done < SZ_32M; done += BYTES) {
		p = kmheap_alloc(heap, BYTES, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		llist_add(p, &o->spare);
		if (footprint(heap) > SZ_16M)
			settle(heap);
	}
	KUNIT_EXPECT_EQ(test, o->ncalls, 1U);
	trim_spare(o);
}

static void soft_limit_without_a_callback(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *head = fill(test, heap, NULL, 12 * SZ_1M), *p;

	drain(head);
	settle(heap);
	KUNIT_EXPECT_GT(test, footprint(heap), 12UL * SZ_1M);
	KUNIT_EXPECT_EQ(test, kmh_limit_set_soft(heap, SZ_8M), 0);
	settle(heap);
	KUNIT_EXPECT_LE(test, footprint(heap), (size_t)SZ_8M);
	KUNIT_EXPECT_EQ(test, events(heap), 1L);
	/* An object that does not fit below the soft limit is no reason to refuse. */
	p = kmheap_alloc(heap, SZ_16M, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	kmheap_free(p);
	settle(heap);
	KUNIT_EXPECT_LE(test, footprint(heap), (size_t)SZ_8M);
}

static void use_everything(struct kmheap *heap, struct owner *o)
{
	void *p = kmheap_alloc(heap, SZ_8M, GFP_KERNEL);

	kmheap_free(p);
	kmh_kunit_shrink(heap);
	kmheap_rcu_barrier(heap);
	if (kmheap_set_limit(heap, SZ_64M) || kmheap_set_soft_limit(heap, SZ_16M, trim, o))
		o->ncalls += 1000;
	if (kmheap_set_soft_limit(heap, 0, NULL, NULL))
		o->ncalls += 1000;
}

static void callback_may_do_anything_but_destroy(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct owner *o = owner_new(test);

	o->also = use_everything;
	KUNIT_EXPECT_EQ(test, kmheap_set_soft_limit(heap, SZ_4M, trim, o), 0);
	drain(fill(test, heap, NULL, SZ_8M));
	KUNIT_EXPECT_TRUE(test, called(o));
	settle(heap);
	KUNIT_EXPECT_EQ(test, o->ncalls, 1U);
	KUNIT_EXPECT_EQ(test, heap->limit.soft_bytes, 0UL);
	KUNIT_EXPECT_EQ(test, heap->limit_bytes, (size_t)SZ_64M);
	kmheap_set_limit(heap, 0);
}

/* The callback says that it runs, and goes on running for a while. */
static void linger(struct kmheap *heap, struct owner *o)
{
	complete(&o->called);
	msleep(50);
	WRITE_ONCE(o->ncalls, o->ncalls + 10);
}

static void unsetting_waits_for_the_callback(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct owner *o = owner_new(test);
	void *head;

	o->also = linger;
	KUNIT_EXPECT_EQ(test, kmheap_set_soft_limit(heap, SZ_4M, trim, o), 0);
	head = fill(test, heap, NULL, SZ_8M);
	KUNIT_EXPECT_TRUE(test, called(o));
	KUNIT_EXPECT_EQ(test, kmheap_set_soft_limit(heap, 0, NULL, NULL), 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(o->ncalls), 11U);
	head = fill(test, heap, head, SZ_8M);
	settle(heap);
	KUNIT_EXPECT_EQ(test, o->ncalls, 11U);
	KUNIT_EXPECT_EQ(test, events(heap), 1L);
	drain(head);
}

static void destroy_waits_for_the_callback(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < 4; i++) {
		struct kmheap *heap = heap_new(test, "kunit-soft", 0);
		struct owner *o = owner_new(test);

		o->also = linger;
		KUNIT_EXPECT_EQ(test, kmheap_set_soft_limit(heap, SZ_1M, trim, o), 0);
		drain(fill(test, heap, NULL, SZ_4M));
		if (i % 2)
			KUNIT_EXPECT_TRUE(test, called(o));
		kmheap_destroy(heap);
		/* The callback has run to its end, or not at all. */
		KUNIT_EXPECT_EQ(test, READ_ONCE(o->ncalls) % 11, 0U);
		if (i % 2)
			KUNIT_EXPECT_EQ(test, o->ncalls, 11U);
	}
	total_adds_up(test);
}

/* An operator who writes the soft limit leaves the owner's callback as it is. */
static void operator_sets_the_number_alone(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct owner *o = owner_new(test);
	void *head;

	KUNIT_EXPECT_EQ(test, kmheap_set_soft_limit(heap, SZ_64M, trim, o), 0);
	head = fill(test, heap, NULL, SZ_8M);
	settle(heap);
	KUNIT_EXPECT_EQ(test, o->ncalls, 0U);
	KUNIT_EXPECT_EQ(test, kmh_limit_set_soft(heap, SZ_2M), 0);
	KUNIT_EXPECT_TRUE(test, called(o));
	KUNIT_EXPECT_EQ(test, kmh_limit_set_soft(heap, 0), 0);
	settle(heap);
	KUNIT_EXPECT_EQ(test, o->ncalls, 1U);
	KUNIT_EXPECT_EQ(test, kmh_limit_set_soft(heap, SZ_4M), 0);
	KUNIT_EXPECT_TRUE(test, called(o));
	drain(head);
}

static struct kunit_case limit_cases[] = {
	KUNIT_CASE(parse_takes_numbers_and_nothing_else),
	KUNIT_CASE(kib_in_words),
	KUNIT_CASE(too_small_a_limit_is_refused),
	KUNIT_CASE(limit_at_run_time),
	KUNIT_CASE(limit_gives_empty_arenas_back_first),
	KUNIT_CASE(limit_waits_for_arenas_that_leave),
	KUNIT_CASE(limit_waits_for_those_of_a_moment),
	KUNIT_CASE(limit_drains_other_cpus_first),
	KUNIT_CASE(total_limit_holds_for_all_heaps),
	KUNIT_CASE(refusals_are_counted_where_they_belong),
	KUNIT_CASE(total_limit_refuses_a_heap),
	KUNIT_CASE(total_limit_in_a_crowd),
	KUNIT_CASE(soft_limit_tells_the_owner_once),
	KUNIT_CASE(soft_limit_does_not_nag),
	KUNIT_CASE(soft_limit_that_has_gone_hides_none),
	KUNIT_CASE(soft_limit_without_a_callback),
	KUNIT_CASE(callback_may_do_anything_but_destroy),
	KUNIT_CASE(unsetting_waits_for_the_callback),
	KUNIT_CASE(destroy_waits_for_the_callback),
	KUNIT_CASE(operator_sets_the_number_alone),
	{}
};

static struct kunit_suite limit_suite = {
	.name = "kmheap_limit",
	.init = limit_init,
	.exit = limit_exit,
	.test_cases = limit_cases,
};

kunit_test_suite(limit_suite);
