/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver: resolver.h without a name server: the test says what the addresses are. For a program
 * that has this file among its sources; resolver_new() is missing, the test makes the struct.
 */
#ifndef FARO_FAKE_RESOLVER_H
#define FARO_FAKE_RESOLVER_H

#include "upstream/resolver.h"

struct resolver {
	unsigned generation;
	const char *addresses;      /* a comma list; IPv6 is what has a colon */
	const char *next_addresses; /* what is read from the second time on, if not NULL */
	const char *error;
	size_t count;     /* how many of the list there are; 0: all */
	size_t preferred; /* 0: all */
	unsigned refreshed;
};

#endif
