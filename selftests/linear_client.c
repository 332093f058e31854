// SPDX-License-Identifier: GPL-2.0
/*
 * Objects of a heap with KMHEAP_LINEAR in the hands of kernel code that asks for the page behind an
 * address: a list_lru, the crypto API, the DMA API. Each command makes a heap of its own.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-mapping.h>
#include <linux/kmheap.h>
#include <linux/list_lru.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/version.h>
#if IS_BUILTIN(CONFIG_CRYPTO_SKCIPHER)
#include <crypto/skcipher.h>
#endif

#include "client.h"

static struct kmheap *linear_heap;

static int linear_make(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE, .flags = KMHEAP_LINEAR };

	linear_heap = kmheap_create("linear", &attr);
	return PTR_ERR_OR_ZERO(linear_heap);
}

/* Destroy the heap. Return: @err, or -EBUSY if that is 0 and an object was left. */
static int linear_end(int err)
{
	struct kmheap_stats st;

	kmheap_stats(linear_heap, &st);
	client_say("left %llu\n", st.live_objects);
	kmheap_destroy(linear_heap);
	return err ?: st.live_objects ? -EBUSY : 0;
}

/* A linear object, or NULL: of what is none the kernel would make a wild page. */
static void *linear_alloc(size_t bytes)
{
	void *p = kmheap_alloc(linear_heap, bytes, GFP_KERNEL);

	if (p && !kmheap_is_linear(p)) {
		pr_err("%zu bytes are not linear\n", bytes);
		kmheap_free(p);
		p = NULL;
	}
	return p;
}

/* ---- list_lru: every item is on the list of the node that its page is on */

#if KERNEL_VERSION(6, 8, 0) > LINUX_VERSION_CODE
#define list_lru_add_obj	list_lru_add
#define list_lru_del_obj	list_lru_del
#endif

#define LRU_OBJS		3000UL

/* The item is the last of the object, which may have several pages. */
struct lru_obj {
	struct list_head item;
	unsigned long nr;
};

static const size_t lru_bytes[] = { 64, 600, 2048, 5000, 16384, 100000 };
static struct lru_obj *lru_obj[LRU_OBJS];

struct lru_walk {
	bool odd;			/* items of odd numbers, too */
	unsigned long n;		/* items that were taken */
	unsigned long sum;		/* of their numbers */
};

static size_t lru_bytes_of(unsigned long nr)
{
	/* Few of the long ones. */
	return lru_bytes[nr % 50 ? nr % 3 : nr / 50 % ARRAY_SIZE(lru_bytes)];
}

static void *lru_begin(struct lru_obj *o)
{
	return (void *)(o + 1) - lru_bytes_of(o->nr);
}

/* Take an item off the list and free its object; those of odd numbers stay in the first walk. */
static enum lru_status lru_take(struct list_head *item, struct list_lru_one *list,
				struct lru_walk *walk)
{
	struct lru_obj *o = container_of(item, struct lru_obj, item);

	if (o->nr % 2 && !walk->odd)
		return LRU_ROTATE;
	list_lru_isolate(list, item);
	walk->n++;
	walk->sum += o->nr;
	lru_obj[o->nr] = NULL;
	kmheap_free(lru_begin(o));
	return LRU_REMOVED;
}

#if KERNEL_VERSION(6, 13, 0) > LINUX_VERSION_CODE
static enum lru_status lru_visit(struct list_head *item, struct list_lru_one *list,
				 spinlock_t *lock, void *walk)
{
	return lru_take(item, list, walk);
}
#else
static enum lru_status lru_visit(struct list_head *item, struct list_lru_one *list, void *walk)
{
	return lru_take(item, list, walk);
}
#endif

static int lru_add_all(struct list_lru *lru)
{
	unsigned long nr;

	for (nr = 0; nr < LRU_OBJS; nr++) {
		void *p = linear_alloc(lru_bytes_of(nr));
		struct lru_obj *o;

		if (!p)
			return -ENOMEM;
		o = p + lru_bytes_of(nr) - sizeof(*o);
		o->nr = nr;
		INIT_LIST_HEAD(&o->item);
		lru_obj[nr] = o;
		if (!list_lru_add_obj(lru, &o->item) || list_lru_add_obj(lru, &o->item))
			return -EUCLEAN;
	}
	return list_lru_count(lru) == LRU_OBJS ? 0 : -EUCLEAN;
}

/* Take every third item off by its address, and free the object. Return: the sum of the others. */
static int lru_del_some(struct list_lru *lru, unsigned long *sum)
{
	unsigned long nr;

	*sum = 0;
	for (nr = 0; nr < LRU_OBJS; nr++) {
		if (nr % 3) {
			*sum += nr;
			continue;
		}
		if (!list_lru_del_obj(lru, &lru_obj[nr]->item) ||
		    list_lru_del_obj(lru, &lru_obj[nr]->item))
			return -EUCLEAN;
		kmheap_free(lru_begin(lru_obj[nr]));
		lru_obj[nr] = NULL;
	}
	return list_lru_count(lru) == LRU_OBJS - DIV_ROUND_UP(LRU_OBJS, 3) ? 0 : -EUCLEAN;
}

/* Does the list of each node have the objects whose pages are there? */
static int lru_nodes(struct list_lru *lru)
{
	unsigned long nr, n;
	int nid;

	for_each_online_node(nid) {
		for (nr = 0, n = 0; nr < LRU_OBJS; nr++)
			n += lru_obj[nr] && page_to_nid(virt_to_page(&lru_obj[nr]->item)) == nid;
		if (list_lru_count_node(lru, nid) != n)
			return -EUCLEAN;
	}
	return 0;
}

static int lru_run(struct list_lru *lru)
{
	struct lru_walk walk = {};
	unsigned long sum, n, evens;
	int err = lru_add_all(lru) ?: lru_nodes(lru) ?: lru_del_some(lru, &sum) ?: lru_nodes(lru);

	if (err)
		return err;
	n = list_lru_count(lru);
	evens = list_lru_walk(lru, lru_visit, &walk, n);
	if (evens != walk.n || evens != n / 2 || lru_nodes(lru))
		return -EUCLEAN;
	walk.odd = true;
	list_lru_walk(lru, lru_visit, &walk, n);
	client_say("walked %lu\n", walk.n);
	return walk.n == n && walk.sum == sum && !list_lru_count(lru) ? 0 : -EUCLEAN;
}

/* lru: objects of several sizes on a list_lru, taken off by address and by a walk that frees */
static int linear_lru(char *args)
{
	struct list_lru lru;
	unsigned long nr;
	int err = linear_make();

	if (err)
		return err;
	err = list_lru_init(&lru);
	if (!err) {
		err = lru_run(&lru);
		for (nr = 0; nr < LRU_OBJS; nr++) {
			if (!lru_obj[nr])
				continue;
			list_lru_del_obj(&lru, &lru_obj[nr]->item);
			kmheap_free(lru_begin(lru_obj[nr]));
			lru_obj[nr] = NULL;
		}
		list_lru_destroy(&lru);
	}
	return linear_end(err);
}

/* ---- the crypto API */

#if IS_BUILTIN(CONFIG_CRYPTO_SKCIPHER)
static const u8 crypt_key[16] = "sixteen bytes...", crypt_iv[16] = "and as many here";

static int crypt_do(struct skcipher_request *req, void *p, size_t bytes, bool encrypt)
{
	struct scatterlist sg;
	u8 iv[sizeof(crypt_iv)];

	memcpy(iv, crypt_iv, sizeof(iv));
	sg_init_one(&sg, p, bytes);
	skcipher_request_set_callback(req, CRYPTO_TFM_REQ_MAY_SLEEP, NULL, NULL);
	skcipher_request_set_crypt(req, &sg, &sg, bytes, iv);
	return encrypt ? crypto_skcipher_encrypt(req) : crypto_skcipher_decrypt(req);
}

/* Encrypt @p in place, as well as @slab, which has the same text; then decrypt it. */
static int crypt_compare(struct skcipher_request *req, u8 *p, u8 *slab, size_t bytes)
{
	struct scatterlist sg;
	size_t i;
	int err;

	for (i = 0; i < bytes; i++)
		slab[i] = i % 251;
	sg_init_one(&sg, p, bytes);
	if (sg_copy_from_buffer(&sg, 1, slab, bytes) != bytes || memcmp(p, slab, bytes))
		return -EUCLEAN;
	err = crypt_do(req, p, bytes, true);
	if (!err && !memcmp(p, slab, bytes))
		return -EUCLEAN;
	err = err ?: crypt_do(req, slab, bytes, true);
	if (!err && memcmp(p, slab, bytes))
		return -EUCLEAN;
	err = err ?: crypt_do(req, p, bytes, false);
	for (i = 0; !err && i < bytes; i++)
		if (p[i] != i % 251)
			err = -EUCLEAN;
	return err;
}

static int crypt_sizes(struct skcipher_request *req)
{
	static const size_t sizes[] = { 16, 304, 4096, 12288, 65536, 1048576 };
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(sizes); i++) {
		u8 *p = linear_alloc(sizes[i]), *slab = kmalloc(sizes[i], GFP_KERNEL);

		err = p && slab ? crypt_compare(req, p, slab, sizes[i]) : -ENOMEM;
		kmheap_free(p);
		kfree(slab);
	}
	client_say("sizes %u\n", i);
	return err;
}

/* crypt: cbc(aes) in place over objects of up to 1 MiB, compared with memory of kmalloc() */
static int linear_crypt(char *args)
{
	struct crypto_skcipher *tfm = crypto_alloc_skcipher("cbc(aes)", 0, CRYPTO_ALG_ASYNC);
	struct skcipher_request *req;
	int err;

	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	req = skcipher_request_alloc(tfm, GFP_KERNEL);
	err = req ? crypto_skcipher_setkey(tfm, crypt_key, sizeof(crypt_key)) : -ENOMEM;
	if (!err)
		err = linear_make();
	if (!err)
		err = linear_end(crypt_sizes(req));
	skcipher_request_free(req);
	crypto_free_skcipher(tfm);
	return err;
}
#else
static int linear_crypt(char *args)
{
	return -EOPNOTSUPP;
}
#endif

/* ---- the DMA API */

/*
 * A device, which is played by the CPU here, reads @bytes of @p and then writes there. What it sees
 * is the object itself, or a bounce buffer, whose address is that of no object.
 */
static int dma_trip(struct device *dev, u8 *p, size_t bytes)
{
	dma_addr_t at;
	u8 *seen;
	size_t i;
	int err;

	for (i = 0; i < bytes; i++)
		p[i] = i % 251;
	at = dma_map_single(dev, p, bytes, DMA_TO_DEVICE);
	if (dma_mapping_error(dev, at))
		return -EIO;
	seen = phys_to_virt(at);
	client_say("%s", seen == p ? "same 1\n" : "bounced 1\n");
	err = memcmp(seen, p, bytes) ? -EUCLEAN : 0;
	dma_unmap_single(dev, at, bytes, DMA_TO_DEVICE);
	if (err)
		return err;
	at = dma_map_single(dev, p, bytes, DMA_FROM_DEVICE);
	if (dma_mapping_error(dev, at))
		return -EIO;
	memset(phys_to_virt(at), 0x5a, bytes);
	dma_unmap_single(dev, at, bytes, DMA_FROM_DEVICE);
	return memchr_inv(p, 0x5a, bytes) ? -EUCLEAN : 0;
}

static int dma_sizes(struct device *dev)
{
	static const size_t sizes[] = { 8, 300, 4096, 10000, 65536, 131072 };
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(sizes); i++) {
		u8 *p = linear_alloc(sizes[i]);

		err = p ? dma_trip(dev, p, sizes[i]) : -ENOMEM;
		kmheap_free(p);
	}
	client_say("sizes %u\n", i);
	return err;
}

/* dma: dma_map_single() of objects; bounce buffers are no longer than the longest of them */
static int linear_dma(char *args)
{
	struct platform_device *pdev;
	int err;

	pdev = platform_device_register_simple("kmheap_linear", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	err = dma_coerce_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (!err)
		err = linear_make();
	if (!err)
		err = linear_end(dma_sizes(&pdev->dev));
	platform_device_unregister(pdev);
	return err;
}

static const struct client_command linear_commands[] = {
	{ "lru", linear_lru },
	{ "crypt", linear_crypt },
	{ "dma", linear_dma },
	{}
};

static int __init linear_init(void)
{
	client_commands = linear_commands;
	return 0;
}

static void __exit linear_exit(void)
{
}

module_init(linear_init);
module_exit(linear_exit);
MODULE_DESCRIPTION("kmheap selftest: linear objects in the hands of the kernel");
MODULE_LICENSE("GPL");
