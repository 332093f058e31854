// SPDX-License-Identifier: GPL-2.0
/*
 * Magazines: objects that this CPU has freed, to be allocated again.
 *
 * After Bonwick and Adams ("Magazines and Vmem", 2001), like TCMalloc's per-CPU caches and SLUB's
 * sheaves. Different from them an object in a magazine is known by its cell, which has the
 * magazine's tag: so a second free of it is reported at once, whichever CPU it comes from.
 *
 * A magazine is a queue. The oldest entry is allocated first, and only while more than a floor of
 * entries are there. So an object that has been freed rests for at least that many later frees of
 * its class on its CPU, and a second free that comes within them finds a cell that tells.
 *
 * The queue lies in an array, in one piece: an allocation and a free need no wrapping, and one
 * compare each tells whether they may go on. When it has come to the end of the array it is moved
 * to the beginning, a few bytes for an entry. If it would fill nearly all of the array then, its
 * oldest entries go back to their spans before: a few, or all but the floor when the CPU has only
 * freed, and they do not go to the depot (depot.c). They do so by slot word, with one atomic
 * operation for all of a word that follow each other: objects freed in order leave the queue in
 * order, and their cells change by eights.
 *
 * Of two frees of one object at the same time one finds the cell not live, as all but one CPU claim
 * with an exchange (KMH_FREER_SHARED). That one CPU looks and stores: another free may come in
 * between, and both succeed. The cell names the store then. The slot's bit in the span, which the
 * other free has set or is to set, is found out when the entry goes back to the span, and by the
 * cell when it is to be allocated from. Each is reported as a double free, and the slot has one
 * holder. An entry whose tag is not in its cell can only be of a free that came just after the span
 * became shared, while that one CPU stood still: it is dropped when its turn comes.
 *
 * What no look finds out is a free that stands still between its look and its store while another
 * frees the same object, and the pages are used anew, before the store or while an entry of the
 * other free is still there; or the object is, while that entry is in a depot, and comes back to
 * the CPU that gave it. As with any free that comes too late, it may then be another object that
 * is freed, or an address that is in use is allocated once more. The model cells.pml says which.
 */
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/sizes.h>

#include "cpu/magazine.h"
#include "cpu/depot.h"
#include "base/budget.h"
#include "base/fixalloc.h"
#include "cpu/watch.h"
#include "heap.h"
#include "span/arenamap.h"

/* Entries of large classes: as many as have these bytes, but a few always. */
#define KMH_MAGAZINE_BYTES	SZ_256K

/* Entries that rest, in classes up to KMH_REST_SIZE bytes and in larger ones. */
#define KMH_REST_SMALL		16U
#define KMH_REST_LARGE		4U
#define KMH_REST_SIZE		1024U

/* Magazines kept ready, for each CPU, and how often frees that find none ask for more. */
#define KMH_MAGAZINE_RESERVE	4U
#define KMH_MAGAZINE_PAUSE	DIV_ROUND_UP(HZ, 20)

static struct kmh_fixalloc kmh_magazine_pool;

void kmh_magazines_init(void)
{
	kmh_fixalloc_init(&kmh_magazine_pool, "magazine", sizeof(struct kmh_magazine), 64);
	kmh_fixalloc_share(&kmh_magazine_pool);
}

void kmh_magazines_exit(void)
{
	kmh_fixalloc_destroy(&kmh_magazine_pool);
}

/* A heap does without magazines where the module's limit forbids them, and so does reclaim. */
int kmh_magazines_refill(gfp_t gfp)
{
	int err;

	if (current->flags & PF_MEMALLOC)
		return 0;
	err = kmh_fixalloc_refill(&kmh_magazine_pool, KMH_MAGAZINE_RESERVE * num_online_cpus(),
				  gfp);
	return err == -EDQUOT ? 0 : err;
}

/* Entries of a class that rest. */
static unsigned int kmh_magazine_floor(unsigned int spanclass)
{
	return kmh_spanclass_size[spanclass] <= KMH_REST_SIZE ? KMH_REST_SMALL : KMH_REST_LARGE;
}

/*
 * Entries of a class at most. Under PREEMPT_RT so many that some besides the floor are there: a
 * drain is one interrupt long.
 */
unsigned int kmh_magazine_room(unsigned int spanclass)
{
	unsigned int least = kmh_magazine_floor(spanclass) / 2 * 5 + 4;

	BUILD_BUG_ON(KMH_MCSLOT_AHEAD >= KMH_REST_LARGE);
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return least;
	return clamp(KMH_MAGAZINE_BYTES / kmh_spanclass_size[spanclass], least,
		     KMH_MAGAZINE_ENTRIES);
}

/* Entries that stay of @len when the queue has come to the end of its array. */
static unsigned int kmh_magazine_keep(unsigned int spanclass, unsigned int len)
{
	unsigned int room = kmh_magazine_room(spanclass);

	if (len == room)	/* nothing was allocated since it was moved */
		return kmh_magazine_floor(spanclass);
	return 8 * len > 7 * room ? 5 * room / 8 : len;
}

/* The end of a class's array. */
static struct kmh_entry *kmh_magazine_end(const struct kmh_mcache *mc, const struct kmh_mcslot *c)
{
	return mc->magazine[c - mc->slot]->entry + kmh_magazine_room(c - mc->slot);
}

/*
 * Let the class allocate and free as far as its magazine goes: undo what kmh_watch_close() has
 * held back. In the section.
 */
void kmh_magazine_open(struct kmh_mcache *mc, struct kmh_mcslot *c)
{
	unsigned int spanclass = c - mc->slot;

	if (!mc->magazine[spanclass])
		return;
	c->ready = c->tail - kmh_magazine_floor(spanclass);
	c->limit = kmh_magazine_end(mc, c);
}

/*
 * There is nothing else to allocate, and the caller cannot wait for memory: take what has been
 * freed first, without a rest. In the section. Return: NULL when the magazine is empty.
 */
void *kmh_magazine_take_resting(struct kmh_mcache *mc, struct kmh_mcslot *c)
{
	unsigned int spanclass = c - mc->slot;
	struct kmh_entry *e;

	while ((e = c->head) != c->tail) {
		WRITE_ONCE(c->head, e + 1);
		if (likely(READ_ONCE(*e->cell) == mc->tag)) {
			WRITE_ONCE(*e->cell, KMH_CELL_LIVE);
			return (void *)e->addr;
		}
		WRITE_ONCE(mc->taken[spanclass], mc->taken[spanclass] - 1);
		kmh_misuse_twice(mc->heap, e->addr, kmh_spanclass_size[spanclass]);
	}
	return NULL;
}

/* Magazines that are ready: a guess, from any CPU. */
unsigned int kmh_magazines_ready(void)
{
	return READ_ONCE(kmh_magazine_pool.nfree);
}

/* Few magazines are left: have the worker make some, now and then. */
static void kmh_magazines_ask(struct kmh_mcache *mc)
{
	static unsigned long after = INITIAL_JIFFIES;

	/* The worker of another heap comes where this one's does not. */
	if (time_after_eq(jiffies, READ_ONCE(after)) && kmh_mheap_kick(&mc->node->mheap, false))
		WRITE_ONCE(after, jiffies + KMH_MAGAZINE_PAUSE);
}

/*
 * Memory of the size of a magazine, or NULL. The worker is asked for more before there is none:
 * until it has run, each free of a class without a magazine takes five times as long. Context: any.
 */
struct kmh_magazine *kmh_magazine_get(struct kmh_mcache *mc)
{
	struct kmh_magazine *m;

	/* A free may come here every time: it takes the pool's lock for a magazine only. */
	if (!kmh_heap_try_book_side(mc->heap, sizeof(*m)))
		return NULL;
	m = kmh_magazines_ready() ? kmh_fixalloc_try_get(&kmh_magazine_pool) : NULL;
	if (unlikely(!m))
		kmh_heap_unbook_side_atomic(mc->heap, sizeof(*m));
	if (kmh_magazines_ready() < KMH_MAGAZINE_RESERVE * num_online_cpus() / 2)
		kmh_magazines_ask(mc);
	return m;
}

/* What kmh_magazine_get() has returned is not used any more. Context: any. */
void kmh_magazine_put(struct kmheap *heap, struct kmh_magazine *m)
{
	kmh_heap_unbook_side_atomic(heap, sizeof(*m));
	kmh_fixalloc_put(&kmh_magazine_pool, m);
}

static bool kmh_magazine_new(struct kmh_mcache *mc, struct kmh_mcslot *c)
{
	struct kmh_magazine *m = kmh_magazine_get(mc);
	unsigned int spanclass = c - mc->slot;

	if (!m)
		return false;
	WRITE_ONCE(c->head, m->entry);
	WRITE_ONCE(c->tail, m->entry);
	WRITE_ONCE(mc->magazine[spanclass], m);
	kmh_magazine_open(mc, c);
	kmh_kick_ask(&mc->heap->idle.kick);
	return true;
}

/*
 * Allocations ever made from the mcache: what has left the magazine or the free bits of a span, and
 * did not go elsewhere. Context: any. Exact at rest; at other times the terms are of different
 * moments, and a class that has hardly been used may come out below 0, which counts as 0.
 */
unsigned long kmh_mcache_allocs(const struct kmh_mcache *mc, unsigned int spanclass)
{
	const struct kmh_mcslot *c = &mc->slot[spanclass];
	long n = READ_ONCE(mc->taken[spanclass]) - hweight_long(READ_ONCE(c->avail));
	struct kmh_magazine *m = READ_ONCE(mc->magazine[spanclass]);
	long left = m ? READ_ONCE(c->head) - m->entry : 0;

	/* The magazine may be coming or going. */
	if (left >= 0 && left <= KMH_MAGAZINE_ENTRIES)
		n += left;
	return max(n, 0L);
}

/*
 * Slots of one word, whose cells say OUT, become the span's to give. In the section of @mc, or its
 * CPU is dead. A span that @mc does not own may be another one afterwards.
 */
void kmh_mcache_give(struct kmh_mcache *mc, struct kmh_mspan *s, unsigned int word,
		     unsigned long mask)
{
	unsigned long first = kmh_mspan_slot_addr(s, word * KMH_WORD_SLOTS), twice;
	struct kmh_slots *w = &s->w[word];
	size_t bytes = s->elemsize;

	kmh_assert_pinned();
	/* Only the owner writes its mcache there, so a racing write never makes it equal. */
	if (data_race(s->owner) == mc) {
		twice = w->free & mask;
		WRITE_ONCE(w->free, w->free | mask);
	} else {
		twice = atomic_long_fetch_or(mask, &w->remote) & mask;
		if (kmh_mspan_unannounced(s))
			kmh_inbox_announce(s);
	}
	for (; unlikely(twice); twice &= twice - 1)
		kmh_misuse_twice(mc->heap, first + __ffs(twice) * bytes, bytes);
}

/*
 * Take the oldest entries off the queue that are of one slot word, before @to; there is one.
 * Return: their bits.
 */
static unsigned long kmh_magazine_pop_word(struct kmh_mcache *mc, struct kmh_mcslot *c,
					   struct kmh_entry *to)
{
	unsigned long cell = (unsigned long)c->head->cell, word = cell / KMH_WORD_SLOTS, mask;
	unsigned int spanclass = c - mc->slot, left = KMH_WORD_SLOTS - cell % KMH_WORD_SLOTS;
	size_t bytes = kmh_spanclass_size[spanclass];
	unsigned long first = c->head->addr - cell % KMH_WORD_SLOTS * bytes, bit;
	struct kmh_entry *e = c->head;

	/* Most that were freed in order are side by side. */
	while (++e < to && --left && e->cell == e[-1].cell + 1 && e->addr == e[-1].addr + bytes)
		;
	mask = kmh_run_mask(cell % KMH_WORD_SLOTS, e - c->head);
	for (; e < to; e++) {
		cell = (unsigned long)e->cell;
		/* The descriptor may be another span than when a stale entry was put here. */
		if (cell / KMH_WORD_SLOTS != word ||
		    e->addr - cell % KMH_WORD_SLOTS * bytes != first)
			break;
		bit = BIT(cell % KMH_WORD_SLOTS);
		if (unlikely(mask & bit))
			kmh_misuse_twice(mc->heap, e->addr, bytes);
		mask |= bit;
	}
	/* They were no allocations. */
	WRITE_ONCE(mc->taken[spanclass], mc->taken[spanclass] - (e - c->head));
	WRITE_ONCE(c->head, e);
	return mask;
}

/*
 * Take the oldest entries off the queue, before @to, as long as they are eight and eight side by
 * side in the word of the first one, which is of slot @slot of @s, a multiple of eight, and make
 * their cells OUT: what a CPU has freed in order. Return: how many.
 */
static noinline unsigned int kmh_magazine_pop_eights(struct kmh_mcache *mc, struct kmh_mcslot *c,
						     struct kmh_entry *to,
						     const struct kmh_mspan *s, unsigned int slot)
{
	unsigned int left = min(KMH_WORD_SLOTS - slot % KMH_WORD_SLOTS, s->nelems - slot), n;
	size_t bytes = kmh_spanclass_size[c - mc->slot];
	const struct kmh_entry *e = c->head;
	unsigned long addr = e->addr;
	u8 *cell = e->cell;

	to = min(to, c->head + left);
	for (; e + 8 <= to; e += 8, cell += 8, addr += 8 * bytes)
		if (!kmh_entries_follow(e, cell, addr, bytes) ||
		    !kmh_cells_move_eight(cell, mc->tag, KMH_CELL_OUT))
			break;
	n = e - c->head;
	/* They were no allocations. */
	WRITE_ONCE(mc->taken[c - mc->slot], mc->taken[c - mc->slot] - n);
	WRITE_ONCE(c->head, c->head + n);
	return n;
}

/*
 * An entry that has left a queue or batch with tag @tag, whose cell is not its span's any more: of
 * an arena that a client has freed, or of an object that was freed twice, so that its span could go
 * while the entry was there. In the first case the descriptor stays what it was, and the slot
 * counts as free. In the second one the cell is another span's by now, and may be that of another
 * entry.
 */
void kmh_magazine_stray(struct kmh_mcache *mc, u8 tag, struct kmh_mspan *s,
			const struct kmh_entry *e)
{
	/* Of an arena that has left as usual it is the sentinel that says so. */
	if (READ_ONCE(s->state) == KMH_SPAN_GONE && s != &kmh_span_gone)
		cmpxchg(e->cell, tag, KMH_CELL_OUT);
	else
		kmh_misuse_twice(mc->heap, e->addr, 0);
}

/* Does the address of an entry lead to its cell? */
bool kmh_entry_fits(const struct kmh_mspan *s, const struct kmh_entry *e)
{
	u8 state = READ_ONCE(s->state);

	return (state == KMH_SPAN_SMALL || state == KMH_SPAN_TINY) &&
	       (unsigned long)(e->cell - s->cell) < s->nelems;
}

/*
 * Give the oldest entries back to their spans, some of one slot word, before @to; there is one. In
 * the section, or the CPU is dead.
 */
static void kmh_magazine_evict_word(struct kmh_mcache *mc, struct kmh_mcslot *c,
				    struct kmh_entry *to)
{
	struct kmh_entry e = *c->head;
	struct kmh_mspan *s = kmh_span_of(e.addr);
	unsigned int slot = e.cell - s->cell, word = slot / KMH_WORD_SLOTS, n;
	unsigned long mask, moved;

	if (unlikely(!kmh_entry_fits(s, &e))) {
		kmh_magazine_pop_word(mc, c, c->head + 1);
		kmh_magazine_stray(mc, mc->tag, s, &e);
		return;
	}
	n = slot % 8 || slot + 8 > s->nelems ? 0 : kmh_magazine_pop_eights(mc, c, to, s, slot);
	if (n) {
		kmh_mcache_give(mc, s, word, kmh_run_mask(slot % KMH_WORD_SLOTS, n));
		return;
	}
	mask = kmh_magazine_pop_word(mc, c, to);
	moved = kmh_cells_move(s, word, mask, mc->tag, KMH_CELL_OUT);
	/* A stale entry has not kept the span: only its own address is known. */
	if (unlikely(!moved)) {
		kmh_misuse_twice(mc->heap, e.addr, kmh_spanclass_size[c - mc->slot]);
		return;
	}
	if (unlikely(moved != mask))
		kmh_misuse_twice_slots(s, word, mask & ~moved);
	kmh_mcache_give(mc, s, word, moved);
}

/* Give the entries before @to back to their spans. In the section, or the CPU is dead. */
static void kmh_magazine_evict(struct kmh_mcache *mc, struct kmh_mcslot *c, struct kmh_entry *to)
{
	while (c->head < to)
		kmh_magazine_evict_word(mc, c, to);
}

/*
 * Move the queue to the beginning of its array. In the section, so an interrupt meanwhile goes past
 * the magazine; only statistics may see half of it.
 */
static void kmh_magazine_rewind(struct kmh_mcache *mc, struct kmh_mcslot *c)
{
	struct kmh_entry *start = mc->magazine[c - mc->slot]->entry, *head = c->head;
	unsigned int spanclass = c - mc->slot, n = c->tail - head;

	memmove(start, head, n * sizeof(*head));
	WRITE_ONCE(mc->taken[spanclass], mc->taken[spanclass] + (head - start));
	WRITE_ONCE(c->head, start);
	WRITE_ONCE(c->tail, start + n);
	kmh_magazine_open(mc, c);
}

/*
 * Where to end instead of before @to, so that eight entries of a row, which can go together, stay
 * together.
 */
static struct kmh_entry *kmh_magazine_whole_eights(const struct kmh_mcslot *c, struct kmh_entry *to)
{
	long odd;

	if (to - c->head <= 8)
		return to;
	odd = ((unsigned long)to[-1].cell + 1) % 8;
	return to[-1 - odd].cell == to[-1].cell - odd ? to - odd : to;
}

/*
 * Make room for more entries, at the end of the array (see the top of this file). An eighth of it
 * is free then, so that the queue is seldom moved. In the section. Return: false when there is no
 * magazine.
 */
bool kmh_magazine_make_room(struct kmh_mcache *mc, struct kmh_mcslot *c)
{
	unsigned int spanclass = c - mc->slot;
	unsigned int len = c->tail - c->head;
	struct kmh_entry *to;

	if (unlikely(!mc->magazine[spanclass]))
		return kmh_magazine_new(mc, c);
	to = kmh_magazine_whole_eights(c, c->tail - kmh_magazine_keep(spanclass, len));
	if (len != kmh_magazine_room(spanclass) || !kmh_depot_give(mc, c, to))
		kmh_magazine_evict(mc, c, to);
	kmh_magazine_rewind(mc, c);
	return true;
}

/*
 * Is there room in the queue for what another CPU has given, all but as many entries as rest? In
 * the section. Return: false when there is more in it than rests, or no magazine: there is no
 * memory for one, or the CPU's tag is another one's, too (kmh_mcache_may_keep()).
 */
bool kmh_magazine_may_adopt(struct kmh_mcache *mc, struct kmh_mcslot *c)
{
	unsigned int spanclass = c - mc->slot;

	if (smp_processor_id() >= KMH_CELL_TAGS)
		return false;
	if (unlikely(!mc->magazine[spanclass]) && !kmh_magazine_new(mc, c))
		return false;
	return c->tail - c->head <= kmh_magazine_floor(spanclass);
}

/* Give all entries of an mcache back to their spans. In the section, or the CPU is dead. */
void kmh_magazines_drain(struct kmh_mcache *mc)
{
	unsigned int i;

	for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
		kmh_magazine_evict(mc, &mc->slot[i], mc->slot[i].tail);
		kmh_watch_reopen(mc, i);
	}
}

/* Entries in a magazine: a guess, from any CPU. */
unsigned int kmh_magazine_len(const struct kmh_mcache *mc, unsigned int spanclass)
{
	const struct kmh_mcslot *c = &mc->slot[spanclass];

	return clamp_t(long, READ_ONCE(c->tail) - READ_ONCE(c->head), 0, KMH_MAGAZINE_ENTRIES);
}

static bool kmh_has_magazines(const struct kmh_mcache *mc)
{
	unsigned int i;

	for (i = 0; i < KMH_NR_SPANCLASSES; i++)
		if (kmh_magazine_len(mc, i))
			return true;
	return false;
}

/*
 * Give all entries of all CPUs back, so that a search for free slots finds them. Interrupts only
 * CPUs that have something in a magazine. A CPU that is in its section is asked again at once,
 * three times in all. Context: process context; may sleep.
 */
void kmh_magazines_drain_all(struct kmheap *heap)
{
	unsigned int tries = 3;

	kmh_depots_drain(heap);
	while (kmh_mcache_visit(heap, kmh_magazines_drain, kmh_has_magazines).busy && --tries)
		cpu_relax();
	kmh_depots_drain(heap);		/* what CPUs have given meanwhile */
}

/* Free magazines, which are empty, or the heap ends. Called as kmh_magazines_drain() is. */
void kmh_magazines_free(struct kmh_mcache *mc)
{
	unsigned int i;

	for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
		struct kmh_magazine *m = mc->magazine[i];
		struct kmh_mcslot *c = &mc->slot[i];

		if (!m)
			continue;
		WRITE_ONCE(mc->taken[i], mc->taken[i] + (c->head - m->entry));
		WRITE_ONCE(mc->magazine[i], NULL);
		WRITE_ONCE(c->head, NULL);
		WRITE_ONCE(c->tail, NULL);
		c->ready = NULL;
		c->limit = NULL;
		kmh_magazine_put(mc->heap, m);
	}
}
