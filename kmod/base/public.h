/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The public header as kmheap.ko includes it: without the reference that ties a client to the
 * size classes that it was built for.
 */
#ifndef _KMHEAP_PUBLIC_H
#define _KMHEAP_PUBLIC_H

#include <linux/kmheap.h>

#endif /* _KMHEAP_PUBLIC_H */
