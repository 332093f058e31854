/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Deferred frees: two sets, their grace periods, and the sweep that takes them.
 *
 * Models kmh_mspan_defer(), kmh_tiny_defer(), kmh_defer_close(), kmh_sweep_open(),
 * kmh_sweep_finish(), and kmh_sweep_span() with kmh_sweep_deferred(), kmh_sweep_bury() and
 * kmh_mspan_fold_word().
 * sweepgen.pml has who may sweep; here that is a flag.
 *
 * A client allocates an object, publishes it, unlinks it and frees it deferred, over and
 * over; a reader uses it; a worker opens generations; a taker sweeps whenever it likes,
 * also while no generation is open, as one does who finds an announced span.
 *
 * A grace period waits for those who are in a critical section when it begins. The unlinking
 * store may become visible as late as at the next full barrier. Where the object is in a packed
 * block that is the setting of the deferred bit (defer-flip.litmus), and the cell says only then
 * that the block waits. A small object's cell says so first, by an exchange, which is the barrier.
 *
 * Asserted: a slot that a reader still uses does not become free, nor one whose object
 * is not freed. When all is done and the worker rests, nothing waits any more.
 *
 * One life of the span is enough: its slot keeps the span as long as it waits, and the grace
 * period that it waits for also waits for whatever the free reads after it has set the bit, as
 * preemption is off. A span that all the rest have is off the lists. Two frees of one object are
 * in cells.pml.
 *
 * Bounds: 1 span of 1 slot, OBJECTS objects in it one after the other, as many looks of
 * the reader, TAKES turns of the taker, OTHERS generations for the sake of other spans.
 * Controls:
 * BROKEN_REREAD	the generation is not read again after the bit is set
 * BROKEN_STAMP_FIRST	the grace period begins before the set is closed
 * BROKEN_OTHER_SET	the sweep does not look whether the slot waits for the other set, too
 * BROKEN_EARLY_CLOSE	a set is closed before the other one is swept
 * BROKEN_SWEEP_WAITING	a sweep takes the closed set, expired or not
 * BROKEN_FINISH	a generation ends without a second look for who is sweeping
 * BROKEN_DIRTY_LAST	only the last set that got the bit is marked dirty
 * BROKEN_LATE_GEN	a sweep counts for the generation that is read after it
 */
#define OBJECTS	2
#define TAKES	2
#define OTHERS	2

#define READER	1
#define CLIENT	2

#define NO_SET	2	/* KMH_SWEEP_REMOTE */

bool free = true;
bool remote;
bool waits;		/* the cell says so */
bool deferred[2];
bool span_dirty[2], dirty[2];
byte gen;		/* defer.gen */
byte what = NO_SET;	/* of the phase, in one word with */
byte h;			/* the sweep generation, in steps of 1 */
byte sweepgen;
bool trip, awaited;	/* a trip with the span; the worker waits for it */
bool claimed;

bool linked, live, used;
byte sections;		/* who is in a critical section */
byte waiting;		/* whom the grace period waits for */
byte ended;

inline leave(who)
{
	d_step {
		sections = sections & ~who;
		waiting = waiting & ~who
	}
}

inline mark_dirty(set)
{
	span_dirty[set] = true;
	dirty[set] = true
}

inline fold()
{
	if
	:: remote -> atomic { remote = false; assert(!used && !live); free = true }
	:: else
	fi
}

/* kmh_sweep_deferred() */
inline take_bit()
{
	span_dirty[w] = false;
	atomic { dead = deferred[w]; deferred[w] = false };
	if
	:: dead ->
		dead = waits;
#ifndef BROKEN_OTHER_SET
		dead = dead && !deferred[0];
		dead = dead && !deferred[1];
#endif
		if
		:: dead ->
			atomic { waits = false; dead = false };
			remote = true
		:: else
		fi
	:: else
	fi
}

/* "claimed" for generation "own", on a trip. */
inline sweep()
{
#ifdef BROKEN_SWEEP_WAITING
	w = (gen + 1) & 1;
#else
	w = (own == h -> what : NO_SET);
#endif
	if
	:: w != NO_SET && span_dirty[w] -> take_bit()
	:: else
	fi;
	fold();
#ifdef BROKEN_LATE_GEN
	own = h;
#endif
	atomic { sweepgen = own; claimed = false; trip = false; awaited = false; w = 0; own = 0 }
}

proctype client()
{
	byte n, g, g2;
	bool packed;

	do
	:: n == OBJECTS -> break
	:: else -> n++;
		atomic { free && !claimed -> free = false; live = true; linked = true };
		sections = sections | CLIENT;	/* preempt_disable() */
		if
		:: linked = false;
			atomic { live = false; waits = true };
			g = gen
		:: packed = true; linked = false; g = gen
		:: packed = true; g = gen; linked = false
		fi;
again:		deferred[g & 1] = true;
#ifndef BROKEN_DIRTY_LAST
		mark_dirty(g & 1);
#endif
#ifndef BROKEN_REREAD
		g2 = gen;
		if
		:: g2 != g -> g = g2; goto again
		:: else
		fi;
#endif
#ifdef BROKEN_DIRTY_LAST
		mark_dirty(g & 1);
#endif
		if
		:: packed -> atomic { live = false; waits = true; packed = false }
		:: else
		fi;
		d_step { g = 0; g2 = 0 };
		leave(CLIENT)
	od;
	ended++
}

proctype reader()
{
	byte n;

	do
	:: n == OBJECTS -> break
	:: else -> n++;
		sections = sections | READER;
		atomic {
			if
			:: linked -> used = true
			:: else
			fi
		};
		used = false;
		leave(READER)
	od;
	ended++
}

proctype taker()
{
	byte n, w, own;
	bool dead;

	do
	:: n == TAKES -> break
	:: n < TAKES -> n++;
		atomic { !claimed -> claimed = true; trip = true; own = h };
		sweep()
	od;
	ended++
}

proctype worker()
{
	byte set, others, w, own;
	bool dead;

	do
	:: dirty[gen & 1] || others < OTHERS ->
		if
		:: dirty[gen & 1]
		:: else -> others++
		fi;
		set = gen & 1;
#ifdef BROKEN_STAMP_FIRST
		waiting = sections;
		gen++;
#else
		gen++;
		waiting = sections;
#endif
		waiting == 0;
		if			/* kmh_sweep_open() */
		:: atomic { dirty[set] -> h++; what = set }
		:: else
		fi;
		dirty[set] = false;
		do			/* kmh_sweep_finish() */
#ifdef BROKEN_EARLY_CLOSE
		:: dirty[gen & 1] -> break
#endif
		:: sweepgen != h ->
			atomic { !claimed -> claimed = true; trip = true; own = h };
			sweep()
		:: sweepgen == h -> break
		od;
		awaited = trip;
		!awaited;
		what = NO_SET;
#ifndef BROKEN_FINISH
		awaited = trip;
		!awaited
#endif
	:: !dirty[gen & 1] && ended == 3 -> break
	od;
	assert(!deferred[0] && !deferred[1] && !dirty[0] && !dirty[1]);
	fold();
	assert(free && !remote && !waits)
}

init {
	atomic { run client(); run reader(); run taker(); run worker() }
}
