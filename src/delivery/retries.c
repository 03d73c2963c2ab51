#include "delivery/retries.h"

#include "delivery/policy.h"

struct retry *retries_find(struct retries *retries, int64_t id)
{
	for (size_t i = 0; i < retries->count; i++)
		if (retries->list[i].id == id)
			return &retries->list[i];
	return NULL;
}

struct retry *retries_take(struct retries *retries, int64_t id)
{
	struct retry *retry = retries_find(retries, id);

	if (retry)
		return retry;
	retry = &retries->list[retries->count++];
	*retry = (struct retry){.id = id};
	return retry;
}

void retries_remove(struct retries *retries, int64_t id)
{
	struct retry *retry = retries_find(retries, id);

	if (retry)
		*retry = retries->list[--retries->count];
}

bool retries_are_waiting(const struct retries *retries)
{
	for (size_t i = 0; i < retries->count; i++)
		if (!retries->list[i].in_flight)
			return true;
	return false;
}

struct retry *retries_next(struct retries *retries, bool unanswered, int64_t now_us)
{
	struct retry *first = NULL;

	for (size_t i = 0; i < retries->count; i++) {
		struct retry *retry = &retries->list[i];

		if (retry->in_flight || retry->due_us > now_us ||
		    (retry->unanswered > 0) != unanswered)
			continue;
		if (!first || (unanswered ? retry->due_us < first->due_us : retry->id < first->id))
			first = retry;
	}
	return first;
}

bool retry_back_off(struct retry *retry, uint64_t accepted, int64_t now_us)
{
	int64_t wait_us = RETRY_MIN_US;

	if (retry->unanswered > 0 && accepted == retry->accepted)
		retry->unanswered--;
	retry->accepted = accepted;
	if (++retry->unanswered >= UNANSWERED_MAX)
		return false;
	for (int i = 0; i < retry->unanswered; i++)
		wait_us *= 2;
	retry->due_us = now_us + wait_us;
	return true;
}
