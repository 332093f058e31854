/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A large object, or a run of pages, that is allocated while collections come and go.
 *
 * Models kmh_large_alloc(), kmh_large_date(), kmh_mcentral_date_span(), kmh_reclaim_large(),
 * kmheap_mark(), kmh_sweep_wait_for_trips() and the two ends of a collection. The client marks
 * the object in every collection that begins after it has got it.
 *
 * Asserted: the object is not freed by a collection in which the client has marked it, or
 * before which its allocation had not begun, and a run of pages by none; when a collection
 * begins the object is not marked, so that who marks it first visits what it points to.
 *
 * A span does not become known as an object and turn into a run of pages afterwards
 * (BROKEN_STATE).
 *
 * The descriptor has one life here: the reclaimer looks and claims under the page heap's lock,
 * without which no descriptor is put back, and in a collected heap none is parked. claim.pml has
 * the frees of a client, which hold no lock, and several lives.
 *
 * Bounds: 1 object, 3 collections, a reclaimer in each. Controls:
 * BROKEN_COUNT		the allocation is on no trip
 * BROKEN_COUNT_LATE	but only when the span is dated
 * BROKEN_WAIT		the arenas are gone through before trips are waited for
 * BROKEN_DATE		the generation and whether a collection marks are read apart
 * BROKEN_STATE		the span is an object until it has been allocated
 */
#define COLLECTIONS	3

#define MARKING	1
#define MARKS	2	/* swept for marks */
#define GEN	4	/* a step of h */

byte phase = 2 * GEN;	/* all in one */
byte sweepgen;
bool object, mark, inuse, got;
bool trip, awaited;
byte age, kept;		/* collections */
byte started, begun;

#define h	(phase / GEN)

/* Claimed under the page heap's lock, and all the rest of it too. */
inline reclaim()
{
	p = phase;
	if
	:: p & MARKS ->
		atomic {
			if
			:: inuse && object && sweepgen < p / GEN ->
				if
				:: mark -> mark = false; sweepgen = p / GEN
				:: else ->
					assert(!pages);
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

bool pages;

proctype client()
{
	byte p;

	age = begun;
	if
	:: pages = true
	:: true
	fi;
#ifdef BROKEN_STATE
	object = true;
#else
	object = !pages;
#endif
#ifndef BROKEN_COUNT
#ifndef BROKEN_COUNT_LATE
	trip = true;
#endif
#endif
	p = phase;
	sweepgen = p / GEN;
#ifdef BROKEN_DATE
	p = phase;
#endif
	if
	:: (p & MARKING) && object -> mark = true
	:: else
	fi;
#ifdef BROKEN_COUNT_LATE
	trip = true;
#endif
	inuse = true;
	object = !pages;
#ifndef BROKEN_COUNT
	d_step { trip = false; awaited = false };
#endif
	atomic {
		if
		:: inuse && object -> got = true
		:: else
		fi
	}
}

proctype reclaimer()
{
	byte n, p;

	do
	:: n == COLLECTIONS -> break
	:: n < COLLECTIONS -> n++; reclaim()
	od
}

proctype worker()
{
	byte p;

	do
	:: started == COLLECTIONS -> break
	:: else ->
		assert(!inuse || !object || !mark);
		started++;
		phase = phase | MARKING;
		begun++;
		atomic {
			if
			:: got -> mark = true; kept = started
			:: else
			fi
		};
		phase = (h + 1) * GEN | MARKS;
#ifdef BROKEN_WAIT
		reclaim();
		awaited = trip;
		!awaited;
#else
		awaited = trip;
		!awaited;
		reclaim();
#endif
		phase = phase & ~MARKS;
		awaited = trip;
		!awaited
	od
}

init {
	atomic { run client(); run reclaimer(); run worker() }
}
