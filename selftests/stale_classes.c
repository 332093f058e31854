// SPDX-License-Identifier: GPL-2.0
/* The export of the kmheap.ko that stale_client was built for. It exists for modpost alone. */
#include <linux/export.h>
#include <linux/module.h>
#include <linux/types.h>

extern const u8 kmheap_built_for_size_classes_00000000;
const u8 kmheap_built_for_size_classes_00000000 = 1;
EXPORT_SYMBOL_GPL(kmheap_built_for_size_classes_00000000);

MODULE_DESCRIPTION("kmheap selftest: other size classes");
MODULE_LICENSE("GPL");
