/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two who free one large object at the same time, while its descriptor gets its next life.
 *
 * Models kmh_large_claim(), kmh_large_begin(), kmh_mspan_init(), kmh_large_become() and
 * kmh_free_slow_unpin(). Memory is sequentially consistent: the word is read with acquire, set with
 * release, and claimed by a fully ordered exchange.
 *
 * Two CPUs look up the same address, and then free the object there, step by step. Whoever wins
 * gives the descriptor back or parks it; a third one makes it the span of the next object, at the
 * same address or at another one.
 *
 * Asserted: nothing but an object of that address is claimed; two CPUs do not claim one object;
 * when both are done, one of them has claimed it. A free that comes when another object is live
 * at the same address claims that one (design.rst 13).
 *
 * Bounds: 1 descriptor, LIVES lives, 2 frees. Controls:
 * BROKEN_FLAG		the claim is one bit, whatever life it is of
 * BROKEN_LATE_WORD	the word is read after what is looked at
 * BROKEN_EARLY_WORD	a new life begins with the word, and base and state come after it
 */
#define LIVES	3

#define HERE	1	/* the address that is freed */
#define THERE	2

byte word;		/* bit 0: claimed; the others: lives */
byte base = HERE;
bool large = true;
byte lives = 1;
byte claims;		/* of the object that was live at first */
byte claimed[LIVES + 1];	/* by life */
bool given;		/* the descriptor, to the next user */
byte ended;

proctype other()
{
	byte seen, at;
	bool is;

	/* Somebody else's map entry may be old by now. */
#ifndef BROKEN_LATE_WORD
	seen = word;
#endif
	at = base;
	is = large;
#ifdef BROKEN_LATE_WORD
	seen = word;
#endif
	if
	:: seen & 1 || at != HERE || !is
	:: else ->
		atomic {
#ifdef BROKEN_FLAG
			if
			:: word & 1 -> is = false
			:: else -> word = word | 1
			fi;
#else
			if
			:: word == seen -> word = word | 1
			:: else -> is = false
			fi;
#endif
			if
			:: is ->
				assert(large && base == HERE);
				claimed[lives]++;
				assert(claimed[lives] == 1);
				if
				:: lives == 1 -> claims++
				:: else
				fi
			:: else
			fi
		};
		if
		:: is -> given = true
		:: else
		fi
	fi;
	ended++
}

/* The page heap or a cache, and whoever allocates next. */
proctype next()
{
	do
	:: lives == LIVES || ended == 2 -> break
	:: given ->
		given = false;
		large = false;		/* parked, or in the pool */
#ifdef BROKEN_EARLY_WORD
		atomic { word = (word | 1) + 1; lives++ };
#endif
		if
		:: base = HERE
		:: base = THERE
		fi;
		large = true;
#ifndef BROKEN_EARLY_WORD
		atomic { word = (word | 1) + 1; lives++ }
#endif
	od
}

init {
	atomic { run other(); run other(); run next() };
	ended == 2;
	assert(claims == 1)
}
