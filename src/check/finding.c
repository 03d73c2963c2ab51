/* SPDX-License-Identifier: Apache-2.0 */
#include "check/finding.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>

/* clang-format off */
const struct check_finding_text check_finding_texts[FINDING_COUNT] = {
	[FINDING_OK] = {
		"ok", "The receiver takes beacons as they will be sent.",
		NULL},
	[FINDING_NAME_NOT_FOUND] = {
		"name_not_found", "The name server knows no such name.",
		"Correct the host in FARO_UPSTREAM_URL. A Service in the same namespace is NAME, "
		"one in another is NAME.NAMESPACE; a name without an address may be a Service "
		"without pods."},
	[FINDING_DNS_NO_ANSWER] = {
		"dns_no_answer", "No name server answered.",
		"Look at /etc/resolv.conf and at whether a NetworkPolicy lets this pod send to "
		"port 53, UDP and TCP."},
	[FINDING_REFUSED] = {
		"refused", "The host is there, but nothing listens on that port for us.",
		"Alloy's faro.receiver listens on 127.0.0.1 unless its server block says "
		"listen_address = \"0.0.0.0\". Is it running, is its listen_port (12347 by "
		"default) that of FARO_UPSTREAM_URL, and does the Service expose that port?"},
	[FINDING_UNREACHABLE] = {
		"unreachable", "There is no way to that address.",
		"Look at the address above: is it the receiver's, and does this machine or pod "
		"have a route to it?"},
	[FINDING_CONNECT_TIMEOUT] = {
		"connect_timeout", "Nobody answered the attempt to connect.",
		"Something drops the packets: a NetworkPolicy (egress of this pod, ingress of "
		"the receiver's), a firewall, or an address where nobody is. For a way that is "
		"only slow, raise FARO_UPSTREAM_CONNECT_TIMEOUT_MS."},
	[FINDING_NO_ANSWER] = {
		"no_answer", "It took the connection and the beacon, and did not answer in time.",
		"Is that port a Faro receiver's? Then it is overloaded, or what it writes to is: "
		"look at its logs. For one that is only slow, raise FARO_UPSTREAM_TIMEOUT_MS."},
	[FINDING_NOT_HTTP] = {
		"not_http", "What listens there does not speak HTTP/1.1.",
		"Correct the port in FARO_UPSTREAM_URL: a faro.receiver's is 12347 by default. "
		"4317, for one, is OTLP over gRPC."},
	[FINDING_TLS_PORT] = {
		"tls_port", "The port expects TLS, and FARO_UPSTREAM_URL says http://.",
		"Write https:// in FARO_UPSTREAM_URL, and set FARO_UPSTREAM_CA_FILE unless the "
		"certificate is of a public authority."},
	[FINDING_PLAIN_PORT] = {
		"plain_port",
		"The port speaks HTTP without TLS, and FARO_UPSTREAM_URL says https://.",
		"Write http:// in FARO_UPSTREAM_URL, or the port at which TLS is ended: a "
		"faro.receiver itself has no TLS."},
	[FINDING_TLS_UNKNOWN_CA] = {
		"tls_unknown_ca", "The certificate is of an authority that is not trusted here.",
		"Set FARO_UPSTREAM_CA_FILE to a PEM file with the authority that signed it; it "
		"replaces the system's list. The server must send its intermediate certificates."},
	[FINDING_TLS_WRONG_NAME] = {
		"tls_wrong_name", "The certificate is good, but for another name.",
		"Write the host in FARO_UPSTREAM_URL as the certificate has it, or have one "
		"issued for this name."},
	[FINDING_TLS_EXPIRED] = {
		"tls_expired", "The certificate is not valid at this time.",
		"Renew the receiver's certificate; or is the clock wrong, here or where it was "
		"issued?"},
	[FINDING_TLS_CA_FILE] = {
		"tls_ca_file", "The file of trusted certificates cannot be used.",
		"FARO_UPSTREAM_CA_FILE must hold certificates in PEM form (-----BEGIN "
		"CERTIFICATE-----), and this user must be able to read it; without the setting, "
		"the system's list must be installed (ca-certificates)."},
	[FINDING_TLS] = {
		"tls", "TLS cannot be agreed on.",
		"The sentence above is the TLS library's. TLS 1.2 or newer is needed, and a "
		"receiver that demands a certificate of the client cannot be used."},
	[FINDING_NOT_FARO] = {
		"not_faro", "Something answers there, but not as a Faro receiver does.",
		"Correct host and port in FARO_UPSTREAM_URL. 12347 is a faro.receiver's by "
		"default, and pyroscope.receive_http's as well; 3100 is Loki, 4318 OTLP, 12345 "
		"Alloy itself. What answers 2xx without being a receiver, as OTLP does, loses "
		"every beacon."},
	[FINDING_ALLOY_PORT] = {
		"alloy_port", "That is Alloy's own HTTP port, not its Faro receiver's.",
		"Put the listen_port of faro.receiver's server block (12347 by default) into "
		"FARO_UPSTREAM_URL, and into the Service."},
	[FINDING_WRONG_PATH] = {
		"wrong_path", "A Faro receiver listens there, but not at this path.",
		"Leave the path out of FARO_UPSTREAM_URL, or write /collect."},
	[FINDING_API_KEY] = {
		"api_key", "The receiver wants another API key than it got.",
		"FARO_UPSTREAM_API_KEY_FILE must hold the api_key of faro.receiver's server "
		"block."},
	[FINDING_FORBIDDEN] = {
		"forbidden",
		"Something refuses this client; a Faro receiver itself never answers 403.",
		"It is a proxy or a service mesh in front of it: allow this service account or "
		"pod there; or FARO_UPSTREAM_TENANT names a tenant that it may not write to."},
	[FINDING_REDIRECT] = {
		"redirect",
		"The receiver's host sends clients elsewhere, and redirects are not followed.",
		"Write the final address into FARO_UPSTREAM_URL; often it is the same with "
		"https://, or another path."},
	[FINDING_TOO_LARGE] = {
		"too_large",
		"A limit there is lower than ours: large beacons would be refused.",
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
		"502, 503 and 504 are mostly a proxy's or a service mesh's without a receiver "
		"behind it: are its pods ready? Else look at the receiver's logs."},
	[FINDING_ROUTE_NO_ANSWER] = {
		"route_no_answer",
		"The receiver works; nothing answers at the address of --through.",
		"Write the address on which nginx itself listens, as it is seen from here, such as "
		"http://127.0.0.1:8080."},
	[FINDING_ROUTE_NOT_FOUND] = {
		"route_not_found",
		"The receiver works; what answers at the address of --through does not hand "
		"FARO_PATH to faro-ingest.",
		"nginx's path (FARO_PATH of its templates, or faro-location.conf) must be the "
		"FARO_PATH of faro-ingest. Is that address the server block with the snippet, and "
		"not one that redirects?"},
	[FINDING_ROUTE_OTHER_PATH] = {
		"route_other_path",
		"nginx hands this path to a faro-ingest that has another FARO_PATH.",
		"Give faro-ingest the FARO_PATH that nginx has, and start it again; does this "
		"check run with the settings of the one that serves?"},
	[FINDING_ROUTE_REFUSED] = {
		"route_refused",
		"nginx, or faro-ingest behind it, refuses the beacon that the receiver takes.",
		"The reason is in the line above; docs/OPERATIONS.md, \"When telemetry stops\", has a row "
		"for it."},
	[FINDING_LOCAL] = {
		"local", "The check itself could not be done.",
		"The sentence above says why: memory, open files, or what this process may do."},
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
