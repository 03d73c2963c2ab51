/* SPDX-License-Identifier: Apache-2.0 */
#include "base/key_file.h"

#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "base/text.h"

enum {
	CHECK_PERIOD_US = 1000000,
	/* A file that changed this recently may change again within one tick of its time stamps. */
	SETTLED_AFTER_S = 2,
};

void key_file_init(struct key_file *key, const char *path)
{
	*key = (struct key_file){.path = path};
}

void key_file_release(struct key_file *key)
{
	explicit_bzero(key->value, sizeof(key->value));
	key->len = 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool unchanged(const struct key_file *key, const struct stat *now)
{
	const struct stat *seen = &key->seen;

	return key->settled && seen->st_dev == now->st_dev && seen->st_ino == now->st_ino &&
	       seen->st_size == now->st_size && same_time(seen->st_mtim, now->st_mtim) &&
	       same_time(seen->st_ctim, now->st_ctim);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

const char *key_file_problem(const char *text, size_t *len)
{
	if (*len > KEY_FILE_MAX_BYTES)
		return "it is longer than 4096 bytes";
	while (*len > 0 && is_blank(text[*len - 1]))
		(*len)--;
	if (*len == 0)
		return "it is empty";
	for (size_t i = 0; i < *len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return "it has more than one line, or other than ASCII characters";
	return NULL;
}

static void report(struct key_file *key, const char *problem)
{
	if (problem)
		log_limited(LOG_ERROR, "api_key_unreadable",
			    key->len > 0
				    ? "The key file cannot be used now; the last good key stays."
				    : "The key file cannot be used; beacons go without a key.",
			    LOG_STR("file", key->path), LOG_STR("reason", problem));
	else if (key->failing)
		log_event(LOG_INFO, "api_key_readable", "The key file can be used again.",
			  LOG_STR("file", key->path));
	key->failing = problem != NULL;
}

static bool reread(struct key_file *key)
{
	char text[KEY_FILE_MAX_BYTES + 1];
	bool changed = false;
	struct stat seen = {0};
	/* One byte more than is allowed shows a key that is too long. */
	long n = read_small_file(key->path, text, sizeof(text), &seen);
	size_t len = n > 0 ? (size_t)n : 0;
	const char *problem = NULL;

	if (n >= 0)
		problem = key_file_problem(text, &len);
	else
		problem = errno == EINVAL ? "it is not a regular file" : strerror(errno);
	report(key, problem);
	key->seen = seen;
	key->settled = !problem && seen.st_ctim.tv_sec + SETTLED_AFTER_S < time(NULL);
	if (!problem && !view_equals((struct view){text, len}, key_file_value(key))) {
		key_file_release(key);
		memcpy(key->value, text, len);
		key->len = len;
		changed = true;
	}
	explicit_bzero(text, sizeof(text));
	return changed;
}

bool key_file_refresh(struct key_file *key, int64_t now_us)
{
	struct stat now;

	if (now_us < key->next_check_us)
		return false;
	key->next_check_us = now_us + CHECK_PERIOD_US;
	/* stat(2) follows links, so a link that was swapped leads to another inode. */
	if (key->settled && stat(key->path, &now) == 0 && unchanged(key, &now))
		return false;
	return reread(key);
}
