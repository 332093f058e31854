// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: exactly one party has each slot of a heap, the one that the slot's cell names. Other
 * suites expect that of their heaps, too.
 */
#include <linux/prandom.h>

#include "conserved_kunit.h"
#include "cpu/magazine.h"
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

/* Does an entry lead to a slot? */
static bool leads_to(const struct kmh_entry *e, const struct kmh_mspan *s, unsigned int slot)
{
	return e->cell == &s->cell[slot] && e->addr == kmh_mspan_slot_addr(s, slot);
}

/* Entries that lead to a slot in batches with the tag that its cell has. */
static unsigned int batched_to(struct kmh_mspan *s, unsigned int slot)
{
	unsigned int i, k, n = 0;
	struct kmh_node *node;
	int nid = -1;

	while ((node = kmh_next_node(s->heap, &nid))) {
		for (k = 0; node->depot && k < KMH_DEPOT_BATCHES; k++) {
			unsigned long place = node->depot[s->spanclass].place[k];
			const struct kmh_batch *b = (void *)(place & ~KMH_BATCH_N);

			for (i = 0; i < (place & KMH_BATCH_N); i++)
				n += b->tag == s->cell[slot] && leads_to(&b->entry[i], s, slot);
		}
	}
	return n;
}

/* Entries that lead to a slot in the magazine that its cell names, or in what came from that. */
static unsigned int entries_to(struct kmh_mspan *s, unsigned int slot)
{
	unsigned int cpu = s->cell[slot] - KMH_CELL_TAG, i, n = batched_to(s, slot);
	const struct kmh_mcache *mc;

	if (cpu >= nr_cpu_ids)
		return 0;
	mc = per_cpu_ptr(s->heap->mcache, cpu);
	for (i = 0; i < kmh_magazine_len(mc, s->spanclass); i++)
		n += leads_to(&mc->slot[s->spanclass].head[i], s, slot);
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
	struct kmh_node *node;
	struct kmh_arena *a;
	int nid = -1;

	*h = (struct holders){};
	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		kmh_walk_spans(a, check_span, h);
	mutex_unlock(&heap->arenas_mutex);
	for_each_possible_cpu(cpu)
		for (i = 0; i < KMH_NR_SPANCLASSES; i++)
			nentries += kmh_magazine_len(per_cpu_ptr(heap->mcache, cpu), i);
	while ((node = kmh_next_node(heap, &nid)))
		for (i = 0; i < KMH_NR_SPANCLASSES; i++)
			nentries += kmh_depot_len(node, i);
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
	bool same;

	for (value = 0; value < KMH_CELL_TAG + 3; value++) {
		s->cell[slot] = value;
		/* A live object is one with a record or without, of a cache or of none. */
		same = value == cell || (kmh_cell_live(value) && cell == KMH_CELL_LIVE);
		KUNIT_EXPECT_EQ_MSG(test, !check_heap(s->heap, &h), same, "slot %u, cell %u",
				    slot, value);
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

static struct kunit_case conserved_cases[] = {
	KUNIT_CASE(slots_are_conserved),
	KUNIT_CASE(blocks_of_packed_objects_are_conserved),
	KUNIT_CASE(conservation_is_checked),
	{ }
};

static struct kunit_suite conserved_suite = {
	.name = "kmheap_conserved",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = conserved_cases,
};

kunit_test_suite(conserved_suite);
