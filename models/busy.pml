/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mcache rule (design.rst 7.1): the busy flag of a CPU.
 *
 * Models kmh_mcache_enter(), kmh_mcache_leave(), kmh_visit_this_cpu() and
 * kmh_mcache_drain_all(). A task, an interrupt that allocates as well, and a drain that
 * another CPU asks for. Interrupts run to their end before the task goes on, and do not
 * interrupt each other.
 *
 * Asserted: nobody is in the section of an mcache together with somebody else, except for
 * interrupts that leave the mcache alone.
 *
 * No span is in it, so nothing of the life of one: the flag is all that is looked at.
 *
 * Bounds: 1 mcache, ROUNDS rounds of task and interrupt, 3 tries of the drain. Controls:
 * BROKEN_REMOTE_DRAIN	the drain looks at the flag from another CPU
 * BROKEN_TEST		enter does not look at the flag
 */
#define ROUNDS	3

bool busy;
bool irq;	/* the CPU is in an interrupt */
byte inside;

inline enter()
{
#ifdef BROKEN_TEST
	won = true;
#else
	won = !busy;
#endif
	if
	:: won -> busy = true
	:: else
	fi
}

inline section()
{
	enter();
	if
	:: won ->
		inside++;
		assert(inside == 1);
		inside--;
		busy = false
	:: else
	fi
}

proctype task() provided (!irq)
{
	byte n;
	bool won;

	do
	:: n == ROUNDS -> break
	:: else -> n++; section()
	od
}

proctype interrupt()
{
	byte n;
	bool won;

	do
	:: n == ROUNDS -> break
	:: n < ROUNDS ->
		n++;
		atomic { !irq -> irq = true };
		section();
		irq = false
	od
}

proctype drain()
{
	byte tries;
	bool won;

	do
	:: tries == 3 -> break
	:: tries < 3 ->
		tries++;
#ifdef BROKEN_REMOTE_DRAIN
		section();
#else
		atomic { !irq -> irq = true };
		section();
		irq = false;
#endif
		if
		:: won -> break
		:: else
		fi
	od
}

init {
	atomic { run task(); run interrupt(); run drain() }
}
