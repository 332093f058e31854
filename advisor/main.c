// SPDX-License-Identifier: GPL-2.0
/* kmheap_advisor.ko: parameters, order of initialization, exit in strict reverse. */
#include <linux/module.h>

#include "advisor.h"
#include "base/public.h"
#include "insight/record.h"
#include "insight/stack.h"

static char *kma_module;
module_param_named(module, kma_module, charp, 0444);
MODULE_PARM_DESC(module, "modules to watch, separated by commas, at most 8; before or after they are loaded");

static int __init kma_init(void)
{
	int err;

	err = kma_watch_names(kma_module);
	if (err)
		return err;
	err = kmh_stacks_alloc();
	if (!err)
		err = kmh_sites_alloc();
	if (!err)
		err = kmh_records_alloc();
	if (!err)
		err = kma_events_start();
	if (err)
		goto no_events;
	err = kma_watch_start();
	if (err)
		goto no_watch;
	kma_files_add();
	return 0;

no_watch:
	kma_events_stop();
no_events:
	kmh_records_free();
	kmh_sites_free();
	kmh_stacks_free();
	return err;
}

static void __exit kma_exit(void)
{
	kma_files_remove();
	kma_events_stop();
	kma_watch_stop();
	kmh_records_free();
	kmh_sites_free();
	kmh_stacks_free();
}

module_init(kma_init);
module_exit(kma_exit);

MODULE_LICENSE("GPL");
MODULE_VERSION(KMHEAP_VERSION);
MODULE_DESCRIPTION("Says what modules take of the kernel, and what kmheap would save");
