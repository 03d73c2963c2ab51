/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "delivery/id_set.h"

enum {
	IDS = 3 * ID_SET_MAX
};

static void test_set__full_of_random_ids__same_as_a_list(void **state)
{
	static struct id_set set;
	static bool in[IDS];
	int count = 0;
	unsigned random = 1;

	(void)state;
	for (int turn = 0; turn < 100 * 1000; turn++) {
		int id = rand_r(&random) % IDS;

		if (in[id]) {
			id_set_remove(&set, 1 + id);
			in[id] = false;
			count--;
		} else if (count < ID_SET_MAX) {
			id_set_add(&set, 1 + id);
			in[id] = true;
			count++;
		}
		id = rand_r(&random) % IDS;
		assert_true(id_set_has(&set, 1 + id) == in[id]);
	}
	for (int id = 0; id < IDS; id++)
		assert_true(id_set_has(&set, 1 + id) == in[id]);
	assert_true(count > ID_SET_MAX / 2);
}

static void test_set__empty__has_nothing(void **state)
{
	static struct id_set set;

	(void)state;
	assert_false(id_set_has(&set, 0));
	assert_false(id_set_has(&set, 1));
	id_set_remove(&set, 1);
	id_set_add(&set, 1);
	id_set_add(&set, 1);
	id_set_remove(&set, 1);
	assert_false(id_set_has(&set, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set__full_of_random_ids__same_as_a_list),
		cmocka_unit_test(test_set__empty__has_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
