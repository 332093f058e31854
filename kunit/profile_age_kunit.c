// SPDX-License-Identifier: GPL-2.0
/* KUnit: how old the live objects of a profile are. */
#include <linux/delay.h>
#include <linux/timekeeping.h>

#include "insight/record.h"
#include "profile_kunit.h"

/* What is left knows since when: the oldest and the youngest of a site, whatever the class. */
static void ages_are_of_the_oldest_and_the_youngest(struct kunit *test)
{
	u64 begin = ktime_get_mono_fast_ns(), middle;
	struct kmh_profile_row row;
	void *old, *dead, *young;
	u64 youngest, oldest;

	kmh_kunit_profile(test, 1);
	dead = kmh_kunit_alloc_at(test, 5, 64);
	msleep(30);
	old = kmh_kunit_alloc_at(test, 5, 64);
	msleep(50);
	middle = ktime_get_mono_fast_ns();
	young = kmh_kunit_alloc_at(test, 5, 64);
	kmheap_free(dead);
	row = kmh_kunit_row_of(test, 5, 64, KMH_PROFILE_LEFT);
	youngest = kmh_record_ms(row.youngest);
	oldest = kmh_record_ms(row.oldest);
	KUNIT_EXPECT_EQ(test, row.naged, 2UL);
	/* A unit of a record is 4 ms. */
	KUNIT_EXPECT_GE(test, oldest, youngest + 50 - 5);
	KUNIT_EXPECT_LE(test, youngest, (ktime_get_mono_fast_ns() - middle) / NSEC_PER_MSEC + 5);
	KUNIT_EXPECT_LE(test, oldest, (ktime_get_mono_fast_ns() - begin) / NSEC_PER_MSEC - 30 + 5);
	kmheap_free(old);
	kmheap_free(young);
	KUNIT_EXPECT_EQ(test, kmh_kunit_row_of(test, 5, 64, KMH_PROFILE_LEFT).naged, 0UL);
}

/* A clock that is ahead gives an age of 0, and an object of half a year its own. */
static void ages_do_not_wrap(struct kunit *test)
{
	struct kmh_record r = { .born = 1000 };

	KUNIT_EXPECT_EQ(test, kmh_record_age(&r, 1000), 0U);
	KUNIT_EXPECT_EQ(test, kmh_record_age(&r, 1001), 1U);
	KUNIT_EXPECT_EQ(test, kmh_record_age(&r, 999), 0U);
	KUNIT_EXPECT_EQ(test, kmh_record_age(&r, 900), 0U);
	KUNIT_EXPECT_EQ(test, kmh_record_age(&r, 1000U + (3U << 30)), 3U << 30);
	KUNIT_EXPECT_EQ(test, kmh_record_ms(3U << 30), (u64)(3U << 30) * 4194304 / 1000000);
}

/* A bucket ends where the next one begins, each at four times the life of the one before. */
static void lives_have_their_buckets(struct kunit *test)
{
	unsigned int i;
	u32 least = 1;

	KUNIT_EXPECT_EQ(test, kmh_record_life(0), 0U);
	for (i = 1; i < KMH_SITE_LIVES; i++, least *= 4) {
		KUNIT_EXPECT_EQ_MSG(test, kmh_record_life(least), i, "%u units", least);
		KUNIT_EXPECT_EQ_MSG(test, kmh_record_life(least - 1), i - 1, "%u units", least - 1);
		if (i < KMH_SITE_LIVES - 1)
			KUNIT_EXPECT_EQ(test, kmh_record_life(least * 4 - 1), i);
	}
	KUNIT_EXPECT_EQ(test, kmh_record_life(least), KMH_SITE_LIVES - 1U);
	KUNIT_EXPECT_EQ(test, kmh_record_life(U32_MAX), KMH_SITE_LIVES - 1U);
	/* The names of the columns: "under_4ms", and "under_73min" of the last but one. */
	KUNIT_EXPECT_EQ(test, kmh_record_ms(1), 4ULL);
	KUNIT_EXPECT_EQ(test, kmh_record_ms(1U << 20) / 60000, 73ULL);
}

static struct kunit_case profile_age_cases[] = {
	KUNIT_CASE(lives_have_their_buckets),
	KUNIT_CASE(ages_are_of_the_oldest_and_the_youngest),
	KUNIT_CASE(ages_do_not_wrap),
	{}
};

static struct kunit_suite profile_age_suite = {
	.name = "kmheap_profile_age",
	.init = kmh_kunit_profile_init,
	.exit = kmh_kunit_profile_exit,
	.test_cases = profile_age_cases,
};

kunit_test_suite(profile_age_suite);
