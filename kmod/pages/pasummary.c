// SPDX-License-Identifier: GPL-2.0
/*
 * One range of the page allocator: the bitmap of its pages and the radix tree of summaries.
 *
 * The tree is Go's: a node knows the free run at its start, the longest anywhere in it, and the
 * one at its end, so a run of any length is found, or known not to exist, by looking at no more
 * than 8 nodes a level. Two things differ. Go reserves the tree as sparse address space, which a
 * module cannot, so the levels are arrays that cover one range, and a range has as many levels as
 * it needs. And Go packs the three numbers into one word, for which a summary must not cover more
 * than 2^21 pages; three u32 are 4 bytes more for 4 MiB and let one range have 2^30 pages.
 *
 * Pages past the end of the range have their bits set, so no other code needs to know that
 * the last chunk may be short.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/minmax.h>

#include "pages/pagealloc.h"

#define CHUNK_WORDS	(KMH_PA_CHUNK_PAGES / BITS_PER_LONG)

/* Words of the bitmap are handed out as u64, and a group is one word. */
static_assert(BITS_PER_LONG == 64);
static_assert(KMH_PA_GROUP_PAGES == BITS_PER_LONG);

/* Nodes on the level above one of @n nodes; 0 when there is none. */
static unsigned long level_above(unsigned long n)
{
	return n > 1 ? DIV_ROUND_UP(n, KMH_PA_FAN) : 0;
}

/* Heap pages under one node of @level. */
static u32 node_pages(unsigned int level)
{
	return KMH_PA_CHUNK_PAGES << (level * KMH_PA_FAN_SHIFT);
}

/* Nodes on @level. A shift, because every step asks for it. */
static unsigned long level_nodes(const struct kmh_parange *r, unsigned int level)
{
	return ((r->npages - 1) >> (KMH_PA_CHUNK_SHIFT + level * KMH_PA_FAN_SHIFT)) + 1;
}

/*
 * The bits of @word that start a run of @n >= 1 set bits within it. A bit that is left after
 * a step starts a run as long as has been proved, and each step doubles that length.
 */
static unsigned long word_runs(unsigned long word, unsigned int n)
{
	unsigned int proved = 1;

	while (proved < n && word) {
		unsigned int shift = min(proved, n - proved);

		word &= word >> shift;
		proved += shift;
	}
	return word;
}

/* The longest run of set bits in @word, or @known when there is none longer. */
static u32 word_longest(unsigned long word, u32 known)
{
	if (known >= BITS_PER_LONG)
		return known;
	for (word = word_runs(word, known + 1); word; word &= word >> 1)
		known++;
	return known;
}

/*
 * Runs that reach a border of a word are joined in the first pass. Runs inside a word, which only
 * matter when they are longer, are found in the second: few words have one, and in nearly all of
 * them the second pass ends at its first shift.
 */
static struct kmh_pasum chunk_sum(const unsigned long *words)
{
	struct kmh_pasum sum = { .start = KMH_PA_CHUNK_PAGES };
	u32 run = 0;
	int i;

	for (i = 0; i < CHUNK_WORDS; i++) {
		if (!words[i]) {
			run += BITS_PER_LONG;
			continue;
		}
		run += __ffs(words[i]);
		if (sum.start == KMH_PA_CHUNK_PAGES)
			sum.start = run;
		sum.max = max(sum.max, run);
		run = BITS_PER_LONG - 1 - __fls(words[i]);
	}
	sum.max = max(sum.max, run);
	sum.end = run;
	for (i = 0; i < CHUNK_WORDS; i++)
		sum.max = word_longest(~words[i], sum.max);
	return sum;
}

/* The summary of a node on @level > 0 from its children; absent ones are pages in use. */
static struct kmh_pasum node_sum(const struct kmh_parange *r, unsigned int level,
				 unsigned long node)
{
	const unsigned long first = node << KMH_PA_FAN_SHIFT;
	const unsigned long n = min(level_nodes(r, level - 1) - first, KMH_PA_FAN);
	const struct kmh_pasum *child = &r->level[level - 1][first];
	const u32 full = node_pages(level - 1);
	struct kmh_pasum sum = { };
	bool open = true;		/* every page so far is free */
	unsigned long i;

	for (i = 0; i < n; i++, child++) {
		u32 joined = sum.end + child->start;
		bool whole = child->start == full;

		sum.max = max3(sum.max, joined, child->max);
		sum.start = open ? joined : sum.start;
		sum.end = whole ? joined : child->end;
		open &= whole;
	}
	if (n < KMH_PA_FAN)
		sum.end = 0;
	return sum;
}

/*
 * Update the max of a parent for one changed child. Return: false when that cannot be told without
 * the siblings. It can for nearly every free, which halves what one costs in a tree of many
 * levels.
 */
static bool max_from_child(struct kmh_pasum *sum, const struct kmh_pasum *was,
			   const struct kmh_pasum *is)
{
	if (was->start != is->start || was->end != is->end)
		return false;
	if (is->max >= sum->max)
		sum->max = is->max;
	else if (was->max == sum->max)
		return false;
	return true;
}

/*
 * Recompute a node. @child is the only one of its children that has changed, or NONE when more may
 * have, and @was is what that child was. @was is set to what the node was. Return: has it changed?
 */
static bool node_update(struct kmh_parange *r, unsigned int level, unsigned long node,
			unsigned long child, struct kmh_pasum *was)
{
	struct kmh_pasum *sum = &r->level[level][node];
	struct kmh_pasum old = *sum;

	if (!level)
		*sum = chunk_sum(r->bits + node * CHUNK_WORDS);
	else if (child == KMH_PARANGE_NONE ||
		 !max_from_child(sum, was, &r->level[level - 1][child]))
		*sum = node_sum(r, level, node);
	*was = old;
	return old.start != sum->start || old.max != sum->max || old.end != sum->end;
}

/* Bits of @npages >= 1 pages from @start have changed: update the nodes above while they change. */
static void range_update(struct kmh_parange *r, unsigned long start, unsigned long npages)
{
	unsigned long lo = start >> KMH_PA_CHUNK_SHIFT;
	unsigned long hi = (start + npages - 1) >> KMH_PA_CHUNK_SHIFT;
	unsigned long node, child = KMH_PARANGE_NONE;
	struct kmh_pasum was;
	unsigned int level;

	for (level = 0; level < r->nlevels; level++) {
		bool changed = false;

		for (node = lo; node <= hi; node++)
			changed |= node_update(r, level, node, child, &was);
		if (!changed)
			return;
		child = lo == hi ? lo : KMH_PARANGE_NONE;
		lo >>= KMH_PA_FAN_SHIFT;
		hi >>= KMH_PA_FAN_SHIFT;
	}
}

/*
 * Bytes that kmh_parange_init() wants for a range of 1..KMH_PA_MAX_PAGES pages: 88 for up to 512
 * pages, else about 78 per 512.
 */
size_t kmh_parange_bytes(unsigned long npages)
{
	unsigned long nchunks = DIV_ROUND_UP(npages, KMH_PA_CHUNK_PAGES);
	size_t bytes = nchunks * CHUNK_WORDS * sizeof(unsigned long);
	unsigned long n;

	for (n = nchunks; n; n = level_above(n))
		bytes += sizeof(struct kmh_pasum *) + n * sizeof(struct kmh_pasum);
	return ALIGN(bytes, sizeof(long));
}

/*
 * Make a range of 1..KMH_PA_MAX_PAGES heap pages, all of them free, from page number @first on, of
 * any alignment. @mem: kmh_parange_bytes(@npages) zeroed bytes, aligned to 8; the caller frees
 * them after kmh_pa_remove(). Context: any; takes time in proportion to @npages, so not under a
 * lock.
 */
void kmh_parange_init(struct kmh_parange *r, unsigned long first, unsigned long npages,
		      void *mem)
{
	unsigned long nchunks = DIV_ROUND_UP(npages, KMH_PA_CHUNK_PAGES);
	struct kmh_pasum *sum;
	unsigned int level;
	unsigned long n;

	WARN_ON_ONCE(!npages || npages > KMH_PA_MAX_PAGES);
	*r = (struct kmh_parange) {
		.first = first,
		.npages = npages,
		.nfree = npages,
		.level = mem,
		.bucket = KMH_PA_NO_BUCKET,
	};
	INIT_LIST_HEAD(&r->ranges);
	INIT_HLIST_NODE(&r->index);

	for (n = nchunks; n; n = level_above(n))
		r->nlevels++;
	r->bits = (unsigned long *)(r->level + r->nlevels);
	sum = (struct kmh_pasum *)(r->bits + nchunks * CHUNK_WORDS);
	for (level = 0; level < r->nlevels; level++) {
		r->level[level] = sum;
		sum += level_nodes(r, level);
	}
	bitmap_set(r->bits, npages, nchunks * KMH_PA_CHUNK_PAGES - npages);
	range_update(r, 0, npages);
}

/* The lowest run of @npages in a chunk, from page @from on; KMH_PA_CHUNK_PAGES if there is none. */
static unsigned long chunk_find(const unsigned long *words, unsigned long from,
				unsigned long npages)
{
	unsigned long below = ~(~0UL << (from % BITS_PER_LONG));	/* pages below @from */
	unsigned long i, run = 0;

	for (i = from / BITS_PER_LONG; i < CHUNK_WORDS; i++, below = 0) {
		unsigned long used = words[i] | below;
		unsigned long at = i * BITS_PER_LONG;

		if (!used) {
			run += BITS_PER_LONG;
			if (run >= npages)
				return at + BITS_PER_LONG - run;
			continue;
		}
		if (run + __ffs(used) >= npages)
			return at - run;
		if (npages <= BITS_PER_LONG) {
			unsigned long runs = word_runs(~used, npages);

			if (runs)
				return at + __ffs(runs);
		}
		run = BITS_PER_LONG - 1 - __fls(used);
	}
	return KMH_PA_CHUNK_PAGES;
}

/* Free pages in one run at the end of a node, if @carry pages before the node are free. */
static unsigned long carry_past(const struct kmh_pasum *sum, unsigned long full,
				unsigned long carry)
{
	return sum->start == full ? carry + full : sum->end;
}

/* The first page under a node. */
static unsigned long node_page(unsigned int level, unsigned long node)
{
	return node << (KMH_PA_CHUNK_SHIFT + level * KMH_PA_FAN_SHIFT);
}

/*
 * The lowest run of @npages under a node whose max promises one. On each level the run begins
 * in one child and ends in a later one, or the max of a child promises it again.
 */
static unsigned long node_find(const struct kmh_parange *r, unsigned int level,
			       unsigned long node, unsigned long npages)
{
	while (level--) {
		const struct kmh_pasum *sum;
		unsigned long carry = 0, last;

		node <<= KMH_PA_FAN_SHIFT;
		last = node + KMH_PA_FAN - 1;
		for (sum = &r->level[level][node]; sum->max < npages; sum++, node++) {
			if (carry + sum->start >= npages)
				return node_page(level, node) - carry;
			if (WARN_ON_ONCE(node == last))
				return KMH_PARANGE_NONE;
			carry = carry_past(sum, node_pages(level), carry);
		}
		if (carry + sum->start >= npages)
			return node_page(level, node) - carry;
	}
	return node_page(0, node) + chunk_find(r->bits + node * CHUNK_WORDS, 0, npages);
}

/*
 * The lowest run of @npages that ends beyond chunk @node, which has @carry free pages at its
 * end. The search goes to the right, and up where a node of the next level begins, until a
 * node has the run.
 */
static unsigned long range_find_beyond(const struct kmh_parange *r, unsigned long node,
				       unsigned long carry, unsigned long npages)
{
	unsigned int level = 0;

	for (;;) {
		const struct kmh_pasum *sum;

		node++;
		while (!(node % KMH_PA_FAN) && level + 1 < r->nlevels) {
			node >>= KMH_PA_FAN_SHIFT;
			level++;
		}
		if (node >= level_nodes(r, level))
			return KMH_PARANGE_NONE;
		sum = &r->level[level][node];
		if (carry + sum->start >= npages)
			return node_page(level, node) - carry;
		if (sum->max >= npages)
			return node_find(r, level, node, npages);
		carry = carry_past(sum, node_pages(level), carry);
	}
}

/* The lowest run of @npages at or above @from that ends in the same chunk, or NONE. */
static unsigned long range_find_here(const struct kmh_parange *r, unsigned long from,
				     unsigned long npages)
{
	unsigned long node = from >> KMH_PA_CHUNK_SHIFT;
	unsigned long page = KMH_PA_CHUNK_PAGES;

	if (r->level[0][node].max >= npages)
		page = chunk_find(r->bits + node * CHUNK_WORDS, from % KMH_PA_CHUNK_PAGES, npages);
	return page < KMH_PA_CHUNK_PAGES ? node_page(0, node) + page : KMH_PARANGE_NONE;
}

/* The lowest run of @npages at or above @from, or NONE. */
static unsigned long range_find(const struct kmh_parange *r, unsigned long from,
				unsigned long npages)
{
	unsigned long page = range_find_here(r, from, npages);
	unsigned long node = from >> KMH_PA_CHUNK_SHIFT;
	unsigned long carry;

	if (page != KMH_PARANGE_NONE)
		return page;
	/* Free pages at the end of the chunk may begin below @from. */
	carry = min((unsigned long)r->level[0][node].end, node_page(0, node + 1) - from);
	return range_find_beyond(r, node, carry, npages);
}

/*
 * The lowest run of @npages >= 1 free pages, as its first page relative to @r->first;
 * KMH_PARANGE_NONE exactly when there is no such run. Looks at no more than 8 nodes a level.
 */
unsigned long kmh_parange_find(struct kmh_parange *r, unsigned long npages)
{
	unsigned long start;

	if (kmh_parange_max(r) < npages)
		return KMH_PARANGE_NONE;
	/*
	 * Mostly the run is in the chunk of the hint. Otherwise it may be anywhere, and going down
	 * from the root is half the way of going up from here and down again.
	 */
	start = range_find_here(r, r->hint, npages);
	if (start == KMH_PARANGE_NONE)
		start = node_find(r, r->nlevels - 1, 0, npages);
	if (npages == 1)
		r->hint = start;
	return start;
}

/*
 * A run of @npages >= 1 free pages at a page number that is a multiple of @align, a power of two.
 * Return: its first page relative to @r->first, or KMH_PARANGE_NONE.
 *
 * The tree knows lengths, not alignments, so runs that are long enough are tried in address order.
 * While @budget lasts, which each of them counts down, the answer is exact. After it, a run of
 * @npages + @align - 1 is taken, in which every alignment fits; only a range where such a run is
 * missing, too, can be refused wrongly.
 */
unsigned long kmh_parange_find_aligned(const struct kmh_parange *r, unsigned long npages,
				       unsigned long align, unsigned int *budget)
{
	unsigned long start = KMH_PARANGE_NONE;
	unsigned long at, end, used;

	if (kmh_parange_max(r) >= npages)
		start = range_find(r, r->hint, npages);
	for (; start != KMH_PARANGE_NONE && *budget; --*budget) {
		at = ALIGN(r->first + start, align) - r->first;
		end = min(at + npages, r->npages);
		used = find_next_bit(r->bits, end, start);
		if (end - start >= npages && used >= at + npages)
			return at;
		start = used < r->npages ? range_find(r, used, npages) : KMH_PARANGE_NONE;
	}
	if (start == KMH_PARANGE_NONE || kmh_parange_max(r) < npages + align - 1)
		return KMH_PARANGE_NONE;
	start = range_find(r, start, npages + align - 1);
	return ALIGN(r->first + start, align) - r->first;
}

/* Mark @npages >= 1 pages used, all of them free, from @start on, relative to @r->first. */
void kmh_parange_set(struct kmh_parange *r, unsigned long start, unsigned long npages)
{
	bitmap_set(r->bits, start, npages);
	WRITE_ONCE(r->nfree, r->nfree - npages);
	if (start == r->hint)
		r->hint += npages;
	range_update(r, start, npages);
}

/* Mark @npages >= 1 pages free, all of them in use, from @start on, relative to @r->first. */
void kmh_parange_clear(struct kmh_parange *r, unsigned long start, unsigned long npages)
{
	bitmap_clear(r->bits, start, npages);
	WRITE_ONCE(r->nfree, r->nfree + npages);
	r->hint = min(r->hint, start);
	range_update(r, start, npages);
}

/*
 * Mark all free pages of the lowest group used. @start: the first page, relative to @r->first, of
 * the group that holds the lowest free page. Return: the pages that were free, bit 0 for @start.
 */
u64 kmh_parange_set_word(struct kmh_parange *r, unsigned long start)
{
	unsigned long *word = &r->bits[start / KMH_PA_GROUP_PAGES];
	u64 free = ~*word;

	*word = ~0UL;
	WRITE_ONCE(r->nfree, r->nfree - hweight64(free));
	r->hint = min(start + KMH_PA_GROUP_PAGES, r->npages);
	range_update(r, start, 1);
	return free;
}

/*
 * Mark pages of a group free: @bits, at least one, all in use. Bit 0 is page @start, relative to
 * @r->first, a multiple of 64.
 */
void kmh_parange_clear_word(struct kmh_parange *r, unsigned long start, u64 bits)
{
	r->bits[start / KMH_PA_GROUP_PAGES] &= ~bits;
	WRITE_ONCE(r->nfree, r->nfree + hweight64(bits));
	r->hint = min(r->hint, start + __ffs(bits));
	range_update(r, start, 1);
}
