// SPDX-License-Identifier: GPL-2.0
/* KUnit: spans: the bits of their slots, made by hand. */
#include <linux/bitops.h>
#include <linux/llist.h>
#include <linux/prandom.h>

#include "mspan_kunit.h"

/* The sweeper has preemption off. */
static unsigned int fold_word(struct kmh_mspan *s, unsigned int word)
{
	unsigned int n;

	preempt_disable();
	n = kmh_mspan_fold_word(s, word);
	preempt_enable();
	return n;
}

static unsigned int fold(struct kmh_mspan *s)
{
	unsigned int n;

	preempt_disable();
	n = kmh_mspan_fold(s);
	preempt_enable();
	return n;
}

static struct kmh_slots *next_word(struct kmh_mspan *s, unsigned int from)
{
	struct kmh_slots *w;

	preempt_disable();
	w = kmh_mspan_next_word(s, from);
	preempt_enable();
	return w;
}

static unsigned int findings(const struct kmh_mspan *s)
{
	unsigned int counted = 0, n = kmh_mspan_validate(s, kmh_kunit_count_finding, &counted);

	return n == counted ? n : UINT_MAX;
}

static void init_every_spanclass(struct kunit *test)
{
	unsigned int spanclass, slot;

	for (spanclass = 0; spanclass < KMH_NR_SPANCLASSES; spanclass++) {
		const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];
		bool large = spanclass == KMH_SPANCLASS_LARGE;
		bool tiny = spanclass == KMH_SPANCLASS_TINY;
		unsigned int nelems = large ? 1 : class->nelems, nfree = 0, ncells;
		struct kmh_mspan *s = span_new(test, spanclass);

		KUNIT_EXPECT_EQ(test, s->base, FAKE_BASE);
		KUNIT_EXPECT_EQ(test, s->npages, large ? 5 : class->npages);
		KUNIT_EXPECT_EQ(test, s->spanclass, spanclass);
		KUNIT_EXPECT_EQ(test, s->nelems, nelems);
		KUNIT_EXPECT_EQ(test, s->nwords, DIV_ROUND_UP(nelems, 64U));
		KUNIT_EXPECT_EQ(test, s->elemsize, large ? 0 : class->size);
		/*
		 * Cells and words lie in the same places, whatever small class the descriptor
		 * serves. A large span has no cells.
		 */
		ncells = large ? 0 : nelems <= 16 ? 16 : s->nwords * 64;
		KUNIT_EXPECT_EQ(test, kmh_mspan_bytes(s),
				sizeof(*s) + ncells + s->nwords * KMH_WORD_BYTES +
				(tiny ? KMH_PAGE_SIZE / 16 : 0));
		KUNIT_EXPECT_PTR_EQ(test, (u8 *)s->w, &s->cell[ncells]);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)s->cell, 64));
		KUNIT_EXPECT_NULL(test, memchr_inv(s->cell, KMH_CELL_OUT, ncells));
		KUNIT_EXPECT_EQ(test, s->pool == 0, large);
		KUNIT_EXPECT_EQ(test, s->nfast, large || tiny || want_init_on_free() ? 0 : nelems);
		KUNIT_EXPECT_EQ(test, (int)s->state, large ? KMH_SPAN_LARGE :
					       tiny ? KMH_SPAN_TINY : KMH_SPAN_SMALL);
		KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_CACHED);
		KUNIT_EXPECT_NULL(test, s->owner);
		for (slot = 0; slot < s->nwords * 64U; slot++) {
			nfree += !!(s->w[slot / 64].free & BIT(slot % 64));
			if (!large && slot % 64 == 0)
				KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[slot / 64].remote),
						0L);
		}
		KUNIT_EXPECT_FALSE(test, large && kmh_large_claimed(s));
		KUNIT_EXPECT_EQ(test, nfree, large ? 0 : nelems);
		if (!large)
			KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 0U);
		KUNIT_EXPECT_EQ_MSG(test, findings(s), 0U, "span class %u", spanclass);
		kmh_mspan_put(s);
	}
}

/* A large span without a large object, and other fields that contradict each other. */
static void validate_finds_misfits(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_4);

	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	s->state = KMH_SPAN_LARGE;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->state = KMH_SPAN_MANUAL;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->state = KMH_SPAN_TINY;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->state = KMH_SPAN_SMALL;
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	kmh_mspan_put(s);

	s = span_new(test, KMH_SPANCLASS_LARGE);
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	s->large_bytes = 0;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->large_bytes = 40961;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->large_bytes = SIZE_MAX;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->large_bytes = 40960;
	s->elemsize = 32768;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->elemsize = 0;
	s->state = KMH_SPAN_SMALL;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->state = KMH_SPAN_LARGE;
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	kmh_mspan_put(s);
}

/* A free computes the slot from an address: every byte of a span, and some on either side. */
static void init_divides_exactly(struct kunit *test)
{
	unsigned int spanclass;

	for (spanclass = KMH_SPANCLASS_TINY; spanclass < KMH_NR_SPANCLASSES; spanclass += 2) {
		struct kmh_mspan *s = span_new(test, spanclass);
		long bytes = (long)s->npages << KMH_PAGE_SHIFT, off;
		unsigned long nwrong = 0, slot;

		s->nfast = s->nelems;		/* 0 for packed spans */
		for (off = -2 * bytes; off < 3 * bytes; off++) {
			bool is = off >= 0 && !(off % s->elemsize) &&
				  off / s->elemsize < s->nelems;

			nwrong += kmh_mspan_slot_at(s, s->base + off, &slot) != is;
			nwrong += is && slot != off / s->elemsize;
		}
		/* Addresses that are powers of two away, as far as the arithmetic is exact. */
		for (off = 1UL << 17; off < 1UL << 35; off <<= 1) {
			nwrong += kmh_mspan_slot_at(s, s->base + off, &slot);
			nwrong += kmh_mspan_slot_at(s, s->base - off, &slot);
		}
		KUNIT_EXPECT_EQ_MSG(test, nwrong, 0UL, "span class %u", spanclass);
		s->nfast = 0;
		KUNIT_EXPECT_FALSE(test, kmh_mspan_slot_at(s, s->base, &slot));
		kmh_mspan_put(s);
	}
}

static void init_clears_what_the_last_user_left(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_16), *again;
	unsigned int i;

	for (i = 0; i < s->nwords; i++) {
		set_word(s, i, ~0UL, 0x5555);
		atomic_long_set(kmh_mspan_deferred(s, i, i % 2), 0xff);
		atomic_long_set(kmh_mspan_mark(s, i), 0xff);
	}
	for (i = 0; i < s->nelems; i++)
		s->cell[i] = i;
	s->owner = (void *)1;
	atomic_set(&s->home, KMH_HOME_FULL);
	kmh_mspan_put(s);

	again = span_new(test, SPANCLASS_TAIL + 1);
	kmh_mspan_put(again);
	again = span_new(test, SPANCLASS_16);
	KUNIT_EXPECT_PTR_EQ(test, again, s);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 0U);
	KUNIT_EXPECT_NULL(test, memchr_inv(s->cell, KMH_CELL_OUT, s->nelems));
	for (i = 0; i < s->nwords; i++) {
		KUNIT_EXPECT_EQ(test, s->w[i].free, ~0UL);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[i].remote), 0L);
		KUNIT_EXPECT_EQ(test, kmh_mspan_waiting(s, i), 0UL);
		KUNIT_EXPECT_EQ(test, atomic_long_read(kmh_mspan_mark(s, i)), 0L);
	}
	KUNIT_EXPECT_NULL(test, s->owner);
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	kmh_mspan_put(s);
}

/* What a racing lookup finds in a descriptor that was put must lead to no mcentral. */
static void put_leaves_nothing_to_announce(struct kunit *test)
{
	struct kmh_mspan *s = span_to_free(test, SPANCLASS_1), *again;
	struct kmh_mcentral *c = kmh_mcentral_of(kmh_kunit_heap(test)->nodes[numa_mem_id()],
						 SPANCLASS_1);

	take_all(s);
	s->owner = (void *)1;
	atomic_set(&s->home, KMH_HOME_FULL);
	kmh_mspan_put(s);

	KUNIT_EXPECT_EQ(test, s->nfast, 0U);
	KUNIT_EXPECT_EQ(test, (int)s->state, (int)KMH_SPAN_FREED);
	KUNIT_EXPECT_NULL(test, s->owner);
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_CACHED);
	preempt_disable();
	KUNIT_EXPECT_EQ(test, (int)kmh_kunit_free_remote(s, 0), (int)KMH_FREE_OK);
	preempt_enable();
	KUNIT_EXPECT_FALSE(test, kmh_inbox_any_announced(c));
	/* Nor does the free have a trace in the next life. */
	again = span_new(test, SPANCLASS_1);
	KUNIT_EXPECT_PTR_EQ(test, again, s);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&again->w[0].remote), 0L);
	kmh_mspan_put(again);
}

static void get_exhausted_returns_null(struct kunit *test)
{
	const unsigned int classes[] = { SPANCLASS_1, SPANCLASS_4, KMH_SPANCLASS_TINY };
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		u64 idle = kmh_fixallocs_unused_bytes(), left;
		struct kmh_mspan *s, *next;
		LLIST_HEAD(all);

		for (j = 0; j < 100000 && (s = kmh_mspan_get(classes[i])); j++)
			__llist_add(&s->node, &all);
		KUNIT_EXPECT_NULL(test, s);
		KUNIT_EXPECT_GT(test, j, 3U);
		KUNIT_EXPECT_TRUE(test, kmh_mspan_pools_short(classes[i]));
		/*
		 * A refusal leaves the pools as they are, even where one of two descriptors
		 * could be had.
		 */
		left = kmh_fixallocs_unused_bytes();
		KUNIT_EXPECT_NULL(test, kmh_mspan_get(classes[i]));
		KUNIT_EXPECT_EQ(test, kmh_fixallocs_unused_bytes(), left);
		KUNIT_EXPECT_EQ(test, kmh_mspan_pools_refill(64, GFP_KERNEL), 0);
		KUNIT_EXPECT_FALSE(test, kmh_mspan_pools_short(classes[i]));
		llist_for_each_entry_safe(s, next, all.first, node)
			kmh_mspan_put(s);
		KUNIT_EXPECT_GE(test, kmh_fixallocs_unused_bytes(), idle);
	}
}

/* ---- one free of one slot */

/* The cell decides, whatever the bits are. The bits of a slot that is not live stay as they are. */
static void free_remote_by_state(struct kunit *test)
{
	static const struct {
		u8 cell;
		bool free, remote;
		enum kmh_free_result res;
		u8 cell_after;
		bool remote_after;
	} rows[] = {
		{ KMH_CELL_LIVE, 0, 0, KMH_FREE_OK, KMH_CELL_OUT, 1 },
		{ KMH_CELL_OUT, 1, 0, KMH_FREE_DOUBLE, KMH_CELL_OUT, 0 },
		{ KMH_CELL_OUT, 0, 1, KMH_FREE_DOUBLE, KMH_CELL_OUT, 1 },
		{ KMH_CELL_OUT, 1, 1, KMH_FREE_DOUBLE, KMH_CELL_OUT, 1 },
		{ KMH_CELL_OUT, 0, 0, KMH_FREE_DOUBLE, KMH_CELL_OUT, 0 },	/* set aside */
		{ KMH_CELL_WAITS, 0, 0, KMH_FREE_DOUBLE, KMH_CELL_WAITS, 0 },
		{ KMH_CELL_SPECIAL, 0, 0, KMH_FREE_DOUBLE, KMH_CELL_SPECIAL, 0 },
		{ KMH_CELL_TAG, 0, 0, KMH_FREE_DOUBLE, KMH_CELL_TAG, 0 },
		{ 0xff, 0, 0, KMH_FREE_DOUBLE, 0xff, 0 },
		/* The bit is of another free, which has lost its race: the fold reports that. */
		{ KMH_CELL_LIVE, 1, 0, KMH_FREE_OK, KMH_CELL_OUT, 1 },
		/* This one has lost against another, whose bit there is. */
		{ KMH_CELL_LIVE, 0, 1, KMH_FREE_DOUBLE, KMH_CELL_OUT, 1 },
	};
	static const unsigned int slots[] = { 0, 1, 63, 64, 127, 340 };
	struct kmh_mspan *s = span_to_free(test, SPANCLASS_TAIL);
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (j = 0; j < ARRAY_SIZE(slots); j++) {
			unsigned int word = slots[j] / 64;
			unsigned long bit = BIT(slots[j] % 64);

			take_all(s);
			s->cell[slots[j]] = rows[i].cell;
			set_word(s, word, rows[i].free ? bit : 0, rows[i].remote ? bit : 0);
			preempt_disable();
			KUNIT_EXPECT_EQ_MSG(test, (int)kmh_kunit_free_remote(s, slots[j]),
					    (int)rows[i].res, "row %u slot %u", i, slots[j]);
			preempt_enable();
			KUNIT_EXPECT_EQ(test, s->w[word].free, rows[i].free ? bit : 0);
			KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[word].remote),
					rows[i].remote_after ? bit : 0);
			KUNIT_EXPECT_EQ(test, (int)s->cell[slots[j]], (int)rows[i].cell_after);
			s->cell[slots[j]] = KMH_CELL_LIVE;
			KUNIT_EXPECT_NULL(test, memchr_inv(s->cell, KMH_CELL_LIVE, s->nelems));
		}
	}
	/* Reports are the caller's; this case makes none. */
	kmh_kunit_no_reports(test);
	kmh_mspan_put(s);
}

/* ---- the fold */

static void fold_word_by_state(struct kunit *test)
{
	static const struct {
		unsigned long free, remote;
		unsigned int freed;
		unsigned int ndoubles;
	} rows[] = {
		{ 0, 0, 0, 0 },
		{ ~0UL, 0, 0, 0 },
		{ 0, 1, 1, 0 },
		{ 0, ~0UL, 64, 0 },
		{ 0x00ff, 0xff00, 8, 0 },
		{ BIT(63), BIT(0), 1, 0 },
		{ BIT(7), BIT(7), 0, 1 },		/* a raced double: freed once */
		{ BIT(7), BIT(7) | BIT(8), 1, 1 },
		{ 0x0ff0, 0x00ff, 4, 4 },
		{ ~0UL, ~0UL, 0, 64 },
	};
	struct kmh_mspan *s = span_new(test, SPANCLASS_4);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct kmh_report r;
		unsigned long both = rows[i].free & rows[i].remote;

		take_all(s);
		set_word(s, 2, rows[i].free, rows[i].remote);
		set_cells(s, 2, rows[i].free | rows[i].remote, KMH_CELL_OUT);
		KUNIT_EXPECT_EQ_MSG(test, fold_word(s, 2), rows[i].freed, "row %u", i);
		KUNIT_EXPECT_EQ(test, s->w[2].free, rows[i].free | rows[i].remote);
		KUNIT_EXPECT_EQ(test, kmh_cells_of(s, 2, KMH_CELL_OUT), s->w[2].free);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[2].remote), 0L);
		r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, rows[i].ndoubles);
		if (both) {
			KUNIT_EXPECT_EQ(test, r.addr, FAKE_BASE + (128 + __fls(both)) * 32);
			KUNIT_EXPECT_EQ(test, r.object, r.addr);
			KUNIT_EXPECT_EQ(test, r.bytes, (size_t)32);
			KUNIT_EXPECT_EQ(test, (int)r.state, (int)KMH_SPAN_SMALL);
		}
		/* Nothing is left to fold or to report. */
		KUNIT_EXPECT_EQ(test, fold_word(s, 2), 0U);
		kmh_kunit_no_reports(test);
		KUNIT_EXPECT_EQ(test, findings(s), 0U);
	}
	kmh_mspan_put(s);
}

/*
 * A slot that waits has neither bit, so the fold has nothing to do with it, whatever set it waits
 * in. Deferred bits decide nothing here.
 */
static void fold_word_by_deferred_bits(struct kunit *test)
{
	static const struct {
		unsigned long remote, deferred[2];
	} rows[] = {
		{ 0xff, { 0, 0 } },
		{ 0xf0, { 0x0f, 0 } },
		{ 0xf0, { 0, 0x0f } },
		{ 0xf0, { 0x03, 0x0c } },
		{ 0xf0, { 0x07, 0x0e } },
		{ 0, { 0xff, 0 } },
		{ 0, { 0, ~0UL } },
		{ BIT(63), { BIT(0), BIT(62) } },
		{ ~1UL, { 1, 1 } },
	};
	struct kmh_mspan *s = span_new(test, SPANCLASS_4);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned long waits = rows[i].deferred[0] | rows[i].deferred[1];

		take_all(s);
		set_word(s, 2, 0, rows[i].remote);
		set_cells(s, 2, rows[i].remote, KMH_CELL_OUT);
		set_cells(s, 2, waits, KMH_CELL_WAITS);
		atomic_long_set(kmh_mspan_deferred(s, 2, 0), rows[i].deferred[0]);
		atomic_long_set(kmh_mspan_deferred(s, 2, 1), rows[i].deferred[1]);
		KUNIT_EXPECT_EQ_MSG(test, fold_word(s, 2), hweight_long(rows[i].remote),
				    "row %u", i);
		KUNIT_EXPECT_EQ(test, s->w[2].free, rows[i].remote);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[2].remote), 0L);
		KUNIT_EXPECT_EQ(test, kmh_mspan_waiting(s, 2), waits);
		KUNIT_EXPECT_EQ(test, kmh_cells_of(s, 2, KMH_CELL_WAITS), waits);
		KUNIT_EXPECT_EQ(test, kmh_cells_of(s, 2, KMH_CELL_OUT), rows[i].remote);
		KUNIT_EXPECT_EQ(test, fold_word(s, 2), 0U);
	}
	kmh_kunit_no_reports(test);
	kmh_mspan_put(s);
}

static void fold_sums_words(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_16);
	unsigned int i, want = 0;

	take_all(s);
	for (i = 0; i < s->nwords; i++) {
		set_word(s, i, BIT(0), GENMASK(i, 0));
		want += i;
	}
	KUNIT_EXPECT_EQ(test, fold(s), want);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, s->nwords);
	for (i = 0; i < s->nwords; i++)
		KUNIT_EXPECT_EQ(test, s->w[i].free, GENMASK(i, 0));
	kmh_mspan_put(s);
}

/* A slot with both bits set is not available; the fold makes it free, once. */
static void avail_excludes_slots_with_both_bits(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_1);
	struct kmh_slots *w = &s->w[0];

	set_word(s, 0, BIT(1) | BIT(3), BIT(3) | BIT(5));
	KUNIT_EXPECT_EQ(test, kmh_slots_avail(w), BIT(1));
	KUNIT_EXPECT_TRUE(test, kmh_mspan_has_avail(s));
	take_all(s);
	set_word(s, 0, BIT(3), BIT(3));
	set_cells(s, 0, BIT(3), KMH_CELL_OUT);
	KUNIT_EXPECT_EQ(test, kmh_slots_avail(w), 0UL);
	KUNIT_EXPECT_FALSE(test, kmh_mspan_has_avail(s));
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 7U);
	fold(s);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, kmh_slots_avail(w), BIT(3));
	KUNIT_EXPECT_TRUE(test, kmh_mspan_has_avail(s));
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 7U);
	kmh_mspan_put(s);
}

/* ---- looking for the next word */

/*
 * Every set of words with something to give, as free bits or as remote ones, from every
 * start: the first such word round the ring is found; words that were passed are folded, the
 * others are not.
 */
static void next_word_every_pattern(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_4);
	unsigned int free, remote, from, i;

	for (i = 0; i < 16 * 16 * 4; i++) {
		struct kmh_slots *want = NULL;
		unsigned int step, word, passed = 0;

		free = i % 16;
		remote = i / 16 % 16;
		from = i / 256;
		for (word = 0; word < 4; word++)
			set_word(s, word, free & BIT(word) ? BIT(10) : 0,
				 remote & BIT(word) ? BIT(20) : 0);
		for (step = 0; step < 4 && !want; step++) {
			word = (from + step) % 4;
			passed |= BIT(word);
			if ((free | remote) & BIT(word))
				want = &s->w[word];
		}
		KUNIT_EXPECT_PTR_EQ_MSG(test, next_word(s, from), want,
					"free %x remote %x from %u", free, remote, from);
		for (word = 0; word < 4; word++) {
			unsigned long left = remote & ~passed & BIT(word) ? BIT(20) : 0;
			unsigned long has = (free & BIT(word) ? BIT(10) : 0) |
					    (remote & passed & BIT(word) ? BIT(20) : 0);

			KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[word].remote),
					left);
			KUNIT_EXPECT_EQ(test, s->w[word].free, has);
		}
	}
	kmh_kunit_no_reports(test);
	kmh_mspan_put(s);
}

static void next_word_full_returns_null(struct kunit *test)
{
	const unsigned int classes[] = { SPANCLASS_1, SPANCLASS_4, SPANCLASS_TAIL,
					 SPANCLASS_16, KMH_SPANCLASS_TINY };
	unsigned int i, from;

	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		struct kmh_mspan *s = span_new(test, classes[i]);

		KUNIT_EXPECT_PTR_EQ(test, next_word(s, 0), &s->w[0]);
		take_all(s);
		for (from = 0; from < s->nwords; from++)
			KUNIT_EXPECT_NULL(test, next_word(s, from));
		kmh_mspan_put(s);
	}
}

/* ---- counting */

/* A span is empty by its bits; a fold makes it so, and one slot that anybody has is in the way. */
static void empty_by_bits(struct kunit *test)
{
	const unsigned int classes[] = { SPANCLASS_1, SPANCLASS_TAIL, SPANCLASS_16 };
	unsigned int i, slot;

	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		struct kmh_mspan *s = span_new(test, classes[i]);

		KUNIT_EXPECT_TRUE(test, kmh_mspan_empty(s));
		KUNIT_EXPECT_TRUE(test, kmh_mspan_would_empty(s));
		for (slot = 0; slot < s->nelems; slot += s->nelems - 1) {
			struct kmh_slots *w = &s->w[slot / 64];
			unsigned long bit = BIT(slot % 64);

			w->free &= ~bit;
			KUNIT_EXPECT_FALSE(test, kmh_mspan_empty(s));
			KUNIT_EXPECT_FALSE(test, kmh_mspan_would_empty(s));
			atomic_long_or(bit, &w->remote);
			KUNIT_EXPECT_FALSE(test, kmh_mspan_empty(s));
			KUNIT_EXPECT_TRUE(test, kmh_mspan_would_empty(s));
			KUNIT_EXPECT_EQ(test, fold(s), 1U);
			KUNIT_EXPECT_TRUE(test, kmh_mspan_empty(s));
		}
		kmh_mspan_put(s);
	}
}

/* ---- the validator */

static void validate_finds_damage(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_TAIL);

	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	s->w[5].free |= BIT(21);		/* slot 341 of 0..340 */
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->w[5].free &= ~BIT(21);
	atomic_long_set(&s->w[5].remote, BIT(63));
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	atomic_long_set(&s->w[5].remote, BIT(20));
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	atomic_long_set(&s->w[5].remote, 0);

	s->nwords = 5;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->nwords = 6;
	s->nelems = 6 * 64 + 1;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->nelems = 341;
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	kmh_mspan_put(s);
}

/* ---- many at once */

#define NR_FREERS	4U

struct race {
	struct kmh_mspan *s;
	unsigned int ok[NR_FREERS];
	unsigned int folded;
	bool fold;
};

/* Free every slot, each thread in an order of its own; thread 0 folds between. */
static void race_thread(void *arg, unsigned int i)
{
	struct race *r = arg;
	struct kmh_mspan *s = r->s;
	unsigned int n;

	for (n = 0; n < s->nelems; n++) {
		unsigned int slot = (n * (2 * i + 1) + i * 17) % s->nelems;

		preempt_disable();
		r->ok[i] += kmh_kunit_free_remote(s, slot) == KMH_FREE_OK;
		preempt_enable();
		if (!i && r->fold)
			r->folded += fold_word(s, slot / 64);
	}
}

/*
 * However many threads free a slot, one of them has freed it, and it becomes free once; the others
 * are refused, whether the slot was folded meanwhile or not.
 */
static void free_remote_races_are_counted_once(struct kunit *test)
{
	struct kmh_mspan *s = span_to_free(test, SPANCLASS_16);
	unsigned int round, i;

	for (round = 0; round < 20; round++) {
		struct race *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
		unsigned int ok = 0;

		KUNIT_ASSERT_NOT_NULL(test, r);
		take_all(s);
		r->s = s;
		r->fold = round % 2;
		kmh_kunit_threads(test, NR_FREERS, race_thread, r);
		r->folded += fold(s);
		for (i = 0; i < NR_FREERS; i++)
			ok += r->ok[i];
		KUNIT_EXPECT_EQ(test, ok, (unsigned int)s->nelems);
		KUNIT_EXPECT_EQ(test, r->folded, (unsigned int)s->nelems);
		KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 0U);
		KUNIT_EXPECT_TRUE(test, kmh_mspan_empty(s));
		KUNIT_EXPECT_NULL(test, memchr_inv(s->cell, KMH_CELL_OUT, s->nelems));
		kmh_kunit_no_reports(test);
		KUNIT_EXPECT_EQ(test, findings(s), 0U);
	}
	kmh_mspan_put(s);
}

static struct kunit_case mspan_cases[] = {
	KUNIT_CASE(init_every_spanclass),
	KUNIT_CASE(validate_finds_misfits),
	KUNIT_CASE(init_divides_exactly),
	KUNIT_CASE(init_clears_what_the_last_user_left),
	KUNIT_CASE(put_leaves_nothing_to_announce),
	KUNIT_CASE(get_exhausted_returns_null),
	KUNIT_CASE(free_remote_by_state),
	KUNIT_CASE(fold_word_by_state),
	KUNIT_CASE(fold_word_by_deferred_bits),
	KUNIT_CASE(fold_sums_words),
	KUNIT_CASE(avail_excludes_slots_with_both_bits),
	KUNIT_CASE(next_word_every_pattern),
	KUNIT_CASE(next_word_full_returns_null),
	KUNIT_CASE(empty_by_bits),
	KUNIT_CASE(validate_finds_damage),
	KUNIT_CASE(free_remote_races_are_counted_once),
	{ }
};

static struct kunit_suite mspan_suite = {
	.name = "kmheap_mspan",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = mspan_cases,
};

kunit_test_suite(mspan_suite);
