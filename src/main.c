/* SPDX-License-Identifier: Apache-2.0 */
/* main: reads the configuration, chooses the mode, and connects the modules of a serving
 * process. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/malloc_tuning.h"
#include "base/text.h"
#include "build-config.h"
#include "check/check.h"
#include "config/config.h"
#include "delivery/policy.h"
#include "server/cgi.h"
#include "server/fcgi.h"
#include "server/listener.h"
#include "server/ping.h"
#include "server/worker.h"
#include "supervise.h"
#include "upstream/resolver.h"

enum {
	/* An epoll, two eventfds and the key file. */
	WORKER_DESCRIPTORS = 4,
	/* The three standard files, listener, signals, the spool's loop and files, a name
	 * lookup. */
	OTHER_DESCRIPTORS = 24,
	FEW_CONNECTIONS = 64,
};

/*
 * Ignored: SIGPIPE, of a peer that is gone; SIGHUP, of a session that ends; SIGUSR1 and SIGUSR2, by
 * which nginx, that may be meant, opens its logs anew and replaces itself. SIGXCPU comes once where
 * the processor time of the process is limited, and there is still time to end in good order.
 *
 * Threads inherit the blocked signals, so that no signal interrupts their reads and writes; main
 * reads the signals from the descriptor.
 */
static int take_signals(void)
{
	static const int ignored[] = {SIGPIPE, SIGHUP, SIGUSR1, SIGUSR2};
	static const int ends[] = {SIGTERM, SIGINT, SIGQUIT, SIGXCPU};
	sigset_t signals;

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&signals);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		sigaddset(&signals, ends[i]);
	if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0)
		return -1;
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

/* The signal that comes before due_us; 0: none. */
static uint32_t wait_for_signal(int signal_fd, int64_t due_us)
{
	struct pollfd ready = {.fd = signal_fd, .events = POLLIN};
	struct signalfd_siginfo info;
	int64_t left_us = due_us - loop_now_us();

	while (left_us > 0) {
		int timeout_ms = due_us == INT64_MAX ? -1 : (int)(left_us / 1000 + 1);

		if (poll(&ready, 1, timeout_ms) == 1 &&
		    read(signal_fd, &info, sizeof(info)) == sizeof(info))
			return info.ssi_signo;
		left_us = due_us - loop_now_us();
	}
	return 0;
}

/* A sidecar gets SIGTERM while the nginx beside it still serves, for as long as its preStop lasts.
 * Who sends another signal does not want to wait. */
static void wait_for_end(const struct config *config, int signal_fd)
{
	if (wait_for_signal(signal_fd, INT64_MAX) != SIGTERM || config->drain_delay_ms == 0)
		return;
	log_event(
		LOG_INFO, "drain_delayed",
		"Still accepting beacons, because nginx may still serve; a second signal ends the delay.",
		LOG_NUM("delay_ms", config->drain_delay_ms));
	wait_for_signal(signal_fd, loop_now_us() + config->drain_delay_ms * 1000);
}

/* The soft limit of a container is often 1024, which the connections of a worker can exceed. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* A log of SQLite that cannot be copied back, since the database has reached the limit of a file's
 * size, grows to that limit as well, and then nothing can be deleted. So the spool stays below it,
 * with a quarter for what a batch and the log need. */
static void keep_spool_below_file_limit(struct config *config)
{
	struct rlimit limit;

	if (!config->spool_dir || getrlimit(RLIMIT_FSIZE, &limit) != 0 ||
	    limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur - limit.rlim_cur / 4 >= config->spool_max_bytes)
		return;
	config->spool_max_bytes = limit.rlim_cur - limit.rlim_cur / 4;
	log_event(LOG_WARN, "file_limit_low",
		  "The limit of a file's size (RLIMIT_FSIZE) allows a smaller spool than "
		  "FARO_SPOOL_MAX_BYTES; raise that limit.",
		  LOG_NUM("limit", (int64_t)limit.rlim_cur),
		  LOG_NUM("spool_max_bytes", (int64_t)config->spool_max_bytes));
}

/* How many connections of web servers are kept: the limit of open files, less those to the upstream
 * and what else this process opens. */
static size_t count_connection_slots(const struct config *config)
{
	size_t upstream = (size_t)config->upstream_max_inflight * (config->workers + 1), left = 0;
	size_t others = OTHER_DESCRIPTORS + config->workers * WORKER_DESCRIPTORS;
	struct rlimit limit = {.rlim_cur = RLIM_INFINITY};

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur > others)
		left = limit.rlim_cur - others;
	if (upstream > left / 2)
		upstream = left / 2;
	left -= upstream;
	if (left < FEW_CONNECTIONS)
		log_event(
			LOG_WARN, "fd_limit_low",
			"The limit of open files allows few connections; raise it to 1024 or more.",
			LOG_NUM("limit", (int64_t)limit.rlim_cur),
			LOG_NUM("connections", (int64_t)left));
	if (left > FCGI_CONNECTIONS_MAX)
		return FCGI_CONNECTIONS_MAX;
	return left > 0 ? left : 1;
}

static void drain(const struct worker_shared *shared, struct worker **workers, size_t count,
		  int64_t deadline_us)
{
	for (size_t i = 0; i < count; i++)
		worker_drain(workers[i], deadline_us);
	if (shared->spool)
		spool_drain(shared->spool);
}

static size_t join_workers(struct worker **workers, size_t count)
{
	size_t unanswered = 0;

	for (size_t i = 0; i < count; i++)
		unanswered += worker_join(workers[i]);
	return unanswered;
}

/* The workers have ended. */
static void end_spool(struct worker_shared *shared, int64_t deadline_us)
{
	int64_t left;

	if (!shared->spool)
		return;
	left = spool_free(shared->spool, deadline_us);
	shared->spool = NULL;
	log_event(left > 0 ? LOG_WARN : LOG_INFO, "spool_remaining",
		  "The next process with this FARO_SPOOL_DIR delivers the beacons in the spool.",
		  LOG_NUM("records", left));
}

/* Serves until a signal comes, then waits until the workers have ended. */
static int run_workers(struct worker_shared *shared, struct listener *listener, int signal_fd)
{
	size_t count = shared->config->workers, started = 0, unanswered;
	struct worker **workers = calloc(count, sizeof(struct worker *));
	int64_t deadline_us = loop_now_us();

	while (workers && started < count) {
		workers[started] = worker_new(shared);
		if (!workers[started])
			break;
		started++;
	}
	if (started == count) {
		config_log_start(shared->config);
		wait_for_end(shared->config, signal_fd);
		log_event(LOG_INFO, "draining", "Stopping: answering the requests in flight.",
			  LOG_NUM("timeout_ms", shared->config->drain_timeout_ms));
		deadline_us = loop_now_us() + shared->config->drain_timeout_ms * 1000;
	} else {
		log_event(LOG_ERROR, "no_worker", "A worker cannot be started.",
			  LOG_STR("error", strerror(errno)));
	}
	drain(shared, workers, started, deadline_us);
	unanswered = join_workers(workers, started);
	free(workers);
	/* Closing the spool may take long. Without a socket nginx gets an error at once, and need
	 * not wait. */
	listener_close(listener);
	end_spool(shared, deadline_us);
	if (started < count)
		return EXIT_FAILURE;
	log_event(LOG_INFO, "stopped", "All loops have ended.",
		  LOG_NUM("unanswered", (int64_t)unanswered));
	return EXIT_SUCCESS;
}

/* Starts what the workers share, some of it with threads of its own. False with errno set. */
static bool set_up_shared(struct worker_shared *shared)
{
	const struct config *config = shared->config;

	breaker_init(shared->breaker, &policy_breaker);
	shared->dedup = dedup_new();
	if (!shared->dedup)
		return false;
	shared->resolver = resolver_new(config->upstream_host, config->upstream_port);
	if (!shared->resolver)
		return false;
	resolver_wait(shared->resolver, config->upstream_connect_timeout_ms);
	if (!config->spool_dir)
		return true;
	shared->spool = spool_new(&(struct spool_options){
		.config = config,
		.resolver = shared->resolver,
		.breaker = shared->breaker,
		.dedup = shared->dedup,
		.memory = &shared->memory,
		.inflight = &shared->inflight,
	});
	return shared->spool;
}

static int serve(const struct config *config, struct listener *listener)
{
	struct breaker breaker;
	struct worker_shared shared = {.config = config, .listener = listener, .breaker = &breaker};
	int status = EXIT_FAILURE;
	int signal_fd;

	malloc_tuning_init();
	raise_file_limit();
	budget_init(&shared.memory, config->max_memory_bytes);
	budget_init(&shared.inflight, config->upstream_max_inflight);
	budget_init(&shared.connection_slots, count_connection_slots(config));
	signal_fd = take_signals();
	if (signal_fd >= 0 && set_up_shared(&shared))
		status = run_workers(&shared, listener, signal_fd);
	else
		log_event(LOG_ERROR, "start_failed", "Cannot set up signals, threads or memory.",
			  LOG_STR("error", strerror(errno)));
	if (shared.resolver)
		resolver_free(shared.resolver);
	dedup_free(shared.dedup);
	if (signal_fd >= 0)
		close(signal_fd);
	listener_close(listener);
	return status;
}

/* --listen decides, else what fd 0 is, else whether a web server set the environment for CGI. */
static int choose_front_end(const struct config *config)
{
	struct listener listener;

	if (config->listen) {
		if (!listener_open(&listener, config->listen, config->listen_mode, stderr))
			return EXIT_BAD_CONFIG;
		return serve(config, &listener);
	}
	if (listener_is_listening(STDIN_FILENO)) {
		if (!listener_adopt(&listener, STDIN_FILENO, stderr))
			return EXIT_BAD_CONFIG;
		return serve(config, &listener);
	}
	if (getenv("GATEWAY_INTERFACE"))
		return cgi_serve(config);
	fputs("faro-ingest: nothing to serve: give --listen unix:PATH, start it by spawn-fcgi, or "
	      "as a CGI program (GATEWAY_INTERFACE set); --print labels a beacon from stdin; "
	      "--help lists all\n",
	      stderr);
	return EXIT_BAD_CONFIG;
}

static int run_mode(const struct config *config)
{
	switch (config->mode) {
	case MODE_HELP:
		config_print_help(stdout);
		return EXIT_SUCCESS;
	case MODE_VERSION:
		puts(PACKAGE_STRING);
		return EXIT_SUCCESS;
	case MODE_PING:
		return ping(config->ping_socket);
	case MODE_TEST_CONFIG:
		fputs("faro-ingest: the configuration is good\n", stderr);
		return EXIT_SUCCESS;
	case MODE_PRINT:
		return cgi_print(config);
	case MODE_CHECK:
		return check_receiver(config);
	case MODE_SUPERVISE:
	case MODE_SERVE:
		break;
	}
	return choose_front_end(config);
}

/* A CGI server may pass a query without '=' on as arguments (RFC 3875, 4.4). They come from the
 * client, who must not choose the upstream and the labels. */
static bool are_arguments_of_client(void)
{
	return getenv("GATEWAY_INTERFACE") && getenv("REQUEST_METHOD");
}

/*
 * Keeps bodies and keys in this process. A process that is not dumpable leaves no core file,
 * wherever core files go on this machine, and no other process of its user can read its memory or
 * environment. Files that it makes are for their owner alone, but the socket has the mode of
 * --listen-mode.
 */
static bool harden(void)
{
	int failed = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

	failed |= prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	umask(077);
	/* --supervise starts this program as "exe". */
	prctl(PR_SET_NAME, "faro-ingest", 0, 0, 0);
	return failed == 0;
}

/* If one of them is closed, the first socket would get its number, and the log would be written
 * into it. They are opened for reading, so that a write fails as on a closed one. */
static void occupy_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct config config;
	int status, command_at;
	bool hardened;

	occupy_standard_files();
	if (are_arguments_of_client() && argc > 1)
		argc = 1;
	command_at = supervise_find(argc, argv);
	if (command_at > 0)
		return supervise(argc, argv, command_at);
	/* A file that has reached its limit of bytes, the spool's or the log's, is an error of that
	 * write. */
	signal(SIGXFSZ, SIG_IGN);
	hardened = harden();
	if (!config_init(&config, argc, argv, stderr))
		return EXIT_BAD_CONFIG;
	log_init(config.log_format, config.log_level);
	if (!hardened)
		log_event(LOG_WARN, "not_hardened",
			  "The system did not let this process give up privileges or protect its "
			  "memory from others; allow prctl in the container's seccomp profile.");
	keep_spool_below_file_limit(&config);
	status = run_mode(&config);
	config_release(&config);
	return status;
}
