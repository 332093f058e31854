// SPDX-License-Identifier: GPL-2.0
/*
 * Objects of a heap with KMHEAP_LINEAR that go to a disk and come back, without a copy: a bio has
 * the object's pages. Built for the kernel whose source is there, with that kernel's virtio_blk.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/kmheap.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "../client.h"

static struct kmheap *disk_heap;

/* From one sector to as much as the longest block of a heap has. */
static const size_t disk_bytes[] = { 512, 4096, 5120, 12288, 65536, 300 << 10, 1 << 20, 2 << 20 };

/* Byte @i of the object that begins at @sector: text, for whoever looks from user space. */
static u8 disk_pattern(sector_t sector, size_t i)
{
	return 'a' + (sector * 7 + i + i / 512) % 26;
}

/* Read or write an object: one run of pages, which is one entry of the bio. */
static int disk_io(struct block_device *bdev, blk_opf_t op, sector_t sector, void *p, size_t bytes)
{
	struct bio_vec vec;
	struct bio bio;
	int err;

	bio_init(&bio, bdev, &vec, 1, op);
	bio.bi_iter.bi_sector = sector;
	err = bio_add_page(&bio, virt_to_page(p), bytes, offset_in_page(p)) == bytes ?
	      submit_bio_wait(&bio) : -EUCLEAN;
	bio_uninit(&bio);
	return err;
}

/* Write an object and read it into another one, with bytes beside the other that stay. */
static int disk_trip(struct block_device *bdev, sector_t sector, u8 *from, u8 *to, size_t bytes)
{
	size_t i;
	int err;

	for (i = 0; i < bytes; i++)
		from[i] = disk_pattern(sector, i);
	memset(to, 0, bytes);
	err = disk_io(bdev, REQ_OP_WRITE | REQ_FUA, sector, from, bytes);
	for (i = 0; !err && i < bytes; i++)
		if (from[i] != disk_pattern(sector, i))
			err = -EUCLEAN;
	/* What is read is not what has been left in memory. */
	memset(from, 0, bytes);
	if (!err)
		err = disk_io(bdev, REQ_OP_READ, sector, to, bytes);
	for (i = 0; !err && i < bytes; i++)
		if (to[i] != disk_pattern(sector, i))
			err = -EILSEQ;
	return err;
}

static int disk_trips(struct block_device *bdev)
{
	sector_t sector = 8;		/* the first ones have a table of partitions elsewhere */
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(disk_bytes); i++) {
		u8 *from = kmheap_alloc(disk_heap, disk_bytes[i], GFP_KERNEL);
		u8 *to = kmheap_alloc(disk_heap, disk_bytes[i], GFP_KERNEL);

		if (!kmheap_is_linear(from) || !kmheap_is_linear(to))
			err = -ENOMEM;
		else
			err = disk_trip(bdev, sector, from, to, disk_bytes[i]);
		kmheap_free(from);
		kmheap_free(to);
		sector += disk_bytes[i] >> SECTOR_SHIFT;
	}
	client_say("sizes %u\nend %llu\n", i, (u64)sector);
	return err;
}

/* trips PATH: objects of several sizes, one behind the other from sector 8 on */
static int disk_trips_cmd(char *args)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE, .flags = KMHEAP_LINEAR };
	struct file *file;
	int err;

	file = bdev_file_open_by_path(args, BLK_OPEN_READ | BLK_OPEN_WRITE, &disk_heap, NULL);
	if (IS_ERR(file))
		return PTR_ERR(file);
	disk_heap = kmheap_create("disk", &attr);
	err = PTR_ERR_OR_ZERO(disk_heap);
	if (!err) {
		err = disk_trips(file_bdev(file));
		kmheap_destroy(disk_heap);
	}
	bdev_fput(file);
	return err;
}

static const struct client_command disk_commands[] = {
	{ "trips", disk_trips_cmd },
	{}
};

static int __init disk_init(void)
{
	client_commands = disk_commands;
	return 0;
}

static void __exit disk_exit(void)
{
}

module_init(disk_init);
module_exit(disk_exit);
MODULE_DESCRIPTION("kmheap selftest: a disk that reads and writes objects");
MODULE_LICENSE("GPL");
