#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"

/* A watched eventfd that is readable from the start, and what its owner does when it is told so. */
struct source {
	struct loop_watch watch;
	unsigned calls;
	uint32_t events;
	struct source *victim; /* to remove */
	bool drain;
};

struct alarm {
	struct loop_timer timer;
	unsigned fired;
	bool again; /* arms itself for now */
};

static struct loop loop;

static void on_ready(struct loop_watch *watch, uint32_t events)
{
	struct source *source = (struct source *)(void *)watch;
	eventfd_t value;

	source->calls++;
	source->events = events;
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
