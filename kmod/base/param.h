/* SPDX-License-Identifier: GPL-2.0 */
/* Private: names, and what module parameters have in common; see param.c. */
#ifndef _KMHEAP_PARAM_H
#define _KMHEAP_PARAM_H

#include <linux/types.h>

struct kernel_param;
struct kernel_param_ops;

enum kmh_param_unit {
	KMH_PARAM_PLAIN,	/* a number */
	KMH_PARAM_BYTES,	/* as for kmh_bytes_parse() */
	KMH_PARAM_KIB,		/* as for kmh_kib_parse() */
};

/* A parameter that is a number, and what it may be; for module_param_cb() the argument. */
struct kmh_param_number {
	void *value;		/* a size_t or, @narrow, an unsigned int */
	bool narrow;
	bool or_none;		/* 0 as well */
	bool power_of_2;
	enum kmh_param_unit unit;
	size_t least, most;
};

extern const struct kernel_param_ops kmh_number_param_ops;
extern const struct kernel_param_ops kmh_bool_param_ops;

#define KMH_NAME_MAX	63

bool kmh_name_ok(const char *name);
__printf(3, 4) int kmh_param_refuse(const struct kernel_param *kp, const char *text,
				    const char *must, ...);
int kmh_number_set(const char *text, const struct kernel_param *kp);
int kmh_number_get(char *text, const struct kernel_param *kp);
int kmh_bytes_get(char *text, const struct kernel_param *kp);
int kmh_bytes_parse(const char *text, size_t *bytes);
int kmh_kib_parse(const char *text, unsigned int most, unsigned int *kib);

#endif /* _KMHEAP_PARAM_H */
