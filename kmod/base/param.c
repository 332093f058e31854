// SPDX-License-Identifier: GPL-2.0
/*
 * Names, and what module parameters have in common. A value that a parameter cannot have is always
 * refused with -EINVAL, and the log says what it may be. K, M, G or T may follow wherever a size is
 * written.
 */
#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/module.h>
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

int kmh_bytes_get(char *text, const struct kernel_param *kp)
{
	return sprintf(text, "%zu\n", READ_ONCE(*(size_t *)kp->arg));
}

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

/* ---- parameters */

/* Say in the log what a parameter must be, which @text is not. Return: -EINVAL. */
int kmh_param_refuse(const struct kernel_param *kp, const char *text, const char *must, ...)
{
	struct va_format vaf = { .fmt = must };
	va_list args;

	va_start(args, must);
	vaf.va = &args;
	pr_err("%s: %s=%*pE: must be %pV\n", THIS_MODULE->name, kp->name,
	       (int)strcspn(text, "\n"), text, &vaf);
	va_end(args);
	return -EINVAL;
}

static int kmh_number_parse(const char *text, const struct kmh_param_number *number, size_t *value)
{
	unsigned int kib;
	u64 plain;

	switch (number->unit) {
	case KMH_PARAM_BYTES:
		return kmh_bytes_parse(text, value);
	case KMH_PARAM_KIB:
		if (kmh_kib_parse(text, UINT_MAX, &kib))
			return -EINVAL;
		*value = kib;
		return 0;
	default:
		if (kstrtoull(text, 0, &plain) || plain > SIZE_MAX)
			return -EINVAL;
		*value = plain;
		return 0;
	}
}

static bool kmh_number_fits(const struct kmh_param_number *number, size_t value)
{
	if (!value && number->or_none)
		return true;
	return value >= number->least && value <= number->most &&
	       (!number->power_of_2 || is_power_of_2(value));
}

int kmh_number_set(const char *text, const struct kernel_param *kp)
{
	const struct kmh_param_number *number = kp->arg;
	const char *none = number->or_none ? "0 (none) or " : "";
	const char *power = number->power_of_2 ? "a power of two " : "";
	const char *unit = number->unit == KMH_PARAM_KIB ? " KiB" : "";
	size_t value;

	if (kmh_number_parse(text, number, &value) || !kmh_number_fits(number, value)) {
		if (number->most == SIZE_MAX)
			return kmh_param_refuse(kp, text, "%s%sat least %zu%s", none, power,
						number->least, unit);
		return kmh_param_refuse(kp, text, "%s%sfrom %zu to %zu%s", none, power,
					number->least, number->most, unit);
	}
	if (number->narrow)
		WRITE_ONCE(*(unsigned int *)number->value, value);
	else
		WRITE_ONCE(*(size_t *)number->value, value);
	return 0;
}

int kmh_number_get(char *text, const struct kernel_param *kp)
{
	const struct kmh_param_number *number = kp->arg;

	return sprintf(text, "%zu\n", number->narrow ?
				      READ_ONCE(*(unsigned int *)number->value) :
				      READ_ONCE(*(size_t *)number->value));
}

const struct kernel_param_ops kmh_number_param_ops = {
	.set = kmh_number_set,
	.get = kmh_number_get,
};

static int kmh_bool_set(const char *text, const struct kernel_param *kp)
{
	return param_set_bool(text, kp) ? kmh_param_refuse(kp, text, "Y or N") : 0;
}

/* A bool, which may be written without a value, as any bool. */
const struct kernel_param_ops kmh_bool_param_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = kmh_bool_set,
	.get = param_get_bool,
};
