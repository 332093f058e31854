/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The slot state of one word: frees by the owner and by others, folds, allocations.
 *
 * Models kmh_mcslot_take(), kmh_free_owned(), kmh_mspan_set_remote() and
 * kmh_mspan_fold_word(); every load and store of a slot word is a step of its own.
 *
 * The owner allocates, frees and folds, in any order. Two other CPUs free one object
 * each, and may have got the same one: a double free, perhaps with the owner as a third,
 * who may also free what it has freed before.
 *
 * Asserted: an object is handed out only when the slot's last one has been freed, and not
 * while a double free of it waits to be reported; every free that was accepted too often
 * is reported by a fold, once; no slot is lost.
 *
 * Not asserted is what kmheap does not promise (design.rst 13): a second free that comes
 * when the slot has been handed out again frees the new object. Such a run ends there. A second
 * free that comes in the next life of the descriptor is one of these, and a first one keeps the
 * span with its object, so one life is enough.
 *
 * Bounds: 2 slots, 1 word, OPS steps of the owner, 2 remote frees. Controls:
 * BROKEN_FOLD_STORE	the fold takes the remote bits by a load and a store
 * BROKEN_ALLOC_MASK	the allocation does not look at the remote bits
 * BROKEN_FREE_CHECK	the remote free does not look at what its exchange returns
 * BROKEN_LOCAL_CHECK	the owner frees without looking at the bits
 */
#define SLOTS	2
#define OPS	6

byte free = 3;		/* struct kmh_slots */
byte remote;

/* What really happened, for the assertions. */
bool live[SLOTS];
byte object[SLOTS];	/* how many objects the slot has had */
byte doubles[SLOTS];	/* accepted frees of an object that was freed already */
byte reports[SLOTS];
bool late;		/* the promise does not reach as far as here */
byte ended;

inline accept(slot, obj)
{
	if
	:: object[slot] != obj -> late = true
	:: else ->
		if
		:: live[slot] -> live[slot] = false
		:: else -> doubles[slot]++
		fi
	fi
}

inline fold()
{
	r = remote;
	if
	:: r == 0 -> skip
	:: else ->
#ifdef BROKEN_FOLD_STORE
		remote = 0;
#else
		remote = remote & ~r;
#endif
		d_step {
			both = r & free;
			if
			:: both & 1 -> reports[0]++
			:: else
			fi;
			if
			:: both & 2 -> reports[1]++
			:: else
			fi
		}
		free = free | r
	fi
}

proctype owner()
{
	byte ops, r, both, f, slot, obj;

	do
	:: late -> goto out
	:: ops < OPS -> ops++;
		if
		:: true ->	/* kmh_mcslot_take() */
			f = free;
			atomic {
				/* From here on the slot is handed out. */
#ifdef BROKEN_ALLOC_MASK
				r = f;
#else
				r = f & ~remote;
#endif
				if
				:: r == 0 -> skip
				:: else ->
					slot = (r & 1 -> 0 : 1);
					assert(late || !live[slot]);
					assert(late || doubles[slot] == reports[slot]);
					live[slot] = true;
					object[slot]++
				fi
			}
			if
			:: r == 0 -> skip
			:: else -> free = f & ~(1 << slot)
			fi
		:: atomic { live[0] -> slot = 0; obj = object[0] };
			goto give
		:: atomic { live[1] -> slot = 1; obj = object[1] };
			goto give
		:: obj != 0 ->	/* what it freed last, once more */
give:			f = free;	/* kmh_free_owned() */
			atomic {
#ifdef BROKEN_LOCAL_CHECK
				r = 0;
#else
				r = (f | remote) & (1 << slot);
#endif
				if
				:: r == 0 -> accept(slot, obj)
				:: else
				fi
			}
			if
			:: r == 0 -> free = f | (1 << slot)
			:: else
			fi
		:: true -> fold()
		fi
	:: else -> break
	od;
out:	ended++;
	ended == 3;
	fold();
	if
	:: late
	:: else ->
		for (slot : 0 .. SLOTS - 1) {
			assert(doubles[slot] == reports[slot]);
			assert(live[slot] == !(free & (1 << slot)))
		}
	fi
}

proctype other()
{
	byte slot, obj, old;

	if
	:: ended > 0 -> goto out
	:: atomic { live[0] -> slot = 0; obj = object[0] }
	:: atomic { live[1] -> slot = 1; obj = object[1] }
	fi;
	if			/* kmh_mspan_set_remote() */
	:: free & (1 << slot) -> goto out
	:: else
	fi;
	atomic {
		old = remote;
		remote = remote | (1 << slot);
#ifdef BROKEN_FREE_CHECK
		accept(slot, obj)
#else
		if
		:: old & (1 << slot)
		:: else -> accept(slot, obj)
		fi
#endif
	}
out:	ended++
}

init {
	atomic { run owner(); run other(); run other() }
}
