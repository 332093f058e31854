// SPDX-License-Identifier: GPL-2.0
/* KUnit: the heap profile: which objects are sampled, and that their deaths are told. */
#include <linux/prandom.h>

#include "conserved_kunit.h"
#include "kunit_util.h"
#include "profile_kunit.h"

/* The stack of every hit, instead of the real one. */
unsigned long kmh_kunit_site_ip;

static unsigned int one_frame(unsigned long *ip)
{
	ip[0] = READ_ONCE(kmh_kunit_site_ip);
	return 1;
}

void kmh_kunit_profile(struct kunit *test, size_t period)
{
	KUNIT_ASSERT_EQ(test, kmh_watch_set_period(kmh_kunit_heap(test), period), 0);
}

/* The row of the site @ip and the class of @bytes; all zero when there is none. */
struct kmh_profile_row kmh_kunit_row_of(struct kunit *test, unsigned long ip, size_t bytes,
					enum kmh_profile_kind kind)
{
	struct kmh_profile_snapshot *snap = kmh_profile_take(kmh_kunit_heap(test), kind);
	unsigned int i, spanclass = bytes > KMHEAP_MAX_SMALL ? KMH_SPANCLASS_LARGE :
				    kmh_spanclass(kmh_size_to_class(bytes), false);
	struct kmh_profile_row row = {};

	KUNIT_ASSERT_NOT_NULL(test, snap);
	for (i = 0; i < snap->n; i++) {
		if (snap->row[i].ip[0] != ip || snap->row[i].class != spanclass)
			continue;
		KUNIT_EXPECT_EQ(test, row.depth, 0);	/* one row of each stack */
		row = snap->row[i];
	}
	kmh_backend_free(snap);
	return row;
}

unsigned long kmh_kunit_live_at(struct kunit *test, unsigned long ip, size_t bytes)
{
	return kmh_kunit_row_of(test, ip, bytes, KMH_PROFILE_INUSE).live_objects;
}

void *kmh_kunit_alloc_at(struct kunit *test, unsigned long ip, size_t bytes)
{
	void *p;

	WRITE_ONCE(kmh_kunit_site_ip, ip);
	p = kmheap_alloc(kmh_kunit_heap(test), bytes, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	return p;
}

/* ---- the distance */

/* An exponential distribution: its mean is the period, its second moment twice the square of it. */
static void distances_are_exponential(struct kunit *test)
{
	struct kmh_watch *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	u64 n = KMH_KUNIT_SLOW ? 100000 : 1000000, sum = 0, squares = 0, below = 0, d, i;

	KUNIT_ASSERT_NOT_NULL(test, w);
	w->period = 524288;
	w->random = 42;
	for (i = 0; i < n; i++) {
		d = kmh_watch_draw(w);
		sum += d;
		squares += (d >> 10) * (d >> 10);
		below += d < w->period;
	}
	/* Within five sigma or more: sigma of the mean is a thousandth of it. */
	KUNIT_EXPECT_LT(test, abs_diff(sum / n, 524288ULL),
			524288ULL / (KMH_KUNIT_SLOW ? 60 : 200));
	KUNIT_EXPECT_LT(test, abs_diff(squares / n, 2 * 512ULL * 512), 2 * 512ULL * 512 / 25);
	KUNIT_EXPECT_LT(test, abs_diff(below, n * 632121 / 1000000), n / 200);
	w->period = 1;
	KUNIT_EXPECT_EQ(test, kmh_watch_draw(w), 0UL);
}

/* ---- which objects are sampled */

/* How a client may use a class. */
static void use_pairs(struct kunit *test, size_t bytes, unsigned int n)
{
	while (n--)
		kmheap_free(kmh_kunit_alloc_at(test, 1, bytes));
}

static void use_bursts(struct kunit *test, size_t bytes, unsigned int n)
{
	static void *p[100];
	unsigned int i;

	for (; n >= ARRAY_SIZE(p); n -= ARRAY_SIZE(p)) {
		for (i = 0; i < ARRAY_SIZE(p); i++)
			p[i] = kmh_kunit_alloc_at(test, 1, bytes);
		for (i = 0; i < ARRAY_SIZE(p); i++)
			kmheap_free(p[i]);
	}
}

static void use_shuffle(struct kunit *test, size_t bytes, unsigned int n)
{
	static void *p[100];
	struct rnd_state rnd;
	unsigned int i;

	prandom_seed_state(&rnd, n);
	while (n--) {
		i = prandom_u32_state(&rnd) % ARRAY_SIZE(p);
		kmheap_free(p[i]);
		p[i] = kmh_kunit_alloc_at(test, 1, bytes);
	}
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		kmheap_free(p[i]);
		p[i] = NULL;
	}
}

static void use_bulk(struct kunit *test, size_t bytes, unsigned int n)
{
	static void *p[50];

	for (; n >= ARRAY_SIZE(p); n -= ARRAY_SIZE(p)) {
		KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(kmh_kunit_heap(test), bytes, GFP_KERNEL,
							ARRAY_SIZE(p), p), ARRAY_SIZE(p));
		kmheap_free_bulk(ARRAY_SIZE(p), p);
	}
}

/* What was set aside goes back again and again, and must not be looked at twice. */
static void use_drained(struct kunit *test, size_t bytes, unsigned int n)
{
	static void *p[20];
	unsigned int i;

	for (; n >= ARRAY_SIZE(p); n -= ARRAY_SIZE(p)) {
		for (i = 0; i < ARRAY_SIZE(p); i++)
			p[i] = kmh_kunit_alloc_at(test, 1, bytes);
		kmh_kunit_shrink(kmh_kunit_heap(test));
		for (i = 0; i < ARRAY_SIZE(p); i++)
			kmheap_free(p[i]);
	}
}

/* As an interrupt that finds the section busy: past the mcache, by a distance of its own. */
static void use_nested(struct kunit *test, size_t bytes, unsigned int n)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int refused = 0;
	struct kmh_mcache *mc;
	void *p;

	kmheap_free(kmh_kunit_alloc_at(test, 1, bytes));
	while (n--) {
		preempt_disable();
		mc = this_cpu_ptr(heap->mcache);
		KUNIT_EXPECT_TRUE(test, kmh_mcache_enter(mc));
		p = kmheap_alloc(heap, bytes, GFP_ATOMIC);
		refused += !p;
		kmheap_free(p);
		kmh_mcache_leave(mc);
		preempt_enable();
	}
	KUNIT_EXPECT_EQ(test, refused, 0U);
}

/*
 * An object of s bytes is sampled with the probability 1 - exp(-s / period), however it is
 * allocated: the number of samples is within six sigma of that.
 */
static void samples_are_as_many_as_they_should_be(struct kunit *test)
{
	static const struct {
		void (*use)(struct kunit *test, size_t bytes, unsigned int n);
		unsigned int share;	/* of the rounds, 1 / @share */
	} uses[] = {
		{ use_pairs, 1 }, { use_bursts, 1 }, { use_shuffle, 1 }, { use_bulk, 1 },
		{ use_drained, 20 }, { use_nested, 1 },
	};
	static const struct {
		size_t bytes;
		unsigned long ppm;	/* of the objects, for a period of 4096 */
	} sizes[] = {
		{ 16, 3899 }, { 64, 15504 }, { 1024, 221199 }, { 4096, 632121 }, { 8192, 864665 },
		{ 65536, 1000000 },
	};
	unsigned int i, k, n;

	kmh_kunit_stay(test);
	for (i = 0; i < ARRAY_SIZE(uses); i++) {
		for (k = 0; k < ARRAY_SIZE(sizes); k++) {
			u64 want, got, variance;

			n = sizes[k].bytes > 8192 ? 200 : 40000;
			n = n / uses[i].share / (KMH_KUNIT_SLOW ? 4 : 1) / 100 * 100;
			kmh_kunit_profile(test, 4096);
			WRITE_ONCE(kmh_kunit_site_ip, 1);
			uses[i].use(test, sizes[k].bytes, n);
			got = kmh_kunit_row_of(test, 1, sizes[k].bytes, KMH_PROFILE_INUSE).allocs;
			want = (u64)n * sizes[k].ppm / 1000000;
			variance = want * (1000000 - sizes[k].ppm) / 1000000;
			KUNIT_EXPECT_LE_MSG(test, abs_diff(got, want), 6 * int_sqrt(variance) + 3,
					    "use %u, %zu bytes: %llu samples of %u, not %llu", i,
					    sizes[k].bytes, got, n, want);
			KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 1, sizes[k].bytes), 0UL);
		}
	}
	kmh_kunit_profile(test, 0);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
}

/* ---- every object */

static const size_t all_sizes[] = { 8, 24, 64, 200, 1024, 3000, 8192, 32768, 40000, 300000 };

/* Of ten objects of @bytes each, which take @usable, six of site 100 and four of 101 are free. */
static void expect_rows(struct kunit *test, size_t bytes, size_t usable)
{
	struct kmh_profile_row row = kmh_kunit_row_of(test, 100, bytes, KMH_PROFILE_INUSE);

	KUNIT_EXPECT_EQ(test, row.allocs, 10UL);
	KUNIT_EXPECT_EQ(test, row.alloc_bytes, 10 * usable);
	KUNIT_EXPECT_EQ(test, row.live_objects, 4UL);
	KUNIT_EXPECT_EQ(test, row.live_bytes, 4 * usable);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 101, bytes), 6UL);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 102, bytes), 10UL);
}

/* With a period of 1 every object of every class and site is known until it is freed. */
static void every_object_is_known(struct kunit *test)
{
	static void *p[ARRAY_SIZE(all_sizes)][40];
	unsigned int i, k;

	kmh_kunit_profile(test, 1);
	for (i = 0; i < ARRAY_SIZE(all_sizes); i++)
		for (k = 0; k < 40; k++)
			p[i][k] = kmh_kunit_alloc_at(test, 100 + k % 4, all_sizes[i]);
	for (i = 0; i < ARRAY_SIZE(all_sizes); i++)
		for (k = 0; k < 40; k += 4)
			kmheap_free(p[i][k + (k > 20)]);
	for (i = 0; i < ARRAY_SIZE(all_sizes) - 2; i++)
		expect_rows(test, all_sizes[i], kmheap_size(p[i][1]));
	/* Large objects of all sizes are one class. */
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 100, 40000), 8UL);
	KUNIT_EXPECT_EQ(test, kmh_kunit_row_of(test, 102, 40000, KMH_PROFILE_INUSE).live_bytes,
			10 * (kmheap_size(p[8][2]) + kmheap_size(p[9][2])));
	for (i = 0; i < ARRAY_SIZE(all_sizes); i++) {
		for (k = 0; k < 40; k++)
			if (k % 4 > 1 || k % 4 != (k / 4 * 4 > 20))
				kmheap_free(p[i][k]);
	}
	for (i = 0; i < ARRAY_SIZE(all_sizes); i++)
		for (k = 100; k < 104; k++)
			KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, k, all_sizes[i]), 0UL);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
}

struct mix {
	struct kmheap *heap;
	void *p[KMH_KUNIT_THREADS][64];
	atomic_t moved;
};

/* Replace objects of one's own and of the next thread, with a shrink now and then. */
static void mix_thread(void *arg, unsigned int i)
{
	struct mix *m = arg;
	struct rnd_state rnd;
	unsigned int n = KMH_KUNIT_SLOW ? 300 : 3000;
	void **slot;

	prandom_seed_state(&rnd, i);
	while (n--) {
		u32 r = prandom_u32_state(&rnd);

		slot = &m->p[(i + r % 2) % KMH_KUNIT_THREADS][r / 2 % 64];
		kmheap_free(xchg(slot, NULL));
		kmheap_free(xchg(slot, kmheap_alloc(m->heap, all_sizes[r / 128 % 7], GFP_KERNEL)));
		if (n % 500 == 7)
			kmh_kunit_shrink(m->heap);
		if (n % 32 == 5)
			kmheap_free_rcu(xchg(slot, NULL));
		cond_resched();
	}
}

/* Threads on all CPUs free each other's: the site's live objects are the client's, to the last. */
static void every_object_is_known_of_all_cpus(struct kunit *test)
{
	struct mix *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	unsigned long live[7] = {};
	unsigned int i, k, n;

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->heap = kmh_kunit_heap(test);
	WRITE_ONCE(kmh_kunit_site_ip, 7);
	kmh_kunit_profile(test, 1);
	kmh_kunit_threads(test, KMH_KUNIT_THREADS, mix_thread, m);
	for (i = 0; i < KMH_KUNIT_THREADS; i++) {
		for (k = 0; k < 64; k++) {
			size_t bytes = m->p[i][k] ? kmheap_size(m->p[i][k]) : 0;

			for (n = 0; n < 7; n++)
				live[n] += bytes == kmh_kunit_class_bytes(all_sizes[n]);
		}
	}
	kmheap_rcu_barrier(m->heap);
	for (n = 0; n < 7; n++) {
		KUNIT_EXPECT_GT(test, live[n], 0UL);
		KUNIT_EXPECT_EQ_MSG(test, kmh_kunit_live_at(test, 7, all_sizes[n]), live[n],
				    "%zu bytes", all_sizes[n]);
	}
	for (i = 0; i < KMH_KUNIT_THREADS; i++)
		for (k = 0; k < 64; k++)
			kmheap_free(m->p[i][k]);
	for (n = 0; n < 7; n++)
		KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 7, all_sizes[n]), 0UL);
	kmh_kunit_expect_conserved(test, m->heap);
}

/* ---- deaths */

static void free_nested(struct kunit *test, void *p)
{
	struct kmh_mcache *mc;

	preempt_disable();
	mc = this_cpu_ptr(kmh_span_of((unsigned long)p)->heap->mcache);
	KUNIT_EXPECT_TRUE(test, kmh_mcache_enter(mc));
	kmheap_free(p);
	kmh_mcache_leave(mc);
	preempt_enable();
}

static void free_it(void *p)
{
	kmheap_free(p);
}

static void free_plainly(struct kunit *test, void *p)
{
	kmheap_free(p);
}

static void free_in_bulk(struct kunit *test, void *p)
{
	void *all[] = { p };

	kmheap_free_bulk(1, all);
}

static void free_after_a_grace_period(struct kunit *test, void *p)
{
	kmheap_free_rcu(p);
}

static void free_with_its_size(struct kunit *test, void *p)
{
	kmheap_free_sized(p, 64);
}

static void free_wiped(struct kunit *test, void *p)
{
	kmheap_free_sensitive(p);
}

static void free_elsewhere(struct kunit *test, void *p)
{
	kmh_kunit_elsewhere(test, free_it, p);
}

static void finalize(void *p, void *data)
{
}

static void free_with_a_finalizer(struct kunit *test, void *p)
{
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(p, finalize, NULL), 0);
	kmheap_free(p);
}

/* Whichever way a sampled object is freed, its record ends, and a second free is a double one. */
static void every_free_is_told(struct kunit *test)
{
	static void (* const ways[])(struct kunit *test, void *p) = {
		free_plainly, free_nested, free_in_bulk, free_after_a_grace_period,
		free_with_its_size, free_wiped, free_elsewhere, free_with_a_finalizer,
	};
	unsigned int i;
	void *p;

	kmh_kunit_profile(test, 1);
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		p = kmh_kunit_alloc_at(test, 5, 64);
		KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 5, 64), 1UL);
		ways[i](test, p);
		KUNIT_EXPECT_EQ_MSG(test, kmh_kunit_live_at(test, 5, 64), 0UL, "way %u", i);
		kmheap_free(p);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	}
	kmheap_rcu_barrier(kmh_kunit_heap(test));
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	KUNIT_EXPECT_EQ(test, kmh_kunit_row_of(test, 5, 64, KMH_PROFILE_INUSE).allocs,
			(unsigned long)ARRAY_SIZE(ways));
}

/* A run of objects that are freed in bulk may have sampled ones in it. */
static void bulk_frees_sampled_and_others(struct kunit *test)
{
	void *p[16];
	unsigned int i;

	for (i = 0; i < 16; i++) {
		if (i % 8 == 3)
			kmh_kunit_profile(test, 1);
		p[i] = kmh_kunit_alloc_at(test, 6, 64);
		if (i % 8 == 3)
			kmh_kunit_profile(test, 0);
	}
	kmheap_free_bulk(16, p);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 6, 64), 0UL);
	KUNIT_EXPECT_EQ(test, kmh_kunit_row_of(test, 6, 64, KMH_PROFILE_INUSE).allocs, 1UL);
}

/* A collection that does not mark a sampled object frees it, and leaves one that is marked. */
static void a_collection_ends_records(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("profiled-collected",
					    &(struct kmheap_attr){ .flags = KMHEAP_COLLECTED });
	struct kmh_site *site;
	void *dead, *kept;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	KUNIT_ASSERT_EQ(test, kmh_watch_set_period(heap, 1), 0);
	dead = kmheap_alloc(heap, 64, GFP_KERNEL);
	kept = kmheap_alloc(heap, 64, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, dead && kept);
	kmheap_collect_begin(heap);
	KUNIT_EXPECT_TRUE(test, kmheap_mark(heap, kept));
	kmheap_collect_end(heap);
	kmheap_rcu_barrier(heap);
	site = kmh_site_next(heap, NULL);
	KUNIT_ASSERT_NOT_NULL(test, site);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&site->allocs), 2L);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&site->live_objects), 1L);
	kmheap_free(kept);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&site->live_objects), 0L);
	kmheap_free(dead);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_destroy(heap);
	KUNIT_EXPECT_NULL(test, kmh_site_next(heap, NULL));
}

/* ---- nested allocations */

/* What an interrupt gets that finds the section busy is sampled as well, by a distance per CPU. */
static void nested_allocations_are_known(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mcache *mc;
	void *p[10];
	unsigned int i;

	WRITE_ONCE(kmh_kunit_site_ip, 8);
	kmheap_free(kmheap_alloc(heap, 64, GFP_KERNEL));
	kmh_kunit_profile(test, 1);
	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	KUNIT_EXPECT_TRUE(test, kmh_mcache_enter(mc));
	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = kmheap_alloc(heap, 64, GFP_ATOMIC);
	kmh_mcache_leave(mc);
	preempt_enable();
	for (i = 0; i < ARRAY_SIZE(p); i++)
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 8, 64), (unsigned long)ARRAY_SIZE(p));
	for (i = 0; i < ARRAY_SIZE(p); i++)
		kmheap_free(p[i]);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 8, 64), 0UL);
}

/* ---- the switch */

/* Objects from before are not in a profile, and those of the last one are forgotten by the next. */
static void a_profile_begins_and_ends(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *before, *first, *after, *second;

	before = kmh_kunit_alloc_at(test, 9, 64);
	kmh_kunit_profile(test, 1);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 9, 64), 0UL);
	first = kmh_kunit_alloc_at(test, 9, 64);
	kmh_kunit_profile(test, 0);
	after = kmh_kunit_alloc_at(test, 9, 64);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 9, 64), 1UL);
	KUNIT_EXPECT_EQ(test, kmh_kunit_row_of(test, 9, 64, KMH_PROFILE_INUSE).allocs, 1UL);
	kmh_kunit_profile(test, 1);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 9, 64), 0UL);
	second = kmh_kunit_alloc_at(test, 9, 64);
	kmheap_free(first);
	kmheap_free(before);
	kmheap_free(after);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 9, 64), 1UL);
	KUNIT_EXPECT_TRUE(test, heap->flags & KMH_HEAP_PROFILED);
	kmheap_free(second);
	kmh_kunit_profile(test, 0);
	KUNIT_EXPECT_FALSE(test, heap->flags & KMH_HEAP_PROFILED);
	KUNIT_EXPECT_FALSE(test, static_key_enabled(&kmh_watch_key.key));
	kmh_kunit_expect_conserved(test, heap);
}

static bool switch_step(struct kmheap *heap, unsigned int n)
{
	static const size_t periods[] = { 1, 0, 4096, 65536, 1, 4096, 0 };

	return !kmh_watch_set_period(heap, periods[n % ARRAY_SIZE(periods)]) &&
	       n >= ARRAY_SIZE(periods);
}

/* Profiles begin and end while all CPUs allocate and free: nothing is lost or handed out twice. */
static void the_period_changes_under_fire(struct kunit *test)
{
	kmh_kunit_under_fire(test, kmh_kunit_heap(test), switch_step);
	kmh_kunit_profile(test, 0);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
}

/* Each step of the switch that needs memory may fail, and the heap is not profiled then. */
static void a_switch_without_memory_leaves_nothing(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int n, nfailed = 0;

	for (n = 1; ; n++) {
		long before = atomic_long_read(&kmh_failures_injected);

		atomic_long_set(&kmh_fail_nth, n);
		if (!kmh_watch_set_period(heap, 1))
			break;
		nfailed++;
		KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_failures_injected), before + 1);
		KUNIT_EXPECT_EQ(test, heap->profile.period, (size_t)0);
		KUNIT_EXPECT_FALSE(test, static_key_enabled(&kmh_watch_key.key));
		kmheap_free(kmh_kunit_alloc_at(test, 3, 64));
		KUNIT_EXPECT_EQ(test, kmh_kunit_row_of(test, 3, 64, KMH_PROFILE_INUSE).allocs, 0UL);
	}
	atomic_long_set(&kmh_fail_nth, 0);
	KUNIT_EXPECT_EQ(test, nfailed, num_possible_cpus());
	kmh_kunit_profile(test, 0);
}

/* ---- what is shown */

/* Objects of 64 bytes and of site 4 that are live and younger than the mark. */
static unsigned long live_since(struct kunit *test)
{
	struct kmh_profile_row row = kmh_kunit_row_of(test, 4, 64, KMH_PROFILE_SINCE);

	KUNIT_EXPECT_EQ(test, row.live_bytes, 64 * row.live_objects);
	return row.live_objects;
}

/* Only what was allocated since the mark and lives. */
static void a_mark_parts_old_from_young(struct kunit *test)
{
	void *old, *young;

	kmh_kunit_profile(test, 1);
	old = kmh_kunit_alloc_at(test, 4, 64);
	msleep(20);	/* longer than the unit of a record */
	kmh_watch_mark(kmh_kunit_heap(test));
	KUNIT_EXPECT_EQ(test, live_since(test), 0UL);
	young = kmh_kunit_alloc_at(test, 4, 64);
	KUNIT_EXPECT_EQ(test, live_since(test), 1UL);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 4, 64), 2UL);
	kmheap_free(young);
	KUNIT_EXPECT_EQ(test, live_since(test), 0UL);
	kmheap_free(old);
}

/* A life is counted in the bucket of its length. */
static void lives_are_counted_by_length(struct kunit *test)
{
	struct kmh_profile_row row;
	unsigned int i, sum = 0;
	void *p;

	kmh_kunit_profile(test, 1);
	p = kmh_kunit_alloc_at(test, 2, 64);
	msleep(50);
	kmheap_free(p);
	row = kmh_kunit_row_of(test, 2, 64, KMH_PROFILE_INUSE);
	KUNIT_EXPECT_EQ(test, row.lives[0] + row.lives[1], 0U);	/* not under 16 ms */
	for (i = 0; i < KMH_SITE_LIVES; i++)
		sum += row.lives[i];
	KUNIT_EXPECT_EQ(test, sum, 1U);
	kmheap_free(kmh_kunit_alloc_at(test, 12, 64));
	row = kmh_kunit_row_of(test, 12, 64, KMH_PROFILE_INUSE);
	KUNIT_EXPECT_EQ(test, row.lives[KMH_SITE_LIVES - 1], 0U);
}

/* Hits for which a table has no room are counted, and their objects are as any others. */
static void full_tables_are_told(struct kunit *test)
{
	unsigned int i, n = kmh_profile_sites + 1000, nlost;
	long lost = atomic_long_read(&kmh_sites_lost);
	unsigned long live = 0;
	struct kmh_site *site = NULL;
	void **p = kvcalloc(n, sizeof(*p), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_profile(test, 1);
	for (i = 0; i < n; i++)
		p[i] = kmh_kunit_alloc_at(test, 1000 + i, 8);
	nlost = atomic_long_read(&kmh_sites_lost) - lost;
	KUNIT_EXPECT_GE(test, nlost, 1000U);
	while ((site = kmh_site_next(kmh_kunit_heap(test), site)))
		live += atomic_long_read(&site->live_objects);
	KUNIT_EXPECT_EQ(test, live, (unsigned long)n - nlost);
	for (i = 0; i < n; i++)
		kmheap_free(p[i]);
	kvfree(p);
	live = 0;
	while ((site = kmh_site_next(kmh_kunit_heap(test), site)))
		live += atomic_long_read(&site->live_objects);
	KUNIT_EXPECT_EQ(test, live, 0UL);
}

/*
 * A name of text that goes stays until kmheap does. It counts as metadata of the module, and is not
 * kept where the module's limit forbids that.
 */
static void names_are_booked(struct kunit *test)
{
	unsigned long ip = (unsigned long)kmheap_free, before;
	struct kmh_kunit_books *books = &kmh_kunit(test)->before;
	struct kmh_site *site;
	const char *name;
	size_t bytes;
	void *p;

	kmh_kunit_profile(test, 1);
	p = kmh_kunit_alloc_at(test, ip, 64);
	site = kmh_site_next(kmh_kunit_heap(test), NULL);
	KUNIT_ASSERT_NOT_NULL(test, site);
	KUNIT_ASSERT_EQ(test, site->ip[0], ip);
	before = kmh_shared_bytes();
	WRITE_ONCE(kmh_total_limit, 1);
	kmh_sites_name(THIS_MODULE, false);
	WRITE_ONCE(kmh_total_limit, 0);
	KUNIT_EXPECT_NULL(test, kmh_frame_name(site->names, ip));
	KUNIT_EXPECT_EQ(test, kmh_shared_bytes(), before);

	atomic_long_set(&kmh_fail_nth, 1);
	kmh_sites_name(THIS_MODULE, false);
	KUNIT_EXPECT_NULL(test, kmh_frame_name(site->names, ip));
	KUNIT_EXPECT_EQ(test, kmh_shared_bytes(), before);

	kmh_sites_name(THIS_MODULE, false);
	kmh_sites_name(THIS_MODULE, false);
	name = kmh_frame_name(site->names, ip);
	KUNIT_ASSERT_NOT_NULL(test, name);
	KUNIT_EXPECT_TRUE_MSG(test, strstarts(name, "kmheap_free+0x0"), "%s", name);
	bytes = kmh_shared_bytes() - before;
	KUNIT_EXPECT_EQ(test, bytes, kmalloc_size_roundup(sizeof(struct kmh_frame_name) +
							  strlen(name) + 1));
	books->pool_bytes += bytes;
	books->ntables++;
	kmheap_free(p);
}

/* What the module keeps from its first profile on belongs to no case. */
int kmh_kunit_profile_tables(void)
{
	return kmh_stacks_alloc() ?: kmh_sites_alloc() ?: kmh_records_alloc();
}

int kmh_kunit_profile_init(struct kunit *test)
{
	WRITE_ONCE(kmh_kunit_stack, one_frame);
	return kmh_kunit_profile_tables() ?: kmh_kunit_init(test);
}

void kmh_kunit_profile_exit(struct kunit *test)
{
	kmh_kunit_exit(test);
	WRITE_ONCE(kmh_kunit_stack, NULL);
}

static struct kunit_case profile_cases[] = {
	KUNIT_CASE(distances_are_exponential),
	KUNIT_CASE_SLOW(samples_are_as_many_as_they_should_be),
	KUNIT_CASE(every_object_is_known),
	KUNIT_CASE_SLOW(every_object_is_known_of_all_cpus),
	KUNIT_CASE(every_free_is_told),
	KUNIT_CASE(bulk_frees_sampled_and_others),
	KUNIT_CASE(a_collection_ends_records),
	KUNIT_CASE(nested_allocations_are_known),
	KUNIT_CASE(a_profile_begins_and_ends),
	KUNIT_CASE_SLOW(the_period_changes_under_fire),
	KUNIT_CASE(a_switch_without_memory_leaves_nothing),
	KUNIT_CASE(a_mark_parts_old_from_young),
	KUNIT_CASE(lives_are_counted_by_length),
	KUNIT_CASE(full_tables_are_told),
	KUNIT_CASE(names_are_booked),
	{}
};

static struct kunit_suite profile_suite = {
	.name = "kmheap_profile",
	.init = kmh_kunit_profile_init,
	.exit = kmh_kunit_profile_exit,
	.test_cases = profile_cases,
};

kunit_test_suite(profile_suite);
