/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver with a getaddrinfo(3) that the test answers, and blocks as a dead name server does. The
 * numeric form still asks the C library, which needs no network for it. The clock
 * stands still until the test ends the pause between two lookups.
 */
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/text.h"
#include "fakes/clock.h"
#include "fakes/stub_receiver.h"
#include "upstream/relay.h"
#include "upstream/resolver.h"

enum {
	ANSWERS_MAX = 20,
	LINE_BYTES = 1200,
	GUARD_US = 20 * 1000000,
	RETRY_US = 1000000 /* from one lookup to the next that is wanted, or after a failure */
};

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	const char *answers[ANSWERS_MAX + 1]; /* NULL ends them */
	int error;
	bool blocked;
	unsigned begun, ended;
	/* How often the resolver's thread began to wait for its next lookup, and on what. */
	unsigned pauses;
	pthread_cond_t *pause;
	pthread_mutex_t *pause_mutex;
} server = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static bool no_threads;
static pthread_t test_thread;

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **found);
void __real_freeaddrinfo(struct addrinfo *list);
void __wrap_freeaddrinfo(struct addrinfo *list);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __real_pthread_cond_timedwait(pthread_cond_t *changed, pthread_mutex_t *mutex,
				  const struct timespec *due);
int __wrap_pthread_cond_timedwait(pthread_cond_t *changed, pthread_mutex_t *mutex,
				  const struct timespec *due);

/* The test's own thread waits for as long as that is, while the clock stands. */
static int wait_real_time(pthread_cond_t *changed, pthread_mutex_t *mutex, int64_t us)
{
	struct timespec due;

	__real_clock_gettime(changed == &server.changed ? CLOCK_REALTIME : CLOCK_MONOTONIC, &due);
	us += due.tv_nsec / 1000;
	due = (struct timespec){due.tv_sec + us / 1000000, us % 1000000 * 1000};
	return __real_pthread_cond_timedwait(changed, mutex, &due);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *changed, pthread_mutex_t *mutex,
				  const struct timespec *due)
{
	int64_t due_us = (int64_t)due->tv_sec * 1000000 + due->tv_nsec / 1000;

	if (pthread_equal(pthread_self(), test_thread))
		return wait_real_time(changed, mutex, due_us - fake_clock.now_us);
	pthread_mutex_lock(&server.mutex);
	server.pauses++;
	server.pause = changed;
	server.pause_mutex = mutex;
	pthread_cond_broadcast(&server.changed);
	pthread_mutex_unlock(&server.mutex);
	return pthread_cond_wait(changed, mutex);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg)
{
	return no_threads ? EAGAIN : __real_pthread_create(thread, attr, run, arg);
}

/* In one piece with its address, as free(3) can take it. */
static struct addrinfo *copy_of(const struct addrinfo *original, struct addrinfo *next)
{
	struct addrinfo *copy = malloc(sizeof(*copy) + sizeof(struct sockaddr_storage));

	*copy = *original;
	copy->ai_addr = (struct sockaddr *)(void *)(copy + 1);
	memcpy(copy->ai_addr, original->ai_addr, original->ai_addrlen);
	copy->ai_canonname = NULL;
	copy->ai_next = next;
	return copy;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
	while (list) {
		struct addrinfo *next = list->ai_next;

		free(list);
		list = next;
	}
}

static struct addrinfo *parse(const char *address, const char *port, struct addrinfo *next)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	struct addrinfo *original, *copy;

	if (__real_getaddrinfo(address, port, &hints, &original) != 0)
		return NULL;
	copy = copy_of(original, next);
	__real_freeaddrinfo(original);
	return copy;
}

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **found)
{
	int error;
	size_t i;

	if (hints->ai_flags & AI_NUMERICHOST) {
		*found = parse(host, port, NULL);
		return *found ? 0 : EAI_NONAME;
	}
	pthread_mutex_lock(&server.mutex);
	server.begun++;
	pthread_cond_broadcast(&server.changed);
	while (server.blocked)
		pthread_cond_wait(&server.changed, &server.mutex);
	error = server.error;
	*found = NULL;
	for (i = ANSWERS_MAX; error == 0 && i-- > 0;)
		if (server.answers[i])
			*found = parse(server.answers[i], port, *found);
	server.ended++;
	pthread_cond_broadcast(&server.changed);
	pthread_mutex_unlock(&server.mutex);
	return error;
}

/* Sets what later lookups find. */
static void set_answers(const char *first, const char *second, const char *third)
{
	pthread_mutex_lock(&server.mutex);
	memset(server.answers, 0, sizeof(server.answers));
	server.answers[0] = first;
	server.answers[1] = second;
	server.answers[2] = third;
	server.error = first ? 0 : EAI_AGAIN;
	pthread_mutex_unlock(&server.mutex);
}

static void set_blocked(bool blocked)
{
	pthread_mutex_lock(&server.mutex);
	server.blocked = blocked;
	pthread_cond_broadcast(&server.changed);
	pthread_mutex_unlock(&server.mutex);
}

static void wait_for(const unsigned *counter, unsigned value)
{
	struct timespec due;

	clock_gettime(CLOCK_REALTIME, &due);
	due.tv_sec += GUARD_US / 1000000;
	pthread_mutex_lock(&server.mutex);
	while (*counter < value)
		if (pthread_cond_timedwait(&server.changed, &server.mutex, &due) == ETIMEDOUT)
			break;
	value = *counter - value;
	pthread_mutex_unlock(&server.mutex);
	assert_true((int)value >= 0);
}

/* The pause until the next lookup is over, once there was one. */
static void end_pause(void)
{
	pthread_cond_t *pause;
	pthread_mutex_t *pause_mutex;

	wait_for(&server.pauses, 1);
	/* A thread that was woken may begin its next pause just now. */
	pthread_mutex_lock(&server.mutex);
	pause = server.pause;
	pause_mutex = server.pause_mutex;
	pthread_mutex_unlock(&server.mutex);
	pthread_mutex_lock(pause_mutex);
	fake_clock.now_us += RETRY_US;
	pthread_cond_broadcast(pause);
	pthread_mutex_unlock(pause_mutex);
}

/* One more lookup, asked for and ended; what it found is published right after. */
static void look_up_again(struct resolver *resolver)
{
	unsigned ended;

	pthread_mutex_lock(&server.mutex);
	ended = server.ended;
	pthread_mutex_unlock(&server.mutex);
	resolver_refresh(resolver);
	end_pause();
	wait_for(&server.ended, ended + 1);
}

static struct resolver *new_resolver(void)
{
	struct resolver *resolver = resolver_new("receiver.invalid", 12347);

	assert_non_null(resolver);
	return resolver;
}

static int set_up(void **state)
{
	(void)state;
	set_answers("127.0.0.1", NULL, NULL);
	server.blocked = false;
	server.begun = server.ended = server.pauses = 0;
	return 0;
}

/* The addresses of one reading as "addr,[addr]". */
static unsigned read_line(struct resolver *resolver, char *line, size_t size)
{
	struct resolver_addresses addresses;
	unsigned generation = resolver_read(resolver, &addresses);
	size_t used = 0, i;

	*line = '\0';
	for (i = 0; i < addresses.count; i++)
		used += (size_t)snprintf(line + used, size - used,
					 addresses.list[i].family == AF_INET6 ? "%s[%s]" : "%s%s",
					 i > 0 ? "," : "", addresses.list[i].text);
	return generation;
}

static void test_numeric__known_at_once__nothing_to_look_up(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "::1", "fe80::1"};
	char line[LINE_BYTES];
	size_t i;

	(void)state;
	no_threads = true;
	for (i = 0; i < ARRAY_LEN(hosts); i++) {
		struct resolver *resolver = resolver_new(hosts[i], 12347);

		assert_non_null(resolver);
		assert_true(resolver_wait(resolver, 0));
		assert_int_equal(read_line(resolver, line, sizeof(line)), 1);
		assert_non_null(strstr(line, hosts[i]));
		assert_null(resolver_error(resolver));
		resolver_refresh(resolver);
		resolver_free(resolver);
	}
	no_threads = false;
	assert_int_equal(server.begun, 0);
}

static void test_new__no_thread__null_and_errno(void **state)
{
	(void)state;
	no_threads = true;
	errno = 0;
	assert_null(resolver_new("receiver.invalid", 12347));
	assert_int_equal(errno, EAGAIN);
	no_threads = false;
}

static void test_free__null__nothing(void **state)
{
	(void)state;
	resolver_free(NULL);
}

static void test_line__forms(void **state)
{
	static const struct {
		const char *answers[3], *line;
	} rows[] = {
		{{"10.0.0.1"}, "10.0.0.1"},
		{{"fd00::1"}, "[fd00::1]"},
		/* Each once. */
		{{"10.0.0.1", "10.0.0.1"}, "10.0.0.1"},
		/* The family that the system puts first stays first. */
		{{"fd00::1", "10.0.0.1"}, "[fd00::1],10.0.0.1"},
		{{"10.0.0.1", "fd00::1"}, "10.0.0.1,[fd00::1]"},
	};
	char line[LINE_BYTES];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct resolver *resolver;

		set_answers(rows[i].answers[0], rows[i].answers[1], NULL);
		resolver = new_resolver();
		assert_true(resolver_wait(resolver, GUARD_US / 1000));
		assert_int_equal(read_line(resolver, line, sizeof(line)), 1);
		assert_string_equal(line, rows[i].line);
		resolver_free(resolver);
	}
}

static void test_line__successive_readings__begin_with_successive_addresses(void **state)
{
	static const char *const lines[] = {
		"10.0.0.1,10.0.0.2,[fd00::1]",
		"10.0.0.2,10.0.0.1,[fd00::1]",
	};
	char line[LINE_BYTES];
	struct resolver *resolver;
	size_t first, i;

	(void)state;
	set_answers("10.0.0.2", "fd00::1", "10.0.0.1");
	resolver = new_resolver();
	assert_true(resolver_wait(resolver, GUARD_US / 1000));
	read_line(resolver, line, sizeof(line));
	first = strcmp(line, lines[0]) == 0 ? 0 : 1;
	for (i = 0; i < 4; i++) {
		assert_string_equal(line, lines[(first + i) % 2]);
		read_line(resolver, line, sizeof(line));
	}
	resolver_free(resolver);
}

static unsigned count(const char *text, char c)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == c;
	return n;
}

static const char *const many[ANSWERS_MAX] = {
	"fd00:1111:2222:3333:4444:5555:6666:1000", "fd00:1111:2222:3333:4444:5555:6666:1001",
	"fd00:1111:2222:3333:4444:5555:6666:1002", "fd00:1111:2222:3333:4444:5555:6666:1003",
	"fd00:1111:2222:3333:4444:5555:6666:1004", "fd00:1111:2222:3333:4444:5555:6666:1005",
	"fd00:1111:2222:3333:4444:5555:6666:1006", "fd00:1111:2222:3333:4444:5555:6666:1007",
	"fd00:1111:2222:3333:4444:5555:6666:1008", "fd00:1111:2222:3333:4444:5555:6666:1009",
	"fd00:1111:2222:3333:4444:5555:6666:100a", "fd00:1111:2222:3333:4444:5555:6666:100b",
	"fd00:1111:2222:3333:4444:5555:6666:100c", "fd00:1111:2222:3333:4444:5555:6666:100d",
	"fd00:1111:2222:3333:4444:5555:6666:100e", "fd00:1111:2222:3333:4444:5555:6666:100f",
	"fd00:1111:2222:3333:4444:5555:6666:1010", "fd00:1111:2222:3333:4444:5555:6666:1011",
};

static void test_addresses__more_than_the_limit__cut_off(void **state)
{
	char line[LINE_BYTES];
	struct resolver *resolver;
	size_t n;

	(void)state;
	for (n = RESOLVER_ADDRESSES_MAX - 1; n <= RESOLVER_ADDRESSES_MAX + 1; n++) {
		set_answers(NULL, NULL, NULL);
		memcpy(server.answers, many, n * sizeof(*many));
		server.error = 0;
		resolver = new_resolver();
		assert_true(resolver_wait(resolver, GUARD_US / 1000));
		read_line(resolver, line, sizeof(line));
		assert_int_equal(count(line, '['),
				 n < RESOLVER_ADDRESSES_MAX ? n : RESOLVER_ADDRESSES_MAX);
		resolver_free(resolver);
	}
}

/* Those that fell to us of the first answer are as good as any. */
static void test_addresses__more_than_the_limit_in_another_order__stay(void **state)
{
	struct resolver *resolver;

	(void)state;
	set_answers(NULL, NULL, NULL);
	memcpy(server.answers, many, (RESOLVER_ADDRESSES_MAX + 1) * sizeof(*many));
	server.error = 0;
	resolver = new_resolver();
	assert_true(resolver_wait(resolver, GUARD_US / 1000));
	pthread_mutex_lock(&server.mutex);
	server.answers[0] = many[RESOLVER_ADDRESSES_MAX];
	server.answers[RESOLVER_ADDRESSES_MAX] = many[0];
	pthread_mutex_unlock(&server.mutex);
	look_up_again(resolver);
	look_up_again(resolver);
	assert_int_equal(resolver_generation(resolver), 1);
	resolver_free(resolver);
}

static void test_generation__changes_only_with_the_addresses(void **state)
{
	char line[LINE_BYTES];
	struct resolver *resolver;

	(void)state;
	set_answers("10.0.0.1", "10.0.0.2", NULL);
	resolver = new_resolver();
	assert_true(resolver_wait(resolver, GUARD_US / 1000));
	/* Another order is the same answer. */
	set_answers("10.0.0.2", "10.0.0.1", NULL);
	look_up_again(resolver);
	look_up_again(resolver);
	assert_int_equal(resolver_generation(resolver), 1);
	/* A failure takes nothing away, and says why. */
	set_answers(NULL, NULL, NULL);
	look_up_again(resolver);
	while (!resolver_error(resolver))
		;
	assert_string_equal(resolver_error(resolver), gai_strerror(EAI_AGAIN));
	assert_int_equal(resolver_generation(resolver), 1);
	set_answers("10.0.0.3", NULL, NULL);
	look_up_again(resolver);
	while (resolver_generation(resolver) == 1)
		;
	assert_int_equal(read_line(resolver, line, sizeof(line)), 2);
	assert_string_equal(line, "10.0.0.3");
	assert_null(resolver_error(resolver));
	resolver_free(resolver);
}

static void test_first_lookup__fails__then_tried_again(void **state)
{
	char line[LINE_BYTES];
	struct resolver *resolver;

	(void)state;
	set_answers(NULL, NULL, NULL);
	resolver = new_resolver();
	assert_false(resolver_wait(resolver, GUARD_US / 1000));
	assert_int_equal(read_line(resolver, line, sizeof(line)), 0);
	assert_string_equal(line, "");
	assert_non_null(resolver_error(resolver));
	set_answers("10.0.0.1", NULL, NULL);
	/* Without being asked to. */
	end_pause();
	wait_for(&server.ended, 2);
	while (resolver_generation(resolver) == 0)
		;
	resolver_free(resolver);
}

static void test_refresh__many_times__one_lookup(void **state)
{
	struct resolver *resolver;
	unsigned i;

	(void)state;
	resolver = new_resolver();
	assert_true(resolver_wait(resolver, GUARD_US / 1000));
	for (i = 0; i < 1000; i++)
		resolver_refresh(resolver);
	end_pause();
	wait_for(&server.ended, 2);
	assert_int_equal(server.begun, 2);
	resolver_free(resolver);
}

static void test_free__lookup_under_way__does_not_wait(void **state)
{
	struct resolver *resolver;

	(void)state;
	server.blocked = true;
	resolver = new_resolver();
	wait_for(&server.begun, 1);
	assert_false(resolver_wait(resolver, 1));
	resolver_refresh(resolver);
	resolver_free(resolver);
	assert_int_equal(server.ended, 0);
	/* The thread frees what is left. */
	set_blocked(false);
	wait_for(&server.ended, 1);
}

static unsigned calls_done;

static void on_done(struct relay_call *call)
{
	(void)call;
	calls_done++;
}

static void on_guard(struct loop_timer *timer)
{
	(void)timer;
	fail_msg("the loop waited for the name server");
}

static enum verdict call_and_wait(struct loop *loop, struct relay *relay)
{
	struct relay_call call = {.done = on_done};

	calls_done = 0;
	assert_int_equal(relay_start(relay, &call), VERDICT_OK);
	while (calls_done == 0)
		loop_turn(loop);
	return call.verdict;
}

static void test_relay__name_server_does_not_answer__loop_goes_on(void **state)
{
	struct loop_timer guard = {.fire = on_guard};
	struct config config = {.upstream_connect_timeout_ms = 5000,
				.upstream_timeout_ms = 15000,
				.upstream_max_inflight = 1};
	struct resolver *resolver;
	struct budget inflight;
	static struct stub stub;
	struct relay *relay;
	struct loop loop;
	char url[64];

	(void)state;
	stub_start(&stub, "127.0.0.1", 0);
	snprintf(url, sizeof(url), "http://receiver.invalid:%u/collect", stub.port);
	config.upstream_url = url;
	config.upstream_port = stub.port;
	server.blocked = true;
	resolver = resolver_new("receiver.invalid", stub.port);
	budget_init(&inflight, 1);
	assert_true(loop_init(&loop));
	relay = relay_new(&loop, &config, resolver, &inflight);
	loop_timer_add(&loop, &guard);
	guard.due_us = loop_now_us() + GUARD_US;
	wait_for(&server.begun, 1);
	assert_int_equal(call_and_wait(&loop, relay), VERDICT_UPSTREAM_UNAVAILABLE);
	/* It answers, and then no more: what is known stays good. */
	set_blocked(false);
	assert_true(resolver_wait(resolver, GUARD_US / 1000));
	set_blocked(true);
	resolver_refresh(resolver);
	end_pause();
	wait_for(&server.begun, 2);
	assert_int_equal(call_and_wait(&loop, relay), VERDICT_ACCEPTED);
	relay_free(relay);
	resolver_free(resolver);
	loop_release(&loop);
	stub_stop(&stub);
	set_blocked(false);
	wait_for(&server.ended, 2);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_numeric__known_at_once__nothing_to_look_up),
		TEST(test_new__no_thread__null_and_errno),
		TEST(test_free__null__nothing),
		TEST(test_line__forms),
		TEST(test_line__successive_readings__begin_with_successive_addresses),
		TEST(test_addresses__more_than_the_limit__cut_off),
		TEST(test_addresses__more_than_the_limit_in_another_order__stay),
		TEST(test_generation__changes_only_with_the_addresses),
		TEST(test_first_lookup__fails__then_tried_again),
		TEST(test_refresh__many_times__one_lookup),
		TEST(test_free__lookup_under_way__does_not_wait),
		TEST(test_relay__name_server_does_not_answer__loop_goes_on),
	};

	/* A driver that hangs has failed. */
	alarm(120);
	test_thread = pthread_self();
	fake_clock.stands = true;
	fake_clock.now_us = (int64_t)1000 * 1000000;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
