/* SPDX-License-Identifier: Apache-2.0 */
#include "check/finding.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>

/* clang-format off */
const struct check_finding_text check_finding_texts[FINDING_COUNT] = {
	[FINDING_OK] = {
		"ok", "The receiver accepts beacons as faro-ingest sends them.",
		NULL},
	[FINDING_NAME_NOT_FOUND] = {
		"name_not_found", "The name server knows no such name.",
		"Correct the host in FARO_UPSTREAM_URL. A Service in the same namespace is NAME, "
		"one in another is NAME.NAMESPACE; a name without an address may be a Service "
		"without pods."},
	[FINDING_DNS_NO_ANSWER] = {
		"dns_no_answer", "No name server answered.",
		"Check /etc/resolv.conf, and that a NetworkPolicy lets this pod send to port 53, "
		"UDP and TCP."},
	[FINDING_REFUSED] = {
		"refused", "The host answers, but refuses connections to that port.",
		"Alloy's faro.receiver listens on 127.0.0.1 unless its server block has "
		"listen_address = \"0.0.0.0\". Also check that it runs, that its listen_port (12347 "
		"by default) is that of FARO_UPSTREAM_URL, and that the Service exposes that port."},
	[FINDING_UNREACHABLE] = {
		"unreachable", "There is no route to that address.",
		"Look at the address above: is it the receiver's? If it is, give this machine or "
		"pod a route to it."},
	[FINDING_CONNECT_TIMEOUT] = {
		"connect_timeout", "Nothing answered the attempt to connect.",
		"A NetworkPolicy (egress of this pod, ingress of the receiver's) or a firewall "
		"drops the packets, or no host has that address. If the network is only slow, "
		"raise FARO_UPSTREAM_CONNECT_TIMEOUT_MS."},
	[FINDING_NO_ANSWER] = {
		"no_answer", "It accepted the connection and the beacon, but did not answer in time.",
		"If that port is a Faro receiver's, the receiver or the system it writes to is "
		"overloaded: look at its logs. If it is only slow, raise FARO_UPSTREAM_TIMEOUT_MS."},
	[FINDING_NOT_HTTP] = {
		"not_http", "The server there does not speak HTTP/1.1.",
		"Correct the port in FARO_UPSTREAM_URL: a faro.receiver's is 12347 by default; "
		"4317 is OTLP over gRPC."},
	[FINDING_TLS_PORT] = {
		"tls_port", "The port expects TLS, and FARO_UPSTREAM_URL says http://.",
		"Write https:// in FARO_UPSTREAM_URL, and set FARO_UPSTREAM_CA_FILE unless a "
		"public authority signed the certificate."},
	[FINDING_PLAIN_PORT] = {
		"plain_port",
		"The port speaks HTTP without TLS, and FARO_UPSTREAM_URL says https://.",
		"Write http:// in FARO_UPSTREAM_URL, or the port of the proxy that terminates TLS: "
		"faro.receiver itself has no TLS."},
	[FINDING_TLS_UNKNOWN_CA] = {
		"tls_unknown_ca", "The certificate was signed by an authority that is not trusted here.",
		"Set FARO_UPSTREAM_CA_FILE to a PEM file with the authority that signed it; it "
		"replaces the system's list. The server must send its intermediate certificates."},
	[FINDING_TLS_WRONG_NAME] = {
		"tls_wrong_name", "The certificate is valid, but for another name.",
		"Write the host in FARO_UPSTREAM_URL as the certificate has it, or get a "
		"certificate for this name."},
	[FINDING_TLS_EXPIRED] = {
		"tls_expired", "The certificate is not valid at this time.",
		"Renew the receiver's certificate, or correct the clock, here or where it was "
		"issued."},
	[FINDING_TLS_CA_FILE] = {
		"tls_ca_file", "The file of trusted certificates cannot be used.",
		"FARO_UPSTREAM_CA_FILE must hold certificates in PEM form (-----BEGIN "
		"CERTIFICATE-----), and this user must be able to read it; without the setting, "
		"the system's list must be installed (ca-certificates)."},
	[FINDING_TLS] = {
		"tls", "The TLS handshake failed.",
		"The line above has the TLS library's message. TLS 1.2 or newer is needed, and "
		"receivers that demand a client certificate are not supported."},
	[FINDING_NOT_FARO] = {
		"not_faro", "A server answers there, but not as a Faro receiver does.",
		"Correct host and port in FARO_UPSTREAM_URL. 12347 is a faro.receiver's by "
		"default, and pyroscope.receive_http's as well; 3100 is Loki, 4318 OTLP, 12345 "
		"Alloy itself. A server that answers 2xx without being a receiver, as OTLP does, "
		"loses every beacon."},
	[FINDING_ALLOY_PORT] = {
		"alloy_port", "That is Alloy's own HTTP port, not its Faro receiver's.",
		"Put the listen_port of faro.receiver's server block (12347 by default) into "
		"FARO_UPSTREAM_URL, and into the Service."},
	[FINDING_WRONG_PATH] = {
		"wrong_path", "A Faro receiver listens there, but not at this path.",
		"Leave the path out of FARO_UPSTREAM_URL, or write /collect."},
	[FINDING_API_KEY] = {
		"api_key", "The receiver refuses the API key, or wants one.",
		"FARO_UPSTREAM_API_KEY_FILE must hold the api_key of faro.receiver's server "
		"block."},
	[FINDING_FORBIDDEN] = {
		"forbidden",
		"A proxy refuses this client: a Faro receiver itself never answers 403.",
		"Allow this service account or pod in the proxy or service mesh in front of the "
		"receiver; or set FARO_UPSTREAM_TENANT to a tenant that it may write to."},
	[FINDING_REDIRECT] = {
		"redirect",
		"The server redirects to another address, and redirects are not followed.",
		"Write the final address into FARO_UPSTREAM_URL; often it is the same with "
		"https://, or another path."},
	[FINDING_TOO_LARGE] = {
		"too_large",
		"The receiver's limit is lower than FARO_MAX_DECODED_BYTES: it refuses large beacons.",
		"Lower FARO_MAX_BODY_BYTES and FARO_MAX_DECODED_BYTES; or raise "
		"max_allowed_payload_size of faro.receiver's server block, or "
		"max_request_body_size of a collector's faro receiver, and the limit of a proxy in "
		"front of it."},
	[FINDING_THROTTLED] = {
		"throttled", "The receiver works, and its rate limit is reached.",
		"Raise rate and burst_size of the rate_limiting block in faro.receiver's server "
		"block (50 and 100 requests a second by default): for all senders together, or, "
		"with strategy = \"per_app\", for each app's name and environment, so for all pods "
		"of this service; FARO_SPOOL_DIR keeps beacons meanwhile."},
	[FINDING_SERVER_ERROR] = {
		"server_error",
		"The receiver, or a proxy in front of it, reports a failure of its own.",
		"502, 503 and 504 mostly come from a proxy or a service mesh that has no receiver "
		"behind it: check that the receiver's pods are ready. Otherwise look at its logs."},
	[FINDING_ROUTE_NO_ANSWER] = {
		"route_no_answer",
		"The receiver works; nothing answers at the address of --through.",
		"Write the address on which nginx itself listens, as it is seen from here, such as "
		"http://127.0.0.1:8080."},
	[FINDING_ROUTE_NOT_FOUND] = {
		"route_not_found",
		"The receiver works; the server at the address of --through does not pass "
		"FARO_PATH to faro-ingest.",
		"nginx's path (FARO_PATH of its templates, or faro-location.conf) must be the "
		"FARO_PATH of faro-ingest. Also check that the server block at that address has "
		"the snippet and does not redirect."},
	[FINDING_ROUTE_OTHER_PATH] = {
		"route_other_path",
		"nginx passes this path to a faro-ingest that has another FARO_PATH.",
		"Give faro-ingest the FARO_PATH that nginx has, and restart it. Run this check "
		"with the settings of the faro-ingest that serves."},
	[FINDING_ROUTE_REFUSED] = {
		"route_refused",
		"nginx, or faro-ingest behind it, refuses the beacon that the receiver accepts.",
		"The line above has the reason; docs/OPERATIONS.md, \"When telemetry stops\", has a "
		"row for it."},
	[FINDING_LOCAL] = {
		"local", "The check itself could not be done.",
		"The line above says why: memory, open files, or missing permissions."},
};
/* clang-format on */

/* X509_V_ERR_* of OpenSSL's x509_vfy.h, as libcurl returns them. */
enum {
	NO_ISSUER_CERT = 2,
	NOT_YET_VALID = 9,
	HAS_EXPIRED = 10,
	SELF_SIGNED = 18,
	SELF_SIGNED_IN_CHAIN = 19,
	NO_LOCAL_ISSUER = 20,
	NO_LEAF_SIGNATURE = 21,
	NAME_MISMATCH = 62,
	ADDRESS_MISMATCH = 64,
};

static enum check_finding judge_certificate(const struct check_exchange *exchange)
{
	switch (exchange->verify) {
	case NO_ISSUER_CERT:
	case SELF_SIGNED:
	case SELF_SIGNED_IN_CHAIN:
	case NO_LOCAL_ISSUER:
	case NO_LEAF_SIGNATURE:
		return FINDING_TLS_UNKNOWN_CA;
	case NOT_YET_VALID:
	case HAS_EXPIRED:
		return FINDING_TLS_EXPIRED;
	case NAME_MISMATCH:
	case ADDRESS_MISMATCH:
		return FINDING_TLS_WRONG_NAME;
	default:
		/* libcurl compares the name itself, once the chain is verified. */
		return strstr(exchange->why, "subject name") ? FINDING_TLS_WRONG_NAME : FINDING_TLS;
	}
}

static enum check_finding judge_connect(long os_errno)
{
	switch (os_errno) {
	case ECONNREFUSED:
		return FINDING_REFUSED;
	case ETIMEDOUT:
		return FINDING_CONNECT_TIMEOUT;
	default:
		return FINDING_UNREACHABLE;
	}
}

/* There was no complete HTTP reply. */
static enum check_finding judge_transport(const struct check_exchange *exchange)
{
	switch (exchange->code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return FINDING_NAME_NOT_FOUND;
	case CURLE_COULDNT_CONNECT:
		return judge_connect(exchange->os_errno);
	case CURLE_OPERATION_TIMEDOUT:
		return exchange->connected ? FINDING_NO_ANSWER : FINDING_CONNECT_TIMEOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
		return judge_certificate(exchange);
	case CURLE_SSL_CACERT_BADFILE:
		return FINDING_TLS_CA_FILE;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
		return FINDING_TLS;
	case CURLE_OUT_OF_MEMORY:
	case CURLE_FAILED_INIT:
		return FINDING_LOCAL;
	default:
		/* With TLS 1.3 a server rejects a missing client certificate after the
		 * handshake. */
		return exchange->tls_ready && strstr(exchange->why, "alert") ? FINDING_TLS
									     : FINDING_NOT_HTTP;
	}
}

static enum check_finding judge_status(long status)
{
	switch (status) {
	case 401:
		return FINDING_API_KEY;
	case 403:
		return FINDING_FORBIDDEN;
	case 413:
		return FINDING_TOO_LARGE;
	case 429:
		return FINDING_THROTTLED;
	default:
		if (status >= 500)
			return FINDING_SERVER_ERROR;
		if (status >= 300 && status < 400)
			return FINDING_REDIRECT;
		return status >= 200 && status < 300 ? FINDING_OK : FINDING_NOT_FARO;
	}
}

enum check_finding check_judge(const struct check_exchange *exchange)
{
	/* A server may answer 413 while the body is still being sent, and close the connection. */
	return exchange->status >= 200 ? judge_status(exchange->status) : judge_transport(exchange);
}
