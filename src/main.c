/* main: options, mode, wiring; nothing else. */
#include <errno.h>
#include <fcntl.h>
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
	EXIT_USAGE = 2,
	/* An epoll, two eventfds, the key file. */
	WORKER_DESCRIPTORS = 4,
	/* Three of every process, listener, signals; the spool's loop and files; a lookup of a name. */
	OTHER_DESCRIPTORS = 24,
	FEW_PLACES = 64,
};

/* Threads inherit the blocked signals, so that no read or write of theirs is interrupted; main takes
 * them from the descriptor. */
static int take_signals(void)
{
	sigset_t signals;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGQUIT);
	if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0)
		return -1;
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static void wait_for_signal(int signal_fd)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) < 0 && errno == EINTR)
		;
}

/* A worker's connections to nginx and to the receiver; the soft limit of a container is often 1024.
 */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* How many connections web servers may make: each may want one to the receiver, and some descriptors are
 * neither. */
static size_t count_connection_slots(const struct config *config)
{
	size_t receivers = (size_t)config->upstream_max_inflight * (config->workers + 1), left = 0;
	size_t others = OTHER_DESCRIPTORS + config->workers * WORKER_DESCRIPTORS;
	struct rlimit limit = {.rlim_cur = RLIM_INFINITY};

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur > others)
		left = limit.rlim_cur - others;
	if (receivers > left / 2)
		receivers = left / 2;
	left -= receivers;
	if (left < FEW_PLACES)
		log_event(
			LOG_WARN, "fd_limit_low",
			"The limit of open files leaves room for few connections; raise it to 1024 "
			"or more.",
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

static size_t join(struct worker **workers, size_t count)
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
		  "What is in the spool is delivered by the next process with this FARO_SPOOL_DIR.",
		  LOG_NUM("records", left));
}

/* Until the signal, then until the workers have ended. */
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
		wait_for_signal(signal_fd);
		log_event(LOG_INFO, "draining", "Told to stop; answering what is in flight.",
			  LOG_NUM("timeout_ms", shared->config->drain_timeout_ms));
		deadline_us = loop_now_us() + shared->config->drain_timeout_ms * 1000;
	} else {
		log_event(LOG_ERROR, "no_worker", "A worker cannot be started.",
			  LOG_STR("error", strerror(errno)));
	}
	drain(shared, workers, started, deadline_us);
	unanswered = join(workers, started);
	free(workers);
	/* The spool may take its time: no socket is better than one that nobody answers. */
	listener_close(listener);
	end_spool(shared, deadline_us);
	if (started < count)
		return EXIT_FAILURE;
	log_event(LOG_INFO, "stopped", "All loops have ended.",
		  LOG_NUM("unanswered", (int64_t)unanswered));
	return EXIT_SUCCESS;
}

/* What the workers share and what has threads of its own. False with errno set. */
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

/* Which carrier: what --listen says, or what fd 0 is, or what a web server told in the environment.
 */
static int choose_carrier(const struct config *config)
{
	struct listener listener;

	if (config->listen) {
		if (!listener_open(&listener, config->listen, config->listen_mode, stderr))
			return EXIT_USAGE;
		return serve(config, &listener);
	}
	if (listener_is_listening(STDIN_FILENO)) {
		if (!listener_adopt(&listener, STDIN_FILENO, stderr))
			return EXIT_USAGE;
		return serve(config, &listener);
	}
	if (getenv("GATEWAY_INTERFACE"))
		return cgi_serve(config);
	fputs("faro-ingest: nothing to serve: give --listen unix:PATH, start it by spawn-fcgi, or as a "
	      "CGI program (GATEWAY_INTERFACE set); --print labels a beacon from stdin; --help lists all\n",
	      stderr);
	return EXIT_USAGE;
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
	return choose_carrier(config);
}

/* A CGI server may pass a query without '=' on as arguments (RFC 3875, 4.4): those are the client's,
 * who would otherwise choose the receiver and the labels. */
static bool arguments_are_the_clients(void)
{
	return getenv("GATEWAY_INTERFACE") && getenv("REQUEST_METHOD");
}

/*
 * Bodies and keys stay in this process. A process that is not dumpable leaves no core file, whatever
 * takes core files on this machine, and no other process of its user can read its memory or its
 * environment. Files are for their owner alone; --listen-mode says otherwise of the socket.
 */
static bool harden(void)
{
	int failed = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

	failed |= prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	umask(077);
	/* --supervise starts us as "exe". */
	prctl(PR_SET_NAME, "faro-ingest", 0, 0, 0);
	return failed == 0;
}

/* Where one of them is closed, a socket of ours would get its number, and with it our log. What is written
 * there fails, as it does where it is closed. */
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
	if (arguments_are_the_clients() && argc > 1)
		argc = 1;
	command_at = supervise_find(argc, argv);
	if (command_at > 0)
		return supervise(argc, argv, command_at);
	hardened = harden();
	if (!config_init(&config, argc, argv, stderr))
		return EXIT_USAGE;
	log_init(config.log_format, config.log_level);
	if (!hardened)
		log_event(LOG_WARN, "not_hardened",
			  "The system did not let this process give up privileges or close its "
			  "memory to others; allow prctl in the container's seccomp profile.");
	status = run_mode(&config);
	config_release(&config);
	return status;
}
