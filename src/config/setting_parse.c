/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: what a single setting demands of its value beyond its kind: the upstream's URL and files,
 * the path, the origins. A check does not see the row: it returns what is wrong, and setting_type.c
 * reports it.
 */
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>

#include "base/key_file.h"
#include "base/text.h"
#include "config/reading.h"

enum {
	CA_START_BYTES = 64 * 1024 /* the first certificate may follow comments */
};

static bool is_printable_ascii(const char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			return false;
	}
	return true;
}

/* NULL, or what is wrong with it that libcurl's parser accepts. */
static const char *url_problem(const char *text)
{
	size_t scheme = strncasecmp(text, "http://", 7) == 0    ? 7
			: strncasecmp(text, "https://", 8) == 0 ? 8
								: 0;

	if (!is_printable_ascii(text) || strchr(text, ' '))
		return "it has a character that has to be percent-encoded";
	if (scheme == 0)
		return "it does not begin with http:// or https://";
	if (text[scheme] == '\0' || text[scheme] == '/')
		return "it has no host";
	if (memchr(text + scheme, '@', strcspn(text + scheme, "/?#")))
		return "it has a user or password; a key goes into FARO_UPSTREAM_API_KEY_FILE";
	if (strpbrk(text, "?#"))
		return "it has a query or fragment";
	return NULL;
}

/* Keeps the host as it is written, and takes the dot at its end out of the URL: it makes a name
 * absolute for the lookup, but a Host header and a certificate have names without it. */
static CURLUcode take_host(struct config *config, CURLU *url)
{
	CURLUcode code = curl_url_get(url, CURLUPART_HOST, &config->upstream_host, 0);
	char *host = config->upstream_host;
	size_t n = code == CURLUE_OK ? strlen(host) : 0;

	if (n == 0)
		return code;
	if (host[n - 1] == '.') {
		if (n == 1 || host[n - 2] == '.')
			return CURLUE_BAD_HOSTNAME;
		host[n - 1] = '\0';
		code = curl_url_set(url, CURLUPART_HOST, host, 0);
		host[n - 1] = '.';
	} else if (host[0] == '[') {
		memmove(host, host + 1, n - 2);
		host[n - 2] = '\0';
	}
	return code;
}

/* Copies the parts of the parsed URL into the config. */
static CURLUcode take_url(struct config *config, CURLU *url)
{
	char *scheme = NULL, *path = NULL, *port = NULL, *zone = NULL;
	CURLUcode code = curl_url_get(url, CURLUPART_PATH, &path, 0);

	if (code == CURLUE_OK && strcmp(path, "/") == 0)
		code = curl_url_set(url, CURLUPART_PATH, "/collect", 0);
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
	if (code == CURLUE_OK && strcmp(port, "0") == 0)
		code = CURLUE_BAD_PORT_NUMBER;
	if (code == CURLUE_OK && curl_url_get(url, CURLUPART_ZONEID, &zone, 0) == CURLUE_OK)
		code = CURLUE_BAD_IPV6;
	if (code == CURLUE_OK)
		code = take_host(config, url);
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_URL, &config->upstream_url, 0);
	if (code == CURLUE_OK) {
		config->upstream_tls = strcmp(scheme, "https") == 0;
		config->upstream_port = (uint16_t)strtoul(port, NULL, 10);
	}
	curl_free(scheme);
	curl_free(path);
	curl_free(port);
	curl_free(zone);
	return code;
}

/* NULL, or what is wrong with it. */
static const char *split_url(struct reading *reading, const char *text)
{
	CURLUcode code = CURLUE_OUT_OF_MEMORY;
	CURLU *url = curl_url();

	if (url)
		code = curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER);
	if (url && code == CURLUE_OK)
		code = take_url(reading->config, url);
	curl_url_cleanup(url);
	if (code == CURLUE_OUT_OF_MEMORY)
		reading_out_of_memory(reading);
	else if (code != CURLUE_OK)
		return "its host or port is not valid";
	return NULL;
}

void setting_parse_url(struct reading *reading, const struct setting *setting, const char *text)
{
	const char *wrong = url_problem(text);

	if (!wrong)
		wrong = split_url(reading, text);
	if (wrong)
		reading_problem(
			reading, setting, strchr(text, '@') ? NULL : text,
			"expected http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]: %s",
			wrong);
}

/* Reads the start of a file. NULL, or why not. */
static const char *read_start(const char *path, char *bytes, size_t size, size_t *n)
{
	long got = read_small_file(path, bytes, size, NULL);

	*n = got > 0 ? (size_t)got : 0;
	if (got >= 0)
		return NULL;
	return errno == EINVAL ? "it is not a regular file" : strerror(errno);
}

const char *setting_check_ca_file(char *text)
{
	static const char begin[] = "-----BEGIN ";
	char bytes[CA_START_BYTES];
	size_t n;
	const char *wrong = read_start(text, bytes, sizeof(bytes), &n);

	if (wrong)
		return wrong;
	if (n == 0)
		return "it is empty";
	if (!memmem(bytes, n, begin, sizeof(begin) - 1))
		return "it has no line that begins with -----BEGIN";
	return NULL;
}

const char *setting_check_key_file(char *text)
{
	char bytes[KEY_FILE_MAX_BYTES + 1];
	size_t n;
	const char *wrong = read_start(text, bytes, sizeof(bytes), &n);

	if (!wrong)
		wrong = key_file_problem(bytes, &n);
	explicit_bzero(bytes, sizeof(bytes));
	return wrong;
}

_Static_assert(CONFIG_HEADER_MAX_BYTES == 512, "setting.c says how many are expected");

const char *setting_check_tenant(char *text)
{
	bool is_good = is_printable_ascii(text) && strlen(text) <= CONFIG_HEADER_MAX_BYTES;

	return is_good ? NULL : "";
}

/* What is wrong with a segment of a path that begins with a slash. */
static const char *segment_problem(const char *text)
{
	while (*text == '/') {
		size_t n = strcspn(++text, "/");

		if (n == 0 && *text == '/')
			return "it has an empty segment (//)";
		if (n > 0 && n <= 2 && strspn(text, ".") >= n)
			return "it has a segment . or .., which nginx resolves before we see it";
		text += n;
	}
	return NULL;
}

static const char *path_problem(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._~-";

	if (text[0] != '/')
		return "it does not begin with /";
	if (text[1] == '\0')
		return "it would take every request of the site";
	if (text[strspn(text, allowed)] != '\0')
		return "it has a character other than letters, digits and /._~-";
	if (strlen(text) + sizeof("/collect") > CONFIG_PATH_MAX_BYTES)
		return "it is too long";
	return segment_problem(text);
}

const char *setting_check_path(char *text)
{
	const char *wrong = path_problem(text);
	size_t n = strlen(text);

	if (!wrong && text[n - 1] == '/')
		text[n - 1] = '\0';
	return wrong;
}

static const char misplaced_asterisk[] =
	"* stands alone in the first label, as in https://*.preview.example";

/* The host of an origin is followed by its end or by a port. */
static const char *origin_port_problem(const char *text)
{
	const char *rest;
	uint64_t port;

	if (*text == '\0')
		return NULL;
	if (*text == '/')
		return "it has a path; leave out everything from the slash on";
	if (*text == '*')
		return misplaced_asterisk;
	if (*text != ':')
		return "it has a character that no host has";
	if (!setting_parse_whole(text + 1, &port, &rest) || *rest || port < 1 || port > 65535)
		return "its port is not a number from 1 to 65535";
	return NULL;
}

#define LABEL_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789_-"

/* `text` follows the asterisk. It has to be a domain of at least two labels, since one is a whole
 * top-level domain; below an address, whose last label is a number, there are no names. NULL, or
 * what is wrong with it. */
static const char *domain_problem(const char *text)
{
	size_t labels = 0, length = strspn(text, LABEL_CHARACTERS);

	if (length > 0)
		return misplaced_asterisk;
	for (; *text == '.'; text += length, labels++) {
		length = strspn(++text, LABEL_CHARACTERS);
		if (length == 0)
			return *text == '*' ? misplaced_asterisk : "it has an empty label";
	}
	if (labels < 2)
		return "* would stand for a whole top-level domain; write at least two labels";
	if (strspn(text - length, "0123456789") == length)
		return "* cannot stand in an address";
	return NULL;
}

/* How many characters the host has. *wrong is NULL, or what is wrong with it. */
static size_t host_length(const char *host, bool is_http, const char **wrong)
{
	size_t n;

	*wrong = NULL;
	if (*host == '[') {
		n = strspn(host + 1, "0123456789abcdef:.") + 2;
		if (n < 4 || host[n - 1] != ']')
			*wrong = "its IPv6 address is not closed by ]";
		return n;
	}
	if (*host == '*') {
		*wrong = is_http ? domain_problem(host + 1) : "* needs the scheme http or https";
		return 1 + strspn(host + 1, "." LABEL_CHARACTERS);
	}
	n = strspn(host, "." LABEL_CHARACTERS);
	if (n == 0)
		*wrong = "it has no host";
	return n;
}

/* `text` is in lower case. *port is where the port would begin. */
static const char *origin_problem(const char *text, const char **port)
{
	size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
	bool is_http = strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
	const char *wrong, *host = text + scheme + 3;

	if (strcmp(text, "*") == 0)
		return "* would let every site write into your logs; list the origins one by one";
	if (strcmp(text, "null") == 0)
		return "null is what any sandboxed page sends, so it names nobody";
	if (scheme == 0 || strncmp(text + scheme, "://", 3) != 0)
		return "it has no scheme (https://)";
	*port = host + host_length(host, is_http, &wrong);
	return wrong ? wrong : origin_port_problem(*port);
}

/* Browsers leave the scheme's own port out of Origin. */
static bool is_default_port(const char *origin, const char *port)
{
	return (strncmp(origin, "https:", 6) == 0 && strcmp(port, ":443") == 0) ||
	       (strncmp(origin, "http:", 5) == 0 && strcmp(port, ":80") == 0);
}

/* Browsers write origins in lower case. */
const char *setting_check_origin(char *text)
{
	const char *wrong, *port;

	for (char *p = text; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
	wrong = origin_problem(text, &port);
	if (!wrong && is_default_port(text, port))
		text[port - text] = '\0';
	return wrong;
}

/* A token of RFC 9110. An asterisk, which is one, would allow every header. */
const char *setting_check_header(char *text)
{
	static const char others[] = "!#$%&'+-.^_`|~";

	if (strchr(text, '*'))
		return "* would allow every header; list them one by one";
	for (const char *p = text; *p; p++)
		if (!is_digit(*p) && !((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') &&
		    !strchr(others, *p))
			return "it has a character that no header's name has";
	return strlen(text) <= CONFIG_HEADER_NAME_MAX_BYTES ? NULL : "it is too long";
}

/* Absolute, since the working directory depends on who starts the program. */
const char *setting_check_directory(char *text)
{
	return text[0] == '/' && strlen(text) <= PATH_MAX - 64 ? NULL : "";
}
