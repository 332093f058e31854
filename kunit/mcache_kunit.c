// SPDX-License-Identifier: GPL-2.0
/* KUnit: per-CPU caches: the window, refill, draining. */
#include <linux/bitops.h>

#include "mcache_kunit.h"

/* ---- the window */

static void take_walks_the_words(struct kunit *test)
{
	struct kmh_mcslot *c = mcslot(test);
	struct kmh_mspan *s = NULL;
	void **p = objects(test, NR_SLOTS + 1);
	unsigned int i;

	KUNIT_EXPECT_PTR_EQ(test, c->word, &kmh_no_slots);
	for (i = 0; i < NR_SLOTS; i++) {
		p[i] = alloc(test);
		if (!i)
			s = c->span;
		KUNIT_ASSERT_NOT_NULL(test, s);
		KUNIT_EXPECT_EQ(test, (unsigned long)p[i], s->base + i * BYTES);
		KUNIT_EXPECT_PTR_EQ(test, c->span, s);
		KUNIT_EXPECT_PTR_EQ(test, c->word, &s->w[i / 64]);
		KUNIT_EXPECT_EQ(test, c->wbase, s->base + i / 64 * 64 * BYTES);
		KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mcache(test), SPANCLASS), i + 1UL);
	}
	KUNIT_EXPECT_PTR_EQ(test, s->owner, mcache(test));
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_CACHED);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 1UL);

	p[i] = alloc(test);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 2UL);
	KUNIT_EXPECT_TRUE(test, c->span != s);
	KUNIT_EXPECT_EQ(test, (unsigned long)p[i], c->span->base);
	KUNIT_EXPECT_PTR_EQ(test, c->span->owner, mcache(test));
	KUNIT_EXPECT_NULL(test, s->owner);
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_FULL);
	free_range(p, 0, NR_SLOTS + 1);
	expect_all_free(test);
}

/* An allocation takes slots that are set aside first, then the lowest free slot. */
static void free_into_window_is_taken_again(struct kunit *test)
{
	struct kmh_mcslot *c = mcslot(test);
	void *p[128];
	unsigned int i;

	for (i = 0; i < 100; i++)
		p[i] = alloc(test);
	KUNIT_EXPECT_EQ(test, c->avail, GENMASK(63, 36));
	for (i = 64; i < 100; i++) {
		kmheap_free(p[i]);
		KUNIT_EXPECT_EQ(test, c->span->w[1].free & BIT(i - 64), BIT(i - 64));
		KUNIT_EXPECT_EQ(test, atomic_long_read(&c->span->w[1].remote), 0L);
	}
	for (; i < ARRAY_SIZE(p); i++) {
		p[i] = alloc(test);
		KUNIT_EXPECT_EQ(test, (unsigned long)p[i], c->span->base + i * BYTES);
	}
	KUNIT_EXPECT_EQ(test, c->avail, 0UL);
	for (i = 64; i < 100; i++)
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[i]);
	/* Of several free slots the lowest is taken. */
	kmheap_free(p[90]);
	kmheap_free(p[70]);
	kmheap_free(p[80]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[70]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[80]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[90]);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 1UL);
	free_range(p, 0, ARRAY_SIZE(p));
	expect_all_free(test);
}

/* How many slots are set aside at a time: neighbours, never beyond the span. */
static void batch_sizes(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int spanclass;

	for (spanclass = 2; spanclass < KMH_NR_SPANCLASSES; spanclass += 2) {
		const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];
		unsigned int want = min_t(unsigned int, class->nelems,
					  class->size <= 128 ? 64 : class->size <= 512 ? 16 : 8);
		struct kmh_mcslot *c = &mcache(test)->slot[spanclass];
		void *p = kmheap_alloc(heap, class->size, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_EQ_MSG(test, c->avail, (~0UL >> (64 - want)) & ~1UL, "%u bytes",
				    class->size);
		KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mcache(test), spanclass), 1UL);
		/* Two free slots in the middle of the window, and nothing else. */
		c->span->w[0].free = want > 4 ? BIT(want - 3) | BIT(want - 2) : c->span->w[0].free;
		kmh_kunit_look_again(heap);
		if (want > 4)
			KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc(heap, class->size, GFP_KERNEL),
					    (void *)kmh_mspan_slot_addr(c->span, want - 3));
		kmh_kunit_look_again(heap);
		c->span->w[0].free = kmh_mspan_word_mask(c->span, 0);
	}
}

/* A slot that is set aside is free: freeing it is a double free, on this CPU and on another. */
static void free_of_a_slot_set_aside_is_double(struct kunit *test)
{
	struct kmh_mcslot *c = mcslot(test);
	void *p = alloc(test), *next = p + BYTES;
	struct frees f = { &next, 0, 1 };

	KUNIT_EXPECT_EQ(test, c->avail, ~1UL);
	kmheap_free(next);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, c->span->w[0].free, ~1UL);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), next);
	KUNIT_EXPECT_EQ(test, c->span->w[0].free, ~3UL);
	free_range((void *[]){ p, next }, 0, 2);
	expect_all_free(test);
}

/* A slot that was set aside and not handed out is free when the span leaves the cache. */
static void drain_gives_back_what_was_set_aside(struct kunit *test)
{
	void *p = alloc(test);
	struct kmh_mspan *s = mcslot(test)->span;
	unsigned long allocs = kmh_mcache_allocs(mcache(test), SPANCLASS);

	kmh_mcache_drain_all(kmh_kunit_heap(test));
	KUNIT_EXPECT_EQ(test, mcslot(test)->avail, 0UL);
	KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mcache(test), SPANCLASS), allocs);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 1U);
	KUNIT_EXPECT_EQ(test, s->w[0].free, ~1UL);
	kmheap_free(p);
	expect_all_free(test);
}

/* Words with free slots come first; slots that other CPUs have freed are folded after that. */
static void turn_leaves_remote_frees_to_refill(struct kunit *test)
{
	void **p = fill_span(test);
	struct frees f = { p, 70, 71 };
	struct kmh_mspan *s = mcslot(test)->span;

	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	kmheap_free(p[0]);
	kmheap_free(p[130]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[0]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[130]);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[1].remote), (long)BIT(70 - 64));
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[70]);
	KUNIT_EXPECT_PTR_EQ(test, mcslot(test)->word, &s->w[1]);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[1].remote), 0L);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 1UL);
	free_range(p, 0, NR_SLOTS);
	expect_all_free(test);
}

/* A slot freed outside the window is found when the walk comes round. */
static void free_behind_window_is_found_by_wrap(struct kunit *test)
{
	struct kmh_mcslot *c = mcslot(test);
	void **p = objects(test, NR_SLOTS);
	unsigned int i;

	for (i = 0; i < 130; i++)
		p[i] = alloc(test);
	KUNIT_EXPECT_PTR_EQ(test, c->word, &c->span->w[2]);
	kmheap_free(p[5]);
	kmheap_free(p[100]);
	for (; i < NR_SLOTS; i++) {
		p[i] = alloc(test);
		KUNIT_EXPECT_EQ(test, (unsigned long)p[i], c->span->base + i * BYTES);
	}
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[5]);
	KUNIT_EXPECT_PTR_EQ(test, c->word, &c->span->w[0]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[100]);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 1UL);
	free_range(p, 0, NR_SLOTS);
	expect_all_free(test);
}

static void refill_folds_its_own_span_first(struct kunit *test)
{
	void **p = fill_span(test);
	struct kmh_mspan *s = mcslot(test)->span;
	struct frees f = { p, 100, 103 };
	unsigned int i;

	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[1].remote),
			GENMASK(38, 36));
	KUNIT_EXPECT_EQ(test, s->w[1].free, 0UL);
	for (i = 100; i < 103; i++)
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[i]);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 1UL);
	KUNIT_EXPECT_PTR_EQ(test, mcslot(test)->span, s);
	free_range(p, 0, NR_SLOTS);
	expect_all_free(test);
}

static void refill_takes_announced_span(struct kunit *test)
{
	void **first = fill_span(test), **second = fill_span(test), *p[3];
	struct kmh_mspan *s = kmh_span_of((unsigned long)first[0]);
	unsigned int i;

	kmh_magazines_end(kmh_kunit_heap(test));	/* the two frees would stay in a magazine */
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_FULL);
	/*
	 * The span is not this CPU's any more: its frees set remote bits, though this CPU has
	 * filled it.
	 */
	kmheap_free(first[7]);
	kmheap_free(first[200]);
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_ANNOUNCED);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = alloc(test);
	KUNIT_EXPECT_PTR_EQ(test, p[0], first[7]);
	KUNIT_EXPECT_PTR_EQ(test, p[1], first[200]);
	KUNIT_EXPECT_TRUE(test, kmh_span_of((unsigned long)p[2]) != s);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 4UL);
	free_range(first, 0, NR_SLOTS);
	free_range(second, 0, NR_SLOTS);
	kmheap_free(p[2]);
	expect_all_free(test);
}

/* A slot whose free and remote bits are both set is not handed out from the window. */
static void take_skips_slots_with_both_bits(struct kunit *test)
{
	void **p = fill_span(test);
	struct kmh_mspan *s = mcslot(test)->span;
	unsigned int i;

	/* What a free on this CPU and a racing free on another leave behind. */
	for (i = 192; i < 196; i++)
		kmheap_free(p[i]);
	atomic_long_or(BIT(0) | BIT(2), &s->w[3].remote);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[193]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[195]);
	kmh_kunit_no_reports(test);
	/* The window is empty: the fold reports both slots and makes them free, once. */
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[192]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 2);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[194]);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 1UL);
	free_range(p, 0, NR_SLOTS);
	expect_all_free(test);
}

/*
 * The second half of double frees that lost a race: the remote bit of the only free slot
 * comes and goes while the slot is wanted. Refill finds that slot or another.
 */
struct raced_doubles {
	struct kmheap *heap;
	struct kmh_mspan *s;
	unsigned int nsame;
	unsigned int nfailed;
	atomic_t stop;
};

static void raced_doubles_thread(void *arg, unsigned int i)
{
	struct raced_doubles *r = arg;
	unsigned int n;

	for (n = 0; i && !atomic_read(&r->stop); n++) {
		if (READ_ONCE(r->s->w[3].free))
			atomic_long_or(BIT(63), &r->s->w[3].remote);
		if (n % 64 == 0)
			cond_resched();
	}
	for (n = 0; !i && n < 1500; n++) {
		void *p = kmheap_alloc(r->heap, BYTES, GFP_KERNEL);

		r->nfailed += !p;
		preempt_disable();
		if (p == (void *)r->s->base + 255 * BYTES) {
			r->nsame++;
			kmh_mspan_free_remote(r->s, 255);
		} else {
			kmheap_free(p);
		}
		preempt_enable();
		if (n % 8 == 0)
			kmh_mcache_drain_all(r->heap);
	}
	if (!i)
		atomic_set(&r->stop, 1);
}

static void refill_survives_raced_doubles(struct kunit *test)
{
	void **p = fill_span(test);
	struct raced_doubles r = { .heap = kmh_kunit_heap(test), .s = mcslot(test)->span };

	kmh_mcache_drain_all(r.heap);
	kmheap_free(p[255]);
	kmh_kunit_threads(test, 2, raced_doubles_thread, &r);
	KUNIT_EXPECT_EQ(test, r.nfailed, 0U);
	KUNIT_EXPECT_GT(test, r.nsame, 0U);
	kmh_mcache_drain_all(r.heap);
	kmh_mheap_drain_lists(&r.heap->nodes[numa_mem_id()]->mheap);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, kmh_kunit(test)->nreports[KMH_DOUBLE_FREE]);
	free_range(p, 0, 255);
	expect_all_free(test);
}

/* ---- double frees, by what the first one left behind */

static void free_elsewhere_then_here_is_double(struct kunit *test)
{
	void *p = alloc(test), *q = alloc(test);
	struct frees f = { &p, 0, 1 }, g = { &q, 0, 1 };
	struct kmh_mspan *s = mcslot(test)->span;

	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	kmheap_free(p);				/* remote bit set, owner's free */
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, s->w[0].free & 3, 0UL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), 1L);
	kmh_kunit_elsewhere(test, free_elsewhere, &f);	/* remote bit set, remote free */
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);

	kmheap_free(q);
	kmheap_free(q);				/* free bit set, owner's free */
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_elsewhere(test, free_elsewhere, &g);	/* free bit set, remote free */
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, s->w[0].free & 3, 2UL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), 1L);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 0U);
	expect_all_free(test);
}

/* ---- draining */

static const size_t drain_sizes[] = { 3, 8, 32, 100, 1024, 5000, 32768 };

struct drain_job {
	struct kmheap *heap;
	void *p[KMH_KUNIT_THREADS][2 * ARRAY_SIZE(drain_sizes)];
	unsigned int nfailed;
};

static void drain_alloc(void *arg, unsigned int i)
{
	struct drain_job *job = arg;
	unsigned int j;

	for (j = 0; j < ARRAY_SIZE(job->p[i]); j++) {
		size_t bytes = drain_sizes[j / 2];

		job->p[i][j] = j % 2 ? kmheap_alloc(job->heap, bytes, GFP_KERNEL) :
				       kmheap_alloc_data(job->heap, bytes, GFP_KERNEL);
		if (!job->p[i][j])
			job->nfailed++;
		else
			memset(job->p[i][j], 16 * i + j, bytes);
	}
}

static void drain_all_leaves_nothing_cached(struct kunit *test)
{
	struct drain_job *job = kunit_kzalloc(test, sizeof(*job), GFP_KERNEL);
	unsigned int i, j, n = min(num_online_cpus(), KMH_KUNIT_THREADS), ncached = 0, cpu;
	struct kmheap_stats before, after;

	KUNIT_ASSERT_NOT_NULL(test, job);
	job->heap = kmh_kunit_heap(test);
	kmh_kunit_threads(test, n, drain_alloc, job);
	KUNIT_ASSERT_EQ(test, job->nfailed, 0U);
	for_each_online_cpu(cpu)
		ncached += !!per_cpu_ptr(job->heap->mcache, cpu)->slot[SPANCLASS].span;
	KUNIT_EXPECT_EQ(test, ncached, n);

	kmh_kunit_balanced(test, job->heap, &before);
	kmh_mcache_drain_all(job->heap);
	expect_nothing_cached(test, job->heap);
	kmh_kunit_balanced(test, job->heap, &after);
	KUNIT_EXPECT_EQ(test, after.cached_bytes, 0ULL);
	KUNIT_EXPECT_EQ(test, after.live_objects, before.live_objects);
	KUNIT_EXPECT_EQ(test, after.live_bytes, before.live_bytes);
	KUNIT_EXPECT_EQ(test, after.free_bytes, before.free_bytes + before.cached_bytes);
	KUNIT_EXPECT_EQ(test, after.allocs, before.allocs);
	for (i = 0; i < n; i++) {
		for (j = 0; j < ARRAY_SIZE(job->p[i]); j++) {
			KUNIT_EXPECT_NULL(test, memchr_inv(job->p[i][j], 16 * i + j,
							   drain_sizes[j / 2]));
			kmheap_free(job->p[i][j]);
		}
	}
	expect_all_free(test);
}

static void drain_returns_pages_of_emptied_spans(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = &heap->nodes[numa_mem_id()]->mheap;
	unsigned long nfree = mh->pa.nfree, metadata = atomic_long_read(&heap->metadata_bytes);
	void **p = fill_span(test);

	KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree - 1);
	free_range(p, 0, NR_SLOTS);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree - 1);	/* kept while it is cached */
	kmh_mcache_drain_all(heap);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree);
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&heap->metadata_bytes), metadata);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of((unsigned long)p[0]), heap->freed);
	expect_all_free(test);
}

struct holder {
	struct kmheap *heap;
	struct kmh_mspan *span;
	struct kmh_mspan *after;
	void *p;
	atomic_t state;			/* 1: held, 2: drained */
};

static void holder_thread(void *arg, unsigned int i)
{
	struct holder *h = arg;
	struct kmh_mcache *mc;

	if (!i) {
		while (!atomic_read_acquire(&h->state))
			cond_resched();
		kmh_mcache_drain_all(h->heap);
		atomic_set_release(&h->state, 2);
		return;
	}
	h->p = kmheap_alloc(h->heap, BYTES, GFP_KERNEL);
	preempt_disable();
	mc = this_cpu_ptr(h->heap->mcache);
	kmh_mcache_enter(mc);
	h->span = mc->slot[SPANCLASS].span;
	atomic_set_release(&h->state, 1);
	while (atomic_read_acquire(&h->state) != 2)
		cpu_relax();
	h->after = mc->slot[SPANCLASS].span;
	kmh_mcache_leave(mc);
	preempt_enable();
}

/* A CPU in its section is left alone, and drain_all returns all the same. */
static void drain_all_passes_over_a_busy_cpu(struct kunit *test)
{
	struct holder h = { .heap = kmh_kunit_heap(test) };

	KUNIT_ASSERT_GE(test, num_online_cpus(), 2U);
	kmh_kunit_threads(test, 2, holder_thread, &h);
	KUNIT_ASSERT_NOT_NULL(test, h.p);
	KUNIT_EXPECT_NOT_NULL(test, h.span);
	KUNIT_EXPECT_PTR_EQ(test, h.after, h.span);
	kmheap_free(h.p);
	expect_all_free(test);
}

static void drain_dead_takes_what_a_cpu_left(struct kunit *test)
{
	struct drain_job *job = kunit_kzalloc(test, sizeof(*job), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, cpu;

	KUNIT_ASSERT_NOT_NULL(test, job);
	job->heap = heap;
	kmh_kunit_threads(test, 2, drain_alloc, job);
	KUNIT_ASSERT_EQ(test, job->nfailed, 0U);
	/* The CPUs are alive, but nobody uses this heap on them. */
	for_each_possible_cpu(cpu)
		kmh_mcache_drain_dead(heap, cpu);
	expect_nothing_cached(test, heap);
	kmh_kunit_validate(test);
	for (i = 0; i < 2; i++)
		free_range(job->p[i], 0, ARRAY_SIZE(job->p[i]));
	expect_all_free(test);
}

static void allocs_add_up_over_cpus(struct kunit *test)
{
	struct drain_job *job = kunit_kzalloc(test, sizeof(*job), GFP_KERNEL);
	unsigned int i, n = min(num_online_cpus(), KMH_KUNIT_THREADS);
	u64 each = ARRAY_SIZE(job->p[0]);
	struct kmheap_stats st;

	KUNIT_ASSERT_NOT_NULL(test, job);
	job->heap = kmh_kunit_heap(test);
	for (i = 1; i <= 3; i++) {
		unsigned int j;

		kmh_kunit_threads(test, n, drain_alloc, job);
		KUNIT_ASSERT_EQ(test, job->nfailed, 0U);
		kmh_kunit_balanced(test, job->heap, &st);
		KUNIT_EXPECT_EQ(test, st.allocs, i * n * each);
		KUNIT_EXPECT_EQ(test, st.live_objects, n * each);
		for (j = 0; j < n; j++)
			free_range(job->p[j], 0, each);
		kmh_mcache_drain_all(job->heap);	/* the counters stay */
		kmh_kunit_balanced(test, job->heap, &st);
		KUNIT_EXPECT_EQ(test, st.allocs, i * n * each);
		KUNIT_EXPECT_EQ(test, st.frees, i * n * each);
	}
	expect_all_free(test);
}

/* ---- the validator */

static void validate_finds_damage(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test);
	struct kmh_mspan *s = mcslot(test)->span;
	unsigned int n = 0;

	KUNIT_EXPECT_EQ(test, kmh_mcache_validate(heap, kmh_kunit_count_finding, &n), 0U);
	s->owner = NULL;
	KUNIT_EXPECT_EQ(test, kmh_mcache_validate(heap, kmh_kunit_count_finding, &n), 1U);
	KUNIT_EXPECT_EQ(test, n, 1U);
	s->owner = mcache(test);
	KUNIT_EXPECT_EQ(test, kmh_mcache_validate(heap, kmh_kunit_count_finding, &n), 0U);
	kmheap_free(p);
	expect_all_free(test);
}

static struct kunit_case mcache_cases[] = {
	KUNIT_CASE(take_walks_the_words),
	KUNIT_CASE(free_into_window_is_taken_again),
	KUNIT_CASE(batch_sizes),
	KUNIT_CASE(free_of_a_slot_set_aside_is_double),
	KUNIT_CASE(drain_gives_back_what_was_set_aside),
	KUNIT_CASE(turn_leaves_remote_frees_to_refill),
	KUNIT_CASE(free_behind_window_is_found_by_wrap),
	KUNIT_CASE(refill_folds_its_own_span_first),
	KUNIT_CASE(refill_takes_announced_span),
	KUNIT_CASE(take_skips_slots_with_both_bits),
	KUNIT_CASE(refill_survives_raced_doubles),
	KUNIT_CASE(free_elsewhere_then_here_is_double),
	KUNIT_CASE(drain_all_leaves_nothing_cached),
	KUNIT_CASE(drain_returns_pages_of_emptied_spans),
	KUNIT_CASE(drain_all_passes_over_a_busy_cpu),
	KUNIT_CASE(drain_dead_takes_what_a_cpu_left),
	KUNIT_CASE(allocs_add_up_over_cpus),
	KUNIT_CASE(validate_finds_damage),
	{ }
};

static struct kunit_suite mcache_suite = {
	.name = "kmheap_mcache",
	.init = mcache_init,
	.exit = kmh_kunit_exit,
	.test_cases = mcache_cases,
};

kunit_test_suite(mcache_suite);
