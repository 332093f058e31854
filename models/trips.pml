/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trips of a CPU, and who waits for the one that is under way (design.rst 8.3).
 *
 * Models kmh_trip_begin(), kmh_trip_end(), kmh_trip_is_over() and kmh_sweep_wait_for_trips(). A
 * task makes trips, one after the other and one in another; interrupts come in between, and make
 * some too. Each access of the word is a step, but for what is one instruction. Interrupts run
 * to their end before the task goes on, and do not interrupt each other. The waiter is on
 * another CPU, and looks at the word twice.
 *
 * Asserted: the trip that was under way at the first look is not over for the waiter as long as it
 * is under way; and it is when it has ended, even if others have begun since.
 *
 * No descriptor is in here: the word is the CPU's, and as old as the heap.
 *
 * Bounds: ROUNDS trips of the task and of the interrupt, each with one in it. Controls:
 * BROKEN_ZERO		the waiter waits until it sees no trip at all
 * BROKEN_NESTED	the end of a trip in another one counts as well
 * BROKEN_DEPTH		the waiter does not know how deep a trip is
 */
#define ROUNDS	2
#define DEPTH	7	/* the low bits */

byte word;
bool irq;	/* the CPU is in an interrupt */
byte inside;	/* how many trips are under way */
byte nended;	/* outermost ones */
byte nclosed;	/* the same, as the word has it */

inline begin()
{
	d_step { inside++; word++ }
}

inline end()
{
	seen = word;
#ifdef BROKEN_NESTED
	d_step { word = seen + DEPTH; nclosed++; seen = 0 };
#else
	if
	:: (seen & DEPTH) == 1 -> d_step { word = seen + DEPTH; nclosed++ }
	:: else -> word = seen - 1
	fi;
	seen = 0;
#endif
}

inline leave()
{
	atomic {
		inside--;
		if
		:: inside == 0 -> nended++
		:: else
		fi
	}
}

/* The trip is under way until the word says otherwise: what it has done is done before. */
inline trip()
{
	begin();
	begin();
	leave();
	end();
	leave();
	end()
}

proctype task() provided (!irq)
{
	byte n, seen;

	do
	:: n == ROUNDS -> break
	:: else -> n++; trip()
	od
}

proctype interrupt()
{
	byte n, seen;

	do
	:: n == ROUNDS -> break
	:: n < ROUNDS ->
		n++;
		atomic { !irq -> irq = true };
		trip();
		irq = false
	od
}

proctype waiter()
{
	byte first, under, ended, closed;
	bool over;

	d_step { first = word; under = inside; ended = nended; closed = nclosed };
	atomic {
#ifdef BROKEN_ZERO
		over = (word & DEPTH) == 0;
#else
#ifdef BROKEN_DEPTH
		over = word != first;
#else
		over = (first & DEPTH) == 0 || (word & DEPTH) == 0 || word / 8 != first / 8;
#endif
#endif
		/* Over for the waiter: then it has ended, or there was none. */
		assert(!over || !under || nended > ended);
		/* It has ended, and the word says so: then it is over, whatever has begun since. */
		assert(over || nclosed == closed)
	}
}

init {
	atomic { run task(); run interrupt(); run waiter() }
}
