/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One page of the kernel that is in a block of a heap, goes back by itself, and comes again as a
 * page of another block of the same heap, while clients and a page cache use it.
 *
 * Models kmh_mheap_alloc_span(), kmh_mheap_free_span(), kmh_pagecache_fill_locked() and
 * kmh_pagecache_drain(), kmh_arena_return(), kmh_arena_detach_free() with kmh_arena_unmap_free(),
 * and kmh_arena_create_block().
 *
 * Asserted: the page is in one state of one block, in use, free, cached or returned, or it is the
 * kernel's; nobody gets it twice, nor from the kernel while the heap has it; its entry in the
 * arenas map leads to the span of whoever uses it, and says "gone" when it is the kernel's and not
 * when it is the heap's.
 *
 * The page has two lives, one in each block. Descriptors are left out: that of each use is a new one.
 *
 * Bounds: 2 blocks, 2 uses by a client, 1 by a page cache, 2 returns, the end of the first block.
 * Controls:
 * BROKEN_COUNT		a returned page counts as free
 * BROKEN_MAP		the page goes before its entry says "gone"
 * BROKEN_FREE		a free clears the page's bit before its entry
 * BROKEN_SKIP		a block that leaves withdraws the entries of pages that it has returned
 */
#define A	0
#define B	1

#define GONE	0
#define UNUSED	1
#define FREED	2
#define SPAN	3

bool there[2];		/* the block is in the page heap */
bool taken[2];		/* its page is in use, for the page allocator */
bool returned[2];
byte entry = GONE;	/* of the page in the arenas map */
bool kernel = true;	/* the page is the kernel's */
byte users;		/* a client, or a page cache */
bool mutex;		/* arenas_mutex */

#define is_free(x)	(there[x] && !taken[x])

inline lock()
{
	atomic { !mutex -> mutex = true }
}

/* kmh_arenamap_replace() of the heap's sentinels. */
inline withdraw()
{
	atomic {
		if
		:: entry == UNUSED || entry == FREED -> entry = GONE
		:: else
		fi
	}
}

/* Under the page heap's lock. */
inline take(x)
{
	taken[x] = true;
	assert(!kernel && !users);
	users++
}

proctype client()
{
	byte x, n;

	do
	:: n < 2 ->
		n++;
		if
		:: atomic { is_free(A) -> x = A; take(A) }
		:: atomic { is_free(B) -> x = B; take(B) }
		:: break
		fi;
		entry = SPAN;
		assert(entry == SPAN && !kernel);
#ifdef BROKEN_FREE
		atomic { users--; taken[x] = false };
#endif
		atomic {
			if
			:: entry == SPAN -> entry = FREED
			:: else
			fi
		};
#ifndef BROKEN_FREE
		atomic { users--; taken[x] = false };
#endif
	:: else -> break
	od
}

proctype cache()
{
	byte x;

	if
	:: atomic { is_free(A) -> x = A; take(A) }; atomic { users--; taken[x] = false }
	:: atomic { is_free(B) -> x = B; take(B) }; atomic { users--; taken[x] = false }
	:: true
	fi
}

/* kmh_pages_return_locked() */
proctype giver()
{
	byte x, n;

	do
	:: n < 2 ->
		n++;
		lock();
		if
		:: atomic { is_free(A) -> x = A; taken[A] = true; returned[A] = true }
		:: atomic { is_free(B) -> x = B; taken[B] = true; returned[B] = true }
		:: mutex = false; break
		fi;
#ifndef BROKEN_MAP
		withdraw();
#endif
		atomic { assert(!users && !kernel); kernel = true };
#ifdef BROKEN_MAP
		withdraw();
#endif
#ifdef BROKEN_COUNT
		taken[x] = false;
#endif
		mutex = false
	:: else -> break
	od
}

/* The kernel gives the page to the heap in a new block. */
proctype grower()
{
	if
	:: atomic { kernel -> kernel = false };
		assert(entry == GONE);
		entry = UNUSED;
		lock();
		there[B] = true;
		mutex = false
	:: true
	fi
}

/* The first block leaves when none of its page is in use. */
proctype leaver()
{
	lock();
	if
	:: atomic { there[A] && (returned[A] || !taken[A]) -> there[A] = false };
#ifdef BROKEN_SKIP
		withdraw();
#endif
		if
		:: !returned[A] ->
			withdraw();
			atomic { assert(!users && !kernel); kernel = true }
		:: else
		fi
	:: true
	fi;
	mutex = false
}

#define has(x)	(there[x] && !returned[x])

init {
	atomic {
		kernel = false;
		entry = UNUSED;
		there[A] = true;
		run client();
		run cache();
		run giver();
		run grower();
		run leaver()
	};
	_nr_pr == 1;
	assert(!users);
	assert(kernel == !(has(A) || has(B)) && !(has(A) && has(B)));
	assert((entry == GONE) == kernel)
}
