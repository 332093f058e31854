// SPDX-License-Identifier: GPL-2.0
/*
 * Arenas: what a heap takes from the kernel, one vmalloc area or one block each.
 *
 * A module can neither reserve address space without backing it nor unmap a part of an area, so an
 * area is taken and given back whole. All of its heap pages are handed out, so that runs whose
 * length divides an arena's leave nothing over: vmalloc() leaves a page without memory behind each
 * area, which is what a guard would be for. No guard keeps the arena from vfree(): see
 * lost_arena.c.
 *
 * A block is pages of the page allocator, in the direct map, that have been split: each has a
 * reference count of its own, and goes back by itself. A block, and with it the longest run that it
 * has, begins at a multiple of its length, or of the next power of two where its end went back to
 * the kernel at once.
 */
#include <linux/bitops.h>
#include <linux/kasan.h>
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <trace/events/kmheap.h>

#include "pages/arena.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/testpoint.h"
#include "heap.h"
#include "span/arenamap.h"
#include "span/spanpool.h"

const char * const kmh_who_names[KMH_NR_WHOS] = {
	"caller", "worker", "scavenger", "shrinker", "shrink", "oom", "end",
};

/*
 * Is a page of a block not in use any more, or somebody else's? It has two marks. @private is
 * cleared when the page is handed out alone or as the first one of several. @lru.prev is
 * overwritten when the page is freed, as it goes on a list then. A client that changes a mark loses
 * the page, which is better than that its next owner does.
 */
static bool kmh_page_is_lost(const struct kmh_arena *a, const struct page *page)
{
	return !page_ref_count(page) || page_private(page) != (unsigned long)a ||
	       (void *)READ_ONCE(page->lru.prev) != a;
}

/* Mark a page of a block as @a's, or with NULL as nobody's. */
static void kmh_page_mark(struct page *page, struct kmh_arena *a)
{
	set_page_private(page, (unsigned long)a);
	page->lru.prev = (void *)a;
}

/* The heap page of a block that page @i of the kernel is in. */
static unsigned long kmh_heap_page(unsigned long i)
{
	return (i << PAGE_SHIFT) >> KMH_PAGE_SHIFT;
}

/*
 * Look for a page of the arena that somebody else has freed: in a block, where pages are freed one
 * by one, among @n of its pages from page @from on; in an area, which is freed whole, at its base.
 * Context: process context. Return: the page, or NULL.
 */
struct page *kmh_arena_lost_page(const struct kmh_arena *a, unsigned long from, unsigned long n)
{
	unsigned long i, end = a->bytes >> PAGE_SHIFT;
	struct page *base;

	if (!a->block) {
		/* Another value in the mark is that of a client, to whom the page belongs. */
		base = vmalloc_to_page(a->vbase);
		return base != a->pages[0] || !page_private(base) ? a->pages[0] : NULL;
	}
	end = min(end - from, n) + from;
	for (i = from; i < end; i++)
		if (unlikely(kmh_page_is_lost(a, a->block_page + i)) &&
		    !kmh_arena_is_returned(a, kmh_heap_page(i)))
			return a->block_page + i;
	return NULL;
}

/*
 * Has somebody else freed the arena, as far as can be told at a glance? One page of a block is
 * looked at, by turns. Context: process context; arenas_mutex held.
 */
bool kmh_arena_look(struct kmh_arena *a)
{
	if (++a->looked >= a->bytes >> PAGE_SHIFT)
		a->looked = 0;
	return kmh_arena_lost_page(a, a->looked, 1);
}

/* The address in an arena that @page, which belongs to the arena, had or has. */
static unsigned long kmh_arena_page_addr(const struct kmh_arena *a, const struct page *page)
{
	unsigned long i = a->block ? page - a->block_page : 0;

	return (unsigned long)a->vbase + (i << PAGE_SHIFT);
}

/* Report an arena in which @page is lost; see kmh_arena_lost_page(). */
void kmh_arena_report_lost(const struct kmh_arena *a, const struct page *page)
{
	struct kmh_report r = {
		.kind = KMH_INVALID_FREE,
		.what = "an arena with live objects was freed by vfree(), kvfree() or kfree_rcu()",
		.addr = kmh_arena_page_addr(a, page), .ip = _RET_IP_, .heap = a->heap,
		.state = KMH_SPAN_GONE, .bytes = a->bytes,
	};

	if (a->block) {
		r.what = "a page with live objects was freed by kfree(), kvfree() or kfree_rcu()";
		r.ip = _THIS_IP_;	/* a site of its own: each is reported once */
		r.bytes = PAGE_SIZE;
	}
	preempt_disable();
	kmh_report_misuse(&r);
	preempt_enable();
}

/* Bytes of a block that are not lost. */
size_t kmh_arena_kept_bytes(const struct kmh_arena *a)
{
	unsigned long i, kept = 0;

	for (i = 0; i < a->bytes >> PAGE_SHIFT; i++)
		kept += !kmh_arena_is_returned(a, kmh_heap_page(i)) &&
			!kmh_page_is_lost(a, a->block_page + i);
	return kept << PAGE_SHIFT;
}

/*
 * Give the kernel's pages behind @n heap pages of a block back, from its heap page @page on. A page
 * that another user has references to stays with that user. Context: process context, also reclaim.
 */
void kmh_arena_free_pages(struct kmh_arena *a, unsigned long page, unsigned long n)
{
	unsigned long i = (page << KMH_PAGE_SHIFT) >> PAGE_SHIFT;
	unsigned long end = ((page + n) << KMH_PAGE_SHIFT) >> PAGE_SHIFT;

	kmh_test_point("pages of a block go back");
	for (; i < end; i++) {
		struct page *p = a->block_page + i;

		if (unlikely(kmh_page_is_lost(a, p))) {
			if (!a->lost)
				kmh_arena_report_lost(a, p);
			kmh_backend_forget_block_page();
			continue;
		}
		/* Objects are on kmemleak's books, or else the pages are. */
		if (!kmh_heap_sanitized(a->heap))
			kmemleak_free(page_address(p));
		kmh_page_mark(p, NULL);
		kmh_backend_free_block_page(p);
	}
}

/*
 * @n heap pages of a block have been returned. Their share of the block's tables stays with no
 * pages to count it with, so it is counted by itself until the block goes. Context: process
 * context; arenas_mutex held.
 */
void kmh_arena_unbook_pages(struct kmh_arena *a, unsigned long n)
{
	size_t tables = n * DIV_ROUND_UP(a->meta_bytes, a->npages);

	a->side_bytes += tables;
	kmh_heap_move_side(a->heap, tables);
	kmh_heap_unbook(a->heap, n << KMH_PAGE_SHIFT);
}

void kmh_arena_free_block(struct kmh_arena *a)
{
	unsigned long page, n;

	kmh_test_point("arena goes back");
	for (page = 0; kmh_arena_next_run(a, &page, &n); page += n)
		kmh_arena_free_pages(a, page, n);
	cond_resched();
	kmh_backend_forget_arena();
}

/* An arena knows its pages without the page tables, and each that may be freed alone has a mark. */
static void kmh_arena_mark_pages(struct kmh_arena *a)
{
	unsigned long i, n = a->bytes >> PAGE_SHIFT;

	if (a->block) {
		a->block_page = virt_to_page(a->vbase);
		for (i = 0; i < n; i++)
			kmh_page_mark(a->block_page + i, a);
		return;
	}
	for (i = 0; i < n; i++)
		a->pages[i] = vmalloc_to_page(a->vbase + i * PAGE_SIZE);
	set_page_private(a->pages[0], (unsigned long)a);
}

/* Make the tables for the memory at @vbase; its pages belong to nothing yet. */
static struct kmh_arena *kmh_arena_wrap(struct kmh_mheap *mh, void *vbase, size_t bytes,
					bool block, gfp_t gfp)
{
	unsigned long first = ALIGN((unsigned long)vbase, KMH_PAGE_SIZE) >> KMH_PAGE_SHIFT;
	unsigned long npages = (((unsigned long)vbase + bytes) >> KMH_PAGE_SHIFT) - first;
	size_t map = BITS_TO_LONGS(npages) * sizeof(long);
	size_t range = ALIGN(kmh_parange_bytes(npages), sizeof(long));
	size_t pages = block ? 0 : (bytes >> PAGE_SHIFT) * sizeof(struct page *);
	size_t returned = block ? map : 0;
	size_t meta = ALIGN(sizeof(struct kmh_arena), 64) + range + 3 * map + pages + returned;
	struct kmh_arena *a = kmh_backend_zalloc(meta, gfp, mh->nid);

	if (!a)
		return NULL;
	a->heap = mh->heap;
	a->mheap = mh;
	a->vbase = vbase;
	a->bytes = bytes;
	a->block = block;
	a->meta_bytes = meta;
	a->first = first;
	a->npages = npages;
	/* The pages are clear where the kernel clears all of them. */
	a->zeroed_from = want_init_on_alloc(0) ? first : ULONG_MAX;
	INIT_LIST_HEAD(&a->list);
	kmh_parange_init(&a->range, first, npages,
			 (void *)a + ALIGN(sizeof(struct kmh_arena), 64));
	a->page_inuse = (void *)a + ALIGN(sizeof(struct kmh_arena), 64) + range;
	a->page_marks = (void *)a->page_inuse + map;
	a->page_specials = (void *)a->page_marks + map;
	a->pages = block ? NULL : (void *)a->page_specials + map;
	a->returned = block ? (void *)a->page_specials + map : NULL;
	kmh_arena_mark_pages(a);
	return a;
}

/*
 * Make the arena's tables and its map entries, for memory that is the caller's if that fails. Where
 * KASAN keeps a tag in the top byte of an address (arm64), each area and block has another one:
 * without it, addresses are compared and looked up as they are, and may be used all the same.
 * Return: as kmh_arena_create().
 */
static struct kmh_arena *kmh_arena_map(struct kmh_mheap *mh, void *vbase, size_t bytes, bool block,
				       gfp_t gfp)
{
	struct kmh_arena *a = kmh_arena_wrap(mh, kasan_reset_tag(vbase), bytes, block, gfp);
	int err;

	if (!a)
		return ERR_PTR(-ENOMEM);
	err = kmh_arenamap_cover(block ? &kmh_blockmap : &kmh_areamap, a->first, a->npages, gfp);
	if (!err)
		err = kmh_mspan_pools_suffice(gfp);
	if (err) {
		kmh_backend_free(a);
		return ERR_PTR(err == -EDQUOT ? err : -ENOMEM);
	}
	kmh_arenamap_set(a->first, a->npages, mh->heap->unused);
	kmh_heap_account_metadata(mh->heap, a->meta_bytes);
	return a;
}

/* kmh_arena_create() of an area; @user: which user space may map. */
static struct kmh_arena *kmh_arena_create_area(struct kmh_mheap *mh, size_t bytes, bool user,
					       gfp_t gfp)
{
	size_t align = max(KMH_PAGE_SIZE, PAGE_SIZE);
	size_t booked = user ? bytes : bytes + align - PAGE_SIZE;
	struct kmh_arena *a = ERR_PTR(-ENOMEM);
	void *vbase;

	if (!kmh_heap_book(mh->heap, booked))
		return ERR_PTR(-EDQUOT);
	vbase = user ? kmh_backend_user(bytes, align, gfp, mh->nid) :
		       kmh_backend_arena(&bytes, align, gfp, mh->nid);
	if (!vbase)
		goto unbook;
	kmh_heap_unbook(mh->heap, booked - bytes);
	booked = bytes;
	if (kmh_heap_sanitized(mh->heap))
		kmh_sanitize_arena(vbase, bytes, false);
	a = kmh_arena_map(mh, vbase, bytes, false, gfp);
	if (!IS_ERR(a))
		return a;
	kmh_backend_free_arena(vbase);
unbook:
	kmh_heap_unbook(mh->heap, booked);
	return a;
}

/*
 * kmemleak looks for pointers in areas, but in no pages: it is told of those of a block, each of
 * which goes by itself and is no leak.
 */
static void kmh_arena_show_kmemleak(struct kmh_arena *a, gfp_t gfp)
{
	unsigned long i;

	for (i = 0; KMH_KMEMLEAK && i < a->bytes >> PAGE_SHIFT; i++)
		kmemleak_alloc(a->vbase + i * PAGE_SIZE, PAGE_SIZE, 0, gfp);
}

/* kmh_arena_create() of a block. */
static struct kmh_arena *kmh_arena_create_block(struct kmh_mheap *mh, size_t bytes, gfp_t gfp)
{
	struct kmh_arena *a = ERR_PTR(-ENOMEM);
	struct page *page;
	unsigned long i;

	if (!kmh_heap_book(mh->heap, bytes))
		return ERR_PTR(-EDQUOT);
	page = kmh_backend_block(bytes, gfp, mh->nid);
	if (!page)
		goto unbook;
	a = kmh_arena_map(mh, page_address(page), bytes, true, gfp);
	if (!IS_ERR(a)) {
		if (kmh_heap_sanitized(mh->heap))
			kmh_sanitize_arena(a->vbase, bytes, true);
		else
			kmh_arena_show_kmemleak(a, kmh_backend_gfp(gfp));
		return a;
	}
	for (i = 0; i < bytes >> PAGE_SHIFT; i++) {
		kmh_page_mark(page + i, NULL);
		kmh_backend_free_block_page(page + i);
	}
	kmh_backend_forget_arena();
	kmh_test_point("a block is not used");
unbook:
	kmh_heap_unbook(mh->heap, bytes);
	return a;
}

static void kmh_arena_tell_grow(const struct kmh_arena *a)
{
	bool ahead = current_work() == &a->mheap->work;

	trace_grow(a->heap->name, a->bytes, a->mheap->nid, a->block ? "block" : "area",
		   kmh_who_names[ahead ? KMH_WHO_WORKER : KMH_WHO_CALLER]);
}

/*
 * Take an arena of @bytes in heap pages, a multiple of KMH_PAGE_SIZE, from the kernel. It is booked
 * and in the arenas map, but in no list and no page allocator.
 *
 * Context: process context; sleeps, as @gfp must allow. Under a grow mutex. Return: the arena;
 * ERR_PTR(-EDQUOT) when a limit forbids it, ERR_PTR(-ENOMEM) when the kernel has not the memory.
 */
struct kmh_arena *kmh_arena_create(struct kmh_mheap *mh, size_t bytes, bool block, gfp_t gfp)
{
	struct kmh_arena *a = block ? kmh_arena_create_block(mh, bytes, gfp) :
				      kmh_arena_create_area(mh, bytes, false, gfp);

	if (!IS_ERR(a) && trace_grow_enabled())
		kmh_arena_tell_grow(a);
	return a;
}

/*
 * kmh_arena_create() of an area of zeroed pages that remap_vmalloc_range() takes, for one object
 * which has all of it. When the object is freed nobody gets its pages before the kernel has the
 * arena, because user space may have them mapped.
 */
struct kmh_arena *kmh_arena_create_user(struct kmh_mheap *mh, size_t bytes, gfp_t gfp)
{
	struct kmh_arena *a = kmh_arena_create_area(mh, bytes, true, gfp);

	if (IS_ERR(a))
		return a;
	a->user = true;
	a->dedicated = true;
	a->range.once = true;
	kmh_parange_set(&a->range, 0, a->npages);
	if (trace_grow_enabled())
		kmh_arena_tell_grow(a);
	return a;
}

/* The size of the first arena of a heap. */
size_t kmh_heap_first_bytes(const struct kmheap *heap)
{
	if (!(heap->flags & KMHEAP_SMALL))
		return heap->backing == KMH_BACKING_LINEAR ? KMH_BLOCK_MIN_BYTES :
							     KMH_ARENA_MIN_BYTES;
	return max(KMH_ARENA_FIRST_BYTES, PAGE_SIZE);
}

/* The pages that a heap begins with. */
unsigned long kmh_mheap_first_pages(const struct kmh_mheap *mh)
{
	return kmh_heap_first_bytes(mh->heap) >> KMH_PAGE_SHIFT;
}

/*
 * Growing ahead begins below an eighth of the last arena, which has @npages, at least four of the
 * smallest spans; of a first arena, which has two, when it is used up.
 */
unsigned long kmh_arena_low_pages(unsigned long npages)
{
	return max(npages / 8, min(4UL, npages / 2));
}

/*
 * Arenas of all heaps that are on their way to the kernel, in the order in which they have left
 * their page heaps. A caller waits for those of a moment, not for later ones.
 */
static DEFINE_SPINLOCK(kmh_leaving_lock);
static LIST_HEAD(kmh_leaving);
static u64 kmh_leaving_turn;			/* the turn of the last one */
DECLARE_WAIT_QUEUE_HEAD(kmh_arena_left);

/* An arena has left its page heap, and is booked until its grace period is over. */
void kmh_arena_begin_leave(struct kmh_arena *a)
{
	spin_lock(&kmh_leaving_lock);
	a->turn = ++kmh_leaving_turn;
	list_add_tail(&a->leaving, &kmh_leaving);
	spin_unlock(&kmh_leaving_lock);
	atomic_inc(&a->heap->limit.nleaving);
}

/* The arena is with the kernel. The heap may be gone afterwards. */
void kmh_arena_end_leave(struct kmh_arena *a)
{
	spin_lock(&kmh_leaving_lock);
	list_del(&a->leaving);
	spin_unlock(&kmh_leaving_lock);
	atomic_dec(&a->heap->limit.nleaving);
	wake_up_all(&kmh_arena_left);
}

/* The turn of the last arena that is leaving now, for kmh_arenas_have_left(). */
u64 kmh_arenas_leaving_now(void)
{
	u64 turn;

	spin_lock(&kmh_leaving_lock);
	turn = kmh_leaving_turn;
	spin_unlock(&kmh_leaving_lock);
	return turn;
}

bool kmh_arenas_have_left(u64 turn)
{
	const struct kmh_arena *a;
	bool left;

	spin_lock(&kmh_leaving_lock);
	a = list_first_entry_or_null(&kmh_leaving, struct kmh_arena, leaving);
	left = !a || a->turn > turn;
	spin_unlock(&kmh_leaving_lock);
	return left;
}

/*
 * Give an arena back that is in no list and no page allocator. Its map entries say "gone", and a
 * grace period has passed since. Context: process context; sleeps.
 */
void kmh_arena_destroy(struct kmh_arena *a)
{
	struct page *lost = kmh_arena_lost_page(a, 0, ULONG_MAX);
	struct kmheap *heap = a->heap;

	if (unlikely(lost))
		kmh_arena_report_lost(a, lost);
	if (a->block) {
		kmh_arena_free_block(a);
	} else if (unlikely(lost)) {
		kmh_backend_forget_arena();
	} else {
		set_page_private(a->pages[0], 0);
		kmh_backend_free_arena(a->vbase);
	}
	trace_release(heap->name, kmh_arena_held_bytes(a), a->mheap->nid,
		      a->block ? "block" : "area", kmh_who_names[a->who]);
	/* Only now that the memory is gone may another arena be booked. */
	kmh_heap_account_metadata(heap, -(long)a->meta_bytes);
	kmh_heap_move_side(heap, -(long)a->side_bytes);
	kmh_heap_unbook(heap, kmh_arena_held_bytes(a));	/* looks at the sum of both */
	if (a->left)
		kmh_arena_end_leave(a);
	kmh_backend_free(a);
}

/* Take pages out of the page heap. Return: are they known to be zero? From now on they are not. */
bool kmh_arena_use_pages(struct kmh_arena *a, unsigned long page, unsigned long npages)
{
	bool zeroed = page >= a->zeroed_from;

	if (page + npages > a->zeroed_from)
		a->zeroed_from = page + npages;
	return zeroed;
}

/*
 * The free pages of an arena that leaves say "gone" from here on; not its heap's in another arena,
 * should that be at the same addresses (kmh_arenamap_replace()). Context: any; nothing is allocated
 * from the arena any more.
 */
void kmh_arena_unmap_free(struct kmh_arena *a)
{
	unsigned long page, n;

	for (page = 0; kmh_arena_next_run(a, &page, &n); page += n) {
		kmh_arenamap_replace(a->first + page, n, a->heap->unused, &kmh_span_gone);
		kmh_arenamap_replace(a->first + page, n, a->heap->freed, &kmh_span_gone);
	}
}

/*
 * Is @s, which an entry of the arena's addresses leads to, a span of the arena? The entry may be
 * another's if a client has freed the arena (lost_arena.c), also at the first page of a span: so a
 * span is known by its arena, and not by its page. A sentinel, of this heap or another, has what
 * the last user of its descriptor left. Context: any; the arena's heap does not end meanwhile.
 */
bool kmh_arena_has_span(const struct kmh_arena *a, const struct kmh_mspan *s)
{
	const struct kmheap *heap = a->heap;

	return s->heap == heap && s->arena == a && s != heap->unused && s != heap->freed;
}

/* How many of the arena's heap pages from @page on are of its span @s. */
unsigned long kmh_arena_span_pages(const struct kmh_arena *a, const struct kmh_mspan *s,
				   unsigned long page)
{
	return min((s->base >> KMH_PAGE_SHIFT) + s->npages, a->first + a->npages) - page;
}

/*
 * Make the addresses of an arena say "gone" for good, in a heap that ends, and list the spans that
 * were left there, which no lookup finds any more, in @spans through @dead. A client may have freed
 * the arena just now, so this asks as if it had. Context: process context; arenas_mutex held.
 */
void kmh_arena_unmap(struct kmh_arena *a, struct kmh_mspan **spans)
{
	unsigned long page, n;

	lockdep_assert_held(&a->heap->arenas_mutex);
	kmh_arena_unmap_free(a);
	for (page = a->first; page < a->first + a->npages; page += n) {
		struct kmh_mspan *s = kmh_span_of_page(page);

		n = 1;
		if (!kmh_arena_has_span(a, s))
			continue;
		n = kmh_arena_span_pages(a, s, page);
		kmh_arenamap_replace(page, n, s, &kmh_span_gone);
		s->dead = *spans;
		*spans = s;
		cond_resched();
	}
}

/* kmh_walk_pages() for all spans of an arena. */
void kmh_walk_spans(struct kmh_arena *a, void (*fn)(struct kmh_mspan *s, void *ctx), void *ctx)
{
	unsigned long page, n;

	lockdep_assert_held(&a->heap->arenas_mutex);
	for (page = 0; kmh_arena_next_run(a, &page, &n); page += n)
		kmh_walk_pages(a->first + page, a->first + page + n, fn, ctx);
}
