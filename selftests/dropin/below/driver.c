// SPDX-License-Identifier: GPL-2.0
/*
 * A driver without a device. The drop-in header, which the Kbuild file of the folder above names,
 * makes its heap, with a limit and a reserve from this folder's. What callers get until the limit
 * is said in the log. The init may fail, and may leave an object behind then.
 */
#define pr_fmt(fmt) "%s: " fmt, KBUILD_MODNAME

#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

#define PIECE	4000
#define NPIECES	1024		/* twice the limit */

static bool fail;
module_param(fail, bool, 0400);
MODULE_PARM_DESC(fail, "the driver cannot be registered");

static bool leak;
module_param(leak, bool, 0400);
MODULE_PARM_DESC(leak, "one object is never freed");

static struct platform_driver the_driver = { .driver.name = "dropin_driver" };
static void *pieces[NPIECES];

/* More pieces, after @n, with @gfp until one is refused. Return: how many there are now. */
static unsigned int fill(unsigned int n, gfp_t gfp, const char *who)
{
	unsigned int first = n, nkernels = 0;

	for (; n < NPIECES; n++) {
		pieces[n] = kmalloc(PIECE, gfp | __GFP_NOWARN);
		if (!pieces[n])
			break;
		nkernels += !kmheap_owns(pieces[n]);
	}
	pr_info("%s: %u of %u, %u of them the kernel's\n", who, n - first, NPIECES, nkernels);
	return n;
}

static void empty(unsigned int n)
{
	while (n)
		kfree(pieces[--n]);
}

/* Both functions get what kmheap_module_driver() was given beyond them. */
static int register_with(struct platform_driver *driver, const char *word)
{
	unsigned int n;

	/* No worker has had the time to bring more than the reserve. */
	n = fill(0, GFP_ATOMIC, "cannot sleep");
	empty(n);
	n = fill(0, GFP_KERNEL, "can sleep");
	n = fill(n, GFP_ATOMIC, "cannot sleep, at the limit");
	empty(n);
	if (leak)
		pr_info("%zu bytes stay\n", ksize(kmalloc(200, GFP_KERNEL)));
	if (fail)
		return -ENODEV;
	pr_info("registered with %s\n", word);
	return platform_driver_register(driver);
}

static void unregister_with(struct platform_driver *driver, const char *word)
{
	platform_driver_unregister(driver);
	pr_info("unregistered with %s\n", word);
}

kmheap_module_driver(the_driver, register_with, unregister_with, "a word");
MODULE_DESCRIPTION("kmheap selftest: a driver with the drop-in header, a limit and a reserve");
MODULE_LICENSE("GPL");
