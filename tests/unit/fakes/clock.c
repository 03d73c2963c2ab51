/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/clock.h"

struct fake_clock fake_clock;

int __real_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int64_t us = fake_clock.now_us;

	if (!fake_clock.stands) {
		int result = __real_clock_gettime(clock, now);

		if (fake_clock.ahead_us == 0)
			return result;
		us = (int64_t)now->tv_sec * 1000000 + now->tv_nsec / 1000 + fake_clock.ahead_us;
	}
	*now = (struct timespec){us / 1000000, us % 1000000 * 1000};
	return 0;
}
