/*
 * secret: a key kept in a file, re-read when the file changed.
 *
 * Kubernetes and other secret stores replace such files while we run, mostly by swapping a symbolic
 * link. A file that is missing, empty or malformed for a moment does not take a good key away.
 * One thread owns a secret.
 */
#ifndef FARO_SECRET_H
#define FARO_SECRET_H

#include <sys/stat.h>

#include "buf.h"
#include "config.h"

struct secret {
	const char *path; /* not copied */
	char value[CONFIG_SECRET_MAX_BYTES];
	size_t len; /* 0: there has been no good key yet */
	int64_t next_check_us;
	struct stat seen; /* of the file as it was last read */
	bool settled;     /* `seen` tells whether it has changed since */
	bool failing;
};

/* Reads nothing yet. */
void secret_init(struct secret *secret, const char *path);
/* Wipes the key. */
void secret_release(struct secret *secret);

/* Looks at the file, at most once a second by `now_us` (loop_now_us()), and reads it if it has
 * changed. True: the key is another one than before. */
bool secret_refresh(struct secret *secret, int64_t now_us);

/* What is wrong with a key file's content, or NULL; *len loses the line's end, and blanks before it. */
const char *secret_problem(const char *text, size_t *len);

/* A single line without its end, fit for a header's value; empty if there was never a good key. */
static inline struct view secret_value(const struct secret *secret)
{
	return (struct view){secret->value, secret->len};
}

#endif
