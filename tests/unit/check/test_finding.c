/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "check/finding.h"

/* The finding that follows from one exchange. tests/system/check.test.mjs produces each finding
 * with a real server. */

#define SENTENCE(text) .why = (text)

static void test_exchange__one_outcome__one_finding(void **state)
{
	static const struct {
		struct check_exchange exchange;
		enum check_finding expected;
	} rows[] = {
		/* A status counts, whatever became of the connection afterwards. */
		{{.status = 200, SENTENCE("")}, FINDING_OK},
		{{.status = 299, SENTENCE("")}, FINDING_OK},
		{{.status = 300, SENTENCE("")}, FINDING_REDIRECT},
		{{.status = 399, SENTENCE("")}, FINDING_REDIRECT},
		{{.status = 400, SENTENCE("")}, FINDING_NOT_FARO},
		{{.status = 401, SENTENCE("")}, FINDING_API_KEY},
		{{.status = 403, SENTENCE("")}, FINDING_FORBIDDEN},
		{{.status = 404, SENTENCE("")}, FINDING_NOT_FARO},
		{{.status = 413, .code = CURLE_SEND_ERROR, SENTENCE("")}, FINDING_TOO_LARGE},
		{{.status = 429, SENTENCE("")}, FINDING_THROTTLED},
		{{.status = 499, SENTENCE("")}, FINDING_NOT_FARO},
		{{.status = 500, SENTENCE("")}, FINDING_SERVER_ERROR},
		{{.status = 599, SENTENCE("")}, FINDING_SERVER_ERROR},
		/* 100 is not yet an answer. */
		{{.status = 100, .code = CURLE_OPERATION_TIMEDOUT, .connected = true, SENTENCE("")},
		 FINDING_NO_ANSWER},
		/* Without one: how far it came. */
		{{.code = CURLE_COULDNT_RESOLVE_HOST, SENTENCE("")}, FINDING_NAME_NOT_FOUND},
		{{.code = CURLE_COULDNT_CONNECT, .os_errno = ECONNREFUSED, SENTENCE("")},
		 FINDING_REFUSED},
		{{.code = CURLE_COULDNT_CONNECT, .os_errno = ETIMEDOUT, SENTENCE("")},
		 FINDING_CONNECT_TIMEOUT},
		{{.code = CURLE_COULDNT_CONNECT, .os_errno = EHOSTUNREACH, SENTENCE("")},
		 FINDING_UNREACHABLE},
		{{.code = CURLE_OPERATION_TIMEDOUT, SENTENCE("")}, FINDING_CONNECT_TIMEOUT},
		{{.code = CURLE_OPERATION_TIMEDOUT, .connected = true, SENTENCE("")},
		 FINDING_NO_ANSWER},
		{{.code = CURLE_GOT_NOTHING, .connected = true, SENTENCE("")}, FINDING_NOT_HTTP},
		{{.code = CURLE_UNSUPPORTED_PROTOCOL, .connected = true, SENTENCE("")},
		 FINDING_NOT_HTTP},
		{{.code = CURLE_OUT_OF_MEMORY, SENTENCE("")}, FINDING_LOCAL},
		/* TLS. OpenSSL's numbers: 20 no local issuer, 10 expired, 9 not yet valid. */
		{{.code = CURLE_SSL_CONNECT_ERROR, SENTENCE("")}, FINDING_TLS},
		{{.code = CURLE_SSL_CACERT_BADFILE, SENTENCE("")}, FINDING_TLS_CA_FILE},
		{{.code = CURLE_PEER_FAILED_VERIFICATION, .verify = 18, SENTENCE("")},
		 FINDING_TLS_UNKNOWN_CA},
		{{.code = CURLE_PEER_FAILED_VERIFICATION, .verify = 20, SENTENCE("")},
		 FINDING_TLS_UNKNOWN_CA},
		{{.code = CURLE_PEER_FAILED_VERIFICATION, .verify = 10, SENTENCE("")},
		 FINDING_TLS_EXPIRED},
		{{.code = CURLE_PEER_FAILED_VERIFICATION, .verify = 9, SENTENCE("")},
		 FINDING_TLS_EXPIRED},
		{{.code = CURLE_PEER_FAILED_VERIFICATION,
		  SENTENCE("SSL: no alternative certificate subject name matches 'x'")},
		 FINDING_TLS_WRONG_NAME},
		/* 26, invalid purpose: nothing that has a remedy of its own. */
		{{.code = CURLE_PEER_FAILED_VERIFICATION, .verify = 26, SENTENCE("")}, FINDING_TLS},
		{{.code = CURLE_RECV_ERROR,
		  .connected = true,
		  .tls_ready = true,
		  SENTENCE("tlsv13 alert certificate required")},
		 FINDING_TLS},
		{{.code = CURLE_RECV_ERROR,
		  .connected = true,
		  .tls_ready = true,
		  SENTENCE("reset")},
		 FINDING_NOT_HTTP},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (check_judge(&rows[i].exchange) != rows[i].expected)
			fail_msg("row %zu: %s", i,
				 check_finding_texts[check_judge(&rows[i].exchange)].name);
	}
}

static void test_findings__all__have_words_and_but_for_ok_a_remedy(void **state)
{
	(void)state;
	for (int i = 0; i < FINDING_COUNT; i++) {
		const struct check_finding_text *text = &check_finding_texts[i];

		assert_non_null(text->name);
		assert_int_equal(strspn(text->name, "abcdefghijklmnopqrstuvwxyz_"),
				 strlen(text->name));
		assert_non_null(text->meaning);
		assert_true((i == FINDING_OK) == (text->remedy == NULL));
		for (int other = 0; other < i; other++)
			assert_string_not_equal(text->name, check_finding_texts[other].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange__one_outcome__one_finding),
		cmocka_unit_test(test_findings__all__have_words_and_but_for_ok_a_remedy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
