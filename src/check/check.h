/*
 * check: --check, which tries the receiver as it is configured and says in plain words what is wrong
 * and what to change.
 *
 * What it finds is one of a closed list (finding.h), printed with the remedy. The beacons that
 * it sends are empty, so that a receiver stores nothing; only with --send goes one that is kept.
 */
#ifndef FARO_CHECK_CHECK_H
#define FARO_CHECK_CHECK_H

#include "config/config.h"

/* Writes to stdout. Exit status: 0, or 1 after any finding but "ok". */
int check_receiver(const struct config *config);

#endif
