/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/resolver.h"

#include <string.h>

unsigned resolver_generation(struct resolver *resolver)
{
	return resolver->generation;
}

unsigned resolver_read(struct resolver *resolver, struct resolver_addresses *addresses)
{
	const char *p = resolver->addresses;

	memset(addresses, 0, sizeof(*addresses));
	while (p && *p && (resolver->count == 0 || addresses->count < resolver->count)) {
		struct resolver_address *address = &addresses->list[addresses->count++];
		size_t len = strcspn(p, ",");

		memcpy(address->text, p, len);
		address->family = memchr(p, ':', len) ? AF_INET6 : AF_INET;
		p += len + (p[len] == ',');
	}
	addresses->preferred = resolver->preferred ? resolver->preferred : addresses->count;
	if (resolver->next_addresses)
		resolver->addresses = resolver->next_addresses;
	return resolver->generation;
}

const char *resolver_error(struct resolver *resolver)
{
	return resolver->error;
}

void resolver_refresh(struct resolver *resolver)
{
	resolver->refreshed++;
}
