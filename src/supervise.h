/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervise: the small parent of include mode, made to be PID 1 of the service's container:
 *
 *	faro-ingest --supervise [OPTION]... -- COMMAND [ARGUMENT]...
 *
 * It runs the command (nginx) and a responder with those options, passes signals on to the command,
 * and ends with the command and its status. The command runs on whatever happens to the responder,
 * also with wrong settings. main calls it before it reads or changes anything else, so the command
 * inherits the process as it was started.
 */
#ifndef FARO_SUPERVISE_H
#define FARO_SUPERVISE_H

#include <stdint.h>

/* The index in `argv` at which the command begins; 0: no such command line, or no command in it. */
int supervise_find(int argc, char **argv);

/*
 * Runs both and returns the exit status: the command's, 128 + n where signal n ended it, 126 or 127
 * where it cannot be run. Does not return where Faro is off (there is no FARO_UPSTREAM_URL): the
 * command then takes this process over.
 */
int supervise(int argc, char **argv, int command_at);

/*
 * How long to wait before a responder is started again that ran for `lived_ms` and ended with
 * `wait_status`, as from waitpid(). *pause_ms is the pause before, 0 at first, and is set to the
 * new one.
 */
int64_t supervise_pause(int64_t *pause_ms, int64_t lived_ms, int wait_status);

#endif
