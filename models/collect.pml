/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Marks: what is allocated while a collection marks, or later, survives its sweep.
 *
 * Models kmheap_collect_begin(), kmheap_collect_end(), kmh_mspan_blacken(),
 * kmh_sweep_blackens(), kmh_sweep_marks(), kmh_mspan_fold_word(), kmh_mspan_free_remote(), and
 * who calls them: kmh_mcentral_cache_spans(), kmh_mcentral_alloc_one(), kmh_mcache_reload(),
 * kmh_mcache_refill(), kmh_sweep_finish(). sweepgen.pml has who may sweep; a span of a
 * collected heap is always on a list, so there is only one here.
 *
 * An owner caches the span, sets its slot aside, allocates, refills, gives it up. An interrupt
 * elsewhere allocates past the mcache. Another CPU frees, which is two steps: the cell, the
 * remote bit. The client marks nothing, so each collection frees what is older than it.
 *
 * Asserted: no object whose allocation began after a collection had begun is freed by the
 * sweep of that collection; when a collection begins, nothing listed is marked.
 *
 * One life of the span is enough: who looks at it here has it off the lists or cached, or holds
 * an object in it, and lets go of it with that; and no marks are set by address. A fresh span is
 * one that nobody else knows.
 *
 * Bounds: 1 span of 1 slot, in use and cached at first; 2 collections, TURNS turns of the
 * owner, 1 each of the others. Large objects are left out. Controls:
 * BROKEN_CACHE		a span is not blackened when it is cached
 * BROKEN_BEGIN		nor where it is cached when the collection begins
 * BROKEN_ASIDE		nor is a slot that its owner has set aside by then
 * BROKEN_BUSY		nor when that CPU is in its section then
 * BROKEN_FOLD		nor is what a fold adds
 * BROKEN_PAST		nor what is allocated past the mcache
 * BROKEN_END		marking ends before the generation advances, not together with it
 */
#define TURNS	3

#define MARKING	1
#define MARKS	2	/* swept for marks */
#define GEN	4	/* twice a step of h */

#define OWNER	1
#define PAST	2

byte phase = 8 * GEN;	/* all in one */
byte sweepgen = 11;
bool free, remote, mark;
bool window;		/* the owner's */
bool out;		/* the cell says so; otherwise it is live */
bool listed, cached = true;
byte trips;		/* who is on one */
byte awaited;		/* those that the worker waits for */
bool busy;		/* the owner's mcache section */

bool live = true;
byte age;		/* of its object: the last collection that had begun */
byte started, begun;	/* collections */

#define h	(phase / GEN)

inline blackens()
{
	p = phase;
	own = sweepgen;
	g = p / GEN;
	black = (p & MARKING) || ((p & MARKS) && own != g && own != g - 1 && own != g + 3)
}

inline fold()
{
	if
	:: remote ->
		remote = false;
#ifndef BROKEN_FOLD
		blackens();
		if
		:: black -> mark = true
		:: else
		fi;
#endif
		free = true
	:: else
	fi
}

/* With the phase in "p". */
inline sweep(to)
{
	if
	:: (p & MARKS) && sweepgen + 1 == p / GEN ->
		black = mark;
		atomic {
			if
			:: !out && !black ->
				assert(live && age != started);
				live = false;
				out = true;
				black = false
			:: else -> black = true
			fi
		};
		if
		:: !black -> remote = true
		:: else
		fi;
		mark = false
	:: else
	fi;
	fold();
	sweepgen = to
}

inline end_trip(who)
{
	d_step { trips = trips & ~who; awaited = awaited & ~who }
}

inline wait_for_trips()
{
	awaited = trips;
	awaited == 0
}

/* Off the list, swept. Sets "mine". */
inline take(who)
{
	atomic {
		if
		:: listed ->
			listed = false;
			mine = true;
			trips = trips | who;
			assert(!(sweepgen & 1));
			if
			:: sweepgen < h -> sweepgen = h - 1
			:: else
			fi
		:: else
		fi
	};
	if
	:: mine ->
		if
		:: sweepgen & 1 -> gen = sweepgen + 1; p = phase; sweep(gen)
		:: else -> fold()
		fi
	:: else
	fi
}

inline forget()
{
	d_step { mine = false; black = false; p = 0; own = 0; g = 0; gen = 0 }
}

inline allocate()
{
	atomic { assert(out && !live); out = false; live = true; age = since }
}

proctype owner()
{
	byte turns, since, p, own, g, gen;
	bool mine, black;

	do
	:: turns == TURNS -> break
	:: turns < TURNS ->
		turns++;
		since = begun;
		atomic { !busy -> busy = true };
		if
		:: !cached ->
			take(OWNER);
			if
			:: mine && free ->
				sweepgen = sweepgen + 3;
#ifndef BROKEN_CACHE
				blackens();
				if
				:: black && out -> mark = true
				:: else
				fi;
#endif
				cached = true;
				end_trip(OWNER)
			:: mine && !free -> listed = true; end_trip(OWNER)
			:: !mine
			fi
		:: cached && window -> window = false; allocate()
		:: cached && free && !window ->
			free = false;
			window = true;
			if
			:: window = false; allocate()
			:: true		/* another slot is taken */
			fi
		:: cached && !free && !window ->	/* the refill */
			p = phase;
			gen = p / GEN;
			if
			:: sweepgen == gen + 1 ->
				sweepgen = gen - 1;
				sweep(gen + 3)
			:: else
			fi;
			fold()
		:: cached ->			/* gives it up */
			cached = false;
			if
			:: window -> window = false; free = true
			:: else
			fi;
			p = phase;
			gen = p / GEN;
			if
			:: sweepgen == gen + 1 ->
				sweepgen = gen - 1;
				sweep(gen)
			:: else ->
				sweepgen = sweepgen - 3;
				fold()
			fi;
			listed = true
		fi;
		forget();
		busy = false
	od
}

proctype past()
{
	byte since, p, own, g, gen;
	bool mine, black;

	since = begun;
	take(PAST);
	if
	:: mine ->
		if
		:: free ->
			free = false;
#ifndef BROKEN_PAST
			blackens();
			if
			:: black -> mark = true
			:: else
			fi;
#endif
			allocate()
		:: else
		fi;
		listed = true;
		end_trip(PAST)
	:: else
	fi
}

proctype other()
{
end:	atomic { live && !out -> live = false; out = true };
	remote = true
}

proctype worker()
{
	byte p, own, g, gen;
	bool mine, black;

	do
	:: started == 2 -> break
	:: else ->
		assert(!listed || !mark || trips);
		started++;
		phase = phase | MARKING;
#ifndef BROKEN_BEGIN
#ifndef BROKEN_BUSY
		atomic { !busy -> busy = true };
#endif
		if
#ifdef BROKEN_ASIDE
		:: cached && out && !window -> mark = true
#else
		:: cached && out -> mark = true
#endif
		:: else
		fi;
#ifndef BROKEN_BUSY
		busy = false;
#endif
#endif
		begun++;
#ifdef BROKEN_END
		phase = phase & ~MARKING;
#endif
		phase = (h + 2) * GEN | MARKS;
		wait_for_trips();
		atomic { !busy -> busy = true };
		p = phase;
		gen = p / GEN;
		if
		:: cached && sweepgen == gen + 1 -> sweepgen = gen - 1; sweep(gen + 3)
		:: else
		fi;
		forget();
		busy = false;
		do
		:: listed && sweepgen != h ->
			take(0);
			if
			:: mine -> listed = true; forget()
			:: else
			fi
		:: !(listed && sweepgen != h) -> break
		od;
		wait_for_trips();
		phase = phase & ~MARKS;
		wait_for_trips()
	od
}

init {
	atomic {
		run owner();
		run past();
		run other();
		run worker()
	}
}
