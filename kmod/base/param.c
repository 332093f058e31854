// SPDX-License-Identifier: GPL-2.0
/* Names, and module parameters that are sizes: K, M, G or T may follow wherever one is written. */
#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

#include "base/param.h"

/* May @name be a file name, and a word in lines of text? */
bool kmh_name_ok(const char *name)
{
	size_t len = name ? strnlen(name, KMH_NAME_MAX + 1) : 0, i;

	for (i = 0; i < len; i++)
		if (!isascii(name[i]) || !isprint(name[i]) || name[i] == '/')
			return false;
	return len && len <= KMH_NAME_MAX && name[0] != '.';
}

/*
 * Read a size in bytes: a number as for kstrtoull(), perhaps with K, M, G or T, perhaps with a
 * newline. Return: 0, or -EINVAL with @bytes unchanged.
 */
int kmh_bytes_parse(const char *text, size_t *bytes)
{
	static const char suffixes[] = "kmgt";
	size_t n = strcspn(text, "\n");
	unsigned int shift = 0;
	const char *suffix;
	u64 value;
	char number[32];

	if (!n || n >= sizeof(number) || !isdigit(text[0]) || (text[n] && text[n + 1]))
		return -EINVAL;
	memcpy(number, text, n);
	number[n] = '\0';
	suffix = strchr(suffixes, tolower(number[n - 1]));
	if (suffix) {
		number[n - 1] = '\0';
		shift = 10 * (suffix - suffixes + 1);
	}
	if (kstrtoull(number, 0, &value) || value > SIZE_MAX >> shift)
		return -EINVAL;
	*bytes = value << shift;
	return 0;
}

static int kmh_bytes_set(const char *text, const struct kernel_param *kp)
{
	return kmh_bytes_parse(text, kp->arg);
}

int kmh_bytes_get(char *text, const struct kernel_param *kp)
{
	return sprintf(text, "%zu\n", READ_ONCE(*(size_t *)kp->arg));
}

/* A size_t, in bytes. */
const struct kernel_param_ops kmh_bytes_param_ops = {
	.set = kmh_bytes_set,
	.get = kmh_bytes_get,
};

/*
 * Read a size in KiB: a number of KiB as for kstrtoull(), or a number with K, M, G or T behind it,
 * which is a size in bytes; perhaps with a newline.
 * Return: 0, or -EINVAL, with @kib unchanged, where it is more than @most or no size.
 */
int kmh_kib_parse(const char *text, unsigned int most, unsigned int *kib)
{
	size_t n = strcspn(text, "\n"), value;

	if (kmh_bytes_parse(text, &value))
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
