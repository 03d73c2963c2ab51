/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: --check, which tries the receiver as it is configured, and prints what is wrong and what
 * to change.
 *
 * The finding is one of a closed list (finding.h), printed with its remedy. The beacons that are
 * sent have no items, so a receiver stores nothing; only --send sends one that is stored.
 */
#ifndef FARO_CHECK_CHECK_H
#define FARO_CHECK_CHECK_H

#include "config/config.h"

/* Writes to stdout. Exit status: 0, or 1 after any finding but "ok". */
int check_receiver(const struct config *config);

#endif
