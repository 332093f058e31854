// SPDX-License-Identifier: GPL-2.0
/*
 * Which modules are watched, and where their text is.
 *
 * A module is known by its name, so it may come and go. Whatever was counted of a load is kept when
 * it goes, as what it has left behind is what people want to know, and is given up when it comes
 * again. Names of functions are written down before their text goes.
 */
#define pr_fmt(fmt) "kmheap_advisor: " fmt

#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include "advisor.h"
#include "base/compat.h"
#include "insight/record.h"

/* Guards the watches, and what is added up of their sites. */
DEFINE_MUTEX(kma_mutex);

struct kma_watch kma_watches[KMA_MOST_WATCHES];
unsigned int kma_nwatches;

/* What events look an address up in. */
struct kma_text {
	struct kma_range all;		/* from the first to the last */
	unsigned int n;
	struct {
		struct kma_range range;
		const struct kma_watch *watch;
	} of[2 * KMA_MOST_WATCHES];
};

static struct kma_text __rcu *kma_text;	/* NULL: no watched module is there */

static bool kma_range_has(const struct kma_range *range, unsigned long ip)
{
	return ip - range->base < range->bytes;
}

/* From the first text of a watched module to the last; no bytes where none is. Context: below. */
struct kma_range kma_watched_text(void)
{
	const struct kma_text *text = rcu_dereference_raw(kma_text);

	return text ? text->all : (struct kma_range){};
}

/* The watch of the module that has this address in its text. Context: any; preemption off. */
const struct kma_watch *kma_watch_at(unsigned long ip)
{
	const struct kma_text *text = rcu_dereference_raw(kma_text);
	unsigned int i;

	if (!text || !kma_range_has(&text->all, ip))
		return NULL;
	for (i = 0; i < text->n; i++)
		if (kma_range_has(&text->of[i].range, ip))
			return text->of[i].watch;
	return NULL;
}

static void kma_text_add(struct kma_text *text, const struct kma_range *range,
			 const struct kma_watch *watch)
{
	unsigned long end = max(text->all.base + text->all.bytes, range->base + range->bytes);

	if (!range->bytes)
		return;
	text->all.base = text->n ? min(text->all.base, range->base) : range->base;
	text->all.bytes = end - text->all.base;
	text->of[text->n].range = *range;
	text->of[text->n++].watch = watch;
}

/*
 * Let events know what the watches say of text now. No event uses what was known before when this
 * returns. Under kma_mutex; sleeps.
 */
static void kma_text_publish(void)
{
	struct kma_text *old = rcu_dereference_protected(kma_text, lockdep_is_held(&kma_mutex));
	struct kma_text *text = kzalloc(sizeof(*text), GFP_KERNEL | __GFP_NOFAIL);
	struct kma_watch *watch;

	for (watch = kma_watches; watch < kma_watches + kma_nwatches; watch++) {
		kma_text_add(text, &watch->text, watch);
		kma_text_add(text, &watch->init, watch);
	}
	if (!text->n) {
		kfree(text);
		text = NULL;
	}
	rcu_assign_pointer(kma_text, text);
	synchronize_rcu();
	kfree(old);
}

static struct kma_watch *kma_watch_of_name(const char *name)
{
	struct kma_watch *watch;

	for (watch = kma_watches; watch < kma_watches + kma_nwatches; watch++)
		if (!strcmp(watch->name, name))
			return watch;
	return NULL;
}

/* ---- loads and unloads, under kma_mutex */

/* Give up what is known of the last load. */
static void kma_watch_forget(struct kma_watch *watch)
{
	unsigned int i;

	kmh_records_forget(watch);
	synchronize_rcu();	/* events that free one of its objects */
	kmh_sites_forget(watch);
	for (i = 0; i < KMA_NR_WAYS; i++)
		atomic_long_set(&watch->freed[i], 0);
}

static void kma_watch_comes(struct kma_watch *watch, const struct module *mod, bool late)
{
	kma_watch_forget(watch);
	watch->late = late;
	watch->loads++;
	watch->since_ns = ktime_get_real_ns();
	watch->state = KMA_COMING;
	kmh_module_text(mod, false, &watch->text.base, &watch->text.bytes);
	if (mod->state == MODULE_STATE_COMING || !late)
		kmh_module_text(mod, true, &watch->init.base, &watch->init.bytes);
	else
		watch->state = KMA_LIVE;
	kma_text_publish();
}

/* Its init function has returned; the text of that goes next. */
static void kma_watch_lives(struct kma_watch *watch, const struct module *mod)
{
	watch->state = KMA_LIVE;
	watch->init.bytes = 0;
	kma_text_publish();
	kmh_sites_name(mod, true);
}

static void kma_watch_tell(const struct kma_watch *watch)
{
	struct kma_view *view = kma_view_take(watch);
	unsigned long objects = 0;
	size_t bytes = 0;
	enum kma_kind kind;

	if (!view) {
		pr_warn("%s is unloaded; no memory to tell what it has left\n", watch->name);
		return;
	}
	for (kind = 0; kind < KMA_NR_KINDS; kind++) {
		if (!kma_kind_may_leak(kind))
			continue;
		objects += view->sum[kind].live_objects;
		bytes += view->sum[kind].asked_bytes;
	}
	pr_info("%s is unloaded: %lu objects, %zu bytes are left\n", watch->name, objects, bytes);
	kvfree(view);
}

/* Its exit function has returned. */
static void kma_watch_goes(struct kma_watch *watch, const struct module *mod)
{
	watch->state = KMA_GONE;
	watch->unloads++;
	watch->text.bytes = 0;
	watch->init.bytes = 0;
	kma_text_publish();
	kmh_sites_name(mod, false);
	rcu_barrier();		/* what its last functions after a grace period free */
	kma_watch_tell(watch);
}

static int kma_module_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct module *mod = data;
	struct kma_watch *watch = kma_watch_of_name(mod->name);

	if (!watch)
		return NOTIFY_DONE;
	mutex_lock(&kma_mutex);
	/* One that was there before the advisor may have been found by now, or not yet. */
	if (event == MODULE_STATE_COMING && watch->state != KMA_COMING)
		kma_watch_comes(watch, mod, false);
	else if (event == MODULE_STATE_LIVE && watch->state == KMA_COMING)
		kma_watch_lives(watch, mod);
	else if (event == MODULE_STATE_LIVE && watch->state != KMA_LIVE)
		kma_watch_comes(watch, mod, true);	/* it was coming when the advisor came */
	else if (event == MODULE_STATE_GOING &&
		 (watch->state == KMA_COMING || watch->state == KMA_LIVE))
		kma_watch_goes(watch, mod);
	mutex_unlock(&kma_mutex);
	return NOTIFY_OK;
}

static struct notifier_block kma_module_nb = { .notifier_call = kma_module_event };

/*
 * A module that is there already. Its kobject is a reference to it: it goes when this is put, and
 * not before. Return: -EINVAL for what is part of the kernel.
 */
static int kma_watch_find(struct kma_watch *watch)
{
	struct kobject *kobj = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, watch->name);
	struct module *mod;
	int err = 0;

	if (!kobj)
		return 0;
	mod = container_of(kobj, struct module_kobject, kobj)->mod;
	mutex_lock(&kma_mutex);
	if (!mod) {
		pr_err("module=%s: it is built into the kernel\n", watch->name);
		err = -EINVAL;
	} else if (watch->state == KMA_ABSENT &&
		   (mod->state == MODULE_STATE_COMING || mod->state == MODULE_STATE_LIVE)) {
		kma_watch_comes(watch, mod, true);
	}
	mutex_unlock(&kma_mutex);
	kobject_put(kobj);
	return err;
}

/* ---- from the parameter on */

static int kma_watch_add(char *name)
{
	strreplace(name, '-', '_');	/* as modprobe takes names */
	if (!*name || strlen(name) >= MODULE_NAME_LEN || strchr(name, '/') || strchr(name, ' ')) {
		pr_err("module=: \"%s\" is no name of a module\n", name);
		return -EINVAL;
	}
	if (!strcmp(name, THIS_MODULE->name)) {
		pr_err("module=: the advisor does not watch itself\n");
		return -EINVAL;
	}
	if (kma_watch_of_name(name)) {
		pr_err("module=: %s is named twice\n", name);
		return -EINVAL;
	}
	if (kma_nwatches == KMA_MOST_WATCHES) {
		pr_err("module=: more than %u modules\n", KMA_MOST_WATCHES);
		return -EINVAL;
	}
	strscpy(kma_watches[kma_nwatches++].name, name, MODULE_NAME_LEN);
	return 0;
}

/* The watches of a list of names. Return: 0; -EINVAL, and the log says why; -ENOMEM. */
int kma_watch_names(const char *names)
{
	char *copy, *rest, *name;
	int err = 0;

	if (!names || !*names) {
		pr_err("module=NAME[,NAME...] has to say which modules are to be watched\n");
		return -EINVAL;
	}
	copy = kstrdup(names, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	rest = copy;
	while (!err && (name = strsep(&rest, ",")))
		err = kma_watch_add(name);
	kfree(copy);
	return err;
}

/* Begin to watch. Events may come already. Return: 0; -EINVAL, and the log says why. */
int kma_watch_start(void)
{
	struct kma_watch *watch;
	int err;

	err = register_module_notifier(&kma_module_nb);
	for (watch = kma_watches; !err && watch < kma_watches + kma_nwatches; watch++) {
		err = kma_watch_find(watch);
		if (err)
			kma_watch_stop();
	}
	return err;
}

/* No event comes any more, or none of the watches has been there yet. */
void kma_watch_stop(void)
{
	struct kma_watch *watch;

	unregister_module_notifier(&kma_module_nb);
	mutex_lock(&kma_mutex);
	for (watch = kma_watches; watch < kma_watches + kma_nwatches; watch++) {
		watch->text.bytes = 0;
		watch->init.bytes = 0;
	}
	kma_text_publish();
	mutex_unlock(&kma_mutex);
}
