/*
 * fcgi: the FastCGI carrier; with ping.c the only file that knows libfcgi.
 *
 * The library reads and writes blockingly, so a connection is handed to it only when epoll says
 * that there is something to read, and each of its reads and writes is cut off after a second; what
 * that costs a loop at worst is stated in fcgi.c. libfcgi trusts its peer (nginx on the same
 * machine).
 *
 *	fcgi_conn_open → ( fcgi_conn_read → fcgi_conn_reply )* → fcgi_conn_close
 */
#ifndef FARO_FCGI_H
#define FARO_FCGI_H

#include <fcgiapp.h>

#include "request.h"

struct fcgi_conn {
	FCGX_Request fcgx;
	int fd; /* -1: closed */
};

/* Once a process, before any signal handler of ours: the library installs some. */
bool fcgi_global_init(void);

/* Takes over a connected, blocking socket. False, and the socket closed, when it can't be set up.
 */
bool fcgi_conn_open(struct fcgi_conn *conn, int fd);
/* Also in the middle of an exchange. */
void fcgi_conn_close(struct fcgi_conn *conn);

/*
 * Reads one whole request. The views in it live until fcgi_conn_reply() or fcgi_conn_close().
 * False: the peer went away or broke the protocol, and the connection is to be closed. A body that
 * is cut short is no such failure: it is said in body_state and answered.
 */
bool fcgi_conn_read(struct fcgi_conn *conn, struct request *request);

/* Writes a CGI response and ends the exchange. True: the connection is kept and takes the next. */
bool fcgi_conn_reply(struct fcgi_conn *conn, struct view response);

#endif
