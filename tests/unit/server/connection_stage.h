/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection_stage: what the drivers of connection.c stand on: a loop of connections whose peers,
 * the web servers, are the other ends of socket pairs. It checks after each test that nothing is
 * left.
 *
 * What lies behind is faked: ingest answers with what the body was, or relays it where it begins
 * with "relay"; a delivery ends when the test says so. --wrap=clock_gettime: time passes where a
 * test lets it. --wrap=malloc, calloc, realloc, free and epoll_ctl: fail where a test wants them
 * to.
 */
#ifndef FARO_TEST_CONNECTION_STAGE_H
#define FARO_TEST_CONNECTION_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "fakes/allocations.h"
#include "fakes/clock.h"
#include "fakes/delivery.h"
#include "fakes/epoll.h"
#include "fakes/log.h"
#include "server/connection.h"

enum {
	SECOND_US = 1000 * 1000,
	STEP_US = 100 * 1000, /* as the loop may take for a turn */
	PEER_MAX_S = 5,
	DUE_STEP_US = 100 * 1000,
	BODY_MAX = 256 * 1024,
	BIG_BYTES = 1000 * 1000, /* more than a socket holds */
	INPUT_BYTES = 20 * 1024, /* of a read, and of what is kept early */
	LONG_BYTES = 8 * 1024,   /* of a body, which are read without what follows them */
	PEERS = 8,
	WIRE_BYTES = 512 * 1024,
};

extern struct fake {
	bool at_once; /* delivery_start() ends deliveries itself */
	int begun, ended;
} fake;

extern struct loop loop;
extern struct budget memory, connection_slots;
extern struct ingest ingest;
extern struct delivery_context context;
extern struct connections all;
extern int peers[PEERS];
extern char wire[WIRE_BYTES]; /* what was put and is not sent */
extern size_t wire_len;

int set_up(void **state);
int tear_down(void **state);

/* The delivery number i of those that are held. */
void end_delivery(size_t i);

void turn_until_idle(void);
void pass(int64_t us);
/* All at once, which the loop takes for a time in which the process stood still. */
void stand_still(int64_t us);
/* The number of a peer; its connection is there unless there was no memory for it. */
size_t connect_peer(void);
void hang_up(size_t peer);

/* What a web server writes. */
void put_head(char flags);
void put_body(struct view body);
/* One record of it. */
void put_piece(struct view content, size_t padding);
void put_request(const char *body, char flags);
void put_question(void);
/* What was put goes out. */
void send_wire(size_t peer);
void send_request(size_t peer, const char *body);

/* What it reads: the bodies of the answers that came since the last look, each with a semicolon;
 * behind them "cut" where an answer is not whole, and "end" where the connection is. */
const char *read_answers(size_t peer);
extern size_t text_len; /* of what it returned */

#define EXPECT(peer, answers) assert_string_equal(read_answers(peer), answers)

bool begins(struct view text, const char *prefix);

#endif
