/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one place where kernels differ: a named wrapper for each difference, with its kernel
 * range and the time when it can go. Feature probes come before version tests; no other file
 * tests a version.
 */
#ifndef _KMHEAP_COMPAT_H
#define _KMHEAP_COMPAT_H

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

/*
 * vmalloc_huge_node() is a macro (allocation profiling) from 6.16 on. Before that only the
 * caller's node can be had. Goes when 6.12 does.
 */
#ifdef vmalloc_huge_node
#define KMH_HUGE_ON_ANY_NODE			true
#define kmh_vmalloc_huge_node(bytes, gfp, nid)	vmalloc_huge_node(bytes, gfp, nid)
#else
#define KMH_HUGE_ON_ANY_NODE			false
#define kmh_vmalloc_huge_node(bytes, gfp, nid)	((void)(nid), vmalloc_huge(bytes, gfp))
#endif

/*
 * this_cpu_ptr() in two halves. Where the number of the CPU is a function call (User-Mode Linux), a
 * fast path makes that call first, when it has nothing in registers yet. Elsewhere there is no
 * first half.
 */
#if defined(CONFIG_UML) && defined(CONFIG_SMP)
#define kmh_this_cpu_offset()		__my_cpu_offset
#define kmh_this_cpu_ptr(pcp, offset)	SHIFT_PERCPU_PTR(pcp, offset)
#else
#define kmh_this_cpu_offset()		0UL
#define kmh_this_cpu_ptr(pcp, offset)	((void)(offset), this_cpu_ptr(pcp))
#endif

/*
 * this_cpu_add() is one instruction where it matters. User-Mode Linux has only the generic
 * form, which keeps interrupts out at about 700 cycles a call; there an interrupt is a
 * signal, which comes between instructions, and an addition to memory is one instruction. The
 * offset is that of kmh_this_cpu_offset().
 */
#ifdef CONFIG_UML
#define kmh_cpu_add(pcp, val)	raw_cpu_add(pcp, val)
#define kmh_cpu_add_return(pcp, offset, val)	(*kmh_this_cpu_ptr(&(pcp), offset) += (val))
#else
#define kmh_cpu_add(pcp, val)	this_cpu_add(pcp, val)
#define kmh_cpu_add_return(pcp, offset, val)	((void)(offset), this_cpu_add_return(pcp, val))
#endif

/*
 * __cond_lock() tells sparse that a function took a lock if it returned true. The kernel
 * dropped it when clang took over that analysis (7.0). Goes when 6.12 does.
 */
#ifndef __cond_lock
#define __cond_lock(lock, taken)	({ (void)(lock); (taken); })
#endif

/*
 * A shrinker: allocated by the kernel with a pointer for its owner (6.7+), or by its owner
 * and without that. Goes when 6.1 does.
 */
typedef unsigned long (*kmh_shrinker_fn)(struct shrinker *s, struct shrink_control *sc);

#ifdef SHRINKER_ALLOCATED
static inline void *kmh_shrinker_data(struct shrinker *s)
{
	return s->private_data;
}

static inline struct shrinker *kmh_shrinker_create(const char *name, kmh_shrinker_fn count,
						   kmh_shrinker_fn scan, void *data)
{
	struct shrinker *s = shrinker_alloc(SHRINKER_NUMA_AWARE, "kmheap-%s", name);

	if (!s)
		return NULL;
	s->count_objects = count;
	s->scan_objects = scan;
	s->private_data = data;
	shrinker_register(s);
	return s;
}

static inline void kmh_shrinker_destroy(struct shrinker *s)
{
	shrinker_free(s);
}
#else
struct kmh_old_shrinker {
	struct shrinker shrinker;
	void *data;
};

static inline void *kmh_shrinker_data(struct shrinker *s)
{
	return container_of(s, struct kmh_old_shrinker, shrinker)->data;
}

static inline struct shrinker *kmh_shrinker_create(const char *name, kmh_shrinker_fn count,
						   kmh_shrinker_fn scan, void *data)
{
	struct kmh_old_shrinker *o = kzalloc(sizeof(*o), GFP_KERNEL);

	if (!o)
		return NULL;
	o->shrinker.count_objects = count;
	o->shrinker.scan_objects = scan;
	o->shrinker.seeks = DEFAULT_SEEKS;
	o->shrinker.flags = SHRINKER_NUMA_AWARE;
	o->data = data;
	if (!register_shrinker(&o->shrinker, "kmheap-%s", name))
		return &o->shrinker;
	kfree(o);
	return NULL;
}

static inline void kmh_shrinker_destroy(struct shrinker *s)
{
	unregister_shrinker(s);
	kfree(container_of(s, struct kmh_old_shrinker, shrinker));
}
#endif

/*
 * Pages that a shrinker has freed, for reclaim to count: the field of current->reclaim_state has
 * this name from 6.4 on. Users include <linux/swap.h>. Goes when 6.1 does.
 */
#if KERNEL_VERSION(6, 4, 0) <= LINUX_VERSION_CODE
#define kmh_reclaimed(state)	((state)->reclaimed)
#else
#define kmh_reclaimed(state)	((state)->reclaimed_slab)
#endif

/*
 * A string of a trace event is assigned without saying its source again from 6.10 on. Goes when 6.1
 * does.
 */
#if KERNEL_VERSION(6, 10, 0) <= LINUX_VERSION_CODE
#define kmh_assign_str(dst, src)			\
	do {						\
		(void)(src);				\
		__assign_str(dst);			\
	} while (0)
#else
#define kmh_assign_str(dst, src)	__assign_str(dst, src)
#endif

/*
 * A timer and its function, for the selftests: one call from 6.13 on. Users include
 * <linux/hrtimer.h>. Goes when 6.12 does.
 */
#if KERNEL_VERSION(6, 13, 0) <= LINUX_VERSION_CODE
#define kmh_hrtimer_setup(timer, fn, clock, mode)	hrtimer_setup(timer, fn, clock, mode)
#else
#define kmh_hrtimer_setup(timer, fn, clock, mode)	\
({							\
	struct hrtimer *__timer = (timer);		\
							\
	hrtimer_init(__timer, clock, mode);		\
	__timer->function = (fn);			\
})
#endif

/*
 * A module's text, or that of its init function: a field for each kind of memory from 6.4 on. Goes
 * when 6.1 does.
 */
static inline void kmh_module_text(const struct module *mod, bool init, unsigned long *base,
				   unsigned long *bytes)
{
#if KERNEL_VERSION(6, 4, 0) <= LINUX_VERSION_CODE
	const struct module_memory *text = &mod->mem[init ? MOD_INIT_TEXT : MOD_TEXT];

	*base = (unsigned long)text->base;
	*bytes = text->size;
#else
	const struct module_layout *layout = init ? &mod->init_layout : &mod->core_layout;

	*base = (unsigned long)layout->base;
	*bytes = layout->text_size;
#endif
}

/* Where struct module has the same: kmh_module_text(), for who only reads its bytes. */
#if KERNEL_VERSION(6, 4, 0) <= LINUX_VERSION_CODE
#define KMH_MODULE_TEXT		mem[MOD_TEXT].base
#define KMH_MODULE_TEXT_BYTES	mem[MOD_TEXT].size
#else
#define KMH_MODULE_TEXT		core_layout.base
#define KMH_MODULE_TEXT_BYTES	core_layout.text_size
#endif

/*
 * What kfree_rcu() passes to kvfree_call_rcu(), as registers have it: the object from 6.2 on;
 * before that the offset of its head, or the object where there is no head. Goes when 6.1 does.
 * Return: the object.
 */
static inline unsigned long kmh_kvfree_call_rcu_object(unsigned long head, unsigned long arg)
{
	const bool offset = __builtin_types_compatible_p(typeof(kvfree_call_rcu),
							 void (struct rcu_head *, rcu_callback_t));

	return offset && head ? head - arg : arg;
}

#endif /* _KMHEAP_COMPAT_H */
