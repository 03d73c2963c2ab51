/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/relay_stage.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>

struct bench *bench;
bool through_libcurl;

static void on_guard(struct loop_timer *timer)
{
	(void)timer;
	fail_msg("nothing came of it in %d s", GUARD_US / 1000000);
}

void on_stub_event(struct loop_watch *watch, uint32_t events)
{
	uint64_t count;

	(void)events;
	while (read(watch->fd, &count, sizeof(count)) > 0)
		;
}

void watch_stub(struct stub *stub, struct loop_watch *watch)
{
	*watch = (struct loop_watch){.fd = stub->event, .ready = on_stub_event};
	assert_true(loop_watch_set(&bench->loop, watch, EPOLLIN));
}

void on_done(struct relay_call *call)
{
	struct relay_call *next = bench->next, *victim = bench->victim;

	(void)call;
	assert_null(call->transfer);
	bench->done++;
	bench->next = bench->victim = NULL;
	if (victim)
		relay_cancel(bench->relay, victim);
	if (next)
		assert_int_equal(relay_start(bench->relay, next), VERDICT_OK);
}

void point_at(uint16_t port)
{
	snprintf(bench->url, sizeof(bench->url), "http://" HOST ":%u/collect", port);
	bench->config.upstream_url = bench->url;
	bench->config.upstream_port = port;
}

/* All of 127.0.0.0/8 is this machine's. */
const char *own_addresses(char *text, size_t size, const char *list)
{
	static const char prefix[] = "127.0.0.";
	unsigned network = (unsigned)getpid() % 65535 + 1;
	size_t used = 0;

	while (*list) {
		bool ours = strncmp(list, prefix, strlen(prefix)) == 0;
		size_t len = strcspn(list, ",");

		list += ours ? strlen(prefix) : 0;
		len -= ours ? strlen(prefix) : 0;
		len += list[len] == ',';
		if (ours)
			used += (size_t)snprintf(text + used, size - used, "127.%u.%u.",
						 network >> 8, network & 255);
		used += (size_t)snprintf(text + used, size - used, "%.*s", (int)len, list);
		assert_true(used < size);
		list += len;
	}
	return text;
}

void resolve_to(const char *addresses)
{
	bench->resolver.generation++;
	bench->resolver.addresses =
		own_addresses(bench->addresses[0], sizeof(bench->addresses[0]), addresses);
}

void resolve_next_to(const char *addresses)
{
	bench->resolver.next_addresses =
		own_addresses(bench->addresses[1], sizeof(bench->addresses[1]), addresses);
}

void start_stub(struct stub *stub, const char *address, uint16_t port)
{
	char own[32];

	stub_start(stub, own_addresses(own, sizeof(own), address), port);
}

void make_relay(void)
{
	relay_free(bench->relay);
	/* The old one's timers went with it. */
	bench->loop.timers = NULL;
	loop_timer_add(&bench->loop, &bench->guard);
	bench->relay = relay_new(&bench->loop, &bench->config, &bench->resolver, &bench->inflight);
	assert_non_null(bench->relay);
}

static char host[] = HOST;

int set_up(void **state)
{
	bench = calloc(1, sizeof(*bench));
	/* It is https:// that is libcurl's; what it does over plain HTTP is the same. */
	bench->config.upstream_tls = through_libcurl;
	bench->config.upstream_host = host;
	*state = bench;
	assert_true(loop_init(&bench->loop));
	bench->guard.fire = on_guard;
	start_stub(&bench->stub, "127.0.0.1", 0);
	watch_stub(&bench->stub, &bench->stub_watch);
	bench->config.upstream_connect_timeout_ms = 5000;
	bench->config.upstream_timeout_ms = 15000;
	bench->config.upstream_max_inflight = CALLS;
	budget_init(&bench->inflight, CALLS);
	point_at(bench->stub.port);
	resolve_to("127.0.0.1");
	make_relay();
	fake_log_clear();
	return 0;
}

int tear_down(void **state)
{
	(void)state;
	relay_free(bench->relay);
	assert_int_equal(budget_used(&bench->inflight), 0);
	stub_stop(&bench->stub);
	loop_release(&bench->loop);
	free(bench);
	return 0;
}

void turn(void)
{
	if (bench->guard.due_us == INT64_MAX)
		bench->guard.due_us = loop_now_us() + GUARD_US;
	loop_turn(&bench->loop);
	bench->turns++;
}

enum verdict start(struct relay_call *call)
{
	call->body = VIEW_LITERAL("{\"meta\":{}}");
	call->done = on_done;
	call->verdict = VERDICT_COUNT;
	return relay_start(bench->relay, call);
}

struct relay_call *call_and_wait(void)
{
	struct relay_call *call = &bench->calls[0];
	unsigned before = bench->done;

	assert_int_equal(start(call), VERDICT_OK);
	assert_int_equal(bench->done, before);
	TURN_UNTIL(bench->done == before + 1);
	return call;
}

void answer_with(const char *answer)
{
	stub_set_script(&bench->stub, (struct stub_script){STUB_ANSWER_AND_CLOSE,
							   STUB_ANSWER_AND_CLOSE, answer, NULL, 0});
}

void await_close(void)
{
	TURN_UNTIL(bench->stub.open == 0);
}

static bool bytes_are_there(void)
{
	for (int fd = 3; fd < 256; fd++) {
		struct sockaddr_in peer = {.sin_port = 0};
		socklen_t size = sizeof(peer);
		int unread = 0;

		if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
		    ntohs(peer.sin_port) == bench->stub.port && ioctl(fd, FIONREAD, &unread) == 0 &&
		    unread > 0)
			return true;
	}
	return false;
}

void await_bytes(void)
{
	while (!bytes_are_there())
		poll(NULL, 0, 1);
}

static bool alarmed;

static void on_alarm(struct loop_timer *timer)
{
	(void)timer;
	alarmed = true;
}

unsigned idle_turns(void)
{
	static struct loop_timer alarm;
	unsigned before = bench->turns;

	alarmed = false;
	alarm.fire = on_alarm;
	loop_timer_add(&bench->loop, &alarm);
	alarm.due_us = loop_now_us() + 100000;
	while (!alarmed)
		turn();
	bench->loop.timers = alarm.next;
	return bench->turns - before;
}
