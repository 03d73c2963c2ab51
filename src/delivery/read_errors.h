/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_errors: counts the reads of SQLite that fail.
 *
 * SQLite may say that a database is damaged where the disk could not be read just now. So its calls
 * of pread(2) go through functions of ours, which call the system's and note its errors: what is
 * called damaged after one may be whole.
 */
#ifndef FARO_DELIVERY_READ_ERRORS_H
#define FARO_DELIVERY_READ_ERRORS_H

#include <stdint.h>

/* From any thread, after sqlite3_config(); once or more often. */
void read_errors_install(void);
/* Since then, in all threads. */
uint64_t read_errors_count(void);

#endif
