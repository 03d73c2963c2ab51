/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/policy.h"

#include <xxhash.h>

/* What an attempt came to. Answered errors, silence and missing connections are told apart, since
 * they say different things about the beacon and about the upstream. */
enum outcome_class {
	TAKEN,
	REJECTED,
	THROTTLED,
	ANSWERED,
	UNANSWERED,
	UNREACHED,
	NOT_MADE,
};

static const struct policy policies[] = {
	/* 2xx. */
	[TAKEN] = {false, BREAKER_SUCCESS, BREAKER_SUCCESS, REPLAY_DELIVERED, STORE_DELIVERED},
	/* 400, 413, 422: the beacon's fault, and its sender is told; so a live one says nothing
	 * about the upstream. A record has no sender any more, and an upstream may say so of
	 * everything for a while. */
	[REJECTED] = {false, BREAKER_ALIVE, BREAKER_ERROR, REPLAY_BACK_OFF, STORE_REJECTED},
	/* 429: alive, and it wants less, which is for replay's rate to follow. */
	[THROTTLED] = {true, BREAKER_THROTTLED, BREAKER_THROTTLED, REPLAY_AGAIN, STORE_REFUSED},
	/* 401, 403, 404, 5xx and other answers: the operator's mistake, the upstream's trouble, or
	 * something in between or behind it that does not like this beacon. */
	[ANSWERED] = {true, BREAKER_ERROR, BREAKER_ERROR, REPLAY_BACK_OFF, STORE_REFUSED},
	/* Sent, and no answer: the upstream may have it, or may fail because of it. */
	[UNANSWERED] = {true, BREAKER_FAILURE, BREAKER_FAILURE, REPLAY_BACK_OFF, STORE_AMBIGUOUS},
	/* No address, no connection, a certificate that is not trusted: nothing was sent. */
	[UNREACHED] = {true, BREAKER_FAILURE, BREAKER_FAILURE, REPLAY_AGAIN, STORE_REFUSED},
	/* FARO_UPSTREAM_MAX_INFLIGHT or memory, of which the breaker is not told; or the process
	 * stood still. It says nothing about the upstream. */
	[NOT_MADE] = {true, BREAKER_ALIVE, BREAKER_ALIVE, REPLAY_AGAIN, STORE_REFUSED},
};

const struct breaker_limits policy_breaker = {
	.different = BREAKER_DIFFERENT,
	.errors_us = BREAKER_ERRORS_US,
	.probe_us = BREAKER_PROBE_US,
};

/* A verdict that is not named here is an error like any other: its beacon is kept. */
static enum outcome_class class_of(const struct relay_call *call)
{
	switch (call->verdict) {
	case VERDICT_ACCEPTED:
		return TAKEN;
	case VERDICT_UPSTREAM_REJECTED:
		return REJECTED;
	case VERDICT_UPSTREAM_THROTTLED:
		return THROTTLED;
	case VERDICT_OVERLOADED:
	case VERDICT_STALLED:
		return NOT_MADE;
	default:
		break;
	}
	if (call->status == 0)
		return call->sent ? UNANSWERED : UNREACHED;
	return ANSWERED;
}

const struct policy *policy_of(const struct relay_call *call)
{
	return &policies[class_of(call)];
}

uint64_t policy_beacon(const struct relay_call *call)
{
	uint64_t hash = call->sent ? XXH3_64bits(call->body.ptr, call->body.len) : 0;

	return call->sent && hash == 0 ? 1 : hash;
}

void policy_report(struct breaker *breaker, enum breaker_report report,
		   const struct relay_call *call, int64_t now_us)
{
	bool counts = report == BREAKER_ERROR || report == BREAKER_FAILURE;

	breaker_report(breaker, report, counts ? policy_beacon(call) : 0, now_us);
}

bool policy_is_error(const struct relay_call *call)
{
	enum outcome_class class = class_of(call);

	return class == REJECTED || class == ANSWERED;
}
