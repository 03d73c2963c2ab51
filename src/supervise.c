/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: one thread waits for the next signal, or until the next start or kill is due. The signals
 * are blocked from the start, so that none is lost or comes between a fork and the code after it;
 * children get the former mask back. Signals are only passed on to the command. The supervisor ends
 * when the command ends, for whatever reason:
 *
 *	              the command ends             the responder ends
 *	 both run ─────────────────────→ draining ────────────────────→ exit, with the status
 *	  │    ↑                            │                           of the command
 *	  │    │ after a pause              └─ drain time + 5 s: SIGKILL
 *	  ↓    │
 *	 the command alone, since the responder ended
 *
 * The responder is this program, started by /proc/self/exe: the same file even if another one has
 * replaced it, and no path is needed. It has a process group of its own, since Ctrl-C in a terminal
 * goes to a whole group and the responder must outlast nginx. It gets SIGTERM if its parent is
 * killed.
 */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "config/config.h"

enum {
	PAUSE_FIRST_MS = 100,
	PAUSE_MAX_MS = 10 * 1000,
	PAUSE_BAD_CONFIG_MS = 60 * 1000, /* wrong settings are seldom fixed without a restart */
	GOOD_LIFE_MS = 30 * 1000,     /* after a life as long, pauses begin with the first again */
	DRAIN_DEFAULT_MS = 10 * 1000, /* where the settings are wrong: FARO_DRAIN_TIMEOUT_MS's */
	KILL_AFTER_MS = 5000,         /* beyond the drain time, which the responder observes */
	STALL_MS = 250,               /* a wait that is so much longer was one of all of us */
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127,
	NOBODY = 65534,
};

#define DEFAULT_SOCKET "/run/faro-ingest/faro.sock" /* as in 15-faro.envsh */
#define NEVER          INT64_MAX

struct supervisor {
	char **command, **responder; /* argument vectors */
	char *listen;                /* in `responder` */
	int64_t drain_ms;
	pid_t command_pid, responder_pid; /* 0: does not run */
	int command_status;               /* of waitpid() */
	int64_t started_ms, pause_ms;     /* of the responder */
	int64_t due_ms;                   /* its next start, or its SIGKILL */
	sigset_t signals, former_mask;
	struct sigaction former_child, former_file_size;
};

int supervise_find(int argc, char **argv)
{
	bool asked = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0)
			return asked && i + 1 < argc ? i + 1 : 0;
		asked |= strcmp(argv[i], "--supervise") == 0;
	}
	return 0;
}

int64_t supervise_pause(int64_t *pause_ms, int64_t lived_ms, int wait_status)
{
	if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == EXIT_BAD_CONFIG) {
		*pause_ms = 0;
		return PAUSE_BAD_CONFIG_MS;
	}
	if (*pause_ms == 0 || lived_ms >= GOOD_LIFE_MS)
		*pause_ms = PAUSE_FIRST_MS;
	else
		*pause_ms = *pause_ms < PAUSE_MAX_MS / 2 ? 2 * *pause_ms : PAUSE_MAX_MS;
	return *pause_ms;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * (int64_t)1000 + now.tv_nsec / 1000000;
}

/* What the command line and the environment say */

/* --name, --name VALUE or --name=VALUE. */
static bool is_option(const char *argument, const char *name)
{
	size_t len = strlen(name);

	return strncmp(argument, "--", 2) == 0 && strncmp(argument + 2, name, len) == 0 &&
	       (argument[2 + len] == '\0' || argument[2 + len] == '=');
}

static bool has_option(char **arguments, const char *name)
{
	for (; *arguments; arguments++)
		if (is_option(*arguments, name))
			return true;
	return false;
}

static const char *variable(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value && *value ? value : otherwise;
}

/* It is told to end when the command has ended, and then has nobody to wait for. */
static char no_delay[] = "--drain-delay-ms=0";

/* The responder gets our options, and without --listen the socket that nginx is configured for. */
static bool make_responder(struct supervisor *supervisor, int argc, char **argv)
{
	const char *socket = variable("FARO_SOCKET", DEFAULT_SOCKET);
	int n = 0;

	supervisor->responder = calloc((size_t)argc + 3, sizeof(char *));
	if (!supervisor->responder)
		return false;
	for (int i = 0; i < argc && (i == 0 || strcmp(argv[i], "--") != 0); i++)
		if (i == 0 || strcmp(argv[i], "--supervise") != 0)
			supervisor->responder[n++] = argv[i];
	supervisor->responder[n++] = no_delay;
	if (has_option(supervisor->responder, "listen"))
		return true;
	if (asprintf(&supervisor->listen, "--listen=unix:%s", socket) < 0)
		return false;
	supervisor->responder[n] = supervisor->listen;
	return true;
}

/* Only what the supervisor needs. The responder itself reports what is wrong. */
static void read_settings(struct supervisor *supervisor)
{
	struct config config;
	char unread[1];
	FILE *errors = fmemopen(unread, sizeof(unread), "w");
	int argc = 0;

	supervisor->drain_ms = DRAIN_DEFAULT_MS;
	log_init(strcmp(variable("FARO_LOG_FORMAT", ""), "json") == 0 ? LOG_FORMAT_JSON
								      : LOG_FORMAT_LOGFMT,
		 LOG_INFO);
	while (supervisor->responder[argc])
		argc++;
	if (errors && config_init(&config, argc, supervisor->responder, errors)) {
		supervisor->drain_ms = config.drain_timeout_ms;
		log_init(config.log_format, config.log_level);
		config_release(&config);
	}
	if (errors)
		fclose(errors);
}

static bool is_off(const struct supervisor *supervisor)
{
	return *variable("FARO_UPSTREAM_URL", "") == '\0' &&
	       !has_option(supervisor->responder, "upstream-url");
}

/* Children */

static void block_signals(struct supervisor *supervisor)
{
	static const int handled[] = {SIGCHLD, SIGTERM, SIGINT,  SIGQUIT,
				      SIGHUP,  SIGUSR1, SIGUSR2, SIGWINCH};
	const struct sigaction ordinary = {.sa_handler = SIG_DFL},
			       ignoring = {.sa_handler = SIG_IGN};
	sigset_t blocked;

	sigemptyset(&supervisor->signals);
	for (size_t i = 0; i < ARRAY_LEN(handled); i++)
		sigaddset(&supervisor->signals, handled[i]);
	blocked = supervisor->signals;
	sigaddset(&blocked, SIGPIPE); /* if no one reads our log */
	sigprocmask(SIG_BLOCK, &blocked, &supervisor->former_mask);
	/* If SIGCHLD was inherited as ignored, the kernel would discard exit statuses. */
	sigaction(SIGCHLD, &ordinary, &supervisor->former_child);
	/* If our log is a file that has reached its limit of bytes. */
	sigaction(SIGXFSZ, &ignoring, &supervisor->former_file_size);
}

static void restore_signals(const struct supervisor *supervisor)
{
	sigaction(SIGCHLD, &supervisor->former_child, NULL);
	sigaction(SIGXFSZ, &supervisor->former_file_size, NULL);
	sigprocmask(SIG_SETMASK, &supervisor->former_mask, NULL);
}

/* What was to be run has not been, and our log is written to again. */
static void ignore_file_size_signal(void)
{
	int error = errno;

	signal(SIGXFSZ, SIG_IGN);
	errno = error;
}

static int run_command(const struct supervisor *supervisor)
{
	restore_signals(supervisor);
	execvp(supervisor->command[0], supervisor->command);
	ignore_file_size_signal();
	log_event(LOG_ERROR, "command_not_run", "The command cannot be run.",
		  LOG_STR("command", supervisor->command[0]), LOG_STR("error", strerror(errno)));
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* nginx's master needs root in some images; the responder, which reads what browsers send, does
 * not. */
static void drop_root(void)
{
	if (geteuid() != 0)
		return;
	if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) != 0)
		log_event(LOG_WARN, "responder_as_root",
			  "The responder cannot become user 65534 and runs as root; run the "
			  "container as another user instead.",
			  LOG_STR("error", strerror(errno)));
}

static int run_responder(const struct supervisor *supervisor, pid_t parent)
{
	int null_fd = open("/dev/null", O_RDONLY);

	if (null_fd > STDIN_FILENO) {
		dup2(null_fd, STDIN_FILENO);
		close(null_fd);
	}
	setpgid(0, 0);
	drop_root();
	/* After the change of user, which clears it. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		return EXIT_FAILURE;
	restore_signals(supervisor);
	execv("/proc/self/exe", supervisor->responder);
	/* There may be no /proc. */
	execvp(supervisor->responder[0], supervisor->responder);
	ignore_file_size_signal();
	log_event(LOG_ERROR, "responder_not_run", "This program cannot be run a second time.",
		  LOG_STR("error", strerror(errno)));
	return EXIT_NOT_FOUND;
}

static bool start_command(struct supervisor *supervisor)
{
	supervisor->command_pid = fork();
	if (supervisor->command_pid == 0)
		_exit(run_command(supervisor));
	return supervisor->command_pid > 0;
}

static void start_responder(struct supervisor *supervisor)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		_exit(run_responder(supervisor, parent));
	supervisor->started_ms = now_ms();
	if (pid > 0) {
		supervisor->responder_pid = pid;
		return;
	}
	supervisor->due_ms = now_ms() + supervise_pause(&supervisor->pause_ms, 0, 0);
	log_event(LOG_WARN, "responder_not_started", "No process can be made for the responder.",
		  LOG_STR("error", strerror(errno)));
}

/* Events */

static void command_ended(struct supervisor *supervisor, int status)
{
	supervisor->command_pid = 0;
	supervisor->command_status = status;
	supervisor->due_ms = NEVER;
	log_event(LOG_INFO, "command_ended", "The command has ended; exiting.",
		  LOG_NUM("status", WIFEXITED(status) ? WEXITSTATUS(status) : 0),
		  LOG_NUM("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0));
	if (supervisor->responder_pid > 0) {
		kill(supervisor->responder_pid, SIGTERM);
		supervisor->due_ms = now_ms() + supervisor->drain_ms + KILL_AFTER_MS;
	}
}

static void responder_ended(struct supervisor *supervisor, int status)
{
	int64_t lived_ms = now_ms() - supervisor->started_ms, pause_ms;
	bool is_bad_config = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_BAD_CONFIG;

	supervisor->responder_pid = 0;
	supervisor->due_ms = NEVER;
	if (supervisor->command_pid == 0)
		return;
	pause_ms = supervise_pause(&supervisor->pause_ms, lived_ms, status);
	supervisor->due_ms = now_ms() + pause_ms;
	log_event(LOG_ERROR, is_bad_config ? "responder_refused" : "responder_ended",
		  is_bad_config
			  ? "The responder rejects its settings, for the reason above; the command "
			    "runs without it."
			  : "The responder has ended unexpectedly; the command runs without it.",
		  LOG_NUM("status", WIFEXITED(status) ? WEXITSTATUS(status) : 0),
		  LOG_NUM("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
		  LOG_NUM("lived_ms", lived_ms), LOG_NUM("again_in_ms", pause_ms));
}

/* Collects all children that have ended; as PID 1, orphans of other processes, too. */
static void reap(struct supervisor *supervisor)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == supervisor->command_pid)
			command_ended(supervisor, status);
		else if (pid == supervisor->responder_pid)
			responder_ended(supervisor, status);
	}
}

static void do_what_is_due(struct supervisor *supervisor)
{
	if (now_ms() < supervisor->due_ms)
		return;
	supervisor->due_ms = NEVER;
	if (supervisor->command_pid > 0) {
		start_responder(supervisor);
		return;
	}
	log_event(LOG_WARN, "responder_killed", "The responder did not end within its drain time.");
	kill(supervisor->responder_pid, SIGKILL);
}

/* A signal from a terminal's keys has gone to its whole foreground group, so the command has it. */
static bool comes_from_terminal(int signal, const siginfo_t *info)
{
	return info->si_code == SI_KERNEL &&
	       (signal == SIGINT || signal == SIGQUIT || signal == SIGWINCH);
}

/* A wait that took longer than was asked for: all of us stood still, and the responder, which is
 * about to end, has not had its time. A pause before its next start may well be over. */
static void give_lost_time_back(struct supervisor *supervisor, int64_t before_ms, int64_t left_ms)
{
	int64_t ended_ms = now_ms();

	if (supervisor->due_ms != NEVER && supervisor->command_pid == 0 &&
	    ended_ms - before_ms > left_ms + STALL_MS)
		supervisor->due_ms = ended_ms + left_ms;
}

static void wait_for_signal(struct supervisor *supervisor)
{
	int64_t before_ms = now_ms(), left_ms = supervisor->due_ms - before_ms;
	struct timespec timeout;
	siginfo_t info;
	int signal;

	if (left_ms < 0)
		left_ms = 0;
	timeout = (struct timespec){.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};
	signal = sigtimedwait(&supervisor->signals, &info,
			      supervisor->due_ms == NEVER ? NULL : &timeout);
	give_lost_time_back(supervisor, before_ms, left_ms);
	if (signal > 0 && signal != SIGCHLD && supervisor->command_pid > 0 &&
	    !comes_from_terminal(signal, &info))
		kill(supervisor->command_pid, signal);
}

static int run_both(struct supervisor *supervisor)
{
	if (!start_command(supervisor)) {
		log_event(LOG_ERROR, "command_not_run", "No process can be made for the command.",
			  LOG_STR("error", strerror(errno)));
		return EXIT_NOT_EXECUTABLE;
	}
	supervisor->due_ms = 0;
	while (supervisor->command_pid > 0 || supervisor->responder_pid > 0) {
		wait_for_signal(supervisor);
		/* Who has ended already is neither killed nor given a responder. */
		reap(supervisor);
		do_what_is_due(supervisor);
	}
	if (WIFSIGNALED(supervisor->command_status))
		return 128 + WTERMSIG(supervisor->command_status);
	return WEXITSTATUS(supervisor->command_status);
}

int supervise(int argc, char **argv, int command_at)
{
	struct supervisor supervisor = {.command = argv + command_at, .due_ms = NEVER};
	int status;

	block_signals(&supervisor);
	if (!make_responder(&supervisor, argc, argv)) {
		log_event(LOG_ERROR, "no_memory",
			  "There is no memory for the responder: running the command alone.");
		status = run_command(&supervisor);
	} else {
		read_settings(&supervisor);
		if (is_off(&supervisor)) {
			log_event(LOG_INFO, "faro_off",
				  "FARO_UPSTREAM_URL is not set: running the command alone.");
			status = run_command(&supervisor);
		} else {
			status = run_both(&supervisor);
		}
	}
	free(supervisor.listen);
	free(supervisor.responder);
	return status;
}
