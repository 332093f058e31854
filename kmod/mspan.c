// SPDX-License-Identifier: GPL-2.0
/*
 * Spans: the state of their slots, and where their metadata comes from.
 *
 * After Go's mspan (src/runtime/mheap.go, mbitmap.go): free state out of line,
 * found with a count of trailing zeros. Different from Go in that an explicit free
 * may come from any CPU, which is what the remote half of a slot word is for.
 */
#include <linux/bitops.h>

#include "mspan.h"
#include "fixalloc.h"
#include "fold.h"
#include "heap.h"
#include "spanpool.h"

/*
 * Slot words per pool: of large spans, and the numbers of words that classes have. The
 * header takes 112 bytes, the state of a word 40 and fixalloc's link 8, so the strides are
 * 192, 192, 256, 256, 320, 384, 448 and 768 bytes.
 *
 * All small spans that a piece of metadata ever describes have their words in the same
 * places: a magazine may act on a bit a moment after the span became another one, and must
 * find a remote bit there (kmh_magazine_claim()). Large spans, whose remote bit means more,
 * are never where small ones were.
 */
static const u8 kmh_pool_words[KMH_SPAN_POOLS] = { 1, 1, 2, 3, 4, 6, 8, 16 };
static const char * const kmh_pool_names[KMH_SPAN_POOLS] = {
	"mspan-large", "mspan-1", "mspan-2", "mspan-3", "mspan-4", "mspan-6", "mspan-8", "mspan-16"
};

static struct kmh_fixalloc kmh_span_pool[KMH_SPAN_POOLS];
static struct kmh_fixalloc kmh_tiny_pool;

/*
 * How many are to be free, if not as few as always. It only grows, once for each refill;
 * @kmh_pool_raised: it has, since the last one. Both are racy by design.
 */
static unsigned int kmh_pool_want[KMH_SPAN_POOLS];
static bool kmh_pool_raised[KMH_SPAN_POOLS];

/* State bytes of one tiny span: a byte per block. */
#define KMH_TINY_STATE_BYTES	(KMH_PAGE_SIZE / 16)

static size_t kmh_pool_bytes(unsigned int pool)
{
	return sizeof(struct kmh_mspan) + kmh_pool_words[pool] * KMH_WORD_BYTES;
}

static unsigned int kmh_spanclass_words(unsigned int spanclass)
{
	if (spanclass == KMH_SPANCLASS_LARGE)
		return 1;
	if (spanclass == KMH_SPANCLASS_TINY)
		return KMH_PAGE_SIZE / 16 / KMH_WORD_SLOTS;
	return kmh_classes[kmh_spanclass_class(spanclass)].nwords;
}

static unsigned int kmh_spanclass_pool(unsigned int spanclass)
{
	unsigned int nwords = kmh_spanclass_words(spanclass), pool = 1;

	if (spanclass == KMH_SPANCLASS_LARGE)
		return 0;
	while (kmh_pool_words[pool] < nwords)	/* equal in the end: KUnit has them all */
		pool++;
	return pool;
}

void kmh_mspan_pools_init(void)
{
	unsigned int i;

	BUILD_BUG_ON(sizeof(struct kmh_mspan) != 112);
	BUILD_BUG_ON(offsetof(struct kmh_mspan, base) != 64);
	for (i = 0; i < KMH_SPAN_POOLS; i++) {
		kmh_fixalloc_init(&kmh_span_pool[i], kmh_pool_names[i], kmh_pool_bytes(i), 64);
		kmh_fixalloc_share(&kmh_span_pool[i]);
	}
	kmh_fixalloc_init(&kmh_tiny_pool, "tiny", KMH_TINY_STATE_BYTES, 64);
	kmh_fixalloc_share(&kmh_tiny_pool);
}

void kmh_mspan_pools_destroy(void)
{
	unsigned int i;

	for (i = 0; i < KMH_SPAN_POOLS; i++)
		kmh_fixalloc_destroy(&kmh_span_pool[i]);
	kmh_fixalloc_destroy(&kmh_tiny_pool);
}

/* For as many spans all owners of heaps together have asked for a reserve. */
static atomic_long_t kmh_pool_kept;

/* How many of a kind make up @nobjs of the common ones. */
static unsigned int kmh_pool_share(unsigned int pool, unsigned int nobjs)
{
	return pool > 1 ? DIV_ROUND_UP(nobjs, 4) : nobjs;
}

/* How many of any kind are not for callers that can sleep, because of an owner. */
static unsigned int kmh_pool_floor(void)
{
	return atomic_long_read(&kmh_pool_kept);
}

/* How many of a kind are to be free where @nobjs of the common ones are. */
static unsigned int kmh_pool_goal(unsigned int pool, unsigned int nobjs)
{
	return max(kmh_pool_share(pool, nobjs), READ_ONCE(kmh_pool_want[pool])) +
	       kmh_pool_floor();
}

/* Owners want the descriptors of so many spans more, or fewer, kept ready. */
void kmh_mspan_pools_keep(long nspans)
{
	atomic_long_add(nspans, &kmh_pool_kept);
}

/* Is no more than @quarters quarters of what is to be free? */
static bool kmh_pool_below(unsigned int pool, unsigned int quarters)
{
	return 4 * READ_ONCE(kmh_span_pool[pool].nfree) <=
	       quarters * kmh_pool_goal(pool, KMH_SPAN_RESERVE);
}

/* For reclaim, which gets the last pages there are: what the next span needs, and no more. */
static int kmh_mspan_pools_reserve_one(gfp_t gfp)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < KMH_SPAN_POOLS; i++)
		err = kmh_fixalloc_reserve(&kmh_span_pool[i], 1, gfp);
	return err ?: kmh_fixalloc_reserve(&kmh_tiny_pool, 1, gfp);
}

/**
 * kmh_mspan_pools_reserve() - make sure that spans can be had without allocating
 * @nobjs: how many of the common kinds (one slot word). The others hold 2 to 16
 *	times the objects, so a quarter of that will do; one in 16 for tiny spans.
 * @gfp: how hard to try; must allow sleeping.
 *
 * Context: Process context; sleeps.
 * Return: 0, -ENOMEM or -EDQUOT (kmh_fixalloc_reserve()); what could be reserved stays reserved.
 */
int kmh_mspan_pools_reserve(unsigned int nobjs, gfp_t gfp)
{
	unsigned int i;
	int err;

	if (current->flags & PF_MEMALLOC)
		return kmh_mspan_pools_reserve_one(gfp);
	for (i = 0; i < KMH_SPAN_POOLS; i++) {
		err = kmh_fixalloc_reserve(&kmh_span_pool[i], kmh_pool_goal(i, nobjs), gfp);
		if (err)
			return err;
		WRITE_ONCE(kmh_pool_raised[i], false);
	}
	return kmh_fixalloc_reserve(&kmh_tiny_pool, DIV_ROUND_UP(nobjs, 16) + kmh_pool_floor(),
				    gfp);
}

/*
 * Is there no metadata for @spanclass for a caller that can sleep? What others have been short
 * of is left to them, but for reclaim. Context: process context.
 */
bool kmh_mspan_pools_short(unsigned int spanclass)
{
	unsigned int pool = kmh_spanclass_pool(spanclass);

	return !READ_ONCE(kmh_span_pool[pool].nfree) ||
	       (!(current->flags & PF_MEMALLOC) &&
		(READ_ONCE(kmh_span_pool[pool].nfree) <= kmh_pool_floor() ||
		 (READ_ONCE(kmh_pool_want[pool]) && kmh_pool_below(pool, 1)))) ||
	       (spanclass == KMH_SPANCLASS_TINY && !READ_ONCE(kmh_tiny_pool.nfree));
}

/**
 * kmh_mspan_pools_draw() - somebody who cannot sleep takes metadata
 * @spanclass: for what.
 *
 * When half of it has gone before a refill, twice as much will be kept. The refill comes when
 * a quarter has gone, so at a steady rate there is a quarter left.
 *
 * Context: Any.
 * Return: true when the worker is to refill.
 */
bool kmh_mspan_pools_draw(unsigned int spanclass)
{
	unsigned int pool = kmh_spanclass_pool(spanclass);

	if (likely(!kmh_pool_below(pool, 3)))
		return false;
	if (kmh_pool_below(pool, 2) && !READ_ONCE(kmh_pool_raised[pool])) {
		WRITE_ONCE(kmh_pool_raised[pool], true);
		WRITE_ONCE(kmh_pool_want[pool],
			   min(2 * (kmh_pool_goal(pool, KMH_SPAN_RESERVE) - kmh_pool_floor()),
			       KMH_SPAN_RESERVE_MAX));
	}
	return true;
}

/* Metadata that the worker has yet to fetch. */
u64 kmh_mspan_pools_missing_bytes(void)
{
	unsigned int i;
	u64 bytes = 0;

	for (i = 0; i < KMH_SPAN_POOLS; i++)
		if (kmh_pool_below(i, 3))
			bytes += kmh_pool_bytes(i) * (kmh_pool_goal(i, KMH_SPAN_RESERVE) -
						      READ_ONCE(kmh_span_pool[i].nfree));
	return bytes;
}

/**
 * kmh_mspan_get() - metadata for a span of a class
 * @spanclass: its class; decides how many slot words there are.
 *
 * Context: Any.
 * Return: a span with only @pool, @nwords and, for tiny ones, @tiny set; NULL when
 * the pool is empty. The rest is what its last user left.
 */
struct kmh_mspan *kmh_mspan_get(unsigned int spanclass)
{
	unsigned int pool = kmh_spanclass_pool(spanclass);
	struct kmh_mspan *s;

	s = kmh_fixalloc_get(&kmh_span_pool[pool]);
	if (!s)
		return NULL;
	s->pool = pool;
	s->nwords = kmh_spanclass_words(spanclass);
	WRITE_ONCE(s->state, KMH_SPAN_FREED);
	if (spanclass != KMH_SPANCLASS_TINY)
		return s;

	s->tiny = kmh_fixalloc_get(&kmh_tiny_pool);
	if (!s->tiny) {
		kmh_mspan_put(s);
		return NULL;
	}
	memset(s->tiny, 0, KMH_TINY_STATE_BYTES);
	smp_wmb();	/* pointer, state: pairs with kmh_tiny_states() */
	WRITE_ONCE(s->state, KMH_SPAN_TINY);	/* what kmh_mspan_put() goes by */
	return s;
}

/* One of packed data; what lost.c has taken out of use is told by its class alone. */
static bool kmh_mspan_has_tiny(const struct kmh_mspan *s)
{
	return s->state == KMH_SPAN_TINY ||
	       (s->state == KMH_SPAN_GONE && s->spanclass == KMH_SPANCLASS_TINY);
}

/* Give the metadata back. Nobody can reach the span but through a stale pointer. */
void kmh_mspan_put(struct kmh_mspan *s)
{
	atomic_t *tiny = kmh_mspan_has_tiny(s) ? s->tiny : NULL;

	/* A late reader finds a span without slots that is not to be announced. */
	WRITE_ONCE(s->nfast, 0);
	WRITE_ONCE(s->state, KMH_SPAN_FREED);
	smp_wmb();	/* then its words are used for another: pairs with kmh_tiny_states() */
	if (tiny)
		kmh_fixalloc_put(&kmh_tiny_pool, tiny);
	WRITE_ONCE(s->owner, NULL);
	atomic_set(&s->home, KMH_HOME_CACHED);
	kmh_fixalloc_put(&kmh_span_pool[s->pool], s);
}

/* Metadata bytes that this span accounts for. */
size_t kmh_mspan_bytes(const struct kmh_mspan *s)
{
	return kmh_pool_bytes(s->pool) + (kmh_mspan_has_tiny(s) ? KMH_TINY_STATE_BYTES : 0);
}

static void kmh_mspan_init_slots(struct kmh_mspan *s)
{
	unsigned int i;

	for (i = 0; i < s->nwords; i++) {
		if (s->state == KMH_SPAN_LARGE) {
			WRITE_ONCE(s->w[i].free, 0);
		} else {
			WRITE_ONCE(s->w[i].free, kmh_mspan_word_mask(s, i));
			atomic_long_set(&s->w[i].remote, 0);
		}
		atomic_long_set(kmh_mspan_deferred(s, i, 0), 0);
		atomic_long_set(kmh_mspan_deferred(s, i, 1), 0);
		atomic_long_set(kmh_mspan_mark(s, i), 0);
	}
	WRITE_ONCE(s->dirty[0], 0);
	WRITE_ONCE(s->dirty[1], 0);
	WRITE_ONCE(s->nspecials, 0);
}

/*
 * @nfast of a small span without specials. Frees in a collected heap are all remote, where
 * the kernel wants freed memory wiped each one does that, and in a sanitized heap each one is
 * told: all of them the long way.
 */
unsigned int kmh_mspan_fast_slots(const struct kmh_mspan *s)
{
	if (s->state == KMH_SPAN_GONE)
		return 0;
	if (s->heap && (kmh_heap_collected(s->heap) || kmh_heap_sanitized(s->heap)))
		return 0;
	return kmh_wants_wipe() ? 0 : s->nelems;
}

/**
 * kmh_mspan_init() - make a span of a run of pages
 * @s: fresh from kmh_mspan_get(@spanclass), @heap and @mheap set.
 * @spanclass: what it is to hold; KMH_SPANCLASS_LARGE for one object.
 * @base: address of the first page.
 * @npages: length in heap pages.
 *
 * The caller publishes it in the arenas map afterwards. Who has followed a stale pointer reads
 * it already: see struct kmh_mspan.
 *
 * Context: Any.
 */
void kmh_mspan_init(struct kmh_mspan *s, unsigned int spanclass, unsigned long base, u32 npages)
{
	const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];

	WRITE_ONCE(s->base, base);
	WRITE_ONCE(s->npages, npages);
	WRITE_ONCE(s->spanclass, spanclass);
	WRITE_ONCE(s->owner, NULL);
	atomic_set(&s->home, KMH_HOME_CACHED);
	atomic_set(&s->sweepgen, 0);
	INIT_LIST_HEAD(&s->list);

	switch (spanclass) {
	case KMH_SPANCLASS_LARGE:
		WRITE_ONCE(s->state, KMH_SPAN_LARGE);
		WRITE_ONCE(s->elemsize, 0);
		WRITE_ONCE(s->noscan, false);
		WRITE_ONCE(s->nelems, 1);
		WRITE_ONCE(s->nfast, 0);
		break;
	case KMH_SPANCLASS_TINY:
		WRITE_ONCE(s->state, KMH_SPAN_TINY);
		WRITE_ONCE(s->elemsize, 16);
		WRITE_ONCE(s->divmul, 1U << 28);
		WRITE_ONCE(s->nelems, KMH_PAGE_SIZE / 16);
		WRITE_ONCE(s->nfast, 0);
		break;
	default:
		WRITE_ONCE(s->state, KMH_SPAN_SMALL);
		WRITE_ONCE(s->elemsize, class->size);
		WRITE_ONCE(s->divmul, class->divmul);
		WRITE_ONCE(s->nelems, class->nelems);
		WRITE_ONCE(s->nfast, kmh_mspan_fast_slots(s));
		WRITE_ONCE(s->keeper, NULL);
	}
	kmh_mspan_init_slots(s);
	if (spanclass == KMH_SPANCLASS_LARGE)
		kmh_large_begin(s);
}

/**
 * kmh_mspan_free_remote() - free a slot without owning the span
 * @s: the span.
 * @slot: slot number, below nelems.
 *
 * Never waits, never fails. kmh_free_foreign() is the same on the way of
 * kmheap_free().
 *
 * Context: Any; preemption off.
 * Return: KMH_FREE_DOUBLE, and nothing done, when the slot was not live.
 */
enum kmh_free_result kmh_mspan_free_remote(struct kmh_mspan *s, unsigned int slot)
{
	kmh_assert_pinned();
	if (unlikely(!kmh_mspan_set_remote(s, slot)))
		return KMH_FREE_DOUBLE;
	if (kmh_mspan_unannounced(s))
		kmh_mcentral_announce(s);
	return KMH_FREE_OK;
}

static void kmh_mspan_report_double(struct kmh_mspan *s, unsigned int word, unsigned long both)
{
	unsigned int bit;

	for_each_set_bit(bit, &both, KMH_WORD_SLOTS) {
		unsigned long addr = kmh_mspan_slot_addr(s, word * KMH_WORD_SLOTS + bit);

		struct kmh_where at = { .base = addr, .bytes = s->elemsize };

		kmh_misuse(KMH_DOUBLE_FREE, "freed twice at the same time, found at the fold",
			   addr, s, &at, _RET_IP_);
	}
}

/* Of some slots of a word, those that wait for a grace period or for a finalizer. */
static unsigned long kmh_mspan_held(struct kmh_mspan *s, unsigned int word, unsigned long slots)
{
	unsigned long held = slots & kmh_mspan_waiting(s, word);

	if (unlikely(READ_ONCE(s->nspecials)))
		held |= kmh_special_held(s, word, slots);
	return held;
}

/**
 * kmh_mspan_fold_word() - take the remote frees of one word into its free bits
 * @s: the span; the caller is its sweeper.
 * @word: index.
 *
 * Not those that wait for a grace period or for a finalizer.
 *
 * Context: The sweeper's.
 * Return: number of slots that became free.
 */
unsigned int kmh_mspan_fold_word(struct kmh_mspan *s, unsigned int word)
{
	struct kmh_slots *w = &s->w[word];
	unsigned long remote, both, held;

	/* Acquire: a deferred bit is set before the remote bit; see kmh_mspan_defer(). */
	remote = atomic_long_read_acquire(&w->remote);
	if (!remote)
		return 0;
	remote &= ~kmh_mspan_held(s, word, remote);
	if (!remote)
		return 0;
	/*
	 * Pairs with the fetch-or in kmh_mspan_set_remote(). What a magazine has taken back
	 * since the load is live again; or it has been freed once more, to wait this time.
	 */
	remote &= atomic_long_fetch_andnot(remote, &w->remote);
	/* A second free that came too late may have hit no slot: design.rst 26.5. */
	remote &= kmh_mspan_word_mask(s, word);
	held = kmh_mspan_held(s, word, remote);
	if (unlikely(held)) {
		atomic_long_or(held, &w->remote);
		remote &= ~held;
	}
	both = remote & w->free;
	if (unlikely(kmh_heap_collected(s->heap)) && kmh_sweep_blackens(s))
		atomic_long_or(remote, kmh_mspan_mark(s, word));
	WRITE_ONCE(w->free, w->free | remote);
	if (unlikely(both))
		kmh_mspan_report_double(s, word, both);
	return hweight_long(remote & ~both);
}

/* kmh_mspan_fold() - fold every word; same context and return value. */
unsigned int kmh_mspan_fold(struct kmh_mspan *s)
{
	unsigned int i, n = 0;

	for (i = 0; i < s->nwords; i++)
		n += kmh_mspan_fold_word(s, i);
	return n;
}

/**
 * kmh_mspan_next_word() - where to allocate next
 * @s: the span; the caller is its sweeper.
 * @from: word to start at; the search goes round once.
 *
 * Folds on the way, so a span that other CPUs free into is used on without going
 * through mcentral.
 *
 * Return: a word with something in it, or NULL when the span is full.
 */
struct kmh_slots *kmh_mspan_next_word(struct kmh_mspan *s, unsigned int from)
{
	unsigned int i, word = from;

	for (i = 0; i < s->nwords; i++, word++) {
		if (word >= s->nwords)
			word = 0;
		kmh_mspan_fold_word(s, word);
		if (kmh_slots_avail(&s->w[word]))
			return &s->w[word];
	}
	return NULL;
}

/* Has a folded span a slot to give? */
bool kmh_mspan_has_avail(const struct kmh_mspan *s)
{
	unsigned int i;

	for (i = 0; i < s->nwords; i++)
		if (kmh_slots_avail(&s->w[i]))
			return true;
	return false;
}

/**
 * kmh_mspan_count() - how many slots are in which state
 * @s: the span.
 * @n: where to put the counts.
 *
 * Context: Any; exact when nobody allocates or frees in the span meanwhile.
 */
void kmh_mspan_count(const struct kmh_mspan *s, struct kmh_span_count *n)
{
	unsigned int i;

	*n = (struct kmh_span_count){ .live = s->nelems };
	for (i = 0; i < s->nwords; i++) {
		unsigned long f = READ_ONCE(s->w[i].free);
		unsigned long r = atomic_long_read(&s->w[i].remote) & ~f &
				  kmh_mspan_word_mask(s, i);
		unsigned long d = r & kmh_mspan_waiting(s, i);

		n->free += hweight_long(f);
		n->remote += hweight_long(r & ~d);
		n->deferred += hweight_long(d);
	}
	n->live = kmh_less(n->live, n->free + n->remote + n->deferred);
}

/* Is every slot free? Exact for the sweeper after a fold. */
bool kmh_mspan_empty(const struct kmh_mspan *s)
{
	unsigned int i;

	for (i = 0; i < s->nwords; i++)
		if (READ_ONCE(s->w[i].free) != kmh_mspan_word_mask(s, i) ||
		    atomic_long_read(&s->w[i].remote))
			return false;
	return true;
}

/* What is allocated from the span from now on is marked. The caller is its sweeper. */
/* Would a fold leave it empty, as far as can be told? Anyone may ask. */
bool kmh_mspan_idle(const struct kmh_mspan *s)
{
	unsigned int i;

	if (READ_ONCE(s->nspecials))
		return false;
	for (i = 0; i < s->nwords; i++) {
		const struct kmh_slots *w = &s->w[i];

		if ((READ_ONCE(w->free) | atomic_long_read(&w->remote)) !=
		    kmh_mspan_word_mask(s, i) || kmh_mspan_waiting(s, i))
			return false;
	}
	return true;
}

void kmh_mspan_blacken(struct kmh_mspan *s)
{
	unsigned int i;

	for (i = 0; i < s->nwords; i++)
		atomic_long_or(s->w[i].free, kmh_mspan_mark(s, i));
}

/* State bits where there is no slot, of one word. */
static bool kmh_mspan_stray_bits(const struct kmh_mspan *s, unsigned int word)
{
	unsigned long bits = READ_ONCE(s->w[word].free) | kmh_mspan_waiting(s, word) |
			     atomic_long_read(kmh_mspan_mark(s, word));

	if (s->spanclass != KMH_SPANCLASS_LARGE)
		bits |= atomic_long_read(&s->w[word].remote);
	return bits & ~kmh_mspan_word_mask(s, word);
}

/* Does the state go with the span class, and the bytes of a large object with its pages? */
static const char *kmh_mspan_misfit(const struct kmh_mspan *s)
{
	u8 state = READ_ONCE(s->state);
	bool large = state == KMH_SPAN_LARGE || state == KMH_SPAN_MANUAL;

	if (state < KMH_SPAN_SMALL)	/* no span any more */
		return NULL;
	if (large ? s->spanclass != KMH_SPANCLASS_LARGE :
	    state == KMH_SPAN_TINY ? s->spanclass != KMH_SPANCLASS_TINY :
	    s->spanclass <= KMH_SPANCLASS_TINY)
		return "is not what its class is";
	if (large && (s->elemsize || s->nelems != 1 || s->nfast))
		return "has the slots of a small one";
	if (large && s->large_bytes - 1 >= (unsigned long)s->npages << KMH_PAGE_SHIFT)
		return "has not the pages for its bytes";
	return NULL;
}

/**
 * kmh_mspan_validate() - what must hold for a span at any moment
 * @s: a span in use.
 * @finding: called for each violation.
 * @ctx: passed through.
 *
 * Context: Any; the caller keeps the span's arena.
 * Return: number of findings.
 */
unsigned int kmh_mspan_validate(const struct kmh_mspan *s, kmh_finding_fn finding, void *ctx)
{
	const char *misfit = kmh_mspan_misfit(s);
	unsigned int i, n = 0;

	if (misfit) {
		finding(ctx, "span %p of class %u, state %u, %u pages: %s", s, s->spanclass,
			s->state, s->npages, misfit);
		return 1;
	}
	if (s->nwords != kmh_spanclass_words(s->spanclass)) {
		finding(ctx, "span %p: %u slot words for span class %u", s, s->nwords,
			s->spanclass);
		return 1;
	}
	if (DIV_ROUND_UP(s->nelems, KMH_WORD_SLOTS) != s->nwords) {
		finding(ctx, "span %p: %u slots in %u words", s, s->nelems, s->nwords);
		return 1;
	}
	for (i = 0; i < s->nwords; i++) {
		if (kmh_mspan_stray_bits(s, i)) {
			finding(ctx, "span %p: state bits past the last slot in word %u", s, i);
			n++;
		}
	}
	return n;
}
