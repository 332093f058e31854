// SPDX-License-Identifier: GPL-2.0
/* Distributions of sizes, and what SLUB has taken for objects of such sizes. */
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "memory.h"

/* ---- sizes */

static const struct {
	u32 bytes, weight;
} boot[] = {
#include "sizes_boot.h"
};

static void fill_boot(u32 *quantile)
{
	u64 total = 0, sum = 0;
	unsigned int i, at = 0;

	for (i = 0; i < ARRAY_SIZE(boot); i++)
		total += boot[i].weight;
	for (i = 0; i < ARRAY_SIZE(boot); i++) {
		sum += boot[i].weight;
		while (at < div64_u64(sum * BENCH_QUANTILES, total))
			quantile[at++] = boot[i].bytes;
	}
}

static void fill_even(u32 *quantile, u32 min, u32 max)
{
	unsigned int i;

	for (i = 0; i < BENCH_QUANTILES; i++)
		quantile[i] = min + div_u64((u64)i * (max - min + 1), BENCH_QUANTILES);
}

/* From @min, a power of two, over so many doublings; even within each of them. */
static void fill_doublings(u32 *quantile, u32 min, unsigned int doublings)
{
	unsigned int i;

	for (i = 0; i < BENCH_QUANTILES; i++) {
		u64 at = (u64)i * doublings;	/* 16 bits behind the point */
		u32 base = min << (at >> 16);

		quantile[i] = base + (((at & 0xffff) * base) >> 16) + 1;
	}
}

int bench_sizes_make(struct bench_sizes *sizes, enum bench_sizes_kind kind)
{
	static const char * const names[] = { "boot", "16-256", "16-8K log", "16K-64K" };
	u32 *quantile = kvmalloc_array(BENCH_QUANTILES, sizeof(u32), GFP_KERNEL);
	unsigned int i;
	u64 sum = 0;

	if (!quantile)
		return -ENOMEM;
	switch (kind) {
	case BENCH_SIZES_BOOT:
		fill_boot(quantile);
		break;
	case BENCH_SIZES_SMALL:
		fill_even(quantile, 16, 256);
		break;
	case BENCH_SIZES_LOG:
		fill_doublings(quantile, 16, ilog2(SZ_8K / 16));
		break;
	default:
		fill_even(quantile, SZ_16K, SZ_64K);
		break;
	}
	for (i = 0; i < BENCH_QUANTILES; i++)
		sum += quantile[i];
	*sizes = (struct bench_sizes){
		.name = names[kind], .quantile = quantile, .mean = sum / BENCH_QUANTILES,
		.max = quantile[BENCH_QUANTILES - 1],
	};
	return 0;
}

void bench_sizes_release(struct bench_sizes *sizes)
{
	kvfree(sizes->quantile);
	sizes->quantile = NULL;
}

/* ---- SLUB */

static const char * const caches[] = {
	"kmalloc-8", "kmalloc-16", "kmalloc-32", "kmalloc-64", "kmalloc-96", "kmalloc-128",
	"kmalloc-192", "kmalloc-256", "kmalloc-512", "kmalloc-1k", "kmalloc-2k", "kmalloc-4k",
	"kmalloc-8k",
};

/* Both files of each, open: a task's closed ones take memory until it leaves the kernel. */
static struct file *slabs[ARRAY_SIZE(caches)], *orders[ARRAY_SIZE(caches)];

static struct file *open_figure(const char *cache, const char *name)
{
	struct file *file;
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/%s", cache, name);
	file = filp_open(path, O_RDONLY, 0);
	return IS_ERR(file) ? NULL : file;
}

/* The number that the file begins with now; 0 when there is no file. */
static unsigned long read_figure(struct file *file)
{
	unsigned long value = 0;
	char text[32] = "";
	loff_t at = 0;

	if (!file || kernel_read(file, text, sizeof(text) - 1, &at) <= 0 ||
	    sscanf(text, "%lu", &value) != 1)
		return 0;
	return value;
}

bool bench_slab_open(void)
{
	unsigned int i;

	/* kmalloc() has more caches than these then. */
	if (IS_ENABLED(CONFIG_RANDOM_KMALLOC_CACHES) || IS_ENABLED(CONFIG_KMALLOC_PARTITION_CACHES))
		return false;
	for (i = 0; i < ARRAY_SIZE(caches); i++) {
		slabs[i] = open_figure(caches[i], "slabs");
		orders[i] = open_figure(caches[i], "order");
	}
	return bench_slab_bytes();
}

void bench_slab_close(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(caches); i++) {
		if (slabs[i])
			filp_close(slabs[i], NULL);
		if (orders[i])
			filp_close(orders[i], NULL);
		slabs[i] = NULL;
		orders[i] = NULL;
	}
}

u64 bench_slab_bytes(void)
{
	unsigned int i;
	u64 bytes = 0;

	for (i = 0; i < ARRAY_SIZE(caches); i++)
		bytes += (u64)read_figure(slabs[i]) * PAGE_SIZE << read_figure(orders[i]);
	return bytes;
}

void bench_slab_shrink(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kmalloc_caches[KMALLOC_NORMAL]); i++)
		if (kmalloc_caches[KMALLOC_NORMAL][i])
			kmem_cache_shrink(kmalloc_caches[KMALLOC_NORMAL][i]);
}

size_t bench_slab_large_bytes(size_t bytes)
{
	return bytes > KMALLOC_MAX_CACHE_SIZE ? PAGE_SIZE << get_order(bytes) : 0;
}
