/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How the client modules of this folder talk with their test: a command is written to
 * /sys/module/<client>/parameters/run, and its answer, "name value" lines, is read from
 * there. A write fails with what the command returned.
 */
#ifndef _KMHEAP_SELFTESTS_CLIENT_H
#define _KMHEAP_SELFTESTS_CLIENT_H

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

struct client_command {
	const char *name;
	int (*run)(char *args);
};

/* Set by the module's init; ends with an empty entry. */
static const struct client_command *client_commands;

/* The answer to the last command. The kernel's lock for parameters guards it. */
static char client_answer[2048];
static size_t client_answer_len;

static __printf(1, 2) __maybe_unused void client_say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	client_answer_len += vscnprintf(client_answer + client_answer_len,
					sizeof(client_answer) - client_answer_len, fmt, args);
	va_end(args);
}

static int client_param_set(const char *val, const struct kernel_param *kp)
{
	const struct client_command *cmd = client_commands;
	char line[128];
	char *args = line;
	const char *name;

	if (strscpy(line, val, sizeof(line)) < 0)
		return -E2BIG;
	strim(line);
	name = strsep(&args, " ");
	for (; cmd && cmd->name; cmd++) {
		if (strcmp(name, cmd->name))
			continue;
		client_answer_len = 0;
		client_answer[0] = '\0';
		return cmd->run(args ? args : line + strlen(line));
	}
	return -EOPNOTSUPP;
}

static int client_param_get(char *buffer, const struct kernel_param *kp)
{
	return strscpy(buffer, client_answer, PAGE_SIZE);
}

static const struct kernel_param_ops client_param_ops = {
	.set = client_param_set,
	.get = client_param_get,
};
module_param_cb(run, &client_param_ops, NULL, 0600);

#endif /* _KMHEAP_SELFTESTS_CLIENT_H */
