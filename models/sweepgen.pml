/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who sweeps a span, and when its generation may end.
 *
 * Models kmh_mcentral_claim_locked(), kmh_mcentral_ready(), kmh_mcentral_settle(),
 * kmh_inbox_announce(), the kmh_mcentral_pop_*_locked(), kmh_mcentral_try_claim(),
 * kmh_mcentral_cache_spans(), kmh_sweep_if_stale(), kmh_sweep_uncached(), kmh_sweep_open(),
 * kmh_sweep_finish(), kmh_sweep_wait_for_trips() and kmh_mcentral_is_swept(). What is done under
 * the mcentral lock is one step, but for what others do without it. Trips that begin while
 * others are waited for are not; trips.pml has how a CPU tells them apart.
 *
 * An owner caches the span and gives it up. Either a user takes it from wherever it is, in
 * a trip of its own (kmh_mcentral_drain()), or a reclaimer finds it by
 * its address. One CPU frees a slot, another one frees a slot deferred. A worker closes the
 * set, waits for the grace period, opens a generation and ends it. Whether the span has
 * something to give is left open each time it is put down, and so is whether that is in NMI
 * with the lock taken: it goes on no list then, and is announced.
 *
 * Asserted: the span has one sweeper at a time; on a list its generation is even; when a
 * generation ends nothing is left of the set that it is for, and of no set in the end.
 *
 * Announcements that are half made are waited for when every CPU has been seen out of its section,
 * not in the same pass: the interrupts of one pass come at different times.
 *
 * One life of the span is enough: who finds it by its address holds the page heap's lock, without
 * which no descriptor is put back; all others have it off the lists. But a free may announce it
 * when the descriptor has become another span, and be counted as a trip in the heap of the
 * first one. That span is younger than the free's section, which holds up the grace period of
 * every set that was closed meanwhile: no slot in it can be of a set that is being swept; and in
 * a collected heap, where marks are swept, it stays on its full set until it has come up.
 *
 * Bounds: 1 span, 1 turn of each but the worker, which opens FLIPS generations and one
 * more where that is needed. The set and its flip are one step: defer.pml has those.
 * Controls:
 * BROKEN_HOME_CLAIM	the reclaimer goes by the home, without the lock
 * BROKEN_POP_DROPS	what is announced leaves the full set where a span is popped
 * BROKEN_FIRST_WAIT	trips are not waited for before the CPUs are visited
 * BROKEN_ANNOUNCING	nor after that, though announcements may be half made
 * BROKEN_CACHED	the generation ends without a look at the mcache
 * BROKEN_POPPED	trips are not waited for when no unswept span is listed any more
 * BROKEN_SECOND_LOOK	a full span is not looked at again for deferred bits
 */
#define FLIPS	1

#define OWNER	1
#define PLAIN	2
#define DEFER	4
#define USER	8

mtype:home = { CACHED, PARTIAL, LISTED, FULL, ANNOUNCED };

byte h = 8;
byte sweepgen = 8;
mtype:home home = PARTIAL;
bool on_partial = true, on_full, on_announced;
bool set;		/* of the two, where it is on a partial or a full set */
bool busy;		/* the owner's mcache section */
bool cached;
bool held;		/* somebody is its sweeper */

bool filling, closed;	/* it has a deferred bit in the set that is */
bool what;		/* of the phase, with h: the closed set, or nothing */
byte sections;		/* who has preemption off */
byte waiting;		/* whom the grace period waits for */
byte trips;		/* who is on one */
byte awaited;		/* those that the worker waits for */
byte ended;

#define swept_set	(h >> 1 & 1)
#define unswept		((on_partial || on_full) && set != swept_set)

inline leave(who)
{
	d_step { sections = sections & ~who; waiting = waiting & ~who }
}

inline end_trip(who)
{
	trips = trips & ~who;
	awaited = awaited & ~who
}

inline wait_for_trips()
{
	awaited = trips;
	awaited == 0
}

/* "who" is 0 where a section or a trip that is under way does as well. */
inline announce(who)
{
	atomic {
		if
		:: home == FULL || home == LISTED ->
			home = ANNOUNCED;
			hit = true;
			trips = trips | who
		:: else
		fi
	};
	if
	:: hit ->
		atomic {
			assert(!on_announced);
			on_announced = true;
			hit = false;
			end_trip(who)
		}
	:: else
	fi
}

/* Under the lock. A trip that finds nothing is none. */
inline taken(who)
{
	assert(!held);
	assert(!(sweepgen & 1));
	held = true;
	mine = true;
	trips = trips | who;
	home = CACHED;
	if
	:: sweepgen < h -> sweepgen = h - 1
	:: else
	fi
}

inline pop_announced(who)
{
	atomic {
		if
		:: on_announced ->
			on_announced = false;
			on_full = false;
			taken(who)
		:: else
		fi
	}
}

inline pop_unswept(who)
{
	atomic {
		if
		:: unswept && on_partial ->
			on_partial = false;
			taken(who)
		:: unswept && on_full && home == LISTED ->
			on_full = false;
			taken(who)
#ifdef BROKEN_POP_DROPS
		:: unswept && on_full && home != LISTED -> on_full = false
#endif
		:: else
		fi
	}
}

inline pop_any(who)
{
	atomic {
		if
		:: on_announced ->
			on_announced = false;
			on_full = false;
			taken(who)
		:: else ->
			if
			:: on_partial ->
				on_partial = false;
				taken(who)
			:: unswept && home == LISTED ->
				on_full = false;
				taken(who)
			:: else
			fi
		fi
	}
}

/* With "w", whether the phase has something to sweep for. */
inline sweep(to)
{
	if
	:: w -> closed = false; w = false
	:: else
	fi;
	sweepgen = to
}

inline ready()
{
	if
	:: sweepgen & 1 ->
		own = sweepgen + 1;
		w = what && own == h;
		sweep(own);
		own = 0
	:: else
	fi
}

inline put()
{
	assert(held);
	if
	:: atomic {
		true ->
		assert(!on_partial);
		on_partial = true;
		set = (sweepgen == h -> swept_set : !swept_set);
		home = PARTIAL;
		held = false
	   }
	:: filling || closed -> atomic {
		assert(!on_full);
		on_full = true;
		set = (sweepgen == h -> swept_set : !swept_set);
		home = LISTED;
		held = false
	   }
	:: !filling && !closed ->
		atomic { home = FULL; held = false };
#ifndef BROKEN_SECOND_LOOK
		if
		:: filling || closed -> announce(0)
		:: else
		fi
#endif
	:: atomic { true -> home = FULL; held = false };
		announce(0)
	fi
}

inline finish_with_it(who)
{
	if
	:: mine -> ready(); put(); d_step { end_trip(who); mine = false }
	:: else
	fi
}

inline enter()
{
	atomic { !busy -> busy = true; sections = sections | OWNER }
}

inline exit()
{
	busy = false;
	leave(OWNER)
}

proctype owner()
{
	byte own, gen;
	bool mine, hit, w;

	enter();
	pop_any(OWNER);
	if
	:: !mine -> goto out
	:: else -> mine = false
	fi;
	ready();
	if
	:: put(); d_step { end_trip(OWNER) }; goto out
	:: atomic { sweepgen = sweepgen + 3; cached = true; end_trip(OWNER) }
	fi;
	exit();
	enter();
	cached = false;
	atomic { gen = h; w = what };	/* kmh_sweep_uncached() */
	if
	:: sweepgen == gen + 1 -> sweepgen = gen - 1; sweep(gen)
	:: else ->
		w = false;
		if
		:: sweepgen & 1 -> sweepgen = sweepgen - 3
		:: else
		fi
	fi;
	gen = 0;
	put();
out:	exit();
	ended++
}

proctype user()
{
	byte own;
	bool mine, hit, w;

	pop_any(USER);
	finish_with_it(USER);
	ended++
}

proctype reclaimer()
{
	byte own;
	bool mine, hit, w;

#ifdef BROKEN_HOME_CLAIM
	if
	:: home == PARTIAL || home == LISTED ->
		atomic {
			if
			:: !(sweepgen & 1) && sweepgen < h ->
				assert(!held);
				held = true;
				sweepgen = h - 1;
				mine = true;
				trips = trips | USER
			:: else
			fi
		};
		if
		:: mine ->
			w = what;
			sweep(sweepgen);
			atomic {
				sweepgen = sweepgen + 1;
				on_partial = false;
				on_full = false;
				home = CACHED
			}
		:: else
		fi
	:: else
	fi;
#else
	pop_unswept(USER);
#endif
	finish_with_it(USER);
	ended++
}

proctype plain()
{
	bool hit;

	sections = sections | PLAIN;
	announce(PLAIN);
	leave(PLAIN);
	ended++
}

proctype defer()
{
	bool hit;

	sections = sections | DEFER;
	filling = true;
	if
	:: home == FULL -> announce(DEFER)
	:: else
	fi;
	leave(DEFER);
	ended++
}

proctype worker()
{
	byte flips, own, gen;
	bool mine, hit, w;

	do
	:: filling || flips < FLIPS ->
		if
		:: flips < FLIPS -> flips++
		:: else
		fi;
		atomic { closed = filling; filling = false; waiting = sections };
		waiting == 0;
		if
		:: atomic { true -> h = h + 2; what = true }
		:: !closed -> goto end	/* the class has nothing in the set */
		fi;
#ifndef BROKEN_FIRST_WAIT
		wait_for_trips();
#endif
#ifndef BROKEN_CACHED
		atomic { !busy -> busy = true };	/* an interrupt on the owner's CPU */
		atomic { gen = h; w = what };
		if
		:: cached && sweepgen == gen + 1 -> sweepgen = gen - 1; sweep(gen + 3)
		:: else -> w = false
		fi;
		gen = 0;
		busy = false;
#endif
listed:
#ifndef BROKEN_ANNOUNCING
		wait_for_trips();
#endif
		pop_announced(0);
		finish_with_it(0);
		pop_unswept(0);
		finish_with_it(0);
		if			/* kmh_mcentral_is_swept() */
		:: !unswept
		:: else -> goto listed
		fi;
#ifndef BROKEN_POPPED
		wait_for_trips();
#endif
end:		what = false;
		wait_for_trips();	/* defer.pml has what comes of leaving that out */
		assert(!closed)
	:: !filling && flips == FLIPS && ended == 4 -> break
	od;
	assert(!filling && !closed && !held)
}

init {
	atomic {
		run owner();
		if
		:: run user()
		:: run reclaimer()
		fi;
		run plain();
		run defer();
		run worker()
	}
}
