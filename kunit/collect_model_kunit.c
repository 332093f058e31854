// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: collections against a model: random live sets, random frees and allocations while a
 * collection is under way, on one CPU and on all; the figures of each collection are exact.
 */
#include <linux/delay.h>
#include <linux/prandom.h>
#include <linux/rwsem.h>

#include "collect_kunit.h"

#define NR_OBJECTS	600U
#define NR_ROUNDS	30U

struct object {
	void *p;
	size_t bytes;		/* as a collection counts them */
	bool black;		/* made since the collection began */
	bool marked;
};

struct model {
	struct kunit *test;
	struct kmheap *heap;
	struct rnd_state rnd;
	struct object o[NR_OBJECTS];
	bool marking;
};

static u32 below(struct model *m, u32 n)
{
	return prandom_u32_state(&m->rnd) % n;
}

static void model_alloc(struct model *m, struct object *o)
{
	size_t bytes = 1 + below(m, 1U << below(m, 17));

	*o = (struct object){ .p = filled(m->test, m->heap, bytes, below(m, 2)) };
	o->black = m->marking;
	o->bytes = bytes > KMHEAP_MAX_SMALL ? bytes : kmh_live_bytes(o->p);
}

static void model_free(struct model *m, struct object *o)
{
	if (below(m, 3))
		kmheap_free(o->p);
	else
		kmheap_free_rcu(o->p);
	o->p = NULL;
}

/* @n random objects of the model: a live one is freed, a missing one is allocated. */
static void model_step(struct model *m, unsigned int n)
{
	while (n--) {
		struct object *o = &m->o[below(m, NR_OBJECTS)];

		if (o->p)
			model_free(m, o);
		else
			model_alloc(m, o);
	}
}

static void model_mark(struct model *m)
{
	unsigned int i, percent = below(m, 101);

	for (i = 0; i < NR_OBJECTS; i++) {
		struct object *o = &m->o[i];
		bool first;

		if (!o->p || below(m, 100) >= percent)
			continue;
		first = kmheap_mark(m->heap, o->p + below(m, kmh_live_bytes(o->p) ?: 1));
		if (first != !(o->black || o->marked))
			KUNIT_FAIL(m->test, "object %u: first %d, black %d, marked %d", i, first,
				   o->black, o->marked);
		o->marked = true;
		if (i % 64 == 0)
			model_step(m, 3);
	}
}

/* A collection has ended: the model forgets what it frees. Returns how much that is. */
static struct collected model_end(struct model *m)
{
	struct collected dead = {};
	unsigned int i;

	for (i = 0; i < NR_OBJECTS; i++) {
		struct object *o = &m->o[i];

		if (o->p && !o->black && !o->marked) {
			dead.objects++;
			dead.bytes += o->bytes;
			o->p = NULL;
		}
		o->black = false;
		o->marked = false;
	}
	return dead;
}

static void model_check(struct model *m)
{
	unsigned int i, n = 0;

	for (i = 0; i < NR_OBJECTS; i++) {
		if (!m->o[i].p)
			continue;
		n++;
		if (!kmh_kunit_filled(m->o[i].p))
			KUNIT_FAIL(m->test, "object %u of %zu bytes is spoilt", i, m->o[i].bytes);
	}
	expect_live(m->test, m->heap, n);
	kmh_kunit_validate(m->test);
}

static void model_round(struct model *m, unsigned int round)
{
	struct collected was = collected_by_now(m->heap), dead;

	model_step(m, below(m, 2 * NR_OBJECTS));
	begin(m->test, m->heap);
	m->marking = true;
	model_step(m, below(m, 200));
	if (round % 3 == 0)
		kmheap_rcu_barrier(m->heap);
	model_mark(m);
	if (round % 5 == 0)
		kmheap_rcu_barrier(m->heap);
	model_step(m, below(m, 200));
	if (round % 7 == 0)
		kmh_kunit_shrink(m->heap);
	end(m->test, m->heap);
	m->marking = false;
	dead = model_end(m);
	model_step(m, below(m, 200));
	if (round % 4 == 0)
		kmh_kunit_shrink(m->heap);
	kmheap_rcu_barrier(m->heap);
	expect_collected(m->test, m->heap, &was, dead.objects, dead.bytes);
	model_check(m);
}

static struct model *model_new(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->test = test;
	m->heap = kmh_kunit_heap(test);
	prandom_seed_state(&m->rnd, 20260729);
	return m;
}

static void random_rounds(struct kunit *test)
{
	struct model *m = model_new(test);
	struct kmheap_stats st;
	unsigned int round;

	for (round = 0; round < NR_ROUNDS; round++)
		model_round(m, round);
	kmheap_stats(m->heap, &st);
	KUNIT_EXPECT_EQ(test, st.collections, (u64)NR_ROUNDS);
	KUNIT_EXPECT_GE_MSG(test, st.collected_objects, 10ULL * NR_ROUNDS, "hardly a test");
	kunit_info(test, "longest begin %llu us, longest end %llu us\n",
		   m->heap->begin_ns / 1000, m->heap->end_ns / 1000);
	collect_all(test, m->heap);
}

/* The worker is kept away: allocations sweep what they need, and the barrier sweeps the rest. */
static void random_rounds_without_worker(struct kunit *test)
{
	struct model *m = model_new(test);
	work_func_t sweeper = stop_sweeper(m->heap);
	unsigned int round;

	prandom_seed_state(&m->rnd, 42);
	for (round = 0; round < NR_ROUNDS / 2; round++)
		model_round(m, round);
	start_sweeper(m->heap, sweeper);
	collect_all(test, m->heap);
}

/* ---- all CPUs at it */

#define NR_CLIENTS	3U
#define NR_BOXES	200U
#define NR_COLLECTIONS	30U

/* An object of a thread: its first and last words tell whether it is whole. */
struct shared {
	struct kmheap *heap;
	struct rw_semaphore sem;	/* held for writing where nobody allocates or frees */
	unsigned long *box[NR_BOXES];
	unsigned int nspoilt[NR_CLIENTS], nfailed[NR_CLIENTS], nerrors;
	bool done;
	u64 ngarbage, garbage_bytes;
};

static bool shared_whole(unsigned long *p)
{
	size_t bytes = p[0] ^ (unsigned long)p;

	return bytes == kmh_live_bytes(p) && p[bytes / 8 - 1] == (p[0] ^ (bytes > 8 ? ~0UL : 0));
}

static unsigned long *shared_alloc(struct shared *sh, struct rnd_state *rnd)
{
	u32 r = prandom_u32_state(rnd);
	unsigned long *p = r & 1 ? kmheap_alloc(sh->heap, 8 << r / 2 % 9, GFP_KERNEL) :
				   kmheap_alloc_data(sh->heap, 8 << r / 2 % 9, GFP_KERNEL);
	size_t bytes = kmh_live_bytes(p);

	if (!p)
		return NULL;
	p[0] = (unsigned long)p ^ bytes;
	if (bytes > 8)
		p[bytes / 8 - 1] = ~p[0];
	return p;
}

static void shared_client(struct shared *sh, unsigned int i)
{
	struct rnd_state rnd;
	unsigned int n;

	prandom_seed_state(&rnd, i + 1);
	for (n = 0; !READ_ONCE(sh->done); n++) {
		unsigned long *p;

		down_read(&sh->sem);
		p = shared_alloc(sh, &rnd);
		sh->nfailed[i] += !p;
		p = xchg(&sh->box[prandom_u32_state(&rnd) % NR_BOXES], p);
		if (p)
			sh->nspoilt[i] += !shared_whole(p);
		/*
		 * Freed before the semaphore is: a collection that ended in between would
		 * free the object, too.
		 */
		if (n % 3)
			kmheap_free(p);
		else
			kmheap_free_rcu(p);
		up_read(&sh->sem);
		if (n % 64 == 0)
			cond_resched();
	}
}

/* Nothing is being allocated: take out half of the objects, so that nobody knows them. */
static void shared_lose(struct shared *sh, struct rnd_state *rnd)
{
	unsigned int i;

	for (i = 0; i < NR_BOXES; i++) {
		unsigned long *p = prandom_u32_state(rnd) % 2 ? xchg(&sh->box[i], NULL) : NULL;

		if (!p)
			continue;
		sh->ngarbage++;
		sh->garbage_bytes += kmh_live_bytes(p);
	}
}

/* Are half of the boxes filled? Not all: clients may have to wait for a CPU. */
static bool shared_is_filled(struct shared *sh)
{
	unsigned int i, n = 0;

	for (i = 0; i < NR_BOXES; i++)
		n += !!READ_ONCE(sh->box[i]);
	return n >= NR_BOXES / 2;
}

static void shared_collector(struct shared *sh)
{
	struct kmh_kunit_wait wait = kmh_kunit_wait_begin();
	struct rnd_state rnd;
	unsigned int i, n;

	prandom_seed_state(&rnd, 99);
	for (n = 0; n < NR_COLLECTIONS; n++) {
		down_write(&sh->sem);
		shared_lose(sh, &rnd);
		sh->nerrors += !!kmheap_collect_begin(sh->heap);
		up_write(&sh->sem);
		for (i = 0; i < NR_BOXES; i++)
			kmheap_mark(sh->heap, READ_ONCE(sh->box[i]));
		down_write(&sh->sem);
		sh->nerrors += !!kmheap_collect_end(sh->heap);
		up_write(&sh->sem);
		if (n % 16 == 0)
			kmheap_rcu_barrier(sh->heap);
		usleep_range(100, 500);		/* let the clients fill the boxes */
		while (!shared_is_filled(sh) && kmh_kunit_wait_more(&wait))
			;
	}
	WRITE_ONCE(sh->done, true);
}

static void shared_thread(void *arg, unsigned int i)
{
	if (i)
		shared_client(arg, i - 1);
	else
		shared_collector(arg);
}

static void collect_while_all_allocate(struct kunit *test)
{
	struct shared *sh = kunit_kzalloc(test, sizeof(*sh), GFP_KERNEL);
	struct collected was;
	unsigned int i, n = 0;

	KUNIT_ASSERT_NOT_NULL(test, sh);
	sh->heap = kmh_kunit_heap(test);
	init_rwsem(&sh->sem);
	was = collected_by_now(sh->heap);
	kmh_kunit_threads(test, NR_CLIENTS + 1, shared_thread, sh);
	kmheap_rcu_barrier(sh->heap);
	for (i = 0; i < NR_CLIENTS; i++) {
		KUNIT_EXPECT_EQ(test, sh->nspoilt[i], 0U);
		KUNIT_EXPECT_EQ(test, sh->nfailed[i], 0U);
	}
	for (i = 0; i < NR_BOXES; i++) {
		n += !!sh->box[i];
		if (sh->box[i])
			KUNIT_EXPECT_TRUE(test, shared_whole(sh->box[i]));
	}
	expect_collected(test, sh->heap, &was, sh->ngarbage, sh->garbage_bytes);
	expect_live(test, sh->heap, n);
	kmh_kunit_validate(test);
	kunit_info(test, "%llu objects collected; longest begin %llu us, longest end %llu us\n",
		   sh->ngarbage, sh->heap->begin_ns / 1000, sh->heap->end_ns / 1000);
	KUNIT_EXPECT_EQ(test, sh->nerrors, 0U);
	KUNIT_EXPECT_GE_MSG(test, sh->ngarbage, 10ULL * NR_COLLECTIONS, "hardly a test");
	collect_all(test, sh->heap);
}

static struct kunit_case collect_model_cases[] = {
	KUNIT_CASE(random_rounds),
	KUNIT_CASE(random_rounds_without_worker),
	KUNIT_CASE(collect_while_all_allocate),
	{ }
};

static struct kunit_suite collect_model_suite = {
	.name = "kmheap_collect_model",
	.init = collect_init,
	.exit = kmh_kunit_exit,
	.test_cases = collect_model_cases,
};

kunit_test_suite(collect_model_suite);
