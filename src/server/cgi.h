/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgi: the second front end: CGI/1.1 (RFC 3875), and a bare body on stdin. The only file that knows
 * stdin and stdout. One exchange, then the process ends.
 */
#ifndef FARO_SERVER_CGI_H
#define FARO_SERVER_CGI_H

#include "config/config.h"

/* A web server, or a shell that sets the same variables, started this process for one request. Exit
 * status: 0 when a reply was written, whatever it says; 1 when not even that was possible. */
int cgi_serve(const struct config *config);

/* --print: the labelled body of a bare beacon on stdin goes to stdout. Exit status: 0, or 1 with
 * the reason on stderr. gzip is recognized; HTTP_CONTENT_ENCODING names another coding. */
int cgi_print(const struct config *config);

#endif
