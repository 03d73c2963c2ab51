/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "base/text.h"
#include "ingest/client_address.h"

static const struct address_mask usual = {24, 48};

static void check(const char *text, const struct address_mask *mask, const char *expected)
{
	char out[CLIENT_ADDRESS_BYTES] = "";
	size_t n = client_address_print(view_of(text), mask, out);

	if (n != strlen(expected) || strcmp(out, expected) != 0)
		fail_msg("%s: %s, not %s", text, out, expected);
}

/* RFC 5952, section 4, and what it leaves to others: Go's and Python's forms. */
static void test_print__full__canonical_text(void **state)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
		{"192.0.2.1", "192.0.2.1"},
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"::", "::"},
		{"::1", "::1"},
		{"1::", "1::"},
		{"2001:0db8::0001", "2001:db8::1"},              /* 4.1 */
		{"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},       /* 4.2.1 */
		{"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"}, /* 4.2.2 */
		{"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},         /* 4.2.3: the longest */
		{"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},   /* the first */
		{"2001:DB8::ABCD", "2001:db8::abcd"},            /* 4.3 */
		{"0:0:1:2:3:4:0:0", "::1:2:3:4:0:0"},
		{"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
		{"1:0:3:4:5:6:7:0", "1:0:3:4:5:6:7:0"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"::ffff:192.0.2.1", "192.0.2.1"}, /* mapped: it is that IPv4 address */
		{"::FFFF:c000:0201", "192.0.2.1"},
		{"::fffe:c000:201", "::fffe:c000:201"},
		{"::ffff:0:c000:201", "::ffff:0:c000:201"}, /* SIIT's, another prefix */
		{"::192.0.2.1", "::c000:201"},
		{"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(rows[i].text, NULL, rows[i].expected);
}

static void test_print__no_address__nothing(void **state)
{
	static const char *const rows[] = {
		"",
		"unix:",
		"localhost",
		"192.0.2",
		"192.0.2.256",
		"192.0.2.1 ",
		" 192.0.2.1",
		"192.0.2.1:80",
		"192.0.02.1",
		"0300.0.2.1",
		"3221225985",
		"[::1]",
		"fe80::1%eth0",
		":::",
		"1::2::3",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"12345::",
		"g::",
		"::ffff:192.0.2.256",
		"192.0.2.1, 198.51.100.1",
		"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"\xc0\x80",
	};
	char out[CLIENT_ADDRESS_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (client_address_print(view_of(rows[i]), &usual, out) != 0)
			fail_msg("%s: %s", rows[i], out);
	assert_int_equal(client_address_print((struct view){NULL, 0}, NULL, out), 0);
	assert_int_equal(client_address_print((struct view){"192.0.2.1\0x", 11}, NULL, out), 0);
}

static void test_print__masked__only_the_first_bits_stay(void **state)
{
	static const struct {
		unsigned ipv4, ipv6;
		const char *text, *expected;
	} rows[] = {
		{24, 48, "192.0.2.129", "192.0.2.0"},
		{24, 48, "::ffff:192.0.2.129", "192.0.2.0"},
		{24, 48, "2001:db8:1:2:3:4:5:6", "2001:db8:1::"},
		{0, 0, "192.0.2.129", "0.0.0.0"},
		{0, 0, "2001:db8:1:2:3:4:5:6", "::"},
		{32, 128, "192.0.2.129", "192.0.2.129"},
		{32, 128, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"},
		{1, 1, "255.255.255.255", "128.0.0.0"},
		{9, 9, "255.255.255.255", "255.128.0.0"},
		{31, 127, "255.255.255.255", "255.255.255.254"},
		{31, 127, "::ffff:ffff:ffff", "255.255.255.254"},
		{31, 127, "1::ffff", "1::fffe"},
		{23, 41, "2001:db8:ffff::1", "2001:db8:ff80::"},
		/* 6to4, 192.0.2.129: as much of it as of an IPv4 address */
		{24, 48, "2002:c000:281:1::1", "2002:c000:200::"},
		{24, 64, "2002:c000:281:1::1", "2002:c000:200:1::"},
		{16, 128, "2002:c000:281:1::1", "2002:c000:0:1::1"},
		{32, 24, "2002:c000:281::", "2002:c000::"},
		{0, 128, "2002:c000:281::", "2002::"},
		/* NAT64 */
		{24, 48, "64:ff9b::192.0.2.129", "64:ff9b::"},
		{24, 128, "64:ff9b::192.0.2.129", "64:ff9b::c000:200"},
		{0, 128, "64:ff9b::192.0.2.129", "64:ff9b::"},
		{32, 128, "64:ff9b::192.0.2.129", "64:ff9b::c000:281"},
		/* prefixes beside them */
		{0, 128, "2003:c000:281::", "2003:c000:281::"},
		{0, 128, "64:ff9b:1::c000:281", "64:ff9b:1::c000:281"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(rows[i].text, &(struct address_mask){rows[i].ipv4, rows[i].ipv6},
		      rows[i].expected);
}

/* The address that a text of ours is; false for IPv4. */
static bool read_ipv6(const char *text, unsigned char bytes[16])
{
	if (inet_pton(AF_INET6, text, bytes) == 1)
		return true;
	assert_int_equal(inet_pton(AF_INET, text, bytes), 1);
	return false;
}

/* Against the C library, which has a printer of its own. */
static void test_print__any_address__reads_back_and_has_no_bit_behind_the_mask(void **state)
{
	unsigned random = 1;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		unsigned char bytes[16], back[16];
		struct address_mask mask = {(unsigned)rand_r(&random) % 33,
					    (unsigned)rand_r(&random) % 129};
		char text[INET6_ADDRSTRLEN], full[CLIENT_ADDRESS_BYTES],
			masked[CLIENT_ADDRESS_BYTES];
		char again[CLIENT_ADDRESS_BYTES];
		bool is_ipv6;

		for (int k = 0; k < 16; k++)
			bytes[k] = rand_r(&random) % 3 ? 0 : (unsigned char)rand_r(&random);
		if (i % 10 == 0)
			bytes[10] = bytes[11] = 0xff;
		inet_ntop(AF_INET6, bytes, text, sizeof(text));
		assert_true(client_address_print(view_of(text), NULL, full) > 0);
		is_ipv6 = read_ipv6(full, back);
		if (is_ipv6)
			assert_memory_equal(back, bytes, 16);
		else
			assert_memory_equal(back, bytes + 12, 4);
#ifdef __GLIBC__ /* Of two runs of zeros musl shortens the last one, and RFC 5952 wants the first. */
		if (is_ipv6 && !strchr(text, '.'))
			assert_string_equal(full, text);
#endif
		assert_true(client_address_print(view_of(full), &mask, masked) > 0);
		assert_int_equal(read_ipv6(masked, back), is_ipv6);
		for (unsigned bit = is_ipv6 ? mask.ipv6_bits : mask.ipv4_bits;
		     bit < (is_ipv6 ? 128 : 32); bit++)
			assert_int_equal(back[bit / 8] & 0x80 >> bit % 8, 0);
		client_address_print(view_of(masked), &mask, again);
		assert_string_equal(again, masked);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print__full__canonical_text),
		cmocka_unit_test(test_print__no_address__nothing),
		cmocka_unit_test(test_print__masked__only_the_first_bits_stay),
		cmocka_unit_test(
			test_print__any_address__reads_back_and_has_no_bit_behind_the_mask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
