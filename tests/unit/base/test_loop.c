/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"
#include "fakes/clock.h"

/* --wrap=epoll_wait: the next wait takes so long, and is interrupted behind it. */

enum {
	SECOND_US = 1000 * 1000,
	STALL_US = 250 * 1000,
};

static int64_t wait_takes_us;
static int wait_asked_ms;
static bool wait_is_interrupted;

int __real_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms)
{
	bool interrupted = wait_is_interrupted;

	if (!fake_clock.stands)
		return __real_epoll_wait(epoll, events, max, timeout_ms);
	fake_clock.now_us += wait_takes_us;
	wait_takes_us = 0;
	wait_is_interrupted = false;
	errno = EINTR;
	if (interrupted)
		return -1;
	wait_asked_ms = timeout_ms;
	return __real_epoll_wait(epoll, events, max, 0);
}

/* A watched eventfd that is readable from the start, and what its owner does when it is told so. */
struct source {
	struct loop_watch watch;
	unsigned calls;
	uint32_t events;
	struct source *victim; /* to remove */
	bool drain;
	int64_t takes_us; /* of the clock that stands */
};

struct alarm {
	struct loop_timer timer;
	unsigned fired;
	bool again;                    /* arms itself for now */
	unsigned *calls, calls_before; /* how many there were when it fired */
};

static struct loop loop;

static void on_ready(struct loop_watch *watch, uint32_t events)
{
	struct source *source = (struct source *)(void *)watch;
	eventfd_t value;

	source->calls++;
	source->events = events;
	fake_clock.now_us += source->takes_us;
	if (source->drain)
		eventfd_read(watch->fd, &value);
	if (source->victim)
		loop_watch_set(&loop, &source->victim->watch, 0);
}

static void on_fire(struct loop_timer *timer)
{
	struct alarm *alarm = (struct alarm *)(void *)timer;

	assert_true(timer->due_us == INT64_MAX);
	alarm->fired++;
	if (alarm->calls)
		alarm->calls_before = *alarm->calls;
	if (alarm->again)
		timer->due_us = 0;
}

static void source_init(struct source *source)
{
	*source = (struct source){.watch = {.fd = eventfd(1, EFD_NONBLOCK), .ready = on_ready}};
	assert_true(source->watch.fd >= 0);
}

static void alarm_init(struct alarm *alarm)
{
	*alarm = (struct alarm){.timer.fire = on_fire};
	loop_timer_add(&loop, &alarm->timer);
	assert_true(alarm->timer.due_us == INT64_MAX);
}

static int set_up(void **state)
{
	(void)state;
	return loop_init(&loop) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	loop_release(&loop);
	fake_clock.stands = false;
	return 0;
}

static void test_watch__level_triggered_until_removed(void **state)
{
	struct source source;
	struct alarm alarm;

	(void)state;
	source_init(&source);
	alarm_init(&alarm);
	assert_true(loop_watch_set(&loop, &source.watch, EPOLLIN));
	loop_turn(&loop);
	loop_turn(&loop);
	assert_int_equal(source.calls, 2);
	assert_int_equal(source.events, EPOLLIN);
	assert_true(loop_watch_set(&loop, &source.watch, EPOLLIN | EPOLLOUT));
	loop_turn(&loop);
	assert_int_equal(source.events, EPOLLIN | EPOLLOUT);
	loop_watch_set(&loop, &source.watch, 0);
	alarm.timer.due_us = 0;
	loop_turn(&loop);
	assert_int_equal(source.calls, 3);
	close(source.watch.fd);
}

static void test_watch__bad_descriptor__errno(void **state)
{
	struct loop_watch watch = {.fd = -1, .ready = on_ready};

	(void)state;
	errno = 0;
	assert_false(loop_watch_set(&loop, &watch, EPOLLIN));
	assert_int_equal(errno, EBADF);
	assert_int_equal(watch.events, 0);
}

/* Whichever of the two comes first removes the other, whose event waits in the same batch. */
static void test_remove__event_in_the_batch__not_delivered(void **state)
{
	struct source a, b;

	(void)state;
	source_init(&a);
	source_init(&b);
	a.victim = &b;
	b.victim = &a;
	assert_true(loop_watch_set(&loop, &a.watch, EPOLLIN));
	assert_true(loop_watch_set(&loop, &b.watch, EPOLLIN));
	loop_turn(&loop);
	assert_int_equal(a.calls + b.calls, 1);
	close(a.watch.fd);
	close(b.watch.fd);
}

static void test_remove__itself__not_called_again(void **state)
{
	struct source source;
	struct alarm alarm;

	(void)state;
	source_init(&source);
	alarm_init(&alarm);
	source.victim = &source;
	assert_true(loop_watch_set(&loop, &source.watch, EPOLLIN));
	loop_turn(&loop);
	alarm.timer.due_us = 0;
	loop_turn(&loop);
	assert_int_equal(source.calls, 1);
	close(source.watch.fd);
}

static void test_batch__more_sources_than_it_holds__all_served(void **state)
{
	enum {
		SOURCES = LOOP_BATCH + 1
	};
	static struct source sources[SOURCES];
	unsigned calls = 0;
	size_t i;

	(void)state;
	for (i = 0; i < SOURCES; i++) {
		source_init(&sources[i]);
		sources[i].drain = true;
		assert_true(loop_watch_set(&loop, &sources[i].watch, EPOLLIN));
	}
	loop_turn(&loop);
	loop_turn(&loop);
	for (i = 0; i < SOURCES; i++) {
		calls += sources[i].calls;
		close(sources[i].watch.fd);
	}
	assert_int_equal(calls, SOURCES);
}

static void test_timer__due_now__fires_once_a_turn(void **state)
{
	struct alarm alarm;

	(void)state;
	alarm_init(&alarm);
	alarm.again = true;
	alarm.timer.due_us = loop.now_us;
	loop_turn(&loop);
	assert_int_equal(alarm.fired, 1);
	loop_turn(&loop);
	assert_int_equal(alarm.fired, 2);
}

static void test_timer__due_later__one_turn_waits_for_it(void **state)
{
	struct alarm alarm, other;
	int64_t due_us;

	(void)state;
	alarm_init(&alarm);
	alarm_init(&other);
	due_us = loop_now_us() + 10990;
	alarm.timer.due_us = due_us;
	other.timer.due_us = INT64_MAX - 1;
	loop_turn(&loop);
	assert_int_equal(alarm.fired, 1);
	assert_int_equal(other.fired, 0);
	assert_true(loop.now_us >= due_us);
}

/* A socket's callback that arms a timer for now is served in the same turn. */
static void on_ready_arm(struct loop_watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	loop.timers->due_us = loop.now_us;
}

static void test_timer__armed_by_a_socket__fires_in_the_same_turn(void **state)
{
	struct source source;
	struct alarm alarm;

	(void)state;
	source_init(&source);
	source.watch.ready = on_ready_arm;
	alarm_init(&alarm);
	assert_true(loop_watch_set(&loop, &source.watch, EPOLLIN));
	loop_turn(&loop);
	assert_int_equal(alarm.fired, 1);
	close(source.watch.fd);
}

/* --- a process that stands still ---------------------------------------------------------------*/

/* The clock stands, and moves where a test says so. */
static void begin_stall_test(struct source *source, struct alarm *alarm)
{
	fake_clock.stands = true;
	fake_clock.now_us = 1000 * (int64_t)SECOND_US;
	loop.now_us = fake_clock.now_us;
	source_init(source);
	source->drain = true;
	alarm_init(alarm);
	alarm->calls = &source->calls;
	assert_true(loop_watch_set(&loop, &source->watch, EPOLLIN));
}

static void test_stall__interrupted__what_has_come_is_read_before_a_timer_fires(void **state)
{
	struct source source;
	struct alarm alarm;

	(void)state;
	begin_stall_test(&source, &alarm);
	alarm.timer.due_us = loop.now_us + 5 * SECOND_US;
	wait_takes_us = 6 * SECOND_US;
	wait_is_interrupted = true;
	loop_turn(&loop);
	assert_int_equal(alarm.fired, 1);
	assert_int_equal(alarm.calls_before, 1);
	assert_int_equal(loop.lost_before_us, 0);
	assert_int_equal(loop.lost_us, 6 * SECOND_US - STALL_US);
	loop_turn(&loop);
	assert_int_equal(loop.lost_before_us, loop.lost_us);
	close(source.watch.fd);
}

/* It ended by itself, with one event, and the process stood still before it could look. */
static void test_stall__behind_the_wait__the_same(void **state)
{
	struct source source, later;
	struct alarm alarm;

	(void)state;
	begin_stall_test(&source, &alarm);
	source_init(&later);
	later.drain = true;
	assert_true(loop_watch_set(&loop, &later.watch, EPOLLIN));
	alarm.calls = &later.calls;
	alarm.timer.due_us = loop.now_us + SECOND_US;
	wait_takes_us = 20 * SECOND_US;
	loop_turn(&loop);
	assert_int_equal(alarm.calls_before, 1);
	assert_int_equal(loop.lost_us, 20 * SECOND_US - STALL_US);
	close(source.watch.fd);
	close(later.watch.fd);
}

static void test_stall__more_sources_than_a_batch__all_are_read_before_a_timer_fires(void **state)
{
	enum {
		SOURCES = 5 * LOOP_BATCH + 1
	};
	static struct source sources[SOURCES];
	struct alarm alarm;
	unsigned calls = 0;

	(void)state;
	begin_stall_test(&sources[SOURCES - 1], &alarm);
	for (size_t i = 0; i < SOURCES - 1; i++) {
		source_init(&sources[i]);
		sources[i].drain = true;
		assert_true(loop_watch_set(&loop, &sources[i].watch, EPOLLIN));
	}
	alarm.timer.due_us = loop.now_us + SECOND_US;
	wait_takes_us = 4 * SECOND_US;
	wait_is_interrupted = true;
	loop_turn(&loop);
	assert_int_equal(alarm.fired, 1);
	for (size_t i = 0; i < SOURCES; i++) {
		calls += sources[i].calls;
		close(sources[i].watch.fd);
	}
	assert_int_equal(calls, SOURCES);
}

/* A peer that always has something to say does not keep the timers from firing. */
static void test_stall__a_batch_that_is_never_quiet__the_timer_fires(void **state)
{
	static struct source sources[LOOP_BATCH];
	struct alarm alarm;

	(void)state;
	begin_stall_test(&sources[0], &alarm);
	sources[0].drain = false;
	for (size_t i = 1; i < LOOP_BATCH; i++) {
		source_init(&sources[i]);
		assert_true(loop_watch_set(&loop, &sources[i].watch, EPOLLIN));
	}
	alarm.timer.due_us = loop.now_us + SECOND_US;
	wait_takes_us = 4 * SECOND_US;
	loop_turn(&loop);
	assert_int_equal(alarm.fired, 1);
	for (size_t i = 0; i < LOOP_BATCH; i++)
		close(sources[i].watch.fd);
}

static void test_stall__in_what_a_source_does__is_seen_in_the_next_turn(void **state)
{
	struct source source;
	struct alarm alarm;

	(void)state;
	begin_stall_test(&source, &alarm);
	alarm.timer.due_us = loop.now_us + SECOND_US / 2;
	source.takes_us = 3 * SECOND_US;
	loop_turn(&loop);
	assert_int_equal(alarm.fired, 0);
	assert_int_equal(loop.lost_us, 0);
	assert_true(loop_has_stood_still(&loop, 0));
	loop_turn(&loop);
	assert_false(loop_has_stood_still(&loop, loop.lost_us));
	assert_true(loop_has_stood_still(&loop, 0));
	assert_int_equal(alarm.fired, 1);
	assert_int_equal(loop.lost_us, 3 * SECOND_US - STALL_US);
	close(source.watch.fd);
}

/* What a wait and a turn may take is no stall, and one step more is. */
static void test_stall__begins_beyond_what_a_turn_may_take(void **state)
{
	static const struct {
		int64_t takes_us, lost_us;
		bool interrupted;
	} rows[] = {
		{2 * SECOND_US, 0, false},
		{2 * SECOND_US + STALL_US, 0, false},
		{2 * SECOND_US + STALL_US + 1, 2 * SECOND_US + 1, false},
		{STALL_US, 0, true},
		{STALL_US + 1, 1, true},
		{0, 0, true},
	};
	struct source source;
	struct alarm alarm;

	(void)state;
	begin_stall_test(&source, &alarm);
	loop_turn(&loop);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t before_us = loop.lost_us, awake_us = loop_awake_us(&loop);

		alarm.timer.due_us = loop.now_us + 2 * SECOND_US;
		wait_takes_us = rows[i].takes_us;
		wait_is_interrupted = rows[i].interrupted;
		loop_turn(&loop);
		assert_int_equal(loop.lost_us - before_us, rows[i].lost_us);
		assert_int_equal(loop_awake_us(&loop) - awake_us,
				 rows[i].takes_us - rows[i].lost_us);
	}
	close(source.watch.fd);
}

static void test_stall__without_a_timer__a_wait_of_any_length_is_none(void **state)
{
	struct source source;
	struct alarm alarm;

	(void)state;
	begin_stall_test(&source, &alarm);
	wait_takes_us = 3600 * (int64_t)SECOND_US;
	loop_turn(&loop);
	assert_int_equal(wait_asked_ms, -1);
	assert_int_equal(source.calls, 1);
	assert_int_equal(loop.lost_us, 0);
	close(source.watch.fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_watch__level_triggered_until_removed),
		TEST(test_watch__bad_descriptor__errno),
		TEST(test_remove__event_in_the_batch__not_delivered),
		TEST(test_remove__itself__not_called_again),
		TEST(test_batch__more_sources_than_it_holds__all_served),
		TEST(test_timer__due_now__fires_once_a_turn),
		TEST(test_timer__due_later__one_turn_waits_for_it),
		TEST(test_timer__armed_by_a_socket__fires_in_the_same_turn),
		TEST(test_stall__interrupted__what_has_come_is_read_before_a_timer_fires),
		TEST(test_stall__behind_the_wait__the_same),
		TEST(test_stall__more_sources_than_a_batch__all_are_read_before_a_timer_fires),
		TEST(test_stall__a_batch_that_is_never_quiet__the_timer_fires),
		TEST(test_stall__in_what_a_source_does__is_seen_in_the_next_turn),
		TEST(test_stall__begins_beyond_what_a_turn_may_take),
		TEST(test_stall__without_a_timer__a_wait_of_any_length_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
