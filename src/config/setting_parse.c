/*
 * The settings whose values are more than a number or a word: the upstream and its files, the path,
 * the origins. What each expects stands in its problem line.
 */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/key_file.h"
#include "config/setting.h"

enum {
	CA_START_BYTES = 64 * 1024 /* there may be remarks before the first certificate */
};

static bool is_printable_ascii(const char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			return false;
	}
	return true;
}

/* NULL, or what libcurl's parser would let pass. */
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

/* From the parsed URL into the config. */
static CURLUcode take_url(struct config *config, CURLU *url)
{
	char *scheme = NULL, *path = NULL, *port = NULL, *zone = NULL;
	CURLUcode code = curl_url_get(url, CURLUPART_PATH, &path, 0);
	size_t n;

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
		code = curl_url_get(url, CURLUPART_HOST, &config->upstream_host, 0);
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_URL, &config->upstream_url, 0);
	if (code == CURLUE_OK) {
		config->upstream_tls = strcmp(scheme, "https") == 0;
		config->upstream_port = (uint16_t)strtoul(port, NULL, 10);
		n = strlen(config->upstream_host);
		if (config->upstream_host[0] == '[') {
			memmove(config->upstream_host, config->upstream_host + 1, n - 2);
			config->upstream_host[n - 2] = '\0';
		}
	}
	curl_free(scheme);
	curl_free(path);
	curl_free(port);
	curl_free(zone);
	return code;
}

void setting_parse_url(struct reading *reading, enum setting_id id, const char *text)
{
	const char *wrong = url_problem(text);
	CURLU *url = NULL;
	CURLUcode code = CURLUE_OUT_OF_MEMORY;

	if (!wrong) {
		url = curl_url();
		if (url)
			code = curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER);
		if (url && code == CURLUE_OK)
			code = take_url(reading->config, url);
		curl_url_cleanup(url);
		if (code == CURLUE_OUT_OF_MEMORY)
			setting_out_of_memory(reading);
		else if (code != CURLUE_OK)
			wrong = "its host or port is not valid";
	}
	if (wrong)
		setting_problem(
			reading, id, strchr(text, '@') ? NULL : text,
			"expected http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]: %s",
			wrong);
}

/* Reads up to `size` bytes. NULL, or why not: a thing that is no regular file could make us wait.
 */
static const char *read_start(const char *path, char *bytes, size_t size, size_t *n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *wrong = NULL;
	struct stat status;
	ssize_t got = -1;

	*n = 0;
	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode))
		wrong = "it is not a regular file";
	else
		got = read(fd, bytes, size);
	if (got >= 0)
		*n = (size_t)got;
	else if (!wrong)
		wrong = strerror(errno);
	close(fd);
	return wrong;
}

void setting_parse_ca_file(struct reading *reading, enum setting_id id, const char *text)
{
	static const char begin[] = "-----BEGIN ";
	char bytes[CA_START_BYTES];
	size_t n;
	const char *wrong = read_start(text, bytes, sizeof(bytes), &n);

	if (!wrong && n == 0)
		wrong = "it is empty";
	else if (!wrong && !memmem(bytes, n, begin, sizeof(begin) - 1))
		wrong = "it has no line that begins with -----BEGIN";
	if (wrong)
		setting_problem(reading, id, text,
				"expected a readable file with certificates in PEM form: %s",
				wrong);
	reading->config->upstream_ca_file = text;
}

void setting_parse_key_file(struct reading *reading, enum setting_id id, const char *text)
{
	char bytes[KEY_FILE_MAX_BYTES + 1];
	size_t n;
	const char *wrong = read_start(text, bytes, sizeof(bytes), &n);

	if (!wrong)
		wrong = key_file_problem(bytes, &n);
	if (wrong)
		setting_problem(reading, id, text,
				"expected a readable file with the key in it: %s", wrong);
	explicit_bzero(bytes, sizeof(bytes));
	reading->config->upstream_api_key_file = text;
}

void setting_parse_tenant(struct reading *reading, enum setting_id id, const char *text)
{
	if (!is_printable_ascii(text) || strlen(text) > CONFIG_HEADER_MAX_BYTES)
		setting_problem(reading, id, text, "expected at most %d printable ASCII characters",
				CONFIG_HEADER_MAX_BYTES);
	reading->config->upstream_tenant = text;
}

/* Of a text that begins with a slash. */
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

void setting_parse_path(struct reading *reading, enum setting_id id, const char *text)
{
	const char *wrong = path_problem(text);
	size_t n = strlen(text);

	if (wrong)
		setting_problem(reading, id, text, "expected a path such as /faro: %s", wrong);
	else
		n -= text[n - 1] == '/';
	memcpy(reading->space, text, n);
	reading->space[n] = '\0';
	reading->config->path = reading->space;
	reading->space += n + 1;
}

/* What follows the host of an origin: nothing, or a port. */
static const char *origin_port_problem(const char *text)
{
	const char *rest;
	uint64_t port;

	if (*text == '\0')
		return NULL;
	if (*text == '/')
		return "it has a path; leave out everything from the slash on";
	if (*text != ':')
		return "it has a character that no host has";
	if (!setting_parse_whole(text + 1, &port, &rest) || *rest || port < 1 || port > 65535)
		return "its port is not a number from 1 to 65535";
	return NULL;
}

/* `text` is in lower case. *port is where the port would begin. */
static const char *origin_problem(const char *text, const char **port)
{
	size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
	const char *host = text + scheme + 3;
	size_t n;

	if (strcmp(text, "*") == 0)
		return "* would let every site write into your logs; list the origins one by one";
	if (strcmp(text, "null") == 0)
		return "null is what any sandboxed page sends, so it names nobody";
	if (scheme == 0 || strncmp(text + scheme, "://", 3) != 0)
		return "it has no scheme (https://)";
	if (*host == '[') {
		n = strspn(host + 1, "0123456789abcdef:.") + 2;
		if (n < 4 || host[n - 1] != ']')
			return "its IPv6 address is not closed by ]";
	} else {
		n = strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789._-");
		if (n == 0)
			return "it has no host";
	}
	*port = host + n;
	return origin_port_problem(*port);
}

/* Browsers leave the scheme's own port out of Origin. */
static bool is_default_port(const char *origin, const char *port)
{
	return (strncmp(origin, "https:", 6) == 0 && strcmp(port, ":443") == 0) ||
	       (strncmp(origin, "http:", 5) == 0 && strcmp(port, ":80") == 0);
}

static void add_origin(struct reading *reading, enum setting_id id, char *item)
{
	struct config *config = reading->config;
	const char *wrong, *port;
	size_t n;

	item += strspn(item, " \t");
	for (n = strlen(item); n > 0 && strchr(" \t", item[n - 1]); n--)
		;
	item[n] = '\0';
	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		item[i] = (char)(item[i] >= 'A' && item[i] <= 'Z' ? item[i] | 0x20 : item[i]);
	wrong = origin_problem(item, &port);
	if (wrong)
		setting_problem(reading, id, item,
				"expected origins such as https://shop.example: %s", wrong);
	else
		config->allowed_origins[config->allowed_origin_count++] = (struct view){
			item, is_default_port(item, port) ? (size_t)(port - item) : n};
}

void setting_parse_origins(struct reading *reading, enum setting_id id, const char *text)
{
	char *rest = strcpy(reading->space, text), *item;
	size_t n = 1;

	reading->space += strlen(text) + 1;
	for (const char *p = text; *p; p++)
		n += *p == ',';
	reading->config->allowed_origins = calloc(n, sizeof(struct view));
	if (!reading->config->allowed_origins) {
		setting_out_of_memory(reading);
		return;
	}
	while ((item = strsep(&rest, ",")) != NULL)
		add_origin(reading, id, item);
}

/* Relative to nothing: who starts the program decides where it runs. */
void setting_parse_spool_dir(struct reading *reading, enum setting_id id, const char *text)
{
	if (text[0] != '/' || strlen(text) > PATH_MAX - 64)
		setting_problem(reading, id, text,
				"expected an absolute path, such as /var/spool/faro-ingest");
	else
		reading->config->spool_dir = text;
}
