// SPDX-License-Identifier: GPL-2.0
/* KUnit: cells: who has a slot. Looking at them, changing many at once, what they say of a span. */
#include <linux/prandom.h>

#include "mspan_kunit.h"
#include "sweep_kunit.h"

/* ---- looking at cells, and changing many at once */

/* Cells of all values, in a span whose last word is not full. */
static void cells_of_by_value(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_TAIL);
	unsigned int round, slot, word, value;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, 1);
	for (round = 0; round < 4; round++) {
		/* Those behind the last slot have a value that there is, and do not count. */
		for (slot = 0; slot < s->nwords * 64; slot++)
			s->cell[slot] = prandom_u32_state(&rnd) % (round & 1 ? 256 : 6);
		for (value = 0; value < 256; value++) {
			for (word = 0; word < s->nwords; word++) {
				unsigned long want = 0;

				for (slot = word * 64; slot < min(word * 64 + 64, 341U); slot++)
					if (s->cell[slot] == value)
						want |= BIT(slot % 64);
				KUNIT_EXPECT_EQ(test, kmh_cells_of(s, word, value), want);
			}
		}
	}
	kmh_mspan_put(s);
}

/*
 * Move the cells of @mask in a word of which those of @others have another value than @from.
 * Return: false if anything but these cells has changed, or the answer is wrong.
 */
static bool move_is_right(struct kmh_mspan *s, u8 *want, unsigned int word, unsigned long mask,
			  unsigned long others, u8 from, u8 to)
{
	unsigned long left, moved;
	unsigned int i, ncells = s->nwords * 64;

	memset(s->cell, from, ncells);
	/* Also the value that they are to get, and one that differs from @from in a single bit. */
	for (left = others; left; left &= left - 1) {
		i = __ffs(left);
		s->cell[word * 64 + i] = i % 3 ? from ^ BIT(i % 8) : to;
	}
	memcpy(want, s->cell, ncells);
	for (left = mask & ~others; left; left &= left - 1)
		want[word * 64 + __ffs(left)] = to;
	moved = kmh_cells_move(s, word, mask, from, to);
	return moved == (mask & ~others) && !memcmp(want, s->cell, ncells);
}

/*
 * Every mask of ten slots side by side, of which eight may be changed at once, against every set of
 * them that have another value.
 */
static void cells_move_every_mask(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_4);
	unsigned long mask, others, nwrong = 0;
	unsigned int step = KMH_KUNIT_SLOW ? 7 : 1;
	u8 *want = kunit_kzalloc(test, s->nwords * 64, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, want);
	for (mask = 0; mask < 1024; mask++) {
		for (others = 0; others < 1024; others += step)
			nwrong += !move_is_right(s, want, 1, mask << 7, others << 7, KMH_CELL_TAG,
						 KMH_CELL_OUT);
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, nwrong, 0UL);
	kmh_mspan_put(s);
}

/* Masks of a whole word: each group of eight whole, with a gap, or with a cell that differs. */
static void cells_move_whole_words(struct kunit *test)
{
	static const u8 values[][2] = {
		{ KMH_CELL_LIVE, KMH_CELL_OUT }, { KMH_CELL_WAITS, KMH_CELL_OUT },
		{ KMH_CELL_TAG, KMH_CELL_OUT }, { 0xff, KMH_CELL_OUT }, { 0x80, 0x7f },
	};
	struct kmh_mspan *s = span_new(test, SPANCLASS_TAIL);
	u8 *want = kunit_kzalloc(test, s->nwords * 64, GFP_KERNEL);
	unsigned long nwrong = 0, mask, others;
	struct rnd_state rnd;
	unsigned int n, i, word;

	KUNIT_ASSERT_NOT_NULL(test, want);
	prandom_seed_state(&rnd, 2);
	for (n = 0; n < (KMH_KUNIT_SLOW ? 3000 : 30000); n++) {
		mask = ~0UL;
		others = 0;
		for (i = 0; i < 8; i++) {
			u32 r = prandom_u32_state(&rnd);

			if (r % 4 == 0)
				mask &= ~((r >> 8 & 0xffUL) << 8 * i);
			else if (r % 4 == 1)
				others |= BIT(8 * i + r / 4 % 8);
		}
		word = n % s->nwords;
		mask &= kmh_mspan_word_mask(s, word);
		nwrong += !move_is_right(s, want, word, mask, others, values[n % 5][0],
					 values[n % 5][1]);
	}
	KUNIT_EXPECT_EQ(test, nwrong, 0UL);
	KUNIT_EXPECT_EQ(test, kmh_cells_move(s, 0, 0, KMH_CELL_LIVE, KMH_CELL_OUT), 0UL);
	kmh_mspan_put(s);
}

#define NR_MOVERS	2U	/* on two CPUs, where they wait for each other */
#define MOVES		(KMH_KUNIT_SLOW ? 50U : 300U)

struct movers {
	struct kmh_mspan *s;
	atomic_t narrived;
	unsigned int moved[NR_MOVERS];
	unsigned int nwrong;
};

/* Wait for the other threads; the @n-th time. */
static void meet(struct movers *m, unsigned int n)
{
	atomic_inc(&m->narrived);
	while (atomic_read(&m->narrived) < (int)(NR_MOVERS * n))
		cond_resched();
}

/* Take all cells: words, with holes first, or slot by slot; the two threads from different ends. */
static unsigned int move_all(struct kmh_mspan *s, unsigned int i, unsigned int round)
{
	bool by_slot = round % 3 == i;
	unsigned int n, moved = 0;

	for (n = 0; !by_slot && n < s->nwords; n++) {
		unsigned int word = i ? n : s->nwords - 1 - n;
		unsigned long holes = 0x0102040810204080UL << round % 8;

		moved += hweight_long(kmh_cells_move(s, word, ~holes, KMH_CELL_LIVE,
						     KMH_CELL_TAG + i));
		moved += hweight_long(kmh_cells_move(s, word, ~0UL, KMH_CELL_LIVE,
						     KMH_CELL_TAG + i));
	}
	for (n = 0; by_slot && n < s->nelems; n++)
		moved += kmh_slot_claim(s, i ? n : s->nelems - 1 - n, KMH_CELL_TAG + i);
	return moved;
}

/* Each cell names a thread, and names as often as that thread says that it has won. */
static void check_moved(struct movers *m)
{
	struct kmh_mspan *s = m->s;
	unsigned int i, word, total = 0;

	for (i = 0; i < NR_MOVERS; i++) {
		unsigned int n = 0;

		for (word = 0; word < s->nwords; word++)
			n += hweight_long(kmh_cells_of(s, word, KMH_CELL_TAG + i));
		m->nwrong += n != m->moved[i];
		total += n;
	}
	m->nwrong += total != s->nelems;
}

static void mover_thread(void *arg, unsigned int i)
{
	struct movers *m = arg;
	unsigned int round;

	for (round = 0; round < MOVES; round++) {
		if (!i)
			take_all(m->s);
		meet(m, 3 * round + 1);
		m->moved[i] = move_all(m->s, i, round);
		meet(m, 3 * round + 2);
		if (!i)
			check_moved(m);
		meet(m, 3 * round + 3);
	}
}

/* However many change a cell at once, by itself or with its neighbours, one of them has done it. */
static void cells_move_has_one_winner(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_16);
	struct movers m = { .s = s };

	kmh_kunit_threads(test, NR_MOVERS, mover_thread, &m);
	KUNIT_EXPECT_EQ(test, m.nwrong, 0U);
	kmh_mspan_put(s);
}

/* ---- what cells say of a span */

/* Each slot counts as one thing, by its cell; where it is OUT its remote bit tells the rest. */
static void count_by_cells(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_TAIL);
	struct kmh_span_count n;
	unsigned int i;

	take_all(s);
	set_word(s, 1, 0xf, 0xf0);
	set_cells(s, 1, 0xfff, KMH_CELL_OUT);		/* four of them are set aside */
	atomic_long_set(kmh_mspan_deferred(s, 1, 0), 0x3000);
	atomic_long_set(kmh_mspan_deferred(s, 1, 1), 0x6000);
	set_cells(s, 1, 0x7000, KMH_CELL_WAITS);
	set_cells(s, 1, BIT(16) | BIT(17), KMH_CELL_SPECIAL);
	set_cells(s, 1, BIT(18), KMH_CELL_TAG);
	set_cells(s, 1, BIT(19) | BIT(63), 0xff);
	s->cell[340] = KMH_CELL_TAG + 1;
	kmh_mspan_count(s, &n);
	KUNIT_EXPECT_EQ(test, n.free, 8U + 6);
	KUNIT_EXPECT_EQ(test, n.held, 6U);
	KUNIT_EXPECT_EQ(test, n.deferred, 3U);
	KUNIT_EXPECT_EQ(test, n.remote, 4U);
	KUNIT_EXPECT_EQ(test, n.live, 341U - 12 - 3 - 6);
	for (i = 0; i < 341; i++)
		KUNIT_EXPECT_EQ(test, kmh_mspan_slot_waits(s, i),
				i >= 64 && i < 128 && 0x7000UL >> (i - 64) & 1);
	/* A slot that was freed twice, with both bits, is one slot. */
	atomic_long_or(1, &s->w[1].remote);
	kmh_mspan_count(s, &n);
	KUNIT_EXPECT_EQ(test, n.free, 8U + 6);
	KUNIT_EXPECT_EQ(test, n.remote, 4U);
	/* Bits behind the last slot count for nothing. */
	atomic_long_or(BIT(21), &s->w[5].remote);
	s->cell[341] = KMH_CELL_LIVE;
	kmh_mspan_count(s, &n);
	KUNIT_EXPECT_EQ(test, n.remote, 4U);
	KUNIT_EXPECT_EQ(test, n.live, 341U - 12 - 3 - 6);
	kmh_mspan_put(s);
}

static void count_against_model(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_TAIL);
	struct rnd_state rnd;
	unsigned int round;

	prandom_seed_state(&rnd, 1);
	for (round = 0; round < 200; round++) {
		unsigned int slot, nremote = ~0U;
		struct kmh_span_count want = {}, n;

		take_all(s);
		for (slot = 0; slot < s->nelems; slot++) {
			unsigned long bit = BIT(slot % 64);
			struct kmh_slots *w = &s->w[slot / 64];

			switch (prandom_u32_state(&rnd) % (round % 7 + 1)) {
			case 0:
				want.live++;
				break;
			case 1:
				s->cell[slot] = KMH_CELL_OUT;
				w->free |= bit;
				want.free++;
				break;
			case 2:
				s->cell[slot] = KMH_CELL_OUT;
				atomic_long_or(bit, &w->remote);
				want.remote++;
				break;
			case 3:
				s->cell[slot] = KMH_CELL_TAG + slot % KMH_CELL_TAGS;
				want.free++;
				want.held++;
				break;
			case 4:
				s->cell[slot] = KMH_CELL_WAITS;
				want.deferred++;
				break;
			case 5:
				s->cell[slot] = KMH_CELL_SPECIAL;
				want.free++;
				want.held++;
				break;
			case 6:		/* set aside */
				s->cell[slot] = KMH_CELL_OUT;
				want.free++;
				break;
			}
		}
		kmh_mspan_count(s, &n);
		KUNIT_EXPECT_EQ(test, n.live, want.live);
		KUNIT_EXPECT_EQ(test, n.free, want.free);
		KUNIT_EXPECT_EQ(test, n.remote, want.remote);
		KUNIT_EXPECT_EQ(test, n.deferred, want.deferred);
		KUNIT_EXPECT_EQ(test, n.held, want.held);
		KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, &nremote), want.live);
		KUNIT_EXPECT_EQ(test, nremote, want.remote);
		KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), want.live);
	}
	kmh_mspan_put(s);
}

/* A span whose bits say that it is empty may go if the cells say so, too. */
static void may_go_by_cells(struct kunit *test)
{
	static const u8 values[] = {
		KMH_CELL_LIVE, KMH_CELL_WAITS, KMH_CELL_SPECIAL, KMH_CELL_TAG, 0xff
	};
	static const unsigned int slots[] = { 0, 63, 64, 200, 340 };
	unsigned int i, j, k;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		for (j = 0; j < ARRAY_SIZE(slots); j++) {
			struct kmh_mspan *s = span_new(test, SPANCLASS_TAIL);
			struct kmh_report r;
			bool before, after;

			s->cell[341] = values[i];	/* behind the last slot */
			preempt_disable();
			before = kmh_mspan_may_go(s);
			preempt_enable();
			KUNIT_EXPECT_TRUE(test, before);
			kmh_kunit_no_reports(test);

			s->cell[slots[j]] = values[i];
			preempt_disable();
			after = kmh_mspan_may_go(s);
			preempt_enable();
			KUNIT_EXPECT_FALSE_MSG(test, after, "cell %u of slot %u", values[i],
					       slots[j]);
			r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
			KUNIT_EXPECT_EQ(test, r.addr, kmh_mspan_slot_addr(s, slots[j]));
			/* The slot is the other party's, and no other slot has changed. */
			KUNIT_EXPECT_EQ(test, (int)s->cell[slots[j]], (int)values[i]);
			for (k = 0; k < s->nwords; k++)
				KUNIT_EXPECT_EQ(test, s->w[k].free, kmh_mspan_word_mask(s, k) &
						~(k == slots[j] / 64 ? BIT(slots[j] % 64) : 0));
			KUNIT_EXPECT_FALSE(test, kmh_mspan_empty(s));
			kmh_mspan_put(s);
		}
	}
}

/* Of several such slots each is reported. */
static void may_go_reports_each(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_16);
	unsigned int i;
	bool may;

	for (i = 0; i < s->nwords; i += 3)
		set_cells(s, i, BIT(i) | BIT(63), i % 2 ? KMH_CELL_LIVE : KMH_CELL_TAG);
	preempt_disable();
	may = kmh_mspan_may_go(s);
	preempt_enable();
	KUNIT_EXPECT_FALSE(test, may);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 2 * DIV_ROUND_UP(16, 3));
	for (i = 0; i < s->nwords; i++)
		KUNIT_EXPECT_EQ(test, s->w[i].free, i % 3 ? ~0UL : ~(BIT(i) | BIT(63)));
	kmh_mspan_put(s);
}

/* What is not live at this moment is marked: it may be allocated before the marks are looked at. */
static void blacken_by_cells(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_TAIL);
	unsigned long live[16] = {};
	struct rnd_state rnd;
	unsigned int i, slot;

	/* Half of them are live: of the heap or a cache, sampled or not. */
	prandom_seed_state(&rnd, 3);
	for (slot = 0; slot < s->nelems; slot++) {
		s->cell[slot] = prandom_u32_state(&rnd) % (2 * KMH_CELL_OUT);
		if (s->cell[slot] < KMH_CELL_OUT)
			live[slot / 64] |= BIT(slot % 64);
	}
	atomic_long_set(kmh_mspan_mark(s, 2), ~0UL);
	kmh_mspan_blacken(s);
	for (i = 0; i < s->nwords; i++)
		KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(kmh_mspan_mark(s, i)),
				i == 2 ? ~0UL : kmh_mspan_word_mask(s, i) & ~live[i]);
	kmh_mspan_put(s);
}

static struct kunit_case cells_cases[] = {
	KUNIT_CASE(cells_of_by_value),
	KUNIT_CASE(cells_move_every_mask),
	KUNIT_CASE(cells_move_whole_words),
	KUNIT_CASE(cells_move_has_one_winner),
	KUNIT_CASE(count_by_cells),
	KUNIT_CASE(count_against_model),
	KUNIT_CASE(may_go_by_cells),
	KUNIT_CASE(may_go_reports_each),
	KUNIT_CASE(blacken_by_cells),
	{ }
};

static struct kunit_suite cells_suite = {
	.name = "kmheap_cells",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = cells_cases,
};

kunit_test_suite(cells_suite);
