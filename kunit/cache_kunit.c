// SPDX-License-Identifier: GPL-2.0
/* KUnit: typed caches. */
#include <linux/rcupdate.h>

#include "kunit_util.h"

struct thing {
	u64 constructed;
	u64 rest[5];
};

#define CONSTRUCTED	0x636f6e7374727563ULL

static atomic_t nconstructed;

static void thing_construct(void *p)
{
	struct thing *thing = p;

	thing->constructed = CONSTRUCTED;
	atomic_inc(&nconstructed);
}

static struct kmheap_cache *cache_of(struct kunit *test, const struct kmheap_cache_args *args)
{
	struct kmheap_cache *cache = kmheap_cache_create(kmh_kunit_heap(test), args);

	KUNIT_ASSERT_FALSE(test, IS_ERR(cache));
	return cache;
}

static struct kmheap_cache *thing_cache(struct kunit *test, const char *name)
{
	return cache_of(test, &(struct kmheap_cache_args){
		.name = name, .size = sizeof(struct thing) });
}

/* Live objects of a cache by its cells. */
static u64 live_of(struct kunit *test, const struct kmheap_cache *cache)
{
	struct kmh_cache_counts *counts = kunit_kzalloc(test, sizeof(*counts), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	u64 live;

	KUNIT_ASSERT_NOT_NULL(test, counts);
	mutex_lock(&heap->caches.mutex);
	kmh_caches_count(heap, counts);
	mutex_unlock(&heap->caches.mutex);
	live = counts->live[kmh_cell_cache(cache->cell)];
	kunit_kfree(test, counts);
	return live;
}

static enum kmheap_object_state state_of(const void *p)
{
	struct kmheap_object obj = {};

	kmheap_lookup(p, &obj);
	return obj.state;
}

/* Sizes and alignments: as promised, in the class that fits, and all bytes are the object's. */
static void objects_have_size_and_alignment(struct kunit *test)
{
	static const struct { size_t size, align; unsigned int flags; } of[] = {
		{ 1, 0, 0 }, { 40, 0, 0 }, { 40, 32, 0 }, { 200, 256, 0 }, { 1000, 4096, 0 },
		{ 20, 0, KMHEAP_CACHE_HWCACHE_ALIGN }, { 100, 0, KMHEAP_CACHE_HWCACHE_ALIGN },
		{ 5000, 8192, 0 }, { KMHEAP_MAX_SMALL - KMH_REDZONE_BYTES, 8, 0 },
	};
	struct kmheap_cache_args args;
	struct kmheap_cache *cache;
	unsigned int i, j;
	void *p[20];

	for (i = 0; i < ARRAY_SIZE(of); i++) {
		cache = cache_of(test, &(struct kmheap_cache_args){
			.name = "sized", .size = of[i].size, .align = of[i].align,
			.flags = of[i].flags });
		kmheap_cache_describe(cache, &args);
		KUNIT_EXPECT_STREQ(test, args.name, "sized");
		KUNIT_EXPECT_EQ(test, args.size, of[i].size);
		KUNIT_EXPECT_EQ(test, args.flags, of[i].flags);
		KUNIT_EXPECT_NULL(test, args.ctor);
		KUNIT_EXPECT_GE(test, args.align, of[i].align);
		for (j = 0; j < ARRAY_SIZE(p); j++) {
			p[j] = kmheap_cache_alloc(cache, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[j]);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p[j], cache->align));
			KUNIT_EXPECT_GE(test, kmheap_size(p[j]), of[i].size);
			kmh_kunit_fill(p[j]);
		}
		KUNIT_EXPECT_EQ(test, live_of(test, cache), ARRAY_SIZE(p));
		for (j = 0; j < ARRAY_SIZE(p); j++) {
			KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p[j]));
			kmheap_cache_free(cache, p[j]);
		}
		KUNIT_EXPECT_EQ(test, live_of(test, cache), 0);
		kmheap_cache_destroy(cache);
	}
}

/* Objects of 20 bytes do not lie in two lines, and still share them. */
static void lines_are_shared(struct kunit *test)
{
	struct kmheap_cache *cache = cache_of(test, &(struct kmheap_cache_args){
		.name = "lines", .size = 20, .flags = KMHEAP_CACHE_HWCACHE_ALIGN });

	KUNIT_EXPECT_EQ(test, cache->align, 32);
	kmheap_cache_destroy(cache);
}

static void refused_arguments(struct kunit *test)
{
	static const struct kmheap_cache_args bad[] = {
		{ .size = 8 },
		{ .name = "", .size = 8 },
		{ .name = "a/b", .size = 8 },
		{ .name = "no size" },
		{ .name = "too large", .size = KMHEAP_MAX_SMALL + 1 },
		{ .name = "odd alignment", .size = 8, .align = 24 },
		{ .name = "alignment", .size = 8, .align = 16384 },
		{ .name = "flag", .size = 8, .flags = BIT(2) },
	};
	struct {
		struct kmheap_cache_args known;
		long more;
	} newer = { .known = { .name = "newer", .size = 8 } };
	struct kmheap_cache *cache;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR(kmheap_cache_create(kmh_kunit_heap(test),
								      &bad[i])),
				    -EINVAL, "%s", bad[i].name);
	/* Of a newer client: what the module does not know has to be zero. */
	cache = kmheap_cache_create_sized(kmh_kunit_heap(test), &newer.known, sizeof(newer));
	KUNIT_ASSERT_FALSE(test, IS_ERR(cache));
	kmheap_cache_destroy(cache);
	newer.more = 1;
	cache = kmheap_cache_create_sized(kmh_kunit_heap(test), &newer.known, sizeof(newer));
	KUNIT_EXPECT_EQ(test, PTR_ERR(cache), -EINVAL);
	/* Of an older one: what it does not know is zero. */
	cache = kmheap_cache_create_sized(kmh_kunit_heap(test), &newer.known,
					  offsetof(struct kmheap_cache_args, align));
	KUNIT_ASSERT_FALSE(test, IS_ERR(cache));
	kmheap_cache_destroy(cache);
}

static void collected_heaps_have_none(struct kunit *test)
{
	struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	struct kmheap *heap = kmheap_create("kunit-collected", &attr);
	struct kmheap_cache_args args = { .name = "none", .size = 8 };

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	KUNIT_EXPECT_EQ(test, PTR_ERR(kmheap_cache_create(heap, &args)), -EINVAL);
	kmheap_destroy(heap);
}

static void as_many_as_there_are_numbers(struct kunit *test)
{
	struct kmheap_cache_args args = { .name = "one too many", .size = 8 };
	struct kmheap_cache *cache[KMH_CACHES];
	void *p[KMH_CACHES];
	unsigned int i;

	for (i = 0; i < KMH_CACHES; i++) {
		cache[i] = thing_cache(test, "many");
		p[i] = kmheap_cache_alloc(cache[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	KUNIT_EXPECT_EQ(test, PTR_ERR(kmheap_cache_create(kmh_kunit_heap(test), &args)), -ENOSPC);
	for (i = 0; i < KMH_CACHES; i++) {
		KUNIT_EXPECT_EQ(test, live_of(test, cache[i]), 1);
		kmheap_cache_free(cache[i], p[i]);
	}
	kmheap_cache_destroy(cache[3]);
	cache[3] = thing_cache(test, "in its place");
	KUNIT_EXPECT_EQ(test, live_of(test, cache[3]), 0);
	for (i = 0; i < KMH_CACHES; i++)
		kmheap_cache_destroy(cache[i]);
}

/* Each way to allocate and to free, against the count. */
static void all_ways_in_and_out(struct kunit *test)
{
	struct kmheap_cache *cache = thing_cache(test, "ways");
	void *p[40] = {}, *many[64];
	struct thing *zeroed;
	unsigned int i;

	for (i = 0; i < 10; i++)
		p[i] = kmheap_cache_alloc(cache, GFP_KERNEL);
	for (; i < 20; i++)
		p[i] = kmheap_cache_zalloc(cache, GFP_ATOMIC);
	for (; i < 30; i++)
		p[i] = kmheap_cache_alloc_node(cache, GFP_KERNEL, numa_node_id());
	for (; i < 40; i++)
		p[i] = kmheap_cache_alloc_node(cache, GFP_NOWAIT, NUMA_NO_NODE);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	zeroed = p[10];
	KUNIT_EXPECT_NULL(test, memchr_inv(zeroed, 0, sizeof(*zeroed)));
	KUNIT_EXPECT_EQ(test, live_of(test, cache), ARRAY_SIZE(p));

	kmheap_cache_free(cache, p[0]);
	kmheap_free(p[1]);
	kmheap_cache_free_rcu(cache, p[2]);
	kmheap_free_rcu(p[3]);
	kmheap_free_sized(p[4], sizeof(struct thing));
	kmheap_free_sensitive(p[5]);
	kmheap_cache_free(cache, NULL);
	KUNIT_EXPECT_EQ(test, live_of(test, cache), ARRAY_SIZE(p) - 6);
	kmheap_free_bulk(10, p + 6);
	kmheap_cache_free_bulk(cache, ARRAY_SIZE(p) - 16, p + 16);
	KUNIT_EXPECT_EQ(test, live_of(test, cache), 0);

	KUNIT_EXPECT_EQ(test, kmheap_cache_alloc_bulk(cache, GFP_KERNEL, 64, many), 64);
	KUNIT_EXPECT_EQ(test, live_of(test, cache), 64);
	kmheap_cache_free_bulk(cache, 64, many);
	KUNIT_EXPECT_EQ(test, live_of(test, cache), 0);
	kmheap_cache_destroy(cache);
	kmheap_rcu_barrier(kmh_kunit_heap(test));
	kmh_kunit_validate(test);
}

static void constructed_each_time(struct kunit *test)
{
	struct kmheap_cache *cache = cache_of(test, &(struct kmheap_cache_args){
		.name = "constructed", .size = sizeof(struct thing), .ctor = thing_construct });
	struct thing *thing[100];
	unsigned int i, round;

	atomic_set(&nconstructed, 0);
	/* Also what is used again has been constructed. */
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(thing); i++) {
			thing[i] = i % 2 ? kmheap_cache_alloc(cache, GFP_KERNEL) :
					   kmheap_cache_alloc_node(cache, GFP_KERNEL, 0);
			KUNIT_ASSERT_NOT_NULL(test, thing[i]);
			KUNIT_EXPECT_EQ(test, thing[i]->constructed, CONSTRUCTED);
			thing[i]->constructed = 0;
		}
		kmheap_cache_free_bulk(cache, ARRAY_SIZE(thing), (void **)thing);
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&nconstructed), 3 * ARRAY_SIZE(thing));
	KUNIT_EXPECT_EQ(test, live_of(test, cache), 0);
	kmheap_cache_destroy(cache);
}

/* An object that is not of the cache stays as it was, whatever else it is. */
static void wrong_caches(struct kunit *test)
{
	struct kmheap_cache *one = thing_cache(test, "one"), *other = thing_cache(test, "other");
	struct kmheap *heap = kmheap_create("kunit-other", NULL);
	struct kmheap_cache_args args = { .name = "elsewhere", .size = sizeof(struct thing) };
	struct kmheap_cache *elsewhere;
	struct kmh_report r;
	void *p, *plain;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	elsewhere = kmheap_cache_create(heap, &args);
	KUNIT_ASSERT_FALSE(test, IS_ERR(elsewhere));
	KUNIT_ASSERT_EQ(test, elsewhere->cell, one->cell);
	p = kmheap_cache_alloc(one, GFP_KERNEL);
	plain = kmheap_alloc(kmh_kunit_heap(test), sizeof(struct thing), GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, p && plain);

	kmheap_cache_free(other, p);
	r = kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_EXPECT_STREQ(test, r.cache, "other");
	KUNIT_EXPECT_EQ(test, r.object, (unsigned long)p);
	kmheap_cache_free_rcu(other, p);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	kmheap_cache_free(elsewhere, p);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	kmheap_cache_free(one, plain);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_EXPECT_EQ(test, state_of(p), KMHEAP_OBJECT_LIVE);
	KUNIT_EXPECT_EQ(test, state_of(plain), KMHEAP_OBJECT_LIVE);
	KUNIT_EXPECT_EQ(test, live_of(test, one), 1);

	kmheap_cache_free(one, p + 8);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	kmheap_cache_free(one, p);
	kmh_kunit_no_reports(test);
	kmheap_cache_free(one, p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free(p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free(plain);
	kmheap_cache_destroy(elsewhere);
	kmheap_destroy(heap);
	kmheap_cache_destroy(other);
	kmheap_cache_destroy(one);
	kmh_kunit_validate(test);
}

/* Two frees at the same time: of one cache, of the heap, and one of each. */
static void free_of_cache(void *arg)
{
	void **of = arg;

	kmheap_cache_free(of[0], of[1]);
}

static void free_of_heap(void *arg)
{
	void **of = arg;

	kmheap_free(of[1]);
}

static void frees_that_meet(struct kunit *test)
{
	static void (*const second[])(void *arg) = { free_of_cache, free_of_heap };
	struct kmheap_cache *cache = thing_cache(test, "meet");
	unsigned int i;
	void *of[2];

	kmh_kunit_stay(test);
	for (i = 0; i < ARRAY_SIZE(second); i++) {
		of[0] = cache;
		of[1] = kmheap_cache_alloc(cache, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, of[1]);
		kmh_kunit_at(test, "free: before the claim", second[i], of);
		/* Not LIVE, so this free has to claim; the second one finds the section busy. */
		free_of_heap(of);
		/* Where KASAN has it put into quarantine, they come one after the other. */
		if (!kmh_kunit_passed("free: before the claim"))
			second[i](of);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	}
	KUNIT_EXPECT_EQ(test, live_of(test, cache), 0);
	kmheap_cache_destroy(cache);
}

/* What is left is the heap's, and no object of the cache that gets the number next. */
static void destroyed_with_live_objects(struct kunit *test)
{
	struct kmheap_cache *cache = cache_of(test, &(struct kmheap_cache_args){
		.name = "left", .size = sizeof(struct thing),
		.flags = KMHEAP_CACHE_TYPESAFE_BY_RCU });
	struct kmheap_cache *next;
	void *p = kmheap_cache_alloc(cache, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmheap_cache_destroy(cache);
	KUNIT_EXPECT_EQ(test, state_of(p), KMHEAP_OBJECT_LIVE);
	/* The descriptor is a descriptor still. */
	kmheap_cache_free(cache, p);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	next = thing_cache(test, "next");
	KUNIT_EXPECT_EQ(test, live_of(test, next), 0);
	kmheap_free(p);
	KUNIT_EXPECT_EQ(test, state_of(p), KMHEAP_OBJECT_FREE);
	kmh_kunit_no_reports(test);
	kmheap_cache_destroy(next);
}

static void heap_ends_before_its_cache(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-first", NULL);
	struct kmheap_cache_args args = { .name = "late", .size = sizeof(struct thing) };
	struct kmheap_cache *cache;
	void *p;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	cache = kmheap_cache_create(heap, &args);
	KUNIT_ASSERT_FALSE(test, IS_ERR(cache));
	p = kmheap_cache_alloc(cache, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	kmheap_destroy(heap);
	kmheap_cache_free(cache, p);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
}

static void free_typed(struct kmheap_cache *cache, struct thing *thing, unsigned int how)
{
	void *p[8] = { thing };

	switch (how) {
	case 0:
		kmheap_cache_free(cache, thing);
		break;
	case 1:
		kmheap_free(thing);
		break;
	case 2:
		kmheap_free_bulk(1, p);
		break;
	case 3:
		kmheap_free_sized(thing, sizeof(*thing));
		break;
	case 4:
		kmheap_cache_free_bulk(cache, 1, p);
		break;
	default:
		kmheap_cache_free_rcu(cache, thing);
		break;
	}
}

/* Until its readers have left a freed object is what it was, and nobody's memory. */
static void type_is_kept_for_readers(struct kunit *test)
{
	struct kmheap_cache *cache = cache_of(test, &(struct kmheap_cache_args){
		.name = "typesafe", .size = sizeof(struct thing), .ctor = thing_construct,
		.flags = KMHEAP_CACHE_TYPESAFE_BY_RCU });
	struct thing *thing[6], *p;
	unsigned int how, i;

	for (how = 0; how < ARRAY_SIZE(thing); how++) {
		thing[how] = kmheap_cache_alloc(cache, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, thing[how]);
		thing[how]->rest[4] = how;
	}
	rcu_read_lock();
	for (how = 0; how < ARRAY_SIZE(thing); how++) {
		free_typed(cache, thing[how], how);
		KUNIT_EXPECT_EQ_MSG(test, state_of(thing[how]), KMHEAP_OBJECT_DEFERRED,
				    "freed in way %u", how);
	}
	for (i = 0; i < 200; i++) {
		p = kmheap_cache_alloc(cache, GFP_ATOMIC);
		for (how = 0; p && how < ARRAY_SIZE(thing); how++)
			KUNIT_EXPECT_PTR_NE(test, p, thing[how]);
		if (p)
			p->rest[4] = 77;
		kmheap_cache_free(cache, p);
	}
	for (how = 0; how < ARRAY_SIZE(thing); how++) {
		KUNIT_EXPECT_EQ(test, thing[how]->constructed, CONSTRUCTED);
		KUNIT_EXPECT_EQ(test, thing[how]->rest[4], how);
	}
	rcu_read_unlock();
	kmh_kunit_no_reports(test);
	kmheap_cache_free(cache, thing[0]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, live_of(test, cache), 0);
	kmheap_cache_destroy(cache);
	kmheap_rcu_barrier(kmh_kunit_heap(test));
	KUNIT_EXPECT_NE(test, state_of(thing[1]), KMHEAP_OBJECT_DEFERRED);
}

/* An interrupt in the middle of a free of the same CPU frees a typed object past the magazine. */
static void free_twice_typed(void *arg)
{
	void **of = arg;

	kmheap_free(of[1]);
}

static void type_is_kept_in_interrupts(struct kunit *test)
{
	struct kmheap_cache *cache = cache_of(test, &(struct kmheap_cache_args){
		.name = "typesafe", .size = sizeof(struct thing),
		.flags = KMHEAP_CACHE_TYPESAFE_BY_RCU });
	void *of[2] = { cache, kmheap_cache_alloc(cache, GFP_KERNEL) };
	void *plain = kmheap_alloc(kmh_kunit_heap(test), sizeof(struct thing), GFP_KERNEL);

	KUNIT_ASSERT_TRUE(test, of[1] && plain);
	kmh_kunit_stay(test);
	kmh_kunit_at(test, "free: before the claim", free_twice_typed, of);
	kmheap_free(plain);
	if (!kmh_kunit_passed("free: before the claim"))
		free_twice_typed(of);
	KUNIT_EXPECT_EQ(test, state_of(of[1]), KMHEAP_OBJECT_DEFERRED);
	kmheap_cache_destroy(cache);
}

/* Sampled objects are of their cache as well. */
static void profiled_objects(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_cache *cache = thing_cache(test, "profiled"), *other;
	struct kmh_mspan *s;
	void *p[30];
	unsigned int i;

	other = thing_cache(test, "other");
	KUNIT_ASSERT_EQ(test, kmh_watch_set_period(heap, 1), 0);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmheap_cache_alloc(cache, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	KUNIT_EXPECT_EQ(test, live_of(test, cache), ARRAY_SIZE(p));
	s = kmh_span_of((unsigned long)p[0]);
	KUNIT_EXPECT_EQ(test, s->cell[((unsigned long)p[0] - s->base) / s->elemsize],
			cache->cell + KMH_CELL_SAMPLED);
	kmheap_cache_free(other, p[0]);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	kmheap_cache_free_rcu(cache, p[0]);
	kmheap_free(p[1]);
	kmheap_cache_free_bulk(cache, ARRAY_SIZE(p) - 2, p + 2);
	KUNIT_EXPECT_EQ(test, live_of(test, cache), 0);
	kmh_watch_set_period(heap, 0);
	kmheap_cache_destroy(cache);
	kmheap_cache_destroy(other);
	kmheap_rcu_barrier(heap);
}

struct crowd {
	struct kmheap_cache *cache[2];
	void *shared[64];
	atomic_t lost;
};

/* Objects go from thread to thread; each is freed by the cache that it is of. */
static void crowd_thread(void *arg, unsigned int i)
{
	struct crowd *crowd = arg;
	unsigned int round, rounds = KMH_KUNIT_SLOW ? 2000 : 20000, slot;
	void *p, *mine;

	for (round = 0; round < rounds; round++) {
		slot = (round * 7 + i * 13) % ARRAY_SIZE(crowd->shared);
		p = kmheap_cache_alloc(crowd->cache[slot % 2], GFP_KERNEL);
		if (!p) {
			atomic_inc(&crowd->lost);
			continue;
		}
		mine = xchg(&crowd->shared[slot], p);
		kmheap_cache_free(crowd->cache[slot % 2], mine);
	}
}

static void threads_and_two_caches(struct kunit *test)
{
	struct crowd *crowd = kunit_kzalloc(test, sizeof(*crowd), GFP_KERNEL);
	unsigned int i, left = 0;

	KUNIT_ASSERT_NOT_NULL(test, crowd);
	crowd->cache[0] = thing_cache(test, "left hand");
	crowd->cache[1] = cache_of(test, &(struct kmheap_cache_args){
		.name = "right hand", .size = sizeof(struct thing),
		.flags = KMHEAP_CACHE_TYPESAFE_BY_RCU });
	kmh_kunit_threads(test, KMH_KUNIT_THREADS, crowd_thread, crowd);
	KUNIT_EXPECT_EQ(test, atomic_read(&crowd->lost), 0);
	for (i = 0; i < ARRAY_SIZE(crowd->shared); i++)
		left += !!crowd->shared[i];
	KUNIT_EXPECT_EQ(test, live_of(test, crowd->cache[0]) + live_of(test, crowd->cache[1]),
			left);
	for (i = 0; i < ARRAY_SIZE(crowd->shared); i++)
		kmheap_cache_free(crowd->cache[i % 2], crowd->shared[i]);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, live_of(test, crowd->cache[i]), 0);
		kmheap_cache_destroy(crowd->cache[i]);
	}
	kmh_kunit_no_reports(test);
}

static int cache_init(struct kunit *test)
{
	/* What a profile takes stays, and is in no books. */
	return kmh_stacks_alloc() ?: kmh_sites_alloc() ?: kmh_records_alloc() ?:
	       kmh_kunit_init(test);
}

static struct kunit_case cache_cases[] = {
	KUNIT_CASE(objects_have_size_and_alignment),
	KUNIT_CASE(lines_are_shared),
	KUNIT_CASE(refused_arguments),
	KUNIT_CASE(collected_heaps_have_none),
	KUNIT_CASE(as_many_as_there_are_numbers),
	KUNIT_CASE(all_ways_in_and_out),
	KUNIT_CASE(constructed_each_time),
	KUNIT_CASE(wrong_caches),
	KUNIT_CASE(frees_that_meet),
	KUNIT_CASE(destroyed_with_live_objects),
	KUNIT_CASE(heap_ends_before_its_cache),
	KUNIT_CASE(type_is_kept_for_readers),
	KUNIT_CASE(type_is_kept_in_interrupts),
	KUNIT_CASE(profiled_objects),
	KUNIT_CASE(threads_and_two_caches),
	{}
};

static struct kunit_suite cache_suite = {
	.name = "kmheap_cache",
	.init = cache_init,
	.exit = kmh_kunit_exit,
	.test_cases = cache_cases,
};

kunit_test_suite(cache_suite);
