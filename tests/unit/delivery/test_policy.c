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
		bool spools;
		enum breaker_report breaker;
		enum replay_action replay;
	} rows[] = {
		{VERDICT_ACCEPTED, 200, true, false, BREAKER_SUCCESS, REPLAY_DELIVERED},
		{VERDICT_UPSTREAM_REJECTED, 400, true, false, BREAKER_ALIVE, REPLAY_QUARANTINE},
		{VERDICT_UPSTREAM_THROTTLED, 429, true, true, BREAKER_THROTTLED, REPLAY_AGAIN},
		{VERDICT_UPSTREAM_MISCONFIGURED, 401, true, true, BREAKER_FAILURE, REPLAY_AGAIN},
		{VERDICT_UPSTREAM_UNAVAILABLE, 503, true, true, BREAKER_FAILURE, REPLAY_AGAIN},
		/* Sent, and not answered: past the deadline; the connection died. */
		{VERDICT_UPSTREAM_TIMEOUT, 0, true, true, BREAKER_FAILURE, REPLAY_BACK_OFF},
		{VERDICT_UPSTREAM_UNAVAILABLE, 0, true, true, BREAKER_FAILURE, REPLAY_BACK_OFF},
		/* Not sent: no connection; a certificate that is not trusted; silence before a
		 * byte. */
		{VERDICT_UPSTREAM_UNAVAILABLE, 0, false, true, BREAKER_FAILURE, REPLAY_AGAIN},
		{VERDICT_UPSTREAM_MISCONFIGURED, 0, false, true, BREAKER_FAILURE, REPLAY_AGAIN},
		{VERDICT_UPSTREAM_TIMEOUT, 0, false, true, BREAKER_FAILURE, REPLAY_AGAIN},
		/* Not started. */
		{VERDICT_OVERLOADED, 0, false, true, BREAKER_ALIVE, REPLAY_AGAIN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct policy *policy =
			policy_of(&(struct relay_call){.verdict = rows[i].verdict,
						       .status = rows[i].status,
						       .sent = rows[i].sent});

		assert_int_equal(policy->spools, rows[i].spools);
		assert_int_equal(policy->breaker, rows[i].breaker);
		assert_int_equal(policy->replay, rows[i].replay);
	}
}

/* One that is forgotten here, such as a new one, must not cost a beacon. */
static void test_outcome__any_that_is_not_final__spooled_and_tried_again(void **state)
{
	(void)state;
	for (enum verdict verdict = VERDICT_OK; verdict < VERDICT_COUNT; verdict++) {
		const struct relay_call call = {.verdict = verdict, .status = 500, .sent = true};

		if (verdict == VERDICT_ACCEPTED || verdict == VERDICT_UPSTREAM_REJECTED)
			continue;
		assert_true(policy_of(&call)->spools);
		assert_int_equal(policy_of(&call)->replay, REPLAY_AGAIN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcome__each__what_delivery_breaker_and_replay_do),
		cmocka_unit_test(test_outcome__any_that_is_not_final__spooled_and_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
