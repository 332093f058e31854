/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For whoever reads kmheap's memory without being told its types: a debugger that has a dump of a
 * kernel that crashed, or /proc/kcore, and no debug information of kmheap.ko.
 *
 * The symbol kmheap_vmcore leads to a table that says where each field is that such a reader needs,
 * how long it is, and where the variables lie from which everything else is found. The reader asks
 * by name: what it does not know it skips, and what it does not find it does without. kmheap itself
 * never looks at any of this. tools/kmheap_insight/core.py is a reader.
 */
#ifndef _LINUX_KMHEAP_VMCORE_H
#define _LINUX_KMHEAP_VMCORE_H

#include <linux/types.h>

/* The eight bytes with which the header begins, the 0 that ends the string not counted. */
#define KMHEAP_VMCORE_MAGIC	"KMHEAP\0\1"

/* Grows when a reader that knows the one before would be misled; new entries do not mislead. */
#define KMHEAP_VMCORE_VERSION	1

/**
 * struct kmheap_vmcore_entry - what one name means
 * @name: a field of a structure, "kmh_site.depth"; a structure, "kmh_site"; a variable,
 *	"kmh_sites"; or a number, "KMH_CELL_OUT".
 * @value: the offset of a field in its structure, 0 for a structure, the address of a variable, or
 *	the number.
 * @bytes: the size of the field, the structure or the variable; 0 for a number.
 */
struct kmheap_vmcore_entry {
	char name[40];
	u64 value;
	u64 bytes;
};

/**
 * struct kmheap_vmcore - where the table is
 * @magic: KMHEAP_VMCORE_MAGIC.
 * @version: KMHEAP_VMCORE_VERSION.
 * @entry_bytes: from one entry to the next.
 * @self: the address of this header, by which a search knows it from a copy.
 * @entries: the address of the first entry.
 * @nentries: how many there are.
 */
struct kmheap_vmcore {
	char magic[8];
	u32 version;
	u32 entry_bytes;
	u64 self;
	u64 entries;
	u64 nentries;
};

extern struct kmheap_vmcore kmheap_vmcore;

#endif /* _LINUX_KMHEAP_VMCORE_H */
