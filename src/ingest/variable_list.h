/* SPDX-License-Identifier: Apache-2.0 */
/*
 * variable_list: the CGI/1.1 variables (RFC 3875) that mean something here, a row each: its id, its
 * name, where its value goes in struct request, and how many bytes that may have.
 *
 * Each has room of its own, so that no header of a client takes it from another one. What is longer
 * is refused (request.h). A file defines VARIABLE and includes this one, which undefines it.
 */
VARIABLE(ENDPOINT, "FARO_ENDPOINT", raw.endpoint, 16)
VARIABLE(IGNORE, "FARO_IGNORE", ignore, 32)
VARIABLE(METHOD, "REQUEST_METHOD", method, 32)
VARIABLE(SCRIPT_NAME, "SCRIPT_NAME", raw.script_name, CONFIG_PATH_MAX_BYTES)
VARIABLE(PATH_INFO, "PATH_INFO", raw.path_info, CONFIG_PATH_MAX_BYTES)
VARIABLE(CONTENT_LENGTH, "CONTENT_LENGTH", raw.content_length, 32)
VARIABLE(CONTENT_TYPE, "CONTENT_TYPE", content_type, 256)
VARIABLE(CONTENT_ENCODING, "HTTP_CONTENT_ENCODING", content_encoding, 64)
/* An address and more, so that what is none is told by its form. */
VARIABLE(REMOTE_ADDR, "REMOTE_ADDR", remote_addr, 64)
/* A name of 255 bytes, with scheme and port. */
VARIABLE(HOST, "HTTP_HOST", host, 320)
VARIABLE(ORIGIN, "HTTP_ORIGIN", origin, 320)
VARIABLE(SEC_FETCH_SITE, "HTTP_SEC_FETCH_SITE", sec_fetch_site, 32)
VARIABLE(SESSION_ID, "HTTP_X_FARO_SESSION_ID", forwarded.session_id, FORWARDED_MAX_BYTES)
VARIABLE(IDEMPOTENCY_KEY, "HTTP_IDEMPOTENCY_KEY", forwarded.idempotency_key, FORWARDED_MAX_BYTES)
VARIABLE(TRACEPARENT, "HTTP_TRACEPARENT", forwarded.traceparent, FORWARDED_MAX_BYTES)
/* Prometheus sends about 200 bytes. */
VARIABLE(ACCEPT, "HTTP_ACCEPT", accept, 512)
#undef VARIABLE
