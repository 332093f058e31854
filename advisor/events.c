// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel tells of allocations and frees.
 *
 * By tracepoints, which a module may attach to wherever the kernel has them. kfree_rcu() and
 * kmem_cache_free_bulk() have none, and what is freed by them would seem to live for ever: a kprobe
 * on each of these two exported functions sees the objects on their way in. An object that is given
 * to kfree_rcu() is freed, as far as its module is concerned.
 *
 * Frees are attached first and detached last, so nothing that has a record is freed unseen.
 */
#define pr_fmt(fmt) "kmheap_advisor: " fmt

#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>
#include <trace/events/kmem.h>
#include <trace/events/percpu.h>
#if __has_include(<trace/events/vmalloc.h>)
#include <trace/events/vmalloc.h>
#endif

#include "advisor.h"
#include "base/compat.h"

/* ---- tracepoints */

static void kma_on_kfree(void *data, unsigned long call_site, const void *ptr)
{
	kma_freed((unsigned long)ptr, KMA_FREED);
}

static void kma_on_kmem_cache_free(void *data, unsigned long call_site, const void *ptr,
				   const struct kmem_cache *s)
{
	kma_freed((unsigned long)ptr, KMA_FREED);
}

static void kma_on_mm_page_free(void *data, struct page *page, unsigned int order)
{
	kma_freed((unsigned long)page_to_virt(page), KMA_FREED);
}

static void kma_on_free_vmap_area(void *data, unsigned long va_start, unsigned long nr_lazy,
				  unsigned long nr_lazy_max)
{
	kma_freed(va_start, KMA_FREED);
}

/* Per-CPU objects have offsets, which may be addresses of other objects: they are made odd. */
static unsigned long kma_percpu_address(const void __percpu *ptr)
{
	return ptr ? (unsigned long)(__force const void *)ptr | 1 : 0;
}

static void kma_on_percpu_free(void *data, void *base_addr, int off, void __percpu *ptr)
{
	kma_freed(kma_percpu_address(ptr), KMA_FREED);
}

static void kma_on_kmalloc(void *data, unsigned long call_site, const void *ptr, size_t bytes_req,
			   size_t bytes_alloc, gfp_t gfp, int node)
{
	kma_allocated(KMA_KMALLOC, call_site, (unsigned long)ptr, bytes_req, bytes_alloc);
}

static void kma_on_kmem_cache_alloc(void *data, unsigned long call_site, const void *ptr,
				    struct kmem_cache *s, gfp_t gfp, int node)
{
	size_t bytes = kmem_cache_size(s);

	kma_allocated(KMA_CACHE, call_site, (unsigned long)ptr, bytes, bytes);
}

static void kma_on_mm_page_alloc(void *data, struct page *page, unsigned int order, gfp_t gfp,
				 int migratetype)
{
	size_t bytes = PAGE_SIZE << order;

	kma_allocated(KMA_PAGES, 0, page ? (unsigned long)page_to_virt(page) : 0, bytes, bytes);
}

/* Behind each area is a page of guard. */
static void kma_on_alloc_vmap_area(void *data, unsigned long addr, unsigned long size,
				   unsigned long align, unsigned long vstart, unsigned long vend,
				   int failed)
{
	kma_allocated(KMA_VMALLOC, 0, failed ? 0 : addr, size - PAGE_SIZE, 0);
}

static void kma_on_percpu_alloc(void *data, unsigned long call_site, bool reserved, bool is_atomic,
				size_t size, size_t align, void *base_addr, int off,
				void __percpu *ptr, size_t bytes_alloc, gfp_t gfp)
{
	kma_allocated(KMA_PERCPU, call_site, kma_percpu_address(ptr), size * num_possible_cpus(),
		      0);
}

static void kma_on_percpu_alloc_fail(void *data, bool reserved, bool is_atomic, size_t size,
				     size_t align)
{
	kma_allocated(KMA_PERCPU, 0, 0, size * num_possible_cpus(), 0);
}

/* Frees first. */
static struct kma_tracepoint {
	const char *name;
	void *probe;
	struct tracepoint *tp;	/* NULL: the kernel does not have it */
	bool attached;
} kma_tracepoints[] = {
	{ "kfree", kma_on_kfree },
	{ "kmem_cache_free", kma_on_kmem_cache_free },
	{ "mm_page_free", kma_on_mm_page_free },
	{ "free_vmap_area_noflush", kma_on_free_vmap_area },
	{ "percpu_free_percpu", kma_on_percpu_free },
	{ "kmalloc", kma_on_kmalloc },
	{ "kmem_cache_alloc", kma_on_kmem_cache_alloc },
	{ "mm_page_alloc", kma_on_mm_page_alloc },
	{ "alloc_vmap_area", kma_on_alloc_vmap_area },
	{ "percpu_alloc_percpu", kma_on_percpu_alloc },
	{ "percpu_alloc_percpu_fail", kma_on_percpu_alloc_fail },
};

/* Tracepoints are attached to by name, which the compiler cannot check: this makes it. */
static void __always_unused kma_check_probes(void)
{
	check_trace_callback_type_kfree(kma_on_kfree);
	check_trace_callback_type_kmem_cache_free(kma_on_kmem_cache_free);
	check_trace_callback_type_mm_page_free(kma_on_mm_page_free);
	check_trace_callback_type_percpu_free_percpu(kma_on_percpu_free);
	check_trace_callback_type_kmalloc(kma_on_kmalloc);
	check_trace_callback_type_kmem_cache_alloc(kma_on_kmem_cache_alloc);
	check_trace_callback_type_mm_page_alloc(kma_on_mm_page_alloc);
	check_trace_callback_type_percpu_alloc_percpu(kma_on_percpu_alloc);
	check_trace_callback_type_percpu_alloc_percpu_fail(kma_on_percpu_alloc_fail);
#if __has_include(<trace/events/vmalloc.h>)
	check_trace_callback_type_free_vmap_area_noflush(kma_on_free_vmap_area);
	check_trace_callback_type_alloc_vmap_area(kma_on_alloc_vmap_area);
#endif
}

static void kma_find_tracepoint(struct tracepoint *tp, void *unused)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kma_tracepoints); i++)
		if (!strcmp(tp->name, kma_tracepoints[i].name))
			kma_tracepoints[i].tp = tp;
}

static int kma_attach(struct kma_tracepoint *t)
{
	int err;

	if (!t->tp)
		return 0;
	err = tracepoint_probe_register(t->tp, t->probe, NULL);
	t->attached = !err;
	if (err)
		pr_err("cannot attach to the tracepoint %s: %d\n", t->name, err);
	return err;
}

static void kma_detach(struct kma_tracepoint *t)
{
	if (t->attached)
		tracepoint_probe_unregister(t->tp, t->probe, NULL);
	t->attached = false;
}

/* ---- kprobes */

#if defined(CONFIG_KPROBES) && defined(CONFIG_HAVE_FUNCTION_ARG_ACCESS_API)
static int kma_on_kvfree_call_rcu(struct kprobe *p, struct pt_regs *regs)
{
	unsigned long head = regs_get_kernel_argument(regs, 0);
	unsigned long arg = regs_get_kernel_argument(regs, 1);

	kma_freed(kmh_kvfree_call_rcu_object(head, arg), KMA_BY_RCU);
	return 0;
}
NOKPROBE_SYMBOL(kma_on_kvfree_call_rcu);

static int kma_on_kmem_cache_free_bulk(struct kprobe *p, struct pt_regs *regs)
{
	unsigned long n = regs_get_kernel_argument(regs, 1);
	void **objects = (void **)regs_get_kernel_argument(regs, 2);
	unsigned long i;

	for (i = 0; i < n; i++)
		kma_freed((unsigned long)objects[i], KMA_IN_BULK);
	return 0;
}
NOKPROBE_SYMBOL(kma_on_kmem_cache_free_bulk);

static bool kma_kprobes_wanted = true;
module_param_named(kprobes, kma_kprobes_wanted, bool, 0444);
MODULE_PARM_DESC(kprobes, "see kfree_rcu() and frees in bulk by kprobes (default Y)");

static struct kma_kprobe {
	struct kprobe kp;
	bool attached;
} kma_kprobes[] = {
	{ { .symbol_name = "kvfree_call_rcu", .pre_handler = kma_on_kvfree_call_rcu } },
	{ { .symbol_name = "kmem_cache_free_bulk", .pre_handler = kma_on_kmem_cache_free_bulk } },
};

/* Without one of them, what is freed there is known only when its address is allocated again. */
static void kma_kprobes_attach(void)
{
	unsigned int i;
	int err;

	for (i = 0; kma_kprobes_wanted && i < ARRAY_SIZE(kma_kprobes); i++) {
		err = register_kprobe(&kma_kprobes[i].kp);
		kma_kprobes[i].attached = !err;
		if (err)
			pr_warn("cannot see %s(): %d\n", kma_kprobes[i].kp.symbol_name, err);
	}
}

static void kma_kprobes_detach(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kma_kprobes); i++)
		if (kma_kprobes[i].attached)
			unregister_kprobe(&kma_kprobes[i].kp);
}

static bool kma_kprobe_seen(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kma_kprobes); i++)
		if (!strcmp(kma_kprobes[i].kp.symbol_name, name))
			return kma_kprobes[i].attached;
	return false;
}

/* Calls that came while another kprobe's handler ran, and were not seen. */
unsigned long kma_events_missed(void)
{
	unsigned long missed = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kma_kprobes); i++)
		missed += kma_kprobes[i].kp.nmissed;
	return missed;
}
#else
static void kma_kprobes_attach(void)
{
}

static void kma_kprobes_detach(void)
{
}

static bool kma_kprobe_seen(const char *name)
{
	return false;
}

unsigned long kma_events_missed(void)
{
	return 0;
}
#endif

/* ---- all of them */

/* Does the advisor see this event or function of the kernel? */
bool kma_event_seen(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kma_tracepoints); i++)
		if (!strcmp(kma_tracepoints[i].name, name))
			return kma_tracepoints[i].attached;
	return kma_kprobe_seen(name);
}

/* Context: process context; sleeps. Return: 0, or an error, and the log says of what. */
int kma_events_start(void)
{
	unsigned int i;
	int err = 0;

	for_each_kernel_tracepoint(kma_find_tracepoint, NULL);
	kma_kprobes_attach();
	for (i = 0; !err && i < ARRAY_SIZE(kma_tracepoints); i++)
		err = kma_attach(&kma_tracepoints[i]);
	if (err)
		kma_events_stop();
	return err;
}

/* No event is being handled when this returns. Context: process context; sleeps. */
void kma_events_stop(void)
{
	unsigned int i;

	for (i = ARRAY_SIZE(kma_tracepoints); i--; )
		kma_detach(&kma_tracepoints[i]);
	kma_kprobes_detach();
	tracepoint_synchronize_unregister();
}
