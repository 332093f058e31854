// SPDX-License-Identifier: GPL-2.0
/* KUnit: fixalloc, the allocator of type-stable metadata. */
#include <kunit/test.h>
#include <linux/align.h>
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "kunit_util.h"

#define ITEM_BYTES	200
#define ITEM_ALIGN	64UL
#define NR_ITEMS	16U

struct fix_ctx {
	struct kmh_fixalloc f;
	unsigned int nfindings;
	bool expect_findings;
	char first[128];
};

static __printf(2, 3) void finding(void *ctx, const char *fmt, ...)
{
	struct kunit *test = ctx;
	struct fix_ctx *fc = test->priv;
	va_list args;

	if (!fc->nfindings++) {
		va_start(args, fmt);
		vscnprintf(fc->first, sizeof(fc->first), fmt, args);
		va_end(args);
	}
	if (!fc->expect_findings)
		KUNIT_FAIL(test, "finding: %s", fc->first);
}

static unsigned int validate(struct kunit *test)
{
	struct fix_ctx *fc = test->priv;

	fc->nfindings = 0;
	return kmh_fixalloc_validate(&fc->f, finding, test);
}

static void expect_counts(struct kunit *test, unsigned long ninuse)
{
	struct fix_ctx *fc = test->priv;
	struct kmh_fixalloc *f = &fc->f;
	unsigned long nitems = f->chunk_bytes / (PAGE_SIZE << f->order) * f->per_chunk;

	KUNIT_EXPECT_EQ(test, validate(test), 0U);
	KUNIT_EXPECT_EQ(test, f->ninuse, ninuse);
	KUNIT_EXPECT_EQ(test, f->nfree, nitems - ninuse);
}

static int fix_init(struct kunit *test)
{
	struct fix_ctx *fc = kunit_kzalloc(test, sizeof(*fc), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fc);
	kmh_fixalloc_init(&fc->f, "test", ITEM_BYTES, ITEM_ALIGN);
	test->priv = fc;
	return 0;
}

/* Free what a failed case left in use, so that destroy has nothing to warn about. */
static void fix_exit(struct kunit *test)
{
	struct fix_ctx *fc = test->priv;

	if (!fc)
		return;
	fc->f.ninuse = 0;
	kmh_fixalloc_destroy(&fc->f);
}

static struct kmh_fixalloc *fixalloc(struct kunit *test)
{
	return &((struct fix_ctx *)test->priv)->f;
}

/* Get items one by one until none is free. Returns how many. */
static unsigned int get_all(struct kmh_fixalloc *f, void **items, unsigned int max)
{
	unsigned int n;

	for (n = 0; n < max; n++) {
		items[n] = kmh_fixalloc_get(f);
		if (!items[n])
			break;
	}
	return n;
}

static void init_geometry(struct kunit *test)
{
	static const struct {
		size_t bytes, align, stride;
		unsigned int order_kib;
	} rows[] = {
		{ 1, 1, 16, 4 },
		{ 8, 8, 16, 4 },
		{ 9, 8, 24, 4 },
		{ 56, 64, 64, 4 },
		{ 57, 64, 128, 4 },
		{ 64, 64, 128, 4 },
		{ 200, 64, 256, 4 },
		{ 768, 64, 832, 4 },
		{ 4080, 8, 4088, 4 },
		{ 4081, 8, 4096, 8 },
		{ 4096, 4096, 8192, 16 },
		{ 16368, 8, 16376, 16 },
		{ 16376, 8, 16384, 32 },
		{ 40000, 64, 40064, 64 },
	};
	struct kmh_fixalloc *f = fixalloc(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t chunk = max_t(size_t, rows[i].order_kib << 10, PAGE_SIZE);

		kmh_fixalloc_init(f, "test", rows[i].bytes, rows[i].align);
		KUNIT_EXPECT_EQ_MSG(test, f->stride, rows[i].stride, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, PAGE_SIZE << f->order, chunk, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, f->per_chunk, (chunk - 8) / rows[i].stride, "row %u", i);
		KUNIT_EXPECT_EQ(test, kmh_fixalloc_refill(f, 3, GFP_KERNEL), 0);
		expect_counts(test, 0);
		kmh_fixalloc_destroy(f);
	}
}

static void get_empty_returns_null(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);

	KUNIT_EXPECT_NULL(test, kmh_fixalloc_get(f));
	KUNIT_EXPECT_EQ(test, f->chunk_bytes, 0UL);
	expect_counts(test, 0);
}

static void reserve_makes_free(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);

	KUNIT_EXPECT_EQ(test, kmh_fixalloc_refill(f, 0, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, f->chunk_bytes, 0UL);
	KUNIT_EXPECT_EQ(test, kmh_fixalloc_refill(f, 1, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, f->chunk_bytes, PAGE_SIZE << f->order);
	KUNIT_EXPECT_EQ(test, f->nfree, f->per_chunk);
	/* As many are free already as are asked for: nothing to do. */
	KUNIT_EXPECT_EQ(test, kmh_fixalloc_refill(f, f->per_chunk, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, f->nfree, f->per_chunk);
	KUNIT_EXPECT_EQ(test, kmh_fixalloc_refill(f, f->per_chunk + 1, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, f->nfree, 2 * f->per_chunk);
	KUNIT_EXPECT_EQ(test, f->chunk_bytes, 2 * (PAGE_SIZE << f->order));
	expect_counts(test, 0);
}

static void reserve_fails_with_backend(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);

	atomic_long_set(&kmh_fail_nth, 1);
	KUNIT_EXPECT_EQ(test, kmh_fixalloc_refill(f, 1, GFP_KERNEL), -ENOMEM);
	KUNIT_EXPECT_NULL(test, kmh_fixalloc_get(f));
	expect_counts(test, 0);
	/* The first chunk is allocated and stays, the second fails. */
	atomic_long_set(&kmh_fail_nth, 2);
	KUNIT_EXPECT_EQ(test, kmh_fixalloc_refill(f, f->per_chunk + 1, GFP_KERNEL), -ENOMEM);
	KUNIT_EXPECT_EQ(test, f->nfree, f->per_chunk);
	expect_counts(test, 0);
	atomic_long_set(&kmh_fail_nth, 0);
	KUNIT_EXPECT_EQ(test, kmh_fixalloc_refill(f, f->per_chunk + 1, GFP_KERNEL), 0);
	expect_counts(test, 0);
}

static void get_until_exhausted(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);
	unsigned int i, n = 2 * f->per_chunk;
	void **items = kunit_kcalloc(test, n + 1, sizeof(*items), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, items);
	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, n, GFP_KERNEL), 0);
	KUNIT_ASSERT_EQ(test, get_all(f, items, n + 1), n);
	expect_counts(test, n);
	/* Items are aligned and do not overlap: each keeps what was written to all of it. */
	for (i = 0; i < n; i++) {
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)items[i], ITEM_ALIGN));
		memset(items[i], i, ITEM_BYTES);
	}
	for (i = 0; i < n; i++)
		KUNIT_EXPECT_NULL_MSG(test, memchr_inv(items[i], i, ITEM_BYTES), "item %u", i);
	expect_counts(test, n);
	KUNIT_EXPECT_NULL(test, kmh_fixalloc_get(f));
	for (i = 0; i < n; i++)
		kmh_fixalloc_put(f, items[i]);
	expect_counts(test, 0);
}

static void get_first_use_zeroed(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);
	void *items[NR_ITEMS];
	unsigned int i;

	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, NR_ITEMS, GFP_KERNEL), 0);
	KUNIT_ASSERT_EQ(test, get_all(f, items, NR_ITEMS), NR_ITEMS);
	for (i = 0; i < NR_ITEMS; i++) {
		KUNIT_EXPECT_NULL(test, memchr_inv(items[i], 0, ITEM_BYTES));
		kmh_fixalloc_put(f, items[i]);
	}
}

/* Put and get change no byte of an item, and the item put last is got first. */
static void put_keeps_contents(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);
	void *a, *b;

	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, 2, GFP_KERNEL), 0);
	a = kmh_fixalloc_get(f);
	b = kmh_fixalloc_get(f);
	KUNIT_ASSERT_NOT_NULL(test, a);
	KUNIT_ASSERT_NOT_NULL(test, b);
	memset(a, 0xa5, ITEM_BYTES);
	memset(b, 0x5b, ITEM_BYTES);
	kmh_fixalloc_put(f, a);
	kmh_fixalloc_put(f, b);
	KUNIT_EXPECT_NULL(test, memchr_inv(a, 0xa5, ITEM_BYTES));
	KUNIT_EXPECT_NULL(test, memchr_inv(b, 0x5b, ITEM_BYTES));
	KUNIT_EXPECT_PTR_EQ(test, kmh_fixalloc_get(f), b);
	KUNIT_EXPECT_PTR_EQ(test, kmh_fixalloc_get(f), a);
	KUNIT_EXPECT_NULL(test, memchr_inv(a, 0xa5, ITEM_BYTES));
	KUNIT_EXPECT_NULL(test, memchr_inv(b, 0x5b, ITEM_BYTES));
	kmh_fixalloc_put(f, a);
	kmh_fixalloc_put(f, b);
}

/*
 * As in an NMI that interrupts the holder of the lock: put must not wait, and the item comes
 * back later.
 */
static void put_under_lock_is_pending(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);
	unsigned int i;
	unsigned long flags;
	void *items[NR_ITEMS];

	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, NR_ITEMS, GFP_KERNEL), 0);
	KUNIT_ASSERT_EQ(test, get_all(f, items, NR_ITEMS), NR_ITEMS);

	raw_spin_lock_irqsave(&f->lock, flags);
	for (i = 0; i < NR_ITEMS - 1; i++) {
		memset(items[i], 0x11 * i, ITEM_BYTES);
		kmh_fixalloc_put(f, items[i]);
	}
	raw_spin_unlock_irqrestore(&f->lock, flags);

	if (IS_ENABLED(CONFIG_SMP)) {
		KUNIT_EXPECT_NOT_NULL(test, f->pending);
		KUNIT_EXPECT_EQ(test, f->ninuse, (unsigned long)NR_ITEMS);
	}
	/* The next holder of the lock drains the pending items: here the put of the last item. */
	kmh_fixalloc_put(f, items[NR_ITEMS - 1]);
	KUNIT_EXPECT_NULL(test, f->pending);
	KUNIT_EXPECT_EQ(test, f->ninuse, 0UL);
	for (i = 0; i < NR_ITEMS - 1; i++)
		KUNIT_EXPECT_NULL(test, memchr_inv(items[i], 0x11 * i, ITEM_BYTES));
	expect_counts(test, 0);
}

/* A free that wants an item does without it where another CPU has the lock. */
static void get_under_lock_may_not_wait(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);
	unsigned long flags;
	void *item;

	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, NR_ITEMS, GFP_KERNEL), 0);
	if (IS_ENABLED(CONFIG_SMP)) {
		raw_spin_lock_irqsave(&f->lock, flags);
		item = kmh_fixalloc_try_get(f);
		raw_spin_unlock_irqrestore(&f->lock, flags);
		KUNIT_EXPECT_NULL(test, item);
	}
	item = kmh_fixalloc_try_get(f);
	KUNIT_ASSERT_NOT_NULL(test, item);
	expect_counts(test, 1);
	kmh_fixalloc_put(f, item);
	expect_counts(test, 0);
}

/* With an empty free list, get and reserve find the items that are pending. */
static void pending_items_are_found(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);
	unsigned int n = f->per_chunk;
	void **items = kunit_kcalloc(test, n, sizeof(*items), GFP_KERNEL);
	unsigned long flags;

	KUNIT_ASSERT_NOT_NULL(test, items);
	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, n, GFP_KERNEL), 0);
	KUNIT_ASSERT_EQ(test, get_all(f, items, n), n);

	raw_spin_lock_irqsave(&f->lock, flags);
	kmh_fixalloc_put(f, items[n - 1]);
	raw_spin_unlock_irqrestore(&f->lock, flags);
	KUNIT_EXPECT_PTR_EQ(test, kmh_fixalloc_get(f), items[n - 1]);

	raw_spin_lock_irqsave(&f->lock, flags);
	kmh_fixalloc_put(f, items[n - 1]);
	raw_spin_unlock_irqrestore(&f->lock, flags);
	KUNIT_EXPECT_EQ(test, kmh_fixalloc_refill(f, 1, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, f->chunk_bytes, PAGE_SIZE << f->order);
	expect_counts(test, n - 1);

	while (--n)
		kmh_fixalloc_put(f, items[n - 1]);
	expect_counts(test, 0);
}

static void put_twice_is_refused(struct kunit *test)
{
	struct fix_ctx *fc = test->priv;
	struct kmh_fixalloc *f = &fc->f;
	unsigned long flags;
	void *a;

	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, 2, GFP_KERNEL), 0);
	a = kmh_fixalloc_get(f);
	KUNIT_ASSERT_NOT_NULL(test, a);
	kmh_fixalloc_put(f, a);
	kmh_fixalloc_put(f, a);				/* the item is free already */
	KUNIT_EXPECT_EQ(test, atomic_long_read(&f->nrefused), 1L);

	KUNIT_EXPECT_PTR_EQ(test, kmh_fixalloc_get(f), a);
	raw_spin_lock_irqsave(&f->lock, flags);
	kmh_fixalloc_put(f, a);
	kmh_fixalloc_put(f, a);				/* the item is pending already */
	raw_spin_unlock_irqrestore(&f->lock, flags);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&f->nrefused), 2L);

	/* The validator reports the two puts and nothing else. */
	fc->expect_findings = true;
	KUNIT_EXPECT_EQ(test, validate(test), 1U);
	KUNIT_EXPECT_STREQ(test, fc->first, "fixalloc test: 2 puts of items not in use");
	fc->expect_findings = false;
	atomic_long_set(&f->nrefused, 0);
	expect_counts(test, 0);
}

static void put_to_other_fixalloc_is_refused(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);
	struct kmh_fixalloc *other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);
	void *a;

	KUNIT_ASSERT_NOT_NULL(test, other);
	kmh_fixalloc_init(other, "other", ITEM_BYTES, ITEM_ALIGN);
	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, 1, GFP_KERNEL), 0);
	a = kmh_fixalloc_get(f);
	KUNIT_ASSERT_NOT_NULL(test, a);
	kmh_fixalloc_put(other, a);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&other->nrefused), 1L);
	expect_counts(test, 1);
	kmh_fixalloc_put(f, a);
	expect_counts(test, 0);
	kmh_fixalloc_destroy(other);
}

/* The validator reports each kind of damage as such, and never follows a damaged pointer. */
static void validate_finds_damage(struct kunit *test)
{
	struct fix_ctx *fc = test->priv;
	struct kmh_fixalloc *f = &fc->f;
	unsigned long *link;
	unsigned long saved;
	void *a;

	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, 1, GFP_KERNEL), 0);
	a = kmh_fixalloc_get(f);
	KUNIT_ASSERT_NOT_NULL(test, a);
	link = a + f->link_off;
	fc->expect_findings = true;

	f->nfree--;
	KUNIT_EXPECT_EQ(test, validate(test), 1U);
	f->nfree++;
	f->ninuse++;
	KUNIT_EXPECT_EQ(test, validate(test), 1U);
	f->ninuse--;
	f->chunk_bytes++;
	KUNIT_EXPECT_EQ(test, validate(test), 1U);
	f->chunk_bytes--;

	saved = *link;			/* an item in use was written past its end */
	*link = 0x4141414141414140UL;
	KUNIT_EXPECT_EQ(test, validate(test), 3U);
	*link = saved;

	kmh_fixalloc_put(f, a);
	saved = *link;			/* a write to a free item cuts the list short */
	*link = 0;
	KUNIT_EXPECT_EQ(test, validate(test), 2U);
	*link = saved;

	fc->expect_findings = false;
	expect_counts(test, 0);
}

/* Items of the allocator's second life may be the same pages, and are zeroed all the same. */
static void destroy_then_use_again(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);
	unsigned int i, n = f->per_chunk;
	void **items = kunit_kcalloc(test, n, sizeof(*items), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, items);
	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, n, GFP_KERNEL), 0);
	KUNIT_ASSERT_EQ(test, get_all(f, items, n), n);
	for (i = 0; i < n; i++) {
		memset(items[i], 0xff, ITEM_BYTES);
		kmh_fixalloc_put(f, items[i]);
	}
	kmh_fixalloc_destroy(f);
	KUNIT_EXPECT_EQ(test, f->chunk_bytes, 0UL);
	KUNIT_EXPECT_NULL(test, kmh_fixalloc_get(f));

	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, n, GFP_KERNEL), 0);
	KUNIT_ASSERT_EQ(test, get_all(f, items, n), n);
	for (i = 0; i < n; i++) {
		KUNIT_EXPECT_NULL(test, memchr_inv(items[i], 0, ITEM_BYTES));
		kmh_fixalloc_put(f, items[i]);
	}
	expect_counts(test, 0);
}

#define NR_THREADS	4
#define NR_ROUNDS	(KMH_KUNIT_SLOW ? 5000 : 20000)
#define NR_HELD		8

struct fix_thread {
	struct kmh_fixalloc *f;
	struct completion done;
	unsigned long nlost;		/* items whose contents another thread changed */
	unsigned long nempty;
	unsigned int id;
};

/*
 * Hold a few items, write the thread's number into each, and swap them for others again and
 * again.
 */
static int fix_thread(void *data)
{
	struct fix_thread *t = data;
	unsigned long *held[NR_HELD] = { };
	unsigned int i;

	for (i = 0; i < NR_ROUNDS; i++) {
		unsigned long **slot = &held[i * 7 % NR_HELD];

		if (*slot) {
			t->nlost += **slot != t->id;
			kmh_fixalloc_put(t->f, *slot);
		}
		*slot = kmh_fixalloc_get(t->f);
		if (*slot)
			WRITE_ONCE(**slot, t->id);
		else
			t->nempty++;
		cond_resched();
	}
	for (i = 0; i < NR_HELD; i++)
		if (held[i])
			kmh_fixalloc_put(t->f, held[i]);
	complete(&t->done);
	return 0;
}

static void get_put_concurrent(struct kunit *test)
{
	struct kmh_fixalloc *f = fixalloc(test);
	struct fix_thread *t = kunit_kcalloc(test, NR_THREADS, sizeof(*t), GFP_KERNEL);
	unsigned int i, nstarted = 0;

	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_ASSERT_EQ(test, kmh_fixalloc_refill(f, NR_THREADS * NR_HELD, GFP_KERNEL), 0);
	for (i = 0; i < NR_THREADS; i++) {
		t[i].f = f;
		t[i].id = i + 1;
		init_completion(&t[i].done);
		if (!IS_ERR(kthread_run(fix_thread, &t[i], "fixalloc/%u", i)))
			nstarted |= 1U << i;
	}
	for (i = 0; i < NR_THREADS; i++) {
		if (!(nstarted & 1U << i)) {
			KUNIT_FAIL(test, "thread %u did not start", i);
			continue;
		}
		/*
		 * The lock is a fair spinlock: a validator that took it again at once would
		 * keep the threads out.
		 */
		while (!wait_for_completion_timeout(&t[i].done, 1))
			KUNIT_EXPECT_EQ(test, validate(test), 0U);
		KUNIT_EXPECT_EQ(test, t[i].nlost, 0UL);
		KUNIT_EXPECT_EQ(test, t[i].nempty, 0UL);
	}
	expect_counts(test, 0);
}

static struct kunit_case fixalloc_cases[] = {
	KUNIT_CASE(init_geometry),
	KUNIT_CASE(get_empty_returns_null),
	KUNIT_CASE(reserve_makes_free),
	KUNIT_CASE(reserve_fails_with_backend),
	KUNIT_CASE(get_until_exhausted),
	KUNIT_CASE(get_first_use_zeroed),
	KUNIT_CASE(put_keeps_contents),
	KUNIT_CASE(put_under_lock_is_pending),
	KUNIT_CASE(get_under_lock_may_not_wait),
	KUNIT_CASE(pending_items_are_found),
	KUNIT_CASE(put_twice_is_refused),
	KUNIT_CASE(put_to_other_fixalloc_is_refused),
	KUNIT_CASE(validate_finds_damage),
	KUNIT_CASE(destroy_then_use_again),
	KUNIT_CASE(get_put_concurrent),
	{ }
};

static struct kunit_suite fixalloc_suite = {
	.name = "kmheap_fixalloc",
	.init = fix_init,
	.exit = fix_exit,
	.test_cases = fixalloc_cases,
};

kunit_test_suite(fixalloc_suite);
