/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Part of <linux/kmheap_dropin.h>; no source includes it.
 *
 * With -include, the kernel's headers come before the first line of a source. So a "#define
 * pr_fmt" in that line would come after the kernel's default for it, and the compiler would warn
 * of a macro that is redefined, in every such source. Here the default goes, and pr_err() and its
 * like take whatever pr_fmt() is when they are used, or else their format as it is.
 *
 * How do they know? A macro that is not defined stays what it was: "pr_fmt(...)". A prefix is
 * pasted to the first token of what they are given: u8 makes one name of an undefined pr_fmt, and
 * that is a macro here; and to a string it does nothing, as the characters of a u8 string are of
 * the same type and encoding (C11).
 */
#ifndef _LINUX_KMHEAP_DROPIN_PRINTK_H
#define _LINUX_KMHEAP_DROPIN_PRINTK_H

#include <linux/printk.h>

#undef pr_fmt
#define u8pr_fmt(fmt)			fmt
#define __kmheap_dropin_u8(...)		u8##__VA_ARGS__
#define kmheap_dropin_u8(...)		__kmheap_dropin_u8(__VA_ARGS__)
#ifdef __CHECKER__			/* sparse does not know such strings */
#define kmheap_dropin_fmt(fmt)		fmt
#else
#define kmheap_dropin_fmt(fmt)		kmheap_dropin_u8(pr_fmt(fmt))
#endif

#define __kmheap_dropin_pr(print, level, fmt, ...)	\
	print(KERN_##level kmheap_dropin_fmt(fmt), ##__VA_ARGS__)

#undef pr_emerg
#undef pr_alert
#undef pr_crit
#undef pr_err
#undef pr_warn
#undef pr_notice
#undef pr_info
#define pr_emerg(fmt, ...)	__kmheap_dropin_pr(printk, EMERG, fmt, ##__VA_ARGS__)
#define pr_alert(fmt, ...)	__kmheap_dropin_pr(printk, ALERT, fmt, ##__VA_ARGS__)
#define pr_crit(fmt, ...)	__kmheap_dropin_pr(printk, CRIT, fmt, ##__VA_ARGS__)
#define pr_err(fmt, ...)	__kmheap_dropin_pr(printk, ERR, fmt, ##__VA_ARGS__)
#define pr_warn(fmt, ...)	__kmheap_dropin_pr(printk, WARNING, fmt, ##__VA_ARGS__)
#define pr_notice(fmt, ...)	__kmheap_dropin_pr(printk, NOTICE, fmt, ##__VA_ARGS__)
#define pr_info(fmt, ...)	__kmheap_dropin_pr(printk, INFO, fmt, ##__VA_ARGS__)

#undef pr_emerg_once
#undef pr_alert_once
#undef pr_crit_once
#undef pr_err_once
#undef pr_warn_once
#undef pr_notice_once
#undef pr_info_once
#define pr_emerg_once(fmt, ...)		\
	__kmheap_dropin_pr(printk_once, EMERG, fmt, ##__VA_ARGS__)
#define pr_alert_once(fmt, ...)		\
	__kmheap_dropin_pr(printk_once, ALERT, fmt, ##__VA_ARGS__)
#define pr_crit_once(fmt, ...)		\
	__kmheap_dropin_pr(printk_once, CRIT, fmt, ##__VA_ARGS__)
#define pr_err_once(fmt, ...)		\
	__kmheap_dropin_pr(printk_once, ERR, fmt, ##__VA_ARGS__)
#define pr_warn_once(fmt, ...)		\
	__kmheap_dropin_pr(printk_once, WARNING, fmt, ##__VA_ARGS__)
#define pr_notice_once(fmt, ...)	\
	__kmheap_dropin_pr(printk_once, NOTICE, fmt, ##__VA_ARGS__)
#define pr_info_once(fmt, ...)		\
	__kmheap_dropin_pr(printk_once, INFO, fmt, ##__VA_ARGS__)

#undef pr_emerg_ratelimited
#undef pr_alert_ratelimited
#undef pr_crit_ratelimited
#undef pr_err_ratelimited
#undef pr_warn_ratelimited
#undef pr_notice_ratelimited
#undef pr_info_ratelimited
#define pr_emerg_ratelimited(fmt, ...)	\
	__kmheap_dropin_pr(printk_ratelimited, EMERG, fmt, ##__VA_ARGS__)
#define pr_alert_ratelimited(fmt, ...)	\
	__kmheap_dropin_pr(printk_ratelimited, ALERT, fmt, ##__VA_ARGS__)
#define pr_crit_ratelimited(fmt, ...)	\
	__kmheap_dropin_pr(printk_ratelimited, CRIT, fmt, ##__VA_ARGS__)
#define pr_err_ratelimited(fmt, ...)	\
	__kmheap_dropin_pr(printk_ratelimited, ERR, fmt, ##__VA_ARGS__)
#define pr_warn_ratelimited(fmt, ...)	\
	__kmheap_dropin_pr(printk_ratelimited, WARNING, fmt, ##__VA_ARGS__)
#define pr_notice_ratelimited(fmt, ...)	\
	__kmheap_dropin_pr(printk_ratelimited, NOTICE, fmt, ##__VA_ARGS__)
#define pr_info_ratelimited(fmt, ...)	\
	__kmheap_dropin_pr(printk_ratelimited, INFO, fmt, ##__VA_ARGS__)

/*
 * Debug messages are the dynamic kind where the kernel has that. Elsewhere, and for the forms that
 * are not dynamic here (_once, _ratelimited), DEBUG decides; this early, only a DEBUG of the
 * command line is known.
 */
#undef pr_devel
#undef pr_devel_once
#undef pr_devel_ratelimited
#undef pr_debug
#undef pr_debug_once
#undef pr_debug_ratelimited
#ifdef DEBUG
#define pr_devel(fmt, ...)	__kmheap_dropin_pr(printk, DEBUG, fmt, ##__VA_ARGS__)
#define pr_devel_once(fmt, ...)		\
	__kmheap_dropin_pr(printk_once, DEBUG, fmt, ##__VA_ARGS__)
#define pr_devel_ratelimited(fmt, ...)	\
	__kmheap_dropin_pr(printk_ratelimited, DEBUG, fmt, ##__VA_ARGS__)
#else
#define pr_devel(fmt, ...)	__kmheap_dropin_pr(no_printk, DEBUG, fmt, ##__VA_ARGS__)
#define pr_devel_once(fmt, ...)		pr_devel(fmt, ##__VA_ARGS__)
#define pr_devel_ratelimited(fmt, ...)	pr_devel(fmt, ##__VA_ARGS__)
#endif

#if defined(CONFIG_DYNAMIC_DEBUG) || \
	(defined(CONFIG_DYNAMIC_DEBUG_CORE) && defined(DYNAMIC_DEBUG_MODULE))
#undef dynamic_pr_debug
#define __kmheap_dropin_dynamic(fmt, ...)	\
	_dynamic_func_call(fmt, __dynamic_pr_debug, __VA_ARGS__)
#define dynamic_pr_debug(fmt, ...)	\
	__kmheap_dropin_dynamic(fmt, kmheap_dropin_fmt(fmt), ##__VA_ARGS__)
#define pr_debug(fmt, ...)	dynamic_pr_debug(fmt, ##__VA_ARGS__)
#else
#define pr_debug(fmt, ...)	pr_devel(fmt, ##__VA_ARGS__)
#endif
#define pr_debug_once(fmt, ...)		pr_devel_once(fmt, ##__VA_ARGS__)
#define pr_debug_ratelimited(fmt, ...)	pr_devel_ratelimited(fmt, ##__VA_ARGS__)

#endif /* _LINUX_KMHEAP_DROPIN_PRINTK_H */
