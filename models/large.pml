/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A large object that is allocated while collections come and go.
 *
 * Models kmh_mheap_date_span(), kmh_mheap_alloc_span() where it makes the span known,
 * kmh_reclaim_large(), kmheap_mark() and the two ends of a collection. Allocating may be
 * preempted for as long as it likes. The client marks the object in every collection that
 * begins after it has got it.
 *
 * The rule here: who allocates is counted in nsweeping from before the date until the span
 * is known, and waited for before the arenas are gone through. kmod/ does not yet.
 *
 * Asserted: the object is not freed by a collection in which the client has marked it, or
 * before which its allocation had not begun; when a collection begins it is not marked,
 * so that who marks it first visits what it points to.
 *
 * Bounds: 1 object, 3 collections, a reclaimer in each. Controls:
 * BROKEN_COUNT		the allocation is not counted
 */
#define COLLECTIONS	3

#define MARKING	1

byte phase = 8;		/* h, and MARKING */
bool what;		/* swept for marks */
byte sweepgen;
bool mark, inuse, got;
byte nsweeping;
byte age, kept;		/* collections */
byte started, begun;

#define h	(phase & ~MARKING)

/* Claimed under the page heap's lock, and all the rest of it too. */
inline reclaim()
{
	if
	:: what ->
		gen = h;
		atomic {
			if
			:: inuse && sweepgen < gen ->
				if
				:: mark -> mark = false; sweepgen = gen
				:: else ->
					assert(age != started && kept != started);
					inuse = false;
					got = false
				fi
			:: else
			fi
		}
	:: else
	fi
}

proctype client()
{
	byte p;

	age = begun;
#ifndef BROKEN_COUNT
	nsweeping++;
#endif
	p = phase;
	sweepgen = p & ~MARKING;
	if
	:: p & MARKING -> mark = true
	:: else
	fi;
	inuse = true;
#ifndef BROKEN_COUNT
	nsweeping--;
#endif
	atomic {
		if
		:: inuse -> got = true
		:: else
		fi
	}
}

proctype reclaimer()
{
	byte n, gen;

	do
	:: n == COLLECTIONS -> break
	:: n < COLLECTIONS -> n++; reclaim()
	od
}

proctype worker()
{
	byte gen;

	do
	:: started == COLLECTIONS -> break
	:: else ->
		assert(!inuse || !mark);
		started++;
		phase = phase | MARKING;
		begun++;
		atomic {
			if
			:: got -> mark = true; kept = started
			:: else
			fi
		};
		what = true;
		phase = h + 2;
		nsweeping == 0;
		reclaim();
		what = false
	od
}

init {
	atomic { run client(); run reclaimer(); run worker() }
}
