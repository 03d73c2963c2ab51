/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mailbox.h"
#include "base/text.h"

/* Links mailbox, loop. */

enum {
	THREADS = 4,
	LETTERS = 2000 /* of a thread */
};

struct parcel {
	struct message message;
	int from, number;
};

static struct loop loop;
static struct mailbox mailbox;
static struct parcel parcels[THREADS][LETTERS];
static int opened, next_of[THREADS];

static void on_parcel(struct message *message)
{
	struct parcel *parcel = container_of(message, struct parcel, message);

	assert_int_equal(parcel->number, next_of[parcel->from]);
	next_of[parcel->from]++;
	opened++;
}

static int set_up(void **state)
{
	(void)state;
	opened = 0;
	memset(next_of, 0, sizeof(next_of));
	for (int t = 0; t < THREADS; t++)
		for (int n = 0; n < LETTERS; n++)
			parcels[t][n] =
				(struct parcel){.message.open = on_parcel, .from = t, .number = n};
	return loop_init(&loop) && mailbox_init(&mailbox, &loop) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	mailbox_release(&mailbox);
	loop_release(&loop);
	return 0;
}

static void test_post__opened_in_the_loop_in_order__not_before(void **state)
{
	(void)state;
	for (int n = 0; n < 3; n++)
		mailbox_post(&mailbox, &parcels[0][n].message);
	assert_int_equal(opened, 0);
	loop_turn(&loop);
	assert_int_equal(opened, 3);
}

static void on_posted_again(struct message *message)
{
	opened++;
	if (opened < 5)
		mailbox_post(&mailbox, message);
}

/* Each in a turn of its own, so that a loop gets on with the rest. */
static void test_post__again_while_opened__next_turn(void **state)
{
	(void)state;
	parcels[0][0].message.open = on_posted_again;
	mailbox_post(&mailbox, &parcels[0][0].message);
	for (int turn = 1; turn <= 5; turn++) {
		loop_turn(&loop);
		assert_int_equal(opened, turn);
	}
}

static void *post_all(void *arg)
{
	struct parcel *mine = arg;

	for (int n = 0; n < LETTERS; n++)
		mailbox_post(&mailbox, &mine[n].message);
	return NULL;
}

static void test_post__from_many_threads__none_lost_each_in_its_order(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (int t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, post_all, parcels[t]), 0);
	while (opened < THREADS * LETTERS)
		loop_turn(&loop);
	for (int t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	assert_int_equal(opened, THREADS * LETTERS);
}

static void test_release__letters_that_wait__forgotten(void **state)
{
	(void)state;
	mailbox_post(&mailbox, &parcels[0][0].message);
	mailbox_release(&mailbox);
	assert_true(mailbox_init(&mailbox, &loop));
	mailbox_post(&mailbox, &parcels[1][0].message);
	loop_turn(&loop);
	assert_int_equal(opened, 1);
	assert_int_equal(next_of[1], 1);
}

static void test_init__no_descriptor__false_and_may_be_released(void **state)
{
	struct rlimit limit, none;
	struct mailbox other;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_false(mailbox_init(&other, &loop));
	assert_int_equal(errno, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	mailbox_release(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_post__opened_in_the_loop_in_order__not_before,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_post__again_while_opened__next_turn, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			test_post__from_many_threads__none_lost_each_in_its_order, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(test_release__letters_that_wait__forgotten, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_init__no_descriptor__false_and_may_be_released,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
