/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret on real files in a directory of its own; stat(2) is counted, the log counted by event.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/key_file.h"
#include "base/log.h"
#include "base/text.h"

enum {
	SECOND_US = 1000000
};

static unsigned unreadable_lines, readable_lines, stats;
static char last_reason[128];
static char directory[64], path[96];
static struct key_file secret;
static int64_t now_us;

void log_write(enum log_level level, const char *event, const char *msg,
	       const struct log_field *fields)
{
	(void)level;
	(void)msg;
	unreadable_lines += strcmp(event, "api_key_unreadable") == 0;
	readable_lines += strcmp(event, "api_key_readable") == 0;
	for (; fields->key; fields++) {
		/* Neither the key nor what was in its place is in any line. */
		assert_null(strstr(fields->text.ptr ? fields->text.ptr : "", "s3cr"));
		assert_true(secret.len == 0 ||
			    !memmem(fields->text.ptr, fields->text.len, secret.value, secret.len));
		if (strcmp(fields->key, "reason") == 0)
			snprintf(last_reason, sizeof(last_reason), "%s", fields->text.ptr);
	}
}

void log_write_limited(int64_t every_ms, enum log_level level, const char *event, const char *msg,
		       const struct log_field *fields)
{
	(void)every_ms;
	log_write(level, event, msg, fields);
}

int __real_stat(const char *name, struct stat *out);
int __wrap_stat(const char *name, struct stat *out);

int __wrap_stat(const char *name, struct stat *out)
{
	stats++;
	return __real_stat(name, out);
}

static void put(const char *name, const void *text, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	close(fd);
}

/* As if the file had been lying there for long: its stamps then tell of every later change. */
static void settle(void)
{
	secret.settled = true;
}

static bool look(void)
{
	now_us += SECOND_US;
	return key_file_refresh(&secret, now_us);
}

static void assert_key(const char *key)
{
	assert_true(view_equals(key_file_value(&secret), view_of(key)));
}

static int set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "test_secret_XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/key", directory);
	unreadable_lines = readable_lines = stats = 0;
	key_file_init(&secret, path);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	key_file_release(&secret);
	unlink(path);
	return rmdir(directory);
}

static void test_file__line_end__trimmed(void **state)
{
	static const char *const texts[] = {"s3cret", "s3cret\n", "s3cret\r\n", "s3cret\n\n"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(texts); i++) {
		key_file_release(&secret);
		put(path, texts[i], strlen(texts[i]));
		assert_true(look());
		assert_key("s3cret");
	}
}

static void test_file__bad_content__last_good_key_stays(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} rows[] = {
		{"", 0},
		{"\n", 1},
		/* A second header, a NUL, DEL, a byte that is not ASCII. */
		{"s3cret\nx-other: y", 17},
		{"s3c\0ret", 7},
		{"s3cret\0", 7},
		{"s3cret\177", 7},
		{"s3cr\303\251t", 8},
	};
	size_t i;

	(void)state;
	put(path, "good\n", 5);
	assert_true(look());
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		put(path, rows[i].text, rows[i].len);
		assert_false(look());
		assert_key("good");
		assert_int_equal(unreadable_lines, i + 1);
	}
	/* Blanks at its end are no part of it, as --test-config has it. */
	put(path, "better \t\r\n", 10);
	assert_true(look());
	assert_key("better");
	assert_int_equal(readable_lines, 1);
}

static void test_file__size__up_to_the_limit(void **state)
{
	static char text[KEY_FILE_MAX_BYTES + 1];
	size_t len;

	(void)state;
	memset(text, 'k', sizeof(text));
	for (len = KEY_FILE_MAX_BYTES - 1; len <= KEY_FILE_MAX_BYTES; len++) {
		put(path, text, len);
		assert_true(look());
		assert_int_equal(key_file_value(&secret).len, len);
	}
	put(path, text, len);
	assert_false(look());
	assert_int_equal(key_file_value(&secret).len, KEY_FILE_MAX_BYTES);
}

static void test_file__absent_from_the_start__empty_until_it_comes(void **state)
{
	(void)state;
	assert_false(look());
	assert_int_equal(key_file_value(&secret).len, 0);
	assert_string_equal(last_reason, "No such file or directory");
	put(path, "late\n", 5);
	assert_true(look());
	assert_key("late");
}

static void test_file__gone_for_a_while__last_good_key_stays(void **state)
{
	(void)state;
	put(path, "good\n", 5);
	assert_true(look());
	settle();
	unlink(path);
	assert_false(look());
	assert_key("good");
	assert_int_equal(unreadable_lines, 1);
	put(path, "good\n", 5);
	assert_false(look());
	assert_int_equal(readable_lines, 1);
}

static void test_file__directory_or_fifo__refused_without_waiting(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(look());
	assert_string_equal(last_reason, "it is not a regular file");
	unlink(path);
	secret.path = directory;
	assert_false(look());
	assert_int_equal(unreadable_lines, 2);
}

/* As Kubernetes does it: key → ..data/key, ..data → a directory that is exchanged by rename(2). */
static void test_link__swapped__new_key(void **state)
{
	char one[96], two[96], next[96];

	(void)state;
	snprintf(one, sizeof(one), "%s/one", directory);
	snprintf(two, sizeof(two), "%s/two", directory);
	snprintf(next, sizeof(next), "%s/next", directory);
	put(one, "key1", 4);
	put(two, "key2", 4);
	assert_int_equal(symlink("one", path), 0);
	assert_true(look());
	assert_key("key1");
	settle();
	assert_int_equal(symlink("two", next), 0);
	assert_int_equal(rename(next, path), 0);
	assert_true(look());
	assert_key("key2");
	unlink(one);
	unlink(two);
}

static void test_refresh__within_a_second__no_system_call(void **state)
{
	(void)state;
	put(path, "key1", 4);
	assert_true(look());
	settle();
	put(path, "key22", 5);
	assert_false(key_file_refresh(&secret, now_us + SECOND_US - 1));
	assert_int_equal(stats, 0);
	assert_true(key_file_refresh(&secret, now_us + SECOND_US));
	assert_int_equal(stats, 1);
}

static void test_refresh__unchanged__one_stat_a_second(void **state)
{
	(void)state;
	put(path, "key1", 4);
	assert_true(look());
	settle();
	stats = 0;
	assert_false(look());
	assert_false(look());
	assert_int_equal(stats, 2);
	assert_int_equal(unreadable_lines, 0);
}

/* Written again within the same tick of the clock: neither size nor stamps differ. */
static void test_refresh__young_file__read_again(void **state)
{
	(void)state;
	put(path, "key1", 4);
	assert_true(look());
	assert_false(secret.settled);
	put(path, "key2", 4);
	assert_int_equal(stat(path, &secret.seen), 0);
	assert_true(look());
	assert_key("key2");
}

static void test_release__key_wiped(void **state)
{
	static const char zeros[KEY_FILE_MAX_BYTES];

	(void)state;
	put(path, "longer-key", 10);
	assert_true(look());
	put(path, "short", 5);
	assert_true(look());
	/* Nothing of the longer one stays behind the shorter. */
	assert_memory_equal(secret.value + 5, zeros, sizeof(zeros) - 5);
	key_file_release(&secret);
	assert_memory_equal(secret.value, zeros, sizeof(zeros));
	assert_int_equal(key_file_value(&secret).len, 0);
}

/* Below the caller's frame is what its calls have left there. */
static __attribute__((noinline)) bool is_on_stack(struct view needle)
{
	static char bytes[65536];
	const char *top = __builtin_frame_address(0);
	int memory = open("/proc/self/mem", O_RDONLY);
	ssize_t n =
		pread(memory, bytes, sizeof(bytes), (off_t)(uintptr_t)top - (off_t)sizeof(bytes));

	close(memory);
	assert_int_equal(n, sizeof(bytes));
	return memmem(bytes, sizeof(bytes), needle.ptr, needle.len);
}

/* What the test's own calls have left there. */
static __attribute__((noinline)) void clear_stack(void)
{
	char bytes[65536];

	explicit_bzero(bytes, sizeof(bytes));
}

static void test_refresh__key_read__no_copy_on_the_stack(void **state)
{
	static char key[1000];
	unsigned random = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (char)('!' + rand_r(&random) % 90);
	put(path, key, sizeof(key));
	clear_stack();
	assert_true(look());
	assert_memory_equal(secret.value, key, sizeof(key));
	for (size_t i = 0; i + 16 <= sizeof(key); i += 16)
		assert_false(is_on_stack((struct view){key + i, 16}));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_file__line_end__trimmed),
		TEST(test_file__bad_content__last_good_key_stays),
		TEST(test_file__size__up_to_the_limit),
		TEST(test_file__absent_from_the_start__empty_until_it_comes),
		TEST(test_file__gone_for_a_while__last_good_key_stays),
		TEST(test_file__directory_or_fifo__refused_without_waiting),
		TEST(test_link__swapped__new_key),
		TEST(test_refresh__within_a_second__no_system_call),
		TEST(test_refresh__unchanged__one_stat_a_second),
		TEST(test_refresh__young_file__read_again),
		TEST(test_release__key_wiped),
		TEST(test_refresh__key_read__no_copy_on_the_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
