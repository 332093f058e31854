/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Cells: who has a slot when two parties free its object at the same time.
 *
 * Models the frees, kmh_free_at_unpin() with kmh_mcslot_put(), kmh_mcache_free_slow() with
 * kmh_mcache_may_keep(), kmh_mspan_free_remote(), kmh_free_run() and kmheap_free_rcu(); the ways
 * out of a magazine, kmh_mcslot_take() and kmh_magazine_evict() with kmh_cells_move() and
 * kmh_magazine_stray(); the depot, kmh_depot_give(), kmh_depot_take() with kmh_batch_adopt() and
 * kmh_batch_retag(), and kmh_depot_drain() with kmh_batch_scatter(); kmh_mcache_give(); the window, with kmh_mcache_reload(), kmh_mcslot_take(),
 * kmh_mcslot_amiss() and kmh_mcslot_uncache(); kmh_mspan_fold_word(), kmh_defer_close(),
 * kmh_sweep_deferred() with kmh_sweep_bury(), kmh_mspan_may_go() and kmh_mspan_init(). Nobody but
 * the span's sweeper looks at its free bits and window, so what one does there is one step.
 * kmh_mcentral_take_slot() is a reload and a take, and a free that the magazine has no room for a
 * run of one. Memory is sequentially consistent: each cell is one location, and what carries a slot
 * from one account to another is fully ordered, or one CPU's.
 *
 * Both CPUs free an object, each in one of four ways: into its magazine, past the section,
 * straight to the span, after a grace period. Before and after that either may free another object
 * of the span into its magazine, of which all that is seen here is the freer. Then they do in any
 * order what the magazines, the window and a span on a list allow; entries need not rest. A client
 * that gets the object may free it. An empty span may go to the page heap. Its descriptor may be
 * another span's then, at the same addresses or at others, and what has not ended goes on in the
 * second life.
 *
 * Asserted: an object is handed out only when nobody has it; at rest the slot has one holder, whom
 * its cell names, so it is not lost; the two frees are reported, if not at once, then when the
 * slot crosses; and where only one CPU frees the object, nothing is reported. No CPU takes an entry
 * for one of the span that the descriptor is by then, unless
 * - the entry's own free stood still between its look at the span and its store or exchange until
 *   that span was gone (BROKEN_STOOD); or
 * - a free of the freer's stood still between its look at @freer and its plain store while two
 *   frees of the other CPU went by: one that made the span shared, and a later one of this object,
 *   which is the entry. The store takes the entry's cell away, so nothing keeps the span, and in
 *   its next life the same CPU frees an object into that cell (BROKEN_PASSED).
 * Nor do two CPUs take entries with one tag for the same slot, unless such a store has taken the cell
 * of one that is in a batch, or goes there, and the object, which has been allocated again, is
 * freed once more on the CPU that gave it: one entry is in its magazine then (BROKEN_GIVEN).
 * Nor does a plain store take the cell of any entry but these away.
 *
 * Not asserted is what kmheap does not promise. A run ends when
 * - a free comes to its store when another client has got the object: it is that one's object
 *   that is freed, as design.rst 13 says;
 * - one of the three cases above has come to pass.
 * The report may be missed when
 * - a bit is set when the span is gone, or an entry goes back then: the pages may be the kernel's;
 * - a client who has got the object defers it, while a sweep takes the deferred bit of one of
 *   the two frees: as both sets have a bit, that looks like one free (BROKEN_AGAIN). The client has
 *   got it because the freer's plain store came after the exact claim of a free that was to wait.
 * Nor is it asked whether an object waits for long enough: defer.pml does, of one that is freed
 * once.
 *
 * Bounds: 1 descriptor, for 2 spans of 1 slot; 2 frees, and OPS more steps of both CPUs; a depot with
 * a place for a batch of 1 entry. fold.pml
 * has several slots of a word. With a third CPU the free that makes the span shared may be that
 * one's. Left out are dead objects with specials, and packed blocks (tiny-waits.litmus,
 * sweep-waits.litmus). Controls:
 * BROKEN_TAG		both magazines have the same tag
 * BROKEN_FREER		every free into a magazine looks and stores plainly
 * BROKEN_FIRST		who finds no freer, and is not the one who becomes it, goes on all the same
 * BROKEN_SHARING	the free that makes the span shared goes into the magazine
 * BROKEN_POP		an entry is taken without a look at its cell
 * BROKEN_TAKE		so is a slot of the window
 * BROKEN_FLUSH		an entry goes back by a look and a store, not by an exchange
 * BROKEN_BITS		a bit is set without a look whether it is set
 * BROKEN_FOLD		so it is by the fold
 * BROKEN_BACK		and when the window is given back
 * BROKEN_SETS		a free that is to wait looks into neither set
 * BROKEN_FLAG		one that finds a bit there does not flag the set that it has put its own into
 * BROKEN_RETIRE	an empty span goes without a look at its cells
 * BROKEN_DIRTY		the flags of a new span are cleared after its deferred bits
 * BROKEN_STOOD		asserted as well: an entry whose free stood still is not taken for another's
 * BROKEN_PASSED	nor one whose cell was taken away by the freer's plain store
 * BROKEN_ADOPT		its cell becomes the taker's by a look and a store, not by an exchange
 * BROKEN_GIVEN		asserted as well: of two entries with one tag one in a batch is no harm
 * BROKEN_AGAIN		asserted as well: the two frees are reported though the object is deferred
 */
#define OPS	6

#define ROOM	3	/* entries of a magazine */

/* The cell. */
#define LIVE	0
#define OUT	1
#define WAITS	2
#ifdef BROKEN_TAG
#define TAG	3
#define TAG_OF(who)	3
#else
#define TAG	(3 + c)
#define TAG_OF(who)	(2 + who)	/* "me" of that CPU */
#endif

/* Who may free with plain stores: nobody yet, the CPU with that tag, or nobody any more. */
#define NONE	0
#define SHARED	1

/* Where the span is: cached by the CPU of that number, or */
#define LISTED	2
#define HELD	3	/* in the hands of a sweeper */
#define GONE	4	/* the descriptor is no span's */

byte cell = LIVE;
byte freer;
bool weak;		/* the cell has the tag of a free that found the span shared, or stood */
bool free, remote;
bool window;		/* the slot is in that of the CPU that caches the span */
bool deferred[2], dirty[2];
bool gen;		/* the set that is being filled */
bool closed;		/* the other one waits for its grace period or for the sweep */
byte where;
bool place;		/* of its slot: the address */
bool life;		/* of the descriptor */

/*
 * The entries with this cell, the oldest one first: the address, and whether the free has come in
 * another life than that in which it found the span.
 */
chan magazine[2] = [ROOM] of { bool, bool };

/* The depot has one place, and its batch one entry. */
byte giver;		/* the batch has the tag of that CPU ("me"); 0: there is none */
bool given_at, given_since;
byte away;		/* whose tag an entry has that is in the batch, or being taken from it, as bits */

byte sections;		/* who has preemption off, as bits */
byte waiting;		/* whom the grace period waits for */

/* What really is. */
bool client;		/* has the object */
bool twice;		/* both CPUs free the first object */
bool reported;
bool late;		/* the report may be missed */
bool over;		/* the promise does not reach as far as here */
bool again;		/* a client has deferred the object */
byte lost;		/* whose entries a plain store has taken a cell from, as bits */
byte ops, ended;

#define me		(c + 1)
#define other		(2 - c)
#define expired		(closed && !waiting)
#define strange		(at != place || where == GONE)
#define stood		(since != life || where == GONE)

/* With the look at the cell: what comes between that and the store is too late. */
inline hand_out()
{
	assert(!client);
	client = true
}

/* The cell of an object that the caller has seen live. */
inline leave_live(value)
{
	if
	:: client -> over = true
	:: else
	fi;
	cell = value
}

inline look_at(bits)
{
	if
	:: bits -> reported = true
	:: else
	fi
}

inline set_remote()
{
	atomic {
		if
		:: where == GONE -> late = true
		:: else
		fi;
#ifndef BROKEN_BITS
		look_at(remote);
#endif
		remote = true
	}
}

/* kmh_mcache_give(): nobody but the CPU itself makes the span its own, or gives it up. */
inline give()
{
	if
	:: atomic { where == c ->
#ifndef BROKEN_BITS
			look_at(free);
#endif
			free = true
		}
	:: where != c -> set_remote()
	fi
}

/* ---- frees */

/* Against everybody else who might do so: one step. */
inline claim(value)
{
	if
	:: cell != LIVE -> reported = true
	:: else -> leave_live(value); won = true
	fi
}

/* Can there be two entries of the object with this CPU's tag, one of them not in its magazine? */
inline two_entries()
{
#ifndef BROKEN_GIVEN
	over = over || (lost & away & me)
#else
	skip
#endif
}

/* The store of the freer, who has seen the cell live. */
inline free_plainly()
{
	atomic {
		if
		:: cell >= 3 && !stood ->
			assert(weak);
			lost = lost | other
		:: else
		fi;
		leave_live(TAG);
		weak = stood;
		magazine[c]!at, stood;
		two_entries()
	}
}

/* Has it "found" the span shared? */
inline free_exactly(found)
{
	atomic {
		claim(TAG);
		if
		:: won -> weak = found || stood; magazine[c]!at, stood; two_entries()
		:: else
		fi
	}
}

/* Past the magazine: also where that has no room. */
inline free_run()
{
	atomic { claim(OUT) };
	if
	:: won -> give()
	:: else
	fi
}

/* kmh_mcslot_put(), kmh_mcache_may_keep() and kmh_mcache_free_slow() */
inline free_to_magazine()
{
	if
	:: cell != LIVE -> reported = true
	:: else ->
		if
#ifndef BROKEN_FREER
		:: freer == TAG -> free_plainly()
		:: freer == SHARED -> free_exactly(true)
		:: freer == NONE ->
			atomic {
				won = freer == NONE;
				if
				:: won -> freer = TAG
#ifndef BROKEN_FIRST
				:: else -> freer = SHARED
#else
				:: else
#endif
				fi
			};
			if
#ifndef BROKEN_FIRST
			:: !won -> free_run()
			:: won -> won = false; free_exactly(false)
#else
			:: true -> won = false; free_exactly(false)
#endif
			fi
		:: else ->
			freer = SHARED;
#ifndef BROKEN_SHARING
			free_run()
#else
			free_exactly(false)
#endif
#else
		:: true -> free_plainly()
#endif
		fi
	fi
}

/* Another object of the span, of whose slot nothing is said here. */
inline free_another()
{
	if
	:: freer == NONE -> freer = TAG
	:: freer != NONE && freer != TAG -> freer = SHARED
	fi
}

inline free_remote()
{
	atomic { claim(OUT) };
	if
	:: won -> set_remote()
	:: else
	fi
}

inline set_deferred()
{
	if
	:: where == GONE ->
		late = true
	:: else
	fi;
	deferred[set] = true
}

inline free_rcu()
{
	atomic { claim(WAITS); again = again || (won && second) };
	if
	:: won ->
		set = gen;
		atomic { won = !deferred[set]; set_deferred() };
#ifndef BROKEN_SETS
		look_at(!won);
		if
		:: won && deferred[1 - set] -> reported = true; won = false
		:: else
		fi;
#endif
#ifdef BROKEN_FLAG
		if
		:: !won -> atomic { set = gen; set_deferred() }
		:: else
		fi;
#endif
		dirty[set] = true;
		if
		:: set != gen ->
			atomic { set = gen; set_deferred() };
			dirty[set] = true
		:: else
		fi
	:: else
	fi
}

/* "at" is the address, and "since" the life in which the CPU has found it. */
inline free_object()
{
	if
	:: nfull(magazine[c]) -> free_to_magazine()
	:: true -> free_remote()
	:: true -> free_run()
	:: true -> free_rcu()
	fi;
	d_step {
		sections = sections & ~me;
		waiting = waiting & ~me;
		at = 0;
		since = 0;
		set = 0;
		won = false
	}
}

/* ---- out of a magazine, and out of the window */

/* The entry of "who" is taken for one of the span, as its cell has the right tag. */
inline mistake(who)
{
#ifndef BROKEN_STOOD
	if
	:: since -> over = true
	:: else
	fi;
#endif
#ifndef BROKEN_PASSED
	if
	:: lost & who -> over = true
	:: else
	fi;
#endif
	assert(over)
}

inline pop()
{
	atomic {
		magazine[c]?at, since;
		if
#ifndef BROKEN_POP
		:: cell != TAG -> reported = true
#endif
		:: else ->
			if
			:: strange -> mistake(me)
			:: else -> hand_out(); won = true
			fi
		fi
	};
	if
	:: won -> atomic { cell = LIVE; weak = false }
	:: else
	fi
}

/* One entry, or all of them in one go. */
inline evict()
{
	atomic {
		magazine[c]?at, since;
		do
		:: nempty(magazine[c]) -> magazine[c]?_, _; reported = true
		:: break
		od
	};
#ifdef BROKEN_FLUSH
	won = cell == TAG;
	atomic {
#else
	atomic {
		won = cell == TAG;
#endif
		if
		:: won -> cell = OUT; weak = false
		:: else -> reported = true
		fi;
		if
		:: won && where == GONE -> late = true; won = false
		:: won && where != GONE && strange -> mistake(me); won = false
		:: else
		fi
	};
	if
	:: won -> give()
	:: else
	fi
}

/* kmh_depot_give(): the oldest entry goes as it is. */
inline give_batch()
{
	atomic {
		if
		:: !giver ->
			magazine[c]?given_at, given_since;
			giver = me;
			away = away | me;
			two_entries()
		:: giver
		fi
	}
}

/* kmh_depot_fetch(), and the look whether the entry leads to its cell: kmh_entry_leads() */
inline fetch_batch()
{
	d_step {
		if
		:: giver -> at = given_at; since = given_since; who = giver; giver = 0
		:: else
		fi
	};
	if
	:: atomic { who && strange ->
			reported = true;
			if
			:: cell == TAG_OF(who) && where != GONE -> mistake(who)
			:: else
			fi;
			away = away & ~who;
			who = 0
		}
	:: else
	fi
}

/* Its cell, which has the tag of the giver, gets that of the taker: kmh_batch_retag(). */
inline adopt_batch()
{
	fetch_batch();
#ifdef BROKEN_ADOPT
	won = who && cell == TAG_OF(who);
	atomic {
#else
	atomic {
		won = who && cell == TAG_OF(who);
#endif
		if
		:: !who
		:: who && !won -> reported = true
		:: won && strange -> mistake(who)
		:: won && !strange -> cell = TAG; magazine[c]!at, since
		fi;
		away = away & ~who;
		who = 0
	}
}

/* Or it becomes the span's: kmh_batch_scatter(). The span is never the CPU's own to that. */
inline scatter_batch()
{
	fetch_batch();
	atomic {
		won = who && cell == TAG_OF(who);
		if
		:: !who
		:: who && !won -> reported = true
		:: won && strange -> mistake(who); won = false
		:: won && !strange -> cell = OUT; weak = false
		fi;
		away = away & ~who;
		who = 0
	};
	if
	:: won -> set_remote()
	:: else
	fi
}

inline take()
{
	atomic {
		if
#ifndef BROKEN_TAKE
		:: cell != OUT -> reported = true; window = false
#endif
		:: else -> hand_out(); won = true
		fi
	};
	if
	:: won -> atomic { cell = LIVE; window = false }
	:: else
	fi
}

/* ---- what the span's sweeper does */

inline reload()
{
	atomic {
		if
		:: free && !remote -> free = false; window = true
		:: else
		fi
	}
}

inline fold()
{
	atomic {
		if
		:: remote ->
			remote = false;
#ifndef BROKEN_FOLD
			look_at(free);
#endif
			free = true
		:: else
		fi
	}
}

/* The closed set has expired. */
inline sweep()
{
	atomic {
		if
		:: expired -> closed = false; set = !gen; won = dirty[set]; dirty[set] = false
		:: else
		fi
	};
	if
	:: won -> atomic { won = deferred[set]; deferred[set] = false }
	:: else
	fi;
	if
	:: won ->
		won = cell == WAITS;
		if
		:: deferred[0] || deferred[1] ->
#ifndef BROKEN_AGAIN
			late = late || again;
#endif
			won = false
		:: else ->
			atomic {
				won = won && cell == WAITS;
				if
				:: won -> cell = OUT
				:: else -> reported = true
				fi
			}
		fi;
		if
		:: won -> set_remote()
		:: else
		fi
	:: else
	fi
}

/* An empty span. From the look on it is gone. */
inline go()
{
	if
	:: (dirty[0] || dirty[1]) && (deferred[0] || deferred[1]) -> where = LISTED
	:: else ->
		atomic {
			if
#ifndef BROKEN_RETIRE
			:: cell != OUT -> reported = true; free = false; where = LISTED
#endif
			:: else ->
				late = late || remote || deferred[0] || deferred[1];
				where = GONE
			fi
		}
	fi
}

inline put()
{
	if
	:: free && !remote -> go()
	:: where = LISTED
	fi
}

inline give_window_back()
{
	if
	:: window ->
#ifndef BROKEN_BACK
		look_at(free);
#endif
		free = true;
		window = false
	:: else
	fi
}

inline uncache()
{
	atomic { give_window_back(); where = HELD };
	fold();
	put()
}

/* The descriptor is made that of another span. */
inline grow()
{
	atomic {
		if
		:: place = 0
		:: place = 1
		fi;
		free = true;
		remote = false
	};
#ifndef BROKEN_DIRTY
	d_step { dirty[0] = false; dirty[1] = false };
	d_step { deferred[0] = false; deferred[1] = false };
#else
	d_step { deferred[0] = false; deferred[1] = false };
	d_step { dirty[0] = false; dirty[1] = false };
#endif
	d_step { cell = OUT; freer = NONE; where = c }
}

/* ---- who does it */

proctype cpu(bool c)
{
	bool at, since, set, won;
	bool second;	/* it is not the first object that is freed */
	byte who;

	if
	:: atomic { freer != TAG && freer != SHARED -> free_another() }
	:: true
	fi;
	if
	:: c == 0 || twice -> sections = sections | me; free_object()
	:: else
	fi;
	second = true;
	do
	:: ops == OPS || over -> break
	:: ops < OPS && !over ->
		if
		:: atomic { ops < OPS && client && cell == LIVE ->
				ops++;
				client = false;
				at = place;
				since = life;
				sections = sections | me
			};
			free_object()
		:: atomic { ops < OPS && where != GONE && freer != TAG && freer != SHARED ->
				ops++;
				free_another()
			}
		:: atomic { ops < OPS && nempty(magazine[c]) -> ops++ };
			if
			:: true -> pop()
			:: true -> evict()
			:: true -> give_batch()
			fi
		:: atomic { ops < OPS && giver && nfull(magazine[c]) -> ops++ };
			if
			:: true -> adopt_batch()
			:: true -> scatter_batch()
			fi
		:: atomic { ops < OPS && where == c -> ops++ };
			if
			:: window -> take()
			:: !window -> reload()
			:: true -> fold()
			:: expired -> sweep()
			:: true -> uncache()
			fi
		:: atomic { ops < OPS && where == LISTED -> ops++; where = HELD };
			if
			:: expired -> sweep()
			:: true
			fi;
			fold();
			if
			:: true -> put()
			:: atomic { free && !remote -> where = c };
				reload()
			fi
		:: atomic { ops < OPS && where == GONE && !life -> ops++; life = true };
			grow()
		:: break
		fi;
		d_step {
			at = 0;
			since = 0;
			set = 0;
			won = false;
			if
			:: empty(magazine[c]) && !(away & me) -> lost = lost & ~me
			:: nempty(magazine[c]) || away & me
			fi
		}
	od;
	ended++
}

init {
	bool c, at, since, set, won;
	byte who;

	atomic {
		if
		:: where = 0
		:: where = LISTED
		fi;
		if
		:: twice = true
		:: twice = false
		fi;
		run cpu(0);
		run cpu(1)
	};
	do
	/* kmh_defer_close(); other spans may be dirty when this one is not. */
	:: atomic { !closed && (dirty[gen] || deferred[gen]) ->
			closed = true;
			gen = !gen;
			waiting = sections
		}
	:: atomic { expired && !dirty[1 - gen] -> closed = false }
	:: ended == 2 -> break
	od;
	/* Put all down. */
	atomic {
		do
		:: nempty(magazine[0]) -> c = 0; evict()
		:: nempty(magazine[1]) -> c = 1; evict()
		:: giver -> scatter_batch()
		:: closed -> sweep()
		:: !closed && dirty[gen] -> closed = true; gen = !gen
		:: empty(magazine[0]) && empty(magazine[1]) && !giver && !closed && !dirty[gen] -> break
		od;
		give_window_back();
		fold();
		if
		:: free && cell != OUT -> reported = true; free = false
		:: else
		fi
	};
	assert(over || client + (free || where == GONE) == 1);
	assert(over || where == GONE || cell == (client -> LIVE : OUT));
	assert(over || late || reported == twice)
}
