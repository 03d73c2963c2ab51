/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: how many calls there may be, how they are cancelled, what their requests carry
 * (relay_stage.h).
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#include "build-config.h"
#include "upstream/relay_stage.h"
#include "upstream/route.h"

static void test_request__default_port__not_in_the_host(void **state)
{
	struct config config = {.upstream_url = (char[]){"http://[::1]:80/a"}};
	struct route *route;

	(void)state;
	route = route_new(&bench->resolver, &config, (struct view){NULL, 0});
	assert_non_null(strstr(route->head, "POST /a HTTP/1.1\r\nHost: [::1]\r\n"));
	route_drop(route);
	config.upstream_url = (char[]){"http://[::1]:8080/a"};
	route = route_new(&bench->resolver, &config, (struct view){NULL, 0});
	assert_non_null(strstr(route->head, "\r\nHost: [::1]:8080\r\n"));
	route_drop(route);
}

static void test_inflight__at_the_limit__overloaded_until_one_ends(void **state)
{
	size_t i;

	(void)state;
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD, .later = STUB_HOLD});
	budget_init(&bench->inflight, 3);
	for (i = 0; i < 3; i++)
		assert_int_equal(start(&bench->calls[i]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[3]), VERDICT_OVERLOADED);
	TURN_UNTIL(bench->stub.held == 3);
	relay_cancel(bench->relay, &bench->calls[2]);
	assert_int_equal(start(&bench->calls[3]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[4]), VERDICT_OVERLOADED);
	TURN_UNTIL(bench->stub.requests == 4);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 3);
	assert_int_equal(bench->calls[2].verdict, VERDICT_COUNT);
	assert_int_equal(bench->calls[4].verdict, VERDICT_COUNT);
	assert_int_equal(budget_used(&bench->inflight), 0);
}

static void test_cancel__in_flight__connection_closed_and_no_done(void **state)
{
	(void)state;
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	TURN_UNTIL(bench->stub.held == 1);
	relay_cancel(bench->relay, &bench->calls[0]);
	assert_null(bench->calls[0].transfer);
	TURN_UNTIL(bench->stub.open == 0);
	assert_int_equal(bench->done, 0);
	/* Once more is no harm. */
	relay_cancel(bench->relay, &bench->calls[0]);
}

static void test_done__starts_and_cancels_others(void **state)
{
	(void)state;
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	TURN_UNTIL(bench->stub.held == 2);
	bench->calls[2] = (struct relay_call){.done = on_done};
	bench->next = &bench->calls[2];
	bench->victim = &bench->calls[1];
	relay_cancel(bench->relay, &bench->calls[0]);
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	TURN_UNTIL(bench->stub.requests == 3);
	stub_set_script(&bench->stub, (struct stub_script){0});
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 2 || bench->done == 3);
	TURN_UNTIL(budget_used(&bench->inflight) == 0);
	assert_int_equal(bench->calls[2].verdict, VERDICT_ACCEPTED);
}

static void free_owner(struct relay_call *call)
{
	free(call);
	bench->done++;
}

static void test_done__frees_its_owner(void **state)
{
	struct relay_call *call = calloc(1, sizeof(*call));

	(void)state;
	call->done = free_owner;
	assert_int_equal(relay_start(bench->relay, call), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
}

static bool has(const char *header, const char *line)
{
	char text[256];

	snprintf(text, sizeof(text), "\r\n%s\r\n", line);
	return strstr(header, text) != NULL;
}

static void test_request__fixed_headers_and_no_others(void **state)
{
	char header[STUB_REQUEST_MAX], expected[512];

	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1/", 1);
	bench->config.upstream_tenant = "shop";
	make_relay();
	call_and_wait();
	stub_read_last_request(&bench->stub, header, sizeof(header));
	snprintf(expected, sizeof(expected),
		 "POST /collect HTTP/1.1\r\nHost: " HOST ":%u\r\n"
		 "User-Agent: faro-ingest/%s\r\nContent-Type: application/json\r\n"
		 "X-Scope-OrgID: shop\r\nContent-Length: 11\r\n\r\n",
		 bench->stub.port, PACKAGE_VERSION);
	assert_string_equal(header, expected);
	unsetenv("http_proxy");
}

static void test_request__headers_of_the_client__forwarded_for_this_call_only(void **state)
{
	char header[STUB_REQUEST_MAX];
	struct relay_call *call = &bench->calls[0];

	(void)state;
	call->forwarded.session_id = VIEW_LITERAL("aB3dE6gH9k");
	call->forwarded.idempotency_key = VIEW_LITERAL("36b8f84d-df4e-4d49-b662-bcde71a8764f");
	call->forwarded.traceparent =
		VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	call->forwarded.client_address = VIEW_LITERAL("2001:db8:1::");
	call_and_wait();
	stub_read_last_request(&bench->stub, header, sizeof(header));
	assert_true(has(header, "x-faro-session-id: aB3dE6gH9k"));
	assert_true(has(header, "X-Forwarded-For: 2001:db8:1::"));
	assert_true(has(header, "Idempotency-Key: 36b8f84d-df4e-4d49-b662-bcde71a8764f"));
	assert_true(has(header,
			"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
	*call = (struct relay_call){0};
	call_and_wait();
	stub_read_last_request(&bench->stub, header, sizeof(header));
	assert_null(strstr(header, "aB3dE6gH9k"));
	assert_null(strstr(header, "traceparent"));
	assert_null(strstr(header, "X-Forwarded-For"));
}

/* Whether the heap holds it, freed blocks included. Sanitizers have heaps of their own. */
static bool is_on_heap(struct view needle)
{
	static char bytes[65536];
	char line[256];
	unsigned long at, end;
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "r");
	int memory = open("/proc/self/mem", O_RDONLY);

	assert_non_null(maps);
	assert_true(memory >= 0);
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "[heap]") || sscanf(line, "%lx-%lx", &at, &end) != 2)
			continue;
		for (; at < end && !found; at += sizeof(bytes) / 2) {
			ssize_t n = pread(memory, bytes, sizeof(bytes), (off_t)at);

			found = n > 0 && memmem(bytes, (size_t)n, needle.ptr, needle.len);
		}
	}
	close(memory);
	fclose(maps);
	return found;
}

static void test_route__dropped__no_piece_of_the_key_on_the_heap(void **state)
{
	static char key[1000];
	struct route *route;
	unsigned random = 1;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(key); i++)
		key[i] = (char)('!' + rand_r(&random) % 90);
	route = route_new(&bench->resolver, &bench->config, (struct view){key, sizeof(key)});
	assert_memory_equal(route->key_line + strlen("x-api-key: "), key, sizeof(key));
	assert_memory_equal(route->head + route->head_len - sizeof(key) - 2, key, sizeof(key));
	route_drop(route);
	for (i = 0; i + 16 <= sizeof(key); i += 16)
		assert_false(is_on_heap((struct view){key + i, 16}));
}

static bool forwards(const struct relay_call *call)
{
	struct forwarded_lines forward;

	route_print_forwarded(&forward, call);
	return forward.count > 0;
}

static void test_forward__syntax__else_left_out(void **state)
{
	char long_id[FORWARDED_MAX_BYTES + 1];
	static const struct {
		struct view value;
		bool valid;
	} ids[] =
		{
			{VIEW_LITERAL("a"), true},
			{VIEW_LITERAL("A-z_0.9~:"), true},
			{VIEW_LITERAL(""), false},
			{VIEW_LITERAL("a b"), false},
			{VIEW_LITERAL("a\r\nx-api-key: y"), false},
			{VIEW_LITERAL("a\0b"), false},
			{VIEW_LITERAL("a\177"), false},
			{VIEW_LITERAL("\303\244"), false},
			{VIEW_LITERAL("a;"), false},
			{VIEW_LITERAL("a,b"), false},
			{VIEW_LITERAL("\"a\""), false},
		},
	  traces[] =
		  {
			  {VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
			   true},
			  {VIEW_LITERAL("fe-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff"),
			   true},
			  /* Upper case, version ff, ids of zeros, too short, too long, other separators. */
			  {VIEW_LITERAL("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
			   false},
			  {VIEW_LITERAL("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
			   false},
			  {VIEW_LITERAL("00-00000000000000000000000000000000-b7ad6b7169203331-01"),
			   false},
			  {VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"),
			   false},
			  {VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"),
			   false},
			  {VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-"),
			   false},
			  {VIEW_LITERAL("00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
			   false},
			  {VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g"),
			   false},
			  {VIEW_LITERAL(""), false},
		  },
	  addresses[] = {
		  {VIEW_LITERAL("192.0.2.0"), true},
		  {VIEW_LITERAL("2001:db8::ff"), true},
		  {VIEW_LITERAL(""), false},
		  {VIEW_LITERAL("192.0.2.0, 192.0.2.1"), false},
		  {VIEW_LITERAL("192.0.2.0\r\nX: y"), false},
		  {VIEW_LITERAL("unknown"), false},
	  };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(ids); i++) {
		assert_int_equal(
			forwards(&(struct relay_call){.forwarded.session_id = ids[i].value}),
			ids[i].valid);
		assert_int_equal(
			forwards(&(struct relay_call){.forwarded.idempotency_key = ids[i].value}),
			ids[i].valid);
	}
	for (i = 0; i < ARRAY_LEN(traces); i++)
		assert_int_equal(
			forwards(&(struct relay_call){.forwarded.traceparent = traces[i].value}),
			traces[i].valid);
	for (i = 0; i < ARRAY_LEN(addresses); i++)
		assert_int_equal(forwards(&(struct relay_call){.forwarded.client_address =
								       addresses[i].value}),
				 addresses[i].valid);
	memset(long_id, 'a', sizeof(long_id));
	for (i = sizeof(long_id) - 2; i <= sizeof(long_id); i++)
		assert_int_equal(
			forwards(&(struct relay_call){.forwarded.session_id = {long_id, i}}),
			i <= FORWARDED_MAX_BYTES);
}

static void write_key(const char *path, const char *key)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(key, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_api_key__file_changes__next_calls_carry_it(void **state)
{
	char path[] = "test_relay_key_XXXXXX", header[STUB_REQUEST_MAX];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_key(path, "first\n");
	bench->config.upstream_api_key_file = path;
	make_relay();
	call_and_wait();
	stub_read_last_request(&bench->stub, header, sizeof(header));
	assert_true(has(header, "x-api-key: first"));
	write_key(path, "second\n");
	/* The file is looked at once a second. */
	while (!has(header, "x-api-key: second")) {
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
		stub_read_last_request(&bench->stub, header, sizeof(header));
	}
	unlink(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_inflight__at_the_limit__overloaded_until_one_ends),
		TEST(test_cancel__in_flight__connection_closed_and_no_done),
		TEST(test_done__starts_and_cancels_others),
		TEST(test_done__frees_its_owner),
		TEST(test_request__fixed_headers_and_no_others),
		TEST(test_request__headers_of_the_client__forwarded_for_this_call_only),
		TEST(test_forward__syntax__else_left_out),
		TEST(test_api_key__file_changes__next_calls_carry_it),
	};
	static const struct CMUnitTest own_tests[] = {
		TEST(test_request__default_port__not_in_the_host),
		TEST(test_route__dropped__no_piece_of_the_key_on_the_heap),
	};
	int failed;

	/* A driver that hangs has failed. */
	alarm(240);
	failed = cmocka_run_group_tests_name("engine_http", tests, NULL, NULL);
	failed += cmocka_run_group_tests_name("engine_http alone", own_tests, NULL, NULL);
	through_libcurl = true;
	return failed + cmocka_run_group_tests_name("engine_curl", tests, NULL, NULL);
}
