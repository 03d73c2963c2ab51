/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/stub_receiver.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char default_answer[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok";

static void notify(struct stub *stub)
{
	uint64_t one = 1;

	if (write(stub->event, &one, sizeof(one)) < 0)
		abort();
}

static void drop(struct stub *stub, struct stub_connection *c)
{
	if (c->held)
		atomic_fetch_sub(&stub->held, 1);
	c->held = false;
	close(c->fd);
	c->fd = -1;
	atomic_fetch_sub(&stub->open, 1);
	notify(stub);
}

static bool send_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

/* In large pieces, of whole repetitions each. */
static bool send_repeated(int fd, const char *text, size_t times)
{
	static char piece[65536];
	size_t len = strlen(text), fit = sizeof(piece) / len, i;

	for (i = 0; i < fit; i++)
		memcpy(piece + i * len, text, len);
	for (; times > fit; times -= fit)
		if (!send_all(fd, piece, fit * len))
			return false;
	return send_all(fd, piece, times * len);
}

static void answer(struct stub *stub, struct stub_connection *c, const struct stub_script *script)
{
	const char *text = script->answer ? script->answer : default_answer;
	bool ok = send_all(c->fd, text, strlen(text));

	if (ok && script->repeated)
		ok = send_repeated(c->fd, script->repeated, script->times);
	if (!ok) {
		atomic_fetch_add(&stub->cut, 1);
		drop(stub, c);
	}
}

static struct stub_script read_script(struct stub *stub)
{
	struct stub_script script;

	pthread_mutex_lock(&stub->mutex);
	script = stub->script;
	pthread_mutex_unlock(&stub->mutex);
	return script;
}

static void act(struct stub *stub, struct stub_connection *c)
{
	struct stub_script script = read_script(stub);
	enum stub_action action = c->requests++ == 0 ? script.first : script.later;
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	/* Before the answer, so that who has it finds it counted. */
	atomic_fetch_add(&stub->requests, 1);
	switch (action) {
	case STUB_ANSWER:
	case STUB_ANSWER_EARLY_AND_STAY:
		answer(stub, c, &script);
		break;
	case STUB_ANSWER_AND_CLOSE:
	case STUB_ANSWER_EARLY:
		answer(stub, c, &script);
		if (c->fd >= 0)
			drop(stub, c);
		break;
	case STUB_SILENT:
		break;
	case STUB_HOLD:
		c->held = true;
		atomic_fetch_add(&stub->held, 1);
		break;
	case STUB_RESET:
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		drop(stub, c);
		break;
	case STUB_CLOSE:
		drop(stub, c);
		break;
	}
	notify(stub);
}

/* The header is whole: keeps it, and finds how much body follows. */
static void end_header(struct stub *stub, struct stub_connection *c, const char *end)
{
	const char *length = strcasestr(c->text, "\r\nContent-Length:");
	size_t header_len = (size_t)(end - c->text);
	size_t here = c->len - header_len;

	pthread_mutex_lock(&stub->mutex);
	memcpy(stub->last_request, c->text, header_len);
	stub->last_request[header_len] = '\0';
	pthread_mutex_unlock(&stub->mutex);
	c->body_left = length ? strtoul(length + 17, NULL, 10) : 0;
	c->body_left -= here < c->body_left ? here : c->body_left;
	c->in_body = true;
	c->len = 0;
}

static void read_some(struct stub *stub, struct stub_connection *c)
{
	static char body[65536];
	enum stub_action early;
	const char *end;
	ssize_t n;

	if (c->in_body) {
		n = recv(c->fd, body, sizeof(body), 0);
		if (n > 0)
			c->body_left -= (size_t)n < c->body_left ? (size_t)n : c->body_left;
	} else {
		n = recv(c->fd, c->text + c->len, sizeof(c->text) - 1 - c->len, 0);
		if (n > 0)
			c->len += (size_t)n;
	}
	if (n <= 0) {
		drop(stub, c);
		return;
	}
	c->text[c->len] = '\0';
	end = c->in_body ? NULL : strstr(c->text, "\r\n\r\n");
	if (end) {
		end_header(stub, c, end + 4);
		early = read_script(stub).first;
		c->deaf = early == STUB_ANSWER_EARLY_AND_STAY;
		if (c->deaf || early == STUB_ANSWER_EARLY) {
			act(stub, c);
			return;
		}
	}
	if (c->in_body && c->body_left == 0) {
		c->in_body = false;
		act(stub, c);
	}
}

static void accept_one(struct stub *stub)
{
	int fd = accept(stub->listener, NULL, NULL);
	size_t i;

	for (i = 0; fd >= 0 && i < STUB_CONNECTIONS_MAX; i++) {
		if (stub->connections[i].fd >= 0)
			continue;
		memset(&stub->connections[i], 0, sizeof(stub->connections[i]));
		stub->connections[i].fd = fd;
		atomic_fetch_add(&stub->accepted, 1);
		atomic_fetch_add(&stub->open, 1);
		notify(stub);
		return;
	}
	if (fd >= 0)
		close(fd);
}

/* False: the thread is to end. */
static bool obey(struct stub *stub)
{
	struct stub_script script = read_script(stub);
	char command;
	size_t i;

	if (read(stub->command[0], &command, 1) != 1 || command == 'q')
		return false;
	for (i = 0; i < STUB_CONNECTIONS_MAX; i++) {
		struct stub_connection *c = &stub->connections[i];

		if (c->fd < 0)
			continue;
		if (command == 'c') {
			drop(stub, c);
		} else if (command == 's') {
			send_all(c->fd, script.answer, strlen(script.answer));
		} else if (command == 'g' && c->held) {
			c->held = false;
			atomic_fetch_sub(&stub->held, 1);
			answer(stub, c, &script);
		}
	}
	notify(stub);
	return true;
}

static void *serve(void *arg)
{
	struct stub *stub = arg;
	struct pollfd fds[STUB_CONNECTIONS_MAX + 2];
	bool go_on = true;
	nfds_t i;

	while (go_on) {
		fds[0] = (struct pollfd){stub->command[0], POLLIN, 0};
		fds[1] = (struct pollfd){stub->listener, POLLIN, 0};
		for (i = 0; i < STUB_CONNECTIONS_MAX; i++)
			fds[i + 2] = (struct pollfd){
				stub->connections[i].deaf ? -1 : stub->connections[i].fd, POLLIN,
				0};
		if (poll(fds, STUB_CONNECTIONS_MAX + 2, -1) < 0)
			continue;
		for (i = 0; i < STUB_CONNECTIONS_MAX; i++)
			if (fds[i + 2].fd >= 0 && fds[i + 2].revents)
				read_some(stub, &stub->connections[i]);
		if (fds[1].revents)
			accept_one(stub);
		if (fds[0].revents)
			go_on = obey(stub);
	}
	return NULL;
}

void stub_start(struct stub *stub, const char *address, uint16_t port)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
	socklen_t size = sizeof(name);
	int yes = 1;
	size_t i;

	memset(stub, 0, sizeof(*stub));
	for (i = 0; i < STUB_CONNECTIONS_MAX; i++)
		stub->connections[i].fd = -1;
	pthread_mutex_init(&stub->mutex, NULL);
	inet_pton(AF_INET, address, &name.sin_addr);
	stub->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(stub->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	assert_int_equal(bind(stub->listener, (struct sockaddr *)&name, size), 0);
	assert_int_equal(listen(stub->listener, STUB_CONNECTIONS_MAX), 0);
	assert_int_equal(getsockname(stub->listener, (struct sockaddr *)&name, &size), 0);
	stub->port = ntohs(name.sin_port);
	assert_int_equal(pipe(stub->command), 0);
	stub->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(stub->event >= 0);
	assert_int_equal(pthread_create(&stub->thread, NULL, serve, stub), 0);
}

static void command(struct stub *stub, char c)
{
	assert_int_equal(write(stub->command[1], &c, 1), 1);
}

void stub_stop(struct stub *stub)
{
	size_t i;

	command(stub, 'q');
	pthread_join(stub->thread, NULL);
	for (i = 0; i < STUB_CONNECTIONS_MAX; i++)
		if (stub->connections[i].fd >= 0)
			close(stub->connections[i].fd);
	close(stub->listener);
	close(stub->command[0]);
	close(stub->command[1]);
	close(stub->event);
	pthread_mutex_destroy(&stub->mutex);
}

void stub_set_script(struct stub *stub, struct stub_script script)
{
	pthread_mutex_lock(&stub->mutex);
	stub->script = script;
	pthread_mutex_unlock(&stub->mutex);
}

void stub_let_go(struct stub *stub)
{
	command(stub, 'g');
}

void stub_close_connections(struct stub *stub)
{
	command(stub, 'c');
}

void stub_send_stray(struct stub *stub, const char *text)
{
	stub_set_script(stub, (struct stub_script){.answer = text});
	command(stub, 's');
}

void stub_read_last_request(struct stub *stub, char *text, size_t size)
{
	pthread_mutex_lock(&stub->mutex);
	strncpy(text, stub->last_request, size - 1);
	text[size - 1] = '\0';
	pthread_mutex_unlock(&stub->mutex);
}
