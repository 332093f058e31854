// SPDX-License-Identifier: GPL-2.0
/* An exit for a module of the kernel's source that has none, and could not be unloaded. */
#include <linux/module.h>

static void __exit dropin_exit(void)
{
}

module_exit(dropin_exit);
