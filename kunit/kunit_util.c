// SPDX-License-Identifier: GPL-2.0
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "kunit_util.h"
#include "cpu/magazine.h"

#ifndef CONFIG_PREEMPT_COUNT
DEFINE_PER_CPU(unsigned int, kmh_pins);
#endif

bool kmh_test_wipes;

static struct kmh_kunit *kmh_kunit_now;

/* Context: any; preemption off. */
static void kmh_kunit_hook(const struct kmh_report *r)
{
	struct kmh_kunit *k = kmh_kunit_now;
	unsigned long flags;

	raw_spin_lock_irqsave(&k->lock, flags);
	k->nreports[r->kind]++;
	k->last = *r;
	raw_spin_unlock_irqrestore(&k->lock, flags);
}

struct kmh_report kmh_kunit_reports(struct kunit *test, enum kmh_misuse kind, unsigned int n)
{
	struct kmh_kunit *k = kmh_kunit(test);
	unsigned int got[KMH_NR_MISUSES], i;
	struct kmh_report last;
	unsigned long flags;

	raw_spin_lock_irqsave(&k->lock, flags);
	memcpy(got, k->nreports, sizeof(got));
	last = k->last;
	memset(k->nreports, 0, sizeof(k->nreports));
	memset(&k->last, 0, sizeof(k->last));
	raw_spin_unlock_irqrestore(&k->lock, flags);

	for (i = 0; i < KMH_NR_MISUSES; i++)
		if (got[i] != (i == kind ? n : 0))
			KUNIT_FAIL(test, "%u reports of kind %u, expected %u; the last: %s of %#lx",
				   got[i], i, i == kind ? n : 0, last.what ?: "none",
				   last.addr);
	return last;
}

void kmh_kunit_no_reports(struct kunit *test)
{
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 0);
}

void kmh_kunit_finding(void *ctx, const char *fmt, ...)
{
	struct kunit *test = ctx;
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	KUNIT_FAIL(test, "finding: %pV", &vaf);
	va_end(args);
}

void kmh_kunit_count_finding(void *ctx, const char *fmt, ...)
{
	++*(unsigned int *)ctx;
}

void kmh_kunit_validate(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kmh_validate_all(kmh_kunit_finding, test), 0U);
}

/* The heap has to be at rest: otherwise a slot that a worker folds may be counted as live. */
void kmh_kunit_stats(struct kmheap *heap, struct kmheap_stats *st)
{
	kmh_kunit_settle(heap);
	kmheap_stats(heap, st);
}

void kmh_kunit_balanced(struct kunit *test, struct kmheap *heap, struct kmheap_stats *st)
{
	kmh_kunit_stats(heap, st);
	KUNIT_EXPECT_GT(test, st->metadata_bytes, 0ULL);
	KUNIT_EXPECT_EQ(test, st->footprint_bytes,
			st->live_bytes + st->free_bytes + st->cached_bytes + st->deferred_bytes +
			st->waste_bytes + st->metadata_bytes);
	KUNIT_EXPECT_EQ(test, st->footprint_bytes,
			(u64)atomic_long_read(&kmh_heap_or_default(heap)->arena_bytes) +
			st->metadata_bytes);
	KUNIT_EXPECT_EQ(test, st->allocs - st->frees, st->live_objects);
}

size_t kmh_kunit_held_bytes(struct kmheap *heap)
{
	struct kmh_arena *a;
	size_t bytes = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		bytes += kmh_arena_held_bytes(a);
	mutex_unlock(&heap->arenas_mutex);
	return bytes;
}

void kmh_kunit_collect_but(struct kunit *test, struct kmheap *heap, const void *kept,
			   struct kmheap_stats *st)
{
	KUNIT_ASSERT_EQ(test, kmheap_collect_begin(heap), 0);
	KUNIT_EXPECT_TRUE(test, kmheap_mark(heap, kept));
	KUNIT_ASSERT_EQ(test, kmheap_collect_end(heap), 0);
	kmheap_rcu_barrier(heap);
	kmh_kunit_stats(heap, st);
	KUNIT_EXPECT_EQ(test, st->live_objects, 1ULL);
}

void (*kmh_test_point_hook)(const char *place);

/* What a case wants to happen at a place, the first time that it is passed. */
static struct kmh_kunit_point {
	const char *place;
	struct task_struct *task;	/* NULL: any */
	void (*fn)(void *arg);
	void *arg;
	atomic_t passed;
} kmh_kunit_points[4];
static unsigned int kmh_kunit_npoints;

/* Context: any. */
static void kmh_kunit_point_hook(const char *place)
{
	struct kmh_kunit_point *p;
	unsigned int i, n = smp_load_acquire(&kmh_kunit_npoints);	/* then read these points */

	for (i = 0; i < n; i++) {
		p = &kmh_kunit_points[i];
		if (strcmp(p->place, place) || (p->task && p->task != current) ||
		    atomic_cmpxchg(&p->passed, 0, 1))
			continue;
		p->fn(p->arg);
	}
}

static void kmh_kunit_arm(struct kunit *test, const char *place, struct task_struct *task,
			  void (*fn)(void *arg), void *arg)
{
	unsigned int n = kmh_kunit_npoints;

	KUNIT_ASSERT_LT(test, n, (unsigned int)ARRAY_SIZE(kmh_kunit_points));
	kmh_kunit_points[n].place = place;
	kmh_kunit_points[n].task = task;
	kmh_kunit_points[n].fn = fn;
	kmh_kunit_points[n].arg = arg;
	atomic_set(&kmh_kunit_points[n].passed, 0);
	smp_store_release(&kmh_kunit_npoints, n + 1);	/* pairs with the hook's load */
	WRITE_ONCE(kmh_test_point_hook, kmh_kunit_point_hook);
}

void kmh_kunit_at(struct kunit *test, const char *place, void (*fn)(void *arg), void *arg)
{
	kmh_kunit_arm(test, place, current, fn, arg);
}

void kmh_kunit_at_any(struct kunit *test, const char *place, void (*fn)(void *arg), void *arg)
{
	kmh_kunit_arm(test, place, NULL, fn, arg);
}

bool kmh_kunit_passed(const char *place)
{
	unsigned int i;

	for (i = 0; i < kmh_kunit_npoints; i++)
		if (!strcmp(kmh_kunit_points[i].place, place))
			return atomic_read(&kmh_kunit_points[i].passed);
	return false;
}

/* A case whose function sleeps at its place waits for the task that is there by itself. */
static void kmh_kunit_disarm(void)
{
	if (!kmh_kunit_npoints)
		return;
	WRITE_ONCE(kmh_test_point_hook, NULL);
	synchronize_rcu();
	WRITE_ONCE(kmh_kunit_npoints, 0);
}

size_t kmh_kunit_shrink(struct kmheap *heap)
{
	const struct kmh_leavers all = { .bytes = SIZE_MAX };
	size_t bytes = kmheap_shrink(heap);

	heap = kmh_heap_or_default(heap);
	bytes += kmh_kunit_give_back(heap);
	return bytes + kmh_pages_return(heap, &all);
}

static void kmh_kunit_read_books(struct kunit *test, struct kmh_kunit_books *b)
{
	struct kmheap_stats sum;
	struct kmheap *heap;
	struct kmh_arena *a;
	u64 ended;

	flush_workqueue(kmh_grow_wq);
	flush_workqueue(kmh_wq);
	KUNIT_ASSERT_EQ(test, kmh_global_stats(&sum, &b->nheaps), 0);
	b->narenas = atomic_long_read(&kmh_backend_narenas);
	b->nblock_pages = atomic_long_read(&kmh_backend_nblock_pages);
	b->ntables = atomic_long_read(&kmh_backend_ntables) - 2 * kmh_tombstone_count(&ended);
	b->map_bytes = READ_ONCE(kmh_map_bytes);
	b->pool_bytes = sum.metadata_bytes - b->map_bytes - ended;
	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(heap, &kmh_heaps, list) {
		mutex_lock(&heap->arenas_mutex);
		list_for_each_entry(a, &heap->arenas, list) {
			b->pool_bytes -= a->meta_bytes;
			b->narenas--;
			b->nblock_pages -= a->block ? kmh_arena_held_bytes(a) >> PAGE_SHIFT : 0;
			b->ntables--;
		}
		mutex_unlock(&heap->arenas_mutex);
	}
	mutex_unlock(&kmh_heaps_mutex);
}

/* One reading is made of several figures, between which an arena may leave another heap. */
static bool kmh_kunit_books_rest(struct kunit *test, struct kmh_kunit_books *b)
{
	struct kmh_kunit_books first;

	kmh_leaks_forget();	/* heaps have ended with live objects on purpose */
	kmh_kunit_read_books(test, &first);
	kmh_kunit_read_books(test, b);
	return !b->narenas && !b->nblock_pages && b->nheaps == first.nheaps &&
	       b->ntables == first.ntables &&
	       b->map_bytes == first.map_bytes && b->pool_bytes == first.pool_bytes;
}

/*
 * Metadata is counted exactly, except for the descriptor pools, which grow by whole chunks
 * and never shrink.
 */
void kmh_kunit_books(struct kunit *test, struct kmh_kunit_books *b)
{
	kmh_kunit_wait_for(test, kmh_kunit_books_rest(test, b));
}

/* Are the pools what they were, or larger by whole chunks? @now is set to a reading at rest. */
static bool kmh_kunit_pools_fit(struct kunit *test, const struct kmh_kunit_books *before,
				struct kmh_kunit_books *now)
{
	return kmh_kunit_books_rest(test, now) && now->pool_bytes >= before->pool_bytes &&
	       !((now->pool_bytes - before->pool_bytes) % PAGE_SIZE);
}

void kmh_kunit_same_books(struct kunit *test, const struct kmh_kunit_books *before)
{
	struct kmh_kunit_books now;
	u64 grown;

	/* The default heap's workers may be at something; what has leaked never comes back. */
	kmh_kunit_wait_for(test, kmh_kunit_pools_fit(test, before, &now));
	KUNIT_EXPECT_EQ(test, now.nheaps, before->nheaps);
	KUNIT_EXPECT_EQ_MSG(test, now.narenas, 0L, "arenas that no heap knows");
	KUNIT_EXPECT_EQ_MSG(test, now.nblock_pages, 0L, "pages of blocks that no heap knows");
	KUNIT_EXPECT_GE(test, now.pool_bytes, before->pool_bytes);
	KUNIT_EXPECT_EQ_MSG(test, (now.pool_bytes - before->pool_bytes) % PAGE_SIZE,
			    0ULL, "span metadata leaks: %llu bytes, before %llu", now.pool_bytes,
			    before->pool_bytes);
	/*
	 * The map keeps what it has grown by: leaves of one size, and now and then a first
	 * level.
	 */
	grown = now.map_bytes - before->map_bytes;
	if (grown % sizeof(struct kmh_leaf))
		KUNIT_EXPECT_GT(test, now.ntables, before->ntables);
	else
		KUNIT_EXPECT_EQ_MSG(test, now.ntables - before->ntables,
				    (long)(grown / sizeof(struct kmh_leaf)),
				    "the map has grown by %llu bytes", grown);
}

static int kmh_kunit_new_heap(struct kunit *test)
{
	struct kmh_kunit *k = kmh_kunit(test);

	k->heap = kmheap_create("kunit", NULL);
	if (IS_ERR(k->heap)) {
		k->heap = NULL;
		KUNIT_FAIL(test, "no heap for the case");
		return -ENOMEM;
	}
	/* Workers would tidy the lists that cases look at. */
	kmh_kick_stop(&k->heap->scavenge.kick);
	kmh_kick_stop(&k->heap->idle.kick);
	return 0;
}

struct kmheap *kmh_kunit_of_areas(struct kunit *test)
{
	WRITE_ONCE(kmh_backing_default, KMH_BACKING_AREA);
	if (kmh_kunit_heap(test)->backing != KMH_BACKING_AREA) {
		kmheap_destroy(kmh_kunit_heap(test));
		KUNIT_ASSERT_EQ(test, kmh_kunit_new_heap(test), 0);
	}
	return kmh_kunit_heap(test);
}

int kmh_kunit_init_areas(struct kunit *test)
{
	int err = kmh_kunit_init(test);

	if (!err)
		kmh_kunit_of_areas(test);
	return err;
}

int kmh_kunit_init(struct kunit *test)
{
	struct kmh_kunit *k = kunit_kzalloc(test, sizeof(*k), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, k);
	k->test = test;
	raw_spin_lock_init(&k->lock);
	test->priv = k;
	kmh_kunit_books(test, &k->before);
	kmh_kunit_now = k;
	WRITE_ONCE(kmh_report_hook, kmh_kunit_hook);
	k->backing = READ_ONCE(kmh_backing_default);
	return kmh_kunit_new_heap(test);
}

void kmh_kunit_shut_depots(struct kunit *test)
{
	WRITE_ONCE(kmh_depot_shut, true);
}

void kmh_kunit_exit(struct kunit *test)
{
	struct kmh_kunit *k = kmh_kunit(test);
	struct kmheap_stats st;

	if (!k)
		return;
	kmh_kunit_disarm();
	atomic_long_set(&kmh_fail_nth, 0);
	WRITE_ONCE(kmh_backing_default, k->backing);
	WRITE_ONCE(kmh_depot_shut, false);
	if (k->heap) {
		kmh_kunit_validate(test);
		kmh_kunit_balanced(test, k->heap, &st);
		kmheap_destroy(k->heap);
	}
	kmh_kunit_no_reports(test);
	kmh_kunit_validate(test);
	kmh_kunit_same_books(test, &k->before);
	WRITE_ONCE(kmh_report_hook, NULL);
}

struct kmheap *kmh_kunit_ended_heap(struct kunit *test, const char *name, unsigned int flags)
{
	const struct kmheap_attr attr = { .flags = flags };
	struct kmheap *heap = kmheap_create(name, &attr);
	void *p;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	p = kmheap_alloc(heap, 100, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	kmheap_free(p);
	kmheap_destroy(heap);
	return heap;
}

void kmh_kunit_elsewhere(struct kunit *test, void (*fn)(void *arg), void *arg)
{
	unsigned int cpu;

	KUNIT_ASSERT_GE_MSG(test, num_online_cpus(), 2U, "the suites need two CPUs");
	migrate_disable();
	cpu = cpumask_any_but(cpu_online_mask, smp_processor_id());
	smp_call_function_single(cpu, fn, arg, true);
	migrate_enable();
}

struct kmh_kunit_thread {
	struct task_struct *task;
	struct completion *go;
	struct completion done;
	void (*fn)(void *arg, unsigned int i);
	void *arg;
	unsigned int i;
};

static int kmh_kunit_thread(void *data)
{
	struct kmh_kunit_thread *t = data;

	wait_for_completion(t->go);
	t->fn(t->arg, t->i);
	complete(&t->done);
	return 0;
}

void kmh_kunit_threads(struct kunit *test, unsigned int n,
		       void (*fn)(void *arg, unsigned int i), void *arg)
{
	struct kmh_kunit_thread *t = kunit_kcalloc(test, n, sizeof(*t), GFP_KERNEL);
	DECLARE_COMPLETION_ONSTACK(go);
	unsigned int i, cpu = cpumask_first(cpu_online_mask);

	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_ASSERT_LE(test, n, KMH_KUNIT_THREADS);
	for (i = 0; i < n; i++) {
		t[i] = (struct kmh_kunit_thread){ .go = &go, .fn = fn, .arg = arg, .i = i };
		init_completion(&t[i].done);
		t[i].task = kthread_create(kmh_kunit_thread, &t[i], "kmheap_kunit/%u", i);
		if (IS_ERR(t[i].task)) {
			KUNIT_FAIL(test, "thread %u: %pe", i, t[i].task);
			complete(&t[i].done);
			continue;
		}
		kthread_bind(t[i].task, cpu);
		wake_up_process(t[i].task);
		cpu = cpumask_next(cpu, cpu_online_mask);
		if (cpu >= nr_cpu_ids)
			cpu = cpumask_first(cpu_online_mask);
	}
	complete_all(&go);
	for (i = 0; i < n; i++)
		wait_for_completion(&t[i].done);
}

struct kmh_kunit_call {
	void (*fn)(void *arg);
	void *arg;
};

static long kmh_kunit_call(void *data)
{
	struct kmh_kunit_call *c = data;

	c->fn(c->arg);
	return 0;
}

void kmh_kunit_on_cpu(struct kunit *test, unsigned int cpu, void (*fn)(void *arg), void *arg)
{
	struct kmh_kunit_call c = { .fn = fn, .arg = arg };

	KUNIT_ASSERT_EQ(test, work_on_cpu(cpu, kmh_kunit_call, &c), 0L);
}

/* Each case runs in a thread of its own, in which .init runs, too. */
void kmh_kunit_stay(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id())), 0);
}

/* Take one span from mcentral; the others of the chain, if any, go back. Preemption off. */
struct kmh_mspan *kmh_kunit_cache_span(struct kmh_node *node, unsigned int spanclass)
{
	struct llist_node *first = kmh_mcentral_cache_spans(node, spanclass, NULL), *more;
	struct kmh_mspan *s, *next;

	if (!first)
		return NULL;
	more = first->next;
	llist_for_each_entry_safe(s, next, more, node)
		kmh_mcentral_uncache_span(node, s);
	return llist_entry(first, struct kmh_mspan, node);
}

/* Give back the slots that a class has set aside. */
static void put_window(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_mcslot *c = &mc->slot[spanclass];
	struct kmh_slots *w;

	if (!c->avail)
		return;
	w = &c->span->w[(c->wcell - c->span->cell) / KMH_WORD_SLOTS];
	WRITE_ONCE(w->free, w->free | c->avail);
	mc->taken[spanclass] -= hweight_long(c->avail);
	c->avail = 0;
}

/*
 * This CPU has nothing in magazines and no slots set aside any more: its next allocation looks at
 * the window and takes the lowest free slot.
 */
void kmh_kunit_look_again(struct kmheap *heap)
{
	struct kmh_mcache *mc;
	unsigned int i;

	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	if (kmh_mcache_enter(mc)) {
		kmh_magazines_drain(mc);
		for (i = 0; i < KMH_NR_SPANCLASSES; i++)
			put_window(mc, i);
		kmh_mcache_leave(mc);
	}
	preempt_enable();
}

static void free_magazines(struct kmh_mcache *mc)
{
	kmh_magazines_drain(mc);
	kmh_magazines_free(mc);
}

/*
 * From here on every free goes to its span: no CPU has a magazine, and none makes one, because each
 * takes all objects for those of another node. A CPU that is in its section is asked again.
 */
void kmh_kunit_no_magazines(struct kmheap *heap)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		WRITE_ONCE(per_cpu_ptr(heap->mcache, cpu)->nid, U16_MAX);
	while (kmh_mcache_visit(heap, free_magazines, NULL).busy)
		cpu_relax();
}

/* Take a free slot of a span that the case sweeps, as an mcache would. */
void kmh_kunit_take_slot(struct kmh_mspan *s, unsigned int slot)
{
	struct kmh_slots *w = &s->w[slot / KMH_WORD_SLOTS];

	WRITE_ONCE(w->free, w->free & ~BIT(slot % KMH_WORD_SLOTS));
	WRITE_ONCE(s->cell[slot], KMH_CELL_LIVE);
}

struct kmh_kunit_wait kmh_kunit_wait_begin(void)
{
	return (struct kmh_kunit_wait){ .end = jiffies + 60 * HZ };
}

/* A host that stands still for a minute does not end the wait: there has to be another look. */
bool kmh_kunit_spin_more(struct kmh_kunit_wait *w)
{
	cpu_relax();
	return ++w->looks <= 1000 || !time_after(jiffies, w->end);
}

bool kmh_kunit_wait_more(struct kmh_kunit_wait *w)
{
	if (!kmh_kunit_spin_more(w))
		return false;
	usleep_range(1000, 2000);
	return true;
}

static bool is_settled(struct kmheap *heap)
{
	struct kmh_node *node;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid)))
		if (irq_work_is_busy(&node->mheap.kick) || work_busy(&node->mheap.work))
			return false;
	return true;
}

/* A worker that misses work kicks the next one, so one flush is not enough. */
void kmh_kunit_settle(struct kmheap *heap)
{
	struct kmh_kunit_wait wait = kmh_kunit_wait_begin();
	struct kmh_node *node;
	int nid;

	heap = kmh_heap_or_default(heap);
	do {
		nid = -1;
		while ((node = kmh_next_node(heap, &nid)))
			irq_work_sync(&node->mheap.kick);
		flush_workqueue(kmh_grow_wq);
		flush_workqueue(kmh_wq);
	} while (!is_settled(heap) && kmh_kunit_wait_more(&wait));
}

void kmh_kunit_no_worker(struct kmheap *heap)
{
	struct kmh_node *node;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid)))
		WRITE_ONCE(node->mheap.ahead_after, jiffies + 1000 * HZ);
	kmh_kunit_settle(heap);
}

/* Sweep a claimed span as its claimer does, with preemption off. */
void kmh_kunit_sweep_claimed(struct kmh_mspan *s)
{
	preempt_disable();
	kmh_mcentral_sweep_claimed(s);
	preempt_enable();
}

/* Sizes and addresses are multiples of 4. A pattern names its object and the offset in it. */
static u32 pattern(const void *p, size_t word)
{
	return (u32)((unsigned long)p >> 2) * 0x9e3779b1U + word;
}

void kmh_kunit_fill(void *p)
{
	size_t i, nwords = kmh_live_bytes(p) / sizeof(u32);
	u32 *word = p;

	for (i = 0; i < nwords; i++)
		word[i] = pattern(p, i);
}

bool kmh_kunit_filled(const void *p)
{
	size_t i, nwords = kmh_live_bytes(p) / sizeof(u32);
	const u32 *word = p;

	for (i = 0; i < nwords; i++)
		if (word[i] != pattern(p, i))
			return false;
	return nwords;
}

#define FIRE_THREADS	4U		/* one of them takes the steps */
#define FIRE_BOXES	4096U
#define FIRE_TURN	(15 * FIRE_BOXES)	/* swaps that fill all boxes, or empty them */
#define FIRE_SWAPS	100000U		/* of each thread */
#define FIRE_SECONDS	200U		/* while no step has returned true */

struct kmh_kunit_fire {
	struct kmheap *heap;
	bool (*step)(struct kmheap *heap, unsigned int n);
	void *box[FIRE_BOXES];
	atomic_t nrunning, nswaps, nspoilt;
	bool enough;
};

/*
 * Put @p, or nothing, into @box with its own address as its contents, and free the object that
 * was there. False: that object's contents had changed.
 */
static bool fire_swap(void **box, u32 *p)
{
	bool whole;

	if (p)
		*p = (u32)(unsigned long)p;
	p = xchg(box, p);
	whole = !p || *p == (u32)(unsigned long)p;
	kmheap_free(p);
	return whole;
}

static void fire_steps(struct kmh_kunit_fire *f)
{
	unsigned int n;

	for (n = 0; atomic_read(&f->nrunning); n++) {
		if (f->step(f->heap, n))
			WRITE_ONCE(f->enough, true);
		cond_resched();
	}
}

static void fire_thread(void *arg, unsigned int i)
{
	unsigned long end = jiffies + FIRE_SECONDS * HZ;
	struct kmh_kunit_fire *f = arg;
	struct rnd_state rnd;
	unsigned int n;

	if (!i) {
		fire_steps(f);
		return;
	}
	prandom_seed_state(&rnd, i);
	for (n = 0; n < FIRE_SWAPS || (!READ_ONCE(f->enough) && time_before(jiffies, end)); n++) {
		bool fill = atomic_inc_return(&f->nswaps) / FIRE_TURN % 2 == 0;
		u32 draw = prandom_u32_state(&rnd);
		size_t bytes = draw % 97 ? 8 + draw % 3000 : SZ_64K;
		u32 *p = fill ? kmheap_alloc(f->heap, bytes, GFP_KERNEL) : NULL;

		if (!fire_swap(&f->box[draw / 3000 % FIRE_BOXES], p))
			atomic_inc(&f->nspoilt);
		if (n % 64 == 0)
			cond_resched();
	}
	atomic_dec(&f->nrunning);
}

void kmh_kunit_under_fire(struct kunit *test, struct kmheap *heap,
			  bool (*step)(struct kmheap *heap, unsigned int n))
{
	struct kmh_kunit_fire *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->heap = heap;
	f->step = step;
	atomic_set(&f->nrunning, FIRE_THREADS - 1);
	kmh_kunit_threads(test, FIRE_THREADS, fire_thread, f);
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&f->nspoilt), 0, "objects have changed");
	KUNIT_EXPECT_TRUE_MSG(test, f->enough, "no step returned true");
	kmh_kunit_validate(test);
	kmheap_free_bulk(FIRE_BOXES, f->box);
}

size_t kmh_kunit_class_bytes(size_t bytes)
{
	unsigned int class;

	for (class = 1; class < KMH_NR_CLASSES; class++)
		if (kmh_class_size(class) >= bytes)
			return kmh_class_size(class);
	return round_up(bytes, KMH_PAGE_SIZE);
}
