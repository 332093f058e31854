// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: per-CPU caches seen from outside their section: calls from interrupts that arrive in
 * the section, and objects freed on another CPU than the one that allocated them.
 */
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/prandom.h>

#include "mcache_kunit.h"

/* ---- nested entry */

static void nested_enter_fails_until_left(struct kunit *test)
{
	struct kmh_mcache *mc;
	bool first, second, third;

	preempt_disable();
	mc = mcache(test);
	first = kmh_mcache_enter(mc);
	second = kmh_mcache_enter(mc);
	kmh_mcache_leave(mc);
	third = kmh_mcache_enter(mc);
	kmh_mcache_leave(mc);
	preempt_enable();
	KUNIT_EXPECT_TRUE(test, first);
	KUNIT_EXPECT_FALSE(test, second);
	KUNIT_EXPECT_TRUE(test, third);
}

static void nested_alloc_comes_from_mcentral(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mcentral *central = kmh_mcentral_of(heap->nodes[numa_mem_id()], SPANCLASS);
	void *mine = alloc(test), **p = objects(test, NR_SLOTS);
	struct kmh_mspan *s = mcslot(test)->span, *other;
	unsigned long allocs = kmh_mcache_allocs(mcache(test), SPANCLASS);
	struct kmheap_stats before, after;
	unsigned int i;

	kmh_kunit_balanced(test, heap, &before);
	preempt_disable();
	kmh_mcache_enter(mcache(test));
	for (i = 0; i < NR_SLOTS; i++)
		p[i] = kmheap_alloc(heap, BYTES, GFP_ATOMIC);
	kmh_mcache_leave(mcache(test));
	preempt_enable();

	for (i = 0; i < NR_SLOTS; i++) {
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		other = kmh_span_of((unsigned long)p[i]);
		KUNIT_EXPECT_TRUE(test, other != s);
		KUNIT_EXPECT_NULL(test, other->owner);
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&central->nested_allocs), (long)NR_SLOTS);
	KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mcache(test), SPANCLASS), allocs);
	KUNIT_EXPECT_PTR_EQ(test, mcslot(test)->span, s);
	kmh_kunit_balanced(test, heap, &after);
	KUNIT_EXPECT_EQ(test, after.allocs, before.allocs + NR_SLOTS);
	KUNIT_EXPECT_EQ(test, after.live_objects, before.live_objects + NR_SLOTS);
	free_range(p, 0, NR_SLOTS);
	kmheap_free(mine);
	expect_all_free(test);
}

static void nested_free_goes_through_the_remote_word(struct kunit *test)
{
	void *p[4];
	struct kmh_mspan *s;
	unsigned long free, remote, after;
	unsigned int i, len;
	int cell;

	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = alloc(test);
	s = mcslot(test)->span;
	kmheap_free(p[3]);
	KUNIT_EXPECT_EQ(test, cell_of(p[3]), own_tag());
	preempt_disable();
	kmh_mcache_enter(mcache(test));
	free = s->w[0].free;
	kmheap_free(p[2]);
	kmheap_free(p[2]);
	kmheap_free(p[3]);	/* the interrupted CPU's magazine has it */
	remote = atomic_long_read(&s->w[0].remote);
	after = s->w[0].free;
	cell = cell_of(p[2]);
	len = magazine_len(test);
	kmh_mcache_leave(mcache(test));
	preempt_enable();
	KUNIT_EXPECT_EQ(test, remote, BIT(2));
	KUNIT_EXPECT_EQ(test, after, free);
	KUNIT_EXPECT_EQ(test, cell, (int)KMH_CELL_OUT);
	KUNIT_EXPECT_EQ(test, len, 1U);
	KUNIT_EXPECT_EQ(test, cell_of(p[3]), own_tag());
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 2);
	kmheap_free(p[2]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free(p[0]);
	kmheap_free(p[1]);
	expect_all_free(test);
}

/* All kinds of calls inside the section: none waits, and none touches the mcache. */
static void nested_calls_of_every_kind(struct kunit *test)
{
	static const size_t sizes[] = { 1, 8, 12, 16, 24, 1000, 8192, 32768, 32769, 65536 };
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p[2 * ARRAY_SIZE(sizes)], *mine[ARRAY_SIZE(sizes)];
	struct kmh_mcache *was = kunit_kzalloc(test, sizeof(*was), GFP_KERNEL);
	unsigned int i;
	bool same;

	KUNIT_ASSERT_NOT_NULL(test, was);
	/* Pages for all objects, and a span of each class that this CPU caches. */
	kmheap_free(kmheap_alloc(heap, 1 << 20, GFP_KERNEL));
	kmh_largecache_drain_cpus(heap);
	kmh_largestore_drain(heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		mine[i] = kmheap_alloc_data(heap, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, mine[i]);
	}
	preempt_disable();
	kmh_mcache_enter(mcache(test));
	memcpy(was, mcache(test), sizeof(*was));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p[2 * i] = kmheap_alloc(heap, sizes[i], GFP_ATOMIC);
		p[2 * i + 1] = kmheap_alloc_data(heap, sizes[i], GFP_ATOMIC | __GFP_ZERO);
	}
	free_range(mine, 0, ARRAY_SIZE(mine));
	was->trips = mcache(test)->trips;	/* nested calls have trips of their own */
	same = !memcmp(was, mcache(test), sizeof(*was));
	kmh_mcache_leave(mcache(test));
	preempt_enable();
	KUNIT_EXPECT_TRUE(test, same);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		KUNIT_ASSERT_NOT_NULL_MSG(test, p[i], "%zu bytes", sizes[i / 2]);
		KUNIT_EXPECT_GE(test, kmheap_size(p[i]), sizes[i / 2]);
	}
	free_range(p, 0, ARRAY_SIZE(p));
	expect_all_free(test);
}

struct nested_irq {
	struct irq_work work;
	struct kmheap *heap;
	void *victim;
	void *p;
	bool busy;
	bool done;
};

static void nested_irq(struct irq_work *work)
{
	struct nested_irq *n = container_of(work, struct nested_irq, work);

	n->busy = this_cpu_ptr(n->heap->mcache)->busy;
	n->p = kmheap_alloc(n->heap, BYTES, GFP_ATOMIC);
	kmheap_free(n->victim);
	smp_store_release(&n->done, true);	/* pairs with nested_interrupt() */
}

/* A real interrupt arrives in the section, allocates and frees. */
static void nested_interrupt(struct kunit *test)
{
	struct nested_irq n = {
		.work = IRQ_WORK_INIT_HARD(nested_irq),
		.heap = kmh_kunit_heap(test),
		.victim = alloc(test),
	};
	struct kmh_mspan *s = mcslot(test)->span;
	struct kmh_kunit_wait wait = kmh_kunit_wait_begin();

	preempt_disable();
	kmh_mcache_enter(mcache(test));
	irq_work_queue(&n.work);
	/* Pairs with nested_irq(). */
	while (!smp_load_acquire(&n.done) && kmh_kunit_spin_more(&wait))
		;
	kmh_mcache_leave(mcache(test));
	preempt_enable();
	irq_work_sync(&n.work);
	KUNIT_EXPECT_TRUE(test, n.busy);
	KUNIT_ASSERT_NOT_NULL(test, n.p);
	KUNIT_EXPECT_NULL(test, kmh_span_of((unsigned long)n.p)->owner);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), 1L);
	kmheap_free(n.p);
	expect_all_free(test);
}

/* ---- objects that migrate */

#define NR_MOVERS	4U
#define NR_BOXES	64U
#define NR_MOVES	3000U

struct movers {
	struct kmheap *heap;
	unsigned long *box[NR_BOXES];
	unsigned int nfailed[NR_MOVERS], nspoilt[NR_MOVERS];
};

/* Allocate here, free what others allocated. An object's words say what it should hold. */
static void mover_thread(void *arg, unsigned int i)
{
	struct movers *m = arg;
	struct rnd_state rnd;
	unsigned int n;

	prandom_seed_state(&rnd, i + 1);
	for (n = 0; n < NR_MOVES; n++) {
		size_t bytes = 16 << prandom_u32_state(&rnd) % 6;
		unsigned long *p = kmheap_alloc(m->heap, bytes, GFP_KERNEL);

		if (!p) {
			m->nfailed[i]++;
			continue;
		}
		p[0] = (unsigned long)p ^ bytes;
		p[bytes / 8 - 1] = ~(unsigned long)p;
		p = xchg(&m->box[prandom_u32_state(&rnd) % NR_BOXES], p);
		if (!p)
			continue;
		bytes = p[0] ^ (unsigned long)p;
		if (bytes != kmheap_size(p) || p[bytes / 8 - 1] != ~(unsigned long)p)
			m->nspoilt[i]++;
		kmheap_free(p);
		if (n % 64 == 0)
			cond_resched();
	}
}

static void objects_migrate_between_cpus(struct kunit *test)
{
	struct movers *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	struct kmheap_stats st;
	unsigned int i, nleft = 0;

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->heap = kmh_kunit_heap(test);
	kmh_kunit_threads(test, NR_MOVERS, mover_thread, m);
	for (i = 0; i < NR_BOXES; i++)
		nleft += !!m->box[i];
	kmh_kunit_balanced(test, m->heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, (u64)nleft);
	KUNIT_EXPECT_EQ(test, st.allocs, (u64)NR_MOVERS * NR_MOVES);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, 0ULL);
	kmh_kunit_expect_conserved(test, m->heap);
	for (i = 0; i < NR_MOVERS; i++) {
		KUNIT_EXPECT_EQ(test, m->nfailed[i], 0U);
		KUNIT_EXPECT_EQ(test, m->nspoilt[i], 0U);
	}
	free_range((void **)m->box, 0, NR_BOXES);
	expect_all_free(test);
}

/*
 * Two spans' objects, freed on another CPU. @kept: objects that its magazine may keep. Return: the
 * spans of the heap, with all objects live.
 */
static u64 one_round(struct kunit *test, unsigned int round, unsigned int kept)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = fill_span(test), **q = fill_span(test);
	struct frees f = { p, 0, NR_SLOTS }, g = { q, 0, NR_SLOTS };
	unsigned int i, cpu, nkept = 0;
	struct kmheap_stats st;
	u64 spans;

	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 2ULL * NR_SLOTS);
	spans = st.spans;
	for (i = 0; i < NR_SLOTS; i++)
		*(void **)p[i] = p[i];
	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	kmh_kunit_elsewhere(test, free_elsewhere, &g);
	for_each_possible_cpu(cpu)
		nkept += kmh_magazine_len(per_cpu_ptr(heap->mcache, cpu), SPANCLASS);
	KUNIT_EXPECT_LE(test, nkept, kept);
	if (kept)
		KUNIT_EXPECT_GT(test, nkept, REST);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.frees, 2ULL * NR_SLOTS * (round + 1));
	kmh_kunit_expect_conserved(test, heap);
	return spans;
}

/* Every free of a round is remote; the frees are counted and folded, and the slots reused. */
static void free_on_another_cpu_then_reuse(struct kunit *test)
{
	unsigned int round;

	kmh_kunit_no_magazines(kmh_kunit_heap(test));
	for (round = 0; round < 5; round++)
		KUNIT_EXPECT_EQ_MSG(test, one_round(test, round, 0), 2ULL, "spans are not reused");
	expect_all_free(test);
}

/* The other CPU keeps a magazine full, for which one span more does, however often this goes. */
static void magazine_elsewhere_keeps_one_span_more(struct kunit *test)
{
	unsigned int round;

	kmh_kunit_shut_depots(test);
	for (round = 0; round < 8; round++)
		KUNIT_EXPECT_EQ(test, one_round(test, round, 64), round ? 3ULL : 2ULL);
	expect_all_free(test);
}

static struct kunit_case mcache_nested_cases[] = {
	KUNIT_CASE(nested_enter_fails_until_left),
	KUNIT_CASE(nested_alloc_comes_from_mcentral),
	KUNIT_CASE(nested_free_goes_through_the_remote_word),
	KUNIT_CASE(nested_calls_of_every_kind),
	KUNIT_CASE(nested_interrupt),
	KUNIT_CASE(objects_migrate_between_cpus),
	KUNIT_CASE(free_on_another_cpu_then_reuse),
	KUNIT_CASE(magazine_elsewhere_keeps_one_span_more),
	{ }
};

static struct kunit_suite mcache_nested_suite = {
	.name = "kmheap_mcache_nested",
	.init = mcache_init,
	.exit = kmh_kunit_exit,
	.test_cases = mcache_nested_cases,
};

kunit_test_suite(mcache_nested_suite);
