# SPDX-License-Identifier: GPL-2.0
"""From samples to what they stand for.

Samples are a Poisson process over bytes: an object of s bytes is sampled with the probability
1 - exp(-s / period), and n samples have a relative error of 1 / sqrt(n). With a period of 1 every
object is sampled, and the counts are what they say.
"""
import math


def scale(count, total, period):
    """Objects and bytes that COUNT samples of TOTAL bytes stand for."""
    if period <= 1 or not count or not total:
        return count, total
    share = -math.expm1(-total / count / period)
    return count / share, total / share


def relative_error(count, period):
    """0 when COUNT is exact; 1, which is everything, when there is no sample."""
    if period <= 1:
        return 0.0
    return 1 / math.sqrt(count) if count else 1.0


class Estimate:
    """What samples of several sites stand for: live and ever allocated."""
    __slots__ = ("live_samples", "live_objects", "live_bytes", "alloc_samples", "alloc_objects",
                 "alloc_bytes")

    def __init__(self):
        self.live_samples = self.alloc_samples = 0
        self.live_objects = self.live_bytes = self.alloc_objects = self.alloc_bytes = 0

    def add(self, counts, period):
        """The counts of a profiletext.Site, whose objects have one size."""
        objects, total = scale(counts["live_objects"], counts["live_bytes"], period)
        self.live_samples += counts["live_objects"]
        self.live_objects += objects
        self.live_bytes += total
        objects, total = scale(counts["allocs"], counts["alloc_bytes"], period)
        self.alloc_samples += counts["allocs"]
        self.alloc_objects += objects
        self.alloc_bytes += total


def total(profile):
    found = Estimate()
    for site in profile.sites:
        found.add(site.counts, profile.period)
    return found


def by_stack(profile, name):
    """{stack: Estimate}: sites whose frames have the same names are one. NAME makes the text of a
    frame; a stack is a tuple of texts, the innermost first."""
    found = {}
    for site in profile.sites:
        stack = tuple(name(frame) for frame in site.frames)
        found.setdefault(stack, Estimate()).add(site.counts, profile.period)
    return found
