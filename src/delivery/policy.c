#include "delivery/policy.h"

/* What an attempt came to. Answered errors, silence and missing connections are told apart, since
 * they say different things about the beacon and about the upstream. */
enum outcome_class {
	TAKEN,
	REJECTED,
	THROTTLED,
	MISCONFIGURED,
	FAILING,
	UNANSWERED,
	UNREACHED,
	NOT_MADE,
};

static const struct policy policies[] = {
	/* 2xx. */
	[TAKEN] = {.spools = false, BREAKER_SUCCESS, REPLAY_DELIVERED},
	/* 400, 413, 422: the beacon's fault, which no further attempt changes. It shows that the
	 * upstream is alive. */
	[REJECTED] = {.spools = false, BREAKER_ALIVE, REPLAY_QUARANTINE},
	/* 429: alive, and it wants less, which is for replay's rate to follow. */
	[THROTTLED] = {.spools = true, BREAKER_THROTTLED, REPLAY_AGAIN},
	/* 401, 403, 404 and other answers that no receiver of beacons gives: the operator's
	 * mistake, which lasts until somebody corrects it, and then all that was spooled is still
	 * good. */
	[MISCONFIGURED] = {.spools = true, BREAKER_FAILURE, REPLAY_AGAIN},
	/* 5xx: it will pass. */
	[FAILING] = {.spools = true, BREAKER_FAILURE, REPLAY_AGAIN},
	/* Sent, and no answer: the upstream may have it, or may fail because of it. */
	[UNANSWERED] = {.spools = true, BREAKER_FAILURE, REPLAY_BACK_OFF},
	/* No address, no connection, a certificate that is not trusted: nothing was sent. */
	[UNREACHED] = {.spools = true, BREAKER_FAILURE, REPLAY_AGAIN},
	/* FARO_UPSTREAM_MAX_INFLIGHT or memory, which says nothing about the upstream. The breaker
	 * is not told of it. */
	[NOT_MADE] = {.spools = true, BREAKER_ALIVE, REPLAY_AGAIN},
};

const struct breaker_limits policy_breaker = {
	.failures = BREAKER_FAILURES,
	.open_min_us = BREAKER_OPEN_MIN_US,
	.open_max_us = BREAKER_OPEN_MAX_US,
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
		return NOT_MADE;
	default:
		break;
	}
	if (call->status == 0)
		return call->sent ? UNANSWERED : UNREACHED;
	return call->verdict == VERDICT_UPSTREAM_MISCONFIGURED ? MISCONFIGURED : FAILING;
}

const struct policy *policy_of(const struct relay_call *call)
{
	return &policies[class_of(call)];
}
