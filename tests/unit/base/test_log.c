/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With --wrap=write, --wrap=poll and --wrap=fstat: stderr is a buffer here, and the tests say how
 * each write ends. Real ones are in test_log_output.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "config/config.h"

#define T "2026-11-22T17:00:00.123Z"

/* What stderr got, how often it was asked, and how it answers. */
static char written[65536];
static size_t written_len;
static int writes;
static int failures[8]; /* errno of the next writes, 0: none, -1: takes half */
static size_t failure_count, failure_next;
static short poll_answer = POLLOUT;

ssize_t __wrap_write(int fd, const void *bytes, size_t n);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_fstat(int fd, struct stat *status);

int __wrap_fstat(int fd, struct stat *status)
{
	assert_int_equal(fd, STDERR_FILENO);
	*status = (struct stat){.st_mode = S_IFREG};
	return 0;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
	int failure = failure_next < failure_count ? failures[failure_next++] : 0;

	assert_int_equal(fd, STDERR_FILENO);
	writes++;
	if (failure > 0) {
		errno = failure;
		return -1;
	}
	if (failure < 0)
		n /= 2;
	assert_true(written_len + n < sizeof(written));
	memcpy(written + written_len, bytes, n);
	written_len += n;
	written[written_len] = '\0';
	return (ssize_t)n;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	assert_int_equal(fds[0].fd, STDERR_FILENO);
	assert_int_equal(count, 1);
	assert_int_equal(timeout_ms, 0);
	fds[0].revents = poll_answer;
	return poll_answer ? 1 : 0;
}

static int64_t fake_now_ms = 1000;

static int64_t fake_clock(void)
{
	return fake_now_ms;
}

static int set_up(void **state)
{
	(void)state;
	written_len = 0;
	written[0] = '\0';
	writes = 0;
	failure_count = failure_next = 0;
	poll_answer = POLLOUT;
	log_clock_ms = fake_clock;
	log_init(LOG_FORMAT_LOGFMT, LOG_INFO);
	return 0;
}

static void test_format__each_kind_of_value__exact_line(void **state)
{
	/* value, as logfmt writes it, as JSON does */
	static const struct {
		struct view value;
		const char *logfmt, *json;
	} rows[] = {
		{VIEW_LITERAL("plain"), "plain", "\"plain\""},
		/* An empty value would read as a key without one. */
		{VIEW_LITERAL(""), "\"\"", "\"\""},
		{VIEW_LITERAL("two words"), "\"two words\"", "\"two words\""},
		{VIEW_LITERAL("a=b"), "\"a=b\"", "\"a=b\""},
		{VIEW_LITERAL("say \"x\""), "\"say \\\"x\\\"\"", "\"say \\\"x\\\"\""},
		/* A backslash is an ordinary character outside quotes. */
		{VIEW_LITERAL("a\\b"), "a\\b", "\"a\\\\b\""},
		{VIEW_LITERAL("a\\ b"), "\"a\\\\ b\"", "\"a\\\\ b\""},
		{VIEW_LITERAL("h\xc3\xa9"), "h\xc3\xa9", "\"h\xc3\xa9\""},
		/* A forged second line stays in the first. */
		{VIEW_LITERAL("x\nts=1"), "\"x\\\\x0ats=1\"", "\"x\\\\x0ats=1\""},
		{VIEW_LITERAL("\n"), "\\x0a", "\"\\\\x0a\""},
		{VIEW_LITERAL("\0z"), "\\x00z", "\"\\\\x00z\""},
		{VIEW_LITERAL("\x1b[2J"), "\\x1b[2J", "\"\\\\x1b[2J\""},
		{VIEW_LITERAL("\x7f"), "\\x7f", "\"\\\\x7f\""},
		/* C1: next line, as U+0085 and as a bare byte */
		{VIEW_LITERAL("\xc2\x85"), "\\xc2\\x85", "\"\\\\xc2\\\\x85\""},
		{VIEW_LITERAL("\x85"), "\\x85", "\"\\\\x85\""},
		{VIEW_LITERAL("\xc2\x9f"), "\\xc2\\x9f", "\"\\\\xc2\\\\x9f\""},
		/* U+00A0 is the first that is no control. */
		{VIEW_LITERAL("\xc2\xa0"), "\xc2\xa0", "\"\xc2\xa0\""},
		/* cut sequence, overlong form, surrogate, above U+10FFFF */
		{VIEW_LITERAL("\xe2\x82"), "\\xe2\\x82", "\"\\\\xe2\\\\x82\""},
		{VIEW_LITERAL("\xc0\xaf"), "\\xc0\\xaf", "\"\\\\xc0\\\\xaf\""},
		{VIEW_LITERAL("\xe0\x80\xaf"), "\\xe0\\x80\\xaf", "\"\\\\xe0\\\\x80\\\\xaf\""},
		{VIEW_LITERAL("\xed\xa0\x80"), "\\xed\\xa0\\x80", "\"\\\\xed\\\\xa0\\\\x80\""},
		{VIEW_LITERAL("\xf0\x80\x80\x80"), "\\xf0\\x80\\x80\\x80",
		 "\"\\\\xf0\\\\x80\\\\x80\\\\x80\""},
		{VIEW_LITERAL("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80",
		 "\"\\\\xf4\\\\x90\\\\x80\\\\x80\""},
		{VIEW_LITERAL("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct log_field fields[] = {
			LOG_VIEW("v", rows[i].value), LOG_NUM("n", INT64_MIN), {.key = NULL}};
		char expected[512];
		struct buf out;

		buf_init(&out, 4096, NULL);
		log_format_line(&out, LOG_FORMAT_LOGFMT, T, LOG_WARN, "e", "m.", fields);
		snprintf(expected, sizeof(expected),
			 "ts=" T " level=warn event=e msg=m. v=%s n=-9223372036854775808\n",
			 rows[i].logfmt);
		assert_int_equal(out.len, strlen(expected));
		assert_memory_equal(out.data, expected, out.len);

		buf_clear(&out);
		log_format_line(&out, LOG_FORMAT_JSON, T, LOG_ERROR, "e", "m.", fields);
		snprintf(expected, sizeof(expected),
			 "{\"ts\":\"" T "\",\"level\":\"error\",\"event\":\"e\",\"msg\":\"m.\","
			 "\"v\":%s,\"n\":-9223372036854775808}\n",
			 rows[i].json);
		assert_int_equal(out.len, strlen(expected));
		assert_memory_equal(out.data, expected, out.len);
		buf_release(&out);
	}
}

static void test_format__field_does_not_fit__left_out_whole(void **state)
{
	static char text[LOG_LINE_MAX_BYTES];
	const char *head = "ts=" T " level=info event=e msg=m a=";
	const char *rest = " z=1\n";
	/* What a may hold if z=1 shall still fit behind it; one byte stays free for printf's NUL
	 * and one for the end of a JSON line. */
	size_t fits = LOG_LINE_MAX_BYTES - strlen(head) - strlen(rest) - 2;

	(void)state;
	for (size_t n = fits - 1; n <= fits + 6; n++) {
		const struct log_field fields[] = {
			LOG_VIEW("a", ((struct view){text, n})), LOG_NUM("z", 1), {.key = NULL}};
		struct buf out;

		memset(text, 'x', sizeof(text));
		buf_init(&out, LOG_LINE_MAX_BYTES, NULL);
		log_format_line(&out, LOG_FORMAT_LOGFMT, T, LOG_INFO, "e", "m", fields);
		assert_true(out.len <= LOG_LINE_MAX_BYTES);
		assert_int_equal(out.data[out.len - 1], '\n');
		if (n <= fits)
			assert_int_equal(out.len, strlen(head) + n + strlen(rest));
		else if (n <= fits + 4) /* " z=1" is left out */
			assert_int_equal(out.len, strlen(head) + n + 1);
		else /* a is, and z fits again */
			assert_int_equal(out.len, strlen(head) - strlen(" a=") + strlen(rest));
		buf_release(&out);
	}
}

/* Whatever the room: no line, or one of those that some of the fields make. */
static void test_format__every_room__line_parses(void **state)
{
	static const char *const parts[] = {",\"msg\":\"a \\\"b\"", ",\"x\":\"\\\\x0a\"",
					    ",\"y\":7"};
	const struct log_field fields[] = {LOG_STR("x", "\n"), LOG_NUM("y", 7), {.key = NULL}};
	bool seen[8] = {false};

	(void)state;
	for (size_t room = 0; room < 128; room++) {
		struct buf out;
		bool found = false;

		buf_init(&out, room, NULL);
		log_format_line(&out, LOG_FORMAT_JSON, T, LOG_INFO, "e", "a \"b", fields);
		for (unsigned set = 0; set < 8; set++) {
			char line[256] = "{\"ts\":\"" T "\",\"level\":\"info\",\"event\":\"e\"";

			for (unsigned i = 0; i < 3; i++)
				strcat(line, set & 1u << i ? parts[i] : "");
			strcat(line, "}\n");
			if (view_equals((struct view){out.data, out.len}, view_of(line)))
				seen[set] = found = true;
		}
		assert_true(found || out.len == 0);
		buf_release(&out);
	}
	/* none, y alone, all */
	assert_true(seen[0] && seen[4] && seen[7]);
}

static void test_write__plain__one_write_with_utc_time(void **state)
{
	int year, month, day, hour, minute, second, ms, end = 0;

	(void)state;
	log_event(LOG_INFO, "started", "Listening.", LOG_NUM("workers", 1));
	assert_int_equal(writes, 1);
	assert_int_equal(sscanf(written, "ts=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day,
				&hour, &minute, &second, &ms, &end),
			 7);
	assert_string_equal(written + end, " level=info event=started msg=Listening. workers=1\n");
}

static void test_write__below_level__nothing(void **state)
{
	(void)state;
	log_event(LOG_DEBUG, "e", "m");
	assert_int_equal(writes, 0);
	log_init(LOG_FORMAT_LOGFMT, LOG_ERROR);
	log_event(LOG_WARN, "e", "m");
	log_limited(LOG_WARN, "level_limited", "m");
	assert_int_equal(writes, 0);
	log_event(LOG_ERROR, "e", "m");
	assert_int_equal(writes, 1);
}

static void test_write__interrupted_or_short__whole_line(void **state)
{
	(void)state;
	failures[0] = EINTR;
	failures[1] = -1;
	failures[2] = EINTR;
	failure_count = 3;
	log_event(LOG_INFO, "e", "m");
	assert_int_equal(writes, 4);
	assert_non_null(strstr(written, " level=info event=e msg=m\n"));
}

static void test_write__stderr_full__dropped_and_counted(void **state)
{
	(void)state;
	failures[0] = EAGAIN;
	failure_count = 1;
	log_event(LOG_INFO, "lost_one", "m");
	/* Full already before the write, and a reader that is gone: not even tried. */
	poll_answer = 0;
	log_event(LOG_INFO, "lost_two", "m");
	poll_answer = POLLOUT | POLLERR;
	log_event(LOG_INFO, "lost_three", "m");
	assert_int_equal(writes, 1);
	poll_answer = POLLOUT;
	log_event(LOG_INFO, "e", "m", LOG_NUM("n", 1));
	assert_non_null(strstr(written, " event=e msg=m dropped=3 n=1\n"));
	assert_null(strstr(written, "lost"));
	log_event(LOG_INFO, "e", "again");
	assert_null(strstr(strstr(written, "dropped=3") + 1, "dropped"));
}

static void test_write__any_outcome__errno_kept(void **state)
{
	(void)state;
	failures[0] = EAGAIN;
	failure_count = 1;
	errno = ENOENT;
	log_event(LOG_INFO, "e", "m");
	assert_int_equal(errno, ENOENT);
	log_limited(LOG_INFO, "errno_limited", "m");
	assert_int_equal(errno, ENOENT);
}

static void test_limited__ten_seconds__one_line_and_the_count(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		log_limited(LOG_WARN, "limited_a", "m");
	log_limited(LOG_WARN, "limited_b", "m");
	assert_int_equal(writes, 2);
	fake_now_ms += LOG_LIMIT_MS - 1;
	log_limited(LOG_WARN, "limited_a", "m");
	assert_int_equal(writes, 2);
	fake_now_ms += 1;
	log_limited(LOG_WARN, "limited_a", "m", LOG_NUM("n", 1));
	assert_int_equal(writes, 3);
	assert_non_null(strstr(written, "event=limited_a msg=m suppressed=3 n=1\n"));
	/* Nothing was suppressed for b, and the count of a begins anew. */
	log_limited(LOG_WARN, "limited_b", "m");
	fake_now_ms += LOG_LIMIT_MS;
	written_len = 0;
	log_limited(LOG_WARN, "limited_a", "m");
	assert_null(strstr(written, "suppressed"));
}

static void test_limited__of_its_own__is_what_the_line_asked_for(void **state)
{
	const struct log_field none = {.key = NULL};

	(void)state;
	log_write_limited(LOG_MINUTE_MS, LOG_WARN, "limited_minute", "m", &none);
	fake_now_ms += LOG_MINUTE_MS - 1;
	log_write_limited(LOG_MINUTE_MS, LOG_WARN, "limited_minute", "m", &none);
	assert_int_equal(writes, 1);
	fake_now_ms += 1;
	log_write_limited(LOG_MINUTE_MS, LOG_WARN, "limited_minute", "m", &none);
	assert_int_equal(writes, 2);
}

static void *log_often(void *arg)
{
	for (int i = 0; i < 500; i++)
		log_limited(LOG_WARN, "limited_threads", "m");
	return arg;
}

static void test_limited__many_threads__no_line_too_many_none_lost(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_often, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(writes, 1);
	fake_now_ms += LOG_LIMIT_MS;
	log_limited(LOG_WARN, "limited_threads", "m");
	assert_non_null(strstr(written, "suppressed=1999\n"));
}

/* Last: it fills the table for good. */
static void test_limited__more_events_than_slots__the_rest_share_one(void **state)
{
	static char names[2 * LOG_LIMIT_EVENTS][32];

	(void)state;
	for (int i = 0; i < 2 * LOG_LIMIT_EVENTS; i++) {
		snprintf(names[i], sizeof(names[i]), "event_%d", i);
		log_limited(LOG_WARN, names[i], "m");
	}
	/* A few slots were taken by the tests before. */
	assert_in_range(writes, LOG_LIMIT_EVENTS / 2, LOG_LIMIT_EVENTS + 1);
	writes = 0;
	fake_now_ms += LOG_LIMIT_MS;
	log_limited(LOG_WARN, "event_beyond", "m");
	log_limited(LOG_WARN, "event_far_beyond", "m");
	assert_int_equal(writes, 1);
	assert_non_null(strstr(written, "event=event_beyond msg=m suppressed="));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_format__each_kind_of_value__exact_line, set_up),
		cmocka_unit_test_setup(test_format__field_does_not_fit__left_out_whole, set_up),
		cmocka_unit_test_setup(test_format__every_room__line_parses, set_up),
		cmocka_unit_test_setup(test_write__plain__one_write_with_utc_time, set_up),
		cmocka_unit_test_setup(test_write__below_level__nothing, set_up),
		cmocka_unit_test_setup(test_write__interrupted_or_short__whole_line, set_up),
		cmocka_unit_test_setup(test_write__stderr_full__dropped_and_counted, set_up),
		cmocka_unit_test_setup(test_write__any_outcome__errno_kept, set_up),
		cmocka_unit_test_setup(test_limited__ten_seconds__one_line_and_the_count, set_up),
		cmocka_unit_test_setup(test_limited__of_its_own__is_what_the_line_asked_for,
				       set_up),
		cmocka_unit_test_setup(test_limited__many_threads__no_line_too_many_none_lost,
				       set_up),
		cmocka_unit_test_setup(test_limited__more_events_than_slots__the_rest_share_one,
				       set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
