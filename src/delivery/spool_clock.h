/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_clock: a clock that only runs on, from which the age of what is in the spool is counted. The
 * wall clock may be put right by days, forward and back.
 *
 *	spool_clock_init → spool_clock_resume (with what was saved) → spool_clock_now_us, _save …
 *
 * Within one boot it is CLOCK_BOOTTIME, which counts suspension, and time without a process: what was
 * saved has the boot's id. After another boot, or on another machine, it goes on from what was saved.
 * Where the system has no boot id, or no CLOCK_BOOTTIME, only the time of processes counts.
 */
#ifndef FARO_DELIVERY_SPOOL_CLOCK_H
#define FARO_DELIVERY_SPOOL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum {
	BOOT_ID_MAX_BYTES = 36,
};

/* What it showed at a time of a boot. */
struct spool_clock_state {
	int64_t clock_us, boot_us;
	char boot_id[BOOT_ID_MAX_BYTES + 1]; /* "": not known */
};

struct spool_clock {
	int64_t ahead_us; /* of the system's clock */
	bool is_resumed;
	char boot_id[BOOT_ID_MAX_BYTES + 1];
};

/* It shows 0. */
void spool_clock_init(struct spool_clock *clock);
/* Goes on from there; where it is ahead of that already, it stays so. */
void spool_clock_resume(struct spool_clock *clock, const struct spool_clock_state *saved);
int64_t spool_clock_now_us(const struct spool_clock *clock);
void spool_clock_save(const struct spool_clock *clock, struct spool_clock_state *state);

#endif
