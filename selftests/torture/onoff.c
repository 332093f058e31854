// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's torture library, kernel/torture.c, takes CPUs away and brings them back for as
 * long as this module is loaded. Linked with it into torture_client.ko.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/torture.h>

static unsigned int interval_ms = 100;
module_param(interval_ms, uint, 0400);
MODULE_PARM_DESC(interval_ms, "between two changes");

static int __init onoff_init(void)
{
	int err;

	if (!torture_init_begin("kmheap", 1))
		return -EBUSY;
	err = torture_onoff_init(0, msecs_to_jiffies(interval_ms), NULL);
	torture_init_end();
	if (err && !torture_cleanup_begin())
		torture_cleanup_end();
	return err;
}

static void __exit onoff_exit(void)
{
	if (torture_cleanup_begin())
		return;
	torture_onoff_stats();		/* to the kernel log */
	pr_info("failures %d\n", torture_onoff_failures());
	torture_cleanup_end();
}

module_init(onoff_init);
module_exit(onoff_exit);
MODULE_DESCRIPTION("kmheap selftest: CPUs come and go");
MODULE_LICENSE("GPL");
