/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "delivery/policy.h"

/* Links policy alone. */

static void test_outcome__each__what_delivery_breaker_and_replay_do(void **state)
{
	static const struct {
		enum verdict verdict;
		int status;
		bool sent;
		bool spools, is_error;
		enum breaker_report breaker, breaker_of_replay;
		enum replay_action replay;
		enum store_end end;
	} rows[] = {
		{VERDICT_ACCEPTED, 200, true, false, false, BREAKER_SUCCESS, BREAKER_SUCCESS,
		 REPLAY_DELIVERED, STORE_DELIVERED},
		/* A live one's sender is told; a record may wait until the upstream is mended. */
		{VERDICT_UPSTREAM_REJECTED, 400, true, false, true, BREAKER_ALIVE, BREAKER_ERROR,
		 REPLAY_BACK_OFF, STORE_REJECTED},
		{VERDICT_UPSTREAM_THROTTLED, 429, true, true, false, BREAKER_THROTTLED,
		 BREAKER_THROTTLED, REPLAY_AGAIN, STORE_REFUSED},
		/* Answered with an error: the record's fault or not. */
		{VERDICT_UPSTREAM_MISCONFIGURED, 401, true, true, true, BREAKER_ERROR,
		 BREAKER_ERROR, REPLAY_BACK_OFF, STORE_REFUSED},
		{VERDICT_UPSTREAM_UNAVAILABLE, 503, true, true, true, BREAKER_ERROR, BREAKER_ERROR,
		 REPLAY_BACK_OFF, STORE_REFUSED},
		/* Sent, and not answered: past the deadline; the connection died. */
		{VERDICT_UPSTREAM_TIMEOUT, 0, true, true, false, BREAKER_FAILURE, BREAKER_FAILURE,
		 REPLAY_BACK_OFF, STORE_AMBIGUOUS},
		{VERDICT_UPSTREAM_UNAVAILABLE, 0, true, true, false, BREAKER_FAILURE,
		 BREAKER_FAILURE, REPLAY_BACK_OFF, STORE_AMBIGUOUS},
		/* Not sent: no connection; a certificate that is not trusted; silence before a
		 * byte. */
		{VERDICT_UPSTREAM_UNAVAILABLE, 0, false, true, false, BREAKER_FAILURE,
		 BREAKER_FAILURE, REPLAY_AGAIN, STORE_REFUSED},
		{VERDICT_UPSTREAM_MISCONFIGURED, 0, false, true, false, BREAKER_FAILURE,
		 BREAKER_FAILURE, REPLAY_AGAIN, STORE_REFUSED},
		{VERDICT_UPSTREAM_TIMEOUT, 0, false, true, false, BREAKER_FAILURE, BREAKER_FAILURE,
		 REPLAY_AGAIN, STORE_REFUSED},
		/* Not started. */
		{VERDICT_OVERLOADED, 0, false, true, false, BREAKER_ALIVE, BREAKER_ALIVE,
		 REPLAY_AGAIN, STORE_REFUSED},
		/* Ended by a stall of our own. */
		{VERDICT_STALLED, 0, true, true, false, BREAKER_ALIVE, BREAKER_ALIVE, REPLAY_AGAIN,
		 STORE_REFUSED},
		{VERDICT_STALLED, 0, false, true, false, BREAKER_ALIVE, BREAKER_ALIVE, REPLAY_AGAIN,
		 STORE_REFUSED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct relay_call call = {
			.verdict = rows[i].verdict, .status = rows[i].status, .sent = rows[i].sent};
		const struct policy *policy = policy_of(&call);

		assert_int_equal(policy->spools, rows[i].spools);
		assert_int_equal(policy_is_error(&call), rows[i].is_error);
		assert_int_equal(policy->breaker, rows[i].breaker);
		assert_int_equal(policy->breaker_of_replay, rows[i].breaker_of_replay);
		assert_int_equal(policy->replay, rows[i].replay);
		assert_int_equal(policy->end, rows[i].end);
	}
}

/* One that is forgotten here, such as a new one, must not cost a beacon at once. */
static void test_outcome__any_that_is_not_final__spooled_and_tried_again(void **state)
{
	(void)state;
	for (enum verdict verdict = VERDICT_OK; verdict < VERDICT_COUNT; verdict++) {
		const struct relay_call call = {.verdict = verdict, .status = 500, .sent = true};

		if (verdict == VERDICT_ACCEPTED || verdict == VERDICT_UPSTREAM_REJECTED)
			continue;
		assert_true(policy_of(&call)->spools);
		assert_int_not_equal(policy_of(&call)->replay, REPLAY_DELIVERED);
	}
}

static void test_beacon__by_its_body_where_it_was_sent(void **state)
{
	struct relay_call call = {.body = view_of("{}"), .sent = true};
	uint64_t first = policy_beacon(&call);

	(void)state;
	assert_true(first != 0);
	assert_true(policy_beacon(&call) == first);
	call.body = view_of("{ }");
	assert_true(policy_beacon(&call) != first);
	call.sent = false;
	assert_true(policy_beacon(&call) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcome__each__what_delivery_breaker_and_replay_do),
		cmocka_unit_test(test_outcome__any_that_is_not_final__spooled_and_tried_again),
		cmocka_unit_test(test_beacon__by_its_body_where_it_was_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
