// SPDX-License-Identifier: GPL-2.0
/* Module parameters that are sizes: with K, M, G or T wherever a size is written. */
#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

#include "param.h"

static int kmh_bytes_set(const char *text, const struct kernel_param *kp)
{
	return kmh_limit_parse(text, kp->arg);
}

static int kmh_bytes_get(char *text, const struct kernel_param *kp)
{
	return sprintf(text, "%zu\n", *(size_t *)kp->arg);
}

/* A size_t, in bytes. */
const struct kernel_param_ops kmh_bytes_param_ops = {
	.set = kmh_bytes_set,
	.get = kmh_bytes_get,
};

/**
 * kmh_kib_parse() - a size in KiB as somebody has written it
 * @text: a number of KiB as for kstrtoull(), or one with K, M, G or T behind it, which then says
 *	all; perhaps with a newline.
 * @most: the largest that makes sense, in KiB.
 * @kib: where to put it.
 *
 * Return: 0 or -EINVAL, and then nothing is put.
 */
int kmh_kib_parse(const char *text, unsigned int most, unsigned int *kib)
{
	size_t n = strcspn(text, "\n"), value;

	if (kmh_limit_parse(text, &value))
		return -EINVAL;
	if (!isxdigit(text[n - 1]))
		value >>= 10;
	if (value > most)
		return -EINVAL;
	WRITE_ONCE(*kib, value);
	return 0;
}

static int kmh_kib_set(const char *text, const struct kernel_param *kp)
{
	return kmh_kib_parse(text, UINT_MAX, kp->arg);
}

/* An unsigned int, in KiB. */
const struct kernel_param_ops kmh_kib_param_ops = {
	.set = kmh_kib_set,
	.get = param_get_uint,
};
