// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: cells: who has a slot. That exactly one party has each slot, and that the one that the
 * cell names, is what other suites expect of their heaps, too.
 */
#include <linux/prandom.h>

#include "cells_kunit.h"
#include "cpu/magazine.h"
#include "mspan_kunit.h"
#include "sweep_kunit.h"

/* ---- one holder for each slot */

struct holders {
	unsigned int namiss;
	unsigned int nheld;		/* cells that name a magazine */
	const char *what;		/* the first that is amiss */
	unsigned long addr;
	unsigned int cell;
};

static void amiss(struct holders *h, const char *what, unsigned long addr, unsigned int cell)
{
	if (h->namiss++)
		return;
	h->what = what;
	h->addr = addr;
	h->cell = cell;
}

static bool in_window(const struct kmh_mspan *s, unsigned int slot)
{
	const struct kmh_mcslot *c;
	unsigned long bit;

	if (!s->owner)
		return false;
	c = &s->owner->slot[s->spanclass];
	if (c->span != s || !c->avail)
		return false;
	bit = (unsigned long)slot - (c->wcell - s->cell);
	return bit < KMH_WORD_SLOTS && c->avail & BIT(bit);
}

/* Entry @i of a magazine, the oldest of which is 0. */
static const struct kmh_entry *entry(const struct kmh_mcache *mc, unsigned int spanclass,
				     unsigned int i)
{
	const struct kmh_entry *start = (void *)mc->magazine[spanclass], *e;

	e = mc->slot[spanclass].head + i;
	return e < start + kmh_magazine_room(spanclass) ? e : e - kmh_magazine_room(spanclass);
}

/* Entries that lead to a slot in the magazine that its cell names. */
static unsigned int entries_to(const struct kmh_mspan *s, unsigned int slot)
{
	unsigned int cpu = s->cell[slot] - KMH_CELL_TAG, i, n = 0;
	const struct kmh_mcache *mc;

	if (cpu >= nr_cpu_ids)
		return 0;
	mc = per_cpu_ptr(s->heap->mcache, cpu);
	for (i = 0; i < kmh_magazine_len(mc, s->spanclass); i++) {
		const struct kmh_entry *e = entry(mc, s->spanclass, i);

		n += e->cell == &s->cell[slot] && e->addr == kmh_mspan_slot_addr(s, slot);
	}
	return n;
}

static void check_slot(struct holders *h, struct kmh_mspan *s, unsigned int slot)
{
	const struct kmh_slots *w = &s->w[slot / KMH_WORD_SLOTS];
	unsigned long bit = BIT(slot % KMH_WORD_SLOTS), addr = kmh_mspan_slot_addr(s, slot);
	unsigned int nbits = !!(w->free & bit) + !!(atomic_long_read(&w->remote) & bit) +
			     in_window(s, slot);
	bool waits = kmh_mspan_slot_waits(s, slot), is_out, is_waiting;
	u8 cell = s->cell[slot];

	is_out = cell == KMH_CELL_OUT;
	is_waiting = cell == KMH_CELL_WAITS;
	if (nbits != is_out)
		amiss(h, nbits ? "the span has it, too or twice" : "nobody has it", addr, cell);
	/* A block of packed objects, some of which are live, may wait for others. */
	if (waits != is_waiting &&
	    !(waits && cell == KMH_CELL_LIVE && s->state == KMH_SPAN_TINY))
		amiss(h, waits ? "it waits, too" : "it waits in no set", addr, cell);
	if (cell == KMH_CELL_SPECIAL && !(s->nspecials && kmh_special_exists(s, addr)))
		amiss(h, "there is no special", addr, cell);
	if (cell < KMH_CELL_TAG)
		return;
	h->nheld++;
	if (entries_to(s, slot) != 1)
		amiss(h, "not one entry leads to it", addr, cell);
}

static void check_span(struct kmh_mspan *s, void *ctx)
{
	struct holders *h = ctx;
	struct kmh_span_count n;
	unsigned int i;

	if (s->state != KMH_SPAN_SMALL && s->state != KMH_SPAN_TINY)
		return;
	for (i = 0; i < s->nelems; i++)
		check_slot(h, s, i);
	kmh_mspan_count(s, &n);
	if (n.live + n.free + n.remote + n.deferred != s->nelems || n.held > n.free)
		amiss(h, "the counts of its span do not add up", s->base, 0);
}

/* Look at all slots and all entries of a heap at rest. Return: how much is amiss. */
static unsigned int check_heap(struct kmheap *heap, struct holders *h)
{
	unsigned int cpu, i, nentries = 0;
	struct kmh_arena *a;

	*h = (struct holders){};
	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		kmh_walk_spans(a, check_span, h);
	mutex_unlock(&heap->arenas_mutex);
	for_each_possible_cpu(cpu)
		for (i = 0; i < KMH_NR_SPANCLASSES; i++)
			nentries += kmh_magazine_len(per_cpu_ptr(heap->mcache, cpu), i);
	if (nentries != h->nheld)
		amiss(h, "entries and cells that name a magazine differ in number", nentries, 0);
	return h->namiss;
}

void kmh_kunit_expect_conserved(struct kunit *test, struct kmheap *heap)
{
	struct holders h;

	kmh_kunit_settle(heap);
	if (check_heap(heap, &h))
		KUNIT_FAIL(test, "%u slots are amiss, the first at %#lx with cell %u: %s",
			   h.namiss, h.addr, h.cell, h.what);
}

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
	struct rnd_state rnd;
	unsigned int i, slot;

	prandom_seed_state(&rnd, 3);
	for (slot = 0; slot < s->nelems; slot++)
		s->cell[slot] = prandom_u32_state(&rnd) % 6;
	atomic_long_set(kmh_mspan_mark(s, 2), ~0UL);
	kmh_mspan_blacken(s);
	for (i = 0; i < s->nwords; i++)
		KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(kmh_mspan_mark(s, i)),
				i == 2 ? ~0UL : kmh_mspan_word_mask(s, i) &
						~kmh_cells_of(s, i, KMH_CELL_LIVE));
	kmh_mspan_put(s);
}

/* ---- a heap against a model */

#define NR_OBJECTS	400U
#define STEPS		(KMH_KUNIT_SLOW ? 600U : 3000U)

struct model {
	struct kunit *test;
	struct kmheap *heap;
	struct rnd_state rnd;
	bool tiny;
	u32 *p[NR_OBJECTS];		/* live */
	u32 id[NR_OBJECTS];		/* its contents */
	unsigned int nlive;
	unsigned int nallocs;
	unsigned int nwaiting[2];	/* in the set that is filled, and the one that is closed */
	unsigned int nspoilt;
	unsigned int nshort;		/* callers in an interrupt that have got nothing */
	/* What is called elsewhere, or in the section. */
	size_t bytes;
	void *obj;
};

static u32 draw(struct model *m, u32 n)
{
	return prandom_u32_state(&m->rnd) % n;
}

static size_t draw_bytes(struct model *m)
{
	static const u16 sizes[] = { 8, 24, 32, 32, 32, 200, 1024, 1152, 4096 };

	return m->tiny ? 4 * (1 + draw(m, 3)) : sizes[draw(m, ARRAY_SIZE(sizes))];
}

static void alloc_fn(void *arg)
{
	struct model *m = arg;

	m->obj = m->tiny ? kmheap_alloc_data(m->heap, m->bytes, GFP_ATOMIC) :
			   kmheap_alloc(m->heap, m->bytes, GFP_ATOMIC);
}

static void free_fn(void *arg)
{
	struct model *m = arg;

	kmheap_free(m->obj);
}

static void free_rcu_fn(void *arg)
{
	struct model *m = arg;

	kmheap_free_rcu(m->obj);
}

static void drain_fn(void *arg)
{
	struct model *m = arg;
	struct kmh_mcache *mc = this_cpu_ptr(m->heap->mcache);

	if (kmh_mcache_enter(mc)) {
		kmh_magazines_drain(mc);
		kmh_mcache_leave(mc);
	}
}

/* As an interrupt does that arrives in the section. */
static void in_section(struct model *m, void (*fn)(void *arg))
{
	struct kmh_mcache *mc;

	preempt_disable();
	mc = this_cpu_ptr(m->heap->mcache);
	kmh_mcache_enter(mc);
	fn(m);
	kmh_mcache_leave(mc);
	preempt_enable();
}

static void call(struct model *m, void (*fn)(void *arg))
{
	switch (draw(m, 4)) {
	case 0:
		kmh_kunit_elsewhere(m->test, fn, m);
		break;
	case 1:
		in_section(m, fn);
		break;
	default:
		preempt_disable();
		fn(m);
		preempt_enable();
		break;
	}
}

/* Enter an object that has just been allocated. */
static void model_add(struct model *m, unsigned int i, u32 *p)
{
	m->p[i] = p;
	m->id[i] = prandom_u32_state(&m->rnd);
	*p = m->id[i];
	m->nlive++;
	m->nallocs++;
}

static u32 *model_del(struct model *m, unsigned int i)
{
	u32 *p = m->p[i];

	m->nspoilt += *p != m->id[i];
	m->p[i] = NULL;
	m->nlive--;
	return p;
}

static void step_alloc(struct model *m, unsigned int i)
{
	m->bytes = draw_bytes(m);
	if (draw(m, 3)) {
		m->obj = m->tiny ? kmheap_alloc_data(m->heap, m->bytes, GFP_KERNEL) :
				   kmheap_alloc(m->heap, m->bytes, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(m->test, m->obj);
	} else {
		call(m, alloc_fn);
	}
	if (m->obj)
		model_add(m, i, m->obj);
	else
		m->nshort++;
}

/* A burst of neighbours, and its end, object by object or all at once. */
static void step_bulk(struct model *m)
{
	void *p[80];
	size_t n = 1 + draw(m, ARRAY_SIZE(p)), bytes = draw_bytes(m), i;

	n = kmheap_alloc_bulk(m->heap, bytes, GFP_KERNEL, n, p);
	KUNIT_ASSERT_GT(m->test, n, 0UL);
	m->nallocs += n;
	if (draw(m, 2)) {
		kmheap_free_bulk(n, p);
		return;
	}
	for (i = 0; i < n; i++)
		kmheap_free(p[i]);
}

static void step_free(struct model *m, unsigned int i)
{
	m->obj = model_del(m, i);
	call(m, free_fn);
}

static void step_free_rcu(struct model *m, unsigned int i)
{
	m->obj = model_del(m, i);
	m->nwaiting[0]++;
	call(m, free_rcu_fn);
}

/* The next step of the two sets, if there is something in them. */
static void step_sets(struct model *m)
{
	if (m->heap->defer.waiting) {
		defer_expire(m->test);
		m->nwaiting[1] = 0;
	} else if (m->nwaiting[0]) {
		defer_close(m->test);
		m->nwaiting[1] = m->nwaiting[0];
		m->nwaiting[0] = 0;
	}
}

static void step_tidy(struct model *m)
{
	switch (draw(m, 6)) {
	case 0:
		kmh_mcache_drain_all(m->heap);
		break;
	case 1:
		kmh_magazines_drain_all(m->heap);
		break;
	case 2:
		kmh_kunit_look_again(m->heap);
		break;
	case 3:
		kmh_kunit_elsewhere(m->test, drain_fn, m);
		break;
	case 4:
		kmh_heap_drain(m->heap);
		kmh_kunit_give_back(m->heap);
		break;
	case 5:
		kmheap_rcu_barrier(m->heap);
		m->nwaiting[0] = 0;
		m->nwaiting[1] = 0;
		break;
	}
}

static void model_step(struct model *m)
{
	unsigned int i = draw(m, NR_OBJECTS), what = draw(m, 100);

	if (what == 0)
		step_tidy(m);
	else if (what < 4)
		step_bulk(m);
	else if (what < 8)
		step_sets(m);
	else if (!m->p[i])
		step_alloc(m, i);
	else if (what < 30)
		step_free_rcu(m, i);
	else
		step_free(m, i);
}

static void model_compare(struct model *m)
{
	struct kmheap_stats st;

	kmh_kunit_expect_conserved(m->test, m->heap);
	kmh_kunit_balanced(m->test, m->heap, &st);
	KUNIT_EXPECT_EQ(m->test, st.live_objects, (u64)m->nlive);
	KUNIT_EXPECT_EQ(m->test, st.allocs, (u64)m->nallocs);
	/* Of packed objects blocks are counted, and only those in which nothing lives. */
	if (!m->tiny)
		KUNIT_EXPECT_EQ(m->test, st.deferred_objects,
				(u64)m->nwaiting[0] + m->nwaiting[1]);
}

static void against_model(struct kunit *test, bool tiny)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->test = test;
	m->heap = kmh_kunit_heap(test);
	m->tiny = tiny;
	prandom_seed_state(&m->rnd, 4711 + tiny);
	for (i = 0; i < STEPS; i++) {
		model_step(m);
		if (i % 100 == 0)
			model_compare(m);
	}
	model_compare(m);
	KUNIT_EXPECT_EQ(test, m->nspoilt, 0U);
	KUNIT_EXPECT_LT(test, m->nshort, STEPS / 20);
	kmh_kunit_no_reports(test);
	for (i = 0; i < NR_OBJECTS; i++)
		if (m->p[i])
			kmheap_free(model_del(m, i));
	KUNIT_EXPECT_EQ(test, m->nspoilt, 0U);
	kmheap_rcu_barrier(m->heap);
	m->nwaiting[0] = 0;
	m->nwaiting[1] = 0;
	model_compare(m);
	kmh_mcache_drain_all(m->heap);
	model_compare(m);
}

/*
 * Objects are allocated and freed in every way, here, elsewhere and in the section; deferred frees
 * expire; CPUs are drained. At rest each slot has one holder, and the figures are the model's.
 */
static void slots_are_conserved(struct kunit *test)
{
	against_model(test, false);
}

static void blocks_of_packed_objects_are_conserved(struct kunit *test)
{
	against_model(test, true);
}

/* Change the cell and each bit of a slot, one at a time. */
static void damage_is_found(struct kunit *test, struct kmh_mspan *s, unsigned int slot)
{
	atomic_long_t *deferred = kmh_mspan_deferred(s, slot / 64, s->heap->defer.gen & 1);
	struct kmh_slots *w = &s->w[slot / 64];
	struct kmh_mcslot *c = &s->owner->slot[s->spanclass];
	unsigned long bit = BIT(slot % 64);
	u8 cell = s->cell[slot], value;
	struct holders h;

	for (value = 0; value < 8; value++) {
		s->cell[slot] = value;
		KUNIT_EXPECT_EQ_MSG(test, !check_heap(s->heap, &h), value == cell,
				    "slot %u, cell %u", slot, value);
	}
	s->cell[slot] = cell;
	w->free ^= bit;
	KUNIT_EXPECT_GT_MSG(test, check_heap(s->heap, &h), 0U, "free bit of %u", slot);
	w->free ^= bit;
	atomic_long_xor(bit, &w->remote);
	KUNIT_EXPECT_GT_MSG(test, check_heap(s->heap, &h), 0U, "remote bit of %u", slot);
	atomic_long_xor(bit, &w->remote);
	atomic_long_xor(bit, deferred);
	KUNIT_EXPECT_GT_MSG(test, check_heap(s->heap, &h), 0U, "deferred bit of %u", slot);
	atomic_long_xor(bit, deferred);
	if (slot >= 64)		/* the window is the first word */
		return;
	c->avail ^= bit;
	KUNIT_EXPECT_GT_MSG(test, check_heap(s->heap, &h), 0U, "%u set aside", slot);
	c->avail ^= bit;
}

/* The check itself: whatever is changed behind the heap's back is found, and nothing before. */
static void conservation_is_checked(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int slot, i;
	struct kmh_mcache *mc = per_cpu_ptr(heap->mcache, raw_smp_processor_id());
	struct kmh_mspan *s;
	struct holders h;
	void *p[6];

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmheap_alloc(heap, 32, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	s = kmh_span_of((unsigned long)p[0]);
	kmheap_free(p[1]);				/* slot 1 is in the magazine */
	kmheap_free_rcu(p[2]);				/* slot 2 waits */
	preempt_disable();
	kmh_mcache_enter(mc);
	kmheap_free(p[3]);				/* slot 3 has a remote bit */
	kmh_mcache_leave(mc);
	preempt_enable();
	/* Slots 6 to 63 are set aside; slot 64 has a free bit. */
	KUNIT_ASSERT_EQ(test, check_heap(heap, &h), 0U);
	KUNIT_EXPECT_EQ(test, h.nheld, 1U);
	for (slot = 0; slot < 65; slot++)
		if (slot < 8 || slot == 64)
			damage_is_found(test, s, slot);
	KUNIT_EXPECT_EQ(test, check_heap(heap, &h), 0U);
	kmheap_free(p[0]);
	kmheap_free(p[4]);
	kmheap_free(p[5]);
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
	KUNIT_CASE(slots_are_conserved),
	KUNIT_CASE(blocks_of_packed_objects_are_conserved),
	KUNIT_CASE(conservation_is_checked),
	{ }
};

static struct kunit_suite cells_suite = {
	.name = "kmheap_cells",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = cells_cases,
};

kunit_test_suite(cells_suite);
