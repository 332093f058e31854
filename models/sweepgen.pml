/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who sweeps a span, and when the generation may advance.
 *
 * Models kmh_sweep_claim(), kmh_sweep_cached(), kmh_sweep_uncached(), kmh_reclaim_small()
 * with kmh_mcentral_reclaimed(), kmh_mcentral_claim_locked(), kmh_mcentral_take() with
 * kmh_mcentral_cache_span(), kmh_mcentral_sweep_one(), kmh_mcentral_is_swept() and
 * kmh_mcentral_advance(). What is done under the mcentral lock is one step, but for
 * exchanges of s->sweepgen, which others do without it.
 *
 * An owner caches the span, allocates, and gives it up. A worker opens generations and
 * sweeps from the lists. A reclaimer finds the span by its address.
 *
 * The rule here: s->sweepgen is even only while the span is on a list, and a claim takes
 * what is even and older. testing.rst says where kmod/ is not as strict yet.
 *
 * Asserted: the span has one sweeper at a time; it is swept once in each generation;
 * nobody allocates from a span that was taken off a list unswept; no sweep reaches from
 * one generation into the next.
 *
 * Bounds: 1 span, FLIPS generations, TURNS turns each of owner and reclaimer. A span that
 * is full or announced is left out: announce.pml. Controls:
 * BROKEN_CLAIM		the claim is a load and a store
 * BROKEN_CLAIM_ODD	a claim by others takes what is cached (h + 1) as well
 * BROKEN_CLAIM_NEWER	so it takes what is newer than the generation it has read
 * BROKEN_TAKE_EVEN	a swept span keeps h while it is off the lists
 * BROKEN_PUT_EARLY	so it does before it is on a list again
 * BROKEN_FLIP_CACHED	the generation advances over cached spans that are unswept
 * BROKEN_FLIP_SWEEPING	it does not wait for claimed spans
 */
#define FLIPS	2
#define TURNS	2

mtype:home = { CACHED, PARTIAL };

byte h = 8;
byte sweepgen = 8;
mtype:home home = PARTIAL;
bool listed = true;
byte nsweeping;
bool busy;		/* the owner's mcache section */

bool held;		/* somebody is its sweeper */
byte sweeps;		/* in this generation */
byte h_swept;		/* by its sweeper, when it began */

/* Who has no right to the span yet. Sets "mine". */
inline claim(gen)
{
	old = sweepgen;
	if
#ifdef BROKEN_CLAIM_ODD
	:: old == gen || old == gen - 1 || old == gen + 3 || old > gen + 1 -> mine = false
#else
#ifdef BROKEN_CLAIM_NEWER
	:: (old & 1) || old == gen -> mine = false
#else
	:: (old & 1) || old >= gen -> mine = false
#endif
#endif
	:: else ->
#ifdef BROKEN_CLAIM
		atomic {
			mine = true;
#else
		atomic {
			mine = sweepgen == old;
#endif
			if
			:: mine -> sweepgen = gen - 1; assert(!held); held = true
			:: else
			fi
		}
	fi
}

inline sweep(to)
{
	atomic { assert(held); h_swept = h; sweeps++; assert(sweeps == 1) };
	atomic { assert(h_swept == h); sweepgen = to }
}

/* Off the list, under the lock. Sets "mine" and "stale". */
inline take()
{
	listed = false;
	home = CACHED;
	gen = h;
	stale = sweepgen != gen;
	if
	:: stale -> claim(gen)
	:: else ->
		mine = true;
		assert(!held);
		held = true;
#ifndef BROKEN_TAKE_EVEN
		sweepgen = gen - 1
#endif
	fi;
	if
	:: mine -> nsweeping++
	:: else
	fi
}

inline put(gen)
{
	atomic {
		sweepgen = gen;
		home = PARTIAL;
		listed = true;
		held = false
	}
}

proctype owner()
{
	byte turns, gen, old;
	bool mine, stale;

	do
	:: turns == TURNS -> break
	:: atomic { turns < TURNS && listed && !busy -> turns++; busy = true; take() };
		if
		:: !mine -> goto next
		:: mine && stale -> sweep(gen - 1)
		:: else
		fi;
		atomic { sweepgen = gen + 3; nsweeping-- };
		/* Cached. It allocates, and a refill or an interrupt finds it stale or not. */
		assert(held);
		busy = false;
		atomic { !busy -> busy = true };
		if
		:: sweepgen == h + 1 -> gen = h; sweepgen = gen - 1; sweep(gen + 3)
		:: true
		fi;
		assert(held);
		gen = h;	/* gives it up */
		if
		:: sweepgen == gen + 1 -> sweepgen = gen - 1; sweep(gen - 1)
		:: else
#ifdef BROKEN_PUT_EARLY
			-> sweepgen = gen
#endif
		fi;
		assert(held);	/* folds */
		put(gen);
next:		mine = false;
		busy = false
	od
}

proctype worker()
{
	byte flips, gen, old;
	bool mine, stale;

	do
	:: flips == FLIPS -> break
	:: else ->
#ifndef BROKEN_FLIP_CACHED
		atomic { !busy -> busy = true };	/* an interrupt on the owner's CPU */
		if
		:: sweepgen == h + 1 -> gen = h; sweepgen = gen - 1; sweep(gen + 3)
		:: else
		fi;
		busy = false;
#endif
		do
#ifdef BROKEN_FLIP_SWEEPING
		:: !listed || sweepgen == h -> break
#else
		:: (!listed || sweepgen == h) && nsweeping == 0 -> break
#endif
		:: atomic { listed && sweepgen != h -> take() };
			if
			:: !mine
			:: else -> sweep(gen - 1); put(gen); nsweeping--
			fi;
			mine = false
		od;
		atomic { h = h + 2; sweeps = 0; flips++ }
	od
}

proctype reclaimer()
{
	byte turns, gen, old;
	bool mine;

	do
	:: turns == TURNS -> break
	:: else -> turns++;
		if
		:: home != PARTIAL
		:: else ->
			nsweeping++;
			gen = h;
			claim(gen);
			if
			:: mine ->
				sweep(gen - 1);
				atomic { listed = false; home = CACHED };
				put(gen)
			:: else
			fi;
			nsweeping--;
			mine = false
		fi
	od
}

init {
	atomic { run owner(); run worker(); run reclaimer() }
}
