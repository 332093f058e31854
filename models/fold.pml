/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The bits of one word: frees from elsewhere, folds, the window.
 *
 * Models kmh_mcache_give(), kmh_mspan_free_remote(), kmh_mspan_fold_word(), kmh_mcache_reload(),
 * kmh_mcslot_take() and kmh_mcslot_uncache(); every load and store of a word is a step of its
 * own.
 *
 * The owner sets slots aside, takes them, frees objects, folds, and gives its window back, in
 * any order. Two other CPUs give back one object each. Each object is freed once: cells.pml has
 * two frees of one.
 *
 * Asserted: a slot is handed out only when its last object has been freed; nothing is reported,
 * neither by the fold nor by who takes a slot or sets a bit; no slot is lost.
 *
 * One life is enough: a slot that is not free keeps the span, and bits of the past life are of
 * an object that is freed twice.
 *
 * Bounds: 2 slots, 1 word, OPS steps of the owner, 2 remote frees. Controls:
 * BROKEN_FOLD_STORE	the fold takes the remote bits by a load and a store
 * BROKEN_GIVE_STORE	remote bits are set by a load and a store
 * BROKEN_GIVE_FREE	another CPU than the owner sets free bits
 * BROKEN_RELOAD_KEEP	slots that are set aside keep their free bits
 * BROKEN_BACK_STORE	the window given back is all that is free
 */
#define SLOTS	2
#define OPS	7

byte free = 3;		/* struct kmh_slots */
byte remote;
byte avail;		/* the window */
byte out = 3;		/* slots whose cell says OUT */

/* What really happened, for the assertions. */
byte live;
byte ended;

#define bit	(1 << slot)

/* Of the live objects that nobody frees; the cell is the freeing CPU's to write. */
inline pick()
{
	if
	:: live & 1 -> slot = 0
	:: live & 2 -> slot = 1
	fi;
	live = live & ~bit;
	out = out | bit
}

inline fold()
{
	if
	:: remote == 0
	:: else ->
#ifdef BROKEN_FOLD_STORE
		r = remote;
		remote = 0;
#else
		atomic { r = remote; remote = 0 };
#endif
		assert(!(r & free));
		free = free | r
	fi
}

proctype owner()
{
	byte ops, r, f, slot;

	do
	:: ops < OPS ->
		ops++;
		if
		:: avail == 0 ->
			f = free;
			r = f & ~remote;
#ifndef BROKEN_RELOAD_KEEP
			free = f & ~r;
#endif
			avail = r
		:: avail != 0 ->
			slot = (avail & 1 -> 0 : 1);
			assert(out & bit);
			atomic {
				assert(!(live & bit));
				out = out & ~bit;
				live = live | bit
			};
			avail = avail & ~bit
		:: atomic { live != 0 -> pick() };
			f = free;
			assert(!(f & bit));
			free = f | bit
		:: true -> fold()
		:: avail != 0 ->
			f = free;
			assert(!(f & avail));
#ifdef BROKEN_BACK_STORE
			free = avail;
#else
			free = f | avail;
#endif
			avail = 0
		fi;
		d_step { f = 0; r = 0; slot = 0 }
	:: break
	od;
	ended++;
	ended == 3;
	fold();
	assert((free | avail | live) == 3);
	assert(!(free & avail) && !((free | avail) & live))
}

proctype other()
{
	byte slot, r;

	if
	:: ended > 0 -> goto done
	:: atomic { live != 0 -> pick() }
	fi;
#ifdef BROKEN_GIVE_FREE
	r = free;
	free = r | bit;
#else
#ifdef BROKEN_GIVE_STORE
	r = remote;
	remote = r | bit;
#else
	atomic { assert(!(remote & bit)); remote = remote | bit };
#endif
#endif
done:	ended++
}

init {
	atomic { run owner(); run other(); run other() }
}
