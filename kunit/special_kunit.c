// SPDX-License-Identifier: GPL-2.0
/* KUnit: finalizers: when they run, what they see, and what they cost other objects. */
#include "special_kunit.h"

static const size_t sizes[] = { 8, 16, 64, 1000, 32768, 50000, 3 << 20 };

/* ---- deaths */

static void die_freed(struct mortal *m)
{
	kmheap_free(m->p);
}

static void die_freed_sized(struct mortal *m)
{
	kmheap_free_sized(m->p, m->bytes);
}

static void die_freed_in_bulk(struct mortal *m)
{
	void *p[] = { NULL, m->p, NULL };

	kmheap_free_bulk(ARRAY_SIZE(p), p);
}

static void die_reallocated(struct mortal *m)
{
	if (kmheap_realloc(NULL, m->p, 0, GFP_KERNEL) != ZERO_SIZE_PTR)
		m->nwrong++;
}

static void die_deferred(struct mortal *m)
{
	kmheap_free_rcu(m->p);
}

static void free_here(void *arg)
{
	struct mortal *m = arg;

	kmheap_free(m->p);
}

static void die_elsewhere(struct mortal *m)
{
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		if (cpu != raw_smp_processor_id()) {
			smp_call_function_single(cpu, free_here, m, true);
			return;
		}
	}
}

struct hardirq_free {
	struct irq_work work;
	struct mortal *m;
};

static void free_in_hardirq(struct irq_work *work)
{
	struct hardirq_free *h = container_of(work, struct hardirq_free, work);

	kmheap_free(h->m->p);
}

static void die_in_hardirq(struct mortal *m)
{
	struct hardirq_free h = { .work = IRQ_WORK_INIT_HARD(free_in_hardirq), .m = m };

	irq_work_queue(&h.work);
	irq_work_sync(&h.work);
}

/* As in an NMI: this CPU is in its section and holds all the locks. */
static void die_under_the_locks(struct mortal *m)
{
	struct kmh_mspan *s = where(m->p);
	struct kmh_mcentral *c = kmh_mspan_mcentral(s);
	unsigned long flags;

	local_irq_save(flags);
	kmh_mcache_enter(this_mcache(s->heap));
	raw_spin_lock(&c->lock);
	raw_spin_lock(&s->mheap->lock);
	kmheap_free(m->p);
	raw_spin_unlock(&s->mheap->lock);
	raw_spin_unlock(&c->lock);
	kmh_mcache_leave(this_mcache(s->heap));
	local_irq_restore(flags);
}

static void die_unmarked(struct mortal *m)
{
	struct kmheap *heap = where(m->p)->heap;

	if (kmheap_collect_begin(heap) || kmheap_collect_end(heap))
		m->nwrong++;
}

static const struct death {
	const char *name;
	void (*die)(struct mortal *m);
	bool collected;		/* only in a collected heap */
} deaths[] = {
	{ "freed", die_freed },
	{ "freed with its size", die_freed_sized },
	{ "freed in bulk", die_freed_in_bulk },
	{ "reallocated to nothing", die_reallocated },
	{ "freed after a grace period", die_deferred },
	{ "freed on another CPU", die_elsewhere },
	{ "freed in hardirq", die_in_hardirq },
	{ "freed with all locks held", die_under_the_locks },
	{ "not marked", die_unmarked, true },
};

static void death_desc(const struct death *d, char *desc)
{
	strscpy(desc, d->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(death, deaths, death_desc);

/* Before its finalizer has run an object is not reused: as many allocations might get it. */
static void expect_kept(struct kunit *test, struct kmheap *heap, const struct mortal *m)
{
	unsigned int i, n = m->bytes > KMHEAP_MAX_SMALL ? 3 : 2 * where(m->p)->nelems;
	void *p, *first = NULL;

	for (i = 0; i < n; i++) {
		p = kmheap_alloc(heap, m->bytes, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		if (p < m->p + m->bytes && m->p < p + m->bytes)
			KUNIT_FAIL(test, "%zu bytes: used again too soon", m->bytes);
		*(void **)p = first;
		first = p;
	}
	while ((p = first)) {
		first = *(void **)p;
		kmheap_free(p);
	}
}

static void finalize(struct kunit *test, struct kmheap *heap, const struct death *d, size_t bytes)
{
	work_func_t finalizers = stop_finalizers(heap);
	struct kmheap_object obj = {};
	struct mortal m;

	mortal(test, heap, &m, bytes);
	KUNIT_EXPECT_EQ(test, nspecials(heap), 1ULL);
	KUNIT_EXPECT_EQ(test, special_pages(heap), 1U);
	d->die(&m);
	sweep_by_hand(heap);
	expect_ends(test, &m, 0);
	KUNIT_EXPECT_TRUE(test, kmheap_lookup(m.p, &obj));
	KUNIT_EXPECT_NE(test, (int)obj.state, (int)KMHEAP_OBJECT_LIVE);
	expect_kept(test, heap, &m);
	/* A dead object is dead, whatever killed it. */
	kmheap_free(m.p);
	kmheap_free_rcu(m.p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 2);
	start_finalizers(heap, finalizers);
	expect_no_specials(test, heap);
	expect_ends(test, &m, 1);
	if (bytes <= KMHEAP_MAX_SMALL && want_init_on_free())
		KUNIT_EXPECT_NULL(test, memchr_inv(m.p, 0, m.bytes));
	if (bytes < 3 << 20) {		/* else the arena may be gone */
		kmheap_free(m.p);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	}
}

static void finalizer_runs_once(struct kunit *test)
{
	const struct death *d = test->param_value;
	struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED | KMHEAP_AREA };
	struct kmheap *heap = kmheap_create("kunit-collected", &attr);
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (!d->collected)
			finalize(test, kmh_kunit_heap(test), d, sizes[i]);
		finalize(test, heap, d, sizes[i]);
	}
	kmheap_destroy(heap);
}

/* Once the finalizer has run the slot is as good as any other. */
static void memory_is_used_again(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mspan *s;
	unsigned int i, j;
	struct mortal m;

	for (i = 0; i < 3; i++) {
		void **p = objects(test, 1024);

		mortal(test, heap, &m, sizes[i]);
		s = where(m.p);
		die_freed(&m);
		kmheap_rcu_barrier(heap);
		for (j = 0; j < s->nelems; j++) {
			p[j] = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
			KUNIT_EXPECT_PTR_EQ(test, where(p[j]), s);
		}
		for (j = 0; j < s->nelems; j++)
			kmheap_free(p[j]);
		kunit_kfree(test, p);
	}
	expect_no_specials(test, heap);
}

/* A finalizer does not run while a reader that was there before may use the object. */
static void finalizer_waits_for_readers(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct mortal m[2];
	unsigned int i;

	mortal(test, heap, &m[0], 64);
	mortal(test, heap, &m[1], 50000);
	rcu_read_lock();
	kmheap_free_rcu(m[0].p);
	kmheap_free_rcu(m[1].p);
	for (i = 0; i < 100; i++) {	/* five times as long as the worker takes */
		mdelay(1);
		if (READ_ONCE(m[0].ncalls) || READ_ONCE(m[1].ncalls))
			break;
	}
	rcu_read_unlock();
	KUNIT_EXPECT_EQ_MSG(test, i, 100U, "%u ms", i);
	expect_no_specials(test, heap);
	expect_ends(test, &m[0], 1);
	expect_ends(test, &m[1], 1);
}

static void destroy_runs_finalizers(struct kunit *test)
{
	struct mortal *m = kunit_kcalloc(test, 2 * ARRAY_SIZE(sizes), sizeof(*m), GFP_KERNEL);
	unsigned int i, collected;

	KUNIT_ASSERT_NOT_NULL(test, m);
	for (collected = 0; collected < 2; collected++) {
		struct kmheap_attr attr = { .flags = collected ? KMHEAP_COLLECTED : 0 };
		struct kmheap *heap = kmheap_create("kunit-short", &attr);

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
		for (i = 0; i < 2 * ARRAY_SIZE(sizes); i++)
			mortal(test, heap, &m[i], sizes[i / 2]);
		/* One object of each size is left; the other may have been finalized by then. */
		for (i = 0; i < 2 * ARRAY_SIZE(sizes); i += 2)
			deaths[i / 2 % 5].die(&m[i]);
		kmheap_destroy(heap);
		for (i = 0; i < 2 * ARRAY_SIZE(sizes); i++)
			expect_ends(test, &m[i], 1);
	}
}

/* A chain: the finalizer of each object frees the next one. */
struct link {
	struct link *next;
	atomic_t *ncalls;
};

static void free_next(void *p, void *arg)
{
	struct link *l = p;

	atomic_inc(l->ncalls);
	kmheap_free(l->next);
}

static void destroy_runs_a_chain_of_finalizers(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-short", NULL);
	atomic_t ncalls = ATOMIC_INIT(0);
	struct link *l, *next = NULL;
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	for (i = 0; i < 1000; i++, next = l) {
		l = kmheap_alloc(heap, i % 10 ? sizeof(*l) : 50000, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, l);
		*l = (struct link){ .next = next, .ncalls = &ncalls };
		KUNIT_ASSERT_EQ(test, kmheap_set_finalizer(l, free_next, NULL), 0);
	}
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, atomic_read(&ncalls), 1000);
	kmh_kunit_no_reports(test);
}

/* A finalizer that frees @owned, which may be dead already, so that its arena may be empty. */
static void free_again(void *p, void *heap)
{
	void **owned = p;

	kmh_kunit_give_back(heap);
	kmheap_free(*owned);
}

static void nothing_at_all(void *p, void *arg)
{
}

/* Arenas stay while finalizers free dead objects: otherwise that would be no double free. */
static void destroy_keeps_the_arenas_of_the_dead(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-short", NULL);
	void *large, **p;
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	large = kmheap_alloc(heap, SZ_4M, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, large);
	KUNIT_ASSERT_EQ(test, kmheap_set_finalizer(large, nothing_at_all, NULL), 0);
	for (i = 0; i < 32; i++) {
		p = kmheap_alloc(heap, sizeof(*p), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		*p = large;
		KUNIT_ASSERT_EQ(test, kmheap_set_finalizer(p, free_again, heap), 0);
	}
	kmheap_destroy(heap);
	kmh_kunit_no_reports(test);
}

/* ---- errors */

static void set_finalizer_errors(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, 64), *q = alloc(test, 64), *freed = alloc(test, 64);
	void *pages = kmheap_alloc_pages(heap, 2, GFP_KERNEL), *late = alloc(test, 64);
	void *tiny = kmheap_alloc_data(heap, 8, GFP_KERNEL), *large = alloc(test, 50000);
	struct mortal m = { .p = q, .bytes = 64 };
	const struct {
		void *p;
		kmheap_finalizer_fn fn;
		int err;
		unsigned int nreports;
	} rows[] = {
		{ NULL, note_end, -EINVAL, 1 },
		{ ZERO_SIZE_PTR, note_end, -EINVAL, 1 },
		{ &m, note_end, -EINVAL, 1 },
		{ freed, note_end, -EINVAL, 1 },
		{ freed, NULL, -EINVAL, 1 },
		{ late, note_end, -EINVAL, 1 },
		{ p + 8, note_end, -EINVAL, 1 },
		{ large + KMH_PAGE_SIZE, note_end, -EINVAL, 1 },
		{ pages, note_end, -EINVAL, 1 },
		{ tiny, note_end, -EINVAL, 0 },
		{ tiny, NULL, -EINVAL, 0 },
		{ p, NULL, -ENOENT, 0 },
		{ large, NULL, -ENOENT, 0 },
		{ q, note_end, 0, 0 },
		{ q, note_end, -EEXIST, 0 },
		{ p, NULL, -ENOENT, 0 },
		{ q, NULL, 0, 0 },
		{ q, NULL, -ENOENT, 0 },
		{ q, note_end, 0, 0 },
	};
	unsigned int i;

	KUNIT_ASSERT_TRUE(test, pages && tiny);
	kmheap_free(freed);
	kmheap_free_rcu(late);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(q, PATTERN, 64);
		KUNIT_EXPECT_EQ_MSG(test, kmheap_set_finalizer(rows[i].p, rows[i].fn, &m),
				    rows[i].err, "row %u", i);
		kmh_kunit_reports(test, KMH_INVALID_FREE, rows[i].nreports);
	}
	KUNIT_EXPECT_EQ(test, nspecials(heap), 1ULL);
	kmheap_free(p);
	kmheap_free(q);
	kmheap_free(large);
	kmheap_free(tiny);
	kmheap_free_pages(pages, 2);
	expect_no_specials(test, heap);
	expect_ends(test, &m, 1);
}

/* A finalizer is taken back before its object is dead, while others in the span have theirs. */
static void take_back(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct mortal m[2 * ARRAY_SIZE(sizes)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(m); i++)
		mortal(test, heap, &m[i], sizes[i / 2]);
	KUNIT_EXPECT_EQ(test, nspecials(heap), (u64)ARRAY_SIZE(m));
	for (i = 0; i < ARRAY_SIZE(m); i += 2)
		KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(m[i].p, NULL, NULL), 0);
	KUNIT_EXPECT_EQ(test, nspecials(heap), (u64)ARRAY_SIZE(m) / 2);
	for (i = 0; i < ARRAY_SIZE(m); i++)
		kmheap_free(m[i].p);
	expect_no_specials(test, heap);
	for (i = 0; i < ARRAY_SIZE(m); i++)
		expect_ends(test, &m[i], i % 2);
}

static struct kunit_case special_cases[] = {
	KUNIT_CASE_PARAM(finalizer_runs_once, death_gen_params),
	KUNIT_CASE(memory_is_used_again),
	KUNIT_CASE(finalizer_waits_for_readers),
	KUNIT_CASE(destroy_runs_finalizers),
	KUNIT_CASE(destroy_runs_a_chain_of_finalizers),
	KUNIT_CASE(destroy_keeps_the_arenas_of_the_dead),
	KUNIT_CASE(set_finalizer_errors),
	KUNIT_CASE(take_back),
	{ }
};

static int special_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return kmh_kunit_init(test);
}

static struct kunit_suite special_suite = {
	.name = "kmheap_special",
	.init = special_init,
	.exit = kmh_kunit_exit,
	.test_cases = special_cases,
};

kunit_test_suite(special_suite);
