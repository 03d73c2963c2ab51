/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_private: what the files redact*.c share.
 */
#ifndef FARO_BEACON_REDACT_PRIVATE_H
#define FARO_BEACON_REDACT_PRIVATE_H

#include "base/arena.h"
#include "beacon/redact.h"
#include "beacon/redact_text.h"

struct redact_name {
	struct view text;
	bool any_case;
	struct redact_name *next; /* of the same length */
};

struct redact_names {
	struct redact_name *by_length[PRIVACY_TEXT_MAX_BYTES + 1];
};

struct redactor {
	bool secrets, query, fragment, userinfo, email;
	struct redact_names secret, kept; /* parameters */
	struct arena storage;
};

/* What the key of a value says that it is. */
enum redact_as {
	REDACT_AS_TEXT, /* URLs stand anywhere in it */
	REDACT_AS_QUERY,
	REDACT_AS_FRAGMENT,
	REDACT_AS_TARGET, /* a path with its query */
};

enum redact_mark {
	MARK_VALUE = 1, /* the first byte of what becomes REDACTED, */
	MARK_MORE = 2,  /* and the others */
	MARK_USERINFO = 3,
};

/* Marks the bytes, unless there are none, or they are redacted already. */
void redact_mark(struct redact_text *text, char *from, char *to, enum redact_mark mark);
/* True if the list has the name, which is decoded. */
bool redact_names_have(const struct redact_names *names, const struct redact_text *text,
		       const char *from, const char *to);

enum redact_as redact_as_of(struct json_string key);
/* True for ?, # and @, if what stands behind or before them may have to go. */
bool redact_matters(const struct redactor *redactor, unsigned char c);
/* Marks what is to go from a string. `first` is in it, and nothing that matters stands before it. */
size_t redact_string(const struct redactor *redactor, struct json_string string, enum redact_as as,
		     const char *first);

/* Redacts the URL at `at`, and returns its end. `text` is limited to it where `bounded` is false: then
 * nothing ends it before. */
char *redact_url(const struct redactor *redactor, struct redact_text *text, char *at,
		 enum redact_as as, bool bounded);

/* The same for a URL in a text, but from its first ? or # on: before `at`, there is no @ either. */
char *redact_url_from(const struct redactor *redactor, struct redact_text *text, char *begin,
		      char *at);

/* Redacts the e-mail address around the @ at `at`, whose local part does not begin before `floor`.
 * Returns the address's end, or where the @ ends if there is none. */
char *redact_email(struct redact_text *text, char *floor, char *at);

#endif
