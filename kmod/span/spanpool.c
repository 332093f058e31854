// SPDX-License-Identifier: GPL-2.0
/*
 * Descriptors of spans, kept ready for callers that cannot sleep.
 *
 * Each pool has those of one number of slots. A pool that such callers have nearly emptied
 * keeps more from then on; the worker refills it (grow.c).
 *
 * An owner who asks for a reserve (kmheap_set_reserve()) gets as many spans as the reserve has
 * pages, of whatever classes. So that not every pool has to have so many, the descriptors to come
 * are kept as pages of the kernel, from which each pool can have some cut when it is empty.
 */
#include <linux/build_bug.h>
#include <linux/llist.h>
#include <linux/minmax.h>
#include <linux/sched.h>

#include "span/spanpool.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/fixalloc.h"
#include "base/lock.h"
#include "base/sizeclass.h"
#include "base/testpoint.h"
#include "span/mspan.h"

/*
 * Slot words and cells of a descriptor, by pool: those of large spans, then of small ones, from few
 * slots to many. Where there are few, cells and words lie in one cache line. The header takes 128
 * bytes, the state of a word 40 and fixalloc's link 8, so the strides are 192 twice, 256, 384, 448,
 * 576, 768, 1,024 and 1,856 bytes.
 *
 * All small spans that a descriptor ever describes have their cells and words in the same places: a
 * free that comes too late may act on a cell or a remote bit a moment after the descriptor became
 * another span, and must find one there. Large spans, whose remote bit means more and who have no
 * cells, never use descriptors of small ones.
 */
static const struct {
	u8 words;
	u16 cells;
} kmh_pool_slots[] = {
	{ 1, 0 }, { 1, 16 }, { 1, 64 }, { 2, 128 }, { 3, 192 }, { 4, 256 }, { 6, 384 }, { 8, 512 },
	{ 16, 1024 }
};

/* Behind the pools of descriptors: the states of one tiny span, a byte per block. */
#define KMH_TINY_POOL		ARRAY_SIZE(kmh_pool_slots)
#define KMH_NR_POOLS		(KMH_TINY_POOL + 1)
#define KMH_TINY_STATE_BYTES	(KMH_PAGE_SIZE / 16)

static const char * const kmh_pool_names[KMH_NR_POOLS] = {
	"mspan-large", "mspan-short", "mspan-1", "mspan-2", "mspan-3", "mspan-4", "mspan-6",
	"mspan-8", "mspan-16", "tiny"
};

static struct kmh_fixalloc kmh_span_pool[KMH_NR_POOLS];

/*
 * Free descriptors to keep in each pool; 0: the default. Doubled at most once between two
 * refills; @kmh_pool_raised says that it has been. Racy: at worst one doubling too many or
 * too few.
 */
static unsigned int kmh_pool_want[KMH_NR_POOLS];
static bool kmh_pool_raised[KMH_NR_POOLS];

/*
 * The module's limit has forbidden to refill a pool. While it does, callers that can sleep leave
 * nothing to others: no refill would follow. Racy, like @kmh_pool_raised.
 */
static bool kmh_pools_at_limit;

/* Spans for which all owners of heaps together have asked for a reserve. */
static atomic_long_t kmh_kept_spans;

/*
 * Pages that are no pool's yet, for these. Who takes one holds the lock, since only one caller at a
 * time may take from a llist.
 */
static LLIST_HEAD(kmh_kept);
static atomic_long_t kmh_nkept;
static DEFINE_RAW_SPINLOCK(kmh_kept_lock);

unsigned int kmh_spanclass_words(unsigned int spanclass)
{
	if (spanclass == KMH_SPANCLASS_LARGE)
		return 1;
	return kmh_classes[kmh_spanclass_class(spanclass)].nwords;
}

static unsigned int kmh_spanclass_pool(unsigned int spanclass)
{
	unsigned int nelems = kmh_classes[kmh_spanclass_class(spanclass)].nelems, pool = 1;

	if (spanclass == KMH_SPANCLASS_LARGE)
		return 0;
	while (kmh_pool_slots[pool].cells < nelems)	/* the words fit: KUnit tries all classes */
		pool++;
	return pool;
}

void kmh_mspan_pools_init(void)
{
	unsigned int i;

	BUILD_BUG_ON(offsetof(struct kmh_mspan, base) != 64);
	BUILD_BUG_ON(offsetof(struct kmh_mspan, cell) != 128);
	for (i = 0; i < KMH_NR_POOLS; i++) {
		size_t bytes = i == KMH_TINY_POOL ? KMH_TINY_STATE_BYTES :
			       sizeof(struct kmh_mspan) + kmh_pool_slots[i].cells +
			       kmh_pool_slots[i].words * KMH_WORD_BYTES;

		kmh_fixalloc_init(&kmh_span_pool[i], kmh_pool_names[i], bytes, 64);
		kmh_fixalloc_share(&kmh_span_pool[i]);
	}
}

#ifdef KMHEAP_KUNIT
/* The pool of a class, for the suites. */
struct kmh_fixalloc *kmh_mspan_pool(unsigned int spanclass)
{
	return &kmh_span_pool[kmh_spanclass_pool(spanclass)];
}
#endif

/* ---- pages that are kept for owners' reserves */

/* A kept page is linked where a chunk is (fixalloc.c), so that its items begin as zeroes. */
static void kmh_kept_put(void *page)
{
	struct llist_node *node = page + PAGE_SIZE - sizeof(*node);

	llist_add(node, &kmh_kept);
	atomic_long_inc(&kmh_nkept);
}

/* Context: any. Nested (lock.h) only tries the lock. Return: a page, or NULL. */
static void *kmh_kept_take(void)
{
	struct llist_node *node;
	unsigned long flags;

	if (llist_empty(&kmh_kept) || !kmh_lock_irqsave(&kmh_kept_lock, flags))
		return NULL;
	node = llist_del_first(&kmh_kept);
	kmh_unlock_irqrestore(&kmh_kept_lock, flags);
	if (!node)
		return NULL;
	atomic_long_dec(&kmh_nkept);
	return (void *)(node + 1) - PAGE_SIZE;
}

/*
 * The pages to keep. Spans of the most slots have the fewest descriptors to a page, and those of
 * packed data, with their states, take no more than these; each pool may use its last page in part.
 */
static long kmh_kept_goal(void)
{
	unsigned long nspans = atomic_long_read(&kmh_kept_spans);

	return nspans ? DIV_ROUND_UP(nspans, kmh_span_pool[KMH_TINY_POOL - 1].per_chunk) +
			KMH_NR_POOLS : 0;
}

/* The reserves of owners are for @nspans spans more, or fewer. Context: process context; sleeps. */
void kmh_mspan_pools_keep(long nspans)
{
	void *page;

	atomic_long_add(nspans, &kmh_kept_spans);
	while (atomic_long_read(&kmh_nkept) > kmh_kept_goal() && (page = kmh_kept_take())) {
		kmh_shared_account(-(long)PAGE_SIZE);
		kmh_backend_free_pages(page, 0);
		cond_resched();
	}
}

/*
 * Fetch what is missing of the pages to keep. Context: process context; sleeps, as @gfp must allow.
 * Return: 0, -ENOMEM, or -EDQUOT where the module's limit forbids it; what has been fetched stays.
 */
int kmh_mspan_kept_refill(gfp_t gfp)
{
	void *page;

	while (atomic_long_read(&kmh_nkept) < kmh_kept_goal()) {
		if (!kmh_shared_try_account(PAGE_SIZE))
			return -EDQUOT;
		page = kmh_backend_pages(0, gfp);
		if (!page) {
			kmh_shared_account(-(long)PAGE_SIZE);
			return -ENOMEM;
		}
		kmh_kept_put(page);
		cond_resched();
	}
	return 0;
}

/* Cut items for a pool from a kept page. Context: any. Return: false when that cannot be now. */
static bool kmh_pool_adopt(unsigned int pool)
{
	void *page = kmh_kept_take();

	if (!page)
		return false;
	if (!kmh_fixalloc_adopt(&kmh_span_pool[pool], page)) {
		kmh_kept_put(page);
		return false;
	}
	kmh_shared_account(-(long)PAGE_SIZE);	/* it is the pool's now */
	return true;
}

/*
 * @kept: the caller may have what is kept for owners' reserves. Where the pool is not empty, a
 * nested one has found the lock held: it tries once more before it takes that.
 */
static void *kmh_pool_get(unsigned int pool, bool kept)
{
	struct kmh_fixalloc *f = &kmh_span_pool[pool];
	bool again = true;
	void *item;

	while (!(item = kmh_fixalloc_get(f)) && kept) {
		kmh_test_point("a pool gives nothing");
		if (again && READ_ONCE(f->nfree))
			again = false;
		else if (!kmh_pool_adopt(pool))
			break;
	}
	return item;
}

/* ---- the pools */

void kmh_mspan_pools_destroy(void)
{
	unsigned int i;

	for (i = 0; i < KMH_NR_POOLS; i++)
		kmh_fixalloc_destroy(&kmh_span_pool[i]);
}

/*
 * Items that are to be free in @pool where @nobjs are in the pools of one word. The others are for
 * spans of 2 to 16 times the objects, so a quarter of @nobjs suffices; one in 16 for tiny spans.
 */
static unsigned int kmh_pool_goal(unsigned int pool, unsigned int nobjs)
{
	unsigned int share = pool == KMH_TINY_POOL ? 16 : kmh_pool_slots[pool].words > 1 ? 4 : 1;

	return max(DIV_ROUND_UP(nobjs, share), READ_ONCE(kmh_pool_want[pool]));
}

/* Are at most @quarters quarters free of what is to be free? */
static bool kmh_pool_below(unsigned int pool, unsigned int quarters)
{
	return 4 * READ_ONCE(kmh_span_pool[pool].nfree) <=
	       quarters * kmh_pool_goal(pool, KMH_SPAN_RESERVE);
}

/* Fill all pools as kmh_pool_goal() says for @nobjs; 0: one descriptor in each. */
static int kmh_pools_fill(unsigned int nobjs, gfp_t gfp)
{
	unsigned int i;
	int err;

	for (i = 0; i < KMH_NR_POOLS; i++) {
		err = kmh_fixalloc_refill(&kmh_span_pool[i], nobjs ? kmh_pool_goal(i, nobjs) : 1,
					  gfp);
		if (err)
			return err;
		if (nobjs)
			WRITE_ONCE(kmh_pool_raised[i], false);
	}
	return 0;
}

/*
 * Make sure that spans can be had without allocating: @nobjs of one slot word, and of the others
 * as kmh_pool_goal() says. For reclaim, which gets the last pages there are, only the descriptor
 * that the next span needs; others get that first, too, so that at the module's limit no pool has
 * all that there is room for while another one is empty.
 * Context: process context; sleeps, as @gfp must allow.
 * Return: 0, -ENOMEM or -EDQUOT (kmh_fixalloc_refill()); what could be reserved stays reserved.
 */
int kmh_mspan_pools_refill(unsigned int nobjs, gfp_t gfp)
{
	bool reclaim = current->flags & PF_MEMALLOC;
	int err = kmh_pools_fill(0, gfp);

	if (!err && !reclaim)
		err = kmh_pools_fill(nobjs, gfp);
	if (err || !reclaim)
		WRITE_ONCE(kmh_pools_at_limit, err == -EDQUOT);
	return err;
}

/*
 * kmh_mspan_pools_refill() of what is always kept; but where the module's limit forbids that, one
 * in each pool suffices.
 */
int kmh_mspan_pools_suffice(gfp_t gfp)
{
	int err = kmh_mspan_pools_refill(KMH_SPAN_RESERVE, gfp);
	unsigned int i;

	if (err != -EDQUOT)
		return err;
	for (i = 0; i < KMH_NR_POOLS; i++)
		if (!READ_ONCE(kmh_span_pool[i].nfree))
			return err;
	return 0;
}

/*
 * Is there no descriptor for @spanclass for a caller that can sleep? Such a caller leaves a
 * pool alone of which callers that cannot have run short, where the module's limit lets it be
 * refilled; reclaim may take the last descriptor. Context: process context.
 */
bool kmh_mspan_pools_short(unsigned int spanclass)
{
	unsigned int pool = kmh_spanclass_pool(spanclass);

	return !READ_ONCE(kmh_span_pool[pool].nfree) ||
	       (!(current->flags & PF_MEMALLOC) &&
		!READ_ONCE(kmh_pools_at_limit) && READ_ONCE(kmh_pool_want[pool]) &&
		kmh_pool_below(pool, 1)) ||
	       (spanclass == KMH_SPANCLASS_TINY && !READ_ONCE(kmh_span_pool[KMH_TINY_POOL].nfree));
}

/*
 * A caller that cannot sleep has taken a descriptor for a span of @spanclass. When half of a pool
 * has gone before a refill, twice as many will be kept. The refill is asked for when a quarter has
 * gone, so at a steady rate a quarter is left, and when a page has that was kept for a reserve.
 * Context: any. Return: true when the worker is to refill.
 */
bool kmh_mspan_pools_draw(unsigned int spanclass)
{
	unsigned int pool = kmh_spanclass_pool(spanclass);

	if (likely(!kmh_pool_below(pool, 3)))
		return atomic_long_read(&kmh_nkept) < kmh_kept_goal();
	if (kmh_pool_below(pool, 2) && !READ_ONCE(kmh_pool_raised[pool])) {
		WRITE_ONCE(kmh_pool_raised[pool], true);
		WRITE_ONCE(kmh_pool_want[pool],
			   min(2 * kmh_pool_goal(pool, KMH_SPAN_RESERVE), KMH_SPAN_RESERVE_MAX));
	}
	return true;
}

/* Bytes of descriptors that the worker has yet to fetch. */
u64 kmh_mspan_pools_missing_bytes(void)
{
	u64 bytes = kmh_less(kmh_kept_goal(), max(atomic_long_read(&kmh_nkept), 0L)) * PAGE_SIZE;
	unsigned int i;

	for (i = 0; i < KMH_TINY_POOL; i++)
		if (kmh_pool_below(i, 3))
			bytes += kmh_span_pool[i].size *
				 kmh_less(kmh_pool_goal(i, KMH_SPAN_RESERVE),
					  READ_ONCE(kmh_span_pool[i].nfree));
	return bytes;
}

static struct kmh_mspan *__kmh_mspan_get(unsigned int spanclass, bool kept)
{
	unsigned int pool = kmh_spanclass_pool(spanclass);
	struct kmh_mspan *s = kmh_pool_get(pool, kept);

	if (!s)
		return NULL;
	s->pool = pool;
	s->nwords = kmh_spanclass_words(spanclass);
	s->w = (struct kmh_slots *)&s->cell[kmh_pool_slots[pool].cells];
	WRITE_ONCE(s->state, KMH_SPAN_FREED);
	if (spanclass != KMH_SPANCLASS_TINY)
		return s;

	s->tiny = kmh_pool_get(KMH_TINY_POOL, kept);
	if (!s->tiny) {
		kmh_mspan_put(s);
		return NULL;
	}
	memset(s->tiny, 0, KMH_TINY_STATE_BYTES);
	smp_wmb();	/* pointer, state: pairs with kmh_tiny_states() */
	WRITE_ONCE(s->state, KMH_SPAN_TINY);	/* kmh_mspan_put() reads it */
	return s;
}

/*
 * A descriptor for a span of @spanclass, with only @pool, @nwords and, for tiny spans, @tiny set;
 * NULL when the pool is empty. The other fields are what its last user left. Context: any.
 */
struct kmh_mspan *kmh_mspan_get(unsigned int spanclass)
{
	return __kmh_mspan_get(spanclass, false);
}

/* kmh_mspan_get() for whom owners' reserves are for. Context: any. */
struct kmh_mspan *kmh_mspan_get_kept(unsigned int spanclass)
{
	return __kmh_mspan_get(spanclass, true);
}

/* Has the descriptor states of packed blocks? In a lost arena the class tells: lost_arena.c. */
static bool kmh_mspan_has_tiny(const struct kmh_mspan *s)
{
	return s->state == KMH_SPAN_TINY ||
	       (s->state == KMH_SPAN_GONE && s->spanclass == KMH_SPANCLASS_TINY);
}

/* Give a descriptor back. Only stale pointers lead to it. */
void kmh_mspan_put(struct kmh_mspan *s)
{
	atomic_t *tiny = kmh_mspan_has_tiny(s) ? s->tiny : NULL;

	/* A late reader finds a span without slots that is not to be announced. */
	WRITE_ONCE(s->nfast, 0);
	WRITE_ONCE(s->state, KMH_SPAN_FREED);
	smp_wmb();	/* then its words are used for another: pairs with kmh_tiny_states() */
	if (tiny)
		kmh_fixalloc_put(&kmh_span_pool[KMH_TINY_POOL], tiny);
	WRITE_ONCE(s->owner, NULL);
	atomic_set(&s->home, KMH_HOME_CACHED);
	kmh_fixalloc_put(&kmh_span_pool[s->pool], s);
}

size_t kmh_mspan_bytes(const struct kmh_mspan *s)
{
	return kmh_span_pool[s->pool].size + (kmh_mspan_has_tiny(s) ? KMH_TINY_STATE_BYTES : 0);
}
