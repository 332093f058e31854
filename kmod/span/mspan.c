// SPDX-License-Identifier: GPL-2.0
/*
 * Spans: the state of their slots.
 *
 * After Go's mspan (src/runtime/mheap.go, mbitmap.go): free state out of line, found with a
 * count of trailing zeros. Different from Go in that an explicit free may come from any CPU,
 * which is what the cells and the remote half of a slot word are for.
 */
#include <linux/bitops.h>
#include <linux/string.h>

#include "span/mspan.h"
#include "base/budget.h"
#include "heap.h"
#include "insight/record.h"
#include "span/slot.h"
#include "span/spanpool.h"

static void kmh_mspan_init_slots(struct kmh_mspan *s)
{
	unsigned int i;

	WRITE_ONCE(s->dirty[0], 0);
	WRITE_ONCE(s->dirty[1], 0);
	smp_wmb();	/* flags, bits: a late deferral leaves no bit without its flag */
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
	if (s->state != KMH_SPAN_LARGE)
		memset(s->cell, KMH_CELL_OUT, (u8 *)s->w - s->cell);
	WRITE_ONCE(s->nspecials, 0);
	WRITE_ONCE(s->freer, KMH_FREER_NONE);
}

bool kmh_frees_traced;

/*
 * @nfast of a small span without specials. Frees are never fast in a collected heap, where
 * all are remote, where the kernel wants freed memory wiped, in a sanitized heap, whose tools are
 * told of each free, and where tracers are.
 */
unsigned int kmh_mspan_fast_slots(const struct kmh_mspan *s)
{
	if (s->state == KMH_SPAN_GONE)
		return 0;
	if (s->heap && (kmh_heap_collected(s->heap) || kmh_heap_sanitized(s->heap)))
		return 0;
	return READ_ONCE(kmh_frees_traced) || kmh_wants_wipe() ? 0 : s->nelems;
}

/*
 * Make a span of @spanclass of the @npages heap pages at @base. @s is fresh from
 * kmh_mspan_get(@spanclass), with @heap and @mheap set. The caller publishes the span in the
 * arenas map afterwards. A reader that has followed a stale pointer reads the descriptor already:
 * see struct kmh_mspan. Context: any.
 */
void kmh_mspan_init(struct kmh_mspan *s, unsigned int spanclass, unsigned long base, u32 npages)
{
	const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];
	bool tiny = spanclass == KMH_SPANCLASS_TINY;

	WRITE_ONCE(s->base, base);
	WRITE_ONCE(s->npages, npages);
	WRITE_ONCE(s->spanclass, spanclass);
	WRITE_ONCE(s->mcslot, offsetof(struct kmh_mcache, slot) +
			      spanclass % KMH_NR_SPANCLASSES * sizeof(struct kmh_mcslot));
	WRITE_ONCE(s->owner, NULL);
	atomic_set(&s->home, KMH_HOME_CACHED);
	atomic_set(&s->sweepgen, 0);
	INIT_LIST_HEAD(&s->list);

	if (spanclass == KMH_SPANCLASS_LARGE) {
		WRITE_ONCE(s->state, KMH_SPAN_LARGE);
		WRITE_ONCE(s->elemsize, 0);
		WRITE_ONCE(s->noscan, false);
		WRITE_ONCE(s->nelems, 1);
		WRITE_ONCE(s->nfast, 0);
		kmh_mspan_init_slots(s);
		kmh_large_begin(s);
		return;
	}
	WRITE_ONCE(s->state, tiny ? KMH_SPAN_TINY : KMH_SPAN_SMALL);
	WRITE_ONCE(s->elemsize, class->size);
	WRITE_ONCE(s->divmul, class->divmul);
	WRITE_ONCE(s->nelems, class->nelems);
	WRITE_ONCE(s->nfast, tiny ? 0 : kmh_mspan_fast_slots(s));
	if (!tiny)
		WRITE_ONCE(s->keeper, NULL);
	kmh_mspan_init_slots(s);
}

/* As the two functions below; @npages: 0 for any number. */
static enum kmh_free_result kmh_claim_life(struct kmh_mspan *s, unsigned long addr,
					   enum kmh_span_state state, unsigned long npages)
{
	/* Acquire: the word before the fields that are looked at; pairs with kmh_large_begin(). */
	long life = atomic_long_read_acquire(&s->w[0].remote);

	kmh_assert_pinned();
	if (life & 1 || READ_ONCE(s->base) != addr || READ_ONCE(s->state) != state)
		return KMH_FREE_DOUBLE;
	if (npages && READ_ONCE(s->npages) != npages)
		return KMH_FREE_DOUBLE;
	kmh_test_point("claim of a large object");
	if (atomic_long_cmpxchg(&s->w[0].remote, life, life | 1) != life)
		return KMH_FREE_DOUBLE;
	if (unlikely(s->sampled)) {
		s->sampled = false;
		kmh_record_died(addr);
	}
	return KMH_FREE_OK;
}

/*
 * Claim a large object at @addr, in order to free it. @s is the span that stands for the address,
 * @state KMH_SPAN_LARGE, or KMH_SPAN_MANUAL for a run of pages. The look and the claim are of one
 * life of the descriptor: should another free come in between, the descriptor is not claimed for
 * what it has become.
 * Context: any; preemption off.
 * Return: KMH_FREE_DOUBLE, and nothing done, when no such object is live there.
 */
enum kmh_free_result kmh_large_claim(struct kmh_mspan *s, unsigned long addr,
				     enum kmh_span_state state)
{
	kmh_assert_pinned();
	return kmh_claim_life(s, addr, state, 0);
}

/* kmh_large_claim() for a run of pages of that length, and no other. */
enum kmh_free_result kmh_run_claim(struct kmh_mspan *s, unsigned long addr, unsigned long npages)
{
	kmh_test_point("before the claim of a run");
	return npages ? kmh_claim_life(s, addr, KMH_SPAN_MANUAL, npages) : KMH_FREE_DOUBLE;
}

/*
 * End the record of a live object at @addr, if there is one, and take it out of its cache: it is
 * not a client's any more, or not yet. Context: any; preemption off.
 */
void kmh_mspan_unsample(struct kmh_mspan *s, unsigned long addr)
{
	kmh_assert_pinned();
	if (s->state == KMH_SPAN_SMALL)
		kmh_slot_claim_marked(s, (addr - s->base) / s->elemsize, KMH_CELL_LIVE);
	else if (s->state != KMH_SPAN_TINY && xchg(&s->sampled, false))
		kmh_record_died(addr);
}

/*
 * kmh_slot_claim_from() an object that is sampled or of a cache. A racing claim, and a descriptor
 * that has become another span's, end at worst with the record of another object. Context: any;
 * preemption off.
 */
noinline u8 kmh_slot_claim_marked(struct kmh_mspan *s, unsigned long slot, u8 cell)
{
	u8 was = READ_ONCE(s->cell[slot]);

	kmh_assert_pinned();
	/* A cache that ends makes its objects the heap's: once for each, so this ends. */
	do {
		if (!kmh_cell_live(was) || (kmh_cell_keeps_type(s, was) && cell != KMH_CELL_WAITS))
			return KMH_CELL_OUT;
	} while (!try_cmpxchg(&s->cell[slot], &was, cell));
	if (was & KMH_CELL_SAMPLED)
		kmh_record_died(kmh_mspan_slot_addr(s, slot));
	return was & ~KMH_CELL_SAMPLED;
}

/*
 * What has been claimed for @cell, and was @was, is not what the claim was for: the descriptor had
 * become another span. The object is its client's again. A free of it that comes in between finds
 * it not live and reports that, unless that is a plain store, after which nothing is put back; but
 * if such a free and its way back to the span both fit in between, the slot is lost.
 * Context: any; preemption off.
 */
noinline void kmh_slot_unclaim(struct kmh_mspan *s, unsigned long slot, u8 cell, u8 was)
{
	kmh_assert_pinned();
	cmpxchg(&s->cell[slot], cell, was);
}

/*
 * Claim the object at @addr, which was slot @slot of @s when the caller looked. If another free was
 * first the descriptor may be another span by now: what has been claimed keeps that from then on,
 * so only now its address tells, and an innocent object is let go as it was. Nothing may be done to
 * the object at @addr before. Context: any; preemption off. Return: false, and nothing done, when
 * it was not live.
 */
bool kmh_slot_claim_at(struct kmh_mspan *s, unsigned long slot, unsigned long addr, u8 cell)
{
	u8 was = kmh_slot_claim_from(s, slot, cell);

	kmh_assert_pinned();
	if (unlikely(!kmh_cell_live(was)))
		return false;
	if (likely(kmh_mspan_slot_addr(s, slot) == addr))
		return true;
	kmh_slot_unclaim(s, slot, cell, was);
	return false;
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

/* The slots of a word whose cells are from @least to @most. Each cell is read once. */
static __always_inline unsigned long kmh_cells_within(const struct kmh_mspan *s, unsigned int word,
						      u8 least, u8 most)
{
	const u8 *cell = &s->cell[word * KMH_WORD_SLOTS];
	unsigned long slots = 0;
	unsigned int i, n = min_t(unsigned int, s->nelems - word * KMH_WORD_SLOTS, KMH_WORD_SLOTS);

	for (i = 0; i < n; i++)
		slots |= (unsigned long)((u8)(READ_ONCE(cell[i]) - least) <= most - least) << i;
	return slots;
}

/* The slots of a word whose cells have a value. Context: any; as of no single moment. */
unsigned long kmh_cells_of(const struct kmh_mspan *s, unsigned int word, u8 value)
{
	return kmh_cells_within(s, word, value, value);
}

/*
 * Give the cells of the slots @mask of a word, which should have the value @from, the value @to.
 * With exchanges, as another party may be making one of these slots its own, rightly or not.
 * Return: those that had it; the others are as they were.
 */
unsigned long kmh_cells_move(struct kmh_mspan *s, unsigned int word, unsigned long mask, u8 from,
			     u8 to)
{
	u8 *cell = &s->cell[word * KMH_WORD_SLOTS];
	unsigned long left = mask, moved = 0, some;
	unsigned int bit;

	while (left) {
		bit = __ffs(left);
		some = 0xffUL << bit;
		if (bit % 8 || (left & some) != some ||
		    !kmh_cells_move_eight(cell + bit, from, to)) {
			some = BIT(bit);
			if (cmpxchg(&cell[bit], from, to) == from)
				moved |= some;
		} else {
			moved |= some;
		}
		left &= ~some;
	}
	return moved;
}

/* The slots of a word that are live. Context: any; as of no single moment. */
unsigned long kmh_cells_live(const struct kmh_mspan *s, unsigned int word)
{
	return kmh_cells_within(s, word, KMH_CELL_LIVE, KMH_CELL_OUT - 1);
}

/* Claim the live slots @mask of a word for the span. Return: those that were live. */
unsigned long kmh_cells_free(struct kmh_mspan *s, unsigned int word, unsigned long mask)
{
	unsigned long moved = kmh_cells_move(s, word, mask, KMH_CELL_LIVE, KMH_CELL_OUT);
	unsigned long left = mask & ~moved;

	unsigned int slot;

	for (; unlikely(left); left &= left - 1) {
		slot = word * KMH_WORD_SLOTS + __ffs(left);
		if (kmh_cell_live(kmh_slot_claim_marked(s, slot, KMH_CELL_OUT)))
			moved |= left & -left;
	}
	return moved;
}

/* Context: any; exact while nothing allocates or frees in the span. */
void kmh_mspan_count(const struct kmh_mspan *s, struct kmh_span_count *n)
{
	unsigned int i, slot;

	*n = (struct kmh_span_count){ };
	if (s->spanclass == KMH_SPANCLASS_LARGE) {
		n->deferred = kmh_mspan_slot_waits(s, 0);
		n->remote = kmh_large_claimed(s) && !n->deferred;
		n->live = kmh_less(1, n->deferred + n->remote);
		return;
	}
	for (i = 0; i < s->nwords; i++)
		n->remote += hweight_long(atomic_long_read(&s->w[i].remote) &
					  kmh_mspan_word_mask(s, i) & ~READ_ONCE(s->w[i].free));
	for (slot = 0; slot < s->nelems; slot++) {
		u8 cell = READ_ONCE(s->cell[slot]);

		n->live += kmh_cell_live(cell);
		n->deferred += cell == KMH_CELL_WAITS;
		n->held += cell >= KMH_CELL_SPECIAL;
	}
	n->free = kmh_less(s->nelems, n->live + n->remote + n->deferred);
}

/* Is every slot the span's own? Exact for the sweeper after a fold. */
bool kmh_mspan_empty(const struct kmh_mspan *s)
{
	unsigned int i;

	for (i = 0; i < s->nwords; i++)
		if (READ_ONCE(s->w[i].free) != kmh_mspan_word_mask(s, i) ||
		    atomic_long_read(&s->w[i].remote))
			return false;
	return true;
}

/* Would a fold leave the span empty? A guess, from any CPU. */
bool kmh_mspan_would_empty(const struct kmh_mspan *s)
{
	unsigned int i;

	for (i = 0; i < s->nwords; i++) {
		const struct kmh_slots *w = &s->w[i];

		if ((READ_ONCE(w->free) | atomic_long_read(&w->remote)) !=
		    kmh_mspan_word_mask(s, i))
			return false;
	}
	return true;
}

/* Would it be empty once all CPUs have given back what they have set aside? A guess as well. */
bool kmh_mspan_would_drain(const struct kmh_mspan *s)
{
	unsigned int slot;

	for (slot = 0; slot < s->nelems; slot++) {
		u8 cell = READ_ONCE(s->cell[slot]);

		if (cell != KMH_CELL_OUT && cell < KMH_CELL_TAG)
			return false;
	}
	return true;
}

/*
 * Mark every slot that is not live, so that what is allocated from the span survives the
 * collection: also what a CPU has set aside, and what is being freed. Context: the span's sweeper.
 */
void kmh_mspan_blacken(struct kmh_mspan *s)
{
	unsigned int i;

	for (i = 0; i < s->nwords; i++)
		atomic_long_or(kmh_mspan_word_mask(s, i) & ~kmh_cells_live(s, i),
			       kmh_mspan_mark(s, i));
}

/* Are there state bits of @word that belong to no slot? */
static bool kmh_mspan_stray_bits(const struct kmh_mspan *s, unsigned int word)
{
	unsigned long bits = READ_ONCE(s->w[word].free) | kmh_mspan_waiting(s, word) |
			     atomic_long_read(kmh_mspan_mark(s, word));

	if (s->spanclass != KMH_SPANCLASS_LARGE)
		bits |= atomic_long_read(&s->w[word].remote);
	return bits & ~kmh_mspan_word_mask(s, word);
}

/*
 * Return: in what the state disagrees with the span class, or a large object's bytes with its
 * pages; or NULL.
 */
static const char *kmh_mspan_misfit(const struct kmh_mspan *s)
{
	u8 state = READ_ONCE(s->state);
	bool large = state == KMH_SPAN_LARGE || state == KMH_SPAN_MANUAL;

	if (state < KMH_SPAN_SMALL)	/* not in use any more */
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

/*
 * Check what must hold for a span in use at any moment.
 * Context: any; the caller keeps the span's arena. Return: number of findings.
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
