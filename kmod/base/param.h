/* SPDX-License-Identifier: GPL-2.0 */
/* Private: names, and module parameters that are sizes; see param.c. */
#ifndef _KMHEAP_PARAM_H
#define _KMHEAP_PARAM_H

#include <linux/types.h>

struct kernel_param;
struct kernel_param_ops;

extern const struct kernel_param_ops kmh_bytes_param_ops;
extern const struct kernel_param_ops kmh_kib_param_ops;

#define KMH_NAME_MAX	63

bool kmh_name_ok(const char *name);
int kmh_bytes_get(char *text, const struct kernel_param *kp);
int kmh_bytes_parse(const char *text, size_t *bytes);
int kmh_kib_parse(const char *text, unsigned int most, unsigned int *kib);

#endif /* _KMHEAP_PARAM_H */
