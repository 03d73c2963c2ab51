/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key_file: an API key kept in a file, which is read again when the file has changed.
 *
 * Kubernetes and other stores of secrets replace such files while we run, mostly by swapping a
 * symbolic link. While a file is missing, empty or malformed, the last good key stays in use.
 * One thread owns a key_file.
 */
#ifndef FARO_BASE_KEY_FILE_H
#define FARO_BASE_KEY_FILE_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"

enum {
	KEY_FILE_MAX_BYTES = 4096
};

struct key_file {
	const char *path; /* not copied */
	char value[KEY_FILE_MAX_BYTES];
	size_t len; /* 0: there has been no good key yet */
	int64_t next_check_us;
	struct stat seen; /* of the file as it was last read */
	bool settled;     /* `seen` is enough to see a change */
	bool failing;
};

/* Reads nothing yet. */
void key_file_init(struct key_file *key, const char *path);
/* Wipes the key. */
void key_file_release(struct key_file *key);

/* Checks the file, at most once a second by `now_us` (loop_now_us()), and reads it if it has
 * changed. True: the key differs from the one before. */
bool key_file_refresh(struct key_file *key, int64_t now_us);

/* What is wrong with a key file's content, or NULL; the blanks and the line end that it ends with
 * are taken off *len. */
const char *key_file_problem(const char *text, size_t *len);

/* One line without its end, valid as a header's value; empty if there has been no good key yet. */
static inline struct view key_file_value(const struct key_file *key)
{
	return (struct view){key->value, key->len};
}

#endif
