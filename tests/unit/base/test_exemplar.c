/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/exemplar.h"
#include "base/text.h"

enum {
	WRITERS = 3,
	ROUNDS = 100000
};

static void test_exemplar__empty_written_replaced__the_last_one(void **state)
{
	struct exemplar_slot slot = {0};
	struct exemplar seen;

	(void)state;
	assert_false(exemplar_get(&slot, &seen));
	exemplar_set(&slot, &(struct exemplar){{1, 2}, 3, 4});
	exemplar_set(&slot, &(struct exemplar){{5, 6}, 7, 8});
	assert_true(exemplar_get(&slot, &seen));
	assert_true(seen.trace.high == 5 && seen.trace.low == 6);
	assert_true(seen.value_us == 7 && seen.time_ms == 8);
}

/* The one who writes has been stopped in the middle: nobody waits for it. */
static void test_exemplar__being_written__nothing_read_and_nothing_changed(void **state)
{
	struct exemplar_slot slot = {0};
	struct exemplar seen;

	(void)state;
	exemplar_set(&slot, &(struct exemplar){{1, 2}, 3, 4});
	atomic_fetch_add(&slot.version, 1);
	assert_false(exemplar_get(&slot, &seen));
	exemplar_set(&slot, &(struct exemplar){{5, 6}, 7, 8});
	atomic_fetch_add(&slot.version, 1);
	assert_true(exemplar_get(&slot, &seen));
	assert_true(seen.trace.high == 1 && seen.value_us == 3);
}

static struct exemplar_slot shared;
static _Atomic int writing = WRITERS;

static void *write_many(void *arg)
{
	uint64_t own = (uint64_t)(uintptr_t)arg;

	for (uint64_t i = 1; i <= ROUNDS; i++) {
		uint64_t n = i * WRITERS + own;

		exemplar_set(&shared, &(struct exemplar){{n, n}, (int64_t)n, (int64_t)n});
	}
	atomic_fetch_sub(&writing, 1);
	return arg;
}

static void test_exemplar__written_by_several__never_read_in_parts(void **state)
{
	pthread_t threads[WRITERS];
	struct exemplar seen;

	(void)state;
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, (void *)i), 0);
	do {
		if (!exemplar_get(&shared, &seen))
			continue;
		assert_true(seen.trace.low == seen.trace.high);
		assert_true(seen.value_us == (int64_t)seen.trace.high);
		assert_true(seen.time_ms == (int64_t)seen.trace.high);
	} while (atomic_load(&writing) > 0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	assert_true(exemplar_get(&shared, &seen));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exemplar__empty_written_replaced__the_last_one),
		cmocka_unit_test(test_exemplar__being_written__nothing_read_and_nothing_changed),
		cmocka_unit_test(test_exemplar__written_by_several__never_read_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
