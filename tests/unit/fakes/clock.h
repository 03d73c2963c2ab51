/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock: the time of a driver with --wrap=clock_gettime: the system's, put forward, or standing
 * still. All clocks show the same where it stands.
 */
#ifndef FARO_FAKE_CLOCK_H
#define FARO_FAKE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

extern struct fake_clock {
	bool stands; /* it shows now_us, which the test moves */
	_Atomic int64_t now_us;
	_Atomic int64_t ahead_us; /* of the system's, while it goes */
} fake_clock;

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

#endif
