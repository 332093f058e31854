// SPDX-License-Identifier: GPL-2.0
/* Heaps: create, attributes, accounting. */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/cpuhotplug.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/string.h>

#include "heap.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/lock.h"
#include "base/param.h"
#include "cpu/depot.h"
#include "cpu/magazine.h"
#include "debug/debugfs.h"
#include "debug/stats.h"
#include "debug/trace_switch.h"
#include "front/front.h"
#include "insight/site.h"
#include "pages/arena.h"
#include "span/arenamap.h"
#include "span/spanpool.h"
#include "supply/giveback.h"
#include "supply/grow.h"

struct kmheap *kmh_default_heap;
LIST_HEAD(kmh_heaps);
DEFINE_MUTEX(kmh_heaps_mutex);	/* protects kmh_heaps */
atomic_long_t kmh_misuses[KMH_NR_MISUSES];
static enum cpuhp_state kmh_cpuhp_state;

/* ---- create */

static int kmh_attr_check(const char *name, const struct kmheap_attr *attr)
{
	if (!kmh_name_ok(name)) {
		name = name ?: "(null)";
		pr_err("heap name \"%*pE\": 1 to %u characters of printable ASCII, no '/', no leading '.'\n",
		       (int)strnlen(name, KMH_NAME_MAX + 1), name, KMH_NAME_MAX);
		return -EINVAL;
	}
	if (attr->flags & ~KMH_HEAP_FLAGS ||
	    !(~attr->flags & (KMHEAP_AREA | KMHEAP_LINEAR))) {
		pr_err("heap %s: flags %#x, only those of %#lx are known, and not KMHEAP_AREA (%#lx) with KMHEAP_LINEAR (%#lx)\n",
		       name, attr->flags, KMH_HEAP_FLAGS, KMHEAP_AREA, KMHEAP_LINEAR);
		return -EINVAL;
	}
	if (attr->limit_bytes && attr->limit_bytes < KMH_LIMIT_MIN_BYTES) {
		pr_err("heap %s: limit of %zu bytes, at least %lu are needed (0 = none)\n", name,
		       attr->limit_bytes, KMH_LIMIT_MIN_BYTES);
		return -EINVAL;
	}
	if (!kmh_reserve_allowed(attr->reserve_bytes, attr->limit_bytes ?: kmh_default_limit)) {
		pr_err("heap %s: reserve of %zu bytes, at most 1 GiB and half of the limit\n", name,
		       attr->reserve_bytes);
		return -EINVAL;
	}
	return 0;
}

static struct kmh_mspan *kmh_sentinel(struct kmheap *heap, enum kmh_span_state state)
{
	struct kmh_mspan *s = kmh_mspan_get(KMH_SPANCLASS_LARGE);

	if (!s)
		return NULL;
	kmh_mspan_init(s, KMH_SPANCLASS_LARGE, 0, 0);
	s->heap = heap;
	s->state = state;
	kmh_heap_account_metadata(heap, kmh_mspan_bytes(s));
	return s;
}

static int kmh_heap_init_sentinels(struct kmheap *heap)
{
	int err = kmh_mspan_pools_refill(KMH_SPAN_RESERVE, GFP_KERNEL);

	/* Where the module's limit forbids more there may be enough; the first arena tells. */
	if ((err && err != -EDQUOT) || kmh_magazines_refill(GFP_KERNEL))
		return -ENOMEM;
	heap->unused = kmh_sentinel(heap, KMH_SPAN_UNUSED);
	heap->freed = kmh_sentinel(heap, KMH_SPAN_FREED);
	return heap->unused && heap->freed ? 0 : -ENOMEM;
}

static void kmh_heap_put_sentinels(struct kmheap *heap)
{
	if (heap->unused)
		kmh_mspan_put(heap->unused);
	if (heap->freed)
		kmh_mspan_put(heap->freed);
}

/* Show lockdep the order of the class and page heap locks; see lock.h. */
static void kmh_teach_lock_order(struct kmh_node *node)
{
	struct kmh_mcentral *c = kmh_mcentral_of(node, KMH_SPANCLASS_LARGE);
	unsigned long flags;

	if (!IS_ENABLED(CONFIG_PROVE_LOCKING))
		return;
	kmh_wait_lock_irqsave(&c->lock, flags);
	raw_spin_lock(&node->mheap.lock);
	raw_spin_unlock(&node->mheap.lock);
	kmh_unlock_irqrestore(&c->lock, flags);
}

/*
 * Show lockdep that each of these is taken in reclaim: by a shrinker of a client that frees, gives
 * up weak handles or shrinks a heap, by one of ours, or because a heap's end waits for it. From
 * then on lockdep reports the first allocation under one of them that may enter reclaim.
 */
static void kmh_teach_reclaim(struct kmheap *heap)
{
	struct mutex *taken[] = {
		&kmh_heaps_mutex, &kmh_special_mutex, &heap->sweep.mutex, &heap->arenas_mutex,
		&kmh_profile_mutex, &heap->caches.mutex, &kmh_ended_mutex,
	};
	unsigned int i;

	if (!IS_ENABLED(CONFIG_PROVE_LOCKING))
		return;
	fs_reclaim_acquire(GFP_KERNEL);
	for (i = 0; i < ARRAY_SIZE(taken); i++) {
		mutex_lock(taken[i]);
		mutex_unlock(taken[i]);
	}
	fs_reclaim_release(GFP_KERNEL);
}

static void kmh_node_free(struct kmh_node *node)
{
	kmh_depots_free(node);
	kmh_mcentrals_free(node);
	kmh_backend_free(node->mheap.own_pa);
	kmh_backend_free_exact(node, sizeof(*node));
}

static struct kmh_node *kmh_node_create(struct kmheap *heap, int nid)
{
	struct kmh_node *node = kmh_backend_zalloc_exact(sizeof(*node), GFP_KERNEL, nid);

	if (!node)
		return NULL;
	kmh_mheap_init(&node->mheap, heap, nid);
	kmh_grow_init(&node->mheap);
	kmh_heap_account_metadata(heap, sizeof(*node));
	if (kmh_mcentrals_init(node, GFP_KERNEL)) {
		kmh_node_free(node);
		return NULL;
	}
	kmh_teach_lock_order(node);
	return node;
}

/* A node without memory uses the structure of the first node that has some. */
static int kmh_heap_init_nodes(struct kmheap *heap)
{
	size_t bytes = nr_node_ids * sizeof(*heap->nodes);
	int nid, first = NUMA_NO_NODE;	/* memory may come and go meanwhile */

	heap->nodes = kmh_backend_zalloc(bytes, GFP_KERNEL, NUMA_NO_NODE);
	if (!heap->nodes)
		return -ENOMEM;
	kmh_heap_account_metadata(heap, bytes);
	for_each_node_state(nid, N_MEMORY) {
		heap->nodes[nid] = kmh_node_create(heap, nid);
		if (!heap->nodes[nid])
			return -ENOMEM;
		if (first == NUMA_NO_NODE)
			first = nid;
	}
	for (nid = 0; nid < nr_node_ids; nid++)
		if (!heap->nodes[nid])
			heap->nodes[nid] = heap->nodes[first];
	return 0;
}

static void kmh_heap_free_nodes(struct kmheap *heap)
{
	int nid;

	if (!heap->nodes)
		return;
	for (nid = 0; nid < nr_node_ids; nid++)
		if (heap->nodes[nid] && heap->nodes[nid]->mheap.nid != nid)
			heap->nodes[nid] = NULL;	/* shares another node's */
	for (nid = 0; nid < nr_node_ids; nid++)
		if (heap->nodes[nid])
			kmh_node_free(heap->nodes[nid]);
	kmh_backend_free(heap->nodes);
}

/* What the nodes of a new heap will take: indexes of dedicated arenas, and mcentrals. */
static size_t kmh_nodes_missing_bytes(struct kmheap *heap)
{
	struct kmh_node *node;
	size_t bytes = 0;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid)))
		bytes += sizeof(struct kmh_pagealloc) + kmh_mcentrals_missing_bytes(node);
	return bytes;
}

/* The tables that a heap begins with count no more at the module's limit. */
void kmh_heap_forget_base(struct kmheap *heap)
{
	atomic_long_sub(heap->base_metadata_bytes, &kmh_total_base);
	heap->base_metadata_bytes = 0;
}

/* Free what hangs off the structure. No arenas are left, and no users. */
void kmh_heap_free_tables(struct kmheap *heap)
{
	kmh_mcache_destroy(heap);
	kmh_heap_free_nodes(heap);
	kmh_heap_put_sentinels(heap);
	kmh_nmi_free(heap);
	kmh_special_exit(heap);
	kmh_reserve_forget(heap);
	kmh_heap_forget_base(heap);
}

/* Free the structure. */
void kmh_heap_free(struct kmheap *heap)
{
	kmh_backend_free(heap->name);
	kmh_backend_free(heap);
}

static struct kmheap *kmh_heap_new(const char *name, const struct kmheap_attr *attr)
{
	struct kmheap *heap = kmh_backend_zalloc(sizeof(*heap), GFP_KERNEL, NUMA_NO_NODE);

	if (!heap)
		return NULL;
	heap->flags = attr->flags | (kmh_wants_wipe() ? KMH_HEAP_UNPACKED : 0) |
		      (READ_ONCE(kmh_small_heaps) ? KMHEAP_SMALL : 0);
	heap->owner = attr->owner;
	heap->limit_bytes = attr->limit_bytes ?: kmh_default_limit;
	heap->backing = kmh_backing_choose(attr->flags);
	heap->next_arena_bytes = kmh_heap_first_bytes(heap);
	if (KMH_SANITIZE)
		kmh_sanitize_init(heap);
	mutex_init(&heap->grow_mutex);
	mutex_init(&heap->grow_noio_mutex);
	mutex_init(&heap->arenas_mutex);
	mutex_init(&heap->caches.mutex);
	INIT_LIST_HEAD(&heap->arenas);
	INIT_LIST_HEAD(&heap->lost);
	INIT_LIST_HEAD(&heap->list);
	kmh_sweep_init(heap);
	kmh_defer_init(heap);
	kmh_scavenge_init(heap);
	kmh_idle_init(heap);
	kmh_arenas_leave_init(heap);
	kmh_limit_init(heap);
	kmh_watch_heap_init(heap);
	kmh_nmi_init(heap);
	kmh_heap_account_metadata(heap, sizeof(*heap) + strlen(name) + 1);

	heap->name = kmh_backend_zalloc(strlen(name) + 1, GFP_KERNEL, NUMA_NO_NODE);
	if (!heap->name)
		goto fail;
	memcpy(heap->name, name, strlen(name));
	if (kmh_special_init(heap))
		goto fail;
	if (kmh_heap_init_sentinels(heap) || kmh_heap_init_nodes(heap) || kmh_mcache_init(heap))
		goto fail;
	/* What comes later counts at the limits as if it were there: none forbids it then. */
	heap->base_metadata_bytes = atomic_long_read(&heap->metadata_bytes) +
				    kmh_mcaches_missing_bytes(heap) +
				    kmh_nodes_missing_bytes(heap);
	atomic_long_add(heap->base_metadata_bytes, &kmh_total_base);
	return heap;
fail:
	kmh_heap_free_tables(heap);
	kmh_heap_free(heap);
	return NULL;
}

/* Publish @heap. Return: -EEXIST when another heap has its name. */
static int kmh_heap_publish(struct kmheap *heap)
{
	struct kmheap *other;
	unsigned int cpu;
	int err = 0;

	mutex_lock(&kmh_heaps_mutex);
	/* From here on kmh_cpu_prepare() moves CPUs that come up. */
	for_each_possible_cpu(cpu)
		kmh_mcache_renode(heap, cpu);
	list_for_each_entry(other, &kmh_heaps, list)
		if (!strcmp(other->name, heap->name))
			err = -EEXIST;
	if (!err)
		list_add_tail(&heap->list, &kmh_heaps);
	mutex_unlock(&kmh_heaps_mutex);
	if (!err)
		kmh_debugfs_add_heap(heap);
	return err;
}

static struct kmheap *kmh_heap_create(const char *name, const struct kmheap_attr *attr)
{
	static const struct kmheap_attr none;
	struct kmheap *heap;
	size_t fail_nth, period;
	int err;

	if (!attr)
		attr = &none;
	err = kmh_attr_check(name, attr);
	if (err)
		return ERR_PTR(err);
	heap = kmh_heap_new(name, attr);
	if (!heap)
		return ERR_PTR(-ENOMEM);
	/* Take the first arena now, so that callers that cannot sleep find pages. */
	err = kmh_mheap_grow(&kmh_heap_near_node(heap)->mheap, 1, 1, 0, GFP_KERNEL);
	if (err && kmh_total_limit)
		pr_err("heap %s: no first arena; total_limit is %zu bytes\n", name,
		       kmh_total_limit);
	else if (err && heap->limit_bytes)
		pr_err("heap %s: no first arena; the limit of %zu bytes must hold %zu and tables of %zu\n",
		       name, heap->limit_bytes, kmh_heap_first_bytes(heap),
		       heap->base_metadata_bytes);
	if (!err)
		err = kmh_shrink_register(heap);
	if (!err)
		err = kmh_heap_publish(heap);
	if (err) {
		kmh_heap_teardown(heap, false);
		return ERR_PTR(err);
	}
	period = READ_ONCE(kmh_default_period);
	if (period && kmh_watch_set_period(heap, period))
		pr_warn("heap %s: no memory, or no room within a limit, for its profile\n", name);
	fail_nth = READ_ONCE(kmh_default_fail_nth);
	if (fail_nth && kmh_watch_set_fail(heap, fail_nth))
		pr_warn("heap %s: no memory for heap_fail_nth=%zu\n", name, fail_nth);
	kmh_trace_heap(heap);
	return heap;
}

/**
 * kmheap_create() - make a heap
 * @name: its name in debugfs and in reports; 1 to 63 characters of printable ASCII (blanks
 *	included) without '/', the first one no '.'. Copied.
 * @attr: flags, limit, owner, reserve; NULL for all defaults.
 *
 * A heap shares no arena with another heap. It holds a reference on kmheap.ko, which cannot be
 * unloaded before kmheap_destroy(). A fresh heap has its tables, which grow with the number of
 * CPUs, and one arena, whose size depends on the module's parameters and on what the heap is made
 * of; see Documentation/api.rst.
 *
 * Context: Process context; sleeps.
 * Return: the heap, or an ERR_PTR: -EINVAL for a bad name, flag, limit or reserve (with a
 * message that says what is allowed), -EEXIST when a heap has that name, -ENODEV while
 * kmheap.ko is being unloaded, -ENOMEM.
 */
struct kmheap *kmheap_create(const char *name, const struct kmheap_attr *attr)
{
	struct kmheap *heap;
	int err;

	might_sleep();
	if (!try_module_get(THIS_MODULE))
		return ERR_PTR(-ENODEV);
	heap = kmh_heap_create(name, attr);
	if (IS_ERR(heap)) {
		module_put(THIS_MODULE);
		return heap;
	}
	err = attr && attr->reserve_bytes ? kmheap_set_reserve(heap, attr->reserve_bytes) : 0;
	if (!err)
		return heap;
	pr_err("heap %s: no reserve of %zu bytes: no memory, or a limit\n", name,
	       attr->reserve_bytes);
	kmheap_destroy(heap);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_GPL(kmheap_create);

/* ---- CPUs that come, CPUs and modules that go away */

static int kmh_each_mcache(unsigned int cpu, void (*fn)(struct kmheap *heap, unsigned int cpu))
{
	struct kmheap *heap;

	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(heap, &kmh_heaps, list)
		fn(heap, cpu);
	mutex_unlock(&kmh_heaps_mutex);
	return 0;
}

static int kmh_cpu_prepare(unsigned int cpu)
{
	return kmh_each_mcache(cpu, kmh_mcache_renode);
}

static int kmh_cpu_dead(unsigned int cpu)
{
	return kmh_each_mcache(cpu, kmh_mcache_drain_dead);
}

static struct kmheap *kmh_heap_of_owner(struct module *owner)
{
	struct kmheap *heap, *found = NULL;

	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(heap, &kmh_heaps, list)
		if (heap->owner == owner && !heap->ending)
			found = heap;
	mutex_unlock(&kmh_heaps_mutex);
	return found;
}

/*
 * A module goes, after its exit function: a heap that it left behind is a leak, and profiles of
 * other heaps keep the names of its functions. Or one is live: its init text goes next.
 */
static int kmh_module_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct module *mod = data;
	struct kmheap *heap;

	if (event == MODULE_STATE_LIVE)
		kmh_sites_name(mod, true);
	if (event != MODULE_STATE_GOING || mod == THIS_MODULE)
		return NOTIFY_DONE;
	while ((heap = kmh_heap_of_owner(mod))) {
		pr_warn("heap %s outlives its owner %s; destroyed\n", heap->name, mod->name);
		kmheap_destroy(heap);
	}
	kmh_sites_name(mod, false);
	return NOTIFY_OK;
}

static struct notifier_block kmh_module_nb = { .notifier_call = kmh_module_event };

static void kmh_default_heap_end(bool report)
{
	kmh_heap_end_default(report);
	kmh_tombstone_exit();
}

/* The default heap is everybody's: it has at once what others get when they need it. */
static int kmh_default_heap_complete(void)
{
	int err = kmh_mcaches_make(kmh_default_heap, GFP_KERNEL), nid = -1;
	struct kmh_node *node;

	while (!err && (node = kmh_next_node(kmh_default_heap, &nid)))
		err = kmh_mheap_make_own_pa(&node->mheap, GFP_KERNEL);
	return err;
}

/* Make the default heap and register the callbacks that serve all heaps. */
int kmh_heaps_init(void)
{
	int err;

	kmh_default_heap = kmh_heap_create("default", NULL);
	if (IS_ERR(kmh_default_heap))
		return PTR_ERR(kmh_default_heap);
	err = kmh_default_heap_complete();
	if (err)
		goto no_cpuhp;
	kmh_teach_reclaim(kmh_default_heap);
	err = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "kmheap:dead", kmh_cpu_prepare,
					kmh_cpu_dead);
	if (err < 0)
		goto no_cpuhp;
	kmh_cpuhp_state = err;
	err = register_module_notifier(&kmh_module_nb);
	if (err)
		goto no_notifier;
	err = kmh_shrink_init();
	if (!err)
		return 0;
	unregister_module_notifier(&kmh_module_nb);
no_notifier:
	cpuhp_remove_state_nocalls(kmh_cpuhp_state);
no_cpuhp:
	kmh_default_heap_end(false);
	return err;
}

void kmh_heaps_exit(void)
{
	kmh_shrink_exit();
	unregister_module_notifier(&kmh_module_nb);
	cpuhp_remove_state_nocalls(kmh_cpuhp_state);
	kmh_ended_settle();
	kmh_default_heap_end(true);
}
