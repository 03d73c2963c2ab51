/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stub_receiver: a little HTTP server in a thread on loopback, for the relay's tests.
 *
 * It does what its script says with each request that has come whole. It does not do: chunked
 * requests, pipelining, TLS, more than STUB_CONNECTIONS_MAX connections.
 */
#ifndef FARO_STUB_RECEIVER_H
#define FARO_STUB_RECEIVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	STUB_CONNECTIONS_MAX = 128,
	STUB_REQUEST_MAX = 8192
};

enum stub_action {
	STUB_ANSWER,
	STUB_ANSWER_AND_CLOSE,
	STUB_ANSWER_EARLY,          /* and close, as soon as the request's header is there */
	STUB_ANSWER_EARLY_AND_STAY, /* open, and read no more */
	STUB_SILENT,
	STUB_HOLD,  /* until stub_let_go() */
	STUB_CLOSE, /* no answer */
	STUB_RESET, /* no answer, and a RST */
};

struct stub_script {
	enum stub_action first; /* for a connection's first request */
	enum stub_action later; /* for the ones after it */
	const char *answer;     /* may hold anything */
	const char *repeated;   /* sent `times` times after it; NULL: nothing */
	size_t times;
};

struct stub_connection {
	int fd; /* -1: none */
	unsigned requests;
	bool held;
	size_t len;
	size_t body_left; /* of the present request */
	bool in_body;
	bool deaf; /* it is not read any more */
	char text[STUB_REQUEST_MAX];
};

struct stub {
	pthread_t thread;
	pthread_mutex_t mutex;
	int listener, command[2];
	int event; /* an eventfd that counts whatever happens, to be watched by the test's loop */
	uint16_t port;
	struct stub_script script;
	struct stub_connection connections[STUB_CONNECTIONS_MAX];
	atomic_uint accepted, open, requests, held;
	atomic_uint cut;                     /* answers that the peer did not take to their end */
	char last_request[STUB_REQUEST_MAX]; /* its header; read it after a call is done */
};

/* `port` 0: a free one. Fails the test where it cannot listen. */
void stub_start(struct stub *stub, const char *address, uint16_t port);
void stub_stop(struct stub *stub);
/* Counts from the next request on. */
void stub_set_script(struct stub *stub, struct stub_script script);
/* Answers all that is held. */
void stub_let_go(struct stub *stub);
/* To all connections, whatever they wait for; it is the next answer, too. */
void stub_close_connections(struct stub *stub);
void stub_send_stray(struct stub *stub, const char *text);
/* A copy of the last request's header. */
void stub_read_last_request(struct stub *stub, char *text, size_t size);

#endif
