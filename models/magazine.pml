/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Magazines: objects of a full span that are allocated again without its sweeper.
 *
 * Models kmh_free_announce_unpin(), kmh_magazine_put(), kmh_magazines_drain(),
 * kmh_magazine_claim(),
 * kmh_mspan_defer(), kmh_mspan_fold_word() and kmh_mcentral_settle_full(). Memory is
 * sequentially consistent: the exchanges of remote bits are fully ordered.
 *
 * Two CPUs, each with a magazine, free what is live, at once or deferred; claim what their
 * magazines hold, or drop it. A sweeper takes the span from its lists, lets deferred slots
 * expire or not, folds, allocates what is free or not, and puts it back. A span without a live
 * object may go back to the page heap; its descriptor is one of another class then, with other
 * objects, and with remote bits in the same places. An address in a magazine that was slot 0 in
 * the first life begins slot 1 in the second one, and the other way round.
 *
 * Asserted: a slot is handed out only when it is not live and does not wait for a grace
 * period, and by a magazine in the life that its entry is of; the span is on no list twice; at
 * the end each slot that could be had is on a list with its span, or in a magazine. A grace
 * period waits for deferred frees under way.
 *
 * Bounds: 1 descriptor for 2 spans of 2 slots, OPS steps of a CPU that it takes in any
 * order, TAKES turns of the sweeper. Magazines never fill up: dropping is a step of its own.
 * Controls:
 * BROKEN_FOLD_MASK	the fold does not mask with what its exchange returned
 * BROKEN_FOLD_CHECK	the fold looks at deferred bits before its exchange only
 * BROKEN_CLAIM_RESULT	the claim does not look at what its exchange returned
 * BROKEN_CLAIM_CHECK	the claim looks at deferred bits before its exchange only
 * BROKEN_CLAIM_LIFE	nor does it look after it whether the span is the same
 * BROKEN_CLAIM_SLOT	what it sets again is the bit that the second look has found
 * BROKEN_RESTORE_SILENT	a remote bit that is set again is not announced
 * BROKEN_DROP_SILENT	an entry is dropped without announcing
 * BROKEN_DEFER_ORDER	a deferred free sets the remote bit first
 * BROKEN_SECOND_LOOK	settle_full does not look at the bits again
 */
#define SLOTS	2
#define OPS	2
#define TAKES	2
#define ROOM	3	/* entries of a magazine */

mtype:home = { CACHED, PARTIAL, ANNOUNCED, FULL, LISTED };

mtype:home home = FULL;
byte free, remote;
byte deferred[2];
bool dirty[2];
bool gen;		/* the set that is being filled */
bool life;		/* of the descriptor */
bool on_partial, on_full, on_announced, held;

typedef magazine {
	byte n;
	byte entry[ROOM]
};

magazine mag[2];

/* What really is, as bits. */
byte live = 3;
byte waiting;
byte deferring;		/* deferred frees with preemption off */
byte ended;

/* An entry: the slot, and the life in which it was freed. */
#define entry_of(slot, in)	(slot + 2 * in)

#define bit		(1 << slot)
#define is_deferred	(deferred[0] | deferred[1])

inline hand_out()
{
	assert(!(live & bit));
	assert(!(waiting & bit));
	live = live | bit
}

/* Not atomic with what leads to it. */
inline announce()
{
	atomic {
		if
		:: home == FULL || home == LISTED -> home = ANNOUNCED; won = true
		:: else -> won = false
		fi
	};
	if
	:: won -> atomic { assert(!on_announced); on_announced = true; won = false }
	:: else
	fi
}

/*
 * kmh_magazine_announce(): by the address of the entry. That leads to the span of the other life
 * if it lies there, or elsewhere.
 */
inline drop()
{
	if
	:: true -> announce()
	:: in != life
	fi
}

/* kmh_magazine_waits(); sets "waits". */
inline look()
{
	if
	:: dirty[0] || dirty[1] -> waits = (is_deferred & bit) != 0
	:: else -> waits = false
	fi
}

inline free_slot()
{
	remote = remote | bit;
	if
	:: home == FULL || home == LISTED ->
		atomic { mag[c].entry[mag[c].n] = entry_of(slot, in); mag[c].n++ }
	:: else
	fi
}

inline defer_slot()
{
#ifdef BROKEN_DEFER_ORDER
	remote = remote | bit;
#endif
	atomic { set = gen; deferred[set] = deferred[set] | bit };
	dirty[set] = true;
	if
	:: home == FULL -> announce()
	:: else
	fi;
#ifndef BROKEN_DEFER_ORDER
	remote = remote | bit;
#endif
	atomic { deferring--; set = 0 }
}

inline claim()
{
	if
	:: in != life -> waits = true
	:: else -> look()
	fi;
	if
	:: waits ->
		drop()
	:: else ->
		atomic {
			old = remote & bit;
			remote = remote & ~bit
		};
#ifdef BROKEN_CLAIM_RESULT
		old = bit;
#endif
		if
		:: old ->
#ifndef BROKEN_CLAIM_CHECK
			look();
#endif
#ifndef BROKEN_CLAIM_LIFE
			if
			:: in != life ->
				waits = true;
#ifdef BROKEN_CLAIM_SLOT
				slot = 1 - slot
#endif
			:: else
			fi;
#endif
			if
			:: waits ->
				remote = remote | bit;
#ifndef BROKEN_RESTORE_SILENT
				announce()
#endif
			:: else -> atomic { assert(in == life); hand_out() }
			fi
		:: else
		fi
	fi;
	d_step { old = 0; waits = false }
}

proctype cpu(bool c)
{
	byte ops, slot, old;
	bool set, waits, won;
	bool in;		/* the life in which the slot was that of the object */

	do
	:: ops == OPS -> break
	:: ops < OPS ->
		ops++;
		if
		:: atomic { live && mag[c].n < ROOM ->
				if
				:: live & 1 -> slot = 0
				:: live & 2 -> slot = 1
				fi;
				in = life;
				live = live & ~bit
			};
			free_slot()
		:: atomic { live ->
				if
				:: live & 1 -> slot = 0
				:: live & 2 -> slot = 1
				fi;
				live = live & ~bit;
				waiting = waiting | bit;
				deferring++
			};
			defer_slot()
		:: atomic { mag[c].n ->
				mag[c].n--;
				slot = mag[c].entry[mag[c].n] & 1;
				in = mag[c].entry[mag[c].n] >> 1;
				mag[c].entry[mag[c].n] = 0
			};
			claim()
		:: atomic { mag[c].n ->	/* the oldest one */
				slot = mag[c].entry[0] & 1;
				in = mag[c].entry[0] >> 1;
				mag[c].entry[0] = mag[c].entry[1];
				mag[c].entry[1] = mag[c].entry[2];
				mag[c].entry[2] = 0;
				mag[c].n--
			};
#ifndef BROKEN_DROP_SILENT
			drop()
#endif
		:: true
		fi;
		d_step { slot = 0; in = 0 }
	od;
	ended++
}

inline fold()
{
	r = remote;
	r = r & ~is_deferred;
	atomic {
		old = remote;
		remote = remote & ~r
	};
#ifndef BROKEN_FOLD_MASK
	r = r & old;
#endif
#ifndef BROKEN_FOLD_CHECK
	old = r & is_deferred;
	if
	:: old -> remote = remote | old; r = r & ~old
	:: else
	fi;
#endif
	free = free | r;
	d_step { r = 0; old = 0 }
}

/* kmh_mcentral_settle() */
inline put()
{
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
		:: is_deferred ->
			atomic {
				assert(!on_full);
				on_full = true;
				home = LISTED;
				held = false
			};
			r = remote;
			r = r & ~is_deferred
		:: else ->
			atomic { home = FULL; held = false };
			r = remote;
			if
			:: r & ~is_deferred
			:: else -> r = is_deferred
			fi
		fi;
#ifdef BROKEN_SECOND_LOOK
		r = 0;
#endif
		if
		:: r -> announce()
		:: else
		fi;
		r = 0
	fi
}

proctype sweeper()
{
	byte turns, slot, r, old;
	bool set, won;

	do
	:: turns == TAKES -> break
	:: turns < TAKES ->
		turns++;
		atomic {
			if
			:: on_announced || on_partial || on_full && home == LISTED ->
				on_announced = false;
				on_partial = false;
				on_full = false;
				home = CACHED;
				held = true
			:: else
			fi
		};
		if
		:: !held
		:: held ->
			if
			:: atomic { !deferring ->	/* the set was closed, and has expired */
					set = gen;
					gen = !gen;
					waiting = waiting & ~deferred[set]
				};
				dirty[set] = false;
				deferred[set] = 0;
				set = 0
			:: true
			fi;
			fold();
			if
			:: atomic {
					for (slot : 0 .. SLOTS - 1) {
						if
						:: free & ~remote & bit ->
							hand_out();
							free = free & ~bit
						:: else
						fi
					};
					slot = 0
				}
			/* Back to the page heap, and from there for other objects. */
			:: atomic { free == 3 && !remote && !is_deferred && !life ->
					life = true;
					free = 0;
					if
					:: live = 3
					:: live = 2
					:: live = 1
					fi;
					remote = 3 & ~live
				}
			:: true
			fi;
			put()
		fi
	od;
	ended++
}

#define held_by(c, s) \
	((mag[c].n > 0 && mag[c].entry[0] == entry_of(s, life)) || \
	 (mag[c].n > 1 && mag[c].entry[1] == entry_of(s, life)) || \
	 (mag[c].n > 2 && mag[c].entry[2] == entry_of(s, life)))

init {
	byte slot;

	atomic { run cpu(0); run cpu(1); run sweeper() };
	ended == 3;
	assert(!held);
	assert(on_announced == (home == ANNOUNCED));
	assert(on_partial == (home == PARTIAL));
	for (slot : 0 .. SLOTS - 1) {
		/* Free in one way, or live: never both, never neither. */
		assert(((live | free | remote) & bit) && !(live & (free | remote) & bit));
		assert(!(remote & ~is_deferred & bit) || on_announced || on_partial ||
		       held_by(0, slot) || held_by(1, slot))
	};
	assert(!is_deferred || on_announced || on_partial || on_full)
}
