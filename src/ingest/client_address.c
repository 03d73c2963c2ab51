/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: inet_pton(3) takes exactly the texts that RFC 4291 allows, and no zone. inet_ntop(3) is not
 * used for IPv6, since C libraries differ in which addresses end in an IPv4 address there; here none
 * does, as Go and Python have it.
 */
#include "ingest/client_address.h"

#include <arpa/inet.h>
#include <stdio.h>

enum {
	IPV4_BYTES = 4,
	IPV6_BYTES = 16,
	GROUPS = 8
};

/* An IPv4 address uses the first four bytes. */
struct address {
	bool is_ipv4;
	unsigned char bytes[IPV6_BYTES];
};

/* Prefixes of IPv6 behind which an IPv4 address stands. */
static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};          /* ::ffff:0:0/96 */
static const unsigned char nat64[12] = {0x00, 0x64, [2] = 0xff, [3] = 0x9b}; /* 64:ff9b::/96 */
static const unsigned char six_to_four[2] = {0x20, 0x02};                    /* 2002::/16 */

static bool parse(struct view text, struct address *address)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len))
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	address->is_ipv4 = inet_pton(AF_INET, copy, address->bytes) == 1;
	if (address->is_ipv4)
		return true;
	if (inet_pton(AF_INET6, copy, address->bytes) != 1)
		return false;
	if (memcmp(address->bytes, mapped, sizeof(mapped)) == 0) {
		address->is_ipv4 = true;
		memmove(address->bytes, address->bytes + sizeof(mapped), IPV4_BYTES);
	}
	return true;
}

static void keep_bits(unsigned char *bytes, unsigned count, unsigned bits)
{
	for (unsigned i = 0; i < count; i++, bits -= bits < 8 ? bits : 8)
		if (bits < 8)
			bytes[i] &= (unsigned char)(0xff00 >> bits);
}

/* The IPv4 address inside of an IPv6 address; NULL: there is none. */
static unsigned char *embedded_ipv4(unsigned char *bytes)
{
	if (memcmp(bytes, six_to_four, sizeof(six_to_four)) == 0)
		return bytes + sizeof(six_to_four);
	return memcmp(bytes, nat64, sizeof(nat64)) == 0 ? bytes + sizeof(nat64) : NULL;
}

static void apply_mask(struct address *address, const struct address_mask *mask)
{
	unsigned char *ipv4 = address->is_ipv4 ? address->bytes : embedded_ipv4(address->bytes);

	if (!address->is_ipv4)
		keep_bits(address->bytes, IPV6_BYTES, mask->ipv6_bits);
	if (ipv4)
		keep_bits(ipv4, IPV4_BYTES, mask->ipv4_bits);
}

/* Of the longest run of zeros, the first of several; a single zero is no run. Returns its length. */
static unsigned find_zeros(const unsigned groups[GROUPS], unsigned *from)
{
	unsigned longest = 1;

	*from = GROUPS;
	for (unsigned i = 0, length = 0; i < GROUPS; i++) {
		length = groups[i] == 0 ? length + 1 : 0;
		if (length > longest) {
			longest = length;
			*from = i + 1 - length;
		}
	}
	return longest;
}

static size_t print_ipv6(const unsigned char *bytes, char *out)
{
	unsigned groups[GROUPS], zeros_at, zeros;
	size_t n = 0;

	for (unsigned i = 0; i < GROUPS; i++)
		groups[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
	zeros = find_zeros(groups, &zeros_at);
	for (unsigned i = 0; i < GROUPS; i++) {
		bool follows = i > 0 && i != zeros_at + zeros;

		if (i == zeros_at) {
			n += (size_t)sprintf(out + n, "::");
			i += zeros - 1;
		} else {
			n += (size_t)sprintf(out + n, follows ? ":%x" : "%x", groups[i]);
		}
	}
	return n;
}

size_t client_address_print(struct view text, const struct address_mask *mask,
			    char out[CLIENT_ADDRESS_BYTES])
{
	struct address address;

	if (!parse(text, &address))
		return 0;
	if (mask)
		apply_mask(&address, mask);
	if (!address.is_ipv4)
		return print_ipv6(address.bytes, out);
	return (size_t)sprintf(out, "%u.%u.%u.%u", address.bytes[0], address.bytes[1],
			       address.bytes[2], address.bytes[3]);
}
