/* SPDX-License-Identifier: GPL-2.0 */
/* Private: the phase of a class, one word that a single load reads as of one moment. */
#ifndef _KMHEAP_PHASE_H
#define _KMHEAP_PHASE_H

#include <linux/bits.h>
#include <linux/types.h>

/* What the spans of a generation are swept for, beside their remote frees. */
enum kmh_sweep_what {
	KMH_SWEEP_REMOTE,	/* nothing: the generation is closed */
	KMH_SWEEP_SET0,		/* the deferred frees of one set have expired */
	KMH_SWEEP_SET1,
	KMH_SWEEP_MARKS,	/* objects without a mark are garbage */
};

#define KMH_PHASE_MARKING	BIT(0)
#define KMH_PHASE_WHAT_SHIFT	1
#define KMH_PHASE_GEN_SHIFT	32

static inline unsigned long kmh_phase(unsigned int gen, enum kmh_sweep_what what, bool marking)
{
	return (unsigned long)gen << KMH_PHASE_GEN_SHIFT | what << KMH_PHASE_WHAT_SHIFT | marking;
}

static inline unsigned int kmh_phase_gen(unsigned long phase)
{
	return phase >> KMH_PHASE_GEN_SHIFT;
}

static inline enum kmh_sweep_what kmh_phase_what(unsigned long phase)
{
	return phase >> KMH_PHASE_WHAT_SHIFT & 3;
}

/* Which of the two sets holds swept spans. */
static inline unsigned int kmh_swept_set(unsigned long phase)
{
	return kmh_phase_gen(phase) >> 1 & 1;
}

#endif /* _KMHEAP_PHASE_H */
