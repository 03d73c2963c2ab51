/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/spool_clock.h"

#include <string.h>
#include <time.h>

#include "base/text.h"

/* CLOCK_MONOTONIC stands still while the machine is suspended. */
static bool read_boot_clock(int64_t *us)
{
	struct timespec now = {0, 0};
	bool is_boot_time = clock_gettime(CLOCK_BOOTTIME, &now) == 0;

	if (!is_boot_time)
		clock_gettime(CLOCK_MONOTONIC, &now);
	*us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	return is_boot_time;
}

void spool_clock_init(struct spool_clock *clock)
{
	int64_t now_us;
	bool is_boot_time = read_boot_clock(&now_us);

	*clock = (struct spool_clock){.ahead_us = -now_us};
	if (is_boot_time && read_small_file("/proc/sys/kernel/random/boot_id", clock->boot_id,
					    BOOT_ID_MAX_BYTES, NULL) != BOOT_ID_MAX_BYTES)
		clock->boot_id[0] = '\0';
}

void spool_clock_resume(struct spool_clock *clock, const struct spool_clock_state *saved)
{
	int64_t now_us, ahead_us;

	read_boot_clock(&now_us);
	ahead_us = saved->clock_us - now_us;
	/* A machine that was put back to an earlier state has the same boot id. */
	if (clock->boot_id[0] != '\0' && strcmp(clock->boot_id, saved->boot_id) == 0 &&
	    saved->boot_us <= now_us)
		ahead_us = saved->clock_us - saved->boot_us;
	if (!clock->is_resumed || ahead_us > clock->ahead_us)
		clock->ahead_us = ahead_us;
	clock->is_resumed = true;
}

int64_t spool_clock_now_us(const struct spool_clock *clock)
{
	int64_t now_us;

	read_boot_clock(&now_us);
	return now_us + clock->ahead_us;
}

void spool_clock_save(const struct spool_clock *clock, struct spool_clock_state *state)
{
	read_boot_clock(&state->boot_us);
	state->clock_us = state->boot_us + clock->ahead_us;
	memcpy(state->boot_id, clock->boot_id, sizeof(state->boot_id));
}
