/* SPDX-License-Identifier: GPL-2.0 */
/* Private: the stack of a hit; see stack.c. */
#ifndef _KMHEAP_STACK_H
#define _KMHEAP_STACK_H

/* Return addresses that are kept of a stack, the innermost ones. */
#define KMH_SITE_FRAMES		24

#ifdef KMHEAP_KUNIT
typedef unsigned int (*kmh_stack_fn)(unsigned long *ip);

/* Instead of the stack: fills @ip, and returns how many. */
extern kmh_stack_fn kmh_kunit_stack;
#endif

int kmh_stacks_alloc(void);
void kmh_stacks_free(void);
unsigned int kmh_stack(unsigned long *ip);

#endif /* _KMHEAP_STACK_H */
