/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Announce once (design.rst 6.2): where a span is while others free into it.
 *
 * Models kmh_mspan_free_remote(), kmh_mcache_give(), kmh_mspan_defer(), kmh_tiny_defer(),
 * kmh_mspan_free_waiting(), kmh_sweep_deferred(), kmh_inbox_announce(), kmh_mcentral_settle(),
 * kmh_mcentral_settle_full() and the kmh_mcentral_pop_*_locked(). What is done under the mcentral
 * lock is one step where those without the lock see only one access of it. Memory is sequentially
 * consistent; announce.litmus has what is not.
 *
 * A span is full and on its way out of an mcache. One CPU gives a slot back, another one frees a
 * slot deferred: at once or, where it is a block with one more object, when that is freed, too.
 * Two more take the span wherever they find it, let what is deferred expire or not, fold it, use
 * up what is free or not, and put it back.
 *
 * Asserted: the span has one sweeper at a time, and is on no list twice. At the end a span with a
 * remote bit is announced or partial, and one with a deferred bit is at least on a full set; a slot
 * that waits has its deferred bit. That does not expire before the free that has set it is done,
 * because a grace period waits for it.
 *
 * The descriptor has two lives here: a span that goes back empty, and comes again as another one
 * full of objects, is to a free that has not announced yet what a span is all of whose slots
 * have been handed out: home CACHED, in one hand, no bit set. Should it be another heap's by
 * then, the announcement goes to that one.
 *
 * Bounds: 1 span, 2 frees, 2 takers with TAKES turns each.
 * Controls:
 * BROKEN_NO_SECOND_LOOK	settle_full does not look at the bits again
 * BROKEN_SECOND_LOOK_FOLDABLE	with home FULL it looks at what can be folded only
 * BROKEN_ANNOUNCE_STORE	the home is set by a load and a store instead of cmpxchg
 * BROKEN_TAKE_STORE		so it is where a span is popped from a full set
 * BROKEN_DEFER_SILENT		a deferred free does not look at the home
 * BROKEN_WAITING_LOOK		a block that begins to wait is not looked at again
 * BROKEN_WAITING_SILENT	what is given back then is not announced
 * BROKEN_ONE_NODE		one list node serves the full set and the announced list
 */
#define TAKES	1

#define PLAIN	1
#define WAITING	2

mtype:home = { CACHED, PARTIAL, ANNOUNCED, FULL, LISTED };

mtype:home home = CACHED;
byte free, remote, deferred;
bool on_partial, on_full, on_announced;
bool held = true;	/* somebody is its sweeper */
bool waits;		/* the cell of the deferred slot says so */
bool deferring;		/* a deferred free has preemption off */
byte ended;

inline announce()
{
	do
	:: atomic {
		h = home;
		if
		:: h != FULL && h != LISTED -> break
		:: else
		fi
	   };
#ifdef BROKEN_ANNOUNCE_STORE
		home = ANNOUNCED;
		h = ANNOUNCED;
#else
		atomic {
			if
			:: home == h -> home = ANNOUNCED; h = ANNOUNCED
			:: else
			fi
		};
#endif
		if
		:: h == ANNOUNCED ->
			atomic {
				assert(!on_announced);
#ifdef BROKEN_ONE_NODE
				assert(!on_full);
#endif
				on_announced = true
			};
			break
		:: else
		fi
	od
}

inline fold()
{
	free = free | remote;
	remote = 0
}

/* kmh_sweep_deferred(): the bit is clear. */
inline bury()
{
	r = waits;
	if
	:: r && !deferred ->
		atomic {
			r = waits;
			waits = false
		};
		if
		:: r -> remote = remote | WAITING
		:: else
		fi
	:: else
	fi;
	r = 0
}

/* The sweeper, after a fold, has no more use for the span. */
inline put()
{
	fold();
	if
	:: free & ~remote ->
		atomic {
			assert(!on_partial);
			on_partial = true;
			home = PARTIAL;
			held = false
		}
	:: else ->
		if
		:: deferred ->
			atomic {
				assert(!on_full);
				on_full = true;
				home = LISTED;
				held = false
			};
			r = remote
		:: else ->
			atomic { home = FULL; held = false };
			r = remote;
#ifndef BROKEN_SECOND_LOOK_FOLDABLE
			if
			:: r
			:: else -> r = deferred
			fi
#endif
		fi;
#ifdef BROKEN_NO_SECOND_LOOK
		r = 0;
#endif
		if
		:: r -> announce()
		:: else
		fi
	fi;
	r = 0
}

/* Any list will do. Sets "mine". */
inline pop()
{
	atomic {
		if
		:: on_announced ->
			on_announced = false;
			on_full = false;
			home = CACHED;
			mine = true
		:: on_partial ->
			on_partial = false;
			home = CACHED;
			mine = true
		:: on_full && home == LISTED ->
			on_full = false;
#ifndef BROKEN_TAKE_STORE
			home = CACHED;
#endif
			mine = true
		:: else
		fi;
		if
		:: mine -> assert(!held); held = true
		:: else
		fi
	};
#ifdef BROKEN_TAKE_STORE
	if
	:: mine -> home = CACHED
	:: else
	fi
#endif
}

proctype sweeper()
{
	byte r;
	mtype:home h;

	put();
	ended++
}

proctype taker()
{
	byte r, turns;
	mtype:home h;
	bool mine;

	do
	:: turns == TAKES -> break
	:: else ->
		turns++;
		pop();
		if
		:: mine ->
			if
			:: atomic { !deferring && deferred -> deferred = 0 };
				bury()
			:: true
			fi;
			fold();
			if
			:: free = 0		/* handed out, for good */
			:: true
			fi;
			put();
			mine = false
		:: else
		fi
	od;
	ended++
}

proctype plain()
{
	mtype:home h;

	remote = remote | PLAIN;
	if
	:: home == FULL || home == LISTED -> announce()
	:: else
	fi;
	ended++
}

/*
 * The bit itself announces, whatever becomes of the slot: another object in a block of a tiny span
 * may be live.
 */
proctype defer()
{
	mtype:home h;

	deferring = true;
	deferred = deferred | WAITING;
#ifndef BROKEN_DEFER_SILENT
	if
	:: home == FULL -> announce()
	:: else
	fi;
#endif
	if
	:: waits = true; deferring = false
	/* The block has another object, which is freed at once, or after that. */
	:: true ->
		deferring = false;
		if
		:: deferred ->
			waits = true;
#ifndef BROKEN_WAITING_LOOK
			if
			:: deferred -> goto out
			:: else
			fi;
			atomic {
				if
				:: waits -> waits = false
				:: else -> goto out
				fi
			}
#else
			goto out
#endif
		:: else
		fi;
		remote = remote | WAITING;
#ifndef BROKEN_WAITING_SILENT
		if
		:: home == FULL || home == LISTED -> announce()
		:: else
		fi
#endif
	fi;
out:	ended++
}

init {
	atomic {
		run sweeper();
		run plain();
		run defer();
		run taker();
		run taker()
	};
	ended == 5;
	assert(!held);
	assert(on_announced == (home == ANNOUNCED));
	assert(on_partial == (home == PARTIAL));
	assert(home != LISTED || on_full);
	assert(!remote || on_announced || on_partial);
	assert(!waits || deferred);
	assert(!deferred || on_announced || on_partial || on_full)
}
