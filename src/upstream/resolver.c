/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: getaddrinfo(3) has no deadline that can be relied on: with a name server that does not
 * answer, it blocks for tens of seconds. So a thread calls it, and the loops read what it last
 * found. The thread is detached and the state has a reference count: whoever drops the last
 * reference frees it, and nobody waits for a lookup. The mutex is never held during one.
 *
 *	lookup ok ──> wait PERIOD_US ──┐          failed ──> wait 1, 2, 4, 8, then 10 s ──┐
 *	   ^───────────────────────────┴──────────────────────────────────────────────────┘
 *	resolver_refresh() shortens any wait to LOOKUP_GAP_US after the last lookup's start.
 *
 * The addresses are kept sorted, so that a name server which rotates its answers does not look like
 * one whose answer changed. Limit: RESOLVER_ADDRESSES_MAX addresses; of more, those that are in use
 * already stay in use, and the rest is left out.
 */
#include "upstream/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/loop.h"

enum {
	PERIOD_US = 10 * 1000000,
	LOOKUP_GAP_US = 1000000,
	WAIT_STEP_US = 50 * 1000,
	/* Name service modules put buffers of 64 KiB and more on the stack. */
	STACK_BYTES = 256 * 1024,
};

struct resolver {
	pthread_mutex_t mutex;
	pthread_cond_t changed; /* a first lookup ended, or the thread has something to do */
	unsigned references;    /* the owner and the thread */
	char *host;
	uint16_t port;
	bool numeric;
	bool stop;
	bool looked_up; /* at least once, well or badly */
	bool wanted;    /* a lookup is wanted, since the last one began */
	int64_t started_us;
	const char *error;
	struct resolver_addresses addresses;
	unsigned rotation;
	atomic_uint generation;
};

static void free_resolver(struct resolver *resolver)
{
	pthread_cond_destroy(&resolver->changed);
	pthread_mutex_destroy(&resolver->mutex);
	free(resolver->host);
	free(resolver);
}

/* Drops a reference. Call with the mutex held; it is unlocked. */
static void unlock_and_release(struct resolver *resolver)
{
	bool last = --resolver->references == 0;

	pthread_mutex_unlock(&resolver->mutex);
	if (last)
		free_resolver(resolver);
}

static int wait_until(struct resolver *resolver, int64_t due_us)
{
	struct timespec due = {due_us / 1000000, due_us % 1000000 * 1000};

	return pthread_cond_timedwait(&resolver->changed, &resolver->mutex, &due);
}

static bool has_address(const struct resolver_addresses *addresses, const char *text)
{
	size_t i;

	for (i = 0; i < addresses->count; i++)
		if (strcmp(addresses->list[i].text, text) == 0)
			return true;
	return false;
}

/* Of `known` those that were found; where it is NULL all of them. */
static void collect_family(struct resolver_addresses *addresses, const struct addrinfo *found,
			   int family, const struct resolver_addresses *known)
{
	for (; found && addresses->count < RESOLVER_ADDRESSES_MAX; found = found->ai_next) {
		struct resolver_address *address = &addresses->list[addresses->count];
		const void *bytes;

		if (found->ai_family != family)
			continue;
		if (family == AF_INET6)
			bytes = &((const struct sockaddr_in6 *)(const void *)found->ai_addr)
					 ->sin6_addr;
		else
			bytes = &((const struct sockaddr_in *)(const void *)found->ai_addr)
					 ->sin_addr;
		address->family = family;
		if (inet_ntop(family, bytes, address->text, sizeof(address->text)) &&
		    (!known || has_address(known, address->text)) &&
		    !has_address(addresses, address->text))
			addresses->count++;
	}
}

static int compare_addresses(const void *a, const void *b)
{
	return strcmp(((const struct resolver_address *)a)->text,
		      ((const struct resolver_address *)b)->text);
}

/* Sorted within each family; which family comes first is the system's preference (RFC 6724). */
static void collect_addresses(struct resolver_addresses *addresses, const struct addrinfo *found,
			      const struct resolver_addresses *known)
{
	int first = found->ai_family == AF_INET6 ? AF_INET6 : AF_INET;
	int second = first == AF_INET ? AF_INET6 : AF_INET;

	memset(addresses, 0, sizeof(*addresses));
	collect_family(addresses, found, first, known);
	collect_family(addresses, found, first, NULL);
	addresses->preferred = addresses->count;
	collect_family(addresses, found, second, known);
	collect_family(addresses, found, second, NULL);
	qsort(addresses->list, addresses->preferred, sizeof(struct resolver_address),
	      compare_addresses);
	qsort(addresses->list + addresses->preferred, addresses->count - addresses->preferred,
	      sizeof(struct resolver_address), compare_addresses);
}

static int look_up(const struct resolver *resolver, int flags, struct resolver_addresses *addresses)
{
	const struct addrinfo hints = {.ai_flags = flags, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char port[8];
	int error;

	snprintf(port, sizeof(port), "%u", resolver->port);
	error = getaddrinfo(resolver->host, port, &hints, &found);
	if (error != 0)
		return error;
	/* The thread alone writes what is known, so it may read that without the mutex. */
	collect_addresses(addresses, found, &resolver->addresses);
	freeaddrinfo(found);
	return addresses->count > 0 ? 0 : EAI_NONAME;
}

static bool same(const struct resolver_addresses *a, const struct resolver_addresses *b)
{
	size_t i;

	if (a->count != b->count || a->preferred != b->preferred)
		return false;
	for (i = 0; i < a->count; i++)
		if (strcmp(a->list[i].text, b->list[i].text) != 0)
			return false;
	return true;
}

/* True if the addresses are others than before. */
static bool publish(struct resolver *resolver, const struct resolver_addresses *addresses)
{
	if (same(&resolver->addresses, addresses))
		return false;
	resolver->addresses = *addresses;
	/* 0 means "none are known", also after 2^32 changes. */
	if (atomic_fetch_add(&resolver->generation, 1) + 1 == 0)
		atomic_fetch_add(&resolver->generation, 1);
	return true;
}

static void log_lookup(const struct resolver *resolver, int error, size_t count)
{
	if (error != 0)
		log_limited(
			LOG_WARN, "upstream_unresolved",
			"The receiver's name was not found; check the host in FARO_UPSTREAM_URL "
			"and the name service.",
			LOG_STR("host", resolver->host), LOG_STR("reason", gai_strerror(error)));
	else
		log_event(LOG_INFO, "upstream_resolved", "The receiver's name has new addresses.",
			  LOG_STR("host", resolver->host), LOG_NUM("addresses", (int64_t)count));
}

/* One lookup; nothing is held while it lasts, nor while a line is written. False: it failed. */
static bool look_up_and_publish(struct resolver *resolver)
{
	struct resolver_addresses addresses = {0}; /* of a failure: none */
	int error = look_up(resolver, AI_ADDRCONFIG, &addresses);
	bool worth_a_line;

	pthread_mutex_lock(&resolver->mutex);
	resolver->error = error != 0 ? gai_strerror(error) : NULL;
	worth_a_line = error != 0 || publish(resolver, &addresses);
	worth_a_line = worth_a_line && !resolver->stop;
	resolver->looked_up = true;
	pthread_cond_broadcast(&resolver->changed);
	pthread_mutex_unlock(&resolver->mutex);
	if (worth_a_line)
		log_lookup(resolver, error, addresses.count);
	return error == 0;
}

/* By the system's clock: names change while this process stands still. Call with the mutex held. */
static void sleep_until_due(struct resolver *resolver, int64_t pause_us)
{
	int64_t ended_us = loop_now_us();

	while (!resolver->stop) {
		int64_t due_us = resolver->wanted ? resolver->started_us + LOOKUP_GAP_US
						  : ended_us + pause_us;

		if (loop_now_us() >= due_us)
			return;
		wait_until(resolver, due_us);
	}
}

static void *resolve_for_ever(void *arg)
{
	struct resolver *resolver = arg;
	int64_t retry_us = LOOKUP_GAP_US;

	pthread_mutex_lock(&resolver->mutex);
	while (!resolver->stop) {
		bool ok;

		resolver->started_us = loop_now_us();
		resolver->wanted = false;
		pthread_mutex_unlock(&resolver->mutex);
		ok = look_up_and_publish(resolver);
		pthread_mutex_lock(&resolver->mutex);
		sleep_until_due(resolver, ok ? PERIOD_US : retry_us);
		retry_us = ok ? LOOKUP_GAP_US : 2 * retry_us < PERIOD_US ? 2 * retry_us : PERIOD_US;
	}
	unlock_and_release(resolver);
	return NULL;
}

/* With every signal blocked: they are for the loops. Returns an error number. */
static int start_thread(struct resolver *resolver)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int error = pthread_attr_init(&attr);

	if (error != 0)
		return error;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	resolver->references++;
	error = pthread_create(&thread, &attr, resolve_for_ever, resolver);
	if (error != 0)
		resolver->references--;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return error;
}

static void init_locks(struct resolver *resolver)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&resolver->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&resolver->changed, &attr);
	pthread_condattr_destroy(&attr);
}

struct resolver *resolver_new(const char *host, uint16_t port)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	int error;

	if (!resolver)
		return NULL;
	init_locks(resolver);
	resolver->references = 1;
	resolver->port = port;
	/* Processes that start together do not all begin with the same address. */
	if (getrandom(&resolver->rotation, sizeof(resolver->rotation), GRND_NONBLOCK) < 0)
		resolver->rotation = (unsigned)loop_now_us();
	resolver->host = strdup(host);
	if (!resolver->host) {
		free_resolver(resolver);
		errno = ENOMEM;
		return NULL;
	}
	if (look_up(resolver, AI_NUMERICHOST, &resolver->addresses) == 0) {
		resolver->numeric = resolver->looked_up = true;
		atomic_store(&resolver->generation, 1);
		return resolver;
	}
	error = start_thread(resolver);
	if (error != 0) {
		free_resolver(resolver);
		errno = error;
		return NULL;
	}
	return resolver;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	pthread_mutex_lock(&resolver->mutex);
	resolver->stop = true;
	pthread_cond_broadcast(&resolver->changed);
	unlock_and_release(resolver);
}

/* In steps, so that a time in which the process stands still, and the lookup with it, costs no more
 * than one of them. */
bool resolver_wait(struct resolver *resolver, int64_t timeout_ms)
{
	int64_t left_us = timeout_ms * 1000;

	pthread_mutex_lock(&resolver->mutex);
	while (!resolver->looked_up && left_us > 0) {
		int64_t step_us = left_us < WAIT_STEP_US ? left_us : WAIT_STEP_US;

		if (wait_until(resolver, loop_now_us() + step_us) == ETIMEDOUT)
			left_us -= step_us;
	}
	pthread_mutex_unlock(&resolver->mutex);
	return resolver_generation(resolver) != 0;
}

unsigned resolver_generation(struct resolver *resolver)
{
	return atomic_load_explicit(&resolver->generation, memory_order_acquire);
}

static void copy_rotated(struct resolver_address *to, const struct resolver_address *from,
			 size_t count, unsigned rotation)
{
	size_t i;

	for (i = 0; i < count; i++)
		to[i] = from[(i + rotation) % count];
}

unsigned resolver_read(struct resolver *resolver, struct resolver_addresses *addresses)
{
	const struct resolver_addresses *known = &resolver->addresses;
	unsigned generation, rotation;

	pthread_mutex_lock(&resolver->mutex);
	generation = resolver_generation(resolver);
	rotation = resolver->rotation++;
	addresses->count = known->count;
	addresses->preferred = known->preferred;
	addresses->numeric = resolver->numeric;
	copy_rotated(addresses->list, known->list, known->preferred, rotation);
	copy_rotated(addresses->list + known->preferred, known->list + known->preferred,
		     known->count - known->preferred, rotation);
	pthread_mutex_unlock(&resolver->mutex);
	return generation;
}

const char *resolver_error(struct resolver *resolver)
{
	const char *error;

	pthread_mutex_lock(&resolver->mutex);
	error = resolver->error;
	pthread_mutex_unlock(&resolver->mutex);
	return error;
}

void resolver_refresh(struct resolver *resolver)
{
	if (resolver->numeric)
		return;
	pthread_mutex_lock(&resolver->mutex);
	if (!resolver->wanted)
		pthread_cond_broadcast(&resolver->changed);
	resolver->wanted = true;
	pthread_mutex_unlock(&resolver->mutex);
}
