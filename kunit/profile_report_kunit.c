// SPDX-License-Identifier: GPL-2.0
/* KUnit: what samples stand for. */
#include "insight/rows.h"
#include "profile_kunit.h"

/* 65536 / (1 - exp(-bytes / period)), as python3's math.expm1() has it. */
static void samples_weigh_what_they_should(struct kunit *test)
{
	static const struct {
		u64 bytes, period, weight;
	} of[] = {
		{ 8, 65536, 536903681ULL },
		{ 64, 4096, 4227157ULL },
		{ 64, 2097152, 2147516416ULL },
		{ 1024, 65536, 4227157ULL },
		{ 4096, 4096, 103676ULL },
		{ 4097, 4096, 103662ULL },
		{ 8192, 4096, 75794ULL },
		{ 57344, 65536, 112385ULL },
		{ 65536, 4096, 65536ULL },
		{ 1048576, 65536, 65536ULL },
		{ 1048576, 524288, 75794ULL },
		{ 131071, 4096, 65536ULL },
		{ 8, 1099511627776, 9007199254773760ULL },
		{ 64, 1, 65536ULL },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(of); i++)
		KUNIT_EXPECT_LE_MSG(test,
				    abs_diff(kmh_sample_weight(of[i].bytes, of[i].period),
					     of[i].weight),
				    1 + of[i].weight / 1000, "%llu bytes, a period of %llu",
				    of[i].bytes, of[i].period);
}

/*
 * The live objects of two sites of small ones and one of large ones, as their samples have it, are
 * those that there are: within six sigma.
 */
static void samples_stand_for_what_lives(struct kunit *test)
{
	static const struct {
		size_t bytes;
		unsigned int n, slack;	/* six times sqrt(n (1 - p) / p) */
	} of[] = { { 64, 4000, 3024 }, { 1024, 2000, 504 }, { 65536, 40, 30 } };
	struct kmh_profile_row row;
	static void *p[4000];
	u64 objects, bytes;
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(of); i++) {
		kmh_kunit_profile(test, i == 2 ? 65536 : 4096);
		for (k = 0; k < of[i].n; k++)
			p[k] = kmh_kunit_alloc_at(test, 3, of[i].bytes);
		row = kmh_kunit_row_of(test, 3, of[i].bytes, KMH_PROFILE_LEFT);
		kmh_row_estimate(&row, i == 2 ? 65536 : 4096, &objects, &bytes);
		KUNIT_EXPECT_LE_MSG(test, abs_diff(objects, (u64)of[i].n), (u64)of[i].slack,
				    "%zu bytes: %llu of %u", of[i].bytes, objects, of[i].n);
		KUNIT_EXPECT_LE(test, abs_diff(bytes, objects * of[i].bytes), 2 * of[i].bytes);
		kmheap_free_bulk(of[i].n, p);
	}
	kmh_kunit_profile(test, 0);
}

static struct kunit_case profile_report_cases[] = {
	KUNIT_CASE(samples_weigh_what_they_should),
	KUNIT_CASE(samples_stand_for_what_lives),
	{}
};

static struct kunit_suite profile_report_suite = {
	.name = "kmheap_profile_report",
	.init = kmh_kunit_profile_init,
	.exit = kmh_kunit_profile_exit,
	.test_cases = profile_report_cases,
};

kunit_test_suite(profile_report_suite);
