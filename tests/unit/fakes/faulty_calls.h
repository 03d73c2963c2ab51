/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faulty_calls: the system's calls on files below a folder, some of which fail, or end the process.
 *
 * They stand in the place of libc's for everything in the process, SQLite as well, so that faults come
 * from below whatever maps them. fsync does nothing where it does not fail, so that tests are quick. Not
 * seen: memory that is mapped, locks, stat.
 */
#ifndef FARO_FAULTY_CALLS_H
#define FARO_FAULTY_CALLS_H

enum faulty_kind {
	FAULTY_READ,
	FAULTY_WRITE,
	FAULTY_SYNC,
	FAULTY_OPEN,
	FAULTY_NAME, /* rename, unlink */
	FAULTY_KINDS
};

/* From now on the calls number `at` to `at + count - 1` of that kind fail with `error`. Only files are
 * meant whose path begins with `folder`, and that are opened while it is set; NULL: none. */
void faulty_calls_fail(const char *folder, enum faulty_kind kind, long at, long count, int error);
/* The call number `at` of all kinds but reading ends the process, with status 9, before it is done. */
void faulty_calls_kill(const char *folder, long at);
/* Of the kind that fails, since then; or of all that may kill. */
long faulty_calls_count(void);

#endif
