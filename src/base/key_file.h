/*
 * secret: a key kept in a file, re-read when the file changed.
 *
 * Kubernetes and other secret stores replace such files while we run, mostly by swapping a symbolic
 * link. A file that is missing, empty or malformed for a moment does not take a good key away.
 * One thread owns a secret.
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
	bool settled;     /* `seen` tells whether it has changed since */
	bool failing;
};

/* Reads nothing yet. */
void key_file_init(struct key_file *key, const char *path);
/* Wipes the key. */
void key_file_release(struct key_file *key);

/* Looks at the file, at most once a second by `now_us` (loop_now_us()), and reads it if it has
 * changed. True: the key is another one than before. */
bool key_file_refresh(struct key_file *key, int64_t now_us);

/* What is wrong with a key file's content, or NULL; *len loses the line's end, and blanks before it. */
const char *key_file_problem(const char *text, size_t *len);

/* A single line without its end, fit for a header's value; empty if there was never a good key. */
static inline struct view key_file_value(const struct key_file *key)
{
	return (struct view){key->value, key->len};
}

#endif
