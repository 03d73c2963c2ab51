/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "delivery/dedup.h"
#include "delivery/policy.h"

/* Links dedup, mailbox, loop. Time is what the test says. */

#define SECOND INT64_C(1000000)

static struct dedup *dedup;
static struct loop loop;
static struct mailbox mailbox;
static struct dedup_waiter waiter;
static int opened;

static void on_message(struct message *message)
{
	assert_ptr_equal(message, &waiter.message);
	opened++;
}

static int set_up(void **state)
{
	(void)state;
	dedup = dedup_new();
	opened = 0;
	waiter = (struct dedup_waiter){.message.open = on_message, .mailbox = &mailbox};
	return dedup && loop_init(&loop) && mailbox_init(&mailbox, &loop) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	mailbox_release(&mailbox);
	loop_release(&loop);
	dedup_free(dedup);
	return 0;
}

static struct dedup_hash hash_of(unsigned n)
{
	char key[32];

	return dedup_hash((struct view){key, (size_t)snprintf(key, sizeof(key), "key-%u", n)},
			  VIEW_LITERAL("body"));
}

/* Whatever the processor has: the spool, and the next process, know beacons by it. */
static void test_hash__of_any_length__is_that_of_every_processor(void **state)
{
	static const size_t lens[] = {0,    1,    3,    4,     8,     9,      16,
				      17,   128,  129,  240,   241,   256,    1023,
				      1024, 1025, 4096, 17029, 65536, 235190, 235191};
	static char bytes[235191];
	const struct view key = VIEW_LITERAL("key");

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * i >> 3);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct dedup_hash hash = dedup_hash(key, (struct view){bytes, lens[i]});
		XXH128_canonical_t plain;

		XXH128_canonicalFromHash(
			&plain,
			XXH3_128bits_withSeed(bytes, lens[i], XXH3_64bits(key.ptr, key.len)));
		assert_memory_equal(hash.bytes, plain.digest, sizeof(hash.bytes));
	}
}

static enum dedup_state begin(const struct dedup_hash *hash, int64_t now_us)
{
	return dedup_begin(dedup, hash, &waiter, now_us);
}

static void end(const struct dedup_hash *hash, bool promised, int64_t now_us)
{
	dedup_end(dedup, hash,
		  (struct dedup_outcome){promised,
					 promised ? VERDICT_ACCEPTED : VERDICT_UPSTREAM_TIMEOUT, 0},
		  now_us);
}

static void test_hash__key_and_body__both_count(void **state)
{
	const struct view key = VIEW_LITERAL("k"), body = VIEW_LITERAL("b");
	struct dedup_hash hash = dedup_hash(key, body), other;

	(void)state;
	other = dedup_hash(key, body);
	assert_memory_equal(&hash, &other, sizeof(hash));
	other = dedup_hash(VIEW_LITERAL("K"), body);
	assert_memory_not_equal(&hash, &other, sizeof(hash));
	other = dedup_hash(key, VIEW_LITERAL("B"));
	assert_memory_not_equal(&hash, &other, sizeof(hash));
	assert_false(dedup_hash_is_empty(&hash));
	assert_true(dedup_hash_is_empty(&(struct dedup_hash){{0}}));
}

static void test_promised__again__known_for_five_minutes(void **state)
{
	struct dedup_hash hash = hash_of(1), other = hash_of(2);

	(void)state;
	assert_int_equal(begin(&hash, 1), DEDUP_FIRST);
	end(&hash, true, 1);
	assert_int_equal(begin(&hash, DEDUP_KEEP_S * SECOND), DEDUP_KNOWN);
	assert_int_equal(begin(&other, 1), DEDUP_FIRST);
	assert_int_equal(begin(&hash, DEDUP_KEEP_S * SECOND + 1), DEDUP_FIRST);
	assert_int_equal(begin(&hash, DEDUP_KEEP_S * SECOND + 1), DEDUP_WAIT);
}

static void test_failed__again__is_a_first_one(void **state)
{
	struct dedup_hash hash = hash_of(1);

	(void)state;
	assert_int_equal(begin(&hash, 1), DEDUP_FIRST);
	end(&hash, false, 1);
	assert_int_equal(begin(&hash, 1), DEDUP_FIRST);
}

static void test_under_way__again__waits_for_its_end(void **state)
{
	struct dedup_hash hash = hash_of(1);

	(void)state;
	for (int promised = 0; promised < 2; promised++) {
		assert_int_equal(begin(&hash, 1), DEDUP_FIRST);
		assert_int_equal(begin(&hash, 1), DEDUP_WAIT);
		end(&hash, promised, 1);
		loop_turn(&loop);
		assert_int_equal(opened, promised + 1);
		assert_int_equal(waiter.outcome.promised, promised);
		assert_int_equal(waiter.outcome.verdict,
				 promised ? VERDICT_ACCEPTED : VERDICT_UPSTREAM_TIMEOUT);
	}
}

static void test_waiter__left__gets_no_message(void **state)
{
	struct dedup_hash hash = hash_of(1);

	(void)state;
	assert_int_equal(begin(&hash, 1), DEDUP_FIRST);
	assert_int_equal(begin(&hash, 1), DEDUP_WAIT);
	dedup_leave(dedup, &hash, &waiter);
	end(&hash, true, 1);
	assert_null(mailbox.first);
}

static void test_memory__more_than_its_bound__the_oldest_are_forgotten(void **state)
{
	struct dedup_hash hash;

	(void)state;
	for (unsigned i = 0; i <= DEDUP_ENTRIES; i++) {
		hash = hash_of(i);
		assert_int_equal(begin(&hash, 1), DEDUP_FIRST);
		end(&hash, true, 1);
	}
	hash = hash_of(1);
	assert_int_equal(begin(&hash, 1), DEDUP_KNOWN);
	hash = hash_of(DEDUP_ENTRIES);
	assert_int_equal(begin(&hash, 1), DEDUP_KNOWN);
	hash = hash_of(0);
	assert_int_equal(begin(&hash, 1), DEDUP_FIRST);
}

static void test_memory__full_of_what_is_under_way__goes_unrecorded(void **state)
{
	struct dedup_hash hash;

	(void)state;
	for (unsigned i = 0; i < DEDUP_ENTRIES; i++) {
		hash = hash_of(i);
		assert_int_equal(begin(&hash, 1), DEDUP_FIRST);
	}
	hash = hash_of(DEDUP_ENTRIES);
	assert_int_equal(begin(&hash, 1), DEDUP_FIRST);
	end(&hash, true, 1);
	assert_int_equal(begin(&hash, 1), DEDUP_FIRST);
}

static void test_remembered__from_a_former_process__known_for_the_rest(void **state)
{
	struct dedup_hash hash = hash_of(1);

	(void)state;
	dedup_remember(dedup, &hash, 200, 1);
	assert_int_equal(begin(&hash, 99 * SECOND), DEDUP_KNOWN);
	assert_int_equal(begin(&hash, 101 * SECOND), DEDUP_FIRST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* They have their first bytes in common. */
static struct dedup_hash prepared(uint32_t n)
{
	struct dedup_hash hash = {.bytes = "same"};

	memcpy(hash.bytes + DEDUP_HASH_BYTES - sizeof(n), &n, sizeof(n));
	return hash;
}

/* As a chain followed from the first bytes alone, all of these shared one, and an innocent beacon in
 * it passed them all. */
static void test_chains__hashes_that_were_prepared__are_spread(void **state)
{
	size_t longest = 0;

	(void)state;
	for (uint32_t i = 0; i < DEDUP_ENTRIES; i++) {
		struct dedup_hash hash = prepared(i);

		dedup_remember(dedup, &hash, 0, 0);
		if (dedup_chain_length(dedup, &hash) > longest)
			longest = dedup_chain_length(dedup, &hash);
	}
	assert_in_range(longest, 2, 32);
}

enum {
	SHARERS = 8
};

/* What shares a chain in one process does not in the next, so that nobody can find out beforehand. */
static void test_chains__another_process__has_others(void **state)
{
	struct dedup *other = dedup_new();
	struct dedup_hash first = prepared(0);
	size_t shared = 0;

	(void)state;
	assert_non_null(other);
	for (uint32_t i = 1; shared < SHARERS; i++) {
		struct dedup_hash hash = prepared(i);
		size_t before = dedup_chain_length(dedup, &first);

		dedup_remember(dedup, &hash, 0, 0);
		if (dedup_chain_length(dedup, &first) <= before)
			continue;
		dedup_remember(other, &hash, 0, 0);
		shared++;
	}
	assert_in_range(dedup_chain_length(other, &first), 0, 2);
	dedup_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hash__of_any_length__is_that_of_every_processor),
		TEST(test_hash__key_and_body__both_count),
		TEST(test_promised__again__known_for_five_minutes),
		TEST(test_failed__again__is_a_first_one),
		TEST(test_under_way__again__waits_for_its_end),
		TEST(test_waiter__left__gets_no_message),
		TEST(test_memory__more_than_its_bound__the_oldest_are_forgotten),
		TEST(test_memory__full_of_what_is_under_way__goes_unrecorded),
		TEST(test_chains__hashes_that_were_prepared__are_spread),
		TEST(test_chains__another_process__has_others),
		TEST(test_remembered__from_a_former_process__known_for_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
