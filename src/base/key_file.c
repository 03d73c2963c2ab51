#include "base/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum {
	CHECK_PERIOD_US = 1000000,
	/* A file that is this young may change again without its time stamps showing it. */
	SETTLED_AFTER_S = 2,
};

void key_file_init(struct key_file *secret, const char *path)
{
	*secret = (struct key_file){.path = path};
}

void key_file_release(struct key_file *secret)
{
	explicit_bzero(secret->value, sizeof(secret->value));
	secret->len = 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool unchanged(const struct key_file *secret, const struct stat *now)
{
	const struct stat *seen = &secret->seen;

	return secret->settled && seen->st_dev == now->st_dev && seen->st_ino == now->st_ino &&
	       seen->st_size == now->st_size && same_time(seen->st_mtim, now->st_mtim) &&
	       same_time(seen->st_ctim, now->st_ctim);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

const char *key_file_problem(const char *text, size_t *len)
{
	if (*len > CONFIG_SECRET_MAX_BYTES)
		return "it is longer than 4096 bytes";
	while (*len > 0 && is_blank(text[*len - 1]))
		(*len)--;
	if (*len == 0)
		return "it is empty";
	for (size_t i = 0; i < *len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return "it has more than one line, or other than ASCII characters";
	return NULL;
}

/* The file's bytes into `text`, one more than is allowed if there are as many. */
static const char *read_file(const char *path, struct stat *seen, char *text, size_t size,
			     size_t *len)
{
	const char *problem = NULL;
	ssize_t n;
	/* Not to wait for the other end, should it be a FIFO. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	*len = 0;
	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, seen) != 0)
		problem = strerror(errno);
	else if (!S_ISREG(seen->st_mode))
		problem = "it is not a regular file";
	while (!problem && *len < size && (n = read(fd, text + *len, size - *len)) != 0) {
		if (n > 0)
			*len += (size_t)n;
		else if (errno != EINTR)
			problem = strerror(errno);
	}
	close(fd);
	return problem;
}

static void report(struct key_file *secret, const char *problem)
{
	if (problem)
		log_limited(LOG_ERROR, "api_key_unreadable",
			    secret->len > 0
				    ? "The key file cannot be used now; the last good key stays."
				    : "The key file cannot be used; beacons go without a key.",
			    LOG_STR("file", secret->path), LOG_STR("reason", problem));
	else if (secret->failing)
		log_event(LOG_INFO, "api_key_readable", "The key file can be used again.",
			  LOG_STR("file", secret->path));
	secret->failing = problem != NULL;
}

static bool reread(struct key_file *secret)
{
	char text[CONFIG_SECRET_MAX_BYTES + 1];
	bool changed = false;
	struct stat seen = {0};
	size_t len;
	const char *problem = read_file(secret->path, &seen, text, sizeof(text), &len);

	if (!problem)
		problem = key_file_problem(text, &len);
	report(secret, problem);
	secret->seen = seen;
	secret->settled = !problem && seen.st_ctim.tv_sec + SETTLED_AFTER_S < time(NULL);
	if (!problem && !view_equals((struct view){text, len}, key_file_value(secret))) {
		key_file_release(secret);
		memcpy(secret->value, text, len);
		secret->len = len;
		changed = true;
	}
	explicit_bzero(text, sizeof(text));
	return changed;
}

bool key_file_refresh(struct key_file *secret, int64_t now_us)
{
	struct stat now;

	if (now_us < secret->next_check_us)
		return false;
	secret->next_check_us = now_us + CHECK_PERIOD_US;
	/* stat(2) follows links, so that a swapped one shows as another file. */
	if (secret->settled && stat(secret->path, &now) == 0 && unchanged(secret, &now))
		return false;
	return reread(secret);
}
