// SPDX-License-Identifier: GPL-2.0
#include <linux/kmheap.h>
#include <linux/module.h>

static struct kmheap *heap;
static char *text;

static int __init hello_init(void)
{
	heap = kmheap_create("hello", &(struct kmheap_attr){ .owner = THIS_MODULE });
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	text = kmheap_strdup(heap, "hello", GFP_KERNEL);
	if (!text) {
		kmheap_destroy(heap);
		return -ENOMEM;
	}
	pr_info("hello: \"%s\" takes %zu bytes\n", text, kmheap_size(text));
	return 0;
}

static void __exit hello_exit(void)
{
	kmheap_free(text);
	kmheap_destroy(heap);
}

module_init(hello_init);
module_exit(hello_exit);
MODULE_DESCRIPTION("kmheap sample: the smallest client, in a folder of its own");
MODULE_LICENSE("GPL");
